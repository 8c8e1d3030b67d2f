//! The ends of a symmetric operator's spectrum, from a few Lanczos steps.
//!
//! ```text
//! β_{j+1} v_{j+1} = A v_j − α_j v_j − β_j v_{j−1}       T = tridiag(β, α, β),   T s = μ s
//! ```
//!
//! Every Ritz value μ has an eigenvalue of A within β_{m+1}|s_m| of it (Parlett 1980, section 13.2); μ itself lies inside
//! the spectrum. No vector is orthogonalised again: in so few steps that makes copies of Ritz values, not wrong ones.

use autodiff::{Element, Isa};
use nalgebra::{DMatrix, SymmetricEigen};

/// The ends of a spectrum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ends {
    /// The smallest Ritz value less its error bound: an eigenvalue is no lower than that, unless the start missed it.
    pub smallest: f64,
    /// The largest Ritz value and its error bound.
    pub largest: f64,
}

/// Of the operator that `apply` multiplies by, in at most `steps` products from the direction of `v`. `None` where a
/// product is not finite.
pub(super) fn ends<T: Element>(
    isa: Isa,
    mut v: Vec<T>,
    steps: usize,
    mut apply: impl FnMut(&[T], &mut [T]),
) -> Option<Ends> {
    let zeros = || vec![T::zero(); v.len()];
    let (mut before, mut next) = (zeros(), zeros());
    isa.scale(T::from_f64(1.0 / isa.dot(&v, &v).sqrt()), &mut v);
    let (mut diagonal, mut below) = (Vec::new(), vec![0.0]);
    for _ in 0..steps.min(v.len()) {
        apply(&v, &mut next);
        let alpha = isa.dot(&v, &next);
        let beta = *below.last().expect("it starts with one");
        isa.add_scaled(T::from_f64(-alpha), &v, &mut next);
        isa.add_scaled(T::from_f64(-beta), &before, &mut next);
        let beta = isa.dot(&next, &next).sqrt();
        if !(alpha.is_finite() && beta.is_finite()) {
            return None;
        }
        diagonal.push(alpha);
        below.push(beta);
        let size = diagonal.iter().chain(&below).fold(0.0_f64, |most, x| most.max(x.abs()));
        // What is left is rounding: the space is all that this direction reaches.
        if beta <= 10.0 * T::EPSILON * size {
            break;
        }
        isa.scale(T::from_f64(1.0 / beta), &mut next);
        std::mem::swap(&mut before, &mut v);
        std::mem::swap(&mut v, &mut next);
    }
    let m = diagonal.len();
    let t = DMatrix::from_fn(m, m, |i, j| match i.abs_diff(j) {
        0 => diagonal[i],
        1 => below[i.max(j)],
        _ => 0.0,
    });
    let SymmetricEigen { eigenvectors, eigenvalues } = SymmetricEigen::new(t);
    // Of the outer ones: those inside know less, and say nothing of the ends.
    let error = |i: usize| below[m] * eigenvectors[(m - 1, i)].abs();
    let least = (0..m).min_by(|&i, &j| eigenvalues[i].total_cmp(&eigenvalues[j]))?;
    let most = (0..m).max_by(|&i, &j| eigenvalues[i].total_cmp(&eigenvalues[j]))?;
    Some(Ends { smallest: eigenvalues[least] - error(least), largest: eigenvalues[most] + error(most) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagonal_operator_shows_its_ends() {
        let values: Vec<f64> = (0..40).map(|i| f64::from(i) / 10.0 - 0.3).collect();
        let apply = |x: &[f64], y: &mut [f64]| y.iter_mut().zip(x).zip(&values).for_each(|((y, x), d)| *y = d * x);
        let isa = Isa::PORTABLE;
        let few = ends(isa, vec![1.0; 40], 12, apply).unwrap();
        // Whatever the steps, the spectrum is not claimed to be narrower than it is seen to be.
        assert!(few.smallest < -0.28 && few.smallest > -0.6 && few.largest > 3.58 && few.largest < 3.9, "{few:?}");
        // With as many eigenvalues as steps the space is exhausted.
        let apply = |x: &[f64], y: &mut [f64]| {
            y.iter_mut().zip(x).enumerate().for_each(|(i, (y, x))| *y = [0.5, 2.0, 8.0][i % 3] * x);
        };
        let all = ends(isa, vec![1.0; 40], 12, apply).unwrap();
        assert!((all.smallest - 0.5).abs() < 1e-12 && (all.largest - 8.0).abs() < 1e-12, "{all:?}");
        assert_eq!(ends(isa, vec![1.0; 3], 2, |_: &[f64], y: &mut [f64]| y.fill(f64::NAN)), None);
    }
}
