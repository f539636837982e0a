//! The fast executor on single operations and on the shapes of shipped networks, one thread, every backend.
//!
//! Throughput is in multiply-adds. The lower bound of a Zen 4 core is 32 of them a cycle (one 512-bit `vpdpbusd` every
//! two); docs/reference/benchmarks/executor.md sets results beside it.

mod networks;

use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sealgrid_graph::execute::Executor;
use sealgrid_graph::fast::{Backend, FastExecutor};
use sealgrid_graph::integer::Graph;

fn executor(criterion: &mut Criterion) {
    let cases: [(&str, Graph, usize, u64); 8] = [
        ("linear 1x512x512", networks::linear(1, 512, 512), 1, 512 * 512),
        ("linear 32x512x512", networks::linear(32, 512, 512), 1, 32 * 512 * 512),
        ("linear 128x1024x1024", networks::linear(128, 1024, 1024), 1, 128 * 1024 * 1024),
        ("linear 1x4096x4096", networks::linear(1, 4096, 4096), 1, 4096 * 4096),
        ("convolution 64@3x3 28x28", networks::convolution(64, 28), 1, 28 * 28 * 64 * 64 * 9),
        ("digits-cnn", networks::digits_cnn(), 1, 80_896),
        ("lenet5", networks::lenet5(), 1, 416_520),
        ("lenet5 x32", networks::lenet5(), 32, 32 * 416_520),
    ];
    for (name, graph, records, products) in cases {
        let graph = Arc::new(graph);
        let inputs = [networks::random_batch(&graph.inputs()[0], records)];
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(products));
        for available in Backend::ALL.into_iter().filter_map(Backend::available) {
            let fast = FastExecutor::with_backend(available);
            let prepared = fast.prepare(Arc::clone(&graph)).expect("the graph is valid");
            group.bench_function(fast.name(), |bencher| {
                bencher.iter(|| prepared.run(&inputs, &mut ()).expect("inputs fit"));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, executor);
criterion_main!(benches);
