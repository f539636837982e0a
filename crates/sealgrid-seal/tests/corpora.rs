//! Replays the fuzzers' corpora (fuzz/corpus/TARGET) through the functions they fuzz: what once broke a parser never
//! does again. The first inputs are valid ones, so that the fuzzers start behind the front door.

use std::path::PathBuf;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use sealgrid_seal::canonical;
use sealgrid_seal::digest::labels;
use sealgrid_seal::envelope::{self, JobKeyPair};
use sealgrid_seal::identity::SigningIdentity;
use sealgrid_seal::keyfile::{self, Cost};
use sealgrid_seal::keystore::{KeyRing, Purpose};
use sealgrid_seal::secret::Secret;
use sealgrid_seal::wallet::{self, Binding, SoftwareWallet};
use sealgrid_seal::{rest, statement, stream};

fn corpus(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

/// Calls `parse` with every input of the corpus, and checks that `seed` is one of them. (`SEALGRID_WRITE_VECTORS=1`
/// puts a missing one there.)
fn replay(target: &str, seed: &[u8], parse: fn(&[u8])) {
    let folder = corpus(target);
    let seed_file = folder.join("valid");
    if std::env::var_os("SEALGRID_WRITE_VECTORS").is_some() && !seed_file.exists() {
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        std::fs::write(&seed_file, seed).expect("the seed can be written");
    }
    assert!(
        std::fs::read(&seed_file).expect("a committed seed") == seed,
        "the valid input is what is written today"
    );
    for entry in std::fs::read_dir(&folder).expect("a committed corpus") {
        parse(&std::fs::read(entry.expect("an entry").path()).expect("an input"));
    }
    mutate(seed, parse);
}

/// A minute of fuzzing for machines without a fuzzer: cut, flipped, doubled and overwritten valid inputs.
fn mutate(seed: &[u8], parse: fn(&[u8])) {
    let mut rng = rng();
    let mut below =
        |bound: usize| usize::try_from(rng.next_u64() % bound.max(1) as u64).expect("below a usize");
    for _ in 0..400 {
        let mut input = seed.to_vec();
        for _ in 0..=below(3) {
            let position = below(input.len());
            match below(4) {
                0 => input.truncate(position),
                1 if !input.is_empty() => input[position] ^= 1 << below(8),
                2 if !input.is_empty() => input[position] = [0, 0x7f, 0x80, 0xff][below(4)],
                _ => input.extend_from_within(position..),
            }
        }
        parse(&input);
    }
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(7)
}

fn pair() -> JobKeyPair {
    JobKeyPair::from_seed(Secret::new([7; 32]))
}

fn identity() -> SigningIdentity {
    SigningIdentity::from_seed(&Secret::new([7; 32]))
}

#[test]
fn envelopes() {
    let (sealed, _) =
        envelope::seal(&mut rng(), pair().public(), labels::JOB_PAYLOAD, b"", b"record").expect("a good key");
    replay("seal_envelope", &canonical::encode(&sealed), envelope::fuzz_open);
}

#[test]
fn streams() {
    let mut sealed = Vec::new();
    let sealer = stream::Sealer::new(&mut rng(), &Secret::new([7; 32]), labels::STREAM, &mut sealed);
    sealer.finish(&mut sealed);
    replay("seal_stream", &sealed, stream::fuzz_open);
}

#[test]
fn objects_at_rest() {
    let sealed = rest::seal(&mut rng(), &[pair().public().clone()], b"record").expect("a good key");
    replay("seal_rest", &sealed, rest::fuzz_open);
}

#[test]
fn key_files() {
    let mut ring = KeyRing::new(&mut rng());
    ring.create(&mut rng(), 1, Purpose::Owner, "owner").expect("room");
    replay("seal_keyfile", ring.to_bytes().expose(), keyfile::fuzz_open);
    let file = ring.seal(&mut rng(), b"fuzz", Cost::LEAST).expect("short");
    keyfile::fuzz_open(&file);
}

#[test]
fn statements() {
    let kind = statement::Kind { label: labels::POLICY, content_type: "application/octet-stream" };
    replay("seal_statement", &statement::sign(&identity(), &kind, b"terms"), statement::fuzz_parse);
}

#[test]
fn bindings() {
    let wallet = SoftwareWallet::from_secret(&Secret::new([7; 32])).expect("a scalar");
    let binding = Binding {
        wallet: wallet.address(),
        identity: identity().public(),
        chain_id: 1,
        issued_seconds: 0,
        expires_seconds: 1,
    };
    let by_wallet = wallet.sign(&binding.digest());
    let signed = binding.sign(&identity(), by_wallet).expect("the wallet signed");
    replay("seal_wallet", &signed, wallet::fuzz_verify);
}
