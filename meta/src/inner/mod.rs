//! The inner level: a step recorded once serves both running and differentiating.
//!
//! A step maps a state to a new state, state′ = S(state, ∇_φG(φ, θ)), φ being the first |φ| numbers of the state.
//! Running it is the *point* stage of one plan. At the same point that plan's later stages multiply by
//! derivatives of the step or of G, and they reuse whatever the point has already computed.
//!
//! Every derivative of the step needs one thing of G, the tangent of its gradient along φ:
//!
//! ```text
//! c ↦ (∇²_φφG c,  (∂_θ∇_φG)ᵀ c)        forward over reverse, of the gradient with respect to φ and θ
//! ```
//!
//! since ∇²_φφG is symmetric and the mixed block of the full Hessian is the transpose of the other.

mod adam;
mod adaptation;
mod bundle;
mod curvature;
mod descent;
mod differences;
mod falling;
mod gradient_descent;
mod hessian_free;
mod kink;
mod krylov;
mod lanes;
mod lbfgs;
mod line_search;
mod min_norm;
mod momentum;
mod nesterov;
mod newton;
mod outer;
mod pushforward;
mod rate;
mod run;
mod scheduled;
mod solved;
mod solver;
mod step;
mod watch;

use autodiff::{
    Arg, Block, Element, Options, Plan, Stage, Tape, Var, Workspace, grad, jvp_structural, recompute, vjp_structural,
};

pub use adam::Adam;
pub use adaptation::{Adaptation, SolverOfSteps};
pub use descent::Descent;
pub(crate) use falling::Falling;
pub use gradient_descent::GradientDescent;
pub use hessian_free::HessianFree;
pub(crate) use lanes::MOST_LANES;
pub use lbfgs::Lbfgs;
pub use momentum::Momentum;
pub use nesterov::Nesterov;
pub use outer::OuterPlan;
pub use rate::Rate;
pub(crate) use rate::curvature_bound;
pub use run::Run;
pub use scheduled::Scheduled;
pub use solved::{InnerStatus, InnerStop, Solved, Stationarity};
pub use solver::{InnerSolver, InnerTask};
pub use step::{GradientOnly, Numbers, Step, StepAt, StepInputs};
pub use watch::Watch;
pub(crate) use watch::WithGradient;

use crate::problem::{At, DataSpec, Problem, Start};
use lanes::Declaring;
use step::Varying;

/// What the direction stage of an [`InnerPlan`] multiplies by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Derivative {
    /// Nothing: for methods that do not differentiate the inner level.
    None,
    /// c ↦ ∇²_φφG c, and in the adjoint stage c ↦ (∂_θ∇_φG)ᵀ c.
    Hessian,
    /// c ↦ [I Jᵀ] ∇²ℓ [I; J] c, for G = ℓ(φ, z(φ)) with the [outputs](Problem::outputs) z and J = ∂z/∂φ: JᵀH_out J of
    /// the loss's Hessian in the outputs, and λ of the prox term (Schraudolph 2002). It lacks the curvature of z and is
    /// positive semidefinite for convex ℓ. In the adjoint stage as for `Hessian`, which is exact.
    GaussNewton,
    /// c ↦ JᵀF J c + λ c with the [Fisher matrix](Problem::fisher_of_outputs) F of the outputs in the place of H_out,
    /// else as `GaussNewton`: the same for softmax cross-entropy, width/2 of its first term for the mean squared error
    /// (F is that of a variance of 1, and no mean over the width).
    Fisher,
    /// w ↦ (∂S/∂state)ᵀ w and (∂S/∂θ)ᵀ w.
    Pullback,
    /// (ṡ, θ̇, λ̇, α̇) ↦ ∂S/∂state ṡ + ∂S/∂θ θ̇ + ∂S/∂λ λ̇ + ∂S/∂α α̇.
    Pushforward,
    /// w ↦ the pullback of the step up to the gradient that it is made with; in the adjoint stage ∇_φG and ∇_θG. For
    /// methods that take no second derivative of G.
    Differences,
}

/// Numbers that scale the inner problem, the same for all tasks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hyper {
    /// λ of the prox term.
    pub lambda: f64,
    /// Step size of the inner optimiser.
    pub rate: f64,
}

/// A way to run a stage of a plan.
type Running<T> = fn(&Plan<T>, Stage, &mut Workspace<T>, &[Arg<'_, T>], &mut [&mut [T]]);

/// The compiled inner level: of one task, or of several at a time, one in every lane.
///
/// In lanes every vector holds for each coordinate in turn those of all tasks: φ is [|φ|, lanes], θ repeated as
/// [|θ|, lanes], data [shape, lanes] (indices [lanes, shape]), and whatever is said of a vector is said of the whole.
/// Each task has the bits that it has alone.
pub struct InnerPlan<T> {
    plan: Plan<T>,
    lanes: usize,
    dim: usize,
    theta_dim: usize,
    start: Start,
    /// [`Problem::adapts`], where not all do.
    unknowns: Option<Vec<bool>>,
    varying: Varying,
    state_len: usize,
    /// Whether the derivative has a part in θ.
    in_theta: bool,
    data: Vec<DataSpec>,
    /// Inputs behind those of the data that nothing reads.
    unread: usize,
}

/// What one run of the point stage measured, at the state it started from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// G(φ, θ)
    pub value: f64,
    /// ‖∇_φG(φ, θ)‖
    pub gradient_norm: f64,
}

/// The slices that every stage of an [`InnerPlan`] is run with.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a, T> {
    /// θ
    pub theta: &'a [T],
    /// λ and the step size, in the plan's precision.
    pub hyper: &'a [T; 2],
    /// The task.
    pub data: &'a [Arg<'a, T>],
    /// Which step this is, where the plan's steps are not all the same.
    pub step: Option<&'a StepInputs<T>>,
}

impl<'a, T> Inputs<'a, T> {
    /// For steps that are all the same.
    pub fn new(theta: &'a [T], hyper: &'a [T; 2], data: &'a [Arg<'a, T>]) -> Self {
        Inputs { theta, hyper, data, step: None }
    }
}

/// a + b, where either may be a structural zero.
fn add<'t>(a: Option<Var<'t>>, b: Option<Var<'t>>) -> Option<Var<'t>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}

/// Bytes of a point's residuals beyond which they are not in a cache when they are read.
const FAR: usize = 256 << 10;

/// The most data inputs a problem may have: they are bound on the stack.
pub(crate) const MOST_DATA: usize = 12;

impl<T: Element> InnerPlan<T> {
    /// Records and compiles.
    ///
    /// # Panics
    /// Where the problem's parts do not fit together.
    pub fn new(problem: &dyn Problem, step: &dyn Step, derivative: Derivative) -> Self {
        Self::in_lanes(problem, step, derivative, 1)
    }

    /// The same for so many tasks at a time.
    ///
    /// # Panics
    /// As [`new`](InnerPlan::new), and where there are no lanes or more than 16.
    #[track_caller]
    pub fn in_lanes(problem: &dyn Problem, step: &dyn Step, derivative: Derivative, lanes: usize) -> Self {
        let tape = Tape::new();
        let dim = problem.dim();
        let theta_dim = problem.theta_dim();
        let state_len = step.state_len(dim);
        let start = problem.start();
        match &start {
            Start::Theta => assert!(dim <= theta_dim, "a start of {dim} numbers cannot be in a θ of {theta_dim}"),
            Start::Fixed(phi) => assert_eq!(phi.len(), dim, "the start has another length than φ"),
        }
        let varying = Varying::of(problem, step);
        let mut declaring = Declaring::new(&tape, lanes);
        let theta = declaring.input("theta", theta_dim, Stage::DATA);
        let hyper = ["lambda", "rate"].map(|name| tape.input(name, [1], Stage::DATA));
        let [lambda, rate] = hyper.map(|h| h.reshape([]));
        let state = declaring.input("state", state_len, Stage::POINT);
        let direction_len = match derivative {
            Derivative::None | Derivative::Hessian | Derivative::GaussNewton | Derivative::Fisher => dim,
            Derivative::Pullback | Derivative::Differences => state_len,
            Derivative::Pushforward => state_len + theta_dim + 2,
        };
        let direction = declaring.input("direction", direction_len, Stage::DIRECTION);
        let solution = declaring.input("solution", dim, Stage::ADJOINT);
        let data = declaring.data(problem);
        assert!(data.len() <= MOST_DATA, "a problem has at most {MOST_DATA} data inputs");
        let numbers = varying.numbers.as_ref().map_or(Vec::new(), |n| {
            let all = tape.input("numbers", n.count, Stage::POINT);
            (0..n.count).map(|i| all.slice(&[i], &[i + 1]).reshape([])).collect()
        });
        let minibatch = varying.minibatch.as_ref().map(|m| tape.indices("minibatch", m.rows, m.of, Stage::POINT));

        let phi = state.slice(&[0], &[dim]).cut();
        let at = At { phi, theta, lambda, data, minibatch };
        let value = problem.inner(&at);
        let gradients = grad(value, &[phi, theta]);
        let gradient = gradients[0];
        // The step sees the gradient as a variable of its own, so that it can be differentiated there.
        let gradient_variable = gradient.cut();
        let rate = problem.rate(&at, rate);
        let next = step.record(&StepAt { state, gradient: gradient_variable, rate, numbers });
        let mut outputs = vec![(Stage::POINT, value), (Stage::POINT, gradient.dot(gradient)), (Stage::POINT, next)];
        let mut in_theta = false;
        let zero = || Var::full(&tape, 0.0, dim);
        match derivative {
            Derivative::None => {}
            Derivative::Hessian | Derivative::GaussNewton | Derivative::Fisher => {
                let product = curvature::product(derivative, problem, &at, gradient, direction);
                outputs.push((Stage::DIRECTION, product.unwrap_or_else(zero)));
                if let Some(mixed) = jvp_structural(&[gradients[1]], &[(phi, solution)])[0] {
                    in_theta = true;
                    outputs.push((Stage::ADJOINT, mixed));
                }
            }
            Derivative::Pullback => {
                // The step as a function of the state, the gradient and θ, each cut there; then the gradient.
                let cut = vjp_structural(&[(next, direction)], &[state, gradient_variable, theta]);
                let (direct, into_theta) = (cut[0], cut[2]);
                // A step size is taken to the end, where the state has a pass over it anyway.
                let into_gradient = cut[1].map(Var::split_scale);
                let through = |of| {
                    let (scale, rest) = into_gradient?;
                    jvp_structural(&[of], &[(phi, rest)])[0].map(|h| scale * h)
                };
                let pulled = through(gradient).map(|h| h.pad(&[0], state_len));
                let sum = add(direct, pulled).unwrap_or_else(|| Var::full(&tape, 0.0, state_len));
                outputs.push((Stage::DIRECTION, sum));
                if let Some(mixed) = add(into_theta, through(gradients[1])) {
                    in_theta = true;
                    outputs.push((Stage::DIRECTION, mixed));
                }
            }
            Derivative::Pushforward => {
                let step = pushforward::Step { state, phi, theta, hyper, gradient, gradient_variable, next };
                let tangent = step.tangent(direction);
                outputs.push((Stage::DIRECTION, tangent.unwrap_or_else(|| Var::full(&tape, 0.0, state_len))));
            }
            Derivative::Differences => {
                let gradients = [gradient, gradients[1]];
                let step = differences::Step { tape: &tape, state, phi, theta, gradients, next };
                in_theta = step.record(gradient_variable, direction, &mut outputs);
            }
        }
        // What is measured is not needed on the way.
        let compile = |outputs| Plan::with_optional(&tape, &declaring.outputs(outputs), &[0, 1], Options::default());
        let plan: Plan<T> = compile(outputs.clone());
        // Pulled back through once, a point is read from afar once: what is cheap takes no longer to compute again.
        let far = derivative == Derivative::Pullback && plan.kept_bytes(Stage::POINT) > FAR;
        let plan = if far { compile(recompute(&outputs, Stage::POINT)) } else { plan };
        let [dim, theta_dim, state_len] = [dim, theta_dim, state_len].map(|len| len * lanes);
        let (data, unread) = (problem.data(), declaring.unread);
        let unknowns = Some(problem.adapts()).filter(|adapts| adapts.contains(&false));
        InnerPlan { plan, lanes, dim, theta_dim, start, unknowns, varying, state_len, in_theta, data, unread }
    }

    /// The compiled plan.
    pub fn plan(&self) -> &Plan<T> {
        &self.plan
    }

    /// Tasks at a time.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// What a task's data are.
    pub fn data(&self) -> &[DataSpec] {
        &self.data
    }

    /// |φ|
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// |θ|
    pub fn theta_dim(&self) -> usize {
        self.theta_dim
    }

    /// Whether φ₀ is a part of θ.
    pub fn starts_at_theta(&self) -> bool {
        self.start == Start::Theta
    }

    /// state ← (φ₀, 0)
    pub fn first_state(&self, theta: &[T], state: &mut [T]) {
        state[self.dim..].fill(T::zero());
        match &self.start {
            Start::Theta => state[..self.dim].copy_from_slice(&theta[..self.dim]),
            Start::Fixed(phi) => {
                let coordinates = state.chunks_exact_mut(self.lanes).zip(phi);
                coordinates.for_each(|(lanes, &p)| lanes.fill(T::from_f64(p)));
            }
        }
    }

    /// gradient ← (∂φ₀/∂θ)ᵀ w, or += where it `holds` something.
    pub fn start_cotangent(&self, w: &[T], gradient: &mut [T], holds: bool) {
        if holds {
            return self.add_scaled_start_cotangent(1.0, w, gradient);
        }
        let (of_start, rest) = gradient.split_at_mut(if self.starts_at_theta() { self.dim } else { 0 });
        of_start.copy_from_slice(&w[..of_start.len()]);
        rest.fill(T::zero());
    }

    /// gradient += a (∂φ₀/∂θ)ᵀ w
    pub(crate) fn add_scaled_start_cotangent(&self, a: f64, w: &[T], gradient: &mut [T]) {
        if self.starts_at_theta() {
            self.plan.isa().add_scaled(T::from_f64(a), &w[..self.dim], &mut gradient[..self.dim]);
        }
    }

    /// Room for what varies from step to step.
    pub fn step_inputs(&self) -> StepInputs<T> {
        StepInputs::new(&self.varying)
    }

    /// Bytes of that.
    pub(super) fn step_bytes(&self) -> usize {
        StepInputs::<T>::bytes(&self.varying)
    }

    /// Sets it to step k.
    pub fn set_step(&self, inputs: &mut StepInputs<T>, k: usize) {
        inputs.set(&self.varying, k);
    }

    /// Numbers in the optimiser's state.
    pub fn state_len(&self) -> usize {
        self.state_len
    }

    /// Whether the derivative has a part in θ.
    pub fn in_theta(&self) -> bool {
        self.in_theta
    }

    /// A block to keep a point in.
    pub fn block(&self) -> Block<T> {
        self.plan.block(Stage::POINT)
    }

    fn run(
        &self,
        stage: Stage,
        workspace: &mut Workspace<T>,
        inputs: &Inputs<'_, T>,
        of_point: [&[T]; 3],
        outputs: &mut [&mut [T]],
    ) {
        self.run_by(Plan::run, stage, workspace, inputs, of_point, outputs);
    }

    /// Runs a stage of the plan, by one of its ways to do so.
    fn run_by(
        &self,
        run: Running<T>,
        stage: Stage,
        workspace: &mut Workspace<T>,
        inputs: &Inputs<'_, T>,
        [state, direction, solution]: [&[T]; 3],
        outputs: &mut [&mut [T]],
    ) {
        let data = self.data.len();
        assert_eq!(inputs.data.len(), data, "as many data inputs as the problem declares");
        let mut args = [Arg::Floats(&[][..]); 8 + 2 * MOST_DATA];
        args[0] = inputs.theta.into();
        args[1] = inputs.hyper[..1].into();
        args[2] = inputs.hyper[1..].into();
        args[3] = state.into();
        args[4] = direction.into();
        args[5] = solution.into();
        args[6..6 + data].copy_from_slice(inputs.data);
        let mut count = 6 + data + self.unread;
        if self.varying.numbers.is_some() || self.varying.minibatch.is_some() {
            let step = inputs.step.expect("this plan's steps vary: they are run with StepInputs");
            if self.varying.numbers.is_some() {
                args[count] = step.numbers[..].into();
                count += 1;
            }
            if self.varying.minibatch.is_some() {
                args[count] = Arg::Indices(&step.rows);
                count += 1;
            }
        }
        run(&self.plan, stage, workspace, &args[..count], outputs);
    }

    /// Starts a task: computes what depends on nothing but its data and θ.
    pub fn start(&self, workspace: &mut Workspace<T>, inputs: &Inputs<'_, T>) {
        self.run(Stage::DATA, workspace, inputs, [&[]; 3], &mut []);
    }

    /// next ← S(state); keeps in `workspace` what derivatives at `state` need.
    pub fn step(&self, workspace: &mut Workspace<T>, inputs: &Inputs<'_, T>, state: &[T], next: &mut [T]) -> Measured {
        let mut measured = [Measured::default()];
        self.step_in_lanes(workspace, inputs, state, next, &mut measured);
        measured[0]
    }

    /// [`step`](InnerPlan::step) of a plan for several tasks, with what each measured; nothing is measured where there is
    /// no room for it.
    pub fn step_in_lanes(
        &self,
        workspace: &mut Workspace<T>,
        inputs: &Inputs<'_, T>,
        state: &[T],
        next: &mut [T],
        measured: &mut [Measured],
    ) {
        let (mut values, mut squares) = ([T::zero(); MOST_LANES], [T::zero(); MOST_LANES]);
        let count = if measured.is_empty() { 0 } else { self.lanes };
        let (values, squares) = (&mut values[..count], &mut squares[..count]);
        self.run(Stage::POINT, workspace, inputs, [state, &[], &[]], &mut [values, squares, next]);
        for ((m, value), square) in measured.iter_mut().zip(values).zip(squares) {
            *m = Measured { value: value.to_f64(), gradient_norm: square.to_f64().sqrt() };
        }
    }

    /// next ← S(state), where no derivative is taken at `state`: nothing is measured or kept of it, and what was kept of the
    /// last point is lost.
    pub fn step_through(&self, workspace: &mut Workspace<T>, inputs: &Inputs<'_, T>, state: &[T], next: &mut [T]) {
        let outputs = &mut [&mut [][..], &mut [], next];
        self.run_by(Plan::run_through, Stage::POINT, workspace, inputs, [state, &[], &[]], outputs);
    }

    /// product ← ∇²_φφG c at the last point, of a plan made for [`Derivative::Hessian`]; what stands for the Hessian, of
    /// one made for [`Derivative::GaussNewton`] or [`Derivative::Fisher`].
    pub fn hessian(
        &self,
        workspace: &mut Workspace<T>,
        inputs: &Inputs<'_, T>,
        state: &[T],
        c: &[T],
        product: &mut [T],
    ) {
        self.run(Stage::DIRECTION, workspace, inputs, [state, c, &[]], &mut [product]);
    }

    /// product ← (∂_θ∇_φG)ᵀ x at the last point, of a plan made for [`Derivative::Hessian`] or what stands for it.
    pub fn mixed(&self, workspace: &mut Workspace<T>, inputs: &Inputs<'_, T>, state: &[T], x: &[T], product: &mut [T]) {
        if self.in_theta {
            self.run(Stage::ADJOINT, workspace, inputs, [state, &[], x], &mut [product]);
        } else {
            product.fill(T::zero());
        }
    }

    /// pulled ← (∂S/∂state)ᵀ w, in_theta ← (∂S/∂θ)ᵀ w at the last point (of a plan made for
    /// [`Derivative::Pullback`]); `in_theta` is left alone where the step does not depend on θ.
    pub fn pullback(
        &self,
        workspace: &mut Workspace<T>,
        inputs: &Inputs<'_, T>,
        state: &[T],
        w: &[T],
        pulled: &mut [T],
        in_theta: &mut [T],
    ) {
        let mut outputs = [pulled, in_theta];
        let count = 1 + usize::from(self.in_theta);
        self.run(Stage::DIRECTION, workspace, inputs, [state, w, &[]], &mut outputs[..count]);
    }
}
