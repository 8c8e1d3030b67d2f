//! Backpropagation through the inner steps (MAML: Finn, Abbeel & Levine 2017).
//!
//! ```text
//! w_K = ∂f/∂φ_K        w_k = (∂S/∂φ_k)ᵀ w_{k+1}        dF/dθ = ∂f/∂θ + w_0 + Σ_k (∂S/∂θ)ᵀ w_{k+1}
//! ```
//!
//! The pullback is one linear function per step; the methods differ in what they keep of the trajectory, and
//! those that keep less run steps again. Recomputing repeats the same plan on the same numbers, so all of
//! them, the truncated one apart, give the same bits.

use autodiff::{Arg, Block, Element, Stage, Workspace};

use super::revolve::Action;
use super::{Method, Report, Schedule, Worker, take_steps};
use crate::inner::{Derivative, GradientDescent, Hyper, InnerPlan, OuterPlan, Run, Step};
use crate::problem::Problem;

/// What is kept of K inner steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Keep {
    /// Every point's residuals: K × residuals.
    #[default]
    Everything,
    /// Every state; residuals are recomputed: K × |state| + residuals.
    Iterates,
    /// This many states, on a binomial schedule: S × |state| + residuals.
    Checkpoints(usize),
    /// The last m points; w_{K−m} goes to θ as if φ_{K−m} were θ. m × residuals. With m = 0 this is
    /// first-order MAML.
    Last(usize),
}

/// The gradient through every inner step, or the last few.
pub struct Unrolled<T> {
    inner: InnerPlan<T>,
    outer: OuterPlan<T>,
    steps: usize,
    keep: Keep,
    schedule: Schedule,
}

impl<T: Element> Unrolled<T> {
    /// `steps` of gradient descent.
    pub fn new(problem: &dyn Problem, steps: usize, keep: Keep) -> Self {
        Self::with_step(problem, &GradientDescent, steps, keep)
    }

    /// With another inner optimiser.
    pub fn with_step(problem: &dyn Problem, step: &dyn Step, steps: usize, keep: Keep) -> Self {
        let inner = InnerPlan::new(problem, step, Derivative::Pullback);
        let schedule = match keep {
            Keep::Checkpoints(count) => Schedule::new(steps, count),
            _ => Schedule { actions: Vec::new() },
        };
        Unrolled { inner, outer: OuterPlan::new(problem), steps, keep, schedule }
    }

    /// Points pulled back through, blocks and states kept.
    fn sizes(&self) -> (usize, usize, usize) {
        match self.keep {
            Keep::Everything => (self.steps, self.steps, self.steps),
            Keep::Iterates => (self.steps, 0, self.steps),
            Keep::Checkpoints(count) => (self.steps, 0, count.min(self.steps)),
            Keep::Last(m) => (m.min(self.steps), m.min(self.steps), m.min(self.steps)),
        }
    }
}

impl<T: Element> Method<T> for Unrolled<T> {
    fn shared_worker(&self, threads: usize) -> Box<dyn Worker<T> + '_> {
        let (_, blocks, states) = self.sizes();
        let zeros = |n| vec![T::zero(); n];
        Box::new(UnrolledWorker {
            method: self,
            run: Run::new(&self.inner, threads),
            outer: self.outer.plan().shared_workspace(threads),
            blocks: (0..blocks).map(|_| self.inner.block()).collect(),
            states: (0..states).map(|_| zeros(self.inner.state_len())).collect(),
            phi: zeros(self.inner.dim()),
            w: zeros(self.inner.state_len()),
            pulled: zeros(self.inner.state_len()),
            in_theta: zeros(self.inner.theta_dim()),
        })
    }

    fn bytes(&self) -> usize {
        let (_, blocks, states) = self.sizes();
        let vectors =
            (self.inner.dim() + self.inner.theta_dim() + (2 + states) * self.inner.state_len()) * size_of::<T>();
        let blocks = blocks * self.inner.plan().kept_bytes(Stage::POINT);
        Run::bytes(&self.inner) + self.outer.plan().bytes() + vectors + blocks
    }

    fn flops(&self, report: &Report) -> u64 {
        let plan = self.inner.plan();
        report.steps as u64 * plan.flops(Stage::POINT)
            + report.products as u64 * plan.flops(Stage::DIRECTION)
            + plan.flops(Stage::DATA)
            + self.outer.plan().flops(Stage::POINT)
    }
}

struct UnrolledWorker<'m, T> {
    method: &'m Unrolled<T>,
    run: Run<T>,
    outer: Workspace<T>,
    blocks: Vec<Block<T>>,
    states: Vec<Vec<T>>,
    phi: Vec<T>,
    w: Vec<T>,
    pulled: Vec<T>,
    in_theta: Vec<T>,
}

impl<T: Element> UnrolledWorker<'_, T> {
    /// Forward through all steps, keeping the points from step `first` on.
    fn forward(&mut self, theta: &[T], data: &[Arg<'_, T>], first: usize) -> Report {
        let Unrolled { inner, steps, .. } = self.method;
        let mut report = Report::default();
        for k in 0..*steps {
            let kept = k.checked_sub(first);
            if let Some(state) = kept.and_then(|i| self.states.get_mut(i)) {
                state.copy_from_slice(&self.run.state);
            }
            let measured = self.run.advance(inner, theta, data, k);
            report.saw(measured);
            if let Some(block) = kept.and_then(|i| self.blocks.get_mut(i)) {
                self.run.workspace.swap(Stage::POINT, block);
            }
        }
        report
    }

    /// w ← (∂S/∂state)ᵀ w at `run.state`, whose point is in the workspace; θ's part is added to `gradient`.
    fn pull(&mut self, theta: &[T], data: &[Arg<'_, T>], gradient: &mut [T]) {
        let inner = &self.method.inner;
        let (workspace, state, _, inputs) = self.run.parts(theta, data);
        inner.pullback(workspace, &inputs, state, &self.w, &mut self.pulled, &mut self.in_theta);
        std::mem::swap(&mut self.w, &mut self.pulled);
        if inner.in_theta() {
            inner.plan().isa().add_scaled(T::one(), &self.in_theta, gradient);
        }
    }
}

impl<T: Element> Worker<T> for UnrolledWorker<'_, T> {
    fn gradient(&mut self, theta: &[T], hyper: Hyper, data: &[Arg<'_, T>], gradient: &mut [T]) -> Report {
        let Unrolled { inner, outer, steps, keep, schedule } = self.method;
        let (pulled, ..) = self.method.sizes();
        // The step that the i-th kept point is of.
        let step = |i: usize| steps - pulled + i;
        self.run.start(inner, theta, hyper, data);
        let first = match keep {
            // With checkpoints the way back starts from the beginning.
            Keep::Checkpoints(_) => *steps,
            _ => steps - pulled,
        };
        let mut report = self.forward(theta, data, first);
        self.phi.copy_from_slice(&self.run.state[..inner.dim()]);

        self.w.fill(T::zero());
        let (_, _, _, inputs) = self.run.parts(theta, data);
        let w = &mut self.w[..inner.dim()];
        report.query_loss = outer.gradient(&mut self.outer, &inputs, &self.phi, w, gradient);
        report.products = pulled;

        match keep {
            Keep::Everything | Keep::Last(_) => {
                for i in (0..pulled).rev() {
                    self.run.workspace.swap(Stage::POINT, &mut self.blocks[i]);
                    self.run.state.copy_from_slice(&self.states[i]);
                    self.run.at_step(inner, step(i));
                    self.pull(theta, data, gradient);
                }
            }
            Keep::Iterates => {
                for i in (0..pulled).rev() {
                    self.run.state.copy_from_slice(&self.states[i]);
                    self.run.at_step(inner, step(i));
                    self.run.look(inner, theta, data);
                    self.pull(theta, data, gradient);
                }
            }
            Keep::Checkpoints(_) => {
                self.run.start(inner, theta, hyper, data);
                for action in &schedule.actions {
                    match *action {
                        Action::Restore { slot, .. } => self.run.state.copy_from_slice(&self.states[slot]),
                        Action::Store { slot, .. } => self.states[slot].copy_from_slice(&self.run.state),
                        Action::Advance { from, to } => {
                            take_steps(&mut self.run, inner, theta, data, from..to);
                        }
                        Action::Reverse { step } => {
                            self.run.at_step(inner, step);
                            self.run.look(inner, theta, data);
                            self.pull(theta, data, gradient);
                        }
                    }
                }
            }
        }
        inner.add_start_cotangent(&self.w, gradient);
        report
    }

    fn phi(&self) -> &[T] {
        &self.phi
    }
}
