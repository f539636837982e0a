//! The reference interpreter: slow, plain, obvious. It *is* the specification (docs/spec/graph.md); every
//! other executor must equal it.
//!
//! All arithmetic is on `i32` elements. Accumulators are `i32` modulo 2^32, spelled `wrapping_…`: on a model
//! that range analysis admits, none of them ever wraps.

use std::sync::Arc;

use crate::execute::{Batch, ExecuteError, Executor, Observer, Prepared, check_inputs};
use crate::integer::{Graph, Interpreter, Operation, Primitive, Requantise, ValueType, Window};
use crate::tensor::{Shape, Tensor};

/// The executor that defines all others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference;

impl Executor for Reference {
    fn name(&self) -> &'static str {
        "reference"
    }

    fn prepare(&self, graph: Arc<Graph>) -> Result<Box<dyn Prepared>, ExecuteError> {
        Ok(Box::new(ReferenceRun { graph }))
    }
}

struct ReferenceRun {
    graph: Arc<Graph>,
}

impl Prepared for ReferenceRun {
    fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    fn run(&self, inputs: &[Batch], observer: &mut dyn Observer) -> Result<Vec<Batch>, ExecuteError> {
        let records = check_inputs(&self.graph, inputs)?;
        self.graph.interpret(&mut OverRecords { records, inputs, observer })
    }
}

/// Carries out one operation alone, as the referee of a dispute does.
///
/// # Errors
/// [`ExecuteError`] when the operands are not those of the operation, or `index` names none.
pub fn run_operation(
    graph: &Graph,
    index: usize,
    records: usize,
    operands: &[Batch],
) -> Result<Batch, ExecuteError> {
    let operation = graph.operations().get(index).ok_or(ExecuteError::TooLarge(index))?;
    if operands.len() != operation.operands.len() {
        return Err(ExecuteError::Inputs { expected: operation.operands.len(), found: operands.len() });
    }
    for (position, (batch, id)) in operands.iter().zip(&operation.operands).enumerate() {
        if batch.value_type() != *graph.value_type(*id) {
            return Err(ExecuteError::InputType(position));
        }
        if batch.records() != records {
            return Err(ExecuteError::Records(position));
        }
    }
    let operands: Vec<&Batch> = operands.iter().collect();
    over_records(index, operation, records, &operands, graph.parameters())
}

/// The whole graph on one record, without checks of its own.
///
/// # Errors
/// [`ExecuteError`] when the inputs do not fit the graph.
pub fn run_record(graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Tensor>, ExecuteError> {
    let batches: Vec<Batch> = inputs
        .iter()
        .map(|input| Batch::from_records(std::slice::from_ref(input)).expect("one record is a batch"))
        .collect();
    let records = check_inputs(graph, &batches)?;
    let outputs = graph.interpret(&mut OverRecords { records, inputs: &batches, observer: &mut () })?;
    Ok(outputs.iter().map(|output| output.record(0)).collect())
}

/// The meaning of a graph on batches: each operation, record by record.
struct OverRecords<'a> {
    records: usize,
    inputs: &'a [Batch],
    observer: &'a mut dyn Observer,
}

impl Interpreter for OverRecords<'_> {
    type Value = Batch;
    type Error = ExecuteError;

    fn input(&mut self, index: usize, _: &ValueType) -> Result<Batch, ExecuteError> {
        Ok(self.inputs[index].clone())
    }

    fn operation(
        &mut self,
        index: usize,
        operation: &Operation,
        operands: &[&Batch],
        parameters: &[Tensor],
    ) -> Result<Batch, ExecuteError> {
        let output = over_records(index, operation, self.records, operands, parameters)?;
        if self.observer.watches() && self.observer.operation(index, output.view()).is_break() {
            return Err(ExecuteError::Stopped);
        }
        Ok(output)
    }
}

fn over_records(
    index: usize,
    operation: &Operation,
    records: usize,
    operands: &[&Batch],
    parameters: &[Tensor],
) -> Result<Batch, ExecuteError> {
    let outputs: Vec<Tensor> = (0..records)
        .map(|record| {
            let tensors: Vec<Tensor> = operands.iter().map(|operand| operand.record(record)).collect();
            evaluate(operation, &tensors, parameters)
        })
        .collect();
    Batch::from_records(&outputs).map_err(|_| ExecuteError::TooLarge(index))
}

/// One operation on the operands of one record. The operation is part of a checked graph and the operands are
/// of its types.
#[must_use]
pub fn evaluate(operation: &Operation, operands: &[Tensor], parameters: &[Tensor]) -> Tensor {
    let shape = &operation.output.shape;
    let parameter = |id: &crate::integer::ParameterId| &parameters[id.0 as usize];
    let elements = match &operation.primitive {
        Primitive::Constant { tensor } => elements(parameter(tensor)),
        Primitive::Linear { weight, bias, requantise } => {
            linear(&operands[0], parameter(weight), parameter(bias), requantise)
        }
        Primitive::Convolution { weight, bias, window, groups, requantise } => {
            let (weight, bias) = (parameter(weight), parameter(bias));
            convolution(&operands[0], weight, bias, window, *groups, requantise, shape)
        }
        Primitive::MatrixProduct { requantise } => {
            matrix_product(&operands[0], &operands[1], requantise, shape)
        }
        Primitive::Add { left, right, requantise } => {
            let sum = |x: i32, y: i32| i64::from(*left) * i64::from(x) + i64::from(*right) * i64::from(y);
            pairs(&operands[0], &operands[1], shape, |x, y| requantise_wide(sum(x, y), requantise, 0))
        }
        Primitive::Multiply { requantise } => {
            pairs(&operands[0], &operands[1], shape, |x, y| requantised(x.wrapping_mul(y), requantise, 0))
        }
        Primitive::Rescale { requantise } => rescale(&operands[0], requantise),
        Primitive::Lookup { first, table, output: _ } => {
            elements(&operands[0]).into_iter().map(|x| looked_up(x, *first, table)).collect()
        }
        Primitive::PoolMaximum { window } => pool_maximum(&operands[0], window, shape),
        Primitive::PoolSum { window, requantise } => {
            let sum = |taps: &[i32]| taps.iter().fold(0i32, |sum, &x| sum.wrapping_add(x));
            pool(&operands[0], window, shape, |taps| requantised(sum(taps), requantise, 0))
        }
        Primitive::ReduceSum { axes, requantise } => reduce(&operands[0], axes, shape, 0, i32::wrapping_add)
            .into_iter()
            .map(|sum| requantised(sum, requantise, 0))
            .collect(),
        Primitive::ReduceMaximum { axes } => reduce(&operands[0], axes, shape, i32::MIN, i32::max),
        Primitive::ArgMaximum { axis } => arg_maximum(&operands[0], *axis, shape),
        Primitive::Reciprocal { bits } => {
            elements(&operands[0]).into_iter().map(|x| reciprocal(x, *bits)).collect()
        }
        Primitive::ReciprocalSquareRoot { bits } => {
            elements(&operands[0]).into_iter().map(|x| reciprocal_square_root(x, *bits)).collect()
        }
        Primitive::Reshape => elements(&operands[0]),
        Primitive::Transpose { permutation } => moved(&operands[0], shape, |to| {
            let mut from = vec![0; to.len()];
            for (axis, &source) in permutation.iter().enumerate() {
                from[source] = to[axis];
            }
            from
        }),
        Primitive::Concatenate { axis } => concatenate(operands, *axis, shape),
        Primitive::Slice { starts, steps } => moved(&operands[0], shape, |to| {
            (0..to.len()).map(|axis| stepped(starts[axis], steps[axis], to[axis])).collect()
        }),
        Primitive::Gather { axis, indices } => moved(&operands[0], shape, |to| {
            let mut from = to.to_vec();
            from[*axis] = indices[to[*axis]];
            from
        }),
        Primitive::Pad { before, after: _, value } => pad(&operands[0], before, *value, shape),
        Primitive::Broadcast => moved(&operands[0], shape, |to| broadcast_position(operands[0].shape(), to)),
        Primitive::Maximum => pairs(&operands[0], &operands[1], shape, i32::max),
        Primitive::Minimum => pairs(&operands[0], &operands[1], shape, i32::min),
        Primitive::TreeEnsemble { roots, nodes, leaves, base, requantise } => {
            let tensors = [parameter(roots), parameter(nodes), parameter(leaves), parameter(base)];
            tree_ensemble(&operands[0], tensors, requantise)
        }
    };
    Tensor::from_elements(&operation.output, &elements).expect("a checked operation yields its stated type")
}

/// `clamp(floor((a·m + 2^(s−1)) / 2^s), low, high)`; `channel` selects `m` and `s` where there are several.
#[must_use]
pub fn requantised(accumulator: i32, stage: &Requantise, channel: usize) -> i32 {
    let entry = if stage.multipliers.len() == 1 { 0 } else { channel };
    requantise_wide(i64::from(accumulator) * i64::from(stage.multipliers[entry]), stage, entry)
}

/// The rest of [`requantised`] behind the multiplication. At most 2^62 in magnitude, so adding the half fits.
pub(crate) fn requantise_wide(product: i64, stage: &Requantise, entry: usize) -> i32 {
    let shift = stage.shifts[entry];
    let half = if shift == 0 { 0 } else { 1i64 << (shift - 1) };
    let rounded = (product + half) >> shift;
    let clamped = rounded.clamp(i64::from(stage.low), i64::from(stage.high));
    i32::try_from(clamped).expect("low and high are int32")
}

/// `table[clamp(x, first, first + len − 1) − first]`.
#[must_use]
pub fn looked_up(x: i32, first: i32, table: &[i32]) -> i32 {
    let distance = usize::try_from(i64::from(x) - i64::from(first)).unwrap_or(0);
    table[distance.min(table.len() - 1)]
}

/// `floor(2^bits / max(x, 1))`.
#[must_use]
pub fn reciprocal(x: i32, bits: u8) -> i32 {
    (1i32 << bits) / x.max(1)
}

/// `floor(sqrt(floor(2^bits / max(x, 1))))`.
#[must_use]
pub fn reciprocal_square_root(x: i32, bits: u8) -> i32 {
    let quotient = (1u64 << bits) / u64::from(x.max(1).unsigned_abs());
    i32::try_from(quotient.isqrt()).expect("the root of at most 2^60")
}

fn elements(tensor: &Tensor) -> Vec<i32> {
    (0..tensor.shape().count()).map(|position| tensor.at(position)).collect()
}

fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor, stage: &Requantise) -> Vec<i32> {
    let [channels, depth] = *weight.shape().axes() else { unreachable!("a checked weight has two axes") };
    let rows = x.shape().count() / depth;
    let mut result = Vec::new();
    for row in 0..rows {
        for channel in 0..channels {
            let mut sum = bias.at(channel);
            for k in 0..depth {
                sum = sum.wrapping_add(x.at(row * depth + k) * weight.at(channel * depth + k));
            }
            result.push(requantised(sum, stage, channel));
        }
    }
    result
}

fn convolution(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    window: &Window,
    groups: usize,
    stage: &Requantise,
    shape: &Shape,
) -> Vec<i32> {
    let channels_per_group = weight.shape().axes()[0] / groups;
    let inputs_per_group = weight.shape().axes()[1];
    let taps = positions(&window.kernel);
    let mut result = Vec::new();
    for to in positions(shape.axes()) {
        let channel = to[1];
        let group = channel / channels_per_group;
        let mut sum = bias.at(channel);
        for input in 0..inputs_per_group {
            for tap in &taps {
                let Some(spatial) = tapped(window, &x.shape().axes()[2..], &to[2..], tap) else { continue };
                let from = [&[0, group * inputs_per_group + input], spatial.as_slice()].concat();
                let with = [&[channel, input], tap.as_slice()].concat();
                let product = x.at(offset(x.shape(), &from)) * weight.at(offset(weight.shape(), &with));
                sum = sum.wrapping_add(product);
            }
        }
        result.push(requantised(sum, stage, channel));
    }
    result
}

fn matrix_product(a: &Tensor, b: &Tensor, stage: &Requantise, shape: &Shape) -> Vec<i32> {
    let depth = *a.shape().axes().last().expect("at least two axes");
    let operand_offset = |operand: &Tensor, to: &[usize], row: usize, column: usize| {
        let lead = &to[..to.len() - 2];
        let axes = operand.shape().axes();
        let own = axes.len() - 2;
        let mut from: Vec<usize> =
            (0..own).map(|axis| if axes[axis] == 1 { 0 } else { lead[axis + lead.len() - own] }).collect();
        from.extend([row, column]);
        offset(operand.shape(), &from)
    };
    let mut result = Vec::new();
    for to in positions(shape.axes()) {
        let [row, column] = [to[to.len() - 2], to[to.len() - 1]];
        let mut sum = 0i32;
        for k in 0..depth {
            let left = a.at(operand_offset(a, &to, row, k));
            let right = b.at(operand_offset(b, &to, k, column));
            sum = sum.wrapping_add(left * right);
        }
        result.push(requantised(sum, stage, 0));
    }
    result
}

fn rescale(x: &Tensor, stage: &Requantise) -> Vec<i32> {
    positions(x.shape().axes())
        .iter()
        .map(|at| requantised(x.at(offset(x.shape(), at)), stage, at.get(1).copied().unwrap_or(0)))
        .collect()
}

/// `operation` on the taps that fall on an element, for each output position.
fn pool(x: &Tensor, window: &Window, shape: &Shape, operation: impl Fn(&[i32]) -> i32) -> Vec<i32> {
    let taps = positions(&window.kernel);
    let mut result = Vec::new();
    for to in positions(shape.axes()) {
        let under: Vec<i32> = taps
            .iter()
            .filter_map(|tap| tapped(window, &x.shape().axes()[2..], &to[2..], tap))
            .map(|spatial| x.at(offset(x.shape(), &[&to[..2], spatial.as_slice()].concat())))
            .collect();
        result.push(operation(&under));
    }
    result
}

fn pool_maximum(x: &Tensor, window: &Window, shape: &Shape) -> Vec<i32> {
    let lowest = x.dtype().bounds().0;
    pool(x, window, shape, |taps| taps.iter().copied().max().unwrap_or(lowest))
}

/// The spatial position under a tap: `output·stride + tap·dilation − before`; `None` in the padding.
fn tapped(window: &Window, lengths: &[usize], output: &[usize], tap: &[usize]) -> Option<Vec<usize>> {
    (0..lengths.len())
        .map(|axis| {
            let padded = output[axis] * window.strides[axis] + tap[axis] * window.dilations[axis];
            padded.checked_sub(window.pads_before[axis]).filter(|&at| at < lengths[axis])
        })
        .collect()
}

fn reduce(x: &Tensor, axes: &[usize], shape: &Shape, start: i32, fold: fn(i32, i32) -> i32) -> Vec<i32> {
    let mut result = vec![start; shape.count()];
    for from in positions(x.shape().axes()) {
        let mut to = from.clone();
        for &axis in axes {
            to[axis] = 0;
        }
        let into = &mut result[offset(shape, &to)];
        *into = fold(*into, x.at(offset(x.shape(), &from)));
    }
    result
}

fn arg_maximum(x: &Tensor, axis: usize, shape: &Shape) -> Vec<i32> {
    let length = x.shape().axes()[axis];
    positions(shape.axes())
        .into_iter()
        .map(|mut at| {
            let mut best = (i32::MIN, 0);
            for position in 0..length {
                at[axis] = position;
                let element = x.at(offset(x.shape(), &at));
                if position == 0 || element > best.0 {
                    best = (element, position);
                }
            }
            i32::try_from(best.1).expect("an axis has at most 2^28 elements")
        })
        .collect()
}

fn concatenate(operands: &[Tensor], axis: usize, shape: &Shape) -> Vec<i32> {
    let mut result = vec![0; shape.count()];
    let mut start = 0;
    for operand in operands {
        for from in positions(operand.shape().axes()) {
            let mut to = from.clone();
            to[axis] += start;
            result[offset(shape, &to)] = operand.at(offset(operand.shape(), &from));
        }
        start += operand.shape().axes()[axis];
    }
    result
}

fn pad(x: &Tensor, before: &[usize], value: i32, shape: &Shape) -> Vec<i32> {
    let mut result = vec![value; shape.count()];
    for from in positions(x.shape().axes()) {
        let to: Vec<usize> = from.iter().zip(before).map(|(at, width)| at + width).collect();
        result[offset(shape, &to)] = x.at(offset(x.shape(), &from));
    }
    result
}

fn tree_ensemble(x: &Tensor, [roots, nodes, leaves, base]: [&Tensor; 4], stage: &Requantise) -> Vec<i32> {
    let index = |value: i32| usize::try_from(value).expect("checked to be an index");
    let outputs = base.shape().count();
    let mut sums = elements(base);
    for tree in 0..roots.shape().count() - 1 {
        let mut at = roots.at(tree);
        while at >= 0 {
            let node = 4 * index(at);
            let (feature, threshold) = (nodes.at(node), nodes.at(node + 1));
            let goes_left = x.at(index(feature)) <= threshold;
            at = nodes.at(node + if goes_left { 2 } else { 3 });
        }
        let leaf = index(-1 - at);
        for (output, sum) in sums.iter_mut().enumerate() {
            *sum = sum.wrapping_add(leaves.at(leaf * outputs + output));
        }
    }
    sums.into_iter().map(|sum| requantised(sum, stage, 0)).collect()
}

/// `operation` on each pair of elements of two operands that are broadcast to `shape`.
fn pairs(a: &Tensor, b: &Tensor, shape: &Shape, operation: impl Fn(i32, i32) -> i32) -> Vec<i32> {
    positions(shape.axes())
        .iter()
        .map(|to| {
            let x = a.at(offset(a.shape(), &broadcast_position(a.shape(), to)));
            let y = b.at(offset(b.shape(), &broadcast_position(b.shape(), to)));
            operation(x, y)
        })
        .collect()
}

/// The elements of `x` at `source(position)` for each position of `shape`.
fn moved(x: &Tensor, shape: &Shape, source: impl Fn(&[usize]) -> Vec<usize>) -> Vec<i32> {
    positions(shape.axes()).iter().map(|to| x.at(offset(x.shape(), &source(to)))).collect()
}

fn stepped(start: usize, step: i64, count: usize) -> usize {
    let position = start as i128 + i128::from(step) * count as i128;
    usize::try_from(position).expect("a checked slice stays within its operand")
}

/// Where a broadcast operand is read: axes aligned at the end, 0 along axes of length 1.
fn broadcast_position(shape: &Shape, to: &[usize]) -> Vec<usize> {
    let skipped = to.len() - shape.rank();
    shape.axes().iter().zip(&to[skipped..]).map(|(&length, &at)| if length == 1 { 0 } else { at }).collect()
}

/// All positions of a shape in row-major order.
fn positions(axes: &[usize]) -> Vec<Vec<usize>> {
    let mut result = vec![Vec::new()];
    for &length in axes {
        result = result
            .iter()
            .flat_map(|lead| (0..length).map(move |at| [lead.as_slice(), &[at]].concat()))
            .collect();
    }
    result
}

/// Row-major offset of a position.
fn offset(shape: &Shape, position: &[usize]) -> usize {
    shape.axes().iter().zip(position).fold(0, |offset, (&length, &at)| offset * length + at)
}

#[cfg(test)]
mod tests;
