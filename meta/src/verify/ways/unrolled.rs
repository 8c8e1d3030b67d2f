//! Backpropagation through steps.

use super::{Ways, condition, rounding};
use crate::method::Keep;
use crate::verify::checks::DIFFERENCE_ROUNDING;
use crate::verify::engine::StepName;
use crate::verify::findings::{Check, Comparison, Quantity, Value};
use crate::verify::vector::norm;

/// Steps of a kind that remembers: its state takes three to act on itself through G; the rest is as in gradient descent.
const REMEMBERED: usize = 3;

/// Rungs of the differences through K steps, and through few.
const RUNGS: usize = 20;
const FEW_RUNGS: usize = 9;

/// A kind of step with a memory: the names of its ways, and of the check that keep-policies agree.
struct Kind {
    step: StepName,
    by_hand: &'static str,
    unrolled: &'static str,
    differences: &'static str,
    keeps: &'static str,
}

const KINDS: [Kind; 3] = [
    Kind {
        step: StepName::Momentum,
        by_hand: "momentum by hand",
        unrolled: "momentum, unrolled",
        differences: "momentum, differences",
        keeps: "momentum: all keep-policies, to the bit",
    },
    Kind {
        step: StepName::Nesterov,
        by_hand: "Nesterov by hand",
        unrolled: "Nesterov, unrolled",
        differences: "Nesterov, differences",
        keeps: "Nesterov: all keep-policies, to the bit",
    },
    Kind {
        step: StepName::Adam,
        by_hand: "Adam by hand",
        unrolled: "Adam, unrolled",
        differences: "Adam, differences",
        keeps: "Adam: all keep-policies, to the bit",
    },
];

/// Policies that keep less than everything of so many steps, and lose nothing by it.
fn thrifty(steps: usize) -> [Keep; 3] {
    let few = (steps as f64).sqrt().ceil() as usize;
    [Keep::Iterates, Keep::Checkpoints(few.max(1)), Keep::Last(steps)]
}

impl Ways<'_, '_> {
    /// Through K steps of gradient descent.
    pub(super) fn unrolled(&mut self, by_hand: Vec<f64>, rounding: f64) {
        let (steps, quantity) = (self.steps, Quantity::Steps(self.steps));
        let slopes = self.slopes_of_steps(StepName::GradientDescent, steps, &by_hand, RUNGS);
        self.reference("steps pulled back by hand", quantity, by_hand, rounding);
        let [iterates, checkpoints, last] = thrifty(steps);
        for (name, keep) in [
            ("unrolled, all kept", Keep::Everything),
            ("unrolled, iterates kept", iterates),
            ("unrolled, checkpoints", checkpoints),
            ("unrolled, the last K kept", last),
        ] {
            let method = self.engine.unrolled(steps, keep);
            self.run(name, quantity, method, rounding);
        }
        self.push("differences through K steps", quantity, slopes, rounding);
    }

    /// Through at most three steps of momentum, of Nesterov's and of Adam.
    pub(super) fn remembering(&mut self, nudged: &[f64]) {
        let steps = REMEMBERED.min(self.steps);
        for kind in &KINDS {
            let quantity = Quantity::StepsOf(kind.step);
            let trajectory = self.task.trajectory(kind.step, steps);
            let by_hand = self.task.unrolled(&trajectory);
            let mut nearby = self.task.from(nudged);
            let nearby_trajectory = nearby.trajectory(kind.step, steps);
            let condition = condition(&nearby.unrolled(&nearby_trajectory), &by_hand);
            // A coordinate that L does not depend on grows by this on the way back, and all of it cancels: that rounds,
            // whatever θ is.
            let growth = (1.0 + kind.step.gain(self.task.rate) * self.task.lambda).powi(steps as i32);
            let cancelled = growth * norm(&self.task.query(trajectory.last()).1) / norm(&by_hand);
            let tolerance = rounding(condition + cancelled, steps);
            let slopes = self.slopes_of_steps(kind.step, steps, &by_hand, FEW_RUNGS);
            self.reference(kind.by_hand, quantity, by_hand, tolerance);

            let step = self.engine.step(kind.step);
            let taken = |keep| self.gradient(self.engine.unrolled_by(step.as_ref(), steps, keep).as_ref()).0;
            let all = taken(Keep::Everything);
            let others = thrifty(steps).map(taken);
            let comparison = Comparison::to_the_bit(others.iter().map(|g| &g[..]), &all);
            self.checks.push(Check { name: kind.keeps, comparison });
            self.reference(kind.unrolled, quantity, all, tolerance);
            self.push(kind.differences, quantity, slopes, tolerance);
        }
    }

    /// Slopes of f after so many steps.
    fn slopes_of_steps(&mut self, step: StepName, steps: usize, g: &[f64], rungs: usize) -> Result<Value, String> {
        self.slopes(g, DIFFERENCE_ROUNDING, rungs, |task| {
            let trajectory = task.trajectory(step, steps);
            task.query(trajectory.last()).0
        })
    }
}
