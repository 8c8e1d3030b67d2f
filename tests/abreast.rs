//! Tasks that are taken together, one in every lane, have the bits that each has alone.

use std::fmt::Debug;

use autodiff::{Arg, Element};
use integration::{KEEPS, Numbers, Owned, Values, initial};
use meta::convex::{Head, HeadLoss};
use meta::inner::{Adam, Descent, Hyper, InnerStatus, Momentum, Scheduled};
use meta::linear::{Cg, Minres, OnNegativeCurvature, Policy};
use meta::method::{FirstOrder, Implicit, InnerStop, Keep, Method, Report, Unrolled, WarmStart};
use meta::problem::{FewShot, Learned, Share};
use meta::tasks::Sinusoid;
use meta::train::{MetaBatch, TaskSource};

/// Several vectors of lanes and no whole number of them, with a last group that is taken one by one.
const TASKS: usize = 25;

struct Tasks<T>(Vec<Owned<T>>);

impl<T: Element> TaskSource<T> for Tasks<T> {
    type Local = ();

    fn local(&self) {}

    fn with_task<R>(&self, i: usize, (): &mut (), f: impl FnOnce(&[Arg<'_, T>]) -> R) -> R {
        f(&self.0[i].args())
    }
}

impl<T: Element> Tasks<T> {
    fn sinusoids() -> Self {
        let stream = Sinusoid::new(3, 5, 7).unwrap();
        Tasks((0..TASKS as u64).map(|k| Owned::of(&stream, k)).collect())
    }
}

/// The gradients and reports of all tasks together, and of each alone.
fn check<T: Element>(
    method: &dyn Method<T>,
    tasks: &Tasks<T>,
    theta: &[T],
    hyper: Hyper,
    what: &dyn Debug,
) -> Vec<Report> {
    assert!(method.abreast().is_some(), "{what:?}: so small a problem has lanes");
    let mut worker = method.worker();
    let mut alone: Vec<(Vec<T>, Report)> = Vec::new();
    for task in &tasks.0 {
        let mut gradient = vec![T::from_f64(f64::NAN); theta.len()];
        let report = worker.gradient(theta, hyper, &task.args(), &mut gradient);
        alone.push((gradient, report));
    }
    let mut sum = vec![T::zero(); theta.len()];
    for (gradient, _) in &alone {
        sum.iter_mut().zip(gradient).for_each(|(sum, &g)| *sum = *sum + g);
    }
    let scale = T::from_f64(1.0 / TASKS as f64);
    sum.iter_mut().for_each(|sum| *sum = *sum * scale);
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut batch = MetaBatch::new(method, &pool, theta.len(), TASKS);
        // Twice: what the first leaves behind changes nothing.
        for _ in 0..2 {
            let mut gradient = vec![T::from_f64(f64::NAN); theta.len()];
            let _ = batch.gradient(tasks, TASKS, theta, hyper, &mut gradient);
            assert_eq!(gradient, sum, "{what:?}, {threads} threads");
            for (i, ((_, alone), together)) in alone.iter().zip(batch.reports(TASKS)).enumerate() {
                assert_eq!(together, *alone, "{what:?}, {threads} threads, task {i}");
            }
        }
    }
    alone.into_iter().map(|(_, report)| report).collect()
}

fn check_all<T: Element>() {
    let tasks = Tasks::<T>::sinusoids();
    let problem = |prox| FewShot::new("mlp:1-9-8-1,act=tanh".parse().unwrap(), 5, 7, prox);
    let theta: Vec<T> = initial(problem(false).model(), 5);
    let plain = Hyper { lambda: 0.0, rate: 0.05 };
    let problem_plain = problem(false);
    check(&FirstOrder::<T>::new(&problem_plain, 3), &tasks, &theta, plain, &"first order");
    for steps in [0, 1, 2, 5] {
        for keep in KEEPS.into_iter().chain([Keep::Last(1)]).filter(|&keep| steps == 5 || keep == Keep::Everything) {
            check(&Unrolled::<T>::new(&problem_plain, steps, keep), &tasks, &theta, plain, &(steps, keep));
        }
    }
    let adam = Scheduled::cosine(Adam::default(), 9);
    check(&Unrolled::<T>::with_step(&problem_plain, &adam, 4, Keep::Everything), &tasks, &theta, plain, &"Adam");

    let prox = problem(true);
    let hyper = Hyper { lambda: 2.0, rate: 0.05 };
    for (steps, products) in [(0, 2), (1, 0), (1, 1), (6, 5)] {
        let method = Implicit::<T>::new(&prox, InnerStop::Steps(steps), Box::new(Cg::iterations(products)));
        let reports = check(&method, &tasks, &theta, hyper, &("implicit", steps, products));
        assert!(reports.iter().all(|r| r.products == products && r.steps == steps));
    }
    let descent = Descent::new(Momentum::new(0.9), InnerStop::Steps(4));
    let method = Implicit::<T>::with_solver(&prox, Box::new(descent), Box::new(Cg::iterations(3)));
    check(&method, &tasks, &theta, hyper, &"implicit, momentum");

    // θ with more than an initialisation in it.
    let learned = Learned { lambda: Some(Share::Layer), rate: Some(Share::Parameter) };
    let problem = problem(true).learning(learned);
    let mut numbers = Numbers::new(4);
    let mut theta = problem.theta(theta);
    problem
        .behind()
        .iter()
        .flat_map(|e| e.range())
        .for_each(|i| theta[i] = theta[i] + T::from_f64(0.1 * numbers.next()));
    let method = Implicit::<T>::new(&problem, InnerStop::Steps(3), Box::new(Cg::iterations(3)));
    check(&method, &tasks, &theta, hyper, &"implicit, learned λ");
    check(&Unrolled::<T>::new(&problem, 3, Keep::Everything), &tasks, &theta, hyper, &"unrolled, learned λ and rates");
}

#[test]
fn tasks_together_have_the_bits_of_each_alone() {
    check_all::<f32>();
    check_all::<f64>();
}

#[test]
fn a_minibatch_is_the_same_in_every_lane() {
    let problem = FewShot::new("mlp:1-6-1".parse().unwrap(), 5, 7, false).with_minibatch(2, 11);
    let theta: Vec<f32> = initial(problem.model(), 6);
    let hyper = Hyper { lambda: 0.0, rate: 0.05 };
    check(&Unrolled::<f32>::new(&problem, 4, Keep::Everything), &Tasks::sinusoids(), &theta, hyper, &"minibatches");
}

#[test]
fn labels_are_each_tasks_own() {
    let head = Head { loss: HeadLoss::Softmax, features: 4, outputs: 3, support: 5, query: 6 };
    let mut numbers = Numbers::new(9);
    let mut set = |rows: usize, task: usize| {
        let labels = (0..rows).map(|row| ((row * row + task) % 3) as u32).collect();
        [Values::Floats(numbers.vec(rows * 4)), Values::Indices(labels)]
    };
    let task = |k| Owned(set(5, k).into_iter().chain(set(6, k + 1)).collect());
    let tasks = Tasks::<f64>((0..TASKS).map(task).collect());
    let theta = Numbers::new(10).vec(12);
    let hyper = Hyper { lambda: 0.5, rate: 0.5 };
    let method = Implicit::<f64>::new(&head, InnerStop::Steps(4), Box::new(Cg::iterations(4)));
    check(&method, &tasks, &theta, hyper, &"softmax");
    check(&Unrolled::<f64>::new(&head, 4, Keep::Everything), &tasks, &theta, hyper, &"softmax, unrolled");
}

/// A λ with which some operators are indefinite and some are not.
#[test]
fn what_goes_another_way_is_taken_alone() {
    let problem = FewShot::new("mlp:1-9-8-1,act=tanh".parse().unwrap(), 5, 7, true);
    let mut theta: Vec<f64> = initial(problem.model(), 5);
    theta.iter_mut().for_each(|t| *t *= 2.0);
    let tasks = Tasks::<f64>::sinusoids();
    let hyper = Hyper { lambda: 3.0, rate: 0.01 };
    let met = |cg: Cg| {
        let method = Implicit::<f64>::new(&problem, InnerStop::Steps(2), Box::new(cg));
        let reports = check(&method, &tasks, &theta, hyper, &cg);
        reports.iter().filter(|r| r.negative_curvature > 0).count()
    };
    let (goes_on, stops) =
        (met(Cg::iterations(8)), met(Cg::iterations(8).on_negative_curvature(OnNegativeCurvature::Stop)));
    assert!(goes_on == stops && 0 < stops && stops < TASKS, "{stops} of {TASKS} are indefinite");
    let fallback = Cg::iterations(8).or(Policy::Another(Box::new(Minres::iterations(8))));
    let method = Implicit::<f64>::new(&problem, InnerStop::Steps(2), Box::new(fallback));
    let reports = check(&method, &tasks, &theta, hyper, &"MINRES");
    assert_eq!(reports.iter().filter(|r| r.policy_acted).count(), stops);
}

/// A task that is not finite, and one that is solved where it starts, between others.
#[test]
fn a_task_does_not_change_its_neighbours() {
    let problem = FewShot::new("mlp:1-5-1,act=tanh".parse().unwrap(), 5, 7, true);
    let theta: Vec<f64> = vec![0.0; problem.layout().len()];
    let mut tasks = Tasks::<f64>::sinusoids();
    let set = |task: &mut Owned<f64>, value: f64| {
        for values in &mut task.0 {
            if let Values::Floats(values) = values {
                values.fill(value);
            }
        }
    };
    set(&mut tasks.0[2], f64::INFINITY);
    // Nothing to learn: the gradient is 0 from the start.
    set(&mut tasks.0[5], 0.0);
    let method = Implicit::<f64>::new(&problem, InnerStop::Steps(4), Box::new(Cg::iterations(3)));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let mut batch = MetaBatch::new(&method, &pool, theta.len(), TASKS);
    let (mut gradient, hyper) = (vec![0.0; theta.len()], Hyper { lambda: 2.0, rate: 0.05 });
    let report = batch.gradient(&tasks, TASKS, &theta, hyper, &mut gradient);
    assert_eq!((report.not_finite, report.kept), (vec![2], TASKS - 1));
    assert!(gradient.iter().all(|g| g.is_finite()));
    assert_eq!(batch.report(2).inner_status, Some(InnerStatus::NotFinite));
    assert_eq!(batch.report(5).inner_status, Some(InnerStatus::Converged));
    for (i, task) in tasks.0.iter().enumerate().filter(|&(i, _)| i != 2) {
        let alone = method.worker().gradient(&theta, hyper, &task.args(), &mut vec![0.0; theta.len()]);
        assert_eq!(batch.report(i), alone, "task {i}");
    }
}

/// 90 points of all lanes are 11 MB, more than is kept at a time.
#[test]
fn a_long_run_is_taken_in_segments() {
    let tasks = Tasks::<f32>::sinusoids();
    let problem = FewShot::new("mlp:1-40-40-1".parse().unwrap(), 5, 7, false);
    let theta: Vec<f32> = initial(problem.model(), 5);
    let hyper = Hyper { lambda: 0.0, rate: 0.01 };
    for keep in [Keep::Everything, Keep::Last(80)] {
        check(&Unrolled::<f32>::new(&problem, 90, keep), &tasks, &theta, hyper, &keep);
    }
}

/// G = ½(w − y)² + ½w²: a step of ½ from 0 ends at its minimum y/2, where the gradient is 0 to the bit.
#[test]
fn a_gradient_of_zero_at_the_end_is_an_end() {
    let head = Head { loss: HeadLoss::Squares, features: 1, outputs: 1, support: 1, query: 1 };
    let task = |k: usize| Owned([1.0, k as f64, 1.0, 2.0].map(|v| Values::Floats(vec![v])).into());
    let tasks = Tasks::<f64>((1..=TASKS).map(task).collect());
    let hyper = Hyper { lambda: 1.0, rate: 0.5 };
    let method = Implicit::<f64>::new(&head, InnerStop::Steps(1), Box::new(Cg::iterations(1)));
    let reports = check(&method, &tasks, &[0.0], hyper, &"solved in one step");
    assert!(reports.iter().all(|r| r.inner_status == Some(InnerStatus::Converged)), "{:?}", reports[0]);
}

#[test]
fn what_cannot_be_taken_together_says_so() {
    let problem = FewShot::new("mlp:1-40-40-1".parse().unwrap(), 10, 10, true);
    let implicit = |stop, cg| Implicit::<f32>::new(&problem, stop, Box::new(cg));
    let (steps, tolerance) = (InnerStop::Steps(5), InnerStop::Gradient { gradient: 1e-3, cap: 5 });
    assert!(implicit(steps, Cg::iterations(5)).abreast().is_some());
    assert!(implicit(tolerance, Cg::iterations(5)).abreast().is_none());
    assert!(implicit(steps, Cg::tolerance(1e-3, 5)).abreast().is_none());
    assert!(implicit(steps, Cg::iterations(5)).warm_started(WarmStart::Previous).abreast().is_none());
    // Its products fill vectors without lanes.
    let conv = FewShot::new("conv4:channels=4,stride=2,ways=3,image=1x28x28".parse().unwrap(), 3, 3, false);
    assert!(Unrolled::<f32>::new(&conv, 1, Keep::Everything).abreast().is_none());
}
