//! The compiled inner level, and what is known of it.

use autodiff::{Block, Element, Plan, Stage};

use super::StepInputs;
use super::step::Varying;
#[cfg(doc)]
use crate::problem::Problem;
use crate::problem::{DataSpec, Start};

/// The compiled inner level: of one task, or of several at a time, one in every lane.
///
/// In lanes every vector holds for each coordinate in turn those of all tasks: φ is [|φ|, lanes], θ repeated as
/// [|θ|, lanes], data [shape, lanes] (indices [lanes, shape]), and whatever is said of a vector is said of the whole.
/// Each task has the bits that it has alone.
pub struct InnerPlan<T> {
    pub(super) plan: Plan<T>,
    pub(super) lanes: usize,
    pub(super) dim: usize,
    pub(super) theta_dim: usize,
    pub(super) start: Start,
    /// [`Problem::adapts`], where not all do.
    pub(super) unknowns: Option<Vec<bool>>,
    pub(super) varying: Varying,
    pub(super) state_len: usize,
    /// Whether the derivative has a part in θ.
    pub(super) in_theta: bool,
    pub(super) data: Vec<DataSpec>,
    /// Inputs behind those of the data that nothing reads.
    pub(super) unread: usize,
}

impl<T: Element> InnerPlan<T> {
    /// The compiled plan.
    pub fn plan(&self) -> &Plan<T> {
        &self.plan
    }

    /// Tasks at a time.
    pub fn lanes(&self) -> usize {
        self.lanes
    }

    /// What a task's data are.
    pub fn data(&self) -> &[DataSpec] {
        &self.data
    }

    /// |φ|
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// |θ|
    pub fn theta_dim(&self) -> usize {
        self.theta_dim
    }

    /// [Unknowns](crate::linear::LinearOperator::unknowns) of φ, where not all are.
    pub fn unknowns(&self) -> Option<&[bool]> {
        self.unknowns.as_deref()
    }

    /// Whether φ₀ is a part of θ.
    pub fn starts_at_theta(&self) -> bool {
        self.start == Start::Theta
    }

    /// Whether it reads θ beside the state.
    pub(crate) fn reads_theta(&self) -> bool {
        self.plan.reads(0)
    }

    /// state ← (φ₀, 0), from θ of one task.
    pub fn first_state(&self, theta: &[T], state: &mut [T]) {
        assert_eq!(theta.len() * self.lanes, self.theta_dim, "θ of one task");
        let (phi, rest) = state.split_at_mut(self.dim);
        rest.fill(T::zero());
        match &self.start {
            Start::Theta => self.plan.isa().spread(self.lanes, &theta[..self.dim / self.lanes], phi),
            Start::Fixed(start) => {
                let coordinates = phi.chunks_exact_mut(self.lanes).zip(start);
                coordinates.for_each(|(lanes, &p)| lanes.fill(T::from_f64(p)));
            }
        }
    }

    /// What [`start_cotangent`](InnerPlan::start_cotangent) makes of w: in `gradient`, or w itself where that is all of it.
    pub(crate) fn start_cotangent_of<'g>(&self, w: &'g [T], gradient: &'g mut [T], holds: bool) -> &'g [T] {
        if self.starts_at_theta() && self.dim == self.theta_dim && !holds {
            return &w[..self.dim];
        }
        self.start_cotangent(w, gradient, holds);
        gradient
    }

    /// gradient ← (∂φ₀/∂θ)ᵀ w, or += where it `holds` something.
    pub fn start_cotangent(&self, w: &[T], gradient: &mut [T], holds: bool) {
        if holds {
            return self.add_scaled_start_cotangent(1.0, w, gradient);
        }
        let (of_start, rest) = gradient.split_at_mut(if self.starts_at_theta() { self.dim } else { 0 });
        of_start.copy_from_slice(&w[..of_start.len()]);
        rest.fill(T::zero());
    }

    /// gradient += a (∂φ₀/∂θ)ᵀ w
    pub(crate) fn add_scaled_start_cotangent(&self, a: f64, w: &[T], gradient: &mut [T]) {
        if self.starts_at_theta() {
            self.plan.isa().add_scaled(T::from_f64(a), &w[..self.dim], &mut gradient[..self.dim]);
        }
    }

    /// Whether steps see minibatches, each its own.
    pub fn has_minibatches(&self) -> bool {
        self.varying.minibatch.is_some()
    }

    /// Room for what varies from step to step.
    pub fn step_inputs(&self) -> StepInputs<T> {
        StepInputs::new(&self.varying)
    }

    /// Bytes of that.
    pub(super) fn step_bytes(&self) -> usize {
        StepInputs::<T>::bytes(&self.varying)
    }

    /// Sets it to step k.
    pub fn set_step(&self, inputs: &mut StepInputs<T>, k: usize) {
        inputs.set(&self.varying, k);
    }

    /// Numbers in the optimiser's state.
    pub fn state_len(&self) -> usize {
        self.state_len
    }

    /// Whether the derivative has a part in θ.
    pub fn in_theta(&self) -> bool {
        self.in_theta
    }

    /// A block to keep a point in.
    pub fn block(&self) -> Block<T> {
        self.plan.block(Stage::POINT)
    }
}
