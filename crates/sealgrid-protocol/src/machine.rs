//! How a protocol is driven: events in, effects out.
//!
//! A machine never sees a socket, a disk or a clock. The caller feeds [`Machine::handle`] with what happened and
//! then calls [`Machine::poll`] until it is empty, performing each effect. Two performers exist: `sealgrid-node`
//! for real, `sealgrid-testkit::simulate` in virtual time.

use sealgrid_seal::identity::PublicIdentity;

/// Milliseconds since the Unix epoch.
pub type Millis = u64;

/// Names one outstanding effect of a machine, so that its completion finds its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What a machine asks its performer to do.
///
/// `M` is the topic's message, `W` the work it wants run off the protocol's thread, `R` what it tells people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<M, W, R> {
    /// Send a message; delivery is not promised.
    Send {
        /// Receiver.
        to: PublicIdentity,
        /// Message.
        message: M,
    },
    /// Make `value` durable under `key` (`None` deletes); then report [`Event::Stored`]. The machine sends nothing that depends on it before.
    Store {
        /// Names the completion.
        ticket: Ticket,
        /// Key within the machine's own space.
        key: Vec<u8>,
        /// Bytes, or `None` to delete.
        value: Option<Vec<u8>>,
    },
    /// Report [`Event::TimedOut`] at `at` or soon after. A later timer with the same ticket replaces it.
    Timer {
        /// Names the completion.
        ticket: Ticket,
        /// When.
        at: Millis,
    },
    /// Run work; then report [`Event::Ran`].
    Run {
        /// Names the completion.
        ticket: Ticket,
        /// What to run.
        work: W,
    },
    /// Append a leaf to the transparency log; then report [`Event::Appended`].
    Append {
        /// Names the completion.
        ticket: Ticket,
        /// Leaf bytes, at most 65,535 (C2SP tlog-tiles).
        leaf: Vec<u8>,
    },
    /// Tell the application.
    Report(R),
}

/// What happened. `O` is what finished work yields, `L` what the log answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<M, O, L> {
    /// A message came from an authenticated peer.
    Received {
        /// Authenticated sender.
        from: PublicIdentity,
        /// Message.
        message: M,
    },
    /// A peer cannot be reached, or answered with a transport failure.
    Unreachable {
        /// The peer.
        peer: PublicIdentity,
    },
    /// A store is durable.
    Stored {
        /// Of which effect.
        ticket: Ticket,
    },
    /// A timer fired.
    TimedOut {
        /// Of which effect.
        ticket: Ticket,
    },
    /// Work finished.
    Ran {
        /// Of which effect.
        ticket: Ticket,
        /// Its outcome.
        outcome: O,
    },
    /// The log answered.
    Appended {
        /// Of which effect.
        ticket: Ticket,
        /// Its answer.
        answer: L,
    },
}

/// A protocol: `handle` what happened, then `poll` what to do until it is empty.
pub trait Machine {
    /// What can happen to it.
    type Event;
    /// What it can ask for.
    type Effect;

    /// Takes in one event at time `now`. Never blocks, never fails: a bad message is an event like any other.
    fn handle(&mut self, now: Millis, event: Self::Event);

    /// The next effect to perform, in order; `None` when there is nothing to do before the next event.
    fn poll(&mut self) -> Option<Self::Effect>;
}
