//! Every command's ordinary use and its refusals, with the exit statuses that scripts rely on.

use std::process::Command;

use sealgrid_graph::integer::{Builder, Primitive, ValueType};
use sealgrid_graph::model::{Decision, InputCard, Model, ModelCard, OutputCard};
use sealgrid_graph::tensor::{DType, Shape};

use crate::common::*;

const PASSPHRASE: [&str; 2] = ["--passphrase-file", "secret"];

fn with_secret() -> Home {
    let home = Home::new();
    std::fs::write(home.path("secret"), "of a test\n").expect("written");
    home
}

#[test]
fn what_clap_refuses_ends_with_2_and_help_with_0() {
    let home = Home::new();
    for (arguments, status) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["help", "run"], 0),
        (&["sing"], 2),
        (&["run"], 2),
        (&["run", "m.sgm"], 2),
        (&["run", "--resume", "m.sgm"], 2),
        (&["log", "prove"], 2),
        (&["log", "prove", "r.receipt", "--from", "c"], 2),
        (&["up", "--nodes", "0"], 2),
        (&["up", "--fault", "1=sulk"], 2),
        (&["bench", "everything"], 2),
        (&["verify"], 2),
        (&["key"], 2),
        (&["prove", "m.sgm", "--input", "r.csv", "--out", "p.proof", "--bits", "100"], 2),
        (&["model", "list", "--roots", "r"], 2),
    ] {
        assert_eq!(home.run(arguments).status, status, "{arguments:?}");
    }
}

#[test]
fn models_are_imported_inspected_and_listed() {
    let home = Home::new();
    let onnx = models().join("breast-cancer-mlp.onnx");
    let calibration = models().join("data/breast-cancer-calibration.csv");
    home.fails(&["model", "inspect", "none"], "E-USE-01", 2);
    let nothing = home.run(&["model", "list"]);
    assert!(nothing.status == 0 && nothing.stdout.contains("no model"), "{}", nothing.stdout);
    home.json(&["model", "import", text(&onnx), "--calibrate", text(&calibration)]);
    assert_eq!(home.json(&["model", "list"])["models"].as_array().map(Vec::len), Some(1));
    assert!(home.json(&["model", "inspect", "breast-cancer-mlp"])["commitment"].is_string());
    std::fs::write(home.path("wrong.sgm"), b"not a model").expect("written");
    home.fails(&["model", "inspect", "wrong.sgm"], "E-IMP-53", 2);
    home.fails(&["model", "list", "--grid", "nowhere"], "E-USE-01", 2);
    home.fails(&["model", "publish", "breast-cancer-mlp", "--grid", "nowhere"], "E-USE-01", 2);
}

#[test]
fn keys_are_made_shown_rotated_and_destroyed() {
    let home = with_secret();
    fn key<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
        [&["key"], arguments, &PASSPHRASE].concat()
    }
    home.fails(&key(&["list"]), "E-KEY-90", 7);
    home.json(&key(&["new", "hospital"]));
    assert_eq!(home.json(&key(&["list"]))["keys"].as_array().map(Vec::len), Some(1));
    home.json(&key(&["rotate", "hospital"]));
    let shown = home.json(&key(&["show", "hospital"]));
    assert_eq!(shown["state"], "active");
    home.fails(&key(&["destroy", "hospital"]), "E-KEY-92", 7);
    home.json(&key(&["destroy", "hospital", "--yes"]));
    home.fails(&key(&["show", "nobody"]), "E-KEY-24", 7);
    std::fs::write(home.path("empty"), "\n").expect("written");
    home.fails(&["key", "list", "--passphrase-file", "empty"], "E-KEY-93", 7);
}

#[test]
fn a_grid_is_refused_what_it_cannot_be() {
    let home = Home::new();
    for command in [&["log", "head"][..], &["log", "audit"], &["log", "witness"]] {
        home.fails(command, "E-USE-01", 2);
    }
    drop(home.up("grid", &["--nodes", "1"]));
    home.fails(&["up", "--dir", "grid", "--fault", "1=lie"], "E-USE-03", 2);
    home.fails(
        &["demo", "--fault", "lie", "--fault", "lie", "--fault", "slow", "--fault", "lie"],
        "E-USE-04",
        2,
    );
    std::fs::create_dir(home.path("mine")).expect("made");
    home.fails(&["demo", "--dir", "mine"], "E-USE-04", 2);
    // A committee of liars that lie alike agrees: that is no success. One draw of three from five seats them once in ten times.
    let liars = ["demo", "--dir", "liars", "--fault", "lie", "--fault", "lie", "--fault", "lie"];
    home.fails(&liars, "E-QRM-25", 4);
    let once = [&liars[..], &["--draws", "1"]].concat();
    let mut said = home.run(&once);
    while said.status == 4 && said.stderr.contains("E-QRM-25") {
        said = home.run(&once);
    }
    assert!(said.status == 5 && said.stderr.contains("E-AVL-04"), "{}", said.stderr);
    // What a killed layout left is not a grid, and in the way of none; what somebody put there stays.
    std::fs::create_dir_all(home.path("late.new/node-1")).expect("made");
    drop(home.up("late", &["--nodes", "1"]));
    assert!(!home.path("late.new").exists());
    std::fs::write(home.path("mine/letters"), "mine").expect("written");
    home.fails(&["up", "--dir", "mine", "--nodes", "1", "--seconds", "1"], "E-STO-01", 5);
    assert!(home.path("mine/letters").exists() && !home.path("mine.new").exists());
    home.fails(&["verify", "a", "b", "--opening", "o"], "E-USE-02", 2);
    home.fails(&["node", "--config", "none.toml"], "E-USE-40", 2);

    // Too few files may be open for the client's threads.
    let program = format!("ulimit -n 4; exec {} log head --grid grid", env!("CARGO_BIN_EXE_sealgrid"));
    let starved = ended(Command::new("sh").args(["-c", &program]).current_dir(home.folder.path()));
    assert!(starved.status == 5 && starved.stderr.contains("E-AVL-02"), "{}", starved.stderr);

    // A node that does not start takes the grid with it, and says where to look.
    let config = home.path("grid/node-1/node.toml");
    let good = std::fs::read_to_string(&config).expect("laid out");
    std::fs::write(
        &config,
        good.replace("[network]", "[limits]\njobs_max = 1\n[network]\n").replace("workers", "idlers"),
    )
    .expect("written");
    home.fails(&["up", "--dir", "grid", "--seconds", "1"], "E-USE-41", 2);
    std::fs::write(&config, good).expect("written");
    std::fs::remove_dir_all(home.path("grid/node-1/models")).expect("removed");
    let said = home.fails(&["up", "--dir", "grid", "--seconds", "1"], "E-AVL-01", 5);
    assert!(said.contains("tail "), "{said}");
}

#[test]
fn jobs_that_cannot_run_say_why() {
    let home = Home::new();
    let model = home.import("breast-cancer-mlp", "breast-cancer");
    let _up = home.up("grid", &["--nodes", "3", "--model", text(&model)]);
    let data = test_data("breast-cancer");
    let run = |rest: &[&str]| -> Vec<String> {
        let all = [&["run", text(&model), "--grid", "grid"], rest].concat();
        all.into_iter().map(str::to_owned).collect()
    };
    let fails = |rest: &[&str], code: &str, status: i32| {
        let all = run(rest);
        home.fails(&all.iter().map(String::as_str).collect::<Vec<_>>(), code, status)
    };
    fails(&["--input", "none.csv"], "E-USE-01", 2);
    fails(&["--input", text(&data), "--verify", "quorum:9"], "E-POL-02", 3);
    fails(&["--input", text(&data), "--protect", "encrypted"], "E-POL-04", 3);
    std::fs::write(home.path("hurry.toml"), "version = 1\n[limits]\ndeadline_ms = 1\n").expect("written");
    let hurried =
        home.run(&["run", text(&model), "--input", text(&data), "--grid", "grid", "--policy", "hurry.toml"]);
    assert_ne!(hurried.status, 0, "{}", hurried.stdout);
    let two = home.path("two.sgm");
    std::fs::write(&two, two_inputs().to_bytes()).expect("written");
    home.fails(&["run", text(&two), "--input", text(&data), "--grid", "grid"], "E-DAT-06", 2);
    home.json(&[
        "plan",
        text(&model),
        "--policy",
        text(&models().join("../examples/policy-open.toml")),
        "--grid",
        "grid",
        "--records",
        "10",
    ]);

    let json =
        home.json(&["run", text(&model), "--input", text(&data), "--grid", "grid", "--receipt", "r.receipt"]);
    assert_eq!(json["records"], 228);
    home.json(&["verify", "r.receipt", "--roots", "grid/roots", "--opening", "r.opening"]);
    let mut receipt = std::fs::read(home.path("r.receipt")).expect("written");
    let middle = receipt.len() / 2;
    receipt[middle] ^= 1;
    std::fs::write(home.path("r.receipt"), receipt).expect("written");
    assert_eq!(home.run(&["verify", "r.receipt", "--roots", "grid/roots"]).status, 4);
}

#[test]
fn kept_jobs_that_were_altered_are_refused_with_their_codes() {
    use sealgrid_seal::keyfile::Cost;
    use sealgrid_seal::keystore::{KeyStore as _, PublicKey};
    use sealgrid_seal::rest;
    use sealgrid_seal::secret::SecretBytes;

    let home = with_secret();
    home.json(&[&["key", "new", "shelf", "--for", "storage"][..], &PASSPHRASE].concat());
    let passphrase = SecretBytes::new(b"of a test".to_vec());
    let store = sealgrid_node::keys::open_store(&home.path("home/keys"), passphrase, Cost::LEAST);
    let infos = store.expect("opens").expect("there").list().expect("read");
    let PublicKey::XWing(key) = &infos[0].public else { panic!("a storage key opens") };
    let sealed = rest::seal(&mut rand::rng(), std::slice::from_ref(key), b"what was kept").expect("sealed");
    let job = home.path("home/jobs/0011223344556677");
    std::fs::create_dir_all(&job).expect("made");
    let resume = [&["run", "--resume"][..], &PASSPHRASE].concat();
    let check = |bytes: &[u8], code: &str, status| {
        std::fs::write(job.join("command"), bytes).expect("written");
        home.fails(&resume, code, status);
    };
    check(b"anything", "E-KEY-13", 7);
    check(&sealed[..sealed.len() - 1], "E-KEY-16", 7);
    let mut altered = sealed.clone();
    altered[20] ^= 1;
    assert_eq!(
        rest::open(&altered, &sealgrid_seal::envelope::JobKeyPair::generate(&mut rand::rng()))
            .expect_err("altered")
            .code(),
        "E-KEY-14"
    );
    check(&altered, "E-KEY-15", 7);
    let mut chunk = sealed.clone();
    *chunk.last_mut().expect("long") ^= 1;
    check(&chunk, "E-KEY-17", 7);
    check(&sealed, "E-AVL-29", 5);
}

#[test]
fn the_machine_is_measured_and_the_shell_is_set_up() {
    let home = Home::new();
    assert!(home.json(&["doctor"]).is_object());
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.run(&["completions", shell]).stdout;
        for word in ["publish", "audit", "resume"] {
            assert!(script.contains(word), "{shell} completes {word}");
        }
    }
    home.json(&["man", "pages"]);
    for page in ["sealgrid.1", "sealgrid-run.1", "sealgrid-model-publish.1", "sealgrid-log-audit.1"] {
        let page = std::fs::read_to_string(home.path("pages").join(page)).expect(page);
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"));
    }
}

/// A model of two inputs: no table gives both.
#[test]
fn a_run_is_proven_and_the_proof_checked_with_the_model_alone() {
    let home = Home::new();
    let digits = home.import("digits-cnn", "digits");
    let table = std::fs::read_to_string(test_data("digits")).expect("shipped");
    let two: Vec<&str> = table.lines().take(3).collect();
    std::fs::write(home.path("two.csv"), two.join("\n")).expect("written");
    let prove = ["prove", text(&digits), "--input", "two.csv", "--out", "p.proof", "--results", "mine.csv"];
    let made = home.json(&prove);
    assert!(made["soundness_bits"].as_f64().is_some_and(|bits| bits > 99.0), "{made}");
    assert_eq!((made["records"].as_u64(), made["records_shown"].as_bool()), (Some(2), Some(false)));
    let verify = ["verify", "p.proof", "--model", text(&digits), "--results", "theirs.csv"];
    let verdict = home.json(&verify)["verdicts"][0].clone();
    assert!(
        verdict["accepted"] == true && verdict["soundness_bits"].as_f64().is_some_and(|bits| bits > 99.0)
    );
    let read = |name: &str| std::fs::read_to_string(home.path(name)).expect("written");
    assert_eq!(read("mine.csv"), read("theirs.csv"), "who verifies sees the same results");
    assert!(home.run(&verify).stdout.contains("ACCEPTED"));

    home.fails(&["verify", "p.proof"], "E-USE-06", 2);
    let tumours = home.import("breast-cancer-mlp", "breast-cancer");
    home.fails(&["verify", "p.proof", "--model", text(&tumours)], "E-PRF-11", 4);
    let good = std::fs::read(home.path("p.proof")).expect("written");
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(home.path("bad.proof"), &bad).expect("written");
    home.fails(&["verify", "bad.proof", "--model", text(&digits)], "E-PRF-13", 4);
    std::fs::write(home.path("cut.proof"), &good[..good.len() - 1]).expect("written");
    home.fails(&["verify", "cut.proof", "--model", text(&digits)], "E-PRF-10", 4);
    // Trees, told.
    let trees = home.import("breast-cancer-gbt", "breast-cancer");
    let data = test_data("breast-cancer");
    home.json(&["prove", text(&trees), "--input", text(&data), "--out", "t.proof"]);
    home.json(&["verify", "t.proof", "--model", text(&trees)]);
    // What needs more memory than it may is refused before it is begun, and nothing is written.
    let little = ["prove", text(&trees), "--input", text(&data), "--out", "u.proof", "--memory-max", "16"];
    let said = home.fails(&little, "E-RES-83", 6);
    assert!(said.contains("MiB") && !home.path("u.proof").exists(), "{said}");
}

#[test]
fn a_registered_model_is_proven_to_those_who_have_neither_weights_nor_records() {
    let home = Home::new();
    let plain = home.import("digits-cnn", "digits");
    let registered = home.json(&["model", "register", text(&plain), "--out", "r.sgm", "--openings", "3"]);
    assert!(registered["soundness_bits"].as_f64().is_some_and(|bits| bits > 99.0), "{registered}");
    assert_eq!((&registered["published"], registered["openings_left"].as_u64()), (&"r.sgr".into(), Some(2)));
    let table = std::fs::read_to_string(test_data("digits")).expect("shipped");
    let one: Vec<&str> = table.lines().take(2).collect();
    std::fs::write(home.path("one.csv"), one.join("\n")).expect("written");
    let prove = |out: &'static str| ["prove", "r.sgm", "--input", "one.csv", "--out", out];
    // What cannot be proven spends nothing: this one names a file that is not there.
    home.fails(&["prove", "r.sgm", "--input", "none.csv", "--out", "a.proof"], "E-USE-01", 2);
    let made = home.json(&prove("a.proof"));
    assert_eq!((made["openings_left"].as_u64(), made["weights_shown"].as_bool()), (Some(1), Some(false)));
    let verify = |proof: &'static str| ["verify", proof, "--model", "r.sgr"];
    let verdict = home.json(&verify("a.proof"))["verdicts"][0].clone();
    assert!(verdict["accepted"] == true && verdict["results"] == made_results(&home, "r.sgm"), "{verdict}");
    let alone = home.json(&["verify", "r.sgr"])["verdicts"][0].clone();
    assert_eq!((&alone["model"], &alone["openings"]), (&registered["model"], &3.into()));
    // Who holds the model may check it as well.
    home.json(&["verify", "a.proof", "--model", "r.sgm"]);
    // The model before its registration is another one, and so is its proof; that of shown weights is for those who hold them.
    home.fails(&["verify", "a.proof", "--model", text(&plain)], "E-PRF-11", 4);
    home.json(&["prove", "r.sgm", "--input", "one.csv", "--out", "shown.proof", "--show-weights"]);
    home.fails(&verify("shown.proof"), "E-PRF-14", 4);
    home.json(&["verify", "shown.proof", "--model", "r.sgm"]);
    let good = std::fs::read(home.path("r.sgr")).expect("written");
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(home.path("r.sgr"), &bad).expect("written");
    home.fails(&verify("a.proof"), "E-PRF-25", 4);
    std::fs::write(home.path("r.sgr"), &good[..good.len() - 1]).expect("written");
    home.fails(&verify("a.proof"), "E-PRF-24", 4);
    // One of several is one verdict of several.
    std::fs::write(home.path("r.sgr"), &good).expect("written");
    let several = home.run(&["verify", "shown.proof", "a.proof", "--model", "r.sgr", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&several.stdout).expect("one JSON value on stdout");
    let accepted: Vec<&serde_json::Value> =
        told["verdicts"].as_array().expect("two").iter().map(|verdict| &verdict["accepted"]).collect();
    assert_eq!((several.status, accepted), (4, vec![&false.into(), &true.into()]), "{told}");
    // Three openings are the registration's own proof and two more.
    assert_eq!(home.json(&prove("b.proof"))["openings_left"].as_u64(), Some(0));
    home.fails(&prove("c.proof"), "E-RES-82", 6);
    assert!(!home.path("c.proof").exists());
    // The registered model may take the place of the model.
    std::fs::copy(&plain, home.path("same.sgm")).expect("room");
    home.json(&["model", "register", "same.sgm", "--out", "same.sgm"]);
    home.json(&["prove", "same.sgm", "--input", "one.csv", "--out", "same.proof"]);
    home.json(&["verify", "same.proof", "--model", "same.sgr"]);
    let small = ["model", "register", text(&plain), "--out", "x.sgm", "--memory-max", "16"];
    let said = home.fails(&small, "E-RES-83", 6);
    assert!(said.contains("MiB") && !home.path("x.sgm").exists(), "{said}");
    // Surer proofs need a registration for them, or the weights.
    let bits = |told: &serde_json::Value| told["soundness_bits"].as_f64().expect("a number");
    let surer = home.json(&["model", "register", text(&plain), "--out", "s.sgm", "--bits", "127"]);
    assert!(bits(&surer) >= 127.0 && surer["model"] != registered["model"], "{surer}");
    let prove = |model, out, bits| ["prove", model, "--input", "one.csv", "--out", out, "--bits", bits];
    assert!(bits(&home.json(&prove("s.sgm", "s.proof", "127"))) >= 127.0);
    let checked = |out, model| bits(&home.json(&["verify", out, "--model", model])["verdicts"][0]);
    assert!(checked("s.proof", "s.sgr") >= 127.0);
    assert!(bits(&home.json(&prove(text(&plain), "p.proof", "127"))) >= 127.0);
    assert!(checked("p.proof", text(&plain)) >= 127.0);
    let said = home.fails(&prove("r.sgm", "n.proof", "127"), "E-PRF-26", 2);
    assert!(said.contains("--bits 127"), "{said}");
    home.fails(&["model", "register", text(&plain), "--out", "x.sgr"], "E-USE-02", 2);
    home.fails(&["model", "register", text(&plain), "--out", "x.sgm", "--openings", "0"], "E-RES-81", 6);
}

#[test]
fn registered_trees_are_proven_to_those_who_have_neither_them_nor_records() {
    let home = Home::new();
    let plain = home.import("breast-cancer-gbt", "breast-cancer");
    let registered = home.json(&["model", "register", text(&plain), "--out", "t.sgm", "--openings", "4"]);
    assert!(registered["soundness_bits"].as_f64().is_some_and(|bits| bits > 99.0), "{registered}");
    let table = std::fs::read_to_string(test_data("breast-cancer")).expect("shipped");
    let some: Vec<&str> = table.lines().take(4).collect();
    std::fs::write(home.path("three.csv"), some.join("\n")).expect("written");
    let prove = ["prove", "t.sgm", "--input", "three.csv", "--results", "mine.csv", "--out", "t.proof"];
    let made = home.json(&prove);
    assert_eq!((made["records"].as_u64(), made["weights_shown"].as_bool()), (Some(3), Some(false)));
    let verdict = home.json(&["verify", "t.proof", "--model", "t.sgr", "--results", "theirs.csv"]);
    let verdict = verdict["verdicts"][0].clone();
    assert!(
        verdict["accepted"] == true && verdict["soundness_bits"].as_f64().is_some_and(|bits| bits > 99.0),
        "{verdict}"
    );
    let read = |name: &str| std::fs::read_to_string(home.path(name)).expect("written");
    assert_eq!(read("mine.csv"), read("theirs.csv"), "who verifies sees the same results");
    // They are those of the model as it is run.
    home.json(&["prove", text(&plain), "--input", "three.csv", "--results", "plain.csv", "--out", "p.proof"]);
    assert_eq!(read("mine.csv"), read("plain.csv"));
    // With records and results committed to, and one file changed.
    let committed = ["--commit-input", "--commit-results"];
    home.json(&[&["prove", "t.sgm", "--input", "three.csv", "--out", "c.proof"][..], &committed].concat());
    home.json(&["verify", "c.proof", "--model", "t.sgr"]);
    let mut bad = std::fs::read(home.path("t.sgr")).expect("written");
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(home.path("t.sgr"), &bad).expect("written");
    home.fails(&["verify", "t.proof", "--model", "t.sgr"], "E-PRF-25", 4);
}

#[test]
fn committed_records_and_results_are_told_to_who_has_their_openings() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let digits = home.import("digits-cnn", "digits");
    let table = std::fs::read_to_string(test_data("digits")).expect("shipped");
    let lines: Vec<&str> = table.lines().collect();
    std::fs::write(home.path("two.csv"), lines[..3].join("\n")).expect("written");
    std::fs::write(home.path("other.csv"), [lines[0], lines[1], lines[3]].join("\n")).expect("written");
    let digits = text(&digits);
    let prove = ["prove", digits, "--input", "two.csv", "--out", "p.proof", "--results", "mine.csv"];
    let made = home.json(&[&prove[..], &["--commit-input", "--commit-results"]].concat());
    assert_eq!(
        (&made["records_opening"], &made["results_opening"]),
        (&"p.records.opening".into(), &"p.results.opening".into())
    );
    let mode = |name: &str| std::fs::metadata(home.path(name)).expect("written").permissions().mode() & 0o777;
    assert_eq!((mode("p.records.opening"), mode("p.results.opening")), (0o600, 0o600));
    let verify = ["verify", "p.proof", "--model", digits];
    let verdict = |more: &[&str]| home.json(&[&verify[..], more].concat())["verdicts"][0].clone();
    // Whoever holds nothing but commitments sees that the proof holds, and nothing of records and results.
    let alone = verdict(&[]);
    assert!(alone["accepted"] == true && alone["results"].is_null(), "{alone}");
    assert_eq!(alone["results_commitment"], made["results_commitment"]);
    home.fails(&[&verify[..], &["--results", "theirs.csv"]].concat(), "E-USE-06", 2);
    home.fails(&[&verify[..], &["--input", "two.csv"]].concat(), "E-USE-06", 2);
    let results = verdict(&["--opening", "p.results.opening", "--results", "theirs.csv"]);
    assert_eq!(results["opened"], serde_json::json!(["results"]));
    let read = |name: &str| std::fs::read_to_string(home.path(name)).expect("written");
    assert_eq!(read("mine.csv"), read("theirs.csv"), "the results that were committed to");
    let records = ["--opening", "p.records.opening", "--input"];
    assert_eq!(verdict(&[&records[..], &["two.csv"]].concat())["records_are"], "two.csv");
    let other = [&verify[..], &records, &["other.csv"]].concat();
    home.fails(&other, "E-PRF-17", 4);
    // The opening of another proof of the same records; a cut one; two for a receipt's one.
    home.json(&["prove", digits, "--input", "two.csv", "--out", "q.proof", "--commit-input"]);
    home.fails(&[&verify[..], &["--opening", "q.records.opening"]].concat(), "E-PRF-16", 4);
    let whole = std::fs::read(home.path("p.records.opening")).expect("written");
    std::fs::write(home.path("cut.opening"), &whole[..whole.len() - 1]).expect("written");
    home.fails(&[&verify[..], &["--opening", "cut.opening"]].concat(), "E-PRF-15", 4);
    home.fails(&["verify", "p.proof", "q.proof", "--model", digits, "--results", "r.csv"], "E-USE-02", 2);
    home.fails(&[&prove[..], &["--commit-input", "--show-input"]].concat(), "E-USE-05", 2);
}

/// What a model yields on the record of the test above, by a proof that tells the weights.
fn made_results(home: &Home, model: &str) -> serde_json::Value {
    home.json(&["prove", model, "--input", "one.csv", "--out", "told.proof", "--show-weights"]);
    home.json(&["verify", "told.proof", "--model", model])["verdicts"][0]["results"].clone()
}

fn two_inputs() -> Model {
    let input = ValueType { dtype: DType::I8, shape: Shape::new(&[2]).expect("small") };
    let mut graph = Builder::new(vec![input.clone(), input.clone()]);
    let (one, other) = (graph.input(0), graph.input(1));
    let value = graph.push("both", Primitive::Concatenate { axis: 0 }, &[one, other]).expect("valid");
    let output = graph.value_type(value).clone();
    let card = |name: &str| InputCard {
        name: name.into(),
        value_type: input.clone(),
        columns: Vec::new(),
        offsets: vec![0.0],
        scales: vec![1.0],
    };
    let output = OutputCard {
        name: "y".into(),
        value_type: output,
        scales: vec![1.0],
        labels: Vec::new(),
        decision: Decision::Largest,
    };
    let card = ModelCard {
        version: 1,
        name: "two".into(),
        release: "1".into(),
        summary: String::new(),
        inputs: vec![card("a"), card("b")],
        outputs: vec![output],
        accuracy: None,
    };
    Model::new(card, graph.finish(vec![value]).expect("valid"), &mut rand::rng()).expect("a valid model")
}
