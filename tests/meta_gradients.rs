//! Meta-gradients against closed forms, dense solves, finite differences and each other.

use autodiff::{Arg, Options, Plan, Stage, Tape, grad, hvp};
use integration::{Case, KEEPS, Numbers, Quadratic, dense_solve, gradient, relative_error, sinusoid};
use meta::inner::Hyper;
use meta::linear::{Cg, Status};
use meta::method::{FirstOrder, Implicit, InnerStop, Keep, Method, Reptile, Unrolled};
use meta::problem::{At, FewShot, Problem};
use meta::tasks::{Glyphs, Split};
use meta::train::{EpisodeTasks, MetaBatch};
use nn::{Init, Model};

#[test]
fn unrolled_gradients_of_quadratics_have_a_closed_form() {
    let case = Case::new(&[0.3, 0.9, 1.7, 2.5, 4.0], 1);
    let hyper = Hyper { lambda: 0.8, rate: 0.2 };
    for steps in [0, 1, 2, 7, 50] {
        let expected = case.unrolled(hyper.lambda, hyper.rate, steps);
        let mut first: Option<Vec<f64>> = None;
        for keep in KEEPS {
            let method = Unrolled::new(&Quadratic { dim: case.n }, steps, keep);
            let (g, report) = gradient(&method, &case.theta, hyper, &case.data());
            // 50 steps of contractions: some hundred roundings.
            assert!(relative_error(&g, &expected) <= 1e-13, "{steps} steps, {keep:?}");
            assert_eq!(report.products, steps);
            // And all of them the same to the last bit.
            assert_eq!(first.get_or_insert_with(|| g.clone()), &g, "{steps} steps, {keep:?}");
        }
    }
}

#[test]
fn implicit_gradients_of_quadratics_are_exact_at_the_solution() {
    let case = Case::new(&[0.05, 0.9, 1.7, 2.5, 6.0], 2);
    let hyper = Hyper { lambda: 0.5, rate: 0.25 };
    let stop = InnerStop::Gradient { gradient: 1e-14, cap: 2000 };
    let method = Implicit::new(&Quadratic { dim: case.n }, stop, Box::new(Cg::tolerance(1e-14, 100)));
    let (g, report) = gradient(&method, &case.theta, hyper, &case.data());
    assert!(report.inner_gradient <= 1e-14, "{report:?}");
    assert!(matches!(report.status, Some(Status::Converged | Status::Stagnated)));
    assert!(
        relative_error(&g, &case.exact(hyper.lambda)) <= 1e-12,
        "{}",
        relative_error(&g, &case.exact(hyper.lambda))
    );
}

#[test]
fn unrolling_tends_to_the_implicit_gradient() {
    let case = Case::new(&[0.3, 0.9, 1.7, 2.5, 4.0], 3);
    let hyper = Hyper { lambda: 0.8, rate: 0.2 };
    let exact = case.exact(hyper.lambda);
    let error = |steps| {
        let method = Unrolled::new(&Quadratic { dim: case.n }, steps, Keep::Iterates);
        relative_error(&gradient(&method, &case.theta, hyper, &case.data()).0, &exact)
    };
    // The slowest mode contracts by 1 − 0.2 (0.3 + 0.8) = 0.78 a step; the error is a small polynomial times that.
    let errors: Vec<f64> = [10, 40, 160].map(error).into();
    assert!(errors[0] > 1e-3 && errors[1] < 1e-2 && errors[2] < 1e-13, "{errors:?}");
}

#[test]
fn unrolled_and_implicit_agree_on_a_smooth_network() {
    let (problem, theta, data) = sinusoid("mlp:1-8-8-1,act=tanh", true, 5);
    // Contractive: each step shrinks the slowest mode by at least 1 − 0.02 · 2.
    let hyper = Hyper { lambda: 2.0, rate: 0.02 };
    let args = data.args();
    let stop = InnerStop::Gradient { gradient: 1e-13, cap: 5000 };
    let implicit = Implicit::new(&problem, stop, Box::new(Cg::tolerance(1e-13, 500)));
    let (exact, report) = gradient(&implicit, &theta, hyper, &args);
    assert!(report.inner_gradient < 1e-12, "{report:?}");
    let unrolled = Unrolled::new(&problem, 3000, Keep::Checkpoints(10));
    let (g, _) = gradient(&unrolled, &theta, hyper, &args);
    assert!(relative_error(&g, &exact) < 1e-9, "{}", relative_error(&g, &exact));
}

#[test]
fn truncation_runs_from_first_order_to_the_full_gradient() {
    let case = Case::new(&[0.3, 0.9, 1.7], 4);
    let hyper = Hyper { lambda: 0.0, rate: 0.2 };
    let problem = Quadratic { dim: 3 };
    let of = |method: &dyn Method<f64>| gradient(method, &case.theta, hyper, &case.data()).0;
    let first_order = of(&FirstOrder::new(&problem, 6));
    assert_eq!(of(&Unrolled::new(&problem, 6, Keep::Last(0))), first_order);
    assert_eq!(of(&Unrolled::new(&problem, 6, Keep::Last(6))), of(&Unrolled::new(&problem, 6, Keep::Everything)));
    assert_ne!(of(&Unrolled::new(&problem, 6, Keep::Last(3))), first_order);
    // Reptile: θ − φ_K, by hand for one step: α (Aθ − b).
    let reptile = of(&Reptile::new(&problem, 1));
    for (i, moved) in reptile.iter().enumerate() {
        let descent: f64 = (0..3).map(|j| case.a[i * 3 + j] * case.theta[j]).sum::<f64>() - case.b[i];
        assert!((moved - hyper.rate * descent).abs() < 1e-14);
    }
}

/// The issue's own bar: one iMAML meta-gradient on a sinusoid against a dense solve, f64, to 1e-10.
#[test]
fn imaml_on_a_sinusoid_agrees_with_a_dense_solve() {
    let (problem, theta, data) = sinusoid("mlp:1-8-8-1", true, 11);
    let (n, lambda) = (theta.len(), 2.0);
    let hyper = Hyper { lambda, rate: 0.01 };
    let method = Implicit::new(&problem, InnerStop::Steps(16), Box::new(Cg::tolerance(1e-13, 2000)));
    let mut worker = method.worker();
    let mut g = vec![0.0; n];
    worker.gradient(&theta, hyper, &data.args(), &mut g);
    let phi = worker.phi().to_vec();

    // A second derivation: the Hessian of the support loss column by column, v, and elimination.
    let tape = Tape::new();
    let at = tape.input("phi", n, Stage::POINT);
    let e = tape.input("e", n, Stage::DIRECTION);
    let recorded = At::new(at, at, autodiff::Real::zero(), problem.declare(&tape));
    let loss = problem.support_loss(&recorded);
    let outputs =
        [(Stage::POINT, grad(problem.outer(&recorded), &[at])[0]), (Stage::DIRECTION, hvp(loss, &[at], &[(at, e)])[0])];
    let plan = Plan::<f64>::staged(&tape, &outputs, Options::default());
    let mut matrix = vec![0.0; n * n];
    let mut v = Vec::new();
    for j in 0..n {
        let mut unit = vec![0.0; n];
        unit[j] = 1.0;
        let mut args: Vec<Arg<f64>> = vec![(&phi).into(), (&unit).into()];
        args.extend(data.args());
        let values = plan.evaluate_args(&args);
        v = values[0].clone();
        for i in 0..n {
            matrix[i * n + j] = values[1][i] / lambda + if i == j { 1.0 } else { 0.0 };
        }
    }
    let expected = dense_solve(&matrix, &v);
    assert!(relative_error(&g, &expected) <= 1e-10, "{}", relative_error(&g, &expected));
}

/// MAML's gradient on a sinusoid against central differences of "adapt, then measure", f64, to 1e-6.
#[test]
fn maml_on_a_sinusoid_agrees_with_finite_differences() {
    let (problem, theta, data) = sinusoid("mlp:1-8-8-1,act=tanh", false, 12);
    let hyper = Hyper { lambda: 0.0, rate: 0.05 };
    let method = Unrolled::new(&problem, 5, Keep::Everything);
    let mut worker = method.worker();
    let mut g = vec![0.0; theta.len()];
    worker.gradient(&theta, hyper, &data.args(), &mut g);
    let mut numbers = Numbers::new(3);
    for _ in 0..5 {
        let v = numbers.vec(theta.len());
        let h = 1e-5;
        let mut value = |sign: f64| {
            let moved: Vec<f64> = theta.iter().zip(&v).map(|(t, v)| t + sign * h * v).collect();
            let mut ignored = vec![0.0; theta.len()];
            worker.gradient(&moved, hyper, &data.args(), &mut ignored).query_loss
        };
        let difference = (value(1.0) - value(-1.0)) / (2.0 * h);
        let slope: f64 = g.iter().zip(&v).map(|(a, b)| a * b).sum();
        assert!((difference - slope).abs() <= 1e-6 * slope.abs().max(1.0), "{difference} and {slope}");
    }
}

#[test]
fn keep_policies_agree_bit_for_bit_on_a_convolutional_network() {
    let model: Model = "conv4:channels=4,stride=2,ways=3,image=1x28x28".parse().unwrap();
    let stream = Glyphs::new(1, meta::tasks::FewShot { ways: 3, shots: 1, queries: 2 }).unwrap();
    let problem = FewShot::new(model.clone(), 3, 6, true);
    let mut numbers = Numbers::new(1);
    let theta: Vec<f32> = model.init(Init::PyTorch, &mut || 0.5 * (numbers.next() + 1.0));
    let hyper = Hyper { lambda: 0.5, rate: 0.1 };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let of = |keep| {
        let method = Unrolled::<f32>::new(&problem, 6, keep);
        let mut batch = MetaBatch::new(&method, &pool, theta.len(), 2);
        let mut g = vec![0.0; theta.len()];
        batch.gradient(&EpisodeTasks::new(&stream, Split::Train, 0), 2, &theta, hyper, &mut g);
        (g, method.bytes())
    };
    let (everything, most) = of(Keep::Everything);
    assert!(everything.iter().any(|g| *g != 0.0));
    for keep in [Keep::Iterates, Keep::Checkpoints(1), Keep::Checkpoints(2), Keep::Checkpoints(9), Keep::Last(6)] {
        let (g, bytes) = of(keep);
        assert_eq!(g, everything, "{keep:?}");
        assert!(bytes <= most, "{keep:?}");
    }
}

#[test]
fn threads_change_no_bit() {
    let model: Model = "conv4:channels=4,stride=2,ways=3,image=1x28x28".parse().unwrap();
    let stream = Glyphs::new(1, meta::tasks::FewShot { ways: 3, shots: 1, queries: 2 }).unwrap();
    let problem = FewShot::new(model.clone(), 3, 6, true);
    let mut numbers = Numbers::new(2);
    let theta: Vec<f32> = model.init(Init::PyTorch, &mut || 0.5 * (numbers.next() + 1.0));
    let hyper = Hyper { lambda: 0.5, rate: 0.1 };
    let method = Implicit::<f32>::new(&problem, InnerStop::Steps(4), Box::new(Cg::iterations(3)));
    let of = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut batch = MetaBatch::new(&method, &pool, theta.len(), 7);
        let mut g = vec![0.0; theta.len()];
        let report = batch.gradient(&EpisodeTasks::new(&stream, Split::Train, 3), 7, &theta, hyper, &mut g);
        (g, report)
    };
    let one = of(1);
    assert_eq!(of(2), one);
    assert_eq!(of(5), one);
}

#[test]
fn threads_that_share_one_task_change_no_bit() {
    let model: Model = "conv4:channels=32,pool,ways=5,image=3x84x84".parse().unwrap();
    let problem = FewShot::new(model.clone(), 3, 2, true);
    let mut numbers = Numbers::new(3);
    let theta: Vec<f32> = model.init(Init::PyTorch, &mut || 0.5 * (numbers.next() + 1.0));
    let mut images = |n: usize| (0..n * 84 * 84 * 3).map(|_| numbers.next() as f32).collect::<Vec<_>>();
    let (support, query) = (images(3), images(2));
    let data = [(&support).into(), Arg::Indices(&[0, 1, 2]), (&query).into(), Arg::Indices(&[3, 4])];
    let hyper = Hyper { lambda: 2.0, rate: 0.1 };
    let methods: [Box<dyn Method<f32>>; 2] = [
        Box::new(Implicit::new(&problem, InnerStop::Steps(1), Box::new(Cg::iterations(1)))),
        Box::new(Unrolled::new(&problem, 1, Keep::Everything)),
    ];
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    for method in &methods {
        let of = |threads| {
            let mut g = vec![0.0; theta.len()];
            pool.install(|| method.shared_worker(threads).gradient(&theta, hyper, &data, &mut g));
            g
        };
        let alone = of(1);
        assert!(alone.iter().any(|&g| g != 0.0));
        assert!(of(3) == alone && of(2) == alone);
    }
}

#[test]
fn implicit_memory_does_not_depend_on_the_number_of_steps() {
    let model: Model = "conv4:channels=64,stride=2,ways=5,image=1x28x28".parse().unwrap();
    let problem = FewShot::new(model, 5, 5, true);
    let bytes = |steps| {
        let solver = Box::new(Cg::iterations(5));
        Implicit::<f32>::new(&problem, InnerStop::Steps(steps), solver).bytes()
    };
    assert_eq!(bytes(1), bytes(1000));
    let unrolled = |steps, keep| Unrolled::<f32>::new(&problem, steps, keep).bytes();
    assert!(unrolled(8, Keep::Everything) > unrolled(8, Keep::Iterates));
    assert_eq!(unrolled(64, Keep::Checkpoints(4)), unrolled(1000, Keep::Checkpoints(4)));
}
