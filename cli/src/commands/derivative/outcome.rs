//! What is said of a derivative that was taken: as one JSON object, or in words.

use autodiff::Isa;
use meta::inner::InnerStatus;
use meta::linear::Status;
use meta::method::{Decision, Report};
use meta::train::BatchReport;
use serde_json::{Value, json};

use crate::console::say;
use crate::memory;

/// A derivative of all tasks, and what it took.
pub struct Outcome {
    /// Of the command.
    pub name: &'static str,
    /// `f32` or `f64`.
    pub precision: &'static str,
    pub isa: Isa,
    pub threads: usize,
    /// Of each run.
    pub seconds: Vec<f64>,
    /// ‖result‖
    pub norm: f64,
    /// Of one run.
    pub flops: u64,
    pub plan_bytes: usize,
    pub mean: BatchReport,
    /// Of each task.
    pub reports: Vec<Report>,
    /// With respect to the step size and λ, where they were asked for.
    pub hypergradients: Vec<f64>,
    /// Where the method was left to the program to choose.
    pub decision: Option<Decision>,
    /// Whether a policy meets negative curvature.
    pub has_policy: bool,
    /// Whether a solver decides when it is done, and so says how it ended.
    pub decides: bool,
}

impl Outcome {
    /// What `--json` prints.
    pub fn to_json(&self) -> Value {
        let Outcome { mean, reports, .. } = self;
        let statuses: Vec<Value> =
            reports.iter().map(|r| r.status.map_or(Value::Null, |s| Value::from(s.name()))).collect();
        let mut summary = json!({
            "loss": mean.query_loss,
            "norm": self.norm,
            "seconds": self.seconds,
            "flops": self.flops,
            "plan_bytes": self.plan_bytes,
            "peak_rss_bytes": memory::peak_rss_bytes(),
            "threads": self.threads,
            "isa": self.isa.to_string(),
            "products": mean.products,
            "status": statuses,
            "negative_curvature": reports.iter().map(|r| r.negative_curvature).sum::<usize>(),
        });
        for (name, &value) in ["rate", "lambda"].iter().zip(&self.hypergradients) {
            summary["hypergradients"][name] = Value::from(value);
        }
        if let Some(Decision { choice, reason }) = &self.decision {
            summary["choice"] = Value::from(choice.to_string());
            summary["chosen_because"] = Value::from(reason.as_str());
        }
        if self.has_policy {
            summary["policy_acted"] = Value::from(mean.policy_acted);
            summary["largest_shift"] = Value::from(mean.largest_shift);
        }
        if self.decides {
            summary["inner_status"] = reports.iter().map(|r| r.inner_status.map(|s| s.name())).collect();
            if reports.iter().any(|r| r.inner_kink.is_some()) {
                let kink = |r: &Report| r.inner_kink.map(|k| json!({ "norm": k.norm, "radius": k.radius }));
                summary["inner_kink"] = reports.iter().map(kink).collect();
            }
        }
        if !mean.not_finite.is_empty() {
            summary["not_finite"] = mean.not_finite.iter().copied().collect();
        }
        if reports.iter().any(|r| r.estimate.is_some()) {
            summary["error_estimate"] = reports.iter().map(|r| r.estimate.map(|e| e.error)).collect();
        }
        summary
    }

    /// Says the same to a reader.
    pub fn tell(&self) {
        let Outcome { name, precision, isa, threads, norm, mean, reports, .. } = self;
        let loss = mean.query_loss;
        say(format_args!("{name} over {} tasks in {precision}: loss {loss:.6e}, norm {norm:.6e}", reports.len()));
        let best = self.seconds.iter().copied().fold(f64::INFINITY, f64::min);
        let rate = self.flops as f64 / best / 1e9;
        say(format_args!(
            "{:.3} ms, {rate:.1} GFLOP/s on {threads} threads ({isa}), {} bytes planned",
            best * 1e3,
            self.plan_bytes
        ));
        for (name, value) in ["inner step size", "λ"].iter().zip(&self.hypergradients) {
            say(format_args!("d loss / d {name}: {value:.6e}"));
        }
        if let Some(Decision { choice, reason }) = &self.decision {
            say(format_args!("chosen: {choice}. {reason}"));
        }
        self.tell_of_tasks();
    }

    /// What went another way than it was meant to, task after task.
    fn tell_of_tasks(&self) {
        let Outcome { mean, reports, .. } = self;
        let unsolved = |s: &InnerStatus| !matches!(s, InnerStatus::Converged | InnerStatus::Finished);
        for (i, report) in reports.iter().enumerate().filter(|_| self.decides) {
            if let Some(status) = report.inner_status.filter(unsolved) {
                say(format_args!("task {i}: adaptation {status}"));
            }
            if let Some(kink) = report.inner_kink {
                let (norm, radius) = (kink.norm, kink.radius);
                say(format_args!("task {i}: the shortest combination of gradients within {radius:.1e} is {norm:.1e}"));
            }
        }
        let troubled = |s: &Status| !matches!(s, Status::Converged | Status::Finished);
        for (i, report) in reports.iter().enumerate() {
            if let Some(status) = report.status.filter(troubled) {
                say(format_args!("task {i}: {status}"));
            }
        }
        for (i, report) in reports.iter().enumerate() {
            if mean.not_finite.contains(&i) {
                say(format_args!("task {i}: left out, it is not finite"));
            } else if let Some(estimate) = report.estimate {
                say(format_args!("task {i}: error about {:.1e}", estimate.error));
            }
        }
    }
}
