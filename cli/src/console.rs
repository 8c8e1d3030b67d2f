//! Standard output and error that may be closed early: `imaml train | head` ends quietly instead of with a panic.

use std::io::{ErrorKind, Write};
use std::sync::OnceLock;

use crate::failure::Failure;

/// Why a line could not be written, the first time. What a command has done is not undone by it.
static LOST: OnceLock<String> = OnceLock::new();

/// Prints one line on standard output; where nobody reads any more, nothing happens.
pub fn say(line: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    if let Err(e) = writeln!(out, "{line}").and_then(|()| out.flush())
        && e.kind() != ErrorKind::BrokenPipe
    {
        LOST.get_or_init(|| e.to_string());
    }
}

/// Prints one line on standard error, beside whatever the command does; that nobody can read it changes nothing of that.
pub fn note(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "imaml: {line}");
}

/// Whether everything said was written.
///
/// # Errors
/// Where it was not, and somebody could have read it.
pub fn heard() -> Result<(), Failure> {
    match LOST.get() {
        None => Ok(()),
        Some(why) => Err(Failure::new(format_args!("cannot write on standard output: {why}"))),
    }
}
