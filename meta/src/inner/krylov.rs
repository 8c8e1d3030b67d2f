//! The Hessian on a Krylov space, taken apart into its eigenvectors there.
//!
//! ```text
//! H Q = Q T + β q eᵀ,    Q's columns an orthonormal basis of span{g, Hg, H²g, …},    T = Z diag(w) Zᵀ tridiagonal
//! ```
//!
//! Every vector is made orthogonal to all before it, since the basis is kept and a copy of an eigenvector would count
//! twice (which is why this is not `linear/lanczos.rs`, which keeps three vectors).

use autodiff::{Aligned, Element, Isa};

use super::{InnerTask, Solved};
use crate::linear::{LinearOperator, Room, tridiagonal_eigen};

/// Products between two looks at how well the space solves.
const LOOK_EVERY: usize = 5;
/// Where orthogonalising leaves less than this of a vector, its rounding is orthogonalised too (Daniel et al. 1976).
const LEFT: f64 = 0.1;

/// A Krylov space of at most as many dimensions as there is room for, and steps in it.
pub(super) struct Krylov<'s, T> {
    isa: Isa,
    /// Dimensions, and the most there may be.
    dim: usize,
    most: usize,
    /// Q, and one vector of room.
    basis: &'s mut [Aligned<T>],
    /// T
    diagonal: &'s mut [f64],
    beside: &'s mut [f64],
    /// w
    values: &'s mut [f64],
    /// Z, column after column.
    vectors: &'s mut [f64],
    /// c = −ZᵀQᵀv of the vector [projected](Krylov::project) last.
    coordinates: &'s mut [f64],
    work: &'s mut [f64],
}

impl<'s, T: Element> Krylov<'s, T> {
    /// For at most so many dimensions.
    pub fn room(dimensions: usize) -> Room {
        Room { vectors: dimensions + 1, scalars: dimensions * (dimensions + 7) }
    }

    /// No space yet, of at most so many dimensions, in the room asked for or more.
    pub fn new(isa: Isa, most: usize, basis: &'s mut [Aligned<T>], scalars: &'s mut [f64]) -> Self {
        let (diagonal, rest) = scalars.split_at_mut(most);
        let (beside, rest) = rest.split_at_mut(most);
        let (values, rest) = rest.split_at_mut(most);
        let (coordinates, rest) = rest.split_at_mut(most);
        let (work, vectors) = rest.split_at_mut(3 * most);
        Krylov { isa, dim: 0, most, basis, diagonal, beside, values, vectors, coordinates, work }
    }

    /// Gives the vectors away that spaces of so many dimensions do without; the space there was is no more.
    pub fn give(&mut self, most: usize) -> &'s mut [Aligned<T>] {
        (self.dim, self.most) = (0, most);
        let (kept, given) = std::mem::take(&mut self.basis).split_at_mut(most + 1);
        self.basis = kept;
        given
    }

    /// The space of ∇²_φφG at the point looked at last, from `g`, until |T| s = Qᵀg leaves about `tolerance` ‖g‖ outside
    /// of it; whether all products were finite.
    pub fn build(&mut self, task: &mut InnerTask<'_, T>, g: &[T], tolerance: f64, solved: &mut Solved) -> bool {
        let (isa, most) = (self.isa, self.most);
        self.basis[0].copy_from_slice(g);
        let (mut beta, mut norm) = (isa.dot(g, g).sqrt(), 0.0_f64);
        self.dim = 0;
        while self.dim < most {
            let (basis, next) = self.basis.split_at_mut(self.dim + 1);
            let (v, next) = (&mut basis[self.dim], &mut next[0]);
            isa.scale(T::from_f64(1.0 / beta), v);
            task.apply(v, next);
            solved.products += 1;
            let delta = isa.dot(v, next);
            let mut size = isa.dot(next, next).sqrt();
            if !size.is_finite() {
                return false;
            }
            loop {
                for q in basis.iter().rev() {
                    isa.add_scaled(T::from_f64(-isa.dot(q, next)), q, next);
                }
                beta = isa.dot(next, next).sqrt();
                if beta >= LEFT * size || beta <= T::EPSILON * norm {
                    break;
                }
                size = beta;
            }
            (self.diagonal[self.dim], self.beside[self.dim]) = (delta, beta);
            self.dim += 1;
            norm = norm.max(delta.abs() + beta);
            let exhausted = beta <= 16.0 * T::EPSILON * norm;
            if exhausted || (self.dim.is_multiple_of(LOOK_EVERY) && beta * self.last_of_solution() <= tolerance) {
                break;
            }
        }
        self.decompose();
        true
    }

    /// |eᵀ|T|⁻¹e₁|, e the last unit vector.
    fn last_of_solution(&mut self) -> f64 {
        let n = self.dim;
        let (beside, ends) = self.work.split_at_mut(self.diagonal.len());
        let (values, beside, ends) = (&mut self.values[..n], &mut beside[..n], &mut ends[..2 * n]);
        values.copy_from_slice(&self.diagonal[..n]);
        beside.copy_from_slice(&self.beside[..n]);
        ends.fill(0.0);
        (ends[0], ends[2 * n - 1]) = (1.0, 1.0);
        tridiagonal_eigen(values, beside, ends);
        let largest = values.iter().fold(0.0_f64, |m, w| m.max(w.abs()));
        // An eigenvalue of next to nothing is one that damping will make harmless.
        let least = T::EPSILON.sqrt() * largest;
        values
            .iter()
            .zip(ends.chunks_exact(2))
            .map(|(w, ends)| ends[0] * ends[1] / w.abs().max(least))
            .sum::<f64>()
            .abs()
    }

    fn decompose(&mut self) {
        let n = self.dim;
        let (values, beside, vectors) = (&mut self.values[..n], &mut self.work[..n], &mut self.vectors[..n * n]);
        values.copy_from_slice(&self.diagonal[..n]);
        beside.copy_from_slice(&self.beside[..n]);
        vectors.fill(0.0);
        (0..n).for_each(|i| vectors[i * (n + 1)] = 1.0);
        tridiagonal_eigen(values, beside, vectors);
    }

    /// out ← ZᵀQᵀv
    pub fn coordinates_of(&mut self, v: &[T], out: &mut [f64]) {
        let n = self.dim;
        for (along, q) in self.work[..n].iter_mut().zip(&*self.basis) {
            *along = self.isa.dot(q, v);
        }
        for (c, z) in out[..n].iter_mut().zip(self.vectors.chunks_exact(n.max(1))) {
            *c = z.iter().zip(&*self.work).map(|(z, a)| z * a).sum::<f64>();
        }
    }

    /// max |w|, 0 where there is no space.
    pub fn largest(&self) -> f64 {
        self.values[..self.dim].iter().fold(0.0, |m, w| w.abs().max(m))
    }

    /// M for these.
    pub fn metric(&self, mu: f64, sigma: f64) -> Metric<'_> {
        Metric { values: &self.values[..self.dim], mu, sigma }
    }

    /// c ← −ZᵀQᵀv, outside ← v − QQᵀv; ‖v − QQᵀv‖.
    pub fn project(&mut self, v: &[T], outside: &mut [T]) -> f64 {
        let n = self.dim;
        outside.copy_from_slice(v);
        for (along, q) in self.work[..n].iter_mut().zip(&*self.basis) {
            *along = self.isa.dot(q, outside);
            self.isa.add_scaled(T::from_f64(-*along), q, outside);
        }
        for (c, z) in self.coordinates[..n].iter_mut().zip(self.vectors.chunks_exact(n)) {
            *c = -z.iter().zip(&*self.work).map(|(z, a)| z * a).sum::<f64>();
        }
        self.isa.dot(outside, outside).sqrt()
    }

    /// The least μ ≥ 0 for which ‖(|T| + μI)⁻¹c‖² + (`outside`/(`shift` + μ))² ≤ radius².
    pub fn damping(&self, radius: f64, outside: f64, shift: f64) -> f64 {
        let squared = |top: f64, bottom: f64| if top == 0.0 { 0.0 } else { (top / bottom).powi(2) };
        let size = |mu: f64| {
            (self.modes().map(|(c, w)| squared(c, w.abs() + mu)).sum::<f64>() + squared(outside, shift + mu)).sqrt()
        };
        if size(0.0) <= radius {
            return 0.0;
        }
        // Every denominator is at least μ, so that ‖c‖/μ bounds it.
        let all = (self.modes().map(|(c, _)| c * c).sum::<f64>() + outside * outside).sqrt();
        let (mut low, mut high) = (0.0, all / radius);
        // Half the digits are more than a damping needs.
        for _ in 0..30 {
            let middle = 0.5 * (low + high);
            if size(middle) > radius {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }

    /// p ← Q Z (|w| + μ)⁻¹ c; by how much G falls along it, says its quadratic model: cᵀy − ½ yᵀdiag(w)y.
    pub fn step(&mut self, mu: f64, p: &mut [T]) -> f64 {
        let n = self.dim;
        self.work[..n].fill(0.0);
        let mut falls = 0.0;
        for ((&c, &w), z) in self.coordinates.iter().zip(&*self.values).zip(self.vectors.chunks_exact(n)).take(n) {
            let y = if c == 0.0 { 0.0 } else { c / (w.abs() + mu) };
            falls += c * y - 0.5 * w * y * y;
            self.work.iter_mut().zip(z).for_each(|(a, z)| *a += y * z);
        }
        p.fill(T::zero());
        for (&along, q) in self.work[..n].iter().zip(&*self.basis) {
            self.isa.add_scaled(T::from_f64(along), q, p);
        }
        falls
    }

    /// (c, w) of every eigenvector.
    fn modes(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.coordinates.iter().copied().zip(self.values.iter().copied()).take(self.dim)
    }
}

/// vᵀMv for M = Q(|T| + μI)⁻¹Qᵀ + (I − QQᵀ)/(σ + μ): what −Mv promises, where ∇G = v.
pub(super) struct Metric<'k> {
    pub values: &'k [f64],
    pub mu: f64,
    pub sigma: f64,
}

impl Metric<'_> {
    /// aᵀMb, of [coordinates](Krylov::coordinates_of) and aᵀb.
    pub fn product(&self, a: &[f64], b: &[f64], dot: f64) -> f64 {
        let (mut inside, mut along) = (0.0, 0.0);
        for ((a, b), w) in a.iter().zip(b).zip(self.values) {
            inside += a * b / (w.abs() + self.mu);
            along += a * b;
        }
        inside + (dot - along) / (self.sigma + self.mu)
    }
}
