//! X25519 (RFC 7748) over library code: aws-lc on machines, RustCrypto where only Rust compiles (wasm32).
//! Tests hold the two equal. A peer whose point has small order, so that the shared secret would be zero, is refused.

/// The peer's point has small order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SmallOrder;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::PrivateKey;
#[cfg(target_arch = "wasm32")]
pub(crate) use portable::PrivateKey;

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use aws_lc_rs::agreement::{self, UnparsedPublicKey, X25519};

    use super::SmallOrder;
    use crate::secret::Secret;

    /// A scalar; the library wipes it when dropped.
    pub(crate) struct PrivateKey(agreement::PrivateKey);

    impl PrivateKey {
        pub(crate) fn new(scalar: &Secret<32>) -> Self {
            let key = agreement::PrivateKey::from_private_key(&X25519, scalar.expose());
            Self(key.expect("every 32 bytes are a scalar"))
        }

        pub(crate) fn public(&self) -> [u8; 32] {
            let point = self.0.compute_public_key().expect("a scalar has a point");
            point.as_ref().try_into().expect("a point has 32 bytes")
        }

        pub(crate) fn agree(&self, peer: &[u8; 32]) -> Result<Secret<32>, SmallOrder> {
            agreement::agree(&self.0, UnparsedPublicKey::new(&X25519, peer), SmallOrder, |shared| {
                Ok(Secret::fill(|bytes| bytes.copy_from_slice(shared)))
            })
        }
    }
}

#[cfg(any(test, target_arch = "wasm32"))]
mod portable {
    use x25519_dalek::{PublicKey, StaticSecret};

    use super::SmallOrder;
    use crate::secret::Secret;

    /// A scalar; wiped when dropped.
    pub(crate) struct PrivateKey(StaticSecret);

    impl PrivateKey {
        pub(crate) fn new(scalar: &Secret<32>) -> Self {
            Self(StaticSecret::from(*scalar.expose()))
        }

        pub(crate) fn public(&self) -> [u8; 32] {
            PublicKey::from(&self.0).to_bytes()
        }

        pub(crate) fn agree(&self, peer: &[u8; 32]) -> Result<Secret<32>, SmallOrder> {
            let shared = self.0.diffie_hellman(&PublicKey::from(*peer));
            if !shared.was_contributory() {
                return Err(SmallOrder);
            }
            Ok(Secret::fill(|bytes| bytes.copy_from_slice(shared.as_bytes())))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::secret::Secret;

    proptest! {
        #[test]
        fn the_fast_curve_equals_the_portable_one(scalar: [u8; 32], peer: [u8; 32]) {
            let scalar = Secret::new(scalar);
            let (fast, plain) = (native::PrivateKey::new(&scalar), portable::PrivateKey::new(&scalar));
            prop_assert_eq!(fast.public(), plain.public());
            prop_assert_eq!(fast.agree(&peer), plain.agree(&peer));
        }
    }

    #[test]
    fn a_point_of_small_order_is_refused() {
        let scalar = Secret::new([7; 32]);
        assert_eq!(native::PrivateKey::new(&scalar).agree(&[0; 32]), Err(SmallOrder));
        assert_eq!(portable::PrivateKey::new(&scalar).agree(&[0; 32]), Err(SmallOrder));
    }
}
