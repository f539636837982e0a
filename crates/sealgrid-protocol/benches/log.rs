//! What a log proof costs to check (docs/reference/benchmarks/log.md). Lower bound: the hashes it is made of.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use sealgrid_protocol::log::roots::Witness;
use sealgrid_protocol::log::tree::{self, TreeHash};
use sealgrid_protocol::log::writer::Writer;
use sealgrid_protocol::log::{Checkpoint, LogProof, LogRoots};
use sealgrid_seal::identity::SigningIdentity;
use sealgrid_seal::secret::Secret;

const LEAVES: u64 = 1_000_000;

fn proofs(c: &mut Criterion) {
    let leaves: Vec<TreeHash> = (0..LEAVES).map(|index| TreeHash::leaf(&index.to_be_bytes())).collect();
    let root = tree::fold(&leaves);
    let index = 123_456;
    let inclusion = tree::inclusion_proof(&leaves[..], index, LEAVES).expect("in memory");
    let leaf = index.to_be_bytes();
    let hashes = inclusion.len();
    c.bench_function(&format!("inclusion check, {hashes} hashes"), |b| {
        b.iter(|| {
            let leaf = TreeHash::leaf(black_box(&leaf));
            tree::verify_inclusion(index, LEAVES, &leaf, &inclusion, &root)
        });
    });
    c.bench_function("peer: tlog_tiles inclusion check", |b| {
        let theirs: Vec<_> = inclusion.iter().map(|hash| tlog_tiles::Hash(hash.0)).collect();
        b.iter(|| {
            let leaf = tlog_tiles::record_hash(black_box(&leaf));
            tlog_tiles::check_record(&theirs, LEAVES, tlog_tiles::Hash(root.0), index, leaf)
        });
    });
    c.bench_function("lower bound: as many SHA-256 of two hashes", |b| {
        b.iter(|| (0..hashes).fold(root, |hash, _| TreeHash::node(black_box(&hash), &root)));
    });

    let identity = |seed| SigningIdentity::from_seed(&Secret::new([seed; 32]));
    let checkpoint = Checkpoint { origin: "example.com/log".into(), size: LEAVES, root };
    let mut note = checkpoint.sign(&identity(1)).expect("a name");
    let witnesses: Vec<Witness> = (2..5)
        .map(|seed| Witness { name: format!("example.com/w{seed}"), identity: identity(seed).public() })
        .collect();
    for (seed, witness) in (2..5).zip(&witnesses) {
        note.add(note.cosign(&witness.name, &identity(seed), 7).expect("a name"));
    }
    let roots = LogRoots::new("example.com/log", identity(1).public(), witnesses, 2).expect("sound");
    let proof = LogProof { index, inclusion, note };
    let text = proof.to_text();
    c.bench_function("proof read from text and verified with log and 3 witnesses", |b| {
        b.iter(|| LogProof::from_text(black_box(&text)).and_then(|proof| proof.verify(&leaf, &roots)));
    });
    c.bench_function("writer, 4096 leaves of 160 bytes, in memory", |b| {
        b.iter(|| {
            let mut writer = Writer::new();
            for _ in 0..4096 {
                writer.append(&[7; 160]).expect("short");
            }
            writer.commit()
        });
    });
}

criterion_group!(benches, proofs);
criterion_main!(benches);
