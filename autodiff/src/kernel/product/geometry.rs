//! The shape of a convolution.

use super::axis::ConvAxis;
use super::volume;

/// The shape of a convolution. Taps that fall outside the input read zero, on every side: `out_h` and `out_w` may
/// be what `pad` gives or anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names say it
pub struct ConvGeometry {
    pub batch: usize,
    pub in_h: usize,
    pub in_w: usize,
    pub in_c: usize,
    pub out_h: usize,
    pub out_w: usize,
    pub out_c: usize,
    pub kernel_h: usize,
    pub kernel_w: usize,
    pub stride_h: usize,
    pub stride_w: usize,
    pub pad_h: usize,
    pub pad_w: usize,
}

impl ConvGeometry {
    pub(super) fn height(&self) -> ConvAxis {
        let (input, output, kernel) = (self.in_h, self.out_h, self.kernel_h);
        ConvAxis { input, output, kernel, stride: self.stride_h, pad: self.pad_h }
    }

    pub(super) fn width(&self) -> ConvAxis {
        let (input, output, kernel) = (self.in_w, self.out_w, self.kernel_w);
        ConvAxis { input, output, kernel, stride: self.stride_w, pad: self.pad_w }
    }

    pub(super) fn input_len(&self) -> usize {
        volume(&[self.batch, self.in_h, self.in_w, self.in_c])
    }

    pub(super) fn output_len(&self) -> usize {
        volume(&[self.batch, self.out_h, self.out_w, self.out_c])
    }

    pub(super) fn weight_len(&self) -> usize {
        volume(&[self.kernel_h, self.kernel_w, self.in_c, self.out_c])
    }
}
