//! Who says something: Ed25519 identities (RFC 8032) of nodes, clients, logs and witnesses.
//!
//! A node's identity is also its TLS key, so the bytes of a [`PublicIdentity`] are its address in QUIC.

use std::fmt;

use ed25519_dalek::{Signature as DalekSignature, Signer as _, SigningKey, VerifyingKey};
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;

use crate::digest::Label;
use crate::secret::Secret;

/// An Ed25519 public key, 32 bytes as in RFC 8032. Ordering is by bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct PublicIdentity(#[cbor(with = "minicbor::bytes")] pub [u8; 32]);

/// An Ed25519 signature, 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Signature(#[cbor(with = "minicbor::bytes")] pub [u8; 64]);

/// The signature does not belong to these bytes, this label and this identity.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("signature does not verify")]
pub struct BadSignature;

impl PublicIdentity {
    /// Checks that this identity signed `message` under `label`.
    ///
    /// Strict verification: small-order keys and non-canonical points are refused, so a signature binds
    /// one key and one message.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self, label: Label, message: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        self.danger_verify_unlabelled(&framed(label, message), signature)
    }

    /// Checks a signature in a format of others, which brings its own domain separation (COSE, C2SP notes).
    /// Everything of ours goes through [`PublicIdentity::verify`].
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn danger_verify_unlabelled(
        &self,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), BadSignature> {
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| BadSignature)?;
        key.verify_strict(message, &DalekSignature::from_bytes(&signature.0)).map_err(|_| BadSignature)
    }

    /// The first eight hexadecimal digits, for tables that people read; never for decisions.
    #[must_use]
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }
}

impl fmt::Display for PublicIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PublicIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicIdentity({})", self.short())
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", hex::encode(&self.0[..4]))
    }
}

/// A private Ed25519 key; wiped when dropped.
pub struct SigningIdentity(SigningKey);

impl SigningIdentity {
    /// A fresh identity drawn from `rng`.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::from_seed(&Secret::random(rng))
    }

    /// The identity of a stored 32-byte seed.
    #[must_use]
    pub fn from_seed(seed: &Secret<32>) -> Self {
        Self(SigningKey::from_bytes(seed.expose()))
    }

    /// The seed, for storing under the owner's key.
    #[must_use]
    pub fn seed(&self) -> Secret<32> {
        Secret::fill(|bytes| bytes.copy_from_slice(self.0.as_bytes()))
    }

    /// A second handle on the same identity, for another owner of the value; made on purpose, never by `Clone`.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicIdentity {
        PublicIdentity(self.0.verifying_key().to_bytes())
    }

    /// Signs `message` under `label`.
    #[must_use]
    pub fn sign(&self, label: Label, message: &[u8]) -> Signature {
        self.danger_sign_unlabelled(&framed(label, message))
    }

    /// Signs a message in a format of others, which brings its own domain separation (COSE, C2SP notes).
    /// No such message may begin with one of our labels and a zero byte; COSE begins with 0x84, a note with
    /// a line of text.
    #[must_use]
    pub fn danger_sign_unlabelled(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for SigningIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningIdentity({}, ..)", self.public().short())
    }
}

/// Label, a zero byte that no label contains, then the message: what is signed for one purpose is
/// never a signature for another.
fn framed(label: Label, message: &[u8]) -> Vec<u8> {
    [label.0.as_bytes(), &[0], message].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::labels;

    #[test]
    fn a_signature_holds_for_one_identity_one_label_and_one_message() {
        let alice = SigningIdentity::from_seed(&Secret::new([1; 32]));
        let mallory = SigningIdentity::from_seed(&Secret::new([2; 32]));
        let signature = alice.sign(labels::POLICY, b"terms");
        assert_eq!(alice.public().verify(labels::POLICY, b"terms", &signature), Ok(()));
        assert_eq!(alice.public().verify(labels::POLICY, b"other", &signature), Err(BadSignature));
        assert_eq!(alice.public().verify(labels::DIRECTORY, b"terms", &signature), Err(BadSignature));
        assert_eq!(mallory.public().verify(labels::POLICY, b"terms", &signature), Err(BadSignature));
    }
}
