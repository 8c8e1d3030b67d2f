//! Two operations as one instruction: what the first gives stays in a register.
//!
//! A pass is bound by loads and stores of its blocks. Pairs of sums, differences and products, of which most passes
//! are made, save one of each. Both operations are rounded, so that the bits are those of two instructions.

use crate::element::Element;
use crate::rules::BinaryOp;

/// The operations that come in pairs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ring {
    Add,
    Sub,
    Mul,
}

impl Ring {
    pub fn of(op: BinaryOp) -> Option<Ring> {
        match op {
            BinaryOp::Add => Some(Ring::Add),
            BinaryOp::Sub => Some(Ring::Sub),
            BinaryOp::Mul => Some(Ring::Mul),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Ring::Add => "add",
            Ring::Sub => "sub",
            Ring::Mul => "mul",
        }
    }
}

/// y = second(first(a, b), c), or second(c, first(a, b)) where `last`
#[inline(always)]
pub(super) fn apply<T: Element>(first: Ring, second: Ring, last: bool, from: [&[T]; 3], y: &mut [T]) {
    match first {
        Ring::Add => then(|a, b| a + b, second, last, from, y),
        Ring::Sub => then(|a, b| a - b, second, last, from, y),
        Ring::Mul => then(|a, b| a * b, second, last, from, y),
    }
}

#[inline(always)]
fn then<T: Element>(first: impl Fn(T, T) -> T, second: Ring, last: bool, from: [&[T]; 3], y: &mut [T]) {
    match (second, last) {
        (Ring::Add, _) => each(from, y, |a, b, c| first(a, b) + c),
        (Ring::Sub, false) => each(from, y, |a, b, c| first(a, b) - c),
        (Ring::Sub, true) => each(from, y, |a, b, c| c - first(a, b)),
        (Ring::Mul, _) => each(from, y, |a, b, c| first(a, b) * c),
    }
}

#[inline(always)]
fn each<T: Element>([a, b, c]: [&[T]; 3], y: &mut [T], f: impl Fn(T, T, T) -> T) {
    for (((y, &a), &b), &c) in y.iter_mut().zip(a).zip(b).zip(c) {
        *y = f(a, b, c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_its_two_operations_to_the_bit() {
        let numbers = |step: usize| -> Vec<f32> { (0..75).map(|i| ((i * step) % 101) as f32 * 0.37 - 17.0).collect() };
        let [a, b, c] = [7, 13, 29].map(numbers);
        let all = [Ring::Add, Ring::Sub, Ring::Mul];
        let compute = |ring: Ring, a: f32, b: f32| match ring {
            Ring::Add => a + b,
            Ring::Sub => a - b,
            Ring::Mul => a * b,
        };
        for (first, second, last) in all.into_iter().flat_map(|f| all.map(|s| [(f, s, false), (f, s, true)])).flatten()
        {
            let mut y = vec![f32::NAN; a.len()];
            apply(first, second, last, [&a, &b, &c], &mut y);
            for (i, y) in y.iter().enumerate() {
                let inner = compute(first, a[i], b[i]);
                let expected = if last { compute(second, c[i], inner) } else { compute(second, inner, c[i]) };
                assert_eq!(y.to_bits(), expected.to_bits(), "{first:?}, {second:?}, last: {last}");
            }
        }
    }
}
