//! b′ = μ b + ∇G, φ′ = φ − α (∇G + μ b′)

use autodiff::Var;

use super::step::{joined, parts};
use super::{Step, StepAt};

/// Nesterov's momentum, in PyTorch's form: b′ = μ b + ∇G(φ), φ′ = φ − α (∇G(φ) + μ b′), from b = 0.
///
/// State: (φ, b), 2|φ| numbers. Source: Sutskever, Martens, Dahl & Hinton 2013, equations 3 and 4. Differs from the
/// paper in: 1. φ here is the point looked ahead to, where the gradient is taken (Bengio, Boulanger-Lewandowski &
/// Pascanu 2012, equation 7); 2. the step size multiplies all of the step, as in PyTorch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nesterov {
    mu: f64,
}

impl Nesterov {
    /// With this μ, 0.9 where nothing is known.
    ///
    /// # Panics
    /// Where μ is not in [0, 1).
    #[track_caller]
    pub fn new(mu: f64) -> Self {
        assert!((0.0..1.0).contains(&mu), "momentum {mu}: expected a number from 0 up to, but not, 1");
        Nesterov { mu }
    }
}

impl Step for Nesterov {
    fn state_len(&self, dim: usize) -> usize {
        2 * dim
    }

    fn record<'t>(&self, at: &StepAt<'t>) -> Var<'t> {
        let [phi, b] = parts(at);
        let b = self.mu * b + at.gradient;
        joined([phi - at.rate * (at.gradient + self.mu * b), b])
    }
}
