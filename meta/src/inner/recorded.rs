//! A recorded step, which every derivative starts from.

use autodiff::{Stage, Tape, Var};

use crate::problem::At;

/// A step, and what it is a function of.
pub(super) struct Recorded<'t> {
    pub tape: &'t Tape,
    /// What G was recorded with.
    pub at: At<'t>,
    /// λ and the step size, as inputs.
    pub hyper: [Var<'t>; 2],
    pub state: Var<'t>,
    /// ∇_φG and ∇_θG.
    pub gradients: [Var<'t>; 2],
    /// What the step sees of ∇_φG.
    pub gradient_variable: Var<'t>,
    pub next: Var<'t>,
}

impl<'t> Recorded<'t> {
    /// A value, or zeros in the shape of another where it is a structural zero.
    pub fn or_zeros(&self, value: Option<Var<'t>>, like: Var<'t>) -> Var<'t> {
        value.unwrap_or_else(|| Var::full(self.tape, 0.0, like.shape()))
    }
}

/// What a derivative adds to a plan.
#[derive(Default)]
pub(super) struct Derived<'t> {
    pub outputs: Vec<(Stage, Var<'t>)>,
    /// Whether it has a part in θ.
    pub in_theta: bool,
}

/// a + b, where either may be a structural zero.
pub(super) fn add<'t>(a: Option<Var<'t>>, b: Option<Var<'t>>) -> Option<Var<'t>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}
