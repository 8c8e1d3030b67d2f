//! The little problem, twice: as the engine sees it, and by hand.
//!
//! ```text
//! support loss      L(φ) = ½ (φ − a)ᵀ H (φ − a) + ¼ w (φ₁ − a₁)⁴       a bowl; with w > 0 it may have two valleys
//! query loss        f(φ) = ½ ‖φ − c‖²
//! inner objective   G(φ, θ) = L(φ) + ½ λ ‖φ − θ‖²
//! ```

use autodiff::{Arg, Real, Var};
use meta::inner::Hyper;
use meta::problem::{At, DataSpec, Problem};

/// φ or θ: two parameters.
pub type Point = [f64; 2];

/// One task, where its training starts, and with which λ and step size.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// ∇²L at a, row-major: all of H where w = 0.
    pub h: [f64; 4],
    /// Where the support loss is stationary; its minimum where w = 0.
    pub a: Point,
    /// The weight of the quartic.
    pub w: [f64; 1],
    /// What the query set wants.
    pub c: Point,
    /// θ
    pub theta: Point,
    /// λ, and the step size α.
    pub hyper: Hyper,
}

/// The problem, recorded. No derivative is written here; the engine takes them.
pub struct Little;

impl Problem for Little {
    fn dim(&self) -> usize {
        2
    }

    fn data(&self) -> Vec<DataSpec> {
        vec![
            DataSpec { name: "h", shape: [2, 2].into(), bound: None },
            DataSpec { name: "a", shape: [2].into(), bound: None },
            DataSpec { name: "w", shape: [1].into(), bound: None },
            DataSpec { name: "c", shape: [2].into(), bound: None },
        ]
    }

    fn inner<'t>(&self, at: &At<'t>) -> Var<'t> {
        let [h, a, w] = [0, 1, 2].map(|i| at.data[i].values());
        let from_a = at.phi - a;
        let column = from_a.reshape([2, 1]);
        let support = 0.5 * column.dot(h.matmul(column)) + 0.25 * w.dot(from_a.slice(&[0], &[1]).powi(4));
        let from_theta = at.phi - at.theta;
        support + 0.5 * at.lambda * from_theta.dot(from_theta)
    }

    fn outer<'t>(&self, at: &At<'t>) -> Var<'t> {
        let from_c = at.phi - at.data[3].values();
        0.5 * from_c.dot(from_c)
    }
}

/// φ*, v and g of a task, by hand.
#[derive(Clone, Copy, Debug)]
pub struct Exact {
    /// φ*(θ) = argmin_φ G(φ, θ)
    pub phi: Point,
    /// v = ∇f(φ*)
    pub v: Point,
    /// g = dF/dθ
    pub g: Point,
}

impl Task {
    /// The inputs that [`Little::data`] declares.
    pub fn data(&self) -> [Arg<'_, f64>; 4] {
        [&self.h[..], &self.a, &self.w, &self.c].map(Arg::from)
    }

    /// G(φ, θ)
    pub fn inner(&self, phi: Point) -> f64 {
        let d = minus(phi, self.a);
        let support = 0.5 * dot(d, times(self.h, d)) + 0.25 * self.w[0] * d[0].powi(4);
        let away = minus(phi, self.theta);
        support + 0.5 * self.hyper.lambda * dot(away, away)
    }

    /// ∇_φG(φ, θ) = H (φ − a) + w (φ₁ − a₁)³ e₁ + λ (φ − θ)
    pub fn inner_gradient(&self, phi: Point) -> Point {
        let d = minus(phi, self.a);
        let support = times(self.h, d);
        let pull = minus(phi, self.theta).map(|p| self.hyper.lambda * p);
        [support[0] + self.w[0] * d[0].powi(3) + pull[0], support[1] + pull[1]]
    }

    /// ∇²_φφG(φ) = ∇²L(φ) + λI
    pub fn inner_hessian(&self, phi: Point) -> [f64; 4] {
        let [h11, h12, h21, h22] = self.h;
        let bend = 3.0 * self.w[0] * (phi[0] - self.a[0]).powi(2);
        [h11 + bend + self.hyper.lambda, h12, h21, h22 + self.hyper.lambda]
    }

    /// φ*(θ) by Newton's method, φ ← φ − (∇²G)⁻¹ ∇G. For a quadratic its first step is the closed form
    /// φ* = (H + λI)⁻¹ (Ha + λθ), from wherever it starts; with two valleys it finds the minimum of the one it is in.
    pub fn solution(&self, near: Point) -> Point {
        // Newton squares the error: from within a valley this is far more than it needs.
        (0..20).fold(near, |phi, _| minus(phi, solve(self.inner_hessian(phi), self.inner_gradient(phi))))
    }

    /// dF/dθ = (dφ*/dθ)ᵀ v = λ (H + λI)⁻¹ v,   v = φ* − c,   at the solution in the valley of `near`.
    pub fn exact(&self, near: Point) -> Exact {
        let phi = self.solution(near);
        let v = minus(phi, self.c);
        let g = solve(self.inner_hessian(phi), v).map(|x| self.hyper.lambda * x);
        Exact { phi, v, g }
    }

    /// F(θ) = f(φ*(θ)) of a task with one valley.
    pub fn outer(&self, theta: Point) -> f64 {
        let v = Task { theta, ..*self }.exact(theta).v;
        0.5 * dot(v, v)
    }

    /// The same task with another λ.
    pub fn with_lambda(self, lambda: f64) -> Task {
        Task { hyper: Hyper { lambda, ..self.hyper }, ..self }
    }
}

/// x − y
pub fn minus(x: Point, y: Point) -> Point {
    [x[0] - y[0], x[1] - y[1]]
}

/// xᵀy
pub fn dot(x: Point, y: Point) -> f64 {
    x[0] * y[0] + x[1] * y[1]
}

/// ‖x‖
pub fn norm(x: Point) -> f64 {
    dot(x, x).sqrt()
}

/// M x
pub fn times(m: [f64; 4], x: Point) -> Point {
    [m[0] * x[0] + m[1] * x[1], m[2] * x[0] + m[3] * x[1]]
}

/// M⁻¹ b, by Cramer's rule.
pub fn solve(m: [f64; 4], b: Point) -> Point {
    let determinant = m[0] * m[3] - m[1] * m[2];
    [(m[3] * b[0] - m[1] * b[1]) / determinant, (m[0] * b[1] - m[2] * b[0]) / determinant]
}

/// The larger and the smaller eigenvalue of a symmetric M.
pub fn eigenvalues(m: [f64; 4]) -> Point {
    let (mean, half) = (0.5 * (m[0] + m[3]), 0.5 * (m[0] - m[3]));
    let radius = (half * half + m[1] * m[2]).sqrt();
    [mean + radius, mean - radius]
}
