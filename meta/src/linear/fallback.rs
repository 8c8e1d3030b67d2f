//! Another way to solve where an operator turns out to be indefinite.
//!
//! The solver that comes first is made for positive definite operators and stops where it sees that this one is not:
//! CG at a direction with pᵀAp ≤ 0, a Neumann series that diverges. Then one of
//!
//! ```text
//! another solver        A x = b                            by MINRES, say: exact, and v may be amplified without bound
//! damping               (A + μI) x = b, g = Λx             the least μ with which all curvature met is ≥ δ
//! a larger λ            (A + μI) x = b, g = (Λ + μI) x     the meta-gradient of that task with λ′ = λ + μ at the same φ
//! Gauss-Newton          Ã x = b, g = Λx                    Ã positive definite: an approximation, by its name
//! ```
//!
//! μ is in [`Stats::shift`](super::Stats); every product of every attempt is counted.

use autodiff::Element;

use super::cycles::{scale_exponent, scaled_copy};
use super::lanczos::{ROOM, Ritz};
use super::{CgLanes, LinearOperator, LinearSolver, Needs, Room, Shifted, Solution, SolverSpace, Stats, Status};

/// δ of damping, relative to the λ that the operator has: v is amplified ten times at most along a direction met.
const FLOOR: f64 = 0.1;

/// Most times that a shift is tried: each is at least twice the one before.
const ATTEMPTS: usize = 8;

/// What to do where an operator is indefinite.
///
/// λ is what the operator [says](LinearOperator::shift). Of an inner task that is [`Hyper::lambda`](crate::inner::Hyper::lambda),
/// also where λ is [learned](crate::problem::Learned): there `Damp` measures its floor by that number, and `RaiseLambda` adds what
/// would raise that number to 2h, whatever the learned λ have become.
pub enum Policy<T> {
    /// Solve the system as it is by another solver.
    Another(Box<dyn LinearSolver<T>>),
    /// Add the least multiple of the identity with which every curvature met is at least a tenth of λ (of its own size,
    /// where the operator [knows](LinearOperator::shift) no λ; a curvature of 0 is none to go by there). x is then no longer
    /// the solution, and Λx no longer the meta-gradient: this is regularisation.
    Damp,
    /// Take λ′ = 2h in place of λ, −h being the least curvature met, Lanczos' least Ritz value included: I + H/λ′ is then
    /// at least ½, as far as is known. The meta-gradient is that of a problem, at the point found for another.
    RaiseLambda,
    /// Put the operator's [Gauss-Newton matrix](LinearOperator::gauss_newton) in its place; stop where it has none.
    GaussNewton,
}

/// A solver for positive definite operators, and a [`Policy`] for others.
///
/// ```
/// use autodiff::Isa;
/// use meta::linear::{Cg, LinearOperator, LinearSolver, Policy, SolverSpace, Status};
///
/// struct Diagonal([f64; 3]);
/// impl LinearOperator<f64> for Diagonal {
///     fn dim(&self) -> usize { 3 }
///     fn apply(&mut self, x: &[f64], y: &mut [f64]) {
///         (0..3).for_each(|i| y[i] = self.0[i] * x[i]);
///     }
///     // H + 2I, H = diag(1, −2.5, 2)
///     fn shift(&self) -> f64 { 2.0 }
/// }
/// let solver = Cg::tolerance(1e-12, 20).or(Policy::RaiseLambda);
/// let mut space = SolverSpace::new(LinearSolver::<f64>::room(&solver), 3, Isa::detect()?);
/// let solution = solver.solve(&mut Diagonal([3.0, -0.5, 4.0]), &[1.0, 1.0, 1.0], &mut space);
/// assert_eq!(solution.status, Status::Converged);
/// let lambda = 2.0 + solution.stats.shift; // 2 · 2.5, from the Ritz value
/// assert!(solution.stats.raised && (lambda - 5.0).abs() < 0.02);
/// assert!((solution.value[1] - 1.0 / (lambda - 2.5)).abs() < 1e-10);
/// # Ok::<(), String>(())
/// ```
pub struct Fallback<T> {
    first: Box<dyn LinearSolver<T>>,
    policy: Policy<T>,
}

impl<T: Element> Fallback<T> {
    /// `first` is one that ends with [`Status::NegativeCurvature`] or [`Status::Diverges`] where the operator is
    /// indefinite; [`Cg::or`](super::Cg::or) makes one.
    pub fn new(first: Box<dyn LinearSolver<T>>, policy: Policy<T>) -> Self {
        Fallback { first, policy }
    }

    /// Solves (A + μI) x = b, with a larger μ for as long as that is indefinite; `unsolved` is the residual before.
    fn shifted(
        &self,
        a: &mut dyn LinearOperator<T>,
        b: &[T],
        space: &mut SolverSpace<T>,
        mut shift: f64,
        unsolved: f64,
    ) -> (Status, Stats) {
        let mut total = Stats { residual: unsolved, ..Stats::default() };
        let mut status = Status::Singular;
        for _ in 0..ATTEMPTS {
            // Nothing is known to be large enough: the curvature met is 0, and so is λ.
            if shift <= 0.0 {
                break;
            }
            let solution = self.first.solve(&mut Shifted::new(a, shift), b, space);
            status = solution.status;
            total = solution.stats.after(total);
            total.shift = shift;
            if !indefinite(status) {
                break;
            }
            shift = (2.0 * shift).max(shift + floor(a, solution.stats.least_curvature));
        }
        (status, total)
    }

    /// The least curvature that a few Lanczos steps from b show.
    fn ritz(a: &mut dyn LinearOperator<T>, b: &[T], space: &mut SolverSpace<T>, stats: &mut Stats) -> f64 {
        let Some(exponent) = scale_exponent(b) else { return 0.0 };
        scaled_copy(b, -exponent, &mut space.vectors[1]);
        Ritz::new(a, space.isa, &mut space.vectors, &mut space.scalars, stats).map_or(0.0, |ritz| ritz.least())
    }
}

/// Whether a solver ended so because the operator is not positive definite.
fn indefinite(status: Status) -> bool {
    matches!(status, Status::NegativeCurvature | Status::Diverges)
}

/// The shift that makes the least curvature met δ.
fn floor<T>(a: &dyn LinearOperator<T>, least: f64) -> f64 {
    let lambda = a.shift();
    if lambda > 0.0 { FLOOR * lambda - least } else { -2.0 * least }
}

impl<T: Element> LinearSolver<T> for Fallback<T> {
    fn room(&self) -> Room {
        let room = self.first.room();
        match &self.policy {
            Policy::Another(solver) => room.or(solver.room()),
            Policy::RaiseLambda => room.or(ROOM),
            Policy::Damp | Policy::GaussNewton => room,
        }
    }

    fn in_lanes(&self) -> Option<CgLanes> {
        // The first stops where the operator is indefinite: that system is then told apart, and solved here.
        self.first.in_lanes()
    }

    fn needs(&self) -> Needs {
        let needs = self.first.needs();
        match &self.policy {
            Policy::Another(solver) => Needs {
                secant_pairs: needs.secant_pairs.max(solver.needs().secant_pairs),
                gauss_newton: needs.gauss_newton || solver.needs().gauss_newton,
            },
            Policy::GaussNewton => Needs { gauss_newton: true, ..needs },
            Policy::Damp | Policy::RaiseLambda => needs,
        }
    }

    fn solve<'s>(&self, a: &mut dyn LinearOperator<T>, b: &[T], space: &'s mut SolverSpace<T>) -> Solution<'s, T> {
        let Solution { status, stats, .. } = self.first.solve(a, b, space);
        if !indefinite(status) {
            return Solution { value: &space.x, status, stats };
        }
        let mut before = stats;
        let (status, stats) = match &self.policy {
            Policy::Another(solver) => {
                let solution = solver.solve(a, b, space);
                (solution.status, solution.stats)
            }
            Policy::Damp => {
                let shift = floor(a, before.least_curvature);
                self.shifted(a, b, space, shift, before.residual)
            }
            Policy::RaiseLambda => {
                let least = Self::ritz(a, b, space, &mut before).min(before.least_curvature);
                let shift = a.shift() - 2.0 * least;
                let (status, stats) = self.shifted(a, b, space, shift, before.residual);
                (status, Stats { raised: stats.shift > 0.0, ..stats })
            }
            Policy::GaussNewton => match a.gauss_newton() {
                Some(a) => {
                    let solution = self.first.solve(a, b, space);
                    (solution.status, solution.stats)
                }
                None => (status, Stats { residual: stats.residual, ..Stats::default() }),
            },
        };
        Solution { value: &space.x, status, stats: Stats { policy_acted: true, ..stats.after(before) } }
    }
}
