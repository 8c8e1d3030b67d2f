//! Conjugate gradients against dense solves, the cases that break others included.

use autodiff::{Element, Isa};
use integration::{Numbers, dense_solve, relative_error, symmetric};
use meta::linear::{Cg, LinearOperator, LinearSolver, OnNegativeCurvature, Solution, SolverSpace, Status};

struct Dense<T> {
    a: Vec<T>,
    n: usize,
}

impl<T: Element> LinearOperator<T> for Dense<T> {
    fn dim(&self) -> usize {
        self.n
    }
    fn apply(&mut self, x: &[T], y: &mut [T]) {
        for (y, row) in y.iter_mut().zip(self.a.chunks_exact(self.n)) {
            *y = T::from_f64(row.iter().zip(x).map(|(a, x)| a.to_f64() * x.to_f64()).sum());
        }
    }
}

fn solve(cg: Cg, a: &[f64], b: &[f64]) -> (Vec<f64>, Status, meta::linear::Stats) {
    let mut space = SolverSpace::new(b.len(), Isa::detect().unwrap());
    let Solution { value, status, stats } = cg.solve(&mut Dense { a: a.to_vec(), n: b.len() }, b, &mut space);
    (value.to_vec(), status, stats)
}

/// Eigenvalues from 1 to `condition`, geometrically.
fn spectrum(n: usize, condition: f64) -> Vec<f64> {
    (0..n).map(|i| condition.powf(i as f64 / (n - 1).max(1) as f64)).collect()
}

#[test]
fn well_and_ill_conditioned_systems() {
    for (seed, condition) in [(1, 1.0), (2, 10.0), (3, 1e4), (4, 1e8)] {
        let n = 30;
        let a = symmetric(&spectrum(n, condition), seed);
        let b = Numbers::new(seed).vec(n);
        let (x, status, stats) = solve(Cg::tolerance(1e-12, 2000), &a, &b);
        let expected = dense_solve(&a, &b);
        // A relative residual ε allows an error of κ ε; where 1e-12 is out of reach it must say so.
        assert!(matches!(status, Status::Converged | Status::Stagnated), "{status:?} at {condition}");
        let bound = condition * stats.residual.max(1e-15) * 2.0;
        assert!(relative_error(&x, &expected) <= bound, "condition {condition}: {}", relative_error(&x, &expected));
        assert!(condition > 1e6 || status == Status::Converged);
    }
}

#[test]
fn twice_the_identity_is_solved_in_one_iteration() {
    let n = 5;
    let a: Vec<f64> = (0..n * n).map(|i| if i / n == i % n { 2.0 } else { 0.0 }).collect();
    for cg in [Cg::iterations(1), Cg::iterations(5), Cg::tolerance(1e-14, 10)] {
        let (x, status, stats) = solve(cg, &a, &[1.0, -2.0, 3.0, 0.5, 0.25]);
        assert_eq!(x, [0.5, -1.0, 1.5, 0.25, 0.125]);
        assert_eq!(stats.iterations, 1, "{status:?}");
    }
}

#[test]
fn zero_and_not_finite_right_hand_sides() {
    let a = symmetric(&spectrum(4, 10.0), 1);
    let (x, status, stats) = solve(Cg::iterations(3), &a, &[0.0; 4]);
    assert_eq!((x, status, stats.products), (vec![0.0; 4], Status::Converged, 0));
    let (_, status, _) = solve(Cg::iterations(3), &a, &[1.0, f64::NAN, 0.0, 0.0]);
    assert_eq!(status, Status::NotFinite);
    let (_, status, _) = solve(Cg::iterations(3), &a, &[1.0, f64::INFINITY, 0.0, 0.0]);
    assert_eq!(status, Status::NotFinite);
}

#[test]
fn the_scale_of_the_right_hand_side_changes_no_bit() {
    let n = 12;
    let a: Vec<f32> = symmetric(&spectrum(n, 100.0), 5).iter().map(|&v| v as f32).collect();
    let b: Vec<f32> = Numbers::new(6).vec(n).iter().map(|&v| v as f32).collect();
    let run = |scale: f32| {
        let b: Vec<f32> = b.iter().map(|v| v * scale).collect();
        let mut space = SolverSpace::new(n, Isa::detect().unwrap());
        let solution = Cg::iterations(8).solve(&mut Dense { a: a.clone(), n }, &b, &mut space);
        solution.value.iter().map(|v| v / scale).collect::<Vec<f32>>()
    };
    let one = run(1.0);
    // 2⁻¹⁰⁰ ≈ 8e-31 and 2¹⁰⁰ ≈ 1e30.
    assert_eq!(run(2.0_f32.powi(-100)), one);
    assert_eq!(run(2.0_f32.powi(100)), one);
    let tiny = solve(Cg::tolerance(1e-12, 100), &symmetric(&spectrum(6, 10.0), 2), &[1e-30; 6]);
    assert_eq!(tiny.1, Status::Converged);
    assert!(tiny.0.iter().any(|v| *v != 0.0));
}

#[test]
fn indefinite_systems_are_named_and_policies_kept() {
    let eigenvalues = [-0.7, -0.2, 0.5, 1.0, 2.0, 5.0, 9.0];
    let a = symmetric(&eigenvalues, 8);
    let b = Numbers::new(9).vec(7);
    let (x, status, stats) = solve(Cg::tolerance(1e-10, 100), &a, &b);
    assert!(stats.negative_curvature > 0);
    assert_eq!(status, Status::Converged);
    assert!(relative_error(&x, &dense_solve(&a, &b)) <= 1e-8);
    let stop = Cg::tolerance(1e-10, 100).on_negative_curvature(OnNegativeCurvature::Stop);
    let (last_good, status, stats) = solve(stop, &a, &b);
    assert_eq!((status, stats.negative_curvature), (Status::NegativeCurvature, 1));
    // The last good iterate is the one that the same iterations give.
    assert_eq!(last_good, solve(Cg::iterations(stats.iterations), &a, &b).0);
}

#[test]
fn singular_operators_are_named() {
    let a = vec![0.0; 9];
    let (x, status, _) = solve(Cg::iterations(5), &a, &[1.0, 2.0, 3.0]);
    assert_eq!((x, status), (vec![0.0; 3], Status::Singular));
}

#[test]
fn single_precision_says_when_it_cannot() {
    let n = 20;
    let a: Vec<f32> = symmetric(&spectrum(n, 1e5), 3).iter().map(|&v| v as f32).collect();
    let b: Vec<f32> = Numbers::new(4).vec(n).iter().map(|&v| v as f32).collect();
    let mut space = SolverSpace::new(n, Isa::detect().unwrap());
    let solution = Cg::tolerance(1e-12, 1000).solve(&mut Dense { a, n }, &b, &mut space);
    assert!(matches!(solution.status, Status::Stagnated | Status::Capped), "{:?}", solution.status);
    assert!(solution.stats.residual > 1e-12);
}
