//! A configuration brought to life: tasks, network, method, threads, and whether they fit together.

use std::sync::Arc;

use autodiff::Element;
use meta::inner::Hyper;
use meta::linear::Cg;
use meta::method::{FirstOrder, Implicit, InnerStop, Keep, Method, Reptile, Unrolled};
use meta::problem::{FewShot, Problem};
use meta::tasks::{CharacterSplit, Glyphs, Omniglot, OmniglotTasks, Rotations, Sinusoid, TargetKind, TaskStream};
use meta::train::{Adam, Optimiser, Sgd};
use nn::Model;
use rayon::ThreadPool;

use crate::config::Config;
use crate::failure::Failure;
use crate::memory;
use crate::model;
use crate::settings::{Dataset, MethodName, OuterOptimizer};

/// What training and evaluation share.
pub struct Experiment {
    /// The tasks.
    pub stream: Box<dyn TaskStream>,
    /// G and f.
    pub problem: FewShot,
    /// λ and the inner step size.
    pub hyper: Hyper,
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
        let prox = config.method == MethodName::Imaml;
        let problem = FewShot::new(model, shape.support, shape.query, prox);
        let hyper = Hyper { lambda: config.lambda.unwrap_or(0.0), rate: config.inner_lr };
        Ok(Experiment { stream, problem, hyper, pool })
    }

    /// The meta-gradient, compiled.
    ///
    /// # Errors
    /// Where the memory that training will take is not there.
    pub fn method(&self, config: &Config) -> Result<Box<dyn Method<f32>>, Failure> {
        let method = compile(config, &self.problem);
        let threads = self.pool.current_num_threads().min(config.meta_batch);
        let bytes = (method.bytes() * threads + 4 * self.problem.dim() * (config.meta_batch + 4)) as u64;
        memory::check("training", bytes, "lower --inner-steps, --meta-batch or --threads")?;
        Ok(method)
    }

    /// The outer optimiser at its start.
    pub fn optimiser(&self, config: &Config) -> Box<dyn Optimiser> {
        match config.outer_optimizer {
            OuterOptimizer::Adam => {
                Box::new(Adam::new(self.problem.dim(), config.outer_lr, config.adam_eps.unwrap_or(1e-8)))
            }
            OuterOptimizer::Sgd => Box::new(Sgd::new(config.outer_lr)),
        }
    }
}

/// The meta-gradient that a run trains with, in any precision.
pub fn compile<T: Element>(config: &Config, problem: &FewShot) -> Box<dyn Method<T>> {
    let cg = Cg::iterations(config.cg_steps.unwrap_or(1));
    method(config.method, problem, config.inner_steps, Keep::Everything, cg)
}

/// A method by name, through so many steps; what MAML keeps of them; the linear solver of iMAML.
pub fn method<T: Element>(name: MethodName, problem: &FewShot, steps: usize, keep: Keep, cg: Cg) -> Box<dyn Method<T>> {
    match name {
        MethodName::Imaml => Box::new(Implicit::new(problem, InnerStop::Steps(steps), Box::new(cg))),
        MethodName::Maml => Box::new(Unrolled::new(problem, steps, keep)),
        MethodName::Fomaml => Box::new(FirstOrder::new(problem, steps)),
        MethodName::Reptile => Box::new(Reptile::new(problem, steps)),
    }
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
