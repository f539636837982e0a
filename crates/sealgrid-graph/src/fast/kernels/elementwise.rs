//! Loops over slices that the compiler vectorises by itself: written once, in safe Rust, and compiled once for
//! each backend's instructions.

/// Declares each loop, and in `versions` the function that enters the copy compiled for a backend.
macro_rules! versioned {
    ($($(#[$doc:meta])* fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $body:block)*) => {
        $($(#[$doc])* #[inline(always)] fn $name($($argument: $kind),*) $body)*

        pub(in super::super) mod versions {
            use super::super::Available;
            #[cfg(target_arch = "x86_64")]
            use super::super::Backend;

            $($(#[$doc])* pub(in super::super::super) fn $name(available: Available, $($argument: $kind),*) {
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx2")]
                fn avx2($($argument: $kind),*) {
                    super::$name($($argument),*);
                }
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512($($argument: $kind),*) {
                    super::$name($($argument),*);
                }
                match available.backend() {
                    // SAFETY: `available` vouches for the instructions.
                    #[cfg(target_arch = "x86_64")]
                    Backend::Avx2 => unsafe { avx2($($argument),*) },
                    // SAFETY: as above.
                    #[cfg(target_arch = "x86_64")]
                    Backend::Avx512Vnni => unsafe { avx512($($argument),*) },
                    _ => super::$name($($argument),*),
                }
            })*
        }
    };
}

versioned! {
    /// Sign-extends.
    fn widen_8(from: &[i8], to: &mut [i32]) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = from.into();
        }
    }

    /// Sign-extends.
    fn widen_16(from: &[i16], to: &mut [i32]) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = from.into();
        }
    }

    /// Sign-extends.
    fn widen_8_to_16(from: &[i8], to: &mut [i16]) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = from.into();
        }
    }

    /// Copies rows of `row = (length, before)` bytes, flipped: row `i` from `starts[i][0]` of each `from_plane` bytes to
    /// `starts[i][1] + before` of each `to_plane` bytes, plane after plane.
    fn copy_rows(
        from: &[i8],
        to: &mut [i8],
        planes: [usize; 2],
        starts: &[[usize; 2]],
        row: (usize, usize),
        flip: i8,
    ) {
        let (length, before) = row;
        for (from, to) in from.chunks_exact(planes[0]).zip(to.chunks_exact_mut(planes[1])) {
            for &[start, place] in starts {
                let (from, to) = (&from[start..start + length], &mut to[place + before..][..length]);
                flip_row(from, to, flip);
            }
        }
    }

    /// The largest of every two elements of every two rows of `width` elements: a 2 × 2 window in steps of 2.
    /// `halves` holds at least half of `from` and 16 elements; `to` passes the result by at least 16.
    fn pool_two_by_two(from: &[i8], width: usize, halves: &mut [i8], to: &mut [i8]) {
        for (half, pair) in halves.iter_mut().zip(from.as_chunks::<2>().0) {
            *half = pair[0].max(pair[1]);
        }
        let width = width / 2;
        for row in 0..from.len() / (4 * width) {
            for column in (0..width).step_by(16) {
                let above = *halves[2 * row * width + column..].first_chunk::<16>().unwrap_or(&[0; 16]);
                let below = *halves[(2 * row + 1) * width + column..].first_chunk::<16>().unwrap_or(&[0; 16]);
                if let Some(to) = to[row * width + column..].first_chunk_mut::<16>() {
                    // Passes the row's end; the next row overwrites it.
                    *to = std::array::from_fn(|index| above[index].max(below[index]));
                }
            }
        }
    }

    /// Keeps the low bits; the caller has clamped.
    fn narrow_8(from: &[i32], to: &mut [i8]) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = from as i8;
        }
    }

    /// Keeps the low bits; the caller has clamped.
    fn narrow_16(from: &[i32], to: &mut [i16]) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = from as i16;
        }
    }

    /// Copies bytes, flipping the bits of `flip`.
    fn copy(from: &[i8], to: &mut [i8], flip: i8) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = from ^ flip;
        }
    }

    /// `clamp((v·multiplier + half) >> shift, low, high)` in place.
    fn requantise(values: &mut [i32], multiplier: i32, shift: u8, bounds: [i32; 2]) {
        let (multiplier, [low, high]) = (i64::from(multiplier), bounds.map(i64::from));
        let half = (1i64 << shift) >> 1;
        for value in values {
            let shifted = (i64::from(*value) * multiplier + half) >> shift;
            *value = shifted.clamp(low, high) as i32;
        }
    }

    /// `a ← clamp((left·a + right·b + half) >> shift, low, high)`.
    fn add(a: &mut [i32], b: &[i32], multipliers: [i32; 2], shift: u8, bounds: [i32; 2]) {
        let ([left, right], [low, high]) = (multipliers.map(i64::from), bounds.map(i64::from));
        let half = (1i64 << shift) >> 1;
        for (a, &b) in a.iter_mut().zip(b) {
            let total = left * i64::from(*a) + right * i64::from(b);
            *a = ((total + half) >> shift).clamp(low, high) as i32;
        }
    }

    /// `a ← a·b` modulo 2^32.
    fn multiply(a: &mut [i32], b: &[i32]) {
        for (a, &b) in a.iter_mut().zip(b) {
            *a = a.wrapping_mul(b);
        }
    }

    /// `a ← a + b` modulo 2^32.
    fn sum(a: &mut [i32], b: &[i32]) {
        for (a, &b) in a.iter_mut().zip(b) {
            *a = a.wrapping_add(b);
        }
    }

    /// `a ← max(a, b)`.
    fn maximum(a: &mut [i32], b: &[i32]) {
        for (a, &b) in a.iter_mut().zip(b) {
            *a = (*a).max(b);
        }
    }

    /// `a ← max(a, b)`.
    fn maximum_bytes(a: &mut [i8], b: &[i8]) {
        for (a, &b) in a.iter_mut().zip(b) {
            *a = (*a).max(b);
        }
    }

    /// `a ← min(a, b)`.
    fn minimum(a: &mut [i32], b: &[i32]) {
        for (a, &b) in a.iter_mut().zip(b) {
            *a = (*a).min(b);
        }
    }

    /// `v ← table[clamp(v, first, first + len − 1) − first]`; `first + len − 1` fits.
    fn look_up(values: &mut [i32], first: i32, table: &[i32]) {
        let last = first.wrapping_add(i32::try_from(table.len() - 1).unwrap_or(i32::MAX));
        for value in values {
            let index = (*value).clamp(first, last).wrapping_sub(first).cast_unsigned() as usize;
            *value = table[index];
        }
    }

    /// `to ← table[from + 128]`.
    fn look_up_bytes(from: &[i8], to: &mut [i8], table: &[i8; 256]) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = table[(from.cast_unsigned() ^ 0x80) as usize];
        }
    }

    /// `to[i] ← max over taps of row[i·stride + tap·dilation]`.
    fn pick_maximum(row: &[i32], to: &mut [i32], taps: usize, dilation: usize, stride: usize) {
        pick(row, to, taps, dilation, stride, i32::max);
    }

    /// `to[i] ← max over taps of row[i·stride + tap·dilation]`.
    fn pick_maximum_bytes(row: &[i8], to: &mut [i8], taps: usize, dilation: usize, stride: usize) {
        pick(row, to, taps, dilation, stride, i8::max);
    }

    /// `to[i] ← sum over taps of row[i·stride + tap·dilation]`, modulo 2^32.
    fn pick_sum(row: &[i32], to: &mut [i32], taps: usize, dilation: usize, stride: usize) {
        pick(row, to, taps, dilation, stride, i32::wrapping_add);
    }
}

/// Flips a row that is often shorter than a vector: words, and the rest by one word that overlaps.
#[inline(always)]
fn flip_row(from: &[i8], to: &mut [i8], flip: i8) {
    let (from, to): (&[u8], &mut [u8]) = (bytemuck::cast_slice(from), bytemuck::cast_slice_mut(to));
    let flip = flip.cast_unsigned();
    let flipped = |word: &[u8; 8]| (u64::from_ne_bytes(*word) ^ u64::from_ne_bytes([flip; 8])).to_ne_bytes();
    if let (Some(last), Some(place)) = (from.last_chunk(), to.last_chunk_mut()) {
        *place = flipped(last);
        for (from, to) in from.as_chunks().0.iter().zip(to.as_chunks_mut().0) {
            *to = flipped(from);
        }
        return;
    }
    for (to, &from) in to.iter_mut().zip(from) {
        *to = from ^ flip;
    }
}

#[inline(always)]
fn pick<T: Copy>(
    row: &[T],
    to: &mut [T],
    taps: usize,
    dilation: usize,
    stride: usize,
    fold: impl Fn(T, T) -> T + Copy,
) {
    // The commonest windows, spelled out: a constant stride is a shuffle, a variable one a gather.
    match (taps, dilation, stride) {
        (2, 1, 2) => {
            for (to, pair) in to.iter_mut().zip(row.chunks_exact(2)) {
                *to = fold(pair[0], pair[1]);
            }
        }
        (_, _, 1) => {
            to.copy_from_slice(&row[..to.len()]);
            for tap in 1..taps {
                fold_into(to, row[tap * dilation..].iter(), fold);
            }
        }
        (_, _, 2) => {
            pick_first(to, row.chunks_exact(2).map(|pair| pair[0]), row, 2);
            for tap in 1..taps {
                fold_into(to, row[tap * dilation..].iter().step_by(2), fold);
            }
        }
        _ => {
            pick_first(to, row.iter().step_by(stride).copied(), row, stride);
            for tap in 1..taps {
                fold_into(to, row[tap * dilation..].iter().step_by(stride), fold);
            }
        }
    }
}

/// The first tap; the last element by itself, because a row may end inside its step.
#[inline(always)]
fn pick_first<T: Copy>(to: &mut [T], picked: impl Iterator<Item = T>, row: &[T], stride: usize) {
    let last = to.len() - 1;
    for (to, from) in to.iter_mut().zip(picked) {
        *to = from;
    }
    to[last] = row[last * stride];
}

#[inline(always)]
fn fold_into<'a, T: Copy + 'a>(to: &mut [T], from: impl Iterator<Item = &'a T>, fold: impl Fn(T, T) -> T) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = fold(*to, from);
    }
}
