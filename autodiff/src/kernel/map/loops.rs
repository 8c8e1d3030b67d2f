//! The loops of a pass: one instruction on one block each.

use std::marker::PhantomData;

use super::MapOp;
use super::gate::{By, Gate, Itself, Masked, passing};
use super::pair::{Pair, Ring, ring};
use crate::element::Element;
use crate::kernel::isa::{Each, Isa, Loop};
use crate::kernel::math;
use crate::rules::{Binary, BinaryVisitor, CompareOp, Unary, UnaryOp, UnaryVisitor, ops};

/// The loop of an instruction; none for those that need more than their blocks: powers an exponent, sums their totals.
pub(super) fn of<T: Element>(isa: Isa, op: MapOp) -> Option<Loop<T>> {
    Some(match op {
        // Before the other rules: by its type alone, a power has no exponent.
        MapOp::Sum(_) | MapOp::Unary(UnaryOp::Powi(_)) => return None,
        MapOp::Unary(UnaryOp::Sin) => isa.each::<T, Sine<false>>(),
        MapOp::Unary(UnaryOp::Cos) => isa.each::<T, Sine<true>>(),
        MapOp::Unary(op) => op.visit(OfRule::<T>(isa, PhantomData)),
        MapOp::Binary(op) => op.visit(OfRule::<T>(isa, PhantomData)),
        MapOp::Compare(CompareOp::Less) => isa.each::<T, Compared<Less>>(),
        MapOp::Compare(CompareOp::LessEqual) => isa.each::<T, Compared<LessEqual>>(),
        MapOp::Select => isa.each::<T, Selected>(),
        MapOp::Choose(CompareOp::Less) => isa.each::<T, Chosen<Less>>(),
        MapOp::Choose(CompareOp::LessEqual) => isa.each::<T, Chosen<LessEqual>>(),
        MapOp::Pair { first, second, last } => ring!(first, First => match (second, last) {
            (Ring::Add, _) => isa.each::<T, Pair<First, ops::Add, false>>(),
            (Ring::Mul, _) => isa.each::<T, Pair<First, ops::Mul, false>>(),
            (Ring::Sub, false) => isa.each::<T, Pair<First, ops::Sub, false>>(),
            (Ring::Sub, true) => isa.each::<T, Pair<First, ops::Sub, true>>(),
        }),
        MapOp::Gate { by, passing } => passing!(passing, P => match by {
            By::Value => isa.each::<T, Gate<Itself, P>>(),
            By::Of(ring) => ring!(ring, F => isa.each::<T, Gate<F, P>>()),
            By::Mask => isa.each::<T, Gate<Masked, P>>(),
        }),
        MapOp::Copy => isa.each::<T, Copied>(),
    })
}

/// The loop of a rule.
struct OfRule<T>(Isa, PhantomData<T>);
impl<T: Element> UnaryVisitor for OfRule<T> {
    type Output = Loop<T>;
    fn visit<U: Unary>(self, _: U) -> Loop<T> {
        self.0.each::<T, One<U>>()
    }
}
impl<T: Element> BinaryVisitor for OfRule<T> {
    type Output = Loop<T>;
    fn visit<B: Binary>(self, _: B) -> Loop<T> {
        self.0.each::<T, Two<B>>()
    }
}

/// A function of one number.
pub(super) struct One<U>(PhantomData<U>);
impl<T: Element, U: Unary> Each<T> for One<U> {
    #[inline(always)]
    fn each(y: &mut [T], [a, ..]: [&[T]; 4]) {
        let rule = U::default();
        for (y, &a) in y.iter_mut().zip(a) {
            *y = rule.f(a);
        }
    }
}

/// A function of two.
pub(super) struct Two<B>(PhantomData<B>);
impl<T: Element, B: Binary> Each<T> for Two<B> {
    #[inline(always)]
    fn each(y: &mut [T], [a, b, ..]: [&[T]; 4]) {
        let rule = B::default();
        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
            *y = rule.f(a, b);
        }
    }
}

/// The sine or the cosine: vectorised where it holds for a whole block.
pub(super) struct Sine<const COSINE: bool>;
impl<T: Element, const COSINE: bool> Each<T> for Sine<COSINE> {
    #[inline(always)]
    fn each(y: &mut [T], from: [&[T]; 4]) {
        if from[0].iter().fold(true, |all, &a| all & (a.abs() <= T::SIN_EXACT)) {
            Moderate::<COSINE>::each(y, from);
        } else {
            any_sine::<T, COSINE>(y, from[0]);
        }
    }
}

/// The same of moderate numbers.
struct Moderate<const COSINE: bool>;
impl<T: Element, const COSINE: bool> Each<T> for Moderate<COSINE> {
    #[inline(always)]
    fn each(y: &mut [T], [a, ..]: [&[T]; 4]) {
        for (y, &a) in y.iter_mut().zip(a) {
            *y = if COSINE { a.moderate_cos() } else { a.moderate_sin() };
        }
    }
}

/// The same of any number. Not inlined: the vectorised loop would stay scalar beside it.
#[inline(never)]
fn any_sine<T: Element, const COSINE: bool>(y: &mut [T], a: &[T]) {
    for (y, &a) in y.iter_mut().zip(a) {
        *y = if COSINE { a.cos() } else { a.sin() };
    }
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

/// A comparison, as a type.
pub(super) trait Holds {
    fn holds<T: Element>(a: T, b: T) -> bool;
}

pub(super) struct Less;
impl Holds for Less {
    #[inline(always)]
    fn holds<T: Element>(a: T, b: T) -> bool {
        a < b
    }
}

pub(super) struct LessEqual;
impl Holds for LessEqual {
    #[inline(always)]
    fn holds<T: Element>(a: T, b: T) -> bool {
        a <= b
    }
}

/// y = 1 where a comparison holds, else 0
struct Compared<H>(PhantomData<H>);
impl<T: Element, H: Holds> Each<T> for Compared<H> {
    #[inline(always)]
    fn each(y: &mut [T], [a, b, ..]: [&[T]; 4]) {
        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
            *y = if H::holds(a, b) { T::one() } else { T::zero() };
        }
    }
}

/// y = b where the mask a is not 0, else c
struct Selected;
impl<T: Element> Each<T> for Selected {
    #[inline(always)]
    fn each(y: &mut [T], [mask, yes, no, _]: [&[T]; 4]) {
        for (((y, &mask), &yes), &no) in y.iter_mut().zip(mask).zip(yes).zip(no) {
            *y = if mask != T::zero() { yes } else { no };
        }
    }
}

/// y = c where a comparison of a with b holds, else d
pub(super) struct Chosen<H>(PhantomData<H>);
impl<T: Element, H: Holds> Each<T> for Chosen<H> {
    #[inline(always)]
    fn each(y: &mut [T], [a, b, yes, no]: [&[T]; 4]) {
        for ((((y, &a), &b), &yes), &no) in y.iter_mut().zip(a).zip(b).zip(yes).zip(no) {
            *y = if H::holds(a, b) { yes } else { no };
        }
    }
}

struct Copied;
impl<T: Element> Each<T> for Copied {
    #[inline(always)]
    fn each(y: &mut [T], [a, ..]: [&[T]; 4]) {
        y.copy_from_slice(a);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
