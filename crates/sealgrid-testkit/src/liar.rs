//! Ways to be dishonest, as real parts that fit the real sockets.

use std::ops::ControlFlow;
use std::sync::Arc;

use sealgrid_graph::execute::{Batch, ExecuteError, Observer, Prepared, check_inputs};
use sealgrid_graph::integer::{Graph, Interpreter, Operation, ValueType};
use sealgrid_graph::reference;
use sealgrid_graph::tensor::{Data, Tensor};

/// An executor whose operation `operation` yields something else, and which goes on honestly from there: what a node
/// with other weights, a broken unit, or a will of its own looks like. Two with the same fields tell the same lie.
#[derive(Debug)]
pub struct WrongFrom {
    /// The model.
    pub graph: Arc<Graph>,
    /// First operation whose output is wrong.
    pub operation: usize,
    /// How: flipped bits of the first element's lowest byte; not 0.
    pub flip: u8,
}

impl Prepared for WrongFrom {
    fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    fn run(&self, inputs: &[Batch], observer: &mut dyn Observer) -> Result<Vec<Batch>, ExecuteError> {
        let records = check_inputs(&self.graph, inputs)?;
        self.graph.interpret(&mut Lie { liar: self, records, inputs, observer })
    }
}

struct Lie<'a> {
    liar: &'a WrongFrom,
    records: usize,
    inputs: &'a [Batch],
    observer: &'a mut dyn Observer,
}

impl Interpreter for Lie<'_> {
    type Value = Batch;
    type Error = ExecuteError;

    fn input(&mut self, index: usize, _: &ValueType) -> Result<Batch, ExecuteError> {
        Ok(self.inputs[index].clone())
    }

    fn operation(
        &mut self,
        index: usize,
        _: &Operation,
        operands: &[&Batch],
        _: &[Tensor],
    ) -> Result<Batch, ExecuteError> {
        let operands: Vec<Batch> = operands.iter().copied().cloned().collect();
        let mut output = reference::run_operation(&self.liar.graph, index, self.records, &operands)?;
        if index == self.liar.operation {
            output = flipped(&output, self.liar.flip);
        }
        match self.observer.operation(index, output.view()) {
            ControlFlow::Continue(()) => Ok(output),
            ControlFlow::Break(()) => Err(ExecuteError::Stopped),
        }
    }
}

/// `batch` with bits of its first byte flipped.
#[must_use]
pub fn flipped(batch: &Batch, flip: u8) -> Batch {
    let mut bytes = batch.data().view().le_bytes().into_owned();
    if let Some(byte) = bytes.first_mut() {
        *byte ^= flip;
    }
    let data = Data::from_le_bytes(batch.dtype(), &bytes).expect("as many bytes as before");
    Batch::new(batch.records(), batch.shape().clone(), data).expect("as many elements as before")
}
