//! The micro-kernel: a tile of C stays in registers while the depth of the product runs past it.
//!
//! ```text
//! C[r, j] (+)= Σ_d A[r, d] · B[d, j]      r < MR rows,  j < NV vectors of columns
//! ```
//!
//! A *row is a pointer*: `rows[r]` points at A's row r wherever it lies, `outs[r]` at C's. All rows walk
//! the depth in step, so one offset serves them all. That offset follows a [`Depth`], a few straight runs,
//! which is enough for a matrix (one run), its transpose (one run with a longer step), an image patch (one
//! run per kernel row) and a sum over the pixels of a batch (one run per image row).
//!
//! Every number of C is one chain of multiply-adds in the order of the depth, whatever tile it falls in.

use super::simd::Simd;
use crate::kernel::isa::Task;
use std::marker::PhantomData;

/// The most rows of any tile.
pub const MAX_ROWS: usize = 16;

/// The most rows of a tile that is `vectors` wide: its accumulators, one row of B and one number of A fit
/// in the registers.
pub const fn most_rows(registers: usize, vectors: usize) -> usize {
    match (registers, vectors) {
        (32, 1) => 16,
        (32, 2) => 12,
        (32, 3) => 8,
        (32, _) => 6,
        (_, 1) => 10,
        (_, _) => 6,
    }
}

/// Where a straight piece of the depth starts: offsets from a row of A, and from B.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub a: usize,
    pub b: usize,
}

/// The depth of a product: `repeats` times, for each of `runs`, `len` equal steps through A and B.
#[derive(Clone, Copy)]
pub struct Depth<'a> {
    pub runs: &'a [Run],
    pub len: usize,
    /// From one number of a row of A to the next.
    pub a_step: usize,
    /// From one row of B to the next.
    pub b_step: usize,
    pub repeats: usize,
    /// Added to the offset of every run for each repeat.
    pub a_repeat: usize,
    pub b_repeat: usize,
}

/// One tile of C, of `count` rows. The pointers in `rows` beyond those point to any rows of the product: a
/// micro-kernel with more rows computes them and does not store them.
pub struct Tile<'a, T> {
    pub rows: [*const T; MAX_ROWS],
    pub outs: [*mut T; MAX_ROWS],
    pub count: usize,
    pub b: *const T,
    pub depth: Depth<'a>,
    /// Vectors of columns, the last of which has `last` lanes.
    pub vectors: usize,
    pub last: usize,
    /// C is unlikely to be in the nearest cache: ask for the tile while its depth is computed.
    pub far: bool,
    /// Add to what C holds; otherwise overwrite it.
    pub add: bool,
}

impl<T> Tile<'_, T> {
    /// Computes the tile with the smallest micro-kernel that has room for it.
    ///
    /// # Safety
    /// The CPU has V's instruction set, `1 ≤ count ≤ most_rows(vectors)`, `1 ≤ last ≤ LANES`, and all offsets
    /// that `depth` reaches from `rows` and `b` and all columns of `outs` are inside their buffers.
    #[inline(always)]
    pub unsafe fn compute<V: Simd<Scalar = T>>(&self) {
        let partial = self.last < V::LANES;
        /// One arm per number of rows for which there is a micro-kernel.
        macro_rules! rows {
            ($vectors:literal: $($rows:literal)*) => {
                match (self.count, partial) {
                    $((..=$rows, false) => V::compiled::<&Tile<T>, MicroKernel<V, $rows, $vectors, false>>(),
                      (..=$rows, true) => V::compiled::<&Tile<T>, MicroKernel<V, $rows, $vectors, true>>(),)*
                    _ => unreachable!(),
                }
            };
        }
        let kernel = match V::WIDTH {
            4 => match self.vectors {
                1 => rows!(1: 1 2 4 6 8 10 12 16),
                2 => rows!(2: 1 2 3 4 5 6 8 10 12),
                3 => rows!(3: 1 2 3 4 5 6 7 8),
                _ => rows!(4: 1 2 3 4 5 6),
            },
            2 => match self.vectors {
                1 => rows!(1: 1 2 4 6 8 10),
                _ => rows!(2: 1 2 3 4 5 6),
            },
            _ => rows!(1: 1 2 4 6 8 10 12 16),
        };
        // SAFETY: the micro-kernel has at least `count` rows and exactly `vectors` vectors, and the caller
        // promises the rest.
        unsafe { kernel(self) }
    }
}

/// The tile with MR rows and NV vectors as constants; PARTIAL if the last vector is not full.
pub struct MicroKernel<'t, V: Simd, const MR: usize, const NV: usize, const PARTIAL: bool>(
    &'t Tile<'t, V::Scalar>,
    PhantomData<V>,
);

impl<'t, V: Simd, const MR: usize, const NV: usize, const PARTIAL: bool> From<&'t Tile<'t, V::Scalar>>
    for MicroKernel<'t, V, MR, NV, PARTIAL>
{
    #[inline(always)]
    fn from(tile: &'t Tile<'t, V::Scalar>) -> Self {
        MicroKernel(tile, PhantomData)
    }
}

impl<V: Simd, const MR: usize, const NV: usize, const PARTIAL: bool> Task for MicroKernel<'_, V, MR, NV, PARTIAL> {
    type Output = ();

    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // the indices are those of the formula
    fn run(self) {
        let Tile { count, depth, last, add, .. } = *self.0;
        let rows: [*const V::Scalar; MR] = std::array::from_fn(|r| self.0.rows[r]);
        // SAFETY: made only by `Tile::compute`, whose caller promises the CPU, and that every offset reached here is
        // inside its buffer.
        unsafe {
            let mask = V::first(last);
            let mut sums = [[V::zero(); NV]; MR];
            if self.0.far {
                for r in 0..MR {
                    for j in 0..NV {
                        V::prefetch(self.0.outs[r].wrapping_add(j * V::LANES));
                    }
                }
            }
            for repeat in 0..depth.repeats {
                for run in depth.runs {
                    let mut a = run.a + repeat * depth.a_repeat;
                    let mut b = self.0.b.add(run.b + repeat * depth.b_repeat);
                    for _ in 0..depth.len {
                        let mut b_row = [V::zero(); NV];
                        for j in 0..NV {
                            let at = b.add(j * V::LANES);
                            let partial = PARTIAL && j == NV - 1;
                            b_row[j] = if partial { V::load_masked(at, mask) } else { V::load(at) };
                        }
                        for r in 0..MR {
                            let x = V::splat(*rows[r].add(a));
                            for j in 0..NV {
                                sums[r][j] = x.mul_add(b_row[j], sums[r][j]);
                            }
                        }
                        a = V::opaque(a.wrapping_add(depth.a_step));
                        b = b.wrapping_add(depth.b_step);
                    }
                }
            }
            // All that is added is read before anything is written: the last vector of a row reaches over the start of the
            // next where it has lanes that are masked, and a load would wait for such a store to arrive in the cache.
            if add {
                for r in 0..MR {
                    if r >= count {
                        break;
                    }
                    for j in 0..NV {
                        let at = self.0.outs[r].add(j * V::LANES);
                        let partial = PARTIAL && j == NV - 1;
                        sums[r][j] = sums[r][j].add(if partial { V::load_masked(at, mask) } else { V::load(at) });
                    }
                }
            }
            for r in 0..MR {
                if r >= count {
                    break;
                }
                for j in 0..NV {
                    let at = self.0.outs[r].add(j * V::LANES);
                    let partial = PARTIAL && j == NV - 1;
                    if partial { sums[r][j].store_masked(at, mask) } else { sums[r][j].store(at) }
                }
            }
        }
    }
}
