//! The last step: a linear functional of a committed vector comes down to the vector's values at two points, which the
//! commitment opens. No later pad can hide its messages, so the vector brings its own masks: a block of random elements.
//!
//! The functional's sum is shown together with that of a polynomial `G(x) = c + Σ_j (a_j·x_j + b_j·x_j²)` whose coefficients stand in the block
//! (Libra, eprint 2019/317): every message is masked by a coefficient of its own. What `G` comes to at the end is again a linear functional, of the
//! block alone, in which nothing is secret but masks; it is shown in the clear by a second sumcheck over the block, whose
//! messages and both opened values are masked by the block's other elements.

use p3_field::{BasedVectorSpace as _, Field as _, PrimeCharacteristicRing};

use crate::channel::ProofError;
use crate::field::{Challenge, DEGREE, Element, basis, evaluate, product_rounds_of};
use crate::transcript::Transcript;

#[cfg(test)]
pub(crate) use self::simulator::simulate;

/// Where the random elements stand: `2^variables` of them from `number · 2^variables` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Which of the vector's blocks of this length.
    pub number: usize,
    /// Variables within the block.
    pub variables: usize,
}

impl Block {
    /// Variables of a block that masks everything that is shown about a vector of `2^variables` elements: twice as many elements as the
    /// masks have coefficients and the block's own sumcheck has rounds, so that in either half there are more than are told.
    #[must_use]
    pub fn variables_for(variables: usize) -> usize {
        let enough = |block: usize| 1usize << block >= 2 * DEGREE * (coefficients(variables) + 1 + block);
        (0..).find(|block| enough(*block)).expect("a power grows faster")
    }

    fn start(self) -> usize {
        self.number << self.variables
    }

    /// The block's place as the first coordinates of a point.
    fn prefix(self, variables: usize) -> impl Iterator<Item = Challenge> {
        let places = (0..variables - self.variables).rev();
        places.map(move |bit| Challenge::from_usize(self.number >> bit & 1))
    }
}

/// Elements of the extension that are shown: both sums, two a round, the opened value of the first sumcheck.
fn shown(variables: usize, block: usize) -> usize {
    3 + 2 * variables + 2 * block
}

/// Coefficients of the masks: a constant, and two a round.
fn coefficients(variables: usize) -> usize {
    1 + 2 * variables
}

/// A value of the committed vector's multilinear extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Where, most significant variable first.
    pub point: Vec<Challenge>,
    /// What.
    pub value: Challenge,
}

/// What the prover says to, and gets challenges from.
trait Listener {
    fn hear(&mut self, message: Challenge);
    fn challenge(&mut self) -> Challenge;
}

struct Recorded<'t> {
    transcript: &'t mut Transcript,
    messages: Vec<Challenge>,
}

impl Listener for Recorded<'_> {
    fn hear(&mut self, message: Challenge) {
        self.transcript.absorb(message);
        self.messages.push(message);
    }

    fn challenge(&mut self) -> Challenge {
        self.transcript.challenge()
    }
}

/// Numerator of the soundness error: two degrees a round of both sumchecks, one for the sum that joins the claim, two for the three sums
/// of the block that become one.
#[must_use]
pub fn errors(variables: usize, block: Block) -> u64 {
    2 * (variables + block.variables) as u64 + 3
}

/// Shows `Σ functional(x)·values(x)`, which the transcript has absorbed already; yields the messages and the two openings to make.
///
/// # Panics
/// When there are not `2^variables` values and as many entries of the functional, or the functional is not zero on the block.
#[must_use]
pub fn prove(
    transcript: &mut Transcript,
    values: &[Element],
    functional: Vec<Challenge>,
    block: Block,
) -> (Vec<Challenge>, [Opening; 2]) {
    let mut recorded = Recorded { transcript, messages: Vec::new() };
    let openings = prove_to(&mut recorded, values, functional, block);
    (recorded.messages, openings)
}

fn prove_to(
    listener: &mut impl Listener,
    values: &[Element],
    functional: Vec<Challenge>,
    block: Block,
) -> [Opening; 2] {
    let variables = values.len().ilog2() as usize;
    assert!(values.len() == 1 << variables && functional.len() == values.len(), "one entry a value");
    let own = &values[block.start()..][..1 << block.variables];
    assert!(
        functional[block.start()..][..own.len()].iter().all(Challenge::is_zero),
        "nothing is said of the block"
    );
    let (constant, masks) = masks(own, variables);
    listener.hear(inner(&sum_weights(variables), own));
    let epsilon = listener.challenge();

    let mut past = constant;
    let mut round = 0;
    let ([_, value], point) = product_rounds_of(functional, values, |zero, leading| {
        let left = variables - 1 - round;
        let [linear, square] = masks[round];
        // Behind this variable: half of what is left of the cube lies at 1 of each.
        let later: Challenge = masks[round + 1..].iter().map(|[linear, square]| *linear + *square).sum();
        let here = (past + later.halve()) * power_of_two(left);
        listener.hear(zero + epsilon * here);
        listener.hear(leading + epsilon * square * power_of_two(left));
        let at = listener.challenge();
        past += at * linear + at.square() * square;
        round += 1;
        at
    });
    listener.hear(value);

    // The block's own functional: both sums of G, and the elements that are no coefficients.
    let rest = rest_weights(variables, block, listener.challenge());
    listener.hear(inner(&rest, own));
    let delta = listener.challenge();
    let functional = block_functional(&point, &rest, block, delta);
    let ([_, second], within) = product_rounds_of(functional, own, |zero, leading| {
        listener.hear(zero);
        listener.hear(leading);
        listener.challenge()
    });
    listener.hear(second);
    let within = block.prefix(variables).chain(within).collect();
    [Opening { point, value }, Opening { point: within, value: second }]
}

/// What [`prove`] has said about a vector of `2^variables` elements, and what was drawn.
#[derive(Clone, Debug)]
pub struct Last {
    block: Block,
    sum: Challenge,
    epsilon: Challenge,
    rounds: Vec<Round>,
    value: Challenge,
    rest: Vec<Challenge>,
    rest_sum: Challenge,
    delta: Challenge,
    within: Vec<Round>,
    second: Challenge,
}

/// A round's polynomial, by its value at 0 and its leading coefficient, and where it is asked for.
#[derive(Clone, Copy, Debug)]
struct Round {
    zero: Challenge,
    leading: Challenge,
    at: Challenge,
}

impl Round {
    fn hear(
        transcript: &mut Transcript,
        count: usize,
        next: &mut impl FnMut(&mut Transcript) -> Challenge,
    ) -> Vec<Self> {
        let round = |_| {
            let (zero, leading) = (next(transcript), next(transcript));
            Self { zero, leading, at: transcript.challenge() }
        };
        (0..count).map(round).collect()
    }
}

impl Last {
    /// Hears it.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn hear(
        transcript: &mut Transcript,
        messages: &[Challenge],
        variables: usize,
        block: Block,
    ) -> Result<Self, ProofError> {
        // As many as are shown, and the second opened value.
        match messages.len().cmp(&(shown(variables, block.variables) + 1)) {
            std::cmp::Ordering::Less => return Err(ProofError::Truncated),
            std::cmp::Ordering::Greater => return Err(ProofError::TooLong),
            std::cmp::Ordering::Equal => {}
        }
        let mut messages = messages.iter().copied();
        let mut next = |transcript: &mut Transcript| {
            let message = messages.next().expect("counted above");
            transcript.absorb(message);
            message
        };
        let sum = next(transcript);
        let epsilon = transcript.challenge();
        let rounds = Round::hear(transcript, variables, &mut next);
        let value = next(transcript);
        let rest = rest_weights(variables, block, transcript.challenge());
        let rest_sum = next(transcript);
        let delta = transcript.challenge();
        let within = Round::hear(transcript, block.variables, &mut next);
        let second = next(transcript);
        Ok(Self { block, sum, epsilon, rounds, value, rest, rest_sum, delta, within, second })
    }

    fn point(&self) -> Vec<Challenge> {
        self.rounds.iter().map(|round| round.at).collect()
    }

    /// What is left to check against the commitment.
    #[must_use]
    pub fn openings(&self) -> [Opening; 2] {
        let within = self.within.iter().map(|round| round.at);
        let second = self.block.prefix(self.rounds.len()).chain(within).collect();
        [Opening { point: self.point(), value: self.value }, Opening { point: second, value: self.second }]
    }

    /// Checks that the functional's sum is `claim`, `functional` being the value of its multilinear extension at the first opening's point. A prover
    /// whose sum is another has then to open a wrong value, but for a probability of [`errors`]` / |Challenge|`.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn check(&self, claim: Challenge, functional: Challenge) -> Result<(), ProofError> {
        let claim = self.rounds.iter().fold(claim + self.epsilon * self.sum, after_round);
        let inverse = self.epsilon.try_inverse().ok_or(ProofError::Wrong)?;
        let masks = (claim - functional * self.value) * inverse;
        let claim = self.sum + self.delta * masks + self.delta.square() * self.rest_sum;
        let claim = self.within.iter().fold(claim, after_round);
        let block = block_functional(&self.point(), &self.rest, self.block, self.delta);
        let within: Vec<Challenge> = self.within.iter().map(|round| round.at).collect();
        if evaluate(&block, &within) * self.second == claim { Ok(()) } else { Err(ProofError::Wrong) }
    }
}

/// `h(at)` of the polynomial of degree 2 with `h(0) = zero`, leading coefficient `leading` and `h(0) + h(1) = claim`.
fn after_round(claim: Challenge, round: &Round) -> Challenge {
    let Round { zero, leading, at } = *round;
    let linear = claim - zero.double() - leading;
    zero + at * linear + at.square() * leading
}

fn power_of_two(exponent: usize) -> Challenge {
    Challenge::TWO.exp_u64(exponent as u64)
}

/// The constant and each round's linear and square coefficient: the block's elements in order, [`DEGREE`] a coefficient.
fn masks(block: &[Element], variables: usize) -> (Challenge, Vec<[Challenge; 2]>) {
    let coefficient = |number: usize| {
        Challenge::from_basis_coefficients_fn(|coordinate| block[number * DEGREE + coordinate])
    };
    (
        coefficient(0),
        (0..variables).map(|round| [coefficient(1 + 2 * round), coefficient(2 + 2 * round)]).collect(),
    )
}

fn inner(weights: &[Challenge], elements: &[Element]) -> Challenge {
    weights.iter().zip(elements).map(|(weight, element)| *weight * *element).sum()
}

/// Weights of the block's elements in a sum over all coefficients, each times its factor.
fn coefficient_weights(factors: impl Iterator<Item = Challenge>) -> Vec<Challenge> {
    factors.flat_map(|factor| (0..DEGREE).map(move |coordinate| factor * basis(coordinate))).collect()
}

/// Of `Σ_x G(x)`: half of the cube lies at 1 of each variable.
fn sum_weights(variables: usize) -> Vec<Challenge> {
    let all = power_of_two(variables);
    coefficient_weights(std::iter::once(all).chain(std::iter::repeat_n(all.halve(), 2 * variables)))
}

/// Of the elements behind the coefficients: powers of a challenge.
fn rest_weights(variables: usize, block: Block, challenge: Challenge) -> Vec<Challenge> {
    let coefficients = coefficients(variables) * DEGREE;
    let mut weights = vec![Challenge::ZERO; coefficients];
    weights.extend(challenge.powers().skip(1).take((1 << block.variables) - coefficients));
    weights
}

/// `Σ_x G(x) + δ·G(point) + δ²·rest` as weights of the block's elements.
fn block_functional(
    point: &[Challenge],
    rest: &[Challenge],
    block: Block,
    delta: Challenge,
) -> Vec<Challenge> {
    let powers = point.iter().flat_map(|at| [*at, at.square()]);
    let at_point = coefficient_weights(std::iter::once(Challenge::ONE).chain(powers));
    let sums = sum_weights(point.len());
    let mut functional = vec![Challenge::ZERO; 1 << block.variables];
    for (index, weight) in functional.iter_mut().enumerate() {
        let of = |weights: &[Challenge]| weights.get(index).copied().unwrap_or(Challenge::ZERO);
        *weight = of(&sums) + delta * of(&at_point) + delta.square() * of(rest);
    }
    functional
}

#[cfg(test)]
mod simulator;
#[cfg(test)]
mod tests;
