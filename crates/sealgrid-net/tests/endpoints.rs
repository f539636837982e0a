//! Two real endpoints on loopback: what passes, and every way to be refused, each with its code.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use iroh::endpoint::presets;
use sealgrid_net::frame::{HEADER_BYTES, Header, Kind, Refusal};
use sealgrid_net::observe::TurnedAway;
use sealgrid_net::{
    ALPN, AddressBook, Admission, Admit, CallError, Endpoint, EndpointConfig, KeyExchange, Limits, Method,
    NetEvent, Observer, Request, Service,
};
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};
use sealgrid_seal::secret::Secret;

const ECHO: Method = Method {
    id: 1,
    name: "echo",
    request_bytes_max: 4 << 20,
    response_bytes_max: 4 << 20,
    deadline: Duration::from_secs(10),
};
/// Sleeps for the number of milliseconds in its body (two bytes).
const SLEEP: Method =
    Method { id: 2, name: "sleep", request_bytes_max: 2, deadline: Duration::from_millis(1500), ..ECHO };
const PANIC: Method = Method { id: 3, name: "panic", ..ECHO };
const REFUSE: Method = Method { id: 4, name: "refuse", ..ECHO };
const TABLE: &[Method] = &[ECHO, SLEEP, PANIC, REFUSE];

#[derive(Default)]
struct Echo {
    running: AtomicU32,
    most: AtomicU32,
}

impl Service for Echo {
    fn methods(&self) -> &'static [Method] {
        TABLE
    }

    async fn call(&self, request: Request) -> Result<Vec<u8>, Refusal> {
        match request.method.id {
            1 => Ok(request.body),
            2 => {
                self.most.fetch_max(self.running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let millis = u16::from_be_bytes(request.body[..2].try_into().expect("two bytes"));
                tokio::time::sleep(Duration::from_millis(millis.into())).await;
                self.running.fetch_sub(1, Ordering::SeqCst);
                Ok(Vec::new())
            }
            3 => panic!("as asked"),
            _ => Err(Refusal::new("E-POL-01", "not today")),
        }
    }
}

#[derive(Default)]
struct Log(Mutex<Vec<NetEvent>>);

impl Observer for Log {
    fn record(&self, event: NetEvent) {
        self.0.lock().expect("no panic while held").push(event);
    }
}

impl Log {
    async fn saw(&self, wanted: impl Fn(&NetEvent) -> bool) -> bool {
        for _ in 0..100 {
            if self.0.lock().expect("no panic while held").iter().any(&wanted) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }
}

fn person(seed: u8) -> SigningIdentity {
    SigningIdentity::from_seed(&Secret::new([seed; 32]))
}

fn only(identities: &[&SigningIdentity]) -> Admission {
    Admission::new(Admit::Listed(identities.iter().map(|identity| identity.public()).collect::<HashSet<_>>()))
}

async fn server(identity: &SigningIdentity, config: EndpointConfig) -> (Endpoint, Arc<Echo>) {
    let endpoint = Endpoint::bind(identity, config).await.expect("binds");
    let service = Arc::new(Echo::default());
    let (serving, answering) = (endpoint.clone(), service.clone());
    tokio::spawn(async move { serving.serve(answering).await });
    (endpoint, service)
}

async fn caller(identity: &SigningIdentity, of: &Endpoint) -> Endpoint {
    let peers = AddressBook::default();
    peers.set(of.identity(), of.addresses());
    Endpoint::bind(identity, EndpointConfig { peers, ..EndpointConfig::default() }).await.expect("binds")
}

/// A server that admits one caller, that caller, and the server's log.
async fn pair() -> (Endpoint, Endpoint, Arc<Log>) {
    let (alice, bob) = (person(1), person(2));
    let log = Arc::new(Log::default());
    let config =
        EndpointConfig { admission: only(&[&alice]), observer: log.clone(), ..EndpointConfig::default() };
    let (server, _) = server(&bob, config).await;
    let caller = caller(&alice, &server).await;
    (server, caller, log)
}

fn millis(count: u16) -> Vec<u8> {
    count.to_be_bytes().to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_returns_its_answer_over_the_hybrid_key_exchange() {
    let (server, caller, log) = pair().await;
    for size in [0, 1, 1000, 4 << 20] {
        let body: Vec<u8> = (0..size).map(|i: u32| i.to_le_bytes()[0]).collect();
        assert_eq!(caller.call(&server.identity(), &ECHO, body.clone()).await, Ok(body));
    }
    assert_eq!(caller.key_exchange_with(&server.identity()).await.as_deref(), Some("X25519MLKEM768"));
    assert!(
        log.saw(
            |event| matches!(event, NetEvent::Served(call) if call.method == "echo" && call.outcome == "ok")
        )
        .await
    );
    // One connection carried all of them.
    let connected =
        log.0.lock().expect("no panic while held").iter().filter(|e| **e == NetEvent::Connected).count();
    assert_eq!(connected, 1);
}

#[tokio::test]
async fn an_unknown_identity_is_turned_away_with_its_code() {
    let (server, _, log) = pair().await;
    let mallory = caller(&person(66), &server).await;
    let answer = mallory.call(&server.identity(), &ECHO, vec![1]).await;
    assert_eq!(answer, Err(CallError::NotAdmitted));
    assert_eq!(CallError::NotAdmitted.code(), "E-NET-03");
    assert!(log.saw(|event| *event == NetEvent::TurnedAway(TurnedAway::Identity)).await);
}

#[tokio::test]
async fn an_identity_struck_from_the_list_loses_its_open_connection() {
    let (server, caller, _) = pair().await;
    assert!(caller.call(&server.identity(), &ECHO, vec![1]).await.is_ok());
    server.admission().replace(Admit::Nobody);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(caller.call(&server.identity(), &ECHO, vec![1]).await, Err(CallError::NotAdmitted));
    server.admission().replace(Admit::Anyone);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(caller.call(&server.identity(), &ECHO, vec![1]).await, Ok(vec![1]));
}

#[tokio::test]
async fn another_identity_than_the_one_dialled_is_no_connection() {
    let (server, caller, _) = pair().await;
    let expected = person(3).public();
    caller.peers().set(expected, server.addresses());
    let answer = caller.call(&expected, &ECHO, vec![1]).await;
    assert_eq!(answer.expect_err("the key differs").code(), "E-NET-04");
}

#[tokio::test]
async fn a_peer_without_the_hybrid_key_exchange_is_refused() {
    let (server, _, log) = pair().await;
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519];
    let classical = iroh::Endpoint::builder(presets::Minimal)
        .crypto_provider(Arc::new(provider))
        .secret_key(iroh::SecretKey::from_bytes(person(1).seed().expose()))
        .relay_mode(iroh::RelayMode::Disabled)
        .bind()
        .await
        .expect("binds");
    assert!(classical.connect(address(&server), ALPN).await.is_err());
    assert!(log.saw(|event| *event == NetEvent::TurnedAway(TurnedAway::Handshake)).await);
    assert_eq!(TurnedAway::Handshake.code(), "E-NET-04");
}

#[tokio::test]
async fn where_hybrid_is_only_preferred_a_classical_peer_may_connect() {
    let config = EndpointConfig {
        key_exchange: KeyExchange::HybridPreferred,
        admission: Admission::new(Admit::Anyone),
        ..EndpointConfig::default()
    };
    let (server, _) = server(&person(2), config).await;
    let caller = caller(&person(1), &server).await;
    assert!(caller.call(&server.identity(), &ECHO, vec![1]).await.is_ok());
    assert_eq!(caller.key_exchange_with(&server.identity()).await.as_deref(), Some("X25519MLKEM768"));
}

#[tokio::test]
async fn an_oversized_request_is_refused_on_both_sides() {
    let (server, caller, _) = pair().await;
    let body = vec![0; (4 << 20) + 1];
    // Here, before anything is sent…
    let here = caller.call(&server.identity(), &ECHO, body.clone()).await.expect_err("too long");
    assert_eq!(here.code(), "E-NET-09");
    // …and there, by a server whose limit is lower, before the body is read.
    let generous = Method { request_bytes_max: u32::MAX, ..ECHO };
    let there = caller.call(&server.identity(), &generous, body).await.expect_err("too long");
    assert!(matches!(there, CallError::Refused(_)));
    assert_eq!(there.code(), "E-NET-09");
}

#[tokio::test]
async fn an_oversized_answer_is_not_read() {
    let (server, caller, _) = pair().await;
    let strict = Method { response_bytes_max: 3, ..ECHO };
    let answer = caller.call(&server.identity(), &strict, vec![0; 4]).await;
    assert_eq!(answer, Err(CallError::TooLong { length: 4, limit: 3 }));
}

#[tokio::test]
async fn refusals_of_the_service_the_table_and_a_panic_arrive_typed() {
    let (server, caller, _) = pair().await;
    let refused = |answer: Result<Vec<u8>, CallError>| match answer {
        Err(CallError::Refused(refusal)) => refusal.code.to_string(),
        other => panic!("{other:?}"),
    };
    let unknown = Method { id: 99, ..ECHO };
    assert_eq!(refused(caller.call(&server.identity(), &REFUSE, vec![]).await), "E-POL-01");
    assert_eq!(refused(caller.call(&server.identity(), &unknown, vec![]).await), "E-NET-11");
    assert_eq!(refused(caller.call(&server.identity(), &PANIC, vec![]).await), "E-NET-13");
    assert_eq!(caller.call(&server.identity(), &ECHO, vec![7]).await, Ok(vec![7]), "the connection survives");
}

#[tokio::test]
async fn a_slow_peer_costs_no_more_than_the_deadline() {
    let (server, caller, _) = pair().await;
    let started = Instant::now();
    let answer = caller.call(&server.identity(), &SLEEP, millis(5000)).await.expect_err("too slow");
    assert_eq!(answer.code(), "E-NET-07");
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(caller.call(&server.identity(), &ECHO, vec![7]).await, Ok(vec![7]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_calls_are_bounded_and_all_answered() {
    let alice = person(1);
    let limits = Limits { calls_per_peer_max: 8, ..Limits::default() };
    let config = EndpointConfig { admission: only(&[&alice]), limits, ..EndpointConfig::default() };
    let (server, service) = server(&person(2), config).await;
    let peers = AddressBook::default();
    peers.set(server.identity(), server.addresses());
    let caller = Endpoint::bind(&alice, EndpointConfig { peers, limits, ..EndpointConfig::default() })
        .await
        .expect("binds");
    let patient = Method { deadline: Duration::from_secs(10), ..SLEEP };
    let calls: Vec<_> = (0..40)
        .map(|_| {
            let (caller, peer) = (caller.clone(), server.identity());
            tokio::spawn(async move { caller.call(&peer, &patient, millis(20)).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.expect("no panic"), Ok(vec![]));
    }
    assert!(service.most.load(Ordering::SeqCst) <= 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_peer_says_busy_and_a_full_queue_says_so_too() {
    let alice = person(1);
    let few = Limits { calls_per_peer_max: 2, waiting_per_peer_max: 3, ..Limits::default() };
    let config = EndpointConfig { admission: only(&[&alice]), limits: few, ..EndpointConfig::default() };
    let (server, _) = server(&person(2), config).await;
    let peers = AddressBook::default();
    peers.set(server.identity(), server.addresses());
    let calls = async |limits: Limits| {
        let config = EndpointConfig { peers: peers.clone(), limits, ..EndpointConfig::default() };
        let caller = Endpoint::bind(&alice, config).await.expect("binds");
        let mut tasks = Vec::new();
        for _ in 0..10 {
            let (caller, peer) = (caller.clone(), server.identity());
            let patient = Method { deadline: Duration::from_secs(10), ..SLEEP };
            tasks.push(tokio::spawn(async move { caller.call(&peer, &patient, millis(100)).await }));
        }
        let mut codes = Vec::new();
        for task in tasks {
            codes.push(task.await.expect("no panic").map_or_else(|error| error.code(), |_| "ok"));
        }
        codes
    };
    // A caller with generous limits of its own is told by the peer…
    let codes = calls(Limits { calls_per_peer_max: 100, ..few }).await;
    assert!(codes.contains(&"ok") && codes.contains(&"E-RES-20"), "{codes:?}");
    // …one with the same limits stops at its own queue.
    let codes = calls(few).await;
    assert!(codes.contains(&"ok") && codes.contains(&"E-RES-21"), "{codes:?}");
}

#[tokio::test]
async fn a_peer_that_dies_and_returns_is_called_again() {
    let (alice, bob) = (person(1), person(2));
    let config = || EndpointConfig { admission: only(&[&alice]), ..EndpointConfig::default() };
    let (first, _) = server(&bob, config()).await;
    let address = first.addresses();
    let peers = AddressBook::default();
    peers.set(bob.public(), address.clone());
    let limits = Limits { handshake_timeout: Duration::from_millis(500), ..Limits::default() };
    let caller = Endpoint::bind(&alice, EndpointConfig { peers, limits, ..EndpointConfig::default() })
        .await
        .expect("binds");
    assert!(caller.call(&bob.public(), &ECHO, vec![1]).await.is_ok());
    first.close().await;
    let code = caller.call(&bob.public(), &ECHO, vec![1]).await.expect_err("it is gone").code();
    assert!(code == "E-NET-06" || code == "E-NET-08", "{code}");
    // While backing off, failure is immediate.
    let started = Instant::now();
    assert_eq!(caller.call(&bob.public(), &ECHO, vec![1]).await, Err(CallError::Unreachable));
    assert!(started.elapsed() < Duration::from_secs(1));
    drop(first);
    let second = loop {
        match Endpoint::bind(&bob, EndpointConfig { bind: address.clone(), ..config() }).await {
            Ok(endpoint) => break endpoint,
            // The last task that held the first one's socket is ending.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    tokio::spawn(async move { second.serve(Arc::new(Echo::default())).await });
    for _ in 0..100 {
        if caller.call(&bob.public(), &ECHO, vec![1]).await == Ok(vec![1]) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never reached again");
}

#[test]
fn a_peer_that_vanishes_without_a_word_is_noticed_at_the_deadline() {
    // The peer's runtime stops while its socket stays open: a machine that lost power, seen from outside.
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("starts")
    };
    let (here, there) = (runtime(), runtime());
    let (alice, bob) = (person(1), person(2));
    let config = EndpointConfig { admission: only(&[&alice]), ..EndpointConfig::default() };
    let (server, _) = there.block_on(server(&bob, config));
    let caller = here.block_on(caller(&alice, &server));
    let quick = Method { deadline: Duration::from_millis(400), ..ECHO };
    let call = |method: &Method| here.block_on(caller.call(&bob.public(), method, vec![1]));
    assert_eq!(call(&ECHO), Ok(vec![1]));
    // Waits until its threads have stopped: one that still runs would answer.
    there.shutdown_timeout(Duration::from_secs(60));
    // What the peer sent before it died (a late acknowledgement) may still be read after the first call begins, so
    // the first deadline or the second notices it; one that never does is the failure.
    let noticed = (0..5).any(|_| {
        assert_eq!(call(&quick), Err(CallError::Deadline));
        here.block_on(caller.key_exchange_with(&bob.public())).is_none()
    });
    assert!(noticed, "the dead connection is not kept");
    drop(server);
}

/// Not a test by itself: the process that the next test kills. Says where it listens and serves.
#[tokio::test]
#[ignore = "run as a child process by the test below"]
async fn child_serves_until_killed() {
    use std::io::Write as _;
    let config = EndpointConfig { admission: only(&[&person(1)]), ..EndpointConfig::default() };
    let (server, _) = server(&person(2), config).await;
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening {}", server.addresses()[0])
        .and_then(|()| out.flush())
        .expect("the parent reads");
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_is_unreachable_at_once_for_calls_under_way_and_new_ones() {
    use std::io::BufRead as _;
    let mut child = std::process::Command::new(std::env::current_exe().expect("known"))
        .args(["--exact", "child_serves_until_killed", "--ignored", "--nocapture"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("starts");
    let mut lines = std::io::BufReader::new(child.stdout.take().expect("piped")).lines();
    let address = lines
        .find_map(|line| line.ok()?.split_once("listening ")?.1.parse().ok())
        .expect("the child listens");
    let peers = AddressBook::default();
    peers.set(person(2).public(), vec![address]);
    // Timeouts that are out of the question: what ends the calls is that nobody holds the port.
    let far = Duration::from_secs(600);
    let limits = Limits { idle_timeout: far, handshake_timeout: far, ..Limits::default() };
    let config = EndpointConfig { peers, limits, ..EndpointConfig::default() };
    let caller = Endpoint::bind(&person(1), config).await.expect("binds");
    let bob = person(2).public();
    assert_eq!(caller.call(&bob, &ECHO, vec![1]).await, Ok(vec![1]));
    let waiting = {
        let (caller, patient) = (caller.clone(), Method { deadline: far, ..SLEEP });
        tokio::spawn(async move { caller.call(&bob, &patient, millis(60_000)).await })
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    child.kill().expect("kill -9");
    child.wait().expect("ended");
    assert_eq!(waiting.await.expect("no panic"), Err(CallError::Unreachable));
    tokio::time::sleep(Limits::default().backoff_min).await;
    let patient = Method { deadline: far, ..ECHO };
    assert_eq!(caller.call(&bob, &patient, vec![1]).await, Err(CallError::Unreachable));
}

#[tokio::test]
async fn no_address_no_relay_and_no_free_port_have_their_codes() {
    let lonely = Endpoint::bind(&person(1), EndpointConfig::default()).await.expect("binds");
    let nobody = PublicIdentity([9; 32]);
    assert_eq!(lonely.call(&nobody, &ECHO, vec![]).await.expect_err("unknown").code(), "E-NET-05");
    let taken = EndpointConfig { bind: lonely.addresses(), ..EndpointConfig::default() };
    assert_eq!(Endpoint::bind(&person(2), taken).await.err().expect("taken").code(), "E-NET-01");
    let relay = EndpointConfig { relay: Some("no url".to_owned()), ..EndpointConfig::default() };
    assert_eq!(Endpoint::bind(&person(2), relay).await.err().expect("no url").code(), "E-NET-02");
    lonely.peers().set(person(3).public(), lonely.addresses());
    lonely.close().await;
    assert_eq!(lonely.call(&person(3).public(), &ECHO, vec![]).await, Err(CallError::Closed));
    assert_eq!(CallError::Closed.code(), "E-NET-12");
}

/// Whether a datagram to the group of mDNS (RFC 6762) comes back to this machine.
fn multicast_works() -> std::io::Result<()> {
    let group = std::net::Ipv4Addr::new(224, 0, 0, 251);
    let listener = std::net::UdpSocket::bind("0.0.0.0:0")?;
    listener.join_multicast_v4(&group, &std::net::Ipv4Addr::UNSPECIFIED)?;
    listener.set_read_timeout(Some(Duration::from_secs(2)))?;
    let sender = std::net::UdpSocket::bind("0.0.0.0:0")?;
    sender.send_to(b"is anybody there", (group, listener.local_addr()?.port()))?;
    let mut heard = [0; 16];
    listener.recv(&mut heard).map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_of_the_local_network_find_each_other_without_addresses() {
    let config = |admission| EndpointConfig {
        bind: vec!["0.0.0.0:0".parse().expect("an address")],
        admission,
        local_discovery: true,
        ..EndpointConfig::default()
    };
    let (bob, alice) = (person(42), person(41));
    let (server, _) = server(&bob, config(only(&[&alice]))).await;
    // Without discovery an identity alone leads nowhere.
    let lonely = Endpoint::bind(&person(43), EndpointConfig::default()).await.expect("binds");
    assert_eq!(lonely.call(&server.identity(), &ECHO, vec![1]).await, Err(CallError::Unaddressed));

    let caller = Endpoint::bind(&alice, config(Admission::new(Admit::Nobody))).await.expect("binds");
    if let Err(error) = multicast_works() {
        eprintln!("SKIPPED: that peers find each other; multicast does not work here: {error}");
        // What discovery does then: it looks, and says that nobody answers, which is not the same as having no address.
        let quick = Method { deadline: Duration::from_secs(60), ..ECHO };
        let alone = caller.call(&person(44).public(), &quick, vec![1]).await;
        assert_eq!(alone, Err(CallError::Unreachable));
        return;
    }
    for _ in 0..60 {
        if caller.call(&server.identity(), &ECHO, vec![7]).await == Ok(vec![7]) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    panic!("multicast works, but the peer was not found");
}

fn address(of: &Endpoint) -> iroh::EndpointAddr {
    let id = iroh::EndpointId::from_bytes(&of.identity().0).expect("a key");
    of.addresses().into_iter().fold(iroh::EndpointAddr::new(id), iroh::EndpointAddr::with_ip_addr)
}

/// An admitted peer that speaks the transport but writes its own bytes.
async fn rogue(server: &Endpoint) -> (iroh::Endpoint, iroh::endpoint::Connection) {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519MLKEM768];
    let endpoint = iroh::Endpoint::builder(presets::Minimal)
        .crypto_provider(Arc::new(provider))
        .secret_key(iroh::SecretKey::from_bytes(person(1).seed().expose()))
        .relay_mode(iroh::RelayMode::Disabled)
        .bind()
        .await
        .expect("binds");
    let connection = endpoint.connect(address(server), ALPN).await.expect("connects");
    (endpoint, connection)
}

async fn answer_to(connection: &iroh::endpoint::Connection, bytes: &[u8]) -> String {
    let (mut send, mut receive) = connection.open_bi().await.expect("a stream");
    send.write_all(bytes).await.expect("written");
    send.finish().expect("open");
    let answer = receive.read_to_end(1000).await.expect("an answer");
    let header = Header::decode(answer[..HEADER_BYTES].try_into().expect("a header")).expect("a header");
    assert_eq!(header.kind, Kind::Refusal);
    Refusal::decode(&answer[HEADER_BYTES..]).expect("a refusal").code.into_owned()
}

#[tokio::test]
async fn bytes_that_are_no_frame_are_refused_and_the_connection_goes_on() {
    let (server, _, _) = pair().await;
    let (_endpoint, connection) = rogue(&server).await;
    let header = |kind, length| Header { kind, method: 1, length }.encode();
    let mut other_version = header(Kind::Request, 0);
    other_version[0] = 9;
    let trailing = [&header(Kind::Request, 1)[..], &[1, 2]].concat();
    let short = [&header(Kind::Request, 5)[..], &[1, 2]].concat();
    for bytes in [&b"GET"[..], &other_version, &header(Kind::Response, 0), &trailing, &short] {
        assert_eq!(answer_to(&connection, bytes).await, "E-NET-10");
    }
    assert_eq!(answer_to(&connection, &header(Kind::Request, u32::MAX)).await, "E-NET-09");
}
