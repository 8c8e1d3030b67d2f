//! Where did the time go: each workload's share of what the machine can do, whole and step by step.
//!
//! `cargo run --release -p bench --bin roofline -- [WORKLOAD ...]`
//!
//! 100 % is the multiply-adds that as many threads do in registers, measured in the same run. Operations are the
//! algebraic minimum: those of matrix and convolution products. The tables by step are of one task on one thread, and of
//! as many as are taken together, in the plan of the inner level: its point stage is a gradient and the step, as within a
//! run, its direction stage a product with the Hessian at that point.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use autodiff::{Arg, Isa, Stage, StepTime};
use bench::{NAMES, Workload};
use meta::inner::{Derivative, GradientDescent, Hyper, InnerPlan, Inputs};
use meta::method::Method;
use meta::train::MetaBatch;

/// How long each figure is measured for.
const PATIENCE: Duration = Duration::from_millis(1500);
/// A table leaves out steps below this share of its stage.
const LEAST_SHARE: f64 = 0.01;

fn main() -> ExitCode {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let names: Vec<&str> = if asked.is_empty() { NAMES.to_vec() } else { asked.iter().map(String::as_str).collect() };
    let workloads = names.into_iter().map(Workload::named).collect::<Result<Vec<_>, _>>();
    match Isa::detect().and_then(|isa| Ok((isa, workloads?))) {
        Ok((isa, workloads)) => report(isa, &workloads),
        Err(message) => {
            eprintln!("error: {message}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn report(isa: Isa, workloads: &[Workload]) {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let (one, many) = (together(1, || isa.peak_flops(400)), together(all, || isa.peak_flops(400)));
    println!("{isa}: {:.0} GFLOP/s on one thread, {:.0} on {all}", one / 1e9, many / 1e9);
    for (what, bytes) in [("L2", 256 << 10), ("L3", 4 << 20), ("memory", 256 << 20)] {
        let read = |threads| together(threads, || isa.read_bandwidth(bytes, 20)) / 1e9;
        println!("  reads {:.0} GB/s from {what} on one thread, {:.0} on {all}", read(1), read(all));
    }
    for workload in workloads {
        println!("\n{}", workload.name);
        let pools = [1, all].map(|n| rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("threads"));
        let (maml, imaml) = (workload.maml(5), workload.imaml(16, 5));
        for (pool, peak) in pools.iter().zip([one, many]) {
            whole(workload, "MAML 5", &maml.0, maml.1, pool, peak);
            whole(workload, "iMAML 16/5", &imaml.0, imaml.1, pool, peak);
        }
        steps(workload, one);
    }
}

/// What `threads` threads that run at the same time reach in sum.
fn together(threads: usize, measure: impl Fn() -> f64 + Sync) -> f64 {
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(&measure)).collect();
        running.into_iter().map(|thread| thread.join().expect("no measurement panics")).sum()
    })
}

/// Runs for [`PATIENCE`], three times at least; the shortest run.
fn shortest(mut run: impl FnMut()) -> Duration {
    run();
    let (start, mut best, mut runs) = (Instant::now(), Duration::MAX, 0);
    while runs < 3 || start.elapsed() < PATIENCE {
        let before = Instant::now();
        run();
        best = best.min(before.elapsed());
        runs += 1;
    }
    best
}

/// One meta-gradient of all tasks.
fn whole(workload: &Workload, what: &str, method: &dyn Method<f32>, hyper: Hyper, pool: &rayon::ThreadPool, peak: f64) {
    let mut batch = MetaBatch::new(method, pool, workload.theta.len(), workload.tasks());
    let mut gradient = vec![0.0; workload.theta.len()];
    let mut run = || {
        batch.gradient(workload, workload.tasks(), &workload.theta, hyper, &mut gradient);
    };
    // By a thread of the pool, as training does.
    let time = pool.install(|| shortest(&mut run));
    let reports = batch.reports(workload.tasks());
    let flops: u64 = reports.iter().map(|report| method.flops(report)).sum();
    let products: usize = reports.iter().map(|report| report.products).sum();
    let rate = flops as f64 / time.as_secs_f64();
    println!(
        "  {what:<11} {} thread{}  {:>9.3} ms  {:>6.1} GFLOP/s  {:>4.1} % of peak  {products} products, {} bytes a thread",
        pool.current_num_threads(),
        if pool.current_num_threads() == 1 { " " } else { "s" },
        1e3 * time.as_secs_f64(),
        rate / 1e9,
        100.0 * rate / peak,
        method.bytes(),
    );
}

/// A gradient and a product at the point, by plan step: of one task, and of one in every lane where that is how they
/// are taken.
fn steps(workload: &Workload, peak: f64) {
    let abreast = workload.imaml(16, 5).0.abreast().map(|abreast| abreast.lanes());
    for lanes in [Some(1), abreast].into_iter().flatten() {
        let plan: InnerPlan<f32> = InnerPlan::in_lanes(&workload.prox, &GradientDescent, Derivative::Hessian, lanes);
        let data = workload.data(0).map(|arg| in_lanes(arg, lanes));
        let data: Vec<Arg<'_, f32>> = data.iter().map(Numbers::arg).collect();
        let theta: Vec<f32> = workload.theta.iter().flat_map(|&x| std::iter::repeat_n(x, lanes)).collect();
        tables(&plan, &Inputs::new(&theta, &[2.0, workload.imaml_rate as f32], &data), &theta, peak);
    }
}

/// An input of as many tasks as there are lanes, all the same.
enum Numbers {
    Floats(Vec<f32>),
    Indices(Vec<u32>),
}

impl Numbers {
    fn arg(&self) -> Arg<'_, f32> {
        match self {
            Numbers::Floats(x) => x.into(),
            Numbers::Indices(x) => Arg::Indices(x),
        }
    }
}

fn in_lanes(arg: Arg<'_, f32>, lanes: usize) -> Numbers {
    match arg {
        Arg::Floats(x) => Numbers::Floats(x.iter().flat_map(|&x| std::iter::repeat_n(x, lanes)).collect()),
        Arg::Indices(x) => Numbers::Indices(x.repeat(lanes)),
    }
}

fn tables(plan: &InnerPlan<f32>, inputs: &Inputs<'_, f32>, state: &[f32], peak: f64) {
    let mut workspace = plan.plan().workspace();
    let (mut next, mut product) = (vec![0.0; state.len()], vec![0.0; state.len()]);
    plan.start(&mut workspace, inputs);
    plan.step_in_lanes(&mut workspace, inputs, state, &mut next, &mut []);
    plan.hessian(&mut workspace, inputs, state, state, &mut product);
    plan.plan().time_steps(&mut workspace);
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        plan.step_through(&mut workspace, inputs, state, &mut next);
    }
    while start.elapsed() < 3 * PATIENCE {
        plan.hessian(&mut workspace, inputs, state, state, &mut product);
    }
    let times = plan.plan().step_times(&workspace);
    for (stage, name) in [(Stage::POINT, "a gradient and a step"), (Stage::DIRECTION, "a product")] {
        let name = if plan.lanes() == 1 { name.to_owned() } else { format!("{name} in {} lanes", plan.lanes()) };
        table(&name, times.iter().filter(|step| step.stage == stage), peak);
    }
}

/// Equal steps are one line, longest first.
fn table<'a>(name: &str, steps: impl Iterator<Item = &'a StepTime>, peak: f64) {
    #[derive(Default)]
    struct Line {
        count: u64,
        seconds: f64,
        flops: f64,
        bytes: f64,
    }
    let mut lines: BTreeMap<&str, Line> = BTreeMap::new();
    for step in steps {
        let line = lines.entry(&step.what).or_default();
        line.count += 1;
        line.seconds += step.time.as_secs_f64() / step.runs.max(1) as f64;
        line.flops += step.flops as f64;
        line.bytes += step.bytes as f64;
    }
    let sum = |of: fn(&Line) -> f64| lines.values().map(of).sum::<f64>();
    let (seconds, flops, products) =
        (sum(|l| l.seconds), sum(|l| l.flops), sum(|l| if l.flops > 0.0 { l.seconds } else { 0.0 }));
    println!(
        "\n  {name}: {:.1} us, {:.1} % of peak; {:.0} % of it in products, at {:.1} %",
        1e6 * seconds,
        100.0 * flops / seconds / peak,
        100.0 * products / seconds,
        100.0 * flops / products / peak
    );
    println!("  {:>6} {:>8} {:>8} {:>6}  step", "share", "us", "GFLOP/s", "GB/s");
    let mut lines: Vec<_> = lines.into_iter().collect();
    lines.sort_by(|a, b| b.1.seconds.total_cmp(&a.1.seconds));
    for (what, line) in lines.iter().filter(|(_, line)| line.seconds >= LEAST_SHARE * seconds) {
        let rate = if line.flops > 0.0 { format!("{:.1}", line.flops / line.seconds / 1e9) } else { String::new() };
        println!(
            "  {:>5.1}% {:>8.2} {rate:>8} {:>6.1}  {} × {what}",
            100.0 * line.seconds / seconds,
            1e6 * line.seconds,
            line.bytes / line.seconds / 1e9,
            line.count
        );
    }
}
