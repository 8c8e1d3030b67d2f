//! A thread's memory for a plan.

use super::{Plan, timing};
use crate::element::Element;
use crate::kernel::{Block, Room, Team};
use crate::tape::Stage;

/// A thread's memory for one plan: what each stage keeps for later ones, and scratch.
#[derive(Clone, Debug)]
pub struct Workspace<T> {
    pub(super) room: Room<T>,
    /// By stage: whether what it keeps is there.
    pub(super) has_run: [bool; Stage::COUNT],
    pub(super) times: timing::Times,
}

impl<T: Element> Workspace<T> {
    /// Bytes of it: those of the plan, and what threads that share its steps need beside them.
    pub fn bytes(&self) -> usize {
        self.room.bytes()
    }

    /// Exchanges what `stage` has kept with `block`: to keep a point is to keep its block, and the inputs it was
    /// run with, which later stages read again rather than keep a copy.
    ///
    /// # Panics
    /// Where the block is of another size than [`Plan::block`] makes for that stage.
    #[track_caller]
    pub fn swap(&mut self, stage: Stage, block: &mut Block<T>) {
        let own = &mut self.room.kept[stage.index()];
        assert!(own.size() == block.size(), "swap: the block belongs to another plan or stage");
        std::mem::swap(own, block);
        // Which blocks hold a point is the caller's to know.
        self.has_run[stage.index()] = true;
    }
}

impl<T: Element> Plan<T> {
    /// Memory for one thread.
    pub fn workspace(&self) -> Workspace<T> {
        self.shared_workspace(1)
    }

    /// Memory for a run in which up to `threads` threads of the `rayon` pool it is called in share the larger steps,
    /// and the threads. The bits are the same for any number. The other threads stand by, and do nothing else, for as long
    /// as a stage with such steps runs.
    ///
    /// # Panics
    /// Where `threads` is 0.
    pub fn shared_workspace(&self, threads: usize) -> Workspace<T> {
        let parts = self.brief.iter().chain(&self.fleeting).flatten();
        let programs = self.programs.iter().chain(parts);
        let room = Room::new(self.kept, self.scratch, Team::of(threads), programs);
        Workspace { room, has_run: [false; Stage::COUNT], times: timing::Times::default() }
    }

    /// Another block for what `stage` keeps, to [`swap`](Workspace::swap) in.
    pub fn block(&self, stage: Stage) -> Block<T> {
        Block::new(self.kept[stage.index()])
    }
}
