//! TLS 1.2 is refused: a `ClientHello` without TLS 1.3 is put into a QUIC Initial packet by hand, because no client
//! library will, and the endpoint's answer is read: `CONNECTION_CLOSE` with the TLS alert `protocol_version`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::Side;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::quic::{Keys, Version};
use sealgrid_net::observe::TurnedAway;
use sealgrid_net::{ALPN, Endpoint, EndpointConfig, Method, NetEvent, Observer, Refusal, Request, Service};
use sealgrid_seal::identity::SigningIdentity;
use sealgrid_seal::secret::Secret;
use tokio::net::UdpSocket;

/// RFC 9001, section 4.8: a TLS alert is the transport error 0x100 + alert; `protocol_version` is alert 70 (RFC 8446, 6.2).
const CRYPTO_PROTOCOL_VERSION: u64 = 0x100 + 70;
/// `handshake_failure`, alert 40.
const CRYPTO_HANDSHAKE_FAILURE: u64 = 0x100 + 40;
const DESTINATION: [u8; 8] = *b"\x83\x94\xc8\xf0\x3e\x51\x57\x08";
const SOURCE: [u8; 8] = *b"\x01\x02\x03\x04\x05\x06\x07\x08";

struct Nothing;
impl Service for Nothing {
    fn methods(&self) -> &'static [Method] {
        &[]
    }
    async fn call(&self, _: Request) -> Result<Vec<u8>, Refusal> {
        Ok(Vec::new())
    }
}

#[derive(Default)]
struct Handshakes(Mutex<u32>);
impl Observer for Handshakes {
    fn record(&self, event: NetEvent) {
        if event == NetEvent::TurnedAway(TurnedAway::Handshake) {
            *self.0.lock().expect("no panic while held") += 1;
        }
    }
}

#[tokio::test]
async fn a_tls_1_2_client_hello_is_answered_with_protocol_version() {
    let observer = Arc::new(Handshakes::default());
    let config = EndpointConfig { observer: observer.clone(), ..EndpointConfig::default() };
    let endpoint =
        Endpoint::bind(&SigningIdentity::from_seed(&Secret::new([1; 32])), config).await.expect("binds");
    let serving = endpoint.clone();
    tokio::spawn(async move { serving.serve(Arc::new(Nothing)).await });

    // The same bytes with TLS 1.3 offered get past the version check (and fail later, for want of a key share).
    assert_eq!(close_code(&endpoint, &client_hello(&[0x0304])).await, CRYPTO_HANDSHAKE_FAILURE);
    assert_eq!(close_code(&endpoint, &client_hello(&[0x0303])).await, CRYPTO_PROTOCOL_VERSION);
    assert_eq!(close_code(&endpoint, &client_hello(&[])).await, CRYPTO_PROTOCOL_VERSION);
    assert_eq!(
        *observer.0.lock().expect("no panic while held"),
        3,
        "each is counted with its code, E-NET-04"
    );
}

async fn close_code(endpoint: &Endpoint, hello: &[u8]) -> u64 {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
    socket.send_to(&initial_packet(hello), endpoint.addresses()[0]).await.expect("sent");
    let mut answer = vec![0; 2048];
    let wait = tokio::time::timeout(Duration::from_secs(5), socket.recv(&mut answer));
    let length = wait.await.expect("an answer within five seconds").expect("received");
    connection_close(&mut answer[..length])
}

fn client_hello(versions: &[u16]) -> Vec<u8> {
    let mut extensions = Vec::new();
    let mut extension = |kind: u16, body: &[u8]| {
        extensions.extend(kind.to_be_bytes());
        extensions.extend(length16(body));
    };
    extension(10, &length16(&[0x11, 0xec])); // supported_groups: X25519MLKEM768
    extension(13, &length16(&[0x08, 0x07])); // signature_algorithms: ed25519
    extension(16, &length16(&length8(ALPN)));
    extension(57, &[&[0x0f, 8][..], &SOURCE].concat()); // quic_transport_parameters: initial_source_connection_id
    if !versions.is_empty() {
        let list: Vec<u8> = versions.iter().flat_map(|version| version.to_be_bytes()).collect();
        extension(43, &length8(&list));
    }
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0],
        &length16(&[0x13, 0x02, 0xc0, 0x2b]), // TLS13_AES_256_GCM_SHA384, ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        &[1, 0],
        &length16(&extensions),
    ]
    .concat();
    let length = u32::try_from(body.len()).expect("short").to_be_bytes();
    [&[1], &length[1..], &body].concat()
}

fn length8(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).expect("short")], bytes].concat()
}

fn length16(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).expect("short").to_be_bytes()[..], bytes].concat()
}

fn keys() -> Keys {
    let suite =
        TLS13_AES_128_GCM_SHA256.tls13().expect("a TLS 1.3 suite").quic_suite().expect("fit for QUIC");
    suite.keys(&DESTINATION, Side::Client, Version::V1)
}

/// RFC 9000, section 17.2.2, with packet number 0 in four bytes, padded to 1200 bytes.
fn initial_packet(hello: &[u8]) -> Vec<u8> {
    let hello_length = u16::try_from(hello.len()).expect("short") | 0x4000;
    let mut payload = [&[6, 0][..], &hello_length.to_be_bytes(), hello].concat(); // CRYPTO at offset 0
    payload.resize(1200 - 16 - 30, 0);
    let length = u16::try_from(4 + payload.len() + 16).expect("short") | 0x4000;
    let mut header =
        [&[0xc3, 0, 0, 0, 1, 8][..], &DESTINATION, &[8], &SOURCE, &[0], &length.to_be_bytes(), &[0; 4]]
            .concat();
    let keys = keys();
    let tag = keys.local.packet.encrypt_in_place(0, &header, &mut payload).expect("encrypts");
    payload.extend_from_slice(tag.as_ref());
    let number_at = header.len() - 4;
    let (first, rest) = header.split_at_mut(1);
    keys.local
        .header
        .encrypt_in_place(&payload[..16], &mut first[0], &mut rest[number_at - 1..])
        .expect("protects");
    [header, payload].concat()
}

/// The error code of the `CONNECTION_CLOSE` in a server's Initial packet.
fn connection_close(packet: &mut [u8]) -> u64 {
    let mut at = 5;
    at += 1 + usize::from(packet[at]); // destination connection id
    at += 1 + usize::from(packet[at]); // source connection id
    let token = varint(packet, &mut at);
    at += usize::try_from(token).expect("short");
    let length = usize::try_from(varint(packet, &mut at)).expect("short");
    let keys = keys();
    let sample: [u8; 16] = packet[at + 4..at + 20].try_into().expect("long enough");
    let (first, rest) = packet.split_at_mut(1);
    keys.remote
        .header
        .decrypt_in_place(&sample, &mut first[0], &mut rest[at - 1..at + 3])
        .expect("unprotects");
    let number_bytes = usize::from(packet[0] & 3) + 1;
    let number = packet[at..at + number_bytes].iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
    let (header, payload) = packet.split_at_mut(at + number_bytes);
    let payload = &mut payload[..length - number_bytes];
    let frames = keys.remote.packet.decrypt_in_place(number, header, payload).expect("decrypts");
    let mut at = 0;
    loop {
        match varint(frames, &mut at) {
            0 => {}
            2 => {
                let [_, _, ranges, _] = [(); 4].map(|()| varint(frames, &mut at));
                for _ in 0..ranges * 2 {
                    varint(frames, &mut at);
                }
            }
            0x1c => return varint(frames, &mut at),
            other => panic!("frame {other:#x}"),
        }
    }
}

fn varint(bytes: &[u8], at: &mut usize) -> u64 {
    let length = 1 << (bytes[*at] >> 6);
    let value = bytes[*at + 1..*at + length]
        .iter()
        .fold(u64::from(bytes[*at] & 0x3f), |n, byte| n << 8 | u64::from(*byte));
    *at += length;
    value
}
