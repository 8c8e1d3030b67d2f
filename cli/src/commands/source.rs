//! What a command on an episode file starts from: the file, the model it is for, and the precision.

use std::path::PathBuf;

use autodiff::{Element, Isa};
use clap::{Args, ValueEnum};
use nn::Model;

use crate::episode::{self, EpisodeFile, Needs};
use crate::failure::Failure;
use crate::model;
use crate::tensors::Tensors;

/// An episode file and how to read it.
#[derive(Args, Clone, Debug)]
pub struct Source {
    /// The episode file (safetensors).
    pub file: PathBuf,
    /// The model, such as mlp:1-40-40-1 or conv4:channels=64,stride=2,ways=5,image=1x28x28.
    #[arg(long, value_name = "SPEC")]
    model: String,
    /// Precision to compute in [default: the file's].
    #[arg(long)]
    dtype: Option<Precision>,
    /// Threads [default: all cores]; results do not depend on it.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// A precision by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Precision {
    /// 32 bits.
    F32,
    /// 64 bits.
    F64,
}

/// The bytes of an episode file, and what to read them as.
pub struct Opened {
    path: PathBuf,
    bytes: Vec<u8>,
    /// The model.
    pub model: Model,
    /// What to compute in.
    pub precision: Precision,
    /// The instruction set that will be used.
    pub isa: Isa,
}

impl Source {
    /// Reads the file's bytes.
    ///
    /// # Errors
    /// Where the model is none, or the file cannot be read or is no safetensors file.
    pub fn open(&self) -> Result<Opened, Failure> {
        let model = model::parse(&self.model).map_err(|e| Failure::new(format_args!("--model: {e}")))?;
        let isa = Isa::detect()?;
        let path = self.file.clone();
        let bytes = std::fs::read(&path).map_err(|e| Failure::io("read", &path, &e))?;
        let own = if Tensors::parse(&path, &bytes)?.is_double() { Precision::F64 } else { Precision::F32 };
        Ok(Opened { path, bytes, model, precision: self.dtype.unwrap_or(own), isa })
    }
}

impl Opened {
    /// The contents, checked.
    ///
    /// # Errors
    /// One line that names the tensor and says what was expected.
    pub fn read<T: Element>(&self, needs: Needs) -> Result<EpisodeFile<T>, Failure> {
        let tensors = Tensors::parse(&self.path, &self.bytes)?;
        Ok(episode::read(&self.path, &tensors, &self.model, needs)?)
    }
}
