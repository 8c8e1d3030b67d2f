//! `imaml export-episode`: tasks of a stream and parameters, as an episode file that other tools can read.

use std::path::PathBuf;

use autodiff::Element;
use clap::Args;
use meta::tasks::Split;

use crate::commands::source::Precision;
use crate::config::Config;
use crate::console::say;
use crate::episode::{self, OutputFile, Tasks};
use crate::experiment;
use crate::failure::Failure;
use crate::format::count;
use crate::initial;
use crate::memory;
use crate::settings::{Dataset, Settings, SplitName};

/// The most tasks in one file.
const MOST_TASKS: u64 = 100_000;

/// Write tasks and parameters as an episode file, to check or to time other tools with.
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// Where tasks come from.
    dataset: Dataset,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How many tasks.
    #[arg(long, value_name = "T", default_value_t = 8)]
    tasks: u64,
    /// Which tasks.
    #[arg(long, value_enum, default_value_t = SplitName::Train)]
    split: SplitName,
    /// Number of the first task in its split.
    #[arg(long, value_name = "K", default_value_t = 0)]
    first: u64,
    /// Classes in a task.
    #[arg(long, value_name = "N")]
    ways: Option<usize>,
    /// Support examples: of each class, or in all for regression.
    #[arg(long, value_name = "N")]
    shots: Option<usize>,
    /// Query examples: of each class, or in all for regression.
    #[arg(long, value_name = "N")]
    queries: Option<usize>,
    /// Seed of the tasks, of the initial parameters and of the directions [default: 0].
    #[arg(long)]
    seed: Option<u64>,
    /// The folder with Omniglot's archives.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The network [default: as in imaml train].
    #[arg(long, value_name = "SPEC")]
    model: Option<String>,
    /// Take the parameters from this file, such as a run's model.safetensors, without what it learned beside them [default:
    /// drawn from the seed].
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// Precision of the file.
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    dtype: Precision,
    /// Add this many random directions, vector.*, for hvp.
    #[arg(long, value_name = "N", default_value_t = 0)]
    vectors: usize,
}

/// `imaml export-episode`
///
/// # Errors
/// One line on what is wrong with the arguments, the data or the files.
pub fn export(args: &ExportArgs) -> Result<(), Failure> {
    match args.dtype {
        Precision::F32 => export_in::<f32>(args),
        Precision::F64 => export_in::<f64>(args),
    }
}

fn export_in<T: Element>(args: &ExportArgs) -> Result<(), Failure> {
    if !(1..=MOST_TASKS).contains(&args.tasks) {
        return Err(format!("--tasks is {}: expected 1 to {MOST_TASKS}", args.tasks).into());
    }
    if args.first.checked_add(args.tasks).is_none() {
        return Err(format!("--first is {}: there are no {} tasks from there on", args.first, args.tasks).into());
    }
    if args.vectors > 1000 {
        return Err(format!("--vectors is {}: expected at most 1000", args.vectors).into());
    }
    let config = Config::new(Settings {
        dataset: Some(args.dataset),
        data: args.data.clone(),
        model: args.model.clone(),
        ways: args.ways,
        shots: args.shots,
        queries: args.queries,
        seed: args.seed,
        ..Settings::default()
    })?;
    let (model, stream) = experiment::tasks(&config)?;
    // As sampled, in the file's order of axes, as bytes, and with what is around them.
    let (shape, copies) = (stream.shape(), 4);
    let rows = (shape.support + shape.query) as u64 * shape.x.iter().product::<usize>() as u64;
    let layout = model.layout();
    let vectors = (args.vectors as u64).saturating_mul(layout.len() as u64);
    let about = args.tasks.saturating_mul(rows).saturating_add(vectors).saturating_mul(copies * size_of::<T>() as u64);
    memory::check("this", about, "take fewer --tasks or --vectors")?;
    let parameters: Vec<T> = match &args.init {
        Some(path) => initial::from_file(path, &model)?,
        None => initial::parameters(&model, config.seed),
    };
    let mut file = OutputFile::default();
    file.add_parameters("param", layout, &[&parameters], false);
    if args.vectors > 0 {
        let mut uniform = initial::uniform("directions", config.seed);
        let mut direction = || {
            // Padding between parameters stays 0; a file has none anyway.
            let mut v = vec![T::zero(); layout.len()];
            for entry in layout.entries() {
                v[entry.range()].fill_with(|| T::from_f64(2.0 * uniform() - 1.0));
            }
            v
        };
        let directions: Vec<Vec<T>> = (0..args.vectors).map(|_| direction()).collect();
        let directions: Vec<&[T]> = directions.iter().map(|v| &v[..]).collect();
        file.add_parameters("vector", layout, &directions, true);
    }

    let split: Split = args.split.into();
    file.add_tasks(&model, &Tasks::<T>::sample(stream.as_ref(), split, args.first, args.tasks as usize));
    episode::write(&args.out, &file)?;
    let (tasks, out) = (count(args.tasks, "task"), args.out.display());
    say(format_args!("{tasks} of {}, from number {} of the {split} split, in {out}", config.tasks(), args.first));
    say(format_args!("check them with: imaml verify {out} --model {}", model.spec()));
    Ok(())
}
