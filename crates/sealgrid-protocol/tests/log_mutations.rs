//! Single-bit mutations of what a log serves: tiles, leaves, notes and proofs. No one of 10,000 of each kind is believed.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use sealgrid_protocol::log::note::Note;
use sealgrid_protocol::log::roots::Witness;
use sealgrid_protocol::log::tile::{TileId, TileKind, TileNodes, Tiles, entries};
use sealgrid_protocol::log::writer::{Batch, Writer};
use sealgrid_protocol::log::{LogError, LogProof, LogRoots, TreeHash, tree};
use sealgrid_seal::identity::SigningIdentity;
use sealgrid_seal::secret::Secret;

/// Seeds of the positions; each chooses a quarter of them.
const SEEDS: [u64; 4] = [0x5ea1, 0x5ea2, 0x5ea3, 0x5ea4];
const ORIGIN: &str = "example.com/log";
/// Leaves in the log: two full tiles and a partial one, under a partial tile of the next level.
const SIZE: u64 = 700;

struct Disk(BTreeMap<TileId, Vec<u8>>);

impl Tiles for Disk {
    type Error = LogError;

    fn read(&self, tile: TileId) -> Result<Vec<u8>, LogError> {
        self.0.get(&tile).cloned().ok_or(LogError::BadTile { path: tile.to_string() })
    }
}

fn identity(seed: u8) -> SigningIdentity {
    SigningIdentity::from_seed(&Secret::new([seed; 32]))
}

fn leaf(index: u64) -> Vec<u8> {
    format!("leaf {index}").into_bytes()
}

fn grown() -> (Disk, Batch) {
    let mut writer = Writer::new();
    for index in 0..SIZE {
        writer.append(&leaf(index)).expect("short");
    }
    let batch = writer.commit().expect("leaves were appended");
    (Disk(batch.tiles.iter().cloned().collect()), batch)
}

fn roots() -> LogRoots {
    let witness = |seed| Witness { name: format!("w{seed}.example.com"), identity: identity(seed).public() };
    LogRoots::new(ORIGIN, identity(1).public(), vec![witness(2), witness(3)], 2).expect("sound")
}

fn note(batch: &Batch) -> Note {
    let mut note = batch.checkpoint(ORIGIN).sign(&identity(1)).expect("a name");
    for seed in [2, 3] {
        note.add(note.cosign(&format!("w{seed}.example.com"), &identity(seed), 7).expect("a name"));
    }
    note
}

/// Calls `check` with 10,000 copies of `bytes`, a bit flipped in each, and where that bit is.
fn flipped(bytes: &[u8], mut check: impl FnMut(&[u8], usize) -> bool) {
    let mut bytes = bytes.to_vec();
    for seed in SEEDS {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..2_500 {
            let bit = usize::try_from(rng.next_u64() % (bytes.len() as u64 * 8)).expect("small");
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(check(&bytes, bit), "seed {seed:#x}, bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn no_flipped_bit_of_a_note_or_a_proof_is_believed() {
    let (disk, batch) = grown();
    let note = note(&batch);
    assert!(roots().verify(&note).is_ok());
    flipped(note.to_text().as_bytes(), |bytes, _| {
        Note::parse(bytes).and_then(|note| roots().verify(&note)).is_err()
    });
    let nodes = TileNodes { tiles: &disk, size: SIZE };
    let inclusion = tree::inclusion_proof(&nodes, 300, SIZE).expect("the tiles are there");
    let proof = LogProof { index: 300, inclusion, note };
    assert!(proof.verify(&leaf(300), &roots()).is_ok());
    flipped(proof.to_text().as_bytes(), |bytes, _| {
        let Ok(text) = std::str::from_utf8(bytes) else { return true };
        LogProof::from_text(text).and_then(|proof| proof.verify(&leaf(300), &roots())).is_err()
    });
}

#[test]
fn no_flipped_bit_of_a_consistency_proof_is_believed() {
    let (disk, batch) = grown();
    let nodes = TileNodes { tiles: &disk, size: SIZE };
    let old = tree::root(&nodes, 450).expect("the tiles are there");
    let proof = tree::consistency_proof(&nodes, 450, SIZE).expect("the tiles are there");
    assert_eq!(tree::verify_consistency(450, &old, SIZE, &batch.root, &proof), Ok(()));
    let bytes: Vec<u8> = proof.iter().flat_map(|hash| hash.0).collect();
    flipped(&bytes, |bytes, _| {
        let proof: Vec<TreeHash> = bytes.as_chunks::<32>().0.iter().map(|hash| TreeHash(*hash)).collect();
        tree::verify_consistency(450, &old, SIZE, &batch.root, &proof).is_err()
    });
}

/// A proof that is made from a tile with a flipped bit is not believed: that of the leaf beside the hash with the bit.
#[test]
fn no_flipped_bit_of_a_tile_leads_to_a_proof_that_is_believed() {
    let (mut disk, batch) = grown();
    let hashes = |level, index, width| TileId { kind: TileKind::Hashes { level }, index, width };
    for tile in [hashes(0, 1, 256), hashes(1, 0, 2)] {
        let genuine = disk.0[&tile].clone();
        flipped(&genuine, |bytes, bit| {
            disk.0.insert(tile, bytes.to_vec());
            let TileKind::Hashes { level } = tile.kind else { return false };
            let beside = (tile.index * 256 + bit as u64 / 256) ^ 1;
            let index = beside << (8 * u32::from(level));
            let nodes = TileNodes { tiles: &disk, size: SIZE };
            let proof = tree::inclusion_proof(&nodes, index, SIZE).expect("the tiles are there");
            tree::verify_inclusion(index, SIZE, &TreeHash::leaf(&leaf(index)), &proof, &batch.root).is_err()
        });
        disk.0.insert(tile, genuine);
    }
}

/// A bundle with a flipped bit is refused, or holds other leaves than the tree.
#[test]
fn no_flipped_bit_of_an_entry_bundle_is_believed() {
    let (disk, batch) = grown();
    let tile = TileId { kind: TileKind::Entries, index: 1, width: 256 };
    let nodes = TileNodes { tiles: &disk, size: SIZE };
    let tree_leaves: Vec<TreeHash> =
        (256..512).map(|index| tree::Nodes::node(&nodes, 0, index).expect("the tiles are there")).collect();
    let fits = |bytes: &[u8]| {
        entries(tile, bytes).is_ok_and(|leaves| {
            leaves.iter().map(|leaf| TreeHash::leaf(leaf)).eq(tree_leaves.iter().copied())
        })
    };
    assert!(fits(&disk.0[&tile]), "{}", batch.size);
    flipped(&disk.0[&tile], |bytes, _| !fits(bytes));
}
