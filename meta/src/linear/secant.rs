//! What steps have shown of a Hessian: the pairs of L-BFGS (Nocedal 1980; Nocedal & Wright, algorithm 7.4).

use autodiff::{Element, Isa};

/// The least sᵀy/‖s‖‖y‖ of a pair that is kept: below it, curvature along s is negative or rounding.
const LEAST_CURVATURE: f64 = 1e-8;

/// Pairs s = φ′ − φ, y = ∇G(φ′) − ∇G(φ), the last few, and the inverse of the matrix B that BFGS makes of them.
///
/// B is symmetric positive definite whatever the Hessian is: pairs of negative curvature are left out.
#[derive(Clone, Debug)]
pub struct SecantPairs<T> {
    isa: Isa,
    /// Pairs, the oldest at `oldest` once all room is taken.
    s: Vec<Vec<T>>,
    y: Vec<Vec<T>>,
    /// 1/sᵀy of each.
    rho: Vec<f64>,
    /// For the two loops.
    alpha: Vec<f64>,
    len: usize,
    newest: usize,
}

impl<T: Element> SecantPairs<T> {
    /// Room for `memory` pairs of vectors of length `dim`.
    ///
    /// # Panics
    /// Where `memory` is 0.
    pub fn new(memory: usize, dim: usize, isa: Isa) -> Self {
        assert!(memory > 0, "a memory of no pairs");
        let zeros = || vec![vec![T::zero(); dim]; memory];
        SecantPairs {
            isa,
            s: zeros(),
            y: zeros(),
            rho: vec![0.0; memory],
            alpha: vec![0.0; memory],
            len: 0,
            newest: memory - 1,
        }
    }

    /// Bytes that this takes.
    pub fn bytes(memory: usize, dim: usize) -> usize {
        2 * memory * (dim * size_of::<T>() + size_of::<f64>())
    }

    /// Pairs held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets all pairs.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds a pair in place of the oldest, unless its curvature is not positive; whether it was added.
    pub fn push(&mut self, s: &[T], y: &[T]) -> bool {
        let isa = self.isa;
        let (sy, ss, yy) = (isa.dot(s, y), isa.dot(s, s), isa.dot(y, y));
        // Written so that a NaN is left out too.
        if !(sy.is_finite() && sy > LEAST_CURVATURE * (ss * yy).sqrt()) {
            return false;
        }
        self.newest = (self.newest + 1) % self.s.len();
        self.s[self.newest].copy_from_slice(s);
        self.y[self.newest].copy_from_slice(y);
        self.rho[self.newest] = 1.0 / sy;
        self.len = (self.len + 1).min(self.s.len());
        true
    }

    /// v ← B⁻¹ v: by the two loops, from B₀ = (yᵀy/sᵀy) I of the newest pair. The identity where there are none.
    pub fn apply_inverse(&mut self, v: &mut [T]) {
        if self.len == 0 {
            return;
        }
        let (isa, room) = (self.isa, self.s.len());
        let at = |back: usize| (self.newest + room - back) % room;
        for i in (0..self.len).map(at) {
            self.alpha[i] = self.rho[i] * isa.dot(&self.s[i], v);
            isa.add_scaled(T::from_f64(-self.alpha[i]), &self.y[i], v);
        }
        let y = &self.y[self.newest];
        let scale = T::from_f64(1.0 / (self.rho[self.newest] * isa.dot(y, y)));
        v.iter_mut().for_each(|x| *x = *x * scale);
        for i in (0..self.len).rev().map(at) {
            let beta = self.rho[i] * isa.dot(&self.y[i], v);
            isa.add_scaled(T::from_f64(self.alpha[i] - beta), &self.s[i], v);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn isa() -> Isa {
        Isa::detect().expect("the instruction set asked for exists")
    }

    #[test]
    fn the_secant_equation_holds_for_the_newest_pair() {
        let mut pairs = SecantPairs::<f64>::new(2, 3, isa());
        // Of A = diag(1, 2, 5).
        for s in [[1.0, 0.5, 0.0], [0.0, 1.0, 1.0], [1.0, -1.0, 0.3]] {
            assert!(pairs.push(&s, &[s[0], 2.0 * s[1], 5.0 * s[2]]));
        }
        assert_eq!(pairs.len(), 2);
        let mut v = [1.0, -2.0, 1.5];
        pairs.apply_inverse(&mut v);
        for (a, b) in v.iter().zip([1.0, -1.0, 0.3]) {
            assert!((a - b).abs() < 1e-15, "{v:?}");
        }
    }

    #[test]
    fn negative_curvature_and_nan_are_left_out() {
        let mut pairs = SecantPairs::<f64>::new(2, 2, isa());
        assert!(!pairs.push(&[1.0, 0.0], &[-1.0, 0.0]));
        assert!(!pairs.push(&[1.0, 0.0], &[f64::NAN, 0.0]));
        assert!(!pairs.push(&[0.0, 0.0], &[0.0, 0.0]));
        let mut v = [3.0, 4.0];
        pairs.apply_inverse(&mut v);
        assert_eq!(v, [3.0, 4.0]);
    }
}
