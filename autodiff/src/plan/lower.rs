//! From nodes to steps: what runs in each stage, in which order, on which places.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::arena::Layout;
use super::brief;
use super::fuse::{Fusion, Group};
use super::graph::{Graph, View, contiguous};
use super::pass::{Pass, reads_through};
use crate::element::Element;
use crate::kernel::{self, Conv, LaneMatMul, MatMul, Piece, Place, Region, Step, SumShape};
use crate::shape::{Axes, collapse};
use crate::tape::{MatMulLanes, NodeId, Prim, Stage};

/// Something a stage does, in terms of nodes.
#[derive(Clone, Debug)]
pub(super) enum Job {
    /// A fused pass.
    Pass(Group),
    /// A node that is a step of its own; a gather of largest elements with its arg max.
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

/// An item as it is placed in memory: with its number among those of the stage, and the elements of scratch that it needs
/// while it runs.
pub(super) struct Placing<'s> {
    pub number: usize,
    pub item: &'s Item,
    pub work: usize,
}

/// The jobs of each stage, in order.
pub(super) struct Schedule<'f> {
    pub stages: [Vec<Item>; Stage::COUNT],
    /// What is left of each without its optional outputs, where it has any, by numbers.
    pub brief: [Option<Vec<(usize, Item)>>; Stage::COUNT],
    /// What is left of those where nothing is kept for later stages, and something would be.
    pub fleeting: [Option<Vec<(usize, Item)>>; Stage::COUNT],
    /// The last stage that reads each stored node.
    last_reader: FxHashMap<NodeId, Stage>,
    fusion: &'f Fusion,
}

impl<'f> Schedule<'f> {
    /// `optional` outputs are computed in their place only where nothing else reads them.
    pub fn new(
        graph: &Graph<'_>,
        fusion: &'f Fusion,
        outputs: &[NodeId],
        stages: &[Stage],
        optional: &[usize],
    ) -> Self {
        let mut schedule = Schedule {
            stages: Default::default(),
            brief: Default::default(),
            fleeting: Default::default(),
            last_reader: FxHashMap::default(),
            fusion,
        };
        let mut items: [Vec<Item>; Stage::COUNT] = Default::default();
        for group in &fusion.groups {
            items[group.stage.index()].push(schedule.pass(graph, group.clone()));
        }
        for id in graph.roots() {
            let none = matches!(graph.prim(id), Prim::Input(_) | Prim::Literal(_));
            if none || fusion.in_group(graph, id) || fusion.is_with_gather(id) {
                continue;
            }
            let arg_max = fusion.arg_max_with(id);
            let reads = graph.operands(arg_max.unwrap_or(id)).map(|v| v.root).collect();
            let writes = arg_max.into_iter().chain([id]).collect();
            items[graph.stage(id).index()].push(Item { job: Job::Node(id), reads, writes });
        }
        schedule.stages = items.map(in_order);
        schedule.deliver(graph, outputs, stages, optional);
        let part = |stage: Stage, keeps: bool| {
            let of_stage = optional.iter().any(|&i| stages[i] == stage);
            let mut written = schedule.stages[stage.index()].iter().flat_map(|item| &item.writes);
            let differs = keeps || written.any(|&id| schedule.read_after(id, stage));
            (of_stage && differs).then(|| brief::jobs(graph, &schedule, (outputs, stages), optional, stage, keeps))
        };
        let (brief, fleeting) = (Stage::ALL.map(|stage| part(stage, true)), Stage::ALL.map(|stage| part(stage, false)));
        Schedule { brief, fleeting, ..schedule }
    }

    /// Outputs that cannot be computed in place: read by later stages, asked for twice, views, inputs.
    fn deliver(&mut self, graph: &Graph<'_>, outputs: &[NodeId], stages: &[Stage], optional: &[usize]) {
        let mut counts = [0; Stage::COUNT];
        let mut direct: Vec<(NodeId, Stage, usize)> = Vec::new();
        for (i, (&id, &stage)) in outputs.iter().zip(stages).enumerate() {
            let output = counts[stage.index()];
            counts[stage.index()] += 1;
            let View { root, offset, len } = graph.view(id);
            let whole = offset == 0 && len == graph.shape(root).numel();
            let computed_here = graph.stage(root) == stage && !matches!(graph.prim(root), Prim::Input(_));
            // What is left without it may need it, what is computed inside it, or the arg max of the same step.
            let is_needed = || {
                let others = outputs.iter().enumerate().filter(|&(j, _)| j != i);
                let holds = matches!(graph.prim(root), Prim::Assemble(_)) || self.fusion.arg_max_with(root).is_some();
                holds || graph.is_read(root) || others.map(|(_, &id)| graph.view(id).root).any(|other| other == root)
            };
            let apart = optional.contains(&i) && is_needed();
            if whole && computed_here && !apart && direct.iter().all(|d| graph.view(d.0).root != root) {
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

    /// A pass, with what it reads and writes.
    pub fn pass(&self, graph: &Graph<'_>, group: Group) -> Item {
        let (reads, writes) = (self.pass_reads(graph, &group), group.sinks.clone());
        Item { job: Job::Pass(group), reads, writes }
    }

    /// Stored nodes that a pass reads and does not write.
    pub fn pass_reads(&self, graph: &Graph<'_>, group: &Group) -> Vec<NodeId> {
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

/// The steps of these jobs of one stage, by their numbers among all that it has.
pub(super) fn steps<'j, T: Element>(
    graph: &Graph<'_>,
    schedule: &Schedule<'_>,
    layout: &Layout,
    stage: Stage,
    jobs: impl Iterator<Item = (usize, &'j Job)>,
) -> Vec<Step<T>> {
    let mut convs: FxHashMap<kernel::ConvGeometry, Arc<Conv>> = FxHashMap::default();
    jobs.filter_map(|(i, job)| match job {
        Job::Pass(group) => {
            // The place has room for the larger of the whole pass and what is left of it.
            let work = layout.work(stage, i).slice(0, work_len(graph, schedule.fusion, job));
            Some(Step::Map(Pass::new(graph, schedule.fusion, layout, group).finish(work)))
        }
        Job::Node(id) => match schedule.fusion.arg_max_with(*id) {
            Some(arg_max) => Some(arg_max_step(graph, layout, arg_max, layout.place(*id))),
            None => node_step(graph, layout, *id, layout.work_if_any(stage, i), &mut convs),
        },
        Job::Deliver { value, output } => {
            let x = layout.view(graph.view(*value));
            let y = layout.output(*output, x.len);
            Some(Step::Read { dims: [x.len][..].into(), strides: [1][..].into(), start: 0, x, y })
        }
    })
    .collect()
}

/// Elements of scratch that a job needs while it runs.
fn work_len(graph: &Graph<'_>, fusion: &Fusion, job: &Job) -> usize {
    match job {
        Job::Pass(group) => {
            let nowhere = Layout::default();
            Pass::<f64>::new(graph, fusion, &nowhere, group).map.work_len()
        }
        Job::Node(id) if graph.prim(*id).is_sum() => kernel::sum_middle_work(sum_shape(graph, *id)),
        _ => 0,
    }
}

fn sum_shape(graph: &Graph<'_>, id: NodeId) -> SumShape {
    let (_, summed, inner) = graph.sum_extents(id);
    SumShape { summed, inner, whole: graph.sum_lanes(id).is_some() }
}

impl Schedule<'_> {
    /// All jobs of a stage, each with room for what is left of it without the optional outputs.
    pub fn whole(&self, graph: &Graph<'_>, stage: Stage) -> Vec<Placing<'_>> {
        let items = self.stages[stage.index()].iter().enumerate();
        let mut all: Vec<Placing<'_>> = items.map(|(i, item)| self.placing(graph, i, item)).collect();
        for (i, item) in self.brief[stage.index()].iter().flatten() {
            all[*i].work = all[*i].work.max(work_len(graph, self.fusion, &item.job));
        }
        all
    }

    /// The jobs of a stage that keeps nothing.
    pub fn fleeting(&self, graph: &Graph<'_>, stage: Stage) -> Option<Vec<Placing<'_>>> {
        let items = self.fleeting[stage.index()].as_ref()?.iter();
        Some(items.map(|(i, item)| self.placing(graph, *i, item)).collect())
    }

    fn placing<'s>(&self, graph: &Graph<'_>, number: usize, item: &'s Item) -> Placing<'s> {
        Placing { number, item, work: work_len(graph, self.fusion, &item.job) }
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
        Prim::Sum(_) | Prim::SumLanes(..) => {
            let none = y.slice(0, 0);
            Step::Sum { shape: sum_shape(graph, id), x: operand(0), y, work: work.unwrap_or(none) }
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
        Prim::MatMulLanes(of) => {
            let b = operand_shape(1);
            let columns = if of.shared_b { b[1] } else { b[1] / of.count };
            let (k, n) = if of.trans_b { (columns, b[0]) } else { (b[0], columns) };
            let &MatMulLanes { count, trans_a, trans_b, shared_a, shared_b } = of;
            let add = adds(graph, layout, id);
            let m = node.shape[0];
            let shape = LaneMatMul { lanes: count, m, k, n, trans_a, trans_b, shared_a, shared_b, add };
            Step::LaneMatMul { shape, a: operand(0), b: operand(1), c: y }
        }
        Prim::Conv(face, geometry) => {
            let conv = convs.entry(*geometry).or_insert_with(|| Arc::new(Conv::new(*geometry)));
            Step::Conv {
                conv: conv.clone(),
                face: *face,
                add: adds(graph, layout, id),
                a: operand(0),
                b: operand(1),
                c: y,
            }
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
        Prim::ArgMax(_) => arg_max_step(graph, layout, id, Place { region: Region::Scratch, offset: 0, len: 0 }),
        other => unreachable!("{} is no step of its own", other.name()),
    })
}

/// Whether a product is added to what another has left in its place.
fn adds(graph: &Graph<'_>, layout: &Layout, id: NodeId) -> bool {
    graph.added(id).is_some_and(|first| {
        assert_eq!(layout.place(first), layout.place(id), "what a product is added to is in its place");
        true
    })
}

/// An arg max, and the largest elements at `values`, unless that is empty.
fn arg_max_step<T: Element>(graph: &Graph<'_>, layout: &Layout, id: NodeId, values: Place) -> Step<T> {
    let Prim::ArgMax(windows) = graph.prim(id) else { unreachable!("asked of arg max only") };
    let x = layout.view(graph.view(graph.node(id).operands[0]));
    Step::ArgMax { windows: windows.clone(), x, y: layout.place(id), values }
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
