//! Approximate arithmetic on encrypted vectors of real numbers (CKKS), to a depth that the parameter set fixes.
//!
//! 1. The owner encodes and encrypts: [`Plaintext::encode`], [`encrypt`], and makes [`EvaluationKeys`] for what is to be computed.
//! 2. The evaluator has ciphertexts, plaintexts and evaluation keys: [`Evaluator`]. None of its types can hold a secret key.
//! 3. The owner decrypts: [`danger_decrypt`].
//!
//! # Scales and levels
//! A ciphertext encrypts its slots times a *scale*, modulo the first [`Ciphertext::primes`] primes of the chain. A product
//! multiplies scales; [`Evaluator::rescale`] divides by the last prime, whose exact value the scale keeps. Sums are made of
//! equal scales only: what would be a wrong number elsewhere is an error here. Encode the plaintext of a product with
//! [`Evaluator::last_prime`] as its scale, and the scale of the result is what it was, exactly.
//!
//! Slots times the scale must stay below half the product of the primes that are left, and when decrypted below half the first
//! prime: with the first prime of 48 bits and scales of 37, magnitudes below 2^10. Nothing can see from outside that they did not.
//!
//! # Key switching
//! Hybrid with one prime a digit (K. Han and D. Ki, "Better bootstrapping for approximate homomorphic encryption", 2019): the residue
//! modulo each prime is a digit, lifted to all primes and the special one, multiplied by the key, and divided by the special prime.
//! A rotation's key is stored for the digits *before* the rotation, so that digits are made once for many rotations
//! (hoisting) and only two polynomials are permuted for each.
//!
//! # Danger
//! What was decrypted contains the error of encryption, and who sees it with the ciphertext can compute the key (B. Li and D. Micciancio,
//! "On the security of homomorphic encryption on approximate numbers", 2021). Flooding is not built: decrypted slots stay with the
//! owner of the key.

mod encoding;
mod keys;
mod wire;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

pub use self::keys::{EvaluationKeys, SwitchingKey};
pub use self::wire::{CIPHERTEXT_BYTES_MAX, KEYS_BYTES_MAX, KEYS_MAX};
use crate::parameters::{ParameterSet, Parameters, Scheme};
use crate::ring::{Automorphism, Basis, Coefficients, Polynomial, Ring, Values};
use crate::rlwe::{KeyId, SecretKey};
use crate::sampling::{self, Seed};

/// Largest magnitude of a scaled coefficient: far below what 64-bit integers hold.
const COEFFICIENT_LOG2_MAX: i32 = 61;

/// Scales are equal when they differ by less than this part: a few roundings of a product of doubles.
const SCALE_TOLERANCE: f64 = 1e-12;

/// Why nothing was computed.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
pub enum CkksError {
    /// The parameter set is for another scheme.
    #[error("E-FHE-10: parameter set {set} is not for approximate arithmetic")]
    OtherScheme {
        /// Its name.
        set: &'static str,
    },
    /// A number is not finite, or too large at this scale.
    #[error("E-FHE-30: slot {slot} is not finite, or some slot is too large for the scale")]
    Value {
        /// The first that is not finite; the number of slots when all are.
        slot: usize,
    },
    /// There are no values, or their number does not divide the number of slots.
    #[error("E-FHE-31: {values} values do not fill {slots} slots evenly")]
    Slots {
        /// Values given.
        values: usize,
        /// Slots there are.
        slots: usize,
    },
    /// Operands are under different keys or parameters.
    #[error("E-FHE-32: operands are of different keys or parameter sets")]
    Mixed,
    /// Operands have different scales.
    #[error("E-FHE-33: scales differ: 2^{left:.6} and 2^{right:.6}")]
    Scales {
        /// Logarithm of the left operand's.
        left: f64,
        /// Logarithm of the right operand's.
        right: f64,
    },
    /// Operands have different numbers of primes, or none is left to drop.
    #[error("E-FHE-34: {left} and {right} primes are left: no such operation")]
    Depth {
        /// Primes of the left operand.
        left: usize,
        /// Primes of the right operand, or 1.
        right: usize,
    },
    /// There is no key for the operation.
    #[error("E-FHE-35: no evaluation key for {operation}")]
    NoKey {
        /// Which.
        operation: Operation,
    },
    /// The matrix is not square, or its size is no power of two that divides the slots.
    #[error("E-FHE-36: a matrix of {rows} rows and {entries} entries has no place in the slots")]
    Matrix {
        /// Rows.
        rows: usize,
        /// Entries in all.
        entries: usize,
    },
    /// The key is not the one.
    #[error("E-FHE-18: encrypted under another key")]
    OtherKey,
}

/// What takes an evaluation key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// A product of two ciphertexts.
    Product,
    /// A rotation to the left by so many slots.
    Rotation(usize),
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Product => f.write_str("products"),
            Self::Rotation(by) => write!(f, "rotations by {by}"),
        }
    }
}

/// Numbers made ready to be encrypted, added or multiplied: public.
#[derive(Clone)]
pub struct Plaintext {
    values: Polynomial<Values>,
    scale: f64,
}

impl Plaintext {
    /// Encodes `values`, repeated until they fill the slots, times `scale`, for ciphertexts of at most `primes` primes.
    ///
    /// # Errors
    /// [`CkksError`] when the number of values does not divide the number of slots, one is not finite, the scale is not at least 1, a
    /// coefficient would not stay in the primes that are left, or there are not so many primes.
    pub fn encode(
        parameters: &Parameters,
        values: &[f64],
        scale: f64,
        primes: usize,
    ) -> Result<Self, CkksError> {
        Self::in_basis(parameters, values, scale, Basis::chain(primes))
    }

    fn in_basis(
        parameters: &Parameters,
        values: &[f64],
        scale: f64,
        basis: Basis,
    ) -> Result<Self, CkksError> {
        let ring = parameters.ring();
        let coefficients = integers(parameters, values, scale, basis)?;
        Ok(Self { values: ring.forward(ring.of_integers(basis, &coefficients)), scale })
    }
}

/// The rounded, scaled coefficients of values.
fn integers(
    parameters: &Parameters,
    values: &[f64],
    scale: f64,
    basis: Basis,
) -> Result<Zeroizing<Vec<i64>>, CkksError> {
    ckks(parameters)?;
    let ring = parameters.ring();
    let slots = ring.degree().get() / 2;
    if values.is_empty() || !slots.is_multiple_of(values.len()) {
        return Err(CkksError::Slots { values: values.len(), slots });
    }
    if !(1..=ring.chain().primes).contains(&basis.primes) {
        return Err(CkksError::Depth { left: basis.primes, right: ring.chain().primes });
    }
    if let Some(slot) = values.iter().position(|value| !value.is_finite()) {
        return Err(CkksError::Value { slot });
    }
    let coefficients = Zeroizing::new(encoding::coefficients(ring.degree(), values));
    let log2: f64 = (0..basis.primes).map(|row| (ring.modulus(basis, row).value() as f64).log2()).sum();
    let limit = (log2 - 1.0).min(f64::from(COEFFICIENT_LOG2_MAX)).exp2();
    let fits = |a: &f64| (a * scale).abs() < limit;
    if !(scale >= 1.0 && coefficients.iter().all(fits)) {
        return Err(CkksError::Value { slot: slots });
    }
    #[expect(clippy::cast_possible_truncation, reason = "compared with the limit above")]
    let rounded = coefficients.iter().map(|a| (a * scale).round() as i64).collect();
    Ok(Zeroizing::new(rounded))
}

/// Slots under encryption.
#[derive(Clone, PartialEq)]
pub struct Ciphertext {
    set: ParameterSet,
    key: KeyId,
    scale: f64,
    /// `b` and `a`, in the same primes.
    parts: [Polynomial<Values>; 2],
}

impl Ciphertext {
    /// How many primes are left: one more than products that can follow.
    #[must_use]
    pub const fn primes(&self) -> usize {
        self.parts[0].basis().primes
    }

    /// What slots are multiplied by.
    #[must_use]
    pub const fn scale(&self) -> f64 {
        self.scale
    }
}

/// A fresh ciphertext, half of it a seed.
#[derive(Clone, PartialEq)]
pub struct FreshCiphertext {
    set: ParameterSet,
    key: KeyId,
    scale: f64,
    seed: Seed,
    b: Polynomial<Values>,
}

impl FreshCiphertext {
    /// Makes the other half of its seed.
    ///
    /// # Errors
    /// [`CkksError::Mixed`] when the parameters are not its own.
    pub fn expand(&self, parameters: &Parameters) -> Result<Ciphertext, CkksError> {
        if parameters.set() != self.set {
            return Err(CkksError::Mixed);
        }
        let a = sampling::uniform(parameters.ring(), self.b.basis(), &self.seed);
        Ok(Ciphertext { set: self.set, key: self.key, scale: self.scale, parts: [self.b.clone(), a] })
    }
}

/// Encrypts `values`, repeated until they fill the slots, times `scale` in all primes of the chain.
///
/// # Errors
/// As [`Plaintext::encode`].
pub fn encrypt(
    key: &SecretKey,
    values: &[f64],
    scale: f64,
    rng: &mut impl CryptoRng,
) -> Result<FreshCiphertext, CkksError> {
    let ring = key.parameters().ring();
    let basis = ring.chain();
    let message = Zeroizing::new(ring.of_integers(basis, &integers(key.parameters(), values, scale, basis)?));
    let (seed, b) = key.encrypt(&message, rng);
    Ok(FreshCiphertext { set: key.parameters().set(), key: key.id(), scale, seed, b: ring.forward(b) })
}

/// Decrypts the slots: danger, because they must not leave the owner of the key. See the module's page.
///
/// # Errors
/// [`CkksError::OtherKey`] when they are encrypted under another.
pub fn danger_decrypt(key: &SecretKey, ciphertext: &Ciphertext) -> Result<Zeroizing<Vec<f64>>, CkksError> {
    if ciphertext.key != key.id() || ciphertext.set != key.parameters().set() {
        return Err(CkksError::OtherKey);
    }
    let ring = key.parameters().ring();
    let [b, a] = ciphertext.parts.clone().map(|mut part| {
        part.truncate(1);
        part
    });
    let mut phase = Zeroizing::new(key.product(&a));
    ring.add(&mut phase, &ring.inverse(b));
    let q = ring.modulus(Basis::chain(1), 0);
    let scaled = phase.row(0).iter().map(|&residue| q.centred(residue) as f64 / ciphertext.scale);
    let coefficients = Zeroizing::new(scaled.collect::<Vec<f64>>());
    Ok(Zeroizing::new(encoding::slots(ring.degree(), &coefficients)))
}

/// Computes on ciphertexts with evaluation keys. Results are the same bits on every machine.
pub struct Evaluator<'a> {
    parameters: &'a Parameters,
    keys: &'a EvaluationKeys,
}

impl<'a> Evaluator<'a> {
    /// An evaluator of the given keys.
    ///
    /// # Errors
    /// [`CkksError::Mixed`] when the keys are of other parameters.
    pub fn new(parameters: &'a Parameters, keys: &'a EvaluationKeys) -> Result<Self, CkksError> {
        if keys.set() != parameters.set() {
            return Err(CkksError::Mixed);
        }
        Ok(Self { parameters, keys })
    }

    fn ring(&self) -> &Ring {
        self.parameters.ring()
    }

    /// The last prime of a ciphertext: the scale that a plaintext factor should have, so that rescaling takes it off exactly.
    #[must_use]
    pub fn last_prime(&self, x: &Ciphertext) -> f64 {
        let basis = Basis::chain(x.primes());
        self.ring().modulus(basis, basis.primes - 1).value() as f64
    }

    /// `x + y`, slot by slot.
    ///
    /// # Errors
    /// [`CkksError`] when keys, scales or numbers of primes differ.
    pub fn add(&self, x: &Ciphertext, y: &Ciphertext) -> Result<Ciphertext, CkksError> {
        self.together(x, y)?;
        same_scale(x.scale, y.scale)?;
        let mut sum = x.clone();
        for (part, other) in sum.parts.iter_mut().zip(&y.parts) {
            self.ring().add(part, other);
        }
        Ok(sum)
    }

    /// `x + p`, slot by slot.
    ///
    /// # Errors
    /// [`CkksError`] when scales differ or the plaintext has fewer primes.
    pub fn add_plain(&self, x: &Ciphertext, p: &Plaintext) -> Result<Ciphertext, CkksError> {
        self.own(x)?;
        covers(p, x.primes())?;
        same_scale(x.scale, p.scale)?;
        let mut sum = x.clone();
        self.ring().add(&mut sum.parts[0], &p.values);
        Ok(sum)
    }

    /// `x · p`, slot by slot; scales multiply.
    ///
    /// # Errors
    /// [`CkksError`] when the plaintext has fewer primes.
    pub fn multiply_plain(&self, x: &Ciphertext, p: &Plaintext) -> Result<Ciphertext, CkksError> {
        self.own(x)?;
        covers(p, x.primes())?;
        let product = |part| self.ring().sum_of_products(Basis::chain(x.primes()), &[(part, &p.values)]);
        Ok(Ciphertext { scale: x.scale * p.scale, parts: x.parts.each_ref().map(product), ..*x })
    }

    /// `x · y`, slot by slot, relinearised; scales multiply.
    ///
    /// # Errors
    /// [`CkksError`] when keys or numbers of primes differ, or there is no key for products.
    pub fn multiply(&self, x: &Ciphertext, y: &Ciphertext) -> Result<Ciphertext, CkksError> {
        self.together(x, y)?;
        let key = self.keys.of(Operation::Product)?;
        let (ring, basis) = (self.ring(), Basis::chain(x.primes()));
        let [[b, a], [d, c]] = [&x.parts, &y.parts];
        let square = ring.sum_of_products(basis, &[(a, c)]);
        let [switched_b, switched_a] = key.switch(ring, &Digits::new(ring, &square));
        let mut parts =
            [ring.sum_of_products(basis, &[(b, d)]), ring.sum_of_products(basis, &[(b, c), (a, d)])];
        ring.add(&mut parts[0], &ring.divide_by_special(switched_b));
        ring.add(&mut parts[1], &ring.divide_by_special(switched_a));
        Ok(Ciphertext { scale: x.scale * y.scale, parts, ..*x })
    }

    /// Divides scale and slots times scale by the last prime, which is dropped.
    ///
    /// # Errors
    /// [`CkksError::Depth`] when it is the only one.
    pub fn rescale(&self, x: &Ciphertext) -> Result<Ciphertext, CkksError> {
        self.own(x)?;
        if x.primes() == 1 {
            return Err(CkksError::Depth { left: 1, right: 1 });
        }
        let scale = x.scale / self.last_prime(x);
        let parts = x.parts.clone().map(|part| self.ring().divide_by_last(part));
        Ok(Ciphertext { scale, parts, ..*x })
    }

    /// Drops primes until `primes` are left, which changes neither slots nor scale.
    ///
    /// # Errors
    /// [`CkksError::Depth`] when there are fewer.
    pub fn truncate(&self, x: &Ciphertext, primes: usize) -> Result<Ciphertext, CkksError> {
        self.own(x)?;
        if !(1..=x.primes()).contains(&primes) {
            return Err(CkksError::Depth { left: x.primes(), right: primes });
        }
        let mut shorter = x.clone();
        shorter.parts.iter_mut().for_each(|part| part.truncate(primes));
        Ok(shorter)
    }

    /// Slot `j` becomes what slot `j + by` was, around the end.
    ///
    /// # Errors
    /// [`CkksError::NoKey`] when there is none for this rotation.
    pub fn rotate(&self, x: &Ciphertext, by: usize) -> Result<Ciphertext, CkksError> {
        Ok(self.rotate_hoisted(x, &[by])?.pop().expect("one rotation was asked for"))
    }

    /// Several rotations of one ciphertext, which share the costly half of the work.
    ///
    /// # Errors
    /// [`CkksError::NoKey`] when there is none for one of them.
    pub fn rotate_hoisted(&self, x: &Ciphertext, by: &[usize]) -> Result<Vec<Ciphertext>, CkksError> {
        self.own(x)?;
        let ring = self.ring();
        let digits = Digits::new(ring, &x.parts[1]);
        let rotate = |&by: &usize| {
            if by == 0 {
                return Ok(x.clone());
            }
            let key = self.keys.of(Operation::Rotation(by))?;
            let [b, a] = key.switch(ring, &digits).map(|part| ring.divide_by_special(part));
            let mut parts = [b, a];
            ring.add(&mut parts[0], &x.parts[0]);
            Ok(Ciphertext { parts: parts.map(|part| key.automorphism().apply(&part)), ..*x })
        };
        by.iter().map(rotate).collect()
    }

    /// `M · x` for a vector `x` that is repeated over the slots, rescaled: the scale is that of `x`, and one prime less is left.
    ///
    /// # Errors
    /// [`CkksError`] when the matrix was made for other primes, or a key of [`Matrix::rotations`] is missing.
    pub fn multiply_matrix(&self, matrix: &Matrix, x: &Ciphertext) -> Result<Ciphertext, CkksError> {
        self.own(x)?;
        if matrix.set != x.set || matrix.primes != x.primes() {
            return Err(CkksError::Depth { left: matrix.primes, right: x.primes() });
        }
        let ring = self.ring();
        let basis = Basis::chain(x.primes()).with_special();
        let babies = self.babies(matrix, x)?;
        let mut sum: Option<Ciphertext> = None;
        for (giant, diagonals) in matrix.diagonals.chunks(matrix.baby_steps).enumerate() {
            let part = |part: usize| {
                let pairs: Vec<_> =
                    diagonals.iter().zip(&babies).map(|(p, baby)| (&p.values, &baby[part])).collect();
                ring.divide_by_special(ring.sum_of_products(basis, &pairs))
            };
            let inner = Ciphertext { scale: x.scale * matrix.scale, parts: [part(0), part(1)], ..*x };
            let rotated = self.rotate(&inner, giant * matrix.baby_steps)?;
            sum = Some(match sum {
                Some(sum) => self.add(&sum, &rotated)?,
                None => rotated,
            });
        }
        self.rescale(&sum.expect("a matrix has a diagonal"))
    }

    /// The rotations by less than a giant step, times the special prime: the division waits until diagonals are summed.
    fn babies(&self, matrix: &Matrix, x: &Ciphertext) -> Result<Vec<[Polynomial<Values>; 2]>, CkksError> {
        let ring = self.ring();
        let digits = Digits::new(ring, &x.parts[1]);
        let lifted = x.parts.each_ref().map(|part| ring.times_special(part));
        let baby = |by: usize| {
            if by == 0 {
                return Ok(lifted.clone());
            }
            let key = self.keys.of(Operation::Rotation(by))?;
            let [mut b, a] = key.switch(ring, &digits);
            ring.add(&mut b, &lifted[0]);
            Ok([b, a].map(|part| key.automorphism().apply(&part)))
        };
        (0..matrix.baby_steps.min(matrix.diagonals.len())).map(baby).collect()
    }

    fn own(&self, x: &Ciphertext) -> Result<(), CkksError> {
        let own = x.key == self.keys.key() && x.set == self.parameters.set();
        own.then_some(()).ok_or(CkksError::Mixed)
    }

    fn together(&self, x: &Ciphertext, y: &Ciphertext) -> Result<(), CkksError> {
        self.own(x)?;
        self.own(y)?;
        if x.primes() != y.primes() {
            return Err(CkksError::Depth { left: x.primes(), right: y.primes() });
        }
        Ok(())
    }
}

/// Refuses parameters of other schemes.
fn ckks(parameters: &Parameters) -> Result<(), CkksError> {
    let set = parameters.set();
    (set.scheme() == Scheme::Ckks).then_some(()).ok_or(CkksError::OtherScheme { set: set.name() })
}

fn covers(p: &Plaintext, primes: usize) -> Result<(), CkksError> {
    if p.values.basis().primes < primes {
        return Err(CkksError::Depth { left: primes, right: p.values.basis().primes });
    }
    Ok(())
}

fn same_scale(left: f64, right: f64) -> Result<(), CkksError> {
    if (left / right - 1.0).abs() > SCALE_TOLERANCE {
        return Err(CkksError::Scales { left: left.log2(), right: right.log2() });
    }
    Ok(())
}

/// A polynomial cut into its residues, each lifted to all primes: what key switching multiplies.
struct Digits {
    basis: Basis,
    digits: Vec<Polynomial<Values>>,
}

impl Digits {
    fn new(ring: &Ring, a: &Polynomial<Values>) -> Self {
        let chain = a.basis();
        let coefficients: Polynomial<Coefficients> = ring.inverse(a.clone());
        let basis = chain.with_special();
        let digit = |row| ring.lift(coefficients.row(row), ring.modulus(chain, row), basis);
        Self { basis, digits: (0..chain.primes).map(digit).collect() }
    }
}

/// A square matrix as encoded diagonals, for one number of primes.
///
/// `y = Σ_k diag_k · rot_k(x)` with `k = g·B + b` is `Σ_g rot_{gB}(Σ_b rot_{-gB}(diag_k) · rot_b(x))`: about `2√n` rotations instead of
/// `n` (S. Halevi and V. Shoup, "Algorithms in HElib", 2014, section 4.3).
#[derive(Clone)]
pub struct Matrix {
    set: ParameterSet,
    primes: usize,
    baby_steps: usize,
    scale: f64,
    diagonals: Vec<Plaintext>,
}

impl Matrix {
    /// Encodes a matrix of `n` rows of `n` entries, row by row, for ciphertexts of `primes` primes.
    ///
    /// # Errors
    /// [`CkksError`] when it is not square, `n` is no power of two that divides the slots, an entry is not finite, or no prime would
    /// be left.
    pub fn encode(
        parameters: &Parameters,
        entries: &[f64],
        rows: usize,
        primes: usize,
    ) -> Result<Self, CkksError> {
        let ring = parameters.ring();
        let fits = rows.is_power_of_two() && rows <= ring.degree().get() / 2;
        if !fits || rows.checked_mul(rows) != Some(entries.len()) {
            return Err(CkksError::Matrix { rows, entries: entries.len() });
        }
        if !(2..=ring.chain().primes).contains(&primes) {
            return Err(CkksError::Depth { left: primes, right: 2 });
        }
        let basis = Basis::chain(primes);
        let scale = ring.modulus(basis, primes - 1).value() as f64;
        // The power of two at or above the square root: rotations are made once, and giant steps cost a division more.
        let baby_steps = 1 << rows.ilog2().div_ceil(2);
        let diagonal = |k: usize| {
            let giant = k / baby_steps * baby_steps;
            // Row j, rotated to the right by the giant step.
            let entry = |j: usize| {
                let row = (j + rows - giant) % rows;
                entries[row * rows + (row + k) % rows]
            };
            let values: Vec<f64> = (0..rows).map(entry).collect();
            Plaintext::in_basis(parameters, &values, scale, basis.with_special())
        };
        let diagonals = (0..rows).map(diagonal).collect::<Result<_, _>>()?;
        Ok(Self { set: parameters.set(), primes, baby_steps, scale, diagonals })
    }

    /// The rotations that a product of a matrix of so many rows takes.
    #[must_use]
    pub fn rotations(rows: usize) -> Vec<usize> {
        let baby_steps = 1 << rows.max(1).ilog2().div_ceil(2);
        let babies = 1..rows.min(baby_steps);
        babies.chain((baby_steps..rows).step_by(baby_steps)).collect()
    }
}

#[cfg(test)]
mod tests;
