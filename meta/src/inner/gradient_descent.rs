//! φ′ = φ − α ∇G

use autodiff::Var;

use super::Step;

/// Gradient descent: φ′ = φ − α ∇G(φ).
#[derive(Clone, Copy, Debug, Default)]
pub struct GradientDescent;

impl Step for GradientDescent {
    fn record<'t>(&self, phi: Var<'t>, gradient: Var<'t>, rate: Var<'t>) -> Var<'t> {
        phi - rate * gradient
    }
}
