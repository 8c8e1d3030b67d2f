//! What the points of an inner run show of ∇²G on the way: secant pairs, at no product.

use autodiff::{Element, Isa, Var};

use super::{Numbers, Step, StepAt};
use crate::linear::SecantPairs;

/// A step, and ∇_φG after its new state: (state, ∇G at the last point) ↦ (S(state), ∇G at this point).
pub(crate) struct WithGradient<'s>(pub &'s dyn Step);

impl Step for WithGradient<'_> {
    fn state_len(&self, dim: usize) -> usize {
        self.0.state_len(dim) + dim
    }

    fn numbers(&self) -> Option<Numbers> {
        self.0.numbers()
    }

    fn record<'t>(&self, at: &StepAt<'t>) -> Var<'t> {
        let own = at.state.shape()[0] - at.gradient.shape()[0];
        let state = at.state.slice(&[0], &[own]);
        let next = self.0.record(&StepAt { state, ..at.clone() });
        Var::concat(&[next, at.gradient], 0)
    }

    fn gradient_at(&self, dim: usize) -> Option<usize> {
        Some(self.0.state_len(dim))
    }
}

/// The pairs s = φ′ − φ, y = ∇G(φ′) − ∇G(φ) of successive points that a run looks at, the last few of a task, each made
/// [conjugate](SecantPairs::push_conjugate) to those before it.
///
/// Where a step is so small that half the digits of s are lost, it is taken together with those after it.
///
/// Where steps see minibatches, y is a difference between two of them too: noise, which leaves B positive definite.
#[derive(Clone, Debug)]
pub struct Watch<T> {
    pairs: SecantPairs<T>,
    /// Of the last point.
    phi: Vec<T>,
    gradient: Vec<T>,
    seen: bool,
    gradient_at: usize,
    isa: Isa,
}

impl<T: Element> Watch<T> {
    /// The last `memory` pairs of points of `dim` numbers; ∇G is in a new state from number `gradient_at` on.
    pub fn new(memory: usize, dim: usize, gradient_at: usize, isa: Isa) -> Self {
        let zeros = || vec![T::zero(); dim];
        Watch {
            pairs: SecantPairs::new(memory, dim, isa),
            phi: zeros(),
            gradient: zeros(),
            seen: false,
            gradient_at,
            isa,
        }
    }

    /// Bytes that this takes.
    pub fn bytes(memory: usize, dim: usize) -> usize {
        SecantPairs::<T>::bytes(memory, dim) + 2 * dim * size_of::<T>()
    }

    /// The pairs of this task.
    pub fn pairs(&mut self) -> &mut SecantPairs<T> {
        &mut self.pairs
    }

    /// Forgets them.
    pub(super) fn restart(&mut self) {
        self.pairs.clear();
        self.seen = false;
    }

    /// Sees a point with the new state that came of it.
    pub(super) fn see(&mut self, state: &[T], next: &[T]) {
        let dim = self.phi.len();
        let (phi, gradient) = (&state[..dim], &next[self.gradient_at..self.gradient_at + dim]);
        if std::mem::replace(&mut self.seen, true) {
            let minus = |now: &[T], last: &mut [T]| last.iter_mut().zip(now).for_each(|(l, &n)| *l = n - *l);
            minus(phi, &mut self.phi);
            let (moved, size) = (self.isa.dot(&self.phi, &self.phi), self.isa.dot(phi, phi));
            if moved <= T::EPSILON * size {
                // φ of before, to rounding.
                minus(phi, &mut self.phi);
                return;
            }
            minus(gradient, &mut self.gradient);
            self.pairs.push_conjugate(&self.phi, &self.gradient);
        }
        self.phi.copy_from_slice(phi);
        self.gradient.copy_from_slice(gradient);
    }
}
