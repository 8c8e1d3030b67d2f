//! `imaml grad | hvp | metagrad`: derivatives of a model on the tasks of an episode file.
//!
//! All three run the same way: a [`Method`] on every task, in parallel, the mean over tasks to a file.

mod support;

use std::path::PathBuf;
use std::time::Instant;

use autodiff::Element;
use clap::Args;
use meta::error::Estimator;
use meta::inner::{Hyper, InnerStatus};
use meta::linear::{Cg, Status};
use meta::method::{Decision, ForwardMode, Hyperparameter, Implicit, Keep, Method};
use meta::problem::{FewShot, Problem};
use meta::train::MetaBatch;
use serde_json::{Value, json};

use crate::byte_size::ByteSize;
use crate::checks::{self, Owner};
use crate::commands::source::{Opened, Precision, Source};
use crate::console::say;
use crate::defaults::{ES_PAIRS, ES_SIGMA};
use crate::episode::{self, EpisodeFile, Needs, OutputFile, Tasks};
use crate::experiment::{self, Settled};
use crate::failure::Failure;
use crate::inner::{Inner, InnerArgs};
use crate::linear::{Linear, PolicyName, PreconditionerName, SolverName, Stop};
use crate::memory;
use crate::settings::{MethodName, NotFinitePolicy};
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

/// The mean meta-gradient.
#[derive(Args, Clone, Debug)]
pub struct MetagradArgs {
    #[command(flatten)]
    common: Common,
    /// How to take it.
    #[arg(long)]
    method: MethodName,
    /// Steps of adaptation; the most, where something ends it sooner.
    #[arg(long)]
    inner_steps: usize,
    #[command(flatten)]
    inner: InnerArgs,
    /// Keep this many states and run steps again, in place of keeping everything (maml only).
    #[arg(long, value_name = "N")]
    checkpoints: Option<usize>,
    /// Go back through the last M steps alone (maml only).
    #[arg(long, value_name = "M", conflicts_with = "checkpoints")]
    truncate: Option<usize>,
    /// The most memory that one task may take, such as 64MiB: maml and auto keep less, others are refused.
    #[arg(long, value_name = "SIZE", conflicts_with = "checkpoints")]
    memory: Option<ByteSize>,
    /// Pairs of perturbed adaptations (es only) [default: 16].
    #[arg(long, value_name = "N")]
    es_pairs: Option<usize>,
    /// Standard deviation of a perturbation (es only) [default: 0.01].
    #[arg(long, value_name = "SIGMA")]
    es_sigma: Option<f64>,
    /// Seed of the perturbations (es only) [default: 0].
    #[arg(long, value_name = "SEED")]
    es_seed: Option<u64>,
    /// Also the derivatives of the query loss with respect to the inner step size and, with a prox term, λ: through the
    /// steps, in forward mode.
    #[arg(long)]
    hypergradients: bool,
    /// λ of the prox term (imaml and auto only) [default: 2].
    #[arg(long)]
    lambda: Option<f64>,
    /// Exactly this many iterations of the linear solver (imaml only) [default: 5].
    #[arg(long, conflicts_with = "cg_tol")]
    cg_steps: Option<usize>,
    /// Iterations until ‖v − (I + H/λ) g‖ ≤ E ‖v‖ (imaml only).
    #[arg(long)]
    cg_tol: Option<f64>,
    /// Estimate every task's error: the distance to the gradient one Newton step on (imaml only).
    #[arg(long)]
    error_estimate: bool,
    /// The most iterations that --cg-tol may take [default: 1000].
    #[arg(long, value_name = "N")]
    cg_max: Option<usize>,
    /// What solves the linear system (imaml only) [default: cg].
    #[arg(long)]
    solver: Option<SolverName>,
    /// What cg is preconditioned by (imaml only) [default: none].
    #[arg(long)]
    preconditioner: Option<PreconditionerName>,
    /// What cg and neumann do where the operator is indefinite (imaml only) [default: go-on; stop for neumann].
    #[arg(long, value_name = "POLICY")]
    on_negative_curvature: Option<PolicyName>,
}

impl MetagradArgs {
    /// Refuses what does not go together, in the words of `imaml train`.
    fn check(&self) -> Result<(), Failure> {
        let solve = Owner::Solve;
        checks::belong(
            self.method,
            &[
                ("--lambda", self.lambda.is_some(), Owner::Prox),
                ("--cg-steps", self.cg_steps.is_some(), solve),
                ("--cg-tol", self.cg_tol.is_some(), solve),
                ("--cg-max", self.cg_max.is_some(), solve),
                ("--solver", self.solver.is_some(), solve),
                ("--preconditioner", self.preconditioner.is_some(), solve),
                ("--on-negative-curvature", self.on_negative_curvature.is_some(), solve),
                ("--error-estimate", self.error_estimate, solve),
                ("--checkpoints", self.checkpoints.is_some(), Owner::Only(MethodName::Maml)),
                ("--truncate", self.truncate.is_some(), Owner::Only(MethodName::Maml)),
                ("--es-pairs", self.es_pairs.is_some(), Owner::Only(MethodName::Es)),
                ("--es-sigma", self.es_sigma.is_some(), Owner::Only(MethodName::Es)),
                ("--es-seed", self.es_seed.is_some(), Owner::Only(MethodName::Es)),
            ],
        )?;
        SolverName::check_iterations(
            self.solver,
            &[("--cg-steps", self.cg_steps.is_some()), ("--cg-tol", self.cg_tol.is_some())],
        )?;
        if self.cg_max.is_some() && self.cg_tol.is_none() {
            return Err("--cg-max is the most that --cg-tol may take: give --cg-tol, or leave --cg-max out".into());
        }
        let inner = self.inner()?;
        if self.hypergradients && !inner.takes_all_steps() {
            return Err(
                "--hypergradients goes through steps of a given size, as many as are asked for: leave --inner-tol, \
                        --inner-lr auto and solvers that find their own steps out"
                    .into(),
            );
        }
        checks::positive::<f64>(&[
            ("--inner-lr", inner.given_rate()),
            ("--inner-tol", inner.tol),
            ("--lambda", self.lambda),
            ("--cg-tol", self.cg_tol),
            ("--es-sigma", self.es_sigma),
        ])?;
        checks::within(&[
            ("--cg-steps", self.cg_steps.map(|n| n as u64), checks::CG_STEPS),
            ("--cg-max", self.cg_max.map(|n| n as u64), (1, u64::MAX)),
            ("--es-pairs", self.es_pairs.map(|n| n as u64), checks::ES_PAIRS),
            ("--checkpoints", self.checkpoints.map(|n| n as u64), (1, u64::MAX)),
            ("--truncate", self.truncate.map(|m| m as u64), (0, self.inner_steps as u64)),
        ])?;
        checks::enough_steps(self.method, "--inner-steps", self.inner_steps)
    }

    /// What adapts: a step size has no default here.
    fn inner(&self) -> Result<Inner, Failure> {
        Inner::new(self.inner, (self.method.name(), self.method.takes()), None, "--")
    }

    fn linear(&self) -> Result<Linear, Failure> {
        let stop = match self.cg_tol {
            Some(tolerance) => Stop::Tolerance(tolerance, self.cg_max.unwrap_or(1000)),
            None => Stop::Iterations(self.cg_steps.unwrap_or(5)),
        };
        // A command that says how many iterations does them: what to do about negative curvature is asked for.
        Linear::new(self.solver, stop, self.preconditioner, self.on_negative_curvature)
    }
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
            Box::new(SupportHessian::new(&problem, vectors))
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
    memory::check("this", bytes as u64, "lower --inner-steps or --threads, or take fewer tasks or directions")?;
    let mut batch = MetaBatch::new(method.as_ref(), &pool, width, tasks.count);
    let mut result = vec![T::zero(); width];
    let mut seconds = Vec::new();
    let mut mean = batch.gradient(&tasks, tasks.count, &parameters, hyper, &mut result);
    for _ in 0..common.repeat {
        let start = Instant::now();
        mean = batch.gradient(&tasks, tasks.count, &parameters, hyper, &mut result);
        seconds.push(start.elapsed().as_secs_f64());
    }
    let reports = batch.reports(tasks.count);
    if !mean.not_finite.is_empty() && (mean.kept == 0 || common.on_not_finite == NotFinitePolicy::Stop) {
        let named = mean.not_finite.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        let hint = if mean.kept == 0 { "" } else { ", or leave such tasks out with --on-not-finite skip" };
        return Err(Failure::new(format_args!(
            "the result of task {named} is not finite: look at the data, or lower --inner-lr{hint}"
        )));
    }

    let name = match task {
        Task::Grad => "grad",
        Task::Hvp => "hvp",
        Task::Metagrad(_) => "metagrad",
    };
    if let Some(out) = &common.out {
        let mut file = OutputFile::default();
        file.add("loss", &[], &[T::from_f64(mean.query_loss)]);
        let parts: Vec<&[T]> = result.chunks_exact(dim).collect();
        file.add_parameters(name, problem.model().layout(), &parts, matches!(task, Task::Hvp) && vectors_stacked);
        episode::write(out, &file)?;
    }
    let statuses: Vec<Value> =
        reports.iter().map(|r| r.status.map_or(Value::Null, |s| Value::from(s.name()))).collect();
    let norm = result.iter().map(|g| g.to_f64() * g.to_f64()).sum::<f64>().sqrt();
    let flops = reports.iter().map(|r| method.flops(r)).sum::<u64>();
    let hypergradients = match task {
        Task::Metagrad(a) if a.hypergradients => {
            let along = [Hyperparameter::Rate, Hyperparameter::Lambda];
            let along = if prox { &along[..] } else { &along[..1] };
            let forward = ForwardMode::with_step(&problem, a.inner()?.step().as_ref(), a.inner_steps, along);
            let mut values = vec![T::zero(); along.len()];
            let mut batch = MetaBatch::new(&forward, &pool, along.len(), tasks.count);
            batch.gradient(&tasks, tasks.count, &parameters, hyper, &mut values);
            values.iter().map(|v| v.to_f64()).collect()
        }
        _ => Vec::new(),
    };
    let mut summary = json!({
        "loss": mean.query_loss,
        "norm": norm,
        "seconds": seconds,
        "flops": flops,
        "plan_bytes": method.bytes(),
        "peak_rss_bytes": memory::peak_rss_bytes(),
        "threads": threads,
        "isa": isa.to_string(),
        "products": mean.products,
        "status": statuses,
        "negative_curvature": reports.iter().map(|r| r.negative_curvature).sum::<usize>(),
    });
    for (name, &value) in ["rate", "lambda"].iter().zip(&hypergradients) {
        summary["hypergradients"][name] = Value::from(value);
    }
    if let Some(Decision { choice, reason }) = &decision {
        summary["choice"] = Value::from(choice.to_string());
        summary["chosen_because"] = Value::from(reason.as_str());
    }
    if matches!(task, Task::Metagrad(a) if a.on_negative_curvature.is_some()) {
        summary["policy_acted"] = Value::from(mean.policy_acted);
        summary["largest_shift"] = Value::from(mean.largest_shift);
    }
    // Where a solver decides when it is done, it says how it ended.
    let decides = matches!(task, Task::Metagrad(a) if !a.inner()?.takes_all_steps());
    if decides {
        summary["inner_status"] = reports.iter().map(|r| r.inner_status.map(|s| s.name())).collect();
    }
    if !mean.not_finite.is_empty() {
        summary["not_finite"] = mean.not_finite.iter().copied().collect();
    }
    if reports.iter().any(|r| r.estimate.is_some()) {
        summary["error_estimate"] = reports.iter().map(|r| r.estimate.map(|e| e.error)).collect();
    }
    if common.json {
        say(summary);
        return Ok(());
    }
    let best = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    say(format_args!(
        "{name} over {} tasks in {}: loss {:.6e}, norm {norm:.6e}",
        tasks.count,
        T::NAME,
        mean.query_loss
    ));
    let rate = flops as f64 / best / 1e9;
    say(format_args!(
        "{:.3} ms, {rate:.1} GFLOP/s on {threads} threads ({isa}), {} bytes planned",
        best * 1e3,
        method.bytes()
    ));
    for (name, value) in ["inner step size", "λ"].iter().zip(&hypergradients) {
        say(format_args!("d loss / d {name}: {value:.6e}"));
    }
    if let Some(Decision { choice, reason }) = &decision {
        say(format_args!("chosen: {choice}. {reason}"));
    }
    let unsolved = |s: &InnerStatus| !matches!(s, InnerStatus::Converged | InnerStatus::Finished);
    for (i, report) in reports.iter().enumerate().filter(|_| decides) {
        if let Some(status) = report.inner_status.filter(unsolved) {
            say(format_args!("task {i}: adaptation {status}"));
        }
    }
    let troubled = |s: &Status| !matches!(s, Status::Converged | Status::Finished);
    for (i, report) in reports.iter().enumerate() {
        if let Some(status) = report.status.filter(troubled) {
            say(format_args!("task {i}: {status}"));
        }
    }
    for (i, report) in reports.iter().enumerate() {
        if mean.not_finite.contains(&i) {
            say(format_args!("task {i}: left out, it is not finite"));
        } else if let Some(estimate) = report.estimate {
            say(format_args!("task {i}: error about {:.1e}", estimate.error));
        }
    }
    Ok(())
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
    linear.check_size(problem.dim())?;
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
