//! Methods that choose, and what memory they are allowed.

use serde_json::Value;

use super::bad_input::refuses;
use super::{TINY, bytes, folder, succeed};

const MLP: &str = "--model=mlp:1-8-1,act=tanh";

#[test]
fn auto_says_what_it_chose_and_keeps_to_it() {
    let folder = folder();
    let path = folder.path();
    let said = succeed(path, &[&["train"], TINY, &["--method=auto", "--iterations=3", "--out=parts"]].concat());
    let said = said.lines().find(|line| line.starts_with("  chosen")).expect("it says what it chose");
    let config = String::from_utf8(bytes(path, "parts/config.toml")).unwrap();
    let config: toml::Table = config.parse().unwrap();
    let (choice, reason) = (config["choice"].as_str().unwrap(), config["chosen-because"].as_str().unwrap());
    assert!(said.contains(choice) && said.contains(reason), "{said}");
    // The choice is the initial parameters', not those that a run goes on from: nothing is chosen again.
    succeed(path, &[&["train"], TINY, &["--method=auto", "--iterations=6", "--out=whole"]].concat());
    succeed(path, &["train", "--resume=parts", "--iterations=6"]);
    for file in ["model.safetensors", "config.toml"] {
        assert_eq!(bytes(path, &format!("whole/{file}")), bytes(path, &format!("parts/{file}")), "{file}");
    }
}

#[test]
fn another_run_from_a_config_file_chooses_again() {
    let folder = folder();
    let path = folder.path();
    let auto = ["--method=auto", "--iterations=1", "--out=first"];
    succeed(path, &[&["train"], TINY, &auto].concat());
    let config = String::from_utf8(bytes(path, "first/config.toml")).unwrap();
    // What was chosen, and what no program would choose.
    let choice = |text: &str| text.parse::<toml::Table>().unwrap()["choice"].as_str().unwrap().to_owned();
    let own = choice(&config);
    std::fs::write(path.join("a.toml"), config.replace(&format!("choice = \"{own}\""), "choice = \"last 1\"")).unwrap();
    let again = |more: &[&str]| {
        succeed(path, &[&["train", "--config=a.toml", "--out=run", "--force"], more].concat());
        choice(&String::from_utf8(bytes(path, "run/config.toml")).unwrap())
    };
    assert_eq!(again(&[]), "last 1", "the same run");
    assert_eq!(again(&["--eval-every=0"]), own, "another run");
}

#[test]
fn a_budget_changes_memory_and_no_bit() {
    let folder = folder();
    let path = folder.path();
    let export = ["export-episode", "sinusoid", MLP, "--shots=4", "--queries=3", "--tasks=2", "--dtype=f64"];
    succeed(path, &[&export[..], &["--out=s.safetensors"]].concat());
    let of = |more: &[&str]| -> Value {
        let metagrad = ["metagrad", "s.safetensors", MLP, "--inner-steps=60", "--inner-lr=0.05", "--json"];
        serde_json::from_str(&succeed(path, &[&metagrad[..], more].concat())).unwrap()
    };
    let all = of(&["--method=maml"]);
    let less = all["plan_bytes"].as_u64().unwrap() / 2;
    let memory = format!("--memory={less}");
    let within = of(&["--method=maml", &memory]);
    assert!(within["plan_bytes"].as_u64().unwrap() <= less);
    assert_eq!((&all["norm"], &all["loss"]), (&within["norm"], &within["loss"]));
    // Truncated, it is another derivative of the same loss.
    let truncated = of(&["--method=maml", "--truncate=2"]);
    assert_eq!(truncated["loss"], all["loss"]);
    assert_ne!(truncated["norm"], all["norm"]);
    assert_eq!(of(&["--method=maml", "--truncate=60"])["norm"], all["norm"]);
    // Differences come near, and what is chosen is one of the exact ways.
    let number = |v: &Value| v["norm"].as_f64().unwrap();
    assert!((number(&of(&["--method=darts"])) / number(&all) - 1.0).abs() < 1e-7);
    let chosen = of(&["--method=auto", "--lambda=0.5", &memory]);
    assert!(chosen["plan_bytes"].as_u64().unwrap() <= less);
    assert!(chosen["choice"].is_string() && chosen["chosen_because"].as_str().unwrap().ends_with('.'), "{chosen}");
}

#[test]
fn every_method_goes_by_the_steps_that_it_is_given() {
    let folder = folder();
    let path = folder.path();
    let export = ["export-episode", "sinusoid", MLP, "--shots=4", "--queries=3", "--tasks=1", "--dtype=f64"];
    succeed(path, &[&export[..], &["--out=s.safetensors"]].concat());
    let of = |more: &[&str]| -> Value {
        let metagrad = ["metagrad", "s.safetensors", MLP, "--inner-steps=5", "--inner-lr=0.02", "--json"];
        serde_json::from_str(&succeed(path, &[&metagrad[..], more].concat())).unwrap()
    };
    for solver in ["gd", "momentum", "nesterov", "adam"] {
        let solver = format!("--inner-solver={solver}");
        let maml = of(&["--method=maml", &solver]);
        for method in ["fomaml", "reptile", "darts", "es"] {
            let other = of(&[&format!("--method={method}"), &solver]);
            assert_eq!(other["loss"], maml["loss"], "{method} {solver}: the same adaptation");
            let ratio = other["norm"].as_f64().unwrap() / maml["norm"].as_f64().unwrap();
            // Differences of step ε^⅓ are exact to its square; what ε = 1e-8 of Adam hides is flat there.
            assert!(method != "darts" || (ratio - 1.0).abs() < 1e-6, "{solver}: {ratio}");
        }
        // The step size's own derivative is that of the same steps.
        let slope = |rate: f64| {
            let rate = format!("--inner-lr={rate}");
            let metagrad =
                ["metagrad", "s.safetensors", MLP, "--inner-steps=5", "--method=maml", "--json", &solver, &rate];
            let said: Value = serde_json::from_str(&succeed(path, &metagrad)).unwrap();
            said["loss"].as_f64().unwrap()
        };
        let (h, own) = (1e-5, of(&["--method=maml", &solver, "--hypergradients"])["hypergradients"]["rate"].as_f64());
        let (slope, own) = ((slope(0.02 + h) - slope(0.02 - h)) / (2.0 * h), own.unwrap());
        // h² of a third derivative in the thousands, beside rounding of 1e-16/h.
        assert!((slope - own).abs() <= 1e-5 * own.abs().max(1e-2), "{solver}: {slope} and {own}");
    }
}

#[test]
fn hypergradients_are_slopes_of_the_loss() {
    let folder = folder();
    let path = folder.path();
    let export = ["export-episode", "sinusoid", MLP, "--shots=4", "--queries=3", "--tasks=2", "--dtype=f64"];
    succeed(path, &[&export[..], &["--out=s.safetensors"]].concat());
    let of = |rate: f64, lambda: f64| -> Value {
        let (rate, lambda) = (format!("--inner-lr={rate}"), format!("--lambda={lambda}"));
        let metagrad = ["metagrad", "s.safetensors", MLP, "--method=imaml", "--inner-steps=7", "--hypergradients"];
        serde_json::from_str(&succeed(path, &[&metagrad[..], &["--json", &rate, &lambda]].concat())).unwrap()
    };
    let (rate, lambda, h) = (0.05, 2.0, 1e-4);
    let here = of(rate, lambda);
    let loss = |v: Value| v["loss"].as_f64().unwrap();
    for (name, above, below) in
        [("rate", of(rate + h, lambda), of(rate - h, lambda)), ("lambda", of(rate, lambda + h), of(rate, lambda - h))]
    {
        let slope = (loss(above) - loss(below)) / (2.0 * h);
        let own = here["hypergradients"][name].as_f64().unwrap();
        // h²/6 of a third derivative, which is in the hundreds for the step size.
        assert!((own - slope).abs() <= 1e-5 * slope.abs().max(1e-2), "{name}: {own} and {slope}");
    }
}

#[test]
fn what_does_not_fit_a_method_is_refused() {
    let folder = folder();
    let cases: &[(&[&str], &[&str])] = &[
        (&["--method=imaml", "--truncate=1"], &["truncate", "maml"]),
        (&["--method=maml", "--inner-steps=3", "--truncate=4"], &["truncate is 4", "0 to 3"]),
        (&["--method=maml", "--es-pairs=3"], &["es-pairs", "es"]),
        (&["--method=es", "--es-pairs=0"], &["es-pairs is 0"]),
        (&["--method=es", "--es-sigma=nan"], &["es-sigma"]),
        (&["--method=auto", "--cg-steps=3"], &["cg-steps", "auto"]),
        (&["--memory=much"], &["much", "64MiB"]),
        (&["sinusoid", "--method=maml", "--memory=10kB"], &["memory", "at least", "10000"]),
        (&["sinusoid", "--method=reptile", "--memory=10kB"], &["memory", "at least", "10000"]),
        (&["sinusoid", "--method=auto", "--memory=10kB"], &["memory", "at least", "10000"]),
    ];
    for (arguments, says) in cases {
        refuses(folder.path(), &[&["train"], *arguments, &["--out=run"]].concat(), says);
    }
}
