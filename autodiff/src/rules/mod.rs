//! The derivative rules: each elementwise primitive says once, in one line, what it does to a dual
//! number, generic over [`Real`](crate::Real).
//!
//! Evaluated on floats the same line is the kernel, on [`Dual`](crate::Dual) it is forward mode, on
//! [`Var`](crate::Var) it records the derivative on the tape, where it can be differentiated again.
//!
//! **Kinks.** relu′(0) = 0; |·|′(0) = 0; at a tie of `max` or `min` the derivative goes to the first
//! operand. A maximum over axes or windows gives the derivative to the first maximum in row-major
//! (window) order, as PyTorch does; a NaN counts as the maximum, so that none is hidden.

mod binary;
mod unary;

pub use binary::{Binary, BinaryOp, BinaryVisitor};
pub(crate) use unary::for_each_unary;
pub use unary::{Powi, Unary, UnaryOp, UnaryVisitor};

pub(crate) mod ops {
    pub use super::binary::*;
    pub use super::unary::*;
}

/// A comparison; its value is a mask, which carries no tangent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// x < y
    Less,
    /// x ≤ y
    LessEqual,
}
