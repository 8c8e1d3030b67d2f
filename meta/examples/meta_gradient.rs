//! One task, one network, the derivative of "adapt, then measure" three ways: through ever more inner steps, by
//! implicit differentiation at the solution, and by the first-order shortcut.

use autodiff::Arg;
use meta::inner::Hyper;
use meta::linear::Cg;
use meta::method::{FirstOrder, Implicit, InnerStop, Keep, Method, Unrolled};
use meta::problem::FewShot;
use nn::Init;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let problem = FewShot::new("mlp:1-16-1,act=tanh".parse()?, 4, 4, true);
    let mut state = 0.37;
    let mut chaos = || {
        state = 3.99 * state * (1.0 - state);
        state
    };
    let theta: Vec<f64> = problem.model().init(Init::PyTorch, &mut chaos);
    let (x, y) = ([-1.0, -0.3, 0.4, 1.1], [0.9, 0.2, -0.5, -0.8]);
    let task: [Arg<f64>; 4] = [(&x[..]).into(), (&y[..]).into(), (&y[..]).into(), (&x[..]).into()];
    let hyper = Hyper { lambda: 0.5, rate: 0.1 };
    let gradient = |method: &dyn Method<f64>| {
        let mut g = vec![0.0; theta.len()];
        method.worker().gradient(&theta, hyper, &task, &mut g);
        g
    };
    let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();

    let solved = InnerStop::Gradient { gradient: 1e-14, cap: 5000 };
    let exact = gradient(&Implicit::new(&problem, solved, Box::new(Cg::tolerance(1e-13, 100))));
    println!("implicit, solved to the end: ‖g‖ = {:.6}", norm(&exact));
    let error = |g: Vec<f64>| norm(&g.iter().zip(&exact).map(|(a, b)| a - b).collect::<Vec<_>>()) / norm(&exact);
    for steps in [1, 10, 100, 1000] {
        let method = Unrolled::new(&problem, steps, Keep::Checkpoints(8));
        println!("through {steps:4} steps: error {:.1e}, {} bytes", error(gradient(&method)), method.bytes());
    }
    println!("first order, 1000 steps: error {:.1e}", error(gradient(&FirstOrder::new(&problem, 1000))));
    Ok(())
}
