//! Meta-gradients of the standard workloads on every core: MAML over inner steps, iMAML at the paper's settings,
//! the cheap approximations.
//!
//! `cargo bench -p bench --bench meta_gradients`

use bench::Workload;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use meta::inner::Hyper;
use meta::linear::Cg;
use meta::method::{FirstOrder, Implicit, InnerStop, Keep, Method, Reptile, Unrolled};
use meta::tasks::Split;
use meta::train::{EpisodeTasks, MetaBatch};

fn run(c: &mut Criterion, workload: &Workload, id: BenchmarkId, method: &dyn Method<f32>, lambda: f64) {
    let pool = rayon::ThreadPoolBuilder::new().build().expect("threads");
    let mut batch = MetaBatch::new(method, &pool, workload.theta.len(), workload.tasks);
    let mut gradient = vec![0.0; workload.theta.len()];
    let hyper = Hyper { lambda, rate: workload.rate };
    let source = EpisodeTasks::new(workload.stream.as_ref(), Split::Train, 0);
    let mut group = c.benchmark_group(workload.name);
    group.sample_size(10);
    group.bench_function(id, |bench| {
        bench.iter(|| batch.gradient(&source, workload.tasks, &workload.theta, hyper, &mut gradient));
    });
    group.finish();
}

fn meta_gradients(c: &mut Criterion) {
    for workload in [bench::s(), bench::c5()] {
        for steps in [1, 5, 20] {
            let keep = Unrolled::new(&workload.plain, steps, Keep::Everything);
            run(c, &workload, BenchmarkId::new("maml", steps), &keep, 0.0);
        }
        let recompute = Unrolled::new(&workload.plain, 20, Keep::Checkpoints(4));
        run(c, &workload, BenchmarkId::new("maml, 4 checkpoints", 20), &recompute, 0.0);
        let implicit = Implicit::new(&workload.prox, InnerStop::Steps(16), Box::new(Cg::iterations(5)));
        run(c, &workload, BenchmarkId::new("imaml", "16/5"), &implicit, 2.0);
        run(c, &workload, BenchmarkId::new("fomaml", 5), &FirstOrder::new(&workload.plain, 5), 0.0);
        run(c, &workload, BenchmarkId::new("reptile", 5), &Reptile::new(&workload.plain, 5), 0.0);
    }
}

criterion_group!(benches, meta_gradients);
criterion_main!(benches);
