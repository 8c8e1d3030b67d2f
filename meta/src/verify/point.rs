//! The implicit gradient at a point by two routes that share no solver: a dense factorisation, a Krylov projection.

use nalgebra::{DMatrix, DVector};

use super::krylov::Krylov;
use super::reference::Task;
use super::vector::norm;

/// Relative residual at which a projection counts as solved.
const SOLVED: f64 = 1e-12;

/// The most dimensions of a projection.
const MOST: usize = 300;

/// Eigenvalues of PHP + λ where parameters adapt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spectrum {
    pub smallest: f64,
    pub largest: f64,
    /// The smallest |eigenvalue|.
    pub nearest: f64,
}

impl Spectrum {
    fn of(values: &[f64]) -> Self {
        let magnitude = |v: &&f64| v.abs();
        Spectrum {
            smallest: values.iter().copied().fold(f64::INFINITY, f64::min),
            largest: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            nearest: values.iter().min_by(|a, b| magnitude(a).total_cmp(&magnitude(b))).map_or(0.0, |v| v.abs()),
        }
    }

    pub fn is_definite(&self) -> bool {
        self.smallest > 0.0
    }

    /// max |eigenvalue| / min |eigenvalue|
    pub fn condition(&self) -> f64 {
        self.largest.abs().max(self.smallest.abs()) / self.nearest
    }

    /// How much the slowest mode shrinks in a step of gradient descent: max |1 − α eigenvalue|.
    pub fn contraction(&self, rate: f64) -> f64 {
        (1.0 - rate * self.smallest).abs().max((1.0 - rate * self.largest).abs())
    }
}

/// What the implicit formula gives at φ.
pub(super) struct Point {
    pub phi: Vec<f64>,
    /// ∂f/∂φ
    pub v: Vec<f64>,
    /// ‖P∇G‖
    pub gradient_norm: f64,
    pub spectrum: Spectrum,
    pub krylov: Krylov,
    /// ‖b − A x‖ / ‖b‖ of the projection.
    pub residual: f64,
    /// dF/dθ by factorisation, where the matrix is small enough.
    pub dense: Option<Vec<f64>>,
    /// dF/dθ by projection.
    pub projected: Vec<f64>,
}

impl Point {
    /// `dense`: the most adapted parameters for which the matrix is formed.
    pub fn new(task: &mut Task<'_>, phi: Vec<f64>, dense: usize) -> Self {
        let gradient_norm = norm(&task.inner_gradient(&phi));
        let v = task.query(&phi).1;
        let b = task.project(&v);
        let krylov = Krylov::new(&b, MOST, SOLVED, |x| task.operator(&phi, x));
        let n = krylov.dim();
        let residual = krylov.residual(n).unwrap_or(f64::INFINITY);
        let x = krylov.solution(n).unwrap_or_else(|| vec![0.0; phi.len()]);
        let projected = task.implicit(&phi, &v, &x);
        let unknowns: Vec<usize> = (0..phi.len()).filter(|&i| task.adapts()[i]).collect();
        let mut spectrum = Spectrum::of(&krylov.ritz_values());
        let mut solved = None;
        if unknowns.len() <= dense {
            let a = assemble(task, &phi, &unknowns);
            // Where the steps have left the finite numbers there is nothing to factorise.
            if a.iter().all(|v| v.is_finite()) && !unknowns.is_empty() {
                spectrum = Spectrum::of(a.symmetric_eigenvalues().as_slice());
            }
            solved = solve(a, &unknowns, &b).map(|x| task.implicit(&phi, &v, &x));
        }
        Point { phi, v, gradient_norm, spectrum, krylov, residual, dense: solved, projected }
    }

    /// The best of what there is.
    pub fn gradient(&self) -> &[f64] {
        self.dense.as_deref().unwrap_or(&self.projected)
    }

    /// The gradient of n exact iterations of CG, and the condition of the projected matrix.
    pub fn iterations(&self, task: &mut Task<'_>, n: usize) -> Option<(Vec<f64>, f64)> {
        let x = self.krylov.solution(n)?;
        Some((task.implicit(&self.phi, &self.v, &x), Spectrum::of(&self.krylov.ritz_values_of(n)).condition()))
    }
}

/// PHP + λ on the unknowns, a product a column; its symmetric part.
fn assemble(task: &mut Task<'_>, phi: &[f64], unknowns: &[usize]) -> DMatrix<f64> {
    let n = unknowns.len();
    let mut a = DMatrix::zeros(n, n);
    let mut unit = vec![0.0; phi.len()];
    for (j, &column) in unknowns.iter().enumerate() {
        unit[column] = 1.0;
        let product = task.operator(phi, &unit);
        unit[column] = 0.0;
        unknowns.iter().enumerate().for_each(|(i, &row)| a[(i, j)] = product[row]);
    }
    (&a + a.transpose()) * 0.5
}

/// Cholesky where A is positive definite, LU elsewhere.
fn solve(a: DMatrix<f64>, unknowns: &[usize], b: &[f64]) -> Option<Vec<f64>> {
    if a.iter().any(|v| !v.is_finite()) {
        return None;
    }
    let right = DVector::from_iterator(unknowns.len(), unknowns.iter().map(|&i| b[i]));
    let solution = match a.clone().cholesky() {
        Some(factors) => factors.solve(&right),
        None => a.lu().solve(&right)?,
    };
    let mut x = vec![0.0; b.len()];
    unknowns.iter().zip(solution.iter()).for_each(|(&i, &value)| x[i] = value);
    Some(x)
}
