//! Hessian products by finite differences (DARTS: Liu, Simonyan & Yang 2019, equation 8), through K steps.
//!
//! The pullback of an inner step needs one thing of G's second derivatives, at each φ_k: their product with a vector c.
//! Here it is a central difference of first derivatives along u = c/‖c‖:
//!
//! ```text
//! (∇²_φφG c, (∂_θ∇_φG)ᵀ c)  ≈  ‖c‖/2h · (∇G(φ_k + h u) − ∇G(φ_k − h u)),   ∇ = (∇_φ, ∇_θ)
//! ```
//!
//! An approximation: off by h²/6 of a fourth derivative of G, and by some ε‖∇G‖/h of rounding in a precision of ε. h is
//! ε^(1/3) times the larger of 1 and the root mean square of φ_k, where the two meet: 5e-3 in `f32`, 6e-6 in `f64`. Where
//! a kink (ReLU) lies between the two points, a difference sees the jump that the derivative does not: five steps of 0.1
//! on glyphs (`imaml metagrad --method darts`, conv4 of 16 channels, two tasks) are off by 2e-4 with softplus in `f32`, but
//! by 25 times the gradient's own size with ReLU. In `f64` h is small enough to miss the kinks: 3e-10 and 1e-10.
//!
//! What is kept is every state. A step back costs three evaluations of ∇G, and no product with a Hessian is compiled:
//! a baseline where there are exact ones, not a faster way.
//!
//! This differs from the paper in: 1. any number of steps, of any optimiser, where DARTS takes one of gradient descent.
//! 2. h above in place of 0.01, which suits one network in `f32`. 3. The answer does not depend on the scale of the
//! outer loss, since h is a length.

use autodiff::{Arg, Element, Stage, Workspace};

use super::{Method, Report, Worker, see_start};
use crate::inner::{Derivative, GradientDescent, Hyper, InnerPlan, OuterPlan, Run, Step};
use crate::linear::{rescale, scale_exponent};
use crate::problem::Problem;

/// The gradient through K steps, second derivatives by central differences.
///
/// ```
/// use meta::inner::Hyper;
/// use meta::method::{FiniteDifference, Keep, Method, Unrolled};
/// use meta::{FewShot, Problem};
///
/// let problem = FewShot::new("mlp:1-8-1,act=tanh".parse().unwrap(), 2, 2, false);
/// let theta: Vec<f64> = (0..problem.dim()).map(|i| (i as f64).sin()).collect();
/// let data = [[0.1, 0.7], [1.0, 0.0], [0.3, 0.9], [0.8, -0.2]];
/// let data = data.each_ref().map(|d| d[..].into());
/// let gradient = |method: &dyn Method<f64>| {
///     let mut g = vec![0.0; theta.len()];
///     method.worker().gradient(&theta, Hyper { lambda: 0.0, rate: 0.1 }, &data, &mut g);
///     g
/// };
/// let exact = gradient(&Unrolled::new(&problem, 3, Keep::Everything));
/// let close = gradient(&FiniteDifference::new(&problem, 3));
/// assert!(exact.iter().zip(&close).all(|(a, b)| (a - b).abs() < 1e-8));
/// ```
pub struct FiniteDifference<T> {
    inner: InnerPlan<T>,
    outer: OuterPlan<T>,
    steps: usize,
    radius: f64,
}

impl<T: Element> FiniteDifference<T> {
    /// Through `steps` of gradient descent; DARTS takes one.
    pub fn new(problem: &dyn Problem, steps: usize) -> Self {
        Self::with_step(problem, &GradientDescent, steps)
    }

    /// With another inner optimiser.
    pub fn with_step(problem: &dyn Problem, step: &dyn Step, steps: usize) -> Self {
        let inner = InnerPlan::new(problem, step, Derivative::Differences);
        FiniteDifference { inner, outer: OuterPlan::new(problem), steps, radius: T::EPSILON.cbrt() }
    }

    /// With another h, in units of the larger of 1 and φ's root mean square.
    ///
    /// # Panics
    /// Where it is not a number above 0.
    #[track_caller]
    pub fn with_radius(self, radius: f64) -> Self {
        assert!(radius > 0.0 && radius.is_finite(), "the radius of a difference is {radius}, not above 0");
        FiniteDifference { radius, ..self }
    }
}

impl<T: Element> Method<T> for FiniteDifference<T> {
    fn shared_worker(&self, threads: usize) -> Box<dyn Worker<T> + '_> {
        let (dim, theta, state) = (self.inner.dim(), self.inner.theta_dim(), self.inner.state_len());
        let zeros = |n| vec![T::zero(); n];
        Box::new(DifferenceWorker {
            method: self,
            run: Run::new(&self.inner, threads),
            outer: self.outer.plan().shared_workspace(threads),
            states: (0..self.steps).map(|_| zeros(state)).collect(),
            phi: zeros(dim),
            w: zeros(state),
            pulled: zeros(state),
            c: zeros(dim),
            in_theta: zeros(theta),
            above: [zeros(dim), zeros(theta)],
            below: [zeros(dim), zeros(theta)],
        })
    }

    fn bytes(&self) -> usize {
        let (dim, theta, state) = (self.inner.dim(), self.inner.theta_dim(), self.inner.state_len());
        let vectors = (self.steps + 2) * state + 4 * dim + 3 * theta;
        Run::bytes(&self.inner) + self.outer.plan().bytes() + vectors * size_of::<T>()
    }

    fn flops(&self, report: &Report) -> u64 {
        let plan = self.inner.plan();
        report.evaluations as u64 * plan.flops(Stage::POINT) + plan.flops(Stage::DATA) + self.outer.flops()
    }
}

struct DifferenceWorker<'m, T> {
    method: &'m FiniteDifference<T>,
    run: Run<T>,
    outer: Workspace<T>,
    states: Vec<Vec<T>>,
    phi: Vec<T>,
    w: Vec<T>,
    pulled: Vec<T>,
    c: Vec<T>,
    in_theta: Vec<T>,
    /// (∇_φG, ∇_θG) on either side.
    above: [Vec<T>; 2],
    below: [Vec<T>; 2],
}

impl<T: Element> DifferenceWorker<'_, T> {
    /// w ← (∂S/∂state)ᵀ w at the state of step k; θ's part is added to `gradient`. The evaluations that it took.
    fn pull(&mut self, theta: &[T], data: &[Arg<'_, T>], k: usize, gradient: &mut [T]) -> usize {
        let FiniteDifference { inner, radius, .. } = self.method;
        let (isa, dim) = (inner.plan().isa(), inner.dim());
        self.run.at_step(inner, k);
        self.run.state.copy_from_slice(&self.states[k]);
        self.run.look(inner, theta, data);
        let (workspace, state, _, inputs) = self.run.parts(theta, data);
        let parts = [&mut self.pulled[..], &mut self.c, &mut self.in_theta];
        inner.pullback_to_gradient(workspace, &inputs, state, &self.w, parts);
        std::mem::swap(&mut self.w, &mut self.pulled);
        if inner.in_theta() {
            isa.add_scaled(T::one(), &self.in_theta, gradient);
        }

        // Scaled by a power of two, so that what h/‖c‖ multiplies is near 1 however small c is.
        let exponent = scale_exponent(&self.c).unwrap_or(0);
        rescale(&mut self.c, -exponent);
        let size = isa.dot(&self.c, &self.c).sqrt();
        if size == 0.0 {
            return 1;
        }
        let phi = &self.states[k][..dim];
        let mean_square = isa.dot(phi, phi) / dim as f64;
        let h = radius * mean_square.sqrt().max(1.0);
        for (sign, [in_phi, in_theta]) in [(1.0, &mut self.above), (-1.0, &mut self.below)] {
            self.run.state.copy_from_slice(&self.states[k]);
            isa.add_scaled(T::from_f64(sign * h / size), &self.c, &mut self.run.state[..dim]);
            self.run.look(inner, theta, data);
            let (workspace, state, _, inputs) = self.run.parts(theta, data);
            inner.gradients(workspace, &inputs, state, in_phi, in_theta);
        }
        let scale = size * 2.0_f64.powi(exponent) / (2.0 * h);
        let mut add = |i: usize, to: &mut [T]| {
            // The difference first: it is small beside what it is of.
            isa.add_scaled(T::lit(-1.0), &self.below[i], &mut self.above[i]);
            isa.add_scaled(T::from_f64(scale), &self.above[i], to);
        };
        add(0, &mut self.w[..dim]);
        if inner.in_theta() {
            add(1, gradient);
        }
        3
    }
}

impl<T: Element> Worker<T> for DifferenceWorker<'_, T> {
    fn gradient(&mut self, theta: &[T], hyper: Hyper, data: &[Arg<'_, T>], gradient: &mut [T]) -> Report {
        let FiniteDifference { inner, outer, steps, .. } = self.method;
        self.run.start(inner, theta, hyper, data);
        let mut report = Report::default();
        for k in 0..*steps {
            self.states[k].copy_from_slice(&self.run.state);
            report.saw(self.run.advance(inner, theta, data, k));
        }
        if *steps == 0 {
            see_start(&mut self.run, inner, theta, data, std::slice::from_mut(&mut report));
        }
        self.phi.copy_from_slice(&self.run.state[..inner.dim()]);
        self.w.fill(T::zero());
        let (_, _, _, inputs) = self.run.parts(theta, data);
        let w = &mut self.w[..inner.dim()];
        report.query_loss = outer.gradient(&mut self.outer, &inputs, &self.phi, w, gradient);
        report.evaluations = *steps;
        for k in (0..*steps).rev() {
            report.evaluations += self.pull(theta, data, k, gradient);
        }
        inner.start_cotangent(&self.w, gradient, true);
        report
    }

    fn phi(&self) -> &[T] {
        &self.phi
    }
}
