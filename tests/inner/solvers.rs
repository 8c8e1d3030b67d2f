//! Inner solvers: where they end, and how they say so.

use autodiff::{Real, Var};
use integration::{Case, Kink, Numbers, Quadratic, dense_solve, gradient, relative_error, sinusoid, symmetric};
use meta::inner::{Derivative, Descent, HessianFree, Hyper, InnerSolver, InnerStatus, InnerStop, Lbfgs};
use meta::linear::Cg;
use meta::method::Implicit;
use meta::problem::{At, DataSpec, Problem};

use super::quadratic::ByHand;

fn stop(gradient: f64, cap: usize) -> InnerStop {
    InnerStop::Gradient { gradient, cap }
}

/// What decides as it goes.
fn deciding(stop: InnerStop) -> [(&'static str, Box<dyn InnerSolver<f64>>); 4] {
    [
        ("L-BFGS", Box::new(Lbfgs::new(stop))),
        ("Hessian-free", Box::new(HessianFree::new(stop))),
        ("Hessian-free, bare", Box::new(HessianFree::new(stop).with_products(3).with_corrections(0))),
        ("automatic descent", Box::new(Descent::automatic(stop))),
    ]
}

fn implicit(problem: &dyn Problem, solver: Box<dyn InnerSolver<f64>>) -> Implicit<f64> {
    Implicit::with_solver(problem, solver, Box::new(Cg::tolerance(1e-13, 500)))
}

#[test]
fn implicit_gradients_of_quadratics_are_exact_whichever_solver_found_the_solution() {
    let case = Case::new(&[0.05, 0.9, 1.7, 2.5, 6.0], 2);
    let hyper = Hyper { lambda: 0.5, rate: 0.0 };
    let expected = case.exact(hyper.lambda);
    for (name, solver) in deciding(stop(1e-12, 500)) {
        let method = implicit(&Quadratic { dim: case.n }, solver);
        let (g, report) = gradient(&method, &case.theta, hyper, &case.data());
        assert_eq!(report.inner_status, Some(InnerStatus::Converged), "{name} {report:?}");
        assert!(report.inner_gradient <= 1e-12, "{name}");
        // The condition number is 12.
        assert!(relative_error(&g, &expected) <= 1e-11, "{name} {}", relative_error(&g, &expected));
        // And the point that is kept is the one looked at last.
        let mut worker = meta::Method::worker(&method);
        let mut again = g.clone();
        worker.gradient(&case.theta, hyper, &case.data(), &mut again);
        let slope = case.slope(hyper.lambda, worker.phi()).iter().map(|s| s * s).sum::<f64>().sqrt();
        assert!((slope - report.inner_gradient).abs() <= 1e-13 && again == g, "{name}");
    }
}

#[test]
fn newton_ends_in_few_steps_and_a_number_of_steps_is_one() {
    let case = Case::new(&[0.05, 0.9, 1.7, 2.5, 6.0], 3);
    let hyper = Hyper { lambda: 0.5, rate: 0.0 };
    let run = |stop, products, corrections| {
        let solver = HessianFree::new(stop).with_products(products).with_corrections(corrections);
        gradient(&implicit(&Quadratic { dim: case.n }, Box::new(solver)), &case.theta, hyper, &case.data()).1
    };
    // Five distinct eigenvalues: the space is all there is after five products, and holds the solution.
    let report = run(stop(1e-10, 20), 100, 0);
    assert_eq!((report.inner_status, report.steps, report.inner_products), (Some(InnerStatus::Converged), 1, 5));
    // Of a smaller space the corrections make what is left of it: T is right, the rest of H is taken for λ.
    let (without, with) = (run(stop(1e-10, 200), 3, 0), run(stop(1e-10, 200), 3, 8));
    assert_eq!([without.inner_status, with.inner_status], [Some(InnerStatus::Converged); 2]);
    assert!(with.steps < without.steps, "{} and {}", with.steps, without.steps);
    let report = run(stop(1e-10, 1), 3, 0);
    assert_eq!((report.inner_status, report.steps), (Some(InnerStatus::Capped), 1));
    let report = run(InnerStop::Steps(2), 3, 0);
    assert_eq!((report.inner_status, report.steps), (Some(InnerStatus::Finished), 2));
}

#[test]
fn saddles_repel() {
    // One step from θ is −|H|⁻¹∇G where the model is exact, however the eigenvalues are signed.
    let (eigenvalues, lambda) = ([-6.0, -0.8, 0.9, 2.5, 6.0], 0.5);
    let case = Case::new(&eigenvalues, 4);
    let absolute = symmetric(&eigenvalues.map(|e: f64| (e + lambda).abs()), 4);
    let step = dense_solve(&absolute, &case.slope(lambda, &case.theta));
    let expected: Vec<f64> = case.theta.iter().zip(step).map(|(t, s)| t - s).collect();
    let solver = HessianFree::new(InnerStop::Steps(1)).with_corrections(0);
    let method = implicit(&Quadratic { dim: case.n }, Box::new(solver));
    let mut worker = meta::Method::worker(&method);
    let mut out = case.theta.clone();
    worker.gradient(&case.theta, Hyper { lambda, rate: 0.0 }, &case.data(), &mut out);
    // The condition number is 22.
    assert!(relative_error(worker.phi(), &expected) <= 1e-13, "{}", relative_error(worker.phi(), &expected));
}

/// G = ½ φᵀAφ + ¼ Σ φ⁴ − bᵀφ + ½λ‖φ − θ‖²: bounded below whatever A is.
struct Quartic;

impl Problem for Quartic {
    fn dim(&self) -> usize {
        8
    }
    fn data(&self) -> Vec<DataSpec> {
        Quadratic { dim: 8 }.data()
    }
    fn inner<'t>(&self, at: &At<'t>) -> Var<'t> {
        0.25 * at.phi.powi(4).sum_all() + Quadratic { dim: 8 }.inner(at)
    }
    fn outer<'t>(&self, at: &At<'t>) -> Var<'t> {
        Quadratic { dim: 8 }.outer(at)
    }
}

#[test]
fn indefinite_starts_end_at_stationary_points() {
    let hyper = Hyper { lambda: 0.1, rate: 0.0 };
    for seed in 0..20 {
        let mut numbers = Numbers::new(seed + 100);
        let scale = 10.0_f64.powf(numbers.next());
        let eigenvalues: Vec<f64> = (0..8).map(|_| 5.0 * scale * numbers.next()).collect();
        let mut case = Case::new(&eigenvalues, seed);
        // Small, so that the quartic does not hide the negative eigenvalues.
        case.theta.iter_mut().for_each(|t| *t *= 0.1);
        for (name, solver) in deciding(stop(1e-8, 20_000)) {
            let (_, report) = gradient(&implicit(&Quartic, solver), &case.theta, hyper, &case.data());
            assert_eq!(report.inner_status, Some(InnerStatus::Converged), "{name} {seed} {report:?}");
            assert!(report.last_inner <= report.first_inner, "{name} {seed}");
        }
    }
}

/// In single precision the gradients on both sides of such a kink balance to the last bit.
#[test]
fn gradients_that_balance_to_the_bit_are_a_kink() {
    for (c, steps) in [([0.31_f32, -0.17, 0.73], 100), ([0.31, -0.17, 0.73], 2000), ([0.5, -0.25, 0.125], 100)] {
        let solver = HessianFree::new(InnerStop::Steps(steps)).with_products(60).with_bundle(10);
        let method = Implicit::<f32>::with_solver(&Kink, Box::new(solver), Box::new(Cg::iterations(2)));
        let hyper = Hyper { lambda: 0.5, rate: 0.1 };
        let report = meta::Method::worker(&method).gradient(&[0.0; 3], hyper, &[(&c[..]).into()], &mut [0.0; 3]);
        assert_eq!(report.inner_status, Some(InnerStatus::Kink), "{report:?}");
        assert!(report.inner_kink.is_some_and(|kink| kink.norm < 1e-3), "{report:?}");
    }
}

#[test]
fn a_kink_is_named_and_the_stationarity_there_reported() {
    let (theta, c) = ([0.0, 0.0, 0.0], [0.31, -0.17, 0.73]);
    let hyper = Hyper { lambda: 0.5, rate: 0.0 };
    let at_kink: f64 = 0.25 * c.iter().map(|c| c * c).sum::<f64>();
    let bundles = [0, 3, 64].map(|n| -> (&str, Box<dyn InnerSolver<f64>>) {
        ("Hessian-free, bundle", Box::new(HessianFree::new(stop(1e-6, 2000)).with_bundle(n)))
    });
    for (i, (name, solver)) in deciding(stop(1e-6, 2000)).into_iter().chain(bundles).enumerate() {
        let method = implicit(&Kink, solver);
        let mut worker = meta::Method::worker(&method);
        let report = worker.gradient(&theta, hyper, &[(&c[..]).into()], &mut [0.0; 3]);
        let sees = name.starts_with("Hessian-free");
        let status = if sees { InnerStatus::Kink } else { InnerStatus::Stalled };
        assert_eq!(report.inner_status, Some(status), "{name} {report:?}");
        assert!(report.inner_gradient.is_finite() && report.inner_gradient > 1e-3, "{name} {report:?}");
        assert!(report.last_inner >= at_kink && report.last_inner < report.first_inner, "{name} {report:?}");
        assert_eq!(report.inner_kink.is_some(), sees);
        let Some(kink) = report.inner_kink else { continue };
        if i == deciding(stop(1.0, 1)).len() {
            // Without a bundle it is the gradient's.
            assert_eq!((kink.norm, kink.radius), (report.inner_gradient, 0.0));
            continue;
        }
        // Four gradients make 0 where all three coordinates have kinks; three do not, and a combination stands for them.
        assert!(kink.norm <= 1e-6, "{name} {i} {report:?}");
        // That short it is made of gradients from both sides of every kink, so that all are within the radius.
        for (phi, c) in worker.phi().iter().zip(c) {
            assert!((phi - c).abs() <= kink.radius, "{name} {i} {phi} {c} {kink:?}");
        }
        let distance = c.iter().map(|c| c * c).sum::<f64>().sqrt();
        assert!(kink.radius <= 3e-3 * distance, "{name} {i} {report:?}");
    }
}

/// G = −φ₁ + 20 max(0, φ₁² + φ₂² − 1) + ½λ‖φ − θ‖² (Mifflin 1977, with a prox term): a kink along a circle.
struct Circle;

impl Problem for Circle {
    fn dim(&self) -> usize {
        2
    }
    fn data(&self) -> Vec<DataSpec> {
        Vec::new()
    }
    fn inner<'t>(&self, at: &At<'t>) -> Var<'t> {
        let away = at.phi - at.theta;
        let first = at.phi.slice(&[0], &[1]).sum_all();
        20.0 * (at.phi.dot(at.phi) - 1.0).relu() - first + 0.5 * at.lambda * away.dot(away)
    }
    fn outer<'t>(&self, at: &At<'t>) -> Var<'t> {
        at.phi.dot(at.phi)
    }
}

#[test]
fn along_a_curved_kink_it_goes_down_to_the_minimiser() {
    for theta in [[0.8, 0.6], [-0.4, 0.9], [0.1, -1.7]] {
        for lambda in [0.5, 0.01] {
            let solver = Box::new(HessianFree::new(stop(1e-9, 30)));
            let method = implicit(&Circle, solver);
            let mut worker = meta::Method::worker(&method);
            let report = worker.gradient(&theta, Hyper { lambda, rate: 0.0 }, &[], &mut [0.0; 2]);
            let kink = report.inner_kink.unwrap_or_else(|| panic!("{theta:?} {lambda} {report:?}"));
            assert_eq!(report.inner_status, Some(InnerStatus::Kink));
            // On the circle G is that of a quadratic: the minimiser is where e₁ + λθ points.
            let (x, y) = (1.0 + lambda * theta[0], lambda * theta[1]);
            let least = [x / x.hypot(y), y / x.hypot(y)];
            let away = (0..2).map(|i| (worker.phi()[i] - least[i]).powi(2)).sum::<f64>().sqrt();
            assert!(away <= 1e-3, "{theta:?} {lambda} {away} {report:?}");
            assert!(kink.norm <= 1e-3 * report.first_gradient, "{theta:?} {lambda} {report:?}");
        }
    }
}

#[test]
fn a_network_of_relus_ends_at_a_kink_and_a_smooth_one_never_does() {
    let hyper = Hyper { lambda: 2.0, rate: 0.0 };
    let (problem, theta, data) = sinusoid("mlp:1-40-40-1", true, 5);
    let method = |n: usize, problem: &_| implicit(problem, Box::new(HessianFree::new(stop(1e-9, 30)).with_bundle(n)));
    let (_, with) = gradient(&method(50, &problem), &theta, hyper, &data.args());
    let (_, without) = gradient(&method(0, &problem), &theta, hyper, &data.args());
    assert_eq!([with.inner_status, without.inner_status], [Some(InnerStatus::Kink); 2], "{with:?}");
    let relative = |report: &meta::method::Report| report.inner_kink.unwrap().norm / report.first_gradient;
    assert!(relative(&with) <= 1e-3 && relative(&with) <= 0.1 * relative(&without), "{with:?} {without:?}");
    assert!(with.last_inner < without.last_inner);

    // To the bit, and so at the limit of the precision, where smooth gradients jump too.
    for activation in ["softplus", "tanh"] {
        let (problem, theta, data) = sinusoid(&format!("mlp:1-40-40-1,act={activation}"), true, 5);
        for tolerance in [1e-9, 0.0] {
            let method = |n: usize| implicit(&problem, Box::new(HessianFree::new(stop(tolerance, 60)).with_bundle(n)));
            let [(g, report), other] = [50, 0].map(|n| gradient(&method(n), &theta, hyper, &data.args()));
            let expected = if tolerance == 0.0 { InnerStatus::Stalled } else { InnerStatus::Converged };
            assert_eq!((report.inner_status, report.inner_kink), (Some(expected), None), "{report:?}");
            assert_eq!((g, report), other);
        }
    }
}

#[test]
fn gradients_are_kept_where_half_of_the_space_was() {
    let vectors = |solver: HessianFree| InnerSolver::<f64>::room(&solver).vectors;
    let solver = HessianFree::new(stop(1e-6, 20));
    // Five of its own, and 101 of the space: 51 and 50.
    assert_eq!([0, 50].map(|n| vectors(solver.with_bundle(n))), [106; 2]);
    assert_eq!(vectors(solver), 106);
    assert_eq!(vectors(solver.with_bundle(64)), 5 + 51 + 64);
    assert_eq!(vectors(solver.with_products(9).with_bundle(10)), 5 + 6 + 10);
}

#[test]
fn what_is_not_finite_is_said() {
    let mut case = Case::new(&[1.0, 2.0], 1);
    case.b[0] = f64::NAN;
    for (name, solver) in deciding(stop(1e-6, 50)) {
        let method = implicit(&Quadratic { dim: 2 }, solver);
        let (_, report) = gradient(&method, &case.theta, Hyper { lambda: 0.5, rate: 0.1 }, &case.data());
        assert_eq!(report.inner_status, Some(InnerStatus::NotFinite), "{name}");
    }
}

#[test]
fn on_a_network_they_find_the_same_minimiser() {
    let (problem, theta, data) = sinusoid("mlp:1-8-8-1,act=tanh", true, 5);
    let hyper = Hyper { lambda: 2.0, rate: 0.02 };
    let descent = implicit(&problem, Box::new(Descent::gradient(stop(1e-12, 5000))));
    let (expected, _) = gradient(&descent, &theta, hyper, &data.args());
    for (name, solver) in deciding(stop(1e-12, 5000)) {
        let (g, report) = gradient(&implicit(&problem, solver), &theta, hyper, &data.args());
        assert_eq!(report.inner_status, Some(InnerStatus::Converged), "{name} {report:?}");
        // ‖∇G‖ ≤ 1e-12 leaves φ within 1e-12/μ; third derivatives are of size 10.
        assert!(relative_error(&g, &expected) <= 1e-10, "{name} {}", relative_error(&g, &expected));
        assert!(name != "Hessian-free" || report.steps <= 20, "{report:?}");
    }
}

#[test]
fn gauss_newton_in_the_place_of_the_hessian_is_an_approximation_that_is_exact_for_linear_outputs() {
    let linear = sinusoid("mlp:1-1", true, 6);
    let network = sinusoid("mlp:1-8-1,act=tanh", true, 6);
    let hyper = Hyper { lambda: 2.0, rate: 0.02 };
    for ((problem, theta, data), exact) in [(linear, true), (network, false)] {
        let of = |curvature| {
            let solver = Box::new(HessianFree::new(stop(1e-11, 500)));
            let cg = Box::new(Cg::tolerance(1e-13, 500));
            let method = Implicit::<f64>::with_curvature(&problem, solver, cg, curvature);
            gradient(&method, &theta, hyper, &data.args())
        };
        let ((hessian, _), (other, report)) = (of(Derivative::Hessian), of(Derivative::GaussNewton));
        assert_eq!(report.inner_status, Some(InnerStatus::Converged), "{report:?}");
        let error = relative_error(&other, &hessian);
        assert!(if exact { error <= 1e-10 } else { (1e-4..1.0).contains(&error) }, "{error}");
    }
}
