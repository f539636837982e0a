//! Misbehaviour on purpose, so that demonstrations and tests can show what the grid does about it.
//!
//! A fault is named in the node's own configuration and announced: in the log at start, as the metric
//! `sealgrid_fault`, and to every client that asks the node to describe itself. None of this code is reached
//! without it.

use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sealgrid_graph::execute::{Batch, BatchRef, ExecuteError, Executor, Observer, Prepared};
use sealgrid_graph::integer::Graph;
use sealgrid_graph::model::Model;
use sealgrid_graph::proving::{
    Asked, Openings, ProofSystem, ProvenRun, Prover, ProvingError, Side, Verifier, Verifiers,
};
use sealgrid_graph::reference::{self, Reference};
use sealgrid_graph::tensor::Data;
use sealgrid_seal::digest::{Commitment, CommitmentKey};

/// A kind of misbehaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// One operation's output is wrong, and everything after it consistent with the lie. Two liars tell the same lie:
    /// they collude, which is the harder case; a committee of liars only is not caught by any quorum.
    Lie,
    /// Every run takes [`SLOW`] longer.
    Slow,
    /// The process ends, without a word, when the first job is to run.
    Crash,
}

/// What [`Fault::Slow`] adds to a run: longer than any deadline of a demonstration.
pub const SLOW: Duration = Duration::from_secs(30);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lie => "lie",
            Self::Slow => "slow",
            Self::Crash => "crash",
        })
    }
}

/// The word is not a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fault is lie, slow or crash")]
pub struct UnknownFault;

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        match text {
            "lie" => Ok(Self::Lie),
            "slow" => Ok(Self::Slow),
            "crash" => Ok(Self::Crash),
            _ => Err(UnknownFault),
        }
    }
}

/// What a faulty node does when it is to crash: the binary aborts, a test stops its in-process node.
pub type Crash = Arc<dyn Fn() + Send + Sync>;

/// An executor that misbehaves as told.
pub struct Faulty {
    honest: Arc<dyn Executor>,
    fault: Fault,
    crash: Crash,
}

impl Faulty {
    /// Wraps `honest`.
    #[must_use]
    pub fn new(honest: Arc<dyn Executor>, fault: Fault, crash: Crash) -> Self {
        Self { honest, fault, crash }
    }
}

impl Executor for Faulty {
    fn name(&self) -> &'static str {
        match self.fault {
            Fault::Lie => "FAULT-lie",
            Fault::Slow => "FAULT-slow",
            Fault::Crash => "FAULT-crash",
        }
    }

    fn prepare(&self, graph: Arc<Graph>) -> Result<Box<dyn Prepared>, ExecuteError> {
        let honest = self.honest.prepare(graph)?;
        Ok(Box::new(FaultyRun { honest, fault: self.fault, crash: self.crash.clone() }))
    }
}

/// A proof system whose provers, told to lie, claim another result than they prove. Slow and crashing ones are so where their
/// model runs.
pub struct FaultyProofs {
    honest: Arc<dyn ProofSystem>,
    fault: Fault,
}

impl FaultyProofs {
    /// Wraps `honest`.
    #[must_use]
    pub fn new(honest: Arc<dyn ProofSystem>, fault: Fault) -> Self {
        Self { honest, fault }
    }
}

impl ProofSystem for FaultyProofs {
    fn prover(&self, model: Model) -> Result<Box<dyn Prover>, ProvingError> {
        let honest = self.honest.prover(model)?;
        Ok(match self.fault {
            Fault::Lie => Box::new(LyingProver(honest)),
            Fault::Slow | Fault::Crash => honest,
        })
    }
}

impl Verifiers for FaultyProofs {
    fn verifier(&self, published: &[u8]) -> Result<Box<dyn Verifier>, ProvingError> {
        self.honest.verifier(published)
    }
}

struct LyingProver(Box<dyn Prover>);

impl Prover for LyingProver {
    fn openings(&self) -> Openings {
        self.0.openings()
    }

    fn publish(&self) -> Result<Vec<u8>, ProvingError> {
        self.0.publish()
    }

    fn commit(&self, side: Side, key: &CommitmentKey, batches: &[Batch]) -> Result<Commitment, ProvingError> {
        self.0.commit(side, key, batches)
    }

    fn prove(
        &self,
        prepared: &dyn Prepared,
        asked: &Asked<'_>,
        spend: &mut dyn FnMut() -> bool,
    ) -> Result<ProvenRun, ProvingError> {
        // What a lying run claims has no proof at all.
        let honest = Reference.prepare(prepared.graph().clone());
        let honest = honest.map_err(|error| ProvingError::TooLarge(error.to_string()))?;
        let mut run = self.0.prove(honest.as_ref(), asked, spend)?;
        if let Some(output) = run.outputs.first_mut() {
            *output = falsified(output);
        }
        // Committed to like a true one: the proof is all that gives it away.
        run.output = self.0.commit(Side::Outputs, asked.key, &run.outputs)?;
        Ok(run)
    }
}

struct FaultyRun {
    honest: Box<dyn Prepared>,
    fault: Fault,
    crash: Crash,
}

impl Prepared for FaultyRun {
    fn graph(&self) -> &Arc<Graph> {
        self.honest.graph()
    }

    fn run(&self, inputs: &[Batch], observer: &mut dyn Observer) -> Result<Vec<Batch>, ExecuteError> {
        match self.fault {
            Fault::Lie => lie(self.honest.as_ref(), inputs, observer),
            Fault::Slow => {
                std::thread::sleep(SLOW);
                self.honest.run(inputs, observer)
            }
            Fault::Crash => {
                (self.crash)();
                Err(ExecuteError::Stopped)
            }
        }
    }
}

/// The operation that a liar falsifies: the middle one, so that agreement before it and consequences behind it are
/// both part of the dispute.
#[must_use]
pub fn lied_about(graph: &Graph) -> usize {
    graph.operations().len() / 2
}

/// Runs honestly, falsifies one output, then computes everything behind it from the false value on the reference:
/// the trace of a liar that is consistent with its lie, the hardest one to find.
fn lie(
    honest: &dyn Prepared,
    inputs: &[Batch],
    observer: &mut dyn Observer,
) -> Result<Vec<Batch>, ExecuteError> {
    let graph = honest.graph();
    let mut recorder = Recorder { outputs: Vec::new() };
    honest.run(inputs, &mut recorder)?;
    let records = inputs[0].records();
    let mut values: Vec<Batch> = inputs.to_vec();
    let mut honest_outputs = recorder.outputs.into_iter();
    let lied = lied_about(graph);
    for index in 0..graph.operations().len() {
        let output = honest_outputs.next().ok_or(ExecuteError::Stopped)?;
        let output = match index.cmp(&lied) {
            std::cmp::Ordering::Less => output,
            std::cmp::Ordering::Equal => falsified(&output),
            std::cmp::Ordering::Greater => recomputed(graph, index, &values, records)?,
        };
        if observer.watches() && observer.operation(index, output.view()).is_break() {
            return Err(ExecuteError::Stopped);
        }
        values.push(output);
    }
    Ok(graph.outputs().iter().map(|value| values[value.0 as usize].clone()).collect())
}

struct Recorder {
    outputs: Vec<Batch>,
}

impl Observer for Recorder {
    fn operation(&mut self, _: usize, output: BatchRef<'_>) -> ControlFlow<()> {
        self.outputs.push(output.to_batch());
        ControlFlow::Continue(())
    }
}

/// The same batch with its first element one off, within its type.
fn falsified(batch: &Batch) -> Batch {
    let mut data = batch.data().clone();
    match &mut data {
        Data::I8(elements) => elements.iter_mut().take(1).for_each(|x| *x ^= 1),
        Data::I16(elements) => elements.iter_mut().take(1).for_each(|x| *x ^= 1),
        Data::I32(elements) => elements.iter_mut().take(1).for_each(|x| *x ^= 1),
    }
    Batch::new(batch.records(), batch.shape().clone(), data).expect("shape and count are unchanged")
}

/// What the operation yields when computed from `values`, false ones included.
fn recomputed(graph: &Graph, index: usize, values: &[Batch], records: usize) -> Result<Batch, ExecuteError> {
    let operands = &graph.operations()[index].operands;
    let operands: Vec<Batch> = operands.iter().map(|value| values[value.0 as usize].clone()).collect();
    reference::run_operation(graph, index, records, &operands)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use sealgrid_graph::arbitrary;
    use sealgrid_graph::reference::Reference;
    use sealgrid_graph::trace::TraceObserver;
    use sealgrid_seal::digest::CommitmentKey;

    use super::*;

    fn faulty(fault: Fault) -> Faulty {
        Faulty::new(Arc::new(Reference), fault, Arc::new(|| {}))
    }

    #[test]
    fn a_lie_is_told_at_one_operation_and_is_consistent_behind_it() {
        for seed in 0..50 {
            let graph = Arc::new(arbitrary::graph(seed));
            let inputs = arbitrary::inputs(&graph, 2, seed);
            let key = CommitmentKey::new([7; 32]);
            let run = |executor: &dyn Executor| {
                let mut observer = TraceObserver::new(&key);
                let prepared = executor.prepare(graph.clone()).expect("prepares");
                let outputs = prepared.run(&inputs, &mut observer).expect("runs");
                (outputs, observer.finish().expect("a trace"))
            };
            let (_, honest) = run(&Reference);
            let (outputs, lying) = run(&faulty(Fault::Lie));
            assert_eq!(outputs.len(), graph.outputs().len());
            let first_difference = (0..honest.count()).find(|i| honest.leaf(*i) != lying.leaf(*i));
            assert_eq!(first_difference.map(|i| i as usize), Some(lied_about(&graph)), "seed {seed}");
        }
    }

    #[test]
    fn a_crash_calls_what_it_was_given_and_yields_nothing() {
        let crashed = Arc::new(AtomicBool::new(false));
        let flag = crashed.clone();
        let executor = Faulty::new(
            Arc::new(Reference),
            Fault::Crash,
            Arc::new(move || flag.store(true, Ordering::SeqCst)),
        );
        let graph = Arc::new(arbitrary::graph(1));
        let prepared = executor.prepare(graph.clone()).expect("prepares");
        assert!(prepared.run(&arbitrary::inputs(&graph, 1, 1), &mut ()).is_err());
        assert!(crashed.load(Ordering::SeqCst));
    }

    #[test]
    fn the_words_are_the_command_lines() {
        for fault in [Fault::Lie, Fault::Slow, Fault::Crash] {
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        assert_eq!("sulk".parse::<Fault>(), Err(UnknownFault));
    }
}
