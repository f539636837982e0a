//! The one file that names engines. A socket is filled here and nowhere else.

use std::sync::Arc;

use sealgrid_fhe::linear::LinearError;
use sealgrid_fhe::model::{BATCH_SUMS_BYTES_MAX, Evaluator, ModelError};
pub use sealgrid_fhe::model::{LinearModel, RecordsBatch, SET as FHE_SET, SumsBatch};
use sealgrid_fhe::parameters::Parameters;
pub use sealgrid_fhe::rlwe::SecretKey;
use sealgrid_fhe::wire::{BATCH_RECORDS_BYTES_MAX, WireError};
use sealgrid_graph::execute::{Batch, Executor};
use sealgrid_graph::fast::FastExecutor;
pub use sealgrid_graph::model::MAGIC as MODEL_MAGIC;
use sealgrid_graph::model::{Model, PublicModel};
use sealgrid_graph::proving::ProofSystem;
use sealgrid_proof::file::{self, Planned, ProveError, RegistrationError, VerifyError};
pub use sealgrid_proof::file::{
    About, MAGIC as PROOF_MAGIC, Opening, OpeningError, Proof, REGISTERED_MAGIC, Records, RegisteredModel,
    RegisteredParameters, Results, Values,
};
pub use sealgrid_proof::level::Level;
use sealgrid_proof::level::joined;
use sealgrid_proof::registration::NotRegistrable;
pub use sealgrid_proof::system::ASSUMES as PROOFS_ASSUME;
use sealgrid_proof::system::System;
pub use sealgrid_proof::values::Side;
use sealgrid_seal::secret::{Secret, SecretBytes};

use crate::failure::Failure;

/// What executes integer graphs on this machine.
pub fn executor() -> Arc<dyn Executor> {
    Arc::new(FastExecutor::new())
}

/// What proves runs, and verifies proofs.
pub fn proofs() -> Arc<dyn ProofSystem> {
    Arc::new(System(crate::entropy))
}

/// The kernels that [`executor`] has chosen for this processor.
pub fn kernels() -> String {
    FastExecutor::new().backend().name().to_owned()
}

/// What a registration tells of the weights.
pub const REGISTRATION_TELLS: &str = "the model's architecture; how far each layer reaches (two numbers a layer, one a bias, of ten bits); how deep trees are, and how far they reach";

/// The parameters of a registered model.
pub fn parameters(model: &Model) -> Result<RegisteredParameters, Failure> {
    RegisteredParameters::of(model).map_err(|error| not_registered(&error))
}

/// The level of proofs that `--bits` names.
pub fn level(bits: &str) -> Result<Level, String> {
    let level = bits.parse().ok().and_then(Level::of_bits);
    level.ok_or_else(|| String::from("proofs are made for 99 or 127 bits"))
}

/// Refuses what would take more memory to register than it may.
pub fn registrable_within(model: &Model, openings: u32, level: Level, most: u64) -> Result<(), Failure> {
    let needed =
        RegisteredParameters::memory(model, openings, level).map_err(|error| not_registered(&error))?;
    if needed <= most {
        return Ok(());
    }
    Err(Failure::new("E-RES-83", "registering this model takes more memory than it may")
        .why(format!("it takes about {} MiB", needed.div_ceil(1 << 20)))
        .hint("give it more, or register it on a larger machine: the model's file is all that it needs"))
}

/// Registers the weights of `model` with so many openings, for proofs of a level: the model with its new identity, and its parameters.
pub fn register(model: Model, openings: u32, level: Level) -> Result<(Model, RegisteredParameters), Failure> {
    RegisteredParameters::register(model, openings, level).map_err(|error| not_registered(&error))
}

/// What to publish of a registered model. That spends an opening.
pub fn publish(model: &Model, parameters: &RegisteredParameters) -> Result<RegisteredModel, Failure> {
    parameters.publish(model, &mut crate::entropy()).map_err(|error| not_registered(&error))
}

/// Checks a registration; yields its bits of soundness.
pub fn verify_registration(model: &RegisteredModel) -> Result<f64, Failure> {
    model.verify(&mut crate::entropy()).map_err(|error| registration_rejected(&error))
}

/// What was published of a registered model and is rejected.
pub fn registration_rejected(error: &RegistrationError) -> Failure {
    Failure::new(error.code(), "the registered model is rejected")
        .because(error)
        .exit(4)
        .hint("ask the model's owner for the .sgr file again; do not use the model")
}

/// A registration that cannot be made, or that a model has not.
fn not_registered(error: &RegistrationError) -> Failure {
    let failure = Failure::new(error.code(), "the model's weights are not registered").because(error);
    match error {
        RegistrationError::None => {
            failure.exit(3).hint("sealgrid model register MODEL --openings 32 --out FILE.sgm")
        }
        RegistrationError::NotRegistrable(NotRegistrable::TooLarge(_) | NotRegistrable::Shape(_)) => {
            failure.hint("sealgrid model register MODEL --openings 32 --out FILE.sgm")
        }
        RegistrationError::NotProvable(_) => failure
            .exit(3)
            .hint("run it on the grid instead: sealgrid run MODEL --input DATA --verify quorum:3"),
        RegistrationError::NotRegistrable(_) => failure.exit(3).hint(
            "prove its runs to those who hold the model: sealgrid prove MODEL --input DATA --out P.proof",
        ),
        _ => failure.exit(4).hint("ask the model's owner for the file again"),
    }
}

/// Runs `model` on `inputs` and plans the proof, which tells as much of these and of the results as `told` says. Where the weights are told, whoever checks it
/// must hold the model. It may take so many bytes of memory.
pub fn plan(
    model: &Model,
    about: About<'_>,
    inputs: &[Batch],
    told: (Records<'_>, Results<'_>),
    memory_max: u64,
) -> Result<Planned, Failure> {
    let prepared = executor()
        .prepare(Arc::clone(model.graph()))
        .map_err(|error| Failure::new(error.code(), error.to_string()))?;
    let nonce = *Secret::<32>::random(&mut crate::entropy()).expose();
    file::plan(model, about, prepared.as_ref(), inputs, told, nonce, memory_max)
        .map_err(|error| not_provable(&error))
}

/// Proves what was planned.
pub fn prove(planned: Planned) -> Result<Proof, Failure> {
    planned.prove(&mut crate::entropy()).map_err(|error| not_provable(&error))
}

fn not_provable(error: &ProveError) -> Failure {
    let failure = Failure::new(error.code(), "this run cannot be proven").because(error);
    match error {
        ProveError::NotProvable(run) if !run.is_too_large() => failure
            .exit(3)
            .hint("run it on the grid instead: sealgrid run MODEL --input DATA --verify quorum:3"),
        ProveError::NotProvable(_) | ProveError::TooLarge(_) => failure.hint("prove fewer records at a time"),
        ProveError::Memory { .. } => failure.hint("prove fewer records at a time, or give it more"),
        ProveError::Witness(_) => failure,
    }
}

/// Whom a proof is checked with.
pub enum Checker {
    /// The model, weights included, and its registered parameters if it has some.
    Owner(Box<Model>, Option<RegisteredParameters>),
    /// What was published of it.
    Anybody(Box<RegisteredModel>),
}

impl Checker {
    /// What everybody may know of the model.
    pub fn public(&self) -> PublicModel {
        match self {
            Self::Owner(model, _) => model.public(),
            Self::Anybody(model) => model.public().clone(),
        }
    }

    /// Checks a proof, and the registration that it rests on; yields the bits of soundness of both together.
    pub fn verify(&self, proof: &Proof) -> Result<f64, Failure> {
        match self {
            Self::Owner(model, own) => {
                proof.verify(model, own.as_ref(), &mut crate::entropy()).map_err(|error| not_proven(&error))
            }
            Self::Anybody(model) => Ok(joined(verify_registration(model)?, verify_registered(proof, model)?)),
        }
    }
}

/// Checks a proof without weights, with a model whose registration was checked; yields its bits of soundness.
pub fn verify_registered(proof: &Proof, model: &RegisteredModel) -> Result<f64, Failure> {
    proof.verify_registered(model, &mut crate::entropy()).map_err(|error| not_proven(&error))
}

/// A proof that is rejected.
pub fn not_proven(error: &VerifyError) -> Failure {
    Failure::new(error.code(), "the proof is rejected")
        .because(error)
        .exit(4)
        .hint("ask for the proof and the model again; do not use the results")
}

/// Most bytes of a file of encrypted records.
pub const FHE_RECORDS_BYTES_MAX: u64 = BATCH_RECORDS_BYTES_MAX as u64;
/// Most bytes of a file of encrypted sums.
pub const FHE_SUMS_BYTES_MAX: u64 = BATCH_SUMS_BYTES_MAX as u64;

fn fhe_parameters() -> Parameters {
    Parameters::new(FHE_SET).expect("a published set")
}

/// A fresh key for records.
pub fn fhe_key() -> SecretKey {
    SecretKey::generate(&fhe_parameters(), &mut crate::entropy())
}

/// The key in a file's bytes, which are wiped.
pub fn fhe_key_of(bytes: Vec<u8>) -> Result<SecretKey, Failure> {
    SecretKey::from_secret_bytes(&fhe_parameters(), &SecretBytes::new(bytes)).map_err(|error| {
        fhe(&error, "no secret key of fhe")
            .exit(7)
            .hint("name the file that was made by: sealgrid fhe keygen --out KEY")
    })
}

/// What was published of a registered model, if the bytes are that: enough to encrypt for it.
pub fn published(bytes: &[u8]) -> Result<Option<PublicModel>, Failure> {
    if !bytes.starts_with(REGISTERED_MAGIC) {
        return Ok(None);
    }
    let model = RegisteredModel::from_bytes(bytes).map_err(|error| registration_rejected(&error))?;
    Ok(Some(model.public().clone()))
}

/// The one linear layer of a model, as everybody may know it.
pub fn linear(public: &PublicModel) -> Result<LinearModel, Failure> {
    LinearModel::of(public).map_err(|error| not_encrypted(&error))
}

/// The same with its weights, for whoever evaluates.
pub fn evaluator(model: &Model) -> Result<Evaluator, Failure> {
    Evaluator::of(model).map_err(|error| not_encrypted(&error))
}

/// Encrypts a model's encoded records.
pub fn encrypt(model: &LinearModel, key: &SecretKey, records: &Batch) -> Result<RecordsBatch, Failure> {
    model.encrypt(key, records, &mut crate::entropy()).map_err(|error| not_encrypted(&error))
}

/// Evaluates encrypted records. There is no place for a key.
pub fn evaluate(evaluator: &Evaluator, records: &RecordsBatch) -> Result<SumsBatch, Failure> {
    evaluator.evaluate(records).map_err(|error| not_encrypted(&error))
}

/// Decrypts sums, and finishes the model's results in the clear.
pub fn decrypt(model: &LinearModel, key: &SecretKey, sums: &SumsBatch) -> Result<Vec<Batch>, Failure> {
    model.decrypt(key, sums).map_err(|error| not_encrypted(&error))
}

/// Encrypted records from a file's bytes.
pub fn encrypted_records(bytes: &[u8]) -> Result<RecordsBatch, Failure> {
    RecordsBatch::from_bytes(bytes).map_err(|error| fhe(&error, "no encrypted records"))
}

/// Encrypted sums from a file's bytes.
pub fn encrypted_sums(bytes: &[u8]) -> Result<SumsBatch, Failure> {
    SumsBatch::from_bytes(bytes).map_err(|error: WireError| fhe(&error, "no encrypted sums"))
}

/// An error of computing on ciphertexts, whose text begins with its code.
fn fhe(error: &dyn std::error::Error, what: &str) -> Failure {
    let said = error.to_string();
    let (code, why) = said.split_once(": ").unwrap_or(("E-FHE-20", &said));
    Failure::new(code, what).why(why)
}

fn not_encrypted(error: &ModelError) -> Failure {
    let failure = |what| fhe(error, what);
    match error {
        ModelError::NotLinear(_) => failure("this model cannot be evaluated on encrypted records")
            .exit(3)
            .hint("run it on the grid instead: sealgrid run MODEL --input DATA --verify quorum:3"),
        ModelError::OtherModel { .. } => failure("these ciphertexts are of another model")
            .hint("name the model that the records were encrypted for, or encrypt them again for this one"),
        ModelError::TooMany { .. } => failure("too many records for one file")
            .exit(6)
            .hint("split the records, and encrypt the parts one after the other"),
        ModelError::Linear(LinearError::OtherKey) => failure("the key does not open these sums")
            .exit(7)
            .hint("name the key that the records were encrypted with: --key FILE"),
        ModelError::Linear(LinearError::OtherShape) => failure("these sums are not of the model's layer")
            .hint("ask whoever evaluated the records for the sums again; do not use these"),
        ModelError::Linear(_) => failure("this model's layer cannot be evaluated exactly under encryption")
            .exit(3)
            .hint("run it on the grid instead: sealgrid run MODEL --input DATA --verify quorum:3"),
    }
}
