//! Threads that stand by for the parts of one job after the other.
//!
//! A step of a plan takes microseconds, and a thread that sleeps takes fifty to wake. So the helpers of a run come once,
//! and look for work until it is over: a part costs them an exchange of one word. Who leads takes parts as well, and all of
//! them where no helper has come.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// How often a helper looks for work before it lets others have the core in between.
const PATIENCE: usize = 1000;

/// A job at a time, whose parts are taken by whoever comes.
#[derive(Debug, Default)]
pub(super) struct Gang {
    /// Number of the job, its parts, and how many of those are taken: 32, 16 and 16 bits. Who takes a part exchanges all
    /// three at once, and so has one of the job that it has looked at.
    state: AtomicU64,
    /// The job: what it is called with, and how. Written while no part of any job is left.
    work: AtomicPtr<()>,
    call: AtomicPtr<()>,
    finished: AtomicUsize,
    over: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// Calls what `work` points to.
///
/// # Safety
/// It points to an F.
unsafe fn call<F: Fn(usize)>(work: *const (), part: usize) {
    // SAFETY: the caller's.
    unsafe { (*work.cast::<F>())(part) }
}

impl Gang {
    /// Calls `lead` with up to so many other threads of the pool at its service.
    pub fn led(&self, helpers: usize, lead: &mut (dyn FnMut() + Send)) {
        if helpers == 0 {
            // However it ends, helpers go.
            let over = Over(self);
            lead();
            return drop(over);
        }
        rayon::join(|| self.led(helpers - 1, lead), || self.serve());
    }

    /// Does parts until all is over.
    fn serve(&self) {
        let mut idle = 0;
        while !self.over.load(Ordering::Acquire) {
            idle = if self.take() { 0 } else { idle + 1 };
            match idle {
                0 => {}
                ..PATIENCE => std::hint::spin_loop(),
                _ => std::thread::yield_now(),
            }
        }
    }

    /// Does `work` for each of so many parts. Called by who leads alone.
    ///
    /// # Panics
    /// Where a part does, once no other is being done.
    pub fn each<F: Fn(usize) + Sync>(&self, parts: usize, work: &F) {
        assert!(parts <= usize::from(u16::MAX), "{parts} parts");
        let number = (self.state.load(Ordering::Relaxed) >> 32) + 1;
        self.finished.store(0, Ordering::Relaxed);
        self.work.store((work as *const F).cast_mut().cast(), Ordering::Relaxed);
        self.call.store(call::<F> as *mut (), Ordering::Relaxed);
        self.state.store(number << 32 | (parts as u64) << 16, Ordering::Release);
        while self.take() {}
        while self.finished.load(Ordering::Acquire) < parts {
            std::hint::spin_loop();
        }
        if let Some(panic) = self.panic.lock().expect("held for moves only").take() {
            resume_unwind(panic);
        }
    }

    /// Does a part, if one is left.
    fn take(&self) -> bool {
        let state = self.state.load(Ordering::Acquire);
        let (parts, taken) = (state >> 16 & 0xffff, state & 0xffff);
        if taken == parts {
            return false;
        }
        let (work, call) = (self.work.load(Ordering::Relaxed), self.call.load(Ordering::Relaxed));
        if self.state.compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return true;
        }
        // SAFETY: the state had not changed, so `work` and `call` are those of its job: they were stored before it, and are
        // stored again once all its parts are finished, this one too. Until then `each` waits, with the work borrowed;
        // `call` was a function of this type, for the type of the work.
        let done = catch_unwind(AssertUnwindSafe(|| unsafe {
            let call: unsafe fn(*const (), usize) = std::mem::transmute(call);
            call(work, taken as usize);
        }));
        if let Err(panic) = done {
            *self.panic.lock().expect("held for moves only") = Some(panic);
        }
        self.finished.fetch_add(1, Ordering::Release);
        true
    }
}

/// Sends helpers away when it is dropped.
struct Over<'g>(&'g Gang);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_helpers(helpers: usize, mut lead: impl FnMut(&Gang) + Send) {
        let gang = Gang::default();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        pool.install(|| gang.led(helpers, &mut || lead(&gang)));
    }

    #[test]
    fn every_part_of_every_job_is_done_once() {
        for helpers in 0..3 {
            with_helpers(helpers, |gang| {
                for job in 0..if cfg!(miri) { 20 } else { 20_000 } {
                    let parts = 1 + job % 5;
                    let done: [AtomicUsize; 5] = Default::default();
                    gang.each(parts, &|part| _ = done[part].fetch_add(job + 1, Ordering::Relaxed));
                    let expected = |part| if part < parts { job + 1 } else { 0 };
                    assert!((0..5).all(|part| done[part].load(Ordering::Relaxed) == expected(part)), "job {job}");
                }
            });
        }
    }

    #[test]
    fn a_panic_of_a_part_is_one_of_who_leads() {
        let message = catch_unwind(|| {
            with_helpers(2, |gang| gang.each(4, &|part| assert!(part != 2, "part two")));
        });
        assert_eq!(*message.unwrap_err().downcast::<&str>().unwrap(), "part two");
    }
}
