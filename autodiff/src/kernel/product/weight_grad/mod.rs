//! The weight gradient of a convolution: for each tap, pixels that the tap reads times gradients of what it wrote.
//!
//! ```text
//! dw[k, l, c, j] = Σ_{n,o,p} x[n, o·s+k−pad, p·s+l−pad, c] · dy[n, o, p, j]
//! ```
//!
//! Rows are weights (tap, input channel), the depth is output pixels: `in_place` says which. Where many channels lie
//! between one pixel and the next, `blocks` has a block of pixels near while tiles pass over it. `share` says which weights
//! each of several threads computes.

mod blocks;
mod in_place;
mod share;

use super::geometry::ConvGeometry;
use super::simd::Simd;
use blocks::Blocks;
use in_place::InPlace;
pub use share::Share;
use std::ops::Range;

/// From so many channels on, tiles in place would read their columns of x and dy from few sets of the cache.
const MANY_CHANNELS: usize = 48;
/// So many output pixels are worth a block.
const MANY_PIXELS: usize = 64;

/// What is summed, and where to: x, dy and dw have the sizes of the geometry.
#[derive(Clone, Copy)]
pub struct Terms<'a, T> {
    /// The weights that are computed.
    pub share: &'a Share,
    /// To what dw holds; otherwise it is overwritten.
    pub add: bool,
    pub x: *const T,
    pub dy: *const T,
    pub dw: *mut T,
}

/// How the weight gradient of one geometry is laid out.
#[derive(Clone, Debug)]
pub enum WeightGrad {
    /// There is nothing to sum.
    Zero(ConvGeometry),
    Blocks(Blocks),
    InPlace(InPlace),
}

impl WeightGrad {
    pub fn new(g: &ConvGeometry) -> WeightGrad {
        if [g.batch, g.in_c, g.out_c, g.out_h, g.out_w].contains(&0) {
            WeightGrad::Zero(*g)
        } else if g.in_c.min(g.out_c) >= MANY_CHANNELS && g.batch * g.out_h * g.out_w >= MANY_PIXELS {
            WeightGrad::Blocks(Blocks::new(g))
        } else {
            WeightGrad::InPlace(InPlace::new(g))
        }
    }

    /// Whether each weight is one sum, which is written once.
    pub fn in_one(&self) -> bool {
        match self {
            WeightGrad::Zero(_) => true,
            WeightGrad::Blocks(blocks) => blocks.in_one(),
            WeightGrad::InPlace(in_place) => in_place.in_one(),
        }
    }

    /// # Safety
    /// The CPU has V's instruction set, and the terms have the sizes of the geometry.
    #[inline(always)]
    pub unsafe fn run<V: Simd>(&self, terms: Terms<'_, V::Scalar>) {
        // SAFETY: V's instruction set is there, and the caller's promises.
        unsafe {
            match self {
                WeightGrad::Zero(_) if terms.add => {}
                WeightGrad::Zero(g) => terms.share.clear::<V>(g, terms.dw),
                WeightGrad::Blocks(blocks) => blocks.run::<V>(terms),
                WeightGrad::InPlace(in_place) => in_place.run::<V>(terms),
            }
        }
    }
}

impl ConvGeometry {
    /// Whether each number of the weight gradient is one sum, which is written once: others add up pieces where they are.
    pub fn weight_grad_in_one(&self) -> bool {
        WeightGrad::new(self).in_one()
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
