//! The asking side of a command: open a grid, find a model in it, plan, run a job, keep its receipt.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealgrid_graph::execute::Batch;
use sealgrid_graph::integer::Graph;
use sealgrid_graph::model::{ModelCommitment, PublicModel};
use sealgrid_node::api::{self, Description};
use sealgrid_node::client::{ClientError, ClientOptions, GridClient, Job, Keep, Outcome, Progress, Resumed};
use sealgrid_node::directory::Loaded;
use sealgrid_protocol::directory::VerifiedDirectory;
use sealgrid_protocol::job::client::{ClientEffect, ClientEvent, ClientMachine};
use sealgrid_protocol::log::note::Note;
use sealgrid_protocol::log::tile::TileId;
use sealgrid_protocol::machine::Machine as _;
use sealgrid_protocol::policy::{JobFacts, MeasuredCosts, Plan, Policy, plan};
use sealgrid_protocol::publication::Publication;
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};
use sealgrid_seal::secret::SecretBytes;
use sealgrid_verify::{Disclosure, TrustRoots, Verdict, verify};

use crate::data::{Cell, Records, Results};
use crate::failure::{Failure, unreadable, unwritable};
use crate::files::{self, Place};
use crate::home::Home;
use crate::local_grid::LocalGrid;
use crate::{commands, engines, roots};

/// A grid that a command talks to.
pub struct Asking {
    runtime: tokio::runtime::Runtime,
    client: GridClient,
    identity: SigningIdentity,
    trust: TrustRoots,
}

/// A model that was found, with its graph when the file is here.
pub struct Found {
    /// The public part.
    pub public: Arc<PublicModel>,
    /// Its name.
    pub commitment: ModelCommitment,
    /// The graph, so that this client can referee.
    pub graph: Option<Arc<Graph>>,
}

/// Where the files of a job went.
pub struct Kept {
    /// The receipt with its evidence.
    pub receipt: PathBuf,
    /// The owner's opening.
    pub opening: PathBuf,
}

/// Guesses for a grid that nobody has measured: the machine of the documentation on loopback, rounded up.
const COSTS: MeasuredCosts = MeasuredCosts {
    job_us: 3_000,
    record_ns: 5_000,
    proof_us: 100_000,
    proof_element_ns: 20_000,
    round_trip_us: 1_000,
    bytes_per_ms: 100_000,
};

/// A client's runtime.
pub fn started(runtime: &mut tokio::runtime::Builder) -> Result<tokio::runtime::Runtime, Failure> {
    runtime
        .build()
        .map_err(|error| Failure::new("E-AVL-02", "the client cannot start its threads").why(error))
}

impl Asking {
    /// Opens a client of `grid` as `identity`.
    pub fn open(grid: &LocalGrid, trust: TrustRoots, identity: SigningIdentity) -> Result<Self, Failure> {
        // One thread: a job is a chain of waits, and handing each over to another thread costs more than it gains.
        let runtime = started(tokio::runtime::Builder::new_current_thread().enable_all())?;
        let loaded = Loaded::from_file(&grid.directory(), &trust.authority)
            .map_err(|error| Failure::new(error.code(), "the grid's directory is not trusted").why(error))?;
        let options = ClientOptions::default();
        let own = identity.duplicate();
        let client = runtime
            .block_on(Box::pin(GridClient::open(own, loaded, options)))
            .map_err(|error| failed(&error))?
            .with_proofs(engines::proofs());
        Ok(Self { runtime, client, identity, trust })
    }

    /// Finds a model by file, by commitment `mc1:…`, or by the name on its card.
    pub fn find(&self, model: &str, home: &Home) -> Result<Found, Failure> {
        if model.starts_with("mc1:") {
            let served = self.client.grid().directory.nodes.iter().flat_map(|node| &node.models);
            let commitment = served.copied().find(|served| served.to_string() == model);
            return self.fetched(commitment.ok_or_else(|| not_served(model))?);
        }
        let path = Path::new(model);
        if path.exists() || home.models().join(format!("{model}.sgm")).exists() {
            let model = commands::model::load(path, home)?;
            self.runtime.block_on(self.client.know(model.public()));
            let public = Arc::new(model.public());
            return Ok(Found { commitment: public.commitment(), public, graph: Some(model.graph().clone()) });
        }
        let mut served: Vec<ModelCommitment> =
            self.client.grid().directory.nodes.iter().flat_map(|node| node.models.iter().copied()).collect();
        served.sort_unstable();
        served.dedup();
        for commitment in served {
            let found = self.fetched(commitment)?;
            if found.public.card.name == model {
                return Ok(found);
            }
        }
        Err(not_served(model))
    }

    /// The public part of a model from a node that serves it.
    pub fn fetched(&self, commitment: ModelCommitment) -> Result<Found, Failure> {
        let public = self.runtime.block_on(self.client.model(commitment)).map_err(|error| failed(&error))?;
        Ok(Found { public, commitment, graph: None })
    }

    /// Plans a job, or refuses with every reason.
    pub fn plan(&self, policy: &Policy, found: &Found, records: u32) -> Result<Plan, Failure> {
        plan(policy, &facts(found, records), &self.client.grid().directory, &COSTS).map_err(|refusal| {
            let lines: Vec<String> = refusal
                .reasons
                .iter()
                .map(|reason| {
                    format!("{}: {}; satisfied by {}", reason.code, reason.what, reason.satisfied_by)
                })
                .collect();
            Failure::new(refusal.code(), "no plan meets the policy; nothing was sent")
                .why(lines.join("\n       "))
                .hint("change the policy, or wait for nodes: sealgrid plan MODEL --policy FILE")
                .exit(3)
        })
    }

    /// Runs a planned job.
    pub fn run(
        &self,
        policy: &Policy,
        plan: &Plan,
        found: &Found,
        inputs: Vec<Batch>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Outcome, ClientError> {
        let job = job(policy, plan, found, inputs);
        self.runtime.block_on(Box::pin(self.client.run(job, progress)))
    }

    /// The same, and the job outlives this process.
    pub fn run_kept(
        &self,
        policy: &Policy,
        plan: &Plan,
        found: &Found,
        inputs: Vec<Batch>,
        keep: Option<&dyn Keep>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Outcome, ClientError> {
        let job = job(policy, plan, found, inputs);
        self.runtime.block_on(Box::pin(self.client.run_kept(job, keep, progress)))
    }

    /// Finishes a job that an earlier process kept.
    pub fn resume(
        &self,
        records: Vec<(Vec<u8>, SecretBytes)>,
        found: &Found,
        keep: &dyn Keep,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Resumed, ClientError> {
        self.runtime.block_on(Box::pin(self.client.resume(records, found.graph.clone(), keep, progress)))
    }

    /// Judges a receipt exactly as `sealgrid verify` does, with what only the owner can show.
    pub fn judge(&self, outcome: &Outcome, inputs: &[Batch]) -> Verdict {
        let disclosed =
            Disclosure { opening: &outcome.opening, inputs: Some(inputs), outputs: Some(&outcome.outputs) };
        let proofs = engines::proofs();
        verify(&outcome.file.encode(), &self.trust, crate::now(), Some(&disclosed), Some(&*proofs))
    }

    /// The name of a node in tables: its operator and the first digits of its identity.
    pub fn node_name(&self, node: &PublicIdentity) -> String {
        match self.client.grid().directory.node(node) {
            Some(entry) => format!("{} {}", entry.operator.as_str(), node.short()),
            None => node.short(),
        }
    }

    /// The log's latest checkpoint, checked.
    pub fn head(&self, witnesses_min: u8) -> Result<Note, Failure> {
        self.runtime.block_on(self.client.head(witnesses_min)).map_err(|error| failed(&error))
    }

    /// The same, with the error as it is: for those who go on after one.
    pub fn log_head(&self, witnesses_min: u8) -> Result<Note, ClientError> {
        self.runtime.block_on(self.client.head(witnesses_min))
    }

    /// What each witness cosigned last, by its name.
    pub fn witness_heads(&self) -> Vec<(String, Option<Note>)> {
        self.runtime.block_on(self.client.witness_heads())
    }

    /// What every node that answers says of itself.
    pub fn describe(&self) -> BTreeMap<PublicIdentity, Description> {
        self.runtime.block_on(self.client.describe())
    }

    /// The grid's list of nodes.
    pub fn directory(&self) -> &VerifiedDirectory {
        &self.client.grid().directory
    }

    /// Sends a model to one node; `true` when it was there already.
    pub fn publish(
        &self,
        node: &PublicIdentity,
        statement: &[u8],
        publication: &Publication,
        file: &[u8],
        sent: &mut (dyn FnMut(u64) + Send),
    ) -> Result<bool, ClientError> {
        self.runtime.block_on(Box::pin(self.client.publish(node, statement, publication, file, sent)))
    }

    /// Offers a newer directory to one node.
    pub fn offer_directory(&self, node: &PublicIdentity, signed: Vec<u8>) -> Result<(), ClientError> {
        self.runtime.block_on(self.client.offer_directory(node, signed))
    }

    /// A tile of the log, to be checked against a checkpoint.
    pub fn tile(&self, tile: TileId) -> Result<Vec<u8>, ClientError> {
        self.runtime.block_on(self.client.tile(tile))
    }

    /// The node drawn first for a job and the assignment it would be sent, to send it more than once.
    pub fn raw_assign(
        &self,
        policy: &Policy,
        plan: &Plan,
        found: &Found,
        inputs: Vec<Batch>,
    ) -> Result<(PublicIdentity, Vec<u8>), ClientError> {
        let plan = self.runtime.block_on(Box::pin(self.client.plan(job(policy, plan, found, inputs))))?;
        let identity = self.identity.duplicate();
        let mut machine = ClientMachine::begin(identity, crate::entropy(), plan, crate::now())?;
        while let Some(effect) = machine.poll() {
            match effect {
                ClientEffect::Store { ticket, .. } => {
                    machine.handle(crate::now(), ClientEvent::Stored { ticket });
                }
                ClientEffect::Send { to, message } => return Ok((to, message.encode())),
                _ => {}
            }
        }
        Err(ClientError::NoModel)
    }

    /// Sends an assignment and waits for the node's answer to it.
    pub fn raw_ask(&self, node: &PublicIdentity, assign: &[u8]) -> Result<Vec<u8>, ClientError> {
        self.runtime.block_on(self.client.call(node, &api::ASSIGN, assign.to_vec(), "an answer"))
    }

    /// The node that listens on this address.
    pub fn node_at(&self, address: &str) -> Option<PublicIdentity> {
        let nodes = &self.client.grid().directory.nodes;
        let listens = |entry: &&sealgrid_protocol::directory::NodeEntry| {
            entry.addresses.iter().any(|known| known.as_str() == address)
        };
        nodes.iter().find(listens).map(|entry| entry.identity)
    }

    /// Says goodbye to the nodes.
    pub fn close(self) {
        self.runtime.block_on(self.client.close());
    }
}

/// The trust roots named on the command line, else the grid's own folder's, else the home's.
pub fn trust_roots(asked: Option<&Path>, grid: &LocalGrid, home: &Home) -> Result<TrustRoots, Failure> {
    match asked {
        Some(dir) => roots::read(dir),
        None if grid.roots().exists() => roots::read(&grid.roots()),
        None => roots::read(&home.roots()),
    }
}

/// Encodes records by the model's card: columns by name, nothing else leaves.
pub fn encode(records: &Records, public: &PublicModel) -> Result<(Vec<Batch>, Vec<String>), Failure> {
    let [input] = public.card.inputs.as_slice() else {
        return Err(Failure::new("E-DAT-06", format!("the model takes {} inputs", public.card.inputs.len()))
            .why("a table gives one"));
    };
    let (rows, unused) = if input.columns.is_empty() {
        (records.rows.clone(), Vec::new())
    } else {
        records.select(&input.columns)?
    };
    let batch = input.encode(&rows).map_err(|error| Failure::new(error.code(), error.to_string()))?;
    Ok((vec![batch], unused))
}

/// Decodes outputs into a table: identifiers, decided classes, values.
pub fn decode(outputs: &[Batch], public: &PublicModel, records: &Records) -> Results {
    let mut columns = Vec::new();
    let mut rows: Vec<Vec<Cell>> = vec![Vec::new(); records.rows.len()];
    if let Some(ids) = &records.ids {
        columns.push("id".to_owned());
        for (row, id) in rows.iter_mut().zip(ids) {
            row.push(Cell::Text(id.clone()));
        }
    }
    for (card, batch) in public.card.outputs.iter().zip(outputs) {
        let answers = card.decode(batch);
        if answers.iter().any(|answer| answer.class.is_some()) {
            columns.push(format!("{}.class", card.name));
        }
        let width = batch.shape().count();
        for index in 0..width {
            columns.push(match card.labels.get(index).filter(|_| card.labels.len() == width) {
                Some(label) => format!("{}.{label}", card.name),
                None if width == 1 => card.name.clone(),
                None => format!("{}.{index}", card.name),
            });
        }
        for (row, answer) in rows.iter_mut().zip(answers) {
            if let Some(class) = answer.class {
                row.push(answer.label.map_or(Cell::Number(class as f64), Cell::Text));
            }
            row.extend(answer.values.into_iter().map(Cell::Number));
        }
    }
    Results { columns, rows }
}

/// Where a receipt and its opening will be kept.
pub struct KeptAt {
    places: [Place; 2],
    kept: Kept,
}

impl KeptAt {
    /// The receipt under this name, in a folder that is made if need be; the opening beside it, readable by its owner alone.
    pub fn new(receipt: PathBuf) -> Result<Self, Failure> {
        let opening = receipt.with_extension("opening");
        files::apart(&[], &[&receipt, &opening])?;
        if let Some(folder) = receipt.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
        }
        Ok(Self {
            places: [Place::open(&receipt)?, Place::secret(&opening)?],
            kept: Kept { receipt, opening },
        })
    }

    /// Writes both, or none.
    pub fn keep(self, outcome: &Outcome) -> Result<Kept, Failure> {
        let [receipt, opening] = &self.places;
        let secret = outcome.opening.encode();
        files::put(&[(receipt, &outcome.file.encode()), (opening, secret.expose())])?;
        Ok(self.kept)
    }
}

/// A policy from a file, or from flags.
pub fn policy(file: Option<&Path>, protect: Option<&str>, verify: Option<&str>) -> Result<Policy, Failure> {
    let refused = |error: sealgrid_protocol::policy::PolicyError| {
        Failure::new(error.code(), "the policy is not one").why(error).hint("see examples/ for policies")
    };
    match file {
        None => Policy::from_flags(protect, verify).map_err(refused),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
            Policy::from_toml(&text).map_err(refused)
        }
    }
}

/// A client error with its code; the kind of refusal decides the exit status.
pub fn failed(error: &ClientError) -> Failure {
    let failure = Failure::new(error.code(), error.to_string());
    match std::error::Error::source(error) {
        Some(cause) => failure.because(cause),
        None => failure,
    }
}

fn job(policy: &Policy, plan: &Plan, found: &Found, inputs: Vec<Batch>) -> Job {
    Job {
        model: found.commitment,
        inputs,
        policy: policy.clone(),
        protection: plan.protection,
        verification: plan.verification,
        graph: found.graph.clone(),
        log: true,
    }
}

fn facts(found: &Found, records: u32) -> JobFacts {
    let bytes =
        |value: &sealgrid_graph::integer::ValueType| (value.shape.count() * value.dtype.bytes()) as u64;
    let card = &found.public.card;
    let operations = &found.public.architecture.operations;
    let elements = operations.iter().map(|operation| operation.output.shape.count() as u64).sum();
    JobFacts {
        model: found.commitment,
        input_record_bytes: card.inputs.iter().map(|input| bytes(&input.value_type)).sum(),
        output_record_bytes: card.outputs.iter().map(|output| bytes(&output.value_type)).sum(),
        records,
        client_holds_model: found.graph.is_some(),
        proven_elements: found.public.registration.map(|_| elements),
    }
}

fn not_served(model: &str) -> Failure {
    Failure::new("E-AVL-03", format!("no node of the grid serves {model}"))
        .why("it is neither a model file here, nor a commitment or name in the grid's directory")
        .hint("sealgrid up --dir DIR --model MODEL.sgm lays out a grid that serves it")
}
