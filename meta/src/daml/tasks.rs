//! Training tasks for a meta-batch.

use autodiff::{Arg, Element};

use super::world::{Task, World};
use crate::tasks::Split;
use crate::train::TaskSource;

/// Tasks of a world from number `first` on.
#[derive(Clone, Copy, Debug)]
pub struct WorldTasks<'a> {
    world: &'a World,
    split: Split,
    first: u64,
}

impl<'a> WorldTasks<'a> {
    /// Task i is number `first + i` of the split.
    pub fn new(world: &'a World, split: Split, first: u64) -> Self {
        WorldTasks { world, split, first }
    }
}

impl<T: Element> TaskSource<T> for WorldTasks<'_> {
    type Local = Task<T>;

    fn local(&self) -> Task<T> {
        Task::empty()
    }

    fn with_task<R>(&self, i: usize, task: &mut Task<T>, f: impl FnOnce(&[Arg<'_, T>]) -> R) -> R {
        self.world.sample(self.split, self.first + i as u64, task);
        f(&task.data())
    }
}
