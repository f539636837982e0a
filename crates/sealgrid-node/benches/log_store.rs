//! Durable appends (docs/reference/benchmarks/log.md): batches of 160-byte leaves, each on disk with a published
//! checkpoint when the call returns. Lower bound: one fsync of the same bytes.

use std::io::Write as _;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sealgrid_node::log_store::LogStore;
use sealgrid_seal::identity::SigningIdentity;
use sealgrid_seal::secret::Secret;

fn appends(c: &mut Criterion) {
    for count in [1, 256, 4096, 8192] {
        let leaves = vec![[7; 160]; count];
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let signer = SigningIdentity::from_seed(&Secret::new([1; 32]));
        let mut store = LogStore::open(dir.path(), "example.com/log", signer).expect("opens");
        let mut group = c.benchmark_group(format!("append batch of {count}"));
        group.sample_size(20).throughput(Throughput::Elements(count as u64));
        group.bench_function("durable", |b| b.iter(|| store.append(&leaves).expect("room")));
        let mut file = std::fs::File::create(dir.path().join("plain")).expect("a file");
        group.bench_function("lower bound: write and one fsync", |b| {
            b.iter(|| file.write_all(leaves.as_flattened()).and_then(|()| file.sync_data()).expect("room"));
        });
        group.finish();
    }
}

criterion_group!(benches, appends);
criterion_main!(benches);
