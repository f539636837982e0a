//! Every digest in the system starts with a label, so that bytes hashed for one purpose never mean
//! anything for another.
//!
//! BLAKE3 in its key-derivation mode takes the label as context string (BLAKE3 paper, section 2.3);
//! parts are length-prefixed, so moving a boundary between two parts changes the digest.

use std::convert::Infallible;
use std::fmt;

use minicbor::{Decode, Encode};
use subtle::ConstantTimeEq;

use crate::secret::Secret;

/// A domain of hashing: a constant, globally unique, versioned ASCII string.
///
/// Public labels stand together in [`labels`], where a test checks that no two are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(pub &'static str);

/// A 256-bit digest (128-bit collision resistance) of public bytes under a [`Label`].
///
/// Never take an unkeyed digest of an owner's content: use [`Commitment`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct Digest(#[cbor(with = "minicbor::bytes")] pub [u8; 32]);

impl Digest {
    /// Digest of `parts` under `label`. Each part is preceded by its length as 8 bytes, little endian.
    #[must_use]
    pub fn of(label: Label, parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(label.0);
        absorb(&mut hasher, parts);
        Self(*hasher.finalize().as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", &hex::encode(self.0)[..16])
    }
}

/// A keyed, hence hiding, commitment to private bytes: without the key nobody can test a guess.
/// Binding holds because BLAKE3 is collision resistant and the key is fixed for a job.
#[derive(Clone, Copy, Encode, Decode)]
#[cbor(transparent)]
pub struct Commitment(#[cbor(with = "minicbor::bytes")] pub [u8; 32]);

/// The 256-bit key that opens [`Commitment`]s; destroying it makes them meaningless for ever.
pub type CommitmentKey = Secret<32>;

impl Commitment {
    /// Commitment to `parts` under `label` and `key`.
    #[must_use]
    pub fn of(key: &CommitmentKey, label: Label, parts: &[&[u8]]) -> Self {
        let mut hasher = keyed_hasher(key, label);
        absorb(&mut hasher, parts);
        Self(*hasher.finalize().as_bytes())
    }

    /// Commitment to `parts` and, as the last part, to the canonical bytes of `value`: without ever holding these in one
    /// piece, which for a plaintext would be one more copy to wipe.
    #[must_use]
    pub fn of_value(key: &CommitmentKey, label: Label, parts: &[&[u8]], value: &impl Encode<()>) -> Self {
        let mut length = Length(0);
        minicbor::encode(value, &mut length).expect("counting does not fail");
        let mut hasher = keyed_hasher(key, label);
        absorb(&mut hasher, parts);
        hasher.update(&length.0.to_le_bytes());
        let mut absorbed = Absorb(hasher);
        minicbor::encode(value, &mut absorbed).expect("hashing does not fail");
        Self(*absorbed.0.finalize().as_bytes())
    }
}

/// Counts the bytes that are written.
struct Length(u64);

impl minicbor::encode::Write for Length {
    type Error = Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0 += bytes.len() as u64;
        Ok(())
    }
}

/// Hashes the bytes that are written.
struct Absorb(blake3::Hasher);

impl minicbor::encode::Write for Absorb {
    type Error = Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.update(bytes);
        Ok(())
    }
}

impl PartialEq for Commitment {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}
impl Eq for Commitment {}

impl std::hash::Hash for Commitment {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Display for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Commitment({})", &hex::encode(self.0)[..16])
    }
}

/// A BLAKE3 hasher keyed for one label: the key itself is never used under two labels.
fn keyed_hasher(key: &CommitmentKey, label: Label) -> blake3::Hasher {
    let mut subkey = blake3::derive_key(label.0, key.expose());
    let hasher = blake3::Hasher::new_keyed(&subkey);
    zeroize::Zeroize::zeroize(&mut subkey);
    hasher
}

fn absorb(hasher: &mut blake3::Hasher, parts: &[&[u8]]) {
    for part in parts {
        let length = u64::try_from(part.len()).expect("usize fits u64 on every supported target");
        hasher.update(&length.to_le_bytes());
        hasher.update(part);
    }
}

/// The one table of public labels. A label is never reused for another meaning; a new meaning of the
/// same thing takes the next version.
pub mod labels {
    use super::Label;

    macro_rules! labels {
        ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
            $($(#[$doc])* pub const $name: Label = Label($text);)*
            #[cfg(test)]
            pub(super) const ALL: &[Label] = &[$($name),*];
        };
    }

    labels! {
        /// Identifier of a public identity (a digest of its encoded keys).
        IDENTITY = "sealgrid/identity/v1";
        /// Identifier of an owner-held key.
        KEY_ID = "sealgrid/key/id/v1";
        /// Signed record of what happened to a key, and the chain of such records.
        KEY_RECORD = "sealgrid/key/record/v1";
        /// Chunks of a sealed stream.
        STREAM = "sealgrid/stream/chunks/v1";
        /// Data key of an object at rest, wrapped to a recipient.
        REST_KEY = "sealgrid/rest/key/v1";
        /// Header of an object at rest, authenticated under its data key.
        REST_HEADER = "sealgrid/rest/header/v1";
        /// Chunks of an object at rest.
        REST_CHUNKS = "sealgrid/rest/chunks/v1";
        /// Binding of a wallet to an identity.
        WALLET_BINDING = "sealgrid/wallet/binding/v1";
        /// Structure of an integer graph: operations, shapes, scales, tables; no parameters.
        GRAPH_ARCHITECTURE = "sealgrid/graph/architecture/v1";
        /// One parameter tensor of a model, salted.
        GRAPH_PARAMETER = "sealgrid/graph/parameter/v1";
        /// Inner node of the Merkle tree over parameter digests.
        GRAPH_PARAMETER_NODE = "sealgrid/graph/parameter-node/v1";
        /// The public card of a model: inputs, outputs, encodings.
        MODEL_CARD = "sealgrid/model/card/v1";
        /// Model commitment: card, architecture and parameter root together.
        MODEL = "sealgrid/model/commitment/v1";
        /// Registration of a model's parameters for proofs of runs.
        MODEL_REGISTRATION = "sealgrid/model/registration/v1";
        /// What hides a registration, derived from the salts of a model.
        MODEL_REGISTRATION_SEED = "sealgrid/model/registration-seed/v1";
        /// Bytes of a model file, as its owner signs them.
        MODEL_FILE = "sealgrid/model/file/v1";
        /// An owner's word that nodes of a grid may serve a model.
        MODEL_PUBLICATION = "sealgrid/model/publication/v1";
        /// Leaf of an execution trace: the output of one operation.
        TRACE_LEAF = "sealgrid/trace/leaf/v1";
        /// Inner node of an execution trace.
        TRACE_NODE = "sealgrid/trace/node/v1";
        /// Everything that a proof of a run says and draws.
        PROOF = "sealgrid/proof/transcript/v1";
        /// What a proof of a run is about.
        PROOF_STATEMENT = "sealgrid/proof/statement/v1";
        /// What a proof of a run says that is no element of a field.
        PROOF_ATTACHED = "sealgrid/proof/attached/v1";
        /// What pads of a commitment to a run's values are drawn from.
        PROOF_VALUES = "sealgrid/proof/values/v1";
        /// Keyed commitment to a job's input tensors.
        JOB_INPUT = "sealgrid/job/input/v1";
        /// Keyed commitment to a job's output tensors.
        JOB_OUTPUT = "sealgrid/job/output/v1";
        /// Identifier of a job: the digest of its header.
        JOB_ID = "sealgrid/job/id/v1";
        /// Envelope that carries a job's payload to a member.
        JOB_PAYLOAD = "sealgrid/job/payload/v1";
        /// Key of the answers to a job's payload.
        JOB_REPLY = "sealgrid/job/reply/v1";
        /// Commit phase of a quorum vote.
        QUORUM_COMMIT = "sealgrid/quorum/commit/v1";
        /// Signature of a commit.
        QUORUM_COMMIT_SIGNED = "sealgrid/quorum/commit-signed/v1";
        /// Signature of a reveal.
        QUORUM_REVEAL_SIGNED = "sealgrid/quorum/reveal-signed/v1";
        /// Signature of an answer in a bisection.
        QUORUM_BRANCHES_SIGNED = "sealgrid/quorum/branches-signed/v1";
        /// Signature of a referee's finding.
        QUORUM_FINDING_SIGNED = "sealgrid/quorum/finding-signed/v1";
        /// Derives what hides a node's vote from the node's own secret.
        QUORUM_BLINDING = "sealgrid/quorum/blinding/v1";
        /// Seed that draws a committee.
        QUORUM_DRAW = "sealgrid/quorum/draw/v1";
        /// Digest of a policy document.
        POLICY = "sealgrid/policy/v1";
        /// Digest of a signed directory of nodes.
        DIRECTORY = "sealgrid/directory/v1";
        /// Digest of one piece of evidence named by a receipt.
        EVIDENCE = "sealgrid/evidence/v1";
        /// A signed receipt.
        RECEIPT = "sealgrid/receipt/v1";
        /// Checksum of a receipt file.
        RECEIPT_FILE = "sealgrid/receipt/file/v1";
        /// What the log holds for a receipt.
        RECEIPT_LEAF = "sealgrid/receipt/leaf/v1";
        /// Checksum of a record of the log's journal on its own disk.
        LOG_JOURNAL = "sealgrid/log/journal/v1";
        /// Checksum of a record of a node's journal on its own disk.
        STATE_JOURNAL = "sealgrid/state/journal/v1";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_labels_are_equal() {
        let mut texts: Vec<_> = labels::ALL.iter().map(|label| label.0).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), labels::ALL.len());
    }

    #[test]
    fn moving_a_boundary_between_parts_changes_the_digest() {
        assert_ne!(Digest::of(labels::POLICY, &[b"ab", b"c"]), Digest::of(labels::POLICY, &[b"a", b"bc"]));
        assert_ne!(Digest::of(labels::POLICY, &[b"ab"]), Digest::of(labels::DIRECTORY, &[b"ab"]));
    }

    #[test]
    fn a_commitment_depends_on_its_key_and_its_label() {
        let key = CommitmentKey::new([1; 32]);
        let other = CommitmentKey::new([2; 32]);
        let commitment = Commitment::of(&key, labels::JOB_INPUT, &[b"record"]);
        assert_eq!(commitment, Commitment::of(&key, labels::JOB_INPUT, &[b"record"]));
        assert_ne!(commitment, Commitment::of(&other, labels::JOB_INPUT, &[b"record"]));
        assert_ne!(commitment, Commitment::of(&key, labels::JOB_OUTPUT, &[b"record"]));
    }
}
