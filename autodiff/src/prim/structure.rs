//! Primitives that move, repeat or add elements: all linear, in pairs that are each other's transpose. What users write
//! is in [`shaping`](super::shaping).
//!
//! ```text
//! broadcast ↔ sum        slice ↔ assemble (pad, concat)        reshape, permute ↔ their inverses
//! ```

use rustc_hash::FxHashMap;
use smallvec::{SmallVec, smallvec};

use super::Cotangents;
use crate::rules::{BinaryOp, UnaryOp};
use crate::shape::{Axes, Shape, lanes_apart, lanes_merged};
use crate::tape::{Kind, Node, NodeId, Operands, Prim, Tape, Var};

pub(super) fn intern(tape: &Tape, prim: Prim, operand: NodeId, shape: Shape) -> NodeId {
    let kind = tape.read(|g| g.nodes[operand.index()].kind);
    tape.intern(Node { prim, operands: smallvec![operand], shape, kind })
}

pub(super) fn shape_of(tape: &Tape, id: NodeId) -> Shape {
    tape.read(|g| g.nodes[id.index()].shape.clone())
}

// ---- broadcast and sum ----

/// NumPy broadcasting; the caller has checked that the shapes fit.
pub(super) fn broadcast_to(tape: &Tape, id: NodeId, shape: &Shape) -> NodeId {
    let own = shape_of(tape, id);
    if own == *shape {
        return id;
    }
    let lead = shape.rank() - own.rank();
    let stretched = |i: usize| i < lead || own[i - lead] != shape[i];
    let axes: Axes = (0..shape.rank()).filter(|&i| stretched(i)).collect();
    let kept: Shape = (0..shape.rank()).filter(|&i| !stretched(i)).map(|i| shape[i]).collect();
    let id = reshape(tape, id, kept);
    broadcast_axes(tape, id, axes, shape.clone())
}

/// Inserts `axes` (ascending positions in `shape`).
pub(super) fn broadcast_axes(tape: &Tape, id: NodeId, axes: Axes, shape: Shape) -> NodeId {
    if axes.is_empty() {
        return id;
    }
    let node = tape.get(id);
    let Prim::Broadcast(inner) = &node.prim else {
        return intern(tape, Prim::Broadcast(axes), id, shape);
    };
    // Broadcast of a broadcast: one insertion of both sets of axes.
    let kept: Axes = (0..shape.rank()).filter(|i| !axes.contains(i)).collect();
    let mut all: Axes = inner.iter().map(|&i| kept[i]).chain(axes).collect();
    all.sort_unstable();
    intern(tape, Prim::Broadcast(all), node.operands[0], shape)
}

/// Axes along which the node repeats one value by construction.
pub(super) fn constant_axes(tape: &Tape, id: NodeId) -> Axes {
    tape.read(|g| match &g.nodes[id.index()].prim {
        Prim::Broadcast(axes) => axes.clone(),
        _ => Axes::new(),
    })
}

/// The node with some of its constant axes dropped.
pub(super) fn without_constant_axes(tape: &Tape, id: NodeId, axes: &[usize]) -> NodeId {
    let node = tape.get(id);
    let Prim::Broadcast(own) = &node.prim else { unreachable!("only a broadcast is constant along an axis") };
    let renumber = |axis: usize| axis - axes.iter().filter(|&&a| a < axis).count();
    let rest: Axes = own.iter().filter(|a| !axes.contains(a)).map(|&a| renumber(a)).collect();
    broadcast_axes(tape, node.operands[0], rest, node.shape.without(axes))
}

/// Whether a sum over `axes` can be taken out of a factor of this node, so that distributing a sum over it pays.
fn has_constant_factor(tape: &Tape, id: NodeId, axes: &[usize]) -> bool {
    let node = tape.get(id);
    let constant = |id| {
        let own = constant_axes(tape, id);
        axes.iter().all(|a| own.contains(a))
    };
    constant(id)
        || match node.prim {
            Prim::Unary(UnaryOp::Neg) => has_constant_factor(tape, node.operands[0], axes),
            Prim::Binary(BinaryOp::Mul) => node.operands.iter().any(|&o| constant(o)),
            Prim::Binary(BinaryOp::Div) => constant(node.operands[1]),
            _ => false,
        }
}

/// Σ over `axes` as a user writes it: each element is added, so a NaN or an infinity is where IEEE puts it.
pub(super) fn plain_sum<'t>(tape: &'t Tape, id: NodeId, axes: &[usize]) -> Var<'t> {
    let shape = shape_of(tape, id);
    // One run of neighbouring axes at a time, innermost first: the kernels know [outer, summed, inner].
    let Some(&last) = axes.last() else { return Var::node(tape, id) };
    let run = axes.iter().rev().enumerate().take_while(|&(i, &a)| a + i == last).count();
    let (rest, run) = axes.split_at(axes.len() - run);
    let without = shape.without(run);
    let summed = if run.iter().all(|&a| shape[a] == 1) {
        reshape(tape, id, without)
    } else {
        intern(tape, Prim::Sum(run.into()), id, without)
    };
    plain_sum(tape, summed, rest)
}

/// Whether Σ over `axes` of the node is recorded.
fn is_summed(tape: &Tape, id: NodeId, axes: &[usize]) -> bool {
    let shape = shape_of(tape, id).without(axes);
    tape.has(&Node { prim: Prim::Sum(axes.into()), operands: smallvec![id], shape, kind: Kind::Float })
}

/// Σ over `axes` in derivatives, with factors that are constant along them taken out:
///
/// ```text
/// Σ (u · broadcast v) = v · Σ u        Σ broadcast v = n v        Σ (a ± b) = Σ a ± Σ b  where that helps
/// ```
///
/// This is what keeps batch normalisation at two passes over memory in every order of derivative: the
/// sums that its adjoints need are all sums of plain products, which one fused pass computes. A sum that is recorded already,
/// as that of a mean is by the function itself, is taken as it is: a ± b is not summed once more apart. It is applied to
/// derivatives only: taking out a factor can meet an overflow, or miss a NaN, that adding one by one would not.
fn sum<'t>(tape: &'t Tape, id: NodeId, axes: &[usize]) -> Var<'t> {
    Sums { tape, known: FxHashMap::default() }.of(id, axes, 0)
}

/// [`sum`] of many nodes that share what they are made of.
struct Sums<'t> {
    tape: &'t Tape,
    known: FxHashMap<(NodeId, Axes), Var<'t>>,
}

impl<'t> Sums<'t> {
    /// The levels that factors are looked for on: more would take more than a thread's stack.
    const DEEPEST: usize = 200;

    fn of(&mut self, id: NodeId, axes: &[usize], depth: usize) -> Var<'t> {
        if axes.is_empty() {
            return Var::node(self.tape, id);
        }
        if depth == Self::DEEPEST {
            return plain_sum(self.tape, id, axes);
        }
        let key = (id, Axes::from_slice(axes));
        if let Some(&known) = self.known.get(&key) {
            return known;
        }
        let sum = self.taken_apart(id, axes, depth + 1).unwrap_or_else(|| plain_sum(self.tape, id, axes));
        self.known.insert(key, sum);
        sum
    }

    /// By the formulas of [`sum`], if one of them applies.
    fn taken_apart(&mut self, id: NodeId, axes: &[usize], depth: usize) -> Option<Var<'t>> {
        let tape = self.tape;
        let node = tape.get(id);
        let constant = |id| {
            let own = constant_axes(tape, id);
            axes.iter().all(|a| own.contains(a))
        };
        let reduced = |id| Var::node(tape, without_constant_axes(tape, id, axes));
        let operands = &node.operands;
        Some(match &node.prim {
            Prim::Unary(UnaryOp::Neg) => -self.of(operands[0], axes, depth),
            Prim::Binary(BinaryOp::Mul) if constant(operands[0]) => {
                reduced(operands[0]) * self.of(operands[1], axes, depth)
            }
            Prim::Binary(BinaryOp::Mul) if constant(operands[1]) => {
                self.of(operands[0], axes, depth) * reduced(operands[1])
            }
            Prim::Binary(BinaryOp::Div) if constant(operands[1]) => {
                self.of(operands[0], axes, depth) / reduced(operands[1])
            }
            Prim::Binary(op @ (BinaryOp::Add | BinaryOp::Sub))
                if operands.iter().any(|&o| has_constant_factor(tape, o, axes)) && !is_summed(tape, id, axes) =>
            {
                let (a, b) = (self.of(operands[0], axes, depth), self.of(operands[1], axes, depth));
                if *op == BinaryOp::Add { a + b } else { a - b }
            }
            Prim::Broadcast(own) => {
                let shared: Axes = axes.iter().copied().filter(|a| own.contains(a)).collect();
                if shared.is_empty() {
                    return None;
                }
                let count: usize = shared.iter().map(|&a| node.shape[a]).product();
                let inner = without_constant_axes(tape, id, &shared);
                let renumber = |axis: usize| axis - shared.iter().filter(|&&a| a < axis).count();
                let rest: Axes = axes.iter().filter(|a| !own.contains(a)).map(|&a| renumber(a)).collect();
                self.of(inner, &rest, depth) * count as f64
            }
            _ => return None,
        })
    }
}

/// Σ over `axes` in each lane, in the order in which one lane alone is summed.
pub(super) fn sum_lanes(tape: &Tape, id: NodeId, axes: Axes, lanes: usize) -> NodeId {
    let kept = lanes_apart(&shape_of(tape, id), lanes).without(&axes);
    let merged = lanes_merged(&kept.dims()[..kept.rank() - 1].into(), lanes);
    intern(tape, Prim::SumLanes(axes, lanes), id, merged)
}

// ---- reshape, permute ----

pub(super) fn reshape(tape: &Tape, id: NodeId, shape: Shape) -> NodeId {
    let node = tape.get(id);
    if node.shape == shape {
        return id;
    }
    match &node.prim {
        Prim::Reshape => reshape(tape, node.operands[0], shape),
        // A repeated number is the same under every shape.
        Prim::Broadcast(axes) if axes.len() == node.shape.rank() => {
            broadcast_axes(tape, node.operands[0], (0..shape.rank()).collect(), shape)
        }
        _ => intern(tape, Prim::Reshape, id, shape),
    }
}

pub(super) fn permute(tape: &Tape, id: NodeId, perm: Axes) -> NodeId {
    let node = tape.get(id);
    let shape: Shape = perm.iter().map(|&axis| node.shape[axis]).collect();
    if let Prim::Permute(inner) = &node.prim {
        return permute(tape, node.operands[0], perm.iter().map(|&axis| inner[axis]).collect());
    }
    // Only axes of extent 1 move: the elements stay where they are.
    let moving: Axes = perm.iter().copied().filter(|&axis| node.shape[axis] != 1).collect();
    if moving.is_sorted() {
        return reshape(tape, id, shape);
    }
    intern(tape, Prim::Permute(perm), id, shape)
}

fn inverse(perm: &[usize]) -> Axes {
    let mut inverse: Axes = smallvec![0; perm.len()];
    for (i, &axis) in perm.iter().enumerate() {
        inverse[axis] = i;
    }
    inverse
}

// ---- slice, assemble ----

pub(super) fn slice(tape: &Tape, id: NodeId, starts: Axes, shape: Shape) -> NodeId {
    let node = tape.get(id);
    if node.shape == shape {
        return id;
    }
    let shifted = |by: &Axes, sign: isize| -> Axes {
        starts.iter().zip(by).map(|(&s, &b)| s.wrapping_add_signed(sign * b as isize)).collect()
    };
    match &node.prim {
        Prim::Slice(outer) => return slice(tape, node.operands[0], shifted(outer, 1), shape),
        Prim::Assemble(offsets) => {
            for (&piece, offset) in node.operands.iter().zip(offsets) {
                let extent = shape_of(tape, piece);
                let inside =
                    (0..shape.rank()).all(|i| offset[i] <= starts[i] && starts[i] + shape[i] <= offset[i] + extent[i]);
                if inside {
                    return slice(tape, piece, shifted(offset, -1), shape);
                }
            }
        }
        _ => {}
    }
    intern(tape, Prim::Slice(starts), id, shape)
}

pub(super) fn assemble(tape: &Tape, operands: Operands, offsets: SmallVec<[Axes; 2]>, shape: Shape) -> NodeId {
    if operands.len() == 1 && shape_of(tape, operands[0]) == shape {
        return operands[0];
    }
    tape.intern(Node { prim: Prim::Assemble(offsets), operands, shape, kind: Kind::Float })
}

/// Boxes in zeros plus boxes in zeros are boxes in zeros, unless two overlap without being the same: so the gradient
/// with respect to a flat vector of parameters, which arrives as a sum of pads, becomes writes into views of it.
pub(super) fn merge_boxes<'t>(x: Var<'t>, y: Var<'t>) -> Option<Var<'t>> {
    let ((tape, _, a), (_, _, b)) = (x.parts()?, y.parts()?);
    let (Prim::Assemble(a_at), Prim::Assemble(b_at)) = (&a.prim, &b.prim) else { return None };
    if a.shape != b.shape {
        return None;
    }
    let mut pieces: Vec<(Axes, NodeId)> = a_at.iter().cloned().zip(a.operands.iter().copied()).collect();
    let mut same: Vec<(usize, NodeId)> = Vec::new();
    for (&q, q_at) in b.operands.iter().zip(b_at) {
        let extent = shape_of(tape, q);
        let mut meets = None;
        for (i, (p_at, p)) in pieces[..a_at.len()].iter().enumerate() {
            let other = shape_of(tape, *p);
            let disjoint = |i: usize| p_at[i] + other[i] <= q_at[i] || q_at[i] + extent[i] <= p_at[i];
            if p_at == q_at && other == extent {
                meets = Some(i);
            } else if !(0..a.shape.rank()).any(disjoint) {
                return None;
            }
        }
        match meets {
            Some(i) => same.push((i, q)),
            None => pieces.push((q_at.clone(), q)),
        }
    }
    for (i, q) in same {
        pieces[i].1 = (Var::node(tape, pieces[i].1) + Var::node(tape, q)).id_on(tape);
    }
    pieces.sort();
    let (offsets, operands): (SmallVec<[Axes; 2]>, Operands) = pieces.into_iter().unzip();
    Some(Var::node(tape, assemble(tape, operands, offsets, a.shape)))
}

/// x + y for cotangents that are each a full-size value, boxes in zeros, or the sum of both: full-size values and
/// boxes are added apart, so that one full-size term (that of a prox, say) does not keep all boxes from merging.
pub(super) fn add_cotangents<'t>(x: Var<'t>, y: Var<'t>) -> Var<'t> {
    let is_boxes = |v: Var<'t>| matches!(v.parts(), Some((_, _, node)) if matches!(node.prim, Prim::Assemble(_)));
    let split = |v: Var<'t>| match v.parts() {
        Some((_, _, node)) if matches!(node.prim, Prim::Assemble(_)) => (None, Some(v)),
        Some((tape, _, node)) if node.prim == Prim::Binary(BinaryOp::Add) => {
            let (a, b) = (Var::node(tape, node.operands[0]), Var::node(tape, node.operands[1]));
            match (is_boxes(a), is_boxes(b)) {
                (false, true) => (Some(a), Some(b)),
                (true, false) => (Some(b), Some(a)),
                _ => (Some(v), None),
            }
        }
        _ => (Some(v), None),
    };
    let (((full, boxes), (full_y, boxes_y)), add) = ((split(x), split(y)), super::sum_of);
    add(add(full, full_y), add(boxes, boxes_y)).expect("x and y have a part each")
}

// ---- derivatives ----

/// Linear: the primitive, applied to the tangents.
pub(super) fn tangent<'t>(tape: &'t Tape, node: &Node, tangents: &[Option<Var<'t>>]) -> Option<Var<'t>> {
    if let Prim::Assemble(offsets) = &node.prim {
        let given = tangents.iter().zip(offsets).filter_map(|(t, at)| Some(((*t)?, at.clone())));
        let (vars, offsets): (SmallVec<[Var<'t>; 3]>, SmallVec<[Axes; 2]>) = given.unzip();
        let operands = vars.iter().map(|v| v.id_on(tape)).collect();
        return Some(Var::node(tape, assemble(tape, operands, offsets, node.shape.clone())));
    }
    let id = tangents[0]?.id_on(tape);
    Some(match &node.prim {
        Prim::Sum(axes) => sum(tape, id, axes),
        Prim::SumLanes(axes, lanes) => Var::node(tape, sum_lanes(tape, id, axes.clone(), *lanes)),
        Prim::Broadcast(axes) => Var::node(tape, broadcast_axes(tape, id, axes.clone(), node.shape.clone())),
        Prim::Reshape => Var::node(tape, reshape(tape, id, node.shape.clone())),
        Prim::Permute(perm) => Var::node(tape, permute(tape, id, perm.clone())),
        Prim::Slice(starts) => Var::node(tape, slice(tape, id, starts.clone(), node.shape.clone())),
        other => unreachable!("{} is not structural", other.name()),
    })
}

pub(super) fn transpose<'t>(tape: &'t Tape, node: &Node, linear: &[bool], ct: Var<'t>) -> Cotangents<'t> {
    let id = ct.id_on(tape);
    let operand = shape_of(tape, node.operands[0]);
    let to_operand = match &node.prim {
        Prim::Broadcast(axes) => sum(tape, id, axes).id_on(tape),
        Prim::Sum(axes) => broadcast_axes(tape, id, axes.clone(), operand),
        Prim::SumLanes(axes, lanes) => {
            let apart = lanes_apart(&operand, *lanes);
            let kept = apart.without(axes);
            let repeated = broadcast_axes(tape, reshape(tape, id, kept), axes.clone(), apart);
            reshape(tape, repeated, operand)
        }
        Prim::Reshape => reshape(tape, id, operand),
        Prim::Permute(perm) => permute(tape, id, inverse(perm)),
        Prim::Slice(starts) => assemble(tape, smallvec![id], smallvec![starts.clone()], operand),
        Prim::Assemble(offsets) => {
            return (0..offsets.len())
                .filter(|&i| linear[i])
                .map(|i| {
                    let piece = shape_of(tape, node.operands[i]);
                    (i, Var::node(tape, slice(tape, id, offsets[i].clone(), piece)))
                })
                .collect();
        }
        other => unreachable!("{} is not structural", other.name()),
    };
    smallvec![(0, Var::node(tape, to_operand))]
}
