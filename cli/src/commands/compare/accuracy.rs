//! How far meta-gradients are from the exact one, over inner steps and over compute.

use std::sync::atomic::{AtomicBool, Ordering};

use meta::linear::Cg;
use meta::method::{FirstOrder, Implicit, InnerStop, Keep, Method, Unrolled};
use meta::verify::relative_difference;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::regression::{Regression, RegressionTask};

/// What one method reached at one condition number.
#[derive(Clone, Debug, PartialEq)]
pub struct Reached {
    /// Of ∇²G.
    pub condition: f64,
    /// The method's name.
    pub method: &'static str,
    /// Inner steps.
    pub steps: usize,
    /// Gradients of G and f that it took.
    pub gradients: usize,
    /// Hessian-vector products, pullbacks of a step among them: the mean over tasks.
    pub products: f64,
    /// Its arithmetic as [`Method::flops`] counts it: the mean over tasks.
    pub flops: f64,
    /// ‖g − g*‖/‖g*‖: the geometric mean over tasks.
    pub error: f64,
}

impl Reached {
    /// Gradients and products: each costs a small multiple of one evaluation.
    pub fn compute(&self) -> f64 {
        self.gradients as f64 + self.products
    }
}

/// What is measured.
#[derive(Clone, Debug)]
pub struct Extent {
    /// Tasks at each condition number.
    pub tasks: u64,
    /// Condition numbers.
    pub conditions: &'static [f64],
    /// Inner steps 1, 2, 4, … up to this many.
    pub steps: usize,
}

/// A method by its name; and how many gradients beside those of the steps it takes.
struct Way {
    name: &'static str,
    extra_gradients: usize,
    new: fn(usize) -> Box<dyn Method<f64>>,
}

/// Steps that the truncated method pulls back through.
const LAST: usize = 10;

const WAYS: [Way; 7] = [
    Way { name: "MAML", extra_gradients: 1, new: |k| Box::new(Unrolled::new(&Regression, k, Keep::Everything)) },
    Way {
        name: "MAML (last 10 steps)",
        extra_gradients: 1,
        new: |k| Box::new(Unrolled::new(&Regression, k, Keep::Last(LAST))),
    },
    Way { name: "first-order MAML", extra_gradients: 1, new: |k| Box::new(FirstOrder::new(&Regression, k)) },
    // The implicit ones look at the last point too: that is where their products are taken.
    Way { name: "implicit (2 CG)", extra_gradients: 2, new: |k| implicit(k, Cg::iterations(2)) },
    Way { name: "implicit (5 CG)", extra_gradients: 2, new: |k| implicit(k, Cg::iterations(5)) },
    Way { name: "implicit (10 CG)", extra_gradients: 2, new: |k| implicit(k, Cg::iterations(10)) },
    Way { name: "implicit (CG to 1e-12)", extra_gradients: 2, new: |k| implicit(k, Cg::tolerance(1e-12, 200)) },
];

fn implicit(steps: usize, cg: Cg) -> Box<dyn Method<f64>> {
    Box::new(Implicit::new(&Regression, InnerStop::Steps(steps), Box::new(cg)))
}

/// Measures every method for every number of steps; `None` where `stop` was raised.
pub fn measure(extent: &Extent, pool: &rayon::ThreadPool, stop: &AtomicBool) -> Option<Vec<Reached>> {
    let mut found = Vec::new();
    let numbers: Vec<u64> = (0..extent.tasks).collect();
    for &condition in extent.conditions {
        let tasks: Vec<(RegressionTask, Vec<f64>)> = numbers
            .iter()
            .map(|&seed| {
                let task = RegressionTask::new(seed, condition);
                let exact = task.exact();
                (task, exact)
            })
            .collect();
        for way in &WAYS {
            for steps in doublings(extent.steps) {
                if stop.load(Ordering::Relaxed) {
                    return None;
                }
                found.push(pool.install(|| reached(way, steps, condition, &tasks)));
            }
        }
    }
    Some(found)
}

/// 1, 2, 4, … up to `most`.
pub fn doublings(most: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(1), |k| Some(2 * k)).take_while(move |&k| k <= most)
}

fn reached(way: &Way, steps: usize, condition: f64, tasks: &[(RegressionTask, Vec<f64>)]) -> Reached {
    let method = (way.new)(steps);
    let of_tasks: Vec<(f64, f64, f64)> = tasks
        .par_iter()
        .map(|(task, exact)| {
            let mut gradient = vec![0.0; exact.len()];
            let report = method.worker().gradient(&task.theta, task.hyper, &task.data(), &mut gradient);
            (relative_difference(&gradient, exact).ln(), report.products as f64, method.flops(&report) as f64)
        })
        .collect();
    let mean = |of: fn(&(f64, f64, f64)) -> f64| of_tasks.iter().map(of).sum::<f64>() / of_tasks.len() as f64;
    Reached {
        condition,
        method: way.name,
        steps,
        gradients: steps + way.extra_gradients,
        products: mean(|t| t.1),
        flops: mean(|t| t.2),
        error: mean(|t| t.0).exp(),
    }
}
