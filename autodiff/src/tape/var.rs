//! Handles to nodes. They are `Copy`; what one can do with them is said in [`crate::prim`].

use std::fmt;

use super::{Kind, Node, NodeId, Operands, Prim, Tape};
use crate::shape::Shape;

/// A float tensor on a tape, or a literal number, which needs none.
///
/// Arithmetic broadcasts as in NumPy: shapes are aligned at the last axis and an extent of 1 stretches.
#[derive(Clone, Copy)]
pub struct Var<'t>(pub(crate) Repr<'t>);

#[derive(Clone, Copy)]
pub(crate) enum Repr<'t> {
    Node(&'t Tape, NodeId),
    Literal(f64),
}

/// The outcome of a comparison of [`Var`]s.
#[derive(Clone, Copy)]
pub struct Mask<'t>(pub(crate) MaskRepr<'t>);

#[derive(Clone, Copy)]
pub(crate) enum MaskRepr<'t> {
    Node(&'t Tape, NodeId),
    Literal(bool),
}

/// A tensor of indices on a tape.
#[derive(Clone, Copy)]
pub struct Indices<'t> {
    pub(crate) tape: &'t Tape,
    pub(crate) id: NodeId,
}

impl<'t> Var<'t> {
    pub(crate) fn node(tape: &'t Tape, id: NodeId) -> Self {
        Var(Repr::Node(tape, id))
    }

    /// The node, recording a literal as a node of `tape`.
    #[track_caller]
    pub(crate) fn id_on(self, tape: &'t Tape) -> NodeId {
        match self.0 {
            Repr::Node(own, id) => {
                assert!(std::ptr::eq(own, tape), "two operands live on different tapes");
                id
            }
            Repr::Literal(value) => tape.intern(Node {
                prim: Prim::Literal(value.to_bits()),
                operands: Operands::new(),
                shape: Shape::scalar(),
                kind: Kind::Float,
            }),
        }
    }

    pub(crate) fn tape(self) -> Option<&'t Tape> {
        match self.0 {
            Repr::Node(tape, _) => Some(tape),
            Repr::Literal(_) => None,
        }
    }

    pub(crate) fn literal(self) -> Option<f64> {
        match self.0 {
            Repr::Node(tape, id) => tape.read(|g| match g.nodes[id.index()].prim {
                Prim::Literal(bits) => Some(f64::from_bits(bits)),
                _ => None,
            }),
            Repr::Literal(value) => Some(value),
        }
    }

    /// The node behind the handle, unless it is a literal.
    pub(crate) fn parts(self) -> Option<(&'t Tape, NodeId, Node)> {
        match self.0 {
            Repr::Node(tape, id) => Some((tape, id, tape.get(id))),
            Repr::Literal(_) => None,
        }
    }

    pub(crate) fn parts_id(self) -> Option<NodeId> {
        match self.0 {
            Repr::Node(_, id) => Some(id),
            Repr::Literal(_) => None,
        }
    }

    /// Its shape; a literal's is `[]`.
    pub fn shape(self) -> Shape {
        match self.0 {
            Repr::Node(tape, id) => tape.read(|g| g.nodes[id.index()].shape.clone()),
            Repr::Literal(_) => Shape::scalar(),
        }
    }
}

impl Indices<'_> {
    /// Its shape.
    pub fn shape(self) -> Shape {
        self.tape.read(|g| g.nodes[self.id.index()].shape.clone())
    }

    /// Every index is below this.
    pub fn bound(self) -> usize {
        match self.tape.read(|g| g.nodes[self.id.index()].kind) {
            Kind::Index { bound } => bound,
            _ => unreachable!("an Indices handle points at an index node"),
        }
    }
}

impl fmt::Debug for Indices<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{} below {}", self.id, self.shape(), self.bound())
    }
}

impl fmt::Debug for Var<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Repr::Node(_, id) => write!(f, "{id:?}{}", self.shape()),
            Repr::Literal(value) => write!(f, "{value}"),
        }
    }
}
