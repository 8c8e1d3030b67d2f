//! Which instruction set a kernel runs on: one choice at run time, no choice inside a loop.
//!
//! A kernel is written once, as a [`Task`] whose `run` is `#[inline(always)]`. [`Isa::run`] calls it from
//! a function that enables the instruction set, so that the whole task is inlined there and compiled
//! for it:
//!
//! ```text
//! isa.run(task)  →  avx512(task)  { task.run() }     #[target_feature(enable = "avx512f,…")]
//!                   avx2(task)    { task.run() }     #[target_feature(enable = "avx2,fma")]
//!                   task.run()                       what every machine of the target has
//! ```
//!
//! An [`Isa`] is a proof that this CPU has it: the field is private and every way to get a value asks
//! the CPU first. This is what makes `run` safe to call. [`Level`] is only the name.

use std::fmt;
use std::str::FromStr;

/// The instruction sets by name, best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// What the compilation target guarantees; products and sums are rounded separately.
    Portable,
    /// AVX2 and FMA: 16 registers of 256 bits.
    Avx2,
    /// AVX-512 F, DQ, BW and VL: 32 registers of 512 bits.
    Avx512,
}

impl Level {
    const ALL: [Level; 3] = [Level::Portable, Level::Avx2, Level::Avx512];

    fn name(self) -> &'static str {
        match self {
            Level::Portable => "portable",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn on_this_cpu(self) -> bool {
        let avx2 = || is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        match self {
            Level::Portable => true,
            Level::Avx2 => avx2(),
            Level::Avx512 => {
                avx2()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
            }
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn on_this_cpu(self) -> bool {
        self == Level::Portable
    }
}

/// An instruction set that this CPU has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Isa(Level);

impl Isa {
    /// The one that every machine has.
    pub const PORTABLE: Isa = Isa(Level::Portable);

    /// The best instruction set of this CPU, or the one that the environment variable
    /// `AUTODIFF_ISA=portable|avx2|avx512` asks for.
    ///
    /// # Errors
    /// One line for the user, if the variable names no instruction set or one that this CPU lacks.
    pub fn detect() -> Result<Isa, String> {
        match std::env::var("AUTODIFF_ISA") {
            Ok(name) => name.parse().map_err(|e| format!("AUTODIFF_ISA: {e}")),
            Err(std::env::VarError::NotPresent) => Ok(*Isa::available().last().expect("portable is always there")),
            Err(e) => Err(format!("AUTODIFF_ISA: {e}")),
        }
    }

    /// All that this CPU has, best last.
    pub fn available() -> Vec<Isa> {
        let has = Level::ALL.into_iter().filter(|l| l.on_this_cpu());
        has.map(Isa).collect()
    }

    /// Its name, to match on.
    #[inline]
    pub fn level(self) -> Level {
        self.0
    }

    /// How many `T` a vector holds.
    pub fn lanes<T>(self) -> usize {
        let bytes = match self.0 {
            Level::Avx512 => 64,
            Level::Avx2 => 32,
            Level::Portable => 16,
        };
        bytes / size_of::<T>()
    }

    /// Runs `task` compiled for this instruction set.
    #[inline]
    pub fn run<K: Task>(self, task: K) -> K::Output {
        match self.0 {
            // SAFETY: an `Isa` exists only for a CPU that has its features.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { avx512::<K, K>(task) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { avx2::<K, K>(task) },
            _ => task.run(),
        }
    }
}

impl FromStr for Isa {
    type Err = String;

    fn from_str(name: &str) -> Result<Isa, String> {
        let named = Level::ALL.into_iter().find(|l| l.name() == name);
        match named {
            None => Err(format!("unknown instruction set {name:?}, expected portable, avx2 or avx512")),
            Some(level) if level.on_this_cpu() => Ok(Isa(level)),
            Some(_) => Err(format!("this CPU does not have {name}")),
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl fmt::Debug for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Work that can be compiled for any instruction set: for [`Isa::run`].
///
/// ```
/// use autodiff::{Isa, Task};
/// struct Halve<'a>(&'a mut [f32]);
/// impl Task for Halve<'_> {
///     type Output = ();
///     #[inline(always)]
///     fn run(self) {
///         self.0.iter_mut().for_each(|x| *x *= 0.5);
///     }
/// }
/// let mut x = [1.0; 100];
/// Isa::detect()?.run(Halve(&mut x));
/// assert_eq!(x, [0.5; 100]);
/// # Ok::<(), String>(())
/// ```
pub trait Task {
    /// What the work gives.
    type Output;

    /// Does the work. Implementations say `#[inline(always)]` here and on what they call in hot loops:
    /// what is not inlined is compiled for the portable instruction set.
    fn run(self) -> Self::Output;
}

/// Makes a task of the argument and runs it, compiled for AVX-512. Tasks made of the same argument have functions
/// of the same type here, so that kernels can choose among them by pointer.
///
/// # Safety
/// The CPU has the features of [`Level::Avx512`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
pub(super) unsafe fn avx512<A, K: Task + From<A>>(argument: A) -> K::Output {
    K::from(argument).run()
}

/// Makes a task of the argument and runs it, compiled for AVX2 and FMA.
///
/// # Safety
/// The CPU has the features of [`Level::Avx2`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn avx2<A, K: Task + From<A>>(argument: A) -> K::Output {
    K::from(argument).run()
}

/// An operation on every element of blocks, for [`Isa::each`].
pub(super) trait Each<T> {
    /// y[i] = what the operation makes of the sources' elements i. All have the same length. Implementations say
    /// `#[inline(always)]`, as those of [`Task`] do.
    fn each(y: &mut [T], from: [&[T]; 4]);
}

/// The loop of an operation: y, and the sources, of which it may read fewer.
///
/// References of its own, so that the compiler knows without asking that what is written is not read.
pub(super) type Loop<T> = unsafe fn(&mut [T], &[T], &[T], &[T], &[T]);

impl Isa {
    /// The loop of an operation for this instruction set. To call it is safe where all slices have the same length.
    pub(super) fn each<T, E: Each<T>>(self) -> Loop<T> {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => avx512_each::<T, E>,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2_each::<T, E>,
            _ => portable_each::<T, E>,
        }
    }
}

/// # Safety
/// All slices have the same length.
#[inline(always)]
unsafe fn portable_each<T, E: Each<T>>(y: &mut [T], a: &[T], b: &[T], c: &[T], d: &[T]) {
    let n = y.len();
    // SAFETY: the caller's promise. It saves the loop the question which of them ends first.
    unsafe { std::hint::assert_unchecked([a.len(), b.len(), c.len(), d.len()] == [n; 4]) };
    E::each(y, [a, b, c, d]);
}

/// # Safety
/// The CPU has the features of [`Level::Avx512`], and all slices have the same length.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
pub(super) unsafe fn avx512_each<T, E: Each<T>>(y: &mut [T], a: &[T], b: &[T], c: &[T], d: &[T]) {
    // SAFETY: the caller's promises.
    unsafe { portable_each::<T, E>(y, a, b, c, d) }
}

/// # Safety
/// The CPU has the features of [`Level::Avx2`], and all slices have the same length.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn avx2_each<T, E: Each<T>>(y: &mut [T], a: &[T], b: &[T], c: &[T], d: &[T]) {
    // SAFETY: the caller's promises.
    unsafe { portable_each::<T, E>(y, a, b, c, d) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_unknown_ones_are_refused() {
        for isa in Isa::available() {
            assert_eq!(isa.to_string().parse(), Ok(isa));
        }
        let refusal = "sse9".parse::<Isa>().unwrap_err();
        assert!(refusal.contains("sse9") && !refusal.contains('\n'), "{refusal}");
    }

    #[test]
    fn portable_is_everywhere_and_first() {
        assert_eq!(Isa::available()[0], Isa::PORTABLE);
    }

    #[test]
    fn a_task_gives_the_same_answer_on_each() {
        struct Sum<'a>(&'a [u32]);
        impl Task for Sum<'_> {
            type Output = u32;
            #[inline(always)]
            fn run(self) -> u32 {
                self.0.iter().sum()
            }
        }
        for isa in Isa::available() {
            assert_eq!(isa.run(Sum(&[1, 2, 3])), 6);
        }
    }
}
