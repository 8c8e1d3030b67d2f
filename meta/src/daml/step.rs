//! The inner step: gradient descent that cannot run away.

use autodiff::{Real, Var};

use crate::inner::{Step, StepAt};

/// φ′ = φ − c tanh(α ∇G / c): no coordinate moves further than c in one step.
///
/// A learned loss has no scale of its own, and grows until steps overshoot; Yu et al. clip gradients element by element
/// for that. This is their clipping made smooth, so that meta-gradients pass through it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoundedDescent {
    /// c
    pub most: f64,
}

impl Step for BoundedDescent {
    fn record<'t>(&self, at: &StepAt<'t>) -> Var<'t> {
        at.state - self.most * (at.rate * at.gradient / self.most).tanh()
    }
}
