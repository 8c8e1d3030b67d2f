//! From jobs to steps, on the places that values have.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::arena::Layout;
use super::ending;
use super::graph::Graph;
use super::pass::Pass;
use super::schedule::{Job, Schedule};
use super::view::Runs;
use crate::element::Element;
use crate::kernel::{self, Conv, LaneMatMul, Map, MatMul, Piece, Place, Region, Step};
use crate::shape::{Axes, collapse};
use crate::tape::{MatMulLanes, NodeId, Prim, Stage};

/// The steps of these jobs of one stage, by their numbers among all that it has.
pub(super) fn steps<'j, T: Element>(
    graph: &Graph<'_>,
    schedule: &Schedule<'_>,
    layout: &Layout,
    stage: Stage,
    jobs: impl Iterator<Item = (usize, &'j Job)>,
) -> Vec<Step<T>> {
    let mut convs: FxHashMap<kernel::ConvGeometry, Arc<Conv>> = FxHashMap::default();
    let mut steps = Vec::new();
    for (i, job) in jobs {
        match job {
            Job::Pass(group) => {
                let map = Pass::new(graph, schedule.fusion, layout, group).map;
                // The place has room for the larger of the whole pass and what is left of it.
                let work = layout.work(stage, i).slice(0, map.work_len());
                steps.push(Step::Map(Map { work, ..map }));
            }
            Job::Node(id) => steps.extend(match schedule.fusion.arg_max_with(*id) {
                Some(arg_max) => Some(arg_max_step(graph, layout, arg_max, layout.place(*id))),
                None => node_step(graph, layout, *id, layout.work_if_any(stage, i), &mut convs),
            }),
            Job::Deliver { value, output } => {
                let x = layout.view(graph.view(*value));
                let y = layout.output(*output, x.len);
                steps.push(Step::Read { dims: [x.len][..].into(), strides: [1][..].into(), start: 0, x, y });
            }
        }
    }
    ending::fold(stage, &mut steps);
    steps
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
            Step::Sum { shape: graph.sum_shape(id), x: operand(0), y, work: work.unwrap_or(none) }
        }
        Prim::Permute(perm) => {
            let strides = graph.view(node.operands[0]).strides(operand_shape(0)).expect("views are made so");
            let strides = kernel::permuted_strides(&strides, perm);
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
            let (b, c) = (operand_shape(1), &node.shape);
            let r = c.rank();
            let (m, k, n) = (c[r - 2], b[b.rank() - 2], c[r - 1]);
            let batch = c.dims()[..r - 2].iter().product();
            let trans_b = graph.view(node.operands[1]).flipped;
            let dense = MatMul { trans_b, ..MatMul::dense(batch, [m, k, n], *trans_a) };
            let apart = |i: usize| match graph.view(node.operands[i]).rows {
                _ if operand_shape(i).rank() < r => 0,
                Some(rows) => rows.apart,
                None => dense.apart[i],
            };
            let of_c = layout.apart(id).unwrap_or(dense.apart[2]);
            let add = adds(graph, layout, id);
            let shape = Arc::new(MatMul { apart: [apart(0), apart(1), of_c], add, ..dense });
            Step::MatMul { shape, a: operand(0), b: operand(1), c: y, work: work.unwrap_or(y.slice(0, 0)) }
        }
        Prim::MatMulLanes(of) => {
            let b = operand_shape(1);
            let columns = if of.shared_b { b[1] } else { b[1] / of.count };
            let (k, n) = if of.trans_b { (columns, b[0]) } else { (b[0], columns) };
            let &MatMulLanes { count, trans_a, trans_b, shared_a, shared_b } = of;
            let add = adds(graph, layout, id);
            let m = node.shape[0];
            let shape = LaneMatMul { lanes: count, m, k, n, trans_a, trans_b, shared_a, shared_b, add };
            Step::LaneMatMul { shape, a: operand(0), b: operand(1), c: y, ending: None }
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
    let box_of = |(&operand, at): (&NodeId, &Axes)| Runs::of_box(at, graph.shape(operand), &node.shape);
    let boxes: Vec<Option<Runs>> = node.operands.iter().zip(offsets).map(box_of).collect();
    for ((&operand, offset), runs) in node.operands.iter().zip(offsets).zip(&boxes) {
        let (view, extent) = (graph.view(operand), graph.shape(operand));
        let in_run = || runs.is_some_and(|runs| layout.view(view) == y.slice(runs.start, view.len));
        if layout.apart(view.root).is_none() && !in_run() {
            let start = offset.iter().zip(&around).map(|(s, stride)| s * stride).sum();
            let (dims, strides) = collapse(extent.dims(), &around);
            pieces.push(Piece { x: layout.view(view), dims, strides, start });
        }
    }
    let covered: usize = node.operands.iter().map(|&o| graph.shape(o).numel()).sum();
    let zeros = if covered == y.len {
        Vec::new()
    } else if let Some(boxes) = boxes.into_iter().collect::<Option<Vec<Runs>>>() {
        gaps(boxes.into_iter().flat_map(Runs::each).collect(), y.len)
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
