//! What passes compute again rather than store and read back, by what that saves.
//!
//! A value that several passes read takes a write and a read in each of them. Computed again it takes operations, and reads
//! of what it is made of; but a pass that reads as much anyway pays operations alone. Conv4's Hessian-vector products lose
//! six of twenty arrays so in each layer, and what they touch shrinks by as much. No pass reads more values than before: else
//! chains of values would vanish into one pass at their end, and all that they are made of be kept for it.

use rustc_hash::{FxHashMap, FxHashSet};

use super::super::graph::Graph;
use super::super::view::View;
use super::{Fusion, Key, cost_of};
use crate::kernel::MOST_SLOTS;
use crate::tape::NodeId;

/// A number that is read or written, in additions.
const TOUCH: usize = 4;
/// Elements of what stays in the nearest cache, where reading costs nothing.
const NEAR: usize = 4096;
/// How often a later stage is taken to run for each time that this one does.
const RUNS: usize = 5;

/// What is known of a pass while it may still change.
struct Draft {
    sinks: Vec<NodeId>,
    /// What it computes and reads; none of one so large that it is cut into several, which is left as it is.
    measured: Option<Measured>,
}

struct Measured {
    touched: FxHashSet<View>,
    /// Values of all elements that it reads.
    reads: usize,
    cost: usize,
}

impl Fusion {
    /// Makes stored values virtual where the passes that read them do as well without. Values in `in_memory` stay.
    pub(super) fn choose_again(&mut self, graph: &Graph<'_>, keys: &[Option<Key>], in_memory: &FxHashSet<NodeId>) {
        let large = |id: NodeId| keys[id.index()].filter(|key| key.numel > NEAR && key.only.is_none());
        let mut drafts: FxHashMap<Key, Draft> = FxHashMap::default();
        for id in graph.roots().filter(|&id| self.is_sink(graph, id)) {
            let Some(key) = large(id) else { continue };
            drafts.entry(key).or_insert(Draft { sinks: Vec::new(), measured: None }).sinks.push(id);
        }
        let is_candidate = |fusion: &Fusion, id: NodeId| {
            fusion.is_stored(id) && graph.prim(id).is_elementwise() && !in_memory.contains(&id) && large(id).is_some()
        };
        let mut touching: FxHashMap<NodeId, Vec<Key>> = FxHashMap::default();
        for (&key, draft) in &mut drafts {
            let mut touched = FxHashSet::default();
            draft.sinks.iter().for_each(|&sink| self.closure(graph, sink, &mut touched));
            let roots = touched.iter().map(|view| view.root);
            roots.filter(|&id| is_candidate(self, id)).for_each(|id| note(&mut touching, id, key));
            draft.measured = self.measure(graph, key, &draft.sinks);
        }
        for id in graph.roots() {
            if !is_candidate(self, id) {
                continue;
            }
            self.set_stored(id, false);
            let Some(changed) = self.without(graph, id, &drafts, &touching[&id], large(id)) else {
                self.set_stored(id, true);
                continue;
            };
            for (key, draft) in changed {
                let roots = draft.measured.iter().flat_map(|m| &m.touched).map(|view| view.root);
                roots.filter(|&id| is_candidate(self, id)).for_each(|id| note(&mut touching, id, key));
                drafts.insert(key, draft);
            }
        }
    }

    /// The passes that touched `id`, which is virtual now, if that costs less than before.
    fn without(
        &self,
        graph: &Graph<'_>,
        id: NodeId,
        drafts: &FxHashMap<Key, Draft>,
        touching: &[Key],
        own: Option<Key>,
    ) -> Option<Vec<(Key, Draft)>> {
        let (mut before, mut after) = (0, 0);
        let mut changed = Vec::with_capacity(touching.len());
        for &key in touching {
            let Draft { sinks, measured: old } = &drafts[&key];
            let sinks: Vec<NodeId> = sinks.iter().copied().filter(|&sink| sink != id).collect();
            let (old, new) = (old.as_ref()?, self.measure(graph, key, &sinks)?);
            if new.reads > old.reads {
                return None;
            }
            let runs = if own.is_some_and(|own| key.stage > own.stage) { RUNS } else { 1 };
            before += runs * old.cost;
            after += runs * new.cost;
            changed.push((key, Draft { sinks, measured: Some(new) }));
        }
        (after < before).then_some(changed)
    }

    fn measure(&self, graph: &Graph<'_>, key: Key, sinks: &[NodeId]) -> Option<Measured> {
        let mut touched = FxHashSet::default();
        for &sink in sinks {
            self.closure(graph, sink, &mut touched);
            if touched.len() > MOST_SLOTS {
                return None;
            }
        }
        let (mut reads, mut writes, mut operations) = (0, 0, 0);
        let values: FxHashSet<NodeId> = touched.iter().map(|view| view.root).collect();
        for id in values {
            let (prim, own) = (graph.prim(id), sinks.contains(&id));
            if prim.is_elementwise() && (own || !self.is_stored(id)) {
                operations += cost_of(prim);
            }
            if self.is_stored(id) && graph.shape(id).numel() == key.numel {
                *(if own { &mut writes } else { &mut reads }) += 1;
            }
        }
        Some(Measured { touched, reads, cost: operations + TOUCH * (reads + writes) })
    }
}

/// Notes that a pass touches a value.
fn note(touching: &mut FxHashMap<NodeId, Vec<Key>>, id: NodeId, key: Key) {
    let of = touching.entry(id).or_default();
    if !of.contains(&key) {
        of.push(key);
    }
}
