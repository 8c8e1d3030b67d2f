//! The comparison as a table, as sentences and as CSV.

use meta::daml::{Learner, Rates, Sight, Training};
use meta::predict::Measure;

use crate::format;
use crate::table;

/// What one learner came out at.
pub struct Row {
    /// Which.
    pub learner: Learner,
    /// The world's domain gap.
    pub gap: f64,
    /// What it was trained with.
    pub training: Training,
    /// On unseen tasks.
    pub rates: Rates,
}

impl Row {
    /// `81.20 ± 3.41 % reached, …`
    pub fn success(&self) -> String {
        let interval = |value| format::interval(Measure::Accuracy, value);
        format!("{} reached, {} nearest", interval(self.rates.success), interval(self.rates.nearest))
    }
}

/// A line for each learner.
pub fn table(rows: &[Row]) -> Vec<String> {
    let interval = |value| format::interval(Measure::Accuracy, value);
    let line = |a: &str, b: &str, c: &str| format!("  {a:<26}  {b:>17}  {c:>17}");
    let head = line("", "reached", "right one nearest");
    let row = |r: &Row| line(r.learner.title(), &interval(r.rates.success), &interval(r.rates.nearest));
    std::iter::once(head).chain(rows.iter().map(row)).collect()
}

/// How far the temporal losses are ahead of what they are compared with.
pub fn conclusions(rows: &[Row]) -> Vec<String> {
    use Learner::{Implicit, NoAdaptation, Unrolled};
    let pairs = [
        (Unrolled(Sight::Temporal), NoAdaptation),
        (Unrolled(Sight::Temporal), Unrolled(Sight::PerFrame)),
        (Implicit(Sight::Temporal), NoAdaptation),
        (Implicit(Sight::Temporal), Implicit(Sight::PerFrame)),
    ];
    let find = |learner| rows.iter().find(|r| r.learner == learner).map(|r| r.rates.success);
    let sentence = |(ours, other): (Learner, Learner)| {
        let (a, b) = (find(ours)?, find(other)?);
        let points = 100.0 * (a.mean - b.mean);
        let apart = (a.mean - b.mean).abs() > a.half_width + b.half_width;
        let apart = if apart { "the intervals are apart" } else { "the intervals overlap" };
        Some(format!("{} − {}: {points:+.1} points, {apart}", ours.title(), other.title()))
    };
    pairs.into_iter().filter_map(sentence).collect()
}

/// Every learner with what it was trained with.
pub fn csv(rows: &[Row]) -> String {
    let head = [
        "learner",
        "gap",
        "seed",
        "iterations",
        "meta_batch",
        "inner_steps",
        "inner_lr",
        "lambda",
        "outer_lr",
        "tasks",
        "success",
        "success_half_width",
        "nearest",
        "nearest_half_width",
    ];
    let row = |Row { learner, gap, training: t, rates }: &Row| {
        [
            learner.name().to_string(),
            gap.to_string(),
            t.seed.to_string(),
            t.iterations.to_string(),
            t.meta_batch.to_string(),
            t.steps.to_string(),
            t.rate.to_string(),
            t.lambda.to_string(),
            t.outer_rate.to_string(),
            rates.outcomes.len().to_string(),
            rates.success.mean.to_string(),
            rates.success.half_width.to_string(),
            rates.nearest.mean.to_string(),
            rates.nearest.half_width.to_string(),
        ]
    };
    table::csv(std::iter::once(head.map(String::from)).chain(rows.iter().map(row)))
}

#[cfg(test)]
mod tests {
    use meta::daml::Outcome;
    use meta::train::Interval;

    use super::*;

    fn row(learner: Learner, mean: f64) -> Row {
        let rate = Interval { mean, half_width: 0.04 };
        let outcomes = vec![Outcome { reached: true, nearest: true }; 3];
        let rates = Rates { success: rate, nearest: rate, outcomes };
        Row { learner, gap: 0.5, training: Training::of(learner), rates }
    }

    #[test]
    fn a_comparison_says_how_far_and_whether_the_intervals_are_apart() {
        let temporal = Learner::Unrolled(Sight::Temporal);
        let rows = [row(Learner::NoAdaptation, 0.1), row(Learner::Unrolled(Sight::PerFrame), 0.63), row(temporal, 0.7)];
        let lines = conclusions(&rows);
        assert_eq!(lines.len(), 2);
        assert!(lines[0].ends_with("no adaptation: +60.0 points, the intervals are apart"), "{}", lines[0]);
        assert!(lines[1].ends_with("per-frame loss, unrolled: +7.0 points, the intervals overlap"), "{}", lines[1]);
        assert_eq!(table(&rows).len(), 4);
        assert!(csv(&rows).contains("\ntemporal,0.5,0,"));
    }
}
