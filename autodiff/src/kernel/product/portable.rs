//! Vectors for any machine: arrays, which the compiler maps to what the target has.

use super::simd::Simd;
use crate::kernel::isa::Task;

/// `L` numbers. `a·b + c` is rounded twice: without hardware FMA a fused one would be a library call.
#[derive(Clone, Copy)]
pub struct Lanes<T, const L: usize>([T; L]);

macro_rules! lanes {
    ($scalar:ty, $lanes:literal) => {
        // Plain Rust on plain arrays: any CPU will do, and what is left of the trait's contract is that the
        // pointers are valid for the lanes touched.
        impl Simd for Lanes<$scalar, $lanes> {
            type Scalar = $scalar;
            type Mask = usize;
            const LANES: usize = $lanes;
            const REGISTERS: usize = 16;
            const WIDTH: usize = 2;

            #[inline(always)]
            fn compiled<A, K: Task + From<A>>() -> unsafe fn(A) -> K::Output {
                |argument| K::from(argument).run()
            }
            #[inline(always)]
            unsafe fn zero() -> Self {
                Lanes([0.0; $lanes])
            }
            #[inline(always)]
            unsafe fn splat(x: $scalar) -> Self {
                Lanes([x; $lanes])
            }
            #[inline(always)]
            unsafe fn first(count: usize) -> usize {
                count
            }
            #[inline(always)]
            unsafe fn load(from: *const $scalar) -> Self {
                // SAFETY: the caller's pointer is valid for all lanes.
                Lanes(unsafe { from.cast::<[$scalar; $lanes]>().read_unaligned() })
            }
            #[inline(always)]
            unsafe fn load_masked(from: *const $scalar, count: usize) -> Self {
                let mut lanes = [0.0; $lanes];
                for (i, lane) in lanes.iter_mut().enumerate() {
                    if i < count {
                        // SAFETY: lane i is inside the mask, for which the caller's pointer is valid.
                        *lane = unsafe { *from.add(i) };
                    }
                }
                Lanes(lanes)
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $scalar) {
                // SAFETY: the caller's pointer is valid for all lanes.
                unsafe { to.cast::<[$scalar; $lanes]>().write_unaligned(self.0) }
            }
            #[inline(always)]
            unsafe fn store_masked(self, to: *mut $scalar, count: usize) {
                for (i, lane) in self.0.into_iter().enumerate() {
                    if i < count {
                        // SAFETY: lane i is inside the mask, for which the caller's pointer is valid.
                        unsafe { *to.add(i) = lane };
                    }
                }
            }
            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                let mut sum = self.0;
                for i in 0..$lanes {
                    sum[i] += other.0[i];
                }
                Lanes(sum)
            }
            #[inline(always)]
            unsafe fn sub(self, other: Self) -> Self {
                let mut difference = self.0;
                for i in 0..$lanes {
                    difference[i] -= other.0[i];
                }
                Lanes(difference)
            }
            #[inline(always)]
            unsafe fn mul(self, other: Self) -> Self {
                let mut product = self.0;
                for i in 0..$lanes {
                    product[i] *= other.0[i];
                }
                Lanes(product)
            }
            #[inline(always)]
            unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                let mut sum = c.0;
                for i in 0..$lanes {
                    sum[i] += self.0[i] * b.0[i];
                }
                Lanes(sum)
            }
            #[inline(always)]
            unsafe fn interleave(self, other: Self) -> (Self, Self) {
                let number = |i: usize| if i % 2 == 0 { self.0[i / 2] } else { other.0[i / 2] };
                (Lanes(std::array::from_fn(number)), Lanes(std::array::from_fn(|i| number(i + $lanes))))
            }
            #[inline(always)]
            unsafe fn sum(self) -> $scalar {
                let mut lanes = self.0;
                let mut half = $lanes / 2;
                while half > 0 {
                    for i in 0..half {
                        lanes[i] += lanes[i + half];
                    }
                    half /= 2;
                }
                lanes[0]
            }
        }
    };
}

lanes!(f32, 4);
lanes!(f64, 2);
