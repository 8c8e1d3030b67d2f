//! What a run can be asked for, by option or by config file: the same names, all optional.
//!
//! One struct is both the options of `imaml train` and the keys of its `--config` file, so the two cannot
//! drift apart. Options win over the file, the file over the [defaults](crate::defaults);
//! [`Config`](crate::config::Config) is what results.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use meta::tasks::Split;
use meta::train::OnNotFinite;
use serde::{Deserialize, Serialize};

use crate::byte_size::ByteSize;
use crate::failure::Failure;
use crate::inner::{InnerName, InnerRate, Takes};
use crate::learning::{AdaptName, Learn};
use crate::linear::{PolicyName, PreconditionerName, SolverName};
use crate::warm_start::WarmStartName;

/// Where tasks come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dataset {
    /// Regression of random sine curves; needs no data.
    Sinusoid,
    /// Drawings of made-up characters; needs no data.
    Glyphs,
    /// Handwritten characters, read from --data.
    Omniglot,
}

impl Dataset {
    /// As in options and files.
    pub fn name(self) -> &'static str {
        match self {
            Dataset::Sinusoid => "sinusoid",
            Dataset::Glyphs => "glyphs",
            Dataset::Omniglot => "omniglot",
        }
    }

    /// Whether its tasks are classifications.
    pub fn classifies(self) -> bool {
        self != Dataset::Sinusoid
    }
}

/// How the meta-gradient is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MethodName {
    /// Implicit differentiation at the end of a regularised adaptation.
    Imaml,
    /// Backpropagation through every step of adaptation.
    Maml,
    /// First-order MAML: the query gradient at the adapted parameters.
    Fomaml,
    /// The way from the adapted parameters back to the start.
    Reptile,
    /// Through every step, Hessian products by finite differences.
    Darts,
    /// Evolution strategies: from values alone.
    Es,
    /// The one of the exact ways that suits the problem and the memory allowed, chosen before training.
    Auto,
}

impl MethodName {
    /// As in options and files.
    pub fn name(self) -> &'static str {
        match self {
            MethodName::Imaml => "imaml",
            MethodName::Maml => "maml",
            MethodName::Fomaml => "fomaml",
            MethodName::Reptile => "reptile",
            MethodName::Darts => "darts",
            MethodName::Es => "es",
            MethodName::Auto => "auto",
        }
    }

    /// As in sentences.
    pub fn title(self) -> &'static str {
        match self {
            MethodName::Imaml => "iMAML",
            MethodName::Maml => "MAML",
            MethodName::Fomaml => "first-order MAML",
            MethodName::Reptile => "Reptile",
            MethodName::Darts => "MAML by finite differences",
            MethodName::Es => "evolution strategies",
            MethodName::Auto => "a chosen method",
        }
    }

    /// Whether adaptation descends G with its prox term.
    pub fn has_prox(self) -> bool {
        match self {
            MethodName::Imaml | MethodName::Auto => true,
            MethodName::Maml | MethodName::Fomaml | MethodName::Reptile | MethodName::Darts | MethodName::Es => false,
        }
    }

    /// Which inner solvers it takes.
    pub fn takes(self) -> Takes {
        match self {
            MethodName::Imaml => Takes::Any,
            MethodName::Maml => Takes::Through,
            MethodName::Fomaml | MethodName::Reptile | MethodName::Darts | MethodName::Es => Takes::Steps,
            MethodName::Auto => Takes::Descent,
        }
    }

    /// Whether it has a gradient in the inner step sizes, to learn them by.
    pub fn learns_rates(self) -> bool {
        match self {
            MethodName::Maml | MethodName::Darts | MethodName::Es => true,
            MethodName::Imaml | MethodName::Fomaml | MethodName::Reptile | MethodName::Auto => false,
        }
    }
}

/// What moves θ along the meta-gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OuterOptimizer {
    /// Adam with β = (0.9, 0.999).
    Adam,
    /// Plain gradient descent.
    Sgd,
}

/// How the outer learning rate falls over the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// It does not.
    None,
    /// In a line to 0 at the end.
    Linear,
    /// Along half a cosine to 0 at the end.
    Cosine,
}

impl Decay {
    /// The factor after this fraction of the run.
    pub fn factor(self, done: f64) -> f64 {
        let done = done.clamp(0.0, 1.0);
        match self {
            Decay::None => 1.0,
            Decay::Linear => 1.0 - done,
            Decay::Cosine => 0.5 + 0.5 * (std::f64::consts::PI * done).cos(),
        }
    }
}

/// How accurately tasks are solved, where it is not so many steps and iterations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tol {
    /// To a tenth of the sampling error of the meta-batch.
    Auto,
}

/// What to do about a training task whose meta-gradient is not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotFinitePolicy {
    /// Stop, and name it.
    Stop,
    /// Leave it out of the mean, name it, and count it in the log.
    Skip,
}

impl From<NotFinitePolicy> for OnNotFinite {
    fn from(policy: NotFinitePolicy) -> OnNotFinite {
        match policy {
            NotFinitePolicy::Stop => OnNotFinite::Stop,
            NotFinitePolicy::Skip => OnNotFinite::Skip,
        }
    }
}

/// Which tasks of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SplitName {
    /// Those trained on.
    Train,
    /// Those to choose by.
    Validation,
    /// Those to report.
    Test,
}

impl From<SplitName> for Split {
    fn from(name: SplitName) -> Split {
        match name {
            SplitName::Train => Split::Train,
            SplitName::Validation => Split::Validation,
            SplitName::Test => Split::Test,
        }
    }
}

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Options of `imaml train` that are also keys of its config file.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// Where tasks come from [default: glyphs].
    pub dataset: Option<Dataset>,
    /// The folder with Omniglot's images_background.zip and images_evaluation.zip.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// How the meta-gradient is taken [default: imaml].
    #[arg(long)]
    pub method: Option<MethodName>,
    /// The network, such as mlp:1-40-40-1 or conv4:channels=64,stride=2,ways=5,image=1x28x28.
    #[arg(long, value_name = "SPEC")]
    pub model: Option<String>,
    /// Start from the parameters in this file: a run's model.safetensors (without what it learned beside them), or a
    /// state_dict saved by PyTorch.
    #[arg(long, value_name = "FILE")]
    pub init: Option<PathBuf>,
    /// Classes in a task.
    #[arg(long, value_name = "N")]
    pub ways: Option<usize>,
    /// Support examples: of each class, or in all for regression.
    #[arg(long, value_name = "N")]
    pub shots: Option<usize>,
    /// Query examples: of each class, or in all for regression.
    #[arg(long, value_name = "N")]
    pub queries: Option<usize>,
    /// Steps of adaptation; the most, where something ends it sooner.
    #[arg(long, value_name = "K")]
    pub inner_steps: Option<usize>,
    /// What adapts: lbfgs and hessian-free for imaml only, others than gd not for auto [default: gd].
    #[arg(long, value_name = "SOLVER")]
    pub inner_solver: Option<InnerName>,
    /// Step size of adaptation, or auto: for every task one that is safe (gd with imaml or maml only).
    #[arg(long, value_name = "RATE")]
    pub inner_lr: Option<InnerRate>,
    /// Adapt until ‖∇G‖ ≤ E, in --inner-steps at most (imaml only).
    #[arg(long, value_name = "E")]
    pub inner_tol: Option<f64>,
    /// λ of the prox term ½λ‖φ − θ‖² (imaml and auto only).
    #[arg(long)]
    pub lambda: Option<f64>,
    /// Go back through the last M steps of adaptation alone (maml only).
    #[arg(long, value_name = "M")]
    pub truncate: Option<usize>,
    /// The most memory that the meta-gradient of one task may take, such as 64MiB: maml and auto keep less, others are
    /// refused.
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<ByteSize>,
    /// Pairs of perturbed adaptations (es only).
    #[arg(long, value_name = "N")]
    pub es_pairs: Option<usize>,
    /// Standard deviation of a perturbation (es only).
    #[arg(long, value_name = "SIGMA")]
    pub es_sigma: Option<f64>,
    /// What auto chose, of a run that began; without it, it chooses.
    #[arg(skip)]
    pub choice: Option<String>,
    /// Why it did.
    #[arg(skip)]
    pub chosen_because: Option<String>,
    /// Iterations of the linear solver (imaml only).
    #[arg(long, value_name = "N")]
    pub cg_steps: Option<usize>,
    /// What solves the linear system of the meta-gradient (imaml only) [default: cg].
    #[arg(long)]
    pub solver: Option<SolverName>,
    /// What cg is preconditioned by (imaml only) [default: none].
    #[arg(long)]
    pub preconditioner: Option<PreconditionerName>,
    /// What cg and neumann do where the operator is indefinite (imaml only) [default: minres; stop for neumann].
    #[arg(long, value_name = "POLICY")]
    pub on_negative_curvature: Option<PolicyName>,
    /// Where linear solves start (imaml only) [default: none; previous, where no START is given].
    #[arg(long, value_name = "START", num_args = 0..=1, require_equals = true, default_missing_value = "previous")]
    pub warm_start: Option<WarmStartName>,
    /// Stop solving where the error is a tenth of the meta-batch's sampling error, at --inner-steps and --cg-steps at the
    /// latest (imaml only).
    #[arg(long)]
    pub tol: Option<Tol>,
    /// What is learned beside the parameters: lambda (imaml, auto) or rate (maml, darts, es), each as one number, or as
    /// lambda:layer, rate:parameter, …
    #[arg(long, value_name = "WHAT")]
    pub learn: Option<Learn>,
    /// Which layers adapt: all, the last alone (ANIL), or all but the last (BOIL) [default: all].
    #[arg(long, value_name = "LAYERS")]
    pub adapt: Option<AdaptName>,
    /// What moves the meta-parameters.
    #[arg(long)]
    pub outer_optimizer: Option<OuterOptimizer>,
    /// Its step size.
    #[arg(long, value_name = "RATE")]
    pub outer_lr: Option<f64>,
    /// How that falls over the run.
    #[arg(long, value_name = "SHAPE")]
    pub outer_lr_decay: Option<Decay>,
    /// ε of Adam.
    #[arg(long, value_name = "E")]
    pub adam_eps: Option<f64>,
    /// Tasks in one iteration.
    #[arg(long, value_name = "N")]
    pub meta_batch: Option<usize>,
    /// How long: this many iterations…
    #[arg(long, value_name = "N", conflicts_with = "minutes")]
    pub iterations: Option<u64>,
    /// …or this much training time.
    #[arg(long, value_name = "M")]
    pub minutes: Option<f64>,
    /// What to do about a task whose meta-gradient is not finite [default: stop].
    #[arg(long)]
    pub on_not_finite: Option<NotFinitePolicy>,
    /// Seed of the tasks and of the initial parameters [default: 0].
    #[arg(long)]
    pub seed: Option<u64>,
    /// Iterations between validations; 0 for none.
    #[arg(long, value_name = "N")]
    pub eval_every: Option<u64>,
    /// Tasks of a validation.
    #[arg(long, value_name = "N")]
    pub eval_tasks: Option<u64>,
    /// Iterations between lines of metrics.jsonl and rows of metrics.csv.
    #[arg(long, value_name = "N")]
    pub log_every: Option<u64>,
    /// Write the metrics for TensorBoard too; to follow a run, start tensorboard with --load_fast=false.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub tensorboard: Option<bool>,
}

impl Settings {
    /// Reads a config file.
    ///
    /// # Errors
    /// Where it cannot be read, is no TOML, or has a key or a value that there is not; the line is named.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(|e| Failure::io("read", path, &e))?;
        toml::from_str(&text).map_err(|e| {
            let line = e.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
            let message = e.message().replace("unknown field", "unknown key").replace('`', "");
            Failure::new(format_args!("{}, line {line}: {message}", path.display()))
        })
    }

    /// These settings, and `other`'s where these have none.
    pub fn or(self, other: Settings) -> Settings {
        // How long is one question with two ways to answer it.
        let asked_how_long = self.iterations.is_some() || self.minutes.is_some();
        let (iterations, minutes) =
            if asked_how_long { (self.iterations, self.minutes) } else { (other.iterations, other.minutes) };
        Settings {
            dataset: self.dataset.or(other.dataset),
            data: self.data.or(other.data),
            method: self.method.or(other.method),
            model: self.model.or(other.model),
            init: self.init.or(other.init),
            ways: self.ways.or(other.ways),
            shots: self.shots.or(other.shots),
            queries: self.queries.or(other.queries),
            inner_steps: self.inner_steps.or(other.inner_steps),
            inner_solver: self.inner_solver.or(other.inner_solver),
            inner_lr: self.inner_lr.or(other.inner_lr),
            inner_tol: self.inner_tol.or(other.inner_tol),
            lambda: self.lambda.or(other.lambda),
            truncate: self.truncate.or(other.truncate),
            memory: self.memory.or(other.memory),
            es_pairs: self.es_pairs.or(other.es_pairs),
            es_sigma: self.es_sigma.or(other.es_sigma),
            choice: self.choice.or(other.choice),
            chosen_because: self.chosen_because.or(other.chosen_because),
            cg_steps: self.cg_steps.or(other.cg_steps),
            solver: self.solver.or(other.solver),
            preconditioner: self.preconditioner.or(other.preconditioner),
            on_negative_curvature: self.on_negative_curvature.or(other.on_negative_curvature),
            warm_start: self.warm_start.or(other.warm_start),
            tol: self.tol.or(other.tol),
            learn: self.learn.or(other.learn),
            adapt: self.adapt.or(other.adapt),
            outer_optimizer: self.outer_optimizer.or(other.outer_optimizer),
            outer_lr: self.outer_lr.or(other.outer_lr),
            outer_lr_decay: self.outer_lr_decay.or(other.outer_lr_decay),
            adam_eps: self.adam_eps.or(other.adam_eps),
            meta_batch: self.meta_batch.or(other.meta_batch),
            iterations,
            minutes,
            on_not_finite: self.on_not_finite.or(other.on_not_finite),
            seed: self.seed.or(other.seed),
            eval_every: self.eval_every.or(other.eval_every),
            eval_tasks: self.eval_tasks.or(other.eval_tasks),
            log_every: self.log_every.or(other.log_every),
            tensorboard: self.tensorboard.or(other.tensorboard),
        }
    }
}
