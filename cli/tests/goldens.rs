//! The program against answers computed elsewhere: PyTorch (double backward) and JAX (forward over reverse), which
//! agree with each other to 1e-13. Skipped, with a line, where the folder of goldens is absent.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

fn folder() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden");
    if !path.is_dir() {
        println!("skipped: no goldens in {}", path.display());
        return None;
    }
    Some(path)
}

/// All tensors of a file as numbers.
fn load(path: &Path) -> HashMap<String, Vec<f64>> {
    let bytes = std::fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |t: &TensorView<'_>| match t.dtype() {
        Dtype::F64 => t.data().chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
        Dtype::F32 => {
            t.data().chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect::<Vec<f64>>()
        }
        other => panic!("{other:?}"),
    };
    let real = tensors.iter().filter(|(_, t)| t.dtype() != Dtype::I64);
    real.map(|(name, t)| (name.to_owned(), numbers(&t))).collect()
}

/// What one golden file asks and answers.
struct Golden {
    path: PathBuf,
    model: String,
    asked: Vec<Value>,
    answers: HashMap<String, Vec<f64>>,
}

impl Golden {
    fn all() -> Vec<Golden> {
        let Some(folder) = folder() else { return Vec::new() };
        let read = |name: &str| {
            let text = std::fs::read(folder.join(format!("{name}.json"))).unwrap();
            let asked: Value = serde_json::from_slice(&text).unwrap();
            Golden {
                path: folder.join(format!("{name}.safetensors")),
                model: asked["model"].as_str().unwrap().into(),
                asked: asked["answers"].as_array().unwrap().clone(),
                answers: load(&folder.join(format!("{name}.answers.safetensors"))),
            }
        };
        ["mlp", "conv", "pool"].map(read).into()
    }

    /// The answer in the file, parameter by parameter.
    fn expected(&self, asked: &Value) -> HashMap<String, Vec<f64>> {
        let prefix = format!("{}.", asked["key"].as_str().unwrap());
        let own = |(name, values): (&String, &Vec<f64>)| Some((name.strip_prefix(&prefix)?.into(), values.clone()));
        self.answers.iter().filter_map(own).collect()
    }
}

/// Runs the command of an answer on an episode file: (what it wrote, what it printed).
fn run(episodes: &Path, model: &str, asked: &Value, dtype: &str) -> (HashMap<String, Vec<f64>>, Value) {
    let out = tempfile::tempdir().unwrap();
    let out = out.path().join("out.safetensors");
    let mut program = Command::new(env!("CARGO_BIN_EXE_imaml"));
    program.arg(asked["command"].as_str().unwrap()).arg(episodes);
    program.args(["--model", model, "--dtype", dtype, "--json", "--out"]).arg(&out);
    for (flag, key) in [
        ("--method", "method"),
        ("--inner-steps", "inner_steps"),
        ("--inner-lr", "inner_lr"),
        ("--lambda", "lam"),
        ("--cg-steps", "cg_steps"),
        ("--cg-tol", "cg_tol"),
    ] {
        match &asked[key] {
            Value::Null => {}
            Value::String(text) => drop(program.args([flag, text])),
            number => drop(program.args([flag, &number.to_string()])),
        }
    }
    let output = program.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let parameter = |(name, values): (String, Vec<f64>)| Some((name.split_once('.')?.1.to_owned(), values));
    (load(&out).into_iter().filter_map(parameter).collect(), serde_json::from_slice(&output.stdout).unwrap())
}

/// ‖a − b‖ / ‖b‖ over all parameters.
fn error(a: &HashMap<String, Vec<f64>>, b: &HashMap<String, Vec<f64>>) -> f64 {
    assert_eq!(a.len(), b.len(), "every parameter");
    let (mut distance, mut size) = (0.0, 0.0);
    for (name, b) in b {
        assert_eq!(a[name].len(), b.len(), "{name}");
        distance += a[name].iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
        size += b.iter().map(|b| b * b).sum::<f64>();
    }
    (distance / size).sqrt()
}

fn loss_error(asked: &Value, summary: &Value) -> f64 {
    let expected = asked.get("loss").or(asked.get("query_loss")).and_then(Value::as_f64);
    expected.map_or(0.0, |l| (summary["loss"].as_f64().unwrap() - l).abs() / l.abs())
}

#[test]
fn every_golden_agrees_in_f64() {
    for golden in Golden::all() {
        for asked in &golden.asked {
            let (result, summary) = run(&golden.path, &golden.model, asked, "f64");
            let (error, loss) = (error(&result, &golden.expected(asked)), loss_error(asked, &summary));
            // The peers agree with each other to 1e-13 (1e-10 where a solve runs to its tolerance); ours is a third
            // order of the same sums.
            let bound = if asked["cg_tol"].is_null() { 1e-10 } else { 1e-8 };
            println!("{} {}: {error:.1e}, loss {loss:.1e}", golden.model, asked["key"]);
            assert!(error <= bound && loss <= bound, "{} {}: {error:e}, loss {loss:e}", golden.model, asked["key"]);
        }
    }
}

/// The unit roundoff of f32.
const U: f64 = 1.0 / (1 << 24) as f64;

/// The relative change of inputs that conditions are measured with.
const H: f64 = 1e-10;

/// The default of --cg-max.
const CG_MAX: f64 = 1000.0;

/// In single precision an implicit gradient is as good as its condition allows, and that is found out in double:
///
/// 1. One evaluation (a gradient, a product) in f32 is the exact one of inputs that differ by some √n u, relative,
///    n being the longest sum in it (Higham & Mary 2019: rounding errors of mean zero grow like √n).
/// 2. The condition κ: what a change of all inputs by a relative h does to the answer, over h. Measured with the f64
///    program, the largest of several; h is far above the rounding of f64 and too small to cross a kink of ReLU.
/// 3. The answer takes e = K + 1 + (products) evaluations in a row, each with a rounding of its own; of mean zero and
///    independent, as in 1, they add up to √e κ √n u. A solve to a tolerance beyond f32 restarts from true residuals
///    until one no longer halves: whatever went before, it ends within twice the rounding of one product.
/// 4. An indefinite system can take κ ln(2/u) products (MINRES: the residual falls by (κ − 1)/(κ + 1) every two);
///    where that is beyond --cg-max, the program may say `capped` instead.
#[test]
fn every_golden_agrees_in_f32() {
    for (i, golden) in Golden::all().into_iter().enumerate() {
        // mlp: 40 inputs of a layer. conv: 3 images of 14 × 14 in a batch mean. pool: 3 of 32 × 32.
        let longest: f64 = [40.0, 3.0 * 14.0 * 14.0, 3.0 * 32.0 * 32.0][i];
        let folder = tempfile::tempdir().unwrap();
        let perturbed: Vec<PathBuf> = (0..4).map(|seed| perturb(&golden.path, H, seed, &folder)).collect();
        for asked in &golden.asked {
            let expected = golden.expected(asked);
            let (result, summary) = run(&golden.path, &golden.model, asked, "f32");
            let (found, loss) = (error(&result, &expected), loss_error(asked, &summary));
            let statuses: Vec<&str> = summary["status"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            let mut bound = 1e-4;
            if asked["method"] == "imaml" {
                let moved = |path: &PathBuf| error(&run(path, &golden.model, asked, "f64").0, &expected);
                let condition = perturbed.iter().map(moved).fold(0.0, f64::max) / H;
                let to_tolerance = !asked["cg_tol"].is_null();
                let products = summary["products"].as_f64().unwrap() / statuses.len() as f64;
                let evaluations =
                    asked["inner_steps"].as_f64().unwrap() + 1.0 + if to_tolerance { 2.0 } else { products };
                bound = evaluations.sqrt() * condition * longest.sqrt() * U;
                if to_tolerance && condition * (2.0 / U).ln() > CG_MAX && statuses.contains(&"capped") {
                    println!("{} {}: capped, as κ = {condition:.0} allows", golden.model, asked["key"]);
                    continue;
                }
            }
            println!("{} {}: {found:.1e} of {bound:.1e}, loss {loss:.1e}", golden.model, asked["key"]);
            assert!(
                found <= bound && loss <= 1e-4,
                "{} {}: {found:e} of {bound:e} {statuses:?}",
                golden.model,
                asked["key"]
            );
            assert!(bound < 0.1, "{}: a bound of {bound:e} says nothing", asked["key"]);
        }
    }
}

/// A copy of an episode file with every number moved by a relative ±`size`.
fn perturb(path: &Path, size: f64, seed: u64, folder: &tempfile::TempDir) -> PathBuf {
    let bytes = std::fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut state = seed;
    let mut sign = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if state >> 63 == 0 { size } else { -size }
    };
    let mut moved: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    let mut names = tensors.names();
    names.sort_unstable();
    for name in names {
        let t = tensors.tensor(name).unwrap();
        let data = match t.dtype() {
            Dtype::F64 => {
                let number = |b: &[u8]| f64::from_le_bytes(b.try_into().unwrap());
                t.data().chunks_exact(8).flat_map(|b| (number(b) * (1.0 + sign())).to_le_bytes()).collect()
            }
            _ => t.data().to_vec(),
        };
        moved.push((name.into(), t.dtype(), t.shape().into(), data));
    }
    let views: Vec<(&str, TensorView<'_>)> = moved
        .iter()
        .map(|(name, dtype, shape, data)| (name.as_str(), TensorView::new(*dtype, shape.clone(), data).unwrap()))
        .collect();
    let to = folder.path().join(format!("{seed}.safetensors"));
    std::fs::write(&to, safetensors::serialize(views, None).unwrap()).unwrap();
    to
}
