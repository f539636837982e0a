//! The module itself, built and run: it says of real files and of changed ones what the verifier of this machine says.
//!
//! The module takes minutes to build, the standard library for its target, and Node to run. So it is run where `SEALGRID_WASM` names the folder that it was
//! built in, as `.ci/run` and `cargo xtask wasm` do; elsewhere a line says that it was not. The page is opened in the browser that `SEALGRID_CHROMIUM`
//! names, which `cargo xtask wasm` looks for.

#[path = "../../sealgrid-verify/tests/common/mod.rs"]
mod common;
#[path = "../../sealgrid-verify/tests/common/proven.rs"]
mod proven;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Fixture, NOW, roots};
use sealgrid_verify::TrustRoots;
use sealgrid_verify::files::{self, Given};
use serde_json::{Value, json};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn vector(path: &str) -> Vec<u8> {
    let path = repository("vectors").join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// One judgement.
#[derive(Clone)]
struct Case {
    name: String,
    file: Vec<u8>,
    model: Option<Vec<u8>>,
    roots: bool,
}

impl Case {
    fn new(name: &str, file: Vec<u8>) -> Self {
        Self { name: name.to_owned(), file, model: None, roots: false }
    }

    fn with_model(self, model: &[u8]) -> Self {
        Self { model: Some(model.to_vec()), ..self }
    }

    fn with_roots(self) -> Self {
        Self { roots: true, ..self }
    }

    /// The same file cut, and with single bits changed: at its beginning, where it is read, and all over it.
    fn changed(&self) -> Vec<Self> {
        let length = self.file.len();
        let places = [5, 40, 200, length / 5, length / 2, length - length / 5, length - 1];
        let flipped = places.map(|at| {
            let mut file = self.file.clone();
            file[at] ^= 1;
            Self { name: format!("{}, byte {at} changed", self.name), file, ..self.clone() }
        });
        let cut = Self {
            name: format!("{}, cut", self.name),
            file: self.file[..length / 2].to_vec(),
            ..self.clone()
        };
        flipped.into_iter().chain([cut]).collect()
    }

    /// What this machine's verifier says, read back like what the module says: a number that was read may differ from the one that was written.
    fn told_here(&self) -> (u64, Value) {
        let (exit, verdict) = self.judged_here();
        (exit, serde_json::from_str(&verdict.to_string()).expect("JSON"))
    }

    /// What this machine's verifier says.
    fn judged_here(&self) -> (u64, Value) {
        let trusted = roots();
        let given =
            Given { model: self.model.as_deref(), roots: self.roots.then_some(&trusted), at: Some(NOW) };
        match files::judge(&self.file, &given) {
            Ok(verdict) => (if files::is_accepted(&verdict) { 0 } else { 4 }, verdict),
            Err(missing) => (2, json!({ "error": missing.to_string() })),
        }
    }
}

/// Real files, all of which are accepted.
fn genuine() -> Vec<Case> {
    let published = vector("proof/perceptron.sgr");
    let proven = proven::proven();
    let proven = proven.fixture.file_with(proven.evidence).encode();
    vec![
        Case::new("a proof about registered weights", vector("proof/perceptron.proof"))
            .with_model(&published),
        Case::new("a proof about told weights", vector("proof/told.proof"))
            .with_model(&vector("proof/told.sgm")),
        Case::new("a registered model", published),
        Case::new("a quorum's receipt", Fixture::disputed().file().encode()).with_roots(),
        Case::new("a proven receipt", proven).with_roots(),
    ]
}

/// Files that hold nothing by themselves, or not with what is given.
fn beside_the_point() -> Vec<Case> {
    let proof = |file| Case::new("a proof without its model, or with another", vector(file));
    vec![
        proof("proof/perceptron.proof"),
        proof("proof/perceptron.proof").with_model(&vector("proof/told.sgm")),
        proof("proof/told.proof").with_model(&vector("proof/perceptron.sgr")),
        proof("proof/told.proof").with_model(b"SGM1"),
        Case::new("a receipt without roots", Fixture::signed().file().encode()),
        Case::new("nothing", Vec::new()).with_roots(),
        Case::new("anything", b"anything".to_vec()).with_roots(),
    ]
}

#[test]
fn genuine_files_are_accepted_and_changed_ones_are_not() {
    for case in genuine() {
        let (exit, verdict) = case.judged_here();
        assert_eq!(exit, 0, "{}: {verdict}", case.name);
        let changed = case.changed();
        let rejected = changed.iter().filter(|changed| {
            let (exit, other) = changed.judged_here();
            // A card with another word in it makes another model of the same weights, with a name of its own.
            assert!(exit != 0 || other["model"] != verdict["model"], "{}: {other}", changed.name);
            exit != 0
        });
        assert!(rejected.count() + 1 >= changed.len(), "{}", case.name);
    }
    assert!(beside_the_point().iter().all(|case| case.judged_here().0 != 0));
}

#[test]
fn the_module_says_what_the_verifier_of_this_machine_says() {
    let Some(module) = built("sealgrid_verify_wasm.wasm") else { return };
    let genuine = genuine();
    let changed: Vec<Case> = genuine.iter().flat_map(Case::changed).collect();
    let cases: Vec<Case> = [genuine, changed, beside_the_point()].concat();
    let said = judged_by(&module, &cases);
    assert_eq!(said.len(), cases.len());
    for (case, said) in cases.iter().zip(said) {
        let (exit, verdict) = case.told_here();
        assert_eq!((said["exit"].as_u64(), &said["verdict"]), (Some(exit), &verdict), "{}", case.name);
    }
}

/// A module that exports a memory and `sealgrid_room`, which traps.
const TRAPPING: &[u8] = b"\0asm\x01\0\0\0\
    \x01\x07\x01\x60\x02\x7f\x7f\x01\x7f\
    \x03\x02\x01\0\
    \x05\x03\x01\0\x01\
    \x07\x1a\x02\x06memory\x02\0\x0dsealgrid_room\0\0\
    \x0a\x05\x01\x03\0\0\x0b";

#[test]
fn a_trap_is_no_verdict() {
    if built("").is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let module = folder.path().join("trapping.wasm");
    std::fs::write(&module, TRAPPING).expect("a folder of the test's own");
    let said = judged_by(&module, &[Case::new("any", b"any".to_vec())]);
    assert_eq!((said.len(), &said[0]["exit"]), (1, &json!(2)));
    let error = said[0]["verdict"]["error"].as_str().expect("what happened");
    assert!(error.starts_with("the verifier stopped"), "{error}");
}

#[test]
fn the_page_judges_the_files_that_it_is_given_and_asks_for_nothing() {
    let Some(chromium) = std::env::var_os("SEALGRID_CHROMIUM") else { return };
    let Some(page) = built("sealgrid-verify.html") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cut = folder.path().join("cut.proof");
    std::fs::write(&cut, &vector("proof/perceptron.proof")[..300_000]).expect("a folder of the test's own");
    let files = ["perceptron.proof", "perceptron.sgr", "told.proof", "told.sgm"];
    // A browser takes no path that leads upwards.
    let vectors = repository("vectors").canonicalize().expect("it is there");
    let files = files.map(|name| vectors.join("proof").join(name));
    let receipt = vectors.join("receipt/signed.receipt");
    let script = repository("crates/sealgrid-verify-wasm/tests/page.mjs");
    let output =
        Command::new("node").arg(script).arg(chromium).arg(page).args(files).args([cut, receipt]).output();
    let output = output.expect("Node is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).expect("a line of JSON");
    assert_eq!(
        said["headings"],
        json!([
            "perceptron.proof: accepted",
            "perceptron.sgr: accepted",
            "told.proof: accepted",
            "cut.proof: rejected (E-PRF-10)",
            "signed.receipt: not judged",
        ])
    );
    let requests = said["requests"].as_array().expect("a list");
    assert!(requests.iter().all(|scheme| scheme == "file" || scheme == "data"), "{requests:?}");
}

/// A file that was built; `None` where nobody did, which is said.
fn built(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("SEALGRID_WASM");
    if folder.is_none() {
        // Not by a macro, whose words a passing test keeps to itself.
        let said = "NOT RUN: the verifier's module for browsers; `cargo xtask wasm` builds and runs it";
        let _nobody_reads = writeln!(std::io::stderr().lock(), "{said}");
    }
    folder.map(|folder| PathBuf::from(folder).join(name))
}

/// What the module says of each, in Node.
fn judged_by(module: &Path, cases: &[Case]) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("a folder of the test's own");
        path
    };
    let (authority, log) = roots().to_files();
    let (authority, log) = (
        write(TrustRoots::AUTHORITY_FILE, authority.as_bytes()),
        write(TrustRoots::LOG_FILE, log.as_bytes()),
    );
    let listed: Vec<Value> = cases
        .iter()
        .enumerate()
        .map(|(at, case)| {
            let file = write(&format!("{at}"), &case.file);
            let model = case.model.as_ref().map(|model| write(&format!("{at}.model"), model));
            let roots = case.roots.then_some((&authority, &log));
            json!({ "file": file, "model": model, "authority": roots.map(|it| it.0), "log": roots.map(|it| it.1), "at": NOW })
        })
        .collect();
    let listed = write("cases.json", Value::from(listed).to_string().as_bytes());
    let script = repository("crates/sealgrid-verify-wasm/tests/judge.mjs");
    let output =
        Command::new("node").arg(script).arg(module).arg(listed).output().expect("Node is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("JSON is text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON a line")).collect()
}
