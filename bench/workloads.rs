//! The standard workloads, as benchmarks, `roofline` and the comparison with peers time them.
//!
//! | name | model | tasks | support + query |
//! |---|---|---|---|
//! | S | `mlp:1-40-40-1` | 25 sinusoids | 10 + 10 |
//! | C5 | conv4, 64 channels, strided | 32, 5-way 1-shot | 5 + 5 |
//! | C5q15 | the same | 8 | 5 + 75 |
//! | C20 | the same, 20 ways | 4, 20-way 5-shot | 100 + 100 |
//! | M | conv4, 32 channels, pooled, 84 × 84 × 3 | 1, 5-way 1-shot | 5 + 75 |
//!
//! Images are noise around a prototype for each class: what is computed does not depend on them, and no solve ends
//! early on them.

use autodiff::Arg;
use meta::inner::Hyper;
use meta::linear::Cg;
use meta::method::{Implicit, InnerStop, Keep, Unrolled};
use meta::problem::FewShot;
use meta::tasks::{Batch, Episode, Sinusoid, Split, Targets, TaskStream};
use meta::train::TaskSource;
use nn::{Init, Model};

/// The names of all workloads.
pub const NAMES: [&str; 5] = ["S", "C5", "C5q15", "C20", "M"];

/// A model, its initial parameters, and its tasks.
pub struct Workload {
    /// One of [`NAMES`].
    pub name: &'static str,
    /// Without a prox term.
    pub plain: FewShot,
    /// With it.
    pub prox: FewShot,
    /// Initial parameters.
    pub theta: Vec<f32>,
    /// The tasks, drawn beforehand.
    pub episodes: Vec<Episode>,
    /// Inner step size of MAML.
    pub maml_rate: f64,
    /// Inner step size of iMAML.
    pub imaml_rate: f64,
}

const C5: &str = "conv4:channels=64,stride=2,ways=5,image=1x28x28";
const C20: &str = "conv4:channels=64,stride=2,ways=20,image=1x28x28";
const M: &str = "conv4:channels=32,pool,ways=5,image=3x84x84";

impl Workload {
    /// By name.
    ///
    /// # Errors
    /// One line, for a name that is none of [`NAMES`].
    pub fn named(name: &str) -> Result<Workload, String> {
        Ok(match name {
            "S" => Workload::new("S", "mlp:1-40-40-1", [25, 10, 10], [0.01, 0.01]),
            "C5" => Workload::new("C5", C5, [32, 5, 5], [0.4, 0.1]),
            "C5q15" => Workload::new("C5q15", C5, [8, 5, 75], [0.4, 0.1]),
            "C20" => Workload::new("C20", C20, [4, 100, 100], [0.4, 0.1]),
            "M" => Workload::new("M", M, [1, 5, 75], [0.01, 0.1]),
            _ => return Err(format!("no workload is called {name:?}: there are {}", NAMES.join(", "))),
        })
    }

    fn new(
        name: &'static str,
        spec: &str,
        [tasks, support, query]: [usize; 3],
        [maml_rate, imaml_rate]: [f64; 2],
    ) -> Workload {
        let model: Model = spec.parse().expect("a spec of this file");
        let mut uniform = uniform(7);
        let theta = model.init(Init::PyTorch, &mut uniform);
        let episodes = if model.classifies() {
            (0..tasks).map(|_| prototypes(&model, support, query, &mut uniform)).collect()
        } else {
            sinusoids(tasks, support, query)
        };
        let plain = FewShot::new(model.clone(), support, query, false);
        let prox = FewShot::new(model, support, query, true);
        Workload { name, plain, prox, theta, episodes, maml_rate, imaml_rate }
    }

    /// How many tasks.
    pub fn tasks(&self) -> usize {
        self.episodes.len()
    }

    /// Through `steps` steps, everything kept.
    pub fn maml(&self, steps: usize) -> (Unrolled<f32>, Hyper) {
        (Unrolled::new(&self.plain, steps, Keep::Everything), Hyper { lambda: 0.0, rate: self.maml_rate })
    }

    /// Implicit, at λ = 2, with exactly `products` iterations of CG.
    pub fn imaml(&self, steps: usize, products: usize) -> (Implicit<f32>, Hyper) {
        let cg = Box::new(Cg::iterations(products));
        (Implicit::new(&self.prox, InnerStop::Steps(steps), cg), Hyper { lambda: 2.0, rate: self.imaml_rate })
    }

    /// The data of a task, in the order the problem declares.
    pub fn data(&self, task: usize) -> [Arg<'_, f32>; 4] {
        let Episode { support, query } = &self.episodes[task];
        [Arg::Floats(&support.x), targets(support), Arg::Floats(&query.x), targets(query)]
    }
}

impl TaskSource<f32> for Workload {
    type Local = ();

    fn local(&self) {}

    fn with_task<R>(&self, i: usize, (): &mut (), f: impl FnOnce(&[Arg<'_, f32>]) -> R) -> R {
        f(&self.data(i))
    }
}

fn targets(batch: &Batch) -> Arg<'_, f32> {
    match &batch.y {
        Targets::Values(values) => Arg::Floats(values),
        Targets::Classes(classes) => Arg::Indices(classes),
    }
}

/// Numbers in [0, 1), the same every time (an LCG: quality does not matter here).
fn uniform(mut state: u64) -> impl FnMut() -> f64 {
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn sinusoids(tasks: usize, support: usize, query: usize) -> Vec<Episode> {
    let stream = Sinusoid::new(0, support, query).expect("points to draw");
    let draw = |k| {
        let mut episode = Episode::empty_for(stream.shape());
        stream.sample(Split::Train, k as u64, &mut episode);
        episode
    };
    (0..tasks).map(draw).collect()
}

fn prototypes(model: &Model, support: usize, query: usize, uniform: &mut impl FnMut() -> f64) -> Episode {
    let (ways, pixels) = (model.outputs(), model.input().iter().product::<usize>());
    let prototypes: Vec<f64> = (0..ways * pixels).map(|_| uniform()).collect();
    let mut batch = |rows: usize| Batch {
        x: (0..rows * pixels)
            .map(|i| (prototypes[i / pixels % ways * pixels + i % pixels] + 0.5 * (uniform() - uniform())) as f32)
            .collect(),
        y: Targets::Classes((0..rows).map(|row| (row % ways) as u32).collect()),
    };
    Episode { support: batch(support), query: batch(query) }
}
