//! Pages: of a run, and of runs compared.

use super::{TINY, bytes, folder, run, succeed};

fn page(folder: &std::path::Path, file: &str) -> String {
    String::from_utf8(bytes(folder, file)).unwrap()
}

/// What a page must not do: load anything.
fn assert_self_contained(html: &str) {
    assert!(html.starts_with("<!DOCTYPE html>") && html.trim_end().ends_with("</html>"));
    for loads in ["<script", "<link", "src=\"http", "href=\"http", "url(http", "@import"] {
        assert!(!html.contains(loads), "{loads}");
    }
    assert!(!html.contains("NaN"), "a number is missing and drawn all the same");
}

#[test]
fn every_run_has_a_page_of_its_own() {
    let folder = folder();
    let path = folder.path();
    let sinusoid: &[&str] = &["sinusoid", "--inner-steps=2", "--meta-batch=3", "--eval-tasks=5", "--log-every=1"];
    for (tasks, method, pictures) in
        [(TINY, "imaml", true), (TINY, "reptile", true), (sinusoid, "maml", false), (sinusoid, "fomaml", false)]
    {
        let method = format!("--method={method}");
        succeed(path, &[&["train"], tasks, &[&method[..], "--iterations=4", "--out=run", "--force"]].concat());
        let html = page(path, "run/report.html");
        assert_self_contained(&html);
        for heading in ["Learning", "Adaptation", "Example tasks", "How exact", "Time and memory", "Configuration"] {
            assert!(html.contains(&format!("<h2>{heading}")), "{method}: no {heading}");
        }
        assert_eq!(html.contains("data:image/png;base64,"), pictures, "{method}");
        assert!(html.contains("validation tasks"), "a run is shown on validation tasks");

        // Again on test tasks, and elsewhere.
        succeed(path, &["report", "run", "--tasks=6", "--out=elsewhere.html"]);
        assert!(page(path, "elsewhere.html").contains("on 6 test tasks"));
        assert_eq!(page(path, "run/report.html"), html, "--out leaves the run's own page alone");
    }
}

#[test]
fn a_page_tells_of_the_whole_run_and_an_unfinished_one_has_none() {
    let folder = folder();
    let path = folder.path();
    let short = ["train", "sinusoid", "--eval-every=0", "--eval-tasks=2", "--meta-batch=3", "--out=run"];
    succeed(path, &[&short[..], &["--iterations=9"]].concat());
    // Logged are the first iteration, every hundredth and the last.
    assert!(page(path, "run/report.html").contains("9 iterations, 27 tasks"));
    // Measured with another seed it is the same run.
    succeed(path, &["report", "run", "--seed=5", "--tasks=2", "--out=other.html"]);
    let other = page(path, "other.html");
    assert!(other.contains("seed 5") && other.contains("<th>seed</th><td>0</td>"));
    // A run in its place that is not complete has no page, and nothing else of the other's.
    let wild = ["--force", "--iterations=300", "--outer-lr=1e30", "--method=maml"];
    let output = run(path, &[&short[..], &wild].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(path.join("run/config.toml").is_file() && !path.join("run/report.html").exists());
}

/// What the page says of the whole program, itself included: that with a budget is far below that without.
#[cfg(target_os = "linux")]
#[test]
fn a_page_keeps_to_the_memory_of_its_run() {
    let folder = folder();
    let path = folder.path();
    let short =
        ["train", "sinusoid", "--method=maml", "--eval-every=0", "--eval-tasks=2", "--iterations=1", "--out=run"];
    let largest = |more: &[&str]| -> f64 {
        let steps = ["--inner-steps=4000", "--meta-batch=1", "--threads=1", "--force"];
        succeed(path, &[&short[..], &steps, more].concat());
        let html = page(path, "run/report.html");
        let (_, after) = html.split_once("this program at its largest").unwrap();
        after.trim_start_matches(|c: char| !c.is_ascii_digit()).split(' ').next().unwrap().parse().unwrap()
    };
    let (within, without) = (largest(&["--memory=1MiB"]), largest(&[]));
    assert!(2.0 * within < without, "{within} and {without} MB");
}

#[test]
fn runs_are_compared_on_the_same_tasks() {
    let folder = folder();
    let path = folder.path();
    let train = |out: &str, more: &[&str]| {
        succeed(path, &[&["train", "sinusoid", "--method=maml", "--log-every=50", out], more].concat());
    };
    train("--out=long", &["--iterations=400", "--outer-lr=0.005", "--seed=1"]);
    train("--out=short", &["--iterations=1", "--seed=2"]);
    train("--out=shots", &["--iterations=1", "--shots=3"]);

    let says = succeed(path, &["report", "long", "short", "--tasks=100"]);
    assert!(says.contains("long is better than short by"), "{says}");
    let html = page(path, "comparison.html");
    assert_self_contained(&html);
    assert!(html.contains("long is better than short by"));
    // A run beside itself is the case of no difference.
    let says = succeed(path, &["report", "short", "short", "--tasks=20", "--out=same.html"]);
    assert!(says.contains("cannot be told apart from noise on 20 tasks"), "{says}");

    let refused = run(path, &["report", "long", "shots"]);
    let error = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(error.contains("shots has other tasks") && error.trim_end().lines().count() == 1, "{error}");
}
