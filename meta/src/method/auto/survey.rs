//! What a choice is made from, measured on a few tasks.

use std::any::TypeId;

use autodiff::{Arg, Element};

use super::decide::Situation;
use crate::inner::{Descent, GradientDescent, Hyper, InnerStop, Run, Step};
use crate::linear::{Minres, Ritz, clear_others};
use crate::method::{Implicit, Keep, Method, UnrollSizes, Unrolled};
use crate::problem::Problem;
use crate::tasks::random::Random;

/// Products with ∇²G on each task.
const PRODUCTS: usize = 20;

/// Measures tasks, one after the other; a pure function of what it is given.
///
/// ```
/// use meta::inner::{GradientDescent, Hyper};
/// use meta::method::{Method, Survey, decide};
/// use meta::{FewShot, Problem};
///
/// let problem = FewShot::new("mlp:1-8-1,act=tanh".parse().unwrap(), 2, 2, true);
/// let theta: Vec<f64> = (0..problem.dim()).map(|i| (i as f64).sin()).collect();
/// let data = [[0.1, 0.7], [1.0, 0.0], [0.3, 0.9], [0.8, -0.2]];
/// let hyper = Hyper { lambda: 1.0, rate: 0.1 };
/// let mut survey = Survey::<f64>::new(&problem, GradientDescent, 5);
/// survey.task(&theta, hyper, &data.each_ref().map(|d| d[..].into()));
/// let decision = decide(&survey.situation(hyper, None)).unwrap();
/// println!("{}: {}", decision.choice, decision.reason);
/// let method = decision.choice.method::<f64>(&problem, GradientDescent, 5);
/// # assert!(method.bytes() > 0);
/// ```
pub struct Survey<T> {
    implicit: Implicit<T>,
    unroll: UnrollSizes,
    /// Steps of gradient descent, all alike.
    plain: bool,
    steps: usize,
    tasks: u64,
    left: f64,
    smallest: f64,
    largest: f64,
}

impl<T: Element> Survey<T> {
    /// Of a problem that `steps` of `step` adapt. Step sizes that are learned count as the one that is given.
    pub fn new<S: Step + 'static>(problem: &dyn Problem, step: S, steps: usize) -> Self {
        let plain = TypeId::of::<S>() == TypeId::of::<GradientDescent>() && problem.minibatch().is_none();
        let unroll = Unrolled::<T>::with_step(problem, &step, steps, Keep::Last(0)).sizes();
        let descent = Box::new(Descent::new(step, InnerStop::Steps(steps)));
        // Of the two linear solvers that may be chosen the one that takes more memory.
        let implicit = Implicit::with_solver(problem, descent, Box::new(Minres::iterations(1)));
        let (smallest, largest) = (f64::INFINITY, f64::NEG_INFINITY);
        Survey { implicit, unroll, plain, steps, tasks: 0, left: 0.0, smallest, largest }
    }

    /// Adapts to a task and measures there.
    pub fn task(&mut self, theta: &[T], hyper: Hyper, data: &[Arg<'_, T>]) {
        let inner = self.implicit.inner();
        let mut run = Run::new(inner, 1);
        run.start(inner, theta, hyper, data);
        let first = run.look(inner, theta, data).gradient_norm;
        for k in 0..self.steps {
            run.advance(inner, theta, data, k);
        }
        run.at_step(inner, self.steps);
        let left = run.look(inner, theta, data).gradient_norm / first;
        let mut random = Random::new("auto", 0, 0, self.tasks);
        let [mut before, mut v, mut next] = [(); 3].map(|()| vec![T::zero(); inner.dim()]);
        v.iter_mut().for_each(|v| *v = T::from_f64(random.uniform(-1.0, 1.0)));
        clear_others(inner.unknowns(), &mut v);
        let (mut diagonal, mut below) = ([0.0; PRODUCTS], [0.0; PRODUCTS]);
        let scalars = (&mut diagonal[..], &mut below[..]);
        let found = Ritz::of(inner.plan().isa(), [&mut before, &mut v, &mut next], scalars, |x, y| {
            let (workspace, state, _, inputs) = run.parts(theta, data);
            inner.hessian(workspace, &inputs, state, x, y);
        });
        self.tasks += 1;
        // At the solution from the start there is nothing left of nothing; NaN is the most that can be left.
        self.left = if first == 0.0 { self.left } else { self.left.max(left) };
        if left.is_nan() && first != 0.0 {
            self.left = f64::INFINITY;
        }
        match found {
            Some(found) => {
                self.smallest = self.smallest.min(found.lower());
                self.largest = self.largest.max(found.upper());
            }
            None => (self.smallest, self.largest) = (f64::NEG_INFINITY, f64::INFINITY),
        }
    }

    /// What was measured: the worst of the tasks.
    ///
    /// # Panics
    /// Where no task was looked at.
    #[track_caller]
    pub fn situation(&self, hyper: Hyper, budget: Option<usize>) -> Situation {
        assert!(self.tasks > 0, "situation: no task was looked at");
        let inner = self.implicit.inner();
        Situation {
            steps: self.steps,
            rate: self.plain.then_some(hyper.rate),
            dim: inner.unknowns().map_or(inner.dim(), |unknowns| unknowns.iter().filter(|u| **u).count()),
            left: self.left,
            smallest: self.smallest,
            largest: self.largest,
            unroll: self.unroll,
            implicit: self.implicit.bytes(),
            budget,
        }
    }
}
