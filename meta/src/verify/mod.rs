//! Settling a doubt: a meta-gradient by every way there is, on one's own model and data, and how they agree.
//!
//! Three things are kept apart. The *engine* is what is doubted: the problem as it is differentiated, the solvers, the
//! methods. The [`Reference`] knows the loss L and what is measured, f, and nothing else of the engine but the
//! compiler; the rest is its own plain arithmetic: gradients against differences, products by reverse over reverse,
//! dense factorisations and Krylov projections in place of solvers, steps pulled back by hand. *Differences* know only
//! the values. Each pair of ways to the same quantity is compared, and is allowed what the condition of the problem,
//! the residuals asked for and rounding explain, no more.
//!
//! | verdict | when |
//! |---|---|
//! | agree | as close as that |
//! | disagree | further apart |
//! | not comparable | what is allowed is so much that nothing follows, or the two are different quantities; the reason is given |
//!
//! Steps with a memory (momentum, Nesterov's, Adam) are unrolled through at most three, keeping all of them, and held to
//! their derivative by hand and to differences; what other keep-policies give, to those bits.
//!
//! What is an approximation is held to what it is: products by differences to what the same differences by hand are off
//! by; evolution strategies, which are stochastic, to the reference's values at the same noise, and their average to six
//! standard errors, in a check of its own that says so; what `auto` chose to the bits of the method that it names.
//!
//! Whether something is comparable follows from the model and from the reference alone (its spectrum, its contraction),
//! never from what the engine did: a wrong engine cannot excuse itself, but that an inner solver is believed which says that it
//! took every step there was. All of it runs at the λ that is asked for and at
//! a larger one, at which the operator is positive definite, if steps of the given size allow as large a λ, and every
//! solver has to converge.
//!
//! ```
//! use autodiff::Arg;
//! use meta::{FewShot, verify::{Own, Reference, Settings, verify}};
//!
//! let problem = FewShot::new("mlp:1-4-1,act=tanh".parse()?, 3, 3, true);
//! let theta: Vec<f64> = (0..problem.model().layout().len()).map(|i| (i as f64).sin()).collect();
//! let task = [&[0.0, 0.5, 1.0][..], &[0.0, 0.4, 0.9], &[0.2, 0.7, 0.8], &[0.1, 0.6, 0.7]].map(Arg::Floats);
//! let findings = verify(&Reference::new(&problem), &Own(&problem), &theta, &[&task], &Settings::default());
//! for found in &findings {
//!     assert!(found.is_sound(), "{:?}", found.disagreements());
//! }
//! # Ok::<(), nn::SpecError>(())
//! ```
//!
//! That is for few-shot learning with an initialisation to learn. A problem of one's own, or one with more in θ, is
//! checked against differences along a direction by [`along`].

mod along;
mod checks;
mod differences;
mod engine;
mod findings;
mod krylov;
mod point;
mod reference;
mod steps;
mod vector;
mod ways;

use autodiff::Arg;

pub use along::{Along, along};
pub use engine::{Engine, InnerName, Own, SolverName, SolverStop, StepName};
pub use findings::{Check, Comparison, Findings, Verdict};
pub use reference::Reference;
pub use vector::relative_difference;

use krylov::Krylov;
use reference::Task;
use ways::Ways;

use crate::tasks::random::Random;

/// What a verification is made with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// λ, above 0.
    pub lambda: f64,
    /// K
    pub steps: usize,
    /// α; by itself half of one over the largest eigenvalue at θ.
    pub rate: Option<f64>,
    /// The most adapted parameters for which matrices are formed: 8 bytes times its square, and its cube in operations.
    pub dense: usize,
    /// Of directions and perturbations.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { lambda: 2.0, steps: 16, rate: None, dense: 2000, seed: 0 }
    }
}

/// Verifies on each task and keeps the worst; at `settings.lambda` and at a larger λ.
///
/// # Panics
/// Where `tasks` is empty, λ is not above 0 or lengths differ from what the problem declares.
pub fn verify(
    reference: &Reference,
    engine: &dyn Engine,
    theta: &[f64],
    tasks: &[&[Arg<'_, f64>]],
    settings: &Settings,
) -> [Findings; 2] {
    assert!(settings.lambda > 0.0, "verify: λ is {}", settings.lambda);
    let mut worst: Option<[Findings; 2]> = None;
    for &data in tasks {
        let (found, smallest) = one(reference, engine, theta, data, settings, settings.lambda);
        // Far enough above what is missing that the operator stays definite along the way. A larger λ may hold φ where G
        // curves down: there more is missing. But steps of a given size must not overshoot the prox term.
        let mut larger = 3.0 * settings.lambda.max(settings.lambda - smallest);
        let (mut definite, mut smallest) = one(reference, engine, theta, data, settings, larger);
        let fits = |lambda: f64| settings.rate.is_none_or(|rate| rate * lambda < 1.0);
        while smallest <= 0.0 && fits(3.0 * (larger - smallest)) {
            larger = 3.0 * (larger - smallest);
            (definite, smallest) = one(reference, engine, theta, data, settings, larger);
        }
        match &mut worst {
            None => worst = Some([found, definite]),
            Some([a, b]) => {
                a.merge(&found);
                b.merge(&definite);
            }
        }
    }
    worst.expect("one task at least")
}

/// One task at one λ; and the smallest eigenvalue of the operator.
fn one(
    reference: &Reference,
    engine: &dyn Engine,
    theta: &[f64],
    data: &[Arg<'_, f64>],
    settings: &Settings,
    lambda: f64,
) -> (Findings, f64) {
    let mut rng = Random::new("verify", settings.seed, 0, 0);
    let mut task = reference.at(theta, data, lambda, 0.0);
    task.rate = settings.rate.unwrap_or_else(|| 0.5 / largest_eigenvalue(&mut task, &mut rng));
    let rate = task.rate;
    let mut checks = checks::checks(&mut task, engine, data, &mut rng);
    let sizes = (settings.steps, settings.dense, reference.work());
    let (ways, of_ways, apart, smallest) = Ways::new(&mut task, engine, data, &mut rng, sizes).collect();
    checks.extend(of_ways);
    (Findings::new(lambda, rate, checks, &ways, &apart), smallest)
}

/// Of the operator at θ, to a per cent or so: Ritz values converge at the ends first.
fn largest_eigenvalue(task: &mut Task<'_>, rng: &mut Random) -> f64 {
    let theta = task.theta;
    let start = task.project(&checks::direction(rng, theta.len()));
    let krylov = Krylov::new(&start, 30, 0.0, |x| task.operator(theta, x));
    krylov.ritz_values().into_iter().map(f64::abs).fold(f64::MIN_POSITIVE, f64::max)
}
