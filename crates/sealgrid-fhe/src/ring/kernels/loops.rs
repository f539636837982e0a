//! The loops of the kernels, one text for every backend.
//!
//! # The transform
//! `X^N + 1` is split by `X^{2t} - w^2 = (X^t - w)(X^t + w)` until it is linear (Cooley-Tukey; the inverse is Gentleman-Sande),
//! with values kept below `4q` (D. Harvey, 2014, section 3). Two or three levels are done on vectors in registers before
//! anything is stored, the parts of the first pass one after the other, so that all but the first stay in the first-level
//! cache. The last six levels are done on 64 neighbours at once: three between vectors, a transpose, three more. The transpose
//! is not undone, so the order within 64 values is that of its columns; [`Table`](super::Table) says which value is where.

macro_rules! loops {
    ($(#[$features:meta])*) => {
        use super::super::modulus::{Factor, Modulus};
        use super::super::transform::{FirstPass, Table};
        use super::LANES;
        use super::loops::{fourths, eighths};

        /// What every loop keeps in registers.
        #[derive(Clone, Copy)]
        struct Constants {
            q: Vector,
            twice: Vector,
        }

        /// A factor a lane.
        #[derive(Clone, Copy)]
        struct Factors {
            value: Vector,
            quotient: Vector,
        }

        $(#[$features])*
        #[inline]
        fn constants(q: Modulus) -> Constants {
            Constants { q: splat(q.value()), twice: splat(2 * q.value()) }
        }

        $(#[$features])*
        #[inline]
        fn same(factor: Factor) -> Factors {
            Factors { value: splat(factor.value), quotient: splat(factor.quotient) }
        }

        $(#[$features])*
        #[inline]
        fn each((values, quotients): &([u64; LANES], [u64; LANES])) -> Factors {
            Factors { value: load(values), quotient: load(quotients) }
        }

        /// From below `4q` to below `q`.
        $(#[$features])*
        #[inline]
        fn canonical(x: Vector, k: Constants) -> Vector {
            reduce(reduce(x, k.twice), k.q)
        }

        /// `x, y < 4q` to `x + w·y, x - w·y < 4q`.
        $(#[$features])*
        #[inline]
        fn split(x: &mut Vector, y: &mut Vector, w: Factors, k: Constants) {
            let kept = reduce(*x, k.twice);
            let product = multiply_lazily(*y, w.value, w.quotient, k.q);
            *x = add_words(kept, product);
            *y = subtract_words(add_words(kept, k.twice), product);
        }

        /// `x, y < 2q` to `x + y, (x - y)·w < 2q`.
        $(#[$features])*
        #[inline]
        fn join(x: &mut Vector, y: &mut Vector, w: Factors, k: Constants) {
            let difference = subtract_words(add_words(*x, k.twice), *y);
            *x = reduce(add_words(*x, *y), k.twice);
            *y = multiply_lazily(difference, w.value, w.quotient, k.q);
        }

        /// The last join: `x, y < 2q` to `(x + y)/N, (x - y)·w < q`, where `w` already contains `1/N`.
        $(#[$features])*
        #[inline]
        fn join_and_divide(x: &mut Vector, y: &mut Vector, w: Factors, n: Factors, k: Constants) {
            let difference = subtract_words(add_words(*x, k.twice), *y);
            *x = reduce(multiply_lazily(add_words(*x, *y), n.value, n.quotient, k.q), k.q);
            *y = reduce(multiply_lazily(difference, w.value, w.quotient, k.q), k.q);
        }

        $(#[$features])*
        #[inline]
        fn split_four(v: &mut [Vector; 4], w: [Factors; 3], k: Constants) {
            let [a, b, c, d] = v;
            split(a, c, w[0], k);
            split(b, d, w[0], k);
            split(a, b, w[1], k);
            split(c, d, w[2], k);
        }

        $(#[$features])*
        #[inline]
        fn split_eight(v: &mut [Vector; 8], w: [Factors; 7], k: Constants) {
            let [v0, v1, v2, v3, v4, v5, v6, v7] = v;
            split(v0, v4, w[0], k);
            split(v1, v5, w[0], k);
            split(v2, v6, w[0], k);
            split(v3, v7, w[0], k);
            split(v0, v2, w[1], k);
            split(v1, v3, w[1], k);
            split(v4, v6, w[2], k);
            split(v5, v7, w[2], k);
            split(v0, v1, w[3], k);
            split(v2, v3, w[4], k);
            split(v4, v5, w[5], k);
            split(v6, v7, w[6], k);
        }

        $(#[$features])*
        #[inline]
        fn join_eight_but_last(v: &mut [Vector; 8], w: [Factors; 7], k: Constants) {
            let [v0, v1, v2, v3, v4, v5, v6, v7] = v;
            join(v0, v1, w[3], k);
            join(v2, v3, w[4], k);
            join(v4, v5, w[5], k);
            join(v6, v7, w[6], k);
            join(v0, v2, w[1], k);
            join(v1, v3, w[1], k);
            join(v4, v6, w[2], k);
            join(v5, v7, w[2], k);
        }

        $(#[$features])*
        #[inline]
        fn join_eight(v: &mut [Vector; 8], w: [Factors; 7], k: Constants) {
            join_eight_but_last(v, w, k);
            let [v0, v1, v2, v3, v4, v5, v6, v7] = v;
            join(v0, v4, w[0], k);
            join(v1, v5, w[0], k);
            join(v2, v6, w[0], k);
            join(v3, v7, w[0], k);
        }

        /// The factors of two levels, for part `part` of `parts`.
        $(#[$features])*
        #[inline]
        fn three(w: &[Factor], parts: usize, part: usize) -> [Factors; 3] {
            let node = parts + part;
            [same(w[node]), same(w[2 * node]), same(w[2 * node + 1])]
        }

        /// The factors of three levels.
        $(#[$features])*
        #[inline]
        fn seven(w: &[Factor], parts: usize, part: usize) -> [Factors; 7] {
            let node = parts + part;
            [
                same(w[node]),
                same(w[2 * node]),
                same(w[2 * node + 1]),
                same(w[4 * node]),
                same(w[4 * node + 1]),
                same(w[4 * node + 2]),
                same(w[4 * node + 3]),
            ]
        }

        /// The factors of the last three levels, one a lane.
        $(#[$features])*
        #[inline]
        fn seven_each(w: &[([u64; LANES], [u64; LANES]); 7]) -> [Factors; 7] {
            [each(&w[0]), each(&w[1]), each(&w[2]), each(&w[3]), each(&w[4]), each(&w[5]), each(&w[6])]
        }

        $(#[$features])*
        pub(super) fn forward(row: &mut [[u64; LANES]], table: &Table) {
            let k = constants(table.modulus());
            forward_part(row, table, 1, 0, k);
        }

        /// All levels below part `part` of `parts`.
        $(#[$features])*
        fn forward_part(row: &mut [[u64; LANES]], table: &Table, parts: usize, part: usize, k: Constants) {
            let w = table.forward();
            match FirstPass::of(row.len() * LANES) {
                FirstPass::Two => {
                    let fourths = fourths(row);
                    let factors = three(w, parts, part);
                    let [a, b, c, d] = fourths;
                    for (((a, b), c), d) in a.iter_mut().zip(&mut *b).zip(&mut *c).zip(&mut *d) {
                        let mut v = [load(a), load(b), load(c), load(d)];
                        split_four(&mut v, factors, k);
                        store(a, v[0]);
                        store(b, v[1]);
                        store(c, v[2]);
                        store(d, v[3]);
                    }
                    for (index, fourth) in [a, b, c, d].into_iter().enumerate() {
                        forward_part(fourth, table, 4 * parts, 4 * part + index, k);
                    }
                }
                FirstPass::Three => {
                    let factors = seven(w, parts, part);
                    let mut eighths = eighths(row);
                    for index in 0..eighths[0].len() {
                        let mut v = [
                            load(&eighths[0][index]),
                            load(&eighths[1][index]),
                            load(&eighths[2][index]),
                            load(&eighths[3][index]),
                            load(&eighths[4][index]),
                            load(&eighths[5][index]),
                            load(&eighths[6][index]),
                            load(&eighths[7][index]),
                        ];
                        split_eight(&mut v, factors, k);
                        for (eighth, v) in eighths.iter_mut().zip(v) {
                            store(&mut eighth[index], v);
                        }
                    }
                    for (index, eighth) in eighths.into_iter().enumerate() {
                        forward_part(eighth, table, 8 * parts, 8 * part + index, k);
                    }
                }
                FirstPass::Last => {
                    for block in row.as_chunks_mut::<8>().0 {
                        let mut v = load_eight(block);
                        split_eight(&mut v, seven(w, parts, part), k);
                        let mut v = transpose(v);
                        split_eight(&mut v, seven_each(&table.forward_each()[part]), k);
                        for (lanes, v) in block.iter_mut().zip(v) {
                            store(lanes, canonical(v, k));
                        }
                    }
                }
            }
        }

        $(#[$features])*
        #[inline]
        fn load_eight(block: &[[u64; LANES]; 8]) -> [Vector; 8] {
            [
                load(&block[0]),
                load(&block[1]),
                load(&block[2]),
                load(&block[3]),
                load(&block[4]),
                load(&block[5]),
                load(&block[6]),
                load(&block[7]),
            ]
        }

        $(#[$features])*
        pub(super) fn inverse(row: &mut [[u64; LANES]], table: &Table) {
            let k = constants(table.modulus());
            inverse_part(row, table, 1, 0, k);
        }

        $(#[$features])*
        fn inverse_part(row: &mut [[u64; LANES]], table: &Table, parts: usize, part: usize, k: Constants) {
            let w = table.inverse();
            let n = same(table.degree_inverse());
            let last = parts == 1;
            match FirstPass::of(row.len() * LANES) {
                FirstPass::Two => {
                    let [a, b, c, d] = fourths(row);
                    inverse_part(a, table, 4 * parts, 4 * part, k);
                    inverse_part(b, table, 4 * parts, 4 * part + 1, k);
                    inverse_part(c, table, 4 * parts, 4 * part + 2, k);
                    inverse_part(d, table, 4 * parts, 4 * part + 3, k);
                    let factors = three(w, parts, part);
                    for (((a, b), c), d) in a.iter_mut().zip(b).zip(c).zip(d) {
                        let [mut v0, mut v1, mut v2, mut v3] = [load(a), load(b), load(c), load(d)];
                        join(&mut v0, &mut v1, factors[1], k);
                        join(&mut v2, &mut v3, factors[2], k);
                        if last {
                            join_and_divide(&mut v0, &mut v2, factors[0], n, k);
                            join_and_divide(&mut v1, &mut v3, factors[0], n, k);
                        } else {
                            join(&mut v0, &mut v2, factors[0], k);
                            join(&mut v1, &mut v3, factors[0], k);
                        }
                        store(a, v0);
                        store(b, v1);
                        store(c, v2);
                        store(d, v3);
                    }
                }
                FirstPass::Three => {
                    let mut eighths = eighths(row);
                    for (index, eighth) in eighths.iter_mut().enumerate() {
                        inverse_part(eighth, table, 8 * parts, 8 * part + index, k);
                    }
                    let factors = seven(w, parts, part);
                    for index in 0..eighths[0].len() {
                        let mut v = [
                            load(&eighths[0][index]),
                            load(&eighths[1][index]),
                            load(&eighths[2][index]),
                            load(&eighths[3][index]),
                            load(&eighths[4][index]),
                            load(&eighths[5][index]),
                            load(&eighths[6][index]),
                            load(&eighths[7][index]),
                        ];
                        if last {
                            join_eight_but_last(&mut v, factors, k);
                            let [v0, v1, v2, v3, v4, v5, v6, v7] = &mut v;
                            join_and_divide(v0, v4, factors[0], n, k);
                            join_and_divide(v1, v5, factors[0], n, k);
                            join_and_divide(v2, v6, factors[0], n, k);
                            join_and_divide(v3, v7, factors[0], n, k);
                        } else {
                            join_eight(&mut v, factors, k);
                        }
                        for (eighth, v) in eighths.iter_mut().zip(v) {
                            store(&mut eighth[index], v);
                        }
                    }
                }
                FirstPass::Last => {
                    for block in row.as_chunks_mut::<8>().0 {
                        let mut v = load_eight(block);
                        join_eight(&mut v, seven_each(&table.inverse_each()[part]), k);
                        let mut v = transpose(v);
                        join_eight(&mut v, seven(w, parts, part), k);
                        for (lanes, v) in block.iter_mut().zip(v) {
                            store(lanes, v);
                        }
                    }
                }
            }
        }

        $(#[$features])*
        pub(super) fn add(out: &mut [[u64; LANES]], a: &[[u64; LANES]], q: Modulus) {
            let k = constants(q);
            for (out, a) in out.iter_mut().zip(a) {
                let sum = add_words(load(out), load(a));
                store(out, reduce(sum, k.q));
            }
        }

        $(#[$features])*
        pub(super) fn subtract(out: &mut [[u64; LANES]], a: &[[u64; LANES]], q: Modulus) {
            let k = constants(q);
            for (out, a) in out.iter_mut().zip(a) {
                let difference = subtract_words(add_words(load(out), k.q), load(a));
                store(out, reduce(difference, k.q));
            }
        }

        /// With at most fifteen pairs, the first sum counted as one.
        $(#[$features])*
        pub(super) fn sum_of_products(out: &mut [[u64; LANES]], pairs: &[(&[u64], &[u64])], onto: bool, q: Modulus) {
            let k = constants(q);
            let one = same(Factor { value: 1, quotient: q.one_quotient() });
            let radix = same(q.radix());
            for (index, out) in out.iter_mut().enumerate() {
                let (mut high, mut low) = (splat(0), if onto { load(out) } else { splat(0) });
                for (a, b) in pairs {
                    let a = load(&a.as_chunks().0[index]);
                    let b = load(&b.as_chunks().0[index]);
                    (high, low) = add_product(high, low, a, b);
                }
                let (high, low) = carry(high, low);
                let high = multiply_lazily(high, radix.value, radix.quotient, k.q);
                let low = multiply_lazily(low, one.value, one.quotient, k.q);
                store(out, canonical(add_words(high, low), k));
            }
        }

        $(#[$features])*
        pub(super) fn subtract_and_scale(out: &mut [[u64; LANES]], a: &[[u64; LANES]], factor: Factor, q: Modulus) {
            let k = constants(q);
            let factor = same(factor);
            for (out, a) in out.iter_mut().zip(a) {
                let difference = subtract_words(add_words(load(out), k.q), load(a));
                let product = multiply_lazily(difference, factor.value, factor.quotient, k.q);
                store(out, reduce(product, k.q));
            }
        }

        $(#[$features])*
        pub(super) fn scale(out: &mut [[u64; LANES]], factor: Factor, q: Modulus) {
            let k = constants(q);
            let factor = same(factor);
            for out in out {
                let product = multiply_lazily(load(out), factor.value, factor.quotient, k.q);
                store(out, reduce(product, k.q));
            }
        }

        /// `x - m·[x > m/2]` for `m = from`, by adding `⌊m/2⌋` before the reduction and taking it off after it:
        /// `x + ⌊m/2⌋ mod m` lies in `0..m` and is the centred value plus `⌊m/2⌋`.
        $(#[$features])*
        pub(super) fn change_modulus(out: &mut [[u64; LANES]], a: &[[u64; LANES]], from: Modulus, to: Modulus) {
            let k = constants(to);
            let one = same(Factor { value: 1, quotient: to.one_quotient() });
            let half = from.value() / 2;
            let (m, half, back) = (splat(from.value()), splat(half), splat(to.value() - half % to.value()));
            for (out, a) in out.iter_mut().zip(a) {
                let shifted = reduce(add_words(load(a), half), m);
                let residue = reduce(multiply_lazily(shifted, one.value, one.quotient, k.q), k.q);
                store(out, reduce(add_words(residue, back), k.q));
            }
        }
    };
}
pub(super) use loops;

use super::LANES;

type Vectors<'a> = &'a mut [[u64; LANES]];

/// Four equal parts.
pub(super) fn fourths(row: Vectors<'_>) -> [Vectors<'_>; 4] {
    let (low, high) = halves(row);
    let ((a, b), (c, d)) = (halves(low), halves(high));
    [a, b, c, d]
}

/// Eight equal parts.
pub(super) fn eighths(row: Vectors<'_>) -> [Vectors<'_>; 8] {
    let [a, b, c, d] = fourths(row);
    let ((a, b), (c, d), (e, f), (g, h)) = (halves(a), halves(b), halves(c), halves(d));
    [a, b, c, d, e, f, g, h]
}

fn halves(row: Vectors<'_>) -> (Vectors<'_>, Vectors<'_>) {
    row.split_at_mut(row.len() / 2)
}
