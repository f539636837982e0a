//! Running a graph over records: batches, and the socket that every executor fills.
//!
//! A [`Batch`] is one value for every record of a job, `[records] × shape`. An [`Executor`] prepares a graph
//! once and then maps it over batches; an [`Observer`] sees each operation's output over all records, in
//! order: that is what a trace commits to.

use std::ops::ControlFlow;
use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::integer::{Graph, ValueType};
use crate::tensor::{DType, Data, DataRef, ELEMENTS_MAX, Shape, ShapeError, Tensor};

/// Most records of one batch.
pub const RECORDS_MAX: usize = 1 << 20;

/// One value for every record: `records` tensors of one type, one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    records: usize,
    shape: Shape,
    data: Data,
}

/// A borrowed [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchRef<'a> {
    /// Number of records.
    pub records: usize,
    /// Shape of one record.
    pub shape: &'a Shape,
    /// Elements of all records, row-major.
    pub data: DataRef<'a>,
}

impl Batch {
    /// Joins the elements of `records` tensors of one shape.
    ///
    /// # Errors
    /// [`ShapeError`] when there are no or too many records or the counts disagree.
    pub fn new(records: usize, shape: Shape, data: Data) -> Result<Self, ShapeError> {
        let expected = records.checked_mul(shape.count()).ok_or(ShapeError::Elements)?;
        if records == 0 || records > RECORDS_MAX || expected > ELEMENTS_MAX {
            return Err(ShapeError::Elements);
        }
        if data.len() != expected {
            return Err(ShapeError::Count { expected, found: data.len() });
        }
        Ok(Self { records, shape, data })
    }

    /// One batch from the tensors of its records.
    ///
    /// # Errors
    /// [`ShapeError`] when there are none, too many, or they differ in type.
    pub fn from_records(records: &[Tensor]) -> Result<Self, ShapeError> {
        let first = records.first().ok_or(ShapeError::Elements)?;
        let (dtype, shape) = (first.dtype(), first.shape().clone());
        let mut bytes = Vec::new();
        for record in records {
            if record.dtype() != dtype || *record.shape() != shape {
                return Err(ShapeError::Count { expected: shape.count(), found: record.shape().count() });
            }
            bytes.extend_from_slice(&record.data().view().le_bytes());
        }
        let data = Data::from_le_bytes(dtype, &bytes).expect("whole elements were joined");
        Self::new(records.len(), shape, data)
    }

    /// Number of records.
    #[must_use]
    pub fn records(&self) -> usize {
        self.records
    }

    /// Shape of one record.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Elements of all records, row-major.
    #[must_use]
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Element type.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.data.dtype()
    }

    /// Element type and shape of one record.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        ValueType { dtype: self.dtype(), shape: self.shape.clone() }
    }

    /// The same, borrowed.
    #[must_use]
    pub fn view(&self) -> BatchRef<'_> {
        BatchRef { records: self.records, shape: &self.shape, data: self.data.view() }
    }

    /// The tensor of one record.
    ///
    /// # Panics
    /// When `index` is not below the number of records.
    #[must_use]
    pub fn record(&self, index: usize) -> Tensor {
        self.view().record(index)
    }
}

impl BatchRef<'_> {
    /// The tensor of one record.
    ///
    /// # Panics
    /// When `index` is not below the number of records.
    #[must_use]
    pub fn record(&self, index: usize) -> Tensor {
        let count = self.shape.count();
        let data = self.data.part(index * count..(index + 1) * count);
        Tensor::new(self.shape.clone(), data).expect("a record has the batch's shape")
    }

    /// An owned copy.
    #[must_use]
    pub fn to_batch(&self) -> Batch {
        Batch { records: self.records, shape: self.shape.clone(), data: self.data.part(0..self.data.len()) }
    }
}

/// `[records, element type, shape, little-endian bytes]`.
impl<C> Encode<C> for Batch {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(4)?
            .u64(self.records as u64)?
            .encode_with(self.dtype(), ctx)?
            .encode_with(&self.shape, ctx)?;
        e.bytes(&self.data.view().le_bytes())?;
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for Batch {
    fn decode(d: &mut minicbor::Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        let malformed = minicbor::decode::Error::message;
        if d.array()? != Some(4) {
            return Err(malformed("a batch has four parts"));
        }
        let records = usize::try_from(d.u64()?).map_err(|_| malformed("too many records"))?;
        let (dtype, shape): (DType, Shape) = (d.decode_with(ctx)?, d.decode_with(ctx)?);
        let bytes = d.bytes()?;
        let fills = records.checked_mul(shape.count()).and_then(|n| n.checked_mul(dtype.bytes()));
        if records > RECORDS_MAX || fills != Some(bytes.len()) {
            return Err(malformed("a batch's bytes fill its records"));
        }
        let data =
            Data::from_le_bytes(dtype, bytes).ok_or_else(|| malformed("bytes end inside an element"))?;
        Self::new(records, shape, data).map_err(|_| malformed("a batch fills its records"))
    }
}

/// Prepares graphs for execution. Every executor yields, for every valid graph and every input, exactly what
/// [`crate::reference::Reference`] yields.
pub trait Executor: Send + Sync {
    /// A short name for reports, such as `reference` or `avx512-vnni`.
    fn name(&self) -> &'static str;

    /// Does once what need not be done for each batch: packing weights, choosing kernels.
    ///
    /// # Errors
    /// [`ExecuteError::Unsupported`] when this machine cannot run the graph.
    fn prepare(&self, graph: Arc<Graph>) -> Result<Box<dyn Prepared>, ExecuteError>;
}

/// A graph that is ready to run; shared between threads, so scratch space is made per run.
pub trait Prepared: Send + Sync {
    /// The graph.
    fn graph(&self) -> &Arc<Graph>;

    /// Maps the graph over the records of `inputs`: one batch per graph input, all of equal length. Returns one
    /// batch per graph output.
    ///
    /// # Errors
    /// [`ExecuteError`] when the inputs do not fit ([`check_inputs`]) or the observer stops the run.
    fn run(&self, inputs: &[Batch], observer: &mut dyn Observer) -> Result<Vec<Batch>, ExecuteError>;
}

/// Watches a run.
pub trait Observer {
    /// Whether outputs of single operations are looked at; an executor may skip materialising them otherwise.
    fn watches(&self) -> bool {
        true
    }

    /// Operation `index` has yielded `output` over all records. Called once per operation, in order, while
    /// [`Observer::watches`]. [`ControlFlow::Break`] ends the run with [`ExecuteError::Stopped`].
    fn operation(&mut self, index: usize, output: BatchRef<'_>) -> ControlFlow<()>;
}

/// Nobody watches.
impl Observer for () {
    fn watches(&self) -> bool {
        false
    }

    fn operation(&mut self, _: usize, _: BatchRef<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Why a run did not end with outputs. Never names content.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum ExecuteError {
    /// The number of batches is not the number of the graph's inputs.
    #[error("{found} inputs where the graph has {expected}")]
    Inputs {
        /// Inputs of the graph.
        expected: usize,
        /// Batches given.
        found: usize,
    },
    /// A batch has another element type or shape than the graph's input.
    #[error("input {0} has another element type or shape than the graph's")]
    InputType(usize),
    /// Two inputs have different numbers of records.
    #[error("input {0} has another number of records than the first")]
    Records(usize),
    /// A value of this run would exceed the limits.
    #[error("a value of operation {0} over all records exceeds the limits")]
    TooLarge(usize),
    /// The executor cannot run this graph on this machine.
    #[error("this executor cannot run operation {operation}: {why}")]
    Unsupported {
        /// Position of the operation.
        operation: usize,
        /// What is missing.
        why: &'static str,
    },
    /// The observer ended the run.
    #[error("stopped by the observer")]
    Stopped,
}

impl ExecuteError {
    /// The code under which docs/reference/errors/graph.md explains this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Inputs { .. } | Self::InputType(_) | Self::Records(_) => "E-DAT-50",
            Self::TooLarge(_) => "E-RES-32",
            Self::Unsupported { .. } => "E-RES-33",
            Self::Stopped => "E-RES-34",
        }
    }
}

/// Checks a run's inputs against the graph, and that every value over all records stays within
/// [`ELEMENTS_MAX`]; returns the number of records.
///
/// # Errors
/// [`ExecuteError`] naming the first input or operation that does not fit.
pub fn check_inputs(graph: &Graph, inputs: &[Batch]) -> Result<usize, ExecuteError> {
    if inputs.len() != graph.inputs().len() {
        return Err(ExecuteError::Inputs { expected: graph.inputs().len(), found: inputs.len() });
    }
    let records = inputs[0].records();
    for (index, (batch, value_type)) in inputs.iter().zip(graph.inputs()).enumerate() {
        if batch.dtype() != value_type.dtype || *batch.shape() != value_type.shape {
            return Err(ExecuteError::InputType(index));
        }
        if batch.records() != records {
            return Err(ExecuteError::Records(index));
        }
    }
    for (index, operation) in graph.operations().iter().enumerate() {
        if records.checked_mul(operation.output.shape.count()).is_none_or(|count| count > ELEMENTS_MAX) {
            return Err(ExecuteError::TooLarge(index));
        }
    }
    Ok(records)
}
