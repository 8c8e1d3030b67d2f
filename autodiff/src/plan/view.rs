//! Which elements of another a node is, where it has none of its own.

use crate::shape::{Axes, Shape};
use crate::tape::{Node, NodeId, Prim, Stage};

/// A node's elements are `len` elements of `root`, from `offset` on, one behind the other or in rows; `root` is not itself a
/// view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct View {
    pub root: NodeId,
    pub offset: usize,
    pub len: usize,
    /// Where they are not one run.
    pub rows: Option<Rows>,
    /// Whether they are matrices that their reader transposes.
    pub flipped: bool,
}

/// Runs of so many elements, which start so far apart: part of each member of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rows {
    pub len: usize,
    pub apart: usize,
}

impl View {
    /// Whether they are all elements of a root of this shape, as they lie.
    pub fn is_all_of(&self, shape: &Shape) -> bool {
        self.offset == 0 && self.len == shape.numel() && self.rows.is_none() && !self.flipped
    }

    /// Elements of the root from the first of these to the last.
    pub fn span(&self) -> usize {
        self.rows.map_or(self.len, |rows| (self.len / rows.len - 1) * rows.apart + rows.len)
    }

    /// How a tensor of this shape, which the elements are in row-major order, walks over the root; `None` where rows start
    /// inside an axis.
    pub fn strides(&self, shape: &Shape) -> Option<Axes> {
        let mut strides = shape.strides();
        let Some(rows) = self.rows else { return Some(strides) };
        let (mut inner, mut outer) = (1, shape.rank());
        while outer > 0 && inner < rows.len {
            outer -= 1;
            inner *= shape[outer];
        }
        strides[..outer].iter_mut().for_each(|stride| *stride = *stride / rows.len * rows.apart);
        (inner == rows.len).then_some(strides)
    }
}

/// The runs of a tensor's elements that a box in it is: `count` of them, the first at `start`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Runs {
    pub start: usize,
    pub count: usize,
    pub rows: Rows,
}

impl Runs {
    /// The most of one box: a list of more takes as long to walk as what it spares.
    const MOST: usize = 64;

    /// Of a box that is one run, or one of each of a few elements of the first axis.
    pub fn of_box(starts: &[usize], extent: &Shape, around: &Shape) -> Option<Self> {
        if let Some(start) = contiguous(starts, extent, around) {
            let len = extent.numel();
            return Some(Runs { start, count: 1, rows: Rows { len, apart: len } });
        }
        let apart = *around.strides().first()?;
        let behind = |shape: &Shape| shape.dims()[1..].iter().copied().collect::<Shape>();
        let offset = contiguous(&starts[1..], &behind(extent), &behind(around))?;
        let len = behind(extent).numel();
        (len > 0 && extent[0] <= Self::MOST).then_some(Runs {
            start: starts[0] * apart + offset,
            count: extent[0],
            rows: Rows { len, apart },
        })
    }

    /// Where they lie apart.
    pub fn apart(self) -> Option<Rows> {
        Some(self.rows).filter(|_| self.count > 1)
    }

    /// Where each starts, and its elements.
    pub fn each(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.count).map(move |i| (self.start + i * self.rows.apart, self.rows.len))
    }
}

/// Who reads which node.
pub(super) struct Readers<'a> {
    nodes: &'a [Node],
    outputs: &'a [NodeId],
    of: Vec<Vec<NodeId>>,
}

impl<'a> Readers<'a> {
    pub fn new(nodes: &'a [Node], live: &[bool], outputs: &'a [NodeId]) -> Self {
        let mut of = vec![Vec::new(); live.len()];
        for i in (0..live.len()).filter(|&i| live[i]) {
            nodes[i].operands.iter().for_each(|o| of[o.index()].push(NodeId(i as u32)));
        }
        Readers { nodes, outputs, of }
    }

    /// Whether a node is a batch of small matrices, transposed for one product alone, which can do that as it goes: what it
    /// copies stays in the nearest cache until it is read.
    pub fn flip(&self, id: NodeId, of: &View, stages: &[Stage]) -> bool {
        /// Numbers of a matrix that leave room for others in the nearest cache.
        const NEAR: usize = 4096;
        /// Multiply-adds of products that one thread takes: others would have to share what is copied.
        const ALONE: usize = 1 << 20;
        let node = |id: NodeId| &self.nodes[id.index()];
        let Node { prim: Prim::Permute(perm), shape, .. } = node(id) else { return false };
        let (&[reader], Some(matrix)) = (&self.of[id.index()][..], shape.rank().checked_sub(2)) else { return false };
        let of_one = shape.dims()[matrix..].iter().product::<usize>();
        let transposes = perm[..matrix].iter().copied().eq(0..matrix) && perm[matrix..] == [matrix + 1, matrix];
        let is_batch = shape.numel() > of_one && of_one <= NEAR && node(reader).shape.rank() == shape.rank();
        let is_small = node(reader).shape.numel() * shape[matrix] <= ALONE;
        let a_matrix_each = of.rows.is_none_or(|rows| rows.len == of_one);
        let is_right = matches!(node(reader).prim, Prim::MatMul { .. }) && node(reader).operands[1] == id;
        let together = stages[id.index()] == stages[reader.index()] && !self.outputs.contains(&id);
        transposes && is_batch && is_small && a_matrix_each && is_right && together
    }

    /// Whether whatever reads a node that is this view takes rows that lie apart.
    pub fn take_rows(&self, id: NodeId, view: &View) -> bool {
        let node = |id: NodeId| &self.nodes[id.index()];
        let shape = &node(id).shape;
        let takes = |&reader: &NodeId| match &node(reader).prim {
            prim if prim.is_alias() => self.take_rows(reader, view),
            // A matrix of each.
            Prim::MatMul { .. } => {
                let rank = shape.rank();
                let matrix: usize = shape.dims()[rank - 2..].iter().product();
                rank == node(reader).shape.rank() && view.rows.is_some_and(|rows| rows.len == matrix)
            }
            Prim::Broadcast(_) | Prim::Permute(_) => view.strides(shape).is_some(),
            _ => false,
        };
        !self.outputs.contains(&id) && self.of[id.index()].iter().all(takes)
    }
}

/// Offset of a box whose elements lie in one run of the tensor around it, if they do.
fn contiguous(starts: &[usize], extent: &Shape, around: &Shape) -> Option<usize> {
    let lead = extent.dims().iter().take_while(|&&d| d == 1).count();
    let tail = (lead + 1).min(extent.rank());
    if extent.dims()[tail..] != around.dims()[tail..] {
        return None;
    }
    Some(starts.iter().zip(around.strides()).map(|(&s, stride)| s * stride).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_box_are_walked_where_they_lie() {
        let (around, extent) = (Shape::from([3, 4, 5]), Shape::from([2, 2, 5]));
        let runs = Runs::of_box(&[1, 2, 0], &extent, &around).expect("one run of each");
        assert_eq!(runs.each().collect::<Vec<_>>(), [(30, 10), (50, 10)]);
        assert_eq!(Runs::of_box(&[0, 0, 1], &[2, 2, 3].into(), &around), None);
        let whole = Runs::of_box(&[1, 0, 0], &[2, 4, 5].into(), &around).expect("one run");
        assert_eq!((whole.each().collect::<Vec<_>>(), whole.apart()), (vec![(20, 40)], None));
        let view = View { root: NodeId(0), offset: runs.start, len: 20, rows: runs.apart(), flipped: false };
        assert_eq!(view.span(), 30);
        let strides = |dims: &[usize]| view.strides(&dims.iter().copied().collect()).map(|s| s.to_vec());
        assert_eq!(strides(&[2, 2, 5]), Some(vec![20, 5, 1]));
        assert_eq!(strides(&[1, 2, 1, 10]), Some(vec![40, 20, 20, 1]));
        assert_eq!(strides(&[4, 5]), None);
    }
}
