//! Every primitive against references computed elsewhere (`reference/generate.py`: 50 digits, truncated
//! Taylor series), values and derivatives to order 3; then the adjoint identity of its transpose.
//!
//! The derivatives are taken the way the engine takes them: each order is one more `jvp` of the program
//! before, so order 3 is forward mode over forward mode over forward mode of the one rule.

use std::collections::BTreeMap;

use autodiff::rules::{BinaryOp, UnaryOp};
use autodiff::{Arg, Options, Plan, Real, Stage, Tape, Var, jvp, vjp};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Case {
    name: String,
    attrs: Value,
    inputs: Vec<Input>,
    output_shape: Vec<usize>,
    orders: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Input {
    shape: Vec<usize>,
    values: Vec<f64>,
    direction: Vec<f64>,
}

fn cases() -> Vec<Case> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/primitives.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn list(v: &Value) -> Vec<usize> {
    v.as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as usize).collect()
}

fn pair(v: &Value) -> [usize; 2] {
    list(v).try_into().unwrap()
}

/// Records the case's program; indices are inputs declared behind the floats.
fn record<'t>(tape: &'t Tape, case: &Case, x: &[Var<'t>], indices: &mut Vec<Vec<u32>>) -> Var<'t> {
    let a = &case.attrs;
    let mut index_input = |values: Vec<usize>, shape: Vec<usize>, bound: usize| {
        indices.push(values.iter().map(|&i| i as u32).collect());
        tape.indices("indices", &shape[..], bound, Stage::POINT)
    };
    match case.name.as_str() {
        "neg" => -x[0],
        "recip" => x[0].recip(),
        "exp" => x[0].exp(),
        "expm1" => x[0].exp_m1(),
        "ln" => x[0].ln(),
        "log1p" => x[0].ln_1p(),
        "sqrt" => x[0].sqrt(),
        "sin" => x[0].sin(),
        "cos" => x[0].cos(),
        "tanh" => x[0].tanh(),
        "sigmoid" => x[0].sigmoid(),
        "softplus" => x[0].softplus(),
        "relu" => x[0].relu(),
        "abs" => x[0].abs(),
        "erf" => x[0].erf(),
        "erfc" => x[0].erfc(),
        "gelu" => x[0].gelu(),
        "square" => x[0].square(),
        "powi" => x[0].powi(a["n"].as_i64().unwrap() as i32),
        "add" => x[0] + x[1],
        "sub" => x[0] - x[1],
        "mul" => x[0] * x[1],
        "div" => x[0] / x[1],
        "max" => x[0].max(x[1]),
        "min" => x[0].min(x[1]),
        "powf" => x[0].powf(x[1]),
        "select" => Var::select(x[0].less(x[1]), x[2], x[3]),
        "broadcast" => x[0].broadcast_to(&list(&a["shape"])[..]),
        "sum" => x[0].sum(&list(&a["axes"])),
        "max_axes" => x[0].max_axes(&list(&a["axes"])),
        "logsumexp" => x[0].logsumexp(&list(&a["axes"])),
        "reshape" => x[0].reshape(&list(&a["shape"])[..]),
        "permute" => x[0].permute(&list(&a["axes"])),
        "slice" => x[0].slice(&list(&a["starts"]), &list(&a["ends"])),
        "pad" => x[0].pad(&list(&a["starts"]), &list(&a["shape"])[..]),
        "concat" => Var::concat(x, a["axis"].as_u64().unwrap() as usize),
        "matmul" => {
            let t = |v: Var<'t>, flag: &str| if a[flag].as_bool().unwrap() { v.t() } else { v };
            t(x[0], "trans_a").matmul(t(x[1], "trans_b"))
        }
        "conv2d" => x[0].conv2d(x[1], pair(&a["stride"]), pair(&a["pad"])),
        "conv2d_input_grad" => {
            // The adjoint of conv2d in its image, as the engine makes it.
            let (w, dy) = (x[0], x[1]);
            let n = dy.shape()[0];
            let image = Var::full(
                tape,
                0.0,
                [n, a["in_h"].as_u64().unwrap() as usize, a["in_w"].as_u64().unwrap() as usize, w.shape()[2]],
            )
            .cut();
            let y = image.conv2d(w, pair(&a["stride"]), pair(&a["pad"]));
            vjp(&[(y, dy)], &[image])[0]
        }
        "conv2d_weight_grad" => {
            let (image, dy) = (x[0], x[1]);
            let [kh, kw] = pair(&a["kernel"]);
            let w = Var::full(tape, 0.0, [kh, kw, image.shape()[3], dy.shape()[3]]).cut();
            let y = image.conv2d(w, pair(&a["stride"]), pair(&a["pad"]));
            vjp(&[(y, dy)], &[w])[0]
        }
        "gather" => {
            let at = index_input(list(&a["indices"]), list(&a["indices_shape"]), x[0].shape()[0]);
            x[0].gather(at)
        }
        "scatter_add" => {
            let rows = a["rows"].as_u64().unwrap() as usize;
            let at = index_input(list(&a["indices"]), list(&a["indices_shape"]), rows);
            x[0].scatter_add(at, rows)
        }
        "max_pool" => x[0].max_pool(pair(&a["window"]), pair(&a["stride"])),
        "avg_pool" => x[0].avg_pool(pair(&a["window"])),
        "stop_gradient" => x[0] * x[0].stop_gradient(),
        "softmax_cross_entropy" => {
            let labels = list(&a["labels"]);
            let n = labels.len();
            let hot = index_input(labels, vec![n], x[0].shape()[1]).one_hot();
            (x[0].logsumexp(&[1]).sum_all() - (hot * x[0]).sum_all()) / n as f64
        }
        "mse" => (x[0] - x[1]).square().mean_all(),
        "batch_norm" | "layer_norm" => {
            let shape = x[0].shape();
            let axes: Vec<usize> = if case.name == "layer_norm" { vec![1] } else { vec![0, 1, 2] };
            let kept: Vec<usize> = (0..shape.rank()).map(|i| if axes.contains(&i) { 1 } else { shape[i] }).collect();
            let centred = x[0] - x[0].mean(&axes).reshape(&kept[..]);
            let variance = centred.square().mean(&axes).reshape(&kept[..]);
            let eps = a["eps"].as_f64().unwrap();
            let reciprocal = (variance + eps).sqrt().recip();
            // As `nn` has them.
            if case.name == "batch_norm" {
                centred * (reciprocal * x[1]) + x[2]
            } else {
                centred * reciprocal * x[1] + x[2]
            }
        }
        other => panic!("the reference has a primitive that the table does not: {other}"),
    }
}

/// ‖a − b‖∞ ≤ tolerance · max(‖b‖∞, 1).
///
/// The floor of 1 is where a rule such as 1 − y² is good to a rounding error of 1 but not of its result.
fn assert_close(case: &Case, what: &str, got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{} {what}: length", case.name);
    let scale = expected.iter().fold(1.0_f64, |m, v| m.max(v.abs()));
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!((g - e).abs() <= tolerance * scale, "{} {} {what}[{i}]: {g:e} instead of {e:e}", case.name, case.attrs);
    }
}

#[test]
fn values_and_derivatives_to_order_three() {
    for case in cases() {
        let tape = Tape::new();
        let x: Vec<Var> = case.inputs.iter().map(|i| tape.input("x", &i.shape[..], Stage::POINT)).collect();
        let d: Vec<Var> = case.inputs.iter().map(|i| tape.input("d", &i.shape[..], Stage::POINT)).collect();
        let mut indices = Vec::new();
        let y = record(&tape, &case, &x, &mut indices);
        assert_eq!(y.shape().dims(), case.output_shape, "{}", case.name);
        let along: Vec<_> = x.iter().copied().zip(d.iter().copied()).collect();
        let mut outputs = vec![y];
        for _ in 0..3 {
            outputs.push(jvp(&outputs[outputs.len() - 1..], &along)[0]);
        }
        let mut args: Vec<Arg<f64>> = Vec::new();
        args.extend(case.inputs.iter().map(|i| Arg::from(&i.values)));
        args.extend(case.inputs.iter().map(|i| Arg::from(&i.direction)));
        args.extend(indices.iter().map(|i| Arg::Indices(i)));

        // Fused and unfused plans agree bit for bit, and both with the reference.
        let staged: Vec<_> = outputs.iter().map(|&y| (Stage::POINT, y)).collect();
        let fused = Plan::<f64>::staged(&tape, &staged, Options::default()).evaluate_args(&args);
        let unfused =
            Plan::<f64>::staged(&tape, &staged, Options { fuse: false, ..Options::default() }).evaluate_args(&args);
        assert_eq!(fused, unfused, "{}: fusion changed a result", case.name);
        for (order, (got, expected)) in fused.iter().zip(&case.orders).enumerate() {
            assert_close(&case, &format!("order {order}"), got, expected, 1e-12);
        }
    }
}

/// ⟨u, J v⟩ = ⟨Jᵀ u, v⟩, for the program, its gradient-like transpose included.
#[test]
fn adjoint_identity() {
    for case in cases() {
        let tape = Tape::new();
        let x: Vec<Var> = case.inputs.iter().map(|i| tape.input("x", &i.shape[..], Stage::POINT)).collect();
        let d: Vec<Var> = case.inputs.iter().map(|i| tape.input("d", &i.shape[..], Stage::POINT)).collect();
        let u = tape.input("u", &case.output_shape[..], Stage::POINT);
        let mut indices = Vec::new();
        let y = record(&tape, &case, &x, &mut indices);
        let along: Vec<_> = x.iter().copied().zip(d.iter().copied()).collect();
        let dy = jvp(&[y], &along)[0];
        let back = vjp(&[(y, u)], &x);
        // And of the transposed program: it is linear in u.
        let du = vjp(&[(y, u)], &x);
        let twice = jvp(&du, &[(u, u)]);
        let left = u.dot(dy);
        let sizes: Vec<Var> = back.iter().zip(&d).map(|(b, d)| (*b * *d).abs().sum_all()).collect();
        let right = back.iter().zip(&d).map(|(b, d)| b.dot(*d)).reduce(|a, b| a + b).unwrap();
        let size = sizes.into_iter().reduce(|a, b| a + b).unwrap() + (u * dy).abs().sum_all();
        let linear = twice.iter().zip(&du).map(|(a, b)| (*a - *b).abs().sum_all()).reduce(|a, b| a + b).unwrap();
        let weights: Vec<f64> = (0..case.orders[0].len()).map(|i| ((i * 37 % 19) as f64 - 9.0) / 8.0 + 0.03).collect();
        let mut args: Vec<Arg<f64>> = Vec::new();
        args.extend(case.inputs.iter().map(|i| Arg::from(&i.values)));
        args.extend(case.inputs.iter().map(|i| Arg::from(&i.direction)));
        args.push(Arg::from(&weights));
        args.extend(indices.iter().map(|i| Arg::Indices(i)));
        let values = Plan::<f64>::compile(&tape, &[left, right, size, linear]).evaluate_args(&args);
        let (left, right, size, linear) = (values[0][0], values[1][0], values[2][0], values[3][0]);
        assert!(
            (left - right).abs() <= 1e-12 * size.max(f64::MIN_POSITIVE),
            "{} {}: {left:e} and {right:e}",
            case.name,
            case.attrs
        );
        assert!(linear <= 1e-12 * size.max(1.0), "{}: the transpose is not linear", case.name);
    }
}

/// A rule that no reference covers fails here.
#[test]
fn every_rule_is_in_the_table() {
    let mut covered: BTreeMap<String, usize> = BTreeMap::new();
    for case in cases() {
        *covered.entry(case.name).or_default() += 1;
    }
    // Names that Rust's standard library gives to what the reference calls otherwise.
    let alias = |name: &str| match name {
        "exp_m1" => "expm1".to_owned(),
        "ln_1p" => "log1p".to_owned(),
        // Φ(x) = ½ erfc(−x/√2): the table's gelu exercises erfc in every order.
        "erfc" => "gelu".to_owned(),
        other => other.to_owned(),
    };
    let rules = UnaryOp::ALL.iter().map(|op| op.name()).chain(BinaryOp::ALL.iter().map(|op| op.name()));
    for name in rules {
        assert!(covered.contains_key(&alias(name)), "no reference for {name}: add it to reference/generate.py");
    }
}
