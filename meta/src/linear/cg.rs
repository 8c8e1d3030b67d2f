//! Conjugate gradients (Hestenes & Stiefel 1952).
//!
//! ```text
//! r = b, p = r          repeat:  α = rᵀr / pᵀAp,  x += α p,  r −= α A p,  β = r′ᵀr′ / rᵀr,  p = r′ + β p
//! ```
//!
//! This differs from the textbook in:
//! 1. Negative curvature is detected, counted, and met by a policy.
//! 2. Scaling, true residuals and restarts, which all solvers share (`cycles.rs`).

use autodiff::Element;

use super::cycles::{Cycle, Until, solve};
use super::{LinearOperator, LinearSolver, OnNegativeCurvature, Room, Solution, SolverSpace, Status};

/// Conjugate gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cg {
    until: Until,
    policy: OnNegativeCurvature,
}

impl Cg {
    /// Exactly `n` iterations from zero, fewer only where r = 0 or |pᵀAp| is at rounding.
    pub fn iterations(n: usize) -> Self {
        Cg { until: Until::Iterations(n), policy: OnNegativeCurvature::GoOn }
    }

    /// Until the true residual ‖b − A x‖ ≤ `relative` ‖b‖, in at most `cap` iterations.
    pub fn tolerance(relative: f64, cap: usize) -> Self {
        Cg { until: Until::Tolerance { relative, cap }, policy: OnNegativeCurvature::GoOn }
    }

    /// The same with another policy.
    pub fn on_negative_curvature(self, policy: OnNegativeCurvature) -> Self {
        Cg { policy, ..self }
    }

    fn cycle<T: Element>(self, a: &mut dyn LinearOperator<T>, mut run: Cycle<'_, T>) -> Option<Status> {
        let isa = run.isa;
        let [ap, p] = &mut std::mem::take(&mut run.vectors)[..] else { unreachable!("the room asked for") };
        p.copy_from_slice(run.r);
        let mut rr = isa.dot(run.r, run.r);
        while !run.is_done(rr.sqrt()) {
            run.apply(a, p, ap);
            let (curvature, pp, aap) = (isa.dot(p, ap), isa.dot(p, p), isa.dot(ap, ap));
            if !(curvature.is_finite() && aap.is_finite()) {
                return Some(Status::NotFinite);
            }
            if curvature <= 0.0 {
                run.stats.negative_curvature += 1;
                if self.policy == OnNegativeCurvature::Stop {
                    return Some(Status::NegativeCurvature);
                }
            }
            if curvature.abs() <= T::EPSILON * (pp * aap).sqrt() {
                return Some(Status::Singular);
            }
            let alpha = rr / curvature;
            isa.add_scaled(T::from_f64(alpha), p, run.x);
            isa.add_scaled(T::from_f64(-alpha), ap, run.r);
            let next = isa.dot(run.r, run.r);
            isa.combine(T::one(), run.r, T::from_f64(next / rr), p);
            rr = next;
            run.stats.iterations += 1;
        }
        None
    }
}

impl<T: Element> LinearSolver<T> for Cg {
    fn room(&self) -> Room {
        Room { vectors: 2, scalars: 0 }
    }

    fn solve<'s>(&self, a: &mut dyn LinearOperator<T>, b: &[T], space: &'s mut SolverSpace<T>) -> Solution<'s, T> {
        solve(a, b, space, self.until, |a, run| self.cycle(a, run))
    }
}
