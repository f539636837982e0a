//! The fast executor: the same results as the reference, to the bit, at the processor's speed.
//!
//! [`FastExecutor::new`] takes the best kernels that this processor has; [`FastExecutor::with_backend`] forces
//! others. Preparing a graph packs its weights and plans its memory; a run then allocates nothing per operation.
//! Records are mapped in passes that fit the second-level cache, unless an observer watches: then each operation
//! is carried out over all records before the next, and its output shown.
//!
//! Workspaces are kept between runs and hold the last records' values until they are overwritten or the prepared
//! graph is dropped.
//!
//! # Non-goals
//! No threads unless asked for ([`FastExecutor::with_threads`]), no operation of its own: what a primitive means
//! is [`crate::reference`]. Layout and reasons: docs/design/0003-fast-executor.md.

mod kernels;
mod memory;
mod operations;
mod plan;
mod profile;
mod walk;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

pub use self::kernels::{Available, Backend};
use self::memory::{Source, Values};
use self::plan::{Pass, Plan, Workspace};
pub use self::profile::{OperationTime, Profile};
use crate::execute::{Batch, BatchRef, ExecuteError, Executor, Observer, Prepared, check_inputs};
use crate::integer::Graph;
use crate::tensor::{Data, DataRef, Shape};

/// Bytes of values that a pass works on: half of a common second-level cache.
const PASS_BYTES: usize = 512 << 10;
/// Workspaces kept for later runs.
const WORKSPACES_MAX: usize = 16;

/// Prepares graphs for this processor.
#[derive(Clone, Copy, Debug)]
pub struct FastExecutor {
    available: Available,
    threads: NonZeroUsize,
}

impl Default for FastExecutor {
    fn default() -> Self {
        Self::new()
    }
}

impl FastExecutor {
    /// The fastest kernels, one thread.
    #[must_use]
    pub fn new() -> Self {
        Self::with_backend(Available::fastest())
    }

    /// The given kernels, one thread.
    #[must_use]
    pub fn with_backend(available: Available) -> Self {
        Self { available, threads: NonZeroUsize::MIN }
    }

    /// Splits the records of a batch over so many threads, started for each run that nobody watches.
    #[must_use]
    pub fn with_threads(self, threads: NonZeroUsize) -> Self {
        Self { threads, ..self }
    }

    /// The kernels in use.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.available.backend()
    }
}

impl Executor for FastExecutor {
    fn name(&self) -> &'static str {
        self.backend().name()
    }

    fn prepare(&self, graph: Arc<Graph>) -> Result<Box<dyn Prepared>, ExecuteError> {
        let plan = Plan::new(self.available, &graph);
        Ok(Box::new(FastRun { graph, plan, threads: self.threads, idle: Mutex::default() }))
    }
}

struct FastRun {
    graph: Arc<Graph>,
    plan: Plan,
    threads: NonZeroUsize,
    idle: Mutex<Vec<Workspace>>,
}

impl Prepared for FastRun {
    fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    fn run(&self, inputs: &[Batch], observer: &mut dyn Observer) -> Result<Vec<Batch>, ExecuteError> {
        let records = check_inputs(&self.graph, inputs)?;
        let all = Pass { inputs, parameters: self.graph.parameters(), first: 0, records };
        let outputs = if observer.watches() {
            self.watched(&all, observer)?
        } else if self.threads.get() > 1 && records > 1 {
            self.shared(&all)
        } else {
            self.unwatched(&all)
        };
        let batches = outputs.into_iter().zip(self.graph.outputs()).map(|(data, id)| {
            let shape = self.graph.value_type(*id).shape.clone();
            Batch::new(records, shape, data).expect("every record yields its output")
        });
        Ok(batches.collect())
    }
}

impl FastRun {
    /// All records through each operation, each shown.
    fn watched(&self, all: &Pass<'_>, observer: &mut dyn Observer) -> Result<Vec<Data>, ExecuteError> {
        let mut workspace = self.workspace();
        self.plan.reserve(&mut workspace, all.records);
        let mut stopped = false;
        for (index, operation) in self.graph.operations().iter().enumerate() {
            self.plan.step(index, &mut workspace, all);
            let values = self.plan.values(&workspace, all);
            stopped = show(index, &operation.output.shape, self.plan.result(index), &values, observer);
            if stopped {
                break;
            }
        }
        let outputs = if stopped { Err(ExecuteError::Stopped) } else { Ok(self.collect(&workspace, all)) };
        self.keep(workspace);
        outputs
    }

    /// Pass by pass.
    fn unwatched(&self, all: &Pass<'_>) -> Vec<Data> {
        let at_once = (PASS_BYTES / self.plan.record_bytes().max(1)).clamp(1, all.records);
        let mut workspace = self.workspace();
        self.plan.reserve(&mut workspace, at_once);
        let mut outputs: Vec<Data> = Vec::new();
        for first in (all.first..all.first + all.records).step_by(at_once) {
            let records = at_once.min(all.first + all.records - first);
            let pass = Pass { first, records, ..*all };
            for index in 0..self.plan.len() {
                self.plan.step(index, &mut workspace, &pass);
            }
            let part = self.collect(&workspace, &pass);
            append(&mut outputs, part);
        }
        self.keep(workspace);
        outputs
    }

    /// Equal parts of the records, one a thread.
    fn shared(&self, all: &Pass<'_>) -> Vec<Data> {
        let part = all.records.div_ceil(self.threads.get());
        let mut outputs = Vec::new();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..all.records)
                .step_by(part)
                .map(|first| Pass { first, records: part.min(all.records - first), ..*all })
                .map(|pass| scope.spawn(move || self.unwatched(&pass)))
                .collect();
            for worker in workers {
                let part = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                append(&mut outputs, part);
            }
        });
        outputs
    }

    /// The outputs of a pass, owned.
    fn collect(&self, workspace: &Workspace, pass: &Pass<'_>) -> Vec<Data> {
        let values = self.plan.values(workspace, pass);
        self.plan.outputs.iter().map(|output| repeated(output, &values)).collect()
    }

    fn workspace(&self) -> Workspace {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop().unwrap_or_else(|| self.plan.workspace())
    }

    fn keep(&self, workspace: Workspace) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < WORKSPACES_MAX {
            idle.push(workspace);
        }
    }
}

/// Shows one result to the observer; whether it ended the run.
fn show(
    index: usize,
    shape: &Shape,
    result: &Source,
    values: &Values<'_>,
    observer: &mut dyn Observer,
) -> bool {
    let records = values.records;
    if result.constant && records > 1 {
        let data = repeated(result, values);
        return observer.operation(index, BatchRef { records, shape, data: data.view() }).is_break();
    }
    let data = values.of(result).data;
    observer.operation(index, BatchRef { records, shape, data }).is_break()
}

/// The elements of a value over all records; a constant is stored once and repeated here.
fn repeated(source: &Source, values: &Values<'_>) -> Data {
    let data = values.of(source).data;
    let times = if source.constant { values.records } else { 1 };
    match data {
        DataRef::I8(v) => Data::I8(v.repeat(times)),
        DataRef::I16(v) => Data::I16(v.repeat(times)),
        DataRef::I32(v) => Data::I32(v.repeat(times)),
    }
}

/// Puts the next records behind those that are there.
fn append(outputs: &mut Vec<Data>, part: Vec<Data>) {
    if outputs.is_empty() {
        *outputs = part;
        return;
    }
    for (output, part) in outputs.iter_mut().zip(part) {
        match (output, part) {
            (Data::I8(to), Data::I8(mut from)) => to.append(&mut from),
            (Data::I16(to), Data::I16(mut from)) => to.append(&mut from),
            (Data::I32(to), Data::I32(mut from)) => to.append(&mut from),
            (output, part) => unreachable!("{:?} behind {:?}", part.dtype(), output.dtype()),
        }
    }
}

#[cfg(test)]
mod tests;
