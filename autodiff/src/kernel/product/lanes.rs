//! Matrix products side by side, one in every lane: for matrices so small that a product of one fills no vectors.
//!
//! ```text
//! C[i, j, l] = Σ_d A[i, d, l] · B[d, j, l]      l the lanes of a vector
//! ```
//!
//! Nothing is repeated or added across lanes, so that matrices need not fill anything: a hidden layer of 40 runs at four
//! fifths of the machine's multiply-adds. Apart from that are lanes that fill no vector, and products with one column,
//! which repeat the order in which one alone is summed: each of their numbers is a loop of its own.

use super::dots::LONG;
use super::epilogue::{Epilogue, Tail};
use super::simd::Simd;
use super::vectors::Vectors;
use super::{ProductElement, VectorTask, dispatch_whole, volume};
use crate::kernel::isa::{Isa, Level, Task};
use std::marker::PhantomData;

/// `C = op(A)·op(B)` for `lanes` pairs of matrices, whose numbers lie side by side: A is `[m, k, lanes]`, or
/// `[k, m, lanes]` when `trans_a`; B `[k, n, lanes]` or `[n, k, lanes]`; C `[m, n, lanes]`. An operand that all lanes
/// share has no axis of lanes. C is overwritten, or what is computed is added to it where `add`.
///
/// Each lane has the bits of [`MatMul`](super::MatMul).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the formula says them
pub struct LaneMatMul {
    pub lanes: usize,
    pub m: usize,
    pub k: usize,
    pub n: usize,
    pub trans_a: bool,
    pub trans_b: bool,
    pub shared_a: bool,
    pub shared_b: bool,
    pub add: bool,
}

impl LaneMatMul {
    /// `2·lanes·m·k·n`.
    pub fn flops(&self) -> u64 {
        [self.lanes, self.m, self.k, self.n].into_iter().fold(2, |product, x| product * x as u64)
    }

    /// Computes the products, whose numbers go through an epilogue, if there is one: C = f(op(A)·op(B)), or C = f(op(A)·op(B) + C)
    /// where what is computed is added.
    ///
    /// # Panics
    /// If a slice does not have the length that the shape says.
    pub fn run<T: ProductElement>(&self, isa: Isa, a: &[T], b: &[T], c: &mut [T], epilogue: Option<Epilogue<'_, T>>) {
        let LaneMatMul { lanes, m, k, n, trans_a, .. } = *self;
        assert_eq!(a.len(), volume(&[m, k, self.width(self.shared_a)]), "A of {self:?}");
        assert_eq!(b.len(), volume(&[k, n, self.width(self.shared_b)]), "B of {self:?}");
        assert_eq!(c.len(), volume(&[m, n, lanes]), "C of {self:?}");
        for beside in epilogue.iter().flat_map(|e| [e.a, e.b]) {
            assert_eq!(beside.len(), c.len(), "the epilogue of {self:?}");
        }
        let tail = epilogue.map(Tail::new);
        // Where a product alone runs its lanes along the depth, so do as many sums here.
        let along_depth = n == 1 && k >= LONG && (m == 1 || !trans_a);
        let sums = if along_depth { lanes_of_dots::<T>(isa) } else { 1 };
        let tail = tail.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // Half as many lanes are too few to be worth as much code again.
        dispatch_whole(isa, Job { shape: *self, sums, a: a.as_ptr(), b: b.as_ptr(), c: c.as_mut_ptr(), tail });
    }

    /// Numbers from one element of an operand to the next.
    fn width(&self, shared: bool) -> usize {
        if shared { 1 } else { self.lanes }
    }
}

/// The sums that a product with one column is made of.
fn lanes_of_dots<T: Vectors>(isa: Isa) -> usize {
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => T::HalfAvx512::LANES,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => T::Avx2::LANES,
        _ => T::Portable::LANES,
    }
}

/// Rows of most tiles.
const ROWS: usize = 5;

/// How far down the depth a tile asks for its columns of B, where they are more than STRIDE numbers apart: the nearest cache
/// foresees steps of up to 2 KiB.
const AHEAD: usize = 4;
const STRIDE: usize = 512;

/// Made by [`LaneMatMul::run`] alone, which has checked that A, B and C hold matrices of this shape.
struct Job<T> {
    shape: LaneMatMul,
    sums: usize,
    a: *const T,
    b: *const T,
    c: *mut T,
    /// Of all numbers of C; null where they only are written.
    tail: *const Tail<T>,
}

impl<T: ProductElement> VectorTask<T> for Job<T> {
    #[inline(always)]
    unsafe fn run<V: Simd<Scalar = T>>(self) {
        // SAFETY: the dispatcher has chosen a V that the CPU has.
        unsafe {
            match (self.shape.shared_a, self.shape.shared_b) {
                (true, _) => self.all_lanes::<V, true, false>(),
                (_, true) => self.all_lanes::<V, false, true>(),
                _ => self.all_lanes::<V, false, false>(),
            }
        }
    }
}

impl<T: ProductElement> Job<T> {
    /// A vector of lanes at a time; A or B is the same for all.
    ///
    /// # Safety
    /// The CPU has V's instruction set.
    #[inline(always)]
    unsafe fn all_lanes<V: Simd<Scalar = T>, const SHARED_A: bool, const SHARED_B: bool>(&self) {
        let LaneMatMul { lanes, m, k, n, trans_a, trans_b, .. } = self.shape;
        let (wide_a, wide_b) = (self.shape.width(SHARED_A), self.shape.width(SHARED_B));
        let [a_row, a_depth] = if trans_a { [wide_a, m * wide_a] } else { [k * wide_a, wide_a] };
        let [b_column, b_depth] = if trans_b { [k * wide_b, wide_b] } else { [wide_b, n * wide_b] };
        let mut strip = Strip {
            a: self.a,
            a_row,
            a_depth,
            b: self.b,
            b_column,
            b_depth,
            c: self.c,
            start: self.c,
            tail: self.tail,
            c_row: n * lanes,
            c_column: lanes,
            depth: k,
            tiles: 0,
            strips: 1,
            lanes: V::LANES,
            sums: self.sums,
            add: self.shape.add,
            far: b_depth > STRIDE && k >= 4 * AHEAD && m <= 2 * ROWS,
        };
        for lane in (0..lanes).step_by(V::LANES) {
            strip.lanes = V::LANES.min(lanes - lane);
            let from = |base: *const T, shared: bool| if shared { base } else { base.wrapping_add(lane) };
            (strip.a, strip.b, strip.c) = (from(self.a, SHARED_A), from(self.b, SHARED_B), self.c.wrapping_add(lane));
            // SAFETY: the CPU has V; `run` has checked that all matrices are inside their buffers.
            unsafe { strip.matrix::<V, SHARED_A, SHARED_B>(m, n) };
        }
    }
}

/// Some columns of C, in tiles one below the other, in one vector of lanes; or several of them side by side.
#[derive(Clone, Copy)]
pub(super) struct Strip<T> {
    a: *const T,
    a_row: usize,
    a_depth: usize,
    b: *const T,
    b_column: usize,
    b_depth: usize,
    c: *mut T,
    /// Of C as a whole, and what its numbers go through from there on: null, or that of a job which waits for its strips.
    start: *mut T,
    tail: *const Tail<T>,
    c_row: usize,
    c_column: usize,
    depth: usize,
    tiles: usize,
    /// How many of them lie side by side.
    strips: usize,
    /// Lanes of the vector that are in use.
    lanes: usize,
    sums: usize,
    add: bool,
    /// Tiles ask for what they will read of B.
    far: bool,
}

impl<T: Copy> Strip<T> {
    /// The epilogue from a number of C on.
    ///
    /// # Safety
    /// The job that this is a strip of is not over.
    #[inline(always)]
    unsafe fn tail_at(&self, c: *mut T) -> Option<Tail<T>> {
        // SAFETY: null, or what the job holds.
        let tail = unsafe { self.tail.as_ref() };
        tail.map(|tail| tail.at((c.addr() - self.start.addr()) / size_of::<T>()))
    }

    /// All of C[m, n] in tiles of five rows, and of two columns, or of four where there are registers for them: as many
    /// loads as multiply-adds can hide, and accumulators for the latency of two units.
    ///
    /// # Safety
    /// The CPU has V's instruction set; m rows of A and C, n columns of B and C and the depth are inside their buffers, in
    /// as many lanes as are in use.
    #[inline(always)]
    unsafe fn matrix<V: Simd<Scalar = T>, const SHARED_A: bool, const SHARED_B: bool>(mut self, m: usize, n: usize) {
        if self.sums > 1 || self.lanes < V::LANES {
            self.tiles = m * n;
            // SAFETY: the caller's; each number of C apart.
            return unsafe { V::compiled::<_, Apart<V, SHARED_A, SHARED_B>>()((self, n)) };
        }
        /// Rows in tiles of five, what is left of them in smaller ones.
        macro_rules! rows {
            ($columns:literal) => {{
                let mut part = self;
                macro_rules! tiles {
                    ($rows:expr, $with:expr) => {
                        V::compiled::<_, Tiles<V, SHARED_A, SHARED_B, $rows, $columns, { $with }>>()
                    };
                }
                // There are no registers for both.
                let most = match (self.tail.is_null(), self.far) {
                    (false, _) => tiles!(ROWS, TAIL),
                    (true, true) => tiles!(ROWS, if $columns == 4 { FAR } else { PLAIN }),
                    (true, false) => tiles!(ROWS, PLAIN),
                };
                let tasks = [
                    (m / ROWS, ROWS, most),
                    (usize::from(m % ROWS == 3), 3, tiles!(3, TAIL)),
                    ([0, 0, 1, 0, 2][m % ROWS], 2, tiles!(2, TAIL)),
                    (usize::from(m % ROWS == 1), 1, tiles!(1, TAIL)),
                ];
                for (tiles, rows, task) in tasks {
                    if tiles > 0 {
                        part.tiles = tiles;
                        // SAFETY: the caller's: these rows and columns are rows and columns of the matrices.
                        unsafe { task(part) };
                        part.a = part.a.wrapping_add(tiles * rows * part.a_row);
                        part.c = part.c.wrapping_add(tiles * rows * part.c_row);
                    }
                }
            }};
        }
        // Where there are tiles of two sizes, the smaller follow while the columns of B are in the nearest cache.
        let most_strips = if m < ROWS || m.is_multiple_of(ROWS) { usize::MAX } else { 1 };
        /// As many columns as there are, in tiles of so many.
        macro_rules! columns {
            ($columns:literal, $times:expr) => {
                let mut times = $times;
                while times > 0 {
                    self.strips = times.min(most_strips);
                    rows!($columns);
                    self.b = self.b.wrapping_add(self.strips * $columns * self.b_column);
                    self.c = self.c.wrapping_add(self.strips * $columns * self.c_column);
                    times -= self.strips;
                }
            };
        }
        let mut left = n;
        if V::REGISTERS == 32 {
            columns!(4, left / 4);
            left %= 4;
        }
        columns!(2, left / 2);
        columns!(1, left % 2);
    }
}

/// A vector of an operand: one number for all lanes, or each lane's own.
///
/// # Safety
/// The CPU has V's instruction set, and the number or the vector at `at` is inside its buffer.
#[inline(always)]
unsafe fn operand<V: Simd, const SHARED: bool>(at: *const V::Scalar) -> V {
    // SAFETY: the caller's.
    unsafe { if SHARED { V::splat(*at) } else { V::load(at) } }
}

/// Tiles that do nothing but multiply;
pub(super) const PLAIN: u8 = 0;
/// that ask for what they will read of B;
pub(super) const FAR: u8 = 1;
/// whose numbers go through an epilogue, if there is one.
pub(super) const TAIL: u8 = 2;

/// Tiles of ROWS rows and COLUMNS columns, each of which stays in registers.
pub(super) struct Tiles<
    V: Simd,
    const SHARED_A: bool,
    const SHARED_B: bool,
    const ROWS: usize,
    const COLUMNS: usize,
    const WITH: u8,
>(Strip<V::Scalar>, PhantomData<V>);

impl<V: Simd, const SHARED_A: bool, const SHARED_B: bool, const ROWS: usize, const COLUMNS: usize, const WITH: u8>
    From<Strip<V::Scalar>> for Tiles<V, SHARED_A, SHARED_B, ROWS, COLUMNS, WITH>
{
    #[inline(always)]
    fn from(strip: Strip<V::Scalar>) -> Self {
        Tiles(strip, PhantomData)
    }
}

impl<V: Simd, const SHARED_A: bool, const SHARED_B: bool, const ROWS: usize, const COLUMNS: usize, const WITH: u8> Task
    for Tiles<V, SHARED_A, SHARED_B, ROWS, COLUMNS, WITH>
{
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Tiles(strip, _) = self;
        let (mut b, mut first) = (strip.b, strip.c);
        for _ in 0..strip.strips {
            let (mut a, mut c) = (strip.a, first);
            for _ in 0..strip.tiles {
                // SAFETY: made by `Strip::matrix` alone, whose caller promises the CPU, whole vectors of lanes, and that all
                // rows, columns and depths of the strips are inside the buffers.
                unsafe { Self::tile(&strip, a, b, c) };
                a = a.wrapping_add(ROWS * strip.a_row);
                c = c.wrapping_add(ROWS * strip.c_row);
            }
            b = b.wrapping_add(COLUMNS * strip.b_column);
            first = first.wrapping_add(COLUMNS * strip.c_column);
        }
    }
}

impl<V: Simd, const SHARED_A: bool, const SHARED_B: bool, const ROWS: usize, const COLUMNS: usize, const WITH: u8>
    Tiles<V, SHARED_A, SHARED_B, ROWS, COLUMNS, WITH>
{
    /// One tile, of the rows from a on and the columns from b on.
    ///
    /// # Safety
    /// The CPU has V's instruction set; the tile's rows, columns and depth are inside the buffers, in whole vectors of lanes.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // the indices are those of the formula
    unsafe fn tile(strip: &Strip<V::Scalar>, a: *const V::Scalar, b: *const V::Scalar, c: *mut V::Scalar) {
        let Strip { a_row, a_depth, b_column, b_depth, c_row, c_column, depth, add, .. } = *strip;
        // SAFETY: the caller's promises.
        unsafe {
            let mut sums = [[V::zero(); COLUMNS]; ROWS];
            let rows: [*const V::Scalar; ROWS] = std::array::from_fn(|r| a.wrapping_add(r * a_row));
            let (mut at, mut column) = (0, b);
            for _ in 0..depth {
                let mut b_row = [V::zero(); COLUMNS];
                for j in 0..COLUMNS {
                    let at = column.wrapping_add(j * b_column);
                    b_row[j] = operand::<V, SHARED_B>(at);
                    if WITH == FAR {
                        V::prefetch(at.wrapping_add(AHEAD * b_depth));
                    }
                }
                for r in 0..ROWS {
                    let x = operand::<V, SHARED_A>(rows[r].add(at));
                    for j in 0..COLUMNS {
                        sums[r][j] = x.mul_add(b_row[j], sums[r][j]);
                    }
                }
                at = V::opaque(at.wrapping_add(a_depth));
                column = column.wrapping_add(b_depth);
            }
            let to = |r: usize, j: usize| c.add(r * c_row + j * c_column);
            if add {
                for r in 0..ROWS {
                    for j in 0..COLUMNS {
                        sums[r][j] = sums[r][j].add(V::load(to(r, j)));
                    }
                }
            }
            if WITH == TAIL
                && let Some(tail) = strip.tail_at(c)
            {
                sums = tail.tile(sums, [c_row, c_column]);
            }
            for r in 0..ROWS {
                for j in 0..COLUMNS {
                    sums[r][j].store(to(r, j));
                }
            }
        }
    }
}

/// Each number of C apart, in lanes that need not fill the vector, as one sum or several.
struct Apart<V: Simd, const SHARED_A: bool, const SHARED_B: bool>(Strip<V::Scalar>, usize, PhantomData<V>);

impl<V: Simd, const SHARED_A: bool, const SHARED_B: bool> From<(Strip<V::Scalar>, usize)>
    for Apart<V, SHARED_A, SHARED_B>
{
    #[inline(always)]
    fn from((strip, columns): (Strip<V::Scalar>, usize)) -> Self {
        Apart(strip, columns, PhantomData)
    }
}

impl<V: Simd, const SHARED_A: bool, const SHARED_B: bool> Task for Apart<V, SHARED_A, SHARED_B> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Apart(strip, columns, _) = self;
        // SAFETY: made by `Strip::matrix` alone, whose caller promises the CPU and that all rows, columns and depths of
        // the strip are inside the buffers, in as many lanes as are in use.
        unsafe {
            for number in 0..strip.tiles {
                let (row, column) = (number / columns, number % columns);
                let a = strip.a.add(row * strip.a_row);
                let b = strip.b.add(column * strip.b_column);
                let c = strip.c.add(row * strip.c_row + column * strip.c_column);
                // As many sums as a vector of a product alone has lanes, where that runs them along the depth.
                match strip.sums {
                    8 => Self::number::<8>(&strip, a, b, c),
                    4 => Self::number::<4>(&strip, a, b, c),
                    2 => Self::number::<2>(&strip, a, b, c),
                    1 => Self::number::<1>(&strip, a, b, c),
                    sums => unreachable!("{sums} sums"),
                }
            }
        }
    }
}

impl<V: Simd, const SHARED_A: bool, const SHARED_B: bool> Apart<V, SHARED_A, SHARED_B> {
    /// One number of C, in all lanes, as so many sums, which stay in registers.
    ///
    /// # Safety
    /// The CPU has V's instruction set; the number's row, column and C are inside the buffers, in as many lanes as are in use.
    #[inline(always)]
    unsafe fn number<const SUMS: usize>(
        strip: &Strip<V::Scalar>,
        mut a: *const V::Scalar,
        mut b: *const V::Scalar,
        c: *mut V::Scalar,
    ) {
        // SAFETY: the caller's promises.
        unsafe {
            let mask = V::first(strip.lanes);
            let load = |at: *const V::Scalar, shared: bool| match shared {
                true => V::splat(*at),
                false if strip.lanes == V::LANES => V::load(at),
                false => V::load_masked(at, mask),
            };
            let mut sums = [V::zero(); SUMS];
            for _ in 0..strip.depth / SUMS {
                for sum in &mut sums {
                    *sum = load(a, SHARED_A).mul_add(load(b, SHARED_B), *sum);
                    a = a.wrapping_add(strip.a_depth);
                    b = b.wrapping_add(strip.b_depth);
                }
            }
            let rest = strip.depth % SUMS;
            for (i, sum) in sums.iter_mut().enumerate().filter(|_| rest > 0) {
                if i < rest {
                    *sum = load(a, SHARED_A).mul_add(load(b, SHARED_B), *sum);
                    a = a.wrapping_add(strip.a_depth);
                    b = b.wrapping_add(strip.b_depth);
                } else {
                    // What is beyond the depth counts as 0 · 0.
                    *sum = V::zero().mul_add(V::zero(), *sum);
                }
            }
            let mut len = SUMS;
            while len > 1 {
                len /= 2;
                for i in 0..len {
                    sums[i] = sums[i].add(sums[i + len]);
                }
            }
            let sum = if strip.add { sums[0].add(load(c, false)) } else { sums[0] };
            let y = strip.tail_at(c).map_or(sum, |tail| tail.lanes(sum, mask));
            if strip.lanes == V::LANES { y.store(c) } else { y.store_masked(c, mask) }
        }
    }
}
