//! A symmetric operator on the Krylov space of a vector: Lanczos (1950), every vector orthogonalised against all others.
//!
//! ```text
//! A V = V T + β v_{m+1} e_mᵀ,   VᵀV = I,   T tridiagonal        x_n = V_n T_n⁻¹ Vᵀb
//! ```
//!
//! x_n is what n iterations of conjugate gradients from zero are defined by, positive definite or not. Nothing here
//! is a recurrence for x, a residual or a direction, so that it shares no mistake with a solver.

use nalgebra::{DMatrix, DVector};

use super::vector::{add, dot, norm, scaled};

/// V and T.
pub(super) struct Krylov {
    basis: Vec<Vec<f64>>,
    diagonal: Vec<f64>,
    /// β below the diagonal; the last one leads out of the space.
    below: Vec<f64>,
    size: f64,
}

impl Krylov {
    /// Up to `most` dimensions, fewer where the space is exhausted or ‖b − A x_n‖ ≤ `tolerance` ‖b‖.
    pub fn new(b: &[f64], most: usize, tolerance: f64, mut apply: impl FnMut(&[f64]) -> Vec<f64>) -> Self {
        let size = norm(b);
        let mut krylov = Krylov { basis: Vec::new(), diagonal: Vec::new(), below: Vec::new(), size };
        if size == 0.0 || !size.is_finite() {
            return krylov;
        }
        let mut v = scaled(1.0 / size, b);
        while krylov.dim() < most {
            let mut next = apply(&v);
            krylov.diagonal.push(dot(&v, &next));
            let scale = norm(&next);
            krylov.basis.push(v);
            // Twice is enough (Kahan, in Parlett 1980).
            for _ in 0..2 {
                for q in &krylov.basis {
                    let along = dot(q, &next);
                    add(-along, q, &mut next);
                }
            }
            let beta = norm(&next);
            krylov.below.push(beta);
            // What is left of the next vector is rounding: the space holds the solution.
            if beta <= 1e-13 * scale || !beta.is_finite() {
                break;
            }
            let n = krylov.dim();
            if n.is_multiple_of(10) && krylov.residual(n).is_some_and(|r| r <= tolerance) {
                break;
            }
            v = scaled(1.0 / beta, &next);
        }
        krylov
    }

    /// Dimensions.
    pub fn dim(&self) -> usize {
        self.diagonal.len()
    }

    fn projected(&self, n: usize) -> DMatrix<f64> {
        let mut t = DMatrix::zeros(n, n);
        for i in 0..n {
            t[(i, i)] = self.diagonal[i];
            if i + 1 < n {
                t[(i, i + 1)] = self.below[i];
                t[(i + 1, i)] = self.below[i];
            }
        }
        t
    }

    /// Coordinates of x_n; none where T_n is singular, or n is more than there is.
    fn coordinates(&self, n: usize) -> Option<DVector<f64>> {
        if n == 0 || n > self.dim() {
            return None;
        }
        let mut right = DVector::zeros(n);
        right[0] = self.size;
        self.projected(n).lu().solve(&right)
    }

    /// ‖b − A x_n‖ / ‖b‖ = β_n |y_n| / ‖b‖
    pub fn residual(&self, n: usize) -> Option<f64> {
        let y = self.coordinates(n)?;
        Some(self.below[n - 1] * y[n - 1].abs() / self.size)
    }

    /// x_n
    pub fn solution(&self, n: usize) -> Option<Vec<f64>> {
        let y = self.coordinates(n)?;
        let mut x = vec![0.0; self.basis[0].len()];
        self.basis.iter().zip(y.iter()).for_each(|(q, &y)| add(y, q, &mut x));
        Some(x)
    }

    /// The eigenvalues of T: estimates of A's, best at both ends.
    pub fn ritz_values(&self) -> Vec<f64> {
        self.ritz_values_of(self.dim())
    }

    /// The eigenvalues of T_n.
    pub fn ritz_values_of(&self, n: usize) -> Vec<f64> {
        if n == 0 {
            return Vec::new();
        }
        self.projected(n).symmetric_eigenvalues().as_slice().to_vec()
    }
}
