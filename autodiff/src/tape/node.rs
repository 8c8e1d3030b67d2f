//! What one line of the tape says.

use std::fmt;

use smallvec::SmallVec;

use crate::kernel::ConvGeometry;
use crate::rules::{BinaryOp, CompareOp, UnaryOp};
use crate::shape::{Axes, Shape};

/// How often an input changes: the earlier the stage, the rarer.
///
/// Every node belongs to the earliest stage that has all it needs, and each stage of a
/// [`Plan`](crate::Plan) is run alone, so that whatever does not depend on the direction is computed
/// once per point, and whatever does not depend on the point once per task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stage(u8);

impl Stage {
    /// Task data, and whatever else stays while a task is worked on.
    pub const DATA: Stage = Stage(0);
    /// The point φ at which derivatives are taken.
    pub const POINT: Stage = Stage(1);
    /// The direction v of a derivative at that point.
    pub const DIRECTION: Stage = Stage(2);
    /// The solution of a linear system at that point, asked for once: what is wanted of it need not be
    /// computed for every direction that the solver tries.
    pub const ADJOINT: Stage = Stage(3);
    /// All, in order.
    pub const ALL: [Stage; Self::COUNT] = [Stage::DATA, Stage::POINT, Stage::DIRECTION, Stage::ADJOINT];
    /// How many there are.
    pub const COUNT: usize = 4;

    pub(crate) fn number(self) -> u8 {
        self.0
    }

    /// Its position in [`ALL`](Stage::ALL).
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Stage::DATA => "data",
            Stage::POINT => "point",
            Stage::DIRECTION => "direction",
            _ => "adjoint",
        })
    }
}

/// Position of a node on its tape; operands come before their results.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub u32);

impl NodeId {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}

pub(crate) type Operands = SmallVec<[NodeId; 3]>;

/// What a node's elements are. Only floats carry tangents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Float,
    Mask,
    /// Each below `bound`.
    Index {
        bound: usize,
    },
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub prim: Prim,
    pub operands: Operands,
    pub shape: Shape,
    pub kind: Kind,
}

#[derive(Clone)]
pub(crate) struct InputSpec {
    pub name: String,
    pub shape: Shape,
    pub stage: Stage,
    pub kind: Kind,
}

/// The primitives. What each computes and how it differentiates is said in [`crate::prim`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Prim {
    /// A declared input.
    Input(u32),
    /// A tangent yet to be named; see [`crate::transform`].
    Seed(u32),
    /// A number, by its bits, so that nodes can be hashed.
    Literal(u64),

    Unary(UnaryOp),
    Binary(BinaryOp),
    Compare(CompareOp),
    /// (mask, yes, no)
    Select,
    /// The same value, no tangent.
    StopGradient,
    /// The same value, as a variable of its own: numbered, so that no two are one node, and no rewrite looks
    /// through it.
    Cut(u32),
    /// The same value, of this stage at the earliest: what is made of it is computed there.
    Defer(Stage),

    /// Inserts `axes` (positions in the result), repeating the operand along them. Transpose of [`Prim::Sum`].
    Broadcast(Axes),
    /// Sums over `axes` and drops them.
    Sum(Axes),
    /// The same of a tensor whose last axis counts through so many lanes: over `axes`, but not over lanes.
    SumLanes(Axes, usize),
    /// The same elements in row-major order under another shape.
    Reshape,
    /// Axis i of the result is axis `perm[i]` of the operand.
    Permute(Axes),
    /// The box that starts at these offsets; its extents are the node's shape. Transpose of [`Prim::Assemble`].
    Slice(Axes),
    /// Disjoint boxes in a tensor of zeros, operand i at offset i: pad and concatenation in one.
    Assemble(SmallVec<[Axes; 2]>),

    /// op(A)·B over the last two axes, leading axes a batch; a factor without them is the same for all.
    MatMul {
        trans_a: bool,
    },
    /// op(A)·op(B) in every lane.
    MatMulLanes(MatMulLanes),
    Conv(ConvFace, ConvGeometry),

    /// Flat index of the first maximum of each window.
    ArgMax(Windows),
    /// Index → 1 at that position of a new last axis, 0 elsewhere.
    OneHot,
    /// (table [m, …], indices) → table rows at the indices.
    Gather,
    /// (rows, indices) → a table of zeros to whose rows they are added.
    ScatterAdd,
}

/// Products side by side. Matrices have their lanes innermost: [m, k·count]; a shared one has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct MatMulLanes {
    pub count: usize,
    pub trans_a: bool,
    pub trans_b: bool,
    pub shared_a: bool,
    pub shared_b: bool,
}

/// The three faces of the trilinear form ⟨y, conv(x, w)⟩.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConvFace {
    /// (x, w) ↦ y, w as [kh, kw, in, out]
    Forward,
    /// (wᵀ, y) ↦ x, wᵀ as [kh, kw, out, in]: the layout its kernel reads, so that the transposition is
    /// a node of its own and hoisted to the stage of the weights
    InputGrad,
    /// (x, y) ↦ w
    WeightGrad,
}

/// A family of windows on a tensor: window number i (row-major over `outer`) looks at the elements
/// Σ i·`outer_strides` + Σ j·`inner_strides`, j row-major over `inner`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub struct Windows {
    pub outer: Axes,
    pub outer_strides: Axes,
    pub inner: Axes,
    pub inner_strides: Axes,
}

impl Prim {
    /// Whether one element of the result needs just the same element of each operand.
    pub fn is_elementwise(&self) -> bool {
        matches!(self, Prim::Unary(_) | Prim::Binary(_) | Prim::Compare(_) | Prim::Select)
    }

    /// Whether the result is the operand's elements in their order.
    pub fn is_alias(&self) -> bool {
        matches!(self, Prim::Reshape | Prim::StopGradient | Prim::Cut(_) | Prim::Defer(_))
    }

    /// Whether it is a sum.
    pub fn is_sum(&self) -> bool {
        matches!(self, Prim::Sum(_) | Prim::SumLanes(..))
    }

    /// The names of all that are no rule, for the test that none is left unchecked. A new primitive needs a name
    /// below, and belongs here.
    #[cfg(test)]
    pub const NAMES: &[&str] = &[
        "input",
        "seed",
        "literal",
        "less",
        "less_equal",
        "select",
        "stop_gradient",
        "cut",
        "defer",
        "broadcast",
        "sum",
        "sum_lanes",
        "reshape",
        "permute",
        "slice",
        "assemble",
        "matmul",
        "matmul_lanes",
        "conv2d",
        "conv2d_input_grad",
        "conv2d_weight_grad",
        "arg_max",
        "one_hot",
        "gather",
        "scatter_add",
    ];

    pub fn name(&self) -> &'static str {
        match self {
            Prim::Input(_) => "input",
            Prim::Seed(_) => "seed",
            Prim::Literal(_) => "literal",
            Prim::Unary(op) => op.name(),
            Prim::Binary(op) => op.name(),
            Prim::Compare(CompareOp::Less) => "less",
            Prim::Compare(CompareOp::LessEqual) => "less_equal",
            Prim::Select => "select",
            Prim::StopGradient => "stop_gradient",
            Prim::Cut(_) => "cut",
            Prim::Defer(_) => "defer",
            Prim::Broadcast(_) => "broadcast",
            Prim::Sum(_) => "sum",
            Prim::SumLanes(..) => "sum_lanes",
            Prim::Reshape => "reshape",
            Prim::Permute(_) => "permute",
            Prim::Slice(_) => "slice",
            Prim::Assemble(_) => "assemble",
            Prim::MatMul { .. } => "matmul",
            Prim::MatMulLanes(_) => "matmul_lanes",
            Prim::Conv(ConvFace::Forward, _) => "conv2d",
            Prim::Conv(ConvFace::InputGrad, _) => "conv2d_input_grad",
            Prim::Conv(ConvFace::WeightGrad, _) => "conv2d_weight_grad",
            Prim::ArgMax(_) => "arg_max",
            Prim::OneHot => "one_hot",
            Prim::Gather => "gather",
            Prim::ScatterAdd => "scatter_add",
        }
    }
}
