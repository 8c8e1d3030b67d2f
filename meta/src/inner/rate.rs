//! A step size that is safe by itself: 1/L, L a bound on the curvature where the steps start.

use autodiff::{Element, Isa};

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
    /// 1/L, for each task its own: L is 1.1 times the largest absolute Ritz value of ∇²G at φ₀ after 12 steps of
    /// Lanczos' method, and its residual. Halved, and the step taken back, wherever G rises. The
    /// given rate is used only where no curvature is found.
    Auto,
}

/// Some more than the largest |eigenvalue| of the symmetric matrix behind `product`; 0 where it is 0.
///
/// Lanczos' method from a fixed start, without orthogonalisation: ghosts repeat Ritz values, and the largest is right.
/// The bound is θ + β|s| with the residual β|s| of the Ritz pair, times a margin: that some eigenvalue is within the
/// residual is certain, that it is the largest is not.
pub(crate) fn curvature_bound<T: Element>(
    isa: Isa,
    [before, q, w]: [&mut [T]; 3],
    mut product: impl FnMut(&[T], &mut [T]),
) -> f64 {
    // Every coordinate has a part in it, and no two signs and sizes follow a pattern that a network has.
    for (i, q) in q.iter_mut().enumerate() {
        let bits = (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11;
        *q = T::from_f64(bits as f64 / (1_u64 << 52) as f64 - 1.0);
    }
    before.fill(T::zero());
    let (mut alpha, mut beta) = ([0.0; STEPS], [0.0; STEPS]);
    let norm = isa.dot(q, q).sqrt();
    isa.scale(T::from_f64(1.0 / norm), q);
    let mut count = 0;
    for k in 0..STEPS.min(q.len()) {
        product(q, w);
        alpha[k] = isa.dot(q, w);
        isa.add_scaled(T::from_f64(-alpha[k]), q, w);
        if k > 0 {
            isa.add_scaled(T::from_f64(-beta[k - 1]), before, w);
        }
        beta[k] = isa.dot(w, w).sqrt();
        count = k + 1;
        if beta[k] <= T::EPSILON * alpha[k].abs() || beta[k].is_nan() {
            break;
        }
        before.copy_from_slice(q);
        q.copy_from_slice(w);
        isa.scale(T::from_f64(1.0 / beta[k]), q);
    }
    let (alpha, beta) = (&alpha[..count], &beta[..count]);
    let high = largest(alpha, beta, 1.0);
    let low = largest(alpha, beta, -1.0);
    MARGIN * high.max(low)
}

/// The largest eigenvalue of ±(the tridiagonal matrix), and its residual: by bisection of the Sturm count.
fn largest(alpha: &[f64], beta: &[f64], sign: f64) -> f64 {
    let n = alpha.len();
    let reach = |i: usize| alpha[i].abs() + beta[i].abs() + if i > 0 { beta[i - 1].abs() } else { 0.0 };
    let bound = (0..n).map(reach).fold(0.0, f64::max);
    // Whether an eigenvalue is above x: some pivot of A − xI is positive.
    let above = |x: f64| {
        let mut pivot = 1.0;
        (0..n).any(|i| {
            let coupling = if i > 0 { beta[i - 1] * beta[i - 1] / pivot } else { 0.0 };
            pivot = sign * alpha[i] - x - coupling;
            if pivot == 0.0 {
                pivot = -f64::MIN_POSITIVE;
            }
            pivot > 0.0
        })
    };
    let (mut low, mut high) = (-bound, bound);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if above(middle) { low = middle } else { high = middle }
    }
    // The last component of the eigenvector, by its recurrence.
    let (mut previous, mut last, mut square) = (0.0, 1.0, 1.0);
    for i in 0..n - 1 {
        let coupling = if i > 0 { sign * beta[i - 1] * previous } else { 0.0 };
        let next = ((high - sign * alpha[i]) * last - coupling) / (sign * beta[i]);
        previous = last;
        last = next;
        square += next * next;
    }
    high + beta[n - 1] * (last.abs() / square.sqrt()).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(diagonal: &[f64]) -> f64 {
        let n = diagonal.len();
        let [mut a, mut b, mut c] = [vec![0.0; n], vec![0.0; n], vec![0.0; n]];
        let isa = Isa::detect().expect("the instruction set asked for exists");
        curvature_bound(isa, [&mut a, &mut b, &mut c], |x, y| {
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
