//! `imaml eval`: how good a trained run is on tasks it has not seen, and by which protocol.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use meta::tasks::Split;
use meta::train::{Evaluation, Evaluator};
use serde_json::{Value, json};

use crate::checks;
use crate::commands::measured::{Measured, Run};
use crate::config::Config;
use crate::console::say;
use crate::experiment::Experiment;
use crate::failure::Failure;
use crate::format;
use crate::memory;
use crate::settings::Settings;
use crate::training::result_json;

/// Measure a trained run on tasks it has not seen.
#[derive(Args, Clone, Debug)]
pub struct EvalArgs {
    /// The run's folder.
    run: PathBuf,
    #[command(flatten)]
    measured: Measured,
    /// Steps of adaptation to measure after [default: 0 and those of training; for sinusoid also 1, 5 and 10].
    #[arg(long, value_name = "K,...", value_delimiter = ',')]
    inner_steps: Vec<usize>,
    /// Support examples [default: as in training].
    #[arg(long, value_name = "N")]
    shots: Option<usize>,
    /// Query examples [default: as in training].
    #[arg(long, value_name = "N")]
    queries: Option<usize>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// `imaml eval`
///
/// # Errors
/// One line on what is wrong with the arguments, the run or the data.
pub fn eval(args: &EvalArgs) -> Result<ExitCode, Failure> {
    args.measured.check()?;
    for &steps in &args.inner_steps {
        checks::within(&[("--inner-steps", Some(steps as u64), checks::INNER_STEPS)])?;
    }
    let changed = Settings { shots: args.shots, queries: args.queries, ..Settings::default() };
    let Run { config, experiment, theta, .. } = args.measured.open(&args.run, changed)?;
    let (split, tasks) = (args.measured.split.into(), args.measured.tasks);
    let steps = steps(&args.inner_steps, &config);
    let results = evaluate(&experiment, &theta, split, tasks, &steps)?;
    if args.json {
        say(to_json(&config, &experiment, split, tasks, &results));
        return Ok(ExitCode::SUCCESS);
    }
    say(format_args!("{} · {}", config.title(), config.tasks()));
    say(format_args!("network      {}", config.model));
    say(format_args!("adaptation   {}", config.adaptation()));
    say(format_args!("learned      {}", config.learned()));
    say(format_args!("adapts       {}", config.adapt.title()));
    say(format_args!("measured on  {tasks} tasks of the {split} split, seed {}", config.seed));
    for line in table(&experiment, &results) {
        say(line);
    }
    Ok(ExitCode::SUCCESS)
}

/// Adapts and measures in the G that the run trains with.
///
/// # Errors
/// Where the memory is not there.
pub fn evaluate(
    experiment: &Experiment,
    theta: &[f32],
    split: Split,
    tasks: u64,
    steps: &[usize],
) -> Result<Vec<Evaluation>, Failure> {
    let Experiment { stream, problem, hyper, pool, .. } = experiment;
    let evaluator = Evaluator::adapting(problem, experiment.adaptation());
    let bytes = evaluator.bytes() as u64 * pool.current_num_threads() as u64 + tasks * 16 * steps.len() as u64;
    memory::check("measuring", bytes, "lower --shots, --queries, --tasks or --threads")?;
    Ok(evaluator.run(pool, stream.as_ref(), split, 0..tasks, theta, *hyper, steps))
}

/// The steps to measure after, ascending.
fn steps(asked: &[usize], config: &Config) -> Vec<usize> {
    let mut steps = asked.to_vec();
    if steps.is_empty() {
        steps = vec![0, config.inner_steps];
        if !config.dataset.classifies() {
            steps.extend([1, 5, 10]);
        }
    }
    steps.sort_unstable();
    steps.dedup();
    steps
}

/// One row per number of steps, one column per way to normalise the query set.
fn table(experiment: &Experiment, results: &[Evaluation]) -> Vec<String> {
    let names = |r: &Evaluation| {
        let normalises = experiment.problem.model().normalises_batches();
        if normalises { format!("{} {}", r.statistics.name(), r.measure.name()) } else { r.measure.name().into() }
    };
    let row = |first: String, cells: Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!("  {cell:>22}")).collect();
        format!("{first:>11}{cells}")
    };
    let mut lines = vec![row("steps".into(), results.iter().map(names).collect())];
    for (i, &(steps, _)) in results[0].after.iter().enumerate() {
        let cells = results.iter().map(|r| format::interval(r.measure, r.after[i].1)).collect();
        lines.push(row(steps.to_string(), cells));
    }
    if !experiment.inner.takes_all_steps() {
        lines.push(String::from("steps are the most that adaptation takes: it may end sooner"));
    }
    lines.push(String::from("± is a 95 % interval over tasks"));
    if results.len() > 1 {
        lines.push(String::from(
            "batch norm: transductive = queries normalised with each other's statistics; \
             inductive = with the support set's, each query classified alone",
        ));
    }
    lines
}

fn to_json(config: &Config, experiment: &Experiment, split: Split, tasks: u64, results: &[Evaluation]) -> Value {
    let normalises = experiment.problem.model().normalises_batches();
    let entry = |r: &Evaluation, after| {
        let mut object = result_json(r, after);
        if !normalises {
            object["statistics"] = Value::Null;
        }
        object
    };
    let entries: Vec<Value> = results.iter().flat_map(|r| r.after.iter().map(move |&a| entry(r, a))).collect();
    json!({
        "dataset": config.dataset,
        "method": config.method,
        "model": config.model,
        "ways": config.ways,
        "shots": config.shots,
        "queries": config.queries,
        "inner_solver": config.inner_solver,
        "inner_lr": config.inner_lr,
        "inner_tol": config.inner_tol,
        "lambda": config.lambda,
        "learn": config.learn,
        "adapt": config.adapt,
        "split": split.name(),
        "tasks": tasks,
        "seed": config.seed,
        "results": entries,
    })
}
