//! The program `sealgrid-verify`: what it says of files, and what it is linked from.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::*;
use object::{Object as _, ObjectSymbol as _};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use sealgrid_graph::arbitrary::small_model;
use sealgrid_graph::execute::{Batch, Executor as _};
use sealgrid_graph::reference::Reference;
use sealgrid_graph::tensor::{Data, Shape};
use sealgrid_proof::file::{self, Records, RegisteredParameters, Results};
use sealgrid_proof::level::Level;
use sealgrid_verify::TrustRoots;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_sealgrid-verify");

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().expect("the program starts")
}

fn verdicts(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON a line")).collect()
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([5; 32])
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path: PathBuf = folder.join(name);
    std::fs::write(&path, bytes).expect("a folder of the test's own");
    path.to_str().expect("no odd name").to_owned()
}

/// A proof of one run, as files: the proof, what was published of the model, and of another model.
fn files(folder: &Path) -> [String; 3] {
    let model = |bias| {
        RegisteredParameters::register(small_model(bias, &mut rng()), 8, Level::default())
            .expect("registrable")
    };
    let (model, other) = (model(10), model(11));
    let data = Data::I8(vec![1, 2, 30, -40]);
    let inputs = vec![Batch::new(2, Shape::new(&[1, 2]).expect("small"), data).expect("two records of two")];
    let prepared = Reference.prepare(model.0.graph().clone()).expect("always");
    let told = (Records::Hide, Results::Show);
    let planned =
        file::plan(&model.0, (&model.1).into(), prepared.as_ref(), &inputs, told, [9; 32], u64::MAX);
    let proof = planned.expect("provable").prove(&mut rng()).expect("proven");
    let published =
        |(model, own): &(_, RegisteredParameters)| own.publish(model, &mut rng()).expect("holds").to_bytes();
    [
        write(folder, "run.proof", &proof.to_bytes()),
        write(folder, "model.sgr", &published(&model)),
        write(folder, "other.sgr", &published(&other)),
    ]
}

#[test]
fn proofs_and_registered_models_are_judged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [proof, model, other] = files(folder.path());
    let accepted = run(&["--model", &model, &proof, &model]);
    assert_eq!(accepted.status.code(), Some(0), "{accepted:?}");
    let said = verdicts(&accepted);
    assert_eq!(said.len(), 2);
    assert_eq!((&said[0]["kind"], &said[1]["kind"]), (&"proof".into(), &"registered-model".into()));
    assert_eq!((&said[0]["model"], &said[0]["records"]), (&said[1]["model"], &2.into()));
    assert!(said[0]["records_shown"].is_null() && said[0]["results_shown"][0].is_array());
    assert!(said.iter().all(|verdict| verdict["soundness_bits"].as_f64().is_some_and(|bits| bits > 99.0)));

    let rejected = run(&["--model", &other, &proof]);
    assert_eq!(rejected.status.code(), Some(4));
    assert_eq!(verdicts(&rejected)[0]["code"], "E-PRF-11");
    let mut bytes = std::fs::read(&proof).expect("written above");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let changed = write(folder.path(), "changed.proof", &bytes);
    // One that is rejected holds up no other.
    let both = run(&["--model", &model, &changed, &proof]);
    assert_eq!(both.status.code(), Some(4));
    let said = verdicts(&both);
    assert_eq!((&said[0]["accepted"], &said[1]["accepted"]), (&false.into(), &true.into()));
}

#[test]
fn proofs_about_told_weights_are_judged_with_the_model_itself() {
    let vector = |name| format!("{}/../../vectors/proof/{name}", env!("CARGO_MANIFEST_DIR"));
    let (told, model) = (vector("told.proof"), vector("told.sgm"));
    let accepted = run(&["--model", &model, &told]);
    assert_eq!(accepted.status.code(), Some(0), "{accepted:?}");
    assert!(verdicts(&accepted)[0]["results_shown"][0].is_array());
    let published = vector("perceptron.sgr");
    assert_eq!(verdicts(&run(&["--model", &published, &told]))[0]["code"], "E-PRF-11");
    // A model of weights cannot stand for what was published of one, and says nothing of the proof.
    let missing = run(&["--model", &model, &vector("perceptron.proof")]);
    assert_eq!((missing.status.code(), missing.stdout.len()), (Some(2), 0));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("(.sgr): --model FILE"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let none = write(folder.path(), "none.sgm", b"SGM1");
    assert_eq!(verdicts(&run(&["--model", &none, &told]))[0]["code"], "E-IMP-53");
}

#[test]
fn receipts_are_judged_under_the_roots_of_a_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let fixture = Fixture::unanimous();
    let receipt = write(folder.path(), "job.receipt", &fixture.file().encode());
    let (authority, log) = roots().to_files();
    write(folder.path(), TrustRoots::AUTHORITY_FILE, authority.as_bytes());
    write(folder.path(), TrustRoots::LOG_FILE, log.as_bytes());
    let roots = folder.path().to_str().expect("no odd name");
    let judged = run(&["--roots", roots, "--at", &NOW.to_string(), &receipt]);
    assert_eq!(
        (judged.status.code(), &verdicts(&judged)[0]["accepted"]),
        (Some(0), &true.into()),
        "{judged:?}"
    );
    let early = run(&["--roots", roots, "--at", "1", &receipt]);
    assert_eq!((early.status.code(), &verdicts(&early)[0]["accepted"]), (Some(4), &false.into()));
}

#[test]
fn what_is_no_kind_of_file_is_rejected_without_roots() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cut = Fixture::unanimous().file().encode();
    for (bytes, why) in [
        (&b""[..], "the file is empty"),
        (b"dear hospital", "the file is neither a receipt, a proof nor a registered model"),
        (b"SGM1", "the file is a model, weights included: proofs are checked with it, and it is none"),
        (&cut[..999], "not a receipt file: malformed at byte 0"),
    ] {
        let rejected = run(&[&write(folder.path(), "some", bytes)]);
        let verdict = &verdicts(&rejected)[0];
        assert_eq!((rejected.status.code(), &verdict["code"]), (Some(4), &"E-VER-01".into()), "{why}");
        assert_eq!(verdict["branches"][0]["findings"][0]["text"], why);
    }
    // What begins as a receipt and is one rests on them.
    let receipt = run(&[&write(folder.path(), "some", &cut)]);
    assert_eq!((receipt.status.code(), receipt.stdout.len()), (Some(2), 0));
    // No more is read of a file than any is long.
    let endless = run(&["/dev/zero"]);
    assert!(String::from_utf8_lossy(&endless.stderr).contains("/dev/zero is larger than 64 MiB"));
}

#[test]
fn what_is_missing_is_asked_for() {
    for arguments in [&[][..], &["--roots"], &["--at", "now", "x"], &["--colour", "x"], &["/no/such/file"]] {
        let output = run(arguments);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: "));
    }
    assert_eq!(run(&["--help"]).status.code(), Some(0));
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "the release profile leaves no names to look at")]
fn no_prover_is_linked() {
    let bytes = std::fs::read(PROGRAM).expect("built for this test");
    let file = object::File::parse(&*bytes).expect("a program of this machine");
    let symbols: Vec<&str> = file.symbols().filter_map(|symbol| symbol.name().ok()).collect();
    let linked = |part: &str| symbols.iter().any(|symbol| symbol.contains(part));
    // The names are there to be looked at, and what verifies is.
    assert!(linked("sealgrid_proof8argument11verify_read"), "{} symbols", symbols.len());
    for part in [
        "sealgrid_proof8argument5prove",
        "sealgrid_proof4last5prove",
        "sealgrid_proof9fractions5prove",
        "sealgrid_proof4file7Planned",
        "HidingWhirProver",
        "BaseCaseZkProver",
    ] {
        let found: Vec<_> = symbols.iter().filter(|symbol| symbol.contains(part)).take(3).collect();
        assert!(found.is_empty(), "{part}: {found:?}");
    }
}
