//! `sealgrid run`: records in, results and a receipt out.

use std::path::{Path, PathBuf};

use sealgrid_graph::execute::Batch;
use sealgrid_node::client::{ClientError, Keep, Outcome, Progress};
use sealgrid_protocol::claims::Fault;
use sealgrid_protocol::policy::Plan;
use sealgrid_seal::identity::SigningIdentity;
use sealgrid_seal::secret::{Secret, SecretBytes};

use crate::asking::{self, Asking, Found, KeptAt};
use crate::commands::data::{self, Destination};
use crate::commands::model::file as model_at;
use crate::data::{Cell, Records, Results};
use crate::failure::Failure;
use crate::files;
use crate::home::Home;
use crate::kept::{KeptJob, KeptJobs, Pending};
use crate::local_grid;
use crate::output::{Output, Report, duration, table};

/// Run a model on the grid: records in, results and a receipt out.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// Model file, `mc1:…` commitment, or the name on the model's card.
    #[arg(required_unless_present = "resume")]
    model: Option<String>,
    /// Records: .csv with a header, .npy or .json.
    #[arg(long, value_name = "DATA", required_unless_present = "resume")]
    input: Option<PathBuf>,
    /// Column that identifies records; it stays here and comes back in the results.
    #[arg(long, value_name = "COLUMN")]
    id_col: Option<String>,
    /// Who may see the data, at least: plain, sealed, attested, split, encrypted [default: sealed].
    #[arg(long, value_name = "P", conflicts_with = "policy")]
    protect: Option<String>,
    /// How the result is known to be right, at least: signed, quorum:K, proof [default: quorum:3].
    #[arg(long, value_name = "V", conflicts_with = "policy")]
    verify: Option<String>,
    /// Policy file in TOML instead of the two flags.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Where the results go: .csv, .npy or .json [default: a table on stdout].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where the receipt goes; the owner's opening is written beside it [default: receipts/JOB.receipt in the home].
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// The grid's folder [default: the home's].
    #[arg(long, value_name = "DIR")]
    grid: Option<PathBuf>,
    /// Folder of the trust roots [default: the grid's, else the home's].
    #[arg(long, value_name = "DIR")]
    roots: Option<PathBuf>,
    /// Your storage key: the job is kept in the home, sealed to it, until it is over, so that it outlives this process.
    #[arg(long, value_name = "KEY")]
    keep: Option<String>,
    /// Finish the jobs that are kept in the home, with the nonces they began with.
    #[arg(long, conflicts_with_all = ["model", "input", "keep", "protect", "verify", "policy", "out", "receipt", "id_col", "grid", "roots"])]
    resume: bool,
    /// File whose first line opens your keys; otherwise $SEALGRID_PASSPHRASE, otherwise you are asked.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// What has to be known of a kept job besides what its machine kept: where its results go, as whom it was asked.
#[derive(serde::Serialize, serde::Deserialize)]
struct Command {
    version: u16,
    model: String,
    grid: PathBuf,
    roots: Option<PathBuf>,
    out: Option<PathBuf>,
    receipt: Option<PathBuf>,
    ids: Option<Vec<String>>,
    guarantee: String,
    does_not_hide: Vec<String>,
    assumes: Vec<String>,
}

/// Rows of results that a person gets to see when they go nowhere else.
const ROWS_SHOWN: usize = 10;

impl Run {
    /// Plans, runs, verifies, keeps the receipt.
    pub fn run(self, home: &Home, output: Output) -> Result<Report, Failure> {
        if self.resume {
            return self.resume(home, output);
        }
        let (Some(model), Some(input)) = (&self.model, &self.input) else {
            unreachable!("clap demands both without --resume")
        };
        let named = [Some(input), self.policy.as_ref(), self.passphrase_file.as_ref()];
        let model_file = model_at(Path::new(model), home);
        let reads: Vec<&Path> =
            named.into_iter().flatten().map(PathBuf::as_path).chain([&*model_file]).collect();
        let opening = self.receipt.as_ref().map(|receipt| receipt.with_extension("opening"));
        let writes = [&self.out, &self.receipt, &opening].into_iter().flatten().map(PathBuf::as_path);
        files::apart(&reads, &writes.collect::<Vec<_>>())?;
        let policy = asking::policy(self.policy.as_deref(), self.protect.as_deref(), self.verify.as_deref())?;
        let records = data::records(input, self.id_col.as_deref(), home, self.passphrase_file.as_deref())?;
        let grid = local_grid::existing(self.grid.clone(), home)?;
        let trust = asking::trust_roots(self.roots.as_deref(), &grid, home)?;
        // Before anything is sent: what has no place to go to is not asked for.
        let _places = Places::of(self.out.as_deref(), self.receipt.clone(), home)?;
        let kept_jobs = match &self.keep {
            Some(name) => Some(KeptJobs::open(home, Some(name), self.passphrase_file.as_deref())?),
            None => None,
        };
        // A fresh identity for every run: nodes cannot link two runs by it.
        let identity = SigningIdentity::generate(&mut crate::entropy());
        let asking = Asking::open(&grid, trust, identity.duplicate())?;
        let found = asking.find(model, home)?;
        let (inputs, unused) = asking::encode(&records, &found.public)?;
        if !unused.is_empty() {
            output.say(format!("columns that stay here: {}", unused.join(", ")));
        }
        let count = u32::try_from(records.rows.len()).unwrap_or(u32::MAX);
        let plan = asking.plan(&policy, &found, count)?;
        output.say(format!("plan: {}", plan.guarantee));
        let command = self.command(&found, grid.path(), &records, &plan);
        let kept = match &kept_jobs {
            Some(jobs) => Some(jobs.begin(&to_bytes(&identity, &command))?),
            None => None,
        };
        let keep = kept.as_ref().map(|kept| kept as &dyn Keep);
        let steps = 3 * plan.members as u64 + 2;
        let ended = asking.run_kept(
            &policy,
            &plan,
            &found,
            inputs.clone(),
            keep,
            &mut narrated(&asking, output, steps),
        );
        let report = ended.map_err(|error| (refused(&asking, &error), is_over(&error))).and_then(|outcome| {
            delivered(&asking, &found, &outcome, &inputs, &command, home).map_err(|failure| (failure, false))
        });
        ended_with(report, kept, asking)
    }

    fn command(&self, found: &Found, grid: &Path, records: &Records, plan: &Plan) -> Command {
        // Another process may take the job up in another folder; otherwise a path is repeated as it was typed.
        let absolute = |path: &PathBuf| match self.keep {
            Some(_) => std::path::absolute(path).unwrap_or_else(|_| path.clone()),
            None => path.clone(),
        };
        // The graph is here only when the model was named by its file: then it is named so again.
        let model = match (&found.graph, &self.model) {
            (Some(_), Some(name)) if Path::new(name).exists() => {
                absolute(&PathBuf::from(name)).display().to_string()
            }
            (Some(_), Some(name)) => name.clone(),
            _ => found.commitment.to_string(),
        };
        Command {
            version: 1,
            model,
            grid: absolute(&grid.to_owned()),
            roots: self.roots.as_ref().map(absolute),
            out: self.out.as_ref().map(absolute),
            receipt: self.receipt.as_ref().map(absolute),
            ids: records.ids.clone(),
            guarantee: plan.guarantee.clone(),
            does_not_hide: plan.does_not_hide.iter().map(ToString::to_string).collect(),
            assumes: plan.assumes.iter().map(ToString::to_string).collect(),
        }
    }

    /// Finishes every kept job that can be finished; one that fails does not hold up the others.
    fn resume(self, home: &Home, output: Output) -> Result<Report, Failure> {
        let jobs = KeptJobs::open(home, None, self.passphrase_file.as_deref())?;
        let mut finished = Vec::new();
        let mut failed = Vec::new();
        for pending in jobs.pending()? {
            match pending.and_then(|pending| resumed(pending, home, output)) {
                Ok(report) => finished.push(report),
                Err(failure) => failed.push(failure),
            }
        }
        if !failed.is_empty() {
            // The failure takes the report's place; who is finished is said before it.
            finished.iter().for_each(|report| output.say(report.text.clone()));
            return Err(several(failed));
        }
        let texts: Vec<&str> = finished.iter().map(|report| report.text.as_str()).collect();
        let text = if texts.is_empty() { "no job is kept in this home".to_owned() } else { texts.join("\n") };
        let json: Vec<&serde_json::Value> = finished.iter().map(|report| &report.json).collect();
        Ok(Report::new(text, serde_json::json!({ "resumed": json })))
    }
}

/// The first failure, with the others as further reasons.
fn several(mut failures: Vec<Failure>) -> Failure {
    let first = failures.remove(0);
    if failures.is_empty() {
        return first;
    }
    let others = failures.iter().map(|failure| format!("another job: {} {}", failure.code, failure.what));
    let why: Vec<String> = first.why.iter().cloned().chain(others).collect();
    first.why(why.join("; "))
}

/// One kept job to its end.
fn resumed(pending: Pending, home: &Home, output: Output) -> Result<Report, Failure> {
    let Pending { job: kept, command, records } = pending;
    let (identity, command) = from_bytes(&command)?;
    let grid = local_grid::existing(Some(command.grid.clone()), home)?;
    let trust = asking::trust_roots(command.roots.as_deref(), &grid, home)?;
    let asking = Asking::open(&grid, trust, identity)?;
    let found = asking.find(&command.model, home)?;
    output.say("taking up a kept job");
    let ended = asking.resume(records, &found, &kept, &mut narrated(&asking, output, 11));
    let report = ended.map_err(|error| (refused(&asking, &error), is_over(&error))).and_then(|resumed| {
        delivered(&asking, &found, &resumed.outcome, &resumed.inputs, &command, home)
            .map_err(|failure| (failure, false))
    });
    ended_with(report, Some(kept), asking)
}

/// A kept job stays only where another try may end it.
fn ended_with(
    report: Result<Report, (Failure, bool)>,
    kept: Option<KeptJob>,
    asking: Asking,
) -> Result<Report, Failure> {
    asking.close();
    match report {
        Ok(report) => {
            kept.map_or(Ok(()), KeptJob::end)?;
            Ok(report)
        }
        Err((failure, over)) => {
            match kept {
                Some(kept) if over => kept.end()?,
                Some(_) => return Err(failure.hint("the job is kept: sealgrid run --resume")),
                None => {}
            }
            Err(failure)
        }
    }
}

/// Whether no later try can end the job.
fn is_over(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused(_) | ClientError::NothingKept | ClientError::Plan(_))
}

/// Where everything goes.
struct Places {
    kept: KeptAt,
    results: Option<Destination>,
}

impl Places {
    /// A receipt without a name gets that of its job, when there is one; its folder is known.
    fn of(out: Option<&Path>, receipt: Option<PathBuf>, home: &Home) -> Result<Self, Failure> {
        let receipt = receipt.unwrap_or_else(|| home.path().join("receipts").join("JOB.receipt"));
        Ok(Self { kept: KeptAt::new(receipt)?, results: out.map(Destination::new).transpose()? })
    }
}

/// Judges, keeps the receipt, writes the results.
fn delivered(
    asking: &Asking,
    found: &Found,
    outcome: &Outcome,
    inputs: &[Batch],
    command: &Command,
    home: &Home,
) -> Result<Report, Failure> {
    let verdict = asking.judge(outcome, inputs);
    let default =
        || home.path().join("receipts").join(format!("{}.receipt", &outcome.claims.job.0.to_string()[..16]));
    let receipt = command.receipt.clone().unwrap_or_else(default);
    let places = Places::of(command.out.as_deref(), Some(receipt), home)?;
    let kept = places.kept.keep(outcome)?;
    if !verdict.is_accepted() {
        return Err(Failure::new(
            verdict.code().unwrap_or("E-VER-01"),
            "the receipt does not verify; no result is given",
        )
        .why(verdict.text())
        .hint(format!("sealgrid verify {}", kept.receipt.display()))
        .exit(4));
    }
    let rows = vec![Vec::new(); inputs.first().map_or(0, Batch::records)];
    let records = Records { columns: None, rows, ids: command.ids.clone() };
    let results = asking::decode(&outcome.outputs, &found.public, &records);
    if let Some(out) = &places.results {
        out.put(&results)?;
    }
    let roots = local_grid::LocalGrid::at(&command.grid).roots();
    Ok(report(asking, outcome, command, &results, &kept, &roots))
}

/// The client's seed, then the command as JSON.
fn to_bytes(identity: &SigningIdentity, command: &Command) -> SecretBytes {
    let command = serde_json::to_vec(command).expect("names and paths are text");
    SecretBytes::new([&identity.seed().expose()[..], &command].concat())
}

fn from_bytes(bytes: &SecretBytes) -> Result<(SigningIdentity, Command), Failure> {
    let (seed, command) = bytes.expose().split_first_chunk::<32>().ok_or_else(not_kept)?;
    let identity = SigningIdentity::from_seed(&Secret::fill(|out| out.copy_from_slice(seed)));
    let command: Option<Command> = serde_json::from_slice(command).ok();
    let command = command.filter(|command| command.version == 1).ok_or_else(not_kept)?;
    Ok((identity, command))
}

fn not_kept() -> Failure {
    Failure::new("E-AVL-29", "what was kept is no job of this version")
        .hint("finish it with the version that began it, or remove it from jobs/ in the home")
}

fn report(
    asking: &Asking,
    outcome: &Outcome,
    command: &Command,
    results: &Results,
    kept: &asking::Kept,
    roots: &Path,
) -> Report {
    let claims = &outcome.claims;
    let out = command.out.as_deref();
    let mut text = String::new();
    match out {
        Some(path) => text.push_str(&format!("{} results in {}\n", results.rows.len(), path.display())),
        None => text.push_str(&shown(results)),
    }
    for fault in &claims.faults {
        text.push_str(&format!("{}\n", fault_text(asking, outcome, fault)));
    }
    text.push_str(&format!(
        "{}, {}; {} records in {}, logged after {}\nreceipt  {}\nopening  {} (yours alone)\nverify   sealgrid verify {} --roots {}\n",
        claims.protection_used,
        claims.verification_used,
        claims.records,
        duration(outcome.result_after),
        duration(outcome.logged_after),
        kept.receipt.display(),
        kept.opening.display(),
        kept.receipt.display(),
        roots.display(),
    ));
    let json = serde_json::json!({
        "job": claims.job.to_string(),
        "model": claims.model.to_string(),
        "protection": claims.protection_used.to_string(),
        "verification": claims.verification_used.to_string(),
        "records": claims.records,
        "guarantee": command.guarantee,
        "does_not_hide": command.does_not_hide,
        "assumes": command.assumes,
        "faults": faults_json(outcome),
        "result_ns": u64::try_from(outcome.result_after.as_nanos()).unwrap_or(u64::MAX),
        "logged_ns": u64::try_from(outcome.logged_after.as_nanos()).unwrap_or(u64::MAX),
        "receipt": kept.receipt,
        "opening": kept.opening,
        "out": out,
        "results": if out.is_none() { results.to_json() } else { serde_json::Value::Null },
    });
    Report::new(text, json)
}

fn shown(results: &Results) -> String {
    let mut out = table(results.columns.clone());
    for row in results.rows.iter().take(ROWS_SHOWN) {
        out.add_row(row.iter().map(|cell| match cell {
            Cell::Number(number) => format!("{number:.4}"),
            Cell::Text(text) => text.clone(),
        }));
    }
    let rest = results.rows.len().saturating_sub(ROWS_SHOWN);
    if rest > 0 {
        format!("{out}\n… and {rest} more; write all with --out FILE\n")
    } else {
        format!("{out}\n")
    }
}

/// Who did what, and whether the receipt shows it.
pub fn fault_text(asking: &Asking, outcome: &Outcome, fault: &Fault) -> String {
    let word = if outcome.shows(fault) { "" } else { " (your word: the receipt has no evidence of it)" };
    format!("{} {}{word}", asking.node_name(&fault.node), fault.kind)
}

/// Faults for JSON.
pub fn faults_json(outcome: &Outcome) -> serde_json::Value {
    let faults = outcome.claims.faults.iter();
    faults
        .map(|fault| serde_json::json!({
            "node": fault.node.to_string(), "kind": fault.kind.word(), "proven": outcome.shows(fault), "text": fault.kind.to_string(),
        }))
        .collect()
}

/// A refusal with the names of those at fault.
pub fn refused(asking: &Asking, error: &ClientError) -> Failure {
    let failure = asking::failed(error);
    let ClientError::Refused(refused) = error else { return failure };
    let named: Vec<String> = refused
        .faults
        .iter()
        .map(|fault| format!("{} {}", asking.node_name(&fault.node), fault.kind))
        .collect();
    if named.is_empty() {
        return failure;
    }
    failure.why(named.join("; ")).hint("run again: another committee is drawn")
}

/// Draws progress, and says who was found at fault.
fn narrated(asking: &Asking, output: Output, steps: u64) -> impl FnMut(Progress) + Send {
    let mut bar = output.progress("running", steps);
    let mut done = 0;
    move |progress| {
        done = steps.min(done + 1);
        match progress {
            Progress::AtFault(fault) => {
                output.say(format!("{} {}", asking.node_name(&fault.node), fault.kind));
            }
            Progress::Declined(node, why) => {
                output.say(format!("{}: {why} ({})", asking.node_name(&node), why.code()));
            }
            Progress::Drawn { .. } => bar.at(done, "drawn"),
            Progress::Assigned(_) => bar.at(done, "sealed and sent"),
            Progress::Answered(_) => bar.at(done, "answered"),
            Progress::Checking => bar.at(done, "checking the proof"),
            Progress::Revealed(_) => bar.at(done, "revealed"),
            Progress::Bisecting(_) => bar.at(done, "nodes differ: bisecting"),
            Progress::Refereeing(_) => bar.at(done, "a referee re-executes one operation"),
            Progress::Signing(_) => bar.at(done, "signing the receipt"),
            Progress::Logging => bar.at(done, "logging"),
            Progress::Logged { .. } => bar.at(steps, "logged"),
        }
    }
}
