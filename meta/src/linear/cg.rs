//! Conjugate gradients (Hestenes & Stiefel 1952), and the same preconditioned (Saad 2003, algorithm 9.1).
//!
//! ```text
//! r = b, p = M⁻¹r       repeat:  α = rᵀM⁻¹r / pᵀAp,  x += α p,  r −= α A p,  β = r′ᵀM⁻¹r′ / rᵀM⁻¹r,  p = M⁻¹r′ + β p
//! ```
//!
//! This differs from the textbook in:
//! 1. Negative curvature is detected, counted, and met by a policy.
//! 2. Scaling, true residuals and restarts, which all solvers share (`cycles.rs`).
//! 3. It stops by ‖r‖, whatever M is.

use autodiff::Element;

use super::cycles::{Cycle, Until, solve};
use super::{
    CgLanes, Fallback, Held, LinearOperator, LinearSolver, Needs, OnNegativeCurvature, Policy, Preconditioner, Room,
    Solution, SolverSpace, Status,
};

/// Conjugate gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cg {
    until: Until,
    policy: OnNegativeCurvature,
}

impl Cg {
    /// Exactly `n` iterations from zero, fewer only where ‖r‖ ≤ ε³‖b‖, after which x no longer changes, or |pᵀAp| is at
    /// rounding.
    pub fn iterations(n: usize) -> Self {
        Cg { until: Until::Iterations(n), policy: OnNegativeCurvature::GoOn }
    }

    /// Until the true residual ‖b − A x‖ ≤ `relative` ‖b‖, in at most `cap` iterations.
    pub fn tolerance(relative: f64, cap: usize) -> Self {
        Cg { until: Until::Tolerance { relative, cap }, policy: OnNegativeCurvature::GoOn }
    }

    /// Until the residual of the recurrence is ≤ `relative` ‖b‖, in at most `cap` iterations: for tolerances far above
    /// rounding, where a product to look at the true one is one too many.
    pub fn recurrence(relative: f64, cap: usize) -> Self {
        Cg { until: Until::Recurrence { relative, cap }, policy: OnNegativeCurvature::GoOn }
    }

    /// The same with another policy.
    pub fn on_negative_curvature(self, policy: OnNegativeCurvature) -> Self {
        Cg { policy, ..self }
    }

    /// The same in the space of M⁻¹A.
    pub fn preconditioned<P>(self, by: P) -> Preconditioned<P> {
        Preconditioned { cg: self, by }
    }

    /// The same, and another way where the operator is indefinite.
    pub fn or<T: Element>(self, policy: Policy<T>) -> Fallback<T> {
        Fallback::new(Box::new(self.on_negative_curvature(OnNegativeCurvature::Stop)), policy)
    }

    /// `by`: M, in what is left of the vectors.
    fn cycle<T: Element>(
        self,
        a: &mut dyn LinearOperator<T>,
        mut run: Cycle<'_, T>,
        by: Option<&dyn Preconditioner<T>>,
        prepared: &mut bool,
    ) -> Option<Status> {
        let isa = run.isa;
        let [ap, p, vectors @ ..] = &mut std::mem::take(&mut run.vectors)[..] else {
            unreachable!("the room asked for")
        };
        let mut held = Held { isa, vectors, scalars: std::mem::take(&mut run.scalars) };
        p.copy_from_slice(run.r);
        let mut rr = isa.dot(run.r, run.r);
        // rᵀM⁻¹r
        let mut size = rr;
        if let Some(by) = by.filter(|_| !run.is_done(rr.sqrt())) {
            if !std::mem::replace(prepared, true) {
                run.stats.products += by.prepare(a, &mut held);
            }
            by.apply(a, &mut held, p);
            size = isa.dot(run.r, p);
        }
        if run.is_done(rr.sqrt()) {
            return None;
        }
        loop {
            run.apply(a, p, ap);
            let [curvature, pp, aap] = isa.gram(p, ap);
            if !(curvature.is_finite() && aap.is_finite()) {
                return Some(Status::NotFinite);
            }
            if size <= 0.0 {
                return Some(Status::Preconditioner);
            }
            if curvature <= 0.0 {
                run.stats.met_negative(curvature, pp);
                if self.policy == OnNegativeCurvature::Stop {
                    run.stats.policy_acted = true;
                    return Some(Status::NegativeCurvature);
                }
            }
            if curvature.abs() <= T::EPSILON * (pp * aap).sqrt() {
                return Some(Status::Singular);
            }
            let alpha = size / curvature;
            isa.add_scaled(T::from_f64(alpha), p, run.x);
            rr = isa.add_scaled_square(T::from_f64(-alpha), ap, run.r);
            run.stats.iterations += 1;
            // What follows is for another iteration.
            if run.is_done(rr.sqrt()) {
                return None;
            }
            let next = match by {
                None => {
                    isa.combine(T::one(), run.r, T::from_f64(rr / size), p);
                    rr
                }
                Some(by) => {
                    // M⁻¹r, in the place of Ap
                    ap.copy_from_slice(run.r);
                    by.apply(a, &mut held, ap);
                    let next = isa.dot(run.r, ap);
                    isa.combine(T::one(), ap, T::from_f64(next / size), p);
                    next
                }
            };
            size = next;
        }
    }
}

impl<T: Element> LinearSolver<T> for Cg {
    fn room(&self) -> Room {
        Room { vectors: 2, scalars: 0 }
    }

    fn in_lanes(&self) -> Option<CgLanes> {
        let Until::Iterations(iterations) = self.until else { return None };
        Some(CgLanes { iterations, stops: self.policy == OnNegativeCurvature::Stop })
    }

    fn solve<'s>(&self, a: &mut dyn LinearOperator<T>, b: &[T], space: &'s mut SolverSpace<T>) -> Solution<'s, T> {
        solve(a, b, space, self.until, |a, run| self.cycle(a, run, None, &mut false))
    }
}

/// Conjugate gradients with a preconditioner, made by [`Cg::preconditioned`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preconditioned<P> {
    cg: Cg,
    by: P,
}

impl<P> Preconditioned<P> {
    /// The same, and another way where the operator is indefinite.
    pub fn or<T: Element>(self, policy: Policy<T>) -> Fallback<T>
    where
        P: Preconditioner<T> + 'static,
    {
        let cg = self.cg.on_negative_curvature(OnNegativeCurvature::Stop);
        Fallback::new(Box::new(Preconditioned { cg, ..self }), policy)
    }
}

impl<T: Element, P: Preconditioner<T>> LinearSolver<T> for Preconditioned<P> {
    fn room(&self) -> Room {
        LinearSolver::<T>::room(&self.cg).and(self.by.room())
    }

    fn needs(&self) -> Needs {
        self.by.needs()
    }

    fn solve<'s>(&self, a: &mut dyn LinearOperator<T>, b: &[T], space: &'s mut SolverSpace<T>) -> Solution<'s, T> {
        let mut prepared = false;
        solve(a, b, space, self.cg.until, |a, run| self.cg.cycle(a, run, Some(&self.by), &mut prepared))
    }
}
