//! Sums of two products, as tangents of products are: the second is added to where the first is.
//!
//! ```text
//! C ← A₁B₁,   C ← C + A₂B₂      instead of      P ← A₁B₁,   Q ← A₂B₂,   C ← P + Q
//! ```
//!
//! A pass over memory less, and the bits of before: what is added last is the whole second product.

use std::borrow::Cow;

use crate::rules::BinaryOp;
use crate::tape::{ConvFace, Node, NodeId, Prim, Stage};

/// The nodes with each such sum replaced by its second product, of which the first has become the last operand.
pub(super) fn products<'a>(nodes: &'a [Node], stages: &[Stage], outputs: &[NodeId]) -> Cow<'a, [Node]> {
    let len = outputs.iter().map(|id| id.index() + 1).max().unwrap_or(0);
    // How often each node is read by what the outputs need.
    let mut reads = vec![0_usize; len];
    for id in outputs {
        reads[id.index()] += 1;
    }
    for i in (0..len).rev() {
        if reads[i] > 0 {
            nodes[i].operands.iter().for_each(|o| reads[o.index()] += 1);
        }
    }
    let mut new = Cow::Borrowed(nodes);
    for i in 0..len {
        let &[a, b] = &nodes[i].operands[..] else { continue };
        if reads[i] == 0 || nodes[i].prim != Prim::Binary(BinaryOp::Add) || a == b {
            continue;
        }
        // A product that nothing else reads, behind what only gives it another shape.
        let product = |mut id: NodeId| loop {
            let node = &new[id.index()];
            match node.prim {
                _ if reads[id.index()] != 1 || stages[id.index()] != stages[i] => return None,
                Prim::Reshape => id = node.operands[0],
                Prim::MatMul { .. } | Prim::MatMulLanes(_) | Prim::Conv(..) => return Some(id),
                _ => return None,
            }
        };
        let (Some(a), Some(b)) = (product(a), product(b)) else { continue };
        let (first, second) = (a.min(b), a.max(b));
        // One that already adds something does not add another thing; it may be added. A weight gradient that adds up blocks
        // of pixels where it writes would add each of them.
        let Node { prim, operands, .. } = &new[second.index()];
        let whole = match prim {
            Prim::Conv(ConvFace::WeightGrad, geometry) => geometry.weight_grad_in_one(),
            _ => true,
        };
        if operands.len() == 2 && whole {
            let new = new.to_mut();
            new[second.index()].operands.push(first);
            new[i].prim = Prim::Reshape;
            new[i].operands = std::iter::once(second).collect();
        }
    }
    new
}
