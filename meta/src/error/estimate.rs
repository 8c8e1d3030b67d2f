//! An estimate of a meta-gradient's error, for any problem: no proof, but close.
//!
//! The gradient is taken once more a Newton step on; the distance between the two is the error of the first, up to what
//! the step and the solves leave:
//!
//! ```text
//! δ ≈ A⁻¹∇G(φ)          φ⁺ = φ − δ                       φ⁺ − φ* is of second order in φ − φ*
//! r⁺ = v(φ⁺) − A(φ⁺)x̂   u ≈ A(φ⁺)⁻¹r⁺                     the part of x̂'s error that φ⁺ knows: inner and linear
//! g⁺ = ∂f/∂θ − (∂_θ∇_φG)ᵀ(x̂ + u) at φ⁺                    error ≈ ‖g⁺ − ĝ‖
//! ```
//!
//! It is (1) of the [module](super) with φ⁺ for φ*: directions are computed, so no constant of the problem is asked for,
//! and an indefinite A does no harm. It costs two solves, which need one or two digits, two evaluations and two products.
//! Far from a solution one Newton step is not enough: it is shortened until ‖∇G‖ falls, and repeated, a few times.
//! g⁺ is nearly always the better gradient: whoever has those products to spend on every task should take it instead.

use autodiff::{Arg, Element, Stage, Workspace};

use crate::inner::{Derivative, GradientOnly, Hyper, InnerPlan, InnerTask, OuterPlan, Run};
use crate::linear::{LinearOperator, LinearSolver, SolverSpace};
use crate::problem::Problem;

/// Newton steps at most, as long as ‖∇G‖ is above this share of what it was: one, near a solution.
const STEPS: usize = 4;
const ENOUGH: f64 = 0.05;

/// Times that a step is halved where it does not bring ‖∇G‖ down.
const HALVINGS: i32 = 5;

/// How far a meta-gradient is from the exact one, estimated: see the [module](super) for when it can be proven.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ErrorEstimate {
    /// ‖ĝ − g*‖, about.
    pub error: f64,
    /// ‖∇G(φ)‖
    pub inner_gradient: f64,
    /// ‖∇G(φ⁺)‖/‖∇G(φ)‖: what the Newton steps left. Where it is not well below 1 the estimate says little.
    pub left: f64,
    /// ‖r⁺‖, the residual of x̂ at φ⁺.
    pub residual: f64,
    /// ‖r‖, the residual of x̂ at φ: the linear solver's part of r⁺.
    pub linear_residual: f64,
    /// ‖r⁺ − r‖: the inner solver's part.
    pub inner_residual: f64,
    /// Products with ∇²G that it took.
    pub products: usize,
    /// Evaluations of G and its gradient that it took.
    pub evaluations: usize,
}

impl ErrorEstimate {
    /// Whether the Newton steps did what they do near a solution, ‖∇G‖ ≤ 0.1 of what it was: elsewhere there is no
    /// telling where the minimum is, and the estimate is an order of magnitude at best.
    pub fn is_sound(&self) -> bool {
        self.left <= 0.1
    }
}

/// Compiled once for a problem; each thread has an [`EstimatorSpace`].
pub struct Estimator<T> {
    inner: InnerPlan<T>,
    outer: OuterPlan<T>,
    linear: Box<dyn LinearSolver<T>>,
}

/// A thread's memory for an [`Estimator`].
pub struct EstimatorSpace<T> {
    run: Run<T>,
    outer: Workspace<T>,
    space: SolverSpace<T>,
    v: Vec<T>,
    r: Vec<T>,
    product: Vec<T>,
    direct: Vec<T>,
    better: Vec<T>,
}

/// What is estimated: the answer of a method that solved (∇²G) x = ∂f/∂φ.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a, T> {
    /// φ
    pub phi: &'a [T],
    /// x̂; for G with a prox term and nothing else in θ it is ĝ/λ.
    pub solution: &'a [T],
    /// ĝ
    pub gradient: &'a [T],
}

/// state ← state − ρ δ with the first ρ of 1, ½, … that brings ‖∇G‖ below `now`, and that ‖∇G‖; where none does, the
/// state stays, up to rounding. The state is looked at last.
fn step<T: Element>(task: &mut InnerTask<'_, T>, delta: &[T], now: f64, evaluations: &mut usize) -> Option<f64> {
    let mut to_go = -1.0;
    for halvings in 0..=HALVINGS {
        let by = T::from_f64(to_go);
        task.run.state.iter_mut().zip(delta).for_each(|(phi, &d)| *phi = *phi + by * d);
        let after = task.look().gradient_norm;
        *evaluations += 1;
        if after < now {
            return Some(after);
        }
        to_go = 0.5_f64.powi(halvings + 1);
    }
    // What is left of the way out, back.
    let by = T::from_f64(0.5_f64.powi(HALVINGS));
    task.run.state.iter_mut().zip(delta).for_each(|(phi, &d)| *phi = *phi + by * d);
    task.look();
    *evaluations += 1;
    None
}

/// r ← ∂f/∂φ − (∇²G) x at the last point looked at; ∂f/∂θ goes to `direct`.
fn residual<T: Element>(
    task: &mut InnerTask<'_, T>,
    (outer, workspace): (&OuterPlan<T>, &mut Workspace<T>),
    x: &[T],
    (product, direct): (&mut [T], &mut [T]),
    r: &mut [T],
) {
    let dim = task.plan.dim();
    let (_, state, _, inputs) = task.run.parts(task.theta, task.data);
    outer.gradient(workspace, &inputs, &state[..dim], r, direct);
    task.apply(x, product);
    task.plan.plan().isa().add_scaled(T::lit(-1.0), product, r);
}

impl<T: Element> Estimator<T> {
    /// With this solver for δ and u: to a tolerance of 0.03, say, or of a few iterations.
    pub fn new(problem: &dyn Problem, linear: Box<dyn LinearSolver<T>>) -> Self {
        let inner = InnerPlan::new(problem, &GradientOnly, Derivative::Hessian);
        Estimator { inner, outer: OuterPlan::new(problem), linear }
    }

    /// Memory for one thread, whose larger steps up to `threads` share.
    pub fn space(&self, threads: usize) -> EstimatorSpace<T> {
        let zeros = |n| vec![T::zero(); n];
        let (dim, theta_dim) = (self.inner.dim(), self.inner.theta_dim());
        EstimatorSpace {
            run: Run::new(&self.inner, threads),
            outer: self.outer.plan().shared_workspace(threads),
            space: SolverSpace::new(self.linear.room(), dim, self.inner.plan().isa()),
            v: zeros(dim),
            r: zeros(dim),
            product: zeros(dim),
            direct: zeros(theta_dim),
            better: zeros(theta_dim),
        }
    }

    /// Bytes of a space for one thread.
    pub fn bytes(&self) -> usize {
        let (dim, theta_dim) = (self.inner.dim(), self.inner.theta_dim());
        let vectors = (3 * dim + 2 * theta_dim) * size_of::<T>();
        let solver = SolverSpace::<T>::bytes(self.linear.room(), dim);
        Run::bytes(&self.inner) + self.outer.plan().bytes() + solver + vectors
    }

    /// Multiply-adds × 2 of what an estimate takes beside its evaluations and products.
    pub fn flops(&self) -> u64 {
        let plan = self.inner.plan();
        plan.flops(Stage::DATA) + plan.flops(Stage::ADJOINT) + 2 * self.outer.flops()
    }

    /// The estimate. Allocates nothing.
    ///
    /// # Panics
    /// Where lengths differ from what the problem declares.
    pub fn estimate(
        &self,
        space: &mut EstimatorSpace<T>,
        theta: &[T],
        hyper: Hyper,
        data: &[Arg<'_, T>],
        answer: Answer<'_, T>,
    ) -> ErrorEstimate {
        let Estimator { inner, outer, linear } = self;
        let EstimatorSpace { run, outer: workspace, space, v, r, product, direct, better } = space;
        let (dim, isa) = (inner.dim(), inner.plan().isa());
        let norm = |x: &[T]| isa.dot(x, x).sqrt();
        let mut estimate = ErrorEstimate::default();

        run.start(inner, theta, hyper, data);
        run.state[..dim].copy_from_slice(answer.phi);
        let mut task = InnerTask::new(inner, run, theta, data);
        estimate.inner_gradient = task.look().gradient_norm;
        estimate.evaluations = 1;
        residual(&mut task, (outer, workspace), answer.solution, (product, direct), r);
        estimate.linear_residual = norm(r);
        let mut now = estimate.inner_gradient;
        for _ in 0..STEPS {
            if now <= ENOUGH * estimate.inner_gradient {
                break;
            }
            v.copy_from_slice(&task.run.next[..dim]);
            let newton = linear.solve(&mut task, v, space);
            estimate.products += newton.stats.products;
            match step(&mut task, newton.value, now, &mut estimate.evaluations) {
                Some(after) => now = after,
                None => break,
            }
        }
        estimate.left = if now == 0.0 { 0.0 } else { now / estimate.inner_gradient };

        residual(&mut task, (outer, workspace), answer.solution, (product, direct), v);
        estimate.residual = norm(v);
        isa.add_scaled(T::lit(-1.0), v, r);
        estimate.inner_residual = norm(r);
        let correction = linear.solve(&mut task, v, space);
        estimate.products += correction.stats.products + 2;
        product.copy_from_slice(answer.solution);
        isa.add_scaled(T::one(), correction.value, product);
        let (workspace, state, _, inputs) = task.run.parts(theta, data);
        inner.mixed(workspace, &inputs, state, product, better);
        // ĝ − g⁺, with g⁺ = ∂f/∂θ − (∂_θ∇_φG)ᵀx⁺.
        for ((b, &d), &g) in better.iter_mut().zip(&*direct).zip(answer.gradient) {
            *b = g - (d - *b);
        }
        estimate.error = norm(better);
        estimate
    }
}
