//! From a group of nodes to one pass: its leaves, its registers and its instructions.

use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use super::arena::Layout;
use super::fuse::{Fusion, Group, LONGEST_ROW, reads_through};
use super::graph::Graph;
use super::joined::{Joined, join, within};
use super::view::View;
use crate::element::Element;
use crate::kernel::{self, BLOCK, Instruction, Leaf, LeafValue, Map, MapOp, Place, Reading, Slot, Sum, SumKind};
use crate::shape::{Axes, collapse};
use crate::tape::{NodeId, Prim};

/// Writes the register program of one pass.
pub(super) struct Pass<'a, T> {
    graph: &'a Graph<'a>,
    fusion: &'a Fusion,
    layout: &'a Layout,
    pub map: Map<T>,
    /// Where each value that the pass has computed or met is.
    slots: FxHashMap<View, Slot>,
    /// Virtual nodes still to be read, and how often.
    pending: FxHashMap<NodeId, usize>,
    free: Vec<u16>,
    sinks: FxHashSet<NodeId>,
    /// By reader: what is computed in the reader's own instruction.
    joined: FxHashMap<NodeId, Joined>,
}

impl<'a, T: Element> Pass<'a, T> {
    pub fn new(graph: &'a Graph<'a>, fusion: &'a Fusion, layout: &'a Layout, group: &Group) -> Self {
        let first = group.sinks[0];
        let space = match graph.prim(first) {
            prim if prim.is_sum() => graph.shape(graph.node(first).operands[0]),
            _ => graph.shape(first),
        };
        let (numel, row) = (space.numel(), space.dims().last().copied().unwrap_or(1));
        let none = Place { region: kernel::Region::Scratch, offset: 0, len: 0 };
        let map = Map {
            numel,
            block: BLOCK,
            registers: 0,
            leaves: Vec::new(),
            code: Vec::new(),
            ready: Vec::new(),
            outputs: Vec::new(),
            sums: Vec::new(),
            work: none,
        };
        let sinks = group.sinks.iter().copied().collect();
        let mut pass = Pass {
            graph,
            fusion,
            layout,
            map,
            slots: FxHashMap::default(),
            pending: FxHashMap::default(),
            free: Vec::new(),
            sinks,
            joined: FxHashMap::default(),
        };
        let order = pass.order(group);
        // Whole rows, as many as come nearest, and of what is read again and again all of it; where there is one row,
        // nothing asks for whole ones.
        if row <= LONGEST_ROW && row < numel {
            // Sums are cut for threads where blocks of rows end.
            let sums = order.iter().any(|&id| graph.prim(id).is_sum());
            let period = pass.longest_period(&order).filter(|period| !sums && period.is_multiple_of(row));
            let unit = period.unwrap_or(row);
            pass.map.block = unit * ((BLOCK + unit / 2) / unit).max(1);
        }
        for &id in &order {
            for operand in pass.operand_roots(id).collect::<Vec<_>>() {
                *pass.pending.entry(operand).or_default() += 1;
            }
        }
        let reads = |id| pass.pending.get(&id).copied().filter(|_| pass.computes(id) && !pass.sinks.contains(&id));
        pass.joined = join(graph, &order, reads);
        let within = within(&pass.joined);
        for id in order {
            if !within.contains(&id) {
                pass.emit(id);
            }
        }
        pass
    }

    /// The nodes the pass computes, operands first; a sum right behind what it sums.
    fn order(&self, group: &Group) -> Vec<NodeId> {
        let mut nodes: FxHashSet<NodeId> = group.sinks.iter().copied().collect();
        let mut stack = group.sinks.clone();
        while let Some(id) = stack.pop() {
            for root in self.operand_roots(id) {
                if self.computes(root) && nodes.insert(root) {
                    stack.push(root);
                }
            }
        }
        let mut order: Vec<NodeId> = nodes.into_iter().collect();
        let is_sum = |id: NodeId| self.graph.prim(id).is_sum();
        order.sort_unstable_by_key(|&id| {
            if is_sum(id) { (self.graph.operands(id).next().expect("one operand").root, 1, id) } else { (id, 0, id) }
        });
        order
    }

    /// The most elements of what these nodes read over and over, of which a block can hold all.
    fn longest_period(&self, order: &[NodeId]) -> Option<usize> {
        let read = order.iter().flat_map(|&id| self.operand_roots(id).map(move |root| (root, id)));
        let broadcasts = read.filter(|&(root, reader)| reads_through(self.graph, root, reader)).map(|(root, _)| root);
        let periods = broadcasts.filter_map(|id| match self.strides(id) {
            Some((_, strides)) if strides[..] == [0, 1] => {
                Some(self.graph.shape(self.graph.node(id).operands[0]).numel())
            }
            _ => None,
        });
        periods.filter(|&period| period <= 2 * BLOCK).max()
    }

    /// How a broadcast walks over what it repeats, with as few axes as possible.
    fn strides(&self, id: NodeId) -> Option<(Axes, Axes)> {
        let node = self.graph.node(id);
        let Prim::Broadcast(axes) = &node.prim else { return None };
        let source = self.graph.view(node.operands[0]).strides(self.graph.shape(node.operands[0]));
        let mut own = source.expect("views are made so").into_iter();
        let strides: Axes = (0..node.shape.rank())
            .map(|i| if axes.contains(&i) { 0 } else { own.next().expect("as many axes") })
            .collect();
        Some(collapse(node.shape.dims(), &strides))
    }

    /// Whether this pass computes the node rather than reading it.
    fn computes(&self, root: NodeId) -> bool {
        self.sinks.contains(&root) || (self.graph.prim(root).is_elementwise() && !self.fusion.is_stored(root))
    }

    fn operand_roots(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        // Stored literals and broadcasts are copied from what they read.
        let copied = !self.graph.prim(id).is_elementwise() && !self.graph.prim(id).is_sum();
        let operands = if copied { &[][..] } else { &self.graph.node(id).operands[..] };
        operands.iter().map(|&o| self.graph.view(o).root)
    }

    fn emit(&mut self, id: NodeId) {
        let node = self.graph.node(id);
        let mut sources: SmallVec<[Slot; 4]> = SmallVec::new();
        let joined = self.joined.get(&id).copied();
        let op = match (&node.prim, joined) {
            (_, Some(joined)) => joined.op(self.graph, id),
            (Prim::Unary(op), _) => MapOp::Unary(*op),
            (Prim::Binary(op), _) => MapOp::Binary(*op),
            (Prim::Compare(op), _) => MapOp::Compare(*op),
            (Prim::Select, _) => MapOp::Select,
            (Prim::Sum(_) | Prim::SumLanes(..), _) => {
                let (outer, summed, inner) = self.graph.sum_extents(id);
                let kind = match (outer, self.graph.sum_lanes(id)) {
                    (1, Some(lanes)) => SumKind::All { lanes },
                    (1, None) => SumKind::Rows(inner),
                    (_, lanes) => {
                        let lanes = lanes.expect("what has a pass of its own is fused in no other way");
                        SumKind::Within { row: summed * lanes, lanes }
                    }
                };
                self.map.sums.push(Sum { kind, y: self.place(id) });
                MapOp::Sum(self.map.sums.len() as u16 - 1)
            }
            // A stored broadcast or literal: read in its own way, and written.
            _ => {
                sources.push(self.own_leaf(id));
                MapOp::Copy
            }
        };
        if op != MapOp::Copy {
            let reads = match joined {
                Some(joined) => joined.reads(self.graph, id),
                None => self.graph.operands(id).map(|view| (id, view)).collect(),
            };
            for (part, view) in reads {
                let slot = match self.slots.get(&view) {
                    Some(&slot) => slot,
                    None => self.leaf(view, part),
                };
                sources.push(slot);
            }
        }
        // The target is taken before the sources are given back: an instruction never reads what it writes.
        let is_sum = matches!(op, MapOp::Sum(_));
        let target = if is_sum {
            sources[0]
        } else if self.fusion.is_stored(id) {
            self.map.outputs.push(self.place(id));
            Slot::Output(self.map.outputs.len() as u16 - 1)
        } else {
            Slot::Register(self.free.pop().unwrap_or_else(|| {
                self.map.registers += 1;
                self.map.registers as u16 - 1
            }))
        };
        if !is_sum {
            self.slots.insert(self.graph.view(id), target);
        }
        let parts = joined.map(Joined::inner).into_iter().flatten().chain([id]);
        for root in parts.flat_map(|part| self.operand_roots(part)).collect::<Vec<_>>() {
            let left = self.pending.get_mut(&root).expect("counted");
            *left -= 1;
            let view = self.graph.view(root);
            if let (0, Some(&Slot::Register(r))) = (*left, self.slots.get(&view)) {
                self.free.push(r);
                self.slots.remove(&view);
            }
        }
        let first = sources[0];
        sources.resize(4, first);
        let sources = sources.into_inner().expect("four");
        self.map.code.push(Instruction { op, target, sources });
    }

    fn place(&self, id: NodeId) -> Place {
        self.layout.place_or_empty(id, self.graph.shape(id).numel())
    }

    /// The leaf through which `reader` reads what the pass does not compute.
    fn leaf(&mut self, view: View, reader: NodeId) -> Slot {
        let slot =
            if matches!(self.graph.prim(view.root), Prim::Literal(_)) || reads_through(self.graph, view.root, reader) {
                self.own_leaf(view.root)
            } else {
                self.push_leaf(LeafValue::At(self.layout.view_or_empty(view)), Reading::InOrder)
            };
        self.slots.insert(view, slot);
        slot
    }

    /// The leaf that a literal or a broadcast is.
    fn own_leaf(&mut self, id: NodeId) -> Slot {
        let node = self.graph.node(id);
        let literal = |bits| LeafValue::Literal(T::from_f64(f64::from_bits(bits)));
        if let Prim::Literal(bits) = node.prim {
            return self.push_leaf(literal(bits), Reading::Repeated);
        }
        let (dims, strides) = self.strides(id).expect("asked of literals and broadcasts only");
        let source = self.graph.view(node.operands[0]);
        if let Prim::Literal(bits) = self.graph.prim(source.root) {
            return self.push_leaf(literal(*bits), Reading::Repeated);
        }
        let at = self.layout.view_or_empty(source);
        let block = self.map.block.min(self.map.numel);
        let reading = match (&dims[..], &strides[..]) {
            ([], _) | ([_], [0]) => Reading::Repeated,
            ([_], [1]) => Reading::InOrder,
            ([_, _], [0, 1]) if block.is_multiple_of(at.len) => Reading::Repeated,
            _ => Reading::Strided { dims, strides },
        };
        self.push_leaf(LeafValue::At(at), reading)
    }

    fn push_leaf(&mut self, value: LeafValue<T>, reading: Reading) -> Slot {
        self.map.leaves.push(Leaf { value, reading });
        Slot::Leaf(self.map.leaves.len() as u16 - 1)
    }
}
