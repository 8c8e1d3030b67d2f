//! The loops of fused passes are vectorised, for every rule: asserted on the machine code.

use std::marker::PhantomData;

use super::gate::{Gate, Itself, Masked, Passing, Total, Value, passing};
use super::loops::{Chosen, Holds, One, Sine, Two, powers};
use super::pair::{Pair, ring};
use super::*;
use crate::kernel::Task;
use crate::kernel::isa::Each;
use crate::kernel::machine_code::{Width, functions, functions_of_each, loops, vectorised};
use crate::rules::{Binary, BinaryVisitor, Unary, UnaryVisitor};

/// A loop's name, and its functions.
type Named = (String, [(Width, usize); 2]);

/// The loop of a rule, by name.
struct NamedRule<T>(&'static str, PhantomData<T>);
impl<T: Element> UnaryVisitor for NamedRule<T> {
    type Output = Named;
    fn visit<U: Unary>(self, _: U) -> Named {
        named::<T, One<U>>(self.0)
    }
}
impl<T: Element> BinaryVisitor for NamedRule<T> {
    type Output = Named;
    fn visit<B: Binary>(self, _: B) -> Named {
        named::<T, Two<B>>(self.0)
    }
}

fn named<T: Element, E: Each<T>>(name: &str) -> Named {
    (format!("{name} of {}", T::NAME), functions_of_each::<T, E>())
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

/// A comparison of sums, so that there is arithmetic to see.
struct Twice;
impl Holds for Twice {
    #[inline(always)]
    fn holds<T: Element>(a: T, b: T) -> bool {
        a + a <= b
    }
}

/// Every loop that computes with vectors.
fn all<T: Element>() -> Vec<Named> {
    let rule = |name| NamedRule(name, PhantomData::<T>);
    let unary = |op: &UnaryOp| match op {
        // They change the sign's bit: no arithmetic. Sine and cosine come below.
        UnaryOp::Neg | UnaryOp::Abs | UnaryOp::Sin | UnaryOp::Cos => None,
        UnaryOp::Powi(_) => Some((format!("powers of {}", T::NAME), functions::<Powers<'_, T>>())),
        op => Some(op.visit(rule(op.name()))),
    };
    let binary = |op: &BinaryOp| match op {
        // `libm`'s, which branches.
        BinaryOp::Powf if T::NAME == "f64" => None,
        op => Some(op.visit(rule(op.name()))),
    };
    let rings = [Ring::Add, Ring::Sub, Ring::Mul];
    let joined = rings.into_iter().flat_map(|first| {
        let pairs = rings.map(|second| {
            let name = format!("{} and {}", first.name(), second.name());
            ring!(first, First => ring!(second, Second => named::<T, Pair<First, Second, false>>(&name)))
        });
        let gate = format!("the gate of {}", first.name());
        let all = [Passing::Own, Passing::Value, Passing::Total];
        let gates = all.map(|passing| ring!(first, F => passing!(passing, P => named::<T, Gate<F, P>>(&gate))));
        pairs.into_iter().chain(gates)
    });
    UnaryOp::ALL
        .iter()
        .filter_map(unary)
        .chain(BinaryOp::ALL.iter().filter_map(binary))
        .chain(joined)
        .chain([named::<T, Pair<crate::rules::ops::Mul, crate::rules::ops::Sub, true>>("a difference from a product")])
        .chain([named::<T, Sine<false>>("sin"), named::<T, Sine<true>>("cos")])
        .chain([named::<T, Chosen<Twice>>("a choice")])
        .chain([
            named::<T, Gate<Itself, Total>>("the gate of a value"),
            named::<T, Gate<Masked, Total>>("a masked sum"),
        ])
        .collect()
}

/// What holds of every loop that computes; and what only compares writes whole vectors.
fn check<T: Element>() {
    for (name, functions) in all::<T>() {
        for (width, function) in functions {
            let Some(loops) = loops(function) else { return };
            if let Err(reason) = vectorised(&loops, width) {
                panic!("{name}: {reason}");
            }
        }
    }
    let (name, functions) = named::<T, Gate<Itself, Value>>("the gate of a value");
    for (_, function) in functions {
        let Some(loops) = loops(function) else { return };
        assert!(loops.iter().any(|l| l.stores > 0 && l.calls == 0), "{name}: {loops:?}");
    }
}

#[test]
fn every_loop_is_vectorised() {
    check::<f32>();
    check::<f64>();
}
