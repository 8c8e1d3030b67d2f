//! Tensors into a safetensors file.

use std::borrow::Cow;
use std::path::Path;

use autodiff::Element;
use nn::{Layout, Model};
use safetensors::{Dtype, View};

use super::{Targets, Tasks, axes};
use crate::failure::Failure;
use crate::files::write_out;

/// Tensors on their way into a file.
#[derive(Default)]
pub struct OutputFile {
    tensors: Vec<(String, Array)>,
}

struct Array {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for &Array {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

impl OutputFile {
    /// Adds an array of numbers.
    pub fn add<T: Element>(&mut self, name: &str, shape: &[usize], values: &[T]) {
        let single = T::NAME == "f32";
        let bytes = if single {
            values.iter().flat_map(|v| (v.to_f64() as f32).to_le_bytes()).collect()
        } else {
            values.iter().flat_map(|v| v.to_f64().to_le_bytes()).collect()
        };
        let dtype = if single { Dtype::F32 } else { Dtype::F64 };
        self.tensors.push((name.into(), Array { dtype, shape: shape.into(), bytes }));
    }

    /// Adds tasks for a model: support.x, support.y, query.x, query.y.
    pub fn add_tasks<T: Element>(&mut self, model: &Model, tasks: &Tasks<T>) {
        for (kind, set, rows) in
            [("support", &tasks.support, tasks.support_rows), ("query", &tasks.query, tasks.query_rows)]
        {
            let lead = [tasks.count, rows];
            let shape = [&lead[..], &axes::file_row(model.input())].concat();
            match *model.input() {
                [h, w, c] => self.add(&format!("{kind}.x"), &shape, &axes::channels_first(&set.x, [h, w, c])),
                _ => self.add(&format!("{kind}.x"), &shape, &set.x),
            }
            let name = format!("{kind}.y");
            match &set.y {
                Targets::Values(values) => self.add(&name, &[&lead[..], &[model.outputs()]].concat(), values),
                Targets::Classes(labels) => {
                    let bytes = labels.iter().flat_map(|&label| i64::from(label).to_le_bytes()).collect();
                    self.tensors.push((name, Array { dtype: Dtype::I64, shape: lead.into(), bytes }));
                }
            }
        }
    }

    /// Adds flat vectors as `<kind>.<parameter>` tensors in file order, with a leading axis where `stacked`.
    pub fn add_parameters<T: Element>(&mut self, kind: &str, layout: &Layout, vectors: &[&[T]], stacked: bool) {
        for entry in layout.entries() {
            let values: Vec<T> = vectors.iter().flat_map(|v| layout.to_file(entry, v)).collect();
            let lead = stacked.then_some(vectors.len());
            let shape: Vec<usize> = lead.into_iter().chain(entry.file_shape().iter().copied()).collect();
            self.add(&format!("{kind}.{}", entry.name()), &shape, &values);
        }
    }
}

/// Writes the file, whole or not at all.
///
/// # Errors
/// What went wrong, and where.
pub fn write(path: &Path, file: &OutputFile) -> Result<(), Failure> {
    let tensors: Vec<(&str, &Array)> = file.tensors.iter().map(|(name, array)| (name.as_str(), array)).collect();
    let bytes = safetensors::serialize(tensors, None).expect("the header of these tensors is small");
    write_out(path, &bytes)
}
