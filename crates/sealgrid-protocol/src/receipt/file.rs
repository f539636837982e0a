//! The file format of a receipt with everything that it needs offline.

use minicbor::{Decode, Encode};
use sealgrid_seal::canonical::{self, NotCanonical};
use sealgrid_seal::digest::{Digest, labels};

use crate::claims::{Claims, ClaimsError, EvidenceDigest, EvidenceKind, SignedClaims};

/// First element of every file.
const MAGIC: &str = "sealgrid receipt";
/// The only version of the format.
const VERSION: u32 = 1;
/// Most bytes of a file.
pub const FILE_BYTES_MAX: usize = 64 << 20;
/// Most bytes of a log proof.
pub const LOG_PROOF_BYTES_MAX: usize = 128 << 10;

/// One piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Evidence {
    /// What it is.
    #[n(0)]
    pub kind: EvidenceKind,
    /// Its bytes, in the format of its kind.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub bytes: Vec<u8>,
}

/// A receipt, its evidence, its place in the log. Nothing of it is believed before a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptFile {
    /// The signed receipt.
    pub receipt: SignedClaims,
    /// Evidence, ascending by kind, one of a kind.
    pub evidence: Vec<Evidence>,
    /// Proof that the log holds the receipt's leaf, as `.tlog-proof` text.
    pub log_proof: Option<Vec<u8>>,
}

/// Why bytes are not a receipt file, or do not belong together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Not this format.
    #[error("not a receipt file: {0}")]
    Unreadable(NotCanonical),
    /// A newer format.
    #[error("receipt file of version {0}, this program reads version 1")]
    Version(u32),
    /// Bytes were altered after writing.
    #[error("receipt file is damaged: its checksum does not match")]
    Damaged,
    /// Evidence is not in order, or twice.
    #[error("evidence is not in order, or twice")]
    Order,
    /// The log proof is longer than any can be.
    #[error("log proof is too long")]
    LogProof,
    /// The claims name other evidence than the file holds.
    #[error("{kind} evidence is missing, altered, or not named by the claims")]
    Evidence {
        /// Of which kind.
        kind: EvidenceKind,
    },
}

impl FileError {
    /// The code in docs/reference/errors.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Evidence { .. } => "E-VER-04",
            _ => "E-VER-01",
        }
    }

    /// The numbered rule that is broken.
    #[must_use]
    pub const fn rule(&self) -> &'static str {
        match self {
            Self::Evidence { .. } => "RCP-13",
            _ => "RCP-01",
        }
    }
}

/// The file as it is written. The checksum finds damage, also in the parts that no signature covers (which witnesses
/// cosigned); against malice it does nothing and is not meant to.
#[derive(Encode, Decode)]
struct Wire {
    #[n(0)]
    magic: String,
    #[n(1)]
    version: u32,
    #[cbor(n(2), with = "minicbor::bytes")]
    receipt: Vec<u8>,
    #[n(3)]
    evidence: Vec<Evidence>,
    #[cbor(n(4), with = "minicbor::bytes")]
    log_proof: Option<Vec<u8>>,
    #[n(5)]
    checksum: Digest,
}

impl ReceiptFile {
    /// The digests that claims must carry for `evidence`, which is sorted by kind on the way.
    #[must_use]
    pub fn digests(evidence: &mut [Evidence]) -> Vec<EvidenceDigest> {
        evidence.sort_by_key(|evidence| evidence.kind);
        evidence
            .iter()
            .map(|evidence| EvidenceDigest {
                kind: evidence.kind,
                digest: evidence.kind.digest(&evidence.bytes),
            })
            .collect()
    }

    /// The bytes of the file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        canonical::encode(&Wire {
            magic: MAGIC.to_owned(),
            version: VERSION,
            receipt: self.receipt.as_bytes().to_vec(),
            evidence: self.evidence.clone(),
            log_proof: self.log_proof.clone(),
            checksum: self.checksum(),
        })
    }

    /// Whether bytes begin as a file of this format does, in whatever version: a list of less than 24, and the magic text.
    #[must_use]
    pub fn begins(bytes: &[u8]) -> bool {
        matches!(bytes, [0x80..=0x97, 0x70, rest @ ..] if rest.starts_with(MAGIC.as_bytes()))
    }

    /// Reads a file. Nothing of it is believed yet.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FileError> {
        let wire: Wire = canonical::decode(bytes, FILE_BYTES_MAX).map_err(FileError::Unreadable)?;
        if wire.magic != MAGIC {
            return Err(FileError::Unreadable(NotCanonical::Malformed { position: 0 }));
        }
        if wire.version != VERSION {
            return Err(FileError::Version(wire.version));
        }
        if !wire.evidence.is_sorted_by(|a, b| a.kind < b.kind) {
            return Err(FileError::Order);
        }
        if wire.log_proof.as_ref().is_some_and(|proof| proof.len() > LOG_PROOF_BYTES_MAX) {
            return Err(FileError::LogProof);
        }
        let receipt = SignedClaims::from_bytes(wire.receipt);
        let file = Self { receipt, evidence: wire.evidence, log_proof: wire.log_proof };
        if file.checksum() == wire.checksum { Ok(file) } else { Err(FileError::Damaged) }
    }

    /// Checks the receipt's signature and its claims' own rules.
    ///
    /// # Errors
    /// [`ClaimsError`].
    pub fn claims(&self) -> Result<Claims, ClaimsError> {
        self.receipt.verify()
    }

    /// Checks that the file holds exactly the evidence that `claims` name.
    ///
    /// # Errors
    /// [`FileError::Evidence`] with the first kind that does not match.
    pub fn check_evidence(&self, claims: &Claims) -> Result<(), FileError> {
        let mismatch = EvidenceKind::ALL
            .into_iter()
            .find(|&kind| claims.evidence(kind) != self.evidence(kind).map(|bytes| kind.digest(bytes)));
        match mismatch {
            Some(kind) => Err(FileError::Evidence { kind }),
            None => Ok(()),
        }
    }

    /// The bytes of the evidence of `kind`.
    #[must_use]
    pub fn evidence(&self, kind: EvidenceKind) -> Option<&[u8]> {
        self.evidence.iter().find(|evidence| evidence.kind == kind).map(|evidence| evidence.bytes.as_slice())
    }

    fn checksum(&self) -> Digest {
        let evidence: Vec<_> =
            self.evidence.iter().map(|evidence| evidence.kind.digest(&evidence.bytes)).collect();
        let mut parts: Vec<&[u8]> = vec![MAGIC.as_bytes(), self.receipt.as_bytes()];
        parts.extend(evidence.iter().map(|digest| &digest.0[..]));
        parts.extend(self.log_proof.as_deref());
        Digest::of(labels::RECEIPT_FILE, &parts)
    }
}

/// Reads any bytes as a file and as a receipt: what the fuzzer and the corpus replay call.
#[doc(hidden)]
pub fn fuzz_parse(bytes: &[u8]) {
    if let Ok(file) = ReceiptFile::decode(bytes) {
        assert_eq!(file.encode(), bytes, "a file has one spelling");
        let _ = file.claims().map(|claims| file.check_evidence(&claims));
    }
    if let Ok(claims) = SignedClaims::from_bytes(bytes.to_vec()).verify() {
        let _ = super::claims_text(&claims);
    }
    let _ = super::Opening::decode(bytes);
}
