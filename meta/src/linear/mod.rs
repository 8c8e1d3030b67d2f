//! Solvers of A x = b for a symmetric A that can only be multiplied by.
//!
//! | solver | A may be | memory beside x and r | it minimises, in its Krylov space |
//! |---|---|---|---|
//! | [`Cg`] | positive definite | 2 vectors | ‖x − x*‖ in A's norm |
//! | [`Minres`] | indefinite | 5 vectors | ‖r‖ |
//! | [`Gmres`] | anything nonsingular | m + 3 vectors | ‖r‖ |
//! | [`Neumann`] | positive definite | 3 vectors | nothing: a fixed polynomial |
//! | [`Dense`] | anything nonsingular | a matrix | ‖r‖ = 0 |
//!
//! All start, restart and end alike: b is scaled by a power of two, convergence is claimed of true residuals only.

mod cg;
mod cycles;
mod dense;
mod gmres;
mod minres;
mod neumann;
mod secant;
mod space;

use std::fmt;

pub use cg::Cg;
pub use dense::Dense;
pub use gmres::Gmres;
pub use minres::Minres;
pub use neumann::Neumann;
pub use secant::SecantPairs;
pub use space::{Parts, Room, SolverSpace};

/// A square matrix, known by its products.
pub trait LinearOperator<T> {
    /// Rows and columns.
    fn dim(&self) -> usize;
    /// y ← A x
    fn apply(&mut self, x: &[T], y: &mut [T]);
}

/// Something that solves A x = b.
pub trait LinearSolver<T>: Send + Sync {
    /// Solves from x = 0. The answer lives in `space`, which was made with this solver's [`room`](LinearSolver::room).
    ///
    /// # Panics
    /// Where lengths differ, or the space was made for a solver that needs less.
    fn solve<'s>(&self, a: &mut dyn LinearOperator<T>, b: &[T], space: &'s mut SolverSpace<T>) -> Solution<'s, T>;

    /// What a [`SolverSpace`] for it has to hold.
    fn room(&self) -> Room;
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
    /// The true residual meets the tolerance, or is zero.
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
    /// ‖b − A x‖ / ‖b‖ at the end: true where a tolerance was asked for, by recurrence otherwise.
    pub residual: f64,
    /// Directions with pᵀAp ≤ 0 met.
    pub negative_curvature: usize,
}

/// What to do where pᵀAp ≤ 0: the quadratic that CG minimises has no minimum there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum OnNegativeCurvature {
    /// Go on: the recurrences still hold, and for nonsingular A the last iterate is still the solution.
    #[default]
    GoOn,
    /// Stop, with the last iterate before that direction.
    Stop,
}
