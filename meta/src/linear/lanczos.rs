//! A symmetric operator on a small Krylov space (Lanczos 1950), and the ends of its spectrum there.
//!
//! ```text
//! γ_{j+1} v_{j+1} = A v_j − δ_j v_j − γ_j v_{j−1}        T = tridiag(γ, δ, γ): its eigenvalues are the Ritz values
//! ```
//!
//! A Ritz value is a quotient vᵀAv/vᵀv: none lies outside the spectrum of A, and after a few steps the outer ones are
//! near its ends. No vector is orthogonalised again: that gives copies of Ritz values, not wrong ones.

use autodiff::{Element, Isa};

use super::{LinearOperator, Room, Stats};

/// Steps that are enough to know the order of magnitude of the ends.
pub(super) const STEPS: usize = 8;

/// What [`Ritz::new`] works in.
pub(super) const ROOM: Room = Room { vectors: 3, scalars: 2 * STEPS };

/// T, of at most [`STEPS`] steps.
pub(super) struct Ritz<'s> {
    diagonal: &'s [f64],
    below: &'s [f64],
    /// A bound on ‖T‖: Gershgorin's circles.
    norm: f64,
}

impl<'s> Ritz<'s> {
    /// From the direction of `vectors[1]`, which is not 0. `None` where a product is not finite.
    pub fn new<T: Element>(
        a: &mut dyn LinearOperator<T>,
        isa: Isa,
        vectors: &mut [Vec<T>],
        scalars: &'s mut [f64],
        stats: &mut Stats,
    ) -> Option<Self> {
        let [next, v, before] = &mut vectors[..3] else { unreachable!("the room asked for") };
        let (diagonal, below) = scalars[..2 * STEPS].split_at_mut(STEPS);
        isa.scale(T::from_f64(1.0 / isa.dot(v, v).sqrt()), v);
        before.fill(T::zero());
        let (mut n, mut gamma, mut norm) = (0, 0.0, 0.0_f64);
        while n < STEPS {
            a.apply(v, next);
            stats.products += 1;
            let delta = isa.dot(v, next);
            isa.add_scaled(T::from_f64(-delta), v, next);
            isa.add_scaled(T::from_f64(-gamma), before, next);
            gamma = isa.dot(next, next).sqrt();
            if !(delta.is_finite() && gamma.is_finite()) {
                return None;
            }
            (diagonal[n], below[n]) = (delta, gamma);
            n += 1;
            norm = norm.max(delta.abs() + gamma);
            if gamma <= T::EPSILON * norm {
                break;
            }
            isa.scale(T::from_f64(1.0 / gamma), next);
            std::mem::swap(before, v);
            std::mem::swap(v, next);
        }
        Some(Ritz { diagonal: &diagonal[..n], below: &below[..n - 1], norm })
    }

    /// At least ‖T‖ and, in rounding, at most twice it.
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

    /// The least, to 1e-3 of the largest size and from below.
    pub fn least(&self) -> f64 {
        let (mut low, mut high) = (-2.0 * self.norm, 2.0 * self.norm);
        while high - low > 1e-3 * self.norm {
            let middle = 0.5 * (low + high);
            if self.below(middle) == 0 { low = middle } else { high = middle }
        }
        low
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
        let (mut vectors, mut scalars, mut stats) = (vec![vec![1.0; 5]; 3], [0.0; 2 * STEPS], Stats::default());
        let mut a = Diagonal([-3.0, 0.5, 1.0, 4.0, 7.0]);
        let ritz = Ritz::new(&mut a, isa, &mut vectors, &mut scalars, &mut stats).expect("it is finite");
        // Five eigenvalues, all in the start: the space is exhausted after five steps, and rounding may go on from there.
        assert!((5..=STEPS).contains(&stats.products), "{stats:?}");
        assert!(ritz.below(-3.01) == 0 && ritz.below(0.0) >= 1 && ritz.below(7.01) == stats.products);
        // To the bisection's thousandth.
        assert!((7.0..7.0 * 1.002).contains(&ritz.largest()), "{}", ritz.largest());
        assert!((-3.0 - 0.001 * ritz.norm()..=-3.0).contains(&ritz.least()), "{}", ritz.least());
    }
}
