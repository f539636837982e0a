//! Equality with the reference: random graphs on every backend, every operation's output, and the run without
//! an observer.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::{Available, Backend, FastExecutor, OperationTime, Profile};
use crate::arbitrary::{self, Random};
use crate::execute::{Batch, BatchRef, ExecuteError, Executor, Observer};
use crate::integer::{Builder, Graph, ParameterId, Primitive, Requantise, ValueType, Window};
use crate::reference::Reference;
use crate::tensor::{DType, Data, Shape, Tensor};

/// Keeps every operation's output.
#[derive(Default)]
struct Record(Vec<Batch>);

impl Observer for Record {
    fn operation(&mut self, index: usize, output: BatchRef<'_>) -> ControlFlow<()> {
        assert_eq!(index, self.0.len(), "operations are shown in order");
        self.0.push(output.to_batch());
        ControlFlow::Continue(())
    }
}

fn backends() -> impl Iterator<Item = Available> {
    Backend::ALL.into_iter().filter_map(Backend::available)
}

fn outputs(
    executor: &dyn Executor,
    graph: &Arc<Graph>,
    inputs: &[Batch],
    observer: &mut dyn Observer,
) -> Vec<Batch> {
    let prepared = executor.prepare(Arc::clone(graph)).expect("every valid graph is prepared");
    prepared.run(inputs, observer).expect("inputs fit")
}

fn check(graph: &Arc<Graph>, inputs: &[Batch], what: &str) {
    let mut expected = Record::default();
    let results = outputs(&Reference, graph, inputs, &mut expected);
    for available in backends() {
        let executor = FastExecutor::with_backend(available);
        let name = executor.name();
        let mut found = Record::default();
        assert_eq!(outputs(&executor, graph, inputs, &mut found), results, "{what}, {name}, watched");
        for (index, (found, expected)) in found.0.iter().zip(&expected.0).enumerate() {
            let primitive = &graph.operations()[index].primitive;
            assert_eq!(found, expected, "{what}, {name}, operation {index}: {primitive:?}");
        }
        assert_eq!(found.0.len(), expected.0.len(), "{what}, {name}");
        assert_eq!(outputs(&executor, graph, inputs, &mut ()), results, "{what}, {name}, unwatched");
    }
}

fn check_seeds(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let graph = Arc::new(arbitrary::graph(seed));
        let records = [1, 1, 2, 3, 7][usize::try_from(seed % 5).expect("below 5")];
        check(&graph, &arbitrary::inputs(&graph, records, seed), &format!("seed {seed}"));
    }
}

#[test]
fn random_graphs_equal_the_reference_first_quarter() {
    check_seeds(0..2_500);
}

#[test]
fn random_graphs_equal_the_reference_second_quarter() {
    check_seeds(2_500..5_000);
}

#[test]
fn random_graphs_equal_the_reference_third_quarter() {
    check_seeds(5_000..7_500);
}

#[test]
fn random_graphs_equal_the_reference_fourth_quarter() {
    check_seeds(7_500..10_000);
}

#[test]
fn each_kind_of_operation_equals_the_reference() {
    for kind in 0..25 {
        for seed in 0..40 {
            let graph = Arc::new(arbitrary::graph_of_kind(kind, seed));
            check(&graph, &arbitrary::inputs(&graph, 2, seed), &format!("kind {kind}, seed {seed}"));
        }
    }
}

/// One operation on one int8 input, with parameters of random bytes, some of them extreme.
struct Single {
    builder: Builder,
    random: Random,
}

impl Single {
    fn new(axes: &[usize], seed: u64) -> Self {
        let input = ValueType { dtype: DType::I8, shape: shape(axes) };
        Self { builder: Builder::new(vec![input]), random: Random::new(seed) }
    }

    fn bytes(&mut self, axes: &[usize]) -> ParameterId {
        // Every fourth tensor is all −128: the largest products there are.
        let extreme = self.random.below(4) == 0;
        let byte = |random: &mut Random| random.draw().to_le_bytes()[0].cast_signed();
        let elements = (0..shape(axes).count())
            .map(|_| if extreme { i8::MIN } else { byte(&mut self.random) })
            .collect();
        self.builder
            .parameter(Tensor::new(shape(axes), Data::I8(elements)).expect("as many as the shape has"))
    }

    fn bias(&mut self, channels: usize) -> ParameterId {
        let elements = (0..channels).map(|_| i32::from(self.random.draw().to_le_bytes()[0]) << 9).collect();
        self.builder.parameter(Tensor::new(shape(&[channels]), Data::I32(elements)).expect("one a channel"))
    }

    fn stage(&mut self, channels: usize) -> Requantise {
        let output =
            [DType::I8, DType::I16, DType::I32][usize::try_from(self.random.below(3)).expect("below 3")];
        let (low, high) = output.bounds();
        let shift = |random: &mut Random| 36 + random.draw().to_le_bytes()[0] % 8;
        Requantise {
            multipliers: (0..channels)
                .map(|_| (1 << 30) | i32::from(self.random.draw().to_le_bytes()[0]))
                .collect(),
            shifts: (0..channels).map(|_| shift(&mut self.random)).collect(),
            low,
            high,
            output,
        }
    }

    fn finish(mut self, primitive: Primitive) -> Arc<Graph> {
        let x = self.builder.input(0);
        let y = self.builder.push("single", primitive, &[x]).expect("a valid operation");
        Arc::new(self.builder.finish(vec![y]).expect("one output"))
    }
}

fn shape(axes: &[usize]) -> Shape {
    Shape::new(axes).expect("a small shape")
}

fn window(kernel: [usize; 2], strides: [usize; 2], dilations: [usize; 2], pads: [usize; 2]) -> Window {
    Window {
        kernel: kernel.to_vec(),
        strides: strides.to_vec(),
        dilations: dilations.to_vec(),
        pads_before: pads.to_vec(),
        pads_after: pads.to_vec(),
    }
}

/// `(input channels, rows, columns), output channels, groups, window`
type Shapes = ([usize; 3], usize, usize, Window);

fn convolution(
    [inputs, rows, columns]: [usize; 3],
    channels: usize,
    groups: usize,
    window: Window,
) -> Arc<Graph> {
    let mut single = Single::new(&[1, inputs, rows, columns], (channels * 64 + columns) as u64);
    let weight = single.bytes(&[&[channels, inputs / groups], window.kernel.as_slice()].concat());
    let (bias, requantise) = (single.bias(channels), single.stage(channels));
    single.finish(Primitive::Convolution { weight, bias, window, groups, requantise })
}

#[test]
fn convolutions_of_every_block_size_equal_the_reference() {
    let shapes: Vec<Shapes> = (1..=18)
        .map(|channels| {
            ([2, 5 + channels % 4, 9 + channels], channels, 1, window([3, 3], [1, 1], [1, 1], [1, 1]))
        })
        .chain([
            ([1, 28, 28], 6, 1, window([5, 5], [1, 1], [1, 1], [2, 2])),
            ([3, 17, 33], 5, 1, window([3, 3], [2, 2], [1, 1], [1, 1])),
            ([3, 9, 40], 4, 1, window([2, 5], [3, 3], [2, 2], [1, 4])),
            ([6, 11, 19], 6, 6, window([3, 3], [1, 1], [1, 1], [1, 1])),
            ([6, 11, 19], 12, 6, window([3, 3], [2, 1], [1, 2], [0, 1])),
            ([8, 6, 37], 4, 2, window([1, 1], [1, 1], [1, 1], [0, 0])),
            ([70, 4, 4], 9, 1, window([2, 2], [1, 1], [1, 1], [0, 0])),
            ([2, 1, 130], 3, 1, window([1, 7], [1, 5], [1, 3], [0, 9])),
            ([4, 5, 6], 33, 1, window([5, 6], [1, 1], [1, 1], [0, 0])),
        ])
        .collect();
    for (input, channels, groups, window) in shapes {
        let what = format!("{input:?} {channels} {groups} {window:?}");
        let graph = convolution(input, channels, groups, window);
        check(&graph, &arbitrary::inputs(&graph, 2, 5), &what);
    }
}

#[test]
fn linear_operations_of_every_block_size_equal_the_reference() {
    for (rows, depth, channels) in (1..=14).flat_map(|rows| [(rows, 3 + rows, 5 * rows), (rows, 64, 130)]) {
        let mut single = Single::new(&[rows, depth], depth as u64);
        let weight = single.bytes(&[channels, depth]);
        let (bias, requantise) = (single.bias(channels), single.stage(channels));
        let graph = single.finish(Primitive::Linear { weight, bias, requantise });
        check(&graph, &arbitrary::inputs(&graph, 1, 5), &format!("{rows} {depth} {channels}"));
    }
}

#[test]
fn pools_of_two_by_two_equal_the_reference() {
    for columns in 1..=40 {
        let single = Single::new(&[1, 3, 2 * (1 + columns % 5), 2 * columns], 0);
        let window = window([2, 2], [2, 2], [1, 1], [0, 0]);
        let graph = single.finish(Primitive::PoolMaximum { window });
        check(&graph, &arbitrary::inputs(&graph, 3, 5), &format!("{columns}"));
    }
}

#[test]
fn windows_out_of_proportion_equal_the_reference() {
    let far = window([2, 2], [32_768, 32_768], [30_000, 30_000], [30_000, 30_000]);
    let graph = convolution([1, 3, 4], 2, 1, far.clone());
    assert!(matches!(graph.operations()[0].output.shape.axes(), [1, 2, 1, 1]));
    check(&graph, &arbitrary::inputs(&graph, 2, 5), "convolution");
    let single = Single::new(&[1, 2, 3, 4], 0);
    let graph = single.finish(Primitive::PoolMaximum { window: far });
    check(&graph, &arbitrary::inputs(&graph, 2, 5), "pool");
}

/// A convolution that fills a pass with a few records.
fn large_records() -> Arc<Graph> {
    convolution([2, 40, 60], 24, 1, window([1, 1], [1, 1], [1, 1], [0, 0]))
}

#[test]
fn passes_and_threads_do_not_change_results() {
    let graph = large_records();
    let inputs = arbitrary::inputs(&graph, 23, 5);
    let expected = outputs(&FastExecutor::new(), &graph, &inputs, &mut Record::default());
    assert_eq!(outputs(&FastExecutor::new(), &graph, &inputs, &mut ()), expected);
    for threads in [2, 3, 64] {
        let executor = FastExecutor::new().with_threads(NonZeroUsize::new(threads).expect("not 0"));
        assert_eq!(outputs(&executor, &graph, &inputs, &mut ()), expected, "{threads} threads");
    }
}

#[test]
fn a_prepared_graph_runs_again_with_more_and_fewer_records() {
    for seed in 0..300 {
        let graph = Arc::new(arbitrary::graph(seed));
        let reference = Reference.prepare(Arc::clone(&graph)).expect("every valid graph is prepared");
        let fast = FastExecutor::new().prepare(Arc::clone(&graph)).expect("every valid graph is prepared");
        for records in [2, 5, 1] {
            let inputs = arbitrary::inputs(&graph, records, seed + records as u64);
            assert_eq!(fast.run(&inputs, &mut ()), reference.run(&inputs, &mut ()), "seed {seed}");
        }
    }
}

#[test]
fn an_observer_stops_a_run() {
    struct Stop;
    impl Observer for Stop {
        fn operation(&mut self, _: usize, _: BatchRef<'_>) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    let graph = Arc::new(arbitrary::graph(1));
    let prepared = FastExecutor::new().prepare(Arc::clone(&graph)).expect("every valid graph is prepared");
    assert_eq!(prepared.run(&arbitrary::inputs(&graph, 1, 1), &mut Stop), Err(ExecuteError::Stopped));
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let graph = large_records();
    let prepared = FastExecutor::new().prepare(graph).expect("every valid graph is prepared");
    assert_eq!(prepared.run(&[], &mut ()), Err(ExecuteError::Inputs { expected: 1, found: 0 }));
}

#[test]
fn a_profile_charges_each_operation_with_the_time_since_the_last() {
    let graph = large_records();
    let prepared = FastExecutor::new().prepare(Arc::clone(&graph)).expect("every valid graph is prepared");
    let mut now = 0;
    let mut profile = Profile::new(|| {
        now += 10;
        now
    });
    for _ in 0..2 {
        profile.restart();
        prepared.run(&arbitrary::inputs(&graph, 1, 1), &mut profile).expect("inputs fit");
    }
    assert_eq!(profile.times().collect::<Vec<_>>(), [OperationTime { operation: 0, time: 20 }]);
}

#[test]
fn plain_rust_is_always_available_and_the_fastest_is_available() {
    assert_eq!(Backend::Portable.available().map(Available::backend), Some(Backend::Portable));
    assert!(Available::fastest().backend().available().is_some());
}
