//! An L2 penalty for each feature of a logistic regression, learned by implicit differentiation.
//!
//! ```sh
//! cargo run --release --example penalties
//! ```
//!
//! ```text
//! inner objective   G(φ, θ) = mean over training rows of BCE(φ·x, y) + ½ Σ_j exp(θ_j) φ_j²
//! outer objective   F(θ)    = mean over validation rows of BCE(φ*(θ)·x, y)
//! hypergradient     dF/dθ_j = −exp(θ_j) φ*_j x_j,   (∇²_φφG) x = ∂f/∂φ   at φ*
//! ```
//!
//! A grid search for one penalty takes some twenty-five trainings; here twenty penalties are learned
//! together, and a training gives the derivative in all of them. θ is no initialisation: the inner solver always
//! starts at φ = 0, and the engine takes the derivatives above from G and f.

use autodiff::{Arg, Real, Var};
use meta::inner::Hyper;
use meta::linear::Cg;
use meta::method::{Implicit, InnerStop, Method, Worker};
use meta::problem::{At, DataSpec, Problem, Start};
use meta::tasks::Random;
use meta::train::{Adam, Optimiser};

/// Features, of which the first few matter to the label.
const FEATURES: usize = 20;
const RELEVANT: usize = 5;
/// Rows to train on, and rows to validate or test on.
const TRAINING: usize = 60;
const OTHERS: usize = 200;

// ---------------------------------------------------------------------------------------------------------------
// The problem
// ---------------------------------------------------------------------------------------------------------------

/// Logistic regression with a penalty for each feature. θ_j is the logarithm of one, so that any θ is allowed.
struct Penalties;

impl Problem for Penalties {
    /// φ: a weight for each feature.
    fn dim(&self) -> usize {
        FEATURES
    }

    /// θ: a penalty for each feature.
    fn theta_dim(&self) -> usize {
        FEATURES
    }

    fn start(&self) -> Start {
        Start::Fixed(vec![0.0; FEATURES])
    }

    /// Steps of 1/(1 + exp θ_j): a feature with a large penalty has large curvature, and needs small ones. How φ* is
    /// reached does not matter to an implicit gradient, so this costs nothing in exactness.
    fn rate<'t>(&self, at: &At<'t>, rate: Var<'t>) -> Var<'t> {
        rate / (at.theta.exp() + 1.0)
    }

    fn data(&self) -> Vec<DataSpec> {
        let rows = |x, y, n: usize| [DataSpec::values(x, [n, FEATURES]), DataSpec::values(y, [n, 1])];
        [rows("training.x", "training.y", TRAINING), rows("others.x", "others.y", OTHERS)].concat()
    }

    fn inner<'t>(&self, at: &At<'t>) -> Var<'t> {
        loss(at, 0) + 0.5 * (at.theta.exp() * at.phi.square()).sum_all()
    }

    fn outer<'t>(&self, at: &At<'t>) -> Var<'t> {
        loss(at, 2)
    }
}

/// The mean loss on the rows that begin at this data input.
fn loss<'t>(at: &At<'t>, first: usize) -> Var<'t> {
    let logits = at.data[first].values().matmul(at.phi.reshape([FEATURES, 1]));
    nn::loss::binary_cross_entropy(logits, at.data[first + 1].values())
}

// ---------------------------------------------------------------------------------------------------------------
// The data
// ---------------------------------------------------------------------------------------------------------------

/// Rows x, uniform in (−√3, √3) and so of variance 1, and labels: 1 with probability σ(w·x), w = 1 where it matters.
struct Rows {
    x: Vec<f64>,
    y: Vec<f64>,
}

impl Rows {
    fn new(count: usize, stream: u64) -> Rows {
        let mut random = Random::new("penalties", 0, 0, stream);
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let row: Vec<f64> = (0..FEATURES).map(|_| 3.0_f64.sqrt() * random.uniform(-1.0, 1.0)).collect();
            let z: f64 = row[..RELEVANT].iter().sum();
            y.push(if random.uniform(0.0, 1.0) < z.sigmoid() { 1.0 } else { 0.0 });
            x.extend(row);
        }
        Rows { x, y }
    }
}

/// A training set, with the rows to measure on.
fn task<'a>(training: &'a Rows, others: &'a Rows) -> [Arg<'a, f64>; 4] {
    [&training.x, &training.y, &others.x, &others.y].map(|v| Arg::Floats(v))
}

// ---------------------------------------------------------------------------------------------------------------
// Learning
// ---------------------------------------------------------------------------------------------------------------

/// No prox term. A rate of 0.5 is safe: BCE's curvature is at most ¼ of the largest eigenvalue of the features' second
/// moments, here below 8, and that of the penalties is in the step.
const HYPER: Hyper = Hyper { lambda: 0.0, rate: 0.5 };

/// Gradient descent until ‖∇G‖ ≤ 10⁻¹², then CG to a relative residual of 10⁻¹².
fn method() -> Implicit<f64> {
    let stop = InnerStop::Gradient { gradient: 1e-12, cap: 20_000 };
    Implicit::new(&Penalties, stop, Box::new(Cg::tolerance(1e-12, 200)))
}

/// What the run came to.
struct Outcome {
    /// The best single penalty, and the losses it has on validation and test rows.
    single: f64,
    single_losses: [f64; 2],
    /// The learned penalties, with their weights and losses.
    penalties: Vec<f64>,
    phi: Vec<f64>,
    losses: [f64; 2],
}

fn learn() -> Outcome {
    let [training, validation, test] =
        [(TRAINING, 0), (OTHERS, 1), (OTHERS, 2)].map(|(n, stream)| Rows::new(n, stream));
    let method = method();
    let mut worker = method.worker();
    let mut gradient = vec![0.0; FEATURES];
    // F on validation rows and on test rows: a method measures f as it goes.
    let mut measure = |worker: &mut dyn Worker<f64>, theta: &[f64]| {
        [&validation, &test].map(|rows| worker.gradient(theta, HYPER, &task(&training, rows), &mut gradient).query_loss)
    };

    // A grid: e⁻⁷, …, e¹.
    let grid: Vec<f64> = (0..25).map(|i| -7.0 + f64::from(i) / 3.0).collect();
    let tried = grid.iter().map(|&t| (t, measure(worker.as_mut(), &[t; FEATURES])));
    let (best, single_losses) = tried.min_by(|a, b| a.1[0].total_cmp(&b.1[0])).expect("a grid has points");

    // The same from there, each penalty for itself: θ ← Adam(θ, dF/dθ).
    let mut theta = vec![best; FEATURES];
    let mut adam = Adam::new(FEATURES, 0.1, 1e-8);
    let mut step = vec![0.0; FEATURES];
    for _ in 0..60 {
        worker.gradient(&theta, HYPER, &task(&training, &validation), &mut step);
        adam.step(&mut theta, &step);
    }
    let losses = measure(worker.as_mut(), &theta);
    let penalties = theta.iter().map(|t| t.exp()).collect();
    Outcome { single: best.exp(), single_losses, penalties, phi: worker.phi().to_vec(), losses }
}

fn main() {
    let Outcome { single, single_losses, penalties, phi, losses } = learn();
    println!("feature   penalty    weight");
    for (j, (penalty, weight)) in penalties.iter().zip(&phi).enumerate() {
        let kind = if j < RELEVANT { "matters" } else { "does not" };
        println!("{j:>7}  {penalty:8.4}  {weight:8.3}   {kind}");
    }
    println!("\nloss of              validation    test");
    println!("one penalty {single:6.4}       {:7.4} {:7.4}", single_losses[0], single_losses[1]);
    println!("{FEATURES} learned penalties    {:7.4} {:7.4}", losses[0], losses[1]);
}

#[cfg(test)]
mod tests {
    use meta::verify::along;

    use super::*;

    #[test]
    fn the_hypergradient_is_the_slope_of_the_validation_loss() {
        let (training, validation) = (Rows::new(TRAINING, 0), Rows::new(OTHERS, 1));
        let mut random = Random::new("direction", 0, 0, 0);
        let [theta, u] = [-3.0, 0.0].map(|m| (0..FEATURES).map(|_| m + random.uniform(-1.0, 1.0)).collect::<Vec<_>>());
        let found = along(&method(), &theta, HYPER, &task(&training, &validation), &u);
        // Solved to 1e-12 at condition numbers of some hundred.
        assert!(found.relative_error() <= 1e-7 && found.uncertainty <= 1e-7 * found.differences.abs(), "{found:?}");
    }

    #[test]
    fn irrelevant_features_get_large_penalties() {
        let Outcome { single_losses, penalties, losses, .. } = learn();
        let mean = |of: &[f64]| (of.iter().map(|p| p.ln()).sum::<f64>() / of.len() as f64).exp();
        assert!(mean(&penalties[RELEVANT..]) > 10.0 * mean(&penalties[..RELEVANT]), "{penalties:?}");
        assert!(losses[0] < single_losses[0] && losses[1] < single_losses[1], "{losses:?}, one: {single_losses:?}");
    }
}
