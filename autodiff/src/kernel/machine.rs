//! What the machine can do, measured: the 100 % of every share that benchmarks state.

use std::hint::black_box;
use std::time::Instant;

use super::product::{Simd, VectorTask, dispatch};
use super::{Isa, Task, sum};

/// Independent chains: latency × units is 8 to 10 on current cores, and all of them fit the registers.
const CHAINS: usize = 12;
const STEPS: usize = 20_000;

/// x ← a x + b, over and over, in chains that do not wait for each other; then their sum.
struct Chains<'s> {
    a: f32,
    b: f32,
    sum: &'s mut f32,
}

impl VectorTask<f32> for Chains<'_> {
    #[inline(always)]
    unsafe fn run<V: Simd<Scalar = f32>>(self) {
        // SAFETY: the caller promises V's instruction set.
        unsafe {
            let (a, b) = (V::splat(self.a), V::splat(self.b));
            let mut x = [V::splat(1.0); CHAINS];
            for _ in 0..STEPS {
                for chain in &mut x {
                    *chain = chain.mul_add(a, b);
                }
            }
            *self.sum = x.into_iter().fold(V::zero(), |sum, chain| sum.add(chain)).sum();
        }
    }
}

/// The sum of all numbers, in lanes.
struct Stream<'a>(&'a [f32]);
impl Task for Stream<'_> {
    type Output = f32;
    #[inline(always)]
    fn run(self) -> f32 {
        sum::sum_vector(self.0)
    }
}

impl Isa {
    /// Multiply-adds × 2 per second in `f32` of the calling thread, from registers alone: the best of `rounds` runs
    /// of a fraction of a millisecond.
    pub fn peak_flops(self, rounds: usize) -> f64 {
        let (a, b) = (black_box(0.999), black_box(1e-3));
        let lanes = self.lanes::<f32>();
        let run = || {
            let mut sum = 0.0;
            dispatch(self, lanes, Chains { a, b, sum: &mut sum });
            sum
        };
        best(rounds, (2 * lanes * CHAINS * STEPS) as f64, &run)
    }

    /// Bytes per second that the calling thread reads from a vector of `bytes`: the best of `rounds` runs.
    pub fn read_bandwidth(self, bytes: usize, rounds: usize) -> f64 {
        let x = vec![1.0_f32; bytes / size_of::<f32>()];
        best(rounds, size_of_val(&x[..]) as f64, &|| self.run(Stream(black_box(&x))))
    }
}

/// `work` per second, at best.
fn best(rounds: usize, work: f64, run: &dyn Fn() -> f32) -> f64 {
    let seconds = |_| {
        let start = Instant::now();
        black_box(run());
        start.elapsed().as_secs_f64()
    };
    work / (0..rounds).map(seconds).fold(f64::INFINITY, f64::min)
}
