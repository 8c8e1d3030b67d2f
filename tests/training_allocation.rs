//! A steady-state iteration of training allocates nothing, on whatever thread: drawing the tasks, their meta-gradients,
//! the mean, the outer step, the report.
//!
//! Every thread of the pool counts its own allocations for the whole time. One of them trains; the others do nothing but
//! take work of the pool, so that what they do for it, rayon's part included, is counted as well. The one thing that is
//! left out by this is how a thread outside the pool hands an iteration to it: rayon queues the job there, in blocks of
//! some sixty, and allocates a block when one is full.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex};

use image::{GrayImage, Luma};
use integration::Numbers;
use meta::error::{EVERY, Estimator, Tolerance, TolerantCg, TolerantDescent};
use meta::inner::Hyper;
use meta::linear::Cg;
use meta::method::{Implicit, InnerStop, Keep, Method, Unrolled, WarmStart};
use meta::problem::FewShot;
use meta::tasks::{
    CharacterSplit, Episode, EpisodeShape, FewShot as Asked, Glyphs, Omniglot, OmniglotTasks, Rotations, Sinusoid,
    Split, TaskStream,
};
use meta::train::{Adam, Auto, OnNotFinite, Trainer};
use nn::{Init, Model};

/// So many iterations are counted, after as many to warm up: tolerances are set anew in some of them.
const ITERATIONS: u64 = EVERY + 2;

const ASKED: Asked = Asked { ways: 3, shots: 1, queries: 2 };
const CONV: &str = "conv4:channels=4,stride=2,ways=3,image=1x28x28";

/// Draws a task when so many threads want one: each of them has its share of every iteration.
struct Together {
    stream: Box<dyn TaskStream>,
    threads: Barrier,
}

impl TaskStream for Together {
    fn shape(&self) -> &EpisodeShape {
        self.stream.shape()
    }

    fn sample(&self, split: Split, k: u64, out: &mut Episode) {
        self.threads.wait();
        self.stream.sample(split, k, out);
    }

    fn name(&self) -> &str {
        self.stream.name()
    }
}

/// What is true from here on, however the scope is left.
struct AtEnd<'a>(&'a AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// How often each thread of the pool allocates while one of them trains.
fn allocations(pool: &rayon::ThreadPool, trainer: &mut Trainer<'_>) -> Vec<u64> {
    let (trainer, done) = (Mutex::new(trainer), AtomicBool::new(false));
    let work = |thread: usize| {
        if thread == 0 {
            let _end = AtEnd(&done);
            let mut trainer = trainer.lock().unwrap();
            for _ in 0..ITERATIONS {
                let report = trainer.step().unwrap();
                assert_eq!(trainer.skipped(&report).count(), 0);
                assert!(trainer.gradient_norm() > 0.0);
            }
            // Looks for work at others once at least, as those do.
            rayon::yield_now();
        } else {
            while !done.load(Ordering::Acquire) {
                rayon::yield_now();
            }
        }
    };
    pool.broadcast(|context| allocation_counter::measure(|| work(context.index())).count_total)
}

/// Some way to train: a problem, and where its tasks come from.
struct Training {
    problem: FewShot,
    theta: Vec<f32>,
    stream: Box<dyn TaskStream>,
    tasks: usize,
}

fn training(spec: &str, stream: impl TaskStream + 'static, tasks: usize) -> Training {
    let model: Model = spec.parse().unwrap();
    let mut numbers = Numbers::new(1);
    let theta = model.init(Init::PyTorch, &mut || 0.5 * (numbers.next() + 1.0));
    let EpisodeShape { support, query, .. } = *stream.shape();
    Training { problem: FewShot::new(model, support, query, true), theta, stream: Box::new(stream), tasks }
}

/// Trains, and asserts that nothing is allocated once both sides are warm.
fn check(name: &str, training: Training, pool: &rayon::ThreadPool, method: &dyn Method<f32>, auto: Option<Auto<'_>>) {
    let threads = pool.current_num_threads();
    let Training { theta, stream, tasks, .. } = training;
    // A single task, and the one that tolerances are measured on, are drawn by one thread.
    let alone = tasks == 1 || auto.is_some();
    let stream = Together { stream, threads: Barrier::new(if alone { 1 } else { threads }) };
    let adam = Box::new(Adam::new(theta.len(), 1e-3, 1e-8));
    let hyper = Hyper { lambda: 2.0, rate: 0.01 };
    let mut trainer = Trainer::new(method, &stream, pool, theta, adam, hyper, tasks);
    trainer.on_not_finite = OnNotFinite::Skip;
    trainer.auto = auto;
    allocations(pool, &mut trainer);
    assert_eq!(allocations(pool, &mut trainer), vec![0; threads], "{name} on {threads} threads");
}

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

/// The layout of Omniglot with drawings of noise, as few as make a task.
fn drawings(folder: &Path) -> Omniglot {
    let mut numbers = Numbers::new(2);
    for (part, characters) in [("images_background", 12), ("images_evaluation", 1)] {
        for character in 0..characters {
            let folder = folder.join(part).join("Runes").join(format!("character{character:02}"));
            fs::create_dir_all(&folder).unwrap();
            for drawing in 0..ASKED.shots + ASKED.queries {
                let noise = GrayImage::from_fn(28, 28, |_, _| Luma([(127.0 * (numbers.next() + 1.0)) as u8]));
                noise.save(folder.join(format!("{drawing}.png"))).unwrap();
            }
        }
    }
    Omniglot::read(folder).unwrap()
}

#[test]
fn a_thread_that_takes_work_of_the_pool_counts_what_it_allocates() {
    let pool = pool(2);
    let (done, stolen) = (AtomicBool::new(false), Barrier::new(2));
    let counts = pool.broadcast(|context| {
        let work = || {
            if context.index() == 0 {
                let _end = AtEnd(&done);
                // Neither half can end before the other has begun, so that they run on two threads.
                let half = || {
                    stolen.wait();
                    drop(std::hint::black_box(Box::new(1_u8)));
                };
                rayon::join(half, half);
            } else {
                while !done.load(Ordering::Acquire) {
                    rayon::yield_now();
                }
            }
        };
        allocation_counter::measure(work).count_total
    });
    // The first look for work may allocate something for the thread.
    assert!(counts.iter().all(|&count| count >= 1), "{counts:?}");
}

#[test]
fn training_allocates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = Arc::new(drawings(folder.path()));
    for pool in [1, 2].map(pool) {
        let trainings = || {
            let omniglot =
                OmniglotTasks::new(Arc::clone(&data), 1, ASKED, CharacterSplit::Original, Rotations::Always).unwrap();
            // Pairs for every thread, and groups as wide as vectors of small tasks: they all draw together.
            [
                ("sinusoid", training("mlp:1-8-8-1", Sinusoid::new(1, 5, 5).unwrap(), 64)),
                // Long enough for the mean to be summed by all threads.
                ("a wide network", training("mlp:1-7000-1", Sinusoid::new(1, 5, 5).unwrap(), 4)),
                ("glyphs", training(CONV, Glyphs::new(1, ASKED).unwrap(), 4)),
                ("omniglot", training(CONV, omniglot, 4)),
            ]
        };
        for (name, training) in trainings() {
            let method = Unrolled::new(&training.problem, 2, Keep::Everything);
            check(name, training, &pool, &method, None);
        }
        for start in [None, Some(WarmStart::Previous), Some(WarmStart::Neighbour)] {
            for (name, training) in trainings() {
                let cg = Box::new(Cg::iterations(2));
                let method = Implicit::new(&training.problem, InnerStop::Steps(2), cg);
                let method = match start {
                    Some(start) => method.warm_started(start),
                    None => method,
                };
                check(name, training, &pool, &method, None);
            }
        }
    }
}

#[test]
fn training_with_tolerances_of_its_own_allocates_nothing() {
    for pool in [1, 2].map(pool) {
        let training = training("mlp:1-8-8-1,act=tanh", Sinusoid::new(1, 5, 5).unwrap(), 6);
        let tolerance = Arc::new(Tolerance::default());
        let method = || {
            let inner = TolerantDescent::new(Arc::clone(&tolerance), 20);
            let linear = TolerantCg::new(Arc::clone(&tolerance), 1);
            Implicit::with_solver(&training.problem, Box::new(inner), Box::new(linear))
        };
        let estimator = Estimator::new(&training.problem, Box::new(Cg::recurrence(0.1, 20)));
        let (method, probe) = (method(), method().estimating(estimator));
        let auto = Auto::new(tolerance, &probe, &pool, training.theta.len());
        check("tolerances", training, &pool, &method, Some(auto));
    }
}

#[test]
fn threads_that_share_a_task_allocate_nothing() {
    // Large enough to be cut: its second layer has 18 million operations.
    let asked = Asked { ways: 5, shots: 1, queries: 1 };
    let spec = "conv4:channels=64,stride=2,ways=5,image=1x28x28";
    let training = training(spec, Glyphs::new(1, asked).unwrap(), 1);
    let method = Unrolled::new(&training.problem, 1, Keep::Everything);
    check("one task", training, &pool(2), &method, None);
}
