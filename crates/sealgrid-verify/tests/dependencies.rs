//! The manifest is the trusted base: nothing in it talks to a network, and nothing in it keeps the verifier from
//! compiling for the browser.

use std::collections::{BTreeSet, HashMap};
use std::process::Command;

use serde_json::Value;

/// Crates that open sockets, run event loops, or speak protocols.
const NETWORK: &[&str] = &[
    "tokio",
    "mio",
    "socket2",
    "quinn",
    "quinn-proto",
    "iroh",
    "hyper",
    "h2",
    "reqwest",
    "ureq",
    "rustls",
    "native-tls",
    "openssl",
    "async-std",
    "smol",
    "polling",
    "noq",
    "hickory-resolver",
    "libp2p",
    "sealgrid-net",
    "sealgrid-node",
];

/// Crates that build C code which does not exist for wasm32-unknown-unknown.
const FOREIGN: &[&str] =
    &["aws-lc-rs", "aws-lc-sys", "aws-lc-fips-sys", "ring", "openssl-sys", "libsodium-sys"];

/// Names of the packages that `sealgrid-verify` is built from for `target`, tests not counted.
fn tree(target: &str) -> BTreeSet<String> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--filter-platform", target])
        .args(["--manifest-path", manifest])
        .output()
        .expect("cargo that runs this test can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let names: HashMap<String, String> = metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| (text(&package["id"]), text(&package["name"])))
        .collect();
    let normal = |dependency: &&Value| {
        dependency["dep_kinds"].as_array().expect("kinds").iter().any(|kind| kind["kind"].is_null())
    };
    let edges: HashMap<String, Vec<String>> = metadata["resolve"]["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .map(|node| {
            let dependencies = node["deps"].as_array().expect("dependencies").iter().filter(normal);
            (text(&node["id"]), dependencies.map(|dependency| text(&dependency["pkg"])).collect())
        })
        .collect();
    let root = names.iter().find(|(_, name)| *name == "sealgrid-verify").expect("this crate").0;
    let mut seen = BTreeSet::from([root.clone()]);
    let mut open = vec![root.clone()];
    while let Some(package) = open.pop() {
        for dependency in &edges[&package] {
            if seen.insert(dependency.clone()) {
                open.push(dependency.clone());
            }
        }
    }
    seen.iter().map(|package| names[package].clone()).collect()
}

#[test]
fn nothing_in_the_tree_talks_to_a_network() {
    for target in ["x86_64-unknown-linux-gnu", "wasm32-unknown-unknown"] {
        let tree = tree(target);
        assert!(tree.contains("sealgrid-seal") && tree.contains("ed25519-dalek"), "{tree:?}");
        let found: Vec<_> = NETWORK.iter().filter(|name| tree.contains(**name)).collect();
        assert!(found.is_empty(), "{target}: {found:?}");
    }
}

#[test]
fn nothing_in_the_tree_keeps_it_from_the_browser() {
    let tree = tree("wasm32-unknown-unknown");
    let found: Vec<_> = FOREIGN.iter().filter(|name| tree.contains(**name)).collect();
    assert!(found.is_empty(), "{found:?}");
}
