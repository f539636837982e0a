//! Two things at once.

use std::sync::Mutex;
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
}
