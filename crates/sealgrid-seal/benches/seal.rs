//! What sealing costs, beside its lower bound and a peer (docs/reference/benchmarks/seal.md).

use std::hint::black_box;

use ::hpke::aead::AesGcm256;
use ::hpke::kdf::HkdfSha256;
use ::hpke::kem::XWing;
use ::hpke::{Kem as _, OpModeR, OpModeS};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use sealgrid_seal::aead::{Aes256Gcm, TAG_LENGTH};
use sealgrid_seal::digest::labels;
use sealgrid_seal::envelope::{self, JobKeyPair};
use sealgrid_seal::identity::SigningIdentity;
use sealgrid_seal::keyfile::{self, Cost};
use sealgrid_seal::secret::Secret;
use sealgrid_seal::{rest, statement, stream};

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(7)
}

/// A reply's cipher alone: 1 MiB and 1 KiB. Lower bound: copying the bytes.
fn cipher(c: &mut Criterion) {
    let key = Aes256Gcm::new(&Secret::new([7; 32]));
    for length in [1 << 10, 1 << 20] {
        let plaintext = vec![7; length];
        let mut sealed = vec![0; length + TAG_LENGTH];
        let mut group = c.benchmark_group(format!("aes-256-gcm/{length}"));
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function("seal", |b| {
            // One key and nonce over and over: a measurement, nothing is sent.
            b.iter(|| key.danger_seal([0; 12], b"", black_box(&plaintext), &mut sealed));
        });
        group.bench_function("open", |b| {
            b.iter(|| key.open([0; 12], b"", black_box(&sealed)).expect("authentic"));
        });
        group.bench_function("lower bound: copy", |b| {
            b.iter(|| sealed[..length].copy_from_slice(black_box(&plaintext)));
        });
        group.finish();
    }
}

/// An envelope of 2 KiB. Peer: the hpke crate.
fn envelopes(c: &mut Criterion) {
    let rng = &mut rng();
    let pair = JobKeyPair::generate(rng);
    let plaintext = vec![7; 2048];
    let (sealed, exporter) =
        envelope::seal(rng, pair.public(), labels::JOB_PAYLOAD, b"", &plaintext).expect("a good key");

    let mut group = c.benchmark_group("envelope/2048");
    group.bench_function("keygen", |b| b.iter(|| JobKeyPair::generate(rng)));
    group.bench_function("seal", |b| {
        b.iter(|| envelope::seal(rng, pair.public(), labels::JOB_PAYLOAD, b"", black_box(&plaintext)));
    });
    group.bench_function("open", |b| b.iter(|| pair.open(labels::JOB_PAYLOAD, b"", black_box(&sealed))));
    let reply = exporter.reply_key(labels::JOB_REPLY);
    let answer = reply.seal(rng, b"", &plaintext);
    group.bench_function("reply seal", |b| b.iter(|| reply.seal(rng, b"", black_box(&plaintext))));
    group.bench_function("reply open", |b| b.iter(|| reply.open(b"", black_box(&answer))));

    let (private, public) = XWing::gen_keypair_with_rng(rng);
    group.bench_function("peer: hpke seal", |b| {
        b.iter(|| {
            let (encapsulated, mut sender) = ::hpke::setup_sender_with_rng::<AesGcm256, HkdfSha256, XWing>(
                &OpModeS::Base,
                &public,
                b"",
                rng,
            )
            .expect("a good key");
            (encapsulated, sender.seal(black_box(&plaintext), b"").expect("seals"))
        });
    });
    let (encapsulated, mut sender) =
        ::hpke::setup_sender_with_rng::<AesGcm256, HkdfSha256, XWing>(&OpModeS::Base, &public, b"", rng)
            .expect("a good key");
    let theirs = sender.seal(&plaintext, b"").expect("seals");
    group.bench_function("peer: hpke open", |b| {
        b.iter(|| {
            ::hpke::setup_receiver::<AesGcm256, HkdfSha256, XWing>(
                &OpModeR::Base,
                &private,
                black_box(&encapsulated),
                b"",
            )
            .and_then(|mut receiver| receiver.open(&theirs, b""))
        });
    });
    group.finish();
}

/// 16 MiB as a stream and as an object at rest; one record read out of the middle of the latter.
fn bulk(c: &mut Criterion) {
    const LENGTH: usize = 16 << 20;
    let content = vec![7; LENGTH];
    let key = Secret::new([7; 32]);
    let mut group = c.benchmark_group("bulk/16MiB");
    group.sample_size(20).throughput(Throughput::Bytes(LENGTH as u64));
    let mut sealed = Vec::with_capacity(LENGTH + LENGTH / 1024);
    group.bench_function("stream seal", |b| {
        b.iter(|| {
            sealed.clear();
            let mut sealer = stream::Sealer::new(&mut rng(), &key, labels::STREAM, &mut sealed);
            sealer.update(black_box(&content), &mut sealed).expect("short");
            sealer.finish(&mut sealed);
        });
    });
    group.bench_function("stream open", |b| {
        b.iter(|| {
            let mut opener = stream::Opener::new(&key, labels::STREAM);
            opener
                .update(&sealed, |chunk| {
                    black_box(chunk);
                })
                .expect("authentic");
            opener
                .finish(|chunk| {
                    black_box(chunk);
                })
                .expect("complete");
        });
    });
    let pair = JobKeyPair::from_seed(Secret::new([7; 32]));
    let recipients = [pair.public().clone()];
    group
        .bench_function("rest seal", |b| b.iter(|| rest::seal(&mut rng(), &recipients, black_box(&content))));
    let object = rest::seal(&mut rng(), &recipients, &content).expect("a good key");
    group.bench_function("rest open", |b| b.iter(|| rest::open(black_box(&object), &pair)));
    group.finish();

    let mut reader = rest::Reader::open(std::io::Cursor::new(&object), &pair).expect("a recipient");
    c.bench_function("rest read 1 KiB in the middle", |b| {
        b.iter(|| reader.read(8_000_000..8_001_024).expect("inside"));
    });
}

fn statements(c: &mut Criterion) {
    let identity = SigningIdentity::from_seed(&Secret::new([7; 32]));
    let kind = statement::Kind { label: labels::POLICY, content_type: "application/octet-stream" };
    let payload = vec![7; 512];
    let signed = statement::sign(&identity, &kind, &payload);
    c.bench_function("statement sign", |b| b.iter(|| statement::sign(&identity, &kind, black_box(&payload))));
    c.bench_function("statement parse and verify", |b| {
        b.iter(|| {
            statement::Unverified::parse(black_box(&signed), 4096)
                .and_then(|statement| statement.verify(&identity.public(), &kind))
        });
    });
    c.bench_function("lower bound: ed25519 verify", |b| {
        let signature = identity.danger_sign_unlabelled(&payload);
        b.iter(|| identity.public().danger_verify_unlabelled(black_box(&payload), &signature));
    });
}

fn passphrases(c: &mut Criterion) {
    let file = keyfile::seal(&mut rng(), b"passphrase", Cost::STANDARD, b"secret").expect("short");
    let mut group = c.benchmark_group("keyfile");
    group.sample_size(10);
    group
        .bench_function("open, standard cost", |b| b.iter(|| keyfile::open(b"passphrase", black_box(&file))));
    group.finish();
}

criterion_group!(benches, cipher, envelopes, bulk, statements, passphrases);
criterion_main!(benches);
