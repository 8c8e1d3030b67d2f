//! What was said of each image: as a table, as JSON, as CSV.

use std::path::Path;

use meta::problem::QueryStatistics;
use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::format::count;
use crate::table;

/// The probabilities of one image.
pub struct Said {
    file: String,
    probabilities: Vec<f64>,
    /// The likeliest class, and the next.
    first: usize,
    second: usize,
}

impl Said {
    /// Of an image in a file. There are at least two classes.
    pub fn new(file: &Path, probabilities: Vec<f64>) -> Self {
        let mut order: Vec<usize> = (0..probabilities.len()).collect();
        order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
        Said { file: file.display().to_string(), first: order[0], second: order[1], probabilities }
    }
}

/// All that is said.
pub struct Report<'a> {
    /// Of the run.
    pub config: &'a Config,
    /// Names of the classes.
    pub labels: Vec<String>,
    /// How the query was normalised.
    pub statistics: QueryStatistics,
    /// Classes of the examples.
    pub truth: &'a [u32],
    /// Of the examples themselves.
    pub support: Vec<Said>,
    /// Of the images to label.
    pub query: Vec<Said>,
}

impl Report<'_> {
    /// The examples with their classes.
    fn examples(&self) -> impl Iterator<Item = (&Said, usize)> {
        self.support.iter().zip(self.truth.iter().map(|&class| class as usize))
    }

    /// How many examples are labelled as their folder says, and the mean probability of that label.
    fn fit(&self) -> (usize, f64) {
        let right = self.examples().filter(|(said, class)| said.first == *class).count();
        let sum: f64 = self.examples().map(|(said, class)| said.probabilities[class]).sum();
        (right, sum / self.support.len() as f64)
    }

    /// For people: how it was adapted and how well the examples fit, then a line for each image.
    pub fn lines(&self) -> Vec<String> {
        let examples = count(self.support.len() as u64, "example");
        let classes = self.labels.len();
        let (right, mean) = self.fit();
        let mut lines = vec![
            format!("adapted   to {examples} of {classes} classes, {}", self.config.descent()),
            format!(
                "examples  {right} of {examples} get their own label, with probability {} on average",
                percent(mean)
            ),
        ];
        for (said, class) in self.examples().filter(|(said, class)| said.first != *class) {
            let (own, other) = (said.probabilities[class], said.probabilities[said.first]);
            let (label, first) = (&self.labels[class], &self.labels[said.first]);
            let (own, other) = (percent(own), percent(other));
            lines.push(format!(
                "          {}: {label} {own}, but {first} {other}; is it in the right folder?",
                said.file
            ));
        }
        lines.push(format!(
            "images    normalised {}",
            match self.statistics {
                QueryStatistics::Inductive => "each alone, with the examples' statistics",
                QueryStatistics::Transductive => "together",
            }
        ));
        lines.push(String::new());
        lines.extend(self.table());
        lines
    }

    fn table(&self) -> Vec<String> {
        let head = ["file", "label", "probability", "runner-up", ""].map(String::from);
        let rows = self.query.iter().map(|said| {
            let [first, second] = [said.first, said.second].map(|c| (&self.labels[c], percent(said.probabilities[c])));
            [said.file.clone(), first.0.clone(), first.1, second.0.clone(), second.1]
        });
        let rows: Vec<[String; 5]> = std::iter::once(head).chain(rows).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths = [0, 1, 2, 3, 4].map(width);
        let line = |[file, first, p, second, q]: &[String; 5]| {
            let [a, b, c, d, e] = widths;
            format!("{file:<a$}  {first:<b$}  {p:>c$}  {second:<d$}  {q:>e$}").trim_end().to_owned()
        };
        rows.iter().map(line).collect()
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let entry = |said: &Said| {
            let probabilities: Map<String, Value> =
                self.labels.iter().cloned().zip(said.probabilities.iter().map(|&p| p.into())).collect();
            json!({ "file": said.file, "label": self.labels[said.first], "probabilities": probabilities })
        };
        let support = self.examples().map(|(said, class)| {
            let mut entry = entry(said);
            entry["folder"] = self.labels[class].as_str().into();
            entry
        });
        let (right, mean) = self.fit();
        json!({
            "dataset": self.config.dataset,
            "method": self.config.method,
            "model": self.config.model,
            "inner_steps": self.config.inner_steps,
            "inner_solver": self.config.inner_solver,
            "inner_lr": self.config.inner_lr,
            "inner_tol": self.config.inner_tol,
            "lambda": self.config.lambda,
            "statistics": self.statistics.name(),
            "labels": self.labels,
            "support": support.collect::<Vec<_>>(),
            "support_accuracy": right as f64 / self.support.len() as f64,
            "support_probability": mean,
            "query": self.query.iter().map(entry).collect::<Vec<_>>(),
        })
    }

    /// For spreadsheets: file, label, and a column of probabilities for each class.
    pub fn to_csv(&self) -> String {
        let head = ["file", "label"].map(String::from).into_iter().chain(self.labels.iter().cloned()).collect();
        let row = |said: &Said| -> Vec<String> {
            let names = [said.file.clone(), self.labels[said.first].clone()].into_iter();
            names.chain(said.probabilities.iter().map(f64::to_string)).collect()
        };
        table::csv(std::iter::once(head).chain(self.query.iter().map(row)))
    }
}

/// `97.3 %`
fn percent(p: f64) -> String {
    format!("{:.1} %", 100.0 * p)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn the_likeliest_two_are_named() {
        let said = Said::new(Path::new("a.png"), vec![0.2, 0.1, 0.7]);
        assert_eq!((said.first, said.second), (2, 0));
    }

    #[test]
    fn an_example_that_does_not_fit_is_named() {
        let said = |file: &str, p: f64| Said::new(Path::new(file), vec![p, 1.0 - p]);
        let report = Report {
            config: &Config::new(Settings::default()).unwrap(),
            labels: vec!["alpha".into(), "beta".into()],
            statistics: QueryStatistics::Inductive,
            truth: &[0, 0, 1],
            support: vec![said("a/0.png", 0.9), said("a/1.png", 0.4), said("b/0.png", 0.2)],
            query: vec![said("q.png", 0.75)],
        };
        assert_eq!(report.fit(), (2, 2.1 / 3.0));
        let lines = report.lines();
        let doubts: Vec<&String> = lines.iter().filter(|line| line.contains("right folder")).collect();
        assert!(matches!(doubts[..], [line] if line.contains("a/1.png: alpha 40.0 %, but beta 60.0 %")), "{lines:?}");
        assert_eq!(lines.last().unwrap(), "q.png  alpha       75.0 %  beta       25.0 %");
        assert_eq!(report.to_csv(), "file,label,alpha,beta\nq.png,alpha,0.75,0.25\n");
    }
}
