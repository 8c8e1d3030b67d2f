//! Whose arm is seen, and how: what differs between the robot's demonstrations and a person's.

use super::arm::{Arm, Point};
use crate::tasks::random::{Random, sin_cos};

/// Channels of a landmark's colour.
pub const COLOURS: usize = 3;

/// A body, a camera and a pace.
#[derive(Clone, Debug, PartialEq)]
pub struct Domain {
    /// The arm.
    pub arm: Arm,
    /// x ↦ scale · R x + shift on the image plane: the matrix scale · R…
    view: [[f64; 2]; 2],
    /// …and the shift.
    shift: Point,
    /// c ↦ tint · c + cast
    tint: [[f64; COLOURS]; COLOURS],
    cast: [f64; COLOURS],
    /// The fraction of a demonstration's frames in which the hand moves.
    pub moving: f64,
}

/// The robot's links.
pub const ROBOT: Arm = Arm { links: [0.6, 0.55] };

impl Domain {
    /// The robot, seen by its own camera.
    pub fn robot() -> Self {
        let mut tint = [[0.0; COLOURS]; COLOURS];
        (0..COLOURS).for_each(|i| tint[i][i] = 1.0);
        Domain { arm: ROBOT, view: [[1.0, 0.0], [0.0, 1.0]], shift: [0.0; 2], tint, cast: [0.0; COLOURS], moving: 0.6 }
    }

    /// A person who differs from the robot by `gap`, 0 … 1, times
    ///
    /// ```text
    /// links      0 … +50 % each             camera   turned by ±60°, scaled by 0.7 … 1.3, shifted by ±0.6
    /// pace       moving in 0.35 … 0.85      colours  mixed by ±0.4 a coefficient, cast ±0.6 a channel
    /// ```
    ///
    /// each uniform, and another person with another camera in every task. At 0 it is the robot.
    pub(super) fn person(gap: f64, rng: &mut Random) -> Self {
        let mut by = |low: f64, high: f64| gap * rng.uniform(low, high);
        let mut person = Domain::robot();
        for link in &mut person.arm.links {
            *link *= 1.0 + by(0.0, 0.5);
        }
        let third = std::f64::consts::FRAC_PI_3;
        let ((sin, cos), scale) = (sin_cos(by(-third, third)), 1.0 + by(-0.3, 0.3));
        person.view = [[scale * cos, -scale * sin], [scale * sin, scale * cos]];
        person.shift = [by(-0.6, 0.6), by(-0.6, 0.6)];
        person.moving += by(-0.25, 0.25);
        for (row, cast) in person.tint.iter_mut().zip(&mut person.cast) {
            row.iter_mut().for_each(|t| *t += by(-0.4, 0.4));
            *cast = by(-0.6, 0.6);
        }
        person
    }

    /// Where the camera sees a point of the world.
    pub fn see(&self, x: Point) -> Point {
        let row = |i: usize| self.view[i][0] * x[0] + self.view[i][1] * x[1] + self.shift[i];
        [row(0), row(1)]
    }

    /// The colour that the camera makes of one.
    pub fn colour(&self, c: [f64; COLOURS]) -> [f64; COLOURS] {
        std::array::from_fn(|i| self.cast[i] + (0..COLOURS).map(|j| self.tint[i][j] * c[j]).sum::<f64>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::Split;

    #[test]
    fn without_a_gap_a_person_is_the_robot() {
        let person = |gap| Domain::person(gap, &mut Random::of_task("domain", 0, Split::Test, 0));
        assert_eq!(person(0.0), Domain::robot());
        assert_ne!(person(0.5), Domain::robot());
        let (a, b) = ([0.3, 0.4], [-0.2, 0.9]);
        assert_eq!(person(0.0).see(a), a);
        // A similarity: all distances are scaled alike.
        let distance = |a: Point, b: Point| (a[0] - b[0]).hypot(a[1] - b[1]);
        let seen = person(1.0);
        let ratio = |a, b| distance(seen.see(a), seen.see(b)) / distance(a, b);
        assert!((ratio(a, b) - ratio(a, [0.0, 0.0])).abs() < 1e-14);
    }
}
