//! One value, one byte string: deterministic CBOR (RFC 8949, section 4.2.1) for everything that is
//! hashed, signed or stored.
//!
//! Encoding follows the order of declaration with definite lengths and shortest integers. Decoding is
//! strict in the simplest way that can be checked by eye: what was read must encode to exactly the
//! bytes it was read from, so a second spelling of the same value, or a byte behind it, is refused.

use minicbor::encode::{Error as EncodeError, Write};
use minicbor::{Decode, Encode, Encoder};

/// Why bytes are not the canonical form of a value.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotCanonical {
    /// Longer than the caller is willing to read.
    #[error("{length} bytes where at most {limit} are allowed")]
    TooLong {
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not CBOR of the expected type.
    #[error("malformed at byte {position}")]
    Malformed {
        /// Where reading stopped.
        position: usize,
    },
    /// Decodes, but is not the one canonical spelling, or bytes follow it.
    #[error("not in canonical form")]
    OtherSpelling,
}

/// The canonical bytes of `value`.
#[must_use]
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    minicbor::to_vec(value).expect("writing to a Vec does not fail")
}

/// Reads a value from its canonical bytes, at most `limit` of them.
///
/// # Errors
/// [`NotCanonical`] when the bytes are too long, malformed, or spelled in any other way.
pub fn decode<T>(bytes: &[u8], limit: usize) -> Result<T, NotCanonical>
where
    T: Encode<()> + for<'b> Decode<'b, ()>,
{
    if bytes.len() > limit {
        return Err(NotCanonical::TooLong { length: bytes.len(), limit });
    }
    let value: T = minicbor::decode(bytes)
        .map_err(|error| NotCanonical::Malformed { position: error.position().unwrap_or(0) })?;
    if !is_spelling(bytes, |encoder| encoder.encode(&value).map(|_| ())) {
        return Err(NotCanonical::OtherSpelling);
    }
    Ok(value)
}

/// Whether `write` writes exactly `bytes`. Nothing is kept of what it writes.
pub fn is_spelling(
    bytes: &[u8],
    write: impl FnOnce(&mut Encoder<Compare<'_>>) -> Result<(), EncodeError<Differs>>,
) -> bool {
    let mut encoder = Encoder::new(Compare(bytes));
    write(&mut encoder).is_ok() && encoder.writer().0.is_empty()
}

/// Compares what is written with what is expected: holds what is still expected.
pub struct Compare<'a>(&'a [u8]);

/// Something else was written than was expected.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("another spelling")]
pub struct Differs;

impl Write for Compare<'_> {
    type Error = Differs;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Differs> {
        self.0 = self.0.strip_prefix(bytes).ok_or(Differs)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailing_byte_and_a_longer_integer_are_refused() {
        let bytes = encode(&7u64);
        assert_eq!(decode::<u64>(&bytes, 16), Ok(7));
        assert_eq!(decode::<u64>(&[7, 0], 16), Err(NotCanonical::OtherSpelling));
        assert_eq!(decode::<u64>(&[0x18, 7], 16), Err(NotCanonical::OtherSpelling));
        assert!(matches!(decode::<u64>(&[0xff], 16), Err(NotCanonical::Malformed { .. })));
        assert_eq!(decode::<u64>(&bytes, 0), Err(NotCanonical::TooLong { length: 1, limit: 0 }));
    }
}
