//! `sealgrid demo`: a local grid in one process tree; the main job in every mode that exists; a table; ends by itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealgrid_graph::execute::{Batch, Prepared};
use sealgrid_graph::model::Model;
use sealgrid_node::client::{ClientError, Outcome, Progress};
use sealgrid_node::fault::Fault;
use sealgrid_protocol::policy::Policy;
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};
use sealgrid_verify::verify;

use super::data::Destination;
use super::run::{fault_text, faults_json, refused};
use crate::asking::{self, Asking, Found};
use crate::data::Records;
use crate::failure::{Failure, unwritable};
use crate::local_grid::{Layout, LocalGrid};
use crate::output::{Output, Report, duration, table};
use crate::shipped::Shipped;
use crate::{engines, roots};

/// Start a grid of five node processes, score real records on it in every mode, catch a liar, verify offline, stop.
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// How nodes misbehave: lie, slow, crash or none; repeat it for several nodes.
    #[arg(long, value_name = "KIND", default_values_t = [FaultWord::Lie])]
    fault: Vec<FaultWord>,
    /// Where receipts, trust roots and results go.
    #[arg(long, value_name = "DIR", default_value = "sealgrid-demo")]
    dir: PathBuf,
    /// Jobs at most until every misbehaving node has sat in one committee: a draw that nobody controls seats three of five
    /// with probability 1/10, two with 3/10.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..))]
    draws: u16,
}

/// Misbehaviour on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FaultWord {
    /// Every node is honest.
    None,
    /// A wrong result, consistent with itself.
    Lie,
    /// No answer in time.
    Slow,
    /// The process ends when it is given work.
    Crash,
}

impl std::fmt::Display for FaultWord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Lie => "lie",
            Self::Slow => "slow",
            Self::Crash => "crash",
        })
    }
}

impl FaultWord {
    const fn fault(self) -> Option<Fault> {
        match self {
            Self::None => None,
            Self::Lie => Some(Fault::Lie),
            Self::Slow => Some(Fault::Slow),
            Self::Crash => Some(Fault::Crash),
        }
    }
}

/// Nodes of the grid.
const NODES: usize = 5;
/// Openings of the model's registration, for all nodes together.
const OPENINGS: u32 = 64;
/// Who checks the proven receipt, each with nothing but the file and the trust roots.
const VALIDATORS: usize = 3;
/// Time that a job has; a slow member is given up after a third of it.
const DEADLINE_MS: u64 = 6_000;

/// The mode whose receipts anybody can check without trusting a node.
const PROVEN: &str = "sealed, proof";

/// One mode's line of the table.
struct Line {
    mode: &'static str,
    outcome: Option<Outcome>,
    time: Duration,
    equal: bool,
    checked: String,
}

impl Demo {
    /// The whole story.
    pub fn run(self, output: Output) -> Result<Report, Failure> {
        let started = Instant::now();
        let faults: Vec<Fault> = self.fault.iter().filter_map(|word| word.fault()).collect();
        if faults.len() > 3 {
            return Err(Failure::new("E-USE-04", "at most three nodes misbehave in the demonstration")
                .why("five nodes, of which three form a committee"));
        }
        prepare(&self.dir)?;
        let scratch =
            tempfile::tempdir().map_err(|error| unwritable(Path::new("the temporary folder"), &error))?;

        output.say("model owner: importing an ONNX model trained on the Wisconsin breast-tumour data");
        let shipped = Shipped::named("breast-cancer-mlp").expect("it ships");
        let imported = shipped.import()?;
        output.say("model owner: registering its weights, so that runs are proven without telling them");
        let (model, _) = engines::register(imported, OPENINGS, engines::Level::default())?;
        let model_file = scratch.path().join("breast-cancer-mlp.sgm");
        std::fs::write(&model_file, model.to_bytes()).map_err(|error| unwritable(&model_file, &error))?;

        // Node 1 writes the log, nodes 2 and 3 are its witnesses; the last ones misbehave.
        let faults: Vec<(usize, Fault)> =
            faults.iter().enumerate().map(|(index, fault)| (NODES - index, *fault)).collect();
        let grid = LocalGrid::at(scratch.path().join("grid"));
        let share = OPENINGS / u32::try_from(NODES).expect("a few");
        grid.lay_out(&Layout {
            nodes: NODES,
            openings: [(model_file.clone(), share)].into(),
            models: vec![model_file],
            faults: faults.clone(),
        })?;
        let processes = grid.start()?;
        output.say(format!(
            "grid: {NODES} processes, each with its own identity, data folder and QUIC endpoint"
        ));

        let trust = roots::read(&grid.roots())?;
        roots::write(&self.dir.join("roots"), &trust)?;
        let asking = Asking::open(&grid, trust, SigningIdentity::generate(&mut crate::entropy()))?;
        let told = self.story(&asking, &grid, &model, &faults, output);
        asking.close();
        let drained = processes.stop();
        let told = told?;
        output.say("every process has ended; verifying offline, from files alone");
        let verdicts = self.verify_offline(&told)?;
        let agreed = self.validate()?;
        Ok(self.report(&told, &verdicts, agreed, drained, started.elapsed()))
    }

    /// Everything between start and stop of the grid.
    fn story(
        &self,
        asking: &Asking,
        grid: &LocalGrid,
        model: &Model,
        faults: &[(usize, Fault)],
        output: Output,
    ) -> Result<Told, Failure> {
        let records = Shipped::named("breast-cancer-mlp").expect("it ships").records()?;
        // Of the model the hospital knows what nodes publish: its card. It does not hold the weights.
        let found = asking.fetched(model.commitment())?;
        let (inputs, _) = asking::encode(&records, &found.public)?;
        let (plain, plain_time) = run_plain(model, &inputs)?;
        let faulty = identities(asking, grid, faults)?;

        let signed = policy("signed")?;
        let plan = asking.plan(&signed, &found, count(&records))?;
        let outcome = asking.run(&signed, &plan, &found, inputs.clone(), &mut |_| {});
        let outcome = outcome.map_err(|error| refused(asking, &error))?;
        let signed =
            self.line(asking, "sealed, signed", outcome, &plain, &inputs, "a signature: who said it")?;

        let quorum = policy("quorum:3")?;
        let (outcome, jobs) = until_seated(asking, &quorum, &found, &inputs, &faulty, self.draws, output)?;
        let checked = "three nodes committed, then revealed; equality; bisection; a referee";
        let quorum = self.line(asking, "sealed, quorum:3", outcome, &plain, &inputs, checked)?;
        if !quorum.equal {
            // One honest member is enough for a refusal; a committee without any is outside what a quorum assumes.
            return Err(Failure::new("E-QRM-25", "the committee agreed on a result that is not the model's")
                .why(
                    "a lie is refused while one member is honest; here all three lie, and alike, so that nothing in \
                     the receipt can tell",
                )
                .hint("ask for fewer liars: sealgrid demo --fault lie")
                .exit(4));
        }

        let proof = policy("proof")?;
        let plan = asking.plan(&proof, &found, count(&records))?;
        let outcome = asking.run(&proof, &plan, &found, inputs.clone(), &mut |progress| {
            if let Progress::AtFault(fault) = progress {
                output.say(format!("  {} {}", asking.node_name(&fault.node), fault.kind));
            }
        });
        let outcome = outcome.map_err(|error| refused(asking, &error))?;
        let checked = "a zero-knowledge proof, checked before the result was taken";
        let proven = self.line(asking, PROVEN, outcome, &plain, &inputs, checked)?;

        let results =
            asking::decode(&quorum.outcome.as_ref().expect("it ran").outputs, &found.public, &records);
        Destination::new(&self.dir.join("results.csv"))?.put(&results)?;
        let right = right(&results, &records);
        let plain = Line {
            mode: "plain, on this machine",
            outcome: None,
            time: plain_time,
            equal: true,
            checked: "nobody: trust whoever runs it".to_owned(),
        };
        let names = |nodes: &[PublicIdentity]| nodes.iter().map(|node| asking.node_name(node)).collect();
        let claims = &quorum.outcome.as_ref().expect("it ran").claims;
        let jobs_told = [&quorum, &proven].map(|line| line.outcome.as_ref().expect("it ran"));
        let named = jobs_told
            .into_iter()
            .flat_map(|outcome| outcome.claims.faults.iter().map(|fault| fault_text(asking, outcome, fault)));
        Ok(Told {
            records: records.rows.len(),
            right,
            committee: names(&claims.committee),
            faults: named.collect(),
            jobs,
            lines: vec![plain, signed, quorum, proven],
        })
    }

    /// Checks a result as its owner and keeps its receipt.
    fn line(
        &self,
        asking: &Asking,
        mode: &'static str,
        outcome: Outcome,
        plain: &[Batch],
        inputs: &[Batch],
        checked: &str,
    ) -> Result<Line, Failure> {
        let verdict = asking.judge(&outcome, inputs);
        if !verdict.is_accepted() {
            return Err(Failure::new(verdict.code().unwrap_or("E-VER-01"), "a receipt does not verify")
                .why(verdict.text())
                .exit(4));
        }
        asking::KeptAt::new(self.dir.join(receipt_name(mode)))?.keep(&outcome)?;
        let equal = outcome.outputs == plain;
        let time = outcome.result_after;
        Ok(Line { mode, outcome: Some(outcome), time, equal, checked: checked.to_owned() })
    }

    /// Reads back what was written and judges it with nothing but the trust roots.
    fn verify_offline(&self, told: &Told) -> Result<Vec<(String, bool, String)>, Failure> {
        let trust = roots::read(&self.dir.join("roots"))?;
        let mut verdicts = Vec::new();
        for line in told.lines.iter().filter(|line| line.outcome.is_some()) {
            let name = receipt_name(line.mode);
            let path = self.dir.join(&name);
            let file = std::fs::read(&path).map_err(|error| crate::failure::unreadable(&path, &error))?;
            let verdict = verify(&file, &trust, crate::now(), None, Some(&*engines::proofs()));
            if !verdict.is_accepted() {
                return Err(Failure::new(
                    verdict.code().unwrap_or("E-VER-01"),
                    format!("{name} does not verify offline"),
                )
                .why(verdict.text())
                .exit(4));
            }
            verdicts.push((name, true, verdict.text()));
        }
        Ok(verdicts)
    }

    /// Has processes of their own judge the proven receipt, which hold nothing but commitments: the file and the trust roots, in
    /// a folder of their own and with an empty home. How long the slowest took.
    fn validate(&self) -> Result<Duration, Failure> {
        let unusable =
            |error: std::io::Error| Failure::new("E-AVL-02", "a validator cannot start").why(error);
        let program = std::env::current_exe().map_err(unusable)?;
        let name = receipt_name(PROVEN);
        let mut slowest = Duration::ZERO;
        for validator in 1..=VALIDATORS {
            let folder = tempfile::tempdir().map_err(unusable)?;
            let (receipt, roots) = (folder.path().join(&name), folder.path().join("roots"));
            std::fs::copy(self.dir.join(&name), &receipt).map_err(unusable)?;
            roots::write(&roots, &roots::read(&self.dir.join("roots"))?)?;
            let started = Instant::now();
            let mut command = std::process::Command::new(&program);
            command.env_clear().current_dir(folder.path()).args(["verify", "--home"]).arg(folder.path());
            let output = command.arg(&receipt).arg("--roots").arg(&roots).output().map_err(unusable)?;
            slowest = slowest.max(started.elapsed());
            if !output.status.success() {
                return Err(Failure::new(
                    "E-VER-17",
                    format!("validator {validator} rejects the proven receipt"),
                )
                .why(String::from_utf8_lossy(&output.stdout).into_owned())
                .exit(4));
            }
        }
        Ok(slowest)
    }

    fn report(
        &self,
        told: &Told,
        verdicts: &[(String, bool, String)],
        validated: Duration,
        drained: usize,
        total: Duration,
    ) -> Report {
        let plain = told.lines[0].time;
        let mut saw = table(["party", "what it saw"]);
        saw.add_row(["hospital", "its own records, the model's public card, the results"]);
        saw.add_row(["model owner", "nothing of this job"]);
        saw.add_row(["network, other nodes", "ciphertext: its size, its time, who talks to whom"]);
        saw.add_row([
            "executing nodes",
            "the records and the model, in memory (software, NOT HARDWARE: an operator can read them)",
        ]);
        saw.add_row(["log and witnesses", "one 32-byte digest a job"]);
        saw.add_row([
            "anyone with the receipt",
            "which model, how many records, when, who ran it; keyed commitments, no content",
        ]);

        let mut modes =
            table(["mode", "result", "time", "beside plain", "how it was checked", "equal to plain"]);
        for line in &told.lines {
            let ratio = line.time.as_secs_f64() / plain.as_secs_f64().max(f64::MIN_POSITIVE);
            modes.add_row([
                line.mode.to_owned(),
                format!("{} scores", told.records),
                duration(line.time),
                if line.outcome.is_none() { "1".to_owned() } else { format!("{ratio:.0}x") },
                line.checked.clone(),
                if line.equal { "bit for bit" } else { "NO: one signer can lie" }.to_owned(),
            ]);
        }
        let faults = if told.faults.is_empty() {
            "no node was found at fault".to_owned()
        } else {
            told.faults.join("\n")
        };
        let dir = self.dir.display();
        let files: Vec<&str> = verdicts.iter().map(|(name, ..)| name.as_str()).collect();
        let text = format!(
            "{saw}\n\n{modes}\n\n\
             {} of {} records scored as the biopsy says; results in {dir}/results.csv\n\
             committee: {} (job {} of this grid)\n{faults}\n\n\
             receipts verified offline after every process had ended: {}\n\
             {VALIDATORS} validators with nothing but the proven receipt and the trust roots agree: the committed model gave \
             this result ({} each at most)\n\
             check them yourself:  sealgrid verify {dir}/*.receipt --roots {dir}/roots\n\
             {} in all",
            told.right,
            told.records,
            told.committee.join(", "),
            told.jobs,
            files.join(", "),
            duration(validated),
            duration(total),
        );
        let json = serde_json::json!({
            "dir": self.dir,
            "records": told.records,
            "right": told.right,
            "committee": told.committee,
            "jobs": told.jobs,
            "modes": told.lines.iter().map(|line| serde_json::json!({
                "mode": line.mode,
                "ns": u64::try_from(line.time.as_nanos()).unwrap_or(u64::MAX),
                "equal_to_plain": line.equal,
                "faults": line.outcome.as_ref().map(faults_json),
                "environment": line.outcome.as_ref().map(|outcome| outcome.claims.environment.to_string()),
            })).collect::<Vec<_>>(),
            "verified_offline": files,
            "validators": VALIDATORS,
            "validated_ns": u64::try_from(validated.as_nanos()).unwrap_or(u64::MAX),
            "nodes_drained": drained,
            "ns": u64::try_from(total.as_nanos()).unwrap_or(u64::MAX),
        });
        Report::new(text, json)
    }
}

/// What the story leaves behind.
struct Told {
    records: usize,
    right: usize,
    committee: Vec<String>,
    faults: Vec<String>,
    jobs: usize,
    lines: Vec<Line>,
}

/// File that marks a folder as an earlier demonstration's, which may be replaced.
const MARK: &str = ".sealgrid-demo";

/// An empty folder of the demonstration's own.
fn prepare(dir: &Path) -> Result<(), Failure> {
    if dir.exists() {
        if !dir.join(MARK).exists() {
            return Err(Failure::new(
                "E-USE-04",
                format!("{} exists and is not an earlier demonstration's", dir.display()),
            )
            .hint("name another folder with --dir DIR"));
        }
        std::fs::remove_dir_all(dir).map_err(|error| unwritable(dir, &error))?;
    }
    std::fs::create_dir_all(dir).map_err(|error| unwritable(dir, &error))?;
    std::fs::write(dir.join(MARK), "written by `sealgrid demo`; replaced by the next one\n")
        .map_err(|error| unwritable(dir, &error))
}

/// The name of a mode's receipt.
fn receipt_name(mode: &str) -> String {
    format!("{}.receipt", mode.replace(", ", "-").replace(':', "-"))
}

fn policy(verification: &str) -> Result<Policy, Failure> {
    let mut policy = asking::policy(None, Some("sealed"), Some(verification))?;
    policy.limits.deadline_ms = DEADLINE_MS;
    Ok(policy)
}

/// The same records on this machine, nothing hidden, nothing verified: the lower bound. Best of several.
fn run_plain(model: &Model, inputs: &[Batch]) -> Result<(Vec<Batch>, Duration), Failure> {
    let failed = |error: sealgrid_graph::execute::ExecuteError| Failure::new(error.code(), error.to_string());
    let prepared: Box<dyn Prepared> =
        engines::executor().prepare(Arc::clone(model.graph())).map_err(failed)?;
    let mut best = Duration::MAX;
    let mut outputs = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        outputs = prepared.run(inputs, &mut ()).map_err(failed)?;
        best = best.min(started.elapsed());
    }
    Ok((outputs, best))
}

fn identities(
    asking: &Asking,
    grid: &LocalGrid,
    faults: &[(usize, Fault)],
) -> Result<Vec<PublicIdentity>, Failure> {
    let nodes = grid.nodes()?;
    let address = |number: usize| nodes[number - 1].settings.network.listen[0].to_string();
    Ok(faults.iter().filter_map(|(number, _)| asking.node_at(&address(*number))).collect())
}

/// Runs the job until every faulty node sits in the committee: a draw that nobody controls seats them sooner or later.
fn until_seated(
    asking: &Asking,
    policy: &Policy,
    found: &Found,
    inputs: &[Batch],
    faulty: &[PublicIdentity],
    draws: u16,
    output: Output,
) -> Result<(Outcome, usize), Failure> {
    let records = inputs.first().map_or(0, |batch| u32::try_from(batch.records()).unwrap_or(u32::MAX));
    let plan = asking.plan(policy, found, records)?;
    for job in 1..=usize::from(draws) {
        let mut seated = Vec::new();
        let ended = asking.run(policy, &plan, found, inputs.to_vec(), &mut |progress| match progress {
            Progress::Drawn { committee, .. } => seated = committee,
            Progress::AtFault(fault) => {
                output.say(format!("  {} {}", asking.node_name(&fault.node), fault.kind));
            }
            _ => {}
        });
        let all = faulty.iter().all(|node| seated.contains(node));
        match ended {
            Ok(outcome) if all => return Ok((outcome, job)),
            Err(error @ ClientError::Refused(_)) if all => return Err(refused(asking, &error)),
            Ok(_) | Err(ClientError::Refused(_)) => {
                output.say(format!("job {job}: not every faulty node was drawn; once more"));
            }
            Err(error) => return Err(asking::failed(&error)),
        }
    }
    Err(Failure::new("E-AVL-04", format!("{draws} draws did not seat every faulty node"))
        .hint("allow more --draws, or run it again"))
}

/// How many records were classed as their label says.
fn right(results: &crate::data::Results, records: &Records) -> usize {
    let Some(labels) = records.column("label") else { return 0 };
    let names = ["malignant", "benign"];
    let matches = |(row, label): (&Vec<crate::data::Cell>, &f64)| {
        let wanted = names.iter().position(|name| row.contains(&crate::data::Cell::Text((*name).to_owned())));
        wanted.is_some_and(|wanted| wanted as f64 == *label)
    };
    results.rows.iter().zip(&labels).filter(|pair| matches(*pair)).count()
}

fn count(records: &Records) -> u32 {
    u32::try_from(records.rows.len()).unwrap_or(u32::MAX)
}
