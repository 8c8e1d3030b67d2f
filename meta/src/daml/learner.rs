//! The learners that are compared, trained and measured alike.

use rayon::ThreadPool;

use super::loss::Sight;
use super::problem::Imitation;
use super::rollout::{Rates, Rollouts};
use super::step::BoundedDescent;
use super::tasks::WorldTasks;
use super::world::World;
use crate::inner::{Descent, Hyper};
use crate::linear::Cg;
use crate::method::{FirstOrder, Implicit, InnerStop, Keep, Method, Unrolled};
use crate::tasks::Split;
use crate::tasks::random::Random;
use crate::train::{Adam, BatchReport, MetaBatch, NotFinite, Optimiser};

/// How a policy is fitted to a demonstration, and how that is differentiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Learner {
    /// Not at all: one policy for every task.
    NoAdaptation,
    /// A few steps on the learned loss, backpropagated through.
    Unrolled(Sight),
    /// Steps on the learned loss with a prox term, differentiated implicitly.
    Implicit(Sight),
}

impl Learner {
    /// All of them.
    pub const ALL: [Learner; 5] = [
        Learner::NoAdaptation,
        Learner::Unrolled(Sight::PerFrame),
        Learner::Unrolled(Sight::Temporal),
        Learner::Implicit(Sight::PerFrame),
        Learner::Implicit(Sight::Temporal),
    ];

    /// As in options and files.
    pub fn name(self) -> &'static str {
        match self {
            Learner::NoAdaptation => "none",
            Learner::Unrolled(Sight::PerFrame) => "per-frame",
            Learner::Unrolled(Sight::Temporal) => "temporal",
            Learner::Implicit(Sight::PerFrame) => "per-frame-implicit",
            Learner::Implicit(Sight::Temporal) => "temporal-implicit",
        }
    }

    /// As in tables.
    pub fn title(self) -> &'static str {
        match self {
            Learner::NoAdaptation => "no adaptation",
            Learner::Unrolled(Sight::PerFrame) => "per-frame loss, unrolled",
            Learner::Unrolled(Sight::Temporal) => "temporal loss, unrolled",
            Learner::Implicit(Sight::PerFrame) => "per-frame loss, implicit",
            Learner::Implicit(Sight::Temporal) => "temporal loss, implicit",
        }
    }
}

/// What a learner is trained with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Training {
    /// Outer iterations.
    pub iterations: u64,
    /// Tasks in each.
    pub meta_batch: usize,
    /// Adam's step size at the start; it falls to 0 along half a cosine.
    pub outer_rate: f64,
    /// A meta-gradient longer than this is scaled down to it (Pascanu, Mikolov & Bengio 2013).
    pub clip: f64,
    /// Inner steps.
    pub steps: usize,
    /// Their size.
    pub rate: f64,
    /// The furthest that a coordinate moves in one of them.
    pub most: f64,
    /// λ (implicit).
    pub lambda: f64,
    /// CG iterations (implicit).
    pub cg: usize,
    /// Of θ₀.
    pub seed: u64,
}

impl Training {
    /// What works in the reaching world, chosen by the training loss of the temporal learners: it differs by the method,
    /// not by what the loss sees. The implicit method asks for longer inner steps, which come nearer to the solution.
    pub fn of(learner: Learner) -> Self {
        let common = Training {
            iterations: 1600,
            meta_batch: 8,
            outer_rate: 1e-3,
            clip: 5.0,
            steps: 5,
            rate: 0.1,
            most: 0.1,
            lambda: 0.0,
            cg: 0,
            seed: 0,
        };
        match learner {
            Learner::NoAdaptation => Training { steps: 0, ..common },
            Learner::Unrolled(_) => common,
            Learner::Implicit(_) => {
                Training { iterations: 1200, outer_rate: 2e-3, steps: 10, rate: 0.2, lambda: 0.5, cg: 5, ..common }
            }
        }
    }
}

/// One learner in one world.
///
/// ```
/// use meta::daml::{Experiment, Learner, Sight, Training, World};
/// use meta::tasks::Split;
///
/// let learner = Learner::Unrolled(Sight::Temporal);
/// let training = Training { iterations: 2, meta_batch: 2, ..Training::of(learner) };
/// let experiment = Experiment::new(World::new(0, 0.5)?, learner, training);
/// let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
/// let theta = experiment.train(&pool, |_, _| {})?;
/// let rates = experiment.measure(&pool, Split::Test, 10, &theta);
/// assert_eq!(rates.outcomes.len(), 10);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Experiment {
    world: World,
    learner: Learner,
    training: Training,
    problem: Imitation,
}

impl Experiment {
    /// A learner, and what it is trained with.
    pub fn new(world: World, learner: Learner, training: Training) -> Self {
        let (sight, prox) = match learner {
            // The loss is not used where nothing is adapted.
            Learner::NoAdaptation => (Sight::PerFrame, false),
            Learner::Unrolled(sight) => (sight, false),
            Learner::Implicit(sight) => (sight, true),
        };
        Experiment { world, learner, training, problem: Imitation::new(sight, prox) }
    }

    /// The bi-level problem.
    pub fn problem(&self) -> &Imitation {
        &self.problem
    }

    fn hyper(&self) -> Hyper {
        Hyper { lambda: self.training.lambda, rate: self.training.rate }
    }

    fn step(&self) -> BoundedDescent {
        BoundedDescent { most: self.training.most }
    }

    /// The meta-gradient, compiled.
    pub fn method(&self) -> Box<dyn Method<f32>> {
        let Training { steps, cg, .. } = self.training;
        let step = self.step();
        match self.learner {
            Learner::NoAdaptation => Box::new(FirstOrder::with_step(&self.problem, &step, 0)),
            Learner::Unrolled(_) => Box::new(Unrolled::with_step(&self.problem, &step, steps, Keep::Everything)),
            Learner::Implicit(_) => {
                let descent = Descent::new(step, InnerStop::Steps(steps));
                Box::new(Implicit::with_solver(&self.problem, Box::new(descent), Box::new(Cg::iterations(cg))))
            }
        }
    }

    /// θ₀: a pure function of the seed.
    pub fn start(&self) -> Vec<f32> {
        let mut rng = Random::new("reach.parameters", self.training.seed, 0, 0);
        self.problem.init(&mut || rng.uniform(0.0, 1.0))
    }

    /// θ after training on tasks 0, 1, … of the training split; `seen` is called after every iteration with its number,
    /// from 1 on.
    ///
    /// # Errors
    /// Where a task's meta-gradient is not finite; the message names the task.
    pub fn train(&self, pool: &ThreadPool, mut seen: impl FnMut(u64, &BatchReport)) -> Result<Vec<f32>, NotFinite> {
        let Training { iterations, meta_batch, outer_rate, clip, .. } = self.training;
        let method = self.method();
        let mut theta = self.start();
        let mut gradient = vec![0.0; theta.len()];
        let mut batch = MetaBatch::new(method.as_ref(), pool, theta.len(), meta_batch);
        let mut adam = Adam::new(theta.len(), outer_rate, 1e-8);
        for iteration in 0..iterations {
            let first = iteration * meta_batch as u64;
            let source = WorldTasks::new(&self.world, Split::Train, first);
            let report = batch.gradient(&source, meta_batch, &theta, self.hyper(), &mut gradient);
            if let Some(&bad) = report.not_finite.first() {
                return Err(NotFinite { task: first + bad as u64, iteration, all: report.kept == 0 });
            }
            let norm = gradient.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>().sqrt();
            if norm > clip {
                gradient.iter_mut().for_each(|g| *g *= (clip / norm) as f32);
            }
            let done = iteration as f64 / iterations as f64;
            adam.set_rate(outer_rate * (0.5 + 0.5 * (std::f64::consts::PI * done).cos()));
            adam.step(&mut theta, &gradient);
            seen(iteration + 1, &report);
        }
        Ok(theta)
    }

    /// Success in closed loop on tasks `0..count` of a split.
    pub fn measure(&self, pool: &ThreadPool, split: Split, count: usize, theta: &[f32]) -> Rates {
        let rollouts = Rollouts::new(&self.problem, &self.step(), self.training.steps);
        rollouts.run(pool, &self.world, split, count, theta, self.hyper())
    }
}
