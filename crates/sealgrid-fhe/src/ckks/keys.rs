//! Evaluation keys: what the evaluator is given to multiply and rotate.

use std::collections::BTreeMap;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{Automorphism, CkksError, Digits, Operation, ckks};
use crate::parameters::ParameterSet;
use crate::ring::{Polynomial, Ring, Values};
use crate::rlwe::{KeyId, SecretKey};
use crate::sampling::{self, Seed};

/// Switches the digits of a polynomial from one key to another, or before a rotation.
pub struct SwitchingKey {
    /// For each prime of the chain an encryption of the special prime times the old key, in that prime's row alone.
    pub(super) digits: Vec<[Polynomial<Values>; 2]>,
    /// What the second half of each is made of.
    pub(super) seeds: Vec<Seed>,
    automorphism: Automorphism,
}

impl SwitchingKey {
    /// From the key `from` to the key `to`. Both are in all primes.
    fn new(
        ring: &Ring,
        from: &Polynomial<Values>,
        to: &Polynomial<Values>,
        automorphism: Automorphism,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let basis = ring.all();
        let lifted = Zeroizing::new(ring.times_special(from));
        let digit = |row: usize| {
            let seed = sampling::seed(rng);
            let a = sampling::uniform(ring, basis, &seed);
            let errors = sampling::errors(ring.degree().get(), rng);
            let mut b = ring.forward(ring.of_small(basis, &errors));
            let product = Zeroizing::new(ring.sum_of_products(basis, &[(&a, to)]));
            ring.subtract(&mut b, &product);
            ring.add_row(&mut b, &lifted, row);
            (seed, [b, a])
        };
        let (seeds, digits) = (0..basis.primes).map(digit).unzip();
        Self { digits, seeds, automorphism }
    }

    /// The key of first halves and the seeds of the second, for a rotation by `by` slots; 0 for products.
    pub(super) fn of_digits(ring: &Ring, halves: Vec<(Seed, Polynomial<Values>)>, by: usize) -> Self {
        let expand = |(seed, b): (Seed, Polynomial<Values>)| {
            let a = sampling::uniform(ring, b.basis(), &seed);
            (seed, [b, a])
        };
        let (seeds, digits) = halves.into_iter().map(expand).unzip();
        let power = power_of_five(by, 2 * ring.degree().get());
        Self { digits, seeds, automorphism: Automorphism::new(ring.degree(), power) }
    }

    /// `Σ_i digit_i · key_i`, times the special prime.
    pub(super) fn switch(&self, ring: &Ring, digits: &Digits) -> [Polynomial<Values>; 2] {
        [0, 1].map(|part| {
            let keys = self.digits.iter().map(|key| &key[part]);
            let pairs: Vec<_> = digits.digits.iter().zip(keys).collect();
            ring.sum_of_products(digits.basis, &pairs)
        })
    }

    /// What is applied afterwards.
    pub(super) const fn automorphism(&self) -> &Automorphism {
        &self.automorphism
    }
}

/// The keys that an evaluator is given: none of them decrypts.
pub struct EvaluationKeys {
    pub(super) set: ParameterSet,
    pub(super) key: KeyId,
    pub(super) keys: BTreeMap<Operation, SwitchingKey>,
}

impl EvaluationKeys {
    /// Keys for products and the given rotations to the left, each once; rotations by 0 and beyond the slots take none.
    ///
    /// # Errors
    /// [`CkksError::OtherScheme`] when the key is of a set without evaluation keys.
    pub fn generate(
        key: &SecretKey,
        rotations: &[usize],
        rng: &mut impl CryptoRng,
    ) -> Result<Self, CkksError> {
        ckks(key.parameters())?;
        let parameters = key.parameters();
        let ring = parameters.ring();
        let degree = ring.degree();
        let secret = key.expose_values();
        let square = Zeroizing::new(ring.sum_of_products(ring.all(), &[(secret, secret)]));
        let same = Automorphism::new(degree, 1);
        let mut keys = BTreeMap::new();
        keys.insert(Operation::Product, SwitchingKey::new(ring, &square, secret, same, rng));
        for &by in rotations.iter().filter(|by| (1..degree.get() / 2).contains(*by)) {
            keys.entry(Operation::Rotation(by)).or_insert_with(|| {
                let [power, inverse] =
                    [by, degree.get() / 2 - by].map(|by| power_of_five(by, 2 * degree.get()));
                // The digits are multiplied before the rotation, so the new key is the one that becomes `s` by it.
                let before = Zeroizing::new(Automorphism::new(degree, inverse).apply(secret));
                SwitchingKey::new(ring, secret, &before, Automorphism::new(degree, power), rng)
            });
        }
        Ok(Self { set: parameters.set(), key: key.id(), keys })
    }

    pub(super) const fn set(&self) -> ParameterSet {
        self.set
    }

    pub(super) const fn key(&self) -> KeyId {
        self.key
    }

    pub(super) fn of(&self, operation: Operation) -> Result<&SwitchingKey, CkksError> {
        self.keys.get(&operation).ok_or(CkksError::NoKey { operation })
    }
}

/// `5^exponent` modulo a power of two.
fn power_of_five(exponent: usize, modulus: usize) -> usize {
    (0..exponent).fold(1, |power, _| power * 5 % modulus)
}
