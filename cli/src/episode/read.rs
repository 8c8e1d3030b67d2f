//! From a file to checked arrays in memory order.

use std::path::Path;

use autodiff::Element;
use nn::Model;

use super::{EpisodeFile, Set, Targets, Tasks, axes};
use crate::console::note;
use crate::tensors::{Tensors, expect_shape, is_buffer};

/// What a command needs of a file beyond parameters and support sets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs {
    /// `vector.*`
    pub vectors: bool,
    /// `query.*`
    pub query: bool,
}

/// Reads and checks an episode file for a model.
///
/// # Errors
/// One line that names the tensor and says what was expected.
pub fn read<T: Element>(
    path: &Path,
    file: &Tensors<'_>,
    model: &Model,
    needs: Needs,
) -> Result<EpisodeFile<T>, String> {
    let located = |e: String| format!("{}: {e}", path.display());
    check_names(path, file, model).map_err(located)?;
    let parameters = file.parameters(model.layout(), "param.").map_err(located)?;
    let (vectors, vectors_stacked) =
        if needs.vectors { vectors(file, model).map_err(located)? } else { Default::default() };
    let tasks = tasks(file, model, needs.query).map_err(located)?;
    Ok(EpisodeFile { parameters, vectors, vectors_stacked, tasks })
}

fn check_names(path: &Path, file: &Tensors<'_>, model: &Model) -> Result<(), String> {
    let known = |name: &str| model.layout().entries().iter().any(|e| e.name() == name);
    for name in file.names() {
        let Some((kind, rest)) = name.split_once('.') else {
            return Err(format!("the tensor {name} is none of param.*, vector.*, support.*, query.*"));
        };
        match kind {
            "param" if is_buffer(rest) => {
                note(format_args!("{}: ignoring the buffer {name}", path.display()));
            }
            "param" | "vector" if known(rest) => {}
            "support" | "query" if rest == "x" || rest == "y" => {}
            "param" | "vector" => {
                let names: Vec<&str> = model.layout().entries().iter().map(|e| e.name()).collect();
                return Err(format!("{name} is no parameter of {}, which has {}", model.spec(), names.join(", ")));
            }
            _ => return Err(format!("the tensor {name} is none of param.*, vector.*, support.*, query.*")),
        }
    }
    Ok(())
}

/// The directions, and whether the file stacks them along a leading axis.
fn vectors<T: Element>(file: &Tensors<'_>, model: &Model) -> Result<(Vec<Vec<T>>, bool), String> {
    let layout = model.layout();
    let mut vectors: Vec<Vec<T>> = Vec::new();
    let mut stacked = false;
    for (i, entry) in layout.entries().iter().enumerate() {
        let name = format!("vector.{}", entry.name());
        let shape = file.shape(&name)?;
        let rank = entry.file_shape().len();
        let (count, is_stacked) = match shape.len() {
            r if r == rank + 1 => (shape[0], true),
            _ => (1, false),
        };
        expect_shape(&name, &shape[usize::from(is_stacked)..], entry.file_shape())?;
        if i == 0 {
            stacked = is_stacked;
            vectors = vec![vec![T::zero(); layout.len()]; count];
        }
        if (count, is_stacked) != (vectors.len(), stacked) || count == 0 {
            return Err(format!(
                "the tensor {name} holds {count} directions: expected {} as in the others",
                vectors.len()
            ));
        }
        let values = file.floats::<T>(&name)?;
        let len = entry.range().len();
        for (vector, part) in vectors.iter_mut().zip(values.chunks_exact(len)) {
            layout.from_file(entry, part, vector);
        }
    }
    Ok((vectors, stacked))
}

fn tasks<T: Element>(file: &Tensors<'_>, model: &Model, query: bool) -> Result<Tasks<T>, String> {
    let (count, support_rows, support) = set(file, model, "support", None)?;
    let has_query = file.names().iter().any(|n| n == "query.x");
    if !query && !has_query {
        let empty = if model.classifies() { Targets::Classes(Vec::new()) } else { Targets::Values(Vec::new()) };
        let none = Set { x: Vec::new(), y: empty };
        return Ok(Tasks { count, support_rows, query_rows: 0, support, query: none });
    }
    let (_, query_rows, query) = set(file, model, "query", Some(count))?;
    Ok(Tasks { count, support_rows, query_rows, support, query })
}

/// (tasks, rows a task, data)
fn set<T: Element>(
    file: &Tensors<'_>,
    model: &Model,
    kind: &str,
    tasks: Option<usize>,
) -> Result<(usize, usize, Set<T>), String> {
    let (x_name, y_name) = (format!("{kind}.x"), format!("{kind}.y"));
    let shape = file.shape(&x_name)?;
    let row = axes::file_row(model.input());
    if shape.len() != 2 + row.len() || shape[2..] != row[..] {
        return Err(format!("the tensor {x_name} has shape {shape:?}: expected [tasks, rows, {}]", list(&row)));
    }
    let (count, rows) = (shape[0], shape[1]);
    if count == 0 || rows == 0 {
        return Err(format!("the tensor {x_name} has shape {shape:?}: expected at least one task with one row"));
    }
    if let Some(expected) = tasks.filter(|&t| t != count) {
        return Err(format!("the tensor {x_name} holds {count} tasks: support.x holds {expected}"));
    }
    let mut x = file.floats::<T>(&x_name)?;
    if let [h, w, c] = *model.input() {
        x = axes::channels_last(&x, [h, w, c]);
    }
    let y = if model.classifies() {
        expect_shape(&y_name, &file.shape(&y_name)?, &[count, rows])?;
        Targets::Classes(file.labels(&y_name, model.outputs())?)
    } else {
        expect_shape(&y_name, &file.shape(&y_name)?, &[count, rows, model.outputs()])?;
        Targets::Values(file.floats(&y_name)?)
    };
    Ok((count, rows, Set { x, y }))
}

fn list(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}
