//! Rules about the sources that no compiler knows. Each rule is a pure function from sources to findings, tested
//! twice: on a small source that breaks it, and on the workspace itself (so `cargo test` runs them all).

mod book;
mod crates;
mod errors;
mod invariants;
mod labels;
mod numbers;
mod shell;
mod topics;
mod unsafety;
mod vectors;
mod words;

use std::fmt;
use std::path::PathBuf;

use crate::steps::say;

/// One place that breaks one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Relative to the root.
    pub path: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Name of the rule.
    pub rule: &'static str,
    /// What is there.
    pub what: String,
    /// What to do about it.
    pub advice: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}\n    {}", self.path.display(), self.line, self.rule, self.what, self.advice)
    }
}

/// A rule's name and how it looks at the workspace.
type Rule = (&'static str, fn() -> Vec<Finding>);

/// Every rule, in the order of DESIGN: structure, purity, numbers, formats, words.
const RULES: &[Rule] = &[
    ("dependencies point down", crates::workspace),
    ("engines are named in one file", crates::engines_workspace),
    ("topics do not import each other", topics::workspace),
    ("pure below the shell", shell::workspace),
    ("no floats where machines must agree", numbers::workspace),
    ("unsafe only in the fast kernels", unsafety::workspace),
    ("error codes are documented and tested", errors::workspace),
    ("labels are unique", labels::workspace),
    ("vectors have sources", vectors::workspace),
    ("invariants name their tests", invariants::workspace),
    ("pages are in the book, links lead somewhere", book::workspace),
    ("finished words", words::workspace),
];

/// Runs every rule and prints what it finds.
pub fn run() -> Result<(), String> {
    let findings: Vec<Finding> = RULES.iter().flat_map(|(_, look)| look()).collect();
    for finding in &findings {
        say(&finding.to_string());
    }
    match findings.len() {
        0 => {
            say(&format!("tidy: {} rules hold", RULES.len()));
            Ok(())
        }
        count => Err(format!("tidy: {count} findings")),
    }
}

/// Fails a test with every finding in its message.
#[cfg(test)]
pub fn assert_none(findings: &[Finding]) {
    let text: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "\n{}\n", text.join("\n"));
}
