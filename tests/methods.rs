//! Methods beside the implicit and unrolled ones: forward mode, differences, evolution strategies, byte budgets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use autodiff::{Arg, Real, Var};
use integration::{Case, Numbers, Quadratic, dense_solve, gradient, relative_error, sinusoid};
use meta::inner::{GradientDescent, Hyper, Numbers as StepNumbers, Step, StepAt};
use meta::linear::Cg;
use meta::method::{
    EvolutionStrategies, FiniteDifference, FirstOrder, ForwardMode, Hyperparameter, Implicit, InnerStop, Keep, Method,
    Unrolled,
};
use meta::problem::{At, DataSpec, FewShot, Problem, Start};
use meta::tasks::{Sinusoid, Split};
use meta::train::{EpisodeTasks, MetaBatch};
use nn::{Init, Model};
use proptest::prelude::*;

/// The same problem with λ and the step size as the last two numbers of θ: what is forward mode's to differentiate by is
/// reverse mode's here.
struct Learned<'p>(&'p dyn Problem);

impl Learned<'_> {
    fn inside<'t>(&self, at: &At<'t>) -> At<'t> {
        let n = self.0.theta_dim();
        At { theta: at.theta.slice(&[0], &[n]), lambda: number(at.theta, n), ..at.clone() }
    }
}

fn number(of: Var<'_>, i: usize) -> Var<'_> {
    of.slice(&[i], &[i + 1]).reshape([])
}

impl Problem for Learned<'_> {
    fn dim(&self) -> usize {
        self.0.dim()
    }
    fn theta_dim(&self) -> usize {
        self.0.theta_dim() + 2
    }
    fn rate<'t>(&self, at: &At<'t>, _: Var<'t>) -> Var<'t> {
        number(at.theta, self.0.theta_dim() + 1)
    }
    fn data(&self) -> Vec<DataSpec> {
        self.0.data()
    }
    fn inner<'t>(&self, at: &At<'t>) -> Var<'t> {
        self.0.inner(&self.inside(at))
    }
    fn outer<'t>(&self, at: &At<'t>) -> Var<'t> {
        self.0.outer(&self.inside(at))
    }
}

/// A quadratic whose outer loss sees θ and λ too: f = ½‖φ − c‖² + λ θ·c.
struct Direct(Quadratic);

impl Problem for Direct {
    fn dim(&self) -> usize {
        self.0.dim()
    }
    fn data(&self) -> Vec<DataSpec> {
        self.0.data()
    }
    fn inner<'t>(&self, at: &At<'t>) -> Var<'t> {
        self.0.inner(at)
    }
    fn outer<'t>(&self, at: &At<'t>) -> Var<'t> {
        self.0.outer(at) + at.lambda * at.theta.dot(at.data[2].values())
    }
}

/// m′ = m/2 + ∇G, φ′ = φ − α c_k m′, c_k = 1/(1 + k/10): a step with a state of its own, that varies.
struct HeavyBall;

impl Step for HeavyBall {
    fn state_len(&self, dim: usize) -> usize {
        2 * dim
    }
    fn numbers(&self) -> Option<StepNumbers> {
        Some(StepNumbers { count: 1, at: Box::new(|k, out| out[0] = 1.0 / (1.0 + 0.1 * k as f64)) })
    }
    fn record<'t>(&self, at: &StepAt<'t>) -> Var<'t> {
        let n = at.gradient.shape().numel();
        let m = 0.5 * at.state.slice(&[n], &[2 * n]) + at.gradient;
        Var::concat(&[at.state.slice(&[0], &[n]) - at.rate * at.numbers[0] * m, m], 0)
    }
}

const STEPS: [&dyn Step; 2] = [&GradientDescent, &HeavyBall];

/// Forward mode by λ, the step size and three coordinates of θ, against reverse mode.
fn forward_is_reverse(problem: &dyn Problem, theta: &[f64], hyper: Hyper, data: &[Arg<'_, f64>]) {
    let along: Vec<Hyperparameter> = [Hyperparameter::Lambda, Hyperparameter::Rate]
        .into_iter()
        .chain([0, theta.len() / 2, theta.len() - 1].map(Hyperparameter::Theta))
        .collect();
    let learned: Vec<f64> = theta.iter().copied().chain([hyper.lambda, hyper.rate]).collect();
    for step in STEPS {
        for steps in [0, 1, 20] {
            let method = ForwardMode::with_step(problem, step, steps, &along);
            let mut forward = vec![0.0; along.len()];
            let mut worker = method.worker();
            let report = worker.gradient(theta, hyper, data, &mut forward);
            let reverse = Unrolled::with_step(&Learned(problem), step, steps, Keep::Everything);
            let (all, other) = gradient(&reverse, &learned, hyper, data);
            let expected: Vec<f64> = along
                .iter()
                .map(|h| match *h {
                    Hyperparameter::Lambda => all[theta.len()],
                    Hyperparameter::Rate => all[theta.len() + 1],
                    Hyperparameter::Theta(i) => all[i],
                })
                .collect();
            // Two orders of the same products, 20 steps: the bar is 1e-10, of each number by itself.
            for ((f, r), h) in forward.iter().zip(&expected).zip(&along) {
                assert!((f - r).abs() <= 1e-10 * r.abs().max(1e-3), "{h:?}, {steps} steps: {f} and {r}");
            }
            // A first step from φ = θ is not moved by λ.
            assert!(steps < 2 || forward[..2].iter().all(|g| *g != 0.0), "{forward:?}");
            assert!((report.query_loss - other.query_loss).abs() <= 1e-13 * other.query_loss.abs());
            // A worker's second gradient is its first.
            let mut again = vec![0.0; along.len()];
            worker.gradient(theta, hyper, data, &mut again);
            assert_eq!(again, forward);
        }
    }
}

const HYPER: Hyper = Hyper { lambda: 0.8, rate: 0.2 };

#[test]
fn forward_mode_is_reverse_mode_on_quadratics() {
    let case = Case::new(&[0.3, 0.9, 1.7, 2.5, 4.0], 1);
    forward_is_reverse(&Quadratic { dim: 5 }, &case.theta, HYPER, &case.data());
    forward_is_reverse(&Direct(Quadratic { dim: 5 }), &case.theta, HYPER, &case.data());
}

#[test]
fn forward_mode_is_reverse_mode_on_a_network() {
    let (problem, theta, data) = sinusoid("mlp:1-8-8-1,act=tanh", true, 5);
    let hyper = Hyper { lambda: 2.0, rate: 0.02 };
    forward_is_reverse(&problem, &theta, hyper, &data.args());
    // With a part of θ that is frozen, ∂θ∇φG has more in it than the prox term.
    forward_is_reverse(&problem.freezing(|name| name.starts_with("fc2")), &theta, hyper, &data.args());
}

#[test]
fn forward_mode_by_lambda_tends_to_the_implicit_derivative() {
    let case = Case::new(&[0.3, 0.9, 1.7, 2.5, 4.0], 6);
    let along = [Hyperparameter::Lambda, Hyperparameter::Rate];
    let method = ForwardMode::new(&Quadratic { dim: 5 }, 300, &along);
    let mut g = [0.0; 2];
    method.worker().gradient(&case.theta, HYPER, &case.data(), &mut g);
    // (A + λ) φ* = b + λθ, so (A + λ) dφ*/dλ = θ − φ*; where the steps have converged their size does not matter.
    let m = case.regularised(HYPER.lambda);
    let right: Vec<f64> = case.b.iter().zip(&case.theta).map(|(b, t)| b + HYPER.lambda * t).collect();
    let phi = dense_solve(&m, &right);
    let moved = dense_solve(&m, &case.theta.iter().zip(&phi).map(|(t, p)| t - p).collect::<Vec<_>>());
    let exact: f64 = phi.iter().zip(&case.c).zip(&moved).map(|((p, c), d)| (p - c) * d).sum();
    // The slowest mode has shrunk by 0.78³⁰⁰, far below rounding.
    assert!((g[0] - exact).abs() <= 1e-12 * exact.abs(), "{} and {exact}", g[0]);
    assert!(g[1].abs() <= 1e-12, "{}", g[1]);
}

#[test]
fn forward_mode_takes_the_same_memory_for_any_number_of_steps() {
    let problem = FewShot::new("conv4:channels=8,stride=2,ways=5,image=1x28x28".parse().unwrap(), 5, 5, true);
    let bytes = |steps, along: &[Hyperparameter]| ForwardMode::<f32>::new(&problem, steps, along).bytes();
    let along = [Hyperparameter::Lambda, Hyperparameter::Rate];
    assert_eq!(bytes(1, &along), bytes(10_000, &along));
    // A hyperparameter costs its tangent.
    assert_eq!(bytes(1, &along) - bytes(1, &along[..1]), 4 * problem.dim());
}

/// Counts how often each step is run or pulled back through.
struct Counted(Arc<Vec<AtomicUsize>>);

impl Step for Counted {
    fn numbers(&self) -> Option<StepNumbers> {
        let counts = Arc::clone(&self.0);
        let at = move |k: usize, out: &mut [f64]| {
            counts[k].fetch_add(1, Ordering::Relaxed);
            out[0] = 1.0;
        };
        Some(StepNumbers { count: 1, at: Box::new(at) })
    }
    fn record<'t>(&self, at: &StepAt<'t>) -> Var<'t> {
        at.state - at.rate * at.numbers[0] * at.gradient
    }
}

/// The bar: 1000 steps in 10 checkpoints run each step at most 4 times more than once, as they are run and not only as
/// they are planned, and give the bits of the full unroll.
#[test]
fn a_thousand_steps_in_ten_checkpoints_run_at_most_four_times_more() {
    const K: usize = 1000;
    let case = Case::new(&[0.3, 0.9, 1.7], 1);
    let problem = Quadratic { dim: 3 };
    let hyper = Hyper { lambda: 0.01, rate: 0.01 };
    let counts = Arc::new((0..K).map(|_| AtomicUsize::new(0)).collect::<Vec<_>>());
    let method = Unrolled::with_step(&problem, &Counted(Arc::clone(&counts)), K, Keep::Checkpoints(10));
    let (checkpointed, report) = gradient(&method, &case.theta, hyper, &case.data());
    let runs: Vec<usize> = counts.iter().map(|c| c.load(Ordering::Relaxed)).collect();
    // Step 0 is named once more, as the state is set up.
    let (first, rest) = (runs[0] - 1, &runs[1..]);
    assert!(first <= 5 && rest.iter().all(|r| (1..=5).contains(r)), "{runs:?}");
    assert_eq!((report.steps, report.products), (K, K));
    let everything = Unrolled::new(&problem, K, Keep::Everything);
    let (full, other) = gradient(&everything, &case.theta, hyper, &case.data());
    assert_eq!(checkpointed, full);
    assert_eq!(report, other);
    assert!(relative_error(&full, &case.unrolled(hyper.lambda, hyper.rate, K)) <= 1e-12);
    assert!(method.bytes() < everything.bytes() / 5);
}

#[test]
fn every_policy_reports_the_same_run() {
    let (problem, theta, data) = sinusoid("mlp:1-8-1,act=tanh", true, 5);
    let hyper = Hyper { lambda: 0.5, rate: 0.05 };
    for steps in [0, 1, 2, 9] {
        let of = |keep| {
            let method = Unrolled::with_step(&problem, &HeavyBall, steps, keep);
            let mut worker = method.worker();
            let mut g = vec![0.0; theta.len()];
            let report = worker.gradient(&theta, hyper, &data.args(), &mut g);
            (g, report, worker.phi().to_vec())
        };
        let everything = of(Keep::Everything);
        for keep in [Keep::Iterates, Keep::Checkpoints(1), Keep::Checkpoints(3), Keep::Last(9)] {
            assert!(of(keep) == everything, "{steps} steps, {keep:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_budget_is_exceeded_and_none_changes_a_bit(steps in 0_usize..40, fraction in 0.0..1.2_f64) {
        let (problem, theta, data) = sinusoid("mlp:1-6-1,act=tanh", true, 5);
        let hyper = Hyper { lambda: 0.5, rate: 0.05 };
        let full = Unrolled::new(&problem, steps, Keep::Everything);
        let budget = (fraction * full.bytes() as f64) as usize;
        match Unrolled::within(&problem, &GradientDescent, steps, budget) {
            Ok(method) => {
                prop_assert!(method.bytes() <= budget);
                let expected = gradient(&full, &theta, hyper, &data.args()).0;
                prop_assert_eq!(gradient(&method, &theta, hyper, &data.args()).0, expected);
                // Nothing that runs fewer steps again would have fitted.
                let better = match method.keep() {
                    Keep::Everything => None,
                    Keep::Iterates => Some(Keep::Everything),
                    Keep::Checkpoints(count) => Some(Keep::Checkpoints(count + 1)),
                    Keep::Last(_) => unreachable!("truncation is no way to fit a budget"),
                };
                if let Some(keep) = better {
                    prop_assert!(Unrolled::<f64>::new(&problem, steps, keep).bytes() > budget);
                }
            }
            Err(refusal) => {
                prop_assert!(refusal.budget == budget && refusal.least > budget);
                // What it says is true, to the byte.
                prop_assert!(Unrolled::<f64>::within(&problem, &GradientDescent, steps, refusal.least).is_ok());
                prop_assert!(Unrolled::<f64>::within(&problem, &GradientDescent, steps, refusal.least - 1).is_err());
            }
        }
    }
}

#[test]
fn differences_of_quadratics_are_exact_but_for_rounding() {
    let case = Case::new(&[0.3, 0.9, 1.7, 2.5, 4.0], 1);
    let problem = Quadratic { dim: 5 };
    for steps in [0, 1, 7] {
        let (g, report) = gradient(&FiniteDifference::new(&problem, steps), &case.theta, HYPER, &case.data());
        // h = 6e-6 and ∇G near 1: some 2e-16/6e-6 = 4e-11 a step, times the rate.
        let error = relative_error(&g, &case.unrolled(HYPER.lambda, HYPER.rate, steps));
        assert!(error <= 1e-10, "{steps} steps: {error}");
        assert_eq!(report.evaluations, 4 * steps);
    }
}

#[test]
fn differences_are_off_by_the_square_of_their_radius() {
    let (problem, theta, data) = sinusoid("mlp:1-8-8-1,act=tanh", true, 5);
    let frozen = problem.clone().freezing(|name| name.starts_with("fc2"));
    let hyper = Hyper { lambda: 0.5, rate: 0.05 };
    let learned: Vec<f64> = theta.iter().copied().chain([hyper.lambda, hyper.rate]).collect();
    let cases: [(&dyn Problem, &[f64]); 3] = [(&problem, &theta), (&frozen, &theta), (&Learned(&problem), &learned)];
    for (problem, theta) in cases {
        for step in STEPS {
            let (exact, _) =
                gradient(&Unrolled::with_step(problem, step, 6, Keep::Everything), theta, hyper, &data.args());
            let error = |radius: Option<f64>| {
                let method = radius.map_or_else(
                    || FiniteDifference::with_step(problem, step, 6),
                    |radius| FiniteDifference::with_step(problem, step, 6).with_radius(radius),
                );
                relative_error(&gradient(&method, theta, hyper, &data.args()).0, &exact)
            };
            let (coarse, fine, usual) = (error(Some(2e-2)), error(Some(2e-3)), error(None));
            // A tenth of the radius leaves a hundredth, up to the next even power of it.
            assert!((95.0..105.0).contains(&(coarse / fine)), "{coarse} and {fine}");
            assert!(usual <= 1e-9, "{usual}");
        }
    }
}

#[test]
fn evolution_strategies_see_slopes_of_a_quadratic_along_their_noise() {
    let case = Case::new(&[0.3, 0.9, 1.7, 2.5, 4.0], 1);
    let exact = case.unrolled(HYPER.lambda, HYPER.rate, 4);
    let d = case.n as f64;
    for pairs in [1, 7, 4000] {
        let method = EvolutionStrategies::new(&Quadratic { dim: 5 }, 4).with_pairs(pairs).with_sigma(0.1).with_seed(3);
        let (g, report) = gradient(&method, &case.theta, HYPER, &case.data());
        assert_eq!(report.evaluations, (1 + 2 * pairs) * 4);
        // F(θ + σε) − F(θ − σε) = 2σ ∇F·ε, exactly: the even powers cancel and there is no third.
        let mut expected = vec![0.0; 5];
        for draw in 0..pairs {
            let mut epsilon = [0.0; 5];
            method.noise(&case.theta, HYPER, &case.data(), draw, &mut epsilon);
            let slope: f64 = epsilon.iter().zip(&exact).map(|(e, g)| e * g).sum();
            expected.iter_mut().zip(epsilon).for_each(|(sum, e)| *sum += slope * e / pairs as f64);
        }
        // Rounding of F, near 1, by 2σ.
        assert!(relative_error(&g, &expected) <= 1e-13, "{pairs} pairs");
        // (εᵀg) ε has a variance of (d + 1)‖g‖² in all: the error is near √((d + 1)/n).
        let error = relative_error(&g, &exact);
        let usual = ((d + 1.0) / pairs as f64).sqrt();
        assert!((0.2 * usual..2.0 * usual).contains(&error), "{pairs} pairs: {error}, of {usual}");
    }
}

#[test]
fn evolution_strategies_repeat_themselves_on_any_number_of_threads() {
    let model: Model = "mlp:1-8-1,act=tanh".parse().unwrap();
    let stream = Sinusoid::new(7, 5, 5).unwrap();
    let problem = FewShot::new(model.clone(), 5, 5, false);
    let mut numbers = Numbers::new(2);
    let theta: Vec<f32> = model.init(Init::PyTorch, &mut || 0.5 * (numbers.next() + 1.0));
    let moves = problem.adapts();
    let method = EvolutionStrategies::<f32>::new(&problem, 2).with_pairs(3).moving(&moves);
    let of = |threads, first, theta: &[f32]| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut batch = MetaBatch::new(&method, &pool, theta.len(), 6);
        let mut g = vec![0.0; theta.len()];
        let report = batch.gradient(&EpisodeTasks::new(&stream, Split::Train, first), 6, theta, HYPER, &mut g);
        assert!(g.iter().zip(&moves).all(|(g, moves)| (*g != 0.0) == *moves));
        (g, report)
    };
    let one = of(1, 0, &theta);
    assert_eq!(of(3, 0, &theta), one);
    // Noise is not shared by other tasks, nor by another θ at the same tasks.
    let noise = |first: u64, theta: &[f32]| {
        let mut epsilon = vec![0.0; theta.len()];
        let data = [first as f32; 5];
        let data = [(&data[..]).into(); 4];
        method.noise(theta, HYPER, &data, 0, &mut epsilon);
        epsilon
    };
    let moved: Vec<f32> = theta.iter().map(|t| t + 0.01).collect();
    assert_ne!(noise(0, &theta), noise(1, &theta));
    assert_ne!(noise(0, &theta), noise(0, &moved));
}

/// G = ½‖φ − 1‖² + θᵀφ from a start that is no part of θ, and f = ½‖φ‖² + ½‖θ‖², each with its term in θ or without.
struct FixedStart {
    inner: bool,
    outer: bool,
}

impl Problem for FixedStart {
    fn dim(&self) -> usize {
        2
    }
    fn start(&self) -> Start {
        Start::Fixed(vec![0.3, -0.4])
    }
    fn data(&self) -> Vec<DataSpec> {
        Vec::new()
    }
    fn inner<'t>(&self, at: &At<'t>) -> Var<'t> {
        let own = 0.5 * (at.phi - 1.0).square().sum_all();
        if self.inner { own + at.theta.dot(at.phi) } else { own }
    }
    fn outer<'t>(&self, at: &At<'t>) -> Var<'t> {
        let own = 0.5 * at.phi.dot(at.phi);
        if self.outer { own + 0.5 * at.theta.dot(at.theta) } else { own }
    }
}

/// φ_K − (1 − θ) = (1 − r)^K (φ₀ − (1 − θ)), so that dφ_K/dθ = −(1 − (1 − r)^K).
#[test]
fn where_the_start_is_no_part_of_theta_only_the_way_and_the_outer_loss_count() {
    let (theta, rate) = ([0.7, -0.2], 0.25);
    for (inner, outer) in [(false, false), (false, true), (true, false), (true, true)] {
        let problem = FixedStart { inner, outer };
        for steps in [0, 1, 4] {
            let left = (1.0_f64 - rate).powi(steps as i32);
            let by_hand = |i: usize, through: f64| {
                let end = 1.0 - if inner { theta[i] } else { 0.0 };
                let phi = end + left * ([0.3, -0.4][i] - end);
                let of_way = if inner { -(1.0 - left) * phi * through } else { 0.0 };
                of_way + if outer { theta[i] } else { 0.0 }
            };
            let unrolled =
                |keep| -> (Box<dyn Method<f64>>, f64) { (Box::new(Unrolled::new(&problem, steps, keep)), 1.0) };
            let keeps = [Keep::Everything, Keep::Iterates, Keep::Checkpoints(1), Keep::Last(50)];
            let first: [(Box<dyn Method<f64>>, f64); 2] = [
                (Box::new(FirstOrder::new(&problem, steps)), 0.0),
                (Box::new(Unrolled::new(&problem, steps, Keep::Last(0))), 0.0),
            ];
            for (number, (method, through)) in keeps.map(unrolled).into_iter().chain(first).enumerate() {
                let (g, _) = gradient(method.as_ref(), &theta, Hyper { lambda: 0.0, rate }, &[]);
                let expected = [by_hand(0, through), by_hand(1, through)];
                let case = format!("method {number}, {steps} steps, θ inside {inner}, outside {outer}");
                assert!((0..2).all(|i| (g[i] - expected[i]).abs() < 1e-15), "{case}: {g:?}, {expected:?}");
            }
        }
    }
}

/// What is measured before the first step is that also where no step follows.
#[test]
fn no_steps_are_measured_where_they_begin() {
    let case = Case::new(&[0.3, 0.9, 1.7, 2.5, 4.0], 8);
    let problem = Quadratic { dim: 5 };
    let implicit = Implicit::new(&problem, InnerStop::Steps(0), Box::new(Cg::iterations(5)));
    let (_, expected) = gradient(&implicit, &case.theta, HYPER, &case.data());
    assert!(expected.first_inner != 0.0 && expected.first_gradient > 0.0);
    let methods: [Box<dyn Method<f64>>; 5] = [
        Box::new(Unrolled::new(&problem, 0, Keep::Everything)),
        Box::new(Unrolled::new(&problem, 0, Keep::Checkpoints(2))),
        Box::new(FirstOrder::new(&problem, 0)),
        Box::new(FiniteDifference::new(&problem, 0)),
        Box::new(EvolutionStrategies::new(&problem, 0)),
    ];
    for method in methods {
        let (_, report) = gradient(method.as_ref(), &case.theta, HYPER, &case.data());
        let of = |r: &meta::Report| [r.first_inner, r.last_inner, r.first_gradient, r.inner_gradient];
        assert_eq!((of(&report), report.steps), (of(&expected), 0));
    }
}
