//! Tasks of networks, in either precision.

use autodiff::Element;
use integration::{Owned, initial};
use meta::problem::FewShot;
use meta::tasks::Glyphs;
use nn::Model;

/// Three made-up characters, two drawings of each to learn from.
pub fn glyphs<T: Element>(spec: &str, prox: bool, k: u64) -> (FewShot, Vec<T>, Owned<T>) {
    let model: Model = spec.parse().unwrap();
    let stream = Glyphs::new(1, meta::tasks::FewShot { ways: 3, shots: 2, queries: 2 }).unwrap();
    let theta = initial(&model, k);
    (FewShot::new(model, 6, 6, prox), theta, Owned::of(&stream, k))
}
