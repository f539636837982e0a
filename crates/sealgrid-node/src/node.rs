//! One node: everything put together, started from a configuration, stopped without losing what it accepted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sealgrid_graph::execute::Executor;
use sealgrid_graph::fast::FastExecutor;
use sealgrid_graph::model::{ModelCommitment, PublicModel};
use sealgrid_graph::proving::ProofSystem;
use sealgrid_net::{
    AddressBook, Admission, BindError, Endpoint, EndpointConfig, Limits, Method, Refusal, Request, Service,
};
use sealgrid_protocol::job::node::{NodeBounds, NodeConfig as MachineConfig};
use sealgrid_protocol::names::Environment;
use sealgrid_protocol::text::Text;
use sealgrid_seal::canonical;
use sealgrid_seal::identity::PublicIdentity;
use sealgrid_seal::keyfile::Cost;
use sealgrid_seal::keystore::Purpose;
use sealgrid_seal::secret::SecretBytes;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::api::{self, Description, METHODS, refusal};
use crate::config::{NodeConfig, Role};
use crate::directory::{DirectoryFile, LoadError};
use crate::fault::{Crash, Faulty, FaultyProofs};
use crate::folder::{DataFolder, FolderError};
use crate::jobs::{Jobs, Means};
use crate::keys::{KeysError, NodeKeys};
use crate::log_service::LogService;
use crate::log_store::{LogStore, LogStoreError};
use crate::metrics::Metrics;
use crate::models::{Models, ModelsError, read_model};
use crate::pool::Pool;
use crate::proofs::Proofs;
use crate::publishing::Publishing;
use crate::state::{State, StateError};
use crate::traces::Traces;
use crate::witness::{WitnessError, WitnessService};

/// How often the directory's file is looked at.
const DIRECTORY_EVERY: Duration = Duration::from_secs(1);
/// How often a draining node looks whether it is idle.
const DRAIN_EVERY: Duration = Duration::from_millis(20);

/// What a node is given beside its configuration.
pub struct NodeOptions {
    /// Opens the key ring.
    pub passphrase: SecretBytes,
    /// Price of a guess at the passphrase, for rings written from now on.
    pub cost: Cost,
    /// Runs models.
    pub executor: Arc<dyn Executor>,
    /// Proves their runs; without it the node makes no proofs.
    pub proofs: Option<Arc<dyn ProofSystem>>,
    /// What the fault `crash` does.
    pub crash: Crash,
}

impl NodeOptions {
    /// The fast executor, no proofs, standard costs, and a crash that is one.
    #[must_use]
    pub fn new(passphrase: SecretBytes) -> Self {
        Self {
            passphrase,
            cost: Cost::STANDARD,
            executor: Arc::new(FastExecutor::default()),
            proofs: None,
            crash: Arc::new(|| std::process::abort()),
        }
    }
}

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Its keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Its state.
    #[error(transparent)]
    State(#[from] StateError),
    /// Its models.
    #[error(transparent)]
    Models(#[from] ModelsError),
    /// The directory.
    #[error(transparent)]
    Directory(#[from] LoadError),
    /// Its sockets.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogStoreError),
    /// The witness.
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// The directory gives this role to another key.
    #[error("the directory names another key for the role {0}")]
    OtherKey(&'static str),
    /// The metrics endpoint's address is taken.
    #[error("cannot listen on {address} for metrics")]
    Metrics {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl StartError {
    /// The code of the index of errors.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Folder(error) => error.code(),
            Self::Keys(error) => error.code(),
            Self::State(error) => error.code(),
            Self::Models(error) => error.code(),
            Self::Directory(error) => error.code(),
            Self::Bind(error) => error.code(),
            Self::Log(error) => error.code(),
            Self::Witness(error) => error.code(),
            Self::OtherKey(_) => "E-AVL-24",
            Self::Metrics { .. } => "E-NET-16",
        }
    }
}

/// A running node.
pub struct Node {
    endpoint: Endpoint,
    service: Arc<NodeService>,
    metrics: Metrics,
    metrics_address: Option<SocketAddr>,
    traces: Traces,
    drain_max: Duration,
    tasks: JoinSet<()>,
    // Last, so that the folder is free only when everything above is gone.
    _folder: DataFolder,
}

struct NodeService {
    config: NodeConfig,
    identity: PublicIdentity,
    environment: Environment,
    keys: Arc<NodeKeys>,
    models: Arc<Models>,
    proofs: Option<Arc<Proofs>>,
    publishing: Arc<Publishing>,
    directory: Arc<DirectoryFile>,
    jobs: Option<Arc<Jobs>>,
    log: Option<LogService>,
    log_key: Option<PublicIdentity>,
    witness: Option<WitnessService>,
    witness_key: Option<PublicIdentity>,
    draining: AtomicBool,
}

impl Node {
    /// Starts a node and returns when it listens.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: NodeConfig, options: NodeOptions) -> Result<Self, StartError> {
        let NodeOptions { passphrase, cost, executor, proofs, crash } = options;
        announce(&config);
        let folder = DataFolder::take(&config.data)?;
        let keys = Arc::new(NodeKeys::open(&folder.keys(), passphrase, cost)?);
        let directory = Arc::new(DirectoryFile::open(&config.directory, config.authority)?);
        let metrics = Metrics::new(config.fault);
        let traces = Traces::to(config.telemetry.traces);
        let state = State::open(&folder.state())?;
        let models = Arc::new(open_models(&config, executor, crash)?);
        let proofs = proofs.map(|system| {
            let system = match config.fault {
                Some(fault) => Arc::new(FaultyProofs::new(system, fault)),
                None => system,
            };
            Arc::new(Proofs::new(system, models.clone(), state.clone()))
        });
        let incoming = folder.incoming();
        let publishing =
            Publishing::start(config.publishing.clone(), config.authority, incoming.clone(), models.clone())
                .map_err(|source| FolderError::Unusable { path: incoming, source })?;
        let identity = keys.signing(Purpose::Node)?;
        let loaded = directory.current();
        let environment =
            loaded.directory.node(&identity.public()).map_or(Environment::Software, |node| node.environment);
        let peers = AddressBook::default();
        loaded.fill(&peers);
        let admission = Admission::new(loaded.admits(&config.network.clients, &config.publishing.owners));
        let endpoint =
            Box::pin(Endpoint::bind(&identity, network(&config, admission, peers, &metrics))).await?;
        let mut tasks = JoinSet::new();

        let (mut log, mut log_key) = (None, None);
        if config.roles.contains(&Role::Log) {
            let signer = keys.signing(Purpose::Log)?;
            if signer.public() != loaded.directory.log.key {
                return Err(StartError::OtherKey("log"));
            }
            log_key = Some(signer.public());
            let store = LogStore::open(&folder.log(), loaded.directory.log.origin.as_str(), signer)?;
            let (service, keeper) =
                LogService::start(store, endpoint.clone(), directory.clone(), traces.clone());
            tasks.spawn(keeper);
            log = Some(service);
        }
        let (mut witness, mut witness_key) = (None, None);
        if config.roles.contains(&Role::Witness) {
            let signer = keys.signing(Purpose::Witness)?;
            let own = loaded.directory.witnesses.iter().find(|entry| entry.key == signer.public());
            let name = own.ok_or(StartError::OtherKey("witness"))?.name.as_str().to_owned();
            witness_key = Some(signer.public());
            let roots = loaded.log_roots(0).map_err(WitnessError::from)?;
            witness = Some(WitnessService::restore(
                &name,
                signer,
                roots,
                folder.forks(),
                state.clone(),
                metrics.clone(),
            )?);
        }
        let mut jobs = None;
        if config.roles.contains(&Role::Compute) {
            let limits = &config.limits;
            let waiting = usize::try_from(limits.jobs_max).expect("u32 fits usize");
            let per_client = usize::try_from(limits.jobs_per_client_max).expect("u32 fits usize");
            let bounds =
                NodeBounds { jobs_max: waiting, jobs_per_client_max: per_client, ..NodeBounds::default() };
            let machine =
                MachineConfig { identity: keys.signing(Purpose::Node)?, environment, limits: bounds };
            let pool = Pool::within(limits);
            let means = Means {
                keys: keys.clone(),
                models: models.clone(),
                proofs: proofs.clone(),
                pool,
                state,
                metrics: metrics.clone(),
                traces: traces.clone(),
                operations_max: limits.operations_max(),
                proof_memory_max: u64::from(limits.proof_memory_mib_max) << 20,
            };
            jobs = Some(Jobs::restore(machine, means)?);
        }
        let drain_max = config.limits.drain();
        let service = Arc::new(NodeService {
            identity: identity.public(),
            environment,
            keys,
            models,
            proofs,
            publishing: Arc::new(publishing),
            directory,
            jobs,
            log,
            log_key,
            witness,
            witness_key,
            draining: AtomicBool::new(false),
            config,
        });
        let metrics_address = serve_metrics(&service.config, &metrics, &mut tasks).await?;
        let (serving, answering) = (endpoint.clone(), service.clone());
        tasks.spawn(async move { serving.serve(answering).await });
        tasks.spawn(watch_directory(endpoint.clone(), service.clone()));
        let (comparing, watching) = (endpoint.clone(), service.clone());
        tasks.spawn(async move {
            if let Some(witness) = &watching.witness {
                witness.compare_with_others(&comparing, &watching.directory).await;
            }
        });
        Ok(Self { endpoint, service, metrics, metrics_address, traces, drain_max, tasks, _folder: folder })
    }

    /// This node's identity.
    #[must_use]
    pub fn identity(&self) -> PublicIdentity {
        self.endpoint.identity()
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.endpoint.addresses()
    }

    /// Where its metrics are.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Its metrics as text.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.metrics.text()
    }

    /// Its keys, to rotate the job key.
    #[must_use]
    pub fn keys(&self) -> &NodeKeys {
        &self.service.keys
    }

    /// Takes nothing new and waits until what was accepted is finished and answered, at most the configured time. Whether
    /// it was.
    pub async fn drain(&self) -> bool {
        tracing::info!("draining: finishing accepted jobs, refusing new ones");
        self.service.draining.store(true, Ordering::SeqCst);
        self.metrics.draining.set(1);
        let started = Instant::now();
        while !self.service.idle() || self.endpoint.serving() > 0 {
            if started.elapsed() > self.drain_max {
                tracing::warn!("the time to drain is over; clients turn to other nodes for the rest");
                return false;
            }
            tokio::time::sleep(DRAIN_EVERY).await;
        }
        true
    }

    /// Ends at once: what was durable stays.
    pub async fn stop(mut self) {
        self.endpoint.close().await;
        self.tasks.shutdown().await;
        let traces = self.traces.clone();
        // Whether the last spans arrive is not worth a word: the node has ended.
        let _ = tokio::task::spawn_blocking(move || traces.close()).await;
    }

    /// Runs until SIGTERM or SIGINT, then drains and stops. A second signal ends at once. Calls `ready` when a signal
    /// would be heard.
    ///
    /// # Errors
    /// When the signals cannot be listened to.
    pub async fn run(self, ready: impl FnOnce(&Self)) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        ready(&self);
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tokio::select! {
            _ = self.drain() => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        self.stop().await;
        Ok(())
    }
}

fn announce(config: &NodeConfig) {
    if let Some(fault) = config.fault {
        tracing::warn!(%fault, "THIS NODE MISBEHAVES ON PURPOSE: its configuration names a fault; never use it for real");
    }
}

fn open_models(
    config: &NodeConfig,
    executor: Arc<dyn Executor>,
    crash: Crash,
) -> Result<Models, ModelsError> {
    let executor = match config.fault {
        Some(fault) => Arc::new(Faulty::new(executor, fault, crash)),
        None => executor,
    };
    let bytes_max = usize::try_from(config.limits.model_memory_mib_max).expect("u32 fits usize") << 20;
    Models::open(&config.models, executor, bytes_max)
}

fn network(
    config: &NodeConfig,
    admission: Admission,
    peers: AddressBook,
    metrics: &Metrics,
) -> EndpointConfig {
    let limits = &config.limits;
    EndpointConfig {
        bind: config.network.listen.clone(),
        admission,
        peers,
        key_exchange: config.network.hybrid_key_exchange,
        relay: config.network.relay.clone(),
        local_discovery: config.network.local_discovery,
        limits: Limits {
            calls_per_peer_max: limits.calls_per_peer_max,
            calls_max: limits.calls_max,
            request_bytes_in_memory_max: limits.request_memory_mib_max.saturating_mul(1 << 20),
            connections_max: limits.connections_max,
            ..Limits::default()
        },
        observer: Arc::new(metrics.clone()),
    }
}

async fn serve_metrics(
    config: &NodeConfig,
    metrics: &Metrics,
    tasks: &mut JoinSet<()>,
) -> Result<Option<SocketAddr>, StartError> {
    let Some(address) = config.telemetry.metrics else { return Ok(None) };
    let failed = |source| StartError::Metrics { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    tasks.spawn(metrics.clone().serve(listener));
    Ok(Some(bound))
}

async fn watch_directory(endpoint: Endpoint, service: Arc<NodeService>) {
    loop {
        tokio::time::sleep(DIRECTORY_EVERY).await;
        match service.directory.refresh() {
            Ok(Some(loaded)) => {
                loaded.fill(endpoint.peers());
                endpoint.admission().replace(
                    loaded.admits(&service.config.network.clients, &service.config.publishing.owners),
                );
                tracing::info!("another directory is in force");
                let models = service.models.clone();
                let rescanned = tokio::task::spawn_blocking(move || models.rescan()).await;
                if let Ok(Err(error)) = rescanned {
                    tracing::warn!(code = error.code(), "the models' folder cannot be read again");
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(code = error.code(), "the new directory is refused; the old one stays");
            }
        }
    }
}

impl Service for NodeService {
    fn methods(&self) -> &'static [Method] {
        METHODS
    }

    async fn call(&self, request: Request) -> Result<Vec<u8>, Refusal> {
        match request.method.id {
            id if id == api::DESCRIBE.id => Ok(canonical::encode(&self.describe())),
            id if id == api::MODEL.id => self.model(request.body).await,
            id if id == api::REGISTRATION.id => self.registration(&request.body).await,
            id if id == api::PUBLISH.id => {
                self.on_disk(request, |publishing, body| publishing.begin(body)).await
            }
            id if id == api::PUBLISH_PART.id => {
                self.on_disk(request, |publishing, body| publishing.part(body)).await
            }
            id if id == api::DIRECTORY.id => self.offered(request.body).await,
            id if id == api::LOG_APPEND.id => self.log()?.append(request.body).await,
            id if id == api::LOG_HEAD.id => Ok(self.log()?.head().into_bytes()),
            id if id == api::LOG_TILE.id => self.log()?.tile(&request.body).await,
            id if id == api::WITNESS.id => {
                self.witness.as_ref().ok_or(refusal::NOT_MY_ROLE)?.ask(request).await
            }
            id if id == api::CLOSE.id => self.jobs.as_ref().ok_or(refusal::NOT_MY_ROLE)?.close(&request),
            _ => {
                let jobs = self.jobs.as_ref().ok_or(refusal::NOT_MY_ROLE)?;
                jobs.ask(request, self.draining.load(Ordering::SeqCst)).await
            }
        }
    }
}

impl NodeService {
    fn log(&self) -> Result<&LogService, Refusal> {
        self.log.as_ref().ok_or(refusal::NOT_MY_ROLE)
    }

    fn idle(&self) -> bool {
        self.jobs.as_ref().is_none_or(|jobs| jobs.idle())
    }

    fn describe(&self) -> Description {
        let word = |text: &str| Text::new(text).expect("a short word of the program's own");
        Description {
            version: 1,
            identity: self.identity,
            job_key: self.keys.job_public(),
            environment: self.environment,
            models: self.models.commitments(),
            executor: word(self.models.executor()),
            log: self.log_key,
            witness: self.witness_key,
            directory: self.directory.current().directory.digest(),
            draining: self.draining.load(Ordering::SeqCst),
            fault: self.config.fault.map(|fault| word(&format!("FAULT: {fault}"))),
        }
    }

    /// Publishing, on a thread that may wait for the disk.
    async fn on_disk(
        &self,
        request: Request,
        work: fn(&Publishing, &[u8]) -> Result<Vec<u8>, Refusal>,
    ) -> Result<Vec<u8>, Refusal> {
        if self.draining.load(Ordering::SeqCst) {
            return Err(refusal::DRAINING);
        }
        let publishing = self.publishing.clone();
        let done = tokio::task::spawn_blocking(move || work(&publishing, &request.body)).await;
        done.map_err(|_| refusal::NOT_KEPT)?
    }

    async fn offered(&self, body: Vec<u8>) -> Result<Vec<u8>, Refusal> {
        let directory = self.directory.clone();
        let offered = tokio::task::spawn_blocking(move || directory.offer(body)).await;
        match offered {
            Ok(Ok(())) => Ok(Vec::new()),
            Ok(Err(error)) => {
                tracing::warn!(code = error.code(), "an offered directory is refused; the old one stays");
                Err(refusal::BAD_DIRECTORY)
            }
            Err(_) => Err(refusal::BAD_DIRECTORY),
        }
    }

    /// What others need to verify proofs about a model, on a thread that may wait for the disk and for a proof.
    async fn registration(&self, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        let limit = usize::try_from(api::REGISTRATION.request_bytes_max).expect("u32 fits usize");
        let model: ModelCommitment = canonical::decode(body, limit).map_err(|_| refusal::BAD_BODY)?;
        let proofs = self.proofs.clone().ok_or(refusal::NOT_REGISTERED)?;
        let published = tokio::task::spawn_blocking(move || proofs.published(&model)).await;
        published.map_err(|_| refusal::NOT_KEPT)?
    }

    /// The public part of a model, read from its file: seldom asked for, and not worth memory.
    async fn model(&self, body: Vec<u8>) -> Result<Vec<u8>, Refusal> {
        let limit = usize::try_from(api::MODEL.request_bytes_max).expect("u32 fits usize");
        let commitment: ModelCommitment = canonical::decode(&body, limit).map_err(|_| refusal::BAD_BODY)?;
        let path = self.models.path(&commitment).ok_or(refusal::NO_SUCH_MODEL)?;
        let read = tokio::task::spawn_blocking(move || read_model(&path).map(|model| model.public()));
        let public: PublicModel = read.await.ok().and_then(Result::ok).ok_or(refusal::NO_SUCH_MODEL)?;
        Ok(canonical::encode(&public))
    }
}
