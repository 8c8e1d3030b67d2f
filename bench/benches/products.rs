//! Matrix products of the workloads' shapes: the engine's kernels, alone and of the smallest one in every lane of vectors,
//! and, where it is asked for, the crate `faer`, on one thread.
//!
//! `cargo bench -p bench --bench products --features faer`

use autodiff::{Batched, Isa, Options, Plan, Stage, Tape, vmap_lanes};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

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

/// Multiply-adds of products that are taken in lanes, too.
const SMALL: usize = 1 << 16;

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

        if m * k * n <= SMALL {
            let lanes = Isa::detect().expect("an instruction set").lanes::<f32>();
            group.throughput(Throughput::Elements(2 * (m * k * n * lanes) as u64));
            let (tape, [p, q]) = (Tape::new(), if trans_a { [k, m] } else { [m, k] });
            let [left, right] = [("a", [p, q]), ("b", [k, n])].map(|(name, of)| tape.input(name, of, Stage::POINT));
            let [lefts, rights] =
                [("as", [p, q, lanes]), ("bs", [k, n, lanes])].map(|(name, of)| tape.input(name, of, Stage::POINT));
            let product = if trans_a { left.t() } else { left }.matmul(right);
            let each = [Batched::Values(left, lefts), Batched::Values(right, rights)];
            let plan: Plan<f32> = Plan::compile(&tape, &vmap_lanes(&[product], &each));
            let (a, b, mut y) = (vec![0.5; m * k * lanes], vec![0.25; k * n * lanes], vec![0.0; m * n * lanes]);
            let (inputs, mut workspace) = ([[][..].into(), [][..].into(), (&a).into(), (&b).into()], plan.workspace());
            group.bench_function(format!("autodiff, {lanes} lanes"), |bench| {
                bench.iter(|| plan.run(Stage::POINT, &mut workspace, &inputs, &mut [&mut y]));
            });
            group.throughput(Throughput::Elements(2 * (m * k * n) as u64));
        }

        #[cfg(feature = "faer")]
        group.bench_function("faer", |bench| {
            use faer::linalg::matmul::matmul;
            use faer::{Accum, MatMut, MatRef, Par};
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
