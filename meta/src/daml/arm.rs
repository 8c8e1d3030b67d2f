//! A planar arm with two links, and how an expert moves it.

use crate::tasks::random::sin_cos;

/// A point of the plane, or a vector.
pub type Point = [f64; 2];

/// Joints of the arm.
pub const JOINTS: usize = 2;

/// Two links from a shoulder at the origin; the elbow bends to one side only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arm {
    /// Lengths of the upper link and of the lower one.
    pub links: [f64; 2],
}

impl Arm {
    /// As far as the hand gets.
    pub fn reach(&self) -> f64 {
        self.links[0] + self.links[1]
    }

    /// Elbow and hand at joint angles q, the second relative to the upper link:
    ///
    /// ```text
    /// elbow = l₁ (cos q₁, sin q₁)        hand = elbow + l₂ (cos(q₁ + q₂), sin(q₁ + q₂))
    /// ```
    pub fn forward(&self, q: [f64; JOINTS]) -> (Point, Point) {
        let [upper, lower] = self.links;
        let ((s1, c1), (s2, c2)) = (sin_cos(q[0]), sin_cos(q[0] + q[1]));
        let elbow = [upper * c1, upper * s1];
        (elbow, [elbow[0] + lower * c2, elbow[1] + lower * s2])
    }

    /// The elbow that belongs to a hand: where circles of the links' radii meet, on the side of q₂ > 0. A hand out of
    /// reach has the elbow that points towards it.
    ///
    /// ```text
    /// along = (l₁² − l₂² + d²) / 2d        aside² = l₁² − along²        elbow = along h/d + aside (h_y, −h_x)/d
    /// ```
    pub fn elbow(&self, hand: Point) -> Point {
        let [upper, lower] = self.links;
        let d = (hand[0] * hand[0] + hand[1] * hand[1]).sqrt();
        let along = ((upper * upper - lower * lower + d * d) / (2.0 * d)).min(upper);
        let aside = (upper * upper - along * along).max(0.0).sqrt();
        [(along * hand[0] + aside * hand[1]) / d, (along * hand[1] - aside * hand[0]) / d]
    }
}

/// A controller that brings the hand to a point: a speed limit, then damped least squares.
///
/// ```text
/// e = target − hand        v = k e / √(1 + (k ‖e‖ / v_max)²)        q̇ = Jᵀ (J Jᵀ + μ² I)⁻¹ v
/// ```
///
/// Smooth in everything it reads, so that it can be imitated. (Nakamura & Hanafusa, "Inverse kinematic solutions with
/// singularity robustness", 1986.)
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expert {
    /// k, per unit of time.
    pub gain: f64,
    /// v_max
    pub speed: f64,
    /// μ
    pub damping: f64,
}

impl Expert {
    /// Joint velocities q̇ of an arm with this elbow and hand.
    pub fn velocity(&self, elbow: Point, hand: Point, target: Point) -> [f64; JOINTS] {
        let e = [target[0] - hand[0], target[1] - hand[1]];
        let limit = self.gain / self.speed;
        let scale = self.gain / (1.0 + limit * limit * (e[0] * e[0] + e[1] * e[1])).sqrt();
        let v = [scale * e[0], scale * e[1]];
        // Column j of J turns the hand about joint j.
        let (a, b) = ([-hand[1], hand[0]], [elbow[1] - hand[1], hand[0] - elbow[0]]);
        let damping = self.damping * self.damping;
        let m = [a[0] * a[0] + b[0] * b[0] + damping, a[0] * a[1] + b[0] * b[1], a[1] * a[1] + b[1] * b[1] + damping];
        let determinant = m[0] * m[2] - m[1] * m[1];
        let w = [(m[2] * v[0] - m[1] * v[1]) / determinant, (m[0] * v[1] - m[1] * v[0]) / determinant];
        [a[0] * w[0] + a[1] * w[1], b[0] * w[0] + b[1] * w[1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::Split;
    use crate::tasks::random::Random;

    const ARM: Arm = Arm { links: [0.6, 0.55] };

    fn near(a: Point, b: Point, tolerance: f64) -> bool {
        (0..2).all(|i| (a[i] - b[i]).abs() <= tolerance)
    }

    #[test]
    fn kinematics_are_those_of_the_closed_form() {
        let right = std::f64::consts::FRAC_PI_2;
        // Upwards, then bent to the left: known without trigonometry.
        let (elbow, hand) = ARM.forward([right, right]);
        assert!(near(elbow, [0.0, 0.6], 1e-15) && near(hand, [-0.55, 0.6], 1e-15));
        let mut rng = Random::of_task("arm", 0, Split::Test, 0);
        for _ in 0..1000 {
            let q = [rng.uniform(-3.0, 3.0), rng.uniform(0.2, 2.9)];
            let (elbow, hand) = ARM.forward(q);
            let (upper, whole) = (elbow[0].hypot(elbow[1]), hand[0].hypot(hand[1]));
            let cosine = 0.6 * 0.6 + 0.55 * 0.55 + 2.0 * 0.6 * 0.55 * q[1].cos();
            // A few roundings of numbers below 2.
            assert!((upper - 0.6).abs() < 1e-15 && (whole * whole - cosine).abs() < 1e-14);
            // Back from the hand; a square root near the folded arm costs some digits.
            assert!(near(ARM.elbow(hand), elbow, 1e-12), "{q:?}");
        }
        assert!(near(ARM.elbow([2.0, 0.0]), [0.6, 0.0], 0.0), "a hand out of reach");
    }

    #[test]
    fn without_damping_the_hand_moves_as_it_is_told() {
        let expert = Expert { gain: 3.0, speed: 1.0, damping: 0.0 };
        let q = [1.0, 1.2];
        let (elbow, hand) = ARM.forward(q);
        let target = [0.3, 0.7];
        let dq = expert.velocity(elbow, hand, target);
        // The hand's velocity by central differences of the kinematics: error h²/6 times third derivatives of order 1.
        let h = 1e-5;
        let (_, ahead) = ARM.forward([q[0] + h * dq[0], q[1] + h * dq[1]]);
        let (_, behind) = ARM.forward([q[0] - h * dq[0], q[1] - h * dq[1]]);
        let e = [target[0] - hand[0], target[1] - hand[1]];
        let speed = 3.0 / (1.0 + 9.0 * (e[0] * e[0] + e[1] * e[1])).sqrt();
        for i in 0..2 {
            assert!(((ahead[i] - behind[i]) / (2.0 * h) - speed * e[i]).abs() < 1e-9);
        }
    }
}
