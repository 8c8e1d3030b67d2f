//! The policy: from keypoints to joint velocities.

use autodiff::{Real, Var};
use nn::layers::{Layer, Linear, record_all};
use nn::{Activation, Layout, Statistics};

use super::arm::JOINTS;
use super::domain::COLOURS;
use super::world::{ARM, LANDMARKS};

/// Features of a colour.
const SHADES: usize = 16;
/// Points that are attended to.
const POINTS: usize = 2;
/// Width of the hidden layers.
const HIDDEN: usize = 48;
/// β: what logits are multiplied by, so that small steps in the weights move the attention.
const SHARPNESS: f64 = 4.0;

/// A network that attends to landmarks by their colour, then moves the arm.
///
/// ```text
/// p = softmax over landmarks of β (tanh(c U + u) V + v)        feature points a₁, a₂: the rows of pᵀ x
/// features = [a₁ − hand, a₂ − hand, elbow − shoulder, hand − shoulder]
/// h₁ = tanh(features W₁ + b₁)        h₂ = tanh(h₁ W₂ + b₂)        q̇ = h₂ W₃ + b₃
/// ```
///
/// Colours c [4, 3], places x [4, 2], arm [n, 6], β = 4. Attention does for keypoints what convolutions and a spatial
/// soft-argmax do for the pixels of Yu et al.; features are relative, so where a camera stands does not matter to them.
#[derive(Clone, Debug)]
pub struct Policy {
    layout: Layout,
    attention: Vec<Layer>,
    body: Vec<Layer>,
    output: Vec<Layer>,
}

/// What a policy makes of n frames of one scene.
#[derive(Clone, Copy, Debug)]
pub struct Activations<'t> {
    /// The first feature point: where the hand is to end, `[2]`.
    pub goal: Var<'t>,
    /// Feature points and joints, relative, [n, 8].
    pub features: Var<'t>,
    /// The last hidden layer, [n, 48].
    pub hidden: Var<'t>,
    /// Joint velocities, [n, 2].
    pub action: Var<'t>,
}

/// Numbers in a frame's [`Activations::features`] and [`Activations::hidden`].
pub const WIDTHS: [usize; 2] = [2 * (POINTS + JOINTS), HIDDEN];

/// Layers of a chain, recorded.
pub(super) fn chain<'t>(layers: &[Layer], layout: &Layout, parameters: Var<'t>, x: Var<'t>) -> Var<'t> {
    record_all(layers, layout, parameters, x, &Statistics::Batch, &mut Vec::new())
}

impl Policy {
    /// The network.
    pub fn new() -> Self {
        let mut layout = Layout::default();
        let tanh = || Layer::Activation(Activation::Tanh);
        let mut linear = |name, inputs, outputs| Layer::Linear(Linear::new(&mut layout, name, inputs, outputs));
        let attention = vec![linear("shade", COLOURS, SHADES), tanh(), linear("attend", SHADES, POINTS)];
        let body = vec![linear("fc1", WIDTHS[0], HIDDEN), tanh(), linear("fc2", HIDDEN, HIDDEN), tanh()];
        let output = vec![linear("fc3", HIDDEN, JOINTS)];
        Policy { layout, attention, body, output }
    }

    /// Where its parameters live.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Records it on frames of one scene.
    ///
    /// # Panics
    /// Where the shapes are not arm [n, 6], places [4, 2] and colours [4, 3].
    #[track_caller]
    pub fn record<'t>(&self, phi: Var<'t>, arm: Var<'t>, places: Var<'t>, colours: Var<'t>) -> Activations<'t> {
        let run = |layers: &[Layer], x| chain(layers, &self.layout, phi, x);
        let frames = arm.shape()[0];
        assert!(
            arm.shape().dims() == [frames, ARM]
                && places.shape().dims() == [LANDMARKS, 2]
                && colours.shape().dims() == [LANDMARKS, COLOURS],
            "policy: arm {}, places {} and colours {} do not fit",
            arm.shape(),
            places.shape(),
            colours.shape()
        );
        let logits = SHARPNESS * run(&self.attention, colours);
        let weights = (logits - logits.logsumexp(&[0])).exp();
        let points = weights.t().matmul(places);
        let joint = |i: usize| arm.slice(&[0, 2 * i], &[frames, 2 * i + 2]);
        let (shoulder, elbow, hand) = (joint(0), joint(1), joint(2));
        let point = |i: usize| points.slice(&[i, 0], &[i + 1, 2]);
        let mut features: Vec<_> = (0..POINTS).map(|i| point(i) - hand).collect();
        features.extend([elbow - shoulder, hand - shoulder]);
        let features = Var::concat(&features, 1);
        let hidden = run(&self.body, features);
        let goal = point(0).reshape([2]);
        Activations { goal, features, hidden, action: run(&self.output, hidden) }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new()
    }
}
