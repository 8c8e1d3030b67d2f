//! From nodes to jobs: what runs in each stage, and in which order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::fuse::{Fusion, Group, reads_through};
use super::graph::Graph;
use super::view::View;
use crate::tape::{NodeId, Prim, Stage};

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
    /// The last stage that reads each stored node.
    last_reader: FxHashMap<NodeId, Stage>,
    pub fusion: &'f Fusion,
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
        let mut schedule = Schedule { stages: Default::default(), last_reader: FxHashMap::default(), fusion };
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
        schedule
    }

    /// Outputs that cannot be computed in place: read by later stages, asked for twice, views, inputs.
    fn deliver(&mut self, graph: &Graph<'_>, outputs: &[NodeId], stages: &[Stage], optional: &[usize]) {
        let mut counts = [0; Stage::COUNT];
        let mut direct: Vec<(NodeId, Stage, usize)> = Vec::new();
        for (i, (&id, &stage)) in outputs.iter().zip(stages).enumerate() {
            let output = counts[stage.index()];
            counts[stage.index()] += 1;
            let view = graph.view(id);
            let root = view.root;
            let whole = view.is_all_of(graph.shape(root));
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
