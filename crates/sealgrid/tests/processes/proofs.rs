//! Proven jobs over real processes, as their users type them.

use crate::common::*;

/// A registered model and a plain one on a grid of three nodes.
struct Served {
    home: Home,
    _up: Up,
}

const RUN: [&str; 6] = ["run", "r.sgm", "--input", "some.csv", "--grid", "grid"];

fn served() -> Served {
    let home = Home::new();
    let plain = home.import("breast-cancer-mlp", "breast-cancer");
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
