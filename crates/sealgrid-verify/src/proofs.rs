//! Zero-knowledge proofs and registered models, judged with nothing of a prover: what is linked from here verifies, and no more (a test looks at
//! the program).

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use sealgrid_graph::execute::Batch;
use sealgrid_graph::model::{Model, ModelError};
use sealgrid_graph::proving::Verifiers;
use sealgrid_proof::file::{Proof, RegisteredModel, RegistrationError, Values, VerifyError};
use sealgrid_proof::level::joined;
use sealgrid_proof::system::{ASSUMES, System};
use serde_json::{Value, json};

use crate::files::NotGiven;

pub use sealgrid_proof::file::{MAGIC as PROOF_MAGIC, REGISTERED_MAGIC};

/// What verifies the proofs of receipts ([`crate::verify`]).
#[must_use]
pub fn verifiers() -> impl Verifiers {
    System(nothing_hidden)
}

/// Whoever verifies hides nothing, so what the proof system draws for it need not be random: it draws salts and masks of commitments that are never made.
/// All challenges, those by which checks are added up included, are drawn from the transcript.
fn nothing_hidden() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([0; 32])
}

/// Why a proof or a registered model is rejected: its code in docs/reference/errors, and in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Rejected {
    /// The code.
    pub code: &'static str,
    /// What is wrong.
    pub what: String,
}

impl From<VerifyError> for Rejected {
    fn from(error: VerifyError) -> Self {
        Self { code: error.code(), what: error.to_string() }
    }
}

impl From<ModelError> for Rejected {
    fn from(error: ModelError) -> Self {
        Self { code: error.code(), what: error.to_string() }
    }
}

impl From<RegistrationError> for Rejected {
    fn from(error: RegistrationError) -> Self {
        Self { code: error.code(), what: error.to_string() }
    }
}

/// Judges a registered model, as its owner publishes it: what it shows, as JSON.
///
/// # Errors
/// [`Rejected`].
pub fn judge_registered(published: &[u8]) -> Result<Value, Rejected> {
    let model = RegisteredModel::from_bytes(published)?;
    let bits = model.verify(&mut nothing_hidden())?;
    Ok(json!({
        "accepted": true,
        "kind": "registered-model",
        "model": model.public().commitment().to_string(),
        "openings": model.openings(),
        "soundness_bits": bits,
        "assumes": ASSUMES,
    }))
}

/// Judges a proof with what was published of the model that it is about, which is judged, too: what it shows, as JSON. Values that the proof shows
/// are the integers that the model takes and yields, a list for each of its inputs or outputs.
///
/// # Errors
/// [`Rejected`].
pub fn judge_proof(proof: &[u8], published: &[u8]) -> Result<Value, Rejected> {
    let proof = Proof::from_bytes(proof)?;
    let model = RegisteredModel::from_bytes(published)?;
    let bits = model.verify(&mut nothing_hidden())?;
    let bits = joined(bits, proof.verify_registered(&model, &mut nothing_hidden())?);
    Ok(shows(&proof, bits))
}

/// Judges a proof with the model that it is about, weights included: what it shows, as [`judge_proof`] does.
///
/// # Errors
/// [`NotGiven::Published`] where the proof is about registered weights, whose commitment is made of the weights by a part of the prover; else the verdict,
/// which may be [`Rejected`].
pub fn judge_told(proof: &[u8], model: &[u8]) -> Result<Result<Value, Rejected>, NotGiven> {
    let proof = match Proof::from_bytes(proof) {
        Ok(proof) if proof.claimed().weights_private => return Err(NotGiven::Published),
        Ok(proof) => proof,
        Err(error) => return Ok(Err(error.into())),
    };
    let judged = || {
        let model = Model::from_bytes(model)?;
        Ok(shows(&proof, proof.verify(&model, None, &mut nothing_hidden())?))
    };
    Ok(judged())
}

/// What a proof shows that holds.
fn shows(proof: &Proof, bits: f64) -> Value {
    let claimed = proof.claimed();
    let commitment = |values: &Values| values.committed().map(|commitment| hex::encode(commitment.0));
    let shown =
        |values: &Values| values.shown().map(|batches| batches.iter().map(integers).collect::<Vec<_>>());
    json!({
        "accepted": true,
        "kind": "proof",
        "model": claimed.model.to_string(),
        "nonce": hex::encode(claimed.nonce),
        "records": claimed.records,
        "records_shown": shown(&claimed.inputs),
        "records_commitment": commitment(&claimed.inputs),
        "results_shown": shown(&claimed.outputs),
        "results_commitment": commitment(&claimed.outputs),
        "soundness_bits": bits,
        "assumes": ASSUMES,
    })
}

/// All elements of all records, one behind the other.
fn integers(batch: &Batch) -> Vec<i32> {
    let data = batch.data().view();
    (0..data.len()).map(|position| data.at(position)).collect()
}
