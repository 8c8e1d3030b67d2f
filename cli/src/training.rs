//! The training loop: steps, validations, metrics, saves, and a clean stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use meta::error::Tolerance;
use meta::method::Method;
use meta::tasks::Split;
use meta::train::{Auto, BatchReport, Evaluation, Evaluator, NotFinite, Trainer};
use serde_json::{Value, json};

use crate::config::Config;
use crate::experiment::Experiment;
use crate::failure::Failure;
use crate::format;
use crate::initial;
use crate::progress::{Progress, View};
use crate::run_folder::{Checkpoint, RunFolder, Snapshot, Standing};
use crate::settings::Tol;

/// Time between saves.
const SAVE_EVERY: Duration = Duration::from_secs(30);

/// How a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As long as was asked for.
    Complete,
    /// The user stopped it; what was done is saved.
    Interrupted,
}

/// What a training came to.
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// θ
    pub theta: Vec<f32>,
    /// Where it stands.
    pub standing: Standing,
    /// The last validation, in words; empty where there was none.
    pub validation: String,
}

/// Set when the user asks to stop (Ctrl-C, or a termination signal); the second time ends the program at once.
///
/// # Errors
/// Where the system does not allow it.
pub fn stop_signal() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let handler = move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(handler).map_err(|e| Failure::new(format_args!("cannot listen for Ctrl-C: {e}")))?;
    Ok(stop)
}

/// Trains until the end that `config` sets, from the beginning or from a checkpoint, saving to `folder`.
///
/// The folder is first written to after the first iteration: what fails at once leaves nothing behind (a signal, an empty
/// folder).
///
/// # Errors
/// Where a meta-gradient is not finite, or a save fails.
pub fn train(
    config: &Config,
    experiment: &Experiment,
    folder: &RunFolder,
    from: Option<(Checkpoint, String)>,
) -> Result<Outcome, Failure> {
    let stop = stop_signal()?;
    // By a thread of the pool: to hand each iteration over to one takes as long as a small iteration.
    experiment.pool.install(|| train_until(&stop, config, experiment, folder, from))
}

fn train_until(
    stop: &AtomicBool,
    config: &Config,
    experiment: &Experiment,
    folder: &RunFolder,
    from: Option<(Checkpoint, String)>,
) -> Result<Outcome, Failure> {
    let tolerance = Arc::new(Tolerance::default());
    let (method, probe) = match config.tol {
        None => (experiment.method(config)?, None),
        Some(Tol::Auto) => experiment.tolerant(config, &tolerance).map(|[method, probe]| (method, Some(probe)))?,
    };
    let (trainer, so_far) = trainer(config, experiment, (method.as_ref(), probe.as_deref(), tolerance), from)?;
    let evaluator = (config.eval_every > 0).then(|| Evaluator::adapting(&experiment.problem, experiment.adaptation()));
    let began = (so_far.seconds, trainer.iteration);
    let (progress, validation, saved) = (Progress::new(), String::new(), None);
    let session =
        Session { config, experiment, folder, evaluator, trainer, so_far, began, progress, validation, saved };
    session.train(method.as_ref(), stop)
}

/// What a run has come to, beside what its trainer holds.
#[derive(Default)]
struct SoFar {
    seconds: f64,
    skipped: u64,
    /// Lines.
    metrics: String,
}

/// A trainer at the beginning of a run, or where a checkpoint stands. The method, and where tolerances follow from estimates
/// the same with estimates.
fn trainer<'a>(
    config: &Config,
    experiment: &'a Experiment,
    (method, probe, tolerance): (&'a dyn Method<f32>, Option<&'a dyn Method<f32>>, Arc<Tolerance>),
    from: Option<(Checkpoint, String)>,
) -> Result<(Trainer<'a>, SoFar), Failure> {
    let Experiment { stream, problem, hyper, pool, .. } = experiment;
    let mut optimiser = experiment.optimiser(config);
    let (mut so_far, mut iteration, mut start, mut tolerances) = (SoFar::default(), 0, None, None);
    let theta = match from {
        None => initial::of_run(config, problem)?,
        Some((Checkpoint { standing, theta, optimiser: state, start: last }, metrics)) => {
            optimiser.restore(standing.iteration, &state)?;
            so_far = SoFar { seconds: standing.seconds, skipped: standing.skipped, metrics };
            (iteration, start, tolerances) = (standing.iteration, last, standing.tolerance);
            theta
        }
    };
    let mut trainer = Trainer::new(method, stream.as_ref(), pool, theta, optimiser, *hyper, config.meta_batch);
    (trainer.iteration, trainer.start) = (iteration, start);
    trainer.on_not_finite = config.on_not_finite.into();
    trainer.auto = probe.map(|probe| {
        let mut auto = Auto::new(tolerance, probe, pool, trainer.theta.len());
        tolerances.into_iter().for_each(|bits| auto.restore(bits));
        auto
    });
    Ok((trainer, so_far))
}

/// A run under way.
struct Session<'a> {
    config: &'a Config,
    experiment: &'a Experiment,
    folder: &'a RunFolder,
    evaluator: Option<Evaluator>,
    trainer: Trainer<'a>,
    so_far: SoFar,
    /// Seconds and iterations that were there when this session began.
    began: (f64, u64),
    progress: Progress,
    /// The last validation, in words.
    validation: String,
    saved: Option<Instant>,
}

impl Session<'_> {
    fn train(mut self, method: &dyn Method<f32>, stop: &AtomicBool) -> Result<Outcome, Failure> {
        let ended = loop {
            match self.iterate(method, stop) {
                Ok(None) => {}
                Ok(Some(ending)) => break Ok(ending),
                Err(failure) => break Err(failure),
            }
        };
        self.progress.end();
        let standing = self.standing();
        Ok(Outcome { ending: ended?, standing, theta: self.trainer.theta, validation: self.validation })
    }

    /// One iteration and what follows from it: lines of metrics, a validation, a save. How the run has ended, if it has.
    fn iterate(&mut self, method: &dyn Method<f32>, stop: &AtomicBool) -> Result<Option<Ending>, Failure> {
        let Session { config, trainer, so_far, .. } = self;
        let rate = config.outer_lr * config.outer_lr_decay.factor(config.done(trainer.iteration, so_far.seconds));
        trainer.optimiser.set_rate(rate);
        let start = Instant::now();
        let report = trainer.step().map_err(|error| Failure::not_finite(error, &advice(error, config)))?;
        so_far.seconds += start.elapsed().as_secs_f64();
        let iteration = trainer.iteration;
        for task in trainer.skipped(&report) {
            self.progress.note(format_args!(
                "skipped training task {task} (iteration {}): its meta-gradient is not finite",
                iteration - 1
            ));
        }
        so_far.skipped += report.not_finite.len() as u64;

        let done = config.done(iteration, so_far.seconds);
        let ending = match () {
            () if done >= 1.0 => Some(Ending::Complete),
            () if stop.load(Ordering::Relaxed) => Some(Ending::Interrupted),
            () => None,
        };
        if config.logs(iteration) || ending.is_some() {
            let gradient = trainer.gradient_norm();
            let error = trainer.auto.as_ref().map(|auto| auto.error);
            let numbers = ([so_far.seconds, rate, gradient], [iteration, so_far.skipped]);
            so_far.metrics += &line(config, method, &report, numbers.0, numbers.1, error);
        }
        self.validate();
        self.show(done, &report);
        if ending.is_some() || self.saved.is_none_or(|at| at.elapsed() >= SAVE_EVERY) {
            self.save()?;
        }
        Ok(ending)
    }

    /// Measures on validation tasks, where this is an iteration to do so.
    fn validate(&mut self) {
        let Session { config, trainer, so_far, .. } = self;
        let Some(evaluator) = self.evaluator.as_ref().filter(|_| trainer.iteration % config.eval_every == 0) else {
            return;
        };
        let Experiment { stream, hyper, pool, .. } = self.experiment;
        let (tasks, steps) = (0..config.eval_tasks, [config.inner_steps]);
        let results = evaluator.run(pool, stream.as_ref(), Split::Validation, tasks, &trainer.theta, *hyper, &steps);
        self.validation = in_words(&results[0]);
        so_far.metrics += &validation_line(config, &results, so_far.seconds, trainer.iteration);
    }

    fn show(&mut self, done: f64, report: &BatchReport) {
        let (Config { iterations, meta_batch, .. }, iteration) = (self.config, self.trainer.iteration);
        let (seconds, (seconds_before, iterations_before)) = (self.so_far.seconds, self.began);
        let speed = (iteration - iterations_before) as f64 * *meta_batch as f64 / (seconds - seconds_before);
        let (iterations, validation) = (*iterations, &self.validation[..]);
        self.progress.show(&View { done, iteration, iterations, seconds, speed, report, validation });
    }

    fn save(&mut self) -> Result<(), Failure> {
        let Session { config, folder, trainer, so_far, .. } = &*self;
        let (layout, theta, metrics) = (self.experiment.problem.layout(), &trainer.theta[..], &so_far.metrics[..]);
        let (optimiser, start, standing) = (trainer.optimiser.state(), trainer.start.as_deref(), self.standing());
        folder.save(&Snapshot { config, metrics, standing, layout, theta, optimiser, start })?;
        self.saved = Some(Instant::now());
        Ok(())
    }

    fn standing(&self) -> Standing {
        let Session { config, trainer, so_far, .. } = self;
        let (iteration, tolerance) = (trainer.iteration, trainer.auto.as_ref().map(Auto::to_bits));
        let (tasks, &SoFar { seconds, skipped, .. }) = (iteration * config.meta_batch as u64, so_far);
        Standing { iteration, tasks, seconds, seed: config.seed, skipped, tolerance }
    }
}

/// What to do about a task whose meta-gradient is not finite: it can be left out, where there are others.
fn advice(error: NotFinite, config: &Config) -> String {
    let inner = config.inner().given_rate().map_or("", |_| "--inner-lr or ");
    let skip = if error.all { "" } else { ", or go on without such tasks with --on-not-finite skip" };
    format!("lower {inner}--outer-lr{skip}")
}

/// `validation accuracy 91.20 ± 1.30 %`
fn in_words(result: &Evaluation) -> String {
    let measure = result.measure;
    result.after.last().map_or(String::new(), |&(_, value)| {
        format!("validation {} {}", measure.name(), format::interval(measure, value))
    })
}

/// One iteration's line of metrics.
fn line(
    config: &Config,
    method: &dyn Method<f32>,
    report: &BatchReport,
    [seconds, rate, gradient]: [f64; 3],
    [iteration, skipped]: [u64; 2],
    error: Option<f64>,
) -> String {
    let mut object = json!({
        "iteration": iteration,
        "seconds": seconds,
        "query_loss": report.query_loss,
        "first_inner": report.first_inner,
        "last_inner": report.last_inner,
        "delta": report.inner_gradient,
        "delta_relative": report.inner_reduction,
        "meta_gradient": gradient,
        "outer_lr": rate,
        "products": report.products,
        "evaluations": report.evaluations,
        "sampling_error": report.sampling_error,
        "skipped": skipped,
        "bytes": method.bytes(),
    });
    if config.lambda.is_some() {
        object["delta_prime"] = Value::from(report.linear_residual);
        object["negative_curvature"] = Value::from(report.negative_curvature);
        object["policy_acted"] = Value::from(report.policy_acted);
    }
    if let Some(error) = error {
        object["error_estimate"] = Value::from(error);
    }
    format!("{object}\n")
}

/// A validation's line of metrics.
fn validation_line(config: &Config, results: &[Evaluation], seconds: f64, iteration: u64) -> String {
    let results: Vec<Value> = results.iter().flat_map(|r| r.after.iter().map(move |a| result_json(r, *a))).collect();
    let object = json!({
        "iteration": iteration,
        "seconds": seconds,
        "split": Split::Validation.name(),
        "tasks": config.eval_tasks,
        "results": results,
    });
    format!("{object}\n")
}

/// One measured number with its interval.
pub fn result_json(result: &Evaluation, (steps, value): (usize, meta::train::Interval)) -> Value {
    json!({
        "statistics": result.statistics.name(),
        "measure": result.measure.name(),
        "steps": steps,
        "mean": value.mean,
        "half_width": value.half_width,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn only_where_other_tasks_are_left_can_some_be_skipped() {
        let config = Config::new(Settings::default()).unwrap();
        let advice = |all| advice(NotFinite { task: 3, iteration: 0, all }, &config);
        assert!(advice(false).contains("--inner-lr") && advice(false).contains("--on-not-finite skip"));
        assert!(!advice(true).contains("skip"));
    }
}
