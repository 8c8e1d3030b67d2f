//! Batching: one program for many values of its variables.

use crate::prim::{self, Operand};
use crate::shape::Shape;
use crate::tape::{Indices, NodeId, Prim, Tape, Var};

/// Where a batch has its axis.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Axis {
    Front,
    Lanes,
}

/// A variable and its batch.
#[derive(Clone, Copy, Debug)]
pub enum Batched<'t> {
    /// A variable of shape S, and what holds its values: [b, S], or [S, b] in lanes.
    Values(Var<'t>, Var<'t>),
    /// The same of indices: [b, S].
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
/// Where a batch has not the shape [b, S] of its variable's shape S, that is neither an input nor a [`Var::cut`], a value
/// would have more than 12 axes, or indices with tables of their own get a second batch.
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
    along(Axis::Front, outputs, over)
}

/// [`vmap`] with the axis behind: each output for every value in a batch, as [shape of yᵢ, b].
///
/// The members of the batch are the lanes of vectors: what is made of small matrices, too small to fill vectors, runs
/// as fast as large ones would, b a multiple of the vector's lanes. Memory grows with b; large products gain nothing.
/// The bits are those of each member alone here, too.
///
/// # Panics
/// Where a batch has not the shape [S, b] of its variable's shape S (of indices [b, S]), or that is neither an input nor a
/// [`Var::cut`].
///
/// # Example
/// ```
/// use autodiff::{Batched, Plan, Real, Stage, Tape, hvp, vmap_lanes};
/// let tape = Tape::new();
/// let x = tape.input("x", [2], Stage::POINT);
/// let v = tape.input("v", [2], Stage::DIRECTION);
/// let product = hvp(x.powi(3).sum_all(), &[x], &[(x, v)])[0];
/// // Three directions at one point: (1, 0), (0, 1), (1, 1).
/// let vs = tape.input("vs", [2, 3], Stage::DIRECTION);
/// let products = vmap_lanes(&[product], &[Batched::Values(v, vs)])[0];
/// let plan: Plan<f64> = Plan::compile(&tape, &[products]);
/// let all = plan.evaluate(&[&[2.0, 3.0], &[], &[1.0, 0.0, 1.0, 0.0, 1.0, 1.0]]);
/// assert_eq!(all[0], [12.0, 0.0, 12.0, 0.0, 18.0, 18.0]);
/// ```
#[track_caller]
pub fn vmap_lanes<'t>(outputs: &[Var<'t>], over: &[Batched<'t>]) -> Vec<Var<'t>> {
    along(Axis::Lanes, outputs, over)
}

#[track_caller]
fn along<'t>(axis: Axis, outputs: &[Var<'t>], over: &[Batched<'t>]) -> Vec<Var<'t>> {
    let Some(&first) = over.first() else { panic!("vmap: over no variable") };
    let at_end = |shape: Shape, last: bool| {
        let dims = shape.dims();
        if last { dims.last().copied() } else { dims.first().copied() }
    };
    let (tape, size) = match first {
        Batched::Values(_, xs) => (xs.tape(), at_end(xs.shape(), axis == Axis::Lanes)),
        Batched::Indices(_, xs) => (Some(xs.tape), at_end(xs.shape(), false)),
    };
    let (Some(tape), Some(size)) = (tape, size) else { panic!("vmap: a batch has an axis to run along") };
    let mut ids: Vec<NodeId> = Vec::with_capacity(outputs.len());
    for y in outputs {
        ids.push(y.id_on(tape));
    }
    let len = ids.iter().map(|id| id.index() + 1).max().unwrap_or(0);
    let mut batched: Vec<Option<Operand>> = vec![None; len];
    for &pair in over {
        let (x, xs, in_lanes) = match pair {
            Batched::Values(x, xs) => (x.id_on(tape), xs.id_on(tape), axis == Axis::Lanes),
            Batched::Indices(x, xs) => (x.id, xs.id, false),
        };
        let opaque = matches!(pair, Batched::Indices(..)) || super::jvp::is_opaque(tape, x);
        assert!(opaque, "vmap: a batch takes the place of an input, or of a value made a variable by Var::cut");
        let (one, all) = (tape.get(x).shape, tape.get(xs).shape);
        let of_one = if in_lanes { all.dims().split_last() } else { all.dims().split_first() };
        assert!(of_one == Some((&size, one.dims())), "vmap: a batch of {size} of {one} is not {all}");
        if let Some(slot) = batched.get_mut(x.index()) {
            *slot = Some(if in_lanes { prim::as_lanes(tape, xs, &one, size) } else { Operand::each(xs) });
        }
    }
    rewrite(tape, &ids, axis, size, &mut batched);
    let result = |&id: &NodeId| {
        let operand = batched[id.index()].expect("visited");
        Var::node(
            tape,
            match axis {
                Axis::Front => prim::whole(tape, operand, size),
                Axis::Lanes => prim::from_lanes(tape, operand, &tape.get(id).shape, size),
            },
        )
    };
    ids.iter().map(result).collect()
}

/// Fills `batched` for whatever the outputs depend on.
#[track_caller]
fn rewrite(tape: &Tape, outputs: &[NodeId], axis: Axis, size: usize, batched: &mut [Option<Operand>]) {
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
        batched[i] = Some(match (&node.prim, shared, axis) {
            (_, true, _) => Operand::shared(id),
            // Derivatives have been taken: nothing needs it opaque any more.
            (Prim::Cut(_), ..) => operands[0],
            (_, _, Axis::Front) => prim::batch(tape, &node, &operands, size),
            (_, _, Axis::Lanes) => {
                let shapes: Vec<Shape> = node.operands.iter().map(|&o| tape.get(o).shape).collect();
                prim::lanes(tape, &node, &operands, &shapes, size)
            }
        });
    }
}
