//! What both sides have said so far, and the challenges that follow from it (Fiat-Shamir over BLAKE3).

use p3_blake3::Blake3;
use p3_challenger::{
    CanObserve, CanSample, CanSampleBits, CanSampleUniformBits, FieldChallenger, GrindingChallenger,
    HashChallenger, ResamplingError, SerializingChallenger32,
};
use p3_field::{BasedVectorSpace as _, PrimeField32 as _, PrimeField64 as _};
use p3_symmetric::Hash;
use sealgrid_seal::digest::{Digest, Label};

use crate::field::{Challenge, Element};

type Bytes = SerializingChallenger32<Element, HashChallenger<u8, Blake3, 32>>;

/// Bits of work that a prover does before positions are drawn: it looks for an element after which so many bits that are drawn are zero, `2^12` hashes
/// or a third of a millisecond (a proof does it three to five times; with sixteen bits that took longer than all else of a small one). Whoever wants other positions has to do it again, so the chance to be lucky with them counts so many bits less.
pub const WORK_BITS: usize = 12;
/// Of these the library asks for by itself ([`Challenger`]).
pub(crate) const LIBRARY_WORK_BITS: usize = 1;

/// What the library draws from. Its own work is before every draw of positions, and it makes fewer draws for it, but not of the masks' positions, which are half of
/// an opening: so it is told of one bit and a level of security that is lower by all others, and these are done here.
#[derive(Clone, Debug)]
pub(crate) struct Challenger(Bytes);

impl<T> CanObserve<T> for Challenger
where
    Bytes: CanObserve<T>,
{
    fn observe(&mut self, value: T) {
        self.0.observe(value);
    }
}

impl<T> CanSample<T> for Challenger
where
    Bytes: CanSample<T>,
{
    fn sample(&mut self) -> T {
        self.0.sample()
    }
}

impl CanSampleBits<usize> for Challenger {
    fn sample_bits(&mut self, bits: usize) -> usize {
        self.0.sample_bits(bits)
    }
}

impl CanSampleUniformBits<Element> for Challenger {
    fn sample_uniform_bits<const RESAMPLE: bool>(&mut self, bits: usize) -> Result<usize, ResamplingError> {
        self.0.sample_uniform_bits::<RESAMPLE>(bits)
    }
}

impl FieldChallenger<Element> for Challenger {}

impl GrindingChallenger for Challenger {
    type Witness = Element;

    fn grind(&mut self, bits: usize) -> Element {
        self.0.grind(bits + WORK_BITS - LIBRARY_WORK_BITS)
    }

    fn check_witness(&mut self, bits: usize, witness: Element) -> bool {
        self.0.check_witness(bits + WORK_BITS - LIBRARY_WORK_BITS, witness)
    }
}

/// A transcript. Both sides begin it with the same label and absorb the whole statement before the first challenge.
#[derive(Clone, Debug)]
pub struct Transcript(Challenger, #[cfg(test)] replay::Replay);

impl Transcript {
    /// Begins a transcript of one protocol.
    #[must_use]
    pub fn new(label: Label) -> Self {
        Self(
            Challenger(SerializingChallenger32::from_hasher(label.0.as_bytes().to_vec(), Blake3 {})),
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

    /// Does the [work](WORK_BITS) and absorbs what shows it.
    pub(crate) fn work(&mut self) -> Element {
        #[cfg(test)]
        if let Some(shown) = self.1.work() {
            assert!(self.worked(shown), "the work of the transcript that is replayed");
            return shown;
        }
        self.0.grind(LIBRARY_WORK_BITS)
    }

    /// Whether an element shows the work; absorbs it.
    pub(crate) fn worked(&mut self, shown: Element) -> bool {
        self.0.check_witness(LIBRARY_WORK_BITS, shown)
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

    use p3_field::ExtensionField as _;

    use super::{Challenge, Element, Transcript};

    /// What is absorbed in the place of what is said, if anything.
    #[derive(Clone, Debug, Default)]
    pub(super) struct Replay(Option<(VecDeque<Challenge>, VecDeque<Vec<u8>>)>);

    impl Replay {
        pub(super) fn message(&mut self, said: Challenge) -> Challenge {
            self.0.as_mut().map_or(said, |(messages, _)| messages.pop_front().expect("as many messages"))
        }

        pub(super) fn work(&mut self) -> Option<Element> {
            let (messages, _) = self.0.as_mut()?;
            messages.pop_front().expect("as many messages").as_base()
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
