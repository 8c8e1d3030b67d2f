//! The folder of a run, and how it is written: each file beside its place, then renamed.
//!
//! | file | what it holds |
//! |---|---|
//! | `config.toml` | the effective [`Config`] |
//! | `metrics.jsonl` | one JSON object per logged iteration or validation |
//! | `metrics.csv` | the same as a [table](crate::metrics::csv), one row an iteration |
//! | `events.out.tfevents.imaml` | with `--tensorboard`: the same for [TensorBoard](crate::tensorboard) |
//! | `model.safetensors` | θ, as a PyTorch `state_dict` |
//! | `report.html` | what came of it, as a page |
//! | `checkpoint.safetensors` | θ, the outer optimiser's vectors, what warm starts begin from, iteration, seconds, seed |
//!
//! A reader sees an old file or a new one, never half of one. The checkpoint comes last: whatever is interrupted
//! between two files, going on from it writes the others again. What an earlier run left that this one does not write at once
//! goes first. One process writes to a folder.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use nn::Layout;
use serde::{Deserialize, Serialize};

use crate::claim::Claim;
use crate::config::Config;
use crate::failure::Failure;
use crate::files::{remove, write_through, write_whole};
use crate::metrics::{self, csv};
use crate::parameter_file::{ParameterFile, to_bytes};
use crate::settings::Settings;
use crate::tensorboard;
use crate::warm_start::WarmStartName;

const CONFIG: &str = "config.toml";
const METRICS: &str = "metrics.jsonl";
const TABLE: &str = "metrics.csv";
/// TensorBoard reads every file of a folder whose name has `tfevents` in it: one name, whatever the run, so that there
/// are never two.
const EVENTS: &str = "events.out.tfevents.imaml";
/// …and no such name while the file is being written.
const EVENTS_TEMPORARY: &str = "events.partial";
const MODEL: &str = "model.safetensors";
const REPORT: &str = "report.html";
const CHECKPOINT: &str = "checkpoint.safetensors";

/// The metadata key of a checkpoint.
const KEY: &str = "imaml";

/// A run's folder.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Where it is written to.
    claim: Option<Claim>,
    /// What is there of an earlier run, or an earlier end of this one, until the first save.
    stale: AtomicBool,
    /// A run from the beginning: an earlier run's checkpoint and model are none of this one.
    from_the_beginning: bool,
}

/// Where a run stands, besides its vectors.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Iterations done.
    pub iteration: u64,
    /// Training tasks seen: the number of the next one.
    pub tasks: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// The seed of tasks and initial parameters.
    pub seed: u64,
    /// Training tasks left out because their meta-gradient was not finite.
    #[serde(default)]
    pub skipped: u64,
    /// With --tol auto: the bits of what the next tolerances follow from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<[u64; 4]>,
}

/// What a save writes.
pub struct Snapshot<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Lines of metrics so far.
    pub metrics: &'a str,
    /// Where the run stands.
    pub standing: Standing,
    /// Where θ's parts belong.
    pub layout: &'a Layout,
    /// θ
    pub theta: &'a [f32],
    /// The outer optimiser's vectors.
    pub optimiser: Vec<(&'static str, &'a [f32])>,
    /// What linear solves start from, where they do not start from 0.
    pub start: Option<&'a [f32]>,
}

/// What a run goes on from.
pub struct Checkpoint {
    /// Where it stood.
    pub standing: Standing,
    /// θ
    pub theta: Vec<f32>,
    /// The outer optimiser's vectors.
    pub optimiser: Vec<(&'static str, Vec<f32>)>,
    /// What linear solves start from, where they do not start from 0.
    pub start: Option<Vec<f32>>,
}

impl RunFolder {
    /// A folder for a new run, which no other process writes to. It is empty, or as it was, until the first save.
    ///
    /// # Errors
    /// Where something is there already, unless `force`, or another process writes to it.
    pub fn new(path: &Path, force: bool) -> Result<Self, Failure> {
        let shown = path.display();
        if path.exists() && !path.is_dir() {
            return Err(format!("{shown} is a file: choose a folder with --out").into());
        }
        let claim = Claim::of(path)?;
        let empty = std::fs::read_dir(path).map_or(true, |mut entries| entries.next().is_none());
        if !empty && !force {
            return Err(Failure::new(format_args!(
                "{shown} is there already: go on with --resume {shown}, replace it with --force, or choose another --out"
            )));
        }
        Ok(RunFolder { path: path.into(), claim: Some(claim), stale: AtomicBool::new(true), from_the_beginning: true })
    }

    /// The folder of a run that is there, to read.
    ///
    /// # Errors
    /// Where there is none.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let stale = AtomicBool::new(true);
        let folder = RunFolder { path: path.into(), claim: None, stale, from_the_beginning: false };
        let shown = path.display();
        if !path.is_dir() {
            return Err(format!("there is no run folder {shown}: make one with imaml train --out {shown}").into());
        }
        if !folder.file(CONFIG).is_file() {
            return Err(format!("{shown} is no run folder, it has no {CONFIG}: give one that imaml train made").into());
        }
        Ok(folder)
    }

    /// The same, to go on with it.
    ///
    /// # Errors
    /// Where another process writes to it.
    pub fn claimed(self) -> Result<Self, Failure> {
        Ok(RunFolder { claim: Some(Claim::of(&self.path)?), ..self })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Its settings.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn settings(&self) -> Result<Settings, Failure> {
        Settings::read(&self.file(CONFIG))
    }

    /// The trained parameters.
    ///
    /// # Errors
    /// Where they cannot be read, or belong to another model.
    pub fn parameters(&self, layout: &Layout) -> Result<Vec<f32>, Failure> {
        let path = self.file(MODEL);
        let bytes = std::fs::read(&path).map_err(|e| Failure::io("read", &path, &e))?;
        ParameterFile::parse(&path, &bytes)?.vector(layout, "")
    }

    /// The last save, with the outer optimiser's vectors of these names.
    ///
    /// # Errors
    /// Where it cannot be read, or belongs to another model or seed.
    pub fn checkpoint(&self, layout: &Layout, config: &Config, names: &[&'static str]) -> Result<Checkpoint, Failure> {
        let path = self.file(CHECKPOINT);
        let bytes = std::fs::read(&path).map_err(|e| Failure::io("read", &path, &e))?;
        let file = ParameterFile::parse(&path, &bytes)?;
        let standing: Option<Standing> = file.metadata(KEY).and_then(|text| serde_json::from_str(text).ok());
        let standing =
            standing.ok_or_else(|| format!("{} does not say where its run stands: train again", path.display()))?;
        if standing.seed != config.seed || standing.tasks != standing.iteration * config.meta_batch as u64 {
            let shown = path.display();
            return Err(format!("{shown} belongs to another seed or meta-batch than {CONFIG}: train again").into());
        }
        let theta = file.vector(layout, "theta.")?;
        let vector = |&name| Ok((name, file.vector(layout, &format!("{name}."))?));
        let optimiser = names.iter().map(vector).collect::<Result<_, Failure>>()?;
        let warm = config.warm_start == Some(WarmStartName::Previous);
        let start = warm.then(|| file.vector(layout, "start.")).transpose()?;
        Ok(Checkpoint { standing, theta, optimiser, start })
    }

    /// The lines of metrics.
    ///
    /// # Errors
    /// Where the file is there and cannot be read.
    pub fn metrics(&self) -> Result<String, Failure> {
        let path = self.file(METRICS);
        match std::fs::read_to_string(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            read => read.map_err(|e| Failure::io("read", &path, &e)),
        }
    }

    /// Those up to an iteration that a run without interruption has too: not the one that an ending added.
    ///
    /// # Errors
    /// As [`metrics`](RunFolder::metrics).
    pub fn metrics_until(&self, config: &Config, iteration: u64) -> Result<String, Failure> {
        let text = self.metrics()?;
        let kept = |line: &&str| {
            let row = metrics::row(line);
            row.is_some_and(|r| r.iteration <= iteration && (r.validation.is_some() || config.logs(r.iteration)))
        };
        Ok(text.lines().filter(kept).flat_map(|line| [line, "\n"]).collect())
    }

    /// Writes the page, and says where it is.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write_report(&self, html: &str) -> Result<PathBuf, Failure> {
        let path = self.file(REPORT);
        write_whole(&path, html.as_bytes())?;
        Ok(path)
    }

    /// Writes all files, and the folder where it is not there.
    ///
    /// # Errors
    /// Where something cannot be written, or θ is not finite.
    pub fn save(&self, snapshot: &Snapshot<'_>) -> Result<(), Failure> {
        let Snapshot { config, metrics, standing, layout, theta, optimiser, start } = snapshot;
        if theta.iter().any(|t| !t.is_finite()) {
            let iteration = standing.iteration;
            return Err(format!("the parameters are not finite after iteration {iteration}: lower --outer-lr").into());
        }
        debug_assert!(self.claim.is_some(), "a folder is claimed before it is written to");
        std::fs::create_dir_all(&self.path).map_err(|e| Failure::io("make the folder", &self.path, &e))?;
        if self.stale.swap(false, Ordering::Relaxed) {
            remove(&self.file(REPORT))?;
            if self.from_the_beginning {
                remove(&self.file(CHECKPOINT))?;
                remove(&self.file(MODEL))?;
            }
        }
        let mut vectors = vec![("theta.".to_owned(), *theta)];
        vectors.extend(optimiser.iter().map(|(name, values)| (format!("{name}."), *values)));
        vectors.extend(start.map(|values| ("start.".to_owned(), values)));
        let vectors: Vec<(&str, &[f32])> = vectors.iter().map(|(prefix, values)| (prefix.as_str(), *values)).collect();
        let standing = serde_json::to_string(standing).expect("numbers have a form in JSON");
        write_whole(&self.file(CONFIG), config.to_toml().as_bytes())?;
        write_whole(&self.file(METRICS), metrics.as_bytes())?;
        let rows = metrics::rows(metrics);
        write_whole(&self.file(TABLE), csv::csv(&rows).as_bytes())?;
        if config.tensorboard {
            write_through(&self.file(EVENTS_TEMPORARY), &self.file(EVENTS), &tensorboard::to_bytes(&rows))?;
        } else {
            // An earlier run's would be shown as this one.
            remove(&self.file(EVENTS))?;
        }
        write_whole(&self.file(MODEL), &to_bytes(layout, &[("", theta)], ("format", "pt")))?;
        write_whole(&self.file(CHECKPOINT), &to_bytes(layout, &vectors, (KEY, &standing)))
    }
}
