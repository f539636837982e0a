//! Identities as TLS 1.3 raw public keys, QUIC endpoints, framing, typed calls.
//!
//! # Tasks
//! - Be reachable and call others: [`Endpoint::bind`] with a [`SigningIdentity`](sealgrid_seal::identity::SigningIdentity)
//!   and an [`EndpointConfig`].
//! - Say what can be called: a table of [`Method`]s, each with its limits and deadline.
//! - Answer calls: implement [`Service`], then [`Endpoint::serve`].
//! - Call: [`Endpoint::call`] with a peer's identity; connecting, reuse, queueing and backing off happen inside.
//! - Say who may connect: [`Admission`]; where peers are: [`AddressBook`] or discovery on the local network.
//! - See what happens without seeing whose data: [`Observer`].
//!
//! # Concepts
//! A peer *is* its Ed25519 key: TLS 1.3 with raw public keys (RFC 7250) proves it in both directions, so a connection
//! needs no certificate authority. A call is one bidirectional QUIC stream carrying one [`frame`] each way. Everything that can
//! queue has a bound, and the bound's refusal is typed: `E-RES-20` from the peer, `E-RES-21` from the own queue.
//!
//! # Non-goals
//! No retries of calls (a protocol knows whether asking twice is safe, a transport does not), no message bodies
//! (canonical bytes of other crates), no public servers: relays and lookups of others are never dialled.
//!
//! `irpc` was considered for the typed calls and left: it fixes the body's encoding to postcard and reads a message before
//! its method's limit is known; what remains of it here would be one function.

pub mod admission;
mod call;
mod crypto;
mod endpoint;
pub mod error;
pub mod frame;
mod liveness;
mod method;
pub mod observe;
mod serve;
mod stream;

pub use admission::{Admission, Admit};
pub use crypto::KeyExchange;
pub use endpoint::{ALPN, AddressBook, Endpoint, EndpointConfig, Limits};
pub use error::{BindError, CallError};
pub use frame::Refusal;
pub use method::Method;
pub use observe::{NetEvent, Observer};
pub use serve::{Request, Service};
