//! The network that the user names.

use nn::Model;

use crate::failure::Failure;

/// The most parameters: a typing mistake in a spec is answered, not tried.
const MOST_PARAMETERS: usize = 100_000_000;

/// Reads a model spec.
///
/// # Errors
/// Where it names no model, or one beyond all memory.
pub fn parse(spec: &str) -> Result<Model, Failure> {
    let model: Model = spec.parse()?;
    let parameters = model.layout().parameter_count();
    if parameters > MOST_PARAMETERS {
        return Err(
            format!("the model {spec} has {parameters} parameters: at most {MOST_PARAMETERS} are allowed").into()
        );
    }
    Ok(model)
}
