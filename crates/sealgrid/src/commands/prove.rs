//! `sealgrid prove`: a run of a model on this machine, and a zero-knowledge proof of it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use sealgrid_seal::digest::CommitmentKey;

use super::data::{self, Destination};
use super::model;
use crate::data::{Records, Results};
use crate::engines::{
    self, Checker, Opening, OpeningError, Proof, RegisteredModel, RegisteredParameters, Side, Values,
};
use crate::failure::Failure;
use crate::files::{self, Place};
use crate::home::Home;
use crate::output::{Output, Report, duration, facts, thousands};
use crate::{asking, openings};

/// Run a model here and prove what it yields, without telling the records.
#[derive(Debug, clap::Args)]
pub struct Prove {
    /// Model file, or the name of a model in the home.
    model: PathBuf,
    /// Records: .csv with a header, .npy or .json.
    #[arg(long, value_name = "DATA")]
    input: PathBuf,
    /// Where the proof goes.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Put the records into the proof: it then says that *these* records yield the results.
    #[arg(long, conflicts_with = "commit_input")]
    show_input: bool,
    /// Put a commitment to the records into the proof; what opens it goes to OUT.records.opening, which is as secret as they are.
    #[arg(long)]
    commit_input: bool,
    /// Put a commitment to the results into the proof, and not the results; what opens it goes to OUT.results.opening.
    #[arg(long)]
    commit_results: bool,
    /// Make the proof for those who hold the model, though its weights are registered: it spends no opening.
    #[arg(long)]
    show_weights: bool,
    /// Fewest bits of soundness: 99 or 127. Of a registered model its registration says it; of any other 99 is what is meant.
    #[arg(long, value_name = "BITS", value_parser = engines::level)]
    bits: Option<engines::Level>,
    /// Where the results go: .csv, .npy or .json.
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// Mebibytes of memory that it may take; a proof that takes more, about, is refused before it is begun.
    #[arg(long, value_name = "MIB")]
    memory_max: Option<u64>,
    /// Column that identifies records; it stays here and comes back in the results.
    #[arg(long, value_name = "COLUMN")]
    id_col: Option<String>,
    /// File whose first line opens your keys; otherwise $SEALGRID_PASSPHRASE, otherwise you are asked.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl Prove {
    /// Runs, proves, checks the proof, writes it.
    pub fn run(self, home: &Home, output: Output) -> Result<Report, Failure> {
        let places = Places::of(&self, home)?;
        let model = model::load(&self.model, home)?;
        let records =
            data::records(&self.input, self.id_col.as_deref(), home, self.passphrase_file.as_deref())?;
        let (inputs, unused) = asking::encode(&records, &model.public())?;
        if !unused.is_empty() {
            output.say(format!("columns that stay here: {}", unused.join(", ")));
        }
        let mut progress = output.progress("proving", 2);
        let started = Instant::now();
        let registration = model.registration().filter(|_| !self.show_weights);
        let parameters = registration.map(|_| engines::parameters(&model)).transpose()?;
        let read = started.elapsed();
        let started = Instant::now();
        let keys = [(); 2].map(|()| CommitmentKey::random(&mut crate::entropy()));
        let told_records = match (self.show_input, self.commit_input) {
            (true, _) => engines::Records::Show,
            (_, true) => engines::Records::Commit(&keys[0]),
            _ => engines::Records::Hide,
        };
        let told_results = match self.commit_results {
            true => engines::Results::Commit(&keys[1]),
            false => engines::Results::Show,
        };
        let memory_max = self.memory_max.map_or(u64::MAX, |mebibytes| mebibytes.saturating_mul(1 << 20));
        let told_both = (told_records, told_results);
        let about = about(parameters.as_ref(), self.bits)?;
        let planned = engines::plan(&model, about, &inputs, told_both, memory_max)?;
        let made_ready = started.elapsed();
        let outputs = planned.outputs().to_vec();
        let left = match (&parameters, registration) {
            (Some(parameters), Some(registration)) => {
                Some(openings::spend(home, parameters.root(), registration.openings, &self.out)?)
            }
            _ => None,
        };
        let proof = engines::prove(planned)?;
        let proven = started.elapsed();
        progress.at(1, "checking");
        let checker = Checker::Owner(Box::new(model), parameters);
        let started = Instant::now();
        let bits = checker.verify(&proof)?;
        let verified = started.elapsed();
        progress.at(2, "done");
        let bytes = proof.to_bytes();
        let [records_key, results_key] = keys;
        let sides = [(Side::Inputs, records_key, &inputs), (Side::Outputs, results_key, &outputs)];
        let mut secrets = Vec::new();
        for (place, (side, key, values)) in places.openings.iter().zip(sides) {
            if let Some(place) = place {
                secrets.push((place, Opening::of(&proof, side, key, values.clone()).to_bytes()));
            }
        }
        let mut files = vec![(&places.proof, &bytes[..])];
        files.extend(secrets.iter().map(|(place, secret)| (*place, secret.expose())));
        files::put(&files)?;
        if let Some(results) = &places.results {
            results.put(&asking::decode(&outputs, &checker.public(), &records))?;
        }
        let openings_at = self.openings_at();
        let mut out = facts();
        out.add_row(["proof", &self.out.display().to_string()]);
        out.add_row(["model", &proof.claimed().model.to_string()]);
        out.add_row(["records", &records.rows.len().to_string()]);
        if let Some(left) = left {
            out.add_row(["registration read in", &duration(read)]);
            out.add_row(["openings left", &left.to_string()]);
        }
        out.add_row(["proven in", &duration(proven)]);
        out.add_row(["checked in", &duration(verified)]);
        out.add_row(["bytes", &thousands(bytes.len() as u64)]);
        for (word, path) in &openings_at {
            out.add_row([
                &format!("opens the {word}"),
                &format!("{} (as secret as they are)", path.display()),
            ]);
        }
        described(&mut out, &proof, bits);
        let with = if left.is_some() { "MODEL.sgr" } else { "MODEL" };
        out.add_row(["check it", &format!("sealgrid verify {} --model {with}", self.out.display())]);
        let mut json = told(&proof, bits);
        for (word, path) in &openings_at {
            json[format!("{word}_opening")] = path.display().to_string().into();
        }
        json["openings_left"] = left.into();
        json["out"] = self.out.display().to_string().into();
        json["bytes"] = bytes.len().into();
        // Of proving: running the model, and making of it and the run what is proven.
        json["plan_ns"] = u64::try_from(made_ready.as_nanos()).unwrap_or(u64::MAX).into();
        json["prove_ns"] = u64::try_from(proven.as_nanos()).unwrap_or(u64::MAX).into();
        json["verify_ns"] = u64::try_from(verified.as_nanos()).unwrap_or(u64::MAX).into();
        Ok(Report::new(out.to_string(), json))
    }

    /// What opens commitments, and where it goes.
    fn openings_at(&self) -> Vec<(&'static str, PathBuf)> {
        let wanted = [("records", self.commit_input), ("results", self.commit_results)];
        let wanted = wanted.into_iter().filter(|(_, wanted)| *wanted);
        wanted.map(|(word, _)| (word, self.out.with_extension(format!("{word}.opening")))).collect()
    }
}

/// Where everything goes, known before an opening is spent.
struct Places {
    proof: Place,
    /// Of the commitments to records and to results.
    openings: [Option<Place>; 2],
    results: Option<Destination>,
}

impl Places {
    fn of(asked: &Prove, home: &Home) -> Result<Self, Failure> {
        let openings_at = asked.openings_at();
        let model = model::file(&asked.model, home);
        let reads = [Some(&model), Some(&asked.input), asked.passphrase_file.as_ref()];
        let reads: Vec<&Path> = reads.into_iter().flatten().map(PathBuf::as_path).collect();
        let writes = std::iter::once(&asked.out).chain(&asked.results);
        let writes = writes.chain(openings_at.iter().map(|(_, path)| path));
        files::apart(&reads, &writes.map(PathBuf::as_path).collect::<Vec<_>>())?;
        let opening = |wanted: &str| {
            let path = openings_at.iter().find(|(word, _)| *word == wanted);
            path.map(|(_, path)| Place::secret(path)).transpose()
        };
        Ok(Self {
            proof: Place::open(&asked.out)?,
            openings: [opening("records")?, opening("results")?],
            results: asked.results.as_deref().map(Destination::new).transpose()?,
        })
    }
}

/// The weights that are proven about, and how surely.
fn about(
    parameters: Option<&RegisteredParameters>,
    asked: Option<engines::Level>,
) -> Result<engines::About<'_>, Failure> {
    let Some(own) = parameters else { return Ok(engines::About::Told(asked.unwrap_or_default())) };
    match asked {
        Some(asked) if asked != own.level() => {
            let what = format!("proofs about this model are made for {}, not for {asked}", own.level());
            Err(Failure::new("E-PRF-26", what)
                .why("the registration of its weights says for how many, and is part of the model's identity")
                .exit(2)
                .hint(format!("sealgrid model register MODEL --bits {} --out FILE.sgm", asked.bits())))
        }
        _ => Ok(own.into()),
    }
}

/// What is assumed of whoever makes proofs about registered weights.
const COUNTED: &str =
    "the prover makes no more proofs than the registration bears (for the weights' secrecy alone)";

/// What a proof hides, does not hide, and assumes.
fn limits(proof: &Proof) -> [Vec<&'static str>; 3] {
    let claimed = proof.claimed();
    let mut hides = vec!["every value inside the run"];
    let mut tells = vec!["how many records there are"];
    let mut assumes = engines::PROOFS_ASSUME.to_vec();
    match claimed.inputs {
        Values::Shown(_) => tells.push("the records: they are in the proof"),
        Values::Hidden => hides.push("the records"),
        Values::Committed(_) => hides.push("the records, from whoever has not their opening"),
    }
    match claimed.outputs {
        Values::Committed(_) => hides.push("the results, from whoever has not their opening"),
        _ => tells.push("the results"),
    }
    if claimed.weights_private {
        hides.push("the weights (zero-knowledge)");
        tells.push(engines::REGISTRATION_TELLS);
        assumes.push(COUNTED);
    } else {
        tells.push("the model: who checks this proof holds it, weights included");
    }
    [hides, tells, assumes]
}

/// What a proof says.
fn shown(proof: &Proof) -> String {
    let results = match proof.claimed().outputs {
        Values::Committed(_) => "the committed results",
        _ => "these results",
    };
    match proof.claimed().inputs {
        Values::Shown(_) => format!("the model yields {results} on the records in the proof"),
        Values::Hidden => format!("the prover knows records on which the model yields {results}"),
        Values::Committed(_) => format!("the model yields {results} on the committed records"),
    }
}

/// What a proof shows, hides and assumes, for people.
fn described(out: &mut comfy_table::Table, proof: &Proof, bits: f64) {
    out.add_row(["shown", &shown(proof)]);
    for (word, values) in [("records", &proof.claimed().inputs), ("results", &proof.claimed().outputs)] {
        if let Some(commitment) = values.committed() {
            out.add_row([&format!("commitment to the {word}"), &hex::encode(commitment.0)]);
        }
    }
    out.add_row(["soundness", &format!("{bits:.1} bits, proven, all steps added up")]);
    let [hides, tells, assumes] = limits(proof);
    out.add_row(["hides", &hides.join("; ")]);
    out.add_row(["does not hide", &tells.join("; ")]);
    out.add_row(["assumes", &assumes.join("; ")]);
}

/// The same for machines.
fn told(proof: &Proof, bits: f64) -> serde_json::Value {
    let claimed = proof.claimed();
    let [hides, tells, assumes] = limits(proof);
    let commitment = |values: &Values| values.committed().map(|commitment| hex::encode(commitment.0));
    serde_json::json!({
        "kind": "proof",
        "shown": shown(proof),
        "model": claimed.model.to_string(),
        "nonce": hex::encode(claimed.nonce),
        "records": claimed.records,
        "records_shown": claimed.inputs.shown().is_some(),
        "records_commitment": commitment(&claimed.inputs),
        "results_commitment": commitment(&claimed.outputs),
        "soundness_bits": bits,
        "weights_shown": !claimed.weights_private,
        "hides": hides,
        "does_not_hide": tells,
        "assumes": assumes,
    })
}

/// What a proof is checked with, beside its own bytes.
pub struct With<'w> {
    /// The model that it is about.
    pub model: Option<&'w Path>,
    /// What opens its commitments.
    pub openings: &'w [PathBuf],
    /// The records that it must be about.
    pub input: Option<&'w Path>,
}

/// Checks the bytes of a proof: what to say, and the results that it shows or that were opened.
pub fn verified(
    bytes: &[u8],
    path: &Path,
    with: &With<'_>,
    home: &Home,
) -> Result<(String, serde_json::Value, Option<Results>), Failure> {
    let model = with.model.ok_or_else(|| {
        Failure::new("E-USE-06", format!("{} is a proof, and no model was named", path.display()))
            .why("a proof is checked with the registered model that it is about, or with the model itself")
            .hint(format!("sealgrid verify {} --model MODEL.sgr", path.display()))
    })?;
    let checker = checker(model, home)?;
    let proof = Proof::from_bytes(bytes).map_err(|error| engines::not_proven(&error))?;
    let started = Instant::now();
    let bits = checker.verify(&proof)?;
    let took = duration(started.elapsed());
    let mut opened = Vec::new();
    for path in with.openings {
        let bytes = files::read(path)?;
        let opening = Opening::from_bytes(&bytes).and_then(|opening| opening.opens(&proof).map(|()| opening));
        opened.push(opening.map_err(|error| not_opened(error, path))?);
    }
    let values = |side, told: &Values| {
        let of_side = opened.iter().find(|opening| opening.side() == side).map(Opening::batches);
        told.shown().or(of_side).map(<[_]>::to_vec)
    };
    let (inputs, outputs) =
        (values(Side::Inputs, &proof.claimed().inputs), values(Side::Outputs, &proof.claimed().outputs));
    if let Some(file) = with.input {
        let records = data::records(file, None, home, None)?;
        let inputs = inputs.ok_or_else(|| {
            Failure::new("E-USE-06", format!("{} does not tell its records", path.display()))
                .hint(format!("sealgrid verify {} --opening OUT.records.opening …", path.display()))
        })?;
        if asking::encode(&records, &checker.public())?.0 != inputs {
            return Err(Failure::new("E-PRF-17", "the proof is about other records")
                .why(format!("{} holds other values than those that the proof tells", file.display()))
                .exit(4)
                .hint("compare the files; do not trust the proof for these records"));
        }
    }
    let rows = vec![Vec::new(); usize::try_from(proof.claimed().records).unwrap_or(0)];
    let nobody = Records { columns: None, rows, ids: None };
    let results = outputs.map(|outputs| asking::decode(&outputs, &checker.public(), &nobody));
    let mut out = facts();
    out.add_row(["verdict", &format!("ACCEPTED in {took}")]);
    out.add_row(["model", &proof.claimed().model.to_string()]);
    out.add_row(["records", &proof.claimed().records.to_string()]);
    described(&mut out, &proof, bits);
    let words = opened.iter().map(|opening| match opening.side() {
        Side::Inputs => "records",
        Side::Outputs => "results",
    });
    let words: Vec<&str> = words.collect();
    if !words.is_empty() {
        out.add_row(["opened", &words.join(", ")]);
    }
    if let Some(file) = with.input {
        out.add_row(["the records are those of", &file.display().to_string()]);
    }
    let mut json = told(&proof, bits);
    json["accepted"] = true.into();
    json["opened"] = words.into();
    json["records_are"] = with.input.map(|file| file.display().to_string()).into();
    json["results"] = results.as_ref().map(Results::to_json).into();
    Ok((out.to_string(), json, results))
}

/// A file that opens nothing.
fn not_opened(error: OpeningError, path: &Path) -> Failure {
    Failure::new(error.code(), format!("{} opens nothing of this proof", path.display()))
        .why(error)
        .exit(4)
        .hint("ask whoever made the proof for the opening that belongs to it")
}

/// Checks the bytes of a registered model: what to say.
pub fn registered(bytes: &[u8]) -> Result<(String, serde_json::Value), Failure> {
    let model = RegisteredModel::from_bytes(bytes).map_err(|error| engines::registration_rejected(&error))?;
    let bits = engines::verify_registration(&model)?;
    let (identity, openings) = (model.public().commitment().to_string(), model.openings());
    let mut out = facts();
    out.add_row(["verdict", "ACCEPTED"]);
    out.add_row(["model", &identity]);
    out.add_row([
        "shown",
        "one set of weights is registered under this identity, and it lies in the bounds in the file",
    ]);
    out.add_row(["openings", &openings.to_string()]);
    out.add_row(["soundness", &format!("{bits:.1} bits, proven, all steps added up")]);
    out.add_row(["tells", engines::REGISTRATION_TELLS]);
    let json = serde_json::json!({
        "kind": "registered model",
        "accepted": true,
        "model": identity,
        "openings": openings,
        "soundness_bits": bits,
        "tells": engines::REGISTRATION_TELLS,
        "assumes": engines::PROOFS_ASSUME,
    });
    Ok((out.to_string(), json))
}

/// What a file has for checking proofs: a model, or what was published of one.
fn checker(path: &Path, home: &Home) -> Result<Checker, Failure> {
    let file = model::file(path, home);
    let bytes = files::read(&file)?;
    if bytes.starts_with(engines::REGISTERED_MAGIC) {
        let model = RegisteredModel::from_bytes(&bytes)
            .map_err(|error| engines::registration_rejected(&error).context(&file))?;
        return Ok(Checker::Anybody(Box::new(model)));
    }
    if !bytes.starts_with(&engines::MODEL_MAGIC) {
        let what = format!("{} is no model, nor what was published of one", file.display());
        return Err(Failure::new("E-IMP-53", what)
            .why("it begins neither with SGR1, as a registered model's .sgr does, nor with SGM1")
            .hint("ask the model's owner for the .sgr file: sealgrid verify P.proof --model MODEL.sgr"));
    }
    let model = model::load(&file, home)?;
    let own = model.registration().map(|_| engines::parameters(&model)).transpose()?;
    Ok(Checker::Owner(Box::new(model), own))
}
