//! `sealgrid verify`: receipt, evidence, trust roots and time in, or a proof and its model, or a registered model; a verdict out. No network.

use std::path::{Path, PathBuf};

use sealgrid_protocol::receipt::Opening;
use sealgrid_verify::{Disclosure, TrustRoots, verify};

use super::data::Destination;
use super::prove;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::Report;
use crate::{engines, files, roots};

/// Check receipts, proofs and registered models offline: what holds, what was assumed, what is not shown, what is not hidden.
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// Receipt files, proof files, or files of registered models.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Folder of the trust roots [default: the home's].
    #[arg(long, value_name = "DIR")]
    roots: Option<PathBuf>,
    /// Judge as of this time: RFC 3339, such as 2026-11-21T12:00:00Z, or milliseconds since 1970 [default: now].
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    at: Option<u64>,
    /// The owner's opening of a single receipt, or openings of a proof's commitments: also checks what only the owner can show.
    #[arg(long, value_name = "FILE")]
    opening: Vec<PathBuf>,
    /// Records that a single proof must be about: those that it shows, or that an opening opens.
    #[arg(long, value_name = "DATA")]
    input: Option<PathBuf>,
    /// The model that a proof is about: the file of the registered model, the model's own, or its name in the home.
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Where the results go that a single proof shows, or that an opening opens: .csv, .npy or .json.
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
}

impl Verify {
    /// The verdict on every file; exit 4 when one is rejected.
    pub fn run(self, home: &Home) -> Result<Report, Failure> {
        let reads = self.files.iter().chain(&self.opening).chain(&self.input).chain(&self.model);
        let reads: Vec<&Path> = reads.map(PathBuf::as_path).collect();
        files::apart(&reads, &self.results.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
        let of_one = !self.opening.is_empty() || self.input.is_some() || self.results.is_some();
        if of_one && self.files.len() > 1 {
            return Err(Failure::new(
                "E-USE-02",
                "openings, records and results belong to one receipt or proof",
            )
            .hint("verify the files one by one"));
        }
        let folder = self.roots.clone().unwrap_or_else(|| home.roots());
        let mut roots = None;
        let (mut text, mut verdicts, mut exit) = (String::new(), Vec::new(), 0);
        for path in &self.files {
            let judged = match self.judge(path, &folder, &mut roots, home) {
                // One of several does not hold up the verdicts on the others.
                Err(failure) if self.files.len() > 1 && failure.exit_status() == 4 => rejected(&failure),
                judged => judged?,
            };
            text.push_str(&format!("{}: {}\n", path.display(), judged.said));
            let mut json = judged.json;
            json["file"] = path.display().to_string().into();
            verdicts.push(json);
            exit = exit.max(judged.exit);
        }
        Ok(Report::new(text, serde_json::json!({ "verdicts": verdicts })).exit(exit))
    }

    /// Refuses what would be asked of a file and not be answered: nobody shall take silence for a yes.
    fn only_asks_what(&self, kind: Kind, path: &Path) -> Result<(), Failure> {
        let (what, not_asked) = match kind {
            Kind::Proof => return Ok(()),
            Kind::Registered => ("a registered model", !self.opening.is_empty()),
            Kind::Receipt => ("no proof", false),
        };
        let asked = [
            ("--opening", not_asked),
            ("--input", self.input.is_some()),
            ("--results", self.results.is_some()),
        ];
        let Some((option, _)) = asked.into_iter().find(|(_, asked)| *asked) else { return Ok(()) };
        Err(Failure::new("E-USE-08", format!("{option} says nothing of {}", path.display()))
            .why(format!("the file is {what}; records and results are compared with those of a proof"))
            .hint(format!("leave {option} out")))
    }

    /// The verdict on one file. Trust roots are asked for where something rests on them.
    fn judge(
        &self,
        path: &Path,
        folder: &Path,
        roots: &mut Option<TrustRoots>,
        home: &Home,
    ) -> Result<Judged, Failure> {
        let file = files::read_up_to(path, JUDGED_BYTES_MAX)?;
        let kind = Kind::of(&file);
        self.only_asks_what(kind, path)?;
        if kind == Kind::Proof {
            let results = self.results.as_deref().map(Destination::new).transpose()?;
            let (model, input) = (self.model.as_deref(), self.input.as_deref());
            let with = prove::With { model, openings: &self.opening, input };
            let (said, json, found) = prove::verified(&file, path, &with, home)?;
            match (&results, found) {
                (Some(to), Some(found)) => to.put(&found)?,
                (Some(_), None) => return Err(no_results(path)),
                (None, _) => {}
            }
            return Ok(Judged { said: format!("\n{said}"), json, exit: 0 });
        }
        if kind == Kind::Registered {
            let (said, json) = prove::registered(&file).map_err(|failure| failure.context(path))?;
            return Ok(Judged { said: format!("\n{said}"), json, exit: 0 });
        }
        if let Some(verdict) = sealgrid_verify::unreadable(&file) {
            return Ok(Judged { said: verdict.text(), json: verdict.json(), exit: verdict.exit_status() });
        }
        let opening = match &self.opening[..] {
            [] => None,
            [one] => Some(read_opening(one)?),
            _ => {
                return Err(Failure::new("E-USE-02", "a receipt has one opening")
                    .hint("name the one that was written beside it"));
            }
        };
        let disclosed = opening.as_ref().map(|opening| Disclosure { opening, inputs: None, outputs: None });
        let roots = match roots {
            Some(roots) => roots,
            none => none.insert(roots::read(folder)?),
        };
        let at = self.at.unwrap_or_else(crate::now);
        let verdict = verify(&file, roots, at, disclosed.as_ref(), Some(&*engines::proofs()));
        Ok(Judged { said: verdict.text(), json: verdict.json(), exit: verdict.exit_status() })
    }
}

/// Most bytes of a file that is judged: as many as receipts, proofs and registered models may have.
const JUDGED_BYTES_MAX: u64 = sealgrid_protocol::receipt::FILE_BYTES_MAX as u64;

/// What a file begins as. Whatever is of no kind is judged as a receipt, which it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Proof,
    Registered,
    Receipt,
}

impl Kind {
    fn of(file: &[u8]) -> Self {
        match file {
            _ if file.starts_with(engines::PROOF_MAGIC) => Self::Proof,
            _ if file.starts_with(engines::REGISTERED_MAGIC) => Self::Registered,
            _ => Self::Receipt,
        }
    }
}

/// What is said of one file.
struct Judged {
    said: String,
    json: serde_json::Value,
    exit: u8,
}

/// A file that does not hold.
fn rejected(failure: &Failure) -> Judged {
    let mut json = failure.json();
    json["accepted"] = false.into();
    Judged { said: format!("REJECTED {}\n{failure}", failure.code), json, exit: failure.exit_status() }
}

/// Results were asked for that a proof does not tell.
fn no_results(path: &Path) -> Failure {
    Failure::new("E-USE-06", format!("{} does not tell its results", path.display()))
        .why("it has a commitment to them")
        .hint(format!("sealgrid verify {} --opening OUT.results.opening …", path.display()))
}

fn read_opening(path: &Path) -> Result<Opening, Failure> {
    let bytes = files::read_up_to(path, JUDGED_BYTES_MAX)?;
    Opening::decode(&bytes).map_err(|error| {
        Failure::new(error.code(), format!("{} is not an opening", path.display()))
            .why(error)
            .hint("name the opening that was written beside the receipt")
    })
}

fn parse_time(text: &str) -> Result<u64, String> {
    if let Ok(milliseconds) = text.parse::<u64>() {
        return Ok(milliseconds);
    }
    let time = humantime::parse_rfc3339(text).map_err(|error| error.to_string())?;
    let since = time.duration_since(std::time::UNIX_EPOCH).map_err(|_| "before 1970".to_owned())?;
    u64::try_from(since.as_millis()).map_err(|_| "too far in the future".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_two_spellings() {
        assert_eq!(parse_time("1760000000000"), Ok(1_760_000_000_000));
        assert_eq!(parse_time("1970-01-01T00:00:01Z"), Ok(1_000));
        assert!(parse_time("tomorrow").is_err());
    }
}
