//! Sums, maxima and positions of maxima along axes.

use super::Task;
use crate::fast::kernels;
use crate::fast::memory::{chunks, load, store};
use crate::fast::walk::{Axis, Walk, strides};
use crate::integer::{Requantise, ValueType};

/// A sum, or a maximum where there is no output stage, over axes that keep length 1.
pub(in crate::fast) struct Reduce {
    /// Output and operand of one record, over the operand's axes.
    walk: Walk<2>,
    operand: usize,
    output: usize,
    sum: Option<Requantise>,
}

impl Reduce {
    pub(super) fn new(
        x: &ValueType,
        reduced: &[usize],
        sum: Option<&Requantise>,
        output: &ValueType,
    ) -> Self {
        let axes = x.shape.axes();
        let (from, to) = (strides(axes), strides(output.shape.axes()));
        let joined = (0..axes.len()).map(|axis| {
            let kept = if reduced.contains(&axis) { 0 } else { to[axis] };
            Axis { length: axes[axis], strides: [kept, from[axis]] }
        });
        Self {
            walk: Walk::new([0; 2], joined),
            operand: x.shape.count(),
            output: output.shape.count(),
            sum: sum.cloned(),
        }
    }

    pub(super) fn run(&self, mut task: Task<'_>) {
        let x = task.operand(0).data;
        let column = self.walk.column();
        for record in 0..task.records {
            let results = &mut task.scratch.wide;
            results.clear();
            results.resize(self.output, if self.sum.is_some() { 0 } else { i32::MIN });
            self.walk.for_each(|[to, from]| {
                for range in chunks(column.length) {
                    let values = &mut task.scratch.a[..range.len()];
                    load(task.available, x, record * self.operand + from + range.start, 1, values);
                    match (column.strides[0], &self.sum) {
                        (0, Some(_)) => {
                            let total =
                                values.iter().fold(results[to], |sum, &value| sum.wrapping_add(value));
                            results[to] = total;
                        }
                        (0, None) => {
                            results[to] = values.iter().fold(results[to], |most, &value| most.max(value));
                        }
                        (_, Some(_)) => {
                            kernels::sum(
                                task.available,
                                &mut results[to + range.start..][..range.len()],
                                values,
                            );
                        }
                        (_, None) => {
                            kernels::maximum(
                                task.available,
                                &mut results[to + range.start..][..range.len()],
                                values,
                            );
                        }
                    }
                }
            });
            if let Some(stage) = &self.sum {
                let (multiplier, shift) = (stage.multipliers[0], stage.shifts[0]);
                kernels::requantise(task.available, results, multiplier, shift, [stage.low, stage.high]);
            }
            store(task.available, results, &mut task.output, record * self.output);
        }
    }
}

/// The position of the first maximum along an axis.
pub(in crate::fast) struct ArgMaximum {
    length: usize,
    /// Elements from one position to the next.
    inner: usize,
}

impl ArgMaximum {
    pub(super) fn new(x: &ValueType, axis: usize) -> Self {
        let axes = x.shape.axes();
        Self { length: axes[axis], inner: axes[axis + 1..].iter().product() }
    }

    pub(super) fn run(&self, mut task: Task<'_>) {
        let x = task.operand(0).data;
        let block = self.length * self.inner;
        for (outer, start) in (0..x.len()).step_by(block).enumerate() {
            for range in chunks(self.inner) {
                let (most, best) = (&mut task.scratch.a[..range.len()], &mut task.scratch.wide);
                best.clear();
                best.resize(range.len(), 0);
                load(task.available, x, start + range.start, 1, most);
                let values = &mut task.scratch.b[..range.len()];
                for position in 1..self.length {
                    load(task.available, x, start + position * self.inner + range.start, 1, values);
                    let position = i32::try_from(position).expect("an axis has at most 2^28 elements");
                    for ((most, best), &value) in most.iter_mut().zip(best.iter_mut()).zip(values.iter()) {
                        *best = if value > *most { position } else { *best };
                        *most = value.max(*most);
                    }
                }
                store(task.available, best, &mut task.output, outer * self.inner + range.start);
            }
        }
    }
}
