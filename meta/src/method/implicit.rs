//! Implicit differentiation (iMAML: Rajeswaran, Finn, Kakade & Levine 2019, algorithm 2).
//!
//! ```text
//! φ ≈ argmin G(·, θ)        (∇²_φφG) x = ∂f/∂φ        dF/dθ = ∂f/∂θ − (∂_θ∇_φG)ᵀ x
//! ```
//!
//! For G = L + ½λ‖φ − θ‖² the operator is H + λI and dF/dθ = λx: with g = λx this is (I + H/λ) g = v, and CG makes
//! the same iterates for both. What is kept is one point, however many steps were taken.
//!
//! This differs from the paper's released code, which solves 2I + H/(λ+10) and leaves the prox term out of the
//! inner loop: here the objective solved is the objective differentiated, and λ is λ.

use autodiff::{Arg, Element, Stage, Workspace};

use super::{InnerStop, Method, Report, Run, Worker};
use crate::inner::{Derivative, GradientDescent, Hyper, InnerPlan, Inputs, OuterPlan, Step};
use crate::linear::{LinearOperator, LinearSolver, SolverSpace};
use crate::problem::Problem;

/// Implicit differentiation at the point the inner solver reached.
pub struct Implicit<T> {
    inner: InnerPlan<T>,
    outer: OuterPlan<T>,
    stop: InnerStop,
    solver: Box<dyn LinearSolver<T>>,
}

impl<T: Element> Implicit<T> {
    /// Gradient descent inside, then `solver` on ∇²_φφG.
    pub fn new(problem: &dyn Problem, stop: InnerStop, solver: Box<dyn LinearSolver<T>>) -> Self {
        Self::with_step(problem, &GradientDescent, stop, solver)
    }

    /// With another inner optimiser.
    pub fn with_step(
        problem: &dyn Problem,
        step: &dyn Step,
        stop: InnerStop,
        solver: Box<dyn LinearSolver<T>>,
    ) -> Self {
        let inner = InnerPlan::new(problem, step, Derivative::Hessian);
        Implicit { inner, outer: OuterPlan::new(problem), stop, solver }
    }

    /// The compiled inner level, to look at.
    pub fn inner(&self) -> &InnerPlan<T> {
        &self.inner
    }
}

impl<T: Element> Method<T> for Implicit<T> {
    fn shared_worker(&self, threads: usize) -> Box<dyn Worker<T> + '_> {
        let dim = self.inner.dim();
        Box::new(ImplicitWorker {
            method: self,
            run: Run::new(&self.inner, threads),
            outer: self.outer.plan().shared_workspace(threads),
            space: SolverSpace::new(self.solver.room(), dim, self.inner.plan().isa()),
            v: vec![T::zero(); dim],
            direct: vec![T::zero(); dim],
        })
    }

    fn bytes(&self) -> usize {
        let dim = self.inner.dim();
        let vectors = 2 * dim * size_of::<T>() + SolverSpace::<T>::bytes(self.solver.room(), dim);
        Run::bytes(&self.inner) + self.outer.plan().bytes() + vectors
    }

    fn flops(&self, report: &Report) -> u64 {
        let plan = self.inner.plan();
        let gradients = (report.steps as u64 + 1) * plan.flops(Stage::POINT);
        gradients
            + plan.flops(Stage::DATA)
            + self.outer.plan().flops(Stage::POINT)
            + report.products as u64 * plan.flops(Stage::DIRECTION)
            + plan.flops(Stage::ADJOINT)
    }
}

struct ImplicitWorker<'m, T> {
    method: &'m Implicit<T>,
    run: Run<T>,
    outer: Workspace<T>,
    space: SolverSpace<T>,
    v: Vec<T>,
    direct: Vec<T>,
}

/// ∇²_φφG at the last point of a run.
struct InnerHessian<'a, T> {
    plan: &'a InnerPlan<T>,
    workspace: &'a mut Workspace<T>,
    inputs: Inputs<'a, T>,
    state: &'a [T],
}

impl<T: Element> LinearOperator<T> for InnerHessian<'_, T> {
    fn dim(&self) -> usize {
        self.plan.dim()
    }

    fn apply(&mut self, x: &[T], y: &mut [T]) {
        self.plan.hessian(self.workspace, &self.inputs, self.state, x, y);
    }
}

impl<T: Element> Worker<T> for ImplicitWorker<'_, T> {
    fn gradient(&mut self, theta: &[T], hyper: Hyper, data: &[Arg<'_, T>], gradient: &mut [T]) -> Report {
        let Implicit { inner, outer, stop, solver } = self.method;
        let run = &mut self.run;
        run.start(inner, theta, hyper, data);

        let (cap, tolerance) = match *stop {
            InnerStop::Steps(steps) => (steps, 0.0),
            InnerStop::Gradient { gradient, cap } => (cap, gradient),
        };
        let mut report = Report::default();
        // The point is kept by looking at it: the last look, at φ_K, serves every product that follows.
        let last = loop {
            let measured = run.look(inner, theta, data);
            if report.steps == cap || measured.gradient_norm <= tolerance {
                break measured;
            }
            report.saw(measured);
            std::mem::swap(&mut run.state, &mut run.next);
        };
        if report.steps == 0 {
            report.first_inner = last.value;
        }
        (report.last_inner, report.inner_gradient) = (last.value, last.gradient_norm);

        let scalars = run.hyper();
        let inputs = Inputs { theta, hyper: &scalars, data };
        let phi = &run.state[..inner.dim()];
        report.query_loss = outer.gradient(&mut self.outer, &inputs, phi, &mut self.v, &mut self.direct);

        let mut operator = InnerHessian { plan: inner, workspace: &mut run.workspace, inputs, state: &run.state };
        let solution = solver.solve(&mut operator, &self.v, &mut self.space);
        report.products = solution.stats.products;
        report.status = Some(solution.status);
        report.linear_residual = solution.stats.residual;
        report.negative_curvature = solution.stats.negative_curvature;
        inner.mixed(&mut run.workspace, &inputs, &run.state, solution.value, gradient);
        for (g, &direct) in gradient.iter_mut().zip(&self.direct) {
            *g = direct - *g;
        }
        report
    }

    fn phi(&self) -> &[T] {
        &self.run.state[..self.method.inner.dim()]
    }
}
