//! A pass on one thread, or cut by shape for several.

use std::ops::Range;

use super::run::{Part, Run};
use super::{Map, SumKind};
use crate::element::Element;
use crate::kernel::access::Access;
use crate::kernel::{Isa, Team, sum};

impl<T: Element> Map<T> {
    /// Runs the pass, on as many threads as it is worth.
    ///
    /// # Safety
    /// `Program::new` has checked it, for the memory that `memory` gives access to.
    #[inline]
    pub(in crate::kernel) unsafe fn run(&self, isa: Isa, memory: &Access<'_, T>, team: Team, spare: &mut [T]) {
        match self.segments(team).filter(|segments| segments.parts > 1) {
            // SAFETY: the caller's.
            Some(segments) => unsafe { run_shared(self, isa, memory, team, spare, &segments) },
            None => {
                // SAFETY: `Program::new` has checked that `work` lies in its arena and overlaps nothing that this step
                // reads or writes, and that it is `work_len` long.
                let work = unsafe { memory.write(self.work) };
                isa.run(Run { isa, map: self, memory, work, part: Part::Whole });
            }
        }
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
}

/// Gives segments to several threads, and adds up what they give back.
///
/// # Safety
/// As for [`Map::run`].
#[inline(never)]
unsafe fn run_shared<T: Element>(
    map: &Map<T>,
    isa: Isa,
    memory: &Access<'_, T>,
    team: Team,
    spare: &mut [T],
    segments: &Segments,
) {
    let &Segments { len, count, slot, parts } = segments;
    // SAFETY: as in `Map::run`.
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
struct Shared<'a, 'm, T>(&'a Access<'m, T>);
// SAFETY: `Access` holds pointers to plain numbers whose owners `Program::run` borrows exclusively; parts of a map read
// what no part writes, and write their own elements through pointers only.
unsafe impl<T: Element> Sync for Shared<'_, '_, T> {}

impl<'a, 'm, T> Shared<'a, 'm, T> {
    fn get(&self) -> &'a Access<'m, T> {
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
