//! Runs repeat: across interruptions, threads, and their own saved configuration.

use super::{TINY, bytes, folder, succeed};

/// The methods, with an outer optimiser each that needs other state.
const METHODS: [&[&str]; 19] = [
    &["--method=imaml", "--cg-steps=2"],
    &["--method=imaml", "--cg-steps=2", "--warm-start"],
    &["--method=imaml", "--cg-steps=2", "--warm-start=neighbour"],
    &["--method=imaml", "--preconditioner=lbfgs", "--on-negative-curvature=damp"],
    &["--method=imaml", "--on-negative-curvature=gauss-newton"],
    &["--method=imaml", "--preconditioner=nystrom"],
    &["--method=imaml", "--cg-steps=8", "--tol=auto", "--lambda=20"],
    &["--method=maml", "--truncate=1"],
    &["--method=maml", "--learn=rate:layer", "--adapt=head"],
    &["--method=imaml", "--learn=lambda:parameter", "--adapt=body"],
    &["--method=fomaml"],
    &["--method=reptile"],
    &["--method=darts"],
    &["--method=es", "--es-pairs=2"],
    &["--method=es", "--es-pairs=2", "--learn=rate"],
    &["--method=imaml", "--inner-solver=lbfgs", "--inner-tol=0.05"],
    &["--method=imaml", "--inner-solver=hessian-free", "--warm-start"],
    &["--method=imaml", "--inner-lr=auto", "--preconditioner=lbfgs"],
    &["--method=maml", "--inner-solver=nesterov", "--inner-lr=0.05", "--learn=rate"],
];

/// Lines of metrics without what differs from run to run: time.
fn metrics(folder: &std::path::Path, run: &str) -> Vec<serde_json::Value> {
    let text = String::from_utf8(bytes(folder, &format!("{run}/metrics.jsonl"))).unwrap();
    let timeless = |line: &str| {
        let mut object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(object["seconds"].take().as_f64().unwrap() > 0.0);
        object
    };
    text.lines().map(timeless).collect()
}

#[test]
fn a_resumed_run_is_the_uninterrupted_one_bit_for_bit() {
    let folder = folder();
    let path = folder.path();
    for method in METHODS {
        let train = |more: &[&str]| succeed(path, &[&["train"], TINY, method, more].concat());
        train(&["--iterations=6", "--out=whole", "--force"]);
        train(&["--iterations=3", "--out=parts", "--force"]);
        assert_ne!(bytes(path, "whole/model.safetensors"), bytes(path, "parts/model.safetensors"));
        succeed(path, &["train", "--resume=parts", "--iterations=6"]);
        for file in ["model.safetensors", "config.toml"] {
            assert_eq!(
                bytes(path, &format!("whole/{file}")),
                bytes(path, &format!("parts/{file}")),
                "{method:?} {file}"
            );
        }
        // Validations are in there too.
        assert_eq!(metrics(path, "whole"), metrics(path, "parts"), "{method:?}");
        if method.iter().any(|option| option.starts_with("--inner")) {
            let evaluate = |run| succeed(path, &["eval", run, "--tasks=3", "--json"]);
            assert_eq!(evaluate("whole"), evaluate("parts"), "{method:?}");
        }
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let folder = folder();
    for threads in ["--threads=1", "--threads=2"] {
        let out = format!("--out={}", &threads[2..]);
        succeed(folder.path(), &[&["train"], TINY, &["--iterations=4", "--tol=auto", threads, &out]].concat());
    }
    let path = folder.path();
    assert_eq!(bytes(path, "threads=1/model.safetensors"), bytes(path, "threads=2/model.safetensors"));
    assert_eq!(metrics(path, "threads=1"), metrics(path, "threads=2"));
    let evaluate = |threads| succeed(path, &["eval", "threads=1", "--tasks=8", "--json", threads]);
    assert_eq!(evaluate("--threads=1"), evaluate("--threads=2"));
}

#[test]
fn a_saved_configuration_makes_the_run_again() {
    let folder = folder();
    let path = folder.path();
    let sinusoid: &[&str] = &["sinusoid", "--iterations=20", "--inner-steps=3", "--meta-batch=4"];
    for (arguments, method) in [(TINY, "imaml"), (sinusoid, "imaml"), (sinusoid, "reptile")] {
        let method = format!("--method={method}");
        let mut first = [&["train"], arguments, &[&method, "--out=first", "--force"]].concat();
        if arguments == TINY {
            first.push("--iterations=2");
        }
        succeed(path, &first);
        succeed(path, &["train", "--config=first/config.toml", "--out=second", "--force"]);
        for file in ["model.safetensors", "config.toml"] {
            assert_eq!(bytes(path, &format!("first/{file}")), bytes(path, &format!("second/{file}")), "{arguments:?}");
        }
    }
}

#[test]
fn options_win_over_the_config_file() {
    let folder = folder();
    std::fs::write(folder.path().join("a.toml"), "dataset = \"sinusoid\"\nminutes = 60.0\nmeta-batch = 3\n").unwrap();
    succeed(folder.path(), &["train", "--config=a.toml", "--iterations=2", "--seed=5", "--out=run"]);
    let config = String::from_utf8(bytes(folder.path(), "run/config.toml")).unwrap();
    let asked = ["dataset = \"sinusoid\"", "iterations = 2", "meta-batch = 3", "seed = 5"];
    for key in asked.iter().chain(&["solver = \"cg\"", "on-negative-curvature = \"minres\"", "warm-start = \"none\""]) {
        assert!(config.contains(key), "{key} in {config}");
    }
    assert!(!config.contains("minutes"));
}

#[test]
fn an_evaluation_states_its_protocol() {
    let folder = folder();
    let path = folder.path();
    succeed(path, &[&["train"], TINY, &["--iterations=2", "--out=run"]].concat());
    let text = succeed(path, &["eval", "run", "--tasks=6", "--inner-steps=3,0", "--split=validation"]);
    for part in [
        "3-way 1-shot",
        "2 queries a class",
        "0.5·‖φ − θ‖²",
        "6 tasks",
        "validation",
        "seed 7",
        "inductive",
        "all layers",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let json = succeed(path, &["eval", "run", "--tasks=6", "--inner-steps=3,0", "--split=validation", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["lambda"], 0.5);
    let results = json["results"].as_array().unwrap();
    let keys: Vec<_> =
        results.iter().map(|r| (r["statistics"].as_str().unwrap(), r["steps"].as_u64().unwrap())).collect();
    assert_eq!(keys, [("transductive", 0), ("transductive", 3), ("inductive", 0), ("inductive", 3)]);
    assert!(results.iter().all(|r| (0.0..=1.0).contains(&r["mean"].as_f64().unwrap())));
}

#[test]
fn a_run_is_measured_with_the_solver_that_it_was_trained_with() {
    let folder = folder();
    let path = folder.path();
    let model = "--model=mlp:1-8-1,act=tanh";
    let json = |arguments: &[&str]| -> serde_json::Value { serde_json::from_str(&succeed(path, arguments)).unwrap() };
    let cases: [(&[&str], &str, &str); 6] = [
        (&["--inner-solver=lbfgs", "--inner-tol=0.01"], "imaml", "L-BFGS"),
        (&["--inner-solver=hessian-free"], "imaml", "Hessian-free Newton"),
        (&["--inner-lr=auto"], "imaml", "found for each task"),
        (&["--inner-lr=auto"], "maml", "found for each task"),
        (&["--inner-solver=nesterov", "--inner-lr=0.02"], "maml", "Nesterov's momentum 0.9"),
        (&["--inner-solver=adam", "--inner-lr=0.02", "--inner-tol=0.1"], "imaml", "until ‖∇G‖ ≤ 0.1"),
    ];
    let mut losses = Vec::new();
    for (inner, method, says) in cases {
        let (method, imaml) = (&format!("--method={method}")[..], method == "imaml");
        let prox: &[&str] = if imaml { &["--lambda=0.5"] } else { &[] };
        let train = ["train", "sinusoid", model, method, "--inner-steps=6", "--eval-every=0", "--shots=10"];
        let said = succeed(path, &[&train[..], inner, &["--iterations=2", "--out=run", "--force"]].concat());
        assert!(said.contains("6 steps of "), "{said}");
        let text = succeed(path, &["eval", "run", "--tasks=2"]);
        assert!(text.contains(says), "{says} in {text}");
        let page = String::from_utf8(bytes(path, "run/report.html")).unwrap();
        assert!(page.contains(&says.replace('\'', "&#39;")) || page.contains(says), "{says} on the page");
        // The same tasks adapted to by the command that takes their meta-gradient, and by the one that predicts.
        let evaluated = json(&["eval", "run", "--tasks=2", "--split=train", "--inner-steps=6", "--json"]);
        succeed(
            path,
            &["export-episode", "sinusoid", model, "--tasks=2", "--init=run/model.safetensors", "--out=e.safetensors"],
        );
        let adapt = [&["e.safetensors", model, "--inner-steps=6"], prox, inner].concat();
        let trained = json(&[&["metagrad"], &adapt[..], &[method, "--json"]].concat());
        let loss = trained["loss"].as_f64().unwrap();
        assert_eq!(trained["inner_status"].is_array(), imaml);
        // Means of ten squares in another order and precision.
        let agrees = |mse: f64| (mse - loss).abs() <= 1e-6 * loss;
        let mse = evaluated["results"][0]["mean"].as_f64().unwrap();
        assert!(agrees(mse), "{inner:?}: {mse} and {loss}");
        // What predicts knows no method, and finds a step size as it goes.
        if imaml || inner != ["--inner-lr=auto"] {
            let predicted = succeed(path, &[&["predict"], &adapt[..]].concat());
            let mse = predicted.split(' ').nth(1).unwrap().parse::<f64>().unwrap();
            assert!((mse - loss).abs() <= 1e-6 * loss + 1e-6, "{inner:?}: {predicted}");
        }
        losses.push(loss);
    }
    losses.sort_by(f64::total_cmp);
    losses.dedup();
    assert_eq!(losses.len(), cases.len(), "no two adapt alike");
}

#[test]
fn a_config_file_of_before_means_gradient_descent() {
    let folder = folder();
    let path = folder.path();
    succeed(path, &["train", "sinusoid", "--iterations=2", "--inner-steps=2", "--out=run"]);
    let config = String::from_utf8(bytes(path, "run/config.toml")).unwrap();
    let before: String = config.lines().filter(|l| !l.starts_with("inner-solver")).flat_map(|l| [l, "\n"]).collect();
    assert!(before.len() < config.len() && before.contains("inner-lr = 0.01\n"), "{config}");
    std::fs::write(path.join("before.toml"), before).unwrap();
    succeed(path, &["train", "--config=before.toml", "--out=again"]);
    assert_eq!(bytes(path, "run/model.safetensors"), bytes(path, "again/model.safetensors"));
    assert_eq!(bytes(path, "run/config.toml"), bytes(path, "again/config.toml"));
}

#[test]
fn what_is_learned_and_what_adapts_is_said() {
    let folder = folder();
    let path = folder.path();
    let learning = ["--method=imaml", "--learn=lambda:layer", "--adapt=head", "--cg-steps=8", "--tol=auto"];
    let said = succeed(path, &[&["train"], TINY, &learning, &["--iterations=1", "--out=run"]].concat());
    assert!(said.contains("at most 2 steps of 0.1") && said.contains("at most 8 CG iterations"), "{said}");
    let text = succeed(path, &["eval", "run", "--tasks=2"]);
    assert!(
        text.contains("the initial parameters and lambda:layer") && text.contains("the last layer alone"),
        "{text}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&succeed(path, &["eval", "run", "--tasks=2", "--json"])).unwrap();
    assert_eq!((json["learn"].as_str(), json["adapt"].as_str()), (Some("lambda:layer"), Some("head")));
    // The page measures the solve at its caps, and says so.
    let html = String::from_utf8(bytes(path, "run/report.html")).unwrap();
    assert!(html.contains("the error of 8 CG iterations") && html.contains("solves stop sooner"), "{html}");
}

#[test]
fn a_sinusoid_run_is_measured_with_other_shots_too() {
    let folder = folder();
    let path = folder.path();
    succeed(path, &["train", "sinusoid", "--method=maml", "--iterations=30", "--out=run"]);
    let json = succeed(path, &["eval", "run", "--tasks=20", "--shots=5", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["shots"], 5);
    let steps: Vec<_> = json["results"].as_array().unwrap().iter().map(|r| r["steps"].as_u64().unwrap()).collect();
    assert_eq!(steps, [0, 1, 5, 10]);
}
