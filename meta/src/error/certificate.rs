//! A bound on the error of a meta-gradient, proven from the data.

use super::lanczos::Lanczos;
use crate::convex::{Bounds, ConvexTask, UNIT, dot, norm};

/// What is to be certified: that `gradient` is the meta-gradient dF/dθ of a task, taken at `phi`.
///
/// Any method's answer can be put here, from `f32` too: the certificate computes what it needs by itself.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// θ
    pub theta: &'a [f64],
    /// λ > 0
    pub lambda: f64,
    /// φ
    pub phi: &'a [f64],
    /// ĝ
    pub gradient: &'a [f64],
}

/// ‖ĝ − g*‖ ≤ [`bound`](Certificate::bound), and what it is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Certificate {
    /// ‖r‖, r = v − (I + H/λ)ĝ at φ.
    pub residual: f64,
    /// ‖∇G(φ)‖
    pub inner_gradient: f64,
    /// μ: G is μ-strongly convex.
    pub strong_convexity: f64,
    /// ‖φ − φ*‖ ≤ this.
    pub distance: f64,
    /// The part of the linear solve, (λ/μ)‖r‖.
    pub linear: f64,
    /// The part of the inner solve.
    pub inner: f64,
    /// The part that is rounding in what was computed here.
    pub rounding: f64,
    /// The bound with the error's direction computed, where products were allowed for it.
    pub directed: Option<f64>,
    /// Products with ∇²L_support or ∇³L_support that it took.
    pub products: usize,
}

impl Certificate {
    /// ‖ĝ − g*‖ ≤ this: the smaller of the two bounds.
    pub fn bound(&self) -> f64 {
        let sum = self.linear + self.inner + self.rounding;
        self.directed.map_or(sum, |directed| sum.min(directed + self.rounding))
    }
}

/// What both bounds start from.
struct Known<'a> {
    task: &'a dyn ConvexTask,
    claim: Claim<'a>,
    mu: f64,
    /// ‖∇²G‖ ≤ this.
    most: f64,
    /// x̂ = ĝ/λ, and √(x̂ᵀHx̂).
    x: Vec<f64>,
    x_energy: f64,
    /// −r, and a bound on its rounding error; the same of ∇G.
    minus_r: Vec<f64>,
    r_rounding: f64,
    s: Vec<f64>,
    s_rounding: f64,
}

/// How far φ* is: ε, and τ, a bound on the spread along φ − φ*.
#[derive(Clone, Copy)]
struct Away {
    distance: f64,
    spread: f64,
}

impl<'a> Claim<'a> {
    /// The certificate for one product with the Hessian: the formula of the [module](super).
    ///
    /// # Panics
    /// Where lengths differ from the task's, λ is not above 0, or G is not known to be strongly convex.
    #[track_caller]
    pub fn certify(self, task: &dyn ConvexTask) -> Certificate {
        self.certify_with(task, 0)
    }

    /// The same with the *directed* bound, which computes where the error points to: it takes 3·`effort` + 2 more
    /// products and one with ∇²L_query, and is the tighter the more there are. With an effort of 0 it is left out.
    ///
    /// # Panics
    /// As [`certify`](Claim::certify).
    #[track_caller]
    pub fn certify_with(self, task: &dyn ConvexTask, effort: usize) -> Certificate {
        let dim = task.dim();
        assert_eq!(
            (self.theta.len(), self.phi.len(), self.gradient.len()),
            (dim, dim, dim),
            "certify: θ, φ and the gradient of a task with {dim} parameters"
        );
        assert!(self.lambda > 0.0, "certify: λ is {}, expected above 0", self.lambda);
        let known = Known::new(task, self);
        let Bounds { spread, .. } = *task.bounds();
        let s = norm(&known.s) + known.s_rounding;
        let away = Away { distance: s / known.mu, spread: spread * s / known.mu };
        let mut certificate = Certificate {
            residual: norm(&known.minus_r),
            inner_gradient: norm(&known.s),
            strong_convexity: known.mu,
            distance: away.distance,
            linear: self.lambda / known.mu * norm(&known.minus_r),
            inner: known.inner(away),
            // The norms of `dim` numbers, and x̂ = ĝ/λ, are within some dim roundings of themselves.
            rounding: self.lambda / known.mu * known.r_rounding + 4.0 * UNIT * norm(self.gradient),
            directed: None,
            products: 1,
        };
        if effort > 0 {
            known.direct(effort, away, &mut certificate);
        }
        let norms = 1.0 + 8.0 * UNIT * dim as f64;
        for part in [&mut certificate.linear, &mut certificate.inner, &mut certificate.distance] {
            *part *= norms;
        }
        certificate.directed = certificate.directed.map(|d| d * norms);
        certificate
    }
}

impl<'a> Known<'a> {
    fn new(task: &'a dyn ConvexTask, claim: Claim<'a>) -> Self {
        let Claim { theta, lambda, phi, gradient } = claim;
        let dim = task.dim();
        let x: Vec<f64> = gradient.iter().map(|g| g / lambda).collect();
        let (mut hx, mut v, mut s) = (vec![0.0; dim], vec![0.0; dim], vec![0.0; dim]);
        let mut rounding = task.hessian(phi, &x, &mut hx);
        // A sum of `dim` products has as many roundings of its own.
        let x_energy = dot(&x, &hx).max(0.0) + norm(&x) * (rounding + dim as f64 * UNIT * norm(&hx));
        rounding += task.outer_gradient(phi, &mut v);
        rounding += 4.0 * UNIT * (norm(&hx) + norm(&v) + lambda * norm(&x));
        let minus_r = (0..dim).map(|i| hx[i] + lambda * x[i] - v[i]).collect();
        let mut s_rounding = task.gradient(phi, &mut s);
        s_rounding += 4.0 * UNIT * (norm(&s) + lambda * (norm(phi) + norm(theta)));
        for ((s, p), t) in s.iter_mut().zip(phi).zip(theta) {
            *s += lambda * (p - t);
        }
        let Bounds { convexity, curvature, .. } = *task.bounds();
        let mu = lambda + convexity;
        assert!(mu > 0.0, "certify: with λ = {lambda} G may not be strongly convex: its least curvature is {mu}");
        Known {
            task,
            claim,
            mu,
            most: lambda + curvature,
            x,
            x_energy: x_energy.sqrt(),
            minus_r,
            r_rounding: rounding,
            s,
            s_rounding,
        }
    }

    /// λ‖A*⁻¹(H* − H)x̂‖ + λ‖A*⁻¹(v − v*)‖ ≤ this.
    fn inner(&self, away: Away) -> f64 {
        let Bounds { lipschitz, outer_curvature, .. } = *self.task.bounds();
        let by_norm = lipschitz * away.distance * norm(&self.x) / self.mu;
        let by_energy = (0.5 * away.spread).exp() * away.spread.exp_m1() * self.x_energy / self.mu.sqrt();
        self.claim.lambda * (smaller(by_norm, by_energy) + outer_curvature * away.distance / self.mu)
    }

    /// y ← (H + λ)x
    fn apply(&self, x: &[f64], y: &mut [f64]) -> f64 {
        let rounding = self.task.hessian(self.claim.phi, x, y);
        y.iter_mut().zip(x).for_each(|(y, x)| *y += self.claim.lambda * x);
        rounding + 2.0 * UNIT * (norm(y) + self.claim.lambda * norm(x))
    }

    /// A Krylov space of A.
    fn lanczos(&self, b: &[f64], effort: usize, certificate: &mut Certificate) -> Lanczos {
        let lanczos = Lanczos::new(b, effort, |x, y| self.apply(x, y));
        certificate.products += lanczos.products();
        lanczos
    }

    /// Bounds φ − φ* about the Newton step, then the error about the direction that this gives it.
    fn direct(&self, effort: usize, first: Away, certificate: &mut Certificate) {
        let Known { task, mu, most, .. } = *self;
        let (phi, lambda, dim) = (self.claim.phi, self.claim.lambda, task.dim());
        let bounds = *task.bounds();

        // δ ≈ A⁻¹∇G, and how far φ − φ* is from it.
        let newton = self.lanczos(&self.s, effort, certificate);
        let delta = newton.solution(dim);
        let mut q = vec![0.0; dim];
        let mut q_rounding = self.apply(&delta, &mut q) + self.s_rounding;
        q.iter_mut().zip(&self.s).for_each(|(q, s)| *q = s - *q);
        q_rounding += 2.0 * UNIT * norm(&q);
        let unsolved = self.lanczos(&q, effort, certificate).inverse(mu, most) + q_rounding / mu;
        let decrement = newton.energy(mu, most) + self.s_rounding / mu.sqrt();
        let along = task.spread(&delta);
        let Away { mut distance, mut spread } = first;
        let steep = bounds.spread * decrement / mu.sqrt();
        if steep < 1.0 {
            spread = spread.min(-(-steep).ln_1p());
        }
        let mut away_from_delta = f64::INFINITY;
        // Each round follows from the one before; a few reach what there is to gain.
        for _ in 0..8 {
            let by_energy = newton_gap(spread) * decrement / mu.sqrt();
            let by_norm = 0.5 * bounds.lipschitz * distance * distance / mu;
            away_from_delta = away_from_delta.min(unsolved + smaller(by_energy, by_norm));
            distance = distance.min(norm(&delta) + away_from_delta);
            spread = spread.min(along + bounds.spread * away_from_delta);
        }
        let away = Away { distance, spread };
        certificate.distance = distance;
        certificate.inner = certificate.inner.min(self.inner(away));

        // w = −r − ∇³L[δ, x̂] + ∇²f δ
        let (mut w, mut part) = (self.minus_r.clone(), vec![0.0; dim]);
        let mut w_rounding = task.third(phi, &delta, &self.x, &mut part);
        w.iter_mut().zip(&part).for_each(|(w, p)| *w -= p);
        w_rounding += 4.0 * UNIT * norm(&part);
        w_rounding += task.outer_hessian(phi, &delta, &mut part);
        w.iter_mut().zip(&part).for_each(|(w, p)| *w += p);
        w_rounding += 4.0 * UNIT * norm(&part);
        let lanczos = self.lanczos(&w, effort, certificate);
        let (inverse, energy) = (lanczos.inverse(mu, most), lanczos.energy(mu, most));

        let root = (0.5 * spread).exp() / mu.sqrt();
        // A*⁻¹ in place of A⁻¹; then what the expansion about δ leaves of H* − H, and of v − v*.
        let moved = smaller(bounds.lipschitz * distance / mu * inverse, root * spread.exp_m1() * energy);
        let hessian = root * (spread.exp_m1() - spread + bounds.spread * away_from_delta) * self.x_energy;
        let outer = bounds.outer_curvature * away_from_delta + 0.5 * bounds.outer_lipschitz * distance * distance;
        certificate.products += 2;
        certificate.directed = Some(lambda * (inverse + moved + hessian + (outer + w_rounding) / mu));
    }
}

/// τ/(1 − e^{−τ}) − 1: how far a mean of Hessians on a segment of spread τ is from the one at its end.
fn newton_gap(spread: f64) -> f64 {
    // Near 0 it is τ/2 + τ²/12 − …, where the quotient loses its digits.
    if spread < 1e-3 { 0.5 * spread + spread * spread / 12.0 } else { -spread / (-spread).exp_m1() - 1.0 }
}

/// The smaller of two bounds, of which the second may have overflowed to ∞ · 0.
fn smaller(a: f64, b: f64) -> f64 {
    if b < a { b } else { a }
}
