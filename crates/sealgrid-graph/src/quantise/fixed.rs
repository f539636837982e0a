//! Real factors as integers: fixed-point multipliers and quantised constants. All of this runs at import; what it
//! yields is frozen in the model.

use crate::integer::{ADD_MULTIPLIER_MAX, Requantise, SHIFT_MAX};
use crate::tensor::DType;

/// A real factor as `m / 2^s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factor {
    /// `0 <= m < 2^31`.
    pub multiplier: i32,
    /// `0 <= s <= 62`.
    pub shift: u8,
}

impl Factor {
    /// The nearest to a factor that is at least 0 and below 2^31: 31 significant bits where the shift allows them.
    /// Factors too large saturate, factors too small become 0: range and accuracy checks judge the result.
    #[must_use]
    pub fn nearest(real: f64) -> Self {
        if real.is_nan() || real <= 0.0 {
            return Self { multiplier: 0, shift: 0 };
        }
        // real = fraction · 2^exponent with 0.5 <= fraction < 1, hence m = fraction · 2^31 and s = 31 − exponent.
        let exponent = real.log2().floor() as i32 + 1;
        let shift = (31 - exponent).clamp(0, i32::from(SHIFT_MAX));
        let multiplier = (real * 2f64.powi(shift)).round();
        if multiplier >= 2f64.powi(31) {
            // The fraction rounded up to 1, or the factor is beyond 2^31.
            return match shift {
                0 => Self { multiplier: i32::MAX, shift: 0 },
                _ => Self { multiplier: 1 << 30, shift: u8::try_from(shift - 1).expect("at most 62") },
            };
        }
        Self { multiplier: multiplier as i32, shift: u8::try_from(shift).expect("at most 62") }
    }

    /// The least factor of at most `bits` significant bits that is not below `real`, for a real factor between 2^-30 and
    /// 2^30; else the nearest of 31 bits.
    ///
    /// Where a step may be chosen freely it is chosen so that its factor is one of these, and nothing is rounded at all.
    #[must_use]
    pub fn above(real: f64, bits: u8) -> Self {
        let exponent = if real > 0.0 { real.log2().floor() as i32 + 1 } else { i32::MIN };
        if !(-30..=30).contains(&exponent) {
            return Self::nearest(real);
        }
        let shift = i32::from(bits) - exponent;
        let multiplier = (real * 2f64.powi(shift)).ceil();
        Self::nearest(multiplier * 2f64.powi(-shift))
    }

    /// The same factor with the least multiplier: `floor((a·2m + 2^s) / 2^(s+1))` is `floor((a·m + h) / 2^s)`.
    fn reduced(self) -> Self {
        let twos = u8::try_from(self.multiplier.trailing_zeros()).expect("at most 32").min(self.shift);
        Self { multiplier: self.multiplier >> twos.min(31), shift: self.shift - twos }
    }

    /// The real number it stands for.
    pub fn real(self) -> f64 {
        f64::from(self.multiplier) / 2f64.powi(i32::from(self.shift))
    }
}

/// An output stage that multiplies by the given factors (one, or one per channel) and clamps.
#[must_use]
pub fn stage(factors: &[Factor], bounds: (i32, i32), output: DType) -> Requantise {
    let factors: Vec<Factor> = factors.iter().map(|factor| factor.reduced()).collect();
    Requantise {
        multipliers: factors.iter().map(|factor| factor.multiplier).collect(),
        shifts: factors.iter().map(|factor| factor.shift).collect(),
        low: bounds.0,
        high: bounds.1,
        output,
    }
}

/// Two real factors over one power of two, for [`crate::integer::Primitive::Add`]: `(left, right, shift)`.
#[must_use]
pub fn pair(left: f64, right: f64) -> (i32, i32, u8) {
    let most = left.abs().max(right.abs());
    let exponent = if most > 0.0 { most.log2().floor() as i32 + 1 } else { 0 };
    // Below 2^30 in magnitude, and a shift that leaves the exact sum its half.
    let shift = (30 - exponent).clamp(0, 60);
    let limit = f64::from(ADD_MULTIPLIER_MAX);
    let integer = |real: f64| (real * 2f64.powi(shift)).round().clamp(-limit, limit) as i32;
    (integer(left), integer(right), u8::try_from(shift).expect("at most 60"))
}

/// The nearest integer to `real / scale` within bounds; ties to even.
#[must_use]
pub fn integer(real: f64, scale: f64, bounds: (i32, i32)) -> i32 {
    (real / scale).round_ties_even().clamp(f64::from(bounds.0), f64::from(bounds.1)) as i32
}

/// The step with which values up to `magnitude` fill an element type symmetrically; 1 for nothing but zeros.
#[must_use]
pub fn step(magnitude: f64, dtype: DType) -> f64 {
    let step = magnitude / f64::from(dtype.bounds().1);
    if step.is_normal() { step } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_keep_30_significant_bits() {
        for exponent in -31..31 {
            for fraction in [0.5, 0.500_000_1, 0.75, 0.999_999_999, 0.999_999_999_999] {
                let real = fraction * 2f64.powi(exponent);
                let error = (Factor::nearest(real).real() - real).abs() / real;
                assert!(error <= 2f64.powi(-30), "{real}: {error}");
            }
        }
        assert_eq!(Factor::nearest(1.0), Factor { multiplier: 1 << 30, shift: 30 });
        assert_eq!(Factor::nearest(0.0).multiplier, 0);
        assert_eq!(Factor::nearest(f64::NAN).multiplier, 0);
        assert_eq!(Factor::nearest(1e30), Factor { multiplier: i32::MAX, shift: 0 });
        assert_eq!(Factor::nearest(1e-30).multiplier, 0);
    }

    #[test]
    fn pairs_share_a_power_of_two() {
        for (left, right) in [(1.0, -1.0), (0.3, 1e-4), (-1e6, 3.0), (1e-7, 1e-8)] {
            let (a, b, shift) = pair(left, right);
            let real = |integer: i32| f64::from(integer) / 2f64.powi(i32::from(shift));
            let most = left.abs().max(right.abs());
            assert!((real(a) - left).abs() <= most * 2f64.powi(-28), "{left}: {}", real(a));
            assert!((real(b) - right).abs() <= most * 2f64.powi(-28), "{right}: {}", real(b));
        }
        assert_eq!(pair(0.0, 0.0), (0, 0, 30));
    }

    #[test]
    fn the_factor_above_has_few_bits_and_is_little_larger() {
        for exponent in -28..28 {
            for fraction in [0.5, 0.500_000_1, 0.7, 0.75, 0.996_093_75, 0.999] {
                let real = fraction * 2f64.powi(exponent);
                let above = Factor::above(real, 8);
                assert!(above.real() >= real && above.real() <= real * (1.0 + 2f64.powi(-7)), "{real}");
                let significant = above.multiplier >> above.multiplier.trailing_zeros();
                assert!(significant < 1 << 8, "{above:?} for {real}");
                assert!(exponent >= 8 || above.reduced().multiplier < 1 << 8, "{above:?} for {real}");
            }
        }
        assert_eq!(Factor::above(0.0, 8).multiplier, 0);
        assert_eq!(Factor::above(1e-30, 8).multiplier, 0);
        assert_eq!(Factor::above(1e30, 8), Factor { multiplier: i32::MAX, shift: 0 });
    }

    #[test]
    fn a_reduced_factor_rounds_alike() {
        for (multiplier, shift) in
            [(1 << 30, 30), (3 << 29, 31), (0, 0), (0, 7), (12, 1), (12, 2), (12, 3), (12, 5)]
        {
            let stage = |factor: Factor, a: i64| {
                let half = if factor.shift == 0 { 0 } else { 1i64 << (factor.shift - 1) };
                (a * i64::from(factor.multiplier) + half) >> factor.shift
            };
            let factor = Factor { multiplier, shift };
            for a in -1000..1000 {
                assert_eq!(stage(factor, a), stage(factor.reduced(), a), "{factor:?} of {a}");
            }
        }
        assert_eq!(Factor { multiplier: 1 << 30, shift: 30 }.reduced(), Factor { multiplier: 1, shift: 0 });
    }

    #[test]
    fn integers_round_ties_to_even_and_saturate() {
        let at = |real| integer(real, 0.5, (-128, 127));
        assert_eq!([0.25, 0.75, -0.25, 1e9, -1e9].map(at), [0, 2, 0, 127, -128]);
        assert!((step(1.27, DType::I8) - 0.01).abs() < 1e-12);
        assert_eq!(step(0.0, DType::I8), 1.0);
    }
}
