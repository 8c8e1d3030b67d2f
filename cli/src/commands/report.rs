//! `imaml report`: the page of a run, or several runs compared on the same tasks.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use meta::tasks::Split;

use crate::commands::eval::evaluate;
use crate::commands::measured::{Measured, Run};
use crate::console::say;
use crate::failure::Failure;
use crate::files::write_out;
use crate::format;
use crate::report::{self, Contender, History, Subject};
use crate::settings::Settings;

/// Write a run's report.html, measured on test tasks; or compare several runs, paired on the same test tasks.
#[derive(Args, Clone, Debug)]
pub struct ReportArgs {
    /// Run folders.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    #[command(flatten)]
    measured: Measured,
    /// Where to write [default: RUN/report.html, for several runs comparison.html].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// `imaml report`
///
/// # Errors
/// One line on what is wrong with the arguments, a run or the data, or why runs cannot be compared.
pub fn report(args: &ReportArgs) -> Result<ExitCode, Failure> {
    args.measured.check()?;
    match &args.runs[..] {
        [run] => one(args, run),
        runs => several(args, runs),
    }
}

fn one(args: &ReportArgs, run: &Path) -> Result<ExitCode, Failure> {
    let Run { mut folder, made, config, experiment, theta } = args.measured.open(run, Settings::default())?;
    // The page shows it.
    config.check_writable()?;
    if args.out.is_none() {
        folder = folder.claimed()?;
    }
    let metrics = folder.metrics()?;
    let subject = Subject {
        made: &made,
        config: &config,
        experiment: &experiment,
        theta: &theta,
        metrics: &metrics,
        split: args.measured.split.into(),
        tasks: args.measured.tasks,
    };
    let html = report::of_run(&subject)?;
    let out = match &args.out {
        Some(path) => {
            write_out(path, html.as_bytes())?;
            path.clone()
        }
        None => folder.write_report(&html)?,
    };
    say(format_args!("wrote {}", out.display()));
    Ok(ExitCode::SUCCESS)
}

fn several(args: &ReportArgs, runs: &[PathBuf]) -> Result<ExitCode, Failure> {
    let (split, tasks): (Split, u64) = (args.measured.split.into(), args.measured.tasks);
    let mut opened: Vec<Run> = Vec::new();
    for run in runs {
        let seed = args.measured.seed.or(opened.first().map(|first| first.config.seed));
        let next = args.measured.open(run, Settings { seed, ..Settings::default() })?;
        if let Some(first) = opened.first() {
            check_same_tasks(first, &next, &runs[0], run)?;
        }
        opened.push(next);
    }
    let mut contenders = Vec::new();
    for (Run { folder, config, experiment, theta, .. }, run) in opened.iter().zip(runs) {
        // The last number of steps is the one that runs are compared at.
        let mut steps: Vec<usize> = (0..=4).map(|i| i * config.inner_steps / 4).collect();
        steps.dedup();
        contenders.push(Contender {
            name: run.display().to_string(),
            title: config.title(),
            results: evaluate(experiment, theta, split, tasks, &steps)?,
            history: History::parse(&folder.metrics()?),
        });
    }
    let steps: Vec<usize> = opened.iter().map(|o| o.config.inner_steps).collect();
    let (html, sentences) = report::comparison(&contenders, &steps, split, tasks);
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("comparison.html"));
    write_out(&out, html.as_bytes())?;
    for (contender, k) in contenders.iter().zip(&steps) {
        let result = &contender.results[0];
        let value = meta::train::Interval::of(&result.per_task);
        let value = format::interval(result.measure, value);
        say(format_args!(
            "{value:>18}  {} ({}, {})",
            contender.name,
            contender.title,
            format::count(*k as u64, "step")
        ));
    }
    for sentence in sentences {
        say(sentence);
    }
    say(format_args!("wrote {}", out.display()));
    Ok(ExitCode::SUCCESS)
}

/// Runs are compared on the same tasks: they must be able to take them.
fn check_same_tasks(first: &Run, other: &Run, first_path: &Path, path: &Path) -> Result<(), Failure> {
    let kind = |o: &Run| (o.config.dataset, o.config.tasks());
    if kind(first) == kind(other) {
        return Ok(());
    }
    Err(Failure::new(format_args!(
        "{} has other tasks ({}) than {} ({}): compare runs of the same data set, ways, shots and queries",
        path.display(),
        other.config.tasks(),
        first_path.display(),
        first.config.tasks()
    )))
}
