//! What a ReLU and its derivatives do: let a value pass where another is positive.
//!
//! With zeros as leaves, a choice by comparison reads four blocks where one or two are needed; and most of what is compared
//! is a sum that nothing else reads.

use std::marker::PhantomData;

use crate::element::Element;
use crate::kernel::isa::Each;
use crate::rules::Binary;

/// Where v = first(a, b), or a: y = 0 where v ≤ 0, else c, or v where it is its OWN gate.
///
/// From are a, b if there is a first, c if it is not its own.
pub(super) struct Gate<First, const OWN: bool>(PhantomData<First>);

/// In place of a first operation: there is none.
pub(super) struct Itself;

impl<T: Element, First: Binary, const OWN: bool> Each<T> for Gate<First, OWN> {
    #[inline(always)]
    fn each(y: &mut [T], [a, b, c, _]: [&[T]; 4]) {
        let first = First::default();
        open::<T, OWN>(y, [a, b, c], |a, b| first.f(a, b));
    }
}

impl<T: Element, const OWN: bool> Each<T> for Gate<Itself, OWN> {
    #[inline(always)]
    fn each(y: &mut [T], [a, c, ..]: [&[T]; 4]) {
        open::<T, OWN>(y, [a, a, c], |a, _| a);
    }
}

#[inline(always)]
fn open<T: Element, const OWN: bool>(y: &mut [T], [a, b, c]: [&[T]; 3], value: impl Fn(T, T) -> T) {
    for (((y, &a), &b), &c) in y.iter_mut().zip(a).zip(b).zip(c) {
        let v = value(a, b);
        *y = if v <= T::zero() {
            T::zero()
        } else if OWN {
            v
        } else {
            c
        };
    }
}

#[cfg(test)]
mod tests {
    use crate::kernel::map::{Isa, MapOp, Ring, loops};

    #[test]
    fn a_gate_is_the_operations_it_stands_for_to_the_bit() {
        let mut a: Vec<f32> = (0..75).map(|i| ((i * 7) % 101) as f32 * 0.37 - 17.0).collect();
        let b: Vec<f32> = (0..75).map(|i| ((i * 13) % 101) as f32 * 0.37 - 17.0).collect();
        let c: Vec<f32> = (0..75).map(|i| -0.5 * i as f32).collect();
        a[..5].copy_from_slice(&[f32::NAN, 0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY]);
        for first in [None, Some(Ring::Add), Some(Ring::Sub), Some(Ring::Mul)] {
            for own in [true, false] {
                let mut from = vec![&a[..]];
                from.extend(first.map(|_| &b[..]));
                from.extend((!own).then_some(&c[..]));
                from.resize(4, &a[..]);
                for isa in Isa::available() {
                    let mut y = vec![f32::NAN; a.len()];
                    let gate = loops::of(isa, MapOp::Gate { first, own }).expect("a loop of blocks");
                    // SAFETY: all have the length of a.
                    unsafe { gate(&mut y, from[0], from[1], from[2], from[3]) };
                    for (i, y) in y.iter().enumerate() {
                        let v = match first {
                            None => a[i],
                            Some(Ring::Add) => a[i] + b[i],
                            Some(Ring::Sub) => a[i] - b[i],
                            Some(Ring::Mul) => a[i] * b[i],
                        };
                        let then = if own { v } else { c[i] };
                        let expected = if v <= 0.0 { 0.0 } else { then };
                        assert_eq!(y.to_bits(), expected.to_bits(), "{isa}, {first:?}, own: {own}, {i}");
                    }
                }
            }
        }
    }
}
