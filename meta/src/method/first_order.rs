//! First-order MAML (Finn, Abbeel & Levine 2017, section 5.2): g = ∂f/∂φ at φ_K, as if ∂φ_K/∂θ were the identity.
//!
//! Parts of θ that only the way to φ_K depends on, such as a learned λ or step size, have gradient 0: they stay where
//! they started.

use autodiff::{Aligned, Arg, Element, Stage, Workspace};

use super::abreast::LaneWorker;
use super::plans::Plans;
use super::{Abreast, Method, Report, Worker, take_steps_in_lanes};
use crate::inner::{Derivative, GradientDescent, Hyper, MOST_LANES, Run, Step};
use crate::problem::Problem;

/// g = ∂f/∂θ + ∂f/∂φ at φ_K; keeps nothing of the inner trajectory.
pub struct FirstOrder<T> {
    plans: Plans<T>,
    lanes: Option<Plans<T>>,
    steps: usize,
}

impl<T: Element> FirstOrder<T> {
    /// `steps` of gradient descent.
    pub fn new(problem: &dyn Problem, steps: usize) -> Self {
        Self::with_step(problem, &GradientDescent, steps)
    }

    /// With another inner optimiser.
    pub fn with_step(problem: &dyn Problem, step: &dyn Step, steps: usize) -> Self {
        let plans = Plans::new(problem, step, Derivative::None);
        let lanes = plans.in_lanes(problem, step, Derivative::None);
        FirstOrder { plans, lanes, steps }
    }
}

impl<T: Element> Method<T> for FirstOrder<T> {
    fn shared_worker(&self, threads: usize) -> Box<dyn Worker<T> + '_> {
        Box::new(FirstOrderWorker::new(&self.plans, self.steps, threads))
    }

    fn abreast(&self) -> Option<Abreast<'_, T>> {
        let plans = self.lanes.as_ref()?;
        let worker = FirstOrderWorker::new(plans, self.steps, 1);
        Some(Abreast::new(worker, plans))
    }

    fn bytes(&self) -> usize {
        self.plans.bytes() + self.plans.inner.dim() * size_of::<T>()
    }

    fn flops(&self, report: &Report) -> u64 {
        let plan = self.plans.inner.plan();
        report.steps as u64 * plan.flops(Stage::POINT) + plan.flops(Stage::DATA) + self.plans.outer.flops()
    }
}

struct FirstOrderWorker<'m, T> {
    plans: &'m Plans<T>,
    steps: usize,
    run: Run<T>,
    outer: Workspace<T>,
    v: Aligned<T>,
}

impl<'m, T: Element> FirstOrderWorker<'m, T> {
    fn new(plans: &'m Plans<T>, steps: usize, threads: usize) -> Self {
        let Plans { inner, outer } = plans;
        let (run, outer) = (Run::new(inner, threads), outer.plan().shared_workspace(threads));
        FirstOrderWorker { plans, steps, run, outer, v: Aligned::zeroed(inner.dim()) }
    }
}

impl<T: Element> Worker<T> for FirstOrderWorker<'_, T> {
    fn gradient(&mut self, theta: &[T], hyper: Hyper, data: &[Arg<'_, T>], gradient: &mut [T]) -> Report {
        let mut report = [Report::default()];
        let holds = self.descend([theta; 2], hyper, data, gradient, &mut report);
        self.plans.inner.start_cotangent(&self.v, gradient, holds);
        report[0]
    }

    fn phi(&self) -> &[T] {
        &self.run.state[..self.plans.inner.dim()]
    }
}

impl<T: Element> LaneWorker<T> for FirstOrderWorker<'_, T> {
    fn take<'g>(
        &'g mut self,
        theta: [&[T]; 2],
        hyper: Hyper,
        data: &[Arg<'_, T>],
        gradient: &'g mut [T],
        reports: &mut [Report],
        _apart: &mut [bool],
    ) -> &'g [T] {
        let holds = self.descend(theta, hyper, data, gradient, reports);
        self.plans.inner.start_cotangent_of(&self.v, gradient, holds)
    }
}

impl<T: Element> FirstOrderWorker<'_, T> {
    /// v ← ∂f/∂φ after all steps; gradient ← ∂f/∂θ, where it then holds something. θ is given for one task and in all lanes.
    fn descend(
        &mut self,
        [one, theta]: [&[T]; 2],
        hyper: Hyper,
        data: &[Arg<'_, T>],
        gradient: &mut [T],
        reports: &mut [Report],
    ) -> bool {
        let Plans { inner, outer } = self.plans;
        self.run.start_in_lanes(inner, [one, theta], hyper, data);
        take_steps_in_lanes(&mut self.run, inner, theta, data, 0..self.steps, reports);
        let (_, state, _, inputs) = self.run.parts(theta, data);
        let mut losses = [0.0; MOST_LANES];
        let phi = &state[..inner.dim()];
        outer.gradient_in_lanes(&mut self.outer, &inputs, phi, &mut self.v, gradient, [&mut losses, &mut []]);
        reports.iter_mut().zip(losses).for_each(|(report, loss)| report.query_loss = loss);
        outer.in_theta()
    }
}
