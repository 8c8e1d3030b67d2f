//! A counting allocator: running a plan, an inner step, a CG iteration and a whole steady-state meta-gradient
//! allocate nothing.

use std::sync::Arc;

use autodiff::{Arg, Element, Options, Plan, Stage, Tape, grad};
use integration::{Kink, Numbers};
use meta::error::{Tolerance, TolerantCg};
use meta::inner::{
    Adam, Derivative, Descent, GradientDescent, HessianFree, Hyper, InnerPlan, InnerSolver, InnerStatus, Inputs, Lbfgs,
    Scheduled,
};
use meta::linear::{Cg, Gmres, Minres, Neumann, Nystrom, Policy, Secant};
use meta::method::{
    EvolutionStrategies, FiniteDifference, FirstOrder, ForwardMode, Hyperparameter, Implicit, InnerStop, Keep, Method,
    Report, Reptile, Unrolled, WarmStart,
};
use meta::problem::FewShot;
use meta::tasks::{Episode, Glyphs, Split, Targets, TaskStream};
use nn::{Init, Model, Statistics};

/// How often `f` allocates on this thread.
fn allocations(f: impl FnOnce()) -> u64 {
    allocation_counter::measure(f).count_total
}

fn problem() -> (FewShot, Vec<f32>, Episode) {
    let model: Model = "conv4:channels=4,stride=2,ways=3,image=1x28x28".parse().unwrap();
    let stream = Glyphs::new(1, meta::tasks::FewShot { ways: 3, shots: 1, queries: 2 }).unwrap();
    let mut numbers = Numbers::new(1);
    let theta = model.init(Init::PyTorch, &mut || 0.5 * (numbers.next() + 1.0));
    let mut episode = Episode::empty_for(stream.shape());
    stream.sample(Split::Train, 0, &mut episode);
    (FewShot::new(model, 3, 6, true), theta, episode)
}

fn targets(targets: &Targets) -> Arg<'_, f32> {
    match targets {
        Targets::Values(values) => Arg::Floats(values),
        Targets::Classes(classes) => Arg::Indices(classes),
    }
}

fn args(episode: &Episode) -> [Arg<'_, f32>; 4] {
    let Episode { support, query } = episode;
    [(&support.x).into(), targets(&support.y), (&query.x).into(), targets(&query.y)]
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1_u8; 100]))), 1);
}

#[test]
fn a_plan_runs_without_allocating() {
    let model: Model = "mlp:2-9-9-1,act=gelu".parse().unwrap();
    let tape = Tape::new();
    let n = model.layout().len();
    let phi = tape.input("phi", n, Stage::POINT);
    let x = tape.input("x", [5, 2], Stage::DATA);
    let loss = model.forward(phi, x, &Statistics::Batch).output;
    let loss = (loss * loss).mean_all();
    let outputs = [(Stage::POINT, loss), (Stage::POINT, grad(loss, &[phi])[0])];
    let plan = Plan::<f64>::staged(&tape, &outputs, Options::default());
    let mut workspace = plan.workspace();
    let (phi, x) = (Numbers::new(1).vec(n), Numbers::new(2).vec(10));
    let (mut value, mut gradient) = ([0.0], vec![0.0; n]);
    let count = allocations(|| {
        plan.run(Stage::DATA, &mut workspace, &[(&phi).into(), (&x).into()], &mut []);
        plan.run(Stage::POINT, &mut workspace, &[(&phi).into(), (&x).into()], &mut [&mut value, &mut gradient]);
    });
    assert_eq!(count, 0);
    assert!(gradient.iter().any(|g| *g != 0.0));
}

#[test]
fn an_inner_step_and_a_product_allocate_nothing() {
    let (problem, theta, episode) = problem();
    let plan = InnerPlan::<f32>::new(&problem, &GradientDescent, Derivative::Hessian);
    let mut workspace = plan.plan().workspace();
    let data = args(&episode);
    let inputs = Inputs::new(&theta, &[0.5, 0.1], &data);
    let (mut next, mut product) = (theta.clone(), theta.clone());
    let count = allocations(|| {
        plan.start(&mut workspace, &inputs);
        plan.step(&mut workspace, &inputs, &theta, &mut next);
        plan.hessian(&mut workspace, &inputs, &theta, &theta, &mut product);
    });
    assert_eq!(count, 0);
}

#[test]
fn a_steady_state_meta_gradient_allocates_nothing() {
    let (problem, theta, episode) = problem();
    let stop = InnerStop::Steps(3);
    let cg = || Box::new(Cg::iterations(2));
    let tolerance = Arc::new(Tolerance::default());
    tolerance.set(0.0, 1e-3);
    let solvers: [Box<dyn InnerSolver<f32>>; 3] = [
        Box::new(Descent::automatic(stop)),
        Box::new(Lbfgs::new(stop).with_memory(2)),
        Box::new(HessianFree::new(stop).with_products(3)),
    ];
    let adam = Scheduled::cosine(Adam::default(), 4);
    let mut methods: Vec<Box<dyn Method<f32>>> = vec![
        Box::new(Implicit::new(&problem, stop, Box::new(Cg::iterations(4)))),
        Box::new(Implicit::new(&problem, stop, Box::new(Cg::tolerance(1e-3, 20)))),
        Box::new(Implicit::new(&problem, stop, Box::new(Cg::iterations(4).preconditioned(Secant::memory(2))))),
        Box::new(Implicit::new(&problem, stop, Box::new(Cg::iterations(4).preconditioned(Nystrom::rank(4))))),
        Box::new(Implicit::new(&problem, stop, Box::new(Minres::tolerance(1e-3, 9)))),
        Box::new(Implicit::new(&problem, stop, Box::new(Gmres::iterations(9)))),
        Box::new(Implicit::new(&problem, stop, Box::new(Neumann::iterations(9)))),
        Box::new(Implicit::new(
            &problem,
            stop,
            Box::new(Cg::iterations(9).or(Policy::Another(Box::new(Minres::iterations(9))))),
        )),
        Box::new(Implicit::new(&problem, stop, Box::new(Cg::iterations(9).or(Policy::Damp)))),
        Box::new(Implicit::new(&problem, stop, Box::new(Cg::iterations(9).or(Policy::RaiseLambda)))),
        Box::new(Implicit::new(&problem, stop, Box::new(Cg::iterations(4))).warm_started(WarmStart::Previous)),
        Box::new(Implicit::new(&problem, stop, Box::new(Cg::iterations(9).or(Policy::GaussNewton)))),
        Box::new(Implicit::new(&problem, stop, Box::new(TolerantCg::new(tolerance, 4)))),
        Box::new(Unrolled::new(&problem, 4, Keep::Everything)),
        Box::new(Unrolled::new(&problem, 4, Keep::Iterates)),
        Box::new(Unrolled::new(&problem, 4, Keep::Checkpoints(2))),
        Box::new(Unrolled::new(&problem, 4, Keep::Last(2))),
        Box::new(FirstOrder::new(&problem, 4)),
        Box::new(Reptile::new(&problem, 4)),
        Box::new(FiniteDifference::new(&problem, 4)),
        Box::new(EvolutionStrategies::new(&problem, 2).with_pairs(2)),
        Box::new(Unrolled::automatic(&problem, 4, Keep::Everything)),
        Box::new(Unrolled::with_step(&problem.clone().with_minibatch(2, 1), &adam, 4, Keep::Iterates)),
    ];
    methods.extend(
        solvers.into_iter().map(|s| -> Box<dyn Method<f32>> { Box::new(Implicit::with_solver(&problem, s, cg())) }),
    );
    for (i, method) in methods.iter().enumerate() {
        let (_, count) = again(method.as_ref(), &theta, &args(&episode), theta.len());
        assert_eq!(count, 0, "method number {i}");
    }
    // Forward mode has a number for each of its hyperparameters.
    let forward = ForwardMode::new(&problem, 4, &[Hyperparameter::Lambda, Hyperparameter::Theta(0)]);
    assert_eq!(again(&forward, &theta, &args(&episode), 2).1, 0, "forward mode");
}

/// What a kink's bundle of gradients needs is there from the start.
#[test]
fn a_steady_state_meta_gradient_at_a_kink_allocates_nothing() {
    let solver = Box::new(HessianFree::new(InnerStop::Steps(100)).with_products(60).with_bundle(10));
    let method = Implicit::with_solver(&Kink, solver, Box::new(Cg::iterations(2)));
    let (report, count) = again::<f64>(&method, &[0.0; 3], &[(&[0.31, -0.17, 0.73][..]).into()], 3);
    assert_eq!(report.inner_status, Some(InnerStatus::Kink), "{report:?}");
    assert_eq!(count, 0);
}

/// A worker's report of its second meta-gradient, which starts from its first, and how often that one allocates.
fn again<T: Element>(method: &dyn Method<T>, theta: &[T], data: &[Arg<'_, T>], outputs: usize) -> (Report, u64) {
    let hyper = Hyper { lambda: 0.5, rate: 0.1 };
    let (mut worker, mut gradient) = (method.worker(), vec![T::zero(); outputs]);
    worker.gradient(theta, hyper, data, &mut gradient);
    let start = gradient.clone();
    let mut report = None;
    let count = allocations(|| {
        worker.start_from(&start);
        report = Some(worker.gradient(theta, hyper, data, &mut gradient));
    });
    (report.unwrap(), count)
}
