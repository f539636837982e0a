//! Eight lanes in plain Rust: the twin that the vector versions are held to, and the only one that
//! an interpreter such as Miri can run. It goes through the same loops, hence the same pointer arithmetic.

use super::{OutputPointer, StagePointers};

pub(super) type Vector = [i32; LANES];
pub(super) const LANES: usize = 8;
pub(super) const CHANNELS_MAX: usize = 4;

fn vectors_max(rows: usize) -> usize {
    if rows <= 2 { 4 } else { 2 }
}

fn columns_max(_channels: usize) -> usize {
    3
}

#[inline]
fn splat(value: i32) -> Vector {
    [value; LANES]
}

/// # Safety
/// `from` points to 8 elements.
#[inline]
unsafe fn load(from: *const i32) -> Vector {
    // SAFETY: the caller's promise.
    unsafe { from.cast::<Vector>().read_unaligned() }
}

/// Adds two products of signed 16-bit elements a lane, modulo 2^32.
#[inline]
fn dot_pairs(mut sum: Vector, a: Vector, b: Vector) -> Vector {
    for lane in 0..LANES {
        let low = i32::from(a[lane] as i16) * i32::from(b[lane] as i16);
        let high = (a[lane] >> 16) * (b[lane] >> 16);
        sum[lane] = sum[lane].wrapping_add(low).wrapping_add(high);
    }
    sum
}

/// The output stage of eight lanes.
struct OutputStage {
    multipliers: Vector,
    shifts: Vector,
    low: i64,
    high: i64,
}

impl OutputStage {
    /// One channel a lane.
    ///
    /// # Safety
    /// The stage has 8 entries from `channel` on.
    #[inline]
    unsafe fn per_lane(stage: &StagePointers, channel: usize) -> Self {
        // SAFETY: the caller's promise.
        let (multipliers, shifts) =
            unsafe { (load(stage.multipliers.add(channel)), load(stage.shifts.add(channel))) };
        Self { multipliers, shifts, low: stage.low, high: stage.high }
    }

    /// The same channel on all lanes.
    ///
    /// # Safety
    /// The stage has an entry `channel`.
    #[inline]
    unsafe fn broadcast(stage: &StagePointers, channel: usize) -> Self {
        // SAFETY: the caller's promise.
        let (multiplier, shift) = unsafe { (*stage.multipliers.add(channel), *stage.shifts.add(channel)) };
        Self { multipliers: splat(multiplier), shifts: splat(shift), low: stage.low, high: stage.high }
    }

    #[inline]
    fn apply(&self, mut sum: Vector, bias: Vector) -> Vector {
        for lane in 0..LANES {
            let total = sum[lane].wrapping_add(bias[lane]);
            let (multiplier, shift) = (i64::from(self.multipliers[lane]), self.shifts[lane]);
            let shifted = (i64::from(total) * multiplier + ((1i64 << shift) >> 1)) >> shift;
            sum[lane] = shifted.clamp(self.low, self.high) as i32;
        }
        sum
    }
}

/// Writes the first `lanes` results, which lie within the output type.
///
/// # Safety
/// `output` has `lanes` elements from `position` on.
#[inline]
unsafe fn store(output: OutputPointer, position: usize, results: Vector, lanes: usize) {
    for (lane, &result) in results.iter().enumerate().take(lanes) {
        // SAFETY: the caller's promise.
        unsafe {
            match output {
                OutputPointer::I8(to) => *to.add(position + lane) = result as i8,
                OutputPointer::I16(to) => *to.add(position + lane) = result as i16,
                OutputPointer::I32(to) => *to.add(position + lane) = result,
            }
        }
    }
}

/// Fills a tile from image rows.
///
/// # Safety
/// As [`super::PackJob`] states.
pub(super) unsafe fn pack_pairs(job: &super::PackJob<'_>) {
    let mut segments = [super::Segment::default(); super::SEGMENTS];
    let (mut found, mut packed) = job.segments(0, &mut segments);
    while found > 0 {
        for group in 0..job.groups {
            let taps = job.taps_of::<2>(group);
            for segment in &segments[..found] {
                for pixel in 0..segment.pixels {
                    // SAFETY: every tap of every pixel lies inside the image, and the pixel inside the tile.
                    unsafe {
                        let at = job.image.add(segment.image + pixel);
                        let [low, high] = taps.map(|tap| i32::from(*at.add(tap)));
                        *job.tile.add(group * job.pitch + segment.tile + pixel) =
                            (high << 16) | (low & 0xFFFF);
                    }
                }
            }
        }
        (found, packed) = job.segments(packed, &mut segments);
    }
}

pub(super) mod linear_pairs {
    super::super::blocks::linear_blocks!(dot_pairs,);
}

pub(super) mod convolve_pairs {
    super::super::blocks::convolve_blocks!(dot_pairs,);
}
