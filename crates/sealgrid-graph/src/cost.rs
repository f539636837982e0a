//! What a graph costs: an interpreter that counts, and an estimate of time from measured constants.

use std::convert::Infallible;

use minicbor::{Decode, Encode};

use crate::integer::{Graph, Interpreter, Operation, Primitive, ValueType};
use crate::tensor::{Shape, Tensor};

/// Counts for one record; exact, from the structure alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Cost {
    /// Multiply-adds of products with weights and of values with values.
    #[n(0)]
    pub multiply_adds: u64,
    /// Elements that operations yield, each through an output stage, a table, a comparison or a move.
    #[n(1)]
    pub elements: u64,
    /// Operations.
    #[n(2)]
    pub operations: u64,
    /// Elements of the parameter tensors.
    #[n(3)]
    pub parameters: u64,
    /// Bytes of the parameter tensors.
    #[n(4)]
    pub parameter_bytes: u64,
    /// Most bytes of values that live at the same time.
    #[n(5)]
    pub peak_bytes: u64,
    /// Bytes that a trace hashes: the outputs of all operations.
    #[n(6)]
    pub trace_bytes: u64,
    /// Bytes of the inputs.
    #[n(7)]
    pub input_bytes: u64,
    /// Bytes of the outputs.
    #[n(8)]
    pub output_bytes: u64,
    /// Levels of trees that a record descends: one comparison each, which the next one waits for.
    #[n(9)]
    pub tree_levels: u64,
    /// Elements that go through tables too large to stand in a vector register.
    #[n(10)]
    pub lookups: u64,
}

/// Counts a graph.
#[must_use]
pub fn count(graph: &Graph) -> Cost {
    let mut counter = Counter::default();
    let Ok(outputs) = graph.interpret(&mut counter);
    let bytes = |tensor: &Tensor| (tensor.shape().count() * tensor.dtype().bytes()) as u64;
    Cost {
        operations: graph.operations().len() as u64,
        parameters: graph.parameters().iter().map(|tensor| tensor.shape().count() as u64).sum(),
        parameter_bytes: graph.parameters().iter().map(bytes).sum(),
        output_bytes: outputs.iter().map(|output| output.bytes).sum(),
        ..counter.finish()
    }
}

/// Counts as it walks. A counted value knows the bytes that live with it: when the walk drops it, they end.
#[derive(Default)]
struct Counter {
    cost: Cost,
    live: std::rc::Rc<std::cell::Cell<u64>>,
}

struct Counted {
    shape: Shape,
    bytes: u64,
    live: std::rc::Rc<std::cell::Cell<u64>>,
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new(self.shape.clone(), self.bytes, &self.live)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.live.set(self.live.get() - self.bytes);
    }
}

impl Counted {
    fn new(shape: Shape, bytes: u64, live: &std::rc::Rc<std::cell::Cell<u64>>) -> Self {
        live.set(live.get() + bytes);
        Self { shape, bytes, live: live.clone() }
    }
}

impl Counter {
    fn value(&mut self, value_type: &ValueType) -> Counted {
        let bytes = (value_type.shape.count() * value_type.dtype.bytes()) as u64;
        let value = Counted::new(value_type.shape.clone(), bytes, &self.live);
        self.cost.peak_bytes = self.cost.peak_bytes.max(self.live.get());
        value
    }

    fn finish(&self) -> Cost {
        self.cost
    }
}

impl Interpreter for Counter {
    type Value = Counted;
    type Error = Infallible;

    fn input(&mut self, _: usize, value_type: &ValueType) -> Result<Counted, Infallible> {
        let value = self.value(value_type);
        self.cost.input_bytes += value.bytes;
        Ok(value)
    }

    fn operation(
        &mut self,
        _: usize,
        operation: &Operation,
        operands: &[&Counted],
        parameters: &[Tensor],
    ) -> Result<Counted, Infallible> {
        let value = self.value(&operation.output);
        let elements = operation.output.shape.count() as u64;
        self.cost.elements += elements;
        self.cost.trace_bytes += value.bytes;
        match &operation.primitive {
            Primitive::TreeEnsemble { roots, nodes, .. } => {
                let trees = (parameters[roots.0 as usize].shape().count() as u64).saturating_sub(1).max(1);
                let nodes = parameters[nodes.0 as usize].shape().count() as u64 / 4;
                // Balanced trees of n nodes have log2(n + 1) levels, rounded up; the others are deeper somewhere and
                // shallower elsewhere.
                self.cost.tree_levels +=
                    trees * u64::from((nodes / trees + 1).max(2).next_power_of_two().ilog2());
            }
            Primitive::Lookup { table, .. } if table.len() > 256 => self.cost.lookups += elements,
            _ => {}
        }
        let each = multiply_adds(&operation.primitive, operands, parameters);
        // Both are at most 2^28; 65,536 operations of that size are only ever counted, never run.
        self.cost.multiply_adds = self.cost.multiply_adds.saturating_add(elements * each);
        Ok(value)
    }
}

/// Multiply-adds for one element of the result, and what costs as much: comparisons of pools and reductions.
fn multiply_adds(primitive: &Primitive, operands: &[&Counted], parameters: &[Tensor]) -> u64 {
    let count = |shape: &Shape| shape.count() as u64;
    match primitive {
        Primitive::Linear { weight, bias, .. } | Primitive::Convolution { weight, bias, .. } => {
            count(parameters[weight.0 as usize].shape()) / count(parameters[bias.0 as usize].shape())
        }
        Primitive::MatrixProduct { .. } => operands[0].shape.axes().last().map_or(1, |&depth| depth as u64),
        Primitive::Multiply { .. } | Primitive::Add { .. } => 1,
        Primitive::PoolSum { window, .. } | Primitive::PoolMaximum { window } => {
            window.kernel.iter().map(|&length| length as u64).product()
        }
        Primitive::ReduceSum { axes, .. } | Primitive::ReduceMaximum { axes } => {
            axes.iter().map(|&axis| operands[0].shape.axes()[axis] as u64).product()
        }
        Primitive::ArgMaximum { axis } => operands[0].shape.axes()[*axis] as u64,
        Primitive::Maximum | Primitive::Minimum => 1,
        Primitive::Constant { .. }
        | Primitive::TreeEnsemble { .. }
        | Primitive::Rescale { .. }
        | Primitive::Lookup { .. }
        | Primitive::Reciprocal { .. }
        | Primitive::ReciprocalSquareRoot { .. }
        | Primitive::Reshape
        | Primitive::Transpose { .. }
        | Primitive::Concatenate { .. }
        | Primitive::Slice { .. }
        | Primitive::Gather { .. }
        | Primitive::Pad { .. }
        | Primitive::Broadcast => 0,
    }
}

/// Measured constants of a machine and a network (by `sealgrid bench`, or the defaults of the documentation's
/// machine). Times in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// One multiply-add.
    pub multiply_add_ns: f64,
    /// One element of an operation's output.
    pub element_ns: f64,
    /// One operation, whatever its size, per run.
    pub operation_ns: f64,
    /// One level of one tree.
    pub tree_level_ns: f64,
    /// One element through a large table.
    pub lookup_ns: f64,
    /// Hashing one byte.
    pub hash_byte_ns: f64,
    /// Committing to one leaf, whatever its size.
    pub leaf_ns: f64,
    /// Sealing to one node and opening there: the public-key work of a job.
    pub seal_ns: f64,
    /// Encrypting, sending and decrypting one byte.
    pub byte_ns: f64,
    /// One question and its answer over the network.
    pub round_trip_ns: f64,
    /// One signature and its verification.
    pub signature_ns: f64,
    /// One durable write, such as a commit before it is sent.
    pub store_ns: f64,
}

impl Default for Calibration {
    /// One core of a 2-vCPU AMD EPYC (Zen 4, AVX-512) and loopback. The constants of a run were fitted to the shipped models
    /// (docs/reference/benchmarks/executor.md), but for the multiply-add, which is the processor's bound: the models
    /// are too small to show it. Orders of magnitude elsewhere.
    fn default() -> Self {
        Self {
            multiply_add_ns: 0.0085,
            element_ns: 0.4,
            operation_ns: 100.0,
            tree_level_ns: 2.3,
            lookup_ns: 10.7,
            hash_byte_ns: 0.3,
            leaf_ns: 300.0,
            seal_ns: 250_000.0,
            byte_ns: 1.0,
            round_trip_ns: 150_000.0,
            signature_ns: 60_000.0,
            store_ns: 1_000_000.0,
        }
    }
}

/// A run of a graph that was timed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// What was run.
    pub cost: Cost,
    /// How many records at once.
    pub records: u64,
    /// Least nanoseconds of one run.
    pub ns: f64,
}

impl Calibration {
    /// The same with the constants of a run fitted to what was measured on this machine: least squares of the logarithm of
    /// estimate over measurement. Without measurements they stay as they are.
    #[must_use]
    pub fn fitted(self, measured: &[Measured]) -> Self {
        let mut best = self;
        // A pattern search on a logarithmic scale: five constants, steps of a factor that shrinks to one in a thousand.
        let mut factor = 4.0_f64;
        while factor > 1.001 && !measured.is_empty() {
            let closer = best
                .neighbours(factor)
                .into_iter()
                .min_by(|a, b| a.error(measured).total_cmp(&b.error(measured)));
            match closer.filter(|closer| closer.error(measured) < best.error(measured)) {
                Some(closer) => best = closer,
                None => factor = factor.sqrt(),
            }
        }
        best
    }

    /// Every way to multiply or divide some of the run's constants by `factor`.
    fn neighbours(self, factor: f64) -> Vec<Self> {
        type Constant = fn(&mut Calibration) -> &mut f64;
        let constants: [Constant; 5] = [
            |at| &mut at.multiply_add_ns,
            |at| &mut at.element_ns,
            |at| &mut at.operation_ns,
            |at| &mut at.tree_level_ns,
            |at| &mut at.lookup_ns,
        ];
        let mut all = vec![self];
        for constant in constants {
            for mut other in all.clone() {
                let own = *constant(&mut other);
                for step in [1.0 / factor, factor] {
                    *constant(&mut other) = own * step;
                    all.push(other);
                }
            }
        }
        all
    }

    fn error(&self, measured: &[Measured]) -> f64 {
        measured.iter().map(|run| run.ratio(self).ln().powi(2)).sum()
    }

    /// The largest ratio between an estimate and its measurement, whichever is longer.
    #[must_use]
    pub fn worst(&self, measured: &[Measured]) -> f64 {
        measured.iter().map(|run| run.ratio(self).ln().abs().exp()).fold(1.0, f64::max)
    }
}

impl Measured {
    /// Estimate over measurement.
    #[must_use]
    pub fn ratio(&self, at: &Calibration) -> f64 {
        self.cost.estimate_ns(Mode::Plain, self.records, at) / self.ns
    }
}

/// A way to run a job whose time can be estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// On this machine, nothing hidden, nothing verified.
    Plain,
    /// End to end encrypted to one node, signed receipt.
    Sealed,
    /// The same to `members` nodes at once: commit, reveal, compare.
    Quorum {
        /// Committee size.
        members: u8,
    },
}

impl Cost {
    /// Estimated nanoseconds until the answer of a job of `records` records is there. Members of a quorum work at the
    /// same time on machines of their own; what the client does for each member adds up.
    #[must_use]
    pub fn estimate_ns(&self, mode: Mode, records: u64, at: &Calibration) -> f64 {
        let records = records as f64;
        let record = self.multiply_adds as f64 * at.multiply_add_ns
            + self.elements as f64 * at.element_ns
            + self.tree_levels as f64 * at.tree_level_ns
            + self.lookups as f64 * at.lookup_ns;
        let run = self.operations as f64 * at.operation_ns + records * record;
        let traced =
            run + self.operations as f64 * at.leaf_ns + records * self.trace_bytes as f64 * at.hash_byte_ns;
        let bytes = records * (self.input_bytes + self.output_bytes) as f64 * at.byte_ns;
        let sealed = at.seal_ns + bytes + 2.0 * at.signature_ns;
        match mode {
            Mode::Plain => run,
            Mode::Sealed => traced + sealed + at.round_trip_ns,
            Mode::Quorum { members } => {
                traced + f64::from(members) * sealed + 3.0 * at.round_trip_ns + 2.0 * at.store_ns
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integer::{Builder, Requantise};
    use crate::tensor::{DType, Data};

    fn requantise() -> Requantise {
        Requantise { multipliers: vec![1], shifts: vec![0], low: -128, high: 127, output: DType::I8 }
    }

    /// 4 → 3 → 3, int8.
    fn small() -> Graph {
        let shape = |axes: &[usize]| Shape::new(axes).expect("small");
        let tensor = |axes: &[usize], data| Tensor::new(shape(axes), data).expect("fits");
        let mut builder = Builder::new(vec![ValueType { dtype: DType::I8, shape: shape(&[1, 4]) }]);
        let weight = builder.parameter(tensor(&[3, 4], Data::I8(vec![1; 12])));
        let bias = builder.parameter(tensor(&[3], Data::I32(vec![0; 3])));
        let linear = Primitive::Linear { weight, bias, requantise: requantise() };
        let x = builder.push("linear", linear, &[builder.input(0)]).expect("fits");
        let y = builder.push("sum", Primitive::Multiply { requantise: requantise() }, &[x, x]).expect("fits");
        builder.finish(vec![y]).expect("valid")
    }

    #[test]
    fn counts_are_those_on_paper() {
        let expected = Cost {
            multiply_adds: 12 + 3,
            elements: 6,
            operations: 2,
            parameters: 15,
            parameter_bytes: 12 + 12,
            peak_bytes: 4 + 3,
            trace_bytes: 6,
            input_bytes: 4,
            output_bytes: 3,
            tree_levels: 0,
            lookups: 0,
        };
        assert_eq!(count(&small()), expected);
    }

    #[test]
    fn more_protection_never_takes_less_time() {
        let (cost, at) = (count(&small()), Calibration::default());
        let times = [Mode::Plain, Mode::Sealed, Mode::Quorum { members: 3 }, Mode::Quorum { members: 5 }]
            .map(|mode| cost.estimate_ns(mode, 100, &at));
        assert!(times.is_sorted(), "{times:?}");
    }

    #[test]
    fn constants_are_found_again_from_times_that_they_explain() {
        let machine = Calibration {
            multiply_add_ns: 0.02,
            element_ns: 1.5,
            operation_ns: 90.0,
            ..Calibration::default()
        };
        let runs = |multiply_adds, elements, operations| Cost {
            multiply_adds,
            elements,
            operations,
            ..Cost::default()
        };
        let costs = [runs(500, 12, 4), runs(80_000, 2_000, 9), runs(400_000, 9_000, 12), runs(2_600, 50, 5)];
        let measured: Vec<Measured> = costs
            .into_iter()
            .flat_map(|cost| [1, 32, 256].map(|records| (cost, records)))
            .map(|(cost, records)| Measured {
                cost,
                records,
                ns: cost.estimate_ns(Mode::Plain, records, &machine),
            })
            .collect();
        let start = Calibration::default();
        assert!(start.worst(&measured) > 1.5);
        assert!(start.fitted(&measured).worst(&measured) < 1.05, "{:?}", start.fitted(&measured));
        assert_eq!(start.fitted(&[]), start, "nothing measured, nothing changed");
    }
}
