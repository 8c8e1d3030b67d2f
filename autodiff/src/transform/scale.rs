//! Scalar factors, taken out of what they multiply.

use crate::real::Real;
use crate::rules::{BinaryOp, UnaryOp};
use crate::tape::{Node, NodeId, Prim, Tape, Var};

impl<'t> Var<'t> {
    /// (c, x) with self = c·x, where c is the product of all scalars that self was made by multiplying with, last; 1 where
    /// there are none.
    ///
    /// What is linear in self may then be taken of x, and multiplied by c at the end: J(c·x) = c·(J x). That is one pass
    /// over a vector less where the end has one anyway, as in v − α·H v. What J x overflows in is then no longer finite, however
    /// small c is.
    ///
    /// # Example
    /// ```
    /// use autodiff::{Plan, Real, Stage, Tape};
    /// let tape = Tape::new();
    /// let (rate, v) = (tape.input("rate", [], Stage::POINT), tape.input("v", [2], Stage::POINT));
    /// let (scale, rest) = (-(rate * v)).split_scale();
    /// let plan: Plan<f64> = Plan::compile(&tape, &[scale, rest]);
    /// assert_eq!(plan.evaluate(&[&[0.5], &[1.0, 2.0]]), [vec![-0.5], vec![1.0, 2.0]]);
    /// ```
    pub fn split_scale(self) -> (Var<'t>, Var<'t>) {
        let (mut scale, mut rest) = (Var::one(), self);
        while let Some((tape, _, node)) = rest.parts() {
            match node.prim {
                Prim::Unary(UnaryOp::Neg) => {
                    (scale, rest) = (-scale, Var::node(tape, node.operands[0]));
                }
                Prim::Binary(BinaryOp::Mul) => {
                    let [a, b] = [node.operands[0], node.operands[1]];
                    let Some((factor, other)) =
                        scalar(tape, a).map(|s| (s, b)).or_else(|| scalar(tape, b).map(|s| (s, a)))
                    else {
                        break;
                    };
                    (scale, rest) = (scale * factor, Var::node(tape, other));
                }
                _ => break,
            }
        }
        (scale, rest)
    }
}

/// The scalar that a node repeats everywhere.
fn scalar(tape: &Tape, id: NodeId) -> Option<Var<'_>> {
    let Node { prim: Prim::Broadcast(_), operands, .. } = tape.get(id) else { return None };
    let one = Var::node(tape, operands[0]);
    (one.shape().numel() == 1).then(|| one.reshape([]))
}
