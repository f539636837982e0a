//! An object at rest: one data key, wrapped to each recipient, and chunks that can be read in any order.
//!
//! ```text
//! "SGR1" | header length u32 | header (canonical CBOR) | header tag 32 bytes | chunk 0 | chunk 1 | … | last chunk
//! header = [salt (32 bytes), content length, [[recipient, encapsulated key, wrapped data key], …]]
//! ```
//!
//! The data key (32 bytes) is drawn per object and wrapped in an envelope ([`crate::envelope`], label `REST_KEY`, the salt
//! as associated data). The header tag is a keyed BLAKE3 commitment to the header under the data key. Chunks are those of
//! [`crate::stream`] under the salt and label `REST_CHUNKS`, so the header may be rewritten for other recipients
//! ([`rewrap`]) without touching the content.
//!
//! The content's length stands in the authenticated header and must agree with the length of the file, so a cut file is
//! refused before anything of it is read.
//!
//! What this does not do: it does not say who wrote the object (whoever holds the data key can write another); sign a digest of
//! it. It does not hide its length or to whom it is sealed.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;

use crate::aead::TAG_LENGTH;
use crate::canonical;
use crate::digest::{Commitment, Digest, labels};
use crate::envelope::{self, Encapsulation, EnvelopeError, JobKeyPair, JobPublicKey, Sealed};
use crate::secret::{Secret, SecretBytes};
use crate::stream::{CHUNK_LENGTH, Chunks, SEALED_CHUNK_LENGTH};

/// Recipients of one object at most.
pub const RECIPIENTS_MAX: usize = 64;

/// Bytes of a header at most: 64 recipients need about 77,000.
pub const HEADER_LENGTH_MAX: usize = 80 << 10;

/// Bytes of content at most: 2^32 chunks.
pub const CONTENT_LENGTH_MAX: u64 = (CHUNK_LENGTH as u64) << 32;

const MAGIC: &[u8; 4] = b"SGR1";
const PREFIX_LENGTH: usize = 8;
const HEADER_TAG_LENGTH: usize = 32;

/// Why an object at rest cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// Not an object at rest, or a header that is not in canonical form or out of bounds.
    #[error("not an object at rest")]
    Malformed,
    /// Not sealed to this key.
    #[error("object is not sealed to this key")]
    NotARecipient,
    /// The data key is this recipient's, but the header was changed.
    #[error("header of the object is not authentic")]
    HeaderNotAuthentic,
    /// The file is shorter or longer than its header says.
    #[error("object of {expected} bytes has {actual}")]
    WrongLength {
        /// Bytes that header and content need.
        expected: u64,
        /// Bytes there are.
        actual: u64,
    },
    /// A chunk was changed, moved or replaced.
    #[error("chunk {chunk} of the object is not authentic")]
    Chunk {
        /// Which.
        chunk: u64,
    },
    /// No recipient, too many of them, or one twice.
    #[error("an object needs 1 to 64 different recipients")]
    BadRecipients,
    /// A recipient's key.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// A range outside the content, or content longer or shorter than announced.
    #[error("outside the content")]
    OutOfRange,
    /// Reading or writing failed.
    #[error("object cannot be read or written: {0}")]
    Io(#[from] io::Error),
}

impl RestError {
    /// The code in docs/reference/errors/seal.md.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "E-KEY-13",
            Self::NotARecipient => "E-KEY-14",
            Self::HeaderNotAuthentic => "E-KEY-15",
            Self::WrongLength { .. } => "E-KEY-16",
            Self::Chunk { .. } => "E-KEY-17",
            Self::BadRecipients => "E-KEY-18",
            Self::Envelope(error) => error.code(),
            Self::OutOfRange => "E-KEY-19",
            Self::Io(_) => "E-STO-20",
        }
    }
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct Header {
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    salt: [u8; 32],
    #[n(1)]
    length: u64,
    #[n(2)]
    recipients: Vec<Wrapped>,
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct Wrapped {
    /// Digest of the recipient's public key.
    #[n(0)]
    recipient: Digest,
    #[n(1)]
    encapsulation: Encapsulation,
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    data_key: Vec<u8>,
}

impl Header {
    fn new(
        rng: &mut impl CryptoRng,
        recipients: &[JobPublicKey],
        data_key: &Secret<32>,
        salt: [u8; 32],
        length: u64,
    ) -> Result<Self, RestError> {
        let unique = recipients.iter().enumerate().all(|(index, key)| !recipients[..index].contains(key));
        if recipients.is_empty() || recipients.len() > RECIPIENTS_MAX || !unique {
            return Err(RestError::BadRecipients);
        }
        let wrap = |recipient| {
            let (sealed, _) = envelope::seal(rng, recipient, labels::REST_KEY, &salt, data_key.expose())?;
            let Sealed { encapsulation, ciphertext } = sealed;
            Ok(Wrapped { recipient: recipient_id(recipient), encapsulation, data_key: ciphertext })
        };
        let recipients = recipients.iter().map(wrap).collect::<Result<_, EnvelopeError>>()?;
        Ok(Self { salt, length, recipients })
    }

    /// Everything before the first chunk.
    fn to_bytes(&self, data_key: &Secret<32>) -> Vec<u8> {
        let header = canonical::encode(self);
        let length = u32::try_from(header.len()).expect("64 recipients need less than 2^32 bytes");
        let tag = header_tag(data_key, &header);
        [MAGIC, &length.to_be_bytes()[..], &header, &tag.0].concat()
    }

    fn unwrap(&self, key: &JobKeyPair) -> Result<Secret<32>, RestError> {
        let id = recipient_id(key.public());
        let mine = self.recipients.iter().find(|wrapped| wrapped.recipient == id);
        let mine = mine.ok_or(RestError::NotARecipient)?;
        let sealed = Sealed { encapsulation: mine.encapsulation.clone(), ciphertext: mine.data_key.clone() };
        let (data_key, _) =
            key.open(labels::REST_KEY, &self.salt, &sealed).map_err(|_| RestError::HeaderNotAuthentic)?;
        let data_key: &[u8; 32] = data_key.expose().try_into().map_err(|_| RestError::HeaderNotAuthentic)?;
        Ok(Secret::fill(|out| out.copy_from_slice(data_key)))
    }
}

fn recipient_id(key: &JobPublicKey) -> Digest {
    Digest::of(labels::KEY_ID, &[b"x-wing", key.as_bytes()])
}

fn header_tag(data_key: &Secret<32>, header: &[u8]) -> Commitment {
    Commitment::of(data_key, labels::REST_HEADER, &[header])
}

/// Chunks that content of `length` bytes takes: at least one.
fn chunk_count(length: u64) -> u64 {
    length.div_ceil(CHUNK_LENGTH as u64).max(1)
}

/// Writes one object.
pub struct Writer<W> {
    out: W,
    chunks: Chunks,
    buffer: SecretBytes,
    filled: usize,
    next: u64,
    remaining: u64,
}

impl<W: Write> Writer<W> {
    /// Starts an object of exactly `length` bytes, sealed to `recipients`.
    ///
    /// # Errors
    /// [`RestError::BadRecipients`], [`RestError::Envelope`], [`RestError::OutOfRange`] for more than
    /// [`CONTENT_LENGTH_MAX`], [`RestError::Io`].
    pub fn new(
        rng: &mut impl CryptoRng,
        recipients: &[JobPublicKey],
        length: u64,
        mut out: W,
    ) -> Result<Self, RestError> {
        if length > CONTENT_LENGTH_MAX {
            return Err(RestError::OutOfRange);
        }
        let data_key = Secret::random(rng);
        let mut salt = [0; 32];
        rng.fill_bytes(&mut salt);
        let header = Header::new(rng, recipients, &data_key, salt, length)?;
        out.write_all(&header.to_bytes(&data_key))?;
        let chunks = Chunks::new(&data_key, labels::REST_CHUNKS, &salt);
        let buffer = SecretBytes::zeroed(CHUNK_LENGTH);
        Ok(Self { out, chunks, buffer, filled: 0, next: 0, remaining: length })
    }

    /// Writes more of the content.
    ///
    /// # Errors
    /// [`RestError::OutOfRange`] beyond the announced length, [`RestError::Io`].
    pub fn write(&mut self, mut content: &[u8]) -> Result<(), RestError> {
        self.remaining = self.remaining.checked_sub(content.len() as u64).ok_or(RestError::OutOfRange)?;
        while !content.is_empty() {
            if self.filled == CHUNK_LENGTH {
                self.write_chunk(false)?;
            }
            let taken = content.len().min(CHUNK_LENGTH - self.filled);
            let (head, rest) = content.split_at(taken);
            self.buffer.expose_mut()[self.filled..self.filled + taken].copy_from_slice(head);
            self.filled += taken;
            content = rest;
        }
        Ok(())
    }

    /// Writes the last chunk and hands the output back; making it durable is the caller's.
    ///
    /// # Errors
    /// [`RestError::OutOfRange`] when less than the announced length was written, [`RestError::Io`].
    pub fn finish(mut self) -> Result<W, RestError> {
        if self.remaining > 0 {
            return Err(RestError::OutOfRange);
        }
        self.write_chunk(true)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn write_chunk(&mut self, last: bool) -> Result<(), RestError> {
        let chunk = u32::try_from(self.next).map_err(|_| RestError::OutOfRange)?;
        let mut sealed = Vec::with_capacity(SEALED_CHUNK_LENGTH);
        self.chunks.seal(chunk, last, &self.buffer.expose()[..self.filled], &mut sealed);
        self.out.write_all(&sealed)?;
        self.filled = 0;
        self.next += 1;
        Ok(())
    }
}

/// Reads one object whose header was authenticated and whose length is right.
pub struct Reader<R> {
    input: R,
    chunks: Chunks,
    length: u64,
    /// Offset of chunk 0.
    start: u64,
}

impl<R: Read + Seek> Reader<R> {
    /// Opens an object that is sealed to `key`.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn open(mut input: R, key: &JobKeyPair) -> Result<Self, RestError> {
        let (header, data_key, start) = read_header(&mut input, key)?;
        let actual = input.seek(SeekFrom::End(0))?;
        let expected = start + header.length + chunk_count(header.length) * TAG_LENGTH as u64;
        if actual != expected {
            return Err(RestError::WrongLength { expected, actual });
        }
        let chunks = Chunks::new(&data_key, labels::REST_CHUNKS, &header.salt);
        Ok(Self { input, chunks, length: header.length, start })
    }

    /// Bytes of content.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Reads `range` of the content: only the chunks it touches.
    ///
    /// # Errors
    /// [`RestError::OutOfRange`], [`RestError::Chunk`], [`RestError::Io`].
    pub fn read(&mut self, range: Range<u64>) -> Result<SecretBytes, RestError> {
        if range.start > range.end || range.end > self.length {
            return Err(RestError::OutOfRange);
        }
        let length = usize::try_from(range.end - range.start).map_err(|_| RestError::OutOfRange)?;
        let mut content = SecretBytes::zeroed(length);
        let (mut position, mut written) = (range.start, 0);
        while written < length {
            let chunk = position / CHUNK_LENGTH as u64;
            let plaintext = self.read_chunk(chunk)?;
            let offset = usize::try_from(position % CHUNK_LENGTH as u64).expect("below 65,536");
            let taken = (length - written).min(plaintext.len() - offset);
            content.expose_mut()[written..written + taken]
                .copy_from_slice(&plaintext.expose()[offset..offset + taken]);
            written += taken;
            position += taken as u64;
        }
        Ok(content)
    }

    /// Reads everything, checking every chunk.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read_all(&mut self) -> Result<SecretBytes, RestError> {
        if self.length == 0 {
            self.read_chunk(0)?;
        }
        self.read(0..self.length)
    }

    fn read_chunk(&mut self, chunk: u64) -> Result<SecretBytes, RestError> {
        let number = u32::try_from(chunk).map_err(|_| RestError::OutOfRange)?;
        let last = chunk + 1 == chunk_count(self.length);
        let length = if last { self.length - chunk * CHUNK_LENGTH as u64 } else { CHUNK_LENGTH as u64 };
        let length = usize::try_from(length).expect("at most 65,536");
        let mut sealed = vec![0; length + TAG_LENGTH];
        self.input.seek(SeekFrom::Start(self.start + chunk * SEALED_CHUNK_LENGTH as u64))?;
        self.input.read_exact(&mut sealed)?;
        self.chunks.open(number, last, &sealed).ok_or(RestError::Chunk { chunk })
    }
}

impl<W> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("remaining", &self.remaining).finish_non_exhaustive()
    }
}

impl<R> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("length", &self.length).finish_non_exhaustive()
    }
}

/// Reads and authenticates the header; answers it, the data key and the offset of chunk 0.
fn read_header<R: Read + Seek>(
    input: &mut R,
    key: &JobKeyPair,
) -> Result<(Header, Secret<32>, u64), RestError> {
    let malformed = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => RestError::Malformed,
        _ => RestError::Io(error),
    };
    input.seek(SeekFrom::Start(0))?;
    let mut prefix = [0; PREFIX_LENGTH];
    input.read_exact(&mut prefix).map_err(malformed)?;
    let length = prefix.strip_prefix(MAGIC).and_then(|length| length.try_into().ok());
    let length = u32::from_be_bytes(length.ok_or(RestError::Malformed)?) as usize;
    if length > HEADER_LENGTH_MAX {
        return Err(RestError::Malformed);
    }
    let mut bytes = vec![0; length + HEADER_TAG_LENGTH];
    input.read_exact(&mut bytes).map_err(malformed)?;
    let (bytes, tag) = bytes.split_at(length);
    let header: Header = canonical::decode(bytes, HEADER_LENGTH_MAX).map_err(|_| RestError::Malformed)?;
    if header.recipients.len() > RECIPIENTS_MAX || header.length > CONTENT_LENGTH_MAX {
        return Err(RestError::Malformed);
    }
    let data_key = header.unwrap(key)?;
    let tag = Commitment(tag.try_into().expect("the split yields the length"));
    if header_tag(&data_key, bytes) != tag {
        return Err(RestError::HeaderNotAuthentic);
    }
    Ok((header, data_key, (PREFIX_LENGTH + length + HEADER_TAG_LENGTH) as u64))
}

/// Seals `content` to `recipients` in memory.
///
/// # Errors
/// As [`Writer::new`].
pub fn seal(
    rng: &mut impl CryptoRng,
    recipients: &[JobPublicKey],
    content: &[u8],
) -> Result<Vec<u8>, RestError> {
    let mut writer = Writer::new(rng, recipients, content.len() as u64, Vec::new())?;
    writer.write(content)?;
    writer.finish()
}

/// Opens an object in memory.
///
/// # Errors
/// [`RestError`].
pub fn open(sealed: &[u8], key: &JobKeyPair) -> Result<SecretBytes, RestError> {
    Reader::open(io::Cursor::new(sealed), key)?.read_all()
}

/// The bytes that take the place of the first `replaced` bytes of an object, to seal it to `recipients` instead; the
/// chunks behind them stay as they are. Who could open it before keeps what was read before: to shut somebody out of
/// *future* content, write a new object.
#[derive(Debug, PartialEq, Eq)]
pub struct Rewrapped {
    /// Bytes to put first.
    pub header: Vec<u8>,
    /// Bytes of the old object that they replace.
    pub replaced: u64,
}

/// Seals an object's data key to other `recipients`.
///
/// # Errors
/// [`RestError`].
pub fn rewrap<R: Read + Seek>(
    rng: &mut impl CryptoRng,
    mut input: R,
    key: &JobKeyPair,
    recipients: &[JobPublicKey],
) -> Result<Rewrapped, RestError> {
    let (old, data_key, replaced) = read_header(&mut input, key)?;
    let header = Header::new(rng, recipients, &data_key, old.salt, old.length)?;
    Ok(Rewrapped { header: header.to_bytes(&data_key), replaced })
}

/// Opens an object with a fixed key and reads around in it: what the fuzzer and the corpus replay call.
#[doc(hidden)]
pub fn fuzz_open(bytes: &[u8]) {
    let key = JobKeyPair::from_seed(Secret::new([7; 32]));
    if let Ok(mut reader) = Reader::open(io::Cursor::new(bytes), &key) {
        let length = reader.length();
        let _ = reader.read(length / 2..length);
        let _ = reader.read_all();
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::frozen;

    fn rng() -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(7)
    }

    fn pair(seed: u8) -> JobKeyPair {
        JobKeyPair::from_seed(Secret::new([seed; 32]))
    }

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|index| u8::try_from(index % 251).expect("below 251")).collect()
    }

    /// Three chunks, two recipients: the object of the frozen vectors.
    fn object() -> Vec<u8> {
        let recipients = [pair(7).public().clone(), pair(8).public().clone()];
        seal(&mut rng(), &recipients, &content(2 * CHUNK_LENGTH + 5)).expect("good keys")
    }

    #[test]
    fn every_length_around_a_chunk_comes_back() {
        for length in [0, 1, CHUNK_LENGTH - 1, CHUNK_LENGTH, CHUNK_LENGTH + 1, 3 * CHUNK_LENGTH] {
            let sealed = seal(&mut rng(), &[pair(7).public().clone()], &content(length)).expect("a good key");
            assert_eq!(open(&sealed, &pair(7)).expect("opens").expose(), content(length), "{length} bytes");
        }
    }

    #[test]
    fn any_range_is_read_alone() {
        let (sealed, content) = (object(), content(2 * CHUNK_LENGTH + 5));
        let mut reader = Reader::open(io::Cursor::new(&sealed), &pair(8)).expect("a recipient");
        assert_eq!(reader.length(), content.len() as u64);
        let chunk = CHUNK_LENGTH as u64;
        for range in [0..0, 0..1, chunk - 1..chunk + 1, 5..2 * chunk + 3, 2 * chunk..2 * chunk + 5] {
            let bounds =
                usize::try_from(range.start).expect("small")..usize::try_from(range.end).expect("small");
            assert_eq!(reader.read(range).expect("inside").expose(), &content[bounds]);
        }
        let beyond = reader.read(0..2 * chunk + 6).expect_err("outside");
        assert_eq!(beyond.code(), "E-KEY-19");
        #[expect(clippy::reversed_empty_ranges, reason = "a caller may well ask for one")]
        let reversed = reader.read(2..1);
        assert_eq!(reversed.expect_err("outside").code(), "E-KEY-19");
    }

    #[test]
    fn a_range_is_read_although_another_chunk_is_broken() {
        let mut sealed = object();
        let end = sealed.len() - 1;
        sealed[end] ^= 1;
        let mut reader = Reader::open(io::Cursor::new(&sealed), &pair(7)).expect("the header is whole");
        assert!(reader.read(0..10).is_ok());
        assert_eq!(reader.read_all().expect_err("broken").code(), "E-KEY-17");
    }

    #[test]
    fn the_frozen_object_is_what_is_written_today() {
        frozen::check("rest.bin", &object());
    }

    /// Each wrong vector is the frozen object with named edits, and the code it is refused with.
    #[test]
    fn every_wrong_vector_is_refused_for_its_reason() {
        let good = frozen::read("rest.bin");
        assert_eq!(
            open(&good, &pair(7)).expect("the right one opens").expose(),
            content(2 * CHUNK_LENGTH + 5)
        );
        let cases = frozen::json("rest_wrong.json");
        assert!(cases.len() >= 18, "the vectors are there");
        for case in cases {
            let mut wrong = good.clone();
            for edit in case["edits"].as_array().expect("a list of edits") {
                apply(&mut wrong, edit);
            }
            let recipient = u8::try_from(case["key"].as_u64().unwrap_or(7)).expect("a small seed");
            let error = open(&wrong, &pair(recipient)).expect_err(case["name"].as_str().expect("a name"));
            assert_eq!(error.code(), case["code"], "{}", case["name"]);
        }
    }

    fn apply(bytes: &mut Vec<u8>, edit: &serde_json::Value) {
        let number = |index: usize| usize::try_from(edit[index].as_u64().expect("a number")).expect("small");
        match edit[0].as_str().expect("an operation") {
            "flip" => bytes[number(1)] ^= u8::try_from(number(2)).expect("a mask"),
            "truncate" => bytes.truncate(number(1)),
            "append" => bytes.extend(hex::decode(edit[1].as_str().expect("bytes")).expect("hexadecimal")),
            "remove" => drop(bytes.drain(number(1)..number(2))),
            "insert" => {
                let inserted = hex::decode(edit[2].as_str().expect("bytes")).expect("hexadecimal");
                bytes.splice(number(1)..number(1), inserted).for_each(drop);
            }
            "set" => {
                let written = hex::decode(edit[2].as_str().expect("bytes")).expect("hexadecimal");
                bytes[number(1)..number(1) + written.len()].copy_from_slice(&written);
            }
            "swap" => {
                let (first, second, length) = (number(1), number(2), number(3));
                let head = bytes[first..first + length].to_vec();
                bytes.copy_within(second..second + length, first);
                bytes[second..second + length].copy_from_slice(&head);
            }
            other => panic!("unknown edit {other}"),
        }
    }

    #[test]
    fn every_flipped_bit_of_the_header_is_refused() {
        let good = seal(&mut rng(), &[pair(7).public().clone()], b"record").expect("a good key");
        let header = good.len() - b"record".len() - TAG_LENGTH;
        let key = pair(7);
        for byte in 0..header {
            let mut wrong = good.clone();
            wrong[byte] ^= 1 << (byte % 8);
            assert!(open(&wrong, &key).is_err(), "byte {byte}");
        }
    }

    #[test]
    fn other_recipients_get_the_same_content_and_the_old_ones_are_gone() {
        let sealed = object();
        let rewrapped = rewrap(&mut rng(), io::Cursor::new(&sealed), &pair(7), &[pair(9).public().clone()])
            .expect("a recipient");
        let start = usize::try_from(rewrapped.replaced).expect("small");
        let moved = [&rewrapped.header, &sealed[start..]].concat();
        assert_eq!(open(&moved, &pair(9)).expect("opens").expose(), content(2 * CHUNK_LENGTH + 5));
        assert_eq!(open(&moved, &pair(7)).expect_err("no longer").code(), "E-KEY-14");
    }

    #[test]
    fn recipients_and_lengths_are_checked_when_writing() {
        let key = pair(7).public().clone();
        let refused =
            |recipients: &[JobPublicKey]| seal(&mut rng(), recipients, b"").expect_err("refused").code();
        assert_eq!(refused(&[]), "E-KEY-18");
        assert_eq!(refused(&[key.clone(), key.clone()]), "E-KEY-18");
        assert_eq!(refused(&vec![key.clone(); 65]), "E-KEY-18");

        let recipients = [key];
        let writer = || Writer::new(&mut rng(), &recipients, 3, Vec::new()).expect("a good key");
        assert_eq!(writer().write(b"four").expect_err("too much").code(), "E-KEY-19");
        assert_eq!(writer().finish().expect_err("too little").code(), "E-KEY-19");
        let huge = Writer::new(&mut rng(), &recipients, CONTENT_LENGTH_MAX + 1, Vec::new());
        assert_eq!(huge.expect_err("too long").code(), "E-KEY-19");
    }

    #[test]
    fn a_failing_disk_is_reported_as_such() {
        struct Failing;
        impl Write for Failing {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = Writer::new(&mut rng(), &[pair(7).public().clone()], 0, Failing).expect_err("full");
        assert_eq!(error.code(), "E-STO-20");
    }
}
