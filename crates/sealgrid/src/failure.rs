//! What a person sees when something does not work: a code from the index, what happened, why, and one
//! command to try. The code decides the exit status.

use std::fmt;

/// A refused or failed command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Code from docs/reference/errors, `E-XXX-NN`.
    pub code: String,
    /// What happened, one sentence without full stop.
    pub what: String,
    /// Why, when that is more than the first sentence says.
    pub why: Option<String>,
    /// One command or action to try next.
    pub hint: Option<String>,
    /// Exit status when it is not the one of the code's area.
    pub exit: Option<u8>,
}

impl Failure {
    /// A failure with a code and what happened.
    pub fn new(code: impl Into<String>, what: impl Into<String>) -> Self {
        Self { code: code.into(), what: what.into(), why: None, hint: None, exit: None }
    }

    /// Adds the reason.
    #[must_use]
    pub fn why(mut self, why: impl fmt::Display) -> Self {
        self.why = Some(why.to_string());
        self
    }

    /// Adds an error as the reason, with what caused it.
    #[must_use]
    pub fn because(self, error: &dyn std::error::Error) -> Self {
        let causes = std::iter::successors(Some(error), |error| error.source());
        let causes: Vec<String> = causes.map(ToString::to_string).collect();
        self.why(causes.join(": "))
    }

    /// Adds what to type next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Sets the exit status directly.
    #[must_use]
    pub const fn exit(mut self, exit: u8) -> Self {
        self.exit = Some(exit);
        self
    }

    /// Exit status: 2 usage, 3 policy, 4 verification, 5 availability, 6 limits, 7 keys.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        self.exit.unwrap_or_else(|| match self.code.get(2..5) {
            Some("USE" | "IMP" | "DAT") => 2,
            Some("POL") => 3,
            Some("VER" | "QRM" | "LOG" | "PRF" | "FHE") => 4,
            Some("NET" | "AVL" | "STO") => 5,
            Some("RES") => 6,
            Some("KEY") => 7,
            _ => 1,
        })
    }

    /// The failure as the `error` member of `--json` output.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "error": {
                "code": self.code,
                "what": self.what,
                "why": self.why,
                "try": self.hint,
                "exit": self.exit_status(),
            }
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error {}: {}", self.code, self.what)?;
        if let Some(why) = &self.why {
            write!(f, "\n  why: {why}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  try: {hint}")?;
        }
        Ok(())
    }
}

/// Reading a file that a person named on the command line.
pub fn unreadable(path: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::new("E-USE-01", format!("cannot read {}", path.display()))
        .why(error)
        .hint(format!("ls -l {}", path.display()))
}

/// Writing a file that a person named on the command line.
pub fn unwritable(path: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::new("E-STO-01", format!("cannot write {}", path.display()))
        .why(error)
        .hint("df -h . && ls -ld .")
}

/// A command line that is not understood, from what the parser wrote: what is wrong, perhaps tips, and a line of usage.
pub fn usage(written: &str) -> Failure {
    let (wrong, usage) = written.split_once("Usage: ").unwrap_or((written, ""));
    let mut lines = wrong.lines().map(str::trim).filter(|line| !line.is_empty());
    let what = lines.next().unwrap_or_default();
    let what = what.strip_prefix("error: ").unwrap_or(what).trim_end_matches(':');
    let why = lines.collect::<Vec<_>>().join("; ");
    let path =
        usage.split_whitespace().take_while(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-'));
    let mut command = path.filter(|word| !word.starts_with('-')).collect::<Vec<_>>().join(" ");
    if command.is_empty() {
        command.push_str("sealgrid");
    }
    let failure = Failure::new("E-USE-05", what).hint(format!("{command} --help"));
    if why.is_empty() { failure } else { failure.why(why) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn a_command_line_that_is_not_understood_has_a_code_and_names_its_help() {
        let failure = |line: &str| {
            let words = std::iter::once("sealgrid").chain(line.split(' '));
            let error = crate::Arguments::command().try_get_matches_from(words).expect_err("wrong");
            usage(&error.render().to_string()).to_string()
        };
        assert_eq!(
            failure("model import a.onnx"),
            "error E-USE-05: the following required arguments were not provided\n  why: --calibrate <DATA>\n  try: sealgrid model import --help"
        );
        assert_eq!(
            failure("plam"),
            "error E-USE-05: unrecognized subcommand 'plam'\n  why: tip: a similar subcommand exists: 'plan'\n  try: sealgrid --help"
        );
        assert_eq!(
            failure("run m --receit 5"),
            "error E-USE-05: unexpected argument '--receit' found\n  why: tip: a similar argument exists: '--receipt'\n  try: sealgrid run --help"
        );
        assert_eq!(usage("").exit_status(), 2);
    }

    #[test]
    fn the_area_of_a_code_decides_the_exit_status() {
        for (code, exit) in [
            ("E-USE-01", 2),
            ("E-IMP-03", 2),
            ("E-DAT-02", 2),
            ("E-POL-02", 3),
            ("E-VER-01", 4),
            ("E-QRM-01", 4),
            ("E-LOG-01", 4),
            ("E-NET-01", 5),
            ("E-STO-01", 5),
            ("E-RES-01", 6),
            ("E-KEY-04", 7),
        ] {
            assert_eq!(Failure::new(code, "x").exit_status(), exit, "{code}");
        }
    }

    #[test]
    fn a_failure_prints_what_why_and_what_to_try() {
        let failure = Failure::new("E-USE-01", "cannot read a.csv").why("no such file").hint("ls -l a.csv");
        assert_eq!(
            failure.to_string(),
            "error E-USE-01: cannot read a.csv\n  why: no such file\n  try: ls -l a.csv"
        );
    }
}
