//! Commitments to what goes into a run or comes out of it: whoever has the key and the values opens them, nobody else learns anything.
//!
//! The same as a model's registered parameters ([`crate::weights`]), with pads for one proof. They are drawn from the key *and* the values: two
//! different lists under one key have nothing in common.

use p3_field::PrimeCharacteristicRing as _;
use sealgrid_graph::execute::Batch;
pub use sealgrid_graph::proving::Side;
use sealgrid_seal::digest::{Commitment, CommitmentKey, labels};
use sealgrid_seal::secret::Secret;

use crate::field::{Element, wipe};
use crate::maps::numbers;
use crate::weights::{BadShape, Parameters, Shape};

/// Commits to `batches`, all elements behind each other.
///
/// # Errors
/// [`BadShape`] when there are none, or more than 2^24.
pub fn commit(side: Side, batches: &[Batch], key: &CommitmentKey) -> Result<Parameters, BadShape> {
    let shape = Shape::of_values(batches.iter().map(|batch| batch.data().len()).sum())?;
    let word: &[u8] = match side {
        Side::Inputs => b"inputs",
        Side::Outputs => b"outputs",
    };
    let seed = Secret::new(Commitment::of_value(key, labels::PROOF_VALUES, &[word], &batches).0);
    let mut elements: Vec<Element> = batches.iter().flat_map(numbers).map(Element::from_i32).collect();
    let parameters = Parameters::in_shape(shape, &elements, &seed);
    wipe(&mut elements);
    Ok(parameters)
}

/// What is published of a commitment.
#[must_use]
pub fn root(committed: &Parameters) -> Commitment {
    Commitment(committed.registered().root)
}
