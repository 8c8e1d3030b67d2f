//! What there is to choose from.

use std::fmt;
use std::str::FromStr;

use autodiff::Element;

use crate::inner::{Descent, InnerStop, Step};
use crate::linear::{Cg, Minres};
use crate::method::{Implicit, Keep, Method, Unrolled};
use crate::problem::Problem;

/// A method by name, with its number: `cg 12`, `minres 30`, `everything`, `iterates`, `checkpoints 7`, `last 3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Implicit, with so many iterations of CG.
    Cg(usize),
    /// Implicit, with so many iterations of MINRES.
    Minres(usize),
    /// Through the steps.
    Unrolled(Keep),
}

impl Choice {
    /// The method chosen.
    pub fn method<T: Element>(
        self,
        problem: &dyn Problem,
        step: impl Step + 'static,
        steps: usize,
    ) -> Box<dyn Method<T>> {
        let stop = InnerStop::Steps(steps);
        match self {
            Choice::Cg(n) => {
                let descent = Box::new(Descent::new(step, stop));
                Box::new(Implicit::with_solver(problem, descent, Box::new(Cg::iterations(n))))
            }
            Choice::Minres(n) => {
                let descent = Box::new(Descent::new(step, stop));
                Box::new(Implicit::with_solver(problem, descent, Box::new(Minres::iterations(n))))
            }
            Choice::Unrolled(keep) => Box::new(Unrolled::with_step(problem, &step, steps, keep)),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Cg(n) => write!(f, "cg {n}"),
            Choice::Minres(n) => write!(f, "minres {n}"),
            Choice::Unrolled(Keep::Everything) => f.write_str("everything"),
            Choice::Unrolled(Keep::Iterates) => f.write_str("iterates"),
            Choice::Unrolled(Keep::Checkpoints(n)) => write!(f, "checkpoints {n}"),
            Choice::Unrolled(Keep::Last(m)) => write!(f, "last {m}"),
        }
    }
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refusal = || {
            format!(
                "{text:?} is no choice: expected cg N, minres N, everything, iterates, checkpoints N or last N, N at \
                 most 100000"
            )
        };
        let (name, number) = text.split_once(' ').map_or((text, None), |(name, n)| (name, Some(n)));
        let number: Option<usize> = number.map(|n| n.parse().map_err(|_| refusal())).transpose()?;
        if number.is_some_and(|n| n > 100_000) {
            return Err(refusal());
        }
        match (name, number) {
            ("cg", Some(n)) => Ok(Choice::Cg(n)),
            ("minres", Some(n)) => Ok(Choice::Minres(n)),
            ("everything", None) => Ok(Choice::Unrolled(Keep::Everything)),
            ("iterates", None) => Ok(Choice::Unrolled(Keep::Iterates)),
            ("checkpoints", Some(n)) if n > 0 => Ok(Choice::Unrolled(Keep::Checkpoints(n))),
            ("last", Some(m)) => Ok(Choice::Unrolled(Keep::Last(m))),
            _ => Err(refusal()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_written_is_the_choice_read() {
        let unrolled = [Keep::Everything, Keep::Iterates, Keep::Checkpoints(7), Keep::Last(0)].map(Choice::Unrolled);
        for choice in unrolled.into_iter().chain([Choice::Cg(12), Choice::Minres(3)]) {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        for wrong in ["", "cg", "cg x", "cg -1", "everything 3", "checkpoints 0", "last 1000000", "dense 2"] {
            assert!(wrong.parse::<Choice>().is_err(), "{wrong}");
        }
    }
}
