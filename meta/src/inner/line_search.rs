//! How far to go along a direction: by bisection, which needs no smoothness.

use autodiff::{Element, Isa};

use super::{InnerTask, Measured, Solved};

/// The fraction of the first-order decrease that is asked for.
const DECREASE: f64 = 1e-4;
/// The fraction of the slope that may be left, where curvature is asked for.
const LEFT: f64 = 0.9;
/// The least part of the first trial that may be taken on the slope's word: less would be no step at all.
const LEAST: f64 = 1e-3;
/// Trials: 2⁻⁴⁰ of a step is below what G can show.
const TRIALS: usize = 40;

/// A direction from a point.
pub(super) struct Ray<'s, T> {
    pub isa: Isa,
    /// φ at t = 0.
    pub base: &'s [T],
    /// p
    pub along: &'s [T],
    /// G and ‖∇G‖ at t = 0.
    pub from: Measured,
    /// pᵀ∇G at t = 0, negative.
    pub slope: f64,
}

/// How far a search went.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub t: f64,
    /// pᵀ∇G there.
    pub slope: f64,
}

impl<T: Element> Ray<'_, T> {
    /// φ ← base + t p
    pub fn place(&self, t: f64, phi: &mut [T]) {
        phi.copy_from_slice(self.base);
        self.isa.add_scaled(T::from_f64(t), self.along, phi);
    }

    /// Goes to base + t p, t found from `first` on, and looks there; how far, or `None` where no t lowers G: then the point
    /// is the base again, looked at.
    ///
    /// G falls by DECREASE of its first-order decrease, or, where that is below rounding, its slope does (the
    /// approximate condition of Hager & Zhang 2005). With `curvature` the slope rises too, to LEFT of itself, which
    /// makes sᵀy > 0 (weak Wolfe; Lewis & Overton 2013, algorithm 2.6).
    pub fn search(
        &self,
        task: &mut InnerTask<'_, T>,
        first: f64,
        curvature: bool,
        solved: &mut Solved,
    ) -> Option<Taken> {
        let noise = solved.noise::<T>();
        let (mut t, mut low, mut slope_low, mut high) = (first, 0.0, self.slope, f64::INFINITY);
        for _ in 0..TRIALS {
            self.place(t, &mut task.run.state);
            solved.last = task.look();
            solved.evaluations += 1;
            let rise = solved.last.value - self.from.value;
            let slope = self.isa.dot(self.along, &task.run.next);
            // Written so that a NaN is too far.
            let exact = rise <= DECREASE * t * self.slope;
            let rounded = rise <= noise && t >= LEAST * first && slope <= (2.0 * DECREASE - 1.0) * self.slope;
            if !(solved.last.gradient_norm.is_finite() && (exact || rounded)) {
                high = t;
                // The minimum of the parabola through what is known, while the base is the only good point.
                let parabola = -0.5 * self.slope * t / (rise / t - self.slope);
                t = if low == 0.0 && parabola.is_finite() { parabola.clamp(0.1 * t, 0.5 * t) } else { 0.5 * (low + t) };
            } else if curvature && slope < LEFT * self.slope {
                (low, slope_low) = (t, slope);
                t = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * t };
            } else {
                return Some(Taken { t, slope });
            }
        }
        // A point that is lower is progress, though its slope is what it was.
        let taken = (low > 0.0).then_some(Taken { t: low, slope: slope_low });
        self.place(low, &mut task.run.state);
        solved.last = task.look();
        solved.evaluations += 1;
        taken
    }
    /// By how much G fell on the way to `taken`, the last point looked at. Where the difference is mostly rounding it is
    /// the integral of the slope, by the trapezoidal rule, which is right to second order.
    pub fn fell(&self, taken: Taken, solved: &Solved) -> f64 {
        let difference = self.from.value - solved.last.value;
        if difference.abs() > 1e3 * solved.noise::<T>() {
            return difference;
        }
        -0.5 * taken.t * (self.slope + taken.slope)
    }
}
