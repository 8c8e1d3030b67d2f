//! What a ReLU and its derivatives do: let a value pass where another is positive.
//!
//! With zeros as leaves, a choice by comparison reads four blocks where one or two are needed; and most of what is compared
//! is a sum that nothing else reads.

use super::pair::Ring;
use crate::element::Element;

/// Where v = first(a, b), or a: y = 0 where v ≤ 0, else c, or v itself where it is its `own` gate.
///
/// From is a, b if there is a first, c if it is not its own.
#[inline(always)]
pub(super) fn gate<T: Element>(first: Option<Ring>, own: bool, from: [&[T]; 3], y: &mut [T]) {
    match first {
        None => {
            let [a, c, _] = from;
            each(own, [a, a, c], y, |a, _| a);
        }
        Some(Ring::Add) => each(own, from, y, |a, b| a + b),
        Some(Ring::Sub) => each(own, from, y, |a, b| a - b),
        Some(Ring::Mul) => each(own, from, y, |a, b| a * b),
    }
}

#[inline(always)]
fn each<T: Element>(own: bool, [a, b, c]: [&[T]; 3], y: &mut [T], value: impl Fn(T, T) -> T) {
    let open = |v: T, then: T| if v <= T::zero() { T::zero() } else { then };
    if own {
        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
            let v = value(a, b);
            *y = open(v, v);
        }
    } else {
        for (((y, &a), &b), &c) in y.iter_mut().zip(a).zip(b).zip(c) {
            *y = open(value(a, b), c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
                from.resize(3, &a[..]);
                let mut y = vec![f32::NAN; a.len()];
                gate(first, own, from.try_into().unwrap(), &mut y);
                for (i, y) in y.iter().enumerate() {
                    let v = match first {
                        None => a[i],
                        Some(Ring::Add) => a[i] + b[i],
                        Some(Ring::Sub) => a[i] - b[i],
                        Some(Ring::Mul) => a[i] * b[i],
                    };
                    let then = if own { v } else { c[i] };
                    let expected = if v <= 0.0 { 0.0 } else { then };
                    assert_eq!(y.to_bits(), expected.to_bits(), "{first:?}, own: {own}, {i}");
                }
            }
        }
    }
}
