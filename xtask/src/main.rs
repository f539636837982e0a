//! Checks and generators for the workspace.
//!
//! ```text
//! cargo xtask check     format, lints, tidy, every test: what has to be green before a change is proposed
//! cargo xtask tidy      rules about the sources that no compiler knows, in a second or two
//! cargo xtask vectors   regenerates the frozen vectors and shows what changed
//! cargo xtask wasm      builds the verifier's module for browsers and its page, and runs it on the vectors
//! ```
//!
//! Reading order: [`tidy`] (the rules, one file each), [`source`] (how they see a file), [`steps`] (commands run).

mod source;
mod steps;
mod tidy;
mod wasm;

use std::process::ExitCode;

const USAGE: &str =
    "usage: cargo xtask check [--fast] | tidy | vectors [--bless] | wasm [--build] [CARGO OPTION…]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["check"] => steps::check(steps::Tests::All),
        ["check", "--fast"] => steps::check(steps::Tests::None),
        ["tidy"] => tidy::run(),
        ["vectors"] => steps::vectors(steps::Vectors::Compare),
        ["vectors", "--bless"] => steps::vectors(steps::Vectors::Bless),
        ["wasm", "--build", options @ ..] => wasm::build(options),
        ["wasm", options @ ..] => wasm::build_and_run(options),
        _ => {
            steps::say(USAGE);
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            steps::say(&message);
            ExitCode::FAILURE
        }
    }
}
