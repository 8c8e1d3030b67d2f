//! First-order optimisers as inner solvers.

use autodiff::Element;

use super::rate::{Rate, curvature_bound};
use super::solved::Idle;
use super::{GradientDescent, InnerSolver, InnerStatus, InnerStop, InnerTask, Solved, Step};
use crate::linear::{LinearOperator, Room, SolverSpace};

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

    fn fixed_steps(&self) -> Option<usize> {
        match (self.rate, self.stop) {
            (Rate::Given, InnerStop::Steps(steps)) => Some(steps),
            _ => None,
        }
    }

    fn solve(&self, task: &mut InnerTask<'_, T>, space: &mut SolverSpace<T>) -> Solved {
        if self.rate == Rate::Auto {
            return self.solve_safely(task, space);
        }
        let mut solved = Solved::started(task.look());
        // What is stationary for one minibatch need not be for the next.
        let changes = task.plan.has_minibatches();
        let goes_on = |solved: &Solved| {
            let steps = matches!(self.stop, InnerStop::Steps(steps) if solved.steps < steps);
            steps && changes && solved.last.gradient_norm == 0.0
        };
        // The point is kept by looking at it: the last look serves every product that follows.
        while goes_on(&solved) || !solved.ended(self.stop) {
            task.run.accept();
            solved.steps += 1;
            task.run.at_step(task.plan, solved.steps);
            solved.evaluations += 1;
            match self.stop {
                // Nothing of what is measured on the way would end it sooner, and no product is taken there.
                InnerStop::Steps(steps) if solved.steps < steps => task.pass(),
                _ => solved.last = task.look(),
            }
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
        let bound = curvature_bound(isa, task.plan.unknowns(), [&mut *previous, q, w], |c, product| {
            task.apply(c, product);
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
