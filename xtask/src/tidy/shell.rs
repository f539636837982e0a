//! Below the shell there is no clock, disk, socket, environment or global randomness: they are arguments. So every
//! protocol can be simulated, every run repeated, and `sealgrid-verify` builds for a browser.

use super::Finding;
use crate::source::{self, Rust};

const RULE: &str = "pure below the shell";

/// The crates that this rule protects.
const PURE: &[&str] = &[
    "sealgrid-seal",
    "sealgrid-graph",
    "sealgrid-attest",
    "sealgrid-protocol",
    "sealgrid-verify",
    "sealgrid-verify-wasm",
];

/// Paths, or the ends of paths, that reach outside.
const OUTSIDE: &[&[&str]] = &[
    &["std", "fs"],
    &["std", "net"],
    &["std", "env"],
    &["std", "process"],
    &["std", "thread", "sleep"],
    &["std", "time", "SystemTime"],
    &["std", "time", "Instant"],
    &["std", "io", "stdin"],
    &["std", "io", "stdout"],
    &["std", "io", "stderr"],
    &["SystemTime", "now"],
    &["Instant", "now"],
    &["OsRng"],
    &["SysRng"],
    &["ThreadRng"],
    &["thread_rng"],
    &["getrandom"],
    &["rand", "rng"],
    &["rand", "random"],
    &["tokio"],
];

pub fn workspace() -> Vec<Finding> {
    PURE.iter()
        .flat_map(|name| source::rust(&format!("crates/{name}/src")))
        // A program is its own shell; the library beside it is what the rule is about.
        .filter(|source| !source.path.ends_with("src/main.rs"))
        .flat_map(|source| outside(&source))
        .collect()
}

fn outside(source: &Rust) -> Vec<Finding> {
    source
        .paths()
        .into_iter()
        .filter(|path| !path.test)
        .filter(|path| OUTSIDE.iter().any(|way| path.segments.windows(way.len()).any(|part| part == *way)))
        .map(|path| Finding {
            path: source.path.clone(),
            line: path.line,
            rule: RULE,
            what: format!("`{}` reaches outside", path.segments.join("::")),
            advice: "take the time, bytes or generator as an argument; the shell (sealgrid-node, sealgrid) fetches it",
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_outside_is_found() {
        for text in [
            "use std::{collections::BTreeMap, fs};",
            "fn f() { std::env::var(\"HOME\"); }",
            "use std::time::*; fn f() { Instant::now(); }",
            "fn f() { let mut rng = rand::rng(); }",
            "use rand_core::OsRng;",
            "use tokio::net::UdpSocket;",
        ] {
            assert_eq!(outside(&Rust::new("crates/sealgrid-seal/src/lib.rs", text)).len(), 1, "{text}");
        }
    }

    #[test]
    fn tests_may_read_their_vectors() {
        let text = "#[cfg(test)] mod tests { use std::fs; }";
        assert!(outside(&Rust::new("crates/sealgrid-seal/src/lib.rs", text)).is_empty());
    }

    #[test]
    fn pure_below_the_shell() {
        super::super::assert_none(&workspace());
    }
}
