//! Forward mode: propagate tangents through the nodes between the variables and the outputs.

use crate::prim;
use crate::tape::{Node, NodeId, Prim, Tape, Var};

/// ẏ = Σⱼ ∂y/∂xⱼ ẋⱼ for each output y: the Jacobian times a direction.
///
/// `along` pairs variables with their tangents. An output that does not depend on them has a tangent of
/// zeros.
///
/// # Panics
/// Where a tangent has another shape than its variable.
#[track_caller]
pub fn jvp<'t>(outputs: &[Var<'t>], along: &[(Var<'t>, Var<'t>)]) -> Vec<Var<'t>> {
    let tangents = jvp_structural(outputs, along);
    let other = |y: &Var<'t>| along.first().map_or(*y, |&(x, _)| x);
    outputs.iter().zip(tangents).map(|(y, t)| t.unwrap_or_else(|| zeros(*y, other(y)))).collect()
}

/// [`jvp`] that tells structural zeros: `None` where an output does not depend on the variables at all.
///
/// # Panics
/// As [`jvp`].
#[track_caller]
pub fn jvp_structural<'t>(outputs: &[Var<'t>], along: &[(Var<'t>, Var<'t>)]) -> Vec<Option<Var<'t>>> {
    for (x, dx) in along {
        assert_eq!(x.shape(), dx.shape(), "jvp: variable and tangent differ in shape");
    }
    tangents(outputs, along)
}

/// A tensor of zeros shaped like `like`, on the tape of either.
pub(super) fn zeros<'t>(like: Var<'t>, other: Var<'t>) -> Var<'t> {
    let tape = like.tape().or(other.tape()).expect("one differentiates with respect to recorded variables");
    Var::full(tape, 0.0, like.shape())
}

/// The node of something one may differentiate with respect to.
#[track_caller]
pub(super) fn variable<'t>(tape: &'t Tape, x: Var<'t>) -> NodeId {
    let id = x.id_on(tape);
    let opaque = is_opaque(tape, id);
    assert!(opaque, "a derivative is taken with respect to an input, or a value made a variable by Var::cut");
    id
}

/// Whether recording never looks through the node, so that all that is made of it depends on it.
pub(super) fn is_opaque(tape: &Tape, id: NodeId) -> bool {
    tape.read(|g| matches!(g.nodes[id.index()].prim, Prim::Input(_) | Prim::Seed(_) | Prim::Cut(_)))
}

/// The tangents of `outputs`, structural zeros as `None`.
#[track_caller]
pub(super) fn tangents<'t>(outputs: &[Var<'t>], along: &[(Var<'t>, Var<'t>)]) -> Vec<Option<Var<'t>>> {
    let Some(tape) = along.iter().find_map(|(x, _)| x.tape()) else { return vec![None; outputs.len()] };
    let mut ids: Vec<Option<NodeId>> = Vec::with_capacity(outputs.len());
    for y in outputs {
        ids.push(y.tape().map(|_| y.id_on(tape)));
    }
    let Some(last) = ids.iter().flatten().max() else { return vec![None; outputs.len()] };

    let mut tangent: Vec<Option<Var<'t>>> = vec![None; last.index() + 1];
    let mut cut = vec![false; last.index() + 1];
    let mut first = last.index() + 1;
    for (x, dx) in along {
        let id = variable(tape, *x).index();
        first = first.min(id);
        if let Some(slot) = tangent.get_mut(id) {
            // The same variable twice moves by both.
            *slot = prim::sum_of(*slot, Some(*dx));
            cut[id] = true;
        }
    }
    let needed = ancestors(tape, ids.iter().flatten().copied(), last.index() + 1);
    for i in first..=last.index() {
        if !needed[i] || cut[i] {
            continue;
        }
        let id = NodeId(i as u32);
        // Most nodes are not active: look before cloning.
        if !tape.read(|g| g.nodes[i].operands.iter().any(|o| tangent[o.index()].is_some())) {
            continue;
        }
        let node: Node = tape.get(id);
        let operands: Vec<_> = node.operands.iter().map(|o| tangent[o.index()]).collect();
        tangent[i] = prim::tangent(tape, Var::node(tape, id), &node, &operands);
    }
    ids.into_iter().map(|id| tangent[id?.index()]).collect()
}

/// Which of the first `len` nodes the given ones depend on, themselves included.
pub(crate) fn ancestors(tape: &Tape, of: impl Iterator<Item = NodeId>, len: usize) -> Vec<bool> {
    let mut needed = vec![false; len];
    for id in of {
        needed[id.index()] = true;
    }
    tape.read(|g| {
        for i in (0..len).rev() {
            if needed[i] {
                for operand in &g.nodes[i].operands {
                    needed[operand.index()] = true;
                }
            }
        }
    });
    needed
}
