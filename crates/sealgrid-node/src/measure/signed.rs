//! A signed job that nothing seals: drawn, queued, run, signed, stored and checked by what does so for a job of the grid,
//! with records and results as they are. What a sealed job takes more is what sealing costs, end to end.
//!
//! The protocol itself has no such job: a client that asks for `plain` gets `sealed`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use minicbor::bytes::{ByteSlice, ByteVec};
use minicbor::{Decode, Encode};
use sealgrid_graph::execute::Prepared;
use sealgrid_graph::trace::TraceObserver;
use sealgrid_net::{CallError, Method, Refusal};
use sealgrid_protocol::claims::{Claims, SignedClaims};
use sealgrid_protocol::job::client::PlanError;
use sealgrid_protocol::job::header::{JobHeader, PAYLOAD_BYTES_MAX, Payload, commit_inputs, commit_outputs};
use sealgrid_protocol::job::message::{Answer, Message};
use sealgrid_protocol::names::JobId;
use sealgrid_seal::canonical;
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};
use sealgrid_seal::secret::SecretBytes;
use tokio::sync::oneshot;

use super::plain::{NOT_MEASURABLE, PLAIN};
use super::{PlainCall, first_messages};
use crate::client::{ClientError, GridClient, Job};
use crate::config::LimitsConfig;
use crate::jobs::now;
use crate::pool::Pool;
use crate::state::{Space, State, StateError};

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

/// Does signed jobs on the threads, through the queues and into the state that a node has for them.
pub(super) struct SignedService {
    model: Arc<dyn Prepared>,
    identity: SigningIdentity,
    pool: Pool,
    state: State,
}

impl SignedService {
    /// Signs as `identity`; the state is kept in `folder`.
    pub(super) fn new(
        model: Arc<dyn Prepared>,
        identity: SigningIdentity,
        folder: &Path,
    ) -> Result<Self, StateError> {
        let pool = Pool::within(&LimitsConfig::default());
        Ok(Self { model, identity, pool, state: State::open(&folder.join("state"))? })
    }

    /// What a node does with an assignment that names it alone, without opening and sealing.
    pub(super) async fn answer(
        self: Arc<Self>,
        client: PublicIdentity,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, Refusal> {
        let (answer, answered) = oneshot::channel();
        let this = Arc::clone(&self);
        let task = move || drop(answer.send(this.try_answer(&body)));
        self.pool.run(client, task).map_err(|_| NOT_MEASURABLE)?;
        let (job, answer) = answered.await.ok().flatten().ok_or(NOT_MEASURABLE)?;
        let key = &job.0.0;
        self.state.put(Space::Jobs, key, Some(answer.clone())).await.map_err(|_| NOT_MEASURABLE)?;
        // A node forgets a job when its client closes it.
        self.state.write_lazily(Space::Jobs, key, None);
        Ok(answer)
    }

    fn try_answer(&self, body: &[u8]) -> Option<(JobId, Vec<u8>)> {
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
        let job = header.id();
        Some((
            job,
            canonical::encode(&Answer { job, receipt: receipt.as_bytes().to_vec(), output, proof: None }),
        ))
    }
}

/// One client of signed jobs that nothing seals.
pub struct SignedCall<'c> {
    call: &'c PlainCall,
    client: &'c GridClient,
    job: Job,
    draft: Claims,
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
    /// A client of the process that `call` goes to, for jobs like `job`: each is drawn as `client` draws it, and is then the
    /// process's.
    ///
    /// # Errors
    /// [`SignedCallError`].
    pub async fn over(
        call: &'c PlainCall,
        client: &'c GridClient,
        identity: SigningIdentity,
        job: Job,
    ) -> Result<Self, SignedCallError> {
        let mut plan = client.plan(job.clone()).await?;
        plan.header.client = identity.public();
        let draft = first_messages(identity, plan)?.into_iter().find_map(|message| match message {
            Message::Assign(assign) => assign.draft.clone(),
            _ => None,
        });
        let draft = draft.ok_or(SignedCallError::Answer)?;
        let draft = Claims { committee: vec![call.server()], issuer: call.server(), ..draft };
        Ok(Self { call, client, job, draft })
    }

    /// One job, from the inputs to the checked output.
    ///
    /// # Errors
    /// [`SignedCallError`].
    pub async fn ask(&self) -> Result<Duration, SignedCallError> {
        let job = self.job.clone();
        let started = Instant::now();
        let plan = self.client.plan(job).await?;
        let header = JobHeader { committee: vec![self.call.server()], ..plan.header };
        let (job, shape) = (header.id(), header.shape.clone());
        let draft = Claims { job, nonce: header.nonce, input: header.input, ..self.draft.clone() };
        let expected = draft.clone();
        let payload = plan.payload.into_payload();
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
