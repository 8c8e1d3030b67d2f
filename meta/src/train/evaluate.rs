//! How good a learner is on tasks it has not seen: after 0, 1, … steps of adaptation, with an interval.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{EpisodeTasks, TaskSource};
use crate::inner::{Adaptation, Hyper};
use crate::predict::{Measure, Predictor};
use crate::problem::{FewShot, QueryStatistics};
use crate::tasks::{Split, TaskStream};

/// A mean with its 95 % confidence interval, mean ± t s/√n over n tasks: t = 1.96 for many, more for few (Student 1908).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// Half the width.
    pub half_width: f64,
}

impl Interval {
    /// Of independent values; one alone says nothing of how far off it is: its interval is infinite.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        if values.len() < 2 {
            return Interval { mean, half_width: f64::INFINITY };
        }
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0);
        Interval { mean, half_width: student(values.len() - 1) * (variance / n).sqrt() }
    }
}

/// What Student's t of so many degrees of freedom exceeds in absolute value one time in twenty, to some thousandth of it:
/// exact for 1 and 2, and for more the expansion around the normal distribution's (Abramowitz & Stegun 26.7.5).
fn student(degrees: usize) -> f64 {
    /// The normal distribution's.
    const Z: f64 = 1.959_963_984_540_054;
    match degrees {
        1 => 12.706_204_736_174_7,
        2 => 4.302_652_729_749_46,
        _ => {
            let (n, z) = (degrees as f64, Z * Z);
            let terms = [
                (z + 1.0) / 4.0,
                ((5.0 * z + 16.0) * z + 3.0) / 96.0,
                (((3.0 * z + 19.0) * z + 17.0) * z - 15.0) / 384.0,
                ((((79.0 * z + 776.0) * z + 1482.0) * z - 1920.0) * z - 945.0) / 92160.0,
            ];
            Z * (1.0 + terms.iter().rev().fold(0.0, |sum, term| (sum + term) / n))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_of_few_values_are_wider() {
        // Quantiles of 0.975 from a table of three decimals.
        for (degrees, t) in [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (30, 2.042), (120, 1.980)] {
            assert!((student(degrees) / t - 1.0).abs() < 0.0015, "{degrees}: {} for {t}", student(degrees));
        }
        assert!((student(1_000_000) - 1.96).abs() < 1e-4);
        assert_eq!(Interval::of(&[0.7]), Interval { mean: 0.7, half_width: f64::INFINITY });
        let two = Interval::of(&[1.0, 3.0]);
        assert!(two.mean == 2.0 && (two.half_width - 12.706).abs() < 1e-3);
    }
}
