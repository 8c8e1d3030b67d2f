//! φ′ = φ − α ∇G

use autodiff::Var;

use super::{Step, StepAt};

/// Gradient descent: φ′ = φ − α ∇G(φ).
#[derive(Clone, Copy, Debug, Default)]
pub struct GradientDescent;

impl Step for GradientDescent {
    fn record<'t>(&self, at: &StepAt<'t>) -> Var<'t> {
        at.state - at.rate * at.gradient
    }
}
