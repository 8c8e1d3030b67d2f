//! `imaml train daml`

use super::{bytes, folder, run, succeed};

#[test]
fn learners_are_compared_and_results_do_not_depend_on_threads() {
    let folder = folder();
    let train = |threads, out| {
        let options = ["--iterations=2", "--tasks=8", "--seed=3", "--methods=none,temporal", threads, out];
        succeed(folder.path(), &[&["train", "daml"][..], &options].concat())
    };
    let said = train("--threads=1", "--out=a");
    assert!(said.contains("temporal loss, unrolled − no adaptation"), "{said}");
    train("--threads=3", "--out=b");
    let csv = bytes(folder.path(), "a/results.csv");
    assert_eq!(csv, bytes(folder.path(), "b/results.csv"));
    let csv = String::from_utf8(csv).unwrap();
    let rows: Vec<&str> = csv.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(rows, ["learner", "none", "temporal"]);
}

#[test]
fn a_folder_that_was_there_stays() {
    let folder = folder();
    let path = folder.path();
    std::fs::create_dir(path.join("mine")).unwrap();
    let wild = ["train", "daml", "--iterations=1", "--outer-lr=1e38", "--methods=none"];
    for (out, stays) in [("--out=mine", true), ("--out=made/for/it", false)] {
        assert_eq!(run(path, &[&wild[..], &[out]].concat()).status.code(), Some(2));
        assert_eq!(path.join(out.split(['=', '/']).nth(1).unwrap()).exists(), stays);
    }
}
