//! Gradients and Hessian-vector products of one task's support loss on one thread: a product from scratch (the point and
//! one direction), ten at one point one after the other, as in a linear solve, and ten that are known at once. Throughput
//! is in floating-point operations.
//!
//! `cargo bench -p bench --bench derivatives`

use autodiff::{Aligned, Arg, Directions, Options, Plan, Real, Stage, Tape, Var, grad, hvp};
use bench::{NAMES, Workload};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use meta::problem::{At, Problem};

/// Directions at one point.
const DIRECTIONS: usize = 10;

/// A point, a direction and the support loss at the point.
fn record<'t>(tape: &'t Tape, workload: &Workload) -> [Var<'t>; 3] {
    let problem = &workload.plain;
    let theta = tape.input("theta", problem.dim(), Stage::POINT);
    let direction = tape.input("direction", problem.dim(), Stage::DIRECTION);
    let at = At::new(theta, theta, Var::zero(), problem.declare(tape));
    [theta, direction, problem.support_loss(&at)]
}

/// The support loss, its gradient, and in the direction stage a Hessian-vector product.
fn compile(workload: &Workload, product: bool) -> Plan<f32> {
    let tape = Tape::new();
    let [theta, direction, loss] = record(&tape, workload);
    let derivative = if product {
        (Stage::DIRECTION, hvp(loss, &[theta], &[(theta, direction)])[0])
    } else {
        (Stage::POINT, grad(loss, &[theta])[0])
    };
    Plan::staged(&tape, &[(Stage::POINT, loss), derivative], Options::default())
}

/// The same products, for several directions at once.
fn several(workload: &Workload) -> Directions<f32> {
    let tape = Tape::new();
    let [theta, direction, loss] = record(&tape, workload);
    let product = hvp(loss, &[theta], &[(theta, direction)])[0];
    Directions::compile(&tape, &[(Stage::POINT, loss)], product, direction, DIRECTIONS)
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
        let products = several(&workload);
        let mut workspace = products.plan().workspace();
        // As solvers hold their vectors.
        let mut directions = Aligned::zeroed(DIRECTIONS * workload.theta.len());
        let mut all = Aligned::zeroed(directions.len());
        directions.chunks_exact_mut(workload.theta.len()).for_each(|to| to.copy_from_slice(&workload.theta));
        group.bench_function(format!("hvp, {DIRECTIONS} at once"), |bench| {
            bench.iter(|| {
                products.run_point(&mut workspace, &inputs, &mut [&mut loss]);
                products.run(&mut workspace, &inputs, &directions, &mut all);
            });
        });
        group.finish();
    }
}

criterion_group!(benches, derivatives);
criterion_main!(benches);
