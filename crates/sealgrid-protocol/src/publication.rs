//! An owner's word that the nodes of one grid may keep and serve a model.
//!
//! It must let a node decide, before it takes a byte, whose model it is, for which grid, and how long; and afterwards,
//! whether what arrived is what was signed. It is a signed statement ([`PUBLICATION`]) of a [`Publication`]. The digest of
//! the file is over secret salts as well as weights, so it tells nothing about them.
//!
//! What it is not: a licence. Whoever runs a node holds the file afterwards.

use minicbor::{Decode, Encode};
use sealgrid_seal::digest::{Digest, labels};
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};
use sealgrid_seal::statement::{self, Kind, StatementError, Unverified};

use crate::machine::Millis;
use crate::names::ModelCommitment;

/// What a publication is signed as.
pub const PUBLICATION: Kind =
    Kind { label: labels::MODEL_PUBLICATION, content_type: "application/sealgrid-model-publication+cbor" };

/// The only version of the format.
pub const VERSION: u16 = 1;

/// Bytes of a signed publication at most.
pub const PUBLICATION_LENGTH_MAX: usize = 512;

/// What an owner signs.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Publication {
    /// [`VERSION`].
    #[n(0)]
    pub version: u16,
    /// The authority of the grid it is meant for: a statement for one grid is none for another.
    #[n(1)]
    pub authority: PublicIdentity,
    /// The model.
    #[n(2)]
    pub model: ModelCommitment,
    /// Bytes of its file.
    #[n(3)]
    pub length: u64,
    /// `H(MODEL_FILE, bytes of the file)`.
    #[n(4)]
    pub file: Digest,
    /// When it was signed.
    #[n(5)]
    pub at: Millis,
    /// Of a model whose runs are proven: how many openings of its registration each node may spend.
    #[n(6)]
    pub openings: Option<u32>,
}

/// Why a publication is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicationError {
    /// Malformed, or its signature does not hold.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// Of another version, or for the nodes of another authority.
    #[error("publication of another version or for another grid")]
    OtherGrid,
    /// The file is not the one that was signed.
    #[error("the file is not the one that its owner signed")]
    OtherFile,
}

impl PublicationError {
    /// The code in docs/reference/errors.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Statement(error) => error.code(),
            Self::OtherGrid => "E-VER-20",
            Self::OtherFile => "E-VER-21",
        }
    }
}

impl Publication {
    /// Describes `file`, the bytes of `model`, for the grid of `authority`.
    #[must_use]
    pub fn of(authority: PublicIdentity, model: ModelCommitment, file: &[u8], at: Millis) -> Self {
        let (length, file) = (file.len() as u64, file_digest(file));
        Self { version: VERSION, authority, model, length, file, at, openings: None }
    }

    /// Signs it as the owner.
    #[must_use]
    pub fn sign(&self, owner: &SigningIdentity) -> Vec<u8> {
        statement::sign_value(owner, &PUBLICATION, self)
    }

    /// Reads a signed publication for the grid of `authority`; also who signed it, to be compared with whom one
    /// takes models from.
    ///
    /// # Errors
    /// [`PublicationError::Statement`], [`PublicationError::OtherGrid`].
    pub fn verify(
        bytes: &[u8],
        authority: &PublicIdentity,
    ) -> Result<(PublicIdentity, Self), PublicationError> {
        let verified = Unverified::parse(bytes, PUBLICATION_LENGTH_MAX)?.verify_claimed(&PUBLICATION)?;
        let publication: Self = verified.value()?;
        if publication.version != VERSION || publication.authority != *authority {
            return Err(PublicationError::OtherGrid);
        }
        Ok((verified.signer(), publication))
    }

    /// Whether `file` is what was signed.
    ///
    /// # Errors
    /// [`PublicationError::OtherFile`].
    pub fn check(&self, file: &[u8]) -> Result<(), PublicationError> {
        if file.len() as u64 == self.length && file_digest(file) == self.file {
            Ok(())
        } else {
            Err(PublicationError::OtherFile)
        }
    }
}

fn file_digest(file: &[u8]) -> Digest {
    Digest::of(labels::MODEL_FILE, &[file])
}

#[cfg(test)]
mod tests {
    use sealgrid_seal::secret::Secret;

    use super::*;

    fn identity(seed: u8) -> SigningIdentity {
        SigningIdentity::from_seed(&Secret::new([seed; 32]))
    }

    fn publication() -> Publication {
        Publication::of(identity(1).public(), ModelCommitment(Digest([7; 32])), b"a model", 5)
    }

    #[test]
    fn the_nodes_of_its_grid_learn_owner_model_and_file() {
        let signed = publication().sign(&identity(2));
        assert!(signed.len() <= PUBLICATION_LENGTH_MAX);
        let (owner, read) = Publication::verify(&signed, &identity(1).public()).expect("holds");
        assert_eq!((owner, &read), (identity(2).public(), &publication()));
        assert_eq!(read.check(b"a model"), Ok(()));
        assert_eq!(read.check(b"a modem").expect_err("other").code(), "E-VER-21");
        assert_eq!(read.check(b"a model and more").expect_err("longer").code(), "E-VER-21");
        let elsewhere = Publication::verify(&signed, &identity(3).public()).expect_err("another grid");
        assert_eq!(elsewhere.code(), "E-VER-20");
    }

    #[test]
    fn no_flipped_bit_is_accepted() {
        let signed = publication().sign(&identity(2));
        for bit in 0..signed.len() * 8 {
            let mut flipped = signed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Publication::verify(&flipped, &identity(1).public()).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn the_bytes_are_frozen() {
        let signed = publication().sign(&identity(2));
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/publication/publication.cose");
        if std::env::var_os("SEALGRID_BLESS").is_some() {
            std::fs::write(path, &signed).expect("writable");
        }
        assert_eq!(std::fs::read(path).expect("there"), signed);
    }
}
