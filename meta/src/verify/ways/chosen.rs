//! `auto`: what it chose, and that it is what it says.

use super::Ways;
use crate::inner::GradientDescent;
use crate::method::{Choice, InnerStop, Keep, Survey, decide};
use crate::verify::checks::ROUNDING;
use crate::verify::engine::{SolverName, SolverStop};
use crate::verify::findings::{Check, Comparison, Quantity, Value};
use crate::verify::point::Point;

impl Ways<'_, '_> {
    /// Chosen from this task, with all the memory there is. The rounding is that of an implicit and an unrolled gradient.
    pub(super) fn chosen(&mut self, point: &Point, [implicit, unrolled]: [f64; 2]) {
        let mut survey = Survey::<f64>::new(self.engine.problem(), GradientDescent, self.steps);
        survey.task(self.task.theta, self.hyper(), self.data);
        let decision = decide(&survey.situation(self.hyper(), None));
        let choice = decision.expect("everything fits where there is no bound").choice;

        let by_name = |name, n| {
            self.engine.implicit(InnerStop::Steps(self.steps), self.engine.solver(name, SolverStop::Iterations(n)))
        };
        let of_iterations = implicit + point.spectrum.condition() * ROUNDING;
        let approximate = || Err("auto chose an approximation, for want of memory".to_owned());
        let (itself, known) = match choice {
            Choice::Cg(n) => (by_name(SolverName::Cg, n), Ok((Quantity::Iterations(n), of_iterations))),
            Choice::Minres(n) => (by_name(SolverName::Minres, n), approximate()),
            Choice::Unrolled(keep) => {
                let exact = !matches!(keep, Keep::Last(m) if m < self.steps);
                let known = Ok((Quantity::Steps(self.steps), unrolled));
                (self.engine.unrolled(self.steps, keep), if exact { known } else { approximate() })
            }
        };
        let (itself, ..) = self.gradient(itself.as_ref());
        let (g, ..) = self.gradient(self.engine.chosen(choice, self.steps).as_ref());
        let comparison = Comparison::to_the_bit([&g[..]].into_iter(), &itself);
        self.checks.push(Check { name: "auto and the method it chose, to the bit", comparison });
        match known {
            Ok((quantity, tolerance)) => self.push("auto", quantity, Ok(Value::Gradient(g)), tolerance),
            Err(reason) => self.push("auto", Quantity::Steps(self.steps), Err(reason), 0.0),
        };
    }
}
