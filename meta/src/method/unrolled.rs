//! Backpropagation through the inner steps (MAML: Finn, Abbeel & Levine 2017).
//!
//! ```text
//! w_K = ∂f/∂φ_K        w_k = (∂S/∂φ_k)ᵀ w_{k+1}        dF/dθ = ∂f/∂θ + w_0 + Σ_k (∂S/∂θ)ᵀ w_{k+1}
//! ```
//!
//! The pullback is one linear function per step; the methods differ in what they keep of the trajectory, and
//! those that keep less run steps again. Recomputing repeats the same plan on the same numbers, so all of
//! them, the truncated one apart, give the same bits.

use std::ops::Range;

use autodiff::{Aligned, Arg, Block, Element, Stage, Workspace};

use super::abreast::LaneWorker;
use super::budget::{OverBudget, UnrollSizes};
use super::plans::Plans;
use super::revolve::Action;
use super::segments::Segments;
use super::{Abreast, Method, Report, Schedule, Wanted, Worker, saw, see_start, see_step};
use crate::inner::{Derivative, Falling, GradientDescent, Hyper, MOST_LANES, Rate, Run, Step};
use crate::problem::Problem;

/// What is kept of K inner steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Keep {
    /// Every point's residuals: K × residuals. Of several tasks at a time those of a few steps that stay in a cache, and the
    /// steps before run again.
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
    plans: Plans<T>,
    lanes: Option<Plans<T>>,
    steps: usize,
    keep: Keep,
    /// Of the states that are kept, where points are run again.
    schedule: Schedule,
    rate: Rate,
}

impl<T: Element> Unrolled<T> {
    /// `steps` of gradient descent.
    ///
    /// # Panics
    /// Where steps are to run again from no checkpoint.
    #[track_caller]
    pub fn new(problem: &dyn Problem, steps: usize, keep: Keep) -> Self {
        Self::with_step(problem, &GradientDescent, steps, keep)
    }

    /// With another inner optimiser.
    ///
    /// # Panics
    /// As [`new`](Unrolled::new).
    #[track_caller]
    pub fn with_step(problem: &dyn Problem, step: &dyn Step, steps: usize, keep: Keep) -> Self {
        let plans = Plans::new(problem, step, Derivative::Pullback);
        let small = |lanes: &Plans<T>| Segments::of(lanes, keep, steps).bytes(lanes, keep, steps) <= MOST_KEPT;
        let lanes = plans.in_lanes(problem, step, Derivative::Pullback).filter(small);
        Unrolled { lanes, ..Self::keeping(plans, steps, keep) }
    }

    /// Gradient descent whose step size is found for each task ([`Rate::Auto`]): 1/L, and where G rises in a step, half
    /// of that from the first step on. It is a constant of the task, which the gradient does not go through. For
    /// problems that learn no rate of their own: the factor would not be of what is found.
    ///
    /// # Panics
    /// Where steps see minibatches: G of one says nothing of a rise from another.
    #[track_caller]
    pub fn automatic(problem: &dyn Problem, steps: usize, keep: Keep) -> Self {
        assert!(problem.minibatch().is_none(), "automatic: a rise of G cannot be told where each step sees other data");
        let plans = Plans::new(problem, &GradientDescent, Derivative::Pullback);
        Unrolled { rate: Rate::Auto, ..Self::keeping(plans, steps, keep) }
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
        let plans = Plans::new(problem, step, Derivative::Pullback);
        let keep = Keep::within(&UnrollSizes::of(&plans.inner, &plans.outer), steps, bytes)?;
        Ok(Self::keeping(plans, steps, keep))
    }

    /// One task at a time.
    fn keeping(plans: Plans<T>, steps: usize, keep: Keep) -> Self {
        let (blocks, states) = keep.counts(steps);
        let schedule = if blocks == 0 && !matches!(keep, Keep::Last(_)) {
            Schedule::new(steps, states)
        } else {
            Schedule { actions: Vec::new() }
        };
        Unrolled { plans, lanes: None, steps, keep, schedule, rate: Rate::Given }
    }

    /// Bytes of its parts.
    pub fn sizes(&self) -> UnrollSizes {
        UnrollSizes::of(&self.plans.inner, &self.plans.outer)
    }

    /// What it keeps.
    pub fn keep(&self) -> Keep {
        self.keep
    }
}

/// Bytes for all lanes beyond which tasks are taken one after the other.
const MOST_KEPT: usize = 64 << 20;

impl<T: Element> Method<T> for Unrolled<T> {
    fn shared_worker(&self, threads: usize) -> Box<dyn Worker<T> + '_> {
        Box::new(UnrolledWorker::new(self, &self.plans, threads))
    }

    fn abreast(&self) -> Option<Abreast<'_, T>> {
        let plans = self.lanes.as_ref()?;
        Some(Abreast::new(UnrolledWorker::new(self, plans, 1), plans))
    }

    fn bytes(&self) -> usize {
        self.sizes().bytes(self.keep, self.steps)
    }

    fn flops(&self, report: &Report) -> u64 {
        let plan = self.plans.inner.plan();
        report.evaluations.max(report.steps) as u64 * plan.flops(Stage::POINT)
            + (report.inner_products + report.products) as u64 * plan.flops(Stage::DIRECTION)
            + plan.flops(Stage::DATA)
            + self.plans.outer.flops()
    }
}

struct UnrolledWorker<'m, T> {
    method: &'m Unrolled<T>,
    plans: &'m Plans<T>,
    run: Run<T>,
    outer: Workspace<T>,
    /// The points of a segment.
    blocks: Vec<Block<T>>,
    states: Vec<Aligned<T>>,
    segments: Segments,
    /// Where segments start, the last one apart.
    starts: Vec<Aligned<T>>,
    phi: Vec<T>,
    w: Aligned<T>,
    pulled: Aligned<T>,
    in_theta: Aligned<T>,
}

/// Of one task, or of one in every lane.
impl<'m, T: Element> UnrolledWorker<'m, T> {
    fn new(method: &'m Unrolled<T>, plans: &'m Plans<T>, threads: usize) -> Self {
        let Plans { inner, outer } = plans;
        let segments = Segments::of(plans, method.keep, method.steps);
        let (blocks, states) = match (segments.points(), method.keep.counts(method.steps)) {
            (0, counts) => counts,
            (points, _) => (points, points),
        };
        let state = || Aligned::zeroed(inner.state_len());
        UnrolledWorker {
            method,
            plans,
            run: Run::new(inner, threads),
            outer: outer.plan().shared_workspace(threads),
            blocks: (0..blocks).map(|_| inner.block()).collect(),
            states: (0..states).map(|_| state()).collect(),
            segments,
            starts: (0..segments.starts()).map(|_| state()).collect(),
            phi: vec![T::zero(); inner.dim()],
            w: state(),
            pulled: state(),
            in_theta: Aligned::zeroed(inner.theta_dim()),
        }
    }

    /// φ_K ← `run.state`, w ← ∂f/∂φ_K, gradient ← ∂f/∂θ, where something in it depends on θ.
    fn measure(&mut self, theta: &[T], data: &[Arg<'_, T>], gradient: &mut [T], reports: &mut [Report]) {
        let Plans { inner, outer } = self.plans;
        let (w, rest) = self.w.split_at_mut(inner.dim());
        rest.fill(T::zero());
        let (_, state, _, inputs) = self.run.parts(theta, data);
        let (phi, mut losses) = (&state[..inner.dim()], [0.0; MOST_LANES]);
        if inner.in_theta() && !outer.in_theta() {
            gradient.fill(T::zero());
        }
        outer.gradient_in_lanes(&mut self.outer, &inputs, phi, w, gradient, [&mut losses, &mut []]);
        // Asked for of one task only.
        if inner.lanes() == 1 {
            self.phi.copy_from_slice(&self.run.state[..inner.dim()]);
        }
        reports.iter_mut().zip(losses).for_each(|(report, loss)| report.query_loss = loss);
    }

    /// w ← (∂S/∂state)ᵀ w at `run.state`, whose point is in the workspace; θ's part is added to `gradient`.
    fn pull(&mut self, theta: &[T], data: &[Arg<'_, T>], gradient: &mut [T]) {
        let inner = &self.plans.inner;
        let (workspace, state, _, inputs) = self.run.parts(theta, data);
        inner.pullback(workspace, &inputs, state, &self.w, &mut self.pulled, &mut self.in_theta);
        std::mem::swap(&mut self.w, &mut self.pulled);
        if inner.in_theta() {
            inner.plan().isa().add_scaled(T::one(), &self.in_theta, gradient);
        }
    }

    /// Forward through all steps, keeping the points of the last segment; then back through those, and through each
    /// segment before, which is run again.
    fn through_points(&mut self, theta: &[T], data: &[Arg<'_, T>], gradient: &mut [T], reports: &mut [Report]) {
        let (inner, steps, segments) = (&self.plans.inner, self.method.steps, self.segments);
        let last = segments.get(segments.starts());
        for k in 0..steps {
            if let Some(i) = (0..segments.starts()).find(|&i| segments.get(i).start == k) {
                self.starts[i].copy_from_slice(&self.run.state);
            }
            let wanted = match k {
                _ if k == 0 || k + 1 == steps => Wanted::Measures,
                _ if k >= last.start => Wanted::Derivatives,
                _ => Wanted::Step,
            };
            see_step(&mut self.run, inner, theta, data, (k, wanted), reports);
            match k.checked_sub(last.start) {
                None => self.run.accept(),
                Some(i) => self.keep(i),
            }
        }
        if steps == 0 {
            see_start(&mut self.run, inner, theta, data, reports);
        }
        self.measure(theta, data, gradient, reports);
        self.pull_through(last, theta, data, gradient);
        for i in (0..segments.starts()).rev() {
            let segment = segments.get(i);
            self.run.state.copy_from_slice(&self.starts[i]);
            for (i, k) in segment.clone().enumerate() {
                self.run.at_step(inner, k);
                self.run.glance(inner, theta, data);
                self.keep(i);
            }
            self.pull_through(segment, theta, data, gradient);
        }
    }

    /// Puts the point where the run is away, and moves on.
    fn keep(&mut self, i: usize) {
        self.run.accept_keeping(&mut self.states[i]);
        self.run.workspace.swap(Stage::POINT, &mut self.blocks[i]);
    }

    /// Back through the steps of a segment, whose points are kept.
    fn pull_through(&mut self, segment: Range<usize>, theta: &[T], data: &[Arg<'_, T>], gradient: &mut [T]) {
        for (i, k) in segment.enumerate().rev() {
            self.run.workspace.swap(Stage::POINT, &mut self.blocks[i]);
            std::mem::swap(&mut self.run.state, &mut self.states[i]);
            self.run.at_step(&self.plans.inner, k);
            self.pull(theta, data, gradient);
        }
    }

    /// Back through all steps on the schedule. Its first way forward is the run itself: no step is run for the query
    /// loss alone, and none twice where all states are kept but for its own reversal.
    fn on_schedule(&mut self, theta: &[T], data: &[Arg<'_, T>], gradient: &mut [T], reports: &mut [Report]) {
        let Unrolled { steps, schedule, .. } = self.method;
        let inner = &self.plans.inner;
        for action in &schedule.actions {
            match *action {
                Action::Restore { slot, .. } => self.run.state.copy_from_slice(&self.states[slot]),
                Action::Store { slot, .. } => self.states[slot].copy_from_slice(&self.run.state),
                Action::Advance { from, to } => {
                    for k in from..to {
                        if k == reports[0].steps {
                            let wanted = if k == 0 { Wanted::Measures } else { Wanted::Step };
                            see_step(&mut self.run, inner, theta, data, (k, wanted), reports);
                        } else {
                            self.run.at_step(inner, k);
                            self.run.pass(inner, theta, data);
                        }
                        self.run.accept();
                    }
                }
                Action::Reverse { step } => {
                    self.run.at_step(inner, step);
                    self.run.look(inner, theta, data);
                    if step + 1 == *steps {
                        saw(reports, &self.run);
                        self.run.accept();
                        self.measure(theta, data, gradient, reports);
                        self.run.accept();
                    }
                    self.pull(theta, data, gradient);
                }
            }
        }
    }
}

impl<T: Element> Worker<T> for UnrolledWorker<'_, T> {
    fn gradient(&mut self, theta: &[T], hyper: Hyper, data: &[Arg<'_, T>], gradient: &mut [T]) -> Report {
        let Unrolled { steps, rate, .. } = self.method;
        let inner = &self.plans.inner;
        let found = (*rate == Rate::Auto).then(|| {
            let UnrolledWorker { run, phi, w, pulled, in_theta, .. } = self;
            Falling { plan: inner, theta, hyper, data, steps: *steps }.rate(run, ([phi, w, pulled], in_theta))
        });
        let hyper = found.map_or(hyper, |found| Hyper { rate: found.rate, ..hyper });
        let mut report = [Report::default()];
        let holds = self.unroll([theta; 2], hyper, data, gradient, &mut report);
        inner.start_cotangent(&self.w, gradient, holds);
        let [mut report] = report;
        if let Some(found) = found {
            report.evaluations = report.steps + found.evaluations;
            report.inner_products = found.products;
        }
        report
    }

    fn phi(&self) -> &[T] {
        &self.phi
    }
}

impl<T: Element> LaneWorker<T> for UnrolledWorker<'_, T> {
    fn take<'g>(
        &'g mut self,
        theta: [&[T]; 2],
        hyper: Hyper,
        data: &[Arg<'_, T>],
        gradient: &'g mut [T],
        reports: &mut [Report],
        _apart: &mut [bool],
    ) -> &'g [T] {
        let holds = self.unroll(theta, hyper, data, gradient, reports);
        self.plans.inner.start_cotangent_of(&self.w, gradient, holds)
    }
}

impl<T: Element> UnrolledWorker<'_, T> {
    /// w ← the cotangent of the first state; gradient ← what else there is of θ, where it then holds something. θ is given
    /// for one task and in all lanes.
    fn unroll(
        &mut self,
        [one, theta]: [&[T]; 2],
        hyper: Hyper,
        data: &[Arg<'_, T>],
        gradient: &mut [T],
        reports: &mut [Report],
    ) -> bool {
        let Plans { inner, outer } = self.plans;
        self.run.start_in_lanes(inner, [one, theta], hyper, data);
        let products = if self.method.schedule.actions.is_empty() {
            self.through_points(theta, data, gradient, reports);
            self.method.keep.counts(self.method.steps).0
        } else {
            self.on_schedule(theta, data, gradient, reports);
            self.method.steps
        };
        reports.iter_mut().for_each(|report| report.products = products);
        outer.in_theta() || inner.in_theta()
    }
}
