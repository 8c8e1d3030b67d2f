//! How good a learner is on tasks it has not seen: after 0, 1, … steps of adaptation, with an interval.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{EpisodeTasks, Interval, TaskSource};
use crate::inner::{Adaptation, Hyper};
use crate::predict::{Measure, Predictor};
use crate::problem::{FewShot, QueryStatistics};
use crate::tasks::{Split, TaskStream};

/// The outcome for one way to normalise the query set.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Which moments normalised the query set.
    pub statistics: QueryStatistics,
    /// What was measured.
    pub measure: Measure,
    /// (steps of adaptation, or the most of a solver that decides; interval over tasks).
    pub after: Vec<(usize, Interval)>,
    /// For the last entry of `after`: each task's value, in task order.
    pub per_task: Vec<f64>,
}

/// Adapts to tasks and measures.
pub struct Evaluator {
    predictor: Predictor<f32>,
    statistics: Vec<QueryStatistics>,
    outputs: usize,
}

impl Evaluator {
    /// Adapts by gradient descent on the problem's G. A model that normalises batches is measured both ways.
    pub fn new(problem: &FewShot) -> Self {
        Self::adapting(problem, Adaptation::default())
    }

    /// Adapts in another way: as the run was trained with.
    ///
    /// # Panics
    /// As [`Predictor::adapting`].
    #[track_caller]
    pub fn adapting(problem: &FewShot, adaptation: Adaptation<f32>) -> Self {
        let both = [QueryStatistics::Transductive, QueryStatistics::Inductive];
        let ways = if problem.model().normalises_batches() { &both[..] } else { &both[..1] };
        let predictor = Predictor::adapting(problem, adaptation, ways);
        Evaluator { predictor, statistics: ways.into(), outputs: problem.model().outputs() }
    }

    /// Bytes that each thread takes.
    pub fn bytes(&self) -> usize {
        self.predictor.bytes()
    }

    /// Measures after each number of steps in `steps` (ascending; the most, of a solver that decides) on these tasks of a
    /// split.
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
        let columns = self.statistics.len() * steps.len();
        let measure = self.predictor.measure();
        let results: Vec<Mutex<Vec<f64>>> = (0..count).map(|_| Mutex::new(vec![0.0; columns])).collect();
        let next = AtomicUsize::new(0);
        pool.scope(|scope| {
            for _ in 0..pool.current_num_threads().min(count) {
                scope.spawn(|_| {
                    let mut space = self.predictor.space();
                    let mut local = source.local();
                    loop {
                        let i = next.fetch_add(1, Ordering::Relaxed);
                        let Some(result) = results.get(i) else { break };
                        let mut result = result.lock().expect("no thread panics while it holds a result");
                        source.with_task(i, &mut local, |data| {
                            space.run(theta, hyper, data, steps, |s, p, output| {
                                result[p * steps.len() + s] = measure.of(output, self.outputs, data[3]);
                            });
                        });
                    }
                });
            }
        });
        let results: Vec<Vec<f64>> =
            results.into_iter().map(|r| r.into_inner().expect("no thread panics while it holds a result")).collect();
        let column = |j: usize| results.iter().map(|r| r[j]).collect::<Vec<f64>>();
        self.statistics
            .iter()
            .enumerate()
            .map(|(p, statistics)| {
                let at = |s: usize| p * steps.len() + s;
                Evaluation {
                    statistics: *statistics,
                    measure,
                    after: steps.iter().enumerate().map(|(s, &k)| (k, Interval::of(&column(at(s))))).collect(),
                    per_task: steps.len().checked_sub(1).map_or(Vec::new(), |s| column(at(s))),
                }
            })
            .collect()
    }
}
