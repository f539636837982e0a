//! What was found, as data, as text and as JSON.

use std::fmt::Write as _;

use sealgrid_protocol::claims::Claims;
use sealgrid_protocol::receipt::{Finding, Status, claims_json, claims_text};
use serde_json::{Value, json};

/// The findings about one matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The matter: `receipt`, `directory`, `policy`, `draw`, `votes`, `proof`, `log`, `opening`, `limits of this receipt`.
    pub about: &'static str,
    /// What was found, in the order of the checks.
    pub findings: Vec<Finding>,
}

/// The outcome of a verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The claims, once their signature and their own rules hold.
    pub claims: Option<Claims>,
    /// The findings, by matter.
    pub branches: Vec<Branch>,
}

impl Verdict {
    /// Whether the receipt is accepted: its claims hold and no finding fails.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.claims.is_some() && self.failures().next().is_none()
    }

    /// Findings that reject the receipt.
    pub fn failures(&self) -> impl Iterator<Item = &Finding> {
        self.findings().filter(|finding| finding.status == Status::Fails)
    }

    /// Every finding.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.branches.iter().flat_map(|branch| &branch.findings)
    }

    /// Exit status of a command that prints this verdict: 0 accepted, 4 rejected.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        if self.is_accepted() { 0 } else { 4 }
    }

    /// The code of the first failure, from docs/reference/errors.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        self.failures().next().map(|finding| code_of(finding.id))
    }

    /// The verdict for a program, in the stable form of docs/spec/receipt.md.
    #[must_use]
    pub fn json(&self) -> Value {
        let finding = |finding: &Finding| {
            let code = (finding.status == Status::Fails).then(|| code_of(finding.id));
            json!({ "id": finding.id, "status": finding.status.word(), "text": finding.text, "code": code })
        };
        let branch = |branch: &Branch| json!({ "about": branch.about, "findings": branch.findings.iter().map(finding).collect::<Vec<_>>() });
        json!({
            "version": 1,
            "accepted": self.is_accepted(),
            "exit": self.exit_status(),
            "code": self.code(),
            "claims": self.claims.as_ref().map(claims_json),
            "branches": self.branches.iter().map(branch).collect::<Vec<_>>(),
        })
    }

    /// The verdict for a person.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = match self.code() {
            None => "ACCEPTED\n".to_owned(),
            Some(code) => format!("REJECTED {code}\n"),
        };
        if let Some(claims) = &self.claims {
            text.push('\n');
            text.push_str(&claims_text(claims));
        }
        for branch in &self.branches {
            write!(text, "\n{}\n", branch.about).expect("writing to a String does not fail");
            for finding in &branch.findings {
                let status = match finding.status {
                    Status::Fails => "FAILS",
                    other => other.word(),
                };
                writeln!(text, "  {status:<10}  {}  {}", finding.id, finding.text)
                    .expect("writing to a String does not fail");
            }
        }
        text
    }
}

/// The code that stands for a failed rule.
fn code_of(rule: &str) -> &'static str {
    match rule.strip_prefix("RCP-").and_then(|number| number.parse::<u8>().ok()).unwrap_or(1) {
        0..=1 => "E-VER-01",
        2..=4 => "E-VER-02",
        5..=12 => "E-VER-03",
        13 => "E-VER-04",
        14 => "E-VER-05",
        15..=19 => "E-VER-14",
        20..=29 => "E-VER-15",
        30..=39 => "E-VER-16",
        40..=59 => "E-VER-17",
        60..=69 => "E-VER-18",
        _ => "E-VER-09",
    }
}
