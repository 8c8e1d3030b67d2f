//! What is measured after training adapts as training did, whichever way that is.

use autodiff::Arg;
use integration::{gradient, sinusoid};
use meta::inner::{
    Adam, Adaptation, Descent, HessianFree, Hyper, InnerSolver, InnerStop, Lbfgs, Momentum, Nesterov, Step,
};
use meta::linear::Cg;
use meta::method::{Implicit, Keep, Method, Reptile, Unrolled};
use meta::predict::Predictor;
use meta::problem::{FewShot, Problem, QueryStatistics};

use super::task::glyphs;

const HYPER: Hyper = Hyper { lambda: 0.5, rate: 0.05 };

/// The query loss after each of `steps`, as it is predicted.
fn predicted(
    problem: &FewShot,
    adaptation: Adaptation<f64>,
    theta: &[f64],
    data: &[Arg<'_, f64>],
    steps: &[usize],
) -> Vec<f64> {
    let predictor = Predictor::adapting(problem, adaptation, &[QueryStatistics::Transductive]);
    let mut losses = Vec::new();
    predictor.space().run(theta, HYPER, data, steps, |_, _, output| {
        losses.push(predictor.measure().of(output, 1, data[3]));
    });
    losses
}

#[test]
fn steps_are_those_that_are_differentiated_through() {
    let (problem, theta, task) = sinusoid("mlp:1-8-1,act=tanh", true, 21);
    type New = fn() -> Box<dyn Step>;
    let kinds: [New; 3] =
        [|| Box::new(Momentum::new(0.9)), || Box::new(Nesterov::new(0.9)), || Box::new(Adam::default())];
    // Steps that see other rows each, as their number says, are those too.
    for problem in [problem.clone(), problem.with_minibatch(4, 5)] {
        for new in kinds {
            let method = |k: usize| Unrolled::with_step(&problem, new().as_ref(), k, Keep::Everything);
            let losses = predicted(&problem, Adaptation::Steps(new()), &theta, &task.args(), &[0, 3, 7]);
            for (k, loss) in [0, 3, 7].into_iter().zip(losses) {
                let (_, report) = gradient(&method(k), &theta, HYPER, &task.args());
                // The same steps; a mean of ten squares in another order.
                assert!((loss - report.query_loss).abs() <= 1e-14 * loss, "{k}: {loss} and {}", report.query_loss);
            }
        }
    }
}

#[test]
fn a_rate_found_for_a_task_is_the_one_that_is_differentiated_with() {
    let (problem, theta, task) = sinusoid("mlp:1-8-1,act=tanh", true, 24);
    let report = |k| gradient(&Unrolled::automatic(&problem, k, Keep::Everything), &theta, HYPER, &task.args()).1;
    let losses = predicted(&problem, Adaptation::Automatic { steps: 7 }, &theta, &task.args(), &[0, 7, 30]);
    let after = report(7).query_loss;
    assert!((losses[1] - after).abs() <= 1e-14 * after, "{} and {after}", losses[1]);
    // After 0 steps nothing has moved; after more than it was found through it goes on.
    let start = report(0).query_loss;
    assert!((losses[0] - start).abs() <= 1e-14 * start && losses[2] != losses[1]);
}

#[test]
#[should_panic(expected = "other data")]
fn no_rate_is_found_where_each_step_sees_other_data() {
    let (problem, ..) = sinusoid("mlp:1-8-1,act=tanh", true, 24);
    let problem = problem.with_minibatch(4, 5);
    let _ = Predictor::<f64>::adapting(&problem, Adaptation::Automatic { steps: 7 }, &[QueryStatistics::Transductive]);
}

#[test]
fn solvers_end_where_they_do_in_training_for_every_number_of_steps() {
    let (problem, theta, task) = sinusoid("mlp:1-8-1,act=tanh", true, 22);
    type New = fn(InnerStop) -> Box<dyn InnerSolver<f64>>;
    let kinds: [New; 4] = [
        |stop| Box::new(Lbfgs::new(stop)),
        |stop| Box::new(HessianFree::new(stop)),
        |stop| Box::new(Descent::automatic(stop)),
        |stop| Box::new(Descent::new(Momentum::new(0.9), stop)),
    ];
    let stops: [fn(usize) -> InnerStop; 2] = [InnerStop::Steps, |cap| InnerStop::Gradient { gradient: 0.05, cap }];
    for new in kinds {
        for stop in stops {
            let adaptation = || Adaptation::Solver(Box::new(move |k| new(stop(k))));
            let losses = predicted(&problem, adaptation(), &theta, &task.args(), &[0, 2, 9]);
            for (k, loss) in [0, 2, 9].into_iter().zip(&losses) {
                let method = Implicit::with_solver(&problem, new(stop(k)), Box::new(Cg::iterations(1)));
                let (_, report) = gradient(&method, &theta, HYPER, &task.args());
                assert!((loss - report.query_loss).abs() <= 1e-14 * loss, "{k}: {loss} and {}", report.query_loss);
            }
            // What was solved before leaves nothing behind: pairs, say.
            assert_eq!(predicted(&problem, adaptation(), &theta, &task.args(), &[9])[0], losses[2]);
        }
    }
}

#[test]
fn a_predictor_takes_products_only_where_its_solver_does_and_as_much_for_any_number_of_steps() {
    let (problem, _, _) = sinusoid("mlp:1-8-1,act=tanh", true, 23);
    let statistics = [QueryStatistics::Transductive];
    let bytes = |adaptation| Predictor::<f64>::adapting(&problem, adaptation, &statistics).bytes();
    let steps = Predictor::<f64>::new(&problem, &statistics).bytes();
    assert_eq!(bytes(Adaptation::default()), steps);
    // A solver has two vectors of its own; L-BFGS two more, and ten pairs with a number each for 1/sᵀy and the two loops.
    let vectors = |n: usize| n * problem.dim() * size_of::<f64>();
    let descent = bytes(Adaptation::Solver(Box::new(|k| Box::new(Descent::gradient(InnerStop::Steps(k))))));
    assert_eq!(descent, steps + vectors(2));
    let newton = bytes(Adaptation::Solver(Box::new(|k| Box::new(HessianFree::new(InnerStop::Steps(k))))));
    assert!(newton > steps + vectors(6), "products need room of their own");
}

#[test]
fn reptile_moves_by_the_steps_it_is_given() {
    let (problem, theta, data) = glyphs::<f64>("conv4:channels=3,stride=2,ways=3,image=1x28x28", false, 4);
    let method = Reptile::with_step(&problem, &Nesterov::new(0.9), 3);
    let mut worker = method.worker();
    let mut g = vec![0.0; theta.len()];
    worker.gradient(&theta, HYPER, &data.args(), &mut g);
    let through = Unrolled::with_step(&problem, &Nesterov::new(0.9), 3, Keep::Everything);
    let mut other = through.worker();
    other.gradient(&theta, HYPER, &data.args(), &mut vec![0.0; theta.len()]);
    assert_eq!(worker.phi(), other.phi());
    assert!(g.iter().zip(&theta).zip(worker.phi()).all(|((g, t), p)| *g == t - p));
}
