//! Unrolled steps against closed forms, differences and each other.

use integration::{Case, KEEPS, Numbers, Quadratic, gradient, relative_error, sinusoid};
use meta::inner::{Adam, GradientDescent, Hyper, Momentum, Nesterov, Scheduled, Step};
use meta::method::{FirstOrder, Keep, Unrolled};

use super::quadratic::ByHand;
use super::task::glyphs;

/// Every policy gives the closed form, and the same bits.
fn check(case: &Case, step: &dyn Step, hyper: Hyper, steps: usize, expected: &[f64], tolerance: f64) {
    let mut first: Option<Vec<f64>> = None;
    for keep in KEEPS {
        let method = Unrolled::with_step(&Quadratic { dim: case.n }, step, steps, keep);
        let (g, _) = gradient(&method, &case.theta, hyper, &case.data());
        let error = relative_error(&g, expected);
        assert!(error <= tolerance, "{steps} steps, {keep:?}: {error:e}");
        assert_eq!(first.get_or_insert_with(|| g.clone()), &g, "{steps} steps, {keep:?}");
    }
}

#[test]
fn momentum_and_nesterov_have_closed_forms_on_quadratics() {
    let case = Case::new(&[0.3, 0.9, 1.7, 2.5, 4.0], 1);
    let hyper = Hyper { lambda: 0.8, rate: 0.1 };
    let mu = 0.7;
    for steps in [1, 2, 7, 30] {
        let constant = |_| hyper.rate;
        // Contractions of well-scaled matrices: some hundred roundings.
        let ball = case.through_momentum(hyper, [mu, 1.0, mu], constant, steps);
        check(&case, &Momentum::new(mu), hyper, steps, &ball, 1e-13);
        let ahead = case.through_momentum(hyper, [mu, 1.0 + mu, mu * mu], constant, steps);
        check(&case, &Nesterov::new(mu), hyper, steps, &ahead, 1e-13);
        let none = case.through_momentum(hyper, [0.0, 1.0, 0.0], constant, steps);
        check(&case, &Momentum::new(0.0), hyper, steps, &none, 1e-13);
    }
}

#[test]
fn schedules_are_the_rates_they_say() {
    let case = Case::new(&[0.3, 0.9, 1.7, 2.5, 4.0], 2);
    let hyper = Hyper { lambda: 0.8, rate: 0.1 };
    let (mu, steps) = (0.7, 12);
    let half_wave = |k: usize| 0.1 * 0.5 * (1.0 + (std::f64::consts::PI * k as f64 / 12.0).cos());
    let expected = case.through_momentum(hyper, [mu, 1.0, mu], half_wave, steps);
    check(&case, &Scheduled::cosine(Momentum::new(mu), steps), hyper, steps, &expected, 1e-13);
    let line = |k: usize| 0.1 * (1.0 - k as f64 / 12.0);
    let expected = case.through_momentum(hyper, [0.0, 1.0, 0.0], line, steps);
    check(&case, &Scheduled::linear(GradientDescent, steps), hyper, steps, &expected, 1e-13);
    let stairs = |k: usize| 0.1 * 0.5_f64.powi((k / 5) as i32);
    let expected = case.through_momentum(hyper, [mu, 1.0 + mu, mu * mu], stairs, steps);
    check(&case, &Scheduled::steps(Nesterov::new(mu), 5, 0.5), hyper, steps, &expected, 1e-13);
    let odd = |k: usize| 0.1 * (1.0 + k as f64).recip();
    let expected = case.through_adam(hyper, [0.8, 0.95], 0.1, odd, steps);
    check(&case, &Scheduled::new(adam(), |k| (1.0 + k as f64).recip()), hyper, steps, &expected, 1e-12);
    // Beyond its end a schedule is 0, not negative.
    let mut factor = [1.0];
    (Scheduled::linear(GradientDescent, 3).numbers().unwrap().at)(7, &mut factor);
    assert_eq!(factor, [0.0]);
}

/// One whose derivative is as smooth as the problem's.
fn adam() -> Adam {
    Adam::default().with_betas(0.8, 0.95).with_epsilon(0.1)
}

#[test]
fn adam_has_its_jacobians_by_hand_on_quadratics() {
    let case = Case::new(&[0.3, 0.9, 1.7, 2.5, 4.0], 3);
    let hyper = Hyper { lambda: 0.8, rate: 0.1 };
    for steps in [1, 2, 7, 30] {
        let constant = |_| hyper.rate;
        // The by-hand sum is over matrices in another order: its rounding is that of 30 products of 5 × 5.
        let expected = case.through_adam(hyper, [0.8, 0.95], 0.1, constant, steps);
        check(&case, &adam(), hyper, steps, &expected, 1e-12);
        // The usual constants: the step is a sign where |g| ≫ ε, and rounding is amplified by what it hides.
        let expected = case.through_adam(hyper, [0.9, 0.999], 1e-8, constant, steps);
        check(&case, &Adam::default(), hyper, steps, &expected, 1e-9);
    }
}

#[test]
fn adam_is_differentiable_where_the_gradient_is_zero() {
    // θ = 0 is the minimiser: g = 0, m = v = 0. There φ₁ = θ − α g/ε to first order.
    let mut case = Case::new(&[0.3, 0.9, 1.7], 4);
    case.theta.fill(0.0);
    case.b.fill(0.0);
    let hyper = Hyper { lambda: 0.0, rate: 0.1 };
    let step = Adam::default().with_epsilon(1e-2);
    let expected: Vec<f64> = (0..3)
        .map(|i| -case.c[i] + hyper.rate / 1e-2 * (0..3).map(|j| case.a[i * 3 + j] * case.c[j]).sum::<f64>())
        .collect();
    check(&case, &step, hyper, 1, &expected, 1e-14);

    // Parameters that the loss does not see have g = 0 in every step: padding, and what is frozen.
    let (problem, theta, data) = glyphs::<f32>("conv4:channels=3,stride=2,ways=3,image=1x28x28", true, 1);
    let problem = problem.freezing(|name| name.starts_with("bn"));
    let mut padding = vec![true; theta.len()];
    problem.model().layout().entries().iter().for_each(|e| padding[e.range()].fill(false));
    assert!(padding.contains(&true));
    let method = Unrolled::with_step(&problem, &Adam::default(), 2, Keep::Everything);
    let (g, report) = gradient(&method, &theta, Hyper { lambda: 0.5, rate: 0.01 }, &data.args());
    assert!(report.query_loss.is_finite() && g.iter().all(|g| g.is_finite()));
    assert!(g.iter().zip(&padding).all(|(&g, &unused)| !unused || g == 0.0));
}

/// The fourth-order difference of "adapt, then measure" along `v`.
fn difference(mut value: impl FnMut(&[f64]) -> f64, theta: &[f64], v: &[f64], h: f64) -> f64 {
    let mut at = |t: f64| value(&theta.iter().zip(v).map(|(x, v)| x + t * v).collect::<Vec<_>>());
    (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h)
}

#[test]
fn gradients_through_networks_agree_with_differences() {
    let (problem, theta, data) = sinusoid("mlp:1-8-8-1,act=tanh", true, 12);
    let problem = problem.with_minibatch(4, 3);
    let steps: [(&str, Box<dyn Step>); 4] = [
        ("momentum", Box::new(Momentum::new(0.9))),
        ("Nesterov", Box::new(Nesterov::new(0.9))),
        ("Adam", Box::new(adam())),
        ("scheduled Adam", Box::new(Scheduled::cosine(adam(), 6))),
    ];
    let hyper = Hyper { lambda: 0.5, rate: 0.02 };
    for (name, step) in &steps {
        let method = Unrolled::with_step(&problem, step.as_ref(), 6, Keep::Everything);
        let (g, _) = gradient(&method, &theta, hyper, &data.args());
        let mut numbers = Numbers::new(3);
        for _ in 0..3 {
            let v = numbers.vec(theta.len());
            let value = |at: &[f64]| gradient(&method, at, hyper, &data.args()).1.query_loss;
            // With Adam the fifth derivative is near ε⁻⁵: truncation h⁴ f⁗′/30 and rounding 1e-16/h are near 1e-12.
            let by_difference = difference(value, &theta, &v, 3e-5);
            let slope: f64 = g.iter().zip(&v).map(|(a, b)| a * b).sum();
            let error = (by_difference - slope).abs();
            assert!(error <= 1e-7 * slope.abs().max(0.1), "{name}: {by_difference} and {slope}");
        }
    }
}

#[test]
fn policies_agree_bit_for_bit_with_schedule_adam_and_minibatch() {
    let (problem, theta, data) = glyphs::<f32>("conv4:channels=4,stride=2,ways=3,image=1x28x28", true, 2);
    let problem = problem.with_minibatch(4, 5);
    let hyper = Hyper { lambda: 0.5, rate: 0.01 };
    let step = Scheduled::linear(Adam::default().with_epsilon(1e-3), 8);
    let of = |keep| {
        let method = Unrolled::with_step(&problem, &step, 6, keep);
        gradient(&method, &theta, hyper, &data.args()).0
    };
    let everything = of(Keep::Everything);
    assert!(everything.iter().any(|&g| g != 0.0) && everything.iter().all(|g| g.is_finite()));
    for keep in KEEPS {
        assert!(of(keep) == everything, "{keep:?}");
    }
    // Truncated to nothing it is first order, which takes other steps too.
    let first_order = FirstOrder::with_step(&problem, &step, 6);
    assert!(of(Keep::Last(0)) == gradient(&first_order, &theta, hyper, &data.args()).0);
}
