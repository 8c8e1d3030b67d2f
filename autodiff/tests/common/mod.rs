//! What the tests share.

use autodiff::{Options, Plan, Stage, Tape, Var};

/// Numbers in (0, 1), the same everywhere.
pub fn numbers(seed: u64, n: usize) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..n).map(|_| next()).collect()
}

/// The outputs, which a plan that fuses and one that does not give to the same bit.
#[allow(dead_code)] // Not every test that shares this module compares the two.
pub fn evaluate(tape: &Tape, outputs: &[Var<'_>], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
    let fused = Plan::<f64>::compile(tape, outputs).evaluate(inputs);
    let staged: Vec<_> = outputs.iter().map(|&y| (Stage::ADJOINT, y)).collect();
    let unfused = Plan::<f64>::staged(tape, &staged, Options { fuse: false, ..Options::default() }).evaluate(inputs);
    let bits = |values: &[Vec<f64>]| values.iter().flatten().map(|v| v.to_bits()).collect::<Vec<u64>>();
    assert_eq!(bits(&fused), bits(&unfused));
    fused
}
