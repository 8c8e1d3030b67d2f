//! First-order MAML (Finn, Abbeel & Levine 2017, section 5.2): g = ∂f/∂φ at φ_K, as if ∂φ_K/∂θ were the identity.
//!
//! Parts of θ that only the way to φ_K depends on, such as a learned λ or step size, have gradient 0: they stay where
//! they started.

use autodiff::{Arg, Element, Stage, Workspace};

use super::{Method, Report, Worker, take_steps};
use crate::inner::{Derivative, GradientDescent, Hyper, InnerPlan, OuterPlan, Run, Step};
use crate::problem::Problem;

/// g = ∂f/∂θ + ∂f/∂φ at φ_K; keeps nothing of the inner trajectory.
pub struct FirstOrder<T> {
    inner: InnerPlan<T>,
    outer: OuterPlan<T>,
    steps: usize,
}

impl<T: Element> FirstOrder<T> {
    /// `steps` of gradient descent.
    pub fn new(problem: &dyn Problem, steps: usize) -> Self {
        Self::with_step(problem, &GradientDescent, steps)
    }

    /// With another inner optimiser.
    pub fn with_step(problem: &dyn Problem, step: &dyn Step, steps: usize) -> Self {
        let inner = InnerPlan::new(problem, step, Derivative::None);
        FirstOrder { inner, outer: OuterPlan::new(problem), steps }
    }
}

impl<T: Element> Method<T> for FirstOrder<T> {
    fn shared_worker(&self, threads: usize) -> Box<dyn Worker<T> + '_> {
        let outer = self.outer.plan().shared_workspace(threads);
        Box::new(FirstOrderWorker {
            method: self,
            run: Run::new(&self.inner, threads),
            outer,
            v: vec![T::zero(); self.inner.dim()],
        })
    }

    fn bytes(&self) -> usize {
        Run::bytes(&self.inner) + self.outer.plan().bytes() + self.inner.dim() * size_of::<T>()
    }

    fn flops(&self, report: &Report) -> u64 {
        let plan = self.inner.plan();
        report.steps as u64 * plan.flops(Stage::POINT) + plan.flops(Stage::DATA) + self.outer.flops()
    }
}

struct FirstOrderWorker<'m, T> {
    method: &'m FirstOrder<T>,
    run: Run<T>,
    outer: Workspace<T>,
    v: Vec<T>,
}

impl<T: Element> Worker<T> for FirstOrderWorker<'_, T> {
    fn gradient(&mut self, theta: &[T], hyper: Hyper, data: &[Arg<'_, T>], gradient: &mut [T]) -> Report {
        let FirstOrder { inner, outer, steps } = self.method;
        self.run.start(inner, theta, hyper, data);
        let mut report = take_steps(&mut self.run, inner, theta, data, 0..*steps);
        let (_, state, _, inputs) = self.run.parts(theta, data);
        report.query_loss = outer.gradient(&mut self.outer, &inputs, &state[..inner.dim()], &mut self.v, gradient);
        inner.add_start_cotangent(&self.v, gradient);
        report
    }

    fn phi(&self) -> &[T] {
        &self.run.state[..self.method.inner.dim()]
    }
}
