//! Forward-mode hypergradients (Franceschi, Donini, Frasconi & Pontil 2017, "Forward and reverse gradient-based
//! hyperparameter optimization", section 3.2): tangents carried along the inner run.
//!
//! ```text
//! ż_0 = ∂state_0/∂h       ż_{k+1} = ∂S/∂state ż_k + ∂S/∂h       dF/dh = ∂f/∂φ · φ̇_K + ∂f/∂h
//! ```
//!
//! One tangent for each hyperparameter h, whatever K is: for a handful of hyperparameters and many steps. The numbers are
//! those of backpropagation through the same steps, in another order of operations.

use autodiff::{Arg, Element, Stage, Workspace};

use super::{Method, Report, Worker};
use crate::inner::{Derivative, GradientDescent, Hyper, InnerPlan, OuterPlan, Run, Step};
use crate::problem::Problem;

/// What a forward-mode gradient is taken with respect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hyperparameter {
    /// λ, [`Hyper::lambda`].
    Lambda,
    /// The inner step size, [`Hyper::rate`].
    Rate,
    /// A coordinate of θ.
    Theta(usize),
}

/// dF/dh for a few hyperparameters h: the gradient that its workers write has one number for each.
///
/// ```
/// use meta::inner::Hyper;
/// use meta::method::{ForwardMode, Hyperparameter, Method};
/// use meta::FewShot;
///
/// let problem = FewShot::new("mlp:1-8-1,act=tanh".parse().unwrap(), 2, 2, true);
/// let method = ForwardMode::<f64>::new(&problem, 50, &[Hyperparameter::Lambda, Hyperparameter::Rate]);
/// let theta: Vec<f64> = (0..problem.model().layout().len()).map(|i| (i as f64).sin()).collect();
/// let data = [[0.1, 0.7], [1.0, 0.0], [0.3, 0.9], [0.8, -0.2]];
/// let data = data.each_ref().map(|d| d[..].into());
/// let slope = |lambda: f64| {
///     let mut gradient = [0.0; 2];
///     let report = method.worker().gradient(&theta, Hyper { lambda, rate: 0.1 }, &data, &mut gradient);
///     (report.query_loss, gradient[0])
/// };
/// let difference = (slope(0.501).0 - slope(0.499).0) / 0.002;
/// // Central differences are off by h²/6 of a third derivative.
/// assert!((slope(0.5).1 - difference).abs() < 1e-5);
/// ```
pub struct ForwardMode<T> {
    inner: InnerPlan<T>,
    outer: OuterPlan<T>,
    steps: usize,
    along: Vec<Hyperparameter>,
}

impl<T: Element> ForwardMode<T> {
    /// Through `steps` of gradient descent.
    ///
    /// # Panics
    /// Where a coordinate is not one of θ.
    #[track_caller]
    pub fn new(problem: &dyn Problem, steps: usize, along: &[Hyperparameter]) -> Self {
        Self::with_step(problem, &GradientDescent, steps, along)
    }

    /// With another inner optimiser.
    ///
    /// # Panics
    /// As [`new`](ForwardMode::new).
    #[track_caller]
    pub fn with_step(problem: &dyn Problem, step: &dyn Step, steps: usize, along: &[Hyperparameter]) -> Self {
        let inner = InnerPlan::new(problem, step, Derivative::Pushforward);
        for hyperparameter in along {
            let dim = inner.theta_dim();
            assert!(
                !matches!(hyperparameter, Hyperparameter::Theta(i) if *i >= dim),
                "ForwardMode: {hyperparameter:?} of a θ of {dim} numbers"
            );
        }
        ForwardMode { inner, outer: OuterPlan::new(problem), steps, along: along.into() }
    }

    /// Where in a direction (ż, θ̇, λ̇, α̇) the hyperparameter's own tangent is.
    fn place(&self, of: Hyperparameter) -> usize {
        let theta = self.inner.state_len();
        let hyper = theta + self.inner.theta_dim();
        match of {
            Hyperparameter::Theta(i) => theta + i,
            Hyperparameter::Lambda => hyper,
            Hyperparameter::Rate => hyper + 1,
        }
    }

    fn direction_len(&self) -> usize {
        self.inner.state_len() + self.inner.theta_dim() + 2
    }
}

impl<T: Element> Method<T> for ForwardMode<T> {
    fn shared_worker(&self, threads: usize) -> Box<dyn Worker<T> + '_> {
        let zeros = |n| vec![T::zero(); n];
        Box::new(ForwardWorker {
            method: self,
            run: Run::new(&self.inner, threads),
            outer: self.outer.plan().shared_workspace(threads),
            tangents: self.along.iter().map(|_| zeros(self.inner.state_len())).collect(),
            direction: zeros(self.direction_len()),
            v: zeros(self.inner.dim()),
            direct: zeros(self.inner.theta_dim()),
        })
    }

    fn bytes(&self) -> usize {
        let (dim, theta, state) = (self.inner.dim(), self.inner.theta_dim(), self.inner.state_len());
        let vectors = self.along.len() * state + self.direction_len() + dim + theta;
        Run::bytes(&self.inner) + self.outer.plan().bytes() + vectors * size_of::<T>()
    }

    fn flops(&self, report: &Report) -> u64 {
        let plan = self.inner.plan();
        report.steps as u64 * plan.flops(Stage::POINT)
            + report.products as u64 * plan.flops(Stage::DIRECTION)
            + plan.flops(Stage::DATA)
            + self.outer.flops()
    }
}

struct ForwardWorker<'m, T> {
    method: &'m ForwardMode<T>,
    run: Run<T>,
    outer: Workspace<T>,
    /// ż of each hyperparameter.
    tangents: Vec<Vec<T>>,
    direction: Vec<T>,
    v: Vec<T>,
    direct: Vec<T>,
}

impl<T: Element> ForwardWorker<'_, T> {
    /// Every ż ← ∂state_0/∂h.
    fn start(&mut self) {
        let ForwardMode { inner, along, .. } = self.method;
        for (tangent, hyperparameter) in self.tangents.iter_mut().zip(along) {
            tangent.fill(T::zero());
            if let Hyperparameter::Theta(i) = *hyperparameter
                && inner.starts_at_theta()
                && i < inner.dim()
            {
                tangent[i] = T::one();
            }
        }
    }

    /// Every ż ← ż′ at the point in the workspace.
    fn push(&mut self, theta: &[T], data: &[Arg<'_, T>]) {
        let ForwardMode { inner, along, .. } = self.method;
        let (workspace, state, _, inputs) = self.run.parts(theta, data);
        for (tangent, &hyperparameter) in self.tangents.iter_mut().zip(along) {
            let place = self.method.place(hyperparameter);
            self.direction[..tangent.len()].copy_from_slice(tangent);
            self.direction[place] = T::one();
            inner.pushforward(workspace, &inputs, state, &self.direction, tangent);
            self.direction[place] = T::zero();
        }
    }
}

impl<T: Element> Worker<T> for ForwardWorker<'_, T> {
    /// Writes a number for each hyperparameter, in their order.
    fn gradient(&mut self, theta: &[T], hyper: Hyper, data: &[Arg<'_, T>], gradient: &mut [T]) -> Report {
        let ForwardMode { inner, outer, steps, along } = self.method;
        assert_eq!(gradient.len(), along.len(), "gradient: a number for each hyperparameter");
        let dim = inner.dim();
        self.run.start(inner, theta, hyper, data);
        self.start();
        let mut report = Report { products: steps * along.len(), ..Report::default() };
        for k in 0..*steps {
            self.run.at_step(inner, k);
            report.saw(self.run.look(inner, theta, data));
            self.push(theta, data);
            self.run.accept();
        }
        let (_, state, _, inputs) = self.run.parts(theta, data);
        let (loss, in_lambda) =
            outer.gradient_with_lambda(&mut self.outer, &inputs, &state[..dim], &mut self.v, &mut self.direct);
        report.query_loss = loss;
        let isa = inner.plan().isa();
        for ((g, tangent), hyperparameter) in gradient.iter_mut().zip(&self.tangents).zip(along) {
            let direct = match *hyperparameter {
                Hyperparameter::Theta(i) => self.direct[i].to_f64(),
                Hyperparameter::Lambda => in_lambda,
                Hyperparameter::Rate => 0.0,
            };
            *g = T::from_f64(isa.dot(&self.v, &tangent[..dim]) + direct);
        }
        report
    }

    fn phi(&self) -> &[T] {
        &self.run.state[..self.method.inner.dim()]
    }
}
