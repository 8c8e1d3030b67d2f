//! Transposed copies: the right operands that products want with their columns side by side.

use super::simd::{Simd, WIDEST, shuffled};
use super::{ProductElement, VectorTask, dispatch};
use crate::kernel::isa::Isa;

/// Lanes of squares where they do not fit the widest.
const NARROW: usize = 8;

/// y[i, j] = x[j·step + i] for the `rows` rows that x has, and 0 beyond them, for y of `lines` rows; in squares that are
/// transposed in registers.
///
/// # Panics
/// If y is no whole number of rows, or narrower than x has rows, or x ends before the last number that is read.
pub fn transpose<T: ProductElement>(isa: Isa, x: &[T], [rows, step]: [usize; 2], y: &mut [T], lines: usize) {
    if y.is_empty() {
        return;
    }
    let width = y.len() / lines;
    assert!(width * lines == y.len() && rows <= width, "{} numbers in {lines} rows, from {rows}", y.len());
    let last = rows.checked_sub(1).map(|last| last.checked_mul(step).and_then(|last| last.checked_add(lines)));
    assert!(last.is_none_or(|end| end.is_some_and(|end| end <= x.len())), "{rows} rows of {lines}, {step} apart");
    let fits = [lines, rows, width].iter().all(|n| n.is_multiple_of(WIDEST));
    dispatch(isa, if fits { WIDEST } else { NARROW.min(lines).min(width) }, Job { x, rows, step, y, lines, width });
}

struct Job<'a, T> {
    x: &'a [T],
    rows: usize,
    step: usize,
    y: &'a mut [T],
    lines: usize,
    width: usize,
}

impl<T: ProductElement> VectorTask<T> for Job<'_, T> {
    #[inline(always)]
    unsafe fn run<V: Simd<Scalar = T>>(self) {
        let Job { x, rows, step, y, lines, width } = self;
        let (whole_lines, whole) = (lines - lines % V::LANES, rows - rows % V::LANES);
        for i in (0..lines).step_by(V::LANES) {
            for j in (0..width).step_by(V::LANES) {
                let inside = i < whole_lines && j < whole;
                // SAFETY: the CPU has V's instructions (`dispatch`); whole squares, and what is asked of others, are inside x
                // and y, whose lengths `transpose` has checked.
                unsafe {
                    let (x, y) = (x.as_ptr().wrapping_add(j * step + i), y.as_mut_ptr().add(i * width + j));
                    if inside {
                        V::square(x, step, y, width);
                    } else {
                        let present = rows.saturating_sub(j).min(V::LANES);
                        let [across, down] = [width - j, lines - i].map(|left| left.min(V::LANES));
                        shuffled::<V>([present, across, down], x, step, y, width);
                    }
                }
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
            let shapes =
                [(1, 1, 1), (16, 16, 16), (40, 33, 41), (5, 70, 7), (64, 64, 64), (17, 1, 17), (48, 10, 48), (9, 0, 9)];
            for ((lines, rows, step), more) in shapes.into_iter().flat_map(|shape| [0, 6, 37].map(|more| (shape, more)))
            {
                let (x, width): (Vec<f32>, _) =
                    ((1..=rows * step + lines).map(|i| i as f32).collect(), rows + more.max(usize::from(rows == 0)));
                let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
                let (mut y, mut y_wide) = (vec![f32::NAN; lines * width], vec![f64::NAN; lines * width]);
                transpose(isa, &x, [rows, step], &mut y, lines);
                transpose(isa, &wide, [rows, step], &mut y_wide, lines);
                for (at, (&y, &wide)) in y.iter().zip(&y_wide).enumerate() {
                    let (line, row) = (at / width, at % width);
                    let expected = if row < rows { row * step + line + 1 } else { 0 };
                    assert_eq!((y, wide), (expected as f32, expected as f64), "{isa}, [{lines}, {width}], {at}");
                }
            }
        }
    }
}
