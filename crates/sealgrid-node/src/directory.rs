//! The grid's directory as a running process holds it: verified, and read again when the file changes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use sealgrid_net::{AddressBook, Admit};
use sealgrid_protocol::directory::{
    BYTES_MAX, Directory, DirectoryError, SignedDirectory, VerifiedDirectory,
};
use sealgrid_protocol::log::LogError;
use sealgrid_protocol::log::roots::{LogRoots, Witness};
use sealgrid_seal::identity::PublicIdentity;

use crate::config::Clients;
use crate::folder::write_durably;
use crate::jobs::now;

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read, or is longer than a directory may be.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It does not verify.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Its log is no log.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl LoadError {
    /// The code of the index of errors.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "E-STO-48",
            Self::Directory(error) => error.code(),
            Self::Log(error) => error.code(),
        }
    }
}

/// A verified directory and the bytes that prove it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The list.
    pub directory: Arc<VerifiedDirectory>,
    /// The signed bytes, for receipts.
    pub bytes: Arc<[u8]>,
}

impl Loaded {
    /// Verifies signed bytes at the present time.
    ///
    /// # Errors
    /// [`LoadError::Directory`].
    pub fn from_bytes(bytes: Vec<u8>, authority: &PublicIdentity) -> Result<Self, LoadError> {
        let directory = SignedDirectory::decode(&bytes)?.verify(authority, now())?;
        Ok(Self { directory: Arc::new(directory), bytes: bytes.into() })
    }

    /// Reads and verifies a file.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn from_file(path: &Path, authority: &PublicIdentity) -> Result<Self, LoadError> {
        let unreadable = |source| LoadError::Unreadable { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(unreadable)?.len() > BYTES_MAX as u64 {
            return Err(unreadable(std::io::Error::other("longer than a directory may be")));
        }
        Self::from_bytes(std::fs::read(path).map_err(unreadable)?, authority)
    }

    /// Whom to believe about the log, with at least `witnesses_min` cosignatures.
    ///
    /// # Errors
    /// [`LogError`] when a name is none that a note can carry, or there are fewer witnesses.
    pub fn log_roots(&self, witnesses_min: u8) -> Result<LogRoots, LogError> {
        let witness = |entry: &sealgrid_protocol::directory::WitnessEntry| Witness {
            name: entry.name.as_str().to_owned(),
            identity: entry.key,
        };
        let witnesses = self.directory.witnesses.iter().map(witness).collect();
        LogRoots::new(self.directory.log.origin.as_str(), self.directory.log.key, witnesses, witnesses_min)
    }

    /// Puts the nodes' addresses into `book`. An address that is not `IP:port` is left out: names are looked up by
    /// whoever writes the directory, not by every node.
    pub fn fill(&self, book: &AddressBook) {
        let entry = |node: &sealgrid_protocol::directory::NodeEntry| {
            let addresses = node.addresses.iter().filter_map(|text| text.as_str().parse().ok()).collect();
            (node.identity, addresses)
        };
        book.replace(self.directory.nodes.iter().map(entry));
    }

    /// Who may connect to a node: the directory's nodes, its authority, the configured clients, and the owners whose
    /// models it takes in.
    #[must_use]
    pub fn admits(&self, clients: &Clients, owners: &Clients) -> Admit {
        match (clients, owners) {
            (Clients::Anyone(_), _) | (_, Clients::Anyone(_)) => Admit::Anyone,
            (Clients::Listed(clients), Clients::Listed(owners)) => {
                let nodes = self.directory.nodes.iter().map(|node| node.identity);
                let people = clients.iter().chain(owners).copied();
                Admit::Listed(nodes.chain(people).chain([self.directory.authority]).collect())
            }
        }
    }
}

/// The directory in force, from a file.
pub struct DirectoryFile {
    path: PathBuf,
    authority: PublicIdentity,
    current: RwLock<(Loaded, Option<Stamp>)>,
}

/// What changes when a file is replaced.
type Stamp = (SystemTime, u64);

impl DirectoryFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn open(path: &Path, authority: PublicIdentity) -> Result<Self, LoadError> {
        let stamp = stamp(path);
        let loaded = Loaded::from_file(path, &authority)?;
        Ok(Self { path: path.to_owned(), authority, current: RwLock::new((loaded, stamp)) })
    }

    /// The directory in force.
    #[must_use]
    pub fn current(&self) -> Loaded {
        self.current.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Takes a directory that somebody sent: when it is the authority's and later than the one in force, it replaces the
    /// file, and [`DirectoryFile::refresh`] puts it in force. Whoever sends it need not be trusted.
    ///
    /// # Errors
    /// [`LoadError`]; also [`DirectoryError::Time`] when it is not later.
    pub fn offer(&self, bytes: Vec<u8>) -> Result<(), LoadError> {
        let offered = Loaded::from_bytes(bytes, &self.authority)?;
        // Nodes of one machine may share the file: then it is there already.
        let on_disk = Loaded::from_file(&self.path, &self.authority).ok();
        let known = on_disk.unwrap_or_else(|| self.current());
        if known.directory.digest() == offered.directory.digest() {
            return Ok(());
        }
        let Directory { issued, expires, .. } = **offered.directory;
        if issued <= known.directory.issued.max(self.current().directory.issued) {
            return Err(DirectoryError::Time { issued, expires, at: now() }.into());
        }
        write_durably(&self.path, &offered.bytes)
            .map_err(|source| LoadError::Unreadable { path: self.path.clone(), source })
    }

    /// Reads the file again if it changed; yields the new directory when it is another one, and later.
    ///
    /// # Errors
    /// [`LoadError`]: the directory in force stays.
    pub fn refresh(&self) -> Result<Option<Loaded>, LoadError> {
        let stamp = stamp(&self.path);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if stamp == current.1 {
            return Ok(None);
        }
        current.1 = stamp;
        let loaded = Loaded::from_file(&self.path, &self.authority)?;
        // An older list, put back by whoever can write the file, could bring a struck node back.
        let later = loaded.directory.issued > current.0.directory.issued;
        if !later || loaded.directory.digest() == current.0.directory.digest() {
            return Ok(None);
        }
        current.0 = loaded.clone();
        Ok(Some(loaded))
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
