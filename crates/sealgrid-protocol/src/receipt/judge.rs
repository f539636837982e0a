//! The socket for judges of evidence, and what they say.

use sealgrid_seal::digest::CommitmentKey;

use crate::claims::{Claims, EvidenceKind};
use crate::directory::VerifiedDirectory;
use crate::machine::Millis;

use super::ReceiptFile;

/// How a finding stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Shown by the file and the trust roots alone.
    Holds,
    /// Contradicted: the receipt is rejected.
    Fails,
    /// Not shown, and the verdict rests on it.
    Assumed,
    /// Not shown, and the verdict does not rest on it.
    NotShown,
    /// Visible to somebody whom a reader might think excluded.
    NotHidden,
}

/// One sentence of a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Rule in docs/spec/receipt.md, `RCP-NN`.
    pub id: &'static str,
    /// How it stands.
    pub status: Status,
    /// One sentence, without content of the owner.
    pub text: String,
}

/// What a judge may look at besides its own evidence.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The claims, signed and free of contradiction.
    pub claims: &'a Claims,
    /// The file, its evidence matched with the claims.
    pub file: &'a ReceiptFile,
    /// The directory, verified for the time of the request; absent when the receipt carries none that holds.
    pub directory: Option<&'a VerifiedDirectory>,
    /// The moment of the verdict.
    pub at: Millis,
    /// The job key, when the owner gave it.
    pub key: Option<&'a CommitmentKey>,
}

/// Judges one kind of evidence. An implementation is pure: the same arguments, the same findings.
pub trait Judge {
    /// The kind it judges.
    fn kind(&self) -> EvidenceKind;

    /// What the evidence shows of the claims. Evidence that cannot be read is a [`Status::Fails`], never a panic.
    fn judge(&self, evidence: &[u8], context: &Context<'_>) -> Vec<Finding>;
}

impl Status {
    /// The stable word of JSON output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Fails => "fails",
            Self::Assumed => "assumed",
            Self::NotShown => "not shown",
            Self::NotHidden => "not hidden",
        }
    }
}

impl Finding {
    /// A finding.
    pub fn new(id: &'static str, status: Status, text: impl Into<String>) -> Self {
        Self { id, status, text: text.into() }
    }

    /// Holds with `right`, or fails with `wrong`.
    pub fn check(id: &'static str, holds: bool, right: &str, wrong: &str) -> Self {
        if holds { Self::new(id, Status::Holds, right) } else { Self::new(id, Status::Fails, wrong) }
    }
}
