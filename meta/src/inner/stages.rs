//! Running the inner level: steps, and products at the last point.

use autodiff::{Arg, Element, Plan, Stage, Workspace};

#[cfg(doc)]
use super::Derivative;
use super::{InnerPlan, Inputs, MOST_DATA, MOST_LANES, Measured};

/// A way to run a stage of a plan.
type Running<T> = fn(&Plan<T>, Stage, &mut Workspace<T>, &[Arg<'_, T>], &mut [&mut [T]]);

impl<T: Element> InnerPlan<T> {
    /// Runs a stage of the plan.
    pub(super) fn run(
        &self,
        stage: Stage,
        workspace: &mut Workspace<T>,
        inputs: &Inputs<'_, T>,
        of_point: [&[T]; 3],
        outputs: &mut [&mut [T]],
    ) {
        self.run_by(Plan::run, stage, workspace, inputs, of_point, outputs);
    }

    /// Runs a stage of the plan, by one of its ways to do so.
    fn run_by(
        &self,
        run: Running<T>,
        stage: Stage,
        workspace: &mut Workspace<T>,
        inputs: &Inputs<'_, T>,
        [state, direction, solution]: [&[T]; 3],
        outputs: &mut [&mut [T]],
    ) {
        let data = self.data.len();
        assert_eq!(inputs.data.len(), data, "as many data inputs as the problem declares");
        let mut args = [Arg::Floats(&[][..]); 8 + 2 * MOST_DATA];
        args[0] = inputs.theta.into();
        args[1] = inputs.hyper[..1].into();
        args[2] = inputs.hyper[1..].into();
        args[3] = state.into();
        args[4] = direction.into();
        args[5] = solution.into();
        args[6..6 + data].copy_from_slice(inputs.data);
        let mut count = 6 + data + self.unread;
        if self.varying.numbers.is_some() || self.varying.minibatch.is_some() {
            let step = inputs.step.expect("this plan's steps vary: they are run with StepInputs");
            if self.varying.numbers.is_some() {
                args[count] = step.numbers[..].into();
                count += 1;
            }
            if self.varying.minibatch.is_some() {
                args[count] = Arg::Indices(&step.rows);
                count += 1;
            }
        }
        run(&self.plan, stage, workspace, &args[..count], outputs);
    }

    /// Starts a task: computes what depends on nothing but its data and θ.
    pub fn start(&self, workspace: &mut Workspace<T>, inputs: &Inputs<'_, T>) {
        self.run(Stage::DATA, workspace, inputs, [&[]; 3], &mut []);
    }

    /// next ← S(state); keeps in `workspace` what derivatives at `state` need.
    pub fn step(&self, workspace: &mut Workspace<T>, inputs: &Inputs<'_, T>, state: &[T], next: &mut [T]) -> Measured {
        let mut measured = [Measured::default()];
        self.step_in_lanes(workspace, inputs, state, next, &mut measured);
        measured[0]
    }

    /// [`step`](InnerPlan::step) of a plan for several tasks, with what each measured; nothing is measured where there is
    /// no room for it.
    pub fn step_in_lanes(
        &self,
        workspace: &mut Workspace<T>,
        inputs: &Inputs<'_, T>,
        state: &[T],
        next: &mut [T],
        measured: &mut [Measured],
    ) {
        let (mut values, mut squares) = ([T::zero(); MOST_LANES], [T::zero(); MOST_LANES]);
        let count = if measured.is_empty() { 0 } else { self.lanes };
        let (values, squares) = (&mut values[..count], &mut squares[..count]);
        self.run(Stage::POINT, workspace, inputs, [state, &[], &[]], &mut [values, squares, next]);
        for ((m, value), square) in measured.iter_mut().zip(values).zip(squares) {
            *m = Measured { value: value.to_f64(), gradient_norm: square.to_f64().sqrt() };
        }
    }

    /// next ← S(state), where no derivative is taken at `state`: nothing is measured or kept of it, and what was kept of the
    /// last point is lost.
    pub fn step_through(&self, workspace: &mut Workspace<T>, inputs: &Inputs<'_, T>, state: &[T], next: &mut [T]) {
        let outputs = &mut [&mut [][..], &mut [], next];
        self.run_by(Plan::run_through, Stage::POINT, workspace, inputs, [state, &[], &[]], outputs);
    }

    /// product ← ∇²_φφG c at the last point, of a plan made for [`Derivative::Hessian`]; what stands for the Hessian, of
    /// one made for [`Derivative::GaussNewton`] or [`Derivative::Fisher`].
    pub fn hessian(
        &self,
        workspace: &mut Workspace<T>,
        inputs: &Inputs<'_, T>,
        state: &[T],
        c: &[T],
        product: &mut [T],
    ) {
        self.run(Stage::DIRECTION, workspace, inputs, [state, c, &[]], &mut [product]);
    }

    /// product ← (∂_θ∇_φG)ᵀ x at the last point, of a plan made for [`Derivative::Hessian`] or what stands for it.
    pub fn mixed(&self, workspace: &mut Workspace<T>, inputs: &Inputs<'_, T>, state: &[T], x: &[T], product: &mut [T]) {
        if self.in_theta {
            self.run(Stage::ADJOINT, workspace, inputs, [state, &[], x], &mut [product]);
        } else {
            product.fill(T::zero());
        }
    }
}
