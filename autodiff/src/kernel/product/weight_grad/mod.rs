//! The weight gradient of a convolution: for each tap, pixels that the tap reads times gradients of what it wrote.
//!
//! ```text
//! dw[k, l, c, j] = Σ_{n,o,p} x[n, o·s+k−pad, p·s+l−pad, c] · dy[n, o, p, j]
//! ```
//!
//! Rows are weights (tap, input channel), the depth is output pixels: `in_place` says which. Where many channels lie
//! between one pixel and the next, `blocks` has a block of pixels near while tiles pass over it.

mod blocks;
mod in_place;

use super::conv::ConvGeometry;
use super::simd::Simd;
use blocks::Blocks;
use in_place::InPlace;
use std::ops::Range;

/// From so many channels on, tiles in place would read their columns of x and dy from few sets of the cache.
const MANY_CHANNELS: usize = 48;
/// So many output pixels are worth a block.
const MANY_PIXELS: usize = 64;

/// How the weight gradient of one geometry is laid out.
#[derive(Clone, Debug)]
pub enum WeightGrad {
    /// There is nothing to sum.
    Zero(Weights),
    Blocks(Blocks),
    InPlace(InPlace),
}

/// Weights that one part of a team computes: of every row of the kernel, some of its (column, input channel), and of those
/// some output channels.
#[derive(Clone, Debug)]
pub struct Share {
    pub line: Range<usize>,
    pub columns: Range<usize>,
}

impl Share {
    /// The least (column, input channel) of a part that is cut by them: a tile's, nearly.
    const LEAST: usize = 4;

    /// Part number `part` of `parts`, as far as there are so many. Output channels are cut where there is little else, by
    /// whole multiples of so many.
    pub fn of(g: &ConvGeometry, part: usize, parts: usize, multiple: usize) -> Share {
        let (line, columns) = (g.kernel_w * g.in_c, g.out_c);
        if parts == 1 || line >= parts * Share::LEAST {
            return Share { line: line * part / parts..line * (part + 1) / parts, columns: 0..columns };
        }
        let first = |part: usize| (columns.div_ceil(multiple) * part / parts * multiple).min(columns);
        Share { line: 0..line, columns: first(part)..first(part + 1) }
    }

    /// The part of `count` weights of a kernel row, from `first` on, by their numbers among those.
    fn within(&self, first: usize, count: usize) -> Range<usize> {
        let start = self.line.start.clamp(first, first + count);
        start - first..self.line.end.clamp(start, first + count) - first
    }
}

/// Rows and columns of dw.
#[derive(Clone, Copy, Debug)]
pub struct Weights {
    kernel_h: usize,
    /// (column, input channel)
    line: usize,
    columns: usize,
}

impl Weights {
    fn of(g: &ConvGeometry) -> Weights {
        Weights { kernel_h: g.kernel_h, line: g.kernel_w * g.in_c, columns: g.out_c }
    }

    /// Sets a share of them to zero.
    ///
    /// # Safety
    /// The CPU has V's instruction set, and dw has all of them.
    #[inline(always)]
    unsafe fn clear<V: Simd>(&self, share: &Share, dw: *mut V::Scalar) {
        for k in 0..self.kernel_h {
            let from = k * self.line;
            // SAFETY: the caller's promises.
            unsafe { clear::<V>(from + share.line.start..from + share.line.end, self.columns, &share.columns, dw) };
        }
    }
}

impl WeightGrad {
    pub fn new(g: &ConvGeometry) -> WeightGrad {
        if [g.batch, g.in_c, g.out_c, g.out_h, g.out_w].contains(&0) {
            WeightGrad::Zero(Weights::of(g))
        } else if g.in_c.min(g.out_c) >= MANY_CHANNELS && g.batch * g.out_h * g.out_w >= MANY_PIXELS {
            WeightGrad::Blocks(Blocks::new(g))
        } else {
            WeightGrad::InPlace(InPlace::new(g))
        }
    }

    /// A share of the weights.
    ///
    /// # Safety
    /// The CPU has V's instruction set, and x, dy and dw have the sizes of the geometry.
    #[inline(always)]
    pub unsafe fn run<V: Simd>(&self, share: &Share, x: *const V::Scalar, dy: *const V::Scalar, dw: *mut V::Scalar) {
        // SAFETY: V's instruction set is there, and the caller's promises.
        unsafe {
            match self {
                WeightGrad::Zero(weights) => weights.clear::<V>(share, dw),
                WeightGrad::Blocks(blocks) => blocks.run::<V>(share, x, dy, dw),
                WeightGrad::InPlace(in_place) => in_place.run::<V>(share, x, dy, dw),
            }
        }
    }
}

/// Sets some columns of some rows to zero; a row has `width` numbers.
///
/// # Safety
/// The CPU has V's instruction set, and the rows are inside dw.
#[inline(always)]
unsafe fn clear<V: Simd>(rows: Range<usize>, width: usize, columns: &Range<usize>, dw: *mut V::Scalar) {
    for row in rows {
        // SAFETY: the caller's promises.
        unsafe {
            std::slice::from_raw_parts_mut(dw.add(row * width + columns.start), columns.len()).fill(V::zero().sum())
        };
    }
}
