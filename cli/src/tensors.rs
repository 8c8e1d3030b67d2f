//! Named arrays of a safetensors file, checked as they are taken.

use std::path::Path;

use autodiff::Element;
use nn::{Entry, Layout};
use safetensors::SafeTensors;

use crate::failure::Failure;

/// What a file holds, without a copy of it.
pub struct Tensors<'b> {
    tensors: SafeTensors<'b>,
}

impl<'b> Tensors<'b> {
    /// Reads the header and checks that it describes the bytes.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn parse(path: &Path, bytes: &'b [u8]) -> Result<Self, Failure> {
        let incomplete = |e| {
            let path = path.display();
            Failure::new(format_args!("{path} is damaged, or no safetensors file ({e}): write it again"))
        };
        Ok(Tensors { tensors: SafeTensors::deserialize(bytes).map_err(incomplete)? })
    }

    /// All names.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.tensors.names().into_iter().map(|n| n.to_owned()).collect();
        names.sort();
        names
    }

    /// Whether any tensor has 64-bit reals.
    pub fn is_double(&self) -> bool {
        self.tensors.iter().any(|(_, t)| t.dtype() == safetensors::Dtype::F64)
    }

    /// The shape of a tensor.
    ///
    /// # Errors
    /// Where there is none of that name.
    pub fn shape(&self, name: &str) -> Result<Vec<usize>, String> {
        match self.tensors.tensor(name) {
            Ok(tensor) => Ok(tensor.shape().to_vec()),
            Err(_) => Err(format!("the tensor {name} is missing")),
        }
    }

    /// The flat vector of parameters stored as `<prefix><parameter name>`.
    ///
    /// # Errors
    /// Where a parameter is missing, has another shape or type, or is not finite.
    pub fn parameters<T: Element>(&self, layout: &Layout, prefix: &str) -> Result<Vec<T>, String> {
        // Shapes first: a model far larger than the file is no reason to take its memory.
        let name = |entry: &Entry| format!("{prefix}{}", entry.name());
        for entry in layout.entries() {
            expect_shape(&name(entry), &self.shape(&name(entry))?, entry.file_shape())?;
        }
        let mut flat = vec![T::zero(); layout.len()];
        for entry in layout.entries() {
            layout.from_file(entry, &self.floats::<T>(&name(entry))?, &mut flat);
        }
        Ok(flat)
    }

    /// Real numbers, f32 or f64, all finite.
    ///
    /// # Errors
    /// Where the tensor is missing, of another type, or holds a NaN or an infinity.
    pub fn floats<T: Element>(&self, name: &str) -> Result<Vec<T>, String> {
        let tensor = self.tensors.tensor(name).map_err(|_| format!("the tensor {name} is missing"))?;
        let data = tensor.data();
        let values: Vec<f64> = match tensor.dtype() {
            safetensors::Dtype::F32 => {
                data.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().expect("4 bytes")))).collect()
            }
            safetensors::Dtype::F64 => {
                data.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().expect("8 bytes"))).collect()
            }
            other => return Err(format!("the tensor {name} holds {other:?}: expected F32 or F64")),
        };
        if let Some(i) = values.iter().position(|v| !T::from_f64(*v).to_f64().is_finite()) {
            return Err(format!("the tensor {name} holds {} at position {i}: expected finite numbers", values[i]));
        }
        Ok(values.into_iter().map(T::from_f64).collect())
    }

    /// Labels, i64 (or i32), each in 0..`ways`.
    ///
    /// # Errors
    /// Where the tensor is missing, of another type, or holds another number.
    pub fn labels(&self, name: &str, ways: usize) -> Result<Vec<u32>, String> {
        let tensor = self.tensors.tensor(name).map_err(|_| format!("the tensor {name} is missing"))?;
        let data = tensor.data();
        let values: Vec<i64> = match tensor.dtype() {
            safetensors::Dtype::I64 => {
                data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().expect("8 bytes"))).collect()
            }
            safetensors::Dtype::I32 => {
                data.chunks_exact(4).map(|b| i64::from(i32::from_le_bytes(b.try_into().expect("4 bytes")))).collect()
            }
            other => return Err(format!("the tensor {name} holds {other:?}: expected labels as I64")),
        };
        let label = |&v: &i64| match u32::try_from(v) {
            Ok(label) if (label as usize) < ways => Ok(label),
            _ => Err(format!("the tensor {name} holds the label {v}: the model has {ways} classes, 0 to {}", ways - 1)),
        };
        values.iter().map(label).collect()
    }
}

/// Refuses another shape than the expected one.
///
/// # Errors
/// Naming the tensor and both shapes.
pub fn expect_shape(name: &str, shape: &[usize], expected: &[usize]) -> Result<(), String> {
    if shape == expected {
        return Ok(());
    }
    Err(format!("the tensor {name} has shape {shape:?}: expected {expected:?}"))
}

/// Whether a name of a `state_dict` is that of a buffer, which carries no derivative.
pub fn is_buffer(name: &str) -> bool {
    ["running_mean", "running_var", "num_batches_tracked"].iter().any(|b| name.rsplit('.').next() == Some(b))
}
