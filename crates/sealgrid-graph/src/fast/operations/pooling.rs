//! Windows without weights: the rows under a window are folded first, then the columns of what is left.

use super::convolution::positions;
use super::{Scratch, Task};
use crate::fast::kernels::{self, Available, DataMut};
use crate::fast::memory::{CHUNK, load, store};
use crate::integer::{Requantise, ValueType, Window};
use crate::tensor::{DType, DataRef};

/// Most rows under all windows, and most columns of a padded row, for one of the operand or the output.
const GROWTH_MAX: usize = 64;

/// Bytes of the operand that are pooled at once: the halves between the two passes stay in the first-level cache.
const POOL_BYTES: usize = 16 << 10;

/// A pool.
pub(in crate::fast) struct Pool {
    /// Operand rows under each output row, one list behind the other; `ends` says where each list ends.
    rows: Vec<usize>,
    ends: Vec<usize>,
    /// Operand rows of a plane, and columns of a row.
    plane_rows: usize,
    columns: usize,
    output_columns: usize,
    before: usize,
    /// Columns of a padded row.
    padded: usize,
    taps: usize,
    dilation: usize,
    stride: usize,
    fold: Fold,
    /// A maximum of bytes under 2 × 2 windows that neither overlap nor leave anything out.
    two_by_two: bool,
}

enum Fold {
    /// Largest, of this element type.
    Maximum(DType),
    Sum(Requantise),
}

impl Pool {
    /// `None` when the padded image would be out of proportion.
    pub(super) fn new(
        x: &ValueType,
        window: &Window,
        sum: Option<&Requantise>,
        output: &ValueType,
    ) -> Option<Self> {
        let (spatial, to) = (&x.shape.axes()[2..], &output.shape.axes()[2..]);
        let last = spatial.len() - 1;
        let (taps, dilation, stride) = (window.kernel[last], window.dilations[last], window.strides[last]);
        let padded = (to[last] - 1) * stride + (taps - 1) * dilation + 1;
        let proportion = (x.shape.count() + output.shape.count() + 1024).saturating_mul(GROWTH_MAX);
        let kernel_rows = window.kernel[..last].iter().try_fold(1usize, |rows, &k| rows.checked_mul(k))?;
        let row_count = kernel_rows.checked_mul(to[..last].iter().product())?;
        if row_count > proportion || padded > proportion {
            return None;
        }
        let (mut rows, mut ends) = (Vec::new(), Vec::new());
        for at in positions(&to[..last]) {
            rows.extend(
                positions(&window.kernel[..last])
                    .filter_map(|tap| row_under(window, &spatial[..last], &at, &tap)),
            );
            ends.push(rows.len());
        }
        let two_by_two = sum.is_none()
            && x.dtype == DType::I8
            && window.kernel == [2, 2]
            && window.strides == [2, 2]
            && window.dilations == [1, 1]
            && window.pads_before == [0, 0]
            && to.iter().zip(spatial).all(|(to, from)| to * 2 == *from);
        Some(Self {
            two_by_two,
            rows,
            ends,
            plane_rows: spatial[..last].iter().product(),
            columns: spatial[last],
            output_columns: to[last],
            before: window.pads_before[last],
            padded,
            taps,
            dilation,
            stride,
            fold: sum.map_or(Fold::Maximum(x.dtype), |requantise| Fold::Sum(requantise.clone())),
        })
    }

    pub(super) fn run(&self, mut task: Task<'_>) {
        let x = task.operand(0);
        if let (true, DataRef::I8(x), DataMut::I8(output)) = (self.two_by_two, x.data, &mut task.output) {
            return self.two_by_two(task.available, x, task.scratch, output);
        }
        let planes = x.data.len() / (self.plane_rows * self.columns);
        for plane in 0..planes {
            let mut start = 0;
            for (row, &end) in self.ends.iter().enumerate() {
                let rows = &self.rows[start..end];
                let at = (plane * self.ends.len() + row) * self.output_columns;
                let output = task.output.part(at..at + self.output_columns);
                let first = plane * self.plane_rows;
                match (x.data, output) {
                    (DataRef::I8(x), DataMut::I8(output)) if matches!(self.fold, Fold::Maximum(_)) => {
                        self.row_of_bytes(task.available, x, first, rows, task.scratch, output);
                    }
                    (x, output) => self.row(task.available, x, first, rows, task.scratch, output),
                }
                start = end;
            }
        }
    }

    /// Planes lie one behind the other and have even sides, so all of them are one tall plane.
    fn two_by_two(&self, available: Available, x: &[i8], scratch: &mut Scratch, output: &mut [i8]) {
        let scratch = &mut scratch.bytes;
        let rows_at_once = (POOL_BYTES / (2 * self.columns)).max(1);
        let bytes = 2 * self.columns * rows_at_once;
        if scratch.len() < bytes + 32 {
            scratch.resize(bytes + 32, 0);
        }
        let (halves, results) = scratch.split_at_mut(bytes / 2 + 16);
        for (x, output) in x.chunks(bytes).zip(output.chunks_mut(bytes / 4)) {
            kernels::pool_two_by_two(available, x, self.columns, halves, results);
            output.copy_from_slice(&results[..output.len()]);
        }
    }

    /// Columns of the operand that lie under a window.
    fn read(&self) -> usize {
        self.columns.min(self.padded - self.before.min(self.padded))
    }

    fn row_of_bytes(
        &self,
        available: Available,
        x: &[i8],
        first: usize,
        rows: &[usize],
        scratch: &mut Scratch,
        output: &mut [i8],
    ) {
        let operand_row = |row: usize| &x[(first + row) * self.columns..][..self.read()];
        let folded = &mut scratch.bytes;
        folded.clear();
        folded.resize(self.padded, i8::MIN);
        let under = &mut folded[self.before.min(self.padded)..][..self.read()];
        for &row in rows {
            kernels::maximum_bytes(available, under, operand_row(row));
        }
        kernels::pick_maximum_bytes(available, folded, output, self.taps, self.dilation, self.stride);
    }

    fn row(
        &self,
        available: Available,
        x: DataRef<'_>,
        first: usize,
        rows: &[usize],
        scratch: &mut Scratch,
        mut output: DataMut<'_>,
    ) {
        let neutral = match &self.fold {
            Fold::Maximum(dtype) => dtype.bounds().0,
            Fold::Sum(_) => 0,
        };
        let wide = &mut scratch.wide;
        wide.clear();
        wide.resize(self.padded + self.output_columns, neutral);
        let (folded, picked) = wide.split_at_mut(self.padded);
        let under = &mut folded[self.before.min(self.padded)..][..self.read()];
        for &row in rows {
            for (part, under) in under.chunks_mut(CHUNK).enumerate() {
                let b = &mut scratch.b[..under.len()];
                load(available, x, (first + row) * self.columns + part * CHUNK, 1, b);
                match &self.fold {
                    Fold::Maximum(_) => kernels::maximum(available, under, b),
                    Fold::Sum(_) => kernels::sum(available, under, b),
                }
            }
        }
        match &self.fold {
            Fold::Maximum(_) => {
                kernels::pick_maximum(available, folded, picked, self.taps, self.dilation, self.stride);
            }
            Fold::Sum(stage) => {
                kernels::pick_sum(available, folded, picked, self.taps, self.dilation, self.stride);
                kernels::requantise(
                    available,
                    picked,
                    stage.multipliers[0],
                    stage.shifts[0],
                    [stage.low, stage.high],
                );
            }
        }
        store(available, picked, &mut output, 0);
    }
}

/// The operand row under a tap of the window's leading axes; `None` in the padding.
fn row_under(window: &Window, lengths: &[usize], at: &[usize], tap: &[usize]) -> Option<usize> {
    let mut row = 0;
    for (axis, &length) in lengths.iter().enumerate() {
        let padded = at[axis] * window.strides[axis] + tap[axis] * window.dilations[axis];
        let own = padded.checked_sub(window.pads_before[axis]).filter(|&own| own < length)?;
        row = row * length + own;
    }
    Some(row)
}
