//! What ends the program: one line for the user, and exit status 2.

use std::fmt;
use std::path::Path;

/// Why a command cannot go on, in one line: what is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    /// With this message; line breaks in it become spaces.
    pub fn new(message: impl fmt::Display) -> Self {
        Failure(message.to_string().split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// A file or folder that cannot be read or written: `cannot read runs/a: permission denied`.
    pub fn io(verb: &str, path: &Path, error: &std::io::Error) -> Self {
        Failure::new(format_args!("cannot {verb} {}: {error}", path.display()))
    }

    /// A training that left the finite numbers, with `advice` on how not to.
    pub fn not_finite(error: meta::train::NotFinite, advice: &str) -> Self {
        Failure::new(format_args!("{error}: {advice}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Failure::new(message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Failure::new(message)
    }
}

impl From<meta::tasks::DataError> for Failure {
    fn from(error: meta::tasks::DataError) -> Self {
        Failure::new(error)
    }
}

impl From<meta::method::OverBudget> for Failure {
    fn from(error: meta::method::OverBudget) -> Self {
        Failure::new(format_args!("memory: {error}"))
    }
}

impl From<nn::SpecError> for Failure {
    fn from(error: nn::SpecError) -> Self {
        Failure::new(error)
    }
}
