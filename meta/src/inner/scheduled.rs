//! A step whose size depends on its number.

use std::sync::Arc;

use autodiff::Var;

use super::{Numbers, Step, StepAt};

/// The step S with α c(k) in place of α: the factor c is a pure function of the step's number k = 0, 1, ….
///
/// ```
/// use meta::inner::{Momentum, Scheduled, Step};
///
/// let step = Scheduled::cosine(Momentum::new(0.9), 10);
/// let mut factor = [0.0];
/// (step.numbers().unwrap().at)(5, &mut factor);
/// assert!((factor[0] - 0.5).abs() < 1e-15);
/// ```
#[derive(Clone)]
pub struct Scheduled<S> {
    step: S,
    factor: Arc<dyn Fn(usize) -> f64 + Send + Sync>,
}

impl<S> Scheduled<S> {
    /// c(k) = `factor(k)`, which must be a pure function: steps that are run again repeat it.
    pub fn new(step: S, factor: impl Fn(usize) -> f64 + Send + Sync + 'static) -> Self {
        Scheduled { step, factor: Arc::new(factor) }
    }

    /// c(k) = ½ (1 + cos πk/K): from 1 to 0 at step K (Loshchilov & Hutter 2017, without restarts); 0 after it.
    pub fn cosine(step: S, steps: usize) -> Self {
        Self::new(step, move |k| 0.5 + 0.5 * (std::f64::consts::PI * fraction(k, steps)).cos())
    }

    /// c(k) = 1 − k/K: from 1 to 0 at step K; 0 after it.
    pub fn linear(step: S, steps: usize) -> Self {
        Self::new(step, move |k| 1.0 - fraction(k, steps))
    }

    /// c(k) = γ^⌊k/every⌋
    ///
    /// # Panics
    /// Where `every` is 0.
    #[track_caller]
    pub fn steps(step: S, every: usize, gamma: f64) -> Self {
        assert!(every > 0, "a schedule that changes every 0 steps");
        Self::new(step, move |k| gamma.powi((k / every) as i32))
    }
}

fn fraction(k: usize, steps: usize) -> f64 {
    (k as f64 / steps.max(1) as f64).min(1.0)
}

impl<S: Step> Step for Scheduled<S> {
    fn state_len(&self, dim: usize) -> usize {
        self.step.state_len(dim)
    }

    /// c(k), then those of S.
    fn numbers(&self) -> Option<Numbers> {
        let (factor, inner) = (Arc::clone(&self.factor), self.step.numbers());
        let count = 1 + inner.as_ref().map_or(0, |n| n.count);
        let at = move |k: usize, out: &mut [f64]| {
            out[0] = factor(k);
            if let Some(inner) = &inner {
                (inner.at)(k, &mut out[1..]);
            }
        };
        Some(Numbers { count, at: Box::new(at) })
    }

    fn record<'t>(&self, at: &StepAt<'t>) -> Var<'t> {
        let rate = at.rate * at.numbers[0];
        self.step.record(&StepAt { rate, numbers: at.numbers[1..].to_vec(), ..at.clone() })
    }
}

impl<S: std::fmt::Debug> std::fmt::Debug for Scheduled<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduled").field("step", &self.step).finish_non_exhaustive()
    }
}
