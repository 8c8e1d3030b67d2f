//! What a network says of a task's query set, after adaptation to its support set.

use autodiff::{Arg, Element, Options, Plan, Stage, Tape, Workspace};

use crate::inner::{Adaptation, Derivative, Falling, GradientDescent, Hyper, InnerPlan, InnerTask, Run};
use crate::linear::{SecantPairs, SolverSpace};
use crate::problem::{At, FewShot, Problem, QueryStatistics};

/// What is measured on the query set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// The fraction classified correctly.
    Accuracy,
    /// The mean squared error.
    SquaredError,
}

impl Measure {
    /// `accuracy` or `mse`.
    pub fn name(self) -> &'static str {
        match self {
            Measure::Accuracy => "accuracy",
            Measure::SquaredError => "mse",
        }
    }

    /// Of outputs [rows, width] against the targets that a task gives. A row that is not finite names no class: it is wrong.
    pub fn of<T: Element>(self, output: &[T], width: usize, target: Arg<'_, T>) -> f64 {
        match target {
            Arg::Floats(values) => {
                let error = |(a, b): (&T, &T)| (a.to_f64() - b.to_f64()).powi(2);
                output.iter().zip(values).map(error).sum::<f64>() / values.len() as f64
            }
            Arg::Indices(labels) => {
                let finite = |row: &[T]| row.iter().all(|v| v.to_f64().is_finite());
                let right = |(row, label): &(&[T], &u32)| finite(row) && arg_max(row) == **label as usize;
                output.chunks_exact(width).zip(labels).filter(right).count() as f64 / labels.len() as f64
            }
        }
    }
}

/// Adapts to a task by descending a problem's G, with the λ and step sizes learned, then predicts. Compiled once; each
/// thread has a [`PredictorSpace`].
///
/// ```
/// use autodiff::Arg;
/// use meta::{FewShot, inner::Hyper, predict::Predictor, problem::QueryStatistics};
///
/// let problem = FewShot::new("mlp:1-4-1,act=tanh".parse()?, 2, 3, false);
/// let predictor = Predictor::<f64>::new(&problem, &[QueryStatistics::Transductive]);
/// let theta = vec![0.1; problem.model().layout().len()];
/// let task = [&[0.0, 1.0][..], &[0.0, 1.0], &[0.2, 0.5, 0.8], &[0.0; 3]].map(Arg::Floats);
/// let mut said = Vec::new();
/// let hyper = Hyper { lambda: 0.0, rate: 0.1 };
/// predictor.space().run(&theta, hyper, &task, &[0, 50], |_, _, output| said.push(output.to_vec()));
/// assert_eq!((said.len(), said[0].len()), (2, 3));
/// # Ok::<(), nn::SpecError>(())
/// ```
pub struct Predictor<T> {
    inner: InnerPlan<T>,
    adaptation: Adaptation<T>,
    /// φ, task ↦ outputs on the query set, one for each way to normalise it.
    outputs: Vec<Plan<T>>,
    measure: Measure,
}

impl<T: Element> Predictor<T> {
    /// Adapts by gradient descent, and predicts once for each of `statistics`.
    pub fn new(problem: &FewShot, statistics: &[QueryStatistics]) -> Self {
        Self::adapting(problem, Adaptation::default(), statistics)
    }

    /// Adapts in another way: as a method was trained with, so that what is measured is what was trained.
    ///
    /// # Panics
    /// Where the step size is found for each task, and steps see minibatches.
    #[track_caller]
    pub fn adapting(problem: &FewShot, adaptation: Adaptation<T>, statistics: &[QueryStatistics]) -> Self {
        let compile = |statistics| {
            let problem = problem.clone().with_statistics(statistics);
            let tape = Tape::new();
            let phi = tape.input("phi", problem.dim(), Stage::POINT);
            let data = problem.declare(&tape);
            // Frozen parameters are taken from θ, where their φ has stayed.
            let output = problem.predict(&At::new(phi, phi, autodiff::Real::zero(), data));
            Plan::staged(&tape, &[(Stage::POINT, output)], Options::default())
        };
        let inner = match &adaptation {
            Adaptation::Steps(step) => InnerPlan::new(problem, step.as_ref(), Derivative::None),
            Adaptation::Automatic { .. } => {
                assert!(
                    problem.minibatch().is_none(),
                    "adapting: a rise of G cannot be told where each step sees other data"
                );
                InnerPlan::new(problem, &GradientDescent, Derivative::Pullback)
            }
            Adaptation::Solver(solver) => {
                let solver = solver(0);
                let derivative = if solver.multiplies() { Derivative::Hessian } else { Derivative::None };
                InnerPlan::new(problem, solver.step(), derivative)
            }
        };
        Predictor {
            inner,
            adaptation,
            outputs: statistics.iter().map(|&s| compile(s)).collect(),
            measure: if problem.model().classifies() { Measure::Accuracy } else { Measure::SquaredError },
        }
    }

    /// What is measured of its outputs.
    pub fn measure(&self) -> Measure {
        self.measure
    }

    /// Bytes of what plans and a solver need to run in a [`PredictorSpace`], which holds it and a few vectors as long as
    /// the optimiser's state.
    pub fn bytes(&self) -> usize {
        let solving = match &self.adaptation {
            Adaptation::Steps(_) => 0,
            Adaptation::Automatic { .. } => (3 * self.inner.dim() + self.inner.theta_dim()) * size_of::<T>(),
            Adaptation::Solver(solver) => {
                let (solver, dim) = (solver(0), self.inner.dim());
                SolverSpace::<T>::bytes(solver.room(), dim) + SecantPairs::<T>::bytes(solver.pairs(), dim)
            }
        };
        self.inner.plan().bytes() + self.outputs.iter().map(Plan::bytes).sum::<usize>() + solving
    }

    /// Memory for one thread.
    pub fn space(&self) -> PredictorSpace<'_, T> {
        PredictorSpace {
            predictor: self,
            run: Run::new(&self.inner, 1),
            solving: match &self.adaptation {
                Adaptation::Steps(_) => Solving::Nothing,
                Adaptation::Automatic { .. } => {
                    let zeros = |n| vec![T::zero(); n];
                    let scratch = std::array::from_fn(|_| zeros(self.inner.dim()));
                    Solving::Rate { scratch, in_theta: zeros(self.inner.theta_dim()) }
                }
                Adaptation::Solver(solver) => {
                    let (solver, dim, isa) = (solver(0), self.inner.dim(), self.inner.plan().isa());
                    let pairs = (solver.pairs() > 0).then(|| SecantPairs::new(solver.pairs(), dim, isa));
                    Solving::Solver { space: SolverSpace::new(solver.room(), dim, isa), pairs }
                }
            },
            outputs: self.outputs.iter().map(Plan::workspace).collect(),
            output: vec![T::zero(); self.outputs.first().map_or(0, |plan| plan.output_shape(0).numel())],
        }
    }
}

/// A thread's memory for a [`Predictor`].
pub struct PredictorSpace<'p, T> {
    predictor: &'p Predictor<T>,
    run: Run<T>,
    solving: Solving<T>,
    outputs: Vec<Workspace<T>>,
    output: Vec<T>,
}

/// What an [`Adaptation`] needs room for, beside its run.
enum Solving<T> {
    Nothing,
    Rate { scratch: [Vec<T>; 3], in_theta: Vec<T> },
    Solver { space: SolverSpace<T>, pairs: Option<SecantPairs<T>> },
}

impl<T: Element> PredictorSpace<'_, T> {
    /// Adapts θ to the task and shows `see(s, p, outputs)` after `steps[s]` steps (ascending), for each `p` of the
    /// ways to normalise the query set. A solver that decides is run from the beginning for every number of steps, which
    /// is the most that it takes.
    ///
    /// # Panics
    /// Where lengths differ from what the problem declares.
    pub fn run(
        &mut self,
        theta: &[T],
        hyper: Hyper,
        data: &[Arg<'_, T>],
        steps: &[usize],
        mut see: impl FnMut(usize, usize, &[T]),
    ) {
        let Predictor { inner, adaptation, outputs, .. } = self.predictor;
        let hyper = match (adaptation, &mut self.solving) {
            (&Adaptation::Automatic { steps }, Solving::Rate { scratch: [a, b, c], in_theta }) => {
                let found =
                    Falling { plan: inner, theta, hyper, data, steps }.rate(&mut self.run, ([a, b, c], in_theta));
                Hyper { rate: found.rate, ..hyper }
            }
            _ => hyper,
        };
        self.run.start(inner, theta, hyper, data);
        let mut taken = 0;
        for (s, &wanted) in steps.iter().enumerate() {
            if let (Adaptation::Solver(solver), Solving::Solver { space, pairs }) = (adaptation, &mut self.solving) {
                self.run.start(inner, theta, hyper, data);
                let pairs = pairs.as_mut();
                let mut task = InnerTask { plan: inner, run: &mut self.run, theta, data, pairs };
                solver(wanted).solve(&mut task, space);
            } else {
                for k in taken..wanted {
                    self.run.advance(inner, theta, data, k);
                }
                taken = taken.max(wanted);
            }
            for (p, plan) in outputs.iter().enumerate() {
                let mut args = vec![Arg::Floats(&self.run.state[..inner.dim()])];
                args.extend_from_slice(data);
                plan.run(Stage::DATA, &mut self.outputs[p], &args, &mut []);
                plan.run(Stage::POINT, &mut self.outputs[p], &args, &mut [&mut self.output]);
                see(s, p, &self.output);
            }
        }
    }
}

/// exp(z − max z), divided by its sum: the probabilities that logits mean.
pub fn softmax<T: Element>(logits: &[T]) -> Vec<f64> {
    let most = logits.iter().map(|z| z.to_f64()).fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.iter().map(|z| (z.to_f64() - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|p| p / sum).collect()
}

/// The first largest.
pub fn arg_max<T: Element>(row: &[T]) -> usize {
    let mut best = 0;
    for (i, v) in row.iter().enumerate() {
        if *v > row[best] {
            best = i;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_is_no_answer() {
        let outputs = [f32::NAN, f32::NAN, 1.0, 0.0, f32::INFINITY, 0.0, 0.0, 1.0];
        assert_eq!(Measure::Accuracy.of(&outputs, 2, Arg::Indices(&[0, 0, 0, 1])), 0.5);
    }

    #[test]
    fn softmax_is_a_distribution_or_not_a_number() {
        let p = softmax(&[1000.0, 1000.0, -1000.0_f32]);
        assert_eq!(p, [0.5, 0.5, 0.0]);
        for broken in [[f32::NAN, 1.0], [f32::INFINITY, 1.0]] {
            assert!(softmax(&broken).iter().any(|p| p.is_nan()), "{broken:?}");
        }
    }
}
