//! metrics.csv and the event file say what metrics.jsonl says.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::{TINY, bytes, event_file, folder, succeed};

/// Validations at 3, 6 and 9, lines at 1, 2, 4, 6, 8 and the last: alone, together, and neither.
const SINUSOID: &[&str] =
    &["train", "sinusoid", "--meta-batch=2", "--inner-steps=2", "--log-every=2", "--eval-every=3", "--eval-tasks=4"];

const EVENTS: &str = "events.out.tfevents.imaml";

fn text(folder: &Path, file: &str) -> String {
    String::from_utf8(bytes(folder, file)).unwrap()
}

fn lines(folder: &Path, run: &str) -> Vec<Value> {
    text(folder, &format!("{run}/metrics.jsonl")).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What metrics.csv holds, by iteration and column, without empty cells; and its columns.
fn table(folder: &Path, run: &str) -> (BTreeMap<(u64, String), String>, Vec<String>) {
    let text = text(folder, &format!("{run}/metrics.csv"));
    let (header, rows) = text.split_once('\n').unwrap();
    let columns: Vec<String> = header.split(',').map(str::to_owned).collect();
    let mut cells = BTreeMap::new();
    let mut before = 0;
    for row in rows.lines() {
        let values: Vec<&str> = row.split(',').collect();
        assert_eq!(values.len(), columns.len(), "{row}");
        let iteration: u64 = values[0].parse().unwrap();
        assert!(iteration > before, "rows are not in order, each iteration once: {text}");
        before = iteration;
        for (column, value) in columns.iter().zip(values).filter(|(_, value)| !value.is_empty()) {
            cells.insert((iteration, column.clone()), value.to_owned());
        }
    }
    (cells, columns)
}

/// The same from metrics.jsonl: every number of every line, as it stands there.
fn expected(lines: &[Value]) -> BTreeMap<(u64, String), String> {
    let mut cells = BTreeMap::new();
    for line in lines {
        let iteration = line["iteration"].as_u64().unwrap();
        let mut put = |column: String, value: &Value| cells.insert((iteration, column), value.to_string());
        for key in ["iteration", "seconds"] {
            put(key.into(), &line[key]);
        }
        match line["results"].as_array() {
            None => line.as_object().unwrap().iter().for_each(|(key, value)| drop(put(key.clone(), value))),
            Some(results) => {
                put("validation_tasks".into(), &line["tasks"]);
                for result in results {
                    let name = validation_name(result);
                    put(format!("validation_{name}"), &result["mean"]);
                    put(format!("validation_{name}_half_width"), &result["half_width"]);
                }
            }
        }
    }
    cells
}

fn validation_name(result: &Value) -> String {
    let inductive = if result["statistics"] == "inductive" { "inductive_" } else { "" };
    format!("{inductive}{}", result["measure"].as_str().unwrap())
}

#[test]
fn the_table_is_the_lines() {
    let folder = folder();
    let path = folder.path();
    succeed(path, &[SINUSOID, &["--iterations=9", "--out=sinusoid"]].concat());
    succeed(path, &["train", "sinusoid", "--method=maml", "--meta-batch=2", "--iterations=3", "--out=maml"]);
    succeed(path, &[&["train"], TINY, &["--iterations=3", "--out=glyphs"]].concat());
    for run in ["sinusoid", "maml", "glyphs"] {
        assert_eq!(table(path, run).0, expected(&lines(path, run)), "{run}");
        assert!(!path.join(run).join(EVENTS).exists());
    }
    let columns = |run| table(path, run).1.join(" ");
    assert_eq!(
        columns("sinusoid"),
        "iteration seconds query_loss first_inner last_inner meta_gradient outer_lr delta \
         delta_relative delta_prime negative_curvature policy_acted products evaluations sampling_error skipped bytes \
         validation_tasks validation_mse validation_mse_half_width"
    );
    assert_eq!(
        columns("maml"),
        "iteration seconds query_loss first_inner last_inner meta_gradient outer_lr delta delta_relative products evaluations \
         sampling_error skipped bytes"
    );
    assert!(columns("glyphs").ends_with(
        "validation_tasks validation_accuracy validation_accuracy_half_width validation_inductive_accuracy \
         validation_inductive_accuracy_half_width"
    ));
}

/// Scalars that metrics.jsonl asks for, by step and tag.
fn scalars(lines: &[Value]) -> BTreeMap<(u64, String), f32> {
    let mut scalars = BTreeMap::new();
    let groups = [
        ("train", &["query_loss", "first_inner", "last_inner", "meta_gradient", "outer_lr"][..]),
        ("solver", &["delta", "delta_relative", "delta_prime", "negative_curvature", "policy_acted"][..]),
        ("solver", &["products", "evaluations", "sampling_error", "error_estimate", "skipped"][..]),
    ];
    for line in lines {
        let step = line["iteration"].as_u64().unwrap();
        let mut put = |tag: String, value: f64| scalars.insert((step, tag), value as f32);
        for (group, keys) in groups {
            for key in keys {
                if let Some(value) = line[key].as_f64() {
                    put(format!("{group}/{key}"), value);
                }
            }
        }
        for result in line["results"].as_array().into_iter().flatten() {
            let tag = format!("validation/{}", validation_name(result));
            let [mean, half] = ["mean", "half_width"].map(|key| result[key].as_f64().unwrap());
            put(format!("{tag}_lower"), mean - half);
            put(format!("{tag}_upper"), mean + half);
            put(tag, mean);
        }
    }
    scalars
}

#[test]
fn the_event_file_is_the_lines() {
    let folder = folder();
    let path = folder.path();
    succeed(path, &[SINUSOID, &["--tensorboard", "--iterations=9", "--out=sinusoid"]].concat());
    succeed(path, &[&["train"], TINY, &["--tensorboard", "--iterations=3", "--out=glyphs"]].concat());
    for (run, tags) in [("sinusoid", 14 + 3), ("glyphs", 14 + 6)] {
        let events = event_file::read(&bytes(path, &format!("{run}/{EVENTS}"))).unwrap();
        assert_eq!((events[0].wall_time, events[0].version.as_deref()), (0.0, Some("brain.Event:2")));
        let lines = lines(path, run);
        let mut found = BTreeMap::new();
        for event in &events[1..] {
            let line = lines.iter().find(|line| line["iteration"] == event.step).unwrap();
            assert_eq!(line["seconds"], event.wall_time);
            for (tag, value) in &event.values {
                assert_eq!(found.insert((event.step, tag.clone()), *value), None, "{tag} twice at {}", event.step);
            }
        }
        assert_eq!(found, scalars(&lines));
        let names: std::collections::BTreeSet<_> = found.keys().map(|(_, tag)| tag).collect();
        assert_eq!(names.len(), tags, "{names:?}");
    }
}

#[test]
fn going_on_makes_the_files_of_an_uninterrupted_run() {
    let folder = folder();
    let path = folder.path();
    let tensorboard = [SINUSOID, &["--tensorboard"]].concat();
    succeed(path, &[&tensorboard[..], &["--iterations=9", "--out=whole"]].concat());
    // Ends on a line that the whole run does not have, and on an iteration that is validated but not logged.
    for end in ["--iterations=5", "--iterations=3"] {
        succeed(path, &[&tensorboard[..], &[end, "--out=parts", "--force"]].concat());
        succeed(path, &["train", "--resume=parts", "--iterations=9"]);
        let timeless = |run| {
            let (mut cells, columns) = table(path, run);
            cells.retain(|(_, column), _| column != "seconds");
            (cells, columns)
        };
        assert_eq!(timeless("parts"), timeless("whole"), "{end}");
        assert_eq!(table(path, "parts").0, expected(&lines(path, "parts")), "{end}");
        let events = |run| event_file::read(&bytes(path, &format!("{run}/{EVENTS}"))).unwrap();
        let timeless = |run| events(run).into_iter().map(|e| (e.step, e.values)).collect::<Vec<_>>();
        assert_eq!(timeless("parts"), timeless("whole"), "{end}");
    }
}

#[test]
fn an_event_file_never_outlives_its_run() {
    let folder = folder();
    let path = folder.path();
    let run = |more: &[&str]| {
        succeed(path, &[SINUSOID, &["--out=run", "--force"], more].concat());
        path.join("run").join(EVENTS).exists()
    };
    assert!(run(&["--tensorboard", "--iterations=2"]));
    assert!(!run(&["--iterations=2"]));
    // Asked for later, it has the whole run; and then the run goes on with it.
    let steps = || {
        let events = event_file::read(&bytes(path, &format!("run/{EVENTS}"))).unwrap();
        events.iter().map(|e| e.step).collect::<Vec<_>>()
    };
    succeed(path, &["train", "--resume=run", "--iterations=4", "--tensorboard"]);
    assert_eq!(steps(), [0, 1, 2, 3, 4]);
    succeed(path, &["train", "--resume=run", "--iterations=6"]);
    assert_eq!(steps(), [0, 1, 2, 3, 4, 6]);
    std::fs::write(path.join("a.toml"), "tensorboard = true\n").unwrap();
    assert!(run(&["--config=a.toml", "--iterations=1"]));
    assert!(!run(&["--config=a.toml", "--iterations=1", "--tensorboard=false"]));
}
