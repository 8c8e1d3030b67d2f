//! Transforms of recorded programs. Each appends to the same tape, so primal values are shared.
//!
//! ```text
//! forward mode     jvp     evaluate on duals
//! reverse mode     vjp     evaluate on duals, transpose the linear part
//! Hessian-vector   hvp     evaluate the gradient on duals
//! many at once     vmap    evaluate with one more axis
//! less kept        recompute   evaluate what is cheap once more in a later stage
//! scaled once      split_scale   take scalars out of what a linear function is taken of
//! ```
//!
//! The variables differentiated with respect to are inputs, or values made variables by
//! [`Var::cut`](crate::Var::cut): the program is cut there, and whatever lies before them is constant.

mod jvp;
mod recompute;
mod scale;
mod vjp;
mod vmap;

pub(crate) use jvp::ancestors;
pub use jvp::{jvp, jvp_structural};
pub use recompute::recompute;
pub use vjp::{grad, vjp, vjp_structural};
pub use vmap::{Batched, vmap, vmap_lanes};

use crate::tape::Var;

/// ∇²f v: the tangent of the gradient, forward over reverse.
///
/// `along` pairs variables with directions (shapes agree); the result is, for each of `wrt`,
/// Σⱼ ∂²f/∂wrtᵢ∂alongⱼ · vⱼ, so mixed second derivatives are the same call.
///
/// # Panics
/// Where f is not a single number, or a direction has another shape than its variable.
///
/// ```
/// use autodiff::{hvp, Plan, Real, Stage, Tape};
/// let tape = Tape::new();
/// let (x, v) = (tape.input("x", [2], Stage::POINT), tape.input("v", [2], Stage::DIRECTION));
/// let f = x.powi(3).sum_all();
/// let product = hvp(f, &[x], &[(x, v)])[0];
/// let plan: Plan<f64> = Plan::compile(&tape, &[product]);
/// assert_eq!(plan.evaluate(&[&[2.0, 3.0], &[1.0, 1.0]])[0], [12.0, 18.0]);
/// ```
#[track_caller]
pub fn hvp<'t>(f: Var<'t>, wrt: &[Var<'t>], along: &[(Var<'t>, Var<'t>)]) -> Vec<Var<'t>> {
    jvp(&grad(f, wrt), along)
}
