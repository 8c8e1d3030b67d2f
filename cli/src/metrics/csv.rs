//! metrics.csv: the metrics as one table, for spreadsheets and `pandas.read_csv(path, index_col="iteration")`.
//!
//! A row is an iteration that was logged or validated, in order, each once. Validation has columns of its own in the
//! row of its iteration, because a table with one kind of row can be indexed, plotted and joined by `iteration` as it
//! is: `table["validation_accuracy"].dropna().plot()`. The numbers are those of metrics.jsonl, digit for digit; a cell
//! is empty where nothing was logged or measured, and where a number was not finite (null in the JSON).
//!
//! | column | what it holds |
//! |---|---|
//! | `iteration` | iterations done |
//! | `seconds` | of training by then, without validations and saves |
//! | `query_loss` | mean query loss after adaptation |
//! | `first_inner`, `last_inner` | mean support loss before adaptation, mean inner objective at its end |
//! | `meta_gradient` | norm of the mean meta-gradient |
//! | `outer_lr` | outer learning rate |
//! | `delta`, `delta_relative` | mean ‖∇G‖ at the end of adaptation, and its mean relative to that at the start |
//! | `delta_prime` | mean ‖b − A x‖/‖b‖ of the linear solves (imaml, auto) |
//! | `negative_curvature` | tasks on which the linear solver met it (imaml, auto) |
//! | `policy_acted` | tasks on which `--on-negative-curvature` changed what was computed (imaml, auto) |
//! | `products`, `evaluations` | Hessian-vector products and evaluations of ∇G done |
//! | `sampling_error` | standard error of the mean meta-gradient over the tasks |
//! | `error_estimate` | the last estimate of one task's error (imaml with --tol auto) |
//! | `skipped` | tasks left out so far because something was not finite |
//! | `bytes` | memory of one worker |
//! | `validation_tasks` | tasks that validation measured on |
//! | `validation_accuracy`, or `validation_mse` | its mean |
//! | `validation_accuracy_half_width`, … | half the width of its 95 % interval |
//! | `validation_inductive_accuracy`, … | with batch normalisation: each query classified alone |
//!
//! A column is there where the run has something for it: those of validation come with the first one. Read them by
//! name.

use serde_json::Value;

use super::{Measured, QUANTITIES, Row};
use crate::table;

/// The table.
pub fn csv(rows: &[Row]) -> String {
    let logged: Vec<usize> = (0..QUANTITIES.len()).filter(|&i| rows.iter().any(|r| r.logged[i].is_some())).collect();
    let measured = measured(rows);

    let mut header: Vec<String> = vec!["iteration".into(), "seconds".into()];
    header.extend(logged.iter().map(|&i| QUANTITIES[i].key.into()));
    if !measured.is_empty() {
        header.push("validation_tasks".into());
    }
    header.extend(measured.iter().flat_map(|name| [name.clone(), format!("{name}_half_width")]));

    let line = |Row { iteration, seconds, logged: numbers, validation }: &Row| {
        let mut cells = vec![iteration.to_string(), Value::from(*seconds).to_string()];
        cells.extend(logged.iter().map(|&i| cell(numbers[i].as_ref())));
        if !measured.is_empty() {
            cells.push(cell(validation.as_ref().map(|v| &v.tasks)));
        }
        for name in &measured {
            let result = validation.as_ref().and_then(|v| v.results.iter().find(|m| column(m) == *name));
            cells.extend([cell(result.map(|m| &m.mean)), cell(result.map(|m| &m.half_width))]);
        }
        cells
    };
    table::csv(std::iter::once(header).chain(rows.iter().map(line)))
}

/// The columns of means that some validation fills.
fn measured(rows: &[Row]) -> Vec<String> {
    let mut names = Vec::new();
    for name in rows.iter().filter_map(|r| r.validation.as_ref()).flat_map(|v| &v.results).map(column) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn column(result: &Measured) -> String {
    format!("validation_{}", result.name)
}

/// A number as JSON writes it.
fn cell(value: Option<&Value>) -> String {
    value.filter(|v| v.is_number()).map_or(String::new(), Value::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{rows, tests::LINES};

    #[test]
    fn the_table_has_the_digits_of_the_lines() {
        let table = "iteration,seconds,query_loss,delta,products,bytes,validation_tasks,validation_accuracy,\
                     validation_accuracy_half_width,validation_inductive_accuracy,\
                     validation_inductive_accuracy_half_width\n\
                     1,0.1,0.30000000000000004,,80,5000000000,,,,,\n\
                     2,0.25,1e-7,2.5,80,5000000000,4,0.75,0.125,0.5,\n\
                     3,0.5,,,,,4,1.0,0.0,0.25,0.0625\n";
        assert_eq!(csv(&rows(LINES)), table);
    }

    #[test]
    fn columns_are_those_that_the_run_has() {
        let first = LINES.lines().next().unwrap_or_default();
        assert_eq!(
            csv(&rows(first)),
            "iteration,seconds,query_loss,delta,products,bytes\n1,0.1,0.30000000000000004,,80,5000000000\n"
        );
    }
}
