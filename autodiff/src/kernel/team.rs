//! Threads that share one task: parallelism is an argument, and what is cut is cut by shape.

use std::sync::Mutex;

use rayon::prelude::*;

/// How many threads work on a step at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Team {
    threads: usize,
}

/// Multiply-adds × 2 that are worth a thread: some 40 µs, as long as it can take to wake one.
const LEAST: usize = 4_000_000;

impl Team {
    /// So many threads of the `rayon` pool that the caller is in.
    ///
    /// # Panics
    /// Where there are none.
    pub fn of(threads: usize) -> Team {
        assert!(threads > 0, "a team has at least one thread");
        Team { threads }
    }

    /// Whether it is one thread.
    #[inline]
    pub(super) fn is_alone(self) -> bool {
        self.threads == 1
    }

    /// How many parts work of this cost is cut into.
    #[inline]
    pub(super) fn parts(self, cost: usize) -> usize {
        if self.is_alone() { 1 } else { (cost / LEAST).clamp(1, self.threads) }
    }

    /// Does the work of every part.
    #[inline]
    pub(super) fn each<P>(self, parts: P, work: impl Fn(P::Item) + Sync)
    where
        P: IntoIterator<Item: Send, IntoIter: ExactSizeIterator + Send>,
    {
        let parts = parts.into_iter();
        match parts.len() {
            0 => {}
            1 => parts.for_each(work),
            _ => share(parts, &work),
        }
    }
}

/// Gives parts to other threads. Apart from the small work that has one part.
///
/// Halves that are joined wait on the stacks of the threads that forked them, so that nothing is allocated, where a scope
/// boxes what it spawns. Parts can be handed out in order only: whoever is next takes the next.
#[inline(never)]
fn share<P: Send>(parts: impl ExactSizeIterator<Item = P> + Send, work: &(impl Fn(P) + Sync)) {
    let count = parts.len();
    let parts = Mutex::new(parts);
    (0..count).into_par_iter().with_max_len(1).for_each(|_| {
        let part = parts.lock().expect("no thread panics while it takes a part").next();
        work(part.expect("as many parts as there are"));
    });
}
