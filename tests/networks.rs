//! Random networks: Hessian-vector products against the second derivation and finite differences of gradients,
//! and the structure of what a plan does.

use autodiff::{Options, Plan, Stage, Tape, Var, grad, hvp};
use integration::{Numbers, relative_error};
use nn::{Init, Model, Statistics, Target};
use proptest::prelude::*;

struct Net {
    plan: Plan<f64>,
    unfused: Plan<f64>,
    model: Model,
    x: Vec<f64>,
    y: Vec<f64>,
    labels: Vec<u32>,
}

/// Outputs: loss, gradient, H v, and H v by reverse over reverse.
fn net(spec: &str, rows: usize, seed: u64) -> Net {
    let model: Model = spec.parse().unwrap();
    let mut numbers = Numbers::new(seed);
    let tape = Tape::new();
    let phi = tape.input("phi", model.layout().len(), Stage::POINT);
    let v = tape.input("v", model.layout().len(), Stage::DIRECTION);
    let shape: Vec<usize> = std::iter::once(rows).chain(model.input().iter().copied()).collect();
    let x = tape.input("x", &shape[..], Stage::DATA);
    let output = model.forward(phi, x, &Statistics::Batch).output;
    let target = if model.classifies() {
        Target::Classes(tape.indices("y", rows, model.outputs(), Stage::DATA))
    } else {
        Target::Values(tape.input("y", [rows, model.outputs()], Stage::DATA))
    };
    let loss = model.loss(output, target);
    let g = grad(loss, &[phi])[0];
    let outputs: [(Stage, Var); 4] = [
        (Stage::POINT, loss),
        (Stage::POINT, g),
        (Stage::DIRECTION, hvp(loss, &[phi], &[(phi, v)])[0]),
        (Stage::DIRECTION, grad(g.dot(v), &[phi])[0]),
    ];
    let n: usize = shape.iter().product();
    Net {
        plan: Plan::staged(&tape, &outputs, Options::default()),
        unfused: Plan::staged(&tape, &outputs, Options { fuse: false, ..Options::default() }),
        x: numbers.vec(n),
        y: numbers.vec(rows * model.outputs()),
        labels: (0..rows).map(|i| (i % model.outputs()) as u32).collect(),
        model,
    }
}

impl Net {
    fn run(&self, plan: &Plan<f64>, phi: &[f64], v: &[f64]) -> Vec<Vec<f64>> {
        let y =
            if self.model.classifies() { autodiff::Arg::Indices(&self.labels) } else { autodiff::Arg::Floats(&self.y) };
        plan.evaluate_args(&[phi.into(), v.into(), (&self.x).into(), y])
    }
}

fn spec() -> impl Strategy<Value = String> {
    let act = prop_oneof![Just("tanh"), Just("softplus"), Just("gelu"), Just("sigmoid")];
    let mlp = (1_usize..4, 1_usize..9, 1_usize..9, 1_usize..3, act.clone())
        .prop_map(|(a, b, c, d, act)| format!("mlp:{a}-{b}-{c}-{d},act={act}"));
    let conv =
        (1_usize..6, 2_usize..4, 1_usize..3, 5_usize..12, 5_usize..12, act).prop_map(|(ch, ways, c, h, w, act)| {
            format!("conv4:channels={ch},stride=2,ways={ways},image={c}x{h}x{w},act={act}")
        });
    prop_oneof![mlp, conv]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn hessian_products_of_random_networks(spec in spec(), rows in 2_usize..5, seed in 0_u64..1000) {
        let net = net(&spec, rows, seed);
        let mut numbers = Numbers::new(seed + 1);
        let phi: Vec<f64> = net.model.init(Init::PyTorch, &mut || 0.5 * (numbers.next() + 1.0));
        let v = numbers.vec(phi.len());
        let values = net.run(&net.plan, &phi, &v);
        // Batch normalisation of two nearly equal rows divides by √1e-5: rounding of a few hundred operations,
        // amplified by up to some 10³ in a second derivative.
        prop_assert!(relative_error(&values[3], &values[2]) <= 1e-8, "{}", relative_error(&values[3], &values[2]));
        prop_assert_eq!(&values, &net.run(&net.unfused, &phi, &v));

        // Richardson on central differences: the error is h⁴ times a fifth derivative, or rounding. Where two nearly equal
        // rows are normalised that derivative is some (10⁵)² times as large, and the best h is as much smaller.
        let difference = |h: f64| -> Vec<f64> {
            let moved = |sign: f64| {
                let at: Vec<f64> = phi.iter().zip(&v).map(|(p, v)| p + sign * h * v).collect();
                net.run(&net.plan, &at, &v)[1].clone()
            };
            moved(1.0).iter().zip(moved(-1.0)).map(|(a, b)| (a - b) / (2.0 * h)).collect()
        };
        let best = [3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6]
            .iter()
            .map(|&h| {
                let (coarse, fine) = (difference(h), difference(h / 2.0));
                let extrapolated: Vec<f64> = fine.iter().zip(&coarse).map(|(f, c)| (4.0 * f - c) / 3.0).collect();
                relative_error(&extrapolated, &values[2])
            })
            .fold(f64::INFINITY, f64::min);
        prop_assert!(best <= 1e-4, "{best} for {spec}");
    }
}

#[test]
fn a_direction_costs_six_products_a_layer_and_two_in_the_first() {
    // BASELINES counts: a gradient 3f − f₁, one more product at its point 6(f − f₁) + 2f₁.
    let net = net("mlp:3-16-16-2,act=tanh", 7, 1);
    let (f, f1) = (2 * 7 * (3 * 16 + 16 * 16 + 16 * 2) as u64, 2 * 7 * 3 * 16_u64);
    let tape = Tape::new();
    let phi = tape.input("phi", net.model.layout().len(), Stage::POINT);
    let v = tape.input("v", net.model.layout().len(), Stage::DIRECTION);
    let x = tape.input("x", [7, 3], Stage::DATA);
    let y = tape.input("y", [7, 2], Stage::DATA);
    let loss = nn::loss::mse(net.model.forward(phi, x, &Statistics::Batch).output, y);
    let outputs = [(Stage::POINT, grad(loss, &[phi])[0]), (Stage::DIRECTION, hvp(loss, &[phi], &[(phi, v)])[0])];
    let plan = Plan::<f64>::staged(&tape, &outputs, Options::default());
    assert_eq!(plan.flops(Stage::POINT), 3 * f - f1, "{plan}");
    assert_eq!(plan.flops(Stage::DIRECTION), 6 * (f - f1) + 2 * f1, "{plan}");
}

#[test]
fn a_stage_run_twice_gives_the_same_bytes() {
    let net = net("conv4:channels=4,stride=2,ways=3,image=1x9x9", 5, 3);
    let mut numbers = Numbers::new(4);
    let phi: Vec<f64> = net.model.init(Init::PyTorch, &mut || 0.5 * (numbers.next() + 1.0));
    let (v, w) = (numbers.vec(phi.len()), numbers.vec(phi.len()));
    let mut workspace = net.plan.workspace();
    let mut point = (vec![0.0], vec![0.0; phi.len()]);
    let mut products = [vec![0.0; phi.len()], vec![0.0; phi.len()], vec![0.0; phi.len()]];
    let labels = autodiff::Arg::Indices(&net.labels);
    net.plan.run(Stage::DATA, &mut workspace, &[(&phi).into(), (&v).into(), (&net.x).into(), labels], &mut []);
    net.plan.run(
        Stage::POINT,
        &mut workspace,
        &[(&phi).into(), (&v).into(), (&net.x).into(), labels],
        &mut [&mut point.0, &mut point.1],
    );
    for (direction, product) in [&v, &w, &v].into_iter().zip(&mut products) {
        let mut other = vec![0.0; phi.len()];
        let args = [(&phi).into(), direction.into(), (&net.x).into(), labels];
        net.plan.run(Stage::DIRECTION, &mut workspace, &args, &mut [product, &mut other]);
    }
    assert_eq!(products[0], products[2]);
    assert_ne!(products[0], products[1]);
}
