//! Minimal residuals (Paige & Saunders 1975), for symmetric operators that may be indefinite.
//!
//! ```text
//! Lanczos:  γ_{j+1} v_{j+1} = A v_j − δ_j v_j − γ_j v_{j−1},   T = Q R by rotations,   x_j = x_{j−1} + c η w_j
//! ```
//!
//! x_j has the smallest residual of its Krylov space, so ‖r‖ never grows. Written as in Elman, Silvester & Wathen 2014,
//! algorithm 4.3. Counted as negative curvature are pivots d_j = δ_j − γ_j²/d_{j−1} ≤ 0 of T: the signs that CG sees as
//! those of pᵀAp.

use autodiff::Element;

use super::cycles::{Cycle, Until, solve};
use super::{LinearOperator, LinearSolver, Room, Solution, SolverSpace, Status};

/// Minimal residuals.
///
/// ```
/// use autodiff::Isa;
/// use meta::linear::{LinearOperator, LinearSolver, Minres, SolverSpace, Status};
///
/// struct Diagonal([f64; 3]);
/// impl LinearOperator<f64> for Diagonal {
///     fn dim(&self) -> usize { 3 }
///     fn apply(&mut self, x: &[f64], y: &mut [f64]) {
///         (0..3).for_each(|i| y[i] = self.0[i] * x[i]);
///     }
/// }
/// let solver = Minres::tolerance(1e-12, 10);
/// let mut space = SolverSpace::new(LinearSolver::<f64>::room(&solver), 3, Isa::detect()?);
/// let solution = solver.solve(&mut Diagonal([2.0, -1.0, 4.0]), &[2.0, 3.0, 4.0], &mut space);
/// assert_eq!(solution.status, Status::Converged);
/// assert!((solution.value[1] + 3.0).abs() < 1e-10 && solution.stats.negative_curvature > 0);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Minres {
    until: Until,
}

impl Minres {
    /// Exactly `n` iterations from zero, fewer only where the Krylov space is exhausted.
    pub fn iterations(n: usize) -> Self {
        Minres { until: Until::Iterations(n) }
    }

    /// Until the true residual ‖b − A x‖ ≤ `relative` ‖b‖, in at most `cap` iterations.
    pub fn tolerance(relative: f64, cap: usize) -> Self {
        Minres { until: Until::Tolerance { relative, cap } }
    }

    fn cycle<T: Element>(a: &mut dyn LinearOperator<T>, mut run: Cycle<'_, T>) -> Option<Status> {
        let isa = run.isa;
        let [next, v, before, w, w_before, ..] = &mut std::mem::take(&mut run.vectors)[..] else {
            unreachable!("the room asked for")
        };
        for zero in [&mut *before, &mut *w, &mut *w_before] {
            zero.fill(T::zero());
        }
        v.copy_from_slice(run.r);
        let mut gamma = isa.dot(v, v).sqrt();
        let mut eta = gamma;
        let (mut c, mut c_before, mut s, mut s_before) = (1.0, 1.0, 0.0, 0.0);
        let (mut pivot, mut largest) = (None, 0.0_f64);
        while !run.is_done(eta.abs()) {
            isa.scale(T::from_f64(1.0 / gamma), v);
            run.apply(a, v, next);
            let delta = isa.dot(v, next);
            isa.add_scaled(T::from_f64(-delta), v, next);
            isa.add_scaled(T::from_f64(-gamma), before, next);
            let gamma_next = isa.dot(next, next).sqrt();
            if !(delta.is_finite() && gamma_next.is_finite()) {
                return Some(Status::NotFinite);
            }
            largest = largest.max(delta.abs() + gamma_next);
            let d = delta - pivot.map_or(0.0, |before| gamma * gamma / before);
            pivot = Some(d);
            run.stats.negative_curvature += usize::from(d <= 0.0);
            let a0 = c * delta - c_before * s * gamma;
            let a1 = a0.hypot(gamma_next);
            let a2 = s * delta + c_before * c * gamma;
            let a3 = s_before * gamma;
            if a1 <= T::EPSILON * largest {
                return Some(Status::Singular);
            }
            (c_before, s_before) = (c, s);
            (c, s) = (a0 / a1, gamma_next / a1);
            // w_{j+1} = (v − α₃ w_{j−1} − α₂ w_j) / α₁, in the place of w_{j−1}
            isa.combine(T::from_f64(1.0 / a1), v, T::from_f64(-a3 / a1), w_before);
            isa.add_scaled(T::from_f64(-a2 / a1), w, w_before);
            std::mem::swap(w, w_before);
            isa.add_scaled(T::from_f64(c * eta), w, run.x);
            eta *= -s;
            std::mem::swap(before, v);
            std::mem::swap(v, next);
            gamma = gamma_next;
            run.stats.iterations += 1;
            // What is left of the next vector is rounding: the space holds the solution.
            if gamma <= T::EPSILON * largest {
                run.stats.residual = eta.abs() / run.b_norm;
                break;
            }
        }
        None
    }
}

impl<T: Element> LinearSolver<T> for Minres {
    fn room(&self) -> Room {
        Room { vectors: 5, scalars: 0 }
    }

    fn solve<'s>(&self, a: &mut dyn LinearOperator<T>, b: &[T], space: &'s mut SolverSpace<T>) -> Solution<'s, T> {
        solve(a, b, space, self.until, Self::cycle)
    }
}
