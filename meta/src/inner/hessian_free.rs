//! Newton's method by products with the Hessian alone (Martens 2010; Nocedal & Wright, algorithm 7.1).

use autodiff::{Element, Isa};

use super::line_search::Ray;
use super::solver::Idle;
use super::{GradientOnly, InnerSolver, InnerStatus, InnerStop, InnerTask, Lbfgs, Solved, Step};
use crate::linear::{Room, SolverSpace};

/// The least damping that is not none.
const LEAST_DAMPING: f64 = 0.1;

/// φ′ = φ + t p, (H + μI) p ≈ −∇G(φ) by conjugate gradients, t by backtracking.
///
/// ```text
/// ‖(H + μI) p + ∇G‖ ≤ η ‖∇G‖        η = ½ √(‖∇G‖/‖∇G₀‖): superlinear at the end, few products before
/// μ ← 4μ, μ/4 as G fell by less than ¼, more than ¾ of what the quadratic model says, from and to 0
/// ```
///
/// H is what the plan multiplies by: the Hessian, or Gauss-Newton where the plan is made for that. Where a direction
/// d of the conjugate gradients has dᵀ(H + μI)d ≤ 0, they end with the iterate so far, or with d = −∇G where there is
/// none yet: a direction in which G falls, either way. It decides as it goes, so that it serves implicit methods only;
/// the step size of [`Hyper`](super::Hyper) is not used.
///
/// Differs from the papers in: 1. no preconditioner and no minibatches; 2. a decrease below rounding is judged by the
/// slope (`line_search.rs`); 3. [warming up](HessianFree::warmed_up).
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
    warm_up: Option<Lbfgs>,
}

impl HessianFree {
    /// The stop is for Newton iterations, each of at most 250 products.
    pub fn new(stop: InnerStop) -> Self {
        HessianFree { stop, products: 250, warm_up: None }
    }

    /// With at most this many products in an iteration.
    ///
    /// # Panics
    /// Where that is 0.
    #[track_caller]
    pub fn with_products(self, products: usize) -> Self {
        assert!(products > 0, "an iteration of no products");
        HessianFree { products, ..self }
    }

    /// After at most `steps` of [`Lbfgs`], which end sooner where ‖∇G‖ is at the stop's bound: far from the minimiser a
    /// quadratic model is good for short steps only, and these cost a gradient each. They are counted as steps.
    pub fn warmed_up(self, steps: usize) -> Self {
        let gradient = self.stop.limits().1;
        let warm_up = (steps > 0).then(|| Lbfgs::new(InnerStop::Gradient { gradient, cap: steps }));
        HessianFree { warm_up, ..self }
    }
}

impl<T: Element> InnerSolver<T> for HessianFree {
    fn step(&self) -> &dyn Step {
        &GradientOnly
    }

    fn room(&self) -> Room {
        Room { vectors: 4, scalars: 0 }
    }

    fn pairs(&self) -> usize {
        self.warm_up.map_or(0, |warm_up| InnerSolver::<T>::pairs(&warm_up))
    }

    fn solve(&self, task: &mut InnerTask<'_, T>, space: &mut SolverSpace<T>) -> Solved {
        let mut solved = match self.warm_up {
            Some(warm_up) => warm_up.solve(task, space),
            None => Solved::started(task.look()),
        };
        if matches!(solved.status, InnerStatus::Converged | InnerStatus::NotFinite) {
            return solved;
        }
        let isa = task.plan.plan().isa();
        let parts = space.parts();
        let [base, g, d, hd] = parts.vectors else { unreachable!("the room asked for") };
        let (p, r) = (parts.x, parts.r);
        let warm = std::mem::take(&mut solved.steps);
        let (mut damping, mut idle) = (0.0, Idle::at(solved.last));
        while !solved.ended(self.stop) {
            base.copy_from_slice(&task.run.state);
            g.copy_from_slice(&task.run.next);
            let left = (solved.last.gradient_norm / solved.first.gradient_norm).min(1.0);
            let cg = Truncated { isa, damping, relative: 0.5 * left.sqrt(), cap: self.products };
            cg.solve(task, g, [p, r, d, hd], &mut solved);
            let slope = isa.dot(g, p);
            // r = −∇G − (H + μI)p
            let curvature = -slope - isa.dot(r, p) - damping * isa.dot(p, p);
            let ray = Ray { isa, base, along: p, from: solved.last, slope };
            let Some(taken) = ray.search(task, 1.0, false, &mut solved) else {
                // Nearer to the gradient there may be a way down; where μ outweighs H there is none.
                if damping > 1e6 * LEAST_DAMPING {
                    solved.status = InnerStatus::Stalled;
                    break;
                }
                damping = (100.0 * damping).max(LEAST_DAMPING);
                continue;
            };
            let t = taken.t;
            let fell = ray.fell(taken, &solved) / -(t * slope + 0.5 * t * t * curvature);
            if fell < 0.25 || t < 0.3 {
                damping = (4.0 * damping).max(LEAST_DAMPING);
            } else if fell > 0.75 {
                damping = if damping < LEAST_DAMPING { 0.0 } else { damping / 4.0 };
            }
            solved.steps += 1;
            if idle.after::<T>(&solved) {
                solved.status = InnerStatus::Stalled;
                break;
            }
        }
        solved.steps += warm;
        solved
    }
}

/// Conjugate gradients that end at negative curvature with a direction of descent (Steihaug 1983, without a radius).
struct Truncated {
    isa: Isa,
    damping: f64,
    relative: f64,
    cap: usize,
}

impl Truncated {
    /// p ≈ −(H + μI)⁻¹ g, r ← −g − (H + μI)p.
    fn solve<T: Element>(&self, task: &mut InnerTask<'_, T>, g: &[T], work: [&mut [T]; 4], solved: &mut Solved) {
        let (isa, [p, r, d, hd]) = (self.isa, work);
        p.fill(T::zero());
        r.copy_from_slice(g);
        isa.scale(T::lit(-1.0), r);
        d.copy_from_slice(r);
        let mut rr = isa.dot(r, r);
        let target = self.relative * rr.sqrt();
        for iteration in 0..self.cap {
            if rr.sqrt() <= target {
                break;
            }
            task.product(d, hd);
            solved.products += 1;
            isa.add_scaled(T::from_f64(self.damping), d, hd);
            let (curvature, dd) = (isa.dot(d, hd), isa.dot(d, d));
            // At rounding, too.
            if curvature <= T::EPSILON * (dd * isa.dot(hd, hd)).sqrt() || curvature.is_nan() {
                if iteration == 0 {
                    p.copy_from_slice(d);
                    isa.add_scaled(T::lit(-1.0), hd, r);
                }
                break;
            }
            let alpha = rr / curvature;
            isa.add_scaled(T::from_f64(alpha), d, p);
            isa.add_scaled(T::from_f64(-alpha), hd, r);
            let next = isa.dot(r, r);
            isa.combine(T::one(), r, T::from_f64(next / rr), d);
            rr = next;
        }
    }
}
