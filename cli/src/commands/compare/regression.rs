//! Few-shot linear regression: a bi-level problem whose meta-gradient is known in closed form.

use autodiff::{Arg, Var};
use meta::inner::Hyper;
use meta::problem::{At, DataSpec, Problem};
use nalgebra::{DMatrix, DVector};

use crate::initial::uniform;

/// |φ|
const DIM: usize = 20;
/// Rows of the support set, and of the query set.
const ROWS: usize = 30;

/// G = ½‖Xφ − y‖²/n + ½λ‖φ − θ‖², f = ½‖X′φ − y′‖²/n with the query set X′, y′.
#[derive(Clone, Copy, Debug)]
pub struct Regression;

impl Problem for Regression {
    fn dim(&self) -> usize {
        DIM
    }

    fn data(&self) -> Vec<DataSpec> {
        let x = |name| DataSpec { name, shape: [ROWS, DIM].into(), bound: None };
        let y = |name| DataSpec { name, shape: [ROWS, 1].into(), bound: None };
        vec![x("support.x"), y("support.y"), x("query.x"), y("query.y")]
    }

    fn inner<'t>(&self, at: &At<'t>) -> Var<'t> {
        let away = at.phi - at.theta;
        loss(at, 0) + 0.5 * at.lambda * away.dot(away)
    }

    fn outer<'t>(&self, at: &At<'t>) -> Var<'t> {
        loss(at, 2)
    }
}

/// ½‖Xφ − y‖²/n of the set that starts at this input.
fn loss<'t>(at: &At<'t>, set: usize) -> Var<'t> {
    let (x, y) = (at.data[set].values(), at.data[set + 1].values());
    let residual = x.matmul(at.phi.reshape([DIM, 1])) - y;
    0.5 / ROWS as f64 * residual.dot(residual)
}

/// A task in which ∇²G has a given condition number.
#[derive(Clone, Debug)]
pub struct RegressionTask {
    /// Meta-parameters.
    pub theta: Vec<f64>,
    /// λ, and the step size 1/‖∇²G‖.
    pub hyper: Hyper,
    support: Set,
    query: Set,
}

/// Rows of X, and y.
#[derive(Clone, Debug)]
struct Set {
    x: DMatrix<f64>,
    /// X row by row, as the engine has it.
    rows: Vec<f64>,
    y: DVector<f64>,
}

impl Set {
    fn new(x: DMatrix<f64>, y: DVector<f64>) -> Self {
        let rows = x.transpose().as_slice().to_vec();
        Set { x, rows, y }
    }

    /// ∇ of ½‖Xφ − y‖²/n
    fn gradient(&self, phi: &DVector<f64>) -> DVector<f64> {
        self.x.tr_mul(&(&self.x * phi - &self.y)) / ROWS as f64
    }
}

impl RegressionTask {
    /// Task `seed` with a condition number above 1: the eigenvalues of ∇²G = XᵀX/n + λI lie from 1/κ to 1, at equal
    /// ratios, λ is half the smallest, and 1 is the step size.
    pub fn new(seed: u64, condition: f64) -> Self {
        let mut unit = uniform("compare", seed);
        // Box and Muller; 1 − u is above 0.
        let mut normal = || (-2.0 * (1.0 - unit()).ln()).sqrt() * (std::f64::consts::TAU * unit()).cos();
        let mut matrix = |rows, columns| DMatrix::from_fn(rows, columns, |_, _| normal());
        let lambda = 0.5 / condition;
        let scale = DVector::from_fn(DIM, |i, _| {
            let eigenvalue = condition.powf(-(i as f64) / (DIM - 1) as f64);
            (eigenvalue - lambda).sqrt()
        });
        let axes = matrix(DIM, DIM).qr().q();
        let spread = DMatrix::from_diagonal(&scale) * axes.transpose();
        let support_x = matrix(ROWS, DIM).qr().q() * (ROWS as f64).sqrt() * &spread;
        // Query rows are drawn from the distribution that has the support set's moments.
        let query_x = matrix(ROWS, DIM) * &spread;
        let theta = matrix(DIM, 1);
        let truth = &theta + matrix(DIM, 1);
        let mut targets = |x: &DMatrix<f64>| (x * &truth + 0.1 * matrix(ROWS, 1)).column(0).into_owned();
        let (support_y, query_y) = (targets(&support_x), targets(&query_x));
        RegressionTask {
            theta: theta.as_slice().to_vec(),
            hyper: Hyper { lambda, rate: 1.0 },
            support: Set::new(support_x, support_y),
            query: Set::new(query_x, query_y),
        }
    }

    /// The inputs that [`Regression`] declares.
    pub fn data(&self) -> [Arg<'_, f64>; 4] {
        [&self.support.rows[..], self.support.y.as_slice(), &self.query.rows, self.query.y.as_slice()].map(Arg::from)
    }

    /// dF/dθ = λ (∇²G)⁻¹ ∇f(φ*),   φ* = (∇²G)⁻¹ (Xᵀy/n + λθ),   by Cholesky's factorisation.
    pub fn exact(&self) -> Vec<f64> {
        let hessian = self.hessian().cholesky().expect("the eigenvalues are positive");
        let gradient = self.query.gradient(&self.solution(&self.theta));
        (self.hyper.lambda * hessian.solve(&gradient)).as_slice().to_vec()
    }

    /// ∇²G = XᵀX/n + λI
    fn hessian(&self) -> DMatrix<f64> {
        self.support.x.tr_mul(&self.support.x) / ROWS as f64 + self.hyper.lambda * DMatrix::identity(DIM, DIM)
    }

    /// φ*(θ)
    fn solution(&self, theta: &[f64]) -> DVector<f64> {
        let pulled = self.support.x.tr_mul(&self.support.y) / ROWS as f64;
        let right = pulled + self.hyper.lambda * DVector::from_column_slice(theta);
        self.hessian().cholesky().expect("the eigenvalues are positive").solve(&right)
    }
}

#[cfg(test)]
mod tests {
    use meta::linear::Cg;
    use meta::method::{Implicit, InnerStop, Method};
    use meta::verify::relative_difference;

    use super::*;

    #[test]
    fn the_condition_number_is_what_was_asked_for() {
        for condition in [10.0, 1e4] {
            let eigenvalues = RegressionTask::new(3, condition).hessian().symmetric_eigenvalues();
            // Rounding of the matrix is relative to its largest eigenvalue.
            assert!((eigenvalues.max() - 1.0).abs() < 1e-13);
            assert!((eigenvalues.min() * condition - 1.0).abs() < 1e-14 * condition);
        }
    }

    #[test]
    fn the_closed_form_is_the_slope_of_f() {
        for (seed, condition) in [(0, 10.0), (1, 1000.0)] {
            let task = RegressionTask::new(seed, condition);
            let measured = |theta: &[f64]| {
                let residual = &task.query.x * task.solution(theta) - &task.query.y;
                0.5 / ROWS as f64 * residual.norm_squared()
            };
            let slope: Vec<f64> = (0..DIM)
                .map(|i| {
                    let at = |h: f64| {
                        let mut theta = task.theta.clone();
                        theta[i] += h;
                        measured(&theta)
                    };
                    0.5 * (at(1.0) - at(-1.0))
                })
                .collect();
            // F is quadratic, so central differences are exact at any distance, but for rounding: that of the solve,
            // relative to F, and |∇F| is some λ below F.
            let error = relative_difference(&slope, &task.exact());
            assert!(error < 1e-14 * condition * condition, "condition {condition}: {error:e}");
        }
    }

    #[test]
    fn the_closed_form_is_the_implicit_gradient_solved_to_the_end() {
        // ‖∇G‖ ≤ 10⁻¹⁴ is ‖φ − φ*‖ ≤ 10⁻¹⁴ κ.
        let stop = InnerStop::Gradient { gradient: 1e-14, cap: 100_000 };
        let method = Implicit::<f64>::new(&Regression, stop, Box::new(Cg::tolerance(1e-13, 200)));
        let mut worker = method.worker();
        for (seed, condition) in [(0, 10.0), (1, 100.0)] {
            let task = RegressionTask::new(seed, condition);
            let mut gradient = vec![0.0; DIM];
            let report = worker.gradient(&task.theta, task.hyper, &task.data(), &mut gradient);
            let error = relative_difference(&gradient, &task.exact());
            assert!(error < 1e-10 && report.steps < 100_000, "condition {condition}: {error:e}");
        }
    }
}
