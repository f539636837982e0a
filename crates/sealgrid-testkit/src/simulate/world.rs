//! The world of a simulated job: an event queue, a network, disks.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::{Arc, OnceLock};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use sealgrid_graph::arbitrary::{self, Random};
use sealgrid_graph::execute::{Batch, Executor as _, Prepared};
use sealgrid_graph::fast::FastExecutor;
use sealgrid_graph::integer::Graph;
use sealgrid_graph::reference::Reference;
use sealgrid_graph::tensor::Data;
use sealgrid_protocol::claims::{Fault, LogState};
use sealgrid_protocol::job::client::{
    ClientDone, ClientEffect, ClientEvent, ClientMachine, ClientReport, Decision, Party, Patience, Plan,
};
use sealgrid_protocol::job::header::{
    CommittedPayload, JobHeader, Payload, TraceShape, VERSION, commit_inputs, join_outputs,
};
use sealgrid_protocol::job::message::Message;
use sealgrid_protocol::job::node::{NodeBounds, NodeConfig, NodeEffect, NodeEvent, NodeMachine};
use sealgrid_protocol::job::statement::Signed;
use sealgrid_protocol::job::work::{Done, Work};
use sealgrid_protocol::machine::{Machine as _, Millis, Ticket};
use sealgrid_protocol::names::{Environment, ModelCommitment, Protection, Verification};
use sealgrid_seal::digest::{CommitmentKey, Digest};
use sealgrid_seal::envelope::JobKeyPair;
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};
use sealgrid_seal::secret::Secret;

use super::{Behaviour, LIFETIME_MS, MARKER, Outcome, START, Scenario};
use crate::liar::WrongFrom;

/// The client among the actors; nodes are their place in the draw.
const CLIENT: usize = usize::MAX;
/// Nothing is simulated behind this moment.
const END: Millis = START + 3 * LIFETIME_MS;

type Disk = BTreeMap<Vec<u8>, Vec<u8>>;

enum What {
    Deliver { to: usize, from: usize, bytes: Vec<u8> },
    Unreachable { to: usize, peer: usize },
    Stored { actor: usize, life: u32, ticket: Ticket },
    Timer { actor: usize, life: u32, ticket: Ticket },
    Ran { node: usize, life: u32, ticket: Ticket, done: Box<Done> },
    ClientRan { life: u32, ticket: Ticket, outcome: ClientDone },
    Restart { actor: usize },
}

struct Node {
    behaviour: Behaviour,
    public: PublicIdentity,
    machine: Option<NodeMachine>,
    life: u32,
    disk: Disk,
    prepared: Box<dyn Prepared>,
    sent: u32,
}

struct World {
    scenario: Scenario,
    random: Random,
    rng: ChaCha20Rng,
    now: Millis,
    queue: BinaryHeap<Reverse<(Millis, u64)>>,
    events: BTreeMap<u64, What>,
    sequence: u64,
    client: Option<ClientMachine<ChaCha20Rng>>,
    client_life: u32,
    client_disk: Disk,
    nodes: Vec<Node>,
    graph: Arc<Graph>,
    header: JobHeader,
    inputs: Vec<Batch>,
    cut_off: Vec<bool>,
    cut_until: Millis,
    marker_searched: bool,
    decision: Option<(Millis, Decision)>,
    faults: Vec<Fault>,
    commits: BTreeMap<PublicIdentity, BTreeSet<[u8; 32]>>,
    marker_seen: bool,
    messages: u64,
    crashes: u64,
}

/// Key pairs of every simulated node: expanding one costs more than a whole job's hashing.
fn job_keys(place: usize) -> &'static JobKeyPair {
    static KEYS: OnceLock<Vec<JobKeyPair>> = OnceLock::new();
    let make = |place: u8| JobKeyPair::from_seed(Secret::new([place; 32]));
    &KEYS.get_or_init(|| (0..32).map(make).collect())[place]
}

fn identity(actor: usize) -> SigningIdentity {
    let number = if actor == CLIENT { 255 } else { u8::try_from(actor).expect("at most 32 nodes") };
    SigningIdentity::from_seed(&Secret::new([number; 32]))
}

fn job_key() -> CommitmentKey {
    CommitmentKey::new([0x5e; 32])
}

/// Runs a scenario to its end.
///
/// # Panics
/// When a machine panics, or something is wrong with the simulator itself.
#[must_use]
pub fn run(scenario: Scenario) -> Outcome {
    let mut world = World::new(scenario);
    world.begin_client();
    while let Some(Reverse((at, id))) = world.queue.pop()
        && at <= END
    {
        world.now = world.now.max(at);
        let what = world.events.remove(&id).expect("every queued event is kept");
        world.happen(what);
        if world.decision.is_some() && world.client.is_some() {
            break;
        }
    }
    world.outcome()
}

/// The first random graph from `seed` on that has a trace to bisect and outputs within the protocol's bounds.
fn graph(seed: u64) -> Arc<Graph> {
    (0..)
        .map(|step| arbitrary::graph(seed.wrapping_mul(31).wrapping_add(step)))
        .find(|graph| {
            graph.operations().len() >= 2
                && graph.outputs().iter().any(|v| v.0 as usize >= graph.inputs().len())
        })
        .map(Arc::new)
        .expect("most random graphs qualify")
}

/// Batches whose bytes repeat the marker.
fn marked(graph: &Graph, records: usize) -> Vec<Batch> {
    let batch = |value: &sealgrid_graph::integer::ValueType| {
        let count = records * value.shape.count() * value.dtype.bytes();
        let bytes: Vec<u8> = MARKER.iter().copied().cycle().take(count).collect();
        let data = Data::from_le_bytes(value.dtype, &bytes).expect("whole elements");
        Batch::new(records, value.shape.clone(), data).expect("small batches are within the limits")
    };
    graph.inputs().iter().map(batch).collect()
}

impl World {
    fn new(scenario: Scenario) -> Self {
        let seed = scenario.seed;
        let mut random = Random::new(seed ^ 0x5eed);
        let graph = graph(seed % 512);
        let records = 1 + random.below(3) as usize;
        let inputs = marked(&graph, records);
        let header = header(&scenario, &graph, &inputs, records);
        let operation = random.below(graph.operations().len() as u64) as usize;
        let nodes = (0..scenario.nodes.len())
            .map(|place| node(place, scenario.nodes[place], &graph, operation))
            .collect();
        let cut_off = scenario.nodes.iter().map(|_| scenario.partition && random.below(2) == 0).collect();
        Self {
            random,
            rng: ChaCha20Rng::seed_from_u64(seed),
            now: START,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            sequence: 0,
            client: None,
            client_life: 0,
            client_disk: Disk::new(),
            nodes,
            marker_searched: inputs.iter().any(|batch| batch.data().view().le_bytes().len() >= MARKER.len()),
            graph,
            header,
            inputs,
            cut_off,
            cut_until: START + LIFETIME_MS / 4,
            decision: None,
            faults: Vec::new(),
            commits: BTreeMap::new(),
            marker_seen: false,
            messages: 0,
            crashes: 0,
            scenario,
        }
    }

    fn plan(&self) -> Plan {
        let party = |place: usize| Party {
            identity: self.nodes[place].public,
            job_key: job_keys(place).public().clone(),
            environment: Environment::Software,
        };
        Plan {
            header: self.header.clone(),
            payload: CommittedPayload::new(Payload { job_key: job_key(), inputs: self.inputs.clone() }),
            parties: (0..self.nodes.len()).map(party).collect(),
            evidence: Vec::new(),
            patience: Patience::within(LIFETIME_MS),
        }
    }

    fn begin_client(&mut self) {
        let rng = ChaCha20Rng::seed_from_u64(self.random.draw());
        let resumed = ClientMachine::resume(identity(CLIENT), rng, self.now, self.client_disk.clone());
        let machine = resumed.unwrap_or_else(|| {
            let rng = ChaCha20Rng::seed_from_u64(self.random.draw());
            ClientMachine::begin(identity(CLIENT), rng, self.plan(), self.now)
                .expect("the plan fits together")
        });
        self.client = Some(machine);
        self.drain_client();
    }

    fn start_node(&mut self, place: usize) {
        let config = NodeConfig {
            identity: identity(place),
            environment: Environment::Software,
            limits: NodeBounds::default(),
        };
        let machine = NodeMachine::new(config, self.now, self.nodes[place].disk.clone());
        self.nodes[place].machine = Some(machine);
        self.drain_node(place);
    }

    fn at(&mut self, at: Millis, what: What) {
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence)));
        self.events.insert(self.sequence, what);
    }

    fn soon(&mut self, within: Millis, what: What) {
        let at = self.now + self.random.below(within.max(1));
        self.at(at, what);
    }

    fn chance(&mut self, in_256: u8) -> bool {
        self.random.below(256) < u64::from(in_256)
    }

    fn life(&self, actor: usize) -> u32 {
        if actor == CLIENT { self.client_life } else { self.nodes[actor].life }
    }

    // ---- events ----

    fn happen(&mut self, what: What) {
        match what {
            What::Deliver { to, from, bytes } => self.deliver(to, from, &bytes),
            What::Unreachable { to: CLIENT, peer } => {
                let peer = self.nodes[peer].public;
                self.tell_client(ClientEvent::Unreachable { peer });
            }
            What::Stored { actor, life, ticket } if self.life(actor) == life => {
                if actor == CLIENT {
                    self.tell_client(ClientEvent::Stored { ticket });
                } else {
                    self.tell_node(actor, NodeEvent::Stored { ticket });
                }
            }
            What::Timer { actor, life, ticket } if self.life(actor) == life => {
                if actor == CLIENT {
                    self.tell_client(ClientEvent::TimedOut { ticket });
                } else {
                    self.tell_node(actor, NodeEvent::TimedOut { ticket });
                }
            }
            What::Ran { node, life, ticket, done } if self.life(node) == life => {
                self.tell_node(node, NodeEvent::Ran { ticket, outcome: *done });
            }
            What::ClientRan { life, ticket, outcome } if self.client_life == life => {
                self.tell_client(ClientEvent::Ran { ticket, outcome });
            }
            What::Restart { actor: CLIENT } => self.begin_client(),
            What::Restart { actor } => self.start_node(actor),
            _ => {} // of an earlier life
        }
    }

    fn deliver(&mut self, to: usize, from: usize, bytes: &[u8]) {
        self.messages += 1;
        let Ok(message) = Message::decode(bytes) else { return };
        if to == CLIENT {
            let from = self.nodes[from].public;
            self.tell_client(ClientEvent::Received { from, message });
        } else {
            let from = identity(from).public();
            self.tell_node(to, NodeEvent::Received { from, message });
        }
    }

    fn tell_client(&mut self, event: ClientEvent) {
        if let Some(machine) = &mut self.client {
            machine.handle(self.now, event);
            self.drain_client();
        }
    }

    fn tell_node(&mut self, place: usize, event: NodeEvent) {
        if let Some(machine) = &mut self.nodes[place].machine {
            machine.handle(self.now, event);
            self.drain_node(place);
        }
    }

    // ---- effects ----

    fn drain_client(&mut self) {
        while let Some(effect) = self.client.as_mut().and_then(sealgrid_protocol::machine::Machine::poll) {
            let life = self.client_life;
            match effect {
                ClientEffect::Send { to, message } => {
                    let to = self.nodes.iter().position(|node| node.public == to).expect("a known party");
                    self.transmit(CLIENT, to, &message.encode());
                }
                ClientEffect::Store { ticket, key, value } => self.store(CLIENT, ticket, key, value),
                ClientEffect::Timer { ticket, at } => {
                    self.at(at, What::Timer { actor: CLIENT, life, ticket });
                }
                ClientEffect::Run { ticket, work } => {
                    let outcome = work.perform(Some(&self.graph), None);
                    self.soon(50, What::ClientRan { life, ticket, outcome });
                }
                ClientEffect::Append { .. } => {}
                ClientEffect::Report(ClientReport::Fault(fault)) => self.faults.push(fault),
                ClientEffect::Report(ClientReport::Decline { .. }) => {}
                ClientEffect::Report(ClientReport::Decide(decision)) => {
                    self.decision.get_or_insert((self.now, *decision));
                }
            }
        }
    }

    fn drain_node(&mut self, place: usize) {
        while let Some(effect) =
            self.nodes[place].machine.as_mut().and_then(sealgrid_protocol::machine::Machine::poll)
        {
            let life = self.nodes[place].life;
            match effect {
                NodeEffect::Send { message, .. } => self.node_sends(place, message),
                NodeEffect::Store { ticket, key, value } => self.store(place, ticket, key, value),
                NodeEffect::Timer { ticket, at } => self.at(at, What::Timer { actor: place, life, ticket }),
                NodeEffect::Run { ticket, work } => {
                    let done = Box::new(self.perform(place, work));
                    self.soon(100, What::Ran { node: place, life, ticket, done });
                }
                NodeEffect::Append { .. } | NodeEffect::Report(_) => {}
            }
        }
    }

    fn perform(&mut self, place: usize, work: Work) -> Done {
        let node = &self.nodes[place];
        let done = work.perform(&[job_keys(place)], Some(&*node.prepared), None, &mut self.rng);
        match (node.behaviour, done) {
            // Another output than the trace yields, and commitments to match.
            (Behaviour::LieOutput, Done::Executed(mut run)) => {
                run.outputs[0].leaf.0[0] ^= 1;
                let leaves: Vec<_> = run.outputs.iter().map(|output| output.leaf).collect();
                run.output = join_outputs(&run.key, &leaves);
                Done::Executed(run)
            }
            (Behaviour::LieAndHide, Done::Operands(mut operands, root)) => {
                operands.sealed.truncate(40);
                Done::Operands(operands, root)
            }
            (_, done) => done,
        }
    }

    /// A write that becomes durable, or a process that dies before it or right after.
    fn store(&mut self, actor: usize, ticket: Ticket, key: Vec<u8>, value: Option<Vec<u8>>) {
        let crash = self.scenario.crash;
        let before = self.chance(crash / 2);
        if !before {
            if actor != CLIENT {
                self.search(value.as_deref().unwrap_or_default());
            }
            let disk = if actor == CLIENT { &mut self.client_disk } else { &mut self.nodes[actor].disk };
            match value {
                Some(value) => disk.insert(key, value),
                None => disk.remove(&key),
            };
        }
        if before || self.chance(crash / 2) {
            self.kill(actor);
        } else {
            let life = self.life(actor);
            self.soon(20, What::Stored { actor, life, ticket });
        }
    }

    fn kill(&mut self, actor: usize) {
        self.crashes += 1;
        if actor == CLIENT {
            self.client = None;
            self.client_life += 1;
        } else {
            self.nodes[actor].machine = None;
            self.nodes[actor].life += 1;
        }
        self.soon(3_000, What::Restart { actor });
    }

    // ---- the network ----

    fn node_sends(&mut self, place: usize, message: Message) {
        if let Message::Commit(commit) = &message {
            let digests = self.commits.entry(self.nodes[place].public).or_default();
            digests.insert(commit.claimed().digest.0);
        }
        self.nodes[place].sent += 1;
        for bytes in self.twist(place, message) {
            self.transmit(place, CLIENT, &bytes);
        }
    }

    /// What the node really sends in place of `message`.
    fn twist(&mut self, place: usize, message: Message) -> Vec<Vec<u8>> {
        let signer = identity(place);
        let forger = identity(200);
        let honest = message.encode();
        match (self.nodes[place].behaviour, message) {
            (Behaviour::Crash { after }, _) if self.nodes[place].sent > after => Vec::new(),
            (Behaviour::LieSilently, Message::Branches(_) | Message::Operands(_)) => Vec::new(),
            (Behaviour::Withhold, Message::Reveal(_)) => Vec::new(),
            (Behaviour::LieAndMisopen, Message::Branches(branches)) => {
                let mut wrong = *branches.claimed();
                wrong.opening.left.0[3] ^= 1;
                vec![Message::Branches(Signed::sign(&signer, wrong)).encode()]
            }
            (Behaviour::ChangeVote, Message::Reveal(mut reveal)) => {
                let mut wrong = reveal.reveal.claimed().clone();
                wrong.trace.0[5] ^= 1;
                reveal.reveal = Signed::sign(&signer, wrong);
                vec![Message::Reveal(reveal).encode()]
            }
            (Behaviour::Equivocate, Message::Commit(commit)) => {
                let mut wrong = *commit.claimed();
                wrong.digest.0[7] ^= 1;
                vec![honest, Message::Commit(Signed::sign(&signer, wrong)).encode()]
            }
            (Behaviour::Garble, Message::Reveal(mut reveal)) => {
                reveal.output[33] ^= 1;
                vec![Message::Reveal(reveal).encode()]
            }
            (Behaviour::Forge, Message::Commit(commit)) => {
                vec![Message::Commit(Signed::sign(&forger, *commit.claimed())).encode()]
            }
            (Behaviour::Babble, _) => vec![honest[..honest.len() / 2].to_vec(), vec![0xff; 64]],
            _ => vec![honest],
        }
    }

    fn transmit(&mut self, from: usize, to: usize, bytes: &[u8]) {
        self.search(bytes);
        let node = if from == CLIENT { to } else { from };
        let cut_off = self.cut_off[node] && self.now < self.cut_until;
        let gone =
            matches!(self.nodes[node].behaviour, Behaviour::Crash { after } if self.nodes[node].sent > after);
        if cut_off || gone || self.nodes[node].machine.is_none() {
            // The transport notices some of what does not arrive.
            if from == CLIENT && self.random.below(2) == 0 {
                self.soon(500, What::Unreachable { to: CLIENT, peer: node });
            }
            return;
        }
        let (loss, duplication) = (self.scenario.loss, self.scenario.duplication);
        if self.chance(loss) {
            return;
        }
        let slow = if self.nodes[node].behaviour == Behaviour::Slow { LIFETIME_MS / 2 } else { 0 };
        let copies = if self.chance(duplication) { 2 } else { 1 };
        for _ in 0..copies {
            let at = self.now + slow + 1 + self.random.below(self.scenario.delay_ms);
            self.at(at, What::Deliver { to, from, bytes: bytes.to_vec() });
        }
    }

    fn search(&mut self, bytes: &[u8]) {
        if self.marker_searched && bytes.windows(MARKER.len()).any(|window| window == MARKER) {
            self.marker_seen = true;
        }
    }

    fn outcome(self) -> Outcome {
        let prepared = Reference.prepare(Arc::clone(&self.graph)).expect("the reference runs everything");
        Outcome {
            identities: self.nodes.iter().map(|node| node.public).collect(),
            expected: prepared.run(&self.inputs, &mut ()).expect("inputs fit the graph"),
            header: self.header,
            key: job_key(),
            decision: self.decision,
            faults: self.faults,
            commits: self.commits,
            marker_seen: self.marker_seen,
            messages: self.messages,
            crashes: self.crashes,
            scenario: self.scenario,
        }
    }
}

fn node(place: usize, behaviour: Behaviour, graph: &Arc<Graph>, operation: usize) -> Node {
    let lie = |flip| Box::new(WrongFrom { graph: Arc::clone(graph), operation, flip }) as Box<dyn Prepared>;
    let prepared = match behaviour {
        Behaviour::Lie { flip } => lie(flip),
        Behaviour::LieSilently | Behaviour::LieAndMisopen | Behaviour::LieAndHide => lie(4),
        // Half the nodes run the reference, half the fast kernels: honest runs agree.
        _ if place.is_multiple_of(2) => {
            FastExecutor::new().prepare(Arc::clone(graph)).expect("the fast executor runs everything")
        }
        _ => Reference.prepare(Arc::clone(graph)).expect("the reference runs everything"),
    };
    let config = NodeConfig {
        identity: identity(place),
        environment: Environment::Software,
        limits: NodeBounds::default(),
    };
    Node {
        behaviour,
        public: config.identity.public(),
        machine: Some(NodeMachine::new(config, START, Disk::new())),
        life: 0,
        disk: Disk::new(),
        prepared,
        sent: 0,
    }
}

fn header(scenario: &Scenario, graph: &Graph, inputs: &[Batch], records: usize) -> JobHeader {
    let members = usize::from(scenario.members);
    let identities: Vec<PublicIdentity> =
        (0..scenario.nodes.len()).map(|place| identity(place).public()).collect();
    let verification = match scenario.members {
        1 => Verification::Signed,
        members => Verification::Quorum { members },
    };
    let mut nonce = [0; 32];
    nonce[..8].copy_from_slice(&scenario.seed.to_le_bytes());
    JobHeader {
        version: VERSION,
        nonce,
        client: identity(CLIENT).public(),
        model: ModelCommitment(graph.architecture().digest()),
        shape: TraceShape::of(graph),
        input: commit_inputs(&job_key(), inputs),
        records: u32::try_from(records).expect("few records"),
        policy: Digest([1; 32]),
        protection_asked: Protection::Sealed,
        protection: Protection::Sealed,
        verification_asked: verification,
        verification,
        committee: identities[..members].to_vec(),
        reserves: identities[members..].to_vec(),
        directory: Digest([2; 32]),
        log: LogState { size: 1, root: [3; 32] },
        requested: START,
        deadline: START + LIFETIME_MS,
        referee: scenario.referee,
        on_dispute: scenario.on_dispute,
    }
}
