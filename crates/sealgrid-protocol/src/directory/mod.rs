//! The signed list of a grid's nodes: who exists, where, run by whom, in what, serving which models.
//!
//! A [`Directory`] is a draft; [`Directory::sign`] makes a [`SignedDirectory`], which proves nothing until
//! [`SignedDirectory::verify`] makes a [`VerifiedDirectory`] for one authority and one moment. Only the last can choose
//! nodes. Rules are numbered DIR-NN in docs/spec/directory.md.
//!
//! # What it is not
//! The authority vouches for the list, not for the nodes: regions, operators and hardware are what operators said. A
//! node that is listed can still lie; a quorum catches that. An authority that lists one operator under many names can
//! own a committee; the log makes such a list public for ever.

mod eligible;

use minicbor::{Decode, Encode};
use sealgrid_seal::canonical::{self, NotCanonical};
use sealgrid_seal::digest::{Digest, labels};
use sealgrid_seal::envelope::JobPublicKey;
use sealgrid_seal::identity::{PublicIdentity, Signature, SigningIdentity};

use crate::machine::Millis;
use crate::names::{Environment, ModelCommitment};
use crate::text::Text;

pub use eligible::{NodeRule, Region, RegionError};

/// The only version of the format.
pub const VERSION: u32 = 1;
/// Most bytes of a signed directory.
pub const BYTES_MAX: usize = 8 << 20;
/// Most nodes of a directory.
pub const NODES_MAX: usize = 1024;
/// Most witnesses of a directory.
pub const WITNESSES_MAX: usize = 16;
/// Most addresses of a node.
pub const ADDRESSES_MAX: usize = 8;
/// Most models a node serves.
pub const MODELS_MAX: usize = 256;
/// Longest validity: 366 days.
pub const LIFETIME_MS_MAX: Millis = 366 * 24 * 3_600 * 1_000;

/// A name of a grid, an operator, a log or a witness.
pub type Name = Text<64>;
/// A network address as `host:port`; read by the network layer only.
pub type Address = Text<256>;

/// The transparency log of a grid.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LogEntry {
    /// Origin line of its checkpoints (C2SP tlog-checkpoint).
    #[n(0)]
    pub origin: Text<128>,
    /// Key that signs its checkpoints.
    #[n(1)]
    pub key: PublicIdentity,
}

/// One who watches the log and cosigns its checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct WitnessEntry {
    /// Name on its cosignatures (C2SP tlog-cosignature).
    #[n(0)]
    pub name: Name,
    /// Key of its cosignatures.
    #[n(1)]
    pub key: PublicIdentity,
}

/// What a node takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct NodeLimits {
    /// Most records of a job.
    #[n(0)]
    pub records_max: u32,
    /// Most bytes of a sealed payload.
    #[n(1)]
    pub payload_bytes_max: u64,
    /// Most jobs at a time of one client.
    #[n(2)]
    pub jobs_max: u32,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct NodeEntry {
    /// Identity, and TLS key.
    #[n(0)]
    pub identity: PublicIdentity,
    /// Key that payloads are sealed to.
    #[n(1)]
    pub job_key: JobPublicKey,
    /// Where it listens, best first.
    #[n(2)]
    pub addresses: Vec<Address>,
    /// Who runs it.
    #[n(3)]
    pub operator: Name,
    /// Where it stands, as its operator says.
    #[n(4)]
    pub region: Region,
    /// What it runs in, as its operator says.
    #[n(5)]
    pub environment: Environment,
    /// Models it serves, ascending.
    #[n(6)]
    pub models: Vec<ModelCommitment>,
    /// What it takes on.
    #[n(7)]
    pub limits: NodeLimits,
}

/// A list of nodes, not yet vouched for by anybody.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Directory {
    /// [`VERSION`].
    #[n(0)]
    pub version: u32,
    /// Name of the grid.
    #[n(1)]
    pub grid: Name,
    /// Who signs the list.
    #[n(2)]
    pub authority: PublicIdentity,
    /// From when it holds.
    #[n(3)]
    pub issued: Millis,
    /// Until when, exclusive.
    #[n(4)]
    pub expires: Millis,
    /// The grid's log.
    #[n(5)]
    pub log: LogEntry,
    /// The log's witnesses, ascending by key.
    #[n(6)]
    pub witnesses: Vec<WitnessEntry>,
    /// Nodes, ascending by identity.
    #[n(7)]
    pub nodes: Vec<NodeEntry>,
}

/// A list and a signature that nobody has checked.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SignedDirectory {
    #[cbor(n(0), with = "minicbor::bytes")]
    body: Vec<u8>,
    #[n(1)]
    signature: Signature,
}

/// A list that keeps its rules, signed by the authority that was asked for, within its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedDirectory {
    directory: Directory,
    digest: Digest,
}

/// Why a directory is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// The bytes are not a directory.
    #[error("not a directory: {0}")]
    Unreadable(NotCanonical),
    /// A rule of the format is broken.
    #[error("directory breaks {rule}: {what}")]
    Rule {
        /// `DIR-NN`.
        rule: &'static str,
        /// What is wrong.
        what: &'static str,
    },
    /// Signed by somebody else, or altered.
    #[error("directory is not signed by the authority that is trusted")]
    Signature,
    /// Outside its time.
    #[error("directory holds from {issued} to {expires} ms, not at {at} ms")]
    Time {
        /// First moment.
        issued: Millis,
        /// First moment after.
        expires: Millis,
        /// The moment asked for.
        at: Millis,
    },
}

impl DirectoryError {
    /// The code in docs/reference/errors.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "E-VER-10",
            Self::Rule { .. } => "E-VER-11",
            Self::Signature => "E-VER-12",
            Self::Time { .. } => "E-VER-13",
        }
    }
}

impl Directory {
    /// Signs the list. Keep the draft's lists in any order: signing sorts them.
    ///
    /// # Errors
    /// [`DirectoryError::Signature`] when `authority` is not the one the list names, [`DirectoryError::Rule`] when the
    /// list breaks a rule.
    pub fn sign(mut self, authority: &SigningIdentity) -> Result<SignedDirectory, DirectoryError> {
        if authority.public() != self.authority {
            return Err(DirectoryError::Signature);
        }
        self.sort();
        self.check()?;
        let body = canonical::encode(&self);
        let signature = authority.sign(labels::DIRECTORY, &body);
        Ok(SignedDirectory { body, signature })
    }

    fn sort(&mut self) {
        self.witnesses.sort_by_key(|witness| witness.key);
        self.nodes.sort_by_key(|node| node.identity);
        for node in &mut self.nodes {
            node.models.sort_unstable();
        }
    }

    fn check(&self) -> Result<(), DirectoryError> {
        require(self.version == VERSION, "DIR-03", "version is not 1")?;
        require(self.issued < self.expires, "DIR-04", "it ends before it begins")?;
        require(self.expires - self.issued <= LIFETIME_MS_MAX, "DIR-04", "it holds for more than 366 days")?;
        self.check_witnesses()?;
        require(self.nodes.len() <= NODES_MAX, "DIR-06", "more than 1024 nodes")?;
        require(
            ascending(self.nodes.iter().map(|node| node.identity)),
            "DIR-06",
            "nodes are not in order, or twice",
        )?;
        let mut job_keys: Vec<_> = self.nodes.iter().map(|node| &node.job_key).collect();
        job_keys.sort_unstable();
        require(ascending(job_keys), "DIR-07", "two nodes share a job key")?;
        self.nodes.iter().try_for_each(NodeEntry::check)
    }

    fn check_witnesses(&self) -> Result<(), DirectoryError> {
        let keys = || self.witnesses.iter().map(|witness| witness.key);
        require(self.witnesses.len() <= WITNESSES_MAX, "DIR-05", "more than 16 witnesses")?;
        require(ascending(keys()), "DIR-05", "witnesses are not in order, or twice")?;
        let mut names: Vec<_> = self.witnesses.iter().map(|witness| &witness.name).collect();
        names.sort_unstable();
        require(ascending(names), "DIR-05", "two witnesses share a name")?;
        require(keys().all(|key| key != self.log.key), "DIR-05", "the log is its own witness")
    }
}

impl NodeEntry {
    fn check(&self) -> Result<(), DirectoryError> {
        require(!self.addresses.is_empty(), "DIR-08", "a node has no address")?;
        require(self.addresses.len() <= ADDRESSES_MAX, "DIR-08", "a node has more than 8 addresses")?;
        require(self.models.len() <= MODELS_MAX, "DIR-09", "a node serves more than 256 models")?;
        require(ascending(&self.models), "DIR-09", "models are not in order, or twice")
    }

    /// Whether it serves `model`.
    #[must_use]
    pub fn serves(&self, model: &ModelCommitment) -> bool {
        self.models.binary_search(model).is_ok()
    }
}

fn require(holds: bool, rule: &'static str, what: &'static str) -> Result<(), DirectoryError> {
    if holds { Ok(()) } else { Err(DirectoryError::Rule { rule, what }) }
}

fn ascending<T: Ord>(items: impl IntoIterator<Item = T>) -> bool {
    items.into_iter().is_sorted_by(|a, b| a < b)
}

impl SignedDirectory {
    /// Reads a signed directory. Nothing of it is believed yet.
    ///
    /// # Errors
    /// [`DirectoryError::Unreadable`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DirectoryError> {
        canonical::decode(bytes, BYTES_MAX).map_err(DirectoryError::Unreadable) // DIR-01
    }

    /// The bytes that are stored, sent, and carried by a receipt.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        canonical::encode(self)
    }

    /// Checks signature, rules and time. The signature comes first: nothing unsigned is parsed further.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub fn verify(
        &self,
        authority: &PublicIdentity,
        at: Millis,
    ) -> Result<VerifiedDirectory, DirectoryError> {
        authority
            .verify(labels::DIRECTORY, &self.body, &self.signature)
            .map_err(|_| DirectoryError::Signature)?; // DIR-02
        let directory: Directory =
            canonical::decode(&self.body, BYTES_MAX).map_err(DirectoryError::Unreadable)?; // DIR-01
        if directory.authority != *authority {
            return Err(DirectoryError::Signature);
        }
        directory.check()?;
        let (issued, expires) = (directory.issued, directory.expires);
        if !(issued..expires).contains(&at) {
            return Err(DirectoryError::Time { issued, expires, at }); // DIR-10
        }
        Ok(VerifiedDirectory { directory, digest: Digest::of(labels::DIRECTORY, &[&self.body]) })
    }
}

impl VerifiedDirectory {
    /// The name of this list in draws and receipts: `H(DIRECTORY, signed bytes of the list)`.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The entry of `identity`.
    #[must_use]
    pub fn node(&self, identity: &PublicIdentity) -> Option<&NodeEntry> {
        let place = self.nodes.binary_search_by_key(identity, |node| node.identity).ok()?;
        Some(&self.nodes[place])
    }
}

impl std::ops::Deref for VerifiedDirectory {
    type Target = Directory;

    fn deref(&self) -> &Directory {
        &self.directory
    }
}

/// Reads any bytes as a signed list and as a list, past the signature: what the fuzzer and the corpus replay call.
#[doc(hidden)]
pub fn fuzz_parse(bytes: &[u8]) {
    let check = |body: &[u8]| {
        if let Ok(directory) = canonical::decode::<Directory>(body, BYTES_MAX) {
            assert_eq!(canonical::encode(&directory), body, "a list has one spelling");
            let _ = directory.check();
        }
    };
    check(bytes);
    if let Ok(signed) = SignedDirectory::decode(bytes) {
        check(&signed.body);
        let _ = signed.verify(&PublicIdentity([0; 32]), 0);
    }
}

#[cfg(test)]
mod tests;
