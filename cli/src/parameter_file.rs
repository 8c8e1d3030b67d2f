//! Parameters in a safetensors file, under PyTorch's names and in its layouts.

use std::collections::HashMap;
use std::path::Path;

use nn::Layout;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::failure::Failure;
use crate::tensors::Tensors;

/// The bytes of a file that holds flat vectors as `<prefix><parameter name>`, and one metadata entry.
///
/// One entry only: the format keeps metadata in a map without order, and equal contents shall be equal bytes.
///
/// # Panics
/// Where a vector has another length than the layout.
pub fn to_bytes(layout: &Layout, vectors: &[(&str, &[f32])], (key, value): (&str, &str)) -> Vec<u8> {
    let mut arrays = Vec::new();
    for (prefix, vector) in vectors {
        for entry in layout.entries() {
            let bytes: Vec<u8> = layout.to_file(entry, vector).into_iter().flat_map(f32::to_le_bytes).collect();
            arrays.push((format!("{prefix}{}", entry.name()), entry.file_shape().to_vec(), bytes));
        }
    }
    let view = |shape: &[usize], bytes| TensorView::new(Dtype::F32, shape.to_vec(), bytes).expect("4 bytes an element");
    let views: Vec<(&str, TensorView<'_>)> =
        arrays.iter().map(|(name, shape, bytes)| (name.as_str(), view(shape, bytes))).collect();
    let metadata = HashMap::from([(key.to_owned(), value.to_owned())]);
    safetensors::serialize(views, Some(metadata)).expect("the header of a model's file is small")
}

/// A file that [`to_bytes`] made, or one of the same names and shapes.
pub struct ParameterFile<'a> {
    path: &'a Path,
    tensors: Tensors<'a>,
    metadata: HashMap<String, String>,
}

impl<'a> ParameterFile<'a> {
    /// Reads the header and checks that it describes the bytes.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn parse(path: &'a Path, bytes: &'a [u8]) -> Result<Self, Failure> {
        let damaged = |e| Failure::new(format_args!("{} is damaged ({e}): train again", path.display()));
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let tensors = Tensors::parse(path, bytes)?;
        Ok(ParameterFile { path, tensors, metadata: header.metadata().clone().unwrap_or_default() })
    }

    /// A metadata entry.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// The flat vector stored under a prefix.
    ///
    /// # Errors
    /// Where a parameter is missing, has another shape or type, or is not finite.
    pub fn vector(&self, layout: &Layout, prefix: &str) -> Result<Vec<f32>, Failure> {
        self.tensors.parameters(layout, prefix).map_err(|e| {
            let path = self.path.display();
            Failure::new(format_args!("{path} does not belong to this run's model: {e}; train again"))
        })
    }
}
