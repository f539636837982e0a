//! The manifest is the trusted base: nothing in it talks to a network, and nothing in it keeps the verifier from
//! compiling for the browser.

use std::collections::BTreeSet;
use std::process::Command;

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

/// Names of the packages that `sealgrid-verify` is built from for `target`, tests not counted. Of this package alone: what others bring for a target that
/// nothing is built for need not be on the machine.
fn tree(target: &str) -> BTreeSet<String> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--package", "sealgrid-verify", "--edges", "normal", "--target", target])
        .args(["--prefix", "none", "--format", "{p}", "--manifest-path", manifest])
        .output()
        .expect("cargo that runs this test can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let packages = String::from_utf8(output.stdout).expect("names are text");
    packages.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
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
