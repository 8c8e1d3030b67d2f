//! Solvers of A x = b for a symmetric A that can only be multiplied by.
//!
//! | solver | A may be | memory beside x and r | it minimises, in its Krylov space |
//! |---|---|---|---|
//! | [`Cg`] | positive definite | 2 vectors | ‖x − x*‖ in A's norm |
//! | [`Preconditioned`] | positive definite | 2 vectors and the [`Preconditioner`]'s | the same, in the space of M⁻¹A |
//! | [`Minres`] | indefinite | 5 vectors | ‖r‖ |
//! | [`Gmres`] | anything nonsingular | m + 3 vectors | ‖r‖ |
//! | [`Neumann`] | positive definite | 3 vectors | nothing: a fixed polynomial |
//! | [`Dense`] | anything | a matrix | ‖r‖, and of what is as good ‖x‖ |
//!
//! All start, restart and end alike: b is scaled by a power of two; with a tolerance, convergence is claimed of true
//! residuals only, and of a number of iterations where nothing is left to add.
//!
//! | preconditioner | M is made of | its cost |
//! |---|---|---|
//! | [`Secant`] | the pairs of L-BFGS that the inner solver's points gave | 2 vectors a pair, no product |
//! | [`Nystrom`] | products with random vectors | rank + 1 vectors, rank products |
//!
//! What to do where A is indefinite is the user's choice: [`OnNegativeCurvature`] where the iteration itself goes on or
//! stops, [`Fallback`] where the system is solved another way.

mod cg;
mod cycles;
mod dense;
mod eigen;
mod fallback;
mod gmres;
mod lanczos;
mod lanes;
mod minres;
mod neumann;
mod nystrom;
mod operator;
mod precondition;
mod secant;
mod space;
mod tridiagonal;

use std::fmt;

pub use cg::{Cg, Preconditioned};
pub(crate) use cycles::{rescale, scale_exponent};
pub use dense::Dense;
pub use fallback::{Fallback, Policy};
pub use gmres::Gmres;
pub(crate) use lanczos::Ritz;
pub use lanes::{CgLanes, CgLanesSpace, LaneSolution};
pub use minres::Minres;
pub use neumann::Neumann;
pub use nystrom::Nystrom;
pub(crate) use operator::clear_others;
pub use operator::{LinearOperator, Shifted};
pub use precondition::{Held, Preconditioner, Secant};
pub use secant::SecantPairs;
pub use space::{Parts, Room, SolverSpace};
pub(crate) use tridiagonal::tridiagonal_eigen;

/// What a solver would have its operator know, beside products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// At most so many [`secant_pairs`](LinearOperator::secant_pairs); 0 for none.
    pub secant_pairs: usize,
    /// A [`gauss_newton`](LinearOperator::gauss_newton) matrix.
    pub gauss_newton: bool,
}

/// Something that solves A x = b.
pub trait LinearSolver<T>: Send + Sync {
    /// Solves from x = 0, or from what [`SolverSpace::start_from`] was given. The answer lives in `space`, which was
    /// made with this solver's [`room`](LinearSolver::room).
    ///
    /// # Panics
    /// Where lengths differ, or the space was made for a solver that needs less.
    fn solve<'s>(&self, a: &mut dyn LinearOperator<T>, b: &[T], space: &'s mut SolverSpace<T>) -> Solution<'s, T>;

    /// What a [`SolverSpace`] for it has to hold.
    fn room(&self) -> Room;

    /// The same for several systems at a time, where the solver takes as many products for each and decides nothing on
    /// the way but what a system can be told apart by.
    fn in_lanes(&self) -> Option<CgLanes> {
        None
    }

    /// What the operator should know beside its products. Solvers do without what it does not.
    fn needs(&self) -> Needs {
        Needs::default()
    }
}

/// What a solver found.
#[derive(Clone, Copy, Debug)]
pub struct Solution<'s, T> {
    /// x
    pub value: &'s [T],
    /// How the solve ended.
    pub status: Status,
    /// What it took.
    pub stats: Stats,
}

/// How a solve ended; its text says what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Status {
    /// The true residual meets the tolerance, or that of the iteration itself has vanished.
    #[default]
    Converged,
    /// As many iterations as were asked for.
    Finished,
    /// The cap on iterations came first.
    Capped,
    /// The residual no longer falls: the precision cannot reach the tolerance.
    Stagnated,
    /// A direction with pᵀAp ≤ 0 was met and the policy is to stop there.
    NegativeCurvature,
    /// |pᵀAp|, or a pivot, is at rounding: A is singular, as far as this precision can tell.
    Singular,
    /// A has an eigenvalue ≤ 0, with which a Neumann series diverges.
    Diverges,
    /// rᵀM⁻¹r ≤ 0: the preconditioner is not positive definite, as far as this precision can tell.
    Preconditioner,
    /// A product or b holds a NaN or an infinity.
    NotFinite,
}

impl Status {
    /// One word, for reports.
    pub fn name(self) -> &'static str {
        match self {
            Status::Converged => "converged",
            Status::Finished => "finished",
            Status::Capped => "capped",
            Status::Stagnated => "stagnated",
            Status::NegativeCurvature => "negative-curvature",
            Status::Singular => "singular",
            Status::Diverges => "diverges",
            Status::Preconditioner => "preconditioner",
            Status::NotFinite => "not-finite",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Converged => "converged to the tolerance",
            Status::Finished => "finished the iterations asked for",
            Status::Capped => "stopped at the iteration cap: allow more iterations or a larger tolerance",
            Status::Stagnated => "stagnated: this precision cannot reach the tolerance; use f64 or a larger tolerance",
            Status::NegativeCurvature => {
                "stopped at negative curvature: the operator is indefinite; raise lambda, or choose to go on"
            }
            Status::Singular => "the operator is singular as far as this precision can tell; raise lambda",
            Status::Diverges => {
                "the series diverges: the operator is not positive definite; raise lambda, or use MINRES"
            }
            Status::Preconditioner => {
                "the preconditioner is not positive definite in this precision; use another, none, or f64"
            }
            Status::NotFinite => "met a NaN or an infinity: lower the inner learning rate or look at the data",
        })
    }
}

/// What a solve took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Products with A.
    pub products: usize,
    /// Iterations.
    pub iterations: usize,
    /// ‖b − (A + μI) x‖ / ‖b‖ at the end, μ being the [`shift`](Stats::shift): true where a tolerance was asked for, by
    /// recurrence otherwise.
    pub residual: f64,
    /// Directions with pᵀAp ≤ 0 met.
    pub negative_curvature: usize,
    /// The least pᵀAp/pᵀp of those, which A's least eigenvalue is not above, where the solver has directions (CG, Neumann
    /// series, the least eigenvalue itself where dense); 0 where there were none.
    pub least_curvature: f64,
    /// Whether a policy for indefinite operators changed what was computed.
    pub policy_acted: bool,
    /// μ ≥ 0: it was (A + μI) x = b that was solved.
    pub shift: f64,
    /// Whether that is a larger λ: the caller's Λ is then Λ + μI, where it multiplies x, too.
    pub raised: bool,
}

impl Stats {
    /// These, of the last of several attempts, and what those `before` it took and met.
    fn after(self, before: Stats) -> Stats {
        Stats {
            products: before.products + self.products,
            negative_curvature: before.negative_curvature + self.negative_curvature,
            least_curvature: before.least_curvature.min(self.least_curvature),
            ..self
        }
    }

    /// Enters a direction with pᵀAp = `curvature` ≤ 0 and pᵀp = `square`.
    fn met_negative(&mut self, curvature: f64, square: f64) {
        self.negative_curvature += 1;
        self.least_curvature = self.least_curvature.min(curvature / square);
    }
}

/// What an iteration does where pᵀAp ≤ 0: the quadratic that CG minimises has no minimum there. What else can be done
/// takes another solve, of a [`Fallback`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum OnNegativeCurvature {
    /// Go on: the recurrences still hold, and for nonsingular A the last iterate is still the solution.
    #[default]
    GoOn,
    /// Stop, with the last iterate before that direction.
    Stop,
}
