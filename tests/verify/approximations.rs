//! What is no way of its own: differences, draws, choices, inner solvers.

use autodiff::Arg;
use meta::inner::{Descent, Hyper, InnerSolver, InnerStatus, InnerTask, Solved, Step};
use meta::linear::{LinearSolver, SolverSpace};
use meta::method::{Choice, EvolutionStrategies, FiniteDifference, InnerStop, Method, Report, Worker};
use meta::problem::{FewShot, Problem};
use meta::verify::{Engine, InnerName, Own};

use super::Case;

/// A method whose gradient comes out some times too large.
pub struct Times(pub Box<dyn Method<f64>>, pub f64);

struct TimesWorker<'m>(Box<dyn Worker<f64> + 'm>, f64);

impl Method<f64> for Times {
    fn shared_worker(&self, threads: usize) -> Box<dyn Worker<f64> + '_> {
        Box::new(TimesWorker(self.0.shared_worker(threads), self.1))
    }
    fn bytes(&self) -> usize {
        self.0.bytes()
    }
    fn flops(&self, report: &Report) -> u64 {
        self.0.flops(report)
    }
}

impl Worker<f64> for TimesWorker<'_> {
    fn gradient(&mut self, theta: &[f64], hyper: Hyper, data: &[Arg<'_, f64>], gradient: &mut [f64]) -> Report {
        let report = self.0.gradient(theta, hyper, data, gradient);
        gradient.iter_mut().for_each(|g| *g *= self.1);
        report
    }
    fn phi(&self) -> &[f64] {
        self.0.phi()
    }
}

/// Three steps that are called a solution.
struct Boasting(Descent);

impl InnerSolver<f64> for Boasting {
    fn step(&self) -> &dyn Step {
        InnerSolver::<f64>::step(&self.0)
    }
    fn solve(&self, task: &mut InnerTask<'_, f64>, space: &mut SolverSpace<f64>) -> Solved {
        Solved { status: InnerStatus::Converged, ..self.0.solve(task, space) }
    }
}

/// What is wrong in an engine that is wrong in what is no way of its own.
#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    Differences,
    Noise,
    Slopes,
    Bit,
    Solution,
    /// The same three steps, and no boast.
    Unsolved,
    System,
}

struct WrongMethod<'p>(&'p FewShot, Wrong);

impl Engine for WrongMethod<'_> {
    fn problem(&self) -> &dyn Problem {
        self.0
    }
    fn differenced(&self, steps: usize) -> Box<dyn Method<f64>> {
        match self.1 {
            Wrong::Differences => Box::new(FiniteDifference::new(self.0, steps).with_radius(0.01)),
            _ => Own(self.0).differenced(steps),
        }
    }
    fn evolution(&self, steps: usize, (pairs, sigma): (usize, f64)) -> Box<dyn Method<f64>> {
        let right = EvolutionStrategies::new(self.0, steps).with_pairs(pairs).with_sigma(sigma);
        match self.1 {
            Wrong::Noise => Box::new(right.with_seed(1)),
            Wrong::Slopes => Box::new(Times(Box::new(right), -1.0)),
            _ => Box::new(right),
        }
    }
    fn chosen(&self, choice: Choice, steps: usize) -> Box<dyn Method<f64>> {
        let right = Own(self.0).chosen(choice, steps);
        if self.1 == Wrong::Bit { Box::new(Times(right, 1.0 + f64::EPSILON)) } else { right }
    }
    fn inner(&self, name: InnerName, stop: InnerStop) -> Box<dyn InnerSolver<f64>> {
        match self.1 {
            Wrong::Solution => Box::new(Boasting(Descent::gradient(InnerStop::Steps(3)))),
            Wrong::Unsolved => Box::new(Descent::gradient(InnerStop::Steps(3))),
            _ => Own(self.0).inner(name, stop),
        }
    }
    fn implicit_by(
        &self,
        inner: Box<dyn InnerSolver<f64>>,
        solver: Box<dyn LinearSolver<f64>>,
    ) -> Box<dyn Method<f64>> {
        let right = Own(self.0).implicit_by(inner, solver);
        if self.1 == Wrong::System { Box::new(Times(right, 1.00001)) } else { right }
    }
}

#[test]
fn approximations_choices_and_inner_solvers_are_held_to_what_they_are() {
    let case = Case::new("mlp:1-6-6-1,act=tanh", 3, |_| false);
    for (wrong, seen) in [
        (Wrong::Differences, "DARTS"),
        (Wrong::Noise, "evolution strategies by hand"),
        // Its opposite is further off than six standard errors, below 1, whatever the draws.
        (Wrong::Slopes, "evolution strategies along ∇F, stochastic"),
        (Wrong::Bit, "auto and the method it chose, to the bit"),
        (Wrong::Solution, "solution, L-BFGS"),
        (Wrong::Unsolved, "solution, a step size of its own"),
        (Wrong::System, "solution, Hessian-free"),
    ] {
        case.is_named(&WrongMethod(&case.problem, wrong), seen);
    }
}
