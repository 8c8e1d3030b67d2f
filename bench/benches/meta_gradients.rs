//! Meta-gradients of the standard workloads, on one thread and on all: every method over inner steps on S and C5, MAML and
//! iMAML at the paper's settings on all. Throughput is in floating-point operations.
//!
//! `cargo bench -p bench --bench meta_gradients -- "C5, 2"`

use bench::{NAMES, Workload};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use meta::inner::Hyper;
use meta::method::{FirstOrder, Keep, Method, Reptile, Unrolled};
use meta::train::MetaBatch;

/// A method, its name, and what it is run with.
type Contender<'m> = (&'static str, Box<dyn Method<f32> + 'm>, Hyper);

fn contenders(workload: &Workload, steps: usize) -> Vec<Contender<'_>> {
    let ((maml, plain), (imaml, prox)) = (workload.maml(steps), workload.imaml(steps, 5));
    let mut contenders: Vec<Contender<'_>> = vec![("maml", Box::new(maml), plain), ("imaml", Box::new(imaml), prox)];
    if ["S", "C5"].contains(&workload.name) {
        let checkpoints = Unrolled::new(&workload.plain, steps, Keep::Checkpoints(4));
        contenders.push(("maml, 4 checkpoints", Box::new(checkpoints), plain));
        contenders.push(("fomaml", Box::new(FirstOrder::new(&workload.plain, steps)), plain));
        contenders.push(("reptile", Box::new(Reptile::new(&workload.plain, steps)), plain));
    }
    contenders
}

fn meta_gradients(c: &mut Criterion) {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    for workload in NAMES.map(|name| Workload::named(name).expect("one of the names")) {
        let depths: &[usize] = match workload.name {
            "S" => &[1, 5, 16, 100],
            "C5" => &[1, 5, 16],
            _ => &[5, 16],
        };
        let tasks = workload.tasks();
        for threads in [1, all] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            let mut group = c.benchmark_group(format!("{}, {threads}", workload.name));
            group.sample_size(10);
            for &steps in depths {
                for (name, method, hyper) in contenders(&workload, steps) {
                    let mut batch = MetaBatch::new(method.as_ref(), &pool, workload.theta.len(), tasks);
                    let mut gradient = vec![0.0; workload.theta.len()];
                    batch.gradient(&workload, tasks, &workload.theta, hyper, &mut gradient);
                    let flops = batch.reports(tasks).iter().map(|report| method.flops(report)).sum();
                    group.throughput(Throughput::Elements(flops));
                    group.bench_function(BenchmarkId::new(name, steps), |bench| {
                        bench.iter(|| batch.gradient(&workload, tasks, &workload.theta, hyper, &mut gradient));
                    });
                }
            }
            group.finish();
        }
    }
}

criterion_group!(benches, meta_gradients);
criterion_main!(benches);
