//! Models on their way in: announced by a signed publication, sent in parts, kept whole or not at all.
//!
//! A part file lies in the node's data folder, never among the models. Only when its last byte is there, its digest is
//! the one that the owner signed, and it is a model of the signed commitment, does it become one file of the models'
//! folder, in one rename. A transfer that breaks off can be taken up where it stopped until the process ends; part files
//! are removed at every start, after a quiet time, and when anything about them is wrong.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sealgrid_graph::model::{MODEL_BYTES_MAX, Model};
use sealgrid_net::Refusal;
use sealgrid_protocol::publication::Publication;
use sealgrid_seal::canonical;
use sealgrid_seal::digest::Digest;
use sealgrid_seal::identity::PublicIdentity;

use crate::api::{PUBLISH_PART, Part, refusal};
use crate::config::PublishingConfig;
use crate::folder::make_private;
use crate::models::{MODELS_MAX, Models};

/// Models on their way in at once.
const UPLOADS_MAX: usize = 4;
/// A transfer of which nothing was heard for so long makes room for another.
const QUIET_MAX: Duration = Duration::from_secs(600);

/// The transfers of one node.
pub struct Publishing {
    config: PublishingConfig,
    authority: PublicIdentity,
    folder: PathBuf,
    models: Arc<Models>,
    uploads: Mutex<HashMap<Digest, Upload>>,
}

struct Upload {
    publication: Publication,
    path: PathBuf,
    file: File,
    have: u64,
    heard: Instant,
}

impl Publishing {
    /// Starts with an empty `folder`: what a killed process left there is removed.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(
        config: PublishingConfig,
        authority: PublicIdentity,
        folder: PathBuf,
        models: Arc<Models>,
    ) -> std::io::Result<Self> {
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        make_private(&folder)?;
        Ok(Self { config, authority, folder, models, uploads: Mutex::default() })
    }

    /// Answers [`crate::api::PUBLISH`]. May wait for the disk.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn begin(&self, statement: &[u8]) -> Result<Vec<u8>, Refusal> {
        let (owner, publication) =
            Publication::verify(statement, &self.authority).map_err(|_| refusal::BAD_PUBLICATION)?;
        if owner != self.authority && !self.config.owners.contains(&owner) {
            return Err(refusal::NOT_A_PUBLISHER);
        }
        if self.models.path(&publication.model).is_some() {
            return Ok(canonical::encode(&publication.length));
        }
        let (count, bytes) = self.models.load();
        let room = u64::from(self.config.disk_mib_max) << 20;
        let fits = bytes.checked_add(publication.length).is_some_and(|bytes| bytes <= room);
        if !fits || count >= MODELS_MAX || publication.length > MODEL_BYTES_MAX as u64 {
            return Err(refusal::MODEL_TOO_LARGE);
        }
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(upload) =
            uploads.get_mut(&publication.file).filter(|upload| upload.publication == publication)
        {
            upload.heard = Instant::now();
            return Ok(canonical::encode(&upload.have));
        }
        if let Some(other) = uploads.remove(&publication.file) {
            other.discard();
        }
        if uploads.len() >= UPLOADS_MAX {
            let quiet = uploads.iter().find(|(_, upload)| upload.heard.elapsed() > QUIET_MAX);
            let quiet = quiet.map(|(file, _)| *file).ok_or(refusal::UPLOADS_BUSY)?;
            uploads.remove(&quiet).into_iter().for_each(Upload::discard);
        }
        let upload = Upload::new(&self.folder, publication).map_err(|error| not_kept(&error))?;
        uploads.insert(upload.publication.file, upload);
        Ok(canonical::encode(&0_u64))
    }

    /// Answers [`crate::api::PUBLISH_PART`]. Waits for the disk; the last part also for the model's checks.
    ///
    /// # Errors
    /// [`Refusal`]; but for a part out of order, which is answered with how much is held, the transfer is over then.
    pub fn part(&self, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        let limit = usize::try_from(PUBLISH_PART.request_bytes_max).expect("u32 fits usize");
        let part: Part = canonical::decode(body, limit).map_err(|_| refusal::BAD_BODY)?;
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        let mut upload = uploads.remove(&part.file).ok_or(refusal::NO_SUCH_UPLOAD)?;
        if part.offset != upload.have {
            let have = upload.have;
            uploads.insert(part.file, upload);
            return Ok(canonical::encode(&have));
        }
        if let Err(error) = upload.write(&part.bytes) {
            upload.discard();
            return Err(error);
        }
        let have = upload.have;
        if have < upload.publication.length {
            uploads.insert(part.file, upload);
            return Ok(canonical::encode(&have));
        }
        let kept = self.keep(&upload);
        upload.discard();
        kept.map(|()| canonical::encode(&have))
    }

    fn keep(&self, upload: &Upload) -> Result<(), Refusal> {
        let file = std::fs::read(&upload.path).map_err(|error| not_kept(&error))?;
        let publication = &upload.publication;
        publication.check(&file).map_err(|_| refusal::NOT_THE_MODEL)?;
        let model = Model::from_bytes(&file).map_err(|_| refusal::NOT_THE_MODEL)?;
        if model.commitment() != publication.model {
            return Err(refusal::NOT_THE_MODEL);
        }
        self.models.keep(publication.model, &file, publication.openings).map_err(|error| not_kept(&error))?;
        tracing::info!(model = %publication.model, "a published model is served from now on");
        Ok(())
    }
}

impl Upload {
    fn new(folder: &Path, publication: Publication) -> std::io::Result<Self> {
        let path = folder.join(format!("{}.part", publication.file));
        let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&path)?;
        Ok(Self { publication, path, file, have: 0, heard: Instant::now() })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let have = self.have + bytes.len() as u64;
        if bytes.is_empty() || have > self.publication.length {
            return Err(refusal::NOT_THE_MODEL);
        }
        self.file.write_all(bytes).map_err(|error| not_kept(&error))?;
        self.have = have;
        self.heard = Instant::now();
        Ok(())
    }

    fn discard(self) {
        // what is not there any more need not be removed
        let _gone = std::fs::remove_file(&self.path);
    }
}

fn not_kept(error: &std::io::Error) -> Refusal {
    tracing::error!(%error, "a published model cannot be kept");
    refusal::NOT_KEPT
}
