//! How good a learner is on tasks it has not seen: after 0, 1, … steps of adaptation, with an interval.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use autodiff::{Arg, Options, Plan, Stage, Tape, Workspace};

use super::{EpisodeTasks, TaskSource};
use crate::inner::{Derivative, GradientDescent, Hyper, InnerPlan, Inputs};
use crate::problem::{At, FewShot, Problem, QueryStatistics};
use crate::tasks::{Split, TaskStream};

/// A mean with its 95 % confidence interval, mean ± 1.96 s/√n over n tasks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// Half the width.
    pub half_width: f64,
}

impl Interval {
    /// Of independent values.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0).max(1.0);
        Interval { mean, half_width: 1.96 * (variance / n).sqrt() }
    }
}

/// What is measured on the query set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The fraction classified correctly.
    Accuracy,
    /// The mean squared error.
    SquaredError,
}

impl Measure {
    /// `accuracy` or `mse`.
    pub fn name(self) -> &'static str {
        match self {
            Measure::Accuracy => "accuracy",
            Measure::SquaredError => "mse",
        }
    }
}

/// The outcome for one way to normalise the query set.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Which moments normalised the query set.
    pub statistics: QueryStatistics,
    /// What was measured.
    pub measure: Measure,
    /// (steps of adaptation, interval over tasks).
    pub after: Vec<(usize, Interval)>,
    /// For the last entry of `after`: each task's value, in task order.
    pub per_task: Vec<f64>,
}

/// Adapts to tasks and measures.
pub struct Evaluator {
    inner: InnerPlan<f32>,
    predictions: Vec<(QueryStatistics, Plan<f32>)>,
    measure: Measure,
    outputs: usize,
}

impl Evaluator {
    /// Adapts by gradient descent on the problem's G. A model that normalises batches is measured both ways.
    pub fn new(problem: &FewShot) -> Self {
        let inner = InnerPlan::new(problem, &GradientDescent, Derivative::None);
        let both = [QueryStatistics::Transductive, QueryStatistics::Inductive];
        let ways = if problem.model().normalises_batches() { &both[..] } else { &both[..1] };
        let predictions = ways.iter().map(|&s| (s, predictor(&problem.clone().with_statistics(s)))).collect();
        let measure = if problem.model().classifies() { Measure::Accuracy } else { Measure::SquaredError };
        Evaluator { inner, predictions, measure, outputs: problem.model().outputs() }
    }

    /// Measures after each number of steps in `steps` (ascending) on tasks `first..first + count` of a split.
    #[allow(clippy::too_many_arguments)] // Each is one independent thing to choose.
    pub fn run(
        &self,
        pool: &rayon::ThreadPool,
        stream: &dyn TaskStream,
        split: Split,
        tasks: std::ops::Range<u64>,
        theta: &[f32],
        hyper: Hyper,
        steps: &[usize],
    ) -> Vec<Evaluation> {
        let count = (tasks.end - tasks.start) as usize;
        let source = EpisodeTasks::new(stream, split, tasks.start);
        let columns = self.predictions.len() * steps.len();
        let results: Vec<Mutex<Vec<f64>>> = (0..count).map(|_| Mutex::new(vec![0.0; columns])).collect();
        let next = AtomicUsize::new(0);
        pool.scope(|scope| {
            for _ in 0..pool.current_num_threads().min(count) {
                scope.spawn(|_| {
                    let mut thread = Thread::new(self);
                    let mut local = source.local();
                    loop {
                        let i = next.fetch_add(1, Ordering::Relaxed);
                        let Some(result) = results.get(i) else { break };
                        let mut result = result.lock().expect("no thread panics while it holds a result");
                        source.with_task(i, &mut local, |data| thread.task(theta, hyper, data, steps, &mut result));
                    }
                });
            }
        });
        let results: Vec<Vec<f64>> =
            results.into_iter().map(|r| r.into_inner().expect("no thread panics while it holds a result")).collect();
        let column = |j: usize| results.iter().map(|r| r[j]).collect::<Vec<f64>>();
        self.predictions
            .iter()
            .enumerate()
            .map(|(p, (statistics, _))| {
                let at = |s: usize| p * steps.len() + s;
                Evaluation {
                    statistics: *statistics,
                    measure: self.measure,
                    after: steps.iter().enumerate().map(|(s, &k)| (k, Interval::of(&column(at(s))))).collect(),
                    per_task: steps.len().checked_sub(1).map_or(Vec::new(), |s| column(at(s))),
                }
            })
            .collect()
    }
}

/// Compiles φ, task ↦ outputs on the query set.
fn predictor(problem: &FewShot) -> Plan<f32> {
    let tape = Tape::new();
    let phi = tape.input("phi", problem.dim(), Stage::POINT);
    let data = problem.declare(&tape);
    let none = autodiff::Real::zero();
    let output = problem.predict(&At { phi, theta: phi, lambda: none, data });
    Plan::staged(&tape, &[(Stage::POINT, output)], Options::default())
}

struct Thread<'e> {
    evaluator: &'e Evaluator,
    inner: Workspace<f32>,
    predictors: Vec<Workspace<f32>>,
    state: Vec<f32>,
    next: Vec<f32>,
    output: Vec<f32>,
}

impl<'e> Thread<'e> {
    fn new(evaluator: &'e Evaluator) -> Self {
        let zeros = || vec![0.0; evaluator.inner.state_len()];
        Thread {
            evaluator,
            inner: evaluator.inner.plan().workspace(),
            predictors: evaluator.predictions.iter().map(|(_, plan)| plan.workspace()).collect(),
            state: zeros(),
            next: zeros(),
            output: vec![0.0; evaluator.predictions[0].1.output_shape(0).numel()],
        }
    }

    fn task(&mut self, theta: &[f32], hyper: Hyper, data: &[Arg<'_, f32>], steps: &[usize], result: &mut [f64]) {
        let Evaluator { inner, predictions, .. } = self.evaluator;
        let scalars = [hyper.lambda as f32, hyper.rate as f32];
        let inputs = Inputs { theta, hyper: &scalars, data };
        self.state[..theta.len()].copy_from_slice(theta);
        inner.start(&mut self.inner, &inputs);
        let mut taken = 0;
        for (s, &wanted) in steps.iter().enumerate() {
            for _ in taken..wanted {
                inner.step(&mut self.inner, &inputs, &self.state, &mut self.next);
                std::mem::swap(&mut self.state, &mut self.next);
            }
            taken = taken.max(wanted);
            for (p, (_, plan)) in predictions.iter().enumerate() {
                let mut args = vec![Arg::Floats(&self.state[..theta.len()])];
                args.extend_from_slice(data);
                plan.run(Stage::DATA, &mut self.predictors[p], &args, &mut []);
                plan.run(Stage::POINT, &mut self.predictors[p], &args, &mut [&mut self.output]);
                result[p * steps.len() + s] = measure(&self.output, self.evaluator.outputs, data[3]);
            }
        }
    }
}

fn measure(output: &[f32], width: usize, target: Arg<'_, f32>) -> f64 {
    match target {
        Arg::Floats(values) => {
            let error = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
            output.iter().zip(values).map(error).sum::<f64>() / values.len() as f64
        }
        Arg::Indices(labels) => {
            let right = output.chunks_exact(width).zip(labels).filter(|(row, label)| arg_max(row) == **label as usize);
            right.count() as f64 / labels.len() as f64
        }
    }
}

fn arg_max(row: &[f32]) -> usize {
    let mut best = 0;
    for (i, v) in row.iter().enumerate() {
        if *v > row[best] {
            best = i;
        }
    }
    best
}
