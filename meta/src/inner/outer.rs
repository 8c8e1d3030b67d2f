//! The outer loss.

use autodiff::{Arg, Element, Options, Plan, Real, Stage, Tape, Var, Workspace, vjp_structural};

use super::lanes::Declaring;
use super::{Inputs, MOST_DATA, MOST_LANES};
use crate::problem::{At, Problem};

/// The compiled outer loss and its gradient: of one task, or of several at a time, as an
/// [`InnerPlan`](super::InnerPlan) is.
pub struct OuterPlan<T> {
    plan: Plan<T>,
    lanes: usize,
    in_theta: bool,
    in_lambda: bool,
    data: usize,
    /// Inputs behind those of the data that nothing reads.
    unread: usize,
}

impl<T: Element> OuterPlan<T> {
    /// Records and compiles f(φ, θ), ∂f/∂φ and, where there are such, ∂f/∂θ and ∂f/∂λ.
    pub fn new(problem: &dyn Problem) -> Self {
        Self::in_lanes(problem, 1)
    }

    /// f(φ, θ) alone.
    pub fn value_only(problem: &dyn Problem) -> Self {
        Self::compile(problem, 1, false)
    }

    /// As [`new`](OuterPlan::new), for so many tasks at a time.
    ///
    /// # Panics
    /// Where there are no lanes or more than 16.
    #[track_caller]
    pub fn in_lanes(problem: &dyn Problem, lanes: usize) -> Self {
        Self::compile(problem, lanes, true)
    }

    #[track_caller]
    fn compile(problem: &dyn Problem, lanes: usize, gradient: bool) -> Self {
        let tape = Tape::new();
        let dim = problem.dim();
        let mut declaring = Declaring::new(&tape, lanes);
        let theta = declaring.input("theta", problem.theta_dim(), Stage::DATA);
        let lambda = tape.input("lambda", [1], Stage::DATA);
        let phi = declaring.input("phi", dim, Stage::POINT);
        let data = declaring.data(problem);
        let count = data.len();
        let value = problem.outer(&At::new(phi, theta, lambda.reshape([]), data));
        let mut outputs = vec![(Stage::POINT, value)];
        let (mut in_theta, mut in_lambda) = (false, false);
        if gradient {
            let gradients = vjp_structural(&[(value, Var::one())], &[phi, theta, lambda]);
            outputs.push((Stage::POINT, gradients[0].unwrap_or_else(|| Var::full(&tape, 0.0, dim))));
            outputs.extend(gradients[1].map(|g| (Stage::POINT, g)));
            in_theta = gradients[1].is_some();
            outputs.extend(gradients[2].map(|g| (Stage::POINT, g)));
            in_lambda = gradients[2].is_some();
        }
        let plan = Plan::staged(&tape, &declaring.outputs(outputs), Options::default());
        OuterPlan { plan, lanes, in_theta, in_lambda, data: count, unread: declaring.unread }
    }

    /// The compiled plan.
    pub fn plan(&self) -> &Plan<T> {
        &self.plan
    }

    /// Whether f depends on θ other than through φ.
    pub fn in_theta(&self) -> bool {
        self.in_theta
    }

    /// Whether it reads θ.
    pub(crate) fn reads_theta(&self) -> bool {
        self.plan.reads(0)
    }

    /// Multiply-adds × 2 of the products of one evaluation.
    pub fn flops(&self) -> u64 {
        self.plan.flops(Stage::DATA) + self.plan.flops(Stage::POINT)
    }

    fn run(&self, workspace: &mut Workspace<T>, inputs: &Inputs<'_, T>, phi: &[T], outputs: &mut [&mut [T]]) {
        assert_eq!(inputs.data.len(), self.data, "as many data inputs as the problem declares");
        let mut args = [Arg::Floats(&[][..]); 3 + 2 * MOST_DATA];
        args[0] = inputs.theta.into();
        args[1] = inputs.hyper[..1].into();
        args[2] = phi.into();
        args[3..3 + self.data].copy_from_slice(inputs.data);
        let args = &args[..3 + self.data + self.unread];
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
        self.gradient_with_lambda(workspace, inputs, phi, in_phi, in_theta).0
    }

    /// As [`gradient`](OuterPlan::gradient); beside f, ∂f/∂λ.
    pub fn gradient_with_lambda(
        &self,
        workspace: &mut Workspace<T>,
        inputs: &Inputs<'_, T>,
        phi: &[T],
        in_phi: &mut [T],
        in_theta: &mut [T],
    ) -> (f64, f64) {
        let (mut value, mut in_lambda) = ([0.0], [0.0]);
        if !self.in_theta {
            in_theta.fill(T::zero());
        }
        self.gradient_in_lanes(workspace, inputs, phi, in_phi, in_theta, [&mut value, &mut in_lambda]);
        (value[0], in_lambda[0])
    }

    /// Writes ∂f/∂φ and ∂f/∂θ of all tasks, and for each in its lane f and ∂f/∂λ; `in_theta` is left alone where f does
    /// not [depend on θ](OuterPlan::in_theta).
    pub fn gradient_in_lanes(
        &self,
        workspace: &mut Workspace<T>,
        inputs: &Inputs<'_, T>,
        phi: &[T],
        in_phi: &mut [T],
        in_theta: &mut [T],
        of_lanes: [&mut [f64]; 2],
    ) {
        let mut numbers = [[T::zero(); MOST_LANES]; 2];
        let [value, in_lambda] = &mut numbers;
        let (value, in_lambda) = (&mut value[..self.lanes], &mut in_lambda[..self.lanes]);
        match (self.in_theta, self.in_lambda) {
            (true, true) => self.run(workspace, inputs, phi, &mut [value, in_phi, in_theta, in_lambda]),
            (true, false) => self.run(workspace, inputs, phi, &mut [value, in_phi, in_theta]),
            (false, true) => self.run(workspace, inputs, phi, &mut [value, in_phi, in_lambda]),
            (false, false) => self.run(workspace, inputs, phi, &mut [value, in_phi]),
        }
        for (to, from) in of_lanes.into_iter().zip(&numbers) {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = from.to_f64());
        }
    }
}
