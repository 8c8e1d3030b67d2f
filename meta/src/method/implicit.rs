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

mod lanes;

use autodiff::{Aligned, Arg, Element, Isa, Stage, Workspace};

use super::plans::Plans;
use super::{Abreast, InnerStop, Method, Report, WarmStart, Worker};
use crate::error::{Answer, Estimator, EstimatorSpace};
use crate::inner::{
    Derivative, Descent, GradientOnly, Hyper, InnerPlan, InnerSolver, InnerTask, Run, Step, Watch, WithGradient,
};
use crate::linear::{LinearOperator, LinearSolver, SecantPairs, SolverSpace};
use crate::problem::Problem;

/// Implicit differentiation at the point the inner solver reached.
pub struct Implicit<T> {
    plans: Plans<T>,
    solver: Box<dyn InnerSolver<T>>,
    linear: Box<dyn LinearSolver<T>>,
    /// Where ∇G is in a new state, where the linear solver wants secant pairs.
    gradient_at: Option<usize>,
    warm: Option<WarmStart>,
    /// In the place of ∇²_φφG, where the linear solver may want that.
    gauss_newton: Option<InnerPlan<T>>,
    estimator: Option<Estimator<T>>,
    lanes: Option<lanes::Lanes<T>>,
}

impl<T: Element> Implicit<T> {
    /// Gradient descent inside, then `linear` on ∇²_φφG.
    ///
    /// # Panics
    /// Where `linear` [needs](LinearSolver::needs) a Gauss-Newton matrix and the problem has no
    /// [outputs](Problem::outputs).
    pub fn new(problem: &dyn Problem, stop: InnerStop, linear: Box<dyn LinearSolver<T>>) -> Self {
        Self::with_solver(problem, Box::new(Descent::gradient(stop)), linear)
    }

    /// With another inner solver.
    ///
    /// Where steps see minibatches, what is differentiated at φ_K after a fixed number of steps is G of the rows that a step K
    /// would see: of none that was minimised, and so an approximation of the implicit gradient. Solvers that decide as they go
    /// see the rows of step 0 throughout.
    pub fn with_solver(
        problem: &dyn Problem,
        solver: Box<dyn InnerSolver<T>>,
        linear: Box<dyn LinearSolver<T>>,
    ) -> Self {
        Self::with_curvature(problem, solver, linear, Derivative::Hessian)
    }

    /// With something else in the place of ∇²_φφG, in the solve and in what the inner solver multiplies by:
    /// [`Derivative::GaussNewton`] or [`Derivative::Fisher`]. That is an approximation of the implicit gradient, good
    /// where the outputs are nearly linear in φ or fit nearly exactly.
    ///
    /// # Panics
    /// Where `curvature` is none, or one that the problem does not have.
    pub fn with_curvature(
        problem: &dyn Problem,
        solver: Box<dyn InnerSolver<T>>,
        linear: Box<dyn LinearSolver<T>>,
        curvature: Derivative,
    ) -> Self {
        let is_one = matches!(curvature, Derivative::Hessian | Derivative::GaussNewton | Derivative::Fisher);
        assert!(is_one, "an implicit gradient is solved with a curvature, not with {curvature:?}");
        let step = solver.step();
        let (plans, gradient_at) = if linear.needs().secant_pairs == 0 {
            (Plans::new(problem, step, curvature), None)
        } else if let Some(at) = step.gradient_at(problem.dim()) {
            (Plans::new(problem, step, curvature), Some(at))
        } else {
            let step = WithGradient(step);
            (Plans::new(problem, &step, curvature), step.gradient_at(problem.dim()))
        };
        let wanted = linear.needs().gauss_newton;
        let gauss_newton = wanted.then(|| InnerPlan::new(problem, &GradientOnly, Derivative::GaussNewton));
        let lanes = solver.fixed_steps().zip(linear.in_lanes()).and_then(|(steps, linear)| {
            let plans = plans.in_lanes(problem, step, curvature)?;
            Some(lanes::Lanes { plans, steps, linear })
        });
        Implicit { plans, solver, linear, gradient_at, gauss_newton, warm: None, estimator: None, lanes }
    }

    /// The same, whose linear solves start from what [`Worker::start_from`] is given, and who gives it what.
    pub fn warm_started(self, start: WarmStart) -> Self {
        Implicit { warm: Some(start), ..self }
    }

    /// With an estimate of every gradient's error in its report.
    pub fn estimating(self, estimator: Estimator<T>) -> Self {
        Implicit { estimator: Some(estimator), ..self }
    }

    /// The compiled inner level, to look at.
    pub fn inner(&self) -> &InnerPlan<T> {
        &self.plans.inner
    }
}

impl<T: Element> Method<T> for Implicit<T> {
    fn shared_worker(&self, threads: usize) -> Box<dyn Worker<T> + '_> {
        let Plans { inner, outer } = &self.plans;
        let dim = inner.dim();
        let mut run = Run::new(inner, threads);
        let (pairs, isa) = (self.linear.needs().secant_pairs, inner.plan().isa());
        run.watch = self.gradient_at.map(|at| Watch::new(pairs, dim, at, isa));
        Box::new(ImplicitWorker {
            method: self,
            run,
            gauss_newton: self.gauss_newton.as_ref().map(|plan| Run::new(plan, threads)),
            outer: outer.plan().shared_workspace(threads),
            pairs: secant_pairs(self.solver.pairs(), dim, isa),
            solving: SolverSpace::new(self.solver.room(), dim, isa),
            space: SolverSpace::new(self.linear.room(), dim, isa),
            v: Aligned::zeroed(dim),
            direct: Aligned::zeroed(self.plans.direct_len()),
            start: vec![T::zero(); if self.warm_start().is_some() { dim } else { 0 }],
            started: false,
            estimating: self.estimator.as_ref().map(|e| e.space(threads)),
        })
    }

    fn abreast(&self) -> Option<Abreast<'_, T>> {
        let plans = &self.lanes.as_ref()?.plans;
        Some(Abreast::new(self.lane_worker()?, plans))
    }

    fn warm_start(&self) -> Option<WarmStart> {
        self.warm.filter(|_| self.plans.inner.starts_at_theta())
    }

    fn bytes(&self) -> usize {
        let dim = self.plans.inner.dim();
        let spaces = [self.solver.room(), self.linear.room()].map(|room| SolverSpace::<T>::bytes(room, dim));
        let pairs = SecantPairs::<T>::bytes(self.solver.pairs(), dim);
        let start = if self.warm_start().is_some() { dim } else { 0 };
        let vectors = (dim + self.plans.direct_len() + start) * size_of::<T>() + spaces.iter().sum::<usize>() + pairs;
        let watch = self.gradient_at.map_or(0, |_| Watch::<T>::bytes(self.linear.needs().secant_pairs, dim));
        let estimating = self.estimator.as_ref().map_or(0, Estimator::bytes);
        let gauss_newton = self.gauss_newton.as_ref().map_or(0, Run::bytes);
        self.plans.bytes() + gauss_newton + vectors + watch + estimating
    }

    fn flops(&self, report: &Report) -> u64 {
        let plan = self.plans.inner.plan();
        report.evaluations as u64 * plan.flops(Stage::POINT)
            + plan.flops(Stage::DATA)
            + self.plans.outer.flops()
            + (report.inner_products + report.products) as u64 * plan.flops(Stage::DIRECTION)
            + plan.flops(Stage::ADJOINT)
            + report.estimate.and(self.estimator.as_ref()).map_or(0, Estimator::flops)
    }
}

struct ImplicitWorker<'m, T> {
    method: &'m Implicit<T>,
    run: Run<T>,
    outer: Workspace<T>,
    gauss_newton: Option<Run<T>>,
    /// Of the inner solver, where it wants some.
    pairs: Option<SecantPairs<T>>,
    solving: SolverSpace<T>,
    space: SolverSpace<T>,
    v: Aligned<T>,
    direct: Aligned<T>,
    /// Where a linear solve starts, up to a factor; empty where it starts from 0.
    start: Vec<T>,
    started: bool,
    estimating: Option<EstimatorSpace<T>>,
}

/// gradient ← gradient + ∂f/∂θ, where f depends on θ: `direct` is empty where it does not.
fn add_direct<T: Element>(isa: Isa, direct: &[T], gradient: &mut [T]) {
    if !direct.is_empty() {
        isa.add_scaled(T::one(), direct, gradient);
    }
}

fn secant_pairs<T: Element>(memory: usize, dim: usize, isa: Isa) -> Option<SecantPairs<T>> {
    (memory > 0).then(|| SecantPairs::new(memory, dim, isa))
}

/// ∇²_φφG at the last point of a run, and what may take its place there.
struct AtSolution<'t, 'a, T> {
    task: &'t mut InnerTask<'a, T>,
    gauss_newton: Option<InnerTask<'t, T>>,
    hyper: Hyper,
    evaluations: usize,
}

impl<T: Element> LinearOperator<T> for AtSolution<'_, '_, T> {
    fn dim(&self) -> usize {
        self.task.dim()
    }

    fn apply(&mut self, x: &[T], y: &mut [T]) {
        self.task.apply(x, y);
    }

    fn shift(&self) -> f64 {
        self.task.shift()
    }

    fn unknowns(&self) -> Option<&[bool]> {
        self.task.unknowns()
    }

    fn secant_pairs(&mut self) -> Option<&mut SecantPairs<T>> {
        self.task.secant_pairs()
    }

    fn gauss_newton(&mut self) -> Option<&mut dyn LinearOperator<T>> {
        let other = self.gauss_newton.as_mut()?;
        let dim = other.plan.dim();
        other.run.start(other.plan, other.theta, self.hyper, other.data);
        other.run.at_step(other.plan, self.task.run.step());
        other.run.state[..dim].copy_from_slice(&self.task.run.state[..dim]);
        other.look();
        self.evaluations += 1;
        Some(other)
    }
}

impl<T: Element> Worker<T> for ImplicitWorker<'_, T> {
    fn gradient(&mut self, theta: &[T], hyper: Hyper, data: &[Arg<'_, T>], gradient: &mut [T]) -> Report {
        let Implicit { plans: Plans { inner, outer }, solver, linear, estimator, .. } = self.method;
        self.run.start(inner, theta, hyper, data);
        let mut task = InnerTask { plan: inner, run: &mut self.run, theta, data, pairs: self.pairs.as_mut() };
        let solved = solver.solve(&mut task, &mut self.solving);

        let (_, state, _, inputs) = task.run.parts(theta, data);
        let phi = &state[..inner.dim()];
        let mut query_loss = [0.0];
        let of_task = [&mut query_loss[..], &mut []];
        outer.gradient_in_lanes(&mut self.outer, &inputs, phi, &mut self.v, &mut self.direct, of_task);

        if self.started {
            self.space.start_from_unknowns(&self.start, inner.unknowns());
        }
        let gauss_newton = self.method.gauss_newton.as_ref().zip(self.gauss_newton.as_mut());
        let gauss_newton = gauss_newton.map(|(plan, run)| InnerTask::new(plan, run, theta, data));
        let mut operator = AtSolution { task: &mut task, gauss_newton, hyper, evaluations: 0 };
        let solution = linear.solve(&mut operator, &self.v, &mut self.space);
        let evaluations = solved.evaluations + operator.evaluations;
        let step = self.run.step();
        let (workspace, state, _, inputs) = self.run.parts(theta, data);
        inner.mixed(workspace, &inputs, state, solution.value, gradient);
        let isa = inner.plan().isa();
        isa.scale(-T::one(), gradient);
        add_direct(isa, &self.direct, gradient);
        // A larger λ is a term ½μ‖φ − φ₀(θ)‖² of G, whose ∂_θ∇_φ is −μ ∂φ₀/∂θ.
        if solution.stats.raised {
            inner.add_scaled_start_cotangent(solution.stats.shift, solution.value, gradient);
        }
        let estimate = estimator.as_ref().zip(self.estimating.as_mut()).map(|(estimator, space)| {
            let answer = Answer { phi: &state[..inner.dim()], step, solution: solution.value, gradient };
            estimator.estimate(space, theta, hyper, data, answer)
        });
        Report {
            query_loss: query_loss[0],
            first_inner: solved.first.value,
            last_inner: solved.last.value,
            inner_gradient: solved.last.gradient_norm,
            first_gradient: solved.first.gradient_norm,
            steps: solved.steps,
            evaluations: evaluations + estimate.map_or(0, |e| e.evaluations),
            inner_status: Some(solved.status),
            inner_kink: solved.kink,
            inner_products: solved.products,
            products: solution.stats.products + estimate.map_or(0, |e| e.products),
            status: Some(solution.status),
            linear_residual: solution.stats.residual,
            negative_curvature: solution.stats.negative_curvature,
            policy_acted: solution.stats.policy_acted,
            shift: solution.stats.shift,
            estimate,
        }
    }

    fn start_from(&mut self, gradient: &[T]) {
        if !self.start.is_empty() {
            self.start.copy_from_slice(&gradient[..self.method.plans.inner.dim()]);
            self.started = true;
        }
    }

    fn start_from_zero(&mut self) {
        self.started = false;
    }

    fn phi(&self) -> &[T] {
        &self.run.state[..self.method.plans.inner.dim()]
    }
}
