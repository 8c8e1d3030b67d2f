//! The plans that a method is made of, for one task and, where it pays, for several at a time.

use autodiff::Element;

use crate::inner::{Derivative, InnerPlan, OuterPlan, Run, Step};
use crate::problem::Problem;

/// The inner level and the outer loss.
pub(super) struct Plans<T> {
    pub inner: InnerPlan<T>,
    pub outer: OuterPlan<T>,
}

impl<T: Element> Plans<T> {
    /// For one task.
    pub fn new(problem: &dyn Problem, step: &dyn Step, derivative: Derivative) -> Self {
        Plans { inner: InnerPlan::new(problem, step, derivative), outer: OuterPlan::new(problem) }
    }

    /// For several at a time, [where that pays](autodiff::Plan::lanes).
    pub fn in_lanes(&self, problem: &dyn Problem, step: &dyn Step, derivative: Derivative) -> Option<Self> {
        let lanes = self.inner.plan().lanes(self.bytes())?;
        let inner = InnerPlan::in_lanes(problem, step, derivative, lanes);
        Some(Plans { inner, outer: OuterPlan::in_lanes(problem, lanes) })
    }

    /// Whether θ is read where it is not φ₀.
    pub fn read_theta(&self) -> bool {
        self.inner.reads_theta() || self.outer.reads_theta()
    }

    /// Numbers of ∂f/∂θ; 0 where f depends on θ through φ alone.
    pub fn direct_len(&self) -> usize {
        if self.outer.in_theta() { self.inner.theta_dim() } else { 0 }
    }

    /// Of workspaces and states.
    pub fn bytes(&self) -> usize {
        Run::bytes(&self.inner) + self.outer.plan().bytes()
    }
}
