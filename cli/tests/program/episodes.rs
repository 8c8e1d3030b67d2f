//! Episode files: written, read back, refused where they are wrong; parameters that go from file to file.

use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use super::bad_input::refuses;
use super::{bytes, folder, run, succeed};

const MLP: &str = "--model=mlp:1-8-1,act=tanh";
const CONV: &str = "--model=conv4:channels=4,stride=2,ways=3,image=1x28x28";

/// An episode file of two sinusoid tasks in double precision, with two directions.
fn sinusoid(folder: &Path) {
    let export = ["export-episode", "sinusoid", MLP, "--shots=4", "--queries=3", "--tasks=2", "--dtype=f64"];
    succeed(folder, &[&export[..], &["--vectors=2", "--out=s.safetensors"]].concat());
}

/// What to do to a file.
type Change<'f> = Box<dyn Fn(&mut Vec<Tensor>) + 'f>;

type Tensor = (String, Dtype, Vec<usize>, Vec<u8>);

/// A copy of `s.safetensors` as `bad.safetensors`, changed by `change`.
fn changed(folder: &Path, change: impl Fn(&mut Vec<Tensor>)) {
    let whole = bytes(folder, "s.safetensors");
    let file = SafeTensors::deserialize(&whole).unwrap();
    let mut tensors: Vec<Tensor> =
        file.iter().map(|(name, t)| (name.into(), t.dtype(), t.shape().into(), t.data().into())).collect();
    change(&mut tensors);
    let views: Vec<(&str, TensorView<'_>)> = tensors
        .iter()
        .map(|(name, dtype, shape, data)| (name.as_str(), TensorView::new(*dtype, shape.clone(), data).unwrap()))
        .collect();
    std::fs::write(folder.join("bad.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
}

fn find<'t>(tensors: &'t mut [Tensor], name: &str) -> &'t mut Tensor {
    tensors.iter_mut().find(|t| t.0 == name).unwrap()
}

#[test]
fn a_task_that_is_not_finite_is_named_and_left_out_if_asked() {
    let folder = folder();
    let path = folder.path();
    sinusoid(path);
    // Finite, but no square of it is.
    changed(path, |tensors| find(tensors, "query.y").3[..8].copy_from_slice(&1e200_f64.to_le_bytes()));
    let metagrad = ["metagrad", "bad.safetensors", MLP, "--method=imaml", "--inner-steps=3", "--inner-lr=0.05"];
    refuses(path, &metagrad, &["task 0 is not finite", "--on-not-finite skip"]);
    let skipping = [&metagrad[..], &["--on-not-finite=skip", "--json"]].concat();
    let json: Value = serde_json::from_str(&succeed(path, &skipping)).unwrap();
    assert_eq!(json["not_finite"], serde_json::json!([0]));
    assert!(json["norm"].as_f64().unwrap() > 0.0 && json["loss"].as_f64().unwrap() > 0.0);
}

#[test]
fn an_estimate_of_the_error_falls_with_the_error() {
    let folder = folder();
    let path = folder.path();
    sinusoid(path);
    let estimates = |steps, cg| -> Vec<f64> {
        let asked = ["--method=imaml", "--inner-lr=0.05", steps, cg, "--error-estimate", "--json"];
        let json: Value =
            serde_json::from_str(&succeed(path, &[&["metagrad", "s.safetensors", MLP], &asked[..]].concat())).unwrap();
        json["error_estimate"].as_array().unwrap().iter().map(|e| e.as_f64().unwrap()).collect()
    };
    let (rough, fine) = (estimates("--inner-steps=3", "--cg-steps=1"), estimates("--inner-steps=300", "--cg-steps=30"));
    assert!(rough.len() == 2 && rough.iter().zip(&fine).all(|(r, f)| *f >= 0.0 && *f < 0.01 * r), "{rough:?} {fine:?}");
}

#[test]
fn a_solve_that_ends_at_a_kink_says_how_stationary_it_is_there() {
    let folder = folder();
    let path = folder.path();
    sinusoid(path);
    let asked = ["metagrad", "s.safetensors", "--model=mlp:1-8-1", "--method=imaml", "--inner-solver=hessian-free"];
    let asked = [&asked[..], &["--lambda=0.5", "--inner-steps=30", "--inner-tol=1e-10"]].concat();
    let json: Value = serde_json::from_str(&succeed(path, &[&asked[..], &["--json"]].concat())).unwrap();
    let statuses = json["inner_status"].as_array().unwrap();
    assert!(statuses.iter().any(|s| s == "kink"), "{json}");
    for (status, kink) in statuses.iter().zip(json["inner_kink"].as_array().unwrap()) {
        assert_eq!(status == "kink", kink["norm"].is_f64() && kink["radius"].is_f64(), "{json}");
    }
    let said = succeed(path, &asked);
    assert!(said.contains("the shortest combination of gradients within"), "{said}");
}

#[test]
fn what_is_exported_can_be_used() {
    let folder = folder();
    let path = folder.path();
    sinusoid(path);
    let metagrad = ["metagrad", "s.safetensors", MLP, "--method=imaml", "--inner-steps=3", "--inner-lr=0.05", "--json"];
    let json: Value = serde_json::from_str(&succeed(path, &metagrad)).unwrap();
    let mut keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    let expected = "flops isa loss negative_curvature norm peak_rss_bytes plan_bytes products seconds status threads";
    assert_eq!(keys.join(" "), expected);
    assert_eq!(json["products"], 10, "two tasks of five iterations");
    // Fewer states kept, the same bits.
    let maml = ["metagrad", "s.safetensors", MLP, "--method=maml", "--inner-steps=6", "--inner-lr=0.05", "--json"];
    let of = |more: &[&str]| -> Value { serde_json::from_str(&succeed(path, &[&maml[..], more].concat())).unwrap() };
    let (all, two) = (of(&[]), of(&["--checkpoints=2"]));
    assert_eq!((&all["norm"], &all["loss"]), (&two["norm"], &two["loss"]));
    assert!(two["plan_bytes"].as_u64() < all["plan_bytes"].as_u64());
    let hvp: Value =
        serde_json::from_str(&succeed(path, &["hvp", "s.safetensors", MLP, "--json", "--repeat=3"])).unwrap();
    assert_eq!(hvp["seconds"].as_array().unwrap().len(), 3);

    // What is predicted does not depend on who predicts it.
    let predict = |threads: &str, out: &str| {
        let options = ["predict", "s.safetensors", MLP, "--inner-steps=2", "--inner-lr=0.05", threads, "--out", out];
        (succeed(path, &options), bytes(path, out))
    };
    assert_eq!(predict("--threads=1", "one.safetensors"), predict("--threads=2", "two.safetensors"));
    refuses(path, &["predict", "s.safetensors", MLP, "--threads=0"], &["--threads is 0"]);

    // Images, and the same task whatever else is in the file.
    let glyphs = ["export-episode", "glyphs", CONV, "--ways=3", "--queries=2"];
    succeed(path, &[&glyphs[..], &["--first=5", "--tasks=2", "--out=a.safetensors"]].concat());
    succeed(path, &[&glyphs[..], &["--first=6", "--tasks=1", "--out=b.safetensors"]].concat());
    let (a, b) = (bytes(path, "a.safetensors"), bytes(path, "b.safetensors"));
    let (a, b) = (SafeTensors::deserialize(&a).unwrap(), SafeTensors::deserialize(&b).unwrap());
    let x = a.tensor("query.x").unwrap();
    assert_eq!(x.shape(), [2, 6, 1, 28, 28]);
    assert_eq!(x.data()[x.data().len() / 2..], *b.tensor("query.x").unwrap().data());
    assert_eq!(a.tensor("query.y").unwrap().dtype(), Dtype::I64);
}

#[test]
fn parameters_go_from_file_to_file() {
    let folder = folder();
    let path = folder.path();
    let train =
        ["train", "glyphs", "--method=maml", CONV, "--ways=3", "--queries=2", "--meta-batch=2", "--eval-every=0"];
    succeed(path, &[&train[..], &["--iterations=2", "--out=run"]].concat());
    let export = ["export-episode", "glyphs", CONV, "--ways=3", "--queries=2", "--init=run/model.safetensors"];
    succeed(path, &[&export[..], &["--out=e.safetensors"]].concat());
    let (model, episodes) = (bytes(path, "run/model.safetensors"), bytes(path, "e.safetensors"));
    let (model, episodes) = (SafeTensors::deserialize(&model).unwrap(), SafeTensors::deserialize(&episodes).unwrap());
    for (name, tensor) in model.iter() {
        assert_eq!(tensor.data(), episodes.tensor(&format!("param.{name}")).unwrap().data(), "{name}");
    }
    // A run starts from either file, and both are the same start.
    for (init, out) in [("run/model.safetensors", "one"), ("e.safetensors", "two")] {
        let (init, out) = (format!("--init={init}"), format!("--out={out}"));
        succeed(path, &[&train[..], &["--iterations=1", &init, &out]].concat());
    }
    assert_eq!(bytes(path, "one/model.safetensors"), bytes(path, "two/model.safetensors"));
    assert_ne!(bytes(path, "one/model.safetensors"), bytes(path, "run/model.safetensors"));

    let predict = ["predict", "e.safetensors", CONV, "--out=p.safetensors"];
    assert!(succeed(path, &predict).starts_with("accuracy "));
    let p = bytes(path, "p.safetensors");
    assert_eq!(SafeTensors::deserialize(&p).unwrap().tensor("query.output").unwrap().shape(), [8, 6, 3]);
    let adapted = [&predict[..], &["--inner-steps=2", "--inner-lr=0.4", "--inductive"]].concat();
    succeed(path, &adapted);
    assert_ne!(bytes(path, "p.safetensors"), p);
}

#[test]
fn what_a_run_learned_beside_its_parameters_stays_in_its_file() {
    let folder = folder();
    let path = folder.path();
    let train = ["train", "sinusoid", MLP, "--eval-every=0", "--iterations=2"];
    for (method, learn) in [("--method=maml", "--learn=rate:parameter"), ("--method=imaml", "--learn=lambda")] {
        succeed(path, &[&train[..], &[method, learn, "--out=first", "--force"]].concat());
        let part = if learn.contains("rate") { "ignoring rate.fc1.weight" } else { "ignoring log_lambda" };
        for arguments in [
            &["train", "sinusoid", MLP, "--iterations=1", "--init=first/model.safetensors", "--out=second", "--force"]
                [..],
            &["export-episode", "sinusoid", MLP, "--init=first/model.safetensors", "--out=e.safetensors"],
        ] {
            let output = run(path, arguments);
            let error = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success() && error.contains(part), "{arguments:?}: {error}");
        }
        let (model, episodes) = (bytes(path, "first/model.safetensors"), bytes(path, "e.safetensors"));
        let (model, episodes) =
            (SafeTensors::deserialize(&model).unwrap(), SafeTensors::deserialize(&episodes).unwrap());
        for name in ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"] {
            let param = episodes.tensor(&format!("param.{name}")).unwrap();
            assert_eq!(model.tensor(name).unwrap().data(), param.data(), "{name}");
        }
    }
}

#[test]
fn a_wrong_start_is_refused() {
    let folder = folder();
    let path = folder.path();
    sinusoid(path);
    let train = ["train", "sinusoid", "--out=run"];
    for (init, says) in [
        ("--init=none.safetensors", &["cannot read", "none.safetensors"][..]),
        ("--init=s.safetensors", &["param.fc1.weight", "[8, 1]", "[40, 1]"]),
    ] {
        refuses(path, &[&train[..], &[init]].concat(), says);
    }
    refuses(path, &[&train[..], &["--init=s.safetensors", "--model=mlp:1-9-1"]].concat(), &["fc1.weight", "[9, 1]"]);
    refuses(path, &["export-episode", "sinusoid", "--out=none/e.safetensors"], &["cannot write", "none"]);
    refuses(path, &["export-episode", "sinusoid", "--tasks=0", "--out=run"], &["--tasks is 0"]);
    refuses(path, &["export-episode", "omniglot", "--out=run"], &["--data"]);
    refuses(path, &["predict", "s.safetensors", MLP, "--inner-steps=1"], &["--inner-lr"]);
}

/// Every wrong episode file: how it is wrong, and what must be said.
#[test]
fn wrong_episode_files_are_refused() {
    let folder = folder();
    let path = folder.path();
    sinusoid(path);
    let not_a_number = |t: &mut Tensor| t.3[..8].copy_from_slice(&f64::NAN.to_le_bytes());
    let infinite = |t: &mut Tensor| t.3[..8].copy_from_slice(&f64::INFINITY.to_le_bytes());
    let cut = |t: &mut Tensor| {
        (t.2, t.3) = (vec![0, 4, 1], Vec::new());
    };
    let cases: Vec<(&str, Change<'_>, &[&str])> = vec![
        ("metagrad", Box::new(|t| t.retain(|t| !t.0.starts_with("query"))), &["query.x", "missing"]),
        ("metagrad", Box::new(|t| t.retain(|t| t.0 != "support.y")), &["support.y", "missing"]),
        ("metagrad", Box::new(|t| t.retain(|t| t.0 != "param.fc2.bias")), &["param.fc2.bias", "missing"]),
        ("hvp", Box::new(|t| t.retain(|t| !t.0.starts_with("vector"))), &["vector.fc1.weight", "missing"]),
        ("grad", Box::new(move |t| not_a_number(find(t, "param.fc1.weight"))), &["param.fc1.weight", "NaN", "finite"]),
        ("grad", Box::new(move |t| infinite(find(t, "support.x"))), &["support.x", "inf", "finite"]),
        ("metagrad", Box::new(move |t| not_a_number(find(t, "query.y"))), &["query.y", "NaN"]),
        ("grad", Box::new(move |t| cut(find(t, "support.x"))), &["support.x", "[0, 4, 1]", "at least one task"]),
        ("grad", Box::new(|t| find(t, "param.fc1.bias").2 = vec![1, 8]), &["param.fc1.bias", "[1, 8]", "[8]"]),
        ("metagrad", Box::new(|t| find(t, "query.x").2 = vec![1, 6, 1]), &["query.x", "1 tasks", "2"]),
        ("grad", Box::new(|t| find(t, "support.y").2 = vec![2, 2, 2]), &["support.y", "[2, 2, 2]", "[2, 4, 1]"]),
        ("grad", Box::new(|t| find(t, "param.fc1.bias").0 = "param.fc9.bias".into()), &["fc9.bias", "fc1.bias"]),
        ("grad", Box::new(|t| find(t, "param.fc1.bias").0 = "weights".into()), &["weights", "param.*"]),
        ("grad", Box::new(|t| find(t, "support.x").1 = Dtype::I64), &["support.x", "I64", "F64"]),
    ];
    for (command, change, says) in cases {
        changed(path, change);
        let mut arguments = vec![command, "bad.safetensors", MLP, "--out=run"];
        if command == "metagrad" {
            arguments.extend(["--method=maml", "--inner-steps=1", "--inner-lr=0.1"]);
        }
        refuses(path, &arguments, says);
    }

    let whole = bytes(path, "s.safetensors");
    let mut lies = whole.clone();
    lies[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let cases = [&whole[..whole.len() - 1], &whole[..100], &lies, b"", b"{}", &[255; 64]];
    for bad in cases {
        std::fs::write(path.join("bad.safetensors"), bad).unwrap();
        refuses(path, &["grad", "bad.safetensors", MLP, "--out=run"], &["bad.safetensors", "damaged"]);
    }
    refuses(path, &["grad", "none.safetensors", MLP], &["none.safetensors", "cannot read"]);
    refuses(path, &["grad", "s.safetensors", "--model=mlp:1"], &["--model", "width"]);
    let vast = "--model=conv4:channels=1048576,stride=2,ways=5,image=1x28x28";
    refuses(path, &["grad", "s.safetensors", vast], &["parameters", "at most"]);
    let maml = ["metagrad", "s.safetensors", MLP, "--method=maml", "--inner-lr=0.1"];
    refuses(path, &[&maml[..], &["--inner-steps=9223372036854775808"]].concat(), &["--inner-steps", "10000"]);
    refuses(path, &[&maml[..], &["--inner-steps=1", "--dtype=f32", "--es-sigma=1"]].concat(), &["--es-sigma", "es"]);
    let tiny =
        ["metagrad", "s.safetensors", MLP, "--method=imaml", "--inner-steps=1", "--inner-lr=0.1", "--lambda=1e-50"];
    refuses(path, &[&tiny[..], &["--dtype=f32"]].concat(), &["--lambda is 1e-50", "above 0", "f32"]);
    succeed(path, &tiny);
    refuses(path, &[&maml[..], &["--inner-steps=1", "--lambda=1"]].concat(), &["--lambda", "imaml"]);
    refuses(path, &[&maml[..], &["--inner-steps=1", "--checkpoints=0"]].concat(), &["--checkpoints is 0"]);
    refuses(path, &["metagrad", "s.safetensors", MLP, "--method=maml", "--inner-lr=0.1"], &["--inner-steps"]);
    refuses(path, &["metagrad", "s.safetensors", MLP, "--method=maml", "--inner-steps=1"], &["gd", "--inner-lr"]);
    refuses(path, &["grad", "s.safetensors", MLP, "--out=none/g.safetensors"], &["cannot write", "none"]);
}

#[test]
fn options_that_a_meta_gradient_has_no_use_for_are_refused() {
    let folder = folder();
    let path = folder.path();
    sinusoid(path);
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("imaml", &["--checkpoints=1"], &["--checkpoints", "maml"]),
        ("darts", &["--checkpoints=1"], &["--checkpoints belongs to the method maml"]),
        ("darts", &["--truncate=1"], &["--truncate", "maml"]),
        ("maml", &["--truncate=4"], &["--truncate is 4: expected 0 to 3"]),
        ("darts", &["--lambda=1"], &["--lambda belongs to the methods imaml and auto", "no prox term"]),
        ("auto", &["--cg-steps=3"], &["--cg-steps belongs to the method imaml", "chooses its linear solve"]),
        ("maml", &["--error-estimate"], &["--error-estimate", "imaml"]),
        ("es", &["--es-pairs=1000001"], &["--es-pairs is 1000001: expected 1 to 1000000"]),
        ("es", &["--es-pairs=0"], &["--es-pairs is 0"]),
        ("maml", &["--es-seed=0"], &["--es-seed", "es"]),
        ("imaml", &["--cg-max=5"], &["--cg-max", "--cg-tol"]),
        ("imaml", &["--cg-tol=0.1", "--cg-max=0"], &["--cg-max is 0: expected at least 1"]),
        ("imaml", &["--cg-steps=0"], &["--cg-steps is 0: expected 1 to 10000"]),
        ("imaml", &["--cg-tol=0"], &["--cg-tol is 0: expected a number above 0"]),
        ("imaml", &["--solver=dense", "--cg-tol=0.1"], &["--cg-tol belongs to the iterations"]),
        ("reptile", &["--inner-steps=0"], &["--inner-steps is 0: reptile"]),
        ("imaml", &["--inner-solver=lbfgs"], &["--inner-lr", "lbfgs"]),
        ("maml", &["--inner-tol=0.1"], &["--inner-tol", "imaml"]),
        ("imaml", &["--inner-tol=0.1", "--hypergradients"], &["--hypergradients", "--inner-tol"]),
    ];
    for (method, more, says) in cases {
        let method = format!("--method={method}");
        let steps: &[&str] = if more[0].starts_with("--inner-steps") { &[] } else { &["--inner-steps=3"] };
        let metagrad = ["metagrad", "s.safetensors", MLP, &method, "--inner-lr=0.1"];
        refuses(path, &[&metagrad[..], steps, more].concat(), says);
    }
}

#[test]
fn wrong_labels_are_refused() {
    let folder = folder();
    let path = folder.path();
    let export = ["export-episode", "glyphs", CONV, "--ways=3", "--tasks=1", "--out=s.safetensors"];
    succeed(path, &export);
    for (label, says) in [(3_i64, "3"), (-1, "-1"), (i64::MAX, "9223372036854775807")] {
        changed(path, |t| find(t, "support.y").3[..8].copy_from_slice(&label.to_le_bytes()));
        refuses(path, &["grad", "bad.safetensors", CONV, "--out=run"], &["support.y", says, "3 classes"]);
    }
    changed(path, |t| {
        let buffer = ("param.bn1.running_mean".into(), Dtype::F32, vec![1], vec![0; 4]);
        t.push(buffer);
    });
    let output = run(path, &["grad", "bad.safetensors", CONV]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && error.contains("ignoring the buffer param.bn1.running_mean"), "{error}");
}

/// The counts of products against formulas: with f one forward pass and f₁ its first layer, a gradient is 3f − f₁, a
/// product at a stored point 6(f − f₁) + 2f₁.
#[test]
fn flops_are_the_algebraic_minimum() {
    let folder = folder();
    let path = folder.path();
    succeed(path, &["export-episode", "glyphs", CONV, "--ways=3", "--queries=2", "--tasks=2", "--out=e.safetensors"]);
    // 3 images: 3×3 kernels on 14², 7², 4², 2² positions; then [3, 16] · [16, 3].
    let layers = [14 * 14 * 9 * 4, 7 * 7 * 36 * 4, 4 * 4 * 36 * 4, 2 * 2 * 36 * 4, 16 * 3];
    let forward = |images: u64| 2 * images * layers.iter().sum::<u64>();
    let first = |images: u64| 2 * images * layers[0];
    let gradient = |images| 3 * forward(images) - first(images);
    let product = 6 * (forward(3) - first(3)) + 2 * first(3);
    let flops = |arguments: &[&str]| {
        let json = succeed(path, &[arguments, &["e.safetensors", CONV, "--json"]].concat());
        serde_json::from_str::<Value>(&json).unwrap()["flops"].as_u64().unwrap()
    };
    assert_eq!(flops(&["grad"]), 2 * gradient(3));
    let metagrad = |arguments: &[&str]| flops(&[&["metagrad", "--inner-lr=0.01"], arguments].concat());
    assert_eq!(metagrad(&["--method=maml", "--inner-steps=2"]), 2 * (2 * (gradient(3) + product) + gradient(6)));
    assert_eq!(metagrad(&["--method=fomaml", "--inner-steps=2"]), 2 * (2 * gradient(3) + gradient(6)));
    let imaml = ["--method=imaml", "--inner-steps=4", "--cg-steps=3"];
    assert_eq!(metagrad(&imaml), 2 * (5 * gradient(3) + gradient(6) + 3 * product));
}

#[test]
fn a_file_is_verified() {
    let folder = folder();
    let path = folder.path();
    sinusoid(path);
    let text = succeed(path, &["verify", "s.safetensors", MLP, "--tasks=2"]);
    for part in [
        "dense solve",
        "implicit, CG",
        "unrolled, checkpoints",
        "DARTS",
        "auto",
        "off at a standard error of 0.16",
        "0 disagree",
        "Nothing disagrees.",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let json = succeed(path, &["verify", "s.safetensors", MLP, "--freeze=fc1", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["sound"], json["cases"].as_array().unwrap().len()), (&Value::from(true), 1));
    let pairs = json["cases"][0]["findings"][0]["pairs"].as_array().unwrap();
    assert!(pairs.iter().any(|p| p["verdict"] == "agree") && pairs.iter().any(|p| p["reason"].is_string()));

    refuses(path, &["verify", "s.safetensors"], &["--model"]);
    refuses(path, &["verify", "s.safetensors", MLP, "--freeze=conv"], &["--freeze conv", "fc1.weight"]);
    refuses(path, &["verify", "s.safetensors", MLP, "--freeze=fc"], &["every parameter"]);
    refuses(path, &["verify", "s.safetensors", MLP, "--lambda=0"], &["--lambda is 0"]);
    refuses(path, &["verify", "s.safetensors", MLP, "--tasks=0"], &["--tasks"]);
    refuses(path, &["verify", "s.safetensors", MLP, "--tasks=3"], &["--tasks is 3", "2 tasks"]);
    refuses(path, &["verify", "none.safetensors", MLP], &["cannot read", "none"]);
    // What is asked of a file is not asked of the cases that are built in.
    for option in ["--freeze=nonsense", "--inductive", "--tasks=2"] {
        refuses(path, &["verify", option], &["FILE"]);
    }
}

#[test]
fn the_built_in_cases_agree() {
    let folder = folder();
    let text = succeed(folder.path(), &["verify"]);
    assert!(text.contains("linear regression") && text.contains("Nothing disagrees."), "{text}");
}
