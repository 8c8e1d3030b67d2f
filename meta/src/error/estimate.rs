//! An estimate of a meta-gradient's error, for any problem: no proof, but close.
//!
//! The gradient is taken once more, further towards the minimum; the distance between the two is the error of the first,
//! up to what that step and the solves leave:
//!
//! ```text
//! φ⁺ = φ − δ, δ ≈ A⁻¹∇G(φ)                                φ⁺ − φ* is of second order in φ − φ*
//! r⁺ = v(φ⁺) − A(φ⁺)x̂   u ≈ A(φ⁺)⁻¹r⁺                     the part of x̂'s error that φ⁺ knows: inner and linear
//! g⁺ = ∂f/∂θ − (∂_θ∇_φG)ᵀ(x̂ + u) at φ⁺                    error ≈ ‖g⁺ − ĝ‖
//! ```
//!
//! It is (1) of the [module](super) with φ⁺ for φ*: directions are computed, so no constant of the problem is asked for.
//! It costs two solves, which need one or two digits, a few evaluations and two products.
//!
//! Far from a solution one Newton step is not enough, and where A is indefinite it leads to a saddle as soon as to a
//! minimum. What is meant is the minimum that G falls to from φ: so steps are those of [`HessianFree`], which descends, a
//! few until ‖∇G‖ is a twentieth of what it was. On the way curvature may grow a hundredfold (the valleys of batch
//! normalisation); where x̂ is further from a solution at φ⁺ than 0 is, u solves for v(φ⁺) from 0.
//! g⁺ is nearly always the better gradient: whoever has those products to spend on every task should take it instead.

use autodiff::{Arg, Element, Stage, Workspace};

use crate::inner::{
    Derivative, GradientOnly, HessianFree, Hyper, InnerPlan, InnerSolver, InnerStop, InnerTask, OuterPlan, Run,
};
use crate::linear::{LinearOperator, LinearSolver, Room, SolverSpace};
use crate::problem::Problem;

/// Newton steps at most, as long as ‖∇G‖ is above this share of what it was: one, near a solution.
const STEPS: usize = 8;
const ENOUGH: f64 = 0.05;

/// Products of a Newton step at most, a vector of memory each.
const PRODUCTS: usize = 30;

fn newton(stop: InnerStop) -> HessianFree {
    HessianFree::new(stop).with_products(PRODUCTS)
}

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
    /// How much of a residual becomes error: ‖g⁺ − ĝ‖/‖r⁺‖; where x̂ says less of x at φ⁺ than 0 does, ‖g⁺‖/‖v(φ⁺)‖;
    /// 0 where there is no residual.
    pub amplification: f64,
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
    solving: SolverSpace<T>,
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
    /// The step whose rows G was of at φ, where steps see minibatches.
    pub step: usize,
    /// x̂; for G with a prox term and nothing else in θ it is ĝ/λ.
    pub solution: &'a [T],
    /// ĝ
    pub gradient: &'a [T],
}

/// r ← ∂f/∂φ − (∇²G) x at the last point looked at; ∂f/∂θ goes to `direct`, (∇²G) x to `product`. ‖∂f/∂φ‖.
fn residual<T: Element>(
    task: &mut InnerTask<'_, T>,
    (outer, workspace): (&OuterPlan<T>, &mut Workspace<T>),
    x: &[T],
    (product, direct): (&mut [T], &mut [T]),
    r: &mut [T],
) -> f64 {
    let (dim, isa) = (task.plan.dim(), task.plan.plan().isa());
    let (_, state, _, inputs) = task.run.parts(task.theta, task.data);
    outer.gradient(workspace, &inputs, &state[..dim], r, direct);
    let size = isa.dot(r, r).sqrt();
    task.apply(x, product);
    isa.add_scaled(T::lit(-1.0), product, r);
    size
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
            solving: SolverSpace::new(Self::room(), dim, self.inner.plan().isa()),
            space: SolverSpace::new(self.linear.room(), dim, self.inner.plan().isa()),
            v: zeros(dim),
            r: zeros(dim),
            product: zeros(dim),
            direct: zeros(theta_dim),
            better: zeros(theta_dim),
        }
    }

    /// Of Newton's method.
    fn room() -> Room {
        InnerSolver::<T>::room(&newton(InnerStop::Steps(STEPS)))
    }

    /// Bytes of a space for one thread.
    pub fn bytes(&self) -> usize {
        let (dim, theta_dim) = (self.inner.dim(), self.inner.theta_dim());
        let vectors = (3 * dim + 2 * theta_dim) * size_of::<T>();
        let solvers = [Self::room(), self.linear.room()].map(|room| SolverSpace::<T>::bytes(room, dim));
        Run::bytes(&self.inner) + self.outer.plan().bytes() + solvers.iter().sum::<usize>() + vectors
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
        let EstimatorSpace { run, outer: workspace, solving, space, v, r, product, direct, better } = space;
        let (dim, isa) = (inner.dim(), inner.plan().isa());
        let norm = |x: &[T]| isa.dot(x, x).sqrt();
        let mut estimate = ErrorEstimate::default();

        run.start(inner, theta, hyper, data);
        run.at_step(inner, answer.step);
        run.state[..dim].copy_from_slice(answer.phi);
        let mut task = InnerTask::new(inner, run, theta, data);
        estimate.inner_gradient = task.look().gradient_norm;
        estimate.evaluations = 1;
        residual(&mut task, (outer, workspace), answer.solution, (product, direct), r);
        estimate.linear_residual = norm(r);
        let stop = InnerStop::Gradient { gradient: ENOUGH * estimate.inner_gradient, cap: STEPS };
        let ahead = newton(stop).solve(&mut task, solving);
        estimate.products = ahead.products;
        estimate.evaluations += ahead.evaluations;
        let now = ahead.last.gradient_norm;
        estimate.left = if now == 0.0 { 0.0 } else { now / estimate.inner_gradient };

        let size = residual(&mut task, (outer, workspace), answer.solution, (product, direct), v);
        estimate.residual = norm(v);
        isa.add_scaled(T::lit(-1.0), v, r);
        estimate.inner_residual = norm(r);
        // Where curvature grew so much on the way that x̂ is further from a solution than 0, a share of its residual is no
        // accuracy: then the system is solved from 0.
        let further = estimate.residual > size;
        if further {
            isa.add_scaled(T::one(), product, v);
            product.fill(T::zero());
        } else {
            product.copy_from_slice(answer.solution);
        }
        let correction = linear.solve(&mut task, v, space);
        estimate.products += correction.stats.products + 2;
        isa.add_scaled(T::one(), correction.value, product);
        let (workspace, state, _, inputs) = task.run.parts(theta, data);
        inner.mixed(workspace, &inputs, state, product, better);
        // ĝ − g⁺, with g⁺ = ∂f/∂θ − (∂_θ∇_φG)ᵀx⁺.
        for ((b, &d), &g) in better.iter_mut().zip(&*direct).zip(answer.gradient) {
            *b = g - (d - *b);
        }
        estimate.error = norm(better);
        let (of, residual) = if further {
            better.iter_mut().zip(answer.gradient).for_each(|(b, &g)| *b = g - *b);
            (norm(better), size)
        } else {
            (estimate.error, estimate.residual)
        };
        estimate.amplification = if residual == 0.0 { 0.0 } else { of / residual };
        estimate
    }
}
