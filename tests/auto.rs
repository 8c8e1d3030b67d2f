//! Choosing a method: what a survey measures, and what is chosen by it.

use integration::{Case, Quadratic, gradient, sinusoid};
use meta::inner::{GradientDescent, Hyper, Momentum};
use meta::linear::Cg;
use meta::method::{Choice, Implicit, InnerStop, Keep, Method, Survey, Unrolled, decide};
use meta::problem::Problem;

const HYPER: Hyper = Hyper { lambda: 0.8, rate: 0.2 };

/// A survey of one task, and what follows from it.
fn chosen(problem: &dyn Problem, steps: usize, budget: Option<usize>, case: &Case, hyper: Hyper) -> Choice {
    let mut survey = Survey::<f64>::new(problem, GradientDescent, steps);
    survey.task(&case.theta, hyper, &case.data());
    let situation = survey.situation(hyper, budget);
    // Five dimensions are exhausted in five products: the ends of the spectrum are exact.
    assert!((situation.smallest - (0.3 + hyper.lambda)).abs() <= 1e-10, "{situation:?}");
    assert!((situation.largest - (4.0 + hyper.lambda)).abs() <= 1e-10, "{situation:?}");
    decide(&situation).unwrap().choice
}

/// A line through ten points has two unknowns and a definite Hessian, whatever lies between parameters in memory.
#[test]
fn a_survey_looks_at_unknowns_alone() {
    let (problem, theta, task) = sinusoid("mlp:1-1", false, 3);
    let hyper = Hyper { lambda: 0.0, rate: 0.01 };
    let mut survey = Survey::<f64>::new(&problem, GradientDescent, 5);
    survey.task(&theta, hyper, &task.args());
    let situation = survey.situation(hyper, None);
    assert_eq!(situation.dim, 2);
    assert!(0.0 < situation.smallest && situation.smallest < situation.largest, "{situation:?}");
}

#[test]
fn what_auto_chooses_is_that_method_bit_for_bit() {
    let case = Case::new(&[0.3, 0.9, 1.7, 2.5, 4.0], 1);
    let problem = Quadratic { dim: 5 };
    let room = |keep| Unrolled::<f64>::new(&problem, 40, keep).bytes();
    let implicit = || Implicit::new(&problem, InnerStop::Steps(40), Box::new(Cg::iterations(5)));
    // 0.78⁴⁰ is below a hundredth, 0.985⁴⁰ is not.
    let (fast, slow) = (HYPER, Hyper { rate: 0.0137, ..HYPER });
    let as_method = |method| -> Box<dyn Method<f64>> { method };
    let cases = [
        (fast, None, Choice::Cg(5), as_method(Box::new(implicit()))),
        (slow, None, Choice::Unrolled(Keep::Everything), Box::new(Unrolled::new(&problem, 40, Keep::Everything))),
        (
            slow,
            Some(room(Keep::Checkpoints(7))),
            Choice::Unrolled(Keep::Checkpoints(7)),
            Box::new(Unrolled::new(&problem, 40, Keep::Checkpoints(7))),
        ),
    ];
    for (hyper, budget, expected, method) in cases {
        let choice = chosen(&problem, 40, budget, &case, hyper);
        assert_eq!(choice, expected);
        let own = choice.method::<f64>(&problem, GradientDescent, 40);
        assert!(budget.is_none_or(|budget| own.bytes() <= budget));
        let of = |method: &dyn Method<f64>| gradient(method, &case.theta, hyper, &case.data());
        assert_eq!(of(own.as_ref()), of(method.as_ref()));
    }
}

/// Truncation goes by how plain descent forgets: of another step nothing is known, and nothing is left out.
#[test]
fn steps_that_remember_are_not_truncated_by_how_plain_ones_forget() {
    let case = Case::new(&[3.0, 3.0, 3.0, 3.0, 3.0], 3);
    let problem = Quadratic { dim: 5 };
    let (steps, hyper) = (40, Hyper { lambda: 1.0, rate: 0.1 });
    let looked = |mut survey: Survey<f64>| {
        survey.task(&case.theta, hyper, &case.data());
        survey.situation(hyper, None)
    };
    assert_eq!(looked(Survey::new(&problem, GradientDescent, steps)).rate, Some(0.1));
    assert_eq!(looked(Survey::new(&problem, Momentum::new(0.9), steps)).rate, None);
}
