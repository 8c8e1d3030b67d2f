//! Products: trilinear forms, of which the tape holds every face.
//!
//! ⟨C, A·B⟩ and ⟨y, conv(x, w)⟩ are linear in each of their three arguments; fixing two and asking for
//! the third gives the product and its two adjoints, so the family is closed under differentiation.

use smallvec::smallvec;

use super::structure::{self, shape_of};
use super::{Cotangents, sum_of};
use crate::kernel::ConvGeometry;
use crate::shape::{Shape, lanes_apart};
use crate::tape::{ConvFace, Kind, MatMulLanes, Node, NodeId, Prim, Tape, Var};

fn node<'t>(tape: &'t Tape, prim: Prim, a: NodeId, b: NodeId, shape: Shape) -> Var<'t> {
    Var::node(tape, tape.intern(Node { prim, operands: smallvec![a, b], shape, kind: Kind::Float }))
}

fn conv<'t>(face: ConvFace, g: ConvGeometry, a: Var<'t>, b: Var<'t>) -> Var<'t> {
    let tape = a.tape().or(b.tape()).expect("tensors are recorded");
    let shape: Shape = match face {
        ConvFace::Forward => [g.batch, g.out_h, g.out_w, g.out_c].into(),
        ConvFace::InputGrad => [g.batch, g.in_h, g.in_w, g.in_c].into(),
        ConvFace::WeightGrad => [g.kernel_h, g.kernel_w, g.in_c, g.out_c].into(),
    };
    node(tape, Prim::Conv(face, g), a.id_on(tape), b.id_on(tape), shape)
}

/// w ↔ wᵀ: the channels exchanged.
fn swap_channels(w: Var<'_>) -> Var<'_> {
    w.permute(&[0, 1, 3, 2])
}

/// Both factors' product rules: ż = ȧ·b + a·ḃ.
pub(super) fn tangent<'t>(tape: &'t Tape, y: &Node, tangents: &[Option<Var<'t>>]) -> Option<Var<'t>> {
    let with = |a: Var<'t>, b: Var<'t>| {
        let (a, b) = (a.id_on(tape), b.id_on(tape));
        node(tape, y.prim.clone(), a, b, y.shape.clone())
    };
    let operand = |i: usize| Var::node(tape, y.operands[i]);
    sum_of(tangents[0].map(|da| with(da, operand(1))), tangents[1].map(|db| with(operand(0), db)))
}

/// A factor of a batch of products of shape `product`, for each of them: with the leading axes that it lacks behind its first
/// `own`.
pub(super) fn repeated(tape: &Tape, id: NodeId, own: usize, product: &Shape) -> NodeId {
    let (shape, rank) = (shape_of(tape, id), product.rank());
    let matrix = &shape.dims()[shape.rank() - 2..];
    let all: Shape = product.dims()[..rank - 2].iter().chain(matrix).copied().collect();
    structure::broadcast_axes(tape, id, (own..own + rank - shape.rank()).collect(), all)
}

pub(super) fn transpose<'t>(tape: &'t Tape, y: &Node, linear: &[bool], ct: Var<'t>) -> Cotangents<'t> {
    let which = usize::from(linear[1]);
    let is_matmul = matches!(y.prim, Prim::MatMul { .. });
    let factor = |i: usize| {
        let id = y.operands[i];
        Var::node(tape, if is_matmul { repeated(tape, id, 0, &y.shape) } else { id })
    };
    let (a, b) = (|| factor(0), || factor(1));
    let cotangent = match (&y.prim, which) {
        // C = A·B: ⟨ct, A·B⟩ = ⟨ct·Bᵀ, A⟩ = ⟨Aᵀ·ct, B⟩
        (Prim::MatMul { trans_a: false }, 0) => ct.matmul(b().t()),
        (Prim::MatMul { trans_a: false }, _) => a().t().matmul(ct),
        // C = Aᵀ·B
        (Prim::MatMul { trans_a: true }, 0) => b().matmul(ct.t()),
        (Prim::MatMul { trans_a: true }, _) => a().matmul(ct),
        (Prim::MatMulLanes(lanes), _) => transpose_lanes(tape, *lanes, [a(), b()], which, ct),
        (Prim::Conv(face, g), _) => match (face, which) {
            (ConvFace::Forward, 0) => conv(ConvFace::InputGrad, *g, swap_channels(b()), ct),
            (ConvFace::Forward, _) => conv(ConvFace::WeightGrad, *g, a(), ct),
            (ConvFace::InputGrad, 0) => swap_channels(conv(ConvFace::WeightGrad, *g, ct, b())),
            (ConvFace::InputGrad, _) => conv(ConvFace::Forward, *g, ct, swap_channels(a())),
            (ConvFace::WeightGrad, 0) => conv(ConvFace::InputGrad, *g, swap_channels(ct), b()),
            (ConvFace::WeightGrad, _) => conv(ConvFace::Forward, *g, a(), ct),
        },
        (other, _) => unreachable!("{} is no product", other.name()),
    };
    // What all products of a batch share is sent the sum of theirs.
    let shared = cotangent.shape().rank() - shape_of(tape, y.operands[which]).rank();
    smallvec![(which, cotangent.sum(&(0..shared).collect::<Vec<_>>()))]
}

/// The transposes of the products in lanes; what all lanes share is sent the sum of theirs.
fn transpose_lanes<'t>(tape: &'t Tape, of: MatMulLanes, ab: [Var<'t>; 2], which: usize, ct: Var<'t>) -> Var<'t> {
    let MatMulLanes { count, trans_a, trans_b, shared_a, shared_b } = of;
    let [a, b] = ab.map(|x| x.id_on(tape));
    let lanes = |trans_a, trans_b, shared_a, shared_b| MatMulLanes { count, trans_a, trans_b, shared_a, shared_b };
    let g = ct.id_on(tape);
    let of_lanes = match (which, trans_a, trans_b) {
        (0, false, _) => matmul_lanes(tape, g, b, lanes(false, !trans_b, false, shared_b)),
        (0, true, _) => matmul_lanes(tape, b, g, lanes(trans_b, true, shared_b, false)),
        (_, _, false) => matmul_lanes(tape, a, g, lanes(!trans_a, false, shared_a, false)),
        (_, _, true) => matmul_lanes(tape, g, a, lanes(true, trans_a, false, shared_a)),
    };
    if [shared_a, shared_b][which] {
        let apart = lanes_apart(&of_lanes.shape(), count);
        return of_lanes.reshape(apart).sum(&[2]);
    }
    of_lanes
}

/// op(A)·op(B) in every lane.
pub(super) fn matmul_lanes<'t>(tape: &'t Tape, a: NodeId, b: NodeId, of: MatMulLanes) -> Var<'t> {
    let extents = |id, shared| {
        let shape = shape_of(tape, id);
        [shape[0], if shared { shape[1] } else { shape[1] / of.count }]
    };
    let (of_a, of_b) = (extents(a, of.shared_a), extents(b, of.shared_b));
    let (rows, columns) = (of_a[usize::from(of.trans_a)], of_b[usize::from(!of.trans_b)]);
    node(tape, Prim::MatMulLanes(of), a, b, [rows, columns * of.count].into())
}

impl<'t> Var<'t> {
    /// C = A·B over the last two axes; leading axes are a batch and must agree. Transpose an operand with
    /// [`t`](Var::t): a transposed A is read in place, a transposed B becomes a packing step that is
    /// hoisted to the stage of B, or part of the product where B is a batch of small matrices.
    ///
    /// # Panics
    /// Where the inner extents or the batch axes differ, naming both shapes.
    #[track_caller]
    pub fn matmul(self, other: Var<'t>) -> Var<'t> {
        let (sa, sb) = (self.shape(), other.shape());
        let r = sa.rank();
        let fits = r >= 2 && sb.rank() == r && sa.dims()[..r - 2] == sb.dims()[..r - 2] && sa[r - 1] == sb[r - 2];
        assert!(fits, "matmul: shapes {sa} and {sb} do not fit");
        let tape = self.tape().or(other.tape()).expect("tensors are recorded");
        let shape: Shape = sa.dims()[..r - 1].iter().copied().chain([sb[r - 1]]).collect();
        let (id, b) = (self.id_on(tape), other.id_on(tape));
        let a = tape.get(id);
        match &a.prim {
            Prim::Permute(perm) if perm[..r - 2].iter().copied().eq(0..r - 2) => {
                node(tape, Prim::MatMul { trans_a: true }, a.operands[0], b, shape)
            }
            _ => node(tape, Prim::MatMul { trans_a: false }, id, b, shape),
        }
    }

    /// Cross-correlation, what networks call a convolution:
    ///
    /// ```text
    /// y[n, i, j, o] = Σ_{k, l, c} x[n, i·sₕ + k − pₕ, j·s_w + l − p_w, c] w[k, l, c, o]
    /// ```
    ///
    /// x is [n, h, w, c], `weight` [kₕ, k_w, c, o], the result [n, ⌊(h + 2pₕ − kₕ)/sₕ⌋ + 1, …, o].
    ///
    /// # Panics
    /// Where the ranks are not 4, the channels differ, a stride is 0 or the kernel is larger than the padded image.
    #[track_caller]
    pub fn conv2d(self, weight: Var<'t>, stride: [usize; 2], pad: [usize; 2]) -> Var<'t> {
        let (sx, sw) = (self.shape(), weight.shape());
        assert!(
            sx.rank() == 4 && sw.rank() == 4 && sx[3] == sw[2],
            "conv2d: image {sx} and weight {sw} do not fit ([n, h, w, c] and [kh, kw, c, o])"
        );
        let out = |i: usize| {
            let (padded, kernel) = (sx[1 + i] + 2 * pad[i], sw[i]);
            assert!(
                stride[i] > 0 && kernel > 0 && kernel <= padded,
                "conv2d: image {sx} with padding {pad:?}, weight {sw} and stride {stride:?} leave no output"
            );
            (padded - kernel) / stride[i] + 1
        };
        let geometry = ConvGeometry {
            batch: sx[0],
            in_h: sx[1],
            in_w: sx[2],
            in_c: sx[3],
            out_h: out(0),
            out_w: out(1),
            out_c: sw[3],
            kernel_h: sw[0],
            kernel_w: sw[1],
            stride_h: stride[0],
            stride_w: stride[1],
            pad_h: pad[0],
            pad_w: pad[1],
        };
        conv(ConvFace::Forward, geometry, self, weight)
    }
}
