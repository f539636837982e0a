//! The transparency log on disk: tiles as files, in the layout that C2SP tlog-tiles serves.
//!
//! ```text
//! DIR/checkpoint                      the last checkpoint, a signed note; replaced atomically
//! DIR/tile/0/x001/067[.p/112]         hash tiles      DIR/tile/entries/x001/067[.p/112]    leaves
//! DIR/lock                            held while open
//! ```
//!
//! A batch is durable in this order: its tiles (fsync, then their folders), a new checkpoint beside the old one (fsync),
//! its rename over the old one, the folder. Killed anywhere before the rename, the log is the old one, and what lies
//! beyond its checkpoint is overwritten by the next batch; killed after it, the log is the new one. Nobody sees a
//! checkpoint whose tiles are not durable, so a log that comes back never contradicts what it published.
//!
//! [`LogStore`] appends one batch at a time; [`LogAppender`] gathers the leaves of many callers into batches.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use sealgrid_protocol::log::note::{NOTE_LENGTH_MAX, Note, NoteSignature};
use sealgrid_protocol::log::tile::{self, TileId, TileKind, TileNodes, Tiles};
use sealgrid_protocol::log::tree::{self, TreeHash};
use sealgrid_protocol::log::writer::{Batch, Writer};
use sealgrid_protocol::log::{Checkpoint, LEAF_LENGTH_MAX, LogError, LogProof, LogRoots};
use sealgrid_seal::identity::SigningIdentity;
use tokio::sync::{mpsc, oneshot};

/// Leaves in one batch at most: bounds the memory of a batch (with leaves of 200 bytes about 2 MiB).
pub const BATCH_LEAVES_MAX: usize = 8192;

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
        match read_bounded(&self.dir.join("checkpoint"), NOTE_LENGTH_MAX as u64) {
            Ok(bytes) => Ok(Some(Note::parse(&bytes)?)),
            Err(LogStoreError::Disk { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
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
    /// A write failed: what is on disk is the last checkpoint, what is in memory is not.
    failed: bool,
    _lock: File,
}

impl LogStore {
    /// Opens the log called `origin` in `dir`, or starts it with a checkpoint of the empty tree.
    ///
    /// # Errors
    /// [`LogStoreError::Taken`]; [`LogStoreError::Log`] when the checkpoint is not signed by `signer` for `origin` or the
    /// tiles do not fit it; [`LogStoreError::Disk`].
    pub fn open(dir: &Path, origin: &str, signer: SigningIdentity) -> Result<Self, LogStoreError> {
        fs::create_dir_all(dir).map_err(disk("create", dir))?;
        let lock = take_lock(dir)?;
        let files = LogFiles::new(dir);
        let roots = LogRoots::new(origin, signer.public(), Vec::new(), 0)?;
        let (writer, note) = match files.checkpoint()? {
            Some(note) => (Writer::resume(&roots.verify_signed(&note)?.checkpoint, &files)?, note),
            None => {
                let empty = Checkpoint { origin: origin.to_owned(), size: 0, root: TreeHash::empty() };
                let note = empty.sign(&signer)?;
                replace_checkpoint(dir, &note)?;
                (Writer::new(), note)
            }
        };
        Ok(Self { files, origin: origin.to_owned(), signer, writer, note, failed: false, _lock: lock })
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
            self.publish(&batch)?;
            self.failed = false;
        }
        Ok(first)
    }

    fn publish(&mut self, batch: &Batch) -> Result<(), LogStoreError> {
        let mut folders = BTreeSet::new();
        for (id, bytes) in &batch.tiles {
            let path = self.files.path(*id);
            write_durably(&path, bytes, &mut folders)?;
        }
        for folder in &folders {
            sync_folder(folder)?;
        }
        let note = batch.checkpoint(&self.origin).sign(&self.signer)?;
        replace_checkpoint(&self.files.dir, &note)?;
        self.note = note;
        self.drop_partials(batch);
        Ok(())
    }

    /// Removes the partial tiles that a full one has taken the place of. They are harmless where that fails.
    fn drop_partials(&self, batch: &Batch) {
        for (id, _) in batch.tiles.iter().filter(|(id, _)| id.width == tile::TILE_WIDTH) {
            let mut partials = self.files.path(*id).into_os_string();
            partials.push(".p");
            let _ = fs::remove_dir_all(partials);
        }
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
        replace_checkpoint(&self.files.dir, &note)?;
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

/// Writes one file and fsyncs it; notes in `folders` which folders got a new entry.
fn write_durably(path: &Path, bytes: &[u8], folders: &mut BTreeSet<PathBuf>) -> Result<(), LogStoreError> {
    let folder = path.parent().expect("a tile lies in a folder");
    if !folder.exists() {
        // Every new folder is an entry of the one above it.
        let existing = folder.ancestors().find(|above| above.exists());
        folders.extend(folder.ancestors().take_while(|above| Some(*above) != existing).map(Path::to_owned));
        folders.extend(existing.map(Path::to_owned));
        fs::create_dir_all(folder).map_err(disk("create", folder))?;
    }
    folders.insert(folder.to_owned());
    File::create(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_data()))
        .map_err(disk("write", path))
}

fn replace_checkpoint(dir: &Path, note: &Note) -> Result<(), LogStoreError> {
    let (path, new) = (dir.join("checkpoint"), dir.join("checkpoint.new"));
    File::create(&new)
        .and_then(|mut file| file.write_all(note.to_text().as_bytes()).and_then(|()| file.sync_data()))
        .map_err(disk("write", &new))?;
    fs::rename(&new, &path).map_err(disk("replace", &path))?;
    sync_folder(dir)
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
    fn a_batch_that_was_never_published_is_overwritten() {
        let dir = tempfile::tempdir().expect("a folder");
        open(dir.path()).append(&leaves(0..250)).expect("room");
        let published = fs::read(dir.path().join("checkpoint")).expect("there");
        let mut store = open(dir.path());
        store.append(&[b"never seen"; 600]).expect("room");
        drop(store);
        // As if killed before the rename: everything was written but the checkpoint. One tile is torn as well.
        fs::write(dir.path().join("checkpoint"), published).expect("writable");
        fs::write(dir.path().join("tile/0/001"), [1; 100]).expect("writable");
        let mut store = open(dir.path());
        assert_eq!(store.append(&leaves(250..900)).expect("room"), 250);
        check(dir.path(), 900);
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
