//! What both sides have said so far, and the challenges that follow from it (Fiat-Shamir over BLAKE3).

use p3_blake3::Blake3;
use p3_challenger::{CanObserve, FieldChallenger, HashChallenger, SerializingChallenger32};
use p3_field::{BasedVectorSpace as _, PrimeField32 as _, PrimeField64 as _};
use p3_symmetric::Hash;
use sealgrid_seal::digest::{Digest, Label};

use crate::field::{Challenge, Element};

/// What the library draws from.
pub(crate) type Challenger = SerializingChallenger32<Element, HashChallenger<u8, Blake3, 32>>;

/// A transcript. Both sides begin it with the same label and absorb the whole statement before the first challenge.
#[derive(Clone, Debug)]
pub struct Transcript(Challenger, #[cfg(test)] replay::Replay);

impl Transcript {
    /// Begins a transcript of one protocol.
    #[must_use]
    pub fn new(label: Label) -> Self {
        Self(
            SerializingChallenger32::from_hasher(label.0.as_bytes().to_vec(), Blake3 {}),
            #[cfg(test)]
            replay::Replay::default(),
        )
    }

    /// Absorbs a part of the statement by its digest under `label`.
    pub fn absorb_bytes(&mut self, label: Label, bytes: &[u8]) {
        #[cfg(test)]
        let bytes = &self.1.bytes(bytes);
        self.0.observe(Hash::<Element, u8, 32>::from(Digest::of(label, &[bytes]).0));
    }

    /// Absorbs a message.
    pub fn absorb(&mut self, message: Challenge) {
        #[cfg(test)]
        let message = self.1.message(message);
        self.0.observe_algebra_element(message);
    }

    /// Draws a challenge from the whole extension field.
    pub fn challenge(&mut self) -> Challenge {
        self.0.sample_algebra_element()
    }

    /// Draws a number of `bits` bits: from a challenge, whose order leaves it a bias below `2^(bits − 154)`.
    pub fn position(&mut self, bits: usize) -> usize {
        let coordinates = self.challenge();
        let coordinates: &[Element] = coordinates.as_basis_coefficients_slice();
        let number = coordinates.iter().fold(0u128, |number, coordinate| {
            number.wrapping_mul(Element::ORDER_U64.into()).wrapping_add(coordinate.as_canonical_u32().into())
        });
        usize::try_from(number % (1 << bits)).expect("fewer bits than a usize")
    }

    /// For the library's parts, which absorb and draw by themselves.
    pub(crate) fn challenger(&mut self) -> &mut Challenger {
        &mut self.0
    }

    /// One that tests begin on both sides.
    #[cfg(test)]
    pub(crate) fn of_test() -> Self {
        Self::new(sealgrid_seal::digest::labels::GRAPH_ARCHITECTURE)
    }
}

/// For tests that ask what another prover would have said to the same challenges.
#[cfg(test)]
mod replay {
    use std::collections::VecDeque;

    use super::{Challenge, Transcript};

    /// What is absorbed in the place of what is said, if anything.
    #[derive(Clone, Debug, Default)]
    pub(super) struct Replay(Option<(VecDeque<Challenge>, VecDeque<Vec<u8>>)>);

    impl Replay {
        pub(super) fn message(&mut self, said: Challenge) -> Challenge {
            self.0.as_mut().map_or(said, |(messages, _)| messages.pop_front().expect("as many messages"))
        }

        pub(super) fn bytes(&mut self, said: &[u8]) -> Vec<u8> {
            self.0.as_mut().map_or_else(|| said.to_vec(), |(_, bytes)| bytes.pop_front().expect("as many"))
        }
    }

    impl Transcript {
        /// One that absorbs these, whatever is said.
        pub(crate) fn replaying(mut self, messages: &[Challenge], bytes: &[Vec<u8>]) -> Self {
            self.1 = Replay(Some((messages.iter().copied().collect(), bytes.iter().cloned().collect())));
            self
        }
    }
}
