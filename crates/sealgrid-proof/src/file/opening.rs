//! What opens a proof's commitment to records or results, as a file. It is as secret as they are.
//!
//! ```text
//! "SGO1", then canonical CBOR: [1, nonce of the proof, 0 for records or 1 for results, key, [batch…]]
//! ```

use minicbor::{Decode, Encode, decode, encode};
use sealgrid_graph::execute::Batch;
use sealgrid_seal::canonical;
use sealgrid_seal::digest::CommitmentKey;
use sealgrid_seal::secret::SecretBytes;

use super::{BYTES_MAX, Proof};
use crate::values::{self, Side};

/// The first bytes of a file.
pub const MAGIC: &[u8; 4] = b"SGO1";
const VERSION: u16 = 1;

/// The values behind one of a proof's commitments, and its key.
#[derive(Debug)]
pub struct Opening {
    nonce: [u8; 32],
    side: Side,
    key: CommitmentKey,
    batches: Vec<Batch>,
}

/// Why a file opens nothing; never says what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpeningError {
    /// It is none.
    #[error("the file is not an opening of this version, or was cut or changed")]
    Malformed,
    /// It is another proof's, or the proof has no such commitment, or was made about other values.
    #[error("the proof has no commitment that this opens")]
    DoesNotOpen,
}

impl OpeningError {
    /// The code of the index of errors.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "E-PRF-15",
            Self::DoesNotOpen => "E-PRF-16",
        }
    }
}

impl<C> Encode<C> for Opening {
    fn encode<W: encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.array(5)?.u16(VERSION)?.bytes(&self.nonce)?.u8(u8::from(self.side == Side::Outputs))?;
        e.bytes(self.key.expose())?.encode(&self.batches)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Opening {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let wrong = || decode::Error::message("not an opening");
        if d.array()? != Some(5) || d.u16()? != VERSION {
            return Err(wrong());
        }
        let nonce = d.bytes()?.try_into().map_err(|_| wrong())?;
        let side = match d.u8()? {
            0 => Side::Inputs,
            1 => Side::Outputs,
            _ => return Err(wrong()),
        };
        let key: &[u8; 32] = d.bytes()?.try_into().map_err(|_| wrong())?;
        let key = CommitmentKey::fill(|into| into.copy_from_slice(key));
        Ok(Self { nonce, side, key, batches: d.decode()? })
    }
}

impl Opening {
    /// Of what `proof` says about one side of its run.
    #[must_use]
    pub fn of(proof: &Proof, side: Side, key: CommitmentKey, batches: Vec<Batch>) -> Self {
        Self { nonce: proof.claimed().nonce, side, key, batches }
    }

    /// Which values.
    #[must_use]
    pub fn side(&self) -> Side {
        self.side
    }

    /// The values; nothing is known of them before [`Opening::opens`].
    #[must_use]
    pub fn batches(&self) -> &[Batch] {
        &self.batches
    }

    /// Checks that a proof is about these values.
    ///
    /// # Errors
    /// [`OpeningError::DoesNotOpen`].
    pub fn opens(&self, proof: &Proof) -> Result<(), OpeningError> {
        let claimed = proof.claimed();
        let told = match self.side {
            Side::Inputs => claimed.inputs.committed(),
            Side::Outputs => claimed.outputs.committed(),
        };
        let own = values::commit(claimed.level, self.side, &self.batches, &self.key);
        let same = own.is_ok_and(|own| Some(values::root(&own)) == told);
        if same && self.nonce == claimed.nonce { Ok(()) } else { Err(OpeningError::DoesNotOpen) }
    }

    /// The file's bytes, in memory that is wiped.
    #[must_use]
    pub fn to_bytes(&self) -> SecretBytes {
        // Room for all of it: growing would leave copies behind.
        let room = 256 + self.batches.iter().map(|batch| 256 + 4 * batch.data().len()).sum::<usize>();
        let mut bytes = Vec::with_capacity(room);
        bytes.extend_from_slice(MAGIC);
        minicbor::encode(self, &mut bytes).expect("writing to a Vec does not fail");
        SecretBytes::new(bytes)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`OpeningError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, OpeningError> {
        let body = bytes.strip_prefix(MAGIC).ok_or(OpeningError::Malformed)?;
        canonical::decode(body, BYTES_MAX).map_err(|_| OpeningError::Malformed)
    }
}
