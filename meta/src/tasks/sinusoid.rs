//! Sinusoid regression.

use super::random::{Random, sines};
use super::{DataError, Episode, EpisodeShape, Split, TargetKind, TaskStream};

const NAME: &str = "sinusoid";

/// The most points of a set: enough for any curve, and no request can exhaust the memory.
const MOST: usize = 1 << 20;

/// y = A sin(x − φ), with A ~ U[0.1, 5], φ ~ U[0, π] a task, and x ~ U[−5, 5] a point.
///
/// Support: `shots` points; query: `queries` points of the same curve; x and y are `[rows, 1]`. The
/// splits have the same distribution and share no task. Computed in f64 and rounded once; y belongs
/// to the rounded x.
///
/// Source: Finn, Abbeel, Levine, *Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks*,
/// ICML 2017, section 5.1.
///
/// ```
/// use meta::tasks::{Episode, Sinusoid, Split, Targets, TaskStream};
///
/// let tasks = Sinusoid::new(1, 10, 10)?;
/// let mut episode = Episode::empty_for(tasks.shape());
/// tasks.sample(Split::Test, 3, &mut episode);
///
/// let wave = tasks.wave(Split::Test, 3);
/// let Targets::Values(y) = &episode.query.y else { unreachable!() };
/// let expected = wave.amplitude * (f64::from(episode.query.x[0]) - wave.phase).sin();
/// assert!((f64::from(y[0]) - expected).abs() < 1e-6);
/// # Ok::<(), meta::tasks::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sinusoid {
    seed: u64,
    shape: EpisodeShape,
}

/// The curve of one sinusoid task: y = amplitude · sin(x − phase).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wave {
    /// A, in [0.1, 5].
    pub amplitude: f64,
    /// φ, in [0, π].
    pub phase: f64,
}

impl Wave {
    /// y = A sin(x − φ).
    pub fn at(&self, x: f64) -> f64 {
        self.amplitude * sines([x - self.phase])[0]
    }

    /// y at each x, as [`at`](Wave::at) has it.
    fn follow(&self, x: &[f32], y: &mut Vec<f32>) {
        let (fours, rest) = x.as_chunks::<4>();
        for four in fours {
            let sines = sines(four.map(|x| f64::from(x) - self.phase));
            y.extend(sines.map(|sine| (self.amplitude * sine) as f32));
        }
        y.extend(rest.iter().map(|&x| self.at(f64::from(x)) as f32));
    }

    fn draw(rng: &mut Random) -> Wave {
        Wave { amplitude: rng.uniform(0.1, 5.0), phase: rng.uniform(0.0, std::f64::consts::PI) }
    }
}

impl Sinusoid {
    /// Tasks of `shots` support points and `queries` query points. Refuses 0 of either, and more than 2²⁰.
    pub fn new(seed: u64, shots: usize, queries: usize) -> Result<Sinusoid, DataError> {
        if !(1..=MOST).contains(&shots) || !(1..=MOST).contains(&queries) {
            return Err(DataError::Request(format!(
                "{shots} shots and {queries} queries asked: each must be at least 1 and at most {MOST}"
            )));
        }
        Ok(Sinusoid {
            seed,
            shape: EpisodeShape { support: shots, query: queries, x: vec![1], target: TargetKind::Values(1) },
        })
    }

    /// The curve behind task `k` of a split.
    pub fn wave(&self, split: Split, k: u64) -> Wave {
        Wave::draw(&mut Random::of_task(NAME, self.seed, split, k))
    }
}

impl TaskStream for Sinusoid {
    fn shape(&self) -> &EpisodeShape {
        &self.shape
    }

    fn sample(&self, split: Split, k: u64, out: &mut Episode) {
        let mut rng = Random::of_task(NAME, self.seed, split, k);
        let wave = Wave::draw(&mut rng);
        let batches = [(&mut out.support, self.shape.support), (&mut out.query, self.shape.query)];
        for (batch, rows) in batches {
            let y = batch.y.values_mut();
            batch.x.clear();
            y.clear();
            batch.x.extend((0..rows).map(|_| rng.uniform(-5.0, 5.0) as f32));
            wave.follow(&batch.x, y);
        }
    }

    fn name(&self) -> &str {
        NAME
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::{Targets, testing};

    #[test]
    fn it_keeps_the_promises_of_a_stream() {
        testing::check_stream(&Sinusoid::new(3, 10, 7).unwrap(), &Sinusoid::new(4, 10, 7).unwrap());
    }

    #[test]
    fn points_lie_on_curves_of_the_stated_range() {
        let tasks = Sinusoid::new(3, 5, 20).unwrap();
        let mut episode = Episode::empty_for(tasks.shape());
        let (mut least, mut most, mut mean) = (f64::MAX, 0.0_f64, 0.0);
        for k in 0..2000 {
            tasks.sample(Split::Train, k, &mut episode);
            let wave = tasks.wave(Split::Train, k);
            assert!((0.1..=5.0).contains(&wave.amplitude));
            assert!((0.0..=std::f64::consts::PI).contains(&wave.phase));
            least = least.min(wave.amplitude);
            most = most.max(wave.amplitude);
            mean += wave.phase / 2000.0;
            for batch in [&episode.support, &episode.query] {
                let Targets::Values(y) = &batch.y else { panic!("not values") };
                for (x, y) in batch.x.iter().zip(y) {
                    assert!((-5.0..=5.0).contains(x));
                    let expected = wave.amplitude * (f64::from(*x) - wave.phase).sin();
                    assert!((f64::from(*y) - expected).abs() <= 4e-7 * wave.amplitude);
                }
            }
        }
        assert!(least < 0.15 && most > 4.95, "{least} {most}");
        assert!((mean - std::f64::consts::FRAC_PI_2).abs() < 0.06, "{mean}");
    }

    #[test]
    fn tasks_have_the_same_bits_on_every_machine() {
        let fingerprint = testing::fingerprint(&Sinusoid::new(1, 10, 10).unwrap());
        assert_eq!(fingerprint, 0x495f_416e_4ab8_75c4, "{fingerprint:#x}");
    }

    #[test]
    fn senseless_requests_are_refused() {
        for (shots, queries) in [(0, 1), (1, 0), (1, usize::MAX)] {
            let line = Sinusoid::new(0, shots, queries).unwrap_err().to_string();
            assert!(line.contains("at least 1"), "{line}");
        }
    }
}
