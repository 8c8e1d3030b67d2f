//! The learned inner losses.

use autodiff::{Element, Real, Var};
use nn::layers::{Conv1d, Layer};
use nn::{Activation, Init, Layout};

use super::policy::{Activations, WIDTHS, chain};

/// What a head's activations are called.
const HEADS: [&str; 2] = ["features", "hidden"];

/// What a learned loss sees of a demonstration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sight {
    /// Each frame alone: all filters are one frame long.
    PerFrame,
    /// Filters over time, five frames long.
    Temporal,
}

/// L_ψ = Σ over heads of the mean over time of ‖head(activations)‖²
///
/// A head is two convolutions over time with tanh after each and one over single frames; there is one on the policy's
/// features and one on its last hidden layer (Yu et al. 2018, section on temporal adaptation objectives). This differs
/// from the paper in:
/// 1. tanh in place of ReLU, so that L_ψ has the second derivatives that implicit differentiation asks for;
/// 2. filters of five frames, not ten, for demonstrations of forty;
/// 3. the squared norm is a mean over time, so that its scale does not depend on the number of frames.
#[derive(Clone, Debug)]
pub struct LearnedLoss {
    layout: Layout,
    heads: [Vec<Layer>; 2],
}

impl LearnedLoss {
    /// With filters that see so much.
    pub fn new(sight: Sight) -> Self {
        // Such widths that both have some 14,000 parameters.
        let (kernel, width) = match sight {
            Sight::PerFrame => (1, 52),
            Sight::Temporal => (5, 24),
        };
        let mut layout = Layout::default();
        let mut head = |name: &str, inputs| {
            let mut conv = |i, inputs, kernel| {
                Layer::Conv1d(Conv1d::new(&mut layout, &format!("{name}.conv{i}"), [inputs, width], kernel))
            };
            let tanh = || Layer::Activation(Activation::Tanh);
            vec![conv(1, inputs, kernel), tanh(), conv(2, width, kernel), tanh(), conv(3, width, 1)]
        };
        let heads = [0, 1].map(|i| head(HEADS[i], WIDTHS[i]));
        LearnedLoss { layout, heads }
    }

    /// Where ψ lives.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// ψ₀: PyTorch's default, the head on the hidden layer scaled to a tenth. So the loss first learns from where the
    /// policy looks, and does not upset how it moves.
    pub fn init<T: Element>(&self, uniform: &mut dyn FnMut() -> f64) -> Vec<T> {
        let mut psi: Vec<T> = self.layout.init(Init::PyTorch, uniform);
        for entry in self.layout.entries().iter().filter(|e| e.name().starts_with(HEADS[1])) {
            psi[entry.range()].iter_mut().for_each(|p| *p = *p * T::from_f64(0.1));
        }
        psi
    }

    /// Records L_ψ of the activations on a demonstration's frames, in order.
    ///
    /// # Panics
    /// Where there are fewer frames than the filters span.
    #[track_caller]
    pub fn record<'t>(&self, psi: Var<'t>, activations: &Activations<'t>) -> Var<'t> {
        let mean_norm = |head: &[Layer], x: Var<'t>| {
            let s = x.shape();
            let y = chain(head, &self.layout, psi, x.reshape([1, s[0], s[1]]));
            y.square().sum_all() / y.shape()[1] as f64
        };
        mean_norm(&self.heads[0], activations.features) + mean_norm(&self.heads[1], activations.hidden)
    }
}
