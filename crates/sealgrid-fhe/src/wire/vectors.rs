//! The frozen vectors of vectors/fhe/: a file of every format, or its digest where it is large. `SEALGRID_BLESS=1` writes them anew from this
//! code, as `cargo xtask vectors --bless` does.

use std::path::PathBuf;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::ckks::{self, Ciphertext, EvaluationKeys, Evaluator, FreshCiphertext};
use crate::linear::{self, Layer};

/// The frozen file, which is written first when blessing; else it must be what this code makes.
fn frozen(name: &str, made: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/fhe").join(name);
    if std::env::var("SEALGRID_BLESS").is_ok_and(|value| value == "1") {
        std::fs::write(&path, made).expect("vectors/fhe can be written");
    }
    let frozen = std::fs::read(&path).expect("the vector is there");
    assert!(frozen == made, "{name}: the same seed no longer makes the same bytes");
    frozen
}

fn key(set: ParameterSet, name: &str, rng: &mut ChaCha20Rng) -> SecretKey {
    let parameters = Parameters::new(set).expect("a published set");
    let made = SecretKey::generate(&parameters, rng);
    let bytes = SecretBytes::new(frozen(name, made.to_secret_bytes().expose()));
    let read = SecretKey::from_secret_bytes(&parameters, &bytes).expect("the frozen key is valid");
    assert_eq!(read.to_secret_bytes().expose(), bytes.expose(), "one spelling");
    read
}

/// Two records of three features, and two sums of each.
#[test]
fn vectors_of_a_linear_layer_hold() {
    let rng = &mut ChaCha20Rng::seed_from_u64(101);
    let key = key(ParameterSet::LINEAR_1, "linear.key", rng);
    let shape = Shape { features: 3, width: Width::I8 };
    let made = linear::encrypt(&key, shape, &[&[1, -2, 3], &[4, 5, -128]], rng).expect("they fit");
    let bytes = frozen("linear.records", &made.to_bytes());
    let records = EncryptedRecords::from_bytes(&bytes).expect("the frozen records are valid");
    assert_eq!(records.to_bytes(), bytes, "one spelling");

    let layer = Layer::new(key.parameters(), shape, &[&[7, 8, 9], &[-1, 0, 127]], &[1, -2]).expect("exact");
    let bytes = frozen("linear.sums", &layer.evaluate(&records).expect("the same shape").to_bytes());
    let sums = EncryptedSums::from_bytes(&bytes).expect("the frozen sums are valid");
    assert_eq!(sums.to_bytes(), bytes, "one spelling");
    assert_eq!(linear::decrypt(&key, &sums), Ok(vec![vec![19, 378], vec![-1083, -16_262]]));
}

/// Four numbers, squared and rotated to the left by one.
#[test]
fn vectors_of_slots_hold() {
    let rng = &mut ChaCha20Rng::seed_from_u64(102);
    let key = key(ParameterSet::CKKS_1, "ckks.key", rng);
    let parameters = key.parameters();
    let keys = EvaluationKeys::generate(&key, &[1], rng).expect("a set for slots");
    let keys = keys.to_bytes(parameters).expect("its own parameters");
    // Four numbers alone are seven coefficients that are not zero: none is so near a half that machines round it otherwise.
    let fresh = ckks::encrypt(&key, &[0.5, 1.0, -1.5, 2.0], 2.0_f64.powi(37), rng).expect("finite");
    let fresh = fresh.to_bytes(parameters).expect("its own parameters");

    // What the evaluator does with bytes alone.
    let read = EvaluationKeys::from_bytes(parameters, &keys).expect("written");
    assert!(read.to_bytes(parameters).as_ref() == Ok(&keys), "one spelling");
    let x = FreshCiphertext::from_bytes(parameters, &fresh).expect("written");
    assert!(x.to_bytes(parameters).as_ref() == Ok(&fresh), "one spelling");
    let x = x.expand(parameters).expect("its own parameters");
    let full = x.to_bytes(parameters).expect("its own parameters");
    let evaluator = Evaluator::new(parameters, &read).expect("its own parameters");
    let square = evaluator.rescale(&evaluator.multiply(&x, &x).expect("a key")).expect("a prime is left");
    let answer = evaluator.truncate(&evaluator.rotate(&square, 1).expect("a key"), 1).expect("one is left");

    let lines = [("keys", &keys), ("fresh", &fresh), ("slots", &full)]
        .map(|(name, bytes)| format!("{name} {} {}\n", bytes.len(), blake3::hash(bytes)));
    frozen("ckks.digests", lines.concat().as_bytes());
    let bytes = frozen("ckks.slots", &answer.to_bytes(parameters).expect("its own parameters"));
    let answer = Ciphertext::from_bytes(parameters, &bytes).expect("the frozen slots are valid");
    assert!(answer.to_bytes(parameters) == Ok(bytes), "one spelling");
    let decrypt = |slots| ckks::danger_decrypt(&key, slots).expect("the right key");
    for (slots, expected) in [(&x, [0.5, 1.0, -1.5, 2.0]), (&answer, [1.0, 2.25, 4.0, 0.25])] {
        let slots = decrypt(slots);
        let right =
            slots.iter().zip(expected.iter().cycle()).all(|(found, right)| (found - right).abs() < 1e-5);
        assert!(right, "{:?}", &slots[..4]);
    }
}
