//! What a node must still know after `kill -9`: a journal, and one redb file behind it, written by one thread in groups.
//!
//! What it must achieve:
//! 1. *Durable means durable.* [`State::put`] returns after the write that holds the value was synced.
//! 2. *Many small writes at once are cheap.* One sync of the disk carries everything that waits: the thread takes
//!    what has queued while it was syncing and writes it together.
//! 3. *One small write is cheap, too.* It is one record of the journal, written in one piece over bytes that are there
//!    already; a commit of the database is eight pages in eight places.
//! 4. *Order.* Writes of one caller to one key are applied in the order in which they were asked for.
//! 5. *What nobody waits for costs no sync of its own.* [`State::write_lazily`] rides along with the next write that
//!    somebody waits for, or is written after [`LAZY`].
//! 6. *Bounded.* At most [`QUEUE_MAX`] writes wait; more make the caller wait.
//!
//! ```text
//! DIR/state.redb                  what is settled, and the number of the last record that is
//! DIR/state.journal.0, .1         groups of writes since then: records whose body is [(key, value or null)], canonical
//! ```
//!
//! What the journal holds is in memory, too, until it is full; then it goes into the database in one commit, which also
//! keeps the number, and the journal is written over. Opening applies the records behind that number. A kill at any instant
//! leaves the last whole record of the journal, and redb's last commit (its file is copy-on-write with checksummed roots).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use minicbor::bytes::ByteVec;
use redb::{Database, ReadableDatabase, TableDefinition};
use sealgrid_seal::canonical;
use sealgrid_seal::digest::labels;
use tokio::sync::oneshot;

use crate::journal::{self, Entry as Record, Journal, Kind};

/// Writes that may wait for the thread.
pub const QUEUE_MAX: usize = 4096;
/// Writes that one commit carries at most.
const GROUP_MAX: usize = 1024;
/// How long a lazy write waits for company.
pub const LAZY: Duration = Duration::from_millis(50);
/// Bytes that redb may cache.
const CACHE_BYTES: usize = 64 << 20;

const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("state-v1");
/// Key of the number of the last settled record; no space begins with a zero.
const SETTLED: &[u8] = &[0];

/// The journal. Short in tests, so that its files take turns in all of them.
const JOURNAL: Kind = Kind {
    stem: "state.journal",
    label: labels::STATE_JOURNAL,
    segment_bytes: if cfg!(test) { 8 << 10 } else { 4 << 20 },
    full_length: true,
};

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Whose keys: every machine has a space of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// The node's side of jobs.
    Jobs,
    /// The client's side of jobs.
    Client,
    /// The witness's memory of the log.
    Witness,
    /// Openings of models' registrations that are spent.
    Openings,
}

impl Space {
    const fn prefix(self) -> u8 {
        match self {
            Self::Jobs => 1,
            Self::Client => 2,
            Self::Witness => 3,
            Self::Openings => 4,
        }
    }

    fn key(self, key: &[u8]) -> Vec<u8> {
        [&[self.prefix()], key].concat()
    }
}

/// Why the state cannot be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StateError {
    /// The file cannot be opened, or is not a state.
    #[error("the node's state cannot be opened")]
    Open(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// Reading or writing failed; the disk is full or broken.
    #[error("the node's state cannot be read or written")]
    Disk(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The writing thread has ended after a failed write.
    #[error("the node's state is closed after a failed write")]
    Closed,
}

impl StateError {
    /// The code of the index of errors.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Open(_) => "E-STO-41",
            Self::Disk(_) | Self::Closed => "E-STO-42",
        }
    }

    fn open(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Open(Arc::new(error))
    }

    fn disk(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Disk(Arc::new(error))
    }
}

struct Write {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    /// `None` for a lazy write.
    done: Option<oneshot::Sender<Result<(), StateError>>>,
}

/// A write on its way to the disk.
#[must_use = "nothing may depend on a write before it is durable"]
pub struct Durable(oneshot::Receiver<Result<(), StateError>>);

impl Durable {
    /// Waits until the write is durable.
    ///
    /// # Errors
    /// [`StateError::Disk`] and [`StateError::Closed`].
    pub async fn wait(self) -> Result<(), StateError> {
        self.0.await.map_err(|_| StateError::Closed)?
    }

    /// The same on a thread that may wait, which none of the runtime's is.
    ///
    /// # Errors
    /// As [`Durable::wait`].
    ///
    /// # Panics
    /// On a thread of the runtime.
    pub fn wait_blocking(self) -> Result<(), StateError> {
        self.0.blocking_recv().map_err(|_| StateError::Closed)?
    }
}

/// Keys that were written (`Some`) or deleted (`None`) since the database was.
type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// What is known: the database, and what the journal holds beyond it.
struct Content {
    database: Database,
    changes: RwLock<Changes>,
}

/// The state of one node. Clones share it.
#[derive(Clone)]
pub struct State {
    content: Arc<Content>,
    writes: mpsc::SyncSender<Write>,
}

impl State {
    /// Opens the files, or makes them: `path` is the database's.
    ///
    /// # Errors
    /// [`StateError::Open`].
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(path);
        let content = Content { database: database.map_err(StateError::open)?, changes: RwLock::default() };
        let writer = Writer::open(Arc::new(content), path.parent().unwrap_or(Path::new(".")))?;
        let content = Arc::clone(&writer.content);
        let (writes, queue) = mpsc::sync_channel(QUEUE_MAX);
        thread::Builder::new()
            .name("state".to_owned())
            .spawn(move || writer.run(&queue))
            .map_err(StateError::open)?;
        Ok(Self { content, writes })
    }

    /// Queues a write; the receiver answers when it is durable. Writes are applied in the order of these calls. Blocks
    /// for a moment when [`QUEUE_MAX`] writes wait: the disk is then the bottleneck and nothing else helps.
    pub fn write(&self, space: Space, key: &[u8], value: Option<Vec<u8>>) -> Durable {
        let (done, written) = oneshot::channel();
        let write = Write { key: space.key(key), value, done: Some(done) };
        // A closed queue drops the write and with it `done`, which the receiver sees.
        let _ = self.writes.send(write);
        Durable(written)
    }

    /// Queues a write that nothing depends on; it is durable soon, in its place among the others. Lost when the process
    /// dies before, or when the disk fails, which the next [`State::write`] says.
    pub fn write_lazily(&self, space: Space, key: &[u8], value: Option<Vec<u8>>) {
        let _ = self.writes.send(Write { key: space.key(key), value, done: None });
    }

    /// Makes `value` durable under `key`; `None` deletes.
    ///
    /// # Errors
    /// [`StateError::Disk`] and [`StateError::Closed`]; the state is then as before.
    pub async fn put(&self, space: Space, key: &[u8], value: Option<Vec<u8>>) -> Result<(), StateError> {
        self.write(space, key, value).wait().await
    }

    /// The value under `key`.
    ///
    /// # Errors
    /// [`StateError::Disk`].
    pub fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let key = space.key(key);
        // Held until the database was read: else what is settled in between would be seen in neither.
        let changes = self.content.changes.read().unwrap_or_else(PoisonError::into_inner);
        match changes.get(&key) {
            Some(value) => Ok(value.clone()),
            None => self.content.settled(&key),
        }
    }

    /// Everything in a space, by ascending key.
    ///
    /// # Errors
    /// [`StateError::Disk`].
    pub fn all(&self, space: Space) -> Result<Vec<Entry>, StateError> {
        let (from, to) = (vec![space.prefix()], vec![space.prefix() + 1]);
        let changes = self.content.changes.read().unwrap_or_else(PoisonError::into_inner);
        let mut entries = self.content.all_settled(&from, &to)?;
        for (key, value) in changes.range(from..to) {
            match value {
                Some(value) => entries.insert(key.clone(), value.clone()),
                None => entries.remove(key),
            };
        }
        Ok(entries.into_iter().map(|(key, value)| (key[1..].to_vec(), value)).collect())
    }
}

impl Content {
    fn settled(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let read = self.database.begin_read().map_err(StateError::disk)?;
        let table = read.open_table(TABLE).map_err(StateError::disk)?;
        let value = table.get(key).map_err(StateError::disk)?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    fn all_settled(&self, from: &[u8], to: &[u8]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, StateError> {
        let read = self.database.begin_read().map_err(StateError::disk)?;
        let table = read.open_table(TABLE).map_err(StateError::disk)?;
        let entries = table.range::<&[u8]>(from..to).map_err(StateError::disk)?;
        entries
            .map(|entry| {
                let (key, value) = entry.map_err(StateError::disk)?;
                Ok((key.value().to_vec(), value.value().to_vec()))
            })
            .collect()
    }

    /// Notes what a record holds.
    fn note(&self, body: Body) {
        let mut changes = self.changes.write().unwrap_or_else(PoisonError::into_inner);
        changes.extend(body.into_iter().map(|(key, value)| (key.into(), value.map(Into::into))));
    }

    /// Moves the changes into the database, durably, together with the number of the last record that they came from.
    fn settle(&self, number: u64) -> Result<(), StateError> {
        let mut changes = self.changes.write().unwrap_or_else(PoisonError::into_inner);
        let transaction = self.database.begin_write().map_err(StateError::disk)?;
        {
            let mut table = transaction.open_table(TABLE).map_err(StateError::disk)?;
            for (key, value) in &*changes {
                match value {
                    Some(value) => table.insert(key.as_slice(), value.as_slice()).map(drop),
                    None => table.remove(key.as_slice()).map(drop),
                }
                .map_err(StateError::disk)?;
            }
            table.insert(SETTLED, &number.to_le_bytes()[..]).map_err(StateError::disk)?;
        }
        transaction.commit().map_err(StateError::disk)?;
        changes.clear();
        Ok(())
    }
}

/// The thread's side.
struct Writer {
    content: Arc<Content>,
    journal: Journal,
    /// Number of the last record.
    number: u64,
}

/// The body of a record.
type Body = Vec<(ByteVec, Option<ByteVec>)>;

impl Writer {
    /// Applies what the journal holds beyond the database.
    fn open(content: Arc<Content>, dir: &Path) -> Result<Self, StateError> {
        // A table that exists makes every later read simple.
        let transaction = content.database.begin_write().map_err(StateError::open)?;
        transaction.open_table(TABLE).map_err(StateError::open)?;
        transaction.commit().map_err(StateError::open)?;
        let kept = content.settled(SETTLED)?;
        let settled = match kept.as_deref().map(<[u8; 8]>::try_from) {
            None => 0,
            Some(Ok(number)) => u64::from_le_bytes(number),
            Some(Err(error)) => return Err(StateError::open(error)),
        };
        // A database that has been settled had a journal; without it, promises may be missing that were durable.
        if kept.is_some() && !journal::path(dir, JOURNAL.stem, 0).exists() {
            return Err(StateError::open(std::io::Error::other("its journal is gone")));
        }
        let (journal, records) = Journal::open(dir, JOURNAL).map_err(StateError::open)?;
        let mut writer = Self { content, journal, number: settled };
        let mut newest = settled;
        for record in records {
            newest = newest.max(record.number);
            writer.replay(&record)?;
        }
        // Beside another database's journal: its numbers must not come again.
        writer.number = newest;
        writer.content.settle(writer.number)?;
        Ok(writer)
    }

    /// Others were settled before; a gap cannot be, for each file is written in order.
    fn replay(&mut self, record: &Record) -> Result<(), StateError> {
        if record.number != self.number + 1 {
            return Ok(());
        }
        let body: Body = canonical::decode(&record.body, usize::MAX).map_err(StateError::open)?;
        self.content.note(body);
        self.number = record.number;
        Ok(())
    }

    fn run(mut self, queue: &mpsc::Receiver<Write>) {
        while let Ok(first) = queue.recv() {
            let group = gather(first, queue);
            let (mut changes, mut waiting) = (Vec::new(), Vec::new());
            for Write { key, value, done } in group {
                changes.push((ByteVec::from(key), value.map(ByteVec::from)));
                waiting.extend(done);
            }
            let outcome = self.write(changes);
            let failed = outcome.is_err();
            for done in waiting {
                // Nobody waits any more when the caller was dropped; the value is durable all the same.
                let _ = done.send(outcome.clone());
            }
            // Where writing failed, what the disk holds is unknown: a restart reads it.
            if failed || self.settle_if_full().is_err() {
                return;
            }
        }
    }

    fn write(&mut self, body: Body) -> Result<(), StateError> {
        let bytes = canonical::encode(&body);
        let record =
            journal::record(JOURNAL.label, self.number + 1, |record| record.extend_from_slice(&bytes));
        self.journal.append(&record).map_err(StateError::disk)?;
        self.number += 1;
        self.content.note(body);
        Ok(())
    }

    fn settle_if_full(&mut self) -> Result<(), StateError> {
        if self.journal.is_full() {
            self.content.settle(self.number)?;
            self.journal.turn();
        }
        Ok(())
    }
}

/// What has queued; a write that nobody waits for waits for company.
fn gather(first: Write, queue: &mpsc::Receiver<Write>) -> Vec<Write> {
    let mut group = vec![first];
    let until = Instant::now() + LAZY;
    while group.iter().all(|write| write.done.is_none())
        && group.len() < GROUP_MAX
        && let Ok(next) = queue.recv_timeout(until.saturating_duration_since(Instant::now()))
    {
        group.push(next);
    }
    while group.len() < GROUP_MAX
        && let Ok(next) = queue.try_recv()
    {
        group.push(next);
    }
    group
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_put_is_there_after_reopening_and_spaces_do_not_mix() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.redb");
        {
            let state = State::open(&path).expect("opens");
            state.put(Space::Jobs, b"a", Some(b"1".to_vec())).await.expect("written");
            state.put(Space::Jobs, b"b", Some(b"2".to_vec())).await.expect("written");
            state.put(Space::Witness, b"a", Some(b"3".to_vec())).await.expect("written");
            state.put(Space::Jobs, b"b", None).await.expect("deleted");
        }
        let state = reopen(&path);
        assert_eq!(state.get(Space::Jobs, b"a").expect("read"), Some(b"1".to_vec()));
        assert_eq!(state.get(Space::Jobs, b"b").expect("read"), None);
        assert_eq!(state.all(Space::Jobs).expect("read"), [(b"a".to_vec(), b"1".to_vec())]);
        assert_eq!(state.all(Space::Witness).expect("read"), [(b"a".to_vec(), b"3".to_vec())]);
    }

    #[tokio::test]
    async fn concurrent_puts_are_all_durable_and_the_last_of_a_key_wins() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = State::open(&folder.path().join("state.redb")).expect("opens");
        let puts: Vec<_> = (0u32..500)
            .map(|i| {
                let state = state.clone();
                tokio::spawn(async move { state.put(Space::Jobs, &i.to_be_bytes(), Some(vec![1])).await })
            })
            .collect();
        for put in puts {
            put.await.expect("no panic").expect("written");
        }
        for value in 0..10 {
            state.put(Space::Jobs, b"last", Some(vec![value])).await.expect("written");
        }
        assert_eq!(state.all(Space::Jobs).expect("read").len(), 501);
        assert_eq!(state.get(Space::Jobs, b"last").expect("read"), Some(vec![9]));
    }

    #[tokio::test]
    async fn a_lazy_write_keeps_its_place_and_becomes_durable_alone_or_in_company() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.redb");
        {
            let state = State::open(&path).expect("opens");
            state.write_lazily(Space::Jobs, b"a", Some(b"1".to_vec()));
            state.put(Space::Jobs, b"b", Some(b"2".to_vec())).await.expect("written");
            // Written before, so durable with it.
            assert_eq!(state.get(Space::Jobs, b"a").expect("read"), Some(b"1".to_vec()));
            state.write_lazily(Space::Jobs, b"b", None);
            state.put(Space::Jobs, b"b", Some(b"3".to_vec())).await.expect("written");
            state.write_lazily(Space::Jobs, b"c", Some(b"4".to_vec()));
            while state.get(Space::Jobs, b"c").expect("read").is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        let state = reopen(&path);
        assert_eq!(state.get(Space::Jobs, b"b").expect("read"), Some(b"3".to_vec()));
        assert_eq!(state.all(Space::Jobs).expect("read").len(), 3);
    }

    #[tokio::test]
    async fn what_was_written_and_deleted_is_the_same_after_every_reopening() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.redb");
        let mut model = BTreeMap::new();
        for round in 0u32..8 {
            let state = reopen(&path);
            let found: BTreeMap<_, _> = state.all(Space::Jobs).expect("read").into_iter().collect();
            assert_eq!(found, model, "round {round}");
            // Of 13 keys each is written and deleted many times; the journal's files take turns about every 70 writes.
            for step in 0..40u32 * round {
                let key = vec![u8::try_from((step * 7 + round) % 13).expect("small")];
                let value = (step % 3 != 0).then(|| vec![u8::try_from(step % 251).expect("small"); 64]);
                match &value {
                    Some(value) => model.insert(key.clone(), value.clone()),
                    None => model.remove(&key),
                };
                state.put(Space::Jobs, &key, value.clone()).await.expect("written");
                assert_eq!(state.get(Space::Jobs, &key).expect("read"), value);
            }
        }
    }

    #[tokio::test]
    async fn a_record_that_was_torn_is_as_if_it_was_never_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.redb");
        for value in 1..=3 {
            reopen(&path).put(Space::Jobs, b"a", Some(vec![value; 100])).await.expect("written");
        }
        {
            let state = reopen(&path);
            state.put(Space::Jobs, b"a", Some(vec![4; 100])).await.expect("written");
            state.put(Space::Jobs, b"a", Some(vec![5; 100])).await.expect("written");
        }
        let file = journal::path(folder.path(), JOURNAL.stem, 0);
        let mut bytes = std::fs::read(&file).expect("there");
        let last = bytes.iter().rposition(|byte| *byte == 5).expect("the last value");
        bytes[last] = 0;
        drop(reopen_after(&path, || std::fs::write(&file, &bytes).expect("written")));
        assert_eq!(reopen(&path).get(Space::Jobs, b"a").expect("read"), Some(vec![4; 100]));
        // What comes after takes the torn one's place.
        reopen(&path).put(Space::Jobs, b"a", Some(vec![6; 100])).await.expect("written");
        assert_eq!(reopen(&path).get(Space::Jobs, b"a").expect("read"), Some(vec![6; 100]));
    }

    const CHILD_PATH: &str = "SEALGRID_TEST_STATE";

    /// Not a test by itself: the process that the next test kills. Puts numbered values, eight callers at a time, and says
    /// which are durable.
    #[tokio::test]
    #[ignore = "run as a child process by the test below"]
    async fn child_puts_until_killed() {
        use std::io::Write as _;
        let path = std::env::var_os(CHILD_PATH).expect("given by the parent");
        let state = reopen(Path::new(&path));
        let first = state.all(Space::Jobs).expect("read").len() as u64;
        for group in 0u64.. {
            let numbers = (0..8).map(|i| first + group * 8 + i);
            let puts: Vec<_> = numbers
                .map(|number| {
                    let value = vec![number.to_le_bytes()[0]; 100];
                    (number, state.write(Space::Jobs, &number.to_be_bytes(), Some(value)))
                })
                .collect();
            for (number, put) in puts {
                put.wait().await.expect("durable");
                let mut out = std::io::stdout().lock();
                writeln!(out, "durable {number}").and_then(|()| out.flush()).expect("the parent reads");
            }
        }
    }

    #[test]
    fn a_killed_process_leaves_everything_that_was_durable_and_nothing_torn() {
        use std::io::BufRead as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.redb");
        for round in 0..12u64 {
            let mut child = std::process::Command::new(std::env::current_exe().expect("known"))
                .args(["--exact", "state::tests::child_puts_until_killed", "--ignored", "--nocapture"])
                .env(CHILD_PATH, &path)
                .stdout(std::process::Stdio::piped())
                .spawn()
                .expect("starts");
            let mut lines = std::io::BufReader::new(child.stdout.take().expect("piped")).lines();
            let mut durable =
                || lines.by_ref().find_map(|line| line.ok()?.split_once("durable ")?.1.parse::<u64>().ok());
            let first = durable().expect("the child writes");
            thread::sleep(std::time::Duration::from_micros(1500 * round * round % 17_000));
            child.kill().expect("kill -9");
            child.wait().expect("ended");
            let last = std::iter::from_fn(&mut durable).last().unwrap_or(first);
            let all = reopen(&path).all(Space::Jobs).expect("read");
            assert!(all.len() as u64 > last, "{} values, number {last} was durable", all.len());
            for (number, (key, value)) in (0u64..).zip(&all) {
                assert_eq!(*key, number.to_be_bytes());
                assert_eq!(*value, vec![number.to_le_bytes()[0]; 100]);
            }
        }
    }

    #[tokio::test]
    async fn a_database_without_its_journal_does_not_open() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.redb");
        State::open(&path).expect("opens").put(Space::Jobs, b"a", Some(vec![1])).await.expect("written");
        let remove = |number| std::fs::remove_file(journal::path(folder.path(), JOURNAL.stem, number));
        wait_until_closed(&path);
        (0..2).try_for_each(remove).expect("both were there");
        let error = State::open(&path).err().expect("refused");
        assert_eq!(error.code(), "E-STO-41");
        assert!(
            std::error::Error::source(&error).is_some_and(|why| why.to_string() == "its journal is gone")
        );
    }

    #[test]
    fn a_file_that_is_no_state_has_its_code() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.redb");
        std::fs::write(&path, b"something else entirely, long enough to be looked at").expect("written");
        assert_eq!(State::open(&path).err().expect("no state").code(), "E-STO-41");
        assert_eq!(StateError::Closed.code(), "E-STO-42");
    }

    /// Changes a file once nobody holds the state any more.
    fn reopen_after(path: &Path, change: impl Fn()) -> State {
        wait_until_closed(path);
        change();
        reopen(path)
    }

    fn wait_until_closed(path: &Path) {
        while Database::builder().open(path).is_err() {
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The writing thread lets go of the file a moment after the last handle is dropped.
    fn reopen(path: &Path) -> State {
        for _ in 0..100 {
            if let Ok(state) = State::open(path) {
                return state;
            }
            thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("still locked");
    }
}
