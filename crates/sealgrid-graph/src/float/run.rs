//! The plain interpreter: every operation as its definition reads. Sums are made in 64 bits and rounded once, so
//! that the result does not depend on their order.

use super::{
    Child, Function, Graph, Interpreter, Operation, Primitive, Reduction, Tensor, Trees, ValueId, Window,
    signed,
};
use crate::tensor::Shape;

/// Why a graph did not run.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum RunError {
    /// The number of tensors is not the number of the graph's inputs.
    #[error("{found} inputs where the graph has {expected}")]
    Inputs {
        /// Inputs of the graph.
        expected: usize,
        /// Tensors given.
        found: usize,
    },
    /// A tensor has another shape than the graph's input.
    #[error("input {0} has another shape than the graph's")]
    InputShape(usize),
}

/// The outputs of the graph for one record.
///
/// # Errors
/// [`RunError`] when the inputs do not fit the graph.
pub fn run(graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Tensor>, RunError> {
    run_observed(graph, inputs, |_, _| ())
}

/// The same, showing every value as it is computed: inputs first, then each operation's result.
///
/// # Errors
/// [`RunError`] when the inputs do not fit the graph.
pub fn run_observed(
    graph: &Graph,
    inputs: &[Tensor],
    observer: impl FnMut(ValueId, &Tensor),
) -> Result<Vec<Tensor>, RunError> {
    if inputs.len() != graph.inputs().len() {
        return Err(RunError::Inputs { expected: graph.inputs().len(), found: inputs.len() });
    }
    graph.interpret(&mut OneRecord { inputs, observer })
}

struct OneRecord<'a, O> {
    inputs: &'a [Tensor],
    observer: O,
}

impl<O: FnMut(ValueId, &Tensor)> OneRecord<'_, O> {
    fn show(&mut self, position: usize, tensor: &Tensor) {
        let id = u32::try_from(position).expect("a checked graph has fewer values");
        (self.observer)(ValueId(id), tensor);
    }
}

impl<O: FnMut(ValueId, &Tensor)> Interpreter for OneRecord<'_, O> {
    type Value = Tensor;
    type Error = RunError;

    fn input(&mut self, index: usize, shape: &Shape) -> Result<Tensor, RunError> {
        let tensor = self.inputs[index].clone();
        if tensor.shape() != shape {
            return Err(RunError::InputShape(index));
        }
        self.show(index, &tensor);
        Ok(tensor)
    }

    fn operation(
        &mut self,
        index: usize,
        operation: &Operation,
        operands: &[&Tensor],
        parameters: &[Tensor],
    ) -> Result<Tensor, RunError> {
        let elements = evaluate(operation, operands, parameters);
        let tensor = Tensor::new(operation.output.clone(), elements)
            .expect("a checked operation yields its stated shape");
        self.show(self.inputs.len() + index, &tensor);
        Ok(tensor)
    }
}

fn evaluate(operation: &Operation, operands: &[&Tensor], parameters: &[Tensor]) -> Vec<f32> {
    let shape = &operation.output;
    let parameter = |id: &super::ParameterId| &parameters[id.0 as usize];
    match &operation.primitive {
        Primitive::Constant { tensor } => parameter(tensor).elements().to_vec(),
        Primitive::Linear { weight, bias } => linear(operands[0], parameter(weight), parameter(bias)),
        Primitive::Convolution { weight, bias, window, groups } => {
            convolution(operands[0], parameter(weight), parameter(bias), window, *groups, shape)
        }
        Primitive::MatrixProduct => matrix_product(operands[0], operands[1], shape),
        Primitive::Add => pairs(operands, shape, |x, y| x + y),
        Primitive::Subtract => pairs(operands, shape, |x, y| x - y),
        Primitive::Multiply => pairs(operands, shape, |x, y| x * y),
        Primitive::Divide => pairs(operands, shape, |x, y| x / y),
        Primitive::Maximum => pairs(operands, shape, f32::max),
        Primitive::Minimum => pairs(operands, shape, f32::min),
        Primitive::Affine { axis, scale, offset } => {
            affine(operands[0], *axis, parameter(scale), parameter(offset))
        }
        Primitive::Unary(function) => unary(operands[0], *function),
        Primitive::Softmax { axis } => along(operands[0], *axis, softmax),
        Primitive::LogSoftmax { axis } => along(operands[0], *axis, log_softmax),
        Primitive::LayerNormalization { axis, epsilon, scale, offset } => {
            layer_normalization(operands[0], *axis, *epsilon, parameter(scale), parameter(offset))
        }
        Primitive::PoolMaximum { window } => {
            pool(operands[0], window, shape, |under| under.fold(f32::NEG_INFINITY, f32::max))
        }
        Primitive::PoolAverage { window } => {
            let taps = window.kernel.iter().product::<usize>() as f64;
            pool(operands[0], window, shape, |under| (under.map(f64::from).sum::<f64>() / taps) as f32)
        }
        Primitive::Reduce { reduction, axes } => reduce(operands[0], *reduction, axes, shape),
        Primitive::ArgMaximum { axis } => arg_maximum(operands[0], *axis),
        Primitive::Reshape => operands[0].elements().to_vec(),
        Primitive::Transpose { permutation } => {
            let strides = strides(operands[0].shape());
            let moved: Vec<i64> = permutation.iter().map(|&axis| strides[axis]).collect();
            walked(operands[0], shape, 0, &moved)
        }
        Primitive::Concatenate { axis } => concatenate(operands, *axis),
        Primitive::Slice { starts, steps } => {
            let strides = strides(operands[0].shape());
            let start = starts.iter().zip(&strides).map(|(&start, stride)| signed(start) * stride).sum();
            let moved: Vec<i64> = steps.iter().zip(&strides).map(|(step, stride)| step * stride).collect();
            walked(operands[0], shape, start, &moved)
        }
        Primitive::Gather { axis, indices } => gather(operands[0], *axis, indices),
        Primitive::Pad { before, after: _, value } => pad(operands[0], before, *value, shape),
        Primitive::Broadcast => walked(operands[0], shape, 0, &broadcast_strides(operands[0].shape(), shape)),
        Primitive::TreeEnsemble { trees, leaves, base } => {
            tree_ensemble(operands[0], trees, parameter(leaves), parameter(base))
        }
    }
}

fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Vec<f32> {
    let depth = weight.shape().axes()[1];
    let mut result = Vec::new();
    for row in x.elements().chunks_exact(depth) {
        for (weights, bias) in weight.elements().chunks_exact(depth).zip(bias.elements()) {
            result.push((dot(row, weights) + f64::from(*bias)) as f32);
        }
    }
    result
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

fn convolution(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    window: &Window,
    groups: usize,
    shape: &Shape,
) -> Vec<f32> {
    let [channels, inputs] = [weight.shape().axes()[0], weight.shape().axes()[1]];
    let plane: usize = x.shape().axes()[2..].iter().product();
    let taps: usize = window.kernel.iter().product();
    let positions: usize = shape.axes()[2..].iter().product();
    let mut result = vec![0.0; shape.count()];
    let records = x.elements().chunks_exact(plane * inputs * groups);
    for (record, into) in records.zip(result.chunks_exact_mut(channels * positions)) {
        for position in 0..positions {
            let under = taps_under(window, x.shape(), shape, position);
            for channel in 0..channels {
                let first = channel / (channels / groups) * inputs;
                let mut sum = f64::from(bias.elements()[channel]);
                for input in 0..inputs {
                    let from = &record[(first + input) * plane..][..plane];
                    let with = &weight.elements()[(channel * inputs + input) * taps..][..taps];
                    for &(tap, at) in &under {
                        sum += f64::from(from[at]) * f64::from(with[tap]);
                    }
                }
                into[channel * positions + position] = sum as f32;
            }
        }
    }
    result
}

/// The taps that fall on an element at one output position (row-major over the spatial axes): number of the tap
/// and offset of the element within its plane.
fn taps_under(window: &Window, x: &Shape, output: &Shape, position: usize) -> Vec<(usize, usize)> {
    let (lengths, to) = (&x.axes()[2..], unravelled(&output.axes()[2..], position));
    let mut under = vec![(0, 0)];
    for axis in 0..lengths.len() {
        let mut next = Vec::new();
        for &(tap, offset) in &under {
            for k in 0..window.kernel[axis] {
                let padded = to[axis] * window.strides[axis] + k * window.dilations[axis];
                let Some(at) = padded.checked_sub(window.pads_before[axis]) else { continue };
                if at < lengths[axis] {
                    next.push((tap * window.kernel[axis] + k, offset * lengths[axis] + at));
                }
            }
        }
        under = next;
    }
    under
}

fn unravelled(axes: &[usize], mut position: usize) -> Vec<usize> {
    let mut at = vec![0; axes.len()];
    for (into, &length) in at.iter_mut().zip(axes).rev() {
        *into = position % length;
        position /= length;
    }
    at
}

fn matrix_product(a: &Tensor, b: &Tensor, shape: &Shape) -> Vec<f32> {
    let rank = shape.rank();
    let [rows, columns] = [shape.axes()[rank - 2], shape.axes()[rank - 1]];
    let depth = a.shape().axes()[a.shape().rank() - 1];
    let lead = Shape::new(&shape.axes()[..rank - 2]).expect("part of a shape");
    let a_starts = leads(a.shape(), &lead, rows * depth);
    let b_starts = leads(b.shape(), &lead, depth * columns);
    let mut result = Vec::with_capacity(shape.count());
    for (a_start, b_start) in a_starts.into_iter().zip(b_starts) {
        let (left, right) = (&a.elements()[a_start..], &b.elements()[b_start..]);
        for row in 0..rows {
            for column in 0..columns {
                let products = (0..depth)
                    .map(|k| f64::from(left[row * depth + k]) * f64::from(right[k * columns + column]));
                result.push(products.sum::<f64>() as f32);
            }
        }
    }
    result
}

/// For each position of the broadcast leading axes, where the operand's matrix begins.
fn leads(operand: &Shape, lead: &Shape, matrix: usize) -> Vec<usize> {
    let own = Shape::new(&operand.axes()[..operand.rank() - 2]).expect("part of a shape");
    let mut starts = Vec::with_capacity(lead.count());
    walk(lead.axes(), 0, &broadcast_strides(&own, lead), &mut |at| starts.push(at * matrix));
    starts
}

fn pairs(operands: &[&Tensor], shape: &Shape, operation: impl Fn(f32, f32) -> f32) -> Vec<f32> {
    let [a, b] = [operands[0], operands[1]];
    let left = walked(a, shape, 0, &broadcast_strides(a.shape(), shape));
    let right = walked(b, shape, 0, &broadcast_strides(b.shape(), shape));
    left.into_iter().zip(right).map(|(x, y)| operation(x, y)).collect()
}

fn affine(x: &Tensor, axis: usize, scale: &Tensor, offset: &Tensor) -> Vec<f32> {
    let (channels, inner) = (x.shape().axes()[axis], inner_count(x.shape(), axis));
    let elements = x.elements().iter().enumerate();
    elements
        .map(|(position, x)| {
            let channel = position / inner % channels;
            x * scale.elements()[channel] + offset.elements()[channel]
        })
        .collect()
}

fn unary(x: &Tensor, function: Function) -> Vec<f32> {
    x.elements().iter().map(|x| function.apply(*x)).collect()
}

/// `operation` on each line of elements along an axis.
fn along(x: &Tensor, axis: usize, operation: fn(&mut [f64])) -> Vec<f32> {
    let (length, inner) = (x.shape().axes()[axis], inner_count(x.shape(), axis));
    let mut result = vec![0.0; x.shape().count()];
    for start in line_starts(x.shape(), axis) {
        let mut line: Vec<f64> = (0..length).map(|at| x.elements()[start + at * inner].into()).collect();
        operation(&mut line);
        for (at, element) in line.into_iter().enumerate() {
            result[start + at * inner] = element as f32;
        }
    }
    result
}

fn softmax(line: &mut [f64]) {
    let largest = line.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    line.iter_mut().for_each(|x| *x = (*x - largest).exp());
    let sum: f64 = line.iter().sum();
    line.iter_mut().for_each(|x| *x /= sum);
}

fn log_softmax(line: &mut [f64]) {
    let largest = line.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = line.iter().map(|x| (*x - largest).exp()).sum();
    line.iter_mut().for_each(|x| *x -= largest + sum.ln());
}

fn layer_normalization(x: &Tensor, axis: usize, epsilon: f32, scale: &Tensor, offset: &Tensor) -> Vec<f32> {
    let count = scale.shape().count();
    let mut result = Vec::with_capacity(x.shape().count());
    for part in x.elements().chunks_exact(count) {
        debug_assert_eq!(scale.shape().rank(), x.shape().rank() - axis);
        let mean = part.iter().map(|x| f64::from(*x)).sum::<f64>() / count as f64;
        let variance = part.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / count as f64;
        let root = (variance + f64::from(epsilon)).sqrt();
        let stages = scale.elements().iter().zip(offset.elements());
        result.extend(part.iter().zip(stages).map(|(x, (scale, offset))| {
            ((f64::from(*x) - mean) / root * f64::from(*scale) + f64::from(*offset)) as f32
        }));
    }
    result
}

/// `operation` on the elements under the window, for each output position.
fn pool(
    x: &Tensor,
    window: &Window,
    shape: &Shape,
    operation: impl Fn(&mut dyn Iterator<Item = f32>) -> f32,
) -> Vec<f32> {
    let plane: usize = x.shape().axes()[2..].iter().product();
    let positions: usize = shape.axes()[2..].iter().product();
    let mut result = vec![0.0; shape.count()];
    for position in 0..positions {
        let under = taps_under(window, x.shape(), shape, position);
        for (from, into) in x.elements().chunks_exact(plane).zip(result.chunks_exact_mut(positions)) {
            into[position] = operation(&mut under.iter().map(|&(_, at)| from[at]));
        }
    }
    result
}

fn reduce(x: &Tensor, reduction: Reduction, axes: &[usize], shape: &Shape) -> Vec<f32> {
    let mut into_strides = strides(shape);
    for &axis in axes {
        into_strides[axis] = 0;
    }
    let start = if reduction == Reduction::Maximum { f64::NEG_INFINITY } else { 0.0 };
    let mut totals = vec![start; shape.count()];
    let mut elements = x.elements().iter().map(|x| f64::from(*x));
    walk(x.shape().axes(), 0, &into_strides, &mut |at| {
        let element = elements.next().expect("the walk visits each element once");
        totals[at] = match reduction {
            Reduction::Maximum => totals[at].max(element),
            Reduction::Sum | Reduction::Mean => totals[at] + element,
        };
    });
    let divisor = match reduction {
        Reduction::Mean => (x.shape().count() / shape.count()) as f64,
        Reduction::Sum | Reduction::Maximum => 1.0,
    };
    totals.into_iter().map(|total| (total / divisor) as f32).collect()
}

fn arg_maximum(x: &Tensor, axis: usize) -> Vec<f32> {
    let (length, inner) = (x.shape().axes()[axis], inner_count(x.shape(), axis));
    let first_maximum = |start: usize| {
        let mut best = 0;
        for at in 1..length {
            if x.elements()[start + at * inner] > x.elements()[start + best * inner] {
                best = at;
            }
        }
        best as f32
    };
    line_starts(x.shape(), axis).map(first_maximum).collect()
}

fn concatenate(operands: &[&Tensor], axis: usize) -> Vec<f32> {
    let outer: usize = operands[0].shape().axes()[..axis].iter().product();
    let mut result = Vec::new();
    for part in 0..outer {
        for operand in operands {
            let length = operand.shape().count() / outer;
            result.extend_from_slice(&operand.elements()[part * length..][..length]);
        }
    }
    result
}

fn gather(x: &Tensor, axis: usize, indices: &[usize]) -> Vec<f32> {
    let inner = inner_count(x.shape(), axis);
    let mut result = Vec::new();
    for part in x.elements().chunks_exact(inner * x.shape().axes()[axis]) {
        for index in indices {
            result.extend_from_slice(&part[index * inner..][..inner]);
        }
    }
    result
}

fn pad(x: &Tensor, before: &[usize], value: f32, shape: &Shape) -> Vec<f32> {
    let into_strides = strides(shape);
    let start = before.iter().zip(&into_strides).map(|(&width, stride)| signed(width) * stride).sum();
    let mut result = vec![value; shape.count()];
    let mut elements = x.elements().iter();
    walk(x.shape().axes(), start, &into_strides, &mut |at| {
        result[at] = *elements.next().expect("the walk visits each element once");
    });
    result
}

fn tree_ensemble(x: &Tensor, trees: &Trees, leaves: &Tensor, base: &Tensor) -> Vec<f32> {
    let (features, outputs) = (x.shape().axes()[1], base.shape().count());
    let mut result = Vec::new();
    for record in x.elements().chunks_exact(features) {
        let mut sums: Vec<f64> = base.elements().iter().map(|base| f64::from(*base)).collect();
        for root in &trees.roots[..trees.roots.len() - 1] {
            let leaf = leaf_of(trees, *root, record);
            let values = &leaves.elements()[leaf * outputs..][..outputs];
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        result.extend(sums.into_iter().map(|sum| sum as f32));
    }
    result
}

fn leaf_of(trees: &Trees, root: usize, record: &[f32]) -> usize {
    let mut at = root;
    loop {
        let branch = &trees.nodes[at];
        let goes_left = record[branch.feature] <= branch.threshold;
        match if goes_left { branch.left } else { branch.right } {
            Child::Node(node) => at = node,
            Child::Leaf(leaf) => return leaf,
        }
    }
}

/// Elements behind one step along an axis.
fn inner_count(shape: &Shape, axis: usize) -> usize {
    shape.axes()[axis + 1..].iter().product()
}

/// Offsets at which the lines along an axis begin, row-major.
fn line_starts(shape: &Shape, axis: usize) -> impl Iterator<Item = usize> {
    let (length, inner) = (shape.axes()[axis], inner_count(shape, axis));
    let outer: usize = shape.axes()[..axis].iter().product();
    (0..outer).flat_map(move |part| (0..inner).map(move |at| part * length * inner + at))
}

/// Distances between neighbours along each axis, row-major.
fn strides(shape: &Shape) -> Vec<i64> {
    let mut result = vec![1; shape.rank()];
    for axis in (1..shape.rank()).rev() {
        result[axis - 1] = result[axis] * signed(shape.axes()[axis]);
    }
    result
}

/// Strides that read a shape as if it were broadcast to another.
fn broadcast_strides(shape: &Shape, to: &Shape) -> Vec<i64> {
    let mut result = vec![0; to.rank() - shape.rank()];
    let own = strides(shape);
    result.extend(shape.axes().iter().zip(own).map(|(&length, stride)| if length == 1 { 0 } else { stride }));
    result
}

/// The elements of `x` that a walk over `shape` with these start and strides meets.
fn walked(x: &Tensor, shape: &Shape, start: i64, strides: &[i64]) -> Vec<f32> {
    let mut result = Vec::with_capacity(shape.count());
    walk(shape.axes(), start, strides, &mut |at| result.push(x.elements()[at]));
    result
}

/// Visits `start + Σ position·stride` for each position of `axes`, row-major.
fn walk(axes: &[usize], start: i64, strides: &[i64], visit: &mut impl FnMut(usize)) {
    let Some((&length, inner)) = axes.split_first() else {
        return visit(usize::try_from(start).expect("a checked walk stays within its operand"));
    };
    for at in 0..length {
        walk(inner, start + signed(at) * strides[0], &strides[1..], visit);
    }
}
