//! Newton's method by products with the Hessian alone (Martens 2010), on Krylov spaces that are kept.

use autodiff::{Element, Isa};

use super::krylov::Krylov;
use super::solver::Idle;
use super::{GradientOnly, InnerSolver, InnerStatus, InnerStop, InnerTask, Measured, Solved, Step};
use crate::linear::{LinearOperator, Room, SolverSpace};

/// What a Newton iteration keeps beside its Krylov space: the point, its gradient, and those of the best trial.
const OWN: usize = 4;
/// Trials of a radius: 2⁻⁴⁰ of a step is below what G can show.
const TRIALS: usize = 40;

/// φ′ = φ − Q(|T| + μI)⁻¹Qᵀ∇G, T = QᵀHQ on a Krylov space of H and ∇G.
///
/// ```text
/// Q spans {∇G, H∇G, H²∇G, …} until ‖∇G − HQ|T|⁻¹Qᵀ∇G‖ ≤ η ‖∇G‖        η = ⅒ √(‖∇G‖/‖∇G₀‖), at most 1/20: superlinear
/// |T| has the eigenvectors of T and the absolute values of its eigenvalues: saddles repel (Dauphin et al. 2014)
/// μ ≥ 0 is the least for which ‖φ′ − φ‖ ≤ ρ; ρ ← 2ρ or ρ/2 on the same Q while G falls further
/// then φ″ = φ′ − (Q(|T| + μI)⁻¹Qᵀ + (I − QQᵀ)/(λ + μ)) ∇G(φ′) with the same T, some times (Shamanskii 1967)
/// ```
///
/// On positive definite H with μ = 0 the first of these steps is that of Newton-CG, since conjugate gradients work in
/// the same space; keeping Q costs as many vectors as there are products, and gives for no product more what that cannot:
/// a way out of saddles, damping by search, and the corrections φ″. Networks with batch normalisation need them: where
/// the variance of a channel becomes small, minimisers lie in narrow curved valleys.
///
/// H is what the plan multiplies by: the Hessian, or Gauss-Newton where the plan is made for that. It decides as it goes,
/// so that it serves implicit methods only; the step size of [`Hyper`](super::Hyper) is not used.
///
/// Differs from the papers in: 1. no minibatches; 2. the damping bounds the length of a step, as trust regions do;
/// 3. a decrease of G below rounding is judged by the slopes at both ends.
///
/// ```
/// use autodiff::Arg;
/// use meta::inner::{HessianFree, Hyper, InnerStatus, InnerStop};
/// use meta::{Method, linear::Cg, method::Implicit};
///
/// let problem = meta::FewShot::new("mlp:1-8-1,act=tanh".parse()?, 2, 2, true);
/// let stop = InnerStop::Gradient { gradient: 1e-10, cap: 20 };
/// let cg = Box::new(Cg::tolerance(1e-10, 100));
/// let method = Implicit::<f64>::with_solver(&problem, Box::new(HessianFree::new(stop)), cg);
/// let theta = vec![0.1; problem.model().layout().len()];
/// let task = [&[0.0, 1.0][..], &[0.0, 1.0], &[0.2, 0.5], &[0.0, 0.4]].map(Arg::Floats);
/// let mut gradient = theta.clone();
/// let report = method.worker().gradient(&theta, Hyper { lambda: 0.5, rate: 0.0 }, &task, &mut gradient);
/// assert_eq!(report.inner_status, Some(InnerStatus::Converged));
/// # Ok::<(), nn::SpecError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HessianFree {
    stop: InnerStop,
    products: usize,
    corrections: usize,
}

impl HessianFree {
    /// The stop is for Newton iterations, each of at most 100 products and 8 corrections.
    pub fn new(stop: InnerStop) -> Self {
        HessianFree { stop, products: 100, corrections: 8 }
    }

    /// With at most this many products in an iteration; each takes a vector of memory.
    ///
    /// # Panics
    /// Where that is 0.
    #[track_caller]
    pub fn with_products(self, products: usize) -> Self {
        assert!(products > 0, "an iteration of no products");
        HessianFree { products, ..self }
    }

    /// With at most this many corrections in an iteration, an evaluation each; 0 for none.
    pub fn with_corrections(self, corrections: usize) -> Self {
        HessianFree { corrections, ..self }
    }
}

impl<T: Element> InnerSolver<T> for HessianFree {
    fn step(&self) -> &dyn Step {
        &GradientOnly
    }

    fn room(&self) -> Room {
        Room { vectors: OWN, scalars: 0 }.and(Krylov::<T>::room(self.products))
    }

    fn solve(&self, task: &mut InnerTask<'_, T>, space: &mut SolverSpace<T>) -> Solved {
        let isa = task.plan.plan().isa();
        let parts = space.parts();
        let (own, basis) = parts.vectors.split_at_mut(OWN);
        let [phi, g, best_phi, best_g] = own else { unreachable!("the room asked for") };
        let mut krylov = Krylov::new(isa, basis, parts.scalars);
        let (p, outside) = (parts.x, parts.r);
        let mut solved = Solved::started(task.look());
        let mut idle = Idle::at(solved.last);
        let mut radius = f64::INFINITY;
        while !solved.ended(self.stop) {
            let mut at = Point { isa, phi, g, measured: solved.last };
            at.take(task);
            let left = (solved.last.gradient_norm / solved.first.gradient_norm).min(0.25);
            if !krylov.build(task, at.g, 0.1 * left.sqrt(), &mut solved) {
                solved.status = InnerStatus::NotFinite;
                break;
            }
            krylov.project(at.g, outside);
            let mut best = Point { isa, phi: best_phi, g: best_g, measured: solved.last };
            let Some(found) = search(&mut krylov, radius, task, &at, &mut best, p, &mut solved) else {
                at.look(task, &mut solved);
                solved.status = InnerStatus::Stalled;
                break;
            };
            radius = found;
            at.swap(&mut best);
            self.correct(&mut krylov, radius, task, &mut at, [p, outside], &mut solved);
            at.look(task, &mut solved);
            solved.steps += 1;
            if idle.after::<T>(&solved) {
                solved.status = InnerStatus::Stalled;
                break;
            }
        }
        solved
    }
}

impl HessianFree {
    /// More steps with the same T, from where its first has led.
    fn correct<T: Element>(
        &self,
        krylov: &mut Krylov<'_, T>,
        mut radius: f64,
        task: &mut InnerTask<'_, T>,
        at: &mut Point<'_, T>,
        [p, outside]: [&mut [T]; 2],
        solved: &mut Solved,
    ) {
        let shift = task.shift();
        let (_, tolerance) = self.stop.limits();
        for _ in 0..self.corrections {
            if at.measured.gradient_norm <= tolerance {
                break;
            }
            let beyond = krylov.project(at.g, outside);
            let mu = krylov.damping(radius, beyond, shift);
            krylov.step(mu, p);
            if beyond > 0.0 {
                at.isa.add_scaled(T::from_f64(-1.0 / (shift + mu)), outside, p);
            }
            let slope = at.isa.dot(at.g, p);
            // A quadratic that is what it was falls by half of what its slope says.
            if at.try_step(p, task, solved) >= -0.1 * slope {
                at.measured = solved.last;
                at.take(task);
            } else {
                radius = 0.25 * at.isa.dot(p, p).sqrt();
            }
        }
    }
}

/// The best of some steps on one space, to `best`; the radius that led there, or `None` where no step lowers G.
fn search<T: Element>(
    krylov: &mut Krylov<'_, T>,
    radius: f64,
    task: &mut InnerTask<'_, T>,
    at: &Point<'_, T>,
    best: &mut Point<'_, T>,
    p: &mut [T],
    solved: &mut Solved,
) -> Option<f64> {
    let (mut fallen, mut found) = (0.0, None);
    let (mut trial, mut grew, mut shrank) = (radius, false, false);
    for _ in 0..TRIALS {
        let mu = krylov.damping(trial, 0.0, 0.0);
        let says = krylov.step(mu, p);
        let fell = at.try_step(p, task, solved);
        let (length, ratio) = (at.isa.dot(p, p).sqrt(), fell / says);
        let better = fell > fallen;
        if better {
            // A step that nothing bounded says nothing against longer ones.
            let known = if radius.is_finite() { radius } else { 0.0 };
            (fallen, found) = (fell, Some(if mu > 0.0 { trial } else { length.max(known) }));
            best.measured = solved.last;
            best.take(task);
        }
        if better && mu > 0.0 && !shrank && ratio > 0.3 {
            (grew, trial) = (true, 2.0 * trial);
        } else if !grew && (better || found.is_none()) && ratio < 0.5 {
            (shrank, trial) = (true, 0.5 * length.min(trial));
        } else {
            break;
        }
    }
    found
}

/// A point, and what was seen there.
struct Point<'s, T> {
    isa: Isa,
    phi: &'s mut Vec<T>,
    g: &'s mut Vec<T>,
    measured: Measured,
}

impl<T: Element> Point<'_, T> {
    /// The point and the gradient looked at last.
    fn take(&mut self, task: &InnerTask<'_, T>) {
        self.phi.copy_from_slice(&task.run.state);
        self.g.copy_from_slice(&task.run.next);
    }

    fn swap(&mut self, other: &mut Self) {
        self.phi.swap_with_slice(other.phi);
        self.g.swap_with_slice(other.g);
        std::mem::swap(&mut self.measured, &mut other.measured);
    }

    /// Looks at this point again, unless it was the last one looked at.
    fn look(&self, task: &mut InnerTask<'_, T>, solved: &mut Solved) {
        if task.run.state != *self.phi {
            task.run.state.copy_from_slice(self.phi);
            solved.last = task.look();
            solved.evaluations += 1;
        }
    }

    /// Looks at φ + p; by how much G falls, −∞ where anything is not finite. Where the difference is mostly rounding it is
    /// the integral of the slope, by the trapezoidal rule, which is right to second order.
    fn try_step(&self, p: &[T], task: &mut InnerTask<'_, T>, solved: &mut Solved) -> f64 {
        task.run.state.copy_from_slice(self.phi);
        self.isa.add_scaled(T::one(), p, &mut task.run.state);
        solved.last = task.look();
        solved.evaluations += 1;
        let (difference, noise) = (self.measured.value - solved.last.value, solved.noise::<T>());
        if !(difference.is_finite() && solved.last.gradient_norm.is_finite()) {
            f64::NEG_INFINITY
        } else if difference < -noise || difference > 1e3 * noise {
            difference
        } else {
            -0.5 * (self.isa.dot(self.g, p) + self.isa.dot(&task.run.next, p))
        }
    }
}
