//! The tangent of a step, carried forward.
//!
//! ```text
//! ż′ = ∂S/∂state ż + ∂S/∂θ θ̇ + ∂S/∂λ λ̇ + ∂S/∂α α̇
//! ```
//!
//! The step is a function of the state, of ∇_φG and of its size, and ∇_φG has a tangent of its own:
//! ∇²_φφG φ̇ + ∂_θ∇_φG θ̇ + ∂_λ∇_φG λ̇.

use autodiff::{Element, Stage, Var, Workspace, jvp_structural};

use super::recorded::{Derived, Recorded};
use super::{InnerPlan, Inputs};

/// ż′ for the direction (ż, θ̇, λ̇, α̇), end to end.
pub(super) fn derive<'t>(step: &Recorded<'t>, direction: Var<'t>) -> Derived<'t> {
    let mut end = 0;
    let mut part = |of: Var<'t>| {
        let start = end;
        end += of.shape().numel();
        direction.slice(&[start], &[end])
    };
    let of = [step.state, step.at.theta, step.hyper[0], step.hyper[1]];
    let [state, theta, lambda, rate] = of.map(|v| (v, part(v)));
    let phi = (step.at.phi, direction.slice(&[0], &[step.at.phi.shape().numel()]));
    let gradient = jvp_structural(&[step.gradients[0]], &[phi, theta, lambda])[0];
    let mut along = vec![state, phi, theta, lambda, rate];
    along.extend(gradient.map(|tangent| (step.gradient_variable, tangent)));
    let tangent = step.or_zeros(jvp_structural(&[step.next], &along)[0], step.state);
    Derived { outputs: vec![(Stage::DIRECTION, tangent)], in_theta: false }
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
