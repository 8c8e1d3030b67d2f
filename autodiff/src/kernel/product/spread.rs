//! One number in every lane.

use super::simd::Simd;
use super::{ProductElement, VectorTask, dispatch};
use crate::kernel::isa::Isa;

/// y[i, l] = x[i] in all `lanes`. Loops over arrays of lanes become scattered stores with AVX-512, four times as slow.
///
/// # Panics
/// If y does not have as many numbers as x has in all lanes.
pub fn spread<T: ProductElement>(isa: Isa, lanes: usize, x: &[T], y: &mut [T]) {
    assert_eq!(y.len(), x.len() * lanes, "{} numbers in {lanes} lanes", x.len());
    dispatch(isa, lanes, Job { lanes, x, y });
}

struct Job<'a, T> {
    lanes: usize,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: ProductElement> VectorTask<T> for Job<'_, T> {
    #[inline(always)]
    unsafe fn run<V: Simd<Scalar = T>>(self) {
        let Job { lanes, x, y } = self;
        let whole = lanes - lanes % V::LANES;
        for (i, &number) in x.iter().enumerate() {
            // SAFETY: the CPU has V's instructions (`dispatch`), and `spread` has checked that y has all lanes of x.
            unsafe {
                let (vector, at) = (V::splat(number), y.as_mut_ptr().add(i * lanes));
                for lane in (0..whole).step_by(V::LANES) {
                    vector.store(at.add(lane));
                }
                for lane in whole..lanes {
                    *at.add(lane) = number;
                }
            }
        }
    }
}
