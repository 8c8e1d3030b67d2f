//! Preconditioners: M ≈ A whose inverse is cheap.

use autodiff::{Aligned, Element, Isa};

use super::{LinearOperator, Needs, Room};

/// Where a preconditioner keeps M: its part of a solver's space.
#[derive(Debug)]
pub struct Held<'s, T> {
    /// For operations on vectors.
    pub isa: Isa,
    /// As many as its [`Room`] said.
    pub vectors: &'s mut [Aligned<T>],
    /// As many as its [`Room`] said.
    pub scalars: &'s mut [f64],
}

/// A symmetric positive definite M ≈ A.
///
/// It holds no numbers itself: those of one operator are in a solver's space, so that one preconditioner serves all
/// threads.
///
/// ```
/// use autodiff::Isa;
/// use meta::linear::{Cg, Held, LinearOperator, LinearSolver, Preconditioner, SolverSpace};
///
/// struct Diagonal([f64; 4]);
/// impl LinearOperator<f64> for Diagonal {
///     fn dim(&self) -> usize { 4 }
///     fn apply(&mut self, x: &[f64], y: &mut [f64]) {
///         (0..4).for_each(|i| y[i] = self.0[i] * x[i]);
///     }
/// }
/// /// M = diag(1, 10, 100, 1000)
/// struct Powers;
/// impl Preconditioner<f64> for Powers {
///     fn apply(&self, _: &mut dyn LinearOperator<f64>, _: &mut Held<'_, f64>, v: &mut [f64]) {
///         v.iter_mut().zip([1.0, 10.0, 100.0, 1000.0]).for_each(|(v, m)| *v /= m);
///     }
/// }
/// let solver = Cg::tolerance(1e-12, 10).preconditioned(Powers);
/// let mut space = SolverSpace::new(LinearSolver::<f64>::room(&solver), 4, Isa::detect()?);
/// let solution = solver.solve(&mut Diagonal([2.0, 20.0, 200.0, 2000.0]), &[1.0; 4], &mut space);
/// assert_eq!(solution.stats.iterations, 1); // M⁻¹A = 2I
/// assert!((solution.value[3] - 0.0005).abs() < 1e-15);
/// # Ok::<(), String>(())
/// ```
pub trait Preconditioner<T>: Send + Sync {
    /// What it has to hold.
    fn room(&self) -> Room {
        Room::default()
    }

    /// What the operator should know beside its products.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Makes M of an operator, once a solve; the products with it that this took.
    fn prepare(&self, _a: &mut dyn LinearOperator<T>, _held: &mut Held<'_, T>) -> usize {
        0
    }

    /// v ← M⁻¹ v
    fn apply(&self, a: &mut dyn LinearOperator<T>, held: &mut Held<'_, T>, v: &mut [T]);
}

/// M = B of the operator's [secant pairs](LinearOperator::secant_pairs): what the inner solver's points have shown of A
/// (Morales & Nocedal 2000, who take the pairs from an earlier system's CG, where they are conjugate).
///
/// It takes no product. M = I where the operator knows no pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secant {
    memory: usize,
}

impl Secant {
    /// Of the last `memory` pairs: two vectors each, which the operator's owner keeps.
    ///
    /// # Panics
    /// Where `memory` is 0.
    pub fn memory(memory: usize) -> Self {
        assert!(memory > 0, "a memory of no pairs");
        Secant { memory }
    }
}

impl<T: Element> Preconditioner<T> for Secant {
    fn needs(&self) -> Needs {
        Needs { secant_pairs: self.memory, ..Needs::default() }
    }

    fn apply(&self, a: &mut dyn LinearOperator<T>, _: &mut Held<'_, T>, v: &mut [T]) {
        if let Some(pairs) = a.secant_pairs() {
            pairs.apply_inverse(v);
        }
    }
}
