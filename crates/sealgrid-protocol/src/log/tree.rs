//! The Merkle tree of RFC 6962 (section 2.1) over SHA-256: leaf and node hashes, inclusion and consistency proofs.
//!
//! Checking follows RFC 9162, sections 2.1.3.2 and 2.1.4.2; making follows the recursive definition, one
//! complete subtree at a time, from whatever stores them ([`Nodes`]).

use std::fmt;

use minicbor::{Decode, Encode};
use sha2::{Digest as _, Sha256};

use super::LogError;

/// A SHA-256 digest in the tree. In CBOR a byte string.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct TreeHash(#[cbor(with = "minicbor::bytes")] pub [u8; 32]);

impl TreeHash {
    /// Root of the tree without leaves: the digest of no bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self(Sha256::digest(b"").into())
    }

    /// Hash of a leaf: `SHA-256(0x00 || leaf)`.
    #[must_use]
    pub fn leaf(leaf: &[u8]) -> Self {
        Self(Sha256::new().chain_update([0]).chain_update(leaf).finalize().into())
    }

    /// Hash of an inner node: `SHA-256(0x01 || left || right)`.
    #[must_use]
    pub fn node(left: &Self, right: &Self) -> Self {
        let mut input = [1; 65];
        input[1..33].copy_from_slice(&left.0);
        input[33..].copy_from_slice(&right.0);
        Self(Sha256::digest(input).into())
    }
}

impl fmt::Debug for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TreeHash({:02x}{:02x}{:02x}{:02x})", self.0[0], self.0[1], self.0[2], self.0[3])
    }
}

/// Hashes in a proof at most: one per level of a tree of 2^64 leaves.
pub const PROOF_LENGTH_MAX: usize = 64;

/// Checks that the leaf with hash `leaf` stands at `index` in the tree of `size` leaves with root `root`.
///
/// # Errors
/// [`LogError::NotIncluded`].
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &TreeHash,
    proof: &[TreeHash],
    root: &TreeHash,
) -> Result<(), LogError> {
    if inclusion_holds(index, size, leaf, proof, root) {
        Ok(())
    } else {
        Err(LogError::NotIncluded { index })
    }
}

/// RFC 9162, section 2.1.3.2.
fn inclusion_holds(index: u64, size: u64, leaf: &TreeHash, proof: &[TreeHash], root: &TreeHash) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = TreeHash::node(sibling, &hash);
            // On the right border a level without a sibling was skipped: go up to the one that has it.
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = TreeHash::node(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Checks that the tree of `new_size` leaves extends the tree of `old_size` leaves. The empty tree is extended by
/// every tree, and a tree by itself, both with an empty proof.
///
/// # Errors
/// [`LogError::NotConsistent`].
pub fn verify_consistency(
    old_size: u64,
    old_root: &TreeHash,
    new_size: u64,
    new_root: &TreeHash,
    proof: &[TreeHash],
) -> Result<(), LogError> {
    if consistency_holds(old_size, old_root, new_size, new_root, proof) {
        Ok(())
    } else {
        Err(LogError::NotConsistent { old: old_size, new: new_size })
    }
}

/// RFC 9162, section 2.1.4.2.
fn consistency_holds(
    old_size: u64,
    old_root: &TreeHash,
    new_size: u64,
    new_root: &TreeHash,
    proof: &[TreeHash],
) -> bool {
    if old_size > new_size {
        return false;
    }
    if old_size == new_size {
        return proof.is_empty() && old_root == new_root;
    }
    if old_size == 0 {
        return proof.is_empty() && *old_root == TreeHash::empty();
    }
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    // A complete old tree is itself a node of the new one, so the proof leaves it out.
    let mut rest = proof.iter();
    let start = if old_size.is_power_of_two() { Some(old_root) } else { rest.next() };
    let Some(start) = start else { return false };
    let (mut old, mut new) = (*start, *start);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old = TreeHash::node(sibling, &old);
            new = TreeHash::node(sibling, &new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new = TreeHash::node(&new, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old == *old_root && new == *new_root
}

/// Where the hashes of complete subtrees come from.
pub trait Nodes {
    /// Why a hash cannot be had.
    type Error;

    /// The hash over leaves `index << level .. (index + 1) << level`, all of which exist.
    ///
    /// # Errors
    /// When it cannot be read.
    fn node(&self, level: u8, index: u64) -> Result<TreeHash, Self::Error>;
}

/// Leaf hashes in memory, for small trees and tests.
impl Nodes for [TreeHash] {
    type Error = std::convert::Infallible;

    fn node(&self, level: u8, index: u64) -> Result<TreeHash, Self::Error> {
        if level == 0 {
            return Ok(self[usize::try_from(index).expect("leaves in memory are counted in usize")]);
        }
        Ok(TreeHash::node(&self.node(level - 1, index * 2)?, &self.node(level - 1, index * 2 + 1)?))
    }
}

/// Root of the tree over the first `size` leaves.
///
/// # Errors
/// When a node cannot be read.
pub fn root<N: Nodes + ?Sized>(nodes: &N, size: u64) -> Result<TreeHash, N::Error> {
    if size == 0 {
        return Ok(TreeHash::empty());
    }
    subtree(nodes, 0, size)
}

/// Proof that the leaf at `index` is in the tree over the first `size` leaves (RFC 6962, section 2.1.1), from
/// the leaf's sibling up.
///
/// # Errors
/// When a node cannot be read.
///
/// # Panics
/// If `index` is not below `size`.
pub fn inclusion_proof<N: Nodes + ?Sized>(
    nodes: &N,
    index: u64,
    size: u64,
) -> Result<Vec<TreeHash>, N::Error> {
    assert!(index < size, "only a leaf of the tree can be shown in it");
    let (mut low, mut high) = (0, size);
    let mut proof = Vec::new();
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            proof.push(subtree(nodes, middle, high)?);
            high = middle;
        } else {
            proof.push(subtree(nodes, low, middle)?);
            low = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// Proof that the tree over the first `new_size` leaves extends the one over the first `old_size` (RFC 6962,
/// section 2.1.2).
///
/// # Errors
/// When a node cannot be read.
///
/// # Panics
/// If `old_size` is above `new_size`.
pub fn consistency_proof<N: Nodes + ?Sized>(
    nodes: &N,
    old_size: u64,
    new_size: u64,
) -> Result<Vec<TreeHash>, N::Error> {
    assert!(old_size <= new_size, "a tree extends a smaller one");
    let mut proof = Vec::new();
    if old_size == 0 || old_size == new_size {
        return Ok(proof);
    }
    let (mut low, mut high) = (0, new_size);
    while old_size != high {
        let middle = low + split(high - low);
        if old_size <= middle {
            proof.push(subtree(nodes, middle, high)?);
            high = middle;
        } else {
            proof.push(subtree(nodes, low, middle)?);
            low = middle;
        }
    }
    if low != 0 {
        proof.push(subtree(nodes, low, high)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Hash over leaves `low..high`, which is a node of some tree: `low` is a multiple of the largest power of two
/// in the range's length. Depth is at most 64.
fn subtree<N: Nodes + ?Sized>(nodes: &N, low: u64, high: u64) -> Result<TreeHash, N::Error> {
    let length = high - low;
    if length.is_power_of_two() {
        let level = u8::try_from(length.trailing_zeros()).expect("a u64 has at most 63 trailing zeros");
        return nodes.node(level, low >> level);
    }
    let middle = low + split(length);
    Ok(TreeHash::node(&subtree(nodes, low, middle)?, &subtree(nodes, middle, high)?))
}

/// The largest power of two below `length`, which is at least 2.
fn split(length: u64) -> u64 {
    1 << (length - 1).ilog2()
}

/// Root over a list of hashes by the recursive definition of RFC 6962, section 2.1. The last may stand for an
/// incomplete subtree.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn fold(hashes: &[TreeHash]) -> TreeHash {
    match hashes {
        [] => panic!("a tree over no hash has no node"),
        [hash] => *hash,
        [left, right] => TreeHash::node(left, right),
        _ => {
            let (left, right) = hashes.split_at(1 << (hashes.len() - 1).ilog2());
            TreeHash::node(&fold(left), &fold(right))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaves(count: u64) -> Vec<TreeHash> {
        (0..count).map(|index| TreeHash::leaf(&index.to_be_bytes())).collect()
    }

    /// The other implementation's view of the same leaves: its stored hashes.
    struct Oracle(Vec<tlog_tiles::Hash>);

    impl Oracle {
        fn new(count: u64) -> Self {
            let mut stored = Self(Vec::new());
            for index in 0..count {
                let hashes = tlog_tiles::stored_hashes(index, &index.to_be_bytes(), &stored).expect("stored");
                stored.0.extend(hashes);
            }
            stored
        }
    }

    impl tlog_tiles::HashReader for Oracle {
        fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::tlog::Error> {
            Ok(indexes.iter().map(|&index| self.0[usize::try_from(index).expect("small")]).collect())
        }
    }

    fn theirs(hashes: &[TreeHash]) -> Vec<tlog_tiles::Hash> {
        hashes.iter().map(|hash| tlog_tiles::Hash(hash.0)).collect()
    }

    #[test]
    fn roots_and_proofs_equal_those_of_the_other_implementation() {
        const LARGEST: u64 = 70;
        let (leaves, oracle) = (leaves(LARGEST), Oracle::new(LARGEST));
        for size in 1..=LARGEST {
            let ours = root(&leaves[..], size).expect("in memory");
            assert_eq!(ours.0, tlog_tiles::tree_hash(size, &oracle).expect("in memory").0);
            assert_eq!(ours, fold(&leaves[..usize::try_from(size).expect("small")]));
            for index in 0..size {
                let proof = inclusion_proof(&leaves[..], index, size).expect("in memory");
                assert_eq!(
                    theirs(&proof),
                    tlog_tiles::prove_record(size, index, &oracle).expect("in memory")
                );
                let leaf = &leaves[usize::try_from(index).expect("small")];
                assert_eq!(verify_inclusion(index, size, leaf, &proof, &ours), Ok(()));
            }
            for old in 1..=size {
                let proof = consistency_proof(&leaves[..], old, size).expect("in memory");
                let expected = if old == size {
                    Vec::new()
                } else {
                    tlog_tiles::prove_tree(size, old, &oracle).expect("in memory")
                };
                assert_eq!(theirs(&proof), expected);
                let old_root = root(&leaves[..], old).expect("in memory");
                assert_eq!(verify_consistency(old, &old_root, size, &ours, &proof), Ok(()));
            }
        }
    }

    proptest! {
        /// Both implementations accept and refuse the same proofs, honest or mangled.
        #[test]
        fn both_implementations_judge_alike(
            size in 1u64..70,
            index in 0u64..70,
            claimed_size in 1u64..70,
            flip in prop::option::of((0usize..8, 0usize..256)),
            keep in 0usize..9,
        ) {
            let leaves = leaves(70);
            let index = index % size;
            let mut proof = inclusion_proof(&leaves[..], index, size).expect("in memory");
            if let Some((which, bit)) = flip && which < proof.len() {
                proof[which].0[bit / 8] ^= 1 << (bit % 8);
            }
            proof.truncate(keep);
            let root = root(&leaves[..], size).expect("in memory");
            let leaf = leaves[usize::try_from(index).expect("small")];
            let theirs = tlog_tiles::check_record(
                &theirs(&proof),
                claimed_size,
                tlog_tiles::Hash(root.0),
                index,
                tlog_tiles::Hash(leaf.0),
            );
            prop_assert_eq!(
                verify_inclusion(index, claimed_size, &leaf, &proof, &root).is_ok(),
                theirs.is_ok()
            );
        }

        #[test]
        fn both_implementations_judge_consistency_alike(
            new in 1u64..70,
            old in 1u64..70,
            claimed in 1u64..70,
            flip in prop::option::of((0usize..8, 0usize..256)),
            keep in 0usize..9,
        ) {
            let leaves = leaves(70);
            let old = old.min(new);
            let mut proof = consistency_proof(&leaves[..], old, new).expect("in memory");
            if let Some((which, bit)) = flip && which < proof.len() {
                proof[which].0[bit / 8] ^= 1 << (bit % 8);
            }
            proof.truncate(keep);
            let (old_root, new_root) = (root(&leaves[..], old).expect("in memory"), root(&leaves[..], new).expect("in memory"));
            let theirs = tlog_tiles::check_tree(
                &theirs(&proof),
                claimed,
                tlog_tiles::Hash(new_root.0),
                old,
                tlog_tiles::Hash(old_root.0),
            );
            prop_assert_eq!(
                verify_consistency(old, &old_root, claimed, &new_root, &proof).is_ok(),
                theirs.is_ok()
            );
        }
    }

    #[test]
    fn refusals_have_their_codes() {
        let leaves = leaves(3);
        let root = root(&leaves[..], 3).expect("in memory");
        let not_included = verify_inclusion(3, 3, &leaves[0], &[], &root).expect_err("index out of the tree");
        assert_eq!(not_included.code(), "E-LOG-06");
        let shrunk = verify_consistency(3, &root, 2, &root, &[]).expect_err("a tree never shrinks");
        assert_eq!(shrunk.code(), "E-LOG-07");
        assert_eq!(verify_consistency(0, &TreeHash::empty(), 3, &root, &[]), Ok(()));
        assert!(verify_consistency(0, &leaves[0], 3, &root, &[]).is_err());
    }
}
