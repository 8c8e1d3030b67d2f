//! A preconditioner from products with random vectors (Frangella, Tropp & Udell 2021, "Randomized Nyström
//! preconditioning", algorithm 2.1 and section 5).
//!
//! ```text
//! Ω n × ℓ, orthonormal      Y = (A − μI) Ω      UΛUᵀ = Y (ΩᵀY)⁺ Yᵀ ≈ A − μI
//! M⁻¹ = (λ_ℓ + μ) U (Λ + μI)⁻¹ Uᵀ + (I − UUᵀ)
//! ```
//!
//! The largest eigenvalues of A − μI become like its ℓ-th, at ℓ products a solve.
//!
//! This differs from the paper in:
//! 1. In the place of a shifted Cholesky factorisation, ΩᵀY = VSVᵀ is diagonalised, and directions with an eigenvalue
//!    that is negative or at rounding are left out: M is positive definite for an indefinite A too, and for a positive
//!    semidefinite one it is the paper's but for its shift.
//! 2. The entries of Ω are random signs before they are orthonormalised, not normal: a bit each.
//! 3. Ω is 0 on what is no [unknown](LinearOperator::unknowns), and so is U.
//! 4. U comes from an eigendecomposition of BᵀB, B = YVS^(−½), and is orthonormalised again, in place of B's singular
//!    value decomposition: λ far below the largest are less exact, and allocate nothing.

use autodiff::{Aligned, Element, Isa};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::eigen::symmetric_eigen;
use super::operator::clear_others;
use super::{Held, LinearOperator, Preconditioner, Room};

/// A randomised Nyström approximation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nystrom {
    rank: usize,
    shift: Option<f64>,
    seed: u64,
}

impl Nystrom {
    /// Of ℓ = `rank` random vectors, the same for every solve.
    ///
    /// # Panics
    /// Where `rank` is 0.
    pub fn rank(rank: usize) -> Self {
        assert!(rank > 0, "a Nyström approximation of rank 0");
        Nystrom { rank, shift: None, seed: 0 }
    }

    /// With this μ in the place of what the operator [says](LinearOperator::shift).
    pub fn shift(self, mu: f64) -> Self {
        Nystrom { shift: Some(mu), ..self }
    }

    /// With other random vectors.
    pub fn seed(self, seed: u64) -> Self {
        Nystrom { seed, ..self }
    }

    /// Ω, which is 0 outside of the unknowns, if only some are.
    fn draw<T: Element>(&self, isa: Isa, unknowns: Option<&[bool]>, omega: &mut [Aligned<T>]) {
        let mut key = [0; 32];
        key[..7].copy_from_slice(b"nystrom");
        key[16..24].copy_from_slice(&self.seed.to_le_bytes());
        for (j, v) in omega.iter_mut().enumerate() {
            let mut rng = ChaCha8Rng::from_seed(key);
            rng.set_stream(j as u64);
            for part in v.chunks_mut(64) {
                let mut bits = rng.next_u64();
                for x in part {
                    *x = T::lit(if bits & 1 == 0 { 1.0 } else { -1.0 });
                    bits >>= 1;
                }
            }
            clear_others(unknowns, v);
        }
        orthonormalise(isa, omega);
    }
}

/// Gram and Schmidt, twice; a vector that depends on those before it becomes 0.
fn orthonormalise<T: Element>(isa: Isa, vectors: &mut [Aligned<T>]) {
    for j in 0..vectors.len() {
        let (before, rest) = vectors.split_at_mut(j);
        let v = &mut rest[0];
        let size = isa.dot(v, v).sqrt();
        for _ in 0..2 {
            for q in &*before {
                let along = isa.dot(q, v);
                isa.add_scaled(T::from_f64(-along), q, v);
            }
        }
        let left = isa.dot(v, v).sqrt();
        if left > 100.0 * T::EPSILON * size {
            isa.scale(T::from_f64(1.0 / left), v);
        } else {
            v.fill(T::zero());
        }
    }
}

/// vectors ← vectors R, R being ℓ × ℓ, column after column; `row` has room for ℓ.
fn transform<T: Element>(vectors: &mut [Aligned<T>], r: &[f64], row: &mut [f64]) {
    let n = vectors.len();
    for i in 0..vectors[0].len() {
        row.iter_mut().zip(&*vectors).for_each(|(x, v)| *x = v[i].to_f64());
        for (v, column) in vectors.iter_mut().zip(r.chunks_exact(n)) {
            v[i] = T::from_f64(column.iter().zip(&*row).map(|(r, x)| r * x).sum());
        }
    }
}

impl<T: Element> Preconditioner<T> for Nystrom {
    fn room(&self) -> Room {
        let l = self.rank;
        Room { vectors: l + 1, scalars: 2 * l * l + 2 * l }
    }

    fn prepare(&self, a: &mut dyn LinearOperator<T>, held: &mut Held<'_, T>) -> usize {
        let (l, isa, mu) = (self.rank, held.isa, self.shift.unwrap_or_else(|| a.shift()));
        let [product, vectors @ ..] = &mut held.vectors[..=l] else { unreachable!("the room asked for") };
        let (weights, rest) = held.scalars.split_at_mut(l);
        let (row, rest) = rest.split_at_mut(l);
        let (core, v) = rest.split_at_mut(l * l);
        self.draw(isa, a.unknowns(), vectors);
        // ΩᵀY, and Y in the place of Ω, column by column: no earlier column of Ω is needed again.
        for j in 0..l {
            a.apply(&vectors[j], product);
            isa.add_scaled(T::from_f64(-mu), &vectors[j], product);
            for i in j..l {
                let entry = isa.dot(&vectors[i], product);
                (core[j * l + i], core[i * l + j]) = (entry, entry);
            }
            vectors[j].copy_from_slice(product);
        }
        weights.fill(0.0);
        if core.iter().any(|c| !c.is_finite()) {
            // M = I: the iteration will meet what is not finite and name it.
            return l;
        }
        // B = Y V S^(−½)
        symmetric_eigen(l, core, v);
        let rounding = T::EPSILON * (product.len() as f64).sqrt();
        let inverse_root = |s: f64, largest: f64| if s > rounding * largest { 1.0 / s.sqrt() } else { 0.0 };
        let largest = core[0].max(0.0);
        for (j, column) in v.chunks_exact_mut(l).enumerate() {
            let scale = inverse_root(core[j * l + j], largest);
            column.iter_mut().for_each(|x| *x *= scale);
        }
        transform(vectors, v, row);
        // Λ and U = B Z Λ^(−½), BᵀB = Z Λ Zᵀ
        for j in 0..l {
            for i in j..l {
                let entry = isa.dot(&vectors[i], &vectors[j]);
                (core[j * l + i], core[i * l + j]) = (entry, entry);
            }
        }
        symmetric_eigen(l, core, v);
        let largest = core[0];
        for (j, column) in v.chunks_exact_mut(l).enumerate() {
            let scale = inverse_root(core[j * l + j], largest);
            column.iter_mut().for_each(|x| *x *= scale);
        }
        transform(vectors, v, row);
        orthonormalise(isa, vectors);
        // M⁻¹ = I − U diag(weights) Uᵀ, weights = 1 − (λ_ℓ + μ)/(λ + μ)
        let kept = (0..l).take_while(|j| inverse_root(core[j * l + j], largest) > 0.0).count();
        let last = match kept {
            0 => return l,
            // What was left out is 0.
            k if k < l && mu > 0.0 => 0.0,
            k => core[(k - 1) * (l + 1)],
        };
        for (j, weight) in weights[..kept].iter_mut().enumerate() {
            *weight = 1.0 - (last + mu) / (core[j * (l + 1)] + mu);
        }
        l
    }

    fn apply(&self, _: &mut dyn LinearOperator<T>, held: &mut Held<'_, T>, v: &mut [T]) {
        let (isa, l) = (held.isa, self.rank);
        let (weights, rest) = held.scalars.split_at_mut(l);
        let along = &mut rest[..l];
        let u = &held.vectors[1..=l];
        // All projections first: with a U that is orthonormal to rounding only, M is symmetric all the same.
        for ((along, weight), u) in along.iter_mut().zip(&*weights).zip(u) {
            *along = if *weight == 0.0 { 0.0 } else { weight * isa.dot(u, v) };
        }
        for (&along, u) in along.iter().zip(u).filter(|(a, _)| **a != 0.0) {
            isa.add_scaled(T::from_f64(-along), u, v);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear::Shifted;

    struct Diagonal(Vec<f64>, f64);
    impl LinearOperator<f64> for Diagonal {
        fn dim(&self) -> usize {
            self.0.len()
        }
        fn apply(&mut self, x: &[f64], y: &mut [f64]) {
            (0..x.len()).for_each(|i| y[i] = (self.0[i] + self.1) * x[i]);
        }
        fn shift(&self) -> f64 {
            self.1
        }
    }

    /// M⁻¹ as a matrix, row after row.
    fn inverse(a: &mut Diagonal, rank: usize) -> Vec<Vec<f64>> {
        let (n, by) = (a.0.len(), Nystrom::rank(rank));
        let room = Preconditioner::<f64>::room(&by);
        let (mut vectors, mut scalars) = (vec![Aligned::zeroed(n); room.vectors], vec![0.0; room.scalars]);
        let isa = Isa::detect().expect("the instruction set asked for exists");
        let mut held = Held { isa, vectors: &mut vectors, scalars: &mut scalars };
        assert_eq!(by.prepare(a, &mut held), rank);
        let unit = |i: usize| (0..n).map(|j| f64::from(u8::from(i == j))).collect::<Vec<f64>>();
        (0..n)
            .map(|i| {
                let mut v = unit(i);
                by.apply(a, &mut held, &mut v);
                v
            })
            .collect()
    }

    #[test]
    fn an_operator_of_low_rank_is_known_exactly() {
        // A = diag(9, 4, 1, 0, 0, 0, 0) + 0.5 I and rank 4: M⁻¹A = 0.5 I.
        let mut a = Diagonal(vec![9.0, 4.0, 1.0, 0.0, 0.0, 0.0, 0.0], 0.5);
        let m = inverse(&mut a, 4);
        for (i, row) in m.iter().enumerate() {
            for (j, &entry) in row.iter().enumerate() {
                let expected = if i == j { 0.5 / (a.0[i] + 0.5) } else { 0.0 };
                // Λ is 9 at most and its least kept is 1: a few hundred roundings of the Gram matrix.
                assert!((entry - expected).abs() < 1e-12, "{i}, {j}: {entry}");
            }
        }
    }

    /// A diagonal matrix, some of whose coordinates are unknowns.
    struct Partly(Diagonal, [bool; 7]);
    impl LinearOperator<f64> for Partly {
        fn dim(&self) -> usize {
            self.0.dim()
        }
        fn apply(&mut self, x: &[f64], y: &mut [f64]) {
            self.0.apply(x, y);
        }
        fn shift(&self) -> f64 {
            self.0.shift()
        }
        fn unknowns(&self) -> Option<&[bool]> {
            Some(&self.1)
        }
    }

    #[test]
    fn what_is_no_unknown_is_left_alone() {
        // The others have another multiple of the identity than μ says, 0 and −2 among them.
        let unknowns = [true, false, true, true, false, false, true];
        let mut a = Partly(Diagonal(vec![9.0, 3.0, 4.0, 1.0, -0.5, -2.5, 0.25], 0.5), unknowns);
        for (rank, more) in [(2, None), (4, None), (6, None), (2, Some(1.5)), (6, Some(1.5))] {
            let by = Nystrom::rank(rank);
            let room = Preconditioner::<f64>::room(&by);
            let (mut vectors, mut scalars) = (vec![Aligned::zeroed(7); room.vectors], vec![0.0; room.scalars]);
            let isa = Isa::detect().expect("the instruction set asked for exists");
            let mut held = Held { isa, vectors: &mut vectors, scalars: &mut scalars };
            let mut v = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
            let before = v;
            match more {
                Some(more) => {
                    let mut shifted = Shifted::new(&mut a, more);
                    by.prepare(&mut shifted, &mut held);
                    by.apply(&mut shifted, &mut held, &mut v);
                }
                None => {
                    by.prepare(&mut a, &mut held);
                    by.apply(&mut a, &mut held, &mut v);
                }
            }
            for i in 0..7 {
                assert!(unknowns[i] || v[i].to_bits() == before[i].to_bits(), "rank {rank}, {more:?}: {v:?}");
            }
            assert!((0..7).any(|i| v[i] != before[i]), "rank {rank}, {more:?}: M is no identity");
        }
    }

    #[test]
    fn it_is_symmetric_positive_definite_for_whatever_operator() {
        let spectra: [(&[f64], f64); 4] = [
            (&[1e6, 1e4, 1e2, 1.0, 1e-2, 1e-4, 1e-6, 0.0, 0.0], 1e-3),
            (&[5.0, -4.0, 3.0, -2.0, 1.0, 0.5, 0.1, -0.1, 0.0], 2.0),
            (&[-1.0, -2.0, -3.0, -4.0, -5.0, -6.0, -7.0, -8.0, -9.0], 0.0),
            (&[0.0; 9], 0.0),
        ];
        for (spectrum, mu) in spectra {
            for rank in [1, 4, 9, 12] {
                let m = inverse(&mut Diagonal(spectrum.to_vec(), mu), rank);
                let n = m.len();
                let matrix = nalgebra::DMatrix::from_fn(n, n, |i, j| m[i][j]);
                assert!((&matrix - matrix.transpose()).norm() < 1e-14, "{spectrum:?}, rank {rank}");
                let least = matrix.symmetric_eigenvalues().min();
                assert!(least > 0.0, "{spectrum:?}, rank {rank}: {least}");
            }
        }
    }
}
