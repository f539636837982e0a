//! Which nodes may take part in a job.

use std::fmt;

use minicbor::{Decode, Encode};

use super::{NodeEntry, VerifiedDirectory};
use crate::draw::{Candidate, Draw, DrawFacts, TooFewCandidates};
use crate::names::ModelCommitment;

/// A region or jurisdiction: 1 to 32 capital letters, digits and inner dashes, wider parts first (`EU`, `EU-DE`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Region(String);

/// A region is spelled otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a region is 1 to 32 capital letters, digits and inner dashes, such as EU or EU-DE")]
pub struct RegionError;

impl Region {
    /// Takes `text` when it is a region.
    ///
    /// # Errors
    /// [`RegionError`].
    pub fn new(text: &str) -> Result<Self, RegionError> {
        let part = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        };
        if text.len() <= 32 && text.split('-').all(part) {
            Ok(Self(text.to_owned()))
        } else {
            Err(RegionError)
        }
    }

    /// Whether `other` is this region or lies within it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match other.0.strip_prefix(&self.0) {
            Some(rest) => rest.is_empty() || rest.starts_with('-'),
            None => false,
        }
    }

    /// The region as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<C> Encode<C> for Region {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Region {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::new(d.str()?).map_err(|error| minicbor::decode::Error::message(error.to_string()))
    }
}

/// What a policy demands of each node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct NodeRule {
    /// Only nodes within one of these; empty allows all. Ascending.
    #[n(0)]
    pub regions_allowed: Vec<Region>,
    /// No node within one of these, even when allowed above. Ascending.
    #[n(1)]
    pub regions_denied: Vec<Region>,
    /// At most one node of each operator in a committee and its reserves.
    #[n(2)]
    pub operators_distinct: bool,
    /// Only nodes that claim hardware isolation; the claim must then be proven.
    #[n(3)]
    pub hardware_required: bool,
}

impl NodeRule {
    /// Whether `node` alone keeps the rule. Distinct operators are the draw's part.
    #[must_use]
    pub fn admits(&self, node: &NodeEntry) -> bool {
        let within = |regions: &[Region]| regions.iter().any(|region| region.covers(&node.region));
        (self.regions_allowed.is_empty() || within(&self.regions_allowed))
            && !within(&self.regions_denied)
            && (node.environment.claims_hardware() || !self.hardware_required)
    }
}

impl VerifiedDirectory {
    /// Nodes that serve `model`, take `records` records, and keep `rule`.
    #[must_use]
    pub fn eligible(&self, rule: &NodeRule, model: &ModelCommitment, records: u32) -> Vec<&NodeEntry> {
        self.nodes
            .iter()
            .filter(|node| node.serves(model) && node.limits.records_max >= records && rule.admits(node))
            .collect()
    }

    /// Draws committee and reserves from the eligible nodes; `facts` must name this directory.
    ///
    /// # Errors
    /// [`TooFewCandidates`], also when `facts` names another directory: of that one nobody here is a candidate.
    pub fn draw(
        &self,
        facts: &DrawFacts,
        rule: &NodeRule,
        records: u32,
        members: usize,
    ) -> Result<Draw, TooFewCandidates> {
        if facts.directory != self.digest() {
            return Err(TooFewCandidates { eligible: 0, members });
        }
        let candidates: Vec<_> = self
            .eligible(rule, &facts.model, records)
            .into_iter()
            .map(|node| Candidate { node: node.identity, operator: node.operator.as_str() })
            .collect();
        facts.draw(&candidates, members, rule.operators_distinct)
    }
}
