//! One task of a linear head, known in closed form.
//!
//! With z_i = Wᵀx_i over n rows, L = (1/n) Σ ℓ(z_i), X the matrix of rows and K = XᵀX/n, and with the constants of ℓ
//! from `loss.rs` (s its curvature, t its Lipschitz constant):
//!
//! ```text
//! dᵀ∇²L d = (1/n) Σ D²ℓ[dᵀx_i, dᵀx_i] ≤ s (1/n) ‖X d‖²             ‖∇²L‖ ≤ s λ_max(K)
//! D³L[d, d, e] ≤ t (1/n) Σ ‖dᵀx_i‖² ‖eᵀx_i‖                        ρ = t max‖x_i‖ λ_max(K)
//! spread(e) = max_i R(eᵀx_i) ≤ √2 max‖x_i‖ ‖e‖                     (softmax; 0 for squares)
//! ∇²L ⪰ λ_min(K) for squares, ⪰ 0 for softmax, which does not see what is added to all classes alike
//! ```
//!
//! λ(K) is that of the smaller Gram matrix, XᵀX or XXᵀ; with fewer rows than features λ_min(K) = 0.
//!
//! Rounding, with u = 2⁻⁵³ and k = n + features + outputs + 16: each sum of m terms is off by m u of the sum of their
//! sizes, exp and a division by 2 u. Hence ‖Δz_i‖ ≤ features · u ‖x_i‖‖W‖, ‖Δp_i‖ ≤ ½‖Δz_i‖ + (outputs + 8) u, and
//! entering these into the formulas gives the factors in the code: no step uses more than is stated there.

use super::{Bounds, ConvexTask, HeadLoss, UNIT, extreme_eigenvalues, norm};

/// Rows of features with their targets.
#[derive(Clone, Debug)]
pub struct Rows<'a> {
    x: &'a [f64],
    y: Targets<'a>,
}

#[derive(Clone, Debug)]
enum Targets<'a> {
    Labels(&'a [u32]),
    Values(&'a [f64]),
}

impl<'a> Rows<'a> {
    /// x \[n, features\] with a class each.
    pub fn labelled(x: &'a [f64], labels: &'a [u32]) -> Self {
        Rows { x, y: Targets::Labels(labels) }
    }

    /// x \[n, features\] with values \[n, outputs\].
    pub fn valued(x: &'a [f64], values: &'a [f64]) -> Self {
        Rows { x, y: Targets::Values(values) }
    }
}

/// A set of rows, measured.
#[derive(Clone, Debug)]
struct Set<'a> {
    x: &'a [f64],
    /// [n, outputs]
    y: Vec<f64>,
    count: usize,
    features: usize,
    outputs: usize,
    /// Σ‖x_i‖ʲ/n for j = 0, …, 4, and the largest ‖x_i‖.
    moments: [f64; 5],
    largest: f64,
    /// Mean ‖x_i‖‖y_i‖.
    targets: f64,
    /// Extreme eigenvalues of XᵀX/n.
    eigenvalues: [f64; 2],
}

impl<'a> Set<'a> {
    #[track_caller]
    fn new(rows: Rows<'a>, features: usize, outputs: usize) -> Self {
        let count = rows.x.len() / features;
        let y = match rows.y {
            Targets::Values(values) => values.to_vec(),
            Targets::Labels(labels) => {
                let fit = labels.iter().all(|&label| (label as usize) < outputs);
                assert!(fit, "HeadTask: a label is not below the {outputs} outputs");
                let one_hot = |&label: &u32| (0..outputs).map(move |c| f64::from(u8::from(c == label as usize)));
                labels.iter().flat_map(one_hot).collect()
            }
        };
        assert_eq!(
            (rows.x.len(), y.len()),
            (count * features, count * outputs),
            "HeadTask: x, y of {count} rows with {features} features and {outputs} outputs"
        );
        let norms: Vec<f64> = rows.x.chunks_exact(features).map(norm).collect();
        let moment = |j: i32| norms.iter().map(|n| n.powi(j)).sum::<f64>() / count as f64;
        let targets = norms.iter().zip(y.chunks_exact(outputs)).map(|(n, y)| n * norm(y)).sum::<f64>() / count as f64;
        let (small, wide) = (count.min(features), count < features);
        let at = |i: usize, j: usize| match wide {
            true => super::dot(&rows.x[i * features..][..features], &rows.x[j * features..][..features]),
            false => (0..count).map(|k| rows.x[k * features + i] * rows.x[k * features + j]).sum(),
        };
        let gram = (0..small * small).map(|e| at(e / small, e % small) / count as f64).collect();
        let [least, most] = extreme_eigenvalues(gram, small, (count.max(features) + 4) as f64, moment(2));
        Set {
            x: rows.x,
            y,
            count,
            features,
            outputs,
            moments: [0, 1, 2, 3, 4].map(moment),
            largest: norms.iter().copied().fold(0.0, f64::max),
            targets,
            eigenvalues: [if wide { 0.0 } else { least.max(0.0) }, most],
        }
    }

    /// z ← Wᵀx
    fn outputs_of(&self, x: &[f64], w: &[f64], z: &mut [f64]) {
        z.fill(0.0);
        for (x, w) in x.iter().zip(w.chunks_exact(self.outputs)) {
            z.iter_mut().zip(w).for_each(|(z, w)| *z += x * w);
        }
    }

    /// out ← (1/n) Σ x_i h(i, x_i)ᵀ
    fn sum(&self, out: &mut [f64], mut h: impl FnMut(usize, &[f64], &mut [f64])) {
        out.fill(0.0);
        let mut row = vec![0.0; self.outputs];
        for (i, x) in self.x.chunks_exact(self.features).enumerate() {
            h(i, x, &mut row);
            for (x, out) in x.iter().zip(out.chunks_exact_mut(self.outputs)) {
                out.iter_mut().zip(&row).for_each(|(o, r)| *o += x * r);
            }
        }
        out.iter_mut().for_each(|o| *o /= self.count as f64);
    }

    /// k u
    fn roundings(&self) -> f64 {
        UNIT * (self.count + self.features + self.outputs + 16) as f64
    }

    fn gradient(&self, loss: HeadLoss, w: &[f64], out: &mut [f64]) -> f64 {
        self.sum(out, |i, x, row| {
            self.outputs_of(x, w, row);
            loss.prepare(row);
            row.iter_mut().zip(&self.y[i * self.outputs..]).for_each(|(r, y)| *r -= y);
        });
        let [_, one, two, ..] = self.moments;
        let size = match loss {
            HeadLoss::Softmax => 2.0 * one,
            HeadLoss::Squares => self.targets,
        };
        self.roundings() * (size + two * norm(w))
    }

    fn hessian(&self, loss: HeadLoss, w: &[f64], c: &[f64], out: &mut [f64]) -> f64 {
        let mut p = vec![0.0; self.outputs];
        self.sum(out, |_, x, row| {
            self.outputs_of(x, w, &mut p);
            loss.prepare(&mut p);
            self.outputs_of(x, c, row);
            loss.hessian(&p, row);
        });
        let [_, _, two, three, _] = self.moments;
        let size = match loss {
            HeadLoss::Softmax => 6.0 * two + 2.0 * three * norm(w),
            HeadLoss::Squares => two,
        };
        self.roundings() * size * norm(c)
    }

    fn third(&self, loss: HeadLoss, w: &[f64], [a, b]: [&[f64]; 2], out: &mut [f64]) -> f64 {
        let (mut p, mut along) = (vec![0.0; self.outputs], vec![0.0; self.outputs]);
        self.sum(out, |_, x, row| {
            self.outputs_of(x, w, &mut p);
            loss.prepare(&mut p);
            self.outputs_of(x, a, row);
            self.outputs_of(x, b, &mut along);
            loss.third(&p, row, &along);
        });
        let [.., three, four] = self.moments;
        match loss {
            HeadLoss::Softmax => self.roundings() * (40.0 * three + 16.0 * four * norm(w)) * norm(a) * norm(b),
            HeadLoss::Squares => 0.0,
        }
    }
}

/// One task of a [`Head`](super::Head).
#[derive(Clone, Debug)]
pub struct HeadTask<'a> {
    loss: HeadLoss,
    support: Set<'a>,
    query: Set<'a>,
    bounds: Bounds,
}

impl<'a> HeadTask<'a> {
    /// With these rows; the eigenvalues of two Gram matrices are computed.
    ///
    /// # Panics
    /// Where lengths do not fit, or a label is not one of the outputs.
    #[track_caller]
    pub fn new(loss: HeadLoss, features: usize, outputs: usize, support: Rows<'a>, query: Rows<'a>) -> Self {
        let (support, query) = (Set::new(support, features, outputs), Set::new(query, features, outputs));
        let ([least, most], [_, outer]) = (support.eigenvalues, query.eigenvalues);
        let bounds = Bounds {
            convexity: loss.convexity() * least,
            curvature: loss.curvature() * most,
            lipschitz: loss.lipschitz() * support.largest * most,
            spread: loss.spread_factor() * support.largest,
            outer_curvature: loss.curvature() * outer,
            outer_lipschitz: loss.lipschitz() * query.largest * outer,
        };
        HeadTask { loss, support, query, bounds }
    }
}

impl ConvexTask for HeadTask<'_> {
    fn dim(&self) -> usize {
        self.support.features * self.support.outputs
    }

    fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    fn gradient(&self, phi: &[f64], out: &mut [f64]) -> f64 {
        self.support.gradient(self.loss, phi, out)
    }

    fn hessian(&self, phi: &[f64], c: &[f64], out: &mut [f64]) -> f64 {
        self.support.hessian(self.loss, phi, c, out)
    }

    fn third(&self, phi: &[f64], a: &[f64], b: &[f64], out: &mut [f64]) -> f64 {
        self.support.third(self.loss, phi, [a, b], out)
    }

    fn outer_gradient(&self, phi: &[f64], out: &mut [f64]) -> f64 {
        self.query.gradient(self.loss, phi, out)
    }

    fn outer_hessian(&self, phi: &[f64], c: &[f64], out: &mut [f64]) -> f64 {
        self.query.hessian(self.loss, phi, c, out)
    }

    fn spread(&self, e: &[f64]) -> f64 {
        let mut along = vec![0.0; self.support.outputs];
        let spread = |x| {
            self.support.outputs_of(x, e, &mut along);
            self.loss.spread(&along)
        };
        let largest = self.support.x.chunks_exact(self.support.features).map(spread).fold(0.0, f64::max);
        // The outputs along e are off by `features` roundings of ‖x‖‖e‖.
        largest + 2.0 * self.support.roundings() * self.bounds.spread * norm(e)
    }
}
