//! How exact the run's meta-gradients are, measured at its parameters on a few tasks.
//!
//! | method | beside | the difference is |
//! |---|---|---|
//! | all | the same in double precision | rounding |
//! | imaml | the linear system solved to 1e-5 by MINRES, in double precision | what its linear solve leaves |
//! | auto | MAML on the same G through all steps, in double precision | what the choice leaves out |
//! | fomaml, reptile, darts, es, truncated maml | MAML through all steps, in double precision | what the approximation leaves out |

use autodiff::Arg;
use meta::inner::Hyper;
use meta::linear::{Minres, Status};
use meta::method::{Implicit, Keep, Method, Report, Unrolled, WarmStart};
use meta::tasks::Split;
use meta::train::{EpisodeTasks, TaskSource};
use meta::verify::relative_difference;

use crate::config::Config;
use crate::experiment::{self, Experiment};
use crate::linear::PolicyName;
use crate::report::page;
use crate::settings::MethodName;
use crate::warm_start::WarmStartName;

/// Tasks it is measured on.
const TASKS: usize = 2;
/// The reference's solve: its tolerance, and the most iterations.
const TOLERANCE: f64 = 1e-5;
const CAP: usize = 500;

/// A table of relative differences ‖g − g′‖/‖g′‖, task by task.
pub fn section(config: &Config, experiment: &Experiment, theta: &[f32], split: Split) -> String {
    let Experiment { stream, problem, hyper, inner, .. } = experiment;
    let steps = config.inner_steps;
    let compiled = (experiment::compile::<f32>(config, problem), experiment::compile::<f64>(config, problem));
    let (single, double) = match compiled {
        (Ok(single), Ok(double)) => (single, double),
        (Err(why), _) | (_, Err(why)) => return page::paragraph(&format!("Not measured: {why}.")),
    };
    let reference: Option<(&str, Box<dyn Method<f64>>)> = match config.method {
        MethodName::Maml if config.truncate.is_none() => None,
        MethodName::Imaml => {
            let solver = Box::new(Minres::tolerance(TOLERANCE, CAP));
            Some(("exact solve", Box::new(Implicit::with_solver(problem, inner.build(steps), solver))))
        }
        MethodName::Auto => Some(("all steps", Box::new(Unrolled::new(problem, steps, Keep::Iterates)))),
        MethodName::Maml | MethodName::Fomaml | MethodName::Reptile | MethodName::Darts | MethodName::Es => {
            Some(("MAML", Box::new(experiment::unrolled(problem, (inner, steps), Keep::Iterates))))
        }
    };
    let theta_double: Vec<f64> = theta.iter().map(|&t| f64::from(t)).collect();
    let source = EpisodeTasks::new(stream.as_ref(), split, 0);
    let mut local = source.local();
    let mut rows = vec![vec!["task".to_owned(), "rounding".to_owned()]];
    rows[0].extend(reference.iter().map(|(name, _)| format!("against {name}")));
    for task in 0..TASKS {
        source.with_task(task, &mut local, |data| {
            let (g, _) = gradient(single.as_ref(), theta, *hyper, data);
            let g: Vec<f64> = g.iter().map(|&v| f64::from(v)).collect();
            let wide = Wide::new(data);
            let (in_double, _) = gradient(double.as_ref(), &theta_double, *hyper, &wide.args());
            let mut row = vec![(task + 1).to_string(), percent(&g, &in_double)];
            if let Some((_, method)) = &reference {
                let (exact, report) = gradient(method.as_ref(), &theta_double, *hyper, &wide.args());
                row.push(match report.status {
                    None | Some(Status::Converged) => percent(&in_double, &exact),
                    Some(status) => format!("no reference ({} after {CAP} iterations)", status.name()),
                });
            }
            rows.push(row);
        });
    }
    let says = match config.method {
        MethodName::Maml if config.truncate.is_some() => {
            "Rounding: relative to the same in double precision. MAML: what the steps left out would add."
        }
        MethodName::Maml => "Relative to the same derivative in double precision; MAML has no other error.",
        MethodName::Imaml => &of_solve(config),
        MethodName::Fomaml => {
            "Rounding: relative to the same in double precision. MAML: what leaving out second derivatives costs."
        }
        MethodName::Reptile => {
            "Rounding: relative to the same in double precision. Reptile does not estimate MAML's gradient: the \
             difference to it, for comparison."
        }
        MethodName::Darts => {
            "Rounding: relative to the same in double precision, differences taken over a shorter way there. MAML: what \
             differences leave of the exact derivative, in double precision."
        }
        MethodName::Es => {
            "Evolution strategies draw other noise in double precision, so neither column is rounding: both are what \
             so few values of the loss tell of its gradient."
        }
        MethodName::Auto => {
            "Rounding: relative to the same in double precision. All steps: the difference to the derivative through \
             every step, in double precision; nothing where that is what was chosen."
        }
    };
    page::table(&rows, true) + &page::paragraph(says)
}

/// What the table says of an implicit gradient: of which solve, and how that differs from the run's own.
fn of_solve(config: &Config) -> String {
    let mut says = String::from("Rounding: relative to the same in double precision. Exact solve: the error of ");
    let untol = Config { tol: None, ..config.clone() };
    says += &untol.solve().unwrap_or_default();
    if config.on_negative_curvature.is_some_and(|policy| policy != PolicyName::GoOn) {
        says += " (where the operator is indefinite, what on-negative-curvature says)";
    }
    says += ", relative to the linear system solved by MINRES to 1e-5 at the same adapted parameters.";
    if config.tol.is_some() {
        says += " These are all the steps and iterations allowed: in training, solves stop sooner (tol auto), by what the \
                 tasks' spread makes of it.";
    }
    let from = match config.warm_start.and_then(WarmStartName::start) {
        None => return says,
        Some(WarmStart::Previous) => "a solve starts from the last iteration's meta-gradient",
        Some(WarmStart::Neighbour) => "every second solve starts from the meta-gradient of the task before",
    };
    says += &format!(" Solved from 0 here: in training, {from} (warm-start).");
    says
}

fn gradient<T: autodiff::Element>(
    method: &dyn Method<T>,
    theta: &[T],
    hyper: Hyper,
    data: &[Arg<'_, T>],
) -> (Vec<T>, Report) {
    let mut gradient = vec![T::zero(); theta.len()];
    let report = method.worker().gradient(theta, hyper, data, &mut gradient);
    (gradient, report)
}

/// A task's data in double precision.
struct Wide<'a>(Vec<Result<Vec<f64>, &'a [u32]>>);

impl<'a> Wide<'a> {
    fn new(data: &[Arg<'a, f32>]) -> Self {
        let wide = |arg: &Arg<'a, f32>| match *arg {
            Arg::Floats(values) => Ok(values.iter().map(|&v| f64::from(v)).collect()),
            Arg::Indices(indices) => Err(indices),
        };
        Wide(data.iter().map(wide).collect())
    }

    fn args(&self) -> Vec<Arg<'_, f64>> {
        self.0
            .iter()
            .map(|input| match input {
                Ok(values) => Arg::Floats(values),
                Err(indices) => Arg::Indices(indices),
            })
            .collect()
    }
}

/// ‖a − b‖/‖b‖ in words.
fn percent(a: &[f64], b: &[f64]) -> String {
    match relative_difference(a, b) {
        d if d.is_infinite() => String::from("–"),
        d if d >= 1e-3 => format!("{:.1} %", 100.0 * d),
        d => format!("{d:.0e}"),
    }
}
