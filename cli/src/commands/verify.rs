//! `imaml verify`: a meta-gradient every way there is, on the user's own model and data, and how the ways agree.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use autodiff::Arg;
use clap::Args;
use meta::problem::{FewShot, QueryStatistics};
use meta::tasks::Split;
use meta::verify::{Check, Comparison, Findings, Own, Reference, Settings, Verdict, verify as every_way};
use nn::Model;
use serde_json::{Value, json};

use crate::checks;
use crate::config::Config;
use crate::console::say;
use crate::episode::{self, EpisodeFile, Needs, Tasks};
use crate::experiment;
use crate::failure::Failure;
use crate::format::count;
use crate::initial;
use crate::model;
use crate::settings::{self, Dataset};
use crate::tensors::Tensors;

/// The meta-gradient every way there is, compared: exit status 1 where two disagree. In double precision.
#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {
    /// An episode file (safetensors); without one, built-in cases.
    #[arg(requires = "model")]
    file: Option<PathBuf>,
    /// The model, such as mlp:1-40-40-1 or conv4:channels=64,stride=2,ways=5,image=1x28x28.
    #[arg(long, value_name = "SPEC", requires = "file")]
    model: Option<String>,
    /// How many of the file's tasks.
    #[arg(long, value_name = "T", default_value_t = 1, requires = "file")]
    tasks: usize,
    /// λ of the prox term.
    #[arg(long, default_value_t = 2.0)]
    lambda: f64,
    /// Inner gradient steps.
    #[arg(long, value_name = "K", default_value_t = 16)]
    inner_steps: usize,
    /// Inner step size [default: half of one over the largest curvature].
    #[arg(long, value_name = "RATE")]
    inner_lr: Option<f64>,
    /// Do not adapt parameters whose names start so, such as conv or fc.bias.
    #[arg(long, value_name = "PREFIX,...", value_delimiter = ',', requires = "file")]
    freeze: Vec<String>,
    /// Normalise query sets with the support set's batch statistics.
    #[arg(long, requires = "file")]
    inductive: bool,
    /// Form matrices where at most so many parameters adapt.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    dense: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// A model, its parameters, and tasks.
struct Case {
    title: String,
    problem: FewShot,
    theta: Vec<f64>,
    tasks: Tasks<f64>,
}

/// `imaml verify`
///
/// # Errors
/// One line on what is wrong with the arguments or the file.
pub fn verify(args: &VerifyArgs) -> Result<ExitCode, Failure> {
    for (value, flag) in [(Some(args.lambda), "--lambda"), (args.inner_lr, "--inner-lr")] {
        if let Some(v) = value.filter(|v| !(v.is_finite() && *v > 0.0)) {
            return Err(format!("{flag} is {v}: expected a number above 0").into());
        }
    }
    checks::within(&[
        ("--tasks", Some(args.tasks as u64), (1, u64::MAX)),
        ("--inner-steps", Some(args.inner_steps as u64), (1, checks::INNER_STEPS.1)),
    ])?;
    if args.dense > 10_000 {
        return Err(format!("--dense is {}: expected at most 10000, whose matrix takes 800 MB", args.dense).into());
    }
    autodiff::Isa::detect()?;
    let cases = match (&args.file, &args.model) {
        (Some(file), Some(spec)) => vec![from_file(args, file, spec)?],
        _ => built_in()?,
    };
    let settings = Settings {
        lambda: args.lambda,
        steps: args.inner_steps,
        rate: args.inner_lr,
        dense: args.dense,
        ..Settings::default()
    };
    let mut sound = true;
    let mut objects = Vec::new();
    for case in &cases {
        let found = run(case, args.tasks, &settings);
        sound &= found.iter().all(Findings::is_sound);
        if args.json {
            objects.push(json!({ "case": case.title, "findings": found.iter().map(to_json).collect::<Vec<Value>>() }));
        } else {
            report(case, &found);
        }
    }
    if args.json {
        say(json!({ "sound": sound, "cases": objects }));
    } else if sound {
        say("Nothing disagrees.");
    } else {
        say("Something disagrees: one of the ways named above is wrong, or a part that they share.");
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn from_file(args: &VerifyArgs, file: &PathBuf, spec: &str) -> Result<Case, Failure> {
    let model = model::parse(spec).map_err(|e| Failure::new(format_args!("--model: {e}")))?;
    let bytes = std::fs::read(file).map_err(|e| Failure::io("read", file, &e))?;
    let needs = Needs { query: true, ..Needs::default() };
    let EpisodeFile { parameters: theta, tasks, .. } =
        episode::read(file, &Tensors::parse(file, &bytes)?, &model, needs)?;
    if args.tasks > tasks.count {
        let (asked, shown) = (args.tasks, file.display());
        return Err(format!("--tasks is {asked}: {shown} has {}", count(tasks.count as u64, "task")).into());
    }
    let freezes = |name: &str| args.freeze.iter().any(|prefix| name.starts_with(prefix.as_str()));
    let names: Vec<&str> = model.layout().entries().iter().map(|e| e.name()).collect();
    if let Some(prefix) = args.freeze.iter().find(|prefix| !names.iter().any(|n| n.starts_with(prefix.as_str()))) {
        return Err(format!("--freeze {prefix} names no parameter of {spec}, which has {}", names.join(", ")).into());
    }
    if names.iter().all(|name| freezes(name)) {
        return Err("--freeze names every parameter: leave one that adapts".into());
    }
    let statistics = if args.inductive { QueryStatistics::Inductive } else { QueryStatistics::Transductive };
    let problem = problem(&model, &tasks).with_statistics(statistics).freezing(freezes);
    Ok(Case { title: format!("{spec} on {}", file.display()), problem, theta, tasks })
}

/// Small cases of every kind: smooth and not, with batch statistics both ways, frozen in parts, convex.
fn built_in() -> Result<Vec<Case>, Failure> {
    type Freezes = fn(&str) -> bool;
    let none: Freezes = |_| false;
    let (transductive, inductive) = (QueryStatistics::Transductive, QueryStatistics::Inductive);
    let images = |options: &str| format!("conv4:channels=4,stride=2,ways=3,image=1x28x28{options}");
    let body: Freezes = |name| !name.starts_with("fc");
    let head: Freezes = |name| name.starts_with("fc");
    [
        ("linear regression", Dataset::Sinusoid, "mlp:1-1".to_owned(), transductive, none),
        ("a smooth network", Dataset::Sinusoid, "mlp:1-8-8-1,act=tanh".into(), transductive, none),
        ("a ReLU network", Dataset::Sinusoid, "mlp:1-16-16-1".into(), transductive, none),
        (
            "a smooth network, its first layers frozen",
            Dataset::Sinusoid,
            "mlp:1-8-8-1,act=softplus".into(),
            transductive,
            |n| !n.starts_with("fc3"),
        ),
        ("a smooth convolutional network", Dataset::Glyphs, images(",act=softplus"), transductive, none),
        ("a convolutional network, each query alone", Dataset::Glyphs, images(""), inductive, none),
        (
            "a smooth convolutional network, its head alone adapted",
            Dataset::Glyphs,
            images(",act=tanh"),
            transductive,
            body,
        ),
        ("a convolutional network, its body alone adapted", Dataset::Glyphs, images(""), transductive, head),
    ]
    .into_iter()
    .map(|(title, dataset, spec, statistics, freezes)| {
        let ways = dataset.classifies().then_some(3);
        let config = Config::new(settings::Settings {
            dataset: Some(dataset),
            ways,
            queries: Some(4),
            model: Some(spec.clone()),
            ..settings::Settings::default()
        })?;
        let (model, stream) = experiment::tasks(&config)?;
        let theta: Vec<f64> = initial::parameters(&model, 0);
        let tasks = Tasks::sample(stream.as_ref(), Split::Train, 0, 1);
        let problem = problem(&model, &tasks).with_statistics(statistics).freezing(freezes);
        Ok(Case { title: format!("{title} ({spec})"), problem, theta, tasks })
    })
    .collect()
}

fn problem(model: &Model, tasks: &Tasks<f64>) -> FewShot {
    FewShot::new(model.clone(), tasks.support_rows, tasks.query_rows, true)
}

fn run(case: &Case, tasks: usize, settings: &Settings) -> [Findings; 2] {
    let all = &case.tasks;
    let mut data: Vec<Vec<Arg<'_, f64>>> = Vec::new();
    (0..tasks).for_each(|i| data.push(all.args(i).into()));
    let data: Vec<&[Arg<'_, f64>]> = data.iter().map(|d| &d[..]).collect();
    every_way(&Reference::new(&case.problem), &Own(&case.problem), &case.theta, &data, settings)
}

/// Counts of the three verdicts, in words.
fn summary(found: &Findings) -> String {
    let [agree, disagree, not] = ["agree", "disagree", "not comparable"].map(|name| found.count(name));
    format!("{agree} agree, {disagree} disagree, {not} not comparable")
}

fn report(case: &Case, found: &[Findings; 2]) {
    say(&case.title);
    let [asked, larger] = found;
    say(format_args!("  λ = {}, steps of α = {:.3e}", asked.lambda, asked.rate));
    say("");
    for line in table(asked) {
        say(format_args!("  {line}"));
    }
    say("");
    say(format_args!("  at λ = {}: {}", asked.lambda, summary(asked)));
    say(format_args!("  at λ = {:.3}: {}", larger.lambda, summary(larger)));
    for (found, lambda) in [(asked, asked.lambda), (larger, larger.lambda)] {
        for line in found.disagreements() {
            say(format_args!("  DISAGREE at λ = {lambda:.3}: {line}"));
        }
    }
    say("");
}

/// The ingredients, a row each; then the ways, each against those above it; then why not, letter by letter.
fn table(found: &Findings) -> Vec<String> {
    let mut lines = Vec::new();
    let mut reasons: Vec<String> = Vec::new();
    let mut cell = |c: &Comparison| match &c.verdict {
        Verdict::Agree if c.difference == 0.0 => String::from("="),
        // Adding 0 makes −0 into it.
        Verdict::Agree => format!("{:.0}", c.difference.log10().ceil() + 0.0),
        Verdict::Disagree => format!("✗{:.0}", c.difference.log10().ceil()),
        Verdict::NotComparable(reason) => {
            let i = reasons.iter().position(|r| r == reason).unwrap_or_else(|| {
                reasons.push(reason.clone());
                reasons.len() - 1
            });
            letter(i)
        }
    };
    for Check { name, comparison } in &found.checks {
        let drawn = |error| format!(", {:.2} off at a standard error of {error:.2}", comparison.difference);
        let drawn = comparison.standard_error.map_or(String::new(), drawn);
        lines.push(format!("{name:<42} {:>4}  {}{drawn}", cell(comparison), comparison.verdict.name()));
    }
    lines.push(String::new());
    let mut rows: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (i, _, comparison) in &found.pairs {
        rows.entry(*i).or_default().push(format!("{:>4}", cell(comparison)));
    }
    let width = found.ways.iter().map(|w| w.chars().count()).max().unwrap_or(0);
    for (i, name) in found.ways.iter().enumerate() {
        let cells = rows.get(&i).map_or(String::new(), |cells| cells.concat());
        let pad = " ".repeat(width - name.chars().count());
        lines.push(format!("{:>2} {name}{pad} {cells}", i + 1));
    }
    let numbers: String = (1..found.ways.len()).map(|i| format!("{i:>4}")).collect();
    lines.push(format!("{} {numbers}", " ".repeat(width + 3)));
    lines.push(String::new());
    lines.push(
        String::from(
            "−12: agree within a relative 10⁻¹²; =: the same bits; ✗: disagree; letters: not comparable, because",
        )
        .replace('−', "-"),
    );
    for (i, reason) in reasons.iter().enumerate() {
        lines.push(format!("{:>3}  {reason}", letter(i)));
    }
    lines
}

/// a, b, …, z, aa, ab, …
fn letter(i: usize) -> String {
    let last = char::from(b'a' + (i % 26) as u8);
    if i < 26 { last.into() } else { format!("{}{last}", letter(i / 26 - 1)) }
}

fn to_json(found: &Findings) -> Value {
    let comparison = |c: &Comparison| {
        let mut object = json!({ "verdict": c.verdict.name(), "difference": c.difference, "allowed": c.allowed });
        if let Some(error) = c.standard_error {
            object["standard_error"] = Value::from(error);
        }
        if let Verdict::NotComparable(reason) = &c.verdict {
            object["reason"] = Value::from(reason.as_str());
        }
        object
    };
    let checks: Vec<Value> = found
        .checks
        .iter()
        .map(|c| {
            let mut object = comparison(&c.comparison);
            object["check"] = Value::from(c.name);
            object
        })
        .collect();
    let pairs: Vec<Value> = found
        .pairs
        .iter()
        .map(|(i, j, c)| {
            let mut object = comparison(c);
            object["ways"] = json!([found.ways[*j], found.ways[*i]]);
            object
        })
        .collect();
    json!({ "lambda": found.lambda, "rate": found.rate, "checks": checks, "pairs": pairs })
}
