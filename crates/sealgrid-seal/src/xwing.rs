//! X-Wing (draft-connolly-cfrg-xwing-kem, HPKE id 0x647a): X25519 and ML-KEM-768 (FIPS 203) together, so that a key
//! stays secret while either of the two holds.
//!
//! ML-KEM and SHA-3 come from libcrux: verified against a formal specification, constant time, AVX2 where the
//! machine has it, and its randomness is an argument.

use libcrux_ml_kem::mlkem768::{self, MlKem768Ciphertext, MlKem768PrivateKey, MlKem768PublicKey};
use libcrux_sha3::{sha256 as sha3_256, shake256};
use zeroize::{Zeroize, Zeroizing};

use crate::secret::Secret;
use crate::x25519::{self, SmallOrder};

/// Bytes of an encapsulation (public) key: ML-KEM-768's, then X25519's.
pub(crate) const PUBLIC_KEY_LENGTH: usize = ML_KEM_PUBLIC_KEY_LENGTH + 32;
/// Bytes of an encapsulated key: ML-KEM-768's, then X25519's.
pub(crate) const ENCAPSULATION_LENGTH: usize = ML_KEM_CIPHERTEXT_LENGTH + 32;

const ML_KEM_PUBLIC_KEY_LENGTH: usize = 1184;
const ML_KEM_CIPHERTEXT_LENGTH: usize = 1088;

/// The six bytes `\.//^\` that end the combiner's input.
const LABEL: &[u8; 6] = br"\.//^\";

/// Whether `bytes` hold an ML-KEM-768 key with all coefficients reduced (FIPS 203, section 7.2). Every 32 bytes
/// are an X25519 point.
pub(crate) fn is_public_key(bytes: &[u8; PUBLIC_KEY_LENGTH]) -> bool {
    mlkem768::validate_public_key(&split_public_key(bytes).0)
}

/// A shared secret for the holder of `public_key`, which [`is_public_key`] accepted, and its encapsulation.
/// `randomness`: 32 bytes for ML-KEM, then 32 bytes for X25519.
pub(crate) fn encapsulate(
    public_key: &[u8; PUBLIC_KEY_LENGTH],
    randomness: &Secret<64>,
) -> Result<(Box<[u8; ENCAPSULATION_LENGTH]>, Secret<32>), SmallOrder> {
    let (ml_kem_key, x25519_key) = split_public_key(public_key);
    let (ml_kem_randomness, scalar) = halves(randomness);

    let (ml_kem_ciphertext, ml_kem_secret) = mlkem768::encapsulate(&ml_kem_key, *ml_kem_randomness.expose());
    let ml_kem_secret = Zeroizing::new(ml_kem_secret);
    let ephemeral = x25519::PrivateKey::new(&scalar);
    let ephemeral_public = ephemeral.public();
    let x25519_secret = ephemeral.agree(x25519_key)?;

    let mut encapsulation = Box::new([0; ENCAPSULATION_LENGTH]);
    encapsulation[..ML_KEM_CIPHERTEXT_LENGTH].copy_from_slice(ml_kem_ciphertext.as_slice());
    encapsulation[ML_KEM_CIPHERTEXT_LENGTH..].copy_from_slice(&ephemeral_public);
    Ok((encapsulation, combine(&ml_kem_secret, &x25519_secret, &ephemeral_public, x25519_key)))
}

/// A decapsulation key, expanded from its 32-byte seed; wiped when dropped.
pub(crate) struct PrivateKey {
    ml_kem: Box<MlKem768PrivateKey>,
    x25519: x25519::PrivateKey,
    x25519_public: [u8; 32],
}

impl PrivateKey {
    /// Expands `seed`; also yields the public key.
    pub(crate) fn expand(seed: &Secret<32>) -> (Self, Box<[u8; PUBLIC_KEY_LENGTH]>) {
        let expanded = Zeroizing::new(shake256::<96>(seed.expose()));
        let mut ml_kem_seed = Zeroizing::new([0; 64]);
        ml_kem_seed.copy_from_slice(&expanded[..64]);
        let (ml_kem, ml_kem_public) = mlkem768::generate_key_pair(*ml_kem_seed).into_parts();
        let x25519 = x25519::PrivateKey::new(&Secret::fill(|bytes| bytes.copy_from_slice(&expanded[64..])));
        let x25519_public = x25519.public();

        let mut public = Box::new([0; PUBLIC_KEY_LENGTH]);
        public[..ML_KEM_PUBLIC_KEY_LENGTH].copy_from_slice(ml_kem_public.as_slice());
        public[ML_KEM_PUBLIC_KEY_LENGTH..].copy_from_slice(&x25519_public);
        (Self { ml_kem: Box::new(ml_kem), x25519, x25519_public }, public)
    }

    /// The shared secret in `encapsulation`. A wrong ML-KEM part yields an unrelated secret (implicit rejection),
    /// which the first use of the secret then refuses.
    pub(crate) fn decapsulate(
        &self,
        encapsulation: &[u8; ENCAPSULATION_LENGTH],
    ) -> Result<Secret<32>, SmallOrder> {
        let (ml_kem_ciphertext, ephemeral_public) = encapsulation.split_at(ML_KEM_CIPHERTEXT_LENGTH);
        let ml_kem_ciphertext =
            MlKem768Ciphertext::try_from(ml_kem_ciphertext).expect("the split yields the length");
        let ephemeral_public = ephemeral_public.try_into().expect("the split yields the length");
        let ml_kem_secret = Zeroizing::new(mlkem768::decapsulate(&self.ml_kem, &ml_kem_ciphertext));
        let x25519_secret = self.x25519.agree(ephemeral_public)?;
        Ok(combine(&ml_kem_secret, &x25519_secret, ephemeral_public, &self.x25519_public))
    }
}

impl Drop for PrivateKey {
    fn drop(&mut self) {
        self.ml_kem[0..].zeroize();
    }
}

/// `SHA3-256(ss_M || ss_X || ct_X || pk_X || label)`.
fn combine(
    ml_kem_secret: &[u8; 32],
    x25519_secret: &Secret<32>,
    ephemeral_public: &[u8; 32],
    public: &[u8; 32],
) -> Secret<32> {
    let mut input = Zeroizing::new([0; 32 * 4 + LABEL.len()]);
    let parts: [&[u8]; 5] = [ml_kem_secret, x25519_secret.expose(), ephemeral_public, public, LABEL];
    let mut rest = &mut input[..];
    for part in parts {
        let (head, tail) = rest.split_at_mut(part.len());
        head.copy_from_slice(part);
        rest = tail;
    }
    let output = Zeroizing::new(sha3_256(&input[..]));
    Secret::fill(|bytes| bytes.copy_from_slice(&output[..]))
}

fn split_public_key(bytes: &[u8; PUBLIC_KEY_LENGTH]) -> (MlKem768PublicKey, &[u8; 32]) {
    let (ml_kem, x25519) = bytes.split_at(ML_KEM_PUBLIC_KEY_LENGTH);
    let ml_kem = MlKem768PublicKey::try_from(ml_kem).expect("the split yields the length");
    (ml_kem, x25519.try_into().expect("the split yields the length"))
}

fn halves(bytes: &Secret<64>) -> (Secret<32>, Secret<32>) {
    let (first, second) = bytes.expose().split_at(32);
    (Secret::fill(|half| half.copy_from_slice(first)), Secret::fill(|half| half.copy_from_slice(second)))
}
