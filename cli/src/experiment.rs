//! A configuration brought to life: tasks, network, method, threads, and whether they fit together.

use std::sync::Arc;

use autodiff::Element;
use meta::error::{Estimator, Tolerance, TolerantCg, TolerantDescent};
use meta::inner::{Adaptation, GradientDescent, Hyper};
use meta::linear::{Cg, LinearSolver};
use meta::method::{
    Choice, Decision, EvolutionStrategies, FiniteDifference, FirstOrder, Implicit, Keep, Method, OverBudget, Reptile,
    Survey, Unrolled, decide,
};
use meta::problem::{FewShot, Learned, Problem};
use meta::tasks::{
    CharacterSplit, Glyphs, Omniglot, OmniglotTasks, Rotations, Sinusoid, Split, TargetKind, TaskStream,
};
use meta::train::{Adam, EpisodeTasks, Optimiser, Sgd, TaskSource};
use nn::Model;
use rayon::ThreadPool;

use crate::byte_size::ByteSize;
use crate::config::Config;
use crate::failure::Failure;
use crate::initial;
use crate::inner::Inner;
use crate::learning::{AdaptName, Learn};
use crate::memory;
use crate::model;
use crate::settings::{Dataset, MethodName, OuterOptimizer};
use crate::warm_start::WarmStartName;

/// What training and evaluation share.
pub struct Experiment {
    /// The tasks.
    pub stream: Box<dyn TaskStream>,
    /// G and f.
    pub problem: FewShot,
    /// λ and the inner step size.
    pub hyper: Hyper,
    /// What adapts: in training as in what is measured of it.
    pub inner: Inner,
    /// In how many steps in training.
    steps: usize,
    /// All threads.
    pub pool: ThreadPool,
}

impl Experiment {
    /// Reads the data and checks that the network fits them.
    ///
    /// # Errors
    /// What is wrong with the data, the network, or the two together.
    pub fn new(config: &Config, pool: ThreadPool) -> Result<Self, Failure> {
        autodiff::Isa::detect()?;
        let (model, stream) = pool.install(|| tasks(config))?;
        let shape = stream.shape();
        let problem = problem(config, model, shape.support, shape.query)?;
        Ok(Experiment { stream, problem, hyper: hyper(config), inner: config.inner(), steps: config.inner_steps, pool })
    }

    /// How tasks are adapted to, in any number of steps.
    pub fn adaptation(&self) -> Adaptation<f32> {
        self.inner.adaptation(self.steps)
    }

    /// The meta-gradient, compiled.
    ///
    /// # Errors
    /// Where the memory that training will take is not there, or not allowed.
    pub fn method(&self, config: &Config) -> Result<Box<dyn Method<f32>>, Failure> {
        if let Some(linear) = config.linear() {
            linear.check_size(unknowns(&self.problem))?;
        }
        let (steps, keep) = (config.inner_steps, config.keep());
        let keep = keep_within::<f32>(config.method, &self.problem, (&self.inner, steps), keep, config.memory)?;
        let method = keeping(config, &self.problem, keep);
        self.check_memory(config, method.as_ref(), 0)?;
        Ok(method)
    }

    /// The meta-gradient whose solves stop at `tolerance`, and the same with estimates of its error.
    ///
    /// # Errors
    /// As [`method`](Experiment::method).
    pub fn tolerant(&self, config: &Config, tolerance: &Arc<Tolerance>) -> Result<[Box<dyn Method<f32>>; 2], Failure> {
        let method = || {
            let inner = TolerantDescent::new(Arc::clone(tolerance), config.inner_steps);
            let linear = TolerantCg::new(Arc::clone(tolerance), config.cg_steps.unwrap_or(1));
            Implicit::with_solver(&self.problem, Box::new(inner), Box::new(linear))
        };
        // One digit of δ and u is enough of an estimate to set tolerances by.
        let estimator = Estimator::new(&self.problem, Box::new(Cg::recurrence(0.1, 20)));
        let [method, probe]: [Box<dyn Method<f32>>; 2] = [Box::new(method()), Box::new(method().estimating(estimator))];
        self.check_memory(config, method.as_ref(), probe.bytes())?;
        Ok([method, probe])
    }

    fn check_memory(&self, config: &Config, method: &dyn Method<f32>, once: usize) -> Result<(), Failure> {
        check_memory(method, config.memory)?;
        let threads = self.pool.current_num_threads().min(config.meta_batch);
        let bytes = (method.bytes() * threads + once + 4 * self.problem.theta_dim() * (config.meta_batch + 4)) as u64;
        memory::check("training", bytes, "lower --inner-steps, --meta-batch or --threads")
    }

    /// Chooses the method, where that has been left to the program and is not done: into the configuration, with the
    /// reason.
    ///
    /// # Errors
    /// Where no method fits the memory allowed, or the initial parameters cannot be read.
    pub fn choose(&self, config: &mut Config) -> Result<(), Failure> {
        if config.method != MethodName::Auto || config.choice.is_some() {
            return Ok(());
        }
        let theta = initial::of_run(config, &self.problem)?;
        let source = EpisodeTasks::new(self.stream.as_ref(), Split::Train, 0);
        let tasks = config.meta_batch;
        let chosen = choose(&self.problem, config.inner_steps, &theta, self.hyper, (&source, tasks), config.memory)?;
        (config.choice, config.chosen_because) = (Some(chosen.choice.to_string()), Some(chosen.reason));
        Ok(())
    }

    /// The outer optimiser at its start.
    pub fn optimiser(&self, config: &Config) -> Box<dyn Optimiser> {
        match config.outer_optimizer {
            OuterOptimizer::Adam => {
                Box::new(Adam::new(self.problem.theta_dim(), config.outer_lr, config.adam_eps.unwrap_or(1e-8)))
            }
            OuterOptimizer::Sgd => Box::new(Sgd::new(config.outer_lr)),
        }
    }
}

/// λ and the inner step size of a run.
pub fn hyper(config: &Config) -> Hyper {
    Hyper { lambda: config.lambda.unwrap_or(0.0), rate: config.inner().hyper_rate() }
}

/// Few-shot learning as a run does it, with so many rows.
///
/// # Errors
/// Where the network has no such layers to adapt.
pub fn problem(config: &Config, model: Model, support: usize, query: usize) -> Result<FewShot, Failure> {
    let layers = model.layout().entries();
    let single = layers.first().map(|e| e.layer()) == layers.last().map(|e| e.layer());
    if config.adapt == AdaptName::Body && single {
        return Err(format!("{} has one layer, and no body: leave adapt out", config.model).into());
    }
    let problem = FewShot::new(model, support, query, config.method.has_prox()).adapting(config.adapt.into());
    Ok(problem.learning(config.learn.map_or(Learned::default(), |Learn(learned)| learned)))
}

/// The meta-gradient that a run trains with, in any precision: within the memory that the run may take, twice that for
/// numbers of twice the size.
///
/// # Errors
/// Where the least is too much.
pub fn compile<T: Element>(config: &Config, problem: &FewShot) -> Result<Box<dyn Method<T>>, Failure> {
    let (steps, keep) = (config.inner_steps, config.keep());
    let memory = config.memory.map(|ByteSize(bytes)| ByteSize(bytes.saturating_mul(size_of::<T>() as u64 / 4)));
    let keep = keep_within::<T>(config.method, problem, (&config.inner(), steps), keep, memory)?;
    let method = keeping(config, problem, keep);
    memory::check("a meta-gradient", method.bytes() as u64, "lower --inner-steps, or give --memory")?;
    Ok(method)
}

fn keeping<T: Element>(config: &Config, problem: &FewShot, keep: Keep) -> Box<dyn Method<T>> {
    let linear = config.linear().map_or_else(|| Box::new(Cg::iterations(1)) as _, |linear| linear.build());
    let (inner, steps) = (config.inner(), config.inner_steps);
    if let Some(start) = config.warm_start.and_then(WarmStartName::start) {
        return Box::new(Implicit::with_solver(problem, inner.build(steps), linear).warm_started(start));
    }
    let settled = Settled {
        choice: config.choice(),
        pairs: config.es_pairs.unwrap_or(1),
        sigma: config.es_sigma.unwrap_or(1.0),
        seed: config.seed,
    };
    method(config.method, problem, (&inner, steps), keep, linear, settled)
}

/// What single methods need beside what all share.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    /// What auto chose.
    pub choice: Option<Choice>,
    /// Pairs (es).
    pub pairs: usize,
    /// σ (es).
    pub sigma: f64,
    /// Of the noise (es).
    pub seed: u64,
}

/// A method by name, through so many steps of what adapts; what MAML keeps of them; the linear solver of iMAML.
pub fn method<T: Element>(
    name: MethodName,
    problem: &FewShot,
    (inner, steps): (&Inner, usize),
    keep: Keep,
    linear: Box<dyn LinearSolver<T>>,
    settled: Settled,
) -> Box<dyn Method<T>> {
    match name {
        MethodName::Imaml => Box::new(Implicit::with_solver(problem, inner.build(steps), linear)),
        MethodName::Maml => Box::new(unrolled(problem, (inner, steps), keep)),
        MethodName::Fomaml => Box::new(FirstOrder::with_step(problem, inner.step().as_ref(), steps)),
        MethodName::Reptile => Box::new(Reptile::with_step(problem, inner.step().as_ref(), steps)),
        MethodName::Darts => Box::new(FiniteDifference::with_step(problem, inner.step().as_ref(), steps)),
        MethodName::Es => {
            let Settled { pairs, sigma, seed, .. } = settled;
            let method = EvolutionStrategies::with_step(problem, inner.step().as_ref(), steps);
            let method = method.with_pairs(pairs).with_sigma(sigma).with_seed(seed);
            Box::new(method.moving(&parameters(problem)))
        }
        MethodName::Auto => {
            let choice = settled.choice.unwrap_or(Choice::Unrolled(Keep::Everything));
            choice.method(problem, GradientDescent, steps)
        }
    }
}

/// MAML, through so many steps of what adapts.
pub fn unrolled<T: Element>(problem: &FewShot, (inner, steps): (&Inner, usize), keep: Keep) -> Unrolled<T> {
    if inner.is_automatic() {
        Unrolled::automatic(problem, steps, keep)
    } else {
        Unrolled::with_step(problem, inner.step().as_ref(), steps, keep)
    }
}

/// How many coordinates of φ adapt.
pub fn unknowns(problem: &FewShot) -> usize {
    problem.adapts().into_iter().filter(|&adapts| adapts).count()
}

/// Which coordinates of θ are parameters, and not padding between them.
fn parameters(problem: &FewShot) -> Vec<bool> {
    problem.layout().is_parameter()
}

/// What MAML keeps within the memory allowed, where it is to go back through all steps.
///
/// # Errors
/// Where the least is too much.
pub fn keep_within<T: Element>(
    name: MethodName,
    problem: &FewShot,
    (inner, steps): (&Inner, usize),
    keep: Keep,
    memory: Option<ByteSize>,
) -> Result<Keep, Failure> {
    match (name, keep, memory) {
        (MethodName::Maml, Keep::Everything, Some(memory)) => {
            Ok(Unrolled::<T>::within(problem, inner.step().as_ref(), steps, memory.bytes())?.keep())
        }
        _ => Ok(keep),
    }
}

/// Whether a method fits the memory allowed.
///
/// # Errors
/// Where it does not.
pub fn check_memory<T>(method: &dyn Method<T>, memory: Option<ByteSize>) -> Result<(), Failure> {
    Ok(memory.map_or(Ok(()), |memory| OverBudget::check(memory.bytes(), method.bytes()))?)
}

/// Tasks that are looked at to choose a method.
const LOOKED_AT: usize = 2;

/// Chooses a method from the first tasks of a source that has so many.
///
/// # Errors
/// Where none fits the memory allowed.
pub fn choose<T: Element, S: TaskSource<T>>(
    problem: &FewShot,
    steps: usize,
    theta: &[T],
    hyper: Hyper,
    (source, tasks): (&S, usize),
    memory: Option<ByteSize>,
) -> Result<Decision, Failure> {
    let mut survey = Survey::new(problem, GradientDescent, steps);
    let mut local = source.local();
    for i in 0..tasks.min(LOOKED_AT) {
        source.with_task(i, &mut local, |data| survey.task(theta, hyper, data));
    }
    Ok(decide(&survey.situation(hyper, memory.map(ByteSize::bytes)))?)
}

/// One pool for everything; all cores where no number is given.
///
/// # Errors
/// Where that many threads cannot be had.
pub fn pool(threads: Option<usize>) -> Result<ThreadPool, Failure> {
    let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()));
    if !(1..=1024).contains(&threads) {
        return Err(format!("--threads is {threads}: expected 1 to 1024").into());
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|e| Failure::new(format_args!("cannot start {threads} threads: {e}")))
}

/// The network and the tasks.
///
/// # Errors
/// What is wrong with one of them, or the two together.
pub fn tasks(config: &Config) -> Result<(Model, Box<dyn TaskStream>), Failure> {
    let model = model::parse(&config.model).map_err(|e| Failure::new(format_args!("model: {e}")))?;
    let stream = stream(config)?;
    check_fit(&model, stream.as_ref())?;
    Ok((model, stream))
}

fn stream(config: &Config) -> Result<Box<dyn TaskStream>, Failure> {
    let asked = meta::tasks::FewShot { ways: config.ways.unwrap_or(0), shots: config.shots, queries: config.queries };
    Ok(match (config.dataset, &config.data) {
        (Dataset::Omniglot, Some(folder)) => {
            let data = Arc::new(Omniglot::read(folder)?);
            let (characters, rotations) = (CharacterSplit::default(), Rotations::default());
            Box::new(OmniglotTasks::new(data, config.seed, asked, characters, rotations)?)
        }
        (Dataset::Glyphs | Dataset::Omniglot, _) => Box::new(Glyphs::new(config.seed, asked)?),
        (Dataset::Sinusoid, _) => Box::new(Sinusoid::new(config.seed, config.shots, config.queries)?),
    })
}

fn check_fit(model: &Model, stream: &dyn TaskStream) -> Result<(), Failure> {
    let (spec, name, shape) = (model.spec(), stream.name(), stream.shape());
    let misfit = |what: String| Err(Failure::new(format_args!("the model {spec} does not fit {name}: {what}")));
    if model.input() != shape.x {
        return misfit(format!("it reads {}, the data have {}", extents(model.input()), extents(&shape.x)));
    }
    match shape.target {
        TargetKind::Classes(_) if !model.classifies() => misfit("the tasks have classes; use a conv4:… model".into()),
        TargetKind::Values(_) if model.classifies() => misfit("the tasks have values; use an mlp:… model".into()),
        TargetKind::Classes(n) | TargetKind::Values(n) if n != model.outputs() => {
            let what = if model.classifies() { "classes" } else { "values" };
            misfit(format!("it gives {} {what}, the tasks have {n}; change the model or leave it out", model.outputs()))
        }
        _ => Ok(()),
    }
}

/// `28 × 28 × 1`
fn extents(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ")
}
