//! Fused passes: a short register program over blocks of elements that fit the first-level cache.
//!
//! A group of elementwise operations, with the broadcasts they read and the sums they feed, is one pass:
//! for each block, each instruction is one vectorised loop over the block: a function that is chosen when the pass is
//! made, for its instruction set. Dispatch costs a call per block and instruction, never per element. Values that only the
//! group needs live in registers, which are blocks of the plan's arena.

mod gate;
mod loops;
mod pair;
mod stretch;
#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod vectorised;

use std::mem::MaybeUninit;
use std::ops::Range;

use super::isa::Loop;
use super::memory::Place;
use super::program::Access as Memory;
use super::{Isa, Task, Team, sum};
use crate::element::Element;
use crate::rules::{BinaryOp, CompareOp, UnaryOp};
use crate::shape::Axes;
use loops::powers;
pub(crate) use pair::Ring;
use stretch::{repeat, stretch_strided};

/// Elements of a block, where the shape does not ask for another number.
pub(crate) const BLOCK: usize = 512;

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

/// Which element of a leaf belongs to element i of the group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reading {
    /// i
    InOrder,
    /// i mod the leaf's length, which divides the block: stretched to a block once
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
    /// (a, b, c): 0 where first(a, b) ≤ 0, else c, or first(a, b) where it is its own gate; a for first(a, b) where there
    /// is no first
    Gate {
        first: Option<Ring>,
        own: bool,
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

    /// What it costs, in multiply-adds × 2 of a product.
    pub fn cost(&self) -> usize {
        /// Of an element of an instruction.
        const COST: usize = 20;
        self.numel * self.code.len() * COST
    }

    /// How it is cut, if it is worth more than one thread. Sums are cut by shape: in segments that all of them share.
    fn segments(&self, team: Team) -> Option<Segments> {
        let parts = team.parts(self.cost());
        if parts == 1 || self.sums.iter().any(|s| s.kind.is_in_lanes()) {
            return None;
        }
        let mut periods = self.sums.iter().map(|s| s.kind.period(self.numel)).filter(|&p| p > 0);
        let period = periods.next();
        if periods.any(|other| Some(other) != period) {
            return None;
        }
        // Blocks start where repeated leaves do.
        let len = period.map_or(self.block * 64, |period| period * sum::SEGMENT);
        let count = self.numel.div_ceil(len);
        let slot = self.sums.iter().map(|s| s.kind.period(self.numel)).sum();
        len.is_multiple_of(self.block).then_some(Segments { len, count, slot, parts: parts.min(count) })
    }

    /// Elements that a run on several threads needs beside `work`: totals of segments, and work of other threads.
    pub fn spare_len(&self, team: Team) -> usize {
        self.segments(team).filter(|s| s.parts > 1).map_or(0, |s| s.count * s.slot + (s.parts - 1) * self.work_len())
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

/// The run of one [`Map`], or of some of its segments, for [`Isa::run`](super::Isa::run).
struct Run<'a, 'm, T: Element> {
    isa: Isa,
    map: &'a Map<T>,
    memory: &'a Memory<'m, T>,
    /// `work_len` elements that nothing else uses.
    work: &'a mut [T],
    part: Part<'a, T>,
}

enum Part<'a, T> {
    /// All elements; sums are finished.
    Whole,
    /// The segments of so many elements in a range; the totals of each go side by side into a slot.
    Segments { range: Range<usize>, len: usize, slots: &'a mut [T] },
}

/// Runs the pass, on as many threads as it is worth.
#[inline]
pub(super) fn run<T: Element>(map: &Map<T>, isa: Isa, memory: &Memory<'_, T>, team: Team, spare: &mut [T]) {
    match map.segments(team).filter(|segments| segments.parts > 1) {
        Some(segments) => run_shared(map, isa, memory, team, spare, &segments),
        None => {
            // SAFETY: `Program::new` has checked that `work` lies in its arena and overlaps nothing that this step
            // reads or writes, and that it is `work_len` long.
            let work = unsafe { memory.write(map.work) };
            isa.run(Run { isa, map, memory, work, part: Part::Whole });
        }
    }
}

/// Gives segments to several threads, and adds up what they give back.
#[inline(never)]
fn run_shared<T: Element>(
    map: &Map<T>,
    isa: Isa,
    memory: &Memory<'_, T>,
    team: Team,
    spare: &mut [T],
    segments: &Segments,
) {
    let &Segments { len, count, slot, parts } = segments;
    // SAFETY: as in `run`.
    let own = unsafe { memory.write(map.work) };
    let (slots, others) = spare[..map.spare_len(team)].split_at_mut(count * slot);
    let (mut rest, mut own, mut others, mut first) = (&mut *slots, Some(own), others, 0);
    let shares = (0..parts).map(|part| {
        let range = first..count * (part + 1) / parts;
        let slots = rest.split_off_mut(..range.len() * slot).expect("a slot for each segment");
        // The first has the plan's own work, the others pieces of what is spare.
        let work = own.take().or_else(|| others.split_off_mut(..map.work_len())).expect("work for each part");
        first = range.end;
        Share { range, work, slots }
    });
    let memory = Shared(memory);
    team.each(shares, |Share { range, work, slots }| {
        let memory = memory.get();
        isa.run(Run { isa, map, memory, work, part: Part::Segments { range, len, slots } });
    });
    let mut at = 0;
    for s in &map.sums {
        let period = s.kind.period(map.numel);
        // SAFETY: checked by `Program::new`: in bounds, disjoint from all else.
        let y = unsafe { memory.get().write(s.y) };
        match s.kind {
            SumKind::Rows(_) => sum::add_segments(&slots[at..], slot, y),
            SumKind::Within { .. } => {}
            SumKind::All { .. } => {
                let mut totals = [T::zero(); sum::LANES];
                sum::add_segments(&slots[at..], slot, &mut totals[..period]);
                sum::pairwise(&mut totals[..period], 1);
                y[0] = totals[0];
            }
        }
        at += period;
    }
}

/// A map's memory, for several threads.
///
/// What they write is disjoint: elements of their own segments, and their own work.
struct Shared<'a, 'm, T>(&'a Memory<'m, T>);
// SAFETY: `Memory` holds pointers to plain numbers whose owners `Program::run` borrows exclusively; parts of a map read
// what no part writes, and write their own elements through pointers only.
unsafe impl<T: Element> Sync for Shared<'_, '_, T> {}

impl<'a, 'm, T> Shared<'a, 'm, T> {
    fn get(&self) -> &'a Memory<'m, T> {
        self.0
    }
}

/// What one part of a map has for itself.
struct Share<'a, T> {
    range: Range<usize>,
    work: &'a mut [T],
    slots: &'a mut [T],
}

/// How a map is cut for several threads.
struct Segments {
    /// Elements of one.
    len: usize,
    count: usize,
    /// Totals of one segment.
    slot: usize,
    parts: usize,
}

/// Where a slot's elements of the current block start.
#[derive(Clone, Copy)]
struct Cursor<T> {
    base: *mut T,
    /// All ones where the position moves with the blocks, 0 where each block sees the same elements.
    moves: usize,
}

impl<T> Cursor<T> {
    fn moving(base: *mut T) -> Self {
        Cursor { base, moves: usize::MAX }
    }

    fn resting(base: *mut T) -> Self {
        Cursor { base, moves: 0 }
    }

    /// In the block that starts at element `start`.
    #[inline(always)]
    fn at(self, start: usize) -> *mut T {
        self.base.wrapping_add(self.moves & start)
    }
}

/// The most leaves, registers or outputs of one group.
pub(crate) const MOST_SLOTS: usize = 96;

impl<T: Element> Task for Run<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Run { isa, map, memory, work, mut part } = self;
        let len = map.block_len();
        let (registers, rest) = work.split_at_mut(map.registers * len);
        let stretched = map.leaves.iter().filter(|l| l.reading != Reading::InOrder).count();
        let (stretch, totals) = rest.split_at_mut(stretched * len);

        // Not initialised as a whole: that would take longer than a small pass.
        let mut cursors = [const { MaybeUninit::<Cursor<T>>::uninit() }; 3 * MOST_SLOTS];
        let (of_leaves, rest) = cursors.split_at_mut(map.leaves.len());
        let (of_registers, of_outputs) = rest.split_at_mut(map.registers);
        for (r, cursor) in of_registers.iter_mut().enumerate() {
            cursor.write(Cursor::resting(registers[r * len..].as_mut_ptr()));
        }
        for (cursor, &y) in of_outputs.iter_mut().zip(&map.outputs) {
            cursor.write(Cursor::moving(memory.pointer(y)));
        }
        let (mut next, mut is_strided) = (0, false);
        for (at, leaf) in of_leaves.iter_mut().zip(&map.leaves) {
            let cursor = match (&leaf.value, &leaf.reading) {
                (LeafValue::At(x), Reading::InOrder) => {
                    // SAFETY: checked by `Program::new`; only ever read through this cursor.
                    Cursor::moving(unsafe { memory.read(*x) }.as_ptr().cast_mut())
                }
                (value, reading) => {
                    let block = &mut stretch[next * len..(next + 1) * len];
                    next += 1;
                    match (value, reading) {
                        (LeafValue::Literal(v), _) => block.fill(*v),
                        (LeafValue::At(x), Reading::Repeated) => {
                            // SAFETY: checked by `Program::new`.
                            let x = unsafe { memory.read(*x) };
                            if let [v] = x {
                                block.fill(*v);
                            } else {
                                repeat(x, block);
                            }
                        }
                        _ => is_strided = true,
                    }
                    Cursor::resting(block.as_mut_ptr())
                }
            };
            at.write(cursor);
        }
        // SAFETY: every slot that exists was written above, and `Program::new` checked that those of the code exist.
        let cursor = |i: u16| unsafe { cursors.get_unchecked(usize::from(i)).assume_init() };
        let (mut segment, last, segment_len) = match &part {
            Part::Whole => (0, 1, map.numel),
            Part::Segments { range, len, .. } => (range.start, range.end, *len),
        };
        let slots_from = segment;
        while segment < last {
            totals.fill(T::zero());
            let (mut start, end) = (segment * segment_len, map.numel.min((segment + 1) * segment_len));
            while start < end {
                let n = map.block.min(end - start);
                let leaves = if is_strided { &map.leaves[..] } else { &[] };
                for (i, leaf) in leaves.iter().enumerate() {
                    if let (LeafValue::At(x), Reading::Strided { dims, strides }) = (&leaf.value, &leaf.reading) {
                        // SAFETY: the leaf is in bounds (`Program::new`); the cursor points at a block of `work`
                        // that nothing else uses, at least `n` long.
                        let (x, block) =
                            unsafe { (memory.read(*x), std::slice::from_raw_parts_mut(cursor(i as u16).base, n)) };
                        stretch_strided(isa, x, dims, strides, start, block);
                    }
                }
                for Ready { job, target, sources } in &map.ready {
                    // SAFETY: each cursor has at least `n` elements from the position of this block on
                    // (`block_len` for work, `numel` for leaves in order and outputs, by `Program::new`), and
                    // an instruction's target is none of its sources (`Program::new`).
                    let source = |k: usize| unsafe { std::slice::from_raw_parts(cursor(sources[k]).at(start), n) };
                    // SAFETY: as for the sources; targets are registers or outputs, which are written only here.
                    let target = || unsafe { std::slice::from_raw_parts_mut(cursor(*target).at(start), n) };
                    match *job {
                        // SAFETY: chosen for an instruction set that there is; all have `n` elements.
                        Job::Each(each) => unsafe { each(target(), source(0), source(1), source(2), source(3)) },
                        Job::Power(exponent) => powers(source(0), target(), exponent),
                        Job::Sum(s) => accumulate(map, memory, totals, usize::from(s), start, source(0)),
                    }
                }
                start += n;
            }

            let (mut at, mut slot) = (0, 0);
            for s in &map.sums {
                let period = s.kind.period(map.numel);
                let work = &mut totals[at..at + sum::work(period)];
                at += work.len();
                if let Part::Segments { slots, .. } = &mut part {
                    let width: usize = map.sums.iter().map(|s| s.kind.period(map.numel)).sum();
                    let from = (segment - slots_from) * width + slot;
                    sum::finish_rows(work, period, &mut slots[from..from + period]);
                    slot += period;
                    continue;
                }
                // SAFETY: checked by `Program::new`: in bounds, disjoint from all else; there is no other part.
                let y = unsafe { memory.write(s.y) };
                match s.kind {
                    SumKind::Rows(_) => sum::finish_rows(work, period, y),
                    SumKind::Within { .. } => {}
                    SumKind::All { .. } => sum::finish_whole(work, period, y),
                }
            }
            segment += 1;
        }
    }
}

#[inline(always)]
fn accumulate<T: Element>(map: &Map<T>, memory: &Memory<'_, T>, totals: &mut [T], s: usize, start: usize, x: &[T]) {
    let at: usize = map.sums[..s].iter().map(|s| sum::work(s.kind.period(map.numel))).sum();
    let period = map.sums[s].kind.period(map.numel);
    let totals = &mut totals[at..at + sum::work(period)];
    let SumKind::Within { row, lanes } = map.sums[s].kind else {
        return sum::accumulate(totals, period, start, x);
    };
    let (from, count) = (start / row * lanes, x.len() / row * lanes);
    // SAFETY: checked by `Program::new`: in bounds, disjoint from all else; these rows are this part's.
    let y = unsafe { std::slice::from_raw_parts_mut(memory.pointer(map.sums[s].y).add(from), count) };
    for (y, row) in y.chunks_exact_mut(lanes).zip(x.chunks_exact(row)) {
        match y {
            [y] => *y = sum::sum_vector(row),
            y => sum::sum_vectors(row, y, totals),
        }
    }
}
