//! A step size that is safe by itself: 1/L, L a bound on the curvature where the steps start.

use autodiff::{Element, Isa};

use crate::linear::{Ritz, clear_others};

/// Lanczos steps.
const STEPS: usize = 12;
/// What the bound is above the largest Ritz value, beside its residual.
const MARGIN: f64 = 1.1;

/// Where the step size of gradient descent comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Rate {
    /// [`Hyper::rate`](super::Hyper::rate), whatever comes of it.
    #[default]
    Given,
    /// 1/L, for each task its own: L is 1.1 times the sum of the largest absolute Ritz value of ∇²G at φ₀ after
    /// 12 steps of Lanczos' method and its residual. Halved, and the step taken back, wherever G rises. The
    /// given rate is used only where no curvature is found.
    Auto,
}

/// Some more than the largest |eigenvalue| of the symmetric matrix behind `product`; 0 where it is 0, or not finite.
///
/// By Lanczos' method from a fixed start; the bound is that of the outer Ritz values, times a margin: that some eigenvalue
/// is within the residual is certain, that it is the largest is not.
pub(crate) fn curvature_bound<T: Element>(
    isa: Isa,
    unknowns: Option<&[bool]>,
    [before, q, w]: [&mut [T]; 3],
    product: impl FnMut(&[T], &mut [T]),
) -> f64 {
    // Every unknown has a part in it, and no two signs and sizes follow a pattern that a network has.
    for (i, q) in q.iter_mut().enumerate() {
        let bits = (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11;
        *q = T::from_f64(bits as f64 / (1_u64 << 52) as f64 - 1.0);
    }
    clear_others(unknowns, q);
    let (mut diagonal, mut below) = ([0.0; STEPS], [0.0; STEPS]);
    let ritz = Ritz::of(isa, [before, q, w], (&mut diagonal, &mut below), product);
    ritz.map_or(0.0, |ritz| MARGIN * ritz.upper().max(-ritz.lower()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(diagonal: &[f64]) -> f64 {
        let n = diagonal.len();
        let [mut a, mut b, mut c] = [vec![0.0; n], vec![0.0; n], vec![0.0; n]];
        let isa = Isa::detect().expect("the instruction set asked for exists");
        curvature_bound(isa, None, [&mut a, &mut b, &mut c], |x, y| {
            y.iter_mut().zip(x).zip(diagonal).for_each(|((y, x), d)| *y = d * x);
        })
    }

    #[test]
    fn it_is_an_upper_bound_and_near() {
        for largest in [1e-3, 1.0, 40.0, 400.0] {
            let spread: Vec<f64> = (0..60).map(|i| largest * (f64::from(i) / 59.0).powi(3)).collect();
            let negative: Vec<f64> = spread.iter().map(|d| 0.1 * largest - d).collect();
            for (diagonal, most) in [(&spread, largest), (&negative, 0.9 * largest)] {
                let bound = bound(diagonal);
                assert!(most <= bound && bound <= 1.3 * most, "{most}: {bound}");
            }
        }
        assert_eq!(bound(&[0.0; 5]), 0.0);
        assert!((bound(&[2.0]) - 2.2).abs() < 1e-12);
    }
}
