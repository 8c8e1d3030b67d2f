//! What a run's `metrics.jsonl` says, as lines to draw.

use meta::train::Interval;
use serde_json::Value;

use crate::chart::Series;

/// Most points of a drawn line: longer histories are averaged.
const MOST_POINTS: usize = 120;

/// A run's history.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    training: Vec<Value>,
    validation: Vec<Value>,
}

impl Metrics {
    /// Reads lines as training writes them; what is none of them is left out.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let (validation, training) = lines.partition(|line| line["results"].is_array());
        Metrics { training, validation }
    }

    /// Iterations done, and seconds of training.
    pub fn end(&self) -> (u64, f64) {
        let last = self.training.last().map(|line| (line["iteration"].as_u64(), line["seconds"].as_f64()));
        last.map_or((0, 0.0), |(iteration, seconds)| (iteration.unwrap_or(0), seconds.unwrap_or(0.0)))
    }

    /// The last value of a key.
    pub fn last(&self, key: &str) -> Option<f64> {
        self.training.last()?[key].as_f64()
    }

    /// A key of the training lines over iterations: means of stretches of the history, with 95 % intervals of those
    /// means where a stretch has several lines.
    pub fn series(&self, name: &str, key: &str) -> Option<Series> {
        let value = |line: &Value| Some((line["iteration"].as_f64()?, line[key].as_f64()?));
        let all: Vec<(f64, f64)> = self.training.iter().filter_map(value).collect();
        let stretch = all.len().div_ceil(MOST_POINTS).max(1);
        let means = all.chunks(stretch).map(|part| {
            let (x, y): (Vec<f64>, Vec<f64>) = part.iter().copied().unzip();
            (x.iter().sum::<f64>() / x.len() as f64, Interval::of(&y))
        });
        let means: Vec<(f64, Interval)> = means.collect();
        if means.is_empty() {
            return None;
        }
        let line = Series::new(name, means.iter().map(|(x, i)| (*x, i.mean)));
        let band = means.iter().map(|(_, i)| (i.mean - i.half_width, i.mean + i.half_width));
        Some(if stretch > 1 { line.with_band(band) } else { line })
    }

    /// The validations over iterations or seconds (`iteration`, `seconds`): one line for each way to normalise the
    /// query set.
    pub fn validations(&self, over: &str, name: impl Fn(&str) -> String) -> Vec<Series> {
        let mut lines: Vec<(String, Vec<(f64, Interval)>)> = Vec::new();
        for line in &self.validation {
            for result in line["results"].as_array().into_iter().flatten() {
                let statistics = result["statistics"].as_str().unwrap_or_default();
                let value = (|| {
                    let (mean, half_width) = (result["mean"].as_f64()?, result["half_width"].as_f64()?);
                    Some((line[over].as_f64()?, Interval { mean, half_width }))
                })();
                let Some(value) = value else { continue };
                match lines.iter_mut().find(|(of, _)| of == statistics) {
                    Some((_, points)) => points.push(value),
                    None => lines.push((statistics.into(), vec![value])),
                }
            }
        }
        lines.into_iter().map(|(statistics, points)| with_intervals(name(&statistics), &points)).collect()
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
        text += r#"{"iteration": 960, "seconds": 9, "results": [
            {"statistics": "transductive", "mean": 0.5, "half_width": 0.1},
            {"statistics": "inductive", "mean": 0.25, "half_width": 0.1}]}"#
            .replace('\n', " ")
            .as_str();
        let metrics = Metrics::parse(&text);
        assert_eq!(metrics.end(), (960, 960.5));
        let line = metrics.series("loss", "query_loss").unwrap();
        assert!(line.points().len() <= MOST_POINTS && line.band().len() == line.points().len());
        // Eight lines a stretch, of which four are 1.
        assert!(line.points().iter().all(|&(_, y)| y == 0.5), "{:?}", line.points());
        assert!(metrics.series("nothing", "no such key").is_none());
        let lines = metrics.validations("iteration", str::to_owned);
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0].name(), lines[0].points()), ("transductive", &[(960.0, 0.5)][..]));
    }
}
