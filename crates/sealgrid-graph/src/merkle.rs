//! The shape of RFC 6962 trees, shared by parameters and traces: split at the largest power of two below the number
//! of leaves.

use std::ops::Range;

use minicbor::{Decode, Encode};

/// A node of a tree by what it covers: leaves `start..start + count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Position {
    /// First leaf.
    #[n(0)]
    pub start: u32,
    /// Number of leaves, at least 1.
    #[n(1)]
    pub count: u32,
}

impl Position {
    /// The root of a tree with `count` leaves.
    #[must_use]
    pub fn root(count: u32) -> Self {
        Self { start: 0, count }
    }

    /// The two children; `None` for a leaf.
    #[must_use]
    pub fn children(self) -> Option<(Self, Self)> {
        if self.count < 2 {
            return None;
        }
        let left = 1 << (self.count - 1).ilog2();
        let right = Self { start: self.start + left, count: self.count - left };
        Some((Self { start: self.start, count: left }, right))
    }

    /// The leaves covered.
    pub(crate) fn range(self) -> Range<usize> {
        self.start as usize..self.start as usize + self.count as usize
    }

    /// Height of the node above the leaves, and its place in that row. A node that has no sibling is carried up
    /// a row unchanged, which yields exactly the shape of RFC 6962.
    pub(crate) fn row_and_place(self) -> (usize, usize) {
        let row = self.count.next_power_of_two().trailing_zeros();
        (row as usize, (self.start >> row) as usize)
    }
}

/// On which side of the path a sibling lies.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Left,
    Right,
}

/// Siblings on the way from a leaf up to the root; `None` when there is no such leaf.
pub(crate) fn siblings(index: u32, count: u32) -> Option<Vec<(Position, Side)>> {
    if index >= count {
        return None;
    }
    let mut path = Vec::new();
    let mut at = Position::root(count);
    while let Some((left, right)) = at.children() {
        if index < right.start {
            path.push((right, Side::Right));
            at = left;
        } else {
            path.push((left, Side::Left));
            at = right;
        }
    }
    path.reverse();
    Some(path)
}
