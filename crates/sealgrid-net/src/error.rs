//! Failures of the network, one enum an operation, each with its code.

use crate::frame::{FrameError, Refusal};

/// Why an endpoint could not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The socket address is taken or not ours.
    #[error("cannot listen on {address}")]
    Socket {
        /// The address asked for.
        address: String,
        /// What the system said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The relay's URL is not one.
    #[error("the relay's address is not a URL")]
    Relay,
    /// The local network's discovery could not start.
    #[error("discovery on the local network could not start")]
    Discovery(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl BindError {
    /// The code of the index of errors.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Socket { .. } => "E-NET-01",
            Self::Relay | Self::Discovery(_) => "E-NET-02",
        }
    }
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The peer does not admit this identity.
    #[error("the peer does not admit this identity")]
    NotAdmitted,
    /// TLS ended without a connection: another version, no common key exchange, another identity than dialled.
    #[error("the handshake failed")]
    Handshake,
    /// No address is known for the peer, or its key is not a point on the curve.
    #[error("no address is known for the peer")]
    Unaddressed,
    /// The peer does not answer at its address, did not a moment ago, or fell silent during the call: its process or
    /// its machine is gone. Whether it acted on the call is unknown.
    #[error("the peer cannot be reached")]
    Unreachable,
    /// The method's deadline passed.
    #[error("no answer before the deadline")]
    Deadline,
    /// The connection broke during the call, and the peer may be there again; whether it acted on the call is unknown.
    #[error("the connection broke during the call")]
    Lost,
    /// A body longer than the method allows, on either side.
    #[error("{length} bytes where the method allows {limit}")]
    TooLong {
        /// Bytes of the body.
        length: u64,
        /// Bytes allowed.
        limit: u32,
    },
    /// The peer's answer is not a frame.
    #[error("malformed answer: {0}")]
    Malformed(FrameError),
    /// This endpoint is closed.
    #[error("this endpoint is closed")]
    Closed,
    /// Too many calls to this peer are waiting here.
    #[error("too many calls to this peer are waiting")]
    QueueFull,
    /// The peer understood and said no.
    #[error("refused by the peer: {} ({})", .0.message, .0.code)]
    Refused(Refusal),
}

/// Codes that this crate itself puts into refusals.
pub mod refusal {
    use crate::frame::Refusal;

    /// The frame is longer than the method allows.
    pub const TOO_LONG: Refusal = Refusal::new("E-NET-09", "the request is longer than the method allows");
    /// The bytes are not a frame of this version.
    pub const MALFORMED: Refusal = Refusal::new("E-NET-10", "the request is not a frame of this version");
    /// No such method here.
    pub const UNKNOWN_METHOD: Refusal = Refusal::new("E-NET-11", "this endpoint has no such method");
    /// The handler panicked.
    pub const INTERNAL: Refusal = Refusal::new("E-NET-13", "the peer failed while handling the request");
    /// The handler or the request was too slow.
    pub const DEADLINE: Refusal = Refusal::new("E-NET-07", "the request was not handled before the deadline");
    /// All places for calls are taken.
    pub const BUSY: Refusal =
        Refusal::new("E-RES-20", "the peer handles as many requests as it may; try again");
}

impl CallError {
    /// The code of the index of errors. A refusal keeps the peer's code when it is one this crate knows; other
    /// codes are in [`Refusal::code`].
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAdmitted => "E-NET-03",
            Self::Handshake => "E-NET-04",
            Self::Unaddressed => "E-NET-05",
            Self::Unreachable => "E-NET-06",
            Self::Deadline => "E-NET-07",
            Self::Lost => "E-NET-08",
            Self::TooLong { .. } => "E-NET-09",
            Self::Malformed(_) => "E-NET-10",
            Self::Closed => "E-NET-12",
            Self::QueueFull => "E-RES-21",
            Self::Refused(refusal) => known(&refusal.code).unwrap_or("E-NET-14"),
        }
    }

    /// Whether the same call may succeed if made again without any change.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable | Self::Deadline | Self::Lost | Self::QueueFull => true,
            Self::Refused(refusal) => *refusal == refusal::BUSY,
            _ => false,
        }
    }
}

fn known(code: &str) -> Option<&'static str> {
    let ours = [
        refusal::TOO_LONG,
        refusal::MALFORMED,
        refusal::UNKNOWN_METHOD,
        refusal::INTERNAL,
        refusal::DEADLINE,
        refusal::BUSY,
    ];
    ours.into_iter().find_map(|refusal| match refusal.code {
        std::borrow::Cow::Borrowed(text) if text == code => Some(text),
        _ => None,
    })
}

impl From<FrameError> for CallError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::TooLong { length, limit } => Self::TooLong { length: length.into(), limit },
            other => Self::Malformed(other),
        }
    }
}
