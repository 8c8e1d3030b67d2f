//! Meta-gradients behind one signature.
//!
//! A [`Method`] is compiled once for a problem and shared by threads; each thread takes a [`Worker`] from it,
//! which holds its memory and takes the gradient of one task at a time; of small tasks, where the method can,
//! [`Abreast`] takes as many at a time as vectors have lanes.
//!
//! | method | dF/dθ | keeps | costs beside K steps |
//! |---|---|---|---|
//! | [`Unrolled`] | through K steps, exact; through the last m, truncated | by [`Keep`], or a byte budget | K products |
//! | [`Implicit`] | at the solution, exact there | one point | a linear solve |
//! | [`FiniteDifference`] | through K steps, to the square of a radius | every state | 3 K gradients |
//! | [`EvolutionStrategies`] | an estimate, relative error √((d + 1)/n) | nothing | 2 n adaptations |
//! | [`FirstOrder`] | second derivatives left out | nothing | nothing |
//! | [`Reptile`] | another direction: θ − φ_K | nothing | nothing |
//! | [`ForwardMode`] | dF/dh for a few hyperparameters h, through K steps, exact | a tangent for each h | K products for each h |
//!
//! [`Survey`] and [`decide`] choose between the exact ways and their truncation for a problem.

mod abreast;
mod auto;
mod budget;
mod evolution;
mod finite_difference;
mod first_order;
mod forward;
mod implicit;
mod plans;
mod reptile;
mod revolve;
mod segments;
mod unrolled;

use autodiff::{Arg, Element};

pub use abreast::Abreast;
pub use auto::{Choice, Decision, Situation, Survey, decide};
pub use budget::{OverBudget, UnrollSizes};
pub use evolution::EvolutionStrategies;
pub use finite_difference::FiniteDifference;
pub use first_order::FirstOrder;
pub use forward::{ForwardMode, Hyperparameter};
pub use implicit::Implicit;
pub use reptile::Reptile;
pub use revolve::Schedule;
pub use unrolled::{Keep, Unrolled};

use crate::error::ErrorEstimate;
pub use crate::inner::InnerStop;
use crate::inner::{Hyper, InnerPlan, InnerStatus, Measured, Run, Stationarity};
use crate::linear::Status;

/// One way to take a meta-gradient.
pub trait Method<T>: Send + Sync {
    /// A worker whose larger steps up to `threads` threads share, of the `rayon` pool that it is called in: for fewer
    /// tasks than cores. The bits are the same for any number. The other threads stand by, and do nothing else, while a plan
    /// with such steps runs.
    fn shared_worker(&self, threads: usize) -> Box<dyn Worker<T> + '_>;

    /// A worker for one thread.
    fn worker(&self) -> Box<dyn Worker<T> + '_> {
        self.shared_worker(1)
    }

    /// What its workers want [`Worker::start_from`] to be called with, if they make use of it.
    fn warm_start(&self) -> Option<WarmStart> {
        None
    }

    /// A worker that takes several tasks at a time, one in every lane of vectors, where the method can and where it pays:
    /// of small networks. Each task's gradient has the bits that a worker gives it alone. Its memory is about that of a
    /// worker for each lane, and beside what [`bytes`](Method::bytes) says.
    fn abreast(&self) -> Option<Abreast<'_, T>> {
        None
    }

    /// Bytes of a worker for one thread: plans' workspaces, states, solver vectors.
    fn bytes(&self) -> usize;

    /// Multiply-adds × 2 of the matrix and convolution products of one task that took `report`, the algebraic
    /// minimum without recomputation.
    fn flops(&self, report: &Report) -> u64;
}

/// Where linear solves start, if not from 0. Both are functions of the run and of task numbers alone.
///
/// A start takes a product, and tasks' gradients have little in common: of rough solves of the convolutional network it
/// saves a tenth, elsewhere nothing. Products a task of CG to a relative residual ε (MINRES where the operator is
/// indefinite), over 400 meta-batches of 16 tasks of mlp:1-40-40-1 on sinusoids, λ = 2, and 60 of conv4 with 16 channels on
/// Omniglot, 5-way 1-shot, λ = 20:
///
/// | | from 0 | previous | neighbour |
/// |---|---|---|---|
/// | sinusoid, ε = 0.1 | 13.1 | 13.7 | 13.4 |
/// | sinusoid, ε = 0.001 | 45.5 | 53.2 | 47.1 |
/// | Omniglot, ε = 0.1 | 21.0 | 19.4 | 18.7 |
/// | Omniglot, ε = 0.001 | 54.2 | 57.3 | 60.1 |
///
/// `OMNIGLOT_DIR=DIR cargo test -p integration implicit_solves -- --ignored --nocapture`, the mean of its two
/// numbers a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WarmStart {
    /// From the last outer iteration's mean meta-gradient.
    Previous,
    /// The tasks of a meta-batch go in pairs, 2i and 2i + 1: the second from the first's meta-gradient.
    Neighbour,
}

/// A thread's memory for a method, and the method itself.
pub trait Worker<T>: Send {
    /// gradient ← dF_i/dθ of the task in `data`; φ_K is left in `phi`.
    ///
    /// # Panics
    /// Where lengths differ from what the problem declares.
    fn gradient(&mut self, theta: &[T], hyper: Hyper, data: &[Arg<'_, T>], gradient: &mut [T]) -> Report;

    /// Linear solves start from multiples of this from now on: an earlier meta-gradient, such as the last outer
    /// iteration's mean. For x of a scalar λ, dF/dθ = λx. Who calls it answers for results that do not depend on which
    /// worker takes which task.
    fn start_from(&mut self, _gradient: &[T]) {}

    /// Linear solves start from 0 from now on.
    fn start_from_zero(&mut self) {}

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
    /// ‖∇G‖ before the first step.
    pub first_gradient: f64,
    /// Inner steps taken.
    pub steps: usize,
    /// Evaluations of G and its gradient, where there are more than steps.
    pub evaluations: usize,
    /// How the inner solve ended, where it decides.
    pub inner_status: Option<InnerStatus>,
    /// How stationary G is where that was at a kink.
    pub inner_kink: Option<Stationarity>,
    /// Hessian-vector products of the inner solver.
    pub inner_products: usize,
    /// Hessian-vector products done beside those, recomputations not counted.
    pub products: usize,
    /// How the linear solve ended, where there was one.
    pub status: Option<Status>,
    /// ‖b − A x‖/‖b‖ of the linear solve.
    pub linear_residual: f64,
    /// Directions of negative curvature that the linear solver met.
    pub negative_curvature: usize,
    /// Whether the policy for indefinite operators changed what was computed.
    pub policy_acted: bool,
    /// What it added to the operator's diagonal.
    pub shift: f64,
    /// How far the gradient is from the exact one, where the method estimates it.
    pub estimate: Option<ErrorEstimate>,
}

/// Runs a number of steps from step `first` on; the report of the first and the last evaluation.
pub(crate) fn take_steps<T: Element>(
    run: &mut Run<T>,
    plan: &InnerPlan<T>,
    theta: &[T],
    data: &[Arg<'_, T>],
    steps: std::ops::Range<usize>,
) -> Report {
    let mut report = [Report::default()];
    take_steps_in_lanes(run, plan, theta, data, steps, &mut report);
    report[0]
}

/// The same of several tasks at a time, with a report of each.
fn take_steps_in_lanes<T: Element>(
    run: &mut Run<T>,
    plan: &InnerPlan<T>,
    theta: &[T],
    data: &[Arg<'_, T>],
    steps: std::ops::Range<usize>,
    reports: &mut [Report],
) {
    let (first, last) = (steps.start, steps.end);
    for k in steps {
        let wanted = if k == first || k + 1 == last { Wanted::Measures } else { Wanted::Step };
        see_step(run, plan, theta, data, (k, wanted), reports);
        run.accept();
    }
    if first == last {
        see_start(run, plan, theta, data, reports);
    }
}

/// Enters what is measured where no step is taken from.
fn see_start<T: Element>(
    run: &mut Run<T>,
    plan: &InnerPlan<T>,
    theta: &[T],
    data: &[Arg<'_, T>],
    reports: &mut [Report],
) {
    run.at_step(plan, 0);
    run.look(plan, theta, data);
    saw(reports, run);
    reports.iter_mut().for_each(|report| report.steps = 0);
}

/// What is wanted of a point beside the step from it.
#[derive(Clone, Copy)]
enum Wanted {
    /// What is measured there, and derivatives.
    Measures,
    /// Derivatives.
    Derivatives,
    /// Nothing.
    Step,
}

/// next ← S(state), as step k.
fn see_step<T: Element>(
    run: &mut Run<T>,
    plan: &InnerPlan<T>,
    theta: &[T],
    data: &[Arg<'_, T>],
    (k, wanted): (usize, Wanted),
    reports: &mut [Report],
) {
    run.at_step(plan, k);
    match wanted {
        Wanted::Measures => {
            run.look(plan, theta, data);
            return saw(reports, run);
        }
        Wanted::Derivatives => run.glance(plan, theta, data),
        Wanted::Step => run.pass(plan, theta, data),
    }
    reports.iter_mut().for_each(|report| report.steps += 1);
}

/// Enters the evaluation that a run has just made of each task.
fn saw<T>(reports: &mut [Report], run: &Run<T>) {
    reports.iter_mut().zip(&run.measured).for_each(|(report, &measured)| report.saw(measured));
}

impl Report {
    /// Whether a loss or a solver says that something was not finite, whatever the gradient came out as.
    pub fn is_troubled(&self) -> bool {
        !self.query_loss.is_finite()
            || self.status == Some(Status::NotFinite)
            || self.inner_status == Some(InnerStatus::NotFinite)
    }

    /// Enters one step from a point with these measurements.
    pub(crate) fn saw(&mut self, measured: Measured) {
        if self.steps == 0 {
            self.first_inner = measured.value;
            self.first_gradient = measured.gradient_norm;
        }
        self.last_inner = measured.value;
        self.inner_gradient = measured.gradient_norm;
        self.steps += 1;
    }
}
