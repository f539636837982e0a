//! The only module with `unsafe` code: dot products, tiles and output stages for three kinds of processor.
//!
//! # The safety argument
//! Three things could go wrong, and each is excluded in one place.
//!
//! 1. *An instruction the processor lacks.* A vector version is entered only from a function here that takes
//!    an [`Available`], and that is made only by [`Backend::available`], which asks the processor.
//! 2. *A pointer outside its slice.* The loops in `blocks.rs` work on jobs of pointers and counts. A job is made
//!    only in this file, by a safe function that first asserts that the slices it got are as long as the counts
//!    say; every bound is written beside its assertion. The loops are expanded from the same text for every
//!    backend, so what a checker sees of the portable one holds for all.
//! 3. *A value that a narrower type cannot hold.* Results are clamped to bounds that [`Stage::new`] takes from
//!    [`Requantise`], which a checked graph keeps within the output type; the rest is arithmetic modulo 2^32.
//!
//! # Why all backends agree to the bit
//! Accumulators are sums of exact products modulo 2^32, so neither order nor grouping matters. The byte dot
//! product of VNNI takes one unsigned side: activations are flipped to `x + 128` and `128 · Σw` is taken off the
//! bias beforehand, exact again modulo 2^32. The output stage is integer arithmetic with nothing left open.
#![expect(unsafe_code, reason = "vector instructions and unchecked loops; see the safety argument above")]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod blocks;
mod elementwise;
mod portable;

pub(super) use self::elementwise::versions::{
    add, copy, copy_rows, look_up, look_up_bytes, maximum, maximum_bytes, minimum, multiply, narrow_8,
    narrow_16, pick_maximum, pick_maximum_bytes, pick_sum, pool_two_by_two, requantise, sum, widen_8,
    widen_8_to_16, widen_16,
};
use crate::integer::Requantise;
use crate::tensor::{DType, DataRef};

/// A family of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// Plain Rust, for every processor.
    Portable,
    /// x86-64 with AVX2.
    Avx2,
    /// x86-64 with AVX-512 (F, BW, DQ, VL) and its vector neural network instructions.
    Avx512Vnni,
}

impl Backend {
    /// Every backend, slowest first.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512Vnni];

    /// A short name for reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512Vnni => "avx512-vnni",
        }
    }

    /// The proof that this processor has what the backend needs; `None` when it has not.
    #[must_use]
    pub fn available(self) -> Option<Available> {
        let has = match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => std::is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => {
                std::is_x86_feature_detected!("avx2")
                    && std::is_x86_feature_detected!("avx512f")
                    && std::is_x86_feature_detected!("avx512bw")
                    && std::is_x86_feature_detected!("avx512dq")
                    && std::is_x86_feature_detected!("avx512vl")
                    && std::is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512Vnni => false,
        };
        has.then_some(Available(self))
    }
}

/// A backend that this processor was asked about and has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Available(Backend);

impl Available {
    /// The fastest.
    #[must_use]
    pub fn fastest() -> Self {
        Backend::ALL.iter().rev().find_map(|backend| backend.available()).unwrap_or(Self(Backend::Portable))
    }

    /// Which one.
    #[must_use]
    pub const fn backend(self) -> Backend {
        self.0
    }

    /// How operands of the given element type become units.
    pub(super) fn format(self, operand: DType) -> Format {
        match (self.0, operand) {
            (Backend::Avx512Vnni, DType::I8) => Format::Quads,
            _ => Format::Pairs,
        }
    }

    /// Accumulators of one vector.
    const fn lanes(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Backend::Avx512Vnni => avx512::LANES,
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2 => avx2::LANES,
            _ => portable::LANES,
        }
    }

    /// Most output channels that one block of a convolution takes.
    const fn channels_max(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Backend::Avx512Vnni => avx512::CHANNELS_MAX,
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2 => avx2::CHANNELS_MAX,
            _ => portable::CHANNELS_MAX,
        }
    }
}

/// What a 32-bit unit holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Four bytes: weights signed, activations flipped to unsigned.
    Quads,
    /// Two signed 16-bit elements.
    Pairs,
}

impl Format {
    /// Elements of one unit.
    pub(super) const fn elements(self) -> usize {
        match self {
            Self::Quads => 4,
            Self::Pairs => 2,
        }
    }

    /// What turns a signed byte into the stored one.
    pub(super) const fn flip(self) -> i8 {
        match self {
            Self::Quads => i8::MIN,
            Self::Pairs => 0,
        }
    }
}

/// Memory for vectors: zeroed, on a cache line, seen as elements of any width.
#[derive(Clone, Default)]
pub(super) struct Aligned(Vec<Line>);

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([i32; 16]);

// SAFETY: sixteen plain integers without padding; every bit pattern is valid.
unsafe impl bytemuck::Zeroable for Line {}
// SAFETY: as above; the type is `Copy` and `repr(C)`.
unsafe impl bytemuck::Pod for Line {}

impl Aligned {
    /// At least so many zeroed bytes.
    pub(super) fn zeroed(bytes: usize) -> Self {
        Self(vec![Line([0; 16]); bytes.div_ceil(64)])
    }

    /// Grows to at least so many bytes.
    pub(super) fn reserve(&mut self, bytes: usize) {
        if self.0.len() < bytes.div_ceil(64) {
            self.0.resize(bytes.div_ceil(64), Line([0; 16]));
        }
    }

    /// The elements.
    pub(super) fn of<T: bytemuck::Pod>(&self) -> &[T] {
        bytemuck::cast_slice(&self.0)
    }

    /// The elements, to write.
    pub(super) fn of_mut<T: bytemuck::Pod>(&mut self) -> &mut [T] {
        bytemuck::cast_slice_mut(&mut self.0)
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.0.len() * 64
    }
}

/// Where results go.
pub(super) enum DataMut<'a> {
    I8(&'a mut [i8]),
    I16(&'a mut [i16]),
    I32(&'a mut [i32]),
}

impl DataMut<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::I8(v) => v.len(),
            Self::I16(v) => v.len(),
            Self::I32(v) => v.len(),
        }
    }

    /// The elements of a range.
    pub(super) fn part(&mut self, range: std::ops::Range<usize>) -> DataMut<'_> {
        match self {
            Self::I8(v) => DataMut::I8(&mut v[range]),
            Self::I16(v) => DataMut::I16(&mut v[range]),
            Self::I32(v) => DataMut::I32(&mut v[range]),
        }
    }

    fn dtype(&self) -> DType {
        match self {
            Self::I8(_) => DType::I8,
            Self::I16(_) => DType::I16,
            Self::I32(_) => DType::I32,
        }
    }

    fn pointer(&mut self) -> OutputPointer {
        match self {
            Self::I8(v) => OutputPointer::I8(v.as_mut_ptr()),
            Self::I16(v) => OutputPointer::I16(v.as_mut_ptr()),
            Self::I32(v) => OutputPointer::I32(v.as_mut_ptr()),
        }
    }
}

/// Biases and output stage of every channel, padded to whole vectors.
pub(super) struct Stage {
    bias: Aligned,
    multipliers: Aligned,
    shifts: Aligned,
    channels: usize,
    low: i32,
    high: i32,
    output: DType,
}

impl Stage {
    /// One entry for each of `channels` channels; `bias` has as many entries.
    pub(super) fn new(requantise: &Requantise, bias: impl Iterator<Item = i32>, channels: usize) -> Self {
        let entry = |list: usize, channel: usize| if list == 1 { 0 } else { channel };
        let multipliers =
            (0..channels).map(|c| requantise.multipliers[entry(requantise.multipliers.len(), c)]);
        let shifts = (0..channels).map(|c| i32::from(requantise.shifts[entry(requantise.shifts.len(), c)]));
        let (low, high) = requantise.output.bounds();
        assert!(low <= requantise.low && requantise.high <= high, "a checked graph clamps within its types");
        Self {
            bias: padded(bias, channels),
            multipliers: padded(multipliers, channels),
            shifts: padded(shifts, channels),
            channels,
            low: requantise.low,
            high: requantise.high,
            output: requantise.output,
        }
    }

    /// From channel `first` on; the caller reads no entry from `channels` rounded up to 16 on.
    fn pointers(&self, first: usize) -> StagePointers {
        StagePointers {
            bias: self.bias.of::<i32>()[first..].as_ptr(),
            multipliers: self.multipliers.of::<i32>()[first..].as_ptr(),
            shifts: self.shifts.of::<i32>()[first..].as_ptr(),
            low: self.low.into(),
            high: self.high.into(),
        }
    }
}

fn padded(entries: impl Iterator<Item = i32>, count: usize) -> Aligned {
    let mut memory = Aligned::zeroed(count * 4);
    let mut filled = 0;
    for (to, from) in memory.of_mut::<i32>()[..count].iter_mut().zip(entries) {
        *to = from;
        filled += 1;
    }
    assert_eq!(filled, count, "one entry per channel");
    memory
}

struct StagePointers {
    bias: *const i32,
    multipliers: *const i32,
    shifts: *const i32,
    low: i64,
    high: i64,
}

#[derive(Clone, Copy)]
enum OutputPointer {
    I8(*mut i8),
    I16(*mut i16),
    I32(*mut i32),
}

/// The right side of a linear operation, packed: `[panel][group][lane]` units.
pub(super) struct Panels {
    available: Available,
    format: Format,
    units: Aligned,
    depth: usize,
    channels: usize,
}

impl Panels {
    /// Room for `channels` columns of `depth` elements, all 0.
    pub(super) fn new(available: Available, format: Format, depth: usize, channels: usize) -> Self {
        let groups = depth.div_ceil(format.elements());
        let panels = channels.div_ceil(available.lanes());
        let units = Aligned::zeroed(panels * groups * available.lanes() * 4);
        Self { available, format, units, depth, channels }
    }

    /// Writes the columns: element `(k, n)` is `matrix[offset + k·step_depth + n·step_channel]`.
    pub(super) fn fill(
        &mut self,
        matrix: DataRef<'_>,
        offset: usize,
        step_depth: usize,
        step_channel: usize,
    ) {
        match self.format {
            Format::Quads => {
                let DataRef::I8(matrix) = matrix else { unreachable!("quads hold bytes") };
                self.fill_units::<i8, i8, 4>(&matrix[offset..], step_depth, step_channel);
            }
            Format::Pairs => match matrix {
                DataRef::I8(m) => self.fill_units::<i8, i16, 2>(&m[offset..], step_depth, step_channel),
                DataRef::I16(m) => self.fill_units::<i16, i16, 2>(&m[offset..], step_depth, step_channel),
                DataRef::I32(_) => unreachable!("a checked graph multiplies int8 and int16 only"),
            },
        }
    }

    fn fill_units<T: Copy, U: bytemuck::Pod + From<T>, const ELEMENTS: usize>(
        &mut self,
        matrix: &[T],
        step_depth: usize,
        step_channel: usize,
    ) {
        let (lanes, groups) = (self.available.lanes(), self.groups());
        let (depth, channels) = (self.depth, self.channels);
        let units = self.units.of_mut::<U>();
        for channel in 0..channels {
            let (panel, lane) = (channel / lanes, channel % lanes);
            for k in 0..depth {
                let unit = (panel * groups + k / ELEMENTS) * lanes + lane;
                units[unit * ELEMENTS + k % ELEMENTS] =
                    U::from(matrix[k * step_depth + channel * step_channel]);
            }
        }
    }

    /// Units of one row or column.
    pub(super) fn groups(&self) -> usize {
        self.depth.div_ceil(self.format.elements())
    }

    /// Elements of one row or column.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// How the left side must be packed.
    pub(super) fn format(&self) -> Format {
        self.format
    }
}

/// `output[r, n] = stage(Σ_k row[r, k] · column[n, k] + bias[n])`; `rows` holds [`Panels::groups`] units a row.
pub(super) fn linear(panels: &Panels, rows: &[i32], count: usize, stage: &Stage, mut output: DataMut<'_>) {
    let lanes = panels.available.lanes();
    let job = LinearJob {
        units: rows.as_ptr(),
        rows: count,
        weights: panels.units.of::<i32>().as_ptr(),
        groups: panels.groups(),
        panels: panels.channels.div_ceil(lanes),
        channels: panels.channels,
        stage: stage.pointers(0),
        output: output.pointer(),
    };
    assert!(rows.len() >= count * job.groups, "units: `groups` a row");
    assert!(panels.units.of::<i32>().len() >= job.panels * job.groups * lanes, "weights: whole panels");
    assert!(stage.channels == panels.channels, "stage: one entry per channel, padded to 16, a whole panel");
    assert!(
        output.len() >= count * panels.channels && output.dtype() == stage.output,
        "output: rows · channels"
    );
    // SAFETY: the assertions above are the bounds that the loops rely on, and `available` vouches for the
    // instructions.
    unsafe {
        match (panels.available.0, panels.format) {
            #[cfg(target_arch = "x86_64")]
            (Backend::Avx512Vnni, Format::Quads) => avx512::linear_quads::linear(&job),
            #[cfg(target_arch = "x86_64")]
            (Backend::Avx512Vnni, Format::Pairs) => avx512::linear_pairs::linear(&job),
            #[cfg(target_arch = "x86_64")]
            (Backend::Avx2, _) => avx2::linear_pairs::linear(&job),
            _ => portable::linear_pairs::linear(&job),
        }
    }
}

struct LinearJob {
    /// `rows · groups` units.
    units: *const i32,
    rows: usize,
    /// `panels · groups · LANES` units.
    weights: *const i32,
    groups: usize,
    panels: usize,
    channels: usize,
    stage: StagePointers,
    /// `rows · channels` elements.
    output: OutputPointer,
}

/// Where a convolution's taps lie in an image whose rows were laid out so that neighbouring output pixels
/// read neighbouring bytes. All positions are in bytes from the start of one channel group.
pub(super) struct TapLayout {
    taps: Vec<usize>,
    rows: Vec<usize>,
    width: usize,
    reach: usize,
    unit: usize,
}

impl TapLayout {
    /// `taps`: position of each tap of the kernel for pixel 0; `rows`: what each output row adds; `width`: pixels
    /// of an output row.
    pub(super) fn new(mut taps: Vec<usize>, rows: Vec<usize>, width: usize, format: Format) -> Self {
        let unit = format.elements();
        // Taps that fill up the last unit read anything: their weight is 0.
        taps.resize(taps.len().next_multiple_of(unit), 0);
        let farthest = taps.iter().max().unwrap_or(&0) + rows.iter().max().unwrap_or(&0);
        // The last load begins at most at pixel `width − 1` and takes 16 bytes.
        Self { taps, rows, width, reach: farthest + width + 16, unit }
    }

    /// Pixels of the output plane.
    pub(super) fn pixels(&self) -> usize {
        self.rows.len() * self.width
    }

    /// Units of one pixel.
    pub(super) fn groups(&self) -> usize {
        self.taps.len() / self.unit
    }

    /// Bytes of an image that are read, from the start of its channel group on.
    pub(super) fn reach(&self) -> usize {
        self.reach
    }
}

/// Units of a tile's row for so many pixels: the last store may pass its pixels by 15.
pub(super) const fn tile_pitch(pixels: usize) -> usize {
    pixels.next_multiple_of(16) + 16
}

/// A kernel's weights, packed: `[block][group][channel of the block]` units.
pub(super) struct KernelWeights {
    available: Available,
    format: Format,
    units: Vec<i32>,
    groups: usize,
    channels: usize,
}

impl KernelWeights {
    /// From row-major `[channels, depth]`.
    pub(super) fn new(available: Available, weights: &[i8], channels: usize, depth: usize) -> Self {
        let format = available.format(DType::I8);
        let groups = depth.div_ceil(format.elements());
        let blocks = channels.div_ceil(available.channels_max());
        let mut units = Vec::with_capacity(groups * channels);
        let mut channel = 0;
        for block in 0..blocks {
            let rows = (channels - channel).div_ceil(blocks - block);
            for group in 0..groups {
                for row in channel..channel + rows {
                    let from = &weights[row * depth..(row + 1) * depth];
                    units.push(unit(&from[group * format.elements()..], format));
                }
            }
            channel += rows;
        }
        Self { available, format, units, groups, channels }
    }
}

fn unit(elements: &[i8], format: Format) -> i32 {
    let at = |index: usize| elements.get(index).copied().unwrap_or(0);
    match format {
        Format::Quads => i32::from_le_bytes([0, 1, 2, 3].map(|index| at(index).to_le_bytes()[0])),
        Format::Pairs => (i32::from(at(1)) << 16) | (i32::from(at(0)) & 0xFFFF),
    }
}

/// Pixels `first..first + count` of all channels of one channel group.
///
/// `image` begins at the group's first channel, its bytes flipped as the format says; `output` is the group's
/// `[channels, pixels]`; `tile` is scratch space.
pub(super) fn convolve(
    weights: &KernelWeights,
    layout: &TapLayout,
    image: &[i8],
    (first, count): (usize, usize),
    tile: &mut [i32],
    (stage, first_channel): (&Stage, usize),
    output: &mut DataMut<'_>,
) {
    let (pitch, plane) = (tile_pitch(count), layout.pixels());
    let tile_length = tile.len();
    let tile = tile.as_mut_ptr();
    assert!(layout.unit == weights.format.elements() && layout.groups() == weights.groups, "equal depth");
    assert!(first + count <= plane && image.len() >= layout.reach, "image: every tap of every pixel");
    assert!(tile_length >= weights.groups * pitch, "tile: `groups` rows of `pitch` units");
    assert!(weights.units.len() == weights.groups * weights.channels, "weights: `groups` units a channel");
    assert!(first_channel + weights.channels <= stage.channels, "stage: one entry per channel");
    assert!(
        output.len() >= weights.channels * plane && output.dtype() == stage.output,
        "output: whole planes"
    );
    let pack = PackJob { image: image.as_ptr(), layout, groups: weights.groups, first, count, tile, pitch };
    let job = ConvolveJob {
        tile: tile.cast_const(),
        pitch,
        pixels: count,
        groups: weights.groups,
        weights: weights.units.as_ptr(),
        channels: weights.channels,
        blocks: weights.channels.div_ceil(weights.available.channels_max()),
        stage: stage.pointers(first_channel),
        output: output.pointer(),
        plane,
        first_pixel: first,
    };
    // SAFETY: the assertions above are the bounds that the loops rely on, and `available` vouches for the
    // instructions.
    unsafe {
        match weights.available.0 {
            #[cfg(target_arch = "x86_64")]
            Backend::Avx512Vnni => {
                avx512::pack_quads(&pack);
                avx512::convolve_quads::convolve(&job);
            }
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2 => {
                avx2::pack_pairs(&pack);
                avx2::convolve_pairs::convolve(&job);
            }
            _ => {
                portable::pack_pairs(&pack);
                portable::convolve_pairs::convolve(&job);
            }
        }
    }
}

struct ConvolveJob {
    /// `groups` rows of `pitch` units; `pitch` is at least `pixels` rounded up to 16.
    tile: *const i32,
    pitch: usize,
    pixels: usize,
    groups: usize,
    /// `groups · channels` units.
    weights: *const i32,
    channels: usize,
    blocks: usize,
    stage: StagePointers,
    /// `channels · plane` elements.
    output: OutputPointer,
    plane: usize,
    /// `first_pixel + pixels <= plane`.
    first_pixel: usize,
}

/// Packs pixels of an image into a tile. Promises that [`TapLayout::reach`] bytes are readable behind `image`
/// and `groups · pitch` units writable behind `tile`, where `pitch` passes `count` by at least 16.
struct PackJob<'a> {
    image: *const i8,
    layout: &'a TapLayout,
    groups: usize,
    first: usize,
    count: usize,
    tile: *mut i32,
    pitch: usize,
}

/// Neighbouring pixels of one output row.
#[derive(Clone, Copy, Default)]
struct Segment {
    /// Position of the first pixel's tap 0 in the image.
    image: usize,
    /// Position of the first pixel in the tile.
    tile: usize,
    pixels: usize,
}

/// Segments that are found before any is packed, so that the taps of a unit are read once for all of them.
const SEGMENTS: usize = 32;

impl PackJob<'_> {
    /// The segments from pixel `from` of the tile on, row by row, ascending: a store that passes the end of one
    /// row is overwritten by the next. Returns how many were found and the pixel behind them.
    #[inline]
    fn segments(&self, from: usize, segments: &mut [Segment; SEGMENTS]) -> (usize, usize) {
        let (width, end) = (self.layout.width, self.first + self.count);
        let mut pixel = self.first + from;
        let (mut row, mut column) = (pixel / width, pixel % width);
        let mut found = 0;
        while pixel < end && found < SEGMENTS {
            let pixels = (width - column).min(end - pixel);
            let image = self.layout.rows[row] + column;
            segments[found] = Segment { image, tile: pixel - self.first, pixels };
            (row, column, pixel, found) = (row + 1, 0, pixel + pixels, found + 1);
        }
        (found, pixel - self.first)
    }

    /// Positions of the taps of one unit.
    fn taps_of<const ELEMENTS: usize>(&self, group: usize) -> [usize; ELEMENTS] {
        *self.layout.taps[group * ELEMENTS..].first_chunk().expect("taps fill whole units")
    }
}
