//! What a run's `metrics.jsonl` says, as lines to draw.

use meta::train::Interval;

use crate::chart::Series;
use crate::metrics::{self, QUANTITIES, Row};

/// Most points of a drawn line: longer histories are averaged.
const MOST_POINTS: usize = 120;
/// Lines of a stretch from which on its interval says something: of two it is six times as wide as of many.
const FEWEST: usize = 5;

/// A run's history.
#[derive(Clone, Debug, Default)]
pub struct History(Vec<Row>);

impl History {
    /// From the lines of metrics.jsonl.
    pub fn parse(jsonl: &str) -> Self {
        History(metrics::rows(jsonl))
    }

    /// Iterations done, and seconds of training.
    pub fn end(&self) -> (u64, f64) {
        self.0.last().map_or((0, 0.0), |row| (row.iteration, row.seconds))
    }

    /// The last value of a quantity.
    pub fn last(&self, key: &str) -> Option<f64> {
        self.values(key).last().map(|(_, value)| value)
    }

    /// (iteration, value) of a quantity, where it was logged.
    fn values(&self, key: &str) -> impl Iterator<Item = (f64, f64)> {
        let column = QUANTITIES.iter().position(|quantity| quantity.key == key);
        self.0.iter().filter_map(move |row| Some((row.iteration as f64, row.logged[column?].as_ref()?.as_f64()?)))
    }

    /// A quantity over iterations: means of stretches of the history, with 95 % intervals of those means where each stretch
    /// has lines enough for them to say something.
    pub fn series(&self, name: &str, key: &str) -> Option<Series> {
        let all: Vec<(f64, f64)> = self.values(key).collect();
        let parts = all.len().min(MOST_POINTS);
        let means = (0..parts).map(|i| {
            let part = &all[i * all.len() / parts..(i + 1) * all.len() / parts];
            let (x, y): (Vec<f64>, Vec<f64>) = part.iter().copied().unzip();
            (x.iter().sum::<f64>() / x.len() as f64, Interval::of(&y))
        });
        let means: Vec<(f64, Interval)> = means.collect();
        if means.is_empty() {
            return None;
        }
        let line = Series::new(name, means.iter().map(|(x, i)| (*x, i.mean)));
        let band = means.iter().map(|(_, i)| (i.mean - i.half_width, i.mean + i.half_width));
        Some(if all.len() >= FEWEST * parts { line.with_band(band) } else { line })
    }

    /// The validations over what `at` takes from a row: one line for each way to normalise the query set, named after
    /// whether queries were alone.
    pub fn validations(&self, at: impl Fn(&Row) -> f64, name: impl Fn(bool) -> String) -> Vec<Series> {
        let mut lines: Vec<(&str, Vec<(f64, Interval)>)> = Vec::new();
        for row in &self.0 {
            for measured in row.validation.iter().flat_map(|validation| &validation.results) {
                let (Some(mean), Some(half_width)) = (measured.mean.as_f64(), measured.half_width.as_f64()) else {
                    continue;
                };
                let value = (at(row), Interval { mean, half_width });
                match lines.iter_mut().find(|(of, _)| *of == measured.name) {
                    Some((_, points)) => points.push(value),
                    None => lines.push((&measured.name, vec![value])),
                }
            }
        }
        lines.into_iter().map(|(of, points)| with_intervals(name(of.starts_with("inductive_")), &points)).collect()
    }
}

/// A line with its intervals.
pub fn with_intervals(name: String, points: &[(f64, Interval)]) -> Series {
    let band = points.iter().map(|(_, i)| (i.mean - i.half_width, i.mean + i.half_width));
    Series::new(name, points.iter().map(|(x, i)| (*x, i.mean))).with_band(band)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_histories_are_averaged_and_validations_kept_apart() {
        let mut text = String::new();
        for i in 1..=960 {
            text += &format!("{{\"iteration\": {i}, \"seconds\": {i}.5, \"query_loss\": {}}}\n", i % 2);
        }
        text += "not json\n";
        let results = r#"[{"statistics": "transductive", "measure": "accuracy", "mean": 0.5, "half_width": 0.1},
            {"statistics": "inductive", "measure": "accuracy", "mean": 0.25, "half_width": 0.1}]"#;
        text +=
            &format!("{{\"iteration\": 960, \"seconds\": 9, \"tasks\": 5, \"results\": {results}}}").replace('\n', " ");
        let history = History::parse(&text);
        assert_eq!(history.end(), (960, 960.5));
        let line = history.series("loss", "query_loss").unwrap();
        assert!(line.points().len() <= MOST_POINTS && line.band().len() == line.points().len());
        // Eight lines a stretch, of which four are 1.
        assert!(line.points().iter().all(|&(_, y)| y == 0.5), "{:?}", line.points());
        assert!(history.series("nothing", "no such key").is_none());
        // Two lines a stretch have no interval to speak of.
        let few: String =
            (1..=241).map(|i| format!("{{\"iteration\": {i}, \"seconds\": 1, \"query_loss\": 1}}\n")).collect();
        let line = History::parse(&few).series("loss", "query_loss").unwrap();
        assert!(line.points().len() == MOST_POINTS && line.band().is_empty());
        let lines = history.validations(|row| row.iteration as f64, |alone| alone.to_string());
        assert_eq!((lines.len(), lines[1].name()), (2, "true"));
        assert_eq!(lines[0].points(), &[(960.0, 0.5)][..]);
    }
}
