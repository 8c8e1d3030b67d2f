//! Layers: each adds its parameters to a [`Layout`] when made, and records itself on a tape.

use autodiff::{Real, Var};

use crate::activation::Activation;
use crate::layout::{Fill, Layout};
use crate::statistics::{Moments, Statistics};

/// What normalisation layers add to a variance before they divide by its root.
const EPSILON: f64 = 1e-5;

/// y = x W + b, x [n, in], W [in, out]
#[derive(Clone, Debug)]
pub struct Linear {
    weight: usize,
    bias: usize,
}

impl Linear {
    /// Parameters `{name}.weight` [out, in] and `{name}.bias` `[out]`.
    pub fn new(layout: &mut Layout, name: &str, inputs: usize, outputs: usize) -> Self {
        Self::behind_flatten(layout, name, [inputs, 1, 1], outputs)
    }

    /// The same behind a flatten of [h, w, c] images, whose columns files order as (c, h, w).
    pub fn behind_flatten(layout: &mut Layout, name: &str, [c, h, w]: [usize; 3], outputs: usize) -> Self {
        let inputs = c * h * w;
        let fill = Fill::Weight { fan_in: inputs, fan_out: outputs };
        let axes = [outputs, c, h, w];
        let weight = layout.add(format!("{name}.weight"), &[outputs, inputs], &axes, &[2, 3, 1, 0], fill);
        let bias = layout.add_vector(format!("{name}.bias"), outputs, Fill::Bias { fan_in: inputs });
        Linear { weight, bias }
    }

    fn record<'t>(&self, layout: &Layout, parameters: Var<'t>, x: Var<'t>) -> Var<'t> {
        let weight = layout.view(parameters, self.weight);
        let s = weight.shape();
        let weight = weight.reshape([s[0] * s[1] * s[2], s[3]]);
        x.matmul(weight) + layout.view(parameters, self.bias)
    }
}

/// y = conv(x, w) + b, x [n, h, w, in]
#[derive(Clone, Debug)]
pub struct Conv2d {
    weight: usize,
    bias: usize,
    stride: [usize; 2],
    pad: [usize; 2],
}

impl Conv2d {
    /// Parameters `{name}.weight` [out, in, k, k] and `{name}.bias` `[out]`.
    pub fn new(
        layout: &mut Layout,
        name: &str,
        [inputs, outputs]: [usize; 2],
        kernel: usize,
        stride: usize,
        pad: usize,
    ) -> Self {
        let (fan_in, fan_out) = (inputs * kernel * kernel, outputs * kernel * kernel);
        let shape = [outputs, inputs, kernel, kernel];
        let fill = Fill::Weight { fan_in, fan_out };
        let weight = layout.add(format!("{name}.weight"), &shape, &shape, &[2, 3, 1, 0], fill);
        let bias = layout.add_vector(format!("{name}.bias"), outputs, Fill::Bias { fan_in });
        Conv2d { weight, bias, stride: [stride; 2], pad: [pad; 2] }
    }

    fn record<'t>(&self, layout: &Layout, parameters: Var<'t>, x: Var<'t>) -> Var<'t> {
        let y = x.conv2d(layout.view(parameters, self.weight), self.stride, self.pad);
        y + layout.view(parameters, self.bias)
    }
}

/// A convolution over time, `y[n, t, o] = Σ_{k, c} x[n, t + k, c] w[k, c, o] + b[o]`: x [n, t, in], y [n, t − k + 1, out]
#[derive(Clone, Debug)]
pub struct Conv1d {
    weight: usize,
    bias: usize,
}

impl Conv1d {
    /// Parameters `{name}.weight` [out, in, k] and `{name}.bias` `[out]`; no padding, stride 1.
    pub fn new(layout: &mut Layout, name: &str, [inputs, outputs]: [usize; 2], kernel: usize) -> Self {
        let (fan_in, fan_out) = (inputs * kernel, outputs * kernel);
        let shape = [outputs, inputs, kernel];
        let fill = Fill::Weight { fan_in, fan_out };
        let weight = layout.add(format!("{name}.weight"), &shape, &shape, &[2, 1, 0], fill);
        let bias = layout.add_vector(format!("{name}.bias"), outputs, Fill::Bias { fan_in });
        Conv1d { weight, bias }
    }

    #[track_caller]
    fn record<'t>(&self, layout: &Layout, parameters: Var<'t>, x: Var<'t>) -> Var<'t> {
        let (weight, s) = (layout.view(parameters, self.weight), x.shape());
        let w = weight.shape();
        assert!(s.rank() == 3 && s[2] == w[1] && w[0] <= s[1], "conv1d: series {s} and weight {w} do not fit");
        let image = x.reshape([s[0], s[1], 1, s[2]]);
        let y = image.conv2d(weight.reshape([w[0], 1, w[1], w[2]]), [1, 1], [0, 0]);
        y.reshape([s[0], s[1] - w[0] + 1, w[2]]) + layout.view(parameters, self.bias)
    }
}

/// y = γ (x − μ)/√(σ² + ε) + β over batch and space, per channel; x [n, h, w, c] (Ioffe & Szegedy 2015)
#[derive(Clone, Debug)]
pub struct BatchNorm2d {
    weight: usize,
    bias: usize,
}

impl BatchNorm2d {
    /// Parameters `{name}.weight` γ and `{name}.bias` β, both `[c]`.
    pub fn new(layout: &mut Layout, name: &str, channels: usize) -> Self {
        let weight = layout.add_vector(format!("{name}.weight"), channels, Fill::Constant(1.0));
        let bias = layout.add_vector(format!("{name}.bias"), channels, Fill::Constant(0.0));
        BatchNorm2d { weight, bias }
    }

    /// The moments of `x` itself.
    pub fn moments(x: Var<'_>) -> Moments<'_> {
        let mean = x.mean(&[0, 1, 2]);
        Moments { mean, variance: (x - mean).square().mean(&[0, 1, 2]) }
    }

    fn record<'t>(&self, layout: &Layout, parameters: Var<'t>, x: Var<'t>, m: Moments<'t>) -> Var<'t> {
        let (gamma, beta) = (layout.view(parameters, self.weight), layout.view(parameters, self.bias));
        // One factor a channel: derivatives of any order are then made of as few sums and passes as can be.
        let scale = (m.variance + EPSILON).sqrt().recip() * gamma;
        (x - m.mean) * scale + beta
    }
}

/// y = γ (x − μ)/√(σ² + ε) + β over the last axis, per row; x [n, d] (Ba et al. 2016)
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: usize,
    bias: usize,
}

impl LayerNorm {
    /// Parameters `{name}.weight` γ and `{name}.bias` β, both `[d]`.
    pub fn new(layout: &mut Layout, name: &str, width: usize) -> Self {
        let weight = layout.add_vector(format!("{name}.weight"), width, Fill::Constant(1.0));
        let bias = layout.add_vector(format!("{name}.bias"), width, Fill::Constant(0.0));
        LayerNorm { weight, bias }
    }

    fn record<'t>(&self, layout: &Layout, parameters: Var<'t>, x: Var<'t>) -> Var<'t> {
        let rows = x.shape()[0];
        let centred = x - x.mean(&[1]).reshape([rows, 1]);
        let variance = centred.square().mean(&[1]).reshape([rows, 1]);
        let (gamma, beta) = (layout.view(parameters, self.weight), layout.view(parameters, self.bias));
        centred * (variance + EPSILON).sqrt().recip() * gamma + beta
    }
}

/// Records layers one after another; see [`Layer::record`].
///
/// # Panics
/// Where the shapes do not fit.
#[track_caller]
pub fn record_all<'t>(
    layers: &[Layer],
    layout: &Layout,
    parameters: Var<'t>,
    x: Var<'t>,
    statistics: &Statistics<'_, 't>,
    moments: &mut Vec<Moments<'t>>,
) -> Var<'t> {
    layers.iter().fold(x, |y, layer| layer.record(layout, parameters, y, statistics, moments))
}

/// One layer of a [`Model`](crate::Model).
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Layer {
    Linear(Linear),
    Conv2d(Conv2d),
    Conv1d(Conv1d),
    BatchNorm2d(BatchNorm2d),
    LayerNorm(LayerNorm),
    Activation(Activation),
    /// Windows of this size side by side.
    MaxPool(usize),
    /// Windows of this size side by side.
    AvgPool(usize),
    /// [n, h, w, c] → [n, h·w·c]
    Flatten,
}

impl Layer {
    /// Records the layer. Batch normalisation takes its moments from `statistics` and adds those it used to
    /// `moments`.
    ///
    /// # Panics
    /// Where the shapes do not fit, or fewer moments are given than there are normalisation layers.
    #[track_caller]
    pub fn record<'t>(
        &self,
        layout: &Layout,
        parameters: Var<'t>,
        x: Var<'t>,
        statistics: &Statistics<'_, 't>,
        moments: &mut Vec<Moments<'t>>,
    ) -> Var<'t> {
        match self {
            Layer::Linear(layer) => layer.record(layout, parameters, x),
            Layer::Conv2d(layer) => layer.record(layout, parameters, x),
            Layer::Conv1d(layer) => layer.record(layout, parameters, x),
            Layer::BatchNorm2d(layer) => {
                let used = match statistics {
                    Statistics::Batch => BatchNorm2d::moments(x),
                    Statistics::Given(given) => match given.get(moments.len()) {
                        Some(&given) => given,
                        None => panic!("batch normalisation layer {} has no given moments", moments.len() + 1),
                    },
                };
                moments.push(used);
                layer.record(layout, parameters, x, used)
            }
            Layer::LayerNorm(layer) => layer.record(layout, parameters, x),
            Layer::Activation(activation) => activation.record(x),
            Layer::MaxPool(window) => x.max_pool([*window; 2], [*window; 2]),
            Layer::AvgPool(window) => x.avg_pool([*window; 2]),
            Layer::Flatten => {
                let s = x.shape();
                x.reshape([s[0], s.dims()[1..].iter().product::<usize>()])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use autodiff::{Options, Plan, Stage, Tape, grad, hvp};

    use super::*;

    #[test]
    fn a_convolution_over_time_is_the_sum_of_its_definition() {
        let (frames, inputs, outputs, kernel) = (7, 3, 2, 4);
        let mut layout = Layout::default();
        let layer = Layer::Conv1d(Conv1d::new(&mut layout, "conv", [inputs, outputs], kernel));
        let names: Vec<_> = layout.entries().iter().map(|e| (e.name(), e.file_shape())).collect();
        assert_eq!(names, [("conv.weight", &[2, 3, 4][..]), ("conv.bias", &[2][..])]);
        // Small whole numbers: every sum is exact.
        let number = |i: usize| (i * 7 % 11) as f64 - 5.0;
        let x: Vec<f64> = (0..frames * inputs).map(number).collect();
        let (w, b): (Vec<f64>, Vec<f64>) = ((3..27).map(number).collect(), vec![2.0, -3.0]);
        let mut parameters = vec![0.0; layout.len()];
        for (entry, values) in layout.entries().iter().zip([&w, &b]) {
            layout.from_file(entry, values, &mut parameters);
        }
        let tape = Tape::new();
        let (p, series) =
            (tape.input("p", layout.len(), Stage::POINT), tape.input("x", [1, frames, inputs], Stage::DATA));
        let y = layer.record(&layout, p, series, &Statistics::Batch, &mut Vec::new());
        let y = Plan::<f64>::compile(&tape, &[y]).evaluate(&[&parameters, &x]).remove(0);
        let expected = |i: usize| {
            let (t, o) = (i / outputs, i % outputs);
            let term = |j: usize| x[(t + j % kernel) * inputs + j / kernel] * w[o * inputs * kernel + j];
            b[o] + (0..inputs * kernel).map(term).sum::<f64>()
        };
        assert_eq!(y, (0..(frames - kernel + 1) * outputs).map(expected).collect::<Vec<_>>());
    }

    /// Layer normalisation by rows, behind a pooling that leaves out what fills no window.
    #[test]
    fn pooled_rows_are_normalised_by_their_own_moments() {
        let (mut layout, tape) = (Layout::default(), Tape::new());
        let layers = [Layer::AvgPool(2), Layer::Flatten, Layer::LayerNorm(LayerNorm::new(&mut layout, "norm", 4))];
        let number = |i: usize| (i * 7 % 11) as f64 - 5.0;
        // [2, 5, 4, 1]: windows of 2 × 2, of which the fifth row fills none.
        let x: Vec<f64> = (0..40).map(number).collect();
        let (gamma, beta) = ([1.0, 2.0, -1.0, 0.5], [0.0, 1.0, 2.0, -3.0]);
        let mut parameters = vec![0.0; layout.len()];
        for (entry, values) in layout.entries().iter().zip([&gamma, &beta]) {
            layout.from_file(entry, values, &mut parameters);
        }
        let (p, images) = (tape.input("p", layout.len(), Stage::POINT), tape.input("x", [2, 5, 4, 1], Stage::DATA));
        let y = record_all(&layers, &layout, p, images, &Statistics::Batch, &mut Vec::new());
        let y = Plan::<f64>::compile(&tape, &[y]).evaluate(&[&parameters, &x]).remove(0);
        for (image, row) in x.chunks(20).zip(y.chunks(4)) {
            let at = |i: usize, j: usize| image[i * 4 + j];
            let corner = |k: usize| (k / 2 * 2, k % 2 * 2);
            let pooled: [f64; 4] = std::array::from_fn(|k| {
                let (i, j) = corner(k);
                (at(i, j) + at(i, j + 1) + at(i + 1, j) + at(i + 1, j + 1)) / 4.0
            });
            let mean = pooled.iter().sum::<f64>() / 4.0;
            let variance = pooled.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / 4.0;
            for k in 0..4 {
                let expected = gamma[k] * (pooled[k] - mean) / (variance + EPSILON).sqrt() + beta[k];
                // A handful of roundings of numbers near 1.
                assert!((row[k] - expected).abs() < 1e-14, "{k}: {} for {expected}", row[k]);
            }
        }
    }

    /// Derivatives of any order take two sums over the batch and no more passes than that needs.
    #[test]
    fn a_normalised_batch_is_summed_twice_in_every_derivative() {
        const SHAPE: [usize; 4] = [5, 4, 4, 64];
        let (mut layout, tape) = (Layout::default(), Tape::new());
        let layer = Layer::BatchNorm2d(BatchNorm2d::new(&mut layout, "bn", SHAPE[3]));
        let x = tape.input("x", SHAPE, Stage::POINT);
        let p = tape.input("p", layout.len(), Stage::POINT);
        let along =
            [(x, tape.input("dx", SHAPE, Stage::DIRECTION)), (p, tape.input("dp", layout.len(), Stage::DIRECTION))];
        let y = layer.record(&layout, p, x, &Statistics::Batch, &mut Vec::new());
        let cost = (y.relu().square() * tape.input("ct", SHAPE, Stage::POINT)).sum_all();
        let (first, second) = (grad(cost, &[x, p]), hvp(cost, &[x, p], &along));
        let sums = |outputs: &[_], of: Stage| {
            let plan: Plan<f32> = Plan::compile(&tape, outputs);
            let text = plan.to_string();
            let (_, from) = text.split_once(&format!("{of} stage:")).expect("every stage is shown");
            let until = from.find(" stage:").unwrap_or(from.len());
            from[..until].matches("= sum ").count()
        };
        // Forward the mean and the variance, and backward two; of tangents as many.
        assert_eq!((sums(&first, Stage::POINT), sums(&second, Stage::DIRECTION)), (4, 4));
        let inputs: Vec<Vec<f32>> = [5120, layout.len(), 5120, layout.len(), 5120]
            .iter()
            .map(|&n| (0..n).map(|i| (i * 7919 % 1009) as f32 / 500.0 - 1.0).collect())
            .collect();
        let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let outputs: Vec<_> = first.into_iter().chain(second).collect();
        let apart = Options { fuse: false, ..Options::default() };
        let stages: Vec<_> = outputs.iter().map(|&y| (Stage::DIRECTION, y)).collect();
        let unfused: Plan<f32> = Plan::staged(&tape, &stages, apart);
        assert_eq!(Plan::compile(&tape, &outputs).evaluate(&inputs), unfused.evaluate(&inputs));
    }
}
