//! Indexing: gather ↔ scatter-add, and the indices themselves (arg max, one-hot), which carry no tangent.
//!
//! A maximum over axes and a max-pool are one idea: the arg max of each window picks an element, which is
//! gathered; the derivative flows to the element picked.

use smallvec::{SmallVec, smallvec};

use super::Cotangents;
use crate::real::Real;
use crate::shape::{Axes, Shape};
use crate::tape::{Indices, Kind, Node, Prim, Tape, Var, Windows};

fn gather<'t>(table: Var<'t>, indices: Indices<'t>) -> Var<'t> {
    let tape = indices.tape;
    let shape = indices.shape().dims().iter().copied().chain(table.shape().dims()[1..].iter().copied()).collect();
    let operands = smallvec![table.id_on(tape), indices.id];
    Var::node(tape, tape.intern(Node { prim: Prim::Gather, operands, shape, kind: Kind::Float }))
}

fn scatter_add<'t>(rows: Var<'t>, indices: Indices<'t>, count: usize) -> Var<'t> {
    let tape = indices.tape;
    let inner = &rows.shape().dims()[indices.shape().rank()..].to_vec();
    let shape = [count].iter().chain(inner).copied().collect();
    let operands = smallvec![rows.id_on(tape), indices.id];
    Var::node(tape, tape.intern(Node { prim: Prim::ScatterAdd, operands, shape, kind: Kind::Float }))
}

/// Linear in the rows: the primitive, applied to their tangent.
pub(super) fn tangent<'t>(tape: &'t Tape, node: &Node, dx: Var<'t>) -> Option<Var<'t>> {
    let indices = Indices { tape, id: node.operands[1] };
    Some(match node.prim {
        Prim::Gather => gather(dx, indices),
        _ => scatter_add(dx, indices, node.shape[0]),
    })
}

pub(super) fn transpose<'t>(tape: &'t Tape, node: &Node, ct: Var<'t>) -> Cotangents<'t> {
    let indices = Indices { tape, id: node.operands[1] };
    let rows = match node.prim {
        Prim::Gather => {
            let table = Var::node(tape, node.operands[0]).shape();
            scatter_add(ct, indices, table[0])
        }
        _ => gather(ct, indices),
    };
    smallvec![(0, rows)]
}

impl<'t> Indices<'t> {
    /// 1 at the index along a new last axis of extent [`bound`](Indices::bound), 0 elsewhere.
    pub fn one_hot(self) -> Var<'t> {
        let shape = self.shape().dims().iter().copied().chain([self.bound()]).collect();
        let node = Node { prim: Prim::OneHot, operands: smallvec![self.id], shape, kind: Kind::Float };
        Var::node(self.tape, self.tape.intern(node))
    }
}

impl<'t> Var<'t> {
    /// The rows (slices along axis 0) at the indices: shape `indices.shape() + self.shape()[1..]`.
    ///
    /// # Panics
    /// Where an index could lie beyond the rows.
    #[track_caller]
    pub fn gather(self, indices: Indices<'t>) -> Var<'t> {
        let shape = self.shape();
        assert!(
            shape.rank() > 0 && indices.bound() <= shape[0],
            "gather: indices below {} do not fit the rows of {shape}",
            indices.bound()
        );
        gather(self, indices)
    }

    /// A table of `count` rows of zeros, to whose rows at the indices those of `self` are added.
    ///
    /// # Panics
    /// Where the leading axes are not those of the indices, or an index could lie beyond `count`.
    #[track_caller]
    pub fn scatter_add(self, indices: Indices<'t>, count: usize) -> Var<'t> {
        let (shape, at) = (self.shape(), indices.shape());
        assert!(
            shape.rank() >= at.rank() && shape.dims()[..at.rank()] == *at.dims() && indices.bound() <= count,
            "scatter_add: rows {shape}, indices {at} below {} and {count} rows do not fit",
            indices.bound()
        );
        scatter_add(self, indices, count)
    }

    /// The element of each window that is largest; at a tie the first, and a NaN above all.
    fn window_max(self, windows: Windows) -> Var<'t> {
        let (tape, id, node) = self.parts().expect("tensors are recorded");
        let shape: Shape = windows.outer.iter().copied().collect();
        let bound = node.shape.numel();
        assert!(u32::try_from(bound - 1).is_ok(), "a maximum of more than 2³² numbers, of shape {}", node.shape);
        let arg_max = tape.intern(Node {
            prim: Prim::ArgMax(windows),
            operands: smallvec![id],
            shape,
            kind: Kind::Index { bound },
        });
        gather(self.reshape(bound), Indices { tape, id: arg_max })
    }

    /// The maximum over `axes`, which are dropped.
    ///
    /// # Panics
    /// Where an axis does not exist or has no elements.
    #[track_caller]
    pub fn max_axes(self, axes: &[usize]) -> Var<'t> {
        let (shape, strides) = (self.shape(), self.shape().strides());
        assert!(axes.iter().all(|&a| a < shape.rank() && shape[a] > 0), "max_axes: axes {axes:?} of shape {shape}");
        let (inner, outer): (Axes, Axes) = (0..shape.rank()).partition(|a| axes.contains(a));
        let pick = |axes: &Axes, from: &[usize]| -> Axes { axes.iter().map(|&a| from[a]).collect() };
        self.window_max(Windows {
            outer_strides: pick(&outer, &strides),
            inner_strides: pick(&inner, &strides),
            outer: pick(&outer, shape.dims()),
            inner: pick(&inner, shape.dims()),
        })
    }

    /// ln Σ eˣ over `axes`, which are dropped; stable for any finite x.
    #[track_caller]
    pub fn logsumexp(self, axes: &[usize]) -> Var<'t> {
        let shape = self.shape();
        // Any shift gives the same value and derivative; the maximum keeps every exponential below 1.
        // An infinite maximum must not be subtracted from itself.
        let top = self.stop_gradient().max_axes(axes);
        let shift = Var::select(top.abs().less(Var::lit(f64::INFINITY)), top, Var::zero());
        let kept: Shape =
            shape.dims().iter().enumerate().map(|(i, &d)| if axes.contains(&i) { 1 } else { d }).collect();
        (self - shift.reshape(kept)).exp().sum(axes).ln() + shift
    }

    /// Max-pooling of [n, h, w, c] over `window` with `stride`, without padding.
    ///
    /// # Panics
    /// Where the rank is not 4 or the window is larger than the image.
    #[track_caller]
    pub fn max_pool(self, window: [usize; 2], stride: [usize; 2]) -> Var<'t> {
        let shape = self.shape();
        let out = pooled("max_pool", &shape, window, stride);
        let s = shape.strides();
        self.window_max(Windows {
            outer: out.dims().into(),
            outer_strides: smallvec![s[0], s[1] * stride[0], s[2] * stride[1], s[3]],
            inner: window[..].into(),
            inner_strides: smallvec![s[1], s[2]],
        })
    }

    /// Average-pooling of [n, h, w, c] over windows that do not overlap; a remainder at the edge is left out.
    ///
    /// # Panics
    /// Where the rank is not 4 or the window is larger than the image.
    #[track_caller]
    pub fn avg_pool(self, window: [usize; 2]) -> Var<'t> {
        let shape = self.shape();
        let out = pooled("avg_pool", &shape, window, window);
        let whole = self.slice(&[0; 4], &[shape[0], out[1] * window[0], out[2] * window[1], shape[3]]);
        whole.reshape([out[0], out[1], window[0], out[2], window[1], out[3]]).mean(&[2, 4])
    }
}

#[track_caller]
fn pooled(name: &str, shape: &Shape, window: [usize; 2], stride: [usize; 2]) -> Shape {
    let fits = shape.rank() == 4 && (0..2).all(|i| 0 < window[i] && window[i] <= shape[1 + i] && stride[i] > 0);
    assert!(fits, "{name}: window {window:?} with stride {stride:?} does not fit [n, h, w, c] = {shape}");
    let out: SmallVec<[usize; 2]> = (0..2).map(|i| (shape[1 + i] - window[i]) / stride[i] + 1).collect();
    [shape[0], out[0], out[1], shape[3]].into()
}
