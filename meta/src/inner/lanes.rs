//! Plans for several tasks at a time: the same recording, batched once all derivatives have been taken.

use autodiff::{Batched, Isa, Shape, Stage, Tape, Var, vmap_lanes};

use crate::problem::{Data, DataSpec, Problem};

/// The most lanes of any plan.
pub(crate) const MOST_LANES: usize = Isa::MOST_LANES;

/// Declares a plan's inputs, for one task or one in every lane.
///
/// What is recorded is always one task. In lanes its inputs are stand-ins, whose place those of all tasks take in the end.
pub(super) struct Declaring<'t> {
    tape: &'t Tape,
    lanes: usize,
    over: Vec<Batched<'t>>,
    /// Inputs that nothing reads: stand-ins for indices, behind those they stand in for.
    pub unread: usize,
}

impl<'t> Declaring<'t> {
    /// # Panics
    /// Where there are no lanes or more than 16.
    #[track_caller]
    pub fn new(tape: &'t Tape, lanes: usize) -> Self {
        assert!(0 < lanes && lanes <= MOST_LANES, "a plan has between 1 and {MOST_LANES} lanes, not {lanes}");
        Declaring { tape, lanes, over: Vec::new(), unread: 0 }
    }

    /// An input that each task has its own of.
    pub fn input(&mut self, name: &str, shape: impl Into<Shape>, stage: Stage) -> Var<'t> {
        let shape = shape.into();
        if self.lanes == 1 {
            return self.tape.input(name, shape, stage);
        }
        let all: Shape = shape.dims().iter().copied().chain([self.lanes]).collect();
        let all = self.tape.input(name, all, stage);
        let first = all.reshape([shape.numel(), self.lanes]).slice(&[0, 0], &[shape.numel(), 1]);
        let one = first.reshape(shape).cut();
        self.over.push(Batched::Values(one, all));
        one
    }

    /// The inputs of [`Problem::data`].
    pub fn data(&mut self, problem: &dyn Problem) -> Vec<Data<'t>> {
        if self.lanes == 1 {
            return problem.declare(self.tape);
        }
        let (tape, lanes) = (self.tape, self.lanes);
        let specs = problem.data();
        let of_all = |shape: &Shape| -> Shape { std::iter::once(lanes).chain(shape.dims().iter().copied()).collect() };
        // The inputs first, in their order.
        let inputs: Vec<Data<'t>> = specs
            .iter()
            .map(|spec| match spec.bound {
                None => Data::Values(self.input(spec.name, spec.shape.clone(), Stage::DATA)),
                Some(bound) => Data::Indices(tape.indices(spec.name, of_all(&spec.shape), bound, Stage::DATA)),
            })
            .collect();
        let stand_in = |(input, spec): (Data<'t>, DataSpec)| match input {
            Data::Values(one) => Data::Values(one),
            Data::Indices(all) => {
                let one = tape.indices(spec.name, spec.shape, all.bound(), Stage::DATA);
                self.over.push(Batched::Indices(one, all));
                self.unread += 1;
                Data::Indices(one)
            }
        };
        inputs.into_iter().zip(specs).map(stand_in).collect()
    }

    /// The outputs of all tasks.
    pub fn outputs(&self, outputs: Vec<(Stage, Var<'t>)>) -> Vec<(Stage, Var<'t>)> {
        if self.lanes == 1 {
            return outputs;
        }
        let (stages, outputs): (Vec<Stage>, Vec<Var<'t>>) = outputs.into_iter().unzip();
        stages.into_iter().zip(vmap_lanes(&outputs, &self.over)).collect()
    }
}
