//! Threads that stay awake between meta-batches.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Threads that work on a meta-batch. Who is done first waits for the others, awake, as long as it would take to wake it
/// again: the next meta-batch comes soon.
#[derive(Default)]
pub(super) struct Gathering {
    came: AtomicUsize,
    left: AtomicUsize,
}

/// About how long a sleeping thread takes to be at work again.
const WAKING: Duration = Duration::from_micros(100);

impl Gathering {
    /// Until what it returns is dropped, another thread is at work.
    pub fn join(&self) -> Leaving<'_> {
        self.came.fetch_add(1, Ordering::Relaxed);
        Leaving(self)
    }
}

pub(super) struct Leaving<'g>(&'g Gathering);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let Gathering { came, left } = self.0;
        left.fetch_add(1, Ordering::Relaxed);
        let all_left = || left.load(Ordering::Relaxed) >= came.load(Ordering::Relaxed);
        if all_left() {
            return;
        }
        let since = Instant::now();
        while !all_left() && since.elapsed() < WAKING {
            std::hint::spin_loop();
        }
    }
}
