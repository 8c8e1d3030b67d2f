//! Hessian-vector products with burn 0.21: nested automatic differentiation on its Flex backend, task by task.
//!
//! ```text
//! outer level: g = ∇L        inner level: H v = ∇⟨g, v⟩
//! ```
//!
//! burn's `linear` and its pools have no second derivative (they panic): matrix products are written out, and models
//! with pooling are left out.

use std::collections::BTreeMap;

use burn::backend::{Autodiff, Flex};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Int, Tensor, TensorData, activation};
use peers::{Job, Products, Spec, Targets, serve};

/// Records the gradient as it is taken.
type Once = Autodiff<Flex>;
/// Takes the gradient.
type Twice = Autodiff<Once>;

/// A parameter is a vector, a matrix or a kernel; each with its own rank in burn's types.
#[derive(Clone)]
enum Array<B: Backend> {
    Vector(Tensor<B, 1>),
    Matrix(Tensor<B, 2>),
    Kernel(Tensor<B, 4>),
}

type Parameters<B> = BTreeMap<String, Array<B>>;

impl<B: Backend> Array<B> {
    fn new(data: &[f32], shape: &[usize]) -> Self {
        let device = B::Device::default();
        let data = TensorData::new(data.to_vec(), shape.to_vec());
        match shape.len() {
            1 => Array::Vector(Tensor::from_data(data, &device)),
            2 => Array::Matrix(Tensor::from_data(data, &device)),
            4 => Array::Kernel(Tensor::from_data(data, &device)),
            rank => panic!("a parameter of rank {rank}"),
        }
    }

    fn values(&self) -> Vec<f32> {
        let data = match self {
            Array::Vector(x) => x.to_data(),
            Array::Matrix(x) => x.to_data(),
            Array::Kernel(x) => x.to_data(),
        };
        data.to_vec().expect("f32")
    }

    fn dot(&self, other: &Self) -> Tensor<B, 1> {
        match (self, other) {
            (Array::Vector(x), Array::Vector(y)) => (x.clone() * y.clone()).sum(),
            (Array::Matrix(x), Array::Matrix(y)) => (x.clone() * y.clone()).sum(),
            (Array::Kernel(x), Array::Kernel(y)) => (x.clone() * y.clone()).sum(),
            _ => panic!("two shapes"),
        }
    }
}

impl<B: AutodiffBackend> Array<B> {
    fn require_grad(self) -> Self {
        match self {
            Array::Vector(x) => Array::Vector(x.require_grad()),
            Array::Matrix(x) => Array::Matrix(x.require_grad()),
            Array::Kernel(x) => Array::Kernel(x.require_grad()),
        }
    }

    fn from_inner(inner: &Array<B::InnerBackend>) -> Self {
        match inner.clone() {
            Array::Vector(x) => Array::Vector(Tensor::from_inner(x)),
            Array::Matrix(x) => Array::Matrix(Tensor::from_inner(x)),
            Array::Kernel(x) => Array::Kernel(Tensor::from_inner(x)),
        }
    }

    fn grad(&self, gradients: &B::Gradients) -> Array<B::InnerBackend> {
        let found = "every parameter has a gradient";
        match self {
            Array::Vector(x) => Array::Vector(x.grad(gradients).expect(found)),
            Array::Matrix(x) => Array::Matrix(x.grad(gradients).expect(found)),
            Array::Kernel(x) => Array::Kernel(x.grad(gradients).expect(found)),
        }
    }
}

fn vector<B: Backend>(p: &Parameters<B>, name: &str) -> Tensor<B, 1> {
    let Some(Array::Vector(x)) = p.get(name) else { panic!("no vector {name}") };
    x.clone()
}

/// x Wᵀ + b
fn fully_connected<B: Backend>(p: &Parameters<B>, name: &str, x: Tensor<B, 2>) -> Tensor<B, 2> {
    let Some(Array::Matrix(w)) = p.get(&format!("{name}.weight")) else { panic!("no matrix {name}.weight") };
    // burn's own `linear` has no second derivative.
    x.matmul(w.clone().transpose()) + vector(p, &format!("{name}.bias")).unsqueeze()
}

/// The model's outputs on one set; ReLU only.
fn forward<B: Backend>(spec: &Spec, p: &Parameters<B>, x: &[f32], rows: usize) -> Tensor<B, 2> {
    let device = B::Device::default();
    match *spec {
        Spec::Mlp { layers, inputs } => {
            let mut x = Tensor::from_data(TensorData::new(x.to_vec(), [rows, inputs]), &device);
            for i in 1..=layers {
                x = fully_connected(p, &format!("fc{i}"), x);
                x = if i < layers { activation::relu(x) } else { x };
            }
            x
        }
        Spec::Conv4 { stride, image: [c, h, w] } => {
            let mut x = Tensor::<B, 4>::from_data(TensorData::new(x.to_vec(), [rows, c, h, w]), &device);
            for i in 1..=4 {
                let Some(Array::Kernel(kernel)) = p.get(&format!("conv{i}.weight")) else {
                    panic!("no conv{i}.weight")
                };
                let options = ConvOptions::new([stride; 2], [1; 2], [1; 2], 1);
                x = conv2d(x, kernel.clone(), Some(vector(p, &format!("conv{i}.bias"))), options);
                let per_channel = |v: Tensor<B, 1>| {
                    let channels = v.dims()[0];
                    v.reshape([1, channels, 1, 1])
                };
                let mean = x.clone().mean_dim(0).mean_dim(2).mean_dim(3);
                let centred = x - mean;
                let variance = (centred.clone() * centred.clone()).mean_dim(0).mean_dim(2).mean_dim(3);
                let (gamma, beta) = (vector(p, &format!("bn{i}.weight")), vector(p, &format!("bn{i}.bias")));
                let normal = centred / (variance + 1e-5).sqrt();
                x = activation::relu(normal * per_channel(gamma) + per_channel(beta));
            }
            fully_connected(p, "fc", x.flatten(1, 3))
        }
    }
}

/// Mean squared error, or softmax cross-entropy.
fn loss<B: Backend>(output: Tensor<B, 2>, targets: &Targets) -> Tensor<B, 1> {
    let device = B::Device::default();
    let [rows, width] = output.dims();
    match targets {
        Targets::Values(y) => {
            let away = output - Tensor::from_data(TensorData::new(y.clone(), [rows, width]), &device);
            (away.clone() * away).mean()
        }
        Targets::Classes(y) => {
            let labels = Tensor::<B, 2, Int>::from_data(TensorData::new(y.clone(), [rows, 1]), &device);
            activation::log_softmax(output, 1).gather(1, labels).mean().neg()
        }
    }
}

/// H v of one task's loss, direction by direction.
fn products(job: &Job, (x, y): &(Vec<f32>, Targets)) -> Products {
    let array = |(k, v): (&String, &Vec<f32>)| (k.clone(), Array::<Once>::new(v, &job.shapes[k]));
    let inner: Parameters<Once> = job.theta.iter().map(array).map(|(k, p)| (k, p.require_grad())).collect();
    let product = |v: &peers::Flat| {
        // burn consumes a graph when it goes back through it: the gradient is taken for every direction.
        let theta: Parameters<Twice> =
            inner.iter().map(|(k, p)| (k.clone(), Array::from_inner(p).require_grad())).collect();
        let gradients = loss(forward(&job.spec, &theta, x, job.rows), y).backward();
        let v: Parameters<Once> = v.iter().map(array).collect();
        let slope = theta.iter().map(|(k, p)| p.grad(&gradients).dot(&v[k])).reduce(|a, b| a + b);
        let second = slope.expect("parameters").backward();
        inner.iter().map(|(k, p)| (k.clone(), p.grad(&second).values())).collect()
    };
    job.directions.iter().map(product).collect()
}

fn main() {
    serve("burn 0.21.0", products);
}
