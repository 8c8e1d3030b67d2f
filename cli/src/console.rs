//! Standard output that may be closed early: `imaml train | head` ends quietly instead of with a panic.

use std::io::Write;

/// Prints one line on standard output; where nobody reads any more, nothing happens.
pub fn say(line: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
