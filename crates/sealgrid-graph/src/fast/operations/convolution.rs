//! Convolutions of any number of spatial axes: the image is laid out once, then packed tile by tile.
//!
//! A column of the kernel's last axis reads pixels a stride apart. The image is laid out so that they lie side
//! by side: each row is split into one phase per stride step, padding included. Every tap of neighbouring output
//! pixels is then one run of bytes, whatever the window, and one packing loop serves all.

use super::Task;
use super::linear::biases;
use crate::fast::kernels::{self, Aligned, Available, DataMut, KernelWeights, Stage, TapLayout, tile_pitch};
use crate::integer::{Requantise, ValueType, Window};
use crate::tensor::{DType, DataRef, Tensor};

/// Bytes of a tile: it stays in the first-level cache while every output channel reads it.
const TILE_BYTES: usize = 24 << 10;
/// Most bytes of a laid-out image, and most bytes of it for one of the operand or the output. Beyond, the
/// window's padding or dilation is out of proportion.
const IMAGE_BYTES_MAX: usize = 1 << 28;
const IMAGE_GROWTH_MAX: usize = 64;

/// The attributes of a convolution.
pub(super) struct Given<'a> {
    pub(super) weight: &'a Tensor,
    pub(super) bias: &'a Tensor,
    pub(super) window: &'a Window,
    pub(super) groups: usize,
    pub(super) requantise: &'a Requantise,
}

/// Whether the window covers the whole image at once: then the convolution is a linear operation.
pub(super) fn is_linear(x: &ValueType, window: &Window, groups: usize, output: &ValueType) -> bool {
    groups == 1
        && x.shape.axes()[2..] == window.kernel[..]
        && output.shape.axes()[2..].iter().all(|&length| length == 1)
        && window.pads_before.iter().all(|&pad| pad == 0)
        && window.dilations.iter().zip(&window.kernel).all(|(&d, &k)| d == 1 || k == 1)
}

/// A convolution.
pub(in crate::fast) struct Convolution {
    image: ImageLayout,
    taps: TapLayout,
    /// Weights of each channel group.
    weights: Vec<KernelWeights>,
    stage: Stage,
    /// Output channels of a group.
    channels: usize,
    /// Pixels of a tile.
    tile: usize,
    flip: i8,
}

impl Convolution {
    /// `None` when the laid-out image would be out of proportion.
    pub(super) fn new(
        available: Available,
        x: &ValueType,
        given: &Given<'_>,
        output: &ValueType,
    ) -> Option<Self> {
        let format = available.format(DType::I8);
        let image = ImageLayout::new(x, given.window, output)?;
        let inputs = given.weight.shape().axes()[1];
        let taps = image.taps(given.window, inputs, output, format);
        let channels = output.shape.axes()[1] / given.groups;
        let depth = given.weight.shape().count() / output.shape.axes()[1];
        let DataRef::I8(weights) = given.weight.data().view() else {
            unreachable!("a checked weight is int8");
        };
        let weights = weights
            .chunks_exact(channels * depth)
            .map(|group| KernelWeights::new(available, group, channels, depth))
            .collect();
        let stage =
            Stage::new(given.requantise, biases(given.weight, given.bias, format), channels * given.groups);
        let tile = tile_pixels(taps.pixels(), taps.groups());
        Some(Self { image, taps, weights, stage, channels, tile, flip: format.flip() })
    }

    pub(super) fn run(&self, mut task: Task<'_>) {
        let x = task.operand(0);
        let DataRef::I8(x) = x.data else { unreachable!("a checked convolution reads int8") };
        self.image.reserve(&self.taps, self.flip, &mut task.own.image);
        task.scratch.units.reserve(self.taps.groups() * tile_pitch(self.tile) * 4);
        let outputs = self.stage_channels() * self.taps.pixels();
        for (record, x) in x.chunks_exact(self.image.elements()).enumerate() {
            let image = task.own.image.of_mut();
            self.image.lay_out(task.available, x, self.flip, image);
            let output = task.output.part(record * outputs..(record + 1) * outputs);
            self.record(image, task.scratch.units.of_mut(), output);
        }
    }

    fn stage_channels(&self) -> usize {
        self.channels * self.weights.len()
    }

    fn record(&self, image: &[i8], tile: &mut [i32], mut output: DataMut<'_>) {
        let pixels = self.taps.pixels();
        for (group, weights) in self.weights.iter().enumerate() {
            let image = &image[group * self.image.channels(self.weights.len()) * self.image.plane..];
            let first_channel = group * self.channels;
            let mut output = output.part(first_channel * pixels..(first_channel + self.channels) * pixels);
            for first in (0..pixels).step_by(self.tile) {
                let range = (first, self.tile.min(pixels - first));
                let stage = (&self.stage, first_channel);
                kernels::convolve(weights, &self.taps, image, range, tile, stage, &mut output);
            }
        }
    }
}

/// Equal tiles of whole vectors within the budget, at least one vector each.
fn tile_pixels(pixels: usize, groups: usize) -> usize {
    let vectors = pixels.div_ceil(16);
    let most = (TILE_BYTES / (groups.max(1) * 64)).clamp(4, 64);
    vectors.div_ceil(vectors.div_ceil(most)) * 16
}

/// Where elements of the operand lie in the laid-out image.
struct ImageLayout {
    /// Operand axes behind the batch axis: channels, rows (all other spatial axes), columns.
    input_channels: usize,
    columns: usize,
    /// For each operand row that is read: where it begins in a channel, and where in the laid-out plane.
    rows: Vec<[usize; 2]>,
    input_rows: usize,
    /// Columns before the first, phases, and bytes of a phase.
    before: usize,
    stride: usize,
    phase: usize,
    /// Bytes of a channel.
    plane: usize,
    /// Bytes from one index of each spatial axis to the next, but for the last.
    pitches: Vec<usize>,
}

impl ImageLayout {
    fn new(x: &ValueType, window: &Window, output: &ValueType) -> Option<Self> {
        let (spatial, to) = (&x.shape.axes()[2..], &output.shape.axes()[2..]);
        let last = spatial.len() - 1;
        // What is read of each axis, padding before included; what lies behind is never looked at.
        let needed: Vec<usize> = (0..=last)
            .map(|axis| {
                (to[axis] - 1) * window.strides[axis] + (window.kernel[axis] - 1) * window.dilations[axis] + 1
            })
            .collect();
        let stride = window.strides[last];
        let phase = needed[last].div_ceil(stride);
        let mut pitches = vec![0; last];
        let mut plane = phase.checked_mul(stride)?;
        for axis in (0..last).rev() {
            pitches[axis] = plane;
            plane = plane.checked_mul(needed[axis])?;
        }
        let input_channels = x.shape.axes()[1];
        let bytes = plane.checked_mul(input_channels)?;
        let proportion = (x.shape.count() + output.shape.count() + 1024).saturating_mul(IMAGE_GROWTH_MAX);
        if bytes > IMAGE_BYTES_MAX.min(proportion) {
            return None;
        }
        let mut rows = padded_rows(&spatial[..last], &needed, &window.pads_before, &pitches);
        rows.iter_mut().for_each(|[row, _]| *row *= spatial[last]);
        Some(Self {
            input_channels,
            columns: spatial[last],
            rows,
            input_rows: spatial[..last].iter().product(),
            before: window.pads_before[last],
            stride,
            phase,
            plane,
            pitches,
        })
    }

    /// Elements of one record.
    fn elements(&self) -> usize {
        self.input_channels * self.input_rows * self.columns
    }

    /// Input channels of one group.
    fn channels(&self, groups: usize) -> usize {
        self.input_channels / groups
    }

    fn taps(&self, window: &Window, inputs: usize, output: &ValueType, format: kernels::Format) -> TapLayout {
        let last = window.kernel.len() - 1;
        let mut taps = Vec::new();
        for channel in 0..inputs {
            for lead in positions(&window.kernel[..last]) {
                let row: usize =
                    (0..last).map(|axis| lead[axis] * window.dilations[axis] * self.pitches[axis]).sum();
                taps.extend((0..window.kernel[last]).map(|tap| {
                    let column = tap * window.dilations[last];
                    channel * self.plane + row + column % self.stride * self.phase + column / self.stride
                }));
            }
        }
        let to = &output.shape.axes()[2..];
        let rows = positions(&to[..last])
            .map(|at| (0..last).map(|axis| at[axis] * window.strides[axis] * self.pitches[axis]).sum())
            .collect();
        TapLayout::new(taps, rows, to[last], format)
    }

    /// Memory for the image, its padding set once.
    fn reserve(&self, taps: &TapLayout, flip: i8, image: &mut Aligned) {
        let bytes = self.plane * self.input_channels + taps.reach();
        if image.bytes() < bytes {
            image.reserve(bytes);
            image.of_mut::<i8>().fill(flip);
        }
    }

    /// Copies the elements of one record to their places.
    fn lay_out(&self, available: Available, x: &[i8], flip: i8, image: &mut [i8]) {
        let planes = [self.input_rows * self.columns, self.plane];
        let image = &mut image[..self.input_channels * self.plane];
        if self.stride == 1 {
            let row = (self.columns.min(self.phase - self.before), self.before);
            return kernels::copy_rows(available, x, image, planes, &self.rows, row, flip);
        }
        for (x, plane) in x.chunks_exact(planes[0]).zip(image.chunks_exact_mut(planes[1])) {
            for &[row, at] in &self.rows {
                self.lay_out_phases(&x[row..row + self.columns], flip, &mut plane[at..]);
            }
        }
    }

    fn lay_out_phases(&self, from: &[i8], flip: i8, to: &mut [i8]) {
        for (index, to) in to.chunks_exact_mut(self.phase).take(self.stride).enumerate() {
            // Padded column `index + stride·i` is column `index + stride·i − before`.
            let skipped = self.before.saturating_sub(index).div_ceil(self.stride);
            let first = index + skipped * self.stride - self.before;
            let columns = from.get(first..).unwrap_or(&[]).iter().step_by(self.stride);
            for (to, &from) in to.iter_mut().skip(skipped).zip(columns) {
                *to = from ^ flip;
            }
        }
    }
}

/// Operand rows that are read, with their places in a padded plane.
fn padded_rows(lengths: &[usize], needed: &[usize], before: &[usize], pitches: &[usize]) -> Vec<[usize; 2]> {
    positions(lengths)
        .enumerate()
        .filter(|(_, at)| at.iter().enumerate().all(|(axis, &at)| at + before[axis] < needed[axis]))
        .map(|(row, at)| {
            let place = at.iter().enumerate().map(|(axis, &at)| (at + before[axis]) * pitches[axis]).sum();
            [row, place]
        })
        .collect()
}

/// All positions of a shape in row-major order.
pub(super) fn positions(axes: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    (0..axes.iter().product()).map(move |mut index: usize| {
        let mut at = vec![0; axes.len()];
        for (at, &length) in at.iter_mut().zip(axes).rev() {
            *at = index % length;
            index /= length;
        }
        at
    })
}
