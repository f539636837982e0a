//! Records scored under encryption, as four processes of two people who share nothing but files.

use std::os::unix::fs::PermissionsExt as _;

use crate::common::*;

const ENCRYPT: [&str; 8] =
    ["fhe", "encrypt", "m.sgr", "--input", "records.csv", "--key", "alice.key", "--out"];
const EVAL: [&str; 5] = ["fhe", "eval", "m.sgm", "--input", "records.ct"];
const DECRYPT: [&str; 7] = ["fhe", "decrypt", "m.sgr", "--input", "sums.ct", "--key", "alice.key"];

/// The owner of the records, with what was published of a model, and the owner of the model, with the model.
fn two_people() -> (Home, Home) {
    let (owner, evaluator) = (Home::new(), Home::new());
    let plain = evaluator.import("breast-cancer-logreg", "breast-cancer");
    evaluator.json(&["model", "register", text(&plain), "--out", "m.sgm", "--openings", "3"]);
    give("m.sgr", &evaluator, &owner);
    std::fs::copy(test_data("breast-cancer"), owner.path("records.csv")).expect("room");
    (owner, evaluator)
}

fn give(name: &str, from: &Home, to: &Home) {
    std::fs::copy(from.path(name), to.path(name)).expect("room");
}

fn bytes(home: &Home, name: &str) -> Vec<u8> {
    std::fs::read(home.path(name)).expect("written")
}

#[test]
fn all_records_through_four_processes_give_what_the_plain_run_gives() {
    let (owner, evaluator) = two_people();
    owner.json(&["fhe", "keygen", "--out", "alice.key"]);
    let mode = std::fs::metadata(owner.path("alice.key")).expect("made").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let encrypted = owner.json(&[&ENCRYPT[..], &["records.ct"]].concat());
    assert_eq!(encrypted["records"], 228, "{encrypted}");
    give("records.ct", &owner, &evaluator);
    let evaluated = evaluator.json(&[&EVAL[..], &["--out", "sums.ct"]].concat());
    assert_eq!(evaluated["model"], encrypted["model"]);
    give("sums.ct", &evaluator, &owner);
    let decrypted = owner.json(&[&DECRYPT[..], &["--out", "results.csv"]].concat());
    assert!(decrypted["does_not_hide"][0].as_str().expect("said").contains("accumulators"));
    // The model's owner made neither key nor record, and the records' owner has no weights.
    for secret in ["alice.key", "records.csv", "results.csv"] {
        assert!(!evaluator.path(secret).exists());
    }
    // The plain run of the same model on the same records; a proof's results are the run's.
    give("records.csv", &owner, &evaluator);
    evaluator.json(&[
        "prove",
        "m.sgm",
        "--input",
        "records.csv",
        "--out",
        "p.proof",
        "--show-weights",
        "--results",
        "plain.csv",
    ]);
    assert_eq!(bytes(&owner, "results.csv"), bytes(&evaluator, "plain.csv"), "to the last digit");
    // Evaluation tells nobody anything new: the same ciphertexts give the same bits.
    evaluator.json(&[&EVAL[..], &["--out", "again.ct"]].concat());
    assert_eq!(bytes(&evaluator, "sums.ct"), bytes(&evaluator, "again.ct"));
}

#[test]
fn wrong_keys_files_and_models_are_refused_each_by_its_code_and_nothing_is_written() {
    let (owner, evaluator) = two_people();
    let keygen = |name| ["fhe", "keygen", "--out", name];
    owner.json(&keygen("alice.key"));
    owner.json(&keygen("other.key"));
    let kept = bytes(&owner, "alice.key");
    owner.fails(&keygen("alice.key"), "E-USE-09", 2);
    assert_eq!(bytes(&owner, "alice.key"), kept);
    owner.json(&[&ENCRYPT[..], &["records.ct"]].concat());
    give("records.ct", &owner, &evaluator);
    evaluator.json(&[&EVAL[..], &["--out", "sums.ct"]].concat());
    give("sums.ct", &evaluator, &owner);

    // Another model of the same shape: the plain one, which has another identity.
    give("breast-cancer-logreg.sgm", &evaluator, &owner);
    evaluator.fails(
        &["fhe", "eval", "breast-cancer-logreg.sgm", "--input", "records.ct", "--out", "x.ct"],
        "E-FHE-41",
        4,
    );
    let decrypt =
        |model, input, key| ["fhe", "decrypt", model, "--input", input, "--key", key, "--out", "x.csv"];
    owner.fails(&decrypt("breast-cancer-logreg.sgm", "sums.ct", "alice.key"), "E-FHE-41", 4);

    // A model with more than one layer, before anything is encrypted.
    evaluator.import("breast-cancer-mlp", "breast-cancer");
    give("breast-cancer-mlp.sgm", &evaluator, &owner);
    let mut encrypt = [&ENCRYPT[..], &["x.ct"]].concat();
    encrypt[2] = "breast-cancer-mlp.sgm";
    let said = owner.fails(&encrypt, "E-FHE-40", 3);
    assert!(said.contains("sealgrid run"), "{said}");
    encrypt[2] = "records.csv";
    owner.fails(&encrypt, "E-IMP-53", 2);

    // The wrong key, and what is none.
    owner.fails(&decrypt("m.sgr", "sums.ct", "other.key"), "E-FHE-18", 7);
    owner.fails(&decrypt("m.sgr", "sums.ct", "records.ct"), "E-FHE-21", 7);
    std::fs::write(owner.path("cut.key"), &kept[..400]).expect("written");
    owner.fails(&decrypt("m.sgr", "sums.ct", "cut.key"), "E-FHE-22", 7);

    // Files that were cut, changed, or taken for one another.
    let sums = bytes(&owner, "sums.ct");
    std::fs::write(owner.path("cut.ct"), &sums[..sums.len() / 2]).expect("written");
    owner.fails(&decrypt("m.sgr", "cut.ct", "alice.key"), "E-FHE-20", 4);
    let mut changed = sums.clone();
    changed[sums.len() / 2] ^= 1;
    std::fs::write(owner.path("changed.ct"), changed).expect("written");
    owner.fails(&decrypt("m.sgr", "changed.ct", "alice.key"), "E-FHE-23", 4);
    owner.fails(&decrypt("m.sgr", "records.ct", "alice.key"), "E-FHE-21", 4);
    owner.fails(&decrypt("m.sgr", "records.csv", "alice.key"), "E-FHE-20", 4);
    owner.fails(&decrypt("m.sgr", "none.ct", "alice.key"), "E-USE-01", 2);
    evaluator.fails(&["fhe", "eval", "m.sgm", "--input", "sums.ct", "--out", "x.ct"], "E-FHE-21", 4);

    // The evaluator has nothing to say of a key, and needs the weights.
    evaluator.fails(&[&EVAL[..], &["--out", "x.ct", "--key", "alice.key"]].concat(), "E-USE-05", 2);
    evaluator.fails(&["fhe", "eval", "m.sgr", "--input", "records.ct", "--out", "x.ct"], "E-IMP-53", 2);

    // Outputs that would take the place of what is read.
    owner.fails(&[&ENCRYPT[..], &["alice.key"]].concat(), "E-USE-07", 2);
    owner.fails(&[&DECRYPT[..], &["--out", "x.txt"]].concat(), "E-DAT-01", 2);
    for home in [&owner, &evaluator] {
        assert!(!home.path("x.ct").exists() && !home.path("x.csv").exists());
    }
    assert_eq!(bytes(&owner, "alice.key"), kept);
}
