//! The models a node serves: files of one folder, checked against their commitments, prepared on first use.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sealgrid_graph::cost;
use sealgrid_graph::execute::{Executor, Prepared};
use sealgrid_graph::integer::Graph;
use sealgrid_graph::model::{MODEL_BYTES_MAX, Model, ModelCommitment};

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
    files: HashMap<ModelCommitment, PathBuf>,
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
        let mut files = HashMap::new();
        for path in model_files(folder)? {
            files.insert(read_model(&path)?.commitment(), path);
        }
        let cache = Cache { bytes_max, bytes: 0, clock: 0, entries: HashMap::new() };
        Ok(Self { executor, files, prepared: Mutex::new(cache) })
    }

    /// What is served.
    #[must_use]
    pub fn commitments(&self) -> Vec<ModelCommitment> {
        let mut commitments: Vec<_> = self.files.keys().copied().collect();
        commitments.sort_unstable();
        commitments
    }

    /// The file of a model.
    #[must_use]
    pub fn path(&self, commitment: &ModelCommitment) -> Option<&Path> {
        self.files.get(commitment).map(PathBuf::as_path)
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
        let path = self.files.get(commitment)?;
        // Outside the lock: preparing takes long, and another model's jobs need not wait. Two workers may prepare the
        // same model at once; the second result replaces an equal first.
        let model = read_model(path).ok().filter(|model| model.commitment() == *commitment)?;
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
