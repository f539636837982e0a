//! What parties sign during a job. Every statement names its job and its author, so none can be moved elsewhere.

use minicbor::{Decode, Encode};
use sealgrid_graph::trace::{Opening, Position};
use sealgrid_seal::canonical;
use sealgrid_seal::digest::{Commitment, Digest, Label, labels};
use sealgrid_seal::identity::{BadSignature, PublicIdentity, Signature, SigningIdentity};

use crate::names::JobId;

/// Something that is signed under its own label.
pub trait Statement: Encode<()> {
    /// The label of the signature.
    const LABEL: Label;

    /// The job it belongs to.
    fn job(&self) -> JobId;

    /// Who states it.
    fn node(&self) -> PublicIdentity;
}

/// A statement and a signature that nobody has checked yet.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Signed<T> {
    #[n(0)]
    statement: T,
    #[n(1)]
    signature: Signature,
}

impl<T: Statement> Signed<T> {
    /// Signs `statement`. The author it names must be `identity`; otherwise nobody will believe it.
    #[must_use]
    pub fn sign(identity: &SigningIdentity, statement: T) -> Self {
        let signature = identity.sign(T::LABEL, &canonical::encode(&statement));
        Self { statement, signature }
    }

    /// The statement, once its author's signature holds.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self) -> Result<&T, BadSignature> {
        let bytes = canonical::encode(&self.statement);
        self.statement.node().verify(T::LABEL, &bytes, &self.signature)?;
        Ok(&self.statement)
    }

    /// The statement, once it holds as one of `node` about `job`.
    ///
    /// # Errors
    /// [`BadSignature`], also when it is about another job or of another author.
    pub fn verify_from(&self, node: &PublicIdentity, job: JobId) -> Result<&T, BadSignature> {
        if self.statement.node() != *node || self.statement.job() != job {
            return Err(BadSignature);
        }
        self.verify()
    }

    /// What it claims; good for routing, never for a decision.
    #[must_use]
    pub fn claimed(&self) -> &T {
        &self.statement
    }
}

macro_rules! statement {
    ($name:ident, $label:ident) => {
        impl Statement for $name {
            const LABEL: Label = labels::$label;

            fn job(&self) -> JobId {
                self.job
            }

            fn node(&self) -> PublicIdentity {
                self.node
            }
        }
    };
}

/// A vote whose content is still hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Commit {
    /// The job.
    #[n(0)]
    pub job: JobId,
    /// Who votes.
    #[n(1)]
    pub node: PublicIdentity,
    /// [`vote_digest`].
    #[n(2)]
    pub digest: Digest,
}

/// The content of a vote.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Reveal {
    /// The job.
    #[n(0)]
    pub job: JobId,
    /// Who votes.
    #[n(1)]
    pub node: PublicIdentity,
    /// Commitment to the output ([`super::header::commit_outputs`]).
    #[n(2)]
    pub output: Commitment,
    /// Root of the trace.
    #[n(3)]
    pub trace: Commitment,
    /// 32 bytes that hid the vote until now.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub blinding: [u8; 32],
    /// That each output stands in the trace. In the order of the graph's outputs.
    #[n(5)]
    pub outputs: Vec<OutputLeaf>,
}

/// One output's commitment and its way up to the trace's root; no way for an output that is an input.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct OutputLeaf {
    /// [`super::header::commit_output`].
    #[n(0)]
    pub leaf: Commitment,
    /// Siblings from the leaf up.
    #[n(1)]
    pub path: Vec<Commitment>,
}

/// An answer to a bisection's question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Branches {
    /// The job.
    #[n(0)]
    pub job: JobId,
    /// Who answers.
    #[n(1)]
    pub node: PublicIdentity,
    /// The node of the tree that was asked for.
    #[n(2)]
    pub position: Position,
    /// Its children.
    #[n(3)]
    pub opening: Opening,
}

/// What a referee found when it ran one operation alone on the reference.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Finding {
    /// The job.
    #[n(0)]
    pub job: JobId,
    /// The referee.
    #[n(1)]
    pub node: PublicIdentity,
    /// The operation.
    #[n(2)]
    pub operation: u32,
    /// Commitments to the operands it was given, in order ([`super::header::commit_output`]).
    #[n(3)]
    pub operands: Vec<Commitment>,
    /// The operation's true trace leaf.
    #[n(4)]
    pub leaf: Commitment,
}

statement!(Commit, QUORUM_COMMIT_SIGNED);
statement!(Reveal, QUORUM_REVEAL_SIGNED);
statement!(Branches, QUORUM_BRANCHES_SIGNED);
statement!(Finding, QUORUM_FINDING_SIGNED);

/// `H(QUORUM_COMMIT, job, node, output commitment, trace root, blinding)`. The node is part of it, so a copied digest
/// is worthless to whoever copies it.
#[must_use]
pub fn vote_digest(
    job: JobId,
    node: &PublicIdentity,
    output: &Commitment,
    trace: &Commitment,
    blinding: &[u8; 32],
) -> Digest {
    Digest::of(labels::QUORUM_COMMIT, &[&job.0.0, &node.0, &output.0, &trace.0, blinding])
}

impl Reveal {
    /// Whether `commit` is what this vote was hidden in.
    #[must_use]
    pub fn opens(&self, commit: &Commit) -> bool {
        self.job == commit.job
            && self.node == commit.node
            && vote_digest(self.job, &self.node, &self.output, &self.trace, &self.blinding) == commit.digest
    }
}
