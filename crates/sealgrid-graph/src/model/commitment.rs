//! The identity of a model, and opening parts of it.

use std::fmt;

use minicbor::{Decode, Encode};
use sealgrid_seal::canonical;
use sealgrid_seal::digest::{Digest, labels};

use super::card::{CardFault, ModelCard};
use crate::integer::Architecture;
use crate::merkle::{Side, siblings};
use crate::tensor::Tensor;

/// The identity of a model everywhere: card, architecture and parameters (docs/spec/graph.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct ModelCommitment(pub Digest);

impl fmt::Display for ModelCommitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mc1:{}", self.0)
    }
}

/// What everybody may know of a model. Its commitment is recomputed, never claimed.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct PublicModel {
    /// The card.
    #[n(0)]
    pub card: ModelCard,
    /// The graph without its parameters' elements.
    #[n(1)]
    pub architecture: Architecture,
    /// Root over the salted parameters.
    #[n(2)]
    pub parameter_root: Digest,
    /// What proofs of runs rest on whose verifier has no parameters.
    #[n(3)]
    pub registration: Option<RegistrationId>,
}

/// Which registration of its parameters belongs to a model: the commitment that proofs of runs are about (docs/design/0005).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RegistrationId {
    /// Openings that the commitment bears: its own proof takes one, every proof of a run another.
    #[n(0)]
    pub openings: u32,
    /// Digest of the commitment and of what is known of the parameters.
    #[n(1)]
    pub digest: Digest,
    /// Bits of soundness that proofs about it are made for.
    #[n(2)]
    pub bits: u8,
}

/// One parameter of a model with what shows that it is the committed one.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ParameterOpening {
    /// Which parameter.
    #[n(0)]
    pub index: u32,
    /// Its elements.
    #[n(1)]
    pub tensor: Tensor,
    /// Its salt.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub salt: [u8; 32],
    /// Siblings from the leaf up to the root.
    #[n(3)]
    pub path: Vec<Digest>,
}

impl PublicModel {
    /// `H(MODEL, card digest, architecture digest, parameter root)`, and the canonical registration behind them where there is one.
    #[must_use]
    pub fn commitment(&self) -> ModelCommitment {
        let card = Digest::of(labels::MODEL_CARD, &[&canonical::encode(&self.card)]);
        let registration = self.registration.as_ref().map(canonical::encode);
        let digests = [card, self.architecture.digest(), self.parameter_root];
        let mut parts: Vec<&[u8]> = digests.iter().map(|digest| digest.0.as_slice()).collect();
        parts.extend(registration.as_deref());
        ModelCommitment(Digest::of(labels::MODEL, &parts))
    }

    /// Checks that the card is the architecture's.
    ///
    /// # Errors
    /// The first [`CardFault`].
    pub fn check(&self) -> Result<(), CardFault> {
        self.card.check(&self.architecture)
    }

    /// Whether an opening shows a parameter of this model.
    #[must_use]
    pub fn verify_parameter(&self, opening: &ParameterOpening) -> bool {
        let Ok(count) = u32::try_from(self.architecture.parameters.len()) else { return false };
        let Some(siblings) = siblings(opening.index, count) else { return false };
        let declared = &self.architecture.parameters[opening.index as usize];
        if siblings.len() != opening.path.len() || opening.tensor.value_type() != *declared {
            return false;
        }
        let start = leaf(opening.index as usize, &opening.salt, &opening.tensor);
        let top = siblings.iter().zip(&opening.path).fold(start, |below, ((_, side), sibling)| match side {
            Side::Left => node(sibling, &below),
            Side::Right => node(&below, sibling),
        });
        top == self.parameter_root
    }
}

/// `H(GRAPH_PARAMETER, index as 8 bytes little endian, salt, canonical tensor)`.
pub(super) fn leaf(index: usize, salt: &[u8; 32], tensor: &Tensor) -> Digest {
    let index = (index as u64).to_le_bytes();
    Digest::of(labels::GRAPH_PARAMETER, &[&index, salt, &canonical::encode(tensor)])
}

fn node(left: &Digest, right: &Digest) -> Digest {
    Digest::of(labels::GRAPH_PARAMETER_NODE, &[&left.0, &right.0])
}

/// The root in the shape of RFC 6962, section 2.1; of no leaves, the digest of no parts.
pub(super) fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::of(labels::GRAPH_PARAMETER_NODE, &[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(1 << (leaves.len() - 1).ilog2());
            node(&root(left), &root(right))
        }
    }
}

/// The siblings from a leaf up to the root.
pub(super) fn path(leaves: &[Digest], index: u32) -> Option<Vec<Digest>> {
    let siblings = siblings(index, u32::try_from(leaves.len()).ok()?)?;
    let covered = siblings.into_iter().map(|(sibling, _)| sibling.range());
    Some(covered.map(|range| root(&leaves[range])).collect())
}
