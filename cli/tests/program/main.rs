//! The program from outside: what it prints, what it leaves behind, and its exit status.

mod adapt;
mod bad_input;
mod compare;
mod daml;
mod episodes;
mod event_file;
mod interrupt;
mod methods;
mod metrics;
mod report;
mod runs;

use std::path::Path;
use std::process::{Command, Output};

/// A network and a run small enough for a test, on drawings.
const TINY: &[&str] = &[
    "glyphs",
    "--model=conv4:channels=4,stride=2,ways=3,image=1x28x28",
    "--ways=3",
    "--queries=2",
    "--inner-steps=2",
    "--meta-batch=5",
    "--eval-every=2",
    "--eval-tasks=4",
    "--outer-lr-decay=none",
    "--log-every=1",
    "--seed=7",
];

/// The program, in a folder.
fn imaml(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imaml"));
    command.current_dir(folder).args(arguments);
    command
}

/// Runs it.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    imaml(folder, arguments).output().expect("the program starts")
}

/// Runs it and expects success; what it printed.
#[track_caller]
fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.is_empty(), "{arguments:?}: {:?} {error}", output.status);
    String::from_utf8(output.stdout).expect("what is printed is text")
}

/// The bytes of a file.
#[track_caller]
fn bytes(folder: &Path, file: &str) -> Vec<u8> {
    std::fs::read(folder.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// A temporary folder.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}
