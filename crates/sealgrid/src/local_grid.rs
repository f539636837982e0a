//! A grid on this machine: its folder, and its processes.
//!
//! ```text
//! DIR/passphrase       opens every key ring in DIR; mode 0600. Whoever reads it is every node: a grid to try things on.
//! DIR/authority/       the directory authority's key ring
//! DIR/grid.directory   the signed list of nodes
//! DIR/roots/           trust roots for `sealgrid verify --roots`
//! DIR/node-N/          one node: node.toml, models/, data/, log.txt
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use sealgrid_node::config::{Anyone, Clients, NodeConfig, PublishingConfig};
use sealgrid_node::directory::Loaded;
use sealgrid_node::fault::Fault;
use sealgrid_node::grid::GridPlan;
use sealgrid_node::keys::{create_store, open_store};
use sealgrid_seal::identity::SigningIdentity;
use sealgrid_seal::keyfile::Cost;
use sealgrid_seal::keystore::{KeyStore as _, Purpose};
use sealgrid_seal::secret::{Secret, SecretBytes};
use sealgrid_verify::TrustRoots;

use crate::failure::{Failure, unreadable, unwritable};
use crate::processes::{NodeProcess, Processes};
use crate::{passphrase, roots};

/// The folder of a local grid.
#[derive(Debug, Clone)]
pub struct LocalGrid {
    dir: PathBuf,
}

/// What to lay out in a new folder.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    /// How many nodes.
    pub nodes: usize,
    /// Model files that every node serves.
    pub models: Vec<PathBuf>,
    /// How many openings of their registrations each node may spend, by the model's file.
    pub openings: HashMap<PathBuf, u32>,
    /// Misbehaviour, by number of the node from 1.
    pub faults: Vec<(usize, Fault)>,
}

/// One node of the grid, for tables.
#[derive(Debug, Clone)]
pub struct NodeFacts {
    /// `node-1`, `node-2`, ….
    pub name: String,
    /// Its configuration file.
    pub config: PathBuf,
    /// What it says.
    pub settings: NodeConfig,
}

impl LocalGrid {
    /// The grid in `dir`, whether laid out or not.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Whether it has been laid out.
    pub fn exists(&self) -> bool {
        self.directory().exists()
    }

    /// The signed list of nodes.
    pub fn directory(&self) -> PathBuf {
        self.dir.join("grid.directory")
    }

    /// Trust roots.
    pub fn roots(&self) -> PathBuf {
        self.dir.join("roots")
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Lays out a new grid: keys, configurations, signed directory, trust roots. Whole or not at all: it is made beside
    /// its place and moved there once it is complete, so that no half of one is ever taken for a grid.
    pub fn lay_out(&self, layout: &Layout) -> Result<(), Failure> {
        let failed = |error: std::io::Error| unwritable(&self.dir, &error);
        let mut beside = self.dir.clone().into_os_string();
        beside.push(".new");
        let new = Self::at(beside);
        // Left by a process that was killed: no node ever ran from it.
        if new.dir.exists() {
            std::fs::remove_dir_all(&new.dir).map_err(failed)?;
        }
        let laid = new.fill(layout).and_then(|()| {
            std::fs::rename(&new.dir, &self.dir)
                .map_err(|error| failed(error).hint("name a new or an empty folder with --dir DIR"))
        });
        if laid.is_err() {
            // What failed is the news; what is left is removed by the next attempt.
            let _ = std::fs::remove_dir_all(&new.dir);
        }
        laid
    }

    fn fill(&self, layout: &Layout) -> Result<(), Failure> {
        std::fs::create_dir_all(&self.dir).map_err(|error| unwritable(&self.dir, &error))?;
        let passphrase = self.new_passphrase()?;
        let authority = self.new_authority(&passphrase)?;
        let plan = GridPlan {
            nodes: layout.nodes,
            witnesses: witnesses(layout.nodes),
            models: layout.models.clone(),
            openings: layout.openings.clone(),
            faults: layout.faults.clone(),
            cost: LOCAL_COST,
            publishing: PublishingConfig {
                owners: Clients::Anyone(Anyone::Anyone),
                ..PublishingConfig::default()
            },
            ..GridPlan::default()
        };
        plan.lay_out(&self.dir, &authority, &passphrase, crate::now())
            .map_err(|error| Failure::new(error.code(), "the grid cannot be laid out").why(error))?;
        let loaded = Loaded::from_file(&self.directory(), &authority.public())
            .map_err(|error| Failure::new(error.code(), "the new directory does not hold").why(error))?;
        // Whoever lays out a local grid is its authority: these are the roots it hands out.
        let trust = TrustRoots::danger_from_directory(&loaded.directory, witnesses_min(layout.nodes))
            .map_err(|error| {
                Failure::new(error.code(), "the new directory gives no trust roots").why(error)
            })?;
        roots::write(&self.roots(), &trust)
    }

    /// The nodes, in order.
    pub fn nodes(&self) -> Result<Vec<NodeFacts>, Failure> {
        let mut nodes = Vec::new();
        for index in 1.. {
            let name = format!("node-{index}");
            let config = self.dir.join(&name).join("node.toml");
            if !config.exists() {
                break;
            }
            let settings = NodeConfig::load(&config).map_err(|error| {
                Failure::new(error.code(), format!("{} is not a node's configuration", config.display()))
                    .why(error)
            })?;
            nodes.push(NodeFacts { name, config, settings });
        }
        Ok(nodes)
    }

    /// Starts every node in a process of its own.
    pub fn start(&self) -> Result<Processes, Failure> {
        let passphrase = passphrase::obtain(Some(&self.passphrase_file()), false)?;
        let processes = self.nodes()?.into_iter().map(|node| NodeProcess {
            log: self.dir.join(&node.name).join("log.txt"),
            name: node.name,
            config: node.config,
        });
        Processes::start(processes.collect(), &passphrase)
    }

    /// Whether the folder holds the key that signs the directory.
    pub fn has_authority(&self) -> bool {
        self.dir.join("authority").exists()
    }

    /// The key that signs the directory.
    pub fn authority(&self) -> Result<SigningIdentity, Failure> {
        let passphrase = passphrase::obtain(Some(&self.passphrase_file()), false)?;
        let folder = self.dir.join("authority");
        let missing = || Failure::new("E-KEY-95", format!("{} holds no authority's key", folder.display()));
        let store = open_store(&folder, passphrase, LOCAL_COST)
            .map_err(|error| Failure::new(error.code(), error.to_string()))?
            .ok_or_else(missing)?;
        let failed =
            |error: sealgrid_seal::keystore::KeyStoreError| Failure::new(error.code(), error.to_string());
        let key = store.list().map_err(failed)?.into_iter().find(|key| key.purpose == Purpose::Owner);
        let seed = store.danger_seed(&key.ok_or_else(missing)?.id).map_err(failed)?;
        Ok(SigningIdentity::from_seed(&seed))
    }

    fn passphrase_file(&self) -> PathBuf {
        self.dir.join("passphrase")
    }

    fn new_passphrase(&self) -> Result<SecretBytes, Failure> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = self.passphrase_file();
        let random: Secret<32> = Secret::random(&mut crate::entropy());
        let text = SecretBytes::new(hex::encode(random.expose()).into_bytes());
        std::fs::OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(text.expose()))
            .map_err(|error| unwritable(&path, &error))?;
        Ok(text)
    }

    fn new_authority(&self, passphrase: &SecretBytes) -> Result<SigningIdentity, Failure> {
        create_store(&self.dir.join("authority"), SecretBytes::new(passphrase.expose().to_vec()), LOCAL_COST)
            .map_err(|error| Failure::new(error.code(), error.to_string()))?
            .create(&mut crate::entropy(), crate::now(), Purpose::Owner, "authority")
            .map_err(|error| Failure::new(error.code(), error.to_string()))?;
        self.authority()
    }
}

/// A witness is another node than the log's.
fn witnesses(nodes: usize) -> usize {
    2.min(nodes.saturating_sub(1))
}

/// Cosignatures that a local grid's receipts need: one of the two witnesses may be down, and one node has none.
fn witnesses_min(nodes: usize) -> u8 {
    u8::from(witnesses(nodes) > 0)
}

/// The passphrase of a local grid has 256 random bits: guessing it is hopeless at any price.
const LOCAL_COST: Cost = Cost::LEAST;

/// The grid named on the command line, else the home's; refused when it does not exist.
pub fn existing(asked: Option<PathBuf>, home: &crate::home::Home) -> Result<LocalGrid, Failure> {
    let grid = LocalGrid::at(asked.unwrap_or_else(|| home.grid()));
    if !grid.exists() {
        return Err(unreadable(
            &grid.directory(),
            &std::io::Error::new(std::io::ErrorKind::NotFound, "there is no grid"),
        )
        .hint("sealgrid up, or name a grid's folder with --grid DIR"));
    }
    Ok(grid)
}
