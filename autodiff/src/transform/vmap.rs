//! Batching: one program for many values of its variables.

use crate::prim::{self, Operand};
use crate::tape::{Indices, NodeId, Prim, Tape, Var};

/// A variable and its batch.
#[derive(Clone, Copy, Debug)]
pub enum Batched<'t> {
    /// A variable of shape S, and what holds its values: [b, S].
    Values(Var<'t>, Var<'t>),
    /// The same of indices.
    Indices(Indices<'t>, Indices<'t>),
}

/// yᵢ(x₀), yᵢ(x₁), …: each output for every value in a batch, as [b, shape of yᵢ].
///
/// `over` pairs variables with batches of the same b; everything else is shared. The program is rewritten operation by
/// operation with one more axis, in front: elementwise passes become longer, products batched, and what depends on no
/// batch stays as it is. Every number is computed in the order in which the unbatched program computes it, so the
/// bits are the same. It comes after derivatives: `vmap` of a gradient is a batch of gradients.
///
/// # Panics
/// Where a batch has not the shape [b, S] of its variable's shape S.
///
/// # Example
/// ```
/// use autodiff::{Batched, Plan, Real, Stage, Tape, grad, vmap};
/// let tape = Tape::new();
/// let x = tape.input("x", [2], Stage::POINT);
/// let gradient = grad(x.powi(3).sum_all(), &[x])[0];
/// let xs = tape.input("xs", [3, 2], Stage::POINT);
/// let gradients = vmap(&[gradient], &[Batched::Values(x, xs)])[0];
/// let plan: Plan<f64> = Plan::compile(&tape, &[gradients]);
/// assert_eq!(plan.evaluate(&[&[], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])[0], [3.0, 12.0, 27.0, 48.0, 75.0, 108.0]);
/// ```
#[track_caller]
pub fn vmap<'t>(outputs: &[Var<'t>], over: &[Batched<'t>]) -> Vec<Var<'t>> {
    let Some(&first) = over.first() else { panic!("vmap: over no variable") };
    let (tape, size) = match first {
        Batched::Values(_, xs) => (xs.tape(), xs.shape().dims().first().copied()),
        Batched::Indices(_, xs) => (Some(xs.tape), xs.shape().dims().first().copied()),
    };
    let (Some(tape), Some(size)) = (tape, size) else { panic!("vmap: a batch has an axis to run along") };
    let mut ids: Vec<NodeId> = Vec::with_capacity(outputs.len());
    for y in outputs {
        ids.push(y.id_on(tape));
    }
    let len = ids.iter().map(|id| id.index() + 1).max().unwrap_or(0);
    let mut batched: Vec<Option<Operand>> = vec![None; len];
    for &pair in over {
        let (x, xs) = match pair {
            Batched::Values(x, xs) => (x.id_on(tape), xs.id_on(tape)),
            Batched::Indices(x, xs) => (x.id, xs.id),
        };
        let (one, all) = (tape.get(x).shape, tape.get(xs).shape);
        assert!(all.dims().split_first() == Some((&size, one.dims())), "vmap: a batch of {size} of {one} is not {all}");
        if let Some(slot) = batched.get_mut(x.index()) {
            *slot = Some(Operand::each(xs));
        }
    }
    rewrite(tape, &ids, size, &mut batched);
    let whole = |id: &NodeId| Var::node(tape, prim::whole(tape, batched[id.index()].expect("visited"), size));
    ids.iter().map(whole).collect()
}

/// Fills `batched` for whatever the outputs depend on.
#[track_caller]
fn rewrite(tape: &Tape, outputs: &[NodeId], size: usize, batched: &mut [Option<Operand>]) {
    let needed = super::jvp::ancestors(tape, outputs.iter().copied(), batched.len());
    for i in 0..batched.len() {
        if !needed[i] || batched[i].is_some() {
            continue;
        }
        let id = NodeId(i as u32);
        let node = tape.get(id);
        let operands: Vec<Operand> =
            node.operands.iter().map(|o| batched[o.index()].expect("operands come first")).collect();
        let shared = operands.iter().all(|o| !o.is_batched());
        batched[i] = Some(match (&node.prim, shared) {
            (_, true) => Operand::shared(id),
            // Derivatives have been taken: nothing needs it opaque any more.
            (Prim::Cut(_), false) => operands[0],
            (_, false) => prim::batch(tape, &node, &operands, size),
        });
    }
}
