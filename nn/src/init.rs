//! Initial values of parameters.

/// How weights are drawn; biases and normalisation parameters follow from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// PyTorch's default for `Linear` and `Conv2d`: weights and biases U(±1/√fan_in).
    PyTorch,
    /// U(±gain √(6/(fan_in + fan_out))), biases 0 (Glorot & Bengio 2010, eq. 16).
    Xavier {
        /// 1 for linear and sigmoid, 5/3 for tanh, √2 for ReLU.
        gain: f64,
    },
    /// U(±√(6/fan_in)), biases 0 (He et al. 2015, eq. 10): for ReLU.
    Kaiming,
}

impl Init {
    /// The half-width of the uniform distribution of a weight.
    pub(crate) fn weight_bound(self, fan_in: usize, fan_out: usize) -> f64 {
        let (fan_in, fan_out) = (fan_in as f64, fan_out as f64);
        match self {
            Init::PyTorch => fan_in.sqrt().recip(),
            Init::Xavier { gain } => gain * (6.0 / (fan_in + fan_out)).sqrt(),
            Init::Kaiming => (6.0 / fan_in).sqrt(),
        }
    }

    /// The half-width of the uniform distribution of a bias.
    pub(crate) fn bias_bound(self, fan_in: usize) -> f64 {
        match self {
            Init::PyTorch => (fan_in as f64).sqrt().recip(),
            Init::Xavier { .. } | Init::Kaiming => 0.0,
        }
    }
}
