//! Proving and verifying whole runs: what operations cost that are more than sums over weights.

#![expect(clippy::print_stdout, reason = "a measuring program prints its measurements")]

#[path = "models/encoder.rs"]
mod encoder;

use std::sync::Arc;
use std::time::Instant;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use sealgrid_graph::execute::{Batch, Executor as _};
use sealgrid_graph::integer::{Builder, Graph, Primitive, Requantise, ValueType};
use sealgrid_graph::reference::Reference;
use sealgrid_graph::tensor::{DType, Shape, Tensor};
use sealgrid_proof::level::Level;
use sealgrid_proof::registration::{self, Registration};
use sealgrid_proof::run::{Inputs, Run, Weights};
use sealgrid_proof::weights::Parameters;
use sealgrid_proof::{Transcript, argument};
use sealgrid_seal::digest::labels;
use sealgrid_seal::secret::Secret;

use self::encoder::{Size, encoder};

fn main() {
    let wide = |shift| Requantise {
        multipliers: vec![(1 << 30) + 12_345],
        shifts: vec![shift],
        low: -32768,
        high: 32767,
        output: DType::I16,
    };
    let values = |dtype, axes: &[usize]| ValueType { dtype, shape: Shape::new(axes).expect("small") };
    let i16s = || vec![values(DType::I16, &[64, 64]); 2];
    let kinds: Vec<(&str, Vec<ValueType>, Primitive)> = vec![
        ("multiply, 4,096 of 16 bits", i16s(), Primitive::Multiply { requantise: wide(45) }),
        (
            "matrix product, 64 x 64 x 64 of 8 bits",
            vec![values(DType::I8, &[64, 64]); 2],
            Primitive::MatrixProduct { requantise: wide(38) },
        ),
        ("rescale, 4,096 of 16 bits", i16s()[..1].to_vec(), Primitive::Rescale { requantise: wide(31) }),
        (
            "add, 4,096 of 16 bits",
            i16s(),
            Primitive::Add {
                left: 1 << 29,
                right: 400_000_000,
                requantise: Requantise { multipliers: vec![1], ..wide(30) },
            },
        ),
        ("minimum, 4,096 of 16 bits", i16s(), Primitive::Minimum),
        ("arg maximum, 64 lines of 64 of 16 bits", i16s()[..1].to_vec(), Primitive::ArgMaximum { axis: 1 }),
        ("reciprocal, 4,096 of 16 bits", i16s()[..1].to_vec(), Primitive::Reciprocal { bits: 24 }),
    ];
    for (name, inputs, primitive) in kinds {
        let mut builder = Builder::new(inputs.clone());
        let operands: Vec<_> = (0..inputs.len()).map(|index| builder.input(index)).collect();
        let y = builder.push(name, primitive, &operands).expect("valid");
        let graph = Arc::new(builder.finish(vec![y]).expect("valid"));
        let records = sealgrid_graph::arbitrary::inputs(&graph, 1, 1);
        measure(name, &graph, &records);
    }
    for (trees, depth) in [(10, 3), (50, 4)] {
        let graph = forest(trees, depth);
        for records in [1, 64] {
            let name = format!("{trees} trees of depth {depth} on 30 features, {records} records");
            let records = sealgrid_graph::arbitrary::inputs(&graph, records, 1);
            measure(&name, &graph, &records);
            measure_private(&name, &graph, &records);
        }
    }
    for layers in [1, 2] {
        let size = Size { tokens: 16, width: 64, heads: 4, inner: 256, layers };
        let (graph, records) = encoder(size, 1);
        measure(&format!("{size:?}"), &graph, &records);
        measure_private(&format!("{size:?}"), &graph, &records);
    }
}

/// So many full trees of a depth over 30 features of 16 bits, with two outputs.
fn forest(trees: i32, depth: u32) -> Arc<Graph> {
    let (nodes, leaves) = ((1 << depth) - 1, 1 << depth);
    let mut builder =
        Builder::new(vec![ValueType { dtype: DType::I16, shape: Shape::new(&[1, 30]).expect("small") }]);
    let x = builder.input(0);
    let node = |at: i32| {
        let (tree, within) = (at / nodes, at % nodes);
        let child = |side: i32| match 2 * within + side {
            child if child < nodes => tree * nodes + child,
            leaf => -1 - (tree * leaves + leaf - nodes),
        };
        [at * 7 % 30, (at * 1999) % 60_000 - 30_000, child(1), child(2)]
    };
    let mut table = |axes: [i32; 2], elements: Vec<i32>| {
        let axes = axes.map(|axis| usize::try_from(axis).expect("small"));
        let axes = if axes[1] == 0 { &axes[..1] } else { &axes[..] };
        let value_type = ValueType { dtype: DType::I32, shape: Shape::new(axes).expect("small") };
        builder.parameter(Tensor::from_elements(&value_type, &elements).expect("filled"))
    };
    let roots = table([trees + 1, 0], (0..=trees).map(|tree| tree * nodes).collect());
    let children = table([trees * nodes, 4], (0..trees * nodes).flat_map(node).collect());
    let values = (0..trees * leaves * 2).map(|at| (at * 7919) % 200_000 - 100_000);
    let leaves = table([trees * leaves, 2], values.collect());
    let base = table([2, 0], vec![5, -5]);
    let requantise = Requantise {
        multipliers: vec![1],
        shifts: vec![0],
        low: i32::MIN,
        high: i32::MAX,
        output: DType::I32,
    };
    let ensemble = Primitive::TreeEnsemble { roots, nodes: children, leaves, base, requantise };
    let y = builder.push("trees", ensemble, &[x]).expect("valid");
    Arc::new(builder.finish(vec![y]).expect("valid"))
}

fn measure(name: &str, graph: &Arc<Graph>, records: &[Batch]) {
    measure_with(name, graph, records, None);
}

/// With these parameters registered, and told to nobody.
fn measure_private(name: &str, graph: &Arc<Graph>, records: &[Batch]) {
    let elements = registration::elements(graph);
    let parameters = Parameters::commit(Level::default(), &elements, 32, &Secret::new([1; 32])).expect("few");
    let registration = Registration::of(graph, parameters.registered().clone());
    measure_with(
        &format!("{name}, weights private"),
        graph,
        records,
        Some(&(Arc::new(parameters), registration)),
    );
}

fn measure_with(
    name: &str,
    graph: &Arc<Graph>,
    records: &[Batch],
    private: Option<&(Arc<Parameters>, Registration)>,
) {
    let prepared = Reference.prepare(Arc::clone(graph)).expect("always");
    let outputs = prepared.run(records, &mut ()).expect("runs");
    let (mut proven, mut checked, mut bytes, mut bits) = (f64::MAX, f64::MAX, 0, 0.0);
    let transcript = || Transcript::new(labels::GRAPH_ARCHITECTURE);
    let weights =
        private.map_or(Weights::Public(Level::default()), |(_, registration)| Weights::Private(registration));
    for _ in 0..3 {
        let run = || Run::new(graph, weights, Inputs::Private(records[0].records()), outputs.clone());
        let started = Instant::now();
        let own = match run() {
            Ok(own) => own,
            Err(error) => return println!("{name}: {error}"),
        };
        let own = match private {
            Some((parameters, _)) => own.with_parameters(parameters),
            None => own,
        };
        let content = own.witness(prepared.as_ref(), records).expect("an honest run");
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let argument = argument::prove(&own, &content, transcript(), &mut rng).expect("fits");
        proven = started.elapsed().as_secs_f64().min(proven);
        let attached: usize = argument.attached.iter().map(Vec::len).sum();
        bytes = argument.opening.len() + attached + 20 * (argument.wires.len() + argument.last.len());
        let started = Instant::now();
        let other = run().expect("the same");
        bits = argument::verify(&other, &argument, transcript(), &mut rng).expect("an honest proof");
        checked = started.elapsed().as_secs_f64().min(checked);
    }
    let [proven, checked] = [proven, checked].map(|seconds| seconds * 1e3);
    println!(
        "{name}: proven in {proven:.0} ms, checked in {checked:.0} ms, {} KiB, {bits:.1} bits",
        bytes / 1024
    );
}
