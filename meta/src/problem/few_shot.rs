//! Few-shot learning with a network, as a bi-level problem.

use std::ops::Range;

use autodiff::{Element, Real, Shape, Var};
use nn::{Entry, Init, Layout, Model, Statistics, Target};

use super::learned::{self, LOG_LAMBDA, Part, RATE};
use super::{Adapts, At, Data, DataSpec, Learned, LearnedValue, Minibatch, Problem};
use crate::inner::Hyper;

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
/// θ is the initialisation and prox centre, in the model's layout, and behind it what else is
/// [learned](FewShot::learning), such as a λ for each layer: the whole is laid out in [`layout`](FewShot::layout).
///
/// Data: support x, support y, query x, query y.
///
/// ```
/// use meta::problem::{Adapts, FewShot, Learned, Share};
/// use nn::Init;
///
/// let problem = FewShot::new("mlp:1-4-1,act=tanh".parse()?, 5, 5, false)
///     .adapting(Adapts::Head)
///     .learning(Learned { rate: Some(Share::Parameter), ..Learned::default() });
/// let names: Vec<&str> = problem.layout().entries().iter().map(|e| e.name()).collect();
/// assert_eq!(names[4..], ["rate.fc2.weight", "rate.fc2.bias"]);
/// let theta: Vec<f64> = problem.init(Init::PyTorch, &mut || 0.75);
/// assert_eq!(theta.len(), problem.layout().len());
/// # Ok::<(), nn::SpecError>(())
/// ```
#[derive(Clone, Debug)]
pub struct FewShot {
    model: Model,
    support: usize,
    query: usize,
    prox: bool,
    statistics: QueryStatistics,
    /// Ranges of the flat vector, ascending.
    frozen: Vec<Range<usize>>,
    learned: Learned,
    /// θ's
    layout: Layout,
    lambda: Option<Part>,
    rate: Option<Part>,
    /// Support rows of one inner step, and the seed they are drawn by.
    minibatch: Option<(usize, u64)>,
}

impl FewShot {
    /// `support` and `query` are rows; `prox` says whether G has the prox term.
    pub fn new(model: Model, support: usize, query: usize, prox: bool) -> Self {
        FewShot {
            layout: model.layout().clone(),
            model,
            support,
            query,
            prox,
            statistics: QueryStatistics::default(),
            frozen: Vec::new(),
            learned: Learned::default(),
            lambda: None,
            rate: None,
            minibatch: None,
        }
    }

    /// The same problem with other moments for the query set.
    pub fn with_statistics(self, statistics: QueryStatistics) -> Self {
        FewShot { statistics, ..self }
    }

    /// The same problem, in which the parameters that `freezes` names are not adapted, and all others are, whatever was frozen
    /// before.
    ///
    /// # Panics
    /// Where then nothing is adapted, and λ or step sizes are learned.
    #[track_caller]
    pub fn freezing(self, freezes: impl Fn(&str) -> bool) -> Self {
        let entries = self.model.layout().entries().iter();
        let frozen = entries.filter(|e| freezes(e.name())).map(|e| e.range()).collect();
        let learned = self.learned;
        FewShot { frozen, ..self }.learning(learned)
    }

    /// The same problem, in which these layers adapt and the others are frozen, whatever was before.
    ///
    /// # Panics
    /// Where that leaves nothing: a model of one layer has no body.
    #[track_caller]
    pub fn adapting(self, which: Adapts) -> Self {
        let layout = self.model.layout().clone();
        let entry = |name: &str| layout.entries().iter().find(|e| e.name() == name).expect("a parameter's name");
        let problem = self.freezing(|name| !which.adapts(&layout, entry(name)));
        assert!(problem.adapts().contains(&true), "adapting: {} has one layer, and no body", problem.model.spec());
        problem
    }

    /// The same problem with more in θ than an initialisation.
    ///
    /// # Panics
    /// Where λ is to be learned and G has no prox term, or nothing is adapted.
    #[track_caller]
    pub fn learning(self, learned: Learned) -> Self {
        assert!(self.prox || learned.lambda.is_none(), "learning: λ belongs to the prox term, and G has none");
        let adapting: Vec<Entry> =
            self.model.layout().entries().iter().filter(|e| !self.frozen.contains(&e.range())).cloned().collect();
        assert!(!adapting.is_empty() || learned == Learned::default(), "learning: no parameter is adapted");
        let mut layout = self.model.layout().clone();
        let lambda = learned.lambda.map(|share| Part::add(&mut layout, &adapting, LOG_LAMBDA, share, 0.0));
        let rate = learned.rate.map(|share| Part::add(&mut layout, &adapting, RATE, share, 1.0));
        FewShot { learned, layout, lambda, rate, ..self }
    }

    /// What is learned beside an initialisation.
    pub fn learned(&self) -> Learned {
        self.learned
    }

    /// Where the parts of θ are, and how files order them: the model's parameters, then what else is learned.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The parts of θ behind the model's parameters.
    pub fn behind(&self) -> &[Entry] {
        &self.layout.entries()[self.model.layout().entries().len()..]
    }

    /// θ at the start: these parameters, λ and step sizes as [`Hyper`] has them.
    ///
    /// # Panics
    /// Where the parameters have another length than the model's.
    #[track_caller]
    pub fn theta<T: Element>(&self, mut parameters: Vec<T>) -> Vec<T> {
        assert_eq!(parameters.len(), self.dim(), "theta: the parameters have another length than the model's");
        parameters.resize(self.layout.len(), T::zero());
        for entry in self.behind() {
            parameters[entry.range()].fill(T::from_f64(entry.constant().expect("what is learned starts at a number")));
        }
        parameters
    }

    /// θ at the start, with parameters drawn by `scheme`; `uniform` draws from [0, 1).
    pub fn init<T: Element>(&self, scheme: Init, uniform: &mut dyn FnMut() -> f64) -> Vec<T> {
        self.theta(self.model.init(scheme, uniform))
    }

    /// The learned λ and step sizes at θ.
    ///
    /// # Panics
    /// Where θ has another length than its layout.
    #[track_caller]
    pub fn learned_values<T: Element>(&self, theta: &[T], hyper: Hyper) -> Vec<LearnedValue> {
        assert_eq!(theta.len(), self.layout.len(), "learned_values: θ has another length than its layout");
        learned::values(self.behind(), theta, hyper)
    }

    /// The same problem, in which every inner step sees `rows` support rows of its own, [drawn](Minibatch::drawn) by
    /// `seed`. A solver that decides as it goes sees those of step 0 in all of its steps.
    ///
    /// # Panics
    /// Where `rows` is 0 or there are fewer support rows.
    #[track_caller]
    pub fn with_minibatch(self, rows: usize, seed: u64) -> Self {
        assert!(0 < rows && rows <= self.support, "a minibatch of {rows} of {} support rows", self.support);
        FewShot { minibatch: Some((rows, seed)), ..self }
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

    /// Records the network's outputs on the support set, or on the step's minibatch of it.
    fn support_output<'t>(&self, at: &At<'t>) -> Var<'t> {
        let x = at.data[0].values();
        let x = at.minibatch.map_or(x, |rows| x.gather(rows));
        self.model.forward(self.parameters(at), x, &Statistics::Batch).output
    }

    /// The mean loss of outputs on the support set, or on the step's minibatch of it.
    fn loss_on_support<'t>(&self, at: &At<'t>, output: Var<'t>) -> Var<'t> {
        let target = match (at.minibatch, target(at.data[1])) {
            (None, all) => all,
            (Some(rows), Target::Values(values)) => Target::Values(values.gather(rows)),
            (Some(rows), Target::Classes(labels)) => Target::Probabilities(labels.one_hot().gather(rows)),
            (Some(rows), Target::Probabilities(targets)) => Target::Probabilities(targets.gather(rows)),
        };
        self.model.loss(output, target)
    }

    /// Records the mean loss on the support set at φ, without the prox term; on the step's minibatch, where there is
    /// one.
    pub fn support_loss<'t>(&self, at: &At<'t>) -> Var<'t> {
        self.loss_on_support(at, self.support_output(at))
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

    fn theta_dim(&self) -> usize {
        self.layout.len()
    }

    /// Neither what is frozen nor the padding between parameters.
    fn adapts(&self) -> Vec<bool> {
        let mut adapts = self.model.layout().is_parameter();
        self.frozen.iter().for_each(|range| adapts[range.clone()].fill(false));
        adapts
    }

    fn rate<'t>(&self, at: &At<'t>, rate: Var<'t>) -> Var<'t> {
        match &self.rate {
            Some(part) => rate * part.record(at.theta, self.dim()),
            None => rate,
        }
    }

    fn data(&self) -> Vec<DataSpec> {
        let x = |name, rows: usize| {
            let shape: Shape = std::iter::once(rows).chain(self.model.input().iter().copied()).collect();
            DataSpec::values(name, shape)
        };
        let y = |name, rows: usize| {
            if self.model.classifies() {
                DataSpec::indices(name, rows, self.model.outputs())
            } else {
                DataSpec::values(name, [rows, self.model.outputs()])
            }
        };
        vec![
            x("support.x", self.support),
            y("support.y", self.support),
            x("query.x", self.query),
            y("query.y", self.query),
        ]
    }

    fn minibatch(&self) -> Option<Minibatch> {
        self.minibatch.map(|(rows, seed)| Minibatch::drawn(rows, self.support, seed))
    }

    fn inner<'t>(&self, at: &At<'t>) -> Var<'t> {
        self.inner_of_outputs(at, self.support_output(at))
    }

    fn outputs<'t>(&self, at: &At<'t>) -> Option<Var<'t>> {
        Some(self.support_output(at))
    }

    fn fisher_of_outputs<'t>(&self, _: &At<'t>, outputs: Var<'t>, direction: Var<'t>) -> Option<Var<'t>> {
        Some(self.model.fisher(outputs, direction))
    }

    fn inner_of_outputs<'t>(&self, at: &At<'t>, outputs: Var<'t>) -> Var<'t> {
        let loss = self.loss_on_support(at, outputs);
        if !self.prox {
            return loss;
        }
        let lambda = match &self.lambda {
            Some(part) => at.lambda * part.record(at.theta, self.dim()).exp(),
            None => at.lambda,
        };
        loss + learned::prox(lambda, at.phi - at.theta.slice(&[0], &[self.dim()]))
    }

    fn outer<'t>(&self, at: &At<'t>) -> Var<'t> {
        let output = self.predict(at);
        self.model.loss(output, target(at.data[3]))
    }
}
