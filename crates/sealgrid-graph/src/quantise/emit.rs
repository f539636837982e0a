//! Integer operations by their real meaning. A [`Quantity`] is an integer value with the step its elements count;
//! every function here emits primitives so that the real meaning is right up to the stated rounding.

use super::fixed::{Factor, integer, pair, stage, step};
use crate::integer::{Builder, Graph, GraphError, ParameterId, Primitive, Requantise, ValueId, Window};
use crate::tensor::{DType, Data, Shape, Tensor};

/// An integer value that stands for `q · step`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantity {
    /// The integer value.
    pub id: ValueId,
    /// What one means.
    pub step: f64,
}

/// The form that a result is wanted in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Form {
    /// Element type.
    pub dtype: DType,
    /// What one means.
    pub step: f64,
    /// Lowest real value; minus infinity for the type's own.
    pub low: f64,
    /// Highest real value.
    pub high: f64,
}

impl Form {
    /// Values up to `magnitude` fill the element type.
    #[must_use]
    pub fn filled(magnitude: f64, dtype: DType) -> Self {
        Self::stepped(step(magnitude, dtype), dtype)
    }

    /// A stated step.
    #[must_use]
    pub fn stepped(step: f64, dtype: DType) -> Self {
        Self { dtype, step, low: f64::NEG_INFINITY, high: f64::INFINITY }
    }

    /// The same with results kept between two real values: a ReLU or a clip.
    #[must_use]
    pub fn clipped(self, low: f64, high: f64) -> Self {
        Self { low: self.low.max(low), high: self.high.min(high), ..self }
    }

    /// The bounds of an output stage.
    fn bounds(self) -> (i32, i32) {
        let bounds = self.dtype.bounds();
        let low = integer(self.low, self.step, bounds);
        (low, integer(self.high, self.step, bounds).max(low))
    }

    fn stage(self, factor: f64) -> Requantise {
        self.stages(&[Factor::nearest(factor)])
    }

    fn stages(self, factors: &[Factor]) -> Requantise {
        stage(factors, self.bounds(), self.dtype)
    }
}

/// A real tensor that is known at import.
#[derive(Clone, Copy, Debug)]
pub struct Real<'a> {
    /// Axis lengths.
    pub axes: &'a [usize],
    /// Elements, row-major.
    pub elements: &'a [f64],
}

/// Emits operations into a graph under construction; names follow the importing model's node.
#[derive(Debug)]
pub struct Emitter {
    builder: Builder,
    name: String,
}

type Emitted<T> = Result<T, GraphError>;

impl Emitter {
    /// Starts from the graph's inputs.
    #[must_use]
    pub fn new(builder: Builder) -> Self {
        Self { builder, name: String::new() }
    }

    /// Names the operations that follow.
    pub fn name(&mut self, name: &str) {
        let end = name.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= 200).last();
        self.name = name[..end.unwrap_or(0)].chars().filter(|c| !c.is_control()).collect();
    }

    /// The graph with these results.
    ///
    /// # Errors
    /// [`GraphError`] when it exceeds a limit.
    pub fn finish(self, outputs: Vec<ValueId>) -> Emitted<Graph> {
        self.builder.finish(outputs)
    }

    /// Element type of a value.
    #[must_use]
    pub fn dtype(&self, x: Quantity) -> DType {
        self.builder.value_type(x.id).dtype
    }

    /// Axis lengths of a value.
    #[must_use]
    pub fn axes(&self, x: Quantity) -> Vec<usize> {
        self.builder.value_type(x.id).shape.axes().to_vec()
    }

    fn push(&mut self, primitive: Primitive, operands: &[ValueId], step: f64) -> Emitted<Quantity> {
        let id = self.builder.push(&self.name, primitive, operands)?;
        Ok(Quantity { id, step })
    }

    fn parameter(&mut self, axes: &[usize], data: Data) -> Emitted<ParameterId> {
        let shape = Shape::new(axes).map_err(|error| self.too_large(error))?;
        let tensor = Tensor::new(shape, data).map_err(|error| self.too_large(error))?;
        Ok(self.builder.parameter(tensor))
    }

    fn too_large(&self, error: crate::tensor::ShapeError) -> GraphError {
        GraphError::Operation {
            index: self.builder.operation_count(),
            name: self.name.clone(),
            fault: error.into(),
        }
    }

    /// A known tensor as a value.
    ///
    /// # Errors
    /// [`GraphError`], here and in every function below, when the operation is not valid.
    pub fn constant(&mut self, real: Real<'_>, dtype: DType) -> Emitted<Quantity> {
        let step = step(magnitude(real.elements), dtype);
        self.constant_in_steps(real, dtype, step)
    }

    /// A float tensor as an int16 value.
    ///
    /// # Errors
    /// [`GraphError`]
    pub fn known(&mut self, tensor: &crate::float::Tensor) -> Emitted<Quantity> {
        let elements: Vec<f64> = tensor.elements().iter().map(|&x| x.into()).collect();
        self.constant(Real { axes: tensor.shape().axes(), elements: &elements }, DType::I16)
    }

    /// A known tensor as a value with a stated step.
    ///
    /// # Errors
    /// [`GraphError`]
    pub fn constant_in_steps(&mut self, real: Real<'_>, dtype: DType, step: f64) -> Emitted<Quantity> {
        let elements: Vec<i32> = real.elements.iter().map(|&x| integer(x, step, dtype.bounds())).collect();
        let data = Data::from_elements(dtype, &elements).expect("clamped to the type");
        let tensor = self.parameter(real.axes, data)?;
        self.push(Primitive::Constant { tensor }, &[], step)
    }

    /// `x · Wᵀ + b`, `W` `[N, K]` with a step for each of the N channels.
    ///
    /// # Errors
    /// [`GraphError`]
    pub fn linear(&mut self, x: Quantity, weight: Real<'_>, bias: &[f64], form: Form) -> Emitted<Quantity> {
        let Channels { weights, biases, factors } = per_channel(weight, bias, x, form.step);
        let weight = self.parameter(weight.axes, Data::I8(weights))?;
        let bias = self.parameter(&[biases.len()], Data::I32(biases))?;
        let requantise = form.stages(&factors);
        self.push(Primitive::Linear { weight, bias, requantise }, &[x.id], form.step)
    }

    /// Cross-correlation, `W` `[O, C/groups, kernel…]` with a step for each of the O channels.
    ///
    /// # Errors
    /// [`GraphError`]
    pub fn convolution(
        &mut self,
        x: Quantity,
        weight: Real<'_>,
        bias: &[f64],
        window: Window,
        groups: usize,
        form: Form,
    ) -> Emitted<Quantity> {
        let Channels { weights, biases, factors } = per_channel(weight, bias, x, form.step);
        let weight = self.parameter(weight.axes, Data::I8(weights))?;
        let bias = self.parameter(&[biases.len()], Data::I32(biases))?;
        let requantise = form.stages(&factors);
        let primitive = Primitive::Convolution { weight, bias, window, groups, requantise };
        self.push(primitive, &[x.id], form.step)
    }

    /// `a · b` over the last two axes. Operands must be int8 or int16.
    ///
    /// # Errors
    /// [`GraphError`]
    pub fn matrix_product(&mut self, a: Quantity, b: Quantity, form: Form) -> Emitted<Quantity> {
        let requantise = form.stage(a.step * b.step / form.step);
        self.push(Primitive::MatrixProduct { requantise }, &[a.id, b.id], form.step)
    }

    /// `left·a + right·b`.
    ///
    /// # Errors
    /// [`GraphError`]
    pub fn sum(&mut self, a: (Quantity, f64), b: (Quantity, f64), form: Form) -> Emitted<Quantity> {
        let (left, right, shift) = pair(a.1 * a.0.step / form.step, b.1 * b.0.step / form.step);
        let requantise = Requantise { multipliers: vec![1], shifts: vec![shift], ..form.stage(1.0) };
        self.push(Primitive::Add { left, right, requantise }, &[a.0.id, b.0.id], form.step)
    }

    /// `a · b`, element by element; int32 operands are narrowed first, so that products fit 32 bits.
    ///
    /// # Errors
    /// [`GraphError`]
    pub fn product(&mut self, a: Quantity, b: Quantity, form: Form) -> Emitted<Quantity> {
        let requantise = form.stage(a.step * b.step / form.step);
        self.push(Primitive::Multiply { requantise }, &[a.id, b.id], form.step)
    }

    /// The same value in another form; nothing is emitted where it is in that form already.
    ///
    /// # Errors
    /// [`GraphError`]
    pub fn rescaled(&mut self, x: Quantity, form: Form) -> Emitted<Quantity> {
        let unbounded = form.low == f64::NEG_INFINITY && form.high == f64::INFINITY;
        if unbounded && self.dtype(x) == form.dtype && x.step == form.step {
            return Ok(x);
        }
        let requantise = form.stage(x.step / form.step);
        self.push(Primitive::Rescale { requantise }, &[x.id], form.step)
    }

    /// `function(x)` through a table of at most `entries` entries over `x`'s range; `x` is int8 or int16.
    ///
    /// # Errors
    /// [`GraphError`]
    pub fn table(
        &mut self,
        x: Quantity,
        entries: usize,
        function: &dyn Fn(f64) -> f64,
        form: Form,
    ) -> Emitted<Quantity> {
        let (low, high) = self.dtype(x).bounds();
        let available = usize::try_from(i64::from(high) - i64::from(low) + 1).expect("at most 2^32");
        if available <= entries {
            return self.table_between(x, (low, high), function, form);
        }
        let most = i32::try_from(entries / 2).expect("a small table");
        let coarse = x.step * f64::from(high) / f64::from(most);
        let bounded = Form::stepped(coarse, DType::I16)
            .clipped(f64::from(-most) * coarse, f64::from(most - 1) * coarse);
        let x = self.rescaled(x, bounded)?;
        self.table_between(x, (-most, most - 1), function, form)
    }

    /// `function(x)` through a table with one entry for each integer between two; `x` is clamped to them.
    ///
    /// # Errors
    /// [`GraphError`]
    pub fn table_between(
        &mut self,
        x: Quantity,
        (low, high): (i32, i32),
        function: &dyn Fn(f64) -> f64,
        form: Form,
    ) -> Emitted<Quantity> {
        let bounds = form.bounds();
        let entry = |q: i32| match function(f64::from(q) * x.step) {
            real if real.is_nan() => 0,
            real => integer(real, form.step, bounds),
        };
        let table = (low..=high).map(entry).collect();
        self.push(Primitive::Lookup { first: low, table, output: form.dtype }, &[x.id], form.step)
    }

    /// Sum over axes times a factor, such as one over their length.
    ///
    /// # Errors
    /// [`GraphError`]
    pub fn reduced_sum(&mut self, x: Quantity, axes: &[usize], factor: f64, form: Form) -> Emitted<Quantity> {
        let requantise = form.stage(factor * x.step / form.step);
        self.push(Primitive::ReduceSum { axes: axes.to_vec(), requantise }, &[x.id], form.step)
    }

    /// Sum under a window times a factor.
    ///
    /// # Errors
    /// [`GraphError`]
    pub fn pooled_sum(&mut self, x: Quantity, window: Window, factor: f64, form: Form) -> Emitted<Quantity> {
        let requantise = form.stage(factor * x.step / form.step);
        self.push(Primitive::PoolSum { window, requantise }, &[x.id], form.step)
    }

    /// An operation that keeps the step: moves, maxima, pools of maxima.
    ///
    /// # Errors
    /// [`GraphError`]
    pub fn kept(&mut self, primitive: Primitive, x: Quantity) -> Emitted<Quantity> {
        self.push(primitive, &[x.id], x.step)
    }

    /// A move whose result has a stated shape.
    ///
    /// # Errors
    /// [`GraphError`]
    pub fn moved(&mut self, primitive: Primitive, x: Quantity, axes: &[usize]) -> Emitted<Quantity> {
        let shape = Shape::new(axes).map_err(|error| self.too_large(error))?;
        let id = self.builder.push_shaped(&self.name, primitive, &[x.id], &shape)?;
        Ok(Quantity { id, step: x.step })
    }

    /// An operation over several operands of one step and type.
    ///
    /// # Errors
    /// [`GraphError`]
    pub fn joined(&mut self, primitive: Primitive, operands: &[Quantity]) -> Emitted<Quantity> {
        let ids: Vec<ValueId> = operands.iter().map(|operand| operand.id).collect();
        self.push(primitive, &ids, operands[0].step)
    }

    /// The position of the maximum: a count, so its step is 1.
    ///
    /// # Errors
    /// [`GraphError`]
    pub fn arg_maximum(&mut self, x: Quantity, axis: usize) -> Emitted<Quantity> {
        self.push(Primitive::ArgMaximum { axis }, &[x.id], 1.0)
    }

    /// `1 / x` for a positive integer value whose real meaning is `q · step`.
    ///
    /// # Errors
    /// [`GraphError`]
    pub fn reciprocal(&mut self, x: Quantity, bits: u8) -> Emitted<Quantity> {
        let step = 1.0 / (x.step * 2f64.powi(bits.into()));
        self.push(Primitive::Reciprocal { bits }, &[x.id], step)
    }

    /// `1 / sqrt(x)`; `bits` is even.
    ///
    /// # Errors
    /// [`GraphError`]
    pub fn reciprocal_square_root(&mut self, x: Quantity, bits: u8) -> Emitted<Quantity> {
        let step = 1.0 / (x.step.sqrt() * 2f64.powi(i32::from(bits / 2)));
        self.push(Primitive::ReciprocalSquareRoot { bits }, &[x.id], step)
    }

    /// Trees over integer features.
    ///
    /// # Errors
    /// [`GraphError`]
    pub fn trees(&mut self, x: ValueId, tables: [(Vec<usize>, Vec<i32>); 4], step: f64) -> Emitted<Quantity> {
        let [roots, nodes, leaves, base] = tables;
        let (low, high) = DType::I32.bounds();
        let primitive = Primitive::TreeEnsemble {
            roots: self.parameter(&roots.0, Data::I32(roots.1))?,
            nodes: self.parameter(&nodes.0, Data::I32(nodes.1))?,
            leaves: self.parameter(&leaves.0, Data::I32(leaves.1))?,
            base: self.parameter(&base.0, Data::I32(base.1))?,
            requantise: Requantise { multipliers: vec![1], shifts: vec![0], low, high, output: DType::I32 },
        };
        self.push(primitive, &[x], step)
    }
}

/// Largest magnitude among real numbers.
#[must_use]
pub fn magnitude(elements: &[f64]) -> f64 {
    elements.iter().fold(0.0, |most, x| most.max(x.abs()))
}

/// Bits of the multiplier of a sum of products. The fewer, the less a proof has to say of what is left of a sum when it is divided; a step grows by an eighth
/// in the mean to have a factor of three, and answers are no farther off than with a factor of eight (docs/design/0006).
const MULTIPLIER_BITS: u8 = 3;
/// Bits that an accumulator times its multiplier should not exceed, so that a field of 31 bits holds it.
const PRODUCT_BITS: u8 = 30;

/// The integers of a layer of sums.
struct Channels {
    weights: Vec<i8>,
    biases: Vec<i32>,
    factors: Vec<Factor>,
}

/// Int8 weights with one step per channel (the first axis). The step is the least that int8 allows, made a little larger
/// so that the channel's factor has few bits and is exact; a channel of tiny weights behind a large bias takes a coarser
/// step, so that the bias leaves room for the multiplier as well.
fn per_channel(weight: Real<'_>, bias: &[f64], x: Quantity, output: f64) -> Channels {
    let depth = weight.elements.len() / bias.len().max(1);
    let bias_top = f64::from(1 << (PRODUCT_BITS - 1 - MULTIPLIER_BITS));
    let mut channels = Channels {
        weights: Vec::with_capacity(weight.elements.len()),
        biases: Vec::with_capacity(bias.len()),
        factors: Vec::with_capacity(bias.len()),
    };
    for (channel, &offset) in weight.elements.chunks(depth.max(1)).zip(bias) {
        let for_weights = magnitude(channel) / f64::from(DType::I8.bounds().1);
        let for_bias = offset.abs() / (x.step * bias_top);
        let factor = Factor::above(for_weights.max(for_bias) * x.step / output, MULTIPLIER_BITS);
        let step = factor.real() * output / x.step;
        channels.factors.push(factor);
        // A channel that means nothing in steps of the output is all zeros.
        let quantised =
            |real: f64, step: f64, bounds| if step > 0.0 { integer(real, step, bounds) } else { 0 };
        channels.biases.push(quantised(offset, step * x.step, DType::I32.bounds()));
        // Symmetric: −128 is not used, so that negating a channel negates its integers.
        let weights = channel.iter().map(|&w| quantised(w, step, (-127, 127)));
        channels.weights.extend(weights.map(|w| i8::try_from(w).expect("clamped to int8")));
    }
    channels
}
