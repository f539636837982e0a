//! A node's keys: one encrypted ring in the data folder, and the file behind every owner's key store.
//!
//! A node's identity is its TLS key and therefore lives in the process; so does its job key, which opens payloads.
//! Both come out of the ring once, at start.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use sealgrid_protocol::machine::Millis;
use sealgrid_seal::envelope::{JobKeyPair, JobPublicKey};
use sealgrid_seal::identity::SigningIdentity;
use sealgrid_seal::keyfile::Cost;
use sealgrid_seal::keystore::{
    KeyId, KeyInfo, KeyRing, KeyStore, KeyStoreError, PublicKey, Purpose, RingStore, State,
};
use sealgrid_seal::secret::SecretBytes;

use crate::folder::{make_private, write_durably};

/// File of a ring within its folder.
const RING: &str = "ring.key";
/// Most bytes of a key file that are read.
const RING_BYTES_MAX: u64 = 16 << 20;

/// Why keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read or written.
    #[error("cannot use {path}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The store says no: wrong passphrase, altered file, full.
    #[error(transparent)]
    Store(#[from] KeyStoreError),
    /// The ring has no key for a purpose that the node needs.
    #[error("no active key for {0:?}")]
    Missing(Purpose),
}

impl KeysError {
    /// The code of the index of errors.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unusable { .. } => "E-STO-46",
            Self::Store(error) => error.code(),
            Self::Missing(_) => "E-KEY-40",
        }
    }
}

/// Whether there is a key store in `folder`, so that a person is asked for a passphrase once or twice.
#[must_use]
pub fn has_store(folder: &Path) -> bool {
    folder.join(RING).exists()
}

/// Opens the key store in `folder`; `None` when there is none yet.
///
/// # Errors
/// [`KeysError`].
pub fn open_store(
    folder: &Path,
    passphrase: SecretBytes,
    cost: Cost,
) -> Result<Option<RingStore>, KeysError> {
    let path = folder.join(RING);
    let unusable = |source| KeysError::Unusable { path: path.clone(), source };
    match std::fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(error)),
        Ok(metadata) if metadata.len() > RING_BYTES_MAX => {
            return Err(unusable(std::io::Error::other("longer than a key file may be")));
        }
        Ok(_) => {}
    }
    let file = std::fs::read(&path).map_err(unusable)?;
    Ok(Some(RingStore::open(&file, passphrase, cost, keep(path.clone()))?))
}

/// Makes an empty key store in `folder`.
///
/// # Errors
/// [`KeysError`], also when there is one already.
pub fn create_store(folder: &Path, passphrase: SecretBytes, cost: Cost) -> Result<RingStore, KeysError> {
    let path = fresh(folder)?;
    Ok(RingStore::create(&mut rand::rng(), passphrase, cost, keep(path))?)
}

fn fresh(folder: &Path) -> Result<PathBuf, KeysError> {
    let path = folder.join(RING);
    let unusable = |source| KeysError::Unusable { path: path.clone(), source };
    make_private(folder).map_err(unusable)?;
    if path.exists() {
        return Err(unusable(std::io::ErrorKind::AlreadyExists.into()));
    }
    Ok(path)
}

fn keep(path: PathBuf) -> sealgrid_seal::keystore::Keep {
    Box::new(move |bytes| write_durably(&path, bytes))
}

/// The public halves of a new node's keys, for its directory entry.
#[derive(Clone, Debug)]
pub struct NodePublicKeys {
    /// Identity and TLS key.
    pub node: sealgrid_seal::identity::PublicIdentity,
    /// Payloads are sealed to it.
    pub job: JobPublicKey,
    /// Signs the log's checkpoints, if the node writes it.
    pub log: sealgrid_seal::identity::PublicIdentity,
    /// Cosigns checkpoints, if the node is a witness.
    pub witness: sealgrid_seal::identity::PublicIdentity,
}

/// Makes the ring of a new node: identity, job, log and witness key, sealed once.
///
/// # Errors
/// [`KeysError`], also when there is a ring already.
pub fn create_node_keys(
    folder: &Path,
    passphrase: &SecretBytes,
    cost: Cost,
    now: Millis,
) -> Result<NodePublicKeys, KeysError> {
    let path = fresh(folder)?;
    let rng = &mut rand::rng();
    let mut ring = KeyRing::new(rng);
    let mut make = |purpose, name: &str| ring.create(rng, now, purpose, name);
    let (node, job) = (make(Purpose::Node, "node")?, make(Purpose::Job, "job")?);
    let (log, witness) = (make(Purpose::Log, "log")?, make(Purpose::Witness, "witness")?);
    let file = ring.seal(&mut rand::rng(), passphrase.expose(), cost)?;
    write_durably(&path, &file).map_err(|source| KeysError::Unusable { path: path.clone(), source })?;
    Ok(NodePublicKeys {
        node: identity(&node)?,
        job: job_key(&job)?,
        log: identity(&log)?,
        witness: identity(&witness)?,
    })
}

fn identity(info: &KeyInfo) -> Result<sealgrid_seal::identity::PublicIdentity, KeysError> {
    match &info.public {
        PublicKey::Ed25519(identity) => Ok(*identity),
        PublicKey::XWing(_) => Err(KeysError::Missing(info.purpose)),
    }
}

fn job_key(info: &KeyInfo) -> Result<JobPublicKey, KeysError> {
    match &info.public {
        PublicKey::XWing(key) => Ok(key.clone()),
        PublicKey::Ed25519(_) => Err(KeysError::Missing(info.purpose)),
    }
}

/// The keys of a running node.
pub struct NodeKeys {
    store: RingStore,
    job: RwLock<Vec<Arc<JobKeyPair>>>,
}

impl NodeKeys {
    /// Opens the ring of a node.
    ///
    /// # Errors
    /// [`KeysError`], also when a purpose has no key.
    pub fn open(folder: &Path, passphrase: SecretBytes, cost: Cost) -> Result<Self, KeysError> {
        let store = open_store(folder, passphrase, cost)?.ok_or_else(|| KeysError::Unusable {
            path: folder.join(RING),
            source: std::io::ErrorKind::NotFound.into(),
        })?;
        let keys = Self { store, job: RwLock::default() };
        keys.reload_job_keys()?;
        Ok(keys)
    }

    /// The signing key in force for `purpose`.
    ///
    /// # Errors
    /// [`KeysError::Missing`].
    pub fn signing(&self, purpose: Purpose) -> Result<SigningIdentity, KeysError> {
        let info = self.active(purpose)?;
        Ok(SigningIdentity::from_seed(&self.store.danger_seed(&info.id)?))
    }

    /// Keys that open payloads, the newest first; rotated ones still open what was sealed to them.
    #[must_use]
    pub fn job(&self) -> Vec<Arc<JobKeyPair>> {
        self.job.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The public half of the job key in force.
    #[must_use]
    pub fn job_public(&self) -> JobPublicKey {
        self.job()[0].public().clone()
    }

    /// Makes a new job key. The old one goes on opening until [`NodeKeys::destroy_rotated_job_keys`]: rotate, have the
    /// directory signed anew with the new key, wait until the old directory's last job is over, destroy.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn rotate_job_key(&self, now: Millis) -> Result<JobPublicKey, KeysError> {
        let info = self.active(Purpose::Job)?;
        self.store.rotate(&mut rand::rng(), now, &info.id)?;
        self.reload_job_keys()?;
        Ok(self.job_public())
    }

    /// Destroys every job key that was rotated; answers the signed records that say so.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn destroy_rotated_job_keys(&self, now: Millis) -> Result<Vec<Vec<u8>>, KeysError> {
        let old = |info: &&KeyInfo| info.purpose == Purpose::Job && info.state != State::Active;
        let ids: Vec<KeyId> = self.store.list()?.iter().filter(old).map(|info| info.id).collect();
        let records: Result<Vec<_>, _> =
            ids.iter().map(|id| self.store.destroy(&mut rand::rng(), now, id)).collect();
        self.reload_job_keys()?;
        Ok(records?)
    }

    fn active(&self, purpose: Purpose) -> Result<KeyInfo, KeysError> {
        let found = |info: &KeyInfo| info.purpose == purpose && info.state == State::Active;
        self.store.list()?.into_iter().find(found).ok_or(KeysError::Missing(purpose))
    }

    fn reload_job_keys(&self) -> Result<(), KeysError> {
        let mut keys = Vec::new();
        for info in self.store.list()?.iter().filter(|info| info.purpose == Purpose::Job) {
            let pair = Arc::new(JobKeyPair::from_seed(self.store.danger_seed(&info.id)?));
            // Newest first: oldest first in the list, and the active one is the newest.
            keys.insert(0, pair);
        }
        if keys.is_empty() {
            return Err(KeysError::Missing(Purpose::Job));
        }
        *self.job.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase() -> SecretBytes {
        SecretBytes::new(b"correct horse".to_vec())
    }

    #[test]
    fn the_file_store_keeps_the_contract_and_every_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys");
        let store = create_store(&path, passphrase(), Cost::LEAST).expect("fresh");
        sealgrid_seal::keystore::contract(&store, &mut rand::rng());
        let again = open_store(&path, passphrase(), Cost::LEAST).expect("opens").expect("exists");
        assert_eq!(again.list().expect("reachable"), store.list().expect("reachable"));
        assert_eq!(again.records().expect("reachable"), store.records().expect("reachable"));
    }

    #[test]
    fn a_node_opens_with_an_old_job_key_until_it_is_destroyed() {
        let folder = tempfile::tempdir().expect("a folder");
        let public = create_node_keys(folder.path(), &passphrase(), Cost::LEAST, 1).expect("fresh");
        let keys = NodeKeys::open(folder.path(), passphrase(), Cost::LEAST).expect("opens");
        assert_eq!(keys.signing(Purpose::Node).expect("there").public(), public.node);
        assert_eq!(keys.job_public(), public.job);
        let rotated = keys.rotate_job_key(2).expect("rotates");
        assert_ne!(rotated, public.job);
        let all: Vec<_> = keys.job().iter().map(|pair| pair.public().clone()).collect();
        assert_eq!(all, [rotated.clone(), public.job]);
        assert_eq!(keys.destroy_rotated_job_keys(3).expect("destroys").len(), 1);
        let again = NodeKeys::open(folder.path(), passphrase(), Cost::LEAST).expect("opens");
        assert_eq!(again.job().len(), 1);
        assert_eq!(again.job_public(), rotated);
    }

    #[test]
    fn what_is_wrong_with_keys_has_its_code() {
        let folder = tempfile::tempdir().expect("a folder");
        let open =
            |passphrase| NodeKeys::open(folder.path(), passphrase, Cost::LEAST).err().expect("refused");
        assert_eq!(open(passphrase()).code(), "E-STO-46");
        create_store(folder.path(), passphrase(), Cost::LEAST).expect("fresh");
        assert_eq!(open(passphrase()).code(), "E-KEY-40");
        assert!(open(SecretBytes::new(b"wrong".to_vec())).code().starts_with("E-KEY-2"));
        let twice = create_node_keys(folder.path(), &passphrase(), Cost::LEAST, 1).expect_err("exists");
        assert_eq!(twice.code(), "E-STO-46");
    }
}
