//! The page of a run: what it learned, by which protocol, at what cost, how exactly; and several runs beside each other.
//!
//! | file | what it makes |
//! |---|---|
//! | `history` | what a run logged, as lines to draw |
//! | `examples` | tasks as pictures, with the answers before and after adaptation |
//! | `exactness` | the error of the meta-gradient |
//! | `comparison` | runs on the same tasks, paired |
//! | `page` | the HTML around it |

mod comparison;
mod exactness;
mod examples;
mod history;
mod page;

pub use comparison::{Contender, comparison};
pub use history::History;

use meta::predict::Measure;
use meta::problem::{LearnedValue, QueryStatistics};
use meta::tasks::Split;
use meta::train::Evaluation;

use crate::chart::{Axis, Chart, Scale, Series};
use crate::commands::eval::evaluate;
use crate::config::Config;
use crate::experiment::Experiment;
use crate::failure::Failure;
use crate::format;
use crate::inner::Inner;
use crate::memory;
use history::with_intervals;

/// What a page is made of.
pub struct Subject<'a> {
    /// How the run was made.
    pub made: &'a Config,
    /// The same, with the seed and the data that it is measured with.
    pub config: &'a Config,
    /// Its tasks and network.
    pub experiment: &'a Experiment,
    /// Its parameters.
    pub theta: &'a [f32],
    /// Its metrics.jsonl.
    pub metrics: &'a str,
    /// Which tasks it is measured on.
    pub split: Split,
    /// How many.
    pub tasks: u64,
}

/// The page of one run.
///
/// # Errors
/// Where the memory to measure it is not there.
pub fn of_run(subject: &Subject<'_>) -> Result<String, Failure> {
    let Subject { config, experiment, theta, split, tasks, .. } = *subject;
    let history = History::parse(subject.metrics);
    let steps = curve_steps(&experiment.inner, config.inner_steps);
    let results = evaluate(experiment, theta, split, tasks, &steps)?;
    let mut body = headline(subject, &results);
    body += &page::section("Learning", &learning(&history, &results));
    body += &page::section("Adaptation", &adaptation(subject, &results));
    body += &page::section("Example tasks", &examples::section(config, experiment, theta, split));
    body += &page::section("How exact the meta-gradient is", &exact(subject, &history));
    body += &page::section("Time and memory", &cost(subject, &history));
    body += &page::section("Configuration and protocol", &protocol(subject, &results));
    Ok(page::html(&title(config), &body))
}

/// `iMAML on omniglot, 5-way 1-shot, 5 queries a class`
fn title(config: &Config) -> String {
    format!("{} on {}", config.title(), config.tasks())
}

/// Steps of adaptation to measure after: up to twice those of training. A solver that decides begins again for each number,
/// which are fewer for it, and none beyond those of training.
fn curve_steps(inner: &Inner, trained: usize) -> Vec<usize> {
    let (steps, most) = if inner.takes_all_steps() {
        (&[0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64][..], (2 * trained).max(4))
    } else {
        (&[0, 1, 2, 4, 8, 16, 32, 64][..], trained)
    };
    let mut steps: Vec<usize> = steps.iter().copied().filter(|&k| k <= most).collect();
    steps.extend([trained, most]);
    steps.sort_unstable();
    steps.dedup();
    steps
}

fn headline(subject: &Subject<'_>, results: &[Evaluation]) -> String {
    let k = subject.config.inner_steps;
    let value = results.first().and_then(|r| Some((r.measure, r.after.iter().find(|a| a.0 == k)?.1)));
    let Some((measure, value)) = value else { return String::new() };
    let what = if measure == Measure::Accuracy { "accuracy" } else { "mean squared error" };
    format!(
        "<p class=\"lead\">{} {what} after {}, on {} {} tasks (95 % interval).</p>\n",
        format::interval(measure, value),
        format::count(k as u64, "step"),
        subject.tasks,
        subject.split.name(),
    )
}

fn learning(history: &History, results: &[Evaluation]) -> String {
    let iterations = || Axis::new("iteration", Scale::Linear);
    let mut html = String::new();
    let loss = [("query loss after adaptation", "query_loss"), ("support loss before", "first_inner")];
    let lines: Vec<Series> = loss.iter().filter_map(|(name, key)| history.series(name, key)).collect();
    if !lines.is_empty() {
        let chart = Chart::new("Training loss", iterations(), Axis::new("loss", Scale::Log10)).with_panel("", lines);
        let caption = "Means over the tasks of a meta-batch; bands are 95 % intervals of the mean of neighbouring \
                       iterations.";
        html += &page::figure(&chart.svg(), caption);
    }
    let lines = history.validations(|row| row.iteration as f64, |alone| line_name(results, alone));
    if let (false, Some(first)) = (lines.is_empty(), results.first()) {
        let chart = Chart::new("Validation", iterations(), measure_axis(first.measure)).with_panel("", lines);
        html +=
            &page::figure(&chart.svg(), "On tasks that training does not use; bands are 95 % intervals over tasks.");
    }
    html
}

/// How a line is called: by its statistics, where there is a choice.
fn line_name(results: &[Evaluation], alone: bool) -> String {
    let statistics = if alone { QueryStatistics::Inductive } else { QueryStatistics::Transductive };
    let only = results.first().map_or("", |r| r.measure.name());
    if results.len() > 1 { statistics.name() } else { only }.to_owned()
}

fn measure_axis(measure: Measure) -> Axis {
    match measure {
        Measure::Accuracy => Axis::new("accuracy", Scale::Linear).within(0.0, 1.0),
        Measure::SquaredError => Axis::new("mean squared error", Scale::Log10),
    }
}

fn adaptation(subject: &Subject<'_>, results: &[Evaluation]) -> String {
    let Some(first) = results.first() else { return String::new() };
    let line = |r: &Evaluation| {
        let points: Vec<_> = r.after.iter().map(|&(k, interval)| (k as f64, interval)).collect();
        with_intervals(line_name(results, r.statistics == QueryStatistics::Inductive), &points)
    };
    let chart =
        Chart::new("Adaptation", Axis::new("steps on the support set", Scale::Linear), measure_axis(first.measure))
            .with_panel("", results.iter().map(line).collect());
    let mut caption = format!(
        "On {} {} tasks; the run was trained with {}. Bands are 95 % intervals over tasks.",
        subject.tasks,
        subject.split.name(),
        format::count(subject.config.inner_steps as u64, "step")
    );
    if !subject.experiment.inner.takes_all_steps() {
        caption += " Steps are the most that adaptation takes: it may end sooner.";
    }
    if results.len() > 1 {
        caption += " Transductive: queries normalised together; inductive: each query alone, with the support set's \
                    statistics.";
    }
    page::figure(&chart.svg(), &caption)
}

fn exact(subject: &Subject<'_>, history: &History) -> String {
    let mut html = exactness::section(subject.config, subject.experiment, subject.theta, subject.split);
    let lines = [
        ("δ: gradient of the inner objective at its end", "delta"),
        ("δ′: residual of the linear solve", "delta_prime"),
    ];
    let lines: Vec<Series> = lines.iter().filter_map(|(name, key)| history.series(name, key)).collect();
    if !lines.is_empty() {
        let axes = (Axis::new("iteration", Scale::Linear), Axis::new("norm", Scale::Log10));
        let chart = Chart::new("What the solvers left", axes.0, axes.1).with_panel("", lines);
        html +=
            &page::figure(&chart.svg(), "Means over the tasks of a meta-batch; δ′ is relative to the right-hand side.");
    }
    html
}

fn cost(subject: &Subject<'_>, history: &History) -> String {
    let (iterations, seconds) = history.end();
    let tasks = iterations * subject.config.meta_batch as u64;
    let mut rows = vec![
        vec![
            "training".into(),
            format!("{}, {tasks} tasks in {}", format::count(iterations, "iteration"), format::clock(seconds)),
        ],
        vec!["speed".into(), format!("{:.0} tasks a second", tasks as f64 / seconds.max(1e-9))],
    ];
    if let Some(bytes) = history.last("bytes") {
        rows.push(vec!["memory of a meta-gradient".into(), format!("{:.1} MB a thread (planned)", bytes / 1e6)]);
    }
    if let Some(bytes) = memory::peak_rss_bytes() {
        rows.push(vec![
            "this program at its largest".into(),
            format!("{:.0} MB, this page included", bytes as f64 / 1e6),
        ]);
    }
    page::table(&rows, false)
}

fn protocol(subject: &Subject<'_>, results: &[Evaluation]) -> String {
    let Subject { made, config, experiment, split, tasks, .. } = subject;
    let mut rows = vec![
        vec!["tasks".into(), config.tasks()],
        vec!["measured on".into(), format!("{tasks} tasks of the {} split, seed {}", split.name(), config.seed)],
        vec![
            "adaptation".into(),
            format!(
                "{}{} of {}",
                config.inner().at_most(),
                format::count(config.inner_steps as u64, "step"),
                config.adaptation()
            ),
        ],
        vec![
            "network".into(),
            format!("{}, {} parameters", config.model, experiment.problem.model().layout().parameter_count()),
        ],
    ];
    for value in experiment.problem.learned_values(subject.theta, experiment.hyper) {
        let LearnedValue { name, least, mean, most } = value;
        rows.push(vec![format!("learned {name}"), format!("{mean:.3e} (from {least:.3e} to {most:.3e})")]);
    }
    if results.len() > 1 {
        rows.push(vec!["batch norm".into(), "batch statistics: transductive and inductive as said".into()]);
    }
    let file = made.to_toml();
    let settings = file.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = "));
    rows.extend(settings.map(|(key, value)| vec![key.into(), value.trim_matches('"').into()]));
    page::table(&rows, false)
}
