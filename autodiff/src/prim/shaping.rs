//! What a user writes to move, repeat or add elements: the methods that record the primitives of [`structure`].

use smallvec::{SmallVec, smallvec};

use super::structure::{assemble, broadcast_to, permute, plain_sum, reshape, slice};
use crate::real::Real;
use crate::shape::{Axes, Shape};
use crate::tape::{NodeId, Operands, Repr, Stage, Tape, Var};

/// Concatenation along an existing axis.
///
/// # Panics
/// Where `parts` is empty or holds a literal, or extents differ on another axis.
#[track_caller]
fn concat<'t>(parts: &[Var<'t>], axis: usize) -> Var<'t> {
    let tape = parts.iter().find_map(|v| v.tape()).expect("concat: needs at least one recorded operand");
    let first = parts[0].shape();
    assert!(axis < first.rank(), "concat: axis {axis} of shape {first}");
    let mut at = 0;
    let (mut operands, mut offsets) = (Operands::new(), SmallVec::new());
    for part in parts {
        let shape = part.shape();
        assert!(
            shape.rank() == first.rank() && (0..first.rank()).all(|i| i == axis || shape[i] == first[i]),
            "concat along axis {axis}: shapes {first} and {shape} differ on another axis"
        );
        let mut offset: Axes = smallvec![0; first.rank()];
        offset[axis] = at;
        at += shape[axis];
        operands.push(part.id_on(tape));
        offsets.push(offset);
    }
    let shape = (0..first.rank()).map(|i| if i == axis { at } else { first[i] }).collect();
    Var::node(tape, assemble(tape, operands, offsets, shape))
}

impl<'t> Var<'t> {
    fn mapped(self, f: impl FnOnce(&'t Tape, NodeId) -> NodeId) -> Var<'t> {
        match self.0 {
            Repr::Node(tape, id) => Var::node(tape, f(tape, id)),
            Repr::Literal(_) => self,
        }
    }

    /// Stretches to `shape` as NumPy does.
    ///
    /// # Panics
    /// Where the shapes do not fit, or a literal would get axes: that takes a tape, see [`Var::full`].
    #[track_caller]
    pub fn broadcast_to(self, shape: impl Into<Shape>) -> Var<'t> {
        let (own, shape) = (self.shape(), shape.into());
        assert!(own.broadcast(&shape).as_ref() == Some(&shape), "broadcast_to: {own} does not stretch to {shape}");
        assert!(self.tape().is_some() || shape.rank() == 0, "broadcast_to: a literal has no tape, use Var::full");
        self.mapped(|tape, id| broadcast_to(tape, id, &shape))
    }

    /// Σ over `axes`, which are dropped.
    ///
    /// # Panics
    /// Where an axis does not exist or is named twice.
    #[track_caller]
    pub fn sum(self, axes: &[usize]) -> Var<'t> {
        let shape = self.shape();
        let mut sorted = Axes::from_slice(axes);
        sorted.sort_unstable();
        assert!(sorted.windows(2).all(|w| w[0] < w[1]), "sum: axes {axes:?} name one twice");
        assert!(sorted.last().is_none_or(|&a| a < shape.rank()), "sum: axes {axes:?} of shape {shape}");
        match self.0 {
            Repr::Node(tape, id) => plain_sum(tape, id, &sorted),
            Repr::Literal(_) => self,
        }
    }

    /// Σ over everything.
    #[track_caller]
    pub fn sum_all(self) -> Var<'t> {
        self.sum(&(0..self.shape().rank()).collect::<Axes>())
    }

    /// The mean over `axes`, which are dropped.
    #[track_caller]
    pub fn mean(self, axes: &[usize]) -> Var<'t> {
        let shape = self.shape();
        let total = self.sum(axes);
        total / axes.iter().map(|&a| shape[a]).product::<usize>() as f64
    }

    /// The mean over everything.
    #[track_caller]
    pub fn mean_all(self) -> Var<'t> {
        self.sum_all() / self.shape().numel() as f64
    }

    /// Σ xᵢ yᵢ
    #[track_caller]
    pub fn dot(self, other: Var<'t>) -> Var<'t> {
        (self * other).sum_all()
    }

    /// The same value, of `stage` at the earliest: what is made of it is computed there, even where an earlier stage
    /// could.
    pub fn defer(self, stage: Stage) -> Var<'t> {
        self.mapped(|tape, id| tape.defer(id, stage))
    }

    /// The same elements in row-major order under another shape.
    ///
    /// # Panics
    /// Where the number of elements differs, or a literal would get axes: that takes a tape, see [`Var::full`].
    #[track_caller]
    pub fn reshape(self, shape: impl Into<Shape>) -> Var<'t> {
        let (own, shape) = (self.shape(), shape.into());
        assert_eq!(own.numel(), shape.numel(), "reshape: {own} has not as many elements as {shape}");
        assert!(self.tape().is_some() || shape.rank() == 0, "reshape: a literal has no tape, use Var::full");
        self.mapped(|tape, id| reshape(tape, id, shape))
    }

    /// Axis i of the result is axis `perm[i]`.
    ///
    /// # Panics
    /// Where `perm` is not a permutation of the axes.
    #[track_caller]
    pub fn permute(self, perm: &[usize]) -> Var<'t> {
        let shape = self.shape();
        let mut sorted = Axes::from_slice(perm);
        sorted.sort_unstable();
        assert!(
            sorted.iter().copied().eq(0..shape.rank()),
            "permute: {perm:?} is no permutation of the axes of {shape}"
        );
        self.mapped(|tape, id| permute(tape, id, perm.into()))
    }

    /// The last two axes exchanged.
    #[track_caller]
    pub fn t(self) -> Var<'t> {
        let rank = self.shape().rank();
        assert!(rank >= 2, "t: shape {} has no two axes", self.shape());
        let mut perm: Axes = (0..rank).collect();
        perm.swap(rank - 2, rank - 1);
        self.permute(&perm)
    }

    /// The box `starts..ends`.
    ///
    /// # Panics
    /// Where it is empty or does not lie inside the shape.
    #[track_caller]
    pub fn slice(self, starts: &[usize], ends: &[usize]) -> Var<'t> {
        let shape = self.shape();
        let fits = starts.len() == shape.rank()
            && ends.len() == shape.rank()
            && (0..shape.rank()).all(|i| starts[i] < ends[i] && ends[i] <= shape[i]);
        assert!(fits, "slice: {starts:?}..{ends:?} is empty or does not lie in {shape}");
        let extent = starts.iter().zip(ends).map(|(s, e)| e - s).collect();
        self.mapped(|tape, id| slice(tape, id, starts.into(), extent))
    }

    /// `self` as a box that starts at `starts` in a tensor of zeros.
    ///
    /// # Panics
    /// Where it does not lie inside `shape`, or is a literal.
    #[track_caller]
    pub fn pad(self, starts: &[usize], shape: impl Into<Shape>) -> Var<'t> {
        let (own, shape) = (self.shape(), shape.into());
        let fits = own.rank() == shape.rank()
            && starts.len() == shape.rank()
            && (0..shape.rank()).all(|i| starts[i] + own[i] <= shape[i]);
        assert!(fits, "pad: {own} at {starts:?} does not lie in {shape}");
        self.mapped(|tape, id| assemble(tape, smallvec![id], smallvec![Axes::from_slice(starts)], shape))
    }

    /// Concatenation along an existing axis.
    #[track_caller]
    pub fn concat(parts: &[Var<'t>], axis: usize) -> Var<'t> {
        concat(parts, axis)
    }

    /// A number repeated to `shape`.
    #[track_caller]
    pub fn full(tape: &'t Tape, value: f64, shape: impl Into<Shape>) -> Var<'t> {
        let id = Var::lit(value).id_on(tape);
        Var::node(tape, broadcast_to(tape, id, &shape.into()))
    }
}
