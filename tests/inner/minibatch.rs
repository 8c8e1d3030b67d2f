//! What each step sees: a pure function of its number.

use integration::{Owned, Values, gradient, relative_error, sinusoid};
use meta::inner::Hyper;
use meta::method::{Keep, Unrolled};
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
