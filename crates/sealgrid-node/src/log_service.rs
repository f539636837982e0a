//! The log's side for real: leaves in, one durable batch at a time; the witnesses are asked before an owner gets a proof.
//!
//! A cycle: take what waits, append it durably (log_store), ask every witness for a cosignature of the new
//! checkpoint, keep the lines, answer every leaf of the batch with its proof. While one batch is cosigned the next one
//! gathers. A witness that does not answer in time is left out of this checkpoint, not waited for.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use sealgrid_net::{Endpoint, Refusal};
use sealgrid_protocol::log::note::{Note, NoteSignature};
use sealgrid_protocol::log::tile::{TileId, Tiles};
use sealgrid_protocol::log::witness::{AddCheckpoint, WitnessMessage};
use sealgrid_protocol::log::{Checkpoint, LogRoots};
use sealgrid_seal::canonical;
use sealgrid_seal::identity::PublicIdentity;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::api::{DESCRIBE, Description, LOG_TILE, WITNESS, refusal};
use crate::directory::DirectoryFile;
use crate::log_store::{BATCH_LEAVES_MAX, LogFiles, LogStore, LogStoreError};
use crate::traces::{Attribute, Step, Traces};

/// Leaves that may wait for the next batch.
const QUEUE_MAX: usize = 2 * BATCH_LEAVES_MAX;
/// How long a batch waits for cosignatures.
const COSIGN_TIME: Duration = Duration::from_secs(2);
/// How often a checkpoint that lacks cosignatures is shown to the witnesses again.
const RECOSIGN_EVERY: Duration = Duration::from_millis(500);
/// How often nodes are asked which of them is a witness.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A grid whose nodes start together: for so long after its start a log does both every [`STARTING_EVERY`], so that the
/// first job need not wait.
const STARTING: Duration = Duration::from_secs(30);
const STARTING_EVERY: Duration = Duration::from_millis(50);

type Waiting = (Vec<u8>, oneshot::Sender<Result<String, Refusal>>);

/// The log of a grid, as this node offers it.
pub struct LogService {
    leaves: mpsc::Sender<Waiting>,
    files: LogFiles,
    head: Arc<RwLock<Note>>,
}

impl LogService {
    /// Starts to serve `store`; the returned future is the keeper's and runs until the service is dropped.
    ///
    /// # Errors
    /// None now; the keeper logs what goes wrong.
    pub fn start(
        store: LogStore,
        endpoint: Endpoint,
        directory: Arc<DirectoryFile>,
        traces: Traces,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (leaves, queue) = mpsc::channel(QUEUE_MAX);
        let files = store.files().clone();
        let head = Arc::new(RwLock::new(store.note().clone()));
        let witnesses = Witnesses {
            endpoint,
            directory: directory.clone(),
            nodes: HashMap::new(),
            started: Instant::now(),
            looked: None,
            sizes: HashMap::new(),
        };
        let keeper = Keeper {
            store: Some(store),
            files: files.clone(),
            queue,
            head: head.clone(),
            witnesses,
            directory,
            traces,
        };
        (Self { leaves, files, head }, keeper.keep())
    }

    /// Appends a leaf; answers its proof as text.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn append(&self, leaf: Vec<u8>) -> Result<Vec<u8>, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.leaves.try_send((leaf, answer)).map_err(|_| refusal::LOG_BUSY)?;
        let proof = answered.await.map_err(|_| refusal::LOG_FAILED)??;
        Ok(proof.into_bytes())
    }

    /// The latest checkpoint with its cosignatures, as text.
    #[must_use]
    pub fn head(&self) -> String {
        self.head.read().unwrap_or_else(PoisonError::into_inner).to_text()
    }

    /// A tile by its path.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn tile(&self, path: &[u8]) -> Result<Vec<u8>, Refusal> {
        let path = std::str::from_utf8(path).map_err(|_| refusal::BAD_BODY)?;
        let id = TileId::from_path(path).map_err(|_| refusal::BAD_BODY)?;
        let files = self.files.clone();
        let read = tokio::task::spawn_blocking(move || files.read(id)).await;
        let bytes = read.map_err(|_| refusal::LOG_FAILED)?.map_err(|_| refusal::NO_SUCH_TILE)?;
        let limit = usize::try_from(LOG_TILE.response_bytes_max).expect("u32 fits usize");
        if bytes.len() > limit { Err(refusal::NO_SUCH_TILE) } else { Ok(bytes) }
    }
}

struct Keeper {
    /// Away while a batch is being written on another thread.
    store: Option<LogStore>,
    files: LogFiles,
    queue: mpsc::Receiver<Waiting>,
    head: Arc<RwLock<Note>>,
    witnesses: Witnesses,
    directory: Arc<DirectoryFile>,
    traces: Traces,
}

impl Keeper {
    async fn keep(mut self) {
        let mut batch = Vec::new();
        let mut logged_directory = None;
        loop {
            // The directory stands in the log before jobs are drawn from it.
            let digest = self.directory.current().directory.digest();
            if logged_directory != Some(digest) {
                let (answer, _) = oneshot::channel();
                batch.push((digest.0.to_vec(), answer));
            }
            if batch.is_empty() {
                tokio::select! {
                    taken = self.queue.recv_many(&mut batch, BATCH_LEAVES_MAX) => {
                        if taken == 0 {
                            return;
                        }
                    }
                    () = tokio::time::sleep(self.witnesses.pause(RECOSIGN_EVERY)) => {}
                }
            }
            match self.cycle(std::mem::take(&mut batch)).await {
                Ok(()) => logged_directory = Some(digest),
                Err(error) => {
                    tracing::error!(code = error.code(), "the log cannot be written and stops");
                    return;
                }
            }
        }
    }

    async fn cycle(&mut self, batch: Vec<Waiting>) -> Result<(), LogStoreError> {
        let started = SystemTime::now();
        let (leaves, answers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let first = if leaves.is_empty() { 0 } else { self.append(leaves).await? };
        self.cosign().await?;
        let note = self.store.as_ref().ok_or(LogStoreError::Stopped)?.note().clone();
        if !answers.is_empty() {
            let cosignatures = note.signatures().len().saturating_sub(1);
            let attributes = [Attribute::Leaves(answers.len()), Attribute::Cosignatures(cosignatures)];
            self.traces.step(None, Step::LogAppend, started, attributes);
        }
        *self.head.write().unwrap_or_else(PoisonError::into_inner) = note.clone();
        for (answer, index) in answers.into_iter().zip(first..) {
            let proof = self.files.prove(index, note.clone()).map(|proof| proof.to_text());
            // A caller that went away has its leaf in the log all the same.
            let _ = answer.send(proof.map_err(|_| refusal::LOG_FAILED));
        }
        Ok(())
    }

    /// Appends on a thread that may wait for the disk.
    async fn append(&mut self, leaves: Vec<Vec<u8>>) -> Result<u64, LogStoreError> {
        self.blocking(move |store| store.append(&leaves)).await
    }

    async fn cosign(&mut self) -> Result<(), LogStoreError> {
        let store = self.store.as_ref().ok_or(LogStoreError::Stopped)?;
        let Ok(roots) = self.directory.current().log_roots(0) else { return Ok(()) };
        let cosigned = roots.verify_signed(store.note()).map_or(0, |trusted| trusted.cosigned.len());
        let size = Checkpoint::from_text(store.note().text()).map_or(0, |checkpoint| checkpoint.size);
        if cosigned == roots.witnesses().len() || size == 0 {
            return Ok(());
        }
        let note = store.note().clone();
        let lines = self.witnesses.cosign(&self.files, &note, &roots).await;
        if lines.is_empty() {
            return Ok(());
        }
        self.blocking(move |store| store.add_cosignatures(lines)).await?;
        let note = self.store.as_ref().ok_or(LogStoreError::Stopped)?.note().clone();
        *self.head.write().unwrap_or_else(PoisonError::into_inner) = note;
        Ok(())
    }

    async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut LogStore) -> Result<T, LogStoreError> + Send + 'static,
    ) -> Result<T, LogStoreError> {
        let mut store = self.store.take().ok_or(LogStoreError::Stopped)?;
        let done = tokio::task::spawn_blocking(move || {
            let outcome = work(&mut store);
            (store, outcome)
        });
        let (store, outcome) = done.await.map_err(|_| LogStoreError::Stopped)?;
        self.store = Some(store);
        outcome
    }
}

/// The witnesses of the directory, and what is known of each.
struct Witnesses {
    endpoint: Endpoint,
    directory: Arc<DirectoryFile>,
    /// Which node has which witness key.
    nodes: HashMap<PublicIdentity, PublicIdentity>,
    started: Instant,
    looked: Option<Instant>,
    /// The size each witness cosigned last, as it said.
    sizes: HashMap<PublicIdentity, u64>,
}

impl Witnesses {
    /// Lines that verify under `roots`, of every witness that answers in time.
    async fn cosign(&mut self, files: &LogFiles, note: &Note, roots: &LogRoots) -> Vec<NoteSignature> {
        self.look_for_missing(roots).await;
        let mut asked = JoinSet::new();
        for witness in roots.witnesses() {
            let Some(node) = self.nodes.get(&witness.identity).copied() else { continue };
            let (endpoint, files, note) = (self.endpoint.clone(), files.clone(), note.clone());
            let old_size = self.sizes.get(&witness.identity).copied().unwrap_or(0);
            let key = witness.identity;
            asked.spawn(async move { (key, ask(&endpoint, &node, &files, &note, old_size).await) });
        }
        let mut lines = Vec::new();
        let deadline = tokio::time::sleep(COSIGN_TIME);
        tokio::pin!(deadline);
        loop {
            let answered = tokio::select! {
                answered = asked.join_next() => answered,
                () = &mut deadline => None,
            };
            let Some(answered) = answered else { break };
            let Ok((witness, Some((line, size)))) = answered else { continue };
            let mut with = note.clone();
            with.add(line.clone());
            let counts = roots.verify_signed(&with).is_ok_and(|trusted| !trusted.cosigned.is_empty());
            if counts {
                self.sizes.insert(witness, size);
                lines.push(line);
            }
        }
        lines
    }

    fn pause(&self, usual: Duration) -> Duration {
        if self.started.elapsed() < STARTING { STARTING_EVERY } else { usual }
    }

    /// Asks the directory's nodes who they are, when a witness's node is not known.
    async fn look_for_missing(&mut self, roots: &LogRoots) {
        let known = roots.witnesses().iter().all(|witness| self.nodes.contains_key(&witness.identity));
        if known || self.looked.is_some_and(|at| at.elapsed() < self.pause(LOOK_EVERY)) {
            return;
        }
        self.looked = Some(Instant::now());
        let nodes = self.directory.current().directory.nodes.iter().map(|node| node.identity).collect();
        for (node, description) in describe_all(&self.endpoint, nodes, COSIGN_TIME).await {
            if let Some(witness) = description.witness {
                self.nodes.insert(witness, node);
            }
        }
    }
}

/// Asks many nodes to describe themselves; those that answered within `time`.
pub async fn describe_all(
    endpoint: &Endpoint,
    nodes: Vec<PublicIdentity>,
    time: Duration,
) -> BTreeMap<PublicIdentity, Description> {
    let mut asked = JoinSet::new();
    for node in nodes.into_iter().filter(|node| *node != endpoint.identity()) {
        let endpoint = endpoint.clone();
        asked.spawn(async move { (node, describe(&endpoint, &node).await) });
    }
    let mut described = BTreeMap::new();
    let deadline = tokio::time::sleep(time);
    tokio::pin!(deadline);
    loop {
        let answered = tokio::select! {
            answered = asked.join_next() => answered,
            () = &mut deadline => None,
        };
        let Some(answered) = answered else { return described };
        if let Ok((node, Some(description))) = answered {
            described.insert(node, description);
        }
    }
}

async fn describe(endpoint: &Endpoint, node: &PublicIdentity) -> Option<Description> {
    let body = endpoint.call(node, &DESCRIBE, Vec::new()).await.ok()?;
    let limit = usize::try_from(DESCRIBE.response_bytes_max).expect("u32 fits usize");
    let description: Description = canonical::decode(&body, limit).ok()?;
    (description.identity == *node).then_some(description)
}

/// One witness: from the size it is believed to have, and once more from the size it says it has.
async fn ask(
    endpoint: &Endpoint,
    node: &PublicIdentity,
    files: &LogFiles,
    note: &Note,
    mut old_size: u64,
) -> Option<(NoteSignature, u64)> {
    let size = Checkpoint::from_text(note.text()).ok()?.size;
    for _ in 0..2 {
        if old_size > size {
            return None;
        }
        let (reader, from) = (files.clone(), old_size);
        let proof = tokio::task::spawn_blocking(move || reader.prove_consistency(from, size)).await.ok()?;
        let request = AddCheckpoint { old_size, consistency: proof.ok()?, note: note.clone() };
        let body = canonical::encode(&WitnessMessage::AddCheckpoint(request.to_text()));
        let answer = endpoint.call(node, &WITNESS, body).await.ok()?;
        let limit = usize::try_from(WITNESS.response_bytes_max).expect("u32 fits usize");
        match canonical::decode(&answer, limit).ok()? {
            WitnessMessage::Cosigned(line) => return Some((NoteSignature::from_line(&line).ok()?, size)),
            WitnessMessage::Conflict(other) if other != old_size => old_size = other,
            WitnessMessage::Refused(_) => {
                tracing::error!("a witness refuses the log's checkpoint");
                return None;
            }
            _ => return None,
        }
    }
    None
}
