//! The machine's peak of f32 multiply-adds, in FLOP/s, on one thread and on as many as are asked for: `peak [THREADS]`.
//!
//! What `roofline` calls 100 % too. Prints one JSON object.

use autodiff::Isa;

/// Runs of a fraction of a millisecond, of which the best counts.
const ROUNDS: usize = 4000;

/// FLOP/s of `threads` threads that run at the same time.
fn measure(isa: Isa, threads: usize) -> f64 {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| isa.peak_flops(ROUNDS))).collect();
        threads.into_iter().map(|t| t.join().expect("no thread panics")).sum()
    })
}

fn main() -> Result<(), String> {
    let isa = Isa::detect()?;
    let threads = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1);
    let (one, all) = (measure(isa, 1), measure(isa, threads));
    println!("{}", serde_json::json!({ "one_thread": one, "threads": threads, "all_threads": all }));
    Ok(())
}
