//! Products with a weight, and of two values.

use super::Task;
use crate::fast::kernels::{self, Aligned, Available, Format, Panels, Stage};
use crate::fast::memory::slice;
use crate::fast::walk::broadcast_strides;
use crate::integer::{Requantise, ValueType};
use crate::tensor::{DataRef, Tensor};

/// Bytes of packed rows at once: they stay in the second-level cache beside the weights.
const UNITS_BYTES: usize = 128 << 10;

/// `x · Wᵀ + b` over the last axis: all rows of all records are one matrix.
pub(in crate::fast) struct Linear {
    panels: Panels,
    stage: Stage,
    /// Rows of one record.
    rows: usize,
    channels: usize,
}

impl Linear {
    pub(super) fn new(
        available: Available,
        x: &ValueType,
        weight: &Tensor,
        bias: &Tensor,
        requantise: &Requantise,
    ) -> Self {
        let channels = weight.shape().axes()[0];
        let depth = weight.shape().count() / channels;
        let format = available.format(x.dtype);
        let mut panels = Panels::new(available, format, depth, channels);
        panels.fill(weight.data().view(), 0, 1, depth);
        let stage = Stage::new(requantise, biases(weight, bias, format), channels);
        Self { panels, stage, rows: x.shape.count() / depth, channels }
    }

    pub(super) fn run(&self, mut task: Task<'_>) {
        let x = task.operand(0);
        let rows = self.rows * task.records;
        let at_once = (UNITS_BYTES / (self.panels.groups().max(1) * 4)).max(48);
        for start in (0..rows).step_by(at_once) {
            let count = at_once.min(rows - start);
            let from = slice(x.data, start * self.panels.depth(), count * self.panels.depth());
            pack_rows(task.available, &self.panels, from, &mut task.scratch.units);
            let output = task.output.part(start * self.channels..(start + count) * self.channels);
            kernels::linear(&self.panels, task.scratch.units.of(), count, &self.stage, output);
        }
    }
}

/// Biases as the format wants them: with `x + 128` in place of `x`, `128 · Σw` is taken off beforehand.
pub(super) fn biases(weight: &Tensor, bias: &Tensor, format: Format) -> impl Iterator<Item = i32> {
    let channels = bias.shape().count();
    let depth = weight.shape().count() / channels;
    let (DataRef::I8(weights), DataRef::I32(biases)) = (weight.data().view(), bias.data().view()) else {
        unreachable!("a checked weight is int8 and its bias int32");
    };
    let flipped = i32::from(format == Format::Quads) * 128;
    biases.iter().zip(weights.chunks_exact(depth)).map(move |(bias, row)| {
        let sum = row.iter().fold(0i32, |sum, &w| sum.wrapping_add(w.into()));
        bias.wrapping_sub(sum.wrapping_mul(flipped))
    })
}

/// Packs whole rows into units. Elements that fill up a row's last unit meet weights of 0, so whatever the
/// memory held there stays.
fn pack_rows(available: Available, panels: &Panels, from: DataRef<'_>, units: &mut Aligned) {
    let (depth, groups) = (panels.depth(), panels.groups());
    let rows = from.len() / depth;
    units.reserve(rows * groups * 4);
    let (format, pitch) = (panels.format(), groups * panels.format().elements());
    // Rows that fill their units are packed as one.
    let (depth, pitch) = if pitch == depth { (from.len(), from.len()) } else { (depth, pitch) };
    match (format, from) {
        (Format::Quads, DataRef::I8(from)) => {
            for (from, to) in from.chunks_exact(depth).zip(units.of_mut().chunks_exact_mut(pitch)) {
                kernels::copy(available, from, &mut to[..depth], Format::Quads.flip());
            }
        }
        (Format::Pairs, DataRef::I8(from)) => {
            for (from, to) in from.chunks_exact(depth).zip(units.of_mut().chunks_exact_mut(pitch)) {
                kernels::widen_8_to_16(available, from, &mut to[..depth]);
            }
        }
        (Format::Pairs, DataRef::I16(from)) => {
            for (from, to) in from.chunks_exact(depth).zip(units.of_mut::<i16>().chunks_exact_mut(pitch)) {
                to[..depth].copy_from_slice(from);
            }
        }
        _ => unreachable!("a checked graph multiplies int8 and int16 only"),
    }
}

/// `[…, M, K] · […, K, N]`, leading axes broadcast.
pub(in crate::fast) struct MatrixProduct {
    available: Available,
    /// Where the two matrices of each product begin, in elements.
    matrices: Vec<[usize; 2]>,
    rows: usize,
    depth: usize,
    columns: usize,
    stage: Stage,
}

impl MatrixProduct {
    pub(super) fn new(
        available: Available,
        [a, b]: [&ValueType; 2],
        requantise: &Requantise,
        output: &ValueType,
    ) -> Self {
        let (lead, last) = output.shape.axes().split_at(output.shape.rank() - 2);
        let (rows, columns) = (last[0], last[1]);
        let depth = a.shape.axes()[a.shape.rank() - 1];
        let strides = [a, b].map(|operand| {
            let axes = operand.shape.axes();
            let matrices = &axes[..axes.len() - 2];
            broadcast_strides(matrices, lead.len())
        });
        let sizes = [rows * depth, depth * columns];
        let matrices = (0..lead.iter().product())
            .map(|index| {
                [0, 1].map(|side| sizes[side] * position(index, lead, &strides[side]).unsigned_abs())
            })
            .collect();
        let stage = Stage::new(requantise, std::iter::repeat_n(0, columns), columns);
        Self { available, matrices, rows, depth, columns, stage }
    }

    pub(super) fn run(&self, mut task: Task<'_>) {
        let (a, b) = (task.operand(0), task.operand(1));
        let panels = task
            .own
            .panels
            .get_or_insert_with(|| Panels::new(self.available, Format::Pairs, self.depth, self.columns));
        let size = self.rows * self.columns;
        let mut packed = None;
        for record in 0..task.records {
            for (index, [left, right]) in self.matrices.iter().enumerate() {
                let right = record * b.step + right;
                if packed != Some(right) {
                    panels.fill(b.data, right, self.columns, 1);
                    packed = Some(right);
                }
                let from = slice(a.data, record * a.step + left, self.rows * self.depth);
                pack_rows(task.available, panels, from, &mut task.scratch.units);
                let start = (record * self.matrices.len() + index) * size;
                let output = task.output.part(start..start + size);
                kernels::linear(panels, task.scratch.units.of(), self.rows, &self.stage, output);
            }
        }
    }
}

/// Where the `index`-th position of `axes` lies under `strides`.
fn position(mut index: usize, axes: &[usize], strides: &[isize]) -> isize {
    let mut at = 0;
    for (&length, &stride) in axes.iter().zip(strides).rev() {
        at += (index % length).cast_signed() * stride;
        index /= length;
    }
    at
}
