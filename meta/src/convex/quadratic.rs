//! A quadratic: the bi-level problem with a closed form.

use autodiff::Var;

use super::{Bounds, ConvexTask, UNIT, extreme_eigenvalues, norm};
use crate::problem::{At, DataSpec, Problem};

/// G = ½ φᵀAφ − bᵀφ + ½λ‖φ − θ‖², f = ½ ‖φ − c‖². Data: A \[n, n\] symmetric, b \[n\], c \[n\].
///
/// φ* = (A + λI)⁻¹(b + λθ) and dF/dθ = λ (A + λI)⁻¹(φ* − c).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quadratic {
    /// |φ|
    pub dim: usize,
}

impl Problem for Quadratic {
    fn dim(&self) -> usize {
        self.dim
    }

    fn data(&self) -> Vec<DataSpec> {
        let n = self.dim;
        vec![
            DataSpec { name: "A", shape: [n, n].into(), bound: None },
            DataSpec { name: "b", shape: n.into(), bound: None },
            DataSpec { name: "c", shape: n.into(), bound: None },
        ]
    }

    fn inner<'t>(&self, at: &At<'t>) -> Var<'t> {
        let (a, b) = (at.data[0].values(), at.data[1].values());
        let column = at.phi.reshape([self.dim, 1]);
        let away = at.phi - at.theta;
        0.5 * column.dot(a.matmul(column)) - b.dot(at.phi) + 0.5 * at.lambda * away.dot(away)
    }

    fn outer<'t>(&self, at: &At<'t>) -> Var<'t> {
        let away = at.phi - at.data[2].values();
        0.5 * away.dot(away)
    }
}

/// One task of a [`Quadratic`].
#[derive(Clone, Debug)]
pub struct QuadraticTask<'a> {
    a: &'a [f64],
    b: &'a [f64],
    c: &'a [f64],
    /// ‖A‖ in Frobenius's norm.
    size: f64,
    bounds: Bounds,
}

impl<'a> QuadraticTask<'a> {
    /// A row-major and symmetric, which need not be positive definite. Its eigenvalues are computed: n³ operations.
    ///
    /// # Panics
    /// Where the lengths differ, or A is not symmetric.
    #[track_caller]
    pub fn new(a: &'a [f64], b: &'a [f64], c: &'a [f64]) -> Self {
        let n = b.len();
        assert_eq!((a.len(), c.len()), (n * n, n), "QuadraticTask: A, c for b of length {n}");
        let symmetric = (0..n).all(|i| (0..i).all(|j| a[i * n + j] == a[j * n + i]));
        assert!(symmetric, "QuadraticTask: A is not symmetric");
        let [least, most] = extreme_eigenvalues(a.to_vec(), n, 0.0, 0.0);
        let bounds = Bounds {
            convexity: least,
            curvature: most,
            lipschitz: 0.0,
            spread: 0.0,
            outer_curvature: 1.0,
            outer_lipschitz: 0.0,
        };
        QuadraticTask { a, b, c, size: norm(a), bounds }
    }

    /// Roundings of a product with A, each of ‖A‖‖x‖.
    fn roundings(&self) -> f64 {
        UNIT * (self.b.len() + 4) as f64
    }
}

impl ConvexTask for QuadraticTask<'_> {
    fn dim(&self) -> usize {
        self.b.len()
    }

    fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    fn gradient(&self, phi: &[f64], out: &mut [f64]) -> f64 {
        let rounding = self.hessian(phi, phi, out);
        out.iter_mut().zip(self.b).for_each(|(o, b)| *o -= b);
        rounding + 2.0 * UNIT * (norm(out) + norm(self.b))
    }

    fn hessian(&self, _: &[f64], c: &[f64], out: &mut [f64]) -> f64 {
        for (out, row) in out.iter_mut().zip(self.a.chunks_exact(self.b.len())) {
            *out = super::dot(row, c);
        }
        self.roundings() * self.size * norm(c)
    }

    fn third(&self, _: &[f64], _: &[f64], _: &[f64], out: &mut [f64]) -> f64 {
        out.fill(0.0);
        0.0
    }

    fn outer_gradient(&self, phi: &[f64], out: &mut [f64]) -> f64 {
        out.iter_mut().zip(phi.iter().zip(self.c)).for_each(|(o, (p, c))| *o = p - c);
        2.0 * UNIT * norm(out)
    }

    fn outer_hessian(&self, _: &[f64], c: &[f64], out: &mut [f64]) -> f64 {
        out.copy_from_slice(c);
        0.0
    }

    fn spread(&self, _: &[f64]) -> f64 {
        0.0
    }
}
