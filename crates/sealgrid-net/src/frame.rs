//! One call on the wire: an eight-byte header, then the body, then the end of the stream.
//!
//! What a frame must achieve, and how:
//! 1. *Nothing is allocated on a stranger's word.* The length comes first and is compared with the limit of the
//!    named method before a byte of the body is read; the buffer then grows with what really arrives.
//! 2. *One spelling.* Fixed header, network byte order, no options; a byte behind the body is an error.
//! 3. *Room to change.* The first byte is the version; another version is refused by number.
//!
//! ```text
//! 0        1      2        4            8
//! +--------+------+--------+------------+----------------+
//! | version| kind | method | length     | body (length)  |
//! +--------+------+--------+------------+----------------+
//! ```
//!
//! Ways not taken: a varint length (saves two bytes, costs a state), a CBOR envelope around the body (the body
//! would be copied once more), several calls on one stream (QUIC streams are cheaper than a multiplexer of ours
//! and carry their own flow control).

use std::borrow::Cow;

use minicbor::{Decode, Encode};
use sealgrid_seal::canonical;

/// The only version so far.
pub const VERSION: u8 = 1;
/// Bytes of a [`Header`].
pub const HEADER_BYTES: usize = 8;
/// Most bytes of an encoded [`Refusal`].
pub const REFUSAL_BYTES_MAX: usize = 512;

const CODE_CHARS_MAX: usize = 16;
const MESSAGE_BYTES_MAX: usize = 400;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Caller to callee.
    Request,
    /// Callee to caller: the method's answer.
    Response,
    /// Callee to caller: a [`Refusal`].
    Refusal,
}

/// The first eight bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What follows.
    pub kind: Kind,
    /// The method's number; answers repeat it.
    pub method: u16,
    /// Bytes of the body.
    pub length: u32,
}

/// Why bytes are not a frame that may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Another protocol version.
    #[error("frame version {0} is not supported")]
    Version(u8),
    /// Not request, response or refusal, or not the one expected here.
    #[error("frame kind {0} is not expected here")]
    Kind(u8),
    /// An answer to another method.
    #[error("the answer belongs to method {0}")]
    OtherMethod(u16),
    /// Longer than the method allows.
    #[error("{length} bytes where the method allows {limit}")]
    TooLong {
        /// Bytes claimed.
        length: u32,
        /// Bytes allowed.
        limit: u32,
    },
    /// The stream ended inside the frame.
    #[error("the frame ends early")]
    Short,
    /// The stream goes on behind the frame.
    #[error("bytes follow the frame")]
    Trailing,
    /// A refusal that is not one.
    #[error("malformed refusal")]
    BadRefusal,
}

impl Header {
    /// The bytes on the wire.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let [m0, m1] = self.method.to_be_bytes();
        let [l0, l1, l2, l3] = self.length.to_be_bytes();
        [VERSION, self.kind.number(), m0, m1, l0, l1, l2, l3]
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`FrameError::Version`] and [`FrameError::Kind`].
    pub fn decode(bytes: [u8; HEADER_BYTES]) -> Result<Self, FrameError> {
        let [version, kind, m0, m1, l0, l1, l2, l3] = bytes;
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        Ok(Self {
            kind: Kind::from_number(kind).ok_or(FrameError::Kind(kind))?,
            method: u16::from_be_bytes([m0, m1]),
            length: u32::from_be_bytes([l0, l1, l2, l3]),
        })
    }

    /// The body's length, if `limit` allows it.
    ///
    /// # Errors
    /// [`FrameError::TooLong`].
    pub fn length_within(&self, limit: u32) -> Result<usize, FrameError> {
        if self.length > limit {
            return Err(FrameError::TooLong { length: self.length, limit });
        }
        Ok(usize::try_from(self.length).expect("u32 fits usize on every supported target"))
    }

    /// Refuses every kind but the expected ones.
    ///
    /// # Errors
    /// [`FrameError::Kind`].
    pub fn expect_kind(&self, expected: &[Kind]) -> Result<(), FrameError> {
        if expected.contains(&self.kind) { Ok(()) } else { Err(FrameError::Kind(self.kind.number())) }
    }
}

impl Kind {
    const fn number(self) -> u8 {
        match self {
            Self::Request => 0,
            Self::Response => 1,
            Self::Refusal => 2,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Request),
            1 => Some(Self::Response),
            2 => Some(Self::Refusal),
            _ => None,
        }
    }
}

/// A typed "no": the code from the index of errors, and one line for a person. Neither holds owner data: both
/// are written by the callee's program, never copied from a request.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Refusal {
    /// Such as `E-RES-20`.
    #[n(0)]
    pub code: Cow<'static, str>,
    /// What happened, lower case.
    #[n(1)]
    pub message: Cow<'static, str>,
}

impl Refusal {
    /// A refusal with a code and a line of the program's own text.
    #[must_use]
    pub const fn new(code: &'static str, message: &'static str) -> Self {
        Self { code: Cow::Borrowed(code), message: Cow::Borrowed(message) }
    }

    /// The body of a [`Kind::Refusal`] frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        canonical::encode(self)
    }

    /// Reads the body of a [`Kind::Refusal`] frame.
    ///
    /// # Errors
    /// [`FrameError::BadRefusal`] when it is not canonical, too long, or its code is not `A`–`Z`, `0`–`9`, `-`.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let refusal: Self =
            canonical::decode(bytes, REFUSAL_BYTES_MAX).map_err(|_| FrameError::BadRefusal)?;
        let plain = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'-';
        let code_fits = (1..=CODE_CHARS_MAX).contains(&refusal.code.len()) && refusal.code.bytes().all(plain);
        // A peer's text reaches a terminal: no control characters.
        let message_fits =
            refusal.message.len() <= MESSAGE_BYTES_MAX && !refusal.message.chars().any(char::is_control);
        if code_fits && message_fits { Ok(refusal) } else { Err(FrameError::BadRefusal) }
    }
}

/// Reads any bytes as a header and as a refusal: what the fuzzer and the corpus replay call.
#[doc(hidden)]
pub fn fuzz_parse(bytes: &[u8]) {
    if let Some((first, _)) = bytes.split_first_chunk::<HEADER_BYTES>()
        && let Ok(header) = Header::decode(*first)
    {
        assert_eq!(header.encode(), *first, "a header has one spelling");
        let _ = header.length_within(u32::MAX / 2);
    }
    if let Ok(refusal) = Refusal::decode(bytes) {
        assert_eq!(refusal.encode(), bytes, "a refusal has one spelling");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_these_eight_bytes() {
        let header = Header { kind: Kind::Response, method: 0x0102, length: 0x0304_0506 };
        assert_eq!(header.encode(), [1, 1, 1, 2, 3, 4, 5, 6]);
        assert_eq!(Header::decode(header.encode()), Ok(header));
    }

    #[test]
    fn whatever_arrives_is_read_or_refused() {
        for byte in 0..=255 {
            fuzz_parse(&[byte; 9]);
            fuzz_parse(&[1, byte, 0, 1, 0, 0, 0, 2, byte]);
        }
        fuzz_parse(&Refusal::new("E-RES-20", "busy").encode());
    }

    #[test]
    fn another_version_and_an_unknown_kind_are_refused() {
        assert_eq!(Header::decode([2, 0, 0, 0, 0, 0, 0, 0]), Err(FrameError::Version(2)));
        assert_eq!(Header::decode([1, 3, 0, 0, 0, 0, 0, 0]), Err(FrameError::Kind(3)));
    }

    #[test]
    fn a_length_is_compared_before_anything_is_allocated() {
        let header = Header { kind: Kind::Request, method: 1, length: u32::MAX };
        assert_eq!(header.length_within(10), Err(FrameError::TooLong { length: u32::MAX, limit: 10 }));
        assert_eq!(Header { length: 10, ..header }.length_within(10), Ok(10));
    }

    #[test]
    fn a_refusal_that_could_steer_a_terminal_is_refused() {
        let good = Refusal::new("E-RES-20", "busy");
        assert_eq!(Refusal::decode(&good.encode()), Ok(good));
        for bad in [
            Refusal::new("", "no code"),
            Refusal::new("e-res-20", "lower case"),
            Refusal::new("E-RES-20-AND-MORE", "too long"),
            Refusal::new("E-RES-20", "\u{1b}[2J"),
        ] {
            assert_eq!(Refusal::decode(&bad.encode()), Err(FrameError::BadRefusal));
        }
        assert_eq!(Refusal::decode(&[0xff]), Err(FrameError::BadRefusal));
    }

    #[test]
    fn the_corpus_is_replayed() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/net_frame");
        for entry in std::fs::read_dir(folder).expect("a committed corpus") {
            let bytes = std::fs::read(entry.expect("an entry").path()).expect("an input");
            fuzz_parse(&bytes);
        }
    }
}
