//! Serving: accept, admit, then one task a call, everything counted and bounded.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use iroh::endpoint::{Connection, Incoming, RecvStream, SendStream};
use sealgrid_seal::identity::PublicIdentity;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::endpoint::{Endpoint, Inner, close, places, remote_identity};
use crate::error::refusal;
use crate::frame::{FrameError, Header, Kind, Refusal};
use crate::method::{Method, find};
use crate::observe::{Exchange, NetEvent, TurnedAway};
use crate::stream::{Broken, expect_end, read_body, read_header};

/// One call that arrived. The caller's identity was proved by TLS and admitted.
#[derive(Debug)]
pub struct Request {
    /// Who calls.
    pub peer: PublicIdentity,
    /// Which method; one of the service's table.
    pub method: &'static Method,
    /// The body, within the method's limit.
    pub body: Vec<u8>,
}

/// What an endpoint offers to its peers.
pub trait Service: Send + Sync + 'static {
    /// The calls it answers.
    fn methods(&self) -> &'static [Method];

    /// Answers one call. Dropped at the method's deadline; a panic is answered with `E-NET-13`.
    fn call(&self, request: Request) -> impl Future<Output = Result<Vec<u8>, Refusal>> + Send;
}

impl Endpoint {
    /// Serves until the endpoint is closed.
    pub async fn serve<S: Service>(&self, service: Arc<S>) {
        let handshakes = Arc::new(Semaphore::new(places(self.inner.limits.handshakes_max)));
        let mut connections = JoinSet::new();
        while let Some(incoming) = self.inner.quic.accept().await {
            while connections.try_join_next().is_some() {}
            let Ok(handshake) = handshakes.clone().try_acquire_owned() else {
                self.inner.turn_away(TurnedAway::Crowded);
                incoming.refuse();
                continue;
            };
            connections.spawn(take_in(self.inner.clone(), service.clone(), incoming, handshake));
        }
        connections.shutdown().await;
    }
}

async fn take_in<S: Service>(
    inner: Arc<Inner>,
    service: Arc<S>,
    incoming: Incoming,
    handshake: OwnedSemaphorePermit,
) {
    let Ok(Ok(connection)) = timeout(inner.limits.handshake_timeout, incoming.into_future()).await else {
        inner.turn_away(TurnedAway::Handshake);
        return;
    };
    drop(handshake);
    let peer = remote_identity(&connection);
    if !inner.key_exchange.met_by(&connection) {
        inner.turn_away(TurnedAway::Handshake);
        connection.close(close::KEY_EXCHANGE, b"hybrid key exchange required");
        return;
    }
    if !inner.admission.lets_in(&peer) {
        inner.turn_away(TurnedAway::Identity);
        connection.close(close::NOT_ADMITTED, b"E-NET-03");
        return;
    }
    let Some(_seat) = Seat::take(&inner, peer) else {
        inner.turn_away(TurnedAway::Crowded);
        connection.close(close::CROWDED, b"E-RES-20");
        return;
    };
    inner.observer.record(NetEvent::Connected);
    serve_connection(&inner, &service, &connection, peer).await;
    inner.observer.record(NetEvent::Disconnected);
}

/// Takes calls until the connection ends or its identity is no longer admitted.
async fn serve_connection<S: Service>(
    inner: &Arc<Inner>,
    service: &Arc<S>,
    connection: &Connection,
    peer: PublicIdentity,
) {
    let mut admission = inner.admission.subscribe();
    let places = Arc::new(Semaphore::new(places(inner.limits.calls_per_peer_max)));
    let mut calls = JoinSet::new();
    loop {
        while calls.try_join_next().is_some() {}
        tokio::select! {
            stream = connection.accept_bi() => {
                let Ok((send, receive)) = stream else { break };
                let caller = Caller { inner: inner.clone(), peer, places: places.clone() };
                calls.spawn(caller.serve(service.clone(), send, receive));
            }
            changed = admission.changed() => {
                if changed.is_err() || !inner.admission.lets_in(&peer) {
                    inner.turn_away(TurnedAway::Identity);
                    connection.close(close::NOT_ADMITTED, b"E-NET-03");
                    break;
                }
            }
        }
    }
    // The caller is gone: what it asked for is dropped, and with it the work that only it wanted.
    calls.shutdown().await;
}

/// One call's surroundings.
struct Caller {
    inner: Arc<Inner>,
    peer: PublicIdentity,
    places: Arc<Semaphore>,
}

/// What a call came to, for the observer.
struct Answered {
    method: &'static str,
    request_bytes: u64,
    answer: Result<Vec<u8>, Refusal>,
}

impl Caller {
    async fn serve<S: Service>(self, service: Arc<S>, mut send: SendStream, mut receive: RecvStream) {
        let _served = Served::begin(&self.inner);
        let started = Instant::now();
        let transfer = self.inner.limits.transfer_timeout;
        let header = match timeout(transfer, read_header(&mut receive)).await {
            Ok(Ok(header)) => Ok(header),
            // The caller went away: nobody is left to answer.
            Ok(Err(Broken::Lost)) => return,
            Ok(Err(Broken::Frame(_))) => Err(refusal::MALFORMED),
            Err(_) => Err(refusal::DEADLINE),
        };
        let id = header.as_ref().map_or(0, |header| header.method);
        let answered = match header {
            Ok(header) => self.answer(&service, header, &mut receive).await,
            Err(refusal) => Answered { method: "unknown", request_bytes: 0, answer: Err(refusal) },
        };
        if answered.answer.is_err() {
            let _ = receive.stop(close::STREAM_UNWANTED);
        }
        let exchange = Exchange {
            method: answered.method,
            outcome: outcome(&answered.answer),
            request_bytes: answered.request_bytes,
            response_bytes: answered.answer.as_ref().map_or(0, |body| body.len() as u64),
            duration: started.elapsed(),
        };
        if timeout(transfer, write_answer(&mut send, id, answered.answer)).await.is_err() {
            let _ = send.reset(close::STREAM_UNWANTED);
        }
        self.inner.observer.record(NetEvent::Served(exchange));
    }

    async fn answer<S: Service>(
        &self,
        service: &Arc<S>,
        header: Header,
        receive: &mut RecvStream,
    ) -> Answered {
        let Some(method) = find(service.methods(), header.method) else {
            return Answered { method: "unknown", request_bytes: 0, answer: Err(refusal::UNKNOWN_METHOD) };
        };
        let request_bytes = header.length.into();
        let answer = self.answer_method(service, method, header, receive).await;
        Answered { method: method.name, request_bytes, answer }
    }

    async fn answer_method<S: Service>(
        &self,
        service: &Arc<S>,
        method: &'static Method,
        header: Header,
        receive: &mut RecvStream,
    ) -> Result<Vec<u8>, Refusal> {
        header.expect_kind(&[Kind::Request]).map_err(|_| refusal::MALFORMED)?;
        let length = header.length_within(method.request_bytes_max).map_err(|_| refusal::TOO_LONG)?;
        let _one_of_peer = self.places.clone().try_acquire_owned().map_err(|_| refusal::BUSY)?;
        let _one_of_all = self.inner.calls.clone().try_acquire_owned().map_err(|_| refusal::BUSY)?;
        let kib = header.length.div_ceil(1024);
        let _memory =
            self.inner.request_kib.clone().try_acquire_many_owned(kib).map_err(|_| refusal::BUSY)?;
        let body = timeout(self.inner.limits.transfer_timeout, read_request(receive, length))
            .await
            .map_err(|_| refusal::DEADLINE)?
            .map_err(refusal_of)?;
        let request = Request { peer: self.peer, method, body };
        run(service.clone(), request, method.deadline).await
    }
}

async fn read_request(receive: &mut RecvStream, length: usize) -> Result<Vec<u8>, Broken> {
    let body = read_body(receive, length).await?;
    expect_end(receive).await?;
    Ok(body)
}

/// The handler in a task of its own, so that its panic is an answer and not the end of the connection.
async fn run<S: Service>(service: Arc<S>, request: Request, deadline: Duration) -> Result<Vec<u8>, Refusal> {
    let limit = request.method.response_bytes_max;
    let mut task = JoinSet::new();
    task.spawn(async move { service.call(request).await });
    let body = match timeout(deadline, task.join_next()).await {
        Ok(Some(Ok(answer))) => answer?,
        Ok(_) => return Err(refusal::INTERNAL),
        Err(_) => return Err(refusal::DEADLINE),
    };
    // The service broke its own limit; the peer would refuse to read it.
    if body.len() as u64 > u64::from(limit) {
        return Err(refusal::INTERNAL);
    }
    Ok(body)
}

async fn write_answer(send: &mut SendStream, method: u16, answer: Result<Vec<u8>, Refusal>) {
    let (kind, body) = match answer {
        Ok(body) => (Kind::Response, body),
        Err(refusal) => (Kind::Refusal, refusal.encode()),
    };
    let length = u32::try_from(body.len()).expect("bodies were compared with a 32-bit limit");
    let header = Header { kind, method, length }.encode();
    if send.write_all_chunks(&mut [Bytes::copy_from_slice(&header), body.into()]).await.is_ok() {
        let _ = send.finish();
        // Until the caller has all of it: whoever closes the endpoint before takes the rest of the answer back.
        let _ = send.stopped().await;
    }
}

/// Counts a call as long as it is served.
struct Served<'a>(&'a Inner);

impl<'a> Served<'a> {
    fn begin(inner: &'a Inner) -> Self {
        inner.serving.fetch_add(1, Ordering::SeqCst);
        Self(inner)
    }
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        self.0.serving.fetch_sub(1, Ordering::SeqCst);
    }
}

fn refusal_of(broken: Broken) -> Refusal {
    match broken {
        Broken::Frame(FrameError::TooLong { .. }) => refusal::TOO_LONG,
        Broken::Frame(_) | Broken::Lost => refusal::MALFORMED,
    }
}

fn outcome(answer: &Result<Vec<u8>, Refusal>) -> &'static str {
    match answer {
        Ok(_) => "ok",
        // Metrics take fixed words only: a refusal of the service itself shows as its borrowed code.
        Err(refusal) => match refusal.code {
            std::borrow::Cow::Borrowed(code) => code,
            std::borrow::Cow::Owned(_) => "refused",
        },
    }
}

impl Inner {
    fn turn_away(&self, why: TurnedAway) {
        tracing::debug!(code = why.code(), "a peer was turned away");
        self.observer.record(NetEvent::TurnedAway(why));
    }
}

/// A connection's place among those taken in; given back when dropped.
struct Seat {
    inner: Arc<Inner>,
    peer: PublicIdentity,
}

impl Seat {
    fn take(inner: &Arc<Inner>, peer: PublicIdentity) -> Option<Self> {
        let mut inbound = inner.inbound.write().unwrap_or_else(PoisonError::into_inner);
        let total: u32 = inbound.values().sum();
        let of_peer = inbound.entry(peer).or_default();
        if total >= inner.limits.connections_max || *of_peer >= inner.limits.connections_per_peer_max {
            if *of_peer == 0 {
                inbound.remove(&peer);
            }
            return None;
        }
        *of_peer += 1;
        Some(Self { inner: inner.clone(), peer })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inbound = self.inner.inbound.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = inbound.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                inbound.remove(&self.peer);
            }
        }
    }
}
