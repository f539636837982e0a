//! What nodes and clients call of each other: the table of methods, and the bodies that are not the protocol's own.

use std::time::Duration;

use minicbor::{Decode, Encode};
use sealgrid_net::Method;
use sealgrid_protocol::job::message::Exchange;
use sealgrid_protocol::names::{Environment, ModelCommitment};
use sealgrid_protocol::text::Text;
use sealgrid_seal::digest::Digest;
use sealgrid_seal::envelope::JobPublicKey;
use sealgrid_seal::identity::PublicIdentity;

/// Who are you? Empty → [`Description`].
pub const DESCRIBE: Method = method(1, "describe", 0, 64 << 10, 5);
/// Which model is this? [`ModelCommitment`] → [`sealgrid_graph::model::PublicModel`].
pub const MODEL: Method = method(2, "model", 64, 16 << 20, 10);

/// May I publish this? A signed [`sealgrid_protocol::publication::Publication`] → bytes of the file held already, `u64`.
pub const PUBLISH: Method = method(3, "publish", 512, 16, 30);
/// [`Part`] of a file whose publication was accepted → bytes held; all of them once the model is served.
pub const PUBLISH_PART: Method = method(4, "publish-part", PART_BYTES_MAX + 128, 16, 120);
/// A newer signed directory; → nothing. It is in force within a second.
pub const DIRECTORY: Method = method(5, "directory", 8 << 20, 0, 10);

/// What do I need to verify proofs about this model? [`ModelCommitment`] → what was published of it, in the format of its proof
/// system.
pub const REGISTRATION: Method = method(6, "registration", 64, 16 << 20, 60);

/// [`Exchange::Assign`].
pub const ASSIGN: Method = exchange_method(10, "assign", Exchange::Assign, 600);
/// [`Exchange::Open`].
pub const OPEN: Method = exchange_method(11, "open", Exchange::Open, 600);
/// [`Exchange::Branches`].
pub const BRANCHES: Method = exchange_method(12, "branches", Exchange::Branches, 600);
/// [`Exchange::Operands`].
pub const OPERANDS: Method = exchange_method(13, "operands", Exchange::Operands, 600);
/// [`Exchange::Refer`].
pub const REFER: Method = exchange_method(14, "refer", Exchange::Refer, 600);
/// [`Exchange::Endorse`].
pub const ENDORSE: Method = exchange_method(15, "endorse", Exchange::Endorse, 600);
/// [`Exchange::Close`] of several jobs in one call: their identifiers, at most [`CLOSE_JOBS_MAX`]; → nothing.
pub const CLOSE: Method = method(16, "close", 8 << 10, 0, 10);

/// Append a leaf, at most [`LEAF_BYTES_MAX`]; → the text of a `tlog-proof`, once the leaf stands under a checkpoint
/// that the witnesses were asked to cosign.
pub const LOG_APPEND: Method = method(20, "log-append", LEAF_BYTES_MAX, 80 << 10, 20);
/// The latest checkpoint with its cosignatures. Empty → text of a note; empty while the log is.
pub const LOG_HEAD: Method = method(21, "log-head", 0, 64 << 10, 5);
/// A tile by its path (C2SP tlog-tiles); → its bytes.
pub const LOG_TILE: Method = method(22, "log-tile", 256, 17 << 20, 10);

/// What a log says to a witness, and a witness to a witness (`WitnessMessage` both ways; nothing when there is no answer).
pub const WITNESS: Method = method(30, "witness", 80 << 10, 80 << 10, 5);

/// Every method of a node.
pub const METHODS: &[Method] = &[
    DESCRIBE,
    MODEL,
    PUBLISH,
    PUBLISH_PART,
    DIRECTORY,
    REGISTRATION,
    ASSIGN,
    OPEN,
    BRANCHES,
    OPERANDS,
    REFER,
    ENDORSE,
    CLOSE,
    LOG_APPEND,
    LOG_HEAD,
    LOG_TILE,
    WITNESS,
];

/// Most jobs in one [`CLOSE`].
pub const CLOSE_JOBS_MAX: usize = 128;

/// Most bytes of a model in one [`Part`].
pub const PART_BYTES_MAX: u32 = 1 << 20;

/// Some bytes of a model file.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Part {
    /// Digest of the whole file, as published.
    #[n(0)]
    pub file: Digest,
    /// Where these bytes stand in it.
    #[n(1)]
    pub offset: u64,
    /// The bytes, at most [`PART_BYTES_MAX`].
    #[cbor(n(2), with = "minicbor::bytes")]
    pub bytes: Vec<u8>,
}

/// Most bytes of a leaf taken from a client: keyed commitments only, never content.
pub const LEAF_BYTES_MAX: u32 = 1024;

const fn method(id: u16, name: &'static str, request: u32, response: u32, seconds: u64) -> Method {
    Method {
        id,
        name,
        request_bytes_max: request,
        response_bytes_max: response,
        deadline: Duration::from_secs(seconds),
    }
}

const fn exchange_method(id: u16, name: &'static str, exchange: Exchange, seconds: u64) -> Method {
    // Exchanges are bounded far below 4 GiB.
    #[expect(clippy::cast_possible_truncation, reason = "checked by the test below; try_from is not const")]
    let bytes = exchange.bytes_max() as u32;
    method(id, name, bytes, bytes, seconds)
}

/// The method that carries an exchange.
#[must_use]
pub const fn of_exchange(exchange: Exchange) -> &'static Method {
    match exchange {
        Exchange::Assign => &ASSIGN,
        Exchange::Open => &OPEN,
        Exchange::Branches => &BRANCHES,
        Exchange::Operands => &OPERANDS,
        Exchange::Refer => &REFER,
        Exchange::Endorse => &ENDORSE,
        Exchange::Close => &CLOSE,
    }
}

/// What a node says of itself. Nothing rests on it but reachability: keys that matter are in the signed directory,
/// and a log or a witness proves itself by its signatures.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Description {
    /// 1.
    #[n(0)]
    pub version: u16,
    /// Its identity.
    #[n(1)]
    pub identity: PublicIdentity,
    /// The job key in force; differs from the directory's after a rotation until the directory is signed anew.
    #[n(2)]
    pub job_key: JobPublicKey,
    /// What it runs in.
    #[n(3)]
    pub environment: Environment,
    /// Models it serves.
    #[n(4)]
    pub models: Vec<ModelCommitment>,
    /// Name of its executor.
    #[n(5)]
    pub executor: Text<64>,
    /// Key of the log's checkpoints, if it writes the log.
    #[n(6)]
    pub log: Option<PublicIdentity>,
    /// Key of its cosignatures, if it is a witness.
    #[n(7)]
    pub witness: Option<PublicIdentity>,
    /// Digest of the directory it goes by.
    #[n(8)]
    pub directory: Digest,
    /// Whether it takes nothing new.
    #[n(9)]
    pub draining: bool,
    /// The misbehaviour it is configured to show: `FAULT: lie` and so on.
    #[n(10)]
    pub fault: Option<Text<64>>,
}

/// Reads the bodies that are not a protocol's own: what the fuzzer and the corpus replay call.
#[doc(hidden)]
pub fn fuzz_parse(bytes: &[u8]) {
    use sealgrid_seal::canonical;
    let _ = canonical::decode::<Description>(bytes, DESCRIBE.response_bytes_max as usize);
    let _ = canonical::decode::<ModelCommitment>(bytes, MODEL.request_bytes_max as usize);
    let _ = canonical::decode::<Part>(bytes, PUBLISH_PART.request_bytes_max as usize);
    let _ = sealgrid_protocol::publication::Publication::verify(bytes, &PublicIdentity([1; 32]));
}

/// Refusals of the node itself; the protocol's own are messages.
pub mod refusal {
    use sealgrid_net::Refusal;

    /// The code of a refusal that nodes give; `None` for one of another program.
    #[must_use]
    pub fn known(code: &str) -> Option<&'static str> {
        ALL.iter().find_map(|refusal| match refusal.code {
            std::borrow::Cow::Borrowed(text) if text == code => Some(text),
            _ => None,
        })
    }

    const ALL: &[Refusal] = &[
        DRAINING,
        BAD_BODY,
        NOT_MY_ROLE,
        NO_SUCH_MODEL,
        SUPERSEDED,
        LOG_FAILED,
        NO_SUCH_TILE,
        NOT_A_PUBLISHER,
        BAD_PUBLICATION,
        NOT_THE_MODEL,
        BAD_DIRECTORY,
        MODEL_TOO_LARGE,
        UPLOADS_BUSY,
        NOT_KEPT,
        NO_SUCH_UPLOAD,
        LOG_BUSY,
        NOT_REGISTERED,
        NO_OPENING,
    ];

    /// The node finishes what it has and takes nothing new.
    pub const DRAINING: Refusal = Refusal::new("E-AVL-20", "the node is stopping and takes no new job");
    /// The body is not what the method takes.
    pub const BAD_BODY: Refusal = Refusal::new("E-NET-15", "the request's body is not what the method takes");
    /// The node does not have the role that the method needs.
    pub const NOT_MY_ROLE: Refusal = Refusal::new("E-AVL-21", "this node does not have the role for that");
    /// The model is not served here.
    pub const NO_SUCH_MODEL: Refusal = Refusal::new("E-AVL-60", "the model is not served here");
    /// The same question was asked again and only the last one is answered.
    pub const SUPERSEDED: Refusal = Refusal::new("E-AVL-22", "the same question was asked again meanwhile");
    /// The log could not write.
    pub const LOG_FAILED: Refusal = Refusal::new("E-STO-47", "the log could not be written");
    /// The tile does not exist.
    pub const NO_SUCH_TILE: Refusal = Refusal::new("E-AVL-23", "the log has no such tile");
    /// The node does not take models from this owner.
    pub const NOT_A_PUBLISHER: Refusal =
        Refusal::new("E-KEY-41", "this node takes no models from the owner who signed");
    /// The publication is malformed, altered, or meant for another grid.
    pub const BAD_PUBLICATION: Refusal =
        Refusal::new("E-VER-20", "no signed publication for this grid's nodes");
    /// What arrived is not what the owner signed, or no model.
    pub const NOT_THE_MODEL: Refusal =
        Refusal::new("E-VER-21", "what arrived is not the model that its owner signed; nothing was kept");
    /// The offered directory does not hold, or is older than the one in force.
    pub const BAD_DIRECTORY: Refusal = Refusal::new(
        "E-VER-22",
        "not a directory of this grid's authority that is later than the one in force",
    );
    /// The model is larger than the node has room for by its configuration.
    pub const MODEL_TOO_LARGE: Refusal =
        Refusal::new("E-RES-24", "the model does not fit into this node's limits of models");
    /// Too many models are on their way in.
    pub const UPLOADS_BUSY: Refusal =
        Refusal::new("E-RES-25", "too many models are on their way to this node; try again");
    /// The disk is full or broken.
    pub const NOT_KEPT: Refusal = Refusal::new("E-STO-50", "the node's disk takes no more; nothing was kept");
    /// No publication of this file was accepted, or it was given up.
    pub const NO_SUCH_UPLOAD: Refusal =
        Refusal::new("E-AVL-28", "no publication of this file is under way; publish it again");
    /// Nothing was published of the model: it is not registered.
    pub const NOT_REGISTERED: Refusal =
        Refusal::new("E-AVL-64", "the node cannot prove runs of the model: it is not registered");
    /// None of the openings that the node may spend is left.
    pub const NO_OPENING: Refusal =
        Refusal::new("E-RES-62", "the node may make no more proofs of the model: its openings are spent");
    /// Too many leaves wait.
    pub const LOG_BUSY: Refusal = Refusal::new("E-RES-23", "too many leaves wait for the log; try again");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_distinct_and_each_exchange_has_its_limit() {
        let mut ids: Vec<_> = METHODS.iter().map(|method| method.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), METHODS.len());
        for exchange in [
            Exchange::Assign,
            Exchange::Open,
            Exchange::Branches,
            Exchange::Operands,
            Exchange::Refer,
            Exchange::Endorse,
        ] {
            let method = of_exchange(exchange);
            assert_eq!(u64::from(method.request_bytes_max), exchange.bytes_max() as u64);
            assert!(METHODS.contains(method));
        }
        let most = vec![sealgrid_protocol::names::JobId(Digest([255; 32])); CLOSE_JOBS_MAX];
        let bytes = sealgrid_seal::canonical::encode(&most).len();
        assert!(bytes <= of_exchange(Exchange::Close).request_bytes_max as usize);
    }

    #[test]
    fn the_corpus_is_replayed() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/node");
        for entry in std::fs::read_dir(folder).expect("a committed corpus") {
            let bytes = std::fs::read(entry.expect("an entry").path()).expect("an input");
            fuzz_parse(&bytes);
            crate::config::fuzz_parse(&bytes);
        }
    }
}
