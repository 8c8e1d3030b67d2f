//! Passes over what a large product in lanes has just computed: done while it is in registers.
//!
//! ```text
//! x = A·B;   y = a − s·x      instead of      G ← …, A·B, …;   y ← a − s·G
//! ```
//!
//! A gradient is assembled where its largest product writes a piece, and a pass over all of it is the step that an optimiser
//! takes, or what is added to a Hessian's product. Of such a pass that piece is left to the product, [`Form`] by form; what
//! is around it stays a pass. Done for products in lanes: where a pass costs as much as the product.

use std::ops::Range;

use crate::element::Element;
use crate::kernel::{Ending, Form, Instruction, Leaf, Map, MapOp, Place, Reading, Region, Ring, Slot, Step};
use crate::tape::Stage;

/// Numbers of a product beyond which the nearest cache does not hold it.
const LARGE: usize = 8 * 1024;

/// Instructions of the longest form, each operation its own.
const MOST: usize = 5;

/// Gives the products among the steps of a stage what passes behind them leave to them.
pub(super) fn fold<T: Element>(stage: Stage, steps: &mut Vec<Step<T>>) {
    let mut at = 0;
    while at < steps.len() {
        let found = match &steps[at] {
            Step::Map(map) => left_to_product(map, stage, &steps[..at]).filter(|found| found.is_alone(steps, at)),
            _ => None,
        };
        let Some(Left { product, first, elements, y, ending }) = found else {
            at += 1;
            continue;
        };
        for step in [product, first] {
            if let Step::LaneMatMul { c, .. } = &mut steps[step] {
                *c = y;
            }
        }
        if let Step::LaneMatMul { ending: of_product, .. } = &mut steps[product] {
            *of_product = Some(Box::new(ending));
        }
        // What is left of the pass may end another product.
        if let Step::Map(map) = &steps[at] {
            let around = [0..elements.start, elements.end..map.numel].into_iter().filter(|part| !part.is_empty());
            let parts: Vec<_> = around.map(|part| Step::Map(map.part(part))).collect();
            steps.splice(at..=at, parts);
        }
    }
}

/// What a pass leaves to a product.
struct Left<T> {
    /// Numbers of steps: of the product, and of the one that it is added to, or its own.
    product: usize,
    first: usize,
    /// The elements of the pass that are the product's.
    elements: Range<usize>,
    /// Where those go.
    y: Place,
    ending: Ending<T>,
}

impl<T: Element> Left<T> {
    /// Whether none but the two products and the pass, which is step `pass`, needs to know.
    fn is_alone(&self, steps: &[Step<T>], pass: usize) -> bool {
        let Step::LaneMatMul { c, .. } = &steps[self.product] else { unreachable!("a product") };
        let mut others =
            steps.iter().enumerate().skip(self.first).filter(|(i, _)| ![self.first, self.product, pass].contains(i));
        c.region == Region::Scratch && !others.any(|(_, step)| step.reads(*c))
    }
}

/// What a pass of this stage leaves to a product of the steps before it.
fn left_to_product<T: Element>(map: &Map<T>, stage: Stage, steps: &[Step<T>]) -> Option<Left<T>> {
    let (&[y], []) = (&map.outputs[..], &map.sums[..]) else { return None };
    let product_of = |step: &Step<T>| match step {
        Step::LaneMatMul { shape, c, ending: None, .. } => Some((shape.add, *c)),
        _ => None,
    };
    let product_in = |x: Place| {
        let inside = |c: Place| c.region == x.region && x.offset <= c.offset && c.offset + c.len <= x.offset + x.len;
        steps.iter().rposition(|step| product_of(step).is_some_and(|(_, c)| c.len >= LARGE && inside(c)))
    };
    let (x, of_pass) = as_ending(map, |x| product_in(x).is_some())?;
    // When the product runs, all that is read has to be there, and no one to need what else is in the place of y.
    let is_there = |place: Place| match place.region {
        Region::Input(_) => true,
        Region::Kept(by) => by != stage.number(),
        Region::Output(_) | Region::Scratch => false,
    };
    if !matches!(y.region, Region::Output(_)) || !of_pass.reads().all(is_there) {
        return None;
    }
    let product = product_in(x)?;
    let (add, c) = product_of(&steps[product])?;
    let first = match add {
        true => steps[..product].iter().rposition(|step| product_of(step) == Some((false, c)))?,
        false => product,
    };
    let elements = c.offset - x.offset..c.offset - x.offset + c.len;
    let of = |place: Place| place.slice(elements.start, c.len);
    let ending = Ending { a: of(of_pass.a), b: of(of_pass.b), ..of_pass };
    Some(Left { product, first, y: of(y), elements, ending })
}

/// A pass with one output as what becomes of a product x: where it reads that, and the ending, with a and b of the whole pass.
fn as_ending<T: Element>(map: &Map<T>, is_product: impl Fn(Place) -> bool) -> Option<(Place, Ending<T>)> {
    let in_order = |of: &Formula| of.leaf(map, |leaf| leaf.reading == Reading::InOrder)?.value.place();
    let product = |of: &Formula| in_order(of).filter(|&x| is_product(x));
    // The number and the other factor.
    let scaled = |of: &Formula| {
        let factors = of.terms(Ring::Mul)?;
        let one = |leaf: &Leaf<T>| leaf.reading == Reading::Repeated && leaf.value.place().is_none_or(|p| p.len == 1);
        let number = |i: usize| Some((factors[i].leaf(map, one)?.value, factors[1 - i].clone()));
        number(0).or_else(|| number(1))
    };
    if map.code.len() > MOST {
        return None;
    }
    let y = Formula::of(map, Slot::Output(0), map.code.len())?;
    if let Some([a, step]) = y.terms(Ring::Sub) {
        let (a, (s, inner)) = (in_order(a)?, scaled(step)?);
        if let Some(x) = product(&inner) {
            return Some((x, Ending { form: Form::Descend, a, b: a, s, r: s }));
        }
        let [p, q] = inner.terms(Ring::Add)?;
        let (x, pull) = product(p).map(|x| (x, q)).or_else(|| Some((product(q)?, p)))?;
        let (r, from) = scaled(pull)?;
        let [from, to] = from.terms(Ring::Sub)?;
        let b = in_order(to).filter(|_| in_order(from) == Some(a))?;
        return Some((x, Ending { form: Form::DescendPulled, a, b, s, r }));
    }
    let [p, q] = y.terms(Ring::Add)?;
    let (term, (s, factor)) = scaled(q).map(|scaled| (p, scaled)).or_else(|| Some((q, scaled(p)?)))?;
    let (form, x, a) = match product(term) {
        Some(x) => (Form::AddScaled, x, in_order(&factor)?),
        None => (Form::ScaleAdd, product(&factor)?, in_order(term)?),
    };
    Some((x, Ending { form, a, b: a, s, r: s }))
}

/// What a pass computes, as sums, differences and products of its leaves.
#[derive(Clone)]
enum Formula {
    Leaf(usize),
    Of(Ring, Box<[Formula; 2]>),
}

impl Formula {
    /// What a slot holds before an instruction, if it is such.
    fn of<T: Element>(map: &Map<T>, slot: Slot, before: usize) -> Option<Self> {
        if let Slot::Leaf(i) = slot {
            return Some(Formula::Leaf(i.into()));
        }
        let at = map.code[..before].iter().rposition(|i| i.target == slot && !matches!(i.op, MapOp::Sum(_)))?;
        let Instruction { op, sources: [a, b, c, _], .. } = map.code[at];
        let of = |slot: Slot| Formula::of(map, slot, at);
        match op {
            MapOp::Binary(op) => Some(Formula::Of(Ring::of(op)?, Box::new([of(a)?, of(b)?]))),
            MapOp::Pair { first, second, last } => {
                let (inner, c) = (Formula::Of(first, Box::new([of(a)?, of(b)?])), of(c)?);
                Some(Formula::Of(second, Box::new(if last { [c, inner] } else { [inner, c] })))
            }
            _ => None,
        }
    }

    /// What it is the sum, difference or product of.
    fn terms(&self, ring: Ring) -> Option<&[Formula; 2]> {
        match self {
            Formula::Of(own, terms) if *own == ring => Some(terms),
            _ => None,
        }
    }

    /// The leaf that it is, of this kind.
    fn leaf<'m, T>(&self, map: &'m Map<T>, is: impl Fn(&Leaf<T>) -> bool) -> Option<&'m Leaf<T>> {
        match self {
            Formula::Leaf(i) => Some(&map.leaves[*i]).filter(|leaf| is(leaf)),
            Formula::Of(..) => None,
        }
    }
}
