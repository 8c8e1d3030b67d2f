//! Checking derivatives: of a function of yours, and of every primitive.
//!
//! Finite differences are never the only check. For f and random directions v, w and weights u, [`check`] compares
//!
//! ```text
//! adjoint      ⟨u, J v⟩ = ⟨Jᵀ u, v⟩                     forward against reverse mode: exact up to rounding
//! symmetry     ⟨w, H v⟩ = ⟨v, H w⟩, H = ∇²⟨u, f⟩        likewise
//! second       H v forward over reverse = reverse over reverse
//! differences  the k-th derivative along v, k = 1, 2, 3, against central differences of the (k − 1)-th
//! ```
//!
//! [`PRIMITIVES`] is the table of everything that can be recorded and has a derivative, each with a shape and a domain to
//! check it on.

use crate::plan::{Options, Plan};
use crate::real::Real;
use crate::tape::{Stage, Tape, Var};
use crate::transform::{Batched, hvp, jvp, vjp, vmap_lanes};

/// Relative errors found by [`check`]; what is exact is 0 up to rounding, some 1e-15 times the conditioning of f.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Errors {
    /// Forward mode against reverse mode.
    pub adjoint: f64,
    /// ⟨w, H v⟩ against ⟨v, H w⟩.
    pub symmetry: f64,
    /// Forward over reverse against reverse over reverse.
    pub second: f64,
    /// Derivatives of order 1, 2, 3 along v against central differences, the best over several widths: some 1e-8
    /// where f is smooth.
    pub differences: [f64; 3],
}

impl Errors {
    /// Whether everything is as small as correct derivatives of a well-scaled smooth function make it: 1e-10 for
    /// what is exact, 1e-6 for differences.
    pub fn are_small(&self) -> bool {
        let exact = [self.adjoint, self.symmetry, self.second];
        exact.iter().all(|&e| e <= 1e-10) && self.differences.iter().all(|&e| e <= 1e-6)
    }
}

/// Checks the derivatives of f at x, along directions fixed by `seed`.
///
/// f takes a vector and may return a tensor of any shape.
///
/// # Panics
/// Where f does.
///
/// ```
/// use autodiff::{check::check, Real};
/// let errors = check(|x| (x.tanh() * x).exp(), &[0.3, -0.7], 1);
/// assert!(errors.are_small(), "{errors:?}");
/// ```
#[track_caller]
pub fn check(f: impl for<'t> Fn(Var<'t>) -> Var<'t>, x: &[f64], seed: u64) -> Errors {
    let n = x.len();
    let tape = Tape::new();
    let at = tape.input("x", n, Stage::POINT);
    let v = tape.input("v", n, Stage::POINT);
    let w = tape.input("w", n, Stage::POINT);
    let y = f(at);
    let u = tape.input("u", y.shape(), Stage::POINT);

    let mut along = vec![y];
    for k in 0..3 {
        along.push(jvp(&along[k..], &[(at, v)])[0]);
    }
    let back = vjp(&[(y, u)], &[at])[0];
    let weighted = (u * y).sum_all();
    let product = hvp(weighted, &[at], &[(at, v)])[0];
    let other = hvp(weighted, &[at], &[(at, w)])[0];
    let twice_back = vjp(&[(back.dot(v), Var::one())], &[at])[0];
    let mut outputs = along.clone();
    outputs.extend([u.dot(along[1]), back.dot(v), w.dot(product), v.dot(other), product, twice_back]);
    let staged: Vec<_> = outputs.iter().map(|&y| (Stage::POINT, y)).collect();
    let plan: Plan<f64> = Plan::staged(&tape, &staged, Options::default());

    let mut numbers = Numbers(seed);
    let (v, w) = (numbers.take(n), numbers.take(n));
    let u = numbers.take(plan.output_shape(0).numel());
    let run = |x: &[f64]| plan.evaluate(&[x, &v, &w, &u]);
    let values = run(x);
    let scale = |v: &[f64]| v.iter().fold(0.0_f64, |m, x| m.max(x.abs()));

    let mut differences = [f64::INFINITY; 3];
    for h in [1e-3, 3e-4, 1e-4, 3e-5, 1e-5] {
        // Richardson's extrapolation of central differences: the error is O(h⁴) and rounding.
        let moved = |by: f64| run(&x.iter().zip(&v).map(|(x, v)| x + by * v).collect::<Vec<f64>>());
        let [far, near] = [h, h / 2.0].map(|h| (moved(h), moved(-h), 2.0 * h));
        for (k, best) in differences.iter_mut().enumerate() {
            let slope = |(plus, minus, width): &(Vec<Vec<f64>>, Vec<Vec<f64>>, f64), i: usize| {
                (plus[k][i] - minus[k][i]) / width
            };
            let size = scale(&values[k + 1]).max(scale(&values[k])).max(1.0);
            let error = values[k + 1]
                .iter()
                .enumerate()
                .map(|(i, d)| ((4.0 * slope(&near, i) - slope(&far, i)) / 3.0 - d).abs())
                .fold(0.0, larger);
            *best = best.min(error / size);
        }
    }
    // Inner products may cancel; they are compared on the scale of what is summed.
    let of = |i: usize| values[i][0];
    let terms = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a * b).abs()).sum::<f64>().max(1.0);
    let second = values[8].iter().zip(&values[9]).map(|(a, b)| (a - b).abs()).fold(0.0, larger);
    Errors {
        adjoint: (of(4) - of(5)).abs() / terms(&u, &values[1]),
        symmetry: (of(6) - of(7)).abs() / terms(&w, &values[8]),
        second: second / scale(&values[8]).max(1.0),
        differences,
    }
}

/// The larger of two, and a NaN above all.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || a >= b { a } else { b }
}

/// Numbers in (−1, 1), the same everywhere.
struct Numbers(u64);

impl Numbers {
    fn take(&mut self, n: usize) -> Vec<f64> {
        let mut next = || {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
        };
        (0..n).map(|_| next()).collect()
    }
}

/// Something that can be recorded, and where to check it.
pub struct Primitive {
    /// Its name.
    pub name: &'static str,
    /// Records it on a vector of `len` numbers.
    pub record: for<'t> fn(Var<'t>) -> Var<'t>,
    /// Numbers it takes.
    pub len: usize,
    /// They are drawn from this interval: inside the domain, away from kinks.
    pub domain: (f64, f64),
}

const fn primitive(
    name: &'static str,
    len: usize,
    domain: (f64, f64),
    record: for<'t> fn(Var<'t>) -> Var<'t>,
) -> Primitive {
    Primitive { name, record, len, domain }
}

/// Halves of a vector.
fn halves(x: Var<'_>) -> (Var<'_>, Var<'_>) {
    let n = x.shape()[0];
    (x.slice(&[0], &[n / 2]), x.slice(&[n / 2], &[n]))
}

const ANY: (f64, f64) = (-1.5, 1.5);
const POSITIVE: (f64, f64) = (0.3, 2.0);

/// Every primitive.
pub const PRIMITIVES: &[Primitive] = &[
    primitive("neg", 3, ANY, |x| -x),
    primitive("exp", 3, ANY, |x| x.exp()),
    primitive("exp_m1", 3, ANY, |x| x.exp_m1()),
    primitive("ln", 3, POSITIVE, |x| x.ln()),
    primitive("ln_1p", 3, POSITIVE, |x| x.ln_1p()),
    primitive("sqrt", 3, POSITIVE, |x| x.sqrt()),
    primitive("recip", 3, POSITIVE, |x| x.recip()),
    primitive("sin", 3, ANY, |x| x.sin()),
    primitive("cos", 3, ANY, |x| x.cos()),
    primitive("tanh", 3, ANY, |x| x.tanh()),
    primitive("sigmoid", 3, ANY, |x| x.sigmoid()),
    primitive("softplus", 3, ANY, |x| x.softplus()),
    primitive("erf", 3, ANY, |x| x.erf()),
    primitive("erfc", 3, ANY, |x| x.erfc()),
    primitive("gelu", 3, ANY, |x| x.gelu()),
    primitive("abs", 3, POSITIVE, |x| (-x).abs() * x),
    primitive("relu", 3, POSITIVE, |x| x.relu() * x),
    primitive("powi", 3, ANY, |x| x.powi(3) + x.powi(2)),
    primitive("add", 4, ANY, |x| halves(x).0 + halves(x).1),
    primitive("sub", 4, ANY, |x| halves(x).0 - halves(x).1),
    primitive("mul", 4, ANY, |x| halves(x).0 * halves(x).1),
    primitive("div", 4, POSITIVE, |x| halves(x).0 / halves(x).1),
    primitive("powf", 4, POSITIVE, |x| halves(x).0.powf(halves(x).1)),
    primitive("max", 3, POSITIVE, |x| x.max(-x) * x),
    primitive("min", 3, POSITIVE, |x| x.min(-x) * x),
    primitive("select", 3, POSITIVE, |x| Var::select(x.less(-x), x.exp(), x.sin())),
    primitive("less_equal", 3, POSITIVE, |x| Var::select(x.less_equal(-x), x.exp(), x.sin())),
    primitive("stop_gradient", 3, ANY, |x| x.exp() + x.stop_gradient() * 0.0),
    primitive("cut", 3, ANY, |x| x.exp().cut() * x),
    primitive("defer", 3, ANY, |x| x.exp().defer(Stage::POINT) * x),
    primitive("broadcast", 6, ANY, |x| x.reshape([2, 1, 3]).tanh().broadcast_to([4, 2, 5, 3])),
    primitive("sum", 12, ANY, |x| x.reshape([2, 3, 2]).sin().sum(&[0, 2])),
    primitive("sum_lanes", 12, ANY, |x| {
        let one = x.slice(&[0], &[6]).reshape([2, 3]).cut();
        let sums = [one.sin().sum_all(), one.cos().sum(&[1]).sum_all()];
        let sums = vmap_lanes(&sums, &[Batched::Values(one, x.reshape([2, 3, 2]))]);
        sums[0] * sums[1]
    }),
    primitive("reshape", 6, ANY, |x| x.sin().reshape([3, 2])),
    primitive("permute", 12, ANY, |x| x.sin().reshape([2, 3, 2]).permute(&[2, 0, 1])),
    primitive("slice", 12, ANY, |x| x.sin().reshape([3, 4]).slice(&[1, 1], &[3, 3])),
    primitive("assemble", 4, ANY, |x| Var::concat(&[x.sin().pad(&[1], [7]), x.tanh()], 0)),
    primitive("max_axes", 6, POSITIVE, |x| (x.reshape([2, 3]) * Var::lit(-1.0)).exp().max_axes(&[1])),
    primitive("logsumexp", 6, ANY, |x| x.reshape([2, 3]).logsumexp(&[1])),
    primitive("matmul", 12, ANY, |x| {
        let (a, b) = halves(x);
        a.reshape([2, 3]).matmul(b.reshape([3, 2])).matmul(a.reshape([3, 2]).t())
    }),
    primitive("matmul_lanes", 24, ANY, |x| {
        let (a, b) = halves(x);
        let (p, q) = (a.slice(&[0], &[6]).reshape([2, 3]).cut(), b.slice(&[0], &[6]).reshape([3, 2]).cut());
        let each = [Batched::Values(p, a.reshape([2, 3, 2])), Batched::Values(q, b.reshape([3, 2, 2]))];
        let products = [p.matmul(q), q.t().matmul(p.t())];
        let [left, right] = [0, 1].map(|i| vmap_lanes(&products, &each[i..=i]));
        let both = vmap_lanes(&products, &each);
        both[0] * both[1].sin() + left[0] * right[1] + left[1] * right[0]
    }),
    primitive("conv2d", 26, ANY, |x| {
        let image = x.slice(&[0], &[18]).reshape([1, 3, 3, 2]);
        image.conv2d(x.slice(&[18], &[26]).reshape([2, 2, 2, 1]), [2, 1], [1, 0])
    }),
    primitive("conv2d_input_grad", 26, ANY, |x| {
        let image = x.slice(&[0], &[18]).reshape([1, 3, 3, 2]).cut();
        let y = image.conv2d(x.slice(&[18], &[26]).reshape([2, 2, 2, 1]), [1, 1], [0, 0]);
        vjp(&[(y, y.tanh())], &[image])[0]
    }),
    primitive("conv2d_weight_grad", 26, ANY, |x| {
        let weight = x.slice(&[18], &[26]).reshape([2, 2, 2, 1]).cut();
        let y = x.slice(&[0], &[18]).reshape([1, 3, 3, 2]).conv2d(weight, [1, 1], [0, 0]);
        vjp(&[(y, y.tanh())], &[weight])[0]
    }),
    primitive("max_pool", 16, ANY, |x| x.exp().reshape([1, 4, 4, 1]).max_pool([2, 2], [2, 2])),
    primitive("avg_pool", 16, ANY, |x| x.exp().reshape([1, 4, 4, 1]).avg_pool([2, 2])),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{BinaryOp, UnaryOp};
    use std::collections::BTreeSet;

    #[test]
    fn every_primitive_passes_every_check() {
        for (i, p) in PRIMITIVES.iter().enumerate() {
            let mut numbers = Numbers(1000 + i as u64);
            let (low, high) = p.domain;
            let x: Vec<f64> = numbers.take(p.len).iter().map(|r| low + (high - low) * 0.5 * (r + 1.0)).collect();
            let errors = check(p.record, &x, i as u64);
            assert!(errors.are_small(), "{}: {errors:?}", p.name);
        }
    }

    #[test]
    fn a_wrong_derivative_is_found() {
        // The second factor is held constant: first derivatives are half of what differences say.
        let errors = check(|x| x * x.stop_gradient(), &[0.5, 0.8], 3);
        assert!(!errors.are_small() && errors.adjoint < 1e-12 && errors.differences[0] > 1e-2, "{errors:?}");
    }

    #[test]
    fn a_derivative_that_is_no_number_is_found() {
        // The third derivative of x^2.0 at 0 is 0 · 0⁻¹.
        let errors = check(|x| x.powf(Var::lit(2.0)), &[0.0], 1);
        assert!(!errors.are_small(), "{errors:?}");
    }

    #[test]
    fn nothing_that_can_be_recorded_is_missing() {
        // What the table's programs, their derivatives and transposes record, by name.
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for p in PRIMITIVES {
            let tape = Tape::new();
            let x = tape.input("x", p.len, Stage::POINT);
            let y = (p.record)(x);
            let indices = tape.indices("i", 1, 2, Stage::POINT);
            let _ = indices.one_hot();
            let _ = hvp(y.tanh().sum_all(), &[x], &[(x, x)]);
            tape.read(|g| seen.extend(g.nodes.iter().map(|n| n.prim.name())));
        }
        let rules = UnaryOp::ALL.iter().map(|op| op.name()).chain(BinaryOp::ALL.iter().map(|op| op.name()));
        let structural = crate::tape::Prim::NAMES.iter().copied();
        for name in rules.chain(structural) {
            assert!(seen.contains(name), "no entry of the table records {name}: add one");
        }
    }
}
