//! Sums whose rounding is fixed by shape alone.
//!
//! A sum over the rows of an [n, period] matrix adds rows in order into `period` running totals; every [`CHUNK`] rows
//! the totals move up into a second level, and every [`SEGMENT`] rows from there into a third, so that the rounding
//! error grows with CHUNK + SEGMENT/CHUNK + n/SEGMENT instead of n. How the rows arrive, all at once or in blocks
//! between other work of a fused pass, changes nothing; and segments can be summed apart, by different threads, and
//! added in order. The sum of a whole vector is the same with period [`LANES`], whose totals are then added pairwise;
//! so is the sum of each short row.

use crate::element::Element;

/// Running totals of a sum over a vector.
pub(crate) const LANES: usize = 64;
/// Rows between moves to the second level.
const CHUNK: usize = 64;
/// Rows between moves to the third level: whole chunks.
pub(super) const SEGMENT: usize = 16 * CHUNK;

/// What an accumulation needs: three levels of totals.
pub(crate) fn work(period: usize) -> usize {
    3 * period
}

/// The levels in a piece of `work`.
#[inline(always)]
fn levels<T>(work: &mut [T], period: usize) -> [&mut [T]; 3] {
    let (chunk, rest) = work.split_at_mut(period);
    let (segment, total) = rest.split_at_mut(period);
    [chunk, segment, total]
}

/// to += from; from = 0
#[inline(always)]
fn move_up<T: Element>(from: &mut [T], to: &mut [T]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *to + *from;
        *from = T::zero();
    }
}

/// Adds `x`, the elements from position `at` on, to the totals in `work`.
#[inline(always)]
pub(super) fn accumulate<T: Element>(work: &mut [T], period: usize, at: usize, mut x: &[T]) {
    let [chunk, segment, total] = levels(work, period);
    // A division takes as long as many additions, and most sums come whole.
    let (mut row, mut phase) = if at == 0 { (0, 0) } else { (at / period, at % period) };
    while !x.is_empty() {
        let taken = if phase == 0 && x.len() >= period {
            let rows = (x.len() / period).min(CHUNK - row % CHUNK);
            add_rows(chunk, &x[..rows * period]);
            row += rows;
            rows * period
        } else {
            let len = (period - phase).min(x.len());
            for (a, &b) in chunk[phase..phase + len].iter_mut().zip(&x[..len]) {
                *a = *a + b;
            }
            phase += len;
            if phase == period {
                (row, phase) = (row + 1, 0);
            }
            len
        };
        x = &x[taken..];
        if phase == 0 && row.is_multiple_of(CHUNK) {
            move_up(chunk, segment);
            if row.is_multiple_of(SEGMENT) {
                move_up(segment, total);
            }
        }
    }
}

/// totals += each row in order, of several a strip of columns at a time, so that the totals stay in registers.
#[inline(always)]
fn add_rows<T: Element>(totals: &mut [T], x: &[T]) {
    let period = totals.len();
    let Some(last) = period.checked_sub(STRIP).filter(|_| x.len() > period) else {
        for row in x.chunks_exact(period) {
            for (s, &v) in totals.iter_mut().zip(row) {
                *s = *s + v;
            }
        }
        return;
    };
    // What is less than a strip at the end is the end of a whole one, of which the rest is computed twice.
    let rest = period % STRIP;
    let end = if rest > 0 { strip(totals, x, last) } else { [T::zero(); STRIP] };
    for column in (0..=last).step_by(STRIP) {
        let sums = strip(totals, x, column);
        totals[column..column + STRIP].copy_from_slice(&sums);
    }
    totals[period - rest..].copy_from_slice(&end[STRIP - rest..]);
}

/// Columns that are summed together. Of fewer the compiler makes no vectors.
const STRIP: usize = 32;

/// The totals of the columns from one on, with all rows added.
#[inline(always)]
fn strip<T: Element>(totals: &[T], x: &[T], column: usize) -> [T; STRIP] {
    let mut sums = [T::zero(); STRIP];
    sums.copy_from_slice(&totals[column..column + STRIP]);
    for row in x.chunks_exact(totals.len()) {
        let row: &[T; STRIP] = row[column..column + STRIP].try_into().expect("a strip");
        for (s, &v) in sums.iter_mut().zip(row) {
            *s = *s + v;
        }
    }
    sums
}

/// Writes the sum of each column.
#[inline(always)]
pub(super) fn finish_rows<T: Element>(work: &mut [T], period: usize, y: &mut [T]) {
    let [chunk, segment, total] = levels(work, period);
    for (((y, &t), &s), &c) in y.iter_mut().zip(&*total).zip(&*segment).zip(&*chunk) {
        *y = t + (s + c);
    }
}

/// The sum of all totals, pairwise: of those of each of y's numbers, which lie side by side.
#[inline(always)]
pub(super) fn finish_whole<T: Element>(work: &mut [T], period: usize, y: &mut [T]) {
    let [chunk, segment, total] = levels(work, period);
    for ((c, &s), &t) in chunk.iter_mut().zip(&*segment).zip(&*total) {
        *c = t + (s + *c);
    }
    pairwise(chunk, y.len());
    y.copy_from_slice(&chunk[..y.len()]);
}

/// y = the sum over segments of the totals that start every `stride` numbers, in order.
#[inline(always)]
pub(super) fn add_segments<T: Element>(segments: &[T], stride: usize, y: &mut [T]) {
    y.fill(T::zero());
    for segment in segments.chunks(stride) {
        for (y, &s) in y.iter_mut().zip(segment) {
            *y = *y + s;
        }
    }
}

/// The sum of all rows of `width` numbers, which is left in the first.
#[inline(always)]
pub(super) fn pairwise<T: Element>(totals: &mut [T], width: usize) {
    let mut len = totals.len() / width;
    while len > 1 {
        let half = len.div_ceil(2);
        let (low, high) = totals[..len * width].split_at_mut(half * width);
        for (a, &b) in low.iter_mut().zip(&*high) {
            *a = *a + b;
        }
        len = half;
    }
}

/// The totals that the sum of a vector runs through, of vectors of `len` numbers in so many lanes.
pub(super) fn whole_period(len: usize, lanes: usize) -> usize {
    (len / lanes).clamp(1, LANES) * lanes
}

/// The sum of one vector.
#[inline(always)]
pub(super) fn sum_vector<T: Element>(x: &[T]) -> T {
    if x.len() <= LANES {
        // The first level of totals is all there is, and each has one number.
        let mut totals = [T::zero(); LANES];
        for (total, &x) in totals.iter_mut().zip(x) {
            *total = *total + x;
        }
        pairwise(&mut totals[..x.len().max(1)], 1);
        return totals[0];
    }
    let mut totals = [T::zero(); 3 * LANES];
    let period = whole_period(x.len(), 1);
    let work = &mut totals[..work(period)];
    accumulate(work, period, 0, x);
    let mut sum = [T::zero()];
    finish_whole(work, period, &mut sum);
    sum[0]
}

/// The sum of vectors whose numbers lie side by side, as many as y has.
#[inline(always)]
pub(super) fn sum_vectors<T: Element>(x: &[T], y: &mut [T], work: &mut [T]) {
    let period = whole_period(x.len(), y.len());
    let work = &mut work[..self::work(period)];
    work.fill(T::zero());
    accumulate(work, period, 0, x);
    finish_whole(work, period, y);
}

/// A sum over the middle axis of [outer, summed, inner].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SumShape {
    pub summed: usize,
    pub inner: usize,
    /// Whether the inner axis is lanes, each of which is summed as one vector is; otherwise rows are added in order.
    pub whole: bool,
}

/// The `work` of [`sum_middle`].
pub(crate) fn sum_middle_work(SumShape { summed, inner, whole }: SumShape) -> usize {
    match (inner, whole) {
        (1, _) => 0,
        (_, true) => work(whole_period(summed * inner, inner)),
        (_, false) if summed <= CHUNK => 0,
        (_, false) => work(inner),
    }
}

/// y[outer, inner] = Σ over the middle axis of x[outer, summed, inner].
#[inline(always)]
pub(super) fn sum_middle<T: Element>(x: &[T], y: &mut [T], shape: SumShape, work: &mut [T]) {
    let SumShape { summed, inner, whole } = shape;
    if inner == 1 {
        if summed == 0 {
            y.fill(T::zero());
            return;
        }
        for (y, row) in y.iter_mut().zip(x.chunks_exact(summed)) {
            *y = sum_vector(row);
        }
        return;
    }
    let slab = summed * inner;
    for (o, y) in y.chunks_exact_mut(inner).enumerate() {
        if whole {
            sum_vectors(&x[o * slab..(o + 1) * slab], y, work);
            continue;
        }
        if summed <= CHUNK {
            // The first level of totals is all there is.
            y.fill(T::zero());
            add_rows(y, &x[o * slab..(o + 1) * slab]);
            continue;
        }
        work.fill(T::zero());
        accumulate(work, inner, 0, &x[o * slab..(o + 1) * slab]);
        finish_rows(work, inner, y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_any_length_give_the_same_bits() {
        let x: Vec<f32> = (0..10_007).map(|i| ((i * 7919) % 1000) as f32 * 1.37e-3 - 0.3).collect();
        for period in [1, 5, 8, 13, 31, 32, 40, 64, 100] {
            let whole = |block: usize| {
                let mut work = vec![0.0; work(period)];
                for (i, part) in x.chunks(block).enumerate() {
                    accumulate(&mut work, period, i * block, part);
                }
                let mut y = vec![0.0; period];
                finish_rows(&mut work, period, &mut y);
                y.iter().map(|v: &f32| v.to_bits()).collect::<Vec<_>>()
            };
            let reference = whole(x.len());
            for block in [1, 7, 64, 500, 4096] {
                assert_eq!(whole(block), reference, "period {period}, block {block}");
            }
        }
    }

    #[test]
    fn columns_are_summed_in_order() {
        let x: Vec<f32> = (0..63 * 45).map(|i| ((i * 7919) % 1000) as f32 * 1.37e-3 - 0.3).collect();
        // Fewer rows than a chunk: one addition after the other.
        for period in [1, 5, 7, 8, 9, 31, 32, 33, 40, 45] {
            let mut work = vec![0.0; work(period)];
            accumulate(&mut work, period, 0, &x[..63 * period]);
            let mut y = vec![0.0; period];
            finish_rows(&mut work, period, &mut y);
            for (column, y) in y.iter().enumerate() {
                let sum = x[..63 * period].iter().skip(column).step_by(period).fold(0.0, |sum: f32, &v| sum + v);
                assert_eq!(y.to_bits(), sum.to_bits(), "period {period}, column {column}");
            }
        }
    }

    #[test]
    fn short_and_long_middle_axes_are_summed_alike() {
        let x: Vec<f32> = (0..3 * 65 * 40).map(|i| ((i * 7919) % 1000) as f32 * 1.37e-3 - 0.3).collect();
        for (summed, inner) in [(0, 5), (1, 40), (10, 40), (63, 7), (64, 33), (65, 33)] {
            let (shape, mut y) = (SumShape { summed, inner, whole: false }, vec![f32::NAN; 3 * inner]);
            sum_middle(&x[..3 * summed * inner], &mut y, shape, &mut vec![0.0; sum_middle_work(shape)]);
            for (o, y) in y.chunks(inner).enumerate() {
                let (mut work, mut expected) = (vec![0.0; work(inner)], vec![f32::NAN; inner]);
                accumulate(&mut work, inner, 0, &x[o * summed * inner..][..summed * inner]);
                finish_rows(&mut work, inner, &mut expected);
                assert_eq!(y, expected, "{summed} rows of {inner}");
            }
        }
    }

    #[test]
    fn short_vectors_are_summed_as_long_ones_are() {
        let x: Vec<f32> = (0..LANES + 1).map(|i| ((i * 7919) % 1000) as f32 * 1.37e-3 - 0.3).collect();
        for len in 0..=LANES + 1 {
            let period = whole_period(len, 1);
            let (mut work, mut expected) = (vec![0.0; work(period)], [f32::NAN]);
            accumulate(&mut work, period, 0, &x[..len]);
            finish_whole(&mut work, period, &mut expected);
            assert_eq!(sum_vector(&x[..len]).to_bits(), expected[0].to_bits(), "{len} numbers");
        }
        assert_eq!(sum_vector(&[-0.0_f32]).to_bits(), 0);
    }

    #[test]
    fn long_sums_lose_little() {
        // 2²⁰ times 0.1f32: naive summation is off by 1 %; two levels of 64 lanes by a few units of 1e-6.
        let x = vec![0.1_f32; 1 << 20];
        let exact = f64::from(0.1_f32) * f64::from(1 << 20);
        assert!((f64::from(sum_vector(&x)) / exact - 1.0).abs() < 1e-5);
    }

    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    #[test]
    fn sums_are_vectorised() {
        use crate::kernel::{Task, machine_code::assert_vectorised};

        struct Whole<'a, T>(&'a [T]);
        impl<T: Element> Task for Whole<'_, T> {
            type Output = T;
            #[inline(always)]
            fn run(self) -> T {
                sum_vector(self.0)
            }
        }
        struct Columns<'a, T>(&'a mut [T], usize, &'a [T]);
        impl<T: Element> Task for Columns<'_, T> {
            type Output = ();
            #[inline(always)]
            fn run(self) {
                accumulate(self.0, self.1, 0, self.2);
            }
        }
        assert_vectorised::<Whole<'_, f32>>("the sum of a vector");
        assert_vectorised::<Whole<'_, f64>>("the sum of a vector");
        assert_vectorised::<Columns<'_, f32>>("the sums of columns");
        assert_vectorised::<Columns<'_, f64>>("the sums of columns");
    }
}
