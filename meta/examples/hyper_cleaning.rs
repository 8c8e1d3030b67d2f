//! Data hyper-cleaning: a weight for each training example, learned so that what is trained on does well on a few
//! examples that are known to be right (Franceschi, Donini, Frasconi & Pontil 2017, section 5.1).
//!
//! ```sh
//! cargo run --release --example hyper_cleaning
//! ```
//!
//! ```text
//! inner objective   G(φ, θ) = 1/n Σ_i σ(θ_i) ℓ(φ; x_i, y_i) + ½ μ ‖φ‖²          softmax regression, ℓ cross-entropy
//! outer objective   F(θ)    = mean over clean validation rows of ℓ(φ*(θ); x, y)
//! hypergradient     dF/dθ_i = −1/n σ′(θ_i) ∇ℓ_i(φ*)ᵀ x,   (∇²_φφG) x = ∂f/∂φ
//! ```
//!
//! An example whose gradient pulls φ where validation rows want it has a negative hypergradient, and gains weight; one
//! with a wrong label pulls the other way and loses it. Differs from the paper in: 1. σ(θ) in place of weights in a box;
//! 2. an implicit gradient in place of an unrolled one.

use autodiff::{Arg, Real, Var};
use meta::inner::Hyper;
use meta::linear::Cg;
use meta::method::{Implicit, InnerStop, Method, Worker};
use meta::predict::arg_max;
use meta::problem::{At, DataSpec, Problem, Start};
use meta::tasks::Random;
use meta::train::{Adam, Optimiser};

/// Features with a constant one last, and classes.
const FEATURES: usize = 11;
const CLASSES: usize = 4;
/// Rows with labels that may be wrong, rows that are right, and rows to measure accuracy on.
const TRAINING: usize = 200;
const VALIDATION: usize = 80;
const TEST: usize = 1000;
/// The probability that a training label is wrong.
const CORRUPTED: f64 = 0.35;
/// μ
const DECAY: f64 = 0.01;

// ---------------------------------------------------------------------------------------------------------------
// The problem
// ---------------------------------------------------------------------------------------------------------------

/// Softmax regression with a weight for each example.
struct Cleaning;

impl Problem for Cleaning {
    /// φ: a matrix from features to classes.
    fn dim(&self) -> usize {
        FEATURES * CLASSES
    }

    /// θ: σ⁻¹ of a weight for each example.
    fn theta_dim(&self) -> usize {
        TRAINING
    }

    fn start(&self) -> Start {
        Start::Fixed(vec![0.0; self.dim()])
    }

    fn data(&self) -> Vec<DataSpec> {
        vec![
            DataSpec::values("training.x", [TRAINING, FEATURES]),
            DataSpec::indices("training.y", TRAINING, CLASSES),
            DataSpec::values("validation.x", [VALIDATION, FEATURES]),
            DataSpec::indices("validation.y", VALIDATION, CLASSES),
        ]
    }

    fn inner<'t>(&self, at: &At<'t>) -> Var<'t> {
        (at.theta.sigmoid() * losses(at, 0)).mean_all() + 0.5 * DECAY * at.phi.dot(at.phi)
    }

    fn outer<'t>(&self, at: &At<'t>) -> Var<'t> {
        losses(at, 2).mean_all()
    }
}

/// ℓ of each of the rows that begin at this data input.
fn losses<'t>(at: &At<'t>, first: usize) -> Var<'t> {
    let logits = at.data[first].values().matmul(at.phi.reshape([FEATURES, CLASSES]));
    nn::loss::softmax_cross_entropy_of_rows(logits, at.data[first + 1].indices())
}

// ---------------------------------------------------------------------------------------------------------------
// The data
// ---------------------------------------------------------------------------------------------------------------

/// Rows around a centre for each class, and their labels.
struct Rows {
    x: Vec<f64>,
    y: Vec<u32>,
}

impl Rows {
    fn new(count: usize, stream: u64) -> Rows {
        let mut random = Random::new("cleaning centres", 0, 0, 0);
        let centres: Vec<f64> = (0..CLASSES * (FEATURES - 1)).map(|_| random.uniform(-1.0, 1.0)).collect();
        let mut random = Random::new("cleaning rows", 0, 0, stream);
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for i in 0..count {
            let class = i % CLASSES;
            let centre = &centres[class * (FEATURES - 1)..][..FEATURES - 1];
            x.extend(centre.iter().map(|c| c + random.uniform(-1.5, 1.5)));
            x.push(1.0);
            y.push(class as u32);
        }
        Rows { x, y }
    }

    /// Gives some rows the label of another class; which.
    fn corrupt(&mut self) -> Vec<bool> {
        let mut random = Random::new("corruption", 0, 0, 0);
        let wrong = |label: &mut u32| {
            let wrong = random.uniform(0.0, 1.0) < CORRUPTED;
            if wrong {
                *label = (*label + 1 + random.below(CLASSES as u32 - 1)) % CLASSES as u32;
            }
            wrong
        };
        self.y.iter_mut().map(wrong).collect()
    }
}

fn task<'a>(training: &'a Rows, validation: &'a Rows) -> [Arg<'a, f64>; 4] {
    [(&training.x).into(), Arg::Indices(&training.y), (&validation.x).into(), Arg::Indices(&validation.y)]
}

/// The share of rows that φ classifies correctly.
fn accuracy(phi: &[f64], rows: &Rows) -> f64 {
    let right = |(x, y): (&[f64], &u32)| {
        let logit = |c: usize| x.iter().enumerate().map(|(j, x)| x * phi[j * CLASSES + c]).sum::<f64>();
        arg_max(&[0, 1, 2, 3].map(logit)) == *y as usize
    };
    rows.x.chunks_exact(FEATURES).zip(&rows.y).filter(|&row| right(row)).count() as f64 / rows.y.len() as f64
}

// ---------------------------------------------------------------------------------------------------------------
// Learning
// ---------------------------------------------------------------------------------------------------------------

const HYPER: Hyper = Hyper { lambda: 0.0, rate: 0.3 };

fn method() -> Implicit<f64> {
    let stop = InnerStop::Gradient { gradient: 1e-10, cap: 20_000 };
    Implicit::new(&Cleaning, stop, Box::new(Cg::tolerance(1e-10, 200)))
}

/// What the run came to.
struct Outcome {
    corrupted: usize,
    /// Of the examples that lost weight, how many are corrupted; of the corrupted, how many lost weight.
    precision: f64,
    recall: f64,
    /// On test rows: all examples alike, the learned weights, the corrupted ones left out by someone who knows them.
    accuracies: [f64; 3],
}

fn learn() -> Outcome {
    let [mut training, validation, test] = [(TRAINING, 0), (VALIDATION, 1), (TEST, 2)].map(|(n, s)| Rows::new(n, s));
    let wrong = training.corrupt();
    let data = task(&training, &validation);
    let method = method();
    let mut worker = method.worker();
    let mut gradient = vec![0.0; TRAINING];
    let mut accuracy_of = |worker: &mut dyn Worker<f64>, theta: &[f64]| {
        worker.gradient(theta, HYPER, &data, &mut gradient);
        accuracy(worker.phi(), &test)
    };

    // σ(0) = ½ for all; σ(±30) is 1 or 0 to thirteen digits.
    let mut theta = vec![0.0; TRAINING];
    let uncleaned = accuracy_of(worker.as_mut(), &theta);
    let known: Vec<f64> = wrong.iter().map(|&w| if w { -30.0 } else { 30.0 }).collect();
    let oracle = accuracy_of(worker.as_mut(), &known);

    let mut adam = Adam::new(TRAINING, 0.2, 1e-8);
    let mut step = vec![0.0; TRAINING];
    for _ in 0..40 {
        worker.gradient(&theta, HYPER, &data, &mut step);
        adam.step(&mut theta, &step);
    }
    let cleaned = accuracy_of(worker.as_mut(), &theta);

    let count = |keep: &dyn Fn(usize) -> bool| (0..TRAINING).filter(|&i| keep(i)).count() as f64;
    let found = count(&|i| theta[i] < 0.0 && wrong[i]);
    let (flagged, corrupted) = (count(&|i| theta[i] < 0.0), count(&|i| wrong[i]));
    let accuracies = [uncleaned, cleaned, oracle];
    Outcome { corrupted: corrupted as usize, precision: found / flagged, recall: found / corrupted, accuracies }
}

fn main() {
    let Outcome { corrupted, precision, recall, accuracies } = learn();
    println!("{corrupted} of {TRAINING} labels are wrong; a weight below ½ says so");
    println!("precision {:.1} %, recall {:.1} %\n", 100.0 * precision, 100.0 * recall);
    println!("trained on                test accuracy");
    for (name, accuracy) in ["all alike", "learned weights", "right labels (oracle)"].into_iter().zip(accuracies) {
        println!("{name:<22} {:12.1} %", 100.0 * accuracy);
    }
}

#[cfg(test)]
mod tests {
    use meta::verify::along;

    use super::*;

    #[test]
    fn the_hypergradient_is_the_slope_of_the_validation_loss() {
        let (mut training, validation) = (Rows::new(TRAINING, 0), Rows::new(VALIDATION, 1));
        training.corrupt();
        let mut random = Random::new("direction", 0, 0, 0);
        let [theta, u] = [0.0; 2].map(|_| (0..TRAINING).map(|_| random.uniform(-1.0, 1.0)).collect::<Vec<f64>>());
        let found = along(&method(), &theta, HYPER, &task(&training, &validation), &u);
        // Solved to 1e-10; G is strongly convex with μ = 0.01.
        assert!(found.relative_error() <= 1e-6 && found.uncertainty <= 1e-6 * found.differences.abs(), "{found:?}");
    }

    #[test]
    fn wrong_labels_are_found() {
        let Outcome { precision, recall, accuracies: [uncleaned, cleaned, oracle], .. } = learn();
        assert!(precision > 0.75 && recall > 0.75, "{precision}, {recall}");
        assert!(cleaned > uncleaned && cleaned > oracle - 0.03, "{uncleaned}, {cleaned}, {oracle}");
    }
}
