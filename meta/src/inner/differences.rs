//! What differences of ∇G take the place of: the step differentiated up to the gradient that it is made with.

use autodiff::{Element, Stage, Tape, Var, Workspace, jvp_structural, vjp_structural};

use super::{InnerPlan, Inputs};

/// A recorded step, and what it is a function of.
pub(super) struct Step<'t> {
    pub tape: &'t Tape,
    pub state: Var<'t>,
    pub phi: Var<'t>,
    pub theta: Var<'t>,
    /// ∇_φG and ∇_θG.
    pub gradients: [Var<'t>; 2],
    pub next: Var<'t>,
}

impl<'t> Step<'t> {
    /// Adds the outputs; says whether θ has a part.
    pub fn record(&self, gradient_variable: Var<'t>, w: Var<'t>, outputs: &mut Vec<(Stage, Var<'t>)>) -> bool {
        let parts = vjp_structural(&[(self.next, w)], &[self.state, gradient_variable, self.theta]);
        let zeros = |like: Var<'t>| Var::full(self.tape, 0.0, like.shape());
        let or_zeros = |part: Option<Var<'t>>, like: Var<'t>| part.unwrap_or_else(|| zeros(like));
        // Whether ∇_θG changes with φ at all: if so its differences are wanted.
        let mixed = parts[1].and_then(|c| jvp_structural(&[self.gradients[1]], &[(self.phi, c)])[0]).is_some();
        let in_theta = mixed || parts[2].is_some();
        outputs.push((Stage::DIRECTION, or_zeros(parts[0], self.state)));
        outputs.push((Stage::DIRECTION, or_zeros(parts[1], gradient_variable)));
        outputs.push((Stage::ADJOINT, self.gradients[0]));
        if in_theta {
            outputs.push((Stage::DIRECTION, or_zeros(parts[2], self.theta)));
            outputs.push((Stage::ADJOINT, self.gradients[1]));
        }
        in_theta
    }
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
