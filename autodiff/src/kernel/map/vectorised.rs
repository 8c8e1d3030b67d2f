//! The loops of fused passes are vectorised, for every rule: asserted on the machine code.

use std::cmp::Reverse;
use std::marker::PhantomData;

use super::*;
use crate::kernel::machine_code::{Width, assert_vectorised, functions, loops, vectorised};
use crate::rules::{Binary, BinaryVisitor, Unary, UnaryVisitor};

/// One instruction of a pass, as [`Run`] has it.
struct Only1<'a, T, U>(U, Apply1<'a, T>);
impl<T: Element, U: Unary> Task for Only1<'_, T, U> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        self.1.visit(self.0);
    }
}

struct Only2<'a, T, B>(B, Apply2<'a, T>);
impl<T: Element, B: Binary> Task for Only2<'_, T, B> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        self.1.visit(self.0);
    }
}

/// A block of powers.
struct Powers<'a, T>(&'a [T], &'a mut [T], i32);
impl<T: Element> Task for Powers<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        powers(self.0, self.1, self.2);
    }
}

/// Any pair of operations.
struct Pairs<'a, T>(Ring, Ring, bool, [&'a [T]; 3], &'a mut [T]);
impl<T: Element> Task for Pairs<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        pair::apply(self.0, self.1, self.2, self.3, self.4);
    }
}

/// A choice by comparison, of sums, so that there is arithmetic to see.
struct Chosen<'a, T>([&'a [T]; 4], &'a mut [T]);
impl<T: Element> Task for Chosen<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        choose(self.0, self.1, |a, b| a + a <= b);
    }
}

/// Any gate.
struct Gates<'a, T>(Option<Ring>, bool, [&'a [T]; 3], &'a mut [T]);
impl<T: Element> Task for Gates<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        gate(self.0, self.1, self.2, self.3);
    }
}

/// The functions of a rule.
struct Functions<T>(PhantomData<T>);
impl<T: Element> UnaryVisitor for Functions<T> {
    type Output = [(Width, usize); 2];
    fn visit<U: Unary>(self, _: U) -> Self::Output {
        functions::<Only1<'_, T, U>>()
    }
}
impl<T: Element> BinaryVisitor for Functions<T> {
    type Output = [(Width, usize); 2];
    fn visit<B: Binary>(self, _: B) -> Self::Output {
        functions::<Only2<'_, T, B>>()
    }
}

/// The name and the functions of every rule that computes with vectors.
fn rules<T: Element>() -> Vec<(&'static str, [(Width, usize); 2])> {
    let unary = |op: &UnaryOp| match op {
        // They change the sign's bit: no arithmetic. Sine and cosine are functions of their own.
        UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Sin | UnaryOp::Cos => None,
        UnaryOp::Powi(_) => Some((op.name(), functions::<Powers<'_, T>>())),
        op => Some((op.name(), op.visit(Functions(PhantomData::<T>)))),
    };
    let binary = |op: &BinaryOp| match op {
        // `libm`'s, which branches.
        BinaryOp::Powf if T::NAME == "f64" => None,
        op => Some((op.name(), op.visit(Functions(PhantomData::<T>)))),
    };
    UnaryOp::ALL.iter().filter_map(unary).chain(BinaryOp::ALL.iter().filter_map(binary)).collect()
}

/// Looks at every rule alone, then at the function that runs passes: it has a loop for each rule with as many vector
/// instructions.
fn check<T: Element>() {
    assert_vectorised::<Moderate<'_, T, false>>("sin");
    assert_vectorised::<Moderate<'_, T, true>>("cos");
    assert_vectorised::<Pairs<'_, T>>("pairs");
    assert_vectorised::<Chosen<'_, T>>("choices");
    assert_vectorised::<Gates<'_, T>>("gates");
    let mut wanted = [Vec::new(), Vec::new()];
    for (name, functions) in rules::<T>() {
        for ((width, function), wanted) in functions.into_iter().zip(&mut wanted) {
            let Some(loops) = loops(function) else { return };
            match vectorised(&loops, width) {
                Ok(hot) => wanted.push((hot.packed(width), name)),
                Err(reason) => panic!("{name} of {}: {reason}", T::NAME),
            }
        }
    }
    for ((width, function), mut wanted) in functions::<Run<'_, '_, T>>().into_iter().zip(wanted) {
        let loops = loops(function).expect("those of the rules were there");
        let whole = loops.iter().filter(|l| l.scalar == 0 && l.calls == 0);
        let mut found: Vec<usize> = whole.map(|l| l.packed(width)).collect();
        found.sort_unstable_by_key(|&packed| Reverse(packed));
        wanted.sort_unstable_by_key(|&(packed, _)| Reverse(packed));
        // The longest for the longest: if any assignment of loops to rules is large enough, this one is.
        for (i, (packed, name)) in wanted.into_iter().enumerate() {
            let most = found.get(i).copied().unwrap_or(0);
            // Small loops are repeated, not equally often in both functions.
            assert!(most >= packed.min(20), "{name} of {} needs {packed} {width:?} instructions: {found:?}", T::NAME);
        }
    }
}

#[test]
fn every_rule_is_vectorised() {
    check::<f32>();
    check::<f64>();
}
