//! Two things at once.

use std::sync::Mutex;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_done() {
        let mut side = 0;
        assert_eq!(both(|| 6 * 7, || side += 1), (42, ()));
        assert_eq!(side, 1);
        assert_eq!(each([3, 4], |number| number * number), [9, 16]);
    }
}
