//! The inner level: a step recorded once serves both running and differentiating.
//!
//! A step maps a state to a new state, state′ = S(state, ∇_φG(φ, θ)), φ being the first |φ| numbers of the state.
//! Running it is the *point* stage of one plan. At the same point that plan's later stages multiply by
//! derivatives of the step or of G, and they reuse whatever the point has already computed.
//!
//! Every derivative of the step needs one thing of G, the tangent of its gradient along φ:
//!
//! ```text
//! c ↦ (∇²_φφG c,  (∂_θ∇_φG)ᵀ c)        forward over reverse, of the gradient with respect to φ and θ
//! ```
//!
//! since ∇²_φφG is symmetric and the mixed block of the full Hessian is the transpose of the other.

mod adam;
mod adaptation;
mod bundle;
mod compile;
mod curvature;
mod descent;
mod differences;
mod falling;
mod gradient_descent;
mod hessian_free;
mod kink;
mod krylov;
mod lanes;
mod lbfgs;
mod line_search;
mod min_norm;
mod momentum;
mod nesterov;
mod newton;
mod outer;
mod plan;
mod pullback;
mod pushforward;
mod rate;
mod recorded;
mod run;
mod scheduled;
mod solved;
mod solver;
mod stages;
mod step;
mod watch;

use autodiff::Arg;

pub use adam::Adam;
pub use adaptation::{Adaptation, SolverOfSteps};
pub use descent::Descent;
pub(crate) use falling::Falling;
pub use gradient_descent::GradientDescent;
pub use hessian_free::HessianFree;
pub(crate) use lanes::MOST_LANES;
pub use lbfgs::Lbfgs;
pub use momentum::Momentum;
pub use nesterov::Nesterov;
pub use outer::OuterPlan;
pub use plan::InnerPlan;
pub use rate::Rate;
pub(crate) use rate::curvature_bound;
pub use run::Run;
pub use scheduled::Scheduled;
pub use solved::{InnerStatus, InnerStop, Solved, Stationarity};
pub use solver::{InnerSolver, InnerTask};
pub use step::{GradientOnly, Numbers, Step, StepAt, StepInputs};
pub use watch::Watch;
pub(crate) use watch::WithGradient;

#[cfg(doc)]
use crate::problem::Problem;

/// What the direction stage of an [`InnerPlan`] multiplies by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Derivative {
    /// Nothing: for methods that do not differentiate the inner level.
    None,
    /// c ↦ ∇²_φφG c, and in the adjoint stage c ↦ (∂_θ∇_φG)ᵀ c.
    Hessian,
    /// c ↦ [I Jᵀ] ∇²ℓ [I; J] c, for G = ℓ(φ, z(φ)) with the [outputs](Problem::outputs) z and J = ∂z/∂φ: JᵀH_out J of
    /// the loss's Hessian in the outputs, and λ of the prox term (Schraudolph 2002). It lacks the curvature of z and is
    /// positive semidefinite for convex ℓ. In the adjoint stage as for `Hessian`, which is exact.
    GaussNewton,
    /// c ↦ JᵀF J c + λ c with the [Fisher matrix](Problem::fisher_of_outputs) F of the outputs in the place of H_out,
    /// else as `GaussNewton`: the same for softmax cross-entropy, width/2 of its first term for the mean squared error
    /// (F is that of a variance of 1, and no mean over the width).
    Fisher,
    /// w ↦ (∂S/∂state)ᵀ w and (∂S/∂θ)ᵀ w.
    Pullback,
    /// (ṡ, θ̇, λ̇, α̇) ↦ ∂S/∂state ṡ + ∂S/∂θ θ̇ + ∂S/∂λ λ̇ + ∂S/∂α α̇.
    Pushforward,
    /// w ↦ the pullback of the step up to the gradient that it is made with; in the adjoint stage ∇_φG and ∇_θG. For
    /// methods that take no second derivative of G.
    Differences,
}

/// Numbers that scale the inner problem, the same for all tasks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hyper {
    /// λ of the prox term.
    pub lambda: f64,
    /// Step size of the inner optimiser.
    pub rate: f64,
}

/// What one run of the point stage measured, at the state it started from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// G(φ, θ)
    pub value: f64,
    /// ‖∇_φG(φ, θ)‖
    pub gradient_norm: f64,
}

/// The slices that every stage of an [`InnerPlan`] is run with.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a, T> {
    /// θ
    pub theta: &'a [T],
    /// λ and the step size, in the plan's precision.
    pub hyper: &'a [T; 2],
    /// The task.
    pub data: &'a [Arg<'a, T>],
    /// Which step this is, where the plan's steps are not all the same.
    pub step: Option<&'a StepInputs<T>>,
}

impl<'a, T> Inputs<'a, T> {
    /// For steps that are all the same.
    pub fn new(theta: &'a [T], hyper: &'a [T; 2], data: &'a [Arg<'a, T>]) -> Self {
        Inputs { theta, hyper, data, step: None }
    }
}

/// The most data inputs a problem may have: they are bound on the stack.
pub(crate) const MOST_DATA: usize = 12;
