//! That `Σ left(x)·right(x)` over a cube is a hidden value: the sumcheck to which every layer of sums comes down once records and
//! output channels are folded (Thaler, CRYPTO 2013).

use p3_field::PrimeCharacteristicRing;

use crate::channel::{ProofError, Prover, Verifier};
use crate::field::{Challenge, Element, product_rounds_of};
use crate::hidden::Hidden;

/// What is left to show: the values of both sides' multilinear extensions at a point (most significant variable first).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SidesClaim {
    /// The point.
    pub point: Vec<Challenge>,
    /// Of the left side.
    pub left: Hidden,
    /// Of the right side.
    pub right: Hidden,
}

/// Pads that a proof over `variables` uses, without those of its one product.
#[must_use]
pub fn pads(variables: usize) -> usize {
    2 * variables + 3
}

/// Shows the sum, the right side being of the base field; yields the point of what is left. What is missing of `2^variables` values is zeros, which are no
/// more than half of them.
///
/// # Panics
/// When one side is longer, or they are empty.
pub fn prove(channel: &mut Prover<'_>, left: Vec<Challenge>, right: &[Element]) -> Vec<Challenge> {
    let ([left, right], point) = product_rounds_of(left, right, |zero, leading| {
        channel.send(zero);
        channel.send(leading);
        channel.challenge()
    });
    channel.send(left);
    channel.send(right);
    channel.product(left, right);
    point
}

/// Numerator of the soundness error over `variables`: two degrees a round.
#[must_use]
pub fn errors(variables: usize) -> u64 {
    2 * variables as u64
}

/// Checks that the sum over `variables` is `claim`. A prover whose sum is another is left with a true claim with probability
/// at most [`errors`]` / |Challenge|`.
///
/// # Errors
/// [`ProofError`].
pub fn verify(
    channel: &mut Verifier<'_>,
    variables: usize,
    claim: &Hidden,
) -> Result<SidesClaim, ProofError> {
    let mut claim = claim.clone();
    let mut point = Vec::with_capacity(variables);
    for _ in 0..variables {
        let (zero, leading) = (channel.receive()?, channel.receive()?);
        let at = channel.challenge();
        // h(0) + h(1) = claim, so h(1) − h(0) − leading = claim − 2·h(0) − leading.
        let linear = &(&claim - &(&zero * Challenge::TWO)) - &leading;
        claim = &(&zero + &(&linear * at)) + &(&leading * at.square());
        point.push(at);
    }
    let (left, right) = (channel.receive()?, channel.receive()?);
    let product = channel.product(left.clone(), right.clone())?;
    channel.require_zero(&claim - &product);
    Ok(SidesClaim { point, left, right })
}

#[cfg(test)]
mod tests {
    use p3_field::BasedVectorSpace as _;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::channel::{Pads, Sent};
    use crate::field::{evaluate, random};
    use crate::transcript::Transcript;

    struct Case {
        left: Vec<Challenge>,
        right: Vec<Element>,
        pads: Pads,
        wires: Vec<Challenge>,
    }

    impl Case {
        fn new(seed: u8, variables: usize) -> Self {
            let mut rng = ChaCha20Rng::from_seed([seed; 32]);
            let left: Vec<Challenge> = (0..1 << variables).map(|_| random(&mut rng)).collect();
            let right: Vec<Element> =
                left.iter().map(|_| random(&mut rng).as_basis_coefficients_slice()[0]).collect();
            // One for the claim; two values at 0 and C at 0 and beyond for the product.
            let pads = Pads::random(&mut rng, 1 + pads(variables) + 4);
            let mut channel = Prover::new(Transcript::of_test(), &pads);
            channel.send(left.iter().zip(&right).map(|(a, b)| *a * *b).sum());
            prove(&mut channel, left.clone(), &right);
            let Sent { wires, used, .. } = channel.finish();
            assert_eq!(used, pads.expose().len(), "as many pads as announced");
            Self { left, right, pads, wires }
        }

        fn convinces(&self, wires: &[Challenge]) -> bool {
            let mut channel = Verifier::new(Transcript::of_test(), wires, &[]);
            let Ok(claim) = channel.receive() else { return false };
            let variables = self.left.len().ilog2() as usize;
            let Ok(sides) = verify(&mut channel, variables, &claim) else { return false };
            let pads = self.pads.expose();
            channel.finish().is_ok_and(|(claim, _)| claim.holds(pads))
                && sides.left.open(pads) == evaluate(&self.left, &sides.point)
                && sides.right.open(pads)
                    == evaluate(
                        &self.right.iter().map(|it| Challenge::from(*it)).collect::<Vec<_>>(),
                        &sides.point,
                    )
        }
    }

    #[test]
    fn a_sum_of_products_is_shown_and_no_other_and_no_changed_message() {
        for variables in 0..8 {
            let case = Case::new(9, variables);
            assert!(case.convinces(&case.wires), "{variables} variables");
            for place in 0..case.wires.len() {
                let mut changed = case.wires.clone();
                changed[place] += Challenge::TWO;
                assert!(!case.convinces(&changed), "message {place} of {}", changed.len());
            }
        }
    }
}
