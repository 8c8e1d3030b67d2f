//! What a ReLU and its derivatives do: let a value pass where another is positive.
//!
//! With zeros as leaves, a choice by comparison reads four blocks where one or two are needed; and most of what is compared
//! is a sum that nothing else reads.

use std::marker::PhantomData;

use super::Ring;
use crate::element::Element;
use crate::kernel::isa::Each;
use crate::rules::Binary;

/// y = 0 where the gate is closed, else what passes.
///
/// From are what it is closed by, and then what passes is made of.
pub(super) struct Gate<B, P>(PhantomData<(B, P)>);

/// What closes a gate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum By {
    /// v ≤ 0, v = a
    Value,
    /// v ≤ 0, v = f(a, b)
    Of(Ring),
    /// a mask a that is not 0
    Mask,
}

/// A [`By`] that is no operation, as a type.
pub(super) struct Itself;
pub(super) struct Masked;

/// What a gate lets pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Passing {
    /// v, which is its own gate.
    Own,
    /// c
    Value,
    /// c + d
    Total,
}

/// A [`Passing`], as a type.
pub(super) trait Passes {
    fn value<T: Element>(v: T, c: T, d: T) -> T;
}

pub(super) struct Own;
impl Passes for Own {
    #[inline(always)]
    fn value<T: Element>(v: T, _: T, _: T) -> T {
        v
    }
}

pub(super) struct Value;
impl Passes for Value {
    #[inline(always)]
    fn value<T: Element>(_: T, c: T, _: T) -> T {
        c
    }
}

pub(super) struct Total;
impl Passes for Total {
    #[inline(always)]
    fn value<T: Element>(_: T, c: T, d: T) -> T {
        c + d
    }
}

impl<T: Element, F: Binary, P: Passes> Each<T> for Gate<F, P> {
    #[inline(always)]
    fn each(y: &mut [T], from: [&[T]; 4]) {
        let f = F::default();
        open::<T, P>(y, from, |a, b| f.f(a, b), |v| v <= T::zero());
    }
}

impl<T: Element, P: Passes> Each<T> for Gate<Itself, P> {
    #[inline(always)]
    fn each(y: &mut [T], [a, c, d, _]: [&[T]; 4]) {
        open::<T, P>(y, [a, a, c, d], |a, _| a, |v| v <= T::zero());
    }
}

impl<T: Element, P: Passes> Each<T> for Gate<Masked, P> {
    #[inline(always)]
    fn each(y: &mut [T], [a, c, d, _]: [&[T]; 4]) {
        open::<T, P>(y, [a, a, c, d], |a, _| a, |mask| mask != T::zero());
    }
}

#[inline(always)]
fn open<T: Element, P: Passes>(
    y: &mut [T],
    [a, b, c, d]: [&[T]; 4],
    value: impl Fn(T, T) -> T,
    is_closed: impl Fn(T) -> bool,
) {
    for ((((y, &a), &b), &c), &d) in y.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        let v = value(a, b);
        *y = if is_closed(v) { T::zero() } else { P::value(v, c, d) };
    }
}

/// With `$type` for what a gate lets pass.
macro_rules! passing {
    ($passing:expr, $type:ident => $then:expr) => {
        match $passing {
            $crate::kernel::map::gate::Passing::Own => {
                type $type = $crate::kernel::map::gate::Own;
                $then
            }
            $crate::kernel::map::gate::Passing::Value => {
                type $type = $crate::kernel::map::gate::Value;
                $then
            }
            $crate::kernel::map::gate::Passing::Total => {
                type $type = $crate::kernel::map::gate::Total;
                $then
            }
        }
    };
}
pub(super) use passing;

#[cfg(test)]
mod tests {
    use super::{By, Passing};
    use crate::kernel::map::{Isa, MapOp, Ring, loops};

    #[test]
    fn a_gate_is_the_operations_it_stands_for_to_the_bit() {
        let mut a: Vec<f32> = (0..75).map(|i| ((i * 7) % 101) as f32 * 0.37 - 17.0).collect();
        let b: Vec<f32> = (0..75).map(|i| ((i * 13) % 101) as f32 * 0.37 - 17.0).collect();
        let c: Vec<f32> = (0..75).map(|i| -0.5 * i as f32).collect();
        let d: Vec<f32> = (0..75).map(|i| 0.3 * i as f32 - 7.0).collect();
        a[..5].copy_from_slice(&[f32::NAN, 0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY]);
        let mask: Vec<f32> = (0..75).map(|i| ((i * 5) % 3 == 0).into()).map(|is: u8| f32::from(is)).collect();
        for by in [By::Value, By::Of(Ring::Add), By::Of(Ring::Sub), By::Of(Ring::Mul), By::Mask] {
            let a = if by == By::Mask { &mask } else { &a };
            for passing in [Passing::Own, Passing::Value, Passing::Total] {
                let mut from = vec![&a[..]];
                from.extend(matches!(by, By::Of(_)).then_some(&b[..]));
                from.extend((passing != Passing::Own).then_some(&c[..]));
                from.extend((passing == Passing::Total).then_some(&d[..]));
                from.resize(4, &a[..]);
                for isa in Isa::available() {
                    let mut y = vec![f32::NAN; a.len()];
                    let gate = loops::of(isa, MapOp::Gate { by, passing }).expect("a loop of blocks");
                    // SAFETY: all have the length of a.
                    unsafe { gate(&mut y, from[0], from[1], from[2], from[3]) };
                    for (i, y) in y.iter().enumerate() {
                        let v = match by {
                            By::Value | By::Mask => a[i],
                            By::Of(Ring::Add) => a[i] + b[i],
                            By::Of(Ring::Sub) => a[i] - b[i],
                            By::Of(Ring::Mul) => a[i] * b[i],
                        };
                        let passes = match passing {
                            Passing::Own => v,
                            Passing::Value => c[i],
                            Passing::Total => c[i] + d[i],
                        };
                        let is_closed = if by == By::Mask { v != 0.0 } else { v <= 0.0 };
                        let expected = if is_closed { 0.0 } else { passes };
                        assert_eq!(y.to_bits(), expected.to_bits(), "{isa}, {by:?}, {passing:?}, {i}");
                    }
                }
            }
        }
    }
}
