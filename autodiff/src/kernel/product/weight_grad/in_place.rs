//! Where few channels lie side by side, x and dy are read where they are.
//!
//! With many input channels the rows of one tap fill tiles, and the depth is all pixels for which that tap is inside
//! the image. With few (the first layer of a network has 1 or 3) tiles take the rows of several taps; then the depth
//! is the pixels of one class (module `axis`), for which all of those are inside, and the classes add up.
//!
//! The depth can be long (a batch of large images): it is cut into blocks that stay in the cache while all rows
//! pass over them. The cuts depend on the geometry only, hence so does the rounding.

use super::super::geometry::ConvGeometry;
use super::super::rows::product;
use super::super::simd::Simd;
use super::super::tile::{Depth, Run};
use super::super::walk::{Axis, Rows};
use super::{Share, Terms};

/// Numbers of x and dy in a block: 256 KiB of f32, so that dw stays in the L2 cache too.
const BLOCK: usize = 64 * 1024;

/// Below this many input channels a tile takes rows of several taps.
const FEW_CHANNELS: usize = 5;

/// Rows that have the same depth.
#[derive(Clone, Debug)]
struct Group {
    rows: Rows,
    /// Where those of the last axis start among the (column, input channel) of a kernel row.
    first_weight: usize,
    /// One run per output row `first_row..`, or per output pixel if [`InPlace::along_batch`].
    runs: Vec<Run>,
    first_row: usize,
    /// Pixels of a run.
    len: usize,
}

#[derive(Clone, Debug)]
pub struct InPlace {
    groups: Vec<Group>,
    /// The groups write to the same weights and add up.
    overlapping: bool,
    /// Images are so small that a run goes over the images of a block, at one pixel, rather than along an image row.
    along_batch: bool,
    geometry: ConvGeometry,
    block_images: usize,
    block_rows: usize,
    /// From a pixel, and from an image, to the next, in x and in dy.
    pixel: (usize, usize),
    image: (usize, usize),
}

impl InPlace {
    pub fn new(g: &ConvGeometry) -> InPlace {
        let image = (g.in_h * g.in_w * g.in_c, g.out_h * g.out_w * g.out_c);
        let line = g.stride_h * g.in_w * g.in_c + g.out_w * g.out_c;
        let block_images = (BLOCK / (image.0 + image.1).max(1)).clamp(1, g.batch.max(1));
        let whole_images = image.0 + image.1 <= BLOCK;
        let block_rows = if whole_images { g.out_h } else { BLOCK / line.max(1) }.max(1);
        let overlapping = g.in_c < FEW_CHANNELS;
        let along_batch = whole_images && !overlapping && g.out_w < 8 && block_images > g.out_w;
        let groups = if overlapping { groups_by_class(g) } else { groups_by_tap(g, along_batch) };
        InPlace {
            groups,
            overlapping,
            along_batch,
            geometry: *g,
            block_images,
            block_rows,
            pixel: (g.stride_w * g.in_c, g.out_c),
            image,
        }
    }

    /// Whether there is one block, and no group adds to another.
    pub fn in_one(&self) -> bool {
        let g = &self.geometry;
        !self.overlapping && g.batch <= self.block_images && g.out_h <= self.block_rows
    }

    /// # Safety
    /// The CPU has V's instruction set, and the terms have the sizes of the geometry.
    #[inline(always)]
    pub unsafe fn run<V: Simd>(&self, terms: Terms<'_, V::Scalar>) {
        let Terms { share, add, x, dy, dw } = terms;
        if self.overlapping && !add {
            // SAFETY: the caller's promises.
            unsafe { share.clear::<V>(&self.geometry, dw) };
        }
        for image in (0..self.geometry.batch).step_by(self.block_images) {
            let images = self.block_images.min(self.geometry.batch - image);
            for row in (0..self.geometry.out_h).step_by(self.block_rows) {
                let add = add || self.overlapping || image > 0 || row > 0;
                for group in &self.groups {
                    let depth = self.depth(group, images, row);
                    let mut rows = group.rows;
                    rows.cut(2, share.within(group.first_weight, rows.axes[2].count));
                    // SAFETY: every run is inside an image, for taps that are inside it, and `image + images` is
                    // at most the batch.
                    unsafe {
                        let x = x.add(image * self.image.0);
                        let Share { columns, .. } = share;
                        let dy = dy.add(image * self.image.1 + columns.start);
                        product::<V>(&rows, depth, columns.len(), add, x, dy, dw.add(columns.start));
                    }
                }
            }
        }
    }

    /// The pixels of `images` images and of the block of output rows from `row`.
    #[inline(always)]
    fn depth<'a>(&self, group: &'a Group, images: usize, row: usize) -> Depth<'a> {
        if self.along_batch {
            return Depth {
                runs: &group.runs,
                len: images,
                a_step: self.image.0,
                b_step: self.image.1,
                repeats: 1,
                a_repeat: 0,
                b_repeat: 0,
            };
        }
        let from = row.saturating_sub(group.first_row).min(group.runs.len());
        let to = (row + self.block_rows).saturating_sub(group.first_row).min(group.runs.len());
        Depth {
            runs: &group.runs[from..to],
            len: group.len,
            a_step: self.pixel.0,
            b_step: self.pixel.1,
            repeats: images,
            a_repeat: self.image.0,
            b_repeat: self.image.1,
        }
    }
}

/// One group per tap: its rows are the input channels.
fn groups_by_tap(g: &ConvGeometry, along_batch: bool) -> Vec<Group> {
    let mut groups = Vec::new();
    for k in 0..g.kernel_h {
        for l in 0..g.kernel_w {
            let (first_row, rows) = g.height().outputs_of(k);
            let (first_column, columns) = g.width().outputs_of(l);
            let mut runs = Vec::new();
            for o in first_row..first_row + rows {
                let in_row = o * g.stride_h + k - g.pad_h;
                let starts = if along_batch { columns } else { columns.min(1) };
                for p in first_column..first_column + starts {
                    let in_column = p * g.stride_w + l - g.pad_w;
                    runs.push(Run { a: (in_row * g.in_w + in_column) * g.in_c, b: (o * g.out_w + p) * g.out_c });
                }
            }
            let channels = Axis { count: g.in_c, a: 1, c: g.out_c };
            let c = (k * g.kernel_w + l) * g.in_c * g.out_c;
            let rows = Rows { a: 0, c, axes: [Axis::ONE, Axis::ONE, channels] };
            groups.push(Group { rows, first_weight: l * g.in_c, runs, first_row, len: columns });
        }
    }
    groups
}

/// One group per class of output pixels: its rows are the input channels of all taps that the class reads.
fn groups_by_class(g: &ConvGeometry) -> Vec<Group> {
    let mut groups = Vec::new();
    for h in g.height().outputs() {
        for w in g.width().outputs() {
            let (Some(k), Some(l)) = (h.taps.first(), w.taps.first()) else { continue };
            let run = |t: usize| Run {
                a: ((k.source + t * g.stride_h) * g.in_w + l.source) * g.in_c,
                b: ((h.first + t) * g.out_w + w.first) * g.out_c,
            };
            // Taps inside the image are consecutive, and so are their pixels.
            let lines = Axis { count: h.taps.len(), a: g.in_w * g.in_c, c: g.kernel_w * g.in_c * g.out_c };
            let weights = Axis { count: w.taps.len() * g.in_c, a: 1, c: g.out_c };
            let c = (k.tap * g.kernel_w + l.tap) * g.in_c * g.out_c;
            let rows = Rows { a: 0, c, axes: [Axis::ONE, lines, weights] };
            let runs = (0..h.count).map(run).collect();
            groups.push(Group { rows, first_weight: l.tap * g.in_c, runs, first_row: h.first, len: w.count });
        }
    }
    groups
}
