//! AES-256-GCM (NIST SP 800-38D) over library code: aws-lc on machines, RustCrypto where only Rust compiles
//! (wasm32). Tests hold the two equal.
//!
//! Danger: two messages under one key and nonce reveal the difference of their plaintexts and the
//! authentication key. No module but the constructions of this crate should call this one; each of them says why
//! its nonces never repeat.

/// Bytes by which a ciphertext is longer than its plaintext.
pub const TAG_LENGTH: usize = 16;

/// A nonce, 96 bits; never twice under one key.
pub type Nonce = [u8; 12];

/// Key, nonce, associated data and ciphertext do not belong together.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not authentic")]
pub struct NotAuthentic;

#[cfg(not(target_arch = "wasm32"))]
pub use native::Aes256Gcm;
#[cfg(target_arch = "wasm32")]
pub use portable::Aes256Gcm;

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use std::fmt;

    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, UnboundKey};

    use super::{Nonce, NotAuthentic, TAG_LENGTH};
    use crate::secret::{Secret, SecretBytes};

    /// One AES-256-GCM key, expanded. The library wipes it when dropped.
    pub struct Aes256Gcm(LessSafeKey);

    impl Aes256Gcm {
        /// Expands `key`.
        #[must_use]
        pub fn new(key: &Secret<32>) -> Self {
            let key =
                UnboundKey::new(&AES_256_GCM, key.expose()).expect("the key has the length of the algorithm");
            Self(LessSafeKey::new(key))
        }

        /// Encrypts `plaintext` into `out` followed by the tag. Danger: `nonce` must be new for this key.
        ///
        /// # Panics
        /// If `out` is not exactly [`TAG_LENGTH`] bytes longer than `plaintext`.
        pub fn danger_seal(&self, nonce: Nonce, aad: &[u8], plaintext: &[u8], out: &mut [u8]) {
            let (ciphertext, tag) = out.split_at_mut(plaintext.len());
            let nonce = aws_lc_rs::aead::Nonce::assume_unique_for_key(nonce);
            self.0
                .seal_out_of_place_scatter(nonce, Aad::from(aad), plaintext, ciphertext, &[], tag)
                .expect("lengths agree and no message reaches 64 GiB");
        }

        /// Encrypts `plaintext` where it lies; the ciphertext, then the tag. Danger: `nonce` must be new for this key.
        #[must_use]
        pub fn danger_seal_in_place(&self, nonce: Nonce, aad: &[u8], plaintext: SecretBytes) -> Vec<u8> {
            let mut bytes = plaintext.into_ciphertext(TAG_LENGTH);
            let nonce = aws_lc_rs::aead::Nonce::assume_unique_for_key(nonce);
            let tag = self
                .0
                .seal_in_place_separate_tag(nonce, Aad::from(aad), &mut bytes)
                .expect("no message reaches 64 GiB");
            bytes.extend_from_slice(tag.as_ref());
            bytes
        }

        /// Checks and decrypts `sealed` (ciphertext, then tag).
        ///
        /// # Errors
        /// [`NotAuthentic`].
        pub fn open(&self, nonce: Nonce, aad: &[u8], sealed: &[u8]) -> Result<SecretBytes, NotAuthentic> {
            let length = sealed.len().checked_sub(TAG_LENGTH).ok_or(NotAuthentic)?;
            let (ciphertext, tag) = sealed.split_at(length);
            let nonce = aws_lc_rs::aead::Nonce::assume_unique_for_key(nonce);
            let mut plaintext = SecretBytes::zeroed(length);
            self.0
                .open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, plaintext.expose_mut())
                .map_err(|_| NotAuthentic)?;
            Ok(plaintext)
        }

        /// [`Self::open`] where the bytes lie.
        ///
        /// # Errors
        /// [`NotAuthentic`]; the bytes are gone then, and wiped.
        pub fn open_in_place(
            &self,
            nonce: Nonce,
            aad: &[u8],
            sealed: Vec<u8>,
        ) -> Result<SecretBytes, NotAuthentic> {
            let mut bytes = SecretBytes::new(sealed);
            let nonce = aws_lc_rs::aead::Nonce::assume_unique_for_key(nonce);
            let opened = self.0.open_in_place(nonce, Aad::from(aad), bytes.expose_mut());
            let length = opened.map_err(|_| NotAuthentic)?.len();
            bytes.truncate(length);
            Ok(bytes)
        }
    }

    impl fmt::Debug for Aes256Gcm {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Aes256Gcm(..)")
        }
    }
}

#[cfg(any(test, target_arch = "wasm32"))]
mod portable {
    use std::fmt;

    use aes_gcm::aead::{AeadInOut, KeyInit};

    use super::{Nonce, NotAuthentic, TAG_LENGTH};
    use crate::secret::{Secret, SecretBytes};

    /// One AES-256-GCM key, expanded; wiped when dropped.
    pub struct Aes256Gcm(aes_gcm::Aes256Gcm);

    impl Aes256Gcm {
        /// Expands `key`.
        #[must_use]
        pub fn new(key: &Secret<32>) -> Self {
            Self(aes_gcm::Aes256Gcm::new(key.expose().into()))
        }

        /// Encrypts `plaintext` into `out` followed by the tag. Danger: `nonce` must be new for this key.
        ///
        /// # Panics
        /// If `out` is not exactly [`TAG_LENGTH`] bytes longer than `plaintext`.
        pub fn danger_seal(&self, nonce: Nonce, aad: &[u8], plaintext: &[u8], out: &mut [u8]) {
            let (ciphertext, tag) = out.split_at_mut(plaintext.len());
            ciphertext.copy_from_slice(plaintext);
            let computed = self
                .0
                .encrypt_inout_detached((&nonce).into(), aad, ciphertext.into())
                .expect("no message reaches 64 GiB");
            tag.copy_from_slice(&computed);
        }

        /// Encrypts `plaintext` where it lies; the ciphertext, then the tag. Danger: `nonce` must be new for this key.
        #[must_use]
        pub fn danger_seal_in_place(&self, nonce: Nonce, aad: &[u8], plaintext: SecretBytes) -> Vec<u8> {
            let mut bytes = plaintext.into_ciphertext(TAG_LENGTH);
            let tag = self
                .0
                .encrypt_inout_detached((&nonce).into(), aad, bytes.as_mut_slice().into())
                .expect("no message reaches 64 GiB");
            bytes.extend_from_slice(&tag);
            bytes
        }

        /// Checks and decrypts `sealed` (ciphertext, then tag).
        ///
        /// # Errors
        /// [`NotAuthentic`].
        pub fn open(&self, nonce: Nonce, aad: &[u8], sealed: &[u8]) -> Result<SecretBytes, NotAuthentic> {
            self.open_in_place(nonce, aad, sealed.to_vec())
        }

        /// [`Self::open`] where the bytes lie.
        ///
        /// # Errors
        /// [`NotAuthentic`]; the bytes are gone then, and wiped.
        pub fn open_in_place(
            &self,
            nonce: Nonce,
            aad: &[u8],
            sealed: Vec<u8>,
        ) -> Result<SecretBytes, NotAuthentic> {
            let mut bytes = SecretBytes::new(sealed);
            let length = bytes.len().checked_sub(TAG_LENGTH).ok_or(NotAuthentic)?;
            let (ciphertext, tag) = bytes.expose_mut().split_at_mut(length);
            let tag = (&*tag).try_into().map_err(|_| NotAuthentic)?;
            self.0
                .decrypt_inout_detached((&nonce).into(), aad, ciphertext.into(), tag)
                .map_err(|_| NotAuthentic)?;
            bytes.truncate(length);
            Ok(bytes)
        }
    }

    impl fmt::Debug for Aes256Gcm {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Aes256Gcm(..)")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::secret::{Secret, SecretBytes};

    proptest! {
        #[test]
        fn the_fast_cipher_equals_the_portable_one(
            key: [u8; 32],
            nonce: Nonce,
            aad in prop::collection::vec(any::<u8>(), 0..64),
            plaintext in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let (fast, plain) = (native::Aes256Gcm::new(&Secret::new(key)), portable::Aes256Gcm::new(&Secret::new(key)));
            let mut sealed = vec![0; plaintext.len() + TAG_LENGTH];
            let mut expected = sealed.clone();
            fast.danger_seal(nonce, &aad, &plaintext, &mut sealed);
            plain.danger_seal(nonce, &aad, &plaintext, &mut expected);
            prop_assert_eq!(&sealed, &expected);
            for room in [0, TAG_LENGTH] {
                let held = || {
                    let mut bytes = Vec::with_capacity(plaintext.len() + room);
                    bytes.extend_from_slice(&plaintext);
                    SecretBytes::new(bytes)
                };
                prop_assert_eq!(&fast.danger_seal_in_place(nonce, &aad, held()), &expected);
                prop_assert_eq!(&plain.danger_seal_in_place(nonce, &aad, held()), &expected);
            }
            prop_assert_eq!(fast.open(nonce, &aad, &sealed), Ok(SecretBytes::new(plaintext.clone())));
            prop_assert_eq!(plain.open(nonce, &aad, &sealed), Ok(SecretBytes::new(plaintext.clone())));
            let secret = || SecretBytes::new(plaintext.clone());
            prop_assert_eq!(fast.open_in_place(nonce, &aad, sealed.clone()), Ok(secret()));
            prop_assert_eq!(plain.open_in_place(nonce, &aad, sealed.clone()), Ok(secret()));
            sealed[plaintext.len()] ^= 1;
            prop_assert_eq!(fast.open(nonce, &aad, &sealed), Err(NotAuthentic));
            prop_assert_eq!(plain.open(nonce, &aad, &sealed), Err(NotAuthentic));
            prop_assert_eq!(fast.open_in_place(nonce, &aad, sealed.clone()), Err(NotAuthentic));
            prop_assert_eq!(plain.open_in_place(nonce, &aad, sealed), Err(NotAuthentic));
        }
    }

    #[test]
    fn bytes_shorter_than_a_tag_are_refused() {
        let key = Aes256Gcm::new(&Secret::new([0; 32]));
        assert_eq!(key.open([0; 12], b"", &[0; 15]), Err(NotAuthentic));
        assert_eq!(key.open_in_place([0; 12], b"", vec![0; 15]), Err(NotAuthentic));
        let portable = portable::Aes256Gcm::new(&Secret::new([0; 32]));
        assert_eq!(portable.open_in_place([0; 12], b"", vec![0; 15]), Err(NotAuthentic));
    }
}
