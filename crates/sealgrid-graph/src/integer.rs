//! The integer graph: a closed set of primitives over int8, int16 and int32, and the one walk over it.
//!
//! A graph states the meaning of *one record*; a run maps it over the records of a job. Every
//! primitive accumulates in int32, modulo 2^32 (two's complement, so that every order of summation
//! agrees; range analysis proves that no admitted model ever wraps), and ends in a [`Requantise`], the
//! only place where precision is lost, with one stated rounding. [`Primitive::Add`] alone sums in 64 bits.

mod build;
mod check;
mod codec;

use minicbor::{Decode, Encode};

pub use self::build::Builder;
pub use self::check::{
    ADD_MULTIPLIER_MAX, Fault, GraphError, INPUTS_MAX, NAME_MAX, OPERANDS_MAX, OPERATIONS_MAX,
    PARAMETERS_MAX, SHIFT_MAX, TABLE_MAX, TAPS_MAX, WINDOW_MAX, broadcast, output_type,
};
pub use self::codec::{Architecture, GRAPH_BYTES_MAX, GraphDecodeError, SEMANTICS_VERSION};
use crate::tensor::{DType, Shape, Tensor};

/// A value of the graph: inputs first, in order, then one result per operation, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct ValueId(pub u32);

/// A parameter tensor of the model (weights, biases, constants, trees): private to the model's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct ParameterId(pub u32);

/// Element type and shape of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct ValueType {
    /// Element type.
    #[n(0)]
    pub dtype: DType,
    /// Shape of one record.
    #[n(1)]
    pub shape: Shape,
}

/// Accumulator to output: `y = clamp(floor((a·m + 2^(s−1)) / 2^s), low, high)`, computed in 64 bits;
/// without the half when `s = 0`. So ties round towards plus infinity, on every machine.
///
/// `multipliers` and `shifts` have one entry, or one an output channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Requantise {
    /// Fixed-point multipliers, `0 <= m < 2^31`.
    #[n(0)]
    pub multipliers: Vec<i32>,
    /// Right shifts, `0 <= s <= 62`.
    #[n(1)]
    pub shifts: Vec<u8>,
    /// Lowest output; ReLU and clipping live here.
    #[n(2)]
    pub low: i32,
    /// Highest output.
    #[n(3)]
    pub high: i32,
    /// Output element type; `low` and `high` lie within it.
    #[n(4)]
    pub output: DType,
}

/// A sliding window over the trailing spatial axes of `[1, C, spatial…]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Window {
    /// Lengths, one per spatial axis.
    #[n(0)]
    pub kernel: Vec<usize>,
    /// Steps, at least 1.
    #[n(1)]
    pub strides: Vec<usize>,
    /// Distances between taps, at least 1.
    #[n(2)]
    pub dilations: Vec<usize>,
    /// Elements before each axis. Padding reads as 0 (as the lowest value in a maximum).
    #[n(3)]
    pub pads_before: Vec<usize>,
    /// Elements behind each axis.
    #[n(4)]
    pub pads_after: Vec<usize>,
}

/// What an operation computes. Closed on purpose: every interpreter matches it without a wildcard, so a
/// new primitive does not compile until each interpreter says what it means there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Primitive {
    /// A parameter as a value.
    #[n(0)]
    Constant {
        /// The tensor.
        #[n(0)]
        tensor: ParameterId,
    },
    /// `requantise(x · Wᵀ + b)` over the last axis; `x` I8 or I16 `[…, K]`, `W` I8 `[N, K]`, `b` I32 `[N]`.
    #[n(1)]
    Linear {
        /// Weights.
        #[n(0)]
        weight: ParameterId,
        /// Biases.
        #[n(1)]
        bias: ParameterId,
        /// Output stage, channels on the last axis.
        #[n(2)]
        requantise: Requantise,
    },
    /// Cross-correlation as ONNX defines it; `x` I8 `[1, C, spatial…]`, `W` I8 `[O, C/groups, kernel…]`,
    /// `b` I32 `[O]`.
    #[n(2)]
    Convolution {
        /// Weights.
        #[n(0)]
        weight: ParameterId,
        /// Biases.
        #[n(1)]
        bias: ParameterId,
        /// Window.
        #[n(2)]
        window: Window,
        /// Channel groups.
        #[n(3)]
        groups: usize,
        /// Output stage, channels on axis 1.
        #[n(4)]
        requantise: Requantise,
    },
    /// Product of two values over their last two axes, leading axes broadcast: `[…, M, K] · […, K, N]`.
    #[n(3)]
    MatrixProduct {
        /// Output stage, one entry.
        #[n(0)]
        requantise: Requantise,
    },
    /// `requantise(left·x + right·y)` with broadcasting. The sum is exact in 64 bits, because both
    /// multipliers lie within ±2^30; they carry the scales, so the output stage's own multiplier is 1.
    #[n(4)]
    Add {
        /// Multiplier of the first operand.
        #[n(0)]
        left: i32,
        /// Multiplier of the second operand (negative for a difference).
        #[n(1)]
        right: i32,
        /// Output stage, one entry.
        #[n(2)]
        requantise: Requantise,
    },
    /// `requantise(x·y)` with broadcasting.
    #[n(5)]
    Multiply {
        /// Output stage, one entry.
        #[n(0)]
        requantise: Requantise,
    },
    /// `requantise(x)`: change of scale, type or range.
    #[n(6)]
    Rescale {
        /// Output stage, one entry, or one a channel of axis 1.
        #[n(0)]
        requantise: Requantise,
    },
    /// `table[clamp(x, first, first + len − 1) − first]`: every non-linear function of one operand.
    #[n(7)]
    Lookup {
        /// Operand that selects the first entry.
        #[n(0)]
        first: i32,
        /// Results, at most 65,536.
        #[n(1)]
        table: Vec<i32>,
        /// Output element type.
        #[n(2)]
        output: DType,
    },
    /// Largest element under the window.
    #[n(8)]
    PoolMaximum {
        /// Window.
        #[n(0)]
        window: Window,
    },
    /// Sum under the window, then the output stage (an average folds its divisor there).
    #[n(9)]
    PoolSum {
        /// Window.
        #[n(0)]
        window: Window,
        /// Output stage, one entry.
        #[n(1)]
        requantise: Requantise,
    },
    /// Sum over axes, which keep length 1.
    #[n(10)]
    ReduceSum {
        /// Axes, ascending.
        #[n(0)]
        axes: Vec<usize>,
        /// Output stage, one entry.
        #[n(1)]
        requantise: Requantise,
    },
    /// Maximum over axes, which keep length 1.
    #[n(11)]
    ReduceMaximum {
        /// Axes, ascending.
        #[n(0)]
        axes: Vec<usize>,
    },
    /// Position of the first maximum along an axis, which keeps length 1; I32.
    #[n(12)]
    ArgMaximum {
        /// Axis.
        #[n(0)]
        axis: usize,
    },
    /// `floor(2^bits / max(x, 1))`; I32.
    #[n(13)]
    Reciprocal {
        /// Numerator, at most 30.
        #[n(0)]
        bits: u8,
    },
    /// `floor(sqrt(2^bits / max(x, 1)))`, the integer square root of the integer quotient; I32.
    #[n(14)]
    ReciprocalSquareRoot {
        /// Numerator, at most 60.
        #[n(0)]
        bits: u8,
    },
    /// The same elements under the output's shape.
    #[n(15)]
    Reshape,
    /// Axes in another order: output axis `i` is input axis `permutation[i]`.
    #[n(16)]
    Transpose {
        /// A permutation of the axes.
        #[n(0)]
        permutation: Vec<usize>,
    },
    /// Operands one behind the other along an axis.
    #[n(17)]
    Concatenate {
        /// Axis.
        #[n(0)]
        axis: usize,
    },
    /// Every `steps[i]`-th element from `starts[i]` on, as many as the output's shape says.
    #[n(18)]
    Slice {
        /// First positions, one an axis.
        #[n(0)]
        starts: Vec<usize>,
        /// Steps, one an axis, never 0; negative steps walk down.
        #[n(1)]
        steps: Vec<i64>,
    },
    /// Elements at constant positions along an axis.
    #[n(19)]
    Gather {
        /// Axis.
        #[n(0)]
        axis: usize,
        /// Positions.
        #[n(1)]
        indices: Vec<usize>,
    },
    /// A constant border.
    #[n(20)]
    Pad {
        /// Elements before each axis.
        #[n(0)]
        before: Vec<usize>,
        /// Elements behind each axis.
        #[n(1)]
        after: Vec<usize>,
        /// The border's value.
        #[n(2)]
        value: i32,
    },
    /// Axes of length 1 repeated to the output's shape.
    #[n(21)]
    Broadcast,
    /// Larger of two operands, with broadcasting.
    #[n(22)]
    Maximum,
    /// Smaller of two operands, with broadcasting.
    #[n(23)]
    Minimum,
    /// Sum over trees of the leaf that a record `[1, F]` falls into: at node `j` go left when
    /// `x[feature[j]] <= threshold[j]`, else right; children below 0 are leaves `−1−child`. Output I32 `[1, outputs]`.
    #[n(24)]
    TreeEnsemble {
        /// First node of each tree, then nodes in all: I32 `[trees + 1]`, strictly ascending from 0. A tree
        /// of one leaf has no node; it belongs to `base`.
        #[n(0)]
        roots: ParameterId,
        /// Per node: feature, threshold, left, right: I32 `[nodes, 4]`. Children are counted from the first
        /// node of all trees and lie behind their parent, in its tree.
        #[n(1)]
        nodes: ParameterId,
        /// Leaf values: I32 `[leaves, outputs]`.
        #[n(2)]
        leaves: ParameterId,
        /// Added to every record: I32 `[outputs]`.
        #[n(3)]
        base: ParameterId,
        /// Output stage, one entry.
        #[n(4)]
        requantise: Requantise,
    },
}

/// One step of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Operation {
    /// The importing model's node name, for messages.
    #[n(0)]
    pub name: String,
    /// What is computed.
    #[n(1)]
    pub primitive: Primitive,
    /// Operands: each an input or an earlier result.
    #[n(2)]
    pub operands: Vec<ValueId>,
    /// Type of the result.
    #[n(3)]
    pub output: ValueType,
}

/// An integer graph that passed [`Graph::new`]: operands precede their use, types fit, limits hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    pub(crate) inputs: Vec<ValueType>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) outputs: Vec<ValueId>,
    pub(crate) parameters: Vec<Tensor>,
}

/// A meaning of the graph. Values are whatever the interpreter computes with: tensors, ranges, costs,
/// digests, ciphertexts, constraints.
pub trait Interpreter {
    /// What stands for a tensor.
    type Value;
    /// Why an operation has no meaning here.
    type Error;

    /// The value of input number `index`.
    ///
    /// # Errors
    /// When the interpreter cannot take this input.
    fn input(&mut self, index: usize, value_type: &ValueType) -> Result<Self::Value, Self::Error>;

    /// The value of operation number `index`.
    ///
    /// # Errors
    /// When the operation cannot be carried out.
    fn operation(
        &mut self,
        index: usize,
        operation: &Operation,
        operands: &[&Self::Value],
        parameters: &[Tensor],
    ) -> Result<Self::Value, Self::Error>;
}

impl Primitive {
    /// Its name in tables that people read and in JSON.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Constant { .. } => "constant",
            Self::Linear { .. } => "linear",
            Self::Convolution { .. } => "convolution",
            Self::MatrixProduct { .. } => "matrix product",
            Self::Add { .. } => "add",
            Self::Multiply { .. } => "multiply",
            Self::Rescale { .. } => "rescale",
            Self::Lookup { .. } => "lookup",
            Self::PoolMaximum { .. } => "pool maximum",
            Self::PoolSum { .. } => "pool sum",
            Self::ReduceSum { .. } => "reduce sum",
            Self::ReduceMaximum { .. } => "reduce maximum",
            Self::ArgMaximum { .. } => "arg maximum",
            Self::Reciprocal { .. } => "reciprocal",
            Self::ReciprocalSquareRoot { .. } => "reciprocal square root",
            Self::Reshape => "reshape",
            Self::Transpose { .. } => "transpose",
            Self::Concatenate { .. } => "concatenate",
            Self::Slice { .. } => "slice",
            Self::Gather { .. } => "gather",
            Self::Pad { .. } => "pad",
            Self::Broadcast => "broadcast",
            Self::Maximum => "maximum",
            Self::Minimum => "minimum",
            Self::TreeEnsemble { .. } => "tree ensemble",
        }
    }
}

impl Graph {
    /// The only walk: inputs, then operations in order; a value is dropped behind its last use.
    ///
    /// # Errors
    /// The first error of the interpreter.
    pub fn interpret<I: Interpreter>(&self, interpreter: &mut I) -> Result<Vec<I::Value>, I::Error>
    where
        I::Value: Clone,
    {
        let last_use = self.last_uses();
        let mut values: Vec<Option<I::Value>> = Vec::with_capacity(last_use.len());
        for (index, value_type) in self.inputs.iter().enumerate() {
            values.push(Some(interpreter.input(index, value_type)?));
        }
        for (index, operation) in self.operations.iter().enumerate() {
            let operands: Vec<&I::Value> = operation.operands.iter().map(|id| live(&values, *id)).collect();
            let result = interpreter.operation(index, operation, &operands, &self.parameters)?;
            for id in &operation.operands {
                if last_use[id.0 as usize] == Some(index) {
                    values[id.0 as usize] = None;
                }
            }
            values.push(Some(result));
        }
        Ok(self.outputs.iter().map(|id| live(&values, *id).clone()).collect())
    }

    /// Inputs of one record.
    #[must_use]
    pub fn inputs(&self) -> &[ValueType] {
        &self.inputs
    }

    /// Operations in order.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Values that are the results.
    #[must_use]
    pub fn outputs(&self) -> &[ValueId] {
        &self.outputs
    }

    /// Parameter tensors.
    #[must_use]
    pub fn parameters(&self) -> &[Tensor] {
        &self.parameters
    }

    /// Type of a value.
    ///
    /// # Panics
    /// When `id` is not a value of this graph.
    #[must_use]
    pub fn value_type(&self, id: ValueId) -> &ValueType {
        let index = id.0 as usize;
        match index.checked_sub(self.inputs.len()) {
            None => &self.inputs[index],
            Some(operation) => &self.operations[operation].output,
        }
    }

    /// For each value the last operation that reads it; `None` for outputs, which live to the end, and for
    /// values that nothing reads.
    fn last_uses(&self) -> Vec<Option<usize>> {
        let mut last = vec![None; self.inputs.len() + self.operations.len()];
        for (index, operation) in self.operations.iter().enumerate() {
            for id in &operation.operands {
                last[id.0 as usize] = Some(index);
            }
        }
        for id in &self.outputs {
            last[id.0 as usize] = None;
        }
        last
    }
}

fn live<V>(values: &[Option<V>], id: ValueId) -> &V {
    values[id.0 as usize].as_ref().expect("a checked graph reads values before their last use")
}

#[cfg(test)]
mod tests;
