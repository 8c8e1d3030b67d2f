//! Inner solvers: φ ≈ argmin G(·, θ), by whatever way.

use autodiff::{Arg, Element};

use super::{InnerPlan, Measured, Run, Solved, Step, Watch};
use crate::linear::{LinearOperator, Room, SecantPairs, SolverSpace};

/// One task's inner problem, under way: what an [`InnerSolver`] sees of it.
pub struct InnerTask<'a, T> {
    /// The compiled inner level.
    pub plan: &'a InnerPlan<T>,
    /// The state, started.
    pub run: &'a mut Run<T>,
    /// θ
    pub theta: &'a [T],
    /// The task.
    pub data: &'a [Arg<'a, T>],
    /// As many secant pairs as the solver [asked for](InnerSolver::pairs).
    pub pairs: Option<&'a mut SecantPairs<T>>,
}

/// ∇²_φφG at the last point looked at.
impl<T: Element> LinearOperator<T> for InnerTask<'_, T> {
    fn dim(&self) -> usize {
        self.plan.dim()
    }

    fn apply(&mut self, x: &[T], y: &mut [T]) {
        let (workspace, state, _, inputs) = self.run.parts(self.theta, self.data);
        self.plan.hessian(workspace, &inputs, state, x, y);
    }

    fn shift(&self) -> f64 {
        self.run.hyper()[0].to_f64()
    }

    fn unknowns(&self) -> Option<&[bool]> {
        self.plan.unknowns()
    }

    fn secant_pairs(&mut self) -> Option<&mut SecantPairs<T>> {
        self.run.watch.as_mut().map(Watch::pairs)
    }
}

impl<'a, T: Element> InnerTask<'a, T> {
    /// Without room for pairs.
    pub fn new(plan: &'a InnerPlan<T>, run: &'a mut Run<T>, theta: &'a [T], data: &'a [Arg<'a, T>]) -> Self {
        InnerTask { plan, run, theta, data, pairs: None }
    }

    /// Measures at the state; `run.next` ← S(state).
    pub fn look(&mut self) -> Measured {
        self.run.look(self.plan, self.theta, self.data)
    }

    /// `run.next` ← S(state), measuring nothing: no product is taken there.
    pub fn pass(&mut self) {
        self.run.pass(self.plan, self.theta, self.data);
    }
}

/// Finds φ ≈ argmin G(·, θ). It may decide as it goes: what it does is not differentiated, its answer is.
pub trait InnerSolver<T>: Send + Sync {
    /// What the plan writes to `next` at a point.
    fn step(&self) -> &dyn Step;

    /// What a [`SolverSpace`] for it has to hold.
    fn room(&self) -> Room {
        Room::default()
    }

    /// Secant pairs that it wants room for.
    fn pairs(&self) -> usize {
        0
    }

    /// Whether it multiplies by ∇²G: a plan that is made for its solution alone needs no products otherwise.
    fn multiplies(&self) -> bool {
        true
    }

    /// How many steps it takes, where it takes so many of the given size whatever it meets.
    fn fixed_steps(&self) -> Option<usize> {
        None
    }

    /// Goes from the task's state to the solution. The last point looked at is `run.state`: there the derivatives are.
    fn solve(&self, task: &mut InnerTask<'_, T>, space: &mut SolverSpace<T>) -> Solved;
}
