//! A symmetric operator on a small Krylov space (Lanczos 1950), and the ends of its spectrum there.
//!
//! ```text
//! γ_{j+1} v_{j+1} = A v_j − δ_j v_j − γ_j v_{j−1}        T = tridiag(γ, δ, γ): its eigenvalues are the Ritz values
//! ```
//!
//! A Ritz value is a quotient vᵀAv/vᵀv: none lies outside the spectrum of A, and after a few steps the outer ones are
//! near its ends. Some eigenvalue is within γ_{m+1}|s_m| of a Ritz value with the eigenvector s of T (Parlett 1980, section
//! 13.2). No vector is orthogonalised again: that gives copies of Ritz values, not wrong ones.

use autodiff::{Aligned, Element, Isa};

use super::{LinearOperator, Room, Stats};

/// Steps that are enough to know the order of magnitude of the ends.
const STEPS: usize = 8;

/// What [`Ritz::new`] works in.
pub(super) const ROOM: Room = Room { vectors: 3, scalars: 2 * STEPS };

/// T, of a few steps.
pub(crate) struct Ritz<'s> {
    /// δ
    diagonal: &'s [f64],
    /// γ below each δ; the last is that of the vector that would follow.
    below: &'s [f64],
    /// ‖T‖ to a factor of 2: the largest |δ| + γ.
    norm: f64,
}

impl<'s> Ritz<'s> {
    /// Of `a`, from the direction of `vectors[1]`, which is not 0. `None` where a product is not finite.
    pub(super) fn new<T: Element>(
        a: &mut dyn LinearOperator<T>,
        isa: Isa,
        vectors: &mut [Aligned<T>],
        scalars: &'s mut [f64],
        stats: &mut Stats,
    ) -> Option<Self> {
        let [next, v, before] = &mut vectors[..3] else { unreachable!("the room asked for") };
        let scalars = scalars[..2 * STEPS].split_at_mut(STEPS);
        Self::of(isa, [before, v, next], scalars, |x, y| {
            a.apply(x, y);
            stats.products += 1;
        })
    }

    /// Of the operator that `apply` multiplies by, in as many steps as there is room for in (δ, γ), from the direction of
    /// the second vector, which is not 0; the others are work. `None` where a product is not finite.
    pub fn of<T: Element>(
        isa: Isa,
        [mut before, mut v, mut next]: [&mut [T]; 3],
        (diagonal, below): (&'s mut [f64], &'s mut [f64]),
        mut apply: impl FnMut(&[T], &mut [T]),
    ) -> Option<Self> {
        isa.scale(T::from_f64(1.0 / isa.dot(v, v).sqrt()), v);
        before.fill(T::zero());
        let (mut n, mut gamma, mut norm) = (0, 0.0, 0.0_f64);
        while n < diagonal.len().min(v.len()) {
            apply(v, next);
            let delta = isa.dot(v, next);
            isa.add_scaled(T::from_f64(-delta), v, next);
            isa.add_scaled(T::from_f64(-gamma), before, next);
            norm = norm.max(gamma + delta.abs());
            gamma = isa.dot(next, next).sqrt();
            if !(delta.is_finite() && gamma.is_finite()) {
                return None;
            }
            (diagonal[n], below[n]) = (delta, gamma);
            n += 1;
            norm = norm.max(gamma + delta.abs());
            // What is left is rounding: the space is all that this direction reaches.
            if gamma <= 10.0 * T::EPSILON * norm {
                break;
            }
            isa.scale(T::from_f64(1.0 / gamma), next);
            std::mem::swap(&mut before, &mut v);
            std::mem::swap(&mut v, &mut next);
        }
        Some(Ritz { diagonal: &diagonal[..n], below: &below[..n], norm })
    }

    /// The largest Ritz value and its error bound: an eigenvalue is no higher than that, unless the start missed it.
    pub fn upper(&self) -> f64 {
        self.end(1.0)
    }

    /// The least Ritz value less its error bound.
    pub fn lower(&self) -> f64 {
        -self.end(-1.0)
    }

    /// The largest eigenvalue of ±T, by bisection to the last digit, and its error bound.
    fn end(&self, sign: f64) -> f64 {
        let n = self.diagonal.len();
        let is_above = |x: f64| self.below(sign * x) == if sign > 0.0 { n } else { 0 };
        let (mut low, mut high) = (-2.0 * self.norm, 2.0 * self.norm);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if is_above(middle) { high = middle } else { low = middle }
        }
        // The last component of the eigenvector, from the last up: at the end of a spectrum it is the small one, and
        // a recurrence that grows is stable.
        let (mut after, mut s, mut square) = (0.0, 1.0, 1.0);
        for i in (1..n).rev() {
            let before = ((sign * high - self.diagonal[i]) * s - after) / self.below[i - 1];
            after = self.below[i - 1] * s;
            s = before;
            square += s * s;
        }
        self.below.last().map_or(0.0, |gamma| high + gamma / square.sqrt())
    }

    /// ‖T‖ to a factor of 2.
    pub fn norm(&self) -> f64 {
        self.norm
    }

    /// How many Ritz values lie below `x`: the negative pivots of T − x (Sylvester).
    pub fn below(&self, x: f64) -> usize {
        let mut pivot = 1.0_f64;
        let mut count = 0;
        for (i, d) in self.diagonal.iter().enumerate() {
            let coupled = if i == 0 { 0.0 } else { self.below[i - 1] * self.below[i - 1] / pivot };
            pivot = d - x - coupled;
            if pivot == 0.0 {
                pivot = -f64::MIN_POSITIVE;
            }
            count += usize::from(pivot < 0.0);
        }
        count
    }

    /// The largest, to 1e-3 of it and from above, where it is positive.
    pub fn largest(&self) -> f64 {
        let n = self.diagonal.len();
        let (mut low, mut high) = (0.0, 2.0 * self.norm);
        while high - low > 1e-3 * high {
            let middle = 0.5 * (low + high);
            if self.below(middle) == n { high = middle } else { low = middle }
        }
        high
    }

    /// The least, to the last digit of the largest size and from above: no eigenvalue is claimed to be lower than one is.
    pub fn least(&self) -> f64 {
        let (mut low, mut high) = (-2.0 * self.norm, 2.0 * self.norm);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if self.below(middle) == 0 { low = middle } else { high = middle }
        }
        high
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Diagonal([f64; 5]);
    impl LinearOperator<f64> for Diagonal {
        fn dim(&self) -> usize {
            5
        }
        fn apply(&mut self, x: &[f64], y: &mut [f64]) {
            (0..5).for_each(|i| y[i] = self.0[i] * x[i]);
        }
    }

    #[test]
    fn the_ends_of_a_spectrum_that_the_space_holds() {
        let isa = Isa::detect().expect("the instruction set asked for exists");
        let (mut vectors, mut scalars, mut stats) = (vec![Aligned::zeroed(5); 3], [0.0; 2 * STEPS], Stats::default());
        vectors.iter_mut().for_each(|v| v.fill(1.0));
        let mut a = Diagonal([-3.0, 0.5, 1.0, 4.0, 7.0]);
        let ritz = Ritz::new(&mut a, isa, &mut vectors, &mut scalars, &mut stats).expect("it is finite");
        // Five eigenvalues, all in the start: the space is exhausted after five steps, and rounding may go on from there.
        assert!((5..=STEPS).contains(&stats.products), "{stats:?}");
        assert!(ritz.below(-3.01) == 0 && ritz.below(0.0) >= 1 && ritz.below(7.01) == stats.products);
        // To the bisection's thousandth, and to rounding of products and pivots.
        assert!((7.0..7.0 * 1.002).contains(&ritz.largest()), "{}", ritz.largest());
        assert!((ritz.least() + 3.0).abs() < 1e-13 * ritz.norm(), "{}", ritz.least());
    }

    #[test]
    fn the_ends_are_claimed_with_their_error() {
        fn ends(steps: usize, mut start: Vec<f64>, apply: impl FnMut(&[f64], &mut [f64])) -> Option<[f64; 2]> {
            let (mut before, mut next) = (start.clone(), start.clone());
            let (mut diagonal, mut below) = (vec![0.0; steps], vec![0.0; steps]);
            let vectors = [&mut before[..], &mut start, &mut next];
            let ritz = Ritz::of(Isa::PORTABLE, vectors, (&mut diagonal, &mut below), apply)?;
            Some([ritz.lower(), ritz.upper()])
        }
        let values: Vec<f64> = (0..40).map(|i| f64::from(i) / 10.0 - 0.3).collect();
        let apply = |x: &[f64], y: &mut [f64]| y.iter_mut().zip(x).zip(&values).for_each(|((y, x), d)| *y = d * x);
        let [lower, upper] = ends(12, vec![1.0; 40], apply).unwrap();
        // Whatever the steps, the spectrum is not claimed to be narrower than it is seen to be.
        assert!(lower < -0.28 && lower > -0.6 && upper > 3.58 && upper < 3.9, "{lower} {upper}");
        // With as many eigenvalues as steps the space is exhausted.
        let apply = |x: &[f64], y: &mut [f64]| {
            y.iter_mut().zip(x).enumerate().for_each(|(i, (y, x))| *y = [0.5, 2.0, 8.0][i % 3] * x);
        };
        let [lower, upper] = ends(12, vec![1.0; 40], apply).unwrap();
        assert!((lower - 0.5).abs() < 1e-12 && (upper - 8.0).abs() < 1e-12, "{lower} {upper}");
        assert_eq!(ends(2, vec![1.0; 3], |_: &[f64], y: &mut [f64]| y.fill(f64::NAN)), None);
    }
}
