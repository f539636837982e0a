//! Proving runs: the sockets that a proof system fills.
//!
//! A prover holds a registered model and proves that it leads from a commitment to another; a verifier holds what was
//! published of the model, and no weights. Both commit to what goes in and comes out in the proof system's own way, so that
//! whoever has the key opens a commitment and nobody else learns anything from it.

use sealgrid_seal::digest::{Commitment, CommitmentKey};

use crate::execute::{Batch, Prepared};
use crate::model::{Model, ModelCommitment, PublicModel};

/// Which values of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What goes in.
    Inputs,
    /// What comes out.
    Outputs,
}

/// What is proven of a run: that the model leads from one committed list of values to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Which model.
    pub model: ModelCommitment,
    /// What the proof belongs to: the job. A proof holds for no other.
    pub nonce: [u8; 32],
    /// How many records.
    pub records: u32,
    /// Commitment to what goes in.
    pub input: Commitment,
    /// Commitment to what comes out.
    pub output: Commitment,
}

/// What is to be proven.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What the proof will belong to.
    pub nonce: [u8; 32],
    /// The key of both commitments.
    pub key: &'a CommitmentKey,
    /// One batch per graph input.
    pub inputs: &'a [Batch],
    /// The commitment that they must have.
    pub input: Commitment,
    /// Bytes of memory that proving may take; what takes more is refused before anything is spent.
    pub memory_max: u64,
}

/// The openings that a registration bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Openings {
    /// The commitment that they open: what they are counted by.
    pub root: [u8; 32],
    /// How many there are, of everybody together.
    pub count: u32,
}

/// A run and its proof.
#[derive(Debug)]
pub struct ProvenRun {
    /// One batch per graph output.
    pub outputs: Vec<Batch>,
    /// The commitment to them, under the key that was given.
    pub output: Commitment,
    /// The proof, as a file.
    pub proof: Vec<u8>,
}

/// Why there is no proof, or one is worth nothing. Never names content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProvingError {
    /// The inputs are not those of the commitment.
    #[error("the records are not those that were committed to")]
    OtherInput,
    /// None of the openings of the model's registration is left.
    #[error("no opening of the model's registration is left")]
    NoOpening,
    /// The run would need more than the prover gives one.
    #[error("{0}")]
    TooLarge(String),
    /// The proof system's own words, and their code in docs/reference/errors.
    #[error("{what}")]
    Other {
        /// The code.
        code: &'static str,
        /// What is wrong.
        what: String,
    },
}

/// Makes verifiers of models: the half of a proof system that whoever checks needs, and which brings no prover with it.
pub trait Verifiers: Send + Sync {
    /// A verifier from what was published of a registered model, as [`Prover::publish`] yields it. Nobody has to be trusted
    /// for it: its registration was checked.
    ///
    /// # Errors
    /// [`ProvingError`] when it is not what such a file must be.
    fn verifier(&self, published: &[u8]) -> Result<Box<dyn Verifier>, ProvingError>;
}

/// Makes provers and verifiers of models.
pub trait ProofSystem: Verifiers {
    /// A prover of a registered model.
    ///
    /// # Errors
    /// [`ProvingError`] when the model is not registered, or cannot be proven.
    fn prover(&self, model: Model) -> Result<Box<dyn Prover>, ProvingError>;
}

/// Proves runs of one registered model. A registration bears a number of openings: each proof spends one, and so does
/// publishing.
pub trait Prover: Send + Sync {
    /// What it may spend.
    fn openings(&self) -> Openings;

    /// What others need to verify its proofs. Spends an opening, which whoever calls this has made durable.
    ///
    /// # Errors
    /// [`ProvingError`].
    fn publish(&self) -> Result<Vec<u8>, ProvingError>;

    /// The commitment to one side of a run, as [`Verifier::commit`] makes it.
    ///
    /// # Errors
    /// [`ProvingError`] when there are no values, or too many.
    fn commit(&self, side: Side, key: &CommitmentKey, batches: &[Batch]) -> Result<Commitment, ProvingError>;

    /// Runs the model with `prepared` and proves the run. `spend` is called once, when all is known to fit and nothing was
    /// proven yet: it durably spends an opening, or says that none is left.
    ///
    /// # Errors
    /// [`ProvingError`].
    fn prove(
        &self,
        prepared: &dyn Prepared,
        asked: &Asked<'_>,
        spend: &mut dyn FnMut() -> bool,
    ) -> Result<ProvenRun, ProvingError>;
}

/// Verifies proofs about one registered model, without its weights.
pub trait Verifier: Send + Sync {
    /// What everybody may know of the model.
    fn model(&self) -> &PublicModel;

    /// What its verdicts rest on, for people.
    fn assumes(&self) -> &'static [&'static str];

    /// The commitment to one side of a run.
    ///
    /// # Errors
    /// [`ProvingError`] when there are no values, or too many.
    fn commit(&self, side: Side, key: &CommitmentKey, batches: &[Batch]) -> Result<Commitment, ProvingError>;

    /// Checks that `proof` is one of `statement`; yields its soundness in tenths of a bit, rounded down.
    ///
    /// # Errors
    /// [`ProvingError`].
    fn verify(&self, statement: &Statement, proof: &[u8]) -> Result<u32, ProvingError>;
}
