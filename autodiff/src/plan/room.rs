//! The room that jobs need beside what they read and write, before anything has a place.

use super::arena::Layout;
use super::brief::{Left, LeftOver};
use super::fuse::Fusion;
use super::graph::Graph;
use super::pass::Pass;
use super::schedule::{Item, Job, Placing, Schedule};
use crate::kernel;
use crate::tape::Stage;

/// All jobs of a stage, each with room for what is left of it without the optional outputs.
pub(super) fn whole<'s>(
    graph: &Graph<'_>,
    schedule: &'s Schedule<'_>,
    left: &LeftOver,
    stage: Stage,
) -> Vec<Placing<'s>> {
    let items = schedule.stages[stage.index()].iter().enumerate();
    let mut all: Vec<Placing<'s>> = items.map(|(i, item)| placing(graph, schedule, i, item)).collect();
    for (i, item) in left.brief[stage.index()].iter().flatten() {
        all[*i].work = all[*i].work.max(work_len(graph, schedule.fusion, &item.job));
    }
    all
}

/// What is left of a stage that keeps nothing.
pub(super) fn fleeting<'s>(graph: &Graph<'_>, schedule: &Schedule<'_>, left: &'s Left) -> Vec<Placing<'s>> {
    left.iter().map(|(i, item)| placing(graph, schedule, *i, item)).collect()
}

fn placing<'s>(graph: &Graph<'_>, schedule: &Schedule<'_>, number: usize, item: &'s Item) -> Placing<'s> {
    Placing { number, item, work: work_len(graph, schedule.fusion, &item.job) }
}

/// Elements of scratch that a job needs while it runs.
fn work_len(graph: &Graph<'_>, fusion: &Fusion, job: &Job) -> usize {
    match job {
        Job::Pass(group) => {
            let nowhere = Layout::default();
            Pass::<f64>::new(graph, fusion, &nowhere, group).map.work_len()
        }
        Job::Node(id) if graph.prim(*id).is_sum() => kernel::sum_middle_work(graph.sum_shape(*id)),
        Job::Node(id) => graph.transposed_len(*id),
        Job::Deliver { .. } => 0,
    }
}
