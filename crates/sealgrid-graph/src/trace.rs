//! Trace commitments: what a run did, operation by operation, in 32 bytes.
//!
//! Leaf `i` commits to operation `i`'s output over all records; the tree over the leaves has the shape of
//! RFC 6962, section 2.1 (split at the largest power of two below the number of leaves), with keyed nodes.
//! All are keyed by the job key, so that outsiders cannot test guesses, and honest runs agree.
//!
//! Two parties whose roots differ are **bisected**: both open the same node; each answer is checked against the
//! commitment it opens, so no party can change its story; the search goes to the left child where the left
//! children differ, else to the right. It ends, after at most `ceil(log2(n))` questions, at the first leaf that
//! differs. All leaves before it agree, hence so do that operation's operands, and a referee can run it alone
//! ([`crate::reference::run_operation`]).

use std::ops::ControlFlow;

use minicbor::{Decode, Encode};
use sealgrid_seal::digest::{Commitment, CommitmentKey, labels};

use crate::execute::{BatchRef, Observer};
pub use crate::merkle::Position;
use crate::merkle::{Side, siblings};
use crate::tensor::DType;

/// Commitment to one operation's output over all records: `H(TRACE_LEAF, index, element type, rank and axes,
/// records, bytes)`, integers as 8 bytes little endian, the element type as its canonical number.
#[must_use]
pub fn leaf(key: &CommitmentKey, index: usize, output: BatchRef<'_>) -> Commitment {
    let number = |value: usize| (value as u64).to_le_bytes();
    let dtype: u8 = match output.data.dtype() {
        DType::I8 => 0,
        DType::I16 => 1,
        DType::I32 => 2,
    };
    let shape: Vec<u8> = output.shape.axes().iter().flat_map(|&axis| number(axis)).collect();
    let parts: [&[u8]; 5] =
        [&number(index), &[dtype], &shape, &number(output.records), &output.data.le_bytes()];
    Commitment::of(key, labels::TRACE_LEAF, &parts)
}

fn node(key: &CommitmentKey, left: &Commitment, right: &Commitment) -> Commitment {
    Commitment::of(key, labels::TRACE_NODE, &[&left.0, &right.0])
}

/// Collects the leaves of a run; hand it to [`crate::execute::Prepared::run`].
#[derive(Debug)]
pub struct TraceObserver<'k> {
    key: &'k CommitmentKey,
    leaves: Vec<Commitment>,
}

impl<'k> TraceObserver<'k> {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(key: &'k CommitmentKey) -> Self {
        Self { key, leaves: Vec::new() }
    }

    /// The tree over what was seen; `None` when nothing was.
    #[must_use]
    pub fn finish(self) -> Option<TraceTree> {
        TraceTree::build(self.key, self.leaves)
    }
}

impl Observer for TraceObserver<'_> {
    fn operation(&mut self, index: usize, output: BatchRef<'_>) -> ControlFlow<()> {
        self.leaves.push(leaf(self.key, index, output));
        ControlFlow::Continue(())
    }
}

/// All nodes of a trace, kept by the party that ran it.
#[derive(Clone, Debug)]
pub struct TraceTree {
    /// `rows[0]` are the leaves, the last row is the root alone.
    rows: Vec<Vec<Commitment>>,
}

impl TraceTree {
    /// The tree over `leaves`; `None` when there are none, or more than 2^31.
    #[must_use]
    pub fn build(key: &CommitmentKey, leaves: Vec<Commitment>) -> Option<Self> {
        if leaves.is_empty() || leaves.len() > 1 << 31 {
            return None;
        }
        let mut rows = vec![leaves];
        while let Some(row) = rows.last()
            && row.len() > 1
        {
            let next = row
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => node(key, left, right),
                    alone => alone[0],
                })
                .collect();
            rows.push(next);
        }
        Some(Self { rows })
    }

    /// The commitment to the whole run.
    #[must_use]
    pub fn root(&self) -> Commitment {
        self.rows[self.rows.len() - 1][0]
    }

    /// Number of leaves: the graph's operations.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.rows[0].len()).expect("at most 2^31 leaves")
    }

    /// The leaf of operation `index`.
    #[must_use]
    pub fn leaf(&self, index: u32) -> Option<Commitment> {
        self.rows[0].get(index as usize).copied()
    }

    /// The node at a position; `None` when the tree has no such node.
    #[must_use]
    pub fn node(&self, position: Position) -> Option<Commitment> {
        let mut at = Position::root(self.count());
        while at != position {
            let (left, right) = at.children()?;
            at = if position.start < right.start { left } else { right };
        }
        let (row, place) = at.row_and_place();
        Some(self.rows[row][place])
    }

    /// The answer to a bisection's question: both children of the node at a position; `None` for a leaf or a
    /// node that does not exist.
    #[must_use]
    pub fn open(&self, position: Position) -> Option<Opening> {
        let (left, right) = position.children()?;
        Some(Opening { left: self.node(left)?, right: self.node(right)? })
    }

    /// The siblings from leaf `index` up to the root.
    #[must_use]
    pub fn prove_leaf(&self, index: u32) -> Option<Vec<Commitment>> {
        siblings(index, self.count())?.into_iter().map(|(sibling, _)| self.node(sibling)).collect()
    }
}

/// Whether `leaf` is leaf `index` of the tree with this root and `count` leaves.
#[must_use]
pub fn verify_leaf(
    key: &CommitmentKey,
    root: &Commitment,
    count: u32,
    index: u32,
    leaf: &Commitment,
    path: &[Commitment],
) -> bool {
    let Some(siblings) = siblings(index, count).filter(|siblings| siblings.len() == path.len()) else {
        return false;
    };
    let top = siblings.iter().zip(path).fold(*leaf, |below, ((_, side), sibling)| match side {
        Side::Left => node(key, sibling, &below),
        Side::Right => node(key, &below, sibling),
    });
    top == *root
}

/// A party's answer: the children of the node that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Opening {
    /// Left child.
    #[n(0)]
    pub left: Commitment,
    /// Right child.
    #[n(1)]
    pub right: Commitment,
}

impl Opening {
    /// Whether this opens `parent`.
    #[must_use]
    pub fn opens(&self, key: &CommitmentKey, parent: &Commitment) -> bool {
        node(key, &self.left, &self.right) == *parent
    }
}

/// The search for the first leaf on which two parties differ. Start it with [`Bisection::start`], ask both for
/// [`TraceTree::open`] at [`Bisection::position`], give both answers to [`Bisection::step`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bisection {
    position: Position,
    first: Commitment,
    second: Commitment,
}

/// Where a bisection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Both are to open [`Bisection::position`].
    Ask(Bisection),
    /// The first leaf that differs.
    Found {
        /// The operation.
        index: u32,
        /// The first party's leaf.
        first: Commitment,
        /// The second party's leaf.
        second: Commitment,
    },
}

/// An answer that does not open what its party committed to: that party lies, whatever it computed.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("an answer does not open the party's own commitment")]
pub struct Misopened {
    /// The first party's answer is wrong.
    pub first: bool,
    /// The second party's answer is wrong.
    pub second: bool,
}

impl Bisection {
    /// Begins with two roots over `count` operations; `None` when the roots agree or there are no operations.
    #[must_use]
    pub fn start(count: u32, first: Commitment, second: Commitment) -> Option<Progress> {
        if first == second || count == 0 {
            return None;
        }
        Some(Self { position: Position::root(count), first, second }.progress())
    }

    /// The node that both parties are to open next.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// Goes one step down.
    ///
    /// # Errors
    /// [`Misopened`] when an answer does not hash to the commitment it claims to open.
    pub fn step(self, key: &CommitmentKey, first: &Opening, second: &Opening) -> Result<Progress, Misopened> {
        let misopened =
            Misopened { first: !first.opens(key, &self.first), second: !second.opens(key, &self.second) };
        if misopened.first || misopened.second {
            return Err(misopened);
        }
        let (left, right) = self.position.children().expect("only inner nodes are asked for");
        let next = if first.left != second.left {
            Self { position: left, first: first.left, second: second.left }
        } else {
            Self { position: right, first: first.right, second: second.right }
        };
        Ok(next.progress())
    }

    fn progress(self) -> Progress {
        match self.position.count {
            1 => Progress::Found { index: self.position.start, first: self.first, second: self.second },
            _ => Progress::Ask(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> CommitmentKey {
        CommitmentKey::new([7; 32])
    }

    fn leaves(count: u32) -> Vec<Commitment> {
        (0..count).map(|index| Commitment::of(&key(), labels::TRACE_LEAF, &[&index.to_le_bytes()])).collect()
    }

    fn tree(leaves: Vec<Commitment>) -> TraceTree {
        TraceTree::build(&key(), leaves).expect("leaves were given")
    }

    /// RFC 6962, section 2.1, written as it stands there.
    fn root_by_definition(leaves: &[Commitment]) -> Commitment {
        match leaves {
            [leaf] => *leaf,
            _ => {
                let split = (0..)
                    .map(|bit| 1 << bit)
                    .take_while(|&power| power < leaves.len())
                    .last()
                    .expect("two leaves");
                node(&key(), &root_by_definition(&leaves[..split]), &root_by_definition(&leaves[split..]))
            }
        }
    }

    fn bisect(first: &TraceTree, second: &TraceTree) -> Option<u32> {
        let mut progress = Bisection::start(first.count(), first.root(), second.root())?;
        loop {
            match progress {
                Progress::Found { index, .. } => return Some(index),
                Progress::Ask(search) => {
                    let open = |tree: &TraceTree| tree.open(search.position()).expect("an inner node");
                    progress = search.step(&key(), &open(first), &open(second)).expect("honest openings");
                }
            }
        }
    }

    #[test]
    fn the_tree_has_the_shape_of_rfc_6962() {
        for count in 1..70 {
            assert_eq!(tree(leaves(count)).root(), root_by_definition(&leaves(count)), "{count} leaves");
        }
        assert!(TraceTree::build(&key(), Vec::new()).is_none());
    }

    #[test]
    fn every_leaf_is_proven_and_no_other_leaf_is() {
        for count in 1..20 {
            let tree = tree(leaves(count));
            for index in 0..count {
                let (leaf, path) =
                    (tree.leaf(index).expect("exists"), tree.prove_leaf(index).expect("exists"));
                let verify = |index, leaf: &Commitment, path: &[Commitment]| {
                    verify_leaf(&key(), &tree.root(), count, index, leaf, path)
                };
                assert!(verify(index, &leaf, &path));
                assert!(!verify(index + 1, &leaf, &path));
                assert!(!verify(index, &Commitment([0; 32]), &path));
                assert!(!verify(index, &leaf, &[path.as_slice(), &[leaf]].concat()));
            }
            assert!(tree.prove_leaf(count).is_none());
        }
    }

    #[test]
    fn two_traces_are_bisected_to_the_first_difference() {
        for count in 1..40 {
            let honest = tree(leaves(count));
            assert_eq!(bisect(&honest, &honest), None);
            for lie in 0..count {
                let mut other = leaves(count);
                for leaf in &mut other[lie as usize..] {
                    leaf.0[0] ^= 1;
                }
                assert_eq!(bisect(&honest, &tree(other)), Some(lie), "{lie} of {count}");
            }
        }
    }

    #[test]
    fn an_answer_that_does_not_open_its_commitment_names_the_liar() {
        let (honest, mut other) = (tree(leaves(5)), leaves(5));
        other[3].0[0] ^= 1;
        let lying = tree(other);
        let Some(Progress::Ask(search)) = Bisection::start(5, honest.root(), lying.root()) else {
            panic!("the roots differ");
        };
        let open = honest.open(search.position()).expect("an inner node");
        assert_eq!(search.step(&key(), &open, &open), Err(Misopened { first: false, second: true }));
    }

    #[test]
    fn nodes_that_do_not_exist_are_not_opened() {
        let tree = tree(leaves(6));
        assert!(tree.node(Position { start: 1, count: 2 }).is_none());
        assert!(tree.node(Position { start: 4, count: 4 }).is_none());
        assert!(tree.node(Position { start: 0, count: 0 }).is_none());
        assert!(tree.open(Position { start: 5, count: 1 }).is_none());
        assert!(tree.node(Position { start: 4, count: 2 }).is_some());
    }
}
