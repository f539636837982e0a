//! The canonical bytes of a graph. The structure (the *architecture*: types, operations, tables) and the
//! parameter tensors are separate, because a model commitment opens the first and hides the second.

use minicbor::{Decode, Encode};
use sealgrid_seal::canonical::{self, NotCanonical};
use sealgrid_seal::digest::{Digest, labels};

use super::check::GraphError;
use super::{Graph, Operation, ValueId, ValueType};
use crate::tensor::Tensor;

/// The version of the primitives' semantics (docs/spec/graph.md).
pub const SEMANTICS_VERSION: u16 = 1;
/// Most bytes of a graph's canonical form: 1 GiB.
pub const GRAPH_BYTES_MAX: usize = 1 << 30;

/// Everything of a graph but the parameters' elements.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Architecture {
    /// [`SEMANTICS_VERSION`].
    #[n(0)]
    pub version: u16,
    /// Inputs of one record.
    #[n(1)]
    pub inputs: Vec<ValueType>,
    /// Element types and shapes of the parameter tensors.
    #[n(2)]
    pub parameters: Vec<ValueType>,
    /// Operations in order.
    #[n(3)]
    pub operations: Vec<Operation>,
    /// Values that are the results.
    #[n(4)]
    pub outputs: Vec<ValueId>,
}

impl Architecture {
    /// The public digest of the structure.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(labels::GRAPH_ARCHITECTURE, &[&canonical::encode(self)])
    }
}

/// A graph as it stands in a file.
#[derive(Clone, Debug, Encode, Decode)]
struct StoredGraph {
    #[n(0)]
    architecture: Architecture,
    #[n(1)]
    parameters: Vec<Tensor>,
}

/// Why bytes are not a graph.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum GraphDecodeError {
    /// Not canonical CBOR of the right form, or too long.
    #[error("graph: {0}")]
    NotCanonical(#[from] NotCanonical),
    /// Written for other semantics than this program's.
    #[error("graph semantics version {0} where {SEMANTICS_VERSION} is understood")]
    Version(u16),
    /// The parameters are not those that the structure declares.
    #[error("the parameter tensors do not have the declared types")]
    Parameters,
    /// Well-formed, but not a valid graph.
    #[error(transparent)]
    Invalid(#[from] GraphError),
}

impl GraphDecodeError {
    /// The code under which docs/reference/errors/graph.md explains this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotCanonical(NotCanonical::TooLong { .. }) => "E-RES-31",
            Self::NotCanonical(_) | Self::Parameters => "E-IMP-50",
            Self::Version(_) => "E-IMP-52",
            Self::Invalid(error) => error.code(),
        }
    }
}

impl Graph {
    /// The structure without the parameters' elements.
    #[must_use]
    pub fn architecture(&self) -> Architecture {
        Architecture {
            version: SEMANTICS_VERSION,
            inputs: self.inputs.clone(),
            parameters: self.parameters.iter().map(Tensor::value_type).collect(),
            operations: self.operations.clone(),
            outputs: self.outputs.clone(),
        }
    }

    /// Joins a structure and the parameters' elements.
    ///
    /// # Errors
    /// [`GraphDecodeError`] when they do not fit or the graph is not valid.
    pub fn from_parts(architecture: Architecture, parameters: Vec<Tensor>) -> Result<Self, GraphDecodeError> {
        if architecture.version != SEMANTICS_VERSION {
            return Err(GraphDecodeError::Version(architecture.version));
        }
        if !parameters.iter().map(Tensor::value_type).eq(architecture.parameters.iter().cloned()) {
            return Err(GraphDecodeError::Parameters);
        }
        let Architecture { inputs, operations, outputs, .. } = architecture;
        Ok(Self::new(inputs, operations, outputs, parameters)?)
    }

    /// The canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::encode(&StoredGraph {
            architecture: self.architecture(),
            parameters: self.parameters.clone(),
        })
    }

    /// Reads a graph from its canonical bytes and checks it.
    ///
    /// # Errors
    /// [`GraphDecodeError`] for anything but the one spelling of a valid graph.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, GraphDecodeError> {
        let stored: StoredGraph = canonical::decode(bytes, GRAPH_BYTES_MAX)?;
        Self::from_parts(stored.architecture, stored.parameters)
    }
}
