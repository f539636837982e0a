//! What a model's owner publishes so that others can check proofs without its parameters, as a file.
//!
//! ```text
//! "SGR1", then canonical CBOR:
//! [1, public model, [parameters, openings, root], [magnitudes…], [[product, step]…], [[depth, sum]…], argument]
//! ```
//!
//! The digest of version, registration and architecture stands in the model's identity; the argument shows that the registered parameters lie in the bounds.

use std::sync::Arc;

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use sealgrid_graph::integer::Graph;
use sealgrid_graph::model::{Model, PublicModel, RegistrationId};
use sealgrid_seal::canonical;
use sealgrid_seal::digest::{Digest, labels};

use super::{BYTES_MAX, StoredArgument};
use crate::argument::{self, Argument, TooLarge};
use crate::channel::ProofError;
use crate::field::wipe;
use crate::level::Level;
use crate::lookups::NotInTable;
use crate::registration::{self, Extent, NotRegistrable, Reach, Registering, Registration};
use crate::run::{Inputs, NotProvable, Outputs, Run, Weights};
use crate::transcript::Transcript;
use crate::weights::{BadShape, Parameters, Registered, Shape};

/// The first bytes of a file.
pub const MAGIC: &[u8; 4] = b"SGR1";
const VERSION: u16 = 1;

/// A model's parameters and their registration: what a prover has.
#[derive(Debug)]
pub struct RegisteredParameters {
    pub(super) parameters: Arc<Parameters>,
    pub(super) registration: Registration,
}

/// What is published of a registered model.
#[derive(Clone, Debug)]
pub struct RegisteredModel {
    pub(super) public: PublicModel,
    pub(super) graph: Arc<Graph>,
    pub(super) registration: Registration,
    pub(super) argument: Argument,
}

/// Why parameters are not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// The model has none.
    #[error("the model is not registered")]
    None,
    /// It is not the one that the model names.
    #[error("the registration is not the one that the model's identity names")]
    Other,
    /// They cannot be.
    #[error(transparent)]
    NotRegistrable(#[from] NotRegistrable),
    /// Runs of the model cannot be proven.
    #[error(transparent)]
    NotProvable(#[from] NotProvable),
    /// They are not in their own bounds.
    #[error(transparent)]
    NotInTable(#[from] NotInTable),
    /// The file is none.
    #[error("the file is not a registered model of this version, or was cut or changed")]
    Malformed,
    /// It does not hold.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl From<BadShape> for RegistrationError {
    fn from(error: BadShape) -> Self {
        Self::NotRegistrable(error.into())
    }
}

impl From<TooLarge> for RegistrationError {
    fn from(error: TooLarge) -> Self {
        Self::NotRegistrable(error.into())
    }
}

impl RegistrationError {
    /// The code of the index of errors.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::None => "E-PRF-20",
            Self::Other => "E-PRF-21",
            Self::NotRegistrable(NotRegistrable::TooLarge(_) | NotRegistrable::Shape(_)) => "E-RES-81",
            Self::NotRegistrable(_) => "E-PRF-22",
            Self::NotProvable(_) => "E-PRF-01",
            Self::NotInTable(_) => "E-PRF-23",
            Self::Malformed => "E-PRF-24",
            Self::Proof(_) => "E-PRF-25",
        }
    }
}

#[derive(Encode, Decode)]
struct StoredRegistered {
    #[n(0)]
    parameters: u32,
    #[n(1)]
    openings: u32,
    #[cbor(n(2), with = "minicbor::bytes")]
    root: [u8; 32],
    #[n(3)]
    level: Level,
}

#[derive(Encode, Decode)]
struct StoredModel {
    #[n(0)]
    version: u16,
    #[n(1)]
    public: PublicModel,
    #[n(2)]
    registered: StoredRegistered,
    #[n(3)]
    magnitudes: Vec<u64>,
    #[n(4)]
    reaches: Vec<Reach>,
    #[n(5)]
    trees: Vec<Extent>,
    #[n(6)]
    argument: StoredArgument,
}

fn stored(registered: &Registered) -> StoredRegistered {
    let Registered { shape, root } = *registered;
    let parameters = u32::try_from(shape.count()).expect("at most 2^24");
    StoredRegistered { parameters, openings: shape.openings(), root, level: shape.level() }
}

/// What the model's identity names.
fn id(registration: &Registration, graph: &Graph) -> RegistrationId {
    let architecture = graph.architecture().digest();
    let registered = stored(&registration.registered);
    let Registration { magnitudes, reaches, trees, .. } = registration;
    let bytes = canonical::encode(&(VERSION, registered, magnitudes, reaches, trees));
    let digest = Digest::of(labels::MODEL_REGISTRATION, &[&bytes, &architecture.0]);
    let shape = registration.registered.shape;
    RegistrationId { openings: shape.openings(), digest, bits: shape.level().bits() }
}

fn transcript(id: RegistrationId) -> Transcript {
    let mut transcript = Transcript::new(labels::PROOF);
    transcript.absorb_bytes(labels::MODEL_REGISTRATION, &canonical::encode(&id));
    transcript
}

impl RegisteredParameters {
    /// Registers a model's parameters with so many openings, for proofs of a level: the model with its new identity, and its parameters.
    ///
    /// # Errors
    /// [`RegistrationError`].
    pub fn register(model: Model, openings: u32, level: Level) -> Result<(Model, Self), RegistrationError> {
        let own = Self::commit(&model, openings, level)?;
        argument::variables(&Registering::new(model.graph(), &own.registration)?)?;
        // Nobody registers what cannot be proven: one record of it, whatever it yields.
        let (weights, outputs) = (Weights::Private(&own.registration), Outputs::Committed([0; 32]));
        Run::new(model.graph(), weights, Inputs::Private(1), outputs)?;
        let id = id(&own.registration, model.graph());
        Ok((model.registered(id), own))
    }

    /// Bytes that a process takes to register `model` so and to publish that, about: known before anything is begun.
    ///
    /// # Errors
    /// [`RegistrationError`].
    pub fn memory(model: &Model, openings: u32, level: Level) -> Result<u64, RegistrationError> {
        let count = model.graph().parameters().iter().map(|parameter| parameter.shape().count()).sum();
        let shape = Shape::new(level, count, openings)?;
        let registration = Registration::of(model.graph(), Registered { shape, root: [0; 32] });
        let conversation = Registering::new(model.graph(), &registration)?;
        let vector = argument::variables(&conversation)?;
        Ok(super::memory(vector, (conversation.fractions(), None), Some(shape)))
    }

    /// The parameters of a registered model.
    ///
    /// # Errors
    /// [`RegistrationError`].
    pub fn of(model: &Model) -> Result<Self, RegistrationError> {
        let named = model.registration().ok_or(RegistrationError::None)?;
        let level = Level::of_bits(named.bits).ok_or(RegistrationError::Other)?;
        let own = Self::commit(model, named.openings, level)?;
        if id(&own.registration, model.graph()) == named { Ok(own) } else { Err(RegistrationError::Other) }
    }

    fn commit(model: &Model, openings: u32, level: Level) -> Result<Self, RegistrationError> {
        let mut elements = registration::elements(model.graph());
        let parameters =
            Parameters::commit(level, &elements, openings, &model.registration_seed(openings, level.bits()));
        wipe(&mut elements);
        let parameters = Arc::new(parameters?);
        let registration = Registration::of(model.graph(), parameters.registered().clone());
        Ok(Self { parameters, registration })
    }

    /// What proofs about them are made for.
    #[must_use]
    pub fn level(&self) -> Level {
        self.registration.registered.shape.level()
    }

    /// The root that all proofs of these parameters share: what the openings that are left are counted by.
    #[must_use]
    pub fn root(&self) -> [u8; 32] {
        self.registration.registered.root
    }

    /// What to publish of `model`, which these are the parameters of. This spends an opening of the registration, like every proof.
    ///
    /// # Errors
    /// [`RegistrationError`].
    pub fn publish(
        &self,
        model: &Model,
        rng: &mut impl CryptoRng,
    ) -> Result<RegisteredModel, RegistrationError> {
        let named = model.registration().ok_or(RegistrationError::None)?;
        let conversation = Registering::new(model.graph(), &self.registration)?;
        let conversation = conversation.with_parameters(&self.parameters);
        let argument = argument::prove(&conversation, &conversation.witness()?, transcript(named), rng);
        let registration = self.registration.clone();
        let graph = blind(&model.public()).ok_or(NotRegistrable::OtherArchitecture)?;
        Ok(RegisteredModel { public: model.public(), graph, registration, argument: argument? })
    }
}

/// The graph of an architecture, as everybody has it; `None` where there is none.
fn blind(public: &PublicModel) -> Option<Arc<Graph>> {
    registration::without_parameters(public.architecture.clone()).map(Arc::new)
}

impl RegisteredModel {
    /// Card, architecture and identity.
    #[must_use]
    pub fn public(&self) -> &PublicModel {
        &self.public
    }

    /// Openings of the registration, those that are spent included.
    #[must_use]
    pub fn openings(&self) -> u32 {
        self.registration.registered.shape.openings()
    }

    /// What proofs about it are made for.
    #[must_use]
    pub fn level(&self) -> Level {
        self.registration.registered.shape.level()
    }

    /// Checks that the registration is the one that the model's identity names, and that the parameters lie in its bounds; yields the bits of soundness.
    ///
    /// # Errors
    /// [`RegistrationError`].
    pub fn verify(&self, rng: &mut impl CryptoRng) -> Result<f64, RegistrationError> {
        let named = self.public.registration.ok_or(RegistrationError::None)?;
        if id(&self.registration, &self.graph) != named {
            return Err(RegistrationError::Other);
        }
        let conversation = Registering::new(&self.graph, &self.registration)?;
        Ok(argument::verify(&conversation, &self.argument, transcript(named), rng)?)
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Registration { registered, magnitudes, reaches, trees } = &self.registration;
        let file = StoredModel {
            version: VERSION,
            public: self.public.clone(),
            registered: stored(registered),
            magnitudes: magnitudes.clone(),
            reaches: reaches.clone(),
            trees: trees.clone(),
            argument: StoredArgument::of(&self.argument),
        };
        [&MAGIC[..], &canonical::encode(&file)].concat()
    }

    /// Reads a file. Nothing in it is true before [`RegisteredModel::verify`] says so.
    ///
    /// # Errors
    /// [`RegistrationError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RegistrationError> {
        let malformed = || RegistrationError::Malformed;
        let body = bytes.strip_prefix(MAGIC).ok_or_else(malformed)?;
        let file: StoredModel = canonical::decode(body, BYTES_MAX).map_err(|_| malformed())?;
        if file.version != VERSION || file.public.check().is_err() {
            return Err(malformed());
        }
        let StoredRegistered { parameters, openings, root, level } = file.registered;
        let count = usize::try_from(parameters).map_err(|_| malformed())?;
        // Before anything is made of its size: the architecture says how many parameters there are.
        let declared = file.public.architecture.parameters.iter().map(|parameter| parameter.shape.count());
        if declared.fold(0usize, usize::saturating_add) != count {
            return Err(malformed());
        }
        let shape = Shape::new(level, count, openings).map_err(|_| malformed())?;
        let graph = blind(&file.public).ok_or_else(malformed)?;
        let StoredModel { magnitudes, reaches, trees, .. } = file;
        let registered = Registered { shape, root };
        Ok(Self {
            public: file.public,
            graph,
            registration: Registration { registered, magnitudes, reaches, trees },
            argument: file.argument.read().ok_or_else(malformed)?,
        })
    }
}
