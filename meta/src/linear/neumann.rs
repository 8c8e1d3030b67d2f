//! Truncated Neumann series (for hypergradients: Lorraine, Vicol & Duvenaud 2020).
//!
//! ```text
//! A⁻¹ = (1/s) Σ_k (I − A/s)ᵏ        x ← x + r/s,  r ← r − A r/s        converges where 0 < eigenvalues < 2s
//! ```
//!
//! The textbook's series has s = 1 (or a step size of the inner optimiser) and diverges wherever an eigenvalue passes
//! 2s. Here s is the largest Ritz value of a few Lanczos steps from b, no less than half of the largest eigenvalue in
//! practice; should the residual grow all the same, s is doubled. An eigenvalue ≤ 0 is named: no s helps against it.

use autodiff::Element;

use super::cycles::{Cycle, Until, solve};
use super::lanczos::{ROOM, Ritz};
use super::{LinearOperator, LinearSolver, Room, Solution, SolverSpace, Status};

/// A scaled Neumann series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neumann {
    until: Until,
}

impl Neumann {
    /// Exactly `n` terms.
    pub fn iterations(n: usize) -> Self {
        Neumann { until: Until::Iterations(n) }
    }

    /// Until the true residual ‖b − A x‖ ≤ `relative` ‖b‖, in at most `cap` terms.
    pub fn tolerance(relative: f64, cap: usize) -> Self {
        Neumann { until: Until::Tolerance { relative, cap } }
    }

    fn cycle<T: Element>(
        a: &mut dyn LinearOperator<T>,
        mut run: Cycle<'_, T>,
        scale: &mut Option<f64>,
    ) -> Option<Status> {
        let isa = run.isa;
        let mut size = isa.dot(run.r, run.r).sqrt();
        if run.is_done(size) {
            return None;
        }
        let mut s = match *scale {
            Some(s) => s,
            None => match Self::scale(a, &mut run) {
                Ok(s) => s,
                Err(status) => return Some(status),
            },
        };
        let ar = &mut std::mem::take(&mut run.vectors)[0];
        while !run.is_done(size) {
            a.apply(run.r, ar);
            run.stats.products += 1;
            let curvature = isa.dot(run.r, ar);
            if !curvature.is_finite() {
                return Some(Status::NotFinite);
            }
            if curvature <= 0.0 {
                let square = isa.dot(run.r, run.r);
                run.stats.met_negative(curvature, square);
                return Some(Status::Diverges);
            }
            // ‖r − A r/s‖ > ‖r‖ means an eigenvalue beyond 2s: the estimate was too small.
            let square = isa.dot(ar, ar);
            while square > 2.0 * s * curvature {
                s *= 2.0;
            }
            isa.add_scaled(T::from_f64(1.0 / s), run.r, run.x);
            isa.add_scaled(T::from_f64(-1.0 / s), ar, run.r);
            size = isa.dot(run.r, run.r).sqrt();
            run.stats.iterations += 1;
        }
        *scale = Some(s);
        None
    }

    /// The largest Ritz value of a few Lanczos steps from the residual.
    fn scale<T: Element>(a: &mut dyn LinearOperator<T>, run: &mut Cycle<'_, T>) -> Result<f64, Status> {
        run.vectors[1].copy_from_slice(run.r);
        let ritz = Ritz::new(a, run.isa, run.vectors, run.scalars, run.stats).ok_or(Status::NotFinite)?;
        let negative = ritz.below(T::EPSILON * ritz.norm());
        if negative > 0 {
            run.stats.negative_curvature += negative;
            run.stats.least_curvature = ritz.least().min(0.0);
            return Err(if ritz.norm() == 0.0 { Status::Singular } else { Status::Diverges });
        }
        Ok(ritz.largest())
    }
}

impl<T: Element> LinearSolver<T> for Neumann {
    fn room(&self) -> Room {
        ROOM
    }

    fn solve<'s>(&self, a: &mut dyn LinearOperator<T>, b: &[T], space: &'s mut SolverSpace<T>) -> Solution<'s, T> {
        let mut scale = None;
        solve(a, b, space, self.until, |a, run| Self::cycle(a, run, &mut scale))
    }
}
