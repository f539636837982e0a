//! Secret keys, and encryption under them of polynomials.
//!
//! A ciphertext of `m` under `s` is a pair `(b, a)` with `b = m + e - a·s`; its *phase* `b + a·s` is the message with its error.
//! Here `a` is uniform from a seed, so a fresh ciphertext is the seed and `b` (V. Lyubashevsky, C. Peikert, O. Regev, "On ideal
//! lattices and learning with errors over rings", 2010).
//!
//! Whoever evaluates is given types of this crate that hold ciphertexts and public numbers. [`SecretKey`] is no part of
//! any of them, is not cloned by accident, and its methods are the only ones that decrypt.

use std::fmt;

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use crate::parameters::Parameters;
use crate::ring::{Coefficients, Polynomial, Values};
use crate::sampling::{self, Seed};

/// Names a secret key without telling anything of it: a digest of a secret that nobody can guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct KeyId(#[cbor(with = "minicbor::bytes")] [u8; 16]);

/// Separates names of keys from everything else that is derived from a secret.
const KEY_ID: &str = "sealgrid/fhe/key-id/v1";

/// A uniform ternary secret. Wiped when dropped, never printed.
pub struct SecretKey {
    parameters: Parameters,
    /// In all primes.
    values: Polynomial<Values>,
    coefficients: Zeroizing<Vec<i64>>,
    id: KeyId,
}

impl SecretKey {
    /// A fresh key.
    #[must_use]
    pub fn generate(parameters: &Parameters, rng: &mut impl CryptoRng) -> Self {
        let coefficients = sampling::ternary(parameters.ring().degree().get(), rng);
        Self::of_coefficients(parameters, coefficients)
    }

    /// The key of coefficients that are -1, 0 or 1.
    pub(crate) fn of_coefficients(parameters: &Parameters, coefficients: Zeroizing<Vec<i64>>) -> Self {
        let ring = parameters.ring();
        let values = ring.forward(ring.of_small(ring.all(), &coefficients));
        let mut hasher = blake3::Hasher::new_derive_key(KEY_ID);
        hasher.update(&parameters.set().number().to_le_bytes());
        for coefficient in coefficients.iter() {
            hasher.update(&coefficient.to_le_bytes()[..1]);
        }
        let mut id = [0; 16];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        hasher.zeroize();
        Self { parameters: parameters.clone(), values, coefficients, id: KeyId(id) }
    }

    /// Its name: ciphertexts carry it, so that the wrong key is refused instead of finding noise.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// What it is a key of.
    #[must_use]
    pub const fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The secret coefficients. Every call is a place to review.
    pub(crate) fn expose(&self) -> &[i64] {
        &self.coefficients
    }

    /// The secret in all primes. Every call is a place to review.
    pub(crate) const fn expose_values(&self) -> &Polynomial<Values> {
        &self.values
    }

    /// Encrypts a polynomial known by all primes of the chain: the seed, and `b` as coefficients.
    pub(crate) fn encrypt(
        &self,
        message: &Polynomial<Coefficients>,
        rng: &mut impl CryptoRng,
    ) -> (Seed, Polynomial<Coefficients>) {
        let ring = self.parameters.ring();
        let basis = message.basis();
        let seed = sampling::seed(rng);
        let a = sampling::uniform(ring, basis, &seed);
        let errors = sampling::errors(ring.degree().get(), rng);
        let mut b = ring.of_small(basis, &errors);
        ring.add(&mut b, message);
        // Whoever has `a·s` and `a` has the key.
        let product = Zeroizing::new(self.product(&a));
        ring.subtract(&mut b, &product);
        (seed, b)
    }

    /// `a · s` as coefficients: what the phase of `(b, a)` has beside `b`.
    pub(crate) fn product(&self, a: &Polynomial<Values>) -> Polynomial<Coefficients> {
        let ring = self.parameters.ring();
        ring.inverse(ring.sum_of_products(a.basis(), &[(a, &self.values)]))
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.values.zeroize();
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({}, ..)", self.parameters.set().name())
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::parameters::ParameterSet;
    use crate::sampling::ERROR_BOUND;

    fn parameters() -> Parameters {
        Parameters::new(ParameterSet::LINEAR_1).expect("a published set")
    }

    #[test]
    fn the_phase_of_a_fresh_ciphertext_is_the_message_with_a_small_error() {
        let parameters = parameters();
        let ring = parameters.ring();
        let rng = &mut ChaCha20Rng::seed_from_u64(5);
        let key = SecretKey::generate(&parameters, rng);
        let message: Vec<i64> = (0..2048).map(|i| (i - 1024) << 20).collect();
        let (seed, b) = key.encrypt(&ring.of_integers(ring.chain(), &message), rng);
        let mut phase = key.product(&sampling::uniform(ring, ring.chain(), &seed));
        ring.add(&mut phase, &b);
        let q = ring.modulus(ring.chain(), 0);
        for (residue, message) in phase.row(0).iter().zip(&message) {
            assert!(q.centred(*residue).abs_diff(*message) <= u64::from(ERROR_BOUND));
        }
        let other = SecretKey::generate(&parameters, rng);
        let mut phase = other.product(&sampling::uniform(ring, ring.chain(), &seed));
        ring.add(&mut phase, &b);
        let near = phase.row(0).iter().zip(&message).filter(|(r, m)| q.centred(**r).abs_diff(**m) < 1 << 20);
        assert_eq!(near.count(), 0, "another key finds nothing");
    }

    #[test]
    fn a_secret_key_prints_none_of_its_coefficients() {
        let key = SecretKey::generate(&parameters(), &mut ChaCha20Rng::seed_from_u64(6));
        assert_eq!(format!("{key:?}"), "SecretKey(linear-2048-50-v1, ..)");
    }
}
