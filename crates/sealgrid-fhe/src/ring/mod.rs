//! Arithmetic in `Z_Q[X]/(X^N + 1)` for `Q` a product of primes below 2^50.
//!
//! A [`Ring`] is a degree, a chain of ordinary primes and perhaps one special prime. A [`Polynomial`] has a row of `N` residues for
//! each prime of its [`Basis`]; its type says whether they are [`Coefficients`] or [`Values`]. All results are
//! canonical residues and do not depend on the [`Backend`].

mod kernels;
mod modulus;
mod polynomial;
mod transform;

#[cfg(test)]
mod tests;

pub use self::kernels::{Available, Backend};
pub use self::modulus::{BITS_MAX, BITS_MIN, Modulus};
pub use self::polynomial::{Automorphism, Basis, Coefficients, Form, Polynomial, Ring, Values};
pub use self::transform::Table;

/// The degree `N` of a ring: a power of two from 2^10 to 2^15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Degree(u32);

impl Degree {
    /// The logarithm of the lowest degree: below it no modulus is both secure and useful.
    pub const LOG_MIN: u32 = 10;
    /// The logarithm of the highest degree in the tables of the standard.
    pub const LOG_MAX: u32 = 15;
    /// 2^10.
    pub const MIN: Self = Self(Self::LOG_MIN);
    /// 2^15.
    pub const MAX: Self = Self(Self::LOG_MAX);

    /// 2^11.
    pub(crate) const TWO_11: Self = Self(11);
    /// 2^13.
    pub(crate) const TWO_13: Self = Self(13);

    /// The degree `2^log`, if that is one.
    #[must_use]
    pub fn from_log(log: u32) -> Option<Self> {
        (Self::LOG_MIN..=Self::LOG_MAX).contains(&log).then_some(Self(log))
    }

    /// `N`.
    #[must_use]
    pub const fn get(self) -> usize {
        1 << self.0
    }

    /// `log2 N`.
    #[must_use]
    pub const fn log(self) -> u32 {
        self.0
    }
}
