//! Task streams: endless, reproducible sources of few-shot episodes.
//!
//! An [`Episode`] is one task: a support set to adapt on and a query set to measure on. A
//! [`TaskStream`] makes them:
//!
//! ```text
//! episode = sample(seed, split, k)        a pure function; k = 0, 1, 2, …
//! ```
//!
//! so a training run is a range of `k`, and a worker needs nothing but `k` to make its task: no
//! list of tasks is ever generated, stored or shuffled, and the order or the thread in which tasks
//! are drawn changes nothing. The randomness is ChaCha8: the key comes from the stream's name, the
//! seed and the split, and `k` is the number of the cipher's stream.
//! Only integer and exactly rounded floating-point operations follow, so the bytes are the same on
//! every machine.
//!
//! | stream | task | data |
//! |---|---|---|
//! | [`Sinusoid`] | regress y = A sin(x − φ) | none |
//! | [`Glyphs`] | classify drawings of unseen characters | none: an alphabet drawn procedurally |
//! | [`OmniglotTasks`] | classify drawings of unseen characters | [`Omniglot`], read from its archives |
//!
//! [`nearest_neighbour_accuracy`] is the baseline every learner has to beat.
//!
//! ```
//! use meta::tasks::{Episode, FewShot, Glyphs, Split, TaskStream};
//!
//! let tasks = Glyphs::new(7, FewShot { ways: 5, shots: 1, queries: 15 })?;
//! let mut episode = Episode::empty_for(tasks.shape());
//! for k in 0..3 {
//!     tasks.sample(Split::Train, k, &mut episode); // writes over the last one, allocates nothing
//!     assert_eq!(episode.support.x.len(), 5 * 28 * 28);
//! }
//! # Ok::<(), meta::tasks::DataError>(())
//! ```

mod error;
mod few_shot;
mod glyphs;
mod nearest;
mod omniglot;
pub(crate) mod random;
mod reduce;
mod sinusoid;
#[cfg(test)]
mod testing;

pub use error::DataError;
pub use few_shot::FewShot;
pub use glyphs::Glyphs;
pub use nearest::nearest_neighbour_accuracy;
pub use omniglot::{CharacterSplit, Omniglot, OmniglotTasks, Rotations};
pub use random::Random;
pub use reduce::{Filter, SIDE, reduce};
pub use sinusoid::{Sinusoid, Wave};

/// Which tasks: those to train on, to choose by, or to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// Meta-training.
    Train,
    /// Choosing hyperparameters and when to stop.
    Validation,
    /// Reporting, once.
    Test,
}

impl Split {
    /// The three splits, in the order train, validation, test.
    pub const ALL: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

    /// The split's word: `train`, `validation` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Validation => "validation",
            Split::Test => "test",
        }
    }
}

impl std::fmt::Display for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Labelled rows, flat and row-major; images are NHWC.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Inputs, `[rows, ...EpisodeShape::x]`.
    pub x: Vec<f32>,
    /// One target per row.
    pub y: Targets,
}

/// What a batch's rows are to be mapped to.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// Regression: `[rows, width]`.
    Values(Vec<f32>),
    /// Classification: `[rows]`, each in `0..ways`.
    Classes(Vec<u32>),
}

impl Default for Targets {
    fn default() -> Self {
        Targets::Values(Vec::new())
    }
}

impl Targets {
    /// The values; a batch of another kind becomes one of values first.
    fn values_mut(&mut self) -> &mut Vec<f32> {
        if let Targets::Classes(_) = self {
            *self = Targets::Values(Vec::new());
        }
        match self {
            Targets::Values(values) => values,
            Targets::Classes(_) => unreachable!("made values just above"),
        }
    }

    /// The classes; a batch of another kind becomes one of classes first.
    fn classes_mut(&mut self) -> &mut Vec<u32> {
        if let Targets::Values(_) = self {
            *self = Targets::Classes(Vec::new());
        }
        match self {
            Targets::Classes(classes) => classes,
            Targets::Values(_) => unreachable!("made classes just above"),
        }
    }
}

/// One task: what to adapt on, and what to measure on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Episode {
    /// The support set.
    pub support: Batch,
    /// The query set.
    pub query: Batch,
}

impl Episode {
    /// An episode of zeros with the buffers that `shape` asks for, to be written by
    /// [`TaskStream::sample`].
    pub fn empty_for(shape: &EpisodeShape) -> Episode {
        let batch = |rows: usize| Batch {
            x: vec![0.0; rows * shape.x_len()],
            y: match shape.target {
                TargetKind::Values(width) => Targets::Values(vec![0.0; rows * width]),
                TargetKind::Classes(_) => Targets::Classes(vec![0; rows]),
            },
        };
        Episode { support: batch(shape.support), query: batch(shape.query) }
    }
}

/// What a row's target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetKind {
    /// This many real numbers.
    Values(usize),
    /// One of this many classes.
    Classes(usize),
}

/// What every episode of a stream looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpisodeShape {
    /// Rows of the support set.
    pub support: usize,
    /// Rows of the query set.
    pub query: usize,
    /// One row's input: `[1]`, or `[height, width, channels]` for images.
    pub x: Vec<usize>,
    /// One row's target.
    pub target: TargetKind,
}

impl EpisodeShape {
    /// Numbers in one row's input.
    pub fn x_len(&self) -> usize {
        self.x.iter().product()
    }
}

/// A reproducible, endless source of tasks.
pub trait TaskStream: Send + Sync {
    /// What every episode of this stream looks like.
    fn shape(&self) -> &EpisodeShape;

    /// Writes task number `k` of a split into `out`: a pure function of (seed, split, k).
    ///
    /// The buffers of `out` are reused: nothing is allocated once they have their size, as after
    /// [`Episode::empty_for`]. What they held before does not matter.
    fn sample(&self, split: Split, k: u64, out: &mut Episode);

    /// The stream's name, as in reports: `sinusoid`, `glyphs`, `omniglot`.
    fn name(&self) -> &str;
}
