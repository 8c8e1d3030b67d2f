//! What several tests need: dense linear algebra, a quadratic bi-level problem with a closed form, random data, an inner
//! solve to the limit of f64.

use autodiff::{Arg, Element, Real, Var};
use meta::inner::{GradientOnly, HessianFree, Hyper, InnerSolver, InnerStop, InnerTask, Solved, Step};
use meta::linear::{Room, SolverSpace};
use meta::method::{Keep, Method};
use meta::problem::{At, DataSpec, FewShot, Problem};
use meta::tasks::{Episode, Sinusoid, Split, Targets, TaskStream};
use nn::{Init, Model};

pub use meta::convex::Quadratic;

/// ‖a − b‖ / ‖b‖, or ‖a − b‖ where b is 0.
pub fn relative_error(a: &[f64], b: &[f64]) -> f64 {
    let (distance, size) = (distance(a, b), norm(b));
    if size == 0.0 { distance } else { distance / size }
}

/// ‖x‖
pub fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// ‖a − b‖
pub fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "lengths");
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f64>().sqrt()
}

/// Numbers in (−1, 1) from a linear congruential generator: the same everywhere.
pub struct Numbers(u64);

impl Numbers {
    /// A sequence of its own for each seed.
    pub fn new(seed: u64) -> Self {
        let mut numbers = Numbers(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        (0..4).for_each(|_| {
            numbers.next();
        });
        numbers
    }

    /// The next number.
    #[allow(clippy::should_implement_trait)] // It never ends.
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 / (1_u64 << 53) as f64) * 2.0 - 1.0
    }

    /// The next `n` numbers.
    pub fn vec(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.next()).collect()
    }
}

/// G = Σ |φ − c| + ½λ‖φ − θ‖²: the minimiser is at the kink c where λ|c − θ| < 1.
pub struct Kink;

impl Problem for Kink {
    fn dim(&self) -> usize {
        3
    }
    fn data(&self) -> Vec<DataSpec> {
        vec![DataSpec { name: "c", shape: 3.into(), bound: None }]
    }
    fn inner<'t>(&self, at: &At<'t>) -> Var<'t> {
        let away = at.phi - at.theta;
        (at.phi - at.data[0].values()).abs().sum_all() + 0.5 * at.lambda * away.dot(away)
    }
    fn outer<'t>(&self, at: &At<'t>) -> Var<'t> {
        at.phi.dot(at.phi)
    }
}

/// Solves A x = b by Gaussian elimination with partial pivoting; A is row-major.
pub fn dense_solve(a: &[f64], b: &[f64]) -> Vec<f64> {
    let n = b.len();
    let (mut a, mut x) = (a.to_vec(), b.to_vec());
    for column in 0..n {
        let pivot = (column..n).max_by(|&i, &j| a[i * n + column].abs().total_cmp(&a[j * n + column].abs())).unwrap();
        for j in 0..n {
            a.swap(column * n + j, pivot * n + j);
        }
        x.swap(column, pivot);
        for i in column + 1..n {
            let factor = a[i * n + column] / a[column * n + column];
            for j in column..n {
                a[i * n + j] -= factor * a[column * n + j];
            }
            x[i] -= factor * x[column];
        }
    }
    for i in (0..n).rev() {
        let sum: f64 = (i + 1..n).map(|j| a[i * n + j] * x[j]).sum();
        x[i] = (x[i] - sum) / a[i * n + i];
    }
    x
}

/// A symmetric matrix with the given eigenvalues, row-major: Q diag(e) Qᵀ with Q a product of reflections.
pub fn symmetric(eigenvalues: &[f64], seed: u64) -> Vec<f64> {
    let n = eigenvalues.len();
    let mut numbers = Numbers::new(seed);
    let mut a: Vec<f64> = (0..n * n).map(|i| if i / n == i % n { eigenvalues[i / n] } else { 0.0 }).collect();
    for _ in 0..n {
        let v = numbers.vec(n);
        let square: f64 = v.iter().map(|x| x * x).sum();
        // A ← (I − 2vvᵀ/vᵀv) A (I − 2vvᵀ/vᵀv)
        for _ in 0..2 {
            for j in 0..n {
                let dot: f64 = (0..n).map(|i| v[i] * a[i * n + j]).sum();
                (0..n).for_each(|i| a[i * n + j] -= 2.0 * dot / square * v[i]);
            }
            let transposed: Vec<f64> = (0..n * n).map(|i| a[i % n * n + i / n]).collect();
            a = transposed;
        }
    }
    // Reflections leave rounding-level asymmetry.
    (0..n * n).map(|i| 0.5 * (a[i] + a[i % n * n + i / n])).collect()
}

/// Every way to keep up to fifty steps, some of them in two ways.
pub const KEEPS: [Keep; 6] = [
    Keep::Everything,
    Keep::Iterates,
    Keep::Checkpoints(1),
    Keep::Checkpoints(3),
    Keep::Checkpoints(50),
    Keep::Last(50),
];

/// dF/dθ of one task.
pub fn gradient<T: Element>(
    method: &dyn Method<T>,
    theta: &[T],
    hyper: Hyper,
    data: &[Arg<'_, T>],
) -> (Vec<T>, meta::Report) {
    // What is not written shows.
    let mut out = vec![T::from_f64(f64::NAN); theta.len()];
    let report = method.worker().gradient(theta, hyper, data, &mut out);
    (out, report)
}

/// A quadratic task with known eigenvalues.
pub struct Case {
    /// |φ|
    pub n: usize,
    /// A, row-major.
    pub a: Vec<f64>,
    /// b
    pub b: Vec<f64>,
    /// c
    pub c: Vec<f64>,
    /// θ
    pub theta: Vec<f64>,
}

impl Case {
    /// A with these eigenvalues; the rest is drawn.
    pub fn new(eigenvalues: &[f64], seed: u64) -> Self {
        let n = eigenvalues.len();
        let mut numbers = Numbers::new(seed);
        let (b, c, theta) = (numbers.vec(n), numbers.vec(n), numbers.vec(n));
        Case { n, a: symmetric(eigenvalues, seed), b, c, theta }
    }

    /// As [`Quadratic`] declares it.
    pub fn data(&self) -> [Arg<'_, f64>; 3] {
        [(&self.a).into(), (&self.b).into(), (&self.c).into()]
    }

    /// A + λI
    pub fn regularised(&self, lambda: f64) -> Vec<f64> {
        let n = self.n;
        (0..n * n).map(|i| self.a[i] + if i / n == i % n { lambda } else { 0.0 }).collect()
    }

    /// φ* = (A + λI)⁻¹ (b + λθ)
    pub fn solution(&self, lambda: f64) -> Vec<f64> {
        let right: Vec<f64> = self.b.iter().zip(&self.theta).map(|(b, t)| b + lambda * t).collect();
        dense_solve(&self.regularised(lambda), &right)
    }

    /// dF/dθ = λ (A + λI)⁻¹ (φ* − c)
    pub fn exact(&self, lambda: f64) -> Vec<f64> {
        let v: Vec<f64> = self.solution(lambda).iter().zip(&self.c).map(|(p, c)| p - c).collect();
        dense_solve(&self.regularised(lambda), &v).into_iter().map(|x| lambda * x).collect()
    }

    /// The gradient through K steps in closed form: φ_{k+1} = M φ_k + α (b + λθ) with M = I − α(A + λI), so
    /// dφ_K/dθ = M^K + αλ Σ_{j<K} M^j, symmetric.
    pub fn unrolled(&self, lambda: f64, rate: f64, steps: usize) -> Vec<f64> {
        let (n, m) = (self.n, self.regularised(lambda));
        let times = |x: &[f64]| -> Vec<f64> {
            (0..n).map(|i| x[i] - rate * (0..n).map(|j| m[i * n + j] * x[j]).sum::<f64>()).collect()
        };
        let mut phi = self.theta.clone();
        for _ in 0..steps {
            phi =
                times(&phi).iter().enumerate().map(|(i, p)| p + rate * (self.b[i] + lambda * self.theta[i])).collect();
        }
        let mut power: Vec<f64> = phi.iter().zip(&self.c).map(|(p, c)| p - c).collect();
        let mut sum = vec![0.0; n];
        for _ in 0..steps {
            sum.iter_mut().zip(&power).for_each(|(s, p)| *s += p);
            power = times(&power);
        }
        power.iter().zip(&sum).map(|(p, s)| p + rate * lambda * s).collect()
    }
}

/// [`HessianFree`] until ‖∇G‖ is below `relative` times its start; another end is further along the same way.
pub struct ToRelative {
    /// Of ‖∇G(φ₀)‖.
    pub relative: f64,
    /// The most iterations.
    pub cap: usize,
}

impl ToRelative {
    fn solver(&self, first: f64) -> HessianFree {
        HessianFree::new(InnerStop::Gradient { gradient: self.relative * first, cap: self.cap })
    }
}

impl InnerSolver<f64> for ToRelative {
    fn step(&self) -> &dyn Step {
        &GradientOnly
    }

    fn room(&self) -> Room {
        InnerSolver::<f64>::room(&self.solver(1.0))
    }

    fn solve(&self, task: &mut InnerTask<'_, f64>, space: &mut SolverSpace<f64>) -> Solved {
        let first = task.look().gradient_norm;
        self.solver(first).solve(task, space)
    }
}

/// One input of a task, owned.
pub enum Values<T> {
    /// Numbers.
    Floats(Vec<T>),
    /// Class labels.
    Indices(Vec<u32>),
}

/// A task's data, owned.
pub struct Owned<T>(pub Vec<Values<T>>);

impl<T: Element> Owned<T> {
    /// Training task `k` of a stream.
    pub fn of(stream: &dyn TaskStream, k: u64) -> Self {
        let mut episode = Episode::empty_for(stream.shape());
        stream.sample(Split::Train, k, &mut episode);
        let floats = |v: &[f32]| Values::Floats(v.iter().map(|&x| T::from_f64(f64::from(x))).collect());
        let targets = |t: &Targets| match t {
            Targets::Values(v) => floats(v),
            Targets::Classes(c) => Values::Indices(c.clone()),
        };
        let Episode { support, query } = &episode;
        Owned(vec![floats(&support.x), targets(&support.y), floats(&query.x), targets(&query.y)])
    }

    /// As problems take it.
    pub fn args(&self) -> Vec<Arg<'_, T>> {
        fn arg<T>(values: &Values<T>) -> Arg<'_, T> {
            match values {
                Values::Floats(v) => Arg::Floats(v),
                Values::Indices(v) => Arg::Indices(v),
            }
        }
        self.0.iter().map(arg).collect()
    }
}

/// PyTorch's initialisation of a model, from [`Numbers`].
pub fn initial<T: Element>(model: &Model, seed: u64) -> Vec<T> {
    let mut numbers = Numbers::new(seed);
    model.init(Init::PyTorch, &mut || 0.5 * (numbers.next() + 1.0))
}

/// Ten points of a sine curve to adapt to and ten to measure on, with a model and its initialisation.
pub fn sinusoid(spec: &str, prox: bool, k: u64) -> (FewShot, Vec<f64>, Owned<f64>) {
    let model: Model = spec.parse().unwrap();
    let theta = initial(&model, k);
    (FewShot::new(model, 10, 10, prox), theta, Owned::of(&Sinusoid::new(7, 10, 10).unwrap(), k))
}
