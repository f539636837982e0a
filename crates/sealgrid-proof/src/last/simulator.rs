//! The last step's messages without a vector.

use rand_core::CryptoRng;

use super::*;
use crate::field::{bind, random};

/// Messages that [`Last::check`] takes for `claim`: uniform, but for the two that follow from those before them.
pub(crate) fn simulate(
    transcript: &mut Transcript,
    claim: Challenge,
    functional: impl FnOnce(&[Challenge]) -> Challenge,
    variables: usize,
    block: Block,
    rng: &mut impl CryptoRng,
) -> Vec<Challenge> {
    let mut messages = Vec::new();
    let mut say = |transcript: &mut Transcript, message: Challenge| {
        transcript.absorb(message);
        messages.push(message);
        message
    };
    let sum = say(transcript, random(rng));
    let epsilon = transcript.challenge();
    let mut left = claim + epsilon * sum;
    let mut point = Vec::new();
    for _ in 0..variables {
        let (zero, leading) = (say(transcript, random(rng)), say(transcript, random(rng)));
        let at = transcript.challenge();
        left = after_round(left, &Round { zero, leading, at });
        point.push(at);
    }
    let value = say(transcript, random(rng));
    let rest = rest_weights(variables, block, transcript.challenge());
    let rest_sum = say(transcript, random(rng));
    let delta = transcript.challenge();
    let masks = (left - functional(&point) * value) * epsilon.inverse();
    let mut left = sum + delta * masks + delta.square() * rest_sum;
    let mut weights = block_functional(&point, &rest, block, delta);
    while weights.len() > 2 {
        let (zero, leading) = (say(transcript, random(rng)), say(transcript, random(rng)));
        let at = transcript.challenge();
        left = after_round(left, &Round { zero, leading, at });
        bind(&mut weights, at);
    }
    // Of the two elements that are left the value at 0 tells one, and what they come to the other.
    let zero = say(transcript, random(rng));
    let [first, second] = [zero * weights[0].inverse(), (left - zero) * weights[1].inverse()];
    let _ = say(transcript, (weights[1] - weights[0]) * (second - first));
    let at = transcript.challenge();
    let _ = say(transcript, first + (second - first) * at);
    messages
}
