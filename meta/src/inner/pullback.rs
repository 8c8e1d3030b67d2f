//! The step pulled back.

use autodiff::{Element, Stage, Var, Workspace, jvp_structural, vjp_structural};

use super::recorded::{Derived, Recorded, add};
use super::{InnerPlan, Inputs};

/// (∂S/∂state)ᵀ w and (∂S/∂θ)ᵀ w.
pub(super) fn derive<'t>(step: &Recorded<'t>, w: Var<'t>) -> Derived<'t> {
    let Recorded { state, gradient_variable, next, .. } = *step;
    // The step as a function of the state, the gradient and θ, each cut there; then the gradient.
    let cut = vjp_structural(&[(next, w)], &[state, gradient_variable, step.at.theta]);
    // A step size is taken to the end, where the state has a pass over it anyway.
    let into_gradient = cut[1].map(Var::split_scale);
    let through = |of| {
        let (scale, rest) = into_gradient?;
        jvp_structural(&[of], &[(step.at.phi, rest)])[0].map(|h| scale * h)
    };
    let pulled = through(step.gradients[0]).map(|h| h.pad(&[0], state.shape().dims()));
    let sum = step.or_zeros(add(cut[0], pulled), state);
    let mixed = add(cut[2], through(step.gradients[1]));
    let outputs = [Some(sum), mixed].into_iter().flatten().map(|y| (Stage::DIRECTION, y)).collect();
    Derived { outputs, in_theta: mixed.is_some() }
}

impl<T: Element> InnerPlan<T> {
    /// pulled ← (∂S/∂state)ᵀ w, in_theta ← (∂S/∂θ)ᵀ w at the last point (of a plan made for
    /// [`Derivative::Pullback`](super::Derivative::Pullback)); `in_theta` is left alone where the step does not depend on θ.
    pub fn pullback(
        &self,
        workspace: &mut Workspace<T>,
        inputs: &Inputs<'_, T>,
        state: &[T],
        w: &[T],
        pulled: &mut [T],
        in_theta: &mut [T],
    ) {
        let mut outputs = [pulled, in_theta];
        let count = 1 + usize::from(self.in_theta);
        self.run(Stage::DIRECTION, workspace, inputs, [state, w, &[]], &mut outputs[..count]);
    }
}
