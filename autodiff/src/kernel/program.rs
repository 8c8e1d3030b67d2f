//! A checked list of steps over one memory.
//!
//! [`Program::new`] verifies every step once: each place lies in its arena, and what a step writes overlaps
//! nothing else that the step touches. That is what lets [`Program::run`] hand out slices without checking. Nothing
//! allocates.

use std::time::{Duration, Instant};

use super::access::{Access, Arg};
use super::memory::{Aligned, Block, Place, Region, Size};
use super::step::{Arena, Step, Touches};
use super::{Isa, Team};
use crate::element::Element;
use crate::tape::Stage;

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
    /// Stages of whose blocks a step reads something.
    earlier: Vec<usize>,
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
        let (mut inputs, mut earlier) = (Vec::new(), Vec::new());
        for step in &mut steps {
            let Touches { reads, writes } = step.touches();
            for &(arena, place) in reads.iter().chain(&writes) {
                let size = sizes.of(place.region);
                let len = if arena == Arena::Floats { size.floats } else { size.indices };
                let end = place.offset.checked_add(place.len);
                assert!(end.is_some_and(|end| end <= len), "{place:?} is out of bounds ({len}) in {step:?}");
                match place.region {
                    Region::Input(i) => inputs.push(i as usize),
                    Region::Kept(own) if own != stage.number() => earlier.push(usize::from(own)),
                    _ => {}
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
                m.check();
                m.make_ready(isa);
            }
        }
        for of in [&mut inputs, &mut earlier] {
            of.sort_unstable();
            of.dedup();
        }
        let most = steps.iter().map(Step::cost).max().unwrap_or(0);
        Program { steps, sizes, inputs, earlier, isa, most }
    }

    pub(crate) fn steps(&self) -> &[Step<T>] {
        &self.steps
    }

    /// Bytes that a step reads and writes, each place once, with what lies between the matrices of a batch.
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

    /// Which stages have to have run.
    pub(crate) fn earlier(&self) -> &[usize] {
        &self.earlier
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
            // SAFETY: all sizes are those of this program's steps, as was checked above.
            let access = unsafe { Access::new(inputs, outputs, kept, scratch) };
            if times.is_empty() {
                for step in &self.steps {
                    // SAFETY: `new` has checked the step.
                    unsafe { step.run(self.isa, team, &access, spare) };
                }
                return;
            }
            let mut before = Instant::now();
            for (step, time) in self.steps.iter().zip(&mut *times) {
                // SAFETY: `new` has checked the step.
                unsafe { step.run(self.isa, team, &access, spare) };
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
