//! The one file that names engines. A socket is filled here and nowhere else.

use std::sync::Arc;

use sealgrid_graph::execute::{Batch, Executor};
use sealgrid_graph::fast::FastExecutor;
use sealgrid_graph::model::Model;
use sealgrid_proof::file::{self, ProveError, VerifyError};
pub use sealgrid_proof::file::{MAGIC as PROOF_MAGIC, Proof};

use crate::failure::Failure;

/// What executes integer graphs on this machine.
pub fn executor() -> Arc<dyn Executor> {
    Arc::new(FastExecutor::new())
}

/// The kernels that [`executor`] has chosen for this processor.
pub fn kernels() -> String {
    FastExecutor::new().backend().name().to_owned()
}

/// Proves what `model` yields on `inputs`, which the proof tells when `public`.
pub fn prove(model: &Model, inputs: &[Batch], public: bool) -> Result<Proof, Failure> {
    let prepared = executor()
        .prepare(Arc::clone(model.graph()))
        .map_err(|error| Failure::new(error.code(), error.to_string()))?;
    file::prove(model, prepared.as_ref(), inputs, public, &mut crate::entropy()).map_err(|error| {
        let failure = Failure::new(error.code(), "this run cannot be proven").because(&error);
        match error {
            ProveError::NotProvable(_) => failure
                .exit(3)
                .hint("run it on the grid instead: sealgrid run MODEL --input DATA --verify quorum:3"),
            ProveError::TooLarge(_) => failure.hint("prove fewer records at a time"),
            ProveError::Witness(_) => failure,
        }
    })
}

/// Checks a proof with the model that it is about; yields its bits of soundness.
pub fn verify(proof: &Proof, model: &Model) -> Result<f64, Failure> {
    proof.verify(model, &mut crate::entropy()).map_err(|error| not_proven(&error))
}

/// A proof that is rejected.
pub fn not_proven(error: &VerifyError) -> Failure {
    Failure::new(error.code(), "the proof is rejected")
        .because(error)
        .exit(4)
        .hint("ask for the proof and the model again; do not use the results")
}
