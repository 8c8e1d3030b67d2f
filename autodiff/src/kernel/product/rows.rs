//! From a box of rows to tiles of C.

use super::dots::{Dots, LONG};
use super::simd::Simd;
use super::tile::{Depth, MAX_ROWS, Tile, most_rows};
use super::walk::{Rows, Walk};

/// Rows of a block, when B has several panels of columns: all panels pass over a block before the next, so that
/// its rows of A stay in the cache and those of C are written while they are there.
const BLOCK_ROWS: usize = 48;

/// Numbers of C beyond which it is unlikely to be in the nearest cache: 16 KiB of f32, half of the smallest.
const FAR: usize = 4096;

/// Columns that one tile covers.
#[derive(Clone, Copy, Debug)]
pub struct Panel {
    pub column: usize,
    pub vectors: usize,
    /// Lanes of the last vector.
    pub last: usize,
}

impl Panel {
    /// Columns.
    #[inline(always)]
    pub fn lanes<V: Simd>(self) -> usize {
        (self.vectors - 1) * V::LANES + self.last
    }
}

/// to[..count] = from[..count]
///
/// # Safety
/// The CPU has V's instruction set, and so many numbers are inside both buffers.
#[inline(always)]
pub unsafe fn copy_row<V: Simd>(from: *const V::Scalar, to: *mut V::Scalar, count: usize) {
    let whole = count - count % V::LANES;
    // SAFETY: the caller's promises.
    unsafe {
        for lane in (0..whole).step_by(V::LANES) {
            V::load(from.add(lane)).store(to.add(lane));
        }
        for lane in whole..count {
            *to.add(lane) = *from.add(lane);
        }
    }
}

/// Cuts columns into panels that are about equal: 5 vectors are 3 + 2 rather than 4 + 1.
#[inline(always)]
pub fn panels<V: Simd>(columns: usize) -> impl Iterator<Item = Panel> {
    let vectors = columns.div_ceil(V::LANES);
    let count = vectors.div_ceil(V::WIDTH);
    let mut column = 0;
    (0..count).map(move |i| {
        let vectors = share(vectors, count, i);
        let panel = Panel { column, vectors, last: V::LANES.min(columns - column - (vectors - 1) * V::LANES) };
        column += vectors * V::LANES;
        panel
    })
}

/// `C[rows, 0..columns] (+)= A[rows, depth] · B[depth, 0..columns]`, in tiles.
///
/// # Safety
/// The CPU has V's instruction set; every offset that `rows`, `depth` and `columns` reach is inside its buffer;
/// C overlaps neither A nor B.
#[inline(always)]
pub unsafe fn product<V: Simd>(
    rows: &Rows,
    depth: Depth<'_>,
    columns: usize,
    add: bool,
    a: *const V::Scalar,
    b: *const V::Scalar,
    c: *mut V::Scalar,
) {
    let len = rows.len();
    if len == 0 || columns == 0 {
        return;
    }
    if columns == 1 && depth.a_step == 1 && depth.b_step == 1 && depth.len >= LONG {
        // SAFETY: the caller's promises.
        return unsafe { V::compiled::<_, Dots<V>>()(Dots { rows, depth, add, a, b, c }) };
    }
    if let (&[run], 1, 1) = (depth.runs, depth.len, depth.repeats) {
        let (a, b) = (a.wrapping_add(run.a), b.wrapping_add(run.b));
        // SAFETY: the caller's promises.
        return unsafe {
            if add { outer::<V, true>(rows, columns, a, b, c) } else { outer::<V, false>(rows, columns, a, b, c) }
        };
    }
    let far = len * columns > FAR;
    let blocks = if columns <= V::WIDTH * V::LANES { 1 } else { len.div_ceil(BLOCK_ROWS) };
    let mut walk = Walk::new(rows);
    for block in 0..blocks {
        let (count, start) = (share(len, blocks, block), walk);
        for panel in panels::<V>(columns) {
            walk = start;
            let (b, c) = (b.wrapping_add(panel.column), c.wrapping_add(panel.column));
            // SAFETY: the caller's promises, for some of the rows and columns.
            unsafe { strip::<V>(&mut walk, count, depth, panel, Out { add, far }, a, b, c) };
        }
    }
}

/// C[r, j] (+)= A[r]·B[j]. A product of depth one is bound by what it writes: tiles of it would only cost.
///
/// # Safety
/// As for [`product`].
#[inline(always)]
unsafe fn outer<V: Simd, const ADD: bool>(
    rows: &Rows,
    columns: usize,
    a: *const V::Scalar,
    b: *const V::Scalar,
    c: *mut V::Scalar,
) {
    let whole = columns - columns % V::LANES;
    let [outer, middle, line] = rows.axes;
    // SAFETY: the caller's promises; the last vector touches the lanes that are columns only.
    unsafe {
        let mask = V::first(columns - whole);
        // The end of a row waits until the start of the next has been read: see the tile.
        let (mut end, mut end_at) = (V::zero(), std::ptr::null_mut::<V::Scalar>());
        for (i, j) in (0..outer.count).flat_map(|i| (0..middle.count).map(move |j| (i, j))) {
            let mut a = a.wrapping_add(rows.a + i * outer.a + j * middle.a);
            let mut c = c.wrapping_add(rows.c + i * outer.c + j * middle.c);
            for _ in 0..line.count {
                let x = V::splat(*a);
                for lane in (0..whole).step_by(V::LANES) {
                    // As in a tile, where the first step of the depth is added to zero.
                    let mut sum = x.mul_add(V::load(b.add(lane)), V::zero());
                    if ADD {
                        sum = sum.add(V::load(c.add(lane)));
                        if lane == 0 && !end_at.is_null() {
                            end.store_masked(end_at, mask);
                        }
                    }
                    sum.store(c.add(lane));
                }
                if whole < columns {
                    let mut sum = x.mul_add(V::load_masked(b.add(whole), mask), V::zero());
                    if ADD {
                        sum = sum.add(V::load_masked(c.add(whole), mask));
                        if whole == 0 && !end_at.is_null() {
                            end.store_masked(end_at, mask);
                        }
                        (end, end_at) = (sum, c.add(whole));
                    } else {
                        sum.store_masked(c.add(whole), mask);
                    }
                }
                a = a.wrapping_add(line.a);
                c = c.wrapping_add(line.c);
            }
        }
        if !end_at.is_null() {
            end.store_masked(end_at, mask);
        }
    }
}

/// How a strip of C is written.
#[derive(Clone, Copy, Debug)]
pub struct Out {
    pub add: bool,
    /// C is unlikely to be in the nearest cache.
    pub far: bool,
}

/// The next `count` rows of a walk, in one panel of columns: `b` and `c` are where the panel starts in B and C.
///
/// # Safety
/// As for [`product`].
#[inline(always)]
#[allow(clippy::too_many_arguments)] // a product has as many parts
pub unsafe fn strip<V: Simd>(
    walk: &mut Walk<'_>,
    count: usize,
    depth: Depth<'_>,
    panel: Panel,
    Out { add, far }: Out,
    a: *const V::Scalar,
    b: *const V::Scalar,
    c: *mut V::Scalar,
) {
    let Panel { vectors, last, .. } = panel;
    let mut tile = Tile { rows: [a; MAX_ROWS], outs: [c; MAX_ROWS], count: 0, b, depth, vectors, last, far, add };
    let tiles = count.div_ceil(most_rows(V::REGISTERS, vectors));
    // Any row of the product will do for those that a tile has no use for.
    tile.rows = [a.wrapping_add(walk.a); MAX_ROWS];
    // One division for all tiles: it takes as long as hundreds of multiply-adds.
    let (each, longer) = if tiles == 1 { (count, 0) } else { (count / tiles, count % tiles) };
    for t in 0..tiles {
        tile.count = each + usize::from(t < longer);
        walk.take::<V>(tile.count, |r, at, to| {
            // Wrapping: a product of no depth has rows of an empty A.
            tile.rows[r] = a.wrapping_add(at);
            tile.outs[r] = c.wrapping_add(to);
        });
        // SAFETY: rows, depth and columns stay inside the buffers, says the caller; there is at least one row, at
        // most as many as the tile has, and from one to LANES columns in the last vector.
        unsafe { tile.compute::<V>() };
    }
}

/// The size of part `i` when `total` is cut into `parts` that differ by one at most.
#[inline(always)]
fn share(total: usize, parts: usize, i: usize) -> usize {
    // Small products have one part, and a division takes as long as hundreds of multiply-adds.
    if parts == 1 { total } else { total / parts + usize::from(i < total % parts) }
}
