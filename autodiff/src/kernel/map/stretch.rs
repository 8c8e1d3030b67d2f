//! How leaves that are not read in order are stretched to blocks.

use crate::element::Element;
use crate::kernel::{Isa, product};

/// block = x x x …, of which what is there is copied again: short copies take as long as longer ones.
#[inline(always)]
pub(super) fn repeat<T: Element>(x: &[T], block: &mut [T]) {
    let mut done = x.len().min(block.len());
    block[..done].copy_from_slice(&x[..done]);
    while done < block.len() {
        let more = done.min(block.len() - done);
        block.copy_within(..more, done);
        done += more;
    }
}

/// block[j] = x[(start + j)/count · step]
#[inline(always)]
fn repeat_each<T: Element>(x: &[T], step: usize, count: usize, start: usize, mut block: &mut [T]) {
    let (mut at, mut left) = (start / count * step, count - start % count);
    while !block.is_empty() {
        let (part, rest) = block.split_at_mut(left.min(block.len()));
        part.fill(x[at]);
        (block, at, left) = (rest, at + step, count);
    }
}

/// block[j] = the element of x that belongs to position `start + j` of a row-major walk over `dims`.
#[inline(always)]
pub(super) fn stretch_strided<T: Element>(
    isa: Isa,
    x: &[T],
    dims: &[usize],
    strides: &[usize],
    start: usize,
    block: &mut [T],
) {
    if let (&[_, count], &[step, 0]) = (dims, strides) {
        if step == 1 && start.is_multiple_of(count) && block.len().is_multiple_of(count) {
            return product::spread(isa, count, &x[start / count..][..block.len() / count], block);
        }
        return repeat_each(x, step, count, start, block);
    }
    let inner = dims.len() - 1;
    let mut done = 0;
    while done < block.len() {
        let (mut rest, mut at) = (start + done, 0);
        for axis in (0..dims.len()).rev() {
            at += rest % dims[axis] * strides[axis];
            rest /= dims[axis];
        }
        let (row, left) = (dims[inner], block.len() - done);
        let in_row = (start + done) % row;
        // The same row again and again, along an axis that does not move.
        if inner > 0 && in_row == 0 && strides[inner - 1..] == [0, 1] {
            let again = dims[inner - 1] - (start + done) / row % dims[inner - 1];
            let run = (again * row).min(left);
            repeat(&x[at..at + row], &mut block[done..done + run]);
            done += run;
            continue;
        }
        let run = (row - in_row).min(left);
        let part = &mut block[done..done + run];
        match strides[inner] {
            0 => part.fill(x[at]),
            1 => part.copy_from_slice(&x[at..at + run]),
            step => part.iter_mut().enumerate().for_each(|(j, y)| *y = x[at + j * step]),
        }
        done += run;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_repeated_from_anywhere_to_anywhere() {
        let x: Vec<f32> = (0..60).map(|i| i as f32).collect();
        for (dims, strides) in [([3, 4, 5], [20, 0, 1]), ([3, 4, 5], [0, 5, 1]), ([2, 6, 5], [7, 0, 1])] {
            for (start, len) in [(0, 60), (20, 20), (5, 10), (7, 20), (3, 40), (59, 1)] {
                let mut block = vec![f32::NAN; len];
                stretch_strided(Isa::PORTABLE, &x, &dims, &strides, start, &mut block);
                let at = |i: usize| {
                    let position = [i / (dims[1] * dims[2]), i / dims[2] % dims[1], i % dims[2]];
                    x[position.iter().zip(strides).map(|(p, s)| p * s).sum::<usize>()]
                };
                assert!(block.iter().copied().eq((start..start + len).map(at)), "{dims:?}, {len} from {start}");
            }
        }
    }

    #[test]
    fn numbers_are_repeated_from_anywhere_to_anywhere() {
        let x: Vec<f32> = (0..40).map(|i| i as f32).collect();
        for (count, step) in [(8, 1), (16, 1), (5, 1), (8, 2), (3, 1)] {
            for (start, len) in [(0, 32), (16, 64), (3, 20), (8, 13), (0, 1)] {
                let mut block = vec![f32::NAN; len];
                for isa in Isa::available() {
                    stretch_strided(isa, &x, &[40 / step, count], &[step, 0], start, &mut block);
                    let expected = (0..len).map(|j| x[(start + j) / count * step]);
                    let case = format!("{isa}, {count} times, every {step}, {len} from {start}");
                    assert!(block.iter().copied().eq(expected), "{case}");
                }
            }
        }
    }
}
