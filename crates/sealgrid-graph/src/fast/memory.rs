//! Where values live during a run: the inputs as they came, constants, and slots that values share by turns.

use std::cell::RefCell;
use std::rc::Rc;

use super::kernels::{self, Aligned, Available, DataMut};
use crate::execute::Batch;
use crate::integer::ParameterId;
use crate::tensor::{DType, DataRef, Tensor};

/// Where a value is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// An input of the run.
    Input(usize),
    /// A parameter.
    Parameter(ParameterId),
    /// A slot of the workspace.
    Slot(usize),
}

/// A value's place and type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub(super) place: Place,
    pub(super) dtype: DType,
    /// Elements of one record.
    pub(super) count: usize,
    /// Whether every record has the same, stored once.
    pub(super) constant: bool,
}

/// A slot in use; it is free again when the last value that shares it is dropped.
pub(super) struct Lease {
    slot: usize,
    free: Rc<RefCell<Vec<usize>>>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.free.borrow_mut().push(self.slot);
    }
}

/// Assigns slots while a graph is walked.
#[derive(Default)]
pub(super) struct Slots {
    /// Most bytes a record takes of each slot.
    bytes: Vec<usize>,
    free: Rc<RefCell<Vec<usize>>>,
}

impl Slots {
    /// A slot for `bytes` a record: the free one that grows, then wastes, least; else a new one.
    pub(super) fn lease(&mut self, bytes: usize) -> (usize, Rc<Lease>) {
        let misfit = |slot: usize| {
            let held = self.bytes[slot];
            (bytes.saturating_sub(held), held.saturating_sub(bytes))
        };
        let best = {
            let mut free = self.free.borrow_mut();
            let best = (0..free.len()).min_by_key(|&index| misfit(free[index]));
            best.map(|index| free.swap_remove(index))
        };
        let slot = best.unwrap_or_else(|| {
            self.bytes.push(0);
            self.bytes.len() - 1
        });
        self.bytes[slot] = self.bytes[slot].max(bytes);
        (slot, Rc::new(Lease { slot, free: Rc::clone(&self.free) }))
    }

    /// Most bytes a record takes of each slot.
    pub(super) fn into_bytes(self) -> Vec<usize> {
        self.bytes
    }
}

/// Everything that an operation may read.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) inputs: &'a [Batch],
    pub(super) parameters: &'a [Tensor],
    pub(super) slots: &'a [Aligned],
    /// The part of the inputs' records that this pass is about.
    pub(super) first: usize,
    pub(super) records: usize,
}

/// An operand over the records of a pass.
#[derive(Clone, Copy)]
pub(super) struct Operand<'a> {
    pub(super) data: DataRef<'a>,
    /// Elements from one record to the next; 0 for a constant.
    pub(super) step: usize,
}

impl<'a> Values<'a> {
    pub(super) fn of(&self, source: &Source) -> Operand<'a> {
        let records = if source.constant { 1 } else { self.records };
        let length = records * source.count;
        let data = match source.place {
            Place::Input(index) => {
                let start = self.first * source.count;
                slice(self.inputs[index].data().view(), start, length)
            }
            Place::Parameter(id) => self.parameters[id.0 as usize].data().view(),
            Place::Slot(slot) => match source.dtype {
                DType::I8 => DataRef::I8(&self.slots[slot].of()[..length]),
                DType::I16 => DataRef::I16(&self.slots[slot].of()[..length]),
                DType::I32 => DataRef::I32(&self.slots[slot].of()[..length]),
            },
        };
        Operand { data, step: if source.constant { 0 } else { source.count } }
    }
}

/// A range of elements.
pub(super) fn slice(data: DataRef<'_>, start: usize, length: usize) -> DataRef<'_> {
    match data {
        DataRef::I8(v) => DataRef::I8(&v[start..start + length]),
        DataRef::I16(v) => DataRef::I16(&v[start..start + length]),
        DataRef::I32(v) => DataRef::I32(&v[start..start + length]),
    }
}

/// The first `length` elements of a slot, to write.
pub(super) fn slot_mut(slot: &mut Aligned, dtype: DType, length: usize) -> DataMut<'_> {
    match dtype {
        DType::I8 => DataMut::I8(&mut slot.of_mut()[..length]),
        DType::I16 => DataMut::I16(&mut slot.of_mut()[..length]),
        DType::I32 => DataMut::I32(&mut slot.of_mut()[..length]),
    }
}

/// Elements that loops over `i32` take at once: three such chunks stay in the first-level cache.
pub(super) const CHUNK: usize = 1024;

/// Widens `to.len()` elements from `start` on, `stride` apart.
pub(super) fn load(available: Available, from: DataRef<'_>, start: usize, stride: isize, to: &mut [i32]) {
    match (stride, from) {
        (1, DataRef::I8(from)) => kernels::widen_8(available, &from[start..start + to.len()], to),
        (1, DataRef::I16(from)) => kernels::widen_16(available, &from[start..start + to.len()], to),
        (1, DataRef::I32(from)) => to.copy_from_slice(&from[start..start + to.len()]),
        (0, _) => to.fill(from.at(start)),
        _ => {
            let mut at = start.cast_signed();
            for to in to {
                *to = from.at(at.unsigned_abs());
                at += stride;
            }
        }
    }
}

/// Narrows to the output's type, which the elements fit.
pub(super) fn store(available: Available, from: &[i32], to: &mut DataMut<'_>, start: usize) {
    match to.part(start..start + from.len()) {
        DataMut::I8(to) => kernels::narrow_8(available, from, to),
        DataMut::I16(to) => kernels::narrow_16(available, from, to),
        DataMut::I32(to) => to.copy_from_slice(from),
    }
}

/// Cuts `0..length` into chunks.
pub(super) fn chunks(length: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..length).step_by(CHUNK).map(move |start| start..(start + CHUNK).min(length))
}
