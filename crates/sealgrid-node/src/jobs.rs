//! The node's side of jobs for real: performs what [`NodeMachine`] asks for.
//!
//! The machine is behind one lock and never waits: handling an event and taking its effects happen under the lock, in
//! order; what they ask for happens outside. A question of a client is a call that waits here until the machine
//! sends the message of the same job and exchange.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sealgrid_net::{Refusal, Request};
use sealgrid_protocol::job::header::JobHeader;
use sealgrid_protocol::job::message::{Exchange, Message, Why};
use sealgrid_protocol::job::node::{NodeConfig, NodeEffect, NodeEvent, NodeMachine, NodeReport};
use sealgrid_protocol::job::work::{Done, Proving, Work};
use sealgrid_protocol::machine::{Machine, Millis, Ticket};
use sealgrid_protocol::names::JobId;
use sealgrid_seal::canonical;
use sealgrid_seal::digest::Digest;
use sealgrid_seal::identity::PublicIdentity;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::api::{CLOSE_JOBS_MAX, refusal};
use crate::keys::NodeKeys;
use crate::metrics::Metrics;
use crate::models::{Models, Ready};
use crate::pool::Pool;
use crate::proofs::Proofs;
use crate::state::{Space, State, StateError};
use crate::traces::{Attribute, JobTrace, Step, Traces};

/// Milliseconds since the Unix epoch, now.
#[must_use]
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A disk that takes so long for a few hundred bytes is busy with something else, which the node's operator should hear.
const DISK_IS_SLOW: Duration = Duration::from_millis(500);
/// Above so many waiting questions those whose caller went away are swept out.
const QUESTIONS_SWEEP: usize = 4096;

/// What jobs need of the node around them.
pub struct Means {
    /// Opens payloads.
    pub keys: Arc<NodeKeys>,
    /// What is served.
    pub models: Arc<Models>,
    /// What proves their runs, where there is such a thing.
    pub proofs: Option<Arc<Proofs>>,
    /// Where models run.
    pub pool: Pool,
    /// What survives.
    pub state: State,
    /// What is counted.
    pub metrics: Metrics,
    /// What is timed.
    pub traces: Traces,
    /// Most operations of one job: those of a record times records. More is refused before anything is opened.
    pub operations_max: u64,
    /// Bytes of memory that one proof may take.
    pub proof_memory_max: u64,
}

/// The jobs of one node.
pub struct Jobs {
    this: Weak<Self>,
    means: Means,
    runtime: Handle,
    core: Mutex<Core>,
}

struct Core {
    machine: NodeMachine,
    questions: HashMap<Question, Asked>,
    timers: HashMap<Ticket, AbortHandle>,
    /// Jobs whose result is still owed to a client.
    owed: HashSet<JobId>,
    traces: HashMap<JobId, JobTrace>,
}

/// A question that waits for its answer.
struct Asked {
    answer: oneshot::Sender<Message>,
    at: SystemTime,
}

/// Who waits for which answer.
type Question = (PublicIdentity, JobId, Exchange);

impl Jobs {
    /// Takes up what the state remembers. Call within a tokio runtime.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn restore(config: NodeConfig, means: Means) -> Result<Arc<Self>, StateError> {
        let records = means.state.all(Space::Jobs)?;
        let machine = NodeMachine::new(config, now(), records);
        let core = Core {
            machine,
            questions: HashMap::new(),
            timers: HashMap::new(),
            owed: HashSet::new(),
            traces: HashMap::new(),
        };
        let jobs = Arc::new_cyclic(|this| Self {
            this: this.clone(),
            means,
            runtime: Handle::current(),
            core: Mutex::new(core),
        });
        jobs.perform(&mut jobs.core());
        Ok(jobs)
    }

    /// Answers a client's question.
    ///
    /// # Errors
    /// [`Refusal`] when the body is no question of this method; what the protocol refuses is an answer.
    pub async fn ask(&self, request: Request, draining: bool) -> Result<Vec<u8>, Refusal> {
        let message = Message::decode(&request.body).map_err(|_| refusal::BAD_BODY)?;
        let exchange = message.exchange();
        if !message.is_question() || crate::api::of_exchange(exchange) != request.method {
            return Err(refusal::BAD_BODY);
        }
        if draining && self.is_new(&message) {
            return Err(refusal::DRAINING);
        }
        drop(request.body);
        let answer = self.put(request.peer, message);
        let answer = answer.await.map_err(|_| refusal::SUPERSEDED)?;
        Ok(answer.encode())
    }

    /// Forgets jobs at their client's word.
    ///
    /// # Errors
    /// [`Refusal`] when the body is no list of jobs.
    pub fn close(&self, request: &Request) -> Result<Vec<u8>, Refusal> {
        let jobs: Vec<JobId> = canonical::decode(&request.body, request.body.len())
            .ok()
            .filter(|jobs: &Vec<_>| jobs.len() <= CLOSE_JOBS_MAX)
            .ok_or(refusal::BAD_BODY)?;
        let mut core = self.core();
        for job in jobs {
            let event = NodeEvent::Received { from: request.peer, message: Message::Close(job) };
            core.machine.handle(now(), event);
        }
        self.perform(&mut core);
        Ok(Vec::new())
    }

    /// Whether nothing is owed to anybody.
    #[must_use]
    pub fn idle(&self) -> bool {
        let core = self.core();
        core.owed.is_empty() && core.questions.values().all(|asked| asked.answer.is_closed())
    }

    /// A question that would begin something; a repeated one about a job that is owed is not.
    fn is_new(&self, message: &Message) -> bool {
        let begins = matches!(message, Message::Assign(_) | Message::Refer(_));
        begins && !self.core().owed.contains(&message.job())
    }

    /// Hands a question to the machine; the receiver gets the answer.
    fn put(&self, from: PublicIdentity, message: Message) -> oneshot::Receiver<Message> {
        let (answer, answered) = oneshot::channel();
        let mut core = self.core();
        if core.questions.len() >= QUESTIONS_SWEEP {
            core.questions.retain(|_, asked| !asked.answer.is_closed());
        }
        let asked = Asked { answer, at: SystemTime::now() };
        core.questions.insert((from, message.job(), message.exchange()), asked);
        core.machine.handle(now(), NodeEvent::Received { from, message });
        self.perform(&mut core);
        answered
    }

    fn handle(&self, event: NodeEvent) {
        let mut core = self.core();
        core.machine.handle(now(), event);
        self.perform(&mut core);
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Performs what the machine asks for. Runs under the lock so that writes reach the state in order; nothing in
    /// here waits for work, network or timers.
    fn perform(&self, core: &mut Core) {
        while let Some(effect) = core.machine.poll() {
            match effect {
                NodeEffect::Send { to, message } => self.answer(core, to, message),
                NodeEffect::Store { ticket, key, value } => self.store(core, ticket, &key, value),
                NodeEffect::Timer { ticket, at } => self.set_timer(core, ticket, at),
                NodeEffect::Run { ticket, work } => self.run(core, ticket, work),
                NodeEffect::Report(report) => self.report(core, report),
                // The client appends its receipts; a node appends nothing.
                NodeEffect::Append { .. } => {}
            }
        }
        self.means.metrics.jobs_open.set(i64::try_from(core.machine.jobs()).unwrap_or(i64::MAX));
    }

    fn store(&self, core: &Core, ticket: Ticket, key: &[u8], value: Option<Vec<u8>>) {
        let job = key.try_into().ok().map(|job| JobId(Digest(job)));
        // Of a job that is over nothing is left to say. Lost, its answer is given once more: the same as before.
        if !job.is_some_and(|job| core.machine.holds(&job)) {
            self.means.state.write_lazily(Space::Jobs, key, value);
            return;
        }
        let (started, since) = (SystemTime::now(), Instant::now());
        let trace = job.and_then(|job| core.traces.get(&job)).cloned();
        let durable = self.means.state.write(Space::Jobs, key, value);
        let this = self.this.clone();
        self.runtime.spawn(async move {
            match (durable.wait().await, this.upgrade()) {
                (Ok(()), Some(jobs)) => {
                    let took = since.elapsed();
                    jobs.means.metrics.kept(took);
                    if took >= DISK_IS_SLOW {
                        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                        tracing::warn!(ms, "the disk was slow to keep a job's state, and its client waited");
                    }
                    if let Some(trace) = trace {
                        let step = if trace.is_alone() { Step::Receipt } else { Step::Commit };
                        jobs.means.traces.step(Some(&trace), step, started, [Attribute::Outcome("ok")]);
                    }
                    jobs.handle(NodeEvent::Stored { ticket });
                }
                // The machine says nothing that depends on this write; the client turns to a reserve.
                (Err(error), _) => tracing::error!(code = error.code(), "a job's state could not be kept"),
                (Ok(()), None) => {}
            }
        });
    }

    fn set_timer(&self, core: &mut Core, ticket: Ticket, at: Millis) {
        let this = self.this.clone();
        let wait = Duration::from_millis(at.saturating_sub(now()));
        let timer = self.runtime.spawn(async move {
            tokio::time::sleep(wait).await;
            if let Some(jobs) = this.upgrade() {
                jobs.handle(NodeEvent::TimedOut { ticket });
            }
        });
        if let Some(replaced) = core.timers.insert(ticket, timer.abort_handle()) {
            replaced.abort();
        }
    }

    fn run(&self, core: &mut Core, ticket: Ticket, work: Work) {
        let this = self.this.clone();
        let client = header_of(&work).client;
        let traced = !core.traces.is_empty();
        let trace = traced.then(|| core.traces.get(&header_of(&work).id()).cloned()).flatten();
        let task = move || {
            let Some(jobs) = this.upgrade() else { return };
            let started = SystemTime::now();
            let outcome = jobs.work(work);
            let code = if let Done::Refuse(why) = &outcome { why.code() } else { "ok" };
            // What a referee runs is within its own span.
            if trace.is_some() {
                jobs.means.traces.step(trace.as_ref(), Step::Execute, started, [Attribute::Outcome(code)]);
            }
            jobs.handle(NodeEvent::Ran { ticket, outcome });
        };
        if self.means.pool.run(client, task).is_err() {
            let outcome = Done::Refuse(Why::Busy);
            core.machine.handle(now(), NodeEvent::Ran { ticket, outcome });
        }
        let (waiting, _) = self.means.pool.load();
        self.means.metrics.tasks_waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// On a worker. A payload sealed to a rotated key opens with that one.
    fn work(&self, work: Work) -> Done {
        let started = Instant::now();
        let ready = self.means.models.prepared(&work.model());
        if ready.as_ref().is_some_and(|ready| self.is_too_costly(ready, &work)) {
            return Done::Refuse(Why::TooCostly);
        }
        let model = ready.map(|ready| ready.model);
        let keys = self.means.keys.job();
        let keys: Vec<_> = keys.iter().map(Arc::as_ref).collect();
        let name = work.model();
        let proofs = self.means.proofs.as_deref().filter(|_| work.is_to_be_proven());
        let prover = proofs.and_then(|proofs| proofs.prover(&name));
        let prover = prover.as_deref();
        let spend = || proofs.zip(prover).is_some_and(|(proofs, prover)| proofs.spend(&name, prover));
        let memory_max = self.means.proof_memory_max;
        let proving = prover.map(|prover| Proving { prover, spend: &spend, memory_max });
        let done = work.perform(&keys, model.as_deref(), proving, &mut rand::rng());
        self.means.metrics.ran(started.elapsed());
        done
    }

    /// By the header's word for the number of records, which the payload has to keep once it is opened.
    fn is_too_costly(&self, ready: &Ready, work: &Work) -> bool {
        let records = u64::from(header_of(work).records);
        ready.operations_per_record.saturating_mul(records) > self.means.operations_max
    }

    fn answer(&self, core: &mut Core, to: PublicIdentity, message: Message) {
        let (job, exchange) = (message.job(), message.exchange());
        let Some(asked) = core.questions.remove(&(to, job, exchange)) else { return };
        let step = match exchange {
            Exchange::Assign => Step::Assign,
            Exchange::Open => Step::Reveal,
            Exchange::Branches | Exchange::Operands => Step::Dispute,
            Exchange::Refer => Step::Referee,
            Exchange::Endorse | Exchange::Close => Step::Receipt,
        };
        let outcome = if let Message::Refuse(refusal) = &message { refusal.why.code() } else { "ok" };
        let trace = core.traces.get(&job);
        // What was never taken has no trace, except what a referee was asked.
        if trace.is_some() || step == Step::Referee {
            self.means.traces.step(trace, step, asked.at, [Attribute::Outcome(outcome)]);
        }
        // A caller that went away meanwhile asks again when it returns.
        let _ = asked.answer.send(message);
    }

    fn report(&self, core: &mut Core, report: NodeReport) {
        match report {
            NodeReport::Take { job, verification } => {
                core.owed.insert(job);
                if self.means.traces.are_on() {
                    core.traces.insert(job, self.means.traces.job(verification));
                }
                self.means.metrics.job("taken");
            }
            NodeReport::Vote(_) => self.means.metrics.job("voted"),
            NodeReport::Sign(job) => {
                core.owed.remove(&job);
                self.means.metrics.job("signed");
            }
            NodeReport::Refuse { refusal, .. } => {
                self.means.metrics.job(refusal.why.code());
                tracing::info!(code = refusal.why.code(), "a question about a job was refused");
            }
            NodeReport::Forget(job) => {
                core.owed.remove(&job);
                if let Some(trace) = core.traces.remove(&job) {
                    trace.end();
                }
            }
        }
    }
}

fn header_of(work: &Work) -> &JobHeader {
    match work {
        Work::Execute(assign) | Work::Operands(assign, _) => &assign.header,
        Work::Referee(refer) => &refer.header,
    }
}
