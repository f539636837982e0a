//! What a receipt claims, and the signature under it.
//!
//! [`Claims`] are a draft; [`Claims::sign`] makes the bytes of a receipt (COSE_Sign1 over canonical claims);
//! [`SignedClaims::verify`] gives them back only when whoever they name as issuer signed them and they do not
//! contradict themselves. That says nothing yet about truth: evidence is judged by `receipt` and `sealgrid-verify`.
//! Rules are numbered RCP-NN in docs/spec/receipt.md.

use std::collections::HashSet;
use std::fmt;

use minicbor::{Decode, Encode};
use sealgrid_graph::proving::Statement;
use sealgrid_seal::digest::{Commitment, Digest, labels};
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};
use sealgrid_seal::statement::{self, Kind, StatementError, Unverified};

use crate::draw::DrawFacts;
use crate::machine::Millis;
use crate::names::{Environment, JobId, ModelCommitment, Protection, Verification};

/// The only version of the format.
pub const VERSION: u32 = 1;
/// Most bytes of a signed receipt, evidence not counted.
pub const RECEIPT_BYTES_MAX: usize = 16 << 10;
/// Most records of a job.
pub const RECORDS_MAX: u32 = 1 << 24;
/// Most members and reserves together.
pub const PARTIES_MAX: usize = 32;
/// Most faults: one of each party, and room for a second.
pub const FAULTS_MAX: usize = 64;

/// What a receipt is signed as.
pub const RECEIPT: Kind = Kind { label: labels::RECEIPT, content_type: "application/sealgrid-receipt+cbor" };

/// What happened to a party of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum FaultKind {
    /// Its result is wrong from this operation of the graph on; proven by a referee.
    #[n(0)]
    Lie {
        /// First operation whose output it stated wrongly.
        #[n(0)]
        operation: u32,
    },
    /// It revealed something else than it had committed to, or two things; proven by its own signatures.
    #[n(1)]
    Equivocate,
    /// It answered after its time. Not proven: the client's word.
    #[n(2)]
    Late,
    /// It could not be reached. Not proven: the client's word.
    #[n(3)]
    Unreachable,
    /// It declined the job. Not proven: the client's word.
    #[n(4)]
    Refuse,
    /// It lost a dispute by not opening its trace in time. Not proven: the client's word.
    #[n(5)]
    Silent,
    /// The proof that it gave with its result does not hold. Shown where the receipt carries that proof and what was signed for
    /// it; otherwise the client's word.
    #[n(6)]
    BadProof,
}

/// A party and what happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Fault {
    /// The party.
    #[n(0)]
    pub node: PublicIdentity,
    /// What happened.
    #[n(1)]
    pub kind: FaultKind,
}

/// Kinds of evidence, in the order in which a receipt names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum EvidenceKind {
    /// The signed directory.
    #[n(0)]
    Directory,
    /// The policy document, canonical.
    #[n(1)]
    Policy,
    /// The job's public header.
    #[n(2)]
    Header,
    /// The signed checkpoint that the draw used.
    #[n(3)]
    Checkpoint,
    /// Commits and reveals of the committee.
    #[n(4)]
    Votes,
    /// Bisections and the referee's findings.
    #[n(5)]
    Dispute,
    /// Evidence of a trusted execution environment.
    #[n(6)]
    Attestation,
    /// A zero-knowledge proof.
    #[n(7)]
    Proof,
    /// A transcript of ciphertexts.
    #[n(8)]
    Ciphertext,
    /// Privacy accounting.
    #[n(9)]
    Privacy,
    /// What was published of a model whose runs are proven.
    #[n(10)]
    Registration,
}

/// One piece of evidence by its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct EvidenceDigest {
    /// What it is.
    #[n(0)]
    pub kind: EvidenceKind,
    /// [`EvidenceKind::digest`] of its bytes.
    #[n(1)]
    pub digest: Digest,
}

/// A state of the log: how many leaves, under which root (RFC 6962, section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct LogState {
    /// Leaves.
    #[n(0)]
    pub size: u64,
    /// Root.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub root: [u8; 32],
}

/// What a receipt says of a job. Public: input and output appear only as keyed commitments.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Claims {
    /// [`VERSION`].
    #[n(0)]
    pub version: u32,
    /// The job.
    #[n(1)]
    pub job: JobId,
    /// The client's nonce.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub nonce: [u8; 32],
    /// The model that ran.
    #[n(3)]
    pub model: ModelCommitment,
    /// Keyed commitment to the input.
    #[n(4)]
    pub input: Commitment,
    /// Keyed commitment to the output.
    #[n(5)]
    pub output: Commitment,
    /// Records in the input.
    #[n(6)]
    pub records: u32,
    /// Digest of the policy.
    #[n(7)]
    pub policy: Digest,
    /// Protection that the policy asked for at least.
    #[n(8)]
    pub protection_asked: Protection,
    /// Protection that was used.
    #[n(9)]
    pub protection_used: Protection,
    /// Verification that the policy asked for at least.
    #[n(10)]
    pub verification_asked: Verification,
    /// Verification that was used.
    #[n(11)]
    pub verification_used: Verification,
    /// The committee, in draw order.
    #[n(12)]
    pub committee: Vec<PublicIdentity>,
    /// Reserves that replaced a member or refereed, in draw order.
    #[n(13)]
    pub reserves_used: Vec<PublicIdentity>,
    /// What went wrong, and with whom.
    #[n(14)]
    pub faults: Vec<Fault>,
    /// The evidence that belongs to these claims, ascending by kind, one of a kind.
    #[n(15)]
    pub evidence: Vec<EvidenceDigest>,
    /// The node that signs.
    #[n(16)]
    pub issuer: PublicIdentity,
    /// What the issuer runs in, as the directory lists it.
    #[n(17)]
    pub environment: Environment,
    /// When the client asked.
    #[n(18)]
    pub requested: Millis,
    /// When the result was complete.
    #[n(19)]
    pub finished: Millis,
    /// Digest of the directory.
    #[n(20)]
    pub directory: Digest,
    /// The log's state that the draw used.
    #[n(21)]
    pub log: LogState,
}

/// Bytes of a receipt that somebody has yet to believe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedClaims(Vec<u8>);

/// Why a receipt itself, without any evidence, is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// Not signed as a receipt by whom it names, or not canonical.
    #[error("not a receipt: {0}")]
    Statement(#[from] StatementError),
    /// A rule of the format is broken.
    #[error("receipt breaks {rule}: {what}")]
    Rule {
        /// `RCP-NN`.
        rule: &'static str,
        /// What is wrong.
        what: &'static str,
    },
}

impl ClaimsError {
    /// The code in docs/reference/errors.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Statement(_) => "E-VER-02",
            Self::Rule { .. } => "E-VER-03",
        }
    }

    /// The numbered rule that is broken.
    #[must_use]
    pub const fn rule(&self) -> &'static str {
        match self {
            Self::Statement(StatementError::BadSignature | StatementError::OtherSigner { .. }) => "RCP-04",
            Self::Statement(StatementError::Payload(_)) => "RCP-03",
            Self::Statement(_) => "RCP-02",
            Self::Rule { rule, .. } => rule,
        }
    }
}

impl Claims {
    /// Signs the claims as their issuer.
    ///
    /// # Errors
    /// [`ClaimsError::Rule`] when they contradict themselves or `issuer` is not the one they name.
    pub fn sign(&self, issuer: &SigningIdentity) -> Result<SignedClaims, ClaimsError> {
        require(issuer.public() == self.issuer, "RCP-04", "signer is not the issuer")?;
        self.check()?;
        Ok(SignedClaims(statement::sign_value(issuer, &RECEIPT, self)))
    }

    /// What a proof of the run has to show.
    #[must_use]
    pub fn proven(&self) -> Statement {
        let Self { model, records, input, output, .. } = *self;
        Statement { model, nonce: self.job.0.0, records, input, output }
    }

    /// Whether both are answers to one question: the same job of the same records by the same model.
    #[must_use]
    pub fn same_question(&self, other: &Self) -> bool {
        let asked = |claims: &Self| (claims.job, claims.nonce, claims.model, claims.input, claims.records);
        asked(self) == asked(other) && self.verification_used == other.verification_used
    }

    /// A draft of one who answers alone, with what only the run yields.
    #[must_use]
    pub fn completed(&self, output: Commitment, finished: Millis, proof: Option<&[u8]>) -> Self {
        let kind = EvidenceKind::Proof;
        let mut evidence = self.evidence.clone();
        evidence.extend(proof.map(|proof| EvidenceDigest { kind, digest: kind.digest(proof) }));
        evidence.sort_by_key(|evidence| evidence.kind);
        Self { output, finished, evidence, ..self.clone() }
    }

    /// What the committee was drawn from.
    #[must_use]
    pub fn draw_facts(&self) -> DrawFacts {
        DrawFacts {
            nonce: self.nonce,
            directory: self.directory,
            checkpoint_root: self.log.root,
            model: self.model,
            input: self.input,
        }
    }

    /// The digest named for evidence of `kind`.
    #[must_use]
    pub fn evidence(&self, kind: EvidenceKind) -> Option<Digest> {
        self.evidence.iter().find(|evidence| evidence.kind == kind).map(|evidence| evidence.digest)
    }

    /// Members and used reserves that no proven fault excludes, in draw order.
    pub fn honest_parties(&self) -> impl Iterator<Item = PublicIdentity> {
        let excluded: HashSet<_> = self.faults.iter().map(|fault| fault.node).collect();
        self.committee.iter().chain(&self.reserves_used).copied().filter(move |node| !excluded.contains(node))
    }

    /// What claims must keep among themselves, whatever the evidence says.
    ///
    /// # Errors
    /// [`ClaimsError::Rule`].
    pub fn check(&self) -> Result<(), ClaimsError> {
        require(self.version == VERSION, "RCP-05", "version is not 1")?;
        require((1..=RECORDS_MAX).contains(&self.records), "RCP-06", "records are none or too many")?;
        require(self.requested <= self.finished, "RCP-07", "finished before requested")?;
        self.check_guarantees()?;
        self.check_parties()?;
        self.check_faults()?;
        let kinds = self.evidence.iter().map(|evidence| evidence.kind);
        require(kinds.is_sorted_by(|a, b| a < b), "RCP-12", "evidence is not in order, or twice")
    }

    fn check_guarantees(&self) -> Result<(), ClaimsError> {
        let protected = self.protection_used.satisfies(self.protection_asked);
        require(protected, "RCP-08", "protection used is weaker than asked")?;
        let verified = self.verification_used.satisfies(self.verification_asked);
        require(verified, "RCP-08", "verification used is weaker than asked")
    }

    fn check_parties(&self) -> Result<(), ClaimsError> {
        let members = usize::from(self.verification_used.members());
        require(self.committee.len() == members, "RCP-09", "committee is not of the size used")?;
        let parties = members + self.reserves_used.len();
        require((1..=PARTIES_MAX).contains(&parties), "RCP-09", "no parties, or more than 32")?;
        let distinct: HashSet<_> = self.committee.iter().chain(&self.reserves_used).collect();
        require(distinct.len() == parties, "RCP-09", "a party is named twice")?;
        let issuer_is_first = self.honest_parties().next() == Some(self.issuer);
        require(issuer_is_first, "RCP-10", "issuer is not the first party without a fault")
    }

    fn check_faults(&self) -> Result<(), ClaimsError> {
        require(self.faults.len() <= FAULTS_MAX, "RCP-11", "more than 64 faults")?;
        let distinct: HashSet<_> = self.faults.iter().collect();
        require(distinct.len() == self.faults.len(), "RCP-11", "a fault is named twice")?;
        let parties: HashSet<_> = self.committee.iter().chain(&self.reserves_used).collect();
        let known = self.faults.iter().all(|fault| parties.contains(&fault.node));
        require(known, "RCP-11", "a fault names a stranger")
    }
}

fn require(holds: bool, rule: &'static str, what: &'static str) -> Result<(), ClaimsError> {
    if holds { Ok(()) } else { Err(ClaimsError::Rule { rule, what }) }
}

impl SignedClaims {
    /// Takes bytes that are said to be a receipt. Nothing is checked yet.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes of the receipt.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What the log holds for this receipt: `H(RECEIPT_LEAF, receipt bytes)`. Claims hold keyed commitments only, so
    /// this digest tells nothing of the owner's content.
    #[must_use]
    pub fn leaf(&self) -> Digest {
        Digest::of(labels::RECEIPT_LEAF, &[&self.0])
    }

    /// Checks the signature by whomever the claims name as issuer, then the claims' own rules.
    ///
    /// # Errors
    /// [`ClaimsError`].
    pub fn verify(&self) -> Result<Claims, ClaimsError> {
        let signed = Unverified::parse(&self.0, RECEIPT_BYTES_MAX)?.verify_claimed(&RECEIPT)?;
        let claims: Claims = signed.value()?;
        require(signed.signer() == claims.issuer, "RCP-04", "signer is not the issuer")?;
        claims.check()?;
        Ok(claims)
    }

    /// The claims of a receipt that this process verified before: the signature is not looked at again.
    ///
    /// # Errors
    /// [`ClaimsError`] when the bytes hold no claims.
    pub fn reread(&self) -> Result<Claims, ClaimsError> {
        Ok(Unverified::parse(&self.0, RECEIPT_BYTES_MAX)?.danger_value()?)
    }
}

impl EvidenceKind {
    /// Every kind, in order.
    pub const ALL: [Self; 11] = [
        Self::Directory,
        Self::Policy,
        Self::Header,
        Self::Checkpoint,
        Self::Votes,
        Self::Dispute,
        Self::Attestation,
        Self::Proof,
        Self::Ciphertext,
        Self::Privacy,
        Self::Registration,
    ];

    /// `H(EVIDENCE, kind, bytes)`.
    #[must_use]
    pub fn digest(self, bytes: &[u8]) -> Digest {
        Digest::of(labels::EVIDENCE, &[self.word().as_bytes(), bytes])
    }

    /// The stable word of JSON output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Policy => "policy",
            Self::Header => "header",
            Self::Checkpoint => "checkpoint",
            Self::Votes => "votes",
            Self::Dispute => "dispute",
            Self::Attestation => "attestation",
            Self::Proof => "proof",
            Self::Ciphertext => "ciphertext",
            Self::Privacy => "privacy",
            Self::Registration => "registration",
        }
    }
}

impl fmt::Display for EvidenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FaultKind {
    /// Whether a receipt that names it proves it to a stranger. Of [`FaultKind::BadProof`] that depends on the receipt.
    #[must_use]
    pub const fn is_proven(self) -> bool {
        matches!(self, Self::Lie { .. } | Self::Equivocate)
    }

    /// The stable word of JSON output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lie { .. } => "lie",
            Self::Equivocate => "equivocate",
            Self::Late => "late",
            Self::Unreachable => "unreachable",
            Self::Refuse => "refuse",
            Self::Silent => "silent",
            Self::BadProof => "bad-proof",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lie { operation } => write!(f, "lied at operation {operation}"),
            Self::Equivocate => f.write_str("revealed something else than it had committed to"),
            Self::Late => f.write_str("answered late"),
            Self::Unreachable => f.write_str("could not be reached"),
            Self::Refuse => f.write_str("declined the job"),
            Self::Silent => f.write_str("did not open its trace in a dispute"),
            Self::BadProof => f.write_str("gave a proof that does not hold"),
        }
    }
}

#[cfg(test)]
mod tests;
