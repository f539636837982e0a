//! What a valid operation is: operand counts and types, parameter shapes, output stages, limits, and the
//! type of the result. [`Graph::new`] and the [`Builder`](super::Builder) are the two callers.

use super::{Graph, Operation, ParameterId, Primitive, Requantise, ValueId, ValueType, Window};
use crate::tensor::{DType, Data, Shape, ShapeError, Tensor};

/// Most inputs, and most outputs, of a graph.
pub const INPUTS_MAX: usize = 64;
/// Most operations of a graph.
pub const OPERATIONS_MAX: usize = 1 << 16;
/// Most parameter tensors of a graph.
pub const PARAMETERS_MAX: usize = 1 << 16;
/// Most operands of one operation.
pub const OPERANDS_MAX: usize = 1 << 10;
/// Most entries of one lookup table: one for each 16-bit operand.
pub const TABLE_MAX: usize = 1 << 16;
/// Most bytes of an operation's name.
pub const NAME_MAX: usize = 256;
/// Largest kernel length, stride, dilation or padding of a window.
pub const WINDOW_MAX: usize = 1 << 15;
/// Most taps of a window: the product of its kernel lengths.
pub const TAPS_MAX: usize = 1 << 20;
/// Largest magnitude of an [`Primitive::Add`] multiplier: with it the sum and its rounding fit 64 bits.
pub const ADD_MULTIPLIER_MAX: i32 = 1 << 30;
/// Largest right shift of a [`Requantise`].
pub const SHIFT_MAX: u8 = 62;

/// Why a graph is not valid.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum GraphError {
    /// An operation is wrong in itself or does not fit its operands.
    #[error("operation {index} ({name}): {fault}")]
    Operation {
        /// Position of the operation.
        index: usize,
        /// Name of the operation.
        name: String,
        /// What is wrong.
        fault: Fault,
    },
    /// An input has no elements.
    #[error("input {0} has no elements")]
    EmptyInput(usize),
    /// An output names no value.
    #[error("output {index} names value {value}, which does not exist")]
    UnknownOutput {
        /// Position among the outputs.
        index: usize,
        /// Value named.
        value: u32,
    },
    /// More of something than a graph may have, or none where one is needed.
    #[error("{found} {what} where 1 to {limit} are allowed")]
    Count {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
}

impl GraphError {
    /// The code under which docs/reference/errors/graph.md explains this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Count { .. } => "E-RES-31",
            Self::Operation { .. } | Self::EmptyInput(_) | Self::UnknownOutput { .. } => "E-IMP-51",
        }
    }
}

/// What is wrong with one operation.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Fault {
    /// The wrong number of operands.
    #[error("{found} operands where {expected} are needed")]
    Operands {
        /// Operands needed.
        expected: usize,
        /// Operands given.
        found: usize,
    },
    /// An operand that is neither an input nor an earlier result.
    #[error("value {0} is neither an input nor an earlier result")]
    UnknownOperand(u32),
    /// An operand of a type that the primitive does not take.
    #[error("operand {index} has the wrong element type or shape: {why}")]
    Operand {
        /// Position of the operand.
        index: usize,
        /// What was expected.
        why: &'static str,
    },
    /// A parameter that does not exist or does not fit.
    #[error("parameter {id}: {why}")]
    Parameter {
        /// The parameter.
        id: u32,
        /// What was expected.
        why: &'static str,
    },
    /// An output stage outside its bounds.
    #[error("requantise: {0}")]
    Requantise(&'static str),
    /// A window that does not fit its operand or the limits.
    #[error("window: {0}")]
    Window(&'static str),
    /// An attribute that does not fit the operand.
    #[error("{0}")]
    Attribute(&'static str),
    /// Shapes that do not broadcast.
    #[error("shapes do not broadcast")]
    Broadcast,
    /// The primitive needs to be told the output's shape.
    #[error("the output's shape must be stated")]
    ShapeMissing,
    /// The output's shape exceeds the limits.
    #[error("output: {0}")]
    Shape(#[from] ShapeError),
    /// The output has no elements.
    #[error("the output has no elements")]
    Empty,
    /// The stated type is not what the operation yields.
    #[error("the stated output type is not what the operation yields")]
    Output,
    /// The name is too long.
    #[error("a name may have {NAME_MAX} bytes")]
    Name,
}

impl Graph {
    /// A graph that is known to be valid: counts within the limits, operands before their use, types and
    /// parameter shapes that fit, output stages within bounds, trees that end.
    ///
    /// # Errors
    /// The first thing found wrong.
    pub fn new(
        inputs: Vec<ValueType>,
        operations: Vec<Operation>,
        outputs: Vec<ValueId>,
        parameters: Vec<Tensor>,
    ) -> Result<Self, GraphError> {
        count("inputs", inputs.len(), 1, INPUTS_MAX)?;
        count("operations", operations.len(), 1, OPERATIONS_MAX)?;
        count("outputs", outputs.len(), 1, INPUTS_MAX)?;
        count("parameters", parameters.len(), 0, PARAMETERS_MAX)?;
        if let Some(index) = inputs.iter().position(|input| input.shape.count() == 0) {
            return Err(GraphError::EmptyInput(index));
        }
        let graph = Self { inputs, operations, outputs, parameters };
        for (index, operation) in graph.operations.iter().enumerate() {
            graph.check_operation(index, operation).map_err(|fault| GraphError::Operation {
                index,
                name: operation.name.clone(),
                fault,
            })?;
        }
        let values = graph.inputs.len() + graph.operations.len();
        for (index, id) in graph.outputs.iter().enumerate() {
            if id.0 as usize >= values {
                return Err(GraphError::UnknownOutput { index, value: id.0 });
            }
        }
        Ok(graph)
    }

    fn check_operation(&self, index: usize, operation: &Operation) -> Result<(), Fault> {
        if operation.name.len() > NAME_MAX {
            return Err(Fault::Name);
        }
        let known = self.inputs.len() + index;
        if let Some(unknown) = operation.operands.iter().find(|id| id.0 as usize >= known) {
            return Err(Fault::UnknownOperand(unknown.0));
        }
        let operands: Vec<&ValueType> = operation.operands.iter().map(|id| self.value_type(*id)).collect();
        let shape = Some(&operation.output.shape);
        match output_type(&operation.primitive, &operands, &self.parameters, shape)? {
            found if found == operation.output => Ok(()),
            _ => Err(Fault::Output),
        }
    }
}

/// The type of an operation's result. `shape` states the result's shape where the primitive does not
/// determine it ([`Primitive::Reshape`], [`Primitive::Broadcast`], [`Primitive::Slice`]); elsewhere it is
/// not looked at.
///
/// # Errors
/// [`Fault`] when the operation is not valid on these operands.
pub fn output_type(
    primitive: &Primitive,
    operands: &[&ValueType],
    parameters: &[Tensor],
    shape: Option<&Shape>,
) -> Result<ValueType, Fault> {
    let context = Context { operands, parameters, stated: shape };
    let result = context.output_type(primitive)?;
    match result.shape.count() {
        0 => Err(Fault::Empty),
        _ => Ok(result),
    }
}

struct Context<'a> {
    operands: &'a [&'a ValueType],
    parameters: &'a [Tensor],
    stated: Option<&'a Shape>,
}

impl Context<'_> {
    fn output_type(&self, primitive: &Primitive) -> Result<ValueType, Fault> {
        match primitive {
            Primitive::Constant { tensor } => self.constant(*tensor),
            Primitive::Linear { weight, bias, requantise } => self.linear(*weight, *bias, requantise),
            Primitive::Convolution { weight, bias, window, groups, requantise } => {
                self.convolution(*weight, *bias, window, *groups, requantise)
            }
            Primitive::MatrixProduct { requantise } => self.matrix_product(requantise),
            Primitive::Add { left, right, requantise } => self.add(*left, *right, requantise),
            Primitive::Multiply { requantise } => {
                check_requantise(requantise, 1)?;
                let (a, b) = self.two()?;
                typed(requantise.output, broadcast(&a.shape, &b.shape)?)
            }
            Primitive::Rescale { requantise } => self.rescale(requantise),
            Primitive::Lookup { first, table, output } => self.lookup(*first, table, *output),
            Primitive::PoolMaximum { window } => {
                let x = self.one()?;
                typed(x.dtype, pooled(&x.shape, window)?)
            }
            Primitive::PoolSum { window, requantise } => {
                check_requantise(requantise, 1)?;
                typed(requantise.output, pooled(&self.one()?.shape, window)?)
            }
            Primitive::ReduceSum { axes, requantise } => {
                check_requantise(requantise, 1)?;
                typed(requantise.output, reduced(&self.one()?.shape, axes)?)
            }
            Primitive::ReduceMaximum { axes } => {
                let x = self.one()?;
                typed(x.dtype, reduced(&x.shape, axes)?)
            }
            Primitive::ArgMaximum { axis } => {
                typed(DType::I32, reduced(&self.one()?.shape, std::slice::from_ref(axis))?)
            }
            Primitive::Reciprocal { bits } => self.reciprocal(*bits, 30),
            Primitive::ReciprocalSquareRoot { bits } => self.reciprocal(*bits, 60),
            Primitive::Reshape => self.reshape(),
            Primitive::Transpose { permutation } => self.transpose(permutation),
            Primitive::Concatenate { axis } => self.concatenate(*axis),
            Primitive::Slice { starts, steps } => self.slice(starts, steps),
            Primitive::Gather { axis, indices } => self.gather(*axis, indices),
            Primitive::Pad { before, after, value } => self.pad(before, after, *value),
            Primitive::Broadcast => self.broadcast(),
            Primitive::Maximum | Primitive::Minimum => {
                let (a, b) = self.two()?;
                if a.dtype != b.dtype {
                    return Err(Fault::Operand { index: 1, why: "both operands have one element type" });
                }
                typed(a.dtype, broadcast(&a.shape, &b.shape)?)
            }
            Primitive::TreeEnsemble { roots, nodes, leaves, base, requantise } => {
                self.tree_ensemble([*roots, *nodes, *leaves, *base], requantise)
            }
        }
    }

    fn one(&self) -> Result<&ValueType, Fault> {
        match self.operands {
            [x] => Ok(x),
            _ => Err(Fault::Operands { expected: 1, found: self.operands.len() }),
        }
    }

    fn two(&self) -> Result<(&ValueType, &ValueType), Fault> {
        match self.operands {
            [a, b] => Ok((a, b)),
            _ => Err(Fault::Operands { expected: 2, found: self.operands.len() }),
        }
    }

    fn stated(&self) -> Result<&Shape, Fault> {
        self.stated.ok_or(Fault::ShapeMissing)
    }

    fn parameter(&self, id: ParameterId, dtype: DType) -> Result<&Tensor, Fault> {
        let why = match self.parameters.get(id.0 as usize) {
            None => "does not exist",
            Some(tensor) if tensor.dtype() != dtype => "has the wrong element type",
            Some(tensor) => return Ok(tensor),
        };
        Err(Fault::Parameter { id: id.0, why })
    }

    fn constant(&self, id: ParameterId) -> Result<ValueType, Fault> {
        if !self.operands.is_empty() {
            return Err(Fault::Operands { expected: 0, found: self.operands.len() });
        }
        let tensor =
            self.parameters.get(id.0 as usize).ok_or(Fault::Parameter { id: id.0, why: "does not exist" })?;
        typed(tensor.dtype(), tensor.shape().clone())
    }

    fn linear(&self, weight: ParameterId, bias: ParameterId, stage: &Requantise) -> Result<ValueType, Fault> {
        let x = self.one()?;
        narrow(x, 0)?;
        let [channels, depth] = *self.parameter(weight, DType::I8)?.shape().axes() else {
            return Err(Fault::Parameter { id: weight.0, why: "a weight has two axes" });
        };
        self.check_bias(bias, channels)?;
        check_requantise(stage, channels)?;
        let mut axes = x.shape.axes().to_vec();
        match axes.last_mut() {
            Some(last) if *last == depth => *last = channels,
            _ => return Err(Fault::Operand { index: 0, why: "the last axis is the weight's last" }),
        }
        typed(stage.output, Shape::new(&axes)?)
    }

    fn check_bias(&self, bias: ParameterId, channels: usize) -> Result<(), Fault> {
        if self.parameter(bias, DType::I32)?.shape().axes() != [channels] {
            return Err(Fault::Parameter { id: bias.0, why: "one element per output channel" });
        }
        Ok(())
    }

    fn convolution(
        &self,
        weight: ParameterId,
        bias: ParameterId,
        window: &Window,
        groups: usize,
        stage: &Requantise,
    ) -> Result<ValueType, Fault> {
        let x = self.one()?;
        if x.dtype != DType::I8 {
            return Err(Fault::Operand { index: 0, why: "int8" });
        }
        let spatial = spatial_lengths(&x.shape, window)?;
        let weights = self.parameter(weight, DType::I8)?.shape().axes();
        if weights.len() != x.shape.rank() || weights[2..] != window.kernel[..] {
            return Err(Fault::Parameter { id: weight.0, why: "[O, C/groups, kernel…]" });
        }
        let (channels, inputs) = (weights[0], x.shape.axes()[1]);
        if groups == 0 || channels % groups != 0 || weights[1].checked_mul(groups) != Some(inputs) {
            return Err(Fault::Attribute("groups divide input and output channels"));
        }
        self.check_bias(bias, channels)?;
        check_requantise(stage, channels)?;
        typed(stage.output, Shape::new(&[&[1, channels], spatial.as_slice()].concat())?)
    }

    fn matrix_product(&self, stage: &Requantise) -> Result<ValueType, Fault> {
        check_requantise(stage, 1)?;
        let (a, b) = self.two()?;
        narrow(a, 0)?;
        narrow(b, 1)?;
        let (Some((a_lead, &[m, k])), Some((b_lead, &[depth, n]))) =
            (a.shape.axes().split_last_chunk::<2>(), b.shape.axes().split_last_chunk::<2>())
        else {
            return Err(Fault::Operand { index: 0, why: "at least two axes" });
        };
        if k != depth {
            return Err(Fault::Operand { index: 1, why: "[…, M, K] · […, K, N]" });
        }
        let lead = broadcast(&Shape::new(a_lead)?, &Shape::new(b_lead)?)?;
        typed(stage.output, Shape::new(&[lead.axes(), &[m, n]].concat())?)
    }

    fn add(&self, left: i32, right: i32, stage: &Requantise) -> Result<ValueType, Fault> {
        let allowed = -ADD_MULTIPLIER_MAX..=ADD_MULTIPLIER_MAX;
        if !allowed.contains(&left) || !allowed.contains(&right) {
            return Err(Fault::Attribute("multipliers of a sum lie within -2^30 and 2^30"));
        }
        check_requantise(stage, 1)?;
        if stage.multipliers != [1] {
            return Err(Fault::Requantise("a sum is scaled by its own multipliers: m = 1"));
        }
        let (a, b) = self.two()?;
        typed(stage.output, broadcast(&a.shape, &b.shape)?)
    }

    fn rescale(&self, stage: &Requantise) -> Result<ValueType, Fault> {
        let x = self.one()?;
        check_requantise(stage, x.shape.axes().get(1).copied().unwrap_or(1))?;
        typed(stage.output, x.shape.clone())
    }

    fn lookup(&self, first: i32, table: &[i32], output: DType) -> Result<ValueType, Fault> {
        let x = self.one()?;
        if table.is_empty() || table.len() > TABLE_MAX {
            return Err(Fault::Attribute("a table has 1 to 65,536 entries"));
        }
        let steps = i32::try_from(table.len() - 1).expect("at most 65,535");
        if first.checked_add(steps).is_none() {
            return Err(Fault::Attribute("a table ends within int32"));
        }
        let (low, high) = output.bounds();
        if table.iter().any(|entry| !(low..=high).contains(entry)) {
            return Err(Fault::Attribute("table entries lie within the output type"));
        }
        typed(output, x.shape.clone())
    }

    fn reciprocal(&self, bits: u8, limit: u8) -> Result<ValueType, Fault> {
        let x = self.one()?;
        if bits > limit {
            return Err(Fault::Attribute("the numerator has too many bits"));
        }
        typed(DType::I32, x.shape.clone())
    }

    fn reshape(&self) -> Result<ValueType, Fault> {
        let (x, shape) = (self.one()?, self.stated()?);
        if shape.count() != x.shape.count() {
            return Err(Fault::Attribute("a reshape keeps the number of elements"));
        }
        typed(x.dtype, shape.clone())
    }

    fn transpose(&self, permutation: &[usize]) -> Result<ValueType, Fault> {
        let x = self.one()?;
        let mut sorted = permutation.to_vec();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..x.shape.rank()) {
            return Err(Fault::Attribute("a transpose names each axis once"));
        }
        let axes: Vec<usize> = permutation.iter().map(|&axis| x.shape.axes()[axis]).collect();
        typed(x.dtype, Shape::new(&axes)?)
    }

    fn concatenate(&self, axis: usize) -> Result<ValueType, Fault> {
        let (first, rest) = self.operands.split_first().ok_or(Fault::Operands { expected: 1, found: 0 })?;
        if self.operands.len() > OPERANDS_MAX {
            return Err(Fault::Operands { expected: OPERANDS_MAX, found: self.operands.len() });
        }
        let mut axes = first.shape.axes().to_vec();
        if axis >= axes.len() {
            return Err(Fault::Attribute("the axis exists"));
        }
        for (index, operand) in rest.iter().enumerate() {
            let other = operand.shape.axes();
            let fits = operand.dtype == first.dtype
                && other.len() == axes.len()
                && other.iter().zip(&axes).enumerate().all(|(at, (a, b))| at == axis || a == b);
            if !fits {
                return Err(Fault::Operand { index: index + 1, why: "equal but for the axis" });
            }
            axes[axis] += other[axis];
        }
        typed(first.dtype, Shape::new(&axes)?)
    }

    fn slice(&self, starts: &[usize], steps: &[i64]) -> Result<ValueType, Fault> {
        let (x, shape) = (self.one()?, self.stated()?);
        let rank = x.shape.rank();
        if starts.len() != rank || steps.len() != rank || shape.rank() != rank {
            return Err(Fault::Attribute("a slice has one start, step and length per axis"));
        }
        for axis in 0..rank {
            let (length, taken) = (x.shape.axes()[axis], shape.axes()[axis]);
            let inside = |at: i128| (0..length as i128).contains(&at);
            let (start, step) = (starts[axis] as i128, i128::from(steps[axis]));
            let last = start + (taken as i128 - 1) * step;
            if step == 0 || taken == 0 || !inside(start) || !inside(last) {
                return Err(Fault::Attribute("a slice lies within its operand"));
            }
        }
        typed(x.dtype, shape.clone())
    }

    fn gather(&self, axis: usize, indices: &[usize]) -> Result<ValueType, Fault> {
        let x = self.one()?;
        let mut axes = x.shape.axes().to_vec();
        let length = *axes.get(axis).ok_or(Fault::Attribute("the axis exists"))?;
        if indices.iter().any(|&index| index >= length) {
            return Err(Fault::Attribute("gathered positions lie within the axis"));
        }
        axes[axis] = indices.len();
        typed(x.dtype, Shape::new(&axes)?)
    }

    fn pad(&self, before: &[usize], after: &[usize], value: i32) -> Result<ValueType, Fault> {
        let x = self.one()?;
        let rank = x.shape.rank();
        if before.len() != rank || after.len() != rank {
            return Err(Fault::Attribute("a border has two widths per axis"));
        }
        let (low, high) = x.dtype.bounds();
        if !(low..=high).contains(&value) {
            return Err(Fault::Attribute("the border's value lies within the element type"));
        }
        let lengths = x.shape.axes().iter().zip(before).zip(after);
        let axes: Option<Vec<usize>> =
            lengths.map(|((length, b), a)| length.checked_add(*b)?.checked_add(*a)).collect();
        typed(x.dtype, Shape::new(&axes.ok_or(ShapeError::Elements)?)?)
    }

    fn broadcast(&self) -> Result<ValueType, Fault> {
        let (x, shape) = (self.one()?, self.stated()?);
        if broadcast(&x.shape, shape)? != *shape {
            return Err(Fault::Broadcast);
        }
        typed(x.dtype, shape.clone())
    }

    fn tree_ensemble(&self, ids: [ParameterId; 4], stage: &Requantise) -> Result<ValueType, Fault> {
        check_requantise(stage, 1)?;
        let x = self.one()?;
        let [1, features] = *x.shape.axes() else {
            return Err(Fault::Operand { index: 0, why: "[1, F]" });
        };
        let [roots, nodes, leaves, base] = ids;
        let &[outputs] = self.parameter(base, DType::I32)?.shape().axes() else {
            return Err(Fault::Parameter { id: base.0, why: "[outputs]" });
        };
        let leaf_count = match *self.parameter(leaves, DType::I32)?.shape().axes() {
            [count, width] if width == outputs => count,
            _ => return Err(Fault::Parameter { id: leaves.0, why: "[leaves, outputs]" }),
        };
        let node_tensor = self.parameter(nodes, DType::I32)?;
        let (Data::I32(node_data), &[node_count, 4]) = (node_tensor.data(), node_tensor.shape().axes())
        else {
            return Err(Fault::Parameter { id: nodes.0, why: "[nodes, 4]" });
        };
        let root_tensor = self.parameter(roots, DType::I32)?;
        let (Data::I32(bounds), 1) = (root_tensor.data(), root_tensor.shape().rank()) else {
            return Err(Fault::Parameter { id: roots.0, why: "[trees + 1]" });
        };
        check_roots(bounds, node_count).map_err(|why| Fault::Parameter { id: roots.0, why })?;
        check_trees(bounds, node_data, features, leaf_count)
            .map_err(|why| Fault::Parameter { id: nodes.0, why })?;
        typed(stage.output, Shape::new(&[1, outputs])?)
    }
}

fn check_roots(bounds: &[i32], nodes: usize) -> Result<(), &'static str> {
    let (Some(&first), Some(&last)) = (bounds.first(), bounds.last()) else {
        return Err("ends with the number of nodes");
    };
    if first != 0 || usize::try_from(last) != Ok(nodes) {
        return Err("begins with 0 and ends with the number of nodes");
    }
    match bounds.windows(2).all(|pair| pair[0] < pair[1]) {
        true => Ok(()),
        false => Err("every tree has a node"),
    }
}

/// Children lie behind their parent and inside its tree, so every walk ends.
fn check_trees(bounds: &[i32], nodes: &[i32], features: usize, leaves: usize) -> Result<(), &'static str> {
    for tree in bounds.windows(2) {
        for at in tree[0]..tree[1] {
            let row = usize::try_from(at).expect("roots ascend from 0") * 4;
            let (feature, children) = (nodes[row], &nodes[row + 2..row + 4]);
            if usize::try_from(feature).map_or(true, |feature| feature >= features) {
                return Err("a node reads a feature that does not exist");
            }
            for &child in children {
                let leaf_exists = usize::try_from(-1 - i64::from(child)).is_ok_and(|leaf| leaf < leaves);
                let follows = child > at && child < tree[1];
                if !leaf_exists && !follows {
                    return Err("a child is a leaf or lies behind its parent in the same tree");
                }
            }
        }
    }
    Ok(())
}

/// The output stage alone: entries for one or `channels` channels, everything within bounds.
fn check_requantise(stage: &Requantise, channels: usize) -> Result<(), Fault> {
    let entries = stage.multipliers.len();
    if entries != stage.shifts.len() || (entries != 1 && entries != channels) {
        return Err(Fault::Requantise("one entry, or one per channel"));
    }
    if stage.multipliers.iter().any(|&m| m < 0) {
        return Err(Fault::Requantise("multipliers are not negative"));
    }
    if stage.shifts.iter().any(|&s| s > SHIFT_MAX) {
        return Err(Fault::Requantise("shifts are at most 62"));
    }
    let (low, high) = stage.output.bounds();
    if stage.low > stage.high || stage.low < low || stage.high > high {
        return Err(Fault::Requantise("low <= high, both within the output type"));
    }
    Ok(())
}

fn typed(dtype: DType, shape: Shape) -> Result<ValueType, Fault> {
    Ok(ValueType { dtype, shape })
}

fn count(what: &'static str, found: usize, least: usize, limit: usize) -> Result<(), GraphError> {
    match (least..=limit).contains(&found) {
        true => Ok(()),
        false => Err(GraphError::Count { what, found, limit }),
    }
}

fn narrow(value: &ValueType, index: usize) -> Result<(), Fault> {
    match value.dtype {
        DType::I8 | DType::I16 => Ok(()),
        DType::I32 => Err(Fault::Operand { index, why: "int8 or int16" }),
    }
}

/// The common shape of two operands: axes are aligned at the end; equal, or one of them 1.
///
/// # Errors
/// [`Fault::Broadcast`] when there is none.
pub fn broadcast(a: &Shape, b: &Shape) -> Result<Shape, Fault> {
    let rank = a.rank().max(b.rank());
    let axis_of = |shape: &Shape, axis: usize| match (axis + shape.rank()).checked_sub(rank) {
        None => 1,
        Some(own) => shape.axes()[own],
    };
    let axes: Option<Vec<usize>> = (0..rank)
        .map(|axis| match (axis_of(a, axis), axis_of(b, axis)) {
            (x, y) if x == y => Some(x),
            (1, y) => Some(y),
            (x, 1) => Some(x),
            _ => None,
        })
        .collect();
    Ok(Shape::new(&axes.ok_or(Fault::Broadcast)?)?)
}

fn reduced(shape: &Shape, axes: &[usize]) -> Result<Shape, Fault> {
    let ascending = axes.windows(2).all(|pair| pair[0] < pair[1]);
    if !ascending || axes.iter().any(|&axis| axis >= shape.rank()) {
        return Err(Fault::Attribute("reduced axes exist and ascend"));
    }
    let mut lengths = shape.axes().to_vec();
    for &axis in axes {
        lengths[axis] = 1;
    }
    Ok(Shape::new(&lengths)?)
}

fn pooled(shape: &Shape, window: &Window) -> Result<Shape, Fault> {
    let spatial = spatial_lengths(shape, window)?;
    Ok(Shape::new(&[&shape.axes()[..2], spatial.as_slice()].concat())?)
}

/// Output lengths of a window's spatial axes over `[1, C, spatial…]`:
/// `floor((length + before + after − (dilation·(kernel − 1) + 1)) / stride) + 1`.
fn spatial_lengths(shape: &Shape, window: &Window) -> Result<Vec<usize>, Fault> {
    let Some((&[1, _], spatial)) = shape.axes().split_first_chunk::<2>() else {
        return Err(Fault::Operand { index: 0, why: "[1, C, spatial…]" });
    };
    let lists = [&window.kernel, &window.strides, &window.dilations, &window.pads_before, &window.pads_after];
    if spatial.is_empty() || lists.iter().any(|list| list.len() != spatial.len()) {
        return Err(Fault::Window("one entry per spatial axis"));
    }
    if lists.iter().any(|list| list.iter().any(|&entry| entry > WINDOW_MAX)) {
        return Err(Fault::Window("an entry exceeds 32,768"));
    }
    if lists[..3].iter().any(|list| list.contains(&0)) {
        return Err(Fault::Window("kernel, strides and dilations are at least 1"));
    }
    let taps = window.kernel.iter().try_fold(1usize, |taps, &length| taps.checked_mul(length));
    if taps.is_none_or(|taps| taps > TAPS_MAX) {
        return Err(Fault::Window("more than 2^20 taps"));
    }
    (0..spatial.len())
        .map(|axis| {
            let reach = window.dilations[axis] * (window.kernel[axis] - 1) + 1;
            if window.pads_before[axis] >= reach || window.pads_after[axis] >= reach + window.strides[axis] {
                return Err(Fault::Window("padding reaches beyond the window"));
            }
            let padded = spatial[axis] + window.pads_before[axis] + window.pads_after[axis];
            let free = padded.checked_sub(reach).ok_or(Fault::Window("longer than the padded operand"))?;
            Ok(free / window.strides[axis] + 1)
        })
        .collect()
}
