//! Implicit hypergradients of a convolutional network at the minimiser, against differences of the solved problem.

use std::collections::BTreeSet;

use autodiff::Arg;
use integration::{Numbers, Owned, ToRelative, relative_error};
use meta::inner::{GradientOnly, HessianFree, Hyper, InnerSolver, InnerStop, InnerTask, Solved, Step};
use meta::linear::{Cg, Room, SolverSpace};
use meta::method::{Implicit, Method};
use meta::problem::{Adapts, FewShot, Learned, Share};
use meta::tasks::Glyphs;
use nn::{Init, Model};

use super::{BOTH, SHARES, check_along, direction, gradient, moved, parts, places};

const HYPER: Hyper = Hyper { lambda: 2.0, rate: 0.0 };

/// Of ‖∇G(φ₀)‖. A gradient is off by about the condition number, some hundreds, times that.
const SOLVED: f64 = 1e-12;

/// [`HessianFree`] from φ₀ + `offset`: a minimiser's, for the solves of a difference to follow that one and no other.
struct Near {
    offset: Vec<f64>,
    solver: HessianFree,
}

impl InnerSolver<f64> for Near {
    fn step(&self) -> &dyn Step {
        &GradientOnly
    }

    fn room(&self) -> Room {
        InnerSolver::<f64>::room(&self.solver)
    }

    fn solve(&self, task: &mut InnerTask<'_, f64>, space: &mut SolverSpace<f64>) -> Solved {
        task.run.state.iter_mut().zip(&self.offset).for_each(|(phi, away)| *phi += away);
        self.solver.solve(task, space)
    }
}

fn implicit(problem: &FewShot, solver: Box<dyn InnerSolver<f64>>) -> Implicit<f64> {
    Implicit::with_solver(problem, solver, Box::new(Cg::tolerance(1e-13, 3000)))
}

/// Implicit at the minimiser that is reached from θ, there and near θ.
fn at_minimiser(problem: &FewShot, theta: &[f64], data: &[Arg<'_, f64>]) -> Implicit<f64> {
    let cold = implicit(problem, Box::new(ToRelative { relative: SOLVED, cap: 100 }));
    let mut worker = cold.worker();
    let mut first = vec![0.0; theta.len()];
    let report = worker.gradient(theta, HYPER, data, &mut first);
    // Ten times: rounding may stop a solve.
    let solved = |gradient: f64| gradient <= 10.0 * SOLVED * report.first_gradient;
    assert!(solved(report.inner_gradient) && report.linear_residual <= 1e-12, "{report:?}");
    assert_eq!(report.negative_curvature, 0, "where CG has solved with it, it is a minimum");

    let offset = worker.phi().iter().zip(theta).map(|(phi, t)| phi - t).collect();
    let stop = InnerStop::Gradient { gradient: SOLVED * report.first_gradient, cap: 100 };
    let near = implicit(problem, Box::new(Near { offset, solver: HessianFree::new(stop) }));
    // φ₀ + offset is that minimiser but for rounding; see `SOLVED`.
    let error = relative_error(&gradient(&near, theta, HYPER, data), &first);
    assert!(error <= 1e-9, "from there it is another gradient, {error:e} off");
    near
}

/// The network, He's initialisation of it, and a task.
fn case() -> (Model, Vec<f64>, Owned<f64>) {
    let model: Model = "conv4:channels=4,stride=2,ways=3,image=1x28x28,act=softplus".parse().unwrap();
    let stream = Glyphs::new(1, meta::tasks::FewShot { ways: 3, shots: 1, queries: 2 }).unwrap();
    let mut numbers = Numbers::new(7);
    // PyTorch's weights are so small that minimisers lie where batch normalisation is nearly singular.
    let parameters = model.init(Init::Kaiming, &mut || 0.5 + 0.5 * numbers.next());
    (model, parameters, Owned::of(&stream, 0))
}

#[test]
fn implicit_hypergradients_agree_with_differences_of_the_solved_problem() {
    let (model, parameters, task) = case();
    for (adapts, share) in [Adapts::All, Adapts::Head, Adapts::Body].into_iter().flat_map(|a| SHARES.map(|s| (a, s))) {
        let problem = FewShot::new(model.clone(), 3, 6, true).adapting(adapts).learning(BOTH(share));
        let theta = moved(&problem, &parameters);
        let method = at_minimiser(&problem, &theta, &task.args());
        for (part, places) in parts(&problem) {
            let what = format!("{adapts:?}, {share:?}, {part}");
            if part == "rates" {
                // However it was reached, the solution is the solution.
                let g = gradient(&method, &theta, HYPER, &task.args());
                assert!(places.iter().all(|&i| g[i] == 0.0), "{what}");
            } else {
                let u = direction(theta.len(), &places, 2);
                check_along(&what, &method, &theta, HYPER, &task.args(), &u);
            }
        }
    }
}

/// Each layer's initialisation alone, and each layer's λ.
#[test]
fn each_block_of_an_implicit_hypergradient_agrees_with_differences() {
    let (model, parameters, task) = case();
    let lambda = Learned { lambda: Some(Share::Layer), rate: None };
    let problem = FewShot::new(model.clone(), 3, 6, true).learning(lambda);
    let theta = moved(&problem, &parameters);
    let method = at_minimiser(&problem, &theta, &task.args());
    // `conv1` of `conv1.weight`, all of `log_lambda.conv1`.
    let block = |name: &str| match name.starts_with("log_lambda") {
        true => name.to_owned(),
        false => name.split('.').next().unwrap().to_owned(),
    };
    let blocks: BTreeSet<String> = problem.layout().entries().iter().map(|e| block(e.name())).collect();
    assert_eq!(blocks.len(), 18, "four convolutions, four normalisations and the head, twice: {blocks:?}");
    for name in blocks {
        let u = direction(theta.len(), &places(&problem, |n| block(n) == name), 3);
        check_along(&name, &method, &theta, HYPER, &task.args(), &u);
    }
}
