//! Which weights each of several threads computes.

use super::super::geometry::ConvGeometry;
use super::super::simd::Simd;
use super::clear;
use std::ops::Range;

/// The least (column, input channel) of a part that is cut by them: a tile's, nearly.
const LEAST: usize = 4;

/// Output channels of a cache line, at least: no two parts write to the same.
const LINE: usize = 16;

/// Weights that one part of a team computes: of every row of the kernel, some of its (column, input channel), and of those
/// some output channels.
#[derive(Clone, Debug)]
pub struct Share {
    pub weights: Range<usize>,
    pub columns: Range<usize>,
}

impl Share {
    /// Part number `part` of `parts`, as far as there are so many. Output channels are cut where there is little else: tiles
    /// are as wide as they can be.
    pub fn of(g: &ConvGeometry, part: usize, parts: usize) -> Share {
        let (weights, columns) = (g.kernel_w * g.in_c, g.out_c);
        if parts == 1 || weights >= parts * LEAST {
            return Share { weights: weights * part / parts..weights * (part + 1) / parts, columns: 0..columns };
        }
        let first = |part: usize| (columns.div_ceil(LINE) * part / parts * LINE).min(columns);
        Share { weights: 0..weights, columns: first(part)..first(part + 1) }
    }

    /// The part of `count` weights of a kernel row, from `first` on, by their numbers among those.
    pub fn within(&self, first: usize, count: usize) -> Range<usize> {
        let start = self.weights.start.clamp(first, first + count);
        start - first..self.weights.end.clamp(start, first + count) - first
    }

    /// Sets the weights to zero.
    ///
    /// # Safety
    /// The CPU has V's instruction set, and dw has the size of the geometry.
    #[inline(always)]
    pub unsafe fn clear<V: Simd>(&self, g: &ConvGeometry, dw: *mut V::Scalar) {
        for k in 0..g.kernel_h {
            let row = k * g.kernel_w * g.in_c;
            // SAFETY: the caller's promises.
            unsafe { clear::<V>(row + self.weights.start..row + self.weights.end, g.out_c, &self.columns, dw) };
        }
    }
}
