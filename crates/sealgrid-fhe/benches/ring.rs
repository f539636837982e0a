//! The transform on every backend (docs/reference/benchmarks/fhe.md).

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use sealgrid_fhe::ring::{Backend, Degree, Modulus, Table};

fn transforms(c: &mut Criterion) {
    for log in [10, 11, 12, 13, 14, 15] {
        let degree = Degree::from_log(log).expect("in range");
        let q = Modulus::largest(50, degree, 0).expect("exists");
        let table = Table::new(degree, q);
        let mut row: Vec<u64> = (0..degree.get() as u64).map(|i| i * 0x9e37_79b9 % q.value()).collect();
        let mut group = c.benchmark_group(format!("transform/2^{log}"));
        for available in Backend::ALL.into_iter().filter_map(Backend::available) {
            let name = available.backend().name();
            group.bench_function(format!("forward/{name}"), |b| {
                b.iter(|| table.transform(black_box(&mut row), available));
            });
            group.bench_function(format!("back/{name}"), |b| {
                b.iter(|| table.transform_back(black_box(&mut row), available));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, transforms);
criterion_main!(benches);
