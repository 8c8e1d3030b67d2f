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

use super::budget::{OverBudget, UnrollSizes};
use super::revolve::Action;
use super::{Method, Report, Schedule, Worker};
use crate::inner::{Derivative, Falling, GradientDescent, Hyper, InnerPlan, OuterPlan, Rate, Run, Step};
use crate::problem::Problem;

/// What is kept of K inner steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Keep {
    /// Every point's residuals: K × residuals.
    #[default]
    Everything,
    /// Every state; residuals are recomputed: K × |state| + residuals.
    Iterates,
    /// This many states, on a binomial schedule: S × |state| + residuals. With S ≥ K this is `Iterates`.
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
    /// Of the states that are kept, where points are run again.
    schedule: Schedule,
    rate: Rate,
}

impl<T: Element> Unrolled<T> {
    /// `steps` of gradient descent.
    pub fn new(problem: &dyn Problem, steps: usize, keep: Keep) -> Self {
        Self::with_step(problem, &GradientDescent, steps, keep)
    }

    /// With another inner optimiser.
    pub fn with_step(problem: &dyn Problem, step: &dyn Step, steps: usize, keep: Keep) -> Self {
        let inner = InnerPlan::new(problem, step, Derivative::Pullback);
        Self::keeping(inner, OuterPlan::new(problem), steps, keep)
    }

    /// Gradient descent whose step size is found for each task ([`Rate::Auto`]): 1/L, and where G rises in a step, half
    /// of that from the first step on. It is a constant of the task, which the gradient does not go through. For
    /// problems that learn no rate of their own.
    ///
    /// # Panics
    /// Where steps see minibatches: G of one says nothing of a rise from another.
    #[track_caller]
    pub fn automatic(problem: &dyn Problem, steps: usize, keep: Keep) -> Self {
        assert!(problem.minibatch().is_none(), "automatic: a rise of G cannot be told where each step sees other data");
        Unrolled { rate: Rate::Auto, ..Self::new(problem, steps, keep) }
    }

    /// The exact gradient through `steps` steps, keeping as much as `bytes` allow: [`Method::bytes`] is at most that.
    /// The bits do not depend on it.
    ///
    /// # Errors
    /// Where one kept state is too much, with the least that it takes.
    ///
    /// ```
    /// use meta::inner::GradientDescent;
    /// use meta::method::{Keep, Method, Unrolled};
    /// use meta::FewShot;
    ///
    /// let problem = FewShot::new("mlp:1-40-40-1".parse().unwrap(), 10, 10, false);
    /// let within = |bytes| Unrolled::<f32>::within(&problem, &GradientDescent, 100, bytes);
    /// let (all, few) = (within(64 << 20).unwrap(), within(400_000).unwrap());
    /// assert_eq!(all.keep(), Keep::Everything);
    /// assert!(matches!(few.keep(), Keep::Checkpoints(_)) && few.bytes() <= 400_000);
    /// assert!(within(1_000).is_err_and(|e| e.least > 1_000));
    /// ```
    pub fn within(problem: &dyn Problem, step: &dyn Step, steps: usize, bytes: usize) -> Result<Self, OverBudget> {
        let inner = InnerPlan::new(problem, step, Derivative::Pullback);
        let outer = OuterPlan::new(problem);
        let keep = Keep::within(&UnrollSizes::of(&inner, &outer), steps, bytes)?;
        Ok(Self::keeping(inner, outer, steps, keep))
    }

    fn keeping(inner: InnerPlan<T>, outer: OuterPlan<T>, steps: usize, keep: Keep) -> Self {
        let (blocks, states) = keep.counts(steps);
        let schedule = if blocks == 0 && !matches!(keep, Keep::Last(_)) {
            Schedule::new(steps, states)
        } else {
            Schedule { actions: Vec::new() }
        };
        Unrolled { inner, outer, steps, keep, schedule, rate: Rate::Given }
    }

    /// Bytes of its parts.
    pub fn sizes(&self) -> UnrollSizes {
        UnrollSizes::of(&self.inner, &self.outer)
    }

    /// What it keeps.
    pub fn keep(&self) -> Keep {
        self.keep
    }
}

impl<T: Element> Method<T> for Unrolled<T> {
    fn shared_worker(&self, threads: usize) -> Box<dyn Worker<T> + '_> {
        let (blocks, states) = self.keep.counts(self.steps);
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
        self.sizes().bytes(self.keep, self.steps)
    }

    fn flops(&self, report: &Report) -> u64 {
        let plan = self.inner.plan();
        report.evaluations.max(report.steps) as u64 * plan.flops(Stage::POINT)
            + (report.inner_products + report.products) as u64 * plan.flops(Stage::DIRECTION)
            + plan.flops(Stage::DATA)
            + self.outer.flops()
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
    /// φ_K ← `run.state`, w ← ∂f/∂φ_K, gradient ← ∂f/∂θ.
    fn measure(&mut self, theta: &[T], data: &[Arg<'_, T>], gradient: &mut [T]) -> f64 {
        let Unrolled { inner, outer, .. } = self.method;
        self.phi.copy_from_slice(&self.run.state[..inner.dim()]);
        self.w.fill(T::zero());
        let (_, _, _, inputs) = self.run.parts(theta, data);
        outer.gradient(&mut self.outer, &inputs, &self.phi, &mut self.w[..inner.dim()], gradient)
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

    /// Forward through all steps, keeping the last points; then back through those.
    fn through_points(&mut self, theta: &[T], data: &[Arg<'_, T>], gradient: &mut [T]) -> Report {
        let Unrolled { inner, steps, .. } = self.method;
        let mut report = Report { products: self.blocks.len(), ..Report::default() };
        let first = steps - self.blocks.len();
        for k in 0..*steps {
            if k < first {
                report.saw(self.run.advance(inner, theta, data, k));
                continue;
            }
            self.states[k - first].copy_from_slice(&self.run.state);
            report.saw(self.run.advance(inner, theta, data, k));
            self.run.workspace.swap(Stage::POINT, &mut self.blocks[k - first]);
        }
        report.query_loss = self.measure(theta, data, gradient);
        for i in (0..self.blocks.len()).rev() {
            self.run.workspace.swap(Stage::POINT, &mut self.blocks[i]);
            self.run.state.copy_from_slice(&self.states[i]);
            self.run.at_step(inner, first + i);
            self.pull(theta, data, gradient);
        }
        report
    }

    /// Back through all steps on the schedule. Its first way forward is the run itself: no step is run for the query
    /// loss alone, and none twice where all states are kept but for its own reversal.
    fn on_schedule(&mut self, theta: &[T], data: &[Arg<'_, T>], gradient: &mut [T]) -> Report {
        let Unrolled { inner, steps, schedule, .. } = self.method;
        let mut report = Report::default();
        for action in &schedule.actions {
            match *action {
                Action::Restore { slot, .. } => self.run.state.copy_from_slice(&self.states[slot]),
                Action::Store { slot, .. } => self.states[slot].copy_from_slice(&self.run.state),
                Action::Advance { from, to } => {
                    for k in from..to {
                        let measured = self.run.advance(inner, theta, data, k);
                        if k == report.steps {
                            report.saw(measured);
                        }
                    }
                }
                Action::Reverse { step } => {
                    self.run.at_step(inner, step);
                    let measured = self.run.look(inner, theta, data);
                    if step + 1 == *steps {
                        report.saw(measured);
                        self.run.accept();
                        report.query_loss = self.measure(theta, data, gradient);
                        self.run.accept();
                    }
                    self.pull(theta, data, gradient);
                }
            }
        }
        report.products = *steps;
        report
    }
}

impl<T: Element> Worker<T> for UnrolledWorker<'_, T> {
    fn gradient(&mut self, theta: &[T], hyper: Hyper, data: &[Arg<'_, T>], gradient: &mut [T]) -> Report {
        let Unrolled { inner, steps, rate, .. } = self.method;
        let found = (*rate == Rate::Auto).then(|| {
            let UnrolledWorker { run, phi, w, pulled, in_theta, .. } = self;
            Falling { plan: inner, theta, hyper, data, steps: *steps }.rate(run, ([phi, w, pulled], in_theta))
        });
        let hyper = found.map_or(hyper, |found| Hyper { rate: found.rate, ..hyper });
        self.run.start(inner, theta, hyper, data);
        let mut report = if self.method.schedule.actions.is_empty() {
            self.through_points(theta, data, gradient)
        } else {
            self.on_schedule(theta, data, gradient)
        };
        if let Some(found) = found {
            report.evaluations = report.steps + found.evaluations;
            report.inner_products = found.products;
        }
        inner.add_start_cotangent(&self.w, gradient);
        report
    }

    fn phi(&self) -> &[T] {
        &self.phi
    }
}
