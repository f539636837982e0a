//! Replays the fuzzers' corpora of the log's formats (fuzz/corpus/log_parse, log_tiles).

use std::path::PathBuf;

use sealgrid_protocol::log::roots::Witness;
use sealgrid_protocol::log::witness::AddCheckpoint;
use sealgrid_protocol::log::{Checkpoint, LogProof, LogRoots, TreeHash, fuzz_parse, fuzz_tiles};
use sealgrid_seal::identity::SigningIdentity;
use sealgrid_seal::secret::Secret;

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

/// One valid text of every format.
fn seeds() -> Vec<(&'static str, String)> {
    let identity = |seed| SigningIdentity::from_seed(&Secret::new([seed; 32]));
    let checkpoint = Checkpoint { origin: "example.com/log".into(), size: 2, root: TreeHash([9; 32]) };
    let mut note = checkpoint.sign(&identity(1)).expect("a name");
    note.add(note.cosign("example.com/witness", &identity(2), 7).expect("a name"));
    let witness = Witness { name: "example.com/witness".into(), identity: identity(2).public() };
    let roots = LogRoots::new("example.com/log", identity(1).public(), vec![witness], 1).expect("sound");
    let hashes = vec![TreeHash([8; 32])];
    vec![
        ("valid-note", note.to_text()),
        ("valid-policy", roots.to_policy()),
        ("valid-proof", LogProof { index: 1, inclusion: hashes.clone(), note: note.clone() }.to_text()),
        ("valid-request", AddCheckpoint { old_size: 1, consistency: hashes, note }.to_text()),
        ("valid-tile", "tile/0/x001/067.p/112".to_owned()),
    ]
}

#[test]
fn the_corpus_of_the_log_is_read_without_a_panic() {
    for (name, seed) in seeds() {
        let path = folder("log_parse").join(name);
        if std::env::var_os("SEALGRID_WRITE_VECTORS").is_some() && !path.exists() {
            std::fs::create_dir_all(folder("log_parse")).expect("the folder can be made");
            std::fs::write(&path, &seed).expect("the seed can be written");
        }
        assert_eq!(std::fs::read_to_string(&path).expect("a committed seed"), seed, "{name}");
    }
    type Target = (&'static str, fn(&[u8]));
    let targets: [Target; 2] = [("log_parse", fuzz_parse), ("log_tiles", fuzz_tiles)];
    for (target, parse) in targets {
        for entry in std::fs::read_dir(folder(target)).expect("a committed corpus") {
            parse(&std::fs::read(entry.expect("an entry").path()).expect("an input"));
        }
    }
}
