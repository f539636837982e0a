//! The contract of [`Executor`]: equality with the reference, to the bit, outputs and trace.

use std::sync::Arc;

use sealgrid_graph::arbitrary;
use sealgrid_graph::execute::{ExecuteError, Executor};
use sealgrid_graph::reference::Reference;
use sealgrid_graph::trace::TraceObserver;
use sealgrid_seal::digest::CommitmentKey;

/// Runs `graphs` random graphs from `seed` on `executor` and on the reference, watched and unwatched.
///
/// # Panics
/// Names the seed of the first graph whose outputs or trace differ, or that one of them refuses.
pub fn equals_the_reference(executor: &dyn Executor, seed: u64, graphs: u64) {
    for seed in seed..seed + graphs {
        let graph = Arc::new(arbitrary::graph(seed));
        let inputs = arbitrary::inputs(&graph, 1 + (seed % 3) as usize, seed);
        let key = CommitmentKey::new([7; 32]);
        let run = |executor: &dyn Executor| -> Result<_, ExecuteError> {
            let prepared = executor.prepare(Arc::clone(&graph))?;
            let mut observer = TraceObserver::new(&key);
            let watched = prepared.run(&inputs, &mut observer)?;
            let unwatched = prepared.run(&inputs, &mut ())?;
            assert_eq!(watched, unwatched, "{} differs when watched, seed {seed}", executor.name());
            Ok((watched, observer.finish().map(|tree| tree.root())))
        };
        let (expected, found) = (run(&Reference), run(executor));
        assert_eq!(found, expected, "{} differs from the reference, seed {seed}", executor.name());
    }
}

/// Inputs that do not fit are refused in the same words as the reference's.
///
/// # Panics
/// When `executor` takes them or says something else.
pub fn refuses_what_the_reference_refuses(executor: &dyn Executor) {
    let graph = Arc::new(arbitrary::graph(1));
    let prepared = executor.prepare(Arc::clone(&graph)).expect("an arbitrary graph is supported");
    let reference = Reference.prepare(Arc::clone(&graph)).expect("the reference runs everything");
    let mut more = arbitrary::inputs(&graph, 1, 1);
    more.push(more[0].clone());
    for inputs in [Vec::new(), more] {
        assert_eq!(prepared.run(&inputs, &mut ()), reference.run(&inputs, &mut ()));
    }
}

#[cfg(test)]
mod tests {
    use sealgrid_graph::fast::FastExecutor;

    use super::*;

    #[test]
    fn every_executor_keeps_the_contract() {
        for executor in [&Reference as &dyn Executor, &FastExecutor::new()] {
            equals_the_reference(executor, 1_000_000, 200);
            refuses_what_the_reference_refuses(executor);
        }
    }

    #[test]
    #[should_panic(expected = "differs from the reference")]
    fn an_executor_that_lies_breaks_it() {
        struct Liar;
        impl Executor for Liar {
            fn name(&self) -> &'static str {
                "liar"
            }
            fn prepare(
                &self,
                graph: Arc<sealgrid_graph::integer::Graph>,
            ) -> Result<Box<dyn sealgrid_graph::execute::Prepared>, ExecuteError> {
                Ok(Box::new(crate::liar::WrongFrom { graph, operation: 0, flip: 1 }))
            }
        }
        equals_the_reference(&Liar, 1, 1);
    }
}
