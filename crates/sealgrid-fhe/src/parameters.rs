//! Named parameter sets, each with its security and where that is from. Nothing below 128 bits can be made.
//!
//! A [`ParameterSet`] is one of the constants of this file or none: its fields are private, and [`Parameters::new`], the only
//! way to primes, compares the length of the modulus with the published bound once more before it finds them.
//!
//! # Source of the bounds
//! [`MODULUS_BITS_MAX`] bounds the modulus for 128 bits of security against classical attacks, a uniform ternary secret and errors of standard
//! deviation 3.19 or 3.2. From 2^13 on it is Table 5.2 of J.-P. Bossuat et al., "Security Guidelines for Implementing Homomorphic
//! Encryption" (ePrint 2024/463), made with a newer lattice estimator than Table 1 of M. Albrecht et al., "Homomorphic Encryption Standard"
//! (2018; ePrint 2019/939), whose bounds are 27, 54, 109, 218, 438, 881. Below 2^13 it is the older table less the same two to four in a hundred.
//! The modulus counted is the longest one that anything is encrypted under, with the special prime of evaluation keys.

use crate::ring::{Available, Degree, Modulus, Ring};

/// Bits of security that every set has at least, against classical attacks.
pub const SECURITY_BITS_MIN: u32 = 128;

/// The bound on the bits of the modulus by `log2 N`, 10 to 15.
pub const MODULUS_BITS_MAX: [u32; 6] = [26, 53, 106, 214, 430, 868];

/// Why there are no such parameters.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParameterError {
    /// No parameter set has the number.
    #[error("E-FHE-01: no parameter set has number {number}")]
    Unknown {
        /// The number that was read.
        number: u16,
    },
    /// The modulus is longer than the bound for 128 bits of security.
    #[error(
        "E-FHE-02: a modulus of {bits} bits has less than 128 bits of security at degree {degree}: {limit} is most"
    )]
    Insecure {
        /// `N`.
        degree: usize,
        /// Bits of the modulus, special prime included.
        bits: u32,
        /// Most bits at this degree.
        limit: u32,
    },
    /// There are not as many primes of the length asked for.
    #[error("E-FHE-03: there are too few primes of {bits} bits")]
    TooFewPrimes {
        /// The length.
        bits: u32,
    },
}

/// What a set is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Exact integer sums, one prime, no evaluation keys: [`crate::linear`].
    Linear,
    /// Approximate arithmetic on slots: [`crate::ckks`].
    Ckks,
}

/// A named, versioned choice of degree and lengths of primes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterSet {
    name: &'static str,
    number: u16,
    scheme: Scheme,
    degree: Degree,
    chain_bits: &'static [u32],
    special_bits: Option<u32>,
}

impl ParameterSet {
    /// Exact linear layers of 8-bit weights: `N` = 2^11 and one prime of 50 bits, of the 53 that are allowed.
    pub const LINEAR_1: Self = Self {
        name: "linear-2048-50-v1",
        number: 1,
        scheme: Scheme::Linear,
        degree: Degree::TWO_11,
        chain_bits: &[50],
        special_bits: None,
    };

    /// Three products in a row on 4,096 slots with scales of 37 bits: `N` = 2^13 and 208 bits, of the 214 that are
    /// allowed. Depth and precision of small networks.
    pub const CKKS_1: Self = Self {
        name: "ckks-8192-3x37-v1",
        number: 2,
        scheme: Scheme::Ckks,
        degree: Degree::TWO_13,
        chain_bits: &[48, 37, 37, 37],
        special_bits: Some(49),
    };

    /// Every set there is. A published set never changes; a better one gets a new number.
    pub const ALL: [Self; 2] = [Self::LINEAR_1, Self::CKKS_1];

    /// The set of a number, as it is written in keys and ciphertexts.
    ///
    /// # Errors
    /// [`ParameterError::Unknown`] when no set has it.
    pub fn of_number(number: u16) -> Result<Self, ParameterError> {
        Self::ALL.into_iter().find(|set| set.number == number).ok_or(ParameterError::Unknown { number })
    }

    /// Its name, with its version.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// Its number in formats.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.number
    }

    /// What it is for.
    #[must_use]
    pub const fn scheme(self) -> Scheme {
        self.scheme
    }

    /// The degree `N`.
    #[must_use]
    pub const fn degree(self) -> Degree {
        self.degree
    }

    /// The first prime of its chain.
    pub(crate) fn first_prime(self) -> Modulus {
        Modulus::largest(self.chain_bits[0], self.degree, 0).expect("a published set; a test makes them all")
    }

    /// Bits of the longest modulus that anything is encrypted under.
    #[must_use]
    pub fn modulus_bits(self) -> u32 {
        self.chain_bits.iter().sum::<u32>() + self.special_bits.unwrap_or(0)
    }
}

/// Parameters that were checked: the only way to a ring.
#[derive(Clone)]
pub struct Parameters {
    set: ParameterSet,
    ring: Ring,
}

impl Parameters {
    /// The primes of a set, on this processor's fastest kernels.
    ///
    /// # Errors
    /// [`ParameterError::Insecure`] when the modulus exceeds the bound, [`ParameterError::TooFewPrimes`] when the lengths
    /// cannot be had. No set of [`ParameterSet::ALL`] gives either; a test holds that.
    pub fn new(set: ParameterSet) -> Result<Self, ParameterError> {
        Self::with_kernels(set, Available::fastest())
    }

    /// The same on the given kernels.
    ///
    /// # Errors
    /// As [`Parameters::new`].
    pub fn with_kernels(set: ParameterSet, available: Available) -> Result<Self, ParameterError> {
        secure(set)?;
        let mut lengths = Vec::new();
        let mut prime = |bits: u32| {
            let index = lengths.iter().filter(|&&length| length == bits).count();
            lengths.push(bits);
            Modulus::largest(bits, set.degree, index).ok_or(ParameterError::TooFewPrimes { bits })
        };
        let chain = set.chain_bits.iter().map(|&bits| prime(bits)).collect::<Result<Vec<_>, _>>()?;
        let special = set.special_bits.map(prime).transpose()?;
        Ok(Self { set, ring: Ring::new(set.degree, &chain, special, available) })
    }

    /// The set.
    #[must_use]
    pub const fn set(&self) -> ParameterSet {
        self.set
    }

    /// Its ring.
    #[must_use]
    pub const fn ring(&self) -> &Ring {
        &self.ring
    }
}

/// Refuses what is below [`SECURITY_BITS_MIN`].
fn secure(set: ParameterSet) -> Result<(), ParameterError> {
    let limit = MODULUS_BITS_MAX[(set.degree.log() - Degree::LOG_MIN) as usize];
    let bits = set.modulus_bits();
    if bits > limit {
        return Err(ParameterError::Insecure { degree: set.degree.get(), bits, limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_can_be_made_and_is_found_by_its_number() {
        for set in ParameterSet::ALL {
            let parameters = Parameters::new(set).expect("a published set");
            assert_eq!(ParameterSet::of_number(set.number()), Ok(set));
            assert!(set.name().ends_with("-v1"));
            let ring = parameters.ring();
            let primes = (0..ring.chain().rows()).map(|row| ring.modulus(ring.chain(), row).bits());
            assert_eq!(primes.collect::<Vec<_>>(), set.chain_bits, "{}", set.name());
        }
    }

    #[test]
    fn less_than_128_bits_is_refused_whatever_it_is_called() {
        let weak = |degree, chain_bits| ParameterSet { degree, chain_bits, ..ParameterSet::LINEAR_1 };
        let refused = |set| Parameters::new(set).err().map(|error| error.to_string());
        let error = refused(weak(Degree::MIN, &[27])).expect("27 bits at 2^10");
        assert!(error.starts_with("E-FHE-02"), "{error}");
        let error = refused(weak(Degree::TWO_11, &[50, 20])).expect("70 bits at 2^11");
        assert!(error.starts_with("E-FHE-02"), "{error}");
        let error = refused(weak(Degree::MAX, &[20; 20])).expect("not so many primes");
        assert!(error.starts_with("E-FHE-03"), "{error}");
    }

    #[test]
    fn an_unknown_number_is_no_set() {
        let error = ParameterSet::of_number(u16::MAX).expect_err("no such set");
        assert!(error.to_string().starts_with("E-FHE-01"), "{error}");
    }

    #[test]
    fn bounds_are_below_the_older_ones_and_double_with_the_degree() {
        let older = [27, 54, 109, 218, 438, 881];
        assert!(MODULUS_BITS_MAX.iter().zip(older).all(|(newer, older)| *newer < older));
        assert!(MODULUS_BITS_MAX.windows(2).all(|pair| pair[1].abs_diff(2 * pair[0]) <= 8));
    }
}
