//! What an unrolled gradient takes, and what to keep of the inner steps where that is bounded.
//!
//! ```text
//! bytes = fixed + blocks × residuals + states × |state|
//! ```

use std::fmt;

use autodiff::{Element, Stage};

use super::Keep;
use crate::inner::{InnerPlan, OuterPlan, Run};

/// Bytes of the parts of an unrolled gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnrollSizes {
    /// Whatever is kept: the plans' workspaces, the present state, vectors.
    pub fixed: usize,
    /// One more point's residuals.
    pub residuals: usize,
    /// One more state.
    pub state: usize,
}

impl UnrollSizes {
    /// Of the plans that it is taken with.
    pub fn of<T: Element>(inner: &InnerPlan<T>, outer: &OuterPlan<T>) -> Self {
        let state = inner.state_len() * size_of::<T>();
        // φ_K, θ's part of a pullback, w and its successor.
        let vectors = (inner.dim() + inner.theta_dim()) * size_of::<T>() + 2 * state;
        let fixed = Run::bytes(inner) + outer.plan().bytes() + vectors;
        UnrollSizes { fixed, residuals: inner.plan().kept_bytes(Stage::POINT), state }
    }

    /// Bytes in all, through `steps` steps.
    pub fn bytes(&self, keep: Keep, steps: usize) -> usize {
        let (blocks, states) = keep.counts(steps);
        let kept = blocks.saturating_mul(self.residuals).saturating_add(states.saturating_mul(self.state));
        self.fixed.saturating_add(kept)
    }
}

/// A byte budget that is too small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverBudget {
    /// What there is.
    pub budget: usize,
    /// The least that it takes.
    pub least: usize,
}

impl OverBudget {
    /// Whether something that takes `least` bytes fits.
    ///
    /// # Errors
    /// Where it does not.
    pub fn check(budget: usize, least: usize) -> Result<(), OverBudget> {
        if least <= budget { Ok(()) } else { Err(OverBudget { budget, least }) }
    }
}

impl fmt::Display for OverBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OverBudget { budget, least } = self;
        write!(f, "a task's meta-gradient takes at least {least} bytes and the memory allowed is {budget}: allow more")
    }
}

impl std::error::Error for OverBudget {}

impl Keep {
    /// The policy that runs fewest steps again within `budget` bytes: everything, every state, or as many checkpoints
    /// as fit. All of them give the same bits.
    ///
    /// # Errors
    /// Where a single checkpoint is too much.
    pub fn within(sizes: &UnrollSizes, steps: usize, budget: usize) -> Result<Keep, OverBudget> {
        let fits = |keep: &Keep| sizes.bytes(*keep, steps) <= budget;
        if let Some(keep) = [Keep::Everything, Keep::Iterates].into_iter().find(fits) {
            return Ok(keep);
        }
        OverBudget::check(budget, sizes.bytes(Keep::Checkpoints(1), steps))?;
        // More than one step, or its state would have fitted; a state is at least a number.
        Ok(Keep::Checkpoints((budget - sizes.fixed) / sizes.state))
    }

    /// Blocks of residuals and states that are kept of `steps` steps.
    pub(super) fn counts(self, steps: usize) -> (usize, usize) {
        match self {
            Keep::Everything => (steps, steps),
            Keep::Iterates => (0, steps),
            Keep::Checkpoints(count) => (0, count.min(steps)),
            Keep::Last(m) => (m.min(steps), m.min(steps)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: UnrollSizes = UnrollSizes { fixed: 1000, residuals: 90, state: 10 };

    #[test]
    fn the_choice_is_the_largest_that_fits() {
        for (steps, budget, keep) in [
            (10, 2000, Ok(Keep::Everything)),
            (10, 1999, Ok(Keep::Iterates)),
            (10, 1100, Ok(Keep::Iterates)),
            (10, 1099, Ok(Keep::Checkpoints(9))),
            (10, 1010, Ok(Keep::Checkpoints(1))),
            (10, 1009, Err(OverBudget { budget: 1009, least: 1010 })),
            (1, 1099, Ok(Keep::Iterates)),
            (0, 1000, Ok(Keep::Everything)),
            (0, 999, Err(OverBudget { budget: 999, least: 1000 })),
        ] {
            assert_eq!(Keep::within(&SIZES, steps, budget), keep, "{steps} steps in {budget} bytes");
        }
    }
}
