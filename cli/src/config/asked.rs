//! What is asked for, part by part: checked, and where nothing is said, what is usual.

use std::path::{Path, PathBuf};

use meta::method::Choice;

use crate::checks::{self, Owner};
use crate::defaults::{self, Defaults};
use crate::failure::Failure;
use crate::inner::{Inner, InnerArgs, InnerRate};
use crate::learning::Learn;
use crate::linear::{Linear, PolicyName, PreconditionerName, SolverName, Stop};
use crate::settings::{Dataset, MethodName, OuterOptimizer, Settings};
use crate::warm_start::WarmStartName;

/// Refuses settings of other methods.
pub fn check_method(asked: &Settings, method: MethodName) -> Result<(), Failure> {
    checks::belong(
        method,
        &[
            ("lambda", asked.lambda.is_some(), Owner::Prox),
            ("cg-steps", asked.cg_steps.is_some(), Owner::Solve),
            ("solver", asked.solver.is_some(), Owner::Solve),
            ("preconditioner", asked.preconditioner.is_some(), Owner::Solve),
            ("on-negative-curvature", asked.on_negative_curvature.is_some(), Owner::Solve),
            ("warm-start", asked.warm_start.is_some(), Owner::Solve),
            ("tol", asked.tol.is_some(), Owner::Solve),
            ("truncate", asked.truncate.is_some(), Owner::Only(MethodName::Maml)),
            ("es-pairs", asked.es_pairs.is_some(), Owner::Only(MethodName::Es)),
            ("es-sigma", asked.es_sigma.is_some(), Owner::Only(MethodName::Es)),
            ("choice", asked.choice.is_some(), Owner::Only(MethodName::Auto)),
        ],
    )?;
    if let Some(choice) = &asked.choice {
        choice.parse::<Choice>().map_err(|e| format!("choice: {e}"))?;
    }
    Ok(())
}

/// Refuses to learn what the method has no gradient in.
pub fn check_learned(asked: &Settings, method: MethodName) -> Result<(), Failure> {
    let Some(Learn(learned)) = asked.learn else { return Ok(()) };
    let name = method.name();
    if learned.lambda.is_some() && !method.has_prox() {
        return Err(format!("lambda is learned by imaml or auto: {name} has no prox term").into());
    }
    if learned.rate.is_some() && asked.inner_lr == Some(InnerRate::Auto) {
        return Err("rate is learned from a given inner-lr on: give a number, or leave rate out of learn".into());
    }
    if learned.rate.is_some() && !method.learns_rates() {
        let why = if method.has_prox() { "a solution does not depend on the path to it" } else { "no gradient" };
        return Err(format!("rate is learned by maml, darts or es: {name} has none to learn by ({why})").into());
    }
    Ok(())
}

/// What adapts.
pub fn inner(asked: &Settings, method: MethodName, default: &Defaults) -> Result<Inner, Failure> {
    let own = InnerArgs { inner_solver: asked.inner_solver, inner_lr: asked.inner_lr, inner_tol: asked.inner_tol };
    Inner::new(own, (method.name(), method.takes()), Some(default.inner_lr), "")
}

/// Refuses classes where there are none.
pub fn check_tasks(asked: &Settings, dataset: Dataset) -> Result<(), Failure> {
    if !dataset.classifies() && asked.ways.is_some() {
        return Err(format!("ways belongs to classification: {dataset} tasks have no classes; leave ways out").into());
    }
    Ok(())
}

/// The folder of the data, where there is one.
pub fn data(asked: &Settings, dataset: Dataset) -> Result<Option<PathBuf>, Failure> {
    match (dataset, &asked.data) {
        (Dataset::Omniglot, None) => Err("omniglot needs --data DIR, the folder with images_background.zip and \
                                          images_evaluation.zip from github.com/brendenlake/omniglot (folder python)"
            .into()),
        (Dataset::Omniglot, Some(folder)) => absolute(folder).map(Some),
        (_, None) => Ok(None),
        (_, Some(_)) => Err(format!("{dataset} makes its own tasks: leave data out").into()),
    }
}

/// A run can be repeated and evaluated from any folder.
pub fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|e| Failure::io("find", path, &e))
}

/// The outer optimiser.
pub struct Outer {
    pub optimizer: OuterOptimizer,
    pub lr: f64,
    pub adam_eps: Option<f64>,
}

/// The outer optimiser: the table's rate and ε belong to the table's.
pub fn outer(asked: &Settings, default: &Defaults) -> Result<Outer, Failure> {
    let optimizer = asked.outer_optimizer.unwrap_or(default.outer_optimizer);
    let usual = optimizer == default.outer_optimizer;
    let lr = asked.outer_lr.or(usual.then_some(default.outer_lr));
    let adam_eps = match (optimizer, asked.adam_eps) {
        (OuterOptimizer::Adam, eps) => Some(eps.unwrap_or(if usual { default.adam_eps } else { 1e-8 })),
        (OuterOptimizer::Sgd, None) => None,
        (OuterOptimizer::Sgd, Some(_)) => return Err("adam-eps belongs to adam: leave it out with sgd".into()),
    };
    Ok(Outer { optimizer, lr: lr.ok_or("with an outer-optimizer of your own, give its outer-lr")?, adam_eps })
}

/// Iterations, or minutes.
pub fn length(asked: &Settings, default: &Defaults) -> Result<(Option<u64>, Option<f64>), Failure> {
    match (asked.iterations, asked.minutes) {
        (None, None) => Ok((Some(default.iterations), None)),
        (Some(_), Some(_)) => Err("iterations and minutes exclude each other: leave one out".into()),
        one => Ok(one),
    }
}

/// The linear solve, of whatever method.
pub struct Solve {
    pub linear: Linear,
    /// Its iterations (imaml).
    pub cg_steps: Option<usize>,
}

/// The linear solve, and where it stops.
pub fn solve(asked: &Settings, method: MethodName, inner: &Inner, default: &Defaults) -> Result<Solve, Failure> {
    let warm = asked.warm_start.unwrap_or_default() != WarmStartName::None;
    SolverName::check_iterations(asked.solver, &[("cg-steps", asked.cg_steps.is_some()), ("warm-start", warm)])?;
    let by_cg = asked.solver.unwrap_or_default() == SolverName::Cg;
    for (name, given) in [
        ("solver", !by_cg),
        ("preconditioner", asked.preconditioner.is_some_and(|p| p != PreconditionerName::None)),
        ("on-negative-curvature", asked.on_negative_curvature.is_some_and(|p| p != PolicyName::GoOn)),
        ("warm-start", warm),
    ] {
        if given && asked.tol.is_some() {
            return Err(format!("tol auto stops plain cg: leave {name} out with tol").into());
        }
    }
    if asked.tol.is_some() && !inner.is_plain() {
        return Err("tol auto stops plain gradient descent: leave inner-solver, inner-lr auto and inner-tol out".into());
    }
    let cg_steps = (method == MethodName::Imaml).then(|| asked.cg_steps.unwrap_or(default.cg_steps));
    let usual = if asked.tol.is_some() { PolicyName::GoOn } else { defaults::ON_NEGATIVE_CURVATURE };
    let policy = asked.on_negative_curvature.or(by_cg.then_some(usual));
    let stop = Stop::Iterations(cg_steps.unwrap_or(0));
    let linear = Linear::new(asked.solver, stop, asked.preconditioner, policy)?;
    Ok(Solve { linear, cg_steps })
}
