//! The fields of a proof.

use p3_field::extension::QuinticTrinomialExtensionField;
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing};
use p3_koala_bear::KoalaBear;
use rand_core::CryptoRng;

/// What is committed: integers modulo `2^31 − 2^24 + 1`.
pub type Element = KoalaBear;

/// What is drawn and sent: the extension of degree 5, about `2^154.9` elements.
pub type Challenge = QuinticTrinomialExtensionField<KoalaBear>;

/// A uniform element: 16 bytes a coordinate, reduced, so that the bias is below `2^-96`.
pub(crate) fn random(rng: &mut impl CryptoRng) -> Challenge {
    Challenge::from_basis_coefficients_fn(|_| {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Element::from_u128(u128::from_le_bytes(bytes))
    })
}

/// `eq(point, x)` for every vertex `x` of the cube, the first coordinate of the point the most significant bit.
pub(crate) fn equality(point: &[Challenge]) -> Vec<Challenge> {
    let mut weights = vec![Challenge::ONE];
    for &coordinate in point {
        weights = weights
            .iter()
            .flat_map(|&weight| {
                let one = weight * coordinate;
                [weight - one, one]
            })
            .collect();
    }
    weights
}

/// Binds the most significant variable of a multilinear polynomial given by its values.
pub(crate) fn bind(values: &mut Vec<Challenge>, at: Challenge) {
    let half = values.len() / 2;
    for low in 0..half {
        let (zero, one) = (values[low], values[low + half]);
        values[low] = zero + at * (one - zero);
    }
    values.truncate(half);
}

/// The multilinear extension of values at a point (most significant variable first).
#[cfg(test)]
pub(crate) fn evaluate(values: &[Challenge], point: &[Challenge]) -> Challenge {
    equality(point).into_iter().zip(values).map(|(weight, value)| weight * *value).sum()
}
