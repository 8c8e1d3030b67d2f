//! Recording and compiling the inner level.

use autodiff::{Element, Options, Plan, Stage, Tape, Var, grad, recompute};

use super::lanes::Declaring;
use super::recorded::{Derived, Recorded};
use super::step::Varying;
use super::{Derivative, InnerPlan, MOST_DATA, Step, StepAt, curvature, differences, pullback, pushforward};
use crate::problem::{At, Problem, Start};

/// Bytes of a point's residuals beyond which they are not in a cache when they are read.
const FAR: usize = 256 << 10;

impl<T: Element> InnerPlan<T> {
    /// Records and compiles.
    ///
    /// # Panics
    /// Where the problem's parts do not fit together.
    pub fn new(problem: &dyn Problem, step: &dyn Step, derivative: Derivative) -> Self {
        Self::in_lanes(problem, step, derivative, 1)
    }

    /// The same for so many tasks at a time.
    ///
    /// # Panics
    /// As [`new`](InnerPlan::new), and where there are no lanes or more than 16.
    #[track_caller]
    pub fn in_lanes(problem: &dyn Problem, step: &dyn Step, derivative: Derivative, lanes: usize) -> Self {
        let tape = Tape::new();
        let dim = problem.dim();
        let theta_dim = problem.theta_dim();
        let state_len = step.state_len(dim);
        let start = problem.start();
        match &start {
            Start::Theta => assert!(dim <= theta_dim, "a start of {dim} numbers cannot be in a θ of {theta_dim}"),
            Start::Fixed(phi) => assert_eq!(phi.len(), dim, "the start has another length than φ"),
        }
        let varying = Varying::of(problem, step);
        let mut declaring = Declaring::new(&tape, lanes);
        let theta = declaring.input("theta", theta_dim, Stage::DATA);
        let hyper = ["lambda", "rate"].map(|name| tape.input(name, [1], Stage::DATA));
        let [lambda, rate] = hyper.map(|h| h.reshape([]));
        let state = declaring.input("state", state_len, Stage::POINT);
        let direction_len = match derivative {
            Derivative::None | Derivative::Hessian | Derivative::GaussNewton | Derivative::Fisher => dim,
            Derivative::Pullback | Derivative::Differences => state_len,
            Derivative::Pushforward => state_len + theta_dim + 2,
        };
        let direction = declaring.input("direction", direction_len, Stage::DIRECTION);
        let solution = declaring.input("solution", dim, Stage::ADJOINT);
        let data = declaring.data(problem);
        assert!(data.len() <= MOST_DATA, "a problem has at most {MOST_DATA} data inputs");
        let numbers = varying.numbers.as_ref().map_or(Vec::new(), |n| {
            let all = tape.input("numbers", n.count, Stage::POINT);
            (0..n.count).map(|i| all.slice(&[i], &[i + 1]).reshape([])).collect()
        });
        let minibatch = varying.minibatch.as_ref().map(|m| tape.indices("minibatch", m.rows, m.of, Stage::POINT));

        let phi = state.slice(&[0], &[dim]).cut();
        let at = At { phi, theta, lambda, data, minibatch };
        let value = problem.inner(&at);
        let gradients: [Var<'_>; 2] = grad(value, &[phi, theta]).try_into().expect("one for each variable");
        // The step sees the gradient as a variable of its own, so that it can be differentiated there.
        let gradient_variable = gradients[0].cut();
        let rate = problem.rate(&at, rate);
        let next = step.record(&StepAt { state, gradient: gradient_variable, rate, numbers });
        let of_point = [value, gradients[0].dot(gradients[0]), next].map(|y| (Stage::POINT, y));
        let recorded = Recorded { tape: &tape, at, hyper, state, gradients, gradient_variable, next };
        let Derived { outputs: derived, in_theta } = match derivative {
            Derivative::None => Derived::default(),
            Derivative::Hessian | Derivative::GaussNewton | Derivative::Fisher => {
                curvature::derive(&recorded, derivative, problem, [direction, solution])
            }
            Derivative::Pullback => pullback::derive(&recorded, direction),
            Derivative::Pushforward => pushforward::derive(&recorded, direction),
            Derivative::Differences => differences::derive(&recorded, direction),
        };
        let outputs: Vec<_> = of_point.into_iter().chain(derived).collect();
        // What is measured is not needed on the way.
        let compile = |outputs| Plan::with_optional(&tape, &declaring.outputs(outputs), &[0, 1], Options::default());
        let plan: Plan<T> = compile(outputs.clone());
        // Pulled back through once, a point is read from afar once: what is cheap takes no longer to compute again.
        let far = derivative == Derivative::Pullback && plan.kept_bytes(Stage::POINT) > FAR;
        let plan = if far { compile(recompute(&outputs, Stage::POINT)) } else { plan };
        let [dim, theta_dim, state_len] = [dim, theta_dim, state_len].map(|len| len * lanes);
        let (data, unread) = (problem.data(), declaring.unread);
        let adapts = problem.adapts();
        assert_eq!(adapts.len() * lanes, dim, "a problem says of each coordinate of φ whether it adapts");
        let of_lanes = |adapts: Vec<bool>| adapts.into_iter().flat_map(|a| std::iter::repeat_n(a, lanes)).collect();
        let unknowns = Some(adapts).filter(|adapts| adapts.contains(&false)).map(of_lanes);
        InnerPlan { plan, lanes, dim, theta_dim, start, unknowns, varying, state_len, in_theta, data, unread }
    }
}
