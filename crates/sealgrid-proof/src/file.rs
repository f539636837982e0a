//! A proof of a run as a file: the statement, and the argument for it.
//!
//! ```text
//! "SGP1", then canonical CBOR:
//! [[1, model commitment, nonce, records, inputs, outputs, weights are private, 99 or 127], argument]
//!
//! inputs, outputs = [0, [[batch…]]] shown, or [1, []] hidden, inputs alone, or [2, [commitment]]
//! argument = [commitment, wires, [attached…], last, opening]
//! ```
//!
//! Wires and the last step's messages are elements of the extension field, five coordinates of four bytes (little endian, below the
//! order) each; the opening is the library's encoding.

mod opening;
mod registered;

use std::sync::Arc;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use p3_field::{BasedVectorSpace as _, PrimeField32 as _};
use rand_core::CryptoRng;
use sealgrid_graph::execute::{Batch, Prepared};
use sealgrid_graph::integer::Graph;
use sealgrid_graph::model::{Model, ModelCommitment};
use sealgrid_seal::canonical;
use sealgrid_seal::digest::{Commitment, CommitmentKey, labels};

pub use self::opening::{MAGIC as OPENING_MAGIC, Opening, OpeningError};
pub use self::registered::{
    MAGIC as REGISTERED_MAGIC, RegisteredModel, RegisteredParameters, RegistrationError,
};
use crate::argument::{self, Argument, TooLarge};
use crate::channel::ProofError;
use crate::commit;
use crate::field::{Challenge, Element};
use crate::level::Level;
use crate::lookups::Witness;
use crate::run::{Inputs, NotProvable, Outputs, Run, Weights, WitnessError};
use crate::threads::both;
use crate::transcript::Transcript;
use crate::values::{self, Side};
use crate::weights::Shape;

/// The first bytes of a file.
pub const MAGIC: &[u8; 4] = b"SGP1";
/// Most bytes of a file.
pub const BYTES_MAX: usize = 64 << 20;
const VERSION: u16 = 1;
/// Bytes of an element of the extension field.
const ELEMENT_BYTES: usize = 20;

/// A proof of a run.
#[derive(Clone, Debug)]
pub struct Proof {
    statement: Statement,
    argument: Argument,
}

/// What is proven: that the model yields the outputs on some records; on these, if they are given.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Statement {
    #[n(0)]
    version: u16,
    /// Which model, weights included.
    #[n(1)]
    pub model: ModelCommitment,
    /// Fresh for every proof, or the job's.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub nonce: [u8; 32],
    /// How many records.
    #[n(3)]
    pub records: u32,
    /// The records.
    #[n(4)]
    pub inputs: Values,
    /// What they yield.
    #[n(5)]
    pub outputs: Values,
    /// Whether it is proven about the registered parameters, so that nobody needs them to check it.
    #[n(6)]
    pub weights_private: bool,
    /// What it is made for.
    #[n(7)]
    pub level: Level,
}

/// What is said of values that go into a run or come out of it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Values {
    /// Here they are.
    #[n(0)]
    Shown(#[n(0)] Vec<Batch>),
    /// The prover knows them. Of inputs alone.
    #[n(1)]
    Hidden,
    /// They are those of a commitment ([`crate::values`]).
    #[n(2)]
    Committed(#[n(0)] Commitment),
}

impl Values {
    /// The values, where they are shown.
    #[must_use]
    pub fn shown(&self) -> Option<&[Batch]> {
        if let Self::Shown(batches) = self { Some(batches) } else { None }
    }

    /// The commitment to them.
    #[must_use]
    pub fn committed(&self) -> Option<Commitment> {
        if let Self::Committed(commitment) = self { Some(*commitment) } else { None }
    }
}

/// What a proof tells of the records.
#[derive(Clone, Copy, Debug)]
pub enum Records<'k> {
    /// All.
    Show,
    /// Nothing.
    Hide,
    /// A commitment under this key.
    Commit(&'k CommitmentKey),
}

/// What a proof tells of what they yield.
#[derive(Clone, Copy, Debug)]
pub enum Results<'k> {
    /// All.
    Show,
    /// A commitment under this key.
    Commit(&'k CommitmentKey),
}

/// Which weights a proof is about.
#[derive(Clone, Copy, Debug)]
pub enum About<'p> {
    /// Those that whoever checks it holds.
    Told(Level),
    /// Registered ones, which nobody else needs; the registration says what proofs are made for.
    Registered(&'p RegisteredParameters),
}

impl<'p> About<'p> {
    /// What the proof is made for.
    #[must_use]
    pub fn level(self) -> Level {
        match self {
            Self::Told(level) => level,
            Self::Registered(own) => own.level(),
        }
    }

    /// The registered ones.
    #[must_use]
    pub fn registered(self) -> Option<&'p RegisteredParameters> {
        match self {
            Self::Told(_) => None,
            Self::Registered(own) => Some(own),
        }
    }
}

impl<'p> From<&'p RegisteredParameters> for About<'p> {
    fn from(own: &'p RegisteredParameters) -> Self {
        Self::Registered(own)
    }
}

/// Why a run is not proven.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// An operation of the graph.
    #[error(transparent)]
    NotProvable(#[from] NotProvable),
    /// The whole.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// It would take more memory than it may.
    #[error("proving it takes about {} MiB", .needed.div_ceil(1 << 20))]
    Memory {
        /// Bytes that it takes at most, about.
        needed: u64,
    },
    /// The input.
    #[error(transparent)]
    Witness(#[from] WitnessError),
}

impl ProveError {
    /// The code of the index of errors.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotProvable(run) if run.is_too_large() => "E-RES-80",
            Self::NotProvable(_) => "E-PRF-01",
            Self::TooLarge(_) => "E-RES-80",
            Self::Memory { .. } => "E-RES-83",
            Self::Witness(WitnessError::Run(error)) => error.code(),
            Self::Witness(WitnessError::NotInTable(_)) => "E-PRF-02",
        }
    }
}

/// Why a file proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is no proof.
    #[error("the file is not a proof of this version, or was cut or changed")]
    Malformed,
    /// It is about another model.
    #[error("the proof is about the model {0}")]
    OtherModel(ModelCommitment),
    /// It says something else than what it was to prove.
    #[error("the proof belongs to another run: of another job, or between other commitments")]
    OtherStatement,
    /// Its weights are public, and they are not here.
    #[error("the proof was made for those who hold the model, weights included")]
    NeedsModel,
    /// The model's registration is not what it must be.
    #[error(transparent)]
    Registration(RegistrationError),
    /// It states what no run of the model can be.
    #[error(transparent)]
    Statement(#[from] NotProvable),
    /// It does not hold.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl VerifyError {
    /// The code of the index of errors.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "E-PRF-10",
            Self::OtherModel(_) => "E-PRF-11",
            Self::OtherStatement => "E-PRF-18",
            Self::NeedsModel => "E-PRF-14",
            Self::Registration(error) => error.code(),
            Self::Statement(_) => "E-PRF-12",
            Self::Proof(_) => "E-PRF-13",
        }
    }
}

impl Statement {
    fn run(&self, graph: &Arc<Graph>, weights: Weights<'_>) -> Result<Run, NotProvable> {
        let records = usize::try_from(self.records).expect("u32 fits usize");
        let inputs = match &self.inputs {
            Values::Shown(inputs) => Inputs::Public(inputs),
            Values::Hidden => Inputs::Private(records),
            Values::Committed(root) => Inputs::Committed(root.0, records),
        };
        let outputs = match &self.outputs {
            Values::Shown(outputs) => Outputs::Public(outputs.clone()),
            // A file that hides them is none.
            Values::Hidden => Outputs::Public(Vec::new()),
            Values::Committed(root) => Outputs::Committed(root.0),
        };
        Run::new(graph, weights, inputs, outputs)
    }

    fn transcript(&self) -> Transcript {
        let mut transcript = Transcript::new(labels::PROOF);
        transcript.absorb_bytes(labels::PROOF_STATEMENT, &canonical::encode(self));
        transcript
    }
}

/// A run that can be proven, and all that proving it takes.
#[derive(Debug)]
pub struct Planned {
    statement: Statement,
    run: Run,
    witness: Witness,
    outputs: Vec<Batch>,
}

/// Runs `model`, with `prepared`, on `inputs`, and plans the proof, which will belong to `nonce` and may take so many bytes of memory; nothing was shown yet. Where the weights are told, whoever checks the proof must hold the model.
///
/// # Errors
/// [`ProveError`].
///
/// # Panics
/// When registered parameters are not the model's.
pub fn plan(
    model: &Model,
    about: About<'_>,
    prepared: &dyn Prepared,
    inputs: &[Batch],
    (records, results): (Records<'_>, Results<'_>),
    nonce: [u8; 32],
    memory_max: u64,
) -> Result<Planned, ProveError> {
    let (level, parameters) = (about.level(), about.registered());
    let outputs = prepared.run(inputs, &mut ()).map_err(WitnessError::from)?;
    let count = inputs.first().map_or(0, Batch::records);
    let mut own = Vec::new();
    let mut commit = |side, batches: &[Batch], key| {
        let elements = batches.iter().map(|batch| batch.data().len()).sum();
        let committed =
            values::commit(level, side, batches, key).map_err(|_| TooLarge::Elements(elements))?;
        let root = values::root(&committed);
        own.push(committed);
        Ok::<_, TooLarge>(Values::Committed(root))
    };
    let told_inputs = match records {
        Records::Show => Values::Shown(inputs.to_vec()),
        Records::Hide => Values::Hidden,
        Records::Commit(key) => commit(Side::Inputs, inputs, key)?,
    };
    let told_outputs = match results {
        Results::Show => Values::Shown(outputs.clone()),
        Results::Commit(key) => commit(Side::Outputs, &outputs, key)?,
    };
    let statement = Statement {
        version: VERSION,
        model: model.commitment(),
        nonce,
        records: u32::try_from(count).map_err(|_| TooLarge::Elements(count))?,
        inputs: told_inputs,
        outputs: told_outputs,
        weights_private: parameters.is_some(),
        level,
    };
    let run = match parameters {
        None => statement.run(model.graph(), Weights::Public(level))?,
        Some(own) => {
            let run = statement.run(model.graph(), Weights::Private(&own.registration))?;
            run.with_parameters(&own.parameters)
        }
    };
    let run = run.with_values(own);
    let registered = parameters.map(|own| own.registration.registered.shape);
    let needed = memory(argument::variables(&run)?, run.variables(), registered);
    if needed > memory_max {
        return Err(ProveError::Memory { needed });
    }
    let witness = run.witness(prepared, inputs)?;
    Ok(Planned { statement, run, witness, outputs })
}

/// Bytes that a process takes for a proof, about: by the variables of its vector, of its tree of fractions and of its sums, and its registered parameters.
/// Measured (docs/reference/benchmarks/proof.md).
fn memory(vector: usize, (fractions, sums): (usize, Option<usize>), registered: Option<Shape>) -> u64 {
    // Where the vector holds a combination of rows alone, hardly more is made of parameters than their words.
    let [of_sum, of_parameter] = match registered {
        Some(shape) if shape.is_combined() => [40, 110],
        _ => [80, 330],
    };
    let sums = sums.map_or(0, |sums| of_sum << sums);
    let parameters = registered.map_or(0, |shape| of_parameter * shape.count() as u64);
    (14 << 20) + (80 << vector) + (60 << fractions) + sums + parameters
}

impl Planned {
    /// What will be proven.
    #[must_use]
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// What the model yields.
    #[must_use]
    pub fn outputs(&self) -> &[Batch] {
        &self.outputs
    }

    /// Proves it. Where parameters are private, that spends one of the openings of their registration.
    ///
    /// # Errors
    /// [`ProveError`].
    pub fn prove(self, rng: &mut impl CryptoRng) -> Result<Proof, ProveError> {
        let argument = argument::prove(&self.run, &self.witness, self.statement.transcript(), rng)?;
        Ok(Proof { statement: self.statement.clone(), argument })
    }
}

impl Proof {
    /// What it is about; nothing of it is true before [`Proof::verify`] says so.
    #[must_use]
    pub fn claimed(&self) -> &Statement {
        &self.statement
    }

    /// Checks the proof with the model that it is about, and with `own`, its registered parameters, where it is about these; yields its bits of soundness.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn verify(
        &self,
        model: &Model,
        own: Option<&RegisteredParameters>,
        rng: &mut impl CryptoRng,
    ) -> Result<f64, VerifyError> {
        if model.commitment() != self.statement.model {
            return Err(VerifyError::OtherModel(self.statement.model));
        }
        let weights = match (self.statement.weights_private, own) {
            (false, _) => Weights::Public(self.statement.level),
            (true, Some(own)) => Weights::Private(&own.registration),
            (true, None) => return Err(VerifyError::Registration(RegistrationError::None)),
        };
        self.check(model.graph(), weights, rng)
    }

    /// Checks the proof with what was published of the model, which holds no parameters ([`RegisteredModel::verify`] has shown that the registration is
    /// true); yields its bits of soundness.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn verify_registered(
        &self,
        model: &RegisteredModel,
        rng: &mut impl CryptoRng,
    ) -> Result<f64, VerifyError> {
        if model.public().commitment() != self.statement.model {
            return Err(VerifyError::OtherModel(self.statement.model));
        }
        if !self.statement.weights_private {
            return Err(VerifyError::NeedsModel);
        }
        self.check(&model.graph, Weights::Private(&model.registration), rng)
    }

    fn check(
        &self,
        graph: &Arc<Graph>,
        weights: Weights<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<f64, VerifyError> {
        let same_records = |batch: &Batch| u32::try_from(batch.records()) == Ok(self.statement.records);
        let shown = [&self.statement.inputs, &self.statement.outputs]
            .map(|values| values.shown().unwrap_or_default());
        // Of another level than the registration's is no proof about it.
        let same_level = weights.level() == self.statement.level;
        if !same_level || !shown.iter().copied().flatten().all(same_records) {
            return Err(VerifyError::Malformed);
        }
        // What the opening says is looked at much later, and takes some time to read.
        let read = || commit::read_opening(&self.argument.opening);
        let (shown, run) = both(read, || self.statement.run(graph, weights));
        Ok(argument::verify_read(&run?, &self.argument, shown, self.statement.transcript(), rng)?)
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let file = File { statement: self.statement.clone(), argument: StoredArgument::of(&self.argument) };
        [&MAGIC[..], &canonical::encode(&file)].concat()
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`VerifyError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, VerifyError> {
        let body = bytes.strip_prefix(MAGIC).ok_or(VerifyError::Malformed)?;
        let file: File = canonical::decode(body, BYTES_MAX).map_err(|_| VerifyError::Malformed)?;
        if file.statement.version != VERSION || file.statement.outputs == Values::Hidden {
            return Err(VerifyError::Malformed);
        }
        let argument = file.argument.read().ok_or(VerifyError::Malformed)?;
        Ok(Self { statement: file.statement, argument })
    }
}

#[derive(Encode, Decode)]
struct File {
    #[n(0)]
    statement: Statement,
    #[n(1)]
    argument: StoredArgument,
}

/// An argument as it stands in a file.
#[derive(Encode, Decode)]
struct StoredArgument {
    #[cbor(n(0), with = "minicbor::bytes")]
    commitment: [u8; 32],
    #[n(1)]
    wires: ByteVec,
    #[n(2)]
    attached: Vec<ByteVec>,
    #[n(3)]
    last: ByteVec,
    #[n(4)]
    opening: ByteVec,
}

impl StoredArgument {
    fn of(argument: &Argument) -> Self {
        Self {
            commitment: argument.commitment.to_bytes(),
            wires: elements_to_bytes(&argument.wires),
            attached: argument.attached.iter().cloned().map(ByteVec::from).collect(),
            last: elements_to_bytes(&argument.last),
            opening: argument.opening.clone().into(),
        }
    }

    fn read(self) -> Option<Argument> {
        Some(Argument {
            commitment: commit::Commitment::from_bytes(self.commitment),
            wires: elements_from_bytes(&self.wires)?,
            attached: self.attached.into_iter().map(Vec::from).collect(),
            last: elements_from_bytes(&self.last)?,
            opening: self.opening.into(),
        })
    }
}

fn elements_to_bytes(elements: &[Challenge]) -> ByteVec {
    let coordinates = elements.iter().flat_map(|element| {
        let coordinates: &[Element] = element.as_basis_coefficients_slice();
        coordinates
            .iter()
            .flat_map(|coordinate| coordinate.as_canonical_u32().to_le_bytes())
            .collect::<Vec<_>>()
    });
    coordinates.collect::<Vec<u8>>().into()
}

fn elements_from_bytes(bytes: &[u8]) -> Option<Vec<Challenge>> {
    let (elements, []) = bytes.as_chunks::<ELEMENT_BYTES>() else { return None };
    elements
        .iter()
        .map(|element| {
            let (coordinates, []) = element.as_chunks::<4>() else { unreachable!("five times four") };
            let coordinates: Vec<u32> = coordinates.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
            let reduced = coordinates.iter().all(|coordinate| *coordinate < Element::ORDER_U32);
            reduced.then(|| Challenge::from_basis_coefficients_fn(|at| Element::new(coordinates[at])))
        })
        .collect()
}

/// Reads a proof: what the fuzzer and the corpus replay call.
#[doc(hidden)]
pub fn fuzz_parse(bytes: &[u8]) {
    if let Ok(proof) = Proof::from_bytes(bytes) {
        assert_eq!(proof.to_bytes(), bytes, "one spelling");
    }
    if let Ok(model) = RegisteredModel::from_bytes(bytes) {
        assert_eq!(model.to_bytes(), bytes, "one spelling");
    }
    if let Ok(opening) = Opening::from_bytes(bytes) {
        assert_eq!(opening.to_bytes().expose(), bytes, "one spelling");
    }
    crate::commit::fuzz_open(bytes);
}

#[cfg(test)]
pub(crate) mod evidence;
#[cfg(test)]
mod tests;
