//! Proving runs of the models that a node serves: their provers, the openings that it may spend, and what clients need to
//! verify its proofs.
//!
//! A registration bears a number of openings; one proof more would begin to tell the weights. Its owner shares them out
//! between nodes, and each keeps beside the model what it got:
//!
//! ```text
//! MODELS/NAME.sgm         the model
//! MODELS/NAME.openings    how many openings this node may spend, in decimal digits; without the file, none
//! MODELS/NAME.sgr         what others need to verify proofs; made when it is first asked for, which spends one
//! ```
//!
//! How many are spent stands in the node's state, durably before a proof is begun: a crash wastes one and never spends one twice.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sealgrid_graph::model::ModelCommitment;
use sealgrid_graph::proving::{Openings, ProofSystem, Prover};
use sealgrid_net::Refusal;

use crate::api::{REGISTRATION, refusal};
use crate::folder::write_durably;
use crate::models::{Models, read_model};
use crate::state::{Space, State};

/// Provers that are kept ready. Each holds its model's weights and a tree over them.
const PROVERS_MAX: usize = 4;
/// Most bytes of a file of openings.
const OPENINGS_BYTES_MAX: u64 = 16;

/// The proofs of one node.
pub struct Proofs {
    system: Arc<dyn ProofSystem>,
    models: Arc<Models>,
    state: State,
    /// The most recently used last.
    provers: Mutex<Vec<(ModelCommitment, Arc<dyn Prover>)>>,
    /// Held from reading how many openings are spent until one more is.
    spending: Mutex<()>,
    /// Held while something is published, so that it is made once.
    publishing: Mutex<()>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proofs {
    /// Nothing is made yet.
    #[must_use]
    pub fn new(system: Arc<dyn ProofSystem>, models: Arc<Models>, state: State) -> Self {
        let (provers, spending, publishing) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { system, models, state, provers, spending, publishing }
    }

    /// The prover of a model; `None` when it is not served here, or not registered. May wait for the disk.
    #[must_use]
    pub fn prover(&self, model: &ModelCommitment) -> Option<Arc<dyn Prover>> {
        {
            let mut provers = held(&self.provers);
            if let Some(at) = provers.iter().position(|(known, _)| known == model) {
                let found = provers.remove(at);
                let prover = Arc::clone(&found.1);
                provers.push(found);
                return Some(prover);
            }
        }
        // Outside the lock: two workers may make the same one, and the second result replaces an equal first.
        let path = self.models.path(model)?;
        let read = read_model(&path).ok().filter(|read| read.commitment() == *model)?;
        read.registration()?;
        let prover = match self.system.prover(read) {
            Ok(prover) => Arc::<dyn Prover>::from(prover),
            Err(error) => {
                tracing::warn!(%error, %model, "a registered model has no prover");
                return None;
            }
        };
        let mut provers = held(&self.provers);
        provers.retain(|(known, _)| known != model);
        if provers.len() >= PROVERS_MAX {
            provers.remove(0);
        }
        provers.push((*model, Arc::clone(&prover)));
        Some(prover)
    }

    /// Durably spends one of the openings that this node has of a model's registration; `false` when none is left, or the
    /// disk does not take it. Waits for the disk: not for a thread of the runtime.
    #[must_use]
    pub fn spend(&self, model: &ModelCommitment, prover: &dyn Prover) -> bool {
        let Some(path) = self.models.path(model) else { return false };
        let Openings { root, count } = prover.openings();
        let granted = granted(&path.with_extension("openings")).min(count);
        let _spending = held(&self.spending);
        let key = &root;
        let spent = match self.state.get(Space::Openings, key) {
            Ok(None) => 0,
            // What cannot be read counts as all.
            Ok(Some(spent)) => spent.try_into().map_or(u32::MAX, u32::from_le_bytes),
            Err(_) => u32::MAX,
        };
        if spent >= granted {
            tracing::warn!(%model, granted, "no opening of the model's registration is left to this node");
            return false;
        }
        let value = Some((spent + 1).to_le_bytes().to_vec());
        let durable = self.state.write(Space::Openings, key, value).wait_blocking().is_ok();
        tracing::info!(%model, left = granted - spent - 1, "an opening of a model's registration is spent");
        durable
    }

    /// What others need to verify proofs about a model. May wait for the disk, and for a proof the first time.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn published(&self, model: &ModelCommitment) -> Result<Vec<u8>, Refusal> {
        let path = self.models.path(model).ok_or(refusal::NO_SUCH_MODEL)?.with_extension("sgr");
        let _publishing = held(&self.publishing);
        if let Some(bytes) = read_whole(&path, REGISTRATION.response_bytes_max.into()) {
            return Ok(bytes);
        }
        let prover = self.prover(model).ok_or(refusal::NOT_REGISTERED)?;
        if !self.spend(model, prover.as_ref()) {
            return Err(refusal::NO_OPENING);
        }
        let bytes = prover.publish().map_err(|error| {
            tracing::warn!(%error, %model, "a registered model cannot be published");
            refusal::NOT_REGISTERED
        })?;
        write_durably(&path, &bytes).map_err(|error| {
            tracing::error!(%error, "what was published of a model cannot be kept");
            refusal::NOT_KEPT
        })?;
        Ok(bytes)
    }
}

/// A file of at most so many bytes.
fn read_whole(path: &Path, bytes_max: u64) -> Option<Vec<u8>> {
    let length = std::fs::metadata(path).ok()?.len();
    std::fs::read(path).ok().filter(|_| length <= bytes_max)
}

/// How many openings a file grants.
fn granted(path: &Path) -> u32 {
    let text = read_whole(path, OPENINGS_BYTES_MAX).and_then(|bytes| String::from_utf8(bytes).ok());
    text.and_then(|text| text.trim_end().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
