//! Our calls beside bare streams of the QUIC library they run on (docs/reference/benchmarks/node.md): an echo over loopback,
//! both ends in this process.

#![expect(clippy::print_stdout, reason = "a measuring program prints its measurements")]

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use iroh::endpoint::{Connection, presets};
use sealgrid_net::{
    ALPN, AddressBook, Admission, Admit, Endpoint, EndpointConfig, Method, Refusal, Request, Service,
};
use sealgrid_seal::identity::SigningIdentity;
use sealgrid_seal::secret::Secret;
use tokio::task::JoinSet;

const BODY_MAX: usize = 4 << 20;
const ECHO: Method = Method {
    id: 1,
    name: "echo",
    request_bytes_max: 4 << 20,
    response_bytes_max: 4 << 20,
    deadline: Duration::from_secs(60),
};

struct Echo;

impl Service for Echo {
    fn methods(&self) -> &'static [Method] {
        &[ECHO]
    }

    async fn call(&self, request: Request) -> Result<Vec<u8>, Refusal> {
        Ok(request.body)
    }
}

fn person(seed: u8) -> SigningIdentity {
    SigningIdentity::from_seed(&Secret::new([seed; 32]))
}

/// A caller and whom it calls, by our calls.
async fn ours() -> (Endpoint, Endpoint) {
    let config = EndpointConfig { admission: Admission::new(Admit::Anyone), ..EndpointConfig::default() };
    let server = Endpoint::bind(&person(1), config).await.expect("binds");
    let serving = server.clone();
    tokio::spawn(async move { serving.serve(Arc::new(Echo)).await });
    let peers = AddressBook::default();
    peers.set(server.identity(), server.addresses());
    let caller = Endpoint::bind(&person(2), EndpointConfig { peers, ..EndpointConfig::default() }).await;
    (caller.expect("binds"), server)
}

async fn bare_endpoint(seed: u8) -> iroh::Endpoint {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519MLKEM768];
    iroh::Endpoint::builder(presets::Minimal)
        .crypto_provider(Arc::new(provider))
        .secret_key(iroh::SecretKey::from_bytes(person(seed).seed().expose()))
        .alpns(vec![ALPN.to_vec()])
        .relay_mode(iroh::RelayMode::Disabled)
        .clear_ip_transports()
        .bind_addr("127.0.0.1:0")
        .expect("an address")
        .bind()
        .await
        .expect("binds")
}

/// The same with nothing between: a connection, and a task a stream that sends back what it reads.
async fn bare() -> (iroh::Endpoint, Connection) {
    let (server, caller) = (bare_endpoint(3).await, bare_endpoint(4).await);
    let sockets = server.bound_sockets().into_iter();
    let at = sockets.fold(iroh::EndpointAddr::new(server.id()), iroh::EndpointAddr::with_ip_addr);
    tokio::spawn(async move {
        let connection = server.accept().await.expect("a caller").await.expect("a connection");
        while let Ok((mut send, mut receive)) = connection.accept_bi().await {
            tokio::spawn(async move {
                let body = receive.read_to_end(BODY_MAX).await.expect("whole");
                send.write_all(&body).await.expect("taken");
                let _ = send.finish();
            });
        }
    });
    let connection = caller.connect(at, ALPN).await.expect("connects");
    (caller, connection)
}

async fn bare_call(connection: &Connection, body: &[u8]) {
    let (mut send, mut receive) = connection.open_bi().await.expect("open");
    send.write_all(body).await.expect("taken");
    let _ = send.finish();
    assert_eq!(receive.read_to_end(BODY_MAX).await.expect("whole").len(), body.len());
}

/// Least and median of one call after another.
async fn one_by_one<F: Future<Output = ()>>(times: usize, call: impl Fn() -> F) -> (Duration, Duration) {
    let mut timed = Vec::new();
    for _ in 0..times {
        let started = Instant::now();
        call().await;
        timed.push(started.elapsed());
    }
    timed.sort_unstable();
    (timed[0], timed[times / 2])
}

/// Calls a second with `in_flight` under way.
async fn many<F: Future<Output = ()> + Send + 'static>(
    in_flight: usize,
    times: usize,
    call: impl Fn() -> F + Clone + Send + 'static,
) -> f64 {
    let started = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..in_flight {
        let call = call.clone();
        running.spawn(async move {
            for _ in 0..times / in_flight {
                call().await;
            }
        });
    }
    while running.join_next().await.is_some() {}
    times as f64 / started.elapsed().as_secs_f64()
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("starts").block_on(Box::pin(measure()));
}

async fn measure() {
    let (caller, server) = ours().await;
    let (_endpoint, connection) = bare().await;
    let peer = server.identity();
    for round in 1..=3 {
        println!("round {round}");
        for (name, bytes, times, in_flight) in
            [("32 bytes", 32, 3000, 48), ("4 KiB", 4 << 10, 3000, 48), ("1 MiB", 1 << 20, 120, 4)]
        {
            let body = Arc::new(vec![7u8; bytes]);
            let our_call = {
                let (caller, body) = (caller.clone(), body.clone());
                move || {
                    let (caller, body) = (caller.clone(), body.clone());
                    async move {
                        let answer = caller.call(&peer, &ECHO, body.to_vec()).await.expect("answered");
                        assert_eq!(answer.len(), body.len());
                    }
                }
            };
            let bare = {
                let (connection, body) = (connection.clone(), body.clone());
                move || {
                    let (connection, body) = (connection.clone(), body.clone());
                    async move { bare_call(&connection, &body).await }
                }
            };
            let (least, median) = one_by_one(times / 4, &our_call).await;
            let (bare_least, bare_median) = one_by_one(times / 4, &bare).await;
            let rate = many(in_flight, times, our_call).await;
            let bare_rate = many(in_flight, times, bare).await;
            println!("  {name}");
            println!("    ours: least {least:.1?}, median {median:.1?}; {in_flight} in flight {rate:.0}/s");
            println!(
                "    bare: least {bare_least:.1?}, median {bare_median:.1?}; {in_flight} in flight {bare_rate:.0}/s"
            );
        }
    }
}
