//! Fused passes: a short register program over blocks of elements that fit the first-level cache.
//!
//! A group of elementwise operations, with the broadcasts they read and the sums they feed, is one pass:
//! for each block, each instruction is one vectorised loop over the block: a function that is chosen when the pass is
//! made, for its instruction set. Dispatch costs a call per block and instruction, never per element. Values that only the
//! group needs live in registers, which are blocks of the plan's arena.

mod check;
mod gate;
mod loops;
mod pair;
mod run;
mod stretch;
mod threads;
#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod vectorised;

use std::ops::Range;

use super::isa::Loop;
use super::memory::Place;
use super::{Isa, sum};
use crate::element::Element;
use crate::rules::{BinaryOp, CompareOp, UnaryOp};
use crate::shape::Axes;
pub(crate) use gate::{By, Passing};
pub(crate) use pair::Ring;

/// Elements of a block, where the shape does not ask for another number.
pub(crate) const BLOCK: usize = 512;

/// The most leaves, registers or outputs of one group.
pub(crate) const MOST_SLOTS: usize = 96;

#[derive(Clone, Debug)]
pub(crate) struct Map<T> {
    pub numel: usize,
    /// Elements per block; every repeated leaf's period and every row sum's period divides it.
    pub block: usize,
    pub registers: usize,
    pub leaves: Vec<Leaf<T>>,
    pub code: Vec<Instruction>,
    /// The code as it runs: see [`Map::make_ready`].
    pub ready: Vec<Ready<T>>,
    pub outputs: Vec<Place>,
    pub sums: Vec<Sum>,
    /// Registers, then stretched leaves, then running totals.
    pub work: Place,
}

#[derive(Clone, Debug)]
pub(crate) struct Leaf<T> {
    pub value: LeafValue<T>,
    pub reading: Reading,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum LeafValue<T> {
    At(Place),
    Literal(T),
}

impl<T> LeafValue<T> {
    /// Where it is, unless it is a literal.
    pub fn place(self) -> Option<Place> {
        match self {
            LeafValue::At(place) => Some(place),
            LeafValue::Literal(_) => None,
        }
    }
}

/// Which element of a leaf belongs to element i of the group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reading {
    /// i
    InOrder,
    /// i mod the leaf's length, which divides the block: stretched to a block once, unless it is one
    Repeated,
    /// Strides over the group's axes, some of them 0: stretched block by block
    Strided { dims: Axes, strides: Axes },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Slot {
    Leaf(u16),
    Register(u16),
    Output(u16),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Instruction {
    pub op: MapOp,
    pub target: Slot,
    pub sources: [Slot; 4],
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum MapOp {
    Unary(UnaryOp),
    Binary(BinaryOp),
    Compare(CompareOp),
    /// (mask, yes, no); a mask is 1 or 0
    Select,
    /// (a, b, c): second(first(a, b), c), or second(c, first(a, b)) where it comes last
    Pair {
        first: Ring,
        second: Ring,
        last: bool,
    },
    /// (a, b, yes, no): yes where the comparison of a with b holds, else no
    Choose(CompareOp),
    /// 0 where closed, else what passes: of the sources, those that close it come first
    Gate {
        by: By,
        passing: Passing,
    },
    Copy,
    /// Adds its source to these running totals; has no target.
    Sum(u16),
}

/// An instruction with its loop, and its slots by their numbers among leaves, registers and outputs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready<T> {
    job: Job<T>,
    target: u16,
    sources: [u16; 4],
}

#[derive(Clone, Copy, Debug)]
enum Job<T> {
    Each(Loop<T>),
    /// With this exponent.
    Power(i32),
    Sum(u16),
}

#[derive(Clone, Debug)]
pub(crate) struct Sum {
    pub kind: SumKind,
    pub y: Place,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum SumKind {
    /// Each column of rows of this length.
    Rows(usize),
    /// Each row of this length, which divides the block; of each row its lanes apart, the innermost numbers.
    Within { row: usize, lanes: usize },
    /// Everything, but not over lanes.
    All { lanes: usize },
}

impl SumKind {
    fn period(self, numel: usize) -> usize {
        match self {
            SumKind::Rows(period) => period,
            SumKind::Within { lanes: 1, .. } => 0,
            SumKind::Within { row, lanes } => sum::whole_period(row, lanes),
            SumKind::All { lanes } => sum::whole_period(numel, lanes),
        }
    }

    /// Whether its lanes are summed apart: such sums are too small to be cut for threads.
    fn is_in_lanes(self) -> bool {
        matches!(self, SumKind::Within { lanes, .. } | SumKind::All { lanes } if lanes > 1)
    }
}

impl<T: Element> Map<T> {
    /// Elements that `work` must have.
    pub fn work_len(&self) -> usize {
        let stretched = self.leaves.iter().filter(|l| l.reading != Reading::InOrder).count();
        let totals: usize = self.sums.iter().map(|s| sum::work(s.kind.period(self.numel))).sum();
        (self.registers + stretched) * self.block_len() + totals
    }

    /// The pass over some of its elements alone: of one that sums nothing, and reads in order or the same number everywhere.
    pub fn part(&self, elements: Range<usize>) -> Map<T> {
        let of = |place: Place| place.slice(elements.start, elements.len());
        let mut part =
            Map { numel: elements.len(), outputs: self.outputs.iter().copied().map(of).collect(), ..self.clone() };
        for leaf in part.leaves.iter_mut().filter(|leaf| leaf.reading == Reading::InOrder) {
            leaf.value = match leaf.value {
                LeafValue::At(place) => LeafValue::At(of(place)),
                literal => literal,
            };
        }
        part.work = self.work.slice(0, part.work_len());
        part
    }

    /// What it costs, in multiply-adds × 2 of a product.
    pub fn cost(&self) -> usize {
        /// Of an element of an instruction.
        const COST: usize = 20;
        self.numel * self.code.len() * COST
    }

    /// Chooses the loops, for an instruction set, of code that has been checked.
    pub(super) fn make_ready(&mut self, isa: Isa) {
        let (leaves, registers) = (self.leaves.len() as u16, self.registers as u16);
        let number = |slot| match slot {
            Slot::Leaf(i) => i,
            Slot::Register(i) => leaves + i,
            Slot::Output(i) => leaves + registers + i,
        };
        let ready = |&Instruction { op, target, sources }: &Instruction| {
            let job = match (op, loops::of(isa, op)) {
                (_, Some(each)) => Job::Each(each),
                (MapOp::Unary(UnaryOp::Powi(n)), _) => Job::Power(n),
                (MapOp::Sum(s), _) => Job::Sum(s),
                (op, None) => unreachable!("{op:?} has a loop"),
            };
            Ready { job, target: number(target), sources: sources.map(number) }
        };
        self.ready = self.code.iter().map(ready).collect();
    }

    fn block_len(&self) -> usize {
        // Whole cache lines, so that every register starts on one; and one more, so that registers are not multiples of
        // half a page apart, where loads wait for stores to addresses that end alike.
        self.block.min(self.numel).next_multiple_of(16) + 16
    }
}
