//! Threads that run models: a fixed number, a bounded queue, turns between clients.
//!
//! One client's thousand jobs do not make another's single job wait: each client has a queue of its own, and the
//! threads take from the queues in turn.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use sealgrid_seal::identity::PublicIdentity;

use crate::config::LimitsConfig;

type Task = Box<dyn FnOnce() + Send>;

/// No place for another task, of this client or at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no place for another task")]
pub struct Full;

/// A fixed set of worker threads. Clones share it; the threads end when the last clone is dropped.
#[derive(Clone)]
pub struct Pool(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
}

struct Shared {
    queues: Mutex<Queues>,
    wake: Condvar,
    waiting_max: usize,
    waiting_per_client_max: usize,
}

#[derive(Default)]
struct Queues {
    of_client: HashMap<PublicIdentity, VecDeque<Task>>,
    /// Clients with a waiting task, the next one first; each stands here once.
    turns: VecDeque<PublicIdentity>,
    waiting: usize,
    running: usize,
    closed: bool,
}

impl Pool {
    /// Starts `workers` threads (0: one a processor) over queues of the given lengths.
    #[must_use]
    pub fn start(workers: usize, waiting_max: usize, waiting_per_client_max: usize) -> Self {
        let workers = match workers {
            0 => thread::available_parallelism().map_or(1, std::num::NonZero::get),
            some => some,
        };
        let shared = Arc::new(Shared {
            queues: Mutex::default(),
            wake: Condvar::new(),
            waiting_max,
            waiting_per_client_max,
        });
        for index in 0..workers {
            let shared = shared.clone();
            let thread = thread::Builder::new().name(format!("worker-{index}"));
            thread.spawn(move || shared.work()).expect("the system has a thread for each worker");
        }
        Self(Arc::new(Handle { shared }))
    }

    /// Threads and queues as long as a node's limits say.
    #[must_use]
    pub fn within(limits: &LimitsConfig) -> Self {
        let [waiting, per_client] = [limits.jobs_max, limits.jobs_per_client_max]
            .map(|limit| usize::try_from(limit).expect("u32 fits usize"));
        Self::start(limits.workers.into(), waiting, per_client)
    }

    /// Queues `task` as one of `client`'s.
    ///
    /// # Errors
    /// [`Full`].
    pub fn run(&self, client: PublicIdentity, task: impl FnOnce() + Send + 'static) -> Result<(), Full> {
        let shared = &self.0.shared;
        let mut queues = shared.lock();
        if queues.waiting >= shared.waiting_max {
            return Err(Full);
        }
        let queue = queues.of_client.entry(client).or_default();
        if queue.len() >= shared.waiting_per_client_max {
            return Err(Full);
        }
        let first = queue.is_empty();
        queue.push_back(Box::new(task));
        queues.waiting += 1;
        if first {
            queues.turns.push_back(client);
        }
        drop(queues);
        shared.wake.notify_one();
        Ok(())
    }

    /// Tasks waiting and running.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        let queues = self.0.shared.lock();
        (queues.waiting, queues.running)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(task) = self.next() {
            // A task's panic is the end of the task, not of the worker; its caller sees the dropped channel.
            let _ = catch_unwind(AssertUnwindSafe(task));
            self.lock().running -= 1;
        }
    }

    fn next(&self) -> Option<Task> {
        let mut queues = self.lock();
        loop {
            if let Some(task) = queues.take() {
                return Some(task);
            }
            if queues.closed {
                return None;
            }
            queues = self.wake.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Queues {
    fn take(&mut self) -> Option<Task> {
        let client = self.turns.pop_front()?;
        let queue = self.of_client.get_mut(&client)?;
        let task = queue.pop_front();
        if queue.is_empty() {
            self.of_client.remove(&client);
        } else {
            self.turns.push_back(client);
        }
        self.waiting -= 1;
        self.running += 1;
        task
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const ALICE: PublicIdentity = PublicIdentity([1; 32]);
    const BOB: PublicIdentity = PublicIdentity([2; 32]);

    /// One worker, held until the returned sender is dropped.
    fn held(waiting_max: usize, per_client: usize) -> (Pool, mpsc::SyncSender<()>) {
        let pool = Pool::start(1, waiting_max, per_client);
        let (release, hold) = mpsc::sync_channel::<()>(1);
        pool.run(PublicIdentity([0; 32]), move || {
            let _ = hold.recv();
        })
        .expect("empty");
        while pool.load() != (0, 1) {
            thread::yield_now();
        }
        (pool, release)
    }

    #[test]
    fn clients_take_turns() {
        let (pool, release) = held(100, 100);
        let (say, heard) = mpsc::sync_channel(8);
        for (client, word) in [(ALICE, "a1"), (ALICE, "a2"), (ALICE, "a3"), (BOB, "b1")] {
            let say = say.clone();
            pool.run(client, move || {
                let _ = say.send(word);
            })
            .expect("room");
        }
        drop((release, say));
        assert_eq!(heard.iter().collect::<Vec<_>>(), ["a1", "b1", "a2", "a3"]);
    }

    #[test]
    fn queues_are_bounded_in_all_and_a_client() {
        let (pool, _release) = held(3, 2);
        assert_eq!(pool.run(ALICE, || {}), Ok(()));
        assert_eq!(pool.run(ALICE, || {}), Ok(()));
        assert_eq!(pool.run(ALICE, || {}), Err(Full));
        assert_eq!(pool.run(BOB, || {}), Ok(()));
        assert_eq!(pool.run(BOB, || {}), Err(Full));
    }

    #[test]
    fn a_panic_ends_the_task_and_not_the_worker() {
        let pool = Pool::start(1, 10, 10);
        pool.run(ALICE, || panic!("as asked")).expect("room");
        let (say, heard) = mpsc::sync_channel(8);
        pool.run(ALICE, move || {
            let _ = say.send(());
        })
        .expect("room");
        assert_eq!(heard.recv(), Ok(()));
    }
}
