//! From nodes to steps: what runs in each stage, in which order, on which places.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;

use super::arena::Layout;
use super::fuse::{Fusion, Group, LONGEST_ROW};
use super::graph::{Graph, View, contiguous};
use crate::element::Element;
use crate::kernel::{
    self, BLOCK, Conv, Instruction, Leaf, LeafValue, Map, MapOp, MatMul, Piece, Place, Reading, Ring, Slot, Step, Sum,
    SumKind,
};
use crate::shape::{Axes, Shape, collapse};
use crate::tape::{NodeId, Prim, Stage};

/// Something a stage does, in terms of nodes.
#[derive(Clone, Debug)]
pub(super) enum Job {
    /// A fused pass.
    Pass(Group),
    /// A node that is a step of its own.
    Node(NodeId),
    /// Copies a value that lives elsewhere to output number k of the stage.
    Deliver { value: NodeId, output: usize },
}

/// A job with the stored nodes it reads and writes.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub job: Job,
    pub reads: Vec<NodeId>,
    pub writes: Vec<NodeId>,
}

/// The jobs of each stage, in order.
pub(super) struct Schedule<'f> {
    pub stages: [Vec<Item>; Stage::COUNT],
    /// The last stage that reads each stored node.
    last_reader: FxHashMap<NodeId, Stage>,
    fusion: &'f Fusion,
}

impl<'f> Schedule<'f> {
    pub fn new(graph: &Graph<'_>, fusion: &'f Fusion, outputs: &[NodeId], stages: &[Stage]) -> Self {
        let mut schedule = Schedule { stages: Default::default(), last_reader: FxHashMap::default(), fusion };
        let mut items: [Vec<Item>; Stage::COUNT] = Default::default();
        for group in &fusion.groups {
            let reads = schedule.pass_reads(graph, group);
            let writes = group.sinks.clone();
            items[group.stage.index()].push(Item { job: Job::Pass(group.clone()), reads, writes });
        }
        for id in graph.roots() {
            if fusion.in_group(graph, id) || matches!(graph.prim(id), Prim::Input(_) | Prim::Literal(_)) {
                continue;
            }
            let reads = graph.operands(id).map(|v| v.root).collect();
            items[graph.stage(id).index()].push(Item { job: Job::Node(id), reads, writes: vec![id] });
        }
        schedule.stages = items.map(in_order);
        schedule.deliver(graph, outputs, stages);
        schedule
    }

    /// Outputs that cannot be computed in place: read by later stages, asked for twice, views, inputs.
    fn deliver(&mut self, graph: &Graph<'_>, outputs: &[NodeId], stages: &[Stage]) {
        let mut counts = [0; Stage::COUNT];
        let mut direct: Vec<(NodeId, Stage, usize)> = Vec::new();
        for (&id, &stage) in outputs.iter().zip(stages) {
            let output = counts[stage.index()];
            counts[stage.index()] += 1;
            let View { root, offset, len } = graph.view(id);
            let whole = offset == 0 && len == graph.shape(root).numel();
            let computed_here = graph.stage(root) == stage && !matches!(graph.prim(root), Prim::Input(_));
            if whole && computed_here && direct.iter().all(|d| graph.view(d.0).root != root) {
                direct.push((id, stage, output));
            } else {
                self.copy_to_output(graph, id, stage, output);
            }
        }
        // Only now is known what later stages read, their copies to outputs included.
        self.note_last_readers();
        for (id, stage, output) in direct {
            if self.read_after(graph.view(id).root, stage) {
                self.copy_to_output(graph, id, stage, output);
            }
        }
    }

    fn copy_to_output(&mut self, graph: &Graph<'_>, value: NodeId, stage: Stage, output: usize) {
        let reads = vec![graph.view(value).root];
        self.stages[stage.index()].push(Item { job: Job::Deliver { value, output }, reads, writes: vec![] });
    }

    fn note_last_readers(&mut self) {
        for stage in Stage::ALL {
            for id in self.stages[stage.index()].iter().flat_map(|item| &item.reads) {
                self.last_reader.insert(*id, stage);
            }
        }
    }

    /// Whether a stage after `stage` reads the node.
    pub fn read_after(&self, id: NodeId, stage: Stage) -> bool {
        self.last_reader.get(&id).is_some_and(|&last| last > stage)
    }

    /// Stored nodes that a pass reads and does not write.
    fn pass_reads(&self, graph: &Graph<'_>, group: &Group) -> Vec<NodeId> {
        let mut seen: FxHashSet<NodeId> = group.sinks.iter().copied().collect();
        let mut stack = group.sinks.clone();
        let mut reads = Vec::new();
        while let Some(id) = stack.pop() {
            for View { root, .. } in graph.operands(id) {
                let prim = graph.prim(root);
                if matches!(prim, Prim::Literal(_)) && !self.fusion.is_stored(root) {
                    continue;
                }
                let through = reads_through(graph, root, id);
                if !seen.insert(root) {
                    continue;
                }
                if through || (!self.fusion.is_stored(root) && prim.is_elementwise()) {
                    stack.push(root);
                } else {
                    reads.push(root);
                }
            }
        }
        reads
    }
}

/// Whether `reader`, part of a pass, reads the broadcast `root` through its operand, stored or not. It does
/// where it sees its elements one by one; a stored broadcast of other extents is read from memory.
fn reads_through(graph: &Graph<'_>, root: NodeId, reader: NodeId) -> bool {
    let is_broadcast = |id| matches!(graph.prim(id), Prim::Broadcast(_));
    if !is_broadcast(root) || is_broadcast(reader) {
        return false;
    }
    let space = if matches!(graph.prim(reader), Prim::Sum(_)) { graph.node(reader).operands[0] } else { reader };
    let row = |s: &Shape| s.dims().last().copied().unwrap_or(1);
    let (a, b) = (graph.shape(root), graph.shape(space));
    a.numel() == b.numel() && (row(a) == row(b) || (row(a) > LONGEST_ROW && row(b) > LONGEST_ROW))
}

/// Operands first; among jobs that are ready, the one recorded first.
fn in_order(items: Vec<Item>) -> Vec<Item> {
    let mut producer: FxHashMap<NodeId, usize> = FxHashMap::default();
    for (i, item) in items.iter().enumerate() {
        producer.extend(item.writes.iter().map(|&id| (id, i)));
    }
    let mut waiting = vec![0; items.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); items.len()];
    for (i, item) in items.iter().enumerate() {
        let sources: FxHashSet<usize> = item.reads.iter().filter_map(|id| producer.get(id).copied()).collect();
        waiting[i] = sources.len();
        for source in sources {
            readers[source].push(i);
        }
    }
    let priority = |i: usize| Reverse((items[i].writes.iter().copied().min(), i));
    let mut ready: BinaryHeap<_> = (0..items.len()).filter(|&i| waiting[i] == 0).map(priority).collect();
    let mut order = Vec::with_capacity(items.len());
    while let Some(Reverse((_, i))) = ready.pop() {
        order.push(i);
        for &reader in &readers[i] {
            waiting[reader] -= 1;
            if waiting[reader] == 0 {
                ready.push(priority(reader));
            }
        }
    }
    assert_eq!(order.len(), items.len(), "passes form a cycle");
    let mut items: Vec<Option<Item>> = items.into_iter().map(Some).collect();
    order.into_iter().map(|i| items[i].take().expect("each once")).collect()
}

/// The steps of one stage.
pub(super) fn steps<T: Element>(
    graph: &Graph<'_>,
    schedule: &Schedule<'_>,
    layout: &Layout,
    stage: Stage,
) -> Vec<Step<T>> {
    let mut convs: FxHashMap<kernel::ConvGeometry, Arc<Conv>> = FxHashMap::default();
    let items = schedule.stages[stage.index()].iter().enumerate();
    items
        .filter_map(|(i, item)| match &item.job {
            Job::Pass(group) => {
                let work = layout.work(stage, i);
                Some(Step::Map(Pass::new(graph, schedule.fusion, layout, group).finish(work)))
            }
            Job::Node(id) => node_step(graph, layout, *id, layout.work_if_any(stage, i), &mut convs),
            Job::Deliver { value, output } => {
                let x = layout.view(graph.view(*value));
                let y = layout.output(*output, x.len);
                Some(Step::Read { dims: [x.len][..].into(), strides: [1][..].into(), start: 0, x, y })
            }
        })
        .collect()
}

/// Elements of scratch that a job needs while it runs.
pub(super) fn work_len(graph: &Graph<'_>, fusion: &Fusion, job: &Job) -> usize {
    match job {
        Job::Pass(group) => {
            let nowhere = Layout::default();
            Pass::<f64>::new(graph, fusion, &nowhere, group).map.work_len()
        }
        Job::Node(id) if matches!(graph.prim(*id), Prim::Sum(_)) => {
            let (_, _, inner) = graph.sum_extents(*id);
            if inner == 1 { 0 } else { kernel::sum_work(inner) }
        }
        _ => 0,
    }
}

impl Schedule<'_> {
    pub fn work_len(&self, graph: &Graph<'_>, job: &Job) -> usize {
        work_len(graph, self.fusion, job)
    }
}

fn node_step<T: Element>(
    graph: &Graph<'_>,
    layout: &Layout,
    id: NodeId,
    work: Option<Place>,
    convs: &mut FxHashMap<kernel::ConvGeometry, Arc<Conv>>,
) -> Option<Step<T>> {
    let node = graph.node(id);
    let operand = |i: usize| layout.view(graph.view(node.operands[i]));
    let operand_shape = |i: usize| graph.shape(node.operands[i]);
    let y = layout.place(id);
    Some(match &node.prim {
        Prim::Sum(_) => {
            let (_, summed, inner) = graph.sum_extents(id);
            let none = y.slice(0, 0);
            Step::Sum { summed, inner, x: operand(0), y, work: work.unwrap_or(none) }
        }
        Prim::Permute(perm) => {
            let strides = kernel::permuted_strides(&operand_shape(0).strides(), perm);
            let (dims, strides) = collapse(node.shape.dims(), &strides);
            Step::Read { dims, strides, start: 0, x: operand(0), y }
        }
        Prim::Slice(starts) => {
            let around = operand_shape(0).strides();
            let start = starts.iter().zip(&around).map(|(s, stride)| s * stride).sum();
            let (dims, strides) = collapse(node.shape.dims(), &around);
            Step::Read { dims, strides, start, x: operand(0), y }
        }
        Prim::Assemble(offsets) => return assemble_step(graph, layout, id, offsets),
        Prim::MatMul { trans_a } => {
            let (a, c) = (operand_shape(0), &node.shape);
            let r = c.rank();
            let (m, n) = (c[r - 2], c[r - 1]);
            let k = if *trans_a { a[r - 2] } else { a[r - 1] };
            let batch = c.dims()[..r - 2].iter().product();
            let shape = Arc::new(MatMul { batch, m, k, n, trans_a: *trans_a });
            Step::MatMul { shape, a: operand(0), b: operand(1), c: y }
        }
        Prim::Conv(face, geometry) => {
            let conv = convs.entry(*geometry).or_insert_with(|| Arc::new(Conv::new(*geometry)));
            Step::Conv { conv: conv.clone(), face: *face, a: operand(0), b: operand(1), c: y }
        }
        Prim::Gather | Prim::ScatterAdd => {
            let indices = graph.shape(node.operands[1]);
            let bound = graph.index_bound(node.operands[1]);
            let (x, at) = (operand(0), operand(1));
            if node.prim == Prim::Gather {
                let inner = operand_shape(0).dims()[1..].iter().product();
                Step::Gather { inner, bound, table: x, indices: at, y }
            } else {
                let inner = operand_shape(0).dims()[indices.rank()..].iter().product();
                Step::ScatterAdd { inner, bound, rows: x, indices: at, y }
            }
        }
        Prim::OneHot => Step::OneHot { depth: node.shape[node.shape.rank() - 1], indices: operand(0), y },
        Prim::ArgMax(windows) => Step::ArgMax { windows: windows.clone(), x: operand(0), y },
        other => unreachable!("{} is no step of its own", other.name()),
    })
}

fn assemble_step<T: Element>(graph: &Graph<'_>, layout: &Layout, id: NodeId, offsets: &[Axes]) -> Option<Step<T>> {
    let node = graph.node(id);
    let y = layout.place(id);
    let around = node.shape.strides();
    let mut pieces = Vec::new();
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (&operand, offset) in node.operands.iter().zip(offsets) {
        let (x, extent) = (layout.view(graph.view(operand)), graph.shape(operand));
        let run = contiguous(offset, extent, &node.shape);
        runs.extend(run.map(|start| (start, x.len)));
        let in_place = run.is_some_and(|start| x == y.slice(start, x.len));
        if !in_place {
            let start = offset.iter().zip(&around).map(|(s, stride)| s * stride).sum();
            let (dims, strides) = collapse(extent.dims(), &around);
            pieces.push(Piece { x, dims, strides, start });
        }
    }
    let covered: usize = node.operands.iter().map(|&o| graph.shape(o).numel()).sum();
    let zeros = if covered == y.len {
        Vec::new()
    } else if runs.len() == node.operands.len() {
        gaps(runs, y.len)
    } else {
        vec![(0, y.len)]
    };
    (!pieces.is_empty() || !zeros.is_empty()).then_some(Step::Assemble { pieces, zeros, y })
}

/// What sorted disjoint runs leave uncovered.
fn gaps(mut runs: Vec<(usize, usize)>, len: usize) -> Vec<(usize, usize)> {
    runs.sort_unstable();
    let mut at = 0;
    let mut gaps = Vec::new();
    for (start, run) in runs.into_iter().chain([(len, 0)]) {
        if at < start {
            gaps.push((at, start - at));
        }
        at = start + run;
    }
    gaps
}

/// Writes the register program of one pass.
struct Pass<'a, T> {
    graph: &'a Graph<'a>,
    fusion: &'a Fusion,
    layout: &'a Layout,
    map: Map<T>,
    /// Where each value that the pass has computed or met is.
    slots: FxHashMap<View, Slot>,
    /// Virtual nodes still to be read, and how often.
    pending: FxHashMap<NodeId, usize>,
    free: Vec<u16>,
    sinks: FxHashSet<NodeId>,
    /// By reader: the node that is computed in the reader's own instruction.
    within: FxHashMap<NodeId, NodeId>,
}

impl<'a, T: Element> Pass<'a, T> {
    fn new(graph: &'a Graph<'a>, fusion: &'a Fusion, layout: &'a Layout, group: &Group) -> Self {
        let first = group.sinks[0];
        let space = match graph.prim(first) {
            Prim::Sum(_) => graph.shape(graph.node(first).operands[0]),
            _ => graph.shape(first),
        };
        let (numel, row) = (space.numel(), space.dims().last().copied().unwrap_or(1));
        // Where there is one row, nothing asks for whole rows.
        let block = if row <= LONGEST_ROW && row < numel { row * (BLOCK / row).max(1) } else { BLOCK };
        let none = Place { region: kernel::Region::Scratch, offset: 0, len: 0 };
        let map = Map {
            numel,
            block,
            registers: 0,
            leaves: Vec::new(),
            code: Vec::new(),
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
            within: FxHashMap::default(),
        };
        let order = pass.order(group);
        for &id in &order {
            for operand in pass.operand_roots(id).collect::<Vec<_>>() {
                *pass.pending.entry(operand).or_default() += 1;
            }
        }
        let joined = pass.join(&order);
        for id in order {
            if !joined.contains(&id) {
                pass.emit(id);
            }
        }
        pass
    }

    fn finish(self, work: Place) -> Map<T> {
        Map { work, ..self.map }
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
        let is_sum = |id: NodeId| matches!(self.graph.prim(id), Prim::Sum(_));
        order.sort_unstable_by_key(|&id| {
            if is_sum(id) { (self.graph.operands(id).next().expect("one operand").root, 1, id) } else { (id, 0, id) }
        });
        order
    }

    /// Finds nodes that a single instruction can compute together with their only reader: a comparison with the choice
    /// it makes, and pairs of sums, differences and products. Returns those that need no instruction of their own.
    fn join(&mut self, order: &[NodeId]) -> FxHashSet<NodeId> {
        let mut joined = FxHashSet::default();
        for &reader in order {
            let candidate = self.graph.operands(reader).enumerate().find(|&(i, View { root, .. })| {
                let fits = match (self.graph.prim(root), self.graph.prim(reader)) {
                    (Prim::Binary(first), Prim::Binary(second)) => {
                        Ring::of(*first).is_some() && Ring::of(*second).is_some()
                    }
                    (Prim::Compare(_), Prim::Select) => i == 0,
                    _ => false,
                };
                // Three operands at most: what has already taken one in cannot be taken in.
                fits && self.computes(root)
                    && !self.sinks.contains(&root)
                    && self.pending.get(&root) == Some(&1)
                    && !self.within.contains_key(&root)
            });
            if let Some((_, View { root, .. })) = candidate {
                self.within.insert(reader, root);
                joined.insert(root);
            }
        }
        joined
    }

    /// Whether this pass computes the node rather than reading it.
    fn computes(&self, root: NodeId) -> bool {
        self.sinks.contains(&root) || (self.graph.prim(root).is_elementwise() && !self.fusion.is_stored(root))
    }

    fn operand_roots(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        // Stored literals and broadcasts are copied from what they read.
        let copied = !self.graph.prim(id).is_elementwise() && !matches!(self.graph.prim(id), Prim::Sum(_));
        let operands = if copied { &[][..] } else { &self.graph.node(id).operands[..] };
        operands.iter().map(|&o| self.graph.view(o).root)
    }

    fn emit(&mut self, id: NodeId) {
        let node = self.graph.node(id);
        let mut sources: SmallVec<[Slot; 4]> = SmallVec::new();
        let within = self.within.get(&id).map(|&inner| (inner, self.graph.prim(inner)));
        let ring = |op| Ring::of(op).expect("what `join` has found");
        let op = match (&node.prim, within) {
            (Prim::Binary(second), Some((inner, &Prim::Binary(first)))) => {
                let last = self.graph.view(node.operands[1]).root == inner;
                MapOp::Pair { first: ring(first), second: ring(*second), last }
            }
            (Prim::Select, Some((_, &Prim::Compare(op)))) => MapOp::Choose(op),
            (Prim::Unary(op), _) => MapOp::Unary(*op),
            (Prim::Binary(op), _) => MapOp::Binary(*op),
            (Prim::Compare(op), _) => MapOp::Compare(*op),
            (Prim::Select, _) => MapOp::Select,
            (Prim::Sum(_), _) => {
                let kind = match self.graph.sum_extents(id) {
                    (1, _, 1) => SumKind::All,
                    (1, _, inner) => SumKind::Rows(inner),
                    (_, summed, _) => SumKind::Within(summed),
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
        // The operands of what is computed within come first.
        let parts: SmallVec<[NodeId; 2]> = within.map(|(inner, _)| inner).into_iter().chain([id]).collect();
        if op != MapOp::Copy {
            for &part in &parts {
                for &operand in &self.graph.node(part).operands {
                    let view = self.graph.view(operand);
                    if part == id && Some(view.root) == within.map(|(inner, _)| inner) {
                        continue;
                    }
                    let slot = match self.slots.get(&view) {
                        Some(&slot) => slot,
                        None => self.leaf(view, part),
                    };
                    sources.push(slot);
                }
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
        for root in parts.iter().flat_map(|&part| self.operand_roots(part)).collect::<Vec<_>>() {
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
        let Prim::Broadcast(axes) = &node.prim else { unreachable!("asked of literals and broadcasts only") };
        let source = self.graph.view(node.operands[0]);
        if let Prim::Literal(bits) = self.graph.prim(source.root) {
            return self.push_leaf(literal(*bits), Reading::Repeated);
        }
        let at = self.layout.view_or_empty(source);
        let reading = self.stretching(&node.shape, axes, self.graph.shape(node.operands[0]), at.len);
        self.push_leaf(LeafValue::At(at), reading)
    }

    fn push_leaf(&mut self, value: LeafValue<T>, reading: Reading) -> Slot {
        self.map.leaves.push(Leaf { value, reading });
        Slot::Leaf(self.map.leaves.len() as u16 - 1)
    }

    fn stretching(&self, shape: &Shape, axes: &[usize], operand: &Shape, len: usize) -> Reading {
        let mut own = operand.strides().into_iter();
        let strides: Axes =
            (0..shape.rank()).map(|i| if axes.contains(&i) { 0 } else { own.next().expect("as many axes") }).collect();
        let (dims, strides) = collapse(shape.dims(), &strides);
        let block = self.map.block.min(self.map.numel);
        match (&dims[..], &strides[..]) {
            ([], _) | ([_], [0]) => Reading::Repeated,
            ([_], [1]) => Reading::InOrder,
            ([_, _], [0, 1]) if block.is_multiple_of(len) => Reading::Repeated,
            _ => Reading::Strided { dims, strides },
        }
    }
}
