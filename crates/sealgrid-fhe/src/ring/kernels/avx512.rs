//! Eight lanes of 64 bits: AVX-512 with 52-bit integer products.

use std::arch::x86_64::*;

pub(super) type Vector = __m512i;

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn splat(value: u64) -> Vector {
    _mm512_set1_epi64(value.cast_signed())
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn load(from: &[u64; LANES]) -> Vector {
    // SAFETY: the reference is to as many words as the vector has, and the load is for any alignment.
    unsafe { _mm512_loadu_epi64(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn store(to: &mut [u64; LANES], vector: Vector) {
    // SAFETY: as for `load`.
    unsafe { _mm512_storeu_epi64(to.as_mut_ptr().cast(), vector) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn add_words(a: Vector, b: Vector) -> Vector {
    _mm512_add_epi64(a, b)
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn subtract_words(a: Vector, b: Vector) -> Vector {
    _mm512_sub_epi64(a, b)
}

/// `x < 2m` to below `m`, for `m < 2^62`: below `m`, the difference wraps to a larger number.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn reduce(x: Vector, m: Vector) -> Vector {
    _mm512_min_epu64(x, _mm512_sub_epi64(x, m))
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn low_bits() -> Vector {
    _mm512_set1_epi64((1 << 52) - 1)
}

/// As the portable version, modulo 2^52 instead of 2^64: the result is below `2q < 2^52` either way. The multiple of `q` is taken off by
/// adding one of `2^52 - q`, which the multiplier does on its own.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn multiply_lazily(a: Vector, w: Vector, quotient: Vector, q: Vector) -> Vector {
    let zero = _mm512_setzero_si512();
    let estimate = _mm512_madd52hi_epu64(zero, a, quotient);
    let product = _mm512_madd52lo_epu64(zero, a, w);
    let negative = _mm512_sub_epi64(_mm512_set1_epi64(1 << 52), q);
    _mm512_and_si512(_mm512_madd52lo_epu64(product, estimate, negative), low_bits())
}

/// Adds the two 52-bit halves of `a · b`.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn add_product(high: Vector, low: Vector, a: Vector, b: Vector) -> (Vector, Vector) {
    (_mm512_madd52hi_epu64(high, a, b), _mm512_madd52lo_epu64(low, a, b))
}

/// Moves what is above 52 bits of the lower half to the upper.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn carry(high: Vector, low: Vector) -> (Vector, Vector) {
    (_mm512_add_epi64(high, _mm512_srli_epi64::<52>(low)), _mm512_and_si512(low, low_bits()))
}

/// Pairs of words, then pairs of pairs, then halves.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn transpose(r: [Vector; 8]) -> [Vector; 8] {
    /// The 128-bit lanes 0 and 2 of both, or 1 and 3.
    const EVEN: i32 = 0b10_00_10_00;
    const ODD: i32 = 0b11_01_11_01;
    let even = [
        _mm512_unpacklo_epi64(r[0], r[1]),
        _mm512_unpacklo_epi64(r[2], r[3]),
        _mm512_unpacklo_epi64(r[4], r[5]),
        _mm512_unpacklo_epi64(r[6], r[7]),
    ];
    let odd = [
        _mm512_unpackhi_epi64(r[0], r[1]),
        _mm512_unpackhi_epi64(r[2], r[3]),
        _mm512_unpackhi_epi64(r[4], r[5]),
        _mm512_unpackhi_epi64(r[6], r[7]),
    ];
    // Columns 0, 2, 4, 6 of eight rows in four vectors of pairs, or 1, 3, 5, 7.
    let columns = |p: [Vector; 4]| {
        let (a, b) = (_mm512_shuffle_i64x2::<EVEN>(p[0], p[1]), _mm512_shuffle_i64x2::<EVEN>(p[2], p[3]));
        let (c, d) = (_mm512_shuffle_i64x2::<ODD>(p[0], p[1]), _mm512_shuffle_i64x2::<ODD>(p[2], p[3]));
        [
            _mm512_shuffle_i64x2::<EVEN>(a, b),
            _mm512_shuffle_i64x2::<EVEN>(c, d),
            _mm512_shuffle_i64x2::<ODD>(a, b),
            _mm512_shuffle_i64x2::<ODD>(c, d),
        ]
    };
    let (even, odd) = (columns(even), columns(odd));
    [even[0], odd[0], even[1], odd[1], even[2], odd[2], even[3], odd[3]]
}

super::loops::loops!(#[target_feature(enable = "avx512f,avx512ifma")]);
