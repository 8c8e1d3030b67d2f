//! Meta-gradients of the standard workloads, on one thread and on all: MAML over inner steps, iMAML at the paper's
//! settings, the cheap approximations. Throughput is in floating-point operations.
//!
//! `cargo bench -p bench --bench meta_gradients`

use bench::{NAMES, Workload};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use meta::inner::Hyper;
use meta::method::{FirstOrder, Keep, Method, Reptile, Unrolled};
use meta::train::MetaBatch;

fn run(c: &mut Criterion, workload: &Workload, what: &str, steps: usize, method: &dyn Method<f32>, hyper: Hyper) {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let mut group = c.benchmark_group(format!("{} {what}", workload.name));
    group.sample_size(10);
    let tasks = workload.tasks();
    for threads in [1, all] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let mut batch = MetaBatch::new(method, &pool, workload.theta.len(), tasks);
        let mut gradient = vec![0.0; workload.theta.len()];
        let mut run = || batch.gradient(workload, tasks, &workload.theta, hyper, &mut gradient);
        run();
        group.bench_function(BenchmarkId::new(format!("{steps} steps"), threads), |bench| bench.iter(&mut run));
        let flops = batch.reports(tasks).iter().map(|report| method.flops(report)).sum();
        group.throughput(Throughput::Elements(flops));
    }
    group.finish();
}

fn meta_gradients(c: &mut Criterion) {
    for workload in NAMES.map(|name| Workload::named(name).expect("one of the names")) {
        let depths: &[usize] = if workload.name == "S" { &[1, 5, 20, 100] } else { &[1, 5] };
        for &steps in depths {
            let (maml, hyper) = workload.maml(steps);
            run(c, &workload, "maml", steps, &maml, hyper);
        }
        let (imaml, hyper) = workload.imaml(16, 5);
        run(c, &workload, "imaml, 5 products", 16, &imaml, hyper);
        let plain = Hyper { lambda: 0.0, rate: workload.maml_rate };
        run(c, &workload, "maml, 4 checkpoints", 20, &Unrolled::new(&workload.plain, 20, Keep::Checkpoints(4)), plain);
        run(c, &workload, "fomaml", 5, &FirstOrder::new(&workload.plain, 5), plain);
        run(c, &workload, "reptile", 5, &Reptile::new(&workload.plain, 5), plain);
    }
}

criterion_group!(benches, meta_gradients);
criterion_main!(benches);
