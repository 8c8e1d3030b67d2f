//! Convex inner problems, known well enough for a proof.
//!
//! A [`Problem`](crate::Problem) is recorded for the engine; a [`ConvexTask`] is one task of it a second time, in
//! `f64`, by formulas of its own, together with constants that hold everywhere. A
//! [`Certificate`](crate::error::Certificate) rests on the second alone, whatever computed the first.
//!
//! | recorded | known | L_support | L_query |
//! |---|---|---|---|
//! | [`Head`] | [`HeadTask`] | a softmax or ridge head on fixed features | the same loss on the query set |
//! | [`Quadratic`] | [`QuadraticTask`] | ½ φᵀAφ − bᵀφ | ½ ‖φ − c‖² |

mod head;
mod head_task;
mod loss;
mod quadratic;

pub use head::Head;
pub use head_task::{HeadTask, Rows};
pub use loss::HeadLoss;
pub use quadratic::{Quadratic, QuadraticTask};

/// Half a unit in the last place of 1.
pub(crate) const UNIT: f64 = f64::EPSILON / 2.0;

/// What holds of a task everywhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// ∇²L_support ⪰ this: of a quadratic it may be below 0, of heads it is not.
    pub convexity: f64,
    /// ∇²L_support ⪯ this.
    pub curvature: f64,
    /// ρ: ‖∇²L_support(φ) − ∇²L_support(φ′)‖ ≤ ρ ‖φ − φ′‖.
    pub lipschitz: f64,
    /// [`spread`](ConvexTask::spread)(e) ≤ this · ‖e‖.
    pub spread: f64,
    /// L: ‖∇²L_query‖ ≤ L.
    pub outer_curvature: f64,
    /// ‖∇²L_query(φ) − ∇²L_query(φ′)‖ ≤ this · ‖φ − φ′‖.
    pub outer_lipschitz: f64,
}

/// One task whose L_support is convex: values of its derivatives, each with a bound on its own rounding error.
///
/// L_support is *self-concordant in the generalised sense* (Bach 2010): along every direction e and at every φ, with
/// H = ∇²L_support(φ) and σ = `spread(e)`,
///
/// ```text
/// |D³L[d, d, e]| ≤ σ dᵀHd        |D⁴L[d, d, e, e]| ≤ σ² dᵀHd        so  e^{−σ} H ⪯ ∇²L(φ + e) ⪯ e^{σ} H
/// ```
///
/// Vectors are as long as [`dim`](ConvexTask::dim); other lengths panic. Every method that writes returns a bound on
/// the Euclidean norm of the rounding error of what it wrote.
pub trait ConvexTask {
    /// |φ|
    fn dim(&self) -> usize;
    /// What holds everywhere.
    fn bounds(&self) -> &Bounds;
    /// out ← ∇L_support(φ)
    fn gradient(&self, phi: &[f64], out: &mut [f64]) -> f64;
    /// out ← ∇²L_support(φ) c
    fn hessian(&self, phi: &[f64], c: &[f64], out: &mut [f64]) -> f64;
    /// out ← ∇³L_support(φ)[a, b]
    fn third(&self, phi: &[f64], a: &[f64], b: &[f64], out: &mut [f64]) -> f64;
    /// out ← ∇L_query(φ)
    fn outer_gradient(&self, phi: &[f64], out: &mut [f64]) -> f64;
    /// out ← ∇²L_query(φ) c
    fn outer_hessian(&self, phi: &[f64], c: &[f64], out: &mut [f64]) -> f64;
    /// σ(e), a bound on how fast H changes along e: 0 where it is constant.
    fn spread(&self, e: &[f64]) -> f64;
}

/// The extreme eigenvalues of a symmetric matrix, row-major, moved outwards by more than their rounding error: of the
/// eigenvalue algorithm some n roundings of ‖A‖, and `formed` roundings of `size` for how A was made.
pub(crate) fn extreme_eigenvalues(a: Vec<f64>, n: usize, formed: f64, size: f64) -> [f64; 2] {
    let matrix = nalgebra::DMatrix::from_row_slice(n, n, &a);
    let slack = UNIT * (16.0 * n as f64 * matrix.norm() + formed * size);
    let eigenvalues = matrix.symmetric_eigenvalues();
    [eigenvalues.min() - slack, eigenvalues.max() + slack]
}

/// xᵀy
pub(crate) fn dot(x: &[f64], y: &[f64]) -> f64 {
    assert_eq!(x.len(), y.len(), "dot: lengths");
    x.iter().zip(y).map(|(a, b)| a * b).sum()
}

/// ‖x‖
pub(crate) fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}
