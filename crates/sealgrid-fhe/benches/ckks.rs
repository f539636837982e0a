//! Approximate arithmetic at 2^13 with four primes, step by step (docs/reference/benchmarks/fhe.md).

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use sealgrid_fhe::ckks::{self, EvaluationKeys, Evaluator, Matrix, Plaintext};
use sealgrid_fhe::parameters::{ParameterSet, Parameters};
use sealgrid_fhe::rlwe::SecretKey;

fn steps(c: &mut Criterion) {
    let parameters = Parameters::new(ParameterSet::CKKS_1).expect("a published set");
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    let key = SecretKey::generate(&parameters, rng);
    let keys = EvaluationKeys::generate(&key, &Matrix::rotations(64), rng).expect("a set for slots");
    let evaluator = Evaluator::new(&parameters, &keys).expect("keys of these parameters");
    let values: Vec<f64> = (0..64).map(|i| f64::from(i) / 64.0).collect();
    let scale = (1_u64 << 37) as f64;
    let mut group = c.benchmark_group("ckks/2^13");
    group.bench_function("encode and encrypt", |b| {
        b.iter(|| ckks::encrypt(&key, black_box(&values), scale, rng).expect("finite"));
    });
    let fresh = ckks::encrypt(&key, &values, scale, rng).expect("finite");
    let x = fresh.expand(&parameters).expect("its own parameters");
    group.bench_function("decrypt and decode", |b| {
        b.iter(|| ckks::danger_decrypt(&key, black_box(&x)).expect("the right key"));
    });
    let p = Plaintext::encode(&parameters, &values, evaluator.last_prime(&x), 4).expect("finite");
    group.bench_function("add", |b| b.iter(|| evaluator.add(black_box(&x), &x).expect("alike")));
    group.bench_function("multiply by a plaintext, rescale", |b| {
        b.iter(|| evaluator.rescale(&evaluator.multiply_plain(black_box(&x), &p).expect("alike")));
    });
    group.bench_function("multiply, relinearise, rescale", |b| {
        b.iter(|| evaluator.rescale(&evaluator.multiply(black_box(&x), &x).expect("a key")));
    });
    group.bench_function("rotate", |b| b.iter(|| evaluator.rotate(black_box(&x), 1).expect("a key")));
    group.bench_function("rotate by seven, hoisted", |b| {
        b.iter(|| evaluator.rotate_hoisted(black_box(&x), &[1, 2, 3, 4, 5, 6, 7]).expect("keys"));
    });
    let matrix = Matrix::encode(&parameters, &vec![0.5; 64 * 64], 64, 4).expect("square");
    group.bench_function("matrix of 64 by 64", |b| {
        b.iter(|| evaluator.multiply_matrix(&matrix, black_box(&x)).expect("keys"));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = steps
}
criterion_main!(benches);
