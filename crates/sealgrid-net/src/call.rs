//! Calling: one connection a peer, opened on demand, reused, replaced when dead; one stream a call.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use iroh::endpoint::{
    ConnectError, ConnectingError, Connection, ConnectionError, RecvStream, SendStream, WriteError,
};
use sealgrid_seal::identity::PublicIdentity;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};

use crate::crypto::KeyExchange;
use crate::endpoint::{ALPN, Endpoint, Inner, Limits, close, closed_with, places};
use crate::error::CallError;
use crate::frame::{Header, Kind, REFUSAL_BYTES_MAX, Refusal};
use crate::liveness;
use crate::method::Method;
use crate::observe::{Exchange, NetEvent};
use crate::stream::{Broken, expect_end, read_body, read_header};

/// Peers remembered at most; beyond it the ones without a connection are forgotten.
const LINKS_MAX: usize = 4096;

impl Endpoint {
    /// Calls `method` of `peer` and returns the answer's body.
    ///
    /// Waits for a free place, connects if need be, and gives up at the method's deadline. Nothing is repeated
    /// once a byte of the request may have reached the peer: whether to ask again is the caller's protocol.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call(
        &self,
        peer: &PublicIdentity,
        method: &Method,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, CallError> {
        let started = Instant::now();
        let request_bytes = body.len() as u64;
        let call = Box::pin(self.inner.call(peer, method, body.into()));
        let answer = tokio::time::timeout(method.deadline, call).await.unwrap_or(Err(CallError::Deadline));
        self.inner.observer.record(NetEvent::Called(Exchange {
            method: method.name,
            outcome: answer.as_ref().map_or_else(CallError::code, |_| "ok"),
            request_bytes,
            response_bytes: answer.as_ref().map_or(0, |body| body.len() as u64),
            duration: started.elapsed(),
        }));
        answer
    }
}

impl Inner {
    async fn call(&self, peer: &PublicIdentity, method: &Method, body: Bytes) -> Result<Vec<u8>, CallError> {
        let length = match u32::try_from(body.len()) {
            Ok(length) if length <= method.request_bytes_max => length,
            _ => {
                return Err(CallError::TooLong {
                    length: body.len() as u64,
                    limit: method.request_bytes_max,
                });
            }
        };
        let link = self.links.of(peer, &self.limits);
        let _place = link.place(&self.limits).await?;
        let (connection, mut send, mut receive) = self.open_stream(peer, &link).await?;
        // Dropped by the deadline: if nothing at all arrived meanwhile, not even an acknowledgement, the peer is
        // gone and the next call must not wait for the idle timeout.
        let watch = Silence::watch(&connection);
        let header = Header { kind: Kind::Request, method: method.id, length };
        let answer = exchange(&mut send, &mut receive, header, body, method).await;
        if !matches!(answer, Err(Broken::Lost)) {
            watch.peer_spoke();
        }
        answer.map_err(|broken| self.lost(&connection, broken))?.map_err(CallError::Refused)
    }

    /// A fresh stream, on the open connection if there is one that still works.
    async fn open_stream(
        &self,
        peer: &PublicIdentity,
        link: &Arc<Link>,
    ) -> Result<(Connection, SendStream, RecvStream), CallError> {
        let connection = self.connection(peer, link).await?;
        if let Ok((send, receive)) = connection.open_bi().await {
            return Ok((connection, send, receive));
        }
        // It died between two calls and nothing was sent on it: once more on a new one.
        if let Some(error) = refused_by_peer(&connection) {
            return Err(error);
        }
        let connection = self.connection(peer, link).await?;
        match connection.open_bi().await {
            Ok((send, receive)) => Ok((connection, send, receive)),
            Err(error) => Err(connection_failure(&error)),
        }
    }

    /// The open connection to `peer`, or a new one. Callers of the same peer wait for one attempt together.
    async fn connection(&self, peer: &PublicIdentity, link: &Arc<Link>) -> Result<Connection, CallError> {
        let mut state = link.state.lock().await;
        if let Some(connection) = &state.connection
            && connection.close_reason().is_none()
        {
            return Ok(connection.clone());
        }
        if self.quic.is_closed() {
            return Err(CallError::Closed);
        }
        if state.retry_at.is_some_and(|at| Instant::now() < at) {
            return Err(CallError::Unreachable);
        }
        match Box::pin(self.connect(peer)).await {
            Ok(connection) => {
                liveness::watch(&connection, Arc::downgrade(link), self.only_addresses_of(peer));
                *state = LinkState { connection: Some(connection.clone()), failures: 0, retry_at: None };
                Ok(connection)
            }
            Err(NotConnected { error, cheap }) => {
                state.connection = None;
                state.failures = if cheap { 1 } else { state.failures.saturating_add(1) };
                state.retry_at = Some(Instant::now() + backoff(&self.limits, state.failures, &self.identity));
                Err(error)
            }
        }
    }

    async fn connect(&self, peer: &PublicIdentity) -> Result<Connection, NotConnected> {
        let address = self.address_of(peer).ok_or(CallError::Unaddressed)?;
        let only_addresses = self.only_addresses_of(peer);
        let connection = tokio::select! {
            attempt = self.quic.connect(address, ALPN) => attempt.map_err(|error| connect_failure(&error))?,
            () = liveness::gone(&only_addresses) => {
                return Err(NotConnected { error: CallError::Unreachable, cheap: true });
            }
            () = tokio::time::sleep(self.limits.handshake_timeout) => Err(CallError::Unreachable)?,
        };
        if !self.key_exchange.met_by(&connection) {
            connection.close(close::KEY_EXCHANGE, b"hybrid key exchange required");
            return Err(CallError::Handshake.into());
        }
        debug_assert!(
            self.key_exchange == KeyExchange::HybridPreferred || self.key_exchange.met_by(&connection)
        );
        Ok(connection)
    }

    /// What a call that broke means. If the peer closed the connection with one of our codes, that says why; if it was
    /// given up here for its silence, the peer is gone; else the peer may have come back meanwhile.
    fn lost(&self, connection: &Connection, broken: Broken) -> CallError {
        if let Broken::Frame(error) = broken {
            return error.into();
        }
        match connection.close_reason() {
            Some(ConnectionError::TimedOut) => CallError::Unreachable,
            Some(ConnectionError::LocallyClosed) if !self.quic.is_closed() => CallError::Unreachable,
            _ => refused_by_peer(connection).unwrap_or(CallError::Lost),
        }
    }
}

/// Why there is no connection.
struct NotConnected {
    error: CallError,
    /// Nobody held the port: that was found without a handshake, and trying again is no burden to anybody.
    cheap: bool,
}

impl From<CallError> for NotConnected {
    fn from(error: CallError) -> Self {
        Self { error, cheap: false }
    }
}

/// Sends the request and reads the answer. A peer that refuses early stops reading: then its refusal is the answer.
async fn exchange(
    send: &mut SendStream,
    receive: &mut RecvStream,
    header: Header,
    body: Bytes,
    method: &Method,
) -> Result<Result<Vec<u8>, Refusal>, Broken> {
    let mut chunks = [Bytes::copy_from_slice(&header.encode()), body];
    match send.write_all_chunks(&mut chunks).await {
        Ok(()) => {
            let _ = send.finish();
        }
        Err(WriteError::Stopped(_)) => {}
        Err(_) => return Err(Broken::Lost),
    }
    let answer = read_header(receive).await?;
    answer.expect_kind(&[Kind::Response, Kind::Refusal])?;
    if answer.method != method.id {
        return Err(crate::frame::FrameError::OtherMethod(answer.method).into());
    }
    let limit = match answer.kind {
        Kind::Refusal => u32::try_from(REFUSAL_BYTES_MAX).expect("a small constant"),
        _ => method.response_bytes_max,
    };
    let body = read_body(receive, answer.length_within(limit)?).await?;
    expect_end(receive).await?;
    match answer.kind {
        Kind::Refusal => Ok(Err(Refusal::decode(&body)?)),
        _ => Ok(Ok(body)),
    }
}

/// Every peer that was called.
#[derive(Default)]
pub(crate) struct Links(Mutex<HashMap<PublicIdentity, Arc<Link>>>);

impl Links {
    fn of(&self, peer: &PublicIdentity, limits: &Limits) -> Arc<Link> {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(peer) {
            return link.clone();
        }
        if links.len() >= LINKS_MAX {
            links.retain(|_, link| Arc::strong_count(link) > 1 || link.is_open());
        }
        let link = Arc::new(Link::new(limits));
        links.insert(*peer, link.clone());
        link
    }

    pub(crate) async fn open_connection(&self, peer: &PublicIdentity) -> Option<Connection> {
        let link = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(peer).cloned()?;
        let state = link.state.lock().await;
        state.connection.clone().filter(|connection| connection.close_reason().is_none())
    }
}

/// What is remembered about one peer.
pub(crate) struct Link {
    places: Semaphore,
    places_max: usize,
    waiting: AtomicU32,
    state: AsyncMutex<LinkState>,
}

#[derive(Default)]
struct LinkState {
    connection: Option<Connection>,
    failures: u32,
    retry_at: Option<Instant>,
}

impl Link {
    fn new(limits: &Limits) -> Self {
        let places_max = places(limits.calls_per_peer_max);
        Self {
            places: Semaphore::new(places_max),
            places_max,
            waiting: AtomicU32::new(0),
            state: AsyncMutex::default(),
        }
    }

    /// A place among the calls to this peer; waits in a bounded queue.
    async fn place(&self, limits: &Limits) -> Result<tokio::sync::SemaphorePermit<'_>, CallError> {
        if let Ok(place) = self.places.try_acquire() {
            return Ok(place);
        }
        let _waiting = Waiting::enter(&self.waiting, limits.waiting_per_peer_max)?;
        self.places.acquire().await.map_err(|_| CallError::Closed)
    }

    /// Whether a call is under way.
    pub(crate) fn has_calls(&self) -> bool {
        self.places.available_permits() < self.places_max
    }

    fn is_open(&self) -> bool {
        self.state
            .try_lock()
            .is_ok_and(|state| state.connection.as_ref().is_some_and(|open| open.close_reason().is_none()))
    }
}

/// A place in the queue, given back when dropped.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicU32, max: u32) -> Result<Self, CallError> {
        let waiting = Self(count);
        if count.fetch_add(1, Ordering::Relaxed) >= max {
            return Err(CallError::QueueFull);
        }
        Ok(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Closes a connection on drop if nothing arrived on it since the watch began.
struct Silence<'a> {
    connection: &'a Connection,
    datagrams: u64,
}

impl<'a> Silence<'a> {
    fn watch(connection: &'a Connection) -> Self {
        Self { connection, datagrams: connection.stats().udp_rx.datagrams }
    }

    fn peer_spoke(self) {
        std::mem::forget(self);
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        if self.connection.stats().udp_rx.datagrams == self.datagrams {
            self.connection.close(close::SILENT, b"silent");
        }
    }
}

/// Doubling from the minimum to the maximum, less up to a quarter that differs from caller to caller, so that many
/// callers of a node that comes back do not arrive together.
fn backoff(limits: &Limits, failures: u32, caller: &PublicIdentity) -> Duration {
    let doubled = limits.backoff_min.saturating_mul(1u32 << failures.saturating_sub(1).min(16));
    let full = doubled.min(limits.backoff_max);
    let index = usize::try_from(failures % 32).expect("below 32");
    full - full / 4 * u32::from(caller.0[index]) / 256
}

fn connect_failure(error: &ConnectError) -> CallError {
    match error {
        ConnectError::Connection { source, .. } => connection_failure(source),
        ConnectError::Connecting { source: ConnectingError::ConnectionError { source, .. }, .. } => {
            connection_failure(source)
        }
        ConnectError::Connecting { source: ConnectingError::HandshakeFailure { .. }, .. } => {
            CallError::Handshake
        }
        _ => CallError::Unreachable,
    }
}

fn connection_failure(error: &ConnectionError) -> CallError {
    match error {
        _ if closed_with(error, close::NOT_ADMITTED) => CallError::NotAdmitted,
        _ if closed_with(error, close::KEY_EXCHANGE) => CallError::Handshake,
        _ if closed_with(error, close::CROWDED) => CallError::Refused(crate::error::refusal::BUSY),
        ConnectionError::VersionMismatch | ConnectionError::TransportError(_) => CallError::Handshake,
        // A TLS alert of the peer arrives as a connection close with a crypto code, 0x100 to 0x1ff (RFC 9001, 4.8).
        ConnectionError::ConnectionClosed(close) if is_tls_alert(close.error_code.into()) => {
            CallError::Handshake
        }
        ConnectionError::LocallyClosed => CallError::Closed,
        _ => CallError::Unreachable,
    }
}

fn is_tls_alert(code: u64) -> bool {
    (0x100..0x200).contains(&code)
}

fn refused_by_peer(connection: &Connection) -> Option<CallError> {
    let failure = connection_failure(&connection.close_reason()?);
    matches!(failure, CallError::NotAdmitted | CallError::Handshake | CallError::Refused(_))
        .then_some(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_maximum_and_keeps_three_quarters_at_least() {
        let limits = Limits::default();
        let caller = PublicIdentity([255; 32]);
        let mut last = Duration::ZERO;
        for failures in 1..40 {
            let wait = backoff(&limits, failures, &caller);
            assert!(wait >= last && wait <= limits.backoff_max && wait >= limits.backoff_min * 3 / 4);
            last = wait;
        }
        assert!(last >= limits.backoff_max * 3 / 4);
        assert!(backoff(&limits, 1, &PublicIdentity([0; 32])) > backoff(&limits, 1, &caller));
    }
}
