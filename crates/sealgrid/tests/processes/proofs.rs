//! Proven jobs over real processes, as their users type them.

use std::os::unix::fs::PermissionsExt as _;

use crate::common::*;

/// A registered model and a plain one on a grid of three nodes.
struct Served {
    home: Home,
    _up: Up,
}

const RUN: [&str; 6] = ["run", "r.sgm", "--input", "some.csv", "--grid", "grid"];

fn served() -> Served {
    served_with("breast-cancer-mlp")
}

fn served_with(model: &str) -> Served {
    let home = Home::new();
    let plain = home.import(model, "breast-cancer");
    home.json(&["model", "register", text(&plain), "--out", "r.sgm", "--openings", "10"]);
    let table = std::fs::read_to_string(test_data("breast-cancer")).expect("shipped");
    let some: Vec<&str> = table.lines().take(6).collect();
    std::fs::write(home.path("some.csv"), some.join("\n")).expect("written");
    let up = home.up("grid", &["--nodes", "3", "--model", "r.sgm", "--model", text(&plain)]);
    Served { home, _up: up }
}

#[test]
fn a_proven_job_is_checked_by_its_client_and_by_whoever_holds_nothing_but_commitments() {
    let Served { home, _up } = served();
    let proven = home.json(&[&RUN[..], &["--verify", "proof", "--receipt", "p.receipt"]].concat());
    assert_eq!((&proven["verification"], &proven["faults"]), (&"proof".into(), &serde_json::json!([])));
    let quorum = home.json(&[&RUN[..], &["--verify", "quorum:3"]].concat());
    assert_eq!(proven["results"], quorum["results"], "the same to the last digit");

    // Another home, with the file and the roots.
    let stranger = Home::new();
    for name in ["p.receipt", "p.opening"] {
        std::fs::copy(home.path(name), stranger.path(name)).expect("room");
    }
    let roots = home.path("grid/roots");
    let verify = ["verify", "p.receipt", "--roots", text(&roots)];
    let verdict = stranger.json(&verify)["verdicts"][0].clone();
    assert_eq!(verdict["accepted"], true, "{verdict}");
    let held = |rule: &str| {
        let branches = verdict["branches"].as_array().expect("branches");
        let findings = branches.iter().flat_map(|branch| branch["findings"].as_array().expect("findings"));
        findings.filter(|finding| finding["id"] == rule).all(|finding| finding["status"] == "holds")
    };
    assert!(held("RCP-56") && held("RCP-57"));
    stranger.json(&[&verify[..], &["--opening", "p.opening"]].concat());
    let mut bytes = std::fs::read(home.path("p.receipt")).expect("written");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(stranger.path("p.receipt"), &bytes).expect("written");
    assert_eq!(stranger.run(&verify).status, 4);

    // What has no place to go to is not asked for: no node proves it, and no receipt is lost to its own opening.
    for (rest, code, status) in [
        (["--receipt", "q.opening"], "E-USE-07", 2),
        (["--receipt", "some.csv"], "E-USE-07", 2),
        (["--out", "none/q.csv"], "E-STO-01", 5),
        (["--out", "q.txt"], "E-DAT-01", 2),
    ] {
        home.fails(&[&RUN[..], &["--verify", "proof"], &rest].concat(), code, status);
    }
    assert!(!home.path("q.opening").exists());
    home.fails(&[&verify[..], &["--input", "some.csv"]].concat(), "E-USE-08", 2);

    // What is planned is what happens, and a model without registration is refused before anything is sent.
    let plan = home.json(&["plan", "r.sgm", "--grid", "grid", "--verify", "proof", "--records", "5"]);
    assert_eq!(plan["verification"], "proof", "{plan}");
    let plain =
        ["run", "breast-cancer-mlp.sgm", "--input", "some.csv", "--grid", "grid", "--verify", "proof"];
    home.fails(&plain, "E-POL-05", 3);
}

#[test]
fn openings_are_given_to_the_nodes_once_and_a_grid_without_any_says_so() {
    let Served { home, _up } = served();
    // Ten openings: one for the registration, three for each node. None is left to this home.
    home.fails(&["prove", "r.sgm", "--input", "some.csv", "--out", "p.proof"], "E-RES-82", 6);
    let proven = [&RUN[..], &["--verify", "proof"]].concat();
    let mut made = 0;
    let refused = loop {
        let ended = home.run(&proven);
        if ended.status != 0 {
            break ended;
        }
        made += 1;
        assert!(made <= 9, "more proofs than openings");
    };
    // The node that was asked for it has published the registration.
    assert_eq!(made, 8);
    assert!(refused.stderr.contains("E-RES-62") && refused.stderr.contains("E-AVL-62"), "{}", refused.stderr);
    home.json(&[&RUN[..], &["--verify", "quorum:3"]].concat());
}

#[test]
fn a_registered_model_is_published_with_its_openings_and_proven_at_once() {
    let home = Home::new();
    let digits = home.import("digits-cnn", "digits");
    let small = home.import("breast-cancer-mlp", "breast-cancer");
    home.json(&["model", "register", text(&digits), "--out", "r.sgm", "--openings", "7"]);
    let table = std::fs::read_to_string(test_data("digits")).expect("shipped");
    let some: Vec<&str> = table.lines().take(3).collect();
    std::fs::write(home.path("some.csv"), some.join("\n")).expect("written");
    let _up = home.up("grid", &["--nodes", "3", "--model", text(&small)]);
    let published = home.json(&["model", "publish", "r.sgm", "--grid", "grid"]);
    assert_eq!(published["openings_each"], 2, "{published}");
    let proven = home.json(&[&RUN[..], &["--verify", "proof", "--receipt", "p.receipt"]].concat());
    assert_eq!(proven["verification"], "proof");
    home.json(&["verify", "p.receipt", "--roots", "grid/roots"]);
    // Who has it already gets no more.
    let again = home.json(&["model", "publish", "r.sgm", "--grid", "grid"]);
    assert!(again["openings_each"].is_null(), "{again}");
}

#[test]
fn a_proven_job_over_trees_tells_them_to_nobody_but_its_node() {
    let Served { home, _up } = served_with("breast-cancer-gbt");
    let proven = home.json(&[&RUN[..], &["--verify", "proof", "--receipt", "t.receipt"]].concat());
    assert_eq!((&proven["verification"], &proven["faults"]), (&"proof".into(), &serde_json::json!([])));
    let quorum = home.json(&[&RUN[..], &["--verify", "quorum:3"]].concat());
    assert_eq!(proven["results"], quorum["results"], "the same to the last digit");
    let stranger = Home::new();
    std::fs::copy(home.path("t.receipt"), stranger.path("t.receipt")).expect("room");
    let verdict = stranger.json(&["verify", "t.receipt", "--roots", text(&home.path("grid/roots"))]);
    assert_eq!(verdict["verdicts"][0]["accepted"], true, "{verdict}");
}

/// The header of a `.npy` file, and its float32 elements.
fn npy(path: &std::path::Path) -> (String, Vec<f32>) {
    let bytes = std::fs::read(path).expect("a file");
    let (header, elements) = bytes[10..].split_at(usize::from(u16::from_le_bytes([bytes[8], bytes[9]])));
    let header = String::from_utf8(header.to_vec()).expect("text");
    assert!(header.contains("'<f4'"), "{header}");
    (header, elements.as_chunks().0.iter().map(|&element| f32::from_le_bytes(element)).collect())
}

/// One record of 16 tokens of 64, as `.npy`.
fn one_record(elements: &[f32]) -> Vec<u8> {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 16, 64), }";
    let header = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).expect("short").to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(elements.iter().flat_map(|element| element.to_le_bytes()));
    bytes
}

#[test]
fn an_encoder_as_pytorch_exports_it_is_imported_registered_proven_and_verified() {
    const ELEMENTS: usize = 16 * 64;
    let encoder = models().join("../vectors/encoder");
    let calibration = encoder.join("calibration.npy");
    let (_, records) = npy(&encoder.join("records.npy"));
    let (_, answers) = npy(&encoder.join("answers.npy"));
    for exporter in ["torchscript", "dynamo"] {
        let home = Home::new();
        std::fs::write(home.path("one.npy"), one_record(&records[..ELEMENTS])).expect("room");
        let onnx = encoder.join(format!("encoder-{exporter}.onnx"));
        home.json(&["model", "import", text(&onnx), "--calibrate", text(&calibration), "-o", "m.sgm"]);
        home.json(&["model", "register", "m.sgm", "--out", "r.sgm", "--openings", "3"]);
        home.json(&["prove", "r.sgm", "--input", "one.npy", "--out", "p.proof"]);
        // By whoever has the proof and what was published of the model.
        let verdict = home.json(&["verify", "p.proof", "--model", "r.sgr", "--results", "y.json"]);
        assert_eq!(verdict["verdicts"][0]["accepted"], true, "{exporter}: {verdict}");
        let results = &verdict["verdicts"][0]["results"][0];
        let result = |index: usize| results[format!("y.{index}")].as_f64().expect("a number");
        let squares = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>();
        let answer = |index: usize| f64::from(answers[index]);
        let off = squares(&mut (0..ELEMENTS).map(|index| result(index) - answer(index)));
        let relative = (off / squares(&mut (0..ELEMENTS).map(answer))).sqrt();
        assert!(relative < 0.02, "{exporter}: off by {relative} of what PyTorch answers");
        // Another model's publication is none of this proof's.
        home.json(&["model", "register", "m.sgm", "--out", "other.sgm", "--openings", "4"]);
        assert_eq!(home.run(&["verify", "p.proof", "--model", "other.sgr"]).status, 4, "{exporter}");
    }
}

/// How many openings of the only registration of a home are spent.
fn spent(home: &Home) -> usize {
    let mut files = std::fs::read_dir(home.path("home/openings")).expect("a registration").flatten();
    let file = std::fs::read_to_string(files.next().expect("one").path()).expect("lines");
    assert!(files.next().is_none(), "one registration");
    file.lines().count()
}

/// The names of all files in a folder of files.
fn names(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn what_has_no_place_to_go_costs_no_opening_and_leaves_nothing() {
    let home = Home::new();
    let plain = home.import("breast-cancer-mlp", "breast-cancer");
    let register = |out| ["model", "register", text(&plain), "--out", out, "--openings", "4"];
    home.fails(&register("none/r.sgm"), "E-STO-01", 5);
    home.fails(&register("r.sgr"), "E-USE-02", 2);
    assert!(!home.path("home/openings").exists());
    // Weights are readable by their owner alone, registered or not.
    let mode = std::fs::metadata(&plain).expect("there").permissions().mode();
    assert_eq!(mode & 0o077, 0);
    home.json(&register("r.sgm"));
    let table = std::fs::read_to_string(test_data("breast-cancer")).expect("shipped");
    let some: Vec<&str> = table.lines().take(3).collect();
    std::fs::write(home.path("some.csv"), some.join("\n")).expect("written");
    std::fs::create_dir(home.path("folder")).expect("made");
    let whole = |name| std::fs::read(home.path(name)).expect("there");
    let before = (names(home.folder.path()), whole("r.sgm"), whole("some.csv"));
    let prove = |rest: &[&'static str]| [&["prove", "r.sgm", "--input", "some.csv", "--out"], rest].concat();
    for (rest, code, exit) in [
        (&["none/p.proof"][..], "E-STO-01", 5),
        (&["folder"], "E-STO-01", 5),
        (&["p.proof", "--results", "none/r.csv"], "E-STO-01", 5),
        (&["p.proof", "--results", "r.txt"], "E-DAT-01", 2),
        (&["r.csv", "--results", "r.csv"], "E-USE-07", 2),
        (&["some.csv"], "E-USE-07", 2),
        (&["./folder/../r.sgm"], "E-USE-07", 2),
        (&["p.proof", "--results", "some.csv"], "E-USE-07", 2),
        (&["p.proof", "--memory-max", "1"], "E-RES-83", 6),
        (&["p.proof", "--bits", "127"], "E-PRF-26", 2),
    ] {
        home.fails(&prove(rest), code, exit);
    }
    assert_eq!((names(home.folder.path()), whole("r.sgm"), whole("some.csv")), before);
    assert_eq!(spent(&home), 1, "the registration's own");
    home.json(&prove(&["p.proof", "--commit-input", "--results", "r.csv"]));
    assert_eq!(spent(&home), 2);
    for made in ["p.proof", "p.records.opening", "r.csv"] {
        assert!(home.path(made).exists(), "{made}");
    }

    // A grid of nobody is given none of the rest.
    drop(home.up("grid", &["--nodes", "1", "--model", text(&plain)]));
    home.fails(&["model", "publish", "r.sgm", "--grid", "grid"], "E-AVL-25", 5);
    assert_eq!(spent(&home), 2);
}

#[test]
fn a_verdict_is_on_what_was_asked_and_on_nothing_else() {
    let home = Home::new();
    let plain = home.import("breast-cancer-mlp", "breast-cancer");
    home.json(&["model", "register", text(&plain), "--out", "r.sgm", "--openings", "2"]);
    let published = std::fs::read(home.path("r.sgr")).expect("written");
    std::fs::write(home.path("cut.sgr"), &published[..999]).expect("written");
    std::fs::write(home.path("empty"), "").expect("written");
    std::fs::write(home.path("letter"), "dear hospital").expect("written");
    // Whatever is of no kind is rejected, with or without trust roots, and said to be what it is.
    for (file, said) in [
        ("empty", "the file is empty"),
        ("letter", "neither a receipt, a proof nor a registered model"),
        ("r.sgm", "a model, weights included"),
    ] {
        let ended = home.run(&["verify", file]);
        assert_eq!(ended.status, 4, "{}{}", ended.stdout, ended.stderr);
        assert!(
            ended.stdout.contains("REJECTED E-VER-01") && ended.stdout.contains(said),
            "{}",
            ended.stdout
        );
    }
    let said = home.fails(&["verify", "cut.sgr"], "E-PRF-24", 4);
    assert!(said.contains("cut.sgr: the registered model is rejected"), "{said}");
    // What is not compared does not pass for compared.
    home.fails(&["verify", "r.sgr", "--input", "letter"], "E-USE-08", 2);
    home.fails(&["verify", "r.sgr", "--results", "r.csv"], "E-USE-08", 2);
    home.fails(&["verify", "r.sgr", "--opening", "letter"], "E-USE-08", 2);
    home.fails(&["verify", "letter", "--input", "letter"], "E-USE-08", 2);
    // The results do not take the place of what is checked.
    std::fs::copy(home.path("r.sgr"), home.path("r.csv")).expect("room");
    home.fails(&["verify", "r.sgr", "--model", "r.csv", "--results", "r.csv"], "E-USE-07", 2);
    assert_eq!(std::fs::read(home.path("r.csv")).expect("there"), published);
    // A verdict that nobody is told is none.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
    let untold = home.command(&["verify", "r.sgr"]).stdout(full).status().expect("starts");
    assert_eq!(untold.code(), Some(5));
}
