//! A real grid inside the test's process: every node with its own folder, keys, sockets and runtime.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealgrid_graph::arbitrary::card;
use sealgrid_graph::execute::{Batch, Executor};
use sealgrid_graph::fast::FastExecutor;
use sealgrid_graph::integer::{Builder, Primitive, Requantise, ValueType};
use sealgrid_graph::model::{Model, ModelCommitment};
use sealgrid_graph::proving::ProofSystem;
use sealgrid_graph::tensor::{DType, Data, Shape, Tensor};
use sealgrid_node::client::{ClientOptions, GridClient, Job, Progress};
use sealgrid_node::config::{LimitsConfig, NodeConfig};
use sealgrid_node::directory::Loaded;
use sealgrid_node::fault::Fault;
use sealgrid_node::grid::{GridFiles, GridPlan};
use sealgrid_node::jobs::now;
use sealgrid_node::node::{Node, NodeOptions};
use sealgrid_protocol::names::{Protection, Verification};
use sealgrid_protocol::policy::Policy;
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};
use sealgrid_seal::keyfile::Cost;
use sealgrid_seal::secret::{Secret, SecretBytes};
use tokio::runtime::Runtime;

/// The shape of the shipped breast-tumour network: 30 inputs, 16 hidden units, 2 scores; weights from a counter.
pub fn small_model() -> Model {
    let shape = |axes: &[usize]| Shape::new(axes).expect("small");
    let mut counter = 1u32;
    let mut next = || {
        counter = counter.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        i8::try_from((counter >> 24) % 127).expect("below 127") - 63
    };
    let input = ValueType { dtype: DType::I8, shape: shape(&[30]) };
    let mut graph = Builder::new(vec![input]);
    let mut value = graph.input(0);
    for (name, rows, columns, low) in [("hidden", 16, 30, 0), ("scores", 2, 16, -128)] {
        let weights: Vec<i8> = (0..rows * columns).map(|_| next()).collect();
        let biases: Vec<i32> = (0..rows).map(|_| i32::from(next())).collect();
        let weight = Tensor::new(shape(&[rows, columns]), Data::I8(weights)).expect("fits");
        let bias = Tensor::new(shape(&[rows]), Data::I32(biases)).expect("fits");
        let requantise =
            Requantise { multipliers: vec![1], shifts: vec![9], low, high: 127, output: DType::I8 };
        let (weight, bias) = (graph.parameter(weight), graph.parameter(bias));
        let linear = Primitive::Linear { weight, bias, requantise };
        value = graph.push(name, linear, &[value]).expect("valid");
    }
    let graph = graph.finish(vec![value]).expect("valid");
    Model::new(card("small", &graph), graph, &mut rand::rng()).expect("a valid model")
}

/// Records that a small counter makes.
pub fn records(count: usize) -> Vec<Batch> {
    let elements: Vec<i8> =
        (0..count * 30).map(|i| i8::try_from(i * 7 % 251 % 127).expect("below 127")).collect();
    vec![Batch::new(count, Shape::new(&[30]).expect("small"), Data::I8(elements)).expect("fits")]
}

/// What an honest run yields.
pub fn expected(model: &Model, inputs: &[Batch]) -> Vec<Batch> {
    let reference = sealgrid_graph::reference::Reference;
    reference.prepare(model.graph().clone()).expect("prepares").run(inputs, &mut ()).expect("runs")
}

pub fn person(byte: u8) -> SigningIdentity {
    SigningIdentity::from_seed(&Secret::new([byte; 32]))
}

pub fn authority() -> SigningIdentity {
    person(200)
}

pub fn passphrase() -> SecretBytes {
    SecretBytes::new(b"of a test".to_vec())
}

/// A node with a runtime of its own, so that it can end like a process.
pub struct RunningNode {
    pub identity: PublicIdentity,
    running: Running,
}

/// Emptied by a crash, so that its sockets close as those of a process do.
type Running = Arc<Mutex<Option<(Runtime, Arc<Node>)>>>;

impl RunningNode {
    pub fn start(config: NodeConfig, executor: Arc<dyn Executor>) -> Self {
        Self::start_with(config, executor, None)
    }

    pub fn start_proving(config: NodeConfig, proofs: Option<Arc<dyn ProofSystem>>) -> Self {
        Self::start_with(config, Arc::new(FastExecutor::default()), proofs)
    }

    fn start_with(
        config: NodeConfig,
        executor: Arc<dyn Executor>,
        proofs: Option<Arc<dyn ProofSystem>>,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let running = Running::default();
        let crashing = running.clone();
        let options = NodeOptions {
            cost: Cost::LEAST,
            executor,
            proofs,
            crash: Arc::new(move || end(&crashing)),
            ..NodeOptions::new(passphrase())
        };
        let (say, heard) = std::sync::mpsc::sync_channel(1);
        runtime.spawn(async move {
            let _ = say.send(Box::pin(Node::start(config, options)).await);
        });
        let node = heard.recv().expect("the future ends").expect("starts");
        let identity = node.identity();
        *running.lock().expect("not poisoned") = Some((runtime, Arc::new(node)));
        Self { identity, running }
    }

    pub fn node(&self) -> Arc<Node> {
        self.running.lock().expect("not poisoned").as_ref().expect("running").1.clone()
    }

    /// Runs a future on the node's own runtime.
    pub fn on<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> T {
        let handle = self.running.lock().expect("not poisoned").as_ref().expect("running").0.handle().clone();
        let (say, heard) = std::sync::mpsc::sync_channel(1);
        handle.spawn(async move {
            let _ = say.send(future.await);
        });
        heard.recv().expect("the future ends")
    }

    /// Ends the node as a crash would: nothing is said to anybody. Waits until its folder is free.
    pub fn crash(self) {
        drop(self);
    }
}

impl Drop for RunningNode {
    fn drop(&mut self) {
        end(&self.running);
    }
}

fn end(running: &Running) {
    let ended = running.lock().expect("not poisoned").take();
    if let Some((runtime, node)) = ended {
        runtime.shutdown_background();
        drop(node);
    }
}

pub struct Grid {
    pub folder: tempfile::TempDir,
    pub files: GridFiles,
    pub nodes: Vec<RunningNode>,
    pub model: Arc<Model>,
}

impl Grid {
    pub fn start(nodes: usize, faults: &[(usize, Fault)]) -> Self {
        let executor: Arc<dyn Executor> = Arc::new(FastExecutor::default());
        Self::start_with(nodes, faults, &executor)
    }

    pub fn start_with(nodes: usize, faults: &[(usize, Fault)], executor: &Arc<dyn Executor>) -> Self {
        let plan = GridPlan { nodes, faults: faults.to_vec(), ..GridPlan::default() };
        Self::start_plan(plan, executor, |_| {})
    }

    /// Every node has these bounds.
    pub fn start_within(nodes: usize, limits: &LimitsConfig) -> Self {
        let executor: Arc<dyn Executor> = Arc::new(FastExecutor::default());
        let plan = GridPlan { nodes, limits: limits.clone(), ..GridPlan::default() };
        Self::start_plan(plan, &executor, |_| {})
    }

    /// Every node sends its traces to `collector`.
    pub fn start_traced(nodes: usize, faults: &[(usize, Fault)], collector: SocketAddr) -> Self {
        let executor: Arc<dyn Executor> = Arc::new(FastExecutor::default());
        let plan = GridPlan { nodes, faults: faults.to_vec(), ..GridPlan::default() };
        Self::start_plan(plan, &executor, |config| config.telemetry.traces = Some(collector))
    }

    /// A registered model whose runs the nodes prove.
    pub fn start_proving(
        folder: tempfile::TempDir,
        model: Model,
        path: PathBuf,
        plan: GridPlan,
        proofs: &Arc<dyn ProofSystem>,
    ) -> Self {
        let plan = GridPlan { models: vec![path], ..plan };
        let start = |config: &PathBuf| RunningNode::start_proving(load(config), Some(proofs.clone()));
        Self::laid_out(folder, model, plan, start)
    }

    fn start_plan(plan: GridPlan, executor: &Arc<dyn Executor>, adjust: impl Fn(&mut NodeConfig)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let model = small_model();
        let path = folder.path().join("small.sgm");
        std::fs::write(&path, model.to_bytes()).expect("written");
        let plan = GridPlan { models: vec![path], ..plan };
        Self::laid_out(folder, model, plan, |config| {
            let mut config = load(config);
            adjust(&mut config);
            RunningNode::start(config, executor.clone())
        })
    }

    fn laid_out(
        folder: tempfile::TempDir,
        model: Model,
        plan: GridPlan,
        start: impl Fn(&PathBuf) -> RunningNode,
    ) -> Self {
        let plan = GridPlan { witnesses: 2.min(plan.nodes - 1), cost: Cost::LEAST, ..plan };
        let at = folder.path().join("grid");
        let files = plan.lay_out(&at, &authority(), &passphrase(), now()).expect("laid out");
        let nodes = files.configs.iter().map(start).collect();
        Self { folder, files, nodes, model: Arc::new(model) }
    }

    pub fn commitment(&self) -> ModelCommitment {
        self.model.commitment()
    }

    pub async fn client(&self, byte: u8) -> GridClient {
        let loaded = Loaded::from_file(&self.files.directory, &self.files.authority).expect("verifies");
        GridClient::open(person(byte), loaded, ClientOptions::default()).await.expect("opens")
    }

    pub fn job(&self, verification: Verification, records_count: usize) -> Job {
        let policy = policy(verification);
        Job {
            model: self.commitment(),
            inputs: records(records_count),
            protection: Protection::Sealed,
            verification,
            policy,
            graph: None,
            log: true,
        }
    }
}

pub fn load(config: &Path) -> NodeConfig {
    NodeConfig::load(config).expect("a valid configuration")
}

/// Short deadlines, two witnesses.
pub fn policy(verification: Verification) -> Policy {
    let mut policy = Policy { verification, witnesses_min: 2, ..Policy::default() };
    policy.limits.deadline_ms = 6_000;
    policy
}

pub fn quiet() -> impl FnMut(Progress) + Send {
    |_| {}
}

/// An executor that takes its time.
pub struct Patient(pub Duration);

impl Executor for Patient {
    fn name(&self) -> &'static str {
        "patient"
    }

    fn prepare(
        &self,
        graph: Arc<sealgrid_graph::integer::Graph>,
    ) -> Result<Box<dyn sealgrid_graph::execute::Prepared>, sealgrid_graph::execute::ExecuteError> {
        Ok(Box::new(PatientRun(self.0, FastExecutor::default().prepare(graph)?)))
    }
}

struct PatientRun(Duration, Box<dyn sealgrid_graph::execute::Prepared>);

impl sealgrid_graph::execute::Prepared for PatientRun {
    fn graph(&self) -> &Arc<sealgrid_graph::integer::Graph> {
        self.1.graph()
    }

    fn run(
        &self,
        inputs: &[Batch],
        observer: &mut dyn sealgrid_graph::execute::Observer,
    ) -> Result<Vec<Batch>, sealgrid_graph::execute::ExecuteError> {
        std::thread::sleep(self.0);
        self.1.run(inputs, observer)
    }
}

/// Waits until a node that crashed in this process has let go of its folder: when the last task of its runtime is gone.
pub fn wait_until_free(data: &Path) {
    for _ in 0..200 {
        if sealgrid_node::folder::DataFolder::take(data).is_ok()
            && sealgrid_node::state::State::open(&data.join("state.redb")).is_ok()
        {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(100));
}

/// The bytes of one `signed` assignment and the node it is for.
pub async fn raw_assign(client: &GridClient, grid: &Grid, byte: u8) -> (Vec<u8>, PublicIdentity) {
    let (mut assigns, parties) = raw(client, grid, byte, Verification::Signed, 1).await;
    (assigns.remove(0), parties[0])
}

pub async fn raw_quorum(client: &GridClient, grid: &Grid, byte: u8) -> (Vec<Vec<u8>>, Vec<PublicIdentity>) {
    raw(client, grid, byte, Verification::Quorum { members: 2 }, 1).await
}

/// What a client's machine would send first.
pub async fn raw(
    client: &GridClient,
    grid: &Grid,
    byte: u8,
    verification: Verification,
    records: usize,
) -> (Vec<Vec<u8>>, Vec<PublicIdentity>) {
    use sealgrid_protocol::job::client::{ClientEffect, ClientEvent, ClientMachine};
    use sealgrid_protocol::machine::Machine;
    let mut job = grid.job(verification, records);
    job.policy.witnesses_min = 1;
    job.policy.limits.deadline_ms = 60_000;
    let plan = client.plan(job).await.expect("planned");
    let mut machine = ClientMachine::begin(person(byte), rand::rng(), plan, now()).expect("begins");
    let (mut assigns, mut parties) = (Vec::new(), Vec::new());
    while let Some(effect) = machine.poll() {
        match effect {
            ClientEffect::Store { ticket, .. } => {
                machine.handle(now(), ClientEvent::Stored { ticket });
            }
            ClientEffect::Send { to, message } => {
                assigns.push(message.encode());
                parties.push(to);
            }
            _ => {}
        }
    }
    (assigns, parties)
}

/// Ends a node like a crash and starts it again from its folder, with this configuration.
pub async fn restart(grid: &mut Grid, place: usize, config: NodeConfig) {
    restarted(grid, place, config, None).await;
}

/// The same, and it proves runs.
pub async fn restart_proving(
    grid: &mut Grid,
    place: usize,
    config: NodeConfig,
    proofs: Arc<dyn ProofSystem>,
) {
    restarted(grid, place, config, Some(proofs)).await;
}

async fn restarted(grid: &mut Grid, place: usize, config: NodeConfig, proofs: Option<Arc<dyn ProofSystem>>) {
    let ended = grid.nodes.remove(place);
    let data = config.data.clone();
    let started = tokio::task::spawn_blocking(move || {
        ended.crash();
        wait_until_free(&data);
        RunningNode::start_proving(config, proofs)
    });
    grid.nodes.insert(place, started.await.expect("no panic"));
}
