//! Running the stages of a plan.

use super::{Input, Part, Plan, Workspace};
use crate::element::Element;
use crate::kernel::{Arg, Program};
use crate::tape::{Kind, Stage};

impl<T: Element> Plan<T> {
    /// Runs one stage. Earlier stages must have run with this workspace since their inputs changed; one that computes
    /// constants alone runs by itself.
    ///
    /// `inputs` are all declared inputs in order; those of later stages may be empty, those of earlier stages
    /// are read again and must be as they were. `outputs` are the outputs that this stage delivers, in order;
    /// [optional](Plan::with_optional) ones may be empty, all of them.
    ///
    /// # Panics
    /// Where a length is not the declared one, naming the input or output, an index is not below its bound, or an earlier
    /// stage that it goes on from has not run.
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
        for &earlier in program.earlier() {
            if !workspace.has_run[earlier] {
                self.run_constants(Stage::ALL[earlier], stage, workspace, inputs);
            }
        }
        let Workspace { room, has_run, times } = workspace;
        let times = times.of(stage, part);
        T::run_program(program, inputs, outputs, room, times);
        has_run[stage.index()] = part != Part::Fleeting;
    }

    /// Runs a stage that `stage` goes on from, if nothing but constants is computed there.
    #[cold]
    #[track_caller]
    fn run_constants(&self, earlier: Stage, stage: Stage, workspace: &mut Workspace<T>, inputs: &[Arg<'_, T>]) {
        let program = &self.programs[earlier.index()];
        let constant = program.inputs().is_empty() && program.earlier().is_empty();
        let delivers = self.outputs.iter().any(|output| output.0 == earlier);
        assert!(
            constant && !delivers,
            "run: the {stage} stage goes on from what the {earlier} stage keeps, which has not run in this workspace"
        );
        T::run_program(program, inputs, &mut [], &mut workspace.room, &mut []);
        workspace.has_run[earlier.index()] = true;
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
