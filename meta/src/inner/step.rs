//! One step of a first-order optimiser, recorded; and what varies with its number.

use autodiff::{Element, Var};

use crate::problem::{Minibatch, OfStep, Problem};

/// What a step is recorded with.
#[derive(Clone, Debug)]
pub struct StepAt<'t> {
    /// The state; its first |φ| numbers are φ.
    pub state: Var<'t>,
    /// ∇_φG(φ, θ)
    pub gradient: Var<'t>,
    /// The step size: a number, or one for each coordinate of φ.
    pub rate: Var<'t>,
    /// The step's [`Numbers`], each a number.
    pub numbers: Vec<Var<'t>>,
}

/// Numbers that change from step to step, such as those of a schedule or a bias correction: pure functions of the
/// step's number k = 0, 1, …, so that running a step again repeats it.
pub struct Numbers {
    /// How many.
    pub count: usize,
    /// Writes those of step k.
    pub at: OfStep<f64>,
}

/// One step of a first-order optimiser, recorded.
pub trait Step: Send + Sync {
    /// Numbers in the state; the first `dim` are φ, the others start at 0.
    fn state_len(&self, dim: usize) -> usize {
        dim
    }

    /// What changes from step to step.
    fn numbers(&self) -> Option<Numbers> {
        None
    }

    /// Records the new state.
    fn record<'t>(&self, at: &StepAt<'t>) -> Var<'t>;

    /// Where in the new state ∇_φG is, if it is there: from this number on.
    fn gradient_at(&self, _dim: usize) -> Option<usize> {
        None
    }
}

/// A state of N vectors as long as φ: φ first, then what else the step remembers.
pub(super) fn parts<'t, const N: usize>(at: &StepAt<'t>) -> [Var<'t>; N] {
    let dim = at.gradient.shape()[0];
    std::array::from_fn(|i| at.state.slice(&[i * dim], &[(i + 1) * dim]))
}

/// The vectors as one state.
pub(super) fn joined<'t, const N: usize>(parts: [Var<'t>; N]) -> Var<'t> {
    Var::concat(&parts, 0)
}

/// ∇_φG in place of a new state: for solvers that decide for themselves where to go.
#[derive(Clone, Copy, Debug, Default)]
pub struct GradientOnly;

impl Step for GradientOnly {
    fn record<'t>(&self, at: &StepAt<'t>) -> Var<'t> {
        at.gradient
    }

    fn gradient_at(&self, _dim: usize) -> Option<usize> {
        Some(0)
    }
}

/// What varies with k, as a plan takes it.
pub(super) struct Varying {
    pub numbers: Option<Numbers>,
    pub minibatch: Option<Minibatch>,
}

impl Varying {
    pub fn of(problem: &dyn Problem, step: &dyn Step) -> Self {
        Varying { numbers: step.numbers().filter(|n| n.count > 0), minibatch: problem.minibatch() }
    }
}

/// A step's number, and what varies with it.
#[derive(Clone, Debug)]
pub struct StepInputs<T> {
    exact: Vec<f64>,
    pub(super) numbers: Vec<T>,
    pub(super) rows: Vec<u32>,
}

impl<T: Element> StepInputs<T> {
    pub(super) fn new(varying: &Varying) -> Self {
        let count = varying.numbers.as_ref().map_or(0, |n| n.count);
        let rows = varying.minibatch.as_ref().map_or(0, |m| m.rows);
        StepInputs { exact: vec![0.0; count], numbers: vec![T::zero(); count], rows: vec![0; rows] }
    }

    pub(super) fn bytes(varying: &Varying) -> usize {
        let count = varying.numbers.as_ref().map_or(0, |n| n.count);
        let rows = varying.minibatch.as_ref().map_or(0, |m| m.rows);
        count * (size_of::<f64>() + size_of::<T>()) + rows * size_of::<u32>()
    }

    pub(super) fn set(&mut self, varying: &Varying, k: usize) {
        if let Some(numbers) = &varying.numbers {
            (numbers.at)(k, &mut self.exact);
            for (number, &exact) in self.numbers.iter_mut().zip(&self.exact) {
                *number = T::from_f64(exact);
            }
        }
        if let Some(minibatch) = &varying.minibatch {
            (minibatch.at)(k, &mut self.rows);
        }
    }
}
