//! The asking side: connect to a grid, run a job from its policy to a receipt file that stands in the log.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealgrid_graph::execute::Batch;
use sealgrid_graph::integer::Graph;
use sealgrid_graph::model::{ModelCommitment, PublicModel};
use sealgrid_graph::proving::{ProofSystem, Side, Verifier};
use sealgrid_net::{AddressBook, BindError, CallError, Endpoint, EndpointConfig, Method};
use sealgrid_protocol::claims::{
    Claims, ClaimsError, EvidenceDigest, EvidenceKind, Fault, FaultKind, LogState, PARTIES_MAX, SignedClaims,
};
use sealgrid_protocol::draw::{DrawFacts, TooFewCandidates};
use sealgrid_protocol::job::client::{
    Accepted, ClientDone, ClientEffect, ClientEvent, ClientMachine, ClientReport, ClientWork, Decision,
    Party, Patience, Plan as JobPlan, PlanError, Refused,
};
use sealgrid_protocol::job::evidence::FalseProofs;
use sealgrid_protocol::job::header::{self, CommittedPayload, JobHeader, Payload, RefereeRule, TraceShape};
use sealgrid_protocol::job::message::{Exchange, Message, Why};
use sealgrid_protocol::log::note::Note;
use sealgrid_protocol::log::tile::TileId;
use sealgrid_protocol::log::witness::WitnessMessage;
use sealgrid_protocol::log::{LogError, LogProof, LogRoots};
use sealgrid_protocol::machine::{Machine, Millis, Ticket};
use sealgrid_protocol::names::{JobId, Protection, Verification};
use sealgrid_protocol::policy::{OnDispute, Policy, Referee};
use sealgrid_protocol::publication::Publication;
use sealgrid_protocol::receipt::{Evidence, Opening, ReceiptFile};
use sealgrid_seal::canonical;
use sealgrid_seal::digest::CommitmentKey;
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};
use sealgrid_seal::secret::SecretBytes;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::api::{self, Description};
use crate::directory::Loaded;
use crate::goodbye::Goodbyes;
use crate::jobs::now;
use crate::log_service::describe_all;

/// How long a checkpoint is used for further draws.
const HEAD_FRESH: Duration = Duration::from_secs(5);
/// How long nodes may take to describe themselves.
const DESCRIBE_TIME: Duration = Duration::from_secs(3);
/// How long the log is tried while its node does not answer: as long as a restart takes on a busy machine.
const LOG_RETURNS_WITHIN: Duration = Duration::from_secs(20);
/// How often a leaf is appended while the log has too few cosignatures.
const APPEND_TRIES: u32 = 25;
/// Pause between these.
const APPEND_PAUSE: Duration = Duration::from_millis(100);

/// How a client is set up.
#[derive(Debug, Clone, Default)]
pub struct ClientOptions {
    /// Look for nodes on the local network beside the directory's addresses.
    pub local_discovery: bool,
    /// The grid's relay.
    pub relay: Option<String>,
    /// Local address; default: a free port of the address family's wildcard when the grid is not on loopback, of
    /// 127.0.0.1 when it is.
    pub bind: Option<std::net::SocketAddr>,
}

/// A client of one grid.
pub struct GridClient {
    endpoint: Endpoint,
    identity: SigningIdentity,
    grid: Loaded,
    /// Verifies proofs; without it no job is proven.
    proofs: Option<Arc<dyn ProofSystem>>,
    known: Mutex<Known>,
    goodbyes: Arc<Goodbyes>,
}

/// What a proof of a model's run is verified with.
#[derive(Clone)]
struct Published {
    bytes: Arc<Vec<u8>>,
    verifier: Arc<dyn Verifier>,
}

/// What was learned and need not be asked again.
#[derive(Default)]
struct Known {
    descriptions: BTreeMap<PublicIdentity, Description>,
    models: HashMap<ModelCommitment, Arc<PublicModel>>,
    published: HashMap<ModelCommitment, Published>,
    log_node: Option<PublicIdentity>,
    head: Option<Head>,
}

/// A checkpoint of the log that was verified.
struct Head {
    note: Note,
    at: Instant,
    /// Witnesses whose lines were found good.
    witnesses: usize,
}

/// A job to run.
#[derive(Clone)]
pub struct Job {
    /// The model.
    pub model: ModelCommitment,
    /// One batch per graph input, encoded by the model's card.
    pub inputs: Vec<Batch>,
    /// What the owner demands.
    pub policy: Policy,
    /// Protection that will be used, as planned.
    pub protection: Protection,
    /// Verification that will be used, as planned.
    pub verification: Verification,
    /// The model's graph, when this client holds the file and so can referee.
    pub graph: Option<Arc<Graph>>,
    /// Whether the receipt goes into the log. A policy that demands witnesses demands this.
    pub log: bool,
}

/// Where a client keeps a job until it is over, so that the job outlives the process. What is kept holds plaintext and
/// keys: whoever implements this seals it at rest.
pub trait Keep: Send + Sync {
    /// Keeps `value` under `key` durably before it returns. A key is kept again with a newer value.
    ///
    /// # Errors
    /// What the system says; the job is given up then, before anything depends on the value.
    fn put(&self, key: &[u8], value: &SecretBytes) -> std::io::Result<()>;
}

/// What is kept of a job beside its machine's own records.
#[derive(minicbor::Encode, minicbor::Decode)]
struct Context {
    #[n(0)]
    version: u16,
    /// Directory, policy and checkpoint that the job was drawn under.
    #[n(1)]
    evidence: Vec<(EvidenceKind, minicbor::bytes::ByteVec)>,
    #[n(2)]
    witnesses_min: u8,
    #[n(3)]
    log: bool,
    #[cbor(n(4), with = "minicbor::bytes")]
    job_key: [u8; 32],
    #[n(5)]
    model: ModelCommitment,
    #[n(6)]
    inputs: Vec<Batch>,
}

/// The word under which the context is kept.
const CONTEXT: &[u8] = b"context";
/// Bytes of a kept record at most: a payload and what belongs to it.
const RECORD_BYTES_MAX: usize = 64 << 20;

/// A job taken up again.
pub struct Resumed {
    /// How it ended.
    pub outcome: Outcome,
    /// What was asked.
    pub inputs: Vec<Batch>,
}

/// What happens on the way; content-free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The draw was made.
    Drawn {
        /// The job.
        job: JobId,
        /// Members, in draw order.
        committee: Vec<PublicIdentity>,
        /// Reserves, in draw order.
        reserves: Vec<PublicIdentity>,
    },
    /// A node was given the job.
    Assigned(PublicIdentity),
    /// A node has voted, or answered (`signed`, `proof`).
    Answered(PublicIdentity),
    /// The proof that came with an answer is being checked.
    Checking,
    /// A node has shown its vote.
    Revealed(PublicIdentity),
    /// Two nodes differ and are bisected.
    Bisecting(PublicIdentity),
    /// A reserve referees.
    Refereeing(PublicIdentity),
    /// A party is at fault.
    AtFault(Fault),
    /// A party declined, and said why.
    Declined(PublicIdentity, Why),
    /// A member is asked to sign the receipt.
    Signing(PublicIdentity),
    /// The receipt goes to the log.
    Logging,
    /// The log holds it.
    Logged {
        /// Its place.
        index: u64,
        /// Witnesses that cosigned.
        witnesses: usize,
    },
}

/// A job that ended well. Prints without its content.
pub struct Outcome {
    /// One batch per graph output: the owner's plaintext.
    pub outputs: Vec<Batch>,
    /// What the receipt claims.
    pub claims: Claims,
    /// The receipt with its evidence and its place in the log.
    pub file: ReceiptFile,
    /// The owner's key to the commitments.
    pub opening: Opening,
    /// From the request to the result.
    pub result_after: Duration,
    /// From the request to the logged receipt.
    pub logged_after: Duration,
}

impl Outcome {
    /// Whether the receipt's file shows `fault` to anybody, rather than naming it on this client's word.
    #[must_use]
    pub fn shows(&self, fault: &Fault) -> bool {
        if fault.kind != FaultKind::BadProof {
            return fault.kind.is_proven();
        }
        let shown = self.file.evidence(EvidenceKind::Dispute).map(FalseProofs::from_bytes);
        let Some(Ok(shown)) = shown else { return false };
        // This client checked them before it named anybody.
        let issuer =
            |receipt: Vec<u8>| SignedClaims::from_bytes(receipt).reread().map(|claims| claims.issuer);
        shown.given.into_iter().any(|given| issuer(given.receipt) == Ok(fault.node))
    }
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outcome").field("job", &self.claims.job).finish_non_exhaustive()
    }
}

/// Why a client cannot do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Its socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A call.
    #[error("node {} ({what})", .node.short())]
    Call {
        /// Which node.
        node: PublicIdentity,
        /// What was asked.
        what: &'static str,
        /// Why there is no answer.
        #[source]
        source: CallError,
    },
    /// A node's answer is not what the method yields.
    #[error("node {} answered with something else than {what}", .node.short())]
    Nonsense {
        /// Which node.
        node: PublicIdentity,
        /// What was expected.
        what: &'static str,
    },
    /// No node that serves the model answers.
    #[error("no node that serves the model answers")]
    NoModel,
    /// No node yields what proofs of the model are verified with.
    #[error("no node yields a registration of the model that holds")]
    NoRegistration,
    /// The node that writes the log does not answer.
    #[error("no node with the directory's log key answers")]
    NoLog,
    /// The log's checkpoint or proof is not trusted.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Too few nodes are eligible.
    #[error(transparent)]
    TooFew(#[from] TooFewCandidates),
    /// The job contradicts itself.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The receipt does not hold.
    #[error(transparent)]
    Receipt(#[from] ClaimsError),
    /// The job cannot be kept for a later process.
    #[error("the job cannot be kept: {0}")]
    Keep(#[source] std::io::Error),
    /// What was kept is no job that had begun: nothing was sent.
    #[error("what was kept is no job that had begun")]
    NothingKept,
    /// The job was refused; evidence tells why.
    #[error("the job is refused: {}", .0.reason)]
    Refused(Box<Refused>),
}

impl ClientError {
    /// The code of the index of errors.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Bind(error) => error.code(),
            Self::Call { source, .. } => match source {
                // A refusal of the node itself has a line of its own in the index.
                CallError::Refused(refusal) => {
                    api::refusal::known(&refusal.code).unwrap_or_else(|| source.code())
                }
                _ => source.code(),
            },
            Self::Nonsense { .. } => "E-NET-17",
            Self::NoModel => "E-AVL-25",
            Self::NoRegistration => "E-AVL-31",
            Self::NoLog => "E-AVL-26",
            Self::Log(error) => error.code(),
            Self::TooFew(_) => "E-AVL-27",
            Self::Plan(error) => error.code(),
            Self::Receipt(error) => error.code(),
            Self::Keep(_) => "E-STO-51",
            Self::NothingKept => "E-AVL-29",
            Self::Refused(refused) => refused.reason.code(),
        }
    }
}

impl ClientError {
    /// Whether nobody answered, so that the same question may be answered later.
    fn is_absence(&self) -> bool {
        match self {
            Self::NoLog => true,
            Self::Call { source, .. } => matches!(
                source,
                CallError::Unreachable | CallError::Deadline | CallError::Lost | CallError::QueueFull
            ),
            _ => false,
        }
    }
}

impl GridClient {
    /// Opens an endpoint for `identity`; nobody is called yet.
    ///
    /// # Errors
    /// [`ClientError::Bind`].
    pub async fn open(
        identity: SigningIdentity,
        grid: Loaded,
        options: ClientOptions,
    ) -> Result<Self, ClientError> {
        let peers = AddressBook::default();
        grid.fill(&peers);
        let config = EndpointConfig {
            bind: vec![options.bind.unwrap_or_else(|| local_address(&grid))],
            peers,
            relay: options.relay,
            local_discovery: options.local_discovery,
            ..EndpointConfig::default()
        };
        let endpoint = Box::pin(Endpoint::bind(&identity, config)).await?;
        let goodbyes = Goodbyes::new(endpoint.clone());
        Ok(Self { endpoint, identity, grid, proofs: None, known: Mutex::default(), goodbyes })
    }

    /// The same client, which verifies proofs with `system`.
    #[must_use]
    pub fn with_proofs(self, system: Arc<dyn ProofSystem>) -> Self {
        Self { proofs: Some(system), ..self }
    }

    /// Who this client is to the grid.
    #[must_use]
    pub fn identity(&self) -> PublicIdentity {
        self.identity.public()
    }

    /// The grid's directory.
    #[must_use]
    pub fn grid(&self) -> &Loaded {
        &self.grid
    }

    /// The endpoint, to see how connections were made.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Tells nodes which jobs are over, then closes the endpoint.
    pub async fn close(&self) {
        self.goodbyes.say().await;
        self.endpoint.close().await;
    }

    /// Asks every node of the directory who it is; those that answer.
    pub async fn describe(&self) -> BTreeMap<PublicIdentity, Description> {
        let nodes = self.grid.directory.nodes.iter().map(|node| node.identity).collect();
        let described = describe_all(&self.endpoint, nodes, DESCRIBE_TIME).await;
        let mut known = self.known.lock().await;
        known.log_node = self.log_node_among(&described);
        known.descriptions.clone_from(&described);
        described
    }

    fn log_node_among(&self, described: &BTreeMap<PublicIdentity, Description>) -> Option<PublicIdentity> {
        let key = self.grid.directory.log.key;
        described.iter().find(|(_, description)| description.log == Some(key)).map(|(node, _)| *node)
    }

    /// The public part of a model, from any node that serves it, checked against its commitment.
    ///
    /// # Errors
    /// [`ClientError::NoModel`].
    pub async fn model(&self, commitment: ModelCommitment) -> Result<Arc<PublicModel>, ClientError> {
        if let Some(model) = self.known.lock().await.models.get(&commitment) {
            return Ok(model.clone());
        }
        let serving = self.grid.directory.nodes.iter().filter(|node| node.serves(&commitment));
        for node in serving.map(|node| node.identity) {
            let Ok(body) = self.call(&node, &api::MODEL, canonical::encode(&commitment), "a model").await
            else {
                continue;
            };
            let limit = usize::try_from(api::MODEL.response_bytes_max).expect("u32 fits usize");
            let Ok(model) = canonical::decode::<PublicModel>(&body, limit) else { continue };
            if model.commitment() == commitment && model.check().is_ok() {
                let model = Arc::new(model);
                self.known.lock().await.models.insert(commitment, model.clone());
                return Ok(model);
            }
        }
        Err(ClientError::NoModel)
    }

    /// What proofs about a model are verified with, from any node that serves it: its registration was checked, and names the
    /// model.
    async fn published(&self, commitment: ModelCommitment) -> Result<Published, ClientError> {
        if let Some(published) = self.known.lock().await.published.get(&commitment) {
            return Ok(published.clone());
        }
        let system = self.proofs.as_ref().ok_or(ClientError::NoRegistration)?;
        let serving = self.grid.directory.nodes.iter().filter(|node| node.serves(&commitment));
        for node in serving.map(|node| node.identity) {
            let body = canonical::encode(&commitment);
            let Ok(bytes) = self.call(&node, &api::REGISTRATION, body, "a registration").await else {
                continue;
            };
            if let Some(published) = Published::read(system, bytes, commitment) {
                self.known.lock().await.published.insert(commitment, published.clone());
                return Ok(published);
            }
        }
        Err(ClientError::NoRegistration)
    }

    /// Sends a model to one node, taking up what an earlier transfer left there. `true` when the node had it already.
    /// `sent` is told how many bytes the node holds.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn publish(
        &self,
        node: &PublicIdentity,
        statement: &[u8],
        publication: &Publication,
        file: &[u8],
        sent: &mut (dyn FnMut(u64) + Send),
    ) -> Result<bool, ClientError> {
        const WHAT: &str = "a place for a model";
        let held = |body: Vec<u8>| {
            let held: Option<u64> = canonical::decode(&body, 16).ok();
            held.filter(|held| *held <= publication.length)
                .ok_or(ClientError::Nonsense { node: *node, what: WHAT })
        };
        let length = publication.length;
        let mut have = held(self.call(node, &api::PUBLISH, statement.to_vec(), WHAT).await?)?;
        let had = have == length;
        let mut stalled = 0;
        while have < length {
            sent(have);
            let start = usize::try_from(have).expect("the file is in memory");
            let end = file.len().min(start + usize::try_from(api::PART_BYTES_MAX).expect("u32 fits usize"));
            let part = api::Part { file: publication.file, offset: have, bytes: file[start..end].to_vec() };
            let now = held(self.call(node, &api::PUBLISH_PART, canonical::encode(&part), WHAT).await?)?;
            // An honest node moves forward, or once back to what it holds.
            stalled = if now > have { 0 } else { stalled + 1 };
            if stalled > 2 {
                return Err(ClientError::Nonsense { node: *node, what: WHAT });
            }
            have = now;
        }
        Ok(had)
    }

    /// Offers a newer directory to one node.
    ///
    /// # Errors
    /// [`ClientError::Call`].
    pub async fn offer_directory(&self, node: &PublicIdentity, signed: Vec<u8>) -> Result<(), ClientError> {
        self.call(node, &api::DIRECTORY, signed, "to take a directory").await.map(|_| ())
    }

    /// Makes a model's public part known, from a file, so that no node is asked.
    pub async fn know(&self, model: PublicModel) {
        self.known.lock().await.models.insert(model.commitment(), Arc::new(model));
    }

    /// The log's latest checkpoint, cosigned by at least `witnesses_min` of the directory's witnesses.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn head(&self, witnesses_min: u8) -> Result<Note, ClientError> {
        if let Some(head) = &self.known.lock().await.head
            && head.at.elapsed() < HEAD_FRESH
            && head.witnesses >= usize::from(witnesses_min)
        {
            return Ok(head.note.clone());
        }
        let roots = self.grid.log_roots(witnesses_min)?;
        let mut tries = 1;
        loop {
            let body = self.ask_log(&api::LOG_HEAD, Vec::new(), "the log's head").await?;
            let note = Note::parse(&body)?;
            match roots.verify(&note) {
                Ok(trusted) => {
                    let witnesses = trusted.cosigned.len();
                    let head = Head { note: note.clone(), at: Instant::now(), witnesses };
                    self.known.lock().await.head = Some(head);
                    return Ok(note);
                }
                // The witnesses of a grid that has just started are still being found.
                Err(LogError::TooFewWitnesses { .. }) if tries < APPEND_TRIES => tries += 1,
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(APPEND_PAUSE).await;
        }
    }

    /// What each witness of the directory that answers cosigned last, by its name.
    ///
    /// # Errors
    /// None of the whole: a witness that does not answer is left out.
    pub async fn witness_heads(&self) -> Vec<(String, Option<Note>)> {
        let described = self.describe().await;
        let mut heads = Vec::new();
        for entry in &self.grid.directory.witnesses {
            let node = described.iter().find(|(_, is)| is.witness == Some(entry.key)).map(|(node, _)| *node);
            let head = match node {
                Some(node) => self.witness_head(&node).await,
                None => None,
            };
            heads.push((entry.name.as_str().to_owned(), head));
        }
        heads
    }

    async fn witness_head(&self, node: &PublicIdentity) -> Option<Note> {
        let origin = self.grid.directory.log.origin.as_str().to_owned();
        let ask = canonical::encode(&WitnessMessage::AskHead(origin));
        let answer = self.call(node, &api::WITNESS, ask, "a witness's head").await.ok()?;
        let limit = usize::try_from(api::WITNESS.response_bytes_max).expect("u32 fits usize");
        match canonical::decode(&answer, limit).ok()? {
            WitnessMessage::Head(text) => Note::parse(text.as_bytes()).ok(),
            _ => None,
        }
    }

    /// A tile of the log, as it stands on its writer's disk; check it against a checkpoint.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn tile(&self, tile: TileId) -> Result<Vec<u8>, ClientError> {
        self.ask_log(&api::LOG_TILE, tile.to_string().into_bytes(), "a tile of the log").await
    }

    /// Appends a leaf and yields the checked proof, cosigned by at least `witnesses_min`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn append(&self, leaf: &[u8], witnesses_min: u8) -> Result<LogProof, ClientError> {
        let roots = self.grid.log_roots(witnesses_min)?;
        let started = Instant::now();
        let mut tries = 1;
        loop {
            match self.append_once(leaf, &roots).await {
                Err(ClientError::Log(LogError::TooFewWitnesses { .. })) if tries < APPEND_TRIES => tries += 1,
                // The result is there and signed: a log that is being started again must not cost the owner the job.
                Err(error) if error.is_absence() && started.elapsed() < LOG_RETURNS_WITHIN => {}
                other => return other,
            }
            tokio::time::sleep(APPEND_PAUSE).await;
        }
    }

    async fn append_once(&self, leaf: &[u8], roots: &LogRoots) -> Result<LogProof, ClientError> {
        let body = self.ask_log(&api::LOG_APPEND, leaf.to_vec(), "a place in the log").await?;
        let node = self.log_node().await?;
        let text =
            String::from_utf8(body).map_err(|_| ClientError::Nonsense { node, what: "a log proof" })?;
        let proof = LogProof::from_text(&text)?;
        proof.verify(leaf, roots)?;
        Ok(proof)
    }

    /// Asks one node.
    ///
    /// # Errors
    /// [`ClientError::Call`].
    pub async fn call(
        &self,
        node: &PublicIdentity,
        method: &Method,
        body: Vec<u8>,
        what: &'static str,
    ) -> Result<Vec<u8>, ClientError> {
        let answer = self.endpoint.call(node, method, body).await;
        answer.map_err(|source| ClientError::Call { node: *node, what, source })
    }

    async fn ask_log(
        &self,
        method: &Method,
        body: Vec<u8>,
        what: &'static str,
    ) -> Result<Vec<u8>, ClientError> {
        let node = self.log_node().await?;
        self.call(&node, method, body, what).await
    }

    async fn log_node(&self) -> Result<PublicIdentity, ClientError> {
        if let Some(node) = self.known.lock().await.log_node {
            return Ok(node);
        }
        self.describe().await;
        self.known.lock().await.log_node.ok_or(ClientError::NoLog)
    }

    /// Runs a job to its end: draw, assignment, votes, disputes, receipt, log.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Refused`] when the grid gave no result that may be accepted.
    pub async fn run(
        &self,
        job: Job,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Outcome, ClientError> {
        self.run_kept(job, None, progress).await
    }

    /// As [`GridClient::run`]; with `keep` the job outlives this process: give what was kept to
    /// [`GridClient::resume`].
    ///
    /// # Errors
    /// As [`GridClient::run`], and [`ClientError::Keep`].
    pub async fn run_kept(
        &self,
        mut job: Job,
        keep: Option<&dyn Keep>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Outcome, ClientError> {
        let started = Instant::now();
        let prepared = self.prepare(&mut job).await?;
        progress(prepared.drawn());
        let opening_key = prepared.plan.payload.payload().job_key.duplicate();
        if let Some(keep) = keep {
            let context = Context {
                version: 1,
                evidence: prepared
                    .evidence
                    .iter()
                    .map(|piece| (piece.kind, piece.bytes.clone().into()))
                    .collect(),
                witnesses_min: job.policy.witnesses_min,
                log: job.log,
                job_key: *opening_key.expose(),
                model: job.model,
                inputs: prepared.plan.payload.payload().inputs.clone(),
            };
            let key = [&prepared.plan.header.id().0.0[..], CONTEXT].concat();
            keep.put(&key, &SecretBytes::new(canonical::encode(&context))).map_err(ClientError::Keep)?;
        }
        let (identity, rng) = (self.identity.duplicate(), rand::make_rng::<rand::rngs::StdRng>());
        let machine = match keep {
            Some(_) => ClientMachine::begin(identity, rng, prepared.plan, now()),
            None => ClientMachine::begin_unkept(identity, rng, prepared.plan, now()),
        }?;
        let holds = Holds { graph: job.graph, verifier: prepared.verifier };
        let ending = Ending {
            started,
            evidence: prepared.evidence,
            witnesses_min: job.policy.witnesses_min,
            log: job.log,
            job_key: opening_key,
        };
        self.finish(machine, holds, ending, keep, progress).await
    }

    /// Takes a job up again from what was kept of it, with the nonce it began with, and finishes it. The client must have
    /// been opened with the identity that began the job. A job whose deadline has passed is refused like any other.
    ///
    /// # Errors
    /// As [`GridClient::run_kept`]; [`ClientError::NothingKept`] when the job never began: then nothing was sent.
    pub async fn resume(
        &self,
        records: Vec<(Vec<u8>, SecretBytes)>,
        graph: Option<Arc<Graph>>,
        keep: &dyn Keep,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Resumed, ClientError> {
        let started = Instant::now();
        let context = records.iter().find(|(key, _)| key.get(32..) == Some(CONTEXT));
        let context: Context = context
            .and_then(|(_, value)| canonical::decode(value.expose(), RECORD_BYTES_MAX).ok())
            .ok_or(ClientError::NothingKept)?;
        let (identity, rng) = (self.identity.duplicate(), rand::make_rng::<rand::rngs::StdRng>());
        let records = records.iter().map(|(key, value)| (key.clone(), value.expose().to_vec()));
        let machine = ClientMachine::resume(identity, rng, now(), records).ok_or(ClientError::NothingKept)?;
        let evidence = context.evidence.into_iter();
        let evidence: Vec<Evidence> =
            evidence.map(|(kind, bytes)| Evidence { kind, bytes: bytes.into() }).collect();
        let registration = evidence.iter().find(|piece| piece.kind == EvidenceKind::Registration);
        let published = match (registration, &self.proofs) {
            (None, _) => None,
            (Some(piece), Some(system)) => {
                let read = Published::read(system, piece.bytes.clone(), context.model);
                Some(read.ok_or(ClientError::NoRegistration)?)
            }
            (Some(_), None) => return Err(ClientError::NoRegistration),
        };
        let holds = Holds { graph, verifier: published.map(|published| published.verifier) };
        let ending = Ending {
            started,
            evidence,
            witnesses_min: context.witnesses_min,
            log: context.log,
            job_key: CommitmentKey::new(context.job_key),
        };
        let outcome = self.finish(machine, holds, ending, Some(keep), progress).await?;
        Ok(Resumed { outcome, inputs: context.inputs })
    }

    /// Drives a machine to its decision, and the receipt into the log.
    async fn finish<R: sealgrid_seal::rand_core::CryptoRng>(
        &self,
        machine: ClientMachine<R>,
        holds: Holds,
        ending: Ending,
        keep: Option<&dyn Keep>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Outcome, ClientError> {
        let started = ending.started;
        let driver = Driver::new(self.endpoint.clone(), machine, holds, keep, Arc::clone(&self.goodbyes));
        let (id, decision) = driver.drive(progress).await?;
        let accepted = match decision {
            Decision::Accept(accepted) => accepted,
            Decision::Refuse(refused) => return Err(ClientError::Refused(Box::new(refused))),
        };
        let result_after = started.elapsed();
        // The machine accepts no receipt that it has not verified.
        let receipt = SignedClaims::from_bytes(accepted.receipt.clone());
        let claims = receipt.reread()?;
        let log_proof = if ending.log {
            progress(Progress::Logging);
            let proof = self.append(&receipt.leaf().0, ending.witnesses_min).await?;
            progress(Progress::Logged { index: proof.index, witnesses: proof.note.signatures().len() - 1 });
            Some(proof.to_text().into_bytes())
        } else {
            None
        };
        Ok(Outcome {
            file: bundle(receipt, ending.evidence, &accepted, log_proof),
            outputs: accepted.output,
            claims,
            opening: Opening { job: id, key: ending.job_key },
            result_after,
            logged_after: started.elapsed(),
        })
    }

    /// Draws a committee and writes the header, but begins nothing: for those who drive the machine themselves.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn plan(&self, mut job: Job) -> Result<JobPlan, ClientError> {
        Ok(self.prepare(&mut job).await?.plan)
    }

    /// Draws the committee and writes the header. Takes the inputs out of the job.
    async fn prepare(&self, job: &mut Job) -> Result<Prepared, ClientError> {
        let model = self.model(job.model).await?;
        let note = self.head(job.policy.witnesses_min).await?;
        let checkpoint = sealgrid_protocol::log::Checkpoint::from_text(note.text())?;
        let job_key = CommitmentKey::random(&mut rand::rng());
        let mut nonce = [0; 32];
        rand::Rng::fill_bytes(&mut rand::rng(), &mut nonce);
        let records =
            job.inputs.first().map_or(0, |batch| u32::try_from(batch.records()).unwrap_or(u32::MAX));
        let payload = Payload { job_key, inputs: std::mem::take(&mut job.inputs) };
        let published = match job.verification {
            Verification::Proof => Some(self.published(job.model).await?),
            _ => None,
        };
        let payload = match &published {
            None => CommittedPayload::new(payload),
            Some(published) => published.commit(payload)?,
        };
        let input = payload.input();
        let facts = DrawFacts {
            nonce,
            directory: self.grid.directory.digest(),
            checkpoint_root: checkpoint.root.0,
            model: job.model,
            input,
        };
        let members = usize::from(job.verification.members());
        let mut draw = self.grid.directory.draw(&facts, &job.policy.nodes, records, members)?;
        draw.reserves.truncate(PARTIES_MAX - members);
        let mut evidence = self.own_evidence(job, &note);
        evidence.extend(published.as_ref().map(Published::evidence));
        let requested = now();
        let lifetime = job.policy.limits.deadline_ms;
        let header = JobHeader {
            version: header::VERSION,
            nonce,
            client: self.identity(),
            model: job.model,
            shape: shape_of(&model),
            input,
            records,
            policy: job.policy.digest(),
            protection_asked: job.policy.protection,
            protection: job.protection,
            verification_asked: job.policy.verification,
            verification: job.verification,
            committee: draw.committee,
            reserves: draw.reserves,
            directory: facts.directory,
            log: LogState { size: checkpoint.size, root: checkpoint.root.0 },
            requested,
            deadline: requested + lifetime,
            referee: referee(job),
            on_dispute: match job.policy.on_dispute {
                OnDispute::Majority => header::OnDispute::Resolve,
                OnDispute::Refuse => header::OnDispute::Refuse,
            },
        };
        let plan = JobPlan {
            parties: header.parties().filter_map(|party| self.party(&party)).collect(),
            payload,
            evidence: digests(&evidence),
            patience: patience(lifetime),
            header,
        };
        Ok(Prepared { plan, evidence, verifier: published.map(|published| published.verifier) })
    }

    fn party(&self, identity: &PublicIdentity) -> Option<Party> {
        let node = self.grid.directory.node(identity)?;
        Some(Party { identity: *identity, job_key: node.job_key.clone(), environment: node.environment })
    }

    /// Directory, policy and checkpoint, as the receipt will carry them.
    fn own_evidence(&self, job: &Job, note: &Note) -> Vec<Evidence> {
        vec![
            Evidence { kind: EvidenceKind::Directory, bytes: self.grid.bytes.to_vec() },
            Evidence { kind: EvidenceKind::Policy, bytes: job.policy.encode() },
            Evidence { kind: EvidenceKind::Checkpoint, bytes: note.to_text().into_bytes() },
        ]
    }
}

/// What the end of a job needs, beside its machine.
struct Ending {
    started: Instant,
    evidence: Vec<Evidence>,
    witnesses_min: u8,
    log: bool,
    job_key: CommitmentKey,
}

struct Prepared {
    plan: JobPlan,
    evidence: Vec<Evidence>,
    verifier: Option<Arc<dyn Verifier>>,
}

/// What a client has of its job's model.
#[derive(Clone)]
struct Holds {
    /// The graph, so that it can referee.
    graph: Option<Arc<Graph>>,
    /// What verifies proofs.
    verifier: Option<Arc<dyn Verifier>>,
}

impl Published {
    /// `None` when the bytes are not what was published of this model.
    fn read(system: &Arc<dyn ProofSystem>, bytes: Vec<u8>, model: ModelCommitment) -> Option<Self> {
        let verifier: Arc<dyn Verifier> = system.verifier(&bytes).ok()?.into();
        let is_its = verifier.model().commitment() == model;
        is_its.then(|| Self { bytes: Arc::new(bytes), verifier })
    }

    fn commit(&self, payload: Payload) -> Result<CommittedPayload, ClientError> {
        let input = self.verifier.commit(Side::Inputs, &payload.job_key, &payload.inputs);
        let input = input.map_err(|_| PlanError("the proof system cannot commit to so many records"))?;
        Ok(CommittedPayload::committed(payload, input))
    }

    fn evidence(&self) -> Evidence {
        Evidence { kind: EvidenceKind::Registration, bytes: self.bytes.to_vec() }
    }
}

impl Prepared {
    fn drawn(&self) -> Progress {
        let header = &self.plan.header;
        Progress::Drawn {
            job: header.id(),
            committee: header.committee.clone(),
            reserves: header.reserves.clone(),
        }
    }
}

fn local_address(grid: &Loaded) -> std::net::SocketAddr {
    use std::net::{Ipv4Addr, SocketAddr};
    let addresses = grid.directory.nodes.iter().flat_map(|node| &node.addresses);
    let loopback = addresses
        .filter_map(|address| address.as_str().parse::<SocketAddr>().ok())
        .all(|address| address.ip().is_loopback());
    let ip = if loopback { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
    SocketAddr::from((ip, 0))
}

fn shape_of(model: &PublicModel) -> TraceShape {
    let count = |length: usize| u32::try_from(length).expect("a checked architecture is bounded");
    TraceShape {
        inputs: count(model.architecture.inputs.len()),
        operations: count(model.architecture.operations.len()),
        outputs: model.architecture.outputs.iter().map(|value| value.0).collect(),
    }
}

fn referee(job: &Job) -> RefereeRule {
    match job.policy.referee {
        Referee::Client => RefereeRule::Client,
        Referee::Reserve => RefereeRule::Reserve,
        Referee::Either if job.graph.is_some() => RefereeRule::Client,
        Referee::Either => RefereeRule::Reserve,
    }
}

/// Calls tell at once that a node is gone, so questions are repeated seldom; a slow member is waited for a third of
/// the time.
fn patience(lifetime: Millis) -> Patience {
    let usual = Patience::within(lifetime);
    Patience { repeat_ms: usual.repeat_ms.max(200), ..usual }
}

fn digests(evidence: &[Evidence]) -> Vec<EvidenceDigest> {
    evidence
        .iter()
        .map(|evidence| EvidenceDigest { kind: evidence.kind, digest: evidence.kind.digest(&evidence.bytes) })
        .collect()
}

fn bundle(
    receipt: SignedClaims,
    mut evidence: Vec<Evidence>,
    accepted: &Accepted,
    log_proof: Option<Vec<u8>>,
) -> ReceiptFile {
    let of_job = accepted.evidence.iter();
    evidence.extend(of_job.map(|piece| Evidence { kind: piece.kind, bytes: piece.bytes.clone() }));
    evidence.sort_by_key(|piece| piece.kind);
    ReceiptFile { receipt, evidence, log_proof }
}

/// A question that is on its way: to whom, in which exchange, its bytes' digest. Repeating it would only supersede it.
type InFlight = (PublicIdentity, Exchange);

/// Performs what the client's machine asks for.
struct Driver<'k, R> {
    endpoint: Endpoint,
    keep: Option<&'k dyn Keep>,
    machine: ClientMachine<R>,
    holds: Holds,
    timers: BTreeMap<Ticket, Millis>,
    calls: JoinSet<Done>,
    in_flight: HashSet<InFlight>,
    goodbyes: Arc<Goodbyes>,
    decision: Option<Decision>,
}

enum Done {
    Called(PublicIdentity, Exchange, Result<Vec<u8>, CallError>),
    Worked(Ticket, ClientDone),
}

impl<'k, R: sealgrid_seal::rand_core::CryptoRng> Driver<'k, R> {
    fn new(
        endpoint: Endpoint,
        machine: ClientMachine<R>,
        holds: Holds,
        keep: Option<&'k dyn Keep>,
        goodbyes: Arc<Goodbyes>,
    ) -> Self {
        Self {
            endpoint,
            keep,
            machine,
            holds,
            timers: BTreeMap::new(),
            calls: JoinSet::new(),
            in_flight: HashSet::new(),
            goodbyes,
            decision: None,
        }
    }

    async fn drive(
        mut self,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(JobId, Decision), ClientError> {
        let job = self.machine.job();
        loop {
            self.perform(progress)?;
            if let Some(decision) = self.decision.take() {
                return Ok((job, decision));
            }
            let event = self.next_event(progress).await;
            if let Some(event) = event {
                self.machine.handle(now(), event);
            }
        }
    }

    fn perform(&mut self, progress: &mut (dyn FnMut(Progress) + Send)) -> Result<(), ClientError> {
        while let Some(effect) = self.machine.poll() {
            match effect {
                ClientEffect::Send { to, message } => self.send(to, &message, progress),
                // A client that keeps nothing loses its job when it ends, and nobody else's.
                ClientEffect::Store { ticket, key, value } => {
                    if let (Some(keep), Some(value)) = (self.keep, value) {
                        keep.put(&key, &SecretBytes::new(value)).map_err(ClientError::Keep)?;
                    }
                    self.machine.handle(now(), ClientEvent::Stored { ticket });
                }
                ClientEffect::Timer { ticket, at } => drop(self.timers.insert(ticket, at)),
                ClientEffect::Run { ticket, work } => {
                    if let ClientWork::Check(_) = work {
                        progress(Progress::Checking);
                    }
                    self.work(ticket, work);
                }
                ClientEffect::Append { .. } => {}
                ClientEffect::Report(ClientReport::Fault(fault)) => progress(Progress::AtFault(fault)),
                ClientEffect::Report(ClientReport::Decline { node, why }) => {
                    progress(Progress::Declined(node, why));
                }
                ClientEffect::Report(ClientReport::Decide(decision)) => self.decision = Some(*decision),
            }
        }
        Ok(())
    }

    fn send(&mut self, to: PublicIdentity, message: &Message, progress: &mut (dyn FnMut(Progress) + Send)) {
        if let Message::Close(job) = message {
            self.goodbyes.add(to, *job);
            return;
        }
        let exchange = message.exchange();
        // The call is still waiting for its answer: nothing was lost.
        if !self.in_flight.insert((to, exchange)) {
            return;
        }
        if let Some(step) = asked(to, message) {
            progress(step);
        }
        let (endpoint, method, body) = (self.endpoint.clone(), api::of_exchange(exchange), message.encode());
        self.calls.spawn(async move { Done::Called(to, exchange, endpoint.call(&to, method, body).await) });
    }

    fn work(&mut self, ticket: Ticket, work: ClientWork) {
        let Holds { graph, verifier } = self.holds.clone();
        self.calls.spawn_blocking(move || {
            Done::Worked(ticket, work.perform(graph.as_deref(), verifier.as_deref()))
        });
    }

    async fn next_event(&mut self, progress: &mut (dyn FnMut(Progress) + Send)) -> Option<ClientEvent> {
        let timer = self.timers.iter().map(|(ticket, at)| (*at, *ticket)).min();
        let wait = timer
            .map_or(Duration::from_secs(3600), |(at, _)| Duration::from_millis(at.saturating_sub(now())));
        tokio::select! {
            done = self.calls.join_next(), if !self.calls.is_empty() => match done?.ok()? {
                Done::Called(from, exchange, answer) => {
                    self.in_flight.remove(&(from, exchange));
                    called(from, exchange, answer, progress)
                }
                Done::Worked(ticket, outcome) => Some(ClientEvent::Ran { ticket, outcome }),
            },
            () = tokio::time::sleep(wait) => {
                let (_, ticket) = timer?;
                self.timers.remove(&ticket);
                Some(ClientEvent::TimedOut { ticket })
            }
        }
    }
}

/// The event of a call's answer. A temporary failure is none: the machine repeats its question by its own clock.
fn called(
    from: PublicIdentity,
    exchange: Exchange,
    answer: Result<Vec<u8>, CallError>,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Option<ClientEvent> {
    match answer.map(|body| Message::decode(&body)) {
        Ok(Ok(message)) if message.exchange() == exchange => {
            match &message {
                Message::Commit(_) | Message::Answer(_) => progress(Progress::Answered(from)),
                Message::Reveal(_) => progress(Progress::Revealed(from)),
                _ => {}
            }
            Some(ClientEvent::Received { from, message })
        }
        Ok(_) => Some(ClientEvent::Unreachable { peer: from }),
        Err(CallError::QueueFull | CallError::Deadline | CallError::Lost) => None,
        Err(CallError::Refused(refusal))
            if refusal == sealgrid_net::error::refusal::BUSY || refusal == api::refusal::SUPERSEDED =>
        {
            None
        }
        Err(_) => Some(ClientEvent::Unreachable { peer: from }),
    }
}

fn asked(to: PublicIdentity, message: &Message) -> Option<Progress> {
    match message {
        Message::Assign(_) => Some(Progress::Assigned(to)),
        Message::AskBranches(_) => Some(Progress::Bisecting(to)),
        Message::Refer(_) => Some(Progress::Refereeing(to)),
        Message::Endorse(_) => Some(Progress::Signing(to)),
        _ => None,
    }
}
