//! Gauss-Newton and Fisher products against dense matrices made by hand.

use autodiff::{Arg, Options, Plan, Real, Stage, Tape, Var, jvp};
use integration::{Numbers, Owned, Values, initial, relative_error, sinusoid};
use meta::inner::{Derivative, GradientOnly, Hyper, InnerPlan, Run};
use meta::problem::{At, DataSpec, FewShot, Problem};
use nn::loss;

use super::task::glyphs;

const LAMBDA: f64 = 0.7;

/// The matrix of a plan's product at φ, column by column.
fn matrix(
    problem: &dyn Problem,
    derivative: Derivative,
    theta: &[f64],
    phi: &[f64],
    data: &[Arg<'_, f64>],
) -> Vec<f64> {
    let n = problem.dim();
    let plan = InnerPlan::<f64>::new(problem, &GradientOnly, derivative);
    let mut run = Run::new(&plan, 1);
    run.start(&plan, theta, Hyper { lambda: LAMBDA, rate: 0.0 }, data);
    run.state.copy_from_slice(phi);
    run.look(&plan, theta, data);
    let (mut matrix, mut column, mut unit) = (vec![0.0; n * n], vec![0.0; n], vec![0.0; n]);
    for j in 0..n {
        unit.fill(0.0);
        unit[j] = 1.0;
        let (workspace, state, _, inputs) = run.parts(theta, data);
        plan.hessian(workspace, &inputs, state, &unit, &mut column);
        (0..n).for_each(|i| matrix[i * n + j] = column[i]);
    }
    matrix
}

/// The outputs on the support set, and their Jacobian, [outputs, n].
fn jacobian(problem: &FewShot, theta: &[f64], phi: &[f64], data: &[Arg<'_, f64>]) -> (Vec<f64>, Vec<f64>) {
    let (tape, n) = (Tape::new(), problem.dim());
    let p = tape.input("phi", n, Stage::POINT);
    let t = tape.input("theta", n, Stage::POINT);
    let e = tape.input("e", n, Stage::POINT);
    let at = At::new(p, t, Var::zero(), problem.declare(&tape));
    let z = problem.outputs(&at).unwrap();
    let plan =
        Plan::<f64>::staged(&tape, &[(Stage::POINT, z), (Stage::POINT, jvp(&[z], &[(p, e)])[0])], Options::default());
    let (mut outputs, mut columns) = (Vec::new(), Vec::new());
    for j in 0..n {
        let unit: Vec<f64> = (0..n).map(|i| if i == j { 1.0 } else { 0.0 }).collect();
        let mut args: Vec<Arg<'_, f64>> = vec![phi.into(), theta.into(), (&unit).into()];
        args.extend_from_slice(data);
        let mut values = plan.evaluate_args(&args);
        columns.push(values.pop().unwrap());
        outputs = values.pop().unwrap();
    }
    let jacobian = (0..outputs.len() * n).map(|e| columns[e % n][e / n]).collect();
    (outputs, jacobian)
}

/// Jᵀ M J + λI
fn sandwich(j: &[f64], m: &[f64], rows: usize, n: usize) -> Vec<f64> {
    let mut mj = vec![0.0; rows * n];
    for a in 0..rows {
        for b in (0..rows).filter(|b| m[a * rows + b] != 0.0) {
            (0..n).for_each(|i| mj[a * n + i] += m[a * rows + b] * j[b * n + i]);
        }
    }
    let mut product: Vec<f64> = (0..n * n).map(|e| if e / n == e % n { LAMBDA } else { 0.0 }).collect();
    for a in 0..rows {
        for i in 0..n {
            (0..n).for_each(|k| product[i * n + k] += j[a * n + i] * mj[a * n + k]);
        }
    }
    product
}

/// 1/n (diag p − p pᵀ) of every row of the logits, as one matrix.
fn softmax_curvature(logits: &[f64], classes: usize) -> Vec<f64> {
    let all = logits.len();
    let mut m = vec![0.0; all * all];
    for (row, z) in logits.chunks_exact(classes).enumerate() {
        let sum: f64 = z.iter().map(|z| z.exp()).sum();
        for a in 0..classes {
            for b in 0..classes {
                let (p, q) = (z[a].exp() / sum, z[b].exp() / sum);
                let diagonal = if a == b { p } else { 0.0 };
                m[(row * classes + a) * all + row * classes + b] = (diagonal - p * q) * classes as f64 / all as f64;
            }
        }
    }
    m
}

fn scaled_identity(n: usize, value: f64) -> Vec<f64> {
    (0..n * n).map(|e| if e / n == e % n { value } else { 0.0 }).collect()
}

/// The least pivot of a Cholesky factorisation, which for M ⪰ λI is at least λ; stops at one that is not positive.
fn least_pivot(m: &[f64], n: usize) -> f64 {
    let (mut a, mut least) = (m.to_vec(), f64::INFINITY);
    for k in 0..n {
        let pivot = a[k * n + k];
        least = least.min(pivot);
        if pivot <= 0.0 {
            break;
        }
        for i in k + 1..n {
            let factor = a[i * n + k] / pivot;
            (k..n).for_each(|j| a[i * n + j] -= factor * a[k * n + j]);
        }
    }
    least
}

fn check(problem: &FewShot, theta: &[f64], data: &[Arg<'_, f64>], curvature: impl Fn(&[f64]) -> [Vec<f64>; 2]) {
    let n = problem.dim();
    // Away from θ, so that the prox term has a slope.
    let adapts = problem.adapts();
    let mut numbers = Numbers::new(9);
    let phi: Vec<f64> =
        theta.iter().zip(&adapts).map(|(t, &a)| if a { t + 0.2 * numbers.next() } else { *t }).collect();
    let (z, j) = jacobian(problem, theta, &phi, data);
    for (derivative, of_outputs) in [Derivative::GaussNewton, Derivative::Fisher].into_iter().zip(curvature(&z)) {
        let found = matrix(problem, derivative, theta, &phi, data);
        let expected = sandwich(&j, &of_outputs, z.len(), n);
        // Two ways to multiply the same numbers: a few hundred roundings.
        assert!(relative_error(&found, &expected) <= 1e-13, "{derivative:?} {}", relative_error(&found, &expected));
        let transposed: Vec<f64> = (0..n * n).map(|e| found[e % n * n + e / n]).collect();
        assert!(relative_error(&found, &transposed) <= 1e-14, "{derivative:?} is symmetric");
        assert!(least_pivot(&found, n) >= LAMBDA * (1.0 - 1e-10), "{derivative:?} is at least λ");
    }
    // The Hessian is another matrix, and here not even positive.
    let hessian = matrix(problem, Derivative::Hessian, theta, &phi, data);
    assert!(least_pivot(&hessian, n) < 0.0);
}

#[test]
fn of_a_regression_it_is_the_dense_one() {
    let (problem, theta, data) = sinusoid("mlp:1-7-5-1,act=tanh", true, 4);
    check(&problem, &theta, &data.args(), |z| [2.0, 1.0].map(|s| scaled_identity(z.len(), s / z.len() as f64)));
}

#[test]
fn of_a_classification_it_is_the_dense_one_frozen_parameters_included() {
    let spec = "conv4:channels=2,stride=2,ways=3,image=1x28x28,act=softplus";
    let (problem, theta, data) = glyphs::<f64>(spec, true, 4);
    let problem = problem.freezing(|name| name.starts_with("conv2"));
    check(&problem, &theta, &data.args(), |z| [softmax_curvature(z, 3), softmax_curvature(z, 3)]);
}

#[test]
fn fisher_and_gauss_newton_of_squares_differ_by_the_stated_factor() {
    // z = W x + b: linear, so that Gauss-Newton is the Hessian; GN = 2/width · JᵀFJ + λ.
    for width in [1, 2, 3] {
        let problem = FewShot::new(format!("mlp:3-{width}").parse().unwrap(), 4, 1, true);
        let theta = initial::<f64>(problem.model(), 1);
        let mut numbers = Numbers::new(2);
        let data = Owned([12, 4 * width, 3, width].map(|n| Values::Floats(numbers.vec(n))).into());
        // Without λ, which is 0 times the identity in the difference of two.
        let of = |derivative| -> Vec<f64> {
            let all = matrix(&problem, derivative, &theta, &theta, &data.args());
            let n = theta.len();
            (0..n * n).map(|i| all[i] - if i / n == i % n { LAMBDA } else { 0.0 }).collect()
        };
        let (hessian, gauss_newton, fisher) =
            (of(Derivative::Hessian), of(Derivative::GaussNewton), of(Derivative::Fisher));
        assert!(relative_error(&gauss_newton, &hessian) <= 1e-13);
        let scaled: Vec<f64> = fisher.iter().map(|f| 2.0 / width as f64 * f).collect();
        assert!(relative_error(&scaled, &gauss_newton) <= 1e-13, "{width} outputs");
    }
}

/// (∂θ∇φG)ᵀx is that of G whatever stands in for ∇²φφG: −λ x, and of frozen parameters what the Hessian has between them and
/// the others.
#[test]
fn the_mixed_block_is_exact_whatever_the_curvature() {
    let (whole, theta, data) = sinusoid("mlp:1-7-5-1,act=tanh", true, 4);
    let problem = whole.clone().freezing(|name| name.starts_with("fc2"));
    let (adapts, mut numbers) = (problem.adapts(), Numbers::new(5));
    let mut drawn = || -> Vec<f64> { adapts.iter().map(|&a| if a { numbers.next() } else { 0.0 }).collect() };
    let (away, x) = (drawn(), drawn());
    let phi: Vec<f64> = theta.iter().zip(&away).map(|(t, a)| t + 0.2 * a).collect();
    let hessian = matrix(&whole, Derivative::Hessian, &theta, &phi, &data.args());
    let row = |i: usize| hessian[i * theta.len()..].iter().zip(&x).map(|(h, x)| h * x).sum::<f64>();
    let expected: Vec<f64> = (0..theta.len()).map(|i| if adapts[i] { -LAMBDA * x[i] } else { row(i) }).collect();
    assert!((0..theta.len()).any(|i| !adapts[i] && expected[i] != 0.0));
    for derivative in [Derivative::Hessian, Derivative::GaussNewton, Derivative::Fisher] {
        let plan = InnerPlan::<f64>::new(&problem, &GradientOnly, derivative);
        let (mut run, mut product, data) = (Run::new(&plan, 1), vec![f64::NAN; theta.len()], data.args());
        run.start(&plan, &theta, Hyper { lambda: LAMBDA, rate: 0.0 }, &data);
        run.state.copy_from_slice(&phi);
        run.look(&plan, &theta, &data);
        let (workspace, state, _, inputs) = run.parts(&theta, &data);
        plan.mixed(workspace, &inputs, state, &x, &mut product);
        let error = relative_error(&product, &expected);
        assert!(error <= 1e-14, "{derivative:?}: {error}");
    }
}

/// Softmax regression with a prox term.
struct Softmax;

impl Problem for Softmax {
    fn dim(&self) -> usize {
        12
    }
    fn data(&self) -> Vec<DataSpec> {
        vec![
            DataSpec { name: "x", shape: [5, 4].into(), bound: None },
            DataSpec { name: "y", shape: [5, 3].into(), bound: None },
        ]
    }
    fn inner<'t>(&self, at: &At<'t>) -> Var<'t> {
        self.inner_of_outputs(at, self.outputs(at).unwrap())
    }
    fn outputs<'t>(&self, at: &At<'t>) -> Option<Var<'t>> {
        Some(at.data[0].values().matmul(at.phi.reshape([4, 3])))
    }
    fn inner_of_outputs<'t>(&self, at: &At<'t>, outputs: Var<'t>) -> Var<'t> {
        let away = at.phi - at.theta;
        loss::soft_cross_entropy(outputs, at.data[1].values()) + 0.5 * at.lambda * away.dot(away)
    }
    fn fisher_of_outputs<'t>(&self, _: &At<'t>, outputs: Var<'t>, direction: Var<'t>) -> Option<Var<'t>> {
        Some(loss::softmax_fisher(outputs, direction))
    }
    fn outer<'t>(&self, at: &At<'t>) -> Var<'t> {
        at.phi.dot(at.phi)
    }
}

#[test]
fn of_a_linear_classifier_all_three_are_the_same() {
    let mut numbers = Numbers::new(3);
    let (x, phi, theta) = (numbers.vec(20), numbers.vec(12), numbers.vec(12));
    let soft: Vec<f64> = (0..5).flat_map(|_| [0.2, 0.5, 0.3]).collect();
    let of = |derivative| matrix(&Softmax, derivative, &theta, &phi, &[(&x).into(), (&soft).into()]);
    let hessian = of(Derivative::Hessian);
    for derivative in [Derivative::GaussNewton, Derivative::Fisher] {
        assert!(relative_error(&of(derivative), &hessian) <= 1e-14, "{derivative:?}");
    }
    assert!(least_pivot(&hessian, 12) >= LAMBDA * (1.0 - 1e-12));
}

#[test]
#[should_panic(expected = "no outputs")]
fn a_problem_without_outputs_has_no_gauss_newton() {
    let _ = InnerPlan::<f64>::new(&integration::Quadratic { dim: 2 }, &GradientOnly, Derivative::GaussNewton);
}
