//! Threads that share one task: parallelism is an argument, and what is cut is cut by shape.

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

    /// How many parts work of this cost is cut into.
    pub(super) fn parts(self, cost: usize) -> usize {
        (cost / LEAST).clamp(1, self.threads)
    }

    /// Does the work of every part, the first on this thread.
    pub(super) fn each<P: Send>(self, parts: impl IntoIterator<Item = P>, work: impl Fn(P) + Sync) {
        let mut parts = parts.into_iter();
        let Some(own) = parts.next() else { return };
        let Some(second) = parts.next() else { return work(own) };
        let work = &work;
        rayon::in_place_scope(|scope| {
            for part in std::iter::once(second).chain(parts) {
                scope.spawn(move |_| work(part));
            }
            work(own);
        });
    }
}
