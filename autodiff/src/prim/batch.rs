//! What each primitive is with one more axis in front, of which its operands have or share the values.
//!
//! | primitives | batched |
//! |---|---|
//! | elementwise | the same; a shared operand is broadcast, which costs nothing where passes read it |
//! | broadcast, sum, reshape, permute, slice, assemble | the same, an axis further on |
//! | matmul | a batch of products, with matrices that are shared; rows with a shared right factor are rows of one product |
//! | matmul in lanes | one for each member |
//! | conv2d | a batch of images with shared weights is more images; else one product for each member |
//! | one-hot, arg max, gather, scatter-add | the same, or one for each member |

use smallvec::{SmallVec, smallvec};

use super::{elementwise, product, structure};
use crate::shape::{Axes, Shape};
use crate::tape::{ConvFace, Kind, Node, NodeId, Operands, Prim, Tape};

/// As many as an index tells apart.
const MOST_INDICES: usize = u32::MAX as usize + 1;

/// What an operand has become.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand {
    id: NodeId,
    kind: Batch,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Batch {
    /// One for all members.
    Shared,
    /// One for each, along axis 0.
    Each,
    /// Indices, one for each, that count through all members of what they were found in.
    Through,
}

impl Operand {
    pub fn shared(id: NodeId) -> Self {
        Operand { id, kind: Batch::Shared }
    }

    pub fn each(id: NodeId) -> Self {
        Operand { id, kind: Batch::Each }
    }

    pub fn id(self) -> NodeId {
        self.id
    }

    pub fn is_batched(self) -> bool {
        self.kind != Batch::Shared
    }
}

/// [size, shape]
fn longer(size: usize, shape: &Shape) -> Shape {
    std::iter::once(size).chain(shape.dims().iter().copied()).collect()
}

/// Axes of a tensor that has got one in front.
fn shifted(axes: &[usize]) -> Axes {
    axes.iter().map(|a| a + 1).collect()
}

fn with_zero(starts: &[usize]) -> Axes {
    std::iter::once(0).chain(starts.iter().copied()).collect()
}

/// The operand for every member, a shared one repeated.
pub(crate) fn whole(tape: &Tape, operand: Operand, size: usize) -> NodeId {
    if operand.is_batched() {
        return operand.id;
    }
    let shape = structure::shape_of(tape, operand.id);
    structure::broadcast_axes(tape, operand.id, smallvec![0], longer(size, &shape))
}

/// The operand of member i.
fn member(tape: &Tape, operand: Operand, i: usize) -> NodeId {
    if !operand.is_batched() {
        return operand.id;
    }
    let shape = structure::shape_of(tape, operand.id);
    let one: Shape = shape.dims()[1..].iter().copied().collect();
    let mut starts: Axes = smallvec![0; shape.rank()];
    starts[0] = i;
    let sliced = structure::slice(tape, operand.id, starts, longer(1, &one));
    structure::reshape(tape, sliced, one)
}

/// The node for each member apart.
fn one_by_one(tape: &Tape, node: &Node, operands: &[Operand], size: usize) -> NodeId {
    let pieces: Operands = (0..size)
        .map(|i| {
            let operands = operands.iter().map(|&o| member(tape, o, i)).collect();
            let id = tape.intern(Node { operands, ..node.clone() });
            structure::reshape(tape, id, longer(1, &node.shape))
        })
        .collect();
    let offset = |i| {
        let mut offset: Axes = smallvec![0; node.shape.rank() + 1];
        offset[0] = i;
        offset
    };
    let offsets: SmallVec<[Axes; 2]> = (0..size).map(offset).collect();
    structure::assemble(tape, pieces, offsets, longer(size, &node.shape))
}

/// `node` for every member of a batch of `size`; at least one operand is batched.
#[track_caller]
pub(crate) fn batch(tape: &Tape, node: &Node, operands: &[Operand], size: usize) -> Operand {
    let moves_indices = matches!(node.kind, Kind::Index { .. })
        && !matches!(node.prim, Prim::ArgMax(_) | Prim::Defer(_) | Prim::StopGradient);
    assert!(!moves_indices, "vmap: indices that a batch has with tables of its own have no batch of their own");
    let shape = longer(size, &node.shape);
    let first = operands[0].id;
    let same = |prim: Prim| {
        let operands = operands.iter().map(|&o| whole(tape, o, size)).collect();
        tape.intern(Node { prim, operands, shape: shape.clone(), kind: node.kind })
    };
    Operand::each(match &node.prim {
        prim if prim.is_elementwise() => {
            let operands: Operands = operands.iter().map(|&o| whole(tape, o, size)).collect();
            elementwise::record(node.prim.clone(), node.kind, tape, &operands)
        }
        Prim::StopGradient | Prim::Defer(_) => {
            // The same values, also where they are indices that count through all members.
            let Node { shape, kind, .. } = tape.get(first);
            let id = tape.intern(Node { prim: node.prim.clone(), operands: smallvec![first], shape, kind });
            return Operand { id, ..operands[0] };
        }
        Prim::OneHot => same(Prim::OneHot),
        Prim::Sum(axes) => same(Prim::Sum(shifted(axes))),
        Prim::SumLanes(axes, lanes) => same(Prim::SumLanes(shifted(axes), *lanes)),
        Prim::Broadcast(axes) => structure::broadcast_axes(tape, first, shifted(axes), shape),
        Prim::Reshape => structure::reshape(tape, first, shape),
        Prim::Permute(perm) => structure::permute(tape, first, with_zero(&shifted(perm))),
        Prim::Slice(starts) => structure::slice(tape, first, with_zero(starts), shape),
        Prim::Assemble(offsets) => {
            let operands = operands.iter().map(|&o| whole(tape, o, size)).collect();
            structure::assemble(tape, operands, offsets.iter().map(|o| with_zero(o)).collect(), shape)
        }
        Prim::MatMul { trans_a: false } if !operands[1].is_batched() && node.shape.rank() == 2 => {
            // The rows of all members are rows of one product.
            let (m, n) = (node.shape[0], node.shape[1]);
            let k = structure::shape_of(tape, first)[2];
            let rows = structure::reshape(tape, first, [size * m, k].into());
            let product = Node {
                prim: node.prim.clone(),
                operands: smallvec![rows, operands[1].id],
                shape: [size * m, n].into(),
                kind: node.kind,
            };
            structure::reshape(tape, tape.intern(product), shape)
        }
        Prim::MatMul { .. } => {
            // A matrix for all members is read where it is.
            let for_each = |o: &Operand| match o.is_batched() {
                false if structure::shape_of(tape, o.id).rank() == 2 => o.id,
                own => product::repeated(tape, o.id, usize::from(own), &shape),
            };
            let operands = operands.iter().map(for_each).collect();
            tape.intern(Node { prim: node.prim.clone(), operands, shape: shape.clone(), kind: node.kind })
        }
        Prim::MatMulLanes(_) => one_by_one(tape, node, operands, size),
        Prim::Conv(face, geometry) => {
            // Which operand holds the images, and which is shared.
            let images = match face {
                ConvFace::Forward => Some(0),
                ConvFace::InputGrad => Some(1),
                ConvFace::WeightGrad => None,
            };
            match images {
                Some(images) if !operands[1 - images].is_batched() => {
                    let mut more = *geometry;
                    more.batch *= size;
                    let merged = |shape: &Shape| -> Shape {
                        let dims = shape.dims();
                        std::iter::once(dims[0] * dims[1]).chain(dims[2..].iter().copied()).collect()
                    };
                    let all = structure::shape_of(tape, operands[images].id);
                    let mut ids: Operands = operands.iter().map(|o| o.id).collect();
                    ids[images] = structure::reshape(tape, ids[images], merged(&all));
                    let prim = Prim::Conv(*face, more);
                    let product = Node { prim, operands: ids, shape: merged(&shape), kind: node.kind };
                    structure::reshape(tape, tape.intern(product), shape)
                }
                _ => one_by_one(tape, node, operands, size),
            }
        }
        Prim::ArgMax(windows) => {
            let mut through = windows.clone();
            let Kind::Index { bound } = node.kind else { unreachable!("arg max gives indices") };
            assert!(size.saturating_mul(bound) <= MOST_INDICES, "vmap: a batch has a maximum of more than 2³² numbers");
            through.outer.insert(0, size);
            through.outer_strides.insert(0, bound);
            let kind = Kind::Index { bound: size * bound };
            let prim = Prim::ArgMax(through);
            return Operand {
                id: tape.intern(Node { prim, operands: smallvec![first], shape, kind }),
                kind: Batch::Through,
            };
        }
        Prim::Gather | Prim::ScatterAdd if operands[1].kind == Batch::Through => {
            // The indices count through all members of what they pick from or add to, though those be the same.
            through(tape, node, [whole(tape, operands[0], size), operands[1].id], size)
        }
        Prim::Gather if !operands[0].is_batched() => same_table(tape, node, operands, shape),
        Prim::Gather | Prim::ScatterAdd => one_by_one(tape, node, operands, size),
        other => unreachable!("{} has no operands or is no part of a program", other.name()),
    })
}

/// One table, indices for each member: longer indices.
fn same_table(tape: &Tape, node: &Node, operands: &[Operand], shape: Shape) -> NodeId {
    let operands = operands.iter().map(|o| o.id).collect();
    tape.intern(Node { prim: Prim::Gather, operands, shape, kind: node.kind })
}

/// A table for each member, and indices that count through all of them: one long table.
fn through(tape: &Tape, node: &Node, [table, indices]: [NodeId; 2], size: usize) -> NodeId {
    let shape = longer(size, &node.shape);
    let merged = |shape: &Shape| -> Shape {
        let dims = shape.dims();
        std::iter::once(dims[0] * dims[1]).chain(dims[2..].iter().copied()).collect()
    };
    if node.prim == Prim::Gather {
        let long = structure::reshape(tape, table, merged(&structure::shape_of(tape, table)));
        return tape.intern(Node { prim: Prim::Gather, operands: smallvec![long, indices], shape, kind: node.kind });
    }
    let long =
        Node { prim: Prim::ScatterAdd, operands: smallvec![table, indices], shape: merged(&shape), kind: node.kind };
    structure::reshape(tape, tape.intern(long), shape)
}
