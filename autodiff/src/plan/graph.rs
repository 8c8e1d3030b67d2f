//! The part of a tape that a plan needs: live nodes, their stages, and views.

use super::view::{Readers, Runs, View};
use crate::kernel::SumShape;
use crate::shape::Shape;
use crate::tape::{Kind, Node, NodeId, Prim, Stage};

pub(super) struct Graph<'a> {
    nodes: &'a [Node],
    live: Vec<bool>,
    stage: Vec<Stage>,
    view: Vec<View>,
}

impl<'a> Graph<'a> {
    pub fn new(nodes: &'a [Node], stage: Vec<Stage>, outputs: &[NodeId]) -> Self {
        let len = outputs.iter().map(|id| id.index() + 1).max().unwrap_or(0);
        let mut live = vec![false; len];
        for id in outputs {
            live[id.index()] = true;
        }
        for i in (0..len).rev() {
            if live[i] {
                for operand in &nodes[i].operands {
                    live[operand.index()] = true;
                }
            }
        }
        let readers = Readers::new(nodes, &live, outputs);
        let mut graph = Graph { nodes, live, stage, view: Vec::with_capacity(len) };
        for (i, node) in nodes[..len].iter().enumerate() {
            let view = graph.view_of(NodeId(i as u32), node, &readers);
            graph.view.push(view);
        }
        graph
    }

    fn view_of(&self, id: NodeId, node: &Node, readers: &Readers<'_>) -> View {
        let own = View { root: id, offset: 0, len: node.shape.numel(), rows: None, flipped: false };
        let of = |offset| {
            let operand = self.view[node.operands[0].index()];
            View { offset: operand.offset + offset, len: own.len, ..operand }
        };
        match &node.prim {
            prim if prim.is_alias() => of(0),
            Prim::Permute(_) if readers.flip(id, &of(0), &self.stage) => View { flipped: true, ..of(0) },
            Prim::Slice(starts) => match Runs::of_box(starts, &node.shape, self.shape(node.operands[0])) {
                Some(runs) => {
                    let view = View { rows: runs.apart(), ..of(runs.start) };
                    if view.rows.is_none() || readers.take_rows(id, &view) { view } else { own }
                }
                None => own,
            },
            _ => own,
        }
    }

    /// Live nodes that are not views, operands before results.
    pub fn roots(&self) -> impl Iterator<Item = NodeId> + '_ {
        (0..self.live.len()).map(|i| NodeId(i as u32)).filter(|&id| self.live[id.index()] && self.view(id).root == id)
    }

    pub fn len(&self) -> usize {
        self.live.len()
    }

    pub fn node(&self, id: NodeId) -> &'a Node {
        &self.nodes[id.index()]
    }

    pub fn prim(&self, id: NodeId) -> &'a Prim {
        &self.node(id).prim
    }

    pub fn shape(&self, id: NodeId) -> &'a Shape {
        &self.node(id).shape
    }

    pub fn stage(&self, id: NodeId) -> Stage {
        self.stage[id.index()]
    }

    pub fn view(&self, id: NodeId) -> View {
        self.view[id.index()]
    }

    pub fn is_index(&self, id: NodeId) -> bool {
        matches!(self.node(id).kind, Kind::Index { .. })
    }

    pub fn index_bound(&self, id: NodeId) -> usize {
        match self.node(id).kind {
            Kind::Index { bound } => bound,
            _ => unreachable!("asked of index nodes only"),
        }
    }

    /// The product that this one is added to, where it is, in its place.
    pub fn added(&self, id: NodeId) -> Option<NodeId> {
        let is_product = matches!(self.prim(id), Prim::MatMul { .. } | Prim::MatMulLanes(_) | Prim::Conv(..));
        let third = self.operands(id).nth(2).filter(|_| is_product);
        third.map(|view| view.root)
    }

    /// Numbers of room that a product needs for a factor that it transposes as it goes.
    pub fn transposed_len(&self, id: NodeId) -> usize {
        let right = self.node(id).operands.get(1).filter(|_| matches!(self.prim(id), Prim::MatMul { .. }));
        let flipped = right.filter(|&&right| self.view(right).flipped);
        flipped.map_or(0, |&right| self.shape(right).dims().iter().rev().take(2).product())
    }

    /// Whether a live node reads this one.
    pub fn is_read(&self, id: NodeId) -> bool {
        self.roots().any(|reader| self.operands(reader).any(|view| view.root == id))
    }

    /// The views that the node's operands are.
    pub fn operands(&self, id: NodeId) -> impl Iterator<Item = View> + '_ {
        self.node(id).operands.iter().map(|&o| self.view(o))
    }

    /// [outer, summed, inner] of a sum, whose axes are one run of neighbours.
    pub fn sum_extents(&self, id: NodeId) -> (usize, usize, usize) {
        let (axes, lanes) = match self.prim(id) {
            Prim::Sum(axes) => (axes, 1),
            Prim::SumLanes(axes, lanes) => (axes, *lanes),
            _ => unreachable!("asked of sums only"),
        };
        let dims = self.shape(self.node(id).operands[0]).dims();
        let (first, last) = (axes[0], axes[axes.len() - 1]);
        let product = |d: &[usize]| d.iter().product();
        // Lanes are the innermost numbers of the last axis.
        let summed: usize = product(&dims[first..]) / lanes;
        let inner = if lanes > 1 { lanes } else { product(&dims[last + 1..]) };
        (product(&dims[..first]), if lanes > 1 { summed } else { summed / inner }, inner)
    }

    /// The extents of a sum as its kernel takes them.
    pub fn sum_shape(&self, id: NodeId) -> SumShape {
        let (_, summed, inner) = self.sum_extents(id);
        SumShape { summed, inner, whole: self.sum_lanes(id).is_some() }
    }

    /// The lanes of a sum that adds up the numbers of each as those of one vector are.
    pub fn sum_lanes(&self, id: NodeId) -> Option<usize> {
        match self.prim(id) {
            Prim::SumLanes(_, lanes) => Some(*lanes),
            _ => (self.sum_extents(id).2 == 1).then_some(1),
        }
    }
}
