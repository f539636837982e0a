//! Commands that xtask runs one after the other, stopping at the first that fails.

use std::io::Write as _;
use std::process::Command;

use crate::{source, tidy, wasm};

/// Which tests `check` runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tests {
    /// Every test of the workspace, as the README says.
    All,
    /// None: format, lints and tidy only.
    None,
}

/// What `vectors` does with a difference.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Vectors {
    /// Fails on it.
    Compare,
    /// Writes the new bytes; the author then explains the difference in the commit.
    Bless,
}

/// The variables that frozen tests read: with `1` they write what they would compare with. The second writes files
/// that are absent and never replaces one: formats of keys and seals are not blessed over.
const BLESS: [&str; 2] = ["SEALGRID_BLESS", "SEALGRID_WRITE_VECTORS"];

/// Crates with frozen files, each with the tests to run: formats of the pure crates, and the binary's reference.
const FROZEN: &[(&str, &str)] = &[
    ("sealgrid-seal", ""),
    ("sealgrid-graph", "vectors"),
    ("sealgrid-protocol", ""),
    ("sealgrid-verify", ""),
    ("sealgrid-proof", "vectors"),
    ("sealgrid-fhe", "vectors"),
    ("sealgrid", "reference"),
];

/// Format, lints, tidy, tests; supply chain where `cargo-deny` is installed.
pub fn check(tests: Tests) -> Result<(), String> {
    cargo(&["fmt", "--all", "--check"], "run `cargo fmt --all`")?;
    tidy::run()?;
    let lints = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
    cargo(&lints, "fix the lint, or suppress it with #[expect(lint, reason = \"…\")]")?;
    if installed("cargo-deny") {
        let deny = ["deny", "--offline", "check", "bans", "licenses", "sources"];
        cargo(&deny, "see deny.toml: each entry says what it is there for")?;
    } else {
        say("cargo-deny is not installed, its checks are left out; cargo install --locked cargo-deny");
    }
    if wasm::has_target() {
        let check = ["check", "--quiet", "-p", "sealgrid-verify-wasm", "--target", wasm::TARGET];
        cargo(
            &check,
            "the verifier must build for the browser; `cargo tree` shows what brought the failing crate",
        )?;
    } else {
        say(&format!("the verifier is not built for the browser: {}", wasm::NO_TARGET));
    }
    if tests == Tests::All {
        cargo(&["test", "--workspace"], "run the named test alone with `cargo test -p CRATE NAME`")?;
    }
    Ok(())
}

/// Runs the tests that hold frozen files, comparing or writing.
pub fn vectors(mode: Vectors) -> Result<(), String> {
    for (package, filter) in FROZEN {
        let mut command = Command::new(env!("CARGO"));
        command.args(["test", "--quiet", "-p", package, "--", filter]).current_dir(source::root());
        for variable in BLESS {
            match mode {
                Vectors::Bless => command.env(variable, "1"),
                Vectors::Compare => command.env_remove(variable),
            };
        }
        say(&format!("+ cargo test -p {package} -- {filter}"));
        let status = command.status().map_err(|error| format!("cannot start cargo: {error}"))?;
        if !status.success() {
            return Err(
                "a frozen file differs; if the format was meant to change give it a new version, then run \
                        `cargo xtask vectors --bless` and say in the commit what changed and why"
                    .into(),
            );
        }
    }
    if mode == Vectors::Bless {
        let mut git = Command::new("git");
        let changed =
            git.args(["status", "--short", "vectors", "docs/reference"]).current_dir(source::root()).output();
        let changed = changed.map_err(|error| format!("cannot start git: {error}"))?;
        say(&format!("changed:\n{}", String::from_utf8_lossy(&changed.stdout)));
    }
    Ok(())
}

/// One line to the person who called.
pub fn say(line: &str) {
    // A closed terminal must not turn a finished check into a failure.
    let _closed = writeln!(std::io::stderr().lock(), "{line}");
}

/// Runs cargo at the workspace's root.
pub fn cargo(arguments: &[&str], advice: &str) -> Result<(), String> {
    say(&format!("+ cargo {}", arguments.join(" ")));
    let status = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(source::root())
        .status()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`cargo {}` failed; {advice}", arguments.join(" "))) }
}

/// Whether a program can be called.
pub fn installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}
