//! What can be wrong with data, or with what is asked of it: one line each, saying what to do.

use std::fmt;
use std::path::PathBuf;

use super::Split;

/// Why a task stream cannot be made. `Display` is one line: what is wrong, and what to do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum DataError {
    /// The request itself makes no sense (0 ways, no shots, …).
    Request(String),
    /// There is no Omniglot part where it was looked for.
    Missing {
        /// `images_background` or `images_evaluation`.
        part: &'static str,
        /// The folder that was searched.
        folder: PathBuf,
    },
    /// A file or folder that is there cannot be read.
    Read {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// An archive is damaged.
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A drawing is damaged.
    Image {
        /// The file, or the archive and the file in it.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An archive or folder holds no drawings.
    Empty {
        /// Which one.
        path: PathBuf,
    },
    /// More classes are asked for than a split has.
    TooFewClasses {
        /// The split that is short.
        split: Split,
        /// Classes asked for in one task.
        ways: usize,
        /// Classes that it has.
        classes: usize,
    },
    /// More drawings are asked for than a character has.
    TooFewDrawings {
        /// The character.
        character: String,
        /// Support drawings asked for.
        shots: usize,
        /// Query drawings asked for.
        queries: usize,
        /// Drawings that it has.
        drawings: usize,
    },
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = String::new();
        self.write(&mut line)?;
        // Other libraries' messages, and paths, may hold line breaks; ours is one line.
        f.write_str(&line.replace(['\n', '\r'], " "))
    }
}

impl DataError {
    fn write(&self, f: &mut impl fmt::Write) -> fmt::Result {
        match self {
            DataError::Request(what) => f.write_str(what),
            DataError::Missing { part, folder } => write!(
                f,
                "no {part}.zip and no folder {part} in {}: get {part}.zip from the folder `python` of \
                 github.com/brendenlake/omniglot and put it there",
                folder.display()
            ),
            DataError::Read { path, source } => {
                write!(f, "cannot read {}: {source}", path.display())
            }
            DataError::Archive { path, reason } => write!(
                f,
                "{} is damaged ({reason}): get it again from the folder `python` of \
                 github.com/brendenlake/omniglot",
                path.display()
            ),
            DataError::Image { path, reason } => write!(
                f,
                "the drawing {} is damaged ({reason}): get it again from the folder `python` of \
                 github.com/brendenlake/omniglot",
                path.display()
            ),
            DataError::Empty { path } => write!(
                f,
                "no drawings in {}: expected <part>/<alphabet>/<character>/<drawing>.png as in \
                 github.com/brendenlake/omniglot",
                path.display()
            ),
            DataError::TooFewClasses { split, ways, classes } => write!(
                f,
                "{ways} ways asked of {classes} classes in the {split} split: ask for at most \
                 {classes}, or give it more characters"
            ),
            DataError::TooFewDrawings { character, shots, queries, drawings } => write!(
                f,
                "{shots} shots + {queries} queries asked of {drawings} drawings of {character}: ask \
                 for at most {drawings} in all"
            ),
        }
    }
}

impl std::error::Error for DataError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DataError::Read { source, .. } => Some(source),
            _ => None,
        }
    }
}
