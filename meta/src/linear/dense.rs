//! The matrix itself, a product a column, factorised: for checking, and for problems of a few hundred parameters.
//!
//! ```text
//! A = LLᵀ where A is positive definite, PA = LU elsewhere        8 n² bytes and n³/3 multiply-adds (LU: twice that)
//! ```
//!
//! In `f64` whatever the operator computes in. The symmetric part of what was assembled is solved with: how far the
//! products are from symmetric is rounding, and shows in the residual, which is taken with the operator itself. Unlike
//! the iterations it allocates.

use autodiff::Element;
use nalgebra::{DMatrix, DVector};

use super::cycles::{Cycle, Until, solve};
use super::{LinearOperator, LinearSolver, Room, Solution, SolverSpace, Status};

/// Factorisation of the assembled matrix.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Dense;

impl Dense {
    fn cycle<T: Element>(a: &mut dyn LinearOperator<T>, mut run: Cycle<'_, T>) -> Option<Status> {
        let n = run.x.len();
        if run.stats.iterations > 0 {
            // Nearly singular: a second time changes nothing.
            return Some(Status::Stagnated);
        }
        let [column, unit] = &mut std::mem::take(&mut run.vectors)[..] else { unreachable!("the room asked for") };
        let mut matrix = DMatrix::<f64>::zeros(n, n);
        unit.fill(T::zero());
        for j in 0..n {
            unit[j] = T::one();
            run.apply(a, unit, column);
            unit[j] = T::zero();
            matrix.column_mut(j).iter_mut().zip(&*column).for_each(|(m, c)| *m = c.to_f64());
        }
        run.stats.iterations = 1;
        if matrix.iter().any(|m| !m.is_finite()) {
            return Some(Status::NotFinite);
        }
        let matrix = (&matrix + matrix.transpose()) * 0.5;
        let right = DVector::from_iterator(n, run.r.iter().map(|r| r.to_f64()));
        let solution = match matrix.clone().cholesky() {
            Some(factors) => Some(factors.solve(&right)),
            None => {
                // How many, a Cholesky factorisation that fails does not say.
                run.stats.negative_curvature += 1;
                matrix.lu().solve(&right).filter(|x| x.iter().all(|v| v.is_finite()))
            }
        };
        let Some(solution) = solution else { return Some(Status::Singular) };
        run.x.iter_mut().zip(solution.iter()).for_each(|(x, &s)| *x = T::from_f64(s));
        None
    }
}

impl<T: Element> LinearSolver<T> for Dense {
    fn room(&self) -> Room {
        Room { vectors: 2, scalars: 0 }
    }

    fn solve<'s>(&self, a: &mut dyn LinearOperator<T>, b: &[T], space: &'s mut SolverSpace<T>) -> Solution<'s, T> {
        // The residual of a backward stable solve, relative to ‖b‖, is some ‖A‖‖x‖/‖b‖ roundings: with this tolerance
        // all but nearly singular systems are solved.
        let until = Until::Tolerance { relative: 1e5 * T::EPSILON, cap: 2 };
        solve(a, b, space, until, Self::cycle)
    }
}
