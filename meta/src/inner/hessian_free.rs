//! Newton's method by products with the Hessian alone (Martens 2010), on Krylov spaces that are kept.

use autodiff::{Element, Isa};

use super::krylov::Krylov;
use super::solved::Idle;
use super::{GradientOnly, InnerSolver, InnerStatus, InnerStop, InnerTask, Measured, Solved, Step};
use crate::linear::{LinearOperator, Room, SolverSpace};

/// What is kept beside a Krylov space: the point, its gradient, those of the best trial, and the flattest point.
const OWN: usize = 5;
/// Iterations between two questions whether they still lead anywhere.
const PATIENCE: usize = 5;
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
        let [phi, g, best_phi, best_g, flattest] = own else { unreachable!("the room asked for") };
        let solved = Solved::started(task.look());
        flattest.copy_from_slice(&task.run.state);
        let mut at = Point { phi, g, measured: solved.last };
        let mut best = Point { phi: best_phi, g: best_g, measured: solved.last };
        let mut idle = Idle::at(solved.last, PATIENCE, 1);
        let mut newton = Newton {
            isa,
            krylov: Krylov::new(isa, basis, parts.scalars),
            p: parts.x,
            outside: parts.r,
            flattest: Flattest { phi: flattest, measured: solved.last },
            task,
            solved,
        };
        let mut radius = f64::INFINITY;
        while !newton.solved.ended(self.stop) {
            newton.take(&mut at);
            let left = (at.measured.gradient_norm / newton.solved.first.gradient_norm).min(0.25);
            if !newton.krylov.build(newton.task, at.g, 0.1 * left.sqrt(), &mut newton.solved) {
                newton.solved.status = InnerStatus::NotFinite;
                break;
            }
            let Some(found) = newton.search(radius, &at, &mut best) else {
                newton.stall(&at);
                break;
            };
            radius = found;
            std::mem::swap(&mut at, &mut best);
            newton.correct(radius, &mut at, self.corrections, self.stop.limits().1);
            newton.look(&at);
            newton.solved.steps += 1;
            if idle.after::<T>(&newton.solved) {
                newton.stall(&at);
                break;
            }
        }
        newton.solved
    }
}

/// A solve, under way.
struct Newton<'a, 's, 't, T> {
    isa: Isa,
    krylov: Krylov<'s, T>,
    /// The step that is tried.
    p: &'s mut [T],
    /// What of a gradient is not in the space.
    outside: &'s mut [T],
    flattest: Flattest<'s, T>,
    task: &'a mut InnerTask<'t, T>,
    solved: Solved,
}

/// A point, and what was seen there.
struct Point<'s, T> {
    phi: &'s mut Vec<T>,
    g: &'s mut Vec<T>,
    measured: Measured,
}

/// The point of the least ‖∇G‖ among those whose G is next to nothing above the least: on a kink ‖∇G‖ is another on
/// every side of it.
struct Flattest<'s, T> {
    phi: &'s mut Vec<T>,
    measured: Measured,
}

impl<T: Element> Newton<'_, '_, '_, T> {
    /// The best of some steps from `at` on one space, to `best`; the radius that led there, or `None` where no step
    /// lowers G.
    fn search(&mut self, radius: f64, at: &Point<'_, T>, best: &mut Point<'_, T>) -> Option<f64> {
        self.krylov.project(at.g, self.outside);
        let (mut fallen, mut found) = (0.0, None);
        let (mut trial, mut grew, mut shrank) = (radius, false, false);
        for _ in 0..TRIALS {
            let mu = self.krylov.damping(trial, 0.0, 0.0);
            let says = self.krylov.step(mu, self.p);
            let fell = self.try_step(at);
            let (length, ratio) = (self.isa.dot(self.p, self.p).sqrt(), fell / says);
            let better = fell > fallen;
            if better {
                // A step that nothing bounded says nothing against longer ones.
                let known = if radius.is_finite() { radius } else { 0.0 };
                (fallen, found) = (fell, Some(if mu > 0.0 { trial } else { length.max(known) }));
                self.take(best);
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

    /// More steps with the same T, from where its first has led.
    fn correct(&mut self, mut radius: f64, at: &mut Point<'_, T>, times: usize, tolerance: f64) {
        let shift = self.task.shift();
        for _ in 0..times {
            if at.measured.gradient_norm <= tolerance {
                break;
            }
            let outside = self.krylov.project(at.g, self.outside);
            let mu = self.krylov.damping(radius, outside, shift);
            self.krylov.step(mu, self.p);
            if outside > 0.0 {
                self.isa.add_scaled(T::from_f64(-1.0 / (shift + mu)), self.outside, self.p);
            }
            let slope = self.isa.dot(at.g, self.p);
            // A quadratic that is what it was falls by half of what its slope says.
            if self.try_step(at) >= -0.1 * slope {
                self.take(at);
            } else {
                radius = 0.25 * self.isa.dot(self.p, self.p).sqrt();
            }
        }
    }

    /// Looks at φ + p; by how much G falls, −∞ where anything is not finite. Where the difference is mostly rounding it is
    /// the integral of the slope, by the trapezoidal rule, which is right to second order.
    fn try_step(&mut self, at: &Point<'_, T>) -> f64 {
        self.task.run.state.copy_from_slice(at.phi);
        self.isa.add_scaled(T::one(), self.p, &mut self.task.run.state);
        self.solved.last = self.task.look();
        self.solved.evaluations += 1;
        let (last, noise) = (self.solved.last, self.solved.noise::<T>());
        let difference = at.measured.value - last.value;
        if !(difference.is_finite() && last.gradient_norm.is_finite()) {
            return f64::NEG_INFINITY;
        }
        self.flattest.see(at.measured.value, &self.task.run.state, &self.solved);
        if difference < -noise || difference > 1e3 * noise {
            difference
        } else {
            -0.5 * (self.isa.dot(at.g, self.p) + self.isa.dot(&self.task.run.next, self.p))
        }
    }

    /// The point looked at last, to `point`.
    fn take(&self, point: &mut Point<'_, T>) {
        point.phi.copy_from_slice(&self.task.run.state);
        point.g.copy_from_slice(&self.task.run.next);
        point.measured = self.solved.last;
    }

    /// Looks at a point again, unless it was the last one looked at.
    fn look(&mut self, at: &Point<'_, T>) {
        if self.task.run.state != *at.phi {
            self.task.run.state.copy_from_slice(at.phi);
            self.solved.last = self.task.look();
            self.solved.evaluations += 1;
        }
    }

    /// Ends, at the flattest point if that is flatter than this.
    fn stall(&mut self, at: &Point<'_, T>) {
        self.solved.status = InnerStatus::Stalled;
        self.look(at);
        if self.flattest.measured.gradient_norm < at.measured.gradient_norm {
            self.task.run.state.copy_from_slice(self.flattest.phi);
            self.solved.last = self.task.look();
            self.solved.evaluations += 1;
        }
    }
}

impl<T: Element> Flattest<'_, T> {
    /// Sees the point looked at last, a step from one where G is `above`.
    fn see(&mut self, above: f64, state: &[T], solved: &Solved) {
        let (last, little) = (solved.last, solved.little::<T>());
        let left_behind = self.measured.value - last.value.min(above) > little;
        if last.value - above <= little && (left_behind || last.gradient_norm < self.measured.gradient_norm) {
            self.phi.copy_from_slice(state);
            self.measured = last;
        }
    }
}
