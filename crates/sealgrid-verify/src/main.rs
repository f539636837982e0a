//! `sealgrid-verify`: the verifier and nothing else, for whoever wants to audit or to ship no more than that. Receipts, proofs and registered
//! models in, a verdict a line out, as JSON.

use std::io::{Write as _, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use sealgrid_verify::{TrustRoots, proofs, verify};
use serde_json::{Value, json};

const USAGE: &str = "\
Check receipts, proofs and registered models offline; one JSON verdict a line

Usage: sealgrid-verify [--roots DIR] [--model FILE.sgr] [--at MILLISECONDS] FILE...

  --roots DIR         Folder of the trust roots that receipts rest on
  --model FILE.sgr    What was published of the model that proofs are about
  --at MILLISECONDS   Judge as of this time, since 1970 [default: now]

Exit 0: all accepted. 2: called wrongly, or a file cannot be read. 4: something is rejected.";

/// What was asked.
#[derive(Default)]
struct Asked {
    roots: Option<PathBuf>,
    model: Option<PathBuf>,
    at: Option<u64>,
    files: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        return said(&writeln!(stdout(), "{USAGE}"), ExitCode::SUCCESS);
    }
    match Asked::of(arguments).and_then(|asked| asked.judge_all()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(4),
        Err(why) => said(&writeln!(stderr(), "error: {why}\n\n{USAGE}"), ExitCode::from(2)),
    }
}

/// What is said has to get somewhere, or no exit status stands for it.
fn said(written: &std::io::Result<()>, status: ExitCode) -> ExitCode {
    if written.is_ok() { status } else { ExitCode::from(2) }
}

impl Asked {
    fn of(arguments: Vec<std::ffi::OsString>) -> Result<Self, String> {
        let mut asked = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{} needs a value", argument.display()));
            match argument.to_str() {
                Some("--roots") => asked.roots = Some(value()?.into()),
                Some("--model") => asked.model = Some(value()?.into()),
                Some("--at") => {
                    let at = value()?;
                    let at = at.to_str().and_then(|at| at.parse().ok());
                    asked.at = Some(at.ok_or("--at takes milliseconds since 1970")?);
                }
                Some(option) if option.starts_with("--") => return Err(format!("no option {option}")),
                _ => asked.files.push(argument.into()),
            }
        }
        if asked.files.is_empty() { Err("no file was named".to_owned()) } else { Ok(asked) }
    }

    /// Prints a verdict on each file; whether all are accepted.
    fn judge_all(&self) -> Result<bool, String> {
        let mut all = true;
        for path in &self.files {
            let mut verdict = self.judge(&read(path)?)?;
            verdict["file"] = path.display().to_string().into();
            all &= verdict["accepted"] == true;
            writeln!(stdout(), "{verdict}")
                .map_err(|error| format!("the verdict cannot be told: {error}"))?;
        }
        Ok(all)
    }

    fn judge(&self, file: &[u8]) -> Result<Value, String> {
        let judged = if file.starts_with(proofs::PROOF_MAGIC) {
            let model = self.model.as_ref().ok_or("a proof is checked with --model FILE.sgr")?;
            proofs::judge_proof(file, &read(model)?)
        } else if file.starts_with(proofs::REGISTERED_MAGIC) {
            proofs::judge_registered(file)
        } else {
            return self.judge_receipt(file);
        };
        Ok(judged.unwrap_or_else(
            |rejected| json!({ "accepted": false, "code": rejected.code, "why": rejected.what }),
        ))
    }

    fn judge_receipt(&self, file: &[u8]) -> Result<Value, String> {
        let folder = self.roots.as_ref().ok_or("a receipt rests on trust roots: --roots DIR")?;
        let text = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let roots = TrustRoots::from_files(&text(TrustRoots::AUTHORITY_FILE)?, &text(TrustRoots::LOG_FILE)?);
        let roots = roots.map_err(|error| format!("{} holds no trust roots: {error}", folder.display()))?;
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_millis().try_into().ok();
        let at = self.at.or_else(now).ok_or("the clock stands before 1970: --at MILLISECONDS")?;
        Ok(verify(file, &roots, at, None, Some(&proofs::verifiers())).json())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}
