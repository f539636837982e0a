//! `sealgrid bench soak`: a grid of five processes under load while its nodes are killed and started again at random.
//!
//! What it must show:
//! 1. No accepted job is lost: every job ends in a receipt, or in a refusal with a code after which the same request
//!    works again; and a node that committed to a vote before it was killed shows the very same commitment after it.
//! 2. No wrong result is accepted: every answer is compared with the reference interpreter, every receipt is verified.
//! 3. Memory is flat: the resident memory of each node over the half of the run in which it is left alone.
//! 4. The log takes nothing back: every checkpoint ever seen is a prefix of the last one.
//!
//! Kills are `kill -9`. In the first half of the run nodes 1, 2 and 3 (the log and its witnesses) are killed, in the second
//! half nodes 3, 4 and 5: so every node but the third has a quiet half to be measured in, and every role is killed. The
//! schedule follows from the printed seed; committees do not, because nonces are random.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sealgrid_graph::execute::{Batch, Executor as _, Prepared};
use sealgrid_graph::reference::Reference;
use sealgrid_node::client::Progress;
use sealgrid_protocol::job::message::Message;
use sealgrid_protocol::log::note::Note;
use sealgrid_protocol::log::{Checkpoint, tree};
use sealgrid_protocol::policy::{Plan, Policy};
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};

use crate::asking::{self, Asking, Found};
use crate::data::Records;
use crate::failure::{Failure, unwritable};
use crate::local_grid::{Layout, LocalGrid};
use crate::output::{Output, Report, table, thousands};
use crate::processes::Processes;
use crate::roots;
use crate::shipped::Shipped;

/// How long, and under which seed.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Soak {
    /// soak: how long.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    minutes: u64,
    /// soak: seed of the schedule of kills [default: random, printed].
    #[arg(long)]
    seed: Option<u64>,
    /// soak: end after so many kills, even if there is time left.
    #[arg(long)]
    kills: Option<u64>,
}

/// Nodes of the grid. The first writes the log, the second and third are its witnesses.
const NODES: usize = 5;
/// Models that jobs are drawn from.
const MODELS: [&str; 3] = ["breast-cancer-mlp", "breast-cancer-gbt", "digits-mlp"];
/// Records of one job at most.
const RECORDS_MAX: u64 = 32;
/// Clients that ask at the same time.
const CLIENTS: u64 = 2;
/// Pause between two jobs of one client: a soak is long, not hard.
const PAUSE: Duration = Duration::from_millis(50);
/// How often a refused job is asked again before it counts as lost, and how long between.
const TRIES_MAX: u32 = 60;
/// Pause before a refused job is asked again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Time of a job. Short, so that a killed member is replaced soon.
const DEADLINE_MS: u64 = 20_000;
/// How often memory is sampled and the log's head is fetched.
const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// A process is measured once it is so old: until then it fills its caches.
const WARM_AFTER: Duration = Duration::from_secs(60);
/// Growth over the measured time that still counts as flat: what allocators round to.
const FLAT_KIB_MAX: f64 = 8.0 * 1024.0;

/// One model with its records and what the reference makes of them.
struct Subject {
    found: Found,
    records: Records,
    reference: Box<dyn Prepared>,
}

/// What clients and the one who kills write down.
#[derive(Default)]
struct Tally {
    receipts: BTreeMap<&'static str, u64>,
    records: u64,
    /// Refusals by code; each was asked again.
    refusals: BTreeMap<String, u64>,
    /// Refusals of jobs that a node had answered already.
    refused_after_answer: u64,
    lost: Vec<String>,
    wrong: Vec<String>,
    unverified: Vec<String>,
    faults: BTreeMap<String, u64>,
    kills: Vec<u64>,
    recalled: u64,
    forgotten: Vec<String>,
}

/// Resident memory of one process over time.
#[derive(Default)]
struct Memory {
    /// Minutes since the start of the run, KiB; of the processes that were old enough.
    samples: Vec<(f64, f64)>,
    max_kib: f64,
}

impl Soak {
    /// Runs it; exit status 4 when something does not hold.
    pub fn run(self, output: Output) -> Result<Report, Failure> {
        let seed = self.seed.unwrap_or_else(|| {
            let random = sealgrid_seal::secret::Secret::<8>::random(&mut crate::entropy());
            u64::from_le_bytes(*random.expose()) >> 16
        });
        output.say(format!("seed {seed}; {} minutes", self.minutes));
        let scratch = tempfile::tempdir()
            .map_err(|error| unwritable(&PathBuf::from("the temporary folder"), &error))?;
        let grid = LocalGrid::at(scratch.path().join("grid"));
        let (models, files) = import_models(scratch.path())?;
        grid.lay_out(&Layout { nodes: NODES, models: files, ..Layout::default() })?;
        let mut processes = grid.start()?;
        let trust = roots::read(&grid.roots())?;
        let asking = Asking::open(&grid, trust, SigningIdentity::generate(&mut crate::entropy()))?;
        let subjects = subjects(&asking, models)?;
        let tally = Mutex::new(Tally::default());
        let stop = AtomicBool::new(false);

        let told = std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (asking, subjects, tally, stop) = (&asking, &subjects, &tally, &stop);
                let dice = Dice(seed ^ ((client + 1) << 32));
                scope.spawn(move || ask_until(stop, asking, subjects, tally, dice));
            }
            let told = self.supervise(seed, &grid, &asking, &mut processes, &subjects, &tally, output);
            stop.store(true, Ordering::SeqCst);
            told
        });
        let mut told = told?;
        revive(&mut processes, &tally);
        let log = check_log(&asking, &mut told.heads, &tally);
        asking.close();
        processes.stop();
        let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(report(self, seed, &told, &log, &tally))
    }

    /// Kills, revives, samples.
    fn supervise(
        self,
        seed: u64,
        grid: &LocalGrid,
        asking: &Asking,
        processes: &mut Processes,
        subjects: &[Subject],
        tally: &Mutex<Tally>,
        output: Output,
    ) -> Result<Told, Failure> {
        let started = Instant::now();
        let length = Duration::from_secs(self.minutes * 60);
        let mut dice = Dice(seed);
        let mut told = Told { memory: (0..=NODES).map(|_| Memory::default()).collect(), ..Told::default() };
        let identities = identities(grid, asking)?;
        let mut born = [started; NODES];
        let mut dead: Vec<(usize, Instant)> = Vec::new();
        let mut probe: Option<Probe> = None;
        let (mut next_kill, mut next_sample) = (started + Duration::from_secs(5), started);
        let mut progress = output.progress("soaking", length.as_secs());
        while started.elapsed() < length {
            std::thread::sleep(Duration::from_millis(100));
            let now = Instant::now();
            if now >= next_sample {
                next_sample = now + SAMPLE_EVERY;
                told.sample(started, processes, &born, &dead);
                // while the log's node is down there is no head to see
                told.heads.extend(asking.log_head(0).ok());
                progress.at(started.elapsed().as_secs(), {
                    let tally = lock(tally);
                    format!("{} jobs, {} kills", tally.receipts.values().sum::<u64>(), tally.kills.len())
                });
            }
            if let Some(at) = dead.iter().position(|(_, until)| now >= *until) {
                let (node, _) = dead.swap_remove(at);
                processes.revive()?;
                born[node] = Instant::now();
                if let Some(probe) = probe.take_if(|probe| probe.node == identities[node]) {
                    probe.ask_again(asking, tally);
                }
            }
            if now < next_kill {
                continue;
            }
            if self.kills.is_some_and(|kills| lock(tally).kills.len() as u64 >= kills && dead.is_empty()) {
                break;
            }
            next_kill = now + Duration::from_millis(3_000 + dice.below(9_000));
            let first_half = started.elapsed() < length / 2;
            let offset = if first_half { 0 } else { 2 };
            let mut node = offset + usize::try_from(dice.below(3)).expect("below 3");
            let down_for = Duration::from_millis(dice.below(4_000));
            let deaf = dead.iter().any(|(dead, _)| *dead == node);
            // Every other time a node is killed that has just committed to a vote, and is asked for it when it is back.
            if dice.below(2) == 0 && probe.is_none() {
                probe = Probe::ask(asking, &subjects[0], tally);
                let drawn =
                    probe.as_ref().and_then(|probe| identities.iter().position(|id| *id == probe.node));
                let killable = drawn.filter(|drawn| (offset..offset + 3).contains(drawn));
                match killable {
                    Some(drawn) => node = drawn,
                    None => probe = None,
                }
            }
            if deaf || dead.iter().any(|(dead, _)| *dead == node) {
                probe = None;
                continue;
            }
            processes.kill(node);
            lock(tally).kills.push(node as u64 + 1);
            dead.push((node, now + down_for));
        }
        told.minutes = started.elapsed().as_secs_f64() / 60.0;
        Ok(told)
    }
}

/// What the supervisor saw.
#[derive(Default)]
struct Told {
    /// Nodes in order, then this process.
    memory: Vec<Memory>,
    heads: Vec<Note>,
    minutes: f64,
}

/// What the log looked like at the end.
#[derive(Debug, Clone, Default)]
struct LogFacts {
    first: u64,
    last: u64,
    checkpoints: usize,
}

impl Told {
    fn sample(
        &mut self,
        started: Instant,
        processes: &Processes,
        born: &[Instant],
        dead: &[(usize, Instant)],
    ) {
        let minutes = started.elapsed().as_secs_f64() / 60.0;
        for node in (0..NODES).filter(|node| dead.iter().all(|(dead, _)| dead != node)) {
            self.memory[node].add(minutes, resident_kib(processes.pid(node)), born[node]);
        }
        self.memory[NODES].add(minutes, resident_kib(std::process::id()), started);
    }
}

impl Memory {
    fn add(&mut self, minutes: f64, kib: Option<f64>, born: Instant) {
        let Some(kib) = kib else { return };
        self.max_kib = self.max_kib.max(kib);
        if born.elapsed() < WARM_AFTER {
            // a killed process is another one: what was measured before says nothing of it
            if self.samples.len() < 8 {
                self.samples.clear();
            }
            return;
        }
        self.samples.push((minutes, kib));
    }

    /// KiB a minute, by least squares; `None` with too few samples to say.
    fn slope(&self) -> Option<f64> {
        let count = self.samples.len() as f64;
        if count < 8.0 {
            return None;
        }
        let mean = |of: fn(&(f64, f64)) -> f64| self.samples.iter().map(of).sum::<f64>() / count;
        let (x, y) = (mean(|sample| sample.0), mean(|sample| sample.1));
        let above: f64 = self.samples.iter().map(|sample| (sample.0 - x) * (sample.1 - y)).sum();
        let below: f64 = self.samples.iter().map(|sample| (sample.0 - x).powi(2)).sum();
        (below > 0.0).then(|| above / below)
    }

    fn span(&self) -> f64 {
        match (self.samples.first(), self.samples.last()) {
            (Some(first), Some(last)) => last.0 - first.0,
            _ => 0.0,
        }
    }

    fn is_flat(&self) -> bool {
        self.slope().is_none_or(|slope| slope * self.span() <= FLAT_KIB_MAX)
    }
}

/// Resident memory of a process, KiB.
fn resident_kib(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// A vote that one node committed to, to be asked for again after that node was killed.
struct Probe {
    node: PublicIdentity,
    assign: Vec<u8>,
    answer: Vec<u8>,
}

impl Probe {
    /// `None` when the node that was drawn did not answer: then nothing was acknowledged.
    fn ask(asking: &Asking, subject: &Subject, tally: &Mutex<Tally>) -> Option<Self> {
        let (policy, plan) = subject.plan(asking, "quorum:3").ok()?;
        let (inputs, _) = subject.inputs(0, 4).ok()?;
        let (node, assign) = asking.raw_assign(&policy, &plan, &subject.found, inputs).ok()?;
        match asking.raw_ask(&node, &assign) {
            Ok(answer) if matches!(Message::decode(&answer), Ok(Message::Commit(_))) => {
                Some(Self { node, assign, answer })
            }
            Ok(_) => None,
            Err(error) => {
                *lock(tally).refusals.entry(error.code().to_owned()).or_default() += 1;
                None
            }
        }
    }

    fn ask_again(self, asking: &Asking, tally: &Mutex<Tally>) {
        let mut last = "no answer".to_owned();
        for _ in 0..TRIES_MAX {
            match asking.raw_ask(&self.node, &self.assign) {
                Ok(answer) if answer == self.answer => {
                    lock(tally).recalled += 1;
                    return;
                }
                Ok(answer) => {
                    last = Message::decode(&answer).map_or_else(
                        |error| error.to_string(),
                        |other| match other {
                            Message::Refuse(refusal) => format!("refused with {}", refusal.why.code()),
                            Message::Commit(_) => "another vote".to_owned(),
                            _ => "another message".to_owned(),
                        },
                    );
                    break;
                }
                Err(error) => last = error.code().to_owned(),
            }
            std::thread::sleep(AGAIN_AFTER);
        }
        lock(tally).forgotten.push(format!("{}: {last}", self.node.short()));
    }
}

impl Subject {
    fn plan(&self, asking: &Asking, verify: &str) -> Result<(Policy, Plan), Failure> {
        let mut policy = asking::policy(None, Some("sealed"), Some(verify))?;
        policy.limits.deadline_ms = DEADLINE_MS;
        let plan = asking.plan(&policy, &self.found, u32::try_from(RECORDS_MAX).expect("small"))?;
        Ok((policy, plan))
    }

    /// Records `first..first + count` as the model takes them, and what the reference makes of them.
    fn inputs(&self, first: u64, count: u64) -> Result<(Vec<Batch>, Vec<Batch>), Failure> {
        let first = usize::try_from(first).expect("an index of records in memory");
        let count = usize::try_from(count).expect("at most 32");
        let rows = self.records.rows[first..first + count].to_vec();
        let records = Records { columns: self.records.columns.clone(), rows, ids: None };
        let (inputs, _) = asking::encode(&records, &self.found.public)?;
        let expected = self
            .reference
            .run(&inputs, &mut ())
            .map_err(|error| Failure::new(error.code(), error.to_string()))?;
        Ok((inputs, expected))
    }
}

/// One client: jobs one after the other, until told to stop.
fn ask_until(stop: &AtomicBool, asking: &Asking, subjects: &[Subject], tally: &Mutex<Tally>, mut dice: Dice) {
    while !stop.load(Ordering::SeqCst) {
        let subject = &subjects[usize::try_from(dice.below(subjects.len() as u64)).expect("small")];
        let verify = ["signed", "quorum:3"][usize::try_from(dice.below(2)).expect("small")];
        let count = 1 + dice.below(RECORDS_MAX);
        let first = dice.below(subject.records.rows.len() as u64 - count);
        let name = format!("{verify} {} {first}+{count}", subject.found.public.card.name);
        if let Err(failure) = ask_once(asking, subject, verify, first, count, tally, &name) {
            lock(tally).lost.push(format!("{name}: {failure}"));
        }
        std::thread::sleep(PAUSE);
    }
}

/// One job, asked until it is answered.
fn ask_once(
    asking: &Asking,
    subject: &Subject,
    verify: &'static str,
    first: u64,
    count: u64,
    tally: &Mutex<Tally>,
    name: &str,
) -> Result<(), Failure> {
    let (policy, plan) = subject.plan(asking, verify)?;
    let (inputs, expected) = subject.inputs(first, count)?;
    for _ in 0..TRIES_MAX {
        let mut answered = false;
        let ended = asking.run(&policy, &plan, &subject.found, inputs.clone(), &mut |progress| {
            answered |= matches!(progress, Progress::Answered(_));
        });
        let outcome = match ended {
            Ok(outcome) => outcome,
            Err(error) => {
                let mut tally = lock(tally);
                *tally.refusals.entry(error.code().to_owned()).or_default() += 1;
                tally.refused_after_answer += u64::from(answered);
                drop(tally);
                std::thread::sleep(AGAIN_AFTER);
                continue;
            }
        };
        let verdict = asking.judge(&outcome, &inputs);
        let mut tally = lock(tally);
        if outcome.outputs != expected {
            tally.wrong.push(name.to_owned());
        }
        if !verdict.is_accepted() {
            tally.unverified.push(format!("{name}: {}", verdict.code().unwrap_or("E-VER-01")));
        }
        for fault in &outcome.claims.faults {
            *tally.faults.entry(fault.kind.word().to_owned()).or_default() += 1;
        }
        *tally.receipts.entry(verify).or_default() += 1;
        tally.records += count;
        return Ok(());
    }
    lock(tally).lost.push(format!("{name}: refused {TRIES_MAX} times"));
    Ok(())
}

fn import_models(
    folder: &std::path::Path,
) -> Result<(Vec<sealgrid_graph::model::Model>, Vec<PathBuf>), Failure> {
    let (mut models, mut files) = (Vec::new(), Vec::new());
    for name in MODELS {
        let model = Shipped::named(name).expect("it ships").import()?;
        let path = folder.join(format!("{name}.sgm"));
        std::fs::write(&path, model.to_bytes()).map_err(|error| unwritable(&path, &error))?;
        models.push(model);
        files.push(path);
    }
    Ok((models, files))
}

fn subjects(asking: &Asking, models: Vec<sealgrid_graph::model::Model>) -> Result<Vec<Subject>, Failure> {
    let subject = |model: sealgrid_graph::model::Model| {
        let records = Shipped::named(&model.card().name).expect("it ships").records()?;
        let reference = Reference
            .prepare(model.graph().clone())
            .map_err(|error| Failure::new(error.code(), error.to_string()))?;
        Ok(Subject { found: asking.fetched(model.commitment())?, records, reference })
    };
    models.into_iter().map(subject).collect()
}

fn identities(grid: &LocalGrid, asking: &Asking) -> Result<Vec<PublicIdentity>, Failure> {
    let nodes = grid.nodes()?;
    let address = |node: &crate::local_grid::NodeFacts| node.settings.network.listen[0].to_string();
    Ok(nodes.iter().filter_map(|node| asking.node_at(&address(node))).collect())
}

fn revive(processes: &mut Processes, tally: &Mutex<Tally>) {
    if let Err(failure) = processes.revive() {
        lock(tally).lost.push(format!("a node did not come back: {failure}"));
    }
}

/// Every head that was ever seen is a prefix of the last one.
fn check_log(asking: &Asking, heads: &mut Vec<Note>, tally: &Mutex<Tally>) -> Result<LogFacts, String> {
    let coded = |error: &dyn std::fmt::Display, code: &str| format!("{code} {error}");
    let read = |note: &Note| Checkpoint::from_text(note.text()).map_err(|error| coded(&error, error.code()));
    let receipts: u64 = lock(tally).receipts.values().sum();
    // A client uses a head for some seconds: the one that holds every receipt's leaf comes within these tries, or never.
    let mut end = Err("the log's node does not answer".to_owned());
    for _ in 0..TRIES_MAX {
        end = asking.log_head(2).map_err(|error| coded(&error, error.code())).and_then(|note| read(&note));
        if end.as_ref().is_ok_and(|end| end.size >= receipts) {
            break;
        }
        std::thread::sleep(AGAIN_AFTER);
    }
    let end = end?;
    if end.size < receipts {
        return Err(format!("{receipts} receipts, but only {} leaves", end.size));
    }
    let tiles = crate::log_tiles::GridTiles::new(asking);
    heads.dedup_by(|a, b| a.text() == b.text());
    let mut first = end.size;
    for note in heads.iter() {
        let seen = read(note)?;
        first = first.min(seen.size);
        if seen.size > end.size {
            return Err(format!("the log shrank from {} to {} leaves", seen.size, end.size));
        }
        let proof = tiles.consistency(seen.size, end.size).map_err(|error| coded(&error, error.code()))?;
        tree::verify_consistency(seen.size, &seen.root, end.size, &end.root, &proof)
            .map_err(|error| coded(&error, error.code()))?;
    }
    Ok(LogFacts { first, last: end.size, checkpoints: heads.len() })
}

fn report(soak: Soak, seed: u64, told: &Told, log: &Result<LogFacts, String>, tally: &Tally) -> Report {
    let receipts: u64 = tally.receipts.values().sum();
    let repeated: u64 = tally.refusals.values().sum();
    let log_text = match log {
        Ok(facts) => format!(
            "{} checkpoints seen, from {} to {} leaves, each a prefix of the last",
            facts.checkpoints,
            thousands(facts.first),
            thousands(facts.last)
        ),
        Err(why) => format!("BROKEN: {why}"),
    };
    let flat = told.memory.iter().all(Memory::is_flat);
    let holds = tally.lost.is_empty()
        && tally.wrong.is_empty()
        && tally.unverified.is_empty()
        && tally.forgotten.is_empty()
        && log.is_ok()
        && flat;
    let codes = |codes: &BTreeMap<String, u64>| {
        codes.iter().map(|(code, count)| format!("{code} {count}")).collect::<Vec<_>>().join(", ")
    };
    let mut facts = table(["what", "count", "remarks"]);
    let by_mode: Vec<String> = tally.receipts.iter().map(|(mode, count)| format!("{mode} {count}")).collect();
    facts.add_row([
        "jobs that ended in a verified receipt".to_owned(),
        thousands(receipts),
        by_mode.join(", "),
    ]);
    facts.add_row([
        "records scored".to_owned(),
        thousands(tally.records),
        "each answer compared with the reference".to_owned(),
    ]);
    facts.add_row([
        "wrong results accepted".to_owned(),
        tally.wrong.len().to_string(),
        tally.wrong.join("; "),
    ]);
    facts.add_row([
        "receipts that do not verify".to_owned(),
        tally.unverified.len().to_string(),
        tally.unverified.join("; "),
    ]);
    facts.add_row(["jobs lost".to_owned(), tally.lost.len().to_string(), tally.lost.join("; ")]);
    facts.add_row([
        "refusals, asked again".to_owned(),
        thousands(repeated),
        format!("{}; {} after a node had answered", codes(&tally.refusals), tally.refused_after_answer),
    ]);
    facts.add_row([
        "nodes named at fault".to_owned(),
        thousands(tally.faults.values().sum()),
        codes(&tally.faults),
    ]);
    facts.add_row(["kill -9".to_owned(), tally.kills.len().to_string(), kills_by_node(&tally.kills)]);
    facts.add_row([
        "killed after committing to a vote, asked again".to_owned(),
        (tally.recalled + tally.forgotten.len() as u64).to_string(),
        match tally.forgotten.as_slice() {
            [] => "every one showed the same commitment".to_owned(),
            some => format!("FORGOTTEN: {}", some.join("; ")),
        },
    ]);
    let mut memory =
        table(["process", "measured, min", "from, MiB", "to, MiB", "most, MiB", "KiB a minute", "flat"]);
    let mut memory_json = Vec::new();
    for (index, of) in told.memory.iter().enumerate() {
        let name = if index == NODES { "client".to_owned() } else { format!("node-{}", index + 1) };
        let (Some(slope), Some(first), Some(last)) = (of.slope(), of.samples.first(), of.samples.last())
        else {
            memory.add_row([
                name,
                "–".into(),
                "–".into(),
                "–".into(),
                mib(of.max_kib),
                "–".into(),
                "too short to say".into(),
            ]);
            continue;
        };
        memory.add_row([
            name.clone(),
            format!("{:.1}", of.span()),
            mib(first.1),
            mib(last.1),
            mib(of.max_kib),
            format!("{slope:+.1}"),
            if of.is_flat() { "yes" } else { "NO" }.to_owned(),
        ]);
        memory_json.push(serde_json::json!({
            "process": name, "minutes": of.span(), "first_kib": first.1, "last_kib": last.1,
            "max_kib": of.max_kib, "kib_a_minute": slope, "flat": of.is_flat(),
        }));
    }
    let verdict = if holds { "everything holds" } else { "SOMETHING DOES NOT HOLD" };
    let text = format!(
        "{facts}\n\n{memory}\n\nlog: {log_text}\n{:.1} minutes, seed {seed}: {verdict}\n\
         again: sealgrid bench soak --minutes {} --seed {seed}",
        told.minutes, soak.minutes,
    );
    let json = serde_json::json!({
        "seed": seed,
        "minutes": told.minutes,
        "holds": holds,
        "receipts": tally.receipts,
        "records": tally.records,
        "wrong": tally.wrong,
        "unverified": tally.unverified,
        "lost": tally.lost,
        "refusals": tally.refusals,
        "refused_after_answer": tally.refused_after_answer,
        "faults": tally.faults,
        "kills": tally.kills,
        "recalled": tally.recalled,
        "forgotten": tally.forgotten,
        "memory": memory_json,
        "log": match log {
            Ok(facts) => serde_json::json!({ "first": facts.first, "last": facts.last, "checkpoints": facts.checkpoints }),
            Err(why) => serde_json::json!({ "broken": why }),
        },
    });
    Report::new(text, json).exit(if holds { 0 } else { 4 })
}

fn kills_by_node(kills: &[u64]) -> String {
    let count = |node: u64| kills.iter().filter(|killed| **killed == node).count();
    let nodes: Vec<String> = (1..=NODES as u64).map(|node| format!("node-{node} {}", count(node))).collect();
    nodes.join(", ")
}

fn mib(kib: f64) -> String {
    format!("{:.1}", kib / 1024.0)
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// SplitMix64: a schedule that a seed repeats; nothing secret comes from it.
struct Dice(u64);

impl Dice {
    /// Uniform below `bound`, but for a bias of 2^-50.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_grows_is_not_flat() {
        let grows = |kib_a_minute: f64| Memory {
            samples: (0..60)
                .map(|at| (f64::from(at) / 4.0, 50_000.0 + kib_a_minute * f64::from(at) / 4.0))
                .collect(),
            max_kib: 0.0,
        };
        assert!(grows(0.0).is_flat());
        assert!(grows(100.0).is_flat(), "1.5 MiB in a quarter of an hour");
        assert!(!grows(1_000.0).is_flat());
        assert!((grows(1_000.0).slope().expect("enough") - 1_000.0).abs() < 1.0);
    }
}
