//! Sixteen lanes: AVX-512 with VNNI.
//!
//! Every function here carries the target features it needs, so the intrinsics without pointers are safe;
//! `unsafe` is left for loads, stores and the loops over them.

use std::arch::x86_64::*;

use super::{OutputPointer, StagePointers};

pub(super) type Vector = __m512i;
pub(super) const LANES: usize = 16;
pub(super) const CHANNELS_MAX: usize = 8;

/// Vectors of accumulators beside each other for so many rows: 24 of the 32 registers.
fn vectors_max(rows: usize) -> usize {
    if rows <= 2 { 8 } else { 4 }
}

/// Vectors of pixels beside each other for so many channels.
fn columns_max(channels: usize) -> usize {
    if channels <= 6 { 4 } else { 3 }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn splat(value: i32) -> Vector {
    _mm512_set1_epi32(value)
}

/// # Safety
/// `from` points to 16 elements.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn load(from: *const i32) -> Vector {
    // SAFETY: the caller's promise.
    unsafe { _mm512_loadu_epi32(from) }
}

/// Adds four products of an unsigned and a signed byte a lane, without saturation.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn dot_quads(sum: Vector, units: Vector, weights: Vector) -> Vector {
    _mm512_dpbusd_epi32(sum, units, weights)
}

/// Adds two products of signed 16-bit elements a lane, without saturation.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn dot_pairs(sum: Vector, a: Vector, b: Vector) -> Vector {
    _mm512_dpwssd_epi32(sum, a, b)
}

/// The output stage of sixteen lanes, split into even and odd ones because products have 64 bits.
struct OutputStage {
    multipliers: [Vector; 2],
    shifts: [Vector; 2],
    halves: [Vector; 2],
    low: Vector,
    high: Vector,
}

impl OutputStage {
    /// One channel a lane.
    ///
    /// # Safety
    /// The stage has 16 entries from `channel` on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
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
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn broadcast(stage: &StagePointers, channel: usize) -> Self {
        // SAFETY: the caller's promise.
        let (multiplier, shift) = unsafe { (*stage.multipliers.add(channel), *stage.shifts.add(channel)) };
        Self::new(splat(multiplier), splat(shift), stage)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn new(multipliers: Vector, shifts: Vector, stage: &StagePointers) -> Self {
        let shifts =
            [_mm512_and_si512(shifts, _mm512_set1_epi64(0xFFFF_FFFF)), _mm512_srli_epi64::<32>(shifts)];
        let one = _mm512_set1_epi64(1);
        Self {
            multipliers: [multipliers, _mm512_srli_epi64::<32>(multipliers)],
            shifts,
            // 2^(s−1), and nothing for s = 0.
            halves: shifts.map(|shift| _mm512_srli_epi64::<1>(_mm512_sllv_epi64(one, shift))),
            low: _mm512_set1_epi64(stage.low),
            high: _mm512_set1_epi64(stage.high),
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn apply(&self, sum: Vector, bias: Vector) -> Vector {
        let sum = _mm512_add_epi32(sum, bias);
        let even = self.half(sum, 0);
        let odd = self.half(_mm512_srli_epi64::<32>(sum), 1);
        _mm512_mask_blend_epi32(0b1010_1010_1010_1010, even, _mm512_slli_epi64::<32>(odd))
    }

    /// The eight results whose accumulators stand in the low halves of 64-bit lanes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn half(&self, sums: Vector, side: usize) -> Vector {
        let product = _mm512_mul_epi32(sums, self.multipliers[side]);
        let shifted = _mm512_srav_epi64(_mm512_add_epi64(product, self.halves[side]), self.shifts[side]);
        _mm512_min_epi64(_mm512_max_epi64(shifted, self.low), self.high)
    }
}

/// Writes the first `lanes` results, which lie within the output type.
///
/// # Safety
/// `output` has `lanes` elements from `position` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn store(output: OutputPointer, position: usize, results: Vector, lanes: usize) {
    let mask: u16 = if lanes >= LANES { u16::MAX } else { (1 << lanes) - 1 };
    // SAFETY: the caller's promise; masked lanes are not written.
    unsafe {
        match output {
            OutputPointer::I8(to) => {
                let narrow = _mm512_cvtepi32_epi8(results);
                if lanes >= LANES {
                    _mm_storeu_epi8(to.add(position), narrow);
                } else {
                    _mm_mask_storeu_epi8(to.add(position), mask, narrow);
                }
            }
            OutputPointer::I16(to) => {
                _mm256_mask_storeu_epi16(to.add(position), mask, _mm512_cvtepi32_epi16(results));
            }
            OutputPointer::I32(to) => _mm512_mask_storeu_epi32(to.add(position), mask, results),
        }
    }
}

/// How four streams of sixteen bytes become sixteen units: four pixels of every stream into each quarter, then a
/// 4 × 4 transpose of bytes inside it.
struct Transpose {
    quarters: Vector,
    bytes: Vector,
}

impl Transpose {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn new() -> Self {
        let quarters = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        let bytes = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        // Hidden from the compiler, which would replace the two shuffles by seven cheaper ones.
        Self {
            quarters: std::hint::black_box(quarters),
            bytes: std::hint::black_box(_mm512_broadcast_i32x4(bytes)),
        }
    }
}

/// Units of four taps for sixteen neighbouring pixels: `to[p] = [a[p], b[p], c[p], d[p]]`.
///
/// # Safety
/// Sixteen bytes are readable behind every stream and sixteen units writable behind `to`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn interleave(streams: [*const i8; 4], to: *mut i32, transpose: &Transpose) {
    // SAFETY: the caller's promise.
    let [a, b, c, d] = streams.map(|stream| unsafe { _mm_loadu_epi8(stream) });
    let all = _mm512_inserti32x4::<1>(_mm512_castsi128_si512(a), b);
    let all = _mm512_inserti32x4::<3>(_mm512_inserti32x4::<2>(all, c), d);
    let units = _mm512_shuffle_epi8(_mm512_permutexvar_epi32(transpose.quarters, all), transpose.bytes);
    // SAFETY: the caller's promise.
    unsafe { _mm512_storeu_epi32(to, units) };
}

/// Fills a tile from image rows.
///
/// # Safety
/// As [`super::PackJob`] states.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) unsafe fn pack_quads(job: &super::PackJob<'_>) {
    let transpose = Transpose::new();
    let mut segments = [super::Segment::default(); super::SEGMENTS];
    let (mut found, mut packed) = job.segments(0, &mut segments);
    while found > 0 {
        for group in 0..job.groups {
            // SAFETY: every tap of every pixel lies inside the image, which has slack behind it, as has the tile.
            unsafe {
                let streams = job.taps_of::<4>(group).map(|tap| job.image.add(tap));
                let row = job.tile.add(group * job.pitch);
                for segment in &segments[..found] {
                    let mut pixel = 0;
                    while pixel < segment.pixels {
                        let from = segment.image + pixel;
                        let to = row.add(segment.tile + pixel);
                        interleave(streams.map(|stream| stream.add(from)), to, &transpose);
                        pixel += 16;
                    }
                }
            }
        }
        (found, packed) = job.segments(packed, &mut segments);
    }
}

pub(super) mod linear_quads {
    super::super::blocks::linear_blocks!(dot_quads, #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]);
}

pub(super) mod linear_pairs {
    super::super::blocks::linear_blocks!(dot_pairs, #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]);
}

pub(super) mod convolve_quads {
    super::super::blocks::convolve_blocks!(dot_quads, #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]);
}
