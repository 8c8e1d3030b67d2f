//! Bi-level problems, recorded.

mod few_shot;
mod learned;

use autodiff::{Indices, Shape, Stage, Tape, Var};

use crate::tasks::Random;

pub use few_shot::{FewShot, QueryStatistics};
pub use learned::{Adapts, Learned, LearnedValue, Share};

/// One input that holds a task's data.
#[derive(Clone, Debug, PartialEq)]
pub struct DataSpec {
    /// For messages.
    pub name: &'static str,
    /// Its shape.
    pub shape: Shape,
    /// `Some(bound)` for indices below it, `None` for numbers.
    pub bound: Option<usize>,
}

impl DataSpec {
    /// Numbers.
    pub fn values(name: &'static str, shape: impl Into<Shape>) -> Self {
        DataSpec { name, shape: shape.into(), bound: None }
    }

    /// Indices, each below `bound`.
    pub fn indices(name: &'static str, shape: impl Into<Shape>, bound: usize) -> Self {
        DataSpec { name, shape: shape.into(), bound: Some(bound) }
    }
}

/// A task's data on a tape.
#[derive(Clone, Copy, Debug)]
pub enum Data<'t> {
    /// Numbers.
    Values(Var<'t>),
    /// Class labels and other indices.
    Indices(Indices<'t>),
}

impl<'t> Data<'t> {
    /// The numbers.
    ///
    /// # Panics
    /// Where it holds indices.
    #[track_caller]
    pub fn values(self) -> Var<'t> {
        match self {
            Data::Values(values) => values,
            Data::Indices(indices) => panic!("data {indices:?} are indices, not values"),
        }
    }

    /// The indices.
    ///
    /// # Panics
    /// Where it holds numbers.
    #[track_caller]
    pub fn indices(self) -> Indices<'t> {
        match self {
            Data::Values(values) => panic!("data {values:?} are values, not indices"),
            Data::Indices(indices) => indices,
        }
    }
}

/// What a problem is recorded with.
#[derive(Clone, Debug)]
pub struct At<'t> {
    /// Inner variables φ.
    pub phi: Var<'t>,
    /// Meta-parameters θ.
    pub theta: Var<'t>,
    /// λ, an input so that it can change from run to run; 0 where the problem has no prox term.
    pub lambda: Var<'t>,
    /// The inputs of [`Problem::data`], in order.
    pub data: Vec<Data<'t>>,
    /// Rows of the inner step's [`Minibatch`], where the problem has one and an inner step is recorded.
    pub minibatch: Option<Indices<'t>>,
}

impl<'t> At<'t> {
    /// Where all data are seen.
    pub fn new(phi: Var<'t>, theta: Var<'t>, lambda: Var<'t>, data: Vec<Data<'t>>) -> Self {
        At { phi, theta, lambda, data, minibatch: None }
    }
}

/// Where the inner solver starts.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    /// φ₀ = the first |φ| numbers of θ: an initialisation is learned.
    Theta,
    /// φ₀ is this, whatever θ is.
    Fixed(Vec<f64>),
}

/// Writes what belongs to step k.
pub type OfStep<X> = Box<dyn Fn(usize, &mut [X]) + Send + Sync>;

/// Which rows of the data each inner step sees: a pure function of the step's number, so that running a step again
/// repeats it.
pub struct Minibatch {
    /// Rows a step.
    pub rows: usize,
    /// Every row is below this.
    pub of: usize,
    /// Writes the rows of step k.
    pub at: OfStep<u32>,
}

impl Minibatch {
    /// `rows` distinct rows of `of` in every step, each choice equally likely: of a stream of random numbers of its
    /// own for each seed and step.
    ///
    /// # Panics
    /// Where `rows` is 0 or above `of`.
    #[track_caller]
    pub fn drawn(rows: usize, of: usize, seed: u64) -> Self {
        assert!(0 < rows && rows <= of, "a minibatch of {rows} of {of} rows");
        let at = move |k: usize, out: &mut [u32]| Random::new("minibatch", seed, 0, k as u64).distinct(of as u32, out);
        Minibatch { rows, of, at: Box::new(at) }
    }
}

/// A bi-level problem: what the inner solver minimises and what is then measured.
///
/// The prox term, where there is one, is part of [`inner`](Problem::inner): an implicit gradient can never be
/// taken of an objective other than the one solved.
pub trait Problem: Send + Sync {
    /// |φ|
    fn dim(&self) -> usize;

    /// |θ|: |φ|, where nothing but an initialisation is learned.
    fn theta_dim(&self) -> usize {
        self.dim()
    }

    /// Which coordinates of φ are adapted. On the others, frozen ones and padding between parameters, ∇²_φφG is diagonal
    /// and ∇_φf is 0.
    fn adapts(&self) -> Vec<bool> {
        vec![true; self.dim()]
    }

    /// φ₀: θ, or its first |φ| numbers.
    fn start(&self) -> Start {
        Start::Theta
    }

    /// Records the inner step size, a number or one for each coordinate of φ, from the one that was asked for: `rate`
    /// itself, where none is learned.
    fn rate<'t>(&self, _at: &At<'t>, rate: Var<'t>) -> Var<'t> {
        rate
    }

    /// Rows that an inner step sees, where it does not see all of them.
    fn minibatch(&self) -> Option<Minibatch> {
        None
    }

    /// The inputs that hold a task.
    fn data(&self) -> Vec<DataSpec>;

    /// Records G(φ, θ).
    fn inner<'t>(&self, at: &At<'t>) -> Var<'t>;

    /// Records z(φ), the outputs that [`inner`](Problem::inner) is a convex function of, where it is that:
    /// G = ℓ(z(φ), φ). A Gauss-Newton product is of the curvature of ℓ alone.
    fn outputs<'t>(&self, _at: &At<'t>) -> Option<Var<'t>> {
        None
    }

    /// Records ℓ: G with `outputs` in place of [its own](Problem::outputs).
    fn inner_of_outputs<'t>(&self, at: &At<'t>, _outputs: Var<'t>) -> Var<'t> {
        self.inner(at)
    }

    /// Records F u for u = `direction`, shaped as the outputs: F is the mean over rows of 𝔼 s sᵀ, s = ∂/∂z ln p(y|z)
    /// with y drawn from p(·|z) itself; `None` where the outputs are no distribution's.
    fn fisher_of_outputs<'t>(&self, _at: &At<'t>, _outputs: Var<'t>, _direction: Var<'t>) -> Option<Var<'t>> {
        None
    }

    /// Records f(φ, θ).
    fn outer<'t>(&self, at: &At<'t>) -> Var<'t>;

    /// Declares the inputs of [`data`](Problem::data) on a tape.
    fn declare<'t>(&self, tape: &'t Tape) -> Vec<Data<'t>> {
        let declare = |spec: DataSpec| match spec.bound {
            None => Data::Values(tape.input(spec.name, spec.shape, Stage::DATA)),
            Some(bound) => Data::Indices(tape.indices(spec.name, spec.shape, bound, Stage::DATA)),
        };
        self.data().into_iter().map(declare).collect()
    }
}
