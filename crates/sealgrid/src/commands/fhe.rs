//! `sealgrid fhe`: records scored under encryption, each step alone, on files.
//!
//! Four processes, of two people: who owns the records makes a key, encrypts and decrypts; who owns the model evaluates. The
//! evaluator's command takes no key, and what it calls ([`engines::evaluate`]) has no place for one.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sealgrid_graph::model::PublicModel;

use super::data::{self, Destination};
use super::model;
use crate::asking;
use crate::data::Records;
use crate::engines::{self, LinearModel};
use crate::failure::Failure;
use crate::files::{self, Place};
use crate::home::Home;
use crate::output::{Output, Report, duration, facts, thousands};

/// Score records under encryption, step by step: keygen, encrypt, eval, decrypt.
///
/// For models whose weights are one linear layer at the beginning, such as logistic regression: results are the plain run's, to the bit.
#[derive(Debug, clap::Subcommand)]
pub enum FheCommand {
    /// Make a secret key for records.
    Keygen(Keygen),
    /// Encrypt records for a model, without its weights.
    Encrypt(Encrypt),
    /// Evaluate a model on encrypted records. Takes no key.
    Eval(Eval),
    /// Decrypt what was evaluated, and finish the model's results in the clear.
    Decrypt(Decrypt),
}

/// Make a secret key for records.
#[derive(Debug, clap::Args)]
pub struct Keygen {
    /// Where the key goes: a new file, which its owner alone may read.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Encrypt records for a model, without its weights.
#[derive(Debug, clap::Args)]
pub struct Encrypt {
    /// The model that the records are for: what was published of it (.sgr), the model's own file, or its name in the home.
    model: PathBuf,
    /// Records: .csv with a header, .npy or .json.
    #[arg(long, value_name = "DATA")]
    input: PathBuf,
    /// The secret key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where the encrypted records go.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// File whose first line opens your keys, for sealed records; otherwise $SEALGRID_PASSPHRASE, otherwise you are asked.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// Evaluate a model on encrypted records. Takes no key.
#[derive(Debug, clap::Args)]
pub struct Eval {
    /// Model file, weights included, or the name of a model in the home.
    model: PathBuf,
    /// Encrypted records.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Where the encrypted sums go.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Decrypt what was evaluated, and finish the model's results in the clear.
#[derive(Debug, clap::Args)]
pub struct Decrypt {
    /// The model that was evaluated: what was published of it (.sgr), the model's own file, or its name in the home.
    model: PathBuf,
    /// Encrypted sums.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The secret key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where the results go: .csv, .npy or .json.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// What encryption hides, does not hide, and assumes, whoever asks.
const HIDES: [&str; 2] = [
    "records, sums and results, from whoever evaluates",
    "records and results, from whoever has the files and no key",
];
/// Beginning with what the owner of the model must know: `a·w` is in every answer, and the key's owner chose `a`.
const TELLS: [&str; 3] = [
    "the accumulators and the weights, from the key's owner: an answer holds a linear form of the weights, and one is enough to compute them",
    "the model's identity, how many records, features and outputs there are, and which files are under one key",
    "whether the right model was evaluated: sums can be changed or made up without the key, and no receipt is made",
];
/// What the rest stands on.
const ASSUMES: [&str; 3] = [
    "ring learning with errors at 128 bits by published tables; nobody outside the project has reviewed the code",
    "the key's file stays with its owner",
    "what becomes of decrypted results does not tell the evaluator which sums were valid",
];

impl FheCommand {
    /// Carries out the step.
    pub fn run(self, home: &Home, output: Output) -> Result<Report, Failure> {
        match self {
            Self::Keygen(keygen) => keygen.run(),
            Self::Encrypt(encrypt) => encrypt.run(home, output),
            Self::Eval(eval) => eval.run(home),
            Self::Decrypt(decrypt) => decrypt.run(home),
        }
    }
}

impl Keygen {
    fn run(self) -> Result<Report, Failure> {
        let place = Place::new_secret(&self.out)?;
        let key = engines::fhe_key();
        let bytes = key.to_secret_bytes();
        place.put(bytes.expose())?;
        let mut out = facts();
        out.add_row(["secret key", &format!("{} (whoever has it reads your records)", self.out.display())]);
        out.add_row(["parameters", engines::FHE_SET.name()]);
        out.add_row(["bytes", &thousands(bytes.len() as u64)]);
        let next =
            format!("sealgrid fhe encrypt MODEL --input DATA --key {} --out records.ct", self.out.display());
        out.add_row(["encrypt records", &next]);
        let json = serde_json::json!({
            "out": self.out.display().to_string(),
            "parameters": engines::FHE_SET.name(),
            "bytes": bytes.len(),
        });
        Ok(Report::new(out.to_string(), json))
    }
}

impl Encrypt {
    fn run(self, home: &Home, output: Output) -> Result<Report, Failure> {
        let file = model::file(&self.model, home);
        let reads = [Some(&file), Some(&self.input), Some(&self.key), self.passphrase_file.as_ref()];
        let reads: Vec<&Path> = reads.into_iter().flatten().map(PathBuf::as_path).collect();
        files::apart(&reads, &[&self.out])?;
        let place = Place::open(&self.out)?;
        let (public, known) = of_model(&file, home)?;
        let key = engines::fhe_key_of(files::read_up_to(&self.key, KEY_BYTES_MAX)?)
            .map_err(|failure| failure.context(&self.key))?;
        let records = data::records(&self.input, None, home, self.passphrase_file.as_deref())?;
        let (inputs, unused) = asking::encode(&records, &public)?;
        if !unused.is_empty() {
            output.say(format!("columns that stay here: {}", unused.join(", ")));
        }
        let started = Instant::now();
        let encrypted = engines::encrypt(&known, &key, &inputs[0])?;
        let took = started.elapsed();
        let bytes = encrypted.to_bytes();
        place.put(&bytes)?;
        let next = format!("sealgrid fhe eval MODEL.sgm --input {} --out sums.ct", self.out.display());
        let done = Done {
            out: &self.out,
            identity: public.commitment().to_string(),
            known: &known,
            records: encrypted.records(),
            bytes: bytes.len(),
            took,
        };
        Ok(done.report("encrypted records", "encrypted in", &[("evaluate them", &next)]))
    }
}

impl Eval {
    fn run(self, home: &Home) -> Result<Report, Failure> {
        files::apart(&[&model::file(&self.model, home), &self.input], &[&self.out])?;
        let place = Place::open(&self.out)?;
        let model = model::load(&self.model, home)?;
        let evaluator = engines::evaluator(&model)?;
        let encrypted =
            engines::encrypted_records(&files::read_up_to(&self.input, engines::FHE_RECORDS_BYTES_MAX)?)
                .map_err(|failure| failure.context(&self.input))?;
        let started = Instant::now();
        let sums = engines::evaluate(&evaluator, &encrypted)?;
        let took = started.elapsed();
        let bytes = sums.to_bytes();
        place.put(&bytes)?;
        let known = engines::linear(&model.public())?;
        let next = format!(
            "sealgrid fhe decrypt MODEL --input {} --key KEY --out results.csv, by the records' owner",
            self.out.display()
        );
        let failure = match evaluator.failure_log2() {
            least if least == f64::NEG_INFINITY => "0: these weights are too small for that".to_owned(),
            log2 => format!("at most 2^{log2:.0} a sum"),
        };
        let done = Done {
            out: &self.out,
            identity: model.commitment().to_string(),
            known: &known,
            records: sums.records(),
            bytes: bytes.len(),
            took,
        };
        let rows = [("a sum is wrong with probability", failure.as_str()), ("decrypt them", &next)];
        Ok(done.report("encrypted sums", "evaluated in", &rows))
    }
}

impl Decrypt {
    fn run(self, home: &Home) -> Result<Report, Failure> {
        let file = model::file(&self.model, home);
        files::apart(&[&file, &self.input, &self.key], &[&self.out])?;
        let to = Destination::new(&self.out)?;
        let (public, known) = of_model(&file, home)?;
        let key = engines::fhe_key_of(files::read_up_to(&self.key, KEY_BYTES_MAX)?)
            .map_err(|failure| failure.context(&self.key))?;
        let bytes = files::read_up_to(&self.input, engines::FHE_SUMS_BYTES_MAX)?;
        let sums = engines::encrypted_sums(&bytes).map_err(|failure| failure.context(&self.input))?;
        let started = Instant::now();
        let outputs = engines::decrypt(&known, &key, &sums)?;
        let took = started.elapsed();
        let nobody = Records { columns: None, rows: vec![Vec::new(); sums.records()], ids: None };
        let results = asking::decode(&outputs, &public, &nobody);
        to.put(&results)?;
        let done = Done {
            out: &self.out,
            identity: public.commitment().to_string(),
            known: &known,
            records: sums.records(),
            bytes: bytes.len(),
            took,
        };
        let order = "one a record, in the order of the records that were encrypted";
        let mut report = done.report("results", "decrypted in", &[("rows", order)]);
        report.json["results"] = results.to_json();
        Ok(report)
    }
}

/// Longer than any key.
const KEY_BYTES_MAX: u64 = 1 << 20;

/// What the owner of records needs of a model, from its own file or from what was published of it. With the weights at hand
/// the layer's exactness is checked at once; without them, whoever evaluates does.
fn of_model(file: &Path, home: &Home) -> Result<(PublicModel, LinearModel), Failure> {
    if let Some(public) = engines::published(&files::read(file)?).transpose() {
        let public = public.map_err(|failure| failure.context(file))?;
        let known = engines::linear(&public)?;
        return Ok((public, known));
    }
    let model = model::load(file, home)?;
    engines::evaluator(&model)?;
    let public = model.public();
    let known = engines::linear(&public)?;
    Ok((public, known))
}

/// What a step on ciphertexts has to say.
struct Done<'d> {
    out: &'d Path,
    identity: String,
    known: &'d LinearModel,
    records: usize,
    /// Of ciphertexts, written or read.
    bytes: usize,
    took: Duration,
}

impl Done<'_> {
    fn report(&self, what: &str, took: &str, more: &[(&str, &str)]) -> Report {
        let (features, outputs) = (self.known.shape().features, self.known.outputs());
        let mut out = facts();
        out.add_row([what, &self.out.display().to_string()]);
        out.add_row(["model", &self.identity]);
        out.add_row([
            "layer",
            &format!("{}: {features} features, {outputs} sums a record", self.known.layer()),
        ]);
        out.add_row(["records", &thousands(self.records as u64)]);
        out.add_row(["bytes of ciphertexts", &thousands(self.bytes as u64)]);
        out.add_row([took, &duration(self.took)]);
        for (name, value) in more {
            out.add_row([name, value]);
        }
        out.add_row(["hides", &HIDES.join("; ")]);
        out.add_row(["does not hide", &TELLS.join("; ")]);
        out.add_row(["assumes", &ASSUMES.join("; ")]);
        let json = serde_json::json!({
            "out": self.out.display().to_string(),
            "model": self.identity,
            "parameters": engines::FHE_SET.name(),
            "features": features,
            "outputs": outputs,
            "records": self.records,
            "ciphertext_bytes": self.bytes,
            "ns": u64::try_from(self.took.as_nanos()).unwrap_or(u64::MAX),
            "hides": HIDES,
            "does_not_hide": TELLS,
            "assumes": ASSUMES,
        });
        Report::new(out.to_string(), json)
    }
}
