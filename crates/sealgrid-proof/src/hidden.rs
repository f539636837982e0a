//! Values that the verifier computes with and does not know: affine forms of the prover's pads.

use std::ops::{Add, Mul, Sub};

use p3_field::PrimeCharacteristicRing;

use crate::field::Challenge;

/// `constant + Σ coefficient·pad`. The constant and the coefficients are known to both sides, the pads to the prover.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    constant: Challenge,
    /// By ascending pad, none twice.
    terms: Vec<(u32, Challenge)>,
}

impl Hidden {
    /// A value that everybody knows.
    #[must_use]
    pub fn known(value: Challenge) -> Self {
        Self { constant: value, terms: Vec::new() }
    }

    /// A pad and what was sent of the value that it hides.
    #[must_use]
    pub fn padded(wire: Challenge, pad: u32) -> Self {
        Self { constant: wire, terms: vec![(pad, Challenge::ONE)] }
    }

    /// What is known of it.
    pub fn constant(&self) -> Challenge {
        self.constant
    }

    /// The pads in it with their coefficients.
    pub fn terms(&self) -> &[(u32, Challenge)] {
        &self.terms
    }

    /// The value, for who knows the pads.
    ///
    /// # Panics
    /// With fewer pads than it names.
    pub fn open(&self, pads: &[Challenge]) -> Challenge {
        self.terms
            .iter()
            .fold(self.constant, |sum, (pad, coefficient)| sum + pads[*pad as usize] * *coefficient)
    }

    fn merged(&self, other: &Self, sign: Challenge) -> Self {
        let mut terms = Vec::with_capacity(self.terms.len() + other.terms.len());
        let (mut left, mut right) = (self.terms.iter().peekable(), other.terms.iter().peekable());
        loop {
            let term = match (left.peek(), right.peek()) {
                (Some((a, x)), Some((b, y))) if a == b => {
                    let sum = *x + sign * *y;
                    left.next();
                    right.next();
                    (*a, sum)
                }
                (Some((a, x)), Some((b, _))) if a < b => {
                    left.next();
                    (*a, *x)
                }
                (Some((a, x)), None) => {
                    left.next();
                    (*a, *x)
                }
                (_, Some((b, y))) => {
                    right.next();
                    (*b, sign * *y)
                }
                (None, None) => break,
            };
            terms.push(term);
        }
        Self { constant: self.constant + sign * other.constant, terms }
    }
}

impl Add<&Hidden> for &Hidden {
    type Output = Hidden;

    fn add(self, other: &Hidden) -> Hidden {
        self.merged(other, Challenge::ONE)
    }
}

impl Sub<&Hidden> for &Hidden {
    type Output = Hidden;

    fn sub(self, other: &Hidden) -> Hidden {
        self.merged(other, Challenge::NEG_ONE)
    }
}

impl Mul<Challenge> for &Hidden {
    type Output = Hidden;

    fn mul(self, factor: Challenge) -> Hidden {
        let terms = self.terms.iter().map(|(pad, coefficient)| (*pad, *coefficient * factor)).collect();
        Hidden { constant: self.constant * factor, terms }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::field::random;

    #[test]
    fn computing_with_hidden_values_is_computing_with_what_they_hide() {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let pads: Vec<Challenge> = (0..9).map(|_| random(&mut rng)).collect();
        let mut values = vec![Hidden::known(random(&mut rng)), Hidden::default()];
        for pad in 0..9 {
            values.push(Hidden::padded(random(&mut rng), pad));
        }
        for step in 0..200usize {
            let (a, b) = (values[step * 7 % values.len()].clone(), values[step * 5 % values.len()].clone());
            let factor = random(&mut rng);
            for (hidden, open) in [
                (&a + &b, a.open(&pads) + b.open(&pads)),
                (&a - &b, a.open(&pads) - b.open(&pads)),
                (&a * factor, a.open(&pads) * factor),
            ] {
                assert_eq!(hidden.open(&pads), open);
                assert!(hidden.terms().windows(2).all(|pair| pair[0].0 < pair[1].0));
                values.push(hidden);
            }
        }
    }
}
