//! Adaptation to examples, and what the adapted network says.

use std::path::PathBuf;

use autodiff::Arg;
use meta::inner::Hyper;
use meta::predict::{Predictor, softmax};
use meta::problem::QueryStatistics;
use meta::tasks::SIDE;
use nn::Model;

use crate::config::Config;
use crate::experiment;
use crate::failure::Failure;
use crate::images::{self, Look};
use crate::memory;

/// Examples of each class.
pub struct Support {
    /// The classes' names.
    pub labels: Vec<String>,
    /// Where the examples come from, in class order.
    pub files: Vec<PathBuf>,
    /// The examples, [rows, 28, 28, 1].
    pub x: Vec<f32>,
    /// Their classes, as places in `labels`.
    pub y: Vec<u32>,
}

impl Support {
    /// The images in one folder for each class.
    ///
    /// # Errors
    /// Where a folder is empty, or an image cannot be read.
    pub fn read(classes: &[PathBuf], look: Look) -> Result<Support, Failure> {
        let mut support = Support { labels: Vec::new(), files: Vec::new(), x: Vec::new(), y: Vec::new() };
        for (class, folder) in classes.iter().enumerate() {
            let name = folder.file_name().unwrap_or(folder.as_os_str());
            support.labels.push(name.to_string_lossy().into_owned());
            for file in images::images(folder)? {
                support.x.extend(look.read(&file)?);
                support.y.push(class as u32);
                support.files.push(file);
            }
        }
        Ok(support)
    }
}

/// A run's parameters and its inner solver, with examples to adapt to.
pub struct Learner<'a> {
    model: &'a Model,
    theta: &'a [f32],
    support: &'a Support,
    config: &'a Config,
    hyper: Hyper,
    steps: usize,
}

impl<'a> Learner<'a> {
    /// As the run trained, but in so many steps.
    pub fn new((config, steps): (&'a Config, usize), model: &'a Model, theta: &'a [f32], support: &'a Support) -> Self {
        Learner { model, theta, support, config, hyper: experiment::hyper(config), steps }
    }

    /// softmax of the adapted network's outputs, for each image of `x` [rows, 28, 28, 1].
    ///
    /// # Errors
    /// Where the memory is not there, or the outputs are not finite.
    pub fn probabilities(&self, x: &[f32], statistics: QueryStatistics) -> Result<Vec<Vec<f64>>, Failure> {
        let Learner { model, theta, support, config, hyper, steps } = *self;
        let rows = x.len() / (SIDE * SIDE);
        let problem = experiment::problem(config, model.clone(), support.y.len(), rows)?;
        let predictor =
            Predictor::<f32>::adapting(&problem, config.inner().adaptation(config.inner_steps), &[statistics]);
        memory::check("adapting", predictor.bytes() as u64, "give fewer examples, or fewer images to label at once")?;
        // What the query's labels are does not matter to its outputs.
        let unknown = vec![0; rows];
        let data = [Arg::Floats(&support.x), Arg::Indices(&support.y), Arg::Floats(x), Arg::Indices(&unknown)];
        let mut answers = Vec::new();
        predictor.space().run(theta, hyper, &data, &[steps], |_, _, output| {
            answers.extend(output.chunks_exact(model.outputs()).map(softmax));
        });
        if answers.iter().flatten().any(|p| !p.is_finite()) {
            return Err(format!("after {steps} steps the outputs are not finite: lower --inner-steps").into());
        }
        Ok(answers)
    }
}
