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

    /// Does the work of every part, the first on this thread.
    #[inline]
    pub(super) fn each<P: Send>(self, parts: impl IntoIterator<Item = P>, work: impl Fn(P) + Sync) {
        let mut parts = parts.into_iter();
        let Some(own) = parts.next() else { return };
        match parts.next() {
            None => work(own),
            Some(second) => share(own, std::iter::once(second).chain(parts), &work),
        }
    }
}

/// Gives parts to other threads. Apart from the small work that has one part.
#[inline(never)]
fn share<P: Send>(own: P, others: impl Iterator<Item = P>, work: &(impl Fn(P) + Sync)) {
    rayon::in_place_scope(|scope| {
        for part in others {
            scope.spawn(move |_| work(part));
        }
        work(own);
    });
}
