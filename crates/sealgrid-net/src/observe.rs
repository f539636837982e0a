//! What an endpoint tells its operator: counts, durations and fixed words, never a byte of a body or an address.

use std::time::Duration;

/// Receives what happened. Called on the network's tasks: must not block.
pub trait Observer: Send + Sync + 'static {
    /// One thing happened.
    fn record(&self, event: NetEvent);
}

/// An observer for those who do not look.
pub struct Unobserved;

impl Observer for Unobserved {
    fn record(&self, _: NetEvent) {}
}

/// Something that happened to an endpoint. Every field is a number or a word of the program's own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NetEvent {
    /// A peer was let in.
    Connected,
    /// A peer's connection ended.
    Disconnected,
    /// A peer was turned away before any call.
    TurnedAway(TurnedAway),
    /// This endpoint answered a call.
    Served(Exchange),
    /// This endpoint made a call.
    Called(Exchange),
}

/// Why a peer was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// The handshake failed: not TLS 1.3, no common key exchange, no proof of identity, or too slow.
    Handshake,
    /// The identity is not admitted.
    Identity,
    /// Too many connections.
    Crowded,
}

impl TurnedAway {
    /// The code of the index of errors.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Handshake => "E-NET-04",
            Self::Identity => "E-NET-03",
            Self::Crowded => "E-RES-20",
        }
    }
}

/// One call, seen from either side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exchange {
    /// Name from the method table; `unknown` for numbers outside it.
    pub method: &'static str,
    /// `ok`, or the code of the refusal or failure if it is one of this crate, else `refused`.
    pub outcome: &'static str,
    /// Body bytes of the request.
    pub request_bytes: u64,
    /// Body bytes of the answer.
    pub response_bytes: u64,
    /// From the call to the answer.
    pub duration: Duration,
}
