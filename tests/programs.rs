//! Random programs: forward over reverse = reverse over reverse = nested dual numbers = finite differences,
//! and fused plans = unfused plans, bit for bit.

use autodiff::{Dual, Options, Plan, Real, Stage, Tape, Var, grad, hessian_vector, hvp, jvp};
use proptest::prelude::*;

/// One instruction of a straight-line program: operands are earlier values.
#[derive(Clone, Debug)]
enum Op {
    Add(usize, usize),
    Sub(usize, usize),
    Mul(usize, usize),
    /// x / (2 + y²): no poles
    Div(usize, usize),
    Tanh(usize),
    Sin(usize),
    Cos(usize),
    /// exp(tanh x): no overflow
    Exp(usize),
    /// ln(1 + x²)
    Ln1p(usize),
    Sigmoid(usize),
    Softplus(usize),
    /// √(1 + x²)
    Sqrt(usize),
    Erf(usize),
    Gelu(usize),
    Powi(usize, i32),
    Scale(usize, f64),
}

/// Evaluates the program on numbers of any kind; squashing keeps values near 1.
fn run<S: Real>(program: &[Op], inputs: &[S]) -> S {
    let mut v = inputs.to_vec();
    for op in program {
        let at = |i: &usize| v[i % v.len()];
        let y = match op {
            Op::Add(a, b) => at(a) + at(b),
            Op::Sub(a, b) => at(a) - at(b),
            Op::Mul(a, b) => at(a) * at(b),
            Op::Div(a, b) => at(a) / (S::lit(2.0) + at(b).square()),
            Op::Tanh(a) => at(a).tanh(),
            Op::Sin(a) => at(a).sin(),
            Op::Cos(a) => at(a).cos(),
            Op::Exp(a) => at(a).tanh().exp(),
            Op::Ln1p(a) => at(a).square().ln_1p(),
            Op::Sigmoid(a) => at(a).sigmoid(),
            Op::Softplus(a) => at(a).softplus(),
            Op::Sqrt(a) => (S::one() + at(a).square()).sqrt(),
            Op::Erf(a) => at(a).erf(),
            Op::Gelu(a) => at(a).gelu(),
            Op::Powi(a, n) => at(a).tanh().powi(*n),
            Op::Scale(a, c) => at(a) * S::lit(*c),
        };
        v.push(y);
    }
    // Everything contributes.
    v.into_iter().map(|x| x.tanh() * x).reduce(|a, b| a + b).unwrap()
}

fn op() -> impl Strategy<Value = Op> {
    let i = 0_usize..1000;
    let pair = (i.clone(), i.clone());
    prop_oneof![
        pair.clone().prop_map(|(a, b)| Op::Add(a, b)),
        pair.clone().prop_map(|(a, b)| Op::Sub(a, b)),
        pair.clone().prop_map(|(a, b)| Op::Mul(a, b)),
        pair.prop_map(|(a, b)| Op::Div(a, b)),
        i.clone().prop_map(Op::Tanh),
        i.clone().prop_map(Op::Sin),
        i.clone().prop_map(Op::Cos),
        i.clone().prop_map(Op::Exp),
        i.clone().prop_map(Op::Ln1p),
        i.clone().prop_map(Op::Sigmoid),
        i.clone().prop_map(Op::Softplus),
        i.clone().prop_map(Op::Sqrt),
        i.clone().prop_map(Op::Erf),
        i.clone().prop_map(Op::Gelu),
        (i.clone(), 2..4).prop_map(|(a, n)| Op::Powi(a, n)),
        (i, -2.0..2.0).prop_map(|(a, c)| Op::Scale(a, c)),
    ]
}

fn close(a: &[f64], b: &[f64], tolerance: f64) -> Result<(), TestCaseError> {
    let scale = b.iter().fold(1.0_f64, |m, v| m.max(v.abs()));
    for (x, y) in a.iter().zip(b) {
        prop_assert!((x - y).abs() <= tolerance * scale, "{:?} and {:?}", a, b);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn four_ways_to_a_hessian_product(
        program in prop::collection::vec(op(), 1..12),
        x in prop::collection::vec(-1.5..1.5, 3),
        v in prop::collection::vec(-1.0..1.0, 3),
    ) {
        let oracle = hessian_vector(|p: &[Dual<Dual<f64>>]| run(&program, p), &x, &v);

        let tape = Tape::new();
        let at = tape.input("x", [3], Stage::POINT);
        let direction = tape.input("v", [3], Stage::DIRECTION);
        let scalars: Vec<Var> = (0..3).map(|i| at.slice(&[i], &[i + 1]).reshape([])).collect();
        let f = run(&program, &scalars);
        let g = grad(f, &[at])[0];
        let forward_over_reverse = hvp(f, &[at], &[(at, direction)])[0];
        let reverse_over_reverse = grad(g.dot(direction), &[at])[0];
        let slope = jvp(&[f], &[(at, direction)])[0];
        let outputs = [
            (Stage::POINT, g),
            (Stage::DIRECTION, forward_over_reverse),
            (Stage::DIRECTION, reverse_over_reverse),
            (Stage::DIRECTION, slope),
        ];
        let plan = Plan::<f64>::staged(&tape, &outputs, Options::default());
        let values = plan.evaluate(&[&x, &v]);
        // Some hundred roundings of values near 1, amplified by at most three derivatives of functions whose
        // derivatives are of order 1 to 10.
        close(&values[1], &oracle, 1e-10)?;
        close(&values[2], &oracle, 1e-10)?;
        close(&values[3], &[values[0].iter().zip(&v).map(|(a, b)| a * b).sum()], 1e-12)?;

        // Central differences of the gradient: truncation h²/6 times a third derivative.
        let h = 1e-5;
        let moved = |sign: f64| -> Vec<f64> {
            let x: Vec<f64> = x.iter().zip(&v).map(|(x, v)| x + sign * h * v).collect();
            plan.evaluate(&[&x, &v])[0].clone()
        };
        let difference: Vec<f64> = moved(1.0).iter().zip(moved(-1.0)).map(|(a, b)| (a - b) / (2.0 * h)).collect();
        close(&difference, &oracle, 1e-4)?;

        let unfused = Plan::<f64>::staged(&tape, &outputs, Options { fuse: false, ..Options::default() });
        prop_assert_eq!(values, unfused.evaluate(&[&x, &v]));
    }
}

/// One step of a tensor program.
#[derive(Clone, Debug)]
enum TensorOp {
    Tanh,
    Centre(usize),
    Scale(usize),
    Normalise,
    Softmax,
    Product,
    Gram,
    Shift(usize),
    Split,
    Pool,
    Kink,
}

fn tensor_op() -> impl Strategy<Value = TensorOp> {
    prop_oneof![
        Just(TensorOp::Tanh),
        (0_usize..2).prop_map(TensorOp::Centre),
        (0_usize..2).prop_map(TensorOp::Scale),
        Just(TensorOp::Normalise),
        Just(TensorOp::Softmax),
        Just(TensorOp::Product),
        Just(TensorOp::Gram),
        (0_usize..2).prop_map(TensorOp::Shift),
        Just(TensorOp::Split),
        Just(TensorOp::Pool),
        Just(TensorOp::Kink),
    ]
}

/// Applies the program to a matrix, with every structural primitive somewhere in it.
fn tensor_run<'t>(program: &[TensorOp], x: Var<'t>) -> Var<'t> {
    let mut y = x;
    for op in program {
        let s = y.shape();
        let (rows, columns) = (s[0], s[1]);
        let kept = |axis: usize| if axis == 0 { [1, columns] } else { [rows, 1] };
        y = match op {
            TensorOp::Tanh => y.tanh(),
            TensorOp::Centre(axis) => y - y.mean(&[*axis]).reshape(kept(*axis)),
            TensorOp::Scale(axis) => y * (y.square().sum(&[*axis]) + 1.0).sqrt().recip().reshape(kept(*axis)),
            TensorOp::Normalise => {
                let centred = y - y.mean(&[0]);
                centred * (centred.square().mean(&[0]) + 0.1).sqrt().recip()
            }
            TensorOp::Softmax => (y - y.logsumexp(&[1]).reshape([rows, 1])).exp(),
            TensorOp::Product => y.matmul(y.t()).matmul(y).tanh(),
            TensorOp::Gram => (y.t().matmul(y) * 0.3).tanh(),
            TensorOp::Shift(axis) => {
                let (mut at, mut end) = ([0, 0], [rows, columns]);
                (at[*axis], end[*axis]) = (s[*axis] / 2, s[*axis]);
                let rest = y.slice(&at, &end);
                let mut start = [0, 0];
                start[*axis] = s[*axis] / 2;
                rest.pad(&[0, 0], [rows, columns]) + rest.pad(&start, [rows, columns]) * 0.5 + y
            }
            TensorOp::Split if columns == 1 => y.sin(),
            TensorOp::Split => {
                let half = columns.div_ceil(2);
                let (a, b) = (y.slice(&[0, 0], &[rows, half]), y.slice(&[0, half], &[rows, columns]));
                Var::concat(&[b.tanh(), a, b], 1)
            }
            TensorOp::Pool => y * y.max_axes(&[1]).reshape([rows, 1]),
            TensorOp::Kink => y.relu() + y.abs() * 0.5 + (y * 0.7).max(y.t().t() - 0.2),
        };
    }
    (y.tanh() * y).sum_all() + y.mean_all()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn tensor_programs_agree_in_every_mode(
        program in prop::collection::vec(tensor_op(), 1..6),
        rows in 1_usize..6,
        columns in 1_usize..6,
        seed in 0_u64..1000,
    ) {
        let n = rows * columns;
        let mut numbers = integration::Numbers::new(seed);
        let (x, v, u) = (numbers.vec(n), numbers.vec(n), numbers.vec(n));
        let tape = Tape::new();
        let at = tape.input("x", [rows, columns], Stage::POINT);
        let direction = tape.input("v", [rows, columns], Stage::DIRECTION);
        let other = tape.input("u", [rows, columns], Stage::DIRECTION);
        let f = tensor_run(&program, at);
        let g = grad(f, &[at])[0];
        let product = hvp(f, &[at], &[(at, direction)])[0];
        let twice_back = grad(g.dot(direction), &[at])[0];
        let symmetric = hvp(f, &[at], &[(at, other)])[0].dot(direction) - product.dot(other);
        let outputs = [
            (Stage::POINT, f),
            (Stage::POINT, g),
            (Stage::DIRECTION, product),
            (Stage::DIRECTION, twice_back),
            (Stage::DIRECTION, symmetric),
        ];
        let plan = Plan::<f64>::staged(&tape, &outputs, Options::default());
        let values = plan.evaluate(&[&x, &v, &u]);
        let scale = values[2].iter().fold(1.0_f64, |m, v| m.max(v.abs()));
        close(&values[2], &values[3], 1e-9)?;
        prop_assert!(values[4][0].abs() <= 1e-9 * scale * n as f64);

        // The slope by central differences, away from kinks (a kink within h shows as a larger error: the
        // comparison is of the median of three widths).
        let slope: f64 = values[1].iter().zip(&v).map(|(a, b)| a * b).sum();
        let mut errors: Vec<f64> = [1e-5, 1e-6, 1e-7]
            .iter()
            .map(|h| {
                let value = |sign: f64| {
                    let moved: Vec<f64> = x.iter().zip(&v).map(|(x, v)| x + sign * h * v).collect();
                    plan.evaluate(&[&moved, &v, &u])[0][0]
                };
                ((value(1.0) - value(-1.0)) / (2.0 * h) - slope).abs()
            })
            .collect();
        errors.sort_by(f64::total_cmp);
        prop_assert!(errors[1] <= 1e-5 * (1.0 + slope.abs() + scale), "{:?} for a slope of {}", errors, slope);

        let unfused = Plan::<f64>::staged(&tape, &outputs, Options { fuse: false, ..Options::default() });
        prop_assert_eq!(&values, &unfused.evaluate(&[&x, &v, &u]));
        for isa in autodiff::Isa::available() {
            let plan = Plan::<f64>::staged(&tape, &outputs, Options { isa: Some(isa), ..Options::default() });
            let on_isa = plan.evaluate(&[&x, &v, &u]);
            for (a, b) in on_isa.iter().zip(&values) {
                close(a, b, 1e-9)?;
            }
        }
    }
}
