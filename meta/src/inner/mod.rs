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

mod gradient_descent;

use autodiff::{
    Arg, Block, Element, Options, Plan, Real, Stage, Tape, Var, Workspace, grad, jvp_structural, vjp_structural,
};

pub use gradient_descent::GradientDescent;

use crate::problem::{At, Problem};

/// One step of a first-order optimiser, recorded.
pub trait Step: Send + Sync {
    /// Numbers in the state; the first `dim` are φ.
    fn state_len(&self, dim: usize) -> usize {
        dim
    }

    /// Records the new state. `rate` is the step size, an input.
    fn record<'t>(&self, state: Var<'t>, gradient: Var<'t>, rate: Var<'t>) -> Var<'t>;
}

/// What the direction stage of an [`InnerPlan`] multiplies by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Derivative {
    /// Nothing: for methods that do not differentiate the inner level.
    None,
    /// c ↦ ∇²_φφG c, and in the adjoint stage c ↦ (∂_θ∇_φG)ᵀ c.
    Hessian,
    /// w ↦ (∂S/∂state)ᵀ w and (∂S/∂θ)ᵀ w.
    Pullback,
}

/// Numbers that scale the inner problem, the same for all tasks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hyper {
    /// λ of the prox term.
    pub lambda: f64,
    /// Step size of the inner optimiser.
    pub rate: f64,
}

/// The compiled inner level.
pub struct InnerPlan<T> {
    plan: Plan<T>,
    dim: usize,
    state_len: usize,
    /// Whether the derivative has a part in θ.
    in_theta: bool,
    data: usize,
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
}

/// The most data inputs a problem may have: they are bound on the stack.
const MOST_DATA: usize = 12;

impl<T: Element> InnerPlan<T> {
    /// Records and compiles.
    ///
    /// # Panics
    /// Where the problem's parts do not fit together.
    pub fn new(problem: &dyn Problem, step: &dyn Step, derivative: Derivative) -> Self {
        let tape = Tape::new();
        let dim = problem.dim();
        let state_len = step.state_len(dim);
        let theta = tape.input("theta", dim, Stage::DATA);
        let lambda = tape.input("lambda", [1], Stage::DATA).reshape([]);
        let rate = tape.input("rate", [1], Stage::DATA).reshape([]);
        let state = tape.input("state", state_len, Stage::POINT);
        let direction = match derivative {
            Derivative::Pullback => tape.input("direction", state_len, Stage::DIRECTION),
            _ => tape.input("direction", dim, Stage::DIRECTION),
        };
        let solution = tape.input("solution", dim, Stage::ADJOINT);
        let data = problem.declare(&tape);
        assert!(data.len() <= MOST_DATA, "a problem has at most {MOST_DATA} data inputs");

        let phi = state.slice(&[0], &[dim]).cut();
        let data_len = data.len();
        let value = problem.inner(&At { phi, theta, lambda, data });
        let gradients = grad(value, &[phi, theta]);
        let gradient = gradients[0];
        // The step sees the gradient as a variable of its own, so that it can be differentiated there.
        let gradient_variable = gradient.cut();
        let next = step.record(state, gradient_variable, rate);
        let mut outputs = vec![(Stage::POINT, value), (Stage::POINT, gradient.dot(gradient)), (Stage::POINT, next)];
        let mut in_theta = false;
        let zero = || Var::full(&tape, 0.0, dim);
        match derivative {
            Derivative::None => {}
            Derivative::Hessian => {
                let product = jvp_structural(&[gradient], &[(phi, direction)])[0];
                outputs.push((Stage::DIRECTION, product.unwrap_or_else(zero)));
                if let Some(mixed) = jvp_structural(&[gradients[1]], &[(phi, solution)])[0] {
                    in_theta = true;
                    outputs.push((Stage::ADJOINT, mixed));
                }
            }
            Derivative::Pullback => {
                // The step as a function of the state and of the gradient, cut there; then the gradient.
                let cut = vjp_structural(&[(next, direction)], &[state, gradient_variable]);
                let (direct, into_gradient) = (cut[0], cut[1]);
                let through = |of| jvp_structural(&[of], &[(phi, into_gradient?)])[0];
                let pulled = through(gradient).map(|h| h.pad(&[0], state_len));
                let sum = match (direct, pulled) {
                    (Some(a), Some(b)) => a + b,
                    (a, b) => a.or(b).unwrap_or_else(|| Var::full(&tape, 0.0, state_len)),
                };
                outputs.push((Stage::DIRECTION, sum));
                if let Some(mixed) = through(gradients[1]) {
                    in_theta = true;
                    outputs.push((Stage::DIRECTION, mixed));
                }
            }
        }
        let plan = Plan::staged(&tape, &outputs, Options::default());
        InnerPlan { plan, dim, state_len, in_theta, data: data_len }
    }

    /// The compiled plan.
    pub fn plan(&self) -> &Plan<T> {
        &self.plan
    }

    /// |φ|
    pub fn dim(&self) -> usize {
        self.dim
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
        [state, direction, solution]: [&[T]; 3],
        outputs: &mut [&mut [T]],
    ) {
        assert_eq!(inputs.data.len(), self.data, "as many data inputs as the problem declares");
        let mut args = [Arg::Floats(&[][..]); 6 + MOST_DATA];
        args[0] = inputs.theta.into();
        args[1] = inputs.hyper[..1].into();
        args[2] = inputs.hyper[1..].into();
        args[3] = state.into();
        args[4] = direction.into();
        args[5] = solution.into();
        args[6..6 + self.data].copy_from_slice(inputs.data);
        self.plan.run(stage, workspace, &args[..6 + self.data], outputs);
    }

    /// Starts a task: computes what depends on nothing but its data and θ.
    pub fn start(&self, workspace: &mut Workspace<T>, inputs: &Inputs<'_, T>) {
        self.run(Stage::DATA, workspace, inputs, [&[]; 3], &mut []);
    }

    /// next ← S(state); keeps in `workspace` what derivatives at `state` need.
    pub fn step(&self, workspace: &mut Workspace<T>, inputs: &Inputs<'_, T>, state: &[T], next: &mut [T]) -> Measured {
        let (mut value, mut square) = ([T::zero()], [T::zero()]);
        self.run(Stage::POINT, workspace, inputs, [state, &[], &[]], &mut [&mut value, &mut square, next]);
        Measured { value: value[0].to_f64(), gradient_norm: square[0].to_f64().sqrt() }
    }

    /// product ← ∇²_φφG c at the last point (of a plan made for [`Derivative::Hessian`]).
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

    /// product ← (∂_θ∇_φG)ᵀ x at the last point (of a plan made for [`Derivative::Hessian`]).
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

/// The compiled outer loss and its gradient.
pub struct OuterPlan<T> {
    plan: Plan<T>,
    in_theta: bool,
    data: usize,
}

impl<T: Element> OuterPlan<T> {
    /// Records and compiles f(φ, θ), ∂f/∂φ and, where there is one, ∂f/∂θ.
    pub fn new(problem: &dyn Problem) -> Self {
        Self::compile(problem, true)
    }

    /// f(φ, θ) alone.
    pub fn value_only(problem: &dyn Problem) -> Self {
        Self::compile(problem, false)
    }

    fn compile(problem: &dyn Problem, gradient: bool) -> Self {
        let tape = Tape::new();
        let dim = problem.dim();
        let theta = tape.input("theta", dim, Stage::DATA);
        let lambda = tape.input("lambda", [1], Stage::DATA).reshape([]);
        let phi = tape.input("phi", dim, Stage::POINT);
        let data = problem.declare(&tape);
        let count = data.len();
        let value = problem.outer(&At { phi, theta, lambda, data });
        let mut outputs = vec![(Stage::POINT, value)];
        let mut in_theta = false;
        if gradient {
            let gradients = vjp_structural(&[(value, Var::one())], &[phi, theta]);
            outputs.push((Stage::POINT, gradients[0].unwrap_or_else(|| Var::full(&tape, 0.0, dim))));
            outputs.extend(gradients[1].map(|g| (Stage::POINT, g)));
            in_theta = gradients[1].is_some();
        }
        let plan = Plan::staged(&tape, &outputs, Options::default());
        OuterPlan { plan, in_theta, data: count }
    }

    /// The compiled plan.
    pub fn plan(&self) -> &Plan<T> {
        &self.plan
    }

    fn run(&self, workspace: &mut Workspace<T>, inputs: &Inputs<'_, T>, phi: &[T], outputs: &mut [&mut [T]]) {
        assert_eq!(inputs.data.len(), self.data, "as many data inputs as the problem declares");
        let mut args = [Arg::Floats(&[][..]); 3 + MOST_DATA];
        args[0] = inputs.theta.into();
        args[1] = inputs.hyper[..1].into();
        args[2] = phi.into();
        args[3..3 + self.data].copy_from_slice(inputs.data);
        let args = &args[..3 + self.data];
        self.plan.run(Stage::DATA, workspace, args, &mut []);
        self.plan.run(Stage::POINT, workspace, args, outputs);
    }

    /// f(φ, θ) of a plan made by [`value_only`](OuterPlan::value_only).
    pub fn value(&self, workspace: &mut Workspace<T>, inputs: &Inputs<'_, T>, phi: &[T]) -> f64 {
        let mut value = [T::zero()];
        self.run(workspace, inputs, phi, &mut [&mut value]);
        value[0].to_f64()
    }

    /// f(φ, θ); writes ∂f/∂φ, and ∂f/∂θ (zeros where f does not depend on θ).
    pub fn gradient(
        &self,
        workspace: &mut Workspace<T>,
        inputs: &Inputs<'_, T>,
        phi: &[T],
        in_phi: &mut [T],
        in_theta: &mut [T],
    ) -> f64 {
        let mut value = [T::zero()];
        if !self.in_theta {
            in_theta.fill(T::zero());
        }
        let mut outputs = [&mut value[..], in_phi, in_theta];
        let count = 2 + usize::from(self.in_theta);
        self.run(workspace, inputs, phi, &mut outputs[..count]);
        value[0].to_f64()
    }
}
