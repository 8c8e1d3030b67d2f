//! Every way to a meta-gradient, taken: by the engine, by the reference, by differences.

use autodiff::Arg;

use super::checks::{DIFFERENCE_ROUNDING, ROUNDING, direction};
use super::differences::{PAST_KINKS, derivative};
use super::engine::{Engine, SolverName, SolverStop};
use super::findings::{Apart, MEANINGFUL, Quantity, Slope, Value, Way};
use super::point::Point;
use super::reference::Task;
use super::vector::{add, minus, norm, relative_difference, scaled};
use crate::inner::Hyper;
use crate::linear::Status;
use crate::method::{InnerStop, Keep, Method, Report};
use crate::tasks::random::Random;

/// Relative residual asked of linear solvers.
const RESIDUAL: f64 = 1e-11;

/// Relative size of the change of θ by which conditions are measured: far above rounding, too small to cross kinks.
const NUDGE: f64 = 1e-9;

/// ‖∇G‖ of a solved inner problem, relative to its size at θ.
const STATIONARY: f64 = 1e-10;

/// Operations that one descent may take, and steps.
const MOST_WORK: u64 = 30_000_000_000;
const MOST_STEPS: u64 = 20_000;

/// Names of the ways to the solution.
const PROJECTED: &str = "solution, projection";
const IMPLICIT: &str = "solution, implicit";
const DIFFERENCES: &str = "solution, differences";
/// Of as many steps as it takes, and of parts of that.
const GROWING: [&str; 3] = ["unrolled, K∞/16 steps", "unrolled, K∞/4 steps", "unrolled, K∞ steps"];

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
}

impl<'a, 'r> Ways<'a, 'r> {
    pub fn new(
        task: &'a mut Task<'r>,
        engine: &'a dyn Engine,
        data: &'a [Arg<'a, f64>],
        rng: &'a mut Random,
        (steps, dense, work): (usize, usize, u64),
    ) -> Self {
        Ways { task, engine, data, rng, steps, dense, work, list: Vec::new() }
    }

    /// All ways, why quantities differ, and the smallest eigenvalue met.
    pub fn collect(mut self) -> (Vec<Way>, Apart, f64) {
        let points = self.task.trajectory(self.steps);
        let last = points[self.steps].clone();
        let point = Point::new(self.task, last, self.dense);
        let by_hand = self.task.unrolled(&points);
        let moved = minus(self.task.theta, &point.phi);

        // What a change of θ does to each of them.
        let steps = self.steps;
        let nudged_theta = self.nudged();
        let mut nudged = self.task.from(&nudged_theta);
        let points = nudged.trajectory(steps);
        let other = Point::new(&mut nudged, points[steps].clone(), 0);
        let in_steps = condition(&nudged.unrolled(&points), &by_hand);
        let in_implicit = condition(&other.projected, &point.projected);
        let in_first_order = condition(&other.v, &point.v);
        let in_moved = condition(&minus(&nudged_theta, &other.phi), &moved);
        let rounding = |condition: f64| ROUNDING * (1.0 + condition) * (1.0 + steps as f64).sqrt();

        self.implicit(&point, rounding(in_implicit));
        self.iterations(&point, rounding(in_implicit));
        self.unrolled(by_hand, rounding(in_steps));
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
        (self.list, Apart { limit, unsolved }, point.spectrum.smallest)
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

    fn gradient(&self, method: &dyn Method<f64>) -> (Vec<f64>, Report) {
        let mut g = vec![0.0; self.task.theta.len()];
        let hyper = Hyper { lambda: self.task.lambda, rate: self.task.rate };
        let report = method.worker().gradient(self.task.theta, hyper, self.data, &mut g);
        (g, report)
    }

    fn run(
        &mut self,
        name: &str,
        quantity: Quantity,
        method: Box<dyn Method<f64>>,
        tolerance: f64,
    ) -> (Report, &mut Way) {
        let (g, report) = self.gradient(method.as_ref());
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

    /// Through K steps.
    fn unrolled(&mut self, by_hand: Vec<f64>, rounding: f64) {
        let (steps, quantity) = (self.steps, Quantity::Steps(self.steps));
        let slopes = self.slopes(&by_hand, DIFFERENCE_ROUNDING, 20, |task| {
            let phi = task.trajectory(steps).pop().expect("φ_K");
            task.query(&phi).0
        });
        self.reference("steps pulled back by hand", quantity, by_hand, rounding);
        let few = (steps as f64).sqrt().ceil() as usize;
        for (name, keep) in [
            ("unrolled, all kept", Keep::Everything),
            ("unrolled, iterates kept", Keep::Iterates),
            ("unrolled, checkpoints", Keep::Checkpoints(few.max(1))),
            ("unrolled, the last K kept", Keep::Last(steps)),
        ] {
            let method = self.engine.unrolled(steps, keep);
            self.run(name, quantity, method, rounding);
        }
        self.push("differences through K steps", quantity, slopes, rounding);
    }

    /// At the minimiser. After how many steps unrolling is there, and how close.
    fn solution(&mut self, start: f64) -> Option<(usize, f64)> {
        let quantity = Quantity::Solution;
        let cap = (MOST_WORK / self.work).clamp(1, MOST_STEPS) as usize;
        let none = |ways: &mut Self, reason: String| {
            if ways.has_matrix() {
                ways.push("solution, dense solve", quantity, Err(reason.clone()), 0.0);
            }
            for name in [PROJECTED, IMPLICIT].iter().chain(&GROWING).chain(&[DIFFERENCES]) {
                ways.push(*name, quantity, Err(reason.clone()), 0.0);
            }
            None
        };
        if !self.task.is_smooth() {
            return none(self, "the minimiser lies on kinks of the activation: ∇G does not go to zero there".into());
        }
        let (phi, size, steps) = self.task.descend(STATIONARY * start, cap);
        if size > STATIONARY * start || !size.is_finite() {
            let reached = size / start;
            return none(
                self,
                format!("not contractive enough: {steps} steps leave ‖∇G‖ at {reached:.0e} of its start"),
            );
        }
        let point = Point::new(self.task, phi, self.dense);
        if !point.spectrum.is_definite() {
            return none(self, indefinite(&point, "where the gradient vanishes is no minimum"));
        }
        // What ‖∇G‖ still does to the gradient, from what a hundred times as much does.
        let (coarse, ..) = self.task.descend(100.0 * STATIONARY * start, cap);
        let coarse = Point::new(self.task, coarse, self.dense);
        let unsolved = relative_difference(coarse.gradient(), point.gradient());
        let kappa = point.spectrum.condition();
        let tolerance = unsolved + kappa * (RESIDUAL + ROUNDING);
        self.routes(["solution, dense solve", PROJECTED], quantity, &point, tolerance);
        let solver = self.engine.solver(SolverName::Cg, SolverStop::Tolerance(RESIDUAL, 10 * point.krylov.dim() + 100));
        let stop = InnerStop::Gradient { gradient: STATIONARY * start, cap };
        let method = self.engine.implicit(stop, solver);
        self.run(IMPLICIT, quantity, method, tolerance);
        let limit = self.limit(&point, tolerance, cap);
        self.solution_slopes(&point, steps, start, tolerance);
        limit
    }

    /// Unrolled through ever more steps, K qᴷ being what is left after K with a contraction of q.
    fn limit(&mut self, point: &Point, tolerance: f64, cap: usize) -> Option<(usize, f64)> {
        let q = point.spectrum.contraction(self.task.rate);
        let enough = (1..=cap).find(|&k| k as f64 * q.powi(k as i32) <= 1e-10);
        let Some(limit) = enough.filter(|_| q < 1.0) else {
            let reason =
                format!("not contractive enough: a step shrinks the slowest mode by {q}, {cap} steps are too few");
            GROWING.iter().for_each(|name| _ = self.push(*name, Quantity::Solution, Err(reason.clone()), 0.0));
            return None;
        };
        for (name, k) in GROWING.iter().zip([limit / 16, limit / 4, limit]) {
            let method = self.engine.unrolled(k, Keep::Checkpoints(10));
            self.run(name, Quantity::Steps(k), method, tolerance);
        }
        // The way there contracts less than its end does: a thousandfold for that.
        Some((limit, 1e-7))
    }

    fn solution_slopes(&mut self, point: &Point, steps: usize, start: f64, tolerance: f64) {
        const RUNGS: usize = 9;
        let evaluations = 4 * (RUNGS as u64 + 1);
        if evaluations * steps as u64 * self.work > 4 * MOST_WORK {
            let reason = "too many steps for differences of the solution".into();
            self.push(DIFFERENCES, Quantity::Solution, Err(reason), 0.0);
            return;
        }
        // The solution is off by ‖∇G‖/μ, the loss by ‖v‖ times that.
        let fine = 1e-2 * STATIONARY * start;
        let (f, _) = self.task.query(&point.phi);
        let noise = norm(&point.v) * fine / point.spectrum.smallest / f.abs().max(f64::MIN_POSITIVE);
        let slopes = self.slopes(point.gradient(), DIFFERENCE_ROUNDING + noise, RUNGS, |task| {
            let (phi, ..) = task.descend(fine, 4 * steps);
            task.query(&phi).0
        });
        self.push(DIFFERENCES, Quantity::Solution, slopes, tolerance);
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

fn indefinite(point: &Point, so: &str) -> String {
    format!("the operator is indefinite, smallest eigenvalue {:.2}: {so}", point.spectrum.smallest)
}
