//! What each step sees: a pure function of its number.

use autodiff::Arg;
use integration::{Owned, Values, gradient, relative_error, sinusoid};
use meta::error::Estimator;
use meta::inner::{Descent, Hyper, InnerSolver, InnerStop, Lbfgs};
use meta::linear::{Cg, LinearOperator, LinearSolver, Needs, Room, Solution, SolverSpace};
use meta::method::{Implicit, Keep, Unrolled};
use meta::problem::{FewShot, Minibatch, Problem};

use super::task::glyphs;

#[test]
fn rows_are_distinct_repeatable_and_all_seen() {
    let minibatch = Minibatch::drawn(3, 7, 5);
    let rows = |k: usize| {
        let mut rows = [0; 3];
        (minibatch.at)(k, &mut rows);
        rows
    };
    let mut seen = [false; 7];
    for k in 0..40 {
        let [a, b, c] = rows(k);
        assert!(a != b && b != c && a != c && rows(k) == [a, b, c]);
        rows(k).iter().for_each(|&row| seen[row as usize] = true);
    }
    assert_eq!(seen, [true; 7]);
    assert!((0..40).any(|k| rows(k) != rows(0)));
}

/// The task with only these support rows.
fn only(data: &Owned<f64>, rows: &[u32]) -> Owned<f64> {
    let pick = |i: usize| match &data.0[i] {
        Values::Floats(v) => {
            let width = v.len() / if i == 0 { support(data) } else { v.len() };
            Values::Floats(rows.iter().flat_map(|&r| v[r as usize * width..][..width].to_vec()).collect())
        }
        Values::Indices(v) => Values::Indices(rows.iter().map(|&r| v[r as usize]).collect()),
    };
    let copy = |i: usize| match &data.0[i] {
        Values::Floats(v) => Values::Floats(v.clone()),
        Values::Indices(v) => Values::Indices(v.clone()),
    };
    Owned(vec![pick(0), pick(1), copy(2), copy(3)])
}

fn support(data: &Owned<f64>) -> usize {
    match &data.0[1] {
        Values::Floats(v) => v.len(),
        Values::Indices(v) => v.len(),
    }
}

#[test]
fn a_step_on_a_minibatch_is_a_step_on_a_task_of_those_rows() {
    let conv = "conv4:channels=3,stride=2,ways=3,image=1x28x28,act=softplus";
    for (problem, theta, data) in [sinusoid("mlp:1-8-1,act=tanh", true, 3), glyphs::<f64>(conv, true, 3)] {
        let hyper = Hyper { lambda: 0.3, rate: 0.1 };
        let small = problem.clone().with_minibatch(4, 11);
        let mut rows = [0; 4];
        (small.minibatch().unwrap().at)(0, &mut rows);
        let (g, report) = gradient(&Unrolled::new(&small, 1, Keep::Everything), &theta, hyper, &data.args());
        let four = FewShot::new(problem.model().clone(), 4, problem.rows().1, true);
        let (expected, whole) =
            gradient(&Unrolled::new(&four, 1, Keep::Everything), &theta, hyper, &only(&data, &rows).args());
        // The soft targets' loss sums in another order: rounding of a forward and two backward passes.
        assert!(relative_error(&g, &expected) <= 1e-12, "{}", relative_error(&g, &expected));
        assert!((report.first_inner - whole.first_inner).abs() <= 1e-14 * whole.first_inner.abs().max(1.0));
    }
}

/// A linear model of eight points, of which each step sees one; steps 0 and 1 see different ones.
fn one_point_each() -> (FewShot, usize) {
    let problem = |seed| FewShot::new("mlp:1-1".parse().unwrap(), 8, 8, true).with_minibatch(1, seed);
    let row = |seed: u64, k: usize| {
        let mut row = [0];
        (problem(seed).minibatch().unwrap().at)(k, &mut row);
        row[0] as usize
    };
    let seed = (0..).find(|&seed| row(seed, 0) != row(seed, 1)).unwrap();
    (problem(seed), row(seed, 0))
}

const POINTS: [f64; 8] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
const HYPER: Hyper = Hyper { lambda: 1.0, rate: 0.01 };

/// Asserts that the Gauss-Newton matrix is the Hessian, as it is of a linear model on the same rows.
struct SameRows;

impl LinearSolver<f64> for SameRows {
    fn room(&self) -> Room {
        LinearSolver::<f64>::room(&Cg::iterations(1))
    }
    fn needs(&self) -> Needs {
        Needs { gauss_newton: true, ..Needs::default() }
    }
    fn solve<'s>(
        &self,
        a: &mut dyn LinearOperator<f64>,
        b: &[f64],
        space: &'s mut SolverSpace<f64>,
    ) -> Solution<'s, f64> {
        let [ones, mut h, mut g] = [1.0, 0.0, 0.0].map(|value| vec![value; b.len()]);
        a.apply(&ones, &mut h);
        a.gauss_newton().unwrap().apply(&ones, &mut g);
        assert!(relative_error(&g, &h) < 1e-12, "{g:?}, {h:?}");
        Cg::iterations(1).solve(a, b, space)
    }
}

#[test]
fn what_is_asked_after_a_solve_is_of_the_rows_it_ended_with() {
    let (problem, _) = one_point_each();
    let mut theta = vec![0.0; problem.dim()];
    theta[0] = 0.3;
    let ones = [1.0; 8];
    let data = [&POINTS, &ones, &POINTS, &ones].map(|values| Arg::Floats(values));
    let solver = |name| -> Box<dyn InnerSolver<f64>> {
        match name {
            "given" => Box::new(Descent::gradient(InnerStop::Steps(1))),
            "automatic" => Box::new(Descent::automatic(InnerStop::Steps(1))),
            _ => Box::new(Lbfgs::new(InnerStop::Steps(1))),
        }
    };
    for name in ["given", "automatic", "lbfgs"] {
        let solver = || solver(name);
        gradient(&Implicit::with_solver(&problem, solver(), Box::new(SameRows)), &theta, HYPER, &data);
        let cg = || Box::new(Cg::tolerance(1e-13, 50));
        let method = Implicit::with_solver(&problem, solver(), cg()).estimating(Estimator::new(&problem, cg()));
        let estimate = gradient(&method, &theta, HYPER, &data).1.estimate.unwrap();
        assert!(estimate.linear_residual < 1e-9, "{}", estimate.linear_residual);
    }
}

#[test]
fn a_minibatch_that_fits_does_not_end_a_fixed_number_of_steps() {
    let (problem, row) = one_point_each();
    let mut y = [1.0; 8];
    y[row] = 0.0;
    let data = [&POINTS, &y, &POINTS, &y].map(|values| Arg::Floats(values));
    let method = Implicit::new(&problem, InnerStop::Steps(5), Box::new(Cg::iterations(2)));
    let report = gradient(&method, &vec![0.0; problem.dim()], HYPER, &data).1;
    assert_eq!((report.steps, report.first_gradient), (5, 0.0));
    assert!(report.inner_gradient > 0.0);
}
