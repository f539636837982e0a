//! Value ranges: an interpreter whose values are intervals. It proves that no int32 accumulator of a graph can
//! leave int32, whatever the inputs, or says which could.
//!
//! Bounds use the actual weights: a channel's sum lies within `bias + Σ w·[low, high]`, taken term by term. For the
//! proof every *partial* sum counts, in every order: all of them lie between the sum of the terms' negative parts and
//! the sum of their positive parts. Intervals know nothing of relations between values (that `x − max(x)` is never
//! positive); importers put such knowledge into the bounds of a [`Requantise`].

use std::convert::Infallible;

use crate::integer::{
    Graph, Interpreter, Operation, ParameterId, Primitive, Requantise, ValueId, ValueType, Window,
};
use crate::reference::{looked_up, reciprocal, reciprocal_square_root, requantise_wide};
use crate::tensor::{Shape, Tensor};

/// All integers from `low` to `high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The least.
    pub low: i64,
    /// The greatest.
    pub high: i64,
}

/// The intervals of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationRange {
    /// Every partial sum of every accumulator, before the output stage; 0 where nothing is accumulated.
    pub accumulator: Interval,
    /// Every element of the result.
    pub output: Interval,
}

/// A graph that cannot be admitted: every accumulator that could leave int32, in the order of the operations.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct RangeError(pub Vec<Overflow>);

/// One accumulator that could leave int32.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("operation {index} ({name}): a sum may reach {} where int32 ends at {}", furthest(*.reach), i32::MAX)]
pub struct Overflow {
    /// Position of the operation.
    pub index: usize,
    /// Name of the operation.
    pub name: String,
    /// What its sums may reach.
    pub reach: Interval,
}

impl RangeError {
    /// The code under which docs/reference/errors/graph.md explains this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "E-IMP-55"
    }
}

/// The ranges of every operation of a graph, or all that could overflow.
///
/// # Errors
/// [`RangeError`] naming the operations.
pub fn analyse(graph: &Graph) -> Result<Vec<OperationRange>, RangeError> {
    let mut analysis =
        Analysis { ranges: Vec::with_capacity(graph.operations().len()), overflows: Vec::new() };
    let Ok(_) = graph.interpret(&mut analysis);
    if analysis.overflows.is_empty() { Ok(analysis.ranges) } else { Err(RangeError(analysis.overflows)) }
}

struct Analysis {
    ranges: Vec<OperationRange>,
    overflows: Vec<Overflow>,
}

/// What is known of a value.
#[derive(Clone)]
struct Known {
    range: Interval,
    shape: Shape,
}

impl Interpreter for Analysis {
    type Value = Known;
    type Error = Infallible;

    fn input(&mut self, _: usize, value_type: &ValueType) -> Result<Known, Infallible> {
        let (low, high) = value_type.dtype.bounds();
        let range = Interval { low: low.into(), high: high.into() };
        Ok(Known { range, shape: value_type.shape.clone() })
    }

    fn operation(
        &mut self,
        index: usize,
        operation: &Operation,
        operands: &[&Known],
        parameters: &[Tensor],
    ) -> Result<Known, Infallible> {
        let ranges: Vec<Interval> = operands.iter().map(|operand| operand.range).collect();
        let shapes: Vec<&Shape> = operands.iter().map(|operand| &operand.shape).collect();
        let range = Step { operation, operands: &ranges, shapes: &shapes, parameters }.range();
        // The sum of an addition is exact in 64 bits by construction; every other accumulator is 32 bits wide.
        let wide = matches!(operation.primitive, Primitive::Add { .. });
        if !wide && !range.accumulator.fits_int32() {
            let (name, reach) = (operation.name.clone(), range.accumulator);
            // What comes after is judged as if the output stage had clamped a right sum.
            self.overflows.push(Overflow { index, name, reach });
        }
        self.ranges.push(range);
        Ok(Known { range: range.output, shape: operation.output.shape.clone() })
    }
}

struct Step<'a> {
    operation: &'a Operation,
    operands: &'a [Interval],
    shapes: &'a [&'a Shape],
    parameters: &'a [Tensor],
}

impl Step<'_> {
    fn range(&self) -> OperationRange {
        match &self.operation.primitive {
            Primitive::Constant { tensor } => unsummed(hull(elements(self.parameter(*tensor)))),
            Primitive::Linear { weight, bias, requantise } => {
                self.weighted(*weight, *bias, requantise, self.operands[0])
            }
            Primitive::Convolution { weight, bias, window, groups: _, requantise } => {
                let tapped = if is_padded(window) { self.operands[0].with(0) } else { self.operands[0] };
                self.weighted(*weight, *bias, requantise, tapped)
            }
            Primitive::MatrixProduct { requantise } => {
                let depth = self.shapes[0].axes().last().copied().unwrap_or(1);
                repeated(depth, self.operands[0].times(self.operands[1])).staged(requantise)
            }
            Primitive::Add { left, right, requantise } => {
                let sum = self.operands[0].scaled(*left).plus(self.operands[1].scaled(*right));
                Sum { partial: sum.with(0), total: sum }.staged(requantise)
            }
            Primitive::Multiply { requantise } => {
                let product = self.product();
                Sum { partial: product, total: product }.staged(requantise)
            }
            Primitive::Rescale { requantise } => {
                Sum { partial: self.operands[0], total: self.operands[0] }.staged(requantise)
            }
            Primitive::Lookup { first, table, output: _ } => unsummed(self.looked_up(*first, table)),
            Primitive::PoolMaximum { window } => unsummed(self.pooled_maximum(window)),
            Primitive::PoolSum { window, requantise } => {
                let tapped = if is_padded(window) { self.operands[0].with(0) } else { self.operands[0] };
                repeated(window.kernel.iter().product(), tapped).staged(requantise)
            }
            Primitive::ReduceSum { axes, requantise } => {
                repeated(length_of(self.shapes[0], axes), self.operands[0]).staged(requantise)
            }
            Primitive::ArgMaximum { axis } => {
                let length = length_of(self.shapes[0], &[*axis]);
                unsummed(Interval { low: 0, high: as_i64(length) - 1 })
            }
            Primitive::Reciprocal { bits } => unsummed(self.falling(|x| reciprocal(x, *bits))),
            Primitive::ReciprocalSquareRoot { bits } => {
                unsummed(self.falling(|x| reciprocal_square_root(x, *bits)))
            }
            Primitive::ReduceMaximum { .. }
            | Primitive::Reshape
            | Primitive::Transpose { .. }
            | Primitive::Slice { .. }
            | Primitive::Gather { .. }
            | Primitive::Broadcast => unsummed(self.operands[0]),
            Primitive::Concatenate { .. } => {
                unsummed(self.operands.iter().copied().reduce(Interval::or).expect("at least one operand"))
            }
            Primitive::Pad { value, .. } => unsummed(self.operands[0].with((*value).into())),
            Primitive::Maximum => {
                let [a, b] = [self.operands[0], self.operands[1]];
                unsummed(Interval { low: a.low.max(b.low), high: a.high.max(b.high) })
            }
            Primitive::Minimum => {
                let [a, b] = [self.operands[0], self.operands[1]];
                unsummed(Interval { low: a.low.min(b.low), high: a.high.min(b.high) })
            }
            Primitive::TreeEnsemble { roots, nodes, leaves, base, requantise } => {
                self.trees([*roots, *nodes, *leaves, *base], requantise)
            }
        }
    }

    fn parameter(&self, id: ParameterId) -> &Tensor {
        &self.parameters[id.0 as usize]
    }

    /// One channel per row of the weight, each with its own sum and its own entry of the output stage.
    fn weighted(
        &self,
        weight: ParameterId,
        bias: ParameterId,
        stage: &Requantise,
        x: Interval,
    ) -> OperationRange {
        let (weight, bias) = (self.parameter(weight), self.parameter(bias));
        let channels = bias.shape().count();
        let depth = weight.shape().count() / channels;
        (0..channels)
            .map(|channel| {
                let terms = (0..depth).map(|k| x.scaled(weight.at(channel * depth + k)));
                sum(bias.at(channel), terms).staged_channel(stage, channel)
            })
            .reduce(OperationRange::or)
            .expect("at least one channel")
    }

    /// A square is never negative.
    fn product(&self) -> Interval {
        let [a, b]: [ValueId; 2] = [self.operation.operands[0], self.operation.operands[1]];
        let product = self.operands[0].times(self.operands[1]);
        match a == b {
            false => product,
            true => {
                let x = self.operands[0];
                let least = if x.contains(0) { 0 } else { x.low.abs().min(x.high.abs()).pow(2) };
                Interval { low: least, high: product.high }
            }
        }
    }

    fn looked_up(&self, first: i32, table: &[i32]) -> Interval {
        let position = |x: i64| {
            let distance = usize::try_from(x - i64::from(first)).unwrap_or(0);
            distance.min(table.len() - 1)
        };
        let reached = &table[position(self.operands[0].low)..=position(self.operands[0].high)];
        debug_assert!(reached.contains(&looked_up(self.operands[0].low_i32(), first, table)));
        hull(reached.iter().map(|&entry| entry.into()))
    }

    /// A window that falls on padding alone yields the lowest value of the type.
    fn pooled_maximum(&self, window: &Window) -> Interval {
        match is_padded(window) {
            true => self.operands[0].with(self.operation.output.dtype.bounds().0.into()),
            false => self.operands[0],
        }
    }

    fn falling(&self, function: impl Fn(i32) -> i32) -> Interval {
        let [low, high] = [self.operands[0].low_i32(), self.operands[0].high_i32()];
        Interval { low: function(high).into(), high: function(low).into() }
    }

    /// For each output: the base, and from each tree the least and the greatest leaf.
    fn trees(&self, ids: [ParameterId; 4], stage: &Requantise) -> OperationRange {
        let [roots, nodes, leaves, base] = ids.map(|id| self.parameter(id));
        let outputs = base.shape().count();
        let tree_leaves = |tree: usize| {
            (roots.at(tree)..roots.at(tree + 1))
                .flat_map(|node| [nodes.at(4 * index(node) + 2), nodes.at(4 * index(node) + 3)])
                .filter(|child| *child < 0)
                .map(|child| index(-1 - child))
        };
        (0..outputs)
            .map(|output| {
                let trees = 0..roots.shape().count() - 1;
                let terms = trees.map(|tree| {
                    hull(tree_leaves(tree).map(|leaf| leaves.at(leaf * outputs + output).into()))
                });
                sum(base.at(output), terms).staged(stage)
            })
            .reduce(OperationRange::or)
            .expect("at least one output")
    }
}

/// A sum of terms: where it ends, and where it may pass on the way, in any order.
struct Sum {
    partial: Interval,
    total: Interval,
}

fn sum(start: i32, terms: impl Iterator<Item = Interval>) -> Sum {
    let start = Interval { low: start.into(), high: start.into() };
    let begin = Sum { partial: start.with(0), total: start };
    terms
        .fold(begin, |sum, term| Sum { partial: sum.partial.plus(term.with(0)), total: sum.total.plus(term) })
}

/// `count` terms of one interval.
fn repeated(count: usize, term: Interval) -> Sum {
    let times = |x: i64| x.saturating_mul(as_i64(count));
    let total = Interval { low: times(term.low), high: times(term.high) };
    Sum { partial: total.with(0), total }
}

impl Sum {
    fn staged(&self, stage: &Requantise) -> OperationRange {
        (0..stage.shifts.len())
            .map(|entry| self.staged_channel(stage, entry))
            .reduce(OperationRange::or)
            .expect("a checked output stage has an entry")
    }

    /// The output stage is monotone, because multipliers are not negative.
    fn staged_channel(&self, stage: &Requantise, channel: usize) -> OperationRange {
        let entry = if stage.shifts.len() == 1 { 0 } else { channel };
        let apply = |x: i64| {
            // Beyond int32 the graph is refused anyway; an addition has multiplier 1 and at most 2^62.
            let product = x.saturating_mul(stage.multipliers[entry].into()).clamp(-(1 << 62), 1 << 62);
            i64::from(requantise_wide(product, stage, entry))
        };
        let output = Interval { low: apply(self.total.low), high: apply(self.total.high) };
        OperationRange { accumulator: self.partial, output }
    }
}

fn unsummed(output: Interval) -> OperationRange {
    OperationRange { accumulator: Interval { low: 0, high: 0 }, output }
}

impl OperationRange {
    fn or(self, other: Self) -> Self {
        Self { accumulator: self.accumulator.or(other.accumulator), output: self.output.or(other.output) }
    }
}

impl Interval {
    /// Whether `x` lies inside.
    #[must_use]
    pub fn contains(self, x: i64) -> bool {
        (self.low..=self.high).contains(&x)
    }

    /// Whether everything inside is an int32.
    #[must_use]
    pub fn fits_int32(self) -> bool {
        self.low >= i32::MIN.into() && self.high <= i32::MAX.into()
    }

    fn with(self, x: i64) -> Self {
        Self { low: self.low.min(x), high: self.high.max(x) }
    }

    fn or(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    fn plus(self, other: Self) -> Self {
        Self { low: self.low.saturating_add(other.low), high: self.high.saturating_add(other.high) }
    }

    fn scaled(self, factor: i32) -> Self {
        let ends = [self.low * i64::from(factor), self.high * i64::from(factor)];
        Self { low: ends[0].min(ends[1]), high: ends[0].max(ends[1]) }
    }

    fn times(self, other: Self) -> Self {
        hull([self.low, self.high].into_iter().flat_map(|a| [a * other.low, a * other.high]))
    }

    fn low_i32(self) -> i32 {
        i32::try_from(self.low).expect("every value is an int32")
    }

    fn high_i32(self) -> i32 {
        i32::try_from(self.high).expect("every value is an int32")
    }
}

fn hull(values: impl Iterator<Item = i64>) -> Interval {
    values
        .map(|value| Interval { low: value, high: value })
        .reduce(Interval::or)
        .expect("tensors, tables and trees have elements")
}

fn elements(tensor: &Tensor) -> impl Iterator<Item = i64> + '_ {
    (0..tensor.shape().count()).map(|position| tensor.at(position).into())
}

fn is_padded(window: &Window) -> bool {
    window.pads_before.iter().chain(&window.pads_after).any(|&pad| pad > 0)
}

fn length_of(shape: &Shape, axes: &[usize]) -> usize {
    axes.iter().map(|&axis| shape.axes()[axis]).product()
}

fn index(value: i32) -> usize {
    usize::try_from(value).expect("checked to be an index")
}

fn as_i64(count: usize) -> i64 {
    i64::try_from(count).expect("counts are below 2^28")
}

fn furthest(reach: Interval) -> i64 {
    if reach.low.unsigned_abs() > reach.high.unsigned_abs() { reach.low } else { reach.high }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;
    use std::sync::Arc;

    use super::*;
    use crate::arbitrary;
    use crate::execute::{BatchRef, Executor, Observer};
    use crate::integer::Builder;
    use crate::reference::Reference;
    use crate::tensor::{DType, Data};

    /// Fails when an operation yields what its range excludes.
    struct Within<'a> {
        ranges: &'a [OperationRange],
        seed: u64,
    }

    impl Observer for Within<'_> {
        fn operation(&mut self, index: usize, output: BatchRef<'_>) -> ControlFlow<()> {
            for position in 0..output.data.len() {
                let element = output.data.at(position).into();
                assert!(self.ranges[index].output.contains(element), "seed {}, operation {index}", self.seed);
            }
            ControlFlow::Continue(())
        }
    }

    #[test]
    fn no_run_of_an_admitted_graph_leaves_its_ranges() {
        let mut admitted = 0;
        for seed in 0..3000 {
            let graph = Arc::new(arbitrary::graph(seed));
            let Ok(ranges) = analyse(&graph) else { continue };
            admitted += 1;
            let prepared = Reference.prepare(graph.clone()).expect("the reference runs every graph");
            let inputs = arbitrary::inputs(&graph, 2, seed);
            prepared.run(&inputs, &mut Within { ranges: &ranges, seed }).expect("inputs fit");
        }
        assert!(admitted > 1000, "only {admitted} graphs were admitted");
    }

    /// As many sums of the same input as there are rows.
    fn linear(rows: &[&[i8]]) -> Graph {
        let weights = rows[0];
        let shape = |axes: &[usize]| Shape::new(axes).expect("small");
        let x = ValueType { dtype: DType::I16, shape: shape(&[weights.len()]) };
        let mut builder = Builder::new(vec![x]);
        let mut sums = Vec::new();
        for (row, weights) in rows.iter().enumerate() {
            let weight = Tensor::new(shape(&[1, weights.len()]), Data::I8(weights.to_vec())).expect("fits");
            let bias = Tensor::new(shape(&[1]), Data::I32(vec![0])).expect("fits");
            let (weight, bias) = (builder.parameter(weight), builder.parameter(bias));
            let (low, high) = DType::I32.bounds();
            let requantise =
                Requantise { multipliers: vec![1], shifts: vec![0], low, high, output: DType::I32 };
            let primitive = Primitive::Linear { weight, bias, requantise };
            sums.push(builder.push(&format!("fc{row}"), primitive, &[builder.input(0)]).expect("fits"));
        }
        builder.finish(sums).expect("valid")
    }

    #[test]
    fn a_sum_that_could_leave_int32_is_refused_and_one_that_could_not_is_admitted() {
        // 2^31 = 32,768 · 65,536: the lowest input times weights that add up to −65,536 just leaves int32.
        let most = [vec![-128; 511], vec![-127]].concat();
        let ranges = analyse(&linear(&[&most])).expect("reaches 2^31 − 32,768");
        assert_eq!(ranges[0].output, Interval { low: -32767 * 65535, high: (1 << 31) - 32768 });
        let error = analyse(&linear(&[&[-128; 512], &most, &[-128; 512]])).expect_err("reaches 2^31");
        assert_eq!(error.code(), "E-IMP-55");
        assert_eq!(
            error.to_string(),
            "operation 0 (fc0): a sum may reach 2147483648 where int32 ends at 2147483647; \
             operation 2 (fc2): a sum may reach 2147483648 where int32 ends at 2147483647"
        );
    }

    #[test]
    fn a_sum_that_only_passes_beyond_int32_on_the_way_is_refused() {
        let (up, down) = (vec![127; 600], vec![-127; 600]);
        assert!(analyse(&linear(&[&[up, down].concat()])).is_err());
    }

    #[test]
    fn a_square_is_not_negative() {
        let shape = Shape::new(&[3]).expect("small");
        let mut builder = Builder::new(vec![ValueType { dtype: DType::I16, shape }]);
        let (low, high) = DType::I32.bounds();
        let requantise = Requantise { multipliers: vec![1], shifts: vec![0], low, high, output: DType::I32 };
        let x = builder.input(0);
        let y = builder.push("square", Primitive::Multiply { requantise }, &[x, x]).expect("fits");
        let ranges = analyse(&builder.finish(vec![y]).expect("valid")).expect("fits int32");
        assert_eq!(ranges[0].output, Interval { low: 0, high: 1 << 30 });
    }
}
