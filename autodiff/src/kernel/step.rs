//! Steps: one operation on places each, and what it touches.

use std::sync::Arc;

use super::arg_max;
use super::map::{LeafValue, Map};
use super::memory::Place;
use super::{Conv, Form, LaneMatMul, MatMul, SumShape, movement};
use crate::element::Element;
use crate::shape::Axes;
use crate::tape::{ConvFace, Windows};

/// One operation on places.
#[derive(Clone, Debug)]
pub(crate) enum Step<T> {
    Map(Map<T>),
    MatMul {
        shape: Arc<MatMul>,
        a: Place,
        b: Place,
        c: Place,
        work: Place,
    },
    Conv {
        conv: Arc<Conv>,
        face: ConvFace,
        /// To what c holds.
        add: bool,
        a: Place,
        b: Place,
        c: Place,
    },
    LaneMatMul {
        shape: LaneMatMul,
        a: Place,
        b: Place,
        c: Place,
        ending: Option<Box<Ending<T>>>,
    },
    /// [outer, summed, inner] → [outer, inner]
    Sum {
        shape: SumShape,
        x: Place,
        y: Place,
        work: Place,
    },
    /// y, row-major over `dims`, reads x with `strides` from `start`.
    Read {
        dims: Axes,
        strides: Axes,
        start: usize,
        x: Place,
        y: Place,
    },
    /// The operands into their boxes; `zeros` are the runs of y that no box covers.
    Assemble {
        pieces: Vec<Piece>,
        zeros: Vec<(usize, usize)>,
        y: Place,
    },
    Gather {
        inner: usize,
        bound: usize,
        table: Place,
        indices: Place,
        y: Place,
    },
    ScatterAdd {
        inner: usize,
        bound: usize,
        rows: Place,
        indices: Place,
        y: Place,
    },
    OneHot {
        depth: usize,
        indices: Place,
        y: Place,
    },
    /// y = where the largest element of each window of x is; values = that element, or empty.
    ArgMax {
        windows: Windows,
        x: Place,
        y: Place,
        values: Place,
    },
}

/// What a product's numbers go through: an [`Epilogue`](super::Epilogue) on places.
#[derive(Clone, Debug)]
pub(crate) struct Ending<T> {
    pub form: Form,
    pub a: Place,
    pub b: Place,
    pub s: LeafValue<T>,
    pub r: LeafValue<T>,
}

impl<T: Copy> Ending<T> {
    /// What it reads beside the product.
    pub fn reads(&self) -> impl Iterator<Item = Place> + use<T> {
        let numbers = [self.s, self.r].into_iter().filter_map(LeafValue::place);
        [self.a, self.b].into_iter().chain(numbers)
    }
}

/// A box of an [`Step::Assemble`] that is copied; those that were computed in place need no step.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub x: Place,
    pub dims: Axes,
    pub strides: Axes,
    pub start: usize,
}

/// Floats and indices have arenas of their own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Arena {
    Floats,
    Indices,
}

/// What a step touches.
#[derive(Default)]
pub(super) struct Touches {
    pub reads: Vec<(Arena, Place)>,
    pub writes: Vec<(Arena, Place)>,
}

impl<T: Element> Step<T> {
    /// What it costs, in multiply-adds × 2 of a product; 0 for what one thread does.
    pub(super) fn cost(&self) -> usize {
        match self {
            Step::Map(map) => map.cost(),
            Step::MatMul { shape, .. } => shape.cost(),
            Step::Conv { conv, .. } => conv.flops() as usize,
            Step::Gather { inner, y: moved, .. } | Step::ScatterAdd { inner, rows: moved, .. } => {
                movement::cost(moved.len, *inner)
            }
            Step::ArgMax { windows, y, .. } => arg_max::cost(y.len, windows),
            _ => 0,
        }
    }

    /// Whether it reads something of this place, which holds floats.
    pub(crate) fn reads(&self, place: Place) -> bool {
        let adds = match self {
            Step::MatMul { shape, c, .. } => shape.add.then_some(*c),
            Step::LaneMatMul { shape, c, .. } => shape.add.then_some(*c),
            Step::Conv { add, c, .. } => add.then_some(*c),
            _ => None,
        };
        let reads = self.touches().reads.into_iter();
        reads
            .filter(|&(arena, _)| arena == Arena::Floats)
            .map(|(_, read)| read)
            .chain(adds)
            .any(|read| read.overlaps(place))
    }

    pub(super) fn touches(&self) -> Touches {
        let mut t = Touches::default();
        let floats = Arena::Floats;
        let indices = Arena::Indices;
        match self {
            Step::Map(m) => {
                for leaf in &m.leaves {
                    if let LeafValue::At(x) = leaf.value {
                        t.reads.push((floats, x));
                    }
                }
                t.writes.extend(m.outputs.iter().map(|&y| (floats, y)));
                t.writes.extend(m.sums.iter().map(|s| (floats, s.y)));
                t.writes.push((floats, m.work));
            }
            Step::MatMul { a, b, c, work, .. } => {
                t.reads.extend([(floats, *a), (floats, *b)]);
                t.writes.extend([(floats, *c), (floats, *work)]);
            }
            Step::Conv { a, b, c, .. } => {
                t.reads.extend([(floats, *a), (floats, *b)]);
                t.writes.push((floats, *c));
            }
            Step::LaneMatMul { a, b, c, ending, .. } => {
                t.reads.extend([(floats, *a), (floats, *b)]);
                t.writes.push((floats, *c));
                t.reads.extend(ending.iter().flat_map(|ending| ending.reads()).map(|place| (floats, place)));
            }
            Step::Sum { x, y, work, .. } => {
                t.reads.push((floats, *x));
                t.writes.extend([(floats, *y), (floats, *work)]);
            }
            Step::Read { x, y, .. } => {
                t.reads.push((floats, *x));
                t.writes.push((floats, *y));
            }
            Step::Assemble { pieces, y, .. } => {
                t.reads.extend(pieces.iter().map(|p| (floats, p.x)));
                t.writes.push((floats, *y));
            }
            Step::Gather { table: x, indices: i, y, .. } | Step::ScatterAdd { rows: x, indices: i, y, .. } => {
                t.reads.extend([(floats, *x), (indices, *i)]);
                t.writes.push((floats, *y));
            }
            Step::OneHot { indices: i, y, .. } => {
                t.reads.push((indices, *i));
                t.writes.push((floats, *y));
            }
            Step::ArgMax { x, y, values, .. } => {
                t.reads.push((floats, *x));
                t.writes.extend([(indices, *y), (floats, *values)]);
            }
        }
        t
    }
}
