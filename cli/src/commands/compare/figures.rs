//! The figures.

use super::accuracy::Reached;
use super::memory::{Run, Taken};
use crate::chart::{Axis, Chart, Scale, Series};

/// Error over inner steps, a panel for each condition number.
pub fn accuracy_over_steps(reached: &[Reached], says: &str) -> String {
    accuracy(reached, says, "Accuracy over inner steps", Axis::new("inner steps", Scale::Log2), |r| r.steps as f64)
}

/// Error over compute, a panel for each condition number.
pub fn accuracy_over_compute(reached: &[Reached], says: &str) -> String {
    let x = Axis::new("gradients and Hessian-vector products", Scale::Log10);
    accuracy(reached, says, "Accuracy over compute", x, Reached::compute)
}

fn accuracy(reached: &[Reached], says: &str, title: &str, x: Axis, of: impl Fn(&Reached) -> f64) -> String {
    // What lies below is the same to training, and would press the rest together.
    const LEAST: f64 = 1e-8;
    let most = reached.iter().map(|r| r.error).filter(|e| e.is_finite()).fold(1.0, f64::max);
    let y = Axis::new("error ‖g − g*‖ / ‖g*‖", Scale::Log10).within(LEAST, 10_f64.powf(most.log10().ceil() + 0.3));
    let chart = Chart::new(format!("{title}: few-shot linear regression"), x, y).with_caption(says).with_columns(2);
    let panels = reached.chunk_by(|a, b| a.condition == b.condition).map(|block| {
        let lines = block.chunk_by(|a, b| a.method == b.method);
        let lines = lines.map(|row| Series::new(row[0].method, row.iter().map(|r| (of(r), r.error))));
        (format!("condition number {}", block[0].condition), lines.collect())
    });
    panels.fold(chart, |chart, (title, lines)| chart.with_panel(title, lines)).svg()
}

/// Bytes over inner steps: as planned, and as the system saw it.
pub fn memory(taken: &[Taken], says: &str) -> String {
    let peak = |run: &Run| run.peak_rss.map_or(f64::NAN, |bytes| bytes as f64 / 1e6);
    let planned = lines(taken, |t| t.planned as f64 / 1e6);
    let measured = lines(taken, |t| t.run.as_ref().map_or(f64::NAN, peak));
    Chart::new("Memory of one meta-gradient", steps(), Axis::new("MB", Scale::Log10))
        .with_caption(says)
        .with_panel("planned", planned)
        .with_panel("peak resident memory of a process", measured)
        .svg()
}

/// Seconds over inner steps, with the least and the most where a point was timed more than once.
pub fn time(taken: &[Taken], says: &str) -> String {
    let runs: Vec<(&Taken, &Run)> = taken.iter().filter_map(|t| Some((t, t.run.as_ref()?))).collect();
    let repeated = runs.iter().any(|(_, run)| run.seconds.len() > 1);
    let lines = runs.chunk_by(|a, b| a.0.method == b.0.method).map(|row| {
        let line = Series::new(row[0].0.method, row.iter().map(|(t, run)| (t.steps as f64, run.median())));
        let ends = |run: &Run| (run.seconds[0], run.seconds[run.seconds.len() - 1]);
        if repeated { line.with_band(row.iter().map(|(_, run)| ends(run))) } else { line }
    });
    let y = if repeated { "seconds (band: least to most)" } else { "seconds" };
    Chart::new("Time of one meta-gradient", steps(), Axis::new(y, Scale::Log10))
        .with_caption(says)
        .with_panel("", lines.collect())
        .svg()
}

fn steps() -> Axis {
    Axis::new("inner steps", Scale::Log2)
}

fn lines(taken: &[Taken], of: impl Fn(&Taken) -> f64) -> Vec<Series> {
    let rows = taken.chunk_by(|a, b| a.method == b.method);
    rows.map(|row| Series::new(row[0].method, row.iter().map(|t| (t.steps as f64, of(t))))).collect()
}
