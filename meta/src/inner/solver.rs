//! Inner solvers: φ ≈ argmin G(·, θ), by whatever way.

use std::fmt;

use autodiff::{Arg, Element};

use super::{GradientDescent, InnerPlan, Measured, Run, Step};
use crate::linear::{Room, SolverSpace};

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
    /// No step lowers G further although ‖∇G‖ is above its bound: a kink, or the precision.
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
}

impl<T: Element> InnerTask<'_, T> {
    /// Measures at the state; `run.next` ← S(state).
    pub fn look(&mut self) -> Measured {
        self.run.look(self.plan, self.theta, self.data)
    }

    /// product ← ∇²_φφG c at the last point looked at.
    pub fn product(&mut self, c: &[T], product: &mut [T]) {
        let (workspace, state, _, inputs) = self.run.parts(self.theta, self.data);
        self.plan.hessian(workspace, &inputs, state, c, product);
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

    /// Goes from the task's state to the solution. The last point looked at is `run.state`: there the derivatives are.
    fn solve(&self, task: &mut InnerTask<'_, T>, space: &mut SolverSpace<T>) -> Solved;
}

/// A first-order optimiser, for so many steps or to a tolerance.
pub struct Descent {
    step: Box<dyn Step>,
    stop: InnerStop,
}

impl Descent {
    /// Steps of `step`.
    pub fn new(step: impl Step + 'static, stop: InnerStop) -> Self {
        Descent { step: Box::new(step), stop }
    }

    /// Gradient descent.
    pub fn gradient(stop: InnerStop) -> Self {
        Self::new(GradientDescent, stop)
    }
}

impl<T: Element> InnerSolver<T> for Descent {
    fn step(&self) -> &dyn Step {
        self.step.as_ref()
    }

    fn solve(&self, task: &mut InnerTask<'_, T>, _: &mut SolverSpace<T>) -> Solved {
        let (cap, tolerance) = self.stop.limits();
        let mut solved = Solved::default();
        // The point is kept by looking at it: the last look serves every product that follows.
        loop {
            task.run.at_step(task.plan, solved.steps);
            solved.last = task.look();
            solved.evaluations += 1;
            if solved.steps == 0 {
                solved.first = solved.last;
            }
            if !(solved.last.value.is_finite() && solved.last.gradient_norm.is_finite()) {
                solved.status = InnerStatus::NotFinite;
                return solved;
            }
            if solved.last.gradient_norm <= tolerance {
                solved.status = InnerStatus::Converged;
                return solved;
            }
            if solved.steps == cap {
                let steps = matches!(self.stop, InnerStop::Steps(_));
                solved.status = if steps { InnerStatus::Finished } else { InnerStatus::Capped };
                return solved;
            }
            task.run.accept();
            solved.steps += 1;
        }
    }
}
