//! Episode files: a safetensors file in PyTorch's conventions that holds parameters and tasks.
//!
//! ```text
//! param.<name>               as in a state_dict: conv1.weight [out, in, 3, 3], fc.weight [out, in]
//! support.x [T, n, …]        T tasks; images [T, n, C, H, W]
//! support.y                  labels i64 [T, n]; regression targets [T, n, out]
//! query.x, query.y           likewise
//! vector.<name>              a direction, with an optional leading axis for several
//! ```
//!
//! Everything is checked here, so that behind this module no shape, label or number can be wrong: each error
//! names the tensor and what was expected of it.

mod axes;
mod read;
mod write;

use autodiff::{Arg, Element};
use meta::tasks::{self, Batch, Episode, Split, TargetKind, TaskStream};
use meta::train::TaskSource;

pub use read::{Needs, read};
pub use write::{OutputFile, write};

/// The contents of an episode file, in memory order, for one model.
#[derive(Clone, Debug)]
pub struct EpisodeFile<T> {
    /// The flat vector of parameters.
    pub parameters: Vec<T>,
    /// Directions, each a flat vector.
    pub vectors: Vec<Vec<T>>,
    /// Whether the directions have a leading axis in the file.
    pub vectors_stacked: bool,
    /// The tasks.
    pub tasks: Tasks<T>,
}

/// Tasks of one size, each set in one array.
#[derive(Clone, Debug)]
pub struct Tasks<T> {
    /// How many.
    pub count: usize,
    /// Rows of each support set.
    pub support_rows: usize,
    /// Rows of each query set; 0 where the file has none.
    pub query_rows: usize,
    pub(crate) support: Set<T>,
    pub(crate) query: Set<T>,
}

/// The inputs and targets of all tasks, images as NHWC.
#[derive(Clone, Debug)]
pub(crate) struct Set<T> {
    pub x: Vec<T>,
    pub y: Targets<T>,
}

#[derive(Clone, Debug)]
pub(crate) enum Targets<T> {
    Values(Vec<T>),
    Classes(Vec<u32>),
}

impl<T: Element> Set<T> {
    fn append(&mut self, batch: &Batch) {
        let real = |v: &[f32]| v.iter().map(|&x| T::from_f64(f64::from(x))).collect::<Vec<T>>();
        self.x.extend(real(&batch.x));
        match (&mut self.y, &batch.y) {
            (Targets::Values(all), tasks::Targets::Values(values)) => all.extend(real(values)),
            (Targets::Classes(all), tasks::Targets::Classes(classes)) => all.extend(classes),
            _ => unreachable!("a stream's targets are of one kind"),
        }
    }

    fn task(&self, i: usize, count: usize) -> [Arg<'_, T>; 2] {
        fn part<U>(all: &[U], i: usize, count: usize) -> &[U] {
            let len = all.len() / count;
            &all[i * len..(i + 1) * len]
        }
        let y = match &self.y {
            Targets::Values(values) => Arg::Floats(part(values, i, count)),
            Targets::Classes(classes) => Arg::Indices(part(classes, i, count)),
        };
        [Arg::Floats(part(&self.x, i, count)), y]
    }
}

impl<T: Element> Tasks<T> {
    /// Tasks of a stream, from number `first` on.
    pub fn sample(stream: &dyn TaskStream, split: Split, first: u64, count: usize) -> Self {
        let shape = stream.shape();
        let empty = || match shape.target {
            TargetKind::Values(_) => Set { x: Vec::new(), y: Targets::Values(Vec::new()) },
            TargetKind::Classes(_) => Set { x: Vec::new(), y: Targets::Classes(Vec::new()) },
        };
        let (mut support, mut query) = (empty(), empty());
        let mut episode = Episode::empty_for(shape);
        for k in first..first + count as u64 {
            stream.sample(split, k, &mut episode);
            support.append(&episode.support);
            query.append(&episode.query);
        }
        Tasks { count, support_rows: shape.support, query_rows: shape.query, support, query }
    }

    /// Task `i` as a problem takes it.
    pub fn args(&self, i: usize) -> [Arg<'_, T>; 4] {
        let ([sx, sy], [qx, qy]) = (self.support.task(i, self.count), self.query.task(i, self.count));
        [sx, sy, qx, qy]
    }
}

impl<T: Element> TaskSource<T> for Tasks<T> {
    type Local = ();

    fn local(&self) {}

    fn with_task<R>(&self, i: usize, _local: &mut (), f: impl FnOnce(&[Arg<'_, T>]) -> R) -> R {
        f(&self.args(i))
    }
}
