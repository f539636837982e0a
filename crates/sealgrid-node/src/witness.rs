//! The witness's side for real: cosigns checkpoints that extend what it saw before, remembers before it answers, and
//! asks the other witnesses for their heads. A fork is kept as a file that anybody can check without trusting who kept it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealgrid_net::{Endpoint, Refusal, Request};
use sealgrid_protocol::log::LogError;
use sealgrid_protocol::log::roots::LogRoots;
use sealgrid_protocol::log::witness::{Witness, WitnessEffect, WitnessEvent, WitnessMessage, WitnessReport};
use sealgrid_protocol::machine::{Machine, Ticket};
use sealgrid_seal::canonical;
use sealgrid_seal::digest::{Digest, labels};
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};

use crate::api::{WITNESS, refusal};
use crate::directory::DirectoryFile;
use crate::folder::{make_private, write_durably};
use crate::jobs::now;
use crate::log_service::describe_all;
use crate::metrics::Metrics;
use crate::state::{Space, State, StateError};

/// How often witnesses compare their heads.
const COMPARE_EVERY: Duration = Duration::from_secs(2);

/// Why a witness cannot start.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// What it remembers cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// What it remembers does not verify, or the directory's log is no log.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl WitnessError {
    /// The code of the index of errors.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::State(error) => error.code(),
            Self::Log(error) => error.code(),
        }
    }
}

/// A witness of one grid's log.
pub struct WitnessService {
    origin: String,
    key: PublicIdentity,
    forks: PathBuf,
    state: State,
    metrics: Metrics,
    machine: Mutex<Witness>,
}

impl WitnessService {
    /// Takes up what the state remembers.
    ///
    /// # Errors
    /// [`WitnessError`].
    pub fn restore(
        name: &str,
        identity: SigningIdentity,
        log: LogRoots,
        forks: PathBuf,
        state: State,
        metrics: Metrics,
    ) -> Result<Self, WitnessError> {
        let stored: BTreeMap<_, _> = state.all(Space::Witness)?.into_iter().collect();
        let (origin, key) = (log.origin().to_owned(), identity.public());
        let machine = Mutex::new(Witness::new(name, identity, vec![log], &stored)?);
        Ok(Self { origin, key, forks, state, metrics, machine })
    }

    /// Asks the directory's other witnesses for their heads, again and again, and compares: a log that shows each of them
    /// another face is caught here. Runs until it is dropped.
    pub async fn compare_with_others(&self, endpoint: &Endpoint, directory: &DirectoryFile) {
        let mut nodes: BTreeMap<PublicIdentity, PublicIdentity> = BTreeMap::new();
        loop {
            tokio::time::sleep(COMPARE_EVERY).await;
            let current = directory.current();
            let others: Vec<_> = current.directory.witnesses.iter().map(|entry| entry.key).collect();
            let others: Vec<_> = others.into_iter().filter(|key| *key != self.key).collect();
            if others.iter().any(|key| !nodes.contains_key(key)) {
                let listed = current.directory.nodes.iter().map(|node| node.identity).collect();
                let described = describe_all(endpoint, listed, COMPARE_EVERY).await;
                nodes.extend(described.into_iter().filter_map(|(node, is)| Some((is.witness?, node))));
            }
            for node in others.iter().filter_map(|key| nodes.get(key)) {
                let ask = canonical::encode(&WitnessMessage::AskHead(self.origin.clone()));
                let Ok(answer) = endpoint.call(node, &WITNESS, ask).await else { continue };
                let limit = usize::try_from(WITNESS.response_bytes_max).expect("u32 fits usize");
                let Ok(head @ WitnessMessage::Head(_)) = canonical::decode(&answer, limit) else { continue };
                for effect in self.handle(WitnessEvent::Received { from: *node, message: head }) {
                    if let WitnessEffect::Report(report) = effect {
                        self.report(&report);
                    }
                }
            }
        }
    }

    /// Answers a log or another witness; empty when there is nothing to say.
    ///
    /// # Errors
    /// [`Refusal`] when the body is no message, or the memory cannot be written.
    pub async fn ask(&self, request: Request) -> Result<Vec<u8>, Refusal> {
        let limit = usize::try_from(WITNESS.request_bytes_max).expect("u32 fits usize");
        let message: WitnessMessage =
            canonical::decode(&request.body, limit).map_err(|_| refusal::BAD_BODY)?;
        let mut event = WitnessEvent::Received { from: request.peer, message };
        // One message leads to at most one store and then one answer.
        loop {
            let effects = self.handle(event);
            match self.perform(effects).await? {
                Next::Answer(answer) => return Ok(answer),
                Next::Stored(ticket) => event = WitnessEvent::Stored { ticket },
            }
        }
    }

    /// The last checkpoint cosigned for a log, as its note.
    #[must_use]
    pub fn head(&self, origin: &str) -> Option<String> {
        self.machine().head(origin).map(sealgrid_protocol::log::note::Note::to_text)
    }

    fn handle(&self, event: WitnessEvent) -> Vec<WitnessEffect> {
        let mut machine = self.machine();
        machine.handle(now(), event);
        std::iter::from_fn(|| machine.poll()).collect()
    }

    async fn perform(&self, effects: Vec<WitnessEffect>) -> Result<Next, Refusal> {
        let mut next = Next::Answer(Vec::new());
        for effect in effects {
            match effect {
                WitnessEffect::Send { message, .. } => next = Next::Answer(canonical::encode(&message)),
                WitnessEffect::Store { ticket, key, value } => {
                    let kept = self.state.put(Space::Witness, &key, value).await;
                    kept.map_err(|_| refusal::LOG_FAILED)?;
                    next = Next::Stored(ticket);
                }
                WitnessEffect::Report(report) => self.report(&report),
                WitnessEffect::Run { work, .. } => match work {},
                WitnessEffect::Timer { .. } | WitnessEffect::Append { .. } => {}
            }
        }
        Ok(next)
    }

    /// Heads are public: they hold sizes and roots of keyed commitments.
    fn report(&self, report: &WitnessReport) {
        match report {
            WitnessReport::Forked(fork) => {
                self.metrics.job("log-forked");
                tracing::error!(first = %fork.first, second = %fork.second, "THE LOG FORKED: keep both heads");
                let bytes = canonical::encode(fork);
                let name = Digest::of(labels::EVIDENCE, &[&bytes]).to_string();
                let path = self.forks.join(format!("{}.fork", &name[..16]));
                let kept = || make_private(&self.forks).and_then(|()| write_durably(&path, &bytes));
                if !path.exists()
                    && let Err(error) = kept()
                {
                    tracing::error!(%error, "the evidence could not be written to a file; it stands above");
                }
            }
            WitnessReport::Unreconciled { known, shown } => {
                tracing::error!(%known, %shown, "the log's new head does not extend the one cosigned before");
            }
        }
    }

    fn machine(&self) -> MutexGuard<'_, Witness> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Next {
    Answer(Vec<u8>),
    Stored(Ticket),
}
