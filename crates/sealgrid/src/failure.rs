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

    /// What to try next: what was said, or what the error index says of the code.
    fn try_next(&self) -> Option<&str> {
        self.hint.as_deref().or_else(|| of_index(&self.code))
    }

    /// The failure as the `error` member of `--json` output.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "error": {
                "code": self.code,
                "what": self.what,
                "why": self.why,
                "try": self.try_next(),
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
        if let Some(hint) = self.try_next() {
            write!(f, "\n  try: {hint}")?;
        }
        Ok(())
    }
}

/// The pages of the error index.
const INDEX: [&str; 12] = [
    include_str!("../../../docs/reference/errors/data.md"),
    include_str!("../../../docs/reference/errors/fhe.md"),
    include_str!("../../../docs/reference/errors/graph.md"),
    include_str!("../../../docs/reference/errors/import.md"),
    include_str!("../../../docs/reference/errors/keys.md"),
    include_str!("../../../docs/reference/errors/log.md"),
    include_str!("../../../docs/reference/errors/net.md"),
    include_str!("../../../docs/reference/errors/policy.md"),
    include_str!("../../../docs/reference/errors/proof.md"),
    include_str!("../../../docs/reference/errors/quorum.md"),
    include_str!("../../../docs/reference/errors/receipt.md"),
    include_str!("../../../docs/reference/errors/seal.md"),
];

/// What the error index says to type next: the last cell of the code's row.
fn of_index(code: &str) -> Option<&'static str> {
    let row = INDEX.iter().flat_map(|page| page.lines()).find(|row| {
        row.strip_prefix("| `").and_then(|row| row.strip_prefix(code)).is_some_and(|row| row.starts_with('`'))
    })?;
    let cell = row.trim_end_matches(['|', ' ']).rsplit(" | ").next()?;
    // A cell that is one command is shown as one.
    let command = cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`'));
    Some(command.filter(|command| !command.contains('`')).unwrap_or(cell))
}

/// Reading a file that a person named on the command line.
pub fn unreadable(path: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::new("E-USE-01", format!("cannot read {}", path.display()))
        .why(error)
        .hint(format!("ls -l {}", path.display()))
}

/// Writing a file that a person named on the command line.
pub fn unwritable(path: &std::path::Path, error: &std::io::Error) -> Failure {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| std::path::Path::new("."));
    Failure::new("E-STO-01", format!("cannot write {}", path.display()))
        .why(error)
        .hint(format!("df -h {0} && ls -ld {0}", folder.display()))
}

/// A command line that is not understood, from what the parser wrote: what is wrong, perhaps tips, and a line of usage;
/// `command` is the one that was meant.
pub fn usage(written: &str, command: &str) -> Failure {
    let wrong = written.split_once("Usage: ").map_or(written, |(wrong, _)| wrong);
    let mut lines = wrong.lines().map(str::trim).filter(|line| !line.is_empty());
    let what = lines.next().unwrap_or_default();
    let what = what.strip_prefix("error: ").unwrap_or(what).trim_end_matches(':');
    let why = lines.filter(|line| !line.starts_with("For more information"));
    let why = why.collect::<Vec<_>>().join("; ");
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
            usage(&error.render().to_string(), &crate::meant(line.split(' ').map(str::to_owned))).to_string()
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
        // A value that is not one, too.
        assert_eq!(
            failure("model register m --out r.sgm --bits 98"),
            "error E-USE-05: invalid value '98' for '--bits <BITS>': proofs are made for 99 or 127 bits\n  try: sealgrid model register --help"
        );
        assert_eq!(usage("", "sealgrid").exit_status(), 2);
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
    fn a_failure_that_says_not_what_to_try_says_what_the_index_does() {
        let tried = |code: &str| Failure::new(code, "x").json()["error"]["try"].as_str().map(str::to_owned);
        assert_eq!(tried("E-DAT-03").as_deref(), Some("check the export"));
        assert_eq!(tried("E-PRF-20").as_deref(), Some("sealgrid model register MODEL --out FILE.sgm"));
        assert_eq!(tried("E-PRF-2"), None);
        assert!(Failure::new("E-DAT-03", "x").to_string().ends_with("\n  try: check the export"));
        let rows = INDEX.iter().flat_map(|page| page.lines()).filter(|row| row.starts_with("| `E-"));
        for row in rows {
            let code = &row["| `".len().."| `E-XXX-NN".len()];
            assert!(tried(code).is_some_and(|tried| !tried.is_empty() && !tried.contains(code)), "{row}");
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
