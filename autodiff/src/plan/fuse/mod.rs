//! Fusion: which elementwise nodes and sums form one pass, and which values touch memory.
//!
//! Nodes are fused when they run over the same elements (number, innermost extent) at the same *level*. A
//! node's level is the number of passes, products or other steps that must have finished before it can run;
//! an edge between different groups always goes up, so grouping by level makes no cycles.
//!
//! A value touches memory only if something needs it there: a product, a broadcast, an output, another kind
//! of group. A value that other groups of its own kind read is either stored or *recomputed* in each of them,
//! and it is recomputed where that costs no more traffic than reading it back: where it depends on at most
//! one full-size stored value and a handful of operations, or on what those groups read anyway (module `again`).
//!
//! Beside passes, an arg max and the gather of the elements that it finds are one step: who finds them has them.

mod again;

use rustc_hash::{FxHashMap, FxHashSet};

use super::graph::Graph;
use super::view::View;
use crate::kernel::MOST_SLOTS;
use crate::rules::{BinaryOp, UnaryOp};
use crate::shape::Shape;
use crate::tape::{NodeId, Prim, Stage};

/// Innermost extents beyond this are walked without regard to rows.
pub(super) const LONGEST_ROW: usize = 4096;
/// The most that recomputing a value may cost, in additions per element.
const RECOMPUTE: usize = 10;

/// Nodes with equal keys run in one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub stage: Stage,
    level: usize,
    pub numel: usize,
    row: usize,
    /// Tells groups apart where fusion is off.
    pub only: Option<NodeId>,
}

/// One pass: the nodes it stores and the sums it feeds, operands first.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub stage: Stage,
    pub sinks: Vec<NodeId>,
}

pub(super) struct Fusion {
    pub groups: Vec<Group>,
    stored: Vec<bool>,
    fused_sum: Vec<bool>,
    /// By gather: the arg max whose step also gives what the gather takes; and whether a node is one of those.
    maxima: FxHashMap<NodeId, NodeId>,
    with_gather: Vec<bool>,
}

impl Fusion {
    pub fn new(graph: &Graph<'_>, outputs: &[NodeId], fuse: bool) -> Self {
        let maxima = if fuse { gathers_of_maxima(graph) } else { FxHashMap::default() };
        let none = || vec![false; graph.len()];
        let (stored, fused_sum, mut with_gather) = (none(), none(), none());
        maxima.values().for_each(|arg_max| with_gather[arg_max.index()] = true);
        let mut fusion = Fusion { groups: Vec::new(), stored, fused_sum, maxima, with_gather };
        for id in graph.roots() {
            fusion.fused_sum[id.index()] = fuse && sum_fuses(graph, id);
        }
        let keys = fusion.late_keys(graph, fuse);
        let in_memory = fusion.choose_stored(graph, outputs, &keys);
        fusion.choose_again(graph, &keys, &in_memory);
        fusion.form_groups(graph, &keys);
        fusion
    }

    /// Whether the node's value is in memory; a virtual one exists in registers only.
    pub fn is_stored(&self, id: NodeId) -> bool {
        self.stored[id.index()]
    }

    fn set_stored(&mut self, id: NodeId, stored: bool) {
        self.stored[id.index()] = stored;
    }

    /// Whether a pass is there for the node's sake.
    fn is_sink(&self, graph: &Graph<'_>, id: NodeId) -> bool {
        self.fused_sum[id.index()] || (self.is_stored(id) && is_virtual_kind(graph.prim(id)))
    }

    /// The arg max that is computed with this gather of largest elements.
    pub fn arg_max_with(&self, gather: NodeId) -> Option<NodeId> {
        self.maxima.get(&gather).copied()
    }

    /// Whether the node is an arg max that is computed with a gather.
    pub fn is_with_gather(&self, id: NodeId) -> bool {
        self.with_gather[id.index()]
    }

    /// Whether the node is computed by a [`Group`].
    pub fn in_group(&self, graph: &Graph<'_>, id: NodeId) -> bool {
        is_virtual_kind(graph.prim(id)) || self.fused_sum[id.index()]
    }

    /// The keys, where passes that could run first of all wait for a later one over the same elements that reads what
    /// they compute, if there is one that does not need them before: one pass over memory less. A prox term's φ − θ
    /// waits so for the gradient that it is added to. What they read is there from the beginning.
    fn late_keys(&self, graph: &Graph<'_>, fuse: bool) -> Vec<Option<Key>> {
        let mut floors: FxHashMap<Key, usize> = FxHashMap::default();
        let mut keys = self.keys(graph, fuse, &floors);
        if !fuse {
            return keys;
        }
        // Passes that could wait, with those that read them.
        let mut waiting: FxHashMap<Key, Vec<NodeId>> = FxHashMap::default();
        for reader in graph.roots().filter(|&id| self.in_group(graph, id) && !is_broadcast(graph.prim(id))) {
            let Some(key) = keys[reader.index()].filter(|key| key.level > 0) else { continue };
            for View { root, .. } in graph.operands(reader).filter(|v| graph.prim(v.root).is_elementwise()) {
                if keys[root.index()] == Some(Key { level: 0, ..key }) {
                    waiting.entry(Key { level: 0, ..key }).or_default().push(reader);
                }
            }
        }
        let mut waiting: Vec<_> = waiting.into_iter().collect();
        waiting.sort_unstable_by_key(|(_, readers)| readers[0]);
        for (key, readers) in waiting {
            let level_in = |keys: &[Option<Key>], id: NodeId| keys[id.index()].expect("a reader has a key").level;
            let first = readers.iter().map(|&id| level_in(&keys, id)).min().expect("at least one");
            floors.insert(key, first);
            let later = self.keys(graph, fuse, &floors);
            if readers.iter().all(|&id| level_in(&later, id) == level_in(&keys, id)) {
                keys = later;
            } else {
                floors.remove(&key);
            }
        }
        keys
    }

    /// Each node's key at its earliest level, but not before the one that `floors` has for keys of level 0.
    fn keys(&self, graph: &Graph<'_>, fuse: bool, floors: &FxHashMap<Key, usize>) -> Vec<Option<Key>> {
        let mut keys: Vec<Option<Key>> = vec![None; graph.len()];
        let mut level = vec![0; graph.len()];
        for id in graph.roots() {
            let stage = graph.stage(id);
            let prim = graph.prim(id);
            if matches!(prim, Prim::Input(_)) {
                continue;
            }
            // Sums run over their operand's elements.
            let space = if self.fused_sum[id.index()] { graph.node(id).operands[0] } else { id };
            let dims = graph.shape(space).dims();
            let row = dims.last().copied().unwrap_or(1);
            let mut key = Key {
                stage,
                level: 0,
                numel: dims.iter().product(),
                row: if row > LONGEST_ROW { 0 } else { row },
                only: (!fuse).then_some(id),
            };
            let grouped = self.in_group(graph, id);
            for View { root, .. } in graph.operands(id) {
                if graph.stage(root) < stage || matches!(graph.prim(root), Prim::Input(_) | Prim::Literal(_)) {
                    continue;
                }
                // A virtual broadcast is a way to read its operand, whose level it carries.
                let kind = graph.prim(root);
                let same_pass = grouped
                    && !is_broadcast(prim)
                    && (is_broadcast(kind) || (fuse && kind.is_elementwise()))
                    && keys[root.index()].is_some_and(|of| (of.numel, of.row) == (key.numel, key.row));
                key.level = key.level.max(level[root.index()] + usize::from(!same_pass));
            }
            // Whoever reads a literal does not ask where it comes from, so that it never waits.
            if grouped && key.level == 0 && !matches!(prim, Prim::Literal(_)) {
                key.level = floors.get(&key).copied().unwrap_or(0);
            }
            level[id.index()] = key.level;
            keys[id.index()] = Some(key);
        }
        keys
    }

    /// Gives what is needed in memory by others than passes over the same elements.
    fn choose_stored(&mut self, graph: &Graph<'_>, outputs: &[NodeId], keys: &[Option<Key>]) -> FxHashSet<NodeId> {
        // Who reads what: groups of the same elements read values wherever they are; all others need them stored.
        let mut readers: FxHashMap<NodeId, Vec<Key>> = FxHashMap::default();
        let mut needed_in_memory: FxHashSet<NodeId> = FxHashSet::default();
        for id in graph.roots() {
            for view in graph.operands(id) {
                let (reader, root) = (keys[id.index()], view.root);
                let same_elements = view.is_all_of(graph.shape(root))
                    && self.in_group(graph, id)
                    && !is_broadcast(graph.prim(id))
                    && match (reader, keys[root.index()]) {
                        (Some(r), Some(k)) => (r.numel, r.row) == (k.numel, k.row),
                        _ => false,
                    };
                // A literal has no place and needs none where a pass or a broadcast reads it.
                let literal = matches!(graph.prim(root), Prim::Literal(_)) && self.in_group(graph, id);
                if same_elements {
                    readers.entry(root).or_default().push(reader.expect("in a group"));
                } else if !literal {
                    needed_in_memory.insert(root);
                }
            }
        }
        needed_in_memory.extend(outputs.iter().map(|&id| graph.view(id).root));

        // What recomputing a virtual node would read and cost.
        let mut reads: Vec<FxHashSet<NodeId>> = vec![FxHashSet::default(); graph.len()];
        let mut cost = vec![0; graph.len()];
        // An upper bound on the nodes that computing a virtual one touches.
        let mut size = vec![1_usize; graph.len()];
        for id in graph.roots() {
            let i = id.index();
            let prim = graph.prim(id);
            if !is_virtual_kind(prim) {
                self.stored[i] = true;
                reads[i].insert(id);
                continue;
            }
            if prim.is_elementwise() {
                cost[i] = cost_of(prim);
                for View { root, .. } in graph.operands(id) {
                    let from = reads[root.index()].clone();
                    reads[i].extend(from);
                    cost[i] += cost[root.index()];
                }
            }
            let own = keys[i].expect("virtual kinds have keys");
            let own_pass = |k: &Key| k == &own;
            let recompute = reads[i].len() <= 1 && cost[i] <= RECOMPUTE && own.only.is_none();
            let virtual_elsewhere = !prim.is_elementwise() || recompute;
            let all_read_here = readers.get(&id).is_none_or(|r| r.iter().all(own_pass));
            self.stored[i] = needed_in_memory.contains(&id) || !(all_read_here || virtual_elsewhere);
            // Half the slots of a pass, so that two such operands still fit one.
            size[i] = 1 + graph.operands(id).map(|v| size[v.root.index()]).sum::<usize>();
            if !self.stored[i] && size[i] > MOST_SLOTS / 2 && prim.is_elementwise() {
                let mut touched = FxHashSet::default();
                self.closure(graph, id, &mut touched);
                size[i] = touched.len();
                self.stored[i] = size[i] > MOST_SLOTS / 4;
            }
            if self.stored[i] {
                reads[i] = std::iter::once(id).collect();
                cost[i] = 0;
                size[i] = 1;
            }
        }
        needed_in_memory
    }

    fn form_groups(&mut self, graph: &Graph<'_>, keys: &[Option<Key>]) {
        let mut of_key: FxHashMap<Key, usize> = FxHashMap::default();
        let mut touched: Vec<FxHashSet<View>> = Vec::new();
        for id in graph.roots() {
            if !self.is_sink(graph, id) {
                continue;
            }
            let key = keys[id.index()].expect("grouped nodes have keys");
            let mut adds = FxHashSet::default();
            self.closure(graph, id, &mut adds);
            if let Some(&g) = of_key.get(&key) {
                // Each view touched takes at most one slot; a pass that would overflow is cut in two.
                if touched[g].union(&adds).count() <= MOST_SLOTS {
                    self.groups[g].sinks.push(id);
                    touched[g].extend(adds);
                    continue;
                }
            }
            of_key.insert(key, self.groups.len());
            self.groups.push(Group { stage: key.stage, sinks: vec![id] });
            touched.push(adds);
        }
    }

    /// What computing `id` touches: itself, virtual nodes, and what they read of stored ones.
    fn closure(&self, graph: &Graph<'_>, id: NodeId, seen: &mut FxHashSet<View>) {
        let mut stack = vec![id];
        while let Some(id) = stack.pop() {
            seen.insert(graph.view(id));
            for view in graph.operands(id) {
                if seen.insert(view) && !self.stored[view.root.index()] && graph.prim(view.root).is_elementwise() {
                    stack.push(view.root);
                }
            }
        }
    }
}

/// Gathers that take the largest elements of windows out of what an arg max looks at, each with that arg max, of which no
/// other does.
fn gathers_of_maxima(graph: &Graph<'_>) -> FxHashMap<NodeId, NodeId> {
    let mut gathers: FxHashMap<NodeId, NodeId> = FxHashMap::default();
    for gather in graph.roots().filter(|&id| matches!(graph.prim(id), Prim::Gather)) {
        let [table, at] = graph.node(gather).operands[..] else { continue };
        let (arg_max, picked) = (graph.view(at).root, graph.shape(gather).numel());
        let all = graph.view(at).is_all_of(graph.shape(arg_max)) && graph.shape(arg_max).numel() == picked;
        let of_table = matches!(graph.prim(arg_max), Prim::ArgMax(_))
            && graph.view(graph.node(arg_max).operands[0]) == graph.view(table);
        if all && of_table && graph.stage(arg_max) == graph.stage(gather) {
            gathers.entry(arg_max).or_insert(gather);
        }
    }
    gathers.into_iter().map(|(arg_max, gather)| (gather, arg_max)).collect()
}

fn is_broadcast(prim: &Prim) -> bool {
    matches!(prim, Prim::Broadcast(_))
}

/// Whether `reader`, part of a pass, reads the broadcast `root` through its operand, stored or not. It does
/// where it sees its elements one by one; a stored broadcast of other extents is read from memory.
pub(super) fn reads_through(graph: &Graph<'_>, root: NodeId, reader: NodeId) -> bool {
    if !is_broadcast(graph.prim(root)) || is_broadcast(graph.prim(reader)) {
        return false;
    }
    let space = if graph.prim(reader).is_sum() { graph.node(reader).operands[0] } else { reader };
    let row = |s: &Shape| s.dims().last().copied().unwrap_or(1);
    let (a, b) = (graph.shape(root), graph.shape(space));
    a.numel() == b.numel() && (row(a) == row(b) || (row(a) > LONGEST_ROW && row(b) > LONGEST_ROW))
}

/// Kinds that need no memory of their own unless something asks for it.
fn is_virtual_kind(prim: &Prim) -> bool {
    prim.is_elementwise() || matches!(prim, Prim::Broadcast(_) | Prim::Literal(_))
}

/// Whether the sum can be accumulated while its operand is computed: over everything, over all rows, or
/// within each row.
fn sum_fuses(graph: &Graph<'_>, id: NodeId) -> bool {
    if !graph.prim(id).is_sum() {
        return false;
    }
    let row = graph.shape(graph.node(id).operands[0]).dims().last().copied().unwrap_or(1);
    let (outer, summed, inner) = graph.sum_extents(id);
    match (outer, graph.sum_lanes(id)) {
        (1, Some(_)) => true,
        (1, None) => inner == row && row <= LONGEST_ROW,
        (_, Some(lanes)) => summed * lanes == row && row <= LONGEST_ROW,
        _ => false,
    }
}

fn cost_of(prim: &Prim) -> usize {
    match prim {
        Prim::Unary(UnaryOp::Neg | UnaryOp::Abs) => 1,
        Prim::Unary(UnaryOp::Powi(n)) => n.unsigned_abs().ilog2_or_zero() + 1,
        Prim::Unary(UnaryOp::Recip | UnaryOp::Sqrt) | Prim::Binary(BinaryOp::Div) => 8,
        Prim::Unary(_) | Prim::Binary(BinaryOp::Powf) => 20,
        _ => 1,
    }
}

trait Log2 {
    fn ilog2_or_zero(self) -> usize;
}
impl Log2 for u32 {
    fn ilog2_or_zero(self) -> usize {
        self.checked_ilog2().unwrap_or(0) as usize
    }
}
