//! The transparency log on disk: tiles as files, in the layout that C2SP tlog-tiles serves, and a journal.
//!
//! ```text
//! DIR/checkpoint                      the last checkpoint, a signed note; replaced atomically
//! DIR/tile/0/x001/067[.p/112]         hash tiles      DIR/tile/entries/x001/067[.p/112]    leaves
//! DIR/journal.0  DIR/journal.1        batches whose tiles may not be on disk yet (log_record)
//! DIR/settled                         the checkpoint up to which all tiles are on disk, a signed note
//! DIR/lock                            held while open
//! ```
//!
//! A tile's file costs an fsync, and a batch has dozens; so a batch is made durable as one record of the journal, with
//! one fsync, and its tiles are left to the system to write. In order: tiles (not synced), the journal's record (synced),
//! a new checkpoint beside the old one, its rename over the old one; then callers are answered. When a file of the journal
//! is full the other one takes over, and a thread *settles* the first: it syncs the tiles, then `settled`; only then is
//! the file written over. Opening starts from `settled`, appends what the journal holds beyond it, and settles that.
//!
//! Killed, or without power, anywhere before the record is on disk, the log is the old one, and what lies beyond its
//! checkpoint is overwritten by the next batch; after it, the log is the new one. Nobody sees a checkpoint that the journal
//! does not hold, so a log that comes back never contradicts what it published; one whose journal was lost beside a
//! checkpoint that was not refuses to open.
//!
//! [`LogStore`] appends one batch at a time; [`LogAppender`] gathers the leaves of many callers into batches.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread::{self, JoinHandle};

use sealgrid_protocol::log::note::{NOTE_LENGTH_MAX, Note, NoteSignature};
use sealgrid_protocol::log::tile::{self, TileId, TileKind, TileNodes, Tiles};
use sealgrid_protocol::log::tree::{self, TreeHash};
use sealgrid_protocol::log::writer::{Batch, Writer};
use sealgrid_protocol::log::{Checkpoint, LEAF_LENGTH_MAX, LogError, LogProof, LogRoots};
use sealgrid_seal::identity::SigningIdentity;
use tokio::sync::{mpsc, oneshot};

use crate::journal::{Entry, Journal};
use crate::log_record::{JOURNAL, LogRecord};

const CHECKPOINT: &str = "checkpoint";
const SETTLED: &str = "settled";

/// Leaves in one batch at most: bounds the memory of a batch (with leaves of 200 bytes about 2 MiB).
pub const BATCH_LEAVES_MAX: usize = 8192;

/// Threads that wait for the disk together while tiles are settled: what one waits for, the others get for nothing.
const SETTLE_THREADS: usize = 8;

/// Bytes of an entry bundle at most: 256 leaves of 65,535 bytes and their lengths.
const BUNDLE_LENGTH_MAX: u64 = 256 * (LEAF_LENGTH_MAX as u64 + 2);

/// Why the log cannot be opened, read or appended to.
#[derive(Debug, thiserror::Error)]
pub enum LogStoreError {
    /// Another process has it open.
    #[error("log in {0} is open elsewhere")]
    Taken(PathBuf),
    /// A file cannot be read or written.
    #[error("cannot {action} {path}")]
    Disk {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is no leaf, or no tree, of this number.
    #[error("log has {size} leaves")]
    OutOfRange {
        /// Leaves in the log.
        size: u64,
    },
    /// The published checkpoint is ahead of what the journal and the tiles hold.
    #[error("log holds {found} leaves where {published} were published")]
    Behind {
        /// Leaves on disk.
        found: u64,
        /// Leaves of the published checkpoint.
        published: u64,
    },
    /// The writer has stopped after an error; the log has to be opened again.
    #[error("log stopped after a failed write")]
    Stopped,
    /// What is on disk does not verify, or a leaf is too long.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl LogStoreError {
    /// The code in docs/reference/errors/log.md.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Taken(_) => "E-STO-21",
            Self::Disk { .. } => "E-STO-22",
            Self::OutOfRange { .. } => "E-STO-23",
            Self::Stopped => "E-STO-24",
            Self::Behind { .. } => "E-STO-25",
            Self::Log(error) => error.code(),
        }
    }
}

fn disk<'p>(action: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> LogStoreError + use<'p> {
    move |source| LogStoreError::Disk { action, path: path.to_owned(), source }
}

/// The files of a log, read only. Any number of readers may be open beside the one writer.
#[derive(Clone, Debug)]
pub struct LogFiles {
    dir: PathBuf,
}

impl LogFiles {
    /// The files under `dir`.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The last checkpoint as it was published, with the cosignatures it got.
    ///
    /// # Errors
    /// [`LogStoreError::Disk`], [`LogStoreError::Log`].
    pub fn checkpoint(&self) -> Result<Option<Note>, LogStoreError> {
        read_note(&self.dir.join(CHECKPOINT))
    }

    /// The proof that leaf `index` is in the tree of `note`, a checkpoint of this log.
    ///
    /// # Errors
    /// [`LogStoreError::OutOfRange`] when the tree has no such leaf; otherwise [`LogStoreError::Disk`] or
    /// [`LogStoreError::Log`].
    pub fn prove(&self, index: u64, note: Note) -> Result<LogProof, LogStoreError> {
        let size = Checkpoint::from_text(note.text())?.size;
        if index >= size {
            return Err(LogStoreError::OutOfRange { size });
        }
        let inclusion = tree::inclusion_proof(&TileNodes { tiles: self, size }, index, size)?;
        Ok(LogProof { index, inclusion, note })
    }

    /// The proof that the tree of `new_size` leaves extends the one of `old_size`.
    ///
    /// # Errors
    /// As [`LogFiles::prove`].
    pub fn prove_consistency(&self, old_size: u64, new_size: u64) -> Result<Vec<TreeHash>, LogStoreError> {
        if old_size > new_size {
            return Err(LogStoreError::OutOfRange { size: new_size });
        }
        tree::consistency_proof(&TileNodes { tiles: self, size: new_size }, old_size, new_size)
    }

    /// The leaf at `index` of the tree of `size` leaves.
    ///
    /// # Errors
    /// As [`LogFiles::prove`].
    pub fn leaf(&self, index: u64, size: u64) -> Result<Vec<u8>, LogStoreError> {
        let out_of_range = || LogStoreError::OutOfRange { size };
        let id = tile::tile_in_tree(TileKind::Entries, index / 256, size).ok_or_else(out_of_range)?;
        let bundle = self.read(id)?;
        let entries = tile::entries(id, &bundle)?;
        let within = usize::try_from(index % 256).expect("below 256");
        entries.get(within).map(|leaf| leaf.to_vec()).ok_or_else(out_of_range)
    }

    fn path(&self, tile: TileId) -> PathBuf {
        self.dir.join(tile.to_string())
    }
}

impl Tiles for LogFiles {
    type Error = LogStoreError;

    /// A partial tile that is gone is cut out of the full one.
    fn read(&self, tile: TileId) -> Result<Vec<u8>, LogStoreError> {
        let limit = match tile.kind {
            TileKind::Hashes { .. } => tile::TILE_LENGTH_MAX as u64,
            TileKind::Entries => BUNDLE_LENGTH_MAX,
        };
        match read_bounded(&self.path(tile), limit) {
            Err(LogStoreError::Disk { source, .. })
                if source.kind() == io::ErrorKind::NotFound && tile.width < tile::TILE_WIDTH =>
            {
                read_bounded(&self.path(TileId { width: tile::TILE_WIDTH, ..tile }), limit)
            }
            result => result,
        }
    }
}

fn read_note(path: &Path) -> Result<Option<Note>, LogStoreError> {
    match read_bounded(path, NOTE_LENGTH_MAX as u64) {
        Ok(bytes) => Ok(Some(Note::parse(&bytes)?)),
        Err(LogStoreError::Disk { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, LogStoreError> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(disk("read", path))?;
    Ok(bytes)
}

/// The one writer of a log.
#[derive(Debug)]
pub struct LogStore {
    files: LogFiles,
    origin: String,
    signer: SigningIdentity,
    writer: Writer,
    note: Note,
    journal: Journal,
    unsettled: Unsettled,
    /// The thread that settles what the other file of the journal holds.
    settling: Option<JoinHandle<Result<(), LogStoreError>>>,
    /// Folders of tiles that are known to exist.
    folders: HashSet<PathBuf>,
    /// A write failed: what is on disk is the last checkpoint, what is in memory is not.
    failed: bool,
    _lock: File,
}

/// The newest width of each tile written since the last time all was settled.
type Unsettled = BTreeMap<(TileKind, u64), TileId>;

impl LogStore {
    /// Opens the log called `origin` in `dir`, or starts it with a checkpoint of the empty tree.
    ///
    /// # Errors
    /// [`LogStoreError::Taken`]; [`LogStoreError::Log`] when a checkpoint is not signed by `signer` for `origin` or the
    /// tiles do not fit it; [`LogStoreError::Behind`]; [`LogStoreError::Disk`].
    pub fn open(dir: &Path, origin: &str, signer: SigningIdentity) -> Result<Self, LogStoreError> {
        fs::create_dir_all(dir).map_err(disk("create", dir))?;
        let lock = take_lock(dir)?;
        let files = LogFiles::new(dir);
        let roots = LogRoots::new(origin, signer.public(), Vec::new(), 0)?;
        let (writer, note) = match read_note(&dir.join(SETTLED))? {
            Some(note) => (Writer::resume(&roots.verify_signed(&note)?.checkpoint, &files)?, note),
            None => {
                let empty = Checkpoint { origin: origin.to_owned(), size: 0, root: TreeHash::empty() };
                (Writer::new(), empty.sign(&signer)?)
            }
        };
        let (journal, entries) = Journal::open(dir, JOURNAL).map_err(disk("open the journal in", dir))?;
        let mut store = Self {
            files,
            origin: origin.to_owned(),
            signer,
            writer,
            note,
            journal,
            unsettled: Unsettled::new(),
            settling: None,
            folders: HashSet::new(),
            failed: false,
            _lock: lock,
        };
        store.replay(&entries, &roots)?;
        store.settle()?;
        store.publish_again(&roots)?;
        Ok(store)
    }

    /// Appends what the journal holds beyond the settled tiles.
    fn replay(&mut self, entries: &[Entry], roots: &LogRoots) -> Result<(), LogStoreError> {
        let mut last = None;
        for record in entries.iter().filter_map(LogRecord::read) {
            // Others were settled before; a gap cannot be, for each file is written in order.
            if record.first == self.writer.size() && !record.leaves.is_empty() {
                for leaf in &record.leaves {
                    self.writer.append(leaf)?;
                }
                last = Some(record.note);
            }
        }
        let (Some(last), Some(batch)) = (last, self.writer.commit()) else { return Ok(()) };
        let note = Note::parse(&last)?;
        let signed = roots.verify_signed(&note)?.checkpoint;
        if (signed.size, signed.root) != (batch.size, batch.root) {
            return Err(LogError::BadTile { path: "journal".to_owned() }.into());
        }
        self.write_tiles(&batch)?;
        self.note = note;
        Ok(())
    }

    /// Publishes the checkpoint that was found, with the cosignatures it had if it was published before.
    fn publish_again(&mut self, roots: &LogRoots) -> Result<(), LogStoreError> {
        // Not synced when it was written: where power was lost it may be anything.
        let published = self.files.checkpoint().ok().flatten();
        if let Some(published) = published
            && let Ok(trusted) = roots.verify_signed(&published)
        {
            let (found, published_size) = (self.writer.size(), trusted.checkpoint.size);
            if published_size > found {
                return Err(LogStoreError::Behind { found, published: published_size });
            }
            if published.text() == self.note.text() {
                self.note = published;
            }
        }
        replace_note(&self.files.dir, CHECKPOINT, &self.note, Sync::No)
    }

    /// The files, for reading.
    #[must_use]
    pub fn files(&self) -> &LogFiles {
        &self.files
    }

    /// The last checkpoint.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// Leaves in the log.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.writer.size()
    }

    /// Appends `leaves` as one batch; answers the index of the first. They are durable, and the checkpoint that commits
    /// to them is published, when this returns.
    ///
    /// # Errors
    /// [`LogStoreError::Log`] when a leaf is too long: then none is appended. [`LogStoreError::Disk`] and, from then on,
    /// [`LogStoreError::Stopped`] until the log is opened again.
    pub fn append<L: AsRef<[u8]>>(&mut self, leaves: &[L]) -> Result<u64, LogStoreError> {
        if self.failed {
            return Err(LogStoreError::Stopped);
        }
        if let Some(leaf) = leaves.iter().find(|leaf| leaf.as_ref().len() > LEAF_LENGTH_MAX) {
            return Err(LogError::LeafTooLong { length: leaf.as_ref().len() }.into());
        }
        let first = self.writer.size();
        for leaf in leaves {
            self.writer.append(leaf.as_ref())?;
        }
        if let Some(batch) = self.writer.commit() {
            self.failed = true;
            self.publish(first, leaves, &batch)?;
            self.failed = false;
        }
        Ok(first)
    }

    fn publish<L: AsRef<[u8]>>(
        &mut self,
        first: u64,
        leaves: &[L],
        batch: &Batch,
    ) -> Result<(), LogStoreError> {
        self.write_tiles(batch)?;
        let note = batch.checkpoint(&self.origin).sign(&self.signer)?;
        let record = LogRecord::encode(first, leaves, &note.to_text());
        self.journal.append(&record).map_err(disk("write the journal in", &self.files.dir))?;
        replace_note(&self.files.dir, CHECKPOINT, &note, Sync::No)?;
        self.note = note;
        if self.journal.is_full() { self.turn() } else { Ok(()) }
    }

    /// Writes tiles without waiting for the disk.
    fn write_tiles(&mut self, batch: &Batch) -> Result<(), LogStoreError> {
        for (id, bytes) in &batch.tiles {
            let path = self.files.path(*id);
            let folder = path.parent().expect("a tile lies in a folder");
            if !self.folders.contains(folder) {
                fs::create_dir_all(folder).map_err(disk("create", folder))?;
                self.folders.insert(folder.to_owned());
            }
            fs::write(&path, bytes).map_err(disk("write", &path))?;
            self.unsettled.insert((id.kind, id.index), *id);
        }
        Ok(())
    }

    /// Lets the other file of the journal take over while this one is settled. Waits when that one is not settled yet.
    fn turn(&mut self) -> Result<(), LogStoreError> {
        self.wait_until_settled()?;
        let (files, note, tiles) =
            (self.files.clone(), self.note.clone(), std::mem::take(&mut self.unsettled));
        let thread = thread::Builder::new().name("log-settle".to_owned());
        let settling = thread.spawn(move || settle(&files, &note, &tiles));
        self.settling = Some(settling.map_err(disk("start a thread for", &self.files.dir))?);
        self.folders.clear(); // only so that it does not grow for ever
        self.journal.turn();
        Ok(())
    }

    fn wait_until_settled(&mut self) -> Result<(), LogStoreError> {
        match self.settling.take() {
            Some(settling) => settling.join().map_err(|_| LogStoreError::Stopped)?,
            None => Ok(()),
        }
    }

    /// Waits until everything appended lies in tiles on disk, so that opening has nothing to do.
    ///
    /// # Errors
    /// [`LogStoreError::Disk`].
    pub fn settle(&mut self) -> Result<(), LogStoreError> {
        self.wait_until_settled()?;
        settle(&self.files, &self.note, &std::mem::take(&mut self.unsettled))
    }

    /// Adds witnesses' lines to the published checkpoint. Lines for another text are the caller's to keep out
    /// ([`LogRoots::verify`]); an equal line is kept once.
    ///
    /// # Errors
    /// [`LogStoreError::Disk`].
    pub fn add_cosignatures(
        &mut self,
        lines: impl IntoIterator<Item = NoteSignature>,
    ) -> Result<(), LogStoreError> {
        let mut note = self.note.clone();
        for line in lines {
            note.add(line);
        }
        // Not synced: who got a proof has the lines, and witnesses give them again.
        replace_note(&self.files.dir, CHECKPOINT, &note, Sync::No)?;
        self.note = note;
        Ok(())
    }
}

fn take_lock(dir: &Path) -> Result<File, LogStoreError> {
    let path = dir.join("lock");
    let lock =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(disk("open", &path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(LogStoreError::Taken(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(disk("lock", &path)(source)),
    }
}

/// Waits until `tiles` are on disk, then says so in `settled`, then removes the partial tiles that full ones have taken
/// the place of: the checkpoint that was settled before may need them until then.
fn settle(files: &LogFiles, note: &Note, tiles: &Unsettled) -> Result<(), LogStoreError> {
    let paths: Vec<PathBuf> = tiles.values().map(|id| files.path(*id)).collect();
    let folders: BTreeSet<PathBuf> = paths
        .iter()
        .flat_map(|path| path.ancestors().skip(1).take_while(|folder| folder.starts_with(&files.dir)))
        .map(Path::to_owned)
        .collect();
    sync_all(&paths)?;
    sync_all(&folders.into_iter().collect::<Vec<_>>())?;
    replace_note(&files.dir, SETTLED, note, Sync::Yes)?;
    for id in tiles.values().filter(|id| id.width == tile::TILE_WIDTH) {
        let mut partials = files.path(*id).into_os_string();
        partials.push(".p");
        // Harmless where that fails.
        let _ = fs::remove_dir_all(partials);
    }
    Ok(())
}

/// Syncs files and folders, several at a time.
fn sync_all(paths: &[PathBuf]) -> Result<(), LogStoreError> {
    let left = Mutex::new(paths.iter());
    let sync = || {
        loop {
            let next = left.lock().expect("nothing panics while it is held").next();
            let Some(path) = next else { return Ok(()) };
            File::open(path).and_then(|file| file.sync_all()).map_err(disk("sync", path))?;
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (1..SETTLE_THREADS.min(paths.len())).map(|_| scope.spawn(sync)).collect();
        let own = sync();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| LogStoreError::Stopped)?)
            .fold(own, Result::and)
    })
}

/// Whether to wait for the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sync {
    Yes,
    No,
}

fn replace_note(dir: &Path, name: &str, note: &Note, sync: Sync) -> Result<(), LogStoreError> {
    let (path, new) = (dir.join(name), dir.join(format!("{name}.new")));
    File::create(&new)
        .and_then(|mut file| {
            file.write_all(note.to_text().as_bytes())?;
            if sync == Sync::Yes { file.sync_data() } else { Ok(()) }
        })
        .map_err(disk("write", &new))?;
    fs::rename(&new, &path).map_err(disk("replace", &path))?;
    if sync == Sync::Yes { sync_folder(dir) } else { Ok(()) }
}

fn sync_folder(folder: &Path) -> Result<(), LogStoreError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(disk("sync", folder))
}

/// A leaf that is in the log, durably.
#[derive(Clone, Debug)]
pub struct Appended {
    /// Its index.
    pub index: u64,
    /// The first checkpoint that commits to it, not cosigned yet.
    pub note: Note,
}

type Answer = oneshot::Sender<Result<Appended, LogStoreError>>;

/// Appends leaves of many callers in batches: while one batch is being made durable, the next one gathers.
#[derive(Clone, Debug)]
pub struct LogAppender {
    leaves: mpsc::Sender<(Vec<u8>, Answer)>,
}

impl LogAppender {
    /// Moves `store` to a thread of its own. The thread ends, and gives the store back, when every clone of the appender
    /// is dropped.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(store: LogStore) -> io::Result<(Self, std::thread::JoinHandle<LogStore>)> {
        let (leaves, queue) = mpsc::channel(BATCH_LEAVES_MAX);
        let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || serve(store, queue))?;
        Ok((Self { leaves }, thread))
    }

    /// Appends `leaf`; waits while [`BATCH_LEAVES_MAX`] others wait.
    ///
    /// # Errors
    /// As [`LogStore::append`]; a leaf that is too long fails alone.
    pub async fn append(&self, leaf: Vec<u8>) -> Result<Appended, LogStoreError> {
        if leaf.len() > LEAF_LENGTH_MAX {
            return Err(LogError::LeafTooLong { length: leaf.len() }.into());
        }
        let (answer, answered) = oneshot::channel();
        self.leaves.send((leaf, answer)).await.map_err(|_| LogStoreError::Stopped)?;
        answered.await.map_err(|_| LogStoreError::Stopped)?
    }
}

fn serve(mut store: LogStore, mut queue: mpsc::Receiver<(Vec<u8>, Answer)>) -> LogStore {
    let mut batch = Vec::new();
    while queue.blocking_recv_many(&mut batch, BATCH_LEAVES_MAX) > 0 {
        let (leaves, answers): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
        match store.append(&leaves) {
            Ok(first) => {
                for (index, answer) in (first..).zip(answers) {
                    // Whoever stopped waiting has a leaf in the log all the same.
                    let _ = answer.send(Ok(Appended { index, note: store.note.clone() }));
                }
            }
            Err(error) => {
                tracing::error!(code = error.code(), "the log cannot be written");
                for answer in answers {
                    let _ = answer.send(Err(LogStoreError::Stopped));
                }
            }
        }
    }
    store
}

#[cfg(test)]
mod tests {
    use std::io::BufRead as _;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use sealgrid_seal::secret::Secret;

    use super::*;

    const ORIGIN: &str = "example.com/log";

    fn signer() -> SigningIdentity {
        SigningIdentity::from_seed(&Secret::new([1; 32]))
    }

    fn roots() -> LogRoots {
        LogRoots::new(ORIGIN, signer().public(), vec![], 0).expect("sound")
    }

    fn open(dir: &Path) -> LogStore {
        LogStore::open(dir, ORIGIN, signer()).expect("opens")
    }

    fn leaf(index: u64) -> Vec<u8> {
        format!("leaf {index}").into_bytes()
    }

    fn leaves(range: std::ops::Range<u64>) -> Vec<Vec<u8>> {
        range.map(leaf).collect()
    }

    /// Every leaf is there and proven against the published checkpoint.
    fn check(dir: &Path, size: u64) {
        let files = LogFiles::new(dir);
        let note = files.checkpoint().expect("readable").expect("published");
        for index in 0..size {
            let proof = files.prove(index, note.clone()).expect("tiles are there");
            proof.verify(&leaf(index), &roots()).expect("included");
            if index % 97 == 0 {
                assert_eq!(files.leaf(index, size).expect("readable"), leaf(index));
            }
        }
    }

    #[test]
    fn what_was_appended_is_there_after_opening_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut size = 0;
        for count in [1, 3, 252, 1, 300] {
            let mut store = open(dir.path());
            assert_eq!(store.append(&leaves(size..size + count)).expect("room"), size);
            size += count;
            assert_eq!(store.size(), size);
        }
        check(dir.path(), size);
        assert!(!dir.path().join("tile/0/000.p").exists(), "partial tiles go when the full one comes");
        assert!(dir.path().join("tile/entries/002.p/45").exists());
    }

    #[test]
    fn an_older_checkpoint_is_still_proven_and_extended() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut store = open(dir.path());
        store.append(&leaves(0..200)).expect("room");
        let old = store.note().clone();
        store.append(&leaves(200..700)).expect("room");
        let proof = store.files().prove(7, old.clone()).expect("the full tile serves the partial one");
        proof.verify(&leaf(7), &roots()).expect("included");
        let consistency = store.files().prove_consistency(200, 700).expect("tiles are there");
        let old = Checkpoint::from_text(old.text()).expect("a checkpoint");
        let new = Checkpoint::from_text(store.note().text()).expect("a checkpoint");
        tree::verify_consistency(200, &old.root, 700, &new.root, &consistency).expect("an extension");
    }

    #[test]
    fn a_batch_that_was_never_durable_is_overwritten() {
        let dir = tempfile::tempdir().expect("a folder");
        open(dir.path()).append(&leaves(0..250)).expect("room");
        let mut store = open(dir.path());
        let before = Kept::of(dir.path());
        store.append(&[b"never seen"; 600]).expect("room");
        drop(store);
        // As if killed before the journal's record: tiles were written, one of them torn, nothing else.
        before.restore();
        fs::write(dir.path().join("tile/0/001"), [1; 100]).expect("writable");
        let mut store = open(dir.path());
        assert_eq!(store.append(&leaves(250..900)).expect("room"), 250);
        check(dir.path(), 900);
    }

    /// The files that say what the log is, as they were.
    struct Kept(Vec<(PathBuf, Option<Vec<u8>>)>);

    impl Kept {
        fn of(dir: &Path) -> Self {
            let names = ["checkpoint", "settled", "journal.0", "journal.1"];
            Self(names.map(|name| (dir.join(name), fs::read(dir.join(name)).ok())).into())
        }

        fn restore(&self) {
            for (path, bytes) in &self.0 {
                match bytes {
                    Some(bytes) => fs::write(path, bytes).expect("writable"),
                    None => fs::remove_file(path).expect("removable"),
                }
            }
        }

        fn bytes(&self, name: &str) -> &[u8] {
            let kept = self.0.iter().find(|(path, _)| path.ends_with(name));
            kept.and_then(|(_, bytes)| bytes.as_deref()).expect("it was there")
        }
    }

    #[test]
    fn a_torn_record_is_as_if_it_was_never_written() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut store = open(dir.path());
        store.append(&leaves(0..30)).expect("room");
        let before = Kept::of(dir.path());
        store.append(&leaves(30..80)).expect("room");
        drop(store);
        let after = Kept::of(dir.path());
        let (start, whole) = (before.bytes("journal.0").len(), after.bytes("journal.0"));
        let torn = |journal: &[u8]| {
            before.restore();
            fs::write(dir.path().join("journal.0"), journal).expect("writable");
            let mut store = open(dir.path());
            assert_eq!(store.size(), 30);
            assert_eq!(store.append(&leaves(30..33)).expect("room"), 30);
            drop(store);
            check(dir.path(), 33);
        };
        for length in (start..whole.len()).step_by(97).chain([whole.len() - 1]) {
            torn(&whole[..length]);
        }
        // The end of the record on disk and its middle not, as disks may have it.
        for sector in (start + 1..whole.len()).step_by(200) {
            let mut journal = whole.to_vec();
            let end = whole.len().min(sector + 64);
            journal[sector..end].fill(0);
            torn(&journal);
        }
    }

    #[test]
    fn tiles_that_power_was_lost_before_writing_come_back_from_the_journal() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut store = open(dir.path());
        store.append(&leaves(0..300)).expect("room");
        store.settle().expect("room");
        let on_disk = tiles_of(dir.path());
        store.append(&leaves(300..700)).expect("room");
        store.append(&leaves(700..1000)).expect("room");
        drop(store);
        for path in tiles_of(dir.path()).difference(&on_disk) {
            fs::write(path, b"").expect("writable");
        }
        fs::write(dir.path().join("checkpoint"), [0; 64]).expect("writable");
        assert_eq!(open(dir.path()).size(), 1000);
        check(dir.path(), 1000);
    }

    fn tiles_of(dir: &Path) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        let mut folders = vec![dir.join("tile")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("readable") {
                let path = entry.expect("readable").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.insert(path);
                }
            }
        }
        found
    }

    #[test]
    fn a_log_that_lost_what_it_published_is_not_opened() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut store = open(dir.path());
        store.append(&leaves(0..30)).expect("room");
        let journal = fs::read(dir.path().join("journal.0")).expect("there");
        store.append(&leaves(30..40)).expect("room");
        drop(store);
        fs::write(dir.path().join("journal.0"), journal).expect("writable");
        let error = LogStore::open(dir.path(), ORIGIN, signer()).expect_err("ten leaves are gone");
        assert_eq!(error.code(), "E-STO-25");
        assert_eq!(error.to_string(), "log holds 30 leaves where 40 were published");
    }

    #[test]
    fn the_files_of_the_journal_take_turns_and_stay_short() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut store = open(dir.path());
        let mut size = 0;
        for count in (0..100).map(|round| 1 + round * 37 % 500) {
            store.append(&leaves(size..size + count)).expect("room");
            size += count;
        }
        drop(store);
        for number in 0..2 {
            let length =
                fs::metadata(crate::journal::path(dir.path(), JOURNAL.stem, number)).expect("there").len();
            assert!((1..128 << 10).contains(&length), "{length}");
        }
        assert_eq!(open(dir.path()).size(), size);
        check(dir.path(), size);
    }

    #[test]
    fn each_refusal_has_its_code() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut store = open(dir.path());
        let again = LogStore::open(dir.path(), ORIGIN, signer()).expect_err("one writer only");
        assert_eq!(again.code(), "E-STO-21");
        let too_long = store.append(&[vec![0; LEAF_LENGTH_MAX + 1]]).expect_err("too long");
        assert_eq!(too_long.code(), "E-LOG-08");
        store.append(&leaves(0..3)).expect("the log goes on");
        let note = store.note().clone();
        assert_eq!(store.files().prove(3, note).expect_err("no such leaf").code(), "E-STO-23");
        assert_eq!(store.files().leaf(300, 3).expect_err("no such leaf").code(), "E-STO-23");

        // The folder of tiles becomes a file: nothing can be written any more, and the log says so until reopened.
        fs::rename(dir.path().join("tile"), dir.path().join("tile.away")).expect("renames");
        fs::write(dir.path().join("tile"), b"").expect("writable");
        assert_eq!(store.append(&leaves(3..4)).expect_err("no folder").code(), "E-STO-22");
        assert_eq!(store.append(&leaves(3..4)).expect_err("stopped").code(), "E-STO-24");
        drop(store);
        fs::remove_file(dir.path().join("tile")).expect("removable");
        fs::rename(dir.path().join("tile.away"), dir.path().join("tile")).expect("renames");
        assert_eq!(open(dir.path()).append(&leaves(3..4)).expect("room"), 3);
        check(dir.path(), 4);
    }

    #[test]
    fn a_foreign_checkpoint_or_changed_tile_is_not_opened() {
        let dir = tempfile::tempdir().expect("a folder");
        open(dir.path()).append(&leaves(0..10)).expect("room");
        let code = |origin, seed| {
            let signer = SigningIdentity::from_seed(&Secret::new([seed; 32]));
            LogStore::open(dir.path(), origin, signer).expect_err("must be refused").code()
        };
        assert_eq!(code(ORIGIN, 2), "E-LOG-03");
        assert_eq!(code("example.com/other", 1), "E-LOG-02");
        drop(open(dir.path()));
        let tile = dir.path().join("tile/0/000.p/10");
        let mut bytes = fs::read(&tile).expect("there");
        bytes[0] ^= 1;
        fs::write(&tile, bytes).expect("writable");
        assert_eq!(code(ORIGIN, 1), "E-LOG-10");
    }

    #[test]
    fn cosignatures_stay_with_the_checkpoint() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut store = open(dir.path());
        store.append(&leaves(0..1)).expect("room");
        let witness = SigningIdentity::from_seed(&Secret::new([2; 32]));
        let line = store.note().cosign("example.com/witness", &witness, 7).expect("a name");
        store.add_cosignatures([line]).expect("writable");
        drop(store);
        assert_eq!(open(dir.path()).note().signatures().len(), 2);
    }

    #[tokio::test]
    async fn leaves_of_many_callers_share_batches() {
        let dir = tempfile::tempdir().expect("a folder");
        let (appender, thread) = LogAppender::start(open(dir.path())).expect("a thread");
        let mut calls = tokio::task::JoinSet::new();
        for index in 0..1000 {
            let appender = appender.clone();
            calls.spawn(async move { (index, appender.append(leaf(index)).await) });
        }
        let files = LogFiles::new(dir.path());
        let mut sizes = BTreeSet::new();
        while let Some(call) = calls.join_next().await {
            let (index, appended) = call.expect("no panic");
            let Appended { index: position, note } = appended.expect("room");
            sizes.insert(Checkpoint::from_text(note.text()).expect("a checkpoint").size);
            let proof = files.prove(position, note).expect("tiles are there");
            proof.verify(&leaf(index), &roots()).expect("included in the checkpoint it was answered with");
        }
        assert!(sizes.len() < 500, "{} batches for 1000 leaves", sizes.len());
        let too_long = appender.append(vec![0; LEAF_LENGTH_MAX + 1]).await.expect_err("too long");
        assert_eq!(too_long.code(), "E-LOG-08");
        drop(appender);
        assert_eq!(thread.join().expect("no panic").size(), 1000);
    }

    const CHILD_DIR: &str = "SEALGRID_TEST_LOG_DIR";

    /// Not a test by itself: the process that the next test kills. Appends batches of changing size and says what was
    /// acknowledged.
    #[test]
    #[ignore = "run as a child process by the test below"]
    fn child_appends_until_killed() {
        let dir = PathBuf::from(std::env::var_os(CHILD_DIR).expect("given by the parent"));
        let mut store = open(&dir);
        loop {
            let first = store.size();
            store.append(&leaves(first..first + 1 + first % 700)).expect("room");
            let mut out = io::stdout().lock();
            writeln!(out, "acknowledged {}", store.size())
                .and_then(|()| out.flush())
                .expect("the parent reads");
        }
    }

    #[test]
    fn a_killed_log_comes_back_with_everything_it_acknowledged() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut published: Vec<Checkpoint> = Vec::new();
        for round in 0..12u64 {
            let mut child = Command::new(std::env::current_exe().expect("known"))
                .args(["--exact", "log_store::tests::child_appends_until_killed", "--ignored", "--nocapture"])
                .env(CHILD_DIR, dir.path())
                .stdout(Stdio::piped())
                .spawn()
                .expect("starts");
            let mut lines = io::BufReader::new(child.stdout.take().expect("piped")).lines();
            let mut acknowledged = || {
                lines.by_ref().find_map(|line| line.ok()?.split_once("acknowledged ")?.1.parse::<u64>().ok())
            };
            let first = acknowledged().expect("the child appends");
            std::thread::sleep(Duration::from_micros(1500 * round * round % 17_000));
            child.kill().expect("kill -9");
            child.wait().expect("ended");
            let last = std::iter::from_fn(&mut acknowledged).last().unwrap_or(first);

            let store = open(dir.path());
            assert!(store.size() >= last, "{} leaves, {last} were acknowledged", store.size());
            let now = Checkpoint::from_text(store.note().text()).expect("a checkpoint");
            for old in &published {
                let proof = store.files().prove_consistency(old.size, now.size).expect("tiles are there");
                tree::verify_consistency(old.size, &old.root, now.size, &now.root, &proof)
                    .expect("an extension");
            }
            for index in [0, last / 2, last - 1, now.size - 1] {
                let proof = store.files().prove(index, store.note().clone()).expect("tiles are there");
                proof.verify(&leaf(index), &roots()).expect("included");
            }
            published.push(now);
        }
    }
}
