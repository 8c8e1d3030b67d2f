//! The plans that a method is made of, for one task and, where it pays, for several at a time.

use autodiff::{Element, Isa};

use crate::inner::{Derivative, InnerPlan, OuterPlan, Run, Step};
use crate::problem::{DataSpec, Problem};

/// The inner level and the outer loss.
pub(super) struct Plans<T> {
    pub inner: InnerPlan<T>,
    pub outer: OuterPlan<T>,
    /// What a task's data are.
    pub data: Vec<DataSpec>,
}

impl<T: Element> Plans<T> {
    /// For one task.
    pub fn new(problem: &dyn Problem, step: &dyn Step, derivative: Derivative) -> Self {
        let inner = InnerPlan::new(problem, step, derivative);
        Plans { inner, outer: OuterPlan::new(problem), data: problem.data() }
    }

    /// For several at a time, where that pays: where nothing of what is computed in a step is large, and no product is a
    /// convolution, which fills vectors as it is.
    pub fn in_lanes(&self, problem: &dyn Problem, step: &dyn Step, derivative: Derivative) -> Option<Self> {
        let lanes = lanes::<T>(self.inner.plan().isa());
        let bytes = self.bytes() * lanes;
        (bytes <= MOST_BYTES && !self.inner.plan().convolves()).then(|| Plans {
            inner: InnerPlan::in_lanes(problem, step, derivative, lanes),
            outer: OuterPlan::in_lanes(problem, lanes),
            data: problem.data(),
        })
    }

    /// Of workspaces and states.
    pub fn bytes(&self) -> usize {
        Run::bytes(&self.inner) + self.outer.plan().bytes()
    }
}

/// Bytes of workspaces and states of all lanes up to which lanes are faster than one task after the other.
const MOST_BYTES: usize = 2 << 20;

/// As many as fill a vector, or several: groups of fewer tasks would run as many steps for less.
fn lanes<T>(isa: Isa) -> usize {
    isa.lanes::<T>().max(8)
}
