//! Lays out a whole grid's files in one folder: for demonstrations, tests and a first try on one machine.
//!
//! One authority, one log, witnesses, compute nodes, each with its own identity, data folder and configuration, as
//! they would be on machines of different operators. Whoever lays out a grid holds all of its secrets: a real grid's
//! operators each make their own keys and send only [`NodePublicKeys`] to the authority.

use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use sealgrid_protocol::directory::{
    Directory, DirectoryError, LogEntry, NodeEntry, NodeLimits, Region, VERSION, WitnessEntry,
};
use sealgrid_protocol::job::header::PAYLOAD_BYTES_MAX;
use sealgrid_protocol::machine::Millis;
use sealgrid_protocol::names::{Environment, ModelCommitment};
use sealgrid_protocol::text::Text;
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};
use sealgrid_seal::keyfile::Cost;
use sealgrid_seal::secret::SecretBytes;

use crate::config::{
    Anyone, Clients, LimitsConfig, NetworkConfig, NodeConfig, PublishingConfig, Role, TelemetryConfig,
};
use crate::fault::Fault;
use crate::folder::{make_private, write_durably};
use crate::keys::{KeysError, NodePublicKeys, create_node_keys};
use crate::models::{ModelsError, grant, read_model};

/// How long the directory of a laid out grid holds: 30 days.
const LIFETIME_MS: Millis = 30 * 24 * 3_600 * 1_000;

/// What to lay out.
#[derive(Clone, Debug)]
pub struct GridPlan {
    /// Nodes; at least 1. The first writes the log, the next ones are its witnesses, all compute.
    pub nodes: usize,
    /// Witnesses among them, at most `nodes − 1`.
    pub witnesses: usize,
    /// Model files that every node serves; copied into the grid's folder.
    pub models: Vec<PathBuf>,
    /// How many openings of their registrations each node may spend, by the model's file among [`GridPlan::models`].
    pub openings: HashMap<PathBuf, u32>,
    /// Misbehaviour, by number of the node from 1.
    pub faults: Vec<(usize, Fault)>,
    /// Operators' names are `operator-1`, `operator-2`, …; this many of them. 0: each node its own.
    pub operators: usize,
    /// Price of a guess at the passphrase of the key rings.
    pub cost: Cost,
    /// Bounds of every node.
    pub limits: LimitsConfig,
    /// Whose models every node takes in beside the authority's.
    pub publishing: PublishingConfig,
}

impl Default for GridPlan {
    fn default() -> Self {
        Self {
            nodes: 5,
            witnesses: 2,
            models: Vec::new(),
            openings: HashMap::new(),
            faults: Vec::new(),
            operators: 0,
            cost: Cost::STANDARD,
            limits: LimitsConfig::default(),
            publishing: PublishingConfig::default(),
        }
    }
}

/// A grid that was laid out.
#[derive(Clone, Debug)]
pub struct GridFiles {
    /// Configuration files, one a node, in order.
    pub configs: Vec<PathBuf>,
    /// Identities, in the same order.
    pub nodes: Vec<PublicIdentity>,
    /// The signed directory.
    pub directory: PathBuf,
    /// Who signed it.
    pub authority: PublicIdentity,
    /// Models served by every node.
    pub models: Vec<ModelCommitment>,
}

/// Why a grid cannot be laid out.
#[derive(Debug, thiserror::Error)]
pub enum GridError {
    /// Numbers that do not fit together.
    #[error("{0}")]
    Plan(&'static str),
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A key ring.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A model.
    #[error(transparent)]
    Models(#[from] ModelsError),
    /// The directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

impl GridError {
    /// The code of the index of errors.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Plan(_) => "E-USE-43",
            Self::Unwritable { .. } => "E-STO-49",
            Self::Keys(error) => error.code(),
            Self::Models(error) => error.code(),
            Self::Directory(error) => error.code(),
        }
    }
}

impl GridPlan {
    /// Lays the grid out in `folder`, signed by `authority`, keys sealed under `passphrase`.
    ///
    /// # Errors
    /// [`GridError`]; what was written until then stays.
    pub fn lay_out(
        &self,
        folder: &Path,
        authority: &SigningIdentity,
        passphrase: &SecretBytes,
        now: Millis,
    ) -> Result<GridFiles, GridError> {
        self.check()?;
        let unwritable = |source| GridError::Unwritable { path: folder.to_owned(), source };
        make_private(folder).map_err(unwritable)?;
        let models = self.copy_models(folder)?;
        let ports = free_ports(self.nodes).map_err(unwritable)?;
        let mut keys = Vec::new();
        for index in 0..self.nodes {
            let ring = node_folder(folder, index).join("data").join("keys");
            keys.push(create_node_keys(&ring, passphrase, self.cost, now)?);
        }
        let directory = folder.join("grid.directory");
        let signed = self.directory(&keys, &ports, &models, authority.public(), now)?.sign(authority)?;
        write(&directory, &signed.encode())?;
        let mut configs = Vec::new();
        for (index, port) in ports.iter().enumerate() {
            let path = node_folder(folder, index).join("node.toml");
            let config = self.config(index, *port, authority.public());
            write(&path, config.to_toml().as_bytes())?;
            configs.push(path);
        }
        let nodes = keys.iter().map(|keys| keys.node).collect();
        Ok(GridFiles { configs, nodes, directory, authority: authority.public(), models })
    }

    fn check(&self) -> Result<(), GridError> {
        let faults = self.faults.iter().all(|(node, _)| (1..=self.nodes).contains(node));
        match () {
            () if !(1..=1000).contains(&self.nodes) => Err(GridError::Plan("a grid has 1 to 1000 nodes")),
            () if self.witnesses >= self.nodes => {
                Err(GridError::Plan("a witness is another node than the log's"))
            }
            () if self.witnesses > 16 => Err(GridError::Plan("at most 16 witnesses")),
            () if !faults => Err(GridError::Plan("a fault names a node that does not exist")),
            () => Ok(()),
        }
    }

    /// Each node has model files of its own, as it would on a machine of its own.
    fn copy_models(&self, grid: &Path) -> Result<Vec<ModelCommitment>, GridError> {
        let folders: Vec<PathBuf> =
            (0..self.nodes).map(|index| node_folder(grid, index).join("models")).collect();
        for folder in &folders {
            make_private(folder).map_err(|source| GridError::Unwritable { path: folder.clone(), source })?;
        }
        let mut commitments = Vec::new();
        for path in &self.models {
            let model = read_model(path)?;
            let name = path.file_name().ok_or(GridError::Plan("a model's path names no file"))?;
            let bytes = model.to_bytes();
            for at in folders.iter().map(|folder| folder.join(name)) {
                write(&at, &bytes)?;
                if let Some(openings) = self.openings.get(path) {
                    let granted = grant(&at, *openings);
                    granted.map_err(|source| GridError::Unwritable { path: at.clone(), source })?;
                }
            }
            commitments.push(model.commitment());
        }
        commitments.sort_unstable();
        commitments.dedup();
        Ok(commitments)
    }

    fn directory(
        &self,
        keys: &[NodePublicKeys],
        ports: &[u16],
        models: &[ModelCommitment],
        authority: PublicIdentity,
        now: Millis,
    ) -> Result<Directory, GridError> {
        let node = |(index, keys): (usize, &NodePublicKeys)| NodeEntry {
            identity: keys.node,
            job_key: keys.job.clone(),
            addresses: vec![text(&format!("127.0.0.1:{}", ports[index]))],
            operator: text(&format!("operator-{}", self.operator(index))),
            region: Region::new("LOCAL").expect("capital letters"),
            environment: Environment::Software,
            models: models.to_vec(),
            limits: NodeLimits {
                records_max: 1 << 20,
                payload_bytes_max: PAYLOAD_BYTES_MAX as u64,
                jobs_max: self.limits.jobs_per_client_max,
            },
        };
        let witness = |(index, keys): (usize, &NodePublicKeys)| WitnessEntry {
            name: text(&format!("witness-{index}.local")),
            key: keys.witness,
        };
        Ok(Directory {
            version: VERSION,
            grid: text("local grid"),
            authority,
            issued: now,
            expires: now + LIFETIME_MS,
            log: LogEntry { origin: text("sealgrid.local/log"), key: keys[0].log },
            witnesses: keys.iter().enumerate().skip(1).take(self.witnesses).map(witness).collect(),
            nodes: keys.iter().enumerate().map(node).collect(),
        })
    }

    fn operator(&self, index: usize) -> usize {
        match self.operators {
            0 => index + 1,
            count => index % count + 1,
        }
    }

    fn config(&self, index: usize, port: u16, authority: PublicIdentity) -> NodeConfig {
        let mut roles = BTreeSet::from([Role::Compute]);
        if index == 0 {
            roles.insert(Role::Log);
        } else if index <= self.witnesses {
            roles.insert(Role::Witness);
        }
        NodeConfig {
            data: "data".into(),
            models: "models".into(),
            directory: "../grid.directory".into(),
            authority,
            roles,
            network: NetworkConfig {
                listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))],
                clients: Clients::Anyone(Anyone::Anyone),
                ..NetworkConfig::default()
            },
            limits: self.limits.clone(),
            publishing: self.publishing.clone(),
            telemetry: TelemetryConfig::default(),
            fault: self.faults.iter().find(|(node, _)| *node == index + 1).map(|(_, fault)| *fault),
        }
    }
}

fn node_folder(grid: &Path, index: usize) -> PathBuf {
    grid.join(format!("node-{}", index + 1))
}

fn text<const MAX: usize>(text: &str) -> Text<MAX> {
    Text::new(text).expect("short printable text of the program's own")
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), GridError> {
    write_durably(path, bytes).map_err(|source| GridError::Unwritable { path: path.to_owned(), source })
}

/// Ports that were free a moment ago: held together, so that they differ, then let go.
fn free_ports(count: usize) -> std::io::Result<Vec<u16>> {
    let sockets: std::io::Result<Vec<UdpSocket>> =
        (0..count).map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))).collect();
    sockets?.iter().map(|socket| Ok(socket.local_addr()?.port())).collect()
}
