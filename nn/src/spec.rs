//! Model specs: one line that says which network.

use std::fmt;
use std::str::FromStr;

use crate::activation::Activation;
use crate::layers::{BatchNorm2d, Conv2d, Layer, Linear};
use crate::layout::Layout;
use crate::model::Model;

/// Why a spec names no model; one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError(String);

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SpecError {}

fn error<T>(message: impl Into<String>) -> Result<T, SpecError> {
    Err(SpecError(message.into()))
}

impl FromStr for Model {
    type Err = SpecError;

    /// Reads a spec.
    ///
    /// ```text
    /// mlp:1-40-40-1                                       fc1, fc2, fc3 with ReLU between; mean squared error
    /// conv4:channels=64,stride=2,ways=5,image=1x28x28     conv{1..4} 3×3 pad 1 → bn{1..4} → ReLU; flatten → fc;
    ///                                                     softmax cross-entropy
    /// conv4:channels=32,pool,ways=5,image=3x84x84         stride 1 and a 2×2 max-pool after each ReLU
    /// …,act=softplus|tanh|gelu|sigmoid|relu               another activation in place of ReLU
    /// ```
    ///
    /// # Errors
    /// What is wrong with the spec and what it may be, in one line.
    fn from_str(spec: &str) -> Result<Model, SpecError> {
        match spec.split_once(':') {
            Some(("mlp", rest)) => mlp(spec, rest),
            Some(("conv4", rest)) => conv4(spec, rest),
            _ => error(format!(
                "unknown model {spec:?}: expected mlp:1-40-40-1 or conv4:channels=64,stride=2,ways=5,image=1x28x28"
            )),
        }
    }
}

fn activation(name: &str) -> Result<Activation, SpecError> {
    match Activation::ALL.into_iter().find(|a| a.name() == name) {
        Some(activation) => Ok(activation),
        None => {
            let names = Activation::ALL.map(Activation::name).join(", ");
            error(format!("unknown activation {name:?}: expected one of {names}"))
        }
    }
}

/// The largest extent, and the most numbers of a weight or of what a layer gives for one example.
const MOST: usize = 1 << 20;
const MOST_NUMBERS: usize = 1 << 40;

fn number(what: &str, text: &str) -> Result<usize, SpecError> {
    match text.parse() {
        Ok(n) if (1..=MOST).contains(&n) => Ok(n),
        _ => error(format!("{what} is {text:?}: expected a whole number from 1 to {MOST}")),
    }
}

/// The options of a spec, each of which is there once.
fn distinct<'s>(spec: &str, options: impl Iterator<Item = &'s str>) -> Result<Vec<&'s str>, SpecError> {
    let options: Vec<&str> = options.collect();
    let key = |option: &'s str| option.split('=').next();
    for (i, option) in options.iter().enumerate() {
        if options[..i].iter().any(|before| key(before) == key(option)) {
            return error(format!("{spec:?} has two options {}", key(option).unwrap_or_default()));
        }
    }
    Ok(options)
}

fn mlp(spec: &str, rest: &str) -> Result<Model, SpecError> {
    let mut parts = rest.split(',');
    let widths: Vec<usize> =
        parts.next().unwrap_or_default().split('-').map(|w| number("a layer width", w)).collect::<Result<_, _>>()?;
    if widths.len() < 2 {
        return error(format!("{spec:?} has no layer: expected at least two widths, such as mlp:1-40-40-1"));
    }
    let mut act = Activation::default();
    for part in distinct(spec, parts)? {
        match part.split_once('=') {
            Some(("act", name)) => act = activation(name)?,
            _ => return error(format!("unknown option {part:?} of an mlp: expected act=…")),
        }
    }
    let mut layout = Layout::default();
    let mut layers = Vec::new();
    for (i, pair) in widths.windows(2).enumerate() {
        if i > 0 {
            layers.push(Layer::Activation(act));
        }
        layers.push(Layer::Linear(Linear::new(&mut layout, &format!("fc{}", i + 1), pair[0], pair[1])));
    }
    Ok(Model {
        spec: spec.into(),
        layout,
        layers,
        input: vec![widths[0]],
        outputs: widths[widths.len() - 1],
        classifies: false,
        smooth: act.is_smooth() || widths.len() == 2,
    })
}

fn conv4(spec: &str, rest: &str) -> Result<Model, SpecError> {
    let (mut channels, mut ways, mut stride, mut pool, mut image) = (None, None, None, false, None);
    let mut act = Activation::default();
    for part in distinct(spec, rest.split(','))? {
        match part.split_once('=') {
            Some(("channels", n)) => channels = Some(number("channels", n)?),
            Some(("ways", n)) => ways = Some(number("ways", n)?),
            Some(("stride", n)) => stride = Some(number("stride", n)?),
            Some(("image", text)) => image = Some(image_shape(text)?),
            Some(("act", name)) => act = activation(name)?,
            None if part == "pool" => pool = true,
            _ => {
                return error(format!(
                    "unknown option {part:?} of a conv4: expected channels=, stride= or pool, ways=, image=CxHxW, act="
                ));
            }
        }
    }
    let Some(channels) = channels else { return error("a conv4 needs channels=…, such as channels=64") };
    let Some(ways) = ways else { return error("a conv4 needs ways=…, the number of classes") };
    let Some([c, h, w]) = image else { return error("a conv4 needs image=CxHxW, such as image=1x28x28") };
    let stride = match (stride, pool) {
        (Some(s), false) => s,
        (None | Some(1), true) => 1,
        (Some(_), true) => return error("a conv4 has stride=… or pool, not both"),
        (None, false) => return error("a conv4 needs stride=… or pool"),
    };
    let of = |extents: &[usize]| extents.iter().try_fold(1_usize, |numbers, &n| numbers.checked_mul(n));
    if [&[c, h, w][..], &[channels, h, w, ways]].map(of).iter().any(|n| n.is_none_or(|n| n > MOST_NUMBERS)) {
        return error(format!("{spec:?} is too large: expected layers and images of at most {MOST_NUMBERS} numbers"));
    }
    let mut layout = Layout::default();
    let mut layers = Vec::new();
    let (mut inputs, mut height, mut width) = (c, h, w);
    for i in 1..=4 {
        let conv = Conv2d::new(&mut layout, &format!("conv{i}"), [inputs, channels], 3, stride, 1);
        layers.push(Layer::Conv2d(conv));
        layers.push(Layer::BatchNorm2d(BatchNorm2d::new(&mut layout, &format!("bn{i}"), channels)));
        layers.push(Layer::Activation(act));
        (height, width) = ((height - 1) / stride + 1, (width - 1) / stride + 1);
        if pool {
            if height < 2 || width < 2 {
                return error(format!("image {c}x{h}x{w} is too small for four 2×2 pools: expected at least 16x16"));
            }
            layers.push(Layer::MaxPool(2));
            (height, width) = (height / 2, width / 2);
        }
        inputs = channels;
    }
    layers.push(Layer::Flatten);
    layers.push(Layer::Linear(Linear::behind_flatten(&mut layout, "fc", [channels, height, width], ways)));
    Ok(Model {
        spec: spec.into(),
        layout,
        layers,
        input: vec![h, w, c],
        outputs: ways,
        classifies: true,
        smooth: act.is_smooth() && !pool,
    })
}

fn image_shape(text: &str) -> Result<[usize; 3], SpecError> {
    let parts: Vec<usize> = text.split('x').map(|n| number("an image extent", n)).collect::<Result<_, _>>()?;
    match parts[..] {
        [c, h, w] => Ok([c, h, w]),
        _ => error(format!("image is {text:?}: expected CxHxW, such as 1x28x28")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_have_the_names_and_shapes_of_a_state_dict() {
        let model: Model = "conv4:channels=8,stride=2,ways=3,image=1x28x28".parse().unwrap();
        let names: Vec<(String, Vec<usize>)> =
            model.layout().entries().iter().map(|e| (e.name().into(), e.file_shape().into())).collect();
        assert_eq!(names[0], ("conv1.weight".into(), vec![8, 1, 3, 3]));
        assert_eq!(names[2], ("bn1.weight".into(), vec![8]));
        assert_eq!(names[16], ("fc.weight".into(), vec![3, 32]));
        let mlp: Model = "mlp:1-40-40-1,act=tanh".parse().unwrap();
        assert_eq!(mlp.layout().entries()[2].file_shape(), [40, 40]);
        assert!(mlp.is_smooth() && !model.is_smooth());
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        for bad in [
            "resnet",
            "mlp:",
            "mlp:4",
            "mlp:1-x-1",
            "mlp:1-0-1",
            "mlp:1-2,depth=3",
            "mlp:1-2,act=relu,act=tanh",
            "mlp:1-2000000-1",
            "conv4:channels=8",
            "conv4:channels=8,ways=3,image=1x28x28,pool,channels=8",
            "conv4:channels=16,stride=1,ways=1048576,image=1x1048576x1048576",
            "conv4:channels=8,ways=3,image=28x28,pool",
            "conv4:channels=8,ways=3,image=1x8x8,pool",
            "conv4:channels=8,ways=3,image=1x28x28,pool,stride=2",
            "conv4:channels=8,ways=3,image=1x28x28,stride=2,act=swish",
        ] {
            let message = bad.parse::<Model>().unwrap_err().to_string();
            assert!(!message.is_empty() && !message.contains('\n'), "{bad}: {message}");
        }
    }
}
