//! What the Rust peers share: the episode file, and the protocol of `../compare.py`.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::time::Instant;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;

/// A model: ReLU, and batch statistics behind convolutions.
pub enum Spec {
    /// Fully connected layers.
    Mlp { layers: usize, inputs: usize },
    /// Four of 3×3 convolution, batch norm, ReLU.
    Conv4 { stride: usize, image: [usize; 3] },
}

/// What a set is to be mapped to.
pub enum Targets {
    /// Regression.
    Values(Vec<f32>),
    /// Labels.
    Classes(Vec<i64>),
}

/// Values by parameter name, as in a `state_dict`.
pub type Flat = BTreeMap<String, Vec<f32>>;

/// What an episode file holds for Hessian-vector products.
pub struct Job {
    /// The model.
    pub spec: Spec,
    /// Of each parameter.
    pub shapes: BTreeMap<String, Vec<usize>>,
    /// The parameters.
    pub theta: Flat,
    /// Directions, each by parameter.
    pub directions: Vec<Flat>,
    /// Support rows of a task.
    pub rows: usize,
    /// Support sets.
    pub tasks: Vec<(Vec<f32>, Targets)>,
}

fn floats(t: &TensorView<'_>) -> Vec<f32> {
    t.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn parse(spec: &str) -> Option<Spec> {
    let (kind, rest) = spec.split_once(':')?;
    let option = |key: &str| rest.split(',').find_map(|part| part.strip_prefix(key)?.strip_prefix('='));
    if option("act").is_some_and(|act| act != "relu") || rest.contains("pool") {
        return None;
    }
    match kind {
        "mlp" => {
            let widths: Vec<usize> = rest.split(',').next()?.split('-').filter_map(|w| w.parse().ok()).collect();
            Some(Spec::Mlp { layers: widths.len() - 1, inputs: widths[0] })
        }
        _ => {
            let image: Vec<usize> = option("image")?.split('x').filter_map(|n| n.parse().ok()).collect();
            Some(Spec::Conv4 { stride: option("stride")?.parse().ok()?, image: image.try_into().ok()? })
        }
    }
}

fn load(file: &str, spec: &str) -> Result<Job, String> {
    let bytes = std::fs::read(file).map_err(|e| format!("cannot read {file}: {e}"))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| format!("{file}: {e}"))?;
    let spec = parse(spec).ok_or("ReLU networks without pooling only")?;
    let under = |prefix: &str| -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
        let own = |(name, t): (&str, TensorView<'_>)| {
            Some((name.strip_prefix(prefix)?.to_owned(), (t.shape().to_vec(), floats(&t))))
        };
        tensors.iter().filter_map(own).collect()
    };
    let (parameters, vectors) = (under("param."), under("vector."));
    let count = vectors.values().next().map_or(0, |(shape, _)| shape[0]);
    let part = |v: &[f32], j: usize| v[j * v.len() / count..(j + 1) * v.len() / count].to_vec();
    let directions = (0..count).map(|j| vectors.iter().map(|(k, (_, v))| (k.clone(), part(v, j))).collect()).collect();
    let (x, y) = (tensors.tensor("support.x").unwrap(), tensors.tensor("support.y").unwrap());
    let (tasks, rows) = (x.shape()[0], x.shape()[1]);
    let all = floats(&x);
    let split = |i: usize, len: usize| i * len / tasks..(i + 1) * len / tasks;
    let targets = |i: usize| match y.dtype() {
        Dtype::I64 => {
            let labels: Vec<i64> =
                y.data().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().expect("8 bytes"))).collect();
            Targets::Classes(labels[split(i, labels.len())].to_vec())
        }
        _ => {
            let values = floats(&y);
            Targets::Values(values[split(i, values.len())].to_vec())
        }
    };
    Ok(Job {
        spec,
        shapes: parameters.iter().map(|(k, (shape, _))| (k.clone(), shape.clone())).collect(),
        theta: parameters.into_iter().map(|(k, (_, v))| (k, v)).collect(),
        directions,
        rows,
        tasks: (0..tasks).map(|i| (all[split(i, all.len())].to_vec(), targets(i))).collect(),
    })
}

/// A line of /proc/self/status, in bytes.
fn memory(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(key)).unwrap_or("0");
    line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// The result of a task, to be averaged: for each direction, H v by parameter.
pub type Products = Vec<Flat>;

/// The mean over tasks, directions stacked.
fn mean(job: &Job, product: &mut dyn FnMut(&Job, &(Vec<f32>, Targets)) -> Products) -> Flat {
    let mut all: Flat = job.theta.iter().map(|(k, v)| (k.clone(), vec![0.0; v.len() * job.directions.len()])).collect();
    for task in &job.tasks {
        for (j, products) in product(job, task).into_iter().enumerate() {
            for (k, v) in products {
                let sum = all.get_mut(&k).expect("a parameter");
                let scale = 1.0 / job.tasks.len() as f32;
                sum[j * v.len()..(j + 1) * v.len()].iter_mut().zip(v).for_each(|(s, p)| *s += scale * p);
            }
        }
    }
    all
}

/// Loads the file of the command line, warms up once, then answers `run N`, `answer FILE` and `quit`, a line of JSON
/// each.
pub fn serve(versions: &str, mut product: impl FnMut(&Job, &(Vec<f32>, Targets)) -> Products) {
    let flag = |name: &str| std::env::args().find_map(|a| a.strip_prefix(&format!("--{name}=")).map(str::to_owned));
    let job = match load(&flag("file").unwrap_or_default(), &flag("spec").unwrap_or_default()) {
        Ok(job) => job,
        Err(reason) => {
            eprintln!("{reason}");
            std::process::exit(2);
        }
    };
    let before = memory("VmRSS:");
    let start = Instant::now();
    let mut last = mean(&job, &mut product);
    let first = start.elapsed().as_secs_f64();
    println!("{}", json!({ "versions": versions, "before": before, "first": first }));
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match line.split_once(' ') {
            Some(("run", times)) => {
                let one = |_| {
                    let start = Instant::now();
                    last = mean(&job, &mut product);
                    start.elapsed().as_secs_f64()
                };
                let seconds: Vec<f64> = (0..times.trim().parse().unwrap_or(1)).map(one).collect();
                println!("{}", json!({ "seconds": seconds }));
            }
            Some(("answer", file)) => {
                write(&job, &last, file.trim());
                println!("{}", json!({}));
            }
            _ => {
                println!("{}", json!({ "peak": memory("VmHWM:") }));
                return;
            }
        }
    }
}

fn write(job: &Job, products: &Flat, file: &str) {
    let bytes = |v: &[f32]| v.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let shape = |k: &str| [&[job.directions.len()], &job.shapes[k][..]].concat();
    let arrays: Vec<(&str, Vec<usize>, Vec<u8>)> =
        products.iter().map(|(k, v)| (k.as_str(), shape(k), bytes(v))).collect();
    let view = |shape: &[usize], data| TensorView::new(Dtype::F32, shape.to_vec(), data).expect("4 bytes an element");
    let views: Vec<(&str, TensorView<'_>)> = arrays.iter().map(|(k, shape, data)| (*k, view(shape, data))).collect();
    let whole = safetensors::serialize(views, None).expect("a small header");
    std::fs::write(file, whole).expect("the answer can be written");
}
