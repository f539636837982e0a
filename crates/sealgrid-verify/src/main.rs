//! `sealgrid-verify`: the verifier and nothing else, for whoever wants to audit or to ship no more than that. Receipts, proofs and registered
//! models in, a verdict a line out, as JSON.

use std::fs::File;
use std::io::{Read as _, Write as _, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use sealgrid_verify::TrustRoots;
use sealgrid_verify::files::{self, Given, NotGiven};

const USAGE: &str = "\
Check receipts, proofs and registered models offline; one JSON verdict a line

Usage: sealgrid-verify [--roots DIR] [--model FILE] [--at MILLISECONDS] FILE...

  --roots DIR         Folder of the trust roots that receipts rest on
  --model FILE        What was published of the model that proofs are about (.sgr), or
                      the model itself, where they are about one whose weights are told (.sgm)
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
        let model = self.model.as_deref().map(|model| read(model, MODEL_MIB_MAX)).transpose()?;
        let roots = self.roots()?;
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_millis().try_into().ok();
        let given = Given { model: model.as_deref(), roots: roots.as_ref(), at: self.at.or_else(now) };
        let mut all = true;
        for path in &self.files {
            let mut verdict = files::judge(&read(path, JUDGED_MIB_MAX)?, &given).map_err(asked_for)?;
            verdict["file"] = path.display().to_string().into();
            all &= files::is_accepted(&verdict);
            writeln!(stdout(), "{verdict}")
                .map_err(|error| format!("the verdict cannot be told: {error}"))?;
        }
        Ok(all)
    }

    /// What a verdict may rest on, as it was named.
    fn roots(&self) -> Result<Option<TrustRoots>, String> {
        let Some(folder) = &self.roots else { return Ok(None) };
        let text = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let roots = TrustRoots::from_files(&text(TrustRoots::AUTHORITY_FILE)?, &text(TrustRoots::LOG_FILE)?);
        roots.map(Some).map_err(|error| format!("{} holds no trust roots: {error}", folder.display()))
    }
}

/// What a person does about what is missing.
fn asked_for(missing: NotGiven) -> String {
    let option = match missing {
        NotGiven::Model | NotGiven::Published => "--model FILE",
        NotGiven::Roots => "--roots DIR",
        NotGiven::Time => "--at MILLISECONDS",
    };
    format!("{missing}: {option}")
}

/// Most bytes of a file that is judged: as many as receipts, proofs and registered models may have.
const JUDGED_MIB_MAX: u64 = 64;
/// Most bytes of a model.
const MODEL_MIB_MAX: u64 = 1024;

/// Reads a file, or no more of it than its kind may have.
fn read(path: &Path, mebibytes_max: u64) -> Result<Vec<u8>, String> {
    let most = mebibytes_max << 20;
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(format!("{}: {error}", path.display())),
        Ok(length) if length as u64 > most => {
            Err(format!("{} is larger than {mebibytes_max} MiB", path.display()))
        }
        Ok(_) => Ok(bytes),
    }
}
