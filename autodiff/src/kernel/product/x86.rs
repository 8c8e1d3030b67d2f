//! The vectors of x86-64: AVX-512 and AVX2 with FMA, for f32 and f64.

use super::simd::Simd;
use crate::kernel::isa::{self, Task};
use std::arch::asm;
use std::arch::x86_64::*;

/// 512 bits, AVX-512.
#[derive(Clone, Copy)]
pub struct F32x16(__m512);
/// 512 bits, AVX-512.
#[derive(Clone, Copy)]
pub struct F64x8(__m512d);
/// 256 bits with the masks and registers of AVX-512: half a vector, for products with few columns.
#[derive(Clone, Copy)]
pub struct HalfF32x8(__m256);
/// 256 bits with the masks and registers of AVX-512.
#[derive(Clone, Copy)]
pub struct HalfF64x4(__m256d);
/// 256 bits, AVX2.
#[derive(Clone, Copy)]
pub struct F32x8(__m256);
/// 256 bits, AVX2.
#[derive(Clone, Copy)]
pub struct F64x4(__m256d);

/// Writes the functions, which differ in the names of the intrinsics only.
macro_rules! vector {
    (
        $vector:ident: $lanes:literal of $scalar:ty,
        $registers:literal registers, $width:literal wide, in isa::$call:ident;
        $zero:ident $splat:ident $load:ident $store:ident $add:ident $sub:ident $mul:ident $fma:ident;
        first($count:ident) -> $mask:ty { $first:expr }
        load_masked($from:ident, $load_mask:ident) { $load_masked:expr }
        store_masked($to:ident, $store_mask:ident, $value:ident) { $store_masked:expr }
        interleave($a:ident, $b:ident) { $interleave:expr }
        $(square: $square:path;)?
    ) => {
        impl Simd for $vector {
            type Scalar = $scalar;
            type Mask = $mask;
            const LANES: usize = $lanes;
            const REGISTERS: usize = $registers;
            const WIDTH: usize = $width;

            #[inline(always)]
            fn compiled<A, K: Task + From<A>>() -> unsafe fn(A) -> K::Output {
                isa::$call::<A, K>
            }
            #[inline(always)]
            unsafe fn zero() -> Self {
                // SAFETY: the caller promises the features, as for every function below.
                Self(unsafe { $zero() })
            }
            #[inline(always)]
            unsafe fn splat(x: $scalar) -> Self {
                // SAFETY: features.
                Self(unsafe { $splat(x) })
            }
            #[inline(always)]
            unsafe fn first($count: usize) -> $mask {
                $first
            }
            #[inline(always)]
            unsafe fn load(from: *const $scalar) -> Self {
                // SAFETY: features; the caller's pointer is valid for all lanes.
                Self(unsafe { $load(from) })
            }
            #[inline(always)]
            unsafe fn load_masked($from: *const $scalar, $load_mask: $mask) -> Self {
                // SAFETY: features; the caller's pointer is valid for the lanes of the mask.
                Self(unsafe { $load_masked })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $scalar) {
                // SAFETY: features; the caller's pointer is valid for all lanes.
                unsafe { $store(to, self.0) }
            }
            #[inline(always)]
            unsafe fn store_masked(self, $to: *mut $scalar, $store_mask: $mask) {
                let $value = self.0;
                // SAFETY: features; the caller's pointer is valid for the lanes of the mask.
                unsafe { $store_masked }
            }
            #[inline(always)]
            fn prefetch(at: *const $scalar) {
                // SAFETY: a hint, for any address and on any x86-64.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
            }
            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                // SAFETY: features.
                Self(unsafe { $add(self.0, other.0) })
            }
            #[inline(always)]
            unsafe fn sub(self, other: Self) -> Self {
                // SAFETY: features.
                Self(unsafe { $sub(self.0, other.0) })
            }
            #[inline(always)]
            unsafe fn mul(self, other: Self) -> Self {
                // SAFETY: features.
                Self(unsafe { $mul(self.0, other.0) })
            }
            #[inline(always)]
            unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                // SAFETY: features.
                Self(unsafe { $fma(self.0, b.0, c.0) })
            }
            #[inline(always)]
            fn opaque(mut offset: usize) -> usize {
                // SAFETY: no instruction at all.
                unsafe { asm!("/* {0} */", inout(reg) offset, options(pure, nomem, nostack, preserves_flags)) };
                offset
            }
            #[inline(always)]
            unsafe fn interleave(self, other: Self) -> (Self, Self) {
                let ($a, $b) = (self.0, other.0);
                // SAFETY: features.
                let (first, second) = unsafe { $interleave };
                (Self(first), Self(second))
            }
            $(#[inline(always)]
            unsafe fn square(x: *const $scalar, step: usize, y: *mut $scalar, width: usize) {
                // SAFETY: features, and the caller's numbers are inside their buffers.
                unsafe { $square(x, step, y, width) }
            })?
            #[inline(always)]
            unsafe fn sum(self) -> $scalar {
                let mut lanes = [0.0; $lanes];
                // SAFETY: features; `lanes` has room for all lanes.
                unsafe { $store(lanes.as_mut_ptr(), self.0) };
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

/// y[i, j] = x[j, i] for i, j < 8. Rows meet those four further on while they are loaded, so that only squares of four are
/// left, whose shuffles stay in their half of a register.
///
/// # Safety
/// The CPU has AVX, and both squares are inside their buffers.
#[inline(always)]
unsafe fn square_of_eight(x: *const f32, step: usize, y: *mut f32, width: usize) {
    // SAFETY: the caller's promises.
    unsafe {
        for half in 0..2 {
            let row = |k: usize| {
                let x = x.add(k * step + 4 * half);
                _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(_mm_loadu_ps(x)), _mm_loadu_ps(x.add(4 * step)))
            };
            let [a, b, c, d] = [row(0), row(1), row(2), row(3)];
            let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
            let (ab_high, cd_high) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
            let y = y.add(4 * half * width);
            _mm256_storeu_ps(y, _mm256_shuffle_ps::<0x44>(ab, cd));
            _mm256_storeu_ps(y.add(width), _mm256_shuffle_ps::<0xEE>(ab, cd));
            _mm256_storeu_ps(y.add(2 * width), _mm256_shuffle_ps::<0x44>(ab_high, cd_high));
            _mm256_storeu_ps(y.add(3 * width), _mm256_shuffle_ps::<0xEE>(ab_high, cd_high));
        }
    }
}

vector! {
    F32x16: 16 of f32, 32 registers, 4 wide, in isa::avx512;
    _mm512_setzero_ps _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps
        _mm512_add_ps _mm512_sub_ps _mm512_mul_ps _mm512_fmadd_ps;
    first(count) -> __mmask16 { ((1u32 << count) - 1) as __mmask16 }
    load_masked(from, mask) { _mm512_maskz_loadu_ps(mask, from) }
    store_masked(to, mask, value) { _mm512_mask_storeu_ps(to, mask, value) }
    interleave(a, b) {{
        let (low, high) = (
            _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
            _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31),
        );
        (_mm512_permutex2var_ps(a, low, b), _mm512_permutex2var_ps(a, high, b))
    }}
}
vector! {
    F64x8: 8 of f64, 32 registers, 4 wide, in isa::avx512;
    _mm512_setzero_pd _mm512_set1_pd _mm512_loadu_pd _mm512_storeu_pd
        _mm512_add_pd _mm512_sub_pd _mm512_mul_pd _mm512_fmadd_pd;
    first(count) -> __mmask8 { ((1u32 << count) - 1) as __mmask8 }
    load_masked(from, mask) { _mm512_maskz_loadu_pd(mask, from) }
    store_masked(to, mask, value) { _mm512_mask_storeu_pd(to, mask, value) }
    interleave(a, b) {{
        let (low, high) = (_mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15));
        (_mm512_permutex2var_pd(a, low, b), _mm512_permutex2var_pd(a, high, b))
    }}
}
vector! {
    HalfF32x8: 8 of f32, 32 registers, 1 wide, in isa::avx512;
    _mm256_setzero_ps _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps
        _mm256_add_ps _mm256_sub_ps _mm256_mul_ps _mm256_fmadd_ps;
    first(count) -> __mmask8 { ((1u32 << count) - 1) as __mmask8 }
    load_masked(from, mask) { _mm256_maskz_loadu_ps(mask, from) }
    store_masked(to, mask, value) { _mm256_mask_storeu_ps(to, mask, value) }
    interleave(a, b) {{
        let (even, odd) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        (_mm256_permute2f128_ps::<0x20>(even, odd), _mm256_permute2f128_ps::<0x31>(even, odd))
    }}
    square: square_of_eight;
}
vector! {
    HalfF64x4: 4 of f64, 32 registers, 1 wide, in isa::avx512;
    _mm256_setzero_pd _mm256_set1_pd _mm256_loadu_pd _mm256_storeu_pd
        _mm256_add_pd _mm256_sub_pd _mm256_mul_pd _mm256_fmadd_pd;
    first(count) -> __mmask8 { ((1u32 << count) - 1) as __mmask8 }
    load_masked(from, mask) { _mm256_maskz_loadu_pd(mask, from) }
    store_masked(to, mask, value) { _mm256_mask_storeu_pd(to, mask, value) }
    interleave(a, b) {{
        let (even, odd) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
        (_mm256_permute2f128_pd::<0x20>(even, odd), _mm256_permute2f128_pd::<0x31>(even, odd))
    }}
}
vector! {
    F32x8: 8 of f32, 16 registers, 2 wide, in isa::avx2;
    _mm256_setzero_ps _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps
        _mm256_add_ps _mm256_sub_ps _mm256_mul_ps _mm256_fmadd_ps;
    first(count) -> __m256i {
        // SAFETY: features.
        unsafe { _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)) }
    }
    load_masked(from, mask) { _mm256_maskload_ps(from, mask) }
    store_masked(to, mask, value) { _mm256_maskstore_ps(to, mask, value) }
    interleave(a, b) {{
        let (even, odd) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        (_mm256_permute2f128_ps::<0x20>(even, odd), _mm256_permute2f128_ps::<0x31>(even, odd))
    }}
    square: square_of_eight;
}
vector! {
    F64x4: 4 of f64, 16 registers, 2 wide, in isa::avx2;
    _mm256_setzero_pd _mm256_set1_pd _mm256_loadu_pd _mm256_storeu_pd
        _mm256_add_pd _mm256_sub_pd _mm256_mul_pd _mm256_fmadd_pd;
    first(count) -> __m256i {
        // SAFETY: features.
        unsafe { _mm256_cmpgt_epi64(_mm256_set1_epi64x(count as i64), _mm256_setr_epi64x(0, 1, 2, 3)) }
    }
    load_masked(from, mask) { _mm256_maskload_pd(from, mask) }
    store_masked(to, mask, value) { _mm256_maskstore_pd(to, mask, value) }
    interleave(a, b) {{
        let (even, odd) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
        (_mm256_permute2f128_pd::<0x20>(even, odd), _mm256_permute2f128_pd::<0x31>(even, odd))
    }}
}
