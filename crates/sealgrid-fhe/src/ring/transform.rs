//! Tables of the negacyclic number-theoretic transform, and the transform as a textbook writes it.
//!
//! The transform of `a ∈ Z_q[X]/(X^N + 1)` is its values at the odd powers of a primitive `2N`-th root of unity; products are
//! then taken value by value. Position `p` holds the value at the power [`Table::exponent`]`(p)`: the order in which
//! splitting ends, bit-reversed, with each 64 values transposed as an 8 × 8 matrix (see `kernels/loops.rs`). The
//! order depends on `N` alone, so values modulo different primes belong together.

use super::modulus::{Factor, Modulus};
use super::{Available, Degree};

/// Factors of the last three levels of 64 values: one a lane for each of seven nodes, values beside quotients.
type EachLane = [([u64; 8], [u64; 8]); 7];

/// What transforms of one degree modulo one prime need.
pub struct Table {
    degree: Degree,
    modulus: Modulus,
    degree_inverse: Factor,
    /// By node of the tree of splittings: node 1 is the root, `2i` and `2i + 1` are below `i`. The upper part only.
    forward: Vec<Factor>,
    /// Their inverses; the root's is divided by `N`.
    inverse: Vec<Factor>,
    forward_each: Vec<EachLane>,
    inverse_each: Vec<EachLane>,
}

impl Table {
    /// The table of a degree and a modulus that has a transform there.
    ///
    /// # Panics
    /// When `modulus` was made for a lower degree and has no transform at this one.
    #[must_use]
    pub fn new(degree: Degree, modulus: Modulus) -> Self {
        let n = degree.get();
        assert_eq!(modulus.value() % (2 * n as u64), 1, "no primitive 2N-th root of unity");
        let root = modulus.root(degree);
        let divisor = modulus.inverse(n as u64);
        let powers = node_powers(degree, modulus, root);
        let inverses = node_powers(degree, modulus, modulus.inverse(root));
        let factors = |powers: &[u64]| powers.iter().map(|&power| modulus.factor(power)).collect::<Vec<_>>();
        let (mut forward, mut inverse) = (factors(&powers), factors(&inverses));
        inverse[1] = modulus.factor(modulus.multiply(inverses[1], divisor));
        let (forward_each, inverse_each) = (each_lane(degree, &forward), each_lane(degree, &inverse));
        forward.truncate(n / 8);
        inverse.truncate(n / 8);
        let degree_inverse = modulus.factor(divisor);
        Self { degree, modulus, degree_inverse, forward, inverse, forward_each, inverse_each }
    }

    /// The degree `N`.
    #[must_use]
    pub const fn degree(&self) -> Degree {
        self.degree
    }

    /// The prime.
    #[must_use]
    pub const fn modulus(&self) -> Modulus {
        self.modulus
    }

    /// Replaces coefficients by values.
    ///
    /// # Panics
    /// When `row` has not `N` elements. They must be below the modulus.
    pub fn transform(&self, row: &mut [u64], available: Available) {
        available.forward(row, self);
    }

    /// Replaces values by coefficients.
    ///
    /// # Panics
    /// When `row` has not `N` elements. They must be below the modulus.
    pub fn transform_back(&self, row: &mut [u64], available: Available) {
        available.inverse(row, self);
    }

    /// The power of the root at which position `position` holds the value: odd, below `2N`.
    #[must_use]
    pub fn exponent(degree: Degree, position: usize) -> usize {
        let (block, row, column) = (position / 64, position / 8 % 8, position % 8);
        2 * reversed(degree, 64 * block + 8 * column + row) + 1
    }

    pub(super) const fn degree_inverse(&self) -> Factor {
        self.degree_inverse
    }

    pub(super) fn forward(&self) -> &[Factor] {
        &self.forward
    }

    pub(super) fn inverse(&self) -> &[Factor] {
        &self.inverse
    }

    pub(super) fn forward_each(&self) -> &[EachLane] {
        &self.forward_each
    }

    pub(super) fn inverse_each(&self) -> &[EachLane] {
        &self.inverse_each
    }
}

/// How passes over the levels above 64 values are cut: three levels at a time, and two where three would leave one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstPass {
    Two,
    Three,
    Last,
}

impl FirstPass {
    /// The first pass over a part of so many values.
    pub(super) const fn of(length: usize) -> Self {
        match length.ilog2() - 6 {
            0 => Self::Last,
            2 => Self::Two,
            levels if levels % 3 == 1 => Self::Two,
            _ => Self::Three,
        }
    }
}

/// The lowest `log N` bits in reverse order.
fn reversed(degree: Degree, index: usize) -> usize {
    index.reverse_bits() >> (usize::BITS - degree.log())
}

/// `root` to the power that belongs to each node: the node's number with its bits reversed (P. Longa and M. Naehrig,
/// "Speeding up the number theoretic transform", 2016, algorithm 1).
fn node_powers(degree: Degree, modulus: Modulus, root: u64) -> Vec<u64> {
    let mut powers = vec![1; degree.get()];
    let mut power = 1;
    for exponent in 0..degree.get() {
        powers[reversed(degree, exponent)] = power;
        power = modulus.multiply(power, root);
    }
    powers
}

/// The factors of the last three levels: lane `v` of block `g` splits what is left of eight values, number `8g + v`.
fn each_lane(degree: Degree, nodes: &[Factor]) -> Vec<EachLane> {
    let eighth = degree.get() / 8;
    let lanes = |block: usize, level: usize, index: usize| {
        let factors: [Factor; 8] =
            std::array::from_fn(|lane| nodes[(eighth + 8 * block + lane) * (1 << level) + index]);
        (factors.map(|factor| factor.value), factors.map(|factor| factor.quotient))
    };
    let of_block = |block| {
        [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (2, 3)]
            .map(|(level, index)| lanes(block, level, index))
    };
    (0..degree.get() / 64).map(of_block).collect()
}

#[cfg(test)]
pub(super) mod plain {
    //! The transform one butterfly at a time with exact remainders: what every kernel must equal.

    use super::*;

    /// The values of coefficients, in the table's order.
    pub(crate) fn forward(table: &Table, coefficients: &[u64]) -> Vec<u64> {
        let (n, q) = (table.degree.get(), table.modulus);
        let powers = node_powers(table.degree, q, q.root(table.degree));
        let mut values = coefficients.to_vec();
        let mut parts = 1;
        while parts < n {
            let half = n / parts / 2;
            for (part, values) in values.chunks_exact_mut(2 * half).enumerate() {
                let (low, high) = values.split_at_mut(half);
                for (x, y) in low.iter_mut().zip(high) {
                    let product = q.multiply(*y, powers[parts + part]);
                    (*x, *y) = ((*x + product) % q.value(), (*x + q.value() - product) % q.value());
                }
            }
            parts *= 2;
        }
        (0..n).map(|at| values[reversed(table.degree, Table::exponent(table.degree, at) / 2)]).collect()
    }

    /// The value of a polynomial at one power of the root, by Horner's rule.
    pub(crate) fn value_at(table: &Table, coefficients: &[u64], exponent: usize) -> u64 {
        let q = table.modulus;
        let x = q.power(q.root(table.degree), exponent as u64);
        coefficients.iter().rev().fold(0, |sum, &coefficient| (q.multiply(sum, x) + coefficient) % q.value())
    }
}
