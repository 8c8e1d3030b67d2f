//! `imaml adapt`: a meta-learned model put to use, on images of one's own.

mod learner;
mod report;

use std::path::{Path, PathBuf};

use clap::Args;
use meta::problem::QueryStatistics;
use meta::tasks::SIDE;

use crate::checks;
use crate::config::Config;
use crate::console::say;
use crate::experiment;
use crate::failure::Failure;
use crate::files::write_out;
use crate::images::{self, Look};
use crate::model;
use crate::run_folder::RunFolder;
use learner::{Learner, Support};
use report::{Report, Said};

/// Adapt a trained run to examples of your own and label other images.
///
/// An image may have any size, colours and polarity, and margins: the ink is found, cropped and reduced as the drawings
/// of training were. One image shows one character.
#[derive(Args, Clone, Debug)]
pub struct AdaptArgs {
    /// The run's folder.
    run: PathBuf,
    /// The folder of examples: one folder of images for each class, whose name is the label.
    #[arg(long, value_name = "DIR")]
    support: PathBuf,
    /// The images to label: files, and folders of files.
    #[arg(long, value_name = "FILES", num_args = 1.., required = true)]
    query: Vec<PathBuf>,
    /// Steps of adaptation [default: as in training].
    #[arg(long, value_name = "K")]
    inner_steps: Option<usize>,
    /// Normalise the query images with each other's batch statistics, not with the examples': for many at once.
    #[arg(long)]
    transductive: bool,
    /// Where to write all probabilities, as CSV.
    #[arg(long, value_name = "FILE.csv")]
    out: Option<PathBuf>,
    /// Threads [default: all cores]; results do not depend on it.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// `imaml adapt`
///
/// # Errors
/// One line on what is wrong with the arguments, the run or an image.
pub fn adapt(args: &AdaptArgs) -> Result<(), Failure> {
    let pool = experiment::pool(args.threads)?;
    let folder = RunFolder::open(&args.run)?;
    // Steps asked for are no steps of training: whatever else the run says of those stays as it was.
    let config = Config::new(folder.settings()?)?;
    let steps = args.inner_steps.unwrap_or(config.inner_steps);
    checks::within(&[("--inner-steps", Some(steps as u64), checks::INNER_STEPS)])?;
    if !config.dataset.classifies() {
        let (run, dataset) = (args.run.display(), config.dataset);
        return Err(format!("{run} is a {dataset} run and reads no images: give one of glyphs or omniglot").into());
    }
    autodiff::Isa::detect()?;
    let model = model::parse(&config.model).map_err(|e| Failure::new(format_args!("model: {e}")))?;
    if model.input() != [SIDE, SIDE, 1] || !model.classifies() {
        return Err(format!("the model {} does not classify images of {SIDE} × {SIDE} × 1", model.spec()).into());
    }
    let layout = experiment::problem(&config, model.clone(), 1, 1)?.layout().clone();
    let theta = folder.parameters(&layout)?;
    let look = Look::of(config.dataset);
    let classes = classes(&args.support, model.outputs())?;
    let files = queries(&args.query)?;
    let support = Support::read(&classes, look)?;
    let mut x = Vec::new();
    for file in &files {
        x.extend(look.read(file)?);
    }
    let learner = Learner::new((&config, steps), &model, &theta, &support);
    let statistics = if args.transductive { QueryStatistics::Transductive } else { QueryStatistics::Inductive };
    let (fit, answers) = pool.install(|| {
        let fit = learner.probabilities(&support.x, QueryStatistics::Inductive)?;
        Ok::<_, Failure>((fit, learner.probabilities(&x, statistics)?))
    })?;
    let said = |files: &[PathBuf], rows: Vec<Vec<f64>>| -> Vec<Said> {
        files.iter().zip(rows).map(|(file, row)| Said::new(file, row)).collect()
    };
    let report = Report {
        config: &Config { inner_steps: steps, ..config.clone() },
        labels: support.labels.clone(),
        statistics,
        truth: &support.y,
        support: said(&support.files, fit),
        query: said(&files, answers),
    };
    if let Some(out) = &args.out {
        write_out(out, report.to_csv().as_bytes())?;
    }
    if args.json {
        say(report.to_json());
    } else {
        report.lines().iter().for_each(say);
    }
    Ok(())
}

/// The folders of the classes, as many as the network tells apart.
fn classes(support: &Path, ways: usize) -> Result<Vec<PathBuf>, Failure> {
    let folders = images::folders(support)?;
    if folders.len() != ways {
        let (shown, found) = (support.display(), folders.len());
        return Err(Failure::new(format_args!(
            "{shown} has {found} folders and the run tells {ways} classes apart: make one folder of examples for each \
             class, or train with --ways {}",
            found.max(2)
        )));
    }
    Ok(folders)
}

/// Files as they are, and the images in folders.
fn queries(asked: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in asked {
        if path.is_dir() {
            files.extend(images::images(path)?);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}
