//! This crate as the proof system of jobs: what fills the sockets of [`sealgrid_graph::proving`].

use rand_core::CryptoRng;
use sealgrid_graph::execute::{Batch, Prepared};
use sealgrid_graph::model::{Model, PublicModel};
use sealgrid_graph::proving::{
    Asked, Openings, ProofSystem, ProvenRun, Prover, ProvingError, Side, Statement, Verifier, Verifiers,
};
use sealgrid_seal::digest::{Commitment, CommitmentKey};

use crate::file::{
    self, Proof, ProveError, Records, RegisteredModel, RegisteredParameters, RegistrationError, Results,
    Values, VerifyError,
};
use crate::level::{Level, joined};
use crate::values;

/// What proofs rest on, for people.
pub const ASSUMES: [&str; 2] = [
    "BLAKE3 behaves as a random function (Fiat-Shamir, Merkle trees)",
    "the proof library Plonky3 0.8, which nobody has audited yet",
];

/// Makes provers and verifiers that draw their randomness from what this function opens.
#[derive(Debug)]
pub struct System<R>(pub fn() -> R);

struct ModelProver<R> {
    model: Model,
    own: RegisteredParameters,
    entropy: fn() -> R,
}

struct ModelVerifier<R> {
    published: RegisteredModel,
    /// Soundness of the registration.
    bits: f64,
    entropy: fn() -> R,
}

fn other(code: &'static str, error: &dyn std::error::Error) -> ProvingError {
    ProvingError::Other { code, what: error.to_string() }
}

fn not_registered(error: &RegistrationError) -> ProvingError {
    other(error.code(), error)
}

fn not_proven(error: &ProveError) -> ProvingError {
    match error {
        ProveError::TooLarge(_) | ProveError::Memory { .. } => ProvingError::TooLarge(error.to_string()),
        _ => other(error.code(), error),
    }
}

fn rejected(error: &VerifyError) -> ProvingError {
    other(error.code(), error)
}

fn committed(
    level: Level,
    side: Side,
    key: &CommitmentKey,
    batches: &[Batch],
) -> Result<Commitment, ProvingError> {
    let committed = values::commit(level, side, batches, key);
    Ok(values::root(&committed.map_err(|error| ProvingError::TooLarge(error.to_string()))?))
}

impl<R: CryptoRng + 'static> ProofSystem for System<R> {
    fn prover(&self, model: Model) -> Result<Box<dyn Prover>, ProvingError> {
        let own = RegisteredParameters::of(&model).map_err(|error| not_registered(&error))?;
        Ok(Box::new(ModelProver { model, own, entropy: self.0 }))
    }
}

impl<R: CryptoRng + 'static> Verifiers for System<R> {
    fn verifier(&self, published: &[u8]) -> Result<Box<dyn Verifier>, ProvingError> {
        let published = RegisteredModel::from_bytes(published).map_err(|error| not_registered(&error))?;
        let bits = published.verify(&mut (self.0)()).map_err(|error| not_registered(&error))?;
        Ok(Box::new(ModelVerifier { published, bits, entropy: self.0 }))
    }
}

impl<R: CryptoRng> Prover for ModelProver<R> {
    fn openings(&self) -> Openings {
        let registration = self.model.registration().expect("its parameters are registered");
        Openings { root: self.own.root(), count: registration.openings }
    }

    fn publish(&self) -> Result<Vec<u8>, ProvingError> {
        let published = self.own.publish(&self.model, &mut (self.entropy)());
        Ok(published.map_err(|error| not_registered(&error))?.to_bytes())
    }

    fn commit(&self, side: Side, key: &CommitmentKey, batches: &[Batch]) -> Result<Commitment, ProvingError> {
        committed(self.own.level(), side, key, batches)
    }

    fn prove(
        &self,
        prepared: &dyn Prepared,
        asked: &Asked<'_>,
        spend: &mut dyn FnMut() -> bool,
    ) -> Result<ProvenRun, ProvingError> {
        let told = (Records::Commit(asked.key), Results::Commit(asked.key));
        let Asked { nonce, inputs, memory_max, .. } = *asked;
        let planned = file::plan(&self.model, (&self.own).into(), prepared, inputs, told, nonce, memory_max)
            .map_err(|error| not_proven(&error))?;
        let statement = planned.statement();
        if statement.inputs.committed() != Some(asked.input) {
            return Err(ProvingError::OtherInput);
        }
        let output = statement.outputs.committed().expect("asked for above");
        let outputs = planned.outputs().to_vec();
        if !spend() {
            return Err(ProvingError::NoOpening);
        }
        let proof = planned.prove(&mut (self.entropy)()).map_err(|error| not_proven(&error))?;
        Ok(ProvenRun { outputs, output, proof: proof.to_bytes() })
    }
}

impl<R: CryptoRng> Verifier for ModelVerifier<R> {
    fn model(&self) -> &PublicModel {
        self.published.public()
    }

    fn assumes(&self) -> &'static [&'static str] {
        &ASSUMES
    }

    fn commit(&self, side: Side, key: &CommitmentKey, batches: &[Batch]) -> Result<Commitment, ProvingError> {
        committed(self.published.level(), side, key, batches)
    }

    fn verify(&self, statement: &Statement, proof: &[u8]) -> Result<u32, ProvingError> {
        let proof = Proof::from_bytes(proof).map_err(|error| rejected(&error))?;
        let claimed = proof.claimed();
        let stated = claimed.model == statement.model
            && claimed.nonce == statement.nonce
            && claimed.records == statement.records
            && claimed.inputs == Values::Committed(statement.input)
            && claimed.outputs == Values::Committed(statement.output);
        if !stated {
            return Err(rejected(&VerifyError::OtherStatement));
        }
        let bits = proof.verify_registered(&self.published, &mut (self.entropy)());
        let bits = joined(bits.map_err(|error| rejected(&error))?, self.bits);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some hundred bits")]
        let tenths = (bits * 10.0).floor() as u32;
        Ok(tenths)
    }
}

#[cfg(test)]
mod tests;
