//! How far to go along a direction: by bisection, which needs no smoothness.

use autodiff::{Element, Isa};

use super::{InnerTask, Measured, Solved};

/// The fraction of the first-order decrease that is asked for.
const DECREASE: f64 = 1e-4;
/// The fraction of the slope that may be left.
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

impl<T: Element> Ray<'_, T> {
    /// φ ← base + t p
    pub fn place(&self, t: f64, phi: &mut [T]) {
        phi.copy_from_slice(self.base);
        self.isa.add_scaled(T::from_f64(t), self.along, phi);
    }

    /// Goes to base + t p, t found from 1 on, and looks there; how far, or `None` where no t lowers G: then the point
    /// is the base again, looked at.
    ///
    /// G falls by DECREASE of its first-order decrease, or, where that is below rounding, its slope does (the
    /// approximate condition of Hager & Zhang 2005). The slope rises too, to LEFT of itself, which makes sᵀy > 0 (weak
    /// Wolfe; Lewis & Overton 2013, algorithm 2.6).
    pub fn search(&self, task: &mut InnerTask<'_, T>, solved: &mut Solved) -> Option<f64> {
        let noise = solved.noise::<T>();
        let (mut t, mut low, mut high) = (1.0, 0.0, f64::INFINITY);
        for _ in 0..TRIALS {
            self.place(t, &mut task.run.state);
            solved.last = task.look();
            solved.evaluations += 1;
            let rise = solved.last.value - self.from.value;
            let slope = self.isa.dot(self.along, &task.run.next);
            // Written so that a NaN is too far.
            let exact = rise <= DECREASE * t * self.slope;
            let rounded = rise <= noise && t >= LEAST && slope <= (2.0 * DECREASE - 1.0) * self.slope;
            if !(solved.last.gradient_norm.is_finite() && (exact || rounded)) {
                high = t;
                // The minimum of the parabola through what is known, while the base is the only good point.
                let parabola = -0.5 * self.slope * t / (rise / t - self.slope);
                t = if low == 0.0 && parabola.is_finite() { parabola.clamp(0.1 * t, 0.5 * t) } else { 0.5 * (low + t) };
            } else if slope < LEFT * self.slope {
                low = t;
                t = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * t };
            } else {
                return Some(t);
            }
        }
        // A point that is lower is progress, though its slope is what it was.
        self.place(low, &mut task.run.state);
        solved.last = task.look();
        solved.evaluations += 1;
        (low > 0.0).then_some(low)
    }
}
