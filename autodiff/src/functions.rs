//! Derivatives of functions of one vector, for when there is no need to see the tape.

use crate::directions::Directions;
use crate::element::Element;
use crate::plan::{Plan, Workspace};
use crate::tape::{Stage, Tape, Var};
use crate::transform;

/// f(x) and ∇f(x) of f: ℝⁿ → ℝ.
///
/// # Panics
/// Where f does not return a single number.
///
/// ```
/// use autodiff::{value_and_grad, Real};
/// let (value, gradient) = value_and_grad(|x| x.powi(2).sum_all(), &[1.0_f64, 2.0]);
/// assert_eq!((value, gradient), (5.0, vec![2.0, 4.0]));
/// ```
#[track_caller]
pub fn value_and_grad<T: Element>(f: impl for<'t> Fn(Var<'t>) -> Var<'t>, x: &[T]) -> (T, Vec<T>) {
    let tape = Tape::new();
    let at = tape.input("x", x.len(), Stage::POINT);
    let y = f(at);
    let gradient = transform::grad(y, &[at])[0];
    let mut values = Plan::compile(&tape, &[y, gradient]).evaluate(&[x]).into_iter();
    let (y, g) = (values.next().expect("two outputs"), values.next().expect("two outputs"));
    (y[0], g)
}

/// f: ℝⁿ → ℝᵐ at a point, and its derivative there as a linear map v ↦ J v: what depends on the point
/// alone is computed once.
pub struct Linearized<T> {
    products: Directions<T>,
    workspace: Workspace<T>,
    x: Vec<T>,
    value: Vec<T>,
}

/// Linearises f at x. Of a gradient, this makes Hessian-vector products.
///
/// ```
/// use autodiff::{grad, linearize, Real};
/// let mut hessian = linearize(|x| grad(x.powi(3).sum_all(), &[x])[0], &[1.0_f64, 2.0]);
/// assert_eq!(hessian.apply(&[1.0, 1.0]), [6.0, 12.0]);
/// assert_eq!(hessian.value(), [3.0, 12.0]);
/// ```
#[track_caller]
pub fn linearize<T: Element>(f: impl for<'t> Fn(Var<'t>) -> Var<'t>, x: &[T]) -> Linearized<T> {
    /// Directions that are taken together where there are several.
    const TOGETHER: usize = 8;
    linearize_for(f, x, TOGETHER)
}

/// The same, for about so many directions at once.
#[track_caller]
fn linearize_for<T: Element>(f: impl for<'t> Fn(Var<'t>) -> Var<'t>, x: &[T], count: usize) -> Linearized<T> {
    let tape = Tape::new();
    let at = tape.input("x", x.len(), Stage::POINT);
    let v = tape.input("v", x.len(), Stage::DIRECTION);
    let y = f(at);
    let dy = transform::jvp(&[y], &[(at, v)])[0];
    let products: Directions<T> = Directions::compile(&tape, &[(Stage::POINT, y)], dy, v, count);
    let mut workspace = products.plan().workspace();
    let mut value = vec![T::zero(); products.plan().output_shape(0).numel()];
    products.run_point(&mut workspace, &[x.into(), [][..].into()], &mut [&mut value]);
    Linearized { products, workspace, x: x.to_vec(), value }
}

impl<T: Element> Linearized<T> {
    /// f(x)
    pub fn value(&self) -> &[T] {
        &self.value
    }

    /// J v, or of several v that lie one behind the other J v of each, likewise.
    ///
    /// # Panics
    /// Where v has not as many coordinates as x, or a multiple of that.
    #[track_caller]
    pub fn apply(&mut self, v: &[T]) -> Vec<T> {
        let mut products = vec![T::zero(); v.len() / self.x.len() * self.value.len()];
        self.products.run(&mut self.workspace, &[(&self.x[..]).into(), [][..].into()], v, &mut products);
        products
    }
}

/// The Jacobian of f: ℝⁿ → ℝᵐ at x, row-major [m, n], one product per column: for small sizes.
///
/// ```
/// let j = autodiff::jacobian(|x| x * x, &[1.0_f64, 2.0]);
/// assert_eq!(j, [2.0, 0.0, 0.0, 4.0]);
/// ```
#[track_caller]
pub fn jacobian<T: Element>(f: impl for<'t> Fn(Var<'t>) -> Var<'t>, x: &[T]) -> Vec<T> {
    let mut linear = linearize_for(f, x, x.len());
    let (m, n) = (linear.value().len(), x.len());
    let mut jacobian = vec![T::zero(); m * n];
    // Columns that are taken together: the memory for them does not grow with their number.
    let together = linear.products.together();
    let mut unit = vec![T::zero(); together * n];
    for first in (0..n).step_by(together) {
        // The last ones are the end of a whole group.
        let first = first.min(n - together);
        (0..together).for_each(|j| unit[j * n + first + j] = T::one());
        let columns = linear.apply(&unit);
        for (j, column) in columns.chunks_exact(m).enumerate() {
            column.iter().enumerate().for_each(|(i, &value)| jacobian[i * n + first + j] = value);
        }
        (0..together).for_each(|j| unit[j * n + first + j] = T::zero());
    }
    jacobian
}

/// The Hessian of f: ℝⁿ → ℝ at x, row-major [n, n]: the Jacobian of the gradient, for small sizes.
///
/// ```
/// let h = autodiff::hessian(|x| x.slice(&[0], &[1]).dot(x.slice(&[1], &[2])), &[3.0_f64, 5.0]);
/// assert_eq!(h, [0.0, 1.0, 1.0, 0.0]);
/// ```
#[track_caller]
pub fn hessian<T: Element>(f: impl for<'t> Fn(Var<'t>) -> Var<'t>, x: &[T]) -> Vec<T> {
    jacobian(|x| transform::grad(f(x), &[x])[0], x)
}
