//! Whatever is wrong is said in one line, with exit status 2, and leaves nothing behind.

use std::path::Path;

use super::{TINY, folder, run, succeed};

/// Runs, expects one line on standard error that has all of `says`, status 2, and no folder `run`.
#[track_caller]
pub fn refuses(folder: &Path, arguments: &[&str], says: &[&str]) {
    let output = run(folder, arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
    assert!(error.starts_with("imaml: ") && error.lines().count() == 1, "{arguments:?}: {error}");
    for part in says {
        assert!(error.contains(part), "{arguments:?}: {part} in {error}");
    }
    assert!(!folder.join("run").exists(), "{arguments:?} left a folder");
}

#[test]
fn wrong_options_are_refused() {
    let folder = folder();
    let cases: &[(&[&str], &[&str])] = &[
        (&["fly"], &["fly"]),
        (&["train", "cifar"], &["cifar", "omniglot"]),
        (&["train", "--method=maml", "--lambda=1"], &["lambda", "imaml", "maml"]),
        (&["train", "--method=fomaml", "--lambda=1"], &["lambda", "fomaml"]),
        (&["train", "--method=reptile", "--cg-steps=1"], &["cg-steps", "reptile"]),
        (&["train", "--method=maml", "--solver=cg"], &["solver", "imaml", "maml"]),
        (&["train", "--method=maml", "--warm-start"], &["warm-start", "imaml"]),
        (&["train", "--solver=lu"], &["lu", "minres"]),
        (&["train", "--solver=minres", "--preconditioner=nystrom"], &["preconditioner", "cg", "minres"]),
        (&["train", "--solver=gmres", "--on-negative-curvature=damp"], &["on-negative-curvature", "gmres"]),
        (&["train", "--solver=neumann", "--on-negative-curvature=go-on"], &["neumann", "go on"]),
        (&["train", "--solver=dense", "--cg-steps=3"], &["cg-steps", "dense"]),
        // Two matrices of two million squared.
        (
            &["train", "--solver=dense", "--model=conv4:channels=256,stride=2,ways=5,image=1x28x28"],
            &["dense", "memory", "--solver"],
        ),
        (&["train", "--learn=rate"], &["rate", "maml", "path"]),
        (&["train", "--method=maml", "--learn=lambda"], &["lambda", "imaml", "prox"]),
        (&["train", "--learn=theta"], &["theta", "lambda or rate"]),
        (&["train", "sinusoid", "--model=mlp:1-1", "--adapt=body"], &["mlp:1-1", "no body", "adapt"]),
        (&["train", "--method=maml", "--tol=auto"], &["tol", "maml"]),
        (&["train", "--tol=auto", "--solver=minres"], &["tol", "cg", "solver"]),
        (&["train", "--tol=auto", "--on-negative-curvature=damp"], &["tol", "on-negative-curvature"]),
        (&["train", "--method=maml", "--inner-solver=lbfgs"], &["inner-solver lbfgs", "imaml", "nesterov"]),
        (&["train", "--method=reptile", "--inner-tol=0.1"], &["inner-tol", "imaml", "reptile"]),
        (&["train", "--method=darts", "--inner-lr=auto"], &["inner-lr auto", "imaml", "darts"]),
        (&["train", "--method=auto", "--inner-solver=adam", "--inner-lr=0.1"], &["auto", "gradient descent"]),
        (&["train", "--method=maml", "--inner-lr=auto", "--learn=rate"], &["rate", "inner-lr"]),
        (&["train", "--inner-solver=adam", "--inner-lr=auto"], &["inner-lr auto", "adam"]),
        (&["train", "--inner-solver=adam"], &["adam", "inner-lr"]),
        (&["train", "--inner-solver=hessian-free", "--inner-lr=0.1"], &["inner-lr", "hessian-free"]),
        (&["train", "--inner-lr=fast"], &["fast", "auto"]),
        (&["train", "--inner-tol=0"], &["inner-tol is 0", "above 0"]),
        (&["train", "--tol=auto", "--inner-solver=lbfgs"], &["tol auto", "inner-solver"]),
        (&["train", "--lambda=0"], &["lambda is 0", "above 0"]),
        (&["train", "--inner-lr=nan"], &["inner-lr"]),
        (&["train", "--meta-batch=0"], &["meta-batch is 0", "1 to"]),
        (&["train", "--iterations=2", "--minutes=1"], &["--iterations", "--minutes"]),
        (&["train", "--threads=0"], &["threads"]),
        (&["train", "--outer-optimizer=sgd"], &["outer-lr"]),
        (&["train", "sinusoid", "--ways=5"], &["ways"]),
        (&["train", "--data=x"], &["data"]),
        (&["train", "--ways=1"], &["1 ways", "at least 2"]),
        (&["train", "--ways=1999"], &["1999 ways", "classes"]),
        (&["train", "--resume=none"], &["none"]),
        (&["train", "--inner-lr", "-1"], &["inner-lr is -1", "above 0"]),
        (&["train", "daml", "--gap", "-1"], &["--gap is -1", "0 to 1"]),
        (&["train", "daml", "--gap=2"], &["--gap is 2", "0 to 1"]),
        (&["train", "daml", "--iterations=0"], &["--iterations is 0", "1 to"]),
        (&["train", "daml", "--inner-lr=-1"], &["--inner-lr is -1", "above 0"]),
        (&["train", "daml", "--inner-lr=1e-50"], &["--inner-lr is 1e-50", "f32"]),
        (&["train", "daml", "--outer-lr=1e39"], &["--outer-lr is 1e39", "f32"]),
        (&["train", "daml", "--iterations=1", "--outer-lr=1e38", "--methods=none"], &["not finite", "--outer-lr"]),
        (&["train", "daml", "--methods=maml"], &["maml", "temporal"]),
        (&["eval", "none"], &["none", "imaml train"]),
        (&["eval", "none", "--tasks=1"], &["--tasks is 1"]),
    ];
    for (arguments, says) in cases {
        let out: &[&str] = if arguments.iter().any(|a| a.starts_with("--resume")) || arguments[0] != "train" {
            &[]
        } else {
            &["--out=run"]
        };
        refuses(folder.path(), &[arguments, out].concat(), says);
    }
}

#[test]
fn a_network_that_does_not_fit_is_refused() {
    let folder = folder();
    for (dataset, model, says) in [
        ("glyphs", "mlp:1-4-1", "28 × 28"),
        ("glyphs", "conv4:channels=4,stride=2,ways=6,image=1x28x28", "6 classes"),
        ("glyphs", "conv4:channels=4,stride=2,ways=5,image=3x84x84", "84 × 84 × 3"),
        ("glyphs", "conv4:channels=4", "ways="),
        ("sinusoid", "mlp:2-4-1", "it reads 2"),
        ("sinusoid", "mlp:1-4-2", "2 values"),
        ("sinusoid", "mlp:1-1000000-1000000-1", "parameters"),
        ("sinusoid", "resnet", "mlp:"),
    ] {
        refuses(folder.path(), &["train", dataset, "--model", model, "--out=run"], &[says]);
    }
}

#[test]
fn a_wrong_config_file_is_refused() {
    let folder = folder();
    for (text, says) in [
        ("seed = 1\ninner-stepz = 3\n", &["line 2", "unknown key inner-stepz", "inner-steps"][..]),
        ("seed = \"one\"\n", &["line 1"]),
        ("seed = \n", &["a.toml"]),
        ("method = \"sgd\"\n", &["imaml"]),
        ("iterations = 3\nminutes = 1.0\n", &["iterations", "minutes"]),
    ] {
        std::fs::write(folder.path().join("a.toml"), text).unwrap();
        refuses(folder.path(), &["train", "--config=a.toml", "--out=run"], says);
    }
    refuses(folder.path(), &["train", "--config=none.toml", "--out=run"], &["none.toml"]);
}

#[test]
fn wrong_data_are_refused() {
    let folder = folder();
    let path = folder.path();
    let train = ["train", "omniglot", "--out=run"];
    refuses(path, &train, &["--data", "github.com"]);
    let with_data = [&train[..], &["--data=data"]].concat();
    refuses(path, &with_data, &["images_background", "data"]);

    std::fs::create_dir(path.join("data")).unwrap();
    std::fs::write(path.join("data/images_background.zip"), b"PK\x03\x04 and then nothing").unwrap();
    refuses(path, &with_data, &["images_background.zip", "damaged"]);
}

#[test]
fn more_ways_than_classes_are_refused() {
    let folder = folder();
    let path = folder.path();
    for (part, characters) in [("images_background", 4), ("images_evaluation", 1)] {
        for character in 0..characters {
            let place = path.join("data").join(part).join("Alphabet").join(format!("character{character:02}"));
            std::fs::create_dir_all(&place).unwrap();
            for drawing in 0..2 {
                image::GrayImage::new(8, 8).save(place.join(format!("{drawing:02}.png"))).unwrap();
            }
        }
    }
    refuses(path, &["train", "omniglot", "--data=data", "--ways=20", "--out=run"], &["20 ways", "classes"]);
}

#[test]
fn a_training_that_leaves_the_finite_numbers_is_refused() {
    let folder = folder();
    let diverging = [&["train"], TINY, &["--inner-lr=1e30", "--out=run"]].concat();
    refuses(folder.path(), &diverging, &["not finite", "--inner-lr"]);
}

#[test]
fn an_existing_folder_is_kept() {
    let folder = folder();
    let path = folder.path();
    std::fs::create_dir(path.join("mine")).unwrap();
    std::fs::write(path.join("mine/thesis.txt"), "all of it").unwrap();
    refuses(path, &["train", "sinusoid", "--iterations=1", "--out=mine"], &["mine", "--resume", "--force"]);
    refuses(path, &["train", "--out=mine/thesis.txt"], &["thesis.txt"]);
    refuses(path, &["eval", "mine"], &["mine", "config.toml"]);
    refuses(path, &["train", "--resume=mine"], &["mine", "config.toml"]);
    assert_eq!(std::fs::read_dir(path.join("mine")).unwrap().count(), 1);
    succeed(path, &["train", "sinusoid", "--iterations=1", "--out=mine", "--force"]);
    assert_eq!(std::fs::read(path.join("mine/thesis.txt")).unwrap(), b"all of it");
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_has_one_writer() {
    let folder = folder();
    let path = folder.path();
    let short = ["train", "sinusoid", "--iterations=1", "--eval-every=0", "--eval-tasks=2"];
    succeed(path, &[&short[..], &["--out=busy"]].concat());
    let other = std::fs::File::open(path.join("busy")).unwrap();
    other.lock().unwrap();
    refuses(path, &[&short[..], &["--out=busy", "--force"]].concat(), &["another imaml", "busy"]);
    refuses(path, &["train", "--resume=busy", "--iterations=2"], &["another imaml", "busy"]);
    refuses(path, &["report", "busy", "--tasks=2"], &["another imaml", "busy"]);
    // Reading is no writing.
    succeed(path, &["eval", "busy", "--tasks=2"]);
    succeed(path, &["report", "busy", "--tasks=2", "--out=page.html"]);
    other.unlock().unwrap();
    succeed(path, &["train", "--resume=busy", "--iterations=2"]);
}

#[cfg(target_os = "linux")]
#[test]
fn what_nobody_can_read_is_said() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    let path = folder.path();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = super::imaml(path, &["--version"]).stdout(full).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && error.contains("standard output"), "{error}");
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = super::imaml(path, &["eval", "none"]).stderr(full).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    // A name that a config cannot hold.
    let name = std::ffi::OsStr::from_bytes(b"w\xff.safetensors");
    std::fs::write(path.join(name), "").unwrap();
    let output = super::imaml(path, &["train", "sinusoid", "--out=run", "--init"]).arg(name).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && error.contains("rename it") && error.lines().count() == 1, "{error}");
    assert!(!path.join("run").exists());
}

/// The first save replaces an earlier run's files one by one: whatever stops it, no model stands beside another's settings.
#[test]
fn a_run_that_is_replaced_leaves_no_model() {
    let folder = folder();
    let path = folder.path();
    succeed(path, &["train", "sinusoid", "--iterations=2", "--out=old"]);
    std::fs::remove_file(path.join("old/config.toml")).unwrap();
    std::fs::create_dir(path.join("old/config.toml")).unwrap();
    refuses(path, &["train", "sinusoid", "--iterations=2", "--out=old", "--force"], &["cannot write", "config.toml"]);
    assert!(!path.join("old/model.safetensors").exists());
}

#[test]
fn a_damaged_run_folder_is_refused() {
    let folder = folder();
    let path = folder.path();
    succeed(path, &["train", "sinusoid", "--iterations=2", "--out=good"]);
    let damaged = |file: &str, bytes: &[u8]| {
        let copy = path.join("damaged");
        std::fs::create_dir_all(&copy).unwrap();
        for entry in std::fs::read_dir(path.join("good")).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
        std::fs::write(copy.join(file), bytes).unwrap();
    };
    let model = std::fs::read(path.join("good/model.safetensors")).unwrap();
    let checkpoint = std::fs::read(path.join("good/checkpoint.safetensors")).unwrap();
    let mut not_finite = model.clone();
    let end = not_finite.len();
    not_finite[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    for bytes in [&model[..model.len() - 1], &model[..20], b"", b"not a model at all", &[255; 64]] {
        damaged("model.safetensors", bytes);
        refuses(path, &["eval", "damaged"], &["model.safetensors", "damaged"]);
    }
    damaged("model.safetensors", &not_finite);
    refuses(path, &["eval", "damaged"], &["model.safetensors", "NaN"]);
    for bytes in [&checkpoint[..checkpoint.len() - 1], b"", &model] {
        damaged("checkpoint.safetensors", bytes);
        refuses(path, &["train", "--resume=damaged", "--iterations=4"], &["checkpoint.safetensors", "train again"]);
    }
    damaged("config.toml", b"\xff\xfe");
    refuses(path, &["eval", "damaged"], &["config.toml"]);
    let config = String::from_utf8(std::fs::read(path.join("good/config.toml")).unwrap()).unwrap();
    damaged("config.toml", config.replace("mlp:1-40-40-1", "mlp:1-40-41-1").as_bytes());
    refuses(path, &["eval", "damaged"], &["does not belong", "fc2.weight"]);
    refuses(path, &["train", "--resume=good"], &["complete", "--iterations"]);
    refuses(path, &["train", "--resume=good", "--seed=2"], &["--resume"]);
}
