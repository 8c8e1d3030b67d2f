//! Matrix products of the workloads' shapes: the engine's kernels and the crate `faer`, on one thread.
//!
//! `cargo bench -p bench --bench products`

use autodiff::{Options, Plan, Stage, Tape};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// (what, rows, depth, columns, whether the left operand is stored transposed)
const SHAPES: [(&str, usize, usize, usize, bool); 11] = [
    ("C5 layer 2 forward", 245, 576, 64, false),
    ("C5 layer 2, channels as rows", 64, 576, 245, false),
    ("C5 layer 2 weight gradient", 576, 245, 64, true),
    ("C5 layer 2 input gradient", 245, 64, 576, false),
    ("C5 layer 3 forward", 80, 576, 64, false),
    ("C5 layer 4 forward", 20, 576, 64, false),
    ("C5 layer 1 forward", 980, 9, 64, false),
    ("C5 layer 1 weight gradient", 9, 980, 64, true),
    ("S hidden forward", 10, 40, 40, false),
    ("S hidden weight gradient", 40, 10, 40, true),
    ("C20 layer 1 forward", 19600, 9, 64, false),
];

fn products(c: &mut Criterion) {
    for (name, m, k, n, trans_a) in SHAPES {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements(2 * (m * k * n) as u64));
        let (a, b) = (vec![0.5_f32; m * k], vec![0.25_f32; k * n]);
        let mut y = vec![0.0_f32; m * n];

        let tape = Tape::new();
        let left = tape.input("a", if trans_a { [k, m] } else { [m, k] }, Stage::POINT);
        let right = tape.input("b", [k, n], Stage::POINT);
        let left = if trans_a { left.t() } else { left };
        let plan: Plan<f32> = Plan::staged(&tape, &[(Stage::POINT, left.matmul(right))], Options::default());
        let mut workspace = plan.workspace();
        group.bench_function("autodiff", |bench| {
            bench.iter(|| plan.run(Stage::POINT, &mut workspace, &[(&a).into(), (&b).into()], &mut [&mut y]));
        });

        group.bench_function("faer", |bench| {
            let stored = if trans_a { (k, m) } else { (m, k) };
            let left = MatRef::from_row_major_slice(&a, stored.0, stored.1);
            let left = if trans_a { left.transpose() } else { left };
            let right = MatRef::from_row_major_slice(&b, k, n);
            bench.iter(|| {
                let y = MatMut::from_row_major_slice_mut(&mut y, m, n);
                matmul(y, Accum::Replace, left, right, 1.0, Par::Seq);
            });
        });
        group.finish();
    }
}

criterion_group!(benches, products);
criterion_main!(benches);
