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
use super::{LinearOperator, LinearSolver, Room, Solution, SolverSpace, Status};

/// Lanczos steps that the scale is estimated by.
const STEPS: usize = 8;

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
                run.stats.negative_curvature += 1;
                return Some(Status::Diverges);
            }
            // ‖r − A r/s‖ > ‖r‖ means an eigenvalue beyond 2s: the estimate was too small.
            while isa.dot(ar, ar) > 2.0 * s * curvature {
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
        let isa = run.isa;
        let vectors = std::mem::take(&mut run.vectors);
        let scalars = std::mem::take(&mut run.scalars);
        let [next, v, before] = &mut vectors[..3] else { unreachable!("the room asked for") };
        let (diagonal, below) = scalars.split_at_mut(STEPS);
        v.copy_from_slice(run.r);
        isa.scale(T::from_f64(1.0 / isa.dot(v, v).sqrt()), v);
        before.fill(T::zero());
        let (mut n, mut gamma, mut largest) = (0, 0.0, 0.0_f64);
        while n < STEPS {
            run.apply(a, v, next);
            let delta = isa.dot(v, next);
            isa.add_scaled(T::from_f64(-delta), v, next);
            isa.add_scaled(T::from_f64(-gamma), before, next);
            gamma = isa.dot(next, next).sqrt();
            if !(delta.is_finite() && gamma.is_finite()) {
                return Err(Status::NotFinite);
            }
            (diagonal[n], below[n]) = (delta, gamma);
            n += 1;
            largest = largest.max(delta.abs() + gamma);
            if gamma <= T::EPSILON * largest {
                break;
            }
            isa.scale(T::from_f64(1.0 / gamma), next);
            std::mem::swap(before, v);
            std::mem::swap(v, next);
        }
        let (diagonal, below) = (&diagonal[..n], &below[..n - 1]);
        let negative = eigenvalues_below(diagonal, below, T::EPSILON * largest);
        // Bisection on the count of eigenvalues below: Gershgorin's circles hold them all.
        let (mut low, mut high) = (0.0, 2.0 * largest);
        while high - low > 1e-3 * high {
            let middle = 0.5 * (low + high);
            if eigenvalues_below(diagonal, below, middle) == n { high = middle } else { low = middle }
        }
        (run.vectors, run.scalars) = (vectors, scalars);
        if negative > 0 {
            run.stats.negative_curvature += negative;
            return Err(if largest == 0.0 { Status::Singular } else { Status::Diverges });
        }
        Ok(high)
    }
}

/// How many eigenvalues of a symmetric tridiagonal matrix lie below `x`: the negative pivots of T − x (Sylvester).
fn eigenvalues_below(diagonal: &[f64], below: &[f64], x: f64) -> usize {
    let mut pivot = 1.0_f64;
    let mut count = 0;
    for (i, d) in diagonal.iter().enumerate() {
        let coupled = if i == 0 { 0.0 } else { below[i - 1] * below[i - 1] / pivot };
        pivot = d - x - coupled;
        if pivot == 0.0 {
            pivot = -f64::MIN_POSITIVE;
        }
        count += usize::from(pivot < 0.0);
    }
    count
}

impl<T: Element> LinearSolver<T> for Neumann {
    fn room(&self) -> Room {
        Room { vectors: 3, scalars: 2 * STEPS }
    }

    fn solve<'s>(&self, a: &mut dyn LinearOperator<T>, b: &[T], space: &'s mut SolverSpace<T>) -> Solution<'s, T> {
        let mut scale = None;
        solve(a, b, space, self.until, |a, run| Self::cycle(a, run, &mut scale))
    }
}
