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
        let [sy, ss, yy] = isa.gram(s, y);
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

    /// Adds what is left of a pair after its s is made conjugate to those held, s ← s − Σ (sᵀyᵢ/sᵢᵀyᵢ) sᵢ and y alike, unless
    /// its curvature is not positive or next to nothing is left; whether it was added. Where all room is taken, a pair of which
    /// next to nothing is left still costs the oldest one, in whose place it was built.
    ///
    /// The pairs of one matrix A, y = A s, then all satisfy B s = y, and not only the newest (block BFGS, Schnabel 1983):
    /// for a preconditioner, where the pairs come from steps that are not conjugate, as those of gradient descent.
    pub fn push_conjugate(&mut self, s: &[T], y: &[T]) -> bool {
        let (isa, room) = (self.isa, self.s.len());
        let [whole, ss, yy] = isa.gram(s, y);
        if !(whole.is_finite() && whole > LEAST_CURVATURE * (ss * yy).sqrt()) {
            return false;
        }
        // Built in the place of the oldest.
        let at = (self.newest + 1) % room;
        self.len = self.len.min(room - 1);
        let (mut new_s, mut new_y) = (std::mem::take(&mut self.s[at]), std::mem::take(&mut self.y[at]));
        new_s.copy_from_slice(s);
        new_y.copy_from_slice(y);
        for i in (0..self.len).map(|back| (self.newest + room - back) % room) {
            let along = T::from_f64(-self.rho[i] * isa.dot(&self.y[i], &new_s));
            isa.add_scaled(along, &self.s[i], &mut new_s);
            isa.add_scaled(along, &self.y[i], &mut new_y);
        }
        let left = isa.dot(&new_s, &new_y);
        (self.s[at], self.y[at]) = (new_s, new_y);
        // Half the digits are gone where this little is left.
        if !(left.is_finite() && left > T::EPSILON.sqrt() * whole) {
            return false;
        }
        self.rho[at] = 1.0 / left;
        self.newest = at;
        self.len += 1;
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
    fn conjugate_pairs_all_hold() {
        let mut pairs = SecantPairs::<f64>::new(2, 3, isa());
        // Of A = diag(1, 2, 5), once more than there is room for, and one that adds nothing to the one before.
        let steps = [[0.3, 0.1, -1.0], [1.0, 0.5, 0.0], [0.0, 1.0, 1.0]];
        let of = |s: [f64; 3]| [s[0], 2.0 * s[1], 5.0 * s[2]];
        for s in steps {
            assert!(pairs.push_conjugate(&s, &of(s)));
        }
        assert_eq!(pairs.len(), 2);
        let check = |pairs: &mut SecantPairs<f64>, s: [f64; 3]| {
            let mut v = of(s);
            pairs.apply_inverse(&mut v);
            assert!(v.iter().zip(s).all(|(a, b)| (a - b).abs() < 1e-14), "{v:?} and {s:?}");
        };
        // The oldest is gone, and with it what the others had of its direction; what is held is exact.
        check(&mut pairs, steps[2]);
        // Twice the only one held: nothing is left of it.
        let mut pairs = SecantPairs::<f64>::new(2, 3, isa());
        let twice = steps[2].map(|x| 2.0 * x);
        assert!(pairs.push_conjugate(&steps[2], &of(steps[2])) && !pairs.push_conjugate(&twice, &of(twice)));
        assert_eq!(pairs.len(), 1);
        check(&mut pairs, steps[2]);
        // Where all room is taken, such a pair costs the oldest all the same.
        let mut pairs = SecantPairs::<f64>::new(2, 3, isa());
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
        axes.iter().for_each(|&s| assert!(pairs.push_conjugate(&s, &of(s))));
        assert!(!pairs.push_conjugate(&[0.0, 2.0, 0.0], &of([0.0, 2.0, 0.0])));
        assert_eq!(pairs.len(), 1);
        check(&mut pairs, axes[1]);
        let mut all = SecantPairs::<f64>::new(3, 3, isa());
        steps.iter().for_each(|&s| assert!(all.push_conjugate(&s, &of(s))));
        steps.iter().for_each(|&s| check(&mut all, s));
        // Three pairs in three dimensions: B = A.
        check(&mut all, [1.0, 1.0, 1.0]);
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
