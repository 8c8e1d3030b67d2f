//! Ways to the derivative at the minimiser.

use super::{MOST_WORK, RESIDUAL, Ways, indefinite};
use crate::inner::InnerStatus;
use crate::method::{InnerStop, Keep};
use crate::verify::checks::{DIFFERENCE_ROUNDING, ROUNDING};
use crate::verify::engine::{InnerName, SolverName, SolverStop};
use crate::verify::findings::{Quantity, Value};
use crate::verify::point::Point;
use crate::verify::vector::{minus, norm, relative_difference};

/// ‖∇G‖ of a solved inner problem, relative to its size at θ.
const STATIONARY: f64 = 1e-10;

/// Steps that one descent may take.
const MOST_STEPS: u64 = 20_000;

/// Names of the ways to the solution.
const PROJECTED: &str = "solution, projection";
const IMPLICIT: &str = "solution, implicit";
const DIFFERENCES: &str = "solution, differences";
/// By inner solvers other than gradient descent of the given size.
const INNER: [(&str, InnerName); 3] = [
    ("solution, a step size of its own", InnerName::Automatic),
    ("solution, L-BFGS", InnerName::Lbfgs),
    ("solution, Hessian-free", InnerName::HessianFree),
];
/// Of as many steps as it takes, and of parts of that.
const GROWING: [&str; 3] = ["unrolled, K∞/16 steps", "unrolled, K∞/4 steps", "unrolled, K∞ steps"];

impl Ways<'_, '_> {
    /// At the minimiser. After how many steps unrolling is there, and how close.
    pub(super) fn solution(&mut self, start: f64) -> Option<(usize, f64)> {
        let quantity = Quantity::Solution;
        let cap = (MOST_WORK / self.work).clamp(1, MOST_STEPS) as usize;
        let none = |ways: &mut Self, reason: String| {
            if ways.has_matrix() {
                ways.push("solution, dense solve", quantity, Err(reason.clone()), 0.0);
            }
            let inner = INNER.map(|(name, _)| name);
            for name in [PROJECTED, IMPLICIT].iter().chain(&inner).chain(&GROWING).chain(&[DIFFERENCES]) {
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
        let cg = SolverStop::Tolerance(RESIDUAL, 10 * point.krylov.dim() + 100);
        let stop = InnerStop::Gradient { gradient: STATIONARY * start, cap };
        let method = self.engine.implicit(stop, self.engine.solver(SolverName::Cg, cg));
        self.run(IMPLICIT, quantity, method, tolerance);
        INNER.iter().for_each(|inner| self.inner(*inner, &point, (stop, cg), tolerance));
        let limit = self.limit(&point, tolerance, (steps, cap));
        self.solution_slopes(&point, steps, start, tolerance);
        limit
    }

    /// By another inner solver. Where it ends is judged by the reference, which has been to the minimum: what is stationary
    /// and elsewhere, with a definite Hessian, is another minimiser; unsolved is what is as near as a line search sees, or has
    /// taken all the steps there are. Anything else is wrong, whatever the solver says of itself.
    fn inner(
        &mut self,
        (name, inner): (&str, InnerName),
        point: &Point,
        (stop, cg): (InnerStop, SolverStop),
        tolerance: f64,
    ) {
        let solver = self.engine.inner(inner, stop);
        let method = self.engine.implicit_by(solver, self.engine.solver(SolverName::Cg, cg));
        let (g, phi, report) = self.gradient(method.as_ref());
        let (cap, wanted) = stop.limits();
        let size = norm(&self.task.inner_gradient(&phi));
        // Two points with ∇G that small are ‖∇G‖/μ from the minimiser each; ten times, for μ is that of one point.
        let apart = norm(&minus(&phi, &point.phi)) * point.spectrum.smallest;
        // Below a tenth of this no line search sees a fall: ‖∇G‖²/2L is rounding of G.
        let rounding = 16.0 * f64::EPSILON * self.task.inner_size(&point.phi);
        let blind = 10.0 * (2.0 * point.spectrum.largest * rounding).sqrt();
        let excused = match report.inner_status {
            Some(InnerStatus::Stalled) => size <= blind,
            Some(InnerStatus::Capped) => report.steps.max(report.evaluations) >= cap,
            _ => false,
        };
        let excuse = if size <= 2.0 * wanted {
            // Twice: rounding of one evaluation of ∇G beside another's.
            let elsewhere = apart > 20.0 * wanted && Point::new(self.task, phi, self.dense).spectrum.is_definite();
            elsewhere.then(|| "it ends at another minimiser".to_owned())
        } else {
            excused.then(|| format!("not solved: it leaves ‖∇G‖ at {:.0e} of what is asked for", size / wanted))
        };
        self.push(name, Quantity::Solution, Ok(Value::Gradient(g)), tolerance).excuse = excuse;
    }

    /// Unrolled through ever more steps, K qᴷ being what is left after K with a contraction of q; after those that the
    /// descent took, where it took more: it may have come by a saddle.
    fn limit(&mut self, point: &Point, tolerance: f64, (steps, cap): (usize, usize)) -> Option<(usize, f64)> {
        let q = point.spectrum.contraction(self.task.rate);
        let enough = (1..=cap).find(|&k| k as f64 * q.powi(k as i32) <= 1e-10);
        let enough = enough.map(|k| if steps > k { steps + k } else { k }).filter(|&k| k <= cap);
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
}
