//! A whole argument about one committed vector: the commitment, a conversation whose claims are linear in the vector, all of them merged into one
//! functional, the last step, the opening.
//!
//! ```text
//! vector = content | pads, five elements each | zeros | the block that masks the last step
//! ```
//!
//! The statement must be in the transcript before; nothing is drawn before the commitment is.

use p3_field::{BasedVectorSpace as _, Field as _, PrimeCharacteristicRing as _};
use rand_core::CryptoRng;

use crate::channel::{PadClaim, Pads, ProofError, Prover, Sent, Verifier};
use crate::commit::{Commitment, Scheme, VARIABLES_MAX, VARIABLES_MIN, opening_bits};
use crate::field::{Challenge, DEGREE, Element, basis, evaluate, random, soundness_bits, wipe};
use crate::hidden::Hidden;
use crate::last::{self, Block};
use crate::transcript::Transcript;

/// A claim about the content: `Σ functional·content = value`.
#[derive(Clone, Debug)]
pub struct ContentClaim {
    /// One weight an element of the content.
    pub functional: Vec<Challenge>,
    /// What they come to.
    pub value: Hidden,
}

/// What is said about the content, by both sides alike.
pub trait Conversation {
    /// Elements of the content.
    fn content(&self) -> usize;

    /// Pads that the conversation uses, those of its products included.
    fn pads(&self) -> usize;

    /// The prover's words.
    fn prove(&self, channel: &mut Prover<'_>, content: &[Element]);

    /// The verifier's; what is left to show.
    ///
    /// # Errors
    /// [`ProofError`].
    fn verify(&self, channel: &mut Verifier<'_>) -> Result<Vec<ContentClaim>, ProofError>;

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

    /// All claims as one: a functional of the vector, and its value.
    fn merged(&self, said: Said) -> (Vec<Challenge>, Challenge) {
        let mut functional = vec![Challenge::ZERO; 1 << self.variables];
        let mut value = said.pads.value;
        let (content, rest) = functional.split_at_mut(self.content);
        let mut pads = said.pads.coefficients;
        let mut power = said.weight;
        for claim in &said.claims {
            // Most claims are about a part of the content.
            let weights = content.iter_mut().zip(&claim.functional).filter(|(_, weight)| !weight.is_zero());
            weights.for_each(|(merged, weight)| *merged += power * *weight);
            for (pad, coefficient) in claim.value.terms() {
                pads[*pad as usize] -= power * *coefficient;
            }
            value += power * claim.value.constant();
            power *= said.weight;
        }
        for (weights, coefficient) in rest.chunks_exact_mut(DEGREE).zip(pads) {
            for (coordinate, weight) in weights.iter_mut().enumerate() {
                *weight = coefficient * basis(coordinate);
            }
        }
        (functional, value)
    }
}

/// What a conversation came to.
struct Said {
    pads: PadClaim,
    claims: Vec<ContentClaim>,
    weight: Challenge,
    errors: u64,
}

fn listen(
    conversation: &impl Conversation,
    transcript: Transcript,
    wires: &[Challenge],
    attached: &[Vec<u8>],
) -> Result<(Said, Transcript), ProofError> {
    let mut channel = Verifier::new(transcript, wires, attached);
    let claims = conversation.verify(&mut channel)?;
    let errors = channel.errors();
    let (pads, mut transcript) = channel.finish()?;
    let weight = transcript.challenge();
    let errors = errors + claims.len() as u64;
    Ok((Said { pads, claims, weight, errors }, transcript))
}

/// Whether there is room for a conversation.
///
/// # Errors
/// [`TooLarge`].
pub fn fits(conversation: &impl Conversation) -> Result<(), TooLarge> {
    Layout::of(conversation).map(drop)
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
    content: &[Element],
    mut transcript: Transcript,
    rng: &mut impl CryptoRng,
) -> Result<Argument, TooLarge> {
    assert!(content.len() == conversation.content(), "the conversation's content");
    let layout = Layout::of(conversation)?;
    let scheme = Scheme::new(layout.variables, rng);
    let pads = Pads::random(rng, layout.pads);
    let mut vector = layout.vector(content, &pads, rng);
    let (commitment, committed) = scheme.commit(&mut transcript, vector.clone());

    let mut channel = Prover::new(transcript.clone(), &pads);
    conversation.prove(&mut channel, content);
    let Sent { wires, attached, used } = channel.finish();
    assert!(used == layout.pads, "as many pads as announced");
    // What it comes to is told to both sides by the same words.
    let (said, mut transcript) =
        listen(conversation, transcript, &wires, &attached).expect("an honest conversation");
    let (functional, _) = layout.merged(said);
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
    let (said, mut transcript) = listen(conversation, transcript, &argument.wires, &argument.attached)?;
    let errors = said.errors + conversation.errors() + last::errors(layout.variables, layout.block);
    let (functional, value) = layout.merged(said);
    let at = |point: &[Challenge]| evaluate(&functional, point);
    let openings = last::verify(&mut transcript, &argument.last, layout.variables, layout.block, value, at)?;
    scheme.verify(&mut transcript, &argument.commitment, &openings, &argument.opening)?;
    let interactive = (-soundness_bits(errors)).exp2();
    Ok(-(interactive + conversation.missed() + (-opening_bits(layout.variables)).exp2()).log2())
}
