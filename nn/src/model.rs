//! A model: a layout, a list of layers, an input shape and the loss that goes with it.

use autodiff::{Element, Indices, Var};

use crate::init::Init;
use crate::layers::{Layer, record_all};
use crate::layout::Layout;
use crate::loss;
use crate::statistics::{Moments, Statistics};

/// What a model is trained to give, row by row.
#[derive(Clone, Copy, Debug)]
pub enum Target<'t> {
    /// Real values [n, width]: mean squared error.
    Values(Var<'t>),
    /// Classes `[n]`: softmax cross-entropy.
    Classes(Indices<'t>),
    /// Probabilities of classes [n, classes]: cross-entropy of soft targets.
    Probabilities(Var<'t>),
}

/// A feed-forward network made from a spec string; see [`Model::from_str`](std::str::FromStr::from_str).
#[derive(Clone, Debug)]
pub struct Model {
    pub(crate) spec: String,
    pub(crate) layout: Layout,
    pub(crate) layers: Vec<Layer>,
    pub(crate) input: Vec<usize>,
    pub(crate) outputs: usize,
    pub(crate) classifies: bool,
    pub(crate) smooth: bool,
}

/// What recording a model gives.
#[derive(Clone, Debug)]
pub struct Forward<'t> {
    /// [n, outputs]
    pub output: Var<'t>,
    /// The moments each batch normalisation layer used, in order.
    pub moments: Vec<Moments<'t>>,
}

impl Model {
    /// The spec it was made from.
    pub fn spec(&self) -> &str {
        &self.spec
    }

    /// Where its parameters live.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// One row's input: `[d]`, or `[h, w, c]`.
    pub fn input(&self) -> &[usize] {
        &self.input
    }

    /// Numbers in one row's output: classes, or regression targets.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Whether it is trained on classes (otherwise on values).
    pub fn classifies(&self) -> bool {
        self.classifies
    }

    /// Whether it has derivatives of every order everywhere: no ReLU, no maximum.
    pub fn is_smooth(&self) -> bool {
        self.smooth
    }

    /// Whether it has layers that normalise with batch statistics.
    pub fn normalises_batches(&self) -> bool {
        self.layers.iter().any(|l| matches!(l, Layer::BatchNorm2d(_)))
    }

    /// Records the network on `x`, [n, ...input].
    ///
    /// # Panics
    /// Where shapes do not fit.
    #[track_caller]
    pub fn forward<'t>(&self, parameters: Var<'t>, x: Var<'t>, statistics: &Statistics<'_, 't>) -> Forward<'t> {
        let mut moments = Vec::new();
        let output = record_all(&self.layers, &self.layout, parameters, x, statistics, &mut moments);
        Forward { output, moments }
    }

    /// The mean loss of recorded outputs.
    ///
    /// # Panics
    /// Where shapes do not fit.
    #[track_caller]
    pub fn loss<'t>(&self, output: Var<'t>, target: Target<'t>) -> Var<'t> {
        match target {
            Target::Values(values) => loss::mse(output, values),
            Target::Classes(labels) => loss::softmax_cross_entropy(output, labels),
            Target::Probabilities(targets) => loss::soft_cross_entropy(output, targets),
        }
    }

    /// Records F u, F the mean over rows of the Fisher matrices of the distributions that recorded outputs are the
    /// parameters of: a [softmax's](loss::softmax_fisher), or, for values, a [normal one](loss::gaussian_fisher).
    ///
    /// # Panics
    /// Where u = `direction` has another shape than the outputs.
    #[track_caller]
    pub fn fisher<'t>(&self, output: Var<'t>, direction: Var<'t>) -> Var<'t> {
        if self.classifies { loss::softmax_fisher(output, direction) } else { loss::gaussian_fisher(output, direction) }
    }

    /// Initial parameters; `uniform` draws from [0, 1). Padding is 0.
    pub fn init<T: Element>(&self, scheme: Init, uniform: &mut dyn FnMut() -> f64) -> Vec<T> {
        self.layout.init(scheme, uniform)
    }
}
