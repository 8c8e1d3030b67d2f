//! b′ = μ b + ∇G, φ′ = φ − α b′

use autodiff::Var;

use super::step::{joined, parts};
use super::{Step, StepAt};

/// The heavy ball (Polyak 1964), in PyTorch's form: b′ = μ b + ∇G(φ), φ′ = φ − α b′, from b = 0.
///
/// State: (φ, b), 2|φ| numbers. Differs from the paper in: 1. the step size multiplies all of b′, so that a schedule
/// acts on the momentum too; with a constant α the two are the same.
///
/// ```
/// use meta::inner::Momentum;
/// use meta::method::{Keep, Method, Unrolled};
///
/// let problem = meta::FewShot::new("mlp:1-4-1,act=tanh".parse()?, 2, 2, false);
/// let method = Unrolled::<f64>::with_step(&problem, &Momentum::new(0.9), 10, Keep::Checkpoints(3));
/// assert!(method.bytes() > 0);
/// # Ok::<(), nn::SpecError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Momentum {
    mu: f64,
}

impl Momentum {
    /// With this μ, 0.9 where nothing is known.
    ///
    /// # Panics
    /// Where μ is not in [0, 1).
    #[track_caller]
    pub fn new(mu: f64) -> Self {
        assert!((0.0..1.0).contains(&mu), "momentum {mu}: expected a number from 0 up to, but not, 1");
        Momentum { mu }
    }
}

impl Step for Momentum {
    fn state_len(&self, dim: usize) -> usize {
        2 * dim
    }

    fn record<'t>(&self, at: &StepAt<'t>) -> Var<'t> {
        let [phi, b] = parts(at);
        let b = self.mu * b + at.gradient;
        joined([phi - at.rate * b, b])
    }
}
