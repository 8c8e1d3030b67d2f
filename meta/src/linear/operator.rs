//! Matrices known by their products.

use autodiff::Element;

use super::SecantPairs;

/// A square matrix, known by its products.
pub trait LinearOperator<T> {
    /// Rows and columns.
    fn dim(&self) -> usize;

    /// y ← A x
    fn apply(&mut self, x: &[T], y: &mut [T]);

    /// A μ ≥ 0 for which A − μI is what A is without regularisation, such as λ of a prox term; 0 where none is known. Where λ is
    /// [learned](crate::problem::Learned) an inner task says [`Hyper::lambda`](crate::inner::Hyper::lambda) all the same:
    /// it knows no other number.
    fn shift(&self) -> f64 {
        0.0
    }

    /// Which of the coordinates, as many as [`dim`](LinearOperator::dim), are unknowns. On the others, such as frozen ones and
    /// padding, A is diagonal, and every right-hand side 0. `None` where all may be.
    fn unknowns(&self) -> Option<&[bool]> {
        None
    }

    /// What is known of A from elsewhere: pairs s, y ≈ A s.
    fn secant_pairs(&mut self) -> Option<&mut SecantPairs<T>> {
        None
    }

    /// A positive definite approximation of A, its Gauss-Newton matrix, where there is one.
    fn gauss_newton(&mut self) -> Option<&mut dyn LinearOperator<T>> {
        None
    }
}

/// A + μI
pub struct Shifted<'a, T> {
    a: &'a mut dyn LinearOperator<T>,
    by: f64,
}

impl<'a, T> Shifted<'a, T> {
    /// With this μ.
    pub fn new(a: &'a mut dyn LinearOperator<T>, by: f64) -> Self {
        Shifted { a, by }
    }
}

impl<T: Element> LinearOperator<T> for Shifted<'_, T> {
    fn dim(&self) -> usize {
        self.a.dim()
    }

    fn apply(&mut self, x: &[T], y: &mut [T]) {
        self.a.apply(x, y);
        let by = T::from_f64(self.by);
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = *y + by * x);
    }

    fn shift(&self) -> f64 {
        self.a.shift() + self.by
    }

    fn unknowns(&self) -> Option<&[bool]> {
        self.a.unknowns()
    }

    /// Those of A: near enough for a preconditioner.
    fn secant_pairs(&mut self) -> Option<&mut SecantPairs<T>> {
        self.a.secant_pairs()
    }
}

/// v ← 0 on what is no [unknown](LinearOperator::unknowns).
///
/// # Panics
/// Where there are not as many numbers as coordinates.
#[track_caller]
pub(crate) fn clear_others<T: Element>(unknowns: Option<&[bool]>, v: &mut [T]) {
    let Some(unknowns) = unknowns else { return };
    assert_eq!(v.len(), unknowns.len(), "as many numbers as coordinates");
    v.iter_mut().zip(unknowns).filter(|(_, is_unknown)| !**is_unknown).for_each(|(x, _)| *x = T::zero());
}
