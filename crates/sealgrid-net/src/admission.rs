//! Who may connect. Decided by identity alone, after TLS has proved it, before any call is read.

use std::collections::HashSet;
use std::sync::Arc;

use sealgrid_seal::identity::PublicIdentity;
use tokio::sync::watch;

/// The identities that an endpoint lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admit {
    /// Nobody: an endpoint that only calls.
    Nobody,
    /// These and no others.
    Listed(HashSet<PublicIdentity>),
    /// Anyone with a key; each method then decides what a stranger may do.
    Anyone,
}

impl Admit {
    /// Whether `identity` may connect.
    #[must_use]
    pub fn lets_in(&self, identity: &PublicIdentity) -> bool {
        match self {
            Self::Nobody => false,
            Self::Listed(listed) => listed.contains(identity),
            Self::Anyone => true,
        }
    }
}

/// The list in force; shared by every connection and replaced as a whole when the directory changes.
#[derive(Clone, Debug)]
pub struct Admission(Arc<watch::Sender<Admit>>);

impl Admission {
    /// Starts with `admit`.
    #[must_use]
    pub fn new(admit: Admit) -> Self {
        Self(Arc::new(watch::Sender::new(admit)))
    }

    /// Puts another list in force. Connections of identities it does not let in are closed.
    pub fn replace(&self, admit: Admit) {
        self.0.send_replace(admit);
    }

    /// Whether `identity` may connect now.
    #[must_use]
    pub fn lets_in(&self, identity: &PublicIdentity) -> bool {
        self.0.borrow().lets_in(identity)
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Admit> {
        self.0.subscribe()
    }
}
