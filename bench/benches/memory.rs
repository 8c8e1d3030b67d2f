//! Peak memory of a meta-gradient against inner steps: what one task allocates, worker and all, at its highest.
//!
//! `cargo bench -p bench --bench memory`
//!
//! draws the lines in `target/tmp/memory/memory, …/report/lines.svg`. The measurement is in bytes, not in seconds: the same
//! every time.

use std::time::Duration;

use bench::Workload;
use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{
    AxisScale, BenchmarkId, Criterion, PlotConfiguration, SamplingMode, Throughput, criterion_group, criterion_main,
};
use meta::inner::Hyper;
use meta::method::{FirstOrder, Keep, Method, Unrolled};

/// Bytes at the highest point.
struct PeakBytes;

impl Measurement for PeakBytes {
    type Intermediate = ();
    type Value = u64;

    fn start(&self) -> Self::Intermediate {
        unreachable!("bytes are counted around one run, by iter_custom")
    }
    fn end(&self, (): Self::Intermediate) -> u64 {
        unreachable!("bytes are counted around one run, by iter_custom")
    }
    fn add(&self, a: &u64, b: &u64) -> u64 {
        a + b
    }
    fn zero(&self) -> u64 {
        0
    }
    fn to_f64(&self, value: &u64) -> f64 {
        *value as f64
    }
    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

impl ValueFormatter for PeakBytes {
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        let (unit, bytes) = match typical {
            t if t < 1e3 => ("B", 1.0),
            t if t < 1e6 => ("kB", 1e3),
            t if t < 1e9 => ("MB", 1e6),
            _ => ("GB", 1e9),
        };
        values.iter_mut().for_each(|v| *v /= bytes);
        unit
    }
    fn scale_throughputs(&self, typical: f64, _: &Throughput, values: &mut [f64]) -> &'static str {
        self.scale_values(typical, values)
    }
    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "B"
    }
}

/// What one task's meta-gradient allocates on this thread, at its highest.
fn peak(workload: &Workload, method: &dyn Method<f32>, hyper: Hyper) -> u64 {
    let mut gradient = vec![0.0; workload.theta.len()];
    let run = || {
        method.worker().gradient(&workload.theta, hyper, &workload.data(0), &mut gradient);
    };
    allocation_counter::measure(run).bytes_max
}

fn memory(c: &mut Criterion<PeakBytes>) {
    for workload in ["S", "C5"].map(|name| Workload::named(name).expect("one of the names")) {
        let mut group = c.benchmark_group(format!("memory, {}", workload.name));
        group.plot_config(PlotConfiguration::default().summary_scale(AxisScale::Logarithmic));
        group.sampling_mode(SamplingMode::Flat).sample_size(10);
        group.warm_up_time(Duration::from_nanos(1)).measurement_time(Duration::from_millis(1));
        for steps in [1, 2, 4, 8, 16, 32, 64, 128] {
            let plain = Hyper { lambda: 0.0, rate: 1e-3 };
            let ((maml, _), (imaml, prox)) = (workload.maml(steps), workload.imaml(steps, 5));
            let checkpoints = Unrolled::new(&workload.plain, steps, Keep::Checkpoints(4));
            let first_order = FirstOrder::new(&workload.plain, steps);
            let methods: [(&str, &dyn Method<f32>, Hyper); 4] = [
                ("maml", &maml, plain),
                ("maml, 4 checkpoints", &checkpoints, plain),
                ("imaml", &imaml, Hyper { rate: 1e-3, ..prox }),
                ("fomaml", &first_order, plain),
            ];
            for (name, method, hyper) in methods {
                let bytes = peak(&workload, method, hyper);
                group.bench_with_input(BenchmarkId::new(name, steps), &bytes, |bench, &bytes| {
                    bench.iter_custom(|runs| runs * bytes);
                });
            }
        }
        group.finish();
    }
}

/// Without what an earlier run saved: a test for a change between two constants has no distribution to draw.
fn fresh() -> Criterion<PeakBytes> {
    let results = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("memory");
    let _ = std::fs::remove_dir_all(&results);
    Criterion::default().output_directory(&results).with_measurement(PeakBytes)
}

criterion_group! {
    name = benches;
    config = fresh();
    targets = memory
}
criterion_main!(benches);
