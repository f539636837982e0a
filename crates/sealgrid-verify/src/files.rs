//! Any file in, its verdict out, as `sealgrid-verify` prints it: what the program and the module for browsers share, so that they cannot say
//! different things.

use sealgrid_graph::model;
use sealgrid_protocol::machine::Millis;
use serde_json::{Value, json};

use crate::proofs::{self, Rejected};
use crate::{TrustRoots, unreadable, verify};

/// What a verdict may rest on beside the file itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given<'a> {
    /// What was published of the model that a proof is about (`.sgr`), or the model itself, weights included (`.sgm`).
    pub model: Option<&'a [u8]>,
    /// Whom a receipt's verdict trusts.
    pub roots: Option<&'a TrustRoots>,
    /// The moment as of which a receipt is judged.
    pub at: Option<Millis>,
}

/// What is missing for a verdict, which says nothing of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotGiven {
    /// The model of a proof.
    #[error("a proof is checked with its model, which was not given")]
    Model,
    /// What was published of the model.
    #[error(
        "the proof is about registered weights: it is checked with what was published of the model (.sgr)"
    )]
    Published,
    /// The trust roots of a receipt.
    #[error("a receipt rests on trust roots, which were not given")]
    Roots,
    /// The time.
    #[error("a receipt is judged as of a time, which was not given")]
    Time,
}

/// Judges a proof, a registered model or a receipt; anything else is judged as a receipt, which it is not.
///
/// Nothing is drawn at random for it: of its randomness a verifier of proofs makes no use ([`proofs`]).
///
/// # Errors
/// [`NotGiven`].
pub fn judge(file: &[u8], given: &Given<'_>) -> Result<Value, NotGiven> {
    if file.starts_with(proofs::PROOF_MAGIC) {
        let model = given.model.ok_or(NotGiven::Model)?;
        let is_model = model.starts_with(&model::MAGIC);
        return if is_model { proofs::judge_told(file, model) } else { Ok(proofs::judge_proof(file, model)) }
            .map(said);
    }
    if file.starts_with(proofs::REGISTERED_MAGIC) {
        return Ok(said(proofs::judge_registered(file)));
    }
    // What is no receipt rests on nothing.
    if let Some(verdict) = unreadable(file) {
        return Ok(verdict.json());
    }
    let roots = given.roots.ok_or(NotGiven::Roots)?;
    let at = given.at.ok_or(NotGiven::Time)?;
    Ok(verify(file, roots, at, None, Some(&proofs::verifiers())).json())
}

/// Whether a verdict accepts.
#[must_use]
pub fn is_accepted(verdict: &Value) -> bool {
    verdict["accepted"] == true
}

fn said(judged: Result<Value, Rejected>) -> Value {
    judged
        .unwrap_or_else(|rejected| json!({ "accepted": false, "code": rejected.code, "why": rejected.what }))
}
