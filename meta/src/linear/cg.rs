//! Conjugate gradients (Hestenes & Stiefel 1952).
//!
//! ```text
//! r = b, p = r          repeat:  α = rᵀr / pᵀAp,  x += α p,  r −= α A p,  β = r′ᵀr′ / rᵀr,  p = r′ + β p
//! ```
//!
//! Inner products accumulate in `f64`. b is scaled by a power of two so that ‖b‖ is near 1: the answer is the
//! same for b and 2ᵏ b to the last bit, and a right-hand side of 1e-30 does not underflow in `f32`.
//!
//! This differs from the textbook in:
//! 1. Negative curvature is detected, counted, and met by a policy.
//! 2. With a tolerance, convergence is claimed of the true residual b − A x only: where the recurrence says
//!    converged and the truth does not, CG restarts from the true residual, and says so where that no longer helps.

use autodiff::Element;

use super::{LinearOperator, LinearSolver, OnNegativeCurvature, Solution, SolverSpace, Stats, Status};

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Until {
    Iterations(usize),
    Tolerance { relative: f64, cap: usize },
}

/// Conjugate gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cg {
    until: Until,
    policy: OnNegativeCurvature,
}

impl Cg {
    /// Exactly `n` iterations from zero, fewer only where r = 0 or |pᵀAp| is at rounding.
    pub fn iterations(n: usize) -> Self {
        Cg { until: Until::Iterations(n), policy: OnNegativeCurvature::GoOn }
    }

    /// Until the true residual ‖b − A x‖ ≤ `relative` ‖b‖, in at most `cap` iterations.
    pub fn tolerance(relative: f64, cap: usize) -> Self {
        Cg { until: Until::Tolerance { relative, cap }, policy: OnNegativeCurvature::GoOn }
    }

    /// The same with another policy.
    pub fn on_negative_curvature(self, policy: OnNegativeCurvature) -> Self {
        Cg { policy, ..self }
    }
}

impl<T: Element> LinearSolver<T> for Cg {
    fn most_products(&self) -> usize {
        match self.until {
            Until::Iterations(n) => n,
            // Each restart checks the true residual once.
            Until::Tolerance { cap, .. } => 2 * cap + 1,
        }
    }

    fn solve<'s>(&self, a: &mut dyn LinearOperator<T>, b: &[T], space: &'s mut SolverSpace<T>) -> Solution<'s, T> {
        assert_eq!((b.len(), space.x.len()), (a.dim(), a.dim()), "solve: operator, right-hand side and space");
        let isa = space.isa;
        let SolverSpace { x, r, p, ap, .. } = space;
        let mut stats = Stats::default();
        x.fill(T::zero());

        let exponent = scale_exponent(b);
        let (Some(exponent), cap, tolerance) = (exponent, self.cap(), self.relative()) else {
            let largest_is_finite = b.iter().all(|v| v.to_f64().is_finite());
            let status = if largest_is_finite { Status::Converged } else { Status::NotFinite };
            stats.residual = if largest_is_finite { 0.0 } else { f64::NAN };
            return Solution { value: x, status, stats };
        };
        scaled_copy(b, -exponent, r);
        p.copy_from_slice(r);
        let b_square = isa.dot(r, r);
        let mut rr = b_square;
        // The smallest true residual so far, to tell stagnation.
        let mut best = f64::INFINITY;
        let status = loop {
            if let Some(relative) = tolerance {
                if rr.sqrt() <= relative * b_square.sqrt() {
                    // The recurrence has converged; has the truth?
                    a.apply(x, ap);
                    stats.products += 1;
                    scaled_copy(b, -exponent, r);
                    isa.add_scaled(T::lit(-1.0), ap, r);
                    rr = isa.dot(r, r);
                    stats.residual = (rr / b_square).sqrt();
                    if stats.residual <= relative {
                        break Status::Converged;
                    }
                    if stats.residual > 0.5 * best {
                        break Status::Stagnated;
                    }
                    best = stats.residual;
                    p.copy_from_slice(r);
                }
            } else if rr == 0.0 {
                break Status::Converged;
            }
            if stats.iterations == cap {
                break if tolerance.is_some() { Status::Capped } else { Status::Finished };
            }
            a.apply(p, ap);
            stats.products += 1;
            let (curvature, pp, aap) = (isa.dot(p, ap), isa.dot(p, p), isa.dot(ap, ap));
            if !(curvature.is_finite() && aap.is_finite()) {
                break Status::NotFinite;
            }
            if curvature <= 0.0 {
                stats.negative_curvature += 1;
                if self.policy == OnNegativeCurvature::Stop {
                    break Status::NegativeCurvature;
                }
            }
            if curvature.abs() <= T::EPSILON * (pp * aap).sqrt() {
                break Status::Singular;
            }
            let alpha = rr / curvature;
            isa.add_scaled(T::from_f64(alpha), p, x);
            isa.add_scaled(T::from_f64(-alpha), ap, r);
            let next = isa.dot(r, r);
            isa.combine(T::one(), r, T::from_f64(next / rr), p);
            rr = next;
            stats.iterations += 1;
            stats.residual = (rr / b_square).sqrt();
        };
        rescale(x, exponent);
        Solution { value: x, status, stats }
    }
}

impl Cg {
    fn cap(&self) -> usize {
        match self.until {
            Until::Iterations(n) => n,
            Until::Tolerance { cap, .. } => cap,
        }
    }

    fn relative(&self) -> Option<f64> {
        match self.until {
            Until::Iterations(_) => None,
            Until::Tolerance { relative, .. } => Some(relative),
        }
    }
}

/// The power of two next to the largest element; `None` where b is zero or not finite.
fn scale_exponent<T: Element>(b: &[T]) -> Option<i32> {
    let mut largest = 0.0_f64;
    for v in b {
        let size = v.to_f64().abs();
        if size.is_nan() {
            return None;
        }
        largest = largest.max(size);
    }
    (largest > 0.0 && largest.is_finite()).then(|| largest.log2().floor() as i32)
}

/// y ← 2ᵏ x, exact: in two halves, since 2ᵏ itself may not be a number of the type.
fn scaled_copy<T: Element>(x: &[T], k: i32, y: &mut [T]) {
    y.copy_from_slice(x);
    rescale(y, k);
}

fn rescale<T: Element>(x: &mut [T], k: i32) {
    let (half, rest) = (T::from_f64(2.0_f64.powi(k / 2)), T::from_f64(2.0_f64.powi(k - k / 2)));
    for v in x {
        *v = *v * half * rest;
    }
}
