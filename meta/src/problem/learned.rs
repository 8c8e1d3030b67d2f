//! What few-shot learning may learn beside an initialisation: λ and the inner step sizes, one number for all, one a
//! layer or one for each parameter; and which parameters adapt at all.

use std::ops::Range;

use autodiff::{Element, Real, Var};
use nn::{Entry, Layout};

use crate::inner::Hyper;

/// How finely a learned hyperparameter is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Share {
    /// One number for all parameters.
    One,
    /// One number a layer.
    Layer,
    /// One number for each parameter.
    Parameter,
}

/// What is learned beside an initialisation, as parts of θ behind it.
///
/// | learned | in θ | starts at | is then |
/// |---|---|---|---|
/// | λ | `log_lambda…`: s | 0 | `Hyper::lambda` · exp(s), positive whatever s |
/// | step sizes | `rate…`: r | 1 | `Hyper::rate` · r; its sign is free, as in Meta-SGD |
///
/// A part is called `log_lambda` where it is one number, `log_lambda.conv1` that of a layer, and
/// `log_lambda.conv1.weight`, of that parameter's shape, where each has its own. Only what adapts has parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Learned {
    /// λ of the prox term, by its own hypergradient: dF/ds = −Σ λ (φ − θ) x, over those that share s, where
    /// (∇²_φφG) x = ∂f/∂φ at the solution; through steps it is what the steps say.
    pub lambda: Option<Share>,
    /// Inner step sizes (Meta-SGD: Li, Zhou, Chen & Li 2017). Learned through steps only: an inner solution does not
    /// depend on how it was reached, and an implicit gradient is 0 in them, exactly.
    pub rate: Option<Share>,
}

impl Learned {
    /// Whether a part of θ of this name is one that is learned beside an initialisation: `rate.conv1`, but no parameter.
    pub fn names(part: &str) -> bool {
        let kind = part.split_once('.').map_or(part, |(kind, _)| kind);
        [LOG_LAMBDA, RATE].contains(&kind)
    }
}

/// Which layers adapt. The head is the last layer that has parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Adapts {
    /// All.
    #[default]
    All,
    /// The head alone (ANIL: Raghu, Raghu, Bengio & Vinyals 2020).
    Head,
    /// All but the head (BOIL: Oh, Yoo, Kim & Yun 2021).
    Body,
}

impl Adapts {
    /// Whether a parameter of this model does.
    pub(super) fn adapts(self, layout: &Layout, entry: &Entry) -> bool {
        let head = layout.entries().last().is_some_and(|last| last.layer() == entry.layer());
        match self {
            Adapts::All => true,
            Adapts::Head => head,
            Adapts::Body => !head,
        }
    }
}

/// A learned hyperparameter at some θ.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnedValue {
    /// `lambda`, `rate.conv1`, …
    pub name: String,
    /// The smallest of its numbers.
    pub least: f64,
    /// Their mean.
    pub mean: f64,
    /// The largest.
    pub most: f64,
}

/// One hyperparameter's part of θ.
#[derive(Clone, Debug)]
pub(super) struct Part {
    share: Share,
    /// Coordinates of φ, and of θ the number or numbers that belong to them.
    places: Vec<(Range<usize>, Range<usize>)>,
}

impl Part {
    /// Adds what the parameters in `adapting` need to θ's layout.
    pub fn add(layout: &mut Layout, adapting: &[Entry], name: &str, share: Share, start: f64) -> Self {
        let mut places: Vec<(Range<usize>, Range<usize>)> = Vec::new();
        let mut last = None;
        for entry in adapting {
            let index = match (share, last) {
                (Share::Parameter, _) => layout.add_like(format!("{name}.{}", entry.name()), entry, start),
                (Share::One, Some((_, index))) => index,
                (Share::Layer, Some((layer, index))) if layer == entry.layer() => index,
                (Share::One, None) => layout.add_number(name.into(), start),
                (Share::Layer, _) => layout.add_number(format!("{name}.{}", entry.layer()), start),
            };
            last = Some((entry.layer(), index));
            places.push((entry.range(), layout.entries()[index].range()));
        }
        Part { share, places }
    }

    /// A number, or one for each coordinate of φ, which is 0 where nothing adapts.
    pub fn record<'t>(&self, theta: Var<'t>, dim: usize) -> Var<'t> {
        let numbers = |own: &Range<usize>| theta.slice(&[own.start], &[own.end]);
        if self.share == Share::One {
            return numbers(&self.places[0].1).reshape([]);
        }
        let box_of = |(of_phi, own): &(Range<usize>, Range<usize>)| {
            numbers(own).broadcast_to([of_phi.len()]).pad(&[of_phi.start], [dim])
        };
        // Disjoint boxes in zeros: they become one assembled vector, made once a task.
        self.places.iter().map(box_of).reduce(|a, b| a + b).expect("something adapts")
    }
}

/// ½ Σ λ (φ − θ)², where λ is a number or one for each coordinate.
pub(super) fn prox<'t>(lambda: Var<'t>, away: Var<'t>) -> Var<'t> {
    if lambda.shape().rank() == 0 {
        return 0.5 * lambda * away.dot(away);
    }
    0.5 * (lambda * away.square()).sum_all()
}

/// What the entries of θ behind an initialisation mean, in their order.
pub(super) fn values<T: Element>(behind: &[Entry], theta: &[T], hyper: Hyper) -> Vec<LearnedValue> {
    let value = |entry: &Entry| {
        let (kind, of) = entry.name().split_once('.').unwrap_or((entry.name(), ""));
        let log = kind == LOG_LAMBDA;
        let number = |t: &T| if log { hyper.lambda * t.to_f64().exp() } else { hyper.rate * t.to_f64() };
        let (mut least, mut sum, mut most) = (f64::INFINITY, 0.0, f64::NEG_INFINITY);
        let numbers = &theta[entry.range()];
        for v in numbers.iter().map(number) {
            (least, sum, most) = (least.min(v), sum + v, most.max(v));
        }
        let kind = if log { "lambda" } else { RATE };
        let name = if of.is_empty() { kind.into() } else { format!("{kind}.{of}") };
        LearnedValue { name, least, mean: sum / numbers.len() as f64, most }
    };
    behind.iter().map(value).collect()
}

/// Names of the parts.
pub(super) const LOG_LAMBDA: &str = "log_lambda";
pub(super) const RATE: &str = "rate";
