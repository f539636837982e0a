//! A grid without a network: real machines, a real model of five operations, real seals. Messages arrive at once and in
//! order, unless a test alters, repeats or drops them ([`Grid::on_message`]).

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use sealgrid_graph::execute::{Batch, Executor as _, Prepared};
use sealgrid_graph::integer::{Builder, Graph, Primitive, ValueType};
use sealgrid_graph::proving::{Prover, Verifier};
use sealgrid_graph::reference::Reference;
use sealgrid_graph::tensor::{DType, Data, Shape};
use sealgrid_protocol::claims::{Claims, EvidenceKind, Fault, FaultKind, LogState, SignedClaims};
use sealgrid_protocol::job::client::{
    Accepted, ClientEffect, ClientEvent, ClientMachine, ClientReport, Decision, Party, Patience, Plan,
    Refused,
};
use sealgrid_protocol::job::header::{
    self, CommittedPayload, JobHeader, OnDispute, Payload, RefereeRule, TraceShape, commit_inputs,
};
use sealgrid_protocol::job::message::{Message, Why};
use sealgrid_protocol::job::node::{NodeBounds, NodeConfig, NodeEffect, NodeEvent, NodeMachine, NodeReport};
use sealgrid_protocol::job::work::{Done, Proving, Work};
use sealgrid_protocol::machine::{Machine as _, Millis, Ticket};
use sealgrid_protocol::names::{Environment, JobId, ModelCommitment, Protection, Verification};
use sealgrid_seal::digest::{CommitmentKey, Digest};
use sealgrid_seal::envelope::JobKeyPair;
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};
use sealgrid_seal::secret::Secret;
use sealgrid_testkit::liar::WrongFrom;

/// When every job is asked for.
pub const START: Millis = 1_750_000_000_000;
/// Time that every job has.
pub const LIFETIME_MS: Millis = 60_000;
/// Operation at which liars depart.
pub const LIE: usize = 2;
pub const RECORDS: u32 = 2;
/// The client among the actors; nodes are their place in the draw.
pub const CLIENT: usize = 100;

pub fn identity(actor: usize) -> SigningIdentity {
    SigningIdentity::from_seed(&Secret::new([u8::try_from(actor + 1).expect("few actors"); 32]))
}

pub fn public(actor: usize) -> PublicIdentity {
    identity(actor).public()
}

/// Expanding a key pair costs more than a whole job's hashing.
pub fn keys(place: usize) -> &'static JobKeyPair {
    static KEYS: OnceLock<Vec<JobKeyPair>> = OnceLock::new();
    &KEYS.get_or_init(|| (1..=12).map(|seed| JobKeyPair::from_seed(Secret::new([seed; 32]))).collect())[place]
}

pub fn job_key() -> CommitmentKey {
    Secret::new([0x55; 32])
}

pub fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// Five operations that only move and compare; operation 2 has two operands, of which one is another operation's.
pub fn graph() -> Arc<Graph> {
    let shape = |axes: &[usize]| Shape::new(axes).expect("small");
    let mut builder = Builder::new(vec![ValueType { shape: shape(&[4]), dtype: DType::I8 }]);
    let input = builder.input(0);
    let flat = builder.push_shaped("flat", Primitive::Reshape, &[input], &shape(&[1, 4])).expect("valid");
    let turned = builder.push_shaped("turned", Primitive::Reshape, &[flat], &shape(&[4])).expect("valid");
    let high = builder.push("high", Primitive::Maximum, &[turned, input]).expect("valid");
    let low = builder.push("low", Primitive::Minimum, &[high, turned]).expect("valid");
    let square = builder.push_shaped("square", Primitive::Reshape, &[low], &shape(&[2, 2])).expect("valid");
    Arc::new(builder.finish(vec![square]).expect("valid"))
}

pub fn inputs() -> Vec<Batch> {
    let data = Data::I8(vec![1, -2, 3, -4, 5, 6, -7, 8]);
    vec![Batch::new(2, Shape::new(&[4]).expect("small"), data).expect("two records of four")]
}

/// The header of a job for `members` places and `parties` parties in all.
pub fn header(members: u8, parties: usize) -> JobHeader {
    let verification = match members {
        1 => Verification::Signed,
        members => Verification::Quorum { members },
    };
    let parties: Vec<_> = (0..parties).map(public).collect();
    let graph = graph();
    JobHeader {
        version: header::VERSION,
        nonce: [0x22; 32],
        client: public(CLIENT),
        model: ModelCommitment(graph.architecture().digest()),
        shape: TraceShape::of(&graph),
        input: commit_inputs(&job_key(), &inputs()),
        records: RECORDS,
        policy: Digest([1; 32]),
        protection_asked: Protection::Sealed,
        protection: Protection::Sealed,
        verification_asked: verification,
        verification,
        committee: parties[..usize::from(members)].to_vec(),
        reserves: parties[usize::from(members)..].to_vec(),
        directory: Digest([2; 32]),
        log: LogState { size: 1, root: [3; 32] },
        requested: START,
        deadline: START + LIFETIME_MS,
        referee: RefereeRule::Client,
        on_dispute: OnDispute::Resolve,
    }
}

pub fn payload() -> Payload {
    Payload { job_key: job_key(), inputs: inputs() }
}

pub fn plan(header: JobHeader) -> Plan {
    let count = header.parties().count();
    let party = |place: usize| Party {
        identity: public(place),
        job_key: keys(place).public().clone(),
        environment: Environment::Software,
    };
    Plan {
        header,
        payload: CommittedPayload::new(payload()),
        parties: (0..count).map(party).collect(),
        evidence: Vec::new(),
        patience: Patience::within(LIFETIME_MS),
    }
}

pub fn honest() -> Box<dyn Prepared> {
    Reference.prepare(graph()).expect("the reference runs everything")
}

/// Wrong from [`LIE`] on; the same `flip` is the same lie.
pub fn liar(flip: u8) -> Box<dyn Prepared> {
    Box::new(WrongFrom { graph: graph(), operation: LIE, flip })
}

pub fn config(place: usize) -> NodeConfig {
    NodeConfig {
        identity: identity(place),
        environment: Environment::Software,
        limits: NodeBounds::default(),
    }
}

pub type Disk = BTreeMap<Vec<u8>, Vec<u8>>;

/// One node with everything that performs its effects, for tests of a node alone.
pub struct Node {
    pub place: usize,
    pub machine: NodeMachine,
    /// `None` when it does not serve the model.
    pub prepared: Option<Box<dyn Prepared>>,
    /// `None` when it makes no proofs of it.
    pub prover: Option<Box<dyn Prover>>,
    /// How many proofs it may make.
    pub openings: Cell<u32>,
    pub disk: Disk,
    pub reports: Vec<NodeReport>,
    /// Work that is not done before [`Node::work`] is called, when set.
    pub lazy: Option<Vec<(Ticket, Work)>>,
}

impl Node {
    pub fn new(place: usize, prepared: Box<dyn Prepared>) -> Self {
        Self::with(config(place), place, prepared)
    }

    pub fn with(config: NodeConfig, place: usize, prepared: Box<dyn Prepared>) -> Self {
        let machine = NodeMachine::new(config, START, Disk::new());
        let (disk, reports) = (Disk::new(), Vec::new());
        let (prover, openings) = (None, Cell::new(0));
        Self { place, machine, prepared: Some(prepared), prover, openings, disk, reports, lazy: None }
    }

    /// Kills the process and starts it again from its disk.
    pub fn restart(&mut self, now: Millis) {
        self.machine = NodeMachine::new(config(self.place), now, self.disk.clone());
    }

    /// Hands `message` over and performs everything that follows; yields what it sends.
    pub fn hear(&mut self, now: Millis, from: usize, message: Message) -> Vec<Message> {
        self.machine.handle(now, NodeEvent::Received { from: public(from), message });
        self.settle(now)
    }

    /// The one refusal that `message` earns.
    pub fn refusal(&mut self, now: Millis, from: usize, message: Message) -> Why {
        let exchange = message.exchange();
        match &self.hear(now, from, message)[..] {
            [Message::Refuse(refusal)] if refusal.exchange == exchange => refusal.why,
            said => panic!("one refusal of {exchange:?} expected, not {said:?}"),
        }
    }

    /// Does work that was put off.
    pub fn work(&mut self, now: Millis) -> Vec<Message> {
        for (ticket, work) in self.lazy.take().into_iter().flatten() {
            let outcome = self.perform(work);
            self.machine.handle(now, NodeEvent::Ran { ticket, outcome });
        }
        self.settle(now)
    }

    fn perform(&self, work: Work) -> Done {
        let spend = || {
            let left = self.openings.get().checked_sub(1);
            self.openings.set(left.unwrap_or(0));
            left.is_some()
        };
        let proving =
            self.prover.as_deref().map(|prover| Proving { prover, spend: &spend, memory_max: u64::MAX });
        work.perform(&[keys(self.place)], self.prepared.as_deref(), proving, &mut rng(self.place as u64))
    }

    fn settle(&mut self, now: Millis) -> Vec<Message> {
        let mut said = Vec::new();
        while let Some(effect) = self.machine.poll() {
            match effect {
                NodeEffect::Send { message, .. } => said.push(message),
                NodeEffect::Store { ticket, key, value } => {
                    match value {
                        Some(value) => self.disk.insert(key, value),
                        None => self.disk.remove(&key),
                    };
                    self.machine.handle(now, NodeEvent::Stored { ticket });
                }
                NodeEffect::Run { ticket, work } => match &mut self.lazy {
                    Some(later) => later.push((ticket, work)),
                    None => {
                        let outcome = self.perform(work);
                        self.machine.handle(now, NodeEvent::Ran { ticket, outcome });
                    }
                },
                NodeEffect::Report(report) => self.reports.push(report),
                NodeEffect::Timer { .. } | NodeEffect::Append { .. } => {}
            }
        }
        said
    }
}

/// A message on its way.
pub struct Said {
    pub from: usize,
    pub to: usize,
    pub message: Message,
}

type OnMessage = Box<dyn FnMut(&Said) -> Option<Vec<Message>>>;

/// A client, its nodes, and what was said between them.
pub struct Grid {
    pub now: Millis,
    pub header: JobHeader,
    pub client: ClientMachine<ChaCha20Rng>,
    pub client_disk: Disk,
    pub nodes: Vec<Node>,
    /// Whether the client can referee.
    pub holds_model: bool,
    /// What the client checks proofs with.
    pub verifier: Option<Box<dyn Verifier>>,
    /// Everything that was delivered, in order.
    pub transcript: Vec<Said>,
    pub faults: Vec<Fault>,
    /// Who declined, and why.
    pub declined: Vec<(PublicIdentity, Why)>,
    pub decision: Option<Decision>,
    on_message: OnMessage,
    /// The client is killed once this word is on its disk.
    pub kill_after: Option<&'static str>,
    timer: Option<Millis>,
    queue: VecDeque<Said>,
}

impl Grid {
    /// A grid in which node `i` runs `nodes[i]`; the first `members` have places.
    pub fn new(members: u8, nodes: Vec<Box<dyn Prepared>>) -> Self {
        let header = header(members, nodes.len());
        Self::with(header, nodes)
    }

    pub fn with(header: JobHeader, nodes: Vec<Box<dyn Prepared>>) -> Self {
        Self::planned(plan(header), nodes)
    }

    pub fn planned(plan: Plan, nodes: Vec<Box<dyn Prepared>>) -> Self {
        let header = plan.header.clone();
        let client = ClientMachine::begin(identity(CLIENT), rng(7), plan, START);
        Self {
            now: START,
            header,
            client: client.expect("the plan fits together"),
            client_disk: Disk::new(),
            nodes: nodes
                .into_iter()
                .enumerate()
                .map(|(place, prepared)| Node::new(place, prepared))
                .collect(),
            holds_model: true,
            verifier: None,
            transcript: Vec::new(),
            faults: Vec::new(),
            declined: Vec::new(),
            decision: None,
            on_message: Box::new(|_| None),
            kill_after: None,
            timer: None,
            queue: VecDeque::new(),
        }
    }

    /// What is delivered in place of each message; `None` leaves it as it is.
    pub fn on_message(mut self, alter: impl FnMut(&Said) -> Option<Vec<Message>> + 'static) -> Self {
        self.on_message = Box::new(alter);
        self
    }

    /// Runs the job to its end.
    pub fn run(mut self) -> Self {
        for _ in 0..10_000 {
            self.drain_client();
            if self.decision.is_some() {
                return self;
            }
            match self.queue.pop_front() {
                Some(said) => self.deliver(said),
                None => {
                    self.now = self.timer.take().expect("the client waits for something").max(self.now + 1);
                    self.client.handle(self.now, ClientEvent::TimedOut { ticket: Ticket(3) });
                }
            }
        }
        panic!("the job never ended");
    }

    fn drain_client(&mut self) {
        while let Some(effect) = self.client.poll() {
            match effect {
                ClientEffect::Send { to, message } => {
                    let to = (0..self.nodes.len()).find(|place| public(*place) == to).expect("a known party");
                    self.enqueue(Said { from: CLIENT, to, message });
                }
                ClientEffect::Store { ticket, key, value } => {
                    let killed = self.kill_after.take_if(|word| key.ends_with(word.as_bytes())).is_some();
                    self.client_disk.insert(key, value.expect("a client deletes nothing"));
                    if killed {
                        self.restart_client();
                    } else {
                        self.client.handle(self.now, ClientEvent::Stored { ticket });
                    }
                }
                ClientEffect::Timer { at, .. } => self.timer = Some(at),
                ClientEffect::Run { ticket, work } => {
                    let graph = graph();
                    let outcome = work.perform(self.holds_model.then_some(&*graph), self.verifier.as_deref());
                    self.client.handle(self.now, ClientEvent::Ran { ticket, outcome });
                }
                ClientEffect::Append { .. } => {}
                ClientEffect::Report(ClientReport::Fault(fault)) => self.faults.push(fault),
                ClientEffect::Report(ClientReport::Decline { node, why }) => self.declined.push((node, why)),
                ClientEffect::Report(ClientReport::Decide(decision)) => self.decision = Some(*decision),
            }
        }
    }

    fn restart_client(&mut self) {
        let client = ClientMachine::resume(identity(CLIENT), rng(8), self.now, self.client_disk.clone());
        self.client = client.expect("the plan was durable");
    }

    fn enqueue(&mut self, said: Said) {
        match (self.on_message)(&said) {
            None => self.queue.push_back(said),
            Some(instead) => self.queue.extend(instead.into_iter().map(|message| Said {
                from: said.from,
                to: said.to,
                message,
            })),
        }
    }

    fn deliver(&mut self, said: Said) {
        let message = Message::decode(&said.message.encode()).expect("what is said can be read");
        if said.to == CLIENT {
            let from = public(said.from);
            self.client.handle(self.now, ClientEvent::Received { from, message });
        } else {
            for answer in self.nodes[said.to].hear(self.now, said.from, message) {
                self.enqueue(Said { from: said.to, to: CLIENT, message: answer });
            }
        }
        self.transcript.push(said);
    }

    // ---- what came of it ----

    pub fn accepted(&self) -> &Accepted {
        match &self.decision {
            Some(Decision::Accept(accepted)) => accepted,
            other => panic!("not accepted: {other:?}"),
        }
    }

    pub fn refused(&self) -> &Refused {
        match &self.decision {
            Some(Decision::Refuse(refused)) => refused,
            other => panic!("not refused: {other:?}"),
        }
    }

    pub fn claims(&self) -> Claims {
        SignedClaims::from_bytes(self.accepted().receipt.clone()).verify().expect("a signed receipt")
    }

    /// Faults of the node at `place`, as the job's end states them.
    pub fn faults_of(&self, place: usize) -> Vec<FaultKind> {
        let faults = match &self.decision {
            Some(Decision::Refuse(refused)) => refused.faults.clone(),
            _ => self.claims().faults,
        };
        faults.into_iter().filter(|fault| fault.node == public(place)).map(|fault| fault.kind).collect()
    }

    pub fn evidence(&self, kind: EvidenceKind) -> Vec<u8> {
        let evidence = match &self.decision {
            Some(Decision::Accept(accepted)) => &accepted.evidence,
            Some(Decision::Refuse(refused)) => &refused.evidence,
            None => panic!("the job is not over"),
        };
        evidence.iter().find(|evidence| evidence.kind == kind).map(|e| e.bytes.clone()).unwrap_or_default()
    }

    pub fn job(&self) -> JobId {
        self.header.id()
    }

    /// Everything of a kind that was said by `from`.
    pub fn said_by(&self, from: usize) -> impl Iterator<Item = &Message> {
        self.transcript.iter().filter(move |said| said.from == from).map(|said| &said.message)
    }
}

/// What the model yields.
pub fn expected() -> Vec<Batch> {
    honest().run(&inputs(), &mut ()).expect("the inputs fit")
}
