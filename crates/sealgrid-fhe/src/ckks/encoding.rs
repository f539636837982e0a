//! Real vectors as polynomials: the canonical embedding.
//!
//! Slot `j` is the value of the polynomial at `ζ^(5^j)`, `ζ = exp(πi/N)`; the value at the conjugate root is its conjugate, and the
//! polynomial is real (J. Cheon, A. Kim, M. Kim, Y. Song, "Homomorphic encryption for arithmetic of approximate numbers",
//! 2017, section 3.2). Then `X → X^(5^r)` rotates slots by `r` places to the left.
//!
//! This is floating-point arithmetic on the side of whoever has the numbers, and may differ in the last bit between
//! machines. Evaluators that are compared must be given the same encoded plaintexts, not the same numbers.

use crate::ring::Degree;

#[derive(Clone, Copy, Default)]
struct Complex {
    real: f64,
    imaginary: f64,
}

impl Complex {
    fn times(self, other: Self) -> Self {
        Self {
            real: self.real * other.real - self.imaginary * other.imaginary,
            imaginary: self.real * other.imaginary + self.imaginary * other.real,
        }
    }
}

/// The power of `ζ` at slot `slot`: `5^slot mod 2N`.
fn exponents(degree: Degree) -> impl Iterator<Item = usize> {
    let twice = 2 * degree.get();
    std::iter::successors(Some(1), move |power| Some(power * 5 % twice)).take(degree.get() / 2)
}

/// `ζ^k` for `k < 2N`.
fn roots(degree: Degree) -> Vec<Complex> {
    let unit = std::f64::consts::PI / degree.get() as f64;
    let root = |k: usize| Complex { real: (unit * k as f64).cos(), imaginary: (unit * k as f64).sin() };
    (0..2 * degree.get()).map(root).collect()
}

/// The coefficients whose slots are `values`, repeated until they fill `N/2`.
pub(super) fn coefficients(degree: Degree, values: &[f64]) -> Vec<f64> {
    let n = degree.get();
    let roots = roots(degree);
    let mut points = vec![Complex::default(); n];
    for (exponent, &real) in exponents(degree).zip(values.iter().cycle()) {
        // Odd powers e are numbered (e - 1)/2; a real slot is its own conjugate.
        points[(exponent - 1) / 2].real = real;
        points[(2 * n - exponent - 1) / 2].real = real;
    }
    // a_i = (1/N) Σ_k m(ζ^(2k+1)) ζ^(-(2k+1)i) = ζ^-i / N · Σ_k m_k ω^(-ki).
    transform(&mut points, &roots, |root| Complex { imaginary: -root.imaginary, ..root });
    let scaled = points.iter().zip(&roots);
    scaled.map(|(p, root)| (p.real * root.real + p.imaginary * root.imaginary) / n as f64).collect()
}

/// The slots of coefficients.
pub(super) fn slots(degree: Degree, coefficients: &[f64]) -> Vec<f64> {
    let roots = roots(degree);
    let twisted = coefficients.iter().zip(&roots);
    let mut points: Vec<_> =
        twisted.map(|(a, root)| Complex { real: a * root.real, imaginary: a * root.imaginary }).collect();
    transform(&mut points, &roots, |root| root);
    exponents(degree).map(|exponent| points[(exponent - 1) / 2].real).collect()
}

/// `X_k = Σ_i x_i ω^(ki)` with `ω = direction(ζ^2)`, in place: Cooley and Tukey's, radix 2.
fn transform(points: &mut [Complex], roots: &[Complex], direction: impl Fn(Complex) -> Complex) {
    let n = points.len();
    let bits = n.ilog2();
    for index in 0..n {
        let reversed = index.reverse_bits() >> (usize::BITS - bits);
        if index < reversed {
            points.swap(index, reversed);
        }
    }
    for level in 1..=bits {
        let length = 1 << level;
        for part in points.chunks_exact_mut(length) {
            let (low, high) = part.split_at_mut(length / 2);
            for (index, (x, y)) in low.iter_mut().zip(high).enumerate() {
                let product = y.times(direction(roots[index * 2 * n / length]));
                *y = Complex { real: x.real - product.real, imaginary: x.imaginary - product.imaginary };
                *x = Complex { real: x.real + product.real, imaginary: x.imaginary + product.imaginary };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_values_at_powers_of_the_root_and_come_back() {
        let degree = Degree::MIN;
        let values: Vec<f64> = (0..degree.get() / 2).map(|i| ((i * 37 % 101) as f64) / 50.0 - 1.0).collect();
        let coefficients = coefficients(degree, &values);
        for (slot, exponent) in exponents(degree).enumerate().step_by(97) {
            let angle = |i: usize| std::f64::consts::PI * (i * exponent % (2 * degree.get())) as f64 / 1024.0;
            let value: f64 = coefficients.iter().enumerate().map(|(i, a)| a * angle(i).cos()).sum();
            let imaginary: f64 = coefficients.iter().enumerate().map(|(i, a)| a * angle(i).sin()).sum();
            assert!((value - values[slot]).abs() < 1e-10 && imaginary.abs() < 1e-10, "slot {slot}");
        }
        let back = slots(degree, &coefficients);
        assert!(back.iter().zip(&values).all(|(a, b)| (a - b).abs() < 1e-12));
    }

    #[test]
    fn short_vectors_repeat() {
        let back = slots(Degree::MIN, &coefficients(Degree::MIN, &[1.0, -2.0]));
        assert!(back.chunks(2).all(|pair| (pair[0] - 1.0).abs() < 1e-12 && (pair[1] + 2.0).abs() < 1e-12));
    }
}
