//! Steps with a memory.

use autodiff::Var;
use meta::inner::{Adam, Momentum, Numbers, Step, StepAt};
use meta::method::{Keep, Method};
use meta::problem::{FewShot, Problem};
use meta::verify::{Engine, Own, StepName};

use super::Case;
use super::approximations::Times;

/// The vectors of a state, as long as φ each.
fn vectors<'t, const N: usize>(at: &StepAt<'t>) -> [Var<'t>; N] {
    let dim = at.gradient.shape()[0];
    std::array::from_fn(|i| at.state.slice(&[i * dim], &[(i + 1) * dim]))
}

/// Momentum that goes where momentum goes, and whose memory is a constant in its derivative.
struct ConstantMemory;

impl Step for ConstantMemory {
    fn state_len(&self, dim: usize) -> usize {
        2 * dim
    }
    fn record<'t>(&self, at: &StepAt<'t>) -> Var<'t> {
        let [phi, b] = vectors(at);
        let b = 0.9 * b.stop_gradient() + at.gradient;
        Var::concat(&[phi - at.rate * b, b], 0)
    }
}

/// Adam, as the engine has it, but for what is wrong.
struct WrongAdam {
    adam: Adam,
    wrong: WrongStep,
}

impl Step for WrongAdam {
    fn state_len(&self, dim: usize) -> usize {
        self.adam.state_len(dim)
    }
    fn numbers(&self) -> Option<Numbers> {
        let right = self.adam.numbers()?;
        let late = usize::from(self.wrong == WrongStep::Corrections);
        Some(Numbers { count: right.count, at: Box::new(move |k, out| (right.at)(k + late, out)) })
    }
    fn record<'t>(&self, at: &StepAt<'t>) -> Var<'t> {
        let mut at = at.clone();
        if self.wrong == WrongStep::SecondMoment {
            let [phi, m, v] = vectors(&at);
            at.state = Var::concat(&[phi, m, v.stop_gradient()], 0);
        }
        self.adam.record(&at)
    }
}

/// What is wrong in an engine whose steps with a memory are.
#[derive(Clone, Copy, PartialEq)]
enum WrongStep {
    Memory,
    NotAhead,
    SecondMoment,
    Corrections,
    Checkpoints,
}

struct WrongSteps<'p>(&'p FewShot, WrongStep);

impl Engine for WrongSteps<'_> {
    fn problem(&self) -> &dyn Problem {
        self.0
    }
    fn step(&self, name: StepName) -> Box<dyn Step> {
        match (name, self.1) {
            (StepName::Momentum, WrongStep::Memory) => Box::new(ConstantMemory),
            (StepName::Nesterov, WrongStep::NotAhead) => Box::new(Momentum::new(0.9)),
            (StepName::Adam, wrong @ (WrongStep::SecondMoment | WrongStep::Corrections)) => {
                Box::new(WrongAdam { adam: Adam::default().with_epsilon(0.1), wrong })
            }
            _ => Own(self.0).step(name),
        }
    }
    fn unrolled_by(&self, step: &dyn Step, steps: usize, keep: Keep) -> Box<dyn Method<f64>> {
        let right = Own(self.0).unrolled_by(step, steps, keep);
        let wrong = self.1 == WrongStep::Checkpoints && matches!(keep, Keep::Checkpoints(_));
        if wrong { Box::new(Times(right, 1.0 + f64::EPSILON)) } else { right }
    }
}

#[test]
fn steps_with_a_memory_are_held_to_their_derivatives_by_hand() {
    for (spec, frozen) in [("mlp:1-6-6-1,act=tanh", "none"), ("mlp:1-6-6-1,act=softplus", "fc1")] {
        let case = Case::new(spec, 3, |name| name.starts_with(frozen));
        for (wrong, seen) in [
            (WrongStep::Memory, "momentum by hand and momentum, unrolled"),
            (WrongStep::NotAhead, "Nesterov by hand and Nesterov, unrolled"),
            (WrongStep::SecondMoment, "Adam by hand and Adam, unrolled"),
            (WrongStep::Corrections, "Adam by hand and Adam, unrolled"),
            (WrongStep::Checkpoints, "momentum: all keep-policies, to the bit"),
        ] {
            let said = case.is_named(&WrongSteps(&case.problem, wrong), seen);
            // And nothing else is blamed.
            let kind = seen.split([' ', ':']).next().expect("a name");
            assert!(wrong == WrongStep::Checkpoints || said.iter().all(|line| line.contains(kind)), "{said:?}");
        }
    }
}
