//! φ′ = φ − α m̂ / √(v̂ + ε²)

use autodiff::{Real, Var};

use super::step::{joined, parts};
use super::{Numbers, Step, StepAt};

/// Adam (Kingma & Ba 2015, algorithm 1), with a derivative that is finite everywhere.
///
/// ```text
/// m′ = β₁ m + (1 − β₁) g        m̂ = m′ / (1 − β₁ᵏ⁺¹)        g = ∇G(φ), k = 0, 1, …
/// v′ = β₂ v + (1 − β₂) g²       v̂ = v′ / (1 − β₂ᵏ⁺¹)        φ′ = φ − α m̂ / √(v̂ + ε²)
/// ```
///
/// State: (φ, m, v), 3|φ| numbers, from m = v = 0. Differs from the paper in: 1. ε is inside the root. √v̂ + ε has an
/// infinite derivative at v̂ = 0, which is where every coordinate starts and where those whose gradient is exactly 0
/// stay; √(v̂ + ε²) lies between √v̂ and √v̂ + ε.
///
/// The derivative of a step is of size 1/ε where |g| ≲ ε: with the usual 1e-8, a coordinate on which G hardly depends
/// multiplies rounding by up to α/ε in every step that is unrolled. For unrolling, take an ε that is not small beside
/// the gradients that matter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    beta: [f64; 2],
    epsilon: f64,
}

impl Default for Adam {
    /// β = (0.9, 0.999), ε = 1e-8.
    fn default() -> Self {
        Adam { beta: [0.9, 0.999], epsilon: 1e-8 }
    }
}

impl Adam {
    /// With these β₁ and β₂.
    ///
    /// # Panics
    /// Where one is not in [0, 1).
    #[track_caller]
    pub fn with_betas(self, first: f64, second: f64) -> Self {
        let fits = |beta| (0.0..1.0).contains(&beta);
        assert!(fits(first) && fits(second), "betas {first} and {second}: expected numbers from 0 up to, but not, 1");
        Adam { beta: [first, second], ..self }
    }

    /// With this ε, at least 1e-15: its square must be a number of `f32` that can be divided by.
    ///
    /// # Panics
    /// Where it is less, or not finite.
    #[track_caller]
    pub fn with_epsilon(self, epsilon: f64) -> Self {
        assert!((1e-15..f64::INFINITY).contains(&epsilon), "epsilon {epsilon}: expected a number of at least 1e-15");
        Adam { epsilon, ..self }
    }
}

impl Step for Adam {
    fn state_len(&self, dim: usize) -> usize {
        3 * dim
    }

    /// 1 / (1 − βᵏ⁺¹) of both.
    fn numbers(&self) -> Option<Numbers> {
        let beta = self.beta;
        let at = move |k: usize, out: &mut [f64]| {
            for (number, beta) in out.iter_mut().zip(beta) {
                // expm1 keeps the digits that 1 − 0.999 loses.
                *number = -1.0 / ((k + 1) as f64 * beta.ln()).exp_m1();
            }
        };
        Some(Numbers { count: 2, at: Box::new(at) })
    }

    fn record<'t>(&self, at: &StepAt<'t>) -> Var<'t> {
        let ([phi, m, v], g, [b1, b2]) = (parts(at), at.gradient, self.beta);
        let m = b1 * m + (1.0 - b1) * g;
        let v = b2 * v + (1.0 - b2) * g.square();
        let root = (at.numbers[1] * v + self.epsilon * self.epsilon).sqrt();
        joined([phi - at.rate * (at.numbers[0] * m) / root, m, v])
    }
}
