//! What is asked for: the public header of a job, its private payload, and the commitments between the two.

use minicbor::encode::Write;
use minicbor::{Decode, Encode, Encoder};
use sealgrid_graph::execute::{Batch, BatchRef};
use sealgrid_graph::integer::Graph;
use sealgrid_graph::trace;
use sealgrid_seal::aead::TAG_LENGTH;
use sealgrid_seal::canonical::{self, NotCanonical};
use sealgrid_seal::digest::{Commitment, CommitmentKey, Digest, labels};
use sealgrid_seal::identity::PublicIdentity;
use sealgrid_seal::secret::{Secret, SecretBytes};

use crate::claims::{LogState, PARTIES_MAX, RECORDS_MAX};
use crate::machine::Millis;
use crate::names::{JobId, ModelCommitment, Protection, QUORUM_MEMBERS, Verification};

/// The only version of the format.
pub const VERSION: u16 = 1;
/// Most bytes of a header.
pub const HEADER_BYTES_MAX: usize = 16 << 10;
/// Most bytes of a payload or an output before it is sealed: 32 MiB.
pub const PAYLOAD_BYTES_MAX: usize = 32 << 20;
/// Most outputs, and most inputs, of a model that takes part in a quorum.
pub const VALUES_MAX: usize = 256;
/// Longest time between request and deadline: one day.
pub const LIFETIME_MS_MAX: Millis = 24 * 3_600 * 1_000;

/// The outer form of a model's trace, read off its public architecture.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TraceShape {
    /// Inputs of the graph.
    #[n(0)]
    pub inputs: u32,
    /// Operations: leaves of the trace.
    #[n(1)]
    pub operations: u32,
    /// The graph's outputs as values: inputs first, then one value an operation.
    #[n(2)]
    pub outputs: Vec<u32>,
}

impl TraceShape {
    /// The shape of `graph`'s traces.
    ///
    /// # Panics
    /// Never: a checked graph has fewer than 2^32 values.
    #[must_use]
    pub fn of(graph: &Graph) -> Self {
        let count = |length: usize| u32::try_from(length).expect("a checked graph is bounded");
        Self {
            inputs: count(graph.inputs().len()),
            operations: count(graph.operations().len()),
            outputs: graph.outputs().iter().map(|value| value.0).collect(),
        }
    }

    /// The operation that yields `value`; `None` for an input.
    #[must_use]
    pub fn operation(&self, value: u32) -> Option<u32> {
        value.checked_sub(self.inputs)
    }

    fn check(&self) -> Result<(), HeaderError> {
        let values = self.inputs.checked_add(self.operations);
        let known = |value: &u32| values.is_some_and(|values| *value < values);
        require((1..=VALUES_MAX).contains(&self.outputs.len()), "JOB-04", "no outputs, or more than 256")?;
        require(
            usize::try_from(self.inputs).is_ok_and(|n| n <= VALUES_MAX),
            "JOB-04",
            "more than 256 inputs",
        )?;
        require(self.operations >= 1, "JOB-04", "a trace without operations")?;
        require(self.operations <= 1 << 20, "JOB-04", "a trace of more than 2^20 operations")?;
        require(self.outputs.iter().all(known), "JOB-04", "an output that is no value")
    }
}

/// Who settles a dispute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum RefereeRule {
    /// The client, which holds the model. Nobody else has to be trusted.
    #[n(0)]
    Client,
    /// The first reserve that answers. Whether a dispute ended rightly then depends on it.
    #[n(1)]
    Reserve,
}

/// What a dispute leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum OnDispute {
    /// Bisect, name the liars, accept what survives with a majority.
    #[n(0)]
    Resolve,
    /// Refuse the job as soon as two members differ.
    #[n(1)]
    Refuse,
}

/// The public header: everything that a job's parties and its auditors must agree on.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct JobHeader {
    /// [`VERSION`].
    #[n(0)]
    pub version: u16,
    /// The client's nonce, fresh for every job.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub nonce: [u8; 32],
    /// Who asks. Nodes take messages about this job from nobody else.
    #[n(2)]
    pub client: PublicIdentity,
    /// What is to run.
    #[n(3)]
    pub model: ModelCommitment,
    /// The outer form of its traces.
    #[n(4)]
    pub shape: TraceShape,
    /// [`commit_inputs`]; for `proof` the proof system's own commitment.
    #[n(5)]
    pub input: Commitment,
    /// Records in the input.
    #[n(6)]
    pub records: u32,
    /// Digest of the policy.
    #[n(7)]
    pub policy: Digest,
    /// Protection that the policy asks for at least.
    #[n(8)]
    pub protection_asked: Protection,
    /// Protection in use.
    #[n(9)]
    pub protection: Protection,
    /// Verification that the policy asks for at least.
    #[n(10)]
    pub verification_asked: Verification,
    /// Verification in use.
    #[n(11)]
    pub verification: Verification,
    /// Members, in draw order.
    #[n(12)]
    pub committee: Vec<PublicIdentity>,
    /// Reserves, in draw order.
    #[n(13)]
    pub reserves: Vec<PublicIdentity>,
    /// Digest of the directory.
    #[n(14)]
    pub directory: Digest,
    /// The log's state that the draw used.
    #[n(15)]
    pub log: LogState,
    /// When the client asked.
    #[n(16)]
    pub requested: Millis,
    /// When the job ends, whatever happened.
    #[n(17)]
    pub deadline: Millis,
    /// Who settles a dispute.
    #[n(18)]
    pub referee: RefereeRule,
    /// What a dispute leads to.
    #[n(19)]
    pub on_dispute: OnDispute,
}

/// A header breaks a rule of docs/spec/job.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("job header breaks {rule}: {what}")]
pub struct HeaderError {
    /// `JOB-NN`.
    pub rule: &'static str,
    /// What is wrong.
    pub what: &'static str,
}

impl HeaderError {
    /// The code in docs/reference/errors/quorum.md.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "E-QRM-01"
    }
}

pub(crate) fn require(holds: bool, rule: &'static str, what: &'static str) -> Result<(), HeaderError> {
    if holds { Ok(()) } else { Err(HeaderError { rule, what }) }
}

impl JobHeader {
    /// The job's name: `H(JOB_ID, canonical header)`.
    #[must_use]
    pub fn id(&self) -> JobId {
        JobId(Digest::of(labels::JOB_ID, &[&canonical::encode(self)]))
    }

    /// The canonical bytes: associated data of every payload, and evidence.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::encode(self)
    }

    /// Reads a header and checks its rules.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeaderError> {
        let header: Self = canonical::decode(bytes, HEADER_BYTES_MAX)
            .map_err(|_| HeaderError { rule: "JOB-01", what: "not a header in canonical form" })?;
        header.check()?;
        Ok(header)
    }

    /// What a header must keep in itself.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub fn check(&self) -> Result<(), HeaderError> {
        require(self.version == VERSION, "JOB-02", "version is not 1")?;
        require((1..=RECORDS_MAX).contains(&self.records), "JOB-03", "no records, or too many")?;
        self.shape.check()?;
        self.check_parties()?;
        require(self.requested < self.deadline, "JOB-07", "deadline is not after the request")?;
        require(
            self.deadline - self.requested <= LIFETIME_MS_MAX,
            "JOB-07",
            "deadline is more than a day away",
        )?;
        require(
            self.protection.satisfies(self.protection_asked),
            "JOB-08",
            "protection is weaker than asked",
        )?;
        require(
            self.verification.satisfies(self.verification_asked),
            "JOB-08",
            "verification is weaker than asked",
        )
    }

    fn check_parties(&self) -> Result<(), HeaderError> {
        let size_allowed = match self.verification {
            Verification::Signed | Verification::Proof => true,
            Verification::Quorum { members } => QUORUM_MEMBERS.contains(&members),
        };
        require(size_allowed, "JOB-05", "neither signed, nor proven, nor a quorum of 2 to 9")?;
        require(self.committee.len() == self.members(), "JOB-05", "committee is not of the size in use")?;
        let mut parties: Vec<_> = self.parties().collect();
        let count = parties.len();
        parties.sort_unstable();
        parties.dedup();
        require(count <= PARTIES_MAX, "JOB-06", "more than 32 parties")?;
        require(parties.len() == count, "JOB-06", "a party is named twice")
    }

    /// Places in the committee.
    #[must_use]
    pub fn members(&self) -> usize {
        usize::from(self.verification.members())
    }

    /// Fewest equal votes that are accepted: `floor(K / 2) + 1` of the places, filled or not (QUORUM-09).
    #[must_use]
    pub fn majority(&self) -> usize {
        self.members() / 2 + 1
    }

    /// Members, then reserves, in draw order.
    pub fn parties(&self) -> impl Iterator<Item = PublicIdentity> {
        self.committee.iter().chain(&self.reserves).copied()
    }

    /// Where a party stands in the draw.
    #[must_use]
    pub fn rank(&self, party: &PublicIdentity) -> Option<usize> {
        self.parties().position(|known| known == *party)
    }
}

/// Commitment to a job's input under its key, built so that one input can be opened alone:
/// `C(JOB_INPUT, [C(JOB_INPUT, [j, canonical batch j]) for every j])`, `j` as 8 bytes little endian.
#[must_use]
pub fn commit_inputs(key: &CommitmentKey, inputs: &[Batch]) -> Commitment {
    let parts: Vec<Commitment> =
        inputs.iter().enumerate().map(|(index, batch)| commit_input(key, index, batch)).collect();
    join_inputs(key, &parts)
}

/// The commitment to all inputs from those to each.
pub(crate) fn join_inputs(key: &CommitmentKey, parts: &[Commitment]) -> Commitment {
    join(key, labels::JOB_INPUT, parts)
}

/// Commitment to input number `index` alone.
#[must_use]
pub fn commit_input(key: &CommitmentKey, index: usize, batch: &Batch) -> Commitment {
    Commitment::of_value(key, labels::JOB_INPUT, &[&(index as u64).to_le_bytes()], batch)
}

/// Commitment to a job's output: over one commitment per graph output, in order. An output is committed to by the
/// trace leaf of the operation that yields it ([`commit_output`]), so that output and trace cannot tell two stories.
#[must_use]
pub fn commit_outputs(key: &CommitmentKey, shape: &TraceShape, outputs: &[Batch]) -> Option<Commitment> {
    let parts = output_leaves(key, shape, outputs.iter().map(Batch::view))?;
    Some(join_outputs(key, &parts))
}

/// One commitment per graph output; `None` when the numbers differ.
pub(crate) fn output_leaves<'a>(
    key: &CommitmentKey,
    shape: &TraceShape,
    outputs: impl ExactSizeIterator<Item = BatchRef<'a>>,
) -> Option<Vec<Commitment>> {
    if outputs.len() != shape.outputs.len() {
        return None;
    }
    Some(outputs.zip(&shape.outputs).map(|(batch, value)| commit_output(key, shape, *value, batch)).collect())
}

/// The trace leaf of the operation behind `value`; for a graph input that is also an output, its input commitment.
#[must_use]
pub fn commit_output(key: &CommitmentKey, shape: &TraceShape, value: u32, batch: BatchRef<'_>) -> Commitment {
    match shape.operation(value) {
        Some(operation) => trace::leaf(key, operation as usize, batch),
        None => commit_input(key, value as usize, &batch.to_batch()),
    }
}

/// The commitment to all outputs from those to each.
#[must_use]
pub fn join_outputs(key: &CommitmentKey, parts: &[Commitment]) -> Commitment {
    join(key, labels::JOB_OUTPUT, parts)
}

fn join(key: &CommitmentKey, label: sealgrid_seal::digest::Label, parts: &[Commitment]) -> Commitment {
    let parts: Vec<&[u8]> = parts.iter().map(|part| &part.0[..]).collect();
    Commitment::of(key, label, &parts)
}

/// What only the members see.
#[derive(Debug)]
pub struct Payload {
    /// Keys the commitments to input and output, and the trace.
    pub job_key: CommitmentKey,
    /// One batch per graph input.
    pub inputs: Vec<Batch>,
}

impl Payload {
    /// `[version, job key, [inputs]]`, written once into memory that is wiped.
    #[must_use]
    pub fn encode(&self) -> SecretBytes {
        encode_keyed(&self.job_key, &self.inputs)
    }

    /// An upper bound of the length of [`Payload::encode`], without doing it.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        keyed_bytes(&self.inputs)
    }

    /// Reads a payload; one spelling only.
    ///
    /// # Errors
    /// [`NotCanonical`].
    pub fn decode(bytes: &SecretBytes) -> Result<Self, NotCanonical> {
        let (job_key, inputs) = decode_keyed(bytes)?;
        Ok(Self { job_key, inputs })
    }
}

/// A payload with the commitment to its inputs, taken once: it costs as much as sealing them.
#[derive(Debug)]
pub struct CommittedPayload {
    payload: Payload,
    input: Commitment,
}

impl CommittedPayload {
    /// Commits to a payload's inputs under its key.
    #[must_use]
    pub fn new(payload: Payload) -> Self {
        let input = commit_inputs(&payload.job_key, &payload.inputs);
        Self { payload, input }
    }

    /// A payload whose inputs were committed to before, in whatever way the job's verification has it.
    #[must_use]
    pub fn committed(payload: Payload, input: Commitment) -> Self {
        Self { payload, input }
    }

    /// The commitment.
    #[must_use]
    pub fn input(&self) -> Commitment {
        self.input
    }

    /// What was committed to.
    #[must_use]
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The payload without its commitment.
    #[must_use]
    pub fn into_payload(self) -> Payload {
        self.payload
    }
}

fn encode_keyed(key: &CommitmentKey, batches: &[Batch]) -> SecretBytes {
    SecretBytes::new(encoded(|e| write_keyed(e, key, batches), keyed_bytes(batches)))
}

fn write_keyed<W: Write>(e: &mut Encoder<W>, key: &CommitmentKey, batches: &[Batch]) -> Written<W> {
    e.array(3)?.u16(VERSION)?.bytes(key.expose())?;
    write_batches(e, batches)
}

/// An upper bound of a payload's length, with the tag that sealing puts behind it.
fn keyed_bytes(batches: &[Batch]) -> usize {
    64 + TAG_LENGTH + batches.iter().map(batch_bytes).sum::<usize>()
}

fn decode_keyed(bytes: &SecretBytes) -> Result<(CommitmentKey, Vec<Batch>), NotCanonical> {
    let mut d = decoder(bytes)?;
    let parts = (|| {
        let framed = d.array()? == Some(3) && d.u16()? == VERSION;
        let key: &[u8] = d.bytes()?;
        let batches: Vec<Batch> = d.decode()?;
        Ok::<_, minicbor::decode::Error>((framed, key, batches))
    })();
    let (framed, key, batches) = parts.map_err(|_| NotCanonical::Malformed { position: d.position() })?;
    let key: Option<&[u8; 32]> = key.try_into().ok();
    let key = key.filter(|_| framed).ok_or(NotCanonical::Malformed { position: 0 })?;
    let key = Secret::fill(|out| out.copy_from_slice(key));
    if !canonical::is_spelling(bytes.expose(), |e| write_keyed(e, &key, &batches)) {
        return Err(NotCanonical::OtherSpelling);
    }
    Ok((key, batches))
}

/// The canonical bytes of batches, in memory that is wiped.
pub(crate) fn encode_batches(batches: &[Batch]) -> SecretBytes {
    SecretBytes::new(encoded(
        |e| write_batches(e, batches),
        16 + batches.iter().map(batch_bytes).sum::<usize>(),
    ))
}

/// Reads what [`encode_batches`] wrote; one spelling only.
pub(crate) fn decode_batches(bytes: &SecretBytes) -> Result<Vec<Batch>, NotCanonical> {
    let mut d = decoder(bytes)?;
    let batches: Vec<Batch> = d.decode().map_err(|_| NotCanonical::Malformed { position: d.position() })?;
    if !canonical::is_spelling(bytes.expose(), |e| write_batches(e, &batches)) {
        return Err(NotCanonical::OtherSpelling);
    }
    Ok(batches)
}

fn decoder(bytes: &SecretBytes) -> Result<minicbor::Decoder<'_>, NotCanonical> {
    if bytes.len() > PAYLOAD_BYTES_MAX {
        return Err(NotCanonical::TooLong { length: bytes.len(), limit: PAYLOAD_BYTES_MAX });
    }
    Ok(minicbor::Decoder::new(bytes.expose()))
}

type Written<W> = Result<(), minicbor::encode::Error<<W as Write>::Error>>;

fn write_batches<W: Write>(e: &mut Encoder<W>, batches: &[Batch]) -> Written<W> {
    e.array(batches.len() as u64)?;
    batches.iter().try_for_each(|batch| e.encode(batch).map(|_| ()))
}

/// Runs `write` over a buffer that never grows, so that growing leaves no copy of a secret behind.
fn encoded(write: impl FnOnce(&mut Encoder<Vec<u8>>) -> Written<Vec<u8>>, capacity: usize) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::with_capacity(capacity));
    write(&mut encoder).expect("writing to a Vec does not fail");
    let bytes = encoder.into_writer();
    debug_assert!(bytes.len() <= capacity, "capacity is an upper bound");
    bytes
}

/// An upper bound of a batch's canonical length.
fn batch_bytes(batch: &Batch) -> usize {
    64 + 9 * batch.shape().axes().len() + batch.data().len() * batch.dtype().bytes()
}
