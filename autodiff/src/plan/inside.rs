//! Values that are computed where something else has them: pieces of assembled tensors, and what products are added to.

use rustc_hash::FxHashMap;

use super::graph::Graph;
use super::schedule::{Job, Placing};
use super::view::{Rows, Runs};
use crate::tape::{NodeId, Prim, Stage};

/// Where a value is: in a tensor, from an element on, in one run or in rows.
pub(super) struct Inside {
    pub tensor: NodeId,
    pub start: usize,
    pub rows: Option<Rows>,
}

/// Who is inside what. `is_placed` values have a place of their own, `is_kept` ones are read by later stages.
pub(super) fn find(
    graph: &Graph<'_>,
    stage: Stage,
    items: &[Placing<'_>],
    is_placed: impl Fn(NodeId) -> bool,
    is_kept: impl Fn(NodeId) -> bool,
) -> FxHashMap<NodeId, Inside> {
    let mut inside: FxHashMap<NodeId, Inside> = FxHashMap::default();
    // The outermost first, so that what holds a tensor is known when its own pieces are placed.
    for Placing { item, .. } in items.iter().rev() {
        let Job::Node(id) = item.job else { continue };
        if let Some(first) = graph.added(id) {
            inside.insert(first, Inside { tensor: id, start: 0, rows: None });
        }
        let Prim::Assemble(offsets) = graph.prim(id) else { continue };
        let (shape, operands) = (graph.shape(id), &graph.node(id).operands);
        let boxes: Vec<Option<Runs>> =
            operands.iter().zip(offsets).map(|(&o, at)| Runs::of_box(at, graph.shape(o), shape)).collect();
        // Gaps are zeroed before copying; that is only sound in place where they are known.
        let covered: usize = operands.iter().map(|&o| graph.shape(o).numel()).sum();
        if covered < shape.numel() && boxes.contains(&None) {
            continue;
        }
        for (&operand, runs) in operands.iter().zip(boxes) {
            let (view, Some(runs)) = (graph.view(operand), runs) else { continue };
            let root = view.root;
            let own = graph.stage(root) == stage && !matches!(graph.prim(root), Prim::Input(_));
            let whole = view.is_all_of(graph.shape(root));
            let outlives = is_kept(root) && !is_kept(id);
            if !own || !whole || outlives || is_placed(root) || !is_held_once(graph, root, id, &inside) {
                continue;
            }
            let apart = runs.apart();
            if apart.is_some_and(|rows| is_kept(root) || !lies_apart(graph, items, root, rows)) {
                continue;
            }
            inside.entry(root).or_insert(Inside { tensor: id, start: runs.start, rows: apart });
        }
    }
    let beside: Vec<NodeId> = inside.keys().copied().filter(|&id| reads_beside(graph, id, &inside)).collect();
    inside.retain(|id, _| !beside.contains(id));
    inside
}

/// Whether a tensor and those around it have a value once. One that a tensor further out also holds, elsewhere, must be copied
/// there from a place of its own.
fn is_held_once(graph: &Graph<'_>, root: NodeId, tensor: NodeId, inside: &FxHashMap<NodeId, Inside>) -> bool {
    let times = |id: NodeId| graph.node(id).operands.iter().filter(|&&o| graph.view(o).root == root).count();
    let mut around = std::iter::successors(inside.get(&tensor), |of| inside.get(&of.tensor));
    times(tensor) == 1 && around.all(|of| times(of.tensor) == 0)
}

/// A product and those that it is added to.
fn with_added(graph: &Graph<'_>, product: NodeId) -> impl Iterator<Item = NodeId> {
    std::iter::successors(Some(product), |&id| graph.added(id))
}

/// Whether a product can write its matrices as such rows: the tensor alone reads them, and nothing copies them to an output.
fn lies_apart(graph: &Graph<'_>, items: &[Placing<'_>], product: NodeId, rows: Rows) -> bool {
    let shape = graph.shape(product);
    let is_batch = |id: NodeId| matches!(graph.prim(id), Prim::MatMul { .. }) && graph.shape(id) == shape;
    let readers = items.iter().filter(|placing| placing.item.reads.contains(&product)).count();
    let is_right_length = || shape.dims()[shape.rank() - 2..].iter().product::<usize>() == rows.len;
    readers == 1 && with_added(graph, product).all(is_batch) && is_right_length()
}

/// Whether a product would read what lies between its own matrices.
fn reads_beside(graph: &Graph<'_>, product: NodeId, inside: &FxHashMap<NodeId, Inside>) -> bool {
    let own = &inside[&product];
    let lies_in = |root: NodeId| {
        let mut holders = std::iter::successors(inside.get(&root), |of| inside.get(&of.tensor));
        holders.any(|of| of.tensor == own.tensor)
    };
    let mut factors = with_added(graph, product).flat_map(|id| graph.operands(id).take(2));
    own.rows.is_some() && factors.any(|view| lies_in(view.root))
}
