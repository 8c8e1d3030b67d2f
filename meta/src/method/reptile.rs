//! Reptile (Nichol, Achiam & Schulman 2018): g = θ − φ_K. The query set is not looked at.
//!
//! What is frozen has not moved, and what θ has beside an initialisation does not move: both have gradient 0.

use autodiff::{Arg, Element, Stage};

use super::{Method, Report, Worker, take_steps};
use crate::inner::{Derivative, GradientDescent, Hyper, InnerPlan, OuterPlan, Run, Step};
use crate::problem::Problem;

/// g = θ − φ_K; keeps nothing of the inner trajectory.
pub struct Reptile<T> {
    inner: InnerPlan<T>,
    /// To report the loss; the gradient does not use it.
    outer: OuterPlan<T>,
    steps: usize,
}

impl<T: Element> Reptile<T> {
    /// `steps` of gradient descent.
    ///
    /// # Panics
    /// Where φ₀ is not a part of θ: there is nothing to move.
    #[track_caller]
    pub fn new(problem: &dyn Problem, steps: usize) -> Self {
        Self::with_step(problem, &GradientDescent, steps)
    }

    /// With another inner optimiser.
    ///
    /// # Panics
    /// As [`new`](Reptile::new).
    #[track_caller]
    pub fn with_step(problem: &dyn Problem, step: &dyn Step, steps: usize) -> Self {
        let inner = InnerPlan::new(problem, step, Derivative::None);
        assert!(inner.starts_at_theta(), "Reptile moves an initialisation, and this problem learns none");
        Reptile { inner, outer: OuterPlan::value_only(problem), steps }
    }
}

impl<T: Element> Method<T> for Reptile<T> {
    fn shared_worker(&self, threads: usize) -> Box<dyn Worker<T> + '_> {
        let outer = self.outer.plan().shared_workspace(threads);
        Box::new(ReptileWorker { method: self, run: Run::new(&self.inner, threads), outer })
    }

    fn bytes(&self) -> usize {
        Run::bytes(&self.inner) + self.outer.plan().bytes()
    }

    fn flops(&self, report: &Report) -> u64 {
        let plan = self.inner.plan();
        report.steps as u64 * plan.flops(Stage::POINT) + plan.flops(Stage::DATA) + self.outer.flops()
    }
}

struct ReptileWorker<'m, T> {
    method: &'m Reptile<T>,
    run: Run<T>,
    outer: autodiff::Workspace<T>,
}

impl<T: Element> Worker<T> for ReptileWorker<'_, T> {
    fn gradient(&mut self, theta: &[T], hyper: Hyper, data: &[Arg<'_, T>], gradient: &mut [T]) -> Report {
        let Reptile { inner, outer, steps } = self.method;
        self.run.start(inner, theta, hyper, data);
        let mut report = take_steps(&mut self.run, inner, theta, data, 0..*steps);
        let (_, state, _, inputs) = self.run.parts(theta, data);
        let phi = &state[..inner.dim()];
        gradient[inner.dim()..].fill(T::zero());
        for ((g, &t), &p) in gradient.iter_mut().zip(theta).zip(phi) {
            *g = t - p;
        }
        report.query_loss = outer.value(&mut self.outer, &inputs, phi);
        report
    }

    fn phi(&self) -> &[T] {
        &self.run.state[..self.method.inner.dim()]
    }
}
