//! The float graph: what an imported model computes, before calibration makes it integer.
//!
//! A small closed set of operations with static shapes on 32-bit floats, each of which has an obvious
//! counterpart among [`crate::integer::Primitive`]. Structure follows the integer graph: values are the inputs and
//! then one result per operation; [`Graph::interpret`] is the only walk. [`run`] is the plain interpreter;
//! [`run_observed`] also shows every value, which is what calibration needs.
//!
//! # Non-goals
//! Floats are not bit-exact between machines, so nothing here is ever hashed, signed or voted on. No element types
//! but `f32`: positions ([`Primitive::ArgMaximum`]) are floats that hold whole numbers.

mod build;
mod check;
mod function;
mod run;

#[cfg(test)]
mod tests;

pub use self::build::Builder;
pub use self::check::output_shape;
pub use self::function::Function;
pub use self::run::{RunError, run, run_observed};
pub use crate::integer::{Fault, GraphError, ParameterId, ValueId, Window};
use crate::tensor::{Shape, ShapeError};

/// 32-bit floats with a shape; the counts agree.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Shape,
    elements: Vec<f32>,
}

impl Tensor {
    /// Joins elements and shape.
    ///
    /// # Errors
    /// [`ShapeError::Count`] when they do not fit.
    pub fn new(shape: Shape, elements: Vec<f32>) -> Result<Self, ShapeError> {
        match elements.len() == shape.count() {
            true => Ok(Self { shape, elements }),
            false => Err(ShapeError::Count { expected: shape.count(), found: elements.len() }),
        }
    }

    /// Zeros of a shape.
    #[must_use]
    pub fn zeros(shape: Shape) -> Self {
        let elements = vec![0.0; shape.count()];
        Self { shape, elements }
    }

    /// Axis lengths.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Elements, row-major.
    #[must_use]
    pub fn elements(&self) -> &[f32] {
        &self.elements
    }

    /// The elements alone.
    #[must_use]
    pub fn into_elements(self) -> Vec<f32> {
        self.elements
    }
}

/// What an operation computes. Closed on purpose, like [`crate::integer::Primitive`].
#[derive(Clone, Debug, PartialEq)]
pub enum Primitive {
    /// A parameter as a value.
    Constant {
        /// The tensor.
        tensor: ParameterId,
    },
    /// `x · Wᵀ + b` over the last axis: `x` `[…, K]`, `W` `[N, K]`, `b` `[N]`.
    Linear {
        /// Weights.
        weight: ParameterId,
        /// Biases.
        bias: ParameterId,
    },
    /// Cross-correlation as ONNX defines it: `x` `[B, C, spatial…]`, `W` `[O, C/groups, kernel…]`, `b` `[O]`.
    Convolution {
        /// Weights.
        weight: ParameterId,
        /// Biases.
        bias: ParameterId,
        /// Window.
        window: Window,
        /// Channel groups.
        groups: usize,
    },
    /// Product of two values over their last two axes, leading axes broadcast: `[…, M, K] · […, K, N]`.
    MatrixProduct,
    /// Sum of two operands, with broadcasting.
    Add,
    /// Difference of two operands, with broadcasting.
    Subtract,
    /// Product of two operands, with broadcasting.
    Multiply,
    /// Quotient of two operands, with broadcasting.
    Divide,
    /// Larger of two operands, with broadcasting.
    Maximum,
    /// Smaller of two operands, with broadcasting.
    Minimum,
    /// `x·scale + offset` per channel of an axis: a batch normalisation or a scaler that could not be folded.
    Affine {
        /// Axis of the channels.
        axis: usize,
        /// One factor a channel.
        scale: ParameterId,
        /// One summand a channel.
        offset: ParameterId,
    },
    /// A function of each element.
    Unary(Function),
    /// `exp(x) / Σ exp(x)` along an axis.
    Softmax {
        /// Axis.
        axis: usize,
    },
    /// `x − ln Σ exp(x)` along an axis.
    LogSoftmax {
        /// Axis.
        axis: usize,
    },
    /// `(x − mean) / sqrt(variance + epsilon) · scale + offset`, mean and variance over `axis` and all behind it;
    /// `scale` and `offset` have the shape of those axes.
    LayerNormalization {
        /// First normalised axis.
        axis: usize,
        /// Keeps the root away from 0.
        epsilon: f32,
        /// Factors.
        scale: ParameterId,
        /// Summands.
        offset: ParameterId,
    },
    /// Largest element under the window; padding is never the largest.
    PoolMaximum {
        /// Window.
        window: Window,
    },
    /// Sum under the window, padding reading as 0, divided by the number of taps. (An average that leaves padding out
    /// of its divisor is followed by a [`Primitive::Multiply`] with a constant that corrects it.)
    PoolAverage {
        /// Window.
        window: Window,
    },
    /// One number from all elements along axes, which keep length 1.
    Reduce {
        /// Which number.
        reduction: Reduction,
        /// Axes, ascending.
        axes: Vec<usize>,
    },
    /// Position of the first maximum along an axis, which keeps length 1.
    ArgMaximum {
        /// Axis.
        axis: usize,
    },
    /// The same elements under the output's shape.
    Reshape,
    /// Axes in another order: output axis `i` is input axis `permutation[i]`.
    Transpose {
        /// A permutation of the axes.
        permutation: Vec<usize>,
    },
    /// Operands one behind the other along an axis.
    Concatenate {
        /// Axis.
        axis: usize,
    },
    /// Every `steps[i]`-th element from `starts[i]` on, as many as the output's shape says.
    Slice {
        /// First positions, one an axis.
        starts: Vec<usize>,
        /// Steps, one an axis, never 0; negative steps walk down.
        steps: Vec<i64>,
    },
    /// Elements at constant positions along an axis.
    Gather {
        /// Axis.
        axis: usize,
        /// Positions.
        indices: Vec<usize>,
    },
    /// A constant border.
    Pad {
        /// Elements before each axis.
        before: Vec<usize>,
        /// Elements behind each axis.
        after: Vec<usize>,
        /// The border's value.
        value: f32,
    },
    /// Axes of length 1 repeated to the output's shape.
    Broadcast,
    /// Sum over trees of the leaf that each record of `[B, F]` falls into, plus `base`; `[B, outputs]`.
    TreeEnsemble {
        /// Structure.
        trees: Trees,
        /// Leaf values `[leaves, outputs]`.
        leaves: ParameterId,
        /// Added to every record: `[outputs]`.
        base: ParameterId,
    },
}

impl Primitive {
    /// The parameters it reads.
    fn parameters_mut(&mut self) -> Vec<&mut ParameterId> {
        match self {
            Self::Constant { tensor } => vec![tensor],
            Self::Linear { weight, bias } | Self::Convolution { weight, bias, .. } => vec![weight, bias],
            Self::Affine { axis: _, scale, offset } | Self::LayerNormalization { scale, offset, .. } => {
                vec![scale, offset]
            }
            Self::TreeEnsemble { trees: _, leaves, base } => vec![leaves, base],
            Self::MatrixProduct
            | Self::Add
            | Self::Subtract
            | Self::Multiply
            | Self::Divide
            | Self::Maximum
            | Self::Minimum
            | Self::Unary(_)
            | Self::Softmax { .. }
            | Self::LogSoftmax { .. }
            | Self::PoolMaximum { .. }
            | Self::PoolAverage { .. }
            | Self::Reduce { .. }
            | Self::ArgMaximum { .. }
            | Self::Reshape
            | Self::Transpose { .. }
            | Self::Concatenate { .. }
            | Self::Slice { .. }
            | Self::Gather { .. }
            | Self::Pad { .. }
            | Self::Broadcast => Vec::new(),
        }
    }
}

/// What [`Primitive::Reduce`] computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// The sum.
    Sum,
    /// The arithmetic mean.
    Mean,
    /// The largest element.
    Maximum,
}

/// Decision trees over the features of a record, all trees in one list. A tree of one leaf has no node; it belongs
/// to the base.
#[derive(Clone, Debug, PartialEq)]
pub struct Trees {
    /// First node of each tree, then nodes in all: strictly ascending from 0.
    pub roots: Vec<usize>,
    /// Nodes.
    pub nodes: Vec<Branch>,
}

/// One decision: go `left` when `x[feature] <= threshold`, else `right` (also when it is not a number).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Branch {
    /// Position in the record.
    pub feature: usize,
    /// Compared with.
    pub threshold: f32,
    /// Where to go on when not above.
    pub left: Child,
    /// Where to go on when above.
    pub right: Child,
}

/// Where a decision leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Child {
    /// Another node, counted from the first node of all trees, behind its parent and in its tree.
    Node(usize),
    /// A row of the leaf values.
    Leaf(usize),
}

/// One step of the graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// The importing model's node name, for messages; at most [`crate::integer::NAME_MAX`] bytes.
    pub name: String,
    /// What is computed.
    pub primitive: Primitive,
    /// Operands: each an input or an earlier result.
    pub operands: Vec<ValueId>,
    /// Shape of the result.
    pub output: Shape,
}

/// A float graph that passed [`Graph::new`]: operands precede their use, shapes fit, limits hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    inputs: Vec<Shape>,
    operations: Vec<Operation>,
    outputs: Vec<ValueId>,
    parameters: Vec<Tensor>,
}

/// A meaning of the graph: numbers, ranges, or the integer graph being built from it.
pub trait Interpreter {
    /// What stands for a tensor.
    type Value;
    /// Why an operation has no meaning here.
    type Error;

    /// The value of input number `index`.
    ///
    /// # Errors
    /// When the interpreter cannot take this input.
    fn input(&mut self, index: usize, shape: &Shape) -> Result<Self::Value, Self::Error>;

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
        for (index, shape) in self.inputs.iter().enumerate() {
            values.push(Some(interpreter.input(index, shape)?));
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

    /// Shapes of the inputs of one record.
    #[must_use]
    pub fn inputs(&self) -> &[Shape] {
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

    /// One parameter tensor.
    ///
    /// # Panics
    /// When `id` is not a parameter of this graph.
    #[must_use]
    pub fn parameter(&self, id: ParameterId) -> &Tensor {
        &self.parameters[id.0 as usize]
    }

    /// Shape of a value.
    ///
    /// # Panics
    /// When `id` is not a value of this graph.
    #[must_use]
    pub fn shape(&self, id: ValueId) -> &Shape {
        let index = id.0 as usize;
        match index.checked_sub(self.inputs.len()) {
            None => &self.inputs[index],
            Some(operation) => &self.operations[operation].output,
        }
    }

    /// Multiply-adds, or looks at an element, of one run.
    #[must_use]
    pub fn work(&self) -> u64 {
        self.operations.iter().fold(0, |sum, operation| {
            let each = self.work_per_element(operation) as u64;
            sum.saturating_add(each.saturating_mul(operation.output.count() as u64))
        })
    }

    fn work_per_element(&self, operation: &Operation) -> usize {
        let operand = |index: usize| self.shape(operation.operands[index]);
        match &operation.primitive {
            Primitive::Linear { weight, bias: _ } => self.parameter(*weight).shape().axes()[1],
            Primitive::Convolution { weight, .. } => {
                self.parameter(*weight).shape().axes()[1..].iter().product()
            }
            Primitive::MatrixProduct => operand(0).axes().last().copied().unwrap_or(1),
            Primitive::PoolMaximum { window } | Primitive::PoolAverage { window } => {
                window.kernel.iter().fold(1, |taps, &length| taps.saturating_mul(length))
            }
            Primitive::Reduce { .. } | Primitive::ArgMaximum { .. } => {
                operand(0).count() / operation.output.count()
            }
            Primitive::TreeEnsemble { trees, .. } => trees.nodes.len(),
            _ => 1,
        }
    }

    /// For each value the last operation that reads it; `None` for outputs, which live to the end, and for values
    /// that nothing reads.
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

/// A length as a signed number.
pub(crate) fn signed(length: usize) -> i64 {
    i64::try_from(length).expect("lengths of tensors are below 2^32")
}

fn live<V>(values: &[Option<V>], id: ValueId) -> &V {
    values[id.0 as usize].as_ref().expect("a checked graph reads values before their last use")
}
