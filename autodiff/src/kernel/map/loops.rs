//! The loops of a pass: one instruction on one block each, and how leaves are stretched to blocks.

use crate::element::Element;
use crate::kernel::{Isa, Task, math, product};
use crate::rules::{Binary, BinaryVisitor, Unary, UnaryVisitor};

/// The vectorised sine or cosine. A task of its own: for AVX2 the compiler leaves it scalar among the others.
pub(super) struct Moderate<'a, T, const COSINE: bool>(pub &'a [T], pub &'a mut [T]);
impl<T: Element, const COSINE: bool> Task for Moderate<'_, T, COSINE> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (y, &x) in self.1.iter_mut().zip(self.0) {
            *y = if COSINE { x.moderate_cos() } else { x.moderate_sin() };
        }
    }
}

/// Whether the vectorised sine and cosine hold for a whole block.
#[inline(always)]
pub(super) fn moderate<T: Element>(x: &[T]) -> bool {
    x.iter().fold(true, |all, &x| all & (x.abs() <= T::SIN_EXACT))
}

/// y = xⁿ
#[inline(always)]
pub(super) fn powers<T: Element>(x: &[T], y: &mut [T], n: i32) {
    const LANES: usize = 32;
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks_mut::<LANES>());
    for (y, &x) in y.iter_mut().zip(x) {
        *y = math::powi(x, n);
    }
    for (y, &x) in y_rest.iter_mut().zip(x_rest) {
        *y = x.powi(n);
    }
}

pub(super) struct Apply1<'a, T> {
    pub x: &'a [T],
    pub y: &'a mut [T],
}
impl<T: Element> UnaryVisitor for Apply1<'_, T> {
    type Output = ();
    #[inline(always)]
    fn visit<U: Unary>(self, rule: U) {
        for (y, &x) in self.y.iter_mut().zip(self.x) {
            *y = rule.f(x);
        }
    }
}

pub(super) struct Apply2<'a, T> {
    pub a: &'a [T],
    pub b: &'a [T],
    pub y: &'a mut [T],
}
impl<T: Element> BinaryVisitor for Apply2<'_, T> {
    type Output = ();
    #[inline(always)]
    fn visit<B: Binary>(self, rule: B) {
        for ((y, &a), &b) in self.y.iter_mut().zip(self.a).zip(self.b) {
            *y = rule.f(a, b);
        }
    }
}

#[inline(always)]
pub(super) fn compare<T: Element>(a: &[T], b: &[T], y: &mut [T], holds: impl Fn(T, T) -> bool) {
    for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
        *y = if holds(a, b) { T::one() } else { T::zero() };
    }
}

/// y = yes where `holds(a, b)`, else no
#[inline(always)]
pub(super) fn choose<T: Element>([a, b, yes, no]: [&[T]; 4], y: &mut [T], holds: impl Fn(T, T) -> bool) {
    for ((((y, &a), &b), &yes), &no) in y.iter_mut().zip(a).zip(b).zip(yes).zip(no) {
        *y = if holds(a, b) { yes } else { no };
    }
}

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
        let run = (dims[inner] - (start + done) % dims[inner]).min(block.len() - done);
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

    #[test]
    fn powers_of_a_block_are_those_of_its_numbers() {
        // Whole vectors, and what is left.
        let x: Vec<f32> = (0..75).map(|i| 0.05 * (i as f32 - 30.0)).collect();
        for n in [0, 1, 2, 3, 10, -1, -3, i32::MAX, i32::MIN] {
            let mut y = vec![f32::NAN; x.len()];
            powers(&x, &mut y, n);
            let one_by_one = x.iter().map(|&x| crate::real::Real::powi(x, n).to_bits());
            assert!(y.iter().map(|y| y.to_bits()).eq(one_by_one), "power {n}");
        }
    }
}
