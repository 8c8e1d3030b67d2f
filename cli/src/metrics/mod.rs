//! The metrics of a run, read back from the lines that training logs: one row an iteration.
//!
//! metrics.jsonl is what is kept; [`csv`] and [`tensorboard`](crate::tensorboard) are functions of it, written anew at
//! every save.

use serde_json::Value;

pub mod csv;

/// A quantity of a logged iteration.
#[derive(Debug)]
pub struct Quantity {
    /// Its key in metrics.jsonl, and its column in metrics.csv.
    pub key: &'static str,
    /// Where TensorBoard shows it: its tag is `group/key`. None for what is no curve.
    pub group: Option<&'static str>,
}

/// What training logs, in the order of columns.
pub const QUANTITIES: [Quantity; 16] = [
    shown("train", "query_loss"),
    shown("train", "first_inner"),
    shown("train", "last_inner"),
    shown("train", "meta_gradient"),
    shown("train", "outer_lr"),
    shown("solver", "delta"),
    shown("solver", "delta_relative"),
    shown("solver", "delta_prime"),
    shown("solver", "negative_curvature"),
    shown("solver", "policy_acted"),
    shown("solver", "products"),
    shown("solver", "evaluations"),
    shown("solver", "sampling_error"),
    shown("solver", "error_estimate"),
    shown("solver", "skipped"),
    Quantity { key: "bytes", group: None },
];

const fn shown(group: &'static str, key: &'static str) -> Quantity {
    Quantity { key, group: Some(group) }
}

/// One iteration: what was logged of it and what validation measured after it.
///
/// A number is as in the JSON, to the last digit; null is one that was not finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Iterations done.
    pub iteration: u64,
    /// Seconds of training by then.
    pub seconds: f64,
    /// A number for each of [`QUANTITIES`]; None for what the method does not have, or if only validation was logged.
    pub logged: [Option<Value>; QUANTITIES.len()],
    /// What validation measured; None where there was none.
    pub validation: Option<Validation>,
}

/// The outcome of a validation.
#[derive(Clone, Debug, PartialEq)]
pub struct Validation {
    /// Over how many tasks.
    pub tasks: Value,
    /// For each way to normalise the query sets.
    pub results: Vec<Measured>,
}

/// A mean over tasks with its 95 % interval, mean ± half width.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// `accuracy` or `mse`; with `inductive_` before it where each query was alone.
    pub name: String,
    /// The mean.
    pub mean: Value,
    /// Half the width of the interval.
    pub half_width: Value,
}

/// The rows of lines of metrics. What is no line of metrics is no row.
pub fn rows(jsonl: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for row in jsonl.lines().filter_map(row) {
        match rows.last_mut().filter(|last| last.iteration == row.iteration) {
            // A validation comes after the line of its iteration, where there is one.
            Some(last) if row.validation.is_some() => last.validation = row.validation,
            _ => rows.push(row),
        }
    }
    rows
}

/// What one line says.
pub fn row(line: &str) -> Option<Row> {
    let object: Value = serde_json::from_str(line).ok()?;
    let results = object["results"].as_array().map(|results| results.iter().filter_map(measured).collect());
    Some(Row {
        iteration: object["iteration"].as_u64()?,
        seconds: object["seconds"].as_f64()?,
        logged: QUANTITIES.each_ref().map(|quantity| object.get(quantity.key).cloned()),
        validation: results.map(|results| Validation { tasks: object["tasks"].clone(), results }),
    })
}

fn measured(result: &Value) -> Option<Measured> {
    let measure = result["measure"].as_str()?;
    let name = match result["statistics"].as_str()? {
        // With all queries together is how the literature reports, and the only way without batch normalisation.
        "transductive" => measure.to_owned(),
        statistics => format!("{statistics}_{measure}"),
    };
    Some(Measured { name, mean: result["mean"].clone(), half_width: result["half_width"].clone() })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Iterations 1 and 2 logged, 2 and 3 validated; one number is not finite.
    pub const LINES: &str = concat!(
        r#"{"iteration":1,"seconds":0.1,"query_loss":0.30000000000000004,"delta":null,"products":80,"bytes":5000000000}"#,
        "\n",
        r#"{"iteration":2,"seconds":0.25,"query_loss":1e-7,"delta":2.5,"products":80,"bytes":5000000000}"#,
        "\n",
        r#"{"iteration":2,"seconds":0.25,"split":"validation","tasks":4,"results":["#,
        r#"{"statistics":"transductive","measure":"accuracy","steps":2,"mean":0.75,"half_width":0.125},"#,
        r#"{"statistics":"inductive","measure":"accuracy","steps":2,"mean":0.5,"half_width":null}]}"#,
        "\n",
        r#"{"iteration":3,"seconds":0.5,"split":"validation","tasks":4,"results":["#,
        r#"{"statistics":"transductive","measure":"accuracy","steps":2,"mean":1.0,"half_width":0.0},"#,
        r#"{"statistics":"inductive","measure":"accuracy","steps":2,"mean":0.25,"half_width":0.0625}]}"#,
        "\n",
    );

    #[test]
    fn an_iteration_is_one_row() {
        let rows = rows(LINES);
        let heads: Vec<_> =
            rows.iter().map(|r| (r.iteration, r.seconds, r.logged[0].is_some(), r.validation.is_some())).collect();
        assert_eq!(heads, [(1, 0.1, true, false), (2, 0.25, true, true), (3, 0.5, false, true)]);
        let names: Vec<_> = rows[1].validation.iter().flat_map(|v| &v.results).map(|m| m.name.as_str()).collect();
        assert_eq!(names, ["accuracy", "inductive_accuracy"]);
    }

    #[test]
    fn what_is_no_line_is_no_row() {
        let half = &LINES[..LINES.len() - 20];
        assert_eq!(rows(half).len(), 2);
        for line in ["", "{}", "3", r#"{"iteration":1}"#, r#"{"iteration":-1,"seconds":0.5}"#] {
            assert_eq!(row(line), None, "{line}");
        }
    }
}
