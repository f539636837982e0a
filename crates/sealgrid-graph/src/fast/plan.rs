//! A graph as a flat list of steps, found by walking it once, and the memory one run of it needs.

use std::rc::Rc;

use super::kernels::{Aligned, Available};
use super::memory::{Lease, Place, Slots, Source, Values, slot_mut};
use super::operations::{Own, Scratch, Step, Task};
use crate::execute::Batch;
use crate::integer::{Graph, Interpreter, Operation, Primitive, ValueType};
use crate::tensor::Tensor;

/// Steps in order, packed weights included.
pub(super) struct Plan {
    available: Available,
    steps: Vec<Planned>,
    /// Bytes a record takes of each slot.
    slots: Vec<usize>,
    pub(super) outputs: Vec<Source>,
}

/// One operation: what is done, on what, to where.
struct Planned {
    step: Step,
    operands: Vec<Source>,
    result: Source,
}

/// Memory of one run, kept for the next one.
pub(super) struct Workspace {
    slots: Vec<Aligned>,
    own: Vec<Own>,
    scratch: Scratch,
}

impl Plan {
    pub(super) fn new(available: Available, graph: &Graph) -> Self {
        let mut planner = Planner { available, graph, steps: Vec::new(), slots: Slots::default() };
        let outputs = match graph.interpret(&mut planner) {
            Ok(values) => values.iter().map(|value| value.source).collect(),
            Err(never) => match never {},
        };
        Self { available, steps: planner.steps, slots: planner.slots.into_bytes(), outputs }
    }

    /// Bytes of all slots for one record.
    pub(super) fn record_bytes(&self) -> usize {
        self.slots.iter().sum()
    }

    /// Memory for runs of this plan; grows with the first run.
    pub(super) fn workspace(&self) -> Workspace {
        Workspace {
            slots: self.slots.iter().map(|_| Aligned::default()).collect(),
            own: self.steps.iter().map(|_| Own::default()).collect(),
            scratch: Scratch::default(),
        }
    }

    /// What a run's results are read from, once all steps are done.
    pub(super) fn values<'a>(&self, workspace: &'a Workspace, pass: &Pass<'a>) -> Values<'a> {
        Values {
            inputs: pass.inputs,
            parameters: pass.parameters,
            slots: &workspace.slots,
            first: pass.first,
            records: pass.records,
        }
    }

    /// Where the result of a step lies.
    pub(super) fn result(&self, index: usize) -> &Source {
        &self.steps[index].result
    }

    /// Number of steps, one per operation.
    pub(super) fn len(&self) -> usize {
        self.steps.len()
    }

    /// Makes room for a pass.
    pub(super) fn reserve(&self, workspace: &mut Workspace, records: usize) {
        for (slot, bytes) in workspace.slots.iter_mut().zip(&self.slots) {
            slot.reserve(bytes * records);
        }
    }

    /// Carries out one step. Slots of operands and result differ, so the result's is taken out while the
    /// others are read.
    pub(super) fn step(&self, index: usize, workspace: &mut Workspace, pass: &Pass<'_>) {
        let planned = &self.steps[index];
        let (Place::Slot(slot), false) = (planned.result.place, matches!(planned.step, Step::Alias)) else {
            return;
        };
        let records = if planned.result.constant { 1 } else { pass.records };
        let mut target = std::mem::take(&mut workspace.slots[slot]);
        let output = slot_mut(&mut target, planned.result.dtype, records * planned.result.count);
        let values = Values {
            inputs: pass.inputs,
            parameters: pass.parameters,
            slots: &workspace.slots,
            first: pass.first,
            records: pass.records,
        };
        planned.step.run(Task {
            available: self.available,
            values,
            sources: &planned.operands,
            records,
            output,
            scratch: &mut workspace.scratch,
            own: &mut workspace.own[index],
        });
        workspace.slots[slot] = target;
    }
}

/// A part of a run's records.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub(super) inputs: &'a [Batch],
    pub(super) parameters: &'a [Tensor],
    pub(super) first: usize,
    pub(super) records: usize,
}

/// The meaning of a graph as steps: a value is the place where it will lie.
struct Planner<'g> {
    available: Available,
    graph: &'g Graph,
    steps: Vec<Planned>,
    slots: Slots,
}

/// A place, held as long as the value is needed.
#[derive(Clone)]
struct Held {
    source: Source,
    _lease: Option<Rc<Lease>>,
}

impl Interpreter for Planner<'_> {
    type Value = Held;
    type Error = std::convert::Infallible;

    fn input(&mut self, index: usize, value_type: &ValueType) -> Result<Held, Self::Error> {
        Ok(Held { source: source(Place::Input(index), value_type, false), _lease: None })
    }

    fn operation(
        &mut self,
        _: usize,
        operation: &Operation,
        operands: &[&Held],
        parameters: &[Tensor],
    ) -> Result<Held, Self::Error> {
        let types: Vec<&ValueType> = operation.operands.iter().map(|id| self.graph.value_type(*id)).collect();
        let step = Step::new(self.available, operation, &types, parameters);
        let held = self.place(operation, operands);
        let operands = operands.iter().map(|held| held.source).collect();
        self.steps.push(Planned { step, operands, result: held.source });
        Ok(held)
    }
}

impl Planner<'_> {
    fn place(&mut self, operation: &Operation, operands: &[&Held]) -> Held {
        let output = &operation.output;
        match (&operation.primitive, operands) {
            (Primitive::Constant { tensor }, _) => {
                Held { source: source(Place::Parameter(*tensor), output, true), _lease: None }
            }
            (Primitive::Reshape, [operand]) => (*operand).clone(),
            _ => {
                let constant = operands.iter().all(|operand| operand.source.constant);
                let (slot, lease) = self.slots.lease(output.shape.count() * output.dtype.bytes());
                Held { source: source(Place::Slot(slot), output, constant), _lease: Some(lease) }
            }
        }
    }
}

fn source(place: Place, value_type: &ValueType, constant: bool) -> Source {
    Source { place, dtype: value_type.dtype, count: value_type.shape.count(), constant }
}
