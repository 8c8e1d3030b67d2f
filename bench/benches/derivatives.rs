//! Gradients and Hessian-vector products of one task's support loss on one thread: a product from scratch (the point and
//! one direction), and each of ten at one point, as in a linear solve. Throughput is in floating-point operations.
//!
//! `cargo bench -p bench --bench derivatives`

use autodiff::{Arg, Options, Plan, Real, Stage, Tape, Var, grad, hvp};
use bench::{NAMES, Workload};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use meta::problem::{At, Problem};

/// Directions at one point.
const DIRECTIONS: usize = 10;

/// The support loss, its gradient, and in the direction stage a Hessian-vector product.
fn compile(workload: &Workload, product: bool) -> Plan<f32> {
    let (tape, problem) = (Tape::new(), &workload.plain);
    let theta = tape.input("theta", problem.dim(), Stage::POINT);
    let direction = tape.input("direction", problem.dim(), Stage::DIRECTION);
    let at = At::new(theta, theta, Var::zero(), problem.declare(&tape));
    let loss = problem.support_loss(&at);
    let outputs = if product {
        vec![(Stage::POINT, loss), (Stage::DIRECTION, hvp(loss, &[theta], &[(theta, direction)])[0])]
    } else {
        vec![(Stage::POINT, loss), (Stage::POINT, grad(loss, &[theta])[0])]
    };
    Plan::staged(&tape, &outputs, Options::default())
}

fn derivatives(c: &mut Criterion) {
    for workload in NAMES.map(|name| Workload::named(name).expect("one of the names")) {
        let mut group = c.benchmark_group(workload.name);
        group.sample_size(20);
        let data = workload.data(0);
        let theta: Arg<'_, f32> = (&workload.theta).into();
        let inputs = [theta, theta, data[0], data[1], data[2], data[3]];
        let (mut loss, mut vector) = ([0.0], vec![0.0; workload.theta.len()]);

        let plan = compile(&workload, false);
        let mut workspace = plan.workspace();
        plan.run(Stage::DATA, &mut workspace, &inputs, &mut []);
        group.throughput(Throughput::Elements(plan.flops(Stage::POINT)));
        group.bench_function("gradient", |bench| {
            bench.iter(|| plan.run(Stage::POINT, &mut workspace, &inputs, &mut [&mut loss, &mut vector]));
        });

        let plan = compile(&workload, true);
        let mut workspace = plan.workspace();
        plan.run(Stage::DATA, &mut workspace, &inputs, &mut []);
        group.throughput(Throughput::Elements(plan.flops(Stage::POINT) + plan.flops(Stage::DIRECTION)));
        group.bench_function("hvp, single", |bench| {
            bench.iter(|| {
                plan.run(Stage::POINT, &mut workspace, &inputs, &mut [&mut loss]);
                plan.run(Stage::DIRECTION, &mut workspace, &inputs, &mut [&mut vector]);
            });
        });
        group.throughput(Throughput::Elements(
            plan.flops(Stage::POINT) + DIRECTIONS as u64 * plan.flops(Stage::DIRECTION),
        ));
        group.bench_function(format!("hvp, {DIRECTIONS} at a point"), |bench| {
            bench.iter(|| {
                plan.run(Stage::POINT, &mut workspace, &inputs, &mut [&mut loss]);
                for _ in 0..DIRECTIONS {
                    plan.run(Stage::DIRECTION, &mut workspace, &inputs, &mut [&mut vector]);
                }
            });
        });
        group.finish();
    }
}

criterion_group!(benches, derivatives);
criterion_main!(benches);
