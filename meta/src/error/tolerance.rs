//! How accurate a meta-gradient has to be: a tenth of what the choice of tasks makes of it anyway.
//!
//! The mean over n tasks is off the mean over all tasks by σ = √(Σ‖g_i − ḡ‖²/(n(n − 1))), about. Solving each task more
//! accurately than some σ/10 is work that the optimiser does not see. So solves stop where
//!
//! ```text
//! ‖∇G‖ ≤ ½ · σ/10 / s        ‖r‖ ≤ ½ · σ/10 / a          r = v − Ax̂, which is v − (I + H/λ)ĝ
//! ```
//!
//! a being how much of a residual becomes error, and s how much of ‖∇G‖ does. Neither can be had from a bound (λ/μ, ρ)
//! on a network; both are measured, with an [`Estimator`](super::Estimator) on the first task of every
//! [`EVERY`]th meta-batch: with r⁺ its residual at the minimum, about, and r that at φ,
//!
//! ```text
//! a = error/‖r⁺‖        s = error/‖r⁺‖ · ‖r⁺ − r‖/‖∇G‖
//! ```
//!
//! or a = ‖g⁺‖/‖v⁺‖ where ‖r⁺‖ > ‖v⁺‖ ([`ErrorEstimate::amplification`]): what inner steps left of x̂ is then so much that
//! it says nothing of a linear solver's residual.
//!
//! σ is averaged over iterations, none counting for more than twice the average; a and s follow up at once and down
//! slowly, so that one lucky task does not loosen everything. All of it comes from meta-batches that are over: within one,
//! tolerances are constants, so results do not depend on threads, and [`ToleranceState`] is all that a resumed run needs.
//!
//! # What it saves
//!
//! Against as many steps and iterations as are allowed, with seeds 1 and 2, what measuring takes included:
//!
//! | | products saved | gradients saved | in the end, all | in the end, auto |
//! |---|---|---|---|---|
//! | sinusoid, mlp with tanh | 48, 49 % | 34, 41 % | 1.89 ± 0.13, 2.45 ± 0.17 | 1.77 ± 0.12, 2.16 ± 0.15 |
//! | glyphs, conv4 | 18, 11 % | −4, −4 % | 34.3, 25.6 ± 1.0 % | 33.1, 38.0 ± 1.1 % |
//! | Omniglot, conv4 | 5, 20 % | −4, −4 % | 36.9, 37.4 ± 1.3 % | 43.8, 35.4 ± 1.3 % |
//! | Omniglot, conv4 with softplus | 5, 19 % | 1, 13 % | 45.4, 35.1 ± 1.2 % | 41.5, 37.5 ± 1.2 % |
//!
//! In the first solves converge, and the mean squared error is no worse for their ending sooner. In the others the
//! operator is indefinite on 18 to 84 % of the tasks, where plain CG goes on: its error is large, solves seldom get below
//! their tolerance, and runs end further apart than their intervals, to either side.
//!
//! `imaml train sinusoid --model mlp:1-40-40-1,act=tanh --lambda 5 --inner-lr 0.03 --inner-steps 32 --cg-steps 10
//! --iterations 300 --seed S` and `--tol auto` or `--on-negative-curvature go-on`, then `imaml eval RUN --tasks 1000`;
//! `imaml train DATA --model conv4:channels=16,stride=2,ways=5,image=1x28x28 --lambda 20 --inner-lr 0.02 --cg-steps 10
//! --iterations N`, N = 200 for glyphs, 300 for Omniglot, 150 and 32 steps with softplus, and 400 tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use autodiff::Element;

use super::ErrorEstimate;
use crate::inner::{Descent, GradientDescent, InnerSolver, InnerStop, InnerTask, Solved, Step};
use crate::linear::{Cg, LinearOperator, LinearSolver, Room, Solution, SolverSpace};

/// Meta-batches from one measurement of a and s to the next.
pub const EVERY: u64 = 10;

/// The share of σ that a solve may leave.
const SHARE: f64 = 0.1;

/// How fast σ's average forgets.
const FORGET: f64 = 0.1;

/// How far a and s fall at most from one measurement to the next.
const FALL: f64 = 0.7;

/// What solves may leave: set between meta-batches, read by the solvers of every thread.
#[derive(Debug, Default)]
pub struct Tolerance {
    inner: AtomicU64,
    linear: AtomicU64,
}

impl Tolerance {
    /// Solves stop at these ‖∇G‖ and ‖v − Ax‖; 0 for as far as their caps let them.
    pub fn set(&self, inner: f64, linear: f64) {
        self.inner.store(inner.to_bits(), Ordering::Relaxed);
        self.linear.store(linear.to_bits(), Ordering::Relaxed);
    }

    /// (‖∇G‖, ‖v − Ax‖)
    pub fn get(&self) -> (f64, f64) {
        let read = |cell: &AtomicU64| f64::from_bits(cell.load(Ordering::Relaxed));
        (read(&self.inner), read(&self.linear))
    }
}

/// What the next meta-batch's tolerances follow from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ToleranceState {
    /// σ, averaged; 0 before the first meta-batch.
    pub sampling: f64,
    /// a; 0 before it is measured.
    pub amplification: f64,
    /// s
    pub sensitivity: f64,
}

impl ToleranceState {
    /// (‖∇G‖, ‖v − Ax‖) at which solves may stop; 0 where nothing is known yet.
    pub fn targets(&self) -> (f64, f64) {
        if self.amplification == 0.0 {
            return (0.0, 0.0);
        }
        let half = 0.5 * SHARE * self.sampling;
        // Where no inner error was seen any ‖∇G‖ would do, until the next measurement: but not all at once.
        let sensitivity = self.sensitivity.max(1e-3 * self.amplification);
        (half / sensitivity, half / self.amplification)
    }

    /// Enters the standard error of a meta-batch.
    pub fn saw_batch(&mut self, sampling_error: f64) {
        if self.sampling == 0.0 {
            self.sampling = sampling_error;
        } else {
            self.sampling += FORGET * (sampling_error.min(2.0 * self.sampling) - self.sampling);
        }
    }

    /// Enters an estimate.
    pub fn saw_estimate(&mut self, estimate: &ErrorEstimate) {
        let ErrorEstimate { error, amplification, residual, .. } = *estimate;
        if !(residual > 0.0 && error.is_finite() && amplification.is_finite() && estimate.inner_gradient > 0.0) {
            return;
        }
        let sensitivity = error / residual * estimate.inner_residual / estimate.inner_gradient;
        self.amplification = amplification.max(FALL * self.amplification);
        self.sensitivity = sensitivity.max(FALL * self.sensitivity);
    }
}

/// Gradient descent until ‖∇G‖ is what [`Tolerance`] says, at most `cap` steps.
pub struct TolerantDescent {
    tolerance: Arc<Tolerance>,
    cap: usize,
}

impl TolerantDescent {
    /// Reads `tolerance` at every solve.
    pub fn new(tolerance: Arc<Tolerance>, cap: usize) -> Self {
        TolerantDescent { tolerance, cap }
    }
}

impl<T: Element> InnerSolver<T> for TolerantDescent {
    fn step(&self) -> &dyn Step {
        &GradientDescent
    }

    fn multiplies(&self) -> bool {
        false
    }

    fn solve(&self, task: &mut InnerTask<'_, T>, space: &mut SolverSpace<T>) -> Solved {
        let (gradient, _) = self.tolerance.get();
        // A box of nothing: no allocation.
        Descent::gradient(InnerStop::Gradient { gradient, cap: self.cap }).solve(task, space)
    }
}

/// Conjugate gradients until the residual of their recurrence is what [`Tolerance`] says, at most `cap` iterations.
pub struct TolerantCg {
    tolerance: Arc<Tolerance>,
    cap: usize,
}

impl TolerantCg {
    /// Reads `tolerance` at every solve.
    pub fn new(tolerance: Arc<Tolerance>, cap: usize) -> Self {
        TolerantCg { tolerance, cap }
    }
}

impl<T: Element> LinearSolver<T> for TolerantCg {
    fn room(&self) -> Room {
        LinearSolver::<T>::room(&Cg::iterations(self.cap))
    }

    fn solve<'s>(&self, a: &mut dyn LinearOperator<T>, b: &[T], space: &'s mut SolverSpace<T>) -> Solution<'s, T> {
        let (_, residual) = self.tolerance.get();
        let size = space.isa().dot(b, b).sqrt();
        // b = 0 is solved by 0 whatever this is.
        let relative = if size > 0.0 { residual / size } else { 0.0 };
        Cg::recurrence(relative, self.cap).solve(a, b, space)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_a_tenth_of_the_sampling_error_by_what_was_measured() {
        let mut state = ToleranceState::default();
        assert_eq!(state.targets(), (0.0, 0.0), "full accuracy until something is known");
        state.saw_batch(2.0);
        assert_eq!(state.targets(), (0.0, 0.0));
        // ‖r⁺‖ = 3: error 6 is twice that. The inner solve's part is 2, so error 4, from ‖∇G‖ = 8.
        let estimate = ErrorEstimate {
            error: 6.0,
            inner_gradient: 8.0,
            residual: 3.0,
            amplification: 2.0,
            inner_residual: 2.0,
            ..ErrorEstimate::default()
        };
        state.saw_estimate(&estimate);
        assert_eq!((state.amplification, state.sensitivity), (2.0, 0.5));
        // Half of 0.1 · 2 for each part.
        assert_eq!(state.targets(), (0.1 / 0.5, 0.1 / 2.0));
        let low = ErrorEstimate { error: 0.3, amplification: 0.1, inner_residual: 0.0, ..estimate };
        state.saw_estimate(&low);
        assert_eq!((state.amplification, state.sensitivity), (FALL * 2.0, FALL * 0.5), "down slowly");
        let before = state;
        state.saw_estimate(&ErrorEstimate { error: f64::NAN, ..estimate });
        assert_eq!(state, before, "what is not finite teaches nothing");
        state.saw_batch(1.0);
        assert_eq!(state.sampling, 2.0 - FORGET);
        let before = state.sampling;
        state.saw_batch(1e9);
        assert_eq!(state.sampling, before + FORGET * before, "an outlier counts for twice the average");
    }
}
