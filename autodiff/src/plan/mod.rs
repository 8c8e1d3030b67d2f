//! Plans: a tape compiled once, run many times without allocating.
//!
//! Compiling (`compile`) goes one way, a file a step:
//!
//! | file | what it decides |
//! |---|---|
//! | `accumulate` | which products are added to others where those are |
//! | `graph`, `view` | which nodes are live, their stage, which are views of others |
//! | `fuse` | which elementwise nodes and sums form one pass, and which values touch memory at all or are computed again |
//! | `schedule` | what each stage does, in order, with nodes still in place of addresses |
//! | `brief` | what is left of a stage where optional outputs are not asked for |
//! | `room` | how much each job needs while it runs |
//! | `inside` | which values are computed where a tensor has them |
//! | `arena` | where each value lives, by liveness |
//! | `lower` | the steps of each stage, on those places |
//! | `pass` | the instructions of one pass, its registers and how it reads |
//! | `joined` | which operations of a pass are one instruction |
//! | `ending` | which passes a product does before its numbers leave their registers |
//!
//! `workspace` is a thread's memory for a plan, in which `run` runs it; `display` says what it looks like, `timing` where the
//! time goes.
//!
//! None of this changes rounding: a fused plan and an unfused one give the same bits.

mod accumulate;
mod arena;
mod brief;
mod compile;
mod display;
mod ending;
mod fuse;
mod graph;
mod inside;
mod joined;
mod lower;
mod pass;
mod room;
mod run;
mod schedule;
mod timing;
mod view;
mod workspace;

pub use compile::Options;
pub use timing::StepTime;
pub use workspace::Workspace;

use crate::element::Element;
use crate::kernel::{Isa, Program, Size, Step};
use crate::shape::Shape;
use crate::tape::{Kind, Stage};

/// A compiled program of up to four stages, in `T` precision.
///
/// It is immutable and can be shared by threads; each needs a [`Workspace`] of its own.
///
/// # Example
/// ```
/// use autodiff::{grad, Plan, Real, Stage, Tape};
/// let tape = Tape::new();
/// let x = tape.input("x", [2], Stage::POINT);
/// let f = x.exp().sum_all();
/// let plan: Plan<f64> = Plan::compile(&tape, &[f, grad(f, &[x])[0]]);
/// let mut workspace = plan.workspace();
/// let (mut value, mut gradient) = ([0.0], [0.0; 2]);
/// plan.run(Stage::POINT, &mut workspace, &[[0.0, 0.0][..].into()], &mut [&mut value, &mut gradient]);
/// assert_eq!((value, gradient), ([2.0], [1.0, 1.0]));
/// ```
#[derive(Clone, Debug)]
pub struct Plan<T> {
    inputs: Vec<Input>,
    /// For each requested output: its stage, its position there, its shape.
    outputs: Vec<(Stage, usize, Shape)>,
    /// Which of them a run may do without.
    optional: Vec<usize>,
    programs: [Program<T>; Stage::COUNT],
    /// The same without optional outputs, where the stage has any.
    brief: [Option<Program<T>>; Stage::COUNT],
    /// The same where nothing is kept for later stages, where something would be.
    fleeting: [Option<Program<T>>; Stage::COUNT],
    flops: [u64; Stage::COUNT],
    kept: [Size; Stage::COUNT],
    scratch: Size,
    isa: Isa,
}

/// Which of a stage's programs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// All of it.
    Whole,
    /// What is left without optional outputs.
    Brief,
    /// What is left of that without what later stages read.
    Fleeting,
}

impl Part {
    const COUNT: usize = 3;
}

#[derive(Clone, Debug)]
struct Input {
    name: String,
    shape: Shape,
    stage: Stage,
    kind: Kind,
}

impl Input {
    fn size(&self) -> Size {
        match self.kind {
            Kind::Index { .. } => Size { floats: 0, indices: self.shape.numel() },
            _ => Size { floats: self.shape.numel(), indices: 0 },
        }
    }
}

impl<T: Element> Plan<T> {
    /// Bytes of a [`Workspace`] of one thread: all the memory that running needs, inputs and outputs apart.
    pub fn bytes(&self) -> usize {
        self.kept.iter().chain([&self.scratch]).map(|&s| bytes::<T>(s)).sum()
    }

    /// Bytes that `stage` keeps for later stages: what a kept point costs.
    pub fn kept_bytes(&self, stage: Stage) -> usize {
        bytes::<T>(self.kept[stage.index()])
    }

    /// Multiply-adds × 2 of the matrix and convolution products of a stage.
    pub fn flops(&self, stage: Stage) -> u64 {
        self.flops[stage.index()]
    }

    /// Whether a run of some stage reads input number `i`: otherwise anything may stand for it.
    pub fn reads(&self, i: usize) -> bool {
        self.programs.iter().any(|program| program.inputs().contains(&i))
    }

    /// How many runs of it are faster side by side, in [lanes](crate::vmap_lanes), than one after the other: as many as
    /// fill a vector, 8 at least, where all of them, of `bytes` each, are small. `None` for what is large, and for
    /// convolutions, which fill vectors as they are.
    pub fn lanes(&self, bytes: usize) -> Option<usize> {
        let lanes = self.isa.lanes::<T>().max(8);
        self.is_small(bytes * lanes).then_some(lanes)
    }

    /// Whether runs of it that are side by side, of so many bytes together, are smaller than what the nearer caches hold, and
    /// none is a convolution's.
    pub(crate) fn is_small(&self, bytes: usize) -> bool {
        const MOST_BYTES: usize = 2 << 20;
        let is_conv = |step: &Step<T>| matches!(step, Step::Conv { .. });
        bytes <= MOST_BYTES && !self.programs.iter().any(|program| program.steps().iter().any(is_conv))
    }

    /// The instruction set it runs on.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Shape of output number `i`.
    pub fn output_shape(&self, i: usize) -> &Shape {
        &self.outputs[i].2
    }
}

fn bytes<T>(size: Size) -> usize {
    size.floats * size_of::<T>() + size.indices * size_of::<u32>()
}

fn flops<T>(step: &Step<T>) -> u64 {
    match step {
        Step::MatMul { shape, .. } => shape.flops(),
        Step::LaneMatMul { shape, .. } => shape.flops(),
        Step::Conv { conv, .. } => conv.flops(),
        _ => 0,
    }
}
