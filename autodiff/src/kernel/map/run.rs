//! A pass at work: block after block, instruction after instruction.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::loops::powers;
use super::stretch::{repeat, stretch_strided};
use super::{Job, LeafValue, MOST_SLOTS, Map, Reading, Ready, SumKind};
use crate::element::Element;
use crate::kernel::access::Access;
use crate::kernel::{Isa, Task, sum};
/// The run of one [`Map`], or of some of its segments, for [`Isa::run`].
pub(super) struct Run<'a, 'm, T: Element> {
    pub isa: Isa,
    pub map: &'a Map<T>,
    pub memory: &'a Access<'m, T>,
    /// `work_len` elements that nothing else uses.
    pub work: &'a mut [T],
    pub part: Part<'a, T>,
}

pub(super) enum Part<'a, T> {
    /// All elements; sums are finished.
    Whole,
    /// The segments of so many elements in a range; the totals of each go side by side into a slot.
    Segments { range: Range<usize>, len: usize, slots: &'a mut [T] },
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

/// Of leaves, registers and outputs, in that order. Not initialised as a whole: that would take longer than a small pass.
type Cursors<T> = [MaybeUninit<Cursor<T>>; 3 * MOST_SLOTS];

impl<T: Element> Task for Run<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Run { isa, map, memory, work, mut part } = self;
        let (registers, rest) = work.split_at_mut(map.registers * map.block_len());
        let stretched = map.leaves.iter().filter(|l| l.reading != Reading::InOrder).count();
        let (stretch, totals) = rest.split_at_mut(stretched * map.block_len());
        let mut cursors = [const { MaybeUninit::uninit() }; 3 * MOST_SLOTS];
        let is_strided = set_out(map, memory, [registers, stretch], &mut cursors);
        // SAFETY: `set_out` has written every slot that exists, and `Program::new` checked that those of the code exist.
        let cursor = |i: u16| unsafe { cursors.get_unchecked(usize::from(i)).assume_init() };
        let (first, last, segment_len) = match &part {
            Part::Whole => (0, 1, map.numel),
            Part::Segments { range, len, .. } => (range.start, range.end, *len),
        };
        for segment in first..last {
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
            finish(map, memory, totals, &mut part, segment - first);
        }
    }
}

/// Writes the cursors, and what leaves are that every block sees alike. Returns whether some are strided, which are
/// stretched block by block.
#[inline(always)]
fn set_out<T: Element>(
    map: &Map<T>,
    memory: &Access<'_, T>,
    [registers, stretch]: [&mut [T]; 2],
    cursors: &mut Cursors<T>,
) -> bool {
    let len = map.block_len();
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
            // Every block sees all of it.
            (LeafValue::At(x), Reading::Repeated) if x.len == map.block => {
                // SAFETY: as above.
                Cursor::resting(unsafe { memory.read(*x) }.as_ptr().cast_mut())
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
    is_strided
}

/// Adds what an instruction sums in a block that starts at element `start`.
#[inline(always)]
fn accumulate<T: Element>(map: &Map<T>, memory: &Access<'_, T>, totals: &mut [T], s: usize, start: usize, x: &[T]) {
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

/// Finishes the sums of a segment: where they go, or, of a part, in the slot of that segment, the `number`th of its own.
#[inline(always)]
fn finish<T: Element>(map: &Map<T>, memory: &Access<'_, T>, totals: &mut [T], part: &mut Part<'_, T>, number: usize) {
    let (mut at, mut slot) = (0, 0);
    for s in &map.sums {
        let period = s.kind.period(map.numel);
        let work = &mut totals[at..at + sum::work(period)];
        at += work.len();
        if let Part::Segments { slots, .. } = part {
            let width: usize = map.sums.iter().map(|s| s.kind.period(map.numel)).sum();
            let from = number * width + slot;
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
}
