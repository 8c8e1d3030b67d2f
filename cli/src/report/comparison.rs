//! Runs beside each other on the same tasks.
//!
//! Task by task the difference of two runs is taken, so that what makes a task hard for both cancels. With m pairs of
//! runs each interval is at 1 − 5 %/m (Bonferroni), so that all hold together with 95 %.

use meta::predict::Measure;
use meta::tasks::Split;
use meta::train::{Evaluation, Interval};

use super::history::{History, with_intervals};
use super::{measure_axis, page};
use crate::chart::{Axis, Chart, Scale};
use crate::format;

/// A run in a comparison.
pub struct Contender {
    /// What it is called: its folder.
    pub name: String,
    /// What it is.
    pub title: String,
    /// On the common tasks.
    pub results: Vec<Evaluation>,
    /// Its history.
    pub history: History,
}

/// Two runs on the same tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The one that does better on average, and the other, by position.
    pub better: usize,
    /// See `better`.
    pub worse: usize,
    /// By how much, ≥ 0.
    pub difference: Interval,
}

impl Pair {
    /// Whether the interval excludes that there is no difference, or one the other way.
    pub fn is_distinguishable(&self) -> bool {
        self.difference.mean > self.difference.half_width
    }
}

/// All pairs of runs, from each one's values on the same tasks.
///
/// # Panics
/// Where two runs have different numbers of tasks.
pub fn pairs(measure: Measure, values: &[&[f64]]) -> Vec<Pair> {
    let count = values.len() * values.len().saturating_sub(1) / 2;
    let mut pairs = Vec::new();
    for (i, a) in values.iter().enumerate() {
        for (j, b) in values.iter().enumerate().skip(i + 1) {
            assert_eq!(a.len(), b.len(), "runs are compared on the same tasks");
            let gain = |(a, b): (&f64, &f64)| if measure == Measure::Accuracy { a - b } else { b - a };
            let gains: Vec<f64> = a.iter().zip(*b).map(gain).collect();
            let Interval { mean, half_width } = Interval::one_of(count, &gains);
            let difference = Interval { mean: mean.abs(), half_width };
            let (better, worse) = if mean >= 0.0 { (i, j) } else { (j, i) };
            pairs.push(Pair { better, worse, difference });
        }
    }
    pairs
}

/// `A is better than B by 1.20 ± 0.40 points`, or that it cannot be told.
pub fn sentence(pair: &Pair, measure: Measure, names: &[&str], tasks: u64) -> String {
    let (better, worse) = (names[pair.better], names[pair.worse]);
    let Interval { mean, half_width } = pair.difference;
    let by = match measure {
        Measure::Accuracy => format!("{:.2} ± {:.2} points", 100.0 * mean, 100.0 * half_width),
        Measure::SquaredError => format!("{mean:.4} ± {half_width:.4}"),
    };
    if !mean.is_finite() {
        format!("{better} and {worse} cannot be compared: one of them diverged on some of {tasks} tasks")
    } else if pair.is_distinguishable() {
        format!("{better} is better than {worse} by {by}")
    } else {
        format!("{better} and {worse} cannot be told apart from noise on {tasks} tasks: the difference is {by}")
    }
}

/// The page, and its sentences for the console.
pub fn comparison(contenders: &[Contender], steps: &[usize], split: Split, tasks: u64) -> (String, Vec<String>) {
    let names: Vec<&str> = contenders.iter().map(|c| &c.name[..]).collect();
    let Some(first) = contenders.first().and_then(|c| c.results.first()) else { return Default::default() };
    let measure = first.measure;
    let values: Vec<&[f64]> = contenders.iter().map(|c| &c.results[0].per_task[..]).collect();
    let says: Vec<String> = pairs(measure, &values).iter().map(|pair| sentence(pair, measure, &names, tasks)).collect();

    let mut rows = vec![vec!["run".into(), "what".into(), "steps".into(), measure.name().to_owned()]];
    for (contender, k) in contenders.iter().zip(steps) {
        let value = Interval::of(&contender.results[0].per_task);
        let cells = [contender.name.clone(), contender.title.clone(), k.to_string(), format::interval(measure, value)];
        rows.push(cells.into());
    }
    let mut body = page::table(&rows, true);
    let list: String = says.iter().map(|s| page::paragraph(&format!("{s}."))).collect();
    body += &page::section("Paired on the same tasks", &list);
    body += &page::paragraph(&format!(
        "On {tasks} {split} tasks{}, the same for all. Differences are taken task by task; with {} they \
         hold together with 95 % (Bonferroni).",
        if split == Split::Train { "" } else { ", that no run has trained on" },
        format::count(says.len() as u64, "pair")
    ));

    let adaptation = contenders.iter().map(|c| {
        let points: Vec<_> = c.results[0].after.iter().map(|&(k, interval)| (k as f64, interval)).collect();
        with_intervals(c.name.clone(), &points)
    });
    let axis = Axis::new("steps on the support set", Scale::Linear);
    let chart = Chart::new("Adaptation", axis, measure_axis(measure)).with_panel("", adaptation.collect());
    let mut curves = page::figure(&chart.svg(), "Each run with its own step size and objective.");
    let over_time = contenders
        .iter()
        .flat_map(|c| c.history.validations(|row| row.seconds, |_| c.name.clone()).into_iter().take(1));
    let over_time: Vec<_> = over_time.collect();
    if !over_time.is_empty() {
        let axis = Axis::new("seconds of training", Scale::Linear);
        let chart = Chart::new("Validation while training", axis, measure_axis(measure)).with_panel("", over_time);
        curves += &page::figure(&chart.svg(), "As each run measured itself, on validation tasks of its own seed.");
    }
    body += &page::section("Curves", &curves);
    (page::html("Runs compared", &body), says)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairing_sees_what_separate_intervals_do_not() {
        // Tasks differ by far more than the runs, which differ by 0.1 on every one but for some noise.
        let hard = |i: usize| (i * 7919 % 100) as f64;
        let noise = |i: usize| 0.05 * ((i * 104_729 % 11) as f64 - 5.0) / 5.0;
        let a: Vec<f64> = (0..100).map(hard).collect();
        let b: Vec<f64> = (0..100).map(|i| hard(i) + 0.1 + noise(i)).collect();
        let separate = Interval::of(&a);
        assert!(separate.half_width > 1.0);
        let pair = &pairs(Measure::Accuracy, &[&a, &b])[0];
        assert!(pair.better == 1 && pair.is_distinguishable(), "{pair:?}");
        // Of errors, less is better.
        assert_eq!(pairs(Measure::SquaredError, &[&a, &b])[0].better, 0);
        // Noise around nothing is not told apart, and three runs have wider intervals than two.
        let c: Vec<f64> = (0..100).map(|i| hard(i) + noise(i + 3)).collect();
        let two = &pairs(Measure::Accuracy, &[&a, &c])[0];
        let three = &pairs(Measure::Accuracy, &[&a, &c, &b])[0];
        assert!(!two.is_distinguishable() && three.difference.half_width > 1.2 * two.difference.half_width);
        let says = sentence(two, Measure::Accuracy, &["a", "c"], 100);
        assert!(says.contains("cannot be told apart"), "{says}");
        let broken = &pairs(Measure::SquaredError, &[&a, &[f64::NAN; 100]])[0];
        let says = sentence(broken, Measure::SquaredError, &["a", "broken"], 100);
        assert!(says.contains("diverged"), "{says}");
    }
}
