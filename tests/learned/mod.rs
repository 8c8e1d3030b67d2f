//! Learned λ, learned step sizes and masks: closed forms, differences, and what must be exactly zero or the same.

mod conv4;

use autodiff::Arg;
use integration::{Numbers, Owned, dense_solve, initial, relative_error, sinusoid};
use meta::inner::Hyper;
use meta::linear::{Cg, Nystrom};
use meta::method::{FirstOrder, Implicit, InnerStop, Keep, Method, Reptile, Unrolled};
use meta::predict::Predictor;
use meta::problem::{Adapts, FewShot, Learned, Problem, QueryStatistics, Share};
use meta::tasks::Glyphs;
use meta::verify::along;
use nn::Model;

const SHARES: [Share; 3] = [Share::One, Share::Layer, Share::Parameter];

const BOTH: fn(Share) -> Learned = |share| Learned { lambda: Some(share), rate: Some(share) };

fn gradient(method: &dyn Method<f64>, theta: &[f64], hyper: Hyper, data: &[Arg<'_, f64>]) -> Vec<f64> {
    let mut out = vec![f64::NAN; theta.len()];
    method.worker().gradient(theta, hyper, data, &mut out);
    out
}

/// Gradient descent to the end, and the system solved to the end.
fn solved(problem: &FewShot) -> Implicit<f64> {
    let stop = InnerStop::Gradient { gradient: 2e-14, cap: 5_000 };
    Implicit::new(problem, stop, Box::new(Cg::tolerance(1e-14, 1000)))
}

/// Learned numbers that are not where they start: s and r − 1 in (−0.3, 0.3).
fn moved(problem: &FewShot, parameters: &[f64]) -> Vec<f64> {
    let mut theta = problem.theta(parameters.to_vec());
    let mut numbers = Numbers::new(17);
    problem.behind().iter().flat_map(|e| e.range()).for_each(|i| theta[i] += 0.3 * numbers.next());
    theta
}

/// Coordinates of θ whose entry's name passes.
fn places(problem: &FewShot, keep: impl Fn(&str) -> bool) -> Vec<usize> {
    let entries = problem.layout().entries().iter();
    entries.filter(|e| keep(e.name())).flat_map(|e| e.range()).collect()
}

/// A random direction in some coordinates.
fn direction(len: usize, places: &[usize], seed: u64) -> Vec<f64> {
    let (mut u, mut numbers) = (vec![0.0; len], Numbers::new(seed));
    places.iter().for_each(|&i| u[i] = numbers.next());
    u
}

/// θ's parts, each alone: a mistake in one cannot hide behind the size of another.
fn parts(problem: &FewShot) -> Vec<(&'static str, Vec<usize>)> {
    let is = |name: &str, part: &str| name.split('.').next() == Some(part);
    vec![
        ("initialisation", places(problem, |n| !is(n, "log_lambda") && !is(n, "rate"))),
        ("λ", places(problem, |n| is(n, "log_lambda"))),
        ("rates", places(problem, |n| is(n, "rate"))),
    ]
}

/// Differences are as good as 1e-9 here; the bar is 1e-7.
#[track_caller]
fn check_along(what: &str, method: &dyn Method<f64>, theta: &[f64], hyper: Hyper, data: &[Arg<'_, f64>], u: &[f64]) {
    let found = along(method, theta, hyper, data, u);
    assert!(found.relative_error() <= 1e-7, "{what}: {found:?}");
    assert!(found.uncertainty <= 1e-7 * found.differences.abs(), "{what}: the differences decide nothing, {found:?}");
}

#[test]
fn the_layout_names_what_is_learned() {
    let of = |learned, adapts| {
        let problem = FewShot::new("mlp:2-3-1,act=tanh".parse().unwrap(), 4, 4, true);
        let problem = problem.adapting(adapts).learning(learned);
        let name = |e: &nn::Entry| (e.name().to_owned(), e.file_shape().to_vec());
        problem.behind().iter().map(name).collect::<Vec<_>>()
    };
    let named = |names: &[(&str, &[usize])]| names.iter().map(|(n, s)| ((*n).into(), s.to_vec())).collect::<Vec<_>>();
    assert_eq!(of(BOTH(Share::One), Adapts::All), named(&[("log_lambda", &[1]), ("rate", &[1])]));
    let layers = Learned { lambda: Some(Share::Layer), rate: None };
    assert_eq!(of(layers, Adapts::All), named(&[("log_lambda.fc1", &[1]), ("log_lambda.fc2", &[1])]));
    assert_eq!(of(layers, Adapts::Body), named(&[("log_lambda.fc1", &[1])]));
    let each = Learned { lambda: None, rate: Some(Share::Parameter) };
    assert_eq!(of(each, Adapts::Head), named(&[("rate.fc2.weight", &[1, 3]), ("rate.fc2.bias", &[1])]));
}

/// At the start λ is λ and the step size is the step size: not a bit of the initialisation's gradient changes, but
/// for a λ of each coordinate, whose prox term is summed in another order, and for step sizes of which there are several,
/// which Hessian products are taken of, where they are multiplied by a single one.
#[test]
fn what_is_learned_starts_where_it_was() {
    let (plain, parameters, task) = sinusoid("mlp:1-6-6-1,act=tanh", true, 3);
    let hyper = Hyper { lambda: 0.7, rate: 0.05 };
    let of = |problem: &FewShot, implicit: bool| {
        let theta = problem.theta(parameters.clone());
        let method: Box<dyn Method<f64>> = if implicit {
            Box::new(Implicit::new(problem, InnerStop::Steps(6), Box::new(Cg::iterations(5))))
        } else {
            Box::new(Unrolled::new(problem, 6, Keep::Everything))
        };
        let g = gradient(method.as_ref(), &theta, hyper, &task.args());
        g[..problem.dim()].to_vec()
    };
    for implicit in [false, true] {
        let expected = of(&plain, implicit);
        for share in SHARES {
            let rates = plain.clone().learning(Learned { lambda: None, rate: Some(share) });
            let error = relative_error(&of(&rates, implicit), &expected);
            let same = share == Share::One || implicit;
            assert!(error <= if same { 0.0 } else { 1e-14 }, "rates, {share:?}, implicit: {implicit}: {error:e}");
            let lambda = plain.clone().learning(Learned { lambda: Some(share), rate: None });
            let error = relative_error(&of(&lambda, implicit), &expected);
            assert!(error <= if share == Share::One { 0.0 } else { 1e-14 }, "λ, {share:?}: {error:e}");
        }
    }
}

/// Linear regression of two targets on three features: L = Σ (X̃ W̃ − Y)²/2n with X̃ = (X, 1), so
/// H = X̃ᵀX̃/n for each target, and everything has a closed form.
struct Regression {
    problem: FewShot,
    theta: Vec<f64>,
    values: [Vec<f64>; 4],
}

const ROWS: usize = 6;

impl Regression {
    fn new() -> Self {
        let mut numbers = Numbers::new(9);
        let model: Model = "mlp:3-2".parse().unwrap();
        let theta = initial(&model, 9);
        let values = [3, 2, 3, 2].map(|width| numbers.vec(ROWS * width));
        Regression { problem: FewShot::new(model, ROWS, ROWS, true), theta, values }
    }

    fn data(&self) -> [Arg<'_, f64>; 4] {
        [0, 1, 2, 3].map(|i| Arg::Floats(&self.values[i]))
    }

    /// H and c of a loss ½φᵀHφ − cᵀφ + …, in the flat vector's coordinates; zeros where it is padding.
    fn loss(&self, x: &[f64], y: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let n = self.problem.dim();
        // W̃[i, o]: the weight lies as [in, out], the bias behind it.
        let bias = self.problem.layout().entries()[1].range().start;
        let place = |i: usize, o: usize| if i < 3 { 2 * i + o } else { bias + o };
        let feature = |row: usize, i: usize| if i < 3 { x[3 * row + i] } else { 1.0 };
        let (mut h, mut c) = (vec![0.0; n * n], vec![0.0; n]);
        for row in 0..ROWS {
            for (i, o) in (0..4).flat_map(|i| [(i, 0), (i, 1)]) {
                c[place(i, o)] += feature(row, i) * y[2 * row + o] / ROWS as f64;
                for j in 0..4 {
                    h[place(i, o) * n + place(j, o)] += feature(row, i) * feature(row, j) / ROWS as f64;
                }
            }
        }
        (h, c)
    }

    /// Hφ − c of the query loss.
    fn query_gradient(&self, phi: &[f64]) -> Vec<f64> {
        let (h, c) = self.loss(&self.values[2], &self.values[3]);
        times(&h, phi).iter().zip(&c).map(|(h, c)| h - c).collect()
    }
}

fn times(a: &[f64], x: &[f64]) -> Vec<f64> {
    a.chunks_exact(x.len()).map(|row| row.iter().zip(x).map(|(a, x)| a * x).sum()).collect()
}

/// φ* = (H + Λ)⁻¹(c + Λθ), (H + Λ) x = v, dF/dθ = Λx and dF/ds = −Λ (φ* − θ) x, summed over what shares an s.
#[test]
fn the_hypergradient_of_lambda_has_a_closed_form_on_a_quadratic() {
    let case = Regression::new();
    let hyper = Hyper { lambda: 0.6, rate: 0.4 };
    for share in SHARES {
        let problem = case.problem.clone().learning(Learned { lambda: Some(share), rate: None });
        let (n, theta) = (problem.dim(), moved(&problem, &case.theta));
        let g = gradient(&solved(&problem), &theta, hyper, &case.data());

        // Which s belongs to a coordinate, by name; padding has none, and λ as it is.
        let of_phi = places(&case.problem, |_| true);
        let of_s = places(&problem, |name| name.starts_with("log_lambda"));
        let s_of = |k: usize| if share == Share::Parameter { of_s[k] } else { of_s[0] };
        let mut lambda = vec![hyper.lambda; n];
        of_phi.iter().enumerate().for_each(|(k, &i)| lambda[i] *= theta[s_of(k)].exp());

        let (h, c) = case.loss(&case.values[0], &case.values[1]);
        let a: Vec<f64> = (0..n * n).map(|i| h[i] + if i / n == i % n { lambda[i / n] } else { 0.0 }).collect();
        let right: Vec<f64> = (0..n).map(|i| c[i] + lambda[i] * theta[i]).collect();
        let phi = dense_solve(&a, &right);
        let x = dense_solve(&a, &case.query_gradient(&phi));
        let mut expected = vec![0.0; theta.len()];
        (0..n).for_each(|i| expected[i] = lambda[i] * x[i]);
        for (k, &i) in of_phi.iter().enumerate() {
            expected[s_of(k)] -= lambda[i] * (phi[i] - theta[i]) * x[i];
        }
        // Two solves to 1e-14 at condition numbers below 10.
        let error = |r: std::ops::Range<usize>| relative_error(&g[r.clone()], &expected[r]);
        assert!(error(0..n) <= 1e-12 && error(n..theta.len()) <= 1e-12, "{share:?}: {g:?} and {expected:?}");
    }
}

/// One step: φ₁ = θ − αr∘∇L, dF/dr = −α∇L∘v, dF/dθ = v − H(αr∘v).
#[test]
fn the_hypergradient_of_rates_has_a_closed_form_through_one_step() {
    let case = Regression::new();
    let plain = FewShot::new(case.problem.model().clone(), ROWS, ROWS, false);
    let hyper = Hyper { lambda: 0.0, rate: 0.4 };
    let problem = plain.clone().learning(Learned { lambda: None, rate: Some(Share::Parameter) });
    let (n, mut theta) = (problem.dim(), moved(&problem, &case.theta));
    let (of_phi, of_r) = (places(&plain, |_| true), places(&problem, |name| name.starts_with("rate")));
    // The sign is free.
    theta[of_r[2]] = -0.5;
    let g = gradient(&Unrolled::new(&problem, 1, Keep::Everything), &theta, hyper, &case.data());

    let mut rate = vec![0.0; n];
    of_phi.iter().zip(&of_r).for_each(|(&i, &r)| rate[i] = hyper.rate * theta[r]);
    let (h, c) = case.loss(&case.values[0], &case.values[1]);
    let slope: Vec<f64> = times(&h, &theta[..n]).iter().zip(&c).map(|(h, c)| h - c).collect();
    let phi: Vec<f64> = (0..n).map(|i| theta[i] - rate[i] * slope[i]).collect();
    let v = case.query_gradient(&phi);
    let pulled = times(&h, &(0..n).map(|i| rate[i] * v[i]).collect::<Vec<f64>>());
    let mut expected = vec![0.0; theta.len()];
    (0..n).for_each(|i| expected[i] = v[i] - pulled[i]);
    of_phi.iter().zip(&of_r).for_each(|(&i, &r)| expected[r] = -hyper.rate * slope[i] * v[i]);
    // A few sums of some ten terms.
    assert!(relative_error(&g, &expected) <= 1e-14, "{g:?} and {expected:?}");
}

#[test]
fn unrolled_hypergradients_agree_with_differences() {
    let hyper = Hyper { lambda: 1.5, rate: 0.05 };
    for (spec, share) in
        ["mlp:1-6-6-1,act=tanh", "mlp:1-6-6-1,act=softplus"].into_iter().flat_map(|m| SHARES.map(|s| (m, s)))
    {
        let (problem, parameters, task) = sinusoid(spec, true, 5);
        let problem = problem.learning(BOTH(share));
        let theta = moved(&problem, &parameters);
        let method = Unrolled::new(&problem, 5, Keep::Everything);
        for (part, places) in parts(&problem) {
            let u = direction(theta.len(), &places, 1);
            check_along(&format!("{spec}, {share:?}, {part}"), &method, &theta, hyper, &task.args(), &u);
        }
    }
}

#[test]
fn implicit_hypergradients_agree_with_differences_and_know_no_rates() {
    // Contractive from all of these θ, as unrolling the same network elsewhere.
    let hyper = Hyper { lambda: 2.0, rate: 0.02 };
    for (spec, share) in [
        ("mlp:1-6-6-1,act=tanh", Share::One),
        ("mlp:1-6-6-1,act=softplus", Share::Layer),
        ("mlp:1-6-6-1,act=tanh", Share::Parameter),
    ] {
        let (problem, parameters, task) = sinusoid(spec, true, 5);
        let problem = problem.learning(BOTH(share));
        let theta = moved(&problem, &parameters);
        let method = solved(&problem);
        for (part, places) in parts(&problem) {
            if part == "rates" {
                // However it was reached, the solution is the solution.
                let g = gradient(&method, &theta, hyper, &task.args());
                assert!(places.iter().all(|&i| g[i] == 0.0), "{spec}, {share:?}: {g:?}");
            } else {
                let u = direction(theta.len(), &places, 2);
                check_along(&format!("{spec}, {share:?}, {part}"), &method, &theta, hyper, &task.args(), &u);
            }
        }
    }
}

#[test]
fn a_convolutional_network_learns_them_too() {
    let model: Model = "conv4:channels=2,stride=2,ways=3,image=1x28x28,act=softplus".parse().unwrap();
    let stream = Glyphs::new(1, meta::tasks::FewShot { ways: 3, shots: 1, queries: 2 }).unwrap();
    let task = Owned::of(&stream, 0);
    let hyper = Hyper { lambda: 1.0, rate: 0.1 };
    for (adapts, share) in [Adapts::All, Adapts::Head, Adapts::Body].into_iter().flat_map(|a| SHARES.map(|s| (a, s))) {
        let problem = FewShot::new(model.clone(), 3, 6, true).adapting(adapts).learning(BOTH(share));
        let theta = moved(&problem, &initial(&model, 2));
        let method = Unrolled::new(&problem, 3, Keep::Everything);
        for (part, places) in parts(&problem) {
            let u = direction(theta.len(), &places, 3);
            check_along(&format!("{adapts:?}, {share:?}, {part}"), &method, &theta, hyper, &task.args(), &u);
        }
    }
}

/// ANIL and BOIL: what is frozen does not move by a bit, what adapts does.
#[test]
fn frozen_layers_stay_where_they_are() {
    let model: Model = "conv4:channels=2,stride=2,ways=3,image=1x28x28".parse().unwrap();
    let stream = Glyphs::new(1, meta::tasks::FewShot { ways: 3, shots: 1, queries: 2 }).unwrap();
    let task = Owned::of(&stream, 1);
    let hyper = Hyper { lambda: 0.5, rate: 0.1 };
    for (adapts, learned) in [
        (Adapts::Head, Learned::default()),
        (Adapts::Body, Learned::default()),
        (Adapts::Head, BOTH(Share::Parameter)),
        (Adapts::Body, BOTH(Share::Layer)),
    ] {
        let problem = FewShot::new(model.clone(), 3, 6, true).adapting(adapts).learning(learned);
        let theta = moved(&problem, &initial(&model, 4));
        let methods: [Box<dyn Method<f64>>; 4] = [
            Box::new(Unrolled::new(&problem, 4, Keep::Everything)),
            Box::new(Implicit::new(&problem, InnerStop::Steps(4), Box::new(Cg::iterations(2)))),
            Box::new(FirstOrder::new(&problem, 4)),
            Box::new(Reptile::new(&problem, 4)),
        ];
        let moving = problem.adapts();
        for (m, method) in methods.iter().enumerate() {
            let mut worker = method.worker();
            worker.gradient(&theta, hyper, &task.args(), &mut theta.clone());
            let same = |i: usize| worker.phi()[i].to_bits() == theta[i].to_bits();
            assert!((0..problem.dim()).filter(|&i| !moving[i]).all(same), "{adapts:?}, method {m}");
            let entries = model.layout().entries().iter().filter(|e| moving[e.range().start]);
            // A convolution's bias before batch normalisation has no gradient but rounding's.
            for entry in entries.filter(|e| !(e.name().starts_with("conv") && e.name().ends_with("bias"))) {
                assert!(entry.range().any(|i| !same(i)), "{adapts:?}, method {m}: {} has not moved", entry.name());
            }
            let head = |name: &str| name.starts_with("fc");
            assert!(
                model
                    .layout()
                    .entries()
                    .iter()
                    .all(|e| moving[e.range().start] == ((adapts == Adapts::Head) == head(e.name())))
            );
        }
    }
}

/// A preconditioner of random vectors mixes what the operator couples, and nothing else: padding of θ has no gradient, to the
/// bit, wherever a solve ends and whatever λ is.
#[test]
fn a_preconditioner_leaves_padding_alone() {
    let (problem, parameters, task) = sinusoid("mlp:1-6-1,act=tanh", true, 8);
    let hyper = Hyper { lambda: 0.5, rate: 0.05 };
    let learned = SHARES.map(|share| Learned { lambda: Some(share), rate: None });
    for (adapts, learned) in [Adapts::All, Adapts::Head].into_iter().flat_map(|a| learned.map(|l| (a, l))) {
        let problem = problem.clone().adapting(adapts).learning(learned);
        let theta = moved(&problem, &parameters);
        let solver = Cg::iterations(2).preconditioned(Nystrom::rank(4));
        let method = Implicit::new(&problem, InnerStop::Steps(20), Box::new(solver));
        let g = gradient(&method, &theta, hyper, &task.args());
        let named = places(&problem, |_| true);
        let padding: Vec<usize> = (0..theta.len()).filter(|i| !named.contains(i)).collect();
        assert!(!padding.is_empty() && named.iter().any(|&i| g[i] != 0.0));
        assert!(padding.iter().all(|&i| g[i] == 0.0), "{adapts:?}, {learned:?}: {g:?}");
    }
}

/// Methods that do not look at the way there learn nothing of it.
#[test]
fn first_order_methods_have_no_gradient_in_lambda_and_rates() {
    let (problem, parameters, task) = sinusoid("mlp:1-6-1,act=tanh", true, 8);
    let hyper = Hyper { lambda: 0.5, rate: 0.05 };
    let learning = problem.clone().learning(BOTH(Share::Parameter));
    let theta = learning.theta(parameters.clone());
    let pairs: [[Box<dyn Method<f64>>; 2]; 3] = [
        [Box::new(FirstOrder::new(&learning, 3)), Box::new(FirstOrder::new(&problem, 3))],
        [Box::new(Reptile::new(&learning, 3)), Box::new(Reptile::new(&problem, 3))],
        [Box::new(Unrolled::new(&learning, 3, Keep::Last(0))), Box::new(Unrolled::new(&problem, 3, Keep::Last(0)))],
    ];
    for [method, plain] in pairs {
        let g = gradient(method.as_ref(), &theta, hyper, &task.args());
        assert!(g[problem.dim()..].iter().all(|&g| g == 0.0));
        let expected = gradient(plain.as_ref(), &parameters, hyper, &task.args());
        // A λ of each coordinate sums the prox term in another order.
        assert!(relative_error(&g[..problem.dim()], &expected) <= 1e-13);
    }
}

/// What is measured after training adapts as training did.
#[test]
fn predictions_adapt_with_what_was_learned() {
    let (problem, parameters, task) = sinusoid("mlp:1-6-1,act=tanh", true, 9);
    let problem = problem.adapting(Adapts::Head).learning(BOTH(Share::Parameter));
    let theta = moved(&problem, &parameters);
    let hyper = Hyper { lambda: 0.5, rate: 0.05 };
    let report =
        Unrolled::new(&problem, 7, Keep::Everything).worker().gradient(&theta, hyper, &task.args(), &mut theta.clone());
    let predictor = Predictor::<f64>::new(&problem, &[QueryStatistics::Transductive]);
    let mut loss = f64::NAN;
    predictor.space().run(&theta, hyper, &task.args(), &[7], |_, _, output| {
        loss = predictor.measure().of(output, 1, task.args()[3]);
    });
    // The same steps; a mean of ten squares in another order.
    assert!((loss - report.query_loss).abs() <= 1e-14 * loss, "{loss} and {}", report.query_loss);
}

#[test]
fn learned_values_are_what_steps_use() {
    let problem = FewShot::new("mlp:1-2-1".parse().unwrap(), 3, 3, true).learning(BOTH(Share::Layer));
    let mut theta = problem.theta(vec![0.0; problem.dim()]);
    let of = |name: &str| places(&problem, |n| n == name)[0];
    (theta[of("log_lambda.fc2")], theta[of("rate.fc1")]) = (2.0_f64.ln(), -0.5);
    let values = problem.learned_values(&theta, Hyper { lambda: 3.0, rate: 0.1 });
    let said: Vec<(&str, f64)> = values.iter().map(|v| (&v.name[..], v.mean)).collect();
    let expected = [("lambda.fc1", 3.0), ("lambda.fc2", 6.0), ("rate.fc1", -0.05), ("rate.fc2", 0.1)];
    for ((name, value), (expected_name, expected)) in said.into_iter().zip(expected) {
        assert!(name == expected_name && (value - expected).abs() < 1e-15 * 4.0, "{name}: {value}");
    }
}

#[test]
#[should_panic(expected = "G has none")]
fn lambda_is_not_learned_without_a_prox_term() {
    let _ = FewShot::new("mlp:1-2-1".parse().unwrap(), 3, 3, false).learning(BOTH(Share::One));
}

#[test]
#[should_panic(expected = "no body")]
fn one_layer_has_no_body() {
    let _ = FewShot::new("mlp:1-2".parse().unwrap(), 3, 3, false).adapting(Adapts::Body);
}
