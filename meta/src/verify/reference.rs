//! What meta-gradients are checked against: L and f, and their derivatives by reverse mode alone; all else is plain
//! arithmetic on vectors.
//!
//! ```text
//! G(φ, θ) = L(φ) + ½λ‖φ − θ‖²     P: the coordinates that adapt     H = ∇²L,  v = ∇f
//!
//! implicit   (PHP + λ) x = P v        g = λ x where φ adapts,  v − H x where it is frozen
//! ```
//!
//! Steps and their derivatives are in `steps.rs`.

use autodiff::{Arg, Options, Plan, Stage, Tape, Workspace, grad};

use super::vector::{add, minus, norm, scaled};
use crate::problem::{At, FewShot, Problem};

/// The loss and what is then measured, without prox term and freezing, compiled.
pub struct Reference {
    support: Plan<f64>,
    query: Plan<f64>,
    adapts: Vec<bool>,
    smooth: bool,
}

impl Reference {
    /// Of a problem: its network, rows and frozen parameters. Whether it has a prox term does not matter.
    ///
    /// # Panics
    /// Where more than an initialisation is learned, or steps see minibatches: the formulas above are for one λ, one α and
    /// one L.
    #[track_caller]
    pub fn new(problem: &FewShot) -> Self {
        assert!(problem.behind().is_empty(), "a Reference is of a problem that learns nothing but an initialisation");
        assert!(problem.minibatch().is_none(), "a Reference is of a problem whose steps all see the same rows");
        let adapts = problem.adapts();
        let plain = problem.clone().freezing(|_| false);
        let compile = |query: bool| {
            let tape = Tape::new();
            let phi = tape.input("phi", plain.dim(), Stage::POINT);
            let direction = tape.input("direction", plain.dim(), Stage::DIRECTION);
            let at = At::new(phi, phi, autodiff::Real::zero(), plain.declare(&tape));
            let value = if query { plain.outer(&at) } else { plain.support_loss(&at) };
            let gradient = grad(value, &[phi])[0];
            let mut outputs = vec![(Stage::POINT, value), (Stage::POINT, gradient)];
            if !query {
                // Reverse over reverse: the engine's own products are forward over reverse.
                outputs.push((Stage::DIRECTION, grad(gradient.dot(direction), &[phi])[0]));
            }
            Plan::staged(&tape, &outputs, Options::default())
        };
        Reference { support: compile(false), query: compile(true), adapts, smooth: problem.model().is_smooth() }
    }

    /// Multiply-adds × 2 of one gradient of L, elementwise work estimated as one operation a parameter.
    pub(super) fn work(&self) -> u64 {
        self.support.flops(Stage::POINT) + self.adapts.len() as u64
    }

    /// A task at θ.
    pub(super) fn at<'r>(&'r self, theta: &'r [f64], data: &'r [Arg<'r, f64>], lambda: f64, rate: f64) -> Task<'r> {
        let workspaces = [self.support.workspace(), self.query.workspace()];
        let mut task = Task { reference: self, theta, data, lambda, rate, workspaces, point: None };
        task.start();
        task
    }
}

/// A task, at θ, with λ and α.
pub(super) struct Task<'r> {
    reference: &'r Reference,
    pub theta: &'r [f64],
    data: &'r [Arg<'r, f64>],
    pub lambda: f64,
    pub rate: f64,
    workspaces: [Workspace<f64>; 2],
    /// Where the support plan's point stage last ran.
    point: Option<Vec<f64>>,
}

impl<'r> Task<'r> {
    fn start(&mut self) {
        let args = self.args(&[], &[]);
        self.reference.support.run(Stage::DATA, &mut self.workspaces[0], &args, &mut []);
        self.reference.query.run(Stage::DATA, &mut self.workspaces[1], &args, &mut []);
    }

    /// The same task from another θ.
    pub fn from<'s>(&self, theta: &'s [f64]) -> Task<'s>
    where
        'r: 's,
    {
        self.reference.at(theta, self.data, self.lambda, self.rate)
    }

    fn args<'a>(&self, phi: &'a [f64], direction: &'a [f64]) -> Vec<Arg<'a, f64>>
    where
        'r: 'a,
    {
        let mut args = vec![Arg::Floats(phi), Arg::Floats(direction)];
        args.extend_from_slice(self.data);
        args
    }

    /// Whether L and f have every derivative everywhere.
    pub fn is_smooth(&self) -> bool {
        self.reference.smooth
    }

    pub fn adapts(&self) -> &'r [bool] {
        &self.reference.adapts
    }

    /// P x
    pub fn project(&self, x: &[f64]) -> Vec<f64> {
        x.iter().zip(self.adapts()).map(|(x, adapts)| if *adapts { *x } else { 0.0 }).collect()
    }

    /// (L, ∇L)
    pub fn support(&mut self, phi: &[f64]) -> (f64, Vec<f64>) {
        let (mut value, mut gradient) = ([0.0], vec![0.0; phi.len()]);
        let args = self.args(phi, &[]);
        let outputs = &mut [&mut value[..], &mut gradient];
        self.reference.support.run(Stage::POINT, &mut self.workspaces[0], &args, outputs);
        self.point = Some(phi.to_vec());
        (value[0], gradient)
    }

    /// (f, ∇f)
    pub fn query(&mut self, phi: &[f64]) -> (f64, Vec<f64>) {
        let (mut value, mut gradient) = ([0.0], vec![0.0; phi.len()]);
        let args = self.args(phi, &[]);
        let outputs = &mut [&mut value[..], &mut gradient];
        self.reference.query.run(Stage::POINT, &mut self.workspaces[1], &args, outputs);
        (value[0], gradient)
    }

    /// H c
    pub fn hessian(&mut self, phi: &[f64], c: &[f64]) -> Vec<f64> {
        if self.point.as_deref() != Some(phi) {
            self.support(phi);
        }
        let mut product = vec![0.0; phi.len()];
        let args = self.args(phi, c);
        self.reference.support.run(Stage::DIRECTION, &mut self.workspaces[0], &args, &mut [&mut product]);
        product
    }

    /// (PHP + λ) c
    pub fn operator(&mut self, phi: &[f64], c: &[f64]) -> Vec<f64> {
        let hc = self.hessian(phi, &self.project(c));
        let mut product = self.project(&hc);
        add(self.lambda, c, &mut product);
        product
    }

    /// P ∇_φG
    pub fn inner_gradient(&mut self, phi: &[f64]) -> Vec<f64> {
        let mut gradient = self.support(phi).1;
        add(self.lambda, &minus(phi, self.theta), &mut gradient);
        self.project(&gradient)
    }

    /// The larger |G| of θ and φ.
    pub fn inner_size(&mut self, phi: &[f64]) -> f64 {
        let away = norm(&minus(phi, self.theta));
        let there = self.support(phi).0 + 0.5 * self.lambda * away * away;
        there.abs().max(self.support(self.theta).0.abs())
    }

    /// Descends until ‖∇G‖ ≤ `tolerance` or for `cap` steps: (φ, ‖∇G‖, steps).
    pub fn descend(&mut self, tolerance: f64, cap: usize) -> (Vec<f64>, f64, usize) {
        let mut phi = self.theta.to_vec();
        for k in 0.. {
            let gradient = self.inner_gradient(&phi);
            let size = norm(&gradient);
            if size <= tolerance || k == cap || !size.is_finite() {
                return (phi, size, k);
            }
            add(-self.rate, &gradient, &mut phi);
        }
        unreachable!("the cap comes first")
    }

    /// dF/dθ from the solution x of (PHP + λ) x = P v at φ.
    pub fn implicit(&mut self, phi: &[f64], v: &[f64], x: &[f64]) -> Vec<f64> {
        let hx = self.hessian(phi, &self.project(x));
        let part = |i: usize| if self.adapts()[i] { self.lambda * x[i] } else { v[i] - hx[i] };
        (0..x.len()).map(part).collect()
    }

    /// H c by a central difference of ∇L over `radius` times the larger of 1 and φ's root mean square on both sides.
    pub fn differenced(&mut self, phi: &[f64], c: &[f64], radius: f64) -> Vec<f64> {
        let size = norm(c);
        if size == 0.0 {
            return vec![0.0; c.len()];
        }
        let h = radius * (norm(phi) / (phi.len() as f64).sqrt()).max(1.0);
        let [above, below] = [h, -h].map(|h| {
            let mut moved = phi.to_vec();
            add(h / size, c, &mut moved);
            self.support(&moved).1
        });
        scaled(size / (2.0 * h), &minus(&above, &below))
    }
}
