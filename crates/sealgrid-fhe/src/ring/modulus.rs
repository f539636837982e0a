//! Primes below 2^50 whose rings have number-theoretic transforms.
//!
//! A [`Modulus`] is only made of a prime `q ≡ 1 (mod 2N)` for some degree `N`, so that a primitive `2N`-th root of unity
//! exists, and below [`BITS_MAX`] bits, so that four times `q` fits the 52-bit multipliers of the kernels.

use super::Degree;

/// Most bits of a modulus: a lazily reduced value is below `4q ≤ 2^52`, the width of AVX-512 IFMA's multipliers.
pub const BITS_MAX: u32 = 50;
/// Fewest bits: below, there are too few primes `≡ 1 (mod 2^16)` to choose from.
pub const BITS_MIN: u32 = 20;

/// A prime `q` below 2^50 with the constants that its arithmetic needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Modulus {
    q: u64,
    /// `⌊2^52 / q⌋`: reduces any 52-bit number by a product.
    one_quotient: u64,
    /// `2^52 mod q` and its quotient: folds the upper half of a 104-bit number.
    radix: Factor,
}

/// A constant factor `w < q` beside `⌊w · 2^52 / q⌋`, which turns `x · w mod q` into three products without a division
/// (V. Shoup's method; D. Harvey, "Faster arithmetic for number-theoretic transforms", 2014, section 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Factor {
    pub(crate) value: u64,
    pub(crate) quotient: u64,
}

impl Modulus {
    /// The prime `q`, if a ring of the given degree has a transform over it.
    ///
    /// `None` when `q` is not prime, not `≡ 1 (mod 2N)`, or has fewer than [`BITS_MIN`] or more than [`BITS_MAX`] bits.
    #[must_use]
    pub fn new(q: u64, degree: Degree) -> Option<Self> {
        let bits = u64::BITS - q.leading_zeros();
        let fits = (BITS_MIN..=BITS_MAX).contains(&bits) && q % (2 * degree.get() as u64) == 1;
        (fits && is_prime(q)).then(|| Self::of_prime(q))
    }

    fn of_prime(q: u64) -> Self {
        let plain =
            Self { q, one_quotient: (1 << 52) / q, radix: Factor { value: (1 << 52) % q, quotient: 0 } };
        Self { radix: plain.factor(plain.radix.value), ..plain }
    }

    /// The `index`-th largest prime of exactly `bits` bits with a transform at the given degree, counted from 0.
    ///
    /// `None` when there are not so many, or `bits` is outside [`BITS_MIN`]`..=`[`BITS_MAX`].
    #[must_use]
    pub fn largest(bits: u32, degree: Degree, index: usize) -> Option<Self> {
        if !(BITS_MIN..=BITS_MAX).contains(&bits) {
            return None;
        }
        let step = 2 * degree.get() as u64;
        // 2^bits + 1 - k · step, downwards.
        let candidates = (1..).map(|k| ((1 << bits) + 1_u64).saturating_sub(k * step));
        let candidates = candidates.take_while(|&q| q >= 1 << (bits - 1));
        candidates.filter(|&q| is_prime(q)).nth(index).map(Self::of_prime)
    }

    /// The prime.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.q
    }

    /// Its length in bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        u64::BITS - self.q.leading_zeros()
    }

    /// `⌊2^52 / q⌋`.
    pub(super) const fn one_quotient(self) -> u64 {
        self.one_quotient
    }

    /// `2^52 mod q`.
    pub(super) const fn radix(self) -> Factor {
        self.radix
    }

    /// `value mod q` as a constant factor.
    pub(crate) fn factor(self, value: u64) -> Factor {
        let value = value % self.q;
        let quotient = (u128::from(value) << 52) / u128::from(self.q);
        Factor { value, quotient: u64::try_from(quotient).expect("w / q is below 1") }
    }

    /// The residue of an integer.
    ///
    /// In constant time where the processor divides so: for small secrets there is `of_small`.
    #[must_use]
    pub fn of_integer(self, value: i64) -> u64 {
        let q = i64::try_from(self.q).expect("q has at most 50 bits");
        u64::try_from(value.rem_euclid(q)).expect("a remainder is not negative")
    }

    /// The residue of a small integer, `-q < value < q`, without branch or division.
    pub(crate) fn of_small(self, value: i64) -> u64 {
        let sign = (value >> 63).cast_unsigned();
        value.cast_unsigned().wrapping_add(sign & self.q)
    }

    /// The representative of a residue that is closest to zero, without a branch.
    #[must_use]
    pub fn centred(self, residue: u64) -> i64 {
        let above = ((self.q / 2).wrapping_sub(residue).cast_signed() >> 63).cast_unsigned();
        residue.wrapping_sub(above & self.q).cast_signed()
    }

    /// `a · b mod q`, plainly.
    #[must_use]
    pub fn multiply(self, a: u64, b: u64) -> u64 {
        multiply(a, b, self.q)
    }

    /// `base^exponent mod q`.
    #[must_use]
    pub fn power(self, base: u64, exponent: u64) -> u64 {
        power(base, exponent, self.q)
    }

    /// The inverse of a residue that is not zero, by Fermat's theorem.
    #[must_use]
    pub fn inverse(self, residue: u64) -> u64 {
        power(residue % self.q, self.q - 2, self.q)
    }

    /// The least primitive `2N`-th root of unity of the form `x^((q-1)/2N)` with the least `x ≥ 2` that gives one.
    pub(super) fn root(self, degree: Degree) -> u64 {
        let order = 2 * degree.get() as u64;
        (2..self.q)
            .map(|x| power(x, (self.q - 1) / order, self.q))
            .find(|&root| power(root, order / 2, self.q) == self.q - 1)
            .expect("q ≡ 1 (mod 2N), so half of all x give one")
    }
}

fn multiply(a: u64, b: u64, q: u64) -> u64 {
    u64::try_from(u128::from(a) * u128::from(b) % u128::from(q)).expect("a remainder is below q")
}

fn power(mut base: u64, mut exponent: u64, q: u64) -> u64 {
    let mut result = 1;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = multiply(result, base, q);
        }
        base = multiply(base, base, q);
        exponent >>= 1;
    }
    result
}

/// Miller's test with the first twelve primes as bases, which is no chance but a proof below 3.3 · 10^24
/// (J. Sorenson and J. Webster, "Strong pseudoprimes to twelve prime bases", 2015).
fn is_prime(n: u64) -> bool {
    const BASES: [u64; 12] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37];
    if n < 2 {
        return false;
    }
    if let Some(divisor) = BASES.iter().find(|&&base| n.is_multiple_of(base)) {
        return n == *divisor;
    }
    let twos = (n - 1).trailing_zeros();
    BASES.iter().all(|&base| {
        let mut x = power(base, (n - 1) >> twos, n);
        (x == 1 || x == n - 1)
            || (1..twos).any(|_| {
                x = multiply(x, x, n);
                x == n - 1
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primes_are_told_from_what_only_looks_like_one() {
        let primes: Vec<u64> = (0..60).filter(|&n| is_prime(n)).collect();
        assert_eq!(primes, [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59]);
        // Strong pseudoprimes to the bases 2; 2 to 7; 2 to 17, and 2^61 - 1, which is prime.
        for composite in [2047, 3_215_031_751, 341_550_071_728_321, 1105] {
            assert!(!is_prime(composite), "{composite}");
        }
        assert!(is_prime((1 << 61) - 1));
    }

    #[test]
    fn the_largest_primes_have_the_length_asked_for_and_a_transform() {
        for log in Degree::LOG_MIN..=Degree::LOG_MAX {
            let degree = Degree::from_log(log).expect("in range");
            for bits in [27, 37, 50] {
                let primes: Vec<_> = (0..3).filter_map(|i| Modulus::largest(bits, degree, i)).collect();
                assert!(!primes.is_empty() && primes.is_sorted_by(|a, b| a.value() > b.value()));
                for prime in primes {
                    assert_eq!(prime.bits(), bits);
                    assert_eq!(Modulus::new(prime.value(), degree), Some(prime));
                    let root = prime.root(degree);
                    assert_eq!(prime.power(root, degree.get() as u64), prime.value() - 1);
                }
            }
        }
        assert_eq!(Modulus::largest(51, Degree::MIN, 0), None);
        assert_eq!(
            Modulus::largest(20, Degree::MAX, 16),
            None,
            "2^20 and above 2^19 there are eight candidates"
        );
    }

    #[test]
    fn what_is_no_modulus_is_refused() {
        let good = Modulus::largest(50, Degree::MAX, 0).expect("exists").value();
        assert!(Modulus::new(good, Degree::MAX).is_some());
        assert!(Modulus::new(good - 2, Degree::MAX).is_none());
        assert!(Modulus::new(good + 65_536, Degree::MAX).is_none());
        assert!(Modulus::new(65_537, Degree::MIN).is_none(), "17 bits");
    }

    #[test]
    fn residues_are_centred_and_come_back() {
        let q = Modulus::largest(27, Degree::MIN, 0).expect("exists");
        let half = i64::try_from(q.value() / 2).expect("small");
        for value in [0, 1, -1, half, -half, 12_345] {
            assert_eq!(q.of_small(value), q.of_integer(value));
            assert_eq!(q.centred(q.of_integer(value)), value);
        }
        assert_eq!(q.centred(q.of_integer(half + 1)), -half);
    }
}
