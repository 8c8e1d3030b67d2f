//! The outer level: meta-batches in parallel, outer optimisers, the training state, evaluation.

mod auto;
mod batch;
mod evaluate;
mod gathering;
mod group;
mod interval;
mod optimiser;
mod source;

pub use auto::Auto;
pub use batch::{BatchReport, MetaBatch};
pub use evaluate::{Evaluation, Evaluator};
pub use interval::Interval;
pub use optimiser::{Adam, Optimiser, Sgd};
pub use source::{EpisodeTasks, TaskSource};

use crate::inner::Hyper;
use crate::method::{Method, WarmStart};
use crate::tasks::{Split, TaskStream};

/// A training run: θ, the outer optimiser, and which task comes next.
///
/// Task numbers, not random state, are what continues: iteration i uses tasks i·b … (i+1)·b − 1 of the training
/// split, so a run that was stopped and one that was not are the same run: once θ, the optimiser's state, the iteration
/// and, for warm starts from the last iteration, [`start`](Trainer::start) are put back.
pub struct Trainer<'a> {
    stream: &'a dyn TaskStream,
    batch: MetaBatch<'a, f32>,
    gradient: Vec<f32>,
    /// The last mean meta-gradient, where the method's linear solves start from it: a part of the run's state.
    pub start: Option<Vec<f32>>,
    warm: bool,
    /// λ and the inner step size.
    pub hyper: Hyper,
    /// Tasks per iteration.
    pub meta_batch: usize,
    /// θ
    pub theta: Vec<f32>,
    /// The outer optimiser.
    pub optimiser: Box<dyn Optimiser>,
    /// Iterations done.
    pub iteration: u64,
    /// What to do about a task whose meta-gradient is not finite.
    pub on_not_finite: OnNotFinite,
    /// Sets the solvers' tolerances, where they have any.
    pub auto: Option<Auto<'a>>,
}

/// What to do about a task whose meta-gradient is not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum OnNotFinite {
    /// Stop, and name it.
    #[default]
    Stop,
    /// Leave it out of the mean, and name it in the report; stop where no task of a meta-batch is left.
    Skip,
}

impl<'a> Trainer<'a> {
    /// Starts at `theta`, iteration 0, with one worker per thread of `pool`.
    pub fn new(
        method: &'a dyn Method<f32>,
        stream: &'a dyn TaskStream,
        pool: &'a rayon::ThreadPool,
        theta: Vec<f32>,
        optimiser: Box<dyn Optimiser>,
        hyper: Hyper,
        meta_batch: usize,
    ) -> Self {
        let batch = MetaBatch::new(method, pool, theta.len(), meta_batch);
        let gradient = vec![0.0; theta.len()];
        let warm = method.warm_start() == Some(WarmStart::Previous);
        Trainer {
            stream,
            batch,
            gradient,
            start: None,
            warm,
            hyper,
            meta_batch,
            theta,
            optimiser,
            iteration: 0,
            on_not_finite: OnNotFinite::Stop,
            auto: None,
        }
    }

    /// One outer step.
    ///
    /// # Errors
    /// Where a task's meta-gradient is not finite, or with [`OnNotFinite::Skip`] that of every task: θ is left as it
    /// was, and the message names the first.
    pub fn step(&mut self) -> Result<BatchReport, NotFinite> {
        if let Some(start) = &self.start {
            self.batch.start_from(start);
        }
        let first = self.iteration * self.meta_batch as u64;
        let source = EpisodeTasks::new(self.stream, Split::Train, first);
        if let Some(auto) = &self.auto {
            auto.set();
        }
        let mut report = self.batch.gradient(&source, self.meta_batch, &self.theta, self.hyper, &mut self.gradient);
        if let Some(&bad) = report.not_finite.first() {
            let all = report.kept == 0;
            if all || self.on_not_finite == OnNotFinite::Stop {
                return Err(NotFinite { task: first + bad as u64, iteration: self.iteration, all });
            }
        }
        if let Some(auto) = &mut self.auto {
            auto.saw(self.iteration, &source, &self.theta, self.hyper, &mut report);
        }
        if self.warm {
            self.start.get_or_insert_default().clone_from(&self.gradient);
        }
        self.optimiser.step(&mut self.theta, &self.gradient);
        self.iteration += 1;
        Ok(report)
    }

    /// Numbers in the training split of the tasks that the last step left out, given its report.
    pub fn skipped<'r>(&self, report: &'r BatchReport) -> impl Iterator<Item = u64> + 'r {
        let first = (self.iteration - 1) * self.meta_batch as u64;
        report.not_finite.iter().map(move |&i| first + i as u64)
    }

    /// ‖meta-gradient‖ of the last step.
    pub fn gradient_norm(&self) -> f64 {
        self.gradient.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>().sqrt()
    }
}

/// A task whose meta-gradient is not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFinite {
    /// Its number in the training split.
    pub task: u64,
    /// The iteration.
    pub iteration: u64,
    /// Whether no task of the meta-batch is finite.
    pub all: bool,
}

impl std::fmt::Display for NotFinite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let NotFinite { task, iteration, all } = self;
        let which = if *all { "every training task from" } else { "training task" };
        write!(f, "the meta-gradient of {which} {task} (iteration {iteration}) is not finite")
    }
}

impl std::error::Error for NotFinite {}
