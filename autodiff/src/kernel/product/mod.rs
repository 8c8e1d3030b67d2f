//! Matrix products and convolutions, which are one kernel.
//!
//! Both are sums `C[r, j] = Σ_d A[r, d]·B[d, j]` in which B and C have their columns j side by side in
//! memory: the columns of a matrix, or the channels of an NHWC image and of `[kh, kw, in, out]` weights.
//! Columns are therefore the vector lanes, B is read where it lies, and numbers of A are broadcast. What
//! differs between the products is only where the rows of A and C lie and how the depth d walks through A and B:
//!
//! | product | a row r is | the depth d is |
//! |---|---|---|
//! | `A·B` | a row of A | along it |
//! | `Aᵀ·B` | a column of A | down it |
//! | convolution, forward | an output pixel | kernel row × (kernel column, input channel) |
//! | convolution, input gradient | an input pixel | kernel taps that reach it × output channel |
//! | convolution, weight gradient | a weight's (tap, input channel) | image × output row × output column |
//!
//! - `simd`, `portable`, `x86`: vectors of lanes;
//! - `tile`: the micro-kernel, a tile of C in registers;
//! - `walk`: where rows lie; `rows`: cuts a box of them into tiles; `dots`: the case of one column;
//! - `lanes`: products of small matrices side by side, which have the lanes to themselves;
//! - `epilogue`: what becomes of their numbers before they leave the registers;
//! - `geometry`: the shape of a convolution; `axis`: which of its taps are inside the image, and where;
//! - `matmul`, `conv`, `weight_grad`: the public products, which lay out rows and depths. Nothing is packed or copied but
//!   what the weight gradient of many channels reads, without AVX-512, and the transposed right factors of a batch;
//! - `transpose`: what a plan packs of its own, the transposed operands; `spread`: a vector in every lane.
//!
//! Rounding is fixed by shape: a number's sum runs in the order of the depth (or, with one column, in 8 lanes of
//! f32 and 4 of f64) whatever its tile, its position in the batch or the thread. AVX2 and AVX-512 give the same
//! bits; the portable kernels round each multiplication too and have narrower lanes.

mod axis;
mod conv;
mod dots;
mod epilogue;
mod geometry;
mod lanes;
mod matmul;
mod portable;
mod rows;
mod simd;
mod spread;
#[cfg(test)]
mod tests;
mod tile;
mod transpose;
#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod vectorised;
mod walk;
mod weight_grad;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use conv::Conv;
pub use epilogue::{Epilogue, Form};
pub use geometry::ConvGeometry;
pub use lanes::LaneMatMul;
pub use matmul::MatMul;
pub(super) use transpose::transpose;

use super::isa::{Isa, Level, Task};
pub(super) use simd::Simd;
pub(super) use spread::spread;
use std::marker::PhantomData;

/// A number type that products are made of: f32 or f64.
pub trait ProductElement: vectors::Vectors {}
impl ProductElement for f32 {}
impl ProductElement for f64 {}

/// Which vectors a number type has; private, so that [`ProductElement`] is sealed.
mod vectors {
    use super::portable::Lanes;
    use super::simd::Simd;
    #[cfg(target_arch = "x86_64")]
    use super::x86::{F32x8, F32x16, F64x4, F64x8, HalfF32x8, HalfF64x4};

    pub trait Vectors: Copy + Send + Sync {
        #[cfg(target_arch = "x86_64")]
        type Avx512: Simd<Scalar = Self>;
        /// For products whose columns fill half a vector at most.
        #[cfg(target_arch = "x86_64")]
        type HalfAvx512: Simd<Scalar = Self>;
        #[cfg(target_arch = "x86_64")]
        type Avx2: Simd<Scalar = Self>;
        type Portable: Simd<Scalar = Self>;
    }

    impl Vectors for f32 {
        #[cfg(target_arch = "x86_64")]
        type Avx512 = F32x16;
        #[cfg(target_arch = "x86_64")]
        type HalfAvx512 = HalfF32x8;
        #[cfg(target_arch = "x86_64")]
        type Avx2 = F32x8;
        type Portable = Lanes<f32, 4>;
    }

    impl Vectors for f64 {
        #[cfg(target_arch = "x86_64")]
        type Avx512 = F64x8;
        #[cfg(target_arch = "x86_64")]
        type HalfAvx512 = HalfF64x4;
        #[cfg(target_arch = "x86_64")]
        type Avx2 = F64x4;
        type Portable = Lanes<f64, 2>;
    }
}

/// A [`Task`] written for any vector of `T`.
pub(super) trait VectorTask<T> {
    /// # Safety
    /// The CPU has V's instruction set.
    unsafe fn run<V: Simd<Scalar = T>>(self);
}

/// Runs `task`, which has so many columns, with the vectors of `isa`, or halves of them where the columns fill no more.
#[inline]
pub(super) fn dispatch<T: ProductElement, K: VectorTask<T>>(isa: Isa, columns: usize, task: K) {
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 if columns <= <T::HalfAvx512 as Simd>::LANES => {
            // SAFETY: an `Isa` exists only for a CPU that has it.
            unsafe { T::HalfAvx512::compiled::<K, With<T, T::HalfAvx512, K>>()(task) }
        }
        _ => dispatch_whole(isa, task),
    }
}

/// Runs `task` with whole vectors of `isa`.
#[inline]
fn dispatch_whole<T: ProductElement, K: VectorTask<T>>(isa: Isa, task: K) {
    // SAFETY: an `Isa` exists only for a CPU that has it, and each level gets its own vectors.
    unsafe {
        match isa.level() {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => T::Avx512::compiled::<K, With<T, T::Avx512, K>>()(task),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => T::Avx2::compiled::<K, With<T, T::Avx2, K>>()(task),
            _ => T::Portable::compiled::<K, With<T, T::Portable, K>>()(task),
        }
    }
}

/// A vector task with its vector chosen.
struct With<T, V, K>(K, PhantomData<(T, V)>);

impl<T, V, K> From<K> for With<T, V, K> {
    #[inline(always)]
    fn from(task: K) -> Self {
        With(task, PhantomData)
    }
}

impl<T, V: Simd<Scalar = T>, K: VectorTask<T>> Task for With<T, V, K> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        // SAFETY: made only by `dispatch`, for a CPU that has V's instruction set.
        unsafe { self.0.run::<V>() }
    }
}

/// Where a product is written, by one thread or several.
///
/// Each writes what is its own: the contract of those who take the pointer.
struct Target<'a, T>(*mut T, PhantomData<&'a mut [T]>);
// SAFETY: a pointer to plain numbers, exclusively borrowed; parts of a product write disjoint numbers.
unsafe impl<T: Send> Sync for Target<'_, T> {}

impl<'a, T> Target<'a, T> {
    fn new(c: &'a mut [T]) -> Self {
        Target(c.as_mut_ptr(), PhantomData)
    }

    fn pointer(&self) -> *mut T {
        self.0
    }
}

/// The number of elements of a shape. Offsets inside a buffer of that length cannot overflow.
fn volume(shape: &[usize]) -> usize {
    shape.iter().try_fold(1usize, |product, &x| product.checked_mul(x)).expect("a shape that fits in memory")
}
