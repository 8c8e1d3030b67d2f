//! Where many channels lie between one pixel and the next, pixels are summed in blocks.
//!
//! Rows are the channels of one tap, the depth is the pixels for which that tap is inside the image. In place, the
//! columns of a tile and the rows it broadcasts lie 256 bytes apart or more and take turns in few sets of the nearest
//! cache, whatever its size. So a block of pixels is copied first, a strip of channels at a time, and every tile that
//! passes over the block reads it straight through. Taps that are inside the image for the same pixels share the
//! copy of dy. Tiles of AVX-512 are so wide that copies take longer than they save: they read in place (5-way conv4, 64
//! channels, layer 2, blocks of 192 pixels: 107 µs, from copies 124). Blocks and their order are the same, and so are the bits.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::super::geometry::ConvGeometry;
use super::super::rows::{Out, copy_row, panels, product, strip};
use super::super::simd::Simd;
use super::super::tile::{Depth, Run};
use super::super::walk::{Axis, Rows, Walk};
use super::{Share, Terms, clear};

/// Pixels of a block: five images of 7 × 7 pixels, the second layer of a small task, are one, which need not be added to
/// another. Where they are copied, a strip of x and a panel of dy are 40 KiB of f32.
const PIXELS: usize = 256;
/// Channels of x in a strip: tiles of 6 rows.
const ROWS: usize = 24;
/// Channels of dy that are copied at a time.
const COLUMNS: usize = 64;

/// Taps that are inside the image for the same output pixels.
#[derive(Clone, Debug)]
struct Class {
    rows: Span,
    columns: Span,
    taps: Vec<Tap>,
    /// The first block that has such pixels: it writes, later ones add.
    first: Option<usize>,
}

impl Class {
    /// Those of a block that the class has.
    fn area(&self, block: Block) -> Block {
        Block { rows: block.rows.common(self.rows), columns: block.columns.common(self.columns), ..block }
    }

    fn pixels(&self, block: Block) -> usize {
        let area = self.area(block);
        area.images.count * area.rows.count * area.columns.count
    }
}

/// Where a tap reads x for output pixel (0, 0), which may be outside the image, and where its weights start.
#[derive(Clone, Copy, Debug)]
struct Tap {
    x: isize,
    weight: usize,
}

/// `first..first + count`
#[derive(Clone, Copy, Debug, PartialEq)]
struct Span {
    first: usize,
    count: usize,
}

impl Span {
    fn end(self) -> usize {
        self.first + self.count
    }

    fn common(self, other: Span) -> Span {
        let first = self.first.max(other.first);
        Span { first, count: self.end().min(other.end()).saturating_sub(first) }
    }

    /// Cut into pieces of at most `most`, about equal.
    fn pieces(count: usize, most: usize) -> impl Iterator<Item = Span> + Clone {
        let pieces = count.div_ceil(most.max(1));
        let start = move |i: usize| count * i / pieces.max(1);
        (0..pieces).map(move |i| Span { first: start(i), count: start(i + 1) - start(i) })
    }
}

/// Images and output pixels that are summed at a time.
#[derive(Clone, Copy, Debug)]
struct Block {
    images: Span,
    rows: Span,
    columns: Span,
}

#[derive(Clone, Debug)]
pub struct Blocks {
    geometry: ConvGeometry,
    classes: Vec<Class>,
}

impl Blocks {
    pub fn new(g: &ConvGeometry) -> Blocks {
        let mut classes: Vec<Class> = Vec::new();
        for k in 0..g.kernel_h {
            for l in 0..g.kernel_w {
                let span = |(first, count)| Span { first, count };
                let (rows, columns) = (span(g.height().outputs_of(k)), span(g.width().outputs_of(l)));
                let row = k as isize - g.pad_h as isize;
                let column = l as isize - g.pad_w as isize;
                let x = (row * g.in_w as isize + column) * g.in_c as isize;
                let tap = Tap { x, weight: (k * g.kernel_w + l) * g.in_c * g.out_c };
                match classes.iter_mut().find(|class| (class.rows, class.columns) == (rows, columns)) {
                    Some(class) => class.taps.push(tap),
                    None => classes.push(Class { rows, columns, taps: vec![tap], first: None }),
                }
            }
        }
        let mut all = Blocks { geometry: *g, classes };
        for i in 0..all.classes.len() {
            let first = all.blocks().position(|block| all.classes[i].pixels(block) > 0);
            all.classes[i].first = first;
        }
        all
    }

    /// In an order that depends on the geometry only, hence so does the rounding.
    fn blocks(&self) -> impl Iterator<Item = Block> {
        let g = &self.geometry;
        let (columns, rows) = (g.out_w.min(PIXELS), (PIXELS / g.out_w.max(1)).clamp(1, g.out_h.max(1)));
        let images = if rows == g.out_h { (PIXELS / (g.out_h * g.out_w).max(1)).max(1) } else { 1 };
        let all_columns = Span::pieces(g.out_w, columns);
        let all_rows = Span::pieces(g.out_h, rows);
        Span::pieces(g.batch, images).flat_map(move |images| {
            let all_columns = all_columns.clone();
            all_rows
                .clone()
                .flat_map(move |rows| all_columns.clone().map(move |columns| Block { images, rows, columns }))
        })
    }

    /// Whether there is one block, of which every tap has pixels.
    pub fn in_one(&self) -> bool {
        self.blocks().count() == 1 && self.classes.iter().all(|class| class.first.is_some())
    }

    /// # Safety
    /// The CPU has V's instruction set, and the terms have the sizes of the geometry.
    #[inline(always)]
    pub unsafe fn run<V: Simd>(&self, terms: Terms<'_, V::Scalar>) {
        let Terms { share, add, dw, .. } = terms;
        let g = &self.geometry;
        let empty = self.classes.iter().filter(|class| class.first.is_none() && !add);
        for tap in empty.flat_map(|class| &class.taps) {
            let (first, channels) = (tap.weight / g.out_c, self.channels(tap, share));
            // SAFETY: the caller's promises.
            unsafe { clear::<V>(first + channels.start..first + channels.end, g.out_c, &share.columns, dw) };
        }
        let mut strips = Strips::new();
        for (i, block) in self.blocks().enumerate() {
            for class in self.classes.iter().filter(|class| class.pixels(block) > 0) {
                let terms = Terms { add: add || class.first != Some(i), ..terms };
                let sum = Sum { class, area: class.area(block), terms };
                // SAFETY: the caller's promises; the area is one of the class.
                unsafe { if V::REGISTERS == 32 { self.in_place::<V>(sum) } else { self.copied::<V>(sum, &mut strips) } }
            }
        }
    }

    /// The input channels of a tap that are in a share.
    fn channels(&self, tap: &Tap, share: &Share) -> Range<usize> {
        let g = &self.geometry;
        share.within(tap.weight / g.out_c % (g.kernel_w * g.in_c), g.in_c)
    }

    /// From an image, a row and a column of output pixels to the next, in x and in dy.
    fn steps(&self) -> [[usize; 3]; 2] {
        let g = &self.geometry;
        let x = [g.in_h * g.in_w, g.stride_h * g.in_w, g.stride_w].map(|step| step * g.in_c);
        [x, [g.out_h * g.out_w, g.out_w, 1].map(|step| step * g.out_c)]
    }

    /// What is summed, read where it lies.
    ///
    /// # Safety
    /// The CPU has V's instruction set; x, dy and dw have the sizes of the geometry, and the area is one of the class.
    #[inline(always)]
    unsafe fn in_place<V: Simd>(&self, Sum { class, area, terms }: Sum<'_, V::Scalar>) {
        let (Terms { share, add, x, dy, dw }, g) = (terms, &self.geometry);
        let steps = self.steps();
        let first = |[image, row, column]: [usize; 3]| {
            area.images.first * image + area.rows.first * row + area.columns.first * column
        };
        let mut runs = [Run { a: 0, b: 0 }; PIXELS];
        let runs = &mut runs[..area.rows.count];
        for (row, run) in runs.iter_mut().enumerate() {
            let [a, b] = steps.map(|[_, step, _]| row * step);
            *run = Run { a, b };
        }
        let depth = Depth {
            runs,
            len: area.columns.count,
            a_step: steps[0][2],
            b_step: steps[1][2],
            repeats: area.images.count,
            a_repeat: steps[0][0],
            b_repeat: steps[1][0],
        };
        let channels = Axis { count: g.in_c, a: 1, c: g.out_c };
        let Share { columns, .. } = share;
        for tap in &class.taps {
            let mut rows = Rows { a: 0, c: 0, axes: [Axis::ONE, Axis::ONE, channels] };
            rows.cut(2, self.channels(tap, share));
            let a = x.wrapping_offset(tap.x).wrapping_add(first(steps[0]));
            // SAFETY: the first pixel of the area is inside x and dy for this tap, and so are those that the depth
            // reaches from there.
            unsafe {
                let (b, c) = (dy.add(first(steps[1]) + columns.start), dw.add(tap.weight + columns.start));
                product::<V>(&rows, depth, columns.len(), add, a, b, c);
            }
        }
    }

    /// The same from copies.
    ///
    /// # Safety
    /// As for [`in_place`](Blocks::in_place).
    #[inline(always)]
    unsafe fn copied<V: Simd>(&self, sum: Sum<'_, V::Scalar>, strips: &mut Strips<V::Scalar>) {
        let (Sum { class, area, terms: Terms { share, add, x, dy, dw } }, g) = (sum, &self.geometry);
        let (strip_x, strips_dy): (*mut V::Scalar, *mut V::Scalar) =
            (strips.x.as_mut_ptr().cast(), strips.dy.as_mut_ptr().cast());
        let out = Out { add, far: true };
        let depth = |b_step| Depth {
            runs: &[Run { a: 0, b: 0 }],
            len: area.images.count * area.rows.count * area.columns.count,
            a_step: ROWS,
            b_step,
            repeats: 1,
            a_repeat: 0,
            b_repeat: 0,
        };
        let [x_steps, dy_steps] = self.steps().map(|steps| steps.map(|step| step as isize));
        for first in share.columns.clone().step_by(COLUMNS) {
            let width = COLUMNS.min(share.columns.end - first);
            for panel in panels::<V>(width) {
                let lanes = panel.lanes::<V>();
                // SAFETY: the area is inside dy, and so are the panel's channels; the copies fit, since
                // there are at most PIXELS pixels and `width` columns.
                unsafe {
                    let to = strips_dy.add(panel.column * PIXELS);
                    copy::<V>(area, dy_steps, dy.wrapping_add(first + panel.column), lanes, to, lanes);
                }
            }
            for tap in &class.taps {
                let channels = self.channels(tap, share);
                for channel in channels.clone().step_by(ROWS) {
                    let count = ROWS.min(channels.end - channel);
                    let from = x.wrapping_offset(tap.x).wrapping_add(channel);
                    // SAFETY: of this class's pixels, the tap is inside x.
                    unsafe { copy::<V>(area, x_steps, from, count, strip_x, ROWS) };
                    let channels = Axis { count, a: 1, c: g.out_c };
                    let rows = Rows { a: 0, c: 0, axes: [Axis::ONE, Axis::ONE, channels] };
                    for panel in panels::<V>(width) {
                        let lanes = panel.lanes::<V>();
                        // SAFETY: the strips hold as many rows as there are pixels, of ROWS and of `lanes` numbers, of
                        // which `count` and `lanes` were copied; the weights are inside dw.
                        unsafe {
                            let b = strips_dy.add(panel.column * PIXELS);
                            let c = dw.add(tap.weight + channel * g.out_c + first + panel.column);
                            strip::<V>(&mut Walk::new(&rows), count, depth(lanes), panel, out, strip_x, b, c);
                        }
                    }
                }
            }
        }
    }
}

/// The weights of a class's taps, over an area.
struct Sum<'a, T> {
    class: &'a Class,
    area: Block,
    terms: Terms<'a, T>,
}

/// Room for copies.
struct Strips<T> {
    x: [MaybeUninit<T>; PIXELS * ROWS],
    dy: [MaybeUninit<T>; PIXELS * COLUMNS],
}

impl<T> Strips<T> {
    #[inline(always)]
    fn new() -> Self {
        Strips {
            x: [const { MaybeUninit::uninit() }; PIXELS * ROWS],
            dy: [const { MaybeUninit::uninit() }; PIXELS * COLUMNS],
        }
    }
}

/// Copies `count` channels of each pixel of an area: to[pixel·step..] = from[pixel].
///
/// # Safety
/// The CPU has V's instruction set; `count` numbers are inside their buffers from every pixel on, on both sides.
#[inline(always)]
unsafe fn copy<V: Simd>(
    area: Block,
    steps: [isize; 3],
    from: *const V::Scalar,
    count: usize,
    to: *mut V::Scalar,
    step: usize,
) {
    let mut to = to;
    for image in area.images.first..area.images.end() {
        for row in area.rows.first..area.rows.end() {
            let line = from.wrapping_offset(image as isize * steps[0] + row as isize * steps[1]);
            for column in area.columns.first..area.columns.end() {
                let pixel = line.wrapping_offset(column as isize * steps[2]);
                // SAFETY: the caller's promises.
                unsafe { copy_row::<V>(pixel, to, count) };
                to = to.wrapping_add(step);
            }
        }
    }
}
