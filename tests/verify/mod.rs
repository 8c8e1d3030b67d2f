//! Verification finds what is wrong, whatever the model, and finds nothing where nothing is.

mod approximations;
mod steps;

use autodiff::Var;
use integration::{Owned, initial};
use meta::linear::{Cg, LinearOperator, LinearSolver, Parts, Room, Solution, SolverSpace, Stats, Status};
use meta::method::{FirstOrder, Implicit, InnerStop, Keep, Method};
use meta::problem::{At, DataSpec, FewShot, Problem};
use meta::tasks::{Glyphs, Sinusoid, TaskStream};
use meta::verify::{Engine, Findings, Own, Reference, Settings, SolverName, SolverStop, verify};
use nn::Model;

/// A model with parameters and a task, in f64.
struct Case {
    problem: FewShot,
    theta: Vec<f64>,
    task: Owned<f64>,
}

impl Case {
    fn new(spec: &str, seed: u64, freezes: impl Fn(&str) -> bool) -> Case {
        let model: Model = spec.parse().unwrap();
        let stream: Box<dyn TaskStream> = if model.classifies() {
            Box::new(Glyphs::new(seed, meta::tasks::FewShot { ways: 3, shots: 1, queries: 2 }).unwrap())
        } else {
            Box::new(Sinusoid::new(seed, 10, 10).unwrap())
        };
        let (theta, task) = (initial(&model, seed), Owned::of(stream.as_ref(), 0));
        let (support, query) = (stream.shape().support, stream.shape().query);
        Case { problem: FewShot::new(model, support, query, true).freezing(freezes), theta, task }
    }

    fn verify(&self, engine: &dyn Engine, settings: &Settings) -> [Findings; 2] {
        verify(&Reference::new(&self.problem), engine, &self.theta, &[&self.task.args()], settings)
    }

    /// Asserts that what is wrong in an engine is seen under that name; all that disagrees.
    #[track_caller]
    fn is_named(&self, engine: &dyn Engine, seen: &str) -> Vec<String> {
        let found = self.verify(engine, &Settings::default());
        let said: Vec<String> = found.iter().flat_map(Findings::disagreements).collect();
        assert!(said.iter().any(|line| line.contains(seen)), "{seen} is wrong and went unseen: {said:?}");
        said
    }
}

const CONV: &str = "conv4:channels=3,stride=2,ways=3,image=1x28x28";

/// Smooth and not, dense and convolutional; some with frozen parameters, whose names start so.
const MODELS: [(&str, &str); 5] = [
    ("mlp:1-6-6-1,act=tanh", "none"),
    ("mlp:1-10-10-1", "none"),
    ("mlp:1-6-6-1,act=softplus", "fc1"),
    (CONV, "none"),
    (CONV, "conv"),
];

fn cases() -> impl Iterator<Item = (String, Case)> {
    MODELS.into_iter().map(|(spec, frozen)| {
        (format!("{spec} freezing {frozen}"), Case::new(spec, 3, move |name| name.starts_with(frozen)))
    })
}

// The faults. Each is an engine that is wrong in one thing.

/// An engine whose problem is another one.
struct WrongProblem<P>(P);

impl<P: Problem> Engine for WrongProblem<P> {
    fn problem(&self) -> &dyn Problem {
        &self.0
    }
}

/// The few-shot problem with another prox term.
struct Prox {
    problem: FewShot,
    term: for<'t> fn(lambda: Var<'t>, square: Var<'t>) -> Var<'t>,
}

impl Problem for Prox {
    fn dim(&self) -> usize {
        self.problem.dim()
    }
    fn data(&self) -> Vec<DataSpec> {
        self.problem.data()
    }
    fn inner<'t>(&self, at: &At<'t>) -> Var<'t> {
        let away = at.phi - at.theta;
        self.problem.support_loss(at) + (self.term)(at.lambda, away.dot(away))
    }
    fn outer<'t>(&self, at: &At<'t>) -> Var<'t> {
        self.problem.outer(at)
    }
}

/// Conjugate gradients that returns the iterate before the last.
struct Previous(SolverStop);

impl LinearSolver<f64> for Previous {
    fn room(&self) -> Room {
        LinearSolver::<f64>::room(&Cg::iterations(1))
    }
    fn solve<'s>(
        &self,
        a: &mut dyn LinearOperator<f64>,
        b: &[f64],
        space: &'s mut SolverSpace<f64>,
    ) -> Solution<'s, f64> {
        let full = match self.0 {
            SolverStop::Iterations(n) => Cg::iterations(n),
            SolverStop::Tolerance(relative, cap) => Cg::tolerance(relative, cap),
        };
        let Solution { status, stats, .. } = full.solve(a, b, space);
        let before = Cg::iterations(stats.iterations.saturating_sub(1)).solve(a, b, space);
        Solution { value: before.value, status, stats }
    }
}

/// Conjugate gradients with p = r + β p from the residual before the step.
struct Stale(SolverStop);

impl LinearSolver<f64> for Stale {
    fn room(&self) -> Room {
        Room { vectors: 3, scalars: 0 }
    }
    fn solve<'s>(
        &self,
        a: &mut dyn LinearOperator<f64>,
        b: &[f64],
        space: &'s mut SolverSpace<f64>,
    ) -> Solution<'s, f64> {
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
        let Parts { x, r, vectors, .. } = space.parts();
        let [p, ap, old] = vectors else { unreachable!() };
        x.fill(0.0);
        r.copy_from_slice(b);
        p.copy_from_slice(b);
        let mut stats = Stats::default();
        let (cap, target) = match self.0 {
            SolverStop::Iterations(n) => (n, 0.0),
            SolverStop::Tolerance(relative, cap) => (cap, relative * dot(b, b).sqrt()),
        };
        while stats.iterations < cap && dot(r, r).sqrt() > target {
            a.apply(p, ap);
            stats.products += 1;
            let rr = dot(r, r);
            let alpha = rr / dot(p, ap);
            old.copy_from_slice(r);
            x.iter_mut().zip(&*p).for_each(|(x, p)| *x += alpha * p);
            r.iter_mut().zip(&*ap).for_each(|(r, ap)| *r -= alpha * ap);
            let beta = dot(r, r) / rr;
            p.iter_mut().zip(&*old).for_each(|(p, r)| *p = r + beta * *p);
            stats.iterations += 1;
        }
        let status = if dot(r, r).sqrt() <= target { Status::Converged } else { Status::Capped };
        Solution { value: x, status, stats }
    }
}

/// Solves A + δ instead of A.
struct Damped(Box<dyn LinearSolver<f64>>, f64);

struct Shifted<'a>(&'a mut dyn LinearOperator<f64>, f64);

impl LinearOperator<f64> for Shifted<'_> {
    fn dim(&self) -> usize {
        self.0.dim()
    }
    fn apply(&mut self, x: &[f64], y: &mut [f64]) {
        self.0.apply(x, y);
        y.iter_mut().zip(x).for_each(|(y, x)| *y += self.1 * x);
    }
}

impl LinearSolver<f64> for Damped {
    fn room(&self) -> Room {
        self.0.room()
    }
    fn solve<'s>(
        &self,
        a: &mut dyn LinearOperator<f64>,
        b: &[f64],
        space: &'s mut SolverSpace<f64>,
    ) -> Solution<'s, f64> {
        self.0.solve(&mut Shifted(a, self.1), b, space)
    }
}

/// Where a wrong solver is put in.
struct WrongSolver<'p> {
    problem: &'p FewShot,
    solver: fn(SolverStop) -> Box<dyn LinearSolver<f64>>,
}

impl Engine for WrongSolver<'_> {
    fn problem(&self) -> &dyn Problem {
        self.problem
    }
    fn solver(&self, name: SolverName, stop: SolverStop) -> Box<dyn LinearSolver<f64>> {
        match name {
            SolverName::Cg => (self.solver)(stop),
            _ => Own(self.problem).solver(name, stop),
        }
    }
}

/// Damping that reaches every solver.
struct DampedEverywhere<'p>(&'p FewShot);

impl Engine for DampedEverywhere<'_> {
    fn problem(&self) -> &dyn Problem {
        self.0
    }
    fn implicit(&self, stop: InnerStop, solver: Box<dyn LinearSolver<f64>>) -> Box<dyn Method<f64>> {
        Box::new(Implicit::new(self.0, stop, Box::new(Damped(solver, 10.0))))
    }
}

/// A first-order gradient in place of the unrolled one.
struct FirstOrderOnly<'p>(&'p FewShot);

impl Engine for FirstOrderOnly<'_> {
    fn problem(&self) -> &dyn Problem {
        self.0
    }
    fn unrolled(&self, steps: usize, _: Keep) -> Box<dyn Method<f64>> {
        Box::new(FirstOrder::new(self.0, steps))
    }
}

#[track_caller]
fn is_caught(name: &str, case: &Case, fault: &str, engine: &dyn Engine) {
    let found = case.verify(engine, &Settings::default());
    assert!(found.iter().any(|f| !f.is_sound()), "{name}: {fault} went unseen");
}

#[test]
fn every_fault_is_caught_on_every_model() {
    for (name, case) in cases() {
        let problem = &case.problem;
        let solver = |solver| WrongSolver { problem, solver };
        let prox = |term| WrongProblem(Prox { problem: problem.clone(), term });
        let faults: [(&str, &dyn Engine); 8] = [
            ("CG returning the previous iterate", &solver(|stop| Box::new(Previous(stop)))),
            ("CG's direction from a stale residual", &solver(|stop| Box::new(Stale(stop)))),
            ("the prox term left out", &prox(|_, square| 0.0 * square)),
            ("a prox term without its ½", &prox(|lambda, square| lambda * square)),
            ("damping added to the operator", &DampedEverywhere(problem)),
            // At the default λ this is right: it shows at the other.
            ("λ silently a constant", &prox(|_, square| 0.5 * 2.0 * square)),
            ("a first-order gradient as second order", &FirstOrderOnly(problem)),
            (
                "damping in CG alone",
                &WrongSolver {
                    problem,
                    solver: |stop| Box::new(Damped(Own(&Nothing).solver(SolverName::Cg, stop), 0.1)),
                },
            ),
        ];
        for (fault, engine) in faults {
            is_caught(&name, &case, fault, engine);
        }
        if !problem.adapts().iter().zip(&FewShot::clone(problem).freezing(|_| false).adapts()).all(|(a, b)| a == b) {
            // The prox term holds frozen parameters where they are only if the loss does not see them move.
            let thawed = problem.clone().freezing(|_| false);
            is_caught(&name, &case, "frozen parameters counted in the product", &WrongProblem(thawed));
        }
    }
}

/// For engines of which nothing but the solvers is wanted.
struct Nothing;

impl Problem for Nothing {
    fn dim(&self) -> usize {
        0
    }
    fn data(&self) -> Vec<DataSpec> {
        Vec::new()
    }
    fn inner<'t>(&self, _: &At<'t>) -> Var<'t> {
        unreachable!("has no loss")
    }
    fn outer<'t>(&self, _: &At<'t>) -> Var<'t> {
        unreachable!("has no loss")
    }
}

/// What is right is not called wrong: at several seeds, λ, numbers and sizes of steps, sensible or not.
fn finds_nothing(models: &[(&str, &str)], seeds: &[u64]) {
    for &(spec, frozen) in models {
        for &seed in seeds {
            let case = Case::new(spec, seed, |name| name.starts_with(frozen));
            let usual = Settings { seed, ..Settings::default() };
            for settings in [
                usual,
                Settings { lambda: 0.01, ..usual },
                Settings { lambda: 1000.0, steps: 1, ..usual },
                Settings { dense: 0, steps: 3, ..usual },
                Settings { rate: Some(0.1), ..usual },
                Settings { rate: Some(10.0), steps: 30, ..usual },
            ] {
                for found in case.verify(&Own(&case.problem), &settings) {
                    assert!(found.is_sound(), "{spec}, {settings:?}: {:?}", found.disagreements());
                    // And it does say something, unless the steps leave the finite numbers.
                    let says = found.count("agree");
                    assert!(says >= 30 || settings.rate.is_some() || settings.lambda < 1.0, "{spec}: {says}");
                }
            }
        }
    }
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    finds_nothing(&MODELS[..3], &[1, 2, 3, 4]);
}

#[test]
fn nothing_is_found_in_convolutional_networks() {
    finds_nothing(&MODELS[3..], &[1, 3]);
}

/// What cannot be compared is said to be so, and why.
#[test]
fn reasons_are_given() {
    let reasons = |case: &Case, settings: &Settings| {
        let found = case.verify(&Own(&case.problem), settings);
        let reason = |c: &meta::verify::Comparison| match &c.verdict {
            meta::verify::Verdict::NotComparable(reason) => reason.clone(),
            _ => String::new(),
        };
        found[0].comparisons().map(reason).collect::<Vec<String>>().join("\n")
    };
    let relu = Case::new("mlp:1-10-10-1", 1, |_| false);
    assert!(reasons(&relu, &Settings::default()).contains("kinks"));
    let conv = Case::new(CONV, 1, |_| false);
    assert!(reasons(&conv, &Settings { lambda: 0.01, ..Settings::default() }).contains("indefinite"));
    let smooth = Case::new("mlp:1-6-6-1,act=tanh", 1, |_| false);
    assert!(reasons(&smooth, &Settings { rate: Some(10.0), ..Settings::default() }).contains("not contractive"));
    assert!(reasons(&smooth, &Settings::default()).contains("evolution strategies are stochastic"));
    assert!(reasons(&smooth, &Settings { dense: 0, ..Settings::default() }).contains("no matrix"));
}
