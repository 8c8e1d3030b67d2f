//! Activation functions by name.

use autodiff::{Real, Var};

/// An elementwise nonlinearity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Activation {
    /// max(x, 0)
    #[default]
    Relu,
    /// tanh x
    Tanh,
    /// 1/(1 + e⁻ˣ)
    Sigmoid,
    /// x Φ(x)
    Gelu,
    /// ln(1 + eˣ)
    Softplus,
}

impl Activation {
    /// All, in the order of the documentation.
    pub const ALL: [Activation; 5] =
        [Activation::Relu, Activation::Tanh, Activation::Sigmoid, Activation::Gelu, Activation::Softplus];

    /// Its name in a model spec.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Relu => "relu",
            Activation::Tanh => "tanh",
            Activation::Sigmoid => "sigmoid",
            Activation::Gelu => "gelu",
            Activation::Softplus => "softplus",
        }
    }

    /// Whether every derivative exists everywhere.
    pub fn is_smooth(self) -> bool {
        self != Activation::Relu
    }

    /// Applies it to a number of any kind.
    pub fn apply<S: Real>(self, x: S) -> S {
        match self {
            Activation::Relu => x.relu(),
            Activation::Tanh => x.tanh(),
            Activation::Sigmoid => x.sigmoid(),
            Activation::Gelu => x.gelu(),
            Activation::Softplus => x.softplus(),
        }
    }

    pub(crate) fn record(self, x: Var<'_>) -> Var<'_> {
        self.apply(x)
    }
}
