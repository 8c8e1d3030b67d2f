//! What differences of ∇G take the place of: the step differentiated up to the gradient that it is made with.

use autodiff::{Element, Stage, Var, Workspace, jvp_structural, vjp_structural};

use super::recorded::{Derived, Recorded};
use super::{InnerPlan, Inputs};

/// What w is pulled back to, up to the gradient; and the gradients.
pub(super) fn derive<'t>(step: &Recorded<'t>, w: Var<'t>) -> Derived<'t> {
    let Recorded { state, gradients, gradient_variable, next, .. } = *step;
    let parts = vjp_structural(&[(next, w)], &[state, gradient_variable, step.at.theta]);
    // Whether ∇_θG changes with φ at all: if so its differences are wanted.
    let mixed = parts[1].and_then(|c| jvp_structural(&[gradients[1]], &[(step.at.phi, c)])[0]).is_some();
    let in_theta = mixed || parts[2].is_some();
    let mut outputs = vec![
        (Stage::DIRECTION, step.or_zeros(parts[0], state)),
        (Stage::DIRECTION, step.or_zeros(parts[1], gradient_variable)),
        (Stage::ADJOINT, gradients[0]),
    ];
    if in_theta {
        outputs.push((Stage::DIRECTION, step.or_zeros(parts[2], step.at.theta)));
        outputs.push((Stage::ADJOINT, gradients[1]));
    }
    Derived { outputs, in_theta }
}

impl<T: Element> InnerPlan<T> {
    /// The step S(state, ∇_φG, θ) at the last point, pulled back as if the gradient were a constant: direct ←
    /// (∂S/∂state)ᵀ w, into_gradient ← (∂S/∂∇_φG)ᵀ w, into_theta ← (∂S/∂θ)ᵀ w, left alone where nothing depends on θ
    /// (of a plan made for [`Derivative::Differences`](super::Derivative::Differences)).
    pub fn pullback_to_gradient(
        &self,
        workspace: &mut Workspace<T>,
        inputs: &Inputs<'_, T>,
        state: &[T],
        w: &[T],
        [direct, into_gradient, into_theta]: [&mut [T]; 3],
    ) {
        let mut outputs = [direct, into_gradient, into_theta];
        let count = 2 + usize::from(self.in_theta);
        self.run(Stage::DIRECTION, workspace, inputs, [state, w, &[]], &mut outputs[..count]);
    }

    /// in_phi ← ∇_φG, in_theta ← ∇_θG at the last point, the latter left alone where nothing depends on θ (of a plan
    /// made for [`Derivative::Differences`](super::Derivative::Differences)).
    pub fn gradients(
        &self,
        workspace: &mut Workspace<T>,
        inputs: &Inputs<'_, T>,
        state: &[T],
        in_phi: &mut [T],
        in_theta: &mut [T],
    ) {
        let mut outputs = [in_phi, in_theta];
        let count = 1 + usize::from(self.in_theta);
        self.run(Stage::ADJOINT, workspace, inputs, [state, &[], &[]], &mut outputs[..count]);
    }
}
