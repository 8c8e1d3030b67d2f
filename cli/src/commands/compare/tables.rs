//! Numbers as text: for the terminal, and as CSV with all their digits.

use std::fmt::Write;

use super::accuracy::Reached;
use super::memory::{Run, Taken};
use crate::table;

/// A number of bytes in megabytes of 10⁶: `123.4`
pub fn megabytes(bytes: f64) -> String {
    format!("{:.1}", bytes / 1e6)
}

/// Errors by method, a block for each condition number, a column for every other number of steps.
pub fn accuracy(reached: &[Reached]) -> String {
    let mut text = String::new();
    for block in reached.chunk_by(|a, b| a.condition == b.condition) {
        let rows: Vec<&[Reached]> = block.chunk_by(|a, b| a.method == b.method).collect();
        write!(text, "{:<24}", format!("condition number {}", block[0].condition)).expect("a string grows");
        for r in rows[0].iter().step_by(2) {
            write!(text, "{:>9}", r.steps).expect("a string grows");
        }
        for row in rows {
            write!(text, "\n  {:<22}", row[0].method).expect("a string grows");
            for r in row.iter().step_by(2) {
                write!(text, "{:>9}", error(r.error)).expect("a string grows");
            }
        }
        text.push('\n');
    }
    text
}

/// An error with two digits: `1.2e-3`
pub fn error(error: f64) -> String {
    format!("{error:.1e}")
}

/// accuracy.csv
pub fn accuracy_csv(reached: &[Reached], tasks: u64) -> String {
    let names = ["condition_number", "method", "inner_steps", "gradients", "products", "flops", "error", "tasks"];
    let row = |r: &Reached| {
        let Reached { condition, method, steps, gradients, products, flops, error } = r;
        let (condition, steps, gradients) = (condition.to_string(), steps.to_string(), gradients.to_string());
        let (products, flops) = (products.to_string(), flops.to_string());
        [condition, (*method).into(), steps, gradients, products, flops, format!("{error:e}"), tasks.to_string()]
    };
    table::csv(std::iter::once(names.map(String::from)).chain(reached.iter().map(row)))
}

/// The names of what [`taken`] prints.
pub fn taken_head() -> String {
    format!("{:<22} {:>6} {:>12} {:>12} {:>11}", "method", "steps", "planned MB", "resident MB", "seconds")
}

/// What one method took for one number of steps, as a line.
pub fn taken(taken: &Taken) -> String {
    let Taken { method, steps, planned, run, note } = taken;
    let planned = megabytes(*planned as f64);
    let measured = match run {
        None => format!(" {note}"),
        Some(run) => {
            let peak = run.peak_rss.map_or(String::from("?"), |bytes| megabytes(bytes as f64));
            format!("{peak:>12} {:>11.4}", run.median())
        }
    };
    format!("{method:<22} {steps:>6} {planned:>12} {measured}")
}

/// memory.csv; a field of what was not measured is empty.
pub fn memory_csv(taken: &[Taken]) -> String {
    let names = [
        "method",
        "inner_steps",
        "planned_bytes",
        "peak_rss_bytes",
        "seconds_median",
        "seconds_min",
        "seconds_max",
        "repeats",
        "note",
    ];
    let row = |Taken { method, steps, planned, run, note }: &Taken| {
        let of_run = |of: &dyn Fn(&Run) -> Option<String>| run.as_ref().and_then(of).unwrap_or_default();
        [
            (*method).to_owned(),
            steps.to_string(),
            planned.to_string(),
            of_run(&|r| r.peak_rss.map(|bytes| bytes.to_string())),
            of_run(&|r| Some(r.median().to_string())),
            of_run(&|r| r.seconds.first().map(f64::to_string)),
            of_run(&|r| r.seconds.last().map(f64::to_string)),
            of_run(&|r| Some(r.seconds.len().to_string())),
            note.clone(),
        ]
    };
    table::csv(std::iter::once(names.map(String::from)).chain(taken.iter().map(row)))
}
