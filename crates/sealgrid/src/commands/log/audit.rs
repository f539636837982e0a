//! `sealgrid log audit`: everything that the log published since the checkpoint kept last.
//!
//! 1. The head is signed by the log; which trusted witnesses cosigned it, and when.
//! 2. The head extends the kept checkpoint. If it does not, both signed heads are written to a file.
//! 3. Every leaf since then hashes to what the tiles say, every full tile to what the tile above says, and the tiles to the
//!    head's root: so whoever reads the tiles reads the tree that was signed.

use std::path::{Path, PathBuf};

use sealgrid_node::client::ClientError;
use sealgrid_node::folder::write_durably;
use sealgrid_protocol::log::note::Note;
use sealgrid_protocol::log::tile::{self, TileId, TileKind, TileNodes, Tiles as _};
use sealgrid_protocol::log::tree::{self, TreeHash};
use sealgrid_protocol::log::witness::Fork;
use sealgrid_protocol::log::{Checkpoint, LogError};
use sealgrid_seal::canonical;

use super::{Where, read_checkpoint, refused, unanswered};
use crate::failure::{Failure, unwritable};
use crate::home::Home;
use crate::log_tiles::GridTiles;
use crate::output::{Report, thousands};

/// Walk the log from the checkpoint kept last to now: signatures, growth, every tile and leaf in between.
#[derive(Debug, clap::Args)]
pub struct Audit {
    /// The checkpoint to start from; replaced by the new one when everything holds. The first audit starts at the log's
    /// beginning [default: checkpoints/ORIGIN in the home].
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Cosignatures that the head must have.
    #[arg(long, default_value_t = 1)]
    witnesses: u8,
    #[command(flatten)]
    place: Where,
}

impl Audit {
    /// Audits; nothing is kept when something does not hold.
    pub fn run(self, home: &Home) -> Result<Report, Failure> {
        let (asking, trust) = self.place.open(home)?;
        let kept = self.checkpoint.unwrap_or_else(|| default_path(home, trust.log.origin()));
        let old = if kept.exists() { Some(read_checkpoint(&kept, &trust.log)?) } else { None };
        let note = asking.head(self.witnesses)?;
        let trusted = trust
            .log
            .verify_signed(&note)
            .map_err(|error| refused(&error, "the log's head is not trusted"))?;
        let new = trusted.checkpoint;
        let tiles = GridTiles::new(&asking);
        let from = match &old {
            Some((old_note, old)) => {
                extends(&tiles, old, &new).map_err(|failure| exported(failure, &kept, old_note, &note))?;
                old.size
            }
            None => 0,
        };
        let leaves = walk(&tiles, from, &new)?;
        asking.close();
        if let Some(folder) = kept.parent() {
            std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
        }
        write_durably(&kept, note.to_text().as_bytes()).map_err(|error| unwritable(&kept, &error))?;
        let cosigned: Vec<String> = trusted.cosigned.iter().map(|(name, _)| name.clone()).collect();
        let silent: Vec<&str> = trust
            .log
            .witnesses()
            .iter()
            .map(|witness| witness.name.as_str())
            .filter(|name| !cosigned.iter().any(|cosigned| cosigned == name))
            .collect();
        let mut text = format!(
            "{} grew from {} to {} leaves; {} leaves and their tiles checked\ncosigned by {}",
            new.origin,
            thousands(from),
            thousands(new.size),
            thousands(leaves),
            cosigned.join(", "),
        );
        if !silent.is_empty() {
            text.push_str(&format!("\nnot cosigned by {}", silent.join(", ")));
        }
        text.push_str(&format!("\nthe next audit starts here: {}", kept.display()));
        let json = serde_json::json!({
            "origin": new.origin, "from": from, "size": new.size, "root": hex::encode(new.root.0),
            "leaves_checked": leaves, "cosigned": cosigned, "not_cosigned": silent, "checkpoint": kept,
        });
        Ok(Report::new(text, json))
    }
}

fn default_path(home: &Home, origin: &str) -> PathBuf {
    let name: String =
        origin.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).collect();
    home.path().join("checkpoints").join(name)
}

/// The new head extends the old one.
fn extends(tiles: &GridTiles<'_>, old: &Checkpoint, new: &Checkpoint) -> Result<(), Failure> {
    if old.size == new.size && old.root != new.root {
        let error = LogError::Forked { origin: new.origin.clone(), size: new.size };
        return Err(refused(&error, "THE LOG FORKED"));
    }
    let error = LogError::NotConsistent { old: old.size, new: new.size };
    if old.size > new.size {
        return Err(refused(&error, "the log took something back"));
    }
    let proof = tiles
        .consistency(old.size, new.size)
        .map_err(|error| unanswered(&error, "the log does not prove that it only grew"))?;
    tree::verify_consistency(old.size, &old.root, new.size, &new.root, &proof)
        .map_err(|error| refused(&error, "the log took something back"))
}

/// Keeps both heads beside the kept checkpoint: the log's own signatures accuse it. An answer that did not come accuses nobody.
fn exported(failure: Failure, kept: &Path, old: &Note, new: &Note) -> Failure {
    if !failure.code.starts_with("E-LOG") {
        return failure;
    }
    let path = kept.with_extension("fork");
    let fork = Fork { first: old.to_text(), second: new.to_text() };
    match write_durably(&path, &canonical::encode(&fork)) {
        Ok(()) => failure.hint(format!("keep both signed heads: {}", path.display())),
        Err(error) => failure.hint(format!("both heads could not be kept in {}: {error}", path.display())),
    }
}

/// Leaves from `from` on against tiles, tiles against the tiles above, tiles against the root.
fn walk(tiles: &GridTiles<'_>, from: u64, new: &Checkpoint) -> Result<u64, Failure> {
    let unread = |error: ClientError| unanswered(&error, "a tile of the log cannot be read");
    let mut leaves = 0;
    for index in from / 256..new.size.div_ceil(256) {
        let bundle = in_tree(TileKind::Entries, index, new.size)?;
        let bytes = tiles.read(bundle).map_err(unread)?;
        let entries =
            tile::entries(bundle, &bytes).map_err(|error| refused(&error, "a bundle of leaves is broken"))?;
        let hashes: Vec<TreeHash> = entries.iter().map(|leaf| TreeHash::leaf(leaf)).collect();
        leaves += hashes.len() as u64;
        compare(tiles, TileKind::Hashes { level: 0 }, index, new.size, &hashes)?;
    }
    let mut level = 0;
    while new.size >> (8 * (level + 1)) > 0 {
        let above = new.size >> (8 * (level + 1));
        for index in (from >> (8 * (level + 1)))..above {
            let id = in_tree(TileKind::Hashes { level }, index, new.size)?;
            let bytes = tiles.read(id).map_err(unread)?;
            let hashes = tile::hashes(id, &bytes).map_err(|error| refused(&error, "a tile is broken"))?;
            let id = in_tree(TileKind::Hashes { level: level + 1 }, index / 256, new.size)?;
            let bytes = tiles.read(id).map_err(unread)?;
            let parents = tile::hashes(id, &bytes).map_err(|error| refused(&error, "a tile is broken"))?;
            let parent = parents.get(usize::try_from(index % 256).expect("below 256"));
            if parent != Some(&tree::fold(&hashes)) {
                return Err(broken(id));
            }
        }
        level += 1;
    }
    let root = tree::root(&TileNodes { tiles, size: new.size }, new.size).map_err(unread)?;
    if root != new.root {
        let error = LogError::BadTile { path: "tile".to_owned() };
        return Err(refused(&error, "the tiles are not those of the signed tree"));
    }
    Ok(leaves)
}

fn compare(
    tiles: &GridTiles<'_>,
    kind: TileKind,
    index: u64,
    size: u64,
    hashes: &[TreeHash],
) -> Result<(), Failure> {
    let id = in_tree(kind, index, size)?;
    let bytes = tiles.read(id).map_err(|error| unanswered(&error, "a tile of the log cannot be read"))?;
    let stored = tile::hashes(id, &bytes).map_err(|error| refused(&error, "a tile is broken"))?;
    if stored == hashes { Ok(()) } else { Err(broken(id)) }
}

fn in_tree(kind: TileKind, index: u64, size: u64) -> Result<TileId, Failure> {
    let missing = LogError::BadTile { path: format!("{index}") };
    tile::tile_in_tree(kind, index, size).ok_or_else(|| refused(&missing, "a tile is missing"))
}

fn broken(id: TileId) -> Failure {
    refused(&LogError::BadTile { path: id.to_string() }, "a tile does not fit the leaves below it")
}
