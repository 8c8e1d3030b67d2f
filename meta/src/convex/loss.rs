//! Losses of one row of outputs z = Wᵀx, with their derivatives in z.
//!
//! # Constants of the softmax loss
//!
//! ℓ(z) = log Σ e^z − z_y, p = softmax(z). Its derivatives are cumulants of a random index drawn from p; with E, Var
//! under p and d̄ = E d:
//!
//! ```text
//! ∇ℓ = p − y    D²ℓ[d, d] = Var d    D³ℓ[d, d, e] = E (d − d̄)²(e − ē)
//! D⁴ℓ[d, d, e, e] = E (d − d̄)²(e − ē)² − Var d Var e − 2 Cov(d, e)²
//! ```
//!
//! Let R(e) = max e − min e ≤ √2 ‖e‖.
//!
//! - Var d ≤ R²/4 ≤ ½ ‖d‖²: **‖∇²ℓ‖ ≤ ½**, attained at p = (½, ½).
//! - |E (d − d̄)³| ≤ R³/(6√3): for a given mean it is linear in the distribution, so it is extreme where there are two
//!   values, with probabilities q and 1 − q; there it is q(1−q)|1−2q| times their distance cubed, at most 1/(6√3) of it.
//!   A symmetric trilinear form has its norm on the diagonal (Banach), and R³ ≤ 2√2 ‖d‖³:
//!   **‖∇²ℓ(z) − ∇²ℓ(z′)‖ ≤ (√6/9) ‖z − z′‖**, attained for two classes.
//! - |e − ē| ≤ R(e), so |D³ℓ[d, d, e]| ≤ R(e) D²ℓ[d, d]; and −(¾)R² Var d ≤ D⁴ℓ[d, d, e, e] ≤ R² Var d by
//!   Var e ≤ R²/4 and Cov² ≤ Var d Var e: **self-concordant with spread R(e)**.

/// The loss of a head's outputs, row by row; L is its mean over rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadLoss {
    /// log Σ e^z − `z[label]`
    Softmax,
    /// ½ ‖z − y‖²
    Squares,
}

/// √6/9: the Lipschitz constant of the softmax loss's Hessian, in z.
const SOFTMAX_LIPSCHITZ: f64 = 0.272_165_526_975_908_7;

impl HeadLoss {
    /// ‖∇²ℓ‖ ≤ this.
    pub(super) fn curvature(self) -> f64 {
        match self {
            HeadLoss::Softmax => 0.5,
            HeadLoss::Squares => 1.0,
        }
    }

    /// ∇²ℓ ⪰ this.
    pub(super) fn convexity(self) -> f64 {
        match self {
            HeadLoss::Softmax => 0.0,
            HeadLoss::Squares => 1.0,
        }
    }

    /// ‖∇²ℓ(z) − ∇²ℓ(z′)‖ ≤ this · ‖z − z′‖.
    pub(super) fn lipschitz(self) -> f64 {
        match self {
            HeadLoss::Softmax => SOFTMAX_LIPSCHITZ,
            HeadLoss::Squares => 0.0,
        }
    }

    /// The spread along e: max e − min e, or 0 where ∇²ℓ is constant.
    pub(super) fn spread(self, e: &[f64]) -> f64 {
        match self {
            HeadLoss::Softmax => {
                let (least, most) =
                    e.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, m), &v| (l.min(v), m.max(v)));
                most - least
            }
            HeadLoss::Squares => 0.0,
        }
    }

    /// Spread ≤ this · ‖e‖.
    pub(super) fn spread_factor(self) -> f64 {
        match self {
            HeadLoss::Softmax => std::f64::consts::SQRT_2,
            HeadLoss::Squares => 0.0,
        }
    }

    /// z ← softmax(z), where derivatives need it.
    pub(super) fn prepare(self, z: &mut [f64]) {
        if self == HeadLoss::Softmax {
            let most = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            z.iter_mut().for_each(|z| *z = (*z - most).exp());
            let sum: f64 = z.iter().sum();
            z.iter_mut().for_each(|z| *z /= sum);
        }
    }

    /// d ← ∇²ℓ d, at a prepared z.
    pub(super) fn hessian(self, p: &[f64], d: &mut [f64]) {
        if self == HeadLoss::Softmax {
            let mean = super::dot(p, d);
            d.iter_mut().zip(p).for_each(|(d, p)| *d = p * (*d - mean));
        }
    }

    /// a ← D³ℓ[a, b, ·], at a prepared z.
    pub(super) fn third(self, p: &[f64], a: &mut [f64], b: &[f64]) {
        match self {
            HeadLoss::Softmax => {
                let (a_mean, b_mean) = (super::dot(p, a), super::dot(p, b));
                a.iter_mut().zip(b).for_each(|(a, b)| *a = (*a - a_mean) * (b - b_mean));
                let covariance = super::dot(p, a);
                a.iter_mut().zip(p).for_each(|(a, p)| *a = p * (*a - covariance));
            }
            HeadLoss::Squares => a.fill(0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::random::Random;

    /// The constants are bounds, and the two that are said to be attained are.
    #[test]
    fn softmax_constants_are_bounds_and_attained() {
        let mut rng = Random::new("constants", 0, 0, 0);
        let mut most = [0.0_f64; 2];
        let loss = HeadLoss::Softmax;
        for k in 0..20_000 {
            let classes = 2 + k % 5;
            let draw = |rng: &mut Random| (0..classes).map(|_| rng.uniform(-1.0, 1.0)).collect::<Vec<f64>>();
            let mut p: Vec<f64> = draw(&mut rng).iter().map(|z| 4.0 * z).collect();
            loss.prepare(&mut p);
            let (d, e) = (draw(&mut rng), draw(&mut rng));
            let (dd, spread) = (super::super::dot(&d, &d), loss.spread(&e));
            let (mut h, mut t) = (d.clone(), d.clone());
            loss.hessian(&p, &mut h);
            loss.third(&p, &mut t, &d);
            let variance = super::super::dot(&d, &h);
            let third = super::super::dot(&t, &e).abs();
            // 1e-15: rounding of sums of a few numbers below 1.
            assert!(variance <= 0.5 * dd + 1e-15 && third <= spread * variance + 1e-15);
            assert!(spread <= loss.spread_factor() * super::super::norm(&e) + 1e-15);
            let cubed = super::super::dot(&t, &d).abs();
            most = [most[0].max(variance / dd), most[1].max(cubed / dd.powf(1.5))];
        }
        assert!(most[1] <= SOFTMAX_LIPSCHITZ, "{most:?}");
        let q = 0.5 * (1.0 - 1.0 / 3.0_f64.sqrt());
        let d = [0.5_f64.sqrt(), -(0.5_f64.sqrt())];
        let (mut h, mut t) = (d, d);
        loss.hessian(&[0.5, 0.5], &mut h);
        loss.third(&[q, 1.0 - q], &mut t, &d);
        assert!((super::super::dot(&h, &d) - loss.curvature()).abs() < 1e-15);
        assert!((super::super::dot(&t, &d).abs() - SOFTMAX_LIPSCHITZ).abs() < 1e-15);
    }
}
