//! Exact linear layers on encrypted records, without evaluation keys.
//!
//! 1. The owner encrypts records of 8- or 16-bit integers: [`encrypt`].
//! 2. Whoever has the weights evaluates a [`Layer`]: [`Layer::evaluate`]. It sees neither records nor sums.
//! 3. The owner decrypts the sums, the very 32-bit accumulators of the integer graph: [`decrypt`].
//!
//! # How
//! Record `r` of `F` features lies in the coefficients `rF..(r+1)F` of a polynomial, times `Δ = ⌊q / (2^32 + 2)⌋`. Multiplied by
//! `Σ_i w_i X^{-i}`, coefficient `rF` is `Σ_i w_i x_{r,i}`: no rotation is needed, hence no evaluation key. Of the half `b` only the
//! coefficients `rF` of the product are needed, and they depend on the used coefficients alone; so only those travel, beside the
//! seed of `a`. (The packing of inner products is from M. Yasuda et al., "Secure pattern matching using somewhat homomorphic
//! encryption", 2013; the sums are LWE ciphertexts that share `a`.)
//!
//! # Why it is exact
//! The phase of a sum is `Δ·Σ + Σ_i w_i e_i`. It is rounded to the right multiple of `Δ` while the second term is below `Δ/2`.
//! Errors are independent and sub-Gaussian with variance proxy 10.5 ([`crate::sampling`]), so that fails with probability at most
//! `2·exp(-(Δ/2)² / (21·Σ w²))`, and never where `21·Σ|w| < Δ/2`. A layer for which that exceeds 2^[`FAILURE_LOG2_MAX`] a sum
//! cannot be made: a million sums fail with probability below 2^-40. Sums that could leave 32 bits are refused likewise.
//!
//! # What is not hidden
//! The *weights* are not hidden from the owner of the key: the answer contains `a·w`, and the owner knows `a`. A layer whose weights
//! are secret from the record's owner must not be evaluated this way. Numbers of records, features and outputs are public.
//! Ciphertexts are malleable: that the right layer was evaluated is for receipts and quorums to show (evaluation is a function of
//! its inputs, to the bit). What the owner does with decrypted sums must not tell the evaluator whether decryption succeeded.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::parameters::{ParameterSet, Parameters, Scheme};
use crate::ring::{Basis, Coefficients, Modulus, Polynomial, Ring, Values};
use crate::rlwe::{KeyId, SecretKey};
use crate::sampling::{self, ERROR_BOUND, ERROR_VARIANCE_TWICE, Seed};

/// Most outputs of a layer: what an answer may take of memory is stated.
pub const OUTPUTS_MAX: usize = 1024;

/// A sum is wrong with probability at most two to this.
pub const FAILURE_LOG2_MAX: f64 = -60.0;

/// The one prime.
const BASIS: Basis = Basis::chain(1);

/// The integers that a record consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    /// -2^7 to 2^7 - 1.
    I8,
    /// -2^15 to 2^15 - 1.
    I16,
}

impl Width {
    /// The greatest magnitude.
    const fn magnitude(self) -> i64 {
        match self {
            Self::I8 => 1 << 7,
            Self::I16 => 1 << 15,
        }
    }

    const fn holds(self, value: i32) -> bool {
        let value = value as i64;
        -self.magnitude() <= value && value < self.magnitude()
    }
}

/// What records are encrypted for: public.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Integers of a record.
    pub features: usize,
    /// Their range.
    pub width: Width,
}

impl Shape {
    /// How many records one ciphertext holds.
    ///
    /// # Errors
    /// [`LinearError`] when the set is for another scheme, or there are no features or more than the degree.
    pub fn records_max(self, set: ParameterSet) -> Result<usize, LinearError> {
        if set.scheme() != Scheme::Linear {
            return Err(LinearError::OtherScheme { set: set.name() });
        }
        let degree = set.degree().get();
        match degree.checked_div(self.features) {
            Some(records) if records > 0 => Ok(records),
            _ => Err(LinearError::Features { features: self.features, limit: degree }),
        }
    }
}

/// Why nothing was computed.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
pub enum LinearError {
    /// The parameter set is for another scheme.
    #[error("E-FHE-10: parameter set {set} is not for exact linear layers")]
    OtherScheme {
        /// Its name.
        set: &'static str,
    },
    /// Too many features, or none.
    #[error("E-FHE-11: {features} features where 1 to {limit} fit")]
    Features {
        /// Asked for.
        features: usize,
        /// The degree.
        limit: usize,
    },
    /// Records do not have the shape.
    #[error("E-FHE-12: {records} records of {features} values do not fit the shape")]
    Records {
        /// Records given.
        records: usize,
        /// Values of a record, by the shape.
        features: usize,
    },
    /// A value is outside its width.
    #[error("E-FHE-13: value {index} of the records is outside its width")]
    Range {
        /// Counted over all records. The value itself is the owner's, and not said.
        index: usize,
    },
    /// Weights and biases do not make a layer.
    #[error("E-FHE-14: {outputs} outputs, biases or rows of weights do not fit together")]
    Layer {
        /// Rows of weights.
        outputs: usize,
    },
    /// A sum could leave 32 bits.
    #[error("E-FHE-15: sums of output {output} can leave 32 bits")]
    Overflow {
        /// Which.
        output: usize,
    },
    /// Weights are so large that a sum could be wrong.
    #[error("E-FHE-16: sums of output {output} would be wrong with probability 2^{failure_log2:.0}")]
    Inexact {
        /// Which.
        output: usize,
        /// Logarithm of the bound on the probability.
        failure_log2: f64,
    },
    /// Records were encrypted for another layer.
    #[error("E-FHE-17: the records are not of the layer's shape or parameter set")]
    OtherShape,
    /// The key is not the one.
    #[error("E-FHE-18: encrypted under another key")]
    OtherKey,
}

/// Records under encryption, and their seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptedRecords {
    pub(crate) set: ParameterSet,
    pub(crate) key: KeyId,
    pub(crate) shape: Shape,
    pub(crate) seed: Seed,
    /// The used coefficients of `b`, record by record.
    pub(crate) body: Vec<u64>,
}

impl EncryptedRecords {
    /// How many records.
    #[must_use]
    pub fn records(&self) -> usize {
        self.body.len() / self.shape.features
    }

    /// Of which shape.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }
}

/// Sums under encryption.
#[derive(Clone, PartialEq, Eq)]
pub struct EncryptedSums {
    pub(crate) set: ParameterSet,
    pub(crate) key: KeyId,
    pub(crate) features: usize,
    pub(crate) records: usize,
    pub(crate) outputs: Vec<EncryptedOutput>,
}

/// One output of all records: the product with `a`, and one coefficient of the other half a record.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct EncryptedOutput {
    pub(crate) mask: Polynomial<Coefficients>,
    pub(crate) body: Vec<u64>,
}

impl EncryptedSums {
    /// How many records.
    #[must_use]
    pub const fn records(&self) -> usize {
        self.records
    }

    /// How many sums a record.
    #[must_use]
    pub const fn outputs(&self) -> usize {
        self.outputs.len()
    }
}

/// Encrypts at most [`Shape::records_max`] records.
///
/// # Errors
/// [`LinearError`] when the records are none, too many, or not of the shape.
pub fn encrypt(
    key: &SecretKey,
    shape: Shape,
    records: &[&[i32]],
    rng: &mut impl CryptoRng,
) -> Result<EncryptedRecords, LinearError> {
    let set = key.parameters().set();
    let limit = shape.records_max(set)?;
    let unfit = LinearError::Records { records: records.len(), features: shape.features };
    if records.is_empty() || records.len() > limit || records.iter().any(|r| r.len() != shape.features) {
        return Err(unfit);
    }
    let ring = key.parameters().ring();
    let step = step(ring.modulus(BASIS, 0));
    let mut message = Zeroizing::new(vec![0; ring.degree().get()]);
    for (index, (place, &value)) in message.iter_mut().zip(records.iter().copied().flatten()).enumerate() {
        if !shape.width.holds(value) {
            return Err(LinearError::Range { index });
        }
        *place = step * i64::from(value);
    }
    let message = Zeroizing::new(ring.of_small(BASIS, &message));
    let (seed, b) = key.encrypt(&message, rng);
    let body = b.row(0)[..records.len() * shape.features].to_vec();
    Ok(EncryptedRecords { set, key: key.id(), shape, seed, body })
}

/// Decrypts the sums: for each record, one of each output.
///
/// # Errors
/// [`LinearError::OtherKey`] when they are encrypted under another.
pub fn decrypt(key: &SecretKey, sums: &EncryptedSums) -> Result<Vec<Vec<i32>>, LinearError> {
    if sums.key != key.id() || sums.set != key.parameters().set() {
        return Err(LinearError::OtherKey);
    }
    let ring = key.parameters().ring();
    let q = ring.modulus(BASIS, 0);
    let mut decrypted = vec![Vec::with_capacity(sums.outputs.len()); sums.records];
    for output in &sums.outputs {
        let product = Zeroizing::new(key.product(&ring.forward(output.mask.clone())));
        for (record, (sums_of_record, body)) in decrypted.iter_mut().zip(&output.body).enumerate() {
            let phase = (product.row(0)[record * sums.features] + body) % q.value();
            sums_of_record.push(rounded(q.centred(phase), step(q)));
        }
    }
    Ok(decrypted)
}

/// A linear layer made ready: weights as polynomials, biases times `Δ`.
#[derive(Clone)]
pub struct Layer {
    set: ParameterSet,
    ring: Ring,
    shape: Shape,
    outputs: Vec<Output>,
    failure_log2: f64,
}

#[derive(Clone)]
struct Output {
    weights: Vec<i32>,
    reversed: Polynomial<Values>,
    bias: u64,
}

impl Layer {
    /// The layer `y_k = Σ_i weights[k][i] · x_i + biases[k]` over records of a shape. Weights have 8 bits, as in the
    /// integer graph.
    ///
    /// # Errors
    /// [`LinearError`] when the numbers do not fit together, a sum could leave 32 bits, or one could be wrong with a
    /// probability above 2^[`FAILURE_LOG2_MAX`].
    pub fn new(
        parameters: &Parameters,
        shape: Shape,
        weights: &[&[i32]],
        biases: &[i32],
    ) -> Result<Self, LinearError> {
        let set = parameters.set();
        shape.records_max(set)?;
        let fits = |row: &&[i32]| row.len() == shape.features && row.iter().all(|&w| Width::I8.holds(w));
        let outputs = weights.len();
        if !(1..=OUTPUTS_MAX).contains(&outputs) || biases.len() != outputs || !weights.iter().all(fits) {
            return Err(LinearError::Layer { outputs });
        }
        let ring = parameters.ring().clone();
        let step = step(ring.modulus(BASIS, 0));
        let mut failure_log2 = f64::NEG_INFINITY;
        for (output, (row, &bias)) in weights.iter().zip(biases).enumerate() {
            let sum: i64 = row.iter().map(|&w| i64::from(w).abs()).sum();
            if sum * shape.width.magnitude() + i64::from(bias).abs() > i64::from(i32::MAX) {
                return Err(LinearError::Overflow { output });
            }
            let failure = failure_log2_of(row, step);
            if failure > FAILURE_LOG2_MAX {
                return Err(LinearError::Inexact { output, failure_log2: failure });
            }
            failure_log2 = failure_log2.max(failure);
        }
        let prepare = |(row, &bias): (&&[i32], &i32)| Output::new(&ring, row, step * i64::from(bias));
        let outputs = weights.iter().zip(biases).map(prepare).collect();
        Ok(Self { set, shape, outputs, failure_log2, ring })
    }

    /// The logarithm to base 2 of a bound on the probability that a given sum is wrong; minus infinity when none can be.
    #[must_use]
    pub const fn failure_log2(&self) -> f64 {
        self.failure_log2
    }

    /// The sums of all records. The same records and layer give the same bits on every machine.
    ///
    /// # Errors
    /// [`LinearError::OtherShape`] when the records were encrypted for another shape or parameter set.
    pub fn evaluate(&self, records: &EncryptedRecords) -> Result<EncryptedSums, LinearError> {
        if records.shape != self.shape || records.set != self.set {
            return Err(LinearError::OtherShape);
        }
        let a = sampling::uniform(&self.ring, BASIS, &records.seed);
        Ok(EncryptedSums {
            set: self.set,
            key: records.key,
            features: self.shape.features,
            records: records.records(),
            outputs: self.outputs.iter().map(|output| self.output(output, &a, &records.body)).collect(),
        })
    }

    fn output(&self, output: &Output, a: &Polynomial<Values>, body: &[u64]) -> EncryptedOutput {
        let q = i128::from(self.ring.modulus(BASIS, 0).value());
        let product = self.ring.sum_of_products(BASIS, &[(a, &output.reversed)]);
        let sum = |record: &[u64]| {
            let terms = record.iter().zip(&output.weights);
            let sum: i128 = terms.map(|(&b, &w)| i128::from(b) * i128::from(w)).sum();
            u64::try_from((sum + i128::from(output.bias)).rem_euclid(q)).expect("a remainder is below q")
        };
        let body = body.chunks_exact(self.shape.features).map(sum).collect();
        EncryptedOutput { mask: self.ring.inverse(product), body }
    }
}

impl Output {
    /// `Σ_i w_i X^{-i} = w_0 - Σ_{i>0} w_i X^{N-i}`.
    fn new(ring: &Ring, weights: &[i32], bias: i64) -> Self {
        let n = ring.degree().get();
        let mut reversed = vec![0; n];
        for (index, &weight) in weights.iter().enumerate() {
            let (place, sign) = if index == 0 { (0, 1) } else { (n - index, -1) };
            reversed[place] = sign * i64::from(weight);
        }
        let reversed = ring.forward(ring.of_integers(BASIS, &reversed));
        Self { weights: weights.to_vec(), reversed, bias: ring.modulus(BASIS, 0).of_integer(bias) }
    }
}

/// `Δ`: sums of 32 bits and an error below half of it stay within `-q/2..q/2`.
fn step(q: Modulus) -> i64 {
    i64::try_from(q.value() / ((1 << 32) + 2)).expect("q has 50 bits")
}

/// The multiple of `step` closest to `phase`.
fn rounded(phase: i64, step: i64) -> i32 {
    let nearest = (phase + step / 2).div_euclid(step);
    i32::try_from(nearest.clamp(i64::from(i32::MIN), i64::from(i32::MAX))).expect("clamped")
}

/// See "Why it is exact" above.
fn failure_log2_of(weights: &[i32], step: i64) -> f64 {
    let magnitude: i64 = weights.iter().map(|&w| i64::from(w).abs()).sum();
    // `rounded` moves a phase that is exactly half a step off upwards.
    let room = (step - 1) / 2;
    if magnitude * i64::from(ERROR_BOUND) <= room {
        return f64::NEG_INFINITY;
    }
    let squares: f64 = weights.iter().map(|&w| f64::from(w) * f64::from(w)).sum();
    1.0 - (room as f64).powi(2) / (f64::from(ERROR_VARIANCE_TWICE) * squares) * std::f64::consts::LOG2_E
}

#[cfg(test)]
mod tests;
