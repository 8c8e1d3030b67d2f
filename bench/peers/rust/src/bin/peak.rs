//! The machine's peak of f32 multiply-adds, in FLOP/s, on one thread and on as many as are asked for: `peak [THREADS]`.
//!
//! Independent chains of fused multiply-adds on arrays that stay in registers; enough of them that no addition waits
//! for the one before. Prints one JSON object.

use std::hint::black_box;
use std::time::Instant;

/// Floats of one chain: the widest vectors there are.
const LANES: usize = if cfg!(target_feature = "avx512f") { 16 } else { 8 };
/// Chains: latency × units is 8 to 10 on current cores.
const CHAINS: usize = 12;
const STEPS: usize = 20_000;

/// x ← a x + b, over and over.
#[inline(never)]
fn chains(a: f32, b: f32) -> f32 {
    let mut x = [[1.0_f32; LANES]; CHAINS];
    for _ in 0..STEPS {
        for chain in &mut x {
            for lane in chain {
                *lane = lane.mul_add(a, b);
            }
        }
    }
    x.iter().flatten().sum()
}

/// FLOP/s of `threads` threads, the best of several runs.
fn measure(threads: usize) -> f64 {
    let work = 2.0 * (LANES * CHAINS * STEPS) as f64;
    let run = || {
        const ROUNDS: usize = 50;
        let start = Instant::now();
        for _ in 0..ROUNDS {
            black_box(chains(black_box(0.999), black_box(1e-3)));
        }
        ROUNDS as f64 * work / start.elapsed().as_secs_f64()
    };
    (0..10)
        .map(|_| {
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
                threads.into_iter().map(|t| t.join().expect("no thread panics")).sum::<f64>()
            })
        })
        .fold(0.0, f64::max)
}

fn main() {
    let threads = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1);
    println!(
        "{}",
        serde_json::json!({ "one_thread": measure(1), "threads": threads, "all_threads": measure(threads) })
    );
}
