//! What the test of zero-knowledge takes apart: an argument without a witness, the checks of a verifier that need no opening, and what is left of an
//! argument's messages when those that a prover with a supposed witness and no masks would send are taken off.

use super::*;
use crate::weights::ShownColumns;

/// All that is sent, in order: messages, opened columns, the last step's messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    pub(crate) wires: Vec<Challenge>,
    pub(crate) columns: Vec<Vec<Vec<Element>>>,
    pub(crate) last: Vec<Challenge>,
}

impl Numbers {
    pub(crate) fn of(argument: &Argument) -> Self {
        let Argument { wires, attached, last, .. } = argument;
        Self { wires: wires.clone(), columns: columns(attached), last: last.clone() }
    }
}

fn columns(attached: &[Vec<u8>]) -> Vec<Vec<Vec<Element>>> {
    let opened = attached.iter().map(|bytes| crate::commit::read::<ShownColumns>(bytes).expect("columns").0);
    opened.map(|columns| columns.into_iter().map(|column| column.concat()).collect()).collect()
}

/// An argument made from the statement alone. The conversation speaks of a content of zeros, and of commitments to zeros: nothing of
/// that is true, and every message is hidden by a uniform pad all the same. The last step's messages are drawn, but for the two that the
/// verifier's equation leaves no choice. No challenge had to be known before its time. What is missing is the opening, which shows two values that
/// the vector does not have: there the library's simulator programs the random function.
pub(crate) fn simulate(
    conversation: &impl Conversation,
    mut transcript: Transcript,
    rng: &mut impl CryptoRng,
) -> Argument {
    let layout = Layout::of(conversation).expect("small");
    let scheme = Scheme::new(conversation.level(), layout.variables, rng);
    let committed = scheme.commit(&mut transcript, vec![Element::ZERO; 1 << layout.variables]);
    let commitment = committed.commitment().clone();
    let pads = Pads::random(rng, layout.pads);
    let mut channel = Prover::new(transcript.clone(), &pads);
    let nothing = Witness::from(vec![Element::ZERO; conversation.content()]);
    conversation.prove(&mut channel, &nothing);
    let Sent { wires, attached, .. } = channel.finish();
    let mut channel = Verifier::new(transcript, &wires, &attached);
    let claims = conversation.verify(&mut channel, None).and_then(in_order).expect("equations of pads");
    let (said, mut transcript) = channel.finish().expect("true products");
    let weight = transcript.challenge();
    let (merged, value) = Merged::new(&layout, claims, said, weight);
    let at = |point: &[Challenge]| merged.at(point);
    let last = last::simulate(&mut transcript, value, at, layout.variables, layout.block, rng);
    Argument { commitment, wires, attached, last, opening: Vec::new() }
}

/// All that [`verify`] checks, but for the opening.
pub(crate) fn holds_but_for_the_opening(
    conversation: &impl Conversation,
    argument: &Argument,
    mut transcript: Transcript,
    rng: &mut impl CryptoRng,
) -> Result<(), ProofError> {
    let layout = Layout::of(conversation).expect("small");
    Scheme::new(conversation.level(), layout.variables, rng).absorb(&mut transcript, &argument.commitment);
    let mut channel = Verifier::new(transcript, &argument.wires, &argument.attached);
    let later = conversation.verify(&mut channel, None)?;
    let (said, mut transcript) = channel.finish()?;
    let weight = transcript.challenge();
    let last = Last::hear(&mut transcript, &argument.last, layout.variables, layout.block)?;
    let (merged, value) = Merged::new(&layout, in_order(later)?, said, weight);
    last.check(value, merged.at(&last.openings()[0].point))
}

/// What the argument about `conversation` says, minus what a prover of `supposed`, who has that witness and masks nothing, would say to the same
/// challenges: zero where that is the witness and nothing is masked.
pub(crate) fn beyond(
    conversation: &impl Conversation,
    supposed: (&impl Conversation, &Witness),
    argument: &Argument,
    mut transcript: Transcript,
    rng: &mut impl CryptoRng,
) -> Numbers {
    let layout = Layout::of(conversation).expect("small");
    Scheme::new(conversation.level(), layout.variables, rng).absorb(&mut transcript, &argument.commitment);
    let none = Pads::fixed(vec![Challenge::ZERO; layout.pads]);
    let mut channel = Prover::new(transcript.clone().replaying(&argument.wires, &argument.attached), &none);
    supposed.0.prove(&mut channel, supposed.1);
    let sent = channel.finish();

    let mut channel = Verifier::new(transcript, &argument.wires, &argument.attached);
    let claims = conversation.verify(&mut channel, None).and_then(in_order).expect("a true argument");
    let (said, mut transcript) = channel.finish().expect("a true argument");
    let weight = transcript.challenge();
    let functional = Merged::new(&layout, claims, said, weight).0.functional(&layout);
    let mut vector = supposed.1.content.clone();
    vector.resize(1 << layout.variables, Element::ZERO);
    let mut transcript = transcript.replaying(&argument.last, &[]);
    let (last, _) = last::prove(&mut transcript, &vector, functional, layout.block);

    let minus = |one: &[Challenge], other: &[Challenge]| -> Vec<Challenge> {
        assert_eq!(one.len(), other.len(), "as many messages");
        one.iter().zip(other).map(|(one, other)| *one - *other).collect()
    };
    let mut left = Numbers {
        wires: minus(&argument.wires, &sent.wires),
        columns: columns(&argument.attached),
        last: minus(&argument.last, &last),
    };
    let supposed = columns(&sent.attached).concat();
    for (column, supposed) in left.columns.iter_mut().flatten().zip(&supposed) {
        column.iter_mut().zip(supposed).for_each(|(element, supposed)| *element -= *supposed);
    }
    left
}
