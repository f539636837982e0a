//! Signed statements: COSE_Sign1 (RFC 9052, section 4.2), Ed25519, one spelling only.
//!
//! ```text
//! 18([ protected: bstr { 1: -8 (EdDSA), 3: content type, 4: key id = the signer's 32 bytes },
//!      unprotected: {},
//!      payload: bstr,
//!      signature: bstr .size 64 ])
//! ```
//!
//! The external authenticated data is the text of the statement's [`Label`], so a signature made for one purpose
//! never holds for another. A statement moves through types: bytes → [`Unverified`] → [`Verified`]; the payload
//! can be read only from the last.

use coset::{ContentType, CoseSign1, CoseSign1Builder, HeaderBuilder, TaggedCborSerializable as _, iana};
use minicbor::{Decode, Encode};

use crate::canonical::{self, NotCanonical};
use crate::digest::Label;
use crate::identity::{PublicIdentity, Signature, SigningIdentity};

/// What is stated: a label nobody else uses and the media type of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Signed with every statement of this kind.
    pub label: Label,
    /// Media type of the payload, such as `application/sealgrid-receipt+cbor`.
    pub content_type: &'static str,
}

/// Bytes that a statement adds to its payload at most, beside the content type.
pub const OVERHEAD_MAX: usize = 160;

/// Why a statement is not accepted.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum StatementError {
    /// Longer than the caller is willing to read.
    #[error("statement of {length} bytes where at most {limit} are allowed")]
    TooLong {
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not a COSE_Sign1 in the one accepted spelling.
    #[error("not a signed statement")]
    Malformed,
    /// Signed by somebody else than expected.
    #[error("signed by {actual:?}, expected {expected:?}")]
    OtherSigner {
        /// Who was expected.
        expected: PublicIdentity,
        /// Who is named in the statement.
        actual: PublicIdentity,
    },
    /// A statement of another kind.
    #[error("statement of another kind than {expected}")]
    OtherKind {
        /// The content type that was expected.
        expected: &'static str,
    },
    /// The signature does not hold.
    #[error("signature does not verify")]
    BadSignature,
    /// The signature holds, but the payload is not the expected type in canonical form.
    #[error("payload of a verified statement: {0}")]
    Payload(PayloadProblem),
}

/// What is wrong with a payload; never its content.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum PayloadProblem {
    /// Longer than allowed for this type.
    #[error("too long")]
    TooLong,
    /// Not CBOR of the expected type.
    #[error("malformed")]
    Malformed,
    /// Not in canonical form.
    #[error("not in canonical form")]
    NotCanonical,
}

impl StatementError {
    /// The code in docs/reference/errors/seal.md.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } | Self::Malformed => "E-KEY-04",
            Self::OtherSigner { .. } => "E-KEY-05",
            Self::OtherKind { .. } => "E-KEY-06",
            Self::BadSignature => "E-KEY-07",
            Self::Payload(_) => "E-KEY-08",
        }
    }
}

/// Signs `payload` as a statement of `kind`.
#[must_use]
pub fn sign(identity: &SigningIdentity, kind: &Kind, payload: &[u8]) -> Vec<u8> {
    let mut statement = unsigned(kind.content_type, identity.public(), payload.to_vec());
    let to_sign = statement.tbs_data(kind.label.0.as_bytes());
    statement.signature = identity.danger_sign_unlabelled(&to_sign).0.to_vec();
    serialize(statement)
}

/// Signs the canonical bytes of `value` as a statement of `kind`.
#[must_use]
pub fn sign_value<T: Encode<()>>(identity: &SigningIdentity, kind: &Kind, value: &T) -> Vec<u8> {
    sign(identity, kind, &canonical::encode(value))
}

/// A statement that was read but not yet believed: it only tells whom and what it *claims* to be.
#[derive(Clone, Debug)]
pub struct Unverified {
    statement: CoseSign1,
    content_type: String,
    signer: PublicIdentity,
    signature: Signature,
}

impl Unverified {
    /// Reads a statement of at most `limit` bytes.
    ///
    /// # Errors
    /// [`StatementError::TooLong`] or [`StatementError::Malformed`]; the latter also for a second spelling of the
    /// same statement, for further headers and for bytes behind it.
    pub fn parse(bytes: &[u8], limit: usize) -> Result<Self, StatementError> {
        if bytes.len() > limit {
            return Err(StatementError::TooLong { length: bytes.len(), limit });
        }
        let statement = CoseSign1::from_tagged_slice(bytes).map_err(|_| StatementError::Malformed)?;
        let unverified = Self::from_cose(statement).ok_or(StatementError::Malformed)?;
        if unverified.to_bytes() != bytes {
            return Err(StatementError::Malformed);
        }
        Ok(unverified)
    }

    /// Who claims to have signed: good for choosing a key to verify with, never for a decision.
    #[must_use]
    pub fn claimed_signer(&self) -> PublicIdentity {
        self.signer
    }

    /// What it claims to be.
    #[must_use]
    pub fn claimed_content_type(&self) -> &str {
        &self.content_type
    }

    /// What it claims to state, of a statement that this process has verified before. Of any other it is hearsay.
    ///
    /// # Errors
    /// [`StatementError::Payload`].
    pub fn danger_value<T>(&self) -> Result<T, StatementError>
    where
        T: Encode<()> + for<'b> Decode<'b, ()>,
    {
        read(self.statement.payload.as_deref().unwrap_or_default())
    }

    /// The statement's bytes, equal to those it was read from.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let payload = self.statement.payload.clone().unwrap_or_default();
        let mut canonical = unsigned(&self.content_type, self.signer, payload);
        canonical.signature = self.signature.0.to_vec();
        serialize(canonical)
    }

    /// Checks that `signer` made this statement, of this `kind`.
    ///
    /// # Errors
    /// [`StatementError::OtherKind`], [`StatementError::OtherSigner`], [`StatementError::BadSignature`].
    pub fn verify(self, signer: &PublicIdentity, kind: &Kind) -> Result<Verified, StatementError> {
        if self.content_type != kind.content_type {
            return Err(StatementError::OtherKind { expected: kind.content_type });
        }
        if self.signer != *signer {
            return Err(StatementError::OtherSigner { expected: *signer, actual: self.signer });
        }
        let signed = self.statement.tbs_data(kind.label.0.as_bytes());
        signer
            .danger_verify_unlabelled(&signed, &self.signature)
            .map_err(|_| StatementError::BadSignature)?;
        Ok(Verified { signer: *signer, payload: self.statement.payload.unwrap_or_default() })
    }

    /// Checks that whoever is named as signer made this statement, of this `kind`. The caller has still to decide
    /// whether [`Verified::signer`] may say so.
    ///
    /// # Errors
    /// As [`Unverified::verify`].
    pub fn verify_claimed(self, kind: &Kind) -> Result<Verified, StatementError> {
        let claimed = self.signer;
        self.verify(&claimed, kind)
    }

    fn from_cose(statement: CoseSign1) -> Option<Self> {
        let header = &statement.protected.header;
        let ContentType::Text(content_type) = header.content_type.clone()? else { return None };
        let signer = PublicIdentity(header.key_id.as_slice().try_into().ok()?);
        let signature = Signature(statement.signature.as_slice().try_into().ok()?);
        statement.payload.as_ref()?;
        Some(Self { statement, content_type, signer, signature })
    }
}

/// A statement whose signature holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    signer: PublicIdentity,
    payload: Vec<u8>,
}

impl Verified {
    /// Who made the statement.
    #[must_use]
    pub fn signer(&self) -> PublicIdentity {
        self.signer
    }

    /// What was stated.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// What was stated, read from its canonical bytes.
    ///
    /// # Errors
    /// [`StatementError::Payload`].
    pub fn value<T>(&self) -> Result<T, StatementError>
    where
        T: Encode<()> + for<'b> Decode<'b, ()>,
    {
        read(&self.payload)
    }
}

fn read<T>(payload: &[u8]) -> Result<T, StatementError>
where
    T: Encode<()> + for<'b> Decode<'b, ()>,
{
    canonical::decode(payload, payload.len()).map_err(|error| {
        StatementError::Payload(match error {
            NotCanonical::TooLong { .. } => PayloadProblem::TooLong,
            NotCanonical::Malformed { .. } => PayloadProblem::Malformed,
            NotCanonical::OtherSpelling => PayloadProblem::NotCanonical,
        })
    })
}

/// The one spelling of a statement, its signature left empty.
fn unsigned(content_type: &str, signer: PublicIdentity, payload: Vec<u8>) -> CoseSign1 {
    let protected = HeaderBuilder::new()
        .algorithm(iana::Algorithm::EdDSA)
        .content_type(content_type.to_owned())
        .key_id(signer.0.to_vec())
        .build();
    CoseSign1Builder::new().protected(protected).payload(payload).build()
}

fn serialize(statement: CoseSign1) -> Vec<u8> {
    statement.to_tagged_vec().expect("a statement built here can be encoded")
}

/// Reads a statement and verifies it against its own claims: what the fuzzer and the corpus replay call.
#[doc(hidden)]
pub fn fuzz_parse(bytes: &[u8]) {
    const KIND: Kind = Kind { label: Label("sealgrid/fuzz/v1"), content_type: "application/octet-stream" };
    if let Ok(statement) = Unverified::parse(bytes, 1 << 20) {
        assert_eq!(statement.to_bytes(), bytes, "a statement has one spelling");
        let _ = statement.verify_claimed(&KIND);
    }
}

#[cfg(test)]
mod tests {
    use coset::{CborSerializable as _, RegisteredLabelWithPrivate};

    use super::*;
    use crate::digest::labels;
    use crate::secret::Secret;

    const NOTE: Kind = Kind { label: labels::POLICY, content_type: "application/sealgrid-test+cbor" };

    fn alice() -> SigningIdentity {
        SigningIdentity::from_seed(&Secret::new([1; 32]))
    }

    fn refused(bytes: &[u8]) -> StatementError {
        Unverified::parse(bytes, 4096)
            .and_then(|statement| statement.verify(&alice().public(), &NOTE))
            .expect_err("must be refused")
    }

    #[test]
    fn a_statement_comes_back_from_its_bytes() {
        let bytes = sign_value(&alice(), &NOTE, &7u64);
        assert!(bytes.len() <= 1 + OVERHEAD_MAX + NOTE.content_type.len());
        let unverified = Unverified::parse(&bytes, 4096).expect("well formed");
        assert_eq!(unverified.claimed_signer(), alice().public());
        assert_eq!(unverified.claimed_content_type(), NOTE.content_type);
        let verified = unverified.verify(&alice().public(), &NOTE).expect("signed by alice");
        assert_eq!(verified.value::<u64>(), Ok(7));
        assert_eq!(verified.signer(), alice().public());
    }

    #[test]
    fn each_refusal_has_its_code() {
        let bytes = sign_value(&alice(), &NOTE, &7u64);
        let code = |error: StatementError| error.code();

        assert_eq!(code(Unverified::parse(&bytes, 10).expect_err("too long")), "E-KEY-04");
        assert_eq!(code(refused(b"")), "E-KEY-04");

        let mallory = SigningIdentity::from_seed(&Secret::new([2; 32]));
        assert_eq!(code(refused(&sign_value(&mallory, &NOTE, &7u64))), "E-KEY-05");

        let other_type = Kind { content_type: "application/other", ..NOTE };
        assert_eq!(code(refused(&sign_value(&alice(), &other_type, &7u64))), "E-KEY-06");

        let other_label = Kind { label: labels::DIRECTORY, ..NOTE };
        assert_eq!(code(refused(&sign_value(&alice(), &other_label, &7u64))), "E-KEY-07");

        let verified =
            Unverified::parse(&bytes, 4096).expect("well formed").verify_claimed(&NOTE).expect("signed");
        assert_eq!(code(verified.value::<String>().expect_err("a number")), "E-KEY-08");
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let bytes = sign_value(&alice(), &NOTE, &7u64);
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            refused(&wrong);
        }
    }

    #[test]
    fn a_second_spelling_is_refused() {
        let bytes = sign_value(&alice(), &NOTE, &7u64);
        let mut trailing = bytes.clone();
        trailing.push(0);
        assert_eq!(refused(&trailing), StatementError::Malformed);

        let mut parsed = CoseSign1::from_tagged_slice(&bytes).expect("well formed");
        assert_eq!(
            refused(&parsed.clone().to_vec().expect("encodes")),
            StatementError::Malformed,
            "untagged"
        );
        parsed.unprotected = HeaderBuilder::new().iv(vec![1]).build();
        assert_eq!(refused(&parsed.to_tagged_vec().expect("encodes")), StatementError::Malformed);
    }

    #[test]
    fn another_algorithm_is_refused() {
        let mut statement = unsigned(NOTE.content_type, alice().public(), vec![7]);
        statement.protected.header.alg = Some(RegisteredLabelWithPrivate::Assigned(iana::Algorithm::ES256));
        let to_sign = statement.tbs_data(NOTE.label.0.as_bytes());
        statement.signature = alice().danger_sign_unlabelled(&to_sign).0.to_vec();
        assert_eq!(refused(&serialize(statement)), StatementError::Malformed);
    }
}
