//! How far Newton's method gets on the inner problems of Omniglot: of 5-way 1-shot tasks, in f64 with λ = 2, the share on
//! which ‖∇G‖ falls by 10⁶ in so many Newton iterations, at an initialisation and at a trained θ.
//!
//! ```text
//! cargo run --release -p meta --example hessian_free -- FOLDER MODEL TASKS ITERATIONS INIT TRAINING PRODUCTS CORRECTIONS
//! ```
//!
//! FOLDER has Omniglot's two archives; INIT is kaiming, xavier or pytorch; TRAINING is iterations of MAML, 16 tasks
//! each, before the first solve, 0 for none; PRODUCTS and CORRECTIONS are those of an iteration.
//!
//! With λ = 2 and at most 20 iterations (30 with ReLU), on test tasks, stride 2, 28 × 28, the share of tasks on which ‖∇G‖
//! comes to 1e-6 and 1e-2 of its start, and on which the [shortest combination](meta::inner::Stationarity) of gradients
//! nearby comes to 1e-2, with the largest radius of those, of ‖φ − φ₀‖:
//!
//! ```text
//! channels  activation  θ                              tasks   to 1e-6   to 1e-2   combined to 1e-2
//!       64  softplus    kaiming                           40     100 %     100 %
//!       64  softplus    the same, trained 1000 times      40     100 %     100 %
//!       16  softplus    kaiming                           40     100 %     100 %
//!       16  softplus    pytorch                           20      25 %      90 %
//!       16  softplus    pytorch, 200 products, 25 corr.   20      65 %      95 %
//!       64  relu        kaiming                           20       0 %     100 %    100 % within 0.002
//!       16  relu        kaiming                           20       0 %       0 %    100 % within 0.002
//!       16  relu        pytorch                           10       0 %       0 %     80 % within 0.22
//! ```
//!
//! PyTorch's weights are 0.4 times the size of He's. Batch normalisation makes G as much more curved, by the square, and
//! λ holds that much less: the minimisers lie where the variance of channels nearly vanishes, at the end of long curved valleys.
//! There spaces of 100 dimensions are cut short, and steps are; larger spaces and more corrections on each go further, and
//! 27 iterations with the defaults were enough for the first six tasks.
//!
//! With ReLU minimisers lie on kinks, and all solves end saying so: with 64 channels and He's weights ‖∇G‖ at 0.7 to 1 % of its
//! start, as on all sides of the kinks, and the combinations at 4e-5 to 5e-4 of it.

use std::path::Path;
use std::sync::Arc;

use autodiff::Arg;
use meta::FewShot;
use meta::inner::{
    Derivative, GradientOnly, HessianFree, Hyper, InnerPlan, InnerSolver, InnerStatus, InnerStop, InnerTask, Run,
};
use meta::linear::SolverSpace;
use meta::method::{Keep, Unrolled};
use meta::tasks::{CharacterSplit, Episode, Omniglot, OmniglotTasks, Rotations, Split, Targets, TaskStream};
use meta::train::{Adam, Trainer};
use nn::{Init, Model};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

type Failure = Box<dyn std::error::Error>;

/// For the solves; Newton's method has no step size.
const HYPER: Hyper = Hyper { lambda: 2.0, rate: 0.0 };
/// For training: one step of 0.4, without a prox term.
const TRAINING: Hyper = Hyper { lambda: 0.0, rate: 0.4 };

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let argument = |i: usize, default: &str| args.get(i).cloned().unwrap_or_else(|| default.into());
    let folder = argument(0, "../shared/data/omniglot");
    let model: Model = argument(1, "conv4:channels=64,stride=2,ways=5,image=1x28x28,act=softplus").parse()?;
    let (tasks, cap): (u64, usize) = (argument(2, "20").parse()?, argument(3, "20").parse()?);
    let init = match argument(4, "kaiming").as_str() {
        "kaiming" => Init::Kaiming,
        "xavier" => Init::Xavier { gain: 1.0 },
        "pytorch" => Init::PyTorch,
        other => return Err(format!("INIT {other}: expected kaiming, xavier or pytorch").into()),
    };
    if !Path::new(&folder).is_dir() {
        println!("skipped: there is no folder {folder} with Omniglot's archives");
        return Ok(());
    }
    let asked = meta::tasks::FewShot { ways: 5, shots: 1, queries: 1 };
    let data = Arc::new(Omniglot::read(Path::new(&folder))?);
    let stream = OmniglotTasks::new(data, 0, asked, CharacterSplit::default(), Rotations::default())?;
    let problem = FewShot::new(model.clone(), 5, 5, true);
    let mut words = ChaCha8Rng::seed_from_u64(0);
    let theta = model.init(init, &mut || (words.next_u64() >> 11) as f64 / (1_u64 << 53) as f64);
    let theta = trained(&problem, &stream, theta, argument(5, "0").parse()?)?;
    let (products, corrections) = (argument(6, "100").parse()?, argument(7, "8").parse()?);
    measure(&problem, &stream, &theta, tasks, cap, |stop| {
        HessianFree::new(stop).with_products(products).with_corrections(corrections)
    })
}

/// θ after so many iterations of training.
fn trained(problem: &FewShot, stream: &dyn TaskStream, theta: Vec<f64>, iterations: u64) -> Result<Vec<f64>, Failure> {
    if iterations == 0 {
        return Ok(theta);
    }
    let problem = FewShot::new(problem.model().clone(), 5, 5, false);
    let method = Unrolled::<f32>::new(&problem, 1, Keep::Everything);
    let pool = rayon::ThreadPoolBuilder::new().build()?;
    let adam = Box::new(Adam::new(theta.len(), 1e-3, 1e-8));
    let start = theta.iter().map(|&t| t as f32).collect();
    let mut trainer = Trainer::new(&method, stream, &pool, start, adam, TRAINING, 16);
    for i in 1..=iterations {
        let report = trainer.step()?;
        if i % 50 == 0 || i == iterations {
            println!("training iteration {i}: query loss {:.4}", report.query_loss);
        }
    }
    Ok(trainer.theta.iter().map(|&t| f64::from(t)).collect())
}

/// Solves the inner problems of test tasks.
fn measure(
    problem: &FewShot,
    stream: &dyn TaskStream,
    theta: &[f64],
    tasks: u64,
    cap: usize,
    solver: impl Fn(InnerStop) -> HessianFree,
) -> Result<(), Failure> {
    let plan = InnerPlan::<f64>::new(problem, &GradientOnly, Derivative::Hessian);
    let mut run = Run::new(&plan, 1);
    let mut episode = Episode::empty_for(stream.shape());
    let double = |v: &[f32]| v.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
    let room = InnerSolver::<f64>::room(&solver(InnerStop::Steps(cap)));
    let mut space = SolverSpace::new(room, plan.dim(), plan.plan().isa());
    let [mut reached, mut hundredth, mut stationary, mut kinks] = [0; 4];
    let mut farthest = 0.0_f64;
    for k in 0..tasks {
        stream.sample(Split::Test, k, &mut episode);
        let (x, q) = (double(&episode.support.x), double(&episode.query.x));
        let (Targets::Classes(y), Targets::Classes(z)) = (&episode.support.y, &episode.query.y) else {
            return Err("Omniglot's tasks have classes".into());
        };
        let data = [(&x).into(), Arg::Indices(y), (&q).into(), Arg::Indices(z)];
        run.start(&plan, theta, HYPER, &data);
        let mut task = InnerTask::new(&plan, &mut run, theta, &data);
        let gradient = 1e-6 * task.look().gradient_norm;
        let solved = solver(InnerStop::Gradient { gradient, cap }).solve(&mut task, &mut space);
        let left = solved.last.gradient_norm / solved.first.gradient_norm;
        reached += usize::from(left <= 1e-6);
        hundredth += usize::from(left <= 1e-2);
        kinks += usize::from(solved.status == InnerStatus::Kink);
        let kink = solved.kink.map(|kink| {
            let gone = run.state.iter().zip(theta).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            (kink.norm / solved.first.gradient_norm, kink.radius / gone)
        });
        stationary += usize::from(kink.map_or(left, |(norm, _)| norm) <= 1e-2);
        let combined = kink.map_or(String::new(), |(norm, radius)| {
            farthest = farthest.max(radius);
            format!(" ({norm:.1e} combined within {radius:.1e} of the way)")
        });
        println!(
            "task {k}: {}, ‖∇G‖ to {left:.1e} of its start{combined} in {} iterations, {} evaluations, {} products, G to {:.6}",
            solved.status.name(),
            solved.steps,
            solved.evaluations,
            solved.products,
            solved.last.value
        );
    }
    let share = |n: usize| 100.0 * n as f64 / tasks as f64;
    println!(
        "‖∇G‖ to 1e-6 on {:.1} %, to 1e-2 on {:.1} %; at a kink on {:.1} %; to 1e-2, there combined within {farthest:.1e} of the \
         way, on {:.1} % of {tasks} tasks",
        share(reached),
        share(hundredth),
        share(kinks),
        share(stationary)
    );
    Ok(())
}
