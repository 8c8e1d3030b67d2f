//! What a network says of a task's query set, after adaptation to its support set.

use autodiff::{Arg, Element, Options, Plan, Stage, Tape, Workspace};

use crate::inner::{Derivative, GradientDescent, Hyper, InnerPlan, Inputs};
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

    /// Of outputs [rows, width] against the targets that a task gives.
    pub fn of<T: Element>(self, output: &[T], width: usize, target: Arg<'_, T>) -> f64 {
        match target {
            Arg::Floats(values) => {
                let error = |(a, b): (&T, &T)| (a.to_f64() - b.to_f64()).powi(2);
                output.iter().zip(values).map(error).sum::<f64>() / values.len() as f64
            }
            Arg::Indices(labels) => {
                let right = |(row, label): &(&[T], &u32)| arg_max(row) == **label as usize;
                output.chunks_exact(width).zip(labels).filter(right).count() as f64 / labels.len() as f64
            }
        }
    }
}

/// Adapts by gradient descent on a problem's G, with the λ and step sizes learned, then predicts. Compiled once; each thread has a [`PredictorSpace`].
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
    /// φ, task ↦ outputs on the query set, one for each way to normalise it.
    outputs: Vec<Plan<T>>,
    measure: Measure,
}

impl<T: Element> Predictor<T> {
    /// Predicts once for each of `statistics`.
    pub fn new(problem: &FewShot, statistics: &[QueryStatistics]) -> Self {
        let compile = |statistics| {
            let problem = problem.clone().with_statistics(statistics);
            let tape = Tape::new();
            let phi = tape.input("phi", problem.dim(), Stage::POINT);
            let data = problem.declare(&tape);
            // Frozen parameters are taken from θ, where their φ has stayed.
            let output = problem.predict(&At::new(phi, phi, autodiff::Real::zero(), data));
            Plan::staged(&tape, &[(Stage::POINT, output)], Options::default())
        };
        Predictor {
            inner: InnerPlan::new(problem, &GradientDescent, Derivative::None),
            outputs: statistics.iter().map(|&s| compile(s)).collect(),
            measure: if problem.model().classifies() { Measure::Accuracy } else { Measure::SquaredError },
        }
    }

    /// What is measured of its outputs.
    pub fn measure(&self) -> Measure {
        self.measure
    }

    /// Bytes of what plans need to run in a [`PredictorSpace`], which holds it and a few vectors as long as θ.
    pub fn bytes(&self) -> usize {
        self.inner.plan().bytes() + self.outputs.iter().map(Plan::bytes).sum::<usize>()
    }

    /// Memory for one thread.
    pub fn space(&self) -> PredictorSpace<'_, T> {
        let zeros = |n| vec![T::zero(); n];
        PredictorSpace {
            predictor: self,
            inner: self.inner.plan().workspace(),
            outputs: self.outputs.iter().map(Plan::workspace).collect(),
            state: zeros(self.inner.state_len()),
            next: zeros(self.inner.state_len()),
            output: zeros(self.outputs.first().map_or(0, |plan| plan.output_shape(0).numel())),
        }
    }
}

/// A thread's memory for a [`Predictor`].
pub struct PredictorSpace<'p, T> {
    predictor: &'p Predictor<T>,
    inner: Workspace<T>,
    outputs: Vec<Workspace<T>>,
    state: Vec<T>,
    next: Vec<T>,
    output: Vec<T>,
}

impl<T: Element> PredictorSpace<'_, T> {
    /// Adapts θ to the task and shows `see(s, p, outputs)` after `steps[s]` steps (ascending), for each `p` of the
    /// ways to normalise the query set.
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
        let Predictor { inner, outputs, .. } = self.predictor;
        let scalars = [T::from_f64(hyper.lambda), T::from_f64(hyper.rate)];
        let inputs = Inputs::new(theta, &scalars, data);
        inner.first_state(theta, &mut self.state);
        inner.start(&mut self.inner, &inputs);
        let mut taken = 0;
        for (s, &wanted) in steps.iter().enumerate() {
            for _ in taken..wanted {
                inner.step(&mut self.inner, &inputs, &self.state, &mut self.next);
                std::mem::swap(&mut self.state, &mut self.next);
            }
            taken = taken.max(wanted);
            for (p, plan) in outputs.iter().enumerate() {
                let mut args = vec![Arg::Floats(&self.state[..inner.dim()])];
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
    fn softmax_is_a_distribution_or_not_a_number() {
        let p = softmax(&[1000.0, 1000.0, -1000.0_f32]);
        assert_eq!(p, [0.5, 0.5, 0.0]);
        for broken in [[f32::NAN, 1.0], [f32::INFINITY, 1.0]] {
            assert!(softmax(&broken).iter().any(|p| p.is_nan()), "{broken:?}");
        }
    }
}
