//! `imaml` without arguments: the main job from beginning to end on data that the program makes itself.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use meta::predict::Measure;
use meta::tasks::{Episode, Split, TaskStream, nearest_neighbour_accuracy};
use meta::train::{Evaluation, Interval};
use rayon::prelude::*;

use crate::commands::eval::evaluate;
use crate::commands::train::{announce, conclude, write_report};
use crate::config::Config;
use crate::console::say;
use crate::defaults::DEMO_MINUTES;
use crate::experiment::{self, Experiment};
use crate::failure::Failure;
use crate::format;
use crate::initial;
use crate::run_folder::RunFolder;
use crate::settings::Settings;
use crate::training::{self, Ending};

/// Tasks to measure on.
const TASKS: u64 = 600;

/// Where the run is saved; replaced each time.
const RUN: &str = "runs/demo";

/// Meta-train on made-up characters, measure on others: what `imaml` alone does.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Minutes of training.
    #[arg(long, value_name = "M", default_value_t = DEMO_MINUTES)]
    minutes: f64,
    /// Threads [default: all cores].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

impl Default for DemoArgs {
    fn default() -> Self {
        DemoArgs { minutes: DEMO_MINUTES, threads: None }
    }
}

/// `imaml demo`, or `imaml` alone.
///
/// # Errors
/// Where the run cannot be saved.
pub fn demo(args: &DemoArgs) -> Result<ExitCode, Failure> {
    let config = Config::new(Settings { minutes: Some(args.minutes), ..Settings::default() })?;
    let folder = RunFolder::new(Path::new(RUN), true)?;
    let experiment = Experiment::new(&config, experiment::pool(args.threads)?)?;
    announce(&config, &experiment);
    let outcome = training::train(&config, &experiment, &folder, None)?;
    if outcome.ending == Ending::Interrupted {
        return Ok(conclude(&folder, &outcome));
    }
    write_report(&config, &experiment, &folder, &outcome)?;

    let steps = [config.inner_steps];
    let measure = |theta: &[f32]| evaluate(&experiment, theta, Split::Test, TASKS, &steps);
    let trained = measure(&outcome.theta)?;
    let untrained = measure(&initial::parameters(experiment.problem.model(), config.seed))?;
    let ways = config.ways.unwrap_or(1);
    let nearest = nearest_neighbour(&experiment, ways);

    let after = |results: &[Evaluation], i: usize| {
        results
            .get(i)
            .and_then(|r| r.after.first())
            .map_or(String::new(), |&(_, v)| format::interval(Measure::Accuracy, v))
    };
    let (k, tasks) = (config.inner_steps, outcome.standing.tasks);
    say(format_args!("{tasks} training tasks in {}", format::clock(outcome.standing.seconds)));
    say("");
    say(format_args!("accuracy on {TASKS} tasks of characters never seen before (± 95 %):"));
    say(format_args!(
        "  {:>16}  meta-trained with {}, {k} steps of adaptation",
        after(&trained, 0),
        config.method.title()
    ));
    say(format_args!("  {:>16}  the same, each query classified alone (inductive batch norm)", after(&trained, 1)));
    say(format_args!("  {:>16}  the same adaptation from untrained weights", after(&untrained, 0)));
    say(format_args!(
        "  {:>16}  nearest neighbour on pixels, no learning",
        format::interval(Measure::Accuracy, nearest)
    ));
    say(format_args!("  {:>16}  guessing", format!("{:.2} %", 100.0 / ways as f64)));
    say("");
    say(
        "What happened: the network saw many small tasks, each with new characters and one drawing of each. It learned",
    );
    say("where to start, so that a few gradient steps on one drawing are enough. The derivative of \"adapt, then");
    say("measure\" came from the end of the adaptation alone, by the implicit function theorem (iMAML).");
    say(format_args!("The run is in {RUN}, and {RUN}/report.html shows it. What to try next:"));
    let next = [
        (format!("imaml eval {RUN} --inner-steps 0,1,4,16,64"), "more or less adaptation"),
        (format!("imaml train --resume {RUN} --minutes {}", 4.0 * args.minutes), "longer"),
        ("imaml train glyphs --method maml".into(), "through the steps instead"),
        ("imaml train sinusoid --method maml".into(), "regression, in seconds"),
        ("imaml train omniglot --data DIR".into(), "handwritten characters"),
    ];
    for (command, what) in next {
        say(format_args!("  {command:<48}  {what}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Of the same tasks that the network is measured on.
fn nearest_neighbour(experiment: &Experiment, ways: usize) -> Interval {
    let stream: &dyn TaskStream = experiment.stream.as_ref();
    let one = |episode: &mut Episode, k: u64| {
        stream.sample(Split::Test, k, episode);
        nearest_neighbour_accuracy(episode, ways)
    };
    let fresh = || Episode::empty_for(stream.shape());
    let values: Vec<f64> = experiment.pool.install(|| (0..TASKS).into_par_iter().map_init(fresh, one).collect());
    Interval::of(&values)
}
