//! The owner's sidecar: the key under which a job's input and output were committed to.

use sealgrid_seal::digest::{CommitmentKey, Digest};
use sealgrid_seal::secret::{Secret, SecretBytes};

use crate::names::JobId;

/// Most bytes of an opening.
pub const OPENING_BYTES_MAX: usize = 128;
const VERSION: u32 = 1;

/// The job key of one job. Whoever has it and guesses a record can test the guess: keep it beside the receipt, never
/// inside it. Destroyed, the commitments in the receipt and the log mean nothing to anybody.
#[derive(Debug, PartialEq, Eq)]
pub struct Opening {
    /// Whose key it is.
    pub job: JobId,
    /// The key.
    pub key: CommitmentKey,
}

/// Why bytes are not an opening; never says what they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an opening of a receipt")]
pub struct OpeningError;

impl OpeningError {
    /// The code in docs/reference/errors.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "E-VER-09"
    }
}

impl Opening {
    /// The bytes of the sidecar: `[version, job, key]`, in memory that is wiped.
    #[must_use]
    pub fn encode(&self) -> SecretBytes {
        let mut bytes = Vec::with_capacity(OPENING_BYTES_MAX);
        let mut encoder = minicbor::Encoder::new(&mut bytes);
        let written = encoder
            .array(3)
            .and_then(|e| e.u32(VERSION))
            .and_then(|e| e.bytes(&self.job.0.0))
            .and_then(|e| e.bytes(self.key.expose()));
        written.expect("writing to a Vec does not fail");
        SecretBytes::new(bytes)
    }

    /// Reads a sidecar.
    ///
    /// # Errors
    /// [`OpeningError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, OpeningError> {
        if bytes.len() > OPENING_BYTES_MAX {
            return Err(OpeningError);
        }
        let opening = Self::read(bytes).map_err(|_| OpeningError)?;
        if opening.encode().expose() == bytes { Ok(opening) } else { Err(OpeningError) }
    }

    fn read(bytes: &[u8]) -> Result<Self, minicbor::decode::Error> {
        let wrong = || minicbor::decode::Error::message("not an opening");
        let mut decoder = minicbor::Decoder::new(bytes);
        if decoder.array()? != Some(3) || decoder.u32()? != VERSION {
            return Err(wrong());
        }
        let job = JobId(Digest(decoder.bytes()?.try_into().map_err(|_| wrong())?));
        let key: &[u8; 32] = decoder.bytes()?.try_into().map_err(|_| wrong())?;
        Ok(Self { job, key: Secret::fill(|into| into.copy_from_slice(key)) })
    }
}
