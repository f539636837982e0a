//! Models that are one exact linear layer over the records, and steps that the key's owner takes alone.
//!
//! 1. Whoever encrypts or decrypts knows of the model what everybody may: [`LinearModel::of`], without weights.
//! 2. The owner of the key encrypts records: [`LinearModel::encrypt`].
//! 3. Whoever has the weights makes an [`Evaluator`], which has no place for a key: [`Evaluator::evaluate`].
//! 4. The owner decrypts the accumulators and runs the rest of the graph on them: [`LinearModel::decrypt`]. What comes out are the
//!    integer graph's own results, to the bit.
//!
//! # Which models
//! The layer reads all elements of a record, which may have been given another shape before, and nothing else reads them. Behind
//! it stands whatever needs no parameters: output stages, tables, sums, the largest class. Anything with parameters there would be
//! a second layer, which this cannot compute under encryption and the key's owner not in the clear.
//!
//! # What is bound
//! What travels names the model: its commitment, of card, architecture and parameters. So no record is evaluated by another model
//! than it was encrypted for, nor finished by another, *by mistake*. An evaluator that lies can write any name and any sums.

use std::sync::Arc;

use rand_core::CryptoRng;
use sealgrid_graph::execute::{Batch, ExecuteError, Executor as _};
use sealgrid_graph::integer::{
    Architecture, Builder, Graph, GraphError, Operation, ParameterId, Primitive, Requantise, ValueId,
    ValueType,
};
use sealgrid_graph::model::{Model, ModelCommitment, PublicModel};
use sealgrid_graph::reference::Reference;
use sealgrid_graph::tensor::{DType, Data, Shape as Axes, ShapeError};

use crate::linear::{self, EncryptedRecords, EncryptedSums, Layer, LinearError, Shape, Width};
use crate::parameters::{ParameterSet, Parameters};
use crate::rlwe::{KeyId, SecretKey};

/// What exact layers are encrypted with.
pub const SET: ParameterSet = ParameterSet::LINEAR_1;
/// Most ciphertexts of one batch.
pub const PARTS_MAX: usize = 4096;
/// Most bytes that the sums of one batch may take.
pub const BATCH_SUMS_BYTES_MAX: usize = 1 << 30;
/// Most bytes of one output of one ciphertext: the mask, and no more residues beside it.
const OUTPUT_BYTES_MAX: usize = 26 << 10;

/// Why a model has no exact linear layer at its beginning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotLinear {
    /// A record is one tensor.
    #[error("it takes {0} inputs where one is encrypted")]
    Inputs(usize),
    /// No linear layer reads the records.
    #[error("no linear layer reads the records")]
    None,
    /// The layer is mapped over rows of a record.
    #[error("layer {0} reads rows of a record and not all of it")]
    Rows(String),
    /// Something beside the layer reads the records.
    #[error("{0} reads the records, which is no linear layer or a second one")]
    Read(String),
    /// Something behind the layer has parameters.
    #[error("{0} has weights of its own, and stands beside or behind the encrypted layer")]
    Parameters(String),
    /// The records themselves are a result.
    #[error("the records themselves are a result")]
    Echo,
    /// The graph is none.
    #[error("the graph is not valid: {0}")]
    Graph(String),
}

/// Why a model was not used on ciphertexts.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// Not a model of one exact linear layer.
    #[error("E-FHE-40: {0}")]
    NotLinear(#[from] NotLinear),
    /// Records or sums of another model.
    #[error("E-FHE-41: made for the model {found}, and not for {expected}")]
    OtherModel {
        /// Named in the file.
        found: ModelCommitment,
        /// At hand.
        expected: ModelCommitment,
    },
    /// More records than one batch holds.
    #[error("E-FHE-42: {records} records where one batch of this model holds {limit}")]
    TooMany {
        /// Given.
        records: usize,
        /// Allowed.
        limit: usize,
    },
    /// The layer, the records or the key are refused.
    #[error(transparent)]
    Linear(#[from] LinearError),
}

/// Encrypted records of one model: as many ciphertexts as they need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordsBatch {
    pub(crate) model: ModelCommitment,
    /// At least one; of one key and shape.
    pub(crate) parts: Vec<EncryptedRecords>,
}

/// Encrypted sums of one model.
#[derive(Clone, PartialEq, Eq)]
pub struct SumsBatch {
    pub(crate) model: ModelCommitment,
    /// At least one; of one key, and as many features and outputs.
    pub(crate) parts: Vec<EncryptedSums>,
}

impl RecordsBatch {
    /// How many records.
    #[must_use]
    pub fn records(&self) -> usize {
        self.parts.iter().map(EncryptedRecords::records).sum()
    }

    /// How many ciphertexts.
    #[must_use]
    pub const fn parts(&self) -> usize {
        self.parts.len()
    }

    /// The model that they are for.
    #[must_use]
    pub const fn model(&self) -> ModelCommitment {
        self.model
    }

    /// The key that opens the sums.
    #[must_use]
    pub fn key(&self) -> KeyId {
        self.parts[0].key
    }
}

impl SumsBatch {
    /// How many records.
    #[must_use]
    pub fn records(&self) -> usize {
        self.parts.iter().map(EncryptedSums::records).sum()
    }

    /// How many sums a record.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.parts[0].outputs()
    }

    /// The model that they were evaluated with, as the evaluator says.
    #[must_use]
    pub const fn model(&self) -> ModelCommitment {
        self.model
    }

    /// The key that opens them.
    #[must_use]
    pub fn key(&self) -> KeyId {
        self.parts[0].key
    }
}

/// What everybody may know of a model of one linear layer: the records' encoding, the layer's shape, what follows in the clear.
#[derive(Clone, Debug)]
pub struct LinearModel {
    identity: ModelCommitment,
    input: ValueType,
    shape: Shape,
    outputs: usize,
    name: String,
    weight: ParameterId,
    bias: ParameterId,
    rest: Arc<Graph>,
}

impl LinearModel {
    /// Finds the layer.
    ///
    /// # Errors
    /// [`ModelError`] when the model is another, or its records do not fit a ciphertext.
    pub fn of(public: &PublicModel) -> Result<Self, ModelError> {
        let found = Self::split(public)?;
        found.shape.records_max(SET)?;
        if found.outputs > linear::OUTPUTS_MAX {
            return Err(LinearError::Layer { outputs: found.outputs }.into());
        }
        Ok(found)
    }

    fn split(public: &PublicModel) -> Result<Self, NotLinear> {
        let architecture = &public.architecture;
        let [input] = architecture.inputs.as_slice() else {
            return Err(NotLinear::Inputs(architecture.inputs.len()));
        };
        let width = match input.dtype {
            DType::I8 => Width::I8,
            DType::I16 => Width::I16,
            DType::I32 => return Err(NotLinear::None),
        };
        let shape = Shape { features: input.shape.count(), width };
        let mut walk = Walk { records: vec![ValueId(0)], layer: None, rest: Rest::default() };
        for (index, operation) in architecture.operations.iter().enumerate() {
            let id = u32::try_from(index + 1).map_err(|error| NotLinear::Graph(error.to_string()))?;
            walk.step(architecture, shape.features, ValueId(id), operation)?;
        }
        let Some(found) = walk.layer else { return Err(NotLinear::None) };
        if architecture.outputs.iter().any(|id| walk.records.contains(id)) {
            return Err(NotLinear::Echo);
        }
        let rest = walk.rest.finish(&architecture.outputs)?;
        Ok(Self {
            identity: public.commitment(),
            input: input.clone(),
            shape,
            outputs: found.outputs,
            name: found.name,
            weight: found.weight,
            bias: found.bias,
            rest: Arc::new(rest),
        })
    }

    /// Name of the layer.
    #[must_use]
    pub fn layer(&self) -> &str {
        &self.name
    }

    /// Integers of a record, and their range.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// Sums of a record.
    #[must_use]
    pub const fn outputs(&self) -> usize {
        self.outputs
    }

    /// Most records of one batch.
    #[must_use]
    pub fn records_max(&self) -> usize {
        self.parts_max() * self.records_of_part()
    }

    fn parts_max(&self) -> usize {
        PARTS_MAX.min(BATCH_SUMS_BYTES_MAX / (OUTPUT_BYTES_MAX * self.outputs) - 1)
    }

    fn records_of_part(&self) -> usize {
        SET.degree().get() / self.shape.features
    }

    /// Encrypts records that were encoded by the model's card.
    ///
    /// # Errors
    /// [`ModelError`] when they are not of the model's type, or too many.
    pub fn encrypt(
        &self,
        key: &SecretKey,
        records: &Batch,
        rng: &mut impl CryptoRng,
    ) -> Result<RecordsBatch, ModelError> {
        let (count, features) = (records.records(), self.shape.features);
        if records.value_type() != self.input {
            return Err(LinearError::Records { records: count, features }.into());
        }
        if count > self.records_max() {
            return Err(ModelError::TooMany { records: count, limit: self.records_max() });
        }
        let elements = records.data().view();
        let elements: Vec<i32> = (0..count * features).map(|at| elements.at(at)).collect();
        let rows: Vec<&[i32]> = elements.chunks_exact(features).collect();
        let parts = rows.chunks(self.records_of_part());
        let parts =
            parts.map(|part| linear::encrypt(key, self.shape, part, rng)).collect::<Result<_, _>>()?;
        Ok(RecordsBatch { model: self.identity, parts })
    }

    /// Decrypts the accumulators, and carries out what follows: the model's results.
    ///
    /// # Errors
    /// [`ModelError`] when the sums are another model's or under another key.
    ///
    /// # Panics
    /// Never: what follows was checked when the layer was found.
    pub fn decrypt(&self, key: &SecretKey, sums: &SumsBatch) -> Result<Vec<Batch>, ModelError> {
        same(sums.model, self.identity)?;
        if sums.parts.iter().any(|p| p.features != self.shape.features || p.outputs() != self.outputs) {
            return Err(LinearError::OtherShape.into());
        }
        let mut accumulators = Vec::with_capacity(sums.records() * self.outputs);
        for part in &sums.parts {
            accumulators.extend(linear::decrypt(key, part)?.into_iter().flatten());
        }
        Ok(self.finish(sums.records(), accumulators).expect("the rest of the graph takes the layer's sums"))
    }

    fn finish(&self, records: usize, accumulators: Vec<i32>) -> Result<Vec<Batch>, ExecuteError> {
        let shape = self.rest.inputs()[0].shape.clone();
        let batch = Batch::new(records, shape, Data::I32(accumulators)).expect("as many as records have");
        Reference.prepare(Arc::clone(&self.rest))?.run(&[batch], &mut ())
    }
}

/// What was found of the layer.
struct Found {
    outputs: usize,
    name: String,
    weight: ParameterId,
    bias: ParameterId,
}

/// The walk over the operations, in order.
struct Walk {
    /// Values that are the record's elements, under whatever shape.
    records: Vec<ValueId>,
    layer: Option<Found>,
    rest: Rest,
}

impl Walk {
    fn step(
        &mut self,
        architecture: &Architecture,
        features: usize,
        id: ValueId,
        operation: &Operation,
    ) -> Result<(), NotLinear> {
        let name = || operation.name.clone();
        let reads = operation.operands.iter().any(|operand| self.records.contains(operand));
        match &operation.primitive {
            Primitive::Reshape if reads => self.records.push(id),
            Primitive::Linear { weight, bias, requantise } if reads => {
                if self.layer.is_some() {
                    return Err(NotLinear::Read(name()));
                }
                let of = architecture.parameters.get(weight.0 as usize).map(|weight| weight.shape.axes());
                let outputs = match of {
                    Some([outputs, depth]) if *depth == features => *outputs,
                    _ => return Err(NotLinear::Rows(name())),
                };
                self.layer = Some(Found { outputs, name: name(), weight: *weight, bias: *bias });
                self.rest.begin(id, outputs, operation, requantise)?;
            }
            _ if reads => return Err(NotLinear::Read(name())),
            Primitive::Constant { .. }
            | Primitive::Linear { .. }
            | Primitive::Convolution { .. }
            | Primitive::TreeEnsemble { .. } => return Err(NotLinear::Parameters(name())),
            _ => self.rest.go_on(id, operation)?,
        }
        Ok(())
    }
}

/// The graph behind the layer: its input are the accumulators, in one row.
#[derive(Default)]
struct Rest {
    builder: Option<Builder>,
    /// Values of the model, and what they are here.
    values: Vec<(ValueId, ValueId)>,
}

impl Rest {
    /// The layer's output stage.
    fn begin(
        &mut self,
        id: ValueId,
        outputs: usize,
        layer: &Operation,
        stage: &Requantise,
    ) -> Result<(), NotLinear> {
        let row =
            Axes::new(&[1, outputs]).map_err(|error: ShapeError| NotLinear::Graph(error.to_string()))?;
        let mut builder = Builder::new(vec![ValueType { dtype: DType::I32, shape: row }]);
        let sums = builder.input(0);
        // One row, so that the channels are axis 1, as the output stage of a change of scale has them.
        let stage = Primitive::Rescale { requantise: stage.clone() };
        let staged = builder.push(&layer.name, stage, &[sums]).map_err(|error| invalid(&error))?;
        let shaped = builder.push_shaped(&layer.name, Primitive::Reshape, &[staged], &layer.output.shape);
        self.values.push((id, shaped.map_err(|error| invalid(&error))?));
        self.builder = Some(builder);
        Ok(())
    }

    fn go_on(&mut self, id: ValueId, operation: &Operation) -> Result<(), NotLinear> {
        let operands: Option<Vec<ValueId>> =
            operation.operands.iter().map(|operand| self.place(*operand)).collect();
        // Without the layer's sums there is nothing that an operation without parameters could compute with.
        let (Some(builder), Some(operands)) = (&mut self.builder, operands) else {
            return Err(NotLinear::None);
        };
        let (primitive, shape) = (operation.primitive.clone(), &operation.output.shape);
        let made = builder
            .push_shaped(&operation.name, primitive, &operands, shape)
            .map_err(|error| invalid(&error))?;
        self.values.push((id, made));
        Ok(())
    }

    fn place(&self, id: ValueId) -> Option<ValueId> {
        self.values.iter().find(|(of_model, _)| *of_model == id).map(|(_, here)| *here)
    }

    fn finish(self, outputs: &[ValueId]) -> Result<Graph, NotLinear> {
        let places: Option<Vec<ValueId>> = outputs.iter().map(|id| self.place(*id)).collect();
        let (Some(places), Some(builder)) = (places, self.builder) else { return Err(NotLinear::None) };
        builder.finish(places).map_err(|error| invalid(&error))
    }
}

fn invalid(error: &GraphError) -> NotLinear {
    NotLinear::Graph(error.to_string())
}

fn same(found: ModelCommitment, expected: ModelCommitment) -> Result<(), ModelError> {
    if found == expected { Ok(()) } else { Err(ModelError::OtherModel { found, expected }) }
}

/// The layer of a model with its weights. It has no place for a key.
pub struct Evaluator {
    model: LinearModel,
    layer: Layer,
}

impl Evaluator {
    /// Makes the layer ready.
    ///
    /// # Errors
    /// [`ModelError`] when the model has no such layer, or its sums could overflow or be wrong.
    ///
    /// # Panics
    /// Never: the parameter set is a published one.
    pub fn of(model: &Model) -> Result<Self, ModelError> {
        let known = LinearModel::of(&model.public())?;
        let parameter = |id: ParameterId| {
            let tensor = &model.graph().parameters()[id.0 as usize];
            (0..tensor.shape().count()).map(|at| tensor.at(at)).collect::<Vec<i32>>()
        };
        let (weights, biases) = (parameter(known.weight), parameter(known.bias));
        let rows: Vec<&[i32]> = weights.chunks_exact(known.shape.features).collect();
        let parameters = Parameters::new(SET).expect("a published set");
        let layer = Layer::new(&parameters, known.shape, &rows, &biases)?;
        Ok(Self { model: known, layer })
    }

    /// See [`Layer::failure_log2`].
    #[must_use]
    pub const fn failure_log2(&self) -> f64 {
        self.layer.failure_log2()
    }

    /// The sums of all records.
    ///
    /// # Errors
    /// [`ModelError`] when the records are for another model.
    pub fn evaluate(&self, records: &RecordsBatch) -> Result<SumsBatch, ModelError> {
        same(records.model, self.model.identity)?;
        if records.parts.len() > self.model.parts_max() {
            let limit = self.model.records_max();
            return Err(ModelError::TooMany { records: records.records(), limit });
        }
        let parts = records.parts.iter().map(|part| self.layer.evaluate(part)).collect::<Result<_, _>>()?;
        Ok(SumsBatch { model: records.model, parts })
    }
}

#[cfg(test)]
mod tests;
