//! Eight lanes: AVX2.
//!
//! `vpmaddubsw` saturates its 16-bit sums, so bytes are widened to 16 bits when they are packed and multiplied
//! by `vpmaddwd`, which is exact modulo 2^32.

use std::arch::x86_64::*;

use super::{OutputPointer, StagePointers};

pub(super) type Vector = __m256i;
pub(super) const LANES: usize = 8;
pub(super) const CHANNELS_MAX: usize = 4;

/// Vectors of accumulators beside each other for so many rows: 12 of the 16 registers.
fn vectors_max(rows: usize) -> usize {
    match rows {
        1 => 8,
        2 => 4,
        _ => 2,
    }
}

/// Vectors of pixels beside each other for so many channels.
fn columns_max(channels: usize) -> usize {
    if channels <= 2 { 4 } else { 3 }
}

#[inline]
#[target_feature(enable = "avx2")]
fn splat(value: i32) -> Vector {
    _mm256_set1_epi32(value)
}

/// # Safety
/// `from` points to 8 elements.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load(from: *const i32) -> Vector {
    // SAFETY: the caller's promise.
    unsafe { _mm256_loadu_si256(from.cast()) }
}

/// Adds two products of signed 16-bit elements a lane, modulo 2^32.
#[inline]
#[target_feature(enable = "avx2")]
fn dot_pairs(sum: Vector, a: Vector, b: Vector) -> Vector {
    _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
}

/// The output stage of eight lanes, split into even and odd ones because products have 64 bits.
struct OutputStage {
    multipliers: [Vector; 2],
    shifts: [Vector; 2],
    halves: [Vector; 2],
    /// `2^63 >> s`: AVX2 shifts 64-bit lanes only without sign, so products are lifted by 2^63 before.
    lifts: [Vector; 2],
    low: Vector,
    high: Vector,
}

impl OutputStage {
    /// One channel a lane.
    ///
    /// # Safety
    /// The stage has 8 entries from `channel` on.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn per_lane(stage: &StagePointers, channel: usize) -> Self {
        // SAFETY: the caller's promise.
        let (multipliers, shifts) =
            unsafe { (load(stage.multipliers.add(channel)), load(stage.shifts.add(channel))) };
        Self::new(multipliers, shifts, stage)
    }

    /// The same channel on all lanes.
    ///
    /// # Safety
    /// The stage has an entry `channel`.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn broadcast(stage: &StagePointers, channel: usize) -> Self {
        // SAFETY: the caller's promise.
        let (multiplier, shift) = unsafe { (*stage.multipliers.add(channel), *stage.shifts.add(channel)) };
        Self::new(splat(multiplier), splat(shift), stage)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(multipliers: Vector, shifts: Vector, stage: &StagePointers) -> Self {
        let shifts =
            [_mm256_and_si256(shifts, _mm256_set1_epi64x(0xFFFF_FFFF)), _mm256_srli_epi64::<32>(shifts)];
        let (one, top) = (_mm256_set1_epi64x(1), _mm256_set1_epi64x(i64::MIN));
        let [even, odd] = shifts;
        Self {
            multipliers: [multipliers, _mm256_srli_epi64::<32>(multipliers)],
            shifts,
            // 2^(s−1), and nothing for s = 0.
            halves: [
                _mm256_srli_epi64::<1>(_mm256_sllv_epi64(one, even)),
                _mm256_srli_epi64::<1>(_mm256_sllv_epi64(one, odd)),
            ],
            lifts: [_mm256_srlv_epi64(top, even), _mm256_srlv_epi64(top, odd)],
            low: _mm256_set1_epi64x(stage.low),
            high: _mm256_set1_epi64x(stage.high),
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn apply(&self, sum: Vector, bias: Vector) -> Vector {
        let sum = _mm256_add_epi32(sum, bias);
        let even = self.half(sum, 0);
        let odd = self.half(_mm256_srli_epi64::<32>(sum), 1);
        _mm256_blend_epi32::<0b1010_1010>(even, _mm256_slli_epi64::<32>(odd))
    }

    /// The four results whose accumulators stand in the low halves of 64-bit lanes.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn half(&self, sums: Vector, side: usize) -> Vector {
        let product = _mm256_mul_epi32(sums, self.multipliers[side]);
        let rounded = _mm256_add_epi64(product, self.halves[side]);
        let lifted = _mm256_add_epi64(rounded, _mm256_set1_epi64x(i64::MIN));
        let shifted = _mm256_sub_epi64(_mm256_srlv_epi64(lifted, self.shifts[side]), self.lifts[side]);
        let raised = _mm256_blendv_epi8(shifted, self.low, _mm256_cmpgt_epi64(self.low, shifted));
        _mm256_blendv_epi8(raised, self.high, _mm256_cmpgt_epi64(raised, self.high))
    }
}

/// Writes the first `lanes` results, which lie within the output type.
///
/// # Safety
/// `output` has `lanes` elements from `position` on.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store(output: OutputPointer, position: usize, results: Vector, lanes: usize) {
    let halves = _mm_packs_epi32(_mm256_castsi256_si128(results), _mm256_extracti128_si256::<1>(results));
    let bytes = _mm_packs_epi16(halves, halves);
    // SAFETY: the caller's promise; the buffers hold a whole vector, of which `lanes` elements are copied.
    unsafe {
        match output {
            OutputPointer::I8(to) if lanes >= LANES => _mm_storel_epi64(to.add(position).cast(), bytes),
            OutputPointer::I16(to) if lanes >= LANES => _mm_storeu_si128(to.add(position).cast(), halves),
            OutputPointer::I32(to) if lanes >= LANES => _mm256_storeu_si256(to.add(position).cast(), results),
            OutputPointer::I8(to) => {
                let mut whole = [0i8; LANES];
                _mm_storel_epi64(whole.as_mut_ptr().cast(), bytes);
                to.add(position).copy_from_nonoverlapping(whole.as_ptr(), lanes);
            }
            OutputPointer::I16(to) => {
                let mut whole = [0i16; LANES];
                _mm_storeu_si128(whole.as_mut_ptr().cast(), halves);
                to.add(position).copy_from_nonoverlapping(whole.as_ptr(), lanes);
            }
            OutputPointer::I32(to) => {
                let mut whole = [0i32; LANES];
                _mm256_storeu_si256(whole.as_mut_ptr().cast(), results);
                to.add(position).copy_from_nonoverlapping(whole.as_ptr(), lanes);
            }
        }
    }
}

/// Units of two taps for sixteen neighbouring pixels: `to[p] = [a[p], b[p]]`, widened.
///
/// # Safety
/// Sixteen bytes are readable behind both streams and sixteen units writable behind `to`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn interleave([a, b]: [*const i8; 2], to: *mut i32) {
    // SAFETY: the caller's promise.
    unsafe {
        let (a, b) = (_mm_loadu_si128(a.cast()), _mm_loadu_si128(b.cast()));
        _mm256_storeu_si256(to.cast(), _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(a, b)));
        _mm256_storeu_si256(to.add(8).cast(), _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(a, b)));
    }
}

/// Fills a tile from image rows.
///
/// # Safety
/// As [`super::PackJob`] states.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn pack_pairs(job: &super::PackJob<'_>) {
    let mut segments = [super::Segment::default(); super::SEGMENTS];
    let (mut found, mut packed) = job.segments(0, &mut segments);
    while found > 0 {
        for group in 0..job.groups {
            // SAFETY: every tap of every pixel lies inside the image, which has slack behind it, as has the tile.
            unsafe {
                let streams = job.taps_of::<2>(group).map(|tap| job.image.add(tap));
                let row = job.tile.add(group * job.pitch);
                for segment in &segments[..found] {
                    let mut pixel = 0;
                    while pixel < segment.pixels {
                        let from = segment.image + pixel;
                        interleave(streams.map(|stream| stream.add(from)), row.add(segment.tile + pixel));
                        pixel += 16;
                    }
                }
            }
        }
        (found, packed) = job.segments(packed, &mut segments);
    }
}

pub(super) mod linear_pairs {
    super::super::blocks::linear_blocks!(dot_pairs, #[target_feature(enable = "avx2")]);
}

pub(super) mod convolve_pairs {
    super::super::blocks::convolve_blocks!(dot_pairs, #[target_feature(enable = "avx2")]);
}
