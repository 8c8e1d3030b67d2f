//! Initial parameters: a pure function of the seed, or from a file.

use std::path::Path;

use autodiff::Element;
use meta::problem::{FewShot, Learned};
use nn::{Init, Model};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::config::Config;
use crate::console::note;
use crate::failure::Failure;
use crate::tensors::{Tensors, is_buffer};

/// A source of uniform numbers in [0, 1): ⌊w / 2¹¹⌋ · 2⁻⁵³ of 64-bit words w of ChaCha8 with the key `name` (16 bytes,
/// zero padded) ‖ seed (8, little endian) ‖ 0 (8), so that it shares no stream with any task.
pub fn uniform(name: &str, seed: u64) -> impl FnMut() -> f64 {
    let mut key = [0; 32];
    key[..name.len()].copy_from_slice(name.as_bytes());
    key[16..24].copy_from_slice(&seed.to_le_bytes());
    let mut rng = ChaCha8Rng::from_seed(key);
    move || (rng.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// θ₀: PyTorch's default initialisation.
pub fn parameters<T: Element>(model: &Model, seed: u64) -> Vec<T> {
    model.init(Init::PyTorch, &mut uniform("parameters", seed))
}

/// θ₀ of a run.
///
/// # Errors
/// As [`from_file`].
pub fn of_run(config: &Config, problem: &FewShot) -> Result<Vec<f32>, Failure> {
    let model = problem.model();
    Ok(problem.theta(match &config.init {
        Some(path) => from_file(path, model)?,
        None => parameters(model, config.seed),
    }))
}

/// θ₀ from a `state_dict` saved as safetensors (a run's model.safetensors, or one saved by PyTorch), or from the
/// `param.*` of an episode file. Of a run with `--learn` the parameters are read; what it learned beside them is named on
/// standard error and left, as buffers are.
///
/// # Errors
/// Where the file cannot be read, or its parameters are not those of the model.
pub fn from_file<T: Element>(path: &Path, model: &Model) -> Result<Vec<T>, Failure> {
    let bytes = std::fs::read(path).map_err(|e| Failure::io("read", path, &e))?;
    let file = Tensors::parse(path, &bytes)?;
    let located = |e: String| Failure::new(format_args!("{}: {e}", path.display()));
    let names = file.names();
    let prefix = if names.iter().any(|name| name.starts_with("param.")) { "param." } else { "" };
    // Of an episode file the parameters are read and the tasks are not.
    for name in names.iter().filter_map(|name| name.strip_prefix(prefix)) {
        if is_buffer(name) {
            note(format_args!("{}: ignoring the buffer {name}", path.display()));
        } else if Learned::names(name) {
            note(format_args!("{}: ignoring {name}, which was learned beside the parameters", path.display()));
        } else if !model.layout().entries().iter().any(|e| e.name() == name) {
            return Err(located(format!("{name} is no parameter of {}", model.spec())));
        }
    }
    file.parameters(model.layout(), prefix).map_err(located)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_depend_on_the_seed_and_nothing_else() {
        let model: Model = "mlp:1-8-1".parse().unwrap();
        let parameters = |seed| parameters::<f32>(&model, seed);
        assert_eq!(parameters(3), parameters(3));
        assert_ne!(parameters(3), parameters(4));
        assert!(parameters(3).iter().all(|p| p.abs() <= 1.0));
    }
}
