//! Down along kinks, where ∇G jumps: by the shortest combinations of gradients nearby.

use autodiff::Element;

use super::bundle::Bundle;
use super::hessian_free::PATIENCE;
use super::newton::{Newton, Point};
use super::solved::Idle;
use super::{InnerStatus, InnerStop, Measured, Solved, Stationarity};
use crate::linear::LinearOperator;

/// Looks at new points in an iteration.
const TRIALS: usize = 30;
/// The part of the promised decrease that moves φ; what is less, or a rise, is a null step.
const KEPT: f64 = 0.1;
/// A combination is short where it is this part of ∇G: then the radius is halved.
const SHORT: f64 = 0.1;
/// The least radius, of ‖φ − φ₀‖.
const NEAR: f64 = 1e-3;
/// What a Krylov space leaves of the combination that it is built from.
const LEFT: f64 = 0.05;
/// The least curvature that is taken for those outside the space, of the largest in it.
const OUTSIDE: f64 = 1e-3;
/// The least damping makes ∇G's step, if nothing is curved, a million times the radius.
const LEAST: f64 = 1e-6;

/// Where a trial may go.
struct Reach {
    /// Gradients from within this radius are combined, and steps are no longer.
    radius: f64,
    /// The damping μ, and the least of it.
    mu: f64,
    least: f64,
    /// The curvature outside the space.
    sigma: f64,
}

impl<T: Element> Newton<'_, '_, '_, T> {
    /// Follows kinks from `at` until iterations run out, the combination is as short as the tolerance at the last radius,
    /// or neither it nor G falls to speak of; says so in `solved`. The bundle is of so many gradients, in the numbers that it
    /// [asks for](Bundle::room), and its Krylov spaces of so many dimensions; `v` is where combinations are put.
    pub fn follow(
        &mut self,
        at: &mut Point<'_, T>,
        v: &mut [T],
        (gradients, dimensions): (usize, usize),
        scalars: &mut [f64],
        stop: InnerStop,
    ) {
        let mut found = Stationarity { norm: at.measured.gradient_norm, radius: 0.0 };
        // Where the start is at a kink φ has not gone anywhere: as far, then, as it would have.
        let mut radius = self.gone(at).max(self.whole);
        if gradients > 0 && radius > 0.0 && radius.is_finite() {
            let room = self.krylov.give(dimensions);
            let mut bundle = Bundle::new(self.isa, &mut room[..gradients], scalars);
            (found, radius) = self.descend(&mut bundle, at, v, radius, stop);
        }
        if self.solved.status == InnerStatus::NotFinite {
            return;
        }
        found.radius += self.settle(at, radius);
        let norm = self.solved.last.gradient_norm;
        if norm <= found.norm {
            found = Stationarity { norm, radius: 0.0 };
        }
        let converged = norm <= stop.limits().1;
        self.solved.status = if converged { InnerStatus::Converged } else { InnerStatus::Kink };
        self.solved.kink = Some(found).filter(|_| !converged);
    }

    /// The iterations; the shortest combination in the end, and the radius it was searched within.
    fn descend(
        &mut self,
        bundle: &mut Bundle<'_, T>,
        at: &mut Point<'_, T>,
        v: &mut [T],
        radius: f64,
        stop: InnerStop,
    ) -> (Stationarity, f64) {
        let ((cap, tolerance), begun) = (stop.limits(), self.solved.steps);
        let mut idle = Idle::at(at.measured, PATIENCE, 1);
        let mut reach = Reach { radius, mu: 0.0, least: 0.0, sigma: 0.0 };
        bundle.push(&mut self.krylov, at.g, 0.0);
        let mut found = bundle.shortest(radius);
        let mut searched = radius;
        while self.solved.steps < cap && at.measured.gradient_norm > tolerance {
            bundle.shortest(reach.radius);
            bundle.combine(v);
            // Balanced to the last bit: within this radius there is no way down to look along.
            if self.isa.dot(v, v) <= 0.0 {
                (found, searched) = (bundle.shortest(reach.radius), reach.radius);
                let near = NEAR * self.gone(at);
                if reach.radius <= near {
                    break;
                }
                reach.radius = (0.5 * reach.radius).max(near);
                self.solved.steps += 1;
                continue;
            }
            self.look(at);
            if !self.krylov.build(self.task, v, LEFT, &mut self.solved) {
                self.solved.status = InnerStatus::NotFinite;
                break;
            }
            bundle.measure_on(&mut self.krylov);
            reach.least = LEAST * at.measured.gradient_norm / reach.radius;
            reach.sigma = self.task.shift().max(OUTSIDE * self.krylov.largest());
            for _ in 0..TRIALS {
                self.try_combination(bundle, at, v, &mut reach);
            }
            self.solved.steps += 1;
            (found, searched) = (bundle.shortest(reach.radius), reach.radius);
            let last = Measured { gradient_norm: found.norm, ..at.measured };
            let stuck = idle.after::<T>(&Solved { last, steps: self.solved.steps - begun, ..self.solved });
            let near = NEAR * self.gone(at);
            if stuck || found.norm <= tolerance && reach.radius <= near {
                break;
            }
            if found.norm <= SHORT * at.measured.gradient_norm {
                reach.radius = (0.5 * found.radius).max(near).min(reach.radius);
            }
        }
        (found, searched)
    }

    /// Looks at φ − Mv for the shortest combination, and goes there if G falls; enters what it sees.
    fn try_combination(&mut self, bundle: &mut Bundle<'_, T>, at: &mut Point<'_, T>, v: &mut [T], reach: &mut Reach) {
        let &mut Reach { radius, least, sigma, .. } = reach;
        reach.mu = reach.mu.max(least);
        let outside = loop {
            bundle.shortest_in(&self.krylov.metric(reach.mu, sigma), radius);
            bundle.combine(v);
            let outside = self.krylov.project(v, self.outside);
            let needed = self.krylov.damping(radius, outside, sigma);
            // It grows by a quarter or more, so that this is soon.
            if needed <= reach.mu || needed.is_nan() {
                break outside;
            }
            reach.mu = 1.25 * needed;
        };
        self.damped_step(reach.mu, outside, sigma);
        let (length, promise) = (self.isa.dot(self.p, self.p).sqrt(), -self.isa.dot(v, self.p));
        let fell = self.try_step(at);
        if fell == f64::NEG_INFINITY {
            reach.mu = (4.0 * reach.mu).max(sigma);
        } else if fell >= KEPT * promise {
            bundle.moved(length);
            self.take(at);
            bundle.push(&mut self.krylov, at.g, 0.0);
            if fell >= 0.5 * promise {
                reach.mu *= 0.25;
            }
        } else {
            bundle.push(&mut self.krylov, &self.task.run.next, length);
            // Where G is downhill though it has risen, it is curved, not kinked: nothing is learned by staying as far away.
            if self.isa.dot(&self.task.run.next, self.p) < -0.5 * promise {
                reach.mu = (4.0 * reach.mu).max(OUTSIDE * sigma);
            }
        }
    }

    /// ‖φ − φ₀‖
    fn gone(&mut self, at: &Point<'_, T>) -> f64 {
        self.task.plan.first_state(self.task.theta, self.outside);
        self.isa.add_scaled(T::lit(-1.0), at.phi, self.outside);
        self.isa.dot(self.outside, self.outside).sqrt()
    }
}
