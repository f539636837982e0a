//! A whole argument about one committed vector: the commitment, a conversation whose claims are linear in the vector, all of them merged into one
//! functional, the last step, the opening.
//!
//! ```text
//! vector = content | pads, five elements each | zeros | the block that masks the last step
//! ```
//!
//! The statement must be in the transcript before; nothing is drawn before the commitment is.

use p3_field::{BasedVectorSpace as _, Field as _, PackedFieldExtension as _, PrimeCharacteristicRing as _};
use rand_core::CryptoRng;

use crate::channel::{PadClaim, Pads, ProofError, Prover, Sent, Verifier};
use crate::commit::{Commitment, Scheme, VARIABLES_MAX, VARIABLES_MIN, opening_bits};
use crate::field::{
    Challenge, DEGREE, Element, LANES, basis, evaluate_from, pack, random, soundness_bits, wipe,
};
use crate::hidden::Hidden;
use crate::last::{self, Block, Last};
use crate::lookups::{Pulled, Witness};
use crate::threads::both;
use crate::transcript::Transcript;

/// A claim about the content: `Σ functional·content = value`.
#[derive(Clone, Debug)]
pub struct ContentClaim {
    /// What weighs the content, part by part; parts may overlap, and then add up.
    pub functional: Vec<Part>,
    /// What they come to.
    pub value: Hidden,
}

/// What weighs a part of the content: places of several records, or rows of several elements, the weight of `content[start + place·R + record]` being
/// `places[place]·records[record]`. `R`, the number of `records`, is a power of two, and `start` a multiple of it.
#[derive(Clone, Debug)]
pub struct Part {
    start: usize,
    places: Vec<Challenge>,
    records: Vec<Challenge>,
}

impl Part {
    /// One weight an element, from `start` on.
    #[must_use]
    pub fn plain(start: usize, weights: Vec<Challenge>) -> Self {
        Self { start, places: weights, records: vec![Challenge::ONE] }
    }

    /// A weight for each place and one for each record.
    ///
    /// # Panics
    /// When the records are no power of two, or `start` no multiple of it.
    #[must_use]
    pub fn of_records(start: usize, places: Vec<Challenge>, records: &[Challenge]) -> Self {
        assert!(
            records.len().is_power_of_two() && start.is_multiple_of(records.len()),
            "an aligned part, so that its value at a point is a product"
        );
        Self { start, places, records: records.to_vec() }
    }

    /// Adds it, times a factor, to a functional of the whole vector.
    fn add(&self, factor: Challenge, functional: &mut [Challenge]) {
        let records: Vec<Challenge> = self.records.iter().map(|record| *record * factor).collect();
        let chunks = functional[self.start..].chunks_exact_mut(records.len()).zip(&self.places);
        // Most parts say nothing of some places.
        let chunks = chunks.filter(|(_, place)| !place.is_zero());
        if records.len() < LANES {
            chunks.for_each(|(chunk, place)| {
                chunk.iter_mut().zip(&records).for_each(|(sum, record)| *sum += *record * *place);
            });
        } else {
            let records = pack(&records);
            chunks.for_each(|(chunk, place)| {
                for (sums, records) in chunk.chunks_exact_mut(LANES).zip(&records) {
                    let products = *records * *place;
                    for (lane, sum) in sums.iter_mut().enumerate() {
                        let product: Challenge = products.extract(lane);
                        *sum += product;
                    }
                }
            });
        }
    }

    /// Takes on another part, times a factor, if it weighs the same records' places.
    fn takes(&mut self, factor: Challenge, other: &Self) -> bool {
        let same = self.start == other.start
            && self.places.len() == other.places.len()
            && self.records == other.records;
        if same {
            let places = self.places.iter_mut().zip(&other.places);
            places.for_each(|(place, other)| *place += factor * *other);
        }
        same
    }

    /// The value of its multilinear extension on the vector's cube.
    fn at(&self, point: &[Challenge]) -> Challenge {
        let (places, records) = point.split_at(point.len() - self.records.len().ilog2() as usize);
        let record = evaluate_from(&self.records, 0, records);
        record * evaluate_from(&self.places, self.start / self.records.len(), places)
    }
}

/// What is left to show of the content once a conversation was heard; it takes no more of it, so it can be worked out beside what comes then.
pub type Later<'c> = Box<dyn FnOnce() -> Result<Vec<ContentClaim>, ProofError> + Send + 'c>;

/// What is said about the content, by both sides alike.
pub trait Conversation {
    /// Elements of the content.
    fn content(&self) -> usize;

    /// Pads that the conversation uses, those of its products included.
    fn pads(&self) -> usize;

    /// The prover's words. What it had to work out of that which both sides do need not be done again.
    fn prove(&self, channel: &mut Prover<'_>, witness: &Witness) -> Option<Pulled>;

    /// The verifier's; what is left to show. A prover who hears itself brings what [`Conversation::prove`] yielded.
    ///
    /// # Errors
    /// [`ProofError`].
    fn verify<'c>(
        &'c self,
        channel: &mut Verifier<'c>,
        pulled: Option<Pulled>,
    ) -> Result<Later<'c>, ProofError>;

    /// Numerator of the soundness error of [`Conversation::verify`], the channel's own excluded.
    fn errors(&self) -> u64;

    /// What its spot checks miss, which is no fraction of the challenges: a probability.
    fn missed(&self) -> f64 {
        0.0
    }
}

/// What the prover sends.
#[derive(Clone, Debug)]
pub struct Argument {
    /// To the vector.
    pub commitment: Commitment,
    /// The conversation's messages.
    pub wires: Vec<Challenge>,
    /// What it says that is no element.
    pub attached: Vec<Vec<u8>>,
    /// The last step's messages.
    pub last: Vec<Challenge>,
    /// The opening.
    pub opening: Vec<u8>,
}

/// A conversation has more content and pads than a vector may have elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a proof of {elements} elements; 2^24 are the most")]
pub struct TooLarge {
    /// Elements that are needed.
    pub elements: usize,
}

/// Where everything stands in the vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    content: usize,
    pads: usize,
    variables: usize,
    block: Block,
}

impl Layout {
    fn of(conversation: &impl Conversation) -> Result<Self, TooLarge> {
        let (content, pads) = (conversation.content(), conversation.pads());
        let elements = |variables| content + DEGREE * pads + (1 << Block::variables_for(variables));
        let variables = (VARIABLES_MIN..=VARIABLES_MAX)
            .find(|variables| elements(*variables) <= 1 << variables)
            .ok_or_else(|| TooLarge { elements: elements(VARIABLES_MAX) })?;
        let block = Block::variables_for(variables);
        let last = (1 << (variables - block)) - 1;
        Ok(Self { content, pads, variables, block: Block { number: last, variables: block } })
    }

    fn vector(&self, content: &[Element], pads: &Pads, rng: &mut impl CryptoRng) -> Vec<Element> {
        let mut vector = content.to_vec();
        for pad in pads.expose() {
            vector.extend_from_slice(pad.as_basis_coefficients_slice());
        }
        vector.resize((1 << self.variables) - (1 << self.block.variables), Element::ZERO);
        while vector.len() < 1 << self.variables {
            let coefficients = random(rng);
            let coefficients = coefficients.as_basis_coefficients_slice();
            let room = (1 << self.variables) - vector.len();
            vector.extend_from_slice(&coefficients[..room.min(DEGREE)]);
        }
        vector
    }
}

/// All claims as one, about the whole vector.
struct Merged {
    parts: Vec<(Challenge, Part)>,
    value: Challenge,
}

impl Merged {
    /// Claims weighed with powers of `weight`, and what is said of the pads, which stand behind the content.
    fn new(layout: &Layout, claims: Vec<ContentClaim>, said: PadClaim, weight: Challenge) -> Self {
        let PadClaim { mut coefficients, mut value } = said;
        let mut parts = Vec::new();
        for (claim, power) in claims.into_iter().zip(weight.powers().skip(1)) {
            for (pad, coefficient) in claim.value.terms() {
                coefficients[*pad as usize] -= power * *coefficient;
            }
            value += power * claim.value.constant();
            parts.extend(claim.functional.into_iter().map(|part| (power, part)));
        }
        let weights = |coefficient: Challenge| (0..DEGREE).map(move |at| coefficient * basis(at));
        let pads = coefficients.into_iter().take(layout.pads).flat_map(weights).collect();
        parts.push((Challenge::ONE, Part::plain(layout.content, pads)));
        Self { parts, value }
    }

    fn functional(&self, layout: &Layout) -> Vec<Challenge> {
        let mut functional = vec![Challenge::ZERO; 1 << layout.variables];
        let (batched, plain): (Vec<_>, Vec<_>) =
            self.parts.iter().partition(|(_, part)| part.records.len() > 1);
        plain.into_iter().for_each(|(factor, part)| part.add(*factor, &mut functional));
        // Several claims weigh the same records: they are merged before each place is multiplied by each record.
        let mut merged: Vec<Part> = Vec::new();
        for (factor, part) in batched {
            if !merged.iter_mut().any(|merged| merged.takes(*factor, part)) {
                let mut part = part.clone();
                part.places.iter_mut().for_each(|place| *place *= *factor);
                merged.push(part);
            }
        }
        merged.iter().for_each(|part| part.add(Challenge::ONE, &mut functional));
        functional
    }

    fn at(&self, point: &[Challenge]) -> Challenge {
        self.parts.iter().map(|(factor, part)| *factor * part.at(point)).sum()
    }
}

/// Variables of the vector that a conversation needs.
///
/// # Errors
/// [`TooLarge`] when there is no room for it.
pub fn variables(conversation: &impl Conversation) -> Result<usize, TooLarge> {
    Ok(Layout::of(conversation)?.variables)
}

/// Commits to the content and shows what the conversation says of it. `transcript` has absorbed the statement.
///
/// # Errors
/// [`TooLarge`].
///
/// # Panics
/// When the content has another length than the conversation's, or what is said of it is not true.
pub fn prove(
    conversation: &impl Conversation,
    witness: &Witness,
    mut transcript: Transcript,
    rng: &mut impl CryptoRng,
) -> Result<Argument, TooLarge> {
    assert!(witness.content.len() == conversation.content(), "the conversation's content");
    let layout = Layout::of(conversation)?;
    let scheme = Scheme::new(layout.variables, rng);
    let pads = Pads::random(rng, layout.pads);
    let mut vector = layout.vector(&witness.content, &pads, rng);
    let (commitment, committed) = scheme.commit(&mut transcript, vector.clone());

    let mut channel = Prover::new(transcript.clone(), &pads);
    let pulled = conversation.prove(&mut channel, witness);
    let Sent { wires, attached, used } = channel.finish();
    assert!(used == layout.pads, "as many pads as announced");
    // What it comes to is told to both sides by the same words.
    let mut channel = Verifier::new(transcript, &wires, &attached);
    let claims = conversation.verify(&mut channel, pulled).and_then(|later| later());
    let (said, mut transcript) = channel.finish().expect("an honest conversation");
    let weight = transcript.challenge();
    let merged = Merged::new(&layout, claims.expect("an honest conversation"), said, weight);
    let functional = merged.functional(&layout);
    let (last, openings) = last::prove(&mut transcript, &vector, functional, layout.block);
    wipe(&mut vector);
    let opening = scheme.open(&mut transcript, committed, &openings.map(|opening| opening.point));
    Ok(Argument { commitment, wires, attached, last, opening })
}

/// Checks an argument; yields its bits of soundness, all steps added up.
///
/// # Errors
/// [`ProofError`].
pub fn verify(
    conversation: &impl Conversation,
    argument: &Argument,
    mut transcript: Transcript,
    rng: &mut impl CryptoRng,
) -> Result<f64, ProofError> {
    let layout = Layout::of(conversation).map_err(|_| ProofError::TooLong)?;
    let scheme = Scheme::new(layout.variables, rng);
    scheme.absorb(&mut transcript, &argument.commitment);
    let mut channel = Verifier::new(transcript, &argument.wires, &argument.attached);
    let later = conversation.verify(&mut channel, None)?;
    let errors = channel.errors();
    let (said, mut transcript) = channel.finish()?;
    let weight = transcript.challenge();
    let last = Last::hear(&mut transcript, &argument.last, layout.variables, layout.block)?;
    let openings = last.openings();
    // Everything was drawn that the claims depend on, so they are worked out while the opening is checked.
    let opened = || scheme.verify(&mut transcript, &argument.commitment, &openings, &argument.opening);
    let shown = || {
        let claims = later()?;
        let errors = claims.len() as u64;
        let merged = Merged::new(&layout, claims, said, weight);
        last.check(merged.value, merged.at(&openings[0].point)).map(|()| errors)
    };
    let (opened, shown) = both(opened, shown);
    opened?;
    let errors = errors + shown? + conversation.errors() + last::errors(layout.variables, layout.block);
    let interactive = (-soundness_bits(errors)).exp2();
    Ok(-(interactive + conversation.missed() + (-opening_bits(layout.variables)).exp2()).log2())
}

#[cfg(test)]
pub(crate) mod simulator;
