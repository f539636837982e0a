//! Durable appends (docs/reference/benchmarks/log.md): batches of 160-byte leaves, each on disk with a published
//! checkpoint when the call returns. Lower bound: writing and syncing the same bytes to one file.

#![expect(clippy::print_stdout, reason = "a measuring program prints its measurements")]

use std::path::Path;
use std::time::Instant;

use sealgrid_node::log_store::LogStore;
use sealgrid_node::measure::{self, Spread};
use sealgrid_seal::identity::SigningIdentity;
use sealgrid_seal::secret::Secret;

const LEAF_BYTES: usize = 160;
/// Leaves for which a log is filled without a pause, its journal's files settled and taking turns.
const SUSTAINED: usize = 1 << 20;

fn open(dir: &Path) -> LogStore {
    let signer = SigningIdentity::from_seed(&Secret::new([1; 32]));
    LogStore::open(dir, "example.com/log", signer).expect("opens")
}

fn line(what: &str, count: usize, spread: Spread) {
    let rate = |time: std::time::Duration| count as f64 / time.as_secs_f64();
    println!(
        "  {what:<28} least {:>9.2?}  median {:>9.2?} = {:>9.0}/s  worst {:>9.2?} = {:>9.0}/s",
        spread.least,
        spread.median,
        rate(spread.median),
        spread.worst,
        rate(spread.worst)
    );
}

fn main() {
    for round in 1..=3 {
        println!("round {round}");
        for count in [1, 256, 4096, 8192] {
            let leaves = vec![[7u8; LEAF_BYTES]; count];
            let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
            let mut store = open(dir.path());
            let ours = measure::repeat(30, || store.append(&leaves).map(drop)).expect("room");
            let bound = measure::durable_write(dir.path(), count * LEAF_BYTES, 30).expect("room");
            println!(" batch of {count}");
            line("append", count, ours);
            line("lower bound: one fsync", count, bound);
        }
        let (count, dir) = (8192, tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder"));
        let (leaves, mut store) = (vec![[7u8; LEAF_BYTES]; count], open(dir.path()));
        let started = Instant::now();
        for _ in 0..SUSTAINED / count {
            store.append(&leaves).expect("room");
        }
        store.settle().expect("room");
        let rate = SUSTAINED as f64 / started.elapsed().as_secs_f64();
        println!(" {SUSTAINED} leaves without a pause, all tiles synced at the end: {rate:.0}/s");
    }
}
