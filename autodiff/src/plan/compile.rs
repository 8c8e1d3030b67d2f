//! From a tape to a plan.

use super::arena::Layout;
use super::brief::{Left, LeftOver};
use super::schedule::Schedule;
use super::{Input, Plan, accumulate, flops, fuse, graph, lower, room};
use crate::element::Element;
use crate::kernel::{Isa, Program, Sizes, Step};
use crate::shape::Shape;
use crate::tape::{Stage, Tape, Var};

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
            let schedule = Schedule::new(&graph, &fusion, &ids, &stages, optional);
            let left = LeftOver::new(&graph, &schedule, (&ids, &stages), optional);
            let whole = Stage::ALL.map(|stage| room::whole(&graph, &schedule, &left, stage));
            let layout = Layout::new(&graph, &schedule, &whole, &ids, &outputs);
            let fleeting = Stage::ALL.map(|stage| {
                let jobs = room::fleeting(&graph, &schedule, left.fleeting[stage.index()].as_ref()?);
                Some(layout.fleeting(&graph, &schedule, (stage, &jobs), &ids, &outputs))
            });
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
            let part = |stage: Stage, items: &Option<Left>, layout: &Layout| {
                let jobs = items.as_ref()?.iter().map(|(i, item)| (*i, &item.job));
                let steps: Vec<Step<T>> = lower::steps(&graph, &schedule, layout, stage, jobs);
                Some(Program::new(isa, steps, stage, sizes(stage, optional)))
            };
            let brief = Stage::ALL.map(|stage| part(stage, &left.brief[stage.index()], &layout));
            let fleeting =
                Stage::ALL.map(|stage| part(stage, &left.fleeting[stage.index()], fleeting[stage.index()].as_ref()?));
            let flops = [0, 1, 2, 3].map(|s: usize| programs[s].steps().iter().map(flops).sum());
            let (optional, kept) = (optional.to_vec(), layout.kept);
            Plan { inputs, outputs, optional, programs, brief, fleeting, flops, kept, scratch, isa }
        })
    }
}
