//! Differentiating through training, in two dimensions: the meta-gradient five ways, and how each goes wrong.
//!
//! ```sh
//! cargo run --release -p meta --example bilevel                    # tells the story and writes target/bilevel.html
//! cargo run --release -p meta --example bilevel -- --open          # and opens that page in the browser
//! cargo run --release -p meta --example bilevel -- some/page.html  # writes it elsewhere
//! ```
//!
//! Read from here to the end: the problem, training, the exact answer, five ways to it, four ways to lose it.
//! Every method is the one of [`meta::method`]; what is exact is derived by hand in `task.rs`. The same problem is
//! worked through, with the derivations, in [`meta::tutorial`].

mod page;
mod plot;
mod task;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use autodiff::Stage;
use meta::Report;
use meta::inner::{Derivative, GradientDescent, Hyper, InnerPlan, Inputs};
use meta::linear::{Cg, OnNegativeCurvature};
use meta::method::{FirstOrder, Implicit, InnerStop, Keep, Method, Reptile, Unrolled};
use task::{Exact, Little, Point, Task, eigenvalues, minus, norm};

fn main() -> ExitCode {
    match options().and_then(|(page, open)| write_and_open(&page, &story(), open)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            eprintln!("{line}");
            ExitCode::FAILURE
        }
    }
}

/// Everything the page draws.
struct Story {
    five: FiveWays,
    few_steps: Vec<Steps>,
    small_lambda: Vec<Pull>,
    narrow: Narrow,
    valleys: Valleys,
}

/// Tells the story on standard output.
fn story() -> Story {
    Story {
        five: five_ways(),
        few_steps: too_few_steps(),
        small_lambda: too_small_lambda(),
        narrow: narrow_valley(),
        valleys: two_valleys(),
    }
}

// ---------------------------------------------------------------------------------------------------------------
// The problem
// ---------------------------------------------------------------------------------------------------------------

/// The task: its support set wants φ = a, its query set φ = c, training starts at θ.
///
/// Its numbers make the answers whole: φ* = (0, 1), v = (3, 2), g = (1, 0).
const TASK: Task = Task {
    h: [2.0, 2.0, 2.0, 5.0],
    a: [-1.0, 2.0],
    w: [0.0],
    c: [-3.0, -1.0],
    theta: [0.0, -2.0],
    hyper: Hyper { lambda: 1.0, rate: 0.1 },
};

/// Training multiplies what is left to go by 0.8 a step, or less: after this many, rounding is all that is left.
const ENOUGH: usize = 160;

/// φ₀ = θ, φ₁, …, φ_K: gradient descent on G, the step compiled once and run K times.
fn train(task: &Task, steps: usize) -> Vec<Point> {
    let plan = InnerPlan::<f64>::new(&Little, &GradientDescent, Derivative::None);
    let mut workspace = plan.plan().workspace();
    let (hyper, data) = ([task.hyper.lambda, task.hyper.rate], task.data());
    let inputs = Inputs::new(&task.theta, &hyper, &data);
    plan.start(&mut workspace, &inputs);
    let mut path = vec![task.theta];
    for k in 0..steps {
        let mut next = [0.0; 2];
        plan.step(&mut workspace, &inputs, &path[k], &mut next);
        path.push(next);
    }
    path
}

// ---------------------------------------------------------------------------------------------------------------
// Five ways
// ---------------------------------------------------------------------------------------------------------------

/// What one method answered.
struct Answer {
    /// Its name and settings.
    name: &'static str,
    /// The formula it evaluates.
    computes: &'static str,
    /// What it kept of training, and its bytes.
    keeps: &'static str,
    kept: usize,
    /// Bytes of all its memory.
    bytes: usize,
    /// Its dF/dθ.
    g: Point,
    /// ‖g − exact‖ / ‖exact‖
    error: f64,
    /// What it reported.
    report: Report,
}

impl Task {
    /// Asks a method for the meta-gradient, and compares it with the exact one.
    fn ask(&self, name: &'static str, method: &dyn Method<f64>, exact: Point) -> Answer {
        let mut g = [0.0; 2];
        let report = method.worker().gradient(&self.theta, self.hyper, &self.data(), &mut g);
        let error = norm(minus(g, exact)) / norm(exact);
        Answer { name, computes: "", keeps: "nothing", kept: 0, bytes: method.bytes(), g, error, report }
    }

    /// MAML: backpropagation through K steps. What it kept is what 0 steps would not have taken.
    fn maml(&self, name: &'static str, keeps: &'static str, steps: usize, keep: Keep, exact: Point) -> Answer {
        let method = |steps| Unrolled::<f64>::new(&Little, steps, keep);
        let kept = method(steps).bytes() - method(0).bytes();
        Answer { computes: UNROLLED, keeps, kept, ..self.ask(name, &method(steps), exact) }
    }

    /// iMAML: implicit differentiation where the inner solver stopped. It kept what the products there need.
    fn implicit(&self, name: &'static str, stop: InnerStop, solver: Cg, exact: Point) -> Answer {
        let method = Implicit::<f64>::new(&Little, stop, Box::new(solver));
        let kept = method.inner().plan().kept_bytes(Stage::POINT);
        Answer { computes: IMPLICIT, keeps: "the last point", kept, ..self.ask(name, &method, exact) }
    }

    /// First-order MAML: as if dφ_K/dθ were the identity.
    fn first_order(&self, name: &'static str, steps: usize, exact: Point) -> Answer {
        Answer { computes: "g = v at φ_K", ..self.ask(name, &FirstOrder::new(&Little, steps), exact) }
    }

    /// Reptile: towards where training went.
    fn reptile(&self, name: &'static str, steps: usize, exact: Point) -> Answer {
        Answer { computes: "g = θ − φ_K", ..self.ask(name, &Reptile::new(&Little, steps), exact) }
    }
}

const UNROLLED: &str = "w_K = v,  w_k = (∂S/∂φ_k)ᵀ w_{k+1};  g = w_0 + Σ (∂S/∂θ)ᵀ w_{k+1}";
const IMPLICIT: &str = "(H + λI) x = v by CG from x = 0;  g = λ x";

/// The story's first half.
struct FiveWays {
    path: Vec<Point>,
    exact: Exact,
    answers: Vec<Answer>,
}

/// Trains, measures, and takes the meta-gradient in every way there is.
fn five_ways() -> FiveWays {
    let task = TASK;
    println!("Differentiating through training, in two dimensions\n");
    println!("    support loss      L(φ) = ½ (φ − a)ᵀ H (φ − a)         H = [2 2; 2 5],  a = (-1, 2)");
    println!("    query loss        f(φ) = ½ ‖φ − c‖²                   c = (-3, -1)");
    println!("    inner objective   G(φ, θ) = L(φ) + ½ λ ‖φ − θ‖²       λ = 1,  θ = (0, -2)");
    println!("    outer objective   F(θ) = f(φ*(θ)),  φ*(θ) = argmin_φ G(φ, θ);  wanted: g = dF/dθ\n");

    println!("1. Train: φ_0 = θ,  φ_{{k+1}} = φ_k − α ∇G(φ_k),  α = 0.1\n");
    let path = train(&task, ENOUGH);
    for k in [0, 1, 2, 4, 8, 16, ENOUGH] {
        println!("    k = {k:<4} φ = {}   ‖∇G‖ = {:.1e}", Show(path[k]), norm(task.inner_gradient(path[k])));
    }
    let exact = task.exact(task.theta);
    println!("    in closed form φ* = (H + λI)⁻¹ (Ha + λθ) = {}\n", Show(exact.phi));

    println!("2. Measure: v = ∇f(φ*) = φ* − c = {}\n", Show(exact.v));

    // θ is not in f. It moves F only by moving φ*, and ∇G(φ*, θ) = 0 says how: differentiate it.
    println!("3. Differentiate: f does not see θ, but φ* does. ∇G(φ*(θ), θ) = 0 for every θ, so");
    println!("       (H + λI) dφ*/dθ − λI = 0,   dφ*/dθ = λ (H + λI)⁻¹,   g = (dφ*/dθ)ᵀ v = {}\n", Show(exact.g));

    println!("4. The same, with no matrix ever written down:\n");
    let end = InnerStop::Steps(ENOUGH);
    let answers = vec![
        task.maml("MAML, K = 4", "4 points", 4, Keep::Everything, exact.g),
        task.maml("MAML, K = 160", "160 points", ENOUGH, Keep::Everything, exact.g),
        task.maml("MAML, K = 160, recomputing", "8 checkpoints", ENOUGH, Keep::Checkpoints(8), exact.g),
        task.first_order("first-order", ENOUGH, exact.g),
        task.reptile("Reptile", ENOUGH, exact.g),
        task.implicit("implicit, 0 CG steps", end, Cg::iterations(0), exact.g),
        task.implicit("implicit, 1 CG step", end, Cg::iterations(1), exact.g),
        task.implicit("implicit, 2 CG steps", end, Cg::iterations(2), exact.g),
        task.implicit("implicit, 3 CG steps", end, Cg::iterations(3), exact.g),
    ];
    answers.iter().for_each(|answer| println!("{answer}"));

    println!("    MAML, K = 4, step by step: pulled back through the last m steps only, w_{{4−m}} taken for θ's\n");
    for m in 0..=4 {
        let Answer { g, error, .. } = task.maml("", "", 4, Keep::Last(m), exact.g);
        let end = ["   (first-order)", "", "", "", "   (MAML)"][m];
        println!("        m = {m}   g = {}   error {error:.1e}{end}", Show(g));
    }
    println!(
        "
    0 CG steps: x = 0. What remains is ∂f/∂θ, and f does not see θ: the answer is 0. Nothing is known yet of how
    θ moves φ*. The first step goes along v, as the first-order method does, but only as far as the curvature along
    v allows. Two dimensions have two directions: the second step is exact. (I + H/λ) g = v is the same system.
    Reptile does not look at the query set. λ (θ − φ*) is the exact gradient of min_φ G, of how well the support set
    can be fitted near θ: the right answer to another question.
"
    );
    FiveWays { path, exact, answers }
}

// ---------------------------------------------------------------------------------------------------------------
// Four ways to lose it
// ---------------------------------------------------------------------------------------------------------------

/// Errors after K steps of training.
struct Steps {
    steps: usize,
    maml: f64,
    implicit: f64,
    first_order: f64,
}

/// K too small: nobody is at φ* yet.
fn too_few_steps() -> Vec<Steps> {
    println!("5. K too small. MAML takes the exact derivative of \"K steps, then measure\", which is not F. Implicit");
    println!("   differentiation takes F's formula to φ_K, which is not φ*. Both errors fall like 0.8^K.\n");
    println!("    K      MAML      implicit   first-order");
    let g = TASK.exact(TASK.theta).g;
    let errors = (1..=64).map(|steps| Steps {
        steps,
        maml: TASK.maml("", "", steps, Keep::Everything, g).error,
        implicit: TASK.implicit("", InnerStop::Steps(steps), Cg::iterations(2), g).error,
        first_order: TASK.first_order("", steps, g).error,
    });
    let errors: Vec<Steps> = errors.collect();
    for Steps { steps, maml, implicit, first_order } in errors.iter().filter(|e| e.steps.is_power_of_two()) {
        println!("    {steps:<4} {maml:10.1e} {implicit:10.1e} {first_order:10.1e}");
    }
    println!();
    errors
}

/// Lengths of meta-gradients for one λ.
struct Pull {
    lambda: f64,
    /// κ(H + λI)
    condition: f64,
    /// Steps until ‖∇G‖ ≤ 10⁻¹³.
    steps: usize,
    exact: f64,
    implicit: f64,
    maml: f64,
    first_order: f64,
}

/// λ too small: φ* forgets θ.
fn too_small_lambda() -> Vec<Pull> {
    println!(
        "6. λ too small. Nothing pulls φ* to θ: dφ*/dθ = λ (H + λI)⁻¹ → 0, and the exact gradient vanishes like λ.
   MAML with K = 4 and the first-order method go on giving large answers: MAML sees what 4 steps have not yet
   forgotten, the first-order method takes dφ*/dθ for the identity. Without the help of λ the condition number
   tends to that of H, and training takes longer.
"
    );
    println!("    λ        κ(H + λI)   steps to φ*   ‖g‖ exact   implicit    MAML K=4    first-order");
    let solved = InnerStop::Gradient { gradient: 1e-13, cap: 2000 };
    let pulls = (0..=25).map(|i| {
        let task = TASK.with_lambda(10.0_f64.powf(1.0 - f64::from(i) / 5.0));
        let exact = task.exact(task.theta);
        let [large, small] = eigenvalues(task.inner_hessian(exact.phi));
        let found = task.implicit("", solved, Cg::iterations(2), exact.g);
        Pull {
            lambda: task.hyper.lambda,
            condition: large / small,
            steps: found.report.steps,
            exact: norm(exact.g),
            implicit: norm(found.g),
            maml: norm(task.maml("", "", 4, Keep::Everything, exact.g).g),
            first_order: norm(task.first_order("", ENOUGH, exact.g).g),
        }
    });
    let pulls: Vec<Pull> = pulls.collect();
    for p in pulls.iter().step_by(5) {
        print!("    {:<8.4} {:<11.2} {:<13} {:<11.2e} ", p.lambda, p.condition, p.steps, p.exact);
        println!("{:<11.2e} {:<11.2e} {:.2e}", p.implicit, p.maml, p.first_order);
    }
    println!();
    pulls
}

/// A task whose support set fixes one direction 300 times as firmly as the other.
const NARROW: Task = Task {
    h: [6.08, 11.96, 11.96, 24.02],
    a: [0.0, 0.0],
    w: [0.0],
    c: [0.6, 1.2],
    theta: [-1.2, 2.6],
    hyper: Hyper { lambda: 0.1, rate: 0.03 },
};

/// The ill-conditioned task.
struct Narrow {
    path: Vec<Point>,
    exact: Exact,
    answers: Vec<Answer>,
}

/// An ill-conditioned task: across the valley φ* does not depend on θ, along it training crawls.
fn narrow_valley() -> Narrow {
    let task = NARROW;
    let exact = task.exact(task.theta);
    let eigenvalues = eigenvalues(task.inner_hessian(exact.phi));
    let shares = eigenvalues.map(|e| task.hyper.lambda / e);
    println!("7. An ill-conditioned task: H + λI has the eigenvalues {}, λ = 0.1.", Show(eigenvalues));
    println!("   Of a move of θ, φ* makes {:.4} across the valley and {:.4} along it:", shares[0], shares[1]);
    println!("   across, the dependence on θ vanishes, and no method can learn what is not there. Along it, a step");
    println!("   covers 0.6 % of the way: MAML needs thousands, and one CG step, along v, is no use.\n");
    let solved = InnerStop::Gradient { gradient: 1e-13, cap: 20_000 };
    let answers = vec![
        task.maml("MAML, K = 100", "100 points", 100, Keep::Everything, exact.g),
        task.first_order("first-order", 5000, exact.g),
        task.implicit("implicit, 1 CG step", solved, Cg::iterations(1), exact.g),
        task.implicit("implicit, 2 CG steps", solved, Cg::iterations(2), exact.g),
    ];
    answers.iter().for_each(|answer| println!("{answer}"));
    Narrow { path: train(&task, 100), exact, answers }
}

/// A task with two valleys and a ridge between them, L = ½ (φ₂² − φ₁²) + ¼ φ₁⁴, and a θ close to the ridge.
const VALLEYS: Task = Task {
    h: [-1.0, 0.0, 0.0, 1.0],
    a: [0.0, 0.0],
    w: [1.0],
    c: [2.0, 0.5],
    theta: [0.2, 1.5],
    hyper: Hyper { lambda: 0.25, rate: 0.2 },
};

/// The task that is not convex.
struct Valleys {
    path: Vec<Point>,
    exact: Exact,
    /// Eigenvalues of H + λI after three steps.
    eigenvalues: Point,
    answers: Vec<Answer>,
    /// The same θ under λ = 2: the exact answer to compare with is another one.
    cured: Answer,
}

/// An indefinite Hessian: after three steps φ is still on the ridge, where G has no minimum to differentiate.
fn two_valleys() -> Valleys {
    let task = VALLEYS;
    let path = train(&task, ENOUGH);
    let exact = task.exact(path[ENOUGH]);
    let eigenvalues = eigenvalues(task.inner_hessian(path[3]));
    println!(
        "8. An indefinite Hessian: after 3 steps φ is on a ridge, H + λI has the eigenvalues {}.",
        Show(eigenvalues)
    );
    println!(
        "   The implicit formula differentiates a stationary point; near a ridge that is not where training goes,"
    );
    println!("   and the answer can point backwards. CG meets pᵀ(H + λI)p ≤ 0, counts it and names it.\n");
    let (early, end) = (InnerStop::Steps(3), InnerStop::Steps(ENOUGH));
    let stops = Cg::iterations(2).on_negative_curvature(OnNegativeCurvature::Stop);
    let answers = vec![
        task.maml("MAML, K = 3", "3 points", 3, Keep::Everything, exact.g),
        task.first_order("first-order, K = 3", 3, exact.g),
        task.implicit("implicit, K = 3, CG goes on", early, Cg::iterations(2), exact.g),
        task.implicit("implicit, K = 3, CG stops", early, stops, exact.g),
        task.implicit("implicit, K = 160", end, Cg::iterations(2), exact.g),
    ];
    answers.iter().for_each(|answer| println!("{answer}"));
    println!("   Two cures: train to the valley, as above, or a λ that makes G convex, here 2:\n");
    let task = task.with_lambda(2.0);
    let g = task.exact(task.theta).g;
    let cured = task.implicit("implicit, K = 160, λ = 2", end, Cg::iterations(2), g);
    println!("{cured}");
    Valleys { path, exact, eigenvalues, answers, cured }
}

// ---------------------------------------------------------------------------------------------------------------
// Telling it
// ---------------------------------------------------------------------------------------------------------------

/// Two numbers as ( 1.0000, -0.5000).
struct Show(Point);

impl fmt::Display for Show {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What rounds to 0 is shown without a sign.
        let [x, y] = self.0.map(|x| if x.abs() < 5e-5 { 0.0 } else { x });
        write!(f, "({x:7.4}, {y:7.4})")
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "    {}", self.name)?;
        writeln!(f, "        computes  {}", self.computes)?;
        writeln!(f, "        keeps     {}: {} bytes, of {} in all", self.keeps, self.kept, self.bytes)?;
        let Report { steps, products, status, linear_residual, negative_curvature, .. } = self.report;
        writeln!(f, "        takes     {steps} steps of training; products with ∇²G: {products}")?;
        if let Some(status) = status {
            writeln!(f, "        CG        {status}")?;
            write!(f, "                  residual {linear_residual:.1e}")?;
            match negative_curvature {
                0 => writeln!(f)?,
                n => writeln!(f, ", negative curvature met: {n} direction")?,
            }
        }
        writeln!(f, "        g         {}   error {:.1e}", Show(self.g), self.error)
    }
}

/// The page's path, and whether to open it.
fn options() -> Result<(PathBuf, bool), String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate lies in the workspace");
    let (mut page, mut open) = (workspace.join("target/bilevel.html"), false);
    for argument in std::env::args_os().skip(1) {
        match argument.to_str() {
            Some("--open") => open = true,
            Some(option) if option.starts_with('-') => {
                return Err(format!("unknown option {option}: expected [PAGE] [--open]"));
            }
            _ => page = argument.into(),
        }
    }
    Ok((page, open))
}

/// Writes the page beside its place, then renames: whoever looks sees a whole page.
fn write_and_open(page: &Path, story: &Story, open: bool) -> Result<(), String> {
    let name = |error: std::io::Error| format!("{}: {error}", page.display());
    let beside = page.with_extension("html.part");
    if let Some(folder) = page.parent() {
        std::fs::create_dir_all(folder).map_err(name)?;
    }
    std::fs::write(&beside, page::html(story)).and_then(|()| std::fs::rename(&beside, page)).map_err(name)?;
    println!("The same as pictures: {}", page.display());
    if !open {
        return Ok(());
    }
    let mut browser = match std::env::consts::OS {
        "macos" => Command::new("open"),
        "windows" => Command::new("explorer"),
        _ => Command::new("xdg-open"),
    };
    browser.arg(page).spawn().map_err(|error| format!("cannot open a browser: {error}"))?;
    Ok(())
}
