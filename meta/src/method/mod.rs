//! Meta-gradients behind one signature.
//!
//! A [`Method`] is compiled once for a problem and shared by threads; each thread takes a [`Worker`] from it,
//! which holds its memory and takes the gradient of one task at a time.

mod first_order;
mod implicit;
mod reptile;
mod revolve;
mod unrolled;

use autodiff::{Arg, Element, Workspace};

pub use first_order::FirstOrder;
pub use implicit::Implicit;
pub use reptile::Reptile;
pub use revolve::Schedule;
pub use unrolled::{Keep, Unrolled};

use crate::inner::{Hyper, InnerPlan, Inputs, Measured};
use crate::linear::Status;

/// One way to take a meta-gradient.
pub trait Method<T>: Send + Sync {
    /// A worker whose larger steps up to `threads` threads share, of the `rayon` pool that it is called in: for fewer
    /// tasks than cores. The bits are the same for any number.
    fn shared_worker(&self, threads: usize) -> Box<dyn Worker<T> + '_>;

    /// A worker for one thread.
    fn worker(&self) -> Box<dyn Worker<T> + '_> {
        self.shared_worker(1)
    }

    /// Bytes of a worker for one thread: plans' workspaces, states, solver vectors.
    fn bytes(&self) -> usize;

    /// Multiply-adds × 2 of the matrix and convolution products of one task that took `report`, the algebraic
    /// minimum without recomputation.
    fn flops(&self, report: &Report) -> u64;
}

/// A thread's memory for a method, and the method itself.
pub trait Worker<T>: Send {
    /// gradient ← dF_i/dθ of the task in `data`; φ_K is left in `phi`.
    ///
    /// # Panics
    /// Where lengths differ from what the problem declares.
    fn gradient(&mut self, theta: &[T], hyper: Hyper, data: &[Arg<'_, T>], gradient: &mut [T]) -> Report;

    /// The adapted parameters of the last task.
    fn phi(&self) -> &[T];
}

/// What one task's meta-gradient took and showed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// f(φ_K, θ): the query loss after adaptation. Reptile measures it for this report only.
    pub query_loss: f64,
    /// G(θ, θ): the support loss before the first step.
    pub first_inner: f64,
    /// G(φ, θ) at the last point where it was evaluated.
    pub last_inner: f64,
    /// ‖∇G‖ there.
    pub inner_gradient: f64,
    /// Inner steps taken.
    pub steps: usize,
    /// Hessian-vector products done, recomputations not counted.
    pub products: usize,
    /// How the linear solve ended, where there was one.
    pub status: Option<Status>,
    /// ‖b − A x‖/‖b‖ of the linear solve.
    pub linear_residual: f64,
    /// Directions of negative curvature that the linear solver met.
    pub negative_curvature: usize,
}

/// How long the inner solver runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InnerStop {
    /// This many steps.
    Steps(usize),
    /// Until ‖∇_φG‖ ≤ `gradient`, at most `cap` steps.
    Gradient {
        /// The bound on ‖∇_φG‖.
        gradient: f64,
        /// The most steps.
        cap: usize,
    },
}

/// An inner run: a workspace, and the state as it moves.
pub(crate) struct Run<T> {
    pub workspace: Workspace<T>,
    pub state: Vec<T>,
    pub next: Vec<T>,
    hyper: [T; 2],
}

impl<T: Element> Run<T> {
    pub fn new(plan: &InnerPlan<T>, threads: usize) -> Self {
        let zeros = || vec![T::zero(); plan.state_len()];
        Run { workspace: plan.plan().shared_workspace(threads), state: zeros(), next: zeros(), hyper: [T::zero(); 2] }
    }

    /// Bytes of a run of this plan.
    pub fn bytes(plan: &InnerPlan<T>) -> usize {
        plan.plan().bytes() + 2 * plan.state_len() * size_of::<T>()
    }

    /// state ← θ, other parts of the state 0.
    pub fn start(&mut self, plan: &InnerPlan<T>, theta: &[T], hyper: Hyper, data: &[Arg<'_, T>]) {
        self.hyper = [T::from_f64(hyper.lambda), T::from_f64(hyper.rate)];
        self.state.fill(T::zero());
        self.state[..plan.dim()].copy_from_slice(theta);
        plan.start(&mut self.workspace, &Inputs { theta, hyper: &self.hyper, data });
    }

    /// What plans are run with. Borrows the hyperparameters by value, so that the run stays usable.
    pub fn hyper(&self) -> [T; 2] {
        self.hyper
    }

    /// Measures at the state and writes S(state) to `next`, without moving.
    pub fn look(&mut self, plan: &InnerPlan<T>, theta: &[T], data: &[Arg<'_, T>]) -> Measured {
        let hyper = self.hyper;
        plan.step(&mut self.workspace, &Inputs { theta, hyper: &hyper, data }, &self.state, &mut self.next)
    }

    /// state ← S(state)
    pub fn advance(&mut self, plan: &InnerPlan<T>, theta: &[T], data: &[Arg<'_, T>]) -> Measured {
        let measured = self.look(plan, theta, data);
        std::mem::swap(&mut self.state, &mut self.next);
        measured
    }

    /// Runs a number of steps; the report of the first and the last evaluation.
    pub fn steps(&mut self, plan: &InnerPlan<T>, theta: &[T], data: &[Arg<'_, T>], count: usize) -> Report {
        let mut report = Report::default();
        for _ in 0..count {
            let measured = self.advance(plan, theta, data);
            report.saw(measured);
        }
        report
    }
}

impl Report {
    /// Enters one step from a point with these measurements.
    pub(crate) fn saw(&mut self, measured: Measured) {
        if self.steps == 0 {
            self.first_inner = measured.value;
        }
        self.last_inner = measured.value;
        self.inner_gradient = measured.gradient_norm;
        self.steps += 1;
    }
}
