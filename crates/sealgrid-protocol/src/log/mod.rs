//! The transparency log, in the formats of C2SP: other people's verifiers work on ours, and ours on theirs.
//!
//! What it must achieve:
//! 1. An owner can show, offline, that a receipt was in the log: [`proof::LogProof`] (tlog-proof).
//! 2. The log cannot take anything back: checkpoints (tlog-checkpoint) are consistent, [`tree`] (RFC 6962).
//! 3. The log cannot show two faces: witnesses cosign one history only ([`witness`], tlog-cosignature and
//!    tlog-witness), and two heads that contradict each other are evidence that anyone can check.
//! 4. Nothing private is in it: leaves are keyed commitments, at most [`LEAF_LENGTH_MAX`] bytes.
//!
//! Reading order: [`tree`] (hashes and proofs), [`tile`] (where hashes are kept), [`note`] (signed text),
//! [`checkpoint`], [`roots`] (whom to trust), [`proof`], [`writer`] (how a log grows), [`witness`].
//!
//! # Why not the crates
//! `tlog_tiles` and `signed_note` implement the same formats and are the oracle of the tests here. They
//! bring a URL parser, JSON and a second generation of Ed25519 and SHA-2 into the verifier, whose manifest is the
//! trusted base, and neither has cosignatures; what is needed of them is small.

pub mod tree;

pub mod tile;

pub mod note;

pub mod checkpoint;

pub mod roots;

pub mod proof;

pub mod writer;

pub mod witness;

pub use checkpoint::Checkpoint;
pub use proof::{Included, LogProof};
pub use roots::LogRoots;
pub use tree::TreeHash;

/// Bytes of a leaf at most: its length is a `u16` in an entry bundle (tlog-tiles).
pub const LEAF_LENGTH_MAX: usize = 65_535;

/// Why a log, a checkpoint or a proof is not accepted. Names and sizes are public; leaves never appear.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Text that is not in the format it should be in.
    #[error("malformed {what}")]
    Malformed {
        /// Which format.
        what: &'static str,
    },
    /// A checkpoint of a log that the trust roots do not name.
    #[error("checkpoint of another log than {expected:?}")]
    OtherLog {
        /// The origin that is trusted.
        expected: String,
    },
    /// The log's own signature is missing or wrong.
    #[error("checkpoint without a valid signature of its log")]
    NotSigned,
    /// A trusted witness's name and key identifier stand over a wrong signature.
    #[error("wrong cosignature in the name of witness {witness:?}")]
    BadCosignature {
        /// Name of the witness.
        witness: String,
    },
    /// Fewer trusted witnesses cosigned than the trust roots demand.
    #[error("{cosigned} trusted witnesses cosigned, {required} are required")]
    TooFewWitnesses {
        /// How many did.
        cosigned: usize,
        /// How many must.
        required: usize,
    },
    /// The leaf is not at this index of the checkpoint's tree.
    #[error("leaf is not in the log at index {index}")]
    NotIncluded {
        /// The index claimed.
        index: u64,
    },
    /// The newer tree is not an extension of the older one, or the proof of it is wrong.
    #[error("tree of {new} leaves does not extend the tree of {old} leaves")]
    NotConsistent {
        /// Size of the older tree.
        old: u64,
        /// Size of the newer tree.
        new: u64,
    },
    /// The leaf is too long for the log.
    #[error("leaf of {length} bytes, a log takes at most 65535")]
    LeafTooLong {
        /// Bytes of the leaf.
        length: usize,
    },
    /// The log signed two different trees of one size.
    #[error("log {origin:?} signed two trees of {size} leaves")]
    Forked {
        /// Which log.
        origin: String,
        /// Size at which the two differ.
        size: u64,
    },
    /// A stored tile or entry bundle does not fit the tree.
    #[error("stored tile {path} does not fit the tree")]
    BadTile {
        /// Path of the tile.
        path: String,
    },
}

impl LogError {
    /// The code in docs/reference/errors/log.md.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "E-LOG-01",
            Self::OtherLog { .. } => "E-LOG-02",
            Self::NotSigned => "E-LOG-03",
            Self::BadCosignature { .. } => "E-LOG-04",
            Self::TooFewWitnesses { .. } => "E-LOG-05",
            Self::NotIncluded { .. } => "E-LOG-06",
            Self::NotConsistent { .. } => "E-LOG-07",
            Self::LeafTooLong { .. } => "E-LOG-08",
            Self::Forked { .. } => "E-LOG-09",
            Self::BadTile { .. } => "E-LOG-10",
        }
    }
}

/// Reads every text format of the log out of `bytes`: what the fuzzer and the corpus replay call.
#[doc(hidden)]
pub fn fuzz_parse(bytes: &[u8]) {
    if let Ok(note) = note::Note::parse(bytes) {
        assert_eq!(note.to_text().as_bytes(), bytes, "a note has one spelling");
        let _ = Checkpoint::from_text(note.text());
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(proof) = LogProof::from_text(text) {
        assert_eq!(proof.to_text(), text, "a proof has one spelling");
    }
    if let Ok(roots) = LogRoots::from_policy(text) {
        assert_eq!(
            LogRoots::from_policy(&roots.to_policy()),
            Ok(roots),
            "a policy survives being written and read"
        );
    }
    if let Ok(request) = witness::AddCheckpoint::from_text(text) {
        assert_eq!(request.to_text(), text, "a request has one spelling");
    }
    let _ = tile::TileId::from_path(text);
}

/// Reads every binary format of the log out of `bytes`: messages of witnesses, evidence of forks, and, behind a path
/// and a line feed, a tile. What the fuzzer and the corpus replay call.
#[doc(hidden)]
pub fn fuzz_tiles(bytes: &[u8]) {
    use sealgrid_seal::canonical;
    let _ = canonical::decode::<witness::WitnessMessage>(bytes, witness::ADD_CHECKPOINT_LENGTH_MAX + 16);
    let _ = canonical::decode::<witness::Fork>(bytes, 2 * note::NOTE_LENGTH_MAX + 16);
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return };
    let (path, content) = (std::str::from_utf8(&bytes[..end]), &bytes[end + 1..]);
    let Some(id) = path.ok().and_then(|path| tile::TileId::from_path(path).ok()) else { return };
    let width = usize::from(id.width);
    match id.kind {
        tile::TileKind::Hashes { .. } => {
            if let Ok(hashes) = tile::hashes(id, content) {
                assert_eq!(hashes.len(), width, "as many hashes as the path says");
            }
        }
        tile::TileKind::Entries => {
            if let Ok(entries) = tile::entries(id, content) {
                let length: usize = entries.iter().map(|entry| 2 + entry.len()).sum();
                assert_eq!(entries.len(), width, "as many leaves as the path says");
                assert!(length <= content.len() && (width < 256 || length == content.len()));
            }
        }
    }
}
