//! `imaml grad | hvp | metagrad`: derivatives of a model on the tasks of an episode file.
//!
//! All three run the same way: a [`Method`] on every task, in parallel, the mean over tasks to a file.

mod options;
mod outcome;
mod support;

use std::path::PathBuf;
use std::time::Instant;

use autodiff::Element;
use clap::Args;
use meta::error::Estimator;
use meta::inner::Hyper;
use meta::linear::Cg;
use meta::method::{Decision, ForwardMode, Hyperparameter, Implicit, Keep, Method};
use meta::problem::FewShot;
use meta::train::{BatchReport, MetaBatch};
use rayon::ThreadPool;

use crate::commands::source::{Opened, Precision, Source};
use crate::console::say;
use crate::defaults::{ES_PAIRS, ES_SIGMA};
use crate::episode::{self, EpisodeFile, Needs, OutputFile, Tasks};
use crate::experiment::{self, Settled};
use crate::failure::Failure;
use crate::memory;
use crate::settings::{MethodName, NotFinitePolicy};
pub use options::MetagradArgs;
use outcome::Outcome;
use support::{SupportGradient, SupportHessian};

/// What these commands take.
#[derive(Args, Clone, Debug)]
pub struct Common {
    #[command(flatten)]
    source: Source,
    /// Where to write the result.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Time this many runs, after one to warm up.
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// What to do about a task whose result is not finite.
    #[arg(long, value_enum, default_value_t = NotFinitePolicy::Stop)]
    on_not_finite: NotFinitePolicy,
}

/// The mean support loss and its gradient.
#[derive(Args, Clone, Debug)]
pub struct GradArgs {
    #[command(flatten)]
    common: Common,
}

/// The Hessian of the mean support loss times each `vector.*`.
#[derive(Args, Clone, Debug)]
pub struct HvpArgs {
    #[command(flatten)]
    common: Common,
}

/// `imaml grad`
///
/// # Errors
/// One line on what is wrong with the arguments or the file.
pub fn grad(args: &GradArgs) -> Result<(), Failure> {
    run(&args.common, &Task::Grad)
}

/// `imaml hvp`
///
/// # Errors
/// As [`grad`].
pub fn hvp(args: &HvpArgs) -> Result<(), Failure> {
    run(&args.common, &Task::Hvp)
}

/// `imaml metagrad`
///
/// # Errors
/// As [`grad`].
pub fn metagrad(args: &MetagradArgs) -> Result<(), Failure> {
    args.check()?;
    run(&args.common, &Task::Metagrad(args))
}

enum Task<'a> {
    Grad,
    Hvp,
    Metagrad(&'a MetagradArgs),
}

impl Task<'_> {
    /// Of the command, and of what it writes.
    fn name(&self) -> &'static str {
        match self {
            Task::Grad => "grad",
            Task::Hvp => "hvp",
            Task::Metagrad(_) => "metagrad",
        }
    }
}

fn run(common: &Common, task: &Task<'_>) -> Result<(), Failure> {
    if common.repeat == 0 {
        return Err("--repeat is 0: expected at least 1".into());
    }
    let opened = common.source.open()?;
    match opened.precision {
        Precision::F32 => run_in::<f32>(common, task, &opened),
        Precision::F64 => run_in::<f64>(common, task, &opened),
    }
}

fn run_in<T: Element>(common: &Common, task: &Task<'_>, opened: &Opened) -> Result<(), Failure> {
    if let Task::Metagrad(a) = task {
        a.check_in::<T>()?;
    }
    let needs = Needs { vectors: matches!(task, Task::Hvp), query: matches!(task, Task::Metagrad(_)) };
    let EpisodeFile { parameters, vectors, vectors_stacked, tasks } = opened.read::<T>(needs)?;
    let Opened { model, isa, .. } = opened;
    let dim = model.layout().len();
    let prox = matches!(task, Task::Metagrad(a) if a.method.has_prox());
    let problem = FewShot::new(model.clone(), tasks.support_rows, tasks.query_rows.max(1), prox);
    let mut hyper = Hyper { lambda: 0.0, rate: 0.0 };
    let mut width = dim;
    let mut decision = None;
    let method: Box<dyn Method<T>> = match task {
        Task::Grad => Box::new(SupportGradient::new(&problem)),
        Task::Hvp => {
            width = dim * vectors.len();
            Box::new(SupportHessian::new(&problem, &vectors))
        }
        Task::Metagrad(a) => {
            hyper = Hyper { lambda: if prox { a.lambda.unwrap_or(2.0) } else { 0.0 }, rate: a.inner()?.hyper_rate() };
            let (method, chosen) = meta_method(a, &problem, &parameters, hyper, &tasks)?;
            decision = chosen;
            method
        }
    };
    let pool = experiment::pool(common.source.threads)?;
    let threads = pool.current_num_threads();
    let workers = threads.min(tasks.count);
    let bytes = method.bytes() * workers + width * size_of::<T>() * (tasks.count + 1);
    let (fewer, slower) = match task {
        Task::Metagrad(a) => {
            ("lower --inner-steps or --threads, or take fewer tasks", a.inner()?.given_rate().is_some())
        }
        _ => ("lower --threads, or take fewer tasks or directions", false),
    };
    memory::check("this", bytes as u64, fewer)?;
    let mut batch = MetaBatch::new(method.as_ref(), &pool, width, tasks.count);
    let mut result = vec![T::zero(); width];
    let mut seconds = Vec::new();
    // By a thread of the pool: to hand each over to one takes as long as a small one does.
    let mean = pool.install(|| {
        let mut mean = batch.gradient(&tasks, tasks.count, &parameters, hyper, &mut result);
        for _ in 0..common.repeat {
            let start = Instant::now();
            mean = batch.gradient(&tasks, tasks.count, &parameters, hyper, &mut result);
            seconds.push(start.elapsed().as_secs_f64());
        }
        mean
    });
    let reports = batch.reports(tasks.count);
    check_finite(&mean, common.on_not_finite, "result", slower)?;
    let hypergradients = match task {
        Task::Metagrad(a) if a.hypergradients => hypergradients(a, &problem, &pool, (&parameters, hyper), &tasks)?,
        _ => Vec::new(),
    };
    if let Some(out) = &common.out {
        let mut file = OutputFile::default();
        file.add("loss", &[], &[T::from_f64(mean.query_loss)]);
        let parts: Vec<&[T]> = result.chunks_exact(dim).collect();
        let stacked = matches!(task, Task::Hvp) && vectors_stacked;
        file.add_parameters(task.name(), problem.model().layout(), &parts, stacked);
        episode::write(out, &file)?;
    }
    let outcome = Outcome {
        name: task.name(),
        precision: T::NAME,
        isa: *isa,
        threads,
        seconds,
        norm: result.iter().map(|g| g.to_f64() * g.to_f64()).sum::<f64>().sqrt(),
        flops: reports.iter().map(|r| method.flops(r)).sum::<u64>(),
        plan_bytes: method.bytes(),
        mean,
        reports,
        hypergradients,
        decision,
        has_policy: matches!(task, Task::Metagrad(a) if a.on_negative_curvature.is_some()),
        decides: matches!(task, Task::Metagrad(a) if !a.inner()?.takes_all_steps()),
    };
    if common.json {
        say(outcome.to_json());
    } else {
        outcome.tell();
    }
    Ok(())
}

/// Refuses results that are not finite, where such tasks are not to be left out or there are no others.
fn check_finite(mean: &BatchReport, policy: NotFinitePolicy, what: &str, has_rate: bool) -> Result<(), Failure> {
    if mean.not_finite.is_empty() || (mean.kept > 0 && policy == NotFinitePolicy::Skip) {
        return Ok(());
    }
    let named = mean.not_finite.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let slower = if has_rate { ", or lower --inner-lr" } else { "" };
    let hint = if mean.kept == 0 { "" } else { ", or leave such tasks out with --on-not-finite skip" };
    Err(Failure::new(format_args!("the {what} of task {named} is not finite: look at the data{slower}{hint}")))
}

/// The derivatives of the mean query loss with respect to the step size and, with a prox term, λ.
fn hypergradients<T: Element>(
    args: &MetagradArgs,
    problem: &FewShot,
    pool: &ThreadPool,
    (theta, hyper): (&[T], Hyper),
    tasks: &Tasks<T>,
) -> Result<Vec<f64>, Failure> {
    let along = [Hyperparameter::Rate, Hyperparameter::Lambda];
    let along = if args.method.has_prox() { &along[..] } else { &along[..1] };
    let forward = ForwardMode::with_step(problem, args.inner()?.step().as_ref(), args.inner_steps, along);
    let mut values = vec![T::zero(); along.len()];
    let mut batch = MetaBatch::new(&forward, pool, along.len(), tasks.count);
    let mean = batch.gradient(tasks, tasks.count, theta, hyper, &mut values);
    check_finite(&mean, args.common.on_not_finite, "hypergradient", true)?;
    Ok(values.iter().map(|v| v.to_f64()).collect())
}

/// A method, and where it was left to the program to choose it, its decision.
type Settlement<T> = (Box<dyn Method<T>>, Option<Decision>);

/// The method asked for.
fn meta_method<T: Element>(
    args: &MetagradArgs,
    problem: &FewShot,
    theta: &[T],
    hyper: Hyper,
    tasks: &Tasks<T>,
) -> Result<Settlement<T>, Failure> {
    let (linear, inner) = (args.linear()?, args.inner()?);
    let steps = (&inner, args.inner_steps);
    linear.check_size(experiment::unknowns(problem))?;
    let keep = match (args.checkpoints, args.truncate) {
        (Some(count), _) => Keep::Checkpoints(count),
        (None, Some(m)) => Keep::Last(m),
        (None, None) => experiment::keep_within::<T>(args.method, problem, steps, Keep::Everything, args.memory)?,
    };
    let chosen = match args.method {
        MethodName::Auto => {
            Some(experiment::choose(problem, args.inner_steps, theta, hyper, (tasks, tasks.count), args.memory)?)
        }
        _ => None,
    };
    let settled = Settled {
        choice: chosen.as_ref().map(|c| c.choice),
        pairs: args.es_pairs.unwrap_or(ES_PAIRS),
        sigma: args.es_sigma.unwrap_or(ES_SIGMA),
        seed: args.es_seed.unwrap_or(0),
    };
    let method: Box<dyn Method<T>> = if args.error_estimate {
        let estimator = Estimator::new(problem, Box::new(Cg::tolerance(0.03, 100)));
        let solver = inner.build(args.inner_steps);
        Box::new(Implicit::with_solver(problem, solver, linear.build()).estimating(estimator))
    } else {
        experiment::method(args.method, problem, steps, keep, linear.build(), settled)
    };
    experiment::check_memory(method.as_ref(), args.memory)?;
    Ok((method, chosen))
}
