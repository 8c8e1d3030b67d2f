//! What commands that measure a run share: which tasks, and the run brought to life.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::Config;
use crate::experiment::{self, Experiment};
use crate::failure::Failure;
use crate::run_folder::RunFolder;
use crate::settings::{Settings, SplitName};

/// The tasks that runs are measured on.
#[derive(Args, Clone, Debug)]
pub struct Measured {
    /// How many tasks.
    #[arg(long, value_name = "N", default_value_t = 600)]
    pub tasks: u64,
    /// Which tasks.
    #[arg(long, value_enum, default_value_t = SplitName::Test)]
    pub split: SplitName,
    /// Seed of the tasks [default: as in training; of several runs, as in the first].
    #[arg(long)]
    pub seed: Option<u64>,
    /// Where the data are now, should they have moved.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Threads [default: all cores]; results do not depend on it.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// A run's folder, configuration, tasks and parameters.
pub struct Run {
    /// Where it is.
    pub folder: RunFolder,
    /// How it was made.
    pub made: Config,
    /// The same, and what was changed for measuring.
    pub config: Config,
    /// Its tasks and network.
    pub experiment: Experiment,
    /// θ
    pub theta: Vec<f32>,
}

impl Measured {
    /// Refuses numbers of tasks that have no interval, or no end.
    ///
    /// # Errors
    /// One line on what it may be.
    pub fn check(&self) -> Result<(), Failure> {
        if !(2..=10_000_000).contains(&self.tasks) {
            return Err(format!("--tasks is {}: an interval needs 2 to 10000000", self.tasks).into());
        }
        Ok(())
    }

    /// A run, with the data and the seed asked for, and other settings changed.
    ///
    /// # Errors
    /// What is wrong with the run, the settings or the data.
    pub fn open(&self, run: &Path, changed: Settings) -> Result<Run, Failure> {
        let folder = RunFolder::open(run)?;
        let asked = Settings { data: self.data.clone(), seed: self.seed, ..Settings::default() };
        let made = Config::new(folder.settings()?)?;
        let config = Config::new(changed.or(asked).or(folder.settings()?))?;
        let experiment = Experiment::new(&config, experiment::pool(self.threads)?)?;
        let theta = folder.parameters(experiment.problem.layout())?;
        Ok(Run { folder, made, config, experiment, theta })
    }
}
