//! Every way to a meta-gradient, taken: by the engine, by the reference, by differences.

mod chosen;
mod differenced;
mod evolution;
mod solution;
mod unrolled;

use autodiff::Arg;

use crate::inner::Hyper;
use crate::linear::Status;
use crate::method::{InnerStop, Method, Report};
use crate::tasks::random::Random;
use crate::verify::checks::{ROUNDING, direction};
use crate::verify::differences::{PAST_KINKS, derivative};
use crate::verify::engine::{Engine, SolverName, SolverStop, StepName};
use crate::verify::findings::{Apart, Check, MEANINGFUL, Quantity, Slope, Value, Way};
use crate::verify::point::Point;
use crate::verify::reference::Task;
use crate::verify::vector::{add, minus, norm, relative_difference, scaled};

/// Relative residual asked of linear solvers.
const RESIDUAL: f64 = 1e-11;

/// Relative size of the change of θ by which conditions are measured: far above rounding, too small to cross kinks.
const NUDGE: f64 = 1e-9;

/// Operations that a way may take that runs again and again.
const MOST_WORK: u64 = 30_000_000_000;

/// What ways are collected with.
pub(super) struct Ways<'a, 'r> {
    pub task: &'a mut Task<'r>,
    pub engine: &'a dyn Engine,
    pub data: &'a [Arg<'a, f64>],
    pub rng: &'a mut Random,
    /// K
    pub steps: usize,
    /// The most adapted parameters for which matrices are formed.
    pub dense: usize,
    /// Operations of one gradient, for what would take too long.
    pub work: u64,
    list: Vec<Way>,
    checks: Vec<Check>,
}

impl<'a, 'r> Ways<'a, 'r> {
    pub fn new(
        task: &'a mut Task<'r>,
        engine: &'a dyn Engine,
        data: &'a [Arg<'a, f64>],
        rng: &'a mut Random,
        (steps, dense, work): (usize, usize, u64),
    ) -> Self {
        Ways { task, engine, data, rng, steps, dense, work, list: Vec::new(), checks: Vec::new() }
    }

    /// All ways, what was checked on the way, why quantities differ, and the smallest eigenvalue met.
    pub fn collect(mut self) -> (Vec<Way>, Vec<Check>, Apart, f64) {
        let trajectory = self.task.trajectory(StepName::GradientDescent, self.steps);
        let point = Point::new(self.task, trajectory.last().to_vec(), self.dense);
        let by_hand = self.task.unrolled(&trajectory);
        let moved = minus(self.task.theta, &point.phi);

        // What a change of θ does to each of them.
        let steps = self.steps;
        let nudged_theta = self.nudged();
        let mut nudged = self.task.from(&nudged_theta);
        let nearby = nudged.trajectory(StepName::GradientDescent, steps);
        let other = Point::new(&mut nudged, nearby.last().to_vec(), 0);
        let in_steps = condition(&nudged.unrolled(&nearby), &by_hand);
        let in_implicit = condition(&other.projected, &point.projected);
        let in_first_order = condition(&other.v, &point.v);
        let in_moved = condition(&minus(&nudged_theta, &other.phi), &moved);
        let rounding = |condition: f64| rounding(condition, steps);

        self.implicit(&point, rounding(in_implicit));
        self.iterations(&point, rounding(in_implicit));
        self.unrolled(by_hand.clone(), rounding(in_steps));
        self.remembering(&nudged_theta);
        self.differenced(&trajectory, &by_hand, &point, rounding(in_steps));
        self.chosen(&point, [rounding(in_implicit), rounding(in_steps)]);
        self.evolution(rounding(in_steps));
        let first_order = self.engine.first_order(steps);
        self.reference("∂f/∂φ at φ_K", Quantity::FirstOrder, point.v.clone(), rounding(in_first_order));
        self.run("first-order MAML", Quantity::FirstOrder, first_order, rounding(in_first_order));
        let reptile = self.engine.reptile(steps);
        self.reference("θ − φ_K", Quantity::Moved, moved, rounding(in_moved));
        self.run("Reptile", Quantity::Moved, reptile, rounding(in_moved));
        let start = norm(&self.task.inner_gradient(self.task.theta));
        let unsolved = format!(
            "φ after {steps} steps is not the solution: ‖∇G‖ is {:.0e} of its start",
            point.gradient_norm / start
        );
        let limit = self.solution(start);
        (self.list, self.checks, Apart { limit, unsolved }, point.spectrum.smallest)
    }

    /// θ, each coordinate changed by a relative ±NUDGE.
    fn nudged(&mut self) -> Vec<f64> {
        let sign = direction(self.rng, self.task.theta.len());
        self.task.theta.iter().zip(sign).map(|(t, s)| t * (1.0 + NUDGE * s.signum())).collect()
    }

    fn push(
        &mut self,
        name: impl Into<String>,
        quantity: Quantity,
        value: Result<Value, String>,
        tolerance: f64,
    ) -> &mut Way {
        self.list.push(Way { name: name.into(), quantity, value, tolerance, excuse: None });
        self.list.last_mut().expect("just pushed")
    }

    fn reference(&mut self, name: &str, quantity: Quantity, value: Vec<f64>, tolerance: f64) {
        self.push(name, quantity, Ok(Value::Gradient(value)), tolerance);
    }

    fn hyper(&self) -> Hyper {
        Hyper { lambda: self.task.lambda, rate: self.task.rate }
    }

    /// dF/dθ, and φ that it is taken at.
    fn gradient(&self, method: &dyn Method<f64>) -> (Vec<f64>, Vec<f64>, Report) {
        let mut g = vec![0.0; self.task.theta.len()];
        let mut worker = method.worker();
        let report = worker.gradient(self.task.theta, self.hyper(), self.data, &mut g);
        let phi = worker.phi().to_vec();
        (g, phi, report)
    }

    fn run(
        &mut self,
        name: &str,
        quantity: Quantity,
        method: Box<dyn Method<f64>>,
        tolerance: f64,
    ) -> (Report, &mut Way) {
        let (g, _, report) = self.gradient(method.as_ref());
        (report, self.push(name, quantity, Ok(Value::Gradient(g)), tolerance))
    }

    /// The implicit formula at φ_K.
    fn implicit(&mut self, point: &Point, rounding: f64) {
        let quantity = Quantity::Implicit;
        self.routes(["dense solve", "projection"], quantity, point, rounding);
        let kappa = point.spectrum.condition();
        for (name, solver) in [
            ("implicit, CG", SolverName::Cg),
            ("implicit, MINRES", SolverName::Minres),
            ("implicit, GMRES", SolverName::Gmres),
            ("implicit, Neumann", SolverName::Neumann),
            ("implicit, dense", SolverName::Dense),
        ] {
            if solver == SolverName::Dense && !self.has_matrix() {
                let reason = format!("more than {} parameters adapt: no matrix is formed", self.dense);
                self.push(name, quantity, Err(reason), 0.0);
                continue;
            }
            // In exact arithmetic as many iterations as the space has dimensions; ten times that in floating point.
            let space = 10 * point.krylov.dim() + 100;
            let (cap, excuse) = match solver {
                // A term shrinks what is left by 1 − 1/κ.
                SolverName::Neumann => {
                    let terms = kappa * (2.0 / RESIDUAL).ln();
                    let excuse = match () {
                        () if !point.spectrum.is_definite() => Some(indefinite(point, "Neumann's series diverges")),
                        () if terms > 5000.0 => Some(format!("Neumann's series takes some {terms:.0} terms here")),
                        () => None,
                    };
                    (2 * terms.min(5000.0) as usize + 100, excuse)
                }
                SolverName::Dense => (0, None),
                _ if point.spectrum.is_definite() => (space, None),
                _ => (space, Some(indefinite(point, "an iteration need not converge"))),
            };
            let solver = self.engine.solver(solver, SolverStop::Tolerance(RESIDUAL, cap));
            let method = self.engine.implicit(InnerStop::Steps(self.steps), solver);
            // ‖x − x*‖/‖x*‖ ≤ κ ‖r‖/‖b‖
            let (report, way) = self.run(name, quantity, method, rounding + kappa * (RESIDUAL + ROUNDING));
            // Whoever claims to have converged is taken at their word.
            if report.status != Some(Status::Converged) {
                way.excuse = excuse;
            }
        }
    }

    /// Whether few enough parameters adapt for matrices to be formed.
    fn has_matrix(&self) -> bool {
        self.task.adapts().iter().filter(|a| **a).count() <= self.dense
    }

    /// The reference's own two routes, at a point.
    fn routes(&mut self, [dense, name]: [&str; 2], quantity: Quantity, point: &Point, rounding: f64) {
        let kappa = point.spectrum.condition();
        if self.has_matrix() {
            let solved =
                point.dense.clone().map(Value::Gradient).ok_or("the matrix is singular, or not finite".to_owned());
            self.push(dense, quantity, solved, rounding + kappa * ROUNDING);
        }
        let residual = point.residual;
        let tolerance = rounding + kappa * (residual + ROUNDING);
        self.reference(name, quantity, point.projected.clone(), tolerance);
        if residual > 1e-9 {
            let reason = format!("{} dimensions leave a residual of {residual:.0e}", point.krylov.dim());
            self.list.last_mut().expect("just pushed").value = Err(reason);
        }
    }

    /// Exactly so many iterations of CG, against the projection that defines them.
    fn iterations(&mut self, point: &Point, rounding: f64) {
        for n in [2, 5] {
            let quantity = Quantity::Iterations(n);
            let name = format!("projection, {n} dimensions");
            match point.iterations(self.task, n) {
                Some((g, of_projection)) => self.reference(&name, quantity, g, rounding + of_projection * ROUNDING),
                None => {
                    let reason = format!("the Krylov space has no {n} dimensions");
                    self.push(&name, quantity, Err(reason), 0.0);
                }
            }
            let solver = self.engine.solver(SolverName::Cg, SolverStop::Iterations(n));
            let method = self.engine.implicit(InnerStop::Steps(self.steps), solver);
            // The recurrences lose the orthogonality that defines the iterates by κ roundings.
            let tolerance = rounding + point.spectrum.condition() * ROUNDING;
            self.run(&format!("implicit, {n} CG iterations"), quantity, method, tolerance);
        }
    }

    /// Slopes of F along g, where it is steepest, and along a random direction; or why differences do not settle.
    fn slopes(
        &mut self,
        g: &[f64],
        noise: f64,
        rungs: usize,
        f: impl Fn(&mut Task<'_>) -> f64,
    ) -> Result<Value, String> {
        let theta = self.task.theta;
        let size = norm(theta).max(1.0);
        let random = direction(self.rng, theta.len());
        let lines = [g, &random].map(|u| scaled(size / norm(u).max(f64::MIN_POSITIVE), u));
        let mut slopes = Vec::new();
        for direction in lines {
            let along = |t: f64| {
                let mut moved = theta.to_vec();
                add(t, &direction, &mut moved);
                vec![f(&mut self.task.from(&moved))]
            };
            let difference = derivative(1e-2, rungs, noise, along);
            let error = 4.0 * difference.error;
            let believed = if self.task.is_smooth() { MEANINGFUL } else { PAST_KINKS };
            if error > believed * norm(g) * norm(&direction) {
                return Err(match self.task.is_smooth() {
                    true => "differences do not settle before rounding sets in".into(),
                    false => "kinks of the activation lie within reach of the differences".into(),
                });
            }
            slopes.push(Slope { value: difference.value[0], error, direction });
        }
        Ok(Value::Slopes(slopes))
    }
}

/// How much a relative change of θ grows on its way to a gradient.
fn condition(nudged: &[f64], gradient: &[f64]) -> f64 {
    relative_difference(nudged, gradient) / NUDGE
}

/// Rounding of what such a change grows so much in, through so many steps.
fn rounding(condition: f64, steps: usize) -> f64 {
    ROUNDING * (1.0 + condition) * (1.0 + steps as f64).sqrt()
}

fn indefinite(point: &Point, so: &str) -> String {
    format!("the operator is indefinite, smallest eigenvalue {:.2}: {so}", point.spectrum.smallest)
}
