//! `sealgrid run`: records in, results and a receipt out.

use std::path::{Path, PathBuf};

use sealgrid_node::client::{ClientError, Outcome, Progress};
use sealgrid_protocol::claims::Fault;
use sealgrid_protocol::policy::Plan;
use sealgrid_seal::identity::SigningIdentity;

use crate::asking::{self, Asking};
use crate::data::{Cell, Records, Results};
use crate::failure::Failure;
use crate::home::Home;
use crate::local_grid;
use crate::output::{Output, Report, duration, table};

/// Run a model on the grid: records in, results and a receipt out.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// Model file, `mc1:…` commitment, or the name on the model's card.
    model: String,
    /// Records: .csv with a header, .npy or .json.
    #[arg(long, value_name = "DATA")]
    input: PathBuf,
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
}

/// Rows of results that a person gets to see when they go nowhere else.
const ROWS_SHOWN: usize = 10;

impl Run {
    /// Plans, runs, verifies, keeps the receipt.
    pub fn run(self, home: &Home, output: Output) -> Result<Report, Failure> {
        let policy = asking::policy(self.policy.as_deref(), self.protect.as_deref(), self.verify.as_deref())?;
        let records = Records::read(&self.input, self.id_col.as_deref())?;
        let grid = local_grid::existing(self.grid, home)?;
        let trust = asking::trust_roots(self.roots.as_deref(), &grid, home)?;
        // A fresh identity for every run: nodes cannot link two runs by it.
        let asking = Asking::open(&grid, trust, SigningIdentity::generate(&mut crate::entropy()))?;
        let found = asking.find(&self.model, home)?;
        let (inputs, unused) = asking::encode(&records, &found.public)?;
        if !unused.is_empty() {
            output.say(format!("columns that stay here: {}", unused.join(", ")));
        }
        let count = u32::try_from(records.rows.len()).unwrap_or(u32::MAX);
        let plan = asking.plan(&policy, &found, count)?;
        output.say(format!("plan: {}", plan.guarantee));
        let outcome = asking
            .run(&policy, &plan, &found, inputs.clone(), &mut narrated(&asking, output, &plan))
            .map_err(|error| refused(&asking, &error))?;
        let verdict = asking.judge(&outcome, &inputs);
        let default = || {
            home.path().join("receipts").join(format!("{}.receipt", &outcome.claims.job.0.to_string()[..16]))
        };
        let kept = asking::keep(&outcome, self.receipt.unwrap_or_else(default))?;
        if !verdict.is_accepted() {
            return Err(Failure::new(
                verdict.code().unwrap_or("E-VER-01"),
                "the receipt does not verify; no result is given",
            )
            .why(verdict.text())
            .hint(format!("sealgrid verify {}", kept.receipt.display()))
            .exit(4));
        }
        let results = asking::decode(&outcome.outputs, &found.public, &records);
        if let Some(out) = &self.out {
            results.write(out)?;
        }
        let report = report(&asking, &outcome, &plan, &results, self.out.as_deref(), &kept, &grid.roots());
        asking.close();
        Ok(report)
    }
}

fn report(
    asking: &Asking,
    outcome: &Outcome,
    plan: &Plan,
    results: &Results,
    out: Option<&Path>,
    kept: &asking::Kept,
    roots: &Path,
) -> Report {
    let claims = &outcome.claims;
    let mut text = String::new();
    match out {
        Some(path) => text.push_str(&format!("{} results in {}\n", results.rows.len(), path.display())),
        None => text.push_str(&shown(results)),
    }
    for fault in &claims.faults {
        text.push_str(&format!("{} {}\n", asking.node_name(&fault.node), fault.kind));
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
        "guarantee": plan.guarantee,
        "does_not_hide": plan.does_not_hide,
        "assumes": plan.assumes,
        "faults": faults_json(&claims.faults),
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

/// Faults for JSON.
pub fn faults_json(faults: &[Fault]) -> serde_json::Value {
    faults
        .iter()
        .map(|fault| serde_json::json!({
            "node": fault.node.to_string(), "kind": fault.kind.word(), "proven": fault.kind.is_proven(), "text": fault.kind.to_string(),
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
fn narrated<'a>(asking: &'a Asking, output: Output, plan: &Plan) -> impl FnMut(Progress) + Send + 'a {
    let steps = 3 * plan.members as u64 + 2;
    let mut bar = output.progress("running", steps);
    let mut done = 0;
    move |progress| {
        done = steps.min(done + 1);
        match progress {
            Progress::AtFault(fault) => {
                output.say(format!("{} {}", asking.node_name(&fault.node), fault.kind));
            }
            Progress::Drawn { .. } => bar.at(done, "drawn"),
            Progress::Assigned(_) => bar.at(done, "sealed and sent"),
            Progress::Answered(_) => bar.at(done, "answered"),
            Progress::Revealed(_) => bar.at(done, "revealed"),
            Progress::Bisecting(_) => bar.at(done, "nodes differ: bisecting"),
            Progress::Refereeing(_) => bar.at(done, "a referee re-executes one operation"),
            Progress::Signing(_) => bar.at(done, "signing the receipt"),
            Progress::Logging => bar.at(done, "logging"),
            Progress::Logged { .. } => bar.at(steps, "logged"),
        }
    }
}
