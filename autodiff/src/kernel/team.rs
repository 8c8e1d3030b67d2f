//! Threads that share one task: parallelism is an argument, and what is cut is cut by shape.

use std::sync::Mutex;

use super::gang::Gang;

/// How many threads work on a step at most, and those that stand by for it.
#[derive(Clone, Copy, Debug)]
pub struct Team<'g> {
    threads: usize,
    gang: Option<&'g Gang>,
}

/// Multiply-adds × 2 that are worth a thread which stands by: some 10 µs, in which the other core reads what the last step has
/// left in this one.
const LEAST: usize = 1_500_000;

impl Team<'_> {
    /// So many threads of the `rayon` pool that the caller is in.
    ///
    /// # Panics
    /// Where there are none.
    pub fn of(threads: usize) -> Team<'static> {
        assert!(threads > 0, "a team has at least one thread");
        Team { threads, gang: None }
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

    /// Calls `run` with the team standing by: the other threads wait for work until it returns. Steps that are cut without
    /// have to wake them each, which [`LEAST`] does not count.
    #[inline]
    pub(super) fn standing_by(self, mut run: impl FnMut(Team<'_>) + Send) {
        match self.gang {
            None if !self.is_alone() => {
                let gang = Gang::default();
                gang.led(self.threads - 1, &mut || run(Team { gang: Some(&gang), ..self }));
            }
            _ => run(self),
        }
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
            _ => self.share(parts, &work),
        }
    }

    /// Gives parts to other threads. Apart from the small work that has one part.
    ///
    /// Parts can be handed out in order only: whoever is next takes the next.
    #[inline(never)]
    fn share<P: Send>(self, parts: impl ExactSizeIterator<Item = P> + Send, work: &(impl Fn(P) + Sync)) {
        let count = parts.len();
        let parts = Mutex::new(parts);
        self.standing_by(|team| {
            team.gang.expect("of several threads").each(count, &|_| {
                let part = parts.lock().expect("no thread panics while it takes a part").next();
                work(part.expect("as many parts as there are"));
            });
        });
    }
}
