//! Where the time goes: what each step of a plan does and how long it has taken.

use std::time::Duration;

use super::{Part, Plan, Workspace, flops};
use crate::element::Element;
use crate::kernel::{LaneMatMul, Program, Step};
use crate::tape::{ConvFace, Stage};

/// Time by stage, part of it and step; empty while nothing is timed.
#[derive(Clone, Debug, Default)]
pub(super) struct Times([[Vec<Duration>; Part::COUNT]; Stage::COUNT], [[u64; Part::COUNT]; Stage::COUNT]);

impl Times {
    pub fn of(&mut self, stage: Stage, part: Part) -> &mut [Duration] {
        let times = &mut self.0[stage.index()][part as usize];
        self.1[stage.index()][part as usize] += u64::from(!times.is_empty());
        times
    }
}

/// One step of a plan and the time it took in one workspace.
#[derive(Clone, Debug)]
pub struct StepTime {
    /// The stage that it is part of.
    pub stage: Stage,
    /// What it does, without addresses: equal steps have equal names.
    pub what: String,
    /// Multiply-adds × 2 of one run, where it is a matrix or convolution product.
    pub flops: u64,
    /// Bytes that one run reads and writes, each value once.
    pub bytes: usize,
    /// How often it ran.
    pub runs: u64,
    /// In all those runs.
    pub time: Duration,
}

impl<T: Element> Plan<T> {
    /// Measures each step of every later run with this workspace, from now on. A clock is read between steps, which
    /// takes some 25 ns each: times of very short steps are upper bounds.
    pub fn time_steps(&self, workspace: &mut Workspace<T>) {
        let times = Stage::ALL.map(|stage| {
            self.variants(stage).map(|program| vec![Duration::ZERO; program.map_or(0, |program| program.steps().len())])
        });
        workspace.times = Times(times, Default::default());
    }

    /// The programs of a stage, by [`Part`].
    fn variants(&self, stage: Stage) -> [Option<&Program<T>>; Part::COUNT] {
        let i = stage.index();
        [Some(&self.programs[i]), self.brief[i].as_ref(), self.fleeting[i].as_ref()]
    }

    /// What each step that has run has taken since [`time_steps`](Plan::time_steps); nothing without that.
    pub fn step_times(&self, workspace: &Workspace<T>) -> Vec<StepTime> {
        let Times(times, runs) = &workspace.times;
        let mut all = Vec::new();
        for stage in Stage::ALL {
            let timed = times[stage.index()].iter().zip(runs[stage.index()]);
            for (program, (times, runs)) in self.variants(stage).into_iter().zip(timed) {
                let Some(program) = program.filter(|_| runs > 0) else { continue };
                for (i, (step, &time)) in program.steps().iter().zip(times).enumerate() {
                    let (flops, bytes) = (flops(step), program.bytes(i));
                    all.push(StepTime { stage, what: what(step), flops, bytes, runs, time });
                }
            }
        }
        all
    }
}

/// A step without its addresses.
fn what<T: Element>(step: &Step<T>) -> String {
    match step {
        Step::Map(map) => {
            let sums = if map.sums.is_empty() { String::new() } else { format!(", {} sums", map.sums.len()) };
            let instructions = map.code.len() - map.sums.len();
            format!("pass over {}: {instructions} instructions{sums}", map.numel)
        }
        Step::MatMul { shape, .. } => {
            let (batch, t) = (shape.batch, |trans| if trans { "ᵀ" } else { "" });
            let batch = if batch == 1 { String::new() } else { format!("{batch} × ") };
            let (a, b) = (t(shape.trans_a), t(shape.trans_b));
            format!("product {batch}[{}, {}]{a}·[{}, {}]{b}", shape.m, shape.k, shape.k, shape.n)
        }
        Step::LaneMatMul { shape, ending, .. } => {
            let t = |trans| if trans { "ᵀ" } else { "" };
            let (a, b) = (t(shape.trans_a), t(shape.trans_b));
            let LaneMatMul { lanes, m, k, n, .. } = shape;
            let then = ending.as_ref().map_or(String::new(), |ending| format!(", {:?}", ending.form));
            format!("product {lanes} lanes of [{m}, {k}]{a}·[{k}, {n}]{b}{then}")
        }
        Step::Conv { conv, face, .. } => {
            let g = conv.geometry();
            let face = match face {
                ConvFace::Forward => "forward",
                ConvFace::InputGrad => "input gradient",
                ConvFace::WeightGrad => "weight gradient",
            };
            let (from, to) = ([g.in_h, g.in_w, g.in_c], [g.out_h, g.out_w, g.out_c]);
            format!("convolution {face} {} × {from:?} ↔ {to:?}", g.batch)
        }
        Step::Sum { x, y, .. } => format!("sum {} → {}", x.len, y.len),
        Step::Read { dims, .. } => format!("copy {dims:?}"),
        Step::Assemble { pieces, y, .. } => format!("assemble {} of {} pieces", y.len, pieces.len()),
        Step::Gather { y, .. } => format!("gather {}", y.len),
        Step::ScatterAdd { rows, .. } => format!("scatter-add {}", rows.len),
        Step::OneHot { y, .. } => format!("one-hot {}", y.len),
        Step::ArgMax { x, values, .. } => format!("arg max{} {}", if values.len > 0 { " and max" } else { "" }, x.len),
    }
}
