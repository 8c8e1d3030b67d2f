//! `imaml train`: meta-trains and saves a run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use meta::tasks::Split;

use crate::commands::daml::{DamlArgs, daml};
use crate::config::Config;
use crate::console::say;
use crate::experiment::{self, Experiment};
use crate::failure::Failure;
use crate::format::{clock, count};
use crate::report::{self, Subject};
use crate::run_folder::RunFolder;
use crate::settings::Settings;
use crate::training::{self, Ending, Outcome};

/// Meta-train: learn parameters from which few examples are enough.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct TrainArgs {
    #[command(subcommand)]
    other: Option<Other>,
    #[command(flatten)]
    settings: Settings,
    /// Settings from a file, such as the config.toml of another run; options win over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The run's folder [default: runs/DATASET-METHOD].
    #[arg(long, value_name = "RUN")]
    out: Option<PathBuf>,
    /// Replace the run in that folder.
    #[arg(long)]
    force: bool,
    /// Go on with an interrupted run, or with more --iterations or --minutes.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["config", "out", "force"])]
    resume: Option<PathBuf>,
    /// Threads [default: all cores]; results do not depend on it.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// What is trained otherwise than on episodes.
#[derive(Subcommand, Clone, Debug)]
enum Other {
    Daml(DamlArgs),
}

/// `imaml train`
///
/// # Errors
/// One line on what is wrong with the settings, the data or the folder, or where training left the finite numbers.
pub fn train(args: &TrainArgs) -> Result<ExitCode, Failure> {
    match (&args.other, &args.resume) {
        (Some(Other::Daml(args)), _) => daml(args),
        (None, Some(path)) => resume(args, path),
        (None, None) => begin(args),
    }
}

fn begin(args: &TrainArgs) -> Result<ExitCode, Failure> {
    let mut file = args.config.as_deref().map_or(Ok(Settings::default()), Settings::read)?;
    if args.settings != Settings::default() {
        // The file's choice was made for the run that it is of; this is another, and auto chooses again.
        (file.choice, file.chosen_because) = (None, None);
    }
    let mut config = Config::new(args.settings.clone().or(file))?;
    config.check_writable()?;
    let default = || Path::new("runs").join(format!("{}-{}", config.dataset, config.method.name()));
    let folder = RunFolder::new(&args.out.clone().unwrap_or_else(default), args.force)?;
    let experiment = Experiment::new(&config, experiment::pool(args.threads)?)?;
    experiment.choose(&mut config)?;
    announce(&config, &experiment);
    let outcome = training::train(&config, &experiment, &folder, None)?;
    write_report(&config, &experiment, &folder, &outcome)?;
    Ok(conclude(&folder, &outcome))
}

fn resume(args: &TrainArgs, path: &Path) -> Result<ExitCode, Failure> {
    let folder = RunFolder::open(path)?.claimed()?;
    let changeable = Settings {
        iterations: args.settings.iterations,
        minutes: args.settings.minutes,
        data: args.settings.data.clone(),
        on_not_finite: args.settings.on_not_finite,
        tensorboard: args.settings.tensorboard,
        ..Settings::default()
    };
    if args.settings != changeable {
        return Err("--resume goes on with the run's own settings: besides it only --iterations, --minutes, --data, \
                    --on-not-finite, --tensorboard and --threads can be given"
            .into());
    }
    let config = Config::new(changeable.or(folder.settings()?))?;
    config.check_writable()?;
    let experiment = Experiment::new(&config, experiment::pool(args.threads)?)?;
    let optimiser = experiment.optimiser(&config);
    let names: Vec<&str> = optimiser.state().iter().map(|(name, _)| *name).collect();
    let checkpoint = folder.checkpoint(experiment.problem.layout(), &config, &names)?;
    let iteration = checkpoint.standing.iteration;
    if config.done(iteration, checkpoint.standing.seconds) >= 1.0 {
        return Err(Failure::new(format_args!(
            "{} is complete after {iteration} iterations ({} of training): ask for more with --iterations or --minutes",
            path.display(),
            clock(checkpoint.standing.seconds)
        )));
    }
    let metrics = folder.metrics_until(&config, iteration)?;
    announce(&config, &experiment);
    say(format_args!("going on after iteration {iteration}"));
    let outcome = training::train(&config, &experiment, &folder, Some((checkpoint, metrics)))?;
    write_report(&config, &experiment, &folder, &outcome)?;
    Ok(conclude(&folder, &outcome))
}

/// Says what is about to happen.
pub fn announce(config: &Config, experiment: &Experiment) {
    let Config { method, model, meta_batch, .. } = config;
    let (parameters, threads) = (experiment.problem.layout().parameter_count(), experiment.pool.current_num_threads());
    say(format_args!("{} on {}", method.title(), config.tasks()));
    say(format_args!("  network  {model}, {parameters} parameters"));
    let solve = config.solve().map_or(String::new(), |solve| format!(", then {solve}"));
    say(format_args!("  inner    {}{solve}", config.descent()));
    if let (Some(choice), Some(reason)) = (&config.choice, &config.chosen_because) {
        say(format_args!("  chosen   {choice}: {reason}"));
    }
    let long = match (config.iterations, config.minutes) {
        (Some(n), _) => count(n, "iteration"),
        (None, minutes) => format!("{} minutes", minutes.unwrap_or(0.0)),
    };
    let (tasks, threads) = (count(*meta_batch as u64, "task"), count(threads as u64, "thread"));
    say(format_args!("  outer    {tasks} an iteration, {long}, seed {}, {threads}", config.seed));
}

/// Writes the page of a run that is complete, if there is memory for it, measured on validation tasks: test tasks are for
/// reporting once.
///
/// # Errors
/// Where it cannot be written.
pub fn write_report(
    config: &Config,
    experiment: &Experiment,
    folder: &RunFolder,
    outcome: &Outcome,
) -> Result<(), Failure> {
    if outcome.ending == Ending::Complete {
        let metrics = folder.metrics()?;
        let (theta, split, tasks) = (&outcome.theta[..], Split::Validation, config.eval_tasks);
        let subject = Subject { made: config, config, experiment, theta, metrics: &metrics, split, tasks };
        match report::of_run(&subject) {
            Ok(html) => drop(folder.write_report(&html)?),
            // What was trained is saved, whatever can be shown of it.
            Err(why) => say(format_args!("no page of it: {why}; later: imaml report {}", folder.path().display())),
        }
    }
    Ok(())
}

/// Says what came of it.
pub fn conclude(folder: &RunFolder, outcome: &Outcome) -> ExitCode {
    let standing = outcome.standing;
    let (run, iteration, tasks) = (folder.path().display(), standing.iteration, standing.tasks);
    let validation = if outcome.validation.is_empty() { String::new() } else { format!(", {}", outcome.validation) };
    let (iterations, tasks) = (count(iteration, "iteration"), count(tasks, "task"));
    say(format_args!("{iterations}, {tasks} in {}{validation}", clock(standing.seconds)));
    match outcome.ending {
        Ending::Complete => {
            say(format_args!("saved in {run}, look at {run}/report.html; measure it with: imaml eval {run}"));
            ExitCode::SUCCESS
        }
        Ending::Interrupted => {
            say(format_args!("stopped and saved; go on with: imaml train --resume {run}"));
            ExitCode::from(130)
        }
    }
}
