//! Hessian-vector products with tch 0.18, libtorch from Rust: double backward, task by task.
//!
//! ```text
//! g = ∇L with its graph kept        H v = ∇⟨g, v⟩
//! ```

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

#[path = "../../rust/src/lib.rs"]
mod peers;

use peers::{Flat, Job, Products, Spec, Targets, serve};

type Parameters = BTreeMap<String, Tensor>;

fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
    let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
    Tensor::from_slice(values).view(&shape[..])
}

/// Logits or predictions.
fn forward(spec: &Spec, p: &Parameters, x: &[f32], rows: usize) -> Tensor {
    let fully_connected =
        |name: &str, x: &Tensor| x.linear(&p[&format!("{name}.weight")], Some(&p[&format!("{name}.bias")]));
    match *spec {
        Spec::Mlp { layers, inputs } => {
            let mut x = tensor(x, &[rows, inputs]);
            for i in 1..=layers {
                x = fully_connected(&format!("fc{i}"), &x);
                x = if i < layers { x.relu() } else { x };
            }
            x
        }
        Spec::Conv4 { stride, image: [c, h, w] } => {
            let mut x = tensor(x, &[rows, c, h, w]);
            for i in 1..=4 {
                let of = |name: &str| &p[name];
                let (weight, bias) = (format!("conv{i}.weight"), format!("conv{i}.bias"));
                x = x.conv2d(of(&weight), Some(of(&bias)), [stride as i64; 2], [1_i64; 2], [1_i64; 2], 1);
                let (gamma, beta) = (format!("bn{i}.weight"), format!("bn{i}.bias"));
                let none: Option<&Tensor> = None;
                x = x.batch_norm(Some(of(&gamma)), Some(of(&beta)), none, none, true, 0.1, 1e-5, false).relu();
            }
            fully_connected("fc", &x.flatten(1, -1))
        }
    }
}

/// H v of one task's loss, direction by direction.
fn products(job: &Job, (x, y): &(Vec<f32>, Targets)) -> Products {
    let array = |(k, v): (&String, &Vec<f32>)| (k.clone(), tensor(v, &job.shapes[k]));
    let theta: Parameters = job.theta.iter().map(array).map(|(k, t)| (k, t.set_requires_grad(true))).collect();
    let output = forward(&job.spec, &theta, x, job.rows);
    let loss = match y {
        Targets::Values(y) => output.mse_loss(&tensor(y, &[job.rows, y.len() / job.rows]), tch::Reduction::Mean),
        Targets::Classes(y) => output.cross_entropy_for_logits(&Tensor::from_slice(y)),
    };
    let inputs: Vec<&Tensor> = theta.values().collect();
    let gradient = Tensor::run_backward(&[&loss], &inputs, true, true);
    let product = |v: &Flat| -> Flat {
        let terms = theta.keys().zip(&gradient).map(|(k, g)| (g * tensor(&v[k], &job.shapes[k])).sum(Kind::Float));
        let slope = terms.reduce(|a, b| a + b).expect("parameters");
        let second = Tensor::run_backward(&[&slope], &inputs, true, false);
        let values = |t: &Tensor| Vec::<f32>::try_from(t.contiguous().view(-1)).expect("f32");
        theta.keys().cloned().zip(second.iter().map(values)).collect()
    };
    job.directions.iter().map(product).collect()
}

fn main() {
    let threads = std::env::args().find_map(|a| a.strip_prefix("--threads=")?.parse().ok());
    tch::set_num_threads(threads.unwrap_or(1));
    serve("tch 0.18.1", products);
}
