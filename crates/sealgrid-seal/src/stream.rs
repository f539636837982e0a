//! Chunked authenticated encryption of a byte stream: the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár,
//! "Online authenticated-encryption and its nonce-reuse misuse-resistance", 2015) over AES-256-GCM.
//!
//! ```text
//! "SGS1" | salt 32 bytes | chunk 0 | chunk 1 | … | last chunk
//! chunk = ciphertext of 65,536 bytes (the last: 0 to 65,536) | tag 16 bytes
//! key   = HKDF-SHA256(salt, stream key, label)      nonce = 7 zero bytes | counter u32 big endian | 1 if last, else 0
//! ```
//!
//! The counter refuses reordered, repeated and dropped chunks, the last-chunk byte refuses truncation and
//! anything appended. The salt is fresh per stream, so one stream key may seal many streams. Only an empty stream has an
//! empty last chunk.

use hkdf::Hkdf;
use rand_core::CryptoRng;
use sha2::Sha256;

use crate::aead::{Aes256Gcm, Nonce, TAG_LENGTH};
use crate::digest::Label;
use crate::secret::{Secret, SecretBytes};

/// Bytes of plaintext in every chunk but the last.
pub const CHUNK_LENGTH: usize = 64 << 10;

/// Bytes of a sealed chunk at most.
pub const SEALED_CHUNK_LENGTH: usize = CHUNK_LENGTH + TAG_LENGTH;

/// Bytes before the first chunk.
pub const HEADER_LENGTH: usize = 4 + SALT_LENGTH;

const MAGIC: &[u8; 4] = b"SGS1";
const SALT_LENGTH: usize = 32;

/// Why a stream is not what was sealed.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum StreamError {
    /// The first bytes are not a stream's.
    #[error("not a sealed stream")]
    NotAStream,
    /// A chunk was changed, moved, repeated, dropped, or sealed under another key or label.
    #[error("chunk {chunk} of the stream is not authentic")]
    Chunk {
        /// Which.
        chunk: u64,
    },
    /// The stream ends before its last chunk.
    #[error("stream ends early, in chunk {chunk}")]
    Truncated {
        /// The chunk that is missing or cut.
        chunk: u64,
    },
    /// More than 2^32 chunks (256 TiB).
    #[error("stream is too long")]
    TooLong,
}

impl StreamError {
    /// The code in docs/reference/errors/seal.md.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAStream => "E-KEY-09",
            Self::Chunk { .. } => "E-KEY-10",
            Self::Truncated { .. } => "E-KEY-11",
            Self::TooLong => "E-KEY-12",
        }
    }
}

/// Seals and opens numbered chunks. Every (counter, last) is a nonce of its own; that each is used for one chunk is
/// up to [`Sealer`] here and to the writer of [`crate::rest`].
pub(crate) struct Chunks(Aes256Gcm);

impl Chunks {
    pub(crate) fn new(key: &Secret<32>, label: Label, salt: &[u8]) -> Self {
        let (_, prk) = Hkdf::<Sha256>::extract(Some(salt), key.expose());
        let key = Secret::fill(|out| {
            prk.expand(label.0.as_bytes(), out).expect("32 bytes are less than HKDF can fill");
        });
        Self(Aes256Gcm::new(&key))
    }

    pub(crate) fn seal(&self, chunk: u32, last: bool, plaintext: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + plaintext.len() + TAG_LENGTH, 0);
        self.0.danger_seal(nonce(chunk, last), &[], plaintext, &mut out[start..]);
    }

    pub(crate) fn open(&self, chunk: u32, last: bool, sealed: &[u8]) -> Option<SecretBytes> {
        self.0.open(nonce(chunk, last), &[], sealed).ok()
    }
}

fn nonce(chunk: u32, last: bool) -> Nonce {
    let mut nonce = [0; 12];
    nonce[7..11].copy_from_slice(&chunk.to_be_bytes());
    nonce[11] = u8::from(last);
    nonce
}

/// Seals a stream piece by piece.
pub struct Sealer {
    chunks: Chunks,
    next: u32,
    /// Plaintext not sealed yet; wiped when dropped. Never more than a chunk.
    buffer: SecretBytes,
    filled: usize,
}

impl Sealer {
    /// Starts a stream under `key` for the purpose `label`; writes its header to `out`.
    pub fn new(rng: &mut impl CryptoRng, key: &Secret<32>, label: Label, out: &mut Vec<u8>) -> Self {
        let mut salt = [0; SALT_LENGTH];
        rng.fill_bytes(&mut salt);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&salt);
        let chunks = Chunks::new(key, label, &salt);
        Self { chunks, next: 0, buffer: SecretBytes::zeroed(CHUNK_LENGTH), filled: 0 }
    }

    /// Seals more of the stream; whole chunks go to `out`.
    ///
    /// # Errors
    /// [`StreamError::TooLong`].
    pub fn update(&mut self, mut plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), StreamError> {
        while !plaintext.is_empty() {
            // A full buffer is sealed only when more follows: it may be the last chunk.
            if self.filled == CHUNK_LENGTH {
                self.chunks.seal(self.next, false, self.buffer.expose(), out);
                self.advance()?;
                self.filled = 0;
            }
            // Whole chunks with something behind them need not pass through the buffer.
            while self.filled == 0 && plaintext.len() > CHUNK_LENGTH {
                let (chunk, rest) = plaintext.split_at(CHUNK_LENGTH);
                self.chunks.seal(self.next, false, chunk, out);
                self.advance()?;
                plaintext = rest;
            }
            let taken = plaintext.len().min(CHUNK_LENGTH - self.filled);
            let (head, rest) = plaintext.split_at(taken);
            self.buffer.expose_mut()[self.filled..self.filled + taken].copy_from_slice(head);
            self.filled += taken;
            plaintext = rest;
        }
        Ok(())
    }

    /// Seals the last chunk. A stream without it does not open.
    pub fn finish(self, out: &mut Vec<u8>) {
        self.chunks.seal(self.next, true, &self.buffer.expose()[..self.filled], out);
    }

    fn advance(&mut self) -> Result<(), StreamError> {
        self.next = self.next.checked_add(1).ok_or(StreamError::TooLong)?;
        Ok(())
    }
}

/// Opens a stream piece by piece. What it has given out is authentic and in order; that it is *all* is known only
/// when [`Opener::finish`] says so.
pub struct Opener {
    key: Secret<32>,
    label: Label,
    chunks: Option<Chunks>,
    next: u32,
    buffer: Vec<u8>,
    failed: Option<StreamError>,
}

impl Opener {
    /// Expects a stream under `key` for the purpose `label`.
    #[must_use]
    pub fn new(key: &Secret<32>, label: Label) -> Self {
        let buffer = Vec::with_capacity(SEALED_CHUNK_LENGTH);
        Self { key: key.duplicate(), label, chunks: None, next: 0, buffer, failed: None }
    }

    /// Takes in more of the stream; hands each plaintext chunk that is complete and not the last to `sink`.
    ///
    /// # Errors
    /// [`StreamError`]; after one, every further call repeats it.
    pub fn update(&mut self, mut sealed: &[u8], mut sink: impl FnMut(&[u8])) -> Result<(), StreamError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        while !sealed.is_empty() {
            let result = match self.chunks {
                None => self.take_header(&mut sealed),
                Some(_) => self.take_chunk(&mut sealed, &mut sink),
            };
            if let Err(error) = result {
                self.failed = Some(error);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Opens the last chunk and hands it to `sink`.
    ///
    /// # Errors
    /// [`StreamError`]; [`StreamError::Truncated`] when what came so far is authentic but not all.
    pub fn finish(self, sink: impl FnOnce(&[u8])) -> Result<(), StreamError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let chunk = u64::from(self.next);
        let Some(chunks) = &self.chunks else { return Err(StreamError::NotAStream) };
        let Some(plaintext) = chunks.open(self.next, true, &self.buffer) else {
            // A whole chunk that is not the last one, or a part of a chunk: the rest is missing. Anything else in the
            // buffer cannot be told from a changed last chunk, so one answer serves both.
            return Err(StreamError::Truncated { chunk });
        };
        if plaintext.is_empty() && self.next > 0 {
            return Err(StreamError::Chunk { chunk });
        }
        sink(plaintext.expose());
        Ok(())
    }

    fn take_header(&mut self, sealed: &mut &[u8]) -> Result<(), StreamError> {
        let taken = sealed.len().min(HEADER_LENGTH - self.buffer.len());
        let (head, rest) = sealed.split_at(taken);
        self.buffer.extend_from_slice(head);
        *sealed = rest;
        if self.buffer.len() == HEADER_LENGTH {
            let salt = self.buffer.strip_prefix(MAGIC).ok_or(StreamError::NotAStream)?;
            self.chunks = Some(Chunks::new(&self.key, self.label, salt));
            self.buffer.clear();
        }
        Ok(())
    }

    /// A full buffer is opened only when more follows: it may be the last chunk.
    fn take_chunk(&mut self, sealed: &mut &[u8], sink: &mut impl FnMut(&[u8])) -> Result<(), StreamError> {
        if self.buffer.len() == SEALED_CHUNK_LENGTH {
            let buffer = std::mem::take(&mut self.buffer);
            self.open_chunk(&buffer, sink)?;
            self.buffer = buffer;
            self.buffer.clear();
        }
        if self.buffer.is_empty() && sealed.len() > SEALED_CHUNK_LENGTH {
            let (chunk, rest) = sealed.split_at(SEALED_CHUNK_LENGTH);
            *sealed = rest;
            return self.open_chunk(chunk, sink);
        }
        let taken = sealed.len().min(SEALED_CHUNK_LENGTH - self.buffer.len());
        let (head, rest) = sealed.split_at(taken);
        self.buffer.extend_from_slice(head);
        *sealed = rest;
        Ok(())
    }

    fn open_chunk(&mut self, sealed: &[u8], sink: &mut impl FnMut(&[u8])) -> Result<(), StreamError> {
        let chunks = self.chunks.as_ref().expect("the header was read before any chunk");
        let error = StreamError::Chunk { chunk: u64::from(self.next) };
        sink(chunks.open(self.next, false, sealed).ok_or(error)?.expose());
        self.next = self.next.checked_add(1).ok_or(StreamError::TooLong)?;
        Ok(())
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("next", &self.next).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener").field("next", &self.next).finish_non_exhaustive()
    }
}

/// Opens a stream under a fixed key, whole and in two pieces: what the fuzzer and the corpus replay call.
#[doc(hidden)]
pub fn fuzz_open(bytes: &[u8]) {
    let open = |pieces: &[&[u8]]| {
        let mut opener = Opener::new(&Secret::new([7; 32]), crate::digest::labels::STREAM);
        let mut plaintext = Vec::new();
        for piece in pieces {
            opener.update(piece, |chunk| plaintext.extend_from_slice(chunk))?;
        }
        opener.finish(|chunk| plaintext.extend_from_slice(chunk))?;
        Ok::<_, StreamError>(plaintext)
    };
    let (head, tail) = bytes.split_at(bytes.len() / 3);
    assert_eq!(open(&[bytes]), open(&[head, tail]), "pieces do not matter");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::digest::labels::{POLICY, STREAM};
    use crate::frozen;

    fn key() -> Secret<32> {
        Secret::new([7; 32])
    }

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|index| u8::try_from(index % 251).expect("below 251")).collect()
    }

    fn seal(pieces: &[&[u8]]) -> Vec<u8> {
        let mut sealed = Vec::new();
        let mut sealer = Sealer::new(&mut ChaCha20Rng::seed_from_u64(7), &key(), STREAM, &mut sealed);
        for piece in pieces {
            sealer.update(piece, &mut sealed).expect("short");
        }
        sealer.finish(&mut sealed);
        sealed
    }

    fn open(label: Label, pieces: &[&[u8]]) -> Result<Vec<u8>, StreamError> {
        let mut opener = Opener::new(&key(), label);
        let mut plaintext = Vec::new();
        for piece in pieces {
            opener.update(piece, |chunk| plaintext.extend_from_slice(chunk))?;
        }
        opener.finish(|chunk| plaintext.extend_from_slice(chunk))?;
        Ok(plaintext)
    }

    #[test]
    fn every_length_around_a_chunk_comes_back() {
        for length in
            [0, 1, CHUNK_LENGTH - 1, CHUNK_LENGTH, CHUNK_LENGTH + 1, 2 * CHUNK_LENGTH, 2 * CHUNK_LENGTH + 9]
        {
            let content = content(length);
            let sealed = seal(&[&content]);
            let chunks = length.div_ceil(CHUNK_LENGTH).max(1);
            assert_eq!(sealed.len(), HEADER_LENGTH + length + chunks * TAG_LENGTH);
            assert_eq!(open(STREAM, &[&sealed]), Ok(content), "{length} bytes");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn how_a_stream_is_cut_into_pieces_does_not_matter(
            length in 0usize..200_000,
            cuts in prop::collection::vec(0usize..200_000, 0..5),
        ) {
            let content = content(length);
            let split = |bytes: &[u8]| {
                let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
                cuts.sort_unstable();
                cuts.push(bytes.len());
                let mut start = 0;
                cuts.into_iter().map(|end| { let piece = bytes[start..end].to_vec(); start = end; piece }).collect::<Vec<_>>()
            };
            let whole = seal(&[&content]);
            let pieces = split(&content);
            prop_assert_eq!(&seal(&pieces.iter().map(Vec::as_slice).collect::<Vec<_>>()), &whole);
            let pieces = split(&whole);
            prop_assert_eq!(open(STREAM, &pieces.iter().map(Vec::as_slice).collect::<Vec<_>>()), Ok(content));
        }
    }

    #[test]
    fn the_frozen_stream_is_what_is_written_today() {
        frozen::check("stream.bin", &seal(&[&content(CHUNK_LENGTH + 5)]));
    }

    #[test]
    fn whatever_is_done_to_a_stream_it_is_noticed() {
        let sealed = seal(&[&content(3 * CHUNK_LENGTH)]);
        let chunk = |index: usize| {
            let start = HEADER_LENGTH + index * SEALED_CHUNK_LENGTH;
            &sealed[start..start + SEALED_CHUNK_LENGTH]
        };
        let header = &sealed[..HEADER_LENGTH];
        let refused = |pieces: &[&[u8]], expected: StreamError, code: &str| {
            let whole = pieces.concat();
            assert_eq!(open(STREAM, &[&whole]), Err(expected));
            assert_eq!(expected.code(), code);
        };
        refused(&[header, chunk(1), chunk(0), chunk(2)], StreamError::Chunk { chunk: 0 }, "E-KEY-10");
        refused(
            &[header, chunk(0), chunk(0), chunk(1), chunk(2)],
            StreamError::Chunk { chunk: 1 },
            "E-KEY-10",
        );
        refused(&[header, chunk(0), chunk(2)], StreamError::Truncated { chunk: 1 }, "E-KEY-11");
        refused(&[header, chunk(0), chunk(1)], StreamError::Truncated { chunk: 1 }, "E-KEY-11");
        refused(
            &[header, chunk(0), chunk(1), &chunk(2)[1..]],
            StreamError::Truncated { chunk: 2 },
            "E-KEY-11",
        );
        refused(&[&sealed, &[0]], StreamError::Chunk { chunk: 2 }, "E-KEY-10");
        refused(&[&sealed, chunk(2)], StreamError::Chunk { chunk: 2 }, "E-KEY-10");
        refused(&[b"SGS2", &sealed[4..]], StreamError::NotAStream, "E-KEY-09");
        refused(&[b"SGS1"], StreamError::NotAStream, "E-KEY-09");
        refused(&[header], StreamError::Truncated { chunk: 0 }, "E-KEY-11");
        assert_eq!(StreamError::TooLong.code(), "E-KEY-12");
        assert_eq!(open(POLICY, &[&sealed]), Err(StreamError::Chunk { chunk: 0 }));

        for position in [4, 35, HEADER_LENGTH, HEADER_LENGTH + SEALED_CHUNK_LENGTH - 1] {
            let mut wrong = sealed.clone();
            wrong[position] ^= 1;
            assert_eq!(open(STREAM, &[&wrong]), Err(StreamError::Chunk { chunk: 0 }), "byte {position}");
        }
    }

    #[test]
    fn an_empty_last_chunk_after_a_full_one_is_refused() {
        let mut sealed = Vec::new();
        let sealer = Sealer::new(&mut ChaCha20Rng::seed_from_u64(7), &key(), STREAM, &mut sealed);
        sealer.chunks.seal(0, false, &content(CHUNK_LENGTH), &mut sealed);
        sealer.chunks.seal(1, true, &[], &mut sealed);
        assert_eq!(open(STREAM, &[&sealed]), Err(StreamError::Chunk { chunk: 1 }), "a second spelling");
    }

    #[test]
    fn a_failed_stream_stays_failed() {
        let mut opener = Opener::new(&key(), STREAM);
        let error = opener.update(&[0; HEADER_LENGTH], |_| {}).expect_err("no magic");
        assert_eq!(opener.update(b"more", |_| {}), Err(error));
        assert_eq!(opener.finish(|_| {}), Err(error));
    }

    #[test]
    fn the_longest_stream_ends_with_an_error_not_a_repeated_nonce() {
        let mut sealed = Vec::new();
        let mut sealer = Sealer::new(&mut ChaCha20Rng::seed_from_u64(7), &key(), STREAM, &mut sealed);
        sealer.next = u32::MAX;
        let content = content(CHUNK_LENGTH + 1);
        assert_eq!(sealer.update(&content, &mut sealed), Err(StreamError::TooLong));
    }
}
