//! Estimates of a meta-gradient's error on whole networks, against the error itself.
//!
//! The full count, 1,000 tasks, with the table it prints:
//! `cargo test -p integration estimates -- --ignored --nocapture`

use autodiff::{Arg, Real, Var};
use integration::{Numbers, ToRelative, distance, norm};
use meta::Report;
use meta::error::{Answer, Estimator};
use meta::inner::Hyper;
use meta::linear::Cg;
use meta::method::{Implicit, Method};
use meta::problem::{At, DataSpec, FewShot, Problem};
use meta::tasks::{Episode, FewShot as Ways, Glyphs, Sinusoid, Split, Targets, TaskStream};
use nn::{Init, Model};

/// A network, its tasks, and how it is adapted.
struct Setting {
    name: &'static str,
    model: Model,
    stream: Box<dyn TaskStream>,
    init: Init,
}

const HYPER: Hyper = Hyper { lambda: 2.0, rate: 0.0 };

/// (‖∇G‖ relative to its start at which the inner solve stops, CG iterations), in turn.
const ACCURACIES: [(f64, usize); 6] = [(0.1, 3), (0.03, 5), (0.01, 5), (1e-3, 10), (1e-4, 10), (1e-3, 4)];

fn settings() -> [Setting; 3] {
    let ways = Ways { ways: 5, shots: 1, queries: 3 };
    let conv4 = |name, init| Setting {
        name,
        model: "conv4:channels=4,stride=2,ways=5,image=1x28x28,act=softplus".parse().expect("a valid spec"),
        stream: Box::new(Glyphs::new(1, ways).expect("a valid request")),
        init,
    };
    [
        Setting {
            name: "mlp:1-16-16-1,act=tanh on sinusoid",
            model: "mlp:1-16-16-1,act=tanh".parse().expect("a valid spec"),
            stream: Box::new(Sinusoid::new(1, 10, 10).expect("a valid request")),
            init: Init::PyTorch,
        },
        conv4("conv4, 4 channels, softplus, on glyphs", Init::Kaiming),
        // Weights of 0.4 times the size, at which batch normalisation is 6 times as curved and λ holds as much less: here
        // estimates are worse, and nothing is claimed.
        conv4("the same from PyTorch's initialisation", Init::PyTorch),
    ]
}

fn targets(y: &Targets) -> (Vec<f64>, &[u32]) {
    match y {
        Targets::Values(values) => (values.iter().map(|&v| f64::from(v)).collect(), &[]),
        Targets::Classes(classes) => (Vec::new(), classes),
    }
}

/// One task: error estimated / true error, and whether the estimate calls itself sound.
type Ratio = (f64, bool);

/// Of tasks whose reference was solved; how many were not; products of an estimate.
fn ratios(setting: &Setting, count: usize) -> (Vec<Ratio>, usize, f64) {
    let Setting { model, stream, .. } = setting;
    let shape = stream.shape();
    let problem = FewShot::new(model.clone(), shape.support, shape.query, true);
    // Every inner solve goes the same way, to its own end: all are about the same minimum.
    let solver = |relative| Box::new(ToRelative { relative, cap: 100 });
    let method = |(relative, cg)| {
        Implicit::with_solver(&problem, solver(relative), Box::new(Cg::iterations(cg)))
            .estimating(Estimator::new(&problem, Box::new(Cg::tolerance(0.03, 60))))
    };
    let methods: Vec<Implicit<f64>> = ACCURACIES.into_iter().map(method).collect();
    let exact = Implicit::with_solver(&problem, solver(1e-12), Box::new(Cg::tolerance(1e-12, 3000)));
    let mut reference = exact.worker();
    let mut workers: Vec<_> = methods.iter().map(|m| m.worker()).collect();
    let mut numbers = Numbers::new(7);
    let theta: Vec<f64> = model.init(setting.init, &mut || 0.5 + 0.5 * numbers.next());
    let (mut ratios, mut unsolved, mut products) = (Vec::new(), 0, 0.0);
    let mut episode = Episode::empty_for(shape);
    let double = |x: &[f32]| x.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
    for k in 0..count {
        stream.sample(Split::Train, k as u64, &mut episode);
        let (x, q) = (double(&episode.support.x), double(&episode.query.x));
        let ((y, labels), (t, wanted)) = (targets(&episode.support.y), targets(&episode.query.y));
        let data: [Arg<'_, f64>; 4] = if model.classifies() {
            [(&x).into(), Arg::Indices(labels), (&q).into(), Arg::Indices(wanted)]
        } else {
            [(&x).into(), (&y).into(), (&q).into(), (&t).into()]
        };
        let (mut gradient, mut best) = (vec![0.0; theta.len()], vec![0.0; theta.len()]);
        let report: Report = workers[k % methods.len()].gradient(&theta, HYPER, &data, &mut gradient);
        let truth = reference.gradient(&theta, HYPER, &data, &mut best);
        // Rounding may keep a solve above 1e-12; 1e-9 is still far below any error here.
        let solved = |s: f64| s <= 1e-9;
        if !solved(truth.linear_residual) || !solved(truth.inner_gradient / truth.first_gradient) {
            unsolved += 1;
            continue;
        }
        let (estimate, error) = (report.estimate.expect("asked for"), distance(&gradient, &best));
        products += estimate.products as f64;
        assert!(error > 1e-9 * norm(&best), "an error that the reference can tell: {error}");
        ratios.push((estimate.error / error, estimate.is_sound()));
        if std::env::var_os("SHOW_TASKS").is_some() {
            let (stop, cg) = ACCURACIES[k % methods.len()];
            println!(
                "{k} {stop} {cg}: {:.3} of {:.1e} relative, left {:.1e}, ‖∇G‖ {:.1e} of {:.1e}, negative {}",
                estimate.error / error,
                error / norm(&best),
                estimate.left,
                report.inner_gradient,
                report.first_gradient,
                report.negative_curvature
            );
        }
    }
    let solved = ratios.len().max(1) as f64;
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    (ratios, unsolved, products / solved)
}

/// The share within a factor 2 of the truth, of all tasks and of those whose estimate is sound; the share of those.
fn within(ratios: &[Ratio]) -> [f64; 3] {
    let share = |part: usize, of: usize| part as f64 / of.max(1) as f64;
    let near = |r: &&Ratio| (0.5..=2.0).contains(&r.0);
    let sound: Vec<Ratio> = ratios.iter().copied().filter(|r| r.1).collect();
    [
        share(ratios.iter().filter(near).count(), ratios.len()),
        share(sound.iter().filter(near).count(), sound.len()),
        share(sound.len(), ratios.len()),
    ]
}

/// Prints a line for each setting; its shares.
fn measure(counts: &[usize]) -> Vec<[f64; 3]> {
    let mut shares = Vec::new();
    for (setting, count) in settings().iter().zip(counts.iter().copied()) {
        let (ratios, unsolved, products) = ratios(setting, count);
        let at = |share: f64| ratios.get((share * ratios.len() as f64) as usize).map_or(f64::NAN, |r| r.0);
        let [all, sound, share] = within(&ratios);
        println!(
            "{}: {} tasks ({unsolved} without a reference): {:.1} % within a factor 2; of the {:.1} % that are sound \
             {:.1} %; estimate/error at 1, 5, 50, 95, 99 %: {:.3} {:.3} {:.3} {:.3} {:.3}; {products:.1} products a task",
            setting.name,
            ratios.len(),
            100.0 * all,
            100.0 * share,
            100.0 * sound,
            at(0.01),
            at(0.05),
            at(0.5),
            at(0.95),
            at(0.99)
        );
        assert!(unsolved * 5 <= count, "{}: {unsolved} of {count} without a reference", setting.name);
        shares.push([all, sound, share]);
    }
    shares
}

#[test]
fn estimates_are_near_the_error() {
    // Few tasks: the share of many is the other test's.
    for [all, _, share] in measure(&[12, 12]) {
        assert!(all >= 0.9 && share >= 0.9, "{all}, {share} of them sound");
    }
}

/// G = Σ(¼φ⁴ − ½φ²) + ½λ‖φ − θ‖², f = ½‖φ − ½‖²: in each coordinate two minima, and a maximum that Newton's method
/// would find as well.
struct Wells;

impl Problem for Wells {
    fn dim(&self) -> usize {
        2
    }
    fn data(&self) -> Vec<DataSpec> {
        Vec::new()
    }
    fn inner<'t>(&self, at: &At<'t>) -> Var<'t> {
        let (square, away) = (at.phi.square(), at.phi - at.theta);
        (0.25 * square.square() - 0.5 * square).sum_all() + 0.5 * at.lambda * away.dot(away)
    }
    fn outer<'t>(&self, at: &At<'t>) -> Var<'t> {
        0.5 * (at.phi - 0.5).square().sum_all()
    }
}

/// What is meant is the minimum that G falls to, where the operator is indefinite too.
#[test]
fn the_error_is_that_to_the_minimum_downhill() {
    let (lambda, theta, phi) = (0.1, [0.01, -0.02], [0.3, 0.5]);
    let slope = |x: f64, t: f64| x * x * x - x + lambda * (x - t);
    let curvature = |x: f64| 3.0 * x * x - 1.0 + lambda;
    let gradient = |x: f64| lambda * (x - 0.5) / curvature(x);
    assert!(
        curvature(phi[0]) < 0.0 && slope(phi[0], theta[0]) < 0.0,
        "indefinite, and downhill is away from the maximum"
    );
    let minimum = theta.map(|t| (0..20).fold(1.0, |x, _| x - slope(x, t) / curvature(x)));
    let (answer, exact) = (phi.map(gradient), minimum.map(gradient));

    let estimator = Estimator::<f64>::new(&Wells, Box::new(Cg::tolerance(0.03, 60)));
    let solution = answer.map(|g| g / lambda);
    let answer = Answer { phi: &phi, step: 0, solution: &solution, gradient: &answer };
    let hyper = Hyper { lambda, rate: 0.0 };
    let estimate = estimator.estimate(&mut estimator.space(1), &theta, hyper, &[], answer);
    let ratio = estimate.error / distance(answer.gradient, &exact);
    // A twentieth of ‖∇G‖ is left, and a thirtieth of a residual.
    assert!(estimate.is_sound() && (ratio - 1.0).abs() < 0.1, "{ratio}: {estimate:?}");
}

#[test]
#[ignore = "minutes: the count that the claim is made of"]
fn estimates_are_within_a_factor_two_on_a_thousand_tasks() {
    assert!(measure(&[500, 500, 100])[..2].iter().all(|[all, _, share]| *all >= 0.95 && *share >= 0.95));
}
