//! What each primitive is with one more axis behind, of which its operands have or share the values: a batch in the
//! lanes of vectors.
//!
//! A tensor of shape […, d] is held as […, d·lanes] then, so that rows are as long as they can be and whatever runs over
//! rows does so here.
//!
//! | primitives | in lanes |
//! |---|---|
//! | elementwise, broadcast, reshape, slice, assemble, permute | the same, of longer rows |
//! | sum | the same of longer rows; where one lane alone is summed as a vector, so is each lane |
//! | matmul | a product in every lane |
//! | all others, products of more than two axes | with the axis [in front](super::batch) |
//!
//! Indices have their axis in front always: they are no lanes of anything.

use smallvec::smallvec;

use super::batch::{self, Operand, whole};
use super::structure::{self, shape_of};
use super::{elementwise, product};
use crate::shape::{Axes, Shape, lanes_merged};
use crate::tape::{Kind, MatMulLanes, Node, NodeId, Operands, Prim, Tape};

/// [S, lanes] as the rules hold it.
pub(crate) fn as_lanes(tape: &Tape, id: NodeId, one: &Shape, lanes: usize) -> Operand {
    Operand::each(structure::reshape(tape, id, lanes_merged(one, lanes)))
}

/// What the rules hold, for every member, as [S, lanes]; indices as [lanes, S].
pub(crate) fn from_lanes(tape: &Tape, operand: Operand, one: &Shape, lanes: usize) -> NodeId {
    if is_index(tape, operand) {
        return whole(tape, operand, lanes);
    }
    structure::reshape(tape, in_all(tape, operand, lanes), with_lanes(one, lanes))
}

/// [S, lanes]
fn with_lanes(one: &Shape, lanes: usize) -> Shape {
    one.dims().iter().copied().chain([lanes]).collect()
}

fn is_index(tape: &Tape, operand: Operand) -> bool {
    matches!(tape.get(operand.id()).kind, Kind::Index { .. })
}

/// The operand in every lane, a shared one repeated.
fn in_all(tape: &Tape, operand: Operand, lanes: usize) -> NodeId {
    if operand.is_batched() {
        return operand.id();
    }
    let shape = shape_of(tape, operand.id());
    let merged = lanes_merged(&shape, lanes);
    let constant = structure::constant_axes(tape, operand.id());
    if constant.len() == shape.rank() {
        // One number: the same under every shape.
        let number = match constant.is_empty() {
            true => operand.id(),
            false => structure::without_constant_axes(tape, operand.id(), &constant),
        };
        return structure::broadcast_axes(tape, number, (0..merged.rank()).collect(), merged);
    }
    let repeated = structure::broadcast_axes(tape, operand.id(), smallvec![shape.rank()], with_lanes(&shape, lanes));
    structure::reshape(tape, repeated, merged)
}

/// `node` in every lane; at least one operand is batched. `shapes` are those of its operands in one lane.
#[track_caller]
pub(crate) fn lanes(tape: &Tape, node: &Node, operands: &[Operand], shapes: &[Shape], lanes: usize) -> Operand {
    let shape = lanes_merged(&node.shape, lanes);
    let first = operands[0].id();
    let rank = node.shape.rank();
    let all = || operands.iter().map(|&o| in_all(tape, o, lanes)).collect::<Operands>();
    // A start of a box counts lanes where it is one along the last axis.
    let scaled = |at: &Axes| -> Axes {
        let mut at = at.clone();
        at.last_mut().into_iter().for_each(|last| *last *= lanes);
        at
    };
    Operand::each(match &node.prim {
        prim if prim.is_elementwise() => elementwise::record(prim.clone(), node.kind, tape, &all()),
        Prim::StopGradient | Prim::Defer(_) if !is_index(tape, operands[0]) => {
            structure::intern(tape, node.prim.clone(), first, shape)
        }
        Prim::Reshape => structure::reshape(tape, first, shape),
        Prim::Slice(starts) if rank > 0 => structure::slice(tape, first, scaled(starts), shape),
        Prim::Assemble(offsets) if rank > 0 => {
            structure::assemble(tape, all(), offsets.iter().map(scaled).collect(), shape)
        }
        Prim::Broadcast(axes) if shapes[0].rank() > 0 && !axes.contains(&(rank - 1)) => {
            structure::broadcast_axes(tape, first, axes.clone(), shape)
        }
        Prim::Broadcast(axes) => {
            let apart = structure::reshape(tape, first, with_lanes(&shapes[0], lanes));
            let repeated = structure::broadcast_axes(tape, apart, axes.clone(), with_lanes(&node.shape, lanes));
            structure::reshape(tape, repeated, shape)
        }
        Prim::Sum(axes) => {
            let behind: usize = shapes[0].dims()[axes[axes.len() - 1] + 1..].iter().product();
            if behind == 1 {
                structure::sum_lanes(tape, first, axes.clone(), lanes)
            } else {
                structure::intern(tape, node.prim.clone(), first, shape)
            }
        }
        Prim::Permute(perm) if perm[rank - 1] == rank - 1 => structure::permute(tape, first, perm.clone()),
        Prim::Permute(perm) => {
            let apart = structure::reshape(tape, first, with_lanes(&shapes[0], lanes));
            let permuted = structure::permute(tape, apart, perm.iter().copied().chain([rank]).collect());
            structure::reshape(tape, permuted, shape)
        }
        Prim::MatMul { trans_a } if rank == 2 => matmul(tape, *trans_a, operands, shapes, lanes),
        _ => return in_front(tape, node, operands, shapes, lanes),
    })
}

fn matmul(tape: &Tape, trans_a: bool, operands: &[Operand], shapes: &[Shape], lanes: usize) -> NodeId {
    let (mut b, mut trans_b) = (operands[1], false);
    if let Some(id) = transposed(tape, b, &shapes[1], lanes) {
        (b, trans_b) = (id, true);
    }
    let [shared_a, shared_b] = [operands[0], b].map(|o| !o.is_batched());
    let of = MatMulLanes { count: lanes, trans_a, trans_b, shared_a, shared_b };
    product::matmul_lanes(tape, operands[0].id(), b.id(), of).id_on(tape)
}

/// What the operand is the transpose of, if it is: products in lanes read it where it lies.
fn transposed(tape: &Tape, operand: Operand, one: &Shape, lanes: usize) -> Option<Operand> {
    let node = tape.get(operand.id());
    if !operand.is_batched() {
        let whole = node.prim == Prim::Permute(smallvec![1, 0]);
        return whole.then(|| Operand::shared(node.operands[0]));
    }
    let permuted = (node.prim == Prim::Reshape).then(|| tape.get(node.operands[0]))?;
    let fits = permuted.prim == Prim::Permute(smallvec![1, 0, 2]) && permuted.shape == with_lanes(one, lanes);
    let merged = lanes_merged(&[one[1], one[0]].into(), lanes);
    fits.then(|| Operand::each(structure::reshape(tape, permuted.operands[0], merged)))
}

/// `node` with the axis in front, and what it is made of and gives with the axis behind.
#[track_caller]
fn in_front(tape: &Tape, node: &Node, operands: &[Operand], shapes: &[Shape], lanes: usize) -> Operand {
    let moved: Vec<Operand> = operands
        .iter()
        .zip(shapes)
        .map(|(&operand, one)| {
            if !operand.is_batched() || is_index(tape, operand) {
                return operand;
            }
            let behind = structure::reshape(tape, operand.id(), with_lanes(one, lanes));
            let perm = std::iter::once(one.rank()).chain(0..one.rank()).collect();
            Operand::each(structure::permute(tape, behind, perm))
        })
        .collect();
    let front = batch::batch(tape, node, &moved, lanes);
    if is_index(tape, front) {
        return front;
    }
    let perm = (1..=node.shape.rank()).chain([0]).collect();
    as_lanes(tape, structure::permute(tape, front.id(), perm), &node.shape, lanes)
}
