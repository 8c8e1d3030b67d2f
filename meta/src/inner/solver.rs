//! Inner solvers: φ ≈ argmin G(·, θ), by whatever way.

use std::fmt;

use autodiff::{Arg, Element};

use super::rate::{Rate, curvature_bound};
use super::{GradientDescent, InnerPlan, Measured, Run, Step, Watch};
use crate::linear::{LinearOperator, Room, SecantPairs, SolverSpace};

/// How long an inner solver runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InnerStop {
    /// This many steps.
    Steps(usize),
    /// Until ‖∇_φG‖ ≤ `gradient`, at most `cap` steps.
    Gradient {
        /// The bound on ‖∇_φG‖.
        gradient: f64,
        /// The most steps.
        cap: usize,
    },
}

impl InnerStop {
    /// The most steps, and the ‖∇_φG‖ that ends them sooner.
    pub fn limits(self) -> (usize, f64) {
        match self {
            InnerStop::Steps(steps) => (steps, 0.0),
            InnerStop::Gradient { gradient, cap } => (cap, gradient),
        }
    }
}

/// How an inner solve ended; its text says what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum InnerStatus {
    /// As many steps as were asked for.
    #[default]
    Finished,
    /// ‖∇G‖ is at or below its bound.
    Converged,
    /// The cap on steps came first.
    Capped,
    /// Steps lower neither G nor ‖∇G‖ further to speak of, although ‖∇G‖ is above its bound: a kink, or the precision.
    /// Asked after 20, 40, 80, … steps, 5, 10, 15, … of Newton's: since it was last asked, did G fall by a millionth of all
    /// that it has fallen (and by more than rounding), or ‖∇G‖ by a tenth below its least? A line search that finds
    /// nothing ends so too.
    Stalled,
    /// G or its gradient is not finite.
    NotFinite,
}

impl InnerStatus {
    /// One word, for reports.
    pub fn name(self) -> &'static str {
        match self {
            InnerStatus::Finished => "finished",
            InnerStatus::Converged => "converged",
            InnerStatus::Capped => "capped",
            InnerStatus::Stalled => "stalled",
            InnerStatus::NotFinite => "not-finite",
        }
    }
}

impl fmt::Display for InnerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InnerStatus::Finished => "finished the steps asked for",
            InnerStatus::Converged => "converged to the tolerance",
            InnerStatus::Capped => "stopped at the cap on steps: allow more steps or a larger tolerance",
            InnerStatus::Stalled => {
                "stalled: no step lowers the objective further (a kink, as ReLU networks have, or the limit of this \
                 precision); use a smooth activation, f64, or a larger tolerance"
            }
            InnerStatus::NotFinite => "met a NaN or an infinity: lower the inner learning rate or look at the data",
        })
    }
}

/// What a solve did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Solved {
    /// How it ended.
    pub status: InnerStatus,
    /// At φ₀.
    pub first: Measured,
    /// At the point that is differentiated at.
    pub last: Measured,
    /// Steps taken.
    pub steps: usize,
    /// Evaluations of G and its gradient, the last included.
    pub evaluations: usize,
    /// Hessian-vector products.
    pub products: usize,
}

impl Solved {
    /// Nothing but a look at φ₀.
    pub(super) fn started(first: Measured) -> Self {
        Solved { first, last: first, evaluations: 1, ..Solved::default() }
    }

    /// Rounding of G: some units in the last place of what it is made of, which the first G shows better than a small
    /// last one.
    pub(super) fn noise<T: Element>(&self) -> f64 {
        16.0 * T::EPSILON * self.last.value.abs().max(self.first.value.abs())
    }

    /// A change of G that is none to speak of: a millionth of all that it has fallen, or rounding.
    pub(super) fn little<T: Element>(&self) -> f64 {
        (1e-6 * (self.first.value - self.last.value)).max(self.noise::<T>())
    }

    /// Whether to stop at the last point; says why in `status`.
    pub(super) fn ended(&mut self, stop: InnerStop) -> bool {
        let (cap, tolerance) = stop.limits();
        let status = if !(self.last.value.is_finite() && self.last.gradient_norm.is_finite()) {
            InnerStatus::NotFinite
        } else if self.last.gradient_norm <= tolerance {
            InnerStatus::Converged
        } else if self.steps == cap {
            if matches!(stop, InnerStop::Steps(_)) { InnerStatus::Finished } else { InnerStatus::Capped }
        } else {
            return false;
        };
        self.status = status;
        true
    }
}

/// The rule of [`InnerStatus::Stalled`].
///
/// On a kink steps get ever smaller, and never none; at the limit of the precision they go to and fro. However slow
/// linear convergence is, the steps between two questions become enough for it to be seen.
#[derive(Debug)]
pub(super) struct Idle {
    /// G and the least ‖∇G‖ when last asked.
    then: Measured,
    least: f64,
    /// When to ask next.
    next: usize,
    gap: usize,
    growth: usize,
}

impl Idle {
    /// Asks after `gap` steps, and again after as many times `growth`, …
    pub fn at(start: Measured, gap: usize, growth: usize) -> Self {
        Idle { then: start, least: start.gradient_norm, next: gap, gap, growth }
    }

    /// Enters a step; whether the solve has stalled with it.
    pub fn after<T: Element>(&mut self, solved: &Solved) -> bool {
        let Measured { value, gradient_norm } = solved.last;
        self.least = self.least.min(gradient_norm);
        if solved.steps < self.next {
            return false;
        }
        let gained = self.then.value - value > solved.little::<T>() || self.least < 0.9 * self.then.gradient_norm;
        self.then = Measured { value, gradient_norm: self.least };
        self.next += self.gap;
        self.gap *= self.growth;
        !gained
    }
}

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

    /// product ← ∇²_φφG c at the last point looked at.
    pub fn product(&mut self, c: &[T], product: &mut [T]) {
        self.apply(c, product);
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

    /// Goes from the task's state to the solution. The last point looked at is `run.state`: there the derivatives are.
    fn solve(&self, task: &mut InnerTask<'_, T>, space: &mut SolverSpace<T>) -> Solved;
}

/// A first-order optimiser, for so many steps or to a tolerance.
pub struct Descent {
    step: Box<dyn Step>,
    stop: InnerStop,
    rate: Rate,
}

impl Descent {
    /// Steps of `step`, of the given size.
    pub fn new(step: impl Step + 'static, stop: InnerStop) -> Self {
        Self::boxed(Box::new(step), stop)
    }

    /// Steps of a `step` that is chosen at run time.
    pub fn boxed(step: Box<dyn Step>, stop: InnerStop) -> Self {
        Descent { step, stop, rate: Rate::Given }
    }

    /// Gradient descent.
    pub fn gradient(stop: InnerStop) -> Self {
        Self::new(GradientDescent, stop)
    }

    /// Gradient descent whose step size is 1/L, L the curvature found at φ₀, halved wherever G rises: it cannot
    /// diverge ([`Rate::Auto`]).
    pub fn automatic(stop: InnerStop) -> Self {
        Descent { rate: Rate::Auto, ..Self::gradient(stop) }
    }
}

impl<T: Element> InnerSolver<T> for Descent {
    fn step(&self) -> &dyn Step {
        self.step.as_ref()
    }

    fn room(&self) -> Room {
        match self.rate {
            Rate::Given => Room::default(),
            Rate::Auto => Room { vectors: 1, scalars: 0 },
        }
    }

    fn multiplies(&self) -> bool {
        self.rate == Rate::Auto
    }

    fn solve(&self, task: &mut InnerTask<'_, T>, space: &mut SolverSpace<T>) -> Solved {
        if self.rate == Rate::Auto {
            return self.solve_safely(task, space);
        }
        let mut solved = Solved::started(task.look());
        // The point is kept by looking at it: the last look serves every product that follows.
        while !solved.ended(self.stop) {
            task.run.accept();
            solved.steps += 1;
            task.run.at_step(task.plan, solved.steps);
            solved.last = task.look();
            solved.evaluations += 1;
        }
        solved
    }
}

impl Descent {
    fn solve_safely<T: Element>(&self, task: &mut InnerTask<'_, T>, space: &mut SolverSpace<T>) -> Solved {
        let parts = space.parts();
        let (previous, q, [w]) = (parts.x, parts.r, parts.vectors) else { unreachable!("the room asked for") };
        let mut solved = Solved::started(task.look());
        if !solved.first.gradient_norm.is_finite() {
            solved.status = InnerStatus::NotFinite;
            return solved;
        }
        let isa = task.plan.plan().isa();
        let bound = curvature_bound(isa, [&mut *previous, q, w], |c, product| {
            task.product(c, product);
            solved.products += 1;
        });
        let [_, given] = task.run.hyper();
        let mut rate = if bound > 0.0 && bound.is_finite() { 1.0 / bound } else { given.to_f64() };
        // Steps that small are none.
        let least = T::EPSILON * rate;
        let dim = previous.len();
        task.run.set_rate(task.plan, task.theta, task.data, rate);
        solved.last = task.look();
        solved.evaluations += 1;
        let mut idle = Idle::at(solved.last, 20, 2);
        while !solved.ended(self.stop) {
            let (from, noise) = (solved.last, solved.noise::<T>());
            previous.copy_from_slice(&task.run.state[..dim]);
            task.run.accept();
            solved.last = task.look();
            solved.evaluations += 1;
            // Written so that what is not finite is a rise.
            if solved.last.gradient_norm.is_finite() && solved.last.value - from.value <= noise {
                solved.steps += 1;
                if idle.after::<T>(&solved) {
                    solved.status = InnerStatus::Stalled;
                    break;
                }
                continue;
            }
            task.run.state[..dim].copy_from_slice(previous);
            rate *= 0.5;
            task.run.set_rate(task.plan, task.theta, task.data, rate);
            solved.last = task.look();
            solved.evaluations += 1;
            if rate < least {
                solved.status = InnerStatus::Stalled;
                break;
            }
        }
        solved
    }
}
