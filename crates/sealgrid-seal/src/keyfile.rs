//! A passphrase-protected file of secret bytes.
//!
//! ```text
//! "SGK1" | memory KiB u32 | passes u32 | lanes u32 | salt 16 bytes | ciphertext | tag 16 bytes      (big endian)
//! ```
//!
//! The key is Argon2id (RFC 9106) of the passphrase; the first 32 bytes are authenticated with the content
//! (AES-256-GCM). Every file has a fresh salt, hence its own key, which seals this one message under nonce 0.

use argon2::{Algorithm, Argon2, Params, Version};
use rand_core::CryptoRng;

use crate::aead::{Aes256Gcm, TAG_LENGTH};
use crate::secret::{Secret, SecretBytes};

/// Bytes of content at most.
pub const CONTENT_LENGTH_MAX: usize = 4 << 20;

const MAGIC: &[u8; 4] = b"SGK1";
const HEADER_LENGTH: usize = 32;

/// What a guess at the passphrase costs. Stored in the file and bounded when read, so that a file cannot make its
/// reader allocate without limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB, 8 MiB to 1 GiB.
    pub memory_kib: u32,
    /// Passes over the memory, 1 to 16.
    pub passes: u32,
    /// Lanes, 1 to 16.
    pub lanes: u32,
}

impl Cost {
    /// RFC 9106, section 4, second recommended option: 64 MiB, 3 passes, 4 lanes.
    pub const STANDARD: Self = Self { memory_kib: 64 << 10, passes: 3, lanes: 4 };
    /// The least that is accepted: for tests.
    pub const LEAST: Self = Self { memory_kib: 8 << 10, passes: 1, lanes: 1 };

    fn in_bounds(self) -> bool {
        (8 << 10..=1 << 20).contains(&self.memory_kib)
            && (1..=16).contains(&self.passes)
            && (1..=16).contains(&self.lanes)
    }
}

/// Why a key file cannot be made or read.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum KeyfileError {
    /// Not a key file, or one longer than any that was written.
    #[error("not a key file")]
    Malformed,
    /// The stored cost is outside the bounds.
    #[error("key file asks for {0:?}, which is out of bounds")]
    CostOutOfBounds(Cost),
    /// The passphrase is wrong, or a byte of the file was changed.
    #[error("key file does not open with this passphrase")]
    DoesNotOpen,
    /// More content than [`CONTENT_LENGTH_MAX`].
    #[error("content of {0} bytes is too long for a key file")]
    TooLong(usize),
}

impl KeyfileError {
    /// The code in docs/reference/errors/seal.md.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "E-KEY-20",
            Self::CostOutOfBounds(_) => "E-KEY-21",
            Self::DoesNotOpen => "E-KEY-22",
            Self::TooLong(_) => "E-KEY-23",
        }
    }
}

/// Seals `content` under `passphrase`.
///
/// # Errors
/// [`KeyfileError::CostOutOfBounds`], [`KeyfileError::TooLong`].
pub fn seal(
    rng: &mut impl CryptoRng,
    passphrase: &[u8],
    cost: Cost,
    content: &[u8],
) -> Result<Vec<u8>, KeyfileError> {
    if content.len() > CONTENT_LENGTH_MAX {
        return Err(KeyfileError::TooLong(content.len()));
    }
    let mut salt = [0; 16];
    rng.fill_bytes(&mut salt);
    let mut file = vec![0; HEADER_LENGTH + content.len() + TAG_LENGTH];
    let (header, body) = file.split_at_mut(HEADER_LENGTH);
    header.copy_from_slice(&encode_header(cost, &salt));
    derive(passphrase, cost, &salt)?.danger_seal([0; 12], header, content, body);
    Ok(file)
}

/// Opens a key file.
///
/// # Errors
/// [`KeyfileError`], each variant but [`KeyfileError::TooLong`].
pub fn open(passphrase: &[u8], file: &[u8]) -> Result<SecretBytes, KeyfileError> {
    if file.len() > HEADER_LENGTH + CONTENT_LENGTH_MAX + TAG_LENGTH {
        return Err(KeyfileError::Malformed);
    }
    let (header, body) = file.split_first_chunk().ok_or(KeyfileError::Malformed)?;
    let (cost, salt) = decode_header(header).ok_or(KeyfileError::Malformed)?;
    derive(passphrase, cost, &salt)?.open([0; 12], header, body).map_err(|_| KeyfileError::DoesNotOpen)
}

fn encode_header(cost: Cost, salt: &[u8; 16]) -> [u8; HEADER_LENGTH] {
    let mut header = [0; HEADER_LENGTH];
    header[..4].copy_from_slice(MAGIC);
    header[4..8].copy_from_slice(&cost.memory_kib.to_be_bytes());
    header[8..12].copy_from_slice(&cost.passes.to_be_bytes());
    header[12..16].copy_from_slice(&cost.lanes.to_be_bytes());
    header[16..].copy_from_slice(salt);
    header
}

fn decode_header(header: &[u8; HEADER_LENGTH]) -> Option<(Cost, [u8; 16])> {
    let (words, salt) = header.split_at(16);
    let (words, _) = words.as_chunks::<4>();
    let [magic, memory, passes, lanes] = words else { return None };
    let cost = Cost {
        memory_kib: u32::from_be_bytes(*memory),
        passes: u32::from_be_bytes(*passes),
        lanes: u32::from_be_bytes(*lanes),
    };
    (magic == MAGIC).then_some((cost, salt.try_into().ok()?))
}

fn derive(passphrase: &[u8], cost: Cost, salt: &[u8; 16]) -> Result<Aes256Gcm, KeyfileError> {
    if !cost.in_bounds() {
        return Err(KeyfileError::CostOutOfBounds(cost));
    }
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32))
        .map_err(|_| KeyfileError::CostOutOfBounds(cost))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let key = Secret::fill(|out| {
        argon2
            .hash_password_into(passphrase, salt, out)
            .expect("salt, output and passphrase have lengths that Argon2 takes");
    });
    Ok(Aes256Gcm::new(&key))
}

/// Reads a key file and opens it with a fixed passphrase: what the fuzzer and the corpus replay call. Costs above the
/// least are not paid.
#[doc(hidden)]
pub fn fuzz_open(file: &[u8]) {
    let cheap = file
        .first_chunk()
        .and_then(decode_header)
        .is_none_or(|(cost, _)| !cost.in_bounds() || cost == Cost::LEAST);
    if cheap && let Ok(content) = open(b"fuzz", file) {
        let _ = crate::keystore::KeyRing::from_bytes(&content);
    }
    let _ = crate::keystore::KeyRing::from_bytes(&SecretBytes::new(file.to_vec()));
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::frozen;

    fn file() -> Vec<u8> {
        seal(&mut ChaCha20Rng::seed_from_u64(7), b"correct horse", Cost::LEAST, b"battery staple")
            .expect("short")
    }

    #[test]
    fn a_key_file_opens_with_its_passphrase_only() {
        assert_eq!(open(b"correct horse", &file()).expect("opens").expose(), b"battery staple");
        let wrong = open(b"wrong horse", &file()).expect_err("wrong passphrase");
        assert_eq!((wrong, wrong.code()), (KeyfileError::DoesNotOpen, "E-KEY-22"));
    }

    #[test]
    fn the_frozen_key_file_is_what_is_written_today() {
        frozen::check("keyfile.bin", &file());
    }

    #[test]
    fn every_changed_byte_is_refused() {
        let good = file();
        for position in (0..16).chain([16, 31, 32, good.len() - 1]) {
            let mut wrong = good.clone();
            wrong[position] ^= 0x40;
            let error = open(b"correct horse", &wrong).expect_err("changed");
            let expected: &[&str] = match position {
                0..4 => &["E-KEY-20"],
                4..16 => &["E-KEY-21", "E-KEY-22"],
                _ => &["E-KEY-22"],
            };
            assert!(expected.contains(&error.code()), "byte {position}: {error}");
        }
        assert_eq!(open(b"", &good[..31]), Err(KeyfileError::Malformed));
        assert_eq!(open(b"correct horse", &good[..40]), Err(KeyfileError::DoesNotOpen));
    }

    #[test]
    fn a_file_cannot_ask_for_unbounded_work() {
        let out_of_bounds = [
            Cost { memory_kib: (1 << 20) + 1, ..Cost::LEAST },
            Cost { memory_kib: 0, ..Cost::LEAST },
            Cost { passes: 17, ..Cost::LEAST },
            Cost { lanes: 17, ..Cost::LEAST },
        ];
        for cost in out_of_bounds {
            let mut file = file();
            file[..HEADER_LENGTH].copy_from_slice(&encode_header(cost, &[0; 16]));
            let error = open(b"", &file).expect_err("out of bounds");
            assert_eq!((error, error.code()), (KeyfileError::CostOutOfBounds(cost), "E-KEY-21"));
        }
        let rng = &mut ChaCha20Rng::seed_from_u64(7);
        let error = seal(rng, b"", Cost::LEAST, &vec![0; CONTENT_LENGTH_MAX + 1]).expect_err("too long");
        assert_eq!(error.code(), "E-KEY-23");
        assert!(Cost::STANDARD.in_bounds());
    }
}
