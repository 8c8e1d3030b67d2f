//! The primitives: how each is recorded, and its derivative, said once as a *tangent rule*.
//!
//! [`tangent`] gives the tangent of a node from the tangents of its operands. That program is linear in
//! the tangents, and [`transpose`] knows how each linear primitive sends a cotangent back. Reverse mode
//! needs nothing else (see [`crate::transform`]).
//!
//! [`batch`] says what each primitive is with one more axis in front, [`lanes`] with one more behind, for `vmap`.
//!
//! | file | primitives | tangent | transpose |
//! |---|---|---|---|
//! | [`elementwise`] | the rules of [`crate::rules`], comparisons, select | the rule, recorded | a product with the coefficient |
//! | [`structure`] | broadcast, sum, reshape, permute, slice, assemble | the same, of the tangent | each other |
//! | [`product`] | matmul, conv2d | both product rules | the other faces of the trilinear form |
//! | [`index`] | gather, scatter-add, arg max, one-hot | the same, of the tangent | each other |
//!
//! [`shaping`] is what users write of `structure`.

mod batch;
mod elementwise;
mod index;
mod lanes;
mod product;
mod shaping;
mod structure;

use smallvec::SmallVec;

pub(crate) use batch::{Operand, batch, whole};
pub(crate) use lanes::{as_lanes, from_lanes, lanes};

use crate::tape::{Node, Prim, Tape, Var};

/// Cotangents for the operands with the given positions.
pub(crate) type Cotangents<'t> = SmallVec<[(usize, Var<'t>); 2]>;

/// The tangent of `y`, recorded as `node`, given its operands' tangents; `None` is a structural zero.
pub(crate) fn tangent<'t>(tape: &'t Tape, y: Var<'t>, node: &Node, tangents: &[Option<Var<'t>>]) -> Option<Var<'t>> {
    if tangents.iter().all(Option::is_none) {
        return None;
    }
    let operand = |i: usize| Var::node(tape, node.operands[i]);
    match &node.prim {
        Prim::Input(_) | Prim::Seed(_) | Prim::Literal(_) => None,
        Prim::Compare(_) | Prim::StopGradient | Prim::ArgMax(_) | Prim::OneHot => None,
        // The same value, so the same tangent: unless it is one of the variables, and then this is not asked.
        Prim::Cut(_) | Prim::Defer(_) => tangents[0],
        Prim::Unary(op) => Some(elementwise::unary_tangent(*op, operand(0), y, tangents[0]?)),
        Prim::Binary(op) => elementwise::binary_tangent(*op, operand(0), operand(1), y, tangents[0], tangents[1]),
        Prim::Select => Some(elementwise::select_tangent(node, tape, tangents[1], tangents[2])),
        Prim::Broadcast(_)
        | Prim::Sum(_)
        | Prim::SumLanes(..)
        | Prim::Reshape
        | Prim::Permute(_)
        | Prim::Slice(_)
        | Prim::Assemble(_) => structure::tangent(tape, node, tangents),
        Prim::MatMul { .. } | Prim::MatMulLanes(_) | Prim::Conv(..) => product::tangent(tape, node, tangents),
        Prim::Gather | Prim::ScatterAdd => index::tangent(tape, node, tangents[0]?),
    }
}

/// What the linear primitive `node` sends back to the operands marked in `linear` when its result's
/// cotangent is `ct`: ⟨ct, node(x)⟩ = ⟨transpose(ct), x⟩ for all x.
pub(crate) fn transpose<'t>(tape: &'t Tape, node: &Node, linear: &[bool], ct: Var<'t>) -> Cotangents<'t> {
    match &node.prim {
        Prim::Unary(_) | Prim::Binary(_) | Prim::Select => elementwise::transpose(tape, node, linear, ct),
        Prim::Broadcast(_)
        | Prim::Sum(_)
        | Prim::SumLanes(..)
        | Prim::Reshape
        | Prim::Permute(_)
        | Prim::Slice(_)
        | Prim::Assemble(_) => structure::transpose(tape, node, linear, ct),
        Prim::MatMul { .. } | Prim::MatMulLanes(_) | Prim::Conv(..) => product::transpose(tape, node, linear, ct),
        Prim::Gather | Prim::ScatterAdd => index::transpose(tape, node, ct),
        other => unreachable!("{} is never part of a linear program", other.name()),
    }
}

/// Adds what may be structurally zero.
pub(crate) fn sum_of<'t>(a: Option<Var<'t>>, b: Option<Var<'t>>) -> Option<Var<'t>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    }
}

/// Adds the cotangents that two readers of a value send back.
pub(crate) fn add_cotangents<'t>(x: Var<'t>, y: Var<'t>) -> Var<'t> {
    structure::add_cotangents(x, y)
}
