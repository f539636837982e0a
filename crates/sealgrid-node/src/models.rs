//! The models a node serves: files of one folder, checked against their commitments, prepared on first use. The folder
//! is read at start and whenever another directory is in force; a published model is added at once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use sealgrid_graph::cost;
use sealgrid_graph::execute::{Executor, Prepared};
use sealgrid_graph::integer::Graph;
use sealgrid_graph::model::{MODEL_BYTES_MAX, Model, ModelCommitment};

use crate::folder::write_durably;

/// Models in one folder at most.
pub const MODELS_MAX: usize = 256;

/// Why a folder's models cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// The folder cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// Folder or file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// More than [`MODELS_MAX`] files.
    #[error("more than {MODELS_MAX} models in {0}")]
    TooMany(PathBuf),
    /// A file is not a model; its own error says why.
    #[error("{path} is not a model")]
    NotAModel {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: sealgrid_graph::model::ModelError,
    },
}

impl ModelsError {
    /// The code of the index of errors.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "E-STO-45",
            Self::TooMany(_) => "E-RES-22",
            Self::NotAModel { source, .. } => source.code(),
        }
    }
}

/// The models of one node.
pub struct Models {
    executor: Arc<dyn Executor>,
    folder: PathBuf,
    files: RwLock<HashMap<ModelCommitment, PathBuf>>,
    prepared: Mutex<Cache>,
}

/// Prepared models, least recently used first out.
struct Cache {
    bytes_max: usize,
    bytes: usize,
    clock: u64,
    entries: HashMap<ModelCommitment, Entry>,
}

/// A model that can run.
#[derive(Clone)]
pub struct Ready {
    /// The model.
    pub model: Arc<dyn Prepared>,
    /// What one record costs: multiply-adds, and elements that operations yield.
    pub operations_per_record: u64,
}

struct Entry {
    ready: Ready,
    bytes: usize,
    used: u64,
}

impl Models {
    /// Reads and checks every `.sgm` file of `folder`. Weights stay on disk until a job needs them.
    ///
    /// # Errors
    /// [`ModelsError`]: a node that serves nothing is better than one that serves what it cannot vouch for.
    pub fn open(folder: &Path, executor: Arc<dyn Executor>, bytes_max: usize) -> Result<Self, ModelsError> {
        let files = RwLock::new(commitments_in(folder)?);
        let cache = Cache { bytes_max, bytes: 0, clock: 0, entries: HashMap::new() };
        Ok(Self { executor, folder: folder.to_owned(), files, prepared: Mutex::new(cache) })
    }

    /// Reads the folder again: files that were put there, or taken away, since.
    ///
    /// # Errors
    /// [`ModelsError`]: what was served goes on being served.
    pub fn rescan(&self) -> Result<(), ModelsError> {
        let files = commitments_in(&self.folder)?;
        *self.files.write().unwrap_or_else(PoisonError::into_inner) = files;
        Ok(())
    }

    /// Keeps a model that was checked, durably and whole or not at all, and serves it from now on. Of its registration it may
    /// spend so many openings.
    ///
    /// # Errors
    /// What the system says: the disk is full or broken. Nothing is kept then.
    pub fn keep(
        &self,
        commitment: ModelCommitment,
        file: &[u8],
        openings: Option<u32>,
    ) -> std::io::Result<()> {
        let name: String = commitment.0.to_string().chars().take(32).collect();
        let path = self.folder.join(format!("{name}.sgm"));
        let granted = openings.map(|openings| grant(&path, openings)).transpose();
        if let Err(error) = granted.and_then(|_| write_durably(&path, file)) {
            let _not_there = std::fs::remove_file(path.with_extension("new"));
            return Err(error);
        }
        self.files.write().unwrap_or_else(PoisonError::into_inner).insert(commitment, path);
        Ok(())
    }

    /// How many models there are, and the bytes of their files.
    #[must_use]
    pub fn load(&self) -> (usize, u64) {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let length = |path: &PathBuf| std::fs::metadata(path).map_or(0, |file| file.len());
        (files.len(), files.values().map(length).sum())
    }

    /// What is served.
    #[must_use]
    pub fn commitments(&self) -> Vec<ModelCommitment> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let mut commitments: Vec<_> = files.keys().copied().collect();
        commitments.sort_unstable();
        commitments
    }

    /// The file of a model.
    #[must_use]
    pub fn path(&self, commitment: &ModelCommitment) -> Option<PathBuf> {
        self.files.read().unwrap_or_else(PoisonError::into_inner).get(commitment).cloned()
    }

    /// The executor's name, for `describe`.
    #[must_use]
    pub fn executor(&self) -> &'static str {
        self.executor.name()
    }

    /// The prepared model, from memory or from its file; `None` when it is not served, or its file is gone or altered.
    #[must_use]
    pub fn prepared(&self, commitment: &ModelCommitment) -> Option<Ready> {
        if let Some(ready) = self.cache().find(commitment) {
            return Some(ready);
        }
        let path = self.path(commitment)?;
        // Outside the lock: preparing takes long, and another model's jobs need not wait. Two workers may prepare the
        // same model at once; the second result replaces an equal first.
        let model = read_model(&path).ok().filter(|model| model.commitment() == *commitment)?;
        let bytes = memory(model.graph());
        let count = cost::count(model.graph());
        let operations_per_record = count.multiply_adds.saturating_add(count.elements);
        let ready =
            Ready { model: self.executor.prepare(model.graph().clone()).ok()?.into(), operations_per_record };
        self.cache().keep(*commitment, ready.clone(), bytes);
        Some(ready)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    fn find(&mut self, commitment: &ModelCommitment) -> Option<Ready> {
        self.clock += 1;
        let entry = self.entries.get_mut(commitment)?;
        entry.used = self.clock;
        Some(entry.ready.clone())
    }

    /// Keeps a model if it fits at all, making room by forgetting the least recently used ones.
    fn keep(&mut self, commitment: ModelCommitment, ready: Ready, bytes: usize) {
        if bytes > self.bytes_max {
            return;
        }
        self.forget(&commitment);
        while self.bytes + bytes > self.bytes_max {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(oldest, _)| *oldest);
            let Some(oldest) = oldest else { break };
            self.forget(&oldest);
        }
        self.bytes += bytes;
        self.entries.insert(commitment, Entry { ready, bytes, used: self.clock });
    }

    fn forget(&mut self, commitment: &ModelCommitment) {
        if let Some(entry) = self.entries.remove(commitment) {
            self.bytes -= entry.bytes;
        }
    }
}

/// Lets a node that serves the model in the file `path` spend so many openings of its registration.
///
/// # Errors
/// What the system says.
pub fn grant(path: &Path, openings: u32) -> std::io::Result<()> {
    write_durably(&path.with_extension("openings"), format!("{openings}\n").as_bytes())
}

/// Reads one model file, at most [`MODEL_BYTES_MAX`] bytes of it.
///
/// # Errors
/// [`ModelsError::Unreadable`] and [`ModelsError::NotAModel`].
pub fn read_model(path: &Path) -> Result<Model, ModelsError> {
    let unreadable = |source| ModelsError::Unreadable { path: path.to_owned(), source };
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > MODEL_BYTES_MAX as u64 {
        return Err(unreadable(std::io::Error::other("longer than a model may be")));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    Model::from_bytes(&bytes).map_err(|source| ModelsError::NotAModel { path: path.to_owned(), source })
}

fn commitments_in(folder: &Path) -> Result<HashMap<ModelCommitment, PathBuf>, ModelsError> {
    let mut files = HashMap::new();
    for path in model_files(folder)? {
        files.insert(read_model(&path)?.commitment(), path);
    }
    Ok(files)
}

fn model_files(folder: &Path) -> Result<Vec<PathBuf>, ModelsError> {
    let unreadable = |source| ModelsError::Unreadable { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "sgm") {
            files.push(path);
        }
        if files.len() > MODELS_MAX {
            return Err(ModelsError::TooMany(folder.to_owned()));
        }
    }
    files.sort();
    Ok(files)
}

/// Bytes of a prepared model, estimated: its parameters, and once more for their packed form.
fn memory(graph: &Graph) -> usize {
    let parameters: usize =
        graph.parameters().iter().map(|tensor| tensor.shape().count() * tensor.dtype().bytes()).sum();
    2 * parameters + (64 << 10)
}
