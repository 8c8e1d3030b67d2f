//! A run that is told to stop saves itself and goes on as if nothing had been.
#![cfg(unix)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{bytes, folder, imaml, succeed};

/// The iterations that a run has done, from its last line of metrics.
fn iterations(folder: &Path, run: &str) -> u64 {
    let text = String::from_utf8(bytes(folder, &format!("{run}/metrics.jsonl"))).unwrap();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    last["iteration"].as_u64().unwrap()
}

#[test]
fn an_interrupted_run_is_saved_and_goes_on() {
    let folder = folder();
    let path = folder.path();
    let sinusoid = ["train", "sinusoid", "--method=maml", "--model=mlp:1-8-1", "--meta-batch=2"];
    let long = [&sinusoid[..], &["--iterations=100000000", "--out=parts"]].concat();
    let mut child = imaml(path, &long).stdout(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while !path.join("parts/checkpoint.safetensors").is_file() {
        assert!(start.elapsed() < Duration::from_secs(20), "no checkpoint after 20 seconds");
        std::thread::sleep(Duration::from_millis(10));
    }
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));

    let done = iterations(path, "parts");
    assert!(done >= 1);
    let more = format!("--iterations={}", done + 10);
    succeed(path, &["train", "--resume=parts", &more]);
    succeed(path, &[&sinusoid[..], &[&more, "--out=whole"]].concat());
    assert_eq!(bytes(path, "parts/model.safetensors"), bytes(path, "whole/model.safetensors"));
    assert_eq!(bytes(path, "parts/config.toml"), bytes(path, "whole/config.toml"));
}
