//! Two times four lanes of 64 bits: AVX2 with fused floating-point products.
//!
//! AVX2 multiplies no 64-bit integers, but its doubles hold integers of 53 bits and a fused product is rounded once. Every result
//! below is an exact integer, whatever the rounding: `multiply_lazily` says why. No result of a kernel is a float.

use std::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(super) struct Vector([__m256i; 2]);

/// Applies an instruction to both halves.
macro_rules! both {
    (|$($name:ident),*| $body:expr) => {
        Vector([
            { $(let $name = $name.0[0];)* $body },
            { $(let $name = $name.0[1];)* $body },
        ])
    };
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn splat(value: u64) -> Vector {
    Vector([_mm256_set1_epi64x(value.cast_signed()); 2])
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn load(from: &[u64; LANES]) -> Vector {
    let (halves, _) = from.as_chunks::<4>();
    // SAFETY: each half is a reference to as many words as the vector has, and the load is for any alignment.
    let half = |half: &[u64; 4]| unsafe { _mm256_loadu_si256(half.as_ptr().cast()) };
    Vector([half(&halves[0]), half(&halves[1])])
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn store(to: &mut [u64; LANES], vector: Vector) {
    let (halves, _) = to.as_chunks_mut::<4>();
    for (half, vector) in halves.iter_mut().zip(vector.0) {
        // SAFETY: as for `load`.
        unsafe { _mm256_storeu_si256(half.as_mut_ptr().cast(), vector) }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_words(a: Vector, b: Vector) -> Vector {
    both!(|a, b| _mm256_add_epi64(a, b))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn subtract_words(a: Vector, b: Vector) -> Vector {
    both!(|a, b| _mm256_sub_epi64(a, b))
}

/// `a` where the sign of `choice` is set, else `b`.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn choose(choice: __m256i, a: __m256i, b: __m256i) -> __m256i {
    let [choice, a, b] = [choice, a, b].map(|x| _mm256_castsi256_pd(x));
    _mm256_castpd_si256(_mm256_blendv_pd(b, a, choice))
}

/// `x < 2m` to below `m`, for `m < 2^62`: below `m`, the difference is negative.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn reduce(x: Vector, m: Vector) -> Vector {
    both!(|x, m| {
        let difference = _mm256_sub_epi64(x, m);
        choose(difference, x, difference)
    })
}

/// An integer below 2^52 as a double: written into the fraction of 2^52, which is then taken off.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn to_double(x: __m256i) -> __m256d {
    let two_52 = _mm256_set1_pd(f64::from_bits(0x4330_0000_0000_0000));
    let written = _mm256_or_si256(x, _mm256_castpd_si256(two_52));
    _mm256_sub_pd(_mm256_castsi256_pd(written), two_52)
}

/// A double that is an integer of magnitude below 2^51 as an integer: added to 2^52 + 2^51, whose bits are then taken off.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn to_integer(x: __m256d) -> __m256i {
    let middle = _mm256_set1_pd(f64::from_bits(0x4338_0000_0000_0000));
    _mm256_sub_epi64(_mm256_castpd_si256(_mm256_add_pd(x, middle)), _mm256_castpd_si256(middle))
}

/// `a · w mod q`, below `2q`, for `a < 2^52`.
///
/// Let `v = a·w/q < 2^52`. The estimate `b` is `a · (w'·2^-52)` rounded to an integer. As `w'·2^-52` lacks less than 2^-52 of
/// `w/q`, the exact product lacks less than 1 of `v`; rounding it to a double adds at most 1/4 and rounding to an integer at
/// most 1/2, so `-0.75 ≤ v - b < 1.75`, and `r = a·w - b·q` is in `-0.75q..1.75q`.
///
/// With `h` the double closest to `a·w`: `l = a·w - h` is exact (the error of a product of two 53-bit numbers is a double). `h - b·q =
/// r - l` is an integer, and below `1.75q + 2^49 < 2^51` in magnitude, hence exact; so is its sum with `l`, which is `r`.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn multiply_lazily(a: Vector, w: Vector, quotient: Vector, q: Vector) -> Vector {
    let unit = _mm256_set1_pd(1.0 / (1_u64 << 52) as f64);
    both!(|a, w, quotient, q| {
        let (x, y, modulus) = (to_double(a), to_double(w), to_double(q));
        let share = _mm256_mul_pd(to_double(quotient), unit);
        let estimate =
            _mm256_round_pd::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(_mm256_mul_pd(x, share));
        let high = _mm256_mul_pd(x, y);
        let low = _mm256_fmsub_pd(x, y, high);
        let remainder = to_integer(_mm256_add_pd(_mm256_fnmadd_pd(estimate, modulus, high), low));
        choose(remainder, _mm256_add_epi64(remainder, q), remainder)
    })
}

/// Adds `a · b` for `a, b < 2^52`, from 26-bit halves: `high` gets what is above 2^52 but for a carry that stays in `low`,
/// which grows by less than 2^53.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_product(high: Vector, low: Vector, a: Vector, b: Vector) -> (Vector, Vector) {
    let mask = _mm256_set1_epi64x((1 << 26) - 1);
    let halves = |x: __m256i| (_mm256_srli_epi64::<26>(x), _mm256_and_si256(x, mask));
    let mut sums = (high, low);
    for half in 0..2 {
        let ((a1, a0), (b1, b0)) = (halves(a.0[half]), halves(b.0[half]));
        let middle = _mm256_add_epi64(_mm256_mul_epu32(a1, b0), _mm256_mul_epu32(a0, b1));
        let upper = _mm256_add_epi64(_mm256_mul_epu32(a1, b1), _mm256_srli_epi64::<26>(middle));
        let shifted = _mm256_slli_epi64::<26>(_mm256_and_si256(middle, mask));
        let lower = _mm256_add_epi64(_mm256_mul_epu32(a0, b0), shifted);
        sums.0.0[half] = _mm256_add_epi64(sums.0.0[half], upper);
        sums.1.0[half] = _mm256_add_epi64(sums.1.0[half], lower);
    }
    sums
}

/// Moves what is above 52 bits of the lower half to the upper.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn carry(high: Vector, low: Vector) -> (Vector, Vector) {
    let mask = _mm256_set1_epi64x((1 << 52) - 1);
    (
        both!(|high, low| _mm256_add_epi64(high, _mm256_srli_epi64::<52>(low))),
        both!(|low| _mm256_and_si256(low, mask)),
    )
}

/// Four transposes of four by four.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn transpose(r: [Vector; 8]) -> [Vector; 8] {
    let quarter = |rows: usize, half: usize| {
        let [a, b, c, d] = [r[rows].0[half], r[rows + 1].0[half], r[rows + 2].0[half], r[rows + 3].0[half]];
        let (ab, cd) = (_mm256_unpacklo_epi64(a, b), _mm256_unpacklo_epi64(c, d));
        let (ab_odd, cd_odd) = (_mm256_unpackhi_epi64(a, b), _mm256_unpackhi_epi64(c, d));
        [
            _mm256_permute2x128_si256::<0x20>(ab, cd),
            _mm256_permute2x128_si256::<0x20>(ab_odd, cd_odd),
            _mm256_permute2x128_si256::<0x31>(ab, cd),
            _mm256_permute2x128_si256::<0x31>(ab_odd, cd_odd),
        ]
    };
    let [a, b, c, d] = [quarter(0, 0), quarter(4, 0), quarter(0, 1), quarter(4, 1)];
    [
        Vector([a[0], b[0]]),
        Vector([a[1], b[1]]),
        Vector([a[2], b[2]]),
        Vector([a[3], b[3]]),
        Vector([c[0], d[0]]),
        Vector([c[1], d[1]]),
        Vector([c[2], d[2]]),
        Vector([c[3], d[3]]),
    ]
}

super::loops::loops!(#[target_feature(enable = "avx2,fma")]);
