//! Models published to running nodes; the log proven, audited, witnessed.

use crate::common::*;

#[test]
fn a_model_that_up_did_not_know_runs_after_it_was_published() {
    let home = Home::new();
    let first = home.import("breast-cancer-mlp", "breast-cancer");
    let second = home.import("breast-cancer-logreg", "breast-cancer");
    let _up = home.up("grid", &["--nodes", "4", "--model", text(&first)]);
    let data = test_data("breast-cancer");
    let run = ["run", "breast-cancer-logreg", "--input", text(&data), "--grid", "grid"];
    home.fails(&run, "E-AVL-03", 5);

    let told = home.json(&["model", "publish", text(&second), "--grid", "grid"]);
    assert_eq!(told["nodes"].as_array().map(Vec::len), Some(4));
    assert!(told["nodes"].as_array().expect("nodes").iter().all(|node| node["held"] == true), "{told}");
    assert_eq!(told["in_force"], 4);
    let listed = home.json(&["model", "list", "--grid", "grid"]);
    let row =
        listed["models"].as_array().expect("models").iter().find(|row| row["name"] == "breast-cancer-logreg");
    let row = row.expect("listed");
    assert_eq!((row["nodes"].as_u64(), row["in_directory"].as_u64()), (Some(4), Some(4)));

    let ran = home.json(&[&run[..], &["--receipt", "r.receipt"]].concat());
    assert_eq!(ran["model"], told["commitment"]);
    home.json(&["verify", "r.receipt", "--roots", "grid/roots"]);
    // Again: nothing is sent twice, and the directory stays good.
    let again = home.json(&["model", "publish", text(&second), "--grid", "grid"]);
    assert_eq!(again["in_force"], 4);
    home.json(&run);

    // An owner of their own publishes; somebody else's key is not the authority's.
    let secret = home.path("secret");
    std::fs::write(&secret, "of a test\n").expect("written");
    let with_key = ["--passphrase-file", text(&secret)];
    home.json(&[&["key", "new", "owner"][..], &with_key].concat());
    home.json(&[&["key", "new", "shelf", "--for", "storage"][..], &with_key].concat());
    let publish = ["model", "publish", text(&second), "--grid", "grid"];
    home.json(&[&publish[..], &["--owner", "owner"], &with_key].concat());
    home.fails(&[&publish[..], &["--authority", "owner"], &with_key].concat(), "E-KEY-97", 7);
    home.fails(&[&publish[..], &["--owner", "shelf"], &with_key].concat(), "E-KEY-99", 7);
    std::fs::rename(home.path("grid/authority"), home.path("grid/elsewhere")).expect("renamed");
    home.fails(&publish, "E-KEY-95", 7);
}

#[test]
fn a_receipt_is_proven_and_the_log_audited_and_witnessed_and_proofs_hold_offline() {
    let home = Home::new();
    let model = home.import("breast-cancer-mlp", "breast-cancer");
    let up = home.up("grid", &["--nodes", "4", "--model", text(&model)]);
    let data = test_data("breast-cancer");
    let run = |receipt: &str| {
        home.json(&["run", text(&model), "--input", text(&data), "--grid", "grid", "--receipt", receipt]);
    };
    run("a.receipt");
    let kept = home.json(&["log", "head", "--grid", "grid"]);
    std::fs::write(home.path("old.checkpoint"), kept["note"].as_str().expect("a note")).expect("written");
    let first = home.json(&["log", "audit", "--grid", "grid", "--checkpoint", "mine.checkpoint"]);
    assert_eq!((first["from"].as_u64(), first["size"].as_u64()), (Some(0), kept["size"].as_u64()));
    run("b.receipt");
    let second = home.json(&["log", "audit", "--grid", "grid", "--checkpoint", "mine.checkpoint"]);
    assert_eq!(second["from"], first["size"]);
    assert!(second["size"].as_u64() > first["size"].as_u64());

    home.json(&["log", "prove", "a.receipt", "--grid", "grid", "--out", "a.tlog-proof"]);
    home.json(&["log", "prove", "--from", "old.checkpoint", "--grid", "grid", "--out", "growth"]);
    let witnessed = home.json(&["log", "witness", "--grid", "grid"]);
    assert_eq!(witnessed["one_history"], true);
    assert_eq!(witnessed["heads"].as_array().map(Vec::len), Some(3), "the log and two witnesses");
    drop(up);

    // Everything has ended: files alone.
    let roots = ["--roots", "grid/roots"];
    home.json(&[&["log", "prove", "a.receipt", "--check", "a.tlog-proof"][..], &roots].concat());
    home.json(&[&["log", "prove", "--from", "old.checkpoint", "--check", "growth"][..], &roots].concat());
    let wrong = ["log", "prove", "b.receipt", "--check", "a.tlog-proof"];
    home.fails(&[&wrong[..], &roots].concat(), "E-LOG-06", 4);
    let mut growth = std::fs::read_to_string(home.path("growth")).expect("written");
    growth = growth.replacen("old ", "old 1", 1);
    std::fs::write(home.path("growth"), growth).expect("written");
    let checked =
        home.run(&[&["log", "prove", "--from", "old.checkpoint", "--check", "growth"][..], &roots].concat());
    // Another old size in the text alone changes nothing: the checkpoint in hand counts.
    assert!(checked.status == 0 || checked.status == 4);
    std::fs::write(home.path("nothing.fork"), b"no evidence").expect("written");
    home.fails(&[&["log", "witness", "--check", "nothing.fork"][..], &roots].concat(), "E-LOG-01", 4);
    std::fs::write(home.path("bad.checkpoint"), b"not a note").expect("written");
    let bad = ["log", "prove", "--from", "bad.checkpoint", "--check", "growth"];
    home.fails(&[&bad[..], &roots].concat(), "E-LOG-01", 4);
}

#[test]
fn a_log_that_was_rewritten_is_refused_and_both_signed_heads_are_kept() {
    use sealgrid_node::keys::NodeKeys;
    use sealgrid_node::log_store::LogStore;
    use sealgrid_protocol::log::witness::Fork;
    use sealgrid_seal::keyfile::Cost;
    use sealgrid_seal::keystore::Purpose;
    use sealgrid_seal::secret::SecretBytes;

    let home = Home::new();
    let up = home.up("grid", &["--nodes", "1"]);
    let audit = ["log", "audit", "--grid", "grid", "--checkpoint", "mine.checkpoint", "--witnesses", "0"];
    assert_eq!(home.json(&audit)["size"], 1);
    drop(up);

    // Whoever runs the log writes another history of the same length with the log's own key.
    let data = home.path("grid/node-1/data");
    let passphrase = std::fs::read(home.path("grid/passphrase")).expect("there");
    while sealgrid_node::folder::DataFolder::take(&data).is_err() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let keys = NodeKeys::open(&data.join("keys"), SecretBytes::new(passphrase), Cost::LEAST).expect("opens");
    let signer = keys.signing(Purpose::Log).expect("the log's key");
    std::fs::remove_dir_all(data.join("log")).expect("removed");
    let mut store = LogStore::open(&data.join("log"), "sealgrid.local/log", signer).expect("opens");
    store.append(&[b"another first leaf"]).expect("written");
    drop(store);

    let _up = home.up("grid", &[]);
    // Until the node has logged its directory again the log has one leaf as before, but not the same.
    let said = loop {
        let ended = home.run(&audit);
        assert_eq!(ended.status, 4, "{}", ended.stdout);
        if ended.stderr.contains("E-LOG-09") || ended.stderr.contains("E-LOG-07") {
            break ended.stderr;
        }
    };
    assert!(said.contains("mine.fork"), "{said}");
    let kept = std::fs::read(home.path("mine.fork")).expect("both heads");
    let fork: Fork = sealgrid_seal::canonical::decode(&kept, 1 << 17).expect("two notes");
    assert_ne!(fork.first, fork.second);
    assert!(fork.first.contains("sealgrid.local/log") && fork.second.contains("sealgrid.local/log"));
}
