//! Plans: a tape compiled once, run many times without allocating.
//!
//! Compiling goes one way, a file a step:
//!
//! | file | what it decides |
//! |---|---|
//! | `accumulate` | which products are added to others where those are |
//! | `graph` | which nodes are live, their stage, which are views of others |
//! | `fuse` | which elementwise nodes and sums form one pass, and which values touch memory at all |
//! | `again` | which values passes compute again rather than store and read back |
//! | `lower` | the steps of each stage in order, with nodes still in place of addresses |
//! | `joined` | which two operations of a pass are one instruction |
//! | `pass` | the instructions of one pass, its registers and how it reads |
//! | `brief` | what is left of a stage where optional outputs are not asked for |
//! | `arena` | where each value lives, by liveness |
//! | `display` | what it looks like |
//! | `timing` | where the time goes |
//!
//! None of them changes rounding: a fused plan and an unfused one give the same bits.

mod accumulate;
mod again;
mod arena;
mod brief;
mod display;
mod fuse;
mod graph;
mod joined;
mod lower;
mod pass;
mod timing;

pub use timing::StepTime;

use crate::element::Element;
use crate::kernel::{Arg, Block, Isa, Program, Room, Size, Sizes, Step, Team};
use crate::shape::Shape;
use crate::tape::{Kind, Stage, Tape, Var};

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

/// A thread's memory for one plan: what each stage keeps for later ones, and scratch.
#[derive(Clone, Debug)]
pub struct Workspace<T> {
    room: Room<T>,
    times: timing::Times,
}

impl<T: Element> Workspace<T> {
    /// Bytes of it: those of the plan, and what threads that share its steps need beside them.
    pub fn bytes(&self) -> usize {
        self.room.bytes()
    }

    /// Exchanges what `stage` has kept with `block`: to keep a point is to keep its block, and the inputs it was
    /// run with, which later stages read again rather than keep a copy.
    ///
    /// # Panics
    /// Where the block is of another size than [`Plan::block`] makes for that stage.
    #[track_caller]
    pub fn swap(&mut self, stage: Stage, block: &mut Block<T>) {
        let own = &mut self.room.kept[stage.index()];
        assert!(own.size() == block.size(), "swap: the block belongs to another plan or stage");
        std::mem::swap(own, block);
    }
}

/// Choices that never change a result.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether elementwise operations and sums share passes over memory, and maxima are found with where they are.
    pub fuse: bool,
    /// The instruction set; `None` for the best there is.
    pub isa: Option<Isa>,
}

impl Default for Options {
    fn default() -> Self {
        Options { fuse: true, isa: None }
    }
}

impl<T: Element> Plan<T> {
    /// Compiles what the outputs need. Each output is delivered by the stage it belongs to.
    ///
    /// # Panics
    /// Where `AUTODIFF_ISA` names an instruction set that this CPU lacks, or an output is on another tape.
    #[track_caller]
    pub fn compile(tape: &Tape, outputs: &[Var<'_>]) -> Self {
        let requests: Vec<_> = outputs.iter().map(|&y| (None, y)).collect();
        T::build_plan(tape, &requests, &[], Options::default())
    }

    /// Compiles outputs that the named stages deliver, each the earliest of which it could be or a later one.
    ///
    /// # Panics
    /// As [`compile`](Plan::compile), and where an output needs more than its stage has.
    #[track_caller]
    pub fn staged(tape: &Tape, outputs: &[(Stage, Var<'_>)], options: Options) -> Self {
        let requests: Vec<_> = outputs.iter().map(|&(stage, y)| (Some(stage), y)).collect();
        T::build_plan(tape, &requests, &[], options)
    }

    /// The same, of which runs may leave out the outputs numbered in `optional`: a run that is given an empty slice for
    /// each of those of its stage computes nothing for their sake. What it computes has the same bits.
    ///
    /// ```
    /// use autodiff::{grad, Options, Plan, Real, Stage, Tape};
    /// let tape = Tape::new();
    /// let x = tape.input("x", [2], Stage::POINT);
    /// let f = x.exp().sum_all();
    /// let outputs = [(Stage::POINT, f), (Stage::POINT, grad(f, &[x])[0])];
    /// let plan: Plan<f64> = Plan::with_optional(&tape, &outputs, &[0], Options::default());
    /// let mut gradient = [0.0; 2];
    /// plan.run(Stage::POINT, &mut plan.workspace(), &[[0.0, 0.0][..].into()], &mut [&mut [], &mut gradient]);
    /// assert_eq!(gradient, [1.0, 1.0]);
    /// ```
    ///
    /// # Panics
    /// As [`staged`](Plan::staged).
    #[track_caller]
    pub fn with_optional(tape: &Tape, outputs: &[(Stage, Var<'_>)], optional: &[usize], options: Options) -> Self {
        let requests: Vec<_> = outputs.iter().map(|&(stage, y)| (Some(stage), y)).collect();
        T::build_plan(tape, &requests, optional, options)
    }

    #[track_caller]
    pub(crate) fn build(
        tape: &Tape,
        requests: &[(Option<Stage>, Var<'_>)],
        optional: &[usize],
        options: Options,
    ) -> Self {
        let isa = options.isa.unwrap_or_else(|| match Isa::detect() {
            Ok(isa) => isa,
            Err(message) => panic!("{message}"),
        });
        let mut ids = Vec::with_capacity(requests.len());
        for (_, y) in requests {
            ids.push(y.id_on(tape));
        }
        tape.read(|tape_graph| {
            let stages = tape_graph.stages();
            let nodes = match options.fuse {
                true => accumulate::products(&tape_graph.nodes, &stages, &ids),
                false => (&tape_graph.nodes[..]).into(),
            };
            let graph = graph::Graph::new(&nodes, stages, &ids);
            let mut stages: Vec<Stage> = Vec::with_capacity(ids.len());
            for (i, ((asked, _), &id)) in requests.iter().zip(&ids).enumerate() {
                let natural = graph.stage(id);
                let stage = asked.unwrap_or(natural);
                assert!(natural <= stage, "output {i} of the {stage} stage needs inputs of the {natural} stage");
                stages.push(stage);
            }
            let mut counts = [0; Stage::COUNT];
            let outputs: Vec<(Stage, usize, Shape)> = stages
                .iter()
                .zip(&ids)
                .map(|(&stage, &id)| {
                    counts[stage.index()] += 1;
                    (stage, counts[stage.index()] - 1, graph.shape(id).clone())
                })
                .collect();
            let fusion = fuse::Fusion::new(&graph, &ids, options.fuse);
            let schedule = lower::Schedule::new(&graph, &fusion, &ids, &stages, optional);
            let layout = arena::Layout::new(&graph, &schedule, &ids, &outputs);
            let fleeting = Stage::ALL.map(|stage| layout.fleeting(&graph, &schedule, stage, &ids, &outputs));
            let scratch = fleeting.iter().flatten().fold(layout.scratch, |scratch, layout| scratch.max(layout.scratch));
            let inputs: Vec<Input> = tape_graph
                .inputs
                .iter()
                .map(|i| Input { name: i.name.clone(), shape: i.shape.clone(), stage: i.stage, kind: i.kind })
                .collect();
            let sizes = |stage: Stage, left_out: &[usize]| Sizes {
                inputs: inputs.iter().map(Input::size).collect(),
                outputs: outputs
                    .iter()
                    .enumerate()
                    .filter(|(_, o)| o.0 == stage)
                    .map(|(i, o)| if left_out.contains(&i) { 0 } else { o.2.numel() })
                    .collect(),
                kept: layout.kept,
                scratch,
            };
            let programs = Stage::ALL.map(|stage| {
                let jobs = schedule.stages[stage.index()].iter().map(|item| &item.job).enumerate();
                let steps: Vec<Step<T>> = lower::steps(&graph, &schedule, &layout, stage, jobs);
                Program::new(isa, steps, stage, sizes(stage, &[]))
            });
            let part = |stage: Stage, items: &Option<Vec<(usize, lower::Item)>>, layout: &arena::Layout| {
                let jobs = items.as_ref()?.iter().map(|(i, item)| (*i, &item.job));
                let steps: Vec<Step<T>> = lower::steps(&graph, &schedule, layout, stage, jobs);
                Some(Program::new(isa, steps, stage, sizes(stage, optional)))
            };
            let brief = Stage::ALL.map(|stage| part(stage, &schedule.brief[stage.index()], &layout));
            let fleeting = Stage::ALL
                .map(|stage| part(stage, &schedule.fleeting[stage.index()], fleeting[stage.index()].as_ref()?));
            let flops = [0, 1, 2, 3].map(|s: usize| programs[s].steps().iter().map(flops).sum());
            let (optional, kept) = (optional.to_vec(), layout.kept);
            Plan { inputs, outputs, optional, programs, brief, fleeting, flops, kept, scratch, isa }
        })
    }

    /// Memory for one thread.
    pub fn workspace(&self) -> Workspace<T> {
        self.shared_workspace(1)
    }

    /// Memory for a run in which up to `threads` threads of the `rayon` pool it is called in share the larger steps,
    /// and the threads. The bits are the same for any number. The other threads stand by, and do nothing else, for as long
    /// as a stage with such steps runs.
    ///
    /// # Panics
    /// Where `threads` is 0.
    pub fn shared_workspace(&self, threads: usize) -> Workspace<T> {
        let parts = self.brief.iter().chain(&self.fleeting).flatten();
        let programs = self.programs.iter().chain(parts);
        let room = Room::new(self.kept, self.scratch, Team::of(threads), programs);
        Workspace { room, times: timing::Times::default() }
    }

    /// Another block for what `stage` keeps, to [`swap`](Workspace::swap) in.
    pub fn block(&self, stage: Stage) -> Block<T> {
        Block::new(self.kept[stage.index()])
    }

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

    /// How many runs of it are faster side by side, in [lanes](crate::vmap_lanes), than one after the other: as many as
    /// fill a vector, 8 at least, where all of them, of `bytes` each, are small. `None` for what is large, and for
    /// convolutions, which fill vectors as they are.
    pub fn lanes(&self, bytes: usize) -> Option<usize> {
        /// About what the nearer caches hold.
        const MOST_BYTES: usize = 2 << 20;
        let is_conv = |step: &Step<T>| matches!(step, Step::Conv { .. });
        let convolves = self.programs.iter().any(|program| program.steps().iter().any(is_conv));
        let lanes = self.isa.lanes::<T>().max(8);
        (!convolves && bytes * lanes <= MOST_BYTES).then_some(lanes)
    }

    /// The instruction set it runs on.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Shape of output number `i`.
    pub fn output_shape(&self, i: usize) -> &Shape {
        &self.outputs[i].2
    }

    /// Runs one stage. Earlier stages must have run with this workspace since their inputs changed.
    ///
    /// `inputs` are all declared inputs in order; those of later stages may be empty, those of earlier stages
    /// are read again and must be as they were. `outputs` are the outputs that this stage delivers, in order;
    /// [optional](Plan::with_optional) ones may be empty, all of them.
    ///
    /// # Panics
    /// Where a length is not the declared one, naming the input or output, or an index is not below its bound.
    #[track_caller]
    pub fn run(&self, stage: Stage, workspace: &mut Workspace<T>, inputs: &[Arg<'_, T>], outputs: &mut [&mut [T]]) {
        let brief = self.brief[stage.index()].as_ref().filter(|_| {
            let mut own = self.outputs.iter().enumerate().filter(|(_, o)| o.0 == stage).zip(&*outputs);
            own.any(|((i, _), output)| output.is_empty() && self.optional.contains(&i))
        });
        let (program, part) = brief.map_or((&self.programs[stage.index()], Part::Whole), |brief| (brief, Part::Brief));
        self.run_program((program, part), stage, workspace, inputs, outputs);
    }

    /// [`run`](Plan::run) without the optional outputs of the stage, which are empty, that keeps nothing for later stages:
    /// they have nothing to go on until it has run again. What it computes has the same bits, in less memory.
    ///
    /// # Panics
    /// As [`run`](Plan::run).
    #[track_caller]
    pub fn run_through(
        &self,
        stage: Stage,
        workspace: &mut Workspace<T>,
        inputs: &[Arg<'_, T>],
        outputs: &mut [&mut [T]],
    ) {
        match &self.fleeting[stage.index()] {
            Some(fleeting) => self.run_program((fleeting, Part::Fleeting), stage, workspace, inputs, outputs),
            None => self.run(stage, workspace, inputs, outputs),
        }
    }

    /// Runs a program of the stage, which is that part of it.
    #[track_caller]
    fn run_program(
        &self,
        (program, part): (&Program<T>, Part),
        stage: Stage,
        workspace: &mut Workspace<T>,
        inputs: &[Arg<'_, T>],
        outputs: &mut [&mut [T]],
    ) {
        assert_eq!(inputs.len(), self.inputs.len(), "run: as many inputs as declared");
        for &i in program.inputs() {
            let Input { name, shape, kind, .. } = &self.inputs[i];
            let len = match (inputs[i], kind) {
                (Arg::Floats(x), Kind::Float) => x.len(),
                (Arg::Indices(x), Kind::Index { .. }) => x.len(),
                _ => panic!("run: input {name} is of another type (floats, indices) than declared"),
            };
            assert_eq!(len, shape.numel(), "run: input {name} has {len} elements, its shape is {shape}");
        }
        let declared = self.outputs.iter().enumerate().filter(|(_, o)| o.0 == stage);
        assert_eq!(outputs.len(), declared.clone().count(), "run: outputs of the {stage} stage");
        for (i, (output, (number, (_, _, shape)))) in outputs.iter().zip(declared).enumerate() {
            let len = output.len();
            let left_out = part != Part::Whole && self.optional.contains(&number);
            assert_eq!(
                len,
                if left_out { 0 } else { shape.numel() },
                "run: output {i} of the {stage} stage has {len} elements, its shape is {shape}"
            );
        }
        let Workspace { room, times } = workspace;
        let times = times.of(stage, part);
        T::run_program(program, inputs, outputs, room, times);
    }

    /// Runs every stage once in a fresh workspace: for tests and small things. Float inputs only.
    ///
    /// # Panics
    /// As [`run`](Plan::run).
    #[track_caller]
    pub fn evaluate(&self, inputs: &[&[T]]) -> Vec<Vec<T>> {
        let args: Vec<Arg<'_, T>> = inputs.iter().map(|&x| x.into()).collect();
        self.evaluate_args(&args)
    }

    /// [`evaluate`](Plan::evaluate) with inputs of any type.
    ///
    /// # Panics
    /// As [`run`](Plan::run).
    #[track_caller]
    pub fn evaluate_args(&self, inputs: &[Arg<'_, T>]) -> Vec<Vec<T>> {
        let mut workspace = self.workspace();
        let mut values: Vec<Vec<T>> = self.outputs.iter().map(|o| vec![T::zero(); o.2.numel()]).collect();
        for stage in Stage::ALL {
            let mut outputs: Vec<&mut [T]> =
                values.iter_mut().zip(&self.outputs).filter(|(_, o)| o.0 == stage).map(|(v, _)| &mut v[..]).collect();
            self.run(stage, &mut workspace, inputs, &mut outputs);
        }
        values
    }
}

impl Input {
    fn size(&self) -> Size {
        match self.kind {
            Kind::Index { .. } => Size { floats: 0, indices: self.shape.numel() },
            _ => Size { floats: self.shape.numel(), indices: 0 },
        }
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
