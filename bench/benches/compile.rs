//! Recording and compiling what a method runs: for MAML and iMAML the inner level (objective, gradient, step, products with
//! second derivatives) and the outer one. Once for a training; peers that compile take seconds.
//!
//! `cargo bench -p bench --bench compile`

use bench::{NAMES, Workload};
use criterion::{Criterion, criterion_group, criterion_main};

fn compile(c: &mut Criterion) {
    let mut group = c.benchmark_group("compile");
    group.sample_size(10);
    for workload in NAMES.map(|name| Workload::named(name).expect("one of the names")) {
        group.bench_function(format!("{} maml", workload.name), |bench| bench.iter(|| workload.maml(5)));
        group.bench_function(format!("{} imaml", workload.name), |bench| bench.iter(|| workload.imaml(16, 5)));
    }
    group.finish();
}

criterion_group!(benches, compile);
criterion_main!(benches);
