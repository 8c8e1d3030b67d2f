//! `imaml grad | hvp | metagrad`: derivatives of a model on the tasks of an episode file.
//!
//! All three run the same way: a [`Method`] on every task, in parallel, the mean over tasks to a file.

use std::path::PathBuf;
use std::time::Instant;

use autodiff::{Arg, Element, Isa, Options, Plan, Stage, Tape, Workspace, grad as gradient_of, hvp as hessian_times};
use clap::{Args, ValueEnum};
use meta::inner::Hyper;
use meta::linear::{Cg, Status};
use meta::method::{FirstOrder, Implicit, InnerStop, Keep, Method, Report, Reptile, Unrolled, Worker};
use meta::problem::{At, FewShot, Problem};
use meta::train::MetaBatch;
use nn::Model;
use serde_json::{Value, json};

use crate::episode::{self, Dtype, EpisodeFile, Needs, OutputFile, Tensors};
use crate::failure::Failure;

/// What every command on an episode file takes.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// The episode file (safetensors).
    file: PathBuf,
    /// The model, such as mlp:1-40-40-1 or conv4:channels=64,stride=2,ways=5,image=1x28x28.
    #[arg(long)]
    model: String,
    /// Precision to compute in [default: the file's].
    #[arg(long)]
    dtype: Option<Precision>,
    /// Threads [default: all cores].
    #[arg(long)]
    threads: Option<usize>,
    /// Where to write the result.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Time this many runs, after one to warm up.
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// A precision by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Precision {
    F32,
    F64,
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
    /// Inner gradient steps.
    #[arg(long)]
    inner_steps: usize,
    /// Inner step size.
    #[arg(long)]
    inner_lr: f64,
    /// λ of the prox term (imaml only) [default: 2].
    #[arg(long)]
    lambda: Option<f64>,
    /// Exactly this many CG iterations (imaml only) [default: 5].
    #[arg(long, conflicts_with = "cg_tol")]
    cg_steps: Option<usize>,
    /// CG until ‖v − (I + H/λ) g‖ ≤ E ‖v‖ (imaml only).
    #[arg(long)]
    cg_tol: Option<f64>,
    /// The most iterations that --cg-tol may take.
    #[arg(long, default_value_t = 1000)]
    cg_max: usize,
}

/// A meta-gradient by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MethodName {
    Maml,
    Fomaml,
    Reptile,
    Imaml,
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
    let imaml = args.method == MethodName::Imaml;
    for (given, flag) in [
        (args.lambda.is_some(), "--lambda"),
        (args.cg_steps.is_some(), "--cg-steps"),
        (args.cg_tol.is_some(), "--cg-tol"),
    ] {
        if given && !imaml {
            return Err(format!("{flag} belongs to --method imaml: the others descend the support loss alone").into());
        }
    }
    let positive = |value: Option<f64>, flag: &str| match value {
        Some(v) if !(v.is_finite() && v > 0.0) => Err(format!("{flag} {v}: expected a number above 0")),
        _ => Ok(()),
    };
    positive(Some(args.inner_lr), "--inner-lr")?;
    positive(args.lambda, "--lambda")?;
    positive(args.cg_tol, "--cg-tol")?;
    run(&args.common, &Task::Metagrad(args))
}

enum Task<'a> {
    Grad,
    Hvp,
    Metagrad(&'a MetagradArgs),
}

fn run(common: &Common, task: &Task<'_>) -> Result<(), Failure> {
    let model: Model = common.model.parse().map_err(|e| format!("--model: {e}"))?;
    let isa = Isa::detect()?;
    if common.repeat == 0 || common.threads == Some(0) {
        return Err(String::from("--repeat and --threads are at least 1").into());
    }
    let path = &common.file;
    let bytes = std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    let file = Tensors::parse(path, &bytes)?;
    let double = match common.dtype {
        Some(precision) => matches!(precision, Precision::F64),
        None => file.dtype() == Dtype::F64,
    };
    if double { run_in::<f64>(common, task, model, &file, isa) } else { run_in::<f32>(common, task, model, &file, isa) }
}

fn run_in<T: Element>(
    common: &Common,
    task: &Task<'_>,
    model: Model,
    file: &Tensors<'_>,
    isa: Isa,
) -> Result<(), Failure> {
    let needs = Needs { vectors: matches!(task, Task::Hvp), query: matches!(task, Task::Metagrad(_)) };
    let EpisodeFile { parameters, vectors, vectors_stacked, tasks } =
        episode::read::<T>(&common.file, file, &model, needs)?;
    let dim = model.layout().len();
    let imaml = matches!(task, Task::Metagrad(a) if a.method == MethodName::Imaml);
    let problem = FewShot::new(model, tasks.support_rows, tasks.query_rows.max(1), imaml);
    let mut hyper = Hyper { lambda: 0.0, rate: 0.0 };
    let mut width = dim;
    let method: Box<dyn Method<T>> = match task {
        Task::Grad => Box::new(SupportGradient::new(&problem)),
        Task::Hvp => {
            width = dim * vectors.len();
            Box::new(SupportHessian::new(&problem, vectors))
        }
        Task::Metagrad(a) => {
            hyper = Hyper { lambda: if imaml { a.lambda.unwrap_or(2.0) } else { 0.0 }, rate: a.inner_lr };
            meta_method(a, &problem)
        }
    };
    let threads = common.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()));
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|e| format!("cannot start {threads} threads: {e}"))?;
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
    let summary = json!({
        "loss": mean.query_loss,
        "norm": norm,
        "seconds": seconds,
        "flops": flops,
        "plan_bytes": method.bytes(),
        "peak_rss_bytes": peak_rss_bytes(),
        "threads": threads,
        "isa": isa.to_string(),
        "products": mean.products,
        "status": statuses,
        "negative_curvature": reports.iter().map(|r| r.negative_curvature).sum::<usize>(),
    });
    if common.json {
        println!("{summary}");
        return Ok(());
    }
    let best = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    println!("{name} over {} tasks in {}: loss {:.6e}, norm {norm:.6e}", tasks.count, T::NAME, mean.query_loss);
    let rate = flops as f64 / best / 1e9;
    println!("{:.3} ms, {rate:.1} GFLOP/s on {threads} threads ({isa}), {} bytes planned", best * 1e3, method.bytes());
    let troubled = |s: &Status| !matches!(s, Status::Converged | Status::Finished);
    for (i, report) in reports.iter().enumerate() {
        if let Some(status) = report.status.filter(troubled) {
            println!("task {i}: {status}");
        }
    }
    Ok(())
}

fn meta_method<T: Element>(args: &MetagradArgs, problem: &FewShot) -> Box<dyn Method<T>> {
    let steps = args.inner_steps;
    match args.method {
        MethodName::Maml => Box::new(Unrolled::new(problem, steps, Keep::Everything)),
        MethodName::Fomaml => Box::new(FirstOrder::new(problem, steps)),
        MethodName::Reptile => Box::new(Reptile::new(problem, steps)),
        MethodName::Imaml => {
            let cg = match args.cg_tol {
                Some(tolerance) => Cg::tolerance(tolerance, args.cg_max),
                None => Cg::iterations(args.cg_steps.unwrap_or(5)),
            };
            Box::new(Implicit::new(problem, InnerStop::Steps(steps), Box::new(cg)))
        }
    }
}

/// The process's largest resident memory so far, where the system tells.
pub fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// ∇L_support at θ, as a [`Method`]: "adaptation" by no step at all.
struct SupportGradient<T>(Plan<T>);

impl<T: Element> SupportGradient<T> {
    fn new(problem: &FewShot) -> Self {
        let tape = Tape::new();
        let theta = tape.input("theta", problem.dim(), Stage::POINT);
        let at = At { phi: theta, theta, lambda: autodiff::Real::zero(), data: problem.declare(&tape) };
        let loss = problem.support_loss(&at);
        let gradient = gradient_of(loss, &[theta])[0];
        SupportGradient(Plan::staged(&tape, &[(Stage::POINT, loss), (Stage::POINT, gradient)], Options::default()))
    }
}

impl<T: Element> Method<T> for SupportGradient<T> {
    fn worker(&self) -> Box<dyn Worker<T> + '_> {
        Box::new(PlanWorker { plan: &self.0, vectors: &[], workspace: self.0.workspace() })
    }
    fn bytes(&self) -> usize {
        self.0.bytes()
    }
    fn flops(&self, _report: &Report) -> u64 {
        self.0.flops(Stage::DATA) + self.0.flops(Stage::POINT)
    }
}

/// ∇²L_support at θ times each of several vectors.
struct SupportHessian<T> {
    plan: Plan<T>,
    vectors: Vec<Vec<T>>,
}

impl<T: Element> SupportHessian<T> {
    fn new(problem: &FewShot, vectors: Vec<Vec<T>>) -> Self {
        let tape = Tape::new();
        let theta = tape.input("theta", problem.dim(), Stage::POINT);
        let at = At { phi: theta, theta, lambda: autodiff::Real::zero(), data: problem.declare(&tape) };
        let direction = tape.input("direction", problem.dim(), Stage::DIRECTION);
        let loss = problem.support_loss(&at);
        let product = hessian_times(loss, &[theta], &[(theta, direction)])[0];
        let outputs = [(Stage::POINT, loss), (Stage::DIRECTION, product)];
        SupportHessian { plan: Plan::staged(&tape, &outputs, Options::default()), vectors }
    }
}

impl<T: Element> Method<T> for SupportHessian<T> {
    fn worker(&self) -> Box<dyn Worker<T> + '_> {
        Box::new(PlanWorker { plan: &self.plan, vectors: &self.vectors, workspace: self.plan.workspace() })
    }
    fn bytes(&self) -> usize {
        self.plan.bytes()
    }
    fn flops(&self, report: &Report) -> u64 {
        self.plan.flops(Stage::DATA)
            + self.plan.flops(Stage::POINT)
            + report.products as u64 * self.plan.flops(Stage::DIRECTION)
    }
}

/// Runs either plan; no vectors means the gradient.
struct PlanWorker<'m, T> {
    plan: &'m Plan<T>,
    vectors: &'m [Vec<T>],
    workspace: Workspace<T>,
}

impl<T: Element> Worker<T> for PlanWorker<'_, T> {
    fn gradient(&mut self, theta: &[T], _hyper: Hyper, data: &[Arg<'_, T>], out: &mut [T]) -> Report {
        let mut args = vec![Arg::Floats(theta)];
        args.extend_from_slice(data);
        let mut loss = [T::zero()];
        if self.vectors.is_empty() {
            self.plan.run(Stage::DATA, &mut self.workspace, &args, &mut []);
            self.plan.run(Stage::POINT, &mut self.workspace, &args, &mut [&mut loss, out]);
        } else {
            args.push(Arg::Floats(&[]));
            self.plan.run(Stage::DATA, &mut self.workspace, &args, &mut []);
            self.plan.run(Stage::POINT, &mut self.workspace, &args, &mut [&mut loss]);
            let last = args.len() - 1;
            for (vector, part) in self.vectors.iter().zip(out.chunks_exact_mut(theta.len())) {
                args[last] = vector.into();
                self.plan.run(Stage::DIRECTION, &mut self.workspace, &args, &mut [part]);
            }
        }
        Report { query_loss: loss[0].to_f64(), products: self.vectors.len(), ..Report::default() }
    }

    fn phi(&self) -> &[T] {
        &[]
    }
}
