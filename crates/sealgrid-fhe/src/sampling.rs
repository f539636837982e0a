//! What ring-LWE draws: uniform polynomials from a seed that travels, small ones from a generator that does not.
//!
//! - *Uniform residues* come from BLAKE3 in its key-derivation mode as an extendable output: both sides make them from a
//!   public [`Seed`], so that half a ciphertext is 32 bytes. Words are cut to the length of the prime and those not below it
//!   rejected, hence exactly uniform. The bytes of a seed never change: the function is part of every format.
//! - *Secrets* are uniform over {-1, 0, 1}, as the standard's tables suppose: bytes below 255 modulo 3.
//! - *Errors* are centred binomial with 21 pairs of bits: standard deviation √10.5 = 3.24, at least the 3.2 of the standard,
//!   and never beyond ±21. Binomial errors take the place of rounded Gaussians with no measurable loss (E. Alkim, L. Ducas,
//!   T. Pöppelmann, P. Schwabe, "Post-quantum key exchange - a new hope", 2016, section 4), and are drawn in constant time.
//!
//! Small polynomials are drawn without branches on what was accepted; how many bytes were rejected says nothing of the rest.

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::ring::{Basis, Modulus, Polynomial, Ring, Values};

/// Bytes that a uniform polynomial is made of. Public; one seed is never used for two ciphertexts.
pub type Seed = [u8; 32];

/// Pairs of bits of an error, and its greatest magnitude.
pub const ERROR_BOUND: u32 = 21;

/// An error is sub-Gaussian with this variance proxy, twice over: each pair contributes `cosh²(t/2) ≤ exp(t²/4)` to the
/// moment generating function, and `exp(t² σ²/2)` has `2σ² = 21`.
pub const ERROR_VARIANCE_TWICE: u32 = ERROR_BOUND;

/// Separates these bytes from everything else that is derived from 32 bytes.
const UNIFORM: &str = "sealgrid/fhe/uniform/v1";

/// A fresh seed.
pub(crate) fn seed(rng: &mut impl CryptoRng) -> Seed {
    let mut seed = Seed::default();
    rng.fill_bytes(&mut seed);
    seed
}

/// The uniform polynomial of a seed. A polynomial in fewer primes has the same rows.
pub(crate) fn uniform(ring: &Ring, basis: Basis, seed: &Seed) -> Polynomial<Values> {
    let mut result = Polynomial::zero(ring.degree(), basis);
    for (index, row) in result.rows_mut().enumerate() {
        uniform_row(row, ring.modulus(basis, index), seed);
    }
    result
}

/// One row, from the seed and the prime itself, whatever its place in a chain.
fn uniform_row(row: &mut [u64], modulus: Modulus, seed: &Seed) {
    let mut hasher = blake3::Hasher::new_derive_key(UNIFORM);
    hasher.update(seed).update(&modulus.value().to_le_bytes());
    let mut output = hasher.finalize_xof();
    let width = modulus.bits().div_ceil(8) as usize;
    let mask = (1 << modulus.bits()) - 1;
    // Eight bytes more, so that every word is read as eight and cut.
    let mut bytes = vec![0; width * row.len() + 8];
    let mut filled = 0;
    while filled < row.len() {
        let wanted = width * (row.len() - filled);
        output.fill(&mut bytes[..wanted]);
        for start in (0..wanted).step_by(width) {
            let word = bytes[start..].first_chunk().expect("eight bytes more");
            let candidate = u64::from_le_bytes(*word) & mask;
            // Overwritten by the next one unless it counts.
            row[filled] = candidate;
            filled += usize::from(candidate < modulus.value());
        }
    }
}

/// Uniform over {-1, 0, 1}.
pub(crate) fn ternary(length: usize, rng: &mut impl CryptoRng) -> Zeroizing<Vec<i64>> {
    let mut drawn = Zeroizing::new(Vec::with_capacity(length));
    let mut bytes = Zeroizing::new(vec![0_u8; length]);
    while drawn.len() < length {
        rng.fill_bytes(&mut bytes);
        let accepted = bytes.iter().filter(|&&byte| byte < 255).take(length - drawn.len());
        drawn.extend(accepted.map(|&byte| i64::from(byte % 3) - 1));
    }
    drawn
}

/// Centred binomial errors.
pub(crate) fn errors(length: usize, rng: &mut impl CryptoRng) -> Zeroizing<Vec<i64>> {
    const MASK: u64 = (1 << ERROR_BOUND) - 1;
    let mut bytes = Zeroizing::new(vec![0_u8; 8 * length]);
    rng.fill_bytes(&mut bytes);
    let mut drawn = Zeroizing::new(Vec::with_capacity(length));
    drawn.extend(bytes.as_chunks::<8>().0.iter().map(|bytes| {
        let word = u64::from_le_bytes(*bytes);
        i64::from((word & MASK).count_ones()) - i64::from((word >> ERROR_BOUND & MASK).count_ones())
    }));
    drawn
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::parameters::{ParameterSet, Parameters};

    #[test]
    fn a_seed_gives_the_same_polynomial_for_ever() {
        let parameters = Parameters::new(ParameterSet::LINEAR_1).expect("a published set");
        let ring = parameters.ring();
        let row = uniform(ring, ring.chain(), &[7; 32]);
        assert_eq!(row.row(0)[..3], FROZEN, "the function that makes them is part of every format");
        let other = uniform(ring, ring.chain(), &[8; 32]);
        assert!(row != other);
    }

    const FROZEN: [u64; 3] = [784_476_196_609_609, 924_437_340_152_364, 677_768_906_010_641];

    #[test]
    fn uniform_residues_fill_the_range() {
        let parameters = Parameters::new(ParameterSet::LINEAR_1).expect("a published set");
        let ring = parameters.ring();
        let q = ring.modulus(ring.chain(), 0).value();
        let polynomial = uniform(ring, ring.chain(), &[9; 32]);
        let mut eighths = [0; 8];
        for &residue in polynomial.row(0) {
            assert!(residue < q);
            eighths[usize::try_from(8 * residue / q).expect("below 8")] += 1;
        }
        // 256 expected; six standard deviations are 90.
        assert!(eighths.iter().all(|&count: &i32| count.abs_diff(256) < 90), "{eighths:?}");
    }

    #[test]
    fn small_polynomials_have_the_distributions_that_are_documented() {
        let rng = &mut ChaCha20Rng::seed_from_u64(4);
        let count = 1 << 16;
        let secret = ternary(count, rng);
        for value in -1..=1 {
            let share = secret.iter().filter(|&&x| x == value).count();
            assert!(share.abs_diff(count / 3) < 800, "{value}: {share}");
        }
        let errors = errors(count, rng);
        assert!(errors.iter().all(|e| e.unsigned_abs() <= u64::from(ERROR_BOUND)));
        let sum: i64 = errors.iter().sum();
        let squares: i64 = errors.iter().map(|e| e * e).sum();
        // Mean 0 with deviation 3.24 · 256; mean square 10.5, twice it 21 by the proxy, within 3 %.
        assert!(sum.abs() < 5_000, "{sum}");
        assert!((2 * squares).abs_diff(i64::from(ERROR_VARIANCE_TWICE) * 65_536) < 42_000, "{squares}");
    }
}
