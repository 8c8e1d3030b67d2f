//! What an optimiser does to a quadratic task, by hand.

use integration::Case;
use meta::inner::Hyper;

/// Closed forms of steps beside gradient descent.
pub trait ByHand {
    /// ∇G at φ.
    fn slope(&self, lambda: f64, phi: &[f64]) -> Vec<f64>;

    /// dF/dθ through steps that are linear in the state (φ, b) and the gradient g:
    ///
    /// ```text
    /// b′ = μ b + g        φ′ = φ − α_k (p g + q b)
    /// ```
    ///
    /// so that with g = (A + λI)φ − b − λθ everything is a product of 2 × 2 blocks of polynomials in A + λI.
    fn through_momentum(&self, hyper: Hyper, mu_p_q: [f64; 3], rate: impl Fn(usize) -> f64, steps: usize) -> Vec<f64>;

    /// dF/dθ through steps of Adam: the Jacobians of φ, m and v with respect to θ, carried forward.
    fn through_adam(
        &self,
        hyper: Hyper,
        beta: [f64; 2],
        epsilon: f64,
        rate: impl Fn(usize) -> f64,
        steps: usize,
    ) -> Vec<f64>;
}

impl ByHand for Case {
    fn slope(&self, lambda: f64, phi: &[f64]) -> Vec<f64> {
        let m = self.regularised(lambda);
        let row = |i: usize| (0..self.n).map(|j| m[i * self.n + j] * phi[j]).sum::<f64>();
        (0..self.n).map(|i| row(i) - self.b[i] - lambda * self.theta[i]).collect()
    }

    fn through_momentum(
        &self,
        hyper: Hyper,
        [mu, p, q]: [f64; 3],
        rate: impl Fn(usize) -> f64,
        steps: usize,
    ) -> Vec<f64> {
        let n = self.n;
        let m = self.regularised(hyper.lambda);
        let times =
            |x: &[f64]| -> Vec<f64> { (0..n).map(|i| (0..n).map(|j| m[i * n + j] * x[j]).sum::<f64>()).collect() };
        let (mut phi, mut ball) = (self.theta.clone(), vec![0.0; n]);
        for k in 0..steps {
            let g = self.slope(hyper.lambda, &phi);
            for i in 0..n {
                phi[i] -= rate(k) * (p * g[i] + q * ball[i]);
                ball[i] = mu * ball[i] + g[i];
            }
        }
        // The transposed blocks, last step first: w of φ, u of b.
        let mut w: Vec<f64> = phi.iter().zip(&self.c).map(|(x, c)| x - c).collect();
        let (mut u, mut gradient) = (vec![0.0; n], vec![0.0; n]);
        for k in (0..steps).rev() {
            let into_g: Vec<f64> = (0..n).map(|i| u[i] - rate(k) * p * w[i]).collect();
            let through = times(&into_g);
            for i in 0..n {
                u[i] = mu * u[i] - rate(k) * q * w[i];
                w[i] += through[i];
                gradient[i] -= hyper.lambda * into_g[i];
            }
        }
        gradient.iter().zip(&w).map(|(g, w)| g + w).collect()
    }

    fn through_adam(
        &self,
        hyper: Hyper,
        beta: [f64; 2],
        epsilon: f64,
        rate: impl Fn(usize) -> f64,
        steps: usize,
    ) -> Vec<f64> {
        let n = self.n;
        let matrix = self.regularised(hyper.lambda);
        let (mut phi, mut m, mut v) = (self.theta.clone(), vec![0.0; n], vec![0.0; n]);
        let eye = |i: usize, j: usize| if i == j { 1.0 } else { 0.0 };
        let mut dphi: Vec<f64> = (0..n * n).map(|e| eye(e / n, e % n)).collect();
        let (mut dm, mut dv) = (vec![0.0; n * n], vec![0.0; n * n]);
        for k in 0..steps {
            let g = self.slope(hyper.lambda, &phi);
            let power = k as i32 + 1;
            let (fix_m, fix_v) = (1.0 / (1.0 - beta[0].powi(power)), 1.0 / (1.0 - beta[1].powi(power)));
            let dg: Vec<f64> = (0..n * n)
                .map(|e| {
                    let (i, j) = (e / n, e % n);
                    (0..n).map(|l| matrix[i * n + l] * dphi[l * n + j]).sum::<f64>() - hyper.lambda * eye(i, j)
                })
                .collect();
            for i in 0..n {
                m[i] = beta[0] * m[i] + (1.0 - beta[0]) * g[i];
                v[i] = beta[1] * v[i] + (1.0 - beta[1]) * g[i] * g[i];
                let root = (fix_v * v[i] + epsilon * epsilon).sqrt();
                phi[i] -= rate(k) * fix_m * m[i] / root;
                for e in i * n..(i + 1) * n {
                    dm[e] = beta[0] * dm[e] + (1.0 - beta[0]) * dg[e];
                    dv[e] = beta[1] * dv[e] + 2.0 * (1.0 - beta[1]) * g[i] * dg[e];
                    let step = fix_m * dm[e] / root - 0.5 * fix_m * m[i] * fix_v * dv[e] / root.powi(3);
                    dphi[e] -= rate(k) * step;
                }
            }
        }
        (0..n).map(|j| (0..n).map(|i| dphi[i * n + j] * (phi[i] - self.c[i])).sum()).collect()
    }
}
