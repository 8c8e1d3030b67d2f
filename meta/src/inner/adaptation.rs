//! How φ is found in any number of steps: what training, evaluation and prediction share.

use super::{GradientDescent, InnerSolver, Step};

/// Makes the solver that takes so many steps at most.
pub type SolverOfSteps<T> = Box<dyn Fn(usize) -> Box<dyn InnerSolver<T>> + Send + Sync>;

/// How φ is found from θ in k steps, for k = 0, 1, ….
///
/// | variant | φ after k steps is | going on from k to k + 1 |
/// |---|---|---|
/// | `Steps` | φ_k of φ_{k+1} = S(φ_k) | takes a step |
/// | `Automatic` | φ_k of gradient descent with the task's own step size | takes a step |
/// | `Solver` | where the solver for k steps ends, after at most k of its own | begins again |
///
/// ```
/// use meta::inner::{Adaptation, InnerStop, Lbfgs};
/// use meta::predict::Predictor;
/// use meta::problem::QueryStatistics;
///
/// let problem = meta::FewShot::new("mlp:1-4-1,act=tanh".parse()?, 2, 3, true);
/// let solve = |k| Box::new(Lbfgs::new(InnerStop::Gradient { gradient: 1e-8, cap: k })) as _;
/// let adaptation = Adaptation::Solver(Box::new(solve));
/// let predictor = Predictor::<f64>::adapting(&problem, adaptation, &[QueryStatistics::Transductive]);
/// assert!(predictor.bytes() > 0);
/// # Ok::<(), nn::SpecError>(())
/// ```
pub enum Adaptation<T> {
    /// Steps of a first-order optimiser, all of them.
    Steps(Box<dyn Step>),
    /// Steps of gradient descent, of the size that [`Unrolled::automatic`](crate::method::Unrolled::automatic) finds for the
    /// task through so many of them. For problems whose steps all see the same data.
    Automatic {
        /// The steps that it is found through.
        steps: usize,
    },
    /// A solver that decides as it goes: how far, how often, or when it is enough.
    Solver(SolverOfSteps<T>),
}

impl<T> Default for Adaptation<T> {
    /// Gradient descent.
    fn default() -> Self {
        Adaptation::Steps(Box::new(GradientDescent))
    }
}
