//! A signed job that nothing seals: the same commitments, trace, receipt, sync and checks as a job of the grid, with records
//! and results as they are. What a sealed job takes more is what sealing costs, end to end.
//!
//! The protocol itself has no such job: a client that asks for `plain` gets `sealed`.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use minicbor::bytes::{ByteSlice, ByteVec};
use minicbor::{Decode, Encode};
use sealgrid_graph::execute::{Batch, Prepared};
use sealgrid_graph::trace::TraceObserver;
use sealgrid_net::{CallError, Method, Refusal};
use sealgrid_protocol::claims::{Claims, SignedClaims};
use sealgrid_protocol::job::client::PlanError;
use sealgrid_protocol::job::header::{
    CommittedPayload, JobHeader, PAYLOAD_BYTES_MAX, Payload, commit_inputs, commit_outputs,
};
use sealgrid_protocol::job::message::{Answer, Message};
use sealgrid_seal::canonical;
use sealgrid_seal::digest::CommitmentKey;
use sealgrid_seal::identity::SigningIdentity;
use sealgrid_seal::secret::SecretBytes;

use super::plain::PLAIN;
use super::{PlainCall, first_messages};
use crate::client::{ClientError, GridClient, Job};
use crate::jobs::now;

/// The method of these calls.
pub(super) const SIGNED: Method = Method { id: 2, name: "signed", ..PLAIN };

/// An assignment whose payload, `P` bytes, is not sealed.
#[derive(Encode, Decode)]
struct Unsealed<P> {
    #[n(0)]
    header: JobHeader,
    #[n(1)]
    payload: P,
    #[n(2)]
    draft: Claims,
}

/// Does signed jobs, each on one thread from its bytes to its sync. A node's own way is longer: it has queues and limits.
pub(super) struct SignedService {
    model: Arc<dyn Prepared>,
    identity: SigningIdentity,
    answers: Mutex<File>,
}

impl SignedService {
    /// Signs as `identity`; answers are kept in a file of `folder`.
    pub(super) fn new(
        model: Arc<dyn Prepared>,
        identity: SigningIdentity,
        folder: &Path,
    ) -> io::Result<Self> {
        Ok(Self { model, identity, answers: Mutex::new(File::create(folder.join("answers"))?) })
    }

    /// On a thread of its own: the transport's has packets to acknowledge.
    pub(super) async fn answer(self: Arc<Self>, body: Vec<u8>) -> Result<Vec<u8>, Refusal> {
        let answered = tokio::task::spawn_blocking(move || self.try_answer(&body)).await;
        answered.ok().flatten().ok_or(Refusal::new("E-NET-17", "not a job that can be measured"))
    }

    fn try_answer(&self, body: &[u8]) -> Option<Vec<u8>> {
        let Unsealed::<ByteVec> { header, payload, draft } =
            canonical::decode(body, PAYLOAD_BYTES_MAX).ok()?;
        let Payload { job_key, inputs } = Payload::decode(&SecretBytes::new(payload.into())).ok()?;
        if commit_inputs(&job_key, &inputs) != header.input {
            return None;
        }
        let mut trace = TraceObserver::new(&job_key);
        let outputs = self.model.run(&inputs, &mut trace).ok()?;
        trace.finish()?;
        let output = commit_outputs(&job_key, &header.shape, &outputs)?;
        let finished = now().clamp(header.requested, header.deadline);
        let receipt = Claims { output, finished, ..draft }.sign(&self.identity).ok()?;
        let output = Payload { job_key, inputs: outputs }.encode().expose().to_vec();
        let answer = Answer { job: header.id(), receipt: receipt.as_bytes().to_vec(), output };
        let answer = canonical::encode(&answer);
        let mut answers = self.answers.lock().ok()?;
        answers.write_all(&answer).and_then(|()| answers.sync_data()).ok()?;
        Some(answer)
    }
}

/// One client of signed jobs that nothing seals.
pub struct SignedCall<'c> {
    call: &'c PlainCall,
    header: JobHeader,
    draft: Claims,
    inputs: Vec<Batch>,
}

/// Why such a job was not measured.
#[derive(Debug, thiserror::Error)]
pub enum SignedCallError {
    /// It could not be planned.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The plan does not fit together.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The answer was wrong, which is what is checked of a job's.
    #[error("an answer that is not the job's")]
    Answer,
}

impl<'c> SignedCall<'c> {
    /// A client of the process that `call` goes to, for jobs like `job`: header and draft are those of a real one, with the
    /// process as the committee.
    ///
    /// # Errors
    /// [`SignedCallError`].
    pub async fn over(
        call: &'c PlainCall,
        client: &GridClient,
        identity: SigningIdentity,
        job: Job,
    ) -> Result<Self, SignedCallError> {
        let inputs = job.inputs.clone();
        let mut plan = client.plan(job).await?;
        plan.header.client = identity.public();
        let assign = first_messages(identity, plan)?.into_iter().find_map(|message| match message {
            Message::Assign(assign) => Some(assign),
            _ => None,
        });
        let assign = assign.ok_or(SignedCallError::Answer)?;
        let committee = vec![call.server()];
        let draft = assign.draft.clone().ok_or(SignedCallError::Answer)?;
        Ok(Self {
            call,
            header: JobHeader { committee: committee.clone(), ..assign.header.clone() },
            draft: Claims { committee, issuer: call.server(), ..draft },
            inputs,
        })
    }

    /// One job, from the inputs to the checked output.
    ///
    /// # Errors
    /// [`SignedCallError`].
    pub async fn ask(&self) -> Result<Duration, SignedCallError> {
        let inputs = self.inputs.clone();
        let started = Instant::now();
        let job_key = CommitmentKey::random(&mut rand::rng());
        let payload = CommittedPayload::new(Payload { job_key, inputs });
        let mut header = JobHeader { input: payload.input(), ..self.header.clone() };
        rand::Rng::fill_bytes(&mut rand::rng(), &mut header.nonce);
        let (job, shape) = (header.id(), header.shape.clone());
        let draft = Claims { job, nonce: header.nonce, input: header.input, ..self.draft.clone() };
        let expected = draft.clone();
        let payload = payload.into_payload();
        let plain = payload.encode();
        let unsealed = Unsealed::<&ByteSlice> { header, payload: plain.expose().into(), draft };
        let answer = self.call.call(&SIGNED, canonical::encode(&unsealed)).await?;
        let check = || {
            let answer: Answer = canonical::decode(&answer, PAYLOAD_BYTES_MAX).ok()?;
            let claims = SignedClaims::from_bytes(answer.receipt).verify().ok()?;
            let output = Payload::decode(&SecretBytes::new(answer.output)).ok()?;
            let committed = commit_outputs(&payload.job_key, &shape, &output.inputs)?;
            let expected = Claims { output: committed, finished: claims.finished, ..expected };
            (claims == expected).then_some(())
        };
        check().ok_or(SignedCallError::Answer)?;
        // A sealed job has nothing left here to wipe, so wiping `plain` is not counted.
        Ok(started.elapsed())
    }
}
