//! Two things at once.

use std::sync::Mutex;
#[cfg(not(target_family = "wasm"))]
use std::sync::TryLockError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Builder, scope};

/// Does both, the first on a thread of its own where the machine grants one.
pub(crate) fn both<A: Send, B>(one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B) -> (A, B) {
    // In a slot, because a thread that is refused keeps what it was given.
    let slot = Mutex::new(Some(one));
    let take = || slot.lock().expect("nobody panics with it").take();
    scope(|scope| {
        let spawned = Builder::new().spawn_scoped(scope, || take().map(|one| one()));
        let other = other();
        let one = match spawned {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => take().map(|one| one()),
        };
        (one.expect("taken once"), other)
    })
}

/// The same with both parts of something.
pub(crate) fn each<T: Send, R: Send>([one, other]: [T; 2], work: impl Fn(T) -> R + Sync) -> [R; 2] {
    let (one, other) = both(|| work(one), || work(other));
    [one, other]
}

/// Does `one` on a thread of its own and `tasks` in their order beside it; whichever thread has done its part takes the next task. What either yields.
pub(crate) fn beside<A: Send, R: Send>(
    one: impl FnOnce() -> A + Send,
    tasks: Vec<impl FnOnce() -> R + Send>,
) -> (A, Vec<R>) {
    let tasks: Vec<_> = tasks.into_iter().map(|task| Mutex::new(Some(task))).collect();
    let done: Vec<Mutex<Option<R>>> = tasks.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((task, done)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|next| tasks.get(next).zip(done.get(next)))
        {
            let task = task.lock().expect("nobody panics with it").take().expect("each is taken once");
            let yielded = task();
            *done.lock().expect("nobody panics with it") = Some(yielded);
        }
    };
    let first = || {
        let one = one();
        work();
        one
    };
    let (one, ()) = both(first, work);
    let done = done.into_iter().map(|done| done.into_inner().expect("nobody panics with it"));
    (one, done.map(|done| done.expect("all are done")).collect())
}

/// Does something in which the library has loops. It shares them out among the threads of the pool that it runs in, as many as there are cores; without a
/// pool each loop would wait for one by itself.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn pooled<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    static POOL: Pool = Pool::new();
    within(&POOL, std::thread::available_parallelism().map_or(1, usize::from), work)
}

/// The same on one thread of its own: of short loops, or where what is looked for shall be the first of many and not any that some thread finds, so that the
/// same seed makes the same proof.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn in_order<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    // Several, so that as many proofs at once do not wait for one thread; the first that is free, whose memory was used a moment ago.
    static POOLS: [(Mutex<()>, Pool); 8] = [const { (Mutex::new(()), Pool::new()) }; 8];
    if rayon::current_thread_index().is_some() && rayon::current_num_threads() == 1 {
        return work();
    }
    let free = POOLS.iter().find_map(|(busy, pool)| match busy.try_lock() {
        Ok(busy) => Some((busy, pool)),
        Err(TryLockError::Poisoned(busy)) => Some((busy.into_inner(), pool)),
        Err(TryLockError::WouldBlock) => None,
    });
    within(free.as_ref().map_or(&POOLS[0].1, |(_, pool)| pool), 1, work)
}

/// No pool where the machine grants no threads.
#[cfg(not(target_family = "wasm"))]
type Pool = std::sync::OnceLock<Option<rayon::ThreadPool>>;

#[cfg(not(target_family = "wasm"))]
fn within<R: Send>(pool: &Pool, threads: usize, work: impl FnOnce() -> R + Send) -> R {
    if let Some(pool) = pool.get_or_init(|| rayon::ThreadPoolBuilder::new().num_threads(threads).build().ok())
    {
        return pool.install(work);
    }
    // This thread, then, is a pool of one, and stays one: whoever is in a pool already is told so.
    let own = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
    std::mem::forget(own);
    work()
}

/// In a browser the library has no threads, and its loops are plain ones.
#[cfg(target_family = "wasm")]
pub(crate) fn pooled<R>(work: impl FnOnce() -> R) -> R {
    work()
}

#[cfg(target_family = "wasm")]
pub(crate) fn in_order<R>(work: impl FnOnce() -> R) -> R {
    work()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_tasks_are_done_in_their_places_whoever_is_free() {
        for count in 0..9 {
            let tasks: Vec<_> = (0..count).map(|number| move || number * number).collect();
            let (one, done) = beside(|| 7, tasks);
            assert_eq!((one, done), (7, (0..count).map(|number| number * number).collect()));
        }
    }

    #[test]
    fn both_are_done() {
        let mut side = 0;
        assert_eq!(both(|| 6 * 7, || side += 1), (42, ()));
        assert_eq!(side, 1);
        assert_eq!(each([3, 4], |number| number * number), [9, 16]);
    }

    #[cfg(not(target_family = "wasm"))]
    #[test]
    fn what_the_library_does_is_in_a_pool_and_a_search_in_one_of_one_thread() {
        let cores = std::thread::available_parallelism().expect("a machine that tells").get();
        assert_eq!(pooled(rayon::current_num_threads), cores);
        let thread = || std::thread::current().id();
        let (one, same) = in_order(|| (thread(), in_order(thread)));
        assert_eq!((one, pooled(|| in_order(rayon::current_num_threads))), (same, 1));
        // Where no thread is granted, the work is done all the same, once and again.
        static REFUSED: Pool = Pool::new();
        REFUSED.set(None).expect("nobody else sets it");
        for _ in 0..2 {
            assert_eq!(within(&REFUSED, 2, rayon::current_num_threads), 1);
        }
    }
}
