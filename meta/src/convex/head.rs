//! A linear head on fixed features, recorded.

use autodiff::{Real, Var};

use super::HeadLoss;
use crate::problem::{At, Data, DataSpec, Problem};

/// G = mean over support rows of ℓ(Wᵀx) + ½λ‖φ − θ‖², f = mean over query rows of ℓ(Wᵀx); φ is W, \[features, outputs\].
///
/// Data: support x \[n, features\], support y, query x, query y; targets are labels \[n\] with [`HeadLoss::Softmax`],
/// values \[n, outputs\] with [`HeadLoss::Squares`]. A bias is a feature that is 1.
///
/// ```
/// use autodiff::Arg;
/// use meta::convex::{Head, HeadLoss, HeadTask, Rows};
/// use meta::error::Claim;
/// use meta::{inner::Hyper, linear::Cg, method::{Implicit, InnerStop, Method}};
///
/// let head = Head { loss: HeadLoss::Softmax, features: 2, outputs: 2, support: 2, query: 1 };
/// let (x, y, q, t) = ([1.0, 0.5, -1.0, 0.5], [0, 1], [0.7, -0.2], [0]);
/// let data = [Arg::Floats(&x), Arg::Indices(&y), Arg::Floats(&q), Arg::Indices(&t)];
/// let (theta, hyper) = ([0.1, -0.1, 0.2, 0.0], Hyper { lambda: 0.5, rate: 0.5 });
/// let method = Implicit::<f64>::new(&head, InnerStop::Steps(10), Box::new(Cg::iterations(2)));
/// let (mut gradient, mut worker) = ([0.0; 4], method.worker());
/// worker.gradient(&theta, hyper, &data, &mut gradient);
///
/// // How far from the exact meta-gradient can it be?
/// let task = HeadTask::new(HeadLoss::Softmax, 2, 2, Rows::labelled(&x, &y), Rows::labelled(&q, &t));
/// let claim = Claim { theta: &theta, lambda: 0.5, phi: worker.phi(), gradient: &gradient };
/// assert!(claim.certify(&task).bound() < 1e-2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// ℓ
    pub loss: HeadLoss,
    /// Numbers in a row x.
    pub features: usize,
    /// Numbers in a row's output.
    pub outputs: usize,
    /// Rows of the support set.
    pub support: usize,
    /// Rows of the query set.
    pub query: usize,
}

impl Head {
    fn loss<'t>(&self, at: &At<'t>, first: usize) -> Var<'t> {
        let z = at.data[first].values().matmul(at.phi.reshape([self.features, self.outputs]));
        match (self.loss, at.data[first + 1]) {
            (HeadLoss::Softmax, Data::Indices(labels)) => nn::loss::softmax_cross_entropy(z, labels),
            (_, targets) => (z - targets.values()).square().sum_all() * (0.5 / z.shape()[0] as f64),
        }
    }
}

impl Problem for Head {
    fn dim(&self) -> usize {
        self.features * self.outputs
    }

    fn data(&self) -> Vec<DataSpec> {
        let x = |name, rows| DataSpec { name, shape: [rows, self.features].into(), bound: None };
        let y = |name, rows: usize| match self.loss {
            HeadLoss::Softmax => DataSpec { name, shape: rows.into(), bound: Some(self.outputs) },
            HeadLoss::Squares => DataSpec { name, shape: [rows, self.outputs].into(), bound: None },
        };
        vec![
            x("support.x", self.support),
            y("support.y", self.support),
            x("query.x", self.query),
            y("query.y", self.query),
        ]
    }

    fn inner<'t>(&self, at: &At<'t>) -> Var<'t> {
        let away = at.phi - at.theta;
        self.loss(at, 0) + 0.5 * at.lambda * away.dot(away)
    }

    fn outer<'t>(&self, at: &At<'t>) -> Var<'t> {
        self.loss(at, 2)
    }
}
