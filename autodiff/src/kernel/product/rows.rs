//! The rows of a product and their walk: from a box of row positions to tiles of C.

use super::dots::{Dots, LONG};
use super::simd::Simd;
use super::tile::{Depth, MAX_ROWS, Tile, most_rows};

/// Rows of a block, when B has several panels of columns: all panels pass over a block before the next, so that
/// its rows of A stay in the cache and those of C are written while they are there.
const BLOCK_ROWS: usize = 48;

/// Numbers of C beyond which it is unlikely to be in the nearest cache: 16 KiB of f32, half of the smallest.
const FAR: usize = 4096;

/// One axis of a box of rows: how many, and how far apart in A and in C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    pub count: usize,
    pub a: usize,
    pub c: usize,
}

impl Axis {
    pub const ONE: Axis = Axis { count: 1, a: 0, c: 0 };
}

/// The rows of a product: all positions of a box, the last axis fastest. Row `p` starts at offset
/// `a + Σ pᵢ·axes[i].a` of A and `c + Σ pᵢ·axes[i].c` of C.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    pub a: usize,
    pub c: usize,
    pub axes: [Axis; 3],
}

impl Rows {
    pub fn len(&self) -> usize {
        self.axes[0].count * self.axes[1].count * self.axes[2].count
    }
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
    let vectors = columns.div_ceil(V::LANES);
    let panels = vectors.div_ceil(V::WIDTH);
    let blocks = if panels == 1 { 1 } else { len.div_ceil(BLOCK_ROWS) };
    let mut tile = Tile {
        rows: [a.wrapping_add(rows.a); MAX_ROWS],
        outs: [c; MAX_ROWS],
        count: 0,
        b,
        depth,
        vectors: 0,
        last: V::LANES,
        far: len * columns > FAR,
        add,
    };
    let mut walk = Walk::new(rows);
    for block in 0..blocks {
        let block_len = share(len, blocks, block);
        let start = walk;
        let mut column = 0;
        for panel in 0..panels {
            // Equal panels, and below equal tiles: 5 vectors are 3 + 2 rather than 4 + 1.
            tile.vectors = share(vectors, panels, panel);
            tile.last = V::LANES.min(columns - column - (tile.vectors - 1) * V::LANES);
            tile.b = b.wrapping_add(column);
            let tiles = block_len.div_ceil(most_rows(V::REGISTERS, tile.vectors));
            walk = start;
            for t in 0..tiles {
                tile.count = share(block_len, tiles, t);
                for r in 0..tile.count {
                    // Wrapping: a product of no depth has rows of an empty A.
                    tile.rows[r] = a.wrapping_add(walk.a);
                    tile.outs[r] = c.wrapping_add(walk.c + column);
                    walk.step();
                }
                // SAFETY: rows, depth and columns stay inside the buffers, says the caller; there is at least
                // one row, at most as many as the tile has, and from one to LANES columns in the last vector.
                unsafe { tile.compute::<V>() };
            }
            column += tile.vectors * V::LANES;
        }
    }
}

/// The size of part `i` when `total` is cut into `parts` that differ by one at most.
#[inline(always)]
fn share(total: usize, parts: usize, i: usize) -> usize {
    // Small products have one part, and a division takes as long as hundreds of multiply-adds.
    if parts == 1 { total } else { total / parts + usize::from(i < total % parts) }
}

/// A position in the box of rows, with its offsets.
#[derive(Clone, Copy)]
pub struct Walk<'a> {
    rows: &'a Rows,
    at: [usize; 3],
    pub a: usize,
    pub c: usize,
}

impl<'a> Walk<'a> {
    #[inline(always)]
    pub fn new(rows: &'a Rows) -> Walk<'a> {
        Walk { rows, at: [0; 3], a: rows.a, c: rows.c }
    }

    /// To the next row; from the last one around to the first.
    #[inline(always)]
    pub fn step(&mut self) {
        for i in [2, 1, 0] {
            let axis = &self.rows.axes[i];
            self.at[i] += 1;
            self.a += axis.a;
            self.c += axis.c;
            if self.at[i] < axis.count {
                return;
            }
            self.at[i] = 0;
            self.a -= axis.count * axis.a;
            self.c -= axis.count * axis.c;
        }
    }
}
