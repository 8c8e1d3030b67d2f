//! Bi-level problems, recorded.

use std::ops::Range;

use autodiff::{Indices, Shape, Stage, Tape, Var};
use nn::{Model, Statistics, Target};

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

/// Which moments normalise the query set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum QueryStatistics {
    /// The query set's own: every query is classified with a look at the others.
    #[default]
    Transductive,
    /// The support set's: each query is classified alone.
    Inductive,
}

impl QueryStatistics {
    /// `transductive` or `inductive`.
    pub fn name(self) -> &'static str {
        match self {
            QueryStatistics::Transductive => "transductive",
            QueryStatistics::Inductive => "inductive",
        }
    }
}

/// Few-shot learning with a network: G = L_support(φ̂) + ½ λ ‖φ − θ‖², f = L_query(φ̂).
///
/// φ̂ is φ, or, where parameters are [frozen](FewShot::freezing), φ with those replaced by θ's: they are not adapted,
/// and reach F through ∂f/∂θ and ∂θ∇φG. Their φ does not matter to L and stays at θ, where the prox term holds it.
///
/// Data: support x, support y, query x, query y.
#[derive(Clone, Debug)]
pub struct FewShot {
    model: Model,
    support: usize,
    query: usize,
    prox: bool,
    statistics: QueryStatistics,
    /// Ranges of the flat vector, ascending.
    frozen: Vec<Range<usize>>,
}

impl FewShot {
    /// `support` and `query` are rows; `prox` says whether G has the prox term.
    pub fn new(model: Model, support: usize, query: usize, prox: bool) -> Self {
        FewShot { model, support, query, prox, statistics: QueryStatistics::default(), frozen: Vec::new() }
    }

    /// The same problem with other moments for the query set.
    pub fn with_statistics(self, statistics: QueryStatistics) -> Self {
        FewShot { statistics, ..self }
    }

    /// The same problem, in which the parameters that `freezes` names are not adapted.
    pub fn freezing(self, freezes: impl Fn(&str) -> bool) -> Self {
        let entries = self.model.layout().entries().iter();
        FewShot { frozen: entries.filter(|e| freezes(e.name())).map(|e| e.range()).collect(), ..self }
    }

    /// Whether each coordinate of φ is adapted: neither frozen nor the padding between parameters.
    pub fn adapts(&self) -> Vec<bool> {
        let mut adapts = vec![false; self.dim()];
        self.model.layout().entries().iter().for_each(|e| adapts[e.range()].fill(true));
        self.frozen.iter().for_each(|range| adapts[range.clone()].fill(false));
        adapts
    }

    /// φ̂: φ, with frozen parameters from θ.
    fn parameters<'t>(&self, at: &At<'t>) -> Var<'t> {
        if self.frozen.is_empty() {
            return at.phi;
        }
        let mut parts = Vec::new();
        let mut end = 0;
        for range in &self.frozen {
            if end < range.start {
                parts.push(at.phi.slice(&[end], &[range.start]));
            }
            parts.push(at.theta.slice(&[range.start], &[range.end]));
            end = range.end;
        }
        if end < self.dim() {
            parts.push(at.phi.slice(&[end], &[self.dim()]));
        }
        Var::concat(&parts, 0)
    }

    /// The network.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Rows of the support set and of the query set.
    pub fn rows(&self) -> (usize, usize) {
        (self.support, self.query)
    }

    /// Records the network's outputs on the query set: logits, or predictions.
    pub fn predict<'t>(&self, at: &At<'t>) -> Var<'t> {
        let x = at.data[2].values();
        let parameters = self.parameters(at);
        let by_support = self.statistics == QueryStatistics::Inductive && self.model.normalises_batches();
        if !by_support {
            return self.model.forward(parameters, x, &Statistics::Batch).output;
        }
        let moments = self.model.forward(parameters, at.data[0].values(), &Statistics::Batch).moments;
        self.model.forward(parameters, x, &Statistics::Given(&moments)).output
    }

    /// Records the mean loss on the support set at φ, without the prox term.
    pub fn support_loss<'t>(&self, at: &At<'t>) -> Var<'t> {
        let output = self.model.forward(self.parameters(at), at.data[0].values(), &Statistics::Batch).output;
        self.model.loss(output, target(at.data[1]))
    }
}

fn target(data: Data<'_>) -> Target<'_> {
    match data {
        Data::Values(values) => Target::Values(values),
        Data::Indices(labels) => Target::Classes(labels),
    }
}

impl Problem for FewShot {
    fn dim(&self) -> usize {
        self.model.layout().len()
    }

    fn data(&self) -> Vec<DataSpec> {
        let x = |name, rows: usize| {
            let shape = std::iter::once(rows).chain(self.model.input().iter().copied()).collect();
            DataSpec { name, shape, bound: None }
        };
        let y = |name, rows: usize| {
            if self.model.classifies() {
                DataSpec { name, shape: rows.into(), bound: Some(self.model.outputs()) }
            } else {
                DataSpec { name, shape: [rows, self.model.outputs()].into(), bound: None }
            }
        };
        vec![
            x("support.x", self.support),
            y("support.y", self.support),
            x("query.x", self.query),
            y("query.y", self.query),
        ]
    }

    fn inner<'t>(&self, at: &At<'t>) -> Var<'t> {
        let loss = self.support_loss(at);
        if !self.prox {
            return loss;
        }
        let away = at.phi - at.theta;
        loss + 0.5 * at.lambda * away.dot(away)
    }

    fn outer<'t>(&self, at: &At<'t>) -> Var<'t> {
        let output = self.predict(at);
        self.model.loss(output, target(at.data[3]))
    }
}
