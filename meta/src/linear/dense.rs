//! The matrix itself, a product a column, factorised: for checking, and for problems of a few hundred parameters.
//!
//! ```text
//! A = LLᵀ where A is positive definite, A = QΛQᵀ elsewhere        16 n² bytes and n³/3 multiply-adds (QΛQᵀ: some 9n³)
//! ```
//!
//! n are the [unknowns](LinearOperator::unknowns).
//!
//! Both are nalgebra's, which has no pivoted LDLᵀ. Eigenvalues take more work than one, and say more: how many are
//! negative, which is least, and whether A is singular as far as its precision can tell.
//!
//! In `f64` whatever the operator computes in. The symmetric part of what was assembled is solved with: how far the
//! products are from symmetric is rounding, and shows in the residual, which is taken with the operator itself. Unlike
//! the iterations it allocates.

use autodiff::Element;
use nalgebra::{DMatrix, DVector, SymmetricEigen};

use super::cycles::{Cycle, Until, solve};
use super::{LinearOperator, LinearSolver, Room, Solution, SolverSpace, Status};

/// Factorisation of the assembled matrix.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Dense;

impl Dense {
    fn cycle<T: Element>(a: &mut dyn LinearOperator<T>, mut run: Cycle<'_, T>) -> Option<Status> {
        if run.stats.iterations > 0 {
            // Nearly singular: a second time changes nothing.
            return Some(Status::Stagnated);
        }
        let size = run.isa.dot(run.r, run.r).sqrt();
        if run.is_done(size) {
            return None;
        }
        let [column, unit, ..] = &mut std::mem::take(&mut run.vectors)[..] else { unreachable!("the room asked for") };
        // Of what is no unknown, A has nothing but its diagonal, and b is 0.
        let all = 0..run.x.len();
        let unknowns: Vec<usize> = match a.unknowns() {
            Some(is_one) => all.filter(|&i| is_one[i]).collect(),
            None => all.collect(),
        };
        let n = unknowns.len();
        let mut matrix = DMatrix::<f64>::zeros(n, n);
        unit.fill(T::zero());
        for (j, &unknown) in unknowns.iter().enumerate() {
            unit[unknown] = T::one();
            run.apply(a, unit, column);
            unit[unknown] = T::zero();
            matrix.column_mut(j).iter_mut().zip(&unknowns).for_each(|(m, &i)| *m = column[i].to_f64());
        }
        run.stats.iterations = 1;
        if matrix.iter().any(|m| !m.is_finite()) {
            return Some(Status::NotFinite);
        }
        matrix = (&matrix + matrix.transpose()) * 0.5;
        let right = DVector::from_iterator(n, unknowns.iter().map(|&i| run.r[i].to_f64()));
        // With the size of what of b there is no x for, where A is singular.
        let (solution, left) = match definite::<T>(&matrix, &right) {
            Some(solution) => (solution, None),
            None => {
                let SymmetricEigen { eigenvalues, eigenvectors } = matrix.symmetric_eigen();
                let (least, largest) = (eigenvalues.min(), eigenvalues.amax());
                run.stats.negative_curvature += eigenvalues.iter().filter(|e| **e <= 0.0).count();
                run.stats.least_curvature = least.min(0.0);
                let mut along = eigenvectors.tr_mul(&right);
                // What A cannot give is left out: x is the least of those that leave the least.
                let mut left: Option<f64> = None;
                for (b, e) in along.iter_mut().zip(eigenvalues.iter()) {
                    if e.abs() <= rounding::<T>(n) * largest {
                        left = Some(left.unwrap_or(0.0).hypot(std::mem::take(b)));
                    } else {
                        *b /= e;
                    }
                }
                (&eigenvectors * along, left)
            }
        };
        unknowns.iter().zip(solution.iter()).for_each(|(&i, &s)| run.x[i] = T::from_f64(s));
        left.map(|left| {
            run.is_done(left);
            Status::Singular
        })
    }
}

/// What an eigenvalue of an n × n matrix of products in `T` is known to, relative to the largest.
fn rounding<T: Element>(n: usize) -> f64 {
    8.0 * n as f64 * T::EPSILON
}

/// By a Cholesky factorisation, where there is one and x is not so large that A is singular as far as `T` can tell:
/// λ_min ≤ ‖b‖/‖x‖.
fn definite<T: Element>(matrix: &DMatrix<f64>, right: &DVector<f64>) -> Option<DVector<f64>> {
    let factors = matrix.clone().cholesky()?;
    let x = factors.solve(right);
    // A pivot is no larger than ‖A‖.
    let size = factors.l_dirty().diagonal().amax().powi(2);
    (right.norm() > rounding::<T>(right.len()) * size * x.norm()).then_some(x)
}

impl<T: Element> LinearSolver<T> for Dense {
    fn room(&self) -> Room {
        Room { vectors: 2, scalars: 0 }
    }

    fn solve<'s>(&self, a: &mut dyn LinearOperator<T>, b: &[T], space: &'s mut SolverSpace<T>) -> Solution<'s, T> {
        // The residual of a backward stable solve, relative to ‖b‖, is some ‖A‖‖x‖/‖b‖ roundings: with this tolerance
        // all but nearly singular systems are solved.
        let until = Until::Tolerance { relative: 1e5 * T::EPSILON, cap: 2 };
        space.started = false;
        solve(a, b, space, until, Self::cycle)
    }
}
