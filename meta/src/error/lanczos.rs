//! How large A⁻¹b can be, from a few products with A and a bound on its smallest eigenvalue.
//!
//! Lanczos from b gives A V = V T + β v eᵀ with T tridiagonal. In the spectral measure ω of (A, b),
//!
//! ```text
//! bᵀA⁻²b = ∫ t⁻² dω        bᵀA⁻¹b = ∫ t⁻¹ dω
//! ```
//!
//! and T extended by one row so that μ ≤ λ_min is among its eigenvalues is the Gauss–Radau rule with a node at μ. Odd
//! derivatives of t⁻¹ and t⁻² are negative, so its remainder is: the rule is an *upper* bound (Golub & Meurant,
//! "Matrices, moments and quadrature II", 1997). With no product it is ‖b‖/μ.
//!
//! The last diagonal entry is μ + β²/d with d the last pivot of T − μI. Vectors are orthogonalised against all before
//! them, so that in floating point T is that of a matrix within some k roundings of A: [`Lanczos::inverse`] and
//! [`Lanczos::energy`] are widened by what that can change.

use crate::convex::{UNIT, dot, norm};

/// A Krylov space of A from b.
pub(super) struct Lanczos {
    basis: Vec<Vec<f64>>,
    /// T's diagonal, and what is beside it; the last is the β of the vector that follows.
    diagonal: Vec<f64>,
    beside: Vec<f64>,
    /// ‖b‖
    size: f64,
    /// The largest rounding of a product with a vector of length 1.
    rounding: f64,
}

impl Lanczos {
    /// `products` with A, fewer where the space is exhausted; `apply` returns a bound on its rounding.
    pub fn new(b: &[f64], products: usize, mut apply: impl FnMut(&[f64], &mut [f64]) -> f64) -> Self {
        let size = norm(b);
        let mut lanczos = Lanczos { basis: Vec::new(), diagonal: Vec::new(), beside: Vec::new(), size, rounding: 0.0 };
        let mut v: Vec<f64> = b.iter().map(|b| b / size).collect();
        let mut largest = 0.0_f64;
        while lanczos.basis.len() < products.min(b.len()) && size > 0.0 {
            let mut next = vec![0.0; b.len()];
            lanczos.rounding = lanczos.rounding.max(apply(&v, &mut next));
            lanczos.diagonal.push(dot(&v, &next));
            lanczos.basis.push(v);
            // Twice is enough (Kahan, Parlett).
            for _ in 0..2 {
                for q in &lanczos.basis {
                    let along = dot(q, &next);
                    next.iter_mut().zip(q).for_each(|(n, q)| *n -= along * q);
                }
            }
            let beta = norm(&next);
            lanczos.beside.push(beta);
            largest = largest.max(lanczos.diagonal.last().map_or(0.0, |a| a.abs())).max(beta);
            if beta <= 16.0 * b.len() as f64 * UNIT * largest {
                break;
            }
            next.iter_mut().for_each(|n| *n /= beta);
            v = next;
        }
        lanczos
    }

    /// Products that it took.
    pub fn products(&self) -> usize {
        self.basis.len()
    }

    /// T⁻¹e₁‖b‖ for a tridiagonal, positive definite T.
    fn solve(&self, diagonal: &[f64]) -> Vec<f64> {
        let n = diagonal.len();
        let (mut pivots, mut y) = (diagonal.to_vec(), vec![0.0; n]);
        if n == 0 {
            return y;
        }
        y[0] = self.size;
        for i in 1..n {
            let factor = self.beside[i - 1] / pivots[i - 1];
            pivots[i] -= factor * self.beside[i - 1];
            y[i] = -factor * y[i - 1];
        }
        y[n - 1] /= pivots[n - 1];
        for i in (0..n - 1).rev() {
            y[i] = (y[i] - self.beside[i] * y[i + 1]) / pivots[i];
        }
        y
    }

    /// What CG has after as many iterations.
    pub fn solution(&self, dim: usize) -> Vec<f64> {
        let mut x = vec![0.0; dim];
        for (q, y) in self.basis.iter().zip(self.solve(&self.diagonal)) {
            x.iter_mut().zip(q).for_each(|(x, q)| *x += y * q);
        }
        x
    }

    /// T⁻¹e₁‖b‖ with the row that puts an eigenvalue at μ, or just below: T may have μ itself for an eigenvalue, and with
    /// a smaller one the rule is still a bound.
    fn radau(&self, mu: f64) -> Vec<f64> {
        let mu = mu * (1.0 - 1e-10);
        let mut diagonal = self.diagonal.clone();
        let (mut pivot, mut before) = (f64::INFINITY, 0.0);
        let mut definite = true;
        for (a, b) in diagonal.iter().zip(&self.beside) {
            pivot = a - mu - before * before / pivot;
            definite &= pivot > 0.0;
            before = *b;
        }
        if definite {
            diagonal.push(mu + before * before / pivot);
            self.solve(&diagonal)
        } else {
            // The space is that of μ alone, as far as this precision can tell.
            vec![self.size / mu]
        }
    }

    /// ‖A⁻¹b‖ is at most this, for A with eigenvalues in [μ, `most`].
    pub fn inverse(&self, mu: f64, most: f64) -> f64 {
        norm(&self.radau(mu)) * self.widening(mu, most)
    }

    /// √(bᵀA⁻¹b) is at most this.
    pub fn energy(&self, mu: f64, most: f64) -> f64 {
        (self.size * self.radau(mu)[0]).sqrt() * self.widening(mu, most)
    }

    /// A⁻¹ of a matrix that is some roundings of ‖A‖ and those of its products away differs by that over μ, relative to itself.
    fn widening(&self, mu: f64, most: f64) -> f64 {
        let roundings = (64 * (1 + self.basis.len())) as f64 + self.basis.first().map_or(0, Vec::len) as f64;
        1.0 + (roundings * UNIT * most + self.rounding) / mu
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::random::Random;

    /// Diagonal operators say everything: a Krylov method sees only the spectrum and b's parts in it.
    #[test]
    fn the_bounds_hold_and_tighten_to_the_truth() {
        let mut rng = Random::new("lanczos", 0, 0, 0);
        for condition in [1.0_f64, 10.0, 1e4] {
            let n = 12;
            let a: Vec<f64> = (0..n).map(|i| condition.powf(i as f64 / (n - 1) as f64)).collect();
            let b: Vec<f64> = (0..n).map(|_| rng.uniform(-1.0, 1.0)).collect();
            let x: Vec<f64> = b.iter().zip(&a).map(|(b, a)| b / a).collect();
            let (inverse, energy) = (norm(&x), dot(&b, &x).sqrt());
            for mu in [1.0, 0.3] {
                let mut last = [f64::INFINITY; 2];
                for k in 0..=n {
                    let lanczos = Lanczos::new(&b, k, |x, y| {
                        y.iter_mut().zip(x.iter().zip(&a)).for_each(|(y, (x, a))| *y = a * x);
                        UNIT * condition
                    });
                    let bounds = [lanczos.inverse(mu, condition), lanczos.energy(mu, condition)];
                    assert!(bounds[0] >= inverse && bounds[1] >= energy, "{condition} {mu} {k}: {bounds:?}");
                    // More products never loosen; 1e-9: the widening grows with them.
                    assert!(bounds[0] <= last[0] * (1.0 + 1e-9) && bounds[1] <= last[1] * (1.0 + 1e-9));
                    last = bounds;
                }
                // The whole space: exact up to the widening and, for κ = 1e4, Lanczos's own rounding.
                assert!(last[0] <= inverse * (1.0 + 1e-8) && last[1] <= energy * (1.0 + 1e-8), "{condition}: {last:?}");
            }
        }
        assert_eq!(Lanczos::new(&[0.0; 3], 2, |_, _| unreachable!()).inverse(1.0, 1.0), 0.0);
    }
}
