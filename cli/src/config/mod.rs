//! The effective configuration of a run: every question answered and checked, saved beside the result.

mod asked;

use std::path::PathBuf;

use meta::method::{Choice, Keep};
use serde::Serialize;

use crate::byte_size::ByteSize;
use crate::checks;
use crate::defaults;
use crate::failure::Failure;
use crate::inner::{Inner, InnerName, InnerRate};
use crate::learning::{AdaptName, Learn};
use crate::linear::{Linear, PolicyName, PreconditionerName, SolverName, Stop};
use crate::settings::{Dataset, Decay, MethodName, NotFinitePolicy, OuterOptimizer, Settings, Tol};
use crate::warm_start::WarmStartName;
use asked::{Outer, Solve};

/// Everything that a run's result depends on. Keys of config.toml are those of [`Settings`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Config {
    /// Where tasks come from.
    pub dataset: Dataset,
    /// Its folder, where it needs one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// How the meta-gradient is taken.
    pub method: MethodName,
    /// The network.
    pub model: String,
    /// Where the initial parameters come from, if not from the seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// Classes in a task (classification).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ways: Option<usize>,
    /// Support examples.
    pub shots: usize,
    /// Query examples.
    pub queries: usize,
    /// Steps of adaptation.
    pub inner_steps: usize,
    /// What adapts.
    pub inner_solver: InnerName,
    /// The size of its steps, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inner_lr: Option<InnerRate>,
    /// ‖∇G‖ that ends it sooner (imaml).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inner_tol: Option<f64>,
    /// λ (imaml, auto).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lambda: Option<f64>,
    /// The last steps that are gone back through (maml); all where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncate: Option<usize>,
    /// The most memory of one task's meta-gradient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<ByteSize>,
    /// Pairs (es).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub es_pairs: Option<usize>,
    /// σ (es).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub es_sigma: Option<f64>,
    /// What was chosen (auto), as a [`Choice`] is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choice: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen_because: Option<String>,
    /// Iterations of the linear solver (imaml).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cg_steps: Option<usize>,
    /// What solves the linear system (imaml).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub solver: Option<SolverName>,
    /// What it is preconditioned by (imaml).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preconditioner: Option<PreconditionerName>,
    /// What it does where the operator is indefinite (imaml by cg or neumann).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_negative_curvature: Option<PolicyName>,
    /// Where it starts (imaml).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_start: Option<WarmStartName>,
    /// Whether solves stop sooner (imaml).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tol: Option<Tol>,
    /// What is learned beside the parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learn: Option<Learn>,
    /// Which layers adapt.
    pub adapt: AdaptName,
    /// The outer optimiser.
    pub outer_optimizer: OuterOptimizer,
    /// Its step size.
    pub outer_lr: f64,
    /// How that falls.
    pub outer_lr_decay: Decay,
    /// ε (adam).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adam_eps: Option<f64>,
    /// Tasks in one iteration.
    pub meta_batch: usize,
    /// How long: iterations…
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iterations: Option<u64>,
    /// …or minutes; exactly one of the two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minutes: Option<f64>,
    /// What is done about a task whose meta-gradient is not finite.
    pub on_not_finite: NotFinitePolicy,
    /// Of tasks and initial parameters.
    pub seed: u64,
    /// Iterations between validations.
    pub eval_every: u64,
    /// Tasks of a validation.
    pub eval_tasks: u64,
    /// Iterations between lines of metrics.
    pub log_every: u64,
    /// Whether the run folder has an event file.
    pub tensorboard: bool,
}

impl Config {
    /// Fills in defaults and checks.
    ///
    /// # Errors
    /// The first setting that cannot be, and what it may be.
    pub fn new(asked: Settings) -> Result<Self, Failure> {
        let dataset = asked.dataset.unwrap_or(Dataset::Glyphs);
        let method = asked.method.unwrap_or(MethodName::Imaml);
        let (default, tasks) = (defaults::defaults(dataset, method), defaults::tasks(dataset));
        asked::check_method(&asked, method)?;
        asked::check_learned(&asked, method)?;
        let inner = asked::inner(&asked, method, &default)?;
        asked::check_tasks(&asked, dataset)?;
        let data = asked::data(&asked, dataset)?;
        let Outer { optimizer, lr, adam_eps } = asked::outer(&asked, &default)?;
        let (iterations, minutes) = asked::length(&asked, &default)?;
        let Solve { linear, cg_steps } = asked::solve(&asked, method, &inner, &default)?;
        let (imaml, es, dense) =
            (method == MethodName::Imaml, method == MethodName::Es, linear.solver == SolverName::Dense);
        let ways = asked.ways.or(tasks.ways);
        let config = Config {
            dataset,
            data,
            method,
            model: asked.model.unwrap_or_else(|| defaults::model(dataset, ways)),
            init: asked.init.as_deref().map(asked::absolute).transpose()?,
            ways,
            shots: asked.shots.unwrap_or(tasks.shots),
            queries: asked.queries.unwrap_or(tasks.queries),
            inner_steps: asked.inner_steps.unwrap_or(default.inner_steps),
            inner_solver: inner.solver,
            inner_lr: inner.rate,
            inner_tol: inner.tol,
            lambda: method.has_prox().then(|| asked.lambda.unwrap_or(default.lambda)),
            truncate: asked.truncate,
            memory: asked.memory,
            es_pairs: es.then(|| asked.es_pairs.unwrap_or(defaults::ES_PAIRS)),
            es_sigma: es.then(|| asked.es_sigma.unwrap_or(defaults::ES_SIGMA)),
            choice: asked.choice,
            chosen_because: asked.chosen_because,
            cg_steps: cg_steps.filter(|_| !dense),
            solver: imaml.then_some(linear.solver),
            preconditioner: (imaml && linear.solver == SolverName::Cg).then_some(linear.preconditioner),
            on_negative_curvature: linear.policy.filter(|_| imaml),
            warm_start: (imaml && !dense).then(|| asked.warm_start.unwrap_or_default()),
            tol: asked.tol,
            learn: asked.learn,
            adapt: asked.adapt.unwrap_or_default(),
            outer_optimizer: optimizer,
            outer_lr: lr,
            outer_lr_decay: asked.outer_lr_decay.unwrap_or(default.outer_lr_decay),
            adam_eps,
            meta_batch: asked.meta_batch.unwrap_or(default.meta_batch),
            iterations,
            minutes,
            on_not_finite: asked.on_not_finite.unwrap_or(NotFinitePolicy::Stop),
            seed: asked.seed.unwrap_or(0),
            eval_every: asked.eval_every.unwrap_or(tasks.eval_every),
            eval_tasks: asked.eval_tasks.unwrap_or(tasks.eval_tasks),
            log_every: asked.log_every.unwrap_or(tasks.log_every),
            tensorboard: asked.tensorboard.unwrap_or(false),
        };
        config.check_ranges()?;
        Ok(config)
    }

    fn check_ranges(&self) -> Result<(), Failure> {
        checks::positive::<f32>(&[
            ("inner-lr", self.inner().given_rate()),
            ("inner-tol", self.inner_tol),
            ("lambda", self.lambda),
            ("es-sigma", self.es_sigma),
            ("outer-lr", Some(self.outer_lr)),
            ("adam-eps", self.adam_eps),
            ("minutes", self.minutes),
        ])?;
        checks::within(&[
            ("inner-steps", Some(self.inner_steps as u64), checks::INNER_STEPS),
            ("cg-steps", self.cg_steps.map(|n| n as u64), checks::CG_STEPS),
            ("es-pairs", self.es_pairs.map(|n| n as u64), checks::ES_PAIRS),
            ("truncate", self.truncate.map(|m| m as u64), (0, self.inner_steps as u64)),
            ("meta-batch", Some(self.meta_batch as u64), (1, 4_096)),
            ("iterations", self.iterations, (1, 1_000_000_000)),
            ("eval-tasks", Some(self.eval_tasks), (2, 1_000_000)),
            ("log-every", Some(self.log_every), (1, 1_000_000_000)),
        ])?;
        // TOML's whole numbers have a sign.
        if i64::try_from(self.seed).is_err() {
            return Err(format!("seed is {}: expected at most {}", self.seed, i64::MAX).into());
        }
        checks::enough_steps(self.method, "inner-steps", self.inner_steps)
    }

    /// What an unrolled gradient keeps, where memory does not matter.
    pub fn keep(&self) -> Keep {
        self.truncate.map_or(Keep::Everything, Keep::Last)
    }

    /// What was chosen, where that is for the program to choose.
    pub fn choice(&self) -> Option<Choice> {
        self.choice.as_ref().and_then(|choice| choice.parse().ok())
    }

    /// What adapts.
    pub fn inner(&self) -> Inner {
        let Config { inner_solver: solver, inner_lr: rate, inner_tol: tol, .. } = *self;
        Inner { solver, rate, tol, takes: self.method.takes() }
    }

    /// The linear solver, where the method has one.
    pub fn linear(&self) -> Option<Linear> {
        let stop = Stop::Iterations(self.cg_steps.unwrap_or(0));
        let preconditioner = self.preconditioner.unwrap_or_default();
        self.solver.map(|solver| Linear { solver, stop, preconditioner, policy: self.on_negative_curvature })
    }

    /// Refuses what config.toml cannot hold, before anything is made that it would be saved with.
    ///
    /// # Errors
    /// A path that is not UTF-8.
    pub fn check_writable(&self) -> Result<(), Failure> {
        match [&self.data, &self.init].into_iter().flatten().find(|path| path.to_str().is_none()) {
            Some(path) => {
                let shown = path.display();
                Err(format!("{shown} is not UTF-8, which config.toml is written in: rename it").into())
            }
            None => Ok(()),
        }
    }

    /// As config.toml holds it.
    ///
    /// # Panics
    /// Where it [cannot](Config::check_writable).
    pub fn to_toml(&self) -> String {
        let keys = toml::to_string(self).expect("every value of a config has a form in TOML");
        format!("# What this run was made with. `imaml train --config THIS_FILE` makes it again.\n{keys}")
    }

    /// Whether this iteration is one whose metrics are kept.
    pub fn logs(&self, iteration: u64) -> bool {
        iteration == 1 || iteration.is_multiple_of(self.log_every)
    }

    /// The fraction of the run that lies behind, from iterations done or seconds trained.
    pub fn done(&self, iteration: u64, seconds: f64) -> f64 {
        match (self.iterations, self.minutes) {
            (Some(iterations), _) => iteration as f64 / iterations as f64,
            (None, Some(minutes)) => seconds / (60.0 * minutes),
            (None, None) => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn a_saved_config_means_the_same_run() {
        for &dataset in Dataset::value_variants() {
            for &method in MethodName::value_variants() {
                let data = (dataset == Dataset::Omniglot).then(|| PathBuf::from("somewhere"));
                let asked = Settings { dataset: Some(dataset), method: Some(method), data, ..Settings::default() };
                let config = Config::new(asked).unwrap();
                let again: Settings = toml::from_str(&config.to_toml()).unwrap();
                assert_eq!(Config::new(again).unwrap(), config);
            }
        }
    }
}
