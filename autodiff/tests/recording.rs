//! Programs of any depth are recorded, differentiated and rewritten in time and stack that do not grow beyond them.

use autodiff::{Plan, Real, Stage, Tape, Var, grad, hvp, jvp, recompute};

#[test]
fn what_two_terms_share_is_summed_once() {
    // Chebyshev polynomials of t, each term made of the two before: 2⁶⁰ ways from the last to the first.
    let tape = Tape::new();
    let (x, t) = (tape.input("x", [2], Stage::POINT), tape.input("t", [], Stage::POINT));
    let (mut a, mut b) = (x, x * t);
    for _ in 0..60 {
        (a, b) = (b, 2.0 * t * b - a);
    }
    let plan = Plan::<f64>::compile(&tape, &[b.sum_all(), grad(b.sum_all(), &[x])[0], jvp(&[b], &[(x, x)])[0]]);
    let (angle, n) = (0.3_f64, 61.0);
    let values = plan.evaluate(&[&[1.0, 2.0], &[angle.cos()]]);
    let expected = (n * angle).cos();
    let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
    assert!(near(values[0][0], 3.0 * expected) && near(values[1][0], expected) && near(values[2][1], 2.0 * expected));
}

#[test]
fn depth_takes_no_stack() {
    let tape = Tape::new();
    let (x, v) = (tape.input("x", 2, Stage::POINT), tape.input("v", 2, Stage::DIRECTION));
    let (mut point, mut later) = (x, v * x);
    for _ in 0..50_000 {
        point = point.sin();
        later = later.sin();
    }
    recompute(&[(Stage::DIRECTION, later * point)], Stage::POINT);
    let mut sum = x;
    for _ in 0..50_000 {
        sum = -(sum * 0.5 - x);
    }
    grad(sum.sum_all(), &[x]);
}

#[test]
fn derivatives_along_nothing_are_zero() {
    let tape = Tape::new();
    let x = tape.input("x", 2, Stage::POINT);
    let f = x.square().sum_all();
    let outputs = [jvp(&[x.exp()], &[])[0], hvp(f, &[x], &[])[0]];
    assert_eq!(Plan::<f64>::compile(&tape, &outputs).evaluate(&[&[1.0, 2.0]]), [[0.0; 2]; 2]);
}

#[test]
#[should_panic(expected = "a literal has no tape")]
fn a_literal_gets_no_axes() {
    let _ = Var::lit(1.0).reshape([1]);
}
