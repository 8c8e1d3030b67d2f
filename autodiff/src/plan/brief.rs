//! What is left of a stage where optional outputs are not asked for, and where later stages do not follow.

use rustc_hash::FxHashSet;

use super::fuse::Group;
use super::graph::Graph;
use super::schedule::{Item, Job, Schedule};
use crate::tape::{NodeId, Stage};

/// A stage's jobs, by their numbers among all that it has.
pub(super) type Left = Vec<(usize, Item)>;

/// What is left of the stages that have optional outputs.
pub(super) struct LeftOver {
    /// Without those.
    pub brief: [Option<Left>; Stage::COUNT],
    /// Where nothing is kept for later stages either, and something would be.
    pub fleeting: [Option<Left>; Stage::COUNT],
}

impl LeftOver {
    pub fn new(graph: &Graph<'_>, schedule: &Schedule<'_>, outputs: (&[NodeId], &[Stage]), optional: &[usize]) -> Self {
        let part = |stage: Stage, keeps: bool| {
            let of_stage = optional.iter().any(|&i| outputs.1[i] == stage);
            let mut written = schedule.stages[stage.index()].iter().flat_map(|item| &item.writes);
            let differs = keeps || written.any(|&id| schedule.read_after(id, stage));
            (of_stage && differs).then(|| jobs(graph, schedule, outputs, optional, stage, keeps))
        };
        LeftOver {
            brief: Stage::ALL.map(|stage| part(stage, true)),
            fleeting: Stage::ALL.map(|stage| part(stage, false)),
        }
    }
}

/// The stage's jobs, by their numbers among all of them, without what only `optional` ones of the outputs need; and without
/// what only later stages do, unless it `keeps` that.
fn jobs(
    graph: &Graph<'_>,
    schedule: &Schedule<'_>,
    (outputs, stages): (&[NodeId], &[Stage]),
    optional: &[usize],
    stage: Stage,
    keeps: bool,
) -> Left {
    // By position: the root of each output, and whether it is asked for.
    let of_stage = outputs.iter().zip(stages).enumerate().filter(|(_, (_, of))| **of == stage);
    let given: Vec<(NodeId, bool)> =
        of_stage.map(|(i, (&id, _))| (graph.view(id).root, !optional.contains(&i))).collect();
    let mut needed: FxHashSet<NodeId> = FxHashSet::default();
    for later in Stage::ALL.into_iter().filter(|&later| keeps && later > stage) {
        needed.extend(schedule.stages[later.index()].iter().flat_map(|item| &item.reads));
    }
    needed.extend(given.iter().filter(|(_, asked)| *asked).map(|(id, _)| id));
    let mut kept = Vec::new();
    for (i, item) in schedule.stages[stage.index()].iter().enumerate().rev() {
        let left = match &item.job {
            Job::Deliver { output, .. } => given[*output].1.then(|| item.clone()),
            Job::Node(_) => item.writes.iter().any(|id| needed.contains(id)).then(|| item.clone()),
            Job::Pass(group) => {
                let sinks = group.sinks.iter().copied().filter(|id| needed.contains(id)).collect();
                without_the_rest(graph, schedule, group, sinks).map(|group| schedule.pass(graph, group))
            }
        };
        if let Some(item) = left {
            needed.extend(&item.reads);
            kept.push((i, item));
        }
    }
    kept.reverse();
    kept
}

/// The pass with these sinks, and those it computes them from.
fn without_the_rest(
    graph: &Graph<'_>,
    schedule: &Schedule<'_>,
    group: &Group,
    mut sinks: Vec<NodeId>,
) -> Option<Group> {
    loop {
        let part = Group { stage: group.stage, sinks };
        let reads = schedule.pass_reads(graph, &part);
        let more: Vec<NodeId> = reads.into_iter().filter(|id| group.sinks.contains(id)).collect();
        if more.is_empty() {
            return (!part.sinks.is_empty()).then_some(part);
        }
        sinks = part.sinks.into_iter().chain(more).collect();
    }
}
