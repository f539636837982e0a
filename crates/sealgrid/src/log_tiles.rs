//! The tiles of a grid's log, read over the network, and the proofs that come out of them. Nothing read here is believed:
//! a proof is checked against a signed checkpoint by whoever asked for it.

use std::cell::RefCell;
use std::collections::HashMap;

use sealgrid_node::client::ClientError;
use sealgrid_protocol::log::LogError;
use sealgrid_protocol::log::tile::{TileId, TileNodes, Tiles};
use sealgrid_protocol::log::tree::{self, TreeHash};

use crate::asking::Asking;

/// Tiles kept at most: 64 MiB of them. An audit reads each once, in order.
const KEPT_MAX: usize = 8192;

/// The log's tiles as its writer serves them.
pub struct GridTiles<'a> {
    asking: &'a Asking,
    kept: RefCell<HashMap<TileId, Vec<u8>>>,
}

impl<'a> GridTiles<'a> {
    /// Reads through `asking`.
    pub fn new(asking: &'a Asking) -> Self {
        Self { asking, kept: RefCell::default() }
    }

    /// The proof that leaf `index` is in the tree of `size`.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<TreeHash>, ClientError> {
        if index >= size {
            return Err(LogError::NotIncluded { index }.into());
        }
        tree::inclusion_proof(&TileNodes { tiles: self, size }, index, size)
    }

    /// The proof that the tree of `new` leaves extends the one of `old`.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<TreeHash>, ClientError> {
        tree::consistency_proof(&TileNodes { tiles: self, size: new }, old, new)
    }
}

impl Tiles for GridTiles<'_> {
    type Error = ClientError;

    fn read(&self, tile: TileId) -> Result<Vec<u8>, ClientError> {
        if let Some(bytes) = self.kept.borrow().get(&tile) {
            return Ok(bytes.clone());
        }
        let bytes = self.asking.tile(tile)?;
        let mut kept = self.kept.borrow_mut();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(tile, bytes.clone());
        Ok(bytes)
    }
}
