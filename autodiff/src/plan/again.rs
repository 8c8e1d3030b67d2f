//! What passes compute again rather than store and read back, by what that saves.
//!
//! A value that several passes read takes a write and a read in each of them. Computed again it takes operations, and reads
//! of what it is made of; but a pass that reads all that anyway pays operations alone. Conv4's Hessian-vector products lose
//! six of twenty arrays so in each layer, and what they touch shrinks by as much.

use rustc_hash::{FxHashMap, FxHashSet};

use super::fuse::{Fusion, Key, cost_of};
use super::graph::Graph;
use crate::kernel::MOST_SLOTS;
use crate::tape::{NodeId, Stage};

/// A number that is read or written, in additions.
const TOUCH: usize = 4;
/// Elements of what stays in the nearest cache, where reading costs nothing.
const NEAR: usize = 4096;

/// A pass, as far as it has been decided.
#[derive(Default)]
struct Pass {
    sinks: Vec<NodeId>,
    touched: FxHashSet<NodeId>,
    cost: usize,
}

impl Fusion {
    /// Makes stored values virtual where all that read them, passes over the same elements, do as well without. Values in
    /// `in_memory` stay.
    pub(super) fn choose_again(&mut self, graph: &Graph<'_>, keys: &[Option<Key>], in_memory: &FxHashSet<NodeId>) {
        let large = |id: NodeId| keys[id.index()].filter(|key| key.numel > NEAR && key.only.is_none());
        let mut passes: FxHashMap<Key, Pass> = FxHashMap::default();
        for id in graph.roots().filter(|&id| self.is_sink(graph, id)) {
            let Some(key) = large(id) else { continue };
            passes.entry(key).or_default().sinks.push(id);
        }
        let mut touching: FxHashMap<NodeId, Vec<Key>> = FxHashMap::default();
        for (&key, pass) in &mut passes {
            self.measure(graph, key, pass);
            pass.touched.iter().for_each(|&id| touching.entry(id).or_default().push(key));
        }
        for id in graph.roots() {
            let sink = self.is_stored(id) && graph.prim(id).is_elementwise() && !in_memory.contains(&id);
            let (true, Some(own)) = (sink, large(id)) else { continue };
            let affected = touching[&id].clone();
            self.set_stored(id, false);
            let (mut less, mut more) = (0, 0);
            let mut changed = Vec::with_capacity(affected.len());
            for &key in &affected {
                let old = &passes[&key];
                let mut new = Pass { sinks: old.sinks.clone(), ..Pass::default() };
                if key == own {
                    new.sinks.retain(|&sink| sink != id);
                }
                self.measure(graph, key, &mut new);
                let fits = new.touched.len() <= MOST_SLOTS || new.touched.len() <= old.touched.len();
                less += weight(key.stage) * old.cost;
                more += if fits { weight(key.stage) * new.cost } else { usize::MAX / 2 };
                changed.push((key, new));
            }
            if more >= less {
                self.set_stored(id, true);
                continue;
            }
            for (key, new) in changed {
                for &id in &new.touched {
                    let of = touching.entry(id).or_default();
                    if !of.contains(&key) {
                        of.push(key);
                    }
                }
                passes.insert(key, new);
            }
        }
    }

    fn measure(&self, graph: &Graph<'_>, key: Key, pass: &mut Pass) {
        pass.touched.clear();
        for &sink in &pass.sinks {
            self.closure(graph, sink, &mut pass.touched);
        }
        let own: FxHashSet<NodeId> = pass.sinks.iter().copied().collect();
        let cost = |&id: &NodeId| {
            let (prim, stored) = (graph.prim(id), self.is_stored(id));
            let whole = graph.shape(id).numel() == key.numel;
            let computed = if prim.is_elementwise() && (!stored || own.contains(&id)) { cost_of(prim) } else { 0 };
            computed + if stored && whole { TOUCH } else { 0 }
        };
        pass.cost = pass.touched.iter().map(cost).sum();
    }
}

/// How often a stage runs at a point: products are taken with several directions.
fn weight(stage: Stage) -> usize {
    if stage == Stage::DIRECTION { 5 } else { 1 }
}
