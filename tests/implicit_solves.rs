//! What implicit differentiation tells its linear solver, and what it makes of the answer.

use std::sync::Arc;

use autodiff::Arg;
use integration::{Numbers, Quadratic, dense_solve, relative_error, symmetric};
use meta::inner::{Derivative, Descent, Hyper};
use meta::linear::{Cg, Dense, LinearSolver, Minres, Nystrom, Policy, Secant, SecantPairs, Status};
use meta::method::{Implicit, InnerStop, Method, WarmStart};
use meta::problem::FewShot;
use meta::tasks::{CharacterSplit, Glyphs, Omniglot, OmniglotTasks, Rotations, Sinusoid, Split, TaskStream};
use meta::train::{Adam, EpisodeTasks, MetaBatch, TaskSource, Trainer};
use nn::{Init, Model};

const HYPER: Hyper = Hyper { lambda: 2.0, rate: 0.05 };

/// G = ½φᵀAφ − bᵀφ + ½λ‖φ − θ‖², f = ½‖φ − c‖², with H = A.
struct Task {
    a: Vec<f64>,
    b: Vec<f64>,
    c: Vec<f64>,
    theta: Vec<f64>,
}

impl Task {
    fn new(eigenvalues: &[f64]) -> Self {
        let mut numbers = Numbers::new(71);
        let mut vec = || numbers.vec(eigenvalues.len());
        Task { a: symmetric(eigenvalues, 72), b: vec(), c: vec(), theta: vec() }
    }

    fn data(&self) -> [Arg<'_, f64>; 3] {
        [(&self.a).into(), (&self.b).into(), (&self.c).into()]
    }

    /// dF/dθ, φ_K and the report after `steps`.
    fn gradient(&self, method: &dyn Method<f64>) -> (Vec<f64>, Vec<f64>, meta::Report) {
        let mut g = vec![0.0; self.b.len()];
        let mut worker = method.worker();
        let report = worker.gradient(&self.theta, HYPER, &self.data(), &mut g);
        (g, worker.phi().to_vec(), report)
    }

    fn implicit(&self, steps: usize, solver: Box<dyn LinearSolver<f64>>) -> Implicit<f64> {
        Implicit::new(&Quadratic { dim: self.b.len() }, InnerStop::Steps(steps), solver)
    }

    /// (A + μI)⁻¹ (φ − c)
    fn solution(&self, mu: f64, phi: &[f64]) -> Vec<f64> {
        let n = self.b.len();
        let matrix: Vec<f64> = (0..n * n).map(|i| self.a[i] + if i / n == i % n { mu } else { 0.0 }).collect();
        let v: Vec<f64> = phi.iter().zip(&self.c).map(|(p, c)| p - c).collect();
        dense_solve(&matrix, &v)
    }
}

#[test]
fn a_larger_lambda_multiplies_too_and_damping_does_not() {
    // H + 2I has an eigenvalue of −1.4.
    let task = Task::new(&[-3.4, -0.5, 0.2, 1.0, 3.0, 8.0]);
    let run = |policy| task.gradient(&task.implicit(3, Box::new(Cg::tolerance(1e-12, 100).or(policy))));
    let times = |scale: f64, x: Vec<f64>| x.into_iter().map(|x| scale * x).collect::<Vec<f64>>();
    // κ of the systems is below 100.
    let near = |g: &[f64], expected: Vec<f64>| assert!(relative_error(g, &expected) < 1e-9);

    let (g, phi, report) = run(Policy::RaiseLambda);
    let raised = HYPER.lambda + report.shift;
    assert!(report.policy_acted && raised > 3.4, "{report:?}");
    near(&g, times(raised, task.solution(raised, &phi)));

    let (g, phi, report) = run(Policy::Damp);
    assert!(report.policy_acted && report.shift > 0.0, "{report:?}");
    near(&g, times(HYPER.lambda, task.solution(HYPER.lambda + report.shift, &phi)));

    let (g, phi, report) = run(Policy::Another(Box::new(Minres::tolerance(1e-12, 100))));
    assert!(report.policy_acted && report.shift == 0.0, "{report:?}");
    near(&g, times(HYPER.lambda, task.solution(HYPER.lambda, &phi)));

    // A quadratic task whose operator is positive definite is none of the policy's business.
    let task = Task::new(&[-1.0, 0.2, 1.0, 3.0]);
    let plain = task.gradient(&task.implicit(3, Box::new(Cg::tolerance(1e-12, 100))));
    let with = task.gradient(&task.implicit(3, Box::new(Cg::tolerance(1e-12, 100).or(Policy::RaiseLambda))));
    assert_eq!((&plain.0, &plain.2), (&with.0, &with.2));
    assert!(!with.2.policy_acted && with.2.shift == 0.0);
}

#[test]
fn the_inner_trajectory_preconditions_the_solve() {
    // The eigenvalues of G are 2 (λ) and above; descent with a step of 0.05 converges for those below 40.
    let eigenvalues: Vec<f64> =
        (0..30).map(|i| if i < 4 { 30.0 - 6.0 * f64::from(i) } else { 0.01 * f64::from(i) }).collect();
    let task = Task::new(&eigenvalues);
    let plain = task.gradient(&task.implicit(12, Box::new(Cg::tolerance(1e-10, 100))));
    let solver = || Box::new(Cg::tolerance(1e-10, 100).preconditioned(Secant::memory(10)));
    let method = task.implicit(12, solver());
    let by_pairs = task.gradient(&method);
    // The trajectory is the same to the last bit, and so is the answer to the tolerance, κ being 16.
    assert_eq!(plain.1, by_pairs.1);
    assert!(relative_error(&by_pairs.0, &plain.0) < 1e-8);
    assert_eq!(by_pairs.2.status, Some(Status::Converged));
    // Products: an iteration each, and the true residual's. Pairs of exact products cost none.
    assert!(by_pairs.2.products < plain.2.products, "{} and {}", by_pairs.2.products, plain.2.products);
    // A worker holds a task's pairs only: the second time is as the first.
    let mut worker = method.worker();
    let mut g = [vec![0.0; 30], vec![0.0; 30]];
    for g in &mut g {
        worker.gradient(&task.theta, HYPER, &task.data(), g);
    }
    assert_eq!(g[0], g[1]);
    // One point is no pair: M = I, and the same bits as without.
    let [none, identity] = [
        task.implicit(0, Box::new(Cg::iterations(3))),
        task.implicit(0, Box::new(Cg::iterations(3).preconditioned(Secant::memory(4)))),
    ]
    .map(|method| task.gradient(&method).0);
    assert_eq!(none, identity);
}

#[test]
fn a_solvers_helpers_are_counted_as_memory() {
    let problem = Quadratic { dim: 50 };
    let bytes = |solver: Box<dyn LinearSolver<f64>>| Implicit::new(&problem, InnerStop::Steps(2), solver).bytes();
    let plain = bytes(Box::new(Cg::iterations(3)));
    let vector = 50 * size_of::<f64>();
    // Rank + 1 vectors; two small matrices and two rows.
    let nystrom = bytes(Box::new(Cg::iterations(3).preconditioned(Nystrom::rank(5))));
    assert_eq!(nystrom - plain, 6 * vector + (2 * 25 + 2 * 5) * size_of::<f64>());
    // The pairs, the last point and its gradient, ∇G in the state twice; and what the plan needs to write it there.
    let pairs = bytes(Box::new(Cg::iterations(3).preconditioned(Secant::memory(5))));
    assert!(pairs - plain >= SecantPairs::<f64>::bytes(5, 50) + 4 * vector);
    let warm =
        Implicit::new(&problem, InnerStop::Steps(2), Box::new(Cg::iterations(3))).warm_started(WarmStart::Previous);
    assert_eq!(Method::<f64>::bytes(&warm) - plain, vector);
}

fn glyphs() -> (FewShot, Glyphs, Vec<f32>) {
    let model: Model = "conv4:channels=4,stride=2,ways=3,image=1x28x28".parse().unwrap();
    let stream = Glyphs::new(1, meta::tasks::FewShot { ways: 3, shots: 1, queries: 2 }).unwrap();
    let mut numbers = Numbers::new(1);
    let theta = model.init(Init::PyTorch, &mut || 0.5 * (numbers.next() + 1.0));
    (FewShot::new(model, 3, 6, true), stream, theta)
}

#[test]
fn warm_starts_are_a_function_of_the_run() {
    let (problem, stream, theta) = glyphs();
    let hyper = Hyper { lambda: 0.5, rate: 0.1 };
    let method = |start: Option<WarmStart>| {
        let method = Implicit::<f32>::new(&problem, InnerStop::Steps(2), Box::new(Cg::iterations(2)));
        if let Some(start) = start { method.warm_started(start) } else { method }
    };
    let train = |start: Option<WarmStart>, threads: usize, stop_after: Option<u64>| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let method = method(start);
        let new = |theta: Vec<f32>| {
            let adam = Box::new(Adam::new(theta.len(), 1e-2, 1e-3));
            Trainer::new(&method, &stream, &pool, theta, adam, hyper, 5)
        };
        let mut trainer = new(theta.clone());
        for i in 0..4 {
            if stop_after == Some(i) {
                // What a checkpoint keeps.
                let state: Vec<_> = trainer.optimiser.state().into_iter().map(|(name, v)| (name, v.to_vec())).collect();
                let (iteration, start) = (trainer.iteration, trainer.start.clone());
                trainer = new(trainer.theta.clone());
                trainer.optimiser.restore(iteration, &state).unwrap();
                (trainer.iteration, trainer.start) = (iteration, start);
            }
            trainer.step().unwrap();
        }
        assert_eq!(trainer.start.is_some(), start == Some(WarmStart::Previous));
        trainer.theta
    };
    let cold = train(None, 1, None);
    for start in [WarmStart::Previous, WarmStart::Neighbour].map(Some) {
        let whole = train(start, 1, None);
        assert_ne!(whole, cold);
        // Any number of threads, and stopped anywhere.
        for threads in [2, 3] {
            assert_eq!(train(start, threads, None), whole);
        }
        for stop in 0..4 {
            assert_eq!(train(start, 1, Some(stop)), whole, "stopped after {stop}");
        }
    }
}

/// Tasks 2i start from 0, tasks 2i + 1 from the gradient of 2i, and the last of an odd number leaves nothing behind.
#[test]
fn neighbours_are_pairs_of_task_numbers() {
    let (problem, stream, theta) = glyphs();
    let hyper = Hyper { lambda: 0.5, rate: 0.1 };
    let method = Implicit::<f32>::new(&problem, InnerStop::Steps(2), Box::new(Cg::iterations(2)))
        .warm_started(WarmStart::Neighbour);
    let source = EpisodeTasks::new(&stream, Split::Train, 0);
    let mut by_hand = vec![vec![0.0; theta.len()]; 3];
    for first in [0, 2] {
        let mut worker = method.worker();
        for task in first..by_hand.len().min(first + 2) {
            source.with_task(task, &mut source.local(), |data| {
                worker.gradient(&theta, hyper, data, &mut by_hand[task]);
            });
            worker.start_from(&by_hand[task]);
        }
    }
    let mean: Vec<f32> =
        (0..theta.len()).map(|i| (by_hand[0][i] + by_hand[1][i] + by_hand[2][i]) * (1.0 / 3.0)).collect();
    for threads in [1, 2, 4] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut batch = MetaBatch::new(&method, &pool, theta.len(), 3);
        let mut g = vec![0.0; theta.len()];
        for _ in 0..2 {
            batch.gradient(&source, 3, &theta, hyper, &mut g);
            assert_eq!(g, mean, "{threads} threads");
        }
    }
}

/// Makes one task panic, once.
struct PanicsOnce<'a, S>(&'a S, std::sync::atomic::AtomicBool);

impl<S: TaskSource<f32>> TaskSource<f32> for PanicsOnce<'_, S> {
    type Local = S::Local;
    fn local(&self) -> S::Local {
        self.0.local()
    }
    fn with_task<R>(&self, i: usize, local: &mut S::Local, f: impl FnOnce(&[Arg<'_, f32>]) -> R) -> R {
        assert!(i != 1 || self.1.swap(true, std::sync::atomic::Ordering::Relaxed), "the first time");
        self.0.with_task(i, local, f)
    }
}

#[test]
fn a_panic_leaves_no_start_behind() {
    let (problem, stream, theta) = glyphs();
    let hyper = Hyper { lambda: 0.5, rate: 0.1 };
    let method = Implicit::<f32>::new(&problem, InnerStop::Steps(2), Box::new(Cg::iterations(2)))
        .warm_started(WarmStart::Neighbour);
    let source = EpisodeTasks::new(&stream, Split::Train, 0);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let [mut expected, mut g] = [0; 2].map(|_| vec![0.0; theta.len()]);
    MetaBatch::new(&method, &pool, theta.len(), 3).gradient(&source, 3, &theta, hyper, &mut expected);
    let mut batch = MetaBatch::new(&method, &pool, theta.len(), 3);
    let source = PanicsOnce(&source, std::sync::atomic::AtomicBool::new(false));
    let mut run = || {
        batch.gradient(&source, 3, &theta, hyper, &mut g);
    };
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut run)).is_err());
    run();
    assert_eq!(g, expected);
}

/// A factorisation is of the unknowns: rows of padding and of frozen parameters would make it singular.
#[test]
fn a_dense_solve_is_of_the_unknowns() {
    let problem = FewShot::new("mlp:1-1".parse().unwrap(), 3, 3, false);
    let method = Implicit::<f64>::new(&problem, InnerStop::Steps(5), Box::new(Dense));
    let (x, y) = ([0.0, 1.0, 2.0], [1.0; 3]);
    let data = [&x, &y, &x, &y].map(|values| Arg::Floats(values));
    let mut g = vec![0.0; 32];
    let report = method.worker().gradient(&[0.0; 32], Hyper { lambda: 0.0, rate: 0.1 }, &data, &mut g);
    assert_eq!((report.status, report.negative_curvature), (Some(Status::Converged), 0));
    assert_eq!(report.products, 2 + 1);
}

/// What warm starts save; see [`WarmStart`].
#[test]
#[ignore = "minutes, and no claim: it prints a table"]
fn products_of_warm_starts() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let asked = meta::tasks::FewShot { ways: 5, shots: 1, queries: 5 };
    let mut settings: Vec<(&str, Box<dyn TaskStream>, Hyper, usize)> =
        vec![("mlp:1-40-40-1", Box::new(Sinusoid::new(1, 10, 10).unwrap()), Hyper { lambda: 2.0, rate: 0.01 }, 400)];
    if let Some(data) = std::env::var_os("OMNIGLOT_DIR").map(|folder| Omniglot::read(folder.as_ref()).unwrap()) {
        let tasks = OmniglotTasks::new(Arc::new(data), 1, asked, CharacterSplit::default(), Rotations::default());
        let hyper = Hyper { lambda: 20.0, rate: 0.02 };
        settings.push(("conv4:channels=16,stride=2,ways=5,image=1x28x28", Box::new(tasks.unwrap()), hyper, 60));
    }
    for (spec, stream, hyper, iterations) in settings {
        let model: Model = spec.parse().unwrap();
        let shape = stream.shape();
        let mut numbers = Numbers::new(1);
        let theta = model.init(Init::PyTorch, &mut || 0.5 * (numbers.next() + 1.0));
        let problem = FewShot::new(model, shape.support, shape.query, true);
        for relative in [0.1, 1e-3] {
            for start in [None, Some(WarmStart::Previous), Some(WarmStart::Neighbour)] {
                let cg = Box::new(
                    Cg::tolerance(relative, 100).or(Policy::Another(Box::new(Minres::tolerance(relative, 100)))),
                );
                let method = Implicit::<f32>::new(&problem, InnerStop::Steps(16), cg);
                let method = if let Some(start) = start { method.warm_started(start) } else { method };
                let adam = Box::new(Adam::new(theta.len(), 1e-3, 1e-8));
                let mut trainer = Trainer::new(&method, stream.as_ref(), &pool, theta.clone(), adam, hyper, 16);
                let mut products = [0, 0];
                for i in 0..iterations {
                    let report = trainer.step().unwrap();
                    products[2 * i / iterations] += report.products;
                }
                let each = products.map(|p| 2.0 * p as f64 / (16 * iterations) as f64);
                println!("{spec}, {relative}, {start:?}: {:.2} and {:.2} products a task", each[0], each[1]);
            }
        }
    }
}

/// The policy solves what the method with that curvature solves, to the bit, where there is negative curvature.
#[test]
fn gauss_newton_takes_the_place_of_an_indefinite_hessian() {
    let (problem, stream, theta) = glyphs();
    let hyper = Hyper { lambda: 0.02, rate: 0.1 };
    let stop = || InnerStop::Steps(4);
    let policy = Implicit::new(&problem, stop(), Box::new(Cg::iterations(6).or(Policy::GaussNewton)));
    let (descent, cg) = (Box::new(Descent::gradient(stop())), Box::new(Cg::iterations(6)));
    let outright = Implicit::with_curvature(&problem, descent, cg, Derivative::GaussNewton);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let mut acted = 0;
    for task in 0..5 {
        let of = |method: &Implicit<f32>| {
            let mut batch = MetaBatch::new(method, &pool, theta.len(), 1);
            let mut g = vec![0.0; theta.len()];
            let source = EpisodeTasks::new(&stream, Split::Train, task);
            let report = batch.gradient(&source, 1, &theta, hyper, &mut g);
            (g, report)
        };
        let ((g, report), (other, plain)) = (of(&policy), of(&outright));
        if report.policy_acted > 0 {
            assert_eq!(g, other, "task {task}");
            assert_eq!(report.evaluations, plain.evaluations + 1);
            acted += 1;
        }
    }
    assert!(acted > 0, "no task was indefinite");
}

#[test]
fn policies_and_preconditioners_do_not_depend_on_threads() {
    let (problem, stream, theta) = glyphs();
    let hyper = Hyper { lambda: 0.02, rate: 0.1 };
    let solvers: [Box<dyn LinearSolver<f32>>; 4] = [
        Box::new(Cg::iterations(6).or(Policy::Damp)),
        Box::new(Cg::iterations(6).or(Policy::RaiseLambda)),
        Box::new(Cg::iterations(3).preconditioned(Secant::memory(3))),
        Box::new(Cg::iterations(3).preconditioned(Nystrom::rank(3))),
    ];
    for (i, solver) in solvers.into_iter().enumerate() {
        let method = Implicit::new(&problem, InnerStop::Steps(4), solver);
        let of = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut batch = MetaBatch::new(&method, &pool, theta.len(), 5);
            let mut g = vec![0.0; theta.len()];
            let report = batch.gradient(&EpisodeTasks::new(&stream, Split::Train, 0), 5, &theta, hyper, &mut g);
            (g, report)
        };
        let (g, report) = of(1);
        assert!(g.iter().all(|g| g.is_finite()) && report.not_finite.is_empty());
        // λ is small enough for the networks' negative curvature to show.
        assert!(i > 1 || report.policy_acted > 0 && report.largest_shift > 0.0, "{report:?}");
        assert!(of(4) == (g, report), "{i}");
    }
}
