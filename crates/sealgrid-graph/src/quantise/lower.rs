//! The float graph as integer operations: an interpreter of the float graph whose values are integer values with their
//! real meaning.

use super::QuantiseError;
use super::emit::{Emitter, Form, Quantity, Real, magnitude};
use super::fixed::integer;
use super::plan::{Plan, clip_bounds};
use super::statistics::{Clipping, Observed, Statistics};
use super::trees;
use crate::float::{self, Function, Interpreter, Operation, Primitive, Reduction, Tensor, ValueId};
use crate::integer;
use crate::tensor::{DType, Shape};

/// How much larger than in calibration an int16 value may become before it saturates.
const HEADROOM: f64 = 2.0;
/// The same for inputs, whose units are least known.
const INPUT_HEADROOM: f64 = 4.0;
/// Entries of a table whose results are int8, or int16 inside a network, or a result of the model.
const ENTRIES: [usize; 3] = [1 << 12, 1 << 14, 1 << 16];
/// Exponentials below `exp(−16)` are 0 in 16 bits.
const EXP_RANGE: f64 = 16.0;
/// Greatest int16.
const TOP: i32 = i16::MAX as i32;

/// What stands for a float value.
#[derive(Clone, Debug)]
pub enum Lowered {
    /// Inside a chain that the input encoding takes over: nothing reads it.
    Folded,
    /// Known at import.
    Known(Tensor),
    /// An integer value.
    Quantity(Quantity),
    /// An encoded input whose elements have steps of their own; only trees read it.
    Features {
        /// The integer value.
        id: integer::ValueId,
        /// What 0 means, per element.
        offsets: Vec<f64>,
        /// What one more means, per element.
        steps: Vec<f64>,
    },
}

/// Encoding of one input: element `i` means `offsets[i] + steps[i]·q`.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoding {
    /// Element type.
    pub dtype: DType,
    /// One per element.
    pub offsets: Vec<f64>,
    /// One per element.
    pub steps: Vec<f64>,
}

/// Everything the lowering knows.
pub struct Lowering<'a> {
    pub graph: &'a float::Graph,
    pub plan: &'a Plan,
    pub observed: &'a Observed,
    pub clipping: Clipping,
    pub emitter: Emitter,
    /// By input, each encoding with the quantity that it yields.
    pub inputs: Vec<Lowered>,
    /// What has no integer counterpart, so far.
    pub problems: Vec<QuantiseError>,
}

type Lower<T> = Result<T, QuantiseError>;

/// The encodings of all inputs: raw units on the outside, one step for all elements (or, before trees, one step each)
/// on the inside.
pub fn encodings(
    graph: &float::Graph,
    plan: &Plan,
    observed: &Observed,
    clipping: Clipping,
) -> Vec<Encoding> {
    let encode = |input: &super::plan::EncodedInput| {
        let dtype = if input.only_trees { DType::I16 } else { plan.dtypes[input.value.0 as usize] };
        if input.only_trees {
            return trees::encoding(graph, input);
        }
        let statistics = observed.of(input.value);
        let filling = statistics.filling(clipping, dtype, f64::NEG_INFINITY, f64::INFINITY);
        let headroom = if dtype == DType::I8 { 1.0 } else { INPUT_HEADROOM };
        let step = Form::filled(filling * headroom, dtype).step;
        Encoding {
            dtype,
            // value = factor·x + summand, and value = step·q.
            offsets: input.factors.iter().zip(&input.summands).map(|(f, s)| -s / f).collect(),
            steps: input.factors.iter().map(|factor| step / factor).collect(),
        }
    };
    plan.inputs.iter().map(encode).collect()
}

impl Interpreter for Lowering<'_> {
    type Value = Lowered;
    type Error = QuantiseError;

    fn input(&mut self, index: usize, _: &Shape) -> Lower<Lowered> {
        let own = self.plan.inputs[index].value.0 as usize == index;
        Ok(if own { self.inputs[index].clone() } else { Lowered::Folded })
    }

    fn operation(
        &mut self,
        index: usize,
        operation: &Operation,
        operands: &[&Lowered],
        parameters: &[Tensor],
    ) -> Lower<Lowered> {
        match self.lowered(index, operation, operands, parameters) {
            Ok(lowered) => Ok(lowered),
            Err(problem) => {
                self.problems.push(problem);
                self.stand_in(operation)
            }
        }
    }
}

impl Lowering<'_> {
    /// Something of the right shape in place of what could not be lowered, so that the walk finds the other problems.
    fn stand_in(&mut self, operation: &Operation) -> Lower<Lowered> {
        let elements = vec![1.0; operation.output.count()];
        let real = Real { axes: operation.output.axes(), elements: &elements };
        Ok(Lowered::Quantity(self.emitter.constant(real, DType::I16)?))
    }

    fn lowered(
        &mut self,
        index: usize,
        operation: &Operation,
        operands: &[&Lowered],
        parameters: &[Tensor],
    ) -> Lower<Lowered> {
        self.emitter.name(&operation.name);
        let value = self.value_of(index);
        if self.plan.folded[index] {
            let encoded = self.plan.inputs.iter().position(|input| input.value == value);
            return match encoded {
                Some(input) if operation.output.axes() != self.graph.inputs()[input].axes() => {
                    self.reshaped_input(input, operation.output.axes())
                }
                Some(input) => Ok(self.inputs[input].clone()),
                None => Ok(Lowered::Folded),
            };
        }
        if let Primitive::Constant { tensor } = &operation.primitive {
            return Ok(Lowered::Known(parameters[tensor.0 as usize].clone()));
        }
        let step = Step { lowering: self, index, operation, operands, parameters };
        step.lower()
    }

    fn value_of(&self, operation: usize) -> ValueId {
        ValueId(u32::try_from(self.graph.inputs().len() + operation).expect("few values"))
    }

    fn reshaped_input(&mut self, input: usize, axes: &[usize]) -> Lower<Lowered> {
        Ok(match self.inputs[input].clone() {
            Lowered::Quantity(x) => {
                Lowered::Quantity(self.emitter.moved(integer::Primitive::Reshape, x, axes)?)
            }
            Lowered::Features { id, offsets, steps } => {
                let moved =
                    self.emitter.moved(integer::Primitive::Reshape, Quantity { id, step: 1.0 }, axes)?;
                Lowered::Features { id: moved.id, offsets, steps }
            }
            other => other,
        })
    }
}

struct Step<'l, 'a, 'o> {
    lowering: &'l mut Lowering<'a>,
    index: usize,
    operation: &'o Operation,
    operands: &'o [&'o Lowered],
    parameters: &'o [Tensor],
}

impl Step<'_, '_, '_> {
    fn lower(mut self) -> Lower<Lowered> {
        let quantity = match &self.operation.primitive {
            Primitive::Constant { .. } => unreachable!("constants are lowered before"),
            Primitive::Linear { weight, bias } => self.linear(*weight, *bias)?,
            Primitive::Convolution { weight, bias, window, groups } => {
                self.convolution(*weight, *bias, window.clone(), *groups)?
            }
            Primitive::MatrixProduct => self.matrix_product()?,
            Primitive::Add => self.sum(1.0)?,
            Primitive::Subtract => self.sum(-1.0)?,
            Primitive::Multiply => self.product()?,
            Primitive::Divide => self.quotient()?,
            Primitive::Maximum => self.extremum(integer::Primitive::Maximum)?,
            Primitive::Minimum => self.extremum(integer::Primitive::Minimum)?,
            Primitive::Affine { axis, scale, offset } => self.affine(*axis, *scale, *offset)?,
            Primitive::Unary(function) => self.unary(*function)?,
            Primitive::Softmax { axis } => self.softmax(*axis)?,
            Primitive::LogSoftmax { axis } => self.log_softmax(*axis)?,
            Primitive::LayerNormalization { axis, epsilon, scale, offset } => {
                self.layer_normalization(*axis, f64::from(*epsilon), [*scale, *offset])?
            }
            Primitive::PoolMaximum { window } => {
                let x = self.quantity(0)?;
                self.emitter().kept(integer::Primitive::PoolMaximum { window: window.clone() }, x)?
            }
            Primitive::PoolAverage { window } => {
                let (x, taps) = (self.narrow(0)?, window.kernel.iter().product::<usize>());
                let form = self.form();
                self.emitter().pooled_sum(x, window.clone(), 1.0 / taps as f64, form)?
            }
            Primitive::Reduce { reduction, axes } => self.reduce(*reduction, axes)?,
            Primitive::ArgMaximum { axis } => {
                let x = self.quantity(0)?;
                self.emitter().arg_maximum(x, *axis)?
            }
            Primitive::Reshape => self.moved(integer::Primitive::Reshape)?,
            Primitive::Broadcast => self.moved(integer::Primitive::Broadcast)?,
            Primitive::Slice { starts, steps } => {
                self.moved(integer::Primitive::Slice { starts: starts.clone(), steps: steps.clone() })?
            }
            Primitive::Transpose { permutation } => {
                let x = self.quantity(0)?;
                self.emitter().kept(integer::Primitive::Transpose { permutation: permutation.clone() }, x)?
            }
            Primitive::Gather { axis, indices } => {
                let x = self.quantity(0)?;
                let gather = integer::Primitive::Gather { axis: *axis, indices: indices.clone() };
                self.emitter().kept(gather, x)?
            }
            Primitive::Pad { before, after, value } => {
                let x = self.quantity(0)?;
                let value = integer(f64::from(*value), x.step, self.emitter().dtype(x).bounds());
                let (before, after) = (before.clone(), after.clone());
                self.emitter().kept(integer::Primitive::Pad { before, after, value }, x)?
            }
            Primitive::Concatenate { axis } => self.concatenate(*axis)?,
            Primitive::TreeEnsemble { trees, leaves, base } => self.trees(trees, *leaves, *base)?,
        };
        Ok(Lowered::Quantity(quantity))
    }

    fn emitter(&mut self) -> &mut Emitter {
        &mut self.lowering.emitter
    }

    fn parameter(&self, id: float::ParameterId) -> (Vec<usize>, Vec<f64>) {
        let tensor = &self.parameters[id.0 as usize];
        (tensor.shape().axes().to_vec(), tensor.elements().iter().map(|&x| x.into()).collect())
    }

    fn statistics(&self, operand: usize) -> &Statistics {
        self.lowering.observed.of(self.operation.operands[operand])
    }

    fn refuse(&self, why: &'static str) -> QuantiseError {
        QuantiseError::Unsupported { node: self.operation.name.clone(), why }
    }

    /// The form of this operation's result: of the value it yields, with the bounds it takes over.
    fn form(&self) -> Form {
        let yielded = self.lowering.plan.yields[self.index];
        let (low, high) = match yielded == self.index {
            true => (f64::NEG_INFINITY, f64::INFINITY),
            false => clip_bounds(&self.lowering.graph.operations()[yielded].primitive).expect("plan says so"),
        };
        self.form_of(yielded).clipped(low, high)
    }

    fn form_of(&self, operation: usize) -> Form {
        let value = self.lowering.value_of(operation);
        let dtype = self.lowering.plan.dtypes[value.0 as usize];
        self.filled(self.lowering.observed.of(value), dtype)
    }

    fn filled(&self, statistics: &Statistics, dtype: DType) -> Form {
        let filling = statistics.filling(self.lowering.clipping, dtype, f64::NEG_INFINITY, f64::INFINITY);
        Form::filled(filling * if dtype == DType::I8 { 1.0 } else { HEADROOM }, dtype)
    }

    /// Whether an activation has been carried out by the bounds of the operation before it.
    fn is_carried_out(&self) -> bool {
        let inputs = self.lowering.graph.inputs().len();
        let source = (self.operation.operands[0].0 as usize).checked_sub(inputs);
        let emitted = matches!(self.operands[0], Lowered::Quantity(_));
        source.is_some_and(|source| {
            emitted && !self.lowering.plan.folded[source] && self.lowering.plan.yields[source] == self.index
        })
    }

    /// An operand as an integer value.
    fn quantity(&mut self, operand: usize) -> Lower<Quantity> {
        match self.operands[operand] {
            Lowered::Quantity(quantity) => Ok(*quantity),
            Lowered::Known(tensor) => self.constant(tensor, DType::I16),
            Lowered::Folded | Lowered::Features { .. } => {
                Err(self.refuse("reads an input that was encoded for something else"))
            }
        }
    }

    fn constant(&mut self, tensor: &Tensor, dtype: DType) -> Lower<Quantity> {
        let elements: Vec<f64> = tensor.elements().iter().map(|&x| x.into()).collect();
        let real = Real { axes: tensor.shape().axes(), elements: &elements };
        Ok(self.emitter().constant(real, dtype)?)
    }

    /// An operand as int8 or int16.
    fn narrow(&mut self, operand: usize) -> Lower<Quantity> {
        let x = self.quantity(operand)?;
        if self.emitter().dtype(x) != DType::I32 {
            return Ok(x);
        }
        let form = self.filled(self.statistics(operand), DType::I16);
        Ok(self.emitter().rescaled(x, form)?)
    }

    /// An operand as int8.
    fn int8(&mut self, operand: usize) -> Lower<Quantity> {
        let x = self.quantity(operand)?;
        if self.emitter().dtype(x) == DType::I8 {
            return Ok(x);
        }
        let form = self.filled(self.statistics(operand), DType::I8);
        Ok(self.emitter().rescaled(x, form)?)
    }

    /// An int16 operand with so few bits that sums of up to `most` steps of it fit int32.
    fn within(&mut self, operand: usize, most: f64) -> Lower<Quantity> {
        let x = self.narrow(operand)?;
        if self.emitter().dtype(x) == DType::I8 || most >= 32768.0 {
            return Ok(x);
        }
        let bits = most.max(1.0).log2().floor() as i32;
        if bits < 9 {
            return self.int8(operand);
        }
        let top = 2f64.powi(bits) - 1.0;
        let step = x.step * f64::from(TOP) / top;
        let form = Form::stepped(step, DType::I16).clipped(-top * step, top * step);
        Ok(self.emitter().rescaled(x, form)?)
    }

    fn linear(&mut self, weight: float::ParameterId, bias: float::ParameterId) -> Lower<Quantity> {
        let ((axes, weight), (_, bias)) = (self.parameter(weight), self.parameter(bias));
        let depth = weight.len() / bias.len();
        // A channel's int8 weights add up to at most this, and its bias takes at most half of int32.
        let heaviest = weight
            .chunks(depth)
            .map(|channel| {
                let largest = magnitude(channel);
                let relative = |w: &f64| if largest > 0.0 { 127.0 * w.abs() / largest + 0.5 } else { 0.0 };
                channel.iter().map(relative).sum::<f64>()
            })
            .fold(1.0, f64::max);
        let x = self.within(0, f64::from(1 << 30) / heaviest)?;
        let form = self.form();
        Ok(self.emitter().linear(x, Real { axes: &axes, elements: &weight }, &bias, form)?)
    }

    fn convolution(
        &mut self,
        weight: float::ParameterId,
        bias: float::ParameterId,
        window: integer::Window,
        groups: usize,
    ) -> Lower<Quantity> {
        let ((axes, weight), (_, bias)) = (self.parameter(weight), self.parameter(bias));
        let (x, form) = (self.int8(0)?, self.form());
        let weight = Real { axes: &axes, elements: &weight };
        Ok(self.emitter().convolution(x, weight, &bias, window, groups, form)?)
    }

    fn matrix_product(&mut self) -> Lower<Quantity> {
        let shape = self.lowering.graph.shape(self.operation.operands[0]);
        let depth = shape.axes().last().copied().unwrap_or(1);
        let y = match self.operands[1] {
            Lowered::Known(tensor) => self.constant(tensor, DType::I8)?,
            _ => self.int8(1)?,
        };
        let x = self.within(0, f64::from(i32::MAX) / (128.0 * depth as f64))?;
        let form = self.form();
        Ok(self.emitter().matrix_product(x, y, form)?)
    }

    fn sum(&mut self, sign: f64) -> Lower<Quantity> {
        let (a, b, form) = (self.quantity(0)?, self.quantity(1)?, self.form());
        Ok(self.emitter().sum((a, 1.0), (b, sign), form)?)
    }

    fn product(&mut self) -> Lower<Quantity> {
        for (known, other) in [(0, 1), (1, 0)] {
            if let Some(factor) = self.positive_scalar(known) {
                return self.scaled(other, factor);
            }
        }
        let (a, b, form) = (self.narrow(0)?, self.narrow(1)?, self.form());
        Ok(self.emitter().product(a, b, form)?)
    }

    /// A positive factor changes what the steps mean, and nothing else.
    fn scaled(&mut self, operand: usize, factor: f64) -> Lower<Quantity> {
        let x = self.quantity(operand)?;
        let x = Quantity { step: x.step * factor, ..x };
        let form = self.form();
        let unbounded = form.low == f64::NEG_INFINITY && form.high == f64::INFINITY;
        if unbounded && self.emitter().axes(x) == self.operation.output.axes() {
            return Ok(x);
        }
        let x = self.emitter().rescaled(x, form)?;
        match self.emitter().axes(x) == self.operation.output.axes() {
            true => Ok(x),
            false => {
                let axes = self.operation.output.axes();
                Ok(self.emitter().moved(integer::Primitive::Broadcast, x, axes)?)
            }
        }
    }

    fn positive_scalar(&self, operand: usize) -> Option<f64> {
        match self.operands[operand] {
            Lowered::Known(tensor) => match tensor.elements() {
                [factor] if *factor > 0.0 => Some(f64::from(*factor)),
                _ => None,
            },
            _ => None,
        }
    }

    fn quotient(&mut self) -> Lower<Quantity> {
        if let Some(divisor) = self.positive_scalar(1) {
            return self.scaled(0, 1.0 / divisor);
        }
        let form = self.form();
        let reciprocal = match self.operands[1] {
            Lowered::Known(tensor) => {
                if tensor.elements().contains(&0.0) {
                    return Err(self.refuse("divides by 0"));
                }
                let inverse: Vec<f64> = tensor.elements().iter().map(|&x| 1.0 / f64::from(x)).collect();
                let real = Real { axes: tensor.shape().axes(), elements: &inverse };
                self.emitter().constant(real, DType::I16)?
            }
            _ => {
                let statistics = self.statistics(1);
                let (low, high) = (statistics.low, statistics.high);
                if low <= 0.0 && high >= 0.0 {
                    return Err(self.refuse("divides by a value that may be 0"));
                }
                let least = low.abs().min(high.abs());
                let y = self.narrow(1)?;
                let inverse = |x: f64| 1.0 / x;
                self.emitter().table(y, ENTRIES[2], &inverse, Form::filled(HEADROOM / least, DType::I16))?
            }
        };
        let x = self.narrow(0)?;
        Ok(self.emitter().product(x, reciprocal, form)?)
    }

    /// Both operands with one step, so that comparing integers compares numbers.
    fn extremum(&mut self, primitive: integer::Primitive) -> Lower<Quantity> {
        let most = self.statistics(0).magnitude().max(self.statistics(1).magnitude());
        let form = Form::filled(most * HEADROOM, DType::I16);
        let operands = [self.in_form(0, form)?, self.in_form(1, form)?];
        Ok(self.emitter().joined(primitive, &operands)?)
    }

    fn in_form(&mut self, operand: usize, form: Form) -> Lower<Quantity> {
        match self.operands[operand] {
            Lowered::Known(tensor) => {
                let elements: Vec<f64> = tensor.elements().iter().map(|&x| x.into()).collect();
                let real = Real { axes: tensor.shape().axes(), elements: &elements };
                Ok(self.emitter().constant_in_steps(real, form.dtype, form.step)?)
            }
            _ => {
                let x = self.quantity(operand)?;
                Ok(self.emitter().rescaled(x, form)?)
            }
        }
    }

    fn affine(
        &mut self,
        axis: usize,
        scale: float::ParameterId,
        offset: float::ParameterId,
    ) -> Lower<Quantity> {
        let ((_, scale), (_, offset)) = (self.parameter(scale), self.parameter(offset));
        let rank = self.operation.output.rank();
        let mut axes = vec![1; rank - axis];
        axes[0] = scale.len();
        self.scale_and_offset((&axes, &scale), (&axes, &offset), 0)
    }

    /// `operand · scale + offset` with known tensors.
    fn scale_and_offset(
        &mut self,
        scale: (&[usize], &[f64]),
        offset: (&[usize], &[f64]),
        operand: usize,
    ) -> Lower<Quantity> {
        let x = self.narrow(operand)?;
        self.scale_and_offset_of(x, scale, offset)
    }

    fn scale_and_offset_of(
        &mut self,
        x: Quantity,
        scale: (&[usize], &[f64]),
        offset: (&[usize], &[f64]),
    ) -> Lower<Quantity> {
        let form = self.form();
        let summand = magnitude(offset.1);
        let factor = self.emitter().constant(Real { axes: scale.0, elements: scale.1 }, DType::I16)?;
        if summand == 0.0 {
            return Ok(self.emitter().product(x, factor, form)?);
        }
        let statistics = self.lowering.observed.of(self.lowering.value_of(self.index));
        let between = Form::filled((statistics.magnitude() + summand) * HEADROOM, DType::I16);
        let product = self.emitter().product(x, factor, between)?;
        let summand = self.emitter().constant(Real { axes: offset.0, elements: offset.1 }, DType::I16)?;
        Ok(self.emitter().sum((product, 1.0), (summand, 1.0), form)?)
    }

    fn unary(&mut self, function: Function) -> Lower<Quantity> {
        if self.is_carried_out() {
            return self.quantity(0);
        }
        let form = self.form();
        if let Some((low, high)) = clip_bounds(&self.operation.primitive) {
            let x = self.quantity(0)?;
            return Ok(self.emitter().rescaled(x, form.clipped(low, high))?);
        }
        match function {
            Function::Negate => {
                let x = self.quantity(0)?;
                Ok(self.emitter().sum((x, -1.0), (x, 0.0), form)?)
            }
            Function::Absolute => {
                let x = self.narrow(0)?;
                let same = Form::stepped(x.step, self.emitter().dtype(x));
                let negated = self.emitter().sum((x, -1.0), (x, 0.0), same)?;
                Ok(self.emitter().joined(integer::Primitive::Maximum, &[x, negated])?)
            }
            _ => {
                let x = self.narrow(0)?;
                let value = self.lowering.value_of(self.index);
                let entries = match form.dtype {
                    _ if self.lowering.graph.outputs().contains(&value) => ENTRIES[2],
                    DType::I8 => ENTRIES[0],
                    DType::I16 | DType::I32 => ENTRIES[1],
                };
                Ok(self.emitter().table(x, entries, &|x| function.apply_wide(x), form)?)
            }
        }
    }

    /// `x − max(x)`, and `exp` of it with the sum along the axis.
    fn exponentials(&mut self, axis: usize, range: f64) -> Lower<[Quantity; 3]> {
        let x = self.narrow(0)?;
        let most = self.emitter().kept(integer::Primitive::ReduceMaximum { axes: vec![axis] }, x)?;
        let below = Form::filled(range, DType::I16).clipped(-range, 0.0);
        let below = self.emitter().sum((x, 1.0), (most, -1.0), below)?;
        let unit = Form::filled(1.0, DType::I16);
        let exponential = self.emitter().table_between(below, (-TOP, 0), &f64::exp, unit)?;
        let total = Form::stepped(unit.step, DType::I32);
        let total = self.emitter().reduced_sum(exponential, &[axis], 1.0, total)?;
        Ok([below, exponential, total])
    }

    fn softmax(&mut self, axis: usize) -> Lower<Quantity> {
        let [_, exponential, total] = self.exponentials(axis, EXP_RANGE)?;
        let inverse = self.emitter().reciprocal(total, 30)?;
        // The total is at least 1, so its reciprocal fits int16 in the steps it comes in.
        let inverse = self.emitter().rescaled(inverse, Form::stepped(inverse.step, DType::I16))?;
        Ok(self.emitter().product(exponential, inverse, Form::filled(1.0, DType::I16))?)
    }

    fn log_softmax(&mut self, axis: usize) -> Lower<Quantity> {
        let statistics = self.lowering.observed.of(self.lowering.value_of(self.index));
        let range = (statistics.magnitude() * HEADROOM).max(EXP_RANGE);
        let terms = self.operation.output.axes()[axis] as f64;
        let [below, _, total] = self.exponentials(axis, range)?;
        let total = self.emitter().rescaled(total, Form::filled(terms, DType::I16))?;
        let logarithm = Form::filled(terms.ln().max(1.0), DType::I16);
        let logarithm = self.emitter().table_between(total, (1, TOP), &f64::ln, logarithm)?;
        let form = self.form();
        Ok(self.emitter().sum((below, 1.0), (logarithm, -1.0), form)?)
    }

    fn layer_normalization(
        &mut self,
        axis: usize,
        epsilon: f64,
        [scale, offset]: [float::ParameterId; 2],
    ) -> Lower<Quantity> {
        let axes: Vec<usize> = (axis..self.operation.output.rank()).collect();
        let count: usize = self.operation.output.axes()[axis..].iter().product();
        let [deviations, inverses] = self.lowering.observed.inner[self.index].clone();
        let x = self.quantity(0)?;
        let x = match self.emitter().dtype(x) {
            DType::I16 => x,
            _ => {
                let form = self.filled(self.statistics(0), DType::I16);
                self.emitter().rescaled(x, form)?
            }
        };
        let emitter = self.emitter();
        let mean = emitter.reduced_sum(x, &axes, 1.0 / count as f64, Form::stepped(x.step, DType::I16))?;
        let deviation = Form::filled(deviations.magnitude() * HEADROOM, DType::I16);
        let deviation = emitter.sum((x, 1.0), (mean, -1.0), deviation)?;
        // Squares are below 2^30; shifted by log2(count), so is their sum.
        let spread = count.next_power_of_two() as f64;
        let unit = deviation.step * deviation.step;
        let square = emitter.product(deviation, deviation, Form::stepped(unit * spread, DType::I32))?;
        let variance = Form::stepped(unit, DType::I32);
        let mut variance = emitter.reduced_sum(square, &axes, 1.0 / count as f64, variance)?;
        if epsilon > unit / 2.0 {
            let ones = vec![1; emitter.axes(variance).len()];
            let epsilon = Real { axes: &ones, elements: &[epsilon] };
            let epsilon = emitter.constant_in_steps(epsilon, DType::I32, unit)?;
            variance = emitter.sum((variance, 1.0), (epsilon, 1.0), Form::stepped(unit, DType::I32))?;
        }
        let inverse = emitter.reciprocal_square_root(variance, 60)?;
        let inverse = emitter.rescaled(inverse, Form::filled(inverses.magnitude() * HEADROOM, DType::I16))?;
        let normal = (deviations.magnitude() * inverses.magnitude()).min((count as f64).sqrt());
        let normal = emitter.product(deviation, inverse, Form::filled(normal, DType::I16))?;
        let ((scale_axes, scale), (offset_axes, offset)) = (self.parameter(scale), self.parameter(offset));
        self.scale_and_offset_of(normal, (&scale_axes, &scale), (&offset_axes, &offset))
    }

    fn reduce(&mut self, reduction: Reduction, axes: &[usize]) -> Lower<Quantity> {
        let shape = self.lowering.graph.shape(self.operation.operands[0]);
        let count: usize = axes.iter().map(|&axis| shape.axes()[axis]).product();
        let form = self.form();
        match reduction {
            Reduction::Maximum => {
                let x = self.quantity(0)?;
                Ok(self.emitter().kept(integer::Primitive::ReduceMaximum { axes: axes.to_vec() }, x)?)
            }
            Reduction::Sum | Reduction::Mean => {
                let x = self.within(0, f64::from(i32::MAX) / count as f64)?;
                let factor = if reduction == Reduction::Mean { 1.0 / count as f64 } else { 1.0 };
                Ok(self.emitter().reduced_sum(x, axes, factor, form)?)
            }
        }
    }

    fn moved(&mut self, primitive: integer::Primitive) -> Lower<Quantity> {
        let (x, axes) = (self.quantity(0)?, self.operation.output.axes());
        Ok(self.emitter().moved(primitive, x, axes)?)
    }

    fn trees(
        &mut self,
        trees: &float::Trees,
        leaves: float::ParameterId,
        base: float::ParameterId,
    ) -> Lower<Quantity> {
        let features = self.lowering.graph.shape(self.operation.operands[0]).count();
        let (id, offsets, steps) = match self.operands[0] {
            Lowered::Features { id, offsets, steps } => (*id, offsets.clone(), steps.clone()),
            _ => {
                let x = self.narrow(0)?;
                (x.id, vec![0.0; features], vec![x.step; features])
            }
        };
        let (leaves, base) = (&self.parameters[leaves.0 as usize], &self.parameters[base.0 as usize]);
        let tables = trees::tables(trees, leaves, base, &offsets, &steps);
        Ok(self.emitter().trees(id, tables.tables, tables.step)?)
    }

    fn concatenate(&mut self, axis: usize) -> Lower<Quantity> {
        let form = self.form();
        let operands: Vec<Quantity> =
            (0..self.operands.len()).map(|operand| self.in_form(operand, form)).collect::<Lower<_>>()?;
        Ok(self.emitter().joined(integer::Primitive::Concatenate { axis }, &operands)?)
    }
}
