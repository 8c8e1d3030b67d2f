//! How a run is going: a bar on a terminal, plain lines every few seconds elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use meta::train::BatchReport;

use crate::console::say;
use crate::format::clock;

/// Time between plain lines.
const EVERY: Duration = Duration::from_secs(5);
/// Time between changes of the bar: what the eye can follow. An iteration may take less than putting it in words.
const GLANCE: Duration = Duration::from_millis(50);

/// Steps of the bar.
const FINE: u64 = 1000;

/// Where a run stands, to be shown.
pub struct View<'a> {
    /// The fraction of the run that lies behind.
    pub done: f64,
    /// Iterations done.
    pub iteration: u64,
    /// Iterations asked for, if that is how long was said.
    pub iterations: Option<u64>,
    /// Seconds of training in all.
    pub seconds: f64,
    /// Training tasks per second, since the program was started.
    pub speed: f64,
    /// Of the last iteration.
    pub report: &'a BatchReport,
    /// The last validation, in words.
    pub validation: &'a str,
}

/// Shows how a run is going.
pub struct Progress {
    bar: Option<ProgressBar>,
    shown: Option<Instant>,
    /// The query loss, smoothed over some ten iterations.
    loss: Option<f64>,
}

impl Progress {
    /// A bar where standard output is a terminal.
    pub fn new() -> Self {
        let bar = std::io::stdout().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(FINE), ProgressDrawTarget::stdout());
            let style = ProgressStyle::with_template("{bar:12} {percent:>3} % {wide_msg}").expect("a valid template");
            bar.with_style(style.progress_chars("━╸ "))
        });
        Progress { bar, shown: None, loss: None }
    }

    /// Shows an iteration, if what was shown last is old enough: some seconds, or on a terminal some hundredths.
    pub fn show(&mut self, view: &View<'_>) {
        let loss = view.report.query_loss;
        let loss = self.loss.map_or(loss, |smooth| smooth + 0.1 * (loss - smooth));
        self.loss = Some(loss);
        let every = if self.bar.is_some() { GLANCE } else { EVERY };
        if self.shown.is_some_and(|at| at.elapsed() < every) {
            return;
        }
        self.shown = Some(Instant::now());
        let line = describe(view, loss);
        match &self.bar {
            Some(bar) => {
                bar.set_position((view.done * FINE as f64) as u64);
                bar.set_message(line);
            }
            None => say(format_args!("{:>3.0} %  {line}", (100.0 * view.done).min(100.0))),
        }
    }

    /// A line that stays.
    pub fn note(&self, line: impl std::fmt::Display) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(line)),
            None => say(line),
        }
    }

    /// Clears the bar.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn describe(view: &View<'_>, loss: f64) -> String {
    let View { iteration, iterations, report, validation, .. } = view;
    let of = iterations.map_or(String::new(), |n| format!("/{n}"));
    let left = clock(view.seconds * (1.0 / view.done - 1.0).max(0.0));
    let (first, last, speed) = (report.first_inner, report.last_inner, view.speed);
    // With one step there is one point to have looked at.
    let inner = if first == last { format!("{first:.3}") } else { format!("{first:.3} → {last:.3}") };
    let validation = if validation.is_empty() { String::new() } else { format!(" · {validation}") };
    // What matters most comes first: a narrow terminal cuts the end off.
    format!(
        "{left} left · iteration {iteration}{of} · query loss {loss:.4} · {speed:.0} tasks/s{validation} · inner {inner}"
    )
}
