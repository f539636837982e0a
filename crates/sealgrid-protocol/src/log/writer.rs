//! How a log grows: leaves in, tiles to write and a checkpoint to sign out.
//!
//! The order that makes a crash harmless is the caller's to keep: write every tile of a [`Batch`] durably, only then
//! sign and publish its checkpoint. Tiles beyond the last checkpoint are not part of the log.

use super::tile::{self, TILE_WIDTH, TileId, TileKind, Tiles};
use super::tree::{self, TreeHash};
use super::{Checkpoint, LogError};

/// The right border of a tree: enough to append to it, at most 255 hashes per tile level and 255 leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writer {
    size: u64,
    /// By tile level, the hashes of the tile that is not full yet.
    border: Vec<Vec<TreeHash>>,
    /// The entry bundle that is not full yet.
    bundle: Vec<u8>,
    /// Full tiles not yet handed out.
    full: Vec<(TileId, Vec<u8>)>,
    /// Size at the last batch.
    committed: u64,
}

/// What to write before the checkpoint of `size` leaves may be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// New and grown tiles. Every one is immutable: a wider tile has another path.
    pub tiles: Vec<(TileId, Vec<u8>)>,
    /// Leaves in the tree.
    pub size: u64,
    /// Root of the tree.
    pub root: TreeHash,
}

impl Batch {
    /// The checkpoint of this batch under the name `origin`.
    #[must_use]
    pub fn checkpoint(&self, origin: &str) -> Checkpoint {
        Checkpoint { origin: origin.to_owned(), size: self.size, root: self.root }
    }
}

impl Writer {
    /// A writer of an empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on where `checkpoint` ended, reading the partial tiles of its right border.
    ///
    /// # Errors
    /// [`LogError::BadTile`] (as the source's error) when the tiles or leaves there do not hash to the checkpoint's root.
    pub fn resume<T: Tiles>(checkpoint: &Checkpoint, tiles: &T) -> Result<Self, T::Error> {
        let size = checkpoint.size;
        let mut writer = Self { size, committed: size, ..Self::default() };
        for level in (0..8).take_while(|level| size >> (8 * level) > 0) {
            let kind = TileKind::Hashes { level };
            writer.border.push(match partial_tile(kind, size >> (8 * level)) {
                Some(id) => tile::hashes(id, &tiles.read(id)?)?,
                None => Vec::new(),
            });
        }
        if writer.root() != checkpoint.root {
            return Err(LogError::BadTile { path: "at the right border".to_owned() }.into());
        }
        if let Some(id) = partial_tile(TileKind::Entries, size) {
            writer.resume_bundle(id, &tiles.read(id)?)?;
        }
        Ok(writer)
    }

    fn resume_bundle(&mut self, id: TileId, bytes: &[u8]) -> Result<(), LogError> {
        let entries = tile::entries(id, bytes)?;
        let fits = |(entry, hash): (&&[u8], &TreeHash)| TreeHash::leaf(entry) == *hash;
        if !entries.iter().zip(&self.border[0]).all(fits) {
            return Err(LogError::BadTile { path: id.to_string() });
        }
        for entry in entries {
            tile::push_entry(&mut self.bundle, entry)?;
        }
        Ok(())
    }

    /// Leaves appended so far, committed or not.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends `leaf`; answers its index.
    ///
    /// # Errors
    /// [`LogError::LeafTooLong`].
    pub fn append(&mut self, leaf: &[u8]) -> Result<u64, LogError> {
        tile::push_entry(&mut self.bundle, leaf)?;
        let index = self.size;
        self.size += 1;
        if self.size.is_multiple_of(u64::from(TILE_WIDTH)) {
            let id = TileId { kind: TileKind::Entries, index: index / 256, width: TILE_WIDTH };
            self.full.push((id, std::mem::take(&mut self.bundle)));
        }
        self.push_hash(TreeHash::leaf(leaf));
        Ok(index)
    }

    /// Puts a hash at the right border; a tile that gets full becomes one hash of the level above.
    fn push_hash(&mut self, mut hash: TreeHash) {
        for level in 0..8u8 {
            if self.border.len() == usize::from(level) {
                self.border.push(Vec::with_capacity(256));
            }
            let tile = &mut self.border[usize::from(level)];
            tile.push(hash);
            if tile.len() < usize::from(TILE_WIDTH) {
                return;
            }
            let index = (self.size >> (8 * (level + 1))) - 1;
            let id = TileId { kind: TileKind::Hashes { level }, index, width: TILE_WIDTH };
            self.full.push((id, tile_bytes(tile)));
            hash = tree::fold(tile);
            tile.clear();
        }
    }

    /// Everything to write since the last batch, and the root to sign. `None` when nothing was appended.
    pub fn commit(&mut self) -> Option<Batch> {
        if self.size == self.committed {
            return None;
        }
        let mut tiles = std::mem::take(&mut self.full);
        if let Some(id) = partial_tile(TileKind::Entries, self.size) {
            tiles.push((id, self.bundle.clone()));
        }
        for (level, hashes) in (0..).zip(&self.border) {
            let hashes_in_level = self.size >> (8 * level);
            // A level that did not grow has its partial tile on disk already.
            if hashes_in_level == self.committed >> (8 * level) {
                break;
            }
            if let Some(id) = partial_tile(TileKind::Hashes { level }, hashes_in_level) {
                tiles.push((id, tile_bytes(hashes)));
            }
        }
        self.committed = self.size;
        Some(Batch { tiles, size: self.size, root: self.root() })
    }

    /// Root of everything appended.
    #[must_use]
    pub fn root(&self) -> TreeHash {
        let mut right: Option<TreeHash> = None;
        for tile in &self.border {
            let hashes: Vec<TreeHash> = tile.iter().copied().chain(right).collect();
            if !hashes.is_empty() {
                right = Some(tree::fold(&hashes));
            }
        }
        right.unwrap_or_else(TreeHash::empty)
    }
}

/// The rightmost tile of a level with `hashes` hashes, if it is partial.
fn partial_tile(kind: TileKind, hashes: u64) -> Option<TileId> {
    let width = u16::try_from(hashes % 256).expect("below 256");
    (width > 0).then_some(TileId { kind, index: hashes / 256, width })
}

fn tile_bytes(hashes: &[TreeHash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::tile::TileNodes;
    use super::*;

    /// Tiles in memory: the last batch that is kept.
    #[derive(Default)]
    struct Disk(BTreeMap<String, Vec<u8>>);

    impl Disk {
        fn write(&mut self, batch: &Batch) {
            for (id, bytes) in &batch.tiles {
                let before = self.0.insert(id.to_string(), bytes.clone());
                assert!(before.is_none_or(|before| before == *bytes), "{id} is immutable");
            }
        }
    }

    impl Tiles for Disk {
        type Error = LogError;

        fn read(&self, tile: TileId) -> Result<Vec<u8>, LogError> {
            self.0.get(&tile.to_string()).cloned().ok_or(LogError::BadTile { path: tile.to_string() })
        }
    }

    fn leaf(index: u64) -> Vec<u8> {
        index.to_be_bytes()[..usize::try_from(index % 9).expect("small")].to_vec()
    }

    /// Writes batches of these sizes, resuming from disk before each.
    fn grow(batches: &[u64]) -> (Disk, Vec<Batch>) {
        let (mut disk, mut done) = (Disk::default(), Vec::<Batch>::new());
        for &count in batches {
            let mut writer = match done.last() {
                Some(batch) => Writer::resume(&batch.checkpoint("example.com/log"), &disk).expect("resumes"),
                None => Writer::new(),
            };
            for _ in 0..count {
                writer.append(&leaf(writer.size())).expect("short");
            }
            let batch = writer.commit().expect("something was appended");
            assert_eq!(writer.commit(), None);
            disk.write(&batch);
            done.push(batch);
        }
        (disk, done)
    }

    fn root_by_definition(size: u64) -> TreeHash {
        let leaves: Vec<TreeHash> = (0..size).map(|index| TreeHash::leaf(&leaf(index))).collect();
        tree::fold(&leaves)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn batches_of_any_size_give_the_tree_of_the_definition(
            batches in prop::collection::vec(1u64..600, 1..6),
            picks in prop::collection::vec(any::<u64>(), 8),
        ) {
            let (disk, done) = grow(&batches);
            for batch in &done {
                prop_assert_eq!(batch.root, root_by_definition(batch.size));
            }
            let last = done.last().expect("at least one");
            let nodes = TileNodes { tiles: &disk, size: last.size };
            prop_assert_eq!(tree::root(&nodes, last.size), Ok(last.root));
            for pick in picks {
                let index = pick % last.size;
                let proof = tree::inclusion_proof(&nodes, index, last.size).expect("tiles are there");
                let hash = TreeHash::leaf(&leaf(index));
                prop_assert_eq!(tree::verify_inclusion(index, last.size, &hash, &proof, &last.root), Ok(()));
            }
            for old in &done {
                let proof = tree::consistency_proof(&nodes, old.size, last.size).expect("tiles are there");
                prop_assert_eq!(tree::verify_consistency(old.size, &old.root, last.size, &last.root, &proof), Ok(()));
            }
        }
    }

    #[test]
    fn the_second_tile_level_is_written_and_resumed() {
        let (disk, done) = grow(&[65_535, 1, 1]);
        assert_eq!(done[2].root, root_by_definition(65_537));
        for path in ["tile/0/255", "tile/1/000", "tile/2/000.p/1", "tile/0/256.p/1", "tile/entries/256.p/1"] {
            assert!(disk.0.contains_key(path), "{path}");
        }
        assert!(!disk.0.contains_key("tile/1/001.p/0"));
    }

    #[test]
    fn a_changed_tile_or_leaf_is_noticed_when_resuming() {
        let (mut disk, done) = grow(&[300]);
        let checkpoint = done[0].checkpoint("example.com/log");
        for path in ["tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/001.p/44"] {
            let good = disk.0[path].clone();
            disk.0.get_mut(path).expect("written")[3] ^= 1;
            assert_eq!(Writer::resume(&checkpoint, &disk).expect_err(path).code(), "E-LOG-10");
            disk.0.insert(path.to_owned(), good);
        }
        assert!(Writer::resume(&checkpoint, &disk).is_ok());
    }
}
