//! Commitments to what goes into a run or comes out of it: whoever has the key and the values opens them, nobody else learns anything.
//!
//! The same as a model's registered parameters ([`crate::weights`]), with pads for one proof. They are drawn from the key, the values *and* the
//! proof's level: two different lists under one key have nothing in common, nor have the same values' commitments for two levels.

use p3_field::PrimeCharacteristicRing as _;
use sealgrid_graph::execute::Batch;
pub use sealgrid_graph::proving::Side;
use sealgrid_seal::digest::{Commitment, CommitmentKey, labels};
use sealgrid_seal::secret::Secret;

use crate::field::{Element, wipe};
use crate::level::Level;
use crate::maps::numbers;
use crate::weights::{BadShape, Parameters, Shape};

/// Commits to `batches`, all elements behind each other, for proofs of a level.
///
/// # Errors
/// [`BadShape`] when there are none, or more than 2^24.
pub fn commit(
    level: Level,
    side: Side,
    batches: &[Batch],
    key: &CommitmentKey,
) -> Result<Parameters, BadShape> {
    let shape = Shape::of_values(level, batches.iter().map(|batch| batch.data().len()).sum())?;
    let word: &[u8] = match side {
        Side::Inputs => b"inputs",
        Side::Outputs => b"outputs",
    };
    let seed =
        Secret::new(Commitment::of_value(key, labels::PROOF_VALUES, &[word, &[level.bits()]], &batches).0);
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
