//! An inner run: a workspace, and the state as it moves.

use autodiff::{Aligned, Arg, Element, Workspace};

use super::{Hyper, InnerPlan, Inputs, Measured, StepInputs, Watch};

/// A thread's memory for an inner run.
pub struct Run<T> {
    /// Where the plan runs.
    pub workspace: Workspace<T>,
    /// The state.
    pub state: Aligned<T>,
    /// What the plan's step made of it.
    pub next: Aligned<T>,
    hyper: [T; 2],
    step: StepInputs<T>,
    /// The step that what is done is done as.
    at: usize,
    /// What was measured at the last point looked at, of each task.
    pub measured: Vec<Measured>,
    /// What is remembered of the points looked at, where something is.
    pub watch: Option<Watch<T>>,
}

impl<T: Element> Run<T> {
    /// Memory for runs of this plan, whose larger steps up to `threads` threads share.
    pub fn new(plan: &InnerPlan<T>, threads: usize) -> Self {
        let zeros = || Aligned::zeroed(plan.state_len());
        Run {
            workspace: plan.plan().shared_workspace(threads),
            state: zeros(),
            next: zeros(),
            hyper: [T::zero(); 2],
            step: plan.step_inputs(),
            at: 0,
            measured: vec![Measured::default(); plan.lanes()],
            watch: None,
        }
    }

    /// Bytes of a run of this plan.
    pub fn bytes(plan: &InnerPlan<T>) -> usize {
        plan.plan().bytes() + 2 * plan.state_len() * size_of::<T>() + plan.step_bytes()
    }

    /// state ← φ₀, its other parts 0, at step 0.
    pub fn start(&mut self, plan: &InnerPlan<T>, theta: &[T], hyper: Hyper, data: &[Arg<'_, T>]) {
        self.start_in_lanes(plan, [theta; 2], hyper, data);
    }

    /// The same of a plan for several tasks, with θ of one and in all lanes.
    pub fn start_in_lanes(&mut self, plan: &InnerPlan<T>, [one, theta]: [&[T]; 2], hyper: Hyper, data: &[Arg<'_, T>]) {
        self.hyper = [T::from_f64(hyper.lambda), T::from_f64(hyper.rate)];
        plan.first_state(one, &mut self.state);
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
        self.at = k;
        plan.set_step(&mut self.step, k);
    }

    /// The step as which was done what was done last.
    pub fn step(&self) -> usize {
        self.at
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

    /// Measures at the state and writes S(state) to `next`, without moving. Of several tasks it gives what the first
    /// measured.
    pub fn look(&mut self, plan: &InnerPlan<T>, theta: &[T], data: &[Arg<'_, T>]) -> Measured {
        let Run { workspace, state, next, hyper, step, measured, .. } = self;
        plan.step_in_lanes(workspace, &Inputs { theta, hyper, data, step: Some(step) }, state, next, measured);
        let measured = measured[0];
        self.seen();
        measured
    }

    /// Writes S(state) to `next` without measuring or moving.
    pub fn glance(&mut self, plan: &InnerPlan<T>, theta: &[T], data: &[Arg<'_, T>]) {
        let (workspace, state, next, inputs) = self.parts(theta, data);
        plan.step_in_lanes(workspace, &inputs, state, next, &mut []);
        self.seen();
    }

    /// Writes S(state) to `next` where no derivative is taken at the state: nothing is measured or kept of it.
    pub fn pass(&mut self, plan: &InnerPlan<T>, theta: &[T], data: &[Arg<'_, T>]) {
        let (workspace, state, next, inputs) = self.parts(theta, data);
        plan.step_through(workspace, &inputs, state, next);
        self.seen();
    }

    /// What watches sees the step.
    fn seen(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.see(&self.state, &self.next);
        }
    }

    /// kept ← state, state ← next; what `kept` held is lost.
    pub fn accept_keeping(&mut self, kept: &mut Aligned<T>) {
        std::mem::swap(&mut self.state, kept);
        self.accept();
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
