//! One vector of lanes: the only arithmetic that the product kernels are written in.

use crate::kernel::isa::Task;

/// The most lanes of any vector.
pub const WIDEST: usize = 16;

/// A vector of `LANES` numbers in a register of some instruction set.
///
/// # Safety
/// Every unsafe function here, and what [`Simd::compiled`] returns, may be called only on a CPU that has the
/// instruction set of the implementing type. They are fast only where they are inlined into what `compiled`
/// returns. Pointers need the alignment of a scalar only.
pub trait Simd: Copy {
    type Scalar: Copy + std::ops::Add<Output = Self::Scalar>;
    /// Which lanes a partial load or store touches.
    type Mask: Copy;

    const LANES: usize;
    /// Vector registers of the instruction set: decides how large a tile can be.
    const REGISTERS: usize;
    /// The most vectors side by side in a tile. Wide tiles load A seldom, tall tiles B: these have about as many
    /// of both.
    const WIDTH: usize;

    /// The function that makes a task of its argument and runs it, compiled for this instruction set.
    /// Micro-kernels are called through this pointer: the compiler would inline direct calls, and they need all
    /// the registers.
    fn compiled<A, K: Task + From<A>>() -> unsafe fn(A) -> K::Output;

    unsafe fn zero() -> Self;
    unsafe fn splat(x: Self::Scalar) -> Self;

    /// The lanes `0..count`, `count ≤ LANES`.
    unsafe fn first(count: usize) -> Self::Mask;
    unsafe fn load(from: *const Self::Scalar) -> Self;
    /// Lanes outside the mask are zero and their memory is not touched.
    unsafe fn load_masked(from: *const Self::Scalar, mask: Self::Mask) -> Self;
    unsafe fn store(self, to: *mut Self::Scalar);
    /// Memory of lanes outside the mask is not touched.
    unsafe fn store_masked(self, to: *mut Self::Scalar, mask: Self::Mask);

    /// Asks for the cache line at an address.
    #[inline(always)]
    fn prefetch(_at: *const Self::Scalar) {}

    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// `self · b + c`, with one rounding where the instruction set has FMA and two where it does not.
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;

    /// `offset`, of which the compiler cannot see that it is a loop's counter. Otherwise it replaces one offset
    /// shared by many pointers by as many moving pointers, more than there are registers.
    #[inline(always)]
    fn opaque(offset: usize) -> usize {
        offset
    }

    /// a₀ b₀ a₁ b₁ …, cut in two.
    unsafe fn interleave(self, other: Self) -> (Self, Self);

    /// y[i, j] = x[j, i] for i, j < LANES, in rows of `width` and `step` numbers.
    #[inline(always)]
    unsafe fn square(x: *const Self::Scalar, step: usize, y: *mut Self::Scalar, width: usize) {
        // SAFETY: the caller's.
        unsafe { shuffled::<Self>([Self::LANES; 3], x, step, y, width) }
    }

    /// The sum of all lanes, in halves: lane i + lane i + LANES/2, and so on.
    unsafe fn sum(self) -> Self::Scalar;
}

/// A square: of x `present` rows of `down` numbers, of y `down` rows of `across`.
///
/// # Safety
/// The CPU has V's instructions, and these numbers are inside their buffers; there are at most LANES of each.
#[inline(always)]
pub unsafe fn shuffled<V: Simd>(
    [present, across, down]: [usize; 3],
    x: *const V::Scalar,
    step: usize,
    y: *mut V::Scalar,
    width: usize,
) {
    // SAFETY: the caller's promises.
    unsafe {
        let (read, write) = (V::first(down), V::first(across));
        let mut square = [V::zero(); WIDEST];
        for (k, row) in square.iter_mut().enumerate().take(present) {
            let x = x.wrapping_add(k * step);
            *row = if down == V::LANES { V::load(x) } else { V::load_masked(x, read) };
        }
        // Each round of perfect shuffles rotates the bits of (row, column) by one place.
        for _ in 0..V::LANES.ilog2() {
            let before = square;
            for k in 0..V::LANES / 2 {
                (square[2 * k], square[2 * k + 1]) = before[k].interleave(before[k + V::LANES / 2]);
            }
        }
        for (k, row) in square.iter().enumerate().take(down) {
            let y = y.wrapping_add(k * width);
            if across == V::LANES { row.store(y) } else { row.store_masked(y, write) }
        }
    }
}
