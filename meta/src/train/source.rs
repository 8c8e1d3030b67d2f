//! Where a meta-batch takes its tasks from.

use autodiff::Arg;

use crate::tasks::{Batch, Episode, Split, Targets, TaskStream};

/// Numbered tasks.
pub trait TaskSource<T>: Sync {
    /// What a thread needs to hold a task; made once and reused, by any source of this type of room: it must fit the tasks of
    /// all that one [`MetaBatch`](super::MetaBatch) is given.
    type Local: Send;

    /// Room for one task.
    fn local(&self) -> Self::Local;

    /// Calls `f` with the data of task `i`, in the order the problem declares.
    fn with_task<R>(&self, i: usize, local: &mut Self::Local, f: impl FnOnce(&[Arg<'_, T>]) -> R) -> R;
}

/// Episodes of a stream from number `first` on.
pub struct EpisodeTasks<'a> {
    stream: &'a dyn TaskStream,
    split: Split,
    first: u64,
}

impl<'a> EpisodeTasks<'a> {
    /// Task i is number `first + i` of the split.
    pub fn new(stream: &'a dyn TaskStream, split: Split, first: u64) -> Self {
        EpisodeTasks { stream, split, first }
    }
}

fn targets(batch: &Batch) -> Arg<'_, f32> {
    match &batch.y {
        Targets::Values(values) => Arg::Floats(values),
        Targets::Classes(classes) => Arg::Indices(classes),
    }
}

impl TaskSource<f32> for EpisodeTasks<'_> {
    type Local = Episode;

    fn local(&self) -> Episode {
        Episode::empty_for(self.stream.shape())
    }

    fn with_task<R>(&self, i: usize, episode: &mut Episode, f: impl FnOnce(&[Arg<'_, f32>]) -> R) -> R {
        self.stream.sample(self.split, self.first + i as u64, episode);
        let Episode { support, query } = episode;
        f(&[Arg::Floats(&support.x), targets(support), Arg::Floats(&query.x), targets(query)])
    }
}
