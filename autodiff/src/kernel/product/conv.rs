//! Two-dimensional convolution of NHWC images in its three faces.
//!
//! ```text
//! y[n, o, p, j]  = Σ_{k,l,c} x[n, o·s+k−pad, p·s+l−pad, c] · w[k, l, c, j]      forward
//! dx[n, h, w, c] = Σ_{k,l,j} dy[n, o, p, j] · wᵀ[k, l, j, c]                    input gradient
//! dw[k, l, c, j] = Σ_{n,o,p} x[n, o·s+k−pad, p·s+l−pad, c] · dy[n, o, p, j]     weight gradient
//! ```
//!
//! The padding is never multiplied: a tap outside the image is not a term of the sum. (With infinite weights this
//! differs from a multiplication by padded zeros, which gives NaN.) Forward and input gradient gather: the
//! pixels that they write are grouped by the taps that reach them (module `axis`), and each group is a product whose
//! rows are pixels of the whole batch. The weight gradient is in `weight_grad`.

use super::axis::Class;
use super::geometry::ConvGeometry;
use super::rows::product;
use super::simd::Simd;
use super::tile::{Depth, Run};
use super::walk::{Axis, Rows};
use super::weight_grad::{Share, Terms, WeightGrad};
use super::{ProductElement, Target, VectorTask, dispatch};
use crate::kernel::{Isa, Team};

/// Numbers of the input and output of a block of images: 1 MiB of f32, about an L2 cache.
const BLOCK: usize = 256 * 1024;

/// A convolution with its tables of offsets, made once for a geometry and shared by all calls.
#[derive(Clone, Debug)]
pub struct Conv {
    geometry: ConvGeometry,
    forward: Vec<Gather>,
    input_grad: Vec<Gather>,
    weight_grad: WeightGrad,
    block_images: usize,
}

impl Conv {
    /// Lays out the products.
    ///
    /// # Panics
    /// If a stride is zero or a tensor would not fit in memory.
    pub fn new(geometry: ConvGeometry) -> Conv {
        let g = &geometry;
        assert!(g.stride_h > 0 && g.stride_w > 0, "a stride is zero in {g:?}");
        // Every offset is below one of these, so that the arithmetic on offsets cannot overflow.
        let _ = (g.input_len(), g.output_len(), g.weight_len());
        let input = Side { h: g.in_h, w: g.in_w, c: g.in_c };
        let output = Side { h: g.out_h, w: g.out_w, c: g.out_c };
        Conv {
            geometry,
            forward: gathers(g, input, output, g.height().outputs(), g.width().outputs()),
            input_grad: gathers(g, output, input, g.height().inputs(), g.width().inputs()),
            weight_grad: WeightGrad::new(g),
            block_images: (BLOCK / (input.len() + output.len()).max(1)).max(1),
        }
    }

    /// The shape.
    pub fn geometry(&self) -> &ConvGeometry {
        &self.geometry
    }

    /// `2·batch·out_h·out_w·out_c·kernel_h·kernel_w·in_c` for each face: taps in the padding count, though they are
    /// not computed.
    pub fn flops(&self) -> u64 {
        let g = &self.geometry;
        [g.batch, g.out_h, g.out_w, g.out_c, g.kernel_h, g.kernel_w, g.in_c].into_iter().fold(2, |f, x| f * x as u64)
    }

    /// y from x `[batch, in_h, in_w, in_c]` and w `[kernel_h, kernel_w, in_c, out_c]`; y is `[batch, out_h,
    /// out_w, out_c]` and is overwritten, or added to where `add`.
    ///
    /// # Panics
    /// If a slice does not have the length that the geometry says.
    pub fn forward<T: ProductElement>(&self, isa: Isa, team: Team, add: bool, x: &[T], w: &[T], y: &mut [T]) {
        let g = &self.geometry;
        assert_eq!(x.len(), g.input_len(), "x of {g:?}");
        assert_eq!(w.len(), g.weight_len(), "w of {g:?}");
        assert_eq!(y.len(), g.output_len(), "y of {g:?}");
        self.gather(isa, team, add, (&self.forward, g.out_c), [x, w], y);
    }

    /// dx from wᵀ `[kernel_h, kernel_w, out_c, in_c]`, which is w with each tap transposed, and dy as y; dx is
    /// as x and is overwritten, or added to where `add`.
    ///
    /// # Panics
    /// If a slice does not have the length that the geometry says.
    pub fn input_grad<T: ProductElement>(&self, isa: Isa, team: Team, add: bool, wt: &[T], dy: &[T], dx: &mut [T]) {
        let g = &self.geometry;
        assert_eq!(wt.len(), g.weight_len(), "w of {g:?}");
        assert_eq!(dy.len(), g.output_len(), "dy of {g:?}");
        assert_eq!(dx.len(), g.input_len(), "dx of {g:?}");
        self.gather(isa, team, add, (&self.input_grad, g.in_c), [dy, wt], dx);
    }

    /// Every part takes some lines of each group of pixels.
    fn gather<T: ProductElement>(
        &self,
        isa: Isa,
        team: Team,
        add: bool,
        (gathers, columns): (&[Gather], usize),
        [a, b]: [&[T]; 2],
        c: &mut [T],
    ) {
        let (batch, block) = (self.geometry.batch, self.block_images);
        let parts = team.parts(self.flops() as usize);
        let c = Target::new(c);
        team.each(0..parts, |part| {
            let job = GatherJob { gathers, columns, batch, block, part: (part, parts), add, a, b, c: c.pointer() };
            dispatch(isa, columns, job);
        });
    }

    /// dw from x and dy; dw is as w and is overwritten, or added to where `add`: of a sum in [one piece] the whole, of others
    /// piece after piece.
    ///
    /// [one piece]: ConvGeometry::weight_grad_in_one
    ///
    /// # Panics
    /// If a slice does not have the length that the geometry says.
    pub fn weight_grad<T: ProductElement>(&self, isa: Isa, team: Team, add: bool, x: &[T], dy: &[T], dw: &mut [T]) {
        let g = &self.geometry;
        assert_eq!(x.len(), g.input_len(), "x of {g:?}");
        assert_eq!(dy.len(), g.output_len(), "dy of {g:?}");
        assert_eq!(dw.len(), g.weight_len(), "dw of {g:?}");
        let parts = team.parts(self.flops() as usize);
        let dw = Target::new(dw);
        team.each(0..parts, |part| {
            let share = Share::of(g, part, parts);
            let terms = Terms { share: &share, add, x: x.as_ptr(), dy: dy.as_ptr(), dw: dw.pointer() };
            dispatch(isa, share.columns.len(), WeightGradJob { plan: &self.weight_grad, terms });
        });
    }
}

/// An image: what a gather reads from (source) or writes to (target).
#[derive(Clone, Copy)]
struct Side {
    h: usize,
    w: usize,
    c: usize,
}

impl Side {
    fn len(&self) -> usize {
        self.h * self.w * self.c
    }
}

/// The target pixels that the same taps reach, and those taps.
#[derive(Clone, Debug)]
struct Gather {
    rows: Rows,
    /// Straight pieces of (tap, channel), `len` numbers each.
    runs: Vec<Run>,
    len: usize,
}

/// Every pair of a class of rows and a class of columns.
fn gathers(g: &ConvGeometry, source: Side, target: Side, h: Vec<Class>, w: Vec<Class>) -> Vec<Gather> {
    if g.batch == 0 || source.c == 0 || target.c == 0 {
        // Nothing to gather from or to; an empty source still has targets to overwrite with zeros.
        let images = Axis { count: g.batch, a: 0, c: target.len() };
        let pixels = Axis { count: target.h * target.w, a: 0, c: target.c };
        let rows = Rows { a: 0, c: 0, axes: [images, Axis::ONE, pixels] };
        return vec![Gather { rows, runs: Vec::new(), len: 0 }];
    }
    let pair = |(h, w): (&Class, &Class)| {
        let images = Axis { count: g.batch, a: source.len(), c: target.len() };
        let lines =
            Axis { count: h.count, a: h.source_step * source.w * source.c, c: h.target_step * target.w * target.c };
        let pixels = Axis { count: w.count, a: w.source_step * source.c, c: w.target_step * target.c };
        // Side by side in the image as in the kernel (forward): the taps of a kernel row are one run.
        let joined = w.taps.windows(2).all(|t| t[0].source + 1 == t[1].source && t[0].tap + 1 == t[1].tap);
        let (starts, len) =
            if joined { (w.taps.len().min(1), w.taps.len() * source.c) } else { (w.taps.len(), source.c) };
        let mut runs = Vec::new();
        for k in &h.taps {
            for l in &w.taps[..starts] {
                let a = (k.source * source.w + l.source) * source.c;
                let b = (k.tap * g.kernel_w + l.tap) * source.c * target.c;
                runs.push(Run { a, b });
            }
        }
        let c = (h.first * target.w + w.first) * target.c;
        Gather { rows: Rows { a: 0, c, axes: [images, lines, pixels] }, runs, len }
    };
    let mut gathers: Vec<Gather> = h.iter().flat_map(|h| w.iter().map(move |w| (h, w))).map(pair).collect();
    // The interior first: it brings the pages and most lines that the scattered pixels of the border are in.
    gathers.sort_by_key(|gather| std::cmp::Reverse(gather.rows.len()));
    gathers
}

/// `C[target pixels] = A[source pixels] · B[taps]`, channels innermost in all three.
struct GatherJob<'a, T> {
    gathers: &'a [Gather],
    columns: usize,
    batch: usize,
    /// Images for which all groups are computed before the next: what a group reads and writes is near what the
    /// others do.
    block: usize,
    /// Number and count of the parts that the lines of each group are cut into.
    part: (usize, usize),
    add: bool,
    a: &'a [T],
    b: &'a [T],
    c: *mut T,
}

impl<T: ProductElement> VectorTask<T> for GatherJob<'_, T> {
    #[inline(always)]
    unsafe fn run<V: Simd<Scalar = T>>(self) {
        for image in (0..self.batch).step_by(self.block) {
            for Gather { rows, runs, len } in self.gathers {
                let depth =
                    Depth { runs, len: *len, a_step: 1, b_step: self.columns, repeats: 1, a_repeat: 0, b_repeat: 0 };
                let mut rows = *rows;
                let (part, parts) = self.part;
                let lines = rows.axes[1].count;
                rows.cut(0, image..image + self.block.min(self.batch - image));
                rows.cut(1, lines * part / parts..lines * (part + 1) / parts);
                // SAFETY: the classes hold only taps that are inside the image, and the caller has checked that
                // the slices have the sizes from which the offsets were made; parts write lines of their own.
                unsafe {
                    let (a, b, c) = (self.a.as_ptr(), self.b.as_ptr(), self.c);
                    product::<V>(&rows, depth, self.columns, self.add, a, b, c);
                }
            }
        }
    }
}

struct WeightGradJob<'a, T> {
    plan: &'a WeightGrad,
    terms: Terms<'a, T>,
}

impl<T: ProductElement> VectorTask<T> for WeightGradJob<'_, T> {
    #[inline(always)]
    unsafe fn run<V: Simd<Scalar = T>>(self) {
        // SAFETY: `Conv::weight_grad` has checked that the slices have the sizes for which the plan was made, and no
        // other part has this share.
        unsafe { self.plan.run::<V>(self.terms) }
    }
}
