//! A task whose meta-gradient is not finite: found however it hides, named, and left out or the end.

use autodiff::Arg;
use integration::{Numbers, symmetric};
use meta::convex::Quadratic;
use meta::inner::Hyper;
use meta::linear::Cg;
use meta::method::{FirstOrder, Implicit, InnerStop, Method};
use meta::problem::FewShot;
use meta::tasks::{Episode, EpisodeShape, Sinusoid, Split, TaskStream};
use meta::train::{EpisodeTasks, MetaBatch, OnNotFinite, Sgd, TaskSource, Trainer};
use nn::{Init, Model};

const N: usize = 4;

/// Quadratics, some with a number spoilt.
struct Spoilt {
    tasks: Vec<[Vec<f64>; 3]>,
}

impl Spoilt {
    fn new(count: usize, spoilt: &[(usize, usize, f64)]) -> Self {
        let task = |k: usize| {
            let mut numbers = Numbers::new(k as u64);
            [symmetric(&[1.0, 2.0, 3.0, 4.0], k as u64), numbers.vec(N), numbers.vec(N)]
        };
        let mut tasks: Vec<_> = (0..count).map(task).collect();
        for &(k, input, value) in spoilt {
            tasks[k][input][1] = value;
        }
        Spoilt { tasks }
    }
}

impl TaskSource<f64> for Spoilt {
    type Local = ();
    fn local(&self) {}
    fn with_task<R>(&self, i: usize, _: &mut (), f: impl FnOnce(&[Arg<'_, f64>]) -> R) -> R {
        let [a, b, c] = &self.tasks[i];
        f(&[a.into(), b.into(), c.into()])
    }
}

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

#[test]
fn the_mean_is_over_what_is_finite_and_the_others_are_named() {
    let problem = Quadratic { dim: N };
    let method = Implicit::new(&problem, InnerStop::Steps(5), Box::new(Cg::iterations(3)));
    let (theta, hyper) = ([0.3, -0.2, 0.1, 0.4], Hyper { lambda: 0.5, rate: 0.1 });
    // NaN in b spoils φ, an infinity in c only f and its gradient.
    let source = Spoilt::new(6, &[(1, 1, f64::NAN), (4, 2, f64::INFINITY)]);
    let expected: Vec<f64> = {
        let mut mean = [0.0; N];
        let mut worker = method.worker();
        for i in [0, 2, 3, 5] {
            let mut own = vec![0.0; N];
            source.with_task(i, &mut (), |data| worker.gradient(&theta, hyper, data, &mut own));
            mean.iter_mut().zip(&own).for_each(|(m, g)| *m += g);
        }
        mean.iter().map(|m| m * 0.25).collect()
    };
    for threads in [1, 3] {
        let pool = pool(threads);
        let mut batch = MetaBatch::new(&method, &pool, N, 6);
        let mut gradient = vec![0.0; N];
        let report = batch.gradient(&source, 6, &theta, hyper, &mut gradient);
        assert_eq!((report.kept, &report.not_finite[..]), (4, &[1, 4][..]));
        assert_eq!(gradient, expected, "the mean of the four others, to the bit");
        assert!(report.query_loss.is_finite() && report.sampling_error > 0.0);
    }
}

/// CG that meets a NaN answers x = 0: a gradient of zeros, which looks finite.
#[test]
fn a_solver_that_met_a_nan_is_believed_over_its_gradient() {
    let problem = Quadratic { dim: N };
    let method = Implicit::new(&problem, InnerStop::Steps(0), Box::new(Cg::iterations(3)));
    let source = Spoilt::new(2, &[(0, 0, f64::NAN)]);
    let pool = pool(1);
    let mut batch = MetaBatch::new(&method, &pool, N, 2);
    let mut gradient = vec![0.0; N];
    let report = batch.gradient(&source, 2, &[0.1; N], Hyper { lambda: 0.5, rate: 0.1 }, &mut gradient);
    assert_eq!((report.kept, &report.not_finite[..]), (1, &[0][..]));
}

#[test]
fn the_mean_of_no_task_is_not_a_number() {
    let problem = Quadratic { dim: N };
    let method = FirstOrder::new(&problem, 1);
    let source = Spoilt::new(2, &[(0, 1, f64::NAN), (1, 1, f64::NAN)]);
    let pool = pool(1);
    let mut batch = MetaBatch::new(&method, &pool, N, 2);
    let mut gradient = vec![0.0; N];
    let report = batch.gradient(&source, 2, &[0.1; N], Hyper { lambda: 0.5, rate: 0.1 }, &mut gradient);
    assert!(report.kept == 0 && gradient.iter().all(|g| g.is_nan()), "{gradient:?}");
}

/// Sine curves, of which these tasks have a NaN in their support set.
struct Broken(Sinusoid, std::ops::Range<u64>);

impl TaskStream for Broken {
    fn shape(&self) -> &EpisodeShape {
        self.0.shape()
    }
    fn sample(&self, split: Split, k: u64, out: &mut Episode) {
        self.0.sample(split, k, out);
        if self.1.contains(&k) {
            out.support.x[0] = f32::NAN;
        }
    }
    fn name(&self) -> &str {
        "broken"
    }
}

/// Long means are summed a part at a time, by all threads.
#[test]
fn a_long_mean_has_the_same_bits_on_any_number_of_threads() {
    let model: Model = "mlp:1-7000-1,act=tanh".parse().unwrap();
    let mut numbers = Numbers::new(1);
    let theta: Vec<f32> = model.init(Init::PyTorch, &mut || 0.5 + 0.5 * numbers.next());
    let method = FirstOrder::<f32>::new(&FewShot::new(model, 5, 5, false), 1);
    let (stream, hyper) = (Broken(Sinusoid::new(0, 5, 5).unwrap(), 2..3), Hyper { lambda: 0.0, rate: 0.1 });
    let source = EpisodeTasks::new(&stream, Split::Train, 0);
    let mut worker = method.worker();
    let mut own = |i: usize| {
        let mut gradient = vec![f32::NAN; theta.len()];
        source.with_task(i, &mut source.local(), |data| worker.gradient(&theta, hyper, data, &mut gradient));
        gradient
    };
    // Fewer tasks than there is room for, too.
    for tasks in [5, 7] {
        let mut expected = vec![0.0; theta.len()];
        for i in (0..tasks).filter(|&i| i != 2) {
            expected.iter_mut().zip(own(i)).for_each(|(mean, g)| *mean += g);
        }
        expected.iter_mut().for_each(|mean| *mean *= (1.0 / (tasks - 1) as f64) as f32);
        for threads in [1, 2, 3] {
            let pool = pool(threads);
            let mut batch = MetaBatch::new(&method, &pool, theta.len(), 7);
            let mut gradient = vec![f32::NAN; theta.len()];
            let report = batch.gradient(&source, tasks, &theta, hyper, &mut gradient);
            assert_eq!((report.kept, &report.not_finite[..]), (tasks - 1, &[2][..]));
            assert!(gradient == expected, "{tasks} tasks on {threads} threads");
        }
    }
}

#[test]
fn training_stops_or_skips_as_it_is_told() {
    let model: Model = "mlp:1-8-1,act=tanh".parse().unwrap();
    let mut numbers = Numbers::new(1);
    let theta: Vec<f32> = model.init(Init::PyTorch, &mut || 0.5 + 0.5 * numbers.next());
    let method = FirstOrder::<f32>::new(&FewShot::new(model, 5, 5, false), 1);
    let pool = pool(1);
    // Task 5 of iterations 0..3 with tasks 0..3, 3..6, 6..9; then none of 9..12 is fit.
    let streams = [5..6, 9..12].map(|broken| Broken(Sinusoid::new(0, 5, 5).unwrap(), broken));
    let train = |stream, policy| {
        let hyper = Hyper { lambda: 0.0, rate: 0.1 };
        let mut trainer = Trainer::new(&method, stream, &pool, theta.clone(), Box::new(Sgd::new(0.1)), hyper, 3);
        trainer.on_not_finite = policy;
        trainer
    };
    let mut trainer = train(&streams[0], OnNotFinite::Stop);
    trainer.step().unwrap();
    let before = trainer.theta.clone();
    let error = trainer.step().unwrap_err();
    assert_eq!((error.task, error.iteration, error.all), (5, 1, false));
    // How to go on without it is for the program to say: a library has no options.
    assert!(error.to_string().contains("task 5 (iteration 1)") && !error.to_string().contains("--"));
    assert_eq!((trainer.theta, trainer.iteration), (before, 1), "θ is left as it was");

    let mut trainer = train(&streams[0], OnNotFinite::Skip);
    let skipped: Vec<Vec<u64>> = (0..3)
        .map(|_| {
            let report = trainer.step().unwrap();
            trainer.skipped(&report).collect()
        })
        .collect();
    assert_eq!(skipped, [vec![], vec![5], vec![]]);
    assert!(trainer.theta.iter().all(|t| t.is_finite()));

    let mut trainer = train(&streams[1], OnNotFinite::Skip);
    (0..3).for_each(|_| drop(trainer.step().unwrap()));
    let error = trainer.step().unwrap_err();
    assert_eq!((error.task, error.iteration, error.all), (9, 3, true));
    assert!(error.to_string().contains("every training task from 9"));
}
