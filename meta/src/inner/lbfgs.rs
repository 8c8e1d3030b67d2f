//! Limited-memory BFGS (Nocedal 1980; Liu & Nocedal 1989; Nocedal & Wright, algorithm 7.5).

use autodiff::Element;

use super::line_search::Ray;
use super::solved::Idle;
use super::{GradientOnly, InnerSolver, InnerStatus, InnerStop, InnerTask, Solved, Step};
use crate::linear::{Room, SolverSpace};

/// φ′ = φ − t B⁻¹∇G(φ), B from the last pairs of differences of φ and ∇G, t from a line search.
///
/// It costs some more than one gradient a step and no Hessian-vector product. It decides as it goes, so that it serves
/// implicit methods only; the step size of [`Hyper`](super::Hyper) is not used. Differs from the paper in: 1. the line
/// search is for weak Wolfe conditions by bisection (Lewis & Overton 2013), which ends on kinks too; 2. where it finds
/// nothing, the pairs are forgotten and the gradient is tried, before the solve ends as stalled.
///
/// ```
/// use autodiff::Arg;
/// use meta::inner::{Hyper, InnerStatus, InnerStop, Lbfgs};
/// use meta::{Method, linear::Cg, method::Implicit};
///
/// let problem = meta::FewShot::new("mlp:1-8-1,act=tanh".parse()?, 2, 2, true);
/// let stop = InnerStop::Gradient { gradient: 1e-10, cap: 200 };
/// let cg = Box::new(Cg::tolerance(1e-10, 100));
/// let method = Implicit::<f64>::with_solver(&problem, Box::new(Lbfgs::new(stop)), cg);
/// let theta = vec![0.1; problem.model().layout().len()];
/// let task = [&[0.0, 1.0][..], &[0.0, 1.0], &[0.2, 0.5], &[0.0, 0.4]].map(Arg::Floats);
/// let mut gradient = theta.clone();
/// let report = method.worker().gradient(&theta, Hyper { lambda: 0.5, rate: 0.0 }, &task, &mut gradient);
/// assert_eq!(report.inner_status, Some(InnerStatus::Converged));
/// # Ok::<(), nn::SpecError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lbfgs {
    stop: InnerStop,
    memory: usize,
}

impl Lbfgs {
    /// With ten pairs.
    pub fn new(stop: InnerStop) -> Self {
        Lbfgs { stop, memory: 10 }
    }

    /// With this many pairs.
    ///
    /// # Panics
    /// Where that is 0.
    #[track_caller]
    pub fn with_memory(self, memory: usize) -> Self {
        assert!(memory > 0, "a memory of no pairs");
        Lbfgs { memory, ..self }
    }
}

impl<T: Element> InnerSolver<T> for Lbfgs {
    fn step(&self) -> &dyn Step {
        &GradientOnly
    }

    fn room(&self) -> Room {
        Room { vectors: 2, scalars: 0 }
    }

    fn pairs(&self) -> usize {
        self.memory
    }

    fn multiplies(&self) -> bool {
        false
    }

    fn solve(&self, task: &mut InnerTask<'_, T>, space: &mut SolverSpace<T>) -> Solved {
        let isa = task.plan.plan().isa();
        let parts = space.parts();
        let ([base, g, ..], p, y) = (parts.vectors, parts.x, parts.r) else { unreachable!("the room asked for") };
        let pairs = task.pairs.take().expect("an L-BFGS solve has the pairs it asked for");
        pairs.clear();
        let mut solved = Solved::started(task.look());
        let mut idle = Idle::at(solved.last, 20, 2);
        while !solved.ended(self.stop) {
            base.copy_from_slice(&task.run.state);
            g.copy_from_slice(&task.run.next);
            p.copy_from_slice(g);
            pairs.apply_inverse(p);
            isa.scale(T::lit(-1.0), p);
            let mut slope = isa.dot(g, p);
            if pairs.is_empty() || slope >= 0.0 || slope.is_nan() {
                pairs.clear();
                p.copy_from_slice(g);
                // Of length 1 at most: nothing is known of the scale of φ.
                isa.scale(T::from_f64(-1.0 / solved.last.gradient_norm.max(1.0)), p);
                slope = isa.dot(g, p);
            }
            let ray = Ray { isa, base, along: p, from: solved.last, slope };
            let Some(t) = ray.search(task, &mut solved) else {
                if pairs.is_empty() {
                    solved.status = InnerStatus::Stalled;
                    break;
                }
                pairs.clear();
                continue;
            };
            y.copy_from_slice(&task.run.next);
            isa.add_scaled(T::lit(-1.0), g, y);
            isa.scale(T::from_f64(t), p);
            pairs.push(p, y);
            solved.steps += 1;
            if idle.after::<T>(&solved) {
                solved.status = InnerStatus::Stalled;
                break;
            }
        }
        task.pairs = Some(pairs);
        solved
    }
}
