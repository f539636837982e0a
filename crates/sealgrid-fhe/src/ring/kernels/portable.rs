//! Eight words at a time in plain Rust.

pub(super) type Vector = [u64; LANES];

const LOW: u64 = (1 << 52) - 1;

#[inline]
fn splat(value: u64) -> Vector {
    [value; LANES]
}

#[inline]
fn load(from: &[u64; LANES]) -> Vector {
    *from
}

#[inline]
fn store(to: &mut [u64; LANES], vector: Vector) {
    *to = vector;
}

#[inline]
fn lanes(a: Vector, b: Vector, f: impl Fn(u64, u64) -> u64) -> Vector {
    std::array::from_fn(|lane| f(a[lane], b[lane]))
}

#[inline]
fn add_words(a: Vector, b: Vector) -> Vector {
    lanes(a, b, u64::wrapping_add)
}

#[inline]
fn subtract_words(a: Vector, b: Vector) -> Vector {
    lanes(a, b, u64::wrapping_sub)
}

/// `x < 2m` to below `m`, for `m < 2^62`: below `m`, the difference wraps to a larger number.
#[inline]
fn reduce(x: Vector, m: Vector) -> Vector {
    lanes(x, m, |x, m| x.min(x.wrapping_sub(m)))
}

/// `a · w - ⌊a · w' / 2^52⌋ · q` for `a < 2^52`: `≡ a · w`, and below `2q`, because `w'` is off by less than 1 and the
/// quotient rounded once.
#[inline]
fn multiply_lazily(a: Vector, w: Vector, quotient: Vector, q: Vector) -> Vector {
    std::array::from_fn(|lane| {
        let estimate = high(a[lane], quotient[lane]);
        a[lane].wrapping_mul(w[lane]).wrapping_sub(estimate.wrapping_mul(q[lane]))
    })
}

/// Bits 52 to 103 of a product of two 52-bit numbers.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "a product of 104 bits has 52 above the lower 52")]
fn high(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b)) >> 52) as u64
}

/// Adds the two 52-bit halves of `a · b`.
#[inline]
fn add_product(sum_high: Vector, sum_low: Vector, a: Vector, b: Vector) -> (Vector, Vector) {
    let low = lanes(a, b, |a, b| a.wrapping_mul(b) & LOW);
    (add_words(sum_high, lanes(a, b, high)), add_words(sum_low, low))
}

/// Moves what is above 52 bits of the lower half to the upper.
#[inline]
fn carry(high: Vector, low: Vector) -> (Vector, Vector) {
    (lanes(high, low, |high, low| high + (low >> 52)), low.map(|low| low & LOW))
}

#[inline]
fn transpose(rows: [Vector; 8]) -> [Vector; 8] {
    std::array::from_fn(|column| std::array::from_fn(|row| rows[row][column]))
}

super::loops::loops!();
