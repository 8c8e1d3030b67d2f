//! Tolerances that follow from the tasks' own spread, measured as training goes.

use std::sync::Arc;

use super::{BatchReport, EpisodeTasks, MetaBatch};
use crate::error::{EVERY, Tolerance, ToleranceState};
use crate::inner::Hyper;
use crate::method::Method;

/// Sets a [`Tolerance`] before every meta-batch; see [`ToleranceState`] for what to.
pub struct Auto<'a> {
    tolerance: Arc<Tolerance>,
    probe: MetaBatch<'a, f32>,
    gradient: Vec<f32>,
    /// Where it stands: what a checkpoint keeps.
    pub state: ToleranceState,
    /// The last estimate of a task's error; 0 before the first.
    pub error: f64,
}

impl<'a> Auto<'a> {
    /// `probe` is the method that is trained with, reading the same tolerance, and
    /// [estimating](crate::method::Implicit::estimating) its error.
    pub fn new(
        tolerance: Arc<Tolerance>,
        probe: &'a dyn Method<f32>,
        pool: &'a rayon::ThreadPool,
        theta_dim: usize,
    ) -> Self {
        let probe = MetaBatch::new(probe, pool, theta_dim, 1);
        Auto { tolerance, probe, gradient: vec![0.0; theta_dim], state: ToleranceState::default(), error: 0.0 }
    }

    /// What continuing needs, to the bit.
    pub fn to_bits(&self) -> [u64; 4] {
        let ToleranceState { sampling, amplification, sensitivity } = self.state;
        [sampling, amplification, sensitivity, self.error].map(f64::to_bits)
    }

    /// Puts back what [`to_bits`](Auto::to_bits) gave.
    pub fn restore(&mut self, bits: [u64; 4]) {
        let [sampling, amplification, sensitivity, error] = bits.map(f64::from_bits);
        self.state = ToleranceState { sampling, amplification, sensitivity };
        self.error = error;
    }

    /// Before a meta-batch.
    pub(super) fn set(&self) {
        let (inner, linear) = self.state.targets();
        self.tolerance.set(inner, linear);
    }

    /// After meta-batch number `iteration`, at the same θ; adds to the report what measuring took.
    pub(super) fn saw(
        &mut self,
        iteration: u64,
        source: &EpisodeTasks<'_>,
        theta: &[f32],
        hyper: Hyper,
        report: &mut BatchReport,
    ) {
        if iteration.is_multiple_of(EVERY) {
            let measured = self.probe.gradient(source, 1, theta, hyper, &mut self.gradient);
            report.products += measured.products;
            report.evaluations += measured.evaluations;
            if let Some(estimate) = self.probe.report(0).estimate.filter(|_| measured.kept == 1) {
                self.state.saw_estimate(&estimate);
                self.error = estimate.error;
            }
        }
        self.state.saw_batch(report.sampling_error);
    }
}
