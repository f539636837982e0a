//! What is computed for a job: pure functions that a machine asks its performer to run off the protocol's thread.
//!
//! The performer brings the node's job key pair, the prepared model and a generator; nothing else is needed, and what
//! comes out is data for the machine. Plaintext lives only in here and in the client.

use std::ops::ControlFlow;
use std::sync::Arc;

use rand_core::CryptoRng;
use sealgrid_graph::execute::{Batch, BatchRef, Observer, Prepared};
use sealgrid_graph::integer::Graph;
use sealgrid_graph::proving::{Asked, ProvenRun, Prover, ProvingError};
use sealgrid_graph::reference;
use sealgrid_graph::trace::{self, TraceTree};
use sealgrid_seal::canonical;
use sealgrid_seal::digest::{Commitment, CommitmentKey, labels};
use sealgrid_seal::envelope::{Exporter, JobKeyPair, ReplyKey, Sealed};
use sealgrid_seal::rand_core;
use sealgrid_seal::secret::SecretBytes;

use super::header::{
    JobHeader, PAYLOAD_BYTES_MAX, Payload, TraceShape, commit_input, commit_inputs, commit_output,
    decode_batches, encode_batches, join_inputs, join_outputs, output_leaves,
};
use super::message::{Assign, OperandLeaf, Operands, PROOF_BYTES_MAX, Refer, Why};
use super::statement::{OutputLeaf, Reveal};
use crate::names::{JobId, ModelCommitment, Verification};

/// Work of a node.
#[derive(Clone, Debug)]
pub enum Work {
    /// Open the payload, check it against the header, run the model, commit to the trace.
    Execute(Arc<Assign>),
    /// The same, and collect the operands of one operation.
    Operands(Arc<Assign>, u32),
    /// Run one operation alone on the reference.
    Referee(Arc<Refer>),
}

/// What work yields.
#[derive(Debug)]
pub enum Done {
    /// A whole run.
    Executed(Box<Run>),
    /// A whole run and its proof.
    Proven(Box<Proven>),
    /// Operands, sealed for the client, and the root of the trace they stand in.
    Operands(Box<Operands>, Commitment),
    /// What a referee found.
    Judged(Judged),
    /// It cannot be done.
    Refuse(Why),
}

/// What a referee found; the machine signs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Commitments to the operands.
    pub operands: Vec<Commitment>,
    /// The operation's true leaf.
    pub leaf: Commitment,
}

/// What a node keeps of a run until the job is over. Holds commitments and ciphertext, no plaintext but the key.
#[derive(Debug)]
pub struct Run {
    /// Keys the commitments.
    pub key: CommitmentKey,
    /// All nodes of the trace.
    pub tree: TraceTree,
    /// Commitment to the output.
    pub output: Commitment,
    /// Each output and its way up the trace.
    pub outputs: Vec<OutputLeaf>,
    /// The output under the reply key.
    pub sealed: Vec<u8>,
}

/// What a node sends of a run that it has proven. Holds no plaintext.
#[derive(Debug)]
pub struct Proven {
    /// The proof system's commitment to the output.
    pub output: Commitment,
    /// The proof.
    pub proof: Vec<u8>,
    /// The output under the reply key.
    pub sealed: Vec<u8>,
}

/// What a node proves runs of a model with.
#[derive(Clone, Copy)]
pub struct Proving<'p> {
    /// The model's prover.
    pub prover: &'p dyn Prover,
    /// Durably spends one of the openings that this node has, or says that none is left.
    pub spend: &'p dyn Fn() -> bool,
    /// Bytes of memory that a proof may take.
    pub memory_max: u64,
}

/// What of a job's plaintext a reply carries; part of its associated data.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    Output,
    Operands(u32),
}

pub(crate) fn reply_aad(job: JobId, part: Part) -> Vec<u8> {
    let suffix = match part {
        Part::Output => vec![0],
        Part::Operands(operation) => [&[1], &operation.to_le_bytes()[..]].concat(),
    };
    [&job.0.0[..], &suffix].concat()
}

impl Work {
    /// The model it needs.
    #[must_use]
    pub fn model(&self) -> ModelCommitment {
        match self {
            Self::Execute(assign) | Self::Operands(assign, _) => assign.header.model,
            Self::Referee(refer) => refer.header.model,
        }
    }

    /// Whether it takes a [`Proving`].
    #[must_use]
    pub fn is_to_be_proven(&self) -> bool {
        matches!(self, Self::Execute(assign) if assign.header.verification == Verification::Proof)
    }

    /// Does it. `keys` open payloads, the newest first; `model` is [`Work::model`] as this node serves it, and `proving`
    /// what it proves its runs with; `None` when it does not.
    #[must_use]
    pub fn perform(
        self,
        keys: &[&JobKeyPair],
        model: Option<&dyn Prepared>,
        proving: Option<Proving<'_>>,
        rng: &mut impl CryptoRng,
    ) -> Done {
        let Some(model) = model else { return Done::Refuse(Why::UnknownModel) };
        let is_to_be_proven = self.is_to_be_proven();
        let done = match self {
            Self::Execute(assign) if is_to_be_proven => prove(keys, model, proving, assign, rng),
            Self::Execute(assign) => execute(keys, model, assign, rng),
            Self::Operands(assign, operation) => operands(keys, model, assign, operation, rng),
            Self::Referee(refer) => judge(keys, model.graph(), refer).map(Done::Judged),
        };
        done.unwrap_or_else(Done::Refuse)
    }
}

/// Opens with the first of `keys` that fits. The last, mostly the only one, opens where the bytes lie.
fn open_with(keys: &[&JobKeyPair], aad: &[u8], sealed: Sealed) -> Result<(SecretBytes, Exporter), Why> {
    let (last, others) = keys.split_last().ok_or(Why::Malformed)?;
    let opened = others.iter().find_map(|keys| keys.open(labels::JOB_PAYLOAD, aad, &sealed).ok());
    let last = || last.open_owned(labels::JOB_PAYLOAD, aad, sealed);
    opened.map_or_else(last, Ok).map_err(|_| Why::Malformed)
}

/// An opened payload that fits its header and the model.
struct Opened {
    header: JobHeader,
    payload: Payload,
    reply: ReplyKey,
}

fn open(keys: &[&JobKeyPair], graph: &Graph, assign: Arc<Assign>) -> Result<Opened, Why> {
    // A quorum's machine keeps it too, and then it is copied.
    let Assign { header, payload, .. } = Arc::unwrap_or_clone(assign);
    let (bytes, exporter) = open_with(keys, &header.to_bytes(), payload)?;
    let payload = Payload::decode(&bytes).map_err(|_| Why::Malformed)?;
    let records = payload.inputs.iter().all(|batch| batch.records() == header.records as usize);
    // JOB-11: what was sealed is what was committed to. The proof system looks at its own commitment.
    let committed = header.verification == Verification::Proof
        || commit_inputs(&payload.job_key, &payload.inputs) == header.input;
    if !records || !committed || TraceShape::of(graph) != header.shape {
        return Err(Why::Malformed);
    }
    Ok(Opened { header, payload, reply: exporter.reply_key(labels::JOB_REPLY) })
}

/// Collects trace leaves, and copies of the values that are asked for.
struct Watcher<'k> {
    key: &'k CommitmentKey,
    leaves: Vec<Commitment>,
    wanted: Vec<u32>,
    found: Vec<(u32, Batch)>,
}

impl Observer for Watcher<'_> {
    fn operation(&mut self, index: usize, output: BatchRef<'_>) -> ControlFlow<()> {
        self.leaves.push(trace::leaf(self.key, index, output));
        let index = u32::try_from(index).expect("a checked graph is bounded");
        if self.wanted.contains(&index) {
            self.found.push((index, output.to_batch()));
        }
        ControlFlow::Continue(())
    }
}

/// A run of the model.
struct Ran {
    outputs: Vec<Batch>,
    tree: TraceTree,
    /// Copies of the outputs of the wanted operations, by index.
    found: Vec<(u32, Batch)>,
}

/// Runs the model and keeps copies of the outputs of the operations in `wanted`.
fn run(model: &dyn Prepared, payload: &Payload, wanted: Vec<u32>) -> Result<Ran, Why> {
    let mut watcher = Watcher { key: &payload.job_key, leaves: Vec::new(), wanted, found: Vec::new() };
    let outputs = model.run(&payload.inputs, &mut watcher).map_err(|_| Why::Failed)?;
    let tree = TraceTree::build(&payload.job_key, watcher.leaves).ok_or(Why::Failed)?;
    if tree.count() as usize != model.graph().operations().len() {
        return Err(Why::Failed);
    }
    Ok(Ran { outputs, tree, found: watcher.found })
}

fn execute(
    keys: &[&JobKeyPair],
    model: &dyn Prepared,
    assign: Arc<Assign>,
    rng: &mut impl CryptoRng,
) -> Result<Done, Why> {
    let Opened { header, payload, reply } = open(keys, model.graph(), assign)?;
    let Ran { outputs, tree, .. } = run(model, &payload, Vec::new())?;
    let shape = &header.shape;
    let leaves =
        output_leaves(&payload.job_key, shape, outputs.iter().map(Batch::view)).ok_or(Why::Failed)?;
    let plain = encode_batches(&outputs);
    if plain.len() > PAYLOAD_BYTES_MAX {
        return Err(Why::Failed);
    }
    let sealed = reply.seal(rng, &reply_aad(header.id(), Part::Output), plain.expose());
    Ok(Done::Executed(Box::new(Run {
        output: join_outputs(&payload.job_key, &leaves),
        outputs: leaves
            .into_iter()
            .zip(&shape.outputs)
            .map(|(leaf, value)| OutputLeaf { leaf, path: path(shape, &tree, *value) })
            .collect(),
        key: payload.job_key,
        tree,
        sealed,
    })))
}

fn prove(
    keys: &[&JobKeyPair],
    model: &dyn Prepared,
    proving: Option<Proving<'_>>,
    assign: Arc<Assign>,
    rng: &mut impl CryptoRng,
) -> Result<Done, Why> {
    let Proving { prover, spend, memory_max } = proving.ok_or(Why::NoProof)?;
    let Opened { header, payload, reply } = open(keys, model.graph(), assign)?;
    let Payload { job_key, inputs } = &payload;
    let asked = Asked { nonce: header.id().0.0, key: job_key, inputs, input: header.input, memory_max };
    let proven = prover.prove(model, &asked, &mut || spend());
    let ProvenRun { outputs, output, proof } = proven.map_err(|error| match error {
        ProvingError::OtherInput => Why::Malformed, // JOB-11
        ProvingError::NoOpening => Why::NoOpening,
        ProvingError::TooLarge(_) => Why::TooCostly,
        ProvingError::Other { .. } => Why::Failed,
    })?;
    let plain = encode_batches(&outputs);
    if plain.len() > PAYLOAD_BYTES_MAX || proof.len() > PROOF_BYTES_MAX {
        return Err(Why::TooCostly);
    }
    let sealed = reply.seal(rng, &reply_aad(header.id(), Part::Output), plain.expose());
    Ok(Done::Proven(Box::new(Proven { output, proof, sealed })))
}

fn path(shape: &TraceShape, tree: &TraceTree, value: u32) -> Vec<Commitment> {
    shape.operation(value).and_then(|operation| tree.prove_leaf(operation)).unwrap_or_default()
}

fn operands(
    keys: &[&JobKeyPair],
    model: &dyn Prepared,
    assign: Arc<Assign>,
    operation: u32,
    rng: &mut impl CryptoRng,
) -> Result<Done, Why> {
    let asked = model.graph().operations().get(operation as usize).ok_or(Why::BadQuestion)?;
    let values: Vec<u32> = asked.operands.iter().map(|value| value.0).collect();
    let Opened { header, payload, reply } = open(keys, model.graph(), assign)?;
    let shape = &header.shape;
    let wanted = values.iter().filter_map(|value| shape.operation(*value)).collect();
    let Ran { tree, found, .. } = run(model, &payload, wanted)?;
    let batches = values
        .iter()
        .map(|value| match shape.operation(*value) {
            None => payload.inputs.get(*value as usize).cloned(),
            Some(index) => found.iter().find(|(known, _)| *known == index).map(|(_, batch)| batch.clone()),
        })
        .collect::<Option<Vec<Batch>>>()
        .ok_or(Why::Failed)?;
    let key = &payload.job_key;
    let inputs: Vec<Commitment> =
        payload.inputs.iter().enumerate().map(|(index, batch)| commit_input(key, index, batch)).collect();
    let leaves = values
        .iter()
        .zip(&batches)
        .map(|(value, batch)| OperandLeaf {
            value: *value,
            leaf: commit_output(key, shape, *value, batch.view()),
            path: match shape.operation(*value) {
                Some(_) => path(shape, &tree, *value),
                None => inputs.clone(),
            },
        })
        .collect();
    let plain = encode_batches(&batches);
    if plain.len() > PAYLOAD_BYTES_MAX {
        return Err(Why::Failed);
    }
    let job = header.id();
    let sealed = reply.seal(rng, &reply_aad(job, Part::Operands(operation)), plain.expose());
    Ok(Done::Operands(Box::new(Operands { job, operation, leaves, sealed }), tree.root()))
}

/// Associated data of what a referee gets: the header, then the operation as 4 bytes little endian.
#[must_use]
pub(crate) fn refer_aad(header: &JobHeader, operation: u32) -> Vec<u8> {
    [&canonical::encode(header)[..], &operation.to_le_bytes()].concat()
}

fn judge(keys: &[&JobKeyPair], graph: &Graph, refer: Arc<Refer>) -> Result<Judged, Why> {
    let Refer { header, operation, values, payload, .. } = Arc::unwrap_or_clone(refer);
    let (bytes, _) = open_with(keys, &refer_aad(&header, operation), payload)?;
    let payload = Payload::decode(&bytes).map_err(|_| Why::Malformed)?;
    adjudicate(graph, &header, operation, &values, &payload)
}

/// Runs one operation alone on the reference: what a referee does, be it a reserve or the client.
///
/// # Errors
/// [`Why::BadQuestion`] when `values` are not the operands of the operation, or `operands` do not fit them.
pub fn adjudicate(
    graph: &Graph,
    header: &JobHeader,
    operation: u32,
    values: &[u32],
    operands: &Payload,
) -> Result<Judged, Why> {
    let asked = graph.operations().get(operation as usize).ok_or(Why::BadQuestion)?;
    let is_asked = asked.operands.iter().map(|value| value.0).eq(values.iter().copied());
    if !is_asked || operands.inputs.len() != values.len() || TraceShape::of(graph) != header.shape {
        return Err(Why::BadQuestion);
    }
    let output =
        reference::run_operation(graph, operation as usize, header.records as usize, &operands.inputs)
            .map_err(|_| Why::BadQuestion)?;
    let key = &operands.job_key;
    let commitments = values.iter().zip(&operands.inputs);
    Ok(Judged {
        operands: commitments
            .map(|(value, batch)| commit_output(key, &header.shape, *value, batch.view()))
            .collect(),
        leaf: trace::leaf(key, operation as usize, output.view()),
    })
}

/// Why a revealed vote cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// The output does not open, or is not the one that was voted for. Nobody but the client can see that.
    Undelivered,
    /// The output that was voted for does not stand in the trace that was voted for: the operation that yields it.
    Unbound(u32),
}

/// Opens the output that came with a vote and checks it against the vote (QUORUM-07).
///
/// # Errors
/// [`Unusable`].
pub fn open_output(
    header: &JobHeader,
    inputs: &Payload,
    reply: &ReplyKey,
    reveal: &Reveal,
    sealed: &[u8],
) -> Result<Vec<Batch>, Unusable> {
    let key = &inputs.job_key;
    check_outputs(header, key, reveal)?;
    for (output, value) in reveal.outputs.iter().zip(&header.shape.outputs) {
        if let Some(input) = inputs.inputs.get(*value as usize)
            && commit_output(key, &header.shape, *value, input.view()) != output.leaf
        {
            return Err(Unusable::Undelivered);
        }
    }
    let outputs = open_batches(reveal.job, reply, sealed).ok_or(Unusable::Undelivered)?;
    let leaves = output_leaves(key, &header.shape, outputs.iter().map(Batch::view));
    let stated: Vec<Commitment> = reveal.outputs.iter().map(|output| output.leaf).collect();
    if leaves == Some(stated) { Ok(outputs) } else { Err(Unusable::Undelivered) }
}

/// Opens an output without a trace, as `signed` has it.
pub(crate) fn open_batches(job: JobId, reply: &ReplyKey, sealed: &[u8]) -> Option<Vec<Batch>> {
    let plain = reply.open(&reply_aad(job, Part::Output), sealed).ok()?;
    decode_batches(&plain).ok()
}

/// Checks that a vote's outputs are those of its output commitment and stand in its trace. Needs the key, not the
/// plaintext.
///
/// # Errors
/// [`Unusable::Unbound`] naming the first operation whose output is told in two ways.
pub fn check_outputs(header: &JobHeader, key: &CommitmentKey, reveal: &Reveal) -> Result<(), Unusable> {
    let shape = &header.shape;
    let first = shape.outputs.iter().find_map(|value| shape.operation(*value)).unwrap_or(0);
    let leaves: Vec<Commitment> = reveal.outputs.iter().map(|output| output.leaf).collect();
    if leaves.len() != shape.outputs.len() || join_outputs(key, &leaves) != reveal.output {
        return Err(Unusable::Unbound(first));
    }
    for (output, value) in reveal.outputs.iter().zip(&shape.outputs) {
        if let Some(operation) = shape.operation(*value)
            && !trace::verify_leaf(
                key,
                &reveal.trace,
                shape.operations,
                operation,
                &output.leaf,
                &output.path,
            )
        {
            return Err(Unusable::Unbound(operation));
        }
    }
    Ok(())
}

/// Opens the operands that a party shows and checks each against its trace or the job's input (QUORUM-12).
#[must_use]
pub fn open_operands(
    header: &JobHeader,
    inputs: &Payload,
    reply: &ReplyKey,
    trace_root: &Commitment,
    shown: &Operands,
) -> Option<Vec<Batch>> {
    let plain = reply.open(&reply_aad(shown.job, Part::Operands(shown.operation)), &shown.sealed).ok()?;
    let batches = decode_batches(&plain).ok().filter(|batches| batches.len() == shown.leaves.len())?;
    let key = &inputs.job_key;
    let holds = shown.leaves.iter().zip(&batches).all(|(operand, batch)| {
        let stated = commit_output(key, &header.shape, operand.value, batch.view()) == operand.leaf;
        stated && check_operand(header, key, trace_root, shown.operation, operand)
    });
    holds.then_some(batches)
}

/// Whether an operand is what it must be: an earlier operation's output stands in the trace, an input of the graph is
/// one of those that the header commits to. Otherwise a client could give a referee other records than the job's and
/// have an honest party named.
pub(crate) fn check_operand(
    header: &JobHeader,
    key: &CommitmentKey,
    trace_root: &Commitment,
    operation: u32,
    operand: &OperandLeaf,
) -> bool {
    let count = header.shape.operations;
    match header.shape.operation(operand.value) {
        Some(index) => {
            index < operation
                && trace::verify_leaf(key, trace_root, count, index, &operand.leaf, &operand.path)
        }
        None => is_input(key, &header.input, operand),
    }
}

/// Whether an operand is the graph's input of its number, by the commitments to all inputs that it brings.
fn is_input(key: &CommitmentKey, inputs: &Commitment, operand: &OperandLeaf) -> bool {
    operand.path.get(operand.value as usize) == Some(&operand.leaf)
        && join_inputs(key, &operand.path) == *inputs
}

#[cfg(test)]
mod tests {
    use sealgrid_graph::tensor::{DType, Data, Shape};

    use super::*;

    #[test]
    fn a_referee_cannot_be_given_other_records_than_the_jobs() {
        let key = CommitmentKey::new([7; 32]);
        let batch = |value: i32| {
            let data = Data::from_elements(DType::I8, &[value]).expect("fits");
            Batch::new(1, Shape::new(&[1]).expect("a shape"), data).expect("one element")
        };
        let inputs = [batch(1), batch(2)];
        let committed = commit_inputs(&key, &inputs);
        let parts = |inputs: &[Batch]| -> Vec<Commitment> {
            inputs.iter().enumerate().map(|(index, batch)| commit_input(&key, index, batch)).collect()
        };
        let shown = |value: u32, inputs: &[Batch]| OperandLeaf {
            value,
            leaf: parts(inputs)[value as usize],
            path: parts(inputs),
        };
        assert!(is_input(&key, &committed, &shown(0, &inputs)));
        assert!(is_input(&key, &committed, &shown(1, &inputs)));
        // Other records, with commitments that fit them or with the job's.
        let others = [batch(1), batch(3)];
        assert!(!is_input(&key, &committed, &shown(1, &others)));
        assert!(!is_input(&key, &committed, &OperandLeaf { path: parts(&inputs), ..shown(1, &others) }));
        // The other input, too few of them, none.
        assert!(!is_input(&key, &committed, &OperandLeaf { value: 0, ..shown(1, &inputs) }));
        assert!(!is_input(&key, &committed, &OperandLeaf { path: parts(&inputs[..1]), ..shown(0, &inputs) }));
        assert!(!is_input(&key, &committed, &OperandLeaf { path: Vec::new(), ..shown(0, &inputs) }));
    }
}
