//! Where a run's time goes, operation by operation.

use std::ops::ControlFlow;

use crate::execute::{BatchRef, Observer};

/// Time of one operation over all runs that were watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationTime {
    /// Position of the operation in the graph.
    pub operation: usize,
    /// In the unit of the clock that the profile was given.
    pub time: u64,
}

/// An observer that charges the time since the last call to the operation that has just ended.
///
/// This crate reads no clock: `clock` is given, for example `|| start.elapsed().as_nanos() as u64`.
#[derive(Debug)]
pub struct Profile<C> {
    clock: C,
    last: u64,
    times: Vec<u64>,
}

impl<C: FnMut() -> u64> Profile<C> {
    /// Nothing seen yet; the clock starts now.
    pub fn new(mut clock: C) -> Self {
        let last = clock();
        Self { clock, last, times: Vec::new() }
    }

    /// Begins another run, so that the time in between is charged to no operation.
    pub fn restart(&mut self) {
        self.last = (self.clock)();
    }

    /// Sums over all runs, in order of the operations.
    pub fn times(&self) -> impl Iterator<Item = OperationTime> {
        self.times.iter().enumerate().map(|(operation, &time)| OperationTime { operation, time })
    }
}

impl<C: FnMut() -> u64> Observer for Profile<C> {
    fn operation(&mut self, index: usize, _: BatchRef<'_>) -> ControlFlow<()> {
        let now = (self.clock)();
        if self.times.len() <= index {
            self.times.resize(index + 1, 0);
        }
        self.times[index] += now.saturating_sub(self.last);
        self.last = (self.clock)();
        ControlFlow::Continue(())
    }
}
