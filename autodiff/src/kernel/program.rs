//! A checked list of steps over one memory.
//!
//! [`Program::new`] verifies every step once: each place lies in its arena, and what a step writes overlaps
//! nothing else that the step touches. That is what lets [`Program::run`] hand out slices without checking. Nothing
//! allocates.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use super::arg_max::arg_max;
use super::map::{self, Map};
use super::memory::{Aligned, Block, Place, Region, Size};
use super::step::{Arena, Step, Touches};
use super::sum::{self, SumShape};
use super::{Isa, Task, Team, movement};
use crate::element::Element;
use crate::tape::{ConvFace, Stage};

/// A slice bound to an input for one run.
#[derive(Clone, Copy, Debug)]
pub enum Arg<'a, T> {
    /// Values of a float input.
    Floats(&'a [T]),
    /// Values of an index input.
    Indices(&'a [u32]),
}

impl<'a, T> From<&'a [T]> for Arg<'a, T> {
    fn from(values: &'a [T]) -> Self {
        Arg::Floats(values)
    }
}

impl<'a, T> From<&'a Vec<T>> for Arg<'a, T> {
    fn from(values: &'a Vec<T>) -> Self {
        Arg::Floats(values)
    }
}

/// Lengths of everything a program may touch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sizes {
    pub inputs: Vec<Size>,
    pub outputs: Vec<usize>,
    pub kept: [Size; Stage::COUNT],
    pub scratch: Size,
}

impl Sizes {
    fn of(&self, region: Region) -> Size {
        match region {
            Region::Input(i) => self.inputs[i as usize],
            Region::Output(i) => Size { floats: self.outputs[i as usize], indices: 0 },
            Region::Kept(stage) => self.kept[usize::from(stage)],
            Region::Scratch => self.scratch,
        }
    }
}

/// Steps that have been checked against the sizes they will run in.
#[derive(Clone, Debug)]
pub struct Program<T> {
    steps: Vec<Step<T>>,
    sizes: Sizes,
    /// Inputs that a step reads.
    inputs: Vec<usize>,
    isa: Isa,
    /// Of the step that costs most, in multiply-adds × 2 of a product.
    most: usize,
}

impl<T: Element> Program<T> {
    /// For an instruction set.
    ///
    /// # Panics
    /// Where a step would touch what it must not: a defect of the compiler that made it.
    pub(crate) fn new(isa: Isa, mut steps: Vec<Step<T>>, stage: Stage, sizes: Sizes) -> Self {
        let mut inputs = Vec::new();
        for step in &mut steps {
            let Touches { reads, writes } = step.touches();
            for &(arena, place) in reads.iter().chain(&writes) {
                let size = sizes.of(place.region);
                let len = if arena == Arena::Floats { size.floats } else { size.indices };
                let end = place.offset.checked_add(place.len);
                assert!(end.is_some_and(|end| end <= len), "{place:?} is out of bounds ({len}) in {step:?}");
                if let Region::Input(i) = place.region {
                    inputs.push(i as usize);
                }
            }
            for (i, &(arena, w)) in writes.iter().enumerate() {
                assert!(!matches!(w.region, Region::Input(_)), "{step:?} writes to an input");
                assert!(
                    !matches!(w.region, Region::Kept(s) if s != stage.number()),
                    "{step:?} writes what another stage keeps"
                );
                let others = reads.iter().chain(&writes[i + 1..]);
                for &(other, place) in others {
                    assert!(arena != other || !w.overlaps(place), "{w:?} overlaps {place:?} in {step:?}");
                }
            }
            if let Step::Map(m) = step {
                check_map(m);
                m.make_ready(isa);
            }
        }
        inputs.sort_unstable();
        inputs.dedup();
        let most = steps.iter().map(Step::cost).max().unwrap_or(0);
        Program { steps, sizes, inputs, isa, most }
    }

    pub(crate) fn steps(&self) -> &[Step<T>] {
        &self.steps
    }

    /// Bytes that a step reads and writes, each place once.
    pub(crate) fn bytes(&self, step: usize) -> usize {
        let Touches { mut reads, writes } = self.steps[step].touches();
        reads.sort_unstable_by_key(|&(arena, place)| (arena == Arena::Indices, place.region, place.offset));
        reads.dedup();
        let size = |&(arena, place): &(Arena, Place)| {
            place.len * if arena == Arena::Floats { size_of::<T>() } else { size_of::<u32>() }
        };
        reads.iter().chain(&writes).map(size).sum()
    }

    /// Elements that a run on several threads needs beside the program's memory.
    fn spare_len(&self, team: Team) -> usize {
        // Asked at every run, and small programs run in microseconds.
        if team.is_alone() {
            return 0;
        }
        let of = |step: &Step<T>| if let Step::Map(map) = step { map.spare_len(team) } else { 0 };
        self.steps.iter().map(of).max().unwrap_or(0)
    }

    /// Which inputs are read.
    pub(crate) fn inputs(&self) -> &[usize] {
        &self.inputs
    }

    /// Runs every step. The caller has checked that each input that is read and each output has the length
    /// in `sizes`; the blocks are checked here. `times`, where there are any, grow by what each step took.
    pub(crate) fn run(
        &self,
        inputs: &[Arg<'_, T>],
        outputs: &mut [&mut [T]],
        room: &mut Room<T>,
        times: &mut [Duration],
    ) {
        let Room { kept, scratch, team, spare } = room;
        assert!(spare.len() >= self.spare_len(*team), "the workspace belongs to another plan");
        for (stage, block) in kept.iter().enumerate() {
            assert!(block.size() == self.sizes.kept[stage], "the workspace belongs to another plan");
        }
        assert!(scratch.size() == self.sizes.scratch, "the workspace belongs to another plan");
        assert!(outputs.len() == self.sizes.outputs.len(), "as many outputs as declared");
        for (output, &len) in outputs.iter().zip(&self.sizes.outputs) {
            assert!(output.len() == len, "outputs have their declared lengths");
        }
        for &i in &self.inputs {
            let size = self.sizes.inputs[i];
            let fits = match inputs[i] {
                Arg::Floats(x) => x.len() == size.floats && size.indices == 0,
                Arg::Indices(x) => x.len() == size.indices && size.floats == 0,
            };
            assert!(fits, "inputs have their declared lengths");
        }
        // Small programs run in microseconds: no one comes for them.
        let team = if team.parts(self.most) > 1 { *team } else { Team::of(1) };
        team.standing_by(|team| {
            let mut kept_base = [(std::ptr::null_mut(), std::ptr::null_mut()); Stage::COUNT];
            for (base, block) in kept_base.iter_mut().zip(kept.iter_mut()) {
                *base = (block.floats.as_mut_ptr(), block.indices.as_mut_ptr());
            }
            let access = Access {
                inputs,
                outputs: outputs.as_mut_ptr().cast_const(),
                kept: kept_base,
                scratch: (scratch.floats.as_mut_ptr(), scratch.indices.as_mut_ptr()),
                borrow: PhantomData,
            };
            if times.is_empty() {
                for step in &self.steps {
                    run_step(step, self.isa, team, &access, spare);
                }
                return;
            }
            let mut before = Instant::now();
            for (step, time) in self.steps.iter().zip(&mut *times) {
                run_step(step, self.isa, team, &access, spare);
                let now = Instant::now();
                *time += now - before;
                before = now;
            }
        });
    }
}

/// All that running needs beside inputs and outputs.
#[derive(Clone, Debug)]
pub struct Room<T> {
    pub(crate) kept: [Block<T>; Stage::COUNT],
    scratch: Block<T>,
    team: Team<'static>,
    /// What the threads of the team need in one step.
    spare: Aligned<T>,
}

impl<T: Element> Room<T> {
    /// For programs that share these sizes.
    pub(crate) fn new<'p>(
        kept: [Size; Stage::COUNT],
        scratch: Size,
        team: Team<'static>,
        programs: impl Iterator<Item = &'p Program<T>>,
    ) -> Self
    where
        T: 'p,
    {
        let spare = programs.map(|program| program.spare_len(team)).max();
        let spare = Aligned::zeroed(spare.unwrap_or(0));
        Room { kept: kept.map(Block::new), scratch: Block::new(scratch), team, spare }
    }

    /// Bytes.
    pub(crate) fn bytes(&self) -> usize {
        let blocks = self.kept.iter().chain([&self.scratch]);
        blocks.map(Block::bytes).sum::<usize>() + self.spare.len() * size_of::<T>()
    }
}

/// What the unchecked accesses of [`map`] rely on beyond bounds.
fn check_map<T: Element>(m: &Map<T>) {
    use map::{LeafValue, MapOp, Reading, Slot, SumKind};
    assert!(m.leaves.len() <= map::MOST_SLOTS && m.registers <= map::MOST_SLOTS && m.outputs.len() <= map::MOST_SLOTS);
    assert!(m.work.len == m.work_len() && m.block > 0);
    let block = m.block.min(m.numel);
    for leaf in &m.leaves {
        if let LeafValue::At(x) = leaf.value {
            match &leaf.reading {
                Reading::InOrder => assert_eq!(x.len, m.numel),
                Reading::Repeated => assert!(x.len > 0 && (block.is_multiple_of(x.len) || m.numel == 0)),
                Reading::Strided { dims, strides } => {
                    let count = dims.iter().try_fold(1_usize, |product, &d| product.checked_mul(d));
                    assert_eq!(count, Some(m.numel));
                    let step = |(&d, &s): (&usize, &usize)| d.checked_sub(1)?.checked_mul(s);
                    let mut last = Some(0_usize);
                    for axis in dims.iter().zip(strides) {
                        last = last.and_then(|sum| sum.checked_add(step(axis)?));
                    }
                    assert!(!dims.is_empty() && last.is_some_and(|last| last < x.len));
                }
            }
        }
    }
    for y in &m.outputs {
        assert_eq!(y.len, m.numel);
    }
    for s in &m.sums {
        let fits = match s.kind {
            SumKind::Rows(period) => period > 0 && s.y.len == period && m.numel.is_multiple_of(period),
            SumKind::Within { row, lanes } => {
                let sums = s.y.len.checked_div(lanes).and_then(|rows| rows.checked_mul(row));
                row > 0
                    && row.is_multiple_of(lanes)
                    && s.y.len.is_multiple_of(lanes)
                    && sums == Some(m.numel)
                    && block.is_multiple_of(row)
            }
            SumKind::All { lanes } => lanes > 0 && s.y.len == lanes && m.numel.is_multiple_of(lanes),
        };
        assert!(fits, "a fused sum has the shape of its group");
    }
    let exists = |slot: Slot| match slot {
        Slot::Leaf(i) => usize::from(i) < m.leaves.len(),
        Slot::Register(i) => usize::from(i) < m.registers,
        Slot::Output(i) => usize::from(i) < m.outputs.len(),
    };
    for i in &m.code {
        assert!(i.sources.iter().all(|&s| exists(s)), "sources exist");
        if let MapOp::Sum(s) = i.op {
            assert!(usize::from(s) < m.sums.len());
            continue;
        }
        assert!(exists(i.target) && !matches!(i.target, Slot::Leaf(_)), "a leaf is never written");
        assert!(!i.sources.contains(&i.target), "an instruction does not read what it writes");
    }
}

/// Memory during a run.
pub(super) struct Access<'a, T> {
    inputs: &'a [Arg<'a, T>],
    outputs: *const &'a mut [T],
    kept: [(*mut T, *mut u32); Stage::COUNT],
    scratch: (*mut T, *mut u32),
    borrow: PhantomData<&'a mut T>,
}

impl<'a, T: Element> Access<'a, T> {
    fn floats(&self, place: Place) -> *mut T {
        match place.region {
            Region::Input(i) => match self.inputs[i as usize] {
                Arg::Floats(x) => x.as_ptr().cast_mut(),
                Arg::Indices(_) => unreachable!("checked when the run began"),
            },
            // SAFETY: `run` checked that there are as many outputs as declared, and `Program::new` that the
            // index is one of them; the pointee is read through a raw pointer, without a second borrow.
            Region::Output(i) => unsafe { std::ptr::read(self.outputs.add(i as usize).cast::<*mut [T]>()).cast() },
            Region::Kept(stage) => self.kept[usize::from(stage)].0,
            Region::Scratch => self.scratch.0,
        }
    }

    /// Where a float place starts. What it points to is in bounds, and written by no one else, where the place has
    /// passed [`Program::new`].
    #[inline(always)]
    pub(super) fn pointer(&self, place: Place) -> *mut T {
        self.floats(place).wrapping_add(place.offset)
    }

    /// # Safety
    /// `place` has passed [`Program::new`] as a float place of the step now running, and no slice that
    /// overlaps it is being written.
    #[inline(always)]
    pub(super) unsafe fn read(&self, place: Place) -> &'a [T] {
        // SAFETY: in bounds and not written, by the contract.
        unsafe { std::slice::from_raw_parts(self.pointer(place), place.len) }
    }

    /// # Safety
    /// As for [`read`](Access::read), and no other slice overlaps it.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)] // The contract makes the slices disjoint.
    pub(super) unsafe fn write(&self, place: Place) -> &'a mut [T] {
        // SAFETY: in bounds and disjoint from all else, by the contract.
        unsafe { std::slice::from_raw_parts_mut(self.pointer(place), place.len) }
    }

    fn index_base(&self, place: Place) -> *mut u32 {
        match place.region {
            Region::Input(i) => match self.inputs[i as usize] {
                Arg::Indices(x) => x.as_ptr().cast_mut(),
                Arg::Floats(_) => unreachable!("checked when the run began"),
            },
            Region::Kept(stage) => self.kept[usize::from(stage)].1,
            Region::Scratch => self.scratch.1,
            Region::Output(_) => unreachable!("outputs hold floats"),
        }
    }

    /// # Safety
    /// As for [`read`](Access::read), for an index place.
    unsafe fn read_indices(&self, place: Place) -> &'a [u32] {
        // SAFETY: in bounds and not written, by the contract.
        unsafe { std::slice::from_raw_parts(self.index_base(place).add(place.offset), place.len) }
    }

    /// # Safety
    /// As for [`write`](Access::write), for an index place.
    #[allow(clippy::mut_from_ref)] // The contract makes the slices disjoint.
    unsafe fn write_indices(&self, place: Place) -> &'a mut [u32] {
        // SAFETY: in bounds and disjoint from all else, by the contract.
        unsafe { std::slice::from_raw_parts_mut(self.index_base(place).add(place.offset), place.len) }
    }
}

#[track_caller]
fn check_indices(indices: &[u32], bound: usize) {
    if let Some(i) = indices.iter().find(|&&i| i as usize >= bound) {
        panic!("index {i} is not below its bound {bound}");
    }
}

struct SumRun<'a, T: Element> {
    x: &'a [T],
    y: &'a mut [T],
    shape: SumShape,
    work: &'a mut [T],
}
impl<T: Element> Task for SumRun<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        sum::sum_middle(self.x, self.y, self.shape, self.work);
    }
}

fn run_step<T: Element>(step: &Step<T>, isa: Isa, team: Team, m: &Access<'_, T>, spare: &mut [T]) {
    // SAFETY (of every access below): `Program::new` has checked this step: its places are in bounds of the
    // arena of their type, and what it writes overlaps nothing else that it touches.
    match step {
        Step::Map(map) => map::run(map, isa, m, team, spare),
        Step::MatMul { shape, a, b, c } => {
            // SAFETY: see above.
            let (a, b, c) = unsafe { (m.read(*a), m.read(*b), m.write(*c)) };
            shape.run(isa, team, a, b, c);
        }
        Step::LaneMatMul { shape, a, b, c } => {
            // SAFETY: see above.
            let (a, b, c) = unsafe { (m.read(*a), m.read(*b), m.write(*c)) };
            shape.run(isa, a, b, c);
        }
        Step::Conv { conv, face, add, a, b, c } => {
            // SAFETY: see above.
            let (a, b, c) = unsafe { (m.read(*a), m.read(*b), m.write(*c)) };
            match face {
                ConvFace::Forward => conv.forward(isa, team, *add, a, b, c),
                ConvFace::InputGrad => conv.input_grad(isa, team, *add, a, b, c),
                ConvFace::WeightGrad => conv.weight_grad(isa, team, *add, a, b, c),
            }
        }
        Step::Sum { shape, x, y, work } => {
            // SAFETY: see above.
            let (x, y, work) = unsafe { (m.read(*x), m.write(*y), m.write(*work)) };
            isa.run(SumRun { x, y, shape: *shape, work });
        }
        Step::Read { dims, strides, start, x, y } => {
            // SAFETY: see above.
            let (x, y) = unsafe { (m.read(*x), m.write(*y)) };
            movement::read_strided(isa, x, y, dims, strides, *start);
        }
        Step::Assemble { pieces, zeros, y } => {
            // SAFETY: see above; pieces computed in place are part of y and only not written here.
            let y = unsafe { m.write(*y) };
            for &(start, len) in zeros {
                y[start..start + len].fill(T::zero());
            }
            for piece in pieces {
                // SAFETY: see above.
                let x = unsafe { m.read(piece.x) };
                movement::write_strided(x, y, &piece.dims, &piece.strides, piece.start);
            }
        }
        Step::Gather { inner, bound, table, indices, y } => {
            // SAFETY: see above.
            let (table, indices, y) = unsafe { (m.read(*table), m.read_indices(*indices), m.write(*y)) };
            check_indices(indices, *bound);
            movement::gather(team, table, indices, y, *inner);
        }
        Step::ScatterAdd { inner, bound, rows, indices, y } => {
            // SAFETY: see above.
            let (rows, indices, y) = unsafe { (m.read(*rows), m.read_indices(*indices), m.write(*y)) };
            check_indices(indices, *bound);
            movement::scatter_add(isa, team, rows, indices, y, *inner);
        }
        Step::OneHot { depth, indices, y } => {
            // SAFETY: see above.
            let (indices, y) = unsafe { (m.read_indices(*indices), m.write(*y)) };
            check_indices(indices, *depth);
            movement::one_hot(indices, y, *depth);
        }
        Step::ArgMax { windows, x, y, values } => {
            // SAFETY: see above.
            let (x, y, values) = unsafe { (m.read(*x), m.write_indices(*y), m.write(*values)) };
            arg_max(isa, team, x, y, values, windows);
        }
    }
}
