//! Secret bytes: wiped when dropped, never printed, read through one word a reviewer can grep.

use std::fmt;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// `N` secret bytes on the heap, so that moving the value leaves no copy behind.
///
/// Has no `Display`, a `Debug` that prints no byte, no `Clone` by accident (see [`Secret::duplicate`]),
/// and compares in constant time.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Takes over `bytes`. The caller's own copy is the caller's to wipe: prefer [`Secret::random`] or
    /// [`Secret::fill`].
    #[must_use]
    pub fn new(bytes: [u8; N]) -> Self {
        Self(Box::new(bytes))
    }

    /// A fresh secret drawn from `rng`, made in place.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self::fill(|bytes| rng.fill_bytes(bytes))
    }

    /// A secret that `write` makes in place.
    pub fn fill(write: impl FnOnce(&mut [u8; N])) -> Self {
        let mut bytes = Box::new([0; N]);
        write(&mut bytes);
        Self(bytes)
    }

    /// The secret bytes. Every call is a place to review.
    #[must_use]
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// A second owner of the same secret, asked for by name.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(other.0.as_ref()).into()
    }
}
impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret<{N}>(..)")
    }
}

/// Secret bytes of any length: a plaintext, a decoded key file.
///
/// Allocated once at its final length, so that growing leaves no copy behind; wiped when dropped.
#[derive(Default)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes over `bytes`, which must not have been grown in place (each growth leaves a copy behind).
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// `length` zero bytes, to be written through [`SecretBytes::expose_mut`].
    #[must_use]
    pub fn zeroed(length: usize) -> Self {
        Self(vec![0; length])
    }

    /// The secret bytes. Every call is a place to review.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The secret bytes, for writing in place.
    #[must_use]
    pub fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Gives up what stands behind the first `length` bytes; it is wiped with them.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }

    /// The bytes, to be encrypted where they lie: afterwards they are no secret, and whoever asks answers for that. With room
    /// for `more` bytes behind them; where there was none, they are moved to where there is, and wiped here.
    pub(crate) fn into_ciphertext(mut self, more: usize) -> Vec<u8> {
        if self.0.capacity() - self.0.len() >= more {
            return std::mem::take(&mut self.0);
        }
        let mut moved = Vec::with_capacity(self.0.len() + more);
        moved.extend_from_slice(&self.0);
        moved
    }

    /// How many bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Zeroize for SecretBytes {
    /// Wipes also what there is room for. In words of eight bytes: byte by byte a mebibyte takes a third of a millisecond.
    fn zeroize(&mut self) {
        self.0.resize(self.0.capacity(), 0);
        let (head, words, tail) = bytemuck::pod_align_to_mut::<u8, u64>(&mut self.0);
        head.zeroize();
        words.zeroize();
        tail.zeroize();
        self.0.clear();
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.zeroize();
    }
}

impl ZeroizeOnDrop for SecretBytes {}

impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}
impl Eq for SecretBytes {}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes, ..)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wiping_leaves_zeros_from_the_first_byte_to_the_last() {
        for length in [0, 1, 7, 8, 9, 63, 64, 65, 1000] {
            let mut secret = SecretBytes::new(vec![0xa5; length]);
            secret.0.truncate(length / 2);
            let capacity = secret.0.capacity();
            secret.zeroize();
            assert!(secret.is_empty() && secret.0.capacity() == capacity);
            secret.0.resize_with(length, || 0);
            assert_eq!(secret.expose(), vec![0; length]);
        }
    }

    #[test]
    fn a_secret_prints_none_of_its_bytes() {
        assert_eq!(format!("{:?}", Secret::new(*b"hunter2!")), "Secret<8>(..)");
        assert_eq!(format!("{:?}", SecretBytes::new(b"hunter2!".to_vec())), "SecretBytes(8 bytes, ..)");
    }
}
