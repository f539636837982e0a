//! Tiles (C2SP tlog-tiles): 256 hashes side by side, eight levels of the tree in one immutable file, and the entry
//! bundles that hold the leaves themselves.

use std::fmt;

use super::tree::{self, Nodes, TreeHash};
use super::{LEAF_LENGTH_MAX, LogError};

/// Hashes in a full tile, leaves in a full bundle.
pub const TILE_WIDTH: u16 = 256;

/// Levels of the tree that one tile spans.
const TILE_HEIGHT: u8 = 8;

/// Bytes of one tile at most.
pub const TILE_LENGTH_MAX: usize = 256 * 32;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TileKind {
    /// Hashes at tile level 0 to 7; level 0 holds leaf hashes.
    Hashes {
        /// Tile level.
        level: u8,
    },
    /// The leaves, each preceded by its length as a big-endian `u16`.
    Entries,
}

/// One file of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileId {
    /// What it holds.
    pub kind: TileKind,
    /// Index among the tiles of its kind.
    pub index: u64,
    /// Hashes or leaves in it, 1 to 256; less than 256 makes it partial.
    pub width: u16,
}

impl TileId {
    /// Reads a path as [`TileId`]'s `Display` writes it, in that one spelling.
    ///
    /// # Errors
    /// [`LogError::Malformed`].
    pub fn from_path(path: &str) -> Result<Self, LogError> {
        Self::read_path(path)
            .filter(|tile| tile.to_string() == path)
            .ok_or(LogError::Malformed { what: "tile path" })
    }

    fn read_path(path: &str) -> Option<Self> {
        let mut parts = path.strip_prefix("tile/")?.split('/');
        let kind = match parts.next()? {
            "entries" => TileKind::Entries,
            level => TileKind::Hashes { level: level.parse().ok().filter(|&level| level < 8)? },
        };
        let mut index: u64 = 0;
        let mut width = TILE_WIDTH;
        for part in parts.by_ref() {
            let (digits, partial) = part.strip_suffix(".p").map_or((part, false), |digits| (digits, true));
            let digits = digits.strip_prefix('x').unwrap_or(digits);
            index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
            if partial {
                width = parts.next()?.parse().ok().filter(|width| (1..TILE_WIDTH).contains(width))?;
                break;
            }
        }
        parts.next().is_none().then_some(Self { kind, index, width })
    }
}

impl fmt::Display for TileId {
    /// The path under the log's prefix, such as `tile/0/x001/x234/067.p/112`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes { level } => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        let mut divisor = 1;
        while self.index / divisor >= 1000 {
            divisor *= 1000;
        }
        while divisor > 1 {
            write!(f, "x{:03}/", self.index / divisor % 1000)?;
            divisor /= 1000;
        }
        write!(f, "{:03}", self.index % 1000)?;
        if self.width < TILE_WIDTH {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

/// The tile of `kind` at `index` as it stands in a tree of `size` leaves; `None` when it is empty.
#[must_use]
pub fn tile_in_tree(kind: TileKind, index: u64, size: u64) -> Option<TileId> {
    let level = match kind {
        TileKind::Hashes { level } => level,
        TileKind::Entries => 0,
    };
    let hashes = size >> (TILE_HEIGHT * level);
    let width = hashes.checked_sub(index.checked_mul(256)?)?.min(256);
    let width = u16::try_from(width).expect("at most 256");
    (width > 0).then_some(TileId { kind, index, width })
}

/// Reads tiles from wherever they are kept.
pub trait Tiles {
    /// Why a tile cannot be read.
    type Error: From<LogError>;

    /// The bytes of `tile`. A full tile may be given in place of a partial one.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, tile: TileId) -> Result<Vec<u8>, Self::Error>;
}

/// The nodes of a tree of a given size, read through its tiles.
#[derive(Debug)]
pub struct TileNodes<'t, T> {
    /// Where tiles come from.
    pub tiles: &'t T,
    /// Leaves in the tree: decides which tiles are partial.
    pub size: u64,
}

impl<T: Tiles> Nodes for TileNodes<'_, T> {
    type Error = T::Error;

    fn node(&self, level: u8, index: u64) -> Result<TreeHash, T::Error> {
        // The tile whose own hashes are at most seven levels below the node.
        let (tile_level, height) = (level / TILE_HEIGHT, level % TILE_HEIGHT);
        let first = index << height;
        let kind = TileKind::Hashes { level: tile_level };
        let wanted = TileId { kind, index: first / 256, width: TILE_WIDTH };
        let missing = || LogError::BadTile { path: wanted.to_string() };
        let tile = tile_in_tree(kind, first / 256, self.size).ok_or_else(missing)?;
        let hashes = hashes(tile, &self.tiles.read(tile)?)?;
        let offset = usize::try_from(first % 256).expect("below 256");
        let below = hashes.get(offset..offset + (1 << height)).ok_or_else(missing)?;
        Ok(tree::fold(below))
    }
}

/// The hashes in the bytes of a hash tile, cut to the tile's width.
///
/// # Errors
/// [`LogError::BadTile`] when there are fewer than the width says, more than 256, or half a hash.
pub fn hashes(tile: TileId, bytes: &[u8]) -> Result<Vec<TreeHash>, LogError> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    let width = usize::from(tile.width);
    if !rest.is_empty() || hashes.len() < width || hashes.len() > 256 {
        return Err(LogError::BadTile { path: tile.to_string() });
    }
    Ok(hashes[..width].iter().map(|hash| TreeHash(*hash)).collect())
}

/// The leaves in the bytes of an entry bundle, cut to the bundle's width.
///
/// # Errors
/// [`LogError::BadTile`] when there are fewer than the width says, or bytes are left over in a bundle
/// of exactly that width.
pub fn entries(tile: TileId, bytes: &[u8]) -> Result<Vec<&[u8]>, LogError> {
    let bad = || LogError::BadTile { path: tile.to_string() };
    let mut rest = bytes;
    let mut entries = Vec::with_capacity(usize::from(tile.width));
    while entries.len() < usize::from(tile.width) {
        let (length, tail) = rest.split_first_chunk::<2>().ok_or_else(bad)?;
        let (entry, tail) =
            tail.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or_else(bad)?;
        entries.push(entry);
        rest = tail;
    }
    if tile.width == TILE_WIDTH && !rest.is_empty() {
        return Err(bad());
    }
    Ok(entries)
}

/// Appends `leaf` to an entry bundle.
///
/// # Errors
/// [`LogError::LeafTooLong`].
pub(super) fn push_entry(bundle: &mut Vec<u8>, leaf: &[u8]) -> Result<(), LogError> {
    let length = u16::try_from(leaf.len()).map_err(|_| LogError::LeafTooLong { length: leaf.len() })?;
    const { assert!(LEAF_LENGTH_MAX == u16::MAX as usize) };
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(leaf);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        let hashes = |level, index, width| TileId { kind: TileKind::Hashes { level }, index, width };
        let check = |tile: TileId, path: &str| {
            assert_eq!(tile.to_string(), path);
            assert_eq!(TileId::from_path(path), Ok(tile));
        };
        check(hashes(0, 1_234_067, 256), "tile/0/x001/x234/067");
        check(hashes(1, 5, 112), "tile/1/005.p/112");
        check(TileId { kind: TileKind::Entries, index: 0, width: 256 }, "tile/entries/000");
        check(TileId { kind: TileKind::Entries, index: 1000, width: 1 }, "tile/entries/x001/000.p/1");
        for wrong in [
            "",
            "tile/0/",
            "tile/0/1",
            "tile/00/001",
            "tile/8/001",
            "tile/0/x000/001",
            "tile/0/001.p/256",
            "tile/0/001.p/0",
            "tile/0/001.p",
            "tile/0/001/002",
            "tile/0/001.p/1/2",
            "tile/0/+01",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(TileId::from_path(wrong).expect_err(wrong).code(), "E-LOG-01");
        }
    }

    #[test]
    fn the_example_of_the_specification_has_the_tiles_it_says() {
        let width =
            |level, index| tile_in_tree(TileKind::Hashes { level }, index, 70_000).map(|tile| tile.width);
        assert_eq!((width(0, 272), width(0, 273), width(0, 274)), (Some(256), Some(112), None));
        assert_eq!((width(1, 0), width(1, 1)), (Some(256), Some(17)));
        assert_eq!((width(2, 0), width(3, 0)), (Some(1), None));
    }

    #[test]
    fn tiles_and_bundles_of_a_wrong_length_are_refused() {
        let tile = TileId { kind: TileKind::Hashes { level: 0 }, index: 0, width: 2 };
        assert!(hashes(tile, &[0; 64]).is_ok());
        assert!(hashes(tile, &[0; 96]).is_ok(), "a wider tile serves");
        for length in [0, 32, 63, 65, 257 * 32] {
            assert_eq!(hashes(tile, &vec![0; length]).expect_err("wrong length").code(), "E-LOG-10");
        }
        let bundle = TileId { kind: TileKind::Entries, index: 0, width: 1 };
        assert_eq!(entries(bundle, &[0, 1, 7]), Ok(vec![&[7][..]]));
        assert!(entries(bundle, &[0, 2, 7]).is_err());
        assert!(entries(bundle, &[0]).is_err());
        assert_eq!(push_entry(&mut Vec::new(), &vec![0; 65_536]).expect_err("too long").code(), "E-LOG-08");
    }
}
