//! An inner run: a workspace, and the state as it moves.

use autodiff::{Arg, Element, Workspace};

use super::{Hyper, InnerPlan, Inputs, Measured, StepInputs, Watch};

/// A thread's memory for an inner run.
pub struct Run<T> {
    /// Where the plan runs.
    pub workspace: Workspace<T>,
    /// The state.
    pub state: Vec<T>,
    /// What the plan's step made of it.
    pub next: Vec<T>,
    hyper: [T; 2],
    step: StepInputs<T>,
    /// What is remembered of the points looked at, where something is.
    pub watch: Option<Watch<T>>,
}

impl<T: Element> Run<T> {
    /// Memory for runs of this plan, whose larger steps up to `threads` threads share.
    pub fn new(plan: &InnerPlan<T>, threads: usize) -> Self {
        let zeros = || vec![T::zero(); plan.state_len()];
        Run {
            workspace: plan.plan().shared_workspace(threads),
            state: zeros(),
            next: zeros(),
            hyper: [T::zero(); 2],
            step: plan.step_inputs(),
            watch: None,
        }
    }

    /// Bytes of a run of this plan.
    pub fn bytes(plan: &InnerPlan<T>) -> usize {
        plan.plan().bytes() + 2 * plan.state_len() * size_of::<T>() + plan.step_bytes()
    }

    /// state ← φ₀, its other parts 0, at step 0.
    pub fn start(&mut self, plan: &InnerPlan<T>, theta: &[T], hyper: Hyper, data: &[Arg<'_, T>]) {
        self.hyper = [T::from_f64(hyper.lambda), T::from_f64(hyper.rate)];
        plan.first_state(theta, &mut self.state);
        self.at_step(plan, 0);
        if let Some(watch) = &mut self.watch {
            watch.restart();
        }
        plan.start(&mut self.workspace, &Inputs { theta, hyper: &self.hyper, data, step: Some(&self.step) });
    }

    /// Changes the step size of a run that has started; what was looked at has to be looked at again.
    pub fn set_rate(&mut self, plan: &InnerPlan<T>, theta: &[T], data: &[Arg<'_, T>], rate: f64) {
        self.hyper[1] = T::from_f64(rate);
        plan.start(&mut self.workspace, &Inputs { theta, hyper: &self.hyper, data, step: Some(&self.step) });
    }

    /// What is done next is done as in step k.
    pub fn at_step(&mut self, plan: &InnerPlan<T>, k: usize) {
        plan.set_step(&mut self.step, k);
    }

    /// λ and the step size.
    pub fn hyper(&self) -> [T; 2] {
        self.hyper
    }

    /// The workspace, the state and what plans are run with, all at once.
    pub fn parts<'a>(
        &'a mut self,
        theta: &'a [T],
        data: &'a [Arg<'a, T>],
    ) -> (&'a mut Workspace<T>, &'a [T], &'a mut [T], Inputs<'a, T>) {
        let Run { workspace, state, next, hyper, step, .. } = self;
        (workspace, state, next, Inputs { theta, hyper, data, step: Some(step) })
    }

    /// Measures at the state and writes S(state) to `next`, without moving.
    pub fn look(&mut self, plan: &InnerPlan<T>, theta: &[T], data: &[Arg<'_, T>]) -> Measured {
        let (workspace, state, next, inputs) = self.parts(theta, data);
        let measured = plan.step(workspace, &inputs, state, next);
        if let Some(watch) = &mut self.watch {
            watch.see(&self.state, &self.next);
        }
        measured
    }

    /// state ← next
    pub fn accept(&mut self) {
        std::mem::swap(&mut self.state, &mut self.next);
    }

    /// state ← S(state), as step k.
    pub fn advance(&mut self, plan: &InnerPlan<T>, theta: &[T], data: &[Arg<'_, T>], k: usize) -> Measured {
        self.at_step(plan, k);
        let measured = self.look(plan, theta, data);
        self.accept();
        measured
    }
}
