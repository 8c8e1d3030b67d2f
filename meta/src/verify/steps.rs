//! Inner steps by hand, and the same pulled back: arithmetic on numbers, for every step here acts on each coordinate alone.
//!
//! ```text
//! g = P ∇_φG(φ, θ)          of a coordinate that adapts, with what the step remembers of it, (a, b), from (0, 0):
//!
//! gradient descent                              φ′ = φ − α g
//! momentum         a′ = μa + g                  φ′ = φ − α a′
//! Nesterov         a′ = μa + g                  φ′ = φ − α (g + μa′)
//! Adam             a′ = β₁a + (1 − β₁)g         φ′ = φ − α c₁a′ (c₂b′ + ε²)^{−½}
//!                  b′ = β₂b + (1 − β₂)g²        c = 1/(1 − βᵏ⁺¹),  k = 0, 1, …
//! ```
//!
//! Going back, w stands for ∂F/∂φ, ḡ for ∂F/∂g; through g with H = ∇²L:
//!
//! ```text
//! w += PHPḡ + λḡ        dF/dθ −= λḡ where φ adapts,  += HPḡ where it is frozen
//! ```

use super::engine::{BETA, EPSILON, MU, StepName};
use super::reference::Task;
use super::vector::{add, minus};

/// What going back through the steps needs of the way there.
pub(super) struct Trajectory {
    step: StepName,
    /// φ_0, …, φ_K
    pub points: Vec<Vec<f64>>,
    /// g before each step.
    gradients: Vec<Vec<f64>>,
    /// (a, b) before each step.
    memories: Vec<Vec<[f64; 2]>>,
}

impl Trajectory {
    /// φ_K
    pub fn last(&self) -> &[f64] {
        self.points.last().expect("φ_0 at least")
    }
}

impl StepName {
    /// Adam's 1/(1 − βᵏ⁺¹).
    fn corrections(k: usize) -> [f64; 2] {
        BETA.map(|beta| 1.0 / (1.0 - beta.powi(k as i32 + 1)))
    }

    /// The most that a step multiplies a small g by.
    pub fn gain(self, rate: f64) -> f64 {
        if self == StepName::Adam { rate / EPSILON } else { rate }
    }

    /// (φ′ − φ, (a′, b′))
    fn ahead(self, k: usize, rate: f64, g: f64, [a, b]: [f64; 2]) -> (f64, [f64; 2]) {
        match self {
            StepName::GradientDescent => (-rate * g, [a, b]),
            StepName::Momentum => {
                let a = MU * a + g;
                (-rate * a, [a, b])
            }
            StepName::Nesterov => {
                let a = MU * a + g;
                (-rate * (g + MU * a), [a, b])
            }
            StepName::Adam => {
                let (a, b) = (BETA[0] * a + (1.0 - BETA[0]) * g, BETA[1] * b + (1.0 - BETA[1]) * g * g);
                let c = Self::corrections(k);
                (-rate * c[0] * a / (c[1] * b + EPSILON * EPSILON).sqrt(), [a, b])
            }
        }
    }

    /// (ḡ, (ā, b̄)) from the cotangents w of φ′ and `after` of (a′, b′).
    fn back(self, k: usize, rate: f64, (g, memory): (f64, [f64; 2]), w: f64, after: [f64; 2]) -> (f64, [f64; 2]) {
        match self {
            StepName::GradientDescent => (-rate * w, after),
            StepName::Momentum => {
                let a = after[0] - rate * w;
                (a, [MU * a, 0.0])
            }
            StepName::Nesterov => {
                let a = after[0] - rate * MU * w;
                (a - rate * w, [MU * a, 0.0])
            }
            StepName::Adam => {
                let c = Self::corrections(k);
                let (_, [a, b]) = self.ahead(k, rate, g, memory);
                let root = (c[1] * b + EPSILON * EPSILON).sqrt();
                let of_a = after[0] - rate * c[0] / root * w;
                let of_b = after[1] + rate * c[0] * a * c[1] / (2.0 * root * root * root) * w;
                let of_g = (1.0 - BETA[0]) * of_a + 2.0 * (1.0 - BETA[1]) * g * of_b;
                (of_g, [BETA[0] * of_a, BETA[1] * of_b])
            }
        }
    }
}

impl Task<'_> {
    /// K steps from θ.
    pub fn trajectory(&mut self, step: StepName, steps: usize) -> Trajectory {
        let mut phi = self.theta.to_vec();
        let mut memory = vec![[0.0; 2]; phi.len()];
        let (mut points, mut gradients, mut memories) = (vec![phi.clone()], Vec::new(), Vec::new());
        for k in 0..steps {
            let g = self.inner_gradient(&phi);
            memories.push(memory.clone());
            for (i, phi) in phi.iter_mut().enumerate().filter(|(i, _)| self.adapts()[*i]) {
                let by;
                (by, memory[i]) = step.ahead(k, self.rate, g[i], memory[i]);
                *phi += by;
            }
            points.push(phi.clone());
            gradients.push(g);
        }
        Trajectory { step, points, gradients, memories }
    }

    /// d f(φ_K)/dθ by hand.
    pub fn unrolled(&mut self, trajectory: &Trajectory) -> Vec<f64> {
        self.pulled_back(trajectory, Self::hessian)
    }

    /// The same with another H c.
    pub fn pulled_back(
        &mut self,
        trajectory: &Trajectory,
        mut product: impl FnMut(&mut Self, &[f64], &[f64]) -> Vec<f64>,
    ) -> Vec<f64> {
        let Trajectory { step, points, gradients, memories } = trajectory;
        let v = self.query(trajectory.last()).1;
        let (rate, lambda, adapts) = (self.rate, self.lambda, self.adapts());
        let mut w = self.project(&v);
        let mut gradient = minus(&v, &w);
        let mut after = vec![[0.0; 2]; w.len()];
        for k in (0..gradients.len()).rev() {
            let mut of_g = vec![0.0; w.len()];
            for i in (0..w.len()).filter(|i| adapts[*i]) {
                let at = (gradients[k][i], memories[k][i]);
                (of_g[i], after[i]) = step.back(k, rate, at, w[i], after[i]);
            }
            let through = product(self, &points[k], &of_g);
            for i in 0..w.len() {
                if adapts[i] {
                    gradient[i] -= lambda * of_g[i];
                    w[i] += through[i] + lambda * of_g[i];
                } else {
                    gradient[i] += through[i];
                }
            }
        }
        add(1.0, &w, &mut gradient);
        gradient
    }
}
