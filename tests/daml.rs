//! DAML: the meta-gradient in φ₀ and ψ against finite differences and implicit against unrolled; what the losses see;
//! and that a short training improves.

use autodiff::Arg;
use integration::{Numbers, relative_error};
use meta::daml::{ARM, BoundedDescent, Experiment, Imitation, Learner, Sight, Task, Training, World};
use meta::inner::{Derivative, GradientDescent, Hyper, InnerPlan, OuterPlan, Run};
use meta::linear::Cg;
use meta::method::{FirstOrder, Implicit, InnerStop, Keep, Method, Unrolled};
use meta::problem::Problem;
use meta::tasks::Split;

/// θ at an initialisation of both parts.
fn theta(problem: &Imitation, seed: u64) -> Vec<f64> {
    let mut numbers = Numbers::new(seed);
    problem.init(&mut || 0.5 + 0.5 * numbers.next())
}

fn task(k: u64) -> Task<f64> {
    let mut task = Task::empty();
    World::new(5, 0.5).unwrap().sample(Split::Train, k, &mut task);
    task
}

/// dF/dθ and F of one task.
fn gradient(method: &dyn Method<f64>, theta: &[f64], hyper: Hyper, task: &Task<f64>) -> (Vec<f64>, f64) {
    let mut out = vec![0.0; theta.len()];
    let report = method.worker().gradient(theta, hyper, &task.data(), &mut out);
    (out, report.query_loss)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[test]
fn the_unrolled_gradient_is_that_of_finite_differences_in_both_parts() {
    let (hyper, step) = (Hyper { lambda: 0.0, rate: 0.5 }, BoundedDescent { most: 0.1 });
    for sight in [Sight::PerFrame, Sight::Temporal] {
        let problem = Imitation::new(sight, false);
        let (theta, task) = (theta(&problem, 1), task(0));
        let method = Unrolled::with_step(&problem, &step, 3, Keep::Everything);
        let (g, _) = gradient(&method, &theta, hyper, &task);
        // Directions in φ₀ alone, in ψ alone, and in both.
        let parts = [0..problem.dim(), problem.dim()..problem.theta_dim(), 0..problem.theta_dim()];
        for (i, part) in parts.into_iter().enumerate() {
            let direction = Numbers::new(7 + i as u64).vec(part.len());
            let value = |by: f64| {
                let mut at = theta.clone();
                at[part.clone()].iter_mut().zip(&direction).for_each(|(t, d)| *t += by * d);
                gradient(&FirstOrder::with_step(&problem, &step, 3), &at, hyper, &task).1
            };
            // Directions are up to 75 long, so the step is h · 75 < 0.01: fourth order leaves below 1e-9 of it, and
            // rounding 1e-16 / h = 1e-12.
            let h = 1e-4;
            let difference = (8.0 * (value(h) - value(-h)) - (value(2.0 * h) - value(-2.0 * h))) / (12.0 * h);
            let exact = dot(&g[part.clone()], &direction);
            assert!(exact.abs() > 1e-6, "{sight:?}: a direction that says nothing");
            assert!((difference - exact).abs() <= 1e-7 * exact.abs(), "{sight:?}, {part:?}: {difference} and {exact}");
        }
    }
}

#[test]
fn unrolling_tends_to_the_implicit_gradient_where_steps_contract() {
    // λ is above the curvature of L_ψ at an initialisation; with α λ near 1/2 a step contracts by a half.
    let hyper = Hyper { lambda: 2.0, rate: 0.25 };
    let problem = Imitation::new(Sight::Temporal, true);
    let (theta, task) = (theta(&problem, 2), task(1));
    let stop = InnerStop::Gradient { gradient: 1e-13, cap: 500 };
    let implicit = Implicit::new(&problem, stop, Box::new(Cg::tolerance(1e-12, 500)));
    let (exact, _) = gradient(&implicit, &theta, hyper, &task);
    let split = problem.dim();
    assert!(exact[split..].iter().any(|g| g.abs() > 1e-6), "ψ has no part in it");
    let error = |steps| {
        let (g, _) = gradient(&Unrolled::new(&problem, steps, Keep::Iterates), &theta, hyper, &task);
        [relative_error(&g[..split], &exact[..split]), relative_error(&g[split..], &exact[split..])]
    };
    let errors = [2, 8, 60].map(error);
    for part in 0..2 {
        let [few, some, many] = errors.map(|e| e[part]);
        assert!(few > some && some > many && many < 1e-10, "{errors:?}");
    }
}

#[test]
fn the_inner_level_reads_no_actions_and_nothing_of_the_robot() {
    let problem = Imitation::new(Sight::Temporal, false);
    let plan = InnerPlan::<f64>::new(&problem, &GradientDescent, Derivative::None);
    let outer = OuterPlan::<f64>::value_only(&problem);
    let (theta, hyper, task) = (theta(&problem, 3), Hyper { lambda: 0.0, rate: 0.5 }, task(2));
    let hidden = vec![f64::NAN; 1000];
    let adapted = |data: &[Arg<'_, f64>]| {
        let mut run = Run::new(&plan, 1);
        run.start(&plan, &theta, hyper, data);
        (0..3).for_each(|k| assert!(run.advance(&plan, &theta, data, k).value.is_finite()));
        run.state
    };
    let data = task.data();
    // NaN in everything but the person's three inputs: whatever read it would be NaN too.
    let mut blind = data;
    for (arg, spec) in blind.iter_mut().zip(problem.data()).skip(3) {
        assert!(spec.name.starts_with("robot."));
        *arg = Arg::Floats(&hidden[..spec.shape.numel()]);
    }
    let phi = adapted(&data);
    assert_eq!(phi, adapted(&blind));
    assert_ne!(phi[..], theta[..problem.dim()]);
    // And the outer level reads nothing of the person.
    let mut alone = data;
    for (arg, spec) in alone.iter_mut().zip(problem.data()).take(3) {
        *arg = Arg::Floats(&hidden[..spec.shape.numel()]);
    }
    let value = |data: &[Arg<'_, f64>]| {
        let inputs = meta::inner::Inputs::new(&theta, &[0.0, 0.5], data);
        outer.value(&mut outer.plan().workspace(), &inputs, &phi)
    };
    assert!(value(&data).is_finite());
    assert_eq!(value(&data), value(&alone));
}

#[test]
fn only_the_temporal_loss_tells_a_demonstration_from_the_same_played_backwards() {
    let task = task(3);
    let mut backwards = task.clone();
    for (to, from) in backwards.person.arm.chunks_exact_mut(ARM).zip(task.person.arm.chunks_exact(ARM).rev()) {
        to.copy_from_slice(from);
    }
    let loss = |sight, task: &Task<f64>| {
        let problem = Imitation::new(sight, false);
        let theta = theta(&problem, 4);
        let plan = InnerPlan::<f64>::new(&problem, &GradientDescent, Derivative::None);
        let mut run = Run::new(&plan, 1);
        run.start(&plan, &theta, Hyper { lambda: 0.0, rate: 0.1 }, &task.data());
        run.look(&plan, &theta, &task.data()).value
    };
    let apart = |sight| {
        let (a, b) = (loss(sight, &task), loss(sight, &backwards));
        (a - b).abs() / a
    };
    // The same numbers added in another order.
    assert!(apart(Sight::PerFrame) < 1e-14);
    assert!(apart(Sight::Temporal) > 1e-6);
}

#[test]
fn a_short_training_improves_and_does_not_depend_on_threads() {
    let learner = Learner::Unrolled(Sight::Temporal);
    let world = World::new(0, 0.5).unwrap();
    let train = |iterations, threads| {
        let training = Training { iterations, ..Training::of(learner) };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut losses = Vec::new();
        let experiment = Experiment::new(world, learner, training);
        let theta = experiment.train(&pool, |_, report| losses.push(report.query_loss)).unwrap();
        let rates = experiment.measure(&pool, Split::Validation, 20, &theta);
        (theta, losses, rates)
    };
    assert_eq!(train(2, 1), train(2, 3));
    let (_, losses, _) = train(40, 2);
    let mean = |l: &[f64]| l.iter().sum::<f64>() / l.len() as f64;
    assert!(mean(&losses[30..]) < 0.9 * mean(&losses[..10]), "{losses:?}");
}
