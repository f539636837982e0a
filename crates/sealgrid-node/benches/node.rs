//! Sealed jobs beside the same work in the clear (docs/reference/benchmarks/node.md): one node and its client in this process,
//! over loopback. Prints a table; `sealgrid bench node` measures the same with a node in a process of its own.

#![expect(clippy::print_stdout, reason = "a measuring program prints its measurements")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::sync::Arc;

use common::*;
use sealgrid_graph::execute::Executor as _;
use sealgrid_graph::fast::FastExecutor;
use sealgrid_node::client::Job;
use sealgrid_node::measure::{self, Plain, Spread};
use sealgrid_protocol::names::Verification;

fn line(what: &str, spread: Spread) {
    println!(
        "{what:<58} least {:>9.1?}  median {:>9.1?}  worst {:>9.1?}",
        spread.least, spread.median, spread.worst
    );
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("starts");
    let grid = Grid::start(1, &[]);
    let prepared: Arc<dyn sealgrid_graph::execute::Prepared> =
        FastExecutor::default().prepare(grid.model.graph().clone()).expect("prepares").into();
    line(
        "write of 512 bytes and one fsync",
        measure::durable_write(grid.folder.path(), 512, 200).expect("room"),
    );
    let client = Arc::new(runtime.block_on(grid.client(1)));
    let job = |count: usize| {
        let mut policy = policy(Verification::Signed);
        policy.witnesses_min = 0;
        policy.limits.deadline_ms = 60_000;
        Job { log: false, policy, ..grid.job(Verification::Signed, count) }
    };
    for count in [1, 1000, 32_768] {
        let inputs = records(count);
        let run = measure::repeat(100, || prepared.run(&inputs, &mut ()).map(drop)).expect("runs");
        let mut plain = Plain::start(prepared.clone(), &inputs[0]).expect("loopback");
        let asked = measure::repeat(200, || plain.ask().map(drop)).expect("loopback");
        let sealed = runtime.block_on(measure::one_by_one(&client, || job(count), 100)).expect("accepted");
        let bytes =
            runtime.block_on(measure::assignment_bytes(&client, person(1), job(count))).expect("planned");
        println!("{count} records, {} bytes; sealed assignment {bytes} bytes", count * 30);
        line("  model alone", run);
        line("  plain: bytes over TCP, model, bytes back", asked);
        line("  sealed, signed, durable", sealed);
    }
    for in_flight in [1, 16, 48] {
        let jobs = 100 * in_flight;
        let before = measure::processor_time();
        let run = runtime.block_on(measure::many_at_once(&client, || job(1), in_flight, jobs));
        let processor = measure::processor_time().saturating_sub(before).as_secs_f64() / jobs as f64;
        let (took, each) = run.expect("accepted");
        println!(
            "{in_flight} in flight: {:.0} sealed requests a second; {:.0} µs of processor a request, client and node",
            jobs as f64 / took.as_secs_f64(),
            processor * 1e6
        );
        line("  each", each);
    }
}
