//! Elements that only change place.

use super::Task;
use crate::fast::kernels::DataMut;
use crate::fast::memory::Operand;
use crate::fast::walk::{Axis, Walk, broadcast_strides, strides};
use crate::integer::ValueType;
use crate::tensor::DataRef;

/// Regular moves: each operand is one strided view, written to one strided part of the output.
pub(in crate::fast) struct Move {
    /// Output and operand of one record, for each operand.
    walks: Vec<Walk<2>>,
    count: usize,
    /// What the output is filled with before, where not everything is written.
    border: Option<i32>,
}

impl Move {
    fn one(walk: Walk<2>, output: &ValueType) -> Self {
        Self { walks: vec![walk], count: output.shape.count(), border: None }
    }

    pub(super) fn transpose(x: &ValueType, permutation: &[usize], output: &ValueType) -> Self {
        let from = strides(x.shape.axes());
        let read: Vec<isize> = permutation.iter().map(|&axis| from[axis]).collect();
        Self::one(reading(output, 0, &read), output)
    }

    pub(super) fn slice(x: &ValueType, starts: &[usize], steps: &[i64], output: &ValueType) -> Self {
        let own = strides(x.shape.axes());
        let start = starts.iter().zip(&own).map(|(&start, stride)| start.cast_signed() * stride).sum();
        // A step along an axis of length 1 is never taken and may be of any size.
        let taken = output.shape.axes().iter().zip(steps).zip(&own);
        let read: Vec<isize> = taken
            .map(|((&length, &step), stride)| match length {
                1 => 0,
                _ => stride * isize::try_from(step).expect("a checked slice stays within its operand"),
            })
            .collect();
        Self::one(reading(output, start, &read), output)
    }

    pub(super) fn broadcast(x: &ValueType, output: &ValueType) -> Self {
        Self::one(reading(output, 0, &broadcast_strides(x.shape.axes(), output.shape.rank())), output)
    }

    pub(super) fn pad(x: &ValueType, before: &[usize], value: i32, output: &ValueType) -> Self {
        let walk = writing(x, before, output);
        Self { walks: vec![walk], count: output.shape.count(), border: Some(value) }
    }

    pub(super) fn concatenate(operands: &[&ValueType], axis: usize, output: &ValueType) -> Self {
        let mut start = vec![0; output.shape.rank()];
        let walks = operands
            .iter()
            .map(|operand| {
                let walk = writing(operand, &start, output);
                start[axis] += operand.shape.axes()[axis];
                walk
            })
            .collect();
        Self { walks, count: output.shape.count(), border: None }
    }

    pub(super) fn run(&self, mut task: Task<'_>) {
        if let Some(value) = self.border {
            fill(&mut task.output, value);
        }
        for (index, walk) in self.walks.iter().enumerate() {
            let Operand { data, step } = task.operand(index);
            let records = (task.records, step, self.count);
            match (data, &mut task.output) {
                (DataRef::I8(from), DataMut::I8(to)) => move_all(walk, records, from, to),
                (DataRef::I16(from), DataMut::I16(to)) => move_all(walk, records, from, to),
                (DataRef::I32(from), DataMut::I32(to)) => move_all(walk, records, from, to),
                _ => unreachable!("moved elements keep their type"),
            }
        }
    }
}

/// The output from its first element on, the operand from `start` on with the given strides.
fn reading(output: &ValueType, start: isize, read: &[isize]) -> Walk<2> {
    let axes = output.shape.axes();
    let own = strides(axes);
    let joined = (0..axes.len()).map(|i| Axis { length: axes[i], strides: [own[i], read[i]] });
    Walk::new([0, start], joined)
}

/// The operand from its first element on, the output from position `start` on.
fn writing(x: &ValueType, start: &[usize], output: &ValueType) -> Walk<2> {
    let axes = x.shape.axes();
    let (from, to) = (strides(axes), strides(output.shape.axes()));
    let first = start.iter().zip(&to).map(|(&start, stride)| start.cast_signed() * stride).sum();
    let joined = (0..axes.len()).map(|i| Axis { length: axes[i], strides: [to[i], from[i]] });
    Walk::new([first, 0], joined)
}

fn fill(output: &mut DataMut<'_>, value: i32) {
    let fits = "a checked border lies within the element type";
    match output {
        DataMut::I8(to) => to.fill(i8::try_from(value).expect(fits)),
        DataMut::I16(to) => to.fill(i16::try_from(value).expect(fits)),
        DataMut::I32(to) => to.fill(value),
    }
}

fn move_all<T: Copy>(
    walk: &Walk<2>,
    (records, step, count): (usize, usize, usize),
    from: &[T],
    to: &mut [T],
) {
    let Axis { length, strides: [along, across] } = walk.column();
    for record in 0..records {
        walk.for_each(|[at, source]| {
            let (at, source) = (record * count + at, record * step + source);
            match (along, across) {
                (1, 1) => to[at..at + length].copy_from_slice(&from[source..source + length]),
                (1, 0) => to[at..at + length].fill(from[source]),
                _ => {
                    let (mut at, mut source) = (at.cast_signed(), source.cast_signed());
                    for _ in 0..length {
                        to[at.unsigned_abs()] = from[source.unsigned_abs()];
                        (at, source) = (at + along, source + across);
                    }
                }
            }
        });
    }
}

/// Elements at constant positions along an axis.
pub(in crate::fast) struct Gather {
    indices: Vec<usize>,
    length: usize,
    inner: usize,
}

impl Gather {
    pub(super) fn new(x: &ValueType, axis: usize, indices: &[usize]) -> Self {
        let axes = x.shape.axes();
        Self { indices: indices.to_vec(), length: axes[axis], inner: axes[axis + 1..].iter().product() }
    }

    pub(super) fn run(&self, mut task: Task<'_>) {
        match (task.operand(0).data, &mut task.output) {
            (DataRef::I8(from), DataMut::I8(to)) => self.gather(from, to),
            (DataRef::I16(from), DataMut::I16(to)) => self.gather(from, to),
            (DataRef::I32(from), DataMut::I32(to)) => self.gather(from, to),
            _ => unreachable!("gathered elements keep their type"),
        }
    }

    fn gather<T: Copy>(&self, from: &[T], to: &mut [T]) {
        let outer = from.chunks_exact(self.length * self.inner);
        for (from, to) in outer.zip(to.chunks_exact_mut(self.indices.len() * self.inner)) {
            if self.inner == 1 {
                for (to, &index) in to.iter_mut().zip(&self.indices) {
                    *to = from[index];
                }
                continue;
            }
            for (to, &index) in to.chunks_exact_mut(self.inner).zip(&self.indices) {
                to.copy_from_slice(&from[index * self.inner..][..self.inner]);
            }
        }
    }
}
