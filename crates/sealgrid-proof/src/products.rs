//! That hidden values are products of hidden values (the fully linear proof of eprint 2019/188, section 4.2, for one round).
//!
//! With points `0 … 2n`, `A` and `B` are the polynomials of degree `n` through all left and right factors at `1 … n` and a random value each
//! at `0`; `C = A·B` has degree `2n` and passes through the products. The prover sends the values of `C` that do not follow, hidden; the verifier
//! draws a point beyond and gets `A`, `B` and `C` there, in the clear. These are uniform but for `C = A·B`, because the values
//! at `0` are; a product that is wrong is found but for `2n / |Challenge|`.

use p3_field::{Field, PrimeCharacteristicRing};

use crate::channel::{ProofError, Prover, Verifier};
use crate::field::Challenge;
use crate::hidden::Hidden;

/// An equation that the prover shows.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    pub(crate) left: Hidden,
    pub(crate) right: Hidden,
    pub(crate) product: Hidden,
}

fn point(index: usize) -> Challenge {
    Challenge::from_usize(index)
}

/// Weights of the values at `0 … count−1` in the value at `at` of the polynomial through them (Lagrange); `at` is none of the points.
fn weights(count: usize, at: Challenge) -> Vec<Challenge> {
    // Π_j (at − j), and for each i the factors (i − j), which are i! and (count−1−i)! up to a sign.
    let product = (0..count).map(|j| at - point(j)).product::<Challenge>();
    let mut factorials = vec![Challenge::ONE];
    for i in 1..count {
        factorials.push(factorials[i - 1] * point(i));
    }
    (0..count)
        .map(|i| {
            let below = factorials[i] * factorials[count - 1 - i];
            let below = if (count - 1 - i).is_multiple_of(2) { below } else { -below };
            product * ((at - point(i)) * below).inverse()
        })
        .collect()
}

fn at_points(values: &[Challenge], at: Challenge) -> Challenge {
    weights(values.len(), at).into_iter().zip(values).map(|(weight, value)| weight * *value).sum()
}

/// The prover's side.
pub(crate) fn prove(channel: &mut Prover<'_>, products: &[[Challenge; 3]]) {
    if products.is_empty() {
        return;
    }
    let column = |first: Challenge, side: usize| -> Vec<Challenge> {
        std::iter::once(first).chain(products.iter().map(|product| product[side])).collect()
    };
    let (a, b) = (column(channel.pad(), 0), column(channel.pad(), 1));
    // C at 0 and at the points behind the products'.
    let first = a[0] * b[0];
    channel.send(first);
    let beyond = (products.len() + 1..=2 * products.len()).map(point);
    let beyond: Vec<Challenge> = beyond.map(|at| at_points(&a, at) * at_points(&b, at)).collect();
    beyond.iter().for_each(|value| channel.send(*value));
    let c: Vec<Challenge> = column(first, 2).into_iter().chain(beyond).collect();
    let at = channel.challenge();
    for values in [&a, &b, &c] {
        channel.reveal(at_points(values, at));
    }
}

/// The verifier's side.
pub(crate) fn verify(channel: &mut Verifier<'_>, products: &[Product]) -> Result<(), ProofError> {
    if products.is_empty() {
        return Ok(());
    }
    let (first_a, first_b) = (channel.pad(), channel.pad());
    let first_c = channel.receive()?;
    let beyond: Vec<Hidden> = products.iter().map(|_| channel.receive()).collect::<Result<_, _>>()?;
    let at = channel.challenge();
    // One of the points themselves: a verifier must not divide by zero, and an honest prover meets it never.
    if (0..=2 * products.len()).any(|index| point(index) == at) {
        return Err(ProofError::Wrong);
    }
    let a = std::iter::once(&first_a).chain(products.iter().map(|product| &product.left));
    let b = std::iter::once(&first_b).chain(products.iter().map(|product| &product.right));
    let c = std::iter::once(&first_c).chain(products.iter().map(|product| &product.product)).chain(&beyond);
    let short = weights(products.len() + 1, at);
    let long = weights(2 * products.len() + 1, at);
    let revealed = [
        revealed(channel, &combined(a, &short))?,
        revealed(channel, &combined(b, &short))?,
        revealed(channel, &combined(c, &long))?,
    ];
    if revealed[0] * revealed[1] == revealed[2] { Ok(()) } else { Err(ProofError::Wrong) }
}

fn combined<'h>(values: impl Iterator<Item = &'h Hidden>, weights: &[Challenge]) -> Hidden {
    values.zip(weights).fold(Hidden::default(), |sum, (value, weight)| &sum + &(value * *weight))
}

/// A value in the clear that must be what `hidden` hides.
fn revealed(channel: &mut Verifier<'_>, hidden: &Hidden) -> Result<Challenge, ProofError> {
    let value = channel.receive_revealed()?;
    channel.require_zero(hidden - &Hidden::known(value));
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_carry_a_polynomial_to_any_other_point() {
        let polynomial = |x: Challenge| x * x * x * point(3) - x * point(7) + point(11);
        for count in 4..9 {
            let values: Vec<Challenge> = (0..count).map(|i| polynomial(point(i))).collect();
            let at = point(1000) + Challenge::from_usize(17) * point(count);
            assert_eq!(at_points(&values, at), polynomial(at));
        }
    }
}
