//! `sealgrid bench`: what sealing, proving and the shipped models cost on this machine, each beside its lower bound.

mod node;
mod proof;

use std::hint::black_box;
use std::time::{Duration, Instant};

use sealgrid_graph::cost::{self, Calibration, Mode};
use sealgrid_seal::aead::Aes256Gcm;
use sealgrid_seal::digest::labels;
use sealgrid_seal::envelope::{JobKeyPair, seal};
use sealgrid_seal::identity::SigningIdentity;
use sealgrid_seal::secret::Secret;

use super::soak::Soak;
use crate::asking;
use crate::failure::Failure;
use crate::output::{Output, Report, duration, table};
use crate::{engines, shipped};

/// Measure this machine: sealing, signing, the shipped models, proofs, a grid, a log; or let a grid endure kills (`soak`).
#[derive(Debug, clap::Args)]
pub struct Bench {
    /// What to measure.
    #[arg(value_enum, default_value_t = Name::All)]
    name: Name,
    #[command(flatten)]
    soak: Soak,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    /// Everything but the soak.
    All,
    /// Envelopes, bulk encryption, signatures.
    Seal,
    /// The shipped models, one record and thirty-two at a time.
    Models,
    /// Sealed jobs on a local grid, beside the same work in the clear.
    Node,
    /// Durable appends to a transparency log.
    Log,
    /// Zero-knowledge proofs of runs of the shipped models.
    Proof,
    /// A grid under load whose nodes are killed at random: nothing may be lost, wrong or growing.
    Soak,
    /// The other process of plain calls, for `node`; ends with standard input.
    #[value(hide = true)]
    PlainServer,
}

/// One measurement.
struct Line {
    what: String,
    least: Duration,
    /// Processor time of all threads, the mean of all calls; where it was taken.
    processor: Option<Duration>,
    beside: String,
}

impl Line {
    /// A measurement of which the clock alone was read.
    fn timed(what: impl Into<String>, least: Duration, beside: impl Into<String>) -> Self {
        Self { what: what.into(), least, processor: None, beside: beside.into() }
    }
}

/// How long one thing is measured.
const SAMPLE: Duration = Duration::from_millis(300);

impl Bench {
    /// The measurements as a table; least of many, because a machine only ever adds time.
    pub fn run(self, output: Output) -> Result<Report, Failure> {
        if self.name == Name::Soak {
            return self.soak.run(output);
        }
        if self.name == Name::PlainServer {
            return node::plain_server();
        }
        let mut lines = Vec::new();
        let wanted = |name| self.name == Name::All || self.name == name;
        if wanted(Name::Seal) {
            output.say("measuring seals");
            seals(&mut lines)?;
        }
        if wanted(Name::Node) {
            output.say("measuring sealed jobs on a grid of three processes");
            node::jobs(&mut lines)?;
        }
        if wanted(Name::Log) {
            output.say("measuring durable appends");
            node::log(&mut lines)?;
        }
        if wanted(Name::Models) {
            for model in shipped::MODELS {
                output.say(format!("measuring {}", model.name));
                self::model(model, &mut lines)?;
            }
        }
        if wanted(Name::Proof) {
            for model in shipped::MODELS {
                output.say(format!("proving {}", model.name));
                proof::proofs(model, &mut lines)?;
            }
        }
        let mut out = table(["what", "least", "processor", "beside"]);
        for line in &lines {
            let processor = line.processor.map(duration).unwrap_or_default();
            out.add_row([line.what.clone(), duration(line.least), processor, line.beside.clone()]);
        }
        let json = lines.iter().map(|line| {
            let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            serde_json::json!({
                "what": line.what, "least_ns": ns(line.least), "processor_ns": line.processor.map(ns), "beside": line.beside,
            })
        });
        let json =
            serde_json::json!({ "kernels": engines::kernels(), "measurements": json.collect::<Vec<_>>() });
        Ok(Report::new(out.to_string(), json))
    }
}

fn seals(lines: &mut Vec<Line>) -> Result<(), Failure> {
    let failed =
        |error: sealgrid_seal::envelope::EnvelopeError| Failure::new(error.code(), error.to_string());
    let mut rng = crate::entropy();
    let pair = JobKeyPair::generate(&mut rng);
    let (sealed, _) = seal(&mut rng, pair.public(), labels::JOB_INPUT, b"", &[7; 64]).map_err(failed)?;
    let least = least(|| black_box(seal(&mut rng, pair.public(), labels::JOB_INPUT, b"", &[7; 64])));
    lines.push(Line::timed("X-Wing seal, 64 bytes", least, "one a node and job"));
    let least = self::least(|| black_box(pair.open(labels::JOB_INPUT, b"", &sealed)));
    lines.push(Line::timed("X-Wing open, 64 bytes", least, "one a job"));

    let plain = vec![7u8; 1 << 20];
    let mut cipher = vec![0u8; plain.len() + 16];
    // One key for each call, as the envelope has it: no nonce is used twice.
    let bulk = self::least(|| {
        let key = Aes256Gcm::new(&Secret::random(&mut crate::entropy()));
        key.danger_seal([0; 12], b"", &plain, &mut cipher);
    });
    let copy = self::least(|| cipher[..plain.len()].copy_from_slice(black_box(&plain)));
    let gigabytes = plain.len() as f64 / bulk.as_secs_f64() / 1e9;
    let beside = format!("{gigabytes:.1} GB/s; copying the bytes takes {}", duration(copy));
    lines.push(Line::timed("AES-256-GCM, 1 MiB", bulk, beside));

    let signer = SigningIdentity::generate(&mut crate::entropy());
    let signature = signer.sign(labels::POLICY, &[7; 256]);
    let least = self::least(|| black_box(signer.sign(labels::POLICY, &[7; 256])));
    lines.push(Line::timed("Ed25519 sign", least, "one a vote, one a receipt"));
    let least = self::least(|| black_box(signer.public().verify(labels::POLICY, &[7; 256], &signature)));
    lines.push(Line::timed("Ed25519 verify", least, "one a vote, one a receipt"));
    Ok(())
}

fn model(model: &shipped::Shipped, lines: &mut Vec<Line>) -> Result<(), Failure> {
    let failed = |error: sealgrid_graph::execute::ExecuteError| Failure::new(error.code(), error.to_string());
    let imported = model.import()?;
    let prepared = engines::executor().prepare(imported.graph().clone()).map_err(failed)?;
    let mut records = model.records()?;
    let count = cost::count(imported.graph());
    for batch in [32, 1] {
        records.rows.truncate(batch);
        let (inputs, _) = asking::encode(&records, &imported.public())?;
        prepared.run(&inputs, &mut ()).map_err(failed)?;
        let least = least(|| black_box(prepared.run(&inputs, &mut ())));
        let rate = count.multiply_adds as f64 * batch as f64 / least.as_secs_f64() / 1e9;
        let estimated = count.estimate_ns(Mode::Plain, batch as u64, &Calibration::default());
        let estimated = duration(Duration::from_secs_f64(estimated / 1e9));
        let beside =
            format!("{rate:.1} billion multiply-adds a second; `model inspect` estimates {estimated}");
        lines.push(Line::timed(format!("{}, {batch} records", model.name), least, beside));
    }
    Ok(())
}

/// The least time of one call.
fn least<T>(mut call: impl FnMut() -> T) -> Duration {
    let started = Instant::now();
    let mut least = Duration::MAX;
    while started.elapsed() < SAMPLE {
        let called = Instant::now();
        black_box(call());
        least = least.min(called.elapsed());
    }
    least
}
