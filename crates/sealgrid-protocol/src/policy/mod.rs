//! What an owner demands ([`Policy`]), and how a job will meet it ([`Plan`]) or why it will not run ([`Refusal`]).
//!
//! A policy is written as TOML or as two flags, has one canonical form, and is named by its digest in the job and in
//! the receipt. A plan never weakens a policy: what cannot be met is refused with every reason and what would satisfy
//! it. The words are explained in docs/spec/policy.md.
//!
//! # What it is not
//! A policy states demands; that they were met is for the receipt and its verifier to show.

mod document;
mod plan;

use minicbor::{Decode, Encode};
use sealgrid_seal::canonical::{self, NotCanonical};
use sealgrid_seal::digest::{Digest, labels};

use crate::claims::RECORDS_MAX;
use crate::directory::{NodeRule, WITNESSES_MAX};
use crate::machine::Millis;
use crate::names::{Protection, QUORUM_MEMBERS, Verification};

#[doc(hidden)]
pub use document::fuzz_parse;
pub use document::{DOCUMENT_BYTES_MAX, PolicyError, Problem};
pub use plan::{JobFacts, MeasuredCosts, Plan, Prediction, Reason, Refusal, plan};

/// The only version of the format.
pub const VERSION: u32 = 1;
/// Most bytes of a policy in canonical form.
pub const BYTES_MAX: usize = 16 << 10;
/// Longest deadline: one day.
pub const DEADLINE_MS_MAX: Millis = 24 * 3_600 * 1_000;
/// Most regions of a list.
pub const REGIONS_MAX: usize = 64;

/// What happens when members of a quorum disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum OnDispute {
    /// The majority's result is accepted once a referee has found the others wrong.
    #[n(0)]
    Majority,
    /// The job is refused.
    #[n(1)]
    Refuse,
}

/// Who may referee a dispute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Referee {
    /// The client when it holds the model, otherwise the first reserve.
    #[n(0)]
    Either,
    /// Only the client.
    #[n(1)]
    Client,
    /// Only a reserve.
    #[n(2)]
    Reserve,
}

/// Bounds of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Limits {
    /// From the request to the result, in milliseconds.
    #[n(0)]
    pub deadline_ms: Millis,
    /// Records of one job.
    #[n(1)]
    pub records_max: u32,
    /// Bytes sent and received, by prediction.
    #[n(2)]
    pub bytes_max: Option<u64>,
    /// Machine time of all nodes together, in milliseconds, by prediction: what a job costs.
    #[n(3)]
    pub node_ms_max: Option<u64>,
}

/// What an owner demands of a job.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Policy {
    /// [`VERSION`].
    #[n(0)]
    pub version: u32,
    /// Least protection.
    #[n(1)]
    pub protection: Protection,
    /// Least verification.
    #[n(2)]
    pub verification: Verification,
    /// What a dispute leads to.
    #[n(3)]
    pub on_dispute: OnDispute,
    /// Who may referee.
    #[n(4)]
    pub referee: Referee,
    /// Fewest witnesses of the log.
    #[n(5)]
    pub witnesses_min: u8,
    /// Demands on each node.
    #[n(6)]
    pub nodes: NodeRule,
    /// Bounds.
    #[n(7)]
    pub limits: Limits,
}

impl Default for Policy {
    /// Sealed, a quorum of three distinct operators, one witness, half a minute.
    fn default() -> Self {
        Self {
            version: VERSION,
            protection: Protection::Sealed,
            verification: Verification::Quorum { members: 3 },
            on_dispute: OnDispute::Majority,
            referee: Referee::Either,
            witnesses_min: 1,
            nodes: NodeRule { operators_distinct: true, ..NodeRule::default() },
            limits: Limits { deadline_ms: 30_000, records_max: 1 << 20, bytes_max: None, node_ms_max: None },
        }
    }
}

impl Policy {
    /// The default policy with the minima of `--protect` and `--verify`; an absent flag keeps the default.
    ///
    /// # Errors
    /// [`PolicyError::Problems`] that name the flags.
    pub fn from_flags(protect: Option<&str>, verify: Option<&str>) -> Result<Self, PolicyError> {
        document::from_flags(protect, verify)
    }

    /// Reads a policy document in TOML. Absent keys keep the default; unknown ones are refused.
    ///
    /// # Errors
    /// [`PolicyError`] with every problem of the document.
    pub fn from_toml(text: &str) -> Result<Self, PolicyError> {
        document::from_toml(text)
    }

    /// Reads a policy from its canonical bytes.
    ///
    /// # Errors
    /// [`NotCanonical`], also when a value is out of its bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotCanonical> {
        let policy: Self = canonical::decode(bytes, BYTES_MAX)?;
        if policy.is_within_bounds() { Ok(policy) } else { Err(NotCanonical::OtherSpelling) }
    }

    /// The canonical bytes: what the digest is of, and what a receipt carries.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        canonical::encode(self)
    }

    /// The name of this policy in jobs and receipts: `H(POLICY, canonical bytes)`.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(labels::POLICY, &[&self.encode()])
    }

    fn is_within_bounds(&self) -> bool {
        let in_order = |regions: &[crate::directory::Region]| {
            regions.len() <= REGIONS_MAX && regions.is_sorted_by(|a, b| a < b)
        };
        self.version == VERSION
            && !matches!(self.verification, Verification::Quorum { members } if !QUORUM_MEMBERS.contains(&members))
            && usize::from(self.witnesses_min) <= WITNESSES_MAX
            && (1..=DEADLINE_MS_MAX).contains(&self.limits.deadline_ms)
            && (1..=RECORDS_MAX).contains(&self.limits.records_max)
            && in_order(&self.nodes.regions_allowed)
            && in_order(&self.nodes.regions_denied)
    }
}

#[cfg(test)]
mod tests;
