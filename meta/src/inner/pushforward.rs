//! The tangent of a step, carried forward.
//!
//! ```text
//! ż′ = ∂S/∂state ż + ∂S/∂θ θ̇ + ∂S/∂λ λ̇ + ∂S/∂α α̇
//! ```
//!
//! The step is a function of the state, of ∇_φG and of its size, and ∇_φG has a tangent of its own:
//! ∇²_φφG φ̇ + ∂_θ∇_φG θ̇ + ∂_λ∇_φG λ̇.

use autodiff::{Element, Stage, Var, Workspace, jvp_structural};

use super::{InnerPlan, Inputs};

/// A recorded step, and what it is a function of.
pub(super) struct Step<'t> {
    pub state: Var<'t>,
    pub phi: Var<'t>,
    pub theta: Var<'t>,
    /// λ and the step size.
    pub hyper: [Var<'t>; 2],
    pub gradient: Var<'t>,
    /// What the step sees of it.
    pub gradient_variable: Var<'t>,
    pub next: Var<'t>,
}

impl<'t> Step<'t> {
    /// ż′ for the direction (ż, θ̇, λ̇, α̇), end to end.
    pub fn tangent(&self, direction: Var<'t>) -> Option<Var<'t>> {
        let mut end = 0;
        let mut part = |of: Var<'t>| {
            let start = end;
            end += of.shape().numel();
            direction.slice(&[start], &[end])
        };
        let [state, theta, lambda, rate] = [self.state, self.theta, self.hyper[0], self.hyper[1]].map(|v| (v, part(v)));
        let phi = (self.phi, direction.slice(&[0], &[self.phi.shape().numel()]));
        let gradient = jvp_structural(&[self.gradient], &[phi, theta, lambda])[0];
        let mut along = vec![state, phi, theta, lambda, rate];
        along.extend(gradient.map(|tangent| (self.gradient_variable, tangent)));
        jvp_structural(&[self.next], &along)[0]
    }
}

impl<T: Element> InnerPlan<T> {
    /// tangent ← ż′ at the last point, for `direction` = (ż, θ̇, λ̇, α̇): |state| + |θ| + 2 numbers (of a plan made for
    /// [`Derivative::Pushforward`](super::Derivative::Pushforward)).
    pub fn pushforward(
        &self,
        workspace: &mut Workspace<T>,
        inputs: &Inputs<'_, T>,
        state: &[T],
        direction: &[T],
        tangent: &mut [T],
    ) {
        self.run(Stage::DIRECTION, workspace, inputs, [state, direction, &[]], &mut [tangent]);
    }
}
