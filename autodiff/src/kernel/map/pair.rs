//! Two operations as one instruction: what the first gives stays in a register.
//!
//! A pass is bound by loads and stores of its blocks. Pairs of sums, differences and products, of which most passes
//! are made, save one of each. Both operations are rounded, so that the bits are those of two instructions.

use std::marker::PhantomData;

use crate::element::Element;
use crate::kernel::isa::Each;
use crate::rules::{Binary, BinaryOp};

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

/// With `$type` for the rule that a ring's operation is.
macro_rules! ring {
    ($ring:expr, $type:ident => $then:expr) => {
        match $ring {
            Ring::Add => {
                type $type = $crate::rules::ops::Add;
                $then
            }
            Ring::Sub => {
                type $type = $crate::rules::ops::Sub;
                $then
            }
            Ring::Mul => {
                type $type = $crate::rules::ops::Mul;
                $then
            }
        }
    };
}
pub(super) use ring;

/// y = second(first(a, b), c), or second(c, first(a, b)) where it comes LAST
pub(super) struct Pair<First, Second, const LAST: bool>(PhantomData<(First, Second)>);
impl<T: Element, First: Binary, Second: Binary, const LAST: bool> Each<T> for Pair<First, Second, LAST> {
    #[inline(always)]
    fn each(y: &mut [T], [a, b, c, _]: [&[T]; 4]) {
        let (first, second) = (First::default(), Second::default());
        for (((y, &a), &b), &c) in y.iter_mut().zip(a).zip(b).zip(c) {
            let inner = first.f(a, b);
            *y = if LAST { second.f(c, inner) } else { second.f(inner, c) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::map::{Isa, MapOp, loops};

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
            for isa in Isa::available() {
                let mut y = vec![f32::NAN; a.len()];
                let pair = loops::of(isa, MapOp::Pair { first, second, last }).expect("a loop of blocks");
                // SAFETY: all have the length of a.
                unsafe { pair(&mut y, &a, &b, &c, &a) };
                for (i, y) in y.iter().enumerate() {
                    let inner = compute(first, a[i], b[i]);
                    let expected = if last { compute(second, c[i], inner) } else { compute(second, inner, c[i]) };
                    assert_eq!(y.to_bits(), expected.to_bits(), "{isa}, {first:?}, {second:?}, last: {last}");
                }
            }
        }
    }
}
