//! `imaml train daml`: what a learned inner loss has to see, compared in closed loop on tasks never seen.

mod results;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use clap::builder::PossibleValuesParser;
use meta::daml::{Experiment, Learner, Training, World};
use meta::tasks::Split;
use rayon::ThreadPool;

use crate::checks;
use crate::claim::Claim;
use crate::console::say;
use crate::experiment;
use crate::failure::Failure;
use crate::files::{check_writable, write_whole};
use crate::format::count;
use crate::progress::{Progress, View};
use results::{Row, conclusions, csv, table};

/// The most of anything that is counted, so that no request can exhaust the memory.
const MOST: u64 = 1_000_000;

/// Imitate a person across a domain shift: learned inner losses compared (Yu et al. 2018).
#[derive(Args, Clone, Debug)]
pub struct DamlArgs {
    /// How much the person differs from the robot: 0 not at all, 0.5 medium, 1 most.
    #[arg(long, default_value_t = 0.5)]
    gap: f64,
    /// Outer iterations of each learner.
    #[arg(long, value_name = "N")]
    iterations: Option<u64>,
    /// Seed of the tasks and of the initial parameters.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Which learners [default: all].
    #[arg(long, value_name = "NAME,...", value_delimiter = ',',
          value_parser = PossibleValuesParser::new(Learner::ALL.map(Learner::name)))]
    methods: Vec<String>,
    /// Unseen tasks to measure on.
    #[arg(long, value_name = "N", default_value_t = 500)]
    tasks: u64,
    /// Step size of adaptation.
    #[arg(long, value_name = "RATE")]
    inner_lr: Option<f64>,
    /// Step size of the outer optimiser.
    #[arg(long, value_name = "RATE")]
    outer_lr: Option<f64>,
    /// Where results.csv is written, over an older one.
    #[arg(long, value_name = "DIR", default_value = "runs/daml")]
    out: PathBuf,
    /// Threads [default: all cores]; results do not depend on it.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// `imaml train daml`
///
/// # Errors
/// One line on what is wrong with the options or the folder, or where training left the finite numbers.
pub fn daml(args: &DamlArgs) -> Result<ExitCode, Failure> {
    checks::positive::<f32>(&[("--inner-lr", args.inner_lr), ("--outer-lr", args.outer_lr)])?;
    for (value, flag) in [(args.iterations, "--iterations"), (Some(args.tasks), "--tasks")] {
        if let Some(n) = value.filter(|n| !(1..=MOST).contains(n)) {
            return Err(format!("{flag} is {n}: expected 1 to {MOST}").into());
        }
    }
    if !(0.0..=1.0).contains(&args.gap) {
        return Err(format!("--gap is {}: expected 0 to 1", args.gap).into());
    }
    let world = World::new(args.seed, args.gap)?;
    autodiff::Isa::detect()?;
    let pool = experiment::pool(args.threads)?;
    // Before the minutes of training: a folder that cannot be written is known at once.
    let _claim = Claim::of(&args.out)?;
    check_writable(&args.out)?;

    let asked = |learner: &Learner| args.methods.is_empty() || args.methods.iter().any(|m| m == learner.name());
    let mut rows = Vec::new();
    for learner in Learner::ALL.into_iter().filter(asked) {
        rows.push(one(args, world, learner, &pool)?);
        // After each, so that what is done is not lost.
        write_whole(&args.out.join("results.csv"), csv(&rows).as_bytes())?;
    }
    say("");
    say(format_args!(
        "success on {} with a person never seen before, domain gap {} (± 95 %):",
        count(args.tasks, "unseen task"),
        args.gap
    ));
    table(&rows).iter().chain(&conclusions(&rows)).for_each(say);
    say(format_args!("saved in {}", args.out.join("results.csv").display()));
    Ok(ExitCode::SUCCESS)
}

/// Trains and measures one learner.
fn one(args: &DamlArgs, world: World, learner: Learner, pool: &ThreadPool) -> Result<Row, Failure> {
    let default = Training::of(learner);
    let training = Training {
        iterations: args.iterations.unwrap_or(default.iterations),
        rate: args.inner_lr.unwrap_or(default.rate),
        outer_rate: args.outer_lr.unwrap_or(default.outer_rate),
        seed: args.seed,
        ..default
    };
    let experiment = Experiment::new(world, learner, training);
    say(format_args!("{}: {}", learner.title(), count(training.iterations, "iteration")));
    let (mut progress, started) = (Progress::new(), Instant::now());
    let theta = experiment.train(pool, |iteration, report| {
        let seconds = started.elapsed().as_secs_f64();
        progress.show(&View {
            done: iteration as f64 / training.iterations as f64,
            iteration,
            iterations: Some(training.iterations),
            seconds,
            speed: (iteration * training.meta_batch as u64) as f64 / seconds,
            report,
            validation: "",
        });
    });
    progress.end();
    let theta = theta.map_err(|error| Failure::not_finite(error, "lower --inner-lr or --outer-lr"))?;
    if theta.iter().any(|t| !t.is_finite()) {
        return Err("the parameters are not finite after the last iteration: lower --outer-lr".into());
    }
    let rates = experiment.measure(pool, Split::Test, args.tasks as usize, &theta);
    let row = Row { learner, gap: args.gap, training, rates };
    say(format_args!("  {}", row.success()));
    Ok(row)
}
