//! Linear solvers against dense solves, the cases that break others included.

use std::sync::Arc;

use autodiff::{Element, Isa};
use integration::{Numbers, dense_solve, relative_error, symmetric};
use meta::error::{Tolerance, TolerantCg};
use meta::linear::{
    Cg, Dense, Fallback, Gmres, LinearOperator, LinearSolver, Minres, Neumann, Nystrom, OnNegativeCurvature, Policy,
    Secant, SecantPairs, Solution, SolverSpace, Stats, Status,
};

/// A, and what it can be asked for beside products.
struct Matrix<T> {
    a: Vec<T>,
    n: usize,
    shift: f64,
    pairs: Option<SecantPairs<T>>,
    gauss_newton: Option<Box<Matrix<T>>>,
}

impl<T: Element> Matrix<T> {
    fn new(a: &[T], n: usize) -> Self {
        Matrix { a: a.to_vec(), n, shift: 0.0, pairs: None, gauss_newton: None }
    }

    /// With the pairs of so many steps of gradient descent on ½xᵀAx.
    fn knowing_pairs(mut self, memory: usize) -> Self {
        let mut pairs = SecantPairs::new(memory.max(1), self.n, Isa::detect().unwrap());
        let mut x: Vec<T> = Numbers::new(11).vec(self.n).into_iter().map(T::from_f64).collect();
        let (mut s, mut y) = (x.clone(), x.clone());
        let trace: f64 = (0..self.n).map(|i| self.a[i * self.n + i].to_f64().abs()).sum();
        for _ in 0..memory {
            self.apply(&x, &mut s);
            s.iter_mut().for_each(|s| *s = T::from_f64(-s.to_f64() / trace));
            self.apply(&s, &mut y);
            pairs.push_conjugate(&s, &y);
            x.iter_mut().zip(&s).for_each(|(x, s)| *x = T::from_f64(x.to_f64() + s.to_f64()));
        }
        self.pairs = Some(pairs);
        self
    }
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
    fn shift(&self) -> f64 {
        self.shift
    }
    fn secant_pairs(&mut self) -> Option<&mut SecantPairs<T>> {
        self.pairs.as_mut()
    }
    fn gauss_newton(&mut self) -> Option<&mut dyn LinearOperator<T>> {
        self.gauss_newton.as_deref_mut().map(|a| a as &mut dyn LinearOperator<T>)
    }
}

type Solver<T> = Box<dyn LinearSolver<T>>;

/// What a solver does with an indefinite operator.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Indefinite {
    /// It solves the system.
    Solves,
    /// It says so.
    Names,
    /// It solves (A + μI) x = b, and says so.
    Shifts,
}

/// A solver in every test that is for all of them.
struct Row<T> {
    name: &'static str,
    tolerance: fn(f64, usize) -> Solver<T>,
    iterations: Option<fn(usize) -> Solver<T>>,
    indefinite: Indefinite,
}

/// Every solver there is: a new one is a row.
#[rustfmt::skip]
fn rows<T: Element>() -> Vec<Row<T>> {
    use Indefinite::{Names, Shifts, Solves};
    fn row<T>(
        name: &'static str,
        tolerance: fn(f64, usize) -> Solver<T>,
        iterations: Option<fn(usize) -> Solver<T>>,
        indefinite: Indefinite,
    ) -> Row<T> {
        Row { name, tolerance, iterations, indefinite }
    }
    vec![
        row("CG", |e, cap| Box::new(Cg::tolerance(e, cap)), Some(|n| Box::new(Cg::iterations(n))), Solves),
        row("CG that stops", |e, cap| Box::new(stops(Cg::tolerance(e, cap))), Some(|n| Box::new(stops(Cg::iterations(n)))), Names),
        row("CG by pairs", |e, cap| Box::new(Cg::tolerance(e, cap).preconditioned(Secant::memory(4))), Some(|n| Box::new(Cg::iterations(n).preconditioned(Secant::memory(4)))), Solves),
        row("CG by Nyström", |e, cap| Box::new(Cg::tolerance(e, cap).preconditioned(Nystrom::rank(6))), Some(|n| Box::new(Cg::iterations(n).preconditioned(Nystrom::rank(6)))), Solves),
        row("CG or MINRES", |e, cap| Box::new(Cg::tolerance(e, cap).or(minres(Minres::tolerance(e, cap)))), Some(|n| Box::new(Cg::iterations(n).or(minres(Minres::iterations(n))))), Solves),
        row("CG or damping", |e, cap| Box::new(Cg::tolerance(e, cap).or(Policy::Damp)), Some(|n| Box::new(Cg::iterations(n).or(Policy::Damp))), Shifts),
        row("CG or larger λ", |e, cap| Box::new(Cg::tolerance(e, cap).or(Policy::RaiseLambda)), Some(|n| Box::new(Cg::iterations(n).or(Policy::RaiseLambda))), Shifts),
        row("CG or Gauss-Newton", |e, cap| Box::new(Cg::tolerance(e, cap).or(Policy::GaussNewton)), Some(|n| Box::new(Cg::iterations(n).or(Policy::GaussNewton))), Names),
        row("CG by Nyström or damping", |e, cap| Box::new(Cg::tolerance(e, cap).preconditioned(Nystrom::rank(6)).or(Policy::Damp)), Some(|n| Box::new(Cg::iterations(n).preconditioned(Nystrom::rank(6)).or(Policy::Damp))), Shifts),
        row("CG by Nyström or MINRES", |e, cap| Box::new(Cg::tolerance(e, cap).preconditioned(Nystrom::rank(6)).or(minres(Minres::tolerance(e, cap)))), Some(|n| Box::new(Cg::iterations(n).preconditioned(Nystrom::rank(6)).or(minres(Minres::iterations(n))))), Solves),
        row("CG by Nyström or dense", |e, cap| Box::new(Cg::tolerance(e, cap).preconditioned(Nystrom::rank(6)).or(Policy::Another(Box::new(Dense)))), None, Solves),
        row("MINRES", |e, cap| Box::new(Minres::tolerance(e, cap)), Some(|n| Box::new(Minres::iterations(n))), Solves),
        row("GMRES", |e, cap| Box::new(Gmres::tolerance(e, cap).restarting_every(40)), Some(|n| Box::new(Gmres::iterations(n))), Solves),
        row("Neumann", |e, cap| Box::new(Neumann::tolerance(e, cap)), Some(|n| Box::new(Neumann::iterations(n))), Names),
        row("Neumann or MINRES", |e, cap| Box::new(Fallback::new(Box::new(Neumann::tolerance(e, cap)), minres(Minres::tolerance(e, cap)))), Some(|n| Box::new(Fallback::new(Box::new(Neumann::iterations(n)), minres(Minres::iterations(n))))), Solves),
        row("dense", |_, _| Box::new(Dense), None, Solves),
    ]
}

fn stops(cg: Cg) -> Cg {
    cg.on_negative_curvature(OnNegativeCurvature::Stop)
}

fn minres<T: Element>(solver: Minres) -> Policy<T> {
    Policy::Another(Box::new(solver))
}

/// Every solver there is.
fn all<T: Element>(tolerance: f64, cap: usize) -> Vec<(&'static str, Solver<T>)> {
    rows().into_iter().map(|row| (row.name, (row.tolerance)(tolerance, cap))).collect()
}

/// Every iteration, to a tolerance.
fn iterations<T: Element>(tolerance: f64, cap: usize) -> Vec<(&'static str, Solver<T>)> {
    all(tolerance, cap).into_iter().filter(|(name, _)| *name != "dense").collect()
}

fn run<T: Element>(solver: &dyn LinearSolver<T>, a: &[T], b: &[T]) -> (Vec<T>, Status, Stats) {
    run_with(solver, &mut Matrix::new(a, b.len()).knowing_pairs(solver.needs().secant_pairs), b, None)
}

fn run_with<T: Element>(
    solver: &dyn LinearSolver<T>,
    a: &mut Matrix<T>,
    b: &[T],
    start: Option<&[T]>,
) -> (Vec<T>, Status, Stats) {
    let mut space = SolverSpace::new(solver.room(), b.len(), Isa::detect().unwrap());
    start.into_iter().for_each(|x0| space.start_from(x0));
    let Solution { value, status, stats } = solver.solve(a, b, &mut space);
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
            let named =
                if name.starts_with("Neumann") && condition > 100.0 { Status::Capped } else { Status::Stagnated };
            // Where 1e-12 is out of reach it must say so.
            assert!(status == Status::Converged || status == named, "{name}: {status:?} at {condition}");
            // A relative residual ε allows an error of κ ε.
            let bound = condition * stats.residual.max(1e-15) * 2.0;
            let error = relative_error(&x, &expected);
            assert!(error <= bound, "{name}, condition {condition}: {error}, {stats:?}");
            assert!(condition > 1e6 || name.starts_with("Neumann") || status == Status::Converged, "{name}");
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
        // To rounding: some normalise the vectors they start from, preconditioners are made of rounded products. Neumann's
        // scale is a bisection to 1e-3.
        let allowed = if name.starts_with("Neumann") { 1e-13 } else { 2e-15 };
        assert!(relative_error(&x, &[0.5, -1.0, 1.5, 0.25, 0.125]) <= allowed, "{name}: {x:?}");
        assert!(stats.iterations == 1 || name.starts_with("Neumann"), "{name}: {status:?} {stats:?}");
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
    let single = |v: Vec<f64>| v.into_iter().map(|v| v as f32).collect::<Vec<f32>>();
    let definite = single(symmetric(&spectrum(n, 100.0), 5));
    let mut eigenvalues = spectrum(n, 100.0);
    (eigenvalues[2], eigenvalues[7]) = (-0.7, -3.0);
    let indefinite = single(symmetric(&eigenvalues, 5));
    let b = single(Numbers::new(6).vec(n));
    for row in rows::<f32>() {
        let mut solvers = vec![(row.tolerance)(1e-4, 100)];
        solvers.extend(row.iterations.map(|make| make(8)));
        for (a, solver) in [&definite, &indefinite].into_iter().flat_map(|a| solvers.iter().map(move |s| (a, s))) {
            let name = row.name;
            let scaled = |scale: f32| {
                let b: Vec<f32> = b.iter().map(|v| v * scale).collect();
                let (x, status, stats) = run(solver.as_ref(), a, &b);
                (x.iter().map(|v| v / scale).collect::<Vec<f32>>(), status, stats)
            };
            let one = scaled(1.0);
            let named = matches!(one.1, Status::NegativeCurvature | Status::Diverges);
            assert!(named || one.0.iter().any(|v| *v != 0.0), "{name}: {one:?}");
            // 2⁻¹⁰⁰ ≈ 8e-31 and 2¹⁰⁰ ≈ 1e30.
            assert_eq!(scaled(2.0_f32.powi(-100)), one, "{name}");
            assert_eq!(scaled(2.0_f32.powi(100)), one, "{name}");
            let tiny = run(solver.as_ref(), &definite, &vec![1e-30; n]);
            assert!(tiny.0.iter().any(|v| *v != 0.0), "{name}");
        }
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

/// A + μI
fn shifted(a: &[f64], mu: f64) -> Vec<f64> {
    let n = a.len().isqrt();
    (0..n * n).map(|i| a[i] + if i / n == i % n { mu } else { 0.0 }).collect()
}

#[test]
fn every_solver_on_random_systems() {
    for seed in 0..12 {
        let mut numbers = Numbers::new(100 + seed);
        let n = 8 + 2 * seed as usize;
        let condition = 10.0_f64.powi(1 + (seed % 3) as i32);
        let mut eigenvalues = spectrum(n, condition);
        let indefinite = seed % 2 == 1;
        if indefinite {
            eigenvalues.iter_mut().step_by(3).for_each(|e| *e = -*e);
        }
        let a = symmetric(&eigenvalues, 100 + seed);
        let b = numbers.vec(n);
        let expected = dense_solve(&a, &b);
        for row in rows::<f64>() {
            let (x, status, stats) = run((row.tolerance)(1e-11, 4000).as_ref(), &a, &b);
            let named = format!("{}, system {seed}: {status:?} {stats:?}", row.name);
            // A relative residual ε allows an error of κ ε.
            let allowed = 2.0 * condition * 1e-11;
            match row.indefinite {
                Indefinite::Names if indefinite => {
                    assert!(matches!(status, Status::NegativeCurvature | Status::Diverges), "{named}");
                    assert!(stats.negative_curvature > 0, "{named}");
                }
                Indefinite::Shifts if indefinite => {
                    assert_eq!(status, Status::Converged, "{named}");
                    assert!(stats.shift > 0.0 && stats.policy_acted && stats.least_curvature < 0.0, "{named}");
                    // It may be near an eigenvalue: what is claimed is the residual.
                    let left = residual(&shifted(&a, stats.shift), &x, &b);
                    assert!(left <= 1.1e-11 * residual(&a, &vec![0.0; n], &b), "{named}");
                }
                // A series shrinks an error by 1 − 1/κ a term.
                _ if row.name.starts_with("Neumann") && condition > 100.0 && !indefinite => {
                    assert_eq!(status, Status::Capped, "{named}")
                }
                _ => {
                    assert_eq!(status, Status::Converged, "{named}");
                    assert!(relative_error(&x, &expected) <= allowed, "{named}");
                    assert!(!stats.policy_acted || indefinite, "{named}");
                    assert_eq!(stats.shift, 0.0, "{named}");
                }
            }
        }
    }
}

/// Whether a status says that the system is not solved.
fn named(status: Status) -> bool {
    !matches!(status, Status::Converged | Status::Finished | Status::NotFinite)
}

#[test]
fn singular_operators_are_named() {
    let b = [1.0, 2.0, 3.0, 4.0, 5.0];
    for (name, solver) in all::<f64>(1e-10, 200) {
        let (x, status, _) = run(solver.as_ref(), &[0.0; 25], &b);
        let stopped = status == Status::NegativeCurvature && ["CG that stops", "CG or Gauss-Newton"].contains(&name);
        assert!(x == vec![0.0; 5] && (status == Status::Singular || stopped), "{name}: A = 0, {status:?}");
        // b is not in the range of A: whatever is returned, nobody may claim to have solved it.
        let a = symmetric(&[0.0, 1.0, 2.0, 3.0, 4.0], 2);
        let (_, status, stats) = run(solver.as_ref(), &a, &b);
        let another = stats.shift > 0.0;
        assert!(another || named(status), "{name}: {status:?}");
        assert!(name != "dense" || status == Status::Singular, "{status:?}");
        // b is in the range of A.
        let consistent: Vec<f64> = a.chunks_exact(5).map(|row| row.iter().sum()).collect();
        let (x, status, stats) = run(solver.as_ref(), &a, &consistent);
        if status == Status::Converged {
            assert!(residual(&shifted(&a, stats.shift), &x, &consistent) <= 1e-9, "{name}");
        } else {
            // A factorisation cannot, and a space exhausted at rounding may say so.
            assert!(named(status), "{name}: {status:?}");
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
        assert!(named(status), "{name}: {status:?}");
        assert!(stats.residual > 1e-12, "{name}");
    }
}

#[test]
fn preconditioners_save_iterations_and_change_no_answer() {
    let n = 60;
    // λ = 0.1 and ten large eigenvalues, as of a network's Hessian.
    let eigenvalues: Vec<f64> =
        (0..n).map(|i| 0.1 + if i < 10 { 1e4 / (1 + i) as f64 } else { 0.5 / i as f64 }).collect();
    let a = symmetric(&eigenvalues, 21);
    let b = Numbers::new(22).vec(n);
    let expected = dense_solve(&a, &b);
    let plain = run(&Cg::tolerance(1e-10, 1000) as &dyn LinearSolver<f64>, &a, &b).2;
    // The solver, its preconditioner's products, and the share of plain CG's iterations that it stays below: 15 steps of
    // descent say less of ten large eigenvalues than 15 random products.
    let solvers: [(Solver<f64>, usize, f64); 3] = [
        (Box::new(Cg::tolerance(1e-10, 1000).preconditioned(Nystrom::rank(15))), 15, 0.5),
        (Box::new(Cg::tolerance(1e-10, 1000).preconditioned(Nystrom::rank(15).shift(0.1).seed(3))), 15, 0.5),
        (Box::new(Cg::tolerance(1e-10, 1000).preconditioned(Secant::memory(15))), 0, 0.7),
    ];
    for (i, (solver, products, share)) in solvers.iter().enumerate() {
        let mut operator = Matrix::new(&a, n).knowing_pairs(solver.needs().secant_pairs);
        operator.shift = 0.1;
        let (x, status, stats) = run_with(solver.as_ref(), &mut operator, &b, None);
        assert_eq!(status, Status::Converged);
        // κ = 1e5, times a residual of 1e-10.
        assert!(relative_error(&x, &expected) <= 1e-5 * 1.1, "{i}: {}", relative_error(&x, &expected));
        assert!(
            stats.iterations as f64 <= share * plain.iterations as f64,
            "{i}: {} of {}",
            stats.iterations,
            plain.iterations
        );
        // The preconditioner's products, the iterations', and one for each true residual.
        assert!(stats.products > products + stats.iterations, "{i}: {stats:?}");
        // The same for any other use of the same space, and no other answer.
        assert_eq!(run_with(solver.as_ref(), &mut operator, &b, None).0, x);
    }
}

#[test]
fn the_matrix_of_secant_pairs_is_symmetric_positive_definite() {
    let n = 8;
    // Indefinite: pairs of negative curvature are left out.
    let a = symmetric(&[-3.0, -1.0, 0.1, 1.0, 5.0, 20.0, 100.0, 400.0], 31);
    let mut operator = Matrix::new(&a, n).knowing_pairs(5);
    let pairs = operator.pairs.as_mut().unwrap();
    assert!(!pairs.is_empty());
    let inverse: Vec<f64> = (0..n)
        .flat_map(|i| {
            let mut v: Vec<f64> = (0..n).map(|j| f64::from(u8::from(i == j))).collect();
            pairs.apply_inverse(&mut v);
            v
        })
        .collect();
    let (mut numbers, size) = (Numbers::new(32), inverse.iter().fold(0.0_f64, |m, v| m.max(v.abs())));
    for i in 0..n * n {
        // 2 × 5 updates of rounding.
        assert!((inverse[i] - inverse[i % n * n + i / n]).abs() <= 1e-13 * size, "{i}");
    }
    for _ in 0..50 {
        let v = numbers.vec(n);
        let mv: Vec<f64> = inverse.chunks_exact(n).map(|row| row.iter().zip(&v).map(|(a, b)| a * b).sum()).collect();
        assert!(v.iter().zip(&mv).map(|(a, b)| a * b).sum::<f64>() > 0.0);
    }
}

/// M = −I
struct Negative;
impl meta::linear::Preconditioner<f64> for Negative {
    fn apply(&self, _: &mut dyn LinearOperator<f64>, _: &mut meta::linear::Held<'_, f64>, v: &mut [f64]) {
        v.iter_mut().for_each(|v| *v = -*v);
    }
}

#[test]
fn a_preconditioner_that_is_not_positive_definite_is_named() {
    let a = symmetric(&spectrum(5, 10.0), 1);
    let (x, status, _) =
        run(&Cg::tolerance(1e-10, 50).preconditioned(Negative) as &dyn LinearSolver<f64>, &a, &[1.0; 5]);
    assert_eq!((x, status), (vec![0.0; 5], Status::Preconditioner));
}

#[test]
fn a_start_changes_the_way_and_not_the_answer() {
    let n = 20;
    let a = symmetric(&spectrum(n, 50.0), 41);
    let b = Numbers::new(42).vec(n);
    let expected = dense_solve(&a, &b);
    let near: Vec<f64> = expected.iter().zip(Numbers::new(43).vec(n)).map(|(x, e)| x + 1e-7 * e).collect();
    for row in rows::<f64>() {
        let name = row.name;
        let solver = (row.tolerance)(1e-9, 2000);
        let solve = |start: Option<&[f64]>| {
            let mut operator = Matrix::new(&a, n).knowing_pairs(solver.needs().secant_pairs);
            run_with(solver.as_ref(), &mut operator, &b, start)
        };
        let cold = solve(None);
        // At the solution, up to a factor: nothing is left to do.
        let scaled: Vec<f64> = expected.iter().map(|x| -3e-7 * x).collect();
        for at in [&expected, &scaled] {
            let (x, status, stats) = solve(Some(at));
            assert!(status == Status::Converged && relative_error(&x, &expected) < 1e-7, "{name}");
            // One to measure the start, one for the true residual.
            assert!(name == "dense" || (stats.iterations, stats.products) == (0, 2), "{name}: {stats:?}");
        }
        let warm = solve(Some(&near));
        assert!(warm.1 == Status::Converged && relative_error(&warm.0, &expected) < 1e-7, "{name}");
        assert!(name == "dense" || warm.2.iterations < cold.2.iterations, "{name}: {:?} {:?}", warm.2, cold.2);
        // A start that says nothing is none.
        for nothing in [0.0, f64::NAN, f64::INFINITY] {
            assert_eq!(solve(Some(&vec![nothing; n])).0, cold.0, "{name}");
        }
        // One solve from it, and the next from 0 again.
        let mut space = SolverSpace::new(solver.room(), n, Isa::detect().unwrap());
        space.start_from(&near);
        let mut operator = Matrix::new(&a, n).knowing_pairs(solver.needs().secant_pairs);
        assert_eq!(solver.solve(&mut operator, &b, &mut space).value, warm.0, "{name}");
        assert_eq!(solver.solve(&mut operator, &b, &mut space).value, cold.0, "{name}");
        // No iteration: the start's own multiple, which is no worse than 0.
        if let Some(make) = row.iterations {
            let mut operator = Matrix::new(&a, n);
            let (x, _, stats) = run_with(make(0).as_ref(), &mut operator, &b, Some(&Numbers::new(44).vec(n)));
            let (size, left) = (residual(&a, &vec![0.0; n], &b), residual(&a, &x, &b));
            assert!(left < size && (left / size - stats.residual).abs() < 1e-12, "{name}: {left} of {size}");
        }
    }
}

#[test]
fn policies_for_indefinite_operators_do_what_they_say() {
    // H + λI with λ = 2 and the least eigenvalue of H −3.4, as of a network with batch normalisation.
    let (n, lambda) = (12, 2.0);
    let h = [-3.4, -1.1, -0.3, 0.0, 0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 12.0, 30.0];
    let a = symmetric(&h.map(|e| e + lambda), 51);
    let b = Numbers::new(52).vec(n);
    let solve = |policy: Policy<f64>| {
        let mut operator = Matrix::new(&a, n);
        operator.shift = lambda;
        let definite = symmetric(&h.map(|e: f64| e.abs() + lambda), 51);
        operator.gauss_newton = Some(Box::new(Matrix::new(&definite, n)));
        let found = run_with(&Cg::tolerance(1e-11, 200).or(policy), &mut operator, &b, None);
        assert_eq!(found.1, Status::Converged);
        assert!(found.2.policy_acted && found.2.negative_curvature > 0);
        // A quotient is never below the least eigenvalue.
        assert!(found.2.least_curvature < 0.0 && found.2.least_curvature >= -1.4 - 1e-12);
        (found.0, found.2)
    };
    // κ of each system times a residual of 1e-11 is below.
    let near = |x: &[f64], a: &[f64]| assert!(relative_error(x, &dense_solve(a, &b)) < 1e-7);
    let (x, stats) = solve(Policy::Another(Box::new(Minres::tolerance(1e-11, 200))));
    near(&x, &a);
    assert_eq!((stats.shift, stats.raised), (0.0, false));
    let (x, stats) = solve(Policy::Damp);
    near(&x, &shifted(&a, stats.shift));
    // The curvature met lies between 0 and −1.4: δ = 0.2 above it, or twice that where more was met later.
    assert!(stats.shift > 0.2 && stats.shift < 2.0 * 1.6 && !stats.raised, "{stats:?}");
    let (x, stats) = solve(Policy::RaiseLambda);
    near(&x, &shifted(&a, stats.shift));
    // λ′ = 2h, h ≤ 3.4 from eight Lanczos steps (its bisection is to 1e-3 of the largest eigenvalue, 32): H + λ′I is
    // positive definite from h = 1.7 on.
    let raised = lambda + stats.shift;
    assert!(stats.raised && raised > 3.4 && raised < 2.0 * 3.5, "{stats:?}");
    let (x, stats) = solve(Policy::GaussNewton);
    near(&x, &symmetric(&h.map(|e| e.abs() + lambda), 51));
    assert_eq!(stats.shift, 0.0);
}

#[test]
fn a_dense_solve_counts_negative_eigenvalues() {
    let a = symmetric(&[-3.0, -0.5, 1.0, 2.0, 7.0], 61);
    let (_, status, stats) = run(&Dense as &dyn LinearSolver<f64>, &a, &[1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!((status, stats.negative_curvature), (Status::Converged, 2));
    assert!((stats.least_curvature + 3.0).abs() < 1e-14);
    // Positive definite, but not as far as f32 can tell; as far as f64 can, it is solved.
    let eigenvalues = [1e-12, 1.0, 2.0, 3.0, 4.0];
    let double = symmetric(&eigenvalues, 62);
    let single: Vec<f32> = double.iter().map(|&v| v as f32).collect();
    assert_ne!(run(&Dense as &dyn LinearSolver<f64>, &double, &[1.0; 5]).1, Status::Singular);
    // What A cannot give is left out, and what that leaves is said: b's part along the eigenvector of 1e-12.
    let (x, status, stats) = run(&Dense as &dyn LinearSolver<f32>, &single, &[1.0; 5]);
    assert_eq!(status, Status::Singular);
    let mut left = [0.0; 5];
    let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    Matrix::new(&double, 5).apply(&x, &mut left);
    let norm = left.iter().map(|ax| (1.0 - ax) * (1.0 - ax)).sum::<f64>().sqrt() / 5.0_f64.sqrt();
    assert!(stats.residual > 0.01 && (norm - stats.residual).abs() < 1e-5, "{norm}, {stats:?}");
}

#[test]
fn what_is_left_of_a_solved_system_has_no_curvature() {
    // In f32, whose smallest numbers times 0.5 are 0: the residual of a system as well-conditioned as these is there
    // after a few dozen iterations, and pᵀAp = 0 says nothing of A.
    let n = 400;
    for (lambda, most) in [(0.5, 1e-6), (0.5, 1e-4), (0.5, 1e-2), (0.3, 0.05), (0.5, 0.5)] {
        let mut random = Numbers::new(71);
        let mut a = vec![0.0_f32; n * n];
        (0..n).for_each(|i| a[i * n + i] = (lambda + most * random.next().abs()) as f32);
        let b: Vec<f32> = random.vec(n).into_iter().map(|v| v as f32).collect();
        let solvers: [Solver<f32>; 4] = [
            Box::new(Cg::iterations(100)),
            Box::new(TolerantCg::new(Arc::new(Tolerance::default()), 100)),
            Box::new(Cg::iterations(100).or(Policy::Damp)),
            Box::new(Neumann::iterations(100)),
        ];
        for solver in solvers {
            let (_, status, stats) = run(&*solver, &a, &b);
            let sound = stats.negative_curvature == 0 && !stats.policy_acted && stats.least_curvature >= 0.0;
            assert!(
                sound && matches!(status, Status::Converged | Status::Finished),
                "{lambda} {most}: {status:?}, {stats:?}"
            );
        }
    }
}

#[test]
fn a_series_whose_scale_was_too_small_is_rescaled() {
    // b has next to nothing of the eigenvector of 1000: eight Lanczos steps in f32 do not see it, the residual grows.
    let n = 12;
    let a: Vec<f64> = (0..n * n)
        .map(|i| {
            if i / n != i % n {
                0.0
            } else if i == 0 {
                1000.0
            } else {
                1.0 + (i / n) as f64 / 8.0
            }
        })
        .collect();
    let mut b = vec![1.0; n];
    b[0] = 1e-9;
    let (x, status, stats) = run(&Neumann::tolerance(1e-12, 40_000) as &dyn LinearSolver<f64>, &a, &b);
    assert_eq!(status, Status::Converged, "{stats:?}");
    assert!(relative_error(&x, &dense_solve(&a, &b)) < 1e-9);
    // In the scale of 1000 a term takes 1/1000 off; in that of the first estimate, 2.4, a few dozen would do if the
    // series did not diverge.
    assert!(stats.iterations > 100, "{stats:?}");
}
