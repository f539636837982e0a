//! Times the fast executor on the shipped models, imported and quantised as `sealgrid model import` does it, and prints
//! JSON: what `scripts/bench_executor_peer.py` compares with ONNX Runtime. Beside each time stands what
//! `cost::Calibration` estimates, and at the end what it would be if it were fitted to these times.
//!
//! `bench_executor [--backend portable|avx2|avx512-vnni] [--threads N] [--profile]`
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a measuring program prints its measurements")]

#[expect(dead_code, reason = "labels are for the tests")]
#[path = "../tests/shipped/mod.rs"]
mod shipped;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealgrid_graph::cost::{self, Calibration, Measured, Mode};
use sealgrid_graph::execute::{Batch, Executor, Prepared};
use sealgrid_graph::fast::{Available, Backend, FastExecutor, Profile};
use sealgrid_graph::integer::Graph;

/// How long one shape is measured.
const MEASURED: Duration = Duration::from_millis(400);
/// Runs timed together, so that reading the clock does not count: about this long.
const SAMPLE: Duration = Duration::from_micros(200);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value_of = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(at + 1).map(String::as_str)
    };
    let available = match value_of("--backend") {
        None => Available::fastest(),
        Some(name) => {
            let backend = Backend::ALL.into_iter().find(|backend| backend.name() == name);
            backend.and_then(Backend::available).expect("--backend names a backend of this processor")
        }
    };
    let threads =
        value_of("--threads").map_or(NonZeroUsize::MIN, |n| n.parse().expect("--threads takes a number"));
    let executor = FastExecutor::with_backend(available).with_threads(threads);
    let profiled = arguments.iter().any(|argument| argument == "--profile");
    let (mut lines, mut measured) = (Vec::new(), Vec::new());
    let calibration = Calibration::default();
    for (name, stem) in shipped::MODELS {
        let (imported, quantised) = shipped::load(name, stem, &executor);
        let graph = Arc::clone(&quantised.graph);
        let prepared = executor.prepare(Arc::clone(&graph)).expect("the graph is valid");
        let (cost, test) = (cost::count(&graph), shipped::data(stem, "test").rows);
        for records in [1, 32, 256] {
            let rows: Vec<_> = test.iter().cycle().take(records).cloned().collect();
            let inputs = quantised.encode(&shipped::records(&imported, &rows));
            if profiled {
                profile(name, &graph, prepared.as_ref(), &inputs);
            }
            let [least, median] = measure(|| {
                std::hint::black_box(prepared.run(&inputs, &mut ()).expect("inputs fit"));
            });
            let estimated = cost.estimate_ns(Mode::Plain, records as u64, &calibration);
            lines.push(format!(
                r#"{{"model":"{name}","batch":{records},"backend":"{}","min_ns":{least:.0},"median_ns":{median:.0},"estimated_ns":{estimated:.0}}}"#,
                executor.name()
            ));
            measured.push(Measured { cost, records: records as u64, ns: least });
        }
    }
    println!("[{}]", lines.join(",\n "));
    let fitted = calibration.fitted(&measured);
    eprintln!("estimates are within a factor of {:.2} of these times", calibration.worst(&measured));
    eprintln!("fitted to them, within {:.2}: {fitted:?}", fitted.worst(&measured));
}

/// Least and median nanoseconds of one call.
fn measure(mut call: impl FnMut()) -> [f64; 2] {
    let start = Instant::now();
    let mut calls = 1u32;
    while start.elapsed() < SAMPLE {
        call();
        calls += 1;
    }
    let mut samples = Vec::new();
    let start = Instant::now();
    while start.elapsed() < MEASURED {
        let sample = Instant::now();
        for _ in 0..calls {
            call();
        }
        samples.push(sample.elapsed().as_secs_f64() * 1e9 / f64::from(calls));
    }
    samples.sort_by(f64::total_cmp);
    [samples[0], samples[samples.len() / 2]]
}

fn profile(name: &str, graph: &Graph, prepared: &dyn Prepared, inputs: &[Batch]) {
    const RUNS: u64 = 2000;
    let start = Instant::now();
    let mut profile = Profile::new(|| u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
    for _ in 0..RUNS {
        profile.restart();
        prepared.run(inputs, &mut profile).expect("inputs fit");
    }
    for entry in profile.times() {
        let operation = &graph.operations()[entry.operation];
        println!("{name} x{}: {} {} ns", inputs[0].records(), operation.name, entry.time / RUNS);
    }
}
