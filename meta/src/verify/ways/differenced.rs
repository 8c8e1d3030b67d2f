//! DARTS: products with the Hessian by differences.

use super::Ways;
use crate::verify::checks::DIFFERENCE_ROUNDING;
use crate::verify::findings::Quantity;
use crate::verify::point::Point;
use crate::verify::steps::Trajectory;
use crate::verify::vector::{norm, relative_difference};

impl Ways<'_, '_> {
    /// Through K steps. An approximation to the square of the radius ε: allowed is what the same differences, by hand,
    /// are off by, which has the truncation, O(ε²), and the kinks in it; and rounding, which is another number each time.
    pub(super) fn differenced(&mut self, trajectory: &Trajectory, by_hand: &[f64], point: &Point, rounding: f64) {
        let radius = f64::EPSILON.cbrt();
        let again = self.task.pulled_back(trajectory, |task, phi, c| task.differenced(phi, c, radius));
        let off = relative_difference(&again, by_hand);
        // ∇G is off by rounding of its own and of φ, which curvature turns into more; a step makes αh⁻¹ times that of it.
        let curvature = point.spectrum.largest.abs().max(point.spectrum.smallest.abs());
        let first = norm(&self.task.inner_gradient(self.task.theta));
        let gradient = DIFFERENCE_ROUNDING * (first + curvature * norm(self.task.theta));
        let steps = self.steps as f64 * self.task.rate * gradient / radius;
        let size = norm(by_hand);
        let drawn = steps * norm(&point.v) / size;
        // Where squares overflow nothing is relative to anything.
        let tolerance = if size.is_finite() { rounding + 4.0 * off + drawn } else { f64::INFINITY };
        let method = self.engine.differenced(self.steps);
        self.run("DARTS", Quantity::Steps(self.steps), method, tolerance);
    }
}
