//! An encrypted linear layer of 30 features, step by step (docs/reference/benchmarks/fhe.md).

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use sealgrid_fhe::linear::{self, Layer, Shape, Width};
use sealgrid_fhe::parameters::{ParameterSet, Parameters};
use sealgrid_fhe::rlwe::SecretKey;

fn layer(c: &mut Criterion) {
    let parameters = Parameters::new(ParameterSet::LINEAR_1).expect("a published set");
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    let key = SecretKey::generate(&parameters, rng);
    let shape = Shape { features: 30, width: Width::I8 };
    let weights: Vec<i32> = (-15..15).map(|w| 8 * w).collect();
    let layer = Layer::new(&parameters, shape, &[&weights], &[1000]).expect("exact");
    for count in [1, 68] {
        let records = vec![&weights[..]; count];
        let mut group = c.benchmark_group(format!("linear/30 features/{count} records"));
        group.bench_function("encrypt", |b| {
            b.iter(|| linear::encrypt(&key, shape, black_box(&records), rng).expect("they fit"));
        });
        let encrypted = linear::encrypt(&key, shape, &records, rng).expect("they fit");
        group.bench_function("evaluate", |b| {
            b.iter(|| layer.evaluate(black_box(&encrypted)).expect("the layer's shape"));
        });
        let sums = layer.evaluate(&encrypted).expect("the layer's shape");
        group.bench_function("decrypt", |b| {
            b.iter(|| linear::decrypt(&key, black_box(&sums)).expect("the right key"));
        });
        group.finish();
    }
}

criterion_group!(benches, layer);
criterion_main!(benches);
