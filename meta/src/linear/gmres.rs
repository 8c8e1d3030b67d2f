//! Generalised minimal residuals, restarted (Saad & Schultz 1986), for operators that need not be symmetric.
//!
//! ```text
//! Arnoldi:  A V_j = V_{j+1} H_j        x = V_j argmin_y ‖ ‖r‖e₁ − H_j y ‖, by rotations that make H upper triangular
//! ```
//!
//! The basis is orthogonalised twice against all of itself, which makes it the most stable of the iterations, and the
//! one that takes the most memory: m + 3 vectors.

use autodiff::Element;

use super::cycles::{Cycle, Until, solve};
use super::{LinearOperator, LinearSolver, Room, Solution, SolverSpace, Status};

/// Restarted GMRES.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gmres {
    until: Until,
    restart: usize,
}

impl Gmres {
    /// Exactly `n` iterations from zero, fewer only where the Krylov space is exhausted; a restart every 30.
    pub fn iterations(n: usize) -> Self {
        Gmres { until: Until::Iterations(n), restart: 30 }
    }

    /// Until the true residual ‖b − A x‖ ≤ `relative` ‖b‖, in at most `cap` iterations; a restart every 30.
    pub fn tolerance(relative: f64, cap: usize) -> Self {
        Gmres { until: Until::Tolerance { relative, cap }, restart: 30 }
    }

    /// The same with a restart every `m` iterations: m + 3 vectors of memory.
    ///
    /// # Panics
    /// Where m is 0.
    pub fn restarting_every(self, m: usize) -> Self {
        assert!(m > 0, "GMRES: a restart every 0 iterations");
        Gmres { restart: m, ..self }
    }

    /// Restarts until the target or the cap.
    fn cycle<T: Element>(self, a: &mut dyn LinearOperator<T>, mut run: Cycle<'_, T>) -> Option<Status> {
        let isa = run.isa;
        let mut size = isa.dot(run.r, run.r).sqrt();
        while !run.is_done(size) {
            let before = size;
            if let Err(status) = self.arnoldi(a, &mut run, &mut size) {
                return Some(status);
            }
            if run.is_done(size) {
                break;
            }
            // A restart begins at the true residual: r − A Δx, Δx being what is left in the first vector.
            let [ax, dx] = &mut run.vectors[..2] else { unreachable!("the room asked for") };
            a.apply(dx, ax);
            run.stats.products += 1;
            isa.add_scaled(T::lit(-1.0), ax, run.r);
            size = isa.dot(run.r, run.r).sqrt();
            if size > 0.999 * before {
                return Some(Status::Stagnated);
            }
        }
        None
    }

    /// Up to m steps from `run.r`: adds Δx to x, leaves it in the second vector, and ‖r‖ in `size`.
    fn arnoldi<T: Element>(
        self,
        a: &mut dyn LinearOperator<T>,
        run: &mut Cycle<'_, T>,
        size: &mut f64,
    ) -> Result<(), Status> {
        let (isa, m) = (run.isa, self.restart);
        let vectors = std::mem::take(&mut run.vectors);
        let scalars = std::mem::take(&mut run.scalars);
        let (h, rest) = scalars.split_at_mut(m * (m + 1));
        let (rotations, right) = rest.split_at_mut(2 * m);
        let (work, basis) = vectors.split_at_mut(2);
        right.fill(0.0);
        right[0] = *size;
        basis[0].copy_from_slice(run.r);
        isa.scale(T::from_f64(1.0 / *size), &mut basis[0]);
        let (mut j, mut largest, mut singular) = (0, 0.0_f64, false);
        while j < m && !run.is_done(*size) {
            run.apply(a, &basis[j], &mut work[0]);
            let column = &mut h[j * (m + 1)..(j + 1) * (m + 1)];
            column.fill(0.0);
            let scale = isa.dot(&work[0], &work[0]).sqrt();
            for _ in 0..2 {
                for (i, v) in basis[..=j].iter().enumerate() {
                    let along = isa.dot(v, &work[0]);
                    column[i] += along;
                    isa.add_scaled(T::from_f64(-along), v, &mut work[0]);
                }
            }
            let beta = isa.dot(&work[0], &work[0]).sqrt();
            if !(beta.is_finite() && scale.is_finite()) {
                return Err(Status::NotFinite);
            }
            largest = largest.max(scale);
            for (i, rotation) in rotations.chunks_exact(2).take(j).enumerate() {
                let (c, s) = (rotation[0], rotation[1]);
                (column[i], column[i + 1]) = (c * column[i] + s * column[i + 1], c * column[i + 1] - s * column[i]);
            }
            let length = column[j].hypot(beta);
            if length <= T::EPSILON * largest {
                singular = true;
                break;
            }
            let (c, s) = (column[j] / length, beta / length);
            rotations[2 * j..2 * j + 2].copy_from_slice(&[c, s]);
            column[j] = length;
            (right[j], right[j + 1]) = (c * right[j], -s * right[j]);
            *size = right[j + 1].abs();
            j += 1;
            run.stats.iterations += 1;
            // What is left of the next vector is rounding: the space holds the solution.
            if beta <= T::EPSILON * scale {
                run.stats.residual = *size / run.b_norm;
                break;
            }
            let next = &mut basis[j];
            next.copy_from_slice(&work[0]);
            isa.scale(T::from_f64(1.0 / beta), next);
        }
        // y by back substitution, in the place of the right-hand side.
        for i in (0..j).rev() {
            let sum: f64 = (i + 1..j).map(|k| h[k * (m + 1) + i] * right[k]).sum();
            right[i] = (right[i] - sum) / h[i * (m + 1) + i];
        }
        work[1].fill(T::zero());
        for (v, &y) in basis.iter().zip(&right[..j]) {
            isa.add_scaled(T::from_f64(y), v, &mut work[1]);
        }
        isa.add_scaled(T::one(), &work[1], run.x);
        (run.vectors, run.scalars) = (vectors, scalars);
        if singular { Err(Status::Singular) } else { Ok(()) }
    }
}

impl<T: Element> LinearSolver<T> for Gmres {
    fn room(&self) -> Room {
        let m = self.restart;
        Room { vectors: m + 3, scalars: m * (m + 1) + 2 * m + m + 1 }
    }

    fn solve<'s>(&self, a: &mut dyn LinearOperator<T>, b: &[T], space: &'s mut SolverSpace<T>) -> Solution<'s, T> {
        solve(a, b, space, self.until, |a, run| self.cycle(a, run))
    }
}
