//! Threads that stand by for the parts of one job after the other.
//!
//! A step of a plan takes microseconds, and a thread that sleeps takes fifty to wake. So the helpers of a run come once,
//! and look for work until it is over: a part costs them an exchange of one word. Who leads takes parts as well, and all of
//! them where no helper has come.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// How often who waits looks before it lets others have the core in between.
const PATIENCE: usize = 1000;

/// Waits a little, for the time number `idle` in a row.
fn pause(idle: usize) {
    if idle < PATIENCE { std::hint::spin_loop() } else { std::thread::yield_now() }
}

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
    /// Whether a job is under way.
    busy: AtomicBool,
    over: AtomicBool,
    /// Whether a part has panicked, and with what the first did.
    panicked: AtomicBool,
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
    /// Calls `lead` with up to so many other threads of the pool at its service. They do nothing else until it returns, and
    /// it returns when they have gone; who leads may be held up for as long as another gang of the same pool has work.
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
            if self.take() {
                idle = 0;
            } else {
                pause(idle);
                idle += 1;
            }
        }
    }

    /// Does `work` for each of so many parts.
    ///
    /// # Panics
    /// Where a part does, once no other is being done; and within a part, or while another job is under way.
    pub fn each<F: Fn(usize) + Sync>(&self, parts: usize, work: &F) {
        assert!(parts <= usize::from(u16::MAX), "{parts} parts");
        assert!(!self.busy.swap(true, Ordering::Acquire), "a job within a job");
        let number = (self.state.load(Ordering::Relaxed) >> 32) + 1;
        self.finished.store(0, Ordering::Relaxed);
        self.work.store((work as *const F).cast_mut().cast(), Ordering::Relaxed);
        self.call.store(call::<F> as *mut (), Ordering::Relaxed);
        self.state.store((number << 32) | ((parts as u64) << 16), Ordering::Release);
        while self.take() {}
        let mut idle = 0;
        while self.finished.load(Ordering::Acquire) < parts {
            pause(idle);
            idle += 1;
        }
        self.busy.store(false, Ordering::Release);
        if self.panicked.swap(false, Ordering::Relaxed) {
            let panic = self.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
            resume_unwind(panic.expect("kept before it was told"));
        }
    }

    /// Whether a part was left. It is done here, unless another thread was faster.
    fn take(&self) -> bool {
        let state = self.state.load(Ordering::Acquire);
        let (parts, taken) = ((state >> 16) & 0xffff, state & 0xffff);
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
            let mut first = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
            match &*first {
                None => *first = Some(panic),
                // Nothing that it does when it is dropped may keep this part from being counted.
                Some(_) => std::mem::forget(panic),
            }
            self.panicked.store(true, Ordering::Relaxed);
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
        // More than the pool has, too.
        for helpers in 0..5 {
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
        let message = |lead: fn(&Gang)| {
            let caught = catch_unwind(|| with_helpers(2, lead));
            *caught.unwrap_err().downcast::<&str>().unwrap()
        };
        assert_eq!(message(|gang| gang.each(4, &|part| assert!(part != 2, "part two"))), "part two");
        assert_eq!(message(|gang| gang.each(40, &|part| assert!(part % 2 == 0, "odd"))), "odd");
        assert_eq!(message(|_| panic!("who leads")), "who leads");
        assert_eq!(message(|gang| gang.each(2, &|_| gang.each(1, &|_| ()))), "a job within a job");
    }
}
