//! The standard workloads: S, twenty-five sinusoid tasks on a small network, and C5, thirty-two 5-way 1-shot image
//! tasks on the strided four-layer network with 64 channels.

use meta::problem::FewShot;
use meta::tasks::{Glyphs, Sinusoid, TaskStream};
use nn::{Init, Model};

/// A model, its initial parameters, and where its tasks come from.
pub struct Workload {
    /// For reports.
    pub name: &'static str,
    /// Without a prox term.
    pub plain: FewShot,
    /// With it.
    pub prox: FewShot,
    /// Initial parameters.
    pub theta: Vec<f32>,
    /// The tasks; their pictures or curves do not change what is computed.
    pub stream: Box<dyn TaskStream>,
    /// How many.
    pub tasks: usize,
    /// Inner step size.
    pub rate: f64,
}

fn workload(name: &'static str, spec: &str, stream: Box<dyn TaskStream>, tasks: usize, rate: f64) -> Workload {
    let model: Model = spec.parse().expect("a spec of this file");
    let mut state = 7_u64;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let (support, query) = (stream.shape().support, stream.shape().query);
    let theta = model.init(Init::PyTorch, &mut uniform);
    let plain = FewShot::new(model.clone(), support, query, false);
    Workload { name, plain, prox: FewShot::new(model, support, query, true), theta, stream, tasks, rate }
}

/// S: `mlp:1-40-40-1`, 25 tasks, 10 support + 10 query.
pub fn s() -> Workload {
    let stream = Sinusoid::new(0, 10, 10).expect("ten points");
    workload("S", "mlp:1-40-40-1", Box::new(stream), 25, 0.01)
}

/// C5: conv4 with 64 channels, 32 tasks, 5 support + 5 query.
pub fn c5() -> Workload {
    let few = meta::tasks::FewShot { ways: 5, shots: 1, queries: 1 };
    let stream = Glyphs::new(0, few).expect("five ways");
    workload("C5", "conv4:channels=64,stride=2,ways=5,image=1x28x28", Box::new(stream), 32, 0.1)
}
