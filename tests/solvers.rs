//! Linear solvers against dense solves, the cases that break others included.

use autodiff::{Element, Isa};
use integration::{Numbers, dense_solve, relative_error, symmetric};
use meta::linear::{
    Cg, Dense, Gmres, LinearOperator, LinearSolver, Minres, Neumann, OnNegativeCurvature, Solution, SolverSpace, Stats,
    Status,
};

struct Matrix<T> {
    a: Vec<T>,
    n: usize,
}

impl<T: Element> LinearOperator<T> for Matrix<T> {
    fn dim(&self) -> usize {
        self.n
    }
    fn apply(&mut self, x: &[T], y: &mut [T]) {
        for (y, row) in y.iter_mut().zip(self.a.chunks_exact(self.n)) {
            *y = T::from_f64(row.iter().zip(x).map(|(a, x)| a.to_f64() * x.to_f64()).sum());
        }
    }
}

type Solver<T> = Box<dyn LinearSolver<T>>;

/// Every iteration, to a tolerance.
fn iterations<T: Element>(tolerance: f64, cap: usize) -> Vec<(&'static str, Solver<T>)> {
    vec![
        ("CG", Box::new(Cg::tolerance(tolerance, cap))),
        ("MINRES", Box::new(Minres::tolerance(tolerance, cap))),
        ("GMRES", Box::new(Gmres::tolerance(tolerance, cap).restarting_every(40))),
        ("Neumann", Box::new(Neumann::tolerance(tolerance, cap))),
    ]
}

/// Every solver there is.
fn all<T: Element>(tolerance: f64, cap: usize) -> Vec<(&'static str, Solver<T>)> {
    let mut all = iterations(tolerance, cap);
    all.push(("dense", Box::new(Dense)));
    all
}

fn run<T: Element>(solver: &dyn LinearSolver<T>, a: &[T], b: &[T]) -> (Vec<T>, Status, Stats) {
    let mut space = SolverSpace::new(solver.room(), b.len(), Isa::detect().unwrap());
    let Solution { value, status, stats } = solver.solve(&mut Matrix { a: a.to_vec(), n: b.len() }, b, &mut space);
    (value.to_vec(), status, stats)
}

fn solve(cg: Cg, a: &[f64], b: &[f64]) -> (Vec<f64>, Status, Stats) {
    run(&cg, a, b)
}

/// Eigenvalues from 1 to `condition`, geometrically.
fn spectrum(n: usize, condition: f64) -> Vec<f64> {
    (0..n).map(|i| condition.powf(i as f64 / (n - 1).max(1) as f64)).collect()
}

#[test]
fn well_and_ill_conditioned_systems() {
    for (seed, condition) in [(1, 1.0), (2, 10.0), (3, 1e3), (4, 1e4), (5, 1e8)] {
        let n = 30;
        let a = symmetric(&spectrum(n, condition), seed);
        let b = Numbers::new(seed).vec(n);
        let expected = dense_solve(&a, &b);
        for (name, solver) in all::<f64>(1e-12, 3000) {
            let (x, status, stats) = run(solver.as_ref(), &a, &b);
            // A series shrinks an error by 1 − 1/κ a term: 3000 are enough up to κ = 100.
            let named = if name == "Neumann" && condition > 100.0 { Status::Capped } else { Status::Stagnated };
            // Where 1e-12 is out of reach it must say so.
            assert!(status == Status::Converged || status == named, "{name}: {status:?} at {condition}");
            // A relative residual ε allows an error of κ ε.
            let bound = condition * stats.residual.max(1e-15) * 2.0;
            let error = relative_error(&x, &expected);
            assert!(error <= bound, "{name}, condition {condition}: {error}, {stats:?}");
            assert!(condition > 1e6 || name == "Neumann" || status == Status::Converged, "{name}");
        }
    }
}

#[test]
fn twice_the_identity_is_solved_in_one_iteration() {
    let n = 5;
    let a: Vec<f64> = (0..n * n).map(|i| if i / n == i % n { 2.0 } else { 0.0 }).collect();
    let mut solvers = all::<f64>(1e-14, 10);
    solvers.push(("CG", Box::new(Cg::iterations(1))));
    solvers.push(("CG", Box::new(Cg::iterations(5))));
    solvers.push(("MINRES", Box::new(Minres::iterations(1))));
    for (name, solver) in solvers {
        let (x, status, stats) = run(solver.as_ref(), &a, &[1.0, -2.0, 3.0, 0.5, 0.25]);
        // To rounding: some normalise the vectors they start from. Neumann's scale is a bisection to 1e-3.
        let allowed = if name == "Neumann" { 1e-13 } else { 1e-15 };
        assert!(relative_error(&x, &[0.5, -1.0, 1.5, 0.25, 0.125]) <= allowed, "{name}: {x:?}");
        assert!(stats.iterations == 1 || name == "Neumann", "{name}: {status:?} {stats:?}");
    }
    assert_eq!(solve(Cg::iterations(5), &a, &[1.0, -2.0, 3.0, 0.5, 0.25]).0, [0.5, -1.0, 1.5, 0.25, 0.125]);
}

#[test]
fn zero_and_not_finite_right_hand_sides() {
    let a = symmetric(&spectrum(4, 10.0), 1);
    for (name, solver) in all::<f64>(1e-10, 100) {
        let (x, status, stats) = run(solver.as_ref(), &a, &[0.0; 4]);
        assert_eq!((x, status, stats.products), (vec![0.0; 4], Status::Converged, 0), "{name}");
        for bad in [f64::NAN, f64::INFINITY] {
            assert_eq!(run(solver.as_ref(), &a, &[1.0, bad, 0.0, 0.0]).1, Status::NotFinite, "{name}");
            let mut broken = a.clone();
            broken[5] = bad;
            assert_eq!(run(solver.as_ref(), &broken, &[1.0; 4]).1, Status::NotFinite, "{name}");
        }
    }
}

#[test]
fn the_scale_of_the_right_hand_side_changes_no_bit() {
    let n = 12;
    let a: Vec<f32> = symmetric(&spectrum(n, 100.0), 5).iter().map(|&v| v as f32).collect();
    let b: Vec<f32> = Numbers::new(6).vec(n).iter().map(|&v| v as f32).collect();
    let mut solvers = all::<f32>(1e-4, 100);
    solvers.push(("8 iterations of CG", Box::new(Cg::iterations(8))));
    solvers.push(("8 iterations of MINRES", Box::new(Minres::iterations(8))));
    solvers.push(("8 iterations of GMRES", Box::new(Gmres::iterations(8))));
    solvers.push(("8 terms", Box::new(Neumann::iterations(8))));
    for (name, solver) in solvers {
        let scaled = |scale: f32| {
            let b: Vec<f32> = b.iter().map(|v| v * scale).collect();
            run(solver.as_ref(), &a, &b).0.iter().map(|v| v / scale).collect::<Vec<f32>>()
        };
        let one = scaled(1.0);
        assert!(one.iter().any(|v| *v != 0.0), "{name}");
        // 2⁻¹⁰⁰ ≈ 8e-31 and 2¹⁰⁰ ≈ 1e30.
        assert_eq!(scaled(2.0_f32.powi(-100)), one, "{name}");
        assert_eq!(scaled(2.0_f32.powi(100)), one, "{name}");
        let tiny = run(solver.as_ref(), &a, &vec![1e-30; n]);
        assert!(tiny.0.iter().any(|v| *v != 0.0), "{name}");
    }
}

/// ‖b − A x‖
fn residual(a: &[f64], x: &[f64], b: &[f64]) -> f64 {
    let row = |(row, b): (&[f64], &f64)| (b - row.iter().zip(x).map(|(a, x)| a * x).sum::<f64>()).powi(2);
    a.chunks_exact(b.len()).zip(b).map(row).sum::<f64>().sqrt()
}

#[test]
fn each_iteration_minimises_what_it_should() {
    let n = 12;
    let (definite, indefinite) = (spectrum(n, 50.0), [-3.0, -1.0, -0.4, 0.3, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0]);
    for (eigenvalues, seed) in [(&definite[..], 3), (&indefinite[..], 4)] {
        let a = symmetric(eigenvalues, seed);
        let b = Numbers::new(seed).vec(n);
        let expected = dense_solve(&a, &b);
        let mut before = f64::INFINITY;
        for k in 1..n {
            // MINRES and GMRES are the same in exact arithmetic: the smallest residual of the same space.
            let minres = run(&Minres::iterations(k) as &dyn LinearSolver<f64>, &a, &b);
            let gmres = run(&Gmres::iterations(k) as &dyn LinearSolver<f64>, &a, &b);
            assert_eq!((minres.2.iterations, gmres.2.iterations), (k, k));
            // MINRES does not orthogonalise again: its vectors lose what converged Ritz values gain, here five digits.
            assert!(relative_error(&minres.0, &gmres.0) < 1e-10, "{k}: {}", relative_error(&minres.0, &gmres.0));
            let now = residual(&a, &minres.0, &b);
            assert!(now <= before * (1.0 + 1e-12), "{k}: ‖r‖ grew from {before} to {now}");
            assert!((now / residual(&a, &[0.0; 12], &b) - minres.2.residual).abs() < 1e-12);
            before = now;
        }
        let end = run(&Gmres::iterations(n) as &dyn LinearSolver<f64>, &a, &b);
        assert!(relative_error(&end.0, &expected) < 1e-12);
    }
    // CG: the error in A's norm, xᵀAx being that norm, falls.
    let a = symmetric(&definite, 3);
    let b = Numbers::new(3).vec(n);
    let expected = dense_solve(&a, &b);
    let mut before = f64::INFINITY;
    for k in 0..n {
        let x = solve(Cg::iterations(k), &a, &b).0;
        let error: Vec<f64> = x.iter().zip(&expected).map(|(x, e)| x - e).collect();
        let ae: Vec<f64> = a.chunks_exact(n).map(|row| row.iter().zip(&error).map(|(a, e)| a * e).sum()).collect();
        let now = error.iter().zip(&ae).map(|(e, ae)| e * ae).sum::<f64>();
        assert!(now < before, "{k}: {now} after {before}");
        before = now;
    }
}

#[test]
fn a_neumann_series_is_its_sum() {
    let n = 6;
    let a = symmetric(&spectrum(n, 5.0), 7);
    let b = Numbers::new(8).vec(n);
    // Its scale, from one term: x = b/s.
    let one = run(&Neumann::iterations(1) as &dyn LinearSolver<f64>, &a, &b).0;
    let s = b[0] / one[0];
    let (mut power, mut sum) = (b.clone(), vec![0.0; n]);
    for _ in 0..9 {
        sum.iter_mut().zip(&power).for_each(|(x, p)| *x += p / s);
        let ap: Vec<f64> = a.chunks_exact(n).map(|row| row.iter().zip(&power).map(|(a, p)| a * p).sum()).collect();
        power.iter_mut().zip(&ap).for_each(|(p, ap)| *p -= ap / s);
    }
    let series = run(&Neumann::iterations(9) as &dyn LinearSolver<f64>, &a, &b);
    assert!(relative_error(&series.0, &sum) < 1e-14);
    assert_eq!(series.2.iterations, 9);
    let indefinite = symmetric(&[-1.0, 0.5, 1.0, 2.0, 3.0, 4.0], 9);
    assert_eq!(run(&Neumann::tolerance(1e-8, 1000) as &dyn LinearSolver<f64>, &indefinite, &b).1, Status::Diverges);
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
    let others: [(Solver<f64>, &str); 3] = [
        (Box::new(Minres::tolerance(1e-10, 100)), "MINRES"),
        (Box::new(Gmres::tolerance(1e-10, 100)), "GMRES"),
        (Box::new(Dense), "dense"),
    ];
    for (solver, name) in others {
        let (x, status, stats) = run(solver.as_ref(), &a, &b);
        assert_eq!(status, Status::Converged, "{name}");
        assert!(relative_error(&x, &dense_solve(&a, &b)) <= 1e-8, "{name}");
        assert!(stats.negative_curvature > 0 || name == "GMRES", "{name}");
    }
    let stop = Cg::tolerance(1e-10, 100).on_negative_curvature(OnNegativeCurvature::Stop);
    let (last_good, status, stats) = solve(stop, &a, &b);
    assert_eq!((status, stats.negative_curvature), (Status::NegativeCurvature, 1));
    // The last good iterate is the one that the same iterations give.
    assert_eq!(last_good, solve(Cg::iterations(stats.iterations), &a, &b).0);
}

#[test]
fn singular_operators_are_named() {
    let b = [1.0, 2.0, 3.0, 4.0, 5.0];
    for (name, solver) in all::<f64>(1e-10, 200) {
        let (x, status, _) = run(solver.as_ref(), &[0.0; 25], &b);
        assert_eq!((x, status), (vec![0.0; 5], Status::Singular), "{name}: A = 0");
        // b is not in the range of A: whatever is returned, nobody may claim to have solved it.
        let a = symmetric(&[0.0, 1.0, 2.0, 3.0, 4.0], 2);
        let (_, status, _) = run(solver.as_ref(), &a, &b);
        assert!(
            matches!(status, Status::Singular | Status::Stagnated | Status::Capped | Status::Diverges),
            "{name}: {status:?}"
        );
        // b is in the range of A.
        let consistent: Vec<f64> = a.chunks_exact(5).map(|row| row.iter().sum()).collect();
        let (x, status, _) = run(solver.as_ref(), &a, &consistent);
        if status == Status::Converged {
            assert!(residual(&a, &x, &consistent) <= 1e-9, "{name}");
        } else {
            // A factorisation cannot, and a space exhausted at rounding may say so.
            assert!(matches!(status, Status::Singular | Status::Stagnated | Status::Diverges), "{name}: {status:?}");
        }
    }
}

#[test]
fn single_precision_says_when_it_cannot() {
    let n = 20;
    let a: Vec<f32> = symmetric(&spectrum(n, 1e5), 3).iter().map(|&v| v as f32).collect();
    let b: Vec<f32> = Numbers::new(4).vec(n).iter().map(|&v| v as f32).collect();
    for (name, solver) in iterations::<f32>(1e-12, 1000) {
        let (_, status, stats) = run(solver.as_ref(), &a, &b);
        assert!(matches!(status, Status::Stagnated | Status::Capped | Status::Diverges), "{name}: {status:?}");
        assert!(stats.residual > 1e-12, "{name}");
    }
}
