//! Several strided views of one index space, walked together, row by row.

use crate::tensor::RANK_MAX;

/// One axis: its length and how far a step moves in each view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis<const N: usize> {
    pub(super) length: usize,
    pub(super) strides: [isize; N],
}

/// Axes, outermost first; the innermost is the column, which the caller walks by itself.
#[derive(Debug)]
pub(super) struct Walk<const N: usize> {
    start: [isize; N],
    outer: Vec<Axis<N>>,
    column: Axis<N>,
}

impl<const N: usize> Walk<N> {
    /// Merges axes that every view walks as one, and drops axes of length 1, so that columns are long.
    pub(super) fn new(start: [isize; N], axes: impl IntoIterator<Item = Axis<N>>) -> Self {
        let mut merged: Vec<Axis<N>> = Vec::with_capacity(RANK_MAX);
        for axis in axes.into_iter().filter(|axis| axis.length != 1) {
            match merged.last_mut() {
                Some(outer) if continues(outer, &axis) => {
                    *outer = Axis { length: outer.length * axis.length, strides: axis.strides };
                }
                _ => merged.push(axis),
            }
        }
        let column = merged.pop().unwrap_or(Axis { length: 1, strides: [1; N] });
        Self { start, outer: merged, column }
    }

    /// The innermost axis.
    pub(super) fn column(&self) -> Axis<N> {
        self.column
    }

    /// Calls `visit` with the positions of the first element of each column.
    pub(super) fn for_each(&self, mut visit: impl FnMut([usize; N])) {
        let mut counters = [0usize; RANK_MAX];
        let mut at = self.start;
        loop {
            visit(at.map(isize::unsigned_abs));
            let Some(axis) = self.advance(&mut counters, &mut at) else { return };
            debug_assert!(axis < RANK_MAX);
        }
    }

    /// Counts like an odometer; the axis that moved, `None` behind the last column.
    fn advance(&self, counters: &mut [usize; RANK_MAX], at: &mut [isize; N]) -> Option<usize> {
        for (index, axis) in self.outer.iter().enumerate().rev() {
            counters[index] += 1;
            if counters[index] < axis.length {
                step(at, axis, 1);
                return Some(index);
            }
            step(at, axis, 1 - axis.length.cast_signed());
            counters[index] = 0;
        }
        None
    }
}

fn continues<const N: usize>(outer: &Axis<N>, inner: &Axis<N>) -> bool {
    let length = inner.length.cast_signed();
    outer.strides.iter().zip(&inner.strides).all(|(&outer, &inner)| outer == inner * length)
}

fn step<const N: usize>(at: &mut [isize; N], axis: &Axis<N>, times: isize) {
    for (at, stride) in at.iter_mut().zip(axis.strides) {
        *at += stride * times;
    }
}

/// Row-major strides.
pub(super) fn strides(axes: &[usize]) -> Vec<isize> {
    let mut stride = 1;
    let mut result = vec![0; axes.len()];
    for (result, &length) in result.iter_mut().zip(axes).rev() {
        *result = stride;
        stride *= length.cast_signed();
    }
    result
}

/// Strides of an operand that is broadcast to `rank` axes: aligned at the end, 0 along axes of length 1.
pub(super) fn broadcast_strides(axes: &[usize], rank: usize) -> Vec<isize> {
    let own =
        strides(axes).into_iter().zip(axes).map(|(stride, &length)| if length == 1 { 0 } else { stride });
    std::iter::repeat_n(0, rank - axes.len()).chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::{Axis, Walk, broadcast_strides, strides};

    fn walk(axes: &[usize], other: &[isize]) -> Walk<2> {
        let own = strides(axes);
        Walk::new([0, 0], (0..axes.len()).map(|i| Axis { length: axes[i], strides: [own[i], other[i]] }))
    }

    #[test]
    fn equal_views_become_one_column() {
        let walk = walk(&[2, 3, 4], &strides(&[2, 3, 4]));
        assert_eq!(walk.column(), Axis { length: 24, strides: [1, 1] });
        let mut visited = Vec::new();
        walk.for_each(|at| visited.push(at));
        assert_eq!(visited, [[0, 0]]);
    }

    #[test]
    fn a_transpose_visits_one_column_per_outer_position() {
        let walk = walk(&[2, 3], &[1, 2]);
        assert_eq!(walk.column(), Axis { length: 3, strides: [1, 2] });
        let mut visited = Vec::new();
        walk.for_each(|at| visited.push(at));
        assert_eq!(visited, [[0, 0], [3, 1]]);
    }

    #[test]
    fn broadcast_axes_do_not_move() {
        assert_eq!(broadcast_strides(&[3, 1], 3), [0, 1, 0]);
        assert_eq!(broadcast_strides(&[2, 1, 4], 3), [4, 0, 1]);
    }
}
