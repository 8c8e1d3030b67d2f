//! Newton's method by products with the Hessian alone (Martens 2010), on Krylov spaces that are kept.

use autodiff::Element;

use super::bundle::{self, Bundle};
use super::krylov::Krylov;
use super::min_norm;
use super::newton::{Flattest, Newton, Point};
use super::solved::Idle;
use super::{GradientOnly, InnerSolver, InnerStatus, InnerStop, InnerTask, Solved, Step};
use crate::linear::{Room, SolverSpace};

/// What is kept beside a Krylov space: the point, its gradient, those of the best trial, and the flattest point.
const OWN: usize = 5;
/// Iterations one after the other in which ∇G jumps: then φ is at a kink.
const JUMPS: usize = 2;
/// Iterations between two questions whether they still lead anywhere.
pub(super) const PATIENCE: usize = 5;

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
/// **Kinks.** Where ∇G jumps in two iterations running, or where a solve has stalled and it jumps, as ReLU networks have it,
/// the model describes one side of a kink. From there on φ follows the kinks down:
///
/// ```text
/// φ′ = φ − Mv      M = Q(|T| + μI)⁻¹Qᵀ + (I − QQᵀ)/(σ + μ)      v = argmin vᵀMv, v a convex combination of ∇G(φᵢ)
/// ```
///
/// for points φᵢ looked at within R of φ, up to 50. Where G does not fall by a tenth of vᵀMv, the gradient at φ′ joins them
/// and v becomes shorter (a null step: Lemaréchal 1975; Kiwiel 1985; M is Newton's metric, of the space of H and v). An
/// iteration is 30 such trials. R starts at ‖φ − φ₀‖, or the first Newton step's length if that is more, and is halved
/// where the shortest combination is a tenth of ∇G(φ) (Burke, Lewis & Overton 2005), down to ‖φ − φ₀‖/1000.
/// [`Solved::kink`] reports the shortest in the end. It ends as [`InnerStatus::Kink`], at the cap at the latest. A smooth
/// G knows nothing of this.
///
/// Differs from the papers in: 1. no minibatches; 2. the damping bounds the length of a step, as trust regions do;
/// 3. a decrease of G below rounding is judged by the slopes at both ends; 4. on kinks no linearisation errors: gradients
/// from within R count alike (Goldstein 1977).
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
    bundle: usize,
}

impl HessianFree {
    /// The stop is for Newton iterations, each of at most 100 products and 8 corrections; on kinks with 50 gradients.
    pub fn new(stop: InnerStop) -> Self {
        HessianFree { stop, products: 100, corrections: 8, bundle: 50 }
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

    /// On kinks with at most this many gradients of points nearby; 0 to end there. They lie where half of the Krylov space
    /// was, so that as many as half the products take no more memory.
    ///
    /// # Panics
    /// Where that is 1, 2, or above 64.
    #[track_caller]
    pub fn with_bundle(self, gradients: usize) -> Self {
        let kept = bundle::LEAST..=min_norm::MOST;
        assert!(gradients == 0 || kept.contains(&gradients), "a bundle of {gradients} gradients: 0, or {kept:?}");
        HessianFree { bundle: gradients, ..self }
    }

    /// Dimensions of Krylov spaces on kinks.
    fn half(&self) -> usize {
        self.products.div_ceil(2)
    }
}

impl<T: Element> InnerSolver<T> for HessianFree {
    fn step(&self) -> &dyn Step {
        &GradientOnly
    }

    fn room(&self) -> Room {
        let (whole, half) = (Krylov::<T>::room(self.products), Krylov::<T>::room(self.half()));
        let bundle = Bundle::<T>::room(self.bundle, self.half());
        let vectors = OWN + whole.vectors.max(half.vectors + bundle.vectors);
        Room { vectors, scalars: whole.scalars + bundle.scalars }
    }

    fn solve(&self, task: &mut InnerTask<'_, T>, space: &mut SolverSpace<T>) -> Solved {
        let isa = task.plan.plan().isa();
        let parts = space.parts();
        let (own, basis) = parts.vectors.split_at_mut(OWN);
        let (scalars, for_bundle) = parts.scalars.split_at_mut(Krylov::<T>::room(self.products).scalars);
        let [phi, g, best_phi, best_g, flattest] = own else { unreachable!("the room asked for") };
        let solved = Solved::started(task.look());
        flattest.copy_from_slice(&task.run.state);
        let mut at = Point { phi, g, measured: solved.last };
        let mut best = Point { phi: best_phi, g: best_g, measured: solved.last };
        let mut idle = Idle::at(solved.last, PATIENCE, 1);
        let mut newton = Newton {
            isa,
            krylov: Krylov::new(isa, self.products, basis, scalars),
            p: parts.x,
            outside: parts.r,
            flattest: Flattest { phi: flattest, measured: solved.last },
            jumps: false,
            whole: 0.0,
            task,
            solved,
        };
        let (mut radius, mut jumps) = (f64::INFINITY, 0);
        while !newton.solved.ended(self.stop) {
            newton.take(&mut at);
            let left = (at.measured.gradient_norm / newton.solved.first.gradient_norm).min(0.25);
            if !newton.krylov.build(newton.task, at.g, 0.1 * left.sqrt(), &mut newton.solved) {
                newton.solved.status = InnerStatus::NotFinite;
                break;
            }
            let found = newton.search(radius, &at, &mut best);
            if let Some(found) = found {
                radius = found;
                std::mem::swap(&mut at, &mut best);
                newton.correct(radius, &mut at, self.corrections, self.stop.limits().1);
                newton.look(&at);
                newton.solved.steps += 1;
            }
            jumps = if newton.jumps { jumps + 1 } else { 0 };
            let stalled = found.is_none() || idle.after::<T>(&newton.solved);
            if stalled && !newton.jumps {
                newton.solved.status = InnerStatus::Stalled;
                newton.settle(&at, f64::INFINITY);
                break;
            } else if stalled || jumps == JUMPS && !newton.solved.ended(self.stop) {
                newton.follow(&mut at, best.g, (self.bundle, self.half()), for_bundle, self.stop);
                break;
            }
        }
        newton.solved
    }
}
