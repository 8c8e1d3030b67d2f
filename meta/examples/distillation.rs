//! Dataset distillation (Wang, Zhu, Torralba & Efros 2018): one made-up image a class, such that a few steps of training
//! on those do what many drawings would.
//!
//! ```sh
//! cargo run --release --example distillation
//! ```
//!
//! ```text
//! inner objective   G(φ, θ) = cross-entropy of the network φ on the images in θ, one a class
//! inner steps       φ₀ fixed,  φ_{k+1} = φ_k − α exp(θ_last) ∇_φG(φ_k, θ)        K of them
//! outer objective   F(θ)    = cross-entropy of φ_K on real drawings
//! ```
//!
//! The images are learned, and the logarithm of the step size with them. Nothing is solved here: K steps are all there
//! is, so the derivative goes through them (w_k = (∂S/∂φ_k)ᵀ w_{k+1}, dF/dθ = Σ_k (∂S/∂θ)ᵀ w_{k+1}).

use autodiff::{Arg, Plan, Real, Stage, Tape, Var};
use meta::inner::Hyper;
use meta::method::{Keep, Method, Unrolled};
use meta::predict::Measure;
use meta::problem::{At, DataSpec, Problem, Start};
use meta::tasks::{Episode, FewShot, Glyphs, Random, Split, Targets, TaskStream};
use meta::train::{Adam, Optimiser};
use nn::{Init, Model, Statistics};

/// Characters, and drawings of each to distil from; as many others are measured on.
const CLASSES: usize = 5;
const DRAWINGS: usize = 20;
const ROWS: usize = CLASSES * DRAWINGS;
/// Drawings of 28 × 28 are seen at 7 × 7: means of blocks.
const SIDE: usize = 7;
const PIXELS: usize = SIDE * SIDE;
/// K
const STEPS: usize = 10;
/// α = 0.5 before it is learned.
const HYPER: Hyper = Hyper { lambda: 0.0, rate: 0.5 };

// ---------------------------------------------------------------------------------------------------------------
// The problem
// ---------------------------------------------------------------------------------------------------------------

/// Training a network on images that are the meta-parameters.
struct Distillation {
    model: Model,
    /// φ₀
    start: Vec<f64>,
}

impl Distillation {
    fn new() -> Self {
        let model: Model = format!("mlp:{PIXELS}-12-{CLASSES},act=tanh").parse().expect("a model");
        let mut random = Random::new("start", 0, 0, 0);
        let start = model.init(Init::PyTorch, &mut || random.uniform(0.0, 1.0));
        Distillation { model, start }
    }

    /// Cross-entropy of the network on images [rows, pixels].
    fn loss<'t>(&self, at: &At<'t>, x: Var<'t>, labels: usize) -> Var<'t> {
        let logits = self.model.forward(at.phi, x, &Statistics::Batch).output;
        nn::loss::softmax_cross_entropy(logits, at.data[labels].indices())
    }
}

impl Problem for Distillation {
    fn dim(&self) -> usize {
        self.start.len()
    }

    /// θ: an image a class, and the logarithm of a factor of α.
    fn theta_dim(&self) -> usize {
        CLASSES * PIXELS + 1
    }

    fn start(&self) -> Start {
        Start::Fixed(self.start.clone())
    }

    fn rate<'t>(&self, at: &At<'t>, rate: Var<'t>) -> Var<'t> {
        rate * at.theta.slice(&[CLASSES * PIXELS], &[CLASSES * PIXELS + 1]).reshape([]).exp()
    }

    fn data(&self) -> Vec<DataSpec> {
        vec![
            DataSpec::indices("distilled.y", CLASSES, CLASSES),
            DataSpec::values("real.x", [ROWS, PIXELS]),
            DataSpec::indices("real.y", ROWS, CLASSES),
        ]
    }

    fn inner<'t>(&self, at: &At<'t>) -> Var<'t> {
        self.loss(at, at.theta.slice(&[0], &[CLASSES * PIXELS]).reshape([CLASSES, PIXELS]), 0)
    }

    fn outer<'t>(&self, at: &At<'t>) -> Var<'t> {
        self.loss(at, at.data[1].values(), 2)
    }
}

// ---------------------------------------------------------------------------------------------------------------
// The data
// ---------------------------------------------------------------------------------------------------------------

/// Drawings, small, and what they are of.
struct Drawings {
    x: Vec<f64>,
    y: Vec<u32>,
}

/// To distil from, and to measure on.
fn drawings() -> [Drawings; 2] {
    let asked = FewShot { ways: CLASSES, shots: DRAWINGS, queries: DRAWINGS };
    let stream = Glyphs::new(0, asked).expect("glyphs have five classes");
    let mut episode = Episode::empty_for(stream.shape());
    stream.sample(Split::Train, 0, &mut episode);
    [&episode.support, &episode.query].map(|batch| {
        let mut x = vec![0.0; ROWS * PIXELS];
        for (i, &ink) in batch.x.iter().enumerate() {
            let (image, row, column) = (i / 784, i % 784 / 28, i % 28);
            x[image * PIXELS + row / 4 * SIDE + column / 4] += f64::from(ink) / 16.0;
        }
        let Targets::Classes(y) = &batch.y else { unreachable!("glyphs have classes") };
        Drawings { x, y: y.clone() }
    })
}

const LABELS: [u32; CLASSES] = [0, 1, 2, 3, 4];

fn task(real: &Drawings) -> [Arg<'_, f64>; 3] {
    [Arg::Indices(&LABELS), (&real.x).into(), Arg::Indices(&real.y)]
}

/// θ from images of each class, the step size as it is: the mean over the first `count` drawings.
fn images(real: &Drawings, count: usize) -> Vec<f64> {
    let mut theta = vec![0.0; CLASSES * PIXELS + 1];
    for (i, ink) in real.x.iter().enumerate() {
        let (class, drawing) = (i / PIXELS / DRAWINGS, i / PIXELS % DRAWINGS);
        if drawing < count {
            theta[class * PIXELS + i % PIXELS] += ink / count as f64;
        }
    }
    theta
}

// ---------------------------------------------------------------------------------------------------------------
// Learning
// ---------------------------------------------------------------------------------------------------------------

/// Losses on real drawings before and after, and accuracies on drawings that were not distilled from: of training on
/// a drawing a class, on their means, on what was learned.
struct Outcome {
    theta: Vec<f64>,
    losses: [f64; 3],
    accuracies: [f64; 3],
}

fn learn() -> Outcome {
    let problem = Distillation::new();
    let [real, others] = drawings();
    let method = Unrolled::new(&problem, STEPS, Keep::Everything);
    let mut worker = method.worker();
    let mut gradient = vec![0.0; problem.theta_dim()];

    // Images that start as drawings: θ ← Adam(θ, dF/dθ).
    let mut theta = images(&real, 1);
    let mut adam = Adam::new(theta.len(), 0.03, 1e-8);
    for _ in 0..300 {
        worker.gradient(&theta, HYPER, &task(&real), &mut gradient);
        adam.step(&mut theta, &gradient);
    }

    // The network's outputs on the other drawings.
    let tape = Tape::new();
    let phi = tape.input("phi", problem.dim(), Stage::POINT);
    let x = tape.input("x", [ROWS, PIXELS], Stage::POINT);
    let plan: Plan<f64> = Plan::compile(&tape, &[problem.model.forward(phi, x, &Statistics::Batch).output]);
    let mut measure = |theta: &[f64]| {
        let loss = worker.gradient(theta, HYPER, &task(&real), &mut gradient).query_loss;
        let output = &plan.evaluate(&[worker.phi(), &others.x])[0];
        (loss, Measure::Accuracy.of(output, CLASSES, Arg::Indices(&others.y)))
    };
    let measured = [images(&real, 1), images(&real, DRAWINGS), theta.clone()].map(|theta| measure(&theta));
    Outcome { theta, losses: measured.map(|m| m.0), accuracies: measured.map(|m| m.1) }
}

fn main() {
    let Outcome { theta, losses, accuracies } = learn();
    println!("{STEPS} steps of training on     loss   accuracy on other drawings");
    for (i, name) in ["a drawing a class", "their means", "distilled images"].into_iter().enumerate() {
        println!("{name:<20} {:11.3} {:8.0} %", losses[i], 100.0 * accuracies[i]);
    }
    println!("\nlearned step size {:.3}, from {}; the images:", HYPER.rate * theta[CLASSES * PIXELS].exp(), HYPER.rate);
    let shade = |v: &f64| [' ', '.', ':', '+', '#'][(4.0 * v.clamp(0.0, 1.0)).round() as usize];
    for row in 0..SIDE {
        let line = |image: &[f64]| image[row * SIDE..][..SIDE].iter().map(shade).collect::<String>();
        let lines: Vec<String> = theta.chunks_exact(PIXELS).map(line).collect();
        println!("{}", lines.join("  "));
    }
}

#[cfg(test)]
mod tests {
    use meta::verify::along;

    use super::*;

    #[test]
    fn the_gradient_is_the_slope_of_the_loss_on_real_drawings() {
        let problem = Distillation::new();
        let [real, _] = drawings();
        let method = Unrolled::new(&problem, STEPS, Keep::Everything);
        let mut random = Random::new("direction", 0, 0, 0);
        // The images together, and the step size alone: it is one number among many.
        let images_only: Vec<f64> = (0..CLASSES * PIXELS).map(|_| random.uniform(-1.0, 1.0)).chain([0.0]).collect();
        let rate_only: Vec<f64> = (0..CLASSES * PIXELS).map(|_| 0.0).chain([1.0]).collect();
        for u in [images_only, rate_only] {
            let found = along(&method, &images(&real, 1), HYPER, &task(&real), &u);
            assert!(found.relative_error() <= 1e-7 && found.uncertainty <= 1e-7 * found.differences.abs(), "{found:?}");
        }
    }

    #[test]
    fn distilled_images_train_better_than_drawings() {
        let Outcome { losses: [one, mean, distilled], accuracies: [of_one, of_mean, of_distilled], .. } = learn();
        assert!(distilled < 0.5 * one.min(mean), "{one}, {mean}, {distilled}");
        assert!(of_distilled > of_one && of_distilled >= of_mean, "{of_one}, {of_mean}, {of_distilled}");
    }
}
