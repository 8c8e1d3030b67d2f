//! The ingredients, each against differences or against its definition.

use autodiff::Arg;

use super::differences::{Difference, PAST_KINKS, derivative};
use super::engine::Engine;
use super::findings::{Check, Comparison};
use super::reference::Task;
use super::vector::{add, dot, minus, norm, relative_difference, scaled};
use crate::inner::{Derivative, GradientDescent, InnerPlan, Inputs};
use crate::tasks::random::Random;

/// Rounding of one evaluation of a network's derivative, relative: some √n u a layer and order of derivative, with n
/// terms in its sums, n < 10⁶.
pub(super) const ROUNDING: f64 = 1e-12;

/// Rounding of one loss, relative, for differences of it.
pub(super) const DIFFERENCE_ROUNDING: f64 = 1e-15;

/// All of them, at θ and near it.
pub(super) fn checks(task: &mut Task<'_>, engine: &dyn Engine, data: &[Arg<'_, f64>], rng: &mut Random) -> Vec<Check> {
    let theta = task.theta;
    let mut checks = differences(task, rng);

    let u = direction(rng, theta.len());
    let w = direction(rng, theta.len());
    let (hu, hw) = (task.hessian(theta, &u), task.hessian(theta, &w));
    let asymmetry = (dot(&u, &hw) - dot(&w, &hu)).abs() / (norm(&u) * norm(&hw)).max(f64::MIN_POSITIVE);
    checks.push(Check {
        name: "⟨u, ∇²L w⟩ and ⟨w, ∇²L u⟩", comparison: Comparison::of(asymmetry, ROUNDING)
    });
    checks.extend(definitions(task, engine, data, rng));
    checks
}

/// A random direction where something adapts or not, zero in no coordinate.
pub(super) fn direction(rng: &mut Random, n: usize) -> Vec<f64> {
    (0..n).map(|_| rng.uniform(-1.0, 1.0)).collect()
}

/// L, f and ∇L along a random line, by differences.
fn differences(task: &mut Task<'_>, rng: &mut Random) -> Vec<Check> {
    let theta = task.theta;
    let u = direction(rng, theta.len());
    // The line runs over a hundredth of θ at its most, a millionth of that at its least.
    let u = scaled(norm(theta).max(1.0) / norm(&u), &u);
    let line = |t: f64| {
        let mut phi = theta.to_vec();
        add(t, &u, &mut phi);
        phi
    };
    let (g, v, hu) = (task.support(theta).1, task.query(theta).1, task.hessian(theta, &u));
    let slope = |g: &[f64], d: &Difference| {
        let scale = (norm(g) * norm(&u)).max(f64::MIN_POSITIVE);
        ((dot(g, &u) - d.value[0]).abs() / scale, 4.0 * d.error / scale)
    };
    let along = |f: &mut dyn FnMut(f64) -> Vec<f64>| derivative(1e-2, 20, DIFFERENCE_ROUNDING, f);
    let support = slope(&g, &along(&mut |t| vec![task.support(&line(t)).0]));
    let query = slope(&v, &along(&mut |t| vec![task.query(&line(t)).0]));
    let products = along(&mut |t| task.support(&line(t)).1);
    let product = (relative_difference(&products.value, &hu), 4.0 * products.error / norm(&hu).max(f64::MIN_POSITIVE));
    let check = |name, (difference, error): (f64, f64)| {
        let kinks = !task.is_smooth() && error > PAST_KINKS;
        let comparison = match kinks {
            true => Comparison::none("kinks lie within reach of the differences"),
            false => Comparison::of(difference, ROUNDING + error),
        };
        Check { name, comparison }
    };
    vec![
        check("∇L and differences of L", support),
        check("∇f and differences of f", query),
        check("∇²L u and differences of ∇L", product),
    ]
}

/// The engine's G, step and products against what they are by definition, at a point away from θ.
fn definitions(task: &mut Task<'_>, engine: &dyn Engine, data: &[Arg<'_, f64>], rng: &mut Random) -> Vec<Check> {
    let (theta, n) = (task.theta, task.theta.len());
    let plan = InnerPlan::<f64>::new(engine.problem(), &GradientDescent, Derivative::Hessian);
    let mut workspace = plan.plan().workspace();
    // Where frozen parameters are θ's, as they always are.
    let moved = task.project(&direction(rng, n));
    let mut phi = theta.to_vec();
    // ½λ‖φ − θ‖² of the size of L, or it could be wrong unseen.
    let loss = task.support(theta).0;
    let away = (2.0 * loss.abs().max(1e-3) / task.lambda).sqrt().min(0.1 * norm(theta).max(1.0));
    add(away / norm(&moved), &moved, &mut phi);
    let hyper = [task.lambda, task.rate];
    let inputs = Inputs::new(theta, &hyper, data);
    let mut next = vec![0.0; n];
    plan.start(&mut workspace, &inputs);
    let measured = plan.step(&mut workspace, &inputs, &phi, &mut next);

    let (value, gradient) = (task.support(&phi).0, task.inner_gradient(&phi));
    let away = minus(&phi, theta);
    let prox = 0.5 * task.lambda * dot(&away, &away);
    let of_value = (measured.value - value - prox).abs() / prox;
    let step = minus(&next, &phi);
    let expected = scaled(-task.rate, &gradient);
    // φ′ − φ is a small difference of large numbers.
    let cancelled = norm(&phi) / norm(&expected).max(f64::MIN_POSITIVE);

    let c = direction(rng, n);
    let mut product = vec![0.0; n];
    plan.hessian(&mut workspace, &inputs, &phi, &c, &mut product);
    let operator = task.operator(&phi, &c);
    let mut mixed = vec![0.0; n];
    plan.mixed(&mut workspace, &inputs, &phi, &c, &mut mixed);
    let hc = task.hessian(&phi, &task.project(&c));
    let by_definition: Vec<f64> =
        (0..n).map(|i| -task.lambda * c[i] + if task.adapts()[i] { 0.0 } else { hc[i] }).collect();

    let check = |name, difference: f64, allowed: f64| Check { name, comparison: Comparison::of(difference, allowed) };
    let value_noise = ROUNDING * (1.0 + value.abs() / prox);
    vec![
        check("G and L + ½λ‖φ − θ‖²", or_infinite(of_value), value_noise),
        check(
            "the inner step and −α(∇L + λ(φ − θ))",
            relative_difference(&step, &expected),
            ROUNDING * (1.0 + cancelled),
        ),
        check("∇²G c and ∇²L c + λc", relative_difference(&product, &operator), ROUNDING),
        check("(∂θ∇φG)ᵀc and −λc", relative_difference(&mixed, &by_definition), ROUNDING),
    ]
}

fn or_infinite(x: f64) -> f64 {
    if x.is_finite() { x } else { f64::INFINITY }
}
