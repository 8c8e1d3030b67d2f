//! `imaml compare`: what it writes, and that what it says is in what it writes.

use std::collections::BTreeMap;

use super::bad_input::refuses;
use super::{bytes, folder, succeed};

/// The rows of a CSV file, by the names in its first line.
fn csv(text: &str) -> Vec<BTreeMap<&str, &str>> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let row = |line: &'_ str| -> Vec<String> { line.split(',').map(String::from).collect() };
    lines
        .map(|line| {
            assert_eq!(row(line).len(), names.len(), "{line}");
            names.iter().copied().zip(line.split(',')).collect()
        })
        .collect()
}

fn number(row: &BTreeMap<&str, &str>, name: &str) -> f64 {
    row[name].parse().unwrap_or_else(|_| panic!("{name} in {row:?}"))
}

#[test]
fn methods_are_compared_in_files_and_words() {
    let folder = folder();
    let path = folder.path();
    let said = succeed(path, &["compare", "--quick"]);
    let file = |name: &str| String::from_utf8(bytes(&path.join("compare"), name)).unwrap();
    let mut names: Vec<_> = std::fs::read_dir(path.join("compare")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    let expected =
        ["accuracy-compute.svg", "accuracy-steps.svg", "accuracy.csv", "memory.csv", "memory.svg", "time.svg"];
    assert_eq!(names, expected);
    let sentence = |start: &str, has: &str| {
        let line = said.lines().find(|line| line.starts_with(start) && line.contains(has));
        line.unwrap_or_else(|| panic!("no sentence {start} … {has} in {said}"))
    };

    // Accuracy: every method at every condition number and number of steps, and the first step that is good enough.
    let text = file("accuracy.csv");
    let rows = csv(&text);
    assert_eq!(rows.len(), 2 * 7 * 9);
    let at = |condition: &str, method: &str| {
        let of = move |r: &&BTreeMap<&str, &str>| r["condition_number"] == condition && r["method"] == method;
        rows.iter().filter(of).collect::<Vec<_>>()
    };
    let condition =
        if rows.iter().any(|r| r["condition_number"] == "100" && number(r, "error") <= 1e-3) { "100" } else { "10" };
    let (steps, compute) = (sentence("At condition", "inner steps by"), sentence("At condition", "products by"));
    for line in [steps, compute] {
        assert!(line.starts_with(&format!("At condition number {condition} ")), "{line}");
    }
    let methods = ["MAML", "MAML (last 10 steps)", "first-order MAML", "implicit (5 CG)", "implicit (CG to 1e-12)"];
    for method in methods {
        let of_method = at(condition, method);
        match of_method.iter().find(|r| number(r, "error") <= 1e-3) {
            Some(row) => {
                // The method is in the clause of its number: after it, and before the next one.
                let clause = steps.split("after ").find(|c| c.starts_with(&format!("{} inner", row["inner_steps"])));
                assert!(clause.is_some_and(|c| c.contains(method)), "{method} {row:?} in {steps}");
                let cost = number(row, "gradients") + number(row, "products");
                let clause = compute.split("for ").find(|c| c.starts_with(&format!("{cost:.0} gradients")));
                assert!(clause.is_some_and(|c| c.contains(method)), "{method} {row:?} in {compute}");
            }
            None => {
                let best = of_method.iter().map(|r| number(r, "error")).fold(f64::INFINITY, f64::min);
                for line in [steps, compute] {
                    assert!(line.contains(&format!("{method} ({best:.1e} at best)")), "{method} {best:e} in {line}");
                }
            }
        }
    }
    // What the counts mean: MAML goes back through all steps, the others as their names say.
    for (method, gradients, products) in
        [("MAML", 257.0, 256.0), ("MAML (last 10 steps)", 257.0, 10.0), ("implicit (5 CG)", 258.0, 5.0)]
    {
        let row = at("10", method).pop().unwrap();
        assert_eq!((number(row, "gradients"), number(row, "products")), (gradients, products), "{method}");
    }
    // Half a contraction of 1 − 1/10 a step leaves 10⁻¹¹ after 256 steps; first order is off by what it leaves out.
    let last = |method| number(at("10", method).pop().unwrap(), "error");
    assert!(last("implicit (CG to 1e-12)") < 1e-9 && last("MAML") < 1e-7 && last("first-order MAML") > 0.1);

    // Memory and time.
    let text = file("memory.csv");
    let rows = csv(&text);
    assert_eq!(rows.len(), 4 * 4);
    let (memory, time) = (sentence("", "memory goes with inner steps"), sentence("At 2 inner", "times as long"));
    let megabytes = |row: &BTreeMap<&str, &str>| {
        let resident = row["peak_rss_bytes"];
        format!(
            "{:.1}",
            if resident.is_empty() { number(row, "planned_bytes") } else { number(row, "peak_rss_bytes") } / 1e6
        )
    };
    for of_method in rows.chunk_by(|a, b| a["method"] == b["method"]) {
        let [one, two, four, eight] = of_method else { panic!("four numbers of steps") };
        assert!(memory.contains(&megabytes(one)) && memory.contains(&megabytes(two)), "{memory}");
        assert!(four["seconds_median"].is_empty() && eight["note"].contains("planned only"));
        let grows = number(eight, "planned_bytes") > number(one, "planned_bytes");
        assert_eq!(grows, one["method"].starts_with("MAML"), "{one:?}");
        if one["method"] == "MAML" {
            assert!(time.contains(&format!("MAML takes {:.3} s", number(two, "seconds_median"))), "{time}");
        }
    }
    for name in expected.iter().filter(|name| name.ends_with(".svg")) {
        let svg = file(name);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && !svg.contains("NaN"), "{name}");
    }
    let drawn = file("accuracy-steps.svg");
    assert!(drawn.contains(&steps.replace('&', "&amp;")), "the figure's description says what it shows");
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let folder = folder();
    std::fs::write(folder.path().join("file"), "").unwrap();
    refuses(folder.path(), &["compare", "--quick", "--out=file"], &["cannot make file"]);
    refuses(folder.path(), &["compare", "--quick", "--full"], &["--quick", "--full"]);
}
