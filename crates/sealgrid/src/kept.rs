//! Jobs that outlive the process that began them: in the home, sealed at rest to the owner's storage key.
//!
//! ```text
//! HOME/jobs/RANDOM/command      what was typed, the client's identity, the records' own identifiers
//! HOME/jobs/RANDOM/<hex>        what the job's machine asked to keep, one file a key
//! ```
//!
//! Every file is an object at rest ([`sealgrid_seal::rest`]) that only the storage key opens. What the names and lengths tell:
//! that there is a job, its public identifier, about how large it is. When the job is over the folder is removed.

use std::path::{Path, PathBuf};

use sealgrid_node::client::Keep;
use sealgrid_node::folder::{make_private, write_durably};
use sealgrid_seal::envelope::{JobKeyPair, JobPublicKey};
use sealgrid_seal::rest;
use sealgrid_seal::secret::SecretBytes;

use crate::commands::key;
use crate::failure::{Failure, unreadable, unwritable};
use crate::home::Home;

/// The file of what was typed.
const COMMAND: &str = "command";
/// Jobs that one home keeps at most.
const JOBS_MAX: usize = 1024;

/// The home's kept jobs and the keys that open them.
pub struct KeptJobs {
    folder: PathBuf,
    keys: Vec<JobKeyPair>,
}

/// One kept job.
pub struct KeptJob {
    folder: PathBuf,
    recipient: JobPublicKey,
}

/// A job that an earlier process left.
pub struct Pending {
    /// Where it is kept.
    pub job: KeptJob,
    /// What was typed.
    pub command: SecretBytes,
    /// What its machine kept, by key.
    pub records: Vec<(Vec<u8>, SecretBytes)>,
}

impl KeptJobs {
    /// Opens the home's kept jobs with its storage keys, or with the one of that name.
    pub fn open(home: &Home, name: Option<&str>, passphrase_file: Option<&Path>) -> Result<Self, Failure> {
        let keys = key::storage(home, name, passphrase_file)?;
        Ok(Self { folder: home.path().join("jobs"), keys })
    }

    /// Begins to keep a job: `command` is durable when this returns.
    pub fn begin(&self, command: &SecretBytes) -> Result<KeptJob, Failure> {
        let recipient = self.keys.first().expect("a store without such a key was refused").public().clone();
        let random = sealgrid_seal::secret::Secret::<8>::random(&mut crate::entropy());
        let folder = self.folder.join(hex::encode(random.expose()));
        make_private(&self.folder)
            .and_then(|()| make_private(&folder))
            .map_err(|error| unwritable(&folder, &error))?;
        let job = KeptJob { folder, recipient };
        job.write(COMMAND, command).map_err(|error| unwritable(&job.folder, &error))?;
        Ok(job)
    }

    /// Every kept job, or why it cannot be read: one broken job does not hide the others.
    pub fn pending(&self) -> Result<Vec<Result<Pending, Failure>>, Failure> {
        if !self.folder.exists() {
            return Ok(Vec::new());
        }
        let entries = std::fs::read_dir(&self.folder).map_err(|error| unreadable(&self.folder, &error))?;
        let folders = entries.flatten().map(|entry| entry.path()).take(JOBS_MAX);
        Ok(folders.filter_map(|folder| self.pending_in(folder).transpose()).collect())
    }

    fn pending_in(&self, folder: PathBuf) -> Result<Option<Pending>, Failure> {
        let command = folder.join(COMMAND);
        if !command.exists() {
            // killed before the command was kept: nothing was sent
            let _ended = std::fs::remove_dir_all(&folder);
            return Ok(None);
        }
        let (command, recipient) = self.read(&command)?;
        let mut records = Vec::new();
        let files = std::fs::read_dir(&folder).map_err(|error| unreadable(&folder, &error))?;
        for path in files.flatten().map(|entry| entry.path()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Ok(key) = hex::decode(name) else { continue };
            records.push((key, self.read(&path)?.0));
        }
        Ok(Some(Pending { job: KeptJob { folder, recipient }, command, records }))
    }

    /// Opens one file with whichever key it is sealed to.
    fn read(&self, path: &Path) -> Result<(SecretBytes, JobPublicKey), Failure> {
        let sealed = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
        let mut last = rest::RestError::NotARecipient;
        for key in &self.keys {
            match rest::open(&sealed, key) {
                Ok(content) => return Ok((content, key.public().clone())),
                Err(rest::RestError::NotARecipient) => {}
                Err(error) => last = error,
            }
        }
        Err(Failure::new(last.code(), format!("{} cannot be opened", path.display()))
            .why(last)
            .hint("sealgrid key list shows the storage keys of this home"))
    }
}

impl KeptJob {
    /// The job is over: nothing of it stays.
    pub fn end(self) -> Result<(), Failure> {
        std::fs::remove_dir_all(&self.folder).map_err(|error| unwritable(&self.folder, &error))
    }

    fn write(&self, name: &str, content: &SecretBytes) -> std::io::Result<()> {
        let sealed =
            rest::seal(&mut crate::entropy(), std::slice::from_ref(&self.recipient), content.expose())
                .map_err(std::io::Error::other)?;
        write_durably(&self.folder.join(name), &sealed)
    }
}

impl Keep for KeptJob {
    fn put(&self, key: &[u8], value: &SecretBytes) -> std::io::Result<()> {
        self.write(&hex::encode(key), value)
    }
}
