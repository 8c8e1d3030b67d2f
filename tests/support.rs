//! What several tests need: dense linear algebra, a quadratic bi-level problem with a closed form, random data.

use autodiff::{Tape, Var};
use meta::problem::{At, Data, DataSpec, Problem};

/// ‖a − b‖ / ‖b‖, or ‖a − b‖ where b is 0.
pub fn relative_error(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "lengths");
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
    let distance = norm(&mut a.iter().zip(b).map(|(x, y)| x - y));
    let size = norm(&mut b.iter().copied());
    if size == 0.0 { distance } else { distance / size }
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

/// G = ½ φᵀAφ − bᵀφ + ½λ‖φ − θ‖², f = ½ ‖φ − c‖². Data: A, b, c.
pub struct Quadratic {
    /// |φ|
    pub dim: usize,
}

impl Problem for Quadratic {
    fn dim(&self) -> usize {
        self.dim
    }

    fn data(&self) -> Vec<DataSpec> {
        let n = self.dim;
        vec![
            DataSpec { name: "A", shape: [n, n].into(), bound: None },
            DataSpec { name: "b", shape: n.into(), bound: None },
            DataSpec { name: "c", shape: n.into(), bound: None },
        ]
    }

    fn inner<'t>(&self, at: &At<'t>) -> Var<'t> {
        let (a, b) = (at.data[0].values(), at.data[1].values());
        let column = at.phi.reshape([self.dim, 1]);
        let away = at.phi - at.theta;
        0.5 * column.dot(a.matmul(column)) - b.dot(at.phi) + 0.5 * at.lambda * away.dot(away)
    }

    fn outer<'t>(&self, at: &At<'t>) -> Var<'t> {
        let away = at.phi - at.data[2].values();
        0.5 * away.dot(away)
    }

    fn declare<'t>(&self, tape: &'t Tape) -> Vec<Data<'t>> {
        let declare = |spec: DataSpec| Data::Values(tape.input(spec.name, spec.shape, autodiff::Stage::DATA));
        self.data().into_iter().map(declare).collect()
    }
}
