//! Evolution strategies (Salimans, Ho, Chen, Sidor & Sutskever 2017): the gradient of F smoothed by a Gaussian, from
//! values of F alone.
//!
//! ```text
//! F(θ) = f(φ_K(θ), θ)       F_σ(θ) = E F(θ + σ ε),   ε ~ N(0, 1)
//! ∇F_σ  =  E (F(θ + σ ε) − F(θ − σ ε))/2σ · ε   ≈   1/n Σ_j (F(θ + σ ε_j) − F(θ − σ ε_j))/2σ · ε_j
//! ```
//!
//! An approximation, of zero order: nothing is differentiated, and 2n + 1 adaptations are run. It is without bias for
//! ∇F_σ, which for a quadratic F is ∇F; its relative error is √((d + 1)/n) over d coordinates of θ, so it is a baseline
//! to measure others by. In a precision of ε rounding adds some ε |F|/σ √(d/n).
//!
//! **The noise** of draw j is a pure function of (seed, θ, hyperparameters, the task's data, j): repeating a gradient
//! repeats it, whichever thread takes it, and the next iteration's θ has noise of its own.
//!
//! This differs from the paper in: 1. F as it is, not its ranks. 2. Tasks do not share noise. 3. No weight decay.

use autodiff::{Arg, Element, Stage, Workspace};

use super::{Method, Report, Worker, take_steps};
use crate::inner::{Derivative, GradientDescent, Hyper, InnerPlan, OuterPlan, Run, Step};
use crate::problem::Problem;
use crate::tasks::random::Random;

/// An estimate of dF/dθ from pairs of values of F.
///
/// ```
/// use meta::inner::Hyper;
/// use meta::method::{EvolutionStrategies, Method};
/// use meta::{FewShot, Problem};
///
/// let problem = FewShot::new("mlp:1-4-1,act=tanh".parse().unwrap(), 2, 2, false);
/// let theta: Vec<f64> = (0..problem.dim()).map(|i| (i as f64).sin()).collect();
/// let data = [[0.1, 0.7], [1.0, 0.0], [0.3, 0.9], [0.8, -0.2]];
/// let data = data.each_ref().map(|d| d[..].into());
/// let gradient = |seed| {
///     let method = EvolutionStrategies::new(&problem, 3).with_pairs(20).with_sigma(0.01).with_seed(seed);
///     let mut g = vec![0.0; theta.len()];
///     method.worker().gradient(&theta, Hyper { lambda: 0.0, rate: 0.1 }, &data, &mut g);
///     g
/// };
/// assert_eq!(gradient(1), gradient(1));
/// assert_ne!(gradient(1), gradient(2));
/// ```
pub struct EvolutionStrategies<T> {
    inner: InnerPlan<T>,
    outer: OuterPlan<T>,
    steps: usize,
    pairs: usize,
    sigma: f64,
    seed: u64,
    /// Coordinates of θ that do not move.
    still: Vec<usize>,
}

impl<T: Element> EvolutionStrategies<T> {
    /// After `steps` of gradient descent; 16 pairs, σ = 0.01, seed 0.
    pub fn new(problem: &dyn Problem, steps: usize) -> Self {
        Self::with_step(problem, &GradientDescent, steps)
    }

    /// With another inner optimiser.
    pub fn with_step(problem: &dyn Problem, step: &dyn Step, steps: usize) -> Self {
        let inner = InnerPlan::new(problem, step, Derivative::None);
        let outer = OuterPlan::value_only(problem);
        EvolutionStrategies { inner, outer, steps, pairs: 16, sigma: 0.01, seed: 0, still: Vec::new() }
    }

    /// With n pairs.
    ///
    /// # Panics
    /// Where it is 0.
    #[track_caller]
    pub fn with_pairs(self, pairs: usize) -> Self {
        assert!(pairs > 0, "evolution strategies without a pair");
        EvolutionStrategies { pairs, ..self }
    }

    /// With another σ.
    ///
    /// # Panics
    /// Where it is not a number above 0.
    #[track_caller]
    pub fn with_sigma(self, sigma: f64) -> Self {
        assert!(sigma > 0.0 && sigma.is_finite(), "σ is {sigma}, not above 0");
        EvolutionStrategies { sigma, ..self }
    }

    /// With other noise.
    pub fn with_seed(self, seed: u64) -> Self {
        EvolutionStrategies { seed, ..self }
    }

    /// Moving only the coordinates of θ that `moves` has `true` for; the others' gradient is 0. For what is no parameter,
    /// such as the padding of a [layout](nn::Layout).
    ///
    /// # Panics
    /// Where it has another length than θ.
    #[track_caller]
    pub fn moving(self, moves: &[bool]) -> Self {
        assert_eq!(moves.len(), self.inner.theta_dim(), "moving: as many as θ has coordinates");
        let still = (0..moves.len()).filter(|&i| !moves[i]).collect();
        EvolutionStrategies { still, ..self }
    }

    /// Writes ε of a draw.
    ///
    /// # Panics
    /// Where `epsilon` has another length than θ.
    #[track_caller]
    pub fn noise(&self, theta: &[T], hyper: Hyper, data: &[Arg<'_, T>], draw: usize, epsilon: &mut [T]) {
        assert_eq!(epsilon.len(), self.inner.theta_dim(), "noise: as many as θ has coordinates");
        self.draw(fingerprint(theta, hyper, data), draw, epsilon);
    }

    fn draw(&self, stream: u64, draw: usize, epsilon: &mut [T]) {
        let mut random = Random::new("evolution", self.seed, draw as u64, stream);
        for pair in epsilon.chunks_mut(2) {
            pair.iter_mut().zip(random.normals()).for_each(|(e, normal)| *e = T::from_f64(normal));
        }
        self.still.iter().for_each(|&i| epsilon[i] = T::zero());
    }
}

/// A number that differs, as far as 64 bits can, where anything that a gradient depends on differs.
fn fingerprint<T: Element>(theta: &[T], hyper: Hyper, data: &[Arg<'_, T>]) -> u64 {
    // FNV-1a on words, rotated: a product alone moves no bit down.
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    let mut enter = |word: u64| hash = (hash ^ word).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(29);
    theta.iter().for_each(|t| enter(t.to_f64().to_bits()));
    enter(hyper.lambda.to_bits());
    enter(hyper.rate.to_bits());
    for input in data {
        match input {
            Arg::Floats(values) => values.iter().for_each(|v| enter(v.to_f64().to_bits())),
            Arg::Indices(indices) => indices.iter().for_each(|&i| enter(u64::from(i))),
        }
    }
    hash
}

impl<T: Element> Method<T> for EvolutionStrategies<T> {
    fn shared_worker(&self, threads: usize) -> Box<dyn Worker<T> + '_> {
        let zeros = |n| vec![T::zero(); n];
        Box::new(EvolutionWorker {
            method: self,
            run: Run::new(&self.inner, threads),
            outer: self.outer.plan().shared_workspace(threads),
            phi: zeros(self.inner.dim()),
            epsilon: zeros(self.inner.theta_dim()),
            moved: zeros(self.inner.theta_dim()),
        })
    }

    fn bytes(&self) -> usize {
        let vectors = self.inner.dim() + 2 * self.inner.theta_dim();
        Run::bytes(&self.inner) + self.outer.plan().bytes() + vectors * size_of::<T>()
    }

    fn flops(&self, report: &Report) -> u64 {
        let plan = self.inner.plan();
        let values = 1 + 2 * self.pairs as u64;
        report.evaluations as u64 * plan.flops(Stage::POINT) + values * (plan.flops(Stage::DATA) + self.outer.flops())
    }
}

struct EvolutionWorker<'m, T> {
    method: &'m EvolutionStrategies<T>,
    run: Run<T>,
    outer: Workspace<T>,
    phi: Vec<T>,
    epsilon: Vec<T>,
    moved: Vec<T>,
}

impl<T: Element> EvolutionWorker<'_, T> {
    /// F at a θ; φ_K is in `run.state`.
    fn value(&mut self, theta: &[T], hyper: Hyper, data: &[Arg<'_, T>]) -> Report {
        let EvolutionStrategies { inner, outer, steps, .. } = self.method;
        self.run.start(inner, theta, hyper, data);
        let mut report = take_steps(&mut self.run, inner, theta, data, 0..*steps);
        let (_, state, _, inputs) = self.run.parts(theta, data);
        report.query_loss = outer.value(&mut self.outer, &inputs, &state[..inner.dim()]);
        report
    }
}

impl<T: Element> Worker<T> for EvolutionWorker<'_, T> {
    fn gradient(&mut self, theta: &[T], hyper: Hyper, data: &[Arg<'_, T>], gradient: &mut [T]) -> Report {
        let EvolutionStrategies { inner, pairs, sigma, steps, .. } = self.method;
        let isa = inner.plan().isa();
        let mut report = self.value(theta, hyper, data);
        report.evaluations = (1 + 2 * pairs) * steps;
        self.phi.copy_from_slice(&self.run.state[..inner.dim()]);
        gradient.fill(T::zero());
        let stream = fingerprint(theta, hyper, data);
        for draw in 0..*pairs {
            self.method.draw(stream, draw, &mut self.epsilon);
            let [above, below] = [*sigma, -sigma].map(|by| {
                let mut moved = std::mem::take(&mut self.moved);
                moved.copy_from_slice(theta);
                isa.add_scaled(T::from_f64(by), &self.epsilon, &mut moved);
                let value = self.value(&moved, hyper, data).query_loss;
                self.moved = moved;
                value
            });
            let slope = (above - below) / (2.0 * sigma * *pairs as f64);
            isa.add_scaled(T::from_f64(slope), &self.epsilon, gradient);
        }
        report
    }

    fn phi(&self) -> &[T] {
        &self.phi
    }
}
