//! A model as it is stored, published and committed to.
//!
//! `.sgm` = the magic `SGM1`, then canonical CBOR of card, architecture, parameter tensors and their salts. The
//! *commitment* is `H(MODEL, card digest, architecture digest, parameter root)`: the first two are public, the root
//! is that of a Merkle tree over salted parameter digests, so that a commitment hides weights, and the weights of
//! one operation can be opened alone. A model whose parameters are registered for proofs of runs names the registration too.
//!
//! A [`Model`] exists only when everything in it fits together and range analysis has shown that none of its
//! accumulators can leave int32; so a node that opens a file relies on nothing that its author claims.

mod card;
mod commitment;
mod input;
mod output;

use std::sync::{Arc, OnceLock};

use minicbor::{Decode, Encode};
use sealgrid_seal::canonical::{self, NotCanonical};
use sealgrid_seal::digest::{Digest, labels};
use sealgrid_seal::rand_core::CryptoRng;
use sealgrid_seal::secret::Secret;

pub use self::card::{Accuracy, CARD_VERSION, CardFault, Decision, InputCard, ModelCard, OutputCard};
pub use self::commitment::{ModelCommitment, ParameterOpening, PublicModel, RegistrationId};
pub use self::input::InputError;
pub use self::output::Answer;
use crate::integer::{Architecture, Graph, GraphDecodeError};
use crate::range::{self, RangeError};
use crate::tensor::Tensor;

/// The first bytes of every model file.
pub const MAGIC: [u8; 4] = *b"SGM1";
/// Most bytes of a model file: 1 GiB.
pub const MODEL_BYTES_MAX: usize = 1 << 30;

/// A model with its weights: the model owner's file.
#[derive(Debug)]
pub struct Model {
    card: ModelCard,
    graph: Arc<Graph>,
    salts: Vec<Salt>,
    registration: Option<RegistrationId>,
    /// Of graph and salts, which never change; made when it is first asked for, because all parameters are hashed for it.
    parameter_root: OnceLock<Digest>,
}

/// Hides one parameter tensor in the commitment.
#[derive(Debug, PartialEq, Eq)]
struct Salt(Secret<32>);

/// Why something is not a model.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ModelError {
    /// The file does not begin with [`MAGIC`].
    #[error("not a model file: it does not begin with SGM1")]
    Magic,
    /// Not canonical CBOR of the right form, or too long.
    #[error("model file: {0}")]
    NotCanonical(#[from] NotCanonical),
    /// The graph is not valid.
    #[error("model graph: {0}")]
    Graph(#[from] GraphDecodeError),
    /// The card is not valid, or not this graph's.
    #[error("model card: {0}")]
    Card(#[from] CardFault),
    /// Not one salt for each parameter.
    #[error("the file does not have one salt for each parameter")]
    Salts,
    /// A sum could leave int32.
    #[error(transparent)]
    Range(#[from] RangeError),
}

impl ModelError {
    /// The code under which docs/reference/errors/graph.md explains this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotCanonical(NotCanonical::TooLong { .. }) => "E-RES-31",
            Self::Magic | Self::NotCanonical(_) | Self::Salts => "E-IMP-53",
            Self::Graph(error) => error.code(),
            Self::Card(_) => "E-IMP-54",
            Self::Range(error) => error.code(),
        }
    }
}

/// A model as it stands behind the magic.
#[derive(Encode, Decode)]
struct StoredModel {
    #[n(0)]
    card: ModelCard,
    #[n(1)]
    architecture: Architecture,
    #[n(2)]
    parameters: Vec<Tensor>,
    #[n(3)]
    salts: Vec<Salt>,
    #[n(4)]
    registration: Option<RegistrationId>,
}

impl Model {
    /// Joins a card and a graph, with fresh salts.
    ///
    /// # Errors
    /// [`ModelError`] when the card is not the graph's or a sum could leave int32.
    pub fn new(card: ModelCard, graph: Graph, rng: &mut impl CryptoRng) -> Result<Self, ModelError> {
        let salts = graph.parameters().iter().map(|_| Salt(Secret::random(rng))).collect();
        Self::admit(card, graph, salts)
    }

    /// The model with a registration of its parameters, which gives it another identity.
    #[must_use]
    pub fn registered(mut self, registration: RegistrationId) -> Self {
        self.registration = Some(registration);
        self
    }

    /// The registration of its parameters.
    #[must_use]
    pub fn registration(&self) -> Option<RegistrationId> {
        self.registration
    }

    /// The seed of a registration with so many openings, for proofs of so many bits, derived from all salts: who has the model can make the registration again, and nobody
    /// else. Without parameters it is no secret, and nothing needs one. Other parameters have another seed, also under the same salts, as in a file with one bit
    /// flipped: behind the same masks two registrations would tell how they differ.
    #[must_use]
    pub fn registration_seed(&self, openings: u32, bits: u8) -> Secret<32> {
        let (openings, bits) = (openings.to_le_bytes(), [bits]);
        let salts = self.salts.iter().map(|salt| salt.0.expose().as_slice());
        let root = self.parameter_root().0;
        let parts = [openings.as_slice(), bits.as_slice(), root.as_slice()].into_iter().chain(salts);
        let parts: Vec<&[u8]> = parts.collect();
        Secret::new(Digest::of(labels::MODEL_REGISTRATION_SEED, &parts).0)
    }

    fn parameter_root(&self) -> Digest {
        *self.parameter_root.get_or_init(|| commitment::root(&self.leaves()))
    }

    /// Reads a model file and checks everything in it.
    ///
    /// # Errors
    /// [`ModelError`] for anything but the one spelling of a valid model.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let body = bytes.strip_prefix(&MAGIC).ok_or(ModelError::Magic)?;
        let stored: StoredModel = canonical::decode(body, MODEL_BYTES_MAX)?;
        let graph = Graph::from_parts(stored.architecture, stored.parameters)?;
        let model = Self::admit(stored.card, graph, stored.salts)?;
        Ok(Self { registration: stored.registration, ..model })
    }

    /// The model file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let stored = StoredModel {
            card: self.card.clone(),
            architecture: self.graph.architecture(),
            parameters: self.graph.parameters().to_vec(),
            salts: self.salts.iter().map(|salt| Salt(salt.0.duplicate())).collect(),
            registration: self.registration,
        };
        [MAGIC.as_slice(), &canonical::encode(&stored)].concat()
    }

    fn admit(card: ModelCard, graph: Graph, salts: Vec<Salt>) -> Result<Self, ModelError> {
        card.check(&graph.architecture())?;
        if salts.len() != graph.parameters().len() {
            return Err(ModelError::Salts);
        }
        range::analyse(&graph)?;
        Ok(Self { card, graph: Arc::new(graph), salts, registration: None, parameter_root: OnceLock::new() })
    }

    /// The public card.
    #[must_use]
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// The graph, ready for [`crate::execute::Executor::prepare`].
    #[must_use]
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// What may be published: everything but parameters and salts.
    #[must_use]
    pub fn public(&self) -> PublicModel {
        PublicModel {
            card: self.card.clone(),
            architecture: self.graph.architecture(),
            parameter_root: self.parameter_root(),
            registration: self.registration,
        }
    }

    /// The identity of this model everywhere.
    #[must_use]
    pub fn commitment(&self) -> ModelCommitment {
        self.public().commitment()
    }

    /// Opens one parameter to somebody who knows the commitment; `None` when there is no such parameter.
    #[must_use]
    pub fn open_parameter(&self, index: u32) -> Option<ParameterOpening> {
        let tensor = self.graph.parameters().get(index as usize)?.clone();
        let path = commitment::path(&self.leaves(), index)?;
        Some(ParameterOpening { index, tensor, salt: *self.salts[index as usize].0.expose(), path })
    }

    fn leaves(&self) -> Vec<Digest> {
        let pairs = self.graph.parameters().iter().zip(&self.salts).enumerate();
        pairs.map(|(index, (tensor, salt))| commitment::leaf(index, salt.0.expose(), tensor)).collect()
    }
}

impl<C> Encode<C> for Salt {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(self.0.expose())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Salt {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let bytes = d.bytes()?;
        if bytes.len() != 32 {
            return Err(minicbor::decode::Error::message("a salt has 32 bytes"));
        }
        Ok(Self(Secret::fill(|salt| salt.copy_from_slice(bytes))))
    }
}

#[cfg(test)]
mod tests;
