//! A step size that is safe by itself.

use integration::{Case, Quadratic, gradient, relative_error};
use meta::inner::{Descent, Hyper, InnerStatus, InnerStop};
use meta::linear::{Cg, Secant};
use meta::method::{Implicit, Keep, Unrolled};

use super::quadratic::ByHand;

#[test]
fn where_a_fixed_rate_diverges_the_automatic_one_converges() {
    let hyper = Hyper { lambda: 2.0, rate: 0.1 };
    for largest in [40.0, 400.0] {
        let case = Case::new(&[0.5, 3.0, 11.0, largest - 2.0], 5);
        let problem = Quadratic { dim: 4 };
        let run = |solver: Descent| {
            let method = Implicit::<f64>::with_solver(&problem, Box::new(solver), Box::new(Cg::tolerance(1e-13, 100)));
            gradient(&method, &case.theta, hyper, &case.data())
        };
        let stop = InnerStop::Gradient { gradient: 1e-11, cap: 10_000 };
        // (1 − 0.1 · 40)ᵏ = (−3)ᵏ
        let (_, fixed) = run(Descent::gradient(InnerStop::Steps(30)));
        assert!(fixed.last_inner > 1e6 * fixed.first_inner.abs(), "{fixed:?}");
        let (g, report) = run(Descent::automatic(stop));
        assert_eq!(report.inner_status, Some(InnerStatus::Converged), "{report:?}");
        // 1/L with L at most some above the largest: the slowest mode of 2.5 falls by 1 − 2.5/(1.5 · largest) a step.
        let bound = (1e-13_f64).ln() / (1.0 - 2.5 / (1.5 * largest)).ln();
        assert!((report.steps as f64) < bound, "{report:?}");
        let expected = case.exact(hyper.lambda);
        assert!(relative_error(&g, &expected) <= 1e-10, "{}", relative_error(&g, &expected));

        // With a gradient kept in the state for a preconditioner it is the same descent.
        let by = Cg::tolerance(1e-13, 100).preconditioned(Secant::memory(2));
        let method = Implicit::<f64>::with_solver(&problem, Box::new(Descent::automatic(stop)), Box::new(by));
        let (g, watched) = gradient(&method, &case.theta, hyper, &case.data());
        assert_eq!((watched.steps, watched.inner_status), (report.steps, report.inner_status));
        assert!(relative_error(&g, &expected) <= 1e-10, "{}", relative_error(&g, &expected));
    }
}

#[test]
fn through_unrolled_steps_it_is_a_constant_of_the_task() {
    let case = Case::new(&[0.5, 3.0, 11.0, 38.0], 6);
    let hyper = Hyper { lambda: 2.0, rate: 0.1 };
    let problem = Quadratic { dim: 4 };
    // Four dimensions are four steps of Lanczos: L is 1.1 times the largest eigenvalue, 40, to rounding.
    let rate = 1.0 / 44.0;
    let expected = case.through_momentum(hyper, [0.0, 1.0, 0.0], |_| rate, 30);
    let mut first: Option<Vec<f64>> = None;
    for keep in [Keep::Everything, Keep::Iterates, Keep::Checkpoints(3)] {
        let method = Unrolled::automatic(&problem, 30, keep);
        let (g, report) = gradient(&method, &case.theta, hyper, &case.data());
        assert!(report.last_inner < report.first_inner);
        assert!(relative_error(&g, &expected) <= 1e-10, "{}", relative_error(&g, &expected));
        assert_eq!(first.get_or_insert_with(|| g.clone()), &g, "{keep:?}");
        // Lanczos' start and four products; one way forward to see G fall, its end included, and the one that counts.
        assert_eq!((report.inner_products, report.evaluations, report.steps), (4, 1 + 31 + 30, 30));
    }
}
