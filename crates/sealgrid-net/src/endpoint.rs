//! One QUIC endpoint of one identity: bound, addressed, calling and serving.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use iroh::endpoint::{Connection, ConnectionError, IdleTimeout, QuicTransportConfig, VarInt, presets};
use iroh::{EndpointAddr, EndpointId, RelayMode, RelayUrl, SecretKey};
use iroh_mdns_address_lookup::MdnsAddressLookup;
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};
use tokio::sync::Semaphore;

use crate::admission::{Admission, Admit};
use crate::call::Links;
use crate::crypto::{KeyExchange, negotiated_group};
use crate::error::BindError;
use crate::observe::{Observer, Unobserved};

/// The application protocol of TLS (ALPN): another version of the frames takes another name.
pub const ALPN: &[u8] = b"sealgrid/1";
/// The name under which endpoints announce themselves on the local network.
const MDNS_SERVICE: &str = "sealgrid1";

/// How long peers have to learn that an endpoint closes.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// Codes of QUIC's application close.
pub(crate) mod close {
    use iroh::endpoint::VarInt;

    pub(crate) const NOT_ADMITTED: VarInt = VarInt::from_u32(1);
    pub(crate) const KEY_EXCHANGE: VarInt = VarInt::from_u32(2);
    pub(crate) const CROWDED: VarInt = VarInt::from_u32(3);
    pub(crate) const SILENT: VarInt = VarInt::from_u32(4);
    /// Of one stream, not a connection: the rest of this stream is not wanted.
    pub(crate) const STREAM_UNWANTED: VarInt = VarInt::from_u32(5);
}

/// How an endpoint is set up.
pub struct EndpointConfig {
    /// Addresses to listen on; port 0 takes a free one. Default: a free port of 127.0.0.1.
    pub bind: Vec<SocketAddr>,
    /// Who may connect. Default: nobody.
    pub admission: Admission,
    /// Where peers are. Default: empty.
    pub peers: AddressBook,
    /// Key exchanges taken. Default: hybrid post-quantum or no connection.
    pub key_exchange: KeyExchange,
    /// One's own relay for peers behind address translation; never a stranger's. Default: none.
    pub relay: Option<String>,
    /// Announce and look for peers on the local network (mDNS). Default: off.
    pub local_discovery: bool,
    /// Bounds.
    pub limits: Limits,
    /// Who is told what happens. Default: nobody.
    pub observer: Arc<dyn Observer>,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            bind: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
            admission: Admission::new(Admit::Nobody),
            peers: AddressBook::default(),
            key_exchange: KeyExchange::default(),
            relay: None,
            local_discovery: false,
            limits: Limits::default(),
            observer: Arc::new(Unobserved),
        }
    }
}

/// Bounds of an endpoint. Everything that can queue has one.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Calls of one peer handled at once; one more is refused with `E-RES-20`.
    pub calls_per_peer_max: u32,
    /// Calls of all peers handled at once; one more is refused with `E-RES-20`.
    pub calls_max: u32,
    /// Bytes of request bodies in memory; a request that does not fit is refused with `E-RES-20`.
    pub request_bytes_in_memory_max: u32,
    /// Connections taken in.
    pub connections_max: u32,
    /// Connections taken in from one identity.
    pub connections_per_peer_max: u32,
    /// Handshakes under way; one more is refused before any cryptography.
    pub handshakes_max: u32,
    /// Longest handshake, also when calling.
    pub handshake_timeout: Duration,
    /// Longest time for a request to arrive, and for an answer to be taken.
    pub transfer_timeout: Duration,
    /// Calls to one peer waiting here for a place; one more fails with `E-RES-21`.
    pub waiting_per_peer_max: u32,
    /// A connection on which nothing arrives for so long is dead. Keep-alives go out three times as often.
    pub idle_timeout: Duration,
    /// After a failed connection attempt further ones wait this long, then twice as long, …
    pub backoff_min: Duration,
    /// … up to this.
    pub backoff_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls_per_peer_max: 64,
            calls_max: 1024,
            request_bytes_in_memory_max: 256 << 20,
            connections_max: 1024,
            connections_per_peer_max: 8,
            handshakes_max: 64,
            handshake_timeout: Duration::from_secs(3),
            transfer_timeout: Duration::from_secs(20),
            waiting_per_peer_max: 1024,
            idle_timeout: Duration::from_secs(6),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(5),
        }
    }
}

/// Where peers listen. Static entries; the local network's discovery adds to them inside the endpoint.
#[derive(Clone, Debug, Default)]
pub struct AddressBook(Arc<RwLock<BTreeMap<PublicIdentity, Vec<SocketAddr>>>>);

impl AddressBook {
    /// Sets the addresses of one peer.
    pub fn set(&self, peer: PublicIdentity, addresses: Vec<SocketAddr>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(peer, addresses);
    }

    /// Replaces the whole book.
    pub fn replace(&self, entries: impl IntoIterator<Item = (PublicIdentity, Vec<SocketAddr>)>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = entries.into_iter().collect();
    }

    /// The addresses of one peer; empty when it is not in the book.
    #[must_use]
    pub fn addresses(&self, peer: &PublicIdentity) -> Vec<SocketAddr> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(peer).cloned().unwrap_or_default()
    }
}

/// A bound endpoint. Clones share it.
#[derive(Clone)]
pub struct Endpoint {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) quic: iroh::Endpoint,
    pub(crate) identity: PublicIdentity,
    pub(crate) admission: Admission,
    pub(crate) peers: AddressBook,
    pub(crate) key_exchange: KeyExchange,
    relay: Option<RelayUrl>,
    local_discovery: bool,
    pub(crate) limits: Limits,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) links: Links,
    pub(crate) calls: Arc<Semaphore>,
    pub(crate) request_kib: Arc<Semaphore>,
    pub(crate) serving: AtomicU32,
    pub(crate) inbound: RwLock<HashMap<PublicIdentity, u32>>,
}

impl Endpoint {
    /// Binds the sockets of `config` for `identity`, whose Ed25519 key is the TLS key.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn bind(identity: &SigningIdentity, config: EndpointConfig) -> Result<Self, BindError> {
        let relay = match &config.relay {
            Some(url) => Some(url.parse::<RelayUrl>().map_err(|_| BindError::Relay)?),
            None => None,
        };
        let key = SecretKey::from_bytes(identity.seed().expose());
        let mut builder = iroh::Endpoint::builder(presets::Minimal)
            .secret_key(key)
            .crypto_provider(config.key_exchange.provider())
            .alpns(vec![ALPN.to_vec()])
            .transport_config(transport(&config.limits))
            // A resumed session would skip nothing we want skipped, and early data can be replayed.
            .max_tls_tickets(0)
            .relay_mode(relay.clone().map_or(RelayMode::Disabled, |url| RelayMode::custom([url])))
            .clear_ip_transports();
        for address in &config.bind {
            builder = builder.bind_addr(*address).map_err(|error| socket_error(&config.bind, error))?;
        }
        if config.local_discovery {
            builder = builder.address_lookup(MdnsAddressLookup::builder().service_name(MDNS_SERVICE));
        }
        let quic = Box::pin(builder.bind()).await.map_err(|error| socket_error(&config.bind, error))?;
        Ok(Self {
            inner: Arc::new(Inner {
                quic,
                identity: identity.public(),
                admission: config.admission,
                peers: config.peers,
                key_exchange: config.key_exchange,
                relay,
                local_discovery: config.local_discovery,
                links: Links::default(),
                calls: Arc::new(Semaphore::new(places(config.limits.calls_max))),
                request_kib: Arc::new(Semaphore::new(places(
                    config.limits.request_bytes_in_memory_max.div_ceil(1024),
                ))),
                serving: AtomicU32::new(0),
                limits: config.limits,
                observer: config.observer,
                inbound: RwLock::default(),
            }),
        })
    }

    /// This endpoint's identity.
    #[must_use]
    pub fn identity(&self) -> PublicIdentity {
        self.inner.identity
    }

    /// The addresses it listens on, with real port numbers.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.inner.quic.bound_sockets()
    }

    /// The list of admitted identities in force.
    #[must_use]
    pub fn admission(&self) -> &Admission {
        &self.inner.admission
    }

    /// The book of addresses it dials.
    #[must_use]
    pub fn peers(&self) -> &AddressBook {
        &self.inner.peers
    }

    /// The TLS key exchange of the open connection to `peer`, such as `X25519MLKEM768`; `None` without one.
    pub async fn key_exchange_with(&self, peer: &PublicIdentity) -> Option<String> {
        let connection = self.inner.links.open_connection(peer).await?;
        negotiated_group(&connection).map(|group| format!("{group:?}"))
    }

    /// Calls of others that are not over yet: being read, handled, or their answer not yet with the caller.
    #[must_use]
    pub fn serving(&self) -> u32 {
        self.inner.serving.load(Ordering::SeqCst)
    }

    /// Tells every peer and closes the sockets, within a second: a peer that is gone must not hold up the end of a node.
    /// Calls under way fail.
    pub async fn close(&self) {
        let _peer_that_is_gone = tokio::time::timeout(CLOSE_WITHIN, self.inner.quic.close()).await;
    }
}

impl Inner {
    /// Everything known about where `peer` is; `None` when that is nothing.
    pub(crate) fn address_of(&self, peer: &PublicIdentity) -> Option<EndpointAddr> {
        let id = EndpointId::from_bytes(&peer.0).ok()?;
        let mut address = EndpointAddr::new(id);
        for socket in self.peers.addresses(peer) {
            address = address.with_ip_addr(socket);
        }
        if let Some(relay) = &self.relay {
            address = address.with_relay_url(relay.clone());
        }
        (self.local_discovery || !address.is_empty()).then_some(address)
    }

    /// The addresses of `peer` where these are the only ways to it; else none.
    pub(crate) fn only_addresses_of(&self, peer: &PublicIdentity) -> Vec<SocketAddr> {
        let others = self.relay.is_some() || self.local_discovery;
        if others { Vec::new() } else { self.peers.addresses(peer) }
    }
}

/// The identity that TLS proved for the other end.
pub(crate) fn remote_identity(connection: &Connection) -> PublicIdentity {
    PublicIdentity(*connection.remote_id().as_bytes())
}

/// Whether the other end closed with one of our codes.
pub(crate) fn closed_with(error: &ConnectionError, code: VarInt) -> bool {
    matches!(error, ConnectionError::ApplicationClosed(close) if close.error_code == code)
}

pub(crate) fn places(count: u32) -> usize {
    usize::try_from(count).expect("u32 fits usize on every supported target").min(Semaphore::MAX_PERMITS)
}

fn transport(limits: &Limits) -> QuicTransportConfig {
    let idle = IdleTimeout::try_from(limits.idle_timeout).expect("a timeout of seconds fits QUIC's varint");
    QuicTransportConfig::builder()
        // Twice the calls that are handled: the second half is there to be told "busy", the rest waits at the sender.
        .max_concurrent_bidi_streams(VarInt::from_u32(limits.calls_per_peer_max.saturating_mul(2)))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(4 << 20))
        .receive_window(VarInt::from_u32(16 << 20))
        .send_window(16 << 20)
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(limits.idle_timeout / 3)
        .build()
}

fn socket_error(
    bind: &[SocketAddr],
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> BindError {
    let address = bind.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    BindError::Socket { address, source: error.into() }
}
