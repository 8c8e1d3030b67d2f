//! Transposed copies: the right operands that products want with their columns side by side.

use super::simd::Simd;
use super::{ProductElement, VectorTask, dispatch};
use crate::kernel::isa::Isa;

/// The most lanes of any vector.
const MOST_LANES: usize = 16;

/// y[i, j] = x[j·step + i] for y of `lines` rows, in squares that are transposed in registers.
///
/// # Panics
/// If y is no whole number of rows, or x ends before the last number that is read.
pub fn transpose<T: ProductElement>(isa: Isa, x: &[T], step: usize, y: &mut [T], lines: usize) {
    if y.is_empty() {
        return;
    }
    let len = y.len() / lines;
    assert!(len * lines == y.len(), "{} numbers in {lines} rows", y.len());
    let end = (len - 1).checked_mul(step).and_then(|last| last.checked_add(lines));
    assert!(end.is_some_and(|end| end <= x.len()), "{lines} numbers from each of {len} rows, {step} apart");
    dispatch(isa, lines, Job { x, step, y, lines, len });
}

struct Job<'a, T> {
    x: &'a [T],
    step: usize,
    y: &'a mut [T],
    lines: usize,
    len: usize,
}

impl<T: ProductElement> VectorTask<T> for Job<'_, T> {
    #[inline(always)]
    unsafe fn run<V: Simd<Scalar = T>>(self) {
        let Job { x, step, y, lines, len } = self;
        let (whole_lines, whole) = (lines - lines % V::LANES, len - len % V::LANES);
        for i in (0..whole_lines).step_by(V::LANES) {
            for j in (0..whole).step_by(V::LANES) {
                // SAFETY: the CPU has V's instructions (`dispatch`); whole squares are inside x and y, whose lengths
                // `transpose` has checked.
                unsafe {
                    let mut square = [V::zero(); MOST_LANES];
                    for (k, row) in square.iter_mut().enumerate().take(V::LANES) {
                        *row = V::load(x.as_ptr().add((j + k) * step + i));
                    }
                    // Each round of perfect shuffles rotates the bits of (row, column) by one place.
                    for _ in 0..V::LANES.ilog2() {
                        let before = square;
                        for k in 0..V::LANES / 2 {
                            (square[2 * k], square[2 * k + 1]) = before[k].interleave(before[k + V::LANES / 2]);
                        }
                    }
                    for (k, row) in square.iter().enumerate().take(V::LANES) {
                        row.store(y.as_mut_ptr().add((i + k) * len + j));
                    }
                }
            }
        }
        for i in 0..lines {
            let from = if i < whole_lines { whole } else { 0 };
            for j in from..len {
                y[i * len + j] = x[j * step + i];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_goes_where_it_belongs() {
        for isa in Isa::available() {
            for (lines, len, step) in [(1, 1, 1), (16, 16, 16), (40, 33, 41), (5, 70, 7), (64, 64, 64), (17, 1, 17)] {
                let x: Vec<f32> = (0..(len - 1) * step + lines).map(|i| i as f32).collect();
                let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
                let (mut y, mut y_wide) = (vec![0.0; lines * len], vec![0.0; lines * len]);
                transpose(isa, &x, step, &mut y, lines);
                transpose(isa, &wide, step, &mut y_wide, lines);
                for (at, (&y, &wide)) in y.iter().zip(&y_wide).enumerate() {
                    let expected = at % len * step + at / len;
                    assert_eq!((y, wide), (expected as f32, expected as f64), "{isa}, [{lines}, {len}], {at}");
                }
            }
        }
    }
}
