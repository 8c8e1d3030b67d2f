//! The options of `imaml metagrad`, and what does not go together.

use autodiff::Element;
use clap::Args;

use super::Common;
use crate::byte_size::ByteSize;
use crate::checks::{self, Owner};
use crate::failure::Failure;
use crate::inner::{Inner, InnerArgs};
use crate::linear::{Linear, PolicyName, PreconditionerName, SolverName, Stop};
use crate::settings::MethodName;

/// The mean meta-gradient.
#[derive(Args, Clone, Debug)]
pub struct MetagradArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// How to take it.
    #[arg(long)]
    pub(super) method: MethodName,
    /// Steps of adaptation; the most, where something ends it sooner.
    #[arg(long)]
    pub(super) inner_steps: usize,
    #[command(flatten)]
    pub(super) inner: InnerArgs,
    /// Keep this many states and run steps again, in place of keeping everything (maml only).
    #[arg(long, value_name = "N")]
    pub(super) checkpoints: Option<usize>,
    /// Go back through the last M steps alone (maml only).
    #[arg(long, value_name = "M", conflicts_with = "checkpoints")]
    pub(super) truncate: Option<usize>,
    /// The most memory that one task may take, such as 64MiB: maml and auto keep less, others are refused.
    #[arg(long, value_name = "SIZE", conflicts_with = "checkpoints")]
    pub(super) memory: Option<ByteSize>,
    /// Pairs of perturbed adaptations (es only) [default: 16].
    #[arg(long, value_name = "N")]
    pub(super) es_pairs: Option<usize>,
    /// Standard deviation of a perturbation (es only) [default: 0.01].
    #[arg(long, value_name = "SIGMA")]
    pub(super) es_sigma: Option<f64>,
    /// Seed of the perturbations (es only) [default: 0].
    #[arg(long, value_name = "SEED")]
    pub(super) es_seed: Option<u64>,
    /// Also the derivatives of the query loss with respect to the inner step size and, with a prox term, λ: through the
    /// steps, in forward mode.
    #[arg(long)]
    pub(super) hypergradients: bool,
    /// λ of the prox term (imaml and auto only) [default: 2].
    #[arg(long)]
    pub(super) lambda: Option<f64>,
    /// Exactly this many iterations of the linear solver (imaml only) [default: 5].
    #[arg(long, conflicts_with = "cg_tol")]
    pub(super) cg_steps: Option<usize>,
    /// Iterations until ‖v − (I + H/λ) g‖ ≤ E ‖v‖ (imaml only).
    #[arg(long)]
    pub(super) cg_tol: Option<f64>,
    /// Estimate every task's error: the distance to the gradient one Newton step on (imaml only).
    #[arg(long)]
    pub(super) error_estimate: bool,
    /// The most iterations that --cg-tol may take [default: 1000].
    #[arg(long, value_name = "N")]
    pub(super) cg_max: Option<usize>,
    /// What solves the linear system (imaml only) [default: cg].
    #[arg(long)]
    pub(super) solver: Option<SolverName>,
    /// What cg is preconditioned by (imaml only) [default: none].
    #[arg(long)]
    pub(super) preconditioner: Option<PreconditionerName>,
    /// What cg and neumann do where the operator is indefinite (imaml only) [default: go-on; stop for neumann].
    #[arg(long, value_name = "POLICY")]
    pub(super) on_negative_curvature: Option<PolicyName>,
}

impl MetagradArgs {
    /// Refuses what does not go together, in the words of `imaml train`.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let solve = Owner::Solve;
        checks::belong(
            self.method,
            &[
                ("--lambda", self.lambda.is_some(), Owner::Prox),
                ("--cg-steps", self.cg_steps.is_some(), solve),
                ("--cg-tol", self.cg_tol.is_some(), solve),
                ("--cg-max", self.cg_max.is_some(), solve),
                ("--solver", self.solver.is_some(), solve),
                ("--preconditioner", self.preconditioner.is_some(), solve),
                ("--on-negative-curvature", self.on_negative_curvature.is_some(), solve),
                ("--error-estimate", self.error_estimate, solve),
                ("--checkpoints", self.checkpoints.is_some(), Owner::Only(MethodName::Maml)),
                ("--truncate", self.truncate.is_some(), Owner::Only(MethodName::Maml)),
                ("--es-pairs", self.es_pairs.is_some(), Owner::Only(MethodName::Es)),
                ("--es-sigma", self.es_sigma.is_some(), Owner::Only(MethodName::Es)),
                ("--es-seed", self.es_seed.is_some(), Owner::Only(MethodName::Es)),
            ],
        )?;
        SolverName::check_iterations(
            self.solver,
            &[("--cg-steps", self.cg_steps.is_some()), ("--cg-tol", self.cg_tol.is_some())],
        )?;
        if self.cg_max.is_some() && self.cg_tol.is_none() {
            return Err("--cg-max is the most that --cg-tol may take: give --cg-tol, or leave --cg-max out".into());
        }
        let inner = self.inner()?;
        if self.hypergradients && !(inner.takes_all_steps() && inner.given_rate().is_some()) {
            return Err(
                "--hypergradients goes through steps of a given size, as many as are asked for: leave --inner-tol, \
                        --inner-lr auto and solvers that find their own steps out"
                    .into(),
            );
        }
        checks::within(&[
            ("--inner-steps", Some(self.inner_steps as u64), checks::INNER_STEPS),
            ("--cg-steps", self.cg_steps.map(|n| n as u64), checks::CG_STEPS),
            ("--cg-max", self.cg_max.map(|n| n as u64), (1, u64::MAX)),
            ("--es-pairs", self.es_pairs.map(|n| n as u64), checks::ES_PAIRS),
            ("--checkpoints", self.checkpoints.map(|n| n as u64), (1, u64::MAX)),
            ("--truncate", self.truncate.map(|m| m as u64), (0, self.inner_steps as u64)),
        ])?;
        checks::enough_steps(self.method, "--inner-steps", self.inner_steps)
    }

    /// Refuses what is not above 0 in the precision that is computed in.
    pub(super) fn check_in<T: Element>(&self) -> Result<(), Failure> {
        let inner = self.inner()?;
        checks::positive::<T>(&[
            ("--inner-lr", inner.given_rate()),
            ("--inner-tol", inner.tol),
            ("--lambda", self.lambda),
            ("--cg-tol", self.cg_tol),
            ("--es-sigma", self.es_sigma),
        ])
    }

    /// What adapts: a step size has no default here.
    pub(super) fn inner(&self) -> Result<Inner, Failure> {
        Inner::new(self.inner, (self.method.name(), self.method.takes()), None, "--")
    }

    pub(super) fn linear(&self) -> Result<Linear, Failure> {
        let stop = match self.cg_tol {
            Some(tolerance) => Stop::Tolerance(tolerance, self.cg_max.unwrap_or(1000)),
            None => Stop::Iterations(self.cg_steps.unwrap_or(5)),
        };
        // A command that says how many iterations does them: what to do about negative curvature is asked for.
        Linear::new(self.solver, stop, self.preconditioner, self.on_negative_curvature)
    }
}
