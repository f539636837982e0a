//! Dependencies point down (DESIGN, section 4), and engines are named in one file.

use std::path::PathBuf;
use std::process::Command;

use super::Finding;
use crate::source::{self, Rust};

const DIRECTION: &str = "dependencies point down";
const ENGINES: &str = "engines are named in one file";

/// The one file that plugs engines in.
const SOCKET_FILE: &str = "crates/sealgrid/src/engines.rs";

/// Crates that quarantine a heavy dependency behind a socket.
const ENGINE_CRATES: &[&str] =
    &["sealgrid-proof", "sealgrid-fhe", "sealgrid-llm", "sealgrid-policy", "sealgrid-chain"];

/// What each of our crates may depend on among ours, outside its tests. A crate that is not here may depend on
/// nothing of ours: adding one is a decision, written down in this table and in ARCHITECTURE.md.
const ALLOWED: &[(&str, &[&str])] = &[
    ("sealgrid-seal", &[]),
    ("sealgrid-attest", &[]),
    ("sealgrid-graph", &["sealgrid-seal"]),
    ("sealgrid-protocol", &["sealgrid-graph", "sealgrid-seal"]),
    ("sealgrid-proof", &["sealgrid-protocol", "sealgrid-graph", "sealgrid-seal"]),
    ("sealgrid-fhe", &["sealgrid-protocol", "sealgrid-graph", "sealgrid-seal"]),
    ("sealgrid-llm", &["sealgrid-protocol", "sealgrid-graph", "sealgrid-seal"]),
    ("sealgrid-policy", &["sealgrid-protocol", "sealgrid-graph", "sealgrid-seal"]),
    ("sealgrid-chain", &["sealgrid-protocol", "sealgrid-graph", "sealgrid-seal"]),
    ("sealgrid-net", &["sealgrid-protocol", "sealgrid-graph", "sealgrid-seal"]),
    ("sealgrid-node", &["sealgrid-net", "sealgrid-protocol", "sealgrid-graph", "sealgrid-seal"]),
    (
        "sealgrid-verify",
        &["sealgrid-attest", "sealgrid-proof", "sealgrid-protocol", "sealgrid-graph", "sealgrid-seal"],
    ),
    ("sealgrid-verify-wasm", &["sealgrid-verify"]),
    ("sealgrid-testkit", &["sealgrid-protocol", "sealgrid-graph", "sealgrid-seal"]),
    (
        "sealgrid",
        &[
            "sealgrid-attest",
            "sealgrid-proof",
            "sealgrid-fhe",
            "sealgrid-llm",
            "sealgrid-policy",
            "sealgrid-chain",
            "sealgrid-net",
            "sealgrid-node",
            "sealgrid-verify",
            "sealgrid-protocol",
            "sealgrid-graph",
            "sealgrid-seal",
        ],
    ),
];

/// A dependency of one of our crates on another, outside tests.
#[derive(Debug)]
struct Edge {
    from: String,
    to: String,
    manifest: PathBuf,
}

pub fn workspace() -> Vec<Finding> {
    direction(&edges())
}

pub fn engines_workspace() -> Vec<Finding> {
    source::rust("crates").iter().flat_map(engines).collect()
}

fn direction(edges: &[Edge]) -> Vec<Finding> {
    let allowed =
        |edge: &Edge| ALLOWED.iter().any(|(from, to)| *from == edge.from && to.contains(&edge.to.as_str()));
    edges
        .iter()
        .filter(|edge| !allowed(edge))
        .map(|edge| Finding {
            path: edge.manifest.clone(),
            line: 1,
            rule: DIRECTION,
            what: format!("{} depends on {}", edge.from, edge.to),
            advice: "move the shared part down, pass a trait object in, or make it a dev-dependency",
        })
        .collect()
}

fn engines(source: &Rust) -> Vec<Finding> {
    let own_crate =
        source.path.components().nth(1).map(|part| part.as_os_str().to_string_lossy().into_owned());
    let may_name = |engine: &str| {
        source.path == std::path::Path::new(SOCKET_FILE)
            || own_crate.as_deref() == Some(engine)
            || (own_crate.as_deref() == Some("sealgrid-verify") && engine == "sealgrid-proof")
    };
    source
        .tokens
        .iter()
        .filter(|token| !token.test)
        .filter_map(|token| {
            let engine = ENGINE_CRATES.iter().find(|engine| engine.replace('-', "_") == token.text)?;
            (!may_name(engine)).then(|| Finding {
                path: source.path.clone(),
                line: token.line,
                rule: ENGINES,
                what: format!("{engine} is named here"),
                advice: "take the engine's socket (a trait object) as an argument and fill it in engines.rs",
            })
        })
        .collect()
}

/// Reads `cargo metadata` without resolving, hence without a network.
fn edges() -> Vec<Edge> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(source::root())
        .output()
        .expect("cargo runs: it started this program");
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("metadata lists packages");
    let name = |value: &serde_json::Value| value["name"].as_str().unwrap_or_default().to_owned();
    let ours: Vec<String> = packages.iter().map(name).collect();
    let mut edges = Vec::new();
    for package in packages.iter().filter(|package| package["name"] != "xtask") {
        let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap_or_default());
        let manifest = manifest.strip_prefix(source::root()).unwrap_or(&manifest).to_path_buf();
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = name(dependency);
            if dependency["kind"] != "dev" && ours.contains(&to) {
                edges.push(Edge { from: name(package), to, manifest: manifest.clone() });
            }
        }
    }
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &str, to: &str) -> Edge {
        Edge { from: from.into(), to: to.into(), manifest: "Cargo.toml".into() }
    }

    #[test]
    fn an_arrow_that_points_up_is_found() {
        let found =
            direction(&[edge("sealgrid-seal", "sealgrid-graph"), edge("sealgrid-graph", "sealgrid-seal")]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].what, "sealgrid-seal depends on sealgrid-graph");
    }

    #[test]
    fn a_crate_that_nobody_placed_may_depend_on_nothing_of_ours() {
        assert_eq!(direction(&[edge("sealgrid-new", "sealgrid-seal")]).len(), 1);
    }

    #[test]
    fn an_engine_named_outside_its_socket_file_is_found() {
        let text = "use sealgrid_fhe::Keys;";
        assert_eq!(engines(&Rust::new("crates/sealgrid-node/src/lib.rs", text)).len(), 1);
        assert_eq!(engines(&Rust::new("crates/sealgrid/src/commands/run.rs", text)).len(), 1);
        assert!(engines(&Rust::new(SOCKET_FILE, text)).is_empty());
        assert!(engines(&Rust::new("crates/sealgrid-fhe/src/lib.rs", text)).is_empty());
    }

    #[test]
    fn dependencies_point_down() {
        assert!(edges().len() >= 5, "cargo metadata shows our crates");
        super::super::assert_none(&workspace());
    }

    #[test]
    fn engines_are_named_in_one_file() {
        super::super::assert_none(&engines_workspace());
    }
}
