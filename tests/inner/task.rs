//! Tasks of networks, in f64.

use autodiff::{Arg, Element};
use integration::Numbers;
use meta::inner::Hyper;
use meta::problem::FewShot;
use meta::tasks::{Episode, Glyphs, Sinusoid, Split, Targets, TaskStream};
use meta::{Method, Report};
use nn::{Init, Model};

/// A task's data, owned.
pub enum Values<T> {
    Floats(Vec<T>),
    Indices(Vec<u32>),
}

pub struct Owned<T>(pub Vec<Values<T>>);

impl<T: Element> Owned<T> {
    pub fn new(episode: &Episode) -> Self {
        let floats = |v: &[f32]| Values::Floats(v.iter().map(|&x| T::from_f64(f64::from(x))).collect());
        let targets = |t: &Targets| match t {
            Targets::Values(v) => floats(v),
            Targets::Classes(c) => Values::Indices(c.clone()),
        };
        let Episode { support, query } = episode;
        Owned(vec![floats(&support.x), targets(&support.y), floats(&query.x), targets(&query.y)])
    }

    pub fn args(&self) -> Vec<Arg<'_, T>> {
        fn arg<T>(values: &Values<T>) -> Arg<'_, T> {
            match values {
                Values::Floats(v) => Arg::Floats(v),
                Values::Indices(v) => Arg::Indices(v),
            }
        }
        self.0.iter().map(arg).collect()
    }
}

/// Initial parameters, the same for the same seed.
pub fn theta<T: Element>(model: &Model, seed: u64) -> Vec<T> {
    let mut numbers = Numbers::new(seed);
    model.init(Init::PyTorch, &mut || 0.5 * (numbers.next() + 1.0))
}

/// A sine curve at 10 + 10 points.
pub fn sinusoid(spec: &str, prox: bool, k: u64) -> (FewShot, Vec<f64>, Owned<f64>) {
    let model: Model = spec.parse().unwrap();
    let stream = Sinusoid::new(7, 10, 10).unwrap();
    let mut episode = Episode::empty_for(stream.shape());
    stream.sample(Split::Train, k, &mut episode);
    let theta = theta(&model, k);
    (FewShot::new(model, 10, 10, prox), theta, Owned::new(&episode))
}

/// Three made-up characters, two drawings of each to learn from.
pub fn glyphs<T: Element>(spec: &str, prox: bool, k: u64) -> (FewShot, Vec<T>, Owned<T>) {
    let model: Model = spec.parse().unwrap();
    let stream = Glyphs::new(1, meta::tasks::FewShot { ways: 3, shots: 2, queries: 2 }).unwrap();
    let mut episode = Episode::empty_for(stream.shape());
    stream.sample(Split::Train, k, &mut episode);
    let theta = theta(&model, k);
    (FewShot::new(model, 6, 6, prox), theta, Owned::new(&episode))
}

/// dF/dθ of one task.
pub fn gradient<T: Element>(
    method: &dyn Method<T>,
    theta: &[T],
    hyper: Hyper,
    data: &[Arg<'_, T>],
) -> (Vec<T>, Report) {
    let mut out = vec![T::zero(); theta.len()];
    let report = method.worker().gradient(theta, hyper, data, &mut out);
    (out, report)
}
