//! One direction of one's own gradient, against differences: the check that any problem can have.

use autodiff::Arg;

use super::differences::derivative;
use crate::inner::Hyper;
use crate::method::Method;

/// The largest step of the differences, and how often it is halved: from where Richardson's error, h⁴, counts to where
/// rounding does.
const LARGEST: f64 = 0.03;
const HALVINGS: usize = 7;

/// Relative rounding of a value of F.
const NOISE: f64 = 1e-15;

/// A slope two ways.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Along {
    /// ⟨dF/dθ, u⟩ by the method.
    pub gradient: f64,
    /// d/dt F(θ + t u) at t = 0 by differences of the values that the method measures.
    pub differences: f64,
    /// How far that can be trusted: |differences − truth|, estimated.
    pub uncertainty: f64,
}

impl Along {
    /// |gradient − differences| / |differences|; not finite where the differences are 0.
    pub fn relative_error(&self) -> f64 {
        (self.gradient - self.differences).abs() / self.differences.abs()
    }
}

/// The slope of F along u by a method's gradient and by Richardson's differences of its
/// [`query_loss`](crate::Report::query_loss), at steps of at most 0.03 u.
///
/// They agree where the gradient is that of what the method computes: for an unrolled one that keeps all steps, whose size
/// is given, always; for an implicit one where its inner solver goes to the end. For first-order methods and Reptile they
/// do not: those are no derivatives.
///
/// # Panics
/// Where lengths differ from what the problem declares.
pub fn along(method: &dyn Method<f64>, theta: &[f64], hyper: Hyper, data: &[Arg<'_, f64>], u: &[f64]) -> Along {
    assert_eq!(theta.len(), u.len(), "along: θ and the direction differ in length");
    let mut worker = method.worker();
    let mut gradient = vec![0.0; theta.len()];
    worker.gradient(theta, hyper, data, &mut gradient);
    let slope = gradient.iter().zip(u).map(|(g, u)| g * u).sum();
    let found = derivative(LARGEST, HALVINGS, NOISE, |t| {
        let moved: Vec<f64> = theta.iter().zip(u).map(|(x, u)| x + t * u).collect();
        vec![worker.gradient(&moved, hyper, data, &mut gradient).query_loss]
    });
    Along { gradient: slope, differences: found.value[0], uncertainty: found.error }
}
