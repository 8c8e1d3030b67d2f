//! A solve by Newton's method, under way: steps on Krylov spaces.

use autodiff::{Aligned, Element, Isa};

use super::krylov::Krylov;
use super::{InnerTask, Measured, Solved};
use crate::linear::LinearOperator;

/// Trials of a radius: 2⁻⁴⁰ of a step is below what G can show.
const TRIALS: usize = 40;
/// ∇G jumps where it changes by so many times what the largest curvature of the space makes of the step. Steps are made
/// shorter until G does by half what its model says, within which no smooth G's curvature grows a hundredfold.
const JUMP: f64 = 100.0;

/// A solve, under way.
pub(super) struct Newton<'a, 's, 't, T> {
    pub isa: Isa,
    pub krylov: Krylov<'s, T>,
    /// The step that is tried.
    pub p: &'s mut [T],
    /// What of a gradient is not in the space.
    pub outside: &'s mut [T],
    pub flattest: Flattest<'s, T>,
    /// Whether ∇G jumped in the last [`search`](Newton::search).
    pub jumps: bool,
    /// The length of the first step tried, which nothing bounded.
    pub whole: f64,
    pub task: &'a mut InnerTask<'t, T>,
    pub solved: Solved,
}

/// A point, and what was seen there.
pub(super) struct Point<'s, T> {
    pub phi: &'s mut Aligned<T>,
    pub g: &'s mut Aligned<T>,
    pub measured: Measured,
}

/// The point of the least ‖∇G‖ among those whose G is next to nothing above the least: on a kink ‖∇G‖ is another on
/// every side of it.
pub(super) struct Flattest<'s, T> {
    pub phi: &'s mut Aligned<T>,
    pub measured: Measured,
}

impl<T: Element> Newton<'_, '_, '_, T> {
    /// The best of some steps from `at` on one space, to `best`; the radius that led there, or `None` where no step
    /// lowers G.
    pub fn search(&mut self, radius: f64, at: &Point<'_, T>, best: &mut Point<'_, T>) -> Option<f64> {
        self.krylov.project(at.g, self.outside);
        self.jumps = false;
        let (mut fallen, mut found) = (0.0, None);
        let (mut trial, mut grew, mut shrank) = (radius, false, false);
        for _ in 0..TRIALS {
            let mu = self.krylov.damping(trial, 0.0, 0.0);
            let says = self.krylov.step(mu, self.p);
            let fell = self.try_step(at);
            let (length, ratio) = (self.isa.dot(self.p, self.p).sqrt(), fell / says);
            self.jumps |= self.jumped(at, length);
            if radius.is_infinite() && self.whole == 0.0 {
                self.whole = length;
            }
            let better = fell > fallen;
            if better {
                // A step that nothing bounded says nothing against longer ones.
                let known = if radius.is_finite() { radius } else { 0.0 };
                (fallen, found) = (fell, Some(if mu > 0.0 { trial } else { length.max(known) }));
                self.take(best);
            }
            if better && mu > 0.0 && !shrank && ratio > 0.3 {
                (grew, trial) = (true, 2.0 * trial);
            } else if !grew && (better || found.is_none()) && ratio < 0.5 {
                (shrank, trial) = (true, 0.5 * length.min(trial));
            } else {
                break;
            }
        }
        found
    }

    /// More steps with the same T, from where its first has led.
    pub fn correct(&mut self, mut radius: f64, at: &mut Point<'_, T>, times: usize, tolerance: f64) {
        let shift = self.task.shift();
        for _ in 0..times {
            if at.measured.gradient_norm <= tolerance {
                break;
            }
            let outside = self.krylov.project(at.g, self.outside);
            let mu = self.krylov.damping(radius, outside, shift);
            self.damped_step(mu, outside, shift);
            let slope = self.isa.dot(at.g, self.p);
            // A quadratic that is what it was falls by half of what its slope says.
            if self.try_step(at) >= -0.1 * slope {
                self.take(at);
            } else {
                radius = 0.25 * self.isa.dot(self.p, self.p).sqrt();
            }
        }
    }

    /// p ← −(Q(|T| + μI)⁻¹Qᵀ + (I − QQᵀ)/(σ + μ)) v, v being what was projected last, with ‖v − QQᵀv‖ = `outside`.
    pub fn damped_step(&mut self, mu: f64, outside: f64, sigma: f64) {
        self.krylov.step(mu, self.p);
        if outside > 0.0 {
            self.isa.add_scaled(T::from_f64(-1.0 / (sigma + mu)), self.outside, self.p);
        }
    }

    /// Whether ∇G is, a step of that length from `at`, so much another that no curvature explains it, nor rounding.
    fn jumped(&mut self, at: &Point<'_, T>, length: f64) -> bool {
        self.outside.copy_from_slice(&self.task.run.next);
        self.isa.add_scaled(T::lit(-1.0), at.g, self.outside);
        let change = self.isa.dot(self.outside, self.outside).sqrt();
        change > JUMP * self.krylov.largest() * length && change > T::EPSILON.sqrt() * self.solved.first.gradient_norm
    }

    /// Looks at φ + p; by how much G falls, −∞ where anything is not finite. Where the difference is mostly rounding it is
    /// the integral of the slope, by the trapezoidal rule, which is right to second order.
    pub fn try_step(&mut self, at: &Point<'_, T>) -> f64 {
        self.task.run.state.copy_from_slice(at.phi);
        self.isa.add_scaled(T::one(), self.p, &mut self.task.run.state);
        self.solved.last = self.task.look();
        self.solved.evaluations += 1;
        let (last, noise) = (self.solved.last, self.solved.noise::<T>());
        let difference = at.measured.value - last.value;
        if !(difference.is_finite() && last.gradient_norm.is_finite()) {
            return f64::NEG_INFINITY;
        }
        self.flattest.see(at.measured.value, &self.task.run.state, &self.solved);
        if difference < -noise || difference > 1e3 * noise {
            difference
        } else {
            -0.5 * (self.isa.dot(at.g, self.p) + self.isa.dot(&self.task.run.next, self.p))
        }
    }

    /// The point looked at last, to `point`.
    pub fn take(&self, point: &mut Point<'_, T>) {
        point.phi.copy_from_slice(&self.task.run.state);
        point.g.copy_from_slice(&self.task.run.next);
        point.measured = self.solved.last;
    }

    /// Looks at a point again, unless it was the last one looked at.
    pub fn look(&mut self, at: &Point<'_, T>) {
        if self.task.run.state != *at.phi {
            self.task.run.state.copy_from_slice(at.phi);
            self.solved.last = self.task.look();
            self.solved.evaluations += 1;
        }
    }

    /// Goes to the flattest point if that is flatter than `at`, and at most so far away; how far.
    pub fn settle(&mut self, at: &Point<'_, T>, reach: f64) -> f64 {
        self.look(at);
        if self.flattest.measured.gradient_norm < at.measured.gradient_norm {
            self.p.copy_from_slice(self.flattest.phi);
            self.isa.add_scaled(T::lit(-1.0), at.phi, self.p);
            let away = self.isa.dot(self.p, self.p).sqrt();
            if away <= reach {
                self.task.run.state.copy_from_slice(self.flattest.phi);
                self.solved.last = self.task.look();
                self.solved.evaluations += 1;
                return away;
            }
        }
        0.0
    }
}

impl<T: Element> Flattest<'_, T> {
    /// Sees the point looked at last, a step from one where G is `above`.
    fn see(&mut self, above: f64, state: &[T], solved: &Solved) {
        let (last, little) = (solved.last, solved.little::<T>());
        let left_behind = self.measured.value - last.value.min(above) > little;
        if last.value - above <= little && (left_behind || last.gradient_norm < self.measured.gradient_norm) {
            self.phi.copy_from_slice(state);
            self.measured = last;
        }
    }
}
