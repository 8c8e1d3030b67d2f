//! Neural networks recorded on the [`autodiff`] engine: where parameters live, layers, losses, models.
//!
//! Parameters are one flat vector. A [`Layout`] names the views of it, in the order and axes the kernels
//! read (images NHWC, weights HWIO and [in, out], each view padded to 64 bytes); PyTorch's `state_dict`
//! names and axes exist at the file boundary only. A [`Model`] is a list of [`layers::Layer`]s made from a
//! spec string, and records itself on a tape as often as it is needed.
//!
//! ```
//! use autodiff::{grad, Plan, Stage, Tape};
//! use nn::{Init, Model, Statistics};
//!
//! let model: Model = "mlp:1-8-1".parse()?;
//! let parameters: Vec<f64> = model.init(Init::PyTorch, &mut || 0.25);
//!
//! let tape = Tape::new();
//! let phi = tape.input("phi", model.layout().len(), Stage::POINT);
//! let x = tape.input("x", [3, 1], Stage::DATA);
//! let y = tape.input("y", [3, 1], Stage::DATA);
//! let output = model.forward(phi, x, &Statistics::Batch).output;
//! let loss = nn::loss::mse(output, y);
//! let plan: Plan<f64> = Plan::compile(&tape, &[loss, grad(loss, &[phi])[0]]);
//! let values = plan.evaluate(&[&parameters, &[1.0, 2.0, 3.0], &[0.0, 0.0, 0.0]]);
//! assert_eq!(values[1].len(), model.layout().len());
//! # Ok::<(), nn::SpecError>(())
//! ```

mod activation;
mod init;
mod layout;
mod model;
mod spec;
mod statistics;

pub mod layers;
pub mod loss;

pub use activation::Activation;
pub use init::Init;
pub use layout::{Entry, Layout};
pub use model::{Forward, Model, Target};
pub use spec::SpecError;
pub use statistics::{Moments, RunningStatistics, Statistics};
